-- mf_send_payment(): what reaches the wire, and what comes back
\pset format unaligned
CALL mf_test.reset_sandbox();

-- The body of the latest request, as text
CREATE FUNCTION pg_temp.body() RETURNS text LANGUAGE sql AS $$
	SELECT mf_test.masked(body) FROM mf_test.requests() ORDER BY seq DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.body_of(sought text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT body::jsonb FROM mf_test.requests() WHERE reference = sought
$$;
CREATE FUNCTION pg_temp.sent(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := mf_test.try('SELECT invoice_id > 0 FROM mf_send_payment(' || arguments || ')');
BEGIN
	RETURN CASE result WHEN 'ok: true' THEN pg_temp.body() ELSE result END;
END
$$;

SELECT * FROM mf_send_payment('x', 1) \gdesc
\df mf_send_payment

-- As little as possible; then every field
SELECT pg_temp.sent($$'Ahmad', 250$$);
SELECT pg_temp.sent($$customer_name => 'Ahmad', invoice_value => 250$$);
SELECT pg_temp.sent($$
	customer_name => 'Ahmad', invoice_value => 12.500, notification_option => 'ALL', customer_email => 'ahmad@example.com',
	customer_mobile => '99999999', mobile_country_code => '+965', display_currency_iso => 'KWD', language => 'AR',
	customer_reference => 'rent-2030-01', customer_civil_id => '289010112345', user_defined_field => 'flat 12',
	call_back_url => 'https://www.example.com/paid?a=1&b=2', error_url => 'https://www.example.com/failed',
	webhook_url => 'https://www.example.com/hook', expiry_date => '2030-01-31 12:34:56+00',
	customer_address => '{"Block": "1", "Street": "Gulf", "HouseBuildingNo": "7", "Address": "near the sea", "AddressInstructions": "ring"}',
	invoice_items => '[{"ItemName": "Rent", "Quantity": 1, "UnitPrice": 12.000, "Weight": 1.50, "Width": 20, "Height": 16, "Depth": 2e1},
		{"ItemName": "Water", "Quantity": 2, "UnitPrice": 0.25}]',
	shipping_method => 1::int2,
	shipping_consignee => '{"PersonName": "Ahmad", "Mobile": "99999999", "EmailAddress": "a@example.com", "LineAddress": "Gulf 7",
		"CityName": "Kuwait", "PostalCode": "12345", "CountryCode": "KW"}',
	suppliers => '[{"SupplierCode": 3, "InvoiceShare": 10.5, "ProposedShare": null}, {"SupplierCode": 4, "InvoiceShare": 2, "ProposedShare": 1.250}]',
	processing_details => '{"AutoCapture": false}', invoice_payment_methods => '{1, 2}', source_info => 'pg', account => 'myfatoorah'$$);

-- The request around it
SELECT e->>'method' AS method, e->>'target' AS target, e->>'authorization' AS authorization, e->>'key_elsewhere' AS key_elsewhere,
	(SELECT string_agg(h->>0 || CASE WHEN h->>0 IN ('Content-Type', 'Accept') THEN '=' || (h->>1) ELSE '' END, ' ' ORDER BY h->>0)
	 FROM jsonb_array_elements(e->'headers') h) AS headers,
	(e->>'connection')::int - min((e->>'connection')::int) OVER () AS connection, e->>'request_on_connection' AS request
FROM jsonb_array_elements(mf_test.sandbox('ledger?path=SendPayment')->'entries') e ORDER BY (e->>'seq')::int;

-- Amounts go out digit by digit.
SELECT v AS amount, substring(pg_temp.sent(format($$'x', %s$$, v)) FROM '"InvoiceValue":([^,}]*)') AS wire
FROM unnest(ARRAY['250.000', '250.00', '250', '12345678.901', '0.001', '0.010', '8.87', '1e3', '1.5e-2', '000.5', '.5', '1.2340000', '100.0000000',
	'999999999999999', '999999999999999.999', '123456789012345.678']) v;
SELECT substring(pg_temp.sent(format($$'x', 10, invoice_items => '[{"ItemName": "a", "Quantity": 1, "UnitPrice": %s}]'$$, v)) FROM '"UnitPrice":([^,}]*)') AS price
FROM unnest(ARRAY['10', '10.0', '10.000', '1e1', '10.000000']) v;

-- Times go out as the wall clock of the account's zone, whatever the zone of the session.
CREATE SERVER cairo FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY', environment 'test', time_zone 'Africa/Cairo');
DO $$
BEGIN
	EXECUTE format('ALTER SERVER cairo OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER cairo OPTIONS (api_key %L)', mf_test.setting('api_key'));
END
$$;
SET TimeZone = 'America/New_York';
SELECT substring(pg_temp.sent($$'x', 1, expiry_date => '2030-01-31 21:00:00+00'$$) FROM '"ExpiryDate":([^,}]*)') AS kuwait;
SELECT substring(pg_temp.sent($$'x', 1, expiry_date => '2030-01-31 21:00:00.999999+00'$$) FROM '"ExpiryDate":([^,}]*)') AS fraction;
SELECT substring(pg_temp.sent($$'x', 1, expiry_date => '2030-01-31 16:00'$$) FROM '"ExpiryDate":([^,}]*)') AS from_new_york;
SELECT substring(pg_temp.sent($$'x', 1, expiry_date => '9999-12-31 20:59:59+00'$$) FROM '"ExpiryDate":([^,}]*)') AS last;
SELECT pg_temp.sent($$'x', 1, expiry_date => '9999-12-31 21:00:00+00'$$);
SELECT pg_temp.sent($$'x', 1, account => 'cairo', expiry_date => '2030-01-31 21:00:00+00'$$);
-- every quarter of an hour through the days when the clocks of Cairo and Berlin change
CREATE FUNCTION pg_temp.wrong_times(zone text, around timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER SERVER cairo OPTIONS (SET time_zone %L)', zone);
	RETURN (SELECT count(*) FROM generate_series(around - interval '4 h', around + interval '4 h', '15 min') t
		WHERE substring(pg_temp.sent(format($f$'x', 1, account => 'cairo', expiry_date => %L$f$, t)) FROM '"ExpiryDate":"([^"]*)"')
			IS DISTINCT FROM to_char(t AT TIME ZONE zone, 'YYYY-MM-DD"T"HH24:MI:SS'));
END
$$;
SELECT pg_temp.wrong_times('Africa/Cairo', '2030-04-25 22:00+00'), pg_temp.wrong_times('Africa/Cairo', '2030-10-31 21:00+00'),
	pg_temp.wrong_times('Europe/Berlin', '2030-03-31 01:00+00'), pg_temp.wrong_times('Europe/Berlin', '2030-10-27 01:00+00');
RESET TimeZone;
DROP SERVER cairo CASCADE;

-- What is brought into the vendor's form on the way
SELECT pg_temp.sent(E'E'' \\t Ahmad \\n'', 1, notification_option => '' all '', customer_email => '' a@example.com '', customer_mobile => ''9999-99 99'',
	display_currency_iso => ''kwd'', language => ''ar'', customer_reference => '' r 1 '', customer_civil_id => '' 1 '', call_back_url => '' https://example.com ''');
SELECT pg_temp.sent($$'x', 1, customer_email => '', customer_mobile => ' ', mobile_country_code => '', language => '', customer_reference => '  ',
	customer_civil_id => '', call_back_url => ' ', customer_address => NULL, invoice_items => '[]', suppliers => '[]'$$);
SELECT pg_temp.sent($$'x', 1, notification_option => 'SMS', customer_mobile => '٩٩٩٩٩٩٩٩'$$);
SELECT pg_temp.sent($$'x', 1, notification_option => 'SMS', customer_mobile => '۱۲۳۴۵۶۷۸', mobile_country_code => '٩٦٥'$$);

-- Text comes through as it is: quotes, backslashes, control characters, many scripts, directions, beyond the BMP
CREATE TABLE pg_temp.sample (name text, sample text);
INSERT INTO pg_temp.sample VALUES
	('quotes', $$"It's" \ / \n \u0041 %s {} </script>$$),
	('control characters', E'a\x01\x02\x08\t\n\x0b\x0c\r\x1b\x1f\x7fz'),
	('Arabic', 'أحمد الأحمد – فاتورة رقم ١٢٣'),
	('directions', E'abc\u200f\u202eגדה\u202c\u2066x\u2069 123'),
	('emoji', '👩‍👩‍👧 🇰🇼 ✅'),
	('edges', E'\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\u2028\u2029\ufeff.'),
	('combining', E'e\u0301 \u00e9 \u1100\u1161');
SELECT name, r.user_defined_field = sample AS echoed,
	pg_temp.body_of(r.customer_reference)->>'UserDefinedField' = sample AS sent, pg_temp.body_of(r.customer_reference)->>'CustomerName' = sample AS name_sent
FROM pg_temp.sample, mf_send_payment(sample, 1, user_defined_field => sample) r;
SELECT name, pg_temp.sent(format('%L, 1', sample)) FROM pg_temp.sample WHERE name IN ('quotes', 'control characters', 'Arabic');
-- and so does a reference
SELECT name, r.customer_reference = sample AS echoed, s.customer_reference = sample AS found
FROM pg_temp.sample, mf_send_payment('x', 1, customer_reference => sample) r, mf_payment_status(sample, 'CustomerReference') s;

-- The longest that is taken
SELECT length(pg_temp.sent(format($$%L, 1, user_defined_field => %L, customer_reference => %L, customer_civil_id => %L, call_back_url => %L$$,
	repeat('ع', 1000), repeat('و', 500), repeat('a', 100), repeat('1', 500), 'https://example.com/' || repeat('x', 234)))) AS length;
SELECT r.invoice_id > 0 AS taken, length(pg_temp.body_of(r.customer_reference)->'CustomerAddress'->>'Address') AS length
FROM mf_send_payment('x', 1, customer_address => jsonb_build_object('Address', repeat('0123456789', 100))) r;

-- The answer
SELECT invoice_id > 0 AS id, regexp_replace(invoice_url, '^http://[^/]*/KWT/ie/[0-9]+-[0-9a-f]+$', 'URL') AS url, customer_reference, user_defined_field
FROM mf_send_payment('x', 1, customer_reference => 'mine', user_defined_field => 'anything');
-- a reference is made where there is none, and never the same
SELECT count(DISTINCT r.customer_reference), min(length(r.customer_reference)), max(length(r.customer_reference)),
	bool_and(r.customer_reference ~ '^[0-9a-hjkmnp-tv-z]{20}$') AS form, count(DISTINCT r.invoice_id) AS invoices
FROM generate_series(1, 20) i, mf_send_payment('x', i) r;
SELECT pg_temp.body_of(r.customer_reference)->>'CustomerName' AS sent_with_it FROM mf_send_payment('x', 1) r;
-- members that nobody knows, a null URL, other order of members, the id as the vendor may print it
CALL mf_test.fault('{"status": 200, "body": "{\"Extra\": [{}], \"Data\": {\"New\": 1, \"UserDefinedField\": null, \"CustomerReference\": \"mine\", \"InvoiceURL\": null, \"InvoiceId\": 123456789012345678}, \"IsSuccess\": true}"}');
SELECT * FROM mf_send_payment('x', 1, customer_reference => 'mine');
CALL mf_test.fault('{"status": 201, "body": "\ufeff {\"IsSuccess\": true, \"Message\": null, \"Data\": {\"InvoiceId\": 7, \"InvoiceURL\": \"https://\u0645\u062b\u0627\u0644.example/\", \"CustomerReference\": \"mine\"}}\r\n"}');
SELECT * FROM mf_send_payment('x', 1, customer_reference => 'mine');
