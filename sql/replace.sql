-- mf_replace(), mf_insert_as(): an invoice takes the place of another; invoices inserted as another role
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_chief, regress_mf_maker;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CREATE ROLE regress_mf_maker IN ROLE myfatoorah_operate;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_clerk;
GRANT EXECUTE ON FUNCTION mf_insert_as TO regress_mf_maker;
CALL mf_test.reset_sandbox();
CREATE FUNCTION pg_temp.as_role(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('role', who, true);
	result := mf_test.try(statement);
	PERFORM set_config('role', 'none', true);
	RETURN result;
END
$$;

-- A sent one: the link stays, another is to be paid
SELECT coalesce(sum(invoices), 0) AS before FROM mf_payment_backlog WHERE payment_status = 'unpaid' AND account = 'myfatoorah' \gset
SET ROLE regress_mf_clerk;
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, idempotency_key, expiry_date, metadata)
	VALUES ('Replaced', 12.345, 'replaced', 'key', now() + interval '1 day', '{"unit": 7}');
RESET ROLE;
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'replaced') = 'sent'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'replaced' \gset
SELECT pg_temp.as_role('regress_mf_clerk', format('SELECT mf_replace(%s)', :old)) AS no_operator;
SELECT pg_temp.as_role('regress_mf_clerk', format('UPDATE mf_invoice SET replaced_by = 1 WHERE id = %s', :old)) AS not_by_hand;
SELECT mf_test.try(format('UPDATE mf_invoice SET replaced_by = 1 WHERE id = %s', :old)) AS not_even_the_owner;
SELECT mf_test.try($$INSERT INTO mf_invoice (customer_name, invoice_value, replaced_by) VALUES ('x', 1, 1)$$) AS nor_at_first;
SET ROLE regress_mf_chief;
SELECT mf_replace(:old, '{"invoice_value": 10, "language": "AR"}', 'half was paid in cash') AS new \gset
RESET ROLE;
SELECT id = :old AS old, invoice_value, language, customer_reference, idempotency_key, expiry_date IS NULL AS no_end, metadata, created_by, replaced_by = :new AS replaced
	FROM mf_invoice WHERE id IN (:old, :new) ORDER BY mf_invoice.id;
SELECT actor, from_status, to_status, replace(reason, :'new', 'N') AS reason FROM mf_history WHERE invoice = :old AND reason LIKE 'replaced%';
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'replaced' AND invoice_value = 10) = 'sent'$$);
SELECT id = :new AS new FROM mf_open WHERE customer_reference = 'replaced';
SELECT invoices - :before AS invoices FROM mf_payment_backlog WHERE payment_status = 'unpaid' AND account = 'myfatoorah';
SELECT regexp_replace(mf_test.try(format('SELECT mf_replace(%s)', :old)), '(invoice) [0-9]+', '\1 N') AS once_only;

-- A payment of the old link is still recorded
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid FROM mf_invoice WHERE id = :old;
SELECT mf_refresh(:old);
CALL mf_test.wait_for(format('(SELECT payment_status FROM mf_invoice WHERE id = %s) = ''paid''', :old));
SELECT kind, amount FROM mf_ledger WHERE invoice = :old AND kind = 'payment';

-- One that was not sent is cancelled
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at) VALUES ('Queued', 1, 'queued', now() + interval '1 day');
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'queued' \gset
SELECT mf_replace(:old, '{"send_at": "2999-01-01 00:00+00"}') AS new \gset
SELECT status, replaced_by = :new AS replaced, send_at > '2998-01-01' AS later FROM mf_invoice WHERE customer_reference = 'queued' ORDER BY id;
SELECT regexp_replace(mf_test.try(format('SELECT mf_retry(%s)', :old)), '(invoice) [0-9]+', '\1 N') AS not_again;
SELECT mf_test.try(format('SELECT mf_replace(%s, ''{"invoice_value": 0}'')', :new)) AS checked;
SELECT replaced_by FROM mf_invoice WHERE id = :new;
SELECT mf_test.try('SELECT mf_replace(NULL)');
SELECT mf_test.try('SELECT mf_replace(1, NULL)');
SELECT mf_test.try('SELECT mf_replace(-1)');

-- As another role
SELECT pg_temp.as_role('regress_mf_chief', $$SELECT mf_insert_as('regress_mf_clerk'::regrole, '[]')$$) AS not_every_operator;
SELECT mf_test.try($$SELECT mf_insert_as(NULL, '[]')$$), mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, NULL)$$);
SELECT mf_test.try($$SELECT mf_insert_as(1, '[{"customer_name": "x", "invoice_value": 1}]')$$);
SELECT mf_insert_as('regress_mf_clerk'::regrole, '[]');
SET ROLE regress_mf_maker;
SELECT cardinality(mf_insert_as('regress_mf_clerk'::regrole, '[{"customer_name": "A", "invoice_value": 1.5, "customer_reference": "as"}, {"customer_name": "B", "invoice_value": 100.001, "customer_reference": "as", "send_at": "2999-01-01 00:00+00", "notification_option": "LNK"}]'));
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, '[{"customer_name": "A", "invoice_value": -1}]')$$) AS checked;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_chief'::regrole, '[{"customer_name": "A", "invoice_value": 1}]')$$) AS rights_of_that_role;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, '[{"customer_name": "A", "invoice_value": 1}]', '{1,2}')$$) AS one_for_each;
SELECT mf_insert_as('regress_mf_clerk'::regrole, '[{"customer_name": "C", "invoice_value": 2, "customer_reference": "as2"}, {"customer_name": "D", "invoice_value": 3, "customer_reference": "as2"}]', ARRAY[NULL, :new]) AS ids \gset
SELECT current_user;
RESET ROLE;
SELECT customer_name, invoice_value, created_by, send_at > '2998-01-01' AS later FROM mf_invoice WHERE customer_reference IN ('as', 'as2') ORDER BY id;
SELECT replaced_by = (:'ids'::bigint[])[2] AS replaced, status FROM mf_invoice WHERE id = :new;

SET client_min_messages = error;
SELECT count(*) FROM (SELECT mf_cancel(array_agg(id)) FROM mf_invoice WHERE status = 'queued') c;
DELETE FROM mf_invoice WHERE created_by IN ('regress_mf_clerk') AND status = 'cancelled';
REVOKE EXECUTE ON FUNCTION mf_insert_as FROM regress_mf_maker;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_clerk;
DROP ROLE regress_mf_clerk, regress_mf_chief, regress_mf_maker;
