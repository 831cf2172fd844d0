/*
 * payment.c
 *	  SQL of payment status: what answers make of invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/payment.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "database/sql_array.h"
#include "process/notify.h"
#include "store/events.h"
#include "store/invoice_number.h"
#include "store/ledger.h"
#include "store/operation_sums.h"
#include "store/payment.h"
#include "store/queue_internal.h"

/* locks the events that an answer settles, too; waits for no session that has locked them or the row */
static MfStatement lock_statement = {
	"WITH e AS MATERIALIZED (SELECT e.id FROM @mf_event e WHERE " UNANSWERED("e") " FOR NO KEY UPDATE SKIP LOCKED) "
	"SELECT i.id::int8, i.invoice_id::text, i.payment_status::text, i.attempts::int4, i.base_value::text, "
	"  i.reference::text, "
	"  i.invoice_value::text, i.currency::text, i.received_value::text, i.refunded_value::text, i.payment_error::text, "
	"  i.customer_reference::text, coalesce(i.replaced_by, 0)::int8, i.taken_over_from::text, i.base_currency::text "
	"FROM @mf_invoice i "
	"WHERE i.id = ANY ($1) AND i.status = 'sent' AND NOT EXISTS (SELECT FROM @mf_event o WHERE " UNANSWERED("o") " "
	"  AND o.invoice = i.id AND o.id NOT IN (SELECT e.id FROM e)) FOR NO KEY UPDATE OF i SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL
};

/* the columns that answers change, but for net_value, which follows from others */
#define RESULTS(row) \
	row "payment_status, " row "invoice_status, " row "payment_id, " row "base_currency, " row "base_value, " \
	row "display_currency, " row "display_value, " row "pay_currency, " row "pay_value, " row "paid_at, " \
	row "received_value, " row "refunded_value, " row "overpaid, " row "paid_late, " row "disputed_at, " \
	row "expires_at, " row "payment_doubt, " row "payment_error"

/* a row that would stay the same is not written */
static MfStatement apply_statement = {
	"UPDATE @mf_invoice i SET (" RESULTS("") ", net_value) = (" RESULTS("n.") ", n.received_value - n.refunded_value) "
	"FROM (SELECT o.id, c.to_status AS payment_status, coalesce(c.invoice_status, o.invoice_status) AS invoice_status, "
	"    coalesce(c.payment_id, o.payment_id) AS payment_id, "
	"    coalesce(c.base_currency, o.base_currency) AS base_currency, "
	"    coalesce(c.base_value::numeric, o.base_value) AS base_value, "
	"    coalesce(c.display_currency, o.display_currency) AS display_currency, "
	"    coalesce(c.display_value::numeric, o.display_value) AS display_value, "
	"    coalesce(c.pay_currency, o.pay_currency) AS pay_currency, "
	"    coalesce(c.pay_value::numeric, o.pay_value) AS pay_value, coalesce(o.paid_at, c.paid_at) AS paid_at, "
	"    coalesce(c.received_value::numeric, o.received_value) AS received_value, "
	"    coalesce(c.refunded_value::numeric, o.refunded_value) AS refunded_value, "
	"    CASE WHEN c.has_dispute THEN c.disputed_at ELSE o.disputed_at END AS disputed_at, "
	"    coalesce(c.expires_at, o.expires_at) AS expires_at, coalesce(c.doubt, o.payment_doubt) AS payment_doubt, "
	"    o.overpaid OR c.overpaid AS overpaid, o.paid_late OR c.paid_late AS paid_late, c.error AS payment_error "
	"  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) "
	"    AS c(invoice, to_status, invoice_status, payment_id, base_currency, base_value, display_currency, "
	"      display_value, pay_currency, pay_value, paid_at, refunded_value, overpaid, paid_late, error, "
	"      received_value, has_dispute, disputed_at, expires_at, doubt) "
	"  JOIN @mf_invoice o ON o.id = c.invoice AND o.id = ANY ($1)) n "
	"WHERE i.id = ANY ($1) AND i.id = n.id AND (" RESULTS("i.") ") IS DISTINCT FROM (" RESULTS("n.") ") RETURNING i.id",
	20, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID}, NULL
};

static MfStatement history_statement = {
	"INSERT INTO @mf_transition (invoice, changed_at, actor, from_status, to_status, attempt, reason) "
	"SELECT h.invoice, clock_timestamp(), 'status reader', h.from_status, h.to_status, h.attempt, h.reason "
	"FROM unnest($1, $2, $3, $4, $5) AS h(invoice, from_status, to_status, attempt, reason)",
	5, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID}, NULL
};

/* the columns of mf_transaction that a later answer may change */
#define TRY(row) \
	row "transaction_status, " row "transaction_date, " row "payment_gateway, " row "reference_id, " row "track_id, " \
	row "transaction_id, " row "authorization_id, " row "transaction_value, " row "customer_service_charge, " \
	row "total_service_charge, " row "due_value, " row "paid_currency, " row "paid_currency_value, " row "vat_amount, " \
	row "ip_address, " row "country, " row "currency, " row "error, " row "card_number, " row "error_code, " row "eci, " \
	row "card"
#define IS_SUCCESS(row) "lower(" row ".transaction_status) IN ('succss', 'success')"

/*
 * Parameters are in the order of mf_transaction_fields[], but for the date, which comes
 * second.  An older answer does not turn a try that has succeeded into one that has not.
 */
static MfStatement store_tries_statement = {
	"INSERT INTO @mf_transaction AS o (" TRY("") ", invoice, payment_id) "
	"SELECT n.transaction_status, n.transaction_date, n.payment_gateway, n.reference_id, n.track_id, n.transaction_id, "
	"  n.authorization_id, n.transaction_value::numeric, n.customer_service_charge::numeric, "
	"  n.total_service_charge::numeric, n.due_value::numeric, n.paid_currency, n.paid_currency_value::numeric, "
	"  n.vat_amount::numeric, CASE WHEN NOT EXISTS (SELECT FROM @mf_invoice i WHERE i.id = n.invoice "
	"    AND i.erased_at IS NOT NULL) THEN n.ip_address END, "
	"  n.country, n.currency, n.error, n.card_number, n.error_code, n.eci, n.card::jsonb, n.invoice, n.payment_id "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, "
	"  $23, $24) AS n(invoice, transaction_date, payment_gateway, reference_id, track_id, transaction_id, payment_id, "
	"  authorization_id, transaction_status, transaction_value, customer_service_charge, total_service_charge, "
	"  due_value, paid_currency, paid_currency_value, vat_amount, ip_address, country, currency, error, card_number, "
	"  error_code, eci, card) ORDER BY n.invoice, n.payment_id "
	"ON CONFLICT (invoice, payment_id) DO UPDATE SET (" TRY("") ", changed_at) = (" TRY("EXCLUDED.") ", clock_timestamp()) "
	"WHERE (" TRY("o.") ") IS DISTINCT FROM (" TRY("EXCLUDED.") ") "
	"  AND (" IS_SUCCESS("EXCLUDED") " OR NOT coalesce(" IS_SUCCESS("o") ", false)) RETURNING o.invoice",
	24, {INT8ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TEXTARRAYOID}, NULL
};

/* a try that was neither stored nor there before */
static MfStatement lost_try_statement = {
	"SELECT FROM unnest($1, $2) AS n(invoice, payment_id) WHERE NOT EXISTS (SELECT FROM @mf_transaction o "
	"  WHERE o.invoice = ANY ($1) AND o.invoice = n.invoice AND o.payment_id = n.payment_id) LIMIT 1",
	2, {INT8ARRAYOID, TEXTARRAYOID}, NULL
};

/*
 * A row that may have a second invoice is not settled: a customer who has paid that
 * one must not be asked to pay.  A customer does not wait for inquiries that a role
 * has ordered, nor for a PaymentId that one inquiry has not found.  The token is the
 * random end of the reference, without the number of a resend.  About an archived
 * row no inquiry will come, and what is known of it is gone with its month.
 */
#define TOKEN(row) "right(regexp_replace(" row ".reference, '~[0-9]+$', ''), 20)"

static MfStatement callbacks_statement = {
	"SELECT i.id::int8, i.account::text, " TOKEN("i") ", i.payment_status::text, "
	"  NOT i.duplicate_suspected AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = i.id AND q.urgent "
	"      AND q.ordered_by = 0) "
	"    AND NOT EXISTS (SELECT FROM @mf_event e WHERE e.invoice = i.id AND e.answered_at IS NULL "
	"      AND e.due IS NOT NULL AND e.lookups = 0), "
	"  coalesce(i.language = 'AR', false), i.call_back_url::text, i.error_url::text, false "
	"FROM @mf_invoice i WHERE i.id = ANY ($1) "
	"UNION ALL SELECT k.id::int8, k.account::text, " TOKEN("k") ", coalesce(a.payment_status, 'unpaid')::text, false, "
	"  coalesce(a.language = 'AR', false), a.call_back_url::text, a.error_url::text, true "
	"FROM @mf_archive_key k LEFT JOIN LATERAL (SELECT o.payment_status, o.language, o.call_back_url, o.error_url "
	"    FROM @mf_invoice_archive o WHERE o.id = k.id AND o.created_at = k.created_at LIMIT 1) a ON true "
	"WHERE k.id = ANY ($1)",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement waited_statement = {
	"SELECT i.status::text, i.payment_status::text, i.xmin FROM @mf_invoice i WHERE i.id = $1",
	1, {INT8OID}, NULL
};

/* found as events are matched; a reference is unique, so the account does not matter */
#define ROWS_OF_ANSWER(table, having_number) \
	"SELECT i.id FROM " having_number " AND i.account = $1 " \
	"UNION SELECT i.id FROM (SELECT $3, regexp_replace($3, '~[0-9]+$', '')) AS r(whole, stem) " \
	"  JOIN " table " i ON i.reference IS NOT NULL " \
	"    AND i.reference = ANY (ARRAY[r.whole, r.stem, r.stem || '~2', r.stem || '~3', r.stem || '~4', r.stem || '~5'])"

/* roles that are under policies do not see archived rows */
static MfStatement rows_of_answer_statement = {
	ROWS_OF_ANSWER("@mf_invoice", MF_HAVING_NUMBER("$2")) " UNION "
	ROWS_OF_ANSWER("@mf_archive_key", "@mf_archive_key i WHERE i.invoice_id = $2"), 3, {TEXTOID, INT8OID, TEXTOID}, NULL
};

/* as the caller */
static MfStatement seen_statement = {
	"SELECT FROM @mf_invoice i WHERE i.id = ANY ($1)", 1, {INT8ARRAYOID}, NULL
};

/* Locks replacements that nobody has begun to send; waits for no session. */
static MfStatement unsent_statement = {
	"SELECT i.id::int8, i.status::text, i.attempts::int4 FROM @mf_invoice i WHERE i.id = ANY ($1) AND (i.status = 'rejected' "
	"  OR (i.status = 'queued' AND EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = i.id AND q.kind = 'send' "
	"    AND q.origin = @mf_origin()))) ORDER BY i.id + 0 FOR NO KEY UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}, NULL
};

static MfStatement paid_twice_statement = {
	"UPDATE @mf_invoice i SET payment_doubt = concat_ws('; ', i.payment_doubt, "
	"  'invoice ' || i.replaced_by || ', which replaces it, can be paid or was, too') "
	"WHERE i.id = ANY ($1) AND i.replaced_by IS NOT NULL AND " MF_REPLACEMENT_LIVES("i"),
	1, {INT8ARRAYOID}, NULL
};

/* what is said twice stays once; of those that are held again, only if there was a capture or release */
static MfStatement doubt_statement = {
	"UPDATE @mf_invoice i SET payment_doubt = concat_ws('; ', i.payment_doubt, $2) "
	"WHERE i.id = $1 AND position($2 IN coalesce(i.payment_doubt, '')) = 0 "
	"  AND (NOT $3 OR EXISTS (SELECT FROM @mf_operation o WHERE o.invoice = i.id AND o.status IN ('captured', 'released')))",
	3, {INT8OID, TEXTOID, BOOLOID}, NULL
};

static MfStatement end_doubt_statement = {
	"UPDATE @mf_invoice i SET payment_doubt = (SELECT string_agg(d.doubt, '; ' ORDER BY d.n) "
	"  FROM unnest(string_to_array(i.payment_doubt, '; ')) WITH ORDINALITY AS d(doubt, n) WHERE NOT starts_with(d.doubt, $2)) "
	"WHERE i.id = $1 AND position($2 IN i.payment_doubt) > 0",
	2, {INT8OID, TEXTOID}, NULL
};

#define TOO_MUCH_BACK "MyFatoorah says that "
#define PAYMENT_TOO_MUCH_BACK "refunds and a dispute that was LOST give more of PaymentId "

/* a payment of which refunds that name it, and disputes that were lost, have taken more than it was */
static MfStatement given_back_statement = {
	"SELECT m.payment_id FROM @mf_money m WHERE m.invoice = $1 AND m.kind IN ('payment', 'chargeback') AND m.payment_id IS NOT NULL "
	"GROUP BY m.payment_id HAVING sum(m.amount) < (SELECT sum(" MF_REFUND_TAKES("r") ") FROM @mf_operation r WHERE r.invoice = $1 "
	"  AND r.kind = 'refund' AND r.payment_id = m.payment_id AND r.status IN ('filed', 'refunded'))",
	1, {INT8OID}, NULL
};

static void doubt_payments(const MfSqlScope *scope, const MfPaymentChange *change);
static void doubt_sums(const MfSqlScope *scope, const MfPaymentChange *changes, int count);
static void stop_replacements(const MfSqlScope *scope, const MfPaymentChange *changes, int count);
static void cancel_unsent(const MfSqlScope *scope, Datum replacements);
static void add_change(MfArray *columns, const MfPaymentChange *c);
static void add_history(MfArray *columns, const MfPaymentChange *c);

List *
mf_payment_lock(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &lock_statement, &value, NULL);
	List	   *locked = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfPaymentRow *row = (MfPaymentRow *) palloc0(sizeof(MfPaymentRow));

		row->invoice = mf_result_int8(i, 1);
		row->invoice_id = mf_result_text(i, 2);
		row->status = (MfPaymentStatus) mf_payment_status_from_name(mf_result_text(i, 3));
		row->attempts = mf_result_int4(i, 4);
		row->base_value = mf_result_text(i, 5);
		row->reference = mf_result_text(i, 6);
		row->invoice_value = mf_result_text(i, 7);
		row->currency = mf_result_text(i, 8);
		row->received_value = mf_result_text(i, 9);
		row->refunded_value = mf_result_text(i, 10);
		row->payment_error = mf_result_text(i, 11);
		row->customer_reference = mf_result_text(i, 12);
		row->replaced_by = mf_result_int8(i, 13);
		row->taken_over_from = mf_result_text(i, 14);
		row->base_currency = mf_result_text(i, 15);
		locked = lappend(locked, row);
	}
	return locked;
}

void
mf_payment_apply(const MfSqlScope *scope, MfPaymentChange *changes, int count)
{
	MfArray    *columns = mf_columns_start(&apply_statement, count);
	MfArray    *history = mf_columns_start(&history_statement, count);
	uint64		rows;
	uint64		row;
	int			i;

	for (i = 0; i < count; i++)
	{
		add_change(columns, &changes[i]);
		if (changes[i].from != changes[i].to || changes[i].step)
			add_history(history, &changes[i]);
	}
	rows = mf_columns_execute(scope, &apply_statement, columns);
	for (row = 0; row < rows; row++)
	{
		int64		invoice = mf_result_int8(row, 1);

		for (i = 0; i < count; i++)
			changes[i].changed |= changes[i].invoice == invoice;
	}
	for (i = 0; i < count; i++)
	{
		if ((changes[i].from != changes[i].to || changes[i].money) && !changes[i].changed)
			mf_change_suppressed();

		/* a change of payment_status notifies listeners by itself */
		if (changes[i].step && changes[i].from == changes[i].to)
			mf_notify_at_commit(changes[i].invoice);
	}
	if (history[0].count > 0 && mf_columns_execute(scope, &history_statement, history) != (uint64) history[0].count)
		mf_change_suppressed();
	stop_replacements(scope, changes, count);
	doubt_sums(scope, changes, count);
}

/* What cannot be right, or what no call of ours can settle, needs a person; what is right after a dispute has ended does not. */
static void
doubt_sums(const MfSqlScope *scope, const MfPaymentChange *changes, int count)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		const MfPaymentChange *c = &changes[i];

		if (c->step && mf_amount_compare(c->refunded_value, c->received_value) > 0)
			mf_payment_doubt(scope, c->invoice, psprintf(TOO_MUCH_BACK "%s was given back, and that %s was received",
														 c->refunded_value, c->received_value), false);
		else if (c->has_dispute)
			mf_payment_end_doubt(scope, c->invoice, TOO_MUCH_BACK);
		if (c->money && (c->has_dispute || mf_amount_compare(c->refunded_value, "0") > 0))
			doubt_payments(scope, c);
		if (c->from != MF_AUTHORIZED && c->to == MF_AUTHORIZED)
			mf_payment_doubt(scope, c->invoice, MF_HELD_AGAIN, true);
	}
}

/* Of an invoice that was paid twice, one payment may be given back twice, and the sum be right. */
static void
doubt_payments(const MfSqlScope *scope, const MfPaymentChange *change)
{
	Datum		value = Int64GetDatum(change->invoice);

	if (mf_sql_execute(scope, &given_back_statement, &value, NULL) > 0)
		mf_payment_doubt(scope, change->invoice, psprintf(PAYMENT_TOO_MUCH_BACK "%s back than it was", mf_result_text(0, 1)), false);
	else if (change->has_dispute)
		mf_payment_end_doubt(scope, change->invoice, PAYMENT_TOO_MUCH_BACK);
}

void
mf_payment_doubt(const MfSqlScope *scope, int64 invoice, const char *doubt, bool held)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(doubt), BoolGetDatum(held)};

	(void) mf_sql_execute(scope, &doubt_statement, values, NULL);
}

void
mf_payment_end_doubt(const MfSqlScope *scope, int64 invoice, const char *beginning)
{
	Datum		values[] = {Int64GetDatum(invoice), CStringGetTextDatum(beginning)};

	(void) mf_sql_execute(scope, &end_doubt_statement, values, NULL);
}

/* The customers who have paid what was replaced are not to pay the replacement, too. */
static void
stop_replacements(const MfSqlScope *scope, const MfPaymentChange *changes, int count)
{
	MfArray		paid;
	MfArray		replacements;
	Datum		value;
	int			i;

	mf_array_init(&paid, count);
	mf_array_init(&replacements, count);
	for (i = 0; i < count; i++)
	{
		if (changes[i].replaced_by == 0 || mf_payment_was_paid(changes[i].from) || !mf_payment_was_paid(changes[i].to))
			continue;
		mf_array_add(&paid, Int64GetDatum(changes[i].invoice));
		mf_array_add(&replacements, Int64GetDatum(changes[i].replaced_by));
	}
	if (paid.count == 0)
		return;
	cancel_unsent(scope, mf_array_datum(&replacements, INT8OID));
	value = mf_array_datum(&paid, INT8OID);
	(void) mf_sql_execute(scope, &paid_twice_statement, &value, NULL);
}

static void
cancel_unsent(const MfSqlScope *scope, Datum replacements)
{
	int			count = (int) mf_sql_execute(scope, &unsent_statement, &replacements, NULL);
	MfTransition *transitions = (MfTransition *) palloc(Max(count, 1) * sizeof(MfTransition));
	TimestampTz now = GetCurrentTimestamp();
	int			i;

	for (i = 0; i < count; i++)
	{
		mf_transition_begin(&transitions[i], mf_result_int8(i, 1), (MfStatus) mf_status_from_name(mf_result_text(i, 2)),
							mf_result_int4(i, 3), now, "status reader");
		transitions[i].to = MF_STATUS_CANCELLED;
		transitions[i].reason = "what it replaces was paid";
	}
	if (count > 0)
		mf_queue_apply(scope, transitions, count);
}

/* Adds a change to the parameters of apply_statement. */
static void
add_change(MfArray *columns, const MfPaymentChange *c)
{
	mf_array_add(&columns[0], Int64GetDatum(c->invoice));
	mf_array_add_text(&columns[1], mf_payment_status_name(c->to));
	mf_array_add_text(&columns[2], c->invoice_status);
	mf_array_add_text(&columns[3], c->payment_id);
	mf_array_add_text(&columns[4], c->base_currency);
	mf_array_add_text(&columns[5], c->base_value);
	mf_array_add_text(&columns[6], c->display_currency);
	mf_array_add_text(&columns[7], c->display_value);
	mf_array_add_text(&columns[8], c->pay_currency);
	mf_array_add_text(&columns[9], c->pay_value);
	mf_array_add_timestamp(&columns[10], c->paid_at);
	mf_array_add_text(&columns[11], c->refunded_value);
	mf_array_add(&columns[12], BoolGetDatum(c->overpaid));
	mf_array_add(&columns[13], BoolGetDatum(c->paid_late));
	mf_array_add_text(&columns[14], c->error);
	mf_array_add_text(&columns[15], c->received_value);
	mf_array_add(&columns[16], BoolGetDatum(c->has_dispute));
	mf_array_add_timestamp(&columns[17], c->disputed_at);
	mf_array_add_timestamp(&columns[18], c->expires_at);
	mf_array_add_text(&columns[19], c->doubt);
}

/* Adds a line to the parameters of history_statement. */
static void
add_history(MfArray *columns, const MfPaymentChange *c)
{
	mf_array_add(&columns[0], Int64GetDatum(c->invoice));
	mf_array_add_text(&columns[1], mf_payment_status_name(c->from));
	mf_array_add_text(&columns[2], mf_payment_status_name(c->to));
	mf_array_add(&columns[3], Int32GetDatum(c->attempt));
	mf_array_add_text(&columns[4], c->reason);
}

int
mf_payment_store_tries(const MfSqlScope *scope, const MfTryRow *tries, int count, int64 *changed)
{
	MfArray    *columns = mf_columns_start(&store_tries_statement, count);
	MfArray    *keys = mf_columns_start(&lost_try_statement, count);
	uint64		rows;
	int			i;

	for (i = 0; i < count; i++)
	{
		int			column = 2;
		int			field;

		mf_array_add(&keys[0], Int64GetDatum(tries[i].invoice));
		mf_array_add_text(&keys[1], tries[i].values[MF_TX_PAYMENT_ID]);
		mf_array_add(&columns[0], Int64GetDatum(tries[i].invoice));
		mf_array_add_timestamp(&columns[1], tries[i].transaction_date);
		for (field = 0; field < MF_TX_COUNT; field++)
		{
			if (field != MF_TX_TRANSACTION_DATE)
				mf_array_add_text(&columns[column++], tries[i].values[field]);
		}
	}
	rows = mf_columns_execute(scope, &store_tries_statement, columns);
	(void) mf_result_ids(changed);
	if (rows < (uint64) count && mf_columns_execute(scope, &lost_try_statement, keys) > 0)
		mf_change_suppressed();
	return (int) rows;
}

List *
mf_payment_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count)
{
	Datum		value = mf_int8_array(invoices, count);
	uint64		rows = mf_sql_execute(scope, &callbacks_statement, &value, NULL);
	List	   *found = NIL;
	uint64		i;

	for (i = 0; i < rows; i++)
	{
		MfCallbackRow *row = (MfCallbackRow *) palloc0(sizeof(MfCallbackRow));

		row->invoice = mf_result_int8(i, 1);
		row->account = mf_result_text(i, 2);
		row->token = mf_result_text(i, 3);
		row->payment_status = mf_result_text(i, 4);
		row->settled = mf_result_bool(i, 5);
		row->arabic = mf_result_bool(i, 6);
		row->call_back_url = mf_result_text(i, 7);
		row->error_url = mf_result_text(i, 8);
		row->archived = mf_result_bool(i, 9);
		found = lappend(found, row);
	}
	return found;
}

bool
mf_payment_read_waited(Oid schema, int64 invoice, MfWaitedInvoice *row)
{
	MfSqlScope	scope;
	Datum		value = Int64GetDatum(invoice);
	bool		found;

	mf_sql_begin_as_caller(&scope, schema);
	found = mf_sql_execute(&scope, &waited_statement, &value, NULL) > 0;
	if (found)
	{
		text_to_cstring_buffer(DatumGetTextPP(mf_result(0, 1, NULL)), row->status, sizeof(row->status));
		text_to_cstring_buffer(DatumGetTextPP(mf_result(0, 2, NULL)), row->payment_status, sizeof(row->payment_status));
		row->xmin = DatumGetTransactionId(mf_result(0, 3, NULL));
	}
	mf_sql_end(&scope);
	return found;
}

bool
mf_payment_answer_is_hidden(Oid schema, const char *account, const char *invoice_id, const char *reference)
{
	MfSqlScope	scope;
	Datum		values[] = {
		CStringGetTextDatum(account),
		invoice_id == NULL ? (Datum) 0 : DirectFunctionCall1(int8in, CStringGetDatum(invoice_id)),
		reference == NULL ? (Datum) 0 : CStringGetTextDatum(reference)
	};
	const char	nulls[] = {' ', invoice_id == NULL ? 'n' : ' ', reference == NULL ? 'n' : ' '};
	Datum		found;
	uint64		rows;
	uint64		seen;

	mf_sql_begin(&scope, schema);
	rows = mf_sql_execute(&scope, &rows_of_answer_statement, values, nulls);
	found = mf_result_int8_array();
	mf_sql_end(&scope);

	mf_sql_begin_as_caller(&scope, schema);
	seen = mf_sql_execute(&scope, &seen_statement, &found, NULL);
	mf_sql_end(&scope);
	return rows > seen;
}
