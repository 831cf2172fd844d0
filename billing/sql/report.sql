-- Reports: receivables, aging, statements, what was collected
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_reader, regress_mf_one;
RESET client_min_messages;
SET DateStyle = ISO;
CREATE ROLE regress_mf_reader IN ROLE myfatoorah_read;
CREATE ROLE regress_mf_one IN ROLE myfatoorah_read;
-- An account of its own, so that nothing else counts; it sends nothing
CREATE SERVER estate FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER estate OPTIONS (api_key 'a-key-for-nothing');
SELECT count(mf_pause('estate')) AS paused;
SELECT mf_local_day('estate', now()) AS today \gset

-- The limits of the buckets; two currencies; two customers; what is paid or void does not count
INSERT INTO mf_bill (account, customer_name, customer_reference, total, due_date, bill_key)
	SELECT 'estate', 'Ahmad', 'c1', 10 ^ (n - 1) * 0.001, date :'today' - d, 'c1/' || d FROM unnest('{-5,0,1,30,31,60,61,90,91}'::int[]) WITH ORDINALITY u(d, n);
INSERT INTO mf_bill (account, customer_name, customer_reference, total, currency, due_date, bill_key) VALUES
	('estate', 'Ahmad', 'c1', 7.25, 'SAR', date :'today' - 10, 'riyal'), ('estate', 'Nobody', NULL, 3, NULL, date :'today' - 10, 'nobody'),
	('estate', 'Void', 'c2', 5, NULL, date :'today' - 10, 'void one'), ('estate', 'Paid', 'c2', 6, NULL, date :'today' - 10, 'paid'), ('estate', 'Part', 'c2', 8, NULL, date :'today' - 10, 'part');
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'void one';
INSERT INTO mf_receipt (bill, method, value, received_on) SELECT id, 'cash', CASE bill_key WHEN 'paid' THEN 6 ELSE 3 END, date :'today' - 3 FROM mf_bill WHERE bill_key IN ('paid', 'part');
SET ROLE regress_mf_reader;
SELECT bill_key, currency, balance, days_overdue, bucket, invoice IS NOT NULL AS link, last_reminder FROM mf_receivable WHERE account = 'estate' ORDER BY currency, days_overdue, bill_key;
SELECT currency, customer, customer_name, bills, not_due, days_1_30, days_31_60, days_61_90, older, total FROM mf_aging WHERE account = 'estate' ORDER BY 1, 2;
RESET ROLE;
-- nothing is lost between the two
SELECT (SELECT sum(total) FROM mf_aging WHERE currency = 'KWD' AND account = 'estate') - (SELECT sum(balance) FROM mf_receivable WHERE currency = 'KWD' AND account = 'estate') AS difference,
	(SELECT sum(bills) FROM mf_aging) - (SELECT count(*) FROM mf_receivable) AS bills, (SELECT count(*) FROM mf_aging WHERE total <> not_due + days_1_30 + days_31_60 + days_61_90 + older) AS wrong;

-- The day of the account is looked up once for a bill, not for each of the sums
CREATE FUNCTION pg_temp.plans_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || query; END $$;
SELECT count(*) AS look_ups FROM pg_temp.plans_of('SELECT * FROM mf_aging') p WHERE p ~ '^ *InitPlan';
-- and bills can be read from an index in the order of customers, which are neither sorted nor held in memory
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_incremental_sort = off;
SET LOCAL enable_hashagg = off;
SELECT count(*) FILTER (WHERE p ~ 'Index Only Scan using mf_bill_aging_idx') AS by_index, count(*) FILTER (WHERE p ~ 'Sort|HashAggregate') AS held FROM pg_temp.plans_of('SELECT * FROM mf_aging') p;
ROLLBACK;

-- An account that is gone does not hide what is owed
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SERVER estate CASCADE;
SELECT count(*) FROM mf_receivable WHERE account = 'estate';
ROLLBACK;

-- The caller's policies hold
ALTER TABLE mf_bill ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON mf_bill FOR SELECT TO regress_mf_one USING (customer_reference = 'c2');
SET ROLE regress_mf_one;
SELECT bill_key FROM mf_receivable;
SELECT customer, total FROM mf_aging;
SELECT count(*) FROM mf_statement('c1', date :'today', date :'today', 'estate');
SELECT sum(value) FROM mf_collected('estate', date :'today' - 10, date :'today');
RESET ROLE;
DROP POLICY one ON mf_bill;
ALTER TABLE mf_bill DISABLE ROW LEVEL SECURITY;

-- Days of receipt and methods
INSERT INTO mf_receipt (bill, method, value, received_on) SELECT id, 'transfer', 1, date :'today' - 3 FROM mf_bill WHERE bill_key = 'part';
SELECT mf_reverse(max(r.id), 'bounced') > 0 AS reversed FROM mf_receipt r JOIN mf_bill b ON b.id = r.bill WHERE b.bill_key = 'part';
INSERT INTO mf_receipt (bill, method, value, received_on) SELECT id, 'cash', 2.25, date :'today' FROM mf_bill WHERE bill_key = 'riyal';
SELECT date :'today' - day AS days_ago, method, currency, receipts, received, returned, value FROM mf_collected('estate', date :'today' - 10, date :'today');

-- A statement: facts count on the day on which they were learnt
INSERT INTO mf_bill (account, customer_name, customer_reference, total, due_date, bill_key) VALUES ('estate', 'Celia', 's1', 100, '2026-03-01', 's1/1'), ('estate', 'Celia', 's1', 50, '2026-03-01', 's1/2'), ('estate', 'Celia', 's1', 30, '2026-03-01', 's1/3');
UPDATE mf_bill SET total = 110 WHERE bill_key = 's1/1';
INSERT INTO mf_receipt (bill, method, value, received_on) SELECT id, 'cash', 40, '2026-02-27' FROM mf_bill WHERE bill_key = 's1/1';
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 's1/2';
SELECT mf_reopen(id, 'x') IS NOT NULL AS reopened FROM mf_bill WHERE bill_key = 's1/2';
UPDATE mf_bill SET customer_reference = 's2' WHERE bill_key = 's1/3';
SELECT kind, regexp_replace(document, '^\d+ (cash|online)', 'N \1') AS document, debit, credit, balance, currency FROM mf_statement('s1', date :'today', date :'today', 'estate');
SELECT kind, document, debit, credit, balance FROM mf_statement('s2', date :'today', date :'today', 'estate');
SELECT kind, document, debit, credit, balance FROM mf_statement('s1', date :'today' + 1, date :'today' + 9, 'estate');
SELECT count(*) AS nothing FROM (SELECT FROM mf_statement('s1', date :'today' - 9, date :'today' - 1, 'estate') UNION ALL SELECT FROM mf_statement('nobody', '2000-01-01', '2100-01-01', 'estate')) t;
-- printed in a week, it is the same, whatever has happened meanwhile: as if all that was learnt ten days ago
SET ROLE myfatoorah_billing;
UPDATE mf_bill SET created_at = created_at - interval '10 days' WHERE customer_reference IN ('s1', 's2');
UPDATE mf_bill_history SET changed_at = changed_at - interval '10 days' WHERE bill IN (SELECT id FROM mf_bill WHERE customer_reference IN ('s1', 's2'));
RESET ROLE;
CREATE TEMP TABLE printed AS SELECT row_number() OVER () AS n, s.* FROM mf_statement('s1', date :'today' - 20, date :'today' - 5, 'estate') s;
SELECT kind, document, debit, credit, balance FROM printed ORDER BY n;
UPDATE mf_bill SET total = 70, customer_name = 'C.' WHERE bill_key = 's1/2';
UPDATE mf_bill SET customer_reference = 's3' WHERE bill_key = 's1/1';
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 's1/2';
INSERT INTO mf_receipt (bill, method, value, received_on) SELECT id, 'cheque', 5, date :'today' - 8 FROM mf_bill WHERE bill_key = 's1/3';
SELECT count(*) AS differences FROM (SELECT day, kind, document, debit, credit, balance, currency FROM printed EXCEPT ALL SELECT * FROM mf_statement('s1', date :'today' - 20, date :'today' - 5, 'estate')) d;
SELECT kind, regexp_replace(document, '^\d+ ', 'N ') AS document, debit, credit, balance FROM mf_statement('s1', date :'today' - 4, date :'today', 'estate');
-- statements of all customers add up to what is owed, less what was overpaid
SELECT sum(l.balance) - (SELECT sum(CASE b.status WHEN 'void' THEN -b.received ELSE b.balance END) FROM mf_bill b WHERE b.account = 'estate' AND b.customer_reference IN ('s1', 's2', 's3')) AS difference
	FROM (VALUES ('s1'), ('s2'), ('s3')) c(reference), LATERAL (SELECT s.balance FROM mf_statement(c.reference, date :'today', date :'today', 'estate') WITH ORDINALITY s ORDER BY s.ordinality DESC LIMIT 1) l;
DROP TABLE printed;

-- mf_check() has items for the account
CREATE FUNCTION pg_temp.told(account text) RETURNS TABLE (item text, ok boolean, detail text, hint text) LANGUAGE sql AS
	$$ SELECT c.item, c.ok, c.detail, c.hint FROM mf_check(account) c WHERE c.item IN ('bills', 'reminders', 'days_off', 'links', 'plans') $$;
SELECT * FROM pg_temp.told('estate');
INSERT INTO mf_day_off (account, day) VALUES ('estate', date :'today' + 20);
INSERT INTO mf_reminder_rule (account, name, days_from_due, via) VALUES ('estate', 'late', 1, 'event');
INSERT INTO mf_bill (account, customer_name, customer_reference, customer_email, notification_option, total, due_date, link_days) VALUES ('estate', 'Celia', 's4', 'c@example.com', 'EML', 1, date :'today' + 30, 3);
SELECT item, ok, regexp_replace(regexp_replace(detail, '[0-9]{4}-[0-9-]*', 'DAY'), 'bill \d+', 'bill N') AS detail, hint FROM pg_temp.told('estate');
INSERT INTO mf_day_off (account, day) SELECT 'estate', date :'today' + n FROM generate_series(-3, 1000) n ON CONFLICT DO NOTHING;
SELECT item, detail, hint FROM pg_temp.told('estate') WHERE item <> 'links';
DELETE FROM mf_day_off;
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SERVER estate CASCADE;
SELECT item, detail, hint FROM pg_temp.told('myfatoorah') WHERE detail ~ 'estate';
-- and the tick goes on without it
SET ROLE myfatoorah_billing;
SELECT mf_tick_reminders('2031-01-01', 10) AS next;
ROLLBACK;
DELETE FROM mf_reminder_rule WHERE account = 'estate';
