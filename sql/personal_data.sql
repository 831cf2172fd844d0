-- What rows say of customers is emptied: for one customer by mf_forget(), and by age; what they say of money stays
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_chief;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CALL mf_test.reset_sandbox();

CREATE PROCEDURE mf_test.insert_personal(reference text, state text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	WITH i AS (
		INSERT INTO mf_invoice (customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, customer_civil_id,
			user_defined_field, customer_address, shipping_consignee, customer_reference, reference, status, payment_status, invoice_id, invoice_url,
			sent_at, paid_at, attempts, created_by_id, last_error, payment_error, metadata, created_at, received_value, net_value, currency)
		SELECT 'Noura', 10, 'EML', 'noura@example.com', '99999999', '+965', '2890', 'flat B7, Noura', '{"Block": "4"}', '{"PersonName": "Noura"}',
			insert_personal.reference, insert_personal.reference || '.' || state, CASE state WHEN 'cancelled' THEN state WHEN 'rejected' THEN state ELSE 'sent' END,
			CASE WHEN state IN ('cancelled', 'rejected', 'doubted') THEN 'unpaid' ELSE state END, CASE WHEN state NOT IN ('cancelled', 'rejected') THEN 900000000 + length(state) END, 'https://example.com/9',
			now(), now(), 1, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'no mail for noura@example.com', 'error about Noura', '{"mine": 1}',
			now() - interval '2 years', 10, 10, 'KWD'
		RETURNING id, invoice_id),
	t AS (INSERT INTO mf_transaction (invoice, payment_id, transaction_status, ip_address, card_number) SELECT id, 'p' || id, 'Succss', '203.0.113.7', '512345xxxxxx0008' FROM i),
	a AS (INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, error)
		SELECT id, 1, 'x', 'x', now(), now(), now(), 'accepted', 'noura@example.com was refused' FROM i),
	h AS (INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt, reason, changes)
		SELECT id, 'regress', 'queued', 'queued', 1, 'edited', '{"customer_name": {"old": "Nora", "new": "Noura"}}'::jsonb FROM i
		UNION ALL SELECT id, 'sender', 'sending', 'rejected', 1, 'noura@example.com: no such mailbox', NULL FROM i
		UNION ALL SELECT id, 'sender', 'paid', 'paid', 1, 'refund 1 4 KWD sending to refused: Comment: Noura: too long', NULL FROM i),
	o AS (INSERT INTO mf_operation (invoice, account, value, comment, last_error, status, reference)
		SELECT id, 'myfatoorah', 4, 'Noura has moved out', 'Comment: Noura: too long', 'refused', gen_random_uuid() FROM i RETURNING id),
	q AS (INSERT INTO mf_operation_attempt (operation, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, error)
		SELECT id, 1, 'x', 'x', now(), now(), now(), 'rejected', 'Comment: Noura: too long' FROM o),
	m AS (INSERT INTO mf_money (invoice, account, customer_reference, kind, source, amount, currency) SELECT id, 'myfatoorah', insert_personal.reference, 'payment', 'p' || id, 10, 'KWD' FROM i)
	INSERT INTO mf_event (account, source, version, event_code, invoice_id, invoice, digest, data, answered_at)
		SELECT 'myfatoorah', 'webhook', 2, 1, invoice_id, id, sha256(id::text::bytea), '{"Invoice": {"Id": "9", "UserDefinedField": "flat B7, Noura"}, "UserDefinedField": "Noura"}'::jsonb, now() FROM i
		UNION ALL SELECT 'myfatoorah', 'webhook', 2, 1, invoice_id, id, sha256((id || 'n')::bytea), '17', now() FROM i
		UNION ALL SELECT 'myfatoorah', 'webhook', 2, 2, invoice_id, id, sha256((id || 'r')::bytea), '{"Refund": {"Comment": "Noura", "VendorComment": "Noura"}}', now() FROM i
		UNION ALL SELECT 'myfatoorah', 'webhook', 1, 2, invoice_id, id, sha256((id || 's')::bytea), '{"Comments": "Noura"}', now() FROM i
		UNION ALL SELECT 'myfatoorah', 'webhook', 2, 6, invoice_id, id, sha256((id || 'd')::bytea), '{"Dispute": {"DisputeTransactionId": "7", "Status": "LOST", "Reason": "Noura"}, "Transaction": {"PaymentId": "8"}}', now() FROM i;
END
$$;
-- whatever a table says that has the customer in it
CREATE FUNCTION mf_test.mentions(reference text) RETURNS TABLE (source text, what text) LANGUAGE sql AS $$
	WITH i AS (SELECT * FROM mf_invoice WHERE customer_reference = mentions.reference),
	o AS (SELECT 'mf_invoice' AS source, to_jsonb(i) AS o FROM i
		UNION ALL SELECT 'mf_attempt', to_jsonb(a) FROM mf_attempt a JOIN i ON i.id = a.invoice
		UNION ALL SELECT 'mf_transition', to_jsonb(a) FROM mf_transition a JOIN i ON i.id = a.invoice
		UNION ALL SELECT 'mf_transaction', to_jsonb(a) FROM mf_transaction a JOIN i ON i.id = a.invoice
		UNION ALL SELECT 'mf_operation', to_jsonb(a) FROM mf_operation a JOIN i ON i.id = a.invoice
		UNION ALL SELECT 'mf_operation_attempt', to_jsonb(a) FROM mf_operation_attempt a JOIN mf_operation b ON b.id = a.operation JOIN i ON i.id = b.invoice
		UNION ALL SELECT 'mf_event', to_jsonb(a) FROM mf_event a JOIN i ON i.id = a.invoice
		UNION ALL SELECT 'mf_reaction_queue', to_jsonb(a) FROM mf_reaction_queue a JOIN i ON i.id = a.invoice)
	SELECT o.source, string_agg(DISTINCT e.key, ' ' ORDER BY e.key) FROM o, jsonb_each_text(o.o) e
	WHERE e.value ~ 'Nou?ra|noura|99999999|\+965|2890|"Block"|203\.0\.113' GROUP BY o.source ORDER BY o.source
$$;

-- in how many rows of each of our tables; which have more than before
CREATE FUNCTION mf_test.tables_with() RETURNS TABLE (source text, lines bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR source IN SELECT c.relname FROM pg_depend d JOIN pg_class c ON c.oid = d.objid WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'myfatoorah') AND c.relkind IN ('r', 'p') ORDER BY 1 LOOP
		EXECUTE format('SELECT count(*) FROM %I t WHERE to_jsonb(t)::text ~ $1', source) INTO lines USING 'Nou?ra|noura|99999999|\+965|2890|"Block"|203\.0\.113';
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE TABLE mf_test.before AS SELECT * FROM mf_test.tables_with();
CREATE FUNCTION mf_test.more() RETURNS TABLE (source text, more bigint) LANGUAGE sql AS $$
	SELECT n.source, n.lines - b.lines FROM mf_test.tables_with() n JOIN mf_test.before b ON b.source = n.source WHERE n.lines <> b.lines ORDER BY 1
$$;
CREATE PROCEDURE mf_test.see_before() LANGUAGE sql AS $$
	TRUNCATE mf_test.before;
	INSERT INTO mf_test.before SELECT * FROM mf_test.tables_with()
$$;

CALL mf_test.insert_personal('tenant', 'paid');
CALL mf_test.insert_personal('tenant', 'expired');
CALL mf_test.insert_personal('tenant', 'unpaid');
CALL mf_test.insert_personal('tenant', 'cancelled');
CALL mf_test.insert_personal('tenant', 'rejected');
CALL mf_test.insert_personal('tenant', 'refunded');
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_invoice SET payment_doubt = 'paid otherwise' WHERE reference = 'tenant.refunded';
INSERT INTO mf_reaction_queue (function, invoice, old_row, new_row, failures, due) SELECT 'nobody', id, to_jsonb(i), to_jsonb(i), 0, 'infinity' FROM mf_invoice i WHERE reference = 'tenant.paid';
COMMIT;
CALL mf_test.insert_personal('neighbour', 'paid');

-- One customer
SELECT * FROM mf_test.mentions('tenant');
SET ROLE regress_mf_clerk;
SELECT mf_test.try($$SELECT mf_forget('tenant')$$);
SET ROLE regress_mf_chief;
SELECT i.reference, f.result FROM mf_forget('tenant') f JOIN mf_invoice i ON i.id = f.id ORDER BY i.id;
SELECT i.reference, f.result FROM mf_forget('tenant', 'myfatoorah') f JOIN mf_invoice i ON i.id = f.id ORDER BY i.id;
SELECT * FROM mf_forget('nobody of that name');
SELECT mf_test.try($$SELECT mf_forget('tenant', 'no such account')$$);
SELECT mf_test.try($$SELECT mf_forget(NULL)$$);
RESET ROLE;
SELECT reference, erased_at IS NOT NULL AS erased, customer_name, customer_email, customer_mobile, last_error, invoice_value, received_value, metadata FROM mf_invoice WHERE customer_reference = 'tenant' ORDER BY id;
-- of those that are forgotten nothing is left, the others have it all
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_invoice SET customer_reference = 'forgotten' WHERE customer_reference = 'tenant' AND erased_at IS NOT NULL;
COMMIT;
SELECT * FROM mf_test.mentions('forgotten');
SELECT * FROM mf_test.mentions('tenant');
SELECT l.customer_reference, l.kind, l.amount FROM mf_ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE i.reference LIKE 'tenant.%' ORDER BY l.id;
SELECT t.card_number, t.ip_address FROM mf_transaction t JOIN mf_invoice i ON i.id = t.invoice WHERE i.reference = 'tenant.paid';
SELECT DISTINCT e.event_code, e.data FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice WHERE i.reference = 'tenant.paid' ORDER BY 1;
SELECT h.reason, h.changes FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.reference = 'tenant.paid' AND h.to_status IN ('rejected', 'queued', 'paid') ORDER BY h.changed_at, h.reason;
-- What comes later
UPDATE mf_operation o SET comment = 'Noura again' FROM mf_invoice i WHERE i.id = o.invoice AND i.reference = 'tenant.paid';
SELECT * FROM mf_test.mentions('forgotten');
SELECT count(*) FROM mf_forget('forgotten') WHERE result = 'forgotten_before';
SELECT * FROM mf_test.mentions('forgotten');
SELECT mf_test.try($$UPDATE mf_invoice SET erased_at = NULL WHERE reference = 'tenant.paid'$$);

-- By age: the setting is enough, also where nothing is to be sent. What has no row is emptied by its own age.
CALL mf_test.see_before();
INSERT INTO mf_event (account, source, version, event_code, invoice_id, customer_reference, digest, data, received_at) VALUES
	('myfatoorah', 'webhook', 2, 1, 1, 'gone.11111111111111111111', '\x01', '{"UserDefinedField": "Noura"}', now() - interval '2 years'),
	('myfatoorah', 'webhook', 2, 1, 1, 'gone.11111111111111111112', '\x02', '{"UserDefinedField": "Noura"}', now()),
	('myfatoorah', 'webhook', 2, 2, 1, NULL, '\x03', '{"Refund": {"Comment": "Noura"}, "ReferencedInvoice": {"ExternalIdentifier": "gone.11111111111111111112"}}', now()),
	('myfatoorah', 'webhook', 2, 2, 1, NULL, '\x04', '{"Refund": {"Comment": "of another one"}, "ReferencedInvoice": {"ExternalIdentifier": "gone too.11111111111111111112"}}', now());
INSERT INTO mf_archive_key (id, created_at, account, reference, paid) VALUES (-2, '2001-01-01', 'myfatoorah', 'dropped_too.00000000000000000000', true);
INSERT INTO mf_operation (invoice, account, value, comment, status, reference, created_at) VALUES (-2, 'myfatoorah', 4, 'Noura has moved out', 'refused', 'dropped-2', now() - interval '2 years');
SELECT * FROM mf_test.more();
SELECT count(*) FROM mf_test.mentions('neighbour');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Noura', 1, 'young');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_reference = 'young')$$);
ALTER SYSTEM SET myfatoorah.personal_data_retention = '365d';
SELECT pg_reload_conf();
CALL mf_test.wait_for($$(SELECT erased_at IS NOT NULL FROM mf_invoice WHERE reference = 'neighbour.paid')$$);
SELECT * FROM mf_test.mentions('neighbour');
CALL mf_test.wait_for($$(SELECT comment IS NULL FROM mf_operation WHERE invoice = -2)$$);
SELECT digest, data FROM mf_event WHERE digest IN ('\x01', '\x02', '\x03', '\x04') ORDER BY digest;
SELECT count(*) FROM mf_forget('gone');
SELECT digest, data FROM mf_event WHERE digest IN ('\x01', '\x02', '\x03', '\x04') ORDER BY digest;
SELECT reference ~ '^young' AS young, customer_name, status FROM mf_invoice WHERE erased_at IS NULL AND customer_reference IN ('tenant', 'young') ORDER BY id;
ALTER SYSTEM RESET myfatoorah.personal_data_retention;
SELECT pg_reload_conf();

-- Nothing that is personal outlives its row
CALL mf_test.see_before();
CALL mf_test.insert_personal('leaver', 'paid');
INSERT INTO mf_dispute_state (invoice, dispute_id, status, reason, opened_at, changed_at, event) SELECT id, '7', 'LOST', 'Noura', now(), now(), 1 FROM mf_invoice WHERE customer_reference = 'leaver';
SELECT * FROM mf_test.more();
DELETE FROM mf_invoice WHERE customer_reference = 'leaver';
SELECT * FROM mf_test.more();
SELECT e.event_code, e.data FROM mf_event e WHERE e.event_code = 6 AND e.invoice NOT IN (SELECT id FROM mf_invoice);

-- What mf_adopt() has taken over has the reference as its customer_reference
CALL mf_test.insert_personal('again.0123456789abcdefghjk', 'paid');
CALL mf_test.insert_personal('again.0123456789abcdefghjk', 'refunded');
SET session_replication_role = replica;
UPDATE mf_invoice SET taken_over_from = 'https://example.com' WHERE reference = 'again.0123456789abcdefghjk.paid';
RESET session_replication_role;
SELECT i.reference, f.result FROM mf_forget('again') f JOIN mf_invoice i ON i.id = f.id ORDER BY i.id;
SELECT reference, erased_at IS NOT NULL AS erased FROM mf_invoice WHERE reference ~ '^again' ORDER BY id;

-- Refunds whose invoice was archived in a month that was dropped
INSERT INTO mf_archive_key (id, created_at, account, reference, paid) VALUES (-1, '2001-01-01', 'myfatoorah', 'dropped.00000000000000000000', true);
INSERT INTO mf_operation (invoice, account, value, comment, status, reference) VALUES (-1, 'myfatoorah', 4, 'Noura has moved out', 'refused', 'dropped');
SELECT * FROM mf_forget('dropped');
SELECT comment, value FROM mf_operation WHERE invoice = -1;

-- The end
SET session_replication_role = replica;
DELETE FROM mf_money WHERE customer_reference ~ '^(tenant|forgotten|neighbour|leaver|again)';
DELETE FROM mf_event m WHERE m.digest IN ('\x01', '\x02', '\x03', '\x04') OR (m.invoice_id BETWEEN 900000000 AND 900000020);
DELETE FROM mf_dispute_state WHERE dispute_id = '7';
DELETE FROM mf_transaction WHERE transaction_status = 'Succss' AND payment_id = 'p' || invoice;
DELETE FROM mf_attempt WHERE reference = 'x';
DELETE FROM mf_reaction_queue WHERE function = 'nobody';
DELETE FROM mf_archive_key WHERE id < 0;
DELETE FROM mf_operation_attempt a USING mf_operation o WHERE o.id = a.operation AND o.reference ~ '-';
DELETE FROM mf_operation WHERE reference ~ '-' OR invoice < 0;
DELETE FROM mf_invoice WHERE customer_reference ~ '^(tenant|forgotten|neighbour|again)';
RESET session_replication_role;
DROP FUNCTION mf_test.mentions(text);
DROP PROCEDURE mf_test.see_before();
DROP FUNCTION mf_test.more();
DROP TABLE mf_test.before;
DROP FUNCTION mf_test.tables_with();
DROP PROCEDURE mf_test.insert_personal(text, text);
DROP ROLE regress_mf_clerk, regress_mf_chief;
