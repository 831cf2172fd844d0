-- Sending: from an inserted row to an invoice with its link, or to a refusal; in which order, and how fast
\pset format unaligned
CALL mf_test.reset_sandbox();
SELECT coalesce(max(id), 0) AS first FROM mf_invoice \gset
SELECT set_config('mf_test.first', :'first', false) IS NOT NULL AS noted;
-- the rows of this test, by their names
CREATE VIEW pg_temp.mine AS SELECT * FROM mf_invoice WHERE id > current_setting('mf_test.first')::bigint;
CREATE TEMP VIEW request AS SELECT r.*, i.customer_name AS name, i.id FROM mf_test.requests() r JOIN pg_temp.mine i ON i.reference LIKE regexp_replace(r.reference, '~[0-9]+$', '') || '%';

-- Accepted
INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, user_defined_field) VALUES ('accepted', 250.000, 'rent-1', 'flat 12');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'accepted')$$);
SELECT i.status, i.payment_status, i.invoice_id = r.invoice_id AS id, regexp_replace(i.invoice_url, '^http://[^/]*/KWT/ie/[0-9]+-[0-9a-f]+$', 'URL') AS url,
	i.sent_at BETWEEN i.created_at AND clock_timestamp() AS sent_at, i.paid_at, i.last_error, i.attempts, i.reference = r.reference AS reference, i.cancel_requested, i.duplicate_suspected
FROM pg_temp.mine i JOIN pg_temp.request r USING (id) WHERE i.customer_name = 'accepted';
SELECT mf_test.masked(body) FROM pg_temp.request WHERE name = 'accepted';
SELECT a.attempt, a.reference = r.reference AS reference, a.body_sha256 = sha256(r.body::bytea) AS digest, a.started_at <= a.finished_at AS in_order, a.send_by > a.started_at AS send_by,
	a.outcome, a.http_status, a.invoice_id = r.invoice_id AS invoice_id, a.invoice_url = i.invoice_url AS invoice_url, a.error
FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice JOIN pg_temp.request r ON r.id = i.id WHERE i.customer_name = 'accepted';
SELECT h.actor, h.from_status, h.to_status, h.attempt, h.reason FROM mf_history h JOIN pg_temp.mine i ON i.id = h.invoice WHERE i.customer_name = 'accepted' ORDER BY h.changed_at;
SELECT count(*) AS on_agenda FROM mf_queue q JOIN pg_temp.mine i ON i.id = q.invoice;
SELECT s.customer_reference = i.reference AS known_there, s.invoice_value FROM pg_temp.mine i, mf_payment_status(i.invoice_id::text, 'InvoiceId') s;

-- Everything that a row may ask for goes out as by a direct call.
INSERT INTO mf_invoice (customer_name, invoice_value, notification_option, customer_email, customer_mobile, mobile_country_code, display_currency_iso, language, customer_civil_id,
	user_defined_field, call_back_url, error_url, webhook_url, expiry_date, customer_address, invoice_items, shipping_method, shipping_consignee, suppliers, processing_details,
	invoice_payment_methods, source_info)
VALUES ('everything', 12.500, 'ALL', 'ahmad@example.com', '99999999', '+965', 'KWD', 'AR', '289010112345', 'flat 12', 'https://www.example.com/paid', 'https://www.example.com/failed',
	'https://www.example.com/hook', '2030-01-31 12:34:56+00', '{"Block": "1"}', '[{"ItemName": "Rent", "Quantity": 1, "UnitPrice": 12.500}]', 1,
	'{"PersonName": "Ahmad", "Mobile": "99999999", "LineAddress": "Gulf 7", "CityName": "Kuwait", "CountryCode": "KW"}', '[{"SupplierCode": 3, "InvoiceShare": 12.5}]',
	'{"AutoCapture": false}', '{1, 2}', 'pg');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'everything')$$);
SELECT mf_test.masked(body) FROM pg_temp.request WHERE name = 'everything';

-- Many at once, of several transactions: each exactly once
INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'many', i FROM generate_series(1, 150) i;
DO $$ BEGIN FOR i IN 151 .. 170 LOOP INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('many', i); COMMIT; END LOOP; END $$;
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = 'many' AND status <> 'sent')$$, 60);
SELECT count(*), count(DISTINCT invoice_id), sum(invoice_value), min(attempts), max(attempts) FROM pg_temp.mine WHERE customer_name = 'many';
SELECT count(*), count(DISTINCT reference), count(DISTINCT invoice_id) FROM pg_temp.request WHERE name = 'many';
-- what is rolled back is not sent, nor what a savepoint undoes
BEGIN;
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('rolled back', 1);
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('rolled back', 1);
ROLLBACK TO a;
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('committed', 1);
COMMIT;
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'committed')$$);
SELECT body::jsonb->>'CustomerName' AS name, count(*) FROM mf_test.requests() GROUP BY 1 ORDER BY 1;

-- Refused: the vendor's words are kept, the others go on
CALL mf_test.fault('{"name": "bad", "shape": 1, "times": -1}');
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('good', 1), ('[fault:bad]', 1), ('good', 2);
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name IN ('good', '[fault:bad]') AND status NOT IN ('sent', 'rejected'))$$);
SELECT customer_name, status, last_error, attempts, invoice_id IS NULL AS no_id, sent_at IS NULL AS not_sent FROM pg_temp.mine WHERE customer_name IN ('good', '[fault:bad]') ORDER BY id;
SELECT a.outcome, a.http_status, a.error, h.from_status, h.to_status, h.reason FROM mf_attempt a JOIN pg_temp.mine i ON i.id = a.invoice JOIN mf_history h ON h.invoice = i.id AND h.to_status = 'rejected'
WHERE i.customer_name = '[fault:bad]';
SELECT count(*) AS on_agenda FROM mf_queue q JOIN pg_temp.mine i ON i.id = q.invoice;

-- Order: due date and priority, ten minutes a step; a date in the past is no merit; what is not due waits however urgent it is
CREATE SERVER slow FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', max_in_flight '1');
DO $$
BEGIN
	EXECUTE format('ALTER SERVER slow OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER slow OPTIONS (api_key_file %L)', mf_test.setting('key_file'));
END
$$;
SELECT mf_pause('slow');
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, priority) VALUES
	('slow', '4 now', 1, now(), 0), ('slow', '1 urgent', 1, now(), 100), ('slow', '2 a bit urgent', 1, now(), 1), ('slow', '5 late', 1, now() - interval '15 min', 0),
	('slow', '3 late and a bit urgent', 1, now() - interval '15 min', 1), ('slow', '7 just due', 1, now() + interval '10 ms', 0), ('slow', 'tomorrow', 1, now() + interval '1 day', 100),
	('slow', '6 last year', 1, now() - interval '1 year', 0);
SELECT mf_resume('slow');
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE account = 'slow' AND status <> 'sent' AND customer_name <> 'tomorrow')$$);
SELECT name FROM pg_temp.request JOIN pg_temp.mine USING (id) WHERE account = 'slow' ORDER BY seq;
SELECT status, (SELECT kind FROM mf_queue WHERE invoice = id) AS agenda FROM pg_temp.mine WHERE customer_name = 'tomorrow';
-- and goes when it is made due
UPDATE pg_temp.mine SET send_at = now() WHERE customer_name = 'tomorrow';
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'tomorrow')$$);
-- or when its time has come
INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at) VALUES ('slow', 'soon', 1, now() + interval '700 ms');
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'soon')$$);
SELECT to_timestamp((e->>'wall_us')::numeric / 1000000) >= send_at AS not_early FROM pg_temp.mine, jsonb_array_elements(mf_test.sandbox('ledger')->'entries') e
WHERE customer_name = 'soon' AND e->>'reference' = reference;

-- No more in the air than allowed
ALTER SERVER slow OPTIONS (SET max_in_flight '3');
CALL mf_test.fault('{"name": "slow", "delay_ms": 200}');
INSERT INTO mf_invoice (account, customer_name, invoice_value) SELECT 'slow', '[fault:slow]', i FROM generate_series(1, 9) i;
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = '[fault:slow]' AND status <> 'sent')$$);
WITH e AS (SELECT (e->>'complete_us')::bigint AS b, (e->>'answered_us')::bigint AS e FROM jsonb_array_elements(mf_test.sandbox('ledger?path=SendPayment')->'entries') e WHERE e->>'body' LIKE '%[fault:slow]%')
SELECT count(*), max((SELECT count(*) FROM e o WHERE o.b <= e.b AND o.e > e.b)) BETWEEN 2 AND 3 AS at_the_same_time FROM e;
-- nor faster than allowed: 4 per second let the second four of eight go within a second
ALTER SERVER slow OPTIONS (SET max_in_flight '50', ADD rate_limit '4');
INSERT INTO mf_invoice (account, customer_name, invoice_value) SELECT 'slow', 'rate', i FROM generate_series(1, 8) i;
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = 'rate' AND status <> 'sent')$$);
WITH e AS (SELECT (e->>'first_us')::bigint AS at FROM jsonb_array_elements(mf_test.sandbox('ledger?path=SendPayment')->'entries') e WHERE e->>'body' LIKE '%"rate"%')
SELECT count(*), max(at) - min(at) >= 900000 AS slowly FROM e;

-- What the worker shows of itself
SELECT database = current_database() AS database, pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND datname = current_database()) AS pid,
	started_at < now() AS started, in_flight, wakeups > 0 AS wakeups, transactions > 0 AS transactions, requests >= 190 AS requests, last_error
FROM mf_worker_status;
SELECT count(*) AS backlog FROM mf_backlog;
-- nobody waits for long
SELECT count(*) AS late FROM pg_temp.mine WHERE sent_at > greatest(send_at, created_at) + interval '30 s' AND account = 'myfatoorah';
DROP SERVER slow CASCADE;
