-- The database of these tests: that of the core's, with bills
\set ECHO none
\o /dev/null
\i sql/setup.sql
\o
\set ECHO all
CREATE EXTENSION myfatoorah_billing;
SELECT extname, extnamespace::regnamespace AS schema FROM pg_extension WHERE extname LIKE 'myfatoorah%' ORDER BY 1;
