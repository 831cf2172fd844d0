-- mf_archive(): finished invoices of old move with all that hangs on them; what is theirs stays taken, and what comes in about them is told
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_chief;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CALL mf_test.reset_sandbox();

CREATE PROCEDURE mf_test.insert_old(reference text, state text, created timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	WITH i AS (
		INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, idempotency_key, reference, status, payment_status, invoice_id, invoice_url,
			sent_at, attempts, created_by_id, created_at, received_value, net_value, currency)
		SELECT 'Noura', 10.500, insert_old.reference, insert_old.reference, insert_old.reference || '.1', CASE WHEN state IN ('queued', 'cancelled', 'rejected') THEN state ELSE 'sent' END,
			CASE WHEN state IN ('queued', 'cancelled', 'rejected') THEN 'unpaid' ELSE state END,
			CASE WHEN state NOT IN ('queued', 'cancelled', 'rejected') THEN 800000000 + abs(hashtext(insert_old.reference)) % 1000000 END, NULL,
			created, 1, (SELECT oid FROM pg_roles WHERE rolname = current_user), created, 10.500, 10.500, 'KWD'
		RETURNING id, invoice_id),
	t AS (INSERT INTO mf_transaction (invoice, payment_id, transaction_status, transaction_value, ip_address) SELECT id, '007' || id, 'Succss', 10.500, '203.0.113.7' FROM i),
	a AS (INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, changed_to_sent)
		SELECT id, 1, insert_old.reference || '.1', '\x00ff', created, created, created, 'accepted', true FROM i),
	h AS (INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt, reason) SELECT id, 'status reader', 'unpaid', 'paid', 1, 'Noura has paid' FROM i),
	m AS (INSERT INTO mf_money (invoice, account, customer_reference, kind, source, amount, currency) SELECT id, 'myfatoorah', insert_old.reference, 'payment', '007' || id, 10.500, 'KWD' FROM i)
	INSERT INTO mf_event (account, source, version, event_code, invoice_id, invoice, digest, data, answered_at)
		SELECT 'myfatoorah', 'webhook', 2, 1, invoice_id, id, sha256(id::text::bytea), '{"Invoice": {"Id": "9", "UserDefinedField": "Noura"}}'::jsonb, created FROM i;
END
$$;
CALL mf_test.insert_old('old paid', 'paid', '2020-01-01');
CALL mf_test.insert_old('old expired', 'expired', '2020-01-02');
CALL mf_test.insert_old('old cancelled', 'cancelled', '2020-01-03');
CALL mf_test.insert_old('old unpaid', 'unpaid', '2020-01-04');
CALL mf_test.insert_old('old rejected', 'rejected', '2020-01-05');
CALL mf_test.insert_old('old doubted', 'paid', '2020-01-06');
CALL mf_test.insert_old('old asked about', 'paid', '2020-01-07');
CALL mf_test.insert_old('old disputed', 'paid', '2020-01-08');
CALL mf_test.insert_old('young paid', 'paid', '2020-02-01');
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_invoice SET payment_doubt = 'paid otherwise' WHERE reference = 'old doubted.1';
UPDATE mf_invoice SET taken_over_from = 'https://elsewhere.example.com' WHERE reference = 'old paid.1';
INSERT INTO mf_inquiry (invoice, account, due) SELECT id, account, 'infinity' FROM mf_invoice WHERE reference IN ('old asked about.1', 'old unpaid.1');
INSERT INTO mf_dispute_state (invoice, dispute_id, status, opened_at, changed_at, event) SELECT id, '1', 'PENDING', now(), now(), 0 FROM mf_invoice WHERE reference = 'old disputed.1';
COMMIT;
CREATE TABLE mf_test.before AS SELECT to_jsonb(i) AS whole, l.ledger FROM mf_invoice i, (SELECT jsonb_agg(to_jsonb(g) ORDER BY g.id) AS ledger FROM mf_ledger g) l WHERE i.customer_reference ~ '^(old|young) ';
CREATE TABLE mf_test.lines AS SELECT a.invoice, to_jsonb(a) - 'invoice' AS line FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE i.customer_reference ~ '^(old|young) ';

-- Who may, and what cannot be
SET ROLE regress_mf_clerk;
SELECT mf_test.try($$SELECT mf_archive('2020-02-01')$$);
RESET ROLE;
SELECT mf_test.try($$SELECT mf_archive(NULL)$$), mf_test.try($$SELECT mf_archive('infinity')$$), mf_test.try($$SELECT mf_archive(current_date + 1)$$),
	mf_test.try($$SELECT mf_archive('2020-02-01', NULL)$$), mf_test.try($$SELECT mf_archive('2020-02-01', 0)$$);
CREATE TABLE mf_test.flat (invoice bigint REFERENCES mf_invoice ON DELETE CASCADE);
SELECT mf_test.try($$SELECT mf_archive('2020-02-01')$$);
DROP TABLE mf_test.flat;
BEGIN;
ALTER TABLE mf_invoice ADD COLUMN flat text;
SELECT mf_test.try($$SELECT mf_archive('2020-02-01')$$);
ROLLBACK;

-- In parts
SET ROLE regress_mf_chief;
SELECT mf_archive('2020-02-01', 2), mf_archive('2020-02-01', 2), mf_archive('2020-02-01', 2);
RESET ROLE;
SELECT customer_reference, archived_at IS NOT NULL AS archived FROM mf_invoice_all WHERE customer_reference ~ '^(old|young) ' ORDER BY id;
SELECT count(*) AS all_as_before FROM mf_test.before b JOIN mf_invoice_all i ON i.id = (b.whole->>'id')::bigint AND to_jsonb(i) - 'archived_at' - 'detail' = b.whole;
SELECT k.taken_over_from FROM mf_archive_key k JOIN mf_invoice_all i ON i.id = k.id WHERE i.customer_reference = 'old paid';
SELECT bool_and(b.ledger = (SELECT jsonb_agg(to_jsonb(g) ORDER BY g.id) FROM mf_ledger g)) AS ledger_as_before FROM mf_test.before b;
SELECT bool_and(i.detail->'attempts' @> jsonb_build_array(jsonb_strip_nulls(l.line))) AS attempts_as_before FROM mf_test.lines l JOIN mf_invoice_all i ON i.id = l.invoice WHERE i.archived_at IS NOT NULL;
SELECT a.key, jsonb_array_length(a.value), (a.value->0) - 'id' - 'first_seen_at' - 'changed_at' - 'received_at' - 'last_received_at' - 'digest' - 'payment_id' - 'invoice_id' AS first
FROM mf_invoice_all i, jsonb_each(i.detail) a WHERE i.customer_reference = 'old paid' ORDER BY 1;
SELECT (SELECT count(*) FROM mf_attempt a WHERE a.invoice = l.invoice) AS attempts_left FROM mf_test.lines l JOIN mf_invoice_all i ON i.id = l.invoice WHERE i.archived_at IS NOT NULL GROUP BY 1;
SET ROLE regress_mf_clerk;
SELECT count(*) FROM mf_invoice_all WHERE customer_reference = 'old paid';
SELECT mf_test.try('SELECT count(*) FROM mf_invoice_archive');
SELECT mf_test.try('SELECT count(*) FROM mf_invoice_archive_2020_01'), mf_test.try('SELECT count(*) FROM mf_archive_key');
RESET ROLE;

-- A month is a table: nobody has a right to it, and a query of one month reads no other
INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, created_at, created_by, customer_reference)
	SELECT 'Noura', 1, 'old of ' || at, 'cancelled', at, current_user, 'old of another month'
	FROM unnest('{-infinity,1969-12-31 23:59:59.999999+00,1970-01-01 00:00:00+00,2019-12-31 23:59:59.999999+00,2020-01-01 00:00:00+00}'::timestamptz[]) at;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_mf_clerk, PUBLIC;
SELECT mf_archive('2020-02-01');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_mf_clerk, PUBLIC;
BEGIN;
SET LOCAL timezone = 'UTC';
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.relowner = p.relowner AS same_owner, obj_description(c.oid, 'pg_class'),
	(SELECT count(*) FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS rights, pg_get_userbyid(c.relowner) = current_user AS of_this_role
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = 'mf_invoice_archive' ORDER BY 1;
SELECT a.tableoid::regclass, array_agg(a.created_at ORDER BY a.created_at) FROM mf_invoice_archive a WHERE customer_reference = 'old of another month' GROUP BY 1 ORDER BY 1;
COMMIT;
CREATE FUNCTION mf_test.months_read(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
		IF line ~ 'never executed' THEN CONTINUE; END IF;
		RETURN NEXT substring(line from 'on (mf_invoice_archive_[0-9_]*[0-9])');
	END LOOP;
END
$$;
SET ROLE regress_mf_clerk;
SELECT count(*) FROM mf_invoice_all WHERE created_at >= '2019-12-01 00:00+00' AND created_at < '2020-01-01 00:00+00';
RESET ROLE;
SELECT m FROM mf_test.months_read($$SELECT * FROM mf_invoice_all WHERE created_at >= '2019-12-01 00:00+00' AND created_at < '2020-01-01 00:00+00'$$) m WHERE m IS NOT NULL;
SELECT m FROM mf_test.months_read($$SELECT * FROM mf_invoice_all WHERE created_at < '1970-01-01 00:00+00'$$) m WHERE m IS NOT NULL;
-- a table of that name that is none of them
CREATE TABLE mf_invoice_archive_2018_06 (id bigint);
INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, created_at, created_by) VALUES ('Noura', 1, 'old of June', 'cancelled', '2018-06-15 12:00+00', current_user);
SELECT mf_test.try($$SELECT mf_archive('2018-07-01')$$);
DROP TABLE mf_invoice_archive_2018_06;
-- one month is dropped: its rows are gone, and what they had stays taken
SELECT mf_archive('2018-07-01');
SELECT mf_test.try($$SELECT mf_unarchive('{1,NULL}')$$), mf_test.try($$SELECT mf_unarchive(NULL)$$), mf_test.try($$SELECT mf_unarchive('{-1}')$$), mf_unarchive('{}');
ALTER TABLE mf_invoice_archive DETACH PARTITION mf_invoice_archive_2018_06;
SELECT regexp_replace(mf_test.try(format($$SELECT mf_unarchive('{%s}')$$, id)), 'invoice [0-9]+', 'invoice N') FROM mf_archive_key WHERE reference = 'old of June';
DROP TABLE mf_invoice_archive_2018_06;
SELECT regexp_replace(mf_test.try($$INSERT INTO mf_invoice (customer_name, invoice_value, reference, status) VALUES ('x', 1, 'old of June', 'queued')$$), 'invoice [0-9]+', 'invoice N');
-- they come back, and the tables of their months stay
SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_archive WHERE customer_reference = 'old of another month';
SELECT count(*), count(DISTINCT reference) FROM mf_invoice WHERE customer_reference = 'old of another month';
DELETE FROM mf_invoice WHERE customer_reference = 'old of another month';

-- What was theirs stays taken
CREATE FUNCTION mf_test.masked_try(statement text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(mf_test.try(statement), 'invoice [0-9]+', 'invoice N') $$;
SELECT mf_test.masked_try($$INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key) VALUES ('x', 1, 'old paid')$$);
SELECT mf_test.masked_try($$INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key) VALUES ('x', 1, 'old paid') ON CONFLICT (account, idempotency_key) DO NOTHING$$);
SELECT mf_test.masked_try($$INSERT INTO mf_invoice (customer_name, invoice_value, reference, status) VALUES ('x', 1, 'old paid.1', 'queued')$$);
SELECT regexp_replace(mf_test.masked_try(format($$INSERT INTO mf_invoice (id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE VALUES (%s, 'x', 1)$$, id)), 'id [0-9]+', 'id N') FROM mf_invoice_all WHERE customer_reference = 'old paid';
-- nor is the id of a deleted one, of which something is left, given again
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at) VALUES ('x', 1, 'old deleted', now() + interval '1 day');
SELECT id AS deleted FROM mf_invoice WHERE customer_reference = 'old deleted' \gset
SELECT mf_cancel(:deleted) IS NULL AS cancelled;
DELETE FROM mf_invoice WHERE id = :deleted;
SELECT regexp_replace(split_part(mf_test.try(format($$INSERT INTO mf_invoice (id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE VALUES (%s, 'x', 1)$$, :deleted)), chr(10), 1), 'id [0-9]+', 'id N') AS given_again;
INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key, customer_reference, send_at) VALUES ('x', 1, 'a new key', 'old new', now() + interval '1 day');
SELECT mf_test.masked_try($$UPDATE mf_invoice SET idempotency_key = 'old paid' WHERE idempotency_key = 'a new key'$$);
SELECT mf_test.masked_try($$UPDATE mf_invoice SET idempotency_key = 'a newer key' WHERE idempotency_key = 'a new key'$$);
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'old new';

-- It cannot be acted on, and whoever tries is told why
SELECT regexp_replace(mf_test.masked_try(format('SELECT ' || call, id)), 'ARRAY\[[0-9]+', 'ARRAY[N') FROM mf_invoice_all,
	unnest(ARRAY['mf_cancel(%s)', 'mf_retry(%s)', 'mf_refresh(%s)', 'mf_resolve(%s, ''resend'', ''x'')', 'mf_wait(%s, ''1 s'')']) call WHERE customer_reference = 'old paid';
SELECT result FROM mf_invoice_all i, mf_cancel(ARRAY[i.id]) WHERE customer_reference = 'old paid'
UNION ALL SELECT result FROM mf_invoice_all i, mf_retry(ARRAY[i.id]) WHERE customer_reference = 'old paid'
UNION ALL SELECT result FROM mf_invoice_all i, mf_refresh(ARRAY[i.id]) WHERE customer_reference = 'old paid';
-- unless policies hide it
BEGIN;
ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mf_invoice USING (true);
SELECT set_config('mf_test.archived', id::text, true) IS NOT NULL FROM mf_invoice_all WHERE customer_reference = 'old paid';
SET LOCAL ROLE regress_mf_chief;
SELECT result FROM mf_cancel(ARRAY[current_setting('mf_test.archived')::bigint]);
ROLLBACK;

-- What comes in about it
INSERT INTO mf_event (account, source, event_code, invoice_id, digest) SELECT account, 'webhook', 1, invoice_id, '\x01' FROM mf_invoice_all WHERE customer_reference = 'old expired';
INSERT INTO mf_event (account, source, event_code, invoice, digest) SELECT account, 'webhook', 1, id, '\x02' FROM mf_invoice_all WHERE customer_reference = 'old paid';
SELECT i.customer_reference, replace(u.next_step, i.id::text, 'N') AS next_step FROM mf_unmatched u JOIN mf_invoice_all i ON i.id = u.archived ORDER BY 1;

-- A number counts where the invoice was found that has it: elsewhere it is a stranger's.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_invoice SET paid_at = now(), taken_over_from = 'https://elsewhere.example.com' WHERE reference = 'young paid.1';
INSERT INTO mf_invoice_number (invoice_id, invoice) SELECT invoice_id, id FROM mf_invoice WHERE reference = 'young paid.1';
INSERT INTO mf_deposit_state (account, deposit_reference, due) VALUES ('myfatoorah', 'D', NULL);
INSERT INTO mf_deposit_row (deposit, item, invoice_id, due_deposit) SELECT d.id, row_number() OVER (), i.invoice_id, 1 FROM mf_deposit_state d, mf_invoice_all i
	WHERE d.deposit_reference = 'D' AND i.customer_reference IN ('old expired', 'young paid') ORDER BY i.id;
CREATE PROCEDURE mf_test.point(address text) LANGUAGE sql AS $$
	UPDATE mf_archive_key SET taken_over_from = address WHERE reference = 'old expired.1';
	UPDATE mf_invoice SET taken_over_from = address WHERE reference = 'young paid.1'
$$;
CREATE VIEW mf_test.found AS SELECT (SELECT count(*) FROM mf_unmatched u WHERE u.archived IS NOT NULL AND u.source = 'webhook' AND u.event_name IS NULL AND u.invoice_id IS NOT NULL) AS unmatched,
	(SELECT count(t.invoice) FROM mf_deposit_item t WHERE t.deposit_reference = 'D') AS items, (SELECT count(*) FROM mf_undeposited WHERE customer_reference = 'young paid') AS undeposited;
ALTER VIEW mf_test.found OWNER TO regress_mf_chief;
GRANT USAGE ON SCHEMA mf_test TO regress_mf_chief;
CALL mf_test.point(NULL);
SET LOCAL ROLE regress_mf_chief;
SELECT * FROM mf_test.found;
RESET ROLE;
CALL mf_test.point('https://elsewhere.example.com');
SET LOCAL ROLE regress_mf_chief;
SELECT * FROM mf_test.found;
RESET ROLE;
SELECT o.option_value AS here FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o WHERE s.srvname = 'myfatoorah' AND o.option_name = 'base_url' \gset
CALL mf_test.point(:'here');
SELECT * FROM mf_test.found;
ROLLBACK;

-- MyFatoorah's invoice is that of an archived row: nobody else takes it over
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('real', 7, 'old real');
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'old real') = 'sent'$$);
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{}') IS NOT NULL AS paid, mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'old real';
CALL mf_test.wait_for($$(SELECT payment_status FROM mf_invoice WHERE customer_reference = 'old real') = 'paid'$$);
-- its refunds are asked for next, and that is over
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'old real' AND q.urgent)$$);
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_invoice SET created_at = '2020-01-31' WHERE customer_reference = 'old real';
DELETE FROM mf_inquiry q USING mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'old real';
COMMIT;
DO $$ BEGIN WHILE mf_archive('2020-02-01', 1) > 0 LOOP COMMIT; END LOOP; END $$;
SELECT regexp_replace(mf_test.try(format($$SELECT mf_adopt('%s')$$, invoice_id)), '[0-9]{4,}|(invoice|id =) [0-9]+', '\1 N', 'g') FROM mf_invoice_all WHERE customer_reference = 'old real';
-- and a customer who pays it once more is seen
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"duplicate": true}') IS NOT NULL AS paid_again FROM mf_invoice_all WHERE customer_reference = 'old real';
SELECT mf_callback(mf_test.sandbox('invoices/' || invoice_id)->'transactions'->-1->>'payment_id') > 0 AS came_back FROM mf_invoice_all WHERE customer_reference = 'old real';
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_unmatched u JOIN mf_invoice_all i ON i.id = u.archived WHERE i.customer_reference = 'old real')$$);
SELECT u.source, u.invoice_id = i.invoice_id AS its_number FROM mf_unmatched u JOIN mf_invoice_all i ON i.id = u.archived WHERE i.customer_reference = 'old real';
-- and brought back by what that view says: it is booked
CREATE PROCEDURE mf_test.run_next_step(of text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT substring(u.next_step FROM 'SELECT .*') FROM mf_unmatched u JOIN mf_invoice_all i ON i.id = u.archived WHERE i.customer_reference = of);
END
$$;
SET ROLE regress_mf_clerk;
SELECT regexp_replace(mf_test.try(format($$SELECT mf_unarchive(ARRAY[%s])$$, id)), '[0-9]{6,}', 'N') FROM mf_invoice_all WHERE customer_reference = 'old real';
RESET ROLE;
CALL mf_test.run_next_step('old real');
CALL mf_test.wait_for($$(SELECT count(*) FROM mf_ledger WHERE customer_reference = 'old real' AND kind = 'payment') = 2$$);
SELECT i.overpaid, i.received_value, i.archived_at, (SELECT count(*) FROM mf_attempt a WHERE a.invoice = i.id) AS attempts, (SELECT count(*) FROM mf_transaction t WHERE t.invoice = i.id) AS tries,
	(SELECT count(*) FROM mf_unmatched u WHERE u.archived = i.id) AS unmatched FROM mf_invoice_all i WHERE i.customer_reference = 'old real';

-- All that hung on a row comes back as it was, lines of the history with their nulls; an event that has come in again since is one
-- in one transaction: MyFatoorah is asked once it commits
BEGIN;
SELECT mf_unarchive(array_agg(id)) AS back FROM mf_invoice_all WHERE customer_reference IN ('old paid', 'old expired') AND archived_at IS NOT NULL;
UPDATE mf_transition h SET changes = '{"language": {"old": null, "new": "AR"}}' FROM mf_invoice i WHERE i.id = h.invoice AND i.customer_reference = 'old paid';
DELETE FROM mf_inquiry q USING mf_invoice i WHERE i.id = q.invoice AND i.customer_reference IN ('old paid', 'old expired');
CREATE VIEW mf_test.hanging AS SELECT i.customer_reference, to_jsonb(i) AS row,
	(SELECT jsonb_agg(to_jsonb(l) ORDER BY l.attempt) FROM mf_attempt l WHERE l.invoice = i.id) AS attempts, (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.id) FROM mf_transition l WHERE l.invoice = i.id) AS transitions,
	(SELECT jsonb_agg(to_jsonb(l) ORDER BY l.payment_id) FROM mf_transaction l WHERE l.invoice = i.id) AS transactions, (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.id) FROM mf_event l WHERE l.invoice = i.id AND l.digest <> '\x02') AS events,
	(SELECT jsonb_agg(l.invoice_id) FROM mf_invoice_number l WHERE l.invoice = i.id) AS numbers
	FROM mf_invoice i WHERE i.customer_reference IN ('old paid', 'old expired');
CREATE TABLE mf_test.hung AS SELECT * FROM mf_test.hanging;
SELECT count(*) FROM mf_test.hung WHERE num_nulls(attempts, transitions, transactions, events, numbers) = 0;
SELECT mf_archive('2020-02-01');
SELECT count(*), (SELECT count(*) FROM mf_invoice_number k JOIN mf_test.hung h ON (h.row->>'id')::bigint = k.invoice) AS numbers FROM mf_test.hanging;
SELECT mf_unarchive(array_agg(id)) AS back FROM mf_invoice_all WHERE customer_reference IN ('old paid', 'old expired') AND archived_at IS NOT NULL;
SELECT a.* = b.* AS as_before FROM mf_test.hung a JOIN mf_test.hanging b USING (customer_reference);
DELETE FROM mf_inquiry q USING mf_invoice i WHERE i.id = q.invoice AND i.customer_reference IN ('old paid', 'old expired');
SELECT mf_archive('2020-02-01');
COMMIT;

-- It can be forgotten
SET ROLE regress_mf_chief;
SELECT result FROM mf_forget('old paid');
SELECT result FROM mf_forget('old paid');
RESET ROLE;
SELECT customer_name, invoice_value, detail->'transactions'->0->'ip_address' AS ip, detail->'transitions'->0->>'reason' AS reason, detail->'events'->0->'data' AS data FROM mf_invoice_all WHERE customer_reference = 'old paid';
ALTER SYSTEM SET myfatoorah.personal_data_retention = '365d';
SELECT pg_reload_conf();
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Noura', 1, 'awake');
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM mf_invoice_all WHERE customer_name = 'Noura' AND archived_at IS NOT NULL)$$);
ALTER SYSTEM RESET myfatoorah.personal_data_retention;
SELECT pg_reload_conf();
SELECT mf_test.try($$TRUNCATE mf_invoice$$) ~ 'mf_invoice_archive|unfinished|not finished' AS refused;

-- The end
SET session_replication_role = replica;
DELETE FROM mf_money m USING mf_invoice_all i WHERE i.id = m.invoice AND i.customer_reference ~ '^(old|young) ';
DELETE FROM mf_event WHERE digest IN ('\x01', '\x02');
DELETE FROM mf_event e USING mf_invoice_all i WHERE (i.id = e.invoice OR i.invoice_id = e.invoice_id) AND i.customer_reference ~ '^(old|young) ';
DELETE FROM mf_inquiry WHERE due = 'infinity';
DELETE FROM mf_dispute_state WHERE event = 0;
DELETE FROM mf_invoice WHERE customer_reference ~ '^(old|young) ';
RESET session_replication_role;
TRUNCATE mf_invoice_archive, mf_archive_key;
DO $$ DECLARE month regclass; BEGIN FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'mf_invoice_archive'::regclass LOOP EXECUTE format('DROP TABLE %s', month); END LOOP; END $$;
DROP VIEW mf_test.hanging;
DROP PROCEDURE mf_test.run_next_step(text);
DROP FUNCTION mf_test.months_read(text);
DROP TABLE mf_test.hung;
DROP TABLE mf_test.before, mf_test.lines;
DROP FUNCTION mf_test.masked_try(text);
DROP PROCEDURE mf_test.insert_old(text, text, timestamptz);
DROP ROLE regress_mf_clerk, regress_mf_chief;
