-- What people do to invoices on their way: pause, resume, cancel, retry; and what stops an account by itself
\pset format unaligned
CALL mf_test.reset_sandbox();
SELECT set_config('mf_test.first', coalesce(max(id), 0)::text, false) IS NOT NULL AS noted FROM mf_invoice;
CREATE VIEW pg_temp.mine AS SELECT * FROM mf_invoice WHERE id > current_setting('mf_test.first')::bigint;
CREATE TEMP VIEW history AS SELECT i.customer_name AS name, h.changed_at, h.actor, h.from_status, h.to_status, h.attempt, h.reason
	FROM mf_history h JOIN pg_temp.mine i ON i.id = h.invoice;
CREATE PROCEDURE pg_temp.wait_status(name text, status text) LANGUAGE plpgsql AS $$
BEGIN
	CALL mf_test.wait_for(format('NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = %L AND status <> %L)', name, status));
END
$$;
CREATE SERVER branch FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
DO $$
BEGIN
	EXECUTE format('ALTER SERVER branch OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER branch OPTIONS (api_key_file %L)', mf_test.setting('key_file'));
END
$$;

-- A paused account rests, the others do not.
SELECT mf_pause('branch', 'new prices');
SELECT account, paused_at <= now() AS at, paused_by, reason FROM mf_account WHERE account = 'branch';
SELECT mf_pause('branch', 'somebody else');
SELECT reason FROM mf_account WHERE account = 'branch';
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at) VALUES ('branch', 'waiting', 1, DEFAULT), ('branch', 'waiting', 2, now() + interval '1 day');
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('going', 1);
CALL pg_temp.wait_status('going', 'sent');
SELECT customer_name, status, attempts FROM pg_temp.mine ORDER BY id;
SELECT account, kind, invoices, due_invoices, oldest_due <= now() AS due, paused_at IS NOT NULL AS paused, pause_reason FROM mf_backlog;
DELETE FROM pg_temp.mine WHERE customer_name = 'going';
UPDATE pg_temp.mine SET send_at = now() WHERE customer_name = 'waiting';
SELECT mf_resume('branch');
CALL pg_temp.wait_status('waiting', 'sent');
SELECT account, paused_at, paused_by, reason FROM mf_account WHERE account = 'branch';
SELECT mf_resume('branch');
SELECT count(*) FROM mf_backlog;
-- A role that is called like what pauses an account after a refusal is told from it, and resumes what it has paused.
CREATE ROLE sender IN ROLE myfatoorah_operate, myfatoorah_submit;
GRANT USAGE ON FOREIGN SERVER branch TO sender;
SET ROLE sender;
SELECT mf_pause('branch', 'stocktaking');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'named', 1);
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name = 'named';
RESET ROLE;
SELECT paused_by, reason FROM mf_account WHERE account = 'branch';
SELECT detail FROM mf_check() WHERE detail LIKE 'MyFatoorah refuses%';
SELECT mf_resume('branch');
SELECT actor, from_status, to_status FROM pg_temp.history WHERE name = 'named' AND to_status = 'cancelled' ORDER BY changed_at;
DELETE FROM pg_temp.mine WHERE customer_name = 'named';
REVOKE USAGE ON FOREIGN SERVER branch FROM sender;
DROP ROLE sender;
-- all at once
SELECT mf_pause('*', 'closed today');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'all', 1), ('myfatoorah', 'all', 1);
SELECT account, invoices, due_invoices FROM mf_backlog ORDER BY account;
SELECT mf_resume('branch');
SELECT mf_resume('*');
CALL pg_temp.wait_status('all', 'sent');
-- a pause that is rolled back is none
BEGIN;
SELECT mf_pause('branch');
ROLLBACK;
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'not paused', 1);
CALL pg_temp.wait_status('not paused', 'sent');

-- Cancelled before it is sent: never sent
SELECT mf_pause('branch');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'cancelled', 1), ('branch', 'cancelled twice', 1), ('branch', 'kept', 1);
SELECT mf_cancel(id, 'moved out') FROM pg_temp.mine WHERE customer_name = 'cancelled';
SELECT mf_cancel(id) FROM pg_temp.mine WHERE customer_name = 'cancelled twice';
SELECT regexp_replace(mf_test.try(format('SELECT mf_cancel(%s)', id)), '[0-9]+ cannot', 'N cannot') FROM pg_temp.mine WHERE customer_name = 'cancelled twice';
BEGIN;
SELECT mf_cancel(id) FROM pg_temp.mine WHERE customer_name = 'kept';
ROLLBACK;
SELECT mf_resume('branch');
CALL pg_temp.wait_status('kept', 'sent');
SELECT customer_name, status, attempts, last_error FROM pg_temp.mine WHERE customer_name LIKE 'cancelled%' ORDER BY id;
SELECT name, actor, from_status, to_status, attempt, reason FROM pg_temp.history WHERE name LIKE 'cancelled%' AND reason <> 'inserted' ORDER BY changed_at;
SELECT count(*) AS sent FROM mf_test.requests() WHERE body LIKE '%cancelled%';

-- Rejected: corrected and sent again under the next reference, as often as it takes; or cancelled
CALL mf_test.fault('{"name": "no", "shape": 1, "times": 3}');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('[fault:no]', 1, 'a~7');
CALL pg_temp.wait_status('[fault:no]', 'rejected');
UPDATE pg_temp.mine SET invoice_value = 2 WHERE customer_name = '[fault:no]';
SELECT mf_retry(id) FROM pg_temp.mine WHERE customer_name = '[fault:no]';
CALL pg_temp.wait_status('[fault:no]', 'rejected');
SELECT mf_retry(id, 'second try') FROM pg_temp.mine WHERE customer_name = '[fault:no]';
CALL pg_temp.wait_status('[fault:no]', 'rejected');
UPDATE pg_temp.mine SET customer_name = 'yes' WHERE customer_name = '[fault:no]';
SELECT mf_retry(id) FROM pg_temp.mine WHERE customer_name = 'yes';
CALL pg_temp.wait_status('yes', 'sent');
SELECT mf_test.masked(reference), attempts, last_error FROM pg_temp.mine WHERE customer_name = 'yes';
SELECT a.attempt, mf_test.masked(a.reference), a.outcome FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice WHERE i.customer_name = 'yes' ORDER BY attempt;
SELECT actor, from_status, to_status, attempt, reason FROM pg_temp.history WHERE name = 'yes' ORDER BY changed_at;
SELECT mf_test.masked(reference), body::jsonb->>'InvoiceValue' AS value, status FROM mf_test.requests() WHERE reference LIKE 'a~7%' ORDER BY seq;
CALL mf_test.fault('{"name": "no", "shape": 1, "times": 1}');
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('[fault:no]', 1);
CALL pg_temp.wait_status('[fault:no]', 'rejected');
SELECT mf_cancel(id) FROM pg_temp.mine WHERE customer_name = '[fault:no]';
SELECT regexp_replace(mf_test.try(format('SELECT mf_retry(%s)', id)), '[0-9]+ cannot', 'N cannot') FROM pg_temp.mine WHERE customer_name = '[fault:no]';
DELETE FROM pg_temp.mine WHERE customer_name = '[fault:no]';

-- Whoever decides later that it is sent has the last word about what somebody wanted to cancel.
INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, attempts, cancel_requested)
	VALUES ('cancel, then retry', 1, 'then.retry', 'rejected', 1, true), ('cancel, then resend', 1, 'then.resend', 'review', 1, true);
SELECT mf_retry(id) FROM pg_temp.mine WHERE customer_name = 'cancel, then retry';
SELECT mf_resolve(id, 'resend', 'wanted after all') FROM pg_temp.mine WHERE customer_name = 'cancel, then resend';
SELECT cancel_requested FROM pg_temp.mine WHERE customer_name LIKE 'cancel, then%';
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name LIKE 'cancel, then%' AND status NOT IN ('sent', 'cancelled'))$$);
SELECT customer_name, status, reference FROM pg_temp.mine WHERE customer_name LIKE 'cancel, then%' ORDER BY id;

-- A refusal of the account itself pauses it, with the reason; nothing is lost, and the same reference goes again.
CALL mf_test.fault('[{"shape": 8, "times": 1}]');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'problem', 1);
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_account WHERE account = 'branch' AND paused_at IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_invoice WHERE account = 'branch' AND status = 'sending')$$);
SELECT status, attempts, last_error, (SELECT kind FROM mf_queue WHERE invoice = id) AS agenda FROM pg_temp.mine WHERE customer_name = 'problem';
SELECT paused_by, reason FROM mf_account WHERE account = 'branch';
SELECT account, kind, invoices, pause_reason FROM mf_backlog;
CALL mf_test.fault('{"path": "SendPayment", "shape": 6}');
SELECT mf_resume('branch');
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_account WHERE account = 'branch' AND paused_at IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_invoice WHERE account = 'branch' AND status = 'sending')$$);
SELECT attempts, last_error, (SELECT reason FROM mf_account WHERE account = 'branch') FROM pg_temp.mine WHERE customer_name = 'problem';
CALL mf_test.fault('{"path": "SendPayment", "shape": 5}');
SELECT mf_resume('branch');
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_account WHERE account = 'branch' AND paused_at IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_invoice WHERE account = 'branch' AND status = 'sending')$$);
SELECT attempts, last_error FROM pg_temp.mine WHERE customer_name = 'problem';
SELECT mf_resume('branch');
CALL pg_temp.wait_status('problem', 'sent');
SELECT attempts, last_error FROM pg_temp.mine WHERE customer_name = 'problem';
SELECT a.attempt, a.outcome, a.http_status, a.reference = i.reference AS same_reference FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice WHERE i.customer_name = 'problem' ORDER BY attempt;
SELECT actor, from_status, to_status, attempt, reason FROM pg_temp.history WHERE name = 'problem' ORDER BY changed_at;

-- Too many requests: later, by itself
CALL mf_test.fault('{"name": "busy", "status": 429, "headers": {"Retry-After": "1"}, "body": {"Message": "quota exceeded"}, "times": 1}');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', '[fault:busy]', 1);
CALL pg_temp.wait_status('[fault:busy]', 'sent');
SELECT a.attempt, a.outcome, a.http_status, a.error, a.reference = i.reference AS same_reference,
	a.started_at - lag(a.finished_at) OVER (ORDER BY attempt) >= interval '900 ms' AS waited FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice WHERE i.customer_name = '[fault:busy]' ORDER BY attempt;
SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL;

-- Not reached: later, by itself; a changed option wakes the worker
ALTER SERVER branch OPTIONS (SET base_url 'http://127.0.0.1:1');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('branch', 'unreachable', 1);
CALL mf_test.wait_for($$(SELECT last_error IS NOT NULL AND status = 'queued' FROM pg_temp.mine WHERE customer_name = 'unreachable')$$);
SELECT mf_test.masked(last_error) FROM pg_temp.mine WHERE customer_name = 'unreachable';
DO $$ BEGIN EXECUTE format('ALTER SERVER branch OPTIONS (SET base_url %L)', mf_test.setting('sandbox_url')); END $$;
CALL pg_temp.wait_status('unreachable', 'sent');
SELECT attempts > 1 AS again, last_error FROM pg_temp.mine WHERE customer_name = 'unreachable';
SELECT DISTINCT outcome, http_status FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice WHERE i.customer_name = 'unreachable' ORDER BY outcome;
SELECT count(*) AS requests FROM mf_test.requests() WHERE body LIKE '%unreachable%';

-- No proof either way: unknown, never sent again by itself at once, not to be changed
CALL mf_test.fault('[{"name": "lost", "create": true, "status": 500, "body": ""}, {"name": "cut", "reset_answer_at": 0}]');
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('[fault:lost]', 1), ('[fault:cut]', 1);
CALL pg_temp.wait_status('[fault:lost]', 'unknown');
CALL pg_temp.wait_status('[fault:cut]', 'unknown');
SELECT customer_name, status, attempts, mf_test.masked(last_error), invoice_id, (SELECT kind FROM mf_queue WHERE invoice = id) AS agenda, (SELECT due > now() FROM mf_queue WHERE invoice = id) AS later
FROM pg_temp.mine WHERE customer_name IN ('[fault:lost]', '[fault:cut]') ORDER BY id;
SELECT body::jsonb->>'CustomerName' AS name, count(*) FROM mf_test.requests() WHERE body LIKE '%fault:%' GROUP BY 1 ORDER BY 1;

-- A row whose role has no key waits and says so; it is taken up once there is one.
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice;
RESET client_min_messages;
CREATE ROLE regress_mf_alice IN ROLE myfatoorah_submit;
CREATE SERVER keyless FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', own_mappings 'on');
DO $$ BEGIN EXECUTE format('ALTER SERVER keyless OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url')); END $$;
GRANT USAGE ON FOREIGN SERVER keyless TO regress_mf_alice;
DO $$ BEGIN EXECUTE format('CREATE USER MAPPING FOR regress_mf_alice SERVER keyless OPTIONS (api_key %L)', mf_test.setting('api_key')); END $$;
SET ROLE regress_mf_alice;
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('keyless', 'by alice', 1);
RESET ROLE;
CALL pg_temp.wait_status('by alice', 'sent');
SELECT created_by FROM pg_temp.mine WHERE customer_name = 'by alice';
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('keyless', 'keyless', 1);
CALL mf_test.wait_for($$(SELECT last_error IS NOT NULL FROM pg_temp.mine WHERE customer_name = 'keyless')$$);
SELECT status, attempts, last_error FROM pg_temp.mine WHERE customer_name = 'keyless';
DO $$ BEGIN EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER keyless OPTIONS (api_key %L)', mf_test.setting('api_key')); END $$;
SELECT mf_resume('keyless');
CALL pg_temp.wait_status('keyless', 'sent');
SELECT status, attempts, last_error FROM pg_temp.mine WHERE customer_name = 'keyless';
DROP SERVER keyless CASCADE;
DROP OWNED BY regress_mf_alice;
DROP ROLE regress_mf_alice;

-- The end
SET session_replication_role = replica;
UPDATE mf_invoice SET status = 'sent' WHERE status = 'unknown';
DELETE FROM mf_queue WHERE kind = 'reconcile';
RESET session_replication_role;
SELECT count(*) AS unfinished FROM mf_queue;
DROP SERVER branch CASCADE;
SET session_replication_role = replica;
DELETE FROM mf_inquiry q WHERE NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = q.account);
DELETE FROM mf_invoice i WHERE NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = i.account);
RESET session_replication_role;
SELECT item, ok, detail FROM mf_check() WHERE item = 'accounts';
