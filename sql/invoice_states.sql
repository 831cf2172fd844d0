-- States: who may move them where, rows that a dump brings back, notifications
\pset format unaligned
CALL mf_test.reset_sandbox();
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
CREATE USER MAPPING FOR PUBLIC SERVER held OPTIONS (api_key 'SEKRET-KEY');
SELECT mf_pause('held');

-- Rows that come with their reference, as from a dump, are taken as they are; sending waits for a person's word.
INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, status, attempts, created_by, created_at)
SELECT 'held', s, 1, 'restored-' || s, s, 1, 'somebody', '2026-01-01'
FROM unnest(ARRAY['queued', 'sending', 'sent', 'rejected', 'unknown', 'review', 'cancelled']) s;
SELECT account, paused_at IS NOT NULL AS paused, paused_by, reason FROM mf_account WHERE account = '*';
SELECT i.status, i.reference, i.attempts, i.created_by, i.created_at = '2026-01-01' AS created_at, q.kind
FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE i.account = 'held' ORDER BY i.id;
-- of finished ones nothing is to be sent, but another server may ask about them
SELECT mf_resume('*');
INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, status, invoice_id, invoice_url, sent_at, payment_status)
VALUES ('held', 'done', 1, 'restored-done', 'sent', 5, 'https://example.com/5', '2026-01-01', 'paid');
SELECT count(*) FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL;
SELECT mf_resume('*');
-- a reference is never used twice, and the table's own rules hold
SELECT mf_test.undone($$INSERT INTO mf_invoice (account, customer_name, invoice_value, reference) VALUES ('held', 'twice', 1, 'restored-done')$$);
SELECT split_part(mf_test.undone($$INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, status) VALUES ('held', 'x', 1, 'r', 'gone')$$), E'\n', 1);
SELECT split_part(mf_test.undone($$INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, payment_status) VALUES ('held', 'x', 1, 'r', 'stolen')$$), E'\n', 1);

-- No transition is anybody's to write: not the owner's, and not that of the role that statements of myfatoorah run as,
-- even if somebody gives it all rights
CREATE FUNCTION pg_temp.move(who text, source text, target text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('role', who, true);
	result := mf_test.undone(format('UPDATE mf_invoice SET status = %L WHERE reference = %L', target, 'restored-' || source));
	PERFORM set_config('role', 'none', true);
	RETURN regexp_replace(split_part(result, E'\n', 1), 'invoice [0-9]+', 'invoice N');
END
$$;
CREATE TABLE pg_temp.status (number int, name text);
INSERT INTO pg_temp.status SELECT o, s FROM unnest(ARRAY['queued', 'sending', 'sent', 'rejected', 'unknown', 'review', 'cancelled']) WITH ORDINALITY u(s, o);
GRANT USAGE ON SCHEMA mf_test TO myfatoorah_worker;
SELECT mf_test.undone('SET ROLE myfatoorah_worker; ' || statement) FROM unnest(ARRAY[$$SELECT FROM mf_invoice$$, $$SELECT FROM mf_queue FOR UPDATE$$,
	$$UPDATE mf_invoice SET status = 'sent'$$, $$DELETE FROM mf_invoice$$, $$TRUNCATE mf_invoice$$, $$INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)$$,
	$$UPDATE mf_queue SET due = now()$$, $$INSERT INTO mf_attempt (invoice) VALUES (1)$$, $$INSERT INTO mf_account VALUES ('*')$$]) statement;
BEGIN;
GRANT ALL ON ALL TABLES IN SCHEMA public TO myfatoorah_worker;
SELECT w.who, f.name <> t.name AS moves, pg_temp.move(w.who, f.name, t.name) AS result, count(*)
FROM unnest(ARRAY['myfatoorah_worker', 'postgres']) w(who), pg_temp.status f, pg_temp.status t GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
ROLLBACK;
RESET ROLE;

-- Deleting: what is unfinished stays
SELECT s.name, regexp_replace(mf_test.undone(format('DELETE FROM mf_invoice WHERE reference = %L', 'restored-' || name)), '(invoice |mf_cancel\(|mf_resolve\()[0-9]+', '\1N', 'g')
FROM pg_temp.status s ORDER BY number;
-- Changing what it asks for: only before it is sent
SELECT s.name, split_part(regexp_replace(mf_test.undone(format('UPDATE mf_invoice SET customer_name = ''y'' WHERE reference = %L', 'restored-' || name)), 'invoice [0-9]+', 'invoice N', 'g'), E'\n', 1)
FROM pg_temp.status s ORDER BY number;

-- People's functions: in which state which
CREATE FUNCTION pg_temp.person(call text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT s.name || ': ' || regexp_replace(mf_test.undone(format('SELECT ' || call, i.id)), '(invoice |\()[0-9]+', '\1N', 'g')
	FROM pg_temp.status s JOIN mf_invoice i ON i.reference = 'restored-' || s.name ORDER BY s.number
$$;
SET client_min_messages = warning;	-- what may exist already is told with a number
SELECT pg_temp.person('mf_cancel(%s)');
RESET client_min_messages;
SELECT pg_temp.person('mf_retry(%s)');
SELECT pg_temp.person('mf_resolve(%s, ''resend'', ''because'')');
SELECT mf_test.try('SELECT ' || call) FROM unnest(ARRAY['mf_cancel(NULL)', 'mf_retry(NULL)', 'mf_cancel(-1)', 'mf_retry(-1)', 'mf_resolve(NULL, ''resend'', ''x'')', 'mf_resolve(-1, ''resend'', ''x'')',
	'mf_pause(NULL)', 'mf_pause(''held'', repeat(''x'', 501))', 'mf_resume(NULL)', 'mf_move_account(NULL, ''held'')', 'mf_move_account(''held'', NULL)', 'mf_pause(''nowhere'')', 'mf_resume(''nowhere'')']) call;

-- Decisions about an invoice in review
SELECT id FROM mf_invoice WHERE reference = 'restored-review' \gset
SELECT set_config('mf_test.id', :'id', false) IS NOT NULL AS noted;
SELECT i || ': ' || regexp_replace(mf_test.undone(format('SELECT mf_resolve(%s, %s)', current_setting('mf_test.id'), i)), 'invoice [0-9]+', 'invoice N')
FROM unnest(ARRAY['NULL, ''x''', '''resend'', NULL', '''resend'', ''''', '''delete'', ''x''', '''ADOPT'', ''x''', '''adopt'', ''x''', '''adopt'', ''x'', 0', '''adopt'', ''x'', -1', '''adopt'', ''x'', 9, ''javascript:alert(1)''']) i;
CREATE FUNCTION pg_temp.decided(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT mf_resolve(%s, %s)', current_setting('mf_test.id'), arguments);
	SELECT format('%s -> %s, id %s, url %s, error %s, reference %s, sent %s, agenda %s, history %s', arguments, i.status, i.invoice_id, i.invoice_url, i.last_error, i.reference, i.sent_at IS NOT NULL,
		(SELECT q.kind FROM mf_queue q WHERE q.invoice = i.id),
		(SELECT string_agg(concat_ws(' ', h.actor, h.from_status, h.to_status, h.attempt, h.reason), '; ' ORDER BY h.changed_at) FROM mf_history h WHERE h.invoice = i.id AND h.reason <> 'inserted'))
	INTO result FROM mf_invoice i WHERE i.id = current_setting('mf_test.id')::bigint;
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = result;
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
SELECT pg_temp.decided(d) FROM unnest(ARRAY['''resend'', ''not in the portal''', '''abandon'', ''customer left''', '''adopt'', ''portal shows it'', 77', '''adopt'', ''portal shows it'', 77, ''https://example.com/77''']) d;
SELECT status, duplicate_suspected, reference, attempts, last_outcome, all_references, answered_invoice_ids, what_happened, regexp_replace(next_step, 'mf_resolve\([0-9]+', 'mf_resolve(N', 'g') FROM mf_review;
-- a suspicion, once looked into, is dismissed; nothing else is decided about a sent invoice
INSERT INTO mf_invoice (account, customer_name, invoice_value, reference, status, invoice_id, duplicate_suspected) VALUES ('held', 'suspected', 1, 'restored-suspected', 'sent', 9, true) RETURNING id \gset
SELECT status, duplicate_suspected, regexp_replace(next_step, '\([0-9]+', '(N', 'g') FROM mf_review WHERE reference = 'restored-suspected';
SELECT d || ': ' || regexp_replace(mf_test.undone(format('SELECT mf_resolve(%s, %L, ''x'')', (SELECT i.id FROM mf_invoice i WHERE reference = 'restored-suspected'), d)), 'invoice [0-9]+', 'invoice N')
FROM unnest(ARRAY['resend', 'abandon', 'dismiss']) d;
SELECT mf_resolve(:id, 'dismiss', 'portal shows one');
SELECT i.status, i.duplicate_suspected, (SELECT count(*) FROM mf_queue q WHERE q.invoice = i.id) AS agenda, h.actor, h.from_status, h.to_status, h.reason
FROM mf_invoice i LEFT JOIN mf_history h ON h.invoice = i.id AND h.reason <> 'inserted' WHERE i.id = :id;
SELECT regexp_replace(mf_test.try(format('SELECT mf_resolve(%s, ''dismiss'', ''again'')', :'id')), 'invoice [0-9]+', 'invoice N');
-- a second resend of the same reference, and references that end alike
UPDATE mf_invoice SET customer_name = 'y' WHERE reference = 'restored-rejected';
SELECT mf_retry(id, 'corrected') FROM mf_invoice WHERE reference = 'restored-rejected';
SELECT i.reference, i.status, i.attempts, h.actor, h.from_status, h.to_status, h.reason FROM mf_invoice i JOIN mf_history h ON h.invoice = i.id WHERE i.reference LIKE 'restored-rejected%' AND h.reason <> 'inserted';

-- Changes of status are notified, when the transaction commits and not before. A session of its own, for the process id to be cut off.
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'unwanted', 1), ('held', 'wanted', 1);
\setenv PGDATABASE :DBNAME
\! printf '%s\n' "LISTEN mf_invoice;" "BEGIN;" "SELECT 'cancelling', count(mf_cancel(id)) FROM mf_invoice WHERE customer_name = 'unwanted';" "SELECT 'not yet';" "COMMIT;" "SELECT 'done';" "BEGIN;" "SELECT 'undone', count(mf_cancel(id)) FROM mf_invoice WHERE customer_name = 'wanted';" "ROLLBACK;" "UPDATE mf_invoice SET priority = 1 WHERE reference LIKE 'restored-rejected%';" "SELECT 'no change of status';" | psql -X -q -A -t 2>&1 | sed -E 's/ received from server process with PID.*//; s/"id": [0-9]+/"id": N/'
SELECT count(*) FROM mf_invoice WHERE customer_name = 'unwanted' AND status = 'cancelled';

-- The end
SELECT count(mf_resolve(id, 'abandon', 'end of test')) FROM mf_invoice WHERE account = 'held' AND status = 'review';
SET session_replication_role = replica;
UPDATE mf_invoice SET status = 'sent' WHERE account = 'held' AND status IN ('queued', 'sending', 'unknown');
DELETE FROM mf_queue WHERE account = 'held';
RESET session_replication_role;
DELETE FROM mf_invoice WHERE account = 'held';
SELECT count(*) FROM mf_queue WHERE account = 'held';
SELECT mf_resume('held');
DROP SERVER held CASCADE;
REVOKE USAGE ON SCHEMA mf_test FROM myfatoorah_worker;
SELECT mf_resume('*');
