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

-- By age: the setting is enough, also where nothing is to be sent
SELECT count(*) FROM mf_test.mentions('neighbour');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Noura', 1, 'young');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_reference = 'young')$$);
ALTER SYSTEM SET myfatoorah.personal_data_retention = '365d';
SELECT pg_reload_conf();
CALL mf_test.wait_for($$(SELECT erased_at IS NOT NULL FROM mf_invoice WHERE reference = 'neighbour.paid')$$);
SELECT * FROM mf_test.mentions('neighbour');
SELECT reference ~ '^young' AS young, customer_name, status FROM mf_invoice WHERE erased_at IS NULL AND customer_reference IN ('tenant', 'young') ORDER BY id;
ALTER SYSTEM RESET myfatoorah.personal_data_retention;
SELECT pg_reload_conf();

-- Refunds whose invoice was deleted, or archived in a month that was dropped
DELETE FROM mf_invoice WHERE reference = 'tenant.rejected';
SELECT count(*) AS refunds, count(comment) AS comments FROM mf_operation o WHERE o.invoice NOT IN (SELECT id FROM mf_invoice) AND o.status = 'refused' AND o.reference ~ '-';
INSERT INTO mf_archive_key (id, created_at, account, reference, paid) VALUES (-1, '2001-01-01', 'myfatoorah', 'dropped.00000000000000000000', true);
INSERT INTO mf_operation (invoice, account, value, comment, status, reference) VALUES (-1, 'myfatoorah', 4, 'Noura has moved out', 'refused', 'dropped');
SELECT * FROM mf_forget('dropped');
SELECT comment, value FROM mf_operation WHERE invoice = -1;

-- The end
SET session_replication_role = replica;
DELETE FROM mf_money m USING mf_invoice i WHERE i.id = m.invoice AND i.customer_reference IN ('tenant', 'forgotten', 'neighbour');
DELETE FROM mf_event m USING mf_invoice i WHERE i.id = m.invoice AND i.customer_reference IN ('tenant', 'forgotten', 'neighbour');
DELETE FROM mf_reaction_queue WHERE function = 'nobody';
DELETE FROM mf_archive_key WHERE id = -1;
DELETE FROM mf_operation_attempt a USING mf_operation o WHERE o.id = a.operation AND o.reference ~ '-';
DELETE FROM mf_operation WHERE reference ~ '-' OR invoice = -1;
DELETE FROM mf_invoice WHERE customer_reference IN ('tenant', 'forgotten', 'neighbour');
RESET session_replication_role;
DROP FUNCTION mf_test.mentions(text);
DROP PROCEDURE mf_test.insert_personal(text, text);
DROP ROLE regress_mf_clerk, regress_mf_chief;
