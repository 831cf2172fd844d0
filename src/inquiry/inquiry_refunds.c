/*
 * inquiry_refunds.c
 *	  What answers about refunds mean for the rows of refunds.
 *
 * Only such answers end a refund.  A row that is unknown is found by our reference; if
 * it is not found to the end, a person decides.  Refunds of others, such as those made in
 * the portal, become rows, too: what they take cannot be refunded once more.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_refunds.c
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "database/sql_array.h"
#include "inquiry/inquiry_internal.h"

#define ACTOR "status reader"

/* By what a refund of an answer is known as that of a row, the surest first; in the end, each is somebody's */
typedef enum Sign
{
	SIGN_REFUND_ID,
	SIGN_REFERENCE,
	SIGN_ANSWER,				/* to the request, which proved nothing */
	SIGN_FOREIGN,				/* RefundId of a row that an earlier answer has made */
	SIGN_NONE
} Sign;

/* What the answers of a batch change */
typedef struct Settlement
{
	const MfSqlScope *scope;
	TimestampTz now;
	List	   *rows;			/* of MfOperation, as read: not locked */
	bool	   *matched;		/* by row */
	MfOperationChange *changes;
	int			change_count;
	MfForeignRefund *foreign;
	int			foreign_count;
} Settlement;

static void report_refused(const MfOperation *row, const MfOperationChange *change);
static void doubt_twice(const MfSqlScope *scope, ArrayType *array);
static int	count_refunds(const List *flights);
static void settle_answer(Settlement *settlement, const MfFlight *flight);
static int	find_row(const Settlement *settlement, const MfFlight *flight, char *const *refund, Sign sign);
static void change_row(Settlement *settlement, const MfOperation *row, char *const *refund, MfOperationStatus status);
static void add_foreign(Settlement *settlement, const MfFlight *flight, char *const *refund, MfOperationStatus status);
static void count_not_found(Settlement *settlement, const MfFlight *flight);
static const char *possible_refund(const Settlement *settlement, const MfOperation *row);
static char *contradiction(const MfOperation *row, char *const *refund, MfOperationStatus status);

void
mf_inquiry_settle_refunds(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	int			count = list_length(batch->refund_answers);
	int64	   *invoices = (int64 *) palloc(count * sizeof(int64));
	Settlement	settlement;
	int			refunds = count_refunds(batch->refund_answers);
	ListCell   *lc;

	foreach(lc, batch->refund_answers)
		invoices[foreach_current_index(lc)] = ((const MfFlight *) lfirst(lc))->invoice;
	memset(&settlement, 0, sizeof(settlement));
	settlement.scope = scope;
	settlement.now = batch->now;
	settlement.rows = mf_operations_of_invoices(scope, invoices, count, true);
	settlement.matched = (bool *) palloc0((list_length(settlement.rows) + 1) * sizeof(bool));
	settlement.changes = (MfOperationChange *) palloc((list_length(settlement.rows) + 1) * sizeof(MfOperationChange));
	settlement.foreign = (MfForeignRefund *) palloc0((refunds + 1) * sizeof(MfForeignRefund));
	foreach(lc, batch->refund_answers)
		settle_answer(&settlement, (const MfFlight *) lfirst(lc));
	mf_inquiry_apply_operations(scope, settlement.changes, settlement.change_count);
	if (settlement.foreign_count > 0)
		doubt_twice(scope, DatumGetArrayTypePCopy(mf_operations_add_foreign(scope, settlement.foreign, settlement.foreign_count)));
}

/* Has a person look at invoices with a refund by an earlier request of a row. */
static void
doubt_twice(const MfSqlScope *scope, ArrayType *array)
{
	const int64 *invoices = (const int64 *) ARR_DATA_PTR(array);
	int			count = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	int			i;

	for (i = 0; i < count; i++)
		mf_payment_doubt(scope, invoices[i], "a refund may be one too many: last_error of mf_refund says why", false);
	if (count > 0)
		ereport(LOG,
				(mf_log_event("refund_twice", "refunds that may be one too many: %d", count),
				 errhint("SELECT * FROM mf_refund WHERE last_error IS NOT NULL shows it; cancel what is one too many in the MyFatoorah portal.")));
}

static int
count_refunds(const List *flights)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, flights)
		count += ((const MfFlight *) lfirst(lc))->list.row_count;
	return count;
}

static void
settle_answer(Settlement *settlement, const MfFlight *flight)
{
	const char *key = flight->inquiry->key;
	bool	   *known = (bool *) palloc0(flight->list.row_count + 1);
	Sign		sign;
	int			i;

	for (sign = SIGN_REFUND_ID; sign <= SIGN_NONE; sign++)
	{
		for (i = 0; i < flight->list.row_count; i++)
		{
			char *const *refund = mf_list_row(&flight->list, i);
			MfOperationStatus status;
			bool		readable = mf_inquiry_refund_status(refund[MF_RF_REFUND_STATUS], &status) &&
				mf_amount_is_plausible(refund[MF_RF_AMOUNT]);
			int			row;

			if (known[i] || (refund[MF_RF_INVOICE_ID] != NULL && strcmp(refund[MF_RF_INVOICE_ID], key) != 0))
				continue;
			row = find_row(settlement, flight, refund, sign);
			known[i] = row >= 0;
			if (row >= 0)
				settlement->matched[row] = true;
			if (row >= 0 && readable)
				change_row(settlement, (const MfOperation *) list_nth(settlement->rows, row), refund, status);
			else if (sign == SIGN_NONE && readable)
				add_foreign(settlement, flight, refund, status);
		}
	}
	count_not_found(settlement, flight);
}

bool
mf_inquiry_refund_status(const char *word, MfOperationStatus *status)
{
	if (pg_strcasecmp(word, "Refunded") == 0)
		*status = MF_OPERATION_REFUNDED;
	else if (pg_strcasecmp(word, "Pending") == 0)
		*status = MF_OPERATION_FILED;
	else if (pg_strcasecmp(word, "Canceled") == 0)
		*status = MF_OPERATION_REFUSED;
	else
		return false;
	return true;
}

/*
 * The row of a refund, -1 = none: by its RefundId, by the reference of any of its attempts, or
 * by the RefundId in an answer to the request.  Each row has one.  A RefundId that no list has
 * shown, because MyFatoorah has answered with another one's, gives way to the row's reference; so
 * does one of a foreign row, which was listed before the answer was recorded, or without a reference.
 */
static int
find_row(const Settlement *settlement, const MfFlight *flight, char *const *refund, Sign sign)
{
	const char *reference = mf_from_utf8_lossy(refund[MF_RF_EXTERNAL_IDENTIFIER]);
	ListCell   *lc;

	foreach(lc, settlement->rows)
	{
		const MfOperation *row = (const MfOperation *) lfirst(lc);
		int			number = foreach_current_index(lc);
		const char *id = sign == (row->is_foreign ? SIGN_FOREIGN : SIGN_REFUND_ID) ? row->refund_id :
			sign == SIGN_ANSWER ? row->answered_id : NULL;

		if (row->invoice != flight->invoice || settlement->matched[number])
			continue;
		if (id != NULL && strcmp(id, refund[MF_RF_REFUND_ID]) == 0)
			return number;
		if (sign == SIGN_REFERENCE && reference != NULL && row->reference != NULL && row->refund_reference == NULL &&
			(strcmp(row->reference, reference) == 0 || (row->refund_id == NULL && mf_is_resend_of(row->reference, reference))))
			return number;
	}
	return -1;
}

/* A row that is being sent is left to its answer; what was refunded stays so, and what is said against that needs a person, once. */
static void
change_row(Settlement *settlement, const MfOperation *row, char *const *refund, MfOperationStatus status)
{
	MfOperationChange *change = &settlement->changes[settlement->change_count];
	bool		was_refunded = row->status == MF_OPERATION_REFUNDED;
	char	   *doubt = contradiction(row, refund, status);
	char	   *told = psprintf("MyFatoorah has RefundId %s ", refund[MF_RF_REFUND_ID]);
	bool		was_told = row->last_error != NULL && strncmp(row->last_error, told, strlen(told)) == 0;

	if (row->status == MF_OPERATION_SENDING)
		return;
	if (was_refunded && (doubt == NULL ? !was_told : row->last_error != NULL && strcmp(doubt, row->last_error) == 0))
		return;
	if (!was_refunded && row->status == status && row->refund_id != NULL && row->refund_reference != NULL)
		return;
	mf_operation_change_begin(change, row, ACTOR);
	change->to = was_refunded ? row->status : status;
	change->lookups = 0;
	change->refund_id = refund[MF_RF_REFUND_ID];
	change->refund_reference = mf_from_utf8_lossy(refund[MF_RF_REFUND_REFERENCE]);
	change->refunded_value = status == MF_OPERATION_REFUNDED && refund[MF_RF_REFUND_AMOUNT] != NULL &&
		mf_amount_is_plausible(refund[MF_RF_REFUND_AMOUNT]) ? refund[MF_RF_REFUND_AMOUNT] : NULL;
	change->rrn = mf_from_utf8_lossy(refund[MF_RF_RRN]);
	change->reason = psprintf("RefundId %s, RefundStatus %s", refund[MF_RF_REFUND_ID], mf_from_utf8_lossy(refund[MF_RF_REFUND_STATUS]));
	change->error = doubt != NULL ? doubt : status == MF_OPERATION_REFUSED ? "rejected by MyFatoorah" : NULL;
	if (doubt != NULL && change->to == MF_OPERATION_REFUNDED)
		mf_payment_doubt(settlement->scope, row->invoice, psprintf("%s, and refund %lld is one of %s", doubt, (long long) row->id,
																   row->value), false);
	if (change->to == MF_OPERATION_FILED)
		change->due = TimestampTzPlusMilliseconds(settlement->now, (int64) mf_poll_delay * MF_FILED_POLLS);
	settlement->change_count++;
}

/* What an answer says against a row; NULL = nothing */
static char *
contradiction(const MfOperation *row, char *const *refund, MfOperationStatus status)
{
	if (row->value != NULL && mf_amount_compare(row->value, refund[MF_RF_AMOUNT]) != 0)
		return psprintf("MyFatoorah has RefundId %s with an amount of %s", refund[MF_RF_REFUND_ID], refund[MF_RF_AMOUNT]);
	if (row->status == MF_OPERATION_REFUNDED && status != MF_OPERATION_REFUNDED)
		return psprintf("MyFatoorah has RefundId %s as \"%s\", which was refunded", refund[MF_RF_REFUND_ID],
						mf_from_utf8_lossy(refund[MF_RF_REFUND_STATUS]));
	return NULL;
}

static void
add_foreign(Settlement *settlement, const MfFlight *flight, char *const *refund, MfOperationStatus status)
{
	MfForeignRefund *foreign = &settlement->foreign[settlement->foreign_count++];

	foreign->invoice = flight->invoice;
	foreign->status = status;
	foreign->value = refund[MF_RF_AMOUNT];
	foreign->refund_id = refund[MF_RF_REFUND_ID];
	foreign->refund_reference = mf_from_utf8_lossy(refund[MF_RF_REFUND_REFERENCE]);
	if (status == MF_OPERATION_REFUNDED && refund[MF_RF_REFUND_AMOUNT] != NULL && mf_amount_is_plausible(refund[MF_RF_REFUND_AMOUNT]))
		foreign->refunded_value = refund[MF_RF_REFUND_AMOUNT];
	foreign->rrn = mf_from_utf8_lossy(refund[MF_RF_RRN]);
	foreign->currency = mf_account_get(flight->throttle->account)->currency;
	foreign->reference = mf_from_utf8_lossy(refund[MF_RF_EXTERNAL_IDENTIFIER]);
}

/*
 * Counts the look-up for rows of the invoice that are unknown, or to be asked for again, and not in the answer.  It
 * counts only if it was made after we wanted to know: then MyFatoorah cannot be processing
 * the request any more.  Each time that we want to know counts once: inquiries that are
 * repeated soon, or that others ask for, do not shorten the time that MyFatoorah has.
 * In which words MyFatoorah says that an invoice has no refund is not documented: of what
 * was never asked for, any refusal says so.
 */
static void
count_not_found(Settlement *settlement, const MfFlight *flight)
{
	bool		clear = flight->list.base.lookup == MF_LOOKUP_FOUND || flight->list.base.lookup == MF_LOOKUP_NOT_FOUND;
	ListCell   *lc;

	foreach(lc, settlement->rows)
	{
		const MfOperation *row = (const MfOperation *) lfirst(lc);
		MfOperationChange *change = &settlement->changes[settlement->change_count];
		const char *id;

		if (row->invoice != flight->invoice || (!clear && row->may_exist) ||
			(row->status != MF_OPERATION_UNKNOWN && row->status != MF_OPERATION_QUEUED) ||
			settlement->matched[foreach_current_index(lc)] || row->asked_at == 0 || flight->claimed_at < row->asked_at)
			continue;
		mf_operation_change_begin(change, row, ACTOR);
		mf_inquiry_not_found(change, row, flight, settlement->now);
		settlement->change_count++;
		id = possible_refund(settlement, row);
		if (id == NULL || change->to == MF_OPERATION_UNKNOWN)
			continue;
		change->to = MF_OPERATION_REVIEW;
		change->due = 0;
		change->lookups = 0;
		change->reference = NULL;
		change->error = psprintf("MyFatoorah lists RefundId %s of the same amount without ExternalIdentifier, which may be this one: %s",
								 id, row->last_error ? row->last_error : "no answer");
	}
}

/* The RefundId of one that may be a row which was asked for; NULL = none */
static const char *
possible_refund(const Settlement *settlement, const MfOperation *row)
{
	int			i;

	if (row->status == MF_OPERATION_QUEUED && !row->may_exist)
		return NULL;
	for (i = 0; i < settlement->foreign_count; i++)
	{
		const MfForeignRefund *foreign = &settlement->foreign[i];

		if (foreign->invoice == row->invoice && foreign->reference == NULL && mf_amount_compare(foreign->value, row->value) == 0)
			return foreign->refund_id;
	}
	return row->possible_id;
}

/*
 * How soon MyFatoorah shows a refund is not documented, so a person decides whether it
 * is asked for again.  If the request was refused for the sake of the key or the pace,
 * it is.  What is queued may leave after one look-up, to where that went: it is new, it was
 * refused, or a person has decided.
 */
void
mf_inquiry_not_found(MfOperationChange *change, const MfOperation *row, const MfFlight *flight, TimestampTz now)
{
	bool		refused = row->ended &&
		(row->outcome == MF_OUTCOME_THROTTLED || row->outcome == MF_OUTCOME_ACCOUNT_PROBLEM);

	change->lookups = row->lookups + 1;
	change->confirmed_from = mf_http_target_checksum(flight->target);
	change->due = row->status == MF_OPERATION_QUEUED ? now : mf_lookup_time(change->lookups, now);
	if (row->status == MF_OPERATION_QUEUED || change->lookups < MF_LOOKUP_STEPS)
		return;
	if (refused)
	{
		change->to = MF_OPERATION_QUEUED;
		change->reference = mf_next_reference(row->reference);
		change->reason = "not found by any look-up";
		return;
	}
	change->to = MF_OPERATION_REVIEW;
	change->due = 0;
	change->lookups = 0;
	change->error = psprintf("outcome unknown, and MyFatoorah does not show it: %s",
							 row->last_error ? row->last_error : "no answer");
}

void
mf_inquiry_apply_operations(const MfSqlScope *scope, MfOperationChange *changes, int count)
{
	int64	   *ids = (int64 *) palloc((count + 1) * sizeof(int64));
	List	   *locked;
	int			kept = 0;
	int			i;

	for (i = 0; i < count; i++)
		ids[i] = changes[i].id;
	locked = count > 0 ? mf_operations_lock(scope, ids, count) : NIL;
	for (i = 0; i < count; i++)
	{
		const MfOperation *row = (const MfOperation *) mf_find_id(locked, changes[i].id);

		if (row != NULL && row->status == changes[i].from)
			changes[kept++] = changes[i];
	}
	if (kept == 0)
		return;
	mf_operations_apply(scope, changes, kept);
	for (i = 0; i < kept; i++)
		report_refused((const MfOperation *) mf_find_id(locked, changes[i].id), &changes[i]);
	MF_FAILPOINT("operation_settled");
}

/* Whoever has asked for it may have told the customer that the money is on its way, and is not told otherwise by any other line. */
static void
report_refused(const MfOperation *row, const MfOperationChange *change)
{
	if (change->from == MF_OPERATION_FILED && change->to == MF_OPERATION_REFUSED)
		ereport(LOG,
				(mf_log_event("refund_refused", "%s %lld of invoice %lld was refused after it had been filed",
							  mf_operation_kind_name(row->kind), (long long) row->id, (long long) row->invoice),
				 errdetail_internal("%s", change->reason),
				 row->kind != MF_OPERATION_REFUND ? 0 :
				 errhint("Nothing went back to the customer. Once the cause is removed: SELECT mf_retry_refund(%lld, 'reason')",
						 (long long) row->id)));
}
