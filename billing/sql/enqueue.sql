-- mf_enqueue('into=bill', ...): bills of the rows of your own tables, which follow their changes and are made void with them
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clerk, regress_mf_chief;
RESET client_min_messages;
SET DateStyle = ISO;
CREATE ROLE regress_mf_clerk IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_submit, myfatoorah_operate;
CREATE SERVER enqueued FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
CREATE USER MAPPING FOR PUBLIC SERVER enqueued OPTIONS (api_key 'a-key-for-nothing');
GRANT USAGE ON FOREIGN SERVER enqueued TO regress_mf_clerk, regress_mf_chief;
SELECT count(mf_pause('enqueued')) AS paused;
CREATE SCHEMA rents;
CREATE TABLE rents.rent (contract_month text, tenant text, rent numeric, due date, remark text, bill bigint, region int DEFAULT 1);
CREATE TRIGGER bill AFTER INSERT OR UPDATE OR DELETE ON rents.rent FOR EACH ROW
	EXECUTE FUNCTION mf_enqueue('into=bill', 'account=''enqueued''', 'customer_name=tenant', 'total=rent', 'due_date=due', 'bill_key=contract_month', 'memo=remark', 'id=bill', 'on_update=sync', 'on_delete=void');
GRANT USAGE ON SCHEMA rents TO regress_mf_clerk, regress_mf_chief;
GRANT ALL ON rents.rent TO regress_mf_clerk, regress_mf_chief;
CREATE VIEW rents.kept AS SELECT b.bill_key, b.customer_name, b.total, b.due_date, b.memo, b.status, b.created_by, i.invoice_value FROM mf_bill b LEFT JOIN mf_invoice i ON i.id = b.invoice WHERE b.account = 'enqueued' ORDER BY b.id;

SET ROLE regress_mf_clerk;
INSERT INTO rents.rent VALUES ('a/1', 'Ahmad', 250.5, '2031-01-01', 'first'), ('b/1', 'Badr', 300, '2031-01-01', NULL);
RESET ROLE;
SELECT r.contract_month, b.bill_key, b.id = r.bill AS written_back FROM rents.rent r JOIN mf_bill b ON b.id = r.bill ORDER BY 1;
SELECT * FROM rents.kept;
-- what changes, changes the bill, and nothing else
SET ROLE regress_mf_clerk;
UPDATE rents.rent SET rent = 260, due = '2031-02-01' WHERE contract_month = 'a/1';
UPDATE rents.rent SET tenant = tenant;
RESET ROLE;
SELECT * FROM rents.kept;
SELECT count(*) AS changes FROM mf_bill_history h JOIN mf_bill b ON b.id = h.bill WHERE b.bill_key = 'b/1';
-- the same key: the same bill
INSERT INTO rents.rent VALUES ('b/1', 'Badr again', 1, '2031-01-01', NULL);
SELECT count(DISTINCT bill) FROM rents.rent WHERE contract_month = 'b/1';
SELECT * FROM rents.kept;
-- deleted: void, by who may do that
SELECT count(*) FROM mf_bill WHERE account = 'enqueued' AND status = 'void';
SET ROLE regress_mf_clerk;
SELECT mf_test.try($$DELETE FROM rents.rent WHERE contract_month = 'a/1'$$);
SET ROLE regress_mf_chief;
DELETE FROM rents.rent WHERE contract_month = 'a/1';
DELETE FROM rents.rent WHERE tenant = 'Badr again';
RESET ROLE;
SELECT * FROM rents.kept;
SELECT h.actor, h.changes->'status' AS status, h.reason FROM mf_bill_history h JOIN mf_bill b ON b.id = h.bill WHERE b.account = 'enqueued' AND h.changes ? 'status' ORDER BY h.id;
-- that is what the other row has now: its change is refused, its deletion is not
SELECT regexp_replace(mf_test.try($$UPDATE rents.rent SET rent = 9$$), 'bill \d+', 'bill N');
DELETE FROM rents.rent;
SELECT regexp_replace(mf_test.try($$INSERT INTO rents.rent VALUES ('a/1', 'Ahmad', 1, '2031-01-01')$$), 'row \d+', 'row N');
-- paid: neither changed nor deleted
INSERT INTO rents.rent VALUES ('c/1', 'Celia', 5, '2031-01-01');
INSERT INTO mf_receipt (bill, method, value) SELECT bill, 'cash', 5 FROM rents.rent;
SELECT regexp_replace(mf_test.try($$DELETE FROM rents.rent$$), 'bill (= )?\d+', 'bill \1N', 'g');
SELECT count(*) FROM rents.rent;

-- A row that moves to another partition keeps its bill
CREATE TABLE rents.parted (LIKE rents.rent) PARTITION BY LIST (region);
CREATE TABLE rents.parted_1 PARTITION OF rents.parted FOR VALUES IN (1);
CREATE TABLE rents.parted_2 PARTITION OF rents.parted FOR VALUES IN (2);
CREATE TRIGGER bill AFTER INSERT OR UPDATE OR DELETE ON rents.parted FOR EACH ROW
	EXECUTE FUNCTION mf_enqueue('into=bill', 'account=''enqueued''', 'customer_name=tenant', 'total=rent', 'due_date=due', 'id=bill', 'on_update=sync', 'on_delete=void');
INSERT INTO rents.parted VALUES ('p/1', 'Parted', 10, '2031-01-01', NULL, NULL, 1), ('p/2', 'Parted', 11, '2031-01-01', NULL, NULL, 1);
UPDATE rents.parted SET region = 2, rent = 20 WHERE contract_month = 'p/1';
SELECT p.tableoid::regclass, b.total, b.status FROM rents.parted p JOIN mf_bill b ON b.id = p.bill ORDER BY p.contract_month;
DELETE FROM rents.parted WHERE contract_month = 'p/2';
SELECT status FROM mf_bill WHERE customer_name = 'Parted' ORDER BY id;

-- Bills have numbers of their own: that invoices of the same numbers were replaced, one by the other, concerns no bill
SELECT setval(pg_get_serial_sequence('mf_invoice', 'id'), (SELECT max(id) FROM mf_invoice) + 1000) IS NOT NULL AS numbered;
INSERT INTO mf_bill (account, customer_name, total, due_date) VALUES ('enqueued', 'Renewed', 10, '2031-01-01') RETURNING id AS renewed \gset
SELECT invoice AS first FROM mf_bill WHERE id = :renewed \gset
SELECT mf_new_link(:renewed, 'lost') AS second \gset
SELECT setval(pg_get_serial_sequence('mf_bill', 'id'), :first - 1) IS NOT NULL AS numbered;
INSERT INTO rents.rent VALUES ('n/1', 'Numbered', 10, '2031-01-01');
SELECT setval(pg_get_serial_sequence('mf_bill', 'id'), i.replaced_by - 1) IS NOT NULL AS numbered FROM mf_invoice i WHERE i.id = :first;
INSERT INTO rents.rent VALUES ('n/2', 'Another', 10, '2031-01-01');
UPDATE rents.rent SET rent = 20 WHERE contract_month = 'n/1';
SELECT b.customer_name, b.total, r.bill = b.id AS own FROM rents.rent r JOIN mf_bill b ON b.id = r.bill WHERE contract_month IN ('n/1', 'n/2') ORDER BY 1 DESC;
SELECT i.replaced_by = (SELECT bill FROM rents.rent WHERE contract_month = 'n/2') AS as_numbered FROM mf_invoice i WHERE i.id = (SELECT bill FROM rents.rent WHERE contract_month = 'n/1');
DELETE FROM rents.rent WHERE contract_month IN ('n/1', 'n/2');

-- Wrong arguments are told at the first firing
CREATE TABLE rents.probe (tenant text, amount numeric, day date, number bigint);
CREATE FUNCTION pg_temp.mapped(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TRIGGER probe AFTER INSERT OR UPDATE OR DELETE ON rents.probe FOR EACH ROW EXECUTE FUNCTION mf_enqueue(''account=''''enqueued'''''', %s)', (SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) a));
	result := mf_test.try($i$INSERT INTO rents.probe VALUES ('Ahmad', 10, '2031-01-01')$i$);
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = regexp_replace(result, 'Columns are: .*', 'Columns are: ...');
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
SELECT pg_temp.mapped('customer_name=tenant', 'total=amount', 'into=bill');
SELECT pg_temp.mapped('into=nothing', 'customer_name=tenant', 'total=amount');
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant', 'invoice_value=amount');
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant', 'total=day');
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant', 'total=amount', 'id=number', 'on_delete=cancel') AS no_way_to_cancel;
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant', 'total=amount', 'id=number', 'on_delete=nothing');
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant', 'total=amount', 'on_delete=void');
SELECT pg_temp.mapped('into=bill', 'customer_name=tenant');
SELECT pg_temp.mapped('into=invoice', 'customer_name=tenant', 'invoice_value=amount');
DROP VIEW rents.kept;
DROP TABLE rents.rent, rents.parted, rents.probe;
DROP SCHEMA rents;
DROP OWNED BY regress_mf_clerk, regress_mf_chief;
