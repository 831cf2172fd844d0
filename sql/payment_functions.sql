-- The doors of payments: errors and hints, rights, and who may write the results
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice, regress_mf_bob;
RESET client_min_messages;
CREATE ROLE regress_mf_alice IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_bob IN ROLE myfatoorah_inbound;

-- mf_webhook
SELECT mf_test.try($$SELECT mf_webhook(NULL, 'x', 'v2')$$);
SELECT mf_test.try($$SELECT mf_webhook('{}', 'x', 'v2', NULL)$$);
SELECT mf_test.try($$SELECT mf_webhook('{}', 'x', 'v2', 'nobody')$$);
SELECT mf_test.try(format('SELECT mf_webhook(%L, ''x'', ''v2'')', v)) FROM unnest(ARRAY['', '{}', '[]', 'null', '{"Event":1}', '{"Event":{"Code":1},"Data":{']) v;
SELECT mf_test.try($$SELECT mf_webhook('{"Event":{"Code":3,"Name":"BALANCE_TRANSFERRED"},"Data":{"Deposit":{"Reference":"1","ValueInBaseCurrency":"1","NumberOfTransactions":"1"}}}', NULL)$$);
SELECT mf_test.try($$SELECT mf_webhook('{"Event":{"Code":3,"Name":"BALANCE_TRANSFERRED"},"Data":{"Deposit":{"Reference":"1","ValueInBaseCurrency":"1","NumberOfTransactions":"1"}}}', 'AAAA', 'v2')$$);

-- mf_callback
SELECT mf_test.try($$SELECT mf_callback(NULL)$$);
SELECT mf_test.try($$SELECT mf_callback('1', NULL)$$);
SELECT mf_test.try($$SELECT mf_callback('1', 'nobody')$$);
SELECT mf_test.try(format('SELECT mf_callback(%L)', v)) FROM unnest(ARRAY['', ' ', '1 2', '1''', '07-1', repeat('1', 65)]) v;
SELECT count(*) AS events FROM mf_event WHERE source <> 'plan';

-- mf_refresh and mf_wait
INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('payment held', 1, now() + interval '1 day') RETURNING customer_name, payment_status;
SELECT id AS held FROM mf_invoice WHERE customer_name = 'payment held' \gset
SELECT mf_test.try($$SELECT mf_refresh(NULL)$$);
SELECT mf_test.try($$SELECT mf_refresh(0)$$);
SELECT regexp_replace(mf_test.try(format('SELECT mf_refresh(%s)', :held)), 'invoice \d+', 'invoice N');
SELECT mf_test.try($$SELECT mf_wait(NULL)$$);
SELECT mf_test.try($$SELECT mf_wait(0, NULL)$$);
SELECT mf_test.try($$SELECT mf_wait(0, '0')$$);
SELECT mf_test.try($$SELECT mf_wait(0, '0', 'Sent')$$);
SELECT mf_test.try($$SELECT mf_wait(0, '0', NULL, 'Paid')$$);
SELECT changed, status_now, payment_status_now FROM mf_wait(:held, '0');
SELECT changed, status_now, payment_status_now FROM mf_wait(:held, '0', 'queued', 'unpaid');
SELECT changed FROM mf_wait(:held, '-1 hour', 'sent');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mf_wait(1, '0');
ROLLBACK;

-- Who does not see a row cannot ask for it, nor wait for it.
ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mf_invoice USING (created_by = current_user);
SET ROLE regress_mf_alice;
SELECT regexp_replace(mf_test.try(format('SELECT mf_refresh(%s)', :held)), 'invoice \d+', 'invoice N');
SELECT regexp_replace(mf_test.try(format('SELECT mf_wait(%s, ''0'')', :held)), 'invoice \d+', 'invoice N');
SELECT mf_test.try($$SELECT mf_webhook('{}', 'x')$$);
SELECT mf_test.try($$SELECT mf_callback('1')$$);
SET ROLE regress_mf_bob;
SELECT mf_test.try($$SELECT mf_refresh(1)$$);
SELECT mf_test.try($$SELECT mf_wait(1)$$);
RESET ROLE;
DROP POLICY own ON mf_invoice;
ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY;

-- The results are the worker's: not even a superuser writes them by hand.
SELECT c, mf_test.try(format('UPDATE mf_invoice SET %I = %s WHERE id = %s', c, v, :held))
FROM (VALUES ('payment_status', $$'paid'$$), ('paid_at', 'now()'), ('invoice_status', $$'Paid'$$), ('payment_id', $$'1'$$),
	('base_currency', $$'KWD'$$), ('base_value', '1'), ('display_currency', $$'KWD'$$), ('display_value', '1'), ('pay_currency', $$'KWD'$$),
	('pay_value', '1'), ('refunded_value', '1'), ('overpaid', 'true'), ('paid_late', 'true'),
	('currency', $$'SAR'$$), ('received_value', '1'), ('net_value', '1'), ('disputed_at', 'now()'), ('expires_at', 'now()'), ('payment_doubt', $$'x'$$)) AS v(c, v);
SELECT c, mf_test.try(format('INSERT INTO mf_invoice (customer_name, invoice_value, %I) VALUES (''x'', 1, %s)', c, v))
FROM (VALUES ('payment_status', $$'paid'$$), ('payment_id', $$'1'$$), ('base_value', '1'), ('overpaid', 'true'),
	('refunded_value', '1'), ('refunded_value', 'NULL'), ('currency', $$'KWD'$$), ('received_value', '1'), ('net_value', '0.001'), ('expires_at', 'now()')) AS v(c, v);

-- Everything says what it is.
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = 'mf_invoice'::regclass AND col_description(c.oid, a.attnum) IS NULL;
SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
WHERE c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT p.proname FROM pg_proc p WHERE p.proname IN ('mf_webhook', 'mf_callback', 'mf_refresh', 'mf_wait') AND obj_description(p.oid, 'pg_proc') IS NULL;

SELECT mf_cancel(:held);
DELETE FROM mf_invoice WHERE id = :held;
DROP OWNED BY regress_mf_alice, regress_mf_bob;
DROP ROLE regress_mf_alice, regress_mf_bob;
