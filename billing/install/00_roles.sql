/* myfatoorah_billing--1.0.0.sql, made of the parts in billing/install */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION myfatoorah_billing" to load this file. \quit

--
-- The role that owns all of it
--
-- What is done for people, and what the worker does, runs as this role.  It makes
-- invoices as the role that has inserted the bill, so it has no key.  Policies do
-- not hide rows from it, because each payment is to be booked.
--
DO LANGUAGE plpgsql $do$
DECLARE
	existing record;
	core name := (SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
		WHERE e.extname OPERATOR(pg_catalog.=) 'myfatoorah');
BEGIN
	IF pg_catalog.quote_ident(core) OPERATOR(pg_catalog.<>) '@extschema@' THEN
		RAISE EXCEPTION 'extension "myfatoorah_billing" must be in the schema of extension "myfatoorah"'
			USING ERRCODE = 'invalid_schema_name',
			HINT = pg_catalog.format('Run: CREATE EXTENSION myfatoorah_billing SCHEMA %I', core);
	END IF;
	SELECT r.rolcanlogin, r.rolsuper INTO existing
	FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) 'myfatoorah_billing';
	IF NOT FOUND THEN
		CREATE ROLE myfatoorah_billing NOLOGIN BYPASSRLS;
		COMMENT ON ROLE myfatoorah_billing IS 'myfatoorah: owns the tables and functions of bills; nobody is a member';
	ELSIF existing.rolcanlogin OR existing.rolsuper THEN
		RAISE EXCEPTION 'role "%" exists and is not the one that myfatoorah_billing needs', 'myfatoorah_billing'
			USING ERRCODE = 'duplicate_object',
			DETAIL = 'It can log in, or is a superuser.',
			HINT = 'Rename it, or run: ALTER ROLE myfatoorah_billing NOLOGIN NOSUPERUSER';
	ELSE
		ALTER ROLE myfatoorah_billing BYPASSRLS;
	END IF;
END
$do$;

GRANT myfatoorah_operate TO myfatoorah_billing;
GRANT USAGE ON SCHEMA @extschema@ TO myfatoorah_billing;
GRANT EXECUTE ON FUNCTION @extschema@.mf_here, @extschema@.mf_new_invoice, @extschema@.mf_insert_as(oid, @extschema@.mf_invoice[], bigint[], bigint[]) TO myfatoorah_billing;
GRANT INSERT (id) ON @extschema@.mf_invoice TO myfatoorah_billing;
