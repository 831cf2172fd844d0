-- Times of the day: send_time, quiet_hours, in the account's time zone, summer time both ways
\pset format unaligned
CALL mf_test.reset_sandbox();
SET TimeZone = 'UTC';
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
SELECT mf_pause('held');

-- Options
CREATE FUNCTION pg_temp.option(name text, value text) RETURNS text LANGUAGE sql AS $$
	SELECT name || '=' || value || ' -> ' || mf_test.try(format('CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', %I %L)', name, value))
$$;
SELECT pg_temp.option('send_time', v) FROM unnest(ARRAY['24:00', '9', '9:0', '09:60', '-1:00', '09:00:00', ' 09:00', '', 'noon']) v;
SELECT pg_temp.option('quiet_hours', v) FROM unnest(ARRAY['22:00', '22:00-', '-08:00', '08:00-08:00', '22:00 - 08:00', '22:00-24:00', '22-08', '']) v;
SELECT pg_temp.option('send_time', '9:00');
DROP SERVER probe;
SELECT pg_temp.option('quiet_hours', '22:00-8:00');
DROP SERVER probe;

-- When an invoice is due; in wall clock of the zone, and in UTC
CREATE FUNCTION pg_temp.due(zone text, options text, send_at timestamptz, notify text DEFAULT 'SMS') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE SERVER timed FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', time_zone %L%s)', zone, options);
	WITH i AS (INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_mobile, customer_email, send_at)
		VALUES ('timed', 'x', 1, notify, '99999999', 'a@example.com', due.send_at) RETURNING id, mf_invoice.send_at)
	SELECT i.id::text INTO result FROM i;
	SELECT format('%s, %s UTC', to_char(q.due AT TIME ZONE zone, 'MM-DD HH24:MI:SS'), to_char(q.due AT TIME ZONE 'UTC', 'MM-DD HH24:MI')) ||
			CASE WHEN i.send_at <> due.send_at THEN ', send_at changed' ELSE '' END || CASE WHEN q.due <> q.rank THEN ', rank differs' ELSE '' END
		INTO result FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.id = result::bigint;
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = concat_ws(' ', zone, notify, to_char(send_at AT TIME ZONE zone, 'MM-DD HH24:MI:SS'), '->', result);
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
SELECT pg_temp.due('Asia/Kuwait', '', t) FROM unnest(ARRAY['2031-06-01 00:00+03', '2031-06-01 23:00+03']::timestamptz[]) t;
SELECT pg_temp.due('Asia/Kuwait', ', send_time ''09:00''', t, 'LNK') FROM unnest(ARRAY['2031-06-01 00:00+03', '2031-06-01 00:00:00.000001+03', '2031-06-01 00:00+00', '2031-06-01 08:00+03', '9999-12-31 21:00+00', '1970-01-01 00:00+00']::timestamptz[]) t;
SELECT pg_temp.due('Asia/Kuwait', ', quiet_hours ''22:00-08:00''', t, n) FROM unnest(ARRAY['SMS', 'EML', 'ALL', 'LNK']) n, unnest(ARRAY['2031-06-01 23:00+03', '2031-06-01 07:59:59.5+03']::timestamptz[]) t;
SELECT pg_temp.due('Asia/Kuwait', ', quiet_hours ''22:00-08:00''', t) FROM unnest(ARRAY['2031-06-01 22:00+03', '2031-06-01 21:59:59.999+03', '2031-06-01 00:00+03', '2031-06-01 08:00+03', '2031-12-31 23:30+03']::timestamptz[]) t;
SELECT pg_temp.due('Asia/Kuwait', ', quiet_hours ''13:00-15:30''', t) FROM unnest(ARRAY['2031-06-01 12:59+03', '2031-06-01 13:00+03', '2031-06-01 15:29+03', '2031-06-01 15:30+03']::timestamptz[]) t;
-- both: the time to send lies in the quiet hours
SELECT pg_temp.due('Asia/Kuwait', ', send_time ''07:00'', quiet_hours ''22:00-08:00''', '2031-06-01 00:00+03', n) FROM unnest(ARRAY['SMS', 'LNK']) n;
SELECT pg_temp.due('Asia/Kuwait', ', send_time ''09:00'', quiet_hours ''22:00-08:00''', '2031-06-01 00:00+03', n) FROM unnest(ARRAY['SMS', 'LNK']) n;
SELECT pg_temp.due('Asia/Kuwait', ', send_time ''00:00''', '2031-06-01 00:00+03');
-- clocks are changed in the night: 9 March and 2 November
SELECT pg_temp.due('America/New_York', ', send_time ''09:00''', (d || ' 00:00')::timestamp AT TIME ZONE 'America/New_York') FROM unnest(ARRAY['2031-03-08', '2031-03-09', '2031-03-10', '2031-11-01', '2031-11-02', '2031-11-03']) d;
SELECT pg_temp.due('America/New_York', ', quiet_hours ''22:00-08:00''', (d || ' 23:00')::timestamp AT TIME ZONE 'America/New_York') FROM unnest(ARRAY['2031-03-08', '2031-03-09', '2031-11-01', '2031-11-02']) d;
-- an hour that there is not, and one that there is twice
SELECT pg_temp.due('America/New_York', ', send_time ''02:30''', (d || ' 00:00')::timestamp AT TIME ZONE 'America/New_York') FROM unnest(ARRAY['2031-03-09', '2031-11-02']) d;
SELECT pg_temp.due('America/New_York', ', quiet_hours ''22:00-02:30''', '2031-03-09 06:59+00') UNION ALL
SELECT pg_temp.due('America/New_York', ', quiet_hours ''22:00-01:30''', t) FROM unnest(ARRAY['2031-11-02 05:10+00', '2031-11-02 05:40+00', '2031-11-02 06:10+00', '2031-11-02 06:40+00']::timestamptz[]) t;
-- clocks are changed at midnight: there is none on 30 March, and the hour before it comes twice on 25 October
SELECT pg_temp.due('Asia/Beirut', ', send_time ''09:00''', (d || ' 00:00')::timestamp AT TIME ZONE 'Asia/Beirut') FROM unnest(ARRAY['2031-03-29', '2031-03-30', '2031-03-31', '2031-10-25', '2031-10-26', '2031-10-27']) d;
SET TimeZone = 'Asia/Beirut';
SELECT pg_temp.due('Asia/Beirut', ', send_time ''09:00''', '2031-03-30'::date);
SET TimeZone = 'UTC';
SELECT pg_temp.due('Asia/Beirut', ', quiet_hours ''22:00-08:00''', t) FROM unnest(ARRAY['2031-03-29 21:30+00', '2031-03-29 22:30+00', '2031-10-25 20:30+00', '2031-10-25 21:30+00', '2031-10-25 22:30+00']::timestamptz[]) t;

-- A row that a dump brings back may have an account that is not there yet.
BEGIN;
INSERT INTO mf_invoice (account, customer_name, invoice_value, reference) VALUES ('nowhere', 'x', 1, 'restored') RETURNING status;
ROLLBACK;

-- A change of the row, of the account, and of its options
ALTER SERVER held OPTIONS (ADD send_time '09:00', ADD quiet_hours '22:00-08:00');
CREATE VIEW pg_temp.waiting AS SELECT i.notification_option AS option, i.send_at AT TIME ZONE 'Asia/Kuwait' AS send_at, q.due AT TIME ZONE 'Asia/Kuwait' AS due, q.lookups FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE i.customer_name = 'timed' ORDER BY i.id;
INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_mobile, send_at)
	VALUES ('held', 'timed', 1, 'LNK', '99999999', '2031-06-01 00:00+03'), ('held', 'timed', 1, 'SMS', '99999999', '2031-06-01 23:00+03'), ('held', 'timed', 1, 'LNK', '99999999', '2031-06-01 23:00+03');
SELECT * FROM pg_temp.waiting;
BEGIN;
SELECT mf_test.try(format($$INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_mobile, send_at, expiry_date)
	VALUES ('held', 'timed', 1, '%s', '99999999', '2031-06-01 %s+03', '2031-06-0%s+03')$$, option, at, until)) AS refused FROM (VALUES ('SMS', '23:00', '2 08:00'), ('SMS', '23:00', '2 08:01'),
	('LNK', '23:00', '2 08:00'), ('LNK', '00:00', '1 09:00'), ('LNK', '00:00', '1 09:01')) AS t(option, at, until);
ROLLBACK;
UPDATE mf_invoice SET notification_option = CASE notification_option WHEN 'SMS' THEN 'LNK' ELSE 'SMS' END WHERE customer_name = 'timed';
SELECT * FROM pg_temp.waiting;
UPDATE mf_invoice SET send_at = '2031-07-01 00:00+03' WHERE customer_name = 'timed';
SELECT * FROM pg_temp.waiting;
SELECT item, ok, detail FROM mf_check('held') WHERE item IN ('times', 'agenda', 'invoices');
SELECT kind, invoices FROM mf_repair();
SELECT kind, invoices, due_invoices, oldest_due FROM mf_backlog WHERE account = 'held';
-- other options have them looked at again
ALTER SERVER held OPTIONS (SET send_time '10:00');
SELECT count(*) AS looked_at_again FROM mf_queue WHERE account = 'held' AND due <= now() AND lookups = 0;
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name = 'timed';
DELETE FROM mf_invoice WHERE account = 'held';
SELECT mf_resume('held');
DROP SERVER held;

-- The worker looks at the options that there are when an invoice is due.
CREATE FUNCTION pg_temp.hours(around interval) RETURNS text LANGUAGE sql AS $$
	SELECT to_char(now() AT TIME ZONE 'Asia/Kuwait' - around, 'HH24:MI') || '-' || to_char(now() AT TIME ZONE 'Asia/Kuwait' + around + interval '1 min', 'HH24:MI')
$$;
DO $$ BEGIN EXECUTE format('ALTER SERVER myfatoorah OPTIONS (ADD quiet_hours %L)', pg_temp.hours('3 hours')); END $$;
INSERT INTO mf_invoice (customer_name, invoice_value, notification_option, customer_mobile) VALUES ('quiet', 1, 'SMS', '99999999'), ('link', 1, 'LNK', NULL);
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_name = 'link')$$);
SELECT i.status, i.last_error, q.due > now() + interval '2 hours' AS later FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE customer_name = 'quiet';
SELECT item, ok, split_part(detail, ', until', 1) AS detail FROM mf_check() WHERE item = 'times';
-- a change of the hours puts off again what is still in them, and sends what is not
DO $$ BEGIN EXECUTE format('ALTER SERVER myfatoorah OPTIONS (SET quiet_hours %L)', pg_temp.hours('1 hour')); END $$;
CALL mf_test.wait_for($$(SELECT q.due BETWEEN now() + interval '50 min' AND now() + interval '62 min' AND q.lookups < 0 FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE customer_name = 'quiet')$$);
SELECT status FROM mf_invoice WHERE customer_name = 'quiet';
ALTER SERVER myfatoorah OPTIONS (DROP quiet_hours);
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_name = 'quiet')$$);
SELECT count(*) FROM mf_test.requests() WHERE body LIKE '%quiet%';
RESET TimeZone;

-- New entries of the agenda are the same in every column, whether they are written without SQL or, where somebody has
-- given mf_queue a trigger, by SQL.
BEGIN;
CREATE SERVER ways FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', time_zone 'Asia/Kuwait', send_time '09:00', quiet_hours '22:00-08:00');
CREATE SERVER untimed FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
CREATE TEMP TABLE entry AS SELECT ''::text AS way, ''::text AS what, q.* FROM mf_queue q WHERE false;
CREATE FUNCTION pg_temp.enter(way text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_mobile, send_at, priority, customer_reference)
	SELECT a.account, 'x', 1, n.option, '99999999', d.send_at, p.priority, format('%s/%s, %s, %s, %s, new', way, a.account, n.option, d.send_at, p.priority)
	FROM unnest(ARRAY['ways', 'untimed']) a(account), unnest(ARRAY['LNK', 'SMS']) n(option), unnest(ARRAY[0, 50]) p(priority),
		unnest(ARRAY[NULL, '1970-01-01 00:00+00', '2040-01-01 00:00+03', '2040-01-01 12:00+03', '2040-01-01 23:00+03', '9999-12-31 23:59+00']::timestamptz[]) d(send_at),
		generate_series(1, 5);
	INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, created_at, priority, reference, status, duplicate_suspected, invoice_id, customer_reference)
	SELECT 'ways', 'x', 1, d.send_at, c.created_at, p.priority, format('%s-%s-%s-%s-%s-%s', way, s.status, d.n, c.n, p.priority, u.suspected), s.status, u.suspected, CASE s.status WHEN 'sent' THEN 1 END,
		format('%s/%s, %s, %s, %s, %s', way, s.status, d.send_at, c.created_at, p.priority, u.suspected)
	FROM unnest(ARRAY['queued', 'sending', 'unknown', 'review', 'sent', 'cancelled']) s(status), unnest(ARRAY[0, 50]) p(priority),
		unnest(ARRAY['2040-01-01 00:00+03', '9999-12-31 23:59+00']::timestamptz[]) WITH ORDINALITY d(send_at, n),
		unnest(ARRAY['2001-01-01 00:00+03', '2050-01-01 00:00+03']::timestamptz[]) WITH ORDINALITY c(created_at, n), unnest(ARRAY[false, true]) u(suspected);
	INSERT INTO entry SELECT way, split_part(i.customer_reference, '/', 2), q.* FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice
	WHERE i.customer_reference LIKE way || '/%';
	RETURN (SELECT count(*) FROM entry e WHERE e.way = enter.way);
END
$$;
SET client_min_messages = error;
SELECT pg_temp.enter('plain');
CREATE TRIGGER somebodys BEFORE UPDATE ON mf_queue FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT pg_temp.enter('SQL');
RESET client_min_messages;
SELECT what, string_agg(way, ' '), to_jsonb(e) - 'way' - 'what' - 'invoice' AS entry, count(*) FROM entry e
GROUP BY what, to_jsonb(e) - 'way' - 'what' - 'invoice' HAVING count(*) FILTER (WHERE way = 'plain') <> count(*) FILTER (WHERE way = 'SQL') ORDER BY what, 2;
SELECT kind, count(*), count(*) FILTER (WHERE lookups < 0 AND due > '2039-01-01') AS timed, count(*) FILTER (WHERE promote AND due > '2039-01-01') AS promoted
FROM entry WHERE way = 'SQL' GROUP BY kind ORDER BY kind;
ROLLBACK;
