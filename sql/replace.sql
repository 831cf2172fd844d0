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
CREATE FUNCTION pg_temp.masked(words text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(words, '(invoices? |mf_[a-z]+\()\d+', '\1N', 'g') $$;

-- A sent one: the link stays, another is to be paid
SELECT coalesce(sum(invoices), 0) AS before FROM mf_payment_backlog WHERE payment_status = 'unpaid' AND account = 'myfatoorah' \gset
SET ROLE regress_mf_clerk;
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, idempotency_key, expiry_date, metadata)
	VALUES ('Replaced', 12.345, 'replaced', 'key', now() + interval '1 day', '{"unit": 7}');
RESET ROLE;
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'replaced') = 'sent'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'replaced' \gset
SELECT mf_test.as_role('regress_mf_clerk', format('SELECT mf_replace(%s)', :old)) AS no_operator;
SELECT mf_test.as_role('regress_mf_clerk', format('UPDATE mf_invoice SET replaced_by = 1 WHERE id = %s', :old)) AS not_by_hand;
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
SELECT pg_temp.masked(mf_test.try(format('SELECT mf_replace(%s)', :old))) AS once_only;

-- A payment of the old link is still recorded
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid FROM mf_invoice WHERE id = :old;
SELECT mf_refresh(:old);
CALL mf_test.wait_for(format('(SELECT payment_status FROM mf_invoice WHERE id = %s) = ''paid''', :old));
SELECT kind, amount FROM mf_ledger WHERE invoice = :old AND kind = 'payment';
SELECT mf_resolve(id, 'dismiss', 'both are right') FROM mf_review WHERE id = :old;

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
CREATE FUNCTION pg_temp.invoices(given jsonb) RETURNS mf_invoice[] LANGUAGE sql AS $$
	SELECT coalesce(array_agg(jsonb_populate_record(NULL::mf_invoice, e) ORDER BY n), '{}') FROM jsonb_array_elements(given) WITH ORDINALITY j(e, n) $$;
SELECT mf_test.as_role('regress_mf_chief', $$SELECT mf_insert_as('regress_mf_clerk'::regrole, '{}')$$) AS not_every_operator;
SELECT mf_test.try($$SELECT mf_insert_as(NULL, '{}')$$), mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, NULL)$$);
SELECT mf_test.try($$SELECT mf_insert_as(1, pg_temp.invoices('[{"customer_name": "x", "invoice_value": 1}]'))$$);
SELECT mf_insert_as('regress_mf_clerk'::regrole, '{}');
SET ROLE regress_mf_maker;
SELECT cardinality(mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "A", "invoice_value": 1.5, "customer_reference": "as"}, {"customer_name": "B", "invoice_value": 100.001, "customer_reference": "as", "send_at": "2999-01-01 00:00+00", "notification_option": "LNK"}]')));
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "A", "invoice_value": -1}]'))$$) AS checked;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_chief'::regrole, pg_temp.invoices('[{"customer_name": "A", "invoice_value": 1}]'))$$) AS rights_of_that_role;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "A", "invoice_value": 1}]'), '{1,2}')$$) AS one_for_each;
SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "C", "invoice_value": 2, "customer_reference": "as2"}, {"customer_name": "D", "invoice_value": 3, "customer_reference": "as2"}]'), ARRAY[NULL, :new]) AS ids \gset
SELECT current_user;
-- under ids that were drawn for them, by who may give any
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}]'), NULL, '{1}')$$) AS no_right_to_choose;
RESET ROLE;
SELECT mf_test.as_role('regress_mf_clerk', $$INSERT INTO mf_invoice (id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE VALUES (1, 'E', 1)$$) AS nor_has_that_role;
GRANT INSERT (id) ON mf_invoice TO regress_mf_maker;
SELECT array_agg(nextval(pg_get_serial_sequence('mf_invoice', 'id'))) AS drawn FROM generate_series(1, 2) \gset
SET ROLE regress_mf_maker;
SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}, {"customer_name": "F", "invoice_value": 1}]'), NULL, :'drawn') = :'drawn' AS given;
SELECT mf_test.try(format($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}, {"customer_name": "F", "invoice_value": 1}]'), NULL, %L)$$, :'drawn')) ~ '^23505' AS once_only;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}]'), NULL, '{-1,-2}')$$) AS one_for_each_again;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_clerk'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}]'), NULL, '{}')$$) ~ '^23502' AS none_is_left_out;
SELECT mf_test.try($$SELECT mf_insert_as('regress_mf_chief'::regrole, pg_temp.invoices('[{"customer_name": "E", "invoice_value": 1}]'), NULL, '{-1}')$$) AS other_rights_are_needed;
RESET ROLE;
REVOKE INSERT (id) ON mf_invoice FROM regress_mf_maker;
SELECT customer_name, id = ANY (:'drawn'::bigint[]) AS drawn, created_by FROM mf_invoice WHERE customer_name IN ('E', 'F') ORDER BY id;
SELECT customer_name, invoice_value, created_by, send_at > '2998-01-01' AS later FROM mf_invoice WHERE customer_reference IN ('as', 'as2') ORDER BY id;
SELECT replaced_by = (:'ids'::bigint[])[2] AS replaced, status FROM mf_invoice WHERE id = :new;

-- One that is refused while it is replaced is cancelled, and nothing has it sent again
CALL mf_test.fault('{"path": "SendPayment", "reference_prefix": "refused.", "times": 1, "shape": 1, "delay_ms": 2000}');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Refused', 1, 'refused');
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'refused') = 'sending'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'refused' \gset
SELECT mf_replace(:old, '{"customer_reference": "instead"}') AS new \gset
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'instead') = 'sent' AND (SELECT status FROM mf_invoice WHERE customer_reference = 'refused') <> 'sending'$$);
SELECT status, last_error IS NOT NULL AS told, replaced_by = :new AS replaced FROM mf_invoice WHERE id = :old;
SELECT result FROM mf_retry(ARRAY[:old]);
SELECT from_status, to_status FROM mf_history WHERE invoice = :old AND from_status <> to_status;
SELECT count(*) FROM mf_test.requests() WHERE reference LIKE 'refused.%';

-- One that is sent while it is replaced says so
CALL mf_test.fault('{"path": "SendPayment", "reference_prefix": "slow.", "times": 1, "delay_ms": 2000}');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Slow', 1, 'slow');
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'slow') = 'sending'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'slow' \gset
SELECT mf_replace(:old, '{"send_at": "2999-01-01 00:00+00"}') AS new \gset
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'slow' ORDER BY id LIMIT 1) = 'sent'$$);
SELECT pg_temp.masked(last_error) AS last_error FROM mf_invoice WHERE id = :old;

-- What replaces it is cancelled: it is to be paid again, and can be replaced again, by one that all name
SELECT count(*) FROM mf_open WHERE id = :old;
SELECT result FROM mf_cancel(ARRAY[:new]);
SELECT count(*) FROM mf_open WHERE id = :old;
SELECT mf_replace(:old, '{"send_at": "2999-01-01 00:00+00"}') AS second \gset
SELECT mf_replace(:second, '{"send_at": "2999-01-01 00:00+00"}') AS third \gset
SELECT id = :third AS last, status, replaced_by = :third AS by_the_last FROM mf_invoice WHERE customer_reference = 'slow' ORDER BY mf_invoice.id;
SELECT count(*) FROM mf_open WHERE id = :old;
SELECT pg_temp.masked(mf_test.try(format('SELECT mf_replace(%s)', :old))) AS it_lives;
-- or deleted
SELECT result FROM mf_cancel(ARRAY[:third]);
DELETE FROM mf_invoice WHERE id = :third;
SELECT count(*) FROM mf_open WHERE id = :old;
SELECT mf_replace(:old) IS NOT NULL AS again;
-- or refused
CALL mf_test.fault('{"path": "SendPayment", "reference_prefix": "poor.", "times": 1, "shape": 1}');
SELECT mf_replace(replaced_by, '{"customer_reference": "poor"}') AS poor FROM mf_invoice WHERE id = :old \gset
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'poor') = 'rejected'$$);
SELECT count(*) FROM mf_open WHERE id = :old;
SELECT mf_replace(:old, '{"send_at": "2999-01-01 00:00+00"}') AS new \gset
SELECT status, replaced_by = :new AS replaced FROM mf_invoice WHERE id IN (:old, :poor) ORDER BY id;
SELECT result FROM mf_retry(ARRAY[:poor]);

-- It is paid although it was replaced: what was not sent is not sent any more
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid, mf_refresh(id) FROM mf_invoice WHERE id = :old;
CALL mf_test.wait_for(format('(SELECT payment_status FROM mf_invoice WHERE id = %s) = ''paid''', :old));
SELECT id = :new AS new, status, payment_status, payment_doubt FROM mf_invoice WHERE id IN (:old, :new) ORDER BY mf_invoice.id;
SELECT actor, from_status, to_status, reason FROM mf_history WHERE invoice = :new;
SELECT mf_test.try(format('SELECT mf_replace(%s)', :old)) ~ 'because it was paid' AS not_after_it_was_paid;
SELECT mf_test.try(format($$SELECT mf_insert_as(10, pg_temp.invoices('[{"customer_name": "A", "invoice_value": 1}]'), '{%s}')$$, :old)) ~ 'because it was paid' AS not_by_an_extension;
-- and where it was sent, a person is shown both
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Twice', 3, 'twice');
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'twice') = 'sent'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'twice' \gset
SELECT mf_replace(:old) AS new \gset
CALL mf_test.wait_for($$(SELECT count(*) FROM mf_invoice WHERE customer_reference = 'twice' AND status = 'sent') = 2$$);
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid, mf_refresh(id) FROM mf_invoice WHERE id = :old;
CALL mf_test.wait_for(format('(SELECT payment_status FROM mf_invoice WHERE id = %s) = ''paid''', :old));
SELECT pg_temp.masked(what_happened || ' -- ' || next_step) AS review FROM mf_review WHERE id = :old;
SELECT mf_resolve(:old, 'dismiss', 'refunded');
SELECT count(*) FROM mf_review WHERE id IN (:old, :new);

-- One in review that was replaced is not to be sent again
BEGIN;
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at) VALUES ('Review', 3, 'review', '2999-01-01 00:00+00');
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'review' \gset
ALTER TABLE mf_invoice DISABLE TRIGGER USER;
UPDATE mf_invoice SET status = 'review', replaced_by = 1 WHERE id = :old;
UPDATE mf_queue SET kind = 'review', due = 'infinity' WHERE invoice = :old;
SELECT pg_temp.masked(next_step) AS next_step FROM mf_review WHERE id = :old;
SELECT pg_temp.masked(mf_test.try(format($$SELECT mf_resolve(%s, 'resend', 'x')$$, :old))) AS refused;
ROLLBACK;

-- Not while a payment is under way
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, processing_details) VALUES ('Held', 3, 'held', '{"AutoCapture": false}');
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_reference = 'held') = 'sent'$$);
SELECT id AS old FROM mf_invoice WHERE customer_reference = 'held' \gset
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"action": "authorize"}') IS NOT NULL AS tried, mf_refresh(id) FROM mf_invoice WHERE id = :old;
CALL mf_test.wait_for(format('(SELECT payment_status FROM mf_invoice WHERE id = %s) = ''authorized''', :old));
SELECT pg_temp.masked(mf_test.try(format('SELECT mf_replace(%s)', :old))) AS under_way;

-- Members that are no column that can be inserted
SELECT mf_test.try(format('SELECT mf_replace(%s, %L)', :new, c)) FROM unnest('{"{\"invoice_valeu\": 1}","{\"status\": \"sent\"}",[],1}'::text[]) c;
SELECT mf_test.try('SELECT mf_insert_as(10, ARRAY[NULL]::mf_invoice[])') AS none;
-- What only the worker writes is not taken from a row
BEGIN;
SELECT (mf_insert_as(10, ARRAY[jsonb_populate_record(i, '{"send_at": "2999-01-01 00:00+00"}')]))[1] AS copy FROM mf_invoice i WHERE id = :old \gset
SELECT c.status, c.payment_status, c.invoice_id, c.sent_at, c.attempts, c.reference <> o.reference AS own_reference, c.customer_name
	FROM mf_invoice c, mf_invoice o WHERE c.id = :copy AND o.id = :old;
ROLLBACK;
-- mf_new_invoice() takes all that can be inserted, and puts it where it belongs
CREATE FUNCTION pg_temp.filled(argument text, type text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb;
BEGIN
	EXECUTE format('SELECT jsonb_strip_nulls(to_jsonb(mf_new_invoice(%I => %L::%s)))', argument, CASE type WHEN 'jsonb' THEN '{"a": 1}'
		WHEN 'integer[]' THEN '{1}' WHEN 'timestamp with time zone' THEN '2031-01-01' WHEN 'text' THEN 'x' ELSE '1' END, type) INTO result;
	RETURN result;
END
$$;
SELECT count(*) AS columns, bool_and(has_column_privilege('myfatoorah_submit', 'mf_invoice', a.name, 'INSERT')) AS can_be_inserted,
	bool_and(ARRAY(SELECT jsonb_object_keys(pg_temp.filled(a.name, format_type(a.type, NULL)))) = ARRAY[a.name]) AS in_their_place
	FROM pg_proc p, unnest(p.proargnames, p.proargtypes::oid[]) a(name, type) WHERE p.oid = 'mf_new_invoice'::regproc;
SELECT a.attname AS ignored FROM pg_attribute a WHERE a.attrelid = 'mf_invoice'::regclass AND a.attnum > 0 AND has_column_privilege('myfatoorah_submit', a.attrelid, a.attnum, 'INSERT')
	AND a.attname <> ALL (SELECT unnest(p.proargnames) FROM pg_proc p WHERE p.oid = 'mf_new_invoice'::regproc);
SELECT pg_temp.masked(mf_test.try(format($$SELECT mf_insert_as(10, pg_temp.invoices('[{"customer_name": "A", "invoice_value": 1}, {"customer_name": "A", "invoice_value": 1}]'), '{%1$s,%1$s}')$$, :new))) AS named_twice;

-- A row of mf_enqueue() goes with what replaces its invoice
CREATE TABLE replaced_rent (tenant text, amount numeric, due timestamptz, invoice bigint);
CREATE TRIGGER invoice AFTER INSERT OR UPDATE OR DELETE ON replaced_rent FOR EACH ROW EXECUTE FUNCTION
	mf_enqueue('customer_name=tenant', 'invoice_value=amount', 'send_at=due', 'id=invoice', 'on_update=sync', 'on_delete=cancel');
INSERT INTO replaced_rent VALUES ('Follows', 5, '2999-01-01 00:00+00'), ('Left', 6, '2999-01-01 00:00+00');
SELECT mf_replace(invoice, '{"send_at": "2999-01-01 00:00+00"}') IS NOT NULL AS replaced FROM replaced_rent;
UPDATE replaced_rent SET amount = amount + 2;
SELECT customer_name, invoice_value, status FROM mf_invoice WHERE customer_name IN ('Follows', 'Left') ORDER BY id;
DELETE FROM replaced_rent WHERE tenant = 'Follows';
SELECT invoice_value, status FROM mf_invoice WHERE customer_name = 'Follows' ORDER BY id;
UPDATE replaced_rent SET due = now();
CALL mf_test.wait_for($$EXISTS (SELECT FROM mf_invoice WHERE customer_name = 'Left' AND status = 'sent')$$);
SELECT pg_temp.masked(mf_test.try('DELETE FROM replaced_rent')) AS can_be_paid;
SELECT pg_temp.masked(mf_test.try('UPDATE replaced_rent SET amount = 9')) AS likewise;
DROP TABLE replaced_rent;

SET client_min_messages = error;
SELECT count(*) > 0 AS cancelled FROM (SELECT mf_cancel(array_agg(id)) FROM mf_invoice WHERE status = 'queued') c;
DELETE FROM mf_invoice WHERE created_by IN ('regress_mf_clerk') AND status = 'cancelled';
REVOKE EXECUTE ON FUNCTION mf_insert_as FROM regress_mf_maker;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_clerk;
DROP ROLE regress_mf_clerk, regress_mf_chief, regress_mf_maker;
