-- mf_payment_status() and mf_payment_transactions(): what is read from the answers
\pset format unaligned
SET TimeZone = 'UTC';
CALL mf_test.reset_sandbox();
CREATE PROCEDURE pg_temp.answer(body text, status integer DEFAULT 200) LANGUAGE plpgsql AS $$
BEGIN
	CALL mf_test.fault(jsonb_build_object('path', 'GetPaymentStatus', 'status', status, 'body', body)::text);
END
$$;
SELECT * FROM mf_payment_status('1') \gdesc
SELECT * FROM mf_payment_transactions('1') \gdesc

-- The vendor's own answers, member by member
CREATE TABLE pg_temp.vendor (name text, body text);
INSERT INTO pg_temp.vendor VALUES ('paid', $json${
  "IsSuccess": true,
  "Message": "",
  "ValidationErrors": null,
  "Data": {
    "InvoiceId": 6424733,
    "InvoiceStatus": "Paid",
    "InvoiceReference": "2026007518",
    "CustomerReference": "noshipping-nosupplier",
    "CreatedDate": "2026-01-10T00:15:07.293",
    "ExpiryDate": "January 13, 2026",
    "ExpiryTime": "00:15:07.293",
    "InvoiceValue": 1,
    "Comments": null,
    "CustomerName": "Anonymous",
    "CustomerMobile": "+965",
    "CustomerEmail": null,
    "UserDefinedField": null,
    "InvoiceDisplayValue": "1.000 KD",
    "DueDeposit": 0.884,
    "DepositStatus": "Not Deposited",
    "InvoiceItems": [],
    "InvoiceTransactions": [
      {
        "TransactionDate": "2026-01-10T00:15:33.3533333",
        "PaymentGateway": "VISA/MASTER",
        "ReferenceId": "7679933321406829504805",
        "TrackId": "10-01-2026_3250552",
        "TransactionId": "7679933321406829504805",
        "PaymentId": "07076424733325055272",
        "AuthorizationId": "831000",
        "TransactionStatus": "Succss",
        "TransationValue": "1.000",
        "CustomerServiceCharge": "0.000",
        "TotalServiceCharge": "0.101",
        "DueValue": "1.000",
        "PaidCurrency": "KD",
        "PaidCurrencyValue": "1.000",
        "VatAmount": "0.015",
        "IpAddress": "203.0.113.10",
        "Country": "Egypt",
        "Currency": "KD",
        "Error": null,
        "CardNumber": "512345xxxxxx0008",
        "ErrorCode": "",
        "ECI": "02",
        "Card": {
          "NameOnCard": "test test",
          "Number": "512345xxxxxx0008",
          "Token": "",
          "PanHash": "b888aa5f23a817883d4d12c74044bab1ae6ee65dc8d6e11515394aba452b273b",
          "ExpiryMonth": "01",
          "ExpiryYear": "39",
          "Brand": "Mastercard",
          "Issuer": "Test Bank",
          "IssuerCountry": "KWT",
          "FundingMethod": "credit"
        }
      }
    ],
    "Suppliers": []
  }
}$json$), ('pending', $json${
  "IsSuccess": true,
  "Message": "",
  "ValidationErrors": null,
  "Data": {
    "InvoiceId": 7085810,
    "InvoiceStatus": "Pending",
    "InvoiceReference": "2026189694",
    "CustomerReference": "TI-PROBE-001",
    "CreatedDate": "2026-08-18T22:47:54.317",
    "ExpiryDate": "August 21, 2026",
    "ExpiryTime": "22:47:54.317",
    "InvoiceValue": 8.87,
    "Comments": null,
    "CustomerName": "Example Probe",
    "CustomerMobile": "+965",
    "CustomerEmail": null,
    "UserDefinedField": "TI-PROBE-001",
    "InvoiceDisplayValue": "8.870 KD",
    "DueDeposit": 0.0,
    "DepositStatus": "Not Deposited",
    "InvoiceItems": [],
    "InvoiceTransactions": [],
    "Suppliers": []
  }
}$json$);
SELECT body AS paid FROM pg_temp.vendor WHERE name = 'paid' \gset
SELECT body AS pending FROM pg_temp.vendor WHERE name = 'pending' \gset
\pset expanded on
CALL pg_temp.answer(:'paid');
SELECT * FROM mf_payment_status('07076424733325055272');
CALL pg_temp.answer(:'paid');
SELECT * FROM mf_payment_transactions('07076424733325055272');
CALL pg_temp.answer(:'pending');
SELECT * FROM mf_payment_status('7085810', 'InvoiceId');
\pset expanded off
CALL pg_temp.answer(:'pending');
SELECT * FROM mf_payment_transactions('7085810', 'InvoiceId');

-- What is asked: any case of the type, any of the keys
CALL mf_test.reset_sandbox();
SELECT invoice_id FROM mf_send_payment('Ahmad', 250.000, customer_reference => 'rent/1', user_defined_field => 'flat 12', customer_mobile => '99999999',
	customer_email => 'ahmad@example.com', invoice_items => '[{"ItemName": "Rent", "Quantity": 2, "UnitPrice": 125.000, "Weight": 0.5}]',
	suppliers => '[{"SupplierCode": 3, "InvoiceShare": 250, "ProposedShare": null}]') \gset
SELECT mf_test.sandbox('invoices/' || :'invoice_id' || '/fail', '{"error_code": "MF002"}') IS NOT NULL AS failed,
	mf_test.sandbox('invoices/' || :'invoice_id' || '/leave', '{}') IS NOT NULL AS left_open,
	mf_test.sandbox('invoices/' || :'invoice_id' || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid;
SELECT invoice_status, invoice_value, customer_reference, user_defined_field, customer_name, customer_mobile, customer_email, invoice_display_value,
	display_currency, invoice_items, suppliers, jsonb_array_length(invoice_transactions) AS tries
FROM mf_payment_status(:'invoice_id', 'InvoiceId');
SELECT payment_id FROM mf_payment_transactions(:'invoice_id', 'InvoiceId') WHERE transaction_status = 'Succss' \gset
SELECT t, mf_test.try(format('SELECT invoice_status FROM mf_payment_status(%L, %L)', k, t))
FROM (VALUES (:'invoice_id', 'InvoiceId'), (:'invoice_id', 'invoiceid'), (:'invoice_id', 'INVOICEID'), (:'payment_id', 'PaymentId'),
	(:'payment_id', 'paymentID'), ('rent/1', 'CustomerReference'), ('rent/1', 'customerreference')) v(k, t);
SELECT invoice_status FROM mf_payment_status(:'payment_id');
SELECT invoice_status FROM mf_payment_status(key => 'rent/1', account => 'myfatoorah', key_type => 'CustomerReference');
SELECT DISTINCT body::jsonb->>'KeyType' AS sent FROM mf_test.requests('GetPaymentStatus') ORDER BY sent;
SELECT mf_test.try('SELECT ' || call) FROM unnest(ARRAY['mf_payment_status(NULL)', 'mf_payment_status(''1'', NULL)', 'mf_payment_status(''1'', ''InvoiceId'', NULL)', 'mf_payment_transactions(NULL)',
	'mf_payment_status(U&'' \200F\00A0'')', 'mf_payment_status(repeat(''1'', 501))', 'mf_payment_transactions(repeat(''ع'', 501), ''CustomerReference'')']) call;
SELECT invoice_status FROM mf_payment_status(U&' \3000' || :'invoice_id' || U&'\00A0', 'InvoiceId');

-- Tries: each one row, in the vendor's order
SELECT transaction_status, payment_gateway, transaction_value, paid_currency, currency, error, error_code, card_number IS NOT NULL AS card,
	payment_id ~ '^0[0-9]{17,21}$' AS id, track_id ~ '^[0-9]{2}-[0-9]{2}-[0-9]{4}_[0-9]+$' AS track,
	transaction_date BETWEEN now() - interval '5 min' AND now() + interval '5 min' AS now
FROM mf_payment_transactions(:'invoice_id', 'InvoiceId');

-- Keys that lead nowhere
SELECT mf_test.try(format('SELECT 1 FROM mf_payment_status(%L, %L)', k, t))
FROM (VALUES ('1', 'InvoiceId'), ('no such', 'CustomerReference'), (E'it''s "no" \u0664 such', 'CustomerReference'), ('07000000000000000000', 'PaymentId'),
	(:'payment_id', 'CustomerReference'), ('', 'PaymentId'), ('1', ''), ('1', 'Invoice'), ('1', repeat('long', 100))) v(k, t);
SELECT replace(mf_test.try(format('SELECT 1 FROM mf_payment_status(%L, %L)', :'invoice_id', 'PaymentId')), :'invoice_id', 'ID') AS id_of_the_other_type;
SELECT mf_test.try($$SELECT 1 FROM mf_payment_transactions('1', 'InvoiceId')$$);
SELECT mf_test.try($$SELECT 1 FROM mf_payment_transactions('1', 'Invoice')$$);
SELECT mf_test.try($$SELECT 1 FROM mf_payment_status('1', account => 'nowhere')$$);

-- Amounts, digit by digit
CREATE FUNCTION pg_temp.variant(path text[], literal text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	-- jsonb keeps the digits of numbers, but not exponents: so a mark is put in, and replaced
	RETURN replace(jsonb_set((SELECT body::jsonb FROM pg_temp.vendor WHERE name = 'paid'), path, '"@@"')::text, '"@@"', literal);
END
$$;
CREATE FUNCTION pg_temp.read(path text[], literal text, wanted text, source text DEFAULT 'mf_payment_status') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL pg_temp.answer(pg_temp.variant(path, literal));
	RETURN format('%s -> %s', literal, mf_test.try(format('SELECT concat_ws('' '', %s) FROM %s(''1'')', wanted, source)));
END
$$;
SELECT pg_temp.read('{Data,InvoiceValue}', v, 'coalesce(invoice_value::text, ''null'')')
FROM unnest(ARRAY['1', '8.87', '2.000', '12345678.901', '0.0', '1e3', '1.25E+2', '125e-2', '1E-3', '-1.5', '999999999999999.999', '0.1234567890123456789',
	'"2.000"', '"12,345.000"', '"1,234,567.891"', '"1234567.891"', 'null', '""']) v;
SELECT pg_temp.read('{Data,InvoiceDisplayValue}', v, 'coalesce(invoice_display_value::text, ''null''), coalesce(display_currency, ''null'')')
FROM unnest(ARRAY['"12,345.000 KD"', '"8.870 KD"', '"1.000 SR"', '"1.000 BD"', '"1.000 LE"', '"1.000 QR"', '"1.000 OR"', '"1.000 JD"', '"1.000 AED"',
	'"1.00 USD"', '"154,622.43 EUR"', '"1.000 KWD"', '"1.000 kd"', '"1.000KD"', '"1.000 XX"', '"KD 1.000"', '"1.000"', '1', 'null', '""', '[]']) v;
SELECT pg_temp.read('{Data,DueDeposit}', v, 'coalesce(due_deposit::text, ''null'')') FROM unnest(ARRAY['0.884', '"0.884"', 'true', '"none"']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,TransationValue}', v, 'coalesce(transaction_value::text, ''null'')', 'mf_payment_transactions')
FROM unnest(ARRAY['"12,345.000"', '"1.000"', '1.5', '"12,34.000"', '"1.2.3"', '"1,000,00"', '"abc"', '"-3.000"', 'null']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,PaidCurrency}', v, 'coalesce(paid_currency, ''null'')', 'mf_payment_transactions')
FROM unnest(ARRAY['"KD"', '"SR"', '"USD"', '"BTC"', 'null', '""', '5']) v;

-- Times are the wall clock of the account's zone.
SELECT pg_temp.read('{Data,CreatedDate}', v, 'coalesce(created_date::text, ''null'')')
FROM unnest(ARRAY['"2026-01-10T00:15:07.293"', '"2026-01-10T00:15:07.2933333"', '"2026-01-10T00:15:07.29333339999"', '"2026-01-10T00:15:07"',
	'"2026-02-30T00:00:00"', '"2026-01-10"', '"January 10, 2026"', '"2026-01-10T00:15:07Z"', '"yesterday"', '"infinity"', '5', 'null', '""']) v;
SELECT pg_temp.read('{Data,ExpiryDate}', v, 'coalesce(expiry_date::text, ''null'')')
FROM unnest(ARRAY['"January 13, 2026"', '"december 31, 2026"', '"2026-01-13"', '"February 29, 2028"', '"February 29, 2026"', '"Juni 1, 2026"', 'null', '""']) v;
SELECT pg_temp.read('{Data,ExpiryTime}', v, 'coalesce(expiry_date::text, ''null'')') FROM unnest(ARRAY['"23:59:59.999"', '"00:00:00"', 'null', '""', '"25:00:00"', '5']) v;
CREATE SERVER cairo FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY', environment 'live');
DO $$
BEGIN
	EXECUTE format('ALTER SERVER cairo OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER cairo OPTIONS (api_key %L)', mf_test.setting('api_key'));
END
$$;
CALL pg_temp.answer(:'paid');
SELECT created_date, expiry_date FROM mf_payment_status('1', account => 'cairo');
-- an hour that the clocks of Cairo leave out is read as by SQL itself
CALL pg_temp.answer(pg_temp.variant('{Data,CreatedDate}', '"2026-04-24T00:30:00"'));
SELECT created_date = '2026-04-24 00:30'::timestamp AT TIME ZONE 'Africa/Cairo' AS same FROM mf_payment_status('1', account => 'cairo');
CALL pg_temp.answer(:'paid');
SELECT transaction_date FROM mf_payment_transactions('1', account => 'cairo');
DROP SERVER cairo CASCADE;

-- Words that nobody knows are kept as they are.
SELECT pg_temp.read('{Data,InvoiceStatus}', v, 'invoice_status') FROM unnest(ARRAY['"Paid"', '"DuplicatePayment"', '"PAID"', '"Vom Himmel gefallen"', '"مدفوع"', '5']) v;
SELECT pg_temp.read('{Data,DepositStatus}', v, 'deposit_status') FROM unnest(ARRAY['"Deposited"', '"Lost"']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,TransactionStatus}', v, 'transaction_status', 'mf_payment_transactions') FROM unnest(ARRAY['"Succss"', '"Authorize"', '"Blorp"']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,PaymentId}', v, 'payment_id', 'mf_payment_transactions') FROM unnest(ARRAY['"0707642473332505527200"', '7076424733325055272', '""']) v;

-- Members that cannot be read: decoration is null, but kept in the jsonb; what money hangs on is an error.
SELECT pg_temp.read('{Data,CustomerName}', v, 'coalesce(customer_name, ''null'')') FROM unnest(ARRAY['5', '{}', 'true', 'null', '""']) v;
SELECT pg_temp.read('{Data,InvoiceItems}', v, 'coalesce(invoice_items::text, ''null'')') FROM unnest(ARRAY['null', '{"a": 1.50}', '""', '"x"']) v;
SELECT pg_temp.read('{Data,InvoiceId}', v, 'invoice_id') FROM unnest(ARRAY['5', '"5"', '0', '-1', '5.0', '1e3', '[5]', 'null', '1234567890123456789']) v;
SELECT pg_temp.read('{Data,InvoiceStatus}', v, 'invoice_status') FROM unnest(ARRAY['null', '""', '{}', 'true']) v;
SELECT pg_temp.read('{Data,InvoiceValue}', v, 'invoice_value') FROM unnest(ARRAY['"many"', 'true', '"1.2.3"', '{}']) v;
SELECT pg_temp.read('{Data,CustomerReference}', v, 'coalesce(customer_reference, ''null'')') FROM unnest(ARRAY['null', '5', '{}', '["a"]']) v;
SELECT pg_temp.read('{Data}', v, 'invoice_id') FROM unnest(ARRAY['null', '[]', 'true', '{}']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions}', v, 'count(*)', 'mf_payment_transactions') FROM unnest(ARRAY['null', '[]', '{}', '5']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0}', v, 'payment_id', 'mf_payment_transactions') FROM unnest(ARRAY['5', 'null', '[]', '{}']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,PaymentId}', v, 'payment_id', 'mf_payment_transactions') FROM unnest(ARRAY['{}', 'true', 'null']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,TransactionStatus}', v, 'transaction_status', 'mf_payment_transactions') FROM unnest(ARRAY['[]', 'null']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,Error}', v, 'coalesce(error, ''null'')', 'mf_payment_transactions') FROM unnest(ARRAY['"a\u0000b"', '"\u202eabc"', '{}']) v;
SELECT pg_temp.read('{Data,InvoiceTransactions,0,Card}', v, 'coalesce(card::text, ''null'')', 'mf_payment_transactions') FROM unnest(ARRAY['null', '""', '{"Number": 1}', '{"a": "\u0000"}']) v;

-- Questions that fail change nothing and say so.
CREATE FUNCTION pg_temp.failing(fault text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CALL mf_test.fault(fault);
	RETURN mf_test.try($f$SELECT invoice_id FROM mf_payment_status('1', 'InvoiceId')$f$);
END
$$;
SELECT pg_temp.failing(format('{"shape": %s}', n)) FROM generate_series(1, 11) n;
SELECT pg_temp.failing(f) FROM unnest(ARRAY['{"status": 500, "body": "<h1>Oops</h1>"}', '{"status": 200, "body": ""}', '{"status": 400, "body": ""}',
	'{"status": 400, "body": {"IsSuccess": false, "Message": "no data match the provided values"}}',
	'{"status": 404, "body": {"IsSuccess": false, "Message": "No data match the provided values"}}',
	'{"status": 200, "body": {"IsSuccess": false, "Message": "No data match the provided values"}}',
	'{"reset_answer_at": 0}', '{"cut_answer_at": 40}']) f;
ALTER SERVER myfatoorah OPTIONS (ADD timeout '300ms');
SELECT pg_temp.failing('{"never": true}');
ALTER SERVER myfatoorah OPTIONS (DROP timeout);
CREATE SERVER unreachable FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
CREATE USER MAPPING FOR PUBLIC SERVER unreachable OPTIONS (api_key 'SEKRET-KEY');
SELECT mf_test.try($$SELECT 1 FROM mf_payment_status('1', account => 'unreachable')$$);
DROP SERVER unreachable CASCADE;
CALL mf_test.fault('{"never": true}');
SET statement_timeout = '500ms';
SELECT invoice_id FROM mf_payment_status('1', 'InvoiceId');
RESET statement_timeout;
-- on a busy machine the time may have been over before the request left
CALL mf_test.reset_sandbox();
SELECT mf_test.try($$SELECT invoice_id FROM mf_payment_status('1', 'InvoiceId')$$);
