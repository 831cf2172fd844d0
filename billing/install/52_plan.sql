--
-- Plans: bills that recur, or are paid in instalments
--
CREATE TABLE mf_plan (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account text NOT NULL DEFAULT 'myfatoorah',
	plan_key text COLLATE "C",
	template jsonb NOT NULL,
	starts_on date NOT NULL,
	anchor_on date,
	ends_on date,
	times integer,
	every interval,
	parts integer,
	part_days date[],
	calendar text COLLATE "C" NOT NULL DEFAULT 'gregorian',
	bill_days_before integer NOT NULL DEFAULT 0,
	due_days integer NOT NULL DEFAULT 0,
	at_time time NOT NULL DEFAULT '09:00',
	on_day_off text COLLATE "C" NOT NULL DEFAULT 'same',
	first_partial text COLLATE "C" NOT NULL DEFAULT 'full',
	catch_up text COLLATE "C" NOT NULL DEFAULT 'all',
	status text COLLATE "C" NOT NULL CHECK (status IN ('active', 'paused', 'ended')),
	next_number integer NOT NULL,
	next_on date,
	next_at timestamptz,
	tries integer NOT NULL DEFAULT 0,
	last_error text,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	created_by name COLLATE "C" NOT NULL DEFAULT CURRENT_USER,
	created_by_id oid NOT NULL DEFAULT 0,
	updated_at timestamptz,
	updated_by name COLLATE "C",
	erased_at timestamptz,
	ahead timestamptz,
	resumed_to integer,
	CHECK ((status = 'ended') = (next_on IS NULL)),
	CHECK ((status = 'active') = (next_at IS NOT NULL))
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX mf_plan_key_idx ON mf_plan (plan_key, account COLLATE "C");
CREATE INDEX mf_plan_next_idx ON mf_plan (next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX mf_plan_ahead_idx ON mf_plan (ahead) WHERE ahead IS NOT NULL;

COMMENT ON TABLE mf_plan IS 'insert a row, and each of its periods is billed once';
COMMENT ON COLUMN mf_plan.id IS 'our number of the plan';
COMMENT ON COLUMN mf_plan.account IS 'the account of its bills';
COMMENT ON COLUMN mf_plan.plan_key IS 'your own key, unique within the account; bills have PLAN_KEY/NUMBER as bill_key';
COMMENT ON COLUMN mf_plan.template IS 'columns of mf_bill; {number}, {from}, {to}, {due}, {hijri} in memo, bill_key and lines are filled in. A change counts from the next period';
COMMENT ON COLUMN mf_plan.starts_on IS 'first day';
COMMENT ON COLUMN mf_plan.anchor_on IS 'first day of the first whole period; starts_on if null. The days before are a period of their own, see first_partial';
COMMENT ON COLUMN mf_plan.ends_on IS 'no period begins after this day';
COMMENT ON COLUMN mf_plan.times IS 'no more periods than this';
COMMENT ON COLUMN mf_plan.every IS 'months (and years), or days (and weeks)';
COMMENT ON COLUMN mf_plan.parts IS 'total is split in so many bills; one every month if "every" is null';
COMMENT ON COLUMN mf_plan.part_days IS 'the days of the parts, instead of "every"';
COMMENT ON COLUMN mf_plan.calendar IS 'gregorian or islamic-umalqura: whose months they are';
COMMENT ON COLUMN mf_plan.bill_days_before IS 'a bill is made and sent so many days before its period begins';
COMMENT ON COLUMN mf_plan.due_days IS 'a bill is due so many days after its period has begun';
COMMENT ON COLUMN mf_plan.at_time IS 'time of the day at which a bill is made and sent, in the zone of the account';
COMMENT ON COLUMN mf_plan.on_day_off IS 'what is to happen on a day off is on the same, next or previous working day';
COMMENT ON COLUMN mf_plan.first_partial IS 'the days before anchor_on are billed in full or prorated, or skipped';
COMMENT ON COLUMN mf_plan.catch_up IS 'periods that were missed are billed: all, one (the last), none';
COMMENT ON COLUMN mf_plan.status IS 'result: active, paused or ended';
COMMENT ON COLUMN mf_plan.next_number IS 'result: number of the next period';
COMMENT ON COLUMN mf_plan.next_on IS 'result: civil day on which it is billed';
COMMENT ON COLUMN mf_plan.next_at IS 'result: when it is looked at next';
COMMENT ON COLUMN mf_plan.tries IS 'result: failures in a row';
COMMENT ON COLUMN mf_plan.last_error IS 'result: why the next period could not be billed; null if nothing is wrong';
COMMENT ON COLUMN mf_plan.created_at IS 'result: when the row was inserted';
COMMENT ON COLUMN mf_plan.created_by IS 'result: name, at that time, of the role that inserted the row; mf_repair() writes its present one';
COMMENT ON COLUMN mf_plan.created_by_id IS 'result: OID of that role: its members may change the plan, and bills are made as that role';
COMMENT ON COLUMN mf_plan.updated_at IS 'result: when what you write was last changed';
COMMENT ON COLUMN mf_plan.updated_by IS 'result: by which role';
COMMENT ON COLUMN mf_plan.erased_at IS 'result: when what the template says of the customer was erased; null if it was not';
COMMENT ON COLUMN mf_plan.ahead IS 'result: by what time it was put off; a tick with an earlier time, after a trial or while the clock was ahead, looks again';
COMMENT ON COLUMN mf_plan.resumed_to IS 'result: periods up to this number are billed, whatever catch_up says: mf_resume_plan() was told so';

-- The key makes it impossible to bill a period twice.
CREATE TABLE mf_plan_period (
	plan bigint NOT NULL REFERENCES mf_plan,
	number integer NOT NULL,
	period daterange NOT NULL,
	bill bigint UNIQUE REFERENCES mf_bill,
	value numeric,
	skipped text COLLATE "C" CHECK (skipped IN ('missed', 'paused', 'lost')),
	made_at timestamptz NOT NULL,
	PRIMARY KEY (plan, number),
	CHECK ((bill IS NULL) = (skipped IS NOT NULL) AND (value IS NULL) = coalesce(skipped <> 'lost', false))
);

COMMENT ON TABLE mf_plan_period IS 'each period of a plan that was billed or skipped, append-only';
COMMENT ON COLUMN mf_plan_period.plan IS 'mf_plan.id';
COMMENT ON COLUMN mf_plan_period.number IS 'from 1 on';
COMMENT ON COLUMN mf_plan_period.period IS 'its civil days';
COMMENT ON COLUMN mf_plan_period.bill IS 'mf_bill.id; null if it was skipped';
COMMENT ON COLUMN mf_plan_period.value IS 'what was billed, also where the bill was lost';
COMMENT ON COLUMN mf_plan_period.skipped IS 'why there is no bill: missed (see catch_up), paused, lost in a promotion; null if there is one';
COMMENT ON COLUMN mf_plan_period.made_at IS 'when that was';

CREATE TABLE mf_plan_history (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	plan bigint NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	actor text NOT NULL,
	changes jsonb NOT NULL,
	reason text
);

CREATE INDEX mf_plan_history_plan_idx ON mf_plan_history (plan);

COMMENT ON TABLE mf_plan_history IS 'every change of a plan, append-only';
COMMENT ON COLUMN mf_plan_history.plan IS 'mf_plan.id';
COMMENT ON COLUMN mf_plan_history.changed_at IS 'when';
COMMENT ON COLUMN mf_plan_history.actor IS 'the role that has caused it';
COMMENT ON COLUMN mf_plan_history.changes IS 'old and new value of each column that has changed';
COMMENT ON COLUMN mf_plan_history.reason IS 'the reason of a command';

--
-- What a period is
--
CREATE FUNCTION mf_plan_first_day(p mf_plan, k integer)
RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN p.part_days IS NULL THEN @extschema@.mf_calendar_add(p.calendar, p.anchor_on, p.every, k) ELSE p.part_days[k + 1] END $$;
COMMENT ON FUNCTION mf_plan_first_day(mf_plan, integer) IS 'first day of a whole period of a plan, the first being 0';

CREATE FUNCTION mf_plan_compute(p mf_plan, number integer, OUT period daterange, OUT send_on date, OUT due_date date, OUT value numeric)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k integer := number - 1 - (p.anchor_on > p.starts_on AND p.first_partial <> 'skip')::integer;
	total numeric := (p.template->>'total')::numeric;
	currency text := upper(coalesce(p.template->>'currency', (SELECT f.currency FROM @extschema@.mf_facts(p.account) f)));
	first_day date;
	next_day date;
	billed numeric;
BEGIN
	IF number < 1 OR number > least(p.times, p.parts) THEN
		RETURN;
	END IF;
	first_day := CASE WHEN k < 0 THEN p.starts_on ELSE @extschema@.mf_plan_first_day(p, k) END;
	IF first_day > least(p.ends_on, '9999-12-31') THEN
		RETURN;
	END IF;
	next_day := @extschema@.mf_plan_first_day(p, k + 1);
	period := daterange(first_day, coalesce(next_day, greatest(p.ends_on, first_day) + 1));
	due_date := @extschema@.mf_working_day(p.account, first_day + p.due_days, p.on_day_off);
	send_on := least(@extschema@.mf_working_day(p.account, first_day - p.bill_days_before, p.on_day_off), due_date);
	IF p.parts IS NOT NULL THEN
		-- what was not billed yet, so that parts add up to a total that was changed meanwhile, too
		billed := (SELECT coalesce(sum(t.value), 0) FROM @extschema@.mf_plan_period t WHERE t.plan = p.id AND t.number < p.next_number);
		value := (@extschema@.mf_split(greatest(total - billed, 0), p.parts - p.next_number + 1, currency))[number - p.next_number + 1];
	ELSIF k < 0 AND p.first_partial = 'prorated' THEN
		value := round(total * (p.anchor_on - p.starts_on) / (p.anchor_on - @extschema@.mf_plan_first_day(p, -1)), @extschema@.mf_currency_decimals(currency));
	ELSE
		value := round(total, @extschema@.mf_currency_decimals(currency));
	END IF;
END
$$;
COMMENT ON FUNCTION mf_plan_compute(mf_plan, integer) IS 'days and value of a period of a plan; null if it has no such period';

CREATE FUNCTION mf_plan_fill(filled text, number integer, period daterange, due_date date)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(replace(replace(replace(replace(filled, '{number}', number::text), '{from}', to_char(lower(period), 'YYYY-MM-DD')),
		'{to}', to_char(upper(period) - 1, 'YYYY-MM-DD')), '{due}', to_char(due_date, 'YYYY-MM-DD')), '{hijri}', CASE WHEN filled LIKE '%{hijri}%' THEN @extschema@.mf_hijri(lower(period)) ELSE '' END)
$$;
COMMENT ON FUNCTION mf_plan_fill(text, integer, daterange, date) IS 'a text of a template for a period: {number}, {from}, {to}, {due} and {hijri} are filled in';

-- The row of mf_bill for a period
CREATE FUNCTION mf_plan_bill(p mf_plan, number integer)
RETURNS mf_bill
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c record := @extschema@.mf_plan_compute(p, number);
	b @extschema@.mf_bill := jsonb_populate_record(NULL::@extschema@.mf_bill, p.template);
BEGIN
	b.account := p.account;
	b.created_by := p.created_by;
	b.created_by_id := p.created_by_id;
	b.due_date := c.due_date;
	-- lines are those of the whole total
	b.lines := CASE WHEN c.value = b.total THEN @extschema@.mf_plan_fill(b.lines::text, number, c.period, c.due_date)::jsonb END;
	b.total := c.value;
	b.memo := @extschema@.mf_plan_fill(b.memo, number, c.period, c.due_date);
	b.bill_key := @extschema@.mf_plan_fill(coalesce(b.bill_key, coalesce(p.plan_key, 'plan ' || p.id) || '/{number}'), number, c.period, c.due_date);
	b.notification_option := coalesce(b.notification_option, 'LNK');
	RETURN b;
END
$$;
COMMENT ON FUNCTION mf_plan_bill(mf_plan, integer) IS 'the row of mf_bill for a period of a plan';

--
-- Guard: checks what people write, and lets nobody else write results
--
CREATE FUNCTION mf_plan_check(p mf_plan)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	field text;
	problem text;
	hint text;
	currency text;
	too_long boolean := p.every > interval '100 years';
	months integer := CASE WHEN NOT too_long THEN 12 * extract(year FROM p.every) + extract(month FROM p.every) END;
	days integer := CASE WHEN NOT too_long THEN extract(day FROM p.every) END;
BEGIN
	FOR field, problem, hint IN
		SELECT r.field, r.problem, r.hint FROM (VALUES
			('template', jsonb_typeof(p.template) IS DISTINCT FROM 'object', 'must be an object', 'Give columns of mf_bill, such as {"customer_name": "Ahmad", "total": 250.500}.'),
			('starts_on', p.starts_on IS NULL, 'must not be null', 'Give the first day of the first period.'),
			('starts_on', NOT p.starts_on BETWEEN '1970-01-01' AND '9999-12-31', 'is out of range', NULL),
			('anchor_on', NOT p.anchor_on BETWEEN '1970-01-01' AND '9999-12-31', 'is out of range', NULL),
			('ends_on', p.ends_on > '9999-12-31', 'is out of range', 'Give null for a plan without an end.'),
			('ends_on', p.ends_on < p.starts_on, 'is before starts_on', 'Give null for a plan without an end.'),
			('times', NOT p.times BETWEEN 1 AND 100000, 'must be from 1 to 100000', 'Give null for a plan without an end.'),
			('parts', NOT p.parts BETWEEN 1 AND 1000, 'must be from 1 to 1000', NULL),
			('parts', p.parts IS NOT NULL AND p.times IS NOT NULL, 'and times exclude each other', 'A plan ends with its last part.'),
			('parts', p.parts IS NOT NULL AND p.anchor_on <> p.starts_on, 'and anchor_on exclude each other', 'The first part is on starts_on.'),
			('part_days', p.part_days IS NOT NULL AND p.every IS NOT NULL, 'and every exclude each other', 'Give one of them.'),
			('part_days', p.part_days IS NOT NULL AND cardinality(p.part_days) IS DISTINCT FROM p.parts, 'must have as many days as there are parts', 'Leave out parts.'),
			('part_days', p.part_days IS NOT NULL AND (p.part_days[1] IS DISTINCT FROM p.starts_on OR array_ndims(p.part_days) <> 1
				OR EXISTS (SELECT FROM unnest(p.part_days) WITH ORDINALITY d(day, n) WHERE d.day IS NULL OR d.day > '9999-12-31' OR d.day <= p.part_days[d.n - 1])),
				'must be in ascending order, the first being starts_on', 'Leave out starts_on.'),
			('every', p.every IS NULL AND p.parts IS NULL, 'must not be null', 'Give an interval such as ''1 month'', or parts.'),
			('every', too_long, 'is too long', 'The limit is a century.'),
			('every', months < 0 OR days < 0 OR (months = 0) = (days = 0) OR make_interval(months => months, days => days) <> p.every,
				'must be whole months, or whole days', 'Give an interval such as ''1 month'', ''1 year'', ''2 weeks''.'),
			('calendar', p.calendar NOT IN ('gregorian', 'islamic-umalqura'), 'must be gregorian or islamic-umalqura', NULL),
			('bill_days_before', NOT p.bill_days_before BETWEEN 0 AND 366, 'must be from 0 to 366', NULL),
			('due_days', NOT p.due_days BETWEEN 0 AND 366, 'must be from 0 to 366', NULL),
			('at_time', p.at_time IN ('00:00', '24:00'), 'must not be midnight', 'There are days without. Give a time at which customers are awake, such as 09:00.'),
			('on_day_off', p.on_day_off NOT IN ('same', 'next', 'previous'), 'must be same, next or previous', NULL),
			('first_partial', p.first_partial NOT IN ('full', 'prorated', 'skip'), 'must be full, prorated or skip', NULL),
			('catch_up', p.catch_up NOT IN ('none', 'one', 'all'), 'must be none, one or all', NULL),
			('catch_up', p.catch_up <> 'all' AND p.parts IS NOT NULL, 'must be all where there are parts', 'Parts that were skipped would not add up.')) r(field, refused, problem, hint)
		WHERE r.refused LIMIT 1
	LOOP
		RAISE EXCEPTION '% %', field, problem USING ERRCODE = CASE problem WHEN 'must not be null' THEN 'null_value_not_allowed' ELSE 'invalid_parameter_value' END,
			COLUMN = field, HINT = coalesce(hint, 'Correct the plan.');
	END LOOP;
	IF p.part_days IS NULL AND NOT (p.anchor_on >= p.starts_on AND @extschema@.mf_plan_first_day(p, -1) < p.starts_on) THEN
		RAISE EXCEPTION 'anchor_on must be less than one period after starts_on' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'anchor_on',
			DETAIL = format('It is %s, and starts_on is %s.', p.anchor_on, p.starts_on), HINT = 'Give the day on which the first whole period begins, or null.';
	END IF;

	FOR field, problem IN
		SELECT t.key, CASE WHEN k.kind IS NULL THEN 'is no column of a bill that a plan gives' ELSE 'must be of type ' || k.kind END
		FROM jsonb_each(p.template) t LEFT JOIN (VALUES ('customer_name', 'string'), ('customer_email', 'string'), ('customer_mobile', 'string'), ('mobile_country_code', 'string'),
			('language', 'string'), ('customer_reference', 'string'), ('customer_civil_id', 'string'), ('total', 'number'), ('currency', 'string'), ('lines', 'array'),
			('notification_option', 'string'), ('link_days', 'number'), ('memo', 'string'), ('metadata', 'object'), ('bill_key', 'string')) k(key, kind) ON k.key = t.key
		WHERE jsonb_typeof(t.value) <> k.kind AND (jsonb_typeof(t.value) <> 'null' OR t.key IN ('total', 'customer_name')) OR k.kind IS NULL ORDER BY 1 LIMIT 1
	LOOP
		RAISE EXCEPTION 'template.% %', field, problem USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
			HINT = CASE WHEN problem LIKE 'is no%' THEN 'A plan gives columns that you write but account, due_date and send_at, which follow from its own columns.' ELSE 'Correct the template.' END;
	END LOOP;
	IF NOT p.template ?& '{customer_name,total}' THEN
		RAISE EXCEPTION 'template must have customer_name and total' USING ERRCODE = 'null_value_not_allowed', COLUMN = 'template',
			HINT = 'Give columns of mf_bill, such as {"customer_name": "Ahmad", "total": 250.500}.';
	ELSIF p.template->>'bill_key' !~ '\{(number|from)\}' THEN
		RAISE EXCEPTION 'template.bill_key is the same for each period' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
			HINT = 'Put {number} or {from} into it, or leave it out.';
	END IF;
	currency := upper(coalesce(p.template->>'currency', (SELECT f.currency FROM @extschema@.mf_account_facts(p.account) f)));
	PERFORM @extschema@.mf_check_amount('template.total'::text, (p.template->>'total')::numeric, currency, 'at least 0'::text);
	IF p.parts IS NOT NULL AND (p.template->>'total')::numeric < (SELECT sum(t.value) FROM @extschema@.mf_plan_period t WHERE t.plan = p.id) THEN
		RAISE EXCEPTION 'template.total is less than what was billed already' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'template',
			HINT = 'Change the bills of the parts.';
	END IF;
END
$$;
COMMENT ON FUNCTION mf_plan_check(mf_plan) IS 'raises an error that names the field unless a plan can be one';

CREATE FUNCTION mf_plan_visible(plan bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NOT row_security_active('@extschema@.mf_plan') OR EXISTS (SELECT FROM @extschema@.mf_plan p WHERE p.id = mf_plan_visible.plan);
END
$$;
COMMENT ON FUNCTION mf_plan_visible(bigint) IS 'whether row-level security lets the current role see that row of mf_plan';

-- The plan with what follows for its next period
CREATE FUNCTION mf_plan_ahead(p mf_plan)
RETURNS mf_plan
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	p.next_on := (@extschema@.mf_plan_compute(p, p.next_number)).send_on;
	IF p.next_on IS NULL THEN
		p.status := 'ended';
	ELSIF p.status = 'ended' THEN
		p.status := 'active';
	END IF;
	p.next_at := CASE p.status WHEN 'active' THEN @extschema@.mf_local_time(p.account, p.next_on, p.at_time) END;
	p.tries := 0;
	p.last_error := NULL;
	RETURN p;
END
$$;
COMMENT ON FUNCTION mf_plan_ahead(mf_plan) IS 'a plan with its status and the day of its next period';

CREATE FUNCTION mf_plan_guard()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
		RAISE EXCEPTION 'plans are not deleted' USING ERRCODE = 'insufficient_privilege', HINT = 'Call mf_end_plan(plan, on_date, reason).';
	ELSIF @extschema@.mf_ours() THEN
		RETURN NEW;
	ELSIF TG_OP = 'INSERT' THEN
		-- a row with a status comes from a dump, as it is
		IF NEW.status IS NOT NULL THEN
			IF NOT pg_has_role(current_user, @extschema@.mf_billing_role(), 'USAGE') THEN
				RAISE EXCEPTION 'column "status" of mf_plan is written by myfatoorah_billing only' USING ERRCODE = 'insufficient_privilege', COLUMN = 'status';
			END IF;
			-- in another cluster a role has another OID; none of that name: the plan is for operators
			NEW.created_by_id := coalesce(to_regrole(quote_ident(NEW.created_by))::oid, 0);
			RETURN NEW;
		END IF;
		NEW.status := 'active';
		NEW.next_number := 1;
		NEW.created_at := now();
		NEW.created_by := current_user;
		NEW.created_by_id := quote_ident(current_user)::regrole;
		NEW.updated_at := NULL;
		NEW.updated_by := NULL;
		NEW.ahead := NULL;
		NEW.resumed_to := NULL;
		NEW.erased_at := NULL;
	ELSE
		PERFORM @extschema@.mf_check_right('plan'::text, OLD.id, OLD.created_by_id, current_user);
		IF OLD.erased_at IS NOT NULL THEN
			RAISE EXCEPTION 'plan % cannot be changed, because its customer was forgotten', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state',
				HINT = 'Insert another plan.';
		ELSIF (NEW.id, NEW.account, NEW.plan_key, NEW.status, NEW.next_number, NEW.next_on, NEW.next_at, NEW.tries, NEW.last_error, NEW.ahead, NEW.resumed_to, NEW.created_at, NEW.created_by, NEW.created_by_id, NEW.updated_at, NEW.updated_by, NEW.erased_at)
			IS DISTINCT FROM
			(OLD.id, OLD.account, OLD.plan_key, OLD.status, OLD.next_number, OLD.next_on, OLD.next_at, OLD.tries, OLD.last_error, OLD.ahead, OLD.resumed_to, OLD.created_at, OLD.created_by, OLD.created_by_id, OLD.updated_at, OLD.updated_by, OLD.erased_at) THEN
			RAISE EXCEPTION 'account, plan_key and results of plan % cannot be changed', OLD.id USING ERRCODE = 'insufficient_privilege',
				HINT = 'Results are written by myfatoorah_billing. To control a plan, use mf_pause_plan(), mf_resume_plan() and mf_end_plan().';
		ELSIF OLD.next_number > 1 AND (NEW.starts_on, NEW.anchor_on, NEW.every, NEW.parts, NEW.part_days, NEW.calendar, NEW.first_partial)
			IS DISTINCT FROM (OLD.starts_on, OLD.anchor_on, OLD.every, OLD.parts, OLD.part_days, OLD.calendar, OLD.first_partial) THEN
			RAISE EXCEPTION 'the periods of plan % cannot be changed any more', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = 'Its first period was billed or skipped.', HINT = 'End it with mf_end_plan(plan, on_date, reason), and insert another.';
		ELSIF OLD.next_number > 1 AND NEW.parts IS NOT NULL AND upper(NEW.template->>'currency') <> upper(OLD.template->>'currency') THEN
			RAISE EXCEPTION 'the currency of plan % cannot be changed any more', OLD.id USING ERRCODE = 'object_not_in_prerequisite_state',
				DETAIL = 'Parts of its total were billed in another one.', HINT = 'End it with mf_end_plan(plan, on_date, reason), and insert another.';
		END IF;
		-- what follows from another column follows again
		NEW.anchor_on := CASE WHEN NEW.starts_on <> OLD.starts_on AND NEW.anchor_on = OLD.anchor_on AND OLD.anchor_on = OLD.starts_on THEN NEW.starts_on ELSE NEW.anchor_on END;
		NEW.updated_at := now();
		NEW.updated_by := current_user;
	END IF;
	-- the account's own currency may become another one
	IF jsonb_typeof(NEW.template) = 'object' AND NEW.template->>'currency' IS NULL THEN
		NEW.template := NEW.template || jsonb_build_object('currency', CASE TG_OP WHEN 'UPDATE' THEN OLD.template->>'currency'
			ELSE (SELECT f.currency FROM @extschema@.mf_account_facts(NEW.account) f) END);
	END IF;
	NEW.starts_on := coalesce(NEW.starts_on, NEW.part_days[1]);
	NEW.parts := coalesce(NEW.parts, cardinality(NEW.part_days));
	NEW.anchor_on := coalesce(NEW.anchor_on, NEW.starts_on);
	IF NEW.parts IS NOT NULL AND NEW.part_days IS NULL THEN
		NEW.every := coalesce(NEW.every, interval '1 month');
	END IF;
	PERFORM @extschema@.mf_plan_check(NEW);
	NEW := @extschema@.mf_plan_ahead(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION mf_plan_guard() IS 'checks plans, computes their next period, and refuses changes of results by any but myfatoorah_billing';

-- Their plans may be many, so it is one statement.
CREATE FUNCTION mf_plan_insert_bills(plans mf_plan[])
RETURNS SETOF bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO @extschema@.mf_bill (account, bill_key, customer_name, customer_email, customer_mobile, mobile_country_code, language, customer_reference, customer_civil_id,
			total, currency, lines, due_date, notification_option, link_days, memo, metadata, created_by, created_by_id)
		SELECT b.account, b.bill_key, b.customer_name, b.customer_email, b.customer_mobile, b.mobile_country_code, b.language, b.customer_reference, b.customer_civil_id,
			b.total, b.currency, b.lines, b.due_date, b.notification_option, b.link_days, b.memo, b.metadata, b.created_by, b.created_by_id
		FROM unnest(plans) p, @extschema@.mf_plan_bill(p, p.next_number) b
	RETURNING id
$$;
COMMENT ON FUNCTION mf_plan_insert_bills(mf_plan[]) IS 'inserts the bills of the next periods of plans, with the rights of the roles that have inserted the plans';

-- Bills that are made to see whether they can be, and taken back.
CREATE FUNCTION mf_plan_trial(plans mf_plan[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_plan_insert_bills(plans);
	RAISE EXCEPTION USING ERRCODE = 'MFTRY';
EXCEPTION WHEN SQLSTATE 'MFTRY' THEN
	NULL;
END
$$;
COMMENT ON FUNCTION mf_plan_trial(mf_plan[]) IS 'raises the error that the next bills of these plans would raise';

-- How many periods of a plan are due.  Their days ascend, so it looks ahead in growing steps, and then in halves.
CREATE FUNCTION mf_plan_due(p mf_plan, as_of timestamptz)
RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	periods integer := 0;
	step integer := 1;
	grows boolean := true;
	due boolean;
BEGIN
	WHILE step > 0 LOOP
		due := coalesce(@extschema@.mf_local_time(p.account, (@extschema@.mf_plan_compute(p, p.next_number + periods + step - 1)).send_on, p.at_time) <= as_of, false);
		periods := periods + CASE WHEN due THEN step ELSE 0 END;
		grows := grows AND due;
		step := CASE WHEN grows THEN step * 2 ELSE step / 2 END;
	END LOOP;
	RETURN periods;
END
$$;
COMMENT ON FUNCTION mf_plan_due(mf_plan, timestamptz) IS 'how many periods of a plan, from the next one on, are to be billed or skipped at that time';

CREATE FUNCTION mf_plan_tell(plans mf_plan[], least_periods integer)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t record;
BEGIN
	SELECT sum(d.periods) AS periods, count(*) AS plans, min(p.id) AS plan INTO t
		FROM unnest(plans) p, LATERAL (SELECT @extschema@.mf_plan_due(p, now()) AS due) n,
			LATERAL (SELECT least(n.due, greatest(CASE p.catch_up WHEN 'all' THEN n.due WHEN 'one' THEN 1 ELSE 0 END, p.resumed_to - p.next_number + 1)) AS periods) d
		WHERE p.status = 'active' AND p.next_at <= now() AND d.periods >= least_periods;
	IF t.plans > 0 THEN
		RAISE NOTICE 'periods that are due already and will be billed: %', t.periods
			USING DETAIL = format('Plans: %s; one is plan %s.', t.plans, t.plan),
			HINT = 'mf_plan_preview(plan) shows them. To stop it: mf_pause_plan(plan, reason).';
	END IF;
END
$$;
COMMENT ON FUNCTION mf_plan_tell(mf_plan[], integer) IS 'tells how many periods of those plans will be billed at once that have at least so many';

CREATE FUNCTION mf_plan_inserted()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- what was restored is right already
	PERFORM @extschema@.mf_plan_trial(array_agg(ROW(n.*)::@extschema@.mf_plan ORDER BY n.id)) FROM new_plans n WHERE n.created_at = now() AND n.status = 'active';
	PERFORM @extschema@.mf_plan_tell(array_agg(ROW(n.*)::@extschema@.mf_plan), 2) FROM new_plans n WHERE n.created_at = now() AND n.next_at <= now();
	PERFORM @extschema@.mf_billing_wake(min(n.next_at)) FROM new_plans n WHERE n.created_at = now();
	PERFORM pg_notify('mf_bill', '{"plan": ' || n.id || '}') FROM new_plans n;
	PERFORM @extschema@.mf_pause('*'::text, 'plans were restored; the server they come from must not make bills of them any more'::text) WHERE EXISTS (SELECT FROM new_plans n WHERE n.created_at <> now());
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_plan_inserted() IS 'makes sure that the bills of new plans can be made, and has them made when they are due';

CREATE FUNCTION mf_plan_changed()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changes constant jsonb := @extschema@.mf_row_changes(to_jsonb(OLD), to_jsonb(NEW) - '{updated_at,updated_by,next_number,next_on,next_at,tries,ahead,resumed_to}'::text[]);
BEGIN
	PERFORM pg_notify('mf_bill', '{"plan": ' || NEW.id || '}');
	IF changes IS NOT NULL THEN
		INSERT INTO @extschema@.mf_plan_history (plan, actor, changes, reason)
			VALUES (NEW.id, @extschema@.mf_caller(), changes, nullif(current_setting('mf_bill.reason', true), ''));
	END IF;
	IF NEW.status = 'active' AND NEW.template IS DISTINCT FROM OLD.template THEN
		PERFORM @extschema@.mf_plan_trial(ARRAY[NEW]);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_plan_changed() IS 'records changes of plans in mf_plan_history, notifies, and makes sure that bills of a new template can be made';

CREATE FUNCTION mf_plan_wake()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM @extschema@.mf_plan_tell(ARRAY[NEW], 2);
	PERFORM @extschema@.mf_billing_wake(NEW.next_at);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION mf_plan_wake() IS 'has mf_billing_tick() called when a plan that people have changed is due';

-- the first to be called, by its name
CREATE TRIGGER mf_plan_account
	BEFORE INSERT ON mf_plan
	FOR EACH ROW WHEN (NOT mf_ours()) EXECUTE FUNCTION mf_hold_account();
CREATE TRIGGER mf_plan_guard
	BEFORE INSERT OR UPDATE OR DELETE ON mf_plan
	FOR EACH ROW EXECUTE FUNCTION mf_plan_guard();
CREATE TRIGGER mf_plan_guard_truncate
	BEFORE TRUNCATE ON mf_plan
	FOR EACH STATEMENT EXECUTE FUNCTION mf_plan_guard();
CREATE TRIGGER mf_plan_inserted
	AFTER INSERT ON mf_plan
	REFERENCING NEW TABLE AS new_plans
	FOR EACH STATEMENT EXECUTE FUNCTION mf_plan_inserted();
CREATE TRIGGER mf_plan_changed
	AFTER UPDATE ON mf_plan
	FOR EACH ROW WHEN (NEW.erased_at IS NOT DISTINCT FROM OLD.erased_at) EXECUTE FUNCTION mf_plan_changed();
CREATE TRIGGER mf_plan_wake
	AFTER UPDATE ON mf_plan
	FOR EACH ROW WHEN (OLD.next_at IS DISTINCT FROM NEW.next_at AND NOT mf_ours()) EXECUTE FUNCTION mf_plan_wake();

CREATE FUNCTION mf_plan_period_guard()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION 'periods of plans are neither changed nor deleted' USING ERRCODE = 'insufficient_privilege',
		HINT = 'To give up a bill of a period, call mf_void(bill, reason).';
END
$$;
COMMENT ON FUNCTION mf_plan_period_guard() IS 'keeps periods as they are';

CREATE TRIGGER mf_plan_period_guard
	BEFORE UPDATE OR DELETE ON mf_plan_period
	FOR EACH ROW EXECUTE FUNCTION mf_plan_period_guard();
CREATE TRIGGER mf_plan_period_guard_truncate
	BEFORE TRUNCATE ON mf_plan_period
	FOR EACH STATEMENT EXECUTE FUNCTION mf_plan_period_guard();

--
-- One period after the other
--
-- Records a period of a locked plan, and goes on to the next one.
CREATE FUNCTION mf_plan_record(p mf_plan, period daterange, bill bigint, value numeric, skipped text, at timestamptz)
RETURNS mf_plan
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO @extschema@.mf_plan_period (plan, number, period, bill, value, skipped, made_at)
		VALUES (p.id, p.next_number, mf_plan_record.period, mf_plan_record.bill, mf_plan_record.value, mf_plan_record.skipped, at);
	p.next_number := p.next_number + 1;
	RETURN @extschema@.mf_plan_save(p);
END
$$;
COMMENT ON FUNCTION mf_plan_record(mf_plan, daterange, bigint, numeric, text, timestamptz) IS 'records that a period of a plan was billed or skipped, and goes on to the next one';

CREATE FUNCTION mf_plan_save(p mf_plan)
RETURNS mf_plan
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	p := @extschema@.mf_plan_ahead(p);
	UPDATE @extschema@.mf_plan t SET status = p.status, ends_on = p.ends_on, next_number = p.next_number, next_on = p.next_on, next_at = p.next_at, resumed_to = p.resumed_to, tries = 0, last_error = NULL, ahead = NULL
		WHERE t.id = p.id;
	RETURN p;
END
$$;
COMMENT ON FUNCTION mf_plan_save(mf_plan) IS 'writes what a plan has become, and what follows for its next period';

-- Bills the next period of a locked plan that is due, or skips it.
CREATE FUNCTION mf_plan_step(plan bigint, as_of timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan;
	c record;
	later record;
	skip boolean := false;
BEGIN
	SELECT * INTO p FROM @extschema@.mf_plan t WHERE t.id = mf_plan_step.plan FOR NO KEY UPDATE;
	c := @extschema@.mf_plan_compute(p, p.next_number);
	IF p.status <> 'active' OR p.next_at > as_of THEN
		RETURN;
	ELSIF c.send_on IS NULL OR @extschema@.mf_local_time(p.account, c.send_on, p.at_time) > as_of THEN
		-- days off, or the zone, are others than they were
		PERFORM @extschema@.mf_plan_save(p);
		RETURN;
	ELSIF p.next_number <= p.resumed_to THEN
		skip := false;
	ELSIF p.catch_up = 'none' THEN
		skip := @extschema@.mf_local_time(p.account, c.send_on, p.at_time) <= as_of - interval '1 day';
	ELSIF p.catch_up = 'one' THEN
		later := @extschema@.mf_plan_compute(p, p.next_number + 1);
		skip := coalesce(@extschema@.mf_local_time(p.account, later.send_on, p.at_time) <= as_of, false);
	END IF;
	IF skip THEN
		PERFORM @extschema@.mf_plan_record(p, c.period, NULL::bigint, NULL::numeric, 'missed'::text, as_of);
	ELSE
		PERFORM @extschema@.mf_plan_record(p, c.period, b.id, c.value, NULL::text, as_of) FROM @extschema@.mf_plan_insert_bills(ARRAY[p]) b(id);
	END IF;
END
$$;
COMMENT ON FUNCTION mf_plan_step(bigint, timestamptz) IS 'bills the next period of a plan if it is due, or skips it as catch_up says';

-- One plan whose bill cannot be made does not stop the others.
CREATE FUNCTION mf_plan_try(plan bigint, as_of timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text;
	message text;
BEGIN
	PERFORM @extschema@.mf_plan_step(mf_plan_try.plan, as_of);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	IF @extschema@.mf_is_transient(state) THEN
		RAISE;
	END IF;
	UPDATE @extschema@.mf_plan t SET last_error = replace(message, format('role with OID %s ', t.created_by_id), format('role "%s" ', t.created_by)), tries = least(t.tries + 1, 1000), ahead = as_of,
		next_at = as_of + @extschema@.mf_delay(t.tries, interval '1 minute', interval '1 day') WHERE t.id = mf_plan_try.plan;
END
$$;
COMMENT ON FUNCTION mf_plan_try(bigint, timestamptz) IS 'bills the next period of a plan; what fails is put off and noted in last_error';

-- The periods that are due, oldest first, "most" at most.  Returns when the next one is.
CREATE FUNCTION mf_tick_plans(as_of timestamptz, most integer)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p bigint;
	round_done integer;
	done integer := 0;
	started constant timestamptz := @extschema@.mf_tick_started(as_of);
	promoted constant timestamptz := @extschema@.mf_promoted_at();
BEGIN
	-- each round does one period of each plan that is due; a plan that somebody has locked is left to them
	LOOP
		round_done := 0;
		FOR p IN SELECT t.id FROM @extschema@.mf_plan t WHERE t.next_at <= as_of AND (t.next_at > promoted OR t.created_at > promoted) ORDER BY t.next_at, t.id LIMIT most - done FOR NO KEY UPDATE SKIP LOCKED LOOP
			EXIT WHEN @extschema@.mf_tick_over(started);
			PERFORM @extschema@.mf_plan_try(p, as_of);
			round_done := round_done + 1;
		END LOOP;
		done := done + round_done;
		EXIT WHEN round_done = 0 OR done >= most OR @extschema@.mf_tick_over(started);
	END LOOP;
	RETURN CASE WHEN done >= most OR @extschema@.mf_tick_over(started) THEN as_of
		ELSE (SELECT greatest(min(t.next_at), as_of + interval '1 second') FROM @extschema@.mf_plan t WHERE t.next_at IS NOT NULL AND (t.next_at > promoted OR t.created_at > promoted) HAVING count(*) > 0) END;
END
$$;
COMMENT ON FUNCTION mf_tick_plans(timestamptz, integer) IS 'bills periods that are due; returns when the next one is';

--
-- What people do with plans
--
CREATE FUNCTION mf_plan_preview(plan bigint, periods integer DEFAULT 12)
RETURNS TABLE (number integer, period daterange, send_at timestamptz, due_date date, value numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan;
	c record;
BEGIN
	SELECT * INTO p FROM @extschema@.mf_plan t WHERE t.id = mf_plan_preview.plan;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'plan % does not exist', mf_plan_preview.plan USING ERRCODE = 'no_data_found', HINT = 'Give mf_plan.id.';
	ELSIF periods IS NULL OR periods NOT BETWEEN 1 AND 10000 THEN
		RAISE EXCEPTION 'periods must be from 1 to 10000' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'periods';
	END IF;
	FOR n IN p.next_number .. p.next_number + periods - 1 LOOP
		number := n;
		c := @extschema@.mf_plan_compute(p, number);
		EXIT WHEN c.send_on IS NULL;
		period := c.period;
		send_at := @extschema@.mf_local_time(p.account, c.send_on, p.at_time);
		due_date := c.due_date;
		value := c.value;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION mf_plan_preview(bigint, integer) IS 'the next periods of a plan, as they would be billed';

-- Locks a plan for a command, whose reason the history shows.
CREATE FUNCTION mf_plan_begin(plan bigint, reason text)
RETURNS mf_plan
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan;
BEGIN
	PERFORM @extschema@.mf_check_reason(reason);
	-- whoever may not change it does not wait for its lock
	PERFORM @extschema@.mf_check_right('plan'::text, t.id, t.created_by_id, @extschema@.mf_caller()) FROM @extschema@.mf_plan t WHERE t.id = mf_plan_begin.plan;
	SELECT * INTO p FROM @extschema@.mf_plan t WHERE t.id = mf_plan_begin.plan FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'plan % does not exist', mf_plan_begin.plan USING ERRCODE = 'no_data_found', HINT = 'Give mf_plan.id.';
	END IF;
	PERFORM set_config('mf_bill.reason', reason, true);
	RETURN p;
END
$$;
COMMENT ON FUNCTION mf_plan_begin(bigint, text) IS 'locks a plan for a command; the history shows the reason';

CREATE FUNCTION mf_pause_plan(plan bigint, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan := @extschema@.mf_plan_begin(mf_pause_plan.plan, mf_pause_plan.reason);
BEGIN
	IF p.status <> 'active' THEN
		RAISE EXCEPTION 'plan % is % and cannot be paused', p.id, p.status USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only an active plan can be paused.';
	END IF;
	p.status := 'paused';
	PERFORM @extschema@.mf_plan_save(p);
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_pause_plan(bigint, text) IS 'bills no more periods of a plan until mf_resume_plan()';

CREATE FUNCTION mf_resume_plan(plan bigint, reason text, catch_up text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan := @extschema@.mf_plan_begin(mf_resume_plan.plan, mf_resume_plan.reason);
	before constant @extschema@.mf_plan := p;
	promoted constant timestamptz := @extschema@.mf_promoted_at();
	-- once it is active, if it is paused
	waits constant boolean := coalesce(p.status <> 'ended' AND p.created_at <= promoted AND coalesce(p.next_at, @extschema@.mf_local_time(p.account, p.next_on, p.at_time)) <= promoted, false);
	how constant text := coalesce(mf_resume_plan.catch_up, p.catch_up);
	c record;
	due integer;
	billed integer;
BEGIN
	IF p.status <> 'paused' AND NOT waits THEN
		RAISE EXCEPTION 'plan % is %, not paused', p.id, p.status USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = CASE p.status WHEN 'ended' THEN 'To go on with it, change ends_on or times.' ELSE 'If it does not bill, SELECT * FROM mf_check() says why.' END;
	ELSIF how NOT IN ('none', 'one', 'all') THEN
		RAISE EXCEPTION 'catch_up must be none, one or all' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'catch_up', HINT = 'Null is as the plan says.';
	ELSIF waits AND how <> 'none' THEN
		RAISE EXCEPTION 'plan % waits for mf_resume(''*''), because a period of it was due before this server was promoted', p.id USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = format('To pass over what was due then: SELECT mf_resume_plan(%s, reason, ''none'').', p.id);
	ELSIF p.parts IS NOT NULL AND mf_resume_plan.catch_up <> 'all' AND NOT waits THEN
		RAISE EXCEPTION 'catch_up must be all where there are parts' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'catch_up',
			HINT = 'Parts that were skipped would not add up.';
	END IF;
	-- The days of the pause: what is due is skipped here, and the rest billed by the tick.  What the primary before a promotion has billed
	-- counts as billed, so that the parts that are left add up.
	due := @extschema@.mf_plan_due(p, CASE WHEN p.status = 'active' THEN promoted ELSE now() END);
	billed := CASE WHEN how = 'all' THEN due WHEN how = 'one' THEN least(due, 1) WHEN p.parts IS NOT NULL THEN due - @extschema@.mf_plan_due(p, promoted) ELSE 0 END;
	FOR n IN 1 .. due - billed LOOP
		c := @extschema@.mf_plan_compute(p, p.next_number);
		p := CASE WHEN waits AND @extschema@.mf_local_time(p.account, c.send_on, p.at_time) <= promoted THEN @extschema@.mf_plan_record(p, c.period, NULL::bigint, c.value, 'lost'::text, now())
			ELSE @extschema@.mf_plan_record(p, c.period, NULL::bigint, NULL::numeric, 'paused'::text, now()) END;
	END LOOP;
	p.resumed_to := p.next_number + billed - 1;
	IF due > 0 THEN
		RAISE NOTICE 'periods that % and will be billed: %; that are passed over: %', CASE before.status WHEN 'active' THEN 'were due before the promotion' ELSE 'fell into the pause' END, billed, due - billed
			USING DETAIL = format('It is plan %s.', p.id), HINT = 'mf_plan_preview(plan) shows the first, mf_plan_period the others. To stop it: mf_pause_plan(plan, reason).';
	END IF;
	IF p.status <> 'ended' THEN
		p.status := 'active';
		p := @extschema@.mf_plan_save(p);
		PERFORM @extschema@.mf_billing_wake(p.next_at);
	END IF;
	IF before.status = 'active' THEN
		INSERT INTO @extschema@.mf_plan_history (plan, actor, changes, reason)
			VALUES (p.id, @extschema@.mf_caller(), @extschema@.mf_row_changes(to_jsonb(before), to_jsonb(p)), mf_resume_plan.reason);
	END IF;
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_resume_plan(bigint, text, text) IS 'goes on with a paused plan, whose missed periods are billed as catch_up says, null: that of the plan; none passes over what was due before a promotion, in a plan that waits';

CREATE FUNCTION mf_end_plan(plan bigint, on_date date, reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p @extschema@.mf_plan := @extschema@.mf_plan_begin(mf_end_plan.plan, mf_end_plan.reason);
BEGIN
	IF p.status = 'ended' THEN
		RAISE EXCEPTION 'plan % has ended', p.id USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Nothing is billed any more.';
	ELSIF on_date > p.ends_on THEN
		RAISE EXCEPTION 'on_date is after ends_on' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'on_date',
			DETAIL = format('It is %s, and plan %s ends on %s.', on_date, p.id, p.ends_on), HINT = 'To bill longer, change ends_on.';
	END IF;
	PERFORM @extschema@.mf_check_day('on_date'::text, on_date);
	p.ends_on := least(p.ends_on, coalesce(on_date, @extschema@.mf_local_day(p.account, now())));
	p := @extschema@.mf_plan_save(p);
	PERFORM @extschema@.mf_plan_tell(ARRAY[p], 1);
	PERFORM set_config('mf_bill.reason', '', true);
END
$$;
COMMENT ON FUNCTION mf_end_plan(bigint, date, text) IS 'bills no period of a plan that begins after a day, today if null; bills that were made stay';
