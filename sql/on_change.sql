-- mf_on_change(), mf_off_change(): who may register which functions, and what they are called with
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_books, regress_mf_clerk, regress_mf_chief, regress_mf_nobody;
RESET client_min_messages;
CREATE ROLE regress_mf_nobody;
CREATE ROLE regress_mf_books IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_clerk IN ROLE regress_mf_books, myfatoorah_submit;
CREATE ROLE regress_mf_chief IN ROLE myfatoorah_operate;
CREATE SCHEMA "The (books)" AUTHORIZATION regress_mf_books;
GRANT ALL ON SCHEMA "The (books)" TO regress_mf_nobody, regress_mf_chief;
SET search_path = "The (books)", public;

-- What cannot be called
SET ROLE regress_mf_books;
CREATE FUNCTION one(mf_invoice) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION texts(text, text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION rows(old mf_invoice, new mf_invoice) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE proc(old mf_invoice, new mf_invoice) LANGUAGE sql AS '';
CREATE FUNCTION pg_temp.gone(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS '';
SELECT mf_test.try('SELECT mf_on_change(NULL)');
SELECT mf_test.try('SELECT mf_on_change(0)');
SELECT mf_test.try($$SELECT mf_on_change('nowhere(mf_invoice, mf_invoice)')$$);
SELECT mf_test.try($$SELECT mf_on_change('one(mf_invoice)')$$);
SELECT mf_test.try($$SELECT mf_on_change('texts(text, text)')$$);
SELECT mf_test.try($$SELECT mf_on_change('rows(mf_invoice, mf_invoice)')$$);
SELECT mf_test.try($$SELECT mf_on_change('proc(mf_invoice, mf_invoice)')$$);
SELECT regexp_replace(mf_test.try($$SELECT mf_on_change('pg_temp.gone(mf_invoice, mf_invoice)')$$), 'pg_temp_[0-9]+', 'pg_temp');

-- Who may
CREATE TABLE told (n int GENERATED ALWAYS AS IDENTITY, id bigint, what text);
CREATE FUNCTION "Tell"(old mf_invoice, new mf_invoice) RETURNS SETOF mf_invoice LANGUAGE sql AS 'SELECT new';
DROP FUNCTION "Tell";
CREATE FUNCTION "Tell"(old mf_invoice, new mf_invoice) RETURNS record SET search_path = "The (books)" LANGUAGE sql
	AS $$INSERT INTO told (id, what) VALUES (new.id, format('%s to %s by %s', old.status, new.status, current_user)) RETURNING id, what$$;
CREATE FUNCTION "Tell"(text) RETURNS void LANGUAGE sql AS '';
RESET ROLE;
GRANT EXECUTE ON FUNCTION mf_on_change, mf_off_change TO regress_mf_nobody;
GRANT USAGE ON TYPE mf_invoice TO regress_mf_nobody;
SET ROLE regress_mf_nobody;
CREATE FUNCTION blind(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS '';
RESET ROLE;
SELECT mf_test.as_role('regress_mf_chief', $$SELECT mf_on_change('"Tell"(mf_invoice, mf_invoice)')$$) AS not_the_chief;
SELECT mf_test.as_role('regress_mf_nobody', $$SELECT mf_on_change('blind(mf_invoice, mf_invoice)')$$) AS blind;
SELECT mf_test.as_role('regress_mf_clerk', $$SELECT mf_on_change('"Tell"(mf_invoice, mf_invoice)')$$) AS a_member;
SELECT function, owner, registered_by, failures, retry_at FROM mf_reaction;
SELECT mf_test.as_role('regress_mf_books', $$SELECT mf_on_change('"Tell"(mf_invoice, mf_invoice)')$$) AS the_owner;
SELECT function, owner, registered_by, failures, retry_at FROM mf_reaction;

-- Its name does not depend on the session
SET ROLE regress_mf_books;
CREATE FUNCTION quiet(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS '';
SET quote_all_identifiers = on;
SELECT mf_on_change('quiet(mf_invoice, mf_invoice)');
RESET quote_all_identifiers;
SELECT mf_on_change('quiet(mf_invoice, mf_invoice)');
SELECT function FROM mf_reaction WHERE function ~ 'quiet';
SELECT mf_off_change('quiet');
RESET ROLE;

-- It is told once the change is committed
INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('on change', 1, now() + interval '1 day');
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name = 'on change';
CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT what, id = (SELECT id FROM mf_invoice WHERE customer_name = 'on change') AS same FROM told;
DELETE FROM mf_invoice WHERE customer_name = 'on change';
SELECT count(*) FROM mf_check() WHERE item = 'reactions';
SELECT count(*) FROM mf_reaction_backlog;

-- Of payments only: not while it is being sent
SELECT mf_test.as_role('regress_mf_books', $$SELECT mf_on_change('"Tell"(mf_invoice, mf_invoice)', true)$$) AS again;
SELECT function, kind FROM mf_reaction;
DELETE FROM told;
INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('told of payments', 1);
CALL mf_test.wait_for($$(SELECT status FROM mf_invoice WHERE customer_name = 'told of payments') = 'sent'$$);
INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('told of payments', 2, now() + interval '1 day');
SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name = 'told of payments' AND invoice_value = 2;
CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT what FROM told ORDER BY n;
SELECT mf_test.sandbox('invoices/' || invoice_id || '/pay', '{"gateway": "KNET"}') IS NOT NULL AS paid FROM mf_invoice WHERE customer_name = 'told of payments' AND status = 'sent';
SELECT mf_refresh(id) FROM mf_invoice WHERE customer_name = 'told of payments' AND status = 'sent';
CALL mf_test.wait_for($$(SELECT payment_status FROM mf_invoice WHERE customer_name = 'told of payments' AND status = 'sent') = 'paid'$$);
CALL mf_test.wait_for('NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT what FROM told ORDER BY n;
SELECT mf_test.as_role('regress_mf_books', $$SELECT mf_on_change('"Tell"(mf_invoice, mf_invoice)')$$) AS all_again;
SELECT function, kind FROM mf_reaction;
DELETE FROM mf_invoice WHERE customer_name = 'told of payments';

-- Only mf_invoice has this trigger
CREATE TABLE other (id bigint);
CREATE TRIGGER t AFTER UPDATE ON other FOR EACH ROW EXECUTE FUNCTION mf_invoice_on_change();
INSERT INTO other VALUES (1);
SELECT mf_test.try('UPDATE other SET id = 2');
SELECT mf_test.try('SELECT mf_invoice_on_change()');
DROP TABLE other;

-- The end
SELECT mf_test.as_role('regress_mf_nobody', $$SELECT mf_off_change('"The (books)"."Tell"')$$) AS nobody;
SELECT mf_test.try('SELECT mf_off_change(NULL)');
SELECT mf_test.try($$SELECT mf_off_change('nowhere')$$);
SET ROLE regress_mf_clerk;
SELECT mf_on_change('"Tell"(mf_invoice,mf_invoice)');
SELECT mf_off_change('"Tell"');
SELECT mf_on_change('"Tell"(mf_invoice,mf_invoice)');
DROP FUNCTION "Tell"(mf_invoice, mf_invoice);
RESET ROLE;
SELECT detail, hint FROM mf_check() WHERE item = 'reactions';
SELECT mf_test.try($$SELECT mf_off_change('"Tell"')$$) AS not_found;
SELECT mf_test.as_role('regress_mf_chief', $$SELECT mf_off_change('"The (books)"."Tell"(mf_invoice, mf_invoice)')$$) AS the_chief;
SELECT count(*) FROM mf_reaction;
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA "The (books)" CASCADE;
DROP OWNED BY regress_mf_books, regress_mf_clerk, regress_mf_chief, regress_mf_nobody;
DROP ROLE regress_mf_books, regress_mf_clerk, regress_mf_chief, regress_mf_nobody;
