--
-- What is due
--
-- A call that takes longer than myfatoorah.on_change_timeout is undone, and would be for ever: so each step ends early.
CREATE FUNCTION mf_tick_over(started timestamptz)
RETURNS boolean
LANGUAGE sql STRICT VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT clock_timestamp() - started > current_setting('myfatoorah.on_change_timeout')::interval / 4 $$;
COMMENT ON FUNCTION mf_tick_over(timestamptz) IS 'whether a tick that has started then is to end, and be called again';

-- The links that are due, oldest first, "most" at most.  Returns when the next one is.
CREATE FUNCTION mf_tick_links(as_of timestamptz, most integer)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b bigint;
	done integer := 0;
	started timestamptz := clock_timestamp();
	again timestamptz;
BEGIN
	-- a bill that somebody has locked is left to them
	FOR b IN SELECT t.id FROM @extschema@.mf_bill t WHERE t.link_due <= as_of ORDER BY t.link_due, t.id LIMIT most FOR NO KEY UPDATE SKIP LOCKED LOOP
		again := @extschema@.mf_bill_link(b, as_of);
		UPDATE @extschema@.mf_bill t SET link_due = again WHERE t.id = b;
		done := done + 1;
		EXIT WHEN @extschema@.mf_tick_over(started);
	END LOOP;
	-- those that were locked are due again soon
	RETURN CASE WHEN done = most OR @extschema@.mf_tick_over(started) THEN as_of
		ELSE (SELECT greatest(min(t.link_due), as_of + interval '1 second') FROM @extschema@.mf_bill t WHERE t.link_due IS NOT NULL HAVING count(*) > 0) END;
END
$$;
COMMENT ON FUNCTION mf_tick_links(timestamptz, integer) IS 'renews links that are due; returns when the next one is';

CREATE FUNCTION mf_billing_tick(as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	soonest timestamptz;
BEGIN
	-- each step does some of what is due and returns when it has more; the order is that of a day: links, plans, reminders, old data
	soonest := least(soonest, @extschema@.mf_tick_links(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_plans(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_reminders(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_forget(as_of, 200));
	RETURN soonest;
END
$$;
COMMENT ON FUNCTION mf_billing_tick(timestamptz) IS 'does what is due at that time, some of it; returns when it is to be called next, null: not before something changes';
