-- The table mf_invoice: defaults, what users may change and when, states
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice, regress_mf_bob;
RESET client_min_messages;
CREATE ROLE regress_mf_alice IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_bob;
CALL mf_test.reset_sandbox();
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
CREATE SERVER other FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY', base_url 'http://127.0.0.1:1');
SELECT mf_pause('held'), mf_pause('other');
GRANT USAGE ON FOREIGN SERVER held TO regress_mf_alice, regress_mf_bob;

-- Defaults
\pset expanded on
WITH new AS (INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'Ahmad', 250.000) RETURNING *)
SELECT id > 0 AS id, account, customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, display_currency_iso,
	language, customer_reference, customer_civil_id, user_defined_field, call_back_url, error_url, webhook_url, expiry_date, customer_address, invoice_items,
	shipping_method, shipping_consignee, suppliers, processing_details, invoice_payment_methods, source_info, send_at = now() AS send_at_now, priority,
	mf_test.masked(reference) AS reference, status, payment_status, invoice_id, invoice_url, sent_at, paid_at, last_error, attempts,
	created_at = now() AS created_now, created_by, cancel_requested, duplicate_suspected
FROM new;
\pset expanded off
INSERT INTO mf_invoice (account, customer_name, invoice_value, customer_reference) VALUES ('held', 'x', 1, 'rent-1'), ('held', 'x', 1, 'rent-1'), ('held', 'x', 1, '~2.a')
RETURNING mf_test.masked(reference), customer_reference;
SELECT count(DISTINCT reference) FROM mf_invoice WHERE account = 'held';
-- NULL where there is a default means the default; by whom and when is not for the user to say
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, priority, created_at, created_by) VALUES ('held', 'x', 1, NULL, NULL, '2001-01-01', 'nobody')
RETURNING send_at = now() AS send_at, priority, created_at = now() AS created_at, created_by;

-- Checks that only the table has
CREATE FUNCTION pg_temp.inserted(columns text, "values" text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := mf_test.try(format('INSERT INTO mf_invoice (customer_name, invoice_value, %s) VALUES (''x'', 1, %s)', columns, "values"));
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = format('%s = %s -> %s', columns, "values", result);
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
CREATE FOREIGN DATA WRAPPER mf_regress_wrapper;
CREATE SERVER foreigner FOREIGN DATA WRAPPER mf_regress_wrapper;
SELECT pg_temp.inserted('account', v) FROM unnest(ARRAY['NULL', '''nowhere''', '''foreigner''', '''held''', '''other''']) v;
DROP FOREIGN DATA WRAPPER mf_regress_wrapper CASCADE;
SELECT pg_temp.inserted('account, send_at', '''held'', ' || v) FROM unnest(ARRAY['''2001-01-01''', '''9999-01-01''', '''infinity''', '''-infinity''',
	'''1970-01-01 00:00+00''', '''1969-12-31 23:59:59.999999+00''', '''0001-01-01 00:00+00''', '''4713-01-01 00:00+00 BC''', '''9999-12-31 23:59:59.999999+00''', '''10000-01-01 00:00+00''', '''294276-12-31 23:59:59+00''']) v;
SELECT pg_temp.inserted('account, expiry_date', '''held'', ' || v) FROM unnest(ARRAY['now() + interval ''1 day''', 'now()', 'now() - interval ''1 second''']) v;
SELECT pg_temp.inserted('account, send_at, expiry_date', '''held'', ''2031-01-01'', ' || v) FROM unnest(ARRAY['''2031-01-02''', '''2031-01-01''', '''2030-12-31''']) v;
SELECT pg_temp.inserted('account, priority', '''held'', ' || v) FROM unnest(ARRAY['0', '100', '-1', '101', '32767']) v;

-- Results are not for users to write, whoever they are.
SELECT pg_temp.inserted('account, ' || c, '''held'', ' || v) FROM (VALUES ('status', '''queued'''), ('status', '''sent'''), ('status', '''gone'''), ('status', 'NULL'), ('payment_status', '''paid'''), ('payment_status', 'NULL'),
	('invoice_id', '1'), ('invoice_url', ''''''), ('sent_at', 'now()'), ('paid_at', 'now()'), ('last_error', '''x'''), ('payment_error', '''x'''), ('duplicate_error', '''x'''), ('attempts', '1'), ('attempts', 'NULL'),
	('cancel_requested', 'true'), ('duplicate_suspected', 'true'), ('id', '1')) v(c, v);
GRANT ALL ON mf_invoice TO regress_mf_bob;
GRANT USAGE ON SCHEMA public TO regress_mf_bob;
SET ROLE regress_mf_bob;
SELECT pg_temp.inserted('account, ' || c, '''held'', ' || v) FROM (VALUES ('reference', '''mine'''), ('status', '''sent'''), ('invoice_id', '1'), ('created_by', '''postgres''')) v(c, v);
SET ROLE regress_mf_alice;
SELECT pg_temp.inserted('account', '''held'''), pg_temp.inserted('account', '''other'''), pg_temp.inserted('account, reference', '''held'', ''mine'''), pg_temp.inserted('account, created_by', '''held'', ''postgres''');
-- What object-relational mappers write: a time of insertion is taken, and is ours; a number is not, and they are told which column it is.
SELECT pg_temp.inserted('account, created_at', '''held'', ' || v) FROM unnest(ARRAY['DEFAULT', 'NULL', '''2020-01-01''']) v;
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, created_at) VALUES ('held', 'x', 1, '2031-01-01', '2020-01-01') RETURNING created_at = now() AS ours;
SELECT pg_temp.inserted('account, id', '''held'', ' || v) FROM unnest(ARRAY['DEFAULT', '5']) v;
SELECT mf_test.try('UPDATE mf_invoice SET id = DEFAULT'), mf_test.try('UPDATE mf_invoice SET created_at = now()');
SELECT mf_test.try($$INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'x', 1) ON CONFLICT (account, idempotency_key) DO UPDATE SET status = 'sent'$$);
RESET ROLE;
-- of columns of users nothing is said that is not known
BEGIN;
ALTER TABLE mf_invoice ADD COLUMN of_users text;
SET ROLE regress_mf_alice;
SELECT mf_test.try($$INSERT INTO mf_invoice (account, customer_name, invoice_value, of_users) VALUES ('held', 'x', 1, 'x')$$);
ROLLBACK;

-- Changing a row: what it asks for, while it is queued; checked and put right as a new one
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at) VALUES ('held', 'changing', 1, '2031-01-01 00:00+00') RETURNING id \gset
UPDATE mf_invoice SET customer_name = ' Fatima ', invoice_value = 12.5, notification_option = 'all', customer_email = ' f@example.com', customer_mobile = '٩٩٩-٩٩٩', language = 'ar',
	customer_reference = 'new', user_defined_field = 'u', call_back_url = 'https://example.com', expiry_date = '2032-01-01', customer_address = '{"Block": "1"}', priority = 5, send_at = '2031-06-01 00:00+00', account = 'other'
WHERE id = :id
RETURNING customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, language, customer_reference, customer_address, status, attempts;
SELECT account, kind, due = '2031-06-01 00:00+00' AS due, rank = due AS rank, promote, priority FROM mf_queue WHERE invoice = :id;
UPDATE mf_invoice SET source_info = 'no change for the agenda' WHERE id = :id;
UPDATE mf_invoice SET priority = 0, send_at = NULL WHERE id = :id RETURNING send_at = created_at AS at_once;
SELECT account, kind, due = (SELECT send_at FROM mf_invoice WHERE id = :id) AS due, rank = due AS rank, priority FROM mf_queue WHERE invoice = :id;
SELECT set_config('mf_test.id', :'id', false) IS NOT NULL AS noted;
CREATE FUNCTION pg_temp.updated(assignment text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := mf_test.try(format('UPDATE mf_invoice SET %s WHERE id = %s', assignment, current_setting('mf_test.id')));
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = regexp_replace(format('%s -> %s', assignment, result), '(invoice|mf_cancel\() ?[0-9]+', '\1 N');
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
SELECT pg_temp.updated(a) FROM unnest(ARRAY['account = NULL', 'account = ''nowhere''', 'priority = 101', 'send_at = ''infinity''', 'send_at = ''294276-12-31 23:59:59+00''', 'expiry_date = ''2001-01-01''', 'customer_name = NULL', 'account = DEFAULT']) a;
SELECT pg_temp.updated(a) FROM unnest(ARRAY['status = ''sent''', 'status = ''cancelled''', 'status = ''queued''', 'payment_status = ''paid''', 'invoice_id = 1', 'invoice_url = ''x''', 'sent_at = now()', 'paid_at = now()',
	'last_error = ''x''', 'payment_error = ''x''', 'duplicate_error = ''x''', 'attempts = 1', 'reference = ''x''', 'created_at = ''2001-01-01''', 'created_by = ''nobody''', 'cancel_requested = true', 'duplicate_suspected = true', 'id = 5', 'id = DEFAULT']) a;
SET ROLE regress_mf_bob;
SELECT pg_temp.updated(a) FROM unnest(ARRAY['status = ''sent''', 'payment_status = ''paid''', 'invoice_id = 1', 'reference = ''x''', 'customer_name = ''no right on the account''', 'account = ''held''']) a;
SET ROLE regress_mf_alice;
SELECT pg_temp.updated(a) FROM unnest(ARRAY['status = ''sent''', 'payment_status = ''paid''', 'reference = ''x''', 'customer_name = ''no right on the account''', 'account = ''held''']) a;
RESET ROLE;

-- Unfinished rows stay.
SELECT regexp_replace(mf_test.try('TRUNCATE mf_invoice'), '[0-9]+ invoices', 'N invoices');
SELECT regexp_replace(mf_test.try('DELETE FROM mf_invoice WHERE id = ' || :'id'), '(invoice |mf_cancel\()[0-9]+', '\1N', 'g');
SELECT mf_cancel(:id);
SELECT status FROM mf_invoice WHERE id = :id;
SELECT count(*) AS on_agenda FROM mf_queue WHERE invoice = :id;
SELECT pg_temp.updated('customer_name = ''too late''');
SELECT pg_temp.updated('customer_name = ''other''');
DELETE FROM mf_invoice WHERE id = :id;

-- The agenda follows a statement of many rows, and COPY.
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, priority) SELECT 'held', 'many', i, '2031-01-01 00:00+00', i % 3 FROM generate_series(1, 100) i;
COPY mf_invoice (account, customer_name, invoice_value) FROM stdin (FORMAT csv);
held,copied,1.500
held,copied,"2"
\.
SELECT i.customer_name, q.kind, q.priority, count(*), bool_and(q.due = i.send_at AND q.rank = CASE WHEN q.promote THEN q.due ELSE q.due - i.priority * interval '10 min' END AND q.account = i.account) AS same
FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE i.account = 'held' AND i.customer_name IN ('many', 'copied') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- a statement that fails leaves nothing, one that does not insert neither
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'half', 1), ('held', 'half', 0);
INSERT INTO mf_invoice (account, customer_name, invoice_value) SELECT 'held', 'none', 1 WHERE false;
SELECT count(*) FROM mf_invoice WHERE customer_name IN ('half', 'none');
SELECT count(*) AS lost FROM mf_invoice i WHERE status = 'queued' AND NOT EXISTS (SELECT FROM mf_queue q WHERE q.invoice = i.id);

-- Entries are written many at a time, without SQL; by SQL once mf_queue is no longer as it was made. Both come to the same.
INSERT INTO mf_invoice (account, customer_name, invoice_value, priority, send_at) SELECT 'held', 'without SQL', 1, i % 2, now() + i % 3 * interval '1 h' FROM generate_series(1, 501) i;
CREATE TRIGGER somebodys BEFORE UPDATE ON mf_queue FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO mf_invoice (account, customer_name, invoice_value, priority, send_at) SELECT 'held', 'by SQL', 1, i % 2, now() + i % 3 * interval '1 h' FROM generate_series(1, 501) i;
DROP TRIGGER somebodys ON mf_queue;
SELECT i.customer_name, q.account, q.kind, q.priority, q.lookups, q.promote, q.error, count(*), count(DISTINCT q.invoice), count(DISTINCT q.origin) AS origins, bool_and(q.due = i.send_at AND q.rank = CASE WHEN q.promote THEN q.due ELSE q.due - i.priority * interval '10 min' END) AS same
FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE i.customer_name IN ('without SQL', 'by SQL') GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 6;
-- the same for what a dump brings: every status, flagged or not, due before, now, later and never, ranked or not, made now or before
BEGIN;
CREATE FUNCTION pg_temp.restore(name text) RETURNS bigint LANGUAGE sql AS $$
	WITH r AS (INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, status, attempts, duplicate_suspected, send_at, priority, created_at)
		SELECT 'held', name, 1, name || '.' || row_number() OVER (), s, CASE s WHEN 'queued' THEN 0 ELSE 1 END, d, a, p, c
		FROM unnest(ARRAY['queued', 'sending', 'sent', 'rejected', 'unknown', 'review', 'cancelled']) s, unnest(ARRAY[false, true]) d,
			unnest(ARRAY['2020-01-01', now(), '2031-01-01', 'infinity']::timestamptz[]) a, unnest(ARRAY[0, 7]) p, unnest(ARRAY[now(), '2019-12-31', '2020-06-01']) c
		RETURNING 1)
	SELECT count(*) FROM r $$;
SELECT pg_temp.restore('dump');
CREATE TRIGGER somebodys BEFORE UPDATE ON mf_queue FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT pg_temp.restore('dump by SQL');
-- of a row to be looked up first, due depends on the second
CREATE VIEW pg_temp.restored AS SELECT i.customer_name, split_part(i.reference, '.', 2)::int AS n, q.account, q.kind, q.priority, q.lookups, q.promote, q.origin, q.error,
		CASE WHEN q.kind = 'verify' AND q.due < now() + interval '1 h' THEN now() + interval '1 min' ELSE q.due END AS due, CASE WHEN isfinite(q.due) THEN q.due - q.rank END AS ahead
	FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE i.customer_name LIKE 'dump%';
SELECT count(*) AS differ FROM pg_temp.restored a JOIN pg_temp.restored b USING (n) WHERE a.customer_name = 'dump' AND b.customer_name = 'dump by SQL'
	AND (a.account, a.kind, a.priority, a.lookups, a.promote, a.origin, a.error, a.due, a.ahead) IS DISTINCT FROM (b.account, b.kind, b.priority, b.lookups, b.promote, b.origin, b.error, b.due, b.ahead);
SELECT kind, promote, count(*), count(DISTINCT ahead) AS ahead FROM pg_temp.restored WHERE customer_name = 'dump' GROUP BY 1, 2 ORDER BY 1, 2;
ROLLBACK;
-- What the table of the agenda refuses, the insertion fails with.
ALTER TABLE mf_queue ADD CONSTRAINT none CHECK (invoice IS NULL) NOT VALID;
SELECT regexp_replace(mf_test.try($$INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'x', 1)$$), 'Failing row.*', 'Failing row');
ALTER TABLE mf_queue DROP CONSTRAINT none;

-- The guards are not to be called, nor to be put on other tables.
SELECT mf_test.try('SELECT ' || f || '()') FROM unnest(ARRAY['mf_invoice_proposed', 'mf_invoice_guard', 'mf_invoice_enqueue', 'mf_enqueue']) f;
CREATE TABLE pg_temp.elsewhere (a int);
CREATE TRIGGER guard BEFORE INSERT ON pg_temp.elsewhere FOR EACH ROW EXECUTE FUNCTION mf_invoice_guard();
SELECT mf_test.try('INSERT INTO pg_temp.elsewhere VALUES (1)');
DROP TRIGGER guard ON pg_temp.elsewhere;
CREATE TRIGGER guard AFTER INSERT ON pg_temp.elsewhere FOR EACH ROW EXECUTE FUNCTION mf_invoice_guard();
SELECT mf_test.try('INSERT INTO pg_temp.elsewhere VALUES (1)');
DROP TRIGGER guard ON pg_temp.elsewhere;
CREATE TRIGGER guard BEFORE INSERT ON pg_temp.elsewhere FOR EACH ROW EXECUTE FUNCTION mf_invoice_enqueue();
SELECT mf_test.try('INSERT INTO pg_temp.elsewhere VALUES (1)');
DROP TRIGGER guard ON pg_temp.elsewhere;
CREATE TRIGGER guard AFTER INSERT ON pg_temp.elsewhere FOR EACH ROW EXECUTE FUNCTION mf_invoice_enqueue();
SELECT mf_test.try('INSERT INTO pg_temp.elsewhere VALUES (1)');

-- The end
SELECT count(mf_cancel(id)) FROM mf_invoice WHERE status = 'queued' AND account IN ('held', 'other');
DELETE FROM mf_invoice WHERE account IN ('held', 'other');
SELECT count(*) FROM mf_queue;
SELECT mf_resume('held'), mf_resume('other');
DROP SERVER held;
DROP SERVER other;
DROP OWNED BY regress_mf_alice, regress_mf_bob;
DROP ROLE regress_mf_alice, regress_mf_bob;
