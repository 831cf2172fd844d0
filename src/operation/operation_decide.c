/*
 * operation_decide.c
 *	  Decides what is done for claimed refunds, captures and releases: requests,
 *	  questions, refusals, or a later time.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation_decide.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "core/api/operation.h"
#include "database/digest.h"
#include "operation/operation_internal.h"
#include "process/wait.h"
#include "store/row_rights.h"

/* The delay if a request for the row is under way */
#define UNDER_WAY_DELAY_MS 5000

/* The delay of a row that waits for another one of its invoice, whose end makes it due */
#define BLOCKED_DELAY_MS 60000

/* The delays if the key cannot be used, or the role may not refund any more; mf_resume() makes the row due. */
#define NO_KEY_DELAY_MS 60000
#define NO_RIGHT_DELAY_MS 600000

/* A question about which no answer is recorded is repeated after this. */
#define ASK_AGAIN_MS 600000

/*
 * What is filed is asked about again after as long as it has been filed, but after
 * MF_FILED_POLLS times myfatoorah.poll_delay at least, and after this at most.
 */
#define FILED_DELAY_MS (24 * 3600 * INT64CONST(1000))

typedef struct Decisions
{
	const MfSqlScope *scope;
	const MfClaim *claim;
	const MfAccount *account;
	TimestampTz now;
	List	   *targets;		/* of MfClaimTarget */
	MfOperationBatch batch;
	List	   *started;		/* of MfFlight */
} Decisions;

static void decide(Decisions *decisions, const MfOperation *operation);
static void decide_queued(Decisions *decisions, const MfOperation *operation);
static char *refusal(const MfOperation *operation);
static char *lost_right(const Decisions *decisions, const MfOperation *operation);
static void settle_lease(Decisions *decisions, const MfOperation *operation);
static void ask(Decisions *decisions, const MfOperation *operation);
static void put_off(Decisions *decisions, const MfOperation *operation, int64 delay_ms, const char *error);
static bool is_started(const Decisions *decisions, int64 invoice);
static void start(Decisions *decisions, const MfOperation *operation, MfHttpTarget *target);
static char *build_body(const MfOperation *operation, size_t *len);
static void record_starts(const MfSqlScope *scope, const List *started);
static const char *utf8_or_null(const char *text);

void
mf_operation_decide(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, List *rows, TimestampTz now)
{
	Decisions	decisions;
	ListCell   *lc;

	memset(&decisions, 0, sizeof(decisions));
	decisions.scope = scope;
	decisions.claim = claim;
	decisions.account = account;
	decisions.now = now;
	mf_operation_batch_init(&decisions.batch, list_length(rows));
	foreach(lc, rows)
		decide(&decisions, (const MfOperation *) lfirst(lc));
	mf_operation_batch_write(scope, &decisions.batch);
	if (decisions.started != NIL)
		record_starts(scope, decisions.started);
}

static void
decide(Decisions *decisions, const MfOperation *operation)
{
	switch (operation->status)
	{
		case MF_OPERATION_QUEUED:
			decide_queued(decisions, operation);
			break;
		case MF_OPERATION_SENDING:
			if (mf_flight_operation_under_way(operation->invoice))
				put_off(decisions, operation, UNDER_WAY_DELAY_MS, NULL);
			else
				settle_lease(decisions, operation);
			break;
		case MF_OPERATION_UNKNOWN:
		case MF_OPERATION_FILED:
			ask(decisions, operation);
			break;
		default:
			/* a change without a time: nothing is to be done any more */
			(void) mf_operation_batch_change(&decisions->batch, operation, "sender");
			break;
	}
}

/*
 * Checks the invoice, the key and the role, and starts the request if nothing stands against
 * it.  MyFatoorah is asked first: the InvoiceId may be somebody else's where the account points
 * now, and an earlier request may have been carried out, whatever was answered.
 */
static void
decide_queued(Decisions *decisions, const MfOperation *operation)
{
	const MfClaimTarget *target;
	const char *error;

	if (operation->blocked || is_started(decisions, operation->invoice))
	{
		put_off(decisions, operation, BLOCKED_DELAY_MS, NULL);
		return;
	}
	error = refusal(operation);
	if (error != NULL)
	{
		MfOperationChange *change = mf_operation_batch_change(&decisions->batch, operation, "sender");

		change->to = MF_OPERATION_REFUSED;
		change->error = error;
		return;
	}
	target = mf_claim_target(decisions->claim->http, decisions->account->name, operation->owner, false, &decisions->targets);
	if (target->target == NULL)
	{
		put_off(decisions, operation, target->until != 0 ? Max((target->until - decisions->now) / 1000, 0) : NO_KEY_DELAY_MS,
				target->error);
		return;
	}
	error = lost_right(decisions, operation);
	if (error != NULL)
		put_off(decisions, operation, NO_RIGHT_DELAY_MS, psprintf("%s; mf_resume() tries it again", error));
	else if (operation->lookups == 0 || operation->confirmed_from != mf_http_target_checksum(target->target))
		ask(decisions, operation);
	else
		start(decisions, operation, target->target);
}

/* Why it cannot be carried out any more, as things are now; NULL if it can. */
static char *
refusal(const MfOperation *operation)
{
	if (operation->invoice_id == NULL)
		return pstrdup("the row of its invoice has no InvoiceId any more");
	if (operation->kind == MF_OPERATION_REFUND && !operation->fits)
		return psprintf("%s is more than what is left to be refunded, %s", operation->value, operation->left);
	if (operation->kind != MF_OPERATION_REFUND && strcmp(operation->payment_status, "authorized") != 0)
		return psprintf("the invoice is \"%s\", and not authorized any more", operation->payment_status);
	return NULL;
}

/* Why the role that inserted it may not do so any more, as things are now; NULL if it may. */
static char *
lost_right(const Decisions *decisions, const MfOperation *operation)
{
	Oid			schema = decisions->scope->schema;
	char	   *error = mf_sender_refusal(decisions->account, get_relname_relid("mf_refund", schema), &operation->sender);

	if (error != NULL ||
		mf_role_has_row_right(get_relname_relid("mf_invoice", schema), operation->owner.role, operation->sender.role))
		return error;
	return psprintf("role \"%s\", which inserted it, has no right to its invoice any more",
					GetUserNameFromId(operation->sender.role, false));
}

/*
 * The lease is over.  If the outcome was recorded with the attempt alone, because the row
 * was locked, it counts; else it is unknown.  A process that stood still may have sent the
 * request just now, so answers may come for as long as after any that leaves now.
 */
static void
settle_lease(Decisions *decisions, const MfOperation *operation)
{
	TimestampTz answer_by = TimestampTzPlusMilliseconds(decisions->now, MF_SEND_MARGIN_MS +
														decisions->account->connect_timeout_ms +
														decisions->account->timeout_ms);

	if (operation->ended && operation->outcome != MF_OUTCOME_UNKNOWN)
		mf_operation_ended(&decisions->batch, operation, operation->outcome, operation->answered_id, operation->error,
						   decisions->now, answer_by);
	else
		mf_operation_ended(&decisions->batch, operation, MF_OUTCOME_UNKNOWN, NULL, operation->error ? operation->error :
						   "no outcome was recorded: the worker was stopped while the request was under way",
						   decisions->now, answer_by);
}

/* Has MyFatoorah asked.  The answer changes the row; if there is none, it is asked again. */
static void
ask(Decisions *decisions, const MfOperation *operation)
{
	MfOperationChange *change = mf_operation_batch_change(&decisions->batch, operation, "sender");
	int64		delay = ASK_AGAIN_MS;

	if (operation->status == MF_OPERATION_FILED)
	{
		int64		age = operation->filed_at != 0 ? (decisions->now - operation->filed_at) / 1000 : 0;

		delay = Max(Min(age, FILED_DELAY_MS), (int64) mf_poll_delay * MF_FILED_POLLS);
	}
	change->due = TimestampTzPlusMilliseconds(decisions->now, delay);
	mf_operation_batch_ask(&decisions->batch, operation);
}

/* "error" NULL = nothing was tried: the error stays. */
static void
put_off(Decisions *decisions, const MfOperation *operation, int64 delay_ms, const char *error)
{
	MfOperationChange *change = mf_operation_batch_change(&decisions->batch, operation, "sender");

	change->due = TimestampTzPlusMilliseconds(decisions->now, delay_ms);
	if (error != NULL)
		change->error = error;
}

/* Whether a request about this invoice starts with the present claim. */
static bool
is_started(const Decisions *decisions, int64 invoice)
{
	ListCell   *lc;

	foreach(lc, decisions->started)
	{
		if (((const MfFlight *) lfirst(lc))->invoice == invoice)
			return true;
	}
	return false;
}

static void
start(Decisions *decisions, const MfOperation *operation, MfHttpTarget *target)
{
	size_t		len;
	char	   *body = build_body(operation, &len);
	MfFlight   *flight = mf_flight_create_operation(decisions->claim->memory, operation, decisions->account, target, body, len);

	dlist_push_tail(decisions->claim->claimed, &flight->node);
	decisions->started = lappend(decisions->started, flight);
}

/* The body of its request, malloc'd; NULL when out of memory. */
static char *
build_body(const MfOperation *operation, size_t *len)
{
	MfRefundRequest request;

	if (operation->kind != MF_OPERATION_REFUND)
		return mf_update_payment_body(operation->kind == MF_OPERATION_CAPTURE ? "Capture" : "Release",
									  operation->invoice_id, operation->value, len);
	memset(&request, 0, sizeof(request));
	request.key = operation->payment_id ? operation->payment_id : operation->invoice_id;
	request.key_type = operation->payment_id ? "PaymentId" : "InvoiceId";
	request.amount = operation->value;
	request.charge_on_customer = operation->charge_on_customer;
	request.comment = utf8_or_null(operation->comment);
	request.reference = utf8_or_null(operation->reference);
	request.suppliers = utf8_or_null(operation->suppliers);
	request.vendor_amount = operation->vendor_value;
	return mf_refund_body(&request, len);
}

static const char *
utf8_or_null(const char *text)
{
	return text ? mf_to_utf8(text) : NULL;
}

/* Records attempts, leases and the status "sending". */
static void
record_starts(const MfSqlScope *scope, const List *started)
{
	int			count = list_length(started);
	MfAttempt  *attempts = (MfAttempt *) palloc0(count * sizeof(MfAttempt));
	TimestampTz *leases = (TimestampTz *) palloc(count * sizeof(TimestampTz));
	ListCell   *lc;

	foreach(lc, started)
	{
		const MfFlight *flight = (const MfFlight *) lfirst(lc);
		int			i = foreach_current_index(lc);

		attempts[i].invoice = flight->operation;
		attempts[i].attempt = flight->attempt;
		attempts[i].reference = flight->reference;
		attempts[i].send_by = flight->send_by;
		attempts[i].sent_to = mf_http_target_checksum(flight->target);
		mf_digest(flight->body, flight->body_len, attempts[i].body_sha256);
		leases[i] = TimestampTzPlusMilliseconds(flight->answer_by, MF_LEASE_MARGIN_MS);
		mf_operations.due = mf_earlier(mf_operations.due, leases[i]);
	}
	mf_operations_start(scope, attempts, leases, count);
}
