-- Dates and times that nobody can mean, texts that turn pages around, roles that lack a right
\pset format unaligned
SET DateStyle = ISO;
SET TimeZone = 'UTC';
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;

-- Days and times, in each column that people write, and each argument
INSERT INTO mf_bill (customer_name, bill_key, total, send_at) VALUES ('Ahmad', 'bounds', 10, now() + interval '1 day');
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('bounds', '{"customer_name": "Salma", "total": 5}', '2033-11-09', '1 month');
SELECT id AS bill FROM mf_bill WHERE bill_key = 'bounds' \gset
SELECT id AS plan FROM mf_plan WHERE plan_key = 'bounds' \gset
CREATE FUNCTION pg_temp.refused(statement text) RETURNS TABLE (day text, answer text) LANGUAGE sql AS $$
	SELECT d, regexp_replace(split_part(mf_test.try(format(statement, d)), E'\n', 1), '(bill|plan) \d+', '\1 N') FROM unnest('{-infinity,0044-03-15 BC,1969-12-30,10000-01-01,infinity}'::text[]) d
$$;
SELECT * FROM pg_temp.refused('INSERT INTO mf_bill (customer_name, total, due_date) VALUES (''A'', 1, %L)');
SELECT * FROM pg_temp.refused('INSERT INTO mf_bill (customer_name, total, send_at) VALUES (''A'', 1, %L)');
SELECT * FROM pg_temp.refused('UPDATE mf_bill SET due_date = %L WHERE bill_key = ''bounds''');
SELECT * FROM pg_temp.refused('UPDATE mf_bill SET send_at = %L WHERE bill_key = ''bounds''');
SELECT * FROM pg_temp.refused(format('INSERT INTO mf_receipt (bill, method, value, received_on) VALUES (%s, ''cash'', 1, %%L)', :bill));
SELECT * FROM pg_temp.refused(format('SELECT mf_snooze(%s, %%L, ''x'')', :bill));
SELECT * FROM pg_temp.refused('INSERT INTO mf_plan (template, starts_on, every) VALUES (''{"customer_name": "A", "total": 1}'', %L, ''1 month'')');
SELECT * FROM pg_temp.refused('INSERT INTO mf_plan (template, starts_on, anchor_on, every) VALUES (''{"customer_name": "A", "total": 1}'', ''2040-01-01'', %L, ''1 month'')');
SELECT * FROM pg_temp.refused('INSERT INTO mf_plan (template, starts_on, ends_on, every) VALUES (''{"customer_name": "A", "total": 1}'', ''2040-01-01'', %L, ''1 month'')');
SELECT * FROM pg_temp.refused('INSERT INTO mf_plan (template, part_days) VALUES (''{"customer_name": "A", "total": 1}'', ARRAY[''2040-01-01'', %L]::date[])');
SELECT * FROM pg_temp.refused(format('SELECT mf_end_plan(%s, %%L, ''x'')', :plan));
SELECT * FROM pg_temp.refused('INSERT INTO mf_day_off (day) VALUES (%L)');
SELECT * FROM pg_temp.refused('SELECT mf_billing_tick(%L)');
SELECT mf_test.try('SELECT mf_billing_tick(NULL)');
-- nor does a step by itself take such a time
SELECT s.step, count(*) AS refused FROM unnest('{mf_tick_links,mf_tick_plans,mf_tick_reminders,mf_tick_forget}'::text[]) s(step), pg_temp.refused(format('SELECT %s(%%L, 50)', s.step)) r
	WHERE r.answer LIKE '22008: as_of is out of range%' GROUP BY 1 ORDER BY 1;
-- what is refused says which column, and how to help it
SELECT mf_test.try('INSERT INTO mf_bill (customer_name, total, send_at) VALUES (''A'', 1, ''infinity'')');
SELECT mf_test.try(format('INSERT INTO mf_receipt (bill, method, value, received_on) VALUES (%s, ''cash'', 1, ''0044-03-15 BC'')', :bill));
SELECT count(*) AS receipts FROM mf_receipt WHERE bill = :bill;
SELECT mf_void(:bill, 'the end of this test');
SELECT mf_end_plan(:plan, '2033-01-01', 'the end of this test');

-- Texts on pages are read as they are written
SELECT mf_html_escape(E'\u202Ealnoor\u202C \u2066<b>\u2069 \u0007\u0085"&''') AS escaped, mf_html_escape(E'\u0627\u0644\u0646\u0648\u0631') = E'\u0627\u0644\u0646\u0648\u0631' AS kept;

-- what nobody sees is left out; what joins letters of Persian, or an emoji, and marks of vowels, stay
SELECT string_agg(to_hex(c), ' ' ORDER BY c) AS kept FROM unnest(ARRAY[173, 847, 1564, 4447, 4448, 6158, 8203, 8204, 8205, 8206, 8207, 8232, 8238, 8288, 8292, 8294, 8297, 12644, 65279, 65440, 917504, 917536, 917631, 1614, 128104]) c
	WHERE mf_html_escape('al' || chr(c) || 'noor') <> 'alnoor';

-- A role that lacks a right is named, and what to grant
SET ROLE regress_mf_clerk;
SELECT mf_test.try($$INSERT INTO mf_bill (customer_name, total) VALUES ('A', 1)$$);
RESET ROLE;
SET client_min_messages = error;
CREATE ROLE regress_mf_outsider;
RESET client_min_messages;
GRANT INSERT, SELECT ON mf_plan TO regress_mf_outsider;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_mf_outsider;
SET ROLE regress_mf_outsider;
SELECT mf_test.try($$INSERT INTO mf_plan (template, starts_on, every) VALUES ('{"customer_name": "A", "total": 1}', '2040-01-01', '1 month')$$);
RESET ROLE;
REVOKE ALL ON mf_plan FROM regress_mf_outsider;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM regress_mf_outsider;
DROP ROLE regress_mf_outsider;

-- A link that cannot be cancelled is not left to be sent beside the next one
CREATE FUNCTION pg_temp.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'invoices are kept'; END $$;
INSERT INTO mf_bill (customer_name, bill_key, total, send_at) VALUES ('Ahmad', 'kept', 10, now() + interval '1 day');
CREATE TRIGGER keep BEFORE UPDATE ON mf_invoice FOR EACH ROW WHEN (NEW.status = 'cancelled') EXECUTE FUNCTION pg_temp.keep();
SELECT regexp_replace(regexp_replace(mf_test.try($$SELECT mf_void(id, 'x') FROM mf_bill WHERE bill_key = 'kept'$$), 'bill \d+', 'bill N'), 'mf_cancel\(\d+', 'mf_cancel(N');
SELECT split_part(mf_test.try($$UPDATE mf_bill SET total = 11 WHERE bill_key = 'kept'$$), ':', 1) AS refused;
SELECT b.status, b.total, b.invoice = k.invoice AS has_its_link, k.live, i.status FROM mf_bill b JOIN mf_link k ON k.bill = b.id JOIN mf_invoice i ON i.id = k.invoice WHERE b.bill_key = 'kept';
DROP TRIGGER keep ON mf_invoice;
SELECT mf_void(id, 'the end of this test') FROM mf_bill WHERE bill_key = 'kept';

-- In a dump no table has to be put in order by itself
SELECT conrelid::regclass FROM pg_constraint WHERE contype = 'f' AND conrelid = confrelid AND conrelid::regclass::text LIKE 'mf\_%';
DROP ROLE regress_mf_clerk;
