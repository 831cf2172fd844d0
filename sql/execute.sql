-- A page of one method of payment (ExecutePayment): by a direct call, and by a row with payment_method_id
\pset format unaligned
CALL mf_test.reset_sandbox();
CREATE FUNCTION pg_temp.calls() RETURNS TABLE (path text, body text) LANGUAGE sql AS $$
	SELECT e->>'path', mf_test.masked(e->>'body') FROM jsonb_array_elements(mf_test.sandbox('ledger')->'entries') e
	WHERE e->>'path' ~ '/(executepayment|sendpayment|payments)$' ORDER BY (e->>'seq')::int
$$;
CREATE FUNCTION pg_temp.undone(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	of_column text;
BEGIN
	EXECUTE statement INTO result;
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = coalesce(result, 'null');
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN 'ok: ' || SQLERRM;
WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS of_column = COLUMN_NAME;
	RETURN concat_ws(': ', of_column, mf_test.try(statement));
END
$$;

SELECT * FROM mf_execute_payment('x', 1, 2) \gdesc

-- By a direct call: as little as possible, then every field
SELECT invoice_id > 0 AS id, regexp_replace(invoice_url, '^http://[^/]*/En/KWT/PayInvoice/Checkout\?invoiceKey=[0-9]+-[0-9a-f]+&paymentGatewayId=', 'PAGE ') AS page,
	customer_reference ~ '^[0-9a-z]{20}$' AS reference, user_defined_field, recurring_id FROM mf_execute_payment('Ahmad', 250, 1);
SELECT recurring_id FROM mf_execute_payment(customer_name => 'fname lname', invoice_value => 10, payment_method_id => 1, customer_email => 'mail@company.com', customer_mobile => '12345678',
	mobile_country_code => '+965', display_currency_iso => 'kwd', language => 'ar', customer_reference => 'noshipping-nosupplier', customer_civil_id => '289010112345', user_defined_field => 'flat 12',
	call_back_url => 'https://yoursite.com/success', error_url => 'https://yoursite.com/error', webhook_url => 'https://yoursite.com/hook', expiry_date => '2030-01-31 12:34:56+00',
	customer_address => '{"Block": "string", "Street": "string", "HouseBuildingNo": "string", "AddressInstructions": "string"}',
	invoice_items => '[{"ItemName": "item name", "Quantity": 10, "UnitPrice": 1, "Weight": 2, "Width": 3, "Height": 4, "Depth": 5}]',
	processing_details => '{"AutoCapture": true}', source_info => 'pg');
SELECT recurring_id ~ '^RECUR[0-9]+$' AS plan FROM mf_execute_payment('Ahmad', 20, 2, recurring_type => 'daily', iteration => 1, retry_count => 5);
SELECT recurring_id ~ '^RECUR[0-9]+$' AS plan FROM mf_execute_payment('Ahmad', 20, 2, recurring_type => 'Custom', interval_days => 180, iteration => 0);
SELECT * FROM pg_temp.calls();

-- With its row
SELECT invoice_id AS recorded, recurring_id AS plan FROM mf_execute_payment('recorded', 5, 2, recurring_type => 'Weekly', iteration => 4, record => true) \gset
SELECT status, notification_option, payment_method_id, recurring_type, interval_days, iteration, retry_count, invoice_id = :recorded AS id, recurring_id = :'plan' AS plan,
	invoice_url ~ 'paymentGatewayId=2002' AS page, attempts, last_error FROM mf_invoice WHERE customer_name = 'recorded';
SELECT h.from_status, h.to_status, h.reason FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_name = 'recorded' ORDER BY h.changed_at, h.to_status DESC;

-- As a row; beside one of all methods
CALL mf_test.reset_sandbox();
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, payment_method_id, recurring_type, interval_days, iteration, retry_count)
VALUES ('one method', 10, 'one', 1, NULL, NULL, NULL, NULL), ('a plan', 20, 'plan', 2, 'custom', 30, 12, 2), ('all methods', 30, 'all', NULL, NULL, NULL, NULL, NULL);
CALL mf_test.wait_for($$(SELECT count(*) = 3 FROM mf_invoice WHERE customer_name IN ('one method', 'a plan', 'all methods') AND status = 'sent')$$);
SELECT customer_name, invoice_id > 0 AS id, regexp_replace(invoice_url, '[0-9]+-[0-9a-f]+', 'KEY') ~ 'PayInvoice/Checkout\?invoiceKey=KEY&paymentGatewayId=200[12]$' AS page, attempts, last_error,
	recurring_type, recurring_id ~ '^RECUR' AS plan FROM mf_invoice i WHERE customer_name IN ('one method', 'a plan', 'all methods') ORDER BY i.id;
SELECT a.outcome, a.api, a.invoice_url = i.invoice_url AS url, a.recurring_id = i.recurring_id AS plan FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice
WHERE i.customer_name IN ('one method', 'a plan', 'all methods') ORDER BY i.id;
SELECT * FROM pg_temp.calls() ORDER BY body;
-- refused by MyFatoorah
INSERT INTO mf_invoice (customer_name, invoice_value, payment_method_id) VALUES ('no such method', 1, 999);
CALL mf_test.wait_for($$(SELECT status = 'rejected' FROM mf_invoice WHERE customer_name = 'no such method')$$);
SELECT last_error, invoice_id, attempts FROM mf_invoice WHERE customer_name = 'no such method';
SELECT mf_test.try('SELECT mf_execute_payment(''x'', 1, 999)');

-- What is no page: card numbers would be posted there
CALL mf_test.fault($${"path": "ExecutePayment", "times": 1, "status": 200, "body": {"IsSuccess": true, "Message": "", "ValidationErrors": null, "Data": {"InvoiceId": 77, "IsDirectPayment": true,
	"PaymentURL": "http://127.0.0.1/v2/DirectPayment/1/2", "CustomerReference": "direct", "UserDefinedField": null, "RecurringId": ""}}}$$);
SELECT * FROM mf_execute_payment('x', 1, 2, customer_reference => 'direct');

-- What is refused before anything leaves, by the name of the column
SELECT v, pg_temp.undone(format('INSERT INTO mf_invoice (customer_name, invoice_value, payment_method_id, %s) VALUES (''x'', 10, 2, %s) RETURNING concat_ws('','', notification_option, recurring_type, interval_days, iteration, retry_count)',
	split_part(v, '=', 1), split_part(v, '=', 2))) FROM unnest(ARRAY['notification_option=''lnk''', 'notification_option=''EML''', 'notification_option=''ALL''', 'invoice_payment_methods=''{1}''',
	'recurring_type=''Yearly''', 'recurring_type=''Daily''', 'recurring_type, iteration=''DAILY'', 0', 'recurring_type, iteration=''weekly'', -1', 'recurring_type, iteration, retry_count=''Monthly'', 1, 6',
	'recurring_type, iteration, retry_count=''Monthly'', 1, 0', 'recurring_type, iteration=''Custom'', 1', 'recurring_type, iteration, interval_days=''custom'', 1, 181', 'recurring_type, iteration, interval_days=''custom'', 1, 0',
	'recurring_type, iteration, interval_days=''custom'', 1, 180', 'recurring_type, iteration, interval_days=''Daily'', 1, 7', 'interval_days=7', 'iteration=1', 'retry_count=1',
	'recurring_type, iteration, user_defined_field=''Daily'', 1, ''CK-7''', 'recurring_id=''RECUR1''']) v;
SELECT pg_temp.undone('INSERT INTO mf_invoice (customer_name, invoice_value, recurring_type, iteration) VALUES (''x'', 10, ''Daily'', 1) RETURNING id'),
	pg_temp.undone('INSERT INTO mf_invoice (customer_name, invoice_value, payment_method_id) VALUES (''x'', 10, 0) RETURNING id');
SELECT mf_test.try('SELECT mf_execute_payment(''x'', 1, NULL)');
SELECT mf_test.try('SELECT mf_execute_payment(''x'', 1, 2, interval_days => 3)');
CREATE TEMP TABLE unchecked AS SELECT * FROM mf_invoice WITH NO DATA;
WITH r AS (INSERT INTO unchecked (account, customer_name, invoice_value, notification_option, payment_method_id, invoice_payment_methods, recurring_type, interval_days, retry_count)
	VALUES ('myfatoorah', 'x', 1, 'SMS', 2, '{1}', 'Daily', 3, 9) RETURNING *) SELECT v.field, v.message FROM r, mf_validate(ROW (r.*)::mf_invoice) v ORDER BY 1;

-- An outcome that is not known: how it is looked up
CALL mf_test.fault('{"path": "ExecutePayment", "times": 1, "reset_answer_at": 0}');
SELECT mf_test.try($$SELECT mf_execute_payment('x', 1, 2, customer_reference => 'lost answer')$$);
SELECT invoice_value FROM mf_payment_status('lost answer', 'CustomerReference');
CALL mf_test.fault('{"path": "ExecutePayment", "times": 1, "status": 429, "shape": 11}');
SELECT mf_test.try($$SELECT mf_execute_payment('x', 1, 2, customer_reference => 'throttled')$$);

-- A row that is edited goes by the other call.
SELECT mf_pause('myfatoorah', 'to edit') IS NOT NULL AS paused;
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('edited', 1);
UPDATE mf_invoice SET payment_method_id = 1 WHERE customer_name = 'edited';
SELECT mf_resume('myfatoorah') IS NOT NULL AS resumed;
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_name = 'edited')$$);
SELECT h.changes FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_name = 'edited' AND h.changes IS NOT NULL;
SELECT path FROM pg_temp.calls() WHERE body LIKE '%edited%';

-- Beside the row: a new one in its place, and an adopted one
SELECT mf_replace(id, '{"invoice_value": 11}') > 0 AS new FROM mf_invoice WHERE customer_name = 'one method';
SELECT payment_method_id, invoice_value FROM mf_invoice WHERE customer_name = 'one method' ORDER BY id DESC LIMIT 1;
CALL mf_test.reset_sandbox();
-- What these plans would have asked concerns no other test
DELETE FROM mf_event WHERE source = 'plan';
