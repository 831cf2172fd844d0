-- mf_check(): what it finds, and how to mend it
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice;
RESET client_min_messages;
CALL mf_test.reset_sandbox();
CREATE FUNCTION pg_temp.checked(account text DEFAULT 'myfatoorah') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT mf_test.masked(format('%s %s: %s%s', CASE WHEN c.ok THEN 'ok ' ELSE 'BAD' END, c.item, c.detail, E'\n         ' || c.hint))
	FROM mf_check(account) WITH ORDINALITY c(item, ok, detail, hint, n)
	WHERE c.item NOT IN ('library', 'worker', 'durability')
	ORDER BY c.n
$$;

-- All well
SELECT item, ok, regexp_replace(detail, '(with|process) .*', '\1 ...') AS detail, hint FROM mf_check() WHERE item IN ('library', 'worker');
SELECT ok = (current_setting('fsync') = 'on') AS fsync_told, (hint IS NULL) = ok AS with_hint FROM mf_check() WHERE item = 'durability';
SELECT pg_temp.checked();
SELECT item, count(*) FROM mf_check() GROUP BY item ORDER BY item;

-- Paused, by a person or for all
CREATE FUNCTION pg_temp.sending(account text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(concat_ws(E'\n  ', ok, detail, hint), '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+( ?[A-Z]+|[+-][0-9:]+)?|[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9:.]+ [0-9]{4} [A-Z]+', 'TIME')
	FROM mf_check(account) WHERE item = 'sending'
$$;
SELECT mf_pause('myfatoorah', 'new prices');
SELECT pg_temp.sending('myfatoorah');
SELECT mf_pause('*');
SELECT pg_temp.sending('myfatoorah');
SELECT mf_resume('myfatoorah');
SELECT pg_temp.sending('myfatoorah');
SELECT mf_resume('*');
SELECT pg_temp.sending('myfatoorah');

-- It makes no invoice. (The worker may ask about those of other tests meanwhile.)
SELECT count(*) AS sent FROM mf_test.requests();
SELECT DISTINCT body FROM mf_test.requests('GetPaymentStatus') WHERE NOT EXISTS (SELECT FROM mf_invoice i WHERE i.invoice_id::text = body::jsonb->>'Key');
SELECT mf_test.sandbox('invoices')->'invoices' AS invoices;

-- The set-up of the account
SELECT pg_temp.checked('nowhere');
SELECT pg_temp.checked('');
CREATE SERVER trouble FOREIGN DATA WRAPPER myfatoorah;
SELECT pg_temp.checked('trouble');
ALTER SERVER trouble OPTIONS (ADD country 'KWT', ADD base_url 'http://127.0.0.1:1');
SELECT pg_temp.checked('trouble');
CREATE USER MAPPING FOR PUBLIC SERVER trouble OPTIONS (api_key_file 'mf_regress_no_such.key');
SELECT pg_temp.checked('trouble');
ALTER USER MAPPING FOR PUBLIC SERVER trouble OPTIONS (DROP api_key_file, ADD api_key 'WRONG-KEY');

-- Rights
CREATE ROLE regress_mf_alice;
SET ROLE regress_mf_alice;
SELECT * FROM mf_check('trouble');
RESET ROLE;
GRANT myfatoorah_submit TO regress_mf_alice;
SET ROLE regress_mf_alice;
SELECT pg_temp.checked('trouble');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER trouble TO regress_mf_alice;
SET ROLE regress_mf_alice;
SELECT pg_temp.checked('trouble');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER trouble FROM regress_mf_alice;
DROP ROLE regress_mf_alice;

-- The network: a name that does not exist (names below .invalid never do), a port where nobody listens, TLS where there is none
ALTER SERVER trouble OPTIONS (SET base_url 'https://mf.invalid', ADD connect_timeout '5s');
SELECT item, ok, detail ~ '^(could not look up mf\.invalid: |the name lookup of mf\.invalid did not end )' AS named, hint
FROM mf_check('trouble') WHERE item = 'network';
ALTER SERVER trouble OPTIONS (SET base_url 'https://127.0.0.1:1');
SELECT pg_temp.checked('trouble');
DO $$ BEGIN EXECUTE format('ALTER SERVER trouble OPTIONS (SET base_url %L)', replace(mf_test.setting('sandbox_url'), 'http:', 'https:')); END $$;
SELECT pg_temp.checked('trouble');

-- The key
DO $$ BEGIN EXECUTE format('ALTER SERVER trouble OPTIONS (SET base_url %L)', mf_test.setting('sandbox_url')); END $$;
SELECT pg_temp.checked('trouble');
CALL mf_test.fault('{"shape": 8}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"shape": 6}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"shape": 5}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"status": 302, "headers": {"Location": "https://example.com/"}}');
SELECT pg_temp.checked();

-- The host answers, but with nothing that helps.
CALL mf_test.fault('{"status": 500, "body": "<html><h1>Oops</h1></html>", "content_type": "text/html"}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"status": 200, "body": "<html><h1>Welcome to our hotel</h1></html>", "content_type": "text/html"}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"status": 429, "body": {"Message": "API calls quota exceeded!"}}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"reset_answer_at": 0}');
SELECT pg_temp.checked();
CALL mf_test.fault('{"never": true}');
ALTER SERVER myfatoorah OPTIONS (ADD timeout '300ms');
SELECT pg_temp.checked();
ALTER SERVER myfatoorah OPTIONS (DROP timeout);
CALL mf_test.fault('{"status": 400, "body": {"IsSuccess": false, "Message": "Invalid data"}}');
SELECT pg_temp.checked();
-- an invoice of that number, which there is none of
CALL mf_test.fault('{"status": 200, "body": {"IsSuccess": true, "Data": {"InvoiceId": 5, "InvoiceStatus": "Pending", "InvoiceValue": 1, "CustomerReference": null}}}');
SELECT pg_temp.checked();

-- Addresses of the listener that requests cannot name
SET myfatoorah.public_url = 'https://localhost/pay';
SELECT item, ok, detail, hint FROM mf_check() WHERE item = 'webhooks';
SELECT mf_test.try($$SELECT mf_send_payment('Noura', 1, record => true)$$);
SET myfatoorah.public_url = 'https://pay.example.com';
SELECT item, ok, detail, hint FROM mf_check() WHERE item = 'webhooks';
RESET myfatoorah.public_url;

-- A cancel ends it.
CALL mf_test.fault('{"never": true}');
\set SHOW_CONTEXT never
SET statement_timeout = '300ms';
SELECT count(*) FROM mf_check();
RESET statement_timeout;
\set SHOW_CONTEXT errors
-- on a busy machine the time may have been over before the request left
CALL mf_test.reset_sandbox();
SELECT 'the session goes on' AS afterwards;

-- It can be called more than once in a query, and in any place.
SELECT item, ok FROM unnest(ARRAY['nowhere', 'trouble']) a, mf_check(a) WHERE item IN ('account', 'key');
SELECT mf_check('nowhere') OFFSET 4;
SELECT mf_test.try('SELECT mf_check(NULL)');
DROP SERVER trouble CASCADE;
