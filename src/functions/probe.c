/*
 * probe.c
 *	  mf_probe_idempotency(): tries whether a request to POST /v3/payments can be repeated
 *	  with its Idempotency-Key, and whether look-ups find what it makes.
 *
 * It makes one real invoice, of the value that the caller names, which nobody is told of
 * and which expires after an hour; two, if MyFatoorah does not keep the key.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/probe.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "account/account_key.h"
#include "account/account_option.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "database/function_args.h"
#include "flight/replay.h"
#include "functions/backend_call.h"
#include "functions/direct_status.h"
#include "request/request.h"
#include "store/api_proof.h"
#include "store/ledger.h"

/* The invoice of the probe can be paid for so long. */
#define PROBE_EXPIRY_MS (60 * 60 * 1000)

/* How soon MyFatoorah finds a new invoice is not documented. */
#define LOOKUP_TRIES 4
#define LOOKUP_PAUSE_MS 2000

#define CUSTOMER_NAME "Idempotency probe"

typedef struct Probe
{
	ReturnSetInfo *rsinfo;
	const MfAccount *account;
	MfRequest	request;
	char	   *reference;
	int32		sent_to;
	int64		date;			/* of the latest answer */
} Probe;

static void fill_request(FunctionCallInfo fcinfo, Probe *probe);
static MfProof run_probe(Probe *probe, char **detail);
static const MfSendResult *send_once(Probe *probe);
static bool check_first(const Probe *probe, const MfSendResult *first);
static bool check_repeated(const Probe *probe, const MfSendResult *first, const MfSendResult *again, MfProof *proof,
						   char **detail);
static bool check_look_up(const Probe *probe, const MfSendResult *first, MfProof *proof, char **detail);
static bool check_clock(const Probe *probe);
static void report(const Probe *probe, const char *step, bool ok, const char *detail);

PG_FUNCTION_INFO_V1(mf_probe_idempotency);

Datum
mf_probe_idempotency(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Probe		probe;
	MfProof		proof;
	char	   *detail = NULL;
	MfSqlScope	scope;

	mf_refuse_in_trigger("mf_probe_idempotency");
	/* before an invoice is made, not when the proof is written */
	PreventCommandIfReadOnly("mf_probe_idempotency()");
	memset(&probe, 0, sizeof(probe));
	probe.account = mf_account_get(mf_required_text(fcinfo, 0, "account"));
	mf_account_check_usage(probe.account, GetUserId());
	mf_account_check_mapping(probe.account, GetUserId());
	if (!probe.account->country->idempotency_key)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("MyFatoorah keeps no Idempotency-Key in country %s", probe.account->country->iso),
				 errdetail("By its documentation it does in KWT and SAU only."),
				 errhint("Invoices of account \"%s\" go by SendPayment.", probe.account->name)));
	fill_request(fcinfo, &probe);
	mf_start_rows(fcinfo);
	probe.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	proof = run_probe(&probe, &detail);
	if (proof != MF_PROOF_NONE)
	{
		(void) mf_account_hold(probe.account->name);
		mf_sql_begin(&scope, schema);
		mf_api_proof_set(&scope, probe.account, probe.sent_to, proof == MF_PROOF_GIVEN, detail);
		mf_sql_end(&scope);
	}
	report(&probe, "result", proof == MF_PROOF_GIVEN,
		   proof == MF_PROOF_GIVEN ? "proved: with the option api 'auto' rows go by POST /v3/payments where it can carry them" :
		   proof == MF_PROOF_REFUTED ? "refuted: rows go by SendPayment" :
		   "nothing is proved; rows go as before. Remove the cause and call it again");
	return (Datum) 0;
}

/* The invoice of the probe, checked as any other */
static void
fill_request(FunctionCallInfo fcinfo, Probe *probe)
{
	MfRequest  *request = &probe->request;
	TimestampTz expiry = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PROBE_EXPIRY_MS);

	mf_require_argument(fcinfo, 1, "value");
	memset(request->isnull, true, sizeof(request->isnull));
	request->values[MF_SP_CUSTOMER_NAME] = CStringGetTextDatum(CUSTOMER_NAME);
	request->values[MF_SP_INVOICE_VALUE] = PG_GETARG_DATUM(1);
	request->values[MF_SP_NOTIFICATION_OPTION] = CStringGetTextDatum("LNK");
	request->values[MF_SP_EXPIRY_DATE] = TimestampTzGetDatum(expiry);
	request->isnull[MF_SP_CUSTOMER_NAME] = request->isnull[MF_SP_INVOICE_VALUE] = false;
	request->isnull[MF_SP_NOTIFICATION_OPTION] = request->isnull[MF_SP_EXPIRY_DATE] = false;
	mf_request_check(request, probe->account, NULL);
	probe->reference = text_to_cstring(mf_new_reference("mf-probe", strlen("mf-probe")));
}

/* Makes the steps one after the other, as long as each succeeds.  *detail is for mf_api_proof. */
static MfProof
run_probe(Probe *probe, char **detail)
{
	MfProof		proof = MF_PROOF_NONE;
	const MfSendResult *first = send_once(probe);
	const MfSendResult *again;

	if (!check_first(probe, first))
		return MF_PROOF_NONE;
	again = send_once(probe);
	if (!check_repeated(probe, first, again, &proof, detail) || !check_look_up(probe, first, &proof, detail) ||
		!check_clock(probe))
		return proof;
	*detail = psprintf("reference \"%s\": the same request gave invoice %s twice, and a look-up found it",
					   probe->reference, first->invoice_id);
	return MF_PROOF_GIVEN;
}

/* Posts the request of the probe, the same bytes each time. */
static const MfSendResult *
send_once(Probe *probe)
{
	const MfEndpoint *endpoint = &mf_endpoints[MF_V3_CREATE_PAYMENT];
	MfSendResult *result = mf_send_result_alloc();
	const char *obstacle = NULL;
	size_t		len;
	char	   *body = mf_request_v3_body(&probe->request, probe->account, probe->reference, &len, &obstacle);
	MfHttpExchange *exchange;

	if (body == NULL)
		elog(ERROR, "POST /v3/payments cannot carry %s", obstacle);
	exchange = mf_backend_call(probe->account, endpoint, NULL, mf_request_key(probe->reference), body, len, NULL,
							   &probe->sent_to);
	probe->date = mf_http_date(exchange);
	mf_send_result_read(endpoint, exchange, probe->reference, result);
	return result;
}

static bool
check_first(const Probe *probe, const MfSendResult *first)
{
	bool		ok = first->outcome == MF_OUTCOME_ACCEPTED;

	report(probe, "first request", ok,
		   ok ? psprintf("made invoice %s with reference \"%s\"; nobody is told of it, and it expires after an hour",
						 first->invoice_id, probe->reference) :
		   psprintf("%s; reference \"%s\": %s", mf_outcome_name(first->outcome), probe->reference,
					mf_from_utf8_lossy(first->error ? first->error : "out of memory")));
	return ok;
}

static bool
check_repeated(const Probe *probe, const MfSendResult *first, const MfSendResult *again, MfProof *proof, char **detail)
{
	const char *step = "same request again";

	if (again->outcome != MF_OUTCOME_ACCEPTED)
	{
		report(probe, step, false, psprintf("%s: %s", mf_outcome_name(again->outcome),
											mf_from_utf8_lossy(again->error ? again->error : "out of memory")));
		return false;
	}
	if (strcmp(first->invoice_id, again->invoice_id) == 0 && strcmp(first->invoice_url, again->invoice_url) == 0)
	{
		report(probe, step, true, psprintf("gave invoice %s and its link again", again->invoice_id));
		return true;
	}
	*proof = MF_PROOF_REFUTED;
	*detail = psprintf("reference \"%s\": the same request with the same Idempotency-Key gave invoice %s, then invoice %s%s",
					   probe->reference, first->invoice_id, again->invoice_id,
					   strcmp(first->invoice_id, again->invoice_id) == 0 ? " with another link" : "");
	report(probe, step, false, *detail);
	return false;
}

/* Whether the look-up by which lost answers are settled finds what was made, as it was made */
static bool
check_look_up(const Probe *probe, const MfSendResult *first, MfProof *proof, char **detail)
{
	const char *step = "look-up by reference";
	const MfStatusResult *found;
	const char *error;
	const char *shown;
	int			tries = 1;

	while ((found = mf_ask_payment_status(probe->account, probe->reference, "CustomerReference", &error, &shown))->base.lookup ==
		   MF_LOOKUP_NOT_FOUND && tries++ < LOOKUP_TRIES)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOKUP_PAUSE_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (found->base.lookup == MF_LOOKUP_FOUND)
	{
		const char *reference = found->values[MF_PS_CUSTOMER_REFERENCE];
		const char *amount = found->values[MF_PS_INVOICE_DISPLAY_VALUE];
		const char *currency = found->values[MF_PS_DISPLAY_CURRENCY];
		char	   *value = DatumGetCString(DirectFunctionCall1(numeric_out, probe->request.values[MF_SP_INVOICE_VALUE]));

		if (strcmp(found->values[MF_PS_INVOICE_ID], first->invoice_id) == 0 && reference != NULL &&
			strcmp(reference, probe->reference) == 0 && amount != NULL && mf_amount_compare(amount, value) == 0 &&
			currency != NULL && strcmp(currency, probe->account->currency) == 0)
		{
			report(probe, step, true, psprintf("found invoice %s of %s %s", first->invoice_id, amount, currency));
			return true;
		}
		*detail = psprintf("reference \"%s\": GetPaymentStatus shows invoice %s of POST /v3/payments as invoice %s of %s %s with CustomerReference \"%s\"",
						   probe->reference, first->invoice_id, found->values[MF_PS_INVOICE_ID], amount ? amount : "?",
						   currency ? currency : "?", reference ? mf_from_utf8_lossy(reference) : "");
	}
	else if (found->base.lookup == MF_LOOKUP_NOT_FOUND)
		*detail = psprintf("reference \"%s\": GetPaymentStatus does not find invoice %s of POST /v3/payments by its reference",
						   probe->reference, first->invoice_id);
	else
	{
		report(probe, step, false, shown);
		return false;
	}
	*proof = MF_PROOF_REFUTED;
	report(probe, step, false, *detail);
	return false;
}

/* Without MyFatoorah's own time no request is repeated. */
static bool
check_clock(const Probe *probe)
{
	bool		ok = mf_replay_clock_agrees(probe->date);

	report(probe, "clock", ok, probe->date == 0 ? "the answers tell no time (header Date)" :
		   psprintf("MyFatoorah's clock shows %s", timestamptz_to_str(time_t_to_timestamptz((pg_time_t) probe->date))));
	return ok;
}

static void
report(const Probe *probe, const char *step, bool ok, const char *detail)
{
	Datum		values[3] = {CStringGetTextDatum(step), BoolGetDatum(ok), CStringGetTextDatum(detail)};
	bool		nulls[3] = {false, false, false};

	tuplestore_putvalues(probe->rsinfo->setResult, probe->rsinfo->setDesc, values, nulls);
}
