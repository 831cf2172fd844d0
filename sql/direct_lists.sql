-- Lists that a session asks MyFatoorah for: methods of payment with their fees, exchange rates, suppliers.
\pset format unaligned
CREATE FUNCTION pg_temp.calls(path text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT DISTINCT concat_ws(' ', e->>'method', e->>'target', e->>'body') FROM jsonb_array_elements(mf_test.sandbox('ledger?path=' || path)->'entries') e ORDER BY 1
$$;
CALL mf_test.reset_sandbox();
SELECT payment_method_id, payment_method_code, payment_method_en, payment_method_ar, is_direct_payment, is_embedded_supported, service_charge, total_amount, currency_iso, payment_currency_iso,
	regexp_replace(image_url, '^.*/', '') AS image FROM mf_payment_methods(100) ORDER BY payment_method_id;
SELECT payment_method_code, total_amount, currency_iso FROM mf_payment_methods(12.5, 'sar') ORDER BY 1;
SELECT * FROM pg_temp.calls('InitiatePayment');
SELECT t.currency, t.rate > 0 AS rate FROM mf_exchange_rates() t ORDER BY 1;
SELECT rate FROM mf_exchange_rates() WHERE currency = 'KWD';
SELECT supplier_code, supplier_name, supplier_status, commission_value, commission_percentage, is_percentage_of_net_value, deposit_terms, supplier_commissions
FROM mf_suppliers() ORDER BY 1;
SELECT * FROM pg_temp.calls('GetCurrenciesExchangeList');
SELECT * FROM pg_temp.calls('GetSuppliers');

-- What is refused before anything leaves
SELECT v, mf_test.try(format('SELECT * FROM mf_payment_methods(%s)', v)) FROM unnest(ARRAY['0', '-1', '''NaN''', 'NULL', '1, ''fils''', '1, NULL, ''nobody''', '1, NULL, NULL']) v;
SELECT mf_test.try('SELECT * FROM mf_exchange_rates(''nobody'')'), mf_test.try('SELECT * FROM mf_suppliers(NULL)');

-- What MyFatoorah does not answer
CALL mf_test.fault('{"path": "GetSuppliers", "shape": 8, "times": 1}');
SELECT mf_test.try('SELECT * FROM mf_suppliers()');
CALL mf_test.fault('{"path": "GetCurrenciesExchangeList", "shape": 11, "times": 1}');
SELECT mf_test.try('SELECT * FROM mf_exchange_rates()');
CALL mf_test.fault('{"path": "InitiatePayment", "status": 503, "times": 1}');
SELECT mf_test.try('SELECT * FROM mf_payment_methods(1)');
SELECT count(*) FROM mf_exchange_rates();

-- Who may: USAGE on the server, and for suppliers operators
CREATE ROLE lister IN ROLE myfatoorah_submit;
SET ROLE lister;
SELECT mf_test.try('SELECT count(*) FROM mf_exchange_rates()'), mf_test.try('SELECT count(*) FROM mf_suppliers()');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER myfatoorah TO lister;
SET ROLE lister;
SELECT count(*) > 0 AS rates FROM mf_exchange_rates();
SELECT count(*) AS methods FROM mf_payment_methods(1);
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM lister;
DROP ROLE lister;
