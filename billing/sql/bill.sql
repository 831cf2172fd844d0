-- mf_bill: what may be inserted and changed, its first link, its states, receipts by hand
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_other, regress_mf_chief;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_other IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_clerk, regress_mf_other;
CALL mf_test.reset_sandbox();
-- One that is inserted has a link
SET ROLE regress_mf_clerk;
INSERT INTO mf_bill (customer_name, total, customer_reference, bill_key, due_date, memo) VALUES ('Ahmad', 250.500, 'flat 1', 'flat 1, 2026-01', '2026-01-01', 'rent')
	RETURNING account, currency, status, received, balance, overpaid, length(token), token ~ '^[0-9a-f]+$' AS hex, created_by;
RESET ROLE;
SELECT i.invoice_value, i.notification_option, i.created_by, i.metadata = jsonb_build_object('bill', b.id) AS tells, i.expiry_date - i.send_at AS lives, k.live, k.value, b.link_due = k.expires_at AS renewed_then
	FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice JOIN mf_link k ON k.invoice = i.id WHERE b.customer_reference = 'flat 1';
CALL mf_test.wait_for($$(SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.customer_reference = 'flat 1') = 'sent'$$);

-- A month run twice bills once
INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('Ahmad', 250.500, 'flat 1, 2026-01') ON CONFLICT (account, bill_key) DO NOTHING;
SELECT count(*) AS bills, (SELECT count(*) FROM mf_link) AS links FROM mf_bill;

-- The row has its link at once, and is written once; what is paid has none; nobody chooses the number
BEGIN;
SET LOCAL client_min_messages = error;
-- what was written before may still be counted as well
SELECT n_tup_ins AS inserted, n_tup_upd AS updated FROM pg_stat_xact_user_tables WHERE relid = 'mf_bill'::regclass \gset
INSERT INTO mf_bill (customer_name, total, bill_key, invoice) VALUES ('Once', 1, 'once', 1);
INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('Once', 0, 'nothing'), ('Once', 1, 'once'), ('Once', 2, 'twice') ON CONFLICT (account, bill_key) DO NOTHING
	RETURNING total, status, invoice IS NOT NULL AS link, link_tries;
SELECT n_tup_ins - :inserted AS inserted, n_tup_upd - :updated AS updated FROM pg_stat_xact_user_tables WHERE relid = 'mf_bill'::regclass;
SELECT b.total, b.invoice > 1 AS its_own, k.invoice = b.invoice AS link, i.metadata->>'bill' = b.id::text AS invoice FROM mf_bill b LEFT JOIN mf_link k ON k.bill = b.id LEFT JOIN mf_invoice i ON i.id = b.invoice WHERE b.customer_name = 'Once' ORDER BY b.total;
SELECT mf_test.as_role('regress_mf_clerk', $$INSERT INTO mf_bill (customer_name, total, invoice) VALUES ('A', 1, 1)$$);
-- of a dump and new, in one statement
INSERT INTO mf_bill (customer_name, total, currency, due_date, token, created_at) SELECT 'Both', 1, 'KWD', '2026-01-01', token, now() FROM unnest('{0123456789abcdef,NULL}'::text[]) token;
SELECT b.token = '0123456789abcdef' AS of_a_dump, b.created_at = now() AS new, k.bill IS NOT NULL AS link FROM mf_bill b LEFT JOIN mf_link k ON k.bill = b.id WHERE customer_name = 'Both' ORDER BY 1;
ROLLBACK;

-- Refused, in the bill's words
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total) VALUES ('A', -1)$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total) VALUES ('A', NULL)$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total) VALUES ('A', 'NaN')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total) VALUES ('A', 1.2345)$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, currency) VALUES ('A', 1.234, 'usd')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, currency) VALUES ('A', 1.23, 'dollar')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, link_days) VALUES ('A', 1, 0)$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, due_date) VALUES ('A', 1, 'infinity')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, notification_option) VALUES ('A', 1, 'EML')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, account) VALUES ('A', 1, 'nobody')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, lines) VALUES ('A', 1, '{}')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, lines) VALUES ('A', 1, '[{"unit_price": "1"}]')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, lines) VALUES ('A', 1, '[{"unit_price": 0.333, "quantity": 3}]')$$);
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total, lines) VALUES ('A', 10.499, '[{"unit_price": 3.333, "quantity": 3, "tax_rate": 5, "description": "water"}]')$$);
SELECT mf_test.as_role('regress_mf_clerk', $$INSERT INTO mf_bill (customer_name, total, status) VALUES ('A', 1, 'paid')$$);
SELECT mf_test.as_role('regress_mf_chief', $$INSERT INTO mf_bill (customer_name, total) VALUES ('A', 1)$$);
SELECT count(*) AS bills, (SELECT count(*) FROM mf_link) AS links FROM mf_bill WHERE customer_name = 'A';

-- Cash for a part: the link is replaced by one over the rest, after MyFatoorah was asked
SELECT id AS bill, invoice AS first FROM mf_bill WHERE customer_reference = 'flat 1' \gset
SELECT mf_test.as_role('regress_mf_other', format('INSERT INTO mf_receipt (bill, method, value) VALUES (%s, ''cash'', 100)', :bill)) ~ '^42501: permission denied for bill' AS not_another;
SET ROLE regress_mf_clerk;
INSERT INTO mf_receipt (bill, method, value, note) VALUES (:bill, 'cash', 100, 'at the counter') RETURNING received_on = mf_local_day('myfatoorah', now()) AS today, created_by;
RESET ROLE;
SELECT status, received, balance, invoice IS NULL AS no_link FROM mf_bill WHERE id = :bill;
SELECT live, retired_why FROM mf_link WHERE bill = :bill;
CALL mf_test.wait_for(format('(SELECT invoice IS NOT NULL FROM mf_bill WHERE id = %s)', :bill));
SELECT i.invoice_value, i.id <> :first AS another, i.created_by, (SELECT replaced_by = i.id FROM mf_invoice WHERE id = :first) AS replaces, b.link_tries, b.link_error
	FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT live, value, retired_why FROM mf_link WHERE bill = :bill ORDER BY invoice;
CALL mf_test.wait_for(format($$(SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = %s) = 'sent'$$, :bill));

-- The rest is paid by the link
SELECT mf_test.sandbox('invoices/' || i.invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT mf_refresh(invoice) FROM mf_bill WHERE id = :bill;
CALL mf_test.wait_for(format('(SELECT status FROM mf_bill WHERE id = %s) = ''paid''', :bill));
SELECT status, received, balance, overpaid, invoice, paid_on = mf_local_day(account, now()) AS today, closed_at IS NOT NULL AS closed, link_due FROM mf_bill WHERE id = :bill;
SELECT method, value, invoice IS NOT NULL AS link, payment_id IS NOT NULL AS payment, created_by FROM mf_receipt WHERE bill = :bill ORDER BY id;
SELECT actor, changes - '{invoice,closed_at,paid_on}'::text[] AS changes, reason FROM mf_bill_history WHERE bill = :bill ORDER BY id;

-- What nobody does by hand
SELECT regexp_replace(mf_test.try(format('UPDATE mf_bill SET status = ''open'' WHERE id = %s', :bill)), 'bill \d+', 'bill N') AS not_even_the_owner;
SELECT mf_test.try(format('UPDATE mf_bill SET received = 0 WHERE id = %s', :bill)) ~ 'cannot be changed' AS nor_money;
SELECT regexp_replace(mf_test.try(format('UPDATE mf_bill SET total = 1 WHERE id = %s', :bill)), 'bill \d+', 'bill N') AS a_paid_one_stays;
UPDATE mf_bill SET memo = 'rent of January' WHERE id = :bill;
SELECT mf_test.try('DELETE FROM mf_bill'), mf_test.try('TRUNCATE mf_bill CASCADE');
SELECT mf_test.try('UPDATE mf_receipt SET value = 1'), mf_test.try('DELETE FROM mf_receipt'), mf_test.try('TRUNCATE mf_receipt CASCADE');
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value) VALUES (%s, ''online'', 1)', :bill));
SELECT mf_test.try('INSERT INTO mf_receipt (bill, method, value) VALUES (-1, ''cash'', 1)');
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value) VALUES (%s, ''cash'', -1)', :bill));
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value) VALUES (%s, ''barter'', 1)', :bill)) ~ '^23514' AS method;
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, received_on) VALUES (%s, ''cash'', 1, ''2999-01-01'')', :bill));
SELECT mf_test.as_role('regress_mf_clerk', format('SELECT mf_void(%s, ''x'')', :bill)) AS operators_only;

-- With a key, cash that is booked twice counts once, and nothing else passes for it
BEGIN;
SET LOCAL ROLE regress_mf_clerk;
INSERT INTO mf_bill (customer_name, total, send_at) VALUES ('Keyed', 30, now() + interval '1 day') RETURNING id AS keyed \gset
INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (:keyed, 'cash', 10, 'x', 'book 17') RETURNING id AS receipt \gset
INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (:keyed, 'cash', 10.000, 'x', 'book 17') ON CONFLICT (bill, receipt_key) DO UPDATE SET receipt_key = EXCLUDED.receipt_key
	RETURNING id = :receipt AS the_first, value;
INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (:keyed, 'cash', 10, 'x', 'book 17') ON CONFLICT DO NOTHING RETURNING id;
SELECT e.method, e.value, e.received_on, e.note, regexp_replace(mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, received_on, note, receipt_key) VALUES (%s, %L, %s, %L, %L, ''book 17'') ON CONFLICT DO NOTHING',
	:keyed, e.method, e.value, e.received_on, e.note)), '(receipt|bill) \d+', '\1 N', 'g') AS refused
	FROM (VALUES ('cash', 11, NULL, 'x'), ('cheque', 10, NULL, 'x'), ('cash', 10, '2026-01-02', 'x'), ('cash', 10, NULL, 'y'), ('cash', 10, NULL, NULL)) e(method, value, received_on, note);
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (%s, ''cash'', 10, ''x'', ''book 17'')', :keyed)) ~ '^23505: duplicate key' AS without_on_conflict;
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, receipt_key) VALUES (%s, ''cash'', 1, %L)', :keyed, k)) ~ '^23514' AS no_key FROM unnest(ARRAY[' ', repeat('x', 256)]) k;
SELECT mf_test.try(format('UPDATE mf_receipt SET receipt_key = ''book 18'' WHERE id = %s', :receipt)) ~ '^42501: receipts are neither' AS stays;
SELECT received, (SELECT count(*) FROM mf_receipt WHERE bill = :keyed) AS receipts FROM mf_bill WHERE id = :keyed;
-- the same key at another bill is another one
INSERT INTO mf_bill (customer_name, total, send_at) VALUES ('Keyed', 30, now() + interval '1 day') RETURNING id AS other \gset
INSERT INTO mf_receipt (bill, method, value, receipt_key) VALUES (:other, 'cash', 5, 'book 17');
-- who names no day, and comes again on a later one
SET LOCAL ROLE myfatoorah_billing;
INSERT INTO mf_receipt (bill, received_on, method, value, receipt_key, created_at) SELECT :keyed, mf_local_day('myfatoorah', t.at), 'cash', 5, 'yesterday', t.at FROM (SELECT now() - interval '1 day') t(at);
SET LOCAL ROLE regress_mf_clerk;
INSERT INTO mf_receipt (bill, method, value, receipt_key) VALUES (:keyed, 'cash', 5, 'yesterday') ON CONFLICT (bill, receipt_key) DO UPDATE SET receipt_key = EXCLUDED.receipt_key
	RETURNING mf_local_day('myfatoorah', now()) - received_on AS days_ago;
-- what was taken back is not there
SET LOCAL ROLE regress_mf_chief;
SELECT mf_reverse(:receipt, 'x') > 0 AS reversed;
SELECT regexp_replace(mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (%s, ''cash'', 10, ''x'', ''book 17'') ON CONFLICT DO NOTHING', :keyed)), '(receipt|bill) \d+', '\1 N', 'g') AS refused;
-- once the customer is forgotten, notes are not compared
RESET ROLE;
INSERT INTO mf_bill (customer_name, total) VALUES ('Keyed', 0) RETURNING id AS free \gset
SET session_replication_role = replica;
INSERT INTO mf_receipt (bill, received_on, method, value, receipt_key) VALUES (:free, mf_local_day('myfatoorah', now()), 'cash', 5, 'book 17');
UPDATE mf_bill SET erased_at = now() WHERE id = :free;
RESET session_replication_role;
INSERT INTO mf_receipt (bill, method, value, note, receipt_key) VALUES (:free, 'cash', 5, 'x', 'book 17') ON CONFLICT DO NOTHING;
SELECT count(*) AS receipts FROM mf_receipt WHERE bill = :free;
ROLLBACK;

-- Paid twice: in cash after all, and taken back
INSERT INTO mf_receipt (bill, method, value) VALUES (:bill, 'cheque', 50);
SELECT status, received, balance, overpaid FROM mf_bill WHERE id = :bill;
SELECT regexp_replace(next_step, '\d{5,}|\(\d+,|overpaid \d+', 'N', 'g') AS next_step, cardinality(payments) FROM mf_overpaid;
SELECT id AS receipt FROM mf_receipt WHERE bill = :bill AND method = 'cheque' \gset
SET ROLE regress_mf_chief;
SELECT mf_reverse(:receipt, 'bounced') > 0 AS reversed;
SELECT regexp_replace(mf_test.try(format('SELECT mf_reverse(%s, ''again'')', :receipt)), '\d+ was', 'N was') AS once;
SELECT regexp_replace(mf_test.try(format('SELECT mf_reverse(%s, ''no'')', (SELECT id FROM mf_receipt WHERE method = 'online' LIMIT 1))), '\d+( is|[,''])', 'N\1', 'g') AS not_online;
SELECT mf_test.try('SELECT mf_reverse(-1, ''no'')'), mf_test.try(format('SELECT mf_reverse(%s, '' '')', :receipt));
RESET ROLE;
SELECT count(*) FROM mf_overpaid;
SELECT method, value, note, created_by FROM mf_receipt WHERE bill = :bill ORDER BY id;
-- a receipt that is taken back opens the bill again
SELECT id AS receipt FROM mf_receipt WHERE bill = :bill AND method = 'cash' \gset
SET ROLE regress_mf_chief;
SELECT mf_reverse(:receipt, 'false money') > 0 AS reversed;
RESET ROLE;
CALL mf_test.wait_for(format('(SELECT invoice IS NOT NULL FROM mf_bill WHERE id = %s)', :bill));
SELECT b.status, b.balance, b.paid_on, b.closed_at, i.invoice_value FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;

-- Void, and back; all at once while nothing was sent
INSERT INTO mf_bill (customer_name, total, customer_reference, send_at) VALUES ('Huda', 30, 'flat 2', now() + interval '1 day') RETURNING id AS bill, invoice AS first \gset
SELECT invoice AS first FROM mf_bill WHERE id = :bill \gset
SET ROLE regress_mf_chief;
SELECT mf_test.try(format('SELECT mf_void(%s, NULL)', :bill));
SELECT mf_void(:bill, 'moved out');
RESET ROLE;
SELECT b.status, b.invoice, b.link_due, i.status, k.live, k.retired_why FROM mf_bill b JOIN mf_link k ON k.bill = b.id JOIN mf_invoice i ON i.id = k.invoice WHERE b.id = :bill;
SELECT regexp_replace(mf_test.try(format('SELECT mf_void(%s, ''x'')', :bill)), 'bill \d+', 'bill N'), regexp_replace(mf_test.try(format('SELECT mf_new_link(%s, ''x'')', :bill)), 'bill \d+', 'bill N');
SELECT regexp_replace(mf_test.try(format('UPDATE mf_bill SET total = 31 WHERE id = %s', :bill)), 'bill \d+', 'bill N');
INSERT INTO mf_receipt (bill, method, value) VALUES (:bill, 'transfer', 12);
SELECT status, received, overpaid FROM mf_bill WHERE id = :bill;
SELECT mf_reopen(:bill, 'came back');
SELECT b.status, b.balance, b.overpaid, i.status, i.invoice_value, i.id <> :first AS another FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT regexp_replace(mf_test.try(format('SELECT mf_reopen(%s, ''x'')', :bill)), 'bill \d+', 'bill N');
-- a part of it, all again, and another amount
SELECT mf_request(:bill, 5) > 0 AS link;
SELECT b.request_value, i.invoice_value, b.balance FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT regexp_replace(mf_test.try(format('SELECT mf_request(%s, 19)', :bill)), 'bill \d+', 'bill N'), mf_test.try(format('SELECT mf_request(%s, 0)', :bill));
INSERT INTO mf_receipt (bill, method, value) VALUES (:bill, 'cash', 1);
SELECT b.request_value, i.invoice_value, b.balance FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
UPDATE mf_bill SET total = 40, customer_name = 'Huda S.' WHERE id = :bill;
SELECT b.balance, i.invoice_value, i.customer_name, b.updated_by FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT mf_new_link(:bill, 'lost') > 0 AS link;
SELECT count(*) FILTER (WHERE live) AS live, count(*) AS links, count(i.replaced_by) AS replaced, string_agg(DISTINCT i.status, ' ') AS states
	FROM mf_link k JOIN mf_invoice i ON i.id = k.invoice WHERE k.bill = :bill;
SELECT actor, changes->'status' AS status, changes->'total' AS total, reason FROM mf_bill_history WHERE bill = :bill AND (changes ?| '{status,total}' OR reason IS NOT NULL) ORDER BY id;
UPDATE mf_bill SET total = 13 WHERE id = :bill;
SELECT status, balance, invoice FROM mf_bill WHERE id = :bill;
-- two live links are impossible
SELECT mf_test.try(format('UPDATE mf_link SET live = true, retired_at = NULL WHERE bill = %s', :bill)) ~ '^23505' AS impossible;

-- Nothing to pay
INSERT INTO mf_bill (customer_name, total) VALUES ('Free', 0) RETURNING status, balance, link_due, paid_on IS NOT NULL AND closed_at IS NOT NULL AS closed;
SELECT status, invoice, link_due, paid_on = mf_local_day(account, now()) AS today FROM mf_bill WHERE customer_name = 'Free';

-- Expired: asked first, then replaced; the tick gets the time
INSERT INTO mf_bill (customer_name, total, customer_reference, link_days) VALUES ('Late', 8, 'flat 3', 2);
SELECT id AS bill, invoice AS first FROM mf_bill WHERE customer_reference = 'flat 3' \gset
CALL mf_test.wait_for(format('(SELECT status FROM mf_invoice WHERE id = %s) = ''sent''', :first));
SELECT mf_billing_tick(now() + interval '1 day') > now() + interval '1 day' AS not_yet;
SELECT invoice = :first AS the_first FROM mf_bill WHERE id = :bill;
SELECT mf_billing_tick(now() + interval '3 days') IS NOT NULL AS more;
SELECT invoice = :first AS the_first, link_tries FROM mf_bill WHERE id = :bill;
CALL mf_test.wait_for(format('NOT EXISTS (SELECT FROM mf_inquiry WHERE invoice = %s AND urgent)', :first));
-- the worker's own tick, which looks again at what was looked at ahead, may have the bill locked
CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_reaction_queue WHERE due <= now())');
SELECT mf_billing_tick(now() + interval '3 days 1 minute') > now() + interval '3 days' AS later;
SELECT b.invoice <> :first AS another, i.invoice_value, i.notification_option, (SELECT replaced_by = i.id FROM mf_invoice WHERE id = :first) AS replaces FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;
SELECT live, retired_why FROM mf_link WHERE bill = :bill ORDER BY invoice;

-- A link that MyFatoorah refuses: the bill says so, and its correction makes another
CALL mf_test.fault('{"name": "refused", "shape": 1, "times": 1}');
INSERT INTO mf_bill (customer_name, total, customer_reference) VALUES ('[fault:refused]', 9, 'flat 4');
SELECT id AS bill FROM mf_bill WHERE customer_reference = 'flat 4' \gset
CALL mf_test.wait_for(format('(SELECT link_error IS NOT NULL FROM mf_bill WHERE id = %s)', :bill));
SELECT invoice, link_due, status FROM mf_bill WHERE id = :bill;
SELECT retired_why FROM mf_link WHERE bill = :bill;
UPDATE mf_bill SET customer_name = 'Corrected' WHERE id = :bill;
SELECT i.customer_name, b.link_error FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = :bill;

-- An account that is gone stops no other bill
CREATE SERVER gone FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER gone OPTIONS (api_key 'a-key-for-nothing');
INSERT INTO mf_bill (account, customer_name, total, send_at, link_days) VALUES ('gone', 'Gone', 3, now() + interval '1 day', 1);
DROP SERVER gone CASCADE;
INSERT INTO mf_bill (customer_name, total, send_at, link_days) VALUES ('Stays', 4, now() + interval '1 day', 1);
SELECT invoice AS first FROM mf_bill WHERE customer_name = 'Stays' \gset
SELECT mf_billing_tick(now() + interval '3 days') IS NOT NULL AS more;
SELECT customer_name, link_error, link_tries, invoice <> :first AS another FROM mf_bill WHERE customer_name IN ('Gone', 'Stays') ORDER BY 1;
SELECT live, retired_why FROM mf_link WHERE bill = (SELECT id FROM mf_bill WHERE customer_name = 'Gone');
SELECT mf_void(id, 'its account is gone') FROM mf_bill WHERE customer_name = 'Gone';

-- Views hold the caller's policies, although they belong to a role that has none
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'other', 1 FROM mf_bill WHERE customer_name = 'Free';
CREATE POLICY own ON mf_bill USING (pg_has_role(created_by_id, 'USAGE'));
ALTER TABLE mf_bill ENABLE ROW LEVEL SECURITY;
SET ROLE regress_mf_clerk;
SELECT (SELECT count(*) FROM mf_bill WHERE customer_name = 'Free') AS bills, count(*) AS overpaid FROM mf_overpaid;
RESET ROLE;
ALTER TABLE mf_bill DISABLE ROW LEVEL SECURITY;
DROP POLICY own ON mf_bill;
SET ROLE regress_mf_clerk;
SELECT customer_name, overpaid, next_step FROM mf_overpaid;
RESET ROLE;

-- Tokens of one statement lie side by side in their index, and tell nothing else
WITH made AS (INSERT INTO mf_bill (customer_name, total) SELECT 'Token', 0 FROM generate_series(1, 100) RETURNING token)
	SELECT count(DISTINCT token) AS tokens, count(DISTINCT left(token, 12)) AS beginnings, count(DISTINCT substr(token, 13)) AS ends FROM made;
WITH made AS (INSERT INTO mf_bill (customer_name, total) VALUES ('Token', 0) RETURNING token)
	SELECT count(*) AS same_beginning FROM made m JOIN mf_bill b ON left(b.token, 12) = left(m.token, 12);

-- Whoever owns mf_invoice may add columns to it
ALTER TABLE mf_invoice ADD COLUMN flat text DEFAULT 'none';
INSERT INTO mf_bill (customer_name, total, metadata) VALUES ('Column', 5, '{"a": 1}');
SELECT i.customer_name, i.invoice_value, i.flat, i.metadata ? 'bill' AS told FROM mf_invoice i WHERE i.customer_name = 'Column';
ALTER TABLE mf_invoice DROP COLUMN flat;
INSERT INTO mf_bill (customer_name, total) VALUES ('No column', 5);
SELECT i.customer_name, i.invoice_value FROM mf_invoice i WHERE i.customer_name = 'No column';

-- A session that has inserted single bills into a small table inserts a month of them no slower for that
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL session_replication_role = replica;
TRUNCATE mf_bill CASCADE;
SET LOCAL session_replication_role = origin;
INSERT INTO mf_bill (customer_name, total) VALUES ('First', 1);
ANALYZE mf_bill;
DO $$ BEGIN FOR n IN 1..8 LOOP INSERT INTO mf_bill (customer_name, total) VALUES ('Single', 1); END LOOP; END $$;
SET LOCAL statement_timeout = '60s';
INSERT INTO mf_bill (customer_name, total) SELECT 'Month', n % 2 FROM generate_series(1, 20000) n;
SELECT b.total, count(*) AS bills, count(k.invoice) AS links, count(DISTINCT i.id) AS invoices, bool_and(b.link_tries = 0) AS none_marked,
	bool_and((i.metadata->>'bill')::bigint IS NOT DISTINCT FROM CASE b.total WHEN 1 THEN b.id END) AS each_its_own
	FROM mf_bill b LEFT JOIN mf_link k ON k.bill = b.id AND k.invoice = b.invoice LEFT JOIN mf_invoice i ON i.id = b.invoice
	WHERE b.customer_name = 'Month' GROUP BY b.total ORDER BY b.total;
ROLLBACK;

-- A TRUNCATE of mf_invoice leaves links; a new row with the id of one would have its payment booked for the bill
BEGIN;
INSERT INTO mf_link (invoice, bill, live, value, made_at, expires_at, retired_at) SELECT n, (SELECT min(id) FROM mf_bill), false, 1, now(), now(), now() FROM unnest('{3999999998,4000000000}'::bigint[]) n;
SELECT mf_test.try(format($$INSERT INTO mf_invoice (id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE SELECT n, 'Stranger', 1 FROM unnest('{%s}'::bigint[]) n$$, ids)) FROM unnest('{"3999999998","3999999997,3999999999,3999999998","3999999997,3999999999"}'::text[]) ids;
SELECT mf_test.as_role('regress_mf_clerk', $$INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('Stranger', 1)$$) AS others;
ROLLBACK;

SELECT count(*) AS bills_with_two_live_links FROM (SELECT FROM mf_link WHERE live GROUP BY bill HAVING count(*) > 1) t;
SELECT count(*) AS links_that_differ FROM mf_bill b FULL JOIN (SELECT * FROM mf_link WHERE live) k ON k.bill = b.id WHERE b.invoice IS DISTINCT FROM k.invoice;
SELECT function, error FROM mf_reaction_backlog WHERE error IS NOT NULL;
SET client_min_messages = error;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_clerk, regress_mf_other;
DROP ROLE regress_mf_clerk, regress_mf_other, regress_mf_chief;
