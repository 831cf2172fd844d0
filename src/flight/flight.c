/*
 * flight.c
 *	  Flights: requests of the worker, each from its claim to its recorded outcome.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "flight/flight.h"
#include "flow/round_items.h"
#include "process/wait.h"
#include "request/request.h"
#include "store/row_rights.h"

/* How many flights are under way, by invoice */
typedef enum UnderWayKind
{
	ABOUT_INVOICE,
	ABOUT_PAYMENT,
	ABOUT_OPERATION
} UnderWayKind;

typedef struct UnderWayKey
{
	int64		invoice;
	int64		kind;			/* UnderWayKind */
} UnderWayKey;

typedef struct UnderWay
{
	UnderWayKey key;
	int			count;
} UnderWay;

/* What differs by kind; kinds that are not named send or look up invoices */
static const struct
{
	bool		is_inquiry;
	bool		stands_alone;
	MfItemKind	item;
	const MfList *list;			/* that the answer is; NULL = it is none */
}			kinds[] = {
	[MF_JOB_INQUIRY] = {true, false, MF_ITEM_INQUIRY, NULL},
	[MF_JOB_REFUNDS] = {true, false, MF_ITEM_INQUIRY, &mf_refund_list},
	[MF_JOB_PAYMENT_ID] = {true, false, MF_ITEM_EVENT, NULL},
	[MF_JOB_WEBHOOK_LOG] = {true, true, MF_ITEM_LOG, &mf_webhook_log},
	[MF_JOB_DEPOSIT] = {true, true, MF_ITEM_DEPOSIT, &mf_deposit_list},
	[MF_JOB_RECURRING] = {true, true, MF_ITEM_EVENT, &mf_recurring_list},
	[MF_JOB_OPERATION] = {false, false, MF_ITEM_OPERATION, NULL}
};

static HTAB *flights_under_way = NULL;

/* In the bodies of requests without an answer, all accounts together */
static size_t held_bytes = 0;

/* See mf_flight_deposits() */
static int	deposit_count = 0;

static bool is_under_way(int64 invoice, UnderWayKind kind);
static MfRequest fill_request(const MfJob *job, const MfAccount *account);
static MfFlight *create_flight(MemoryContext context, MfJobKind kind, const MfAccount *account, MfHttpTarget *target,
							   char *body, size_t body_len);

int
mf_flight_room(const MfThrottle *throttle, int limit)
{
	if (held_bytes < MF_HELD_BYTES_MAX)
		return limit;
	return throttle->held_bytes < MF_HELD_BYTES_OWN ? Min(limit, MF_HELD_BYTES_OWN / MF_BODY_MAX) : 0;
}

/* Takes over the body of a request, and counts it. */
static void
hold_body(MfFlight *flight, char *body, size_t len)
{
	flight->body = body;
	flight->body_len = flight->held_bytes = len;
	flight->throttle->held_bytes += len;
	held_bytes += len;
}

/* Counts the body no more: the transport has freed it, or will soon. */
static void
release_body(MfFlight *flight)
{
	held_bytes -= flight->held_bytes;
	flight->throttle->held_bytes -= flight->held_bytes;
	flight->held_bytes = 0;
}

bool
mf_flight_is_lookup(const MfFlight *flight)
{
	return !mf_flight_sends(flight);
}

bool
mf_flight_sends(const MfFlight *flight)
{
	return flight->kind == MF_JOB_SEND || flight->kind == MF_JOB_OPERATION;
}

MfRequestKind
mf_flight_request_kind(const MfFlight *flight)
{
	if (flight->kind == MF_JOB_OPERATION)
		return MF_REQUEST_OPERATION;
	if (mf_flight_is_inquiry(flight))
		return MF_REQUEST_INQUIRY;
	return mf_flight_is_lookup(flight) ? MF_REQUEST_LOOKUP : MF_REQUEST_SEND;
}

MfStatus
mf_flight_expected_status(const MfFlight *flight)
{
	switch (flight->kind)
	{
		case MF_JOB_SEND:
			return MF_STATUS_SENDING;
		case MF_JOB_RECONCILE:
			return MF_STATUS_UNKNOWN;
		case MF_JOB_VERIFY:
			return MF_STATUS_QUEUED;
		default:
			return MF_STATUS_SENT;
	}
}

MfFlight *
mf_flight_create(MemoryContext context, const MfJob *job, const MfAccount *account,
				 MfHttpTarget *target, const char *reference, bool v3)
{
	bool		is_lookup = job->kind != MF_JOB_SEND;
	MfRequest	filled = fill_request(job, account);
	const MfRequest *request = &filled;
	size_t		body_len;
	char	   *body = NULL;
	MemoryContext old;
	MfFlight   *flight;

	if (is_lookup)
		body = mf_key_body(mf_to_utf8(reference), "CustomerReference", &body_len);
	else
	{
		if (v3)
			body = mf_flight_v3_body(job, account, &body_len);
		v3 = body != NULL;
		if (!v3)
			body = mf_request_body(request, account, job->reference, &body_len);
	}
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", job->reference)));

	flight = create_flight(context, job->kind, account, target, body, body_len);
	old = MemoryContextSwitchTo(flight->memory);
	flight->invoice = job->invoice;
	flight->attempt = is_lookup ? job->attempts : job->attempts + 1;
	flight->reference = pstrdup(reference);
	flight->own_reference = strcmp(reference, job->reference) == 0;
	flight->sent_reference = pstrdup(mf_to_utf8(reference));
	flight->v3 = v3 && !is_lookup;
	flight->executes = mf_request_executes(request);
	flight->recurring = !request->isnull[MF_SP_RECURRING_TYPE];
	if (flight->v3)
		flight->idempotency_key = mf_request_key(reference);
	if (is_lookup)
	{
		flight->invoice_value =
			DatumGetCString(DirectFunctionCall1(numeric_out, request->values[MF_SP_INVOICE_VALUE]));
		flight->currency = request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] ? pstrdup(account->currency) :
			TextDatumGetCString(request->values[MF_SP_DISPLAY_CURRENCY_ISO]);
		flight->notification_option = TextDatumGetCString(request->values[MF_SP_NOTIFICATION_OPTION]);
		flight->invoice_id = job->invoice_id ? pstrdup(job->invoice_id) : NULL;
		flight->lookups = job->lookups;
		if (!request->isnull[MF_SP_EXPIRY_DATE])
			flight->expires_at = DatumGetTimestampTz(request->values[MF_SP_EXPIRY_DATE]);
	}
	MemoryContextSwitchTo(old);
	return flight;
}

char *
mf_flight_v3_body(const MfJob *job, const MfAccount *account, size_t *len)
{
	MfRequest	filled = fill_request(job, account);

	return mf_request_v3_body(&filled, account, job->reference, len, NULL);
}

/*
 * The request of a row: with the URLs of this database, and in the currency that the account had
 * when the row was inserted, which is another now if its country or environment has changed.
 */
static MfRequest
fill_request(const MfJob *job, const MfAccount *account)
{
	MfRequest	filled = job->request;

	if (job->currency != (Datum) 0)
		(void) mf_request_keep_currency(&filled, job->currency, account);
	mf_fill_urls(&filled, account, job->invoice, job->reference, job->callbacks);
	return filled;
}

/* Creates a flight, with a context of its own in that one.  From here on, only memory can run out. */
static MfFlight *
create_flight(MemoryContext context, MfJobKind kind, const MfAccount *account, MfHttpTarget *target, char *body,
			  size_t body_len)
{
	int			window = account->connect_timeout_ms + MF_SEND_MARGIN_MS;
	MemoryContext memory = AllocSetContextCreate(context, "myfatoorah flight", ALLOCSET_DEFAULT_SIZES);
	MfFlight   *flight = (MfFlight *) MemoryContextAllocZero(memory, sizeof(MfFlight));

	flight->memory = memory;
	flight->kind = kind;
	flight->throttle = mf_throttle_get(account->name);
	flight->throttle->flights++;

	/* first the clock by which the request is stopped: if the process is frozen now, it must be the earlier one */
	flight->send_by_clock = mf_http_clock() + (int64) window * 1000000;
	flight->send_by = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), window);
	flight->answer_by = TimestampTzPlusMilliseconds(flight->send_by, account->timeout_ms);
	flight->target = target;
	mf_http_target_hold(target);
	hold_body(flight, body, body_len);
	return flight;
}

int
mf_flight_watched(const MfFlight *flight)
{
	return flight->given_up + (flight->twin ? 1 : 0);
}

bool
mf_flight_is_inquiry(const MfFlight *flight)
{
	return kinds[flight->kind].is_inquiry;
}

bool
mf_flight_stands_alone(const MfFlight *flight)
{
	return kinds[flight->kind].stands_alone;
}

int
mf_flight_failures(const MfFlight *flight)
{
	return flight->inquiry != NULL ? flight->inquiry->failures : flight->deposit != NULL ? flight->deposit->failures : 0;
}

void
mf_flight_set_under_way(MfFlight *flight, bool under_way)
{
	UnderWayKey key;
	UnderWay   *entry;
	bool		found;

	if (flight->invoice == 0 || flight->under_way == under_way)
		return;
	if (flights_under_way == NULL)
		flights_under_way = hash_create("myfatoorah flights under way", 256,
										&(HASHCTL) {.keysize = sizeof(UnderWayKey), .entrysize = sizeof(UnderWay)},
										HASH_ELEM | HASH_BLOBS);
	memset(&key, 0, sizeof(key));
	key.invoice = flight->invoice;
	key.kind = flight->kind == MF_JOB_OPERATION ? ABOUT_OPERATION :
		mf_flight_is_inquiry(flight) ? ABOUT_PAYMENT : ABOUT_INVOICE;
	entry = (UnderWay *) hash_search(flights_under_way, &key, HASH_ENTER, &found);
	if (!found)
		entry->count = 0;
	entry->count += under_way ? 1 : -1;
	if (entry->count == 0)
		(void) hash_search(flights_under_way, &key, HASH_REMOVE, NULL);
	flight->under_way = under_way;
}

bool
mf_flight_under_way(int64 invoice, bool inquiry)
{
	return is_under_way(invoice, inquiry ? ABOUT_PAYMENT : ABOUT_INVOICE);
}

bool
mf_flight_operation_under_way(int64 invoice)
{
	return is_under_way(invoice, ABOUT_OPERATION);
}

static bool
is_under_way(int64 invoice, UnderWayKind kind)
{
	UnderWayKey key;

	if (flights_under_way == NULL)
		return false;
	memset(&key, 0, sizeof(key));
	key.invoice = invoice;
	key.kind = kind;
	return hash_search(flights_under_way, &key, HASH_FIND, NULL) != NULL;
}

MfFlight *
mf_flight_create_inquiry(MemoryContext context, MfJobKind kind, const MfInquiryJob *job,
						 const MfAccount *account, MfHttpTarget *target, char *body, size_t body_len)
{
	MemoryContext old;
	MfFlight   *flight;

	if (body == NULL && kind != MF_JOB_RECURRING)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build an inquiry of account \"%s\"", account->name)));
	flight = create_flight(context, kind, account, target, body, body_len);
	if (kind == MF_JOB_RECURRING)
		flight->throttle->plan_lists++;
	old = MemoryContextSwitchTo(flight->memory);
	if (job != NULL)
	{
		flight->invoice = job->invoice;
		flight->inquiry = (MfInquiryJob *) palloc(sizeof(MfInquiryJob));
		*flight->inquiry = *job;
		flight->claimed_at = GetCurrentTimestamp();
		flight->inquiry->account = flight->throttle->account;
		flight->inquiry->key = pstrdup(job->key);
	}
	MemoryContextSwitchTo(old);
	return flight;
}

MfFlight *
mf_flight_create_deposit(MemoryContext context, const MfDepositJob *job, const MfAccount *account, MfHttpTarget *target)
{
	size_t		body_len;
	char	   *body = mf_deposit_body(mf_to_utf8(job->reference), job->supplier_code, &body_len);
	MfFlight   *flight = mf_flight_create_inquiry(context, MF_JOB_DEPOSIT, NULL, account, target, body, body_len);
	MemoryContext old = MemoryContextSwitchTo(flight->memory);

	flight->deposit = (MfDepositJob *) palloc(sizeof(MfDepositJob));
	*flight->deposit = *job;
	flight->deposit->reference = pstrdup(job->reference);
	flight->deposit->supplier_code = job->supplier_code != NULL ? pstrdup(job->supplier_code) : NULL;
	MemoryContextSwitchTo(old);
	deposit_count++;
	return flight;
}

int
mf_flight_deposits(void)
{
	return deposit_count;
}

MfFlight *
mf_flight_create_operation(MemoryContext context, const MfOperation *operation, const MfAccount *account,
						   MfHttpTarget *target, char *body, size_t body_len)
{
	const char *sent_reference = mf_to_utf8(operation->reference);
	MfFlight   *flight;

	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", operation->reference)));
	flight = create_flight(context, MF_JOB_OPERATION, account, target, body, body_len);
	flight->invoice = operation->invoice;
	flight->operation = operation->id;
	flight->operation_kind = operation->kind;
	flight->with_suppliers = operation->suppliers != NULL;
	flight->invoice_id = MemoryContextStrdup(flight->memory, operation->invoice_id);
	flight->attempt = operation->attempts + 1;
	flight->reference = MemoryContextStrdup(flight->memory, operation->reference);
	flight->sent_reference = MemoryContextStrdup(flight->memory, sent_reference);
	return flight;
}

void
mf_flight_free(MfFlight *flight)
{
	if (flight->deposit != NULL)
	{
		/* scans have passed over deposits for whose answers there was no memory */
		deposit_count--;
		mf_inquiry_wake();
	}
	if (flight->kind == MF_JOB_RECURRING)
		flight->throttle->plan_lists--;
	mf_flight_set_under_way(flight, false);
	release_body(flight);
	mf_http_target_let_go(flight->target);
	flight->throttle->flights--;
	free(flight->body);
	mf_send_result_free(&flight->sent);
	mf_payment_free(&flight->payment);
	mf_status_result_free(&flight->found);
	mf_list_result_free(&flight->list);
	MemoryContextDelete(flight->memory);
}

const MfEndpoint *
mf_flight_endpoint(const MfFlight *flight)
{
	const MfList *list = kinds[flight->kind].list;

	if (flight->kind == MF_JOB_SEND)
		return &mf_endpoints[flight->v3 ? MF_V3_CREATE_PAYMENT :
							 flight->executes ? MF_EXECUTE_PAYMENT : MF_SEND_PAYMENT];
	if (flight->kind == MF_JOB_OPERATION)
		return &mf_endpoints[flight->operation_kind != MF_OPERATION_REFUND ? MF_UPDATE_PAYMENT_STATUS :
							 flight->with_suppliers ? MF_MAKE_SUPPLIER_REFUND : MF_MAKE_REFUND];
	return &mf_endpoints[list != NULL ? list->endpoint : MF_GET_PAYMENT_STATUS];
}

void
mf_flight_read(MfFlight *flight, const MfHttpExchange *exchange)
{
	const MfEndpoint *endpoint = mf_flight_endpoint(flight);
	const MfList *list = kinds[flight->kind].list;

	release_body(flight);
	flight->http_status = (int) exchange->http_status;
	flight->unanswered = !mf_is_answered(exchange);
	flight->starved = exchange->starved;
	if (mf_flight_sends(flight))
		mf_send_result_read(endpoint, exchange, endpoint->effect == MF_EFFECT_CREATES ? flight->sent_reference :
							flight->invoice_id, &flight->sent);
	else if (flight->kind == MF_JOB_DEPOSIT)
		mf_deposit_result_read(exchange, flight->deposit->reference, &flight->list);
	else if (list != NULL)
		mf_list_result_read(list, exchange, &flight->list);
	else
	{
		flight->answer_date = mf_http_date(exchange);
		mf_status_result_read(exchange, &flight->found);
		if ((flight->kind == MF_JOB_INQUIRY || flight->recurring) && flight->found.base.lookup == MF_LOOKUP_FOUND &&
			!mf_payment_read(&flight->found, &flight->payment))
			flight->found.base.lookup = MF_LOOKUP_FAILED;
	}
}

/* The result of its kind, of a look-up or inquiry */
static MfLookupResult *
lookup_result(const MfFlight *flight)
{
	return unconstify(MfLookupResult *, kinds[flight->kind].list != NULL ? &flight->list.base : &flight->found.base);
}

void
mf_flight_fail(MfFlight *flight, bool started, const char *error)
{
	MfLookupResult *result = lookup_result(flight);

	release_body(flight);
	if (mf_flight_sends(flight))
	{
		flight->sent.outcome = started ? MF_OUTCOME_UNKNOWN : MF_OUTCOME_NOT_SENT;
		flight->sent.error = strdup(error);
		return;
	}
	result->lookup = MF_LOOKUP_FAILED;
	result->not_sent = !started;
	result->error = strdup(error);
}

MfLookup
mf_flight_lookup(const MfFlight *flight)
{
	return lookup_result(flight)->lookup;
}

MfOutcome
mf_flight_outcome(const MfFlight *flight)
{
	if (!mf_flight_is_lookup(flight))
		return flight->sent.outcome;

	switch (mf_flight_lookup(flight))
	{
		case MF_LOOKUP_FOUND:
		case MF_LOOKUP_NOT_FOUND:
			return MF_OUTCOME_ACCEPTED;
		case MF_LOOKUP_REFUSED:
			return MF_OUTCOME_REJECTED;
		case MF_LOOKUP_THROTTLED:
			return MF_OUTCOME_THROTTLED;
		case MF_LOOKUP_ACCOUNT_PROBLEM:
			return MF_OUTCOME_ACCOUNT_PROBLEM;
		case MF_LOOKUP_INCONCLUSIVE:
		case MF_LOOKUP_FAILED:
			break;
	}
	return lookup_result(flight)->not_sent ? MF_OUTCOME_NOT_SENT : MF_OUTCOME_UNKNOWN;
}

/* only the result of its kind is filled */
int
mf_flight_retry_after(const MfFlight *flight)
{
	return Max(flight->sent.retry_after, Max(flight->found.base.retry_after, flight->list.base.retry_after));
}

TimestampTz
mf_flight_retry_time(const MfFlight *flight, TimestampTz now, int64 delay_ms)
{
	return TimestampTzPlusMilliseconds(now, Max((int64) mf_flight_retry_after(flight) * 1000, delay_ms));
}

const char *
mf_flight_error_utf8(const MfFlight *flight)
{
	return mf_flight_sends(flight) ? flight->sent.error : lookup_result(flight)->error;
}

char *
mf_flight_error(const MfFlight *flight)
{
	return flight->unanswered ? pstrdup(mf_network_error(mf_flight_outcome(flight) != MF_OUTCOME_NOT_SENT)) :
		mf_flight_details(flight);
}

char *
mf_flight_details(const MfFlight *flight)
{
	return mf_from_utf8_lossy(mf_flight_error_utf8(flight));
}

int
mf_flight_collect(dlist_head *landed, MfFlight **flights, int limit, TimestampTz now, TimestampTz *next_round)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, landed)
	{
		MfFlight   *flight = dlist_container(MfFlight, node, iter.cur);

		if (flight->retry_at > now)
		{
			*next_round = mf_earlier(*next_round, flight->retry_at);
			continue;
		}
		if (count == limit)
			break;
		mf_flight_add_item(flight);
		flights[count++] = flight;
	}
	return count;
}

void
mf_flight_add_item(MfFlight *flight)
{
	MfItemKind	kind = kinds[flight->kind].item;
	int64		id = kind == MF_ITEM_EVENT ? flight->inquiry->event :
		kind == MF_ITEM_LOG ? mf_items_account_id(flight->throttle->account) :
		kind == MF_ITEM_DEPOSIT ? flight->deposit->id :
		kind == MF_ITEM_OPERATION ? flight->operation : flight->invoice;

	mf_items_add_answer(kind, id, mf_flight_sends(flight), flight);
}
