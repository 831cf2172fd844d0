--
-- Reports
--
CREATE FUNCTION mf_bucket(days_overdue integer)
RETURNS text
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN days_overdue <= 0 THEN 'not due' WHEN days_overdue <= 30 THEN '1-30' WHEN days_overdue <= 60 THEN '31-60'
	WHEN days_overdue <= 90 THEN '61-90' ELSE 'older' END;
COMMENT ON FUNCTION mf_bucket(integer) IS 'the part of mf_aging for a bill that is overdue for so many days';

-- Each account's own day
CREATE VIEW mf_today AS
	SELECT s.srvname::text AS account, mf_local_day(s.srvname::text, pg_catalog.now()) AS today
	FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
	WHERE w.fdwname = 'myfatoorah';
COMMENT ON VIEW mf_today IS 'which day it is in the zone of each account';

-- The days are read once, in a form that parallel workers can be given; a bill whose account is gone is still owed, by
-- the day of UTC.  Whether policies hide rows from the caller is asked once; only then is each row looked up as the caller.
CREATE VIEW mf_receivable WITH (security_barrier) AS
	WITH o AS (SELECT b.*, coalesce(((SELECT pg_catalog.jsonb_object_agg(t.account, t.today) FROM mf_today t) ->> b.account)::date, (pg_catalog.now() AT TIME ZONE 'UTC')::date) - b.due_date AS days
		FROM mf_bill b
		WHERE b.status = 'open' AND ((SELECT NOT pg_catalog.row_security_active('mf_bill'::pg_catalog.regclass)) OR mf_bill_visible(b.id)))
	SELECT o.id AS bill, o.account, o.bill_key, o.customer_reference, o.customer_name, o.currency, o.total, o.received, o.balance, o.due_date,
		greatest(o.days, 0) AS days_overdue, mf_bucket(o.days) AS bucket, o.snoozed_until, o.invoice,
		(SELECT i.invoice_url FROM mf_invoice i WHERE i.id = o.invoice) AS invoice_url, o.link_error,
		(SELECT pg_catalog.max(m.fired_at) FROM mf_reminder m WHERE m.bill = o.id AND m.withdrawn_at IS NULL) AS last_reminder
	FROM o;
COMMENT ON VIEW mf_receivable IS 'open bills: what is owed, since when, the link that is live, and the last reminder';
COMMENT ON COLUMN mf_receivable.days_overdue IS 'days after due_date, today in the zone of the account; 0 if it is not overdue';
COMMENT ON COLUMN mf_receivable.bucket IS 'not due, 1-30, 31-60, 61-90 or older';

-- ORDER BY has the bills read by mf_bill_aging_idx, and keeps the days, which are numbers, from being computed for each sum.  Mostly it is the same day
-- in all accounts, and none has to be looked up.  Names are compared as bytes.
CREATE VIEW mf_aging WITH (security_barrier) AS
	SELECT a.account COLLATE "default" AS account, a.currency, a.customer COLLATE "default" AS customer, a.customer_name, a.bills, a.not_due, a.days_1_30, a.days_31_60, a.days_61_90, a.older,
		a.not_due + a.days_1_30 + a.days_31_60 + a.days_61_90 + a.older AS total
	FROM (SELECT o.account, o.currency, o.customer, pg_catalog.max(o.customer_name COLLATE "C") COLLATE "default" AS customer_name, pg_catalog.count(*) AS bills,
			coalesce(pg_catalog.sum(o.balance) FILTER (WHERE o.days <= 0), 0) AS not_due,
			coalesce(pg_catalog.sum(o.balance) FILTER (WHERE o.days BETWEEN 1 AND 30), 0) AS days_1_30,
			coalesce(pg_catalog.sum(o.balance) FILTER (WHERE o.days BETWEEN 31 AND 60), 0) AS days_31_60,
			coalesce(pg_catalog.sum(o.balance) FILTER (WHERE o.days BETWEEN 61 AND 90), 0) AS days_61_90,
			coalesce(pg_catalog.sum(o.balance) FILTER (WHERE o.days > 90), 0) AS older
		FROM (SELECT b.account COLLATE "C" AS account, b.currency, coalesce(b.customer_reference, b.customer_name) COLLATE "C" AS customer, b.customer_name, b.balance,
				CASE WHEN (SELECT pg_catalog.min(t.today) = pg_catalog.max(t.today) AND pg_catalog.min(t.today) = (pg_catalog.now() AT TIME ZONE 'UTC')::date FROM mf_today t) THEN (pg_catalog.now() AT TIME ZONE 'UTC')::date - date '2000-01-01'
					ELSE coalesce(((SELECT pg_catalog.jsonb_object_agg(t.account, t.today - date '2000-01-01') FROM mf_today t) ->> b.account)::integer, (pg_catalog.now() AT TIME ZONE 'UTC')::date - date '2000-01-01') END
					- (b.due_date - date '2000-01-01') AS days
			FROM mf_bill b
			WHERE b.status = 'open' AND ((SELECT NOT pg_catalog.row_security_active('mf_bill'::pg_catalog.regclass)) OR mf_bill_visible(b.id)) ORDER BY 1, 2, 3) o
		GROUP BY o.account, o.currency, o.customer) a;
COMMENT ON VIEW mf_aging IS 'what each customer owes, by how long it is overdue; each currency for itself';
COMMENT ON COLUMN mf_aging.customer IS 'customer_reference of the bills, or customer_name where they have none';
COMMENT ON COLUMN mf_aging.customer_name IS 'of the bills; where they have several, the last by the alphabet';

CREATE VIEW mf_bill_dispute WITH (security_barrier) AS
	SELECT k.bill, b.account, b.bill_key, b.customer_reference, b.customer_name, b.status AS bill_status, d.invoice, d.dispute_id, d.status, d.type, d.reason,
		d.payment_id, d.amount, d.currency, d.changed_at
	FROM mf_dispute d JOIN mf_link k ON k.invoice = d.invoice JOIN mf_bill b ON b.id = k.bill
	WHERE mf_bill_visible(b.id);
COMMENT ON VIEW mf_bill_dispute IS 'disputes of payments of bills, as MyFatoorah told of them: PENDING, RESOLVED or LOST; one that is lost is a negative receipt, and opens the bill again';

-- Facts count on the day on which we have learnt them, which does not change any more: bills when they were inserted,
-- receipts when they were recorded, changes when they were made.  A bill that was given another customer_reference moves
-- with what was owed then.  The caller's policies hold, because it runs as the caller.
CREATE FUNCTION mf_statement(customer_reference text, from_day date, to_day date, account text DEFAULT 'myfatoorah')
RETURNS TABLE (day date, kind text, document text, debit numeric, credit numeric, balance numeric, currency text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH zone AS MATERIALIZED (SELECT a.time_zone FROM @extschema@.mf_account_facts(mf_statement.account) a),
	b AS MATERIALIZED (
		SELECT t.* FROM @extschema@.mf_bill t WHERE t.account = mf_statement.account AND t.id IN (
			SELECT c.id FROM @extschema@.mf_bill c WHERE c.customer_reference = mf_statement.customer_reference
			UNION SELECT h.bill FROM @extschema@.mf_bill_history h WHERE h.changes->'customer_reference'->>0 = mf_statement.customer_reference AND h.changes ? 'customer_reference')),
	h AS MATERIALIZED (SELECT t.* FROM @extschema@.mf_bill_history t WHERE t.bill IN (SELECT b.id FROM b) AND t.changes ?| '{total,status,customer_reference}'),
	-- what a bill's columns were after each fact: the old value of the next change, or the present one
	facts AS (
		SELECT b.id AS bill, b.created_at AS at, 0 AS step, 0::bigint AS id, 'bill' AS kind, coalesce(b.bill_key, b.id::text) AS document,
			coalesce((SELECT (n.changes->'total'->>0)::numeric FROM h n WHERE n.bill = b.id AND n.changes ? 'total' ORDER BY n.id LIMIT 1), b.total) AS value,
			coalesce((SELECT n.changes->'customer_reference'->0 FROM h n WHERE n.bill = b.id AND n.changes ? 'customer_reference' ORDER BY n.id LIMIT 1), to_jsonb(b.customer_reference)) #>> '{}' AS reference,
			NULL::text AS former FROM b
		UNION ALL
		SELECT h.bill, h.changed_at, 1, h.id, CASE WHEN h.changes ? 'total' THEN 'change' WHEN h.changes->'status'->>1 = 'void' THEN 'void' WHEN h.changes->'status'->>0 = 'void' THEN 'reopened' ELSE 'moved' END,
			coalesce(b.bill_key, b.id::text),
			CASE WHEN h.changes ? 'total' THEN (h.changes->'total'->>1)::numeric - (h.changes->'total'->>0)::numeric
				WHEN h.changes->'status'->>1 = 'void' THEN -t.total WHEN h.changes->'status'->>0 = 'void' THEN t.total ELSE 0 END,
			coalesce((SELECT n.changes->'customer_reference'->0 FROM h n WHERE n.bill = b.id AND n.id > h.id AND n.changes ? 'customer_reference' ORDER BY n.id LIMIT 1), to_jsonb(b.customer_reference)) #>> '{}',
			CASE WHEN h.changes ? 'customer_reference' THEN coalesce(h.changes->'customer_reference'->>0, '') END
		FROM h JOIN b ON b.id = h.bill,
			LATERAL (SELECT coalesce((SELECT (n.changes->'total'->>0)::numeric FROM h n WHERE n.bill = b.id AND n.id > h.id AND n.changes ? 'total' ORDER BY n.id LIMIT 1), b.total) AS total) t
		WHERE h.changes ?| '{total,customer_reference}' OR 'void' IN (h.changes->'status'->>0, h.changes->'status'->>1)
		UNION ALL
		SELECT r.bill, r.created_at, 2, r.id, CASE WHEN r.reverses IS NOT NULL THEN 'reversal' WHEN r.value < 0 THEN coalesce(r.note, 'refund') ELSE 'receipt' END,
			concat_ws(' ', r.id, r.method, r.received_on, nullif(r.payment_id, '')), -r.value,
			coalesce((SELECT n.changes->'customer_reference'->0 FROM h n WHERE n.bill = b.id AND n.changed_at > r.created_at AND n.changes ? 'customer_reference' ORDER BY n.id LIMIT 1), to_jsonb(b.customer_reference)) #>> '{}',
			NULL
		FROM @extschema@.mf_receipt r JOIN b ON b.id = r.bill),
	sums AS (SELECT f.*, b.currency, coalesce(sum(f.value) OVER (PARTITION BY f.bill ORDER BY f.at, f.step, f.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
		FROM facts f JOIN b ON b.id = f.bill),
	entries AS (
		SELECT s.bill, s.at, s.step, s.id, s.kind, s.document, s.value, s.currency FROM sums s WHERE s.reference = mf_statement.customer_reference AND s.former IS NULL
		UNION ALL SELECT s.bill, s.at, s.step, s.id, 'moved', s.document, s.value + s.before, s.currency FROM sums s WHERE s.reference = mf_statement.customer_reference AND s.former <> mf_statement.customer_reference
		UNION ALL SELECT s.bill, s.at, s.step, s.id, 'moved', s.document, -s.before, s.currency FROM sums s WHERE s.former = mf_statement.customer_reference AND s.reference IS DISTINCT FROM mf_statement.customer_reference),
	booked AS (SELECT e.*, (e.at AT TIME ZONE z.time_zone)::date AS day FROM entries e, zone z WHERE e.value <> 0 OR e.kind = 'bill'),
	opening AS (SELECT e.currency, coalesce(sum(e.value) FILTER (WHERE e.day < mf_statement.from_day), 0) AS value FROM booked e WHERE e.day <= mf_statement.to_day GROUP BY e.currency),
	lines AS (
		SELECT o.currency, mf_statement.from_day AS day, NULL::timestamptz AS at, -1 AS step, 0::bigint AS bill, 0::bigint AS id, 'opening' AS kind, NULL::text AS document, o.value FROM opening o
		UNION ALL
		SELECT e.currency, e.day, e.at, e.step, e.bill, e.id, e.kind, e.document, e.value FROM booked e WHERE e.day BETWEEN mf_statement.from_day AND mf_statement.to_day)
	SELECT l.day, l.kind, l.document, CASE WHEN l.step >= 0 AND l.value >= 0 THEN l.value END, CASE WHEN l.step >= 0 AND l.value < 0 THEN -l.value END,
		sum(l.value) OVER (PARTITION BY l.currency ORDER BY l.at NULLS FIRST, l.step, l.bill, l.id ROWS UNBOUNDED PRECEDING), l.currency
	FROM lines l ORDER BY l.currency, l.at NULLS FIRST, l.step, l.bill, l.id
$$;
COMMENT ON FUNCTION mf_statement(text, date, date, text) IS 'what a customer was billed and has paid, with the running balance of each currency; facts count on the day on which they were learnt, so a statement of past days stays as it is';

CREATE INDEX mf_bill_history_reference_idx ON mf_bill_history ((changes->'customer_reference'->>0)) WHERE changes ? 'customer_reference';

CREATE FUNCTION mf_collected(account text, from_day date, to_day date)
RETURNS TABLE (day date, method text, currency text, receipts bigint, received numeric, returned numeric, value numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.received_on, r.method, b.currency, count(*), coalesce(sum(r.value) FILTER (WHERE r.value > 0), 0), coalesce(-sum(r.value) FILTER (WHERE r.value < 0), 0), sum(r.value)
	FROM @extschema@.mf_receipt r JOIN @extschema@.mf_bill b ON b.id = r.bill
	WHERE r.received_on BETWEEN mf_collected.from_day AND mf_collected.to_day AND b.account = mf_collected.account
	GROUP BY r.received_on, r.method, b.currency ORDER BY r.received_on, b.currency, r.method
$$;
COMMENT ON FUNCTION mf_collected(text, date, date) IS 'what has come in, by day of receipt and method; each currency for itself';
