-- mf_enqueue(): tables of one's own start invoices
\pset format unaligned
CALL mf_test.reset_sandbox();
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
SELECT mf_pause('held');
SELECT set_config('mf_test.first', coalesce(max(id), 0)::text, false) IS NOT NULL AS noted FROM mf_invoice;
CREATE VIEW pg_temp.mine AS SELECT * FROM mf_invoice WHERE id > current_setting('mf_test.first')::bigint;
CREATE SCHEMA estate;

-- Columns, constants, the id written back
CREATE TABLE estate.rent (tenant text, email varchar(100), amount numeric(12, 3), due date, note text, invoice bigint REFERENCES mf_invoice);
CREATE TRIGGER invoice AFTER INSERT ON estate.rent FOR EACH ROW EXECUTE FUNCTION
	mf_enqueue('customer_name=tenant', 'invoice_value = amount', 'customer_email=email', 'notification_option=''eml'' ', 'send_at=due', 'account=''held''', 'user_defined_field=''it''''s = "flat" 12''', 'id=invoice');
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('Ahmad', 'ahmad@example.com', 250, '2031-01-01');
SELECT r.invoice = i.id AS id, i.customer_name, i.customer_email, i.invoice_value, i.notification_option, i.send_at::date, i.user_defined_field, i.status, i.created_by
FROM estate.rent r, pg_temp.mine i;
INSERT INTO estate.rent (tenant, email, amount, due) SELECT 'many ' || n, 'a@example.com', n, '2031-01-01' FROM generate_series(1, 1000) n;
COPY estate.rent (tenant, email, amount, due) FROM stdin (FORMAT csv);
copied 1,a@example.com,5.000,2031-01-01
copied 2,a@example.com,6.000,2031-01-01
\.
SELECT count(*), count(DISTINCT r.invoice), bool_and(i.customer_name = r.tenant AND i.invoice_value = r.amount) AS each_its_own FROM estate.rent r JOIN mf_invoice i ON i.id = r.invoice;
-- an invoice that is refused stops the row
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('Ahmad', 'ahmad@example.com', 0, '2031-01-01');
INSERT INTO estate.rent (tenant, amount, due) VALUES ('no e-mail', 1, '2031-01-01');
SELECT count(*) FROM estate.rent WHERE tenant = 'no e-mail' OR amount = 0;
-- NULL is passed on; where the table has a default it is taken
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('at once', 'a@example.com', 1, NULL);
SELECT i.send_at = i.created_at AS at_once FROM estate.rent r JOIN mf_invoice i ON i.id = r.invoice WHERE r.tenant = 'at once';
-- what is not inserted makes no invoice
CREATE UNIQUE INDEX ON estate.rent (tenant);
SELECT count(*) AS before FROM pg_temp.mine \gset
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('Ahmad', 'x@example.com', 1, '2031-01-01') ON CONFLICT DO NOTHING;
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('Ahmad', 'x@example.com', 1, '2031-01-01') ON CONFLICT (tenant) DO UPDATE SET note = 'again';
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('Ahmad', 'x@example.com', 1, '2031-01-01');
BEGIN;
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('rolled back', 'x@example.com', 1, '2031-01-01');
ROLLBACK;
UPDATE estate.rent SET amount = 5 WHERE tenant = 'Ahmad';
DELETE FROM estate.rent WHERE tenant = 'many 1';
SELECT count(*) - :before AS more FROM pg_temp.mine;
-- in one transaction with the row
BEGIN;
INSERT INTO estate.rent (tenant, email, amount, due) VALUES ('both', 'x@example.com', 1, '2031-01-01') RETURNING invoice IS NULL AS not_yet;
SELECT invoice IS NOT NULL AS now FROM estate.rent WHERE tenant = 'both';
COMMIT;

-- And it is sent.
CREATE TABLE estate.fee (who text, much int);
CREATE TRIGGER invoice AFTER INSERT ON estate.fee FOR EACH ROW WHEN (NEW.much > 0) EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much');
INSERT INTO estate.fee VALUES ('sent', 7), ('for free', 0);
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM pg_temp.mine WHERE customer_name = 'sent')$$);
SELECT body::jsonb->'InvoiceValue' AS value FROM mf_test.requests();
SELECT count(*) FROM pg_temp.mine WHERE customer_name = 'for free';

-- Wrong arguments are told at the first firing, by name.
CREATE DOMAIN estate.invoice_number AS bigint;
CREATE TYPE estate.mood AS ENUM ('good', 'bad');
CREATE TABLE estate.probe (tenant text, amount numeric, day date, flag boolean, small int, big bigint, num numeric, txt text, dom estate.invoice_number, mood estate.mood, "Te nant" text, doc jsonb, methods int[], "5" text, empty_big bigint, empty_num numeric, empty_txt text, empty_dom estate.invoice_number);
CREATE FUNCTION pg_temp.mapped(VARIADIC arguments text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TRIGGER probe AFTER INSERT ON estate.probe FOR EACH ROW EXECUTE FUNCTION mf_enqueue(%s)', (SELECT string_agg(quote_literal(a), ', ') FROM unnest(arguments) a));
	result := mf_test.try($i$INSERT INTO estate.probe VALUES ('Ahmad', 10, '2031-01-01', true, 1, 2, 3, '4', 5, 'good', 'space', '{"Block": "1"}', '{1,2}', 'five')$i$);
	IF result = 'ok' THEN
		SELECT 'ok: ' || concat_ws(' | ', i.customer_name, i.invoice_value, i.user_defined_field, CASE WHEN i.send_at <> i.created_at THEN i.send_at::date END, i.customer_address, i.invoice_payment_methods, i.notification_option, i.priority) INTO result
		FROM pg_temp.mine i ORDER BY id DESC LIMIT 1;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = format('%s -> %s', arguments, result);
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.also(VARIADIC more text[]) RETURNS text LANGUAGE sql AS $$
	SELECT replace(regexp_replace(pg_temp.mapped(VARIADIC ARRAY['account=''held''', 'customer_name=tenant', 'invoice_value=amount'] || more),
		'Valid fields are: .*', 'Valid fields are: ...'), 'account=''held'',customer_name=tenant,invoice_value=amount,', '... ')
$$;
SELECT pg_temp.mapped('account=''held''');
SELECT pg_temp.mapped('customer_name=tenant');
SELECT pg_temp.mapped('invoice_value=amount', 'account=''held''');
SELECT pg_temp.mapped('invoice_value=amount', 'customername=tenant');
SELECT pg_temp.also(a) FROM unnest(ARRAY['user_defined_field', ' user_defined_field = txt ', '=txt', ' = txt', 'user_defined_field=', 'user_defined_field= ', 'user_defined_field=none', 'user_defined_field=TXT', 'userdefinedfield=txt', 'status=txt', 'reference=txt',
	'invoice_id=big', 'created_by=txt', 'oid=big', 'user_defined_field=ctid', 'customer_name=txt', 'account=txt', 'notification_option=''EML', 'notification_option=''EML'' x', 'notification_option=EML''', '']) a;
SELECT pg_temp.also('user_defined_field=txt', 'user_defined_field=txt');
-- types: what an INSERT would assign is taken
SELECT pg_temp.also('user_defined_field=' || c) FROM unnest(ARRAY['txt', 'Te nant', 'day', 'small', 'mood', 'flag', 'doc', '5']) c;
SELECT pg_temp.mapped('account=''held''', 'customer_name=tenant', 'invoice_value=' || c) FROM unnest(ARRAY['small', 'big', 'dom', 'txt', 'day', 'flag', 'doc']) c;
SELECT pg_temp.also(a) FROM unnest(ARRAY['send_at=day', 'send_at=small', 'send_at=''2031-02-03''', 'send_at=''someday''', 'customer_address=doc', 'customer_address=txt', 'customer_address=''{"Block": "2"}''', 'customer_address=''{''',
	'invoice_payment_methods=methods', 'invoice_payment_methods=small', 'priority=small', 'priority=big', 'priority=''7''', 'priority=''high''', 'shipping_method=''9''', 'user_defined_field=''''', 'user_defined_field=''''''''']) a;
SELECT pg_temp.also(a) FROM unnest(ARRAY['id=empty_big', 'id=empty_num', 'id=empty_txt', 'id=empty_dom', 'id=small', 'id=day', 'id=none', 'id=''5''', 'id=']) a;
SELECT pg_temp.also('id=big', 'id=num');

-- Other kinds of triggers are refused.
CREATE FUNCTION pg_temp.kind(definition text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE TRIGGER kind %s EXECUTE FUNCTION mf_enqueue(''customer_name=who'', ''invoice_value=much'', ''account=''''held'''''')', definition);
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = definition || ' -> ' || mf_test.try(statement);
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;
CREATE TABLE estate.kinds (who text, much int);
INSERT INTO estate.kinds VALUES ('x', 1);
CREATE VIEW estate.seen AS SELECT * FROM estate.kinds;
SELECT pg_temp.kind('AFTER INSERT ON estate.kinds FOR EACH ROW', 'INSERT INTO estate.kinds VALUES (''x'', 1)');
SELECT pg_temp.kind('BEFORE INSERT ON estate.kinds FOR EACH ROW', 'INSERT INTO estate.kinds VALUES (''x'', 1)');
SELECT pg_temp.kind('AFTER INSERT ON estate.kinds FOR EACH STATEMENT', 'INSERT INTO estate.kinds VALUES (''x'', 1)');
SELECT pg_temp.kind('AFTER UPDATE ON estate.kinds FOR EACH ROW', 'UPDATE estate.kinds SET much = 2');
SELECT pg_temp.kind('AFTER INSERT OR DELETE ON estate.kinds FOR EACH ROW', 'DELETE FROM estate.kinds');
SELECT pg_temp.kind('AFTER TRUNCATE ON estate.kinds', 'TRUNCATE estate.kinds');
SELECT pg_temp.kind('INSTEAD OF INSERT ON estate.seen FOR EACH ROW', 'INSERT INTO estate.seen VALUES (''x'', 1)');

-- Partitions, with their columns in another order, and attached later
CREATE TABLE estate.bill (who text, much numeric, region int, invoice bigint) PARTITION BY LIST (region);
CREATE TABLE estate.bill_1 PARTITION OF estate.bill FOR VALUES IN (1);
CREATE TABLE estate.bill_2 (invoice bigint, dropped int, region int, much numeric, who text);
ALTER TABLE estate.bill_2 DROP COLUMN dropped;
ALTER TABLE estate.bill ATTACH PARTITION estate.bill_2 FOR VALUES IN (2);
CREATE TRIGGER invoice AFTER INSERT ON estate.bill FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''', 'id=invoice');
INSERT INTO estate.bill VALUES ('one', 1, 1), ('two', 2, 2), ('three', 3, 1);
INSERT INTO estate.bill_2 (who, much, region) VALUES ('directly', 4, 2);
SELECT b.tableoid::regclass, b.who, i.customer_name = b.who AND i.invoice_value = b.much AS same FROM estate.bill b JOIN mf_invoice i ON i.id = b.invoice ORDER BY i.id;

-- A row that has its invoice makes no other: one that moves to another partition, or comes from a backup
SELECT max(id) AS latest FROM pg_temp.mine \gset
UPDATE estate.bill SET region = 3 - region, much = much + 1;
INSERT INTO estate.bill SELECT 'copied', much, region, invoice FROM estate.bill WHERE who = 'one';
SELECT b.tableoid::regclass, b.who, i.customer_name, i.invoice_value FROM estate.bill b JOIN mf_invoice i ON i.id = b.invoice ORDER BY i.id, b.who;
SELECT count(*) AS more FROM pg_temp.mine WHERE id > :latest;
UPDATE estate.bill SET region = 3 - region, invoice = NULL WHERE who = 'two';
SELECT count(*) AS wanted FROM pg_temp.mine WHERE id > :latest;

-- Changes of the table after the first firing
CREATE TABLE estate.changing (spare int, who text, much numeric, other text, invoice bigint);
CREATE TRIGGER invoice AFTER INSERT ON estate.changing FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''', 'id=invoice');
INSERT INTO estate.changing (who, much) VALUES ('first', 1);
ALTER TABLE estate.changing DROP COLUMN spare;
ALTER TABLE estate.changing ADD COLUMN fresh int DEFAULT 5;
INSERT INTO estate.changing (who, much) VALUES ('column gone', 2);
ALTER TABLE estate.changing RENAME COLUMN who TO whom;
SELECT mf_test.try($$INSERT INTO estate.changing (whom, much) VALUES ('renamed', 3)$$);
ALTER TABLE estate.changing RENAME COLUMN other TO who;
INSERT INTO estate.changing (who, much) VALUES ('another column of that name', 3);
ALTER TABLE estate.changing ALTER COLUMN much TYPE text;
SELECT mf_test.try($$INSERT INTO estate.changing (who, much) VALUES ('other type', '3')$$);
ALTER TABLE estate.changing ALTER COLUMN much TYPE int USING much::int;
INSERT INTO estate.changing (who, much) VALUES ('number again', 4);
ALTER TABLE estate.changing RENAME TO changed;
ALTER TABLE estate.changed RENAME COLUMN invoice TO number;
SELECT mf_test.try($$INSERT INTO estate.changed (who, much) VALUES ('no id column', 4)$$);
ALTER TABLE estate.changed RENAME COLUMN number TO invoice;
INSERT INTO estate.changed (who, much) VALUES ('table renamed', 5);
ALTER TABLE estate.changed DROP COLUMN much;
SELECT mf_test.try($$INSERT INTO estate.changed (who) VALUES ('dropped')$$);
SELECT c.who, i.customer_name, i.invoice_value FROM estate.changed c JOIN mf_invoice i ON i.id = c.invoice ORDER BY i.id;

-- Two triggers make two invoices; only one can write back, in the order of their names.
CREATE TABLE estate.twice (who text, much int, first bigint, second bigint);
CREATE TRIGGER a AFTER INSERT ON estate.twice FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''');
CREATE TRIGGER b AFTER INSERT ON estate.twice FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''', 'id=second');
INSERT INTO estate.twice VALUES ('both', 1);
SELECT count(*) FROM pg_temp.mine WHERE customer_name = 'both';
CREATE TRIGGER c AFTER INSERT ON estate.twice FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''', 'id=first');
SELECT mf_test.try($$INSERT INTO estate.twice VALUES ('three', 1)$$);
CREATE TABLE estate.guarded (who text, much int, invoice bigint);
CREATE FUNCTION estate.keep_invoice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.invoice := OLD.invoice; RETURN NEW; END $$;
CREATE TRIGGER a AFTER INSERT ON estate.guarded FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'account=''held''', 'id=invoice');
CREATE TRIGGER b BEFORE UPDATE ON estate.guarded FOR EACH ROW EXECUTE FUNCTION estate.keep_invoice();
SELECT mf_test.try($$INSERT INTO estate.guarded VALUES ('guarded', 1)$$);

-- Rights are those of whoever inserts the row. Names that somebody puts in the way are not looked at.
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice, regress_mf_bob;
RESET client_min_messages;
CREATE ROLE regress_mf_alice IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_bob;
GRANT USAGE, CREATE ON SCHEMA estate TO regress_mf_alice, regress_mf_bob;
GRANT INSERT, SELECT ON estate.rent TO regress_mf_alice, regress_mf_bob;
GRANT USAGE ON FOREIGN SERVER held TO regress_mf_alice;
SET ROLE regress_mf_bob;
SELECT mf_test.try($$INSERT INTO estate.rent (tenant, email, amount) VALUES ('by bob', 'b@example.com', 1)$$);
SELECT mf_test.try($$CREATE TRIGGER t AFTER INSERT ON estate.rent FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=tenant')$$);
SET ROLE regress_mf_alice;
SELECT mf_test.try($$INSERT INTO estate.rent (tenant, email, amount) VALUES ('by alice', 'a@example.com', 1)$$);
RESET ROLE;
GRANT UPDATE (invoice) ON estate.rent TO regress_mf_alice;
SET ROLE regress_mf_alice;
CREATE TABLE estate.mf_invoice (id bigint, customer_name text, invoice_value numeric);
CREATE FUNCTION estate.equal(tid, tid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR estate.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = estate.equal);
SET search_path = estate, pg_catalog, public;
INSERT INTO rent (tenant, email, amount) VALUES ('by alice', 'a@example.com', 1);
RESET search_path;
RESET ROLE;
SELECT i.created_by, i.customer_name FROM estate.rent r JOIN mf_invoice i ON i.id = r.invoice WHERE r.tenant = 'by alice';
SELECT count(*) AS planted FROM estate.mf_invoice;
SELECT count(*) AS wrong FROM estate.rent r JOIN mf_invoice i ON i.id = r.invoice WHERE i.customer_name <> r.tenant;

-- A trigger that takes the invoice away is an error: no row goes without its invoice unseen.
BEGIN;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing BEFORE INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
SELECT mf_test.try($$INSERT INTO estate.fee VALUES ('taken away', 7)$$);
ROLLBACK;

-- The end
SET client_min_messages = warning;
DROP SCHEMA estate CASCADE;
SELECT count(mf_cancel(id)) > 0 AS cancelled FROM pg_temp.mine WHERE account = 'held';
DELETE FROM pg_temp.mine WHERE account = 'held';
SELECT mf_resume('held');
DROP SERVER held;
DROP OWNED BY regress_mf_alice, regress_mf_bob;
DROP ROLE regress_mf_alice, regress_mf_bob;
