-- What is refused before anything is stored or sent, and what is put right: the same by INSERT, UPDATE, direct call and mf_validate()
\pset format unaligned
\pset tuples_only on
CALL mf_test.reset_sandbox();
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
DO $$ BEGIN EXECUTE format('ALTER SERVER held OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url')); END $$;
DO $$ BEGIN EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER held OPTIONS (api_key_file %L)', mf_test.setting('key_file')); END $$;
SELECT mf_pause('held', 'for this test');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'base', 10) RETURNING id AS base \gset
SELECT set_config('mf_test.base', :'base', false) IS NOT NULL AS noted;

-- Runs a statement whose effect is undone; what it returned, or its error.

-- Values as a row of mf_invoice that nobody checks
CREATE TABLE pg_temp.unchecked AS SELECT * FROM mf_invoice WITH NO DATA;

-- Whether mf_validate() complains of what INSERT has refused, in the same words, or of nothing if that has taken it; else what it says.
CREATE FUNCTION pg_temp.validated(columns text[], "values" text[], inserted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	complaint record;
	said text := '';
	found boolean := false;
BEGIN
	FOR complaint IN EXECUTE format('WITH r AS (INSERT INTO pg_temp.unchecked (%s) VALUES (%s) RETURNING *) SELECT v.* FROM r, mf_validate(ROW (r.*)::mf_invoice) v',
			array_to_string(columns, ', '), array_to_string("values", ', ')) LOOP
		said := concat_ws(E'\n', nullif(said, ''), concat_ws(' | ', complaint.field, complaint.message, complaint.hint));
		found := found OR replace(replace(substr(inserted, 8), E'\n  detail: ', ': '), E'\n  hint: ', ' | ') = concat_ws(' | ', mf_test.masked(complaint.message), mf_test.masked(complaint.hint));
	END LOOP;
	RETURN CASE WHEN inserted LIKE 'ok%' AND said = '' OR found THEN inserted WHEN said = '' THEN 'ok' ELSE said END;
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN inserted LIKE SQLSTATE || ': ' || SQLERRM || '%' THEN inserted ELSE SQLERRM END;
END
$$;

-- An error about a field says so to drivers: column and table; what it leaves out.
CREATE FUNCTION pg_temp.unnamed(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	of_column text;
	of_table text;
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'MF000';
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN NULL;
WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS of_column = COLUMN_NAME, of_table = TABLE_NAME;
	RETURN nullif(concat_ws(' and ', CASE of_column WHEN '' THEN 'the column' END, CASE WHEN of_table <> 'mf_invoice' THEN 'the table' END), '');
WHEN OTHERS THEN
	RETURN NULL;
END
$$;

-- Tries fields with values (SQL expressions) four ways. Tells the values stored, or the error, once if all ways agree.
CREATE FUNCTION pg_temp.tried(fields text, VARIADIC expressions text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	names text[] := string_to_array(fields, ' ');
	columns text[] := names;
	"values" text[] := expressions;
	inserted text;
	updated text;
	called text;
	validated text;
	insertion text;
	default_name text;
BEGIN
	FOREACH default_name IN ARRAY ARRAY['account', 'customer_name', 'invoice_value'] LOOP
		IF default_name <> ALL (names) THEN
			columns := columns || default_name;
			"values" := "values" || CASE default_name WHEN 'account' THEN quote_literal('held') WHEN 'invoice_value' THEN '10' ELSE quote_literal('x') END;
		END IF;
	END LOOP;
	insertion := format('INSERT INTO mf_invoice (%s) VALUES (%s) RETURNING concat_ws('' | '', coalesce(%s::text, ''null''))',
		array_to_string(columns, ', '), array_to_string("values", ', '), array_to_string(names, '::text, ''null''), coalesce('));
	inserted := mf_test.undone(insertion);
	validated := pg_temp.validated(columns, "values", inserted);
	updated := mf_test.undone(format('UPDATE mf_invoice SET (%s) = ROW (%s) WHERE id = %s RETURNING concat_ws('' | '', coalesce(%s::text, ''null''))',
		array_to_string(columns, ', '), array_to_string("values", ', '), current_setting('mf_test.base'), array_to_string(names, '::text, ''null''), coalesce(')));
	called := mf_test.try(format('SELECT invoice_id > 0 FROM mf_send_payment(%s)',
		(SELECT string_agg(c || ' => ' || v, ', ') FROM unnest(columns, "values") u(c, v))));
	RETURN format('%s = %s -> ', array_to_string(names, ', '), regexp_replace(left(array_to_string(expressions, ', '), 100), E'[\n\t]', ' ', 'g')) || left(inserted, 250)
		|| CASE WHEN updated = inserted THEN '' ELSE E'\n  BY UPDATE: ' || updated END
		|| CASE WHEN validated = inserted THEN '' ELSE E'\n  BY VALIDATION: ' || validated END
		|| coalesce(E'\n  NOT NAMED: ' || pg_temp.unnamed(insertion), '')
		|| CASE WHEN called = inserted OR called = 'ok: true' AND inserted LIKE 'ok: %' THEN '' ELSE E'\n  BY CALL: ' || called END;
END
$$;

-- Who and how much
SELECT pg_temp.tried('customer_name', v) FROM unnest(ARRAY['NULL', '''''', 'E'' \t\n''', 'E'' \t Ahmad  Ali \n''', 'repeat(''ع'', 1000)', 'repeat(''ع'', 1001)']) v;
SELECT pg_temp.tried('invoice_value', v) FROM unnest(ARRAY['NULL', '0', '0.000', '-1', '-0.001', '''NaN''', '''Infinity''', '''-Infinity''',
	'0.001', '12.500', '1.2340000', '0.0001', '1.2345', '999999999999999.999', '1000000000000000', '1e100']) v;

-- no more decimals than the currency has: the account's, which is KWD on the test host, or the one shown
SELECT pg_temp.tried('display_currency_iso invoice_value', quote_literal(c), v) FROM unnest(ARRAY['SAR', 'AED', 'QAR', 'EGP']) c, unnest(ARRAY['100.005', '100.050']) v;
SELECT pg_temp.tried('display_currency_iso invoice_value', quote_literal(c), v) FROM unnest(ARRAY['KWD', 'BHD', 'OMR', 'jod']) c, unnest(ARRAY['100.005', '100.0005']) v;
SELECT pg_temp.tried('display_currency_iso invoice_value', '''sar''', '100.005');
CREATE SERVER riyadh FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'SAU', environment 'live');
SELECT mf_test.undone(format('INSERT INTO mf_invoice (account, customer_name, invoice_value, display_currency_iso) VALUES (%L, %L, %s, %L) RETURNING invoice_value', 'riyadh', 'x', v, c))
FROM (VALUES (100.005, NULL), (100.05, NULL), (100.0500, NULL), (100.005, 'KWD')) x(v, c);
DROP SERVER riyadh;

-- How the customer is told
SELECT pg_temp.tried('notification_option', v) FROM unnest(ARRAY['''LNK''', ''' lnk ''', 'NULL', '''''', '''  ''', '''MAIL''', 'repeat(''x'', 100)']) v;
SELECT pg_temp.tried('notification_option customer_email', v[1], v[2]) FROM (VALUES ('''EML''', 'NULL'), ('''ALL''', '''''')) x(a, b), LATERAL (SELECT ARRAY[a, b]) y(v);
SELECT pg_temp.tried('notification_option customer_email', '''eml''', v) FROM unnest(ARRAY[''' a@example.com ''', '''Ä@example.com''', '''a''', '''@example.com''', '''a@''',
	'''a@b@example.com''', '''a b@example.com''', '''a@example.com, b@example.com''', '''A <a@example.com>''', 'E''a@example\n.com''', 'repeat(''a'', 243) || ''@example.com''']) v;
SELECT pg_temp.tried('customer_email', v) FROM unnest(ARRAY['''''', '''nobody''']) v;
SELECT pg_temp.tried('notification_option customer_mobile', o, v) FROM unnest(ARRAY['''SMS''', '''ALL''']) o, unnest(ARRAY['NULL', ''' - ''']) v WHERE o <> '''ALL''';
SELECT pg_temp.tried('notification_option customer_email customer_mobile', '''ALL''', '''a@example.com''', 'NULL');
SELECT pg_temp.tried('notification_option customer_mobile mobile_country_code', '''SMS''', v, 'NULL') FROM unnest(ARRAY['''99999999''', ''' 9999-99 99''', '''٩٩٩٩٩٩٩٩''', '''۹۹۹''',
	'''+9999999999''', '''*99999999''', '''99999999#''', '''0099999999''', '''12''', '''+12''', '''999999999999''', '''+96599999999''', '''9999x999''', '''99#99''', '''#999''', '''++999''', '''九九九''']) v;
-- as people paste them: marks of direction around, blanks, dashes and digits of any kind
SELECT pg_temp.tried('notification_option customer_mobile', '''SMS''', v) FROM unnest(ARRAY['U&''\202A99999999\202C''', 'U&''\202B99999999\202C''', 'U&''\202D+9999999\202C''', 'U&''\200E99999999\200F''',
	'U&''\206699999999\2069''', 'U&''\206799999999\2069''', 'U&''9999\00A09999''', 'U&''9999\202F9999\3000''', 'U&''9999\20119999''', 'U&''9999\20139999''', 'U&''9999\22129999''',
	'U&''\200F\0669\0669\0669\0669\0669\0669\0669\0669\200F''', 'U&''\FF10\FF11\FF12''', 'U&''\00A0\200F\2013''', 'U&''9999\20449999''']) v;
SELECT pg_temp.tried('mobile_country_code', v) FROM unnest(ARRAY['U&''\202A+965\202C''', 'U&''+9\00A065''', 'U&''\200F''']) v;
SELECT pg_temp.tried('customer_name', v) FROM unnest(ARRAY['U&''\200F''', 'U&''\00A0''', 'U&''\200B''', 'U&''\3000''', 'U&'' \2066\00A0\2069 ''', 'U&''\3000Ahmad\00A0''']) v;
SELECT pg_temp.tried('customer_email', v) FROM unnest(ARRAY['U&''a@example.com\200E''', 'U&''\2066a@example.com\2069''', 'U&''a\00A0b@example.com''', 'U&''\200F''']) v;
SELECT pg_temp.tried('customer_reference', v) FROM unnest(ARRAY['U&''\00A0rent 1\3000''', 'U&''\200F''']) v;
SELECT pg_temp.tried('language', v) FROM unnest(ARRAY['U&''ar\200E''', 'U&''\200F''']) v;
-- what stands in a name stays: joiners are part of the spelling
SELECT mf_test.undone($$INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', U&'\0645\06CC\200C\062E', 1) RETURNING customer_name = U&'\0645\06CC\200C\062E'$$);
SELECT pg_temp.tried('mobile_country_code', v) FROM unnest(ARRAY['''+965''', '''965''', '''00965''', '''٩٦٥''', ''' + 9 6 5 ''', '''''', '''+''', '''00''', '''12345''', '''*965''', '''KW''']) v;
CREATE SERVER egypt FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY');
SELECT mf_test.undone($$INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_mobile) VALUES ('egypt', 'x', 1, 'SMS', '123') RETURNING mobile_country_code$$);
DROP SERVER egypt;
SELECT pg_temp.tried('display_currency_iso', v) FROM unnest(ARRAY['''kwd''', ''' SAR ''', '''USD''', '''KD''', '''''']) v;
SELECT pg_temp.tried('language', v) FROM unnest(ARRAY['''ar''', '''En''', '''FR''', '''''']) v;

-- Texts
SELECT pg_temp.tried('customer_reference', v) FROM unnest(ARRAY[''' rent 1 ''', '''''', 'repeat(''ع'', 101)']) v;
SELECT pg_temp.tried('customer_civil_id', v) FROM unnest(ARRAY[''' 1 ''', 'repeat(''1'', 501)']) v;
SELECT pg_temp.tried('user_defined_field', v) FROM unnest(ARRAY[''' kept as it is ''', 'repeat(''x'', 501)', '''CK-'' || repeat(''x'', 48)', '''CK-'' || repeat(''x'', 4)', '''ck-'' || repeat(''x'', 48)']) v;
SELECT pg_temp.tried('source_info', 'repeat(''x'', 501)');

-- Where the customer and the events go
SELECT pg_temp.tried('call_back_url', v) FROM unnest(ARRAY[''' https://example.com/paid?a=b ''', '''HTTP://EXAMPLE.COM''', '''http://example.com:8080''', '''http://localhost.example.com/''',
	'''example.com''', '''ftp://example.com''', '''javascript:alert(1)''', '''https://''', '''https:///paid''', '''https://:80/''', '''https://?a''', '''http://exam ple.com''', 'E''http://example.com/\n/''',
	'''http://localhost''', '''https://LocalHost:8080/paid''', '''https://example.com/'' || repeat(''x'', 234)', '''https://example.com/'' || repeat(''x'', 235)']) v;
SELECT pg_temp.tried('call_back_url', v) FROM unnest(ARRAY['''http://localhost./''', '''http://LOCALHOST.:80/''', '''http://shop.localhost/''', '''http://%6cocalhost/''',
	'''http://0.0.0.0/''', '''http://[::1]/''', '''http://[::1]:8080/''', '''http://[::]/''', '''http://[::ffff:127.0.0.1]/''', '''http://mylocalhost/''', '''http://192.168.1.7/paid''', '''http://[2001:db8::1]/''',
	'''http://a\@b/''', '''http://example.com\.evil.example/''', '''http://example.com/a\b''', '''http://example.com@evil.example/''', '''http://user:word@example.com/''', '''http://example.com/a@b''',
	'U&''https://example.com/\202Egpj.exe''', 'U&''https://example.com/\200B''', 'U&''https://ex\00ADample.com/''', 'U&''https://example.com/a\00A0b''', 'U&''\00A0https://example.com/\3000''', '''https://example.com/مدفوع''']) v;
SELECT pg_temp.tried(f, v) FROM unnest(ARRAY['error_url', 'webhook_url']) f, unnest(ARRAY['''example.com''', '''http://localhost/''', '''http://localhost./''', '''http://a\@b/''', 'U&''http://example.com/\202E''']) v;
SELECT pg_temp.tried('expiry_date', v) FROM unnest(ARRAY['''infinity''', '''-infinity''', '''10000-01-01''', '''9999-12-31 21:00+00''']) v;

-- Objects: members by the vendor's names, each of its kind
SELECT pg_temp.tried('customer_address', quote_literal(v)) FROM unnest(ARRAY['{}', '{"Block": null}', '{"Block": "1", "Street": "Gulf"}', '[]', '"Gulf 7"', '5', 'null',
	'{"Blok": "1"}', '{"block": "1"}', '{"Block": 1}', '{"Block": {"a": 1}}', '{"": ""}']) v;
SELECT pg_temp.tried('processing_details', quote_literal(v)) FROM unnest(ARRAY['{"AutoCapture": false}', '{"AutoCapture": null}', '{"AutoCapture": "false"}', '{"Bypass3DS": true}', 'true']) v;
SELECT pg_temp.tried('shipping_method', v) FROM unnest(ARRAY['0::int2', '3::int2', '1::int2']) v;
SELECT pg_temp.tried('shipping_method shipping_consignee', '2::int2', quote_literal(v)) FROM unnest(ARRAY['[]', '{}']) v;
SELECT pg_temp.tried('shipping_consignee', quote_literal('{"PersonName": "A", "Mobile": "1", "LineAddress": "L", "CityName": "C", "CountryCode": "KW"}'::jsonb - m))
FROM unnest(ARRAY['', 'PersonName', 'Mobile', 'LineAddress', 'CityName', 'CountryCode']) m;
SELECT pg_temp.tried('shipping_consignee', quote_literal('{"PersonName": "A", "Mobile": "1", "LineAddress": "L", "CityName": "C", "CountryCode": "KW"}'::jsonb || v::jsonb))
FROM unnest(ARRAY['{"PostalCode": "1", "EmailAddress": null}', '{"PersonName": ""}', '{"CityName": null}', '{"PostalCode": 1}', '{"Fax": "1"}']) v;

-- Lists of objects
SELECT pg_temp.tried('invoice_items', quote_literal(v)) FROM unnest(ARRAY['[]', '{}', 'null', '"x"', '[5]', '[null]', '[[]]', '[{}]', '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 10}, 7]']) v;
SELECT pg_temp.tried('invoice_items', quote_literal(jsonb_build_array('{"ItemName": "a", "Quantity": 1, "UnitPrice": 10}'::jsonb - m))) FROM unnest(ARRAY['ItemName', 'Quantity', 'UnitPrice']) m;
SELECT pg_temp.tried('invoice_items', quote_literal(jsonb_build_array('{"ItemName": "a", "Quantity": 1, "UnitPrice": 10}'::jsonb || v::jsonb)))
FROM unnest(ARRAY['{"ItemName": ""}', '{"ItemName": 5}', '{"ItemName": null}', '{"Quantity": 0}', '{"Quantity": -1}', '{"Quantity": 1.5}', '{"Quantity": 1.0}', '{"Quantity": 1.00}', '{"Quantity": 1.50}', '{"Quantity": 2147483647.00, "UnitPrice": 0}', '{"Quantity": 2147483648.00}', '{"Quantity": "1"}', '{"Quantity": null}',
	'{"UnitPrice": -10}', '{"UnitPrice": "10"}', '{"UnitPrice": 10.000}', '{"Weight": 100, "Width": 200, "Height": 160, "Depth": 200}', '{"Weight": 100.001}', '{"Width": 201}', '{"Height": 160.5}', '{"Depth": 201}',
	'{"Weight": -1}', '{"Weight": null}', '{"ItemName": " \u00a0\u200f"}', '{"Colour": "red"}', '{"Unit Price": 1}', '{"ItemName": "it''s"}']) v;
SELECT pg_temp.tried('invoice_value invoice_items', v, quote_literal(i)) FROM (VALUES
	('0.3', '[{"ItemName": "a", "Quantity": 3, "UnitPrice": 0.1}]'), ('0.300', '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 0.1}, {"ItemName": "b", "Quantity": 1, "UnitPrice": 0.2}]'),
	('10', '[{"ItemName": "a", "Quantity": 3, "UnitPrice": 3.333}]'), ('1', '[{"ItemName": "a", "Quantity": 2, "UnitPrice": 1}]'), ('0.001', '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 0}]'),
	('12345678.901', '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 12345678.901}]'), ('12345678.902', '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 12345678.901}]')) x(v, i);
SELECT pg_temp.tried('invoice_value invoice_items', '1001', $$(SELECT jsonb_agg('{"ItemName": "a", "Quantity": 1, "UnitPrice": 1}'::jsonb) FROM generate_series(1, 1001))$$);
SELECT left(pg_temp.tried('invoice_value invoice_items', '1000', $$(SELECT jsonb_agg('{"ItemName": "a", "Quantity": 1, "UnitPrice": 1}'::jsonb) FROM generate_series(1, 1000))$$), 160);
SELECT pg_temp.tried('invoice_value suppliers', '5', quote_literal(v)) FROM unnest(ARRAY['[{"SupplierCode": 1, "InvoiceShare": 5}]', '[]', '{}', '[{"SupplierCode": 1}]', '[{"InvoiceShare": 5}]', '[{"SupplierCode": "1", "InvoiceShare": 5}]',
	'[{"SupplierCode": 1.00, "InvoiceShare": 5.00}]', '[{"SupplierCode": 1.01, "InvoiceShare": 5}]', '[{"SupplierCode": 0, "InvoiceShare": 5}]', '[{"SupplierCode": 1, "InvoiceShare": -5}]', '[{"SupplierCode": 1, "InvoiceShare": 5, "ProposedShare": "x"}]', '[{"SupplierCode": 1, "InvoiceShare": 5, "Name": "x"}]',
	'[{"SupplierCode": 1, "InvoiceShare": 4.999}]', '[{"SupplierCode": 1, "InvoiceShare": 2.5}, {"SupplierCode": 2, "InvoiceShare": 2.500}]', '[{"SupplierCode": 1, "InvoiceShare": 5}, {"SupplierCode": 2, "InvoiceShare": 0.001}]',
	'[{"SupplierCode": 1, "InvoiceShare": 5, "ProposedShare": 5.00}]', '[{"SupplierCode": 1, "InvoiceShare": 5, "ProposedShare": 5.001}]']) v;
SELECT pg_temp.tried('invoice_payment_methods', v) FROM unnest(ARRAY['''{1,2}''', '''{}''', '''{NULL}''', '''{1,NULL}''', '''{0}''', '''{-1}''', '''{{1,2},{3,4}}''', '''[5:6]={1,2}''']) v;

-- Sizes: of each text and number in an object, of a list, of a field, and of the whole request, which says what is largest
SELECT pg_temp.tried('customer_address', format('jsonb_build_object(''Address'', repeat(%L, %s))', c, n)) FROM (VALUES ('ع', 1001), ('x', 1001), ('x', 300000)) x(c, n);
SELECT pg_temp.tried('customer_address', $$jsonb_build_object('Address', repeat('ع', 1000))$$) LIKE '%-> ok: %' AS taken;
SELECT pg_temp.tried('customer_address', $$jsonb_build_object('Address', repeat('x', 100000000))$$);
SELECT pg_temp.tried('customer_name', $$repeat('x', 100000000)$$);
SELECT pg_temp.tried('invoice_items', quote_literal(format('[{"ItemName": "a", "Quantity": 1, "UnitPrice": %s}]', n))) FROM unnest(ARRAY['1e100000', '10.' || repeat('0', 28), '10.' || repeat('0', 28) || '1']) n;
SELECT pg_temp.tried('invoice_payment_methods', $$array_fill(1, ARRAY[101])$$);
SELECT pg_temp.tried('invoice_value invoice_items', n::text, format('(SELECT jsonb_agg(jsonb_build_object(''ItemName'', repeat(%s, 800), ''Quantity'', 1, ''UnitPrice'', 1)) FROM generate_series(1, %s))', c, n))
FROM (VALUES ($$'x'$$, 80), ('chr(1)', 14)) x(c, n);
SELECT left(pg_temp.tried('invoice_value invoice_items', '70', $$(SELECT jsonb_agg(jsonb_build_object('ItemName', repeat('x', 800), 'Quantity', 1, 'UnitPrice', 1)) FROM generate_series(1, 70))$$), 160);

-- A price list with numeric(10,2) columns: whole numbers go out as such
SELECT invoice_id > 0 AS sent FROM mf_send_payment('x', 10, customer_reference => 'whole', invoice_items => '[{"ItemName": "a", "Quantity": 2.00, "UnitPrice": 5.00}]',
	suppliers => '[{"SupplierCode": 3.0, "InvoiceShare": 5.50}, {"SupplierCode": 4, "InvoiceShare": 4.5}]');
SELECT body::jsonb -> 'InvoiceItems' AS items, body::jsonb -> 'Suppliers' AS suppliers FROM mf_test.requests() WHERE body::jsonb ->> 'CustomerReference' = 'whole';

-- Drivers learn the column, and of many rows the one by the user's own reference.
CREATE FUNCTION pg_temp.told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	names text;
	tables text;
	contexts text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS names = COLUMN_NAME, tables = TABLE_NAME, contexts = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws(' | ', SQLSTATE, nullif(tables, ''), nullif(names, ''), SQLERRM) || E'\n  ' || CASE WHEN contexts LIKE 'invoice %' THEN split_part(contexts, E'\n', 1) ELSE 'no context' END;
END
$$;
SELECT pg_temp.told($$INSERT INTO mf_invoice (account, customer_name, invoice_value, customer_reference) SELECT 'held', 'x', v, 'flat ' || v FROM unnest(ARRAY[3, 2, -1, 4]) v$$);
SELECT pg_temp.told(format('INSERT INTO mf_invoice (account, customer_name, invoice_value, customer_reference, %s) VALUES (''held'', ''x'', 1, ''flat 7'', %s)', c, v))
FROM (VALUES ('customer_email', '''x'''), ('customer_mobile', '''x'''), ('mobile_country_code', '''x'''), ('notification_option', '''x'''), ('notification_option', '''EML'''), ('display_currency_iso', '''x'''),
	('call_back_url', '''x'''), ('error_url', '''http://a\@b/'''), ('webhook_url', '''http://localhost./'''), ('expiry_date', '''infinity'''), ('expiry_date', '''2000-01-01'''), ('customer_address', '''[]'''), ('customer_address', '''{"x": 1}'''),
	('invoice_items', '''[{"ItemName": "a", "Quantity": 1, "UnitPrice": 2}]'''), ('invoice_items', '''[{"ItemName": "a", "Quantity": 1.5, "UnitPrice": 1}]'''), ('suppliers', '''[{}]'''), ('shipping_method', '7'), ('shipping_method', '1'),
	('invoice_payment_methods', '''{0}'''), ('user_defined_field', 'repeat(''x'', 501)'), ('send_at', '''infinity'''), ('priority', '101'), ('status', '''sent''')) x(c, v);
SELECT pg_temp.told($$INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', '', 1)$$);
SELECT pg_temp.told(format('UPDATE mf_invoice SET customer_reference = ''flat 9'', invoice_value = 0 WHERE id = %s', :base));
SELECT pg_temp.told($$SELECT mf_send_payment('x', 0)$$);

-- A row that a trigger of the user's skips is not there, and that is no error.
CREATE FUNCTION pg_temp.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER skip BEFORE INSERT ON mf_invoice FOR EACH ROW WHEN (NEW.customer_name = 'skip') EXECUTE FUNCTION pg_temp.skip();
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'skip', 1) RETURNING customer_name;
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'skip', 1), ('held', 'keep', 2), ('held', 'skip', 3) RETURNING customer_name;
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name = 'keep';
DELETE FROM mf_invoice WHERE customer_name = 'keep';
DROP TRIGGER skip ON mf_invoice;

-- The rest of the row stands.
SELECT customer_name, invoice_value, status FROM mf_invoice WHERE id = :base;
SELECT mf_cancel(:base);
DELETE FROM mf_invoice WHERE id = :base;
SELECT mf_resume('held');
DROP SERVER held CASCADE;
