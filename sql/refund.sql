-- Refunds: rows of mf_refund, from the INSERT to the money; who may; what is refused; what people decide
\pset format unaligned
CALL mf_test.reset_sandbox();
SELECT set_config('mf_test.first', coalesce(max(id), 0)::text, false) IS NOT NULL AS noted FROM mf_invoice;
CREATE VIEW pg_temp.mine AS SELECT * FROM mf_invoice WHERE id > current_setting('mf_test.first')::bigint;
CREATE FUNCTION pg_temp.id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM pg_temp.mine WHERE customer_name = name $$;
-- an invoice that was sent and paid, and is known to be
CREATE PROCEDURE pg_temp.paid(name text, value numeric) LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	INSERT INTO mf_invoice (customer_name, invoice_value) VALUES (name, value);
	COMMIT;
	CALL mf_test.wait_for(format('EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = %L AND status = ''sent'')', name));
	SELECT invoice_id INTO number FROM pg_temp.mine WHERE customer_name = name;
	PERFORM mf_test.sandbox(format('invoices/%s/pay', number), '{}');
	PERFORM mf_refresh(pg_temp.id(name));
	COMMIT;
	CALL mf_test.wait_for(format('EXISTS (SELECT FROM pg_temp.mine WHERE customer_name = %L AND payment_status = ''paid'')', name));
END
$$;
CREATE FUNCTION pg_temp.state(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(r.value || ' ' || r.status, ', ' ORDER BY r.id) FROM mf_refund r WHERE r.invoice = pg_temp.id(name)
$$;
CREATE PROCEDURE pg_temp.wait_state(name text, state text) LANGUAGE plpgsql AS $$
BEGIN
	CALL mf_test.wait_for(format('pg_temp.state(%L) = %L', name, state));
END
$$;
CREATE FUNCTION pg_temp.decide(name text, action text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(mf_test.sandbox(format('refunds/%s/%s', r.refund_id, action), '{}')) FROM mf_refund r
	WHERE r.invoice = pg_temp.id(name) AND r.status = 'filed'
$$;

CALL pg_temp.paid('ali', 10);
SELECT mf_refundable(pg_temp.id('ali'));

-- From the INSERT to the request: one, with our reference
INSERT INTO mf_refund (invoice, value, comment) VALUES (pg_temp.id('ali'), 4, ' broken glass ')
	RETURNING value, account, currency, reference ~ '^[0-9a-z]{20}$' AS has_reference, status, attempts, comment, created_by = CURRENT_USER AS mine;
CALL pg_temp.wait_state('ali', '4 filed');
SELECT (q.body::jsonb - '{Key,ExternalIdentifier}'::text[])::text AS body, q.body::jsonb->>'Key' = i.invoice_id::text AS of_the_invoice,
	q.body::jsonb->>'ExternalIdentifier' = r.reference AS with_our_reference
	FROM mf_test.requests('MakeRefund') q, pg_temp.mine i JOIN mf_refund r ON r.invoice = i.id;
SELECT r.status, r.refund_id IS NOT NULL AS numbered, r.filed_at <= now() AS filed, r.refunded_at, r.refunded_value, r.attempts, r.last_error,
	i.payment_status, i.refunded_value FROM mf_refund r JOIN pg_temp.mine i ON i.id = r.invoice;
-- filed is not refunded, and cannot be refunded twice
SELECT mf_refundable(pg_temp.id('ali'));
SELECT pg_temp.decide('ali', 'approve');
SELECT mf_refresh(pg_temp.id('ali'));
CALL pg_temp.wait_state('ali', '4 refunded');
SELECT r.refund_reference ~ '^[0-9]+$' AS reference, r.refunded_value, r.rrn ~ '^[0-9]+$' AS rrn, r.refunded_at <= now() AS refunded, i.payment_status, i.received_value, i.refunded_value, i.net_value,
	mf_refundable(i.id) AS left FROM mf_refund r JOIN pg_temp.mine i ON i.id = r.invoice;
SELECT l.amount, l.currency, l.source = r.refund_id::text AS of_the_refund FROM mf_ledger l JOIN mf_refund r ON r.invoice = l.invoice WHERE l.kind = 'refund' AND l.invoice = pg_temp.id('ali');
SELECT actor, regexp_replace(reason, '[0-9]{3,}|refund [0-9]+', 'N', 'g') AS reason FROM mf_history WHERE invoice = pg_temp.id('ali') AND reason LIKE 'refund %' ORDER BY changed_at;

-- What is refused at once
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 6.001)', pg_temp.id('ali'))) ~ '^22023: invoice [0-9]+ has less than that to be refunded\n  detail: What is left is 6.000:' AS refused;
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 0)', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, ''NaN'')', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 1.0001)', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice) VALUES (%s)', pg_temp.id('ali')));
SELECT mf_test.try('INSERT INTO mf_refund (value) VALUES (1)');
SELECT mf_test.try('INSERT INTO mf_refund (invoice, value) VALUES (-5, 1)');
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, comment) VALUES (%s, 1, repeat(''x'', 501))', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, payment_id) VALUES (%s, 1, ''07'')', pg_temp.id('ali'))) ~ '^P0002: invoice [0-9]+ has no payment with PaymentId 07' AS refused;
SELECT mf_test.try(format('INSERT INTO mf_operation (invoice, value, kind) VALUES (%s, 1, ''capture'')', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, idempotency_key) VALUES (%s, 1, '' '')', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, status, refund_id) VALUES (%s, 1, ''filed'', 7)', pg_temp.id('ali')));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, suppliers) VALUES (%s, 2, ''[{"SupplierCode": 1, "SupplierDeductedAmount": 1}, {"SupplierCode": 1, "SupplierDeductedAmount": 1}]'')', pg_temp.id('ali')));
BEGIN;
INSERT INTO mf_refund (invoice, value, idempotency_key) VALUES (pg_temp.id('ali'), 1, ' as it is ') RETURNING quote_literal(idempotency_key) AS key;
ROLLBACK;
INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('later', 5, now() + interval '1 day');
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 1)', pg_temp.id('later'))) ~ 'What is left is 0:' AS refused;
SELECT mf_cancel(pg_temp.id('later'));

-- A second INSERT with the same key makes no second refund, and is no error even if nothing is left
INSERT INTO mf_refund (invoice, value, idempotency_key) VALUES (pg_temp.id('ali'), 6, 'return-7');
INSERT INTO mf_refund (invoice, value, idempotency_key) VALUES (pg_temp.id('ali'), 6, 'return-7') ON CONFLICT (account, idempotency_key) DO NOTHING;
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, idempotency_key) VALUES (%s, 6, ''return-7'')', pg_temp.id('ali'))) ~ '^23505:' AS refused;
CALL pg_temp.wait_state('ali', '4 refunded, 6 filed');
SELECT count(*) FROM mf_test.requests('MakeRefund');
SELECT pg_temp.decide('ali', 'approve');
SELECT mf_refresh(pg_temp.id('ali'));
CALL pg_temp.wait_state('ali', '4 refunded, 6 refunded');
SELECT payment_status, refunded_value, net_value FROM pg_temp.mine WHERE customer_name = 'ali';

-- Rejected by MyFatoorah: it can be refunded again
CALL pg_temp.paid('badr', 3);
INSERT INTO mf_refund (invoice, value, charge_on_customer) VALUES (pg_temp.id('badr'), 3, true);
CALL pg_temp.wait_state('badr', '3 filed');
SELECT (body::jsonb - '{Key,ExternalIdentifier}'::text[])::text AS body FROM mf_test.requests('MakeRefund') ORDER BY seq DESC LIMIT 1;
SELECT pg_temp.decide('badr', 'reject');
SELECT mf_refresh(pg_temp.id('badr'));
CALL pg_temp.wait_state('badr', '3 refused');
SELECT last_error, refunded_at, mf_refundable(invoice) FROM mf_refund WHERE invoice = pg_temp.id('badr');
SELECT mf_test.try(format('SELECT mf_retry_refund(%s, ''again'')', (SELECT id FROM mf_refund WHERE invoice = pg_temp.id('badr')))) ~ 'MyFatoorah has this refund. Insert a new one' AS refused;

-- Cancelled while it is queued; then it is not asked for
SELECT mf_pause();
INSERT INTO mf_refund (invoice, value) VALUES (pg_temp.id('badr'), 1), (pg_temp.id('badr'), 2);
SELECT mf_cancel_refund(id, 'a mistake') FROM mf_refund WHERE invoice = pg_temp.id('badr') AND value = 1;
SELECT mf_refundable(pg_temp.id('badr'));
SELECT mf_resume();
CALL pg_temp.wait_state('badr', '3 refused, 1 cancelled, 2 filed');
SELECT count(*) FROM mf_test.requests('MakeRefund') WHERE body::jsonb->>'Key' = (SELECT invoice_id::text FROM pg_temp.mine WHERE customer_name = 'badr');
SELECT regexp_replace(mf_test.try(format('SELECT mf_cancel_refund(%s)', id)), 'refund [0-9]+', 'refund N') FROM mf_refund WHERE invoice = pg_temp.id('badr') AND value = 2;
SELECT mf_test.try('SELECT mf_cancel_refund(-1)');

-- A refusal ends it; a person has it asked for again, under a new reference
CALL pg_temp.paid('dana', 5);
CALL mf_test.fault('{"path": "MakeRefund", "status": 400, "body": "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Amount\",\"Error\":\"Insufficient balance for vendor\"}],\"Data\":null}"}');
INSERT INTO mf_refund (invoice, value) VALUES (pg_temp.id('dana'), 5);
CALL pg_temp.wait_state('dana', '5 refused');
SELECT last_error, attempts FROM mf_refund WHERE invoice = pg_temp.id('dana');
SELECT mf_test.try(format('SELECT mf_retry_refund(%s, '' '')', id)) FROM mf_refund WHERE invoice = pg_temp.id('dana');
SELECT mf_retry_refund(id, 'balance topped up') FROM mf_refund WHERE invoice = pg_temp.id('dana');
CALL pg_temp.wait_state('dana', '5 filed');
SELECT attempts, reference ~ '~2$' AS new_reference FROM mf_refund WHERE invoice = pg_temp.id('dana');
SELECT a.attempt, a.outcome, a.http_status, a.error, a.refund_id = r.refund_id AS same FROM mf_operation_attempt a JOIN mf_refund r ON r.id = a.operation WHERE r.invoice = pg_temp.id('dana') ORDER BY 1;

-- While another one is being processed it waits
CALL pg_temp.paid('esra', 5);
CALL mf_test.fault('{"path": "MakeRefund", "status": 400, "body": "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"Key\",\"Error\":\"The transaction is already under processing!\"}],\"Data\":null}"}');
INSERT INTO mf_refund (invoice, value) VALUES (pg_temp.id('esra'), 2);
CALL mf_test.wait_for($$ (SELECT last_error IS NOT NULL FROM mf_refund WHERE invoice = pg_temp.id('esra')) $$);
SELECT r.status, r.last_error, o.due > now() AS later FROM mf_refund r JOIN mf_operation o USING (id) WHERE r.invoice = pg_temp.id('esra');
SELECT mf_resume();
CALL pg_temp.wait_state('esra', '2 filed');

-- Refunds made in the portal become rows, and take from what is left
CALL pg_temp.paid('fahd', 9);
SELECT mf_test.sandbox(format('invoices/%s/refund', (SELECT invoice_id FROM pg_temp.mine WHERE customer_name = 'fahd')), '{"amount": "7"}') IS NOT NULL AS refunded;
SELECT mf_refresh(pg_temp.id('fahd'));
CALL mf_test.wait_for($$ pg_temp.state('fahd') LIKE '7%refunded' $$);
SELECT r.created_by, r.reference, r.refund_id IS NOT NULL AS numbered, r.refunded_value, mf_refundable(r.invoice) AS left FROM mf_refund r WHERE r.invoice = pg_temp.id('fahd');
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 2.5)', pg_temp.id('fahd'))) ~ 'What is left is 2.000' AS refused;

-- One that was made there since leaves less than ours asks for
CALL pg_temp.paid('ghada', 4);
BEGIN;
INSERT INTO mf_refund (invoice, value) VALUES (pg_temp.id('ghada'), 4);
UPDATE mf_operation SET due = 'infinity' WHERE invoice = pg_temp.id('ghada');
COMMIT;
SELECT mf_test.sandbox(format('invoices/%s/refund', (SELECT invoice_id FROM pg_temp.mine WHERE customer_name = 'ghada')), '{"amount": "1"}') IS NOT NULL AS refunded;
SELECT mf_refresh(pg_temp.id('ghada'));
CALL mf_test.wait_for($$ (SELECT count(*) = 2 FROM mf_refund WHERE invoice = pg_temp.id('ghada')) $$);
SELECT mf_resume();
CALL mf_test.wait_for($$ pg_temp.state('ghada') LIKE '4 refused%' $$);
SELECT last_error FROM mf_refund WHERE invoice = pg_temp.id('ghada') AND value = 4;

-- Of two payments, one
CALL pg_temp.paid('huda', 2);
SELECT mf_test.sandbox(format('invoices/%s/pay', (SELECT invoice_id FROM pg_temp.mine WHERE customer_name = 'huda')), '{"duplicate": true}') IS NOT NULL AS paid;
SELECT mf_refresh(pg_temp.id('huda'));
CALL mf_test.wait_for($$ (SELECT received_value = 4 FROM pg_temp.mine WHERE customer_name = 'huda') $$);
SELECT mf_refundable(invoice), mf_refundable(invoice, payment_id) AS of_this_one FROM mf_ledger WHERE kind = 'payment' AND invoice = pg_temp.id('huda') ORDER BY id LIMIT 1;
SELECT mf_refundable(pg_temp.id('huda'), '0815'), mf_refundable(-1);
INSERT INTO mf_refund (invoice, value, payment_id) SELECT invoice, 2, payment_id FROM mf_ledger WHERE kind = 'payment' AND invoice = pg_temp.id('huda') ORDER BY id DESC LIMIT 1;
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, payment_id) VALUES (%s, 1, %L)', invoice, payment_id)) ~ 'What is left is 0' AS refused FROM mf_refund WHERE invoice = pg_temp.id('huda');
CALL pg_temp.wait_state('huda', '2 filed');
SELECT q.body::jsonb->>'KeyType' AS key_type, q.body::jsonb->>'Key' = r.payment_id AS of_the_payment FROM mf_test.requests('MakeRefund') q, mf_refund r WHERE r.invoice = pg_temp.id('huda') ORDER BY q.seq DESC LIMIT 1;

-- What suppliers bear
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, suppliers) VALUES (%s, 1, %L)', pg_temp.id('huda'), s)) FROM (VALUES ('{}'), ('[1]'), ('[{"SupplierCode": 1}]'),
	('[{"SupplierCode": 1, "SupplierDeductedAmount": -1}]'), ('[{"SupplierCode": 1, "SupplierDeductedAmount": 1.0001}]'), ('[{"SupplierCode": 1, "SupplierDeductedAmount": 0.5, "More": 1}]'),
	('[{"SupplierCode": 1, "SupplierDeductedAmount": 0.6}, {"SupplierCode": 2, "SupplierDeductedAmount": 0.6}]')) AS v(s);
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, suppliers) VALUES (%s, 1, %L)', pg_temp.id('huda'),
	(SELECT jsonb_agg('{"SupplierCode": 1, "SupplierDeductedAmount": 0.001}'::jsonb) FROM generate_series(1, 1000))));
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, charge_on_customer, suppliers) VALUES (%s, 1, true, %L)', pg_temp.id('huda'), '[{"SupplierCode": 1, "SupplierDeductedAmount": 0.6}]'));

-- The right is one of its own
SELECT pg_temp.id('huda') AS huda \gset
CREATE ROLE refund_submit IN ROLE myfatoorah_submit;
CREATE ROLE refund_cashier IN ROLE myfatoorah_submit, myfatoorah_refund;
CREATE ROLE refund_boss IN ROLE myfatoorah_operate;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO refund_submit, refund_cashier, refund_boss;
GRANT USAGE ON SCHEMA mf_test TO refund_submit, refund_cashier, refund_boss;
SET ROLE refund_submit;
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 1)', :huda));
SELECT mf_test.try('SELECT mf_cancel_refund(1)');
SELECT count(*) > 0 AS sees FROM mf_refund;
SET ROLE refund_cashier;
SELECT regexp_replace(mf_test.try(format('INSERT INTO mf_refund (invoice, value) VALUES (%s, 1)', :huda)), '[0-9]+|role ".*"', 'N', 'g');
SELECT mf_test.try(format('INSERT INTO mf_refund (invoice, value, status) VALUES (%s, 1, ''refunded'')', :huda));
SELECT mf_test.try(format('UPDATE mf_refund SET value = 1 WHERE invoice = %s', :huda));
SELECT mf_test.try(format('INSERT INTO mf_operation (invoice, value) VALUES (%s, 1)', :huda));
SET ROLE refund_boss;
INSERT INTO mf_refund (invoice, value) VALUES (:huda, 1) RETURNING created_by;
RESET ROLE;
CALL pg_temp.wait_state('huda', '2 filed, 1 filed');
-- whoever has lost the right since is not obeyed
SELECT mf_pause();
SET ROLE refund_boss;
INSERT INTO mf_refund (invoice, value) VALUES (:huda, 0.5);
RESET ROLE;
REVOKE myfatoorah_operate FROM refund_boss;
SELECT mf_resume();
CALL mf_test.wait_for($$ (SELECT last_error IS NOT NULL FROM mf_refund WHERE invoice = pg_temp.id('huda') AND value = 0.5) $$);
SELECT status, last_error FROM mf_refund WHERE invoice = pg_temp.id('huda') AND value = 0.5;
-- nor who may refund, but not this invoice any more
GRANT myfatoorah_refund TO refund_boss;
SELECT mf_resume();
CALL mf_test.wait_for($$ (SELECT last_error LIKE '%right to its invoice%' OR status <> 'queued' FROM mf_refund WHERE invoice = pg_temp.id('huda') AND value = 0.5) $$);
SELECT status, last_error FROM mf_refund WHERE invoice = pg_temp.id('huda') AND value = 0.5;
SELECT mf_cancel_refund(id) FROM mf_refund WHERE invoice = pg_temp.id('huda') AND value = 0.5;
REVOKE ALL ON FOREIGN SERVER myfatoorah FROM refund_submit, refund_cashier, refund_boss;
REVOKE ALL ON SCHEMA mf_test FROM refund_submit, refund_cashier, refund_boss;
DROP ROLE refund_submit, refund_cashier, refund_boss;

-- An invoice with an unfinished refund stays
SELECT regexp_replace(mf_test.try(format('DELETE FROM mf_invoice WHERE id = %s', pg_temp.id('huda'))), '[0-9]+|= [0-9]+', 'N', 'g');
SELECT count(*) FROM mf_refund WHERE status NOT IN ('filed', 'refunded', 'refused', 'cancelled');
-- the rest is carried out, and nothing is asked about any more
SELECT count(mf_test.sandbox(format('refunds/%s/approve', refund_id), '{}')) > 0 AS approved FROM mf_refund WHERE status = 'filed';
SELECT count(mf_refresh(invoice)) > 0 AS asked FROM (SELECT DISTINCT invoice FROM mf_refund WHERE status = 'filed') r;
CALL mf_test.wait_for($$ NOT EXISTS (SELECT FROM mf_operation WHERE due IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_inquiry WHERE urgent) $$, 180);
