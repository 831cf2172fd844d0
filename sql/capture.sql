-- Captures and releases of authorized payments: one of an invoice, for ever
\pset format unaligned
CALL mf_test.reset_sandbox();
SELECT set_config('mf_test.first', coalesce(max(id), 0)::text, false) IS NOT NULL AS noted FROM mf_invoice;
CREATE VIEW pg_temp.mine AS SELECT * FROM mf_invoice WHERE id > current_setting('mf_test.first')::bigint;
CREATE FUNCTION pg_temp.id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM pg_temp.mine WHERE customer_name = name $$;
-- an invoice whose payment was authorized, and is known to be
CREATE PROCEDURE pg_temp.authorized(name text, value numeric) LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	INSERT INTO mf_invoice (customer_name, invoice_value, processing_details) VALUES (name, value, '{"AutoCapture": false}');
	COMMIT;
	CALL mf_test.wait_for(format('EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = %L AND status = ''sent'')', name));
	SELECT invoice_id INTO number FROM pg_temp.mine WHERE customer_name = name;
	PERFORM mf_test.sandbox(format('invoices/%s/authorize', number), '{}');
	PERFORM mf_refresh(pg_temp.id(name));
	COMMIT;
	CALL mf_test.wait_for(format('EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = %L AND payment_status = ''authorized'')', name));
END
$$;
CREATE PROCEDURE pg_temp.wait_state(name text, state text) LANGUAGE plpgsql AS $$
BEGIN
	CALL mf_test.wait_for(format('(SELECT string_agg(kind || '' '' || status, '', '' ORDER BY id) = %L FROM mf_operation WHERE invoice = pg_temp.id(%L))', state, name));
END
$$;

CALL pg_temp.authorized('ali', 40);
SELECT customer_name, value, currency, authorized_at IS NOT NULL AS dated, days_held, operation FROM mf_hold WHERE invoice = pg_temp.id('ali');
SELECT mf_test.try(format('SELECT mf_capture(%s, 0)', pg_temp.id('ali')));
SELECT mf_test.try(format('SELECT mf_capture(%s, 40.001)', pg_temp.id('ali')));
SELECT mf_test.try(format('SELECT mf_capture(%s, 1.0001)', pg_temp.id('ali')));
SELECT mf_test.try('SELECT mf_capture(-1)');
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 1)', pg_temp.id('ali'))) ~ 'What is left is 0:' AS refused;

-- A part: the invoice is of that from then on
SELECT mf_capture(pg_temp.id('ali'), 2, 'shipped in part') > 0 AS asked;
CALL pg_temp.wait_state('ali', 'capture captured');
SELECT (body::jsonb - 'Key')::text AS body FROM mf_test.requests('UpdatePaymentStatus');
SELECT payment_status, base_value, received_value FROM pg_temp.mine WHERE customer_name = 'ali';
SELECT status, value, currency, comment, attempts, filed_at IS NOT NULL AS filed, done_at IS NOT NULL AS done, last_error, due FROM mf_operation WHERE invoice = pg_temp.id('ali');
SELECT string_agg(transaction_status, ', ' ORDER BY transaction_status) FROM mf_transaction WHERE invoice = pg_temp.id('ali');
SELECT regexp_replace(mf_test.try(format('SELECT mf_release(%s)', pg_temp.id('ali'))), 'invoice [0-9]+', 'invoice N');
SELECT count(*) FROM mf_hold WHERE invoice = pg_temp.id('ali');
-- what was captured can be refunded
SELECT mf_refundable(pg_temp.id('ali'));

-- Released: it is not paid, and may be paid again
CALL pg_temp.authorized('badr', 5);
SELECT mf_release(pg_temp.id('badr'), 'out of stock') > 0 AS asked;
CALL pg_temp.wait_state('badr', 'release released');
SELECT (body::jsonb - 'Key')::text AS body FROM mf_test.requests('UpdatePaymentStatus') ORDER BY seq DESC LIMIT 1;
SELECT payment_status, received_value FROM pg_temp.mine WHERE customer_name = 'badr';
SELECT regexp_replace(mf_test.try(format('SELECT mf_capture(%s)', pg_temp.id('badr'))), 'invoice [0-9]+', 'invoice N');

-- Refused by MyFatoorah, and then asked for anew
CALL pg_temp.authorized('dana', 5);
CALL mf_test.fault('{"path": "UpdatePaymentStatus", "status": 400, "body": "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Operation\",\"Error\":\"try later\"}],\"Data\":null}"}');
SELECT mf_capture(pg_temp.id('dana')) > 0 AS asked;
CALL pg_temp.wait_state('dana', 'capture refused');
SELECT operation, operation_value, operation_status, last_error FROM mf_hold WHERE invoice = pg_temp.id('dana');
SELECT mf_capture(pg_temp.id('dana')) > 0 AS asked;
CALL pg_temp.wait_state('dana', 'capture refused, capture captured');

-- Refused by MyFatoorah, which carries it out for all that
CALL pg_temp.authorized('eman', 5);
CALL mf_test.fault('{"path": "UpdatePaymentStatus", "create": true, "status": 400, "body": "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Operation\",\"Error\":\"try later\"}],\"Data\":null}"}');
SELECT mf_capture(pg_temp.id('eman'), 3) > 0 AS asked;
CALL pg_temp.wait_state('eman', 'capture refused');
SELECT mf_refresh(pg_temp.id('eman'));
CALL mf_test.wait_for($$ (SELECT payment_status = 'paid' FROM pg_temp.mine WHERE customer_name = 'eman') $$);
SELECT status, attempts, last_error, done_at IS NOT NULL AS done FROM mf_operation WHERE invoice = pg_temp.id('eman');
-- and one that the portal has captured with another amount
CALL pg_temp.authorized('emad', 5);
CALL mf_test.fault('{"path": "UpdatePaymentStatus", "status": 400, "body": "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Operation\",\"Error\":\"try later\"}],\"Data\":null}"}');
SELECT mf_capture(pg_temp.id('emad'), 3) > 0 AS asked;
CALL pg_temp.wait_state('emad', 'capture refused');
SELECT mf_test.sandbox(format('invoices/%s/capture', (SELECT invoice_id FROM pg_temp.mine WHERE customer_name = 'emad')), '{"amount": "5"}') IS NOT NULL AS captured;
SELECT mf_refresh(pg_temp.id('emad'));
CALL mf_test.wait_for($$ (SELECT payment_status = 'paid' FROM pg_temp.mine WHERE customer_name = 'emad') $$);
SELECT status, last_error FROM mf_operation WHERE invoice = pg_temp.id('emad');

-- Cancelled while it is queued
CALL pg_temp.authorized('esra', 5);
SELECT mf_pause();
SELECT mf_capture(pg_temp.id('esra')) > 0 AS asked;
SELECT regexp_replace(mf_test.try(format('SELECT mf_release(%s)', pg_temp.id('esra'))), 'invoice [0-9]+', 'invoice N');
SELECT mf_cancel_capture(pg_temp.id('esra'), 'a mistake');
SELECT regexp_replace(mf_test.try(format('SELECT mf_cancel_capture(%s)', pg_temp.id('esra'))), 'invoice [0-9]+', 'invoice N');
SELECT mf_release(pg_temp.id('esra')) > 0 AS asked;
SELECT mf_resume();
CALL pg_temp.wait_state('esra', 'capture cancelled, release released');

-- Captured in the portal meanwhile
CALL pg_temp.authorized('fahd', 5);
SELECT mf_test.sandbox(format('invoices/%s/capture', (SELECT invoice_id FROM pg_temp.mine WHERE customer_name = 'fahd')), '{"amount": "5"}') IS NOT NULL AS captured;
SELECT mf_release(pg_temp.id('fahd')) > 0 AS asked;
CALL pg_temp.wait_state('fahd', 'release refused');
SELECT mf_refresh(pg_temp.id('fahd'));
CALL mf_test.wait_for($$ (SELECT payment_status = 'paid' FROM pg_temp.mine WHERE customer_name = 'fahd') $$);
SELECT regexp_replace(mf_test.try(format('SELECT mf_release(%s)', pg_temp.id('fahd'))), 'invoice [0-9]+', 'invoice N');

-- The right is that to refund
CALL pg_temp.authorized('ghada', 5);
SELECT pg_temp.id('ghada') AS ghada \gset
CREATE ROLE capture_submit IN ROLE myfatoorah_submit;
CREATE ROLE capture_cashier IN ROLE myfatoorah_submit, myfatoorah_refund;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO capture_submit, capture_cashier;
GRANT USAGE ON SCHEMA mf_test TO capture_submit, capture_cashier;
SET ROLE capture_submit;
SELECT mf_test.try(format('SELECT mf_capture(%s)', :ghada));
SET ROLE capture_cashier;
SELECT regexp_replace(mf_test.try(format('SELECT mf_capture(%s)', :ghada)), 'invoice [0-9]+', 'invoice N') ~ 'permission denied for invoice' AS refused;
RESET ROLE;
REVOKE ALL ON FOREIGN SERVER myfatoorah FROM capture_submit, capture_cashier;
REVOKE ALL ON SCHEMA mf_test FROM capture_submit, capture_cashier;
-- whoever has lost the right to the invoice since is not obeyed
SELECT mf_pause();
GRANT myfatoorah_operate TO capture_cashier;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO capture_cashier;
SET ROLE capture_cashier;
SELECT mf_capture(:ghada) > 0 AS asked;
RESET ROLE;
REVOKE myfatoorah_operate FROM capture_cashier;
SELECT mf_resume();
CALL mf_test.wait_for($$ (SELECT last_error IS NOT NULL OR status <> 'queued' FROM mf_operation WHERE invoice = pg_temp.id('ghada')) $$);
SELECT status, last_error FROM mf_operation WHERE invoice = :ghada;
SELECT mf_cancel_capture(:ghada);
REVOKE ALL ON FOREIGN SERVER myfatoorah FROM capture_cashier;
DROP ROLE capture_submit, capture_cashier;
SELECT mf_release(:ghada) > 0 AS asked;
CALL pg_temp.wait_state('ghada', 'capture cancelled, release released');
-- nothing is asked about any more
CALL mf_test.wait_for($$ NOT EXISTS (SELECT FROM mf_operation WHERE due IS NOT NULL) $$);
UPDATE mf_inquiry SET urgent = false, due = now() + interval '30 min' WHERE invoice IN (SELECT id FROM pg_temp.mine);
