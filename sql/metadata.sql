-- mf_invoice.metadata: the user's own, at any time, and of no effect
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_owner, regress_mf_other;
RESET client_min_messages;
CREATE ROLE regress_mf_owner IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_other IN ROLE myfatoorah_submit;
CALL mf_test.reset_sandbox();
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_owner, regress_mf_other;
CREATE FUNCTION mf_test.attempt(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	field text;
BEGIN
	PERFORM set_config('role', who, true);
	EXECUTE statement;
	PERFORM set_config('role', 'none', true);
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS field = COLUMN_NAME;
	PERFORM set_config('role', 'none', true);
	RETURN format('%s: %s [%s]', SQLSTATE, SQLERRM, field);
END
$$;

-- of any kind, up to its limit
SELECT mf_test.attempt('regress_mf_owner', $$INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at, metadata) VALUES
	('x', 1, 'object', now() + interval '1 day', '{"flat": "B7", "n": 1.50}'), ('x', 1, 'text', now() + interval '1 day', '"B7"'), ('x', 1, 'none', now() + interval '1 day', NULL)$$);
SELECT customer_reference, metadata FROM mf_invoice WHERE created_by = 'regress_mf_owner' ORDER BY id;
SELECT mf_test.attempt('regress_mf_owner', $$INSERT INTO mf_invoice (customer_name, invoice_value, metadata) VALUES ('x', 1, to_jsonb(repeat('x', 16385)))$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = to_jsonb(repeat('x', 20000)) WHERE customer_reference = 'object'$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = to_jsonb(repeat('x', 16000)) WHERE customer_reference = 'text'$$);

-- its change is no line of the history, that of another field with it is one, without it
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = '{"flat": "C1"}' WHERE customer_reference = 'object'$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = '{"flat": "C2"}', customer_name = 'y' WHERE customer_reference = 'object'$$);
SELECT h.reason, h.changes FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_reference = 'object' ORDER BY h.changed_at;
-- of URLs it has no queries
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET call_back_url = 'https://shop.example/paid?token=1', priority = 2 WHERE customer_reference = 'none'$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET call_back_url = 'https://shop.example/paid?token=2' WHERE customer_reference = 'none'$$);
SELECT h.changes FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_reference = 'none' AND h.reason = 'edited' ORDER BY h.changed_at;

-- at any time, by those who may change the row
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'text';
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = '{"why": "moved out"}' WHERE customer_reference = 'text'$$);
SELECT mf_test.attempt('regress_mf_other', $$UPDATE mf_invoice SET metadata = NULL WHERE customer_reference = 'text'$$) ~ '^42501: permission denied for invoice' AS refused;
UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'object';
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_invoice WHERE customer_reference = 'object' AND status = 'sent')$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = '{"flat": "C3"}' WHERE customer_reference = 'object'$$);
SELECT mf_test.attempt('regress_mf_owner', $$UPDATE mf_invoice SET metadata = '{"flat": "C4"}', customer_name = 'z' WHERE customer_reference = 'object'$$) ~ '^55000' AS refused;
SELECT customer_name, status, metadata FROM mf_invoice WHERE customer_reference IN ('object', 'text') ORDER BY id;

-- nothing of it is sent
SELECT count(*) AS requests, count(*) FILTER (WHERE body LIKE '%C2%') AS with_it FROM mf_test.requests();

-- from a table of one's own
CREATE TABLE mf_test.rent (tenant text, amount numeric, contract jsonb, due timestamptz DEFAULT now() + interval '1 day');
CREATE TRIGGER invoice AFTER INSERT ON mf_test.rent FOR EACH ROW
	EXECUTE FUNCTION mf_enqueue('customer_name=tenant', 'invoice_value=amount', 'metadata=contract', 'send_at=due');
INSERT INTO mf_test.rent (tenant, amount, contract) VALUES ('enqueued', 5, '{"number": 4711}');
SELECT metadata FROM mf_invoice WHERE customer_name = 'enqueued';
DROP TABLE mf_test.rent;

-- The end
DROP FUNCTION mf_test.attempt(text, text);
SELECT count(mf_cancel(id)) FROM mf_invoice WHERE status = 'queued' AND (created_by = 'regress_mf_owner' OR customer_name = 'enqueued');
DELETE FROM mf_invoice WHERE created_by = 'regress_mf_owner' OR customer_name = 'enqueued';
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_owner, regress_mf_other;
DROP ROLE regress_mf_owner, regress_mf_other;
