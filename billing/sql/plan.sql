-- mf_plan: what may be inserted and changed, its periods, calendars, days off, parts, catching up, commands, rights
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_other, regress_mf_chief, regress_mf_reader;
RESET client_min_messages;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_other IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CREATE ROLE regress_mf_reader IN ROLE myfatoorah_read;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_clerk, regress_mf_other;
CALL mf_test.reset_sandbox();
CREATE FUNCTION pg_temp.as_role(who text, statement text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(mf_test.as_role(who, statement), 'plan \d+', 'plan N') $$;
-- The plans' step of the tick alone, as it runs
CREATE FUNCTION pg_temp.tick(as_of timestamptz, most integer DEFAULT 1000) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	again timestamptz;
BEGIN
	PERFORM set_config('role', 'myfatoorah_billing', true);
	LOOP
		again := mf_tick_plans(as_of, most);
		EXIT WHEN again IS NULL OR again > as_of;
	END LOOP;
	PERFORM set_config('role', 'none', true);
	RETURN again;
END
$$;
SET TimeZone = 'Asia/Kuwait';
SET DateStyle = 'ISO, DMY';

-- Umm al-Qura, as announced
SELECT mf_hijri_day(1446, 9, 1) AS ramadan_1446, mf_hijri_day(1446, 10, 1) AS shawwal, mf_hijri_day(1447, 1, 1) AS muharram_1447, mf_hijri('2025-06-26'), mf_hijri('1882-11-12') AS first, mf_hijri('2174-11-25') AS last;
SELECT mf_test.try('SELECT mf_hijri(''1882-11-11'')'), mf_test.try('SELECT mf_hijri(''infinity'')'), mf_test.try('SELECT mf_hijri_day(1447, 2, 30)'), mf_test.try('SELECT mf_hijri_day(1447, 13, 1)'),
	mf_test.try('SELECT mf_hijri_day(1601, 1, 1)'), mf_test.try('SELECT mf_hijri_add_months(''2174-11-01'', 2)'), mf_test.try('SELECT mf_hijri_add_months(''2026-01-01'', 2147483647)');
-- from the 30th on: the last day of shorter months, and the 30th again
SELECT string_agg(mf_hijri(mf_calendar_add('islamic-umalqura', mf_hijri_day(1447, 1, 30), '1 month', k)), ' ' ORDER BY k) AS thirtieths FROM generate_series(0, 11) k;
SELECT string_agg(mf_calendar_add('gregorian', '2027-01-31', '1 month', k)::text, ' ' ORDER BY k) AS from_31_january FROM generate_series(0, 14) k;

-- Days of Cairo without midnight, hours that come twice, a day that Samoa did not have
CREATE SERVER cairo FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY', time_zone 'Africa/Cairo');
CREATE SERVER samoa FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', time_zone 'Pacific/Apia');
SELECT d AS day, t AS time, mf_local_time(a, d, t) AT TIME ZONE 'UTC' AS utc, mf_local_day(a, mf_local_time(a, d, t)) AS day_then FROM (VALUES ('cairo', date '2026-04-24', time '00:00'), ('cairo', '2026-04-24', '00:30'),
	('cairo', '2026-04-24', '09:00'), ('cairo', '2026-10-29', '23:30'), ('cairo', '2026-10-30', '09:00'), ('samoa', '2011-12-30', '09:00')) v(a, d, t);
SELECT mf_local_day('cairo', '2026-04-23 21:59:59Z') AS last_second, mf_local_day('cairo', '2026-04-23 22:00Z') AS next_day, mf_local_day('cairo', '2026-10-29 20:59:59Z') AS before, mf_local_day('cairo', '2026-10-29 21:59:59Z') AS the_same_hour, mf_local_day('cairo', '2026-10-29 22:00Z') AS after;

-- Parts of amounts
SELECT mf_split(100, 3, 'KWD'), mf_split(100, 3, 'USD'), mf_split(0.002, 3, 'BHD'), mf_split(0, 2, 'SAR'), mf_split(7.5, 1, 'OMR');
SELECT mf_test.try('SELECT mf_split(100.001, 3, ''USD'')'), mf_test.try('SELECT mf_split(100, 0, ''USD'')'), mf_test.try('SELECT mf_split(-1, 2, ''USD'')');
-- the last fils, in all currencies
SELECT count(*) AS cases, count(*) FILTER (WHERE v.s <> t OR v.high - v.low > 10.0 ^ -mf_currency_decimals(c) OR v.scales > 1 OR v.n <> p) AS wrong
	FROM unnest('{KWD,BHD,OMR,JOD,IQD,LYD,TND,SAR,AED,QAR,EGP,USD,EUR,GBP}'::text[]) c, unnest('{1,2,3,7,11,12,24,360,999}'::integer[]) p,
		LATERAL (SELECT (n * n * 7919 % 1000003)::numeric * 10.0 ^ -mf_currency_decimals(c) AS t FROM generate_series(1, 60) n UNION ALL SELECT 999999999999) a,
		LATERAL (SELECT sum(u) AS s, min(u) AS low, max(u) AS high, count(DISTINCT scale(u)) AS scales, count(*) AS n FROM unnest(mf_split(t, p, c)) u) v;

-- Rent on the first, from a day within a month
SET ROLE regress_mf_clerk;
INSERT INTO mf_plan (plan_key, template, starts_on, anchor_on, every, due_days, bill_days_before, first_partial)
	VALUES ('flat 1', '{"customer_name": "Rashid", "total": 310, "customer_reference": "flat 1", "memo": "Rent {from} to {to}", "lines": [{"description": "Rent from {from}", "unit_price": 310}]}', '2030-01-17', '2030-02-01', '1 month', 5, 3, 'prorated')
	RETURNING account, status, next_number, next_on, next_at, created_by, calendar, at_time, on_day_off, catch_up;
SELECT id AS flat FROM mf_plan WHERE plan_key = 'flat 1' \gset
SELECT * FROM mf_plan_preview(:flat, 4);
-- twice is once
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('flat 1', '{"customer_name": "Rashid", "total": 310}', '2030-01-17', '1 month') ON CONFLICT (account, plan_key) DO NOTHING RETURNING id;
RESET ROLE;
SELECT count(*) AS bills_of_the_trial, (SELECT count(*) FROM mf_invoice WHERE customer_name = 'Rashid') AS links FROM mf_bill WHERE customer_name = 'Rashid';
SELECT pg_temp.tick('2030-01-14 08:59');
SELECT count(*) AS too_early FROM mf_plan_period;
SET DateStyle = 'German';
SELECT pg_temp.tick('2030-01-14 09:00+03') IS NOT NULL AS in_whatever_style;
SET DateStyle = 'ISO, DMY';
SELECT p.number, p.period, p.value, p.skipped, b.total, b.due_date, b.bill_key, b.memo, b.lines, b.created_by, i.status IS NOT NULL AS link FROM mf_plan_period p JOIN mf_bill b ON b.id = p.bill JOIN mf_invoice i ON i.id = b.invoice;
-- the rent is raised: it counts from the next period
SELECT pg_temp.as_role('regress_mf_other', format('UPDATE mf_plan SET times = 3 WHERE id = %s', :flat)) AS not_another;
SET ROLE regress_mf_clerk;
UPDATE mf_plan SET template = template || '{"total": 320, "lines": [{"description": "Rent from {from}", "unit_price": 320}]}' WHERE id = :flat;
RESET ROLE;
SELECT pg_temp.tick('2030-03-01 12:00');
SELECT p.number, p.period, b.total, b.due_date, b.lines->0->>'description' AS line, b.bill_key FROM mf_plan_period p JOIN mf_bill b ON b.id = p.bill ORDER BY 1;
SELECT actor, changes->'template'->0->'total' AS old, changes->'template'->1->'total' AS new FROM mf_plan_history WHERE plan = :flat;
SELECT pg_temp.as_role('regress_mf_clerk', format('UPDATE mf_plan SET starts_on = ''2030-01-18'' WHERE id = %s', :flat)) AS begun;
SELECT mf_test.try(format('UPDATE mf_plan SET next_number = 1 WHERE id = %s', :flat)) ~ 'cannot be changed' AS not_even_the_owner, mf_test.try('DELETE FROM mf_plan'), mf_test.try('TRUNCATE mf_plan CASCADE') ~ 'not deleted' AS nor_all,
	mf_test.try('UPDATE mf_plan_period SET number = 7'), mf_test.try('DELETE FROM mf_plan_period') ~ '^42501' AS kept, mf_test.try('TRUNCATE mf_plan_period') ~ '^42501' AS kept_too;

-- From the 31st; first_partial full, and skipped; weeks; days off
INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('31st', '{"customer_name": "A", "total": 1}', '2030-12-31', '1 month', 4);
INSERT INTO mf_plan (plan_key, template, starts_on, anchor_on, every, times) VALUES ('full', '{"customer_name": "A", "total": 1}', '2030-12-20', '2031-01-01', '1 month', 2);
INSERT INTO mf_plan (plan_key, template, starts_on, anchor_on, every, times, first_partial) VALUES ('skip', '{"customer_name": "A", "total": 1}', '2030-12-20', '2031-01-01', '1 month', 2, 'skip');
INSERT INTO mf_plan (plan_key, template, starts_on, every, ends_on, on_day_off, at_time) VALUES ('weeks', '{"customer_name": "A", "total": 1}', '2030-12-06', '2 weeks', '2031-01-05', 'next', '17:30');
INSERT INTO mf_day_off (day, name) VALUES ('2030-12-08', 'Eid');
INSERT INTO mf_plan (plan_key, template, starts_on, every, times, on_day_off, due_days) VALUES ('before', '{"customer_name": "A", "total": 1}', '2030-12-08', '1 year', 2, 'previous', 1);
INSERT INTO mf_plan (plan_key, template, starts_on, every, times, calendar) VALUES ('hijri', '{"customer_name": "A", "total": 1, "memo": "{hijri}"}', mf_hijri_day(1452, 1, 30), '1 month', 4, 'islamic-umalqura');
INSERT INTO mf_plan (account, plan_key, template, starts_on, every, times, at_time) SELECT 'myfatoorah', 'nine', '{"customer_name": "A", "total": 1}', '2030-12-01', '9 days', 2, '00:01';
SELECT p.plan_key, v.*, to_char(v.send_at, 'Dy') FROM mf_plan p, mf_plan_preview(p.id, 5) v WHERE p.id <> :flat ORDER BY p.id, v.number;
SELECT string_agg(mf_hijri(lower(v.period)), ' ' ORDER BY number) AS hijri FROM mf_plan p, mf_plan_preview(p.id, 5) v WHERE plan_key = 'hijri';
SELECT pg_temp.tick('2031-05-01 00:00') > '2031-05-01' AS later;
SELECT p.plan_key, p.status, p.next_on, p.next_at, count(*) AS periods, count(b.id) AS bills, min(b.memo) AS memo, bool_and(b.total = t.value) AS total FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id JOIN mf_bill b ON b.id = t.bill GROUP BY p.id ORDER BY p.id;
DELETE FROM mf_day_off;

-- Instalments: 100.000 in three, by month and on days of their own; a total that was changed still adds up
INSERT INTO mf_plan (plan_key, template, starts_on, parts) VALUES ('school', '{"customer_name": "B", "total": 100, "lines": [{"unit_price": 100}]}', '2031-09-01', 3);
INSERT INTO mf_plan (plan_key, template, part_days) VALUES ('terms', '{"customer_name": "B", "total": 200.01, "currency": "sar"}', '{2031-09-01,2032-01-04,2032-04-01}');
SELECT p.plan_key, p.parts, p.every, v.* FROM mf_plan p, mf_plan_preview(p.id) v WHERE p.plan_key IN ('school', 'terms') ORDER BY p.id, v.number;
SELECT pg_temp.tick('2031-09-02') > '2031-09-02' AS later;
UPDATE mf_plan SET template = '{"customer_name": "B", "total": 90}' WHERE plan_key = 'school';
SELECT mf_test.try($$UPDATE mf_plan SET template = '{"customer_name": "B", "total": 33}' WHERE plan_key = 'school'$$);
SELECT pg_temp.tick('2033-01-01') > '2033-01-01' AS later;
SELECT p.plan_key, p.status, b.currency, array_agg(b.total ORDER BY t.number) AS parts, sum(b.total) FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id JOIN mf_bill b ON b.id = t.bill WHERE p.parts IS NOT NULL GROUP BY p.id, b.currency ORDER BY p.id;
-- parts are shares of one total, in one currency
BEGIN;
INSERT INTO mf_plan (plan_key, template, starts_on, parts) VALUES ('one currency', '{"customer_name": "B", "total": 100}', '2030-01-01', 3);
SET LOCAL ROLE myfatoorah_billing;
SELECT mf_tick_plans('2030-01-01 12:00+03', 1000) IS NOT NULL AS billed;
RESET ROLE;
SELECT regexp_replace(mf_test.try($$UPDATE mf_plan SET template = template || '{"currency": "SAR"}' WHERE plan_key = 'one currency'$$), 'plan \d+', 'plan N') AS refused;
UPDATE mf_plan SET template = template || '{"currency": "kwd", "total": 120}' WHERE plan_key = 'one currency';
ROLLBACK;
SELECT mf_end_plan(:flat, '2032-12-31', 'lease is over');
SELECT status, ends_on, next_on FROM mf_plan WHERE id = :flat;

-- Refused, by name
CREATE FUNCTION pg_temp.refused(columns text, vals text, template text DEFAULT '{"customer_name": "A", "total": 1}') RETURNS text LANGUAGE sql AS $$
	SELECT mf_test.try(format('INSERT INTO mf_plan (template%s) VALUES (%L%s)', ', ' || columns, template, ', ' || vals)) $$;
SELECT pg_temp.refused('starts_on', '''2034-01-01''');
SELECT pg_temp.refused('every', '''1 month''');
SELECT pg_temp.refused('starts_on, every', format('''2034-01-01'', %L', e)) FROM unnest('{-1 month,1 month 1 day,12 hours,1 day 24:00,-1 day,0,101 years}'::text[]) e;
SELECT pg_temp.refused('starts_on, every', '''infinity'', ''1 month''');
SELECT pg_temp.refused('starts_on, every, ends_on', '''2034-01-01'', ''1 month'', ''2033-12-31''');
SELECT pg_temp.refused('starts_on, every, anchor_on', '''2034-01-01'', ''1 month'', ''2034-02-01''');
SELECT pg_temp.refused('starts_on, every, times, parts', '''2034-01-01'', ''1 month'', 2, 2');
SELECT pg_temp.refused('starts_on, every, parts', '''2034-01-01'', ''1 month'', 0');
SELECT pg_temp.refused('part_days', '''{2034-01-02,2034-01-01}''');
SELECT pg_temp.refused('part_days', '''{}''');
SELECT pg_temp.refused('part_days, every', '''{2034-01-02}'', ''1 month''');
SELECT pg_temp.refused('starts_on, every, at_time', '''2034-01-01'', ''1 month'', ''00:00''');
SELECT pg_temp.refused('starts_on, every, calendar', '''2034-01-01'', ''1 month'', ''julian''');
SELECT pg_temp.refused('starts_on, every, calendar', '''1880-01-01'', ''1 month'', ''islamic-umalqura''');
SELECT pg_temp.refused('starts_on, every, on_day_off', '''2034-01-01'', ''1 month'', ''later''');
SELECT pg_temp.refused('starts_on, parts, catch_up', '''2034-01-01'', 2, ''one''');
SELECT pg_temp.refused('starts_on, every, account', '''2034-01-01'', ''1 month'', ''nobody''');
SELECT pg_temp.refused('starts_on, every, status', '''2034-01-01'', ''1 month'', ''paused''') ~ '^23502' AS incomplete;
SELECT pg_temp.refused('starts_on, every', '''2034-01-01'', ''1 month''', t) FROM unnest(ARRAY['[]', '{"customer_name": "A"}', '{"customer_name": "A", "total": "1"}', '{"customer_name": "A", "total": 1, "due_date": "2034-01-01"}',
	'{"customer_name": "A", "total": 1, "status": "paid"}', '{"customer_name": "A", "total": 1.0001}', '{"customer_name": "A", "total": 1, "bill_key": "x"}', '{"customer_name": null, "total": 1}']) t;
-- what MyFatoorah or the bill would refuse
SELECT pg_temp.refused('starts_on, every', '''2034-01-01'', ''1 month''', t) FROM unnest(ARRAY['{"customer_name": "A", "total": 1, "notification_option": "EML"}', '{"customer_name": "A", "total": 1, "link_days": 0}',
	'{"customer_name": "A", "total": 1, "lines": [{"unit_price": 2}]}', '{"customer_name": " ", "total": 1}']) t;
SELECT mf_test.try(format($$UPDATE mf_plan SET template = '{"customer_name": "A", "total": 1, "notification_option": "EML"}', ends_on = NULL WHERE id = %s$$, :flat)) ~ 'customer_email' AS a_new_template_too;
SELECT pg_temp.as_role('regress_mf_clerk', $$INSERT INTO mf_plan (template, starts_on, every, status) VALUES ('{"customer_name": "A", "total": 1}', '2034-01-01', '1 month', 'ended')$$) AS no_results,
	pg_temp.as_role('regress_mf_chief', $$INSERT INTO mf_plan (template, starts_on, every) VALUES ('{"customer_name": "A", "total": 1}', '2034-01-01', '1 month')$$) AS operators_insert_none;
SELECT mf_test.try($$INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('flat 1', '{"customer_name": "A", "total": 1}', '2034-01-01', '1 month')$$) ~ '^23505' AS key_taken;
SELECT count(*) AS none_of_them FROM mf_plan WHERE starts_on >= '2034-01-01';
-- a lease that is extended goes on
UPDATE mf_plan SET ends_on = '2033-03-01' WHERE id = :flat RETURNING status, next_on;
UPDATE mf_plan SET ends_on = '2032-12-31' WHERE id = :flat RETURNING status, next_on;

-- Down for a while: all, the last one, none
INSERT INTO mf_plan (plan_key, template, starts_on, every, times, catch_up) SELECT c, '{"customer_name": "C", "total": 1}', '2040-01-01', '1 day', 12, c FROM unnest('{all,one,none}'::text[]) c;
SELECT pg_temp.tick('2040-01-02 09:00') > '2040-01-02 09:00' AS later;
SELECT pg_temp.tick('2040-01-10 08:00') > '2040-01-10 08:00' AS later;
SELECT p.plan_key, string_agg(t.number || coalesce(' ' || t.skipped, ''), ', ' ORDER BY t.number) AS periods, p.next_on FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id WHERE p.starts_on = '2040-01-01' GROUP BY p.id ORDER BY p.id;
-- bounded, and oldest first
INSERT INTO mf_plan (plan_key, template, starts_on, every, times) SELECT 'b' || n, '{"customer_name": "D", "total": 1}', date '2041-01-01' + n, '1 day', 2 FROM generate_series(1, 3) n;
SELECT pg_temp.tick('2040-12-01') > '2040-12-01' AS later;
BEGIN;
SET LOCAL ROLE myfatoorah_billing;
SELECT mf_tick_plans('2041-01-04 12:00', 2) = '2041-01-04 12:00' AS at_once;
RESET ROLE;
SELECT p.plan_key, t.number FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id WHERE p.starts_on > '2041-01-01' ORDER BY t.period;
ROLLBACK;
SELECT pg_temp.tick('2041-01-06 12:00') IS NULL AS nothing_more;

-- Paused: what fell into the pause is billed as the plan, or whoever resumes it, says
-- where it is about noon: what is due today is billed at nine, and no day ends meanwhile
SELECT name AS noon FROM pg_timezone_names WHERE name ~ '^Etc/GMT[+-]\d+$' AND extract(hour FROM now() AT TIME ZONE name) = 12 LIMIT 1 \gset
ALTER SERVER myfatoorah OPTIONS (ADD time_zone :'noon');
\set VERBOSITY terse
INSERT INTO mf_plan (plan_key, template, starts_on, every, catch_up) SELECT 'p' || n, '{"customer_name": "E", "total": 1}', mf_local_day('myfatoorah', now()) - 4, '1 day', c FROM unnest('{all,all,all,one,one,none,none}'::text[]) WITH ORDINALITY u(c, n);
SELECT pg_temp.as_role('regress_mf_other', 'SELECT mf_pause_plan(id, ''no'') FROM mf_plan WHERE plan_key = ''p1''') AS not_another;
CALL mf_test.wait_for($$(SELECT count(*) FROM mf_plan WHERE plan_key LIKE 'p_' AND next_at > now()) = 7$$);
SET ROLE regress_mf_chief;
SELECT count(mf_pause_plan(id, 'abroad')) FROM mf_plan WHERE plan_key LIKE 'p_';
SELECT mf_test.try(format('SELECT mf_pause_plan(%s, '' '')', :flat)), mf_test.try('SELECT mf_pause_plan(-1, ''x'')'), regexp_replace(mf_test.try(format('SELECT mf_pause_plan(%s, ''x'')', :flat)), 'plan \d+', 'plan N');
SELECT regexp_replace(mf_test.try(format('SELECT mf_end_plan(%s, NULL, ''x'')', :flat)), 'plan \d+', 'plan N'), regexp_replace(mf_test.try(format('SELECT mf_resume_plan(%s, ''x'')', :flat)), 'plan \d+', 'plan N');
RESET ROLE;
SELECT DISTINCT status, next_at FROM mf_plan WHERE plan_key LIKE 'p_';
SELECT actor, changes->'status' AS status, reason FROM mf_plan_history h JOIN mf_plan p ON p.id = h.plan WHERE p.plan_key = 'p1';
SELECT pg_temp.tick('2041-02-01') IS NULL AS nothing;
-- a pause of nine days, seen from its end
SET ROLE myfatoorah_billing;
UPDATE mf_plan p SET starts_on = starts_on - 9, anchor_on = anchor_on - 9 WHERE plan_key LIKE 'p_';
RESET ROLE;
CREATE TEMP TABLE before AS SELECT plan, max(number) AS number FROM mf_plan_period GROUP BY plan;
SELECT mf_test.try('SELECT mf_resume_plan(id, ''x'', ''some'') FROM mf_plan WHERE plan_key = ''p1''');
SET ROLE regress_mf_chief;
SELECT mf_resume_plan(id, 'back', CASE plan_key WHEN 'p2' THEN 'one' WHEN 'p3' THEN 'none' WHEN 'p5' THEN 'all' WHEN 'p6' THEN 'one' WHEN 'p7' THEN 'all' END) FROM mf_plan WHERE plan_key LIKE 'p_' ORDER BY id;
RESET ROLE;
CALL mf_test.wait_for($$(SELECT count(*) FROM mf_plan WHERE plan_key LIKE 'p_' AND next_at > now()) = 7$$);
SELECT p.plan_key, p.status, count(t.bill) AS billed, count(t.skipped) AS skipped, count(*) AS periods, bool_and(t.skipped = 'paused') AS why
	FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id JOIN before b ON b.plan = t.plan AND t.number > b.number WHERE p.plan_key LIKE 'p_' GROUP BY p.id ORDER BY p.id;
SET ROLE regress_mf_chief;
SELECT count(mf_end_plan(id, NULL, 'enough')) FROM mf_plan WHERE plan_key LIKE 'p_';
SELECT mf_test.try('SELECT mf_end_plan(id, ''infinity'', ''x'') FROM mf_plan WHERE plan_key = ''p1''') ~ '^(55000|22008)' AS refused;
RESET ROLE;
SELECT DISTINCT status, ends_on = mf_local_day(account, now()) AS today FROM mf_plan WHERE plan_key LIKE 'p_';

-- How much is due already is told by whatever makes it due, and by an end that leaves it so
BEGIN;
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('late', '{"customer_name": "E", "total": 1}', mf_local_day('myfatoorah', now()) - 400, '1 day');
SELECT mf_end_plan(id, NULL, 'enough') FROM mf_plan WHERE plan_key = 'late';
SELECT status, last_error FROM mf_plan WHERE plan_key = 'late';
SELECT mf_pause_plan(id, 'not these') FROM mf_plan WHERE plan_key = 'late';
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('today', '{"customer_name": "E", "total": 1}', mf_local_day('myfatoorah', now()), '1 day');
UPDATE mf_plan SET starts_on = starts_on - 2 WHERE plan_key = 'today';
INSERT INTO mf_plan (plan_key, template, starts_on, every, catch_up) SELECT 'late, ' || c, '{"customer_name": "E", "total": 1}', mf_local_day('myfatoorah', now()) - 400, '1 day', c FROM unnest('{one,none}'::text[]) c;
-- mf_check() tells that those are late
SELECT item, ok, regexp_replace(detail, '\d+', 'N', 'g') AS detail, hint FROM mf_check('myfatoorah') WHERE item = 'plans';
-- and is counted as the preview shows it
SET LOCAL client_min_messages = warning;
INSERT INTO mf_plan (plan_key, template, starts_on, every, times, calendar) SELECT 'count ' || s || e || coalesce(t, 0), '{"customer_name": "E", "total": 1}', mf_local_day('myfatoorah', now()) - s, e, t, c
	FROM unnest('{-40,0,1,29,30,31,64,500,9000}'::int[]) s, (VALUES (interval '1 day', 'gregorian'), ('1 month', 'islamic-umalqura'), ('1 year', 'gregorian'), ('100 years', 'gregorian')) v(e, c), unnest('{NULL,1,2,3,40}'::int[]) t;
SELECT count(*) AS plans, count(*) FILTER (WHERE mf_plan_due(p, now()) <> (SELECT count(*) FROM mf_plan_preview(p.id, CASE WHEN p.every = '1 day' THEN 10000 WHEN p.every = '1 month' THEN 400 ELSE 30 END) v WHERE v.send_at <= now())) AS wrong,
	max(mf_plan_due(p, now())) AS most FROM mf_plan p WHERE plan_key LIKE 'count %';
ROLLBACK;
ALTER SERVER myfatoorah OPTIONS (DROP time_zone);
\set VERBOSITY default

-- One that cannot be billed stops no other; put right, it goes on at once
INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('bad', '{"customer_name": "F", "total": 1}', '2042-01-01', '1 day', 2), ('good', '{"customer_name": "F", "total": 1}', '2042-01-01', '1 day', 2);
INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('taken', 0, 'bad/1');
SELECT pg_temp.tick('2042-01-02 09:00') > '2042-01-02 09:00' AS later;
SELECT p.plan_key, p.status, p.tries, p.last_error, p.next_number, p.next_at FROM mf_plan p WHERE p.starts_on = '2042-01-01' ORDER BY 1;
SELECT item, ok, regexp_replace(detail, 'plan \d+', 'plan N') AS detail FROM mf_check('myfatoorah') WHERE item = 'plans';
UPDATE mf_plan SET template = template || '{"bill_key": "other/{number}"}' WHERE plan_key = 'bad';
SELECT pg_temp.tick('2042-01-02 09:00') IS NULL AS nothing_more;
SELECT p.plan_key, p.status, p.tries, p.last_error, count(t.bill) FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id WHERE p.starts_on = '2042-01-01' GROUP BY p.id ORDER BY 1;

-- Whoever only reads
SELECT pg_temp.as_role('regress_mf_reader', format('SELECT count(*) FROM mf_plan_preview(%s)', :flat)) AS preview, pg_temp.as_role('regress_mf_reader', format('SELECT mf_end_plan(%s, NULL, ''x'')', :flat)) AS no_command,
	pg_temp.as_role('regress_mf_reader', 'UPDATE mf_plan SET times = 1') AS no_change, pg_temp.as_role('regress_mf_clerk', 'INSERT INTO mf_plan_period VALUES (1)') AS no_period, pg_temp.as_role('regress_mf_clerk', 'SELECT mf_tick_plans(now(), 1)') AS no_tick,
	pg_temp.as_role('regress_mf_clerk', 'INSERT INTO mf_day_off (day) VALUES (''2030-01-01'')') AS no_day_off, pg_temp.as_role('regress_mf_reader', 'SELECT mf_plan_preview(-1)') AS unknown, pg_temp.as_role('regress_mf_reader', format('SELECT mf_plan_preview(%s, 0)', :flat)) AS none;
-- a plan whose role may no longer use the account
INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('left', '{"customer_name": "G", "total": 1}', '2043-01-01', '1 day', 1);
SET ROLE regress_mf_other;
INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('revoked', '{"customer_name": "G", "total": 1}', '2043-01-01', '1 day', 1);
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_other;
SELECT pg_temp.tick('2043-01-02 09:00') > '2043-01-02 09:00' AS later;
SELECT p.plan_key, p.status, p.tries, p.last_error FROM mf_plan p WHERE p.starts_on = '2043-01-01' ORDER BY 1;
SELECT mf_end_plan(id, '2043-01-02', 'left') FROM mf_plan WHERE plan_key = 'revoked';
-- policies of your own hold in the preview; functions planted beside ours are not called
BEGIN;
CREATE POLICY own ON mf_plan USING (pg_has_role(created_by_id, 'USAGE'));
ALTER TABLE mf_plan ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.as_role('regress_mf_other', format('SELECT count(*) FROM mf_plan_preview(%s)', :flat)) AS hidden, pg_temp.as_role('regress_mf_clerk', format('SELECT count(*) FROM mf_plan_preview(%s)', :flat)) AS own;
ROLLBACK;
BEGIN;
CREATE FUNCTION mf_check_amount(varchar, numeric, text, varchar) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_plan_record(mf_plan, daterange, bigint, numeric, varchar, timestamptz) RETURNS mf_plan LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_plan_compute(mf_plan, smallint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_working_day(varchar, date, varchar) RETURNS date LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_local_time(varchar, date, time) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
INSERT INTO mf_plan (plan_key, template, starts_on, every, times, catch_up) VALUES ('planted', '{"customer_name": "H", "total": 1}', '2044-01-01', '1 day', 3, 'one');
SELECT pg_temp.tick('2044-01-02 09:00') > '2044-01-02' AS later;
SELECT mf_pause_plan(id, 'x'), mf_resume_plan(id, 'x'), mf_end_plan(id, '2044-01-02', 'x') FROM mf_plan WHERE plan_key = 'planted';
SELECT p.status, p.last_error, t.number, t.skipped, t.value FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id WHERE p.plan_key = 'planted';
ROLLBACK;
-- whose role is gone is told by its name
BEGIN;
CREATE ROLE regress_mf_gone IN ROLE myfatoorah_submit;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_gone;
SET LOCAL ROLE regress_mf_gone;
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('gone', '{"customer_name": "H", "total": 1}', '2044-01-01', '1 month');
INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('gone', 1, 'gone');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_gone;
DROP ROLE regress_mf_gone;
UPDATE mf_bill SET total = 2 WHERE bill_key = 'gone';
SELECT pg_temp.tick('2044-01-01 12:00') > '2044-01-01' AS later;
SELECT p.last_error, b.link_error FROM mf_plan p, mf_bill b WHERE p.plan_key = 'gone' AND b.bill_key = 'gone';
ROLLBACK;
-- no period begins after the year 9999
BEGIN;
INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('centuries', '{"customer_name": "H", "total": 1}', '2044-01-01', '100 years');
SELECT count(*) AS periods, max(lower(v.period)) AS last FROM mf_plan p, mf_plan_preview(p.id, 10000) v WHERE p.plan_key = 'centuries';
ROLLBACK;
SELECT count(*) AS lost, (SELECT count(*) FROM mf_bill b WHERE customer_name <> 'taken' AND EXISTS (SELECT FROM mf_plan p WHERE b.bill_key LIKE p.plan_key || '/%' OR b.bill_key LIKE 'other/%')
		AND NOT EXISTS (SELECT FROM mf_plan_period t WHERE t.bill = b.id)) AS without_period FROM mf_plan WHERE last_error IS NOT NULL AND plan_key <> 'revoked';
SELECT function, error FROM mf_reaction_backlog WHERE error IS NOT NULL;
-- for the tests after this one
SET ROLE myfatoorah_billing;
UPDATE mf_plan SET status = 'ended', next_at = NULL, next_on = NULL WHERE status <> 'ended';
RESET ROLE;
DROP SERVER cairo, samoa;
SET client_min_messages = error;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_clerk, regress_mf_other;
DROP ROLE regress_mf_clerk, regress_mf_other, regress_mf_chief, regress_mf_reader;
