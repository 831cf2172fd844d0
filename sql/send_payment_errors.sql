-- mf_send_payment() when it fails: SQLSTATE, what is told, and what is left behind
\pset format unaligned
\pset tuples_only on
CALL mf_test.reset_sandbox();

-- One call that meets a fault. Its error says whether an invoice may exist, so tell how many do, and how often we asked.
CREATE FUNCTION pg_temp.failing(what text, fault text, arguments text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	CALL mf_test.reset_sandbox();
	CALL mf_test.fault(fault);
	result := mf_test.try(format($f$SELECT r FROM mf_send_payment('x', 1, customer_reference => 'ours' %s) r$f$, arguments));
	result := replace(result, $h$Do not repeat the call yet. Look the invoice up in a few minutes: SELECT * FROM mf_payment_status('ours', 'CustomerReference', 'myfatoorah')$h$, '(LOOK UP ours)');
	result := replace(result, $h$No invoice was made, as far as can be seen. Run SELECT * FROM mf_check('myfatoorah') to find out why. Call again once SELECT * FROM mf_payment_status('ours', 'CustomerReference', 'myfatoorah') finds none.$h$, '(CHECK)');
	RETURN format(E'%s: %s\n  (requests: %s, invoices: %s)', what, result,
		(SELECT count(*) FROM mf_test.requests()), jsonb_array_length(mf_test.sandbox('invoices')->'invoices'));
END
$$;
CREATE FUNCTION pg_temp.answered(what text, status integer, body text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.failing(what, jsonb_build_object('status', status, 'body', body)::text)
$$;

-- The failure shapes of the vendor
SELECT pg_temp.failing('shape ' || n, format('{"shape": %s}', n)) FROM generate_series(1, 11) n;

-- Refusals: nothing was made
SELECT pg_temp.answered('several errors', 400, '{"IsSuccess": false, "Message": "Invalid data", "ValidationErrors": [{"Name": "CustomerMobile", "Error": "too long"}, {"Name": "InvoiceItems", "Error": ""}, {"Error": "no name"}, "odd", {}]}');
SELECT pg_temp.answered('message only', 422, '{"IsSuccess": false, "Message": "No."}');
SELECT pg_temp.answered('nothing said', 400, '{"IsSuccess": false}');
SELECT pg_temp.answered('line ends and controls', 400, '{"IsSuccess": false, "Message": "one\r\n\ttwo\u0007\u0000three"}');
SELECT pg_temp.answered('Arabic', 400, '{"IsSuccess": false, "Message": "قيمة الفاتورة غير صحيحة"}');
SELECT length(pg_temp.answered('long', 400, jsonb_build_object('IsSuccess', false, 'Message', repeat('long ', 1000))::text)) < 1300 AS shortened;

-- 4xx that do not say so: unknown
SELECT pg_temp.answered('HTML', 400, '<html><head><title>Bad</title></head><body>Bad   <b>request</b></body></html>');
SELECT pg_temp.answered('empty', 400, '');
SELECT pg_temp.answered('contradiction', 400, '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "ours"}}');
SELECT pg_temp.answered('text for a boolean', 400, '{"IsSuccess": "false", "Message": "odd"}');
SELECT pg_temp.answered('timeout there', 408, '{"IsSuccess": false, "Message": "slow"}');

-- The account's own trouble: nothing was made
SELECT pg_temp.answered('key', 401, '{"IsSuccess": false, "Message": "The token is not valid or it is expired!"}');
SELECT pg_temp.failing('moved', '{"status": 302, "headers": {"Location": "https://example.com/"}}');
SELECT pg_temp.failing('blocked', '{"status": 403, "body": "<html><h1>403 Forbidden</h1></html>", "content_type": "text/html"}');

-- Too many requests
SELECT pg_temp.failing('Retry-After ' || coalesce(v, 'absent'), jsonb_build_object('status', 429, 'body', '{"Message": "quota exceeded"}',
	'headers', CASE WHEN v IS NULL THEN '{}' ELSE jsonb_build_object('Retry-After', v) END)::text)
FROM unnest(ARRAY['7', '0', 'Fri, 01 Jan 2100 00:00:00 GMT', 'Fri, 01 Jan 1999 00:00:00 GMT', '999999999999', 'soon', '-1', NULL]) v;

-- Success that proves nothing: unknown
SELECT pg_temp.answered(what, 200, body) FROM (VALUES
	('HTML', '<html><body><h1>Welcome to our hotel</h1></body></html>'),
	('empty', ''),
	('not whole', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "ours"}'),
	('more than one', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "ours"}}{}'),
	('says no', '{"IsSuccess": false, "Message": "Sorry"}'),
	('says nothing', '{"Data": {"InvoiceId": 5, "CustomerReference": "ours"}}'),
	('says a word', '{"IsSuccess": "true", "Data": {"InvoiceId": 5, "CustomerReference": "ours"}}'),
	('no data', '{"IsSuccess": true, "Data": null}'),
	('no id', '{"IsSuccess": true, "Data": {"InvoiceURL": "https://example.com", "CustomerReference": "ours"}}'),
	('id null', '{"IsSuccess": true, "Data": {"InvoiceId": null, "CustomerReference": "ours"}}'),
	('id 0', '{"IsSuccess": true, "Data": {"InvoiceId": 0, "CustomerReference": "ours"}}'),
	('id negative', '{"IsSuccess": true, "Data": {"InvoiceId": -5, "CustomerReference": "ours"}}'),
	('id with decimals', '{"IsSuccess": true, "Data": {"InvoiceId": 5.5, "CustomerReference": "ours"}}'),
	('id too large', '{"IsSuccess": true, "Data": {"InvoiceId": 9999999999999999999, "CustomerReference": "ours"}}'),
	('id a list', '{"IsSuccess": true, "Data": {"InvoiceId": [5], "CustomerReference": "ours"}}'),
	('two ids', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "InvoiceId": 6, "CustomerReference": "ours"}}'),
	('another reference', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "theirs"}}'),
	('its case changed', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "OURS"}}'),
	('reference null', '{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": null}}'),
	('no reference', '{"IsSuccess": true, "Data": {"InvoiceId": 5}}')) v(what, body);

-- JSON that is hard to read
CREATE FUNCTION pg_temp.success(extra text) RETURNS text LANGUAGE sql AS $$
	SELECT format('{"IsSuccess": true, "Data": {"InvoiceId": 5, "CustomerReference": "ours", "UserDefinedField": "u", "X": %s}}', extra)
$$;
SELECT regexp_replace(pg_temp.answered(n || ' deep', 200, pg_temp.success(repeat('[', n) || repeat(']', n))), '\[\[.*?\n', E'[...\n')
FROM unnest(ARRAY[60, 65, 100, 10000]) n;
SELECT pg_temp.answered('zero character', 200, replace(pg_temp.success('"a\u0000b"'), '"u"', '"c\u0000d"'));
SELECT pg_temp.answered('half a surrogate pair', 200, replace(pg_temp.success('1'), '"u"', '"\ud83d"'));
-- bytes: @ stands for one that UTF-8 does not have, # for zero
CREATE FUNCTION pg_temp.answered_bytes(what text, status integer, body text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.failing(what, jsonb_build_object('status', status, 'body_base64',
		translate(encode(decode(replace(replace(replace(regexp_replace(encode(body::bytea, 'hex'), '..', '\& ', 'g'),
			'40 ', 'e9 '), '23 ', '00 '), ' ', ''), 'hex'), 'base64'), E'\n', ''))::text)
$$;
SELECT pg_temp.answered_bytes('not UTF-8', 200, replace(pg_temp.success('1'), '"u"', '"caf@"'));
SELECT pg_temp.answered_bytes('a zero byte inside', 200, replace(pg_temp.success('1'), '"u"', '"c#d"'));
SELECT pg_temp.answered_bytes('a zero byte at the end', 200, pg_temp.success('1') || '#');
SELECT pg_temp.answered_bytes('a refusal that is not UTF-8', 400, '{"IsSuccess": false, "Message": "caf@"}');

-- Servers in trouble: unknown, also when the invoice was made
SELECT pg_temp.answered('status ' || n, n, '{"IsSuccess": false, "Message": "Oops", "ValidationErrors": null}') FROM unnest(ARRAY[500, 502, 503, 599]) n;
SELECT pg_temp.failing('made, then failed', '{"create": true, "status": 500, "body": ""}');
SELECT pg_temp.failing('made, then reset', '{"create": true, "reset_answer_at": 0}');
SELECT pg_temp.failing('closed without an answer', '{"cut_answer_at": 0}');
SELECT pg_temp.failing('status line only', '{"cut_answer_at": 17}');
SELECT pg_temp.failing('head cut off', '{"cut_answer_at": 40}');
SELECT pg_temp.failing('body cut off', '{"status": 200, "body": "0123456789", "raw": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"IsSuccess\": true"}');
SELECT pg_temp.failing('no HTTP', '{"raw": "SSH-2.0-OpenSSH_9.2\r\n"}');
SELECT pg_temp.failing('request cut off', '{"reset_request_at": 10}');

-- No answer in time: unknown
ALTER SERVER myfatoorah OPTIONS (ADD timeout '300ms');
SELECT pg_temp.failing('never answered', '{"never": true}');
SELECT pg_temp.failing('answered too slowly', '{"stall_at": 30}');
SELECT pg_temp.failing('answered too late', '{"delay_ms": 1500}');
ALTER SERVER myfatoorah OPTIONS (DROP timeout);

-- What the hint says: the reference finds the invoice. A reference that needs quoting is quoted.
SELECT pg_temp.failing('unknown', '{"create": true, "status": 500}');
SELECT customer_reference, invoice_status, customer_name FROM mf_payment_status('ours', 'CustomerReference', 'myfatoorah');
CALL mf_test.fault('{"status": 500, "body": ""}');
SELECT mf_test.try($$SELECT mf_send_payment('x', 1, customer_reference => E'it''s \\ ours')$$);
CALL mf_test.fault('{"status": 500, "body": ""}');
SELECT mf_test.try($$SELECT mf_send_payment('x', 1)$$);

-- Nothing sent
CREATE SERVER unreachable FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
CREATE USER MAPPING FOR PUBLIC SERVER unreachable OPTIONS (api_key 'SEKRET-KEY');
SELECT pg_temp.failing('refused', '[]', $$, account => 'unreachable'$$);
DO $$ BEGIN EXECUTE format('ALTER SERVER unreachable OPTIONS (SET base_url %L)', replace(mf_test.setting('sandbox_url'), 'http:', 'https:')); END $$;
SELECT pg_temp.failing('no TLS there', '[]', $$, account => 'unreachable'$$);
DROP SERVER unreachable CASCADE;
CALL mf_test.reset_sandbox();
SELECT mf_test.try(call) FROM unnest(ARRAY['mf_send_payment(NULL, 1)', $$mf_send_payment('x', NULL)$$, $$mf_send_payment('x', 1, NULL)$$,
	$$mf_send_payment('x', 1, account => NULL)$$, $$mf_send_payment('', 1)$$, $$mf_send_payment('x', 1, expiry_date => '2020-01-01')$$]) c,
	LATERAL (SELECT 'SELECT ' || c) s(call);
SELECT count(*) FROM mf_test.requests();

-- A time limit holds within a second, and what may have happened is told in the context.
CALL mf_test.fault('{"never": true, "times": 2}');
SELECT clock_timestamp() AS started \gset
SET statement_timeout = '500ms';
SELECT mf_send_payment('x', 1, customer_reference => 'ours');
RESET statement_timeout;
SELECT clock_timestamp() - :'started'::timestamptz < '10 s' AS soon;
\set VERBOSITY sqlstate
SET statement_timeout = '500ms';
SELECT mf_send_payment('x', 1, customer_reference => 'ours');
RESET statement_timeout;
\set VERBOSITY default
-- the session can go on
SELECT customer_reference FROM mf_send_payment('x', 1, customer_reference => 'next');

-- A call is not undone by a rollback.
BEGIN;
SELECT customer_reference FROM mf_send_payment('x', 1, customer_reference => 'rolled back');
ROLLBACK;
SELECT invoice_status FROM mf_payment_status('rolled back', 'CustomerReference');
-- Hence not in a trigger, whatever stands between
CREATE TABLE pg_temp.tenant (name text);
CREATE FUNCTION pg_temp.inner_function() RETURNS text LANGUAGE sql AS $$ SELECT invoice_url FROM mf_send_payment('x', 1) $$;
CREATE FUNCTION pg_temp.trigger_function() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.inner_function(); RETURN NEW; END $$;
CREATE TRIGGER call AFTER INSERT ON pg_temp.tenant FOR EACH ROW EXECUTE FUNCTION pg_temp.trigger_function();
SELECT mf_test.try($$INSERT INTO pg_temp.tenant VALUES ('Ahmad')$$);
SELECT pg_temp.inner_function() IS NOT NULL AS outside;
