--
-- Personal data: erased for one customer by mf_forget(), and by age
--
-- What the core has erased in invoices is erased in their bills, too: names, addresses and numbers, and what people have
-- written about them.  Money, days and states stay, and customer_reference, lines and metadata as in invoices.

-- Closed bills that are old are found by this.
CREATE INDEX mf_bill_erasable_idx ON mf_bill (created_at) WHERE status <> 'open' AND erased_at IS NULL;

-- Why a bill may not be forgotten yet; null: it may.
CREATE FUNCTION mf_bill_unfinished(b mf_bill)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN (b).status = 'open' THEN 'open'
		WHEN (b).overpaid > 0 THEN 'more has come in than is owed'
		ELSE (SELECT CASE WHEN i.customer_reference IS DISTINCT FROM (b).customer_reference THEN format('invoice %s is of customer_reference %L', i.id, i.customer_reference)
			ELSE 'one of its invoices is unfinished' END
			FROM @extschema@.mf_link k JOIN @extschema@.mf_invoice_all i ON i.id = k.invoice WHERE k.bill = (b).id AND i.erased_at IS NULL
			ORDER BY i.customer_reference IS DISTINCT FROM (b).customer_reference, i.id LIMIT 1) END
$$;
COMMENT ON FUNCTION mf_bill_unfinished(mf_bill) IS 'why the customer of a bill cannot be forgotten yet; null: he can';

CREATE FUNCTION mf_bill_erase(bills bigint[])
RETURNS SETOF bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH b AS MATERIALIZED (SELECT t.id FROM @extschema@.mf_bill t WHERE t.id = ANY (bills) AND t.erased_at IS NULL AND @extschema@.mf_bill_unfinished(t) IS NULL ORDER BY t.id FOR NO KEY UPDATE),
	r AS (UPDATE @extschema@.mf_receipt o SET note = NULL FROM b WHERE o.bill = b.id AND o.method <> 'online' AND o.note IS NOT NULL),
	h AS (UPDATE @extschema@.mf_bill_history o SET reason = NULL, changes = o.changes - '{customer_name,customer_email,customer_mobile,mobile_country_code,customer_civil_id,memo,link_error}'::text[] FROM b WHERE o.bill = b.id)
	UPDATE @extschema@.mf_bill o SET customer_name = '', customer_email = NULL, customer_mobile = NULL, mobile_country_code = NULL, customer_civil_id = NULL, memo = NULL, link_error = NULL, erased_at = now()
	FROM b WHERE o.id = b.id RETURNING o.id
$$;
COMMENT ON FUNCTION mf_bill_erase(bigint[]) IS 'erases names, addresses, numbers, memos, notes and reasons of those of the bills that are finished; returns which';

-- What people write about the customer later is erased later.
CREATE FUNCTION mf_bill_unerase()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE @extschema@.mf_bill b SET erased_at = NULL WHERE b.id = NEW.bill AND b.erased_at IS NOT NULL;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_bill_unerase() IS 'has a bill whose customer was forgotten, and of which something was written since, forgotten once more';

CREATE TRIGGER mf_bill_unerase
	AFTER INSERT ON mf_bill_history
	FOR EACH ROW WHEN (NEW.reason IS NOT NULL OR NEW.changes OPERATOR(pg_catalog.?|) '{customer_name,customer_email,customer_mobile,mobile_country_code,customer_civil_id,memo}'::pg_catalog.text[])
	EXECUTE FUNCTION mf_bill_unerase();
CREATE TRIGGER mf_bill_unerase
	AFTER INSERT ON mf_receipt
	FOR EACH ROW WHEN (NEW.method <> 'online' AND NEW.note IS NOT NULL) EXECUTE FUNCTION mf_bill_unerase();

CREATE FUNCTION mf_plan_erase(plans bigint[])
RETURNS SETOF bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH p AS MATERIALIZED (SELECT t.id FROM @extschema@.mf_plan t WHERE t.id = ANY (plans) AND t.erased_at IS NULL AND t.status = 'ended' ORDER BY t.id FOR NO KEY UPDATE),
	h AS (UPDATE @extschema@.mf_plan_history o SET reason = NULL, changes = o.changes - '{template,last_error}'::text[] FROM p WHERE o.plan = p.id)
	UPDATE @extschema@.mf_plan o SET template = (o.template || '{"customer_name": ""}') - '{customer_email,customer_mobile,mobile_country_code,customer_civil_id,memo}'::text[], last_error = NULL, erased_at = now()
	FROM p WHERE o.id = p.id RETURNING o.id
$$;
COMMENT ON FUNCTION mf_plan_erase(bigint[]) IS 'erases names, addresses, numbers and memos in the templates of those of the plans that have ended; returns which';

-- As the caller, so that policies hold
CREATE FUNCTION mf_forget_billing(customer_reference text, account text)
RETURNS TABLE (id bigint, result text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH b AS MATERIALIZED (SELECT t.id, CASE WHEN t.erased_at IS NOT NULL THEN 'forgotten_before' ELSE 'unfinished: ' || @extschema@.mf_bill_unfinished(t) END AS result FROM @extschema@.mf_bill t
		WHERE t.customer_reference = mf_forget_billing.customer_reference AND (mf_forget_billing.account IS NULL OR t.account = mf_forget_billing.account)),
	p AS MATERIALIZED (SELECT t.id, CASE WHEN t.erased_at IS NOT NULL THEN 'forgotten_before' WHEN t.status <> 'ended' THEN 'unfinished: ' || t.status END AS result FROM @extschema@.mf_plan t
		WHERE t.template->>'customer_reference' = mf_forget_billing.customer_reference AND (mf_forget_billing.account IS NULL OR t.account = mf_forget_billing.account)),
	e AS MATERIALIZED (SELECT x.id FROM @extschema@.mf_bill_erase(ARRAY(SELECT b.id FROM b WHERE b.result IS NULL)) x(id)),
	f AS MATERIALIZED (SELECT x.id FROM @extschema@.mf_plan_erase(ARRAY(SELECT p.id FROM p WHERE p.result IS NULL)) x(id))
	(SELECT b.id, 'bill ' || coalesce(b.result, CASE WHEN e.id IS NOT NULL THEN 'forgotten' ELSE 'unfinished: it has just changed' END) FROM b LEFT JOIN e ON e.id = b.id ORDER BY b.id)
	UNION ALL
	(SELECT p.id, 'plan ' || coalesce(p.result, CASE WHEN f.id IS NOT NULL THEN 'forgotten' ELSE 'unfinished: it has just changed' END) FROM p LEFT JOIN f ON f.id = p.id ORDER BY p.id)
$$;
COMMENT ON FUNCTION mf_forget_billing(text, text) IS 'called by mf_forget(): erases what finished bills and plans say of one customer; one row for each';

-- One that cannot be erased, because of a trigger of the user, stops none of the others: they are erased by halves.
CREATE FUNCTION mf_tick_erase(what text, ids bigint[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	half constant integer := cardinality(ids) / 2;
BEGIN
	RETURN CASE what WHEN 'bill' THEN (SELECT count(*) FROM @extschema@.mf_bill_erase(ids)) ELSE (SELECT count(*) FROM @extschema@.mf_plan_erase(ids)) END;
EXCEPTION WHEN OTHERS THEN
	IF @extschema@.mf_is_transient(SQLSTATE) THEN
		RAISE;
	ELSIF half = 0 THEN
		RAISE WARNING 'the customer of % % cannot be forgotten: %', what, ids[1], SQLERRM;
		RETURN 0;
	END IF;
	RETURN @extschema@.mf_tick_erase(what, ids[:half]) + @extschema@.mf_tick_erase(what, ids[half + 1:]);
END
$$;
COMMENT ON FUNCTION mf_tick_erase(text, bigint[]) IS 'erases what finished bills or plans say of customers, but for those where that fails; returns how many';

-- By age, "most" at a time.  Returns when to look again; null: never, because all is kept for ever.
CREATE FUNCTION mf_tick_forget(as_of timestamptz, most integer)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	retention constant interval := current_setting('myfatoorah.personal_data_retention');
	erased integer;
BEGIN
	PERFORM @extschema@.mf_tick_started(as_of);
	IF retention = interval '0' THEN
		RETURN NULL;
	END IF;
	erased := @extschema@.mf_tick_erase('bill'::text, ARRAY(SELECT b.id FROM @extschema@.mf_bill b
		WHERE b.status <> 'open' AND b.erased_at IS NULL AND b.created_at < as_of - retention AND @extschema@.mf_bill_unfinished(b) IS NULL ORDER BY b.created_at LIMIT most));
	-- what its bills have lost
	PERFORM @extschema@.mf_tick_erase('plan'::text, ARRAY(SELECT p.id FROM @extschema@.mf_plan p
		WHERE p.status = 'ended' AND p.erased_at IS NULL AND p.created_at < as_of - retention
			AND NOT EXISTS (SELECT FROM @extschema@.mf_plan_period t JOIN @extschema@.mf_bill b ON b.id = t.bill WHERE t.plan = p.id AND b.erased_at IS NULL)));
	RETURN CASE WHEN erased = most THEN as_of ELSE as_of + interval '1 day' END;
END
$$;
COMMENT ON FUNCTION mf_tick_forget(timestamptz, integer) IS 'erases what old bills and plans say of customers, as myfatoorah.personal_data_retention says; returns when to look again';
