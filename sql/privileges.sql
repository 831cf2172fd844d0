-- Who may do what: PUBLIC nothing, each role its part; planted objects are not used; secrets are nowhere to be read
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_nobody, regress_mf_submit, regress_mf_read, regress_mf_operate;
RESET client_min_messages;
CREATE ROLE regress_mf_nobody;
CREATE ROLE regress_mf_submit IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_read IN ROLE myfatoorah_read;
CREATE ROLE regress_mf_operate IN ROLE myfatoorah_operate;
CALL mf_test.reset_sandbox();
CREATE VIEW pg_temp.member AS SELECT classid, objid FROM pg_depend
	WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'myfatoorah');

-- Everything in the extension. A new line here wants a look at its rights, its marking and its comment.
SELECT p.oid::regprocedure AS function, CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
	p.proisstrict AS strict, CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
	p.proretset AS set, p.prosecdef AS definer, p.proconfig AS settings
FROM pg_proc p JOIN pg_temp.member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid ORDER BY p.proname, p.oid;
SELECT c.oid::regclass AS relation, c.relkind, c.relrowsecurity AS rls, c.reloptions FROM pg_class c JOIN pg_temp.member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid ORDER BY c.relkind, c.relname;
SELECT pg_describe_object(classid, objid, 0) FROM pg_temp.member WHERE classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass) AND objid NOT IN (SELECT typarray FROM pg_type)
	AND objid NOT IN (SELECT t.oid FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind IN ('r', 'v', 'p')) ORDER BY 1;
SELECT t.tgrelid::regclass, t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_temp.member m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid WHERE NOT t.tgisinternal ORDER BY 1, 2;
SELECT o::regclass AS dumped, c FROM pg_extension, unnest(extconfig, extcondition) x(o, c) WHERE extname = 'myfatoorah' ORDER BY 1;
-- without a comment
SELECT pg_describe_object(classid, objid, 0) FROM pg_temp.member m
WHERE obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)::name) IS NULL
	AND NOT EXISTS (SELECT FROM pg_class c WHERE m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('S', 'i'))
	AND NOT EXISTS (SELECT FROM pg_type t WHERE m.classid = 'pg_type'::regclass AND t.oid = m.objid AND (t.typelem <> 0 OR t.typrelid <> 0)) ORDER BY 1;
SELECT attname FROM pg_attribute WHERE attrelid = 'mf_invoice'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;

-- The roles: without login, without any other power, one in another
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, shobj_description(oid, 'pg_authid') AS purpose FROM pg_roles WHERE rolname LIKE 'myfatoorah%' ORDER BY 1;
SELECT r.rolname AS role, m.rolname AS has, a.admin_option FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.member JOIN pg_roles m ON m.oid = a.roleid WHERE r.rolname LIKE 'myfatoorah%' ORDER BY 1, 2;

-- Rights of PUBLIC: none
SELECT 'function' AS what, p.oid::regprocedure::text FROM pg_proc p JOIN pg_temp.member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass,
	aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0
UNION ALL
SELECT 'relation', c.oid::regclass::text FROM pg_class c JOIN pg_temp.member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass, aclexplode(c.relacl) a WHERE a.grantee = 0
UNION ALL
SELECT 'column', a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_temp.member m ON m.objid = a.attrelid AND m.classid = 'pg_class'::regclass, aclexplode(a.attacl) x WHERE x.grantee = 0
UNION ALL
SELECT 'type', t.oid::regtype::text FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind IN ('c', 'r', 'p', 'v') JOIN pg_temp.member m ON m.objid = c.oid OR m.objid = t.oid,
	aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a WHERE a.grantee = 0
UNION ALL
SELECT 'wrapper', w.fdwname FROM pg_foreign_data_wrapper w JOIN pg_temp.member m ON m.objid = w.oid AND m.classid = 'pg_foreign_data_wrapper'::regclass, aclexplode(w.fdwacl) a WHERE a.grantee = 0;

-- Rights of each role
SELECT p.proname, string_agg(a.grantee::regrole::text, ', ' ORDER BY a.grantee::regrole::text COLLATE "C") AS may_execute
FROM pg_proc p JOIN pg_temp.member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass, aclexplode(p.proacl) a WHERE a.grantee <> p.proowner GROUP BY p.oid, p.proname ORDER BY p.proname, p.oid;
SELECT p.proname AS for_the_owner_only FROM pg_proc p JOIN pg_temp.member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass
WHERE NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner) ORDER BY 1;
SELECT c.relname, a.grantee::regrole, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS rights FROM pg_class c JOIN pg_temp.member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass, aclexplode(c.relacl) a
WHERE a.grantee <> c.relowner GROUP BY c.relname, a.grantee ORDER BY c.relname, a.grantee::regrole::text COLLATE "C";
SELECT x.grantee::regrole, x.privilege_type, count(*) AS columns FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = 'mf_invoice'::regclass GROUP BY x.grantee, x.privilege_type ORDER BY 1, 2;
SELECT string_agg(a.attname, ' ' ORDER BY a.attnum) AS not_for_submitters FROM pg_attribute a WHERE a.attrelid = 'mf_invoice'::regclass AND a.attnum > 0 AND NOT EXISTS (SELECT FROM aclexplode(a.attacl) x WHERE x.grantee = 'myfatoorah_submit'::regrole);
-- nobody may hang a trigger on a table that the worker writes, nor empty it
SELECT r.rolname, c.relname FROM pg_roles r, pg_class c JOIN pg_temp.member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass
WHERE (r.rolname LIKE 'myfatoorah%' OR r.rolname LIKE 'regress_mf%') AND c.relkind IN ('r', 'p') AND has_table_privilege(r.oid, c.oid, 'TRIGGER, TRUNCATE, REFERENCES');

-- In practice
CREATE FUNCTION pg_temp.attempts(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	result text;
BEGIN
	FOREACH statement IN ARRAY ARRAY['TABLE mf_invoice', 'TABLE mf_queue', 'TABLE mf_attempt', 'TABLE mf_transition', 'TABLE mf_account', 'TABLE mf_identity', 'TABLE mf_reaction', 'TABLE mf_reaction_queue', 'TABLE mf_reaction_backlog', 'TABLE mf_history', 'TABLE mf_open', 'TABLE mf_invoice_all', 'TABLE mf_invoice_archive', 'TABLE mf_archive_key', 'TABLE mf_part', 'TABLE mf_addition', 'TABLE mf_backlog', 'TABLE mf_review',
		'TABLE mf_worker_status', 'INSERT INTO mf_invoice (customer_name, invoice_value) VALUES (''x'', 1)', 'UPDATE mf_invoice SET customer_name = ''y'' WHERE false', 'UPDATE mf_invoice SET status = ''sent'' WHERE false', 'DELETE FROM mf_invoice WHERE false', 'TRUNCATE mf_invoice',
		'DELETE FROM mf_queue WHERE false', 'UPDATE mf_account SET paused_at = NULL WHERE false', 'DELETE FROM mf_transition WHERE false', 'SELECT mf_send_payment(''x'', 1)', 'SELECT invoice_id FROM mf_payment_status(''1'', ''InvoiceId'')',
		'SELECT * FROM mf_payment_transactions(''1'', ''InvoiceId'')', 'SELECT item FROM mf_check()', 'SELECT mf_pause(''*'')', 'SELECT mf_resume(''*'')', 'SELECT mf_cancel(-1)', 'SELECT mf_retry(-1)', 'SELECT mf_resolve(-1, ''x'', ''y'')',
		'SELECT * FROM mf_forget(''nobody of that name'')', 'SELECT mf_archive(''1970-01-01'')', 'SELECT mf_unarchive(''{}'')', 'SELECT mf_key_taken(NULL)', 'SELECT mf_on_change(NULL)', 'SELECT mf_off_change(NULL)', 'SELECT mf_worker_stat()', 'SELECT mf_account_validator(''{}'', 0)', 'SELECT nextval(''mf_invoice_id_seq'')', 'CREATE TRIGGER t BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
		'CREATE RULE r AS ON UPDATE TO mf_queue DO ALSO NOTHING', 'ALTER TABLE mf_invoice DISABLE TRIGGER ALL'] LOOP
		BEGIN
			PERFORM set_config('role', who, true);
			EXECUTE statement;
			RAISE EXCEPTION USING ERRCODE = 'MF000';
		EXCEPTION
			WHEN SQLSTATE 'MF000' THEN result := 'yes';
			WHEN insufficient_privilege THEN result := NULL;
			WHEN OTHERS THEN result := 'yes, but ' || SQLSTATE;
		END;
		IF result IS NOT NULL THEN
			RETURN NEXT split_part(statement, '(', 1) || ': ' || result;
		END IF;
	END LOOP;
END
$$;
SELECT pg_temp.attempts('regress_mf_nobody');
SELECT pg_temp.attempts('regress_mf_submit');
SELECT pg_temp.attempts('regress_mf_read');
SELECT pg_temp.attempts('regress_mf_operate');
GRANT USAGE ON FOREIGN SERVER myfatoorah TO regress_mf_submit;
SELECT pg_temp.attempts('regress_mf_submit') EXCEPT SELECT pg_temp.attempts('regress_mf_read') ORDER BY 1;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM regress_mf_submit;
-- nobody takes on the worker's role
SELECT r.rolname FROM pg_roles r WHERE (r.rolname LIKE 'myfatoorah%' OR r.rolname LIKE 'regress_mf%') AND r.rolname <> 'myfatoorah_worker' AND pg_has_role(r.oid, 'myfatoorah_worker', 'MEMBER');

-- Planted objects: whatever somebody puts into a schema of the search path, nobody calls it
CREATE SCHEMA evil AUTHORIZATION regress_mf_nobody;
CREATE TABLE evil.caught (what text, by name);
GRANT INSERT ON evil.caught TO PUBLIC;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET ROLE regress_mf_nobody;
DO $$
DECLARE
	f text;
	o record;
	n int := 0;
BEGIN
	FOREACH f IN ARRAY ARRAY['mf_queue', 'mf_attempt', 'mf_transition', 'mf_account', 'mf_identity', 'mf_invoice', 'pg_extension', 'pg_foreign_server', 'pg_user_mapping'] LOOP
		EXECUTE format('CREATE TABLE evil.%I (LIKE pg_catalog.pg_settings)', f);
	END LOOP;
	FOREACH f IN ARRAY ARRAY['now()', 'clock_timestamp()', 'count(anyelement)', 'coalesced()', 'greatest(timestamptz)', 'nullif(int, int)', 'unnest(text[])', 'format(text)', 'array_agg(text)', 'min(timestamptz)', 'current_database()',
		'mf_payment_status(text)', 'mf_worker_stat()', 'mf_cancel(bigint)', 'mf_invoice_guard()', 'int8(text)', 'text(name)'] LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION evil.%s RETURNS int LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.caught VALUES (%L, current_user); RETURN 1; END $f$', f, f);
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	FOR o IN SELECT * FROM (VALUES ('=', 'text', 'text'), ('=', 'bigint', 'bigint'), ('=', 'name', 'name'), ('=', 'name', 'text'), ('=', 'text', 'name'), ('<>', 'text', 'text'), ('<=', 'timestamptz', 'timestamptz'),
		('>=', 'timestamptz', 'timestamptz'), ('>', 'timestamptz', 'timestamptz'), ('>', 'text', 'text'), ('=', 'integer', 'integer'), ('||', 'text', 'text'), ('=', 'boolean', 'boolean')) v(op, l, r) LOOP
		n := n + 1;
		EXECUTE format('CREATE FUNCTION evil.op_%s(%s, %s, OUT boolean) LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.caught VALUES (%L, current_user); $3 := true; END $f$', n, o.l, o.r, o.op || o.l);
		EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op_%s)', o.op, o.l, o.r, n);
	END LOOP;
	CREATE FUNCTION evil.later(timestamptz, interval) RETURNS timestamptz LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.caught VALUES ('-', current_user); RETURN $1; END $f$;
	CREATE OPERATOR evil.- (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = evil.later);
	CREATE OPERATOR evil.+ (LEFTARG = timestamptz, RIGHTARG = interval, FUNCTION = evil.later);
	CREATE FUNCTION evil.times(smallint, interval) RETURNS interval LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.caught VALUES ('*', current_user); RETURN $2; END $f$;
	CREATE OPERATOR evil.* (LEFTARG = smallint, RIGHTARG = interval, FUNCTION = evil.times);
END
$$;
RESET ROLE;
SET client_min_messages = error;
CREATE SERVER held FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1');
SET search_path = evil, pg_catalog, public;
-- the trap works
SELECT 'a'::text = 'b'::text AS trapped, now() AS trapped_too, 1::smallint * '1 s'::interval IS NULL AS and_this;
SELECT what, by FROM evil.caught ORDER BY what;
TRUNCATE evil.caught;
-- everything as the owner, whose rights would be worth having
SELECT public.mf_pause('held', 'x');
INSERT INTO public.mf_invoice (account, customer_name, invoice_value, priority, send_at) VALUES ('held', 'planted', 1, 1, '2031-01-01'), ('held', 'planted', 2, 1, '2031-01-01');
UPDATE public.mf_invoice SET priority = 2, send_at = '2031-01-02' WHERE account OPERATOR(pg_catalog.=) 'held';
SELECT public.mf_cancel(id, 'x') IS NULL FROM public.mf_invoice WHERE account OPERATOR(pg_catalog.=) 'held';
INSERT INTO public.mf_invoice (account, customer_name, invoice_value, reference, status) VALUES ('held', 'planted', 3, 'planted-1', 'rejected'), ('held', 'planted', 3, 'planted-2', 'review');
SELECT public.mf_retry(id, 'x') IS NULL FROM public.mf_invoice WHERE reference OPERATOR(pg_catalog.=) 'planted-1';
SELECT public.mf_resolve(id, 'abandon', 'x') IS NULL FROM public.mf_invoice WHERE reference OPERATOR(pg_catalog.=) 'planted-2';
SELECT public.mf_cancel(id) IS NULL FROM public.mf_invoice WHERE reference OPERATOR(pg_catalog.=) 'planted-1~2';
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS rows FROM public.mf_history;
SELECT pg_catalog.count(*) AS rows FROM public.mf_backlog;
SELECT pg_catalog.count(*) AS rows FROM public.mf_worker_status;
SELECT pg_catalog.count(*) AS rows FROM public.mf_review;
SELECT pg_catalog.count(*) AS rows FROM public.mf_check();
SELECT invoice_id OPERATOR(pg_catalog.>) 0 AS sent FROM public.mf_send_payment('x', 1, expiry_date => '2031-01-01', invoice_items => '[{"ItemName": "a", "Quantity": 1, "UnitPrice": 1}]');
DELETE FROM public.mf_invoice WHERE account OPERATOR(pg_catalog.=) 'held' AND status OPERATOR(pg_catalog.<>) 'queued';
SELECT public.mf_resume('held');
INSERT INTO public.mf_invoice (customer_name, invoice_value) VALUES ('planted, sent', 1);
RESET search_path;
CALL mf_test.wait_for($$(SELECT status = 'sent' FROM mf_invoice WHERE customer_name = 'planted, sent')$$);
SELECT what, by FROM evil.caught;
RESET client_min_messages;
-- tables of the session in the way of ours
CREATE TEMP TABLE mf_queue (invoice bigint);
CREATE TEMP TABLE mf_transition (invoice bigint);
CREATE TEMP TABLE mf_account (account text);
SELECT mf_pause('held');
INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('held', 'temporary', 1);
SELECT count(mf_cancel(id)) FROM mf_invoice WHERE customer_name = 'temporary';
SELECT status FROM mf_invoice WHERE customer_name = 'temporary';
SELECT mf_resume('held');
DROP TABLE pg_temp.mf_queue, pg_temp.mf_transition, pg_temp.mf_account;
DELETE FROM mf_invoice WHERE customer_name = 'temporary';
SET session_replication_role = replica;
DELETE FROM mf_queue WHERE account = 'held';
DELETE FROM mf_invoice WHERE account = 'held';
RESET session_replication_role;
SET client_min_messages = warning;
DROP SERVER held;
DROP SCHEMA evil CASCADE;

-- The key is in no table, view or catalog that others read, in no statement shown, and in no request but its header.
CREATE FUNCTION pg_temp.places(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	key text := mf_test.setting('api_key');
	relation regclass;
	hit boolean;
BEGIN
	FOR relation IN SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm') AND
		CASE who WHEN 'none' THEN c.oid IN (SELECT objid FROM pg_temp.member WHERE classid = 'pg_class'::regclass) ELSE has_table_privilege(who, c.oid, 'SELECT') END ORDER BY c.oid LOOP
		BEGIN
			PERFORM set_config('role', who, true);
			EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE position($1 IN t::text) > 0)', relation) INTO hit USING key;
			PERFORM set_config('role', 'none', true);
			IF hit THEN
				RETURN NEXT relation::text;
			END IF;
		EXCEPTION WHEN insufficient_privilege THEN
			NULL;
		END;
	END LOOP;
END
$$;
CREATE SERVER keyed FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
DO $$ BEGIN EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER keyed OPTIONS (api_key %L)', mf_test.setting('api_key')); END $$;
SELECT pg_temp.places('none');
SELECT pg_temp.places('regress_mf_nobody');
SELECT count(*) FROM pg_stat_activity WHERE position(mf_test.setting('api_key') IN query) > 0;
SET ROLE regress_mf_nobody;
SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL;
RESET ROLE;
DROP SERVER keyed CASCADE;
SELECT count(*) FILTER (WHERE key_elsewhere) AS elsewhere FROM mf_test.requests();

DROP OWNED BY regress_mf_nobody, regress_mf_submit, regress_mf_read, regress_mf_operate;
DROP ROLE regress_mf_nobody, regress_mf_submit, regress_mf_read, regress_mf_operate;
