--
-- Reminders: rules say when a bill is reminded of, and how
--
CREATE TABLE mf_reminder_rule (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account text COLLATE "C" NOT NULL DEFAULT 'myfatoorah',
	name text NOT NULL,
	days_from_due integer NOT NULL CHECK (days_from_due BETWEEN -366 AND 3660),
	at_time time NOT NULL DEFAULT '10:00',
	via text COLLATE "C" NOT NULL DEFAULT 'link' CHECK (via IN ('link', 'event')),
	notification_option text COLLATE "C" CHECK (notification_option IN ('EML', 'SMS', 'ALL')),
	min_balance numeric NOT NULL DEFAULT 0 CHECK (min_balance >= 0 AND min_balance < 'Infinity'),
	active boolean NOT NULL DEFAULT true,
	since timestamptz NOT NULL,
	done_to date NOT NULL,
	done_bill bigint NOT NULL DEFAULT 0,
	UNIQUE (account, name),
	CHECK ((via = 'link') = (notification_option IS NOT NULL))
);
COMMENT ON TABLE mf_reminder_rule IS 'when open bills of an account are reminded of, and how; each rule once for a bill';
COMMENT ON COLUMN mf_reminder_rule.name IS 'your own, unique within the account';
COMMENT ON COLUMN mf_reminder_rule.days_from_due IS 'days after due_date; negative: before';
COMMENT ON COLUMN mf_reminder_rule.at_time IS 'time of the day in the zone of the account';
COMMENT ON COLUMN mf_reminder_rule.via IS 'link: MyFatoorah mails or texts a new link; event: a row of mf_reminder and NOTIFY for a program of yours';
COMMENT ON COLUMN mf_reminder_rule.notification_option IS 'of the link: EML, SMS or ALL; null with via event';
COMMENT ON COLUMN mf_reminder_rule.min_balance IS 'bills that owe less, in their own currency, are passed over';
COMMENT ON COLUMN mf_reminder_rule.active IS 'false: it does nothing, and what becomes due meanwhile is passed over for good';
COMMENT ON COLUMN mf_reminder_rule.since IS 'result: what was due before is passed over; when the rule was made, or was last given another time or made active';
COMMENT ON COLUMN mf_reminder_rule.done_to IS 'result: bills due on this day and before have been looked at; at first those whose time had come when the rule was made';
COMMENT ON COLUMN mf_reminder_rule.done_bill IS 'result: of that day, bills up to this id';

CREATE TABLE mf_reminder (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	bill bigint NOT NULL,
	rule bigint NOT NULL REFERENCES mf_reminder_rule,
	via text COLLATE "C" NOT NULL,
	due_at timestamptz NOT NULL,
	fired_at timestamptz NOT NULL,
	balance numeric NOT NULL,
	invoice bigint,
	done_at timestamptz,
	withdrawn_at timestamptz,
	UNIQUE (bill, rule),
	CHECK ((via = 'link') = (invoice IS NOT NULL))
);
CREATE INDEX mf_reminder_pending_idx ON mf_reminder (id) WHERE via = 'event' AND done_at IS NULL AND withdrawn_at IS NULL;

COMMENT ON TABLE mf_reminder IS 'reminders: by link, those that MyFatoorah was given; by event, those that your program is to send, and calls mf_reminder_done() for';
COMMENT ON COLUMN mf_reminder.bill IS 'mf_bill.id; without a foreign key, because only functions of ours write here, and bills are not deleted';
COMMENT ON COLUMN mf_reminder.rule IS 'mf_reminder_rule.id; a rule fires once for a bill';
COMMENT ON COLUMN mf_reminder.due_at IS 'when the rule was due, days off and quiet hours counted';
COMMENT ON COLUMN mf_reminder.fired_at IS 'when it fired';
COMMENT ON COLUMN mf_reminder.balance IS 'what was owed then';
COMMENT ON COLUMN mf_reminder.invoice IS 'of a link: mf_invoice.id';
COMMENT ON COLUMN mf_reminder.done_at IS 'of an event: when your program has called mf_reminder_done()';
COMMENT ON COLUMN mf_reminder.withdrawn_at IS 'of an event: when the bill was paid, made void or snoozed before that; it is not to be sent any more';

-- Bills that are looked at.  Rules add bills whose time has come, changes of a bill add it; most bills are not in it.
CREATE TABLE mf_reminder_queue (
	bill bigint PRIMARY KEY,
	due timestamptz NOT NULL,
	asked_since timestamptz,
	tries integer NOT NULL DEFAULT 0,
	error text,
	ahead timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX mf_reminder_queue_due_idx ON mf_reminder_queue (due, bill);
CREATE INDEX mf_reminder_queue_ahead_idx ON mf_reminder_queue (ahead) WHERE ahead IS NOT NULL;

COMMENT ON TABLE mf_reminder_queue IS 'bills for which reminders are looked at next';
COMMENT ON COLUMN mf_reminder_queue.due IS 'not before this time';
COMMENT ON COLUMN mf_reminder_queue.asked_since IS 'MyFatoorah is to have answered since then that nothing is paid';
COMMENT ON COLUMN mf_reminder_queue.tries IS 'looks in a row that had to wait, or failed';
COMMENT ON COLUMN mf_reminder_queue.error IS 'why the latest look failed';
COMMENT ON COLUMN mf_reminder_queue.ahead IS 'by what time it was put off; a tick with an earlier time, after a trial or while the clock was ahead, looks again';

--
-- Times
--
-- The first time from "at" on at which may be reminded; where the day is off, at_time of the next that is not.
CREATE FUNCTION mf_reminder_time(account text, at timestamptz, at_time time)
RETURNS timestamptz
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	policy constant @extschema@.mf_billing_policy := @extschema@.mf_policy(mf_reminder_time.account);
	zone constant text := (SELECT f.time_zone FROM @extschema@.mf_facts(mf_reminder_time.account) f);
	today date;
	clock time;
BEGIN
	-- a year of days off in a row is no calendar
	FOR i IN 1 .. 800 LOOP
		today := (at AT TIME ZONE zone)::date;
		clock := (at AT TIME ZONE zone)::time;
		IF extract(isodow FROM today) = ANY (policy.weekend)
			OR EXISTS (SELECT FROM @extschema@.mf_day_off o WHERE o.account = mf_reminder_time.account AND o.day = today) THEN
			at := (today + 1 + at_time) AT TIME ZONE zone;
		ELSIF policy.quiet_from IS NULL OR (CASE WHEN policy.quiet_from < policy.quiet_to THEN clock < policy.quiet_from OR clock >= policy.quiet_to
				ELSE clock >= policy.quiet_to AND clock < policy.quiet_from END) THEN
			RETURN at;
		ELSE
			at := (today + CASE WHEN clock >= policy.quiet_to THEN 1 ELSE 0 END + policy.quiet_to) AT TIME ZONE zone;
		END IF;
	END LOOP;
	RETURN 'infinity';
END
$$;
COMMENT ON FUNCTION mf_reminder_time(text, timestamptz, time) IS 'when a reminder may go: at that time, or after quiet hours, or at at_time of the next day that is not off';

CREATE FUNCTION mf_reminder_due(rule mf_reminder_rule, due_date date)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.mf_reminder_time((rule).account, @extschema@.mf_local_time((rule).account, mf_reminder_due.due_date + (rule).days_from_due, (rule).at_time), (rule).at_time) $$;
COMMENT ON FUNCTION mf_reminder_due(mf_reminder_rule, date) IS 'when a rule is due for bills that are due on that day';

-- The latest due_date whose time has come for a rule
CREATE FUNCTION mf_reminder_last_day(rule mf_reminder_rule, as_of timestamptz)
RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	day date := @extschema@.mf_local_day((rule).account, as_of) - (rule).days_from_due;
BEGIN
	WHILE @extschema@.mf_reminder_due(rule, day) > as_of LOOP
		day := day - 1;
	END LOOP;
	RETURN day;
END
$$;
COMMENT ON FUNCTION mf_reminder_last_day(mf_reminder_rule, timestamptz) IS 'the latest due_date for which a rule is due at that time';

--
-- Rules and calendars change
--
CREATE FUNCTION mf_reminder_rule_guard()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF EXISTS (SELECT FROM @extschema@.mf_reminder m WHERE m.rule = OLD.id) THEN
			RAISE EXCEPTION 'rule "%" has fired and cannot be deleted', OLD.name USING ERRCODE = 'foreign_key_violation',
				HINT = format('Switch it off: UPDATE mf_reminder_rule SET active = false WHERE id = %s', OLD.id);
		END IF;
		RETURN OLD;
	END IF;
	IF btrim(NEW.name) = '' THEN
		RAISE EXCEPTION 'name must not be empty' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'name', HINT = 'Name the rule, such as ''a week late''.';
	ELSIF NEW.via = 'event' AND NEW.notification_option IS NOT NULL THEN
		RAISE EXCEPTION 'notification_option is of links only' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'notification_option',
			DETAIL = 'Your own program sends what is reminded of by event.', HINT = 'Leave it null, or give via ''link''.';
	ELSIF NEW.via = 'link' THEN
		NEW.notification_option := coalesce(NEW.notification_option, 'EML');
	END IF;
	-- a row that comes from a dump has its results
	IF TG_OP = 'UPDATE' OR NEW.done_to IS NULL THEN
		IF TG_OP = 'INSERT' OR NEW.account <> OLD.account THEN
			PERFORM @extschema@.mf_account_facts(NEW.account);
		END IF;
		NEW.since := now();
		NEW.done_to := @extschema@.mf_reminder_last_day(NEW, now());
		NEW.done_bill := 9223372036854775807;
	END IF;
	PERFORM @extschema@.mf_billing_wake(now());
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mf_reminder_rule_guard() IS 'checks rules; one with another time, or that is active again, begins with what is due from now on';

-- the first to be called, by its name
CREATE TRIGGER mf_reminder_rule_account
	BEFORE INSERT OR UPDATE OF account ON mf_reminder_rule
	FOR EACH ROW WHEN (NOT mf_ours()) EXECUTE FUNCTION mf_hold_account();
CREATE TRIGGER mf_reminder_rule_guard
	BEFORE INSERT OR DELETE OR UPDATE OF account, name, days_from_due, at_time, via, notification_option, active ON mf_reminder_rule
	FOR EACH ROW WHEN (NOT mf_ours()) EXECUTE FUNCTION mf_reminder_rule_guard();

CREATE FUNCTION mf_reminder_calendar_changed()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_billing_wake(now());
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_reminder_calendar_changed() IS 'has the tick look anew at when it is to be called next';

CREATE TRIGGER mf_reminder_calendar_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mf_day_off
	FOR EACH STATEMENT EXECUTE FUNCTION mf_reminder_calendar_changed();
CREATE TRIGGER mf_reminder_calendar_changed
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mf_billing_policy
	FOR EACH STATEMENT EXECUTE FUNCTION mf_reminder_calendar_changed();

--
-- Bills change
--
-- Rules find new bills by their due_date, so nothing is written; but the tick may have to come earlier.  A bill of a
-- transaction during which its time comes may be passed over: its first link has just been sent.
CREATE FUNCTION mf_reminder_bills_inserted()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_billing_wake(min(@extschema@.mf_reminder_due(r, d.due_date)))
	FROM @extschema@.mf_reminder_rule r,
		LATERAL (SELECT min(n.due_date) AS due_date FROM new_bills n WHERE n.account = r.account AND (n.due_date, n.id) > (r.done_to, r.done_bill)) d
	WHERE r.active AND d.due_date IS NOT NULL
	HAVING count(*) > 0;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_reminder_bills_inserted() IS 'has the tick called when the first reminder of new bills is due';

CREATE TRIGGER mf_reminder_bills_inserted
	AFTER INSERT ON mf_bill
	REFERENCING NEW TABLE AS new_bills
	FOR EACH STATEMENT EXECUTE FUNCTION mf_reminder_bills_inserted();

-- A reminder that MyFatoorah was not given yet, because it was away, is not given later beside another one, or where there is to be none.
CREATE FUNCTION mf_reminder_recall(bill bigint, as_of timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unsent bigint;
BEGIN
	FOR unsent IN DELETE FROM @extschema@.mf_reminder m USING @extschema@.mf_invoice i
		WHERE m.bill = mf_reminder_recall.bill AND i.id = m.invoice AND i.status IN ('queued', 'cancelled') RETURNING m.invoice
	LOOP
		INSERT INTO @extschema@.mf_reminder_queue (bill, due) SELECT b.id, as_of FROM @extschema@.mf_bill b WHERE b.id = mf_reminder_recall.bill AND b.status = 'open' ON CONFLICT DO NOTHING;
		PERFORM @extschema@.mf_bill_renew(b.id, as_of, 'reminder recalled'::text) FROM @extschema@.mf_bill b
			WHERE b.id = mf_reminder_recall.bill AND b.status = 'open' AND b.invoice = unsent;
	END LOOP;
END
$$;
COMMENT ON FUNCTION mf_reminder_recall(bigint, timestamptz) IS 'takes back reminders of a bill that MyFatoorah was not given yet; their rules may fire again';

CREATE FUNCTION mf_reminder_withdraw(bill bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reminder bigint;
BEGIN
	FOR reminder IN UPDATE @extschema@.mf_reminder m SET withdrawn_at = now()
		WHERE m.bill = mf_reminder_withdraw.bill AND m.via = 'event' AND m.done_at IS NULL AND m.withdrawn_at IS NULL RETURNING m.id
	LOOP
		PERFORM pg_notify('mf_bill', format('{"bill": %s, "reminder": %s}', mf_reminder_withdraw.bill, reminder));
	END LOOP;
	PERFORM @extschema@.mf_reminder_recall(mf_reminder_withdraw.bill, now());
END
$$;
COMMENT ON FUNCTION mf_reminder_withdraw(bigint) IS 'takes back the reminders of a bill that your program or MyFatoorah has not sent yet';

CREATE FUNCTION mf_reminder_bill_changed()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.status <> 'open' THEN
		DELETE FROM @extschema@.mf_reminder_queue q WHERE q.bill = NEW.id;
		PERFORM @extschema@.mf_reminder_withdraw(NEW.id);
		RETURN NULL;
	END IF;
	IF NEW.snoozed_until IS DISTINCT FROM OLD.snoozed_until AND NEW.snoozed_until IS NOT NULL THEN
		PERFORM @extschema@.mf_reminder_withdraw(NEW.id);
	END IF;
	-- what a rule was due for while the bill was closed, or is by another day, is not found by its due_date
	IF EXISTS (SELECT FROM @extschema@.mf_reminder_rule r WHERE r.account = NEW.account AND r.active) THEN
		INSERT INTO @extschema@.mf_reminder_queue AS q (bill, due) VALUES (NEW.id, now())
			ON CONFLICT ON CONSTRAINT mf_reminder_queue_pkey DO UPDATE SET due = least(q.due, EXCLUDED.due), tries = 0;
		PERFORM @extschema@.mf_billing_wake(now());
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_reminder_bill_changed() IS 'has reminders follow bills that are closed, opened, snoozed, or due on another day';

CREATE TRIGGER mf_reminder_bill_changed
	AFTER UPDATE ON mf_bill
	FOR EACH ROW WHEN (OLD.status <> NEW.status OR OLD.due_date <> NEW.due_date OR OLD.snoozed_until IS DISTINCT FROM NEW.snoozed_until)
	EXECUTE FUNCTION mf_reminder_bill_changed();

--
-- What is due
--
-- Of the rules that are due for a bill, the latest one, unless that or a later one has fired.  A rule whose time had come
-- before the bill was sent says nothing new.
CREATE FUNCTION mf_reminder_pick(b mf_bill, as_of timestamptz)
RETURNS TABLE (rule bigint, name text, via text, notification_option text, at_time time, due_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.id, r.name, r.via, r.notification_option, r.at_time, d.due_at
	FROM @extschema@.mf_reminder_rule r, LATERAL (SELECT @extschema@.mf_reminder_due(r, (b).due_date) AS due_at) d
	WHERE r.account = (b).account AND r.active AND (b).balance >= r.min_balance
		AND d.due_at <= mf_reminder_pick.as_of AND d.due_at > greatest((b).created_at, (b).send_at, r.since)
		AND NOT EXISTS (SELECT FROM @extschema@.mf_reminder m JOIN @extschema@.mf_reminder_rule o ON o.id = m.rule
			WHERE m.bill = (b).id AND (m.rule = r.id OR (m.due_at, o.days_from_due) > (d.due_at, r.days_from_due)))
	ORDER BY d.due_at DESC, r.days_from_due DESC, r.id LIMIT 1
$$;
COMMENT ON FUNCTION mf_reminder_pick(mf_bill, timestamptz) IS 'the rule by which a bill is to be reminded of at that time: the latest that is due; no row if there is none';

-- When the rules that have passed the bill's due_date are due for it all the same, because days off have changed
CREATE FUNCTION mf_reminder_next(b mf_bill, as_of timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT min(d.due_at) FROM @extschema@.mf_reminder_rule r, LATERAL (SELECT @extschema@.mf_reminder_due(r, (b).due_date) AS due_at) d
	WHERE r.account = (b).account AND r.active AND ((b).due_date, (b).id) <= (r.done_to, r.done_bill) AND d.due_at > mf_reminder_next.as_of AND isfinite(d.due_at)
		AND NOT EXISTS (SELECT FROM @extschema@.mf_reminder m WHERE m.bill = (b).id AND m.rule = r.id)
$$;
COMMENT ON FUNCTION mf_reminder_next(mf_bill, timestamptz) IS 'when a bill that its rules will not find again is to be looked at';

-- Reminds of a bill if it is to be reminded of.  Returns when to look again; null: not before a rule finds it.
CREATE FUNCTION mf_bill_remind(bill bigint, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_lock(mf_bill_remind.bill);
	p record;
	q @extschema@.mf_reminder_queue;
	held timestamptz;
	made bigint;
	reminder bigint;
BEGIN
	LOOP
		IF b.status <> 'open' THEN
			RETURN NULL;
		END IF;
		SELECT * INTO p FROM @extschema@.mf_reminder_pick(b, as_of);
		IF p.rule IS NULL THEN
			RETURN @extschema@.mf_reminder_next(b, as_of);
		END IF;
		IF greatest(p.due_at, b.created_at) <= @extschema@.mf_promoted_at() THEN
			RAISE EXCEPTION 'the reminder was due before this server was promoted, and may have been sent' USING ERRCODE = 'object_not_in_prerequisite_state';
		END IF;
		-- it may be late: after a downtime, a snooze, or a question that took long
		held := @extschema@.mf_reminder_time(b.account, greatest(as_of, @extschema@.mf_local_time(b.account, b.snoozed_until, p.at_time)), p.at_time);
		IF held > as_of THEN
			RETURN held;
		END IF;
		IF EXISTS (SELECT FROM @extschema@.mf_link k JOIN @extschema@.mf_dispute d ON d.invoice = k.invoice WHERE k.bill = b.id AND d.status = 'PENDING') THEN
			RETURN as_of + interval '1 day';
		END IF;

		PERFORM @extschema@.mf_reminder_recall(b.id, as_of);
		-- the payment is asked for right before
		UPDATE @extschema@.mf_reminder_queue t SET asked_since = CASE WHEN t.asked_since > as_of - interval '15 minutes' THEN least(t.asked_since, as_of) ELSE as_of END
			WHERE t.bill = b.id RETURNING * INTO q;
		IF NOT @extschema@.mf_bill_asked(b.id, as_of, q.asked_since) THEN
			UPDATE @extschema@.mf_reminder_queue t SET tries = least(t.tries + 1, 1000) WHERE t.bill = b.id;
			RETURN as_of + @extschema@.mf_delay(q.tries, interval '1 second', interval '1 minute');
		END IF;
		-- the answer has been recorded, but may not be booked yet
		PERFORM @extschema@.mf_bill_book(b.id);
		SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = b.id;
		CONTINUE WHEN b.status <> 'open' OR NOT EXISTS (SELECT FROM @extschema@.mf_reminder_pick(b, as_of) x WHERE x.rule = p.rule);

		made := NULL;
		IF p.via = 'link' THEN
			-- as of the question: it need not be asked again for the link that this one replaces
			made := @extschema@.mf_bill_renew(b.id, q.asked_since, 'reminder', p.notification_option);
			SELECT * INTO b FROM @extschema@.mf_bill t WHERE t.id = b.id;
			IF made IS NULL AND b.status = 'open' THEN
				RAISE EXCEPTION '%', coalesce(b.link_error, 'the link cannot be made yet') USING ERRCODE = 'object_not_in_prerequisite_state';
			END IF;
			CONTINUE WHEN made IS NULL;
		END IF;
		INSERT INTO @extschema@.mf_reminder (bill, rule, via, due_at, fired_at, balance, invoice)
			VALUES (b.id, p.rule, p.via, p.due_at, as_of, b.balance, made) RETURNING id INTO reminder;
		PERFORM pg_notify('mf_bill', format('{"bill": %s, "reminder": %s}', b.id, reminder));
	END LOOP;
END
$$;
COMMENT ON FUNCTION mf_bill_remind(bigint, timestamptz) IS 'reminds of a bill, after MyFatoorah was asked whether it is paid; returns when to look again';

-- Adds the bills to the queue whose time has come for a rule, some of them.  Returns whether there may be more.
CREATE FUNCTION mf_reminder_find(r mf_reminder_rule, as_of timestamptz, most integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
	last_day date := @extschema@.mf_reminder_last_day(r, as_of);
	found record;
BEGIN
	-- a tick with a later time has come further
	IF last_day < r.done_to THEN
		UPDATE @extschema@.mf_reminder_rule t SET done_to = last_day, done_bill = 9223372036854775807 WHERE t.id = r.id;
		RETURN false;
	ELSIF (last_day, 9223372036854775807) <= (r.done_to, r.done_bill) THEN
		RETURN false;
	END IF;
	WITH c AS MATERIALIZED (
		SELECT b.id, b.due_date FROM @extschema@.mf_bill b
		WHERE b.status = 'open' AND b.account COLLATE "C" = r.account AND b.due_date >= r.done_to AND b.due_date <= last_day AND (b.due_date, b.id) > (r.done_to, r.done_bill)
		ORDER BY b.due_date, b.id LIMIT most),
	i AS (INSERT INTO @extschema@.mf_reminder_queue AS q (bill, due) SELECT c.id, least(as_of, c.due_date::timestamp AT TIME ZONE 'UTC') FROM c
		ON CONFLICT ON CONSTRAINT mf_reminder_queue_pkey DO UPDATE SET due = least(q.due, EXCLUDED.due))
	SELECT count(*) AS bills, max(c.due_date) AS last_day, (array_agg(c.id ORDER BY c.due_date DESC, c.id DESC))[1] AS last_bill INTO found FROM c;
	UPDATE @extschema@.mf_reminder_rule t SET
		done_to = CASE WHEN found.bills = most THEN found.last_day ELSE last_day END,
		done_bill = CASE WHEN found.bills = most THEN found.last_bill ELSE 9223372036854775807 END
		WHERE t.id = r.id;
	RETURN found.bills = most;
END
$$;
COMMENT ON FUNCTION mf_reminder_find(mf_reminder_rule, timestamptz, integer) IS 'adds bills to the queue for which a rule is due, the oldest first; returns whether there may be more';

CREATE FUNCTION mf_tick_reminders(as_of timestamptz, most integer)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
	started constant timestamptz := @extschema@.mf_tick_started(as_of);
	more boolean := false;
	r @extschema@.mf_reminder_rule;
	q record;
	again timestamptz;
	done integer := 0;
	state text;
	message text;
	soonest timestamptz;
BEGIN
	FOR r IN SELECT * FROM @extschema@.mf_reminder_rule t WHERE t.active AND EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = t.account) ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED LOOP
		EXIT WHEN @extschema@.mf_tick_over(started);
		more := @extschema@.mf_reminder_find(r, as_of, most * 4) OR more;
	END LOOP;
	-- Locked before the bill is looked at: another tick may add it again meanwhile, for a rule that this one has not seen.
	FOR q IN SELECT t.bill FROM @extschema@.mf_reminder_queue t WHERE t.due <= as_of ORDER BY t.due, t.bill LIMIT most FOR NO KEY UPDATE SKIP LOCKED LOOP
		EXIT WHEN @extschema@.mf_tick_over(started);
		-- a bill that somebody has locked is left to them
		PERFORM FROM @extschema@.mf_bill b WHERE b.id = q.bill FOR NO KEY UPDATE SKIP LOCKED;
		CONTINUE WHEN NOT FOUND;
		BEGIN
			again := @extschema@.mf_bill_remind(q.bill, as_of);
			UPDATE @extschema@.mf_reminder_queue t SET due = again, error = NULL, ahead = as_of WHERE t.bill = q.bill AND again IS NOT NULL;
			DELETE FROM @extschema@.mf_reminder_queue t WHERE t.bill = q.bill AND again IS NULL;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
			IF @extschema@.mf_is_transient(state) THEN
				RAISE;
			END IF;
			UPDATE @extschema@.mf_reminder_queue t SET error = @extschema@.mf_bill_words(message), tries = least(t.tries + 1, 1000), ahead = as_of,
				due = as_of + @extschema@.mf_delay(t.tries, interval '1 second', interval '1 day') WHERE t.bill = q.bill;
		END;
		done := done + 1;
	END LOOP;
	IF more OR done = most OR @extschema@.mf_tick_over(started) THEN
		RETURN as_of;
	END IF;
	soonest := (SELECT greatest(min(t.due), as_of + interval '1 second') FROM @extschema@.mf_reminder_queue t HAVING count(*) > 0);
	FOR r IN SELECT * FROM @extschema@.mf_reminder_rule t WHERE t.active AND EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = t.account) LOOP
		soonest := least(soonest, (SELECT greatest(@extschema@.mf_reminder_due(r, n.due_date), as_of + interval '1 second') FROM (
			SELECT b.due_date FROM @extschema@.mf_bill b
			WHERE b.status = 'open' AND b.account COLLATE "C" = r.account AND b.due_date >= r.done_to AND (b.due_date, b.id) > (r.done_to, r.done_bill)
			ORDER BY b.due_date, b.id LIMIT 1) n));
	END LOOP;
	RETURN soonest;
END
$$;
COMMENT ON FUNCTION mf_tick_reminders(timestamptz, integer) IS 'reminds of bills for which rules are due; returns when the next one is';

--
-- What people and their programs do
--
CREATE FUNCTION mf_snooze(bill bigint, until date, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	b @extschema@.mf_bill := @extschema@.mf_bill_begin(mf_snooze.bill, mf_snooze.reason);
BEGIN
	IF b.status <> 'open' THEN
		RAISE EXCEPTION 'bill % is % and is not reminded of', b.id, b.status USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Nothing is to be done.';
	ELSIF until IS NOT NULL AND (until > '9999-12-31' OR until <= @extschema@.mf_local_day(b.account, now())) THEN
		RAISE EXCEPTION 'until must be a day after today' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'until',
			DETAIL = format('It is %s.', mf_snooze.until), HINT = 'Give the day from which it may be reminded of again, or null to end a snooze.';
	END IF;
	UPDATE @extschema@.mf_bill t SET snoozed_until = mf_snooze.until WHERE t.id = b.id;
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_snooze(bigint, date, text) IS 'no reminders of an open bill before that day; null ends that';

CREATE FUNCTION mf_reminder_done(reminder bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m record;
	to_send boolean;
BEGIN
	SELECT t.*, b.created_by_id INTO m FROM @extschema@.mf_reminder t JOIN @extschema@.mf_bill b ON b.id = t.bill WHERE t.id = mf_reminder_done.reminder;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'reminder % does not exist', mf_reminder_done.reminder USING ERRCODE = 'no_data_found', HINT = 'Give mf_reminder.id.';
	ELSIF m.via <> 'event' THEN
		RAISE EXCEPTION 'reminder % was sent by MyFatoorah', m.id USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Reminders with via ''event'' are yours to send.';
	END IF;
	PERFORM @extschema@.mf_check_right('reminder'::text, m.id, m.created_by_id, @extschema@.mf_caller());
	UPDATE @extschema@.mf_reminder t SET done_at = now() WHERE t.id = m.id AND t.done_at IS NULL RETURNING t.withdrawn_at IS NULL INTO to_send;
	PERFORM pg_notify('mf_bill', format('{"bill": %s, "reminder": %s}', m.bill, m.id)) WHERE to_send IS NOT NULL;
	RETURN coalesce(to_send, false);
END
$$;
COMMENT ON FUNCTION mf_reminder_done(bigint) IS 'notes that your program has sent a reminder by event; false if that was noted already, or the reminder was withdrawn';
