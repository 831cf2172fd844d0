-- Databases whose encoding is not UTF-8: what goes out is UTF-8 all the same, what comes in is converted
\set before :DBNAME
SET client_min_messages = error;
DROP DATABASE IF EXISTS mf_regress_latin1;
DROP DATABASE IF EXISTS mf_regress_ascii;
RESET client_min_messages;
CREATE DATABASE mf_regress_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
CREATE DATABASE mf_regress_ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;

\connect mf_regress_latin1
\encoding UTF8
\set ECHO none
\o /dev/null
\i sql/setup.sql
\o
\set ECHO all
\pset format unaligned
SELECT getdatabaseencoding();
CALL mf_test.reset_sandbox();
-- out: by a direct call and by the table, also in JSON members and references
SELECT customer_reference, user_defined_field FROM mf_send_payment('Müller & Söhne', 1, customer_reference => 'Büro', user_defined_field => 'für Ærøskøbing',
	customer_address => '{"Street": "Königsstraße"}');
SELECT body FROM mf_test.requests();
SELECT encode(convert_to(customer_name, 'UTF8'), 'hex') AS name FROM mf_payment_status('Büro', 'CustomerReference');
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Grüße', 2, 'Nº 5');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_name = 'Grüße')$$);
SELECT mf_test.masked(body) FROM mf_test.requests() WHERE body LIKE '%Gr%';
SELECT a.body_sha256 = sha256(convert_to(r.body, 'UTF8')) AS digest FROM mf_attempt a JOIN mf_test.requests() r ON r.reference = a.reference;
-- limits count characters
SELECT mf_test.try(format('SELECT invoice_id > 0 FROM mf_send_payment(%L, 1)', repeat('ü', n))) FROM unnest(ARRAY[1000, 1001]) n;
-- characters that the database does not have: refused by the server on the way in, told as ? on the way back
SELECT mf_send_payment('أحمد', 1);
CALL mf_test.fault($${"status": 400, "body": "{\"IsSuccess\": false, \"Data\": {\"ErrorMessage\": \"\\u0642\\u064a\\u0645\\u0629 f\\u00fcr 5 \\ud83d\\ude00\"}}"}$$);
SELECT mf_test.try($$SELECT mf_send_payment('x', 1)$$);
CALL mf_test.fault($${"status": 200, "body": "{\"IsSuccess\": true, \"Data\": {\"InvoiceId\": 5, \"InvoiceStatus\": \"Paid\", \"InvoiceValue\": 1, \"CustomerName\": \"\\u0623\\u062d\\u0645\\u062f M\\u00fcller\", \"CustomerReference\": \"x\", \"InvoiceItems\": [{\"ItemName\": \"\\u0623\"}], \"InvoiceTransactions\": [{\"PaymentId\": \"07\", \"TransactionStatus\": \"Failed\", \"Error\": \"\\u0623 nein f\\u00fcr\"}]}}"}$$);
SELECT customer_name, invoice_items, invoice_transactions FROM mf_payment_status('5', 'InvoiceId');
CALL mf_test.fault($${"name": "arabic", "status": 400, "body": "{\"IsSuccess\": false, \"Data\": {\"ErrorMessage\": \"\\u0642\\u064a\\u0645\\u0629\"}}"}$$);
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('[fault:arabic]', 2);
CALL mf_test.wait_for($$(SELECT status = 'rejected' FROM mf_invoice WHERE customer_name = '[fault:arabic]')$$);
SELECT last_error FROM mf_invoice WHERE customer_name = '[fault:arabic]';
-- another account, whose name needs the encoding too
DO $$ BEGIN EXECUTE format('CREATE SERVER "Büro" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER "Büro" OPTIONS (api_key_file %L)', mf_test.setting('key_file')); END $$;
INSERT INTO mf_invoice (customer_name, invoice_value, account) VALUES ('büro', 3, 'Büro');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE account = 'Büro')$$);

-- SQL_ASCII: bytes are taken for UTF-8, and refused if they are not
\connect mf_regress_ascii
\set ECHO none
\o /dev/null
\i sql/setup.sql
\o
\set ECHO all
\pset format unaligned
SELECT getdatabaseencoding();
CALL mf_test.reset_sandbox();
SELECT customer_reference FROM mf_send_payment('أحمد', 1, customer_reference => 'Büro', customer_mobile => '٩٩٩٩');
SELECT body FROM mf_test.requests();
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('فاطمة', 2);
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE invoice_value = 2)$$);
SELECT body LIKE '%فاطمة%' AS sent FROM mf_test.requests() ORDER BY seq DESC LIMIT 1;
SELECT f, mf_test.try(format('SELECT mf_send_payment(%s)', f)) FROM unnest(ARRAY[$$E'M\xfcller', 1$$, $$'x', 1, user_defined_field => E'\xe9'$$, $$'x', 1, customer_mobile => E'\xfc999'$$, $$'x', 1, customer_reference => E'\xff'$$,
	$$'x', 1, customer_address => jsonb_build_object('Street', E'M\xfcller')$$]) f;
SELECT mf_test.try($$INSERT INTO mf_invoice (customer_name, invoice_value) VALUES (E'M\xfcller', 3)$$);
SELECT mf_test.try($$INSERT INTO mf_invoice (customer_name, invoice_value, source_info) VALUES ('x', 3, E'M\xfcller')$$);
-- and the error says which field it is about
CREATE FUNCTION pg_temp.column_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS name = COLUMN_NAME;
	RETURN name;
END
$$;
SELECT pg_temp.column_of($$INSERT INTO mf_invoice (customer_name, invoice_value, source_info) VALUES ('x', 3, E'M\xfcller')$$);
SELECT mf_test.try(s), pg_temp.column_of(s) FROM (VALUES ($$INSERT INTO mf_refund (invoice, value, comment) VALUES (1, 1, E'M\xfcller')$$)) v(s);
SELECT count(*) FROM mf_invoice WHERE invoice_value = 3;
CALL mf_test.fault($${"status": 400, "body": "{\"IsSuccess\": false, \"Data\": {\"ErrorMessage\": \"\\u0642\\u064a\\u0645\\u0629\"}}"}$$);
SELECT mf_test.try($$SELECT mf_send_payment('x', 1)$$);

-- Databases can be dropped although they have a worker.
\connect :before
DROP DATABASE mf_regress_latin1;
DROP DATABASE mf_regress_ascii;
