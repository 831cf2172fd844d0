-- Accounts and roles that get another name, servers that are dropped: bills, plans, rules, policies and days off follow
\pset format unaligned
SET DateStyle = ISO;
SET TimeZone = 'UTC';
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_owner, regress_mf_thief, "Regress_MF_Clerk";
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_owner;
CREATE ROLE regress_mf_thief;
GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO regress_mf_owner, regress_mf_thief;
SET ROLE regress_mf_owner;
CREATE SERVER houses FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
RESET ROLE;
CREATE USER MAPPING FOR PUBLIC SERVER houses OPTIONS (api_key 'a-key-for-nothing');
GRANT USAGE ON FOREIGN SERVER houses TO regress_mf_clerk;
INSERT INTO mf_billing_policy (account, link_days, weekend) VALUES ('houses', 9, '{1}');
INSERT INTO mf_day_off (account, day, name) VALUES ('houses', '2033-11-09', 'a holiday');
INSERT INTO mf_reminder_rule (account, name, days_from_due, via) VALUES ('houses', 'late', 3, 'event');
CREATE TEMP TABLE month AS SELECT 'flat ' || n AS unit FROM generate_series(1, 2) n;
GRANT SELECT ON month TO regress_mf_clerk;
SET ROLE regress_mf_clerk;
INSERT INTO mf_bill (account, bill_key, customer_name, total, due_date, send_at) SELECT 'houses', unit || ', 2040-01', 'Ahmad', 10, '2040-01-01', '2040-01-01' FROM month;
INSERT INTO mf_plan (account, plan_key, template, starts_on, every) VALUES ('houses', 'flat 3', '{"customer_name": "Salma", "total": 5}', '2033-11-09', '1 month');
RESET ROLE;
SELECT since AS rule_since, done_to FROM mf_reminder_rule WHERE account = 'houses' \gset

-- All columns of text in tables of ours, of both extensions, that have a value; mf_account keeps former names, for webhooks of older invoices
CREATE FUNCTION pg_temp.columns_with(value text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	found boolean;
BEGIN
	FOR c IN SELECT a.attrelid::regclass AS relation, a.attname AS name FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'e'
			JOIN pg_extension e ON e.oid = d.refobjid
		WHERE e.extname LIKE 'myfatoorah%' AND r.relkind IN ('r', 'p') AND r.relname <> 'mf_account' AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = ANY ('{text,name,varchar}'::regtype[]) ORDER BY 1, 2
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I = $1)', c.relation, c.name) INTO found USING value;
		IF found THEN
			RETURN NEXT c.relation || '.' || c.name;
		END IF;
	END LOOP;
END
$$;
SELECT string_agg(c, ', ') AS they_name_it FROM pg_temp.columns_with('houses') c;

-- Renamed by the owner of the server, who has no right on bills
SET ROLE regress_mf_owner;
SELECT mf_test.try('SELECT count(*) FROM mf_bill') ~ '^42501' AS no_right;
ALTER SERVER houses RENAME TO "the houses";
RESET ROLE;
SELECT string_agg(c, ', ') AS still_names_it FROM pg_temp.columns_with('houses') c;
SELECT (SELECT string_agg(c, ', ') FROM pg_temp.columns_with('the houses') c) AS they_name_it;
-- the month that is run again bills nobody twice
SET ROLE regress_mf_clerk;
INSERT INTO mf_bill (account, bill_key, customer_name, total, due_date, send_at) SELECT 'the houses', unit || ', 2040-01', 'Ahmad', 10, '2040-01-01', '2040-01-01' FROM month ON CONFLICT (account, bill_key) DO NOTHING;
RESET ROLE;
SELECT count(*) AS bills, count(DISTINCT customer_name) FROM mf_bill WHERE account = 'the houses';
SELECT link_days, weekend FROM mf_billing_policy WHERE account = 'the houses';
SELECT mf_is_day_off('the houses', '2033-11-09') AS off;
SELECT since = :'rule_since' AND done_to = :'done_to' AS goes_on_where_it_was FROM mf_reminder_rule WHERE account = 'the houses';
SELECT plan_key, status, next_on, next_at AT TIME ZONE 'Asia/Kuwait' FROM mf_plan WHERE account = 'the houses';
SELECT mf_test.try($$SELECT mf_plan_preview(id, 1) FROM mf_plan WHERE account = 'the houses'$$);
SELECT count(*) AS not_one_by_one FROM mf_bill_history h JOIN mf_bill b ON b.id = h.bill WHERE b.account = 'the houses';
-- and back, taken back
BEGIN;
ALTER SERVER "the houses" RENAME TO houses;
SELECT count(*) FROM mf_bill WHERE account = 'houses';
ROLLBACK;
SELECT count(*) FROM mf_bill WHERE account = 'the houses';

-- Dropped: bills are owed all the same, cash is taken, and nobody else gets them with the name
DROP SERVER "the houses" CASCADE;
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 4 FROM mf_bill WHERE bill_key = 'flat 1, 2040-01' RETURNING received_on = (now() AT TIME ZONE 'UTC')::date AS today;
SELECT status, received, balance, link_error FROM mf_bill WHERE bill_key = 'flat 1, 2040-01';
SELECT item, ok, detail, hint FROM mf_check() WHERE item = 'bills' AND NOT ok;
-- a plan alone holds the name, too: whoever takes it would have the customers of others pay him
CREATE SERVER shops FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER shops OPTIONS (api_key 'a-key-for-nothing');
INSERT INTO mf_plan (account, plan_key, template, starts_on, every) VALUES ('shops', 'shop 1', '{"customer_name": "Salma", "total": 5}', '2033-11-09', '1 month');
DROP SERVER shops CASCADE;
SET ROLE regress_mf_thief;
SELECT mf_test.try($$CREATE SERVER shops FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'https://thief.example.com')$$);
SELECT mf_test.try($$CREATE SERVER shops_of_mine FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT'); ALTER SERVER shops_of_mine RENAME TO shops$$);
RESET ROLE;

-- Another name has such rows already: nothing is lost, and one of two bills and reminds
CREATE SERVER flats FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER flats OPTIONS (api_key 'a-key-for-nothing');
GRANT USAGE ON FOREIGN SERVER flats TO regress_mf_clerk;
SET ROLE regress_mf_clerk;
INSERT INTO mf_bill (account, bill_key, customer_name, total, due_date, send_at) VALUES ('flats', 'flat 2, 2040-01', 'Ahmad', 10, '2040-01-01', '2040-01-01');
INSERT INTO mf_plan (account, plan_key, template, starts_on, every) VALUES ('flats', 'flat 3', '{"customer_name": "Salma", "total": 5}', '2033-11-09', '1 month');
RESET ROLE;
INSERT INTO mf_reminder_rule (account, name, days_from_due, via) VALUES ('flats', 'late', 4, 'event');
INSERT INTO mf_billing_policy (account, link_days) VALUES ('flats', 3);
INSERT INTO mf_day_off (account, day, name) VALUES ('flats', '2033-11-09', 'theirs'), ('flats', '2033-11-10', 'theirs');
SELECT mf_move_account('the houses', 'flats') > 0 AS moved;
SELECT mf_move_account('shops', 'flats') AS no_invoices;
SELECT string_agg(c, ', ') AS still_names_it FROM pg_temp.columns_with('the houses') c;
SELECT bill_key, total, status FROM mf_bill WHERE account = 'flats' ORDER BY id;
SELECT changes, reason FROM mf_bill_history WHERE changes ? 'bill_key';
SELECT plan_key, status, next_at IS NOT NULL AS bills FROM mf_plan WHERE account = 'flats' ORDER BY id;
SELECT regexp_replace(name, '\d+\)', 'N)') AS name, days_from_due, active FROM mf_reminder_rule WHERE account = 'flats' ORDER BY id;
SELECT link_days FROM mf_billing_policy WHERE account = 'flats';
SELECT day, name FROM mf_day_off WHERE account = 'flats' ORDER BY 1;
SELECT mf_test.try('SET ROLE regress_mf_clerk; SELECT mf_move_billing(''flats'', ''myfatoorah'')') ~ '^42501' AS for_the_core_only;
-- nor is anything billed in another currency
ALTER SERVER flats OPTIONS (SET country 'SAU');
SELECT p.plan_key, p.template->>'currency' AS currency, v.value FROM mf_plan p, mf_plan_preview(p.id, 1) v WHERE p.account = 'flats' ORDER BY 1;
UPDATE mf_plan SET template = '{"customer_name": "Salma", "total": 5.125}' WHERE account = 'flats' AND plan_key = 'flat 3' RETURNING template->>'currency' AS currency;
-- what is of an account that is gone can be given up
SET client_min_messages = error;
DROP SERVER flats CASCADE;
RESET client_min_messages;
SELECT item, ok, detail FROM mf_check('flats') WHERE item IN ('account', 'bills');
SELECT mf_void(id, 'the end of this test') FROM mf_bill WHERE account = 'flats' AND status = 'open';
SELECT mf_end_plan(id, '2033-01-01', 'the end of this test') FROM mf_plan WHERE account = 'flats' AND status <> 'ended';
UPDATE mf_reminder_rule SET active = false WHERE account = 'flats';
DELETE FROM mf_reminder_rule WHERE account = 'flats';

-- The role that owns bills is the same by another name
ALTER ROLE myfatoorah_billing RENAME TO regress_mf_books;
INSERT INTO mf_bill (customer_name, bill_key, total, send_at) VALUES ('Ahmad', 'renamed roles', 10, now() + interval '1 day');
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 4 FROM mf_bill WHERE bill_key = 'renamed roles';
UPDATE mf_bill SET total = 12 WHERE bill_key = 'renamed roles';
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('renamed roles', '{"customer_name": "Salma", "total": 5}', '2033-11-09', '1 month');
SELECT mf_pause_plan(id, 'a test') FROM mf_plan WHERE plan_key = 'renamed roles';
SELECT mf_resume_plan(id, 'a test') FROM mf_plan WHERE plan_key = 'renamed roles';
SELECT mf_billing_tick(now()) > now() AS later;
SELECT b.total, b.received, b.status, i.invoice_value FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE bill_key = 'renamed roles';
GRANT myfatoorah_operate TO regress_mf_thief;
SET ROLE regress_mf_thief;
UPDATE mf_bill SET memo = 'by an operator' WHERE bill_key = 'renamed roles';
SELECT mf_reverse(id, 'by an operator') > 0 AS reversed FROM mf_receipt WHERE bill = (SELECT id FROM mf_bill WHERE bill_key = 'renamed roles');
SELECT mf_void(id, 'by an operator') FROM mf_bill WHERE bill_key = 'renamed roles';
RESET ROLE;
SELECT status, received, memo FROM mf_bill WHERE bill_key = 'renamed roles';
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mf_receipt SET note = 'by Ahmad''s brother' WHERE bill = (SELECT id FROM mf_bill WHERE bill_key = 'renamed roles');
UPDATE mf_invoice SET erased_at = now() WHERE id IN (SELECT k.invoice FROM mf_link k JOIN mf_bill b ON b.id = k.bill WHERE b.bill_key = 'renamed roles');
COMMIT;
SELECT count(*) AS forgotten FROM mf_bill b, mf_bill_erase(ARRAY[b.id]) WHERE b.bill_key = 'renamed roles';
SELECT count(note) AS notes FROM mf_receipt WHERE bill = (SELECT id FROM mf_bill WHERE bill_key = 'renamed roles');
SELECT function, error FROM mf_reaction_backlog WHERE error IS NOT NULL;
-- who takes the name is not the role
CREATE ROLE myfatoorah_billing;
GRANT myfatoorah_billing TO regress_mf_clerk;
SELECT mf_test.try($$SET ROLE regress_mf_clerk; UPDATE mf_bill SET received = 0 WHERE bill_key = 'renamed roles'$$) ~ '^42501' AS not_by_name;
DROP ROLE myfatoorah_billing;
ALTER ROLE regress_mf_books RENAME TO myfatoorah_billing;
SELECT mf_end_plan(id, '2033-01-01', 'the end of this test') FROM mf_plan WHERE plan_key = 'renamed roles';

-- A dump names roles, whose OIDs are others in another cluster
INSERT INTO mf_bill (customer_name, bill_key, total, currency, due_date, token, created_by, created_by_id) VALUES ('Ahmad', 'restored', 10, 'KWD', '2026-01-01', repeat('0', 32), 'regress_mf_clerk', 10),
	('Ahmad', 'restored from nobody', 10, 'KWD', '2026-01-01', repeat('1', 32), 'regress_mf_nobody', 10);
INSERT INTO mf_plan (template, starts_on, anchor_on, every, status, next_number, created_by, created_by_id) VALUES ('{"customer_name": "A", "total": 1}', '2033-11-09', '2033-11-09', '1 month', 'ended', 2, 'regress_mf_clerk', 10),
	('{"customer_name": "A", "total": 1}', '2033-11-09', '2033-11-09', '1 month', 'ended', 2, 'regress_mf_nobody', 10);
-- what may be a copy does nothing before somebody has said so
SELECT count(*) AS all_paused FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL;
SELECT mf_resume('*');
SELECT created_by, created_by_id::regrole FROM mf_bill WHERE bill_key LIKE 'restored%' UNION ALL SELECT created_by, created_by_id::regrole FROM mf_plan WHERE created_by IN ('regress_mf_clerk', 'regress_mf_nobody') AND status = 'ended' AND next_number = 2 ORDER BY 1;
SELECT mf_void(id, 'the end of this test') FROM mf_bill WHERE bill_key LIKE 'restored%';

-- A role whose name differs from another's in its letters only
CREATE ROLE "Regress_MF_Clerk" IN ROLE myfatoorah_submit;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO "Regress_MF_Clerk", regress_mf_clerk;
SET ROLE "Regress_MF_Clerk";
INSERT INTO mf_bill (customer_name, bill_key, total, send_at) VALUES ('Ahmad', 'in capitals', 10, now() + interval '1 day');
RESET ROLE;
SELECT b.created_by, b.created_by_id::regrole, i.created_by FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'in capitals';

SET client_min_messages = error;
DROP OWNED BY regress_mf_clerk, regress_mf_owner, regress_mf_thief, "Regress_MF_Clerk";
DROP ROLE regress_mf_clerk, regress_mf_owner, regress_mf_thief, "Regress_MF_Clerk";
