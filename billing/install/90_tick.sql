--
-- What is due
--
-- While all is paused, nothing is due, whoever asks: what a tick finds may be of a dump that is being restored, or be done by the database that this one is
-- a copy of.
--
-- Raises an error unless a step may be done as of that time.  Returns when it has started.
CREATE FUNCTION mf_tick_started(as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF as_of IS NULL OR as_of NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
		RAISE EXCEPTION 'as_of is out of range' USING ERRCODE = 'datetime_field_overflow', COLUMN = 'as_of',
			DETAIL = format('It is %s.', coalesce(as_of::text, 'null')), HINT = 'Give now(), or another time in a database for trials.';
	END IF;
	RETURN clock_timestamp();
END
$$;
COMMENT ON FUNCTION mf_tick_started(timestamptz) IS 'checks the time of a tick; returns the present one';

-- A call that takes longer than myfatoorah.on_change_timeout is undone, and would be for ever: so each step ends early.
CREATE FUNCTION mf_tick_over(started timestamptz)
RETURNS boolean
LANGUAGE sql STRICT VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT clock_timestamp() - started > current_setting('myfatoorah.on_change_timeout')::interval / 4 OR EXISTS (SELECT FROM @extschema@.mf_all_paused)
$$;
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
	started constant timestamptz := @extschema@.mf_tick_started(as_of);
	again timestamptz;
BEGIN
	-- a bill that somebody has locked is left to them
	FOR b IN SELECT t.id FROM @extschema@.mf_bill t WHERE t.link_due <= as_of ORDER BY t.link_due, t.id LIMIT most FOR NO KEY UPDATE SKIP LOCKED LOOP
		EXIT WHEN @extschema@.mf_tick_over(started);
		again := @extschema@.mf_bill_link(b, as_of);
		UPDATE @extschema@.mf_bill t SET link_due = again, link_ahead = as_of WHERE t.id = b;
		done := done + 1;
	END LOOP;
	-- those that were locked are due again soon
	RETURN CASE WHEN done = most OR @extschema@.mf_tick_over(started) THEN as_of
		ELSE (SELECT greatest(min(t.link_due), as_of + interval '1 second') FROM @extschema@.mf_bill t WHERE t.link_due IS NOT NULL HAVING count(*) > 0) END;
END
$$;
COMMENT ON FUNCTION mf_tick_links(timestamptz, integer) IS 'renews links that are due; returns when the next one is';

-- What ticks with a later time have put off is due, some of it.  Returns whether there is more.
CREATE FUNCTION mf_tick_back(as_of timestamptz, most integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
	-- what others do meanwhile is of a later time than this tick, and of none that has not come
	come constant timestamptz := greatest(as_of, clock_timestamp());
BEGIN
	-- what somebody has locked is left to them
	UPDATE @extschema@.mf_bill t SET link_due = CASE WHEN t.link_due IS NOT NULL THEN as_of END, link_tries = 0, link_error = NULL, link_ahead = NULL WHERE t.id IN (SELECT b.id FROM @extschema@.mf_bill b
		WHERE b.link_ahead > come LIMIT most FOR NO KEY UPDATE SKIP LOCKED);
	UPDATE @extschema@.mf_plan t SET next_at = CASE WHEN t.next_at IS NOT NULL THEN as_of END, ahead = NULL WHERE t.id IN (SELECT p.id FROM @extschema@.mf_plan p
		WHERE p.ahead > come LIMIT most FOR NO KEY UPDATE SKIP LOCKED);
	UPDATE @extschema@.mf_reminder_queue t SET due = as_of, tries = 0, error = NULL, ahead = NULL WHERE t.bill IN (SELECT q.bill FROM @extschema@.mf_reminder_queue q
		WHERE q.ahead > come LIMIT most FOR NO KEY UPDATE SKIP LOCKED);
	RETURN EXISTS (SELECT FROM @extschema@.mf_bill b WHERE b.link_ahead > come) OR EXISTS (SELECT FROM @extschema@.mf_plan p WHERE p.ahead > come)
		OR EXISTS (SELECT FROM @extschema@.mf_reminder_queue q WHERE q.ahead > come);
END
$$;
COMMENT ON FUNCTION mf_tick_back(timestamptz, integer) IS 'has what ticks with a later time have put off looked at; returns whether there is more of it';

CREATE FUNCTION mf_billing_tick(as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	soonest timestamptz;
BEGIN
	PERFORM @extschema@.mf_tick_started(as_of);
	IF EXISTS (SELECT FROM @extschema@.mf_all_paused) THEN
		RAISE NOTICE 'nothing is billed, and nobody is reminded, because all is paused'
			USING HINT = 'See to it first that no other database bills the same. Then: SELECT mf_resume(''*'').';
		RETURN as_of;
	END IF;
	-- afterwards the clock has its turn
	PERFORM @extschema@.mf_billing_wake(clock_timestamp() + interval '1 minute') WHERE as_of > clock_timestamp();
	IF @extschema@.mf_tick_back(as_of, 5000) THEN
		soonest := as_of + interval '1 second';
	END IF;
	-- each step does some of what is due and returns when it has more; the order is that of a day: links, plans, reminders, old data
	soonest := least(soonest, @extschema@.mf_tick_links(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_plans(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_reminders(as_of, 50));
	soonest := least(soonest, @extschema@.mf_tick_forget(as_of, 200));
	RETURN soonest;
END
$$;
COMMENT ON FUNCTION mf_billing_tick(timestamptz) IS 'does what is due at that time, some of it; returns when it is to be called next, null: not before something changes';
