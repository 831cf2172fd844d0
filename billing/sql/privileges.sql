-- Who may do what with bills: PUBLIC nothing, each role its part; all belongs to one role, and no function follows the caller's search path
\pset format unaligned
CREATE VIEW pg_temp.member AS SELECT classid, objid FROM pg_depend
	WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'myfatoorah_billing');

-- Everything in the extension. A new line here wants a look at its rights, its marking and its comment.
SELECT p.oid::regprocedure AS function, l.lanname AS language, CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
	p.proisstrict AS strict, CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel, p.prosecdef AS definer
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_temp.member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid ORDER BY p.proname, p.oid;
SELECT c.oid::regclass AS relation, c.relkind FROM pg_class c JOIN pg_temp.member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid WHERE c.relkind <> 'i' ORDER BY c.relkind, c.relname;
SELECT t.tgrelid::regclass, t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_temp.member m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid WHERE NOT t.tgisinternal ORDER BY 1, 2;
SELECT o::regclass AS dumped, c FROM pg_extension, unnest(extconfig, extcondition) x(o, c) WHERE extname = 'myfatoorah_billing' ORDER BY 1;

-- None of these
SELECT p.oid::regprocedure AS follows_the_path FROM pg_proc p JOIN pg_temp.member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid JOIN pg_language l ON l.oid = p.prolang
	WHERE l.lanname <> 'c' AND p.prosqlbody IS NULL AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
-- A plan without sequential scans costs so much where it needs one that each would be compiled
SELECT p.oid::regprocedure AS compiled FROM pg_proc p JOIN pg_temp.member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
	WHERE ('enable_seqscan=off' = ANY (p.proconfig) OR p.proname = 'mf_billing_tick') AND NOT 'jit=off' = ANY (p.proconfig);
SELECT pg_describe_object(classid, objid, 0) AS of_another_role FROM pg_temp.member m WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = m.objid AND p.proowner = 'myfatoorah_billing'::regrole)
	AND m.classid = 'pg_proc'::regclass OR m.classid = 'pg_class'::regclass AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = m.objid AND c.relowner = 'myfatoorah_billing'::regrole);
SELECT pg_describe_object(classid, objid, 0) AS without_comment FROM pg_temp.member m
WHERE obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)::name) IS NULL
	AND NOT EXISTS (SELECT FROM pg_class c WHERE m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('S', 'i'))
	AND NOT EXISTS (SELECT FROM pg_type t WHERE m.classid = 'pg_type'::regclass AND t.oid = m.objid AND (t.typelem <> 0 OR t.typrelid <> 0)) ORDER BY 1;
SELECT attrelid::regclass, attname AS without_comment FROM pg_attribute WHERE attrelid = 'mf_bill'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;

-- Whoever has the right to read a table or view of either extension can read it: no function in it is denied
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT x.rolname, c.oid::regclass AS relation FROM pg_roles x, pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_extension e ON e.oid = d.refobjid AND e.extname LIKE 'myfatoorah%'
		WHERE x.rolname LIKE 'myfatoorah%' AND c.relkind IN ('r', 'v', 'p') AND has_table_privilege(x.oid, c.oid, 'SELECT') ORDER BY x.rolname, c.relname
	LOOP
		BEGIN
			EXECUTE format('SET LOCAL ROLE %I', r.rolname);
			EXECUTE format('SELECT * FROM %s LIMIT 1', r.relation);
			RESET ROLE;
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE WARNING '% cannot read %: %', r.rolname, r.relation, sqlerrm;
		END;
	END LOOP;
END
$$;
-- Rights: functions, columns, tables
SELECT p.proname, string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', ') AS grantees
FROM pg_proc p JOIN pg_temp.member m ON m.objid = p.oid AND m.classid = 'pg_proc'::regclass, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee <> p.proowner GROUP BY p.oid, p.proname ORDER BY 1;
SELECT c.oid::regclass AS relation, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
FROM pg_class c JOIN pg_temp.member m ON m.objid = c.oid AND m.classid = 'pg_class'::regclass, aclexplode(c.relacl) a WHERE a.grantee <> c.relowner GROUP BY c.relname, c.oid, a.grantee ORDER BY 1, 2;
SELECT t.attrelid::regclass AS relation, a.grantee::regrole AS role, a.privilege_type, string_agg(t.attname, ' ' ORDER BY t.attnum) AS columns
FROM pg_attribute t JOIN pg_temp.member m ON m.objid = t.attrelid AND m.classid = 'pg_class'::regclass, aclexplode(t.attacl) a GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls, (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = r.oid) AS members FROM pg_roles r WHERE rolname = 'myfatoorah_billing';
SELECT kind, function, owner, extension FROM mf_reaction ORDER BY 1;
SELECT prefix, function, owner, extension FROM mf_route;

-- Functions that run as their owner call those of ours by all arguments, so that none with fewer or other arguments is taken, which somebody else has made there
CREATE FUNCTION mf_insert_as(oid, mf_invoice[], bigint[]) RETURNS bigint[] LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_link_retire(bigint, timestamptz, varchar) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_bill_settle(bigint, timestamptz, varchar) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION mf_check_amount(varchar, numeric, text, varchar) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
BEGIN;
INSERT INTO mf_bill (customer_name, total, send_at) VALUES ('Planted', 5, now() + interval '1 day');
INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 2 FROM mf_bill WHERE customer_name = 'Planted';
UPDATE mf_bill SET customer_name = 'planted' WHERE customer_name = 'Planted';
SELECT mf_request(id, 1) > 0 AS request, mf_new_link(id, 'x') > 0 AS link FROM mf_bill WHERE customer_name = 'planted';
SELECT mf_void(id, 'x') FROM mf_bill WHERE customer_name = 'planted';
SELECT mf_reopen(id, 'x') FROM mf_bill WHERE customer_name = 'planted';
SELECT status, balance FROM mf_bill WHERE customer_name = 'planted';
ROLLBACK;
DROP FUNCTION mf_insert_as(oid, mf_invoice[], bigint[]), mf_link_retire(bigint, timestamptz, varchar), mf_bill_settle(bigint, timestamptz, varchar), mf_check_amount(varchar, numeric, text, varchar);
