-- Personal data of bills: mf_forget() reaches all tables; lines as items of invoices; times of links
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_chief, regress_mf_clerk;
RESET client_min_messages;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
-- An account of its own, which sends nothing
CREATE SERVER clinic FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER clinic OPTIONS (api_key 'a-key-for-nothing');
SELECT count(mf_pause('clinic')) AS paused;
-- whatever a row of any table of the two extensions says of her
CREATE FUNCTION pg_temp.mentions() RETURNS TABLE (source text, what text) LANGUAGE plpgsql AS $$
DECLARE
	c regclass;
BEGIN
	FOR c IN SELECT d.objid::regclass FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'r'
		WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND e.extname LIKE 'myfatoorah%' ORDER BY d.objid::regclass::text
	LOOP
		RETURN QUERY EXECUTE format($q$SELECT %L, string_agg(DISTINCT e.key, ' ' ORDER BY e.key) FROM %s t, jsonb_each_text(to_jsonb(t)) e WHERE e.value !~ '^\\x' AND e.value ~* 'z[uo]bayda|50917364|28705120' HAVING count(*) > 0$q$, c, c);
	END LOOP;
END
$$;

INSERT INTO mf_bill (account, customer_name, customer_email, customer_mobile, mobile_country_code, customer_civil_id, customer_reference, total, bill_key, memo) SELECT
	'clinic', 'Zubayda', 'zubayda@example.com', '50917364', '+965', '287051200917', 'file 7', 10, 'visit ' || n, 'Zubayda, room 3' FROM generate_series(1, 4) n;
UPDATE mf_bill SET customer_name = 'Zobayda' WHERE bill_key = 'visit 1';
INSERT INTO mf_receipt (bill, method, value, note) SELECT id, 'cash', 10, 'by the brother of Zubayda' FROM mf_bill WHERE bill_key = 'visit 1';
SELECT mf_void(id, 'Zubayda has moved away') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'visit 2';
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 11 FROM mf_bill WHERE bill_key = 'visit 3';
INSERT INTO mf_plan (account, plan_key, template, starts_on, every, times) SELECT 'clinic', 'plan ' || n, '{"customer_name": "Zubayda", "customer_mobile": "50917364", "mobile_country_code": "+965", "customer_civil_id": "287051200917", "customer_reference": "file 7", "total": 5, "memo": "Zubayda"}', '2033-06-01', '1 month', n FROM generate_series(1, 2) n;
UPDATE mf_plan SET template = template || '{"customer_email": "zubayda@example.com"}' WHERE plan_key = 'plan 1';
SELECT mf_end_plan(id, '2033-05-01', 'Zubayda has moved away') IS NOT NULL AS ended FROM mf_plan WHERE plan_key = 'plan 1';
INSERT INTO mf_bill (account, customer_name, customer_reference, total, bill_key) VALUES ('clinic', 'Zubayda', 'file 8', 10, 'another of that name');
SELECT * FROM pg_temp.mentions();

-- what a function is yet to be told of keeps an invoice unfinished
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM mf_reaction_queue WHERE invoice IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'cancelled')$$);
SET ROLE regress_mf_clerk;
SELECT mf_test.try($$SELECT mf_forget('file 7')$$) ~ '^42501' AS refused;
SELECT mf_test.try($$SELECT mf_bill_erase(ARRAY[1])$$) ~ '^42501' AS refused;
SET ROLE regress_mf_chief;
SELECT f.result, count(*) FROM mf_forget('file 7', 'clinic') f GROUP BY 1 ORDER BY 1;
SELECT f.result, count(*) FROM mf_forget('file 7', 'clinic') f GROUP BY 1 ORDER BY 1;
RESET ROLE;
SELECT bill_key, status, customer_name, customer_mobile, memo, total, received, erased_at IS NOT NULL AS erased FROM mf_bill WHERE customer_reference = 'file 7' ORDER BY id;
-- what is unfinished is given up, and nothing of hers is left
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'visit 4';
SELECT mf_reverse(r.id, 'x') > 0 AS reversed FROM mf_receipt r JOIN mf_bill b ON b.id = r.bill WHERE b.bill_key = 'visit 3';
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'visit 3';
SELECT mf_end_plan(id, '2033-05-01', 'x') IS NOT NULL AS ended FROM mf_plan WHERE plan_key = 'plan 2';
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'another of that name';
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM mf_reaction_queue WHERE invoice IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'cancelled')$$);
SELECT f.result, count(*) FROM mf_forget('file 7') f GROUP BY 1 ORDER BY 1;
SELECT result FROM mf_forget('file 8');
SELECT * FROM pg_temp.mentions();
-- a customer who is not known any more is billed no more
SELECT regexp_replace(mf_test.try(format('SELECT mf_reopen(%s, ''x'')', id)), '\d+ cannot', 'N cannot') AS no_debt FROM mf_bill WHERE bill_key = 'visit 4';
SELECT regexp_replace(mf_test.try(format('UPDATE mf_plan SET %s WHERE plan_key = ''plan 2''', c)), 'plan \d+', 'plan N') AS no_more FROM unnest(ARRAY['ends_on = ''2090-01-01''', 'times = 100, ends_on = NULL', 'template = template']) c;
-- What is written about her later is forgotten with the next call: in a memo, a name, a note, a reason.
UPDATE mf_bill SET memo = 'Zubayda again' WHERE bill_key = 'visit 1';
INSERT INTO mf_receipt (bill, method, value, note) SELECT id, 'cash', 1, 'by Zubayda' FROM mf_bill WHERE bill_key = 'visit 1';
SELECT mf_reverse(r.id, 'not from Zubayda') > 0 AS reversed FROM mf_receipt r JOIN mf_bill b ON b.id = r.bill WHERE b.bill_key = 'visit 1' AND r.note = 'by Zubayda';
SELECT * FROM pg_temp.mentions();
SELECT f.result, count(*) FROM mf_forget('file 7') f GROUP BY 1 ORDER BY 1;
SELECT * FROM pg_temp.mentions();
-- an invoice that stands under another reference is named
INSERT INTO mf_bill (account, customer_name, customer_reference, total, bill_key) VALUES ('clinic', 'Zubayda', 'file 9', 10, 'moved file');
UPDATE mf_bill SET customer_reference = 'file 10' WHERE bill_key = 'moved file';
SELECT mf_void(id, 'x') IS NOT NULL AS void FROM mf_bill WHERE bill_key = 'moved file';
CALL mf_test.wait_for($$NOT EXISTS (SELECT FROM mf_reaction_queue WHERE invoice IS NOT NULL) AND NOT EXISTS (SELECT FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'cancelled')$$);
SELECT regexp_replace(result, 'invoice \d+', 'invoice N') AS result FROM mf_forget('file 10') ORDER BY 1;
SELECT result FROM mf_forget('file 9');
SELECT result FROM mf_forget('file 10') ORDER BY 1;
SELECT * FROM pg_temp.mentions();
-- money, days and states stay
SELECT day = mf_local_day('clinic', now()) AS today, kind, debit, credit, balance FROM mf_statement('file 7', '2020-01-01', '2090-01-01', 'clinic');

-- A receipt is changed by nobody else, and its value by nobody at all
SELECT mf_test.try($$UPDATE mf_receipt SET note = 'x'$$) ~ '^42501: receipts are neither' AS refused;
BEGIN;
SET ROLE myfatoorah_billing;
SELECT mf_test.try($$UPDATE mf_receipt SET value = 1$$) ~ '^42501: receipts are neither' AS refused;
ROLLBACK;

-- Items add up to the link's value; there are none where MyFatoorah would not take them
SELECT mf_bill_items(lines::jsonb, currency) AS items FROM (VALUES
	('[{"description": "Rent", "unit_price": 250.500}, {"description": "Parking", "quantity": 2, "unit_price": 10}]', 'KWD'),
	('[{"description": "Water", "quantity": 2.5, "unit_price": 0.3333}, {"description": " Service ", "unit_price": 10, "tax_rate": 15.0}, {"description": "Both", "quantity": 3, "unit_price": 1.11, "tax_rate": 5}]', 'SAR'),
	('[{"description": "Free", "unit_price": 0}]', 'KWD'), ('[{"unit_price": 1}]', 'KWD'), ('[{"description": "Discount", "unit_price": -1}]', 'KWD'), ('[]', 'KWD'), (NULL, 'KWD')) v(lines, currency);
SELECT mf_bill_items(jsonb_agg('{"description": "a", "unit_price": 1}'::jsonb), 'KWD') IS NOT NULL AS fits FROM generate_series(1, 200) UNION ALL SELECT mf_bill_items(jsonb_agg('{"description": "a", "unit_price": 1}'::jsonb), 'KWD') IS NOT NULL FROM generate_series(1, 201);
SELECT count(*) AS cases, count(*) FILTER (WHERE mf_lines_sum(l, c) IS DISTINCT FROM (SELECT sum((i->>'Quantity')::numeric * (i->>'UnitPrice')::numeric) FROM jsonb_array_elements(mf_bill_items(l, c)) i)) AS wrong,
	count(*) FILTER (WHERE EXISTS (SELECT FROM jsonb_array_elements(mf_bill_items(l, c)) i WHERE (i->>'UnitPrice')::numeric <> round((i->>'UnitPrice')::numeric, mf_currency_decimals(c)) OR (i->>'Quantity')::numeric % 1 <> 0)) AS fractions
	FROM (SELECT c, (SELECT jsonb_agg(jsonb_build_object('description', 'x', 'unit_price', round((n * 7919 + k * 104729) % 100003 / 997.0, (n + k) % 5), 'quantity', round(1 + (n * k) % 13 / 3.0, n % 3), 'tax_rate', (n * k) % 4 * 5)) FROM generate_series(1, 1 + n % 4) k) AS l
		FROM generate_series(1, 500) n, unnest('{KWD,SAR}'::text[]) c) t;
INSERT INTO mf_bill (account, customer_name, customer_reference, total, lines, bill_key) VALUES ('clinic', 'Ahmad', 'items', 12.5, '[{"description": "Visit", "quantity": 2, "unit_price": 5}, {"description": "Plaster", "quantity": 2.5, "unit_price": 1}]', 'items');
SELECT i.invoice_value, i.invoice_items FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'items';
UPDATE mf_bill SET lines = '[{"description": "Visits", "quantity": 2, "unit_price": 6.25}]' WHERE bill_key = 'items';
SELECT i.invoice_value, i.invoice_items, (SELECT count(*) FROM mf_link k WHERE k.bill = b.id) AS links FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'items';
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 2.5 FROM mf_bill WHERE bill_key = 'items';
SELECT i.invoice_value, i.invoice_items FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'items';
-- a long list is left out rather than refused
INSERT INTO mf_bill (account, customer_name, total, lines) SELECT 'clinic', 'Ahmad', 100, jsonb_agg(jsonb_build_object('description', repeat('x', 100), 'unit_price', 1)) FROM generate_series(1, 100);
SELECT i.invoice_value, i.invoice_items FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.account = 'clinic' AND b.total = 100;
-- Links of a bill have their times in order, whatever time a command brings that has waited for a tick
SELECT id AS bill FROM mf_bill WHERE bill_key = 'items' \gset
SET ROLE myfatoorah_billing;
SELECT mf_bill_link_again(:bill, now() + interval '9 days') > now() + interval '10 days' AS renewed;
RESET ROLE;
SELECT mf_new_link(:bill, 'lost') IS NOT NULL AS again;
SELECT count(*) AS links, count(*) FILTER (WHERE k.made_at < p.retired_at) AS too_early FROM mf_link k LEFT JOIN LATERAL (SELECT max(o.retired_at) AS retired_at FROM mf_link o WHERE o.bill = k.bill AND o.invoice < k.invoice) p ON true WHERE k.bill = :bill;
DROP ROLE regress_mf_chief, regress_mf_clerk;
