--
-- Books are not dropped unawares
--
-- The library refuses to drop mf_bill while there are rows in it, in whatever way, unless myfatoorah_billing.drop_books is on.
-- This has it loaded where somebody may do that.  Whatever keeps it from being loaded (a file that is gone or does not fit), what is to be dropped
-- is mostly of others, and is dropped.  The schema is looked up, because it can have another name by now.
-- A view names functions by identity, so nobody can plant another one.
CREATE VIEW mf_library AS SELECT mf_ours() AS ours;
COMMENT ON VIEW mf_library IS 'loads the library';

CREATE FUNCTION mf_load_guard()
RETURNS event_trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE (SELECT format('SELECT l.ours FROM %I.mf_library l', n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'myfatoorah_billing');
EXCEPTION WHEN OTHERS THEN
	NULL;
END
$$;
COMMENT ON FUNCTION mf_load_guard() IS 'loads the library, which keeps bills and receipts from being dropped unawares';

CREATE EVENT TRIGGER mf_load_guard ON ddl_command_start WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED') EXECUTE FUNCTION mf_load_guard();
ALTER EVENT TRIGGER mf_load_guard ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER mf_load_guard IS 'loads the library of myfatoorah_billing where books may be dropped';
