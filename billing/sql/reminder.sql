-- Reminders: when they are due, whether the payment was asked for, each once, and never of what is paid, void, disputed or snoozed
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_other, regress_mf_chief, regress_mf_reader;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_other IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CALL mf_test.reset_sandbox();
-- An account of its own, so that bills of other tests are not reminded of
DO $$
BEGIN
	EXECUTE format('CREATE SERVER reminded FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', environment ''test'', base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER reminded OPTIONS (api_key_file %L)', mf_test.setting('key_file'));
END
$$;
ALTER TABLE mf_reminder_rule ALTER account SET DEFAULT 'reminded';
ALTER TABLE mf_day_off ALTER account SET DEFAULT 'reminded';
CREATE FUNCTION pg_temp.as_role(who text, statement text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(mf_test.as_role(who, statement), '(bill|reminder|id =) \d+', '\1 N', 'g') $$;
-- The tick's step, as often as it wants to be called at that time
CREATE PROCEDURE pg_temp.tick(at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	next timestamptz;
BEGIN
	LOOP
		PERFORM set_config('role', 'myfatoorah_billing', true);
		next := mf_tick_reminders(at, 3);
		COMMIT;
		EXIT WHEN next IS NULL OR next > at + interval '2 minutes';
		CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_inquiry WHERE urgent)');
		COMMIT;
		at := greatest(at, next);
	END LOOP;
	-- whoever had to wait for an answer is some seconds later
	RAISE NOTICE 'next: %', coalesce((date_trunc('minute', next) AT TIME ZONE 'Asia/Kuwait')::text, 'none');
END
$$;
-- A bill whose link was sent
CREATE PROCEDURE pg_temp.bill(key text, due date, total numeric DEFAULT 10, account text DEFAULT 'reminded') LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO mf_bill (account, customer_name, customer_email, bill_key, customer_reference, due_date, total) VALUES (account, 'Ahmad', 'ahmad@example.com', key, key, due, total);
	COMMIT;
	CALL mf_test.wait_for(format('(SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = %L) = ''sent''', key));
END
$$;
CREATE VIEW pg_temp.said AS SELECT b.bill_key, r.name, m.via, m.due_at AT TIME ZONE 'Asia/Kuwait' AS due_at, date_trunc('hour', m.fired_at) AT TIME ZONE 'Asia/Kuwait' AS fired_at, m.balance
	FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill JOIN mf_reminder_rule r ON r.id = m.rule ORDER BY m.id;
SET TimeZone = 'UTC';
SET DateStyle = ISO;

-- Who may write rules, and what is refused
SELECT pg_temp.as_role('regress_mf_clerk', $$INSERT INTO mf_reminder_rule (name, days_from_due) VALUES ('x', 1)$$);
SELECT pg_temp.as_role('regress_mf_clerk', $$INSERT INTO mf_day_off (day) VALUES ('2031-01-01')$$);
SELECT pg_temp.as_role('regress_mf_chief', $$INSERT INTO mf_reminder_rule (name, days_from_due, done_to) VALUES ('x', 1, '2000-01-01')$$);
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due) VALUES (' ', 1)$$);
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due) VALUES ('x', NULL)$$) ~ '^23502.*days_from_due' AS days_from_due;
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due) VALUES ('x', 99999)$$) ~ '^23514.*days_from_due' AS days_from_due;
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due, via) VALUES ('x', 1, 'pigeon')$$) ~ '^23514.*via' AS via;
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due, via, notification_option) VALUES ('x', 1, 'event', 'EML')$$);
SELECT mf_test.try($$INSERT INTO mf_reminder_rule (name, days_from_due, account) VALUES ('x', 1, 'nobody')$$) ~ 'nobody' AS account;
SET ROLE regress_mf_chief;
INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via) VALUES ('soon', -3, '10:00', 'event');
INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via, notification_option) VALUES ('late', 1, '10:00', 'link', 'EML');
INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via, min_balance) VALUES ('very late', 7, '10:00', 'event', 5);
RESET ROLE;

-- Times: Friday and Saturday are off in Kuwait, Saturday and Sunday in the Emirates; holidays; quiet hours
CREATE SERVER emirates FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'ARE', time_zone 'Asia/Dubai', base_url 'http://127.0.0.1:9');
INSERT INTO mf_reminder_rule (account, name, days_from_due, at_time, via) VALUES ('emirates', 'late', 1, '10:00', 'event');
SELECT r.account, d.day, to_char(d.day, 'Dy') AS due, to_char(mf_reminder_due(r, d.day) AT TIME ZONE CASE r.account WHEN 'emirates' THEN 'Asia/Dubai' ELSE 'Asia/Kuwait' END, 'Dy YYYY-MM-DD HH24:MI') AS reminded
	FROM mf_reminder_rule r, (VALUES (date '2031-01-01'), ('2031-01-02'), ('2031-01-03'), ('2031-01-04')) d(day) WHERE r.name = 'late' ORDER BY r.account DESC, d.day;
INSERT INTO mf_day_off (day, name) VALUES ('2031-01-05', 'inventory'), ('2031-01-06', 'inventory');
SELECT mf_reminder_due(r, '2031-01-02') AT TIME ZONE 'Asia/Kuwait' AS reminded FROM mf_reminder_rule r WHERE r.name = 'late' AND r.account = 'reminded';
INSERT INTO mf_billing_policy (account, quiet_from, quiet_to) VALUES ('reminded', '21:00', '08:30'), ('emirates', '09:00', '11:00');
SELECT t.account, t.at, mf_reminder_time(t.account, t.at::timestamp AT TIME ZONE 'Asia/Kuwait', '10:00') AT TIME ZONE 'Asia/Kuwait' AS reminded
	FROM (VALUES ('reminded', '2031-01-07 20:59'), ('reminded', '2031-01-07 21:00'), ('reminded', '2031-01-08 03:00'), ('reminded', '2031-01-08 08:30'), ('reminded', '2031-01-09 22:00'), ('reminded', '2031-01-10 12:00'),
		('emirates', '2031-01-07 07:59'), ('emirates', '2031-01-07 08:00'), ('emirates', '2031-01-07 09:59'), ('emirates', '2031-01-07 10:00')) t(account, at);
DELETE FROM mf_reminder_rule WHERE account = 'emirates';
DELETE FROM mf_billing_policy;
DELETE FROM mf_day_off;

-- Due on Monday 2031-01-20, so a reminder on Friday: it goes on Sunday, by event
CALL pg_temp.bill('due', '2031-01-20');
CALL pg_temp.tick('2031-01-17 10:00+03');
SELECT * FROM pg_temp.said;
CALL pg_temp.tick('2031-01-19 09:50+03');
SELECT * FROM pg_temp.said;
CALL pg_temp.tick('2031-01-19 10:00+03');
SELECT * FROM pg_temp.said;
SELECT count(*) FROM mf_reminder_queue;
CALL pg_temp.tick('2031-01-19 12:00+03');
SELECT count(*) AS once FROM mf_reminder;
-- your program sends it, and tells so
SELECT id AS reminder FROM mf_reminder \gset
SELECT pg_temp.as_role('regress_mf_other', format('SELECT mf_reminder_done(%s)', :reminder));
SELECT pg_temp.as_role('regress_mf_chief', 'SELECT mf_reminder_done(-1)');
SET ROLE regress_mf_chief;
SELECT mf_reminder_done(:reminder), mf_reminder_done(:reminder);
RESET ROLE;
-- by link: another one, which MyFatoorah mails
SELECT invoice AS first FROM mf_bill WHERE bill_key = 'due' \gset
CALL pg_temp.tick('2031-01-21 10:00+03');
SELECT * FROM pg_temp.said;
SELECT b.invoice <> :first AS another, m.invoice = b.invoice AS the_live_one, i.notification_option, i.invoice_value, (SELECT replaced_by = i.id FROM mf_invoice WHERE id = :first) AS replaces
	FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice JOIN mf_reminder m ON m.bill = b.id AND m.via = 'link' WHERE b.bill_key = 'due';
SELECT regexp_replace(pg_temp.as_role('regress_mf_chief', format('SELECT mf_reminder_done(%s)', id)), '\d+', 'N') FROM mf_reminder WHERE via = 'link';
SELECT regexp_replace(mf_test.try($$DELETE FROM mf_reminder_rule WHERE name = 'late'$$), 'id = \d+', 'id = N');

-- Paid between the time and the tick, and nobody has told: the payment is asked for, and nothing said
CALL mf_test.wait_for(format('(SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = %L) = ''sent''', 'due'));
SELECT mf_test.sandbox('invoices/' || i.invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'due';
CALL pg_temp.tick('2031-01-27 10:00+03');
SELECT status FROM mf_bill WHERE bill_key = 'due';
SELECT count(*) FROM mf_reminder;

-- The tick did not come for a week: only the latest rule fires. Days off and quiet hours hold for late ones, too.
CALL pg_temp.bill('down', '2031-02-04');
CALL pg_temp.bill('small', '2031-02-04', 4);
INSERT INTO mf_day_off (day) VALUES ('2031-02-16');
CALL pg_temp.tick('2031-02-14 10:00+03');
SELECT count(*) FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.due_date = '2031-02-04';
CALL pg_temp.tick('2031-02-17 10:00+03');
SELECT s.* FROM pg_temp.said s WHERE s.bill_key IN ('down', 'small') ORDER BY s.bill_key;
DELETE FROM mf_day_off;

-- Snoozed: not before that day. One that your program has not sent is withdrawn.
SELECT id AS bill FROM mf_bill WHERE bill_key = 'down' \gset
SELECT pg_temp.as_role('regress_mf_clerk', format('SELECT mf_snooze(%s, ''2031-04-01'', ''x'')', :bill));
SELECT pg_temp.as_role('regress_mf_chief', format('SELECT mf_snooze(%s, ''2031-04-01'', '''')', :bill));
SELECT pg_temp.as_role('regress_mf_chief', format('SELECT mf_snooze(%s, ''2001-01-01'', ''x'')', :bill));
SELECT pg_temp.as_role('regress_mf_chief', format('SELECT mf_snooze(%s, ''infinity'', ''x'')', :bill));
SELECT count(*) FILTER (WHERE withdrawn_at IS NULL) AS pending FROM mf_reminder WHERE bill = :bill;
SET ROLE regress_mf_chief;
SELECT mf_snooze(:bill, '2031-02-28', 'has promised to pay');
RESET ROLE;
SELECT count(*) FILTER (WHERE withdrawn_at IS NULL) AS pending, count(*) FROM mf_reminder WHERE bill = :bill;
SELECT actor, changes, reason FROM mf_bill_history WHERE bill = :bill AND changes ? 'snoozed_until';
INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via) VALUES ('at last', 20, '09:00', 'event');
CALL pg_temp.tick('2031-02-24 09:00+03');
SELECT count(*) AS none FROM mf_reminder m JOIN mf_reminder_rule r ON r.id = m.rule WHERE r.name = 'at last' AND m.bill = :bill;
CALL pg_temp.tick('2031-02-27 09:00+03');
-- 2031-02-28 is a Friday
CALL pg_temp.tick('2031-03-02 09:00+03');
SELECT s.* FROM pg_temp.said s WHERE s.name = 'at last' ORDER BY s.bill_key;

-- Void, and with a dispute: never. Open again: the latest rule.
CALL pg_temp.bill('void', '2031-03-10');
CALL pg_temp.bill('disputed', '2031-03-10');
SELECT mf_void(id, 'moved out') FROM mf_bill WHERE bill_key = 'void';
INSERT INTO mf_dispute_state (invoice, dispute_id, payment_id, type, status, opened_at, changed_at, event) SELECT invoice, 'd1', 'p1', 'CHARGEBACK', 'PENDING', now(), now(), 0 FROM mf_bill WHERE bill_key = 'disputed';
CALL pg_temp.tick('2031-03-19 10:00+03');
SELECT count(*) AS none FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.due_date = '2031-03-10';
SELECT mf_reopen(id, 'came back') FROM mf_bill WHERE bill_key = 'void';
UPDATE mf_dispute_state SET status = 'RESOLVED' WHERE dispute_id = 'd1';
CALL pg_temp.tick('2031-03-20 10:00+03');
SELECT s.* FROM pg_temp.said s WHERE s.bill_key IN ('void', 'disputed') ORDER BY s.bill_key;
-- what was not sent yet is withdrawn with the debt
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 10 FROM mf_bill WHERE bill_key = 'void';
SELECT withdrawn_at IS NOT NULL AS withdrawn, done_at IS NULL AS not_done FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.bill_key = 'void';

-- Another due date: what is due by it
CALL pg_temp.bill('moved', '2031-06-01');
UPDATE mf_bill SET due_date = '2031-03-11' WHERE bill_key = 'moved';
CALL pg_temp.tick('2031-03-20 11:00+03');
SELECT s.* FROM pg_temp.said s WHERE s.bill_key = 'moved';

-- A rule begins with what is due from then on; what was due while it was not active is passed over
UPDATE mf_reminder_rule SET active = false WHERE name <> 'at last';
INSERT INTO mf_reminder_rule (name, days_from_due, via) VALUES ('past', -366, 'event');
SELECT now() - since < interval '1 minute' AS since, mf_reminder_due(r, r.done_to) <= now() AND mf_reminder_due(r, r.done_to + 1) > now() AS from_now_on
	FROM mf_reminder_rule r WHERE name = 'past';

-- What fails is put off, and told; it does not stop others. MyFatoorah has no address to mail to.
UPDATE mf_reminder_rule SET active = name = 'late';
CALL pg_temp.bill('no address', '2031-04-07');
CALL pg_temp.bill('with one', '2031-04-07');
UPDATE mf_bill SET customer_email = NULL WHERE bill_key = 'no address';
CALL mf_test.wait_for($$(SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'no address') = 'sent'$$);
CREATE PROCEDURE pg_temp.some_ticks(at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0 .. 3 LOOP
		PERFORM set_config('role', 'myfatoorah_billing', true);
		PERFORM mf_tick_reminders(at + i * interval '1 minute', 10);
		COMMIT;
		CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_inquiry WHERE urgent)');
		COMMIT;
	END LOOP;
END
$$;
CALL pg_temp.some_ticks('2031-04-08 10:00+03');
SELECT s.bill_key, s.name FROM pg_temp.said s WHERE s.bill_key IN ('no address', 'with one');
SELECT b.bill_key, q.error, q.tries > 0 AS tried FROM mf_reminder_queue q JOIN mf_bill b ON b.id = q.bill WHERE b.bill_key = 'no address';
SELECT count(*) FILTER (WHERE live) AS live, bool_and(b.invoice IS NOT NULL) AS has_link FROM mf_link k JOIN mf_bill b ON b.id = k.bill WHERE b.bill_key = 'no address';

-- The end
DELETE FROM mf_reminder_queue;
UPDATE mf_reminder_rule SET active = false;
DROP SERVER emirates;
ALTER TABLE mf_reminder_rule ALTER account SET DEFAULT 'myfatoorah';
ALTER TABLE mf_day_off ALTER account SET DEFAULT 'myfatoorah';
DROP OWNED BY regress_mf_clerk, regress_mf_other, regress_mf_chief;
