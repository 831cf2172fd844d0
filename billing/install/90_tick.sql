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

-- A tick may be given a time ahead, for a trial.  What it puts off, it puts off by that time, and nobody would come back to it for as long.
-- So such a tick leaves a mark, and ticks by the clock that find it look at all of that again, some bills and plans at a time.
CREATE TABLE mf_tick_ahead (
	marked_at timestamptz NOT NULL,
	done bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE mf_tick_ahead IS 'calls of mf_billing_tick() with a time ahead, until a quarter of an hour later all is looked at by the clock again';
COMMENT ON COLUMN mf_tick_ahead.marked_at IS 'when it was called';
COMMENT ON COLUMN mf_tick_ahead.done IS 'bills and plans up to this id have been looked at';

CREATE FUNCTION mf_tick_back(as_of timestamptz, most bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mark record;
BEGIN
	IF as_of > clock_timestamp() + interval '1 minute' THEN
		INSERT INTO @extschema@.mf_tick_ahead (marked_at) SELECT clock_timestamp()
			WHERE NOT EXISTS (SELECT FROM @extschema@.mf_tick_ahead t WHERE t.marked_at > clock_timestamp() - interval '1 minute');
		IF FOUND THEN
			PERFORM @extschema@.mf_billing_wake(clock_timestamp() + interval '16 minutes');
		END IF;
		RETURN false;
	END IF;
	SELECT max(t.marked_at) AS marked_at, max(t.done) AS done INTO mark FROM @extschema@.mf_tick_ahead t;
	IF mark.marked_at IS NULL OR mark.marked_at > as_of - interval '15 minutes' THEN
		RETURN false;
	END IF;
	IF mark.done = 0 THEN
		UPDATE @extschema@.mf_reminder_rule r SET done_to = d.day, done_bill = 9223372036854775807
			FROM (SELECT q.id, @extschema@.mf_reminder_last_day(q, as_of) AS day FROM @extschema@.mf_reminder_rule q
				WHERE EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = q.account)) d WHERE d.id = r.id AND r.done_to > d.day;
	END IF;
	-- no wait is longer than a day; what somebody has locked is left to them
	UPDATE @extschema@.mf_bill t SET link_due = as_of WHERE t.id IN (SELECT b.id FROM @extschema@.mf_bill b
		WHERE b.id > mark.done AND b.id <= mark.done + most AND b.link_tries > 0 AND b.link_due > as_of + interval '1 day' FOR NO KEY UPDATE SKIP LOCKED);
	UPDATE @extschema@.mf_plan t SET next_at = as_of WHERE t.id IN (SELECT p.id FROM @extschema@.mf_plan p
		WHERE p.id > mark.done AND p.id <= mark.done + most AND p.tries > 0 AND p.next_at > as_of + interval '1 day' FOR NO KEY UPDATE SKIP LOCKED);
	UPDATE @extschema@.mf_reminder_queue q SET due = as_of WHERE q.bill > mark.done AND q.bill <= mark.done + most AND q.due > as_of;
	IF mark.done + most >= greatest((SELECT max(b.id) FROM @extschema@.mf_bill b), (SELECT max(p.id) FROM @extschema@.mf_plan p), 0) THEN
		DELETE FROM @extschema@.mf_tick_ahead t WHERE t.marked_at <= mark.marked_at;
		RETURN false;
	END IF;
	UPDATE @extschema@.mf_tick_ahead t SET done = mark.done + most;
	RETURN true;
END
$$;
COMMENT ON FUNCTION mf_tick_back(timestamptz, bigint) IS 'marks a tick with a time ahead; one by the clock has what that has put off looked at again; whether there is more of it';

CREATE FUNCTION mf_billing_tick(as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	soonest timestamptz;
BEGIN
	IF as_of IS NULL OR as_of NOT BETWEEN '1970-01-01' AND '9999-12-31' THEN
		RAISE EXCEPTION 'as_of is out of range' USING ERRCODE = 'datetime_field_overflow', COLUMN = 'as_of',
			DETAIL = format('It is %s.', coalesce(as_of::text, 'null')), HINT = 'Give now(), or another time in a database for trials.';
	END IF;
	IF @extschema@.mf_tick_back(as_of, 5000) THEN
		soonest := as_of;
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
