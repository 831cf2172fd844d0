--
-- Days, times and amounts of an account
--
-- not STRICT, so that it is expanded in place
CREATE FUNCTION mf_currency_decimals(currency text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN currency = ANY ('{BHD,IQD,JOD,KWD,LYD,OMR,TND}'::text[]) THEN 3 WHEN currency IS NOT NULL THEN 2 END;
COMMENT ON FUNCTION mf_currency_decimals(text) IS 'how many decimals amounts of a currency have, by ISO 4217';

-- Bills, plans and rules of an account that is gone are still owed, paid, ended and switched off.
CREATE FUNCTION mf_facts(account text, OUT currency text, OUT time_zone text)
RETURNS record
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = mf_facts.account) THEN
		SELECT f.currency, f.time_zone INTO currency, time_zone FROM @extschema@.mf_account_facts(mf_facts.account) f;
	ELSE
		time_zone := 'UTC';
	END IF;
END
$$;
COMMENT ON FUNCTION mf_facts(text) IS 'as mf_account_facts(); of an account that is gone UTC, and no currency';

CREATE FUNCTION mf_local_day(account text, at timestamptz)
RETURNS date
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT (mf_local_day.at AT TIME ZONE f.time_zone)::date FROM @extschema@.mf_facts(mf_local_day.account) f $$;
COMMENT ON FUNCTION mf_local_day(text, timestamptz) IS 'the civil day of an account at that time';

CREATE FUNCTION mf_local_time(account text, day date, time_of_day time)
RETURNS timestamptz
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT (mf_local_time.day + mf_local_time.time_of_day) AT TIME ZONE f.time_zone FROM @extschema@.mf_facts(mf_local_time.account) f $$;
COMMENT ON FUNCTION mf_local_time(text, date, time) IS 'when it is that time of that day in the zone of an account';

--
-- What holds for all bills of an account
--
CREATE TABLE mf_billing_policy (
	account text COLLATE "C" PRIMARY KEY,
	link_days integer NOT NULL DEFAULT 7 CHECK (link_days BETWEEN 1 AND 365),
	renew boolean NOT NULL DEFAULT true,
	weekend integer[] CHECK (weekend <@ '{1,2,3,4,5,6,7}' AND cardinality(weekend) < 7),
	quiet_from time,
	quiet_to time,
	merchant_name text CHECK (length(merchant_name) <= 100),
	CHECK ((quiet_from IS NULL) = (quiet_to IS NULL) AND quiet_from <> quiet_to)
);
COMMENT ON TABLE mf_billing_policy IS 'what holds for all bills of an account; without a row, the defaults of the columns';
COMMENT ON COLUMN mf_billing_policy.link_days IS 'days that a link can be paid, where the bill says nothing';
COMMENT ON COLUMN mf_billing_policy.renew IS 'whether a link that has expired is replaced at once; false: when somebody asks for it';
COMMENT ON COLUMN mf_billing_policy.weekend IS 'days of the week without reminders, 1 Monday to 7 Sunday; null: Saturday and Sunday in the Emirates, else Friday and Saturday';
COMMENT ON COLUMN mf_billing_policy.quiet_from IS 'no reminder from this time of the day on, in the zone of the account';
COMMENT ON COLUMN mf_billing_policy.quiet_to IS 'until this one';
COMMENT ON COLUMN mf_billing_policy.merchant_name IS 'your name on the pages of bills, in the languages of your customers; null: none';

CREATE FUNCTION mf_policy(account text)
RETURNS mf_billing_policy
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ROW(mf_policy.account, coalesce(p.link_days, 7), coalesce(p.renew, true), coalesce(p.weekend, CASE WHEN EXISTS (SELECT FROM pg_foreign_server s
			WHERE s.srvname = mf_policy.account AND upper(s.srvoptions::text) ~ '[{,"]COUNTRY=ARE[,"}]') THEN '{6,7}' ELSE '{5,6}' END::integer[]), p.quiet_from, p.quiet_to, p.merchant_name)::@extschema@.mf_billing_policy
	FROM (VALUES (mf_policy.account)) a(account) LEFT JOIN @extschema@.mf_billing_policy p ON p.account = a.account
$$;
COMMENT ON FUNCTION mf_policy(text) IS 'the row of mf_billing_policy of an account, or the defaults';

-- Roles are known by what they own and may do, never by a name, which can be changed.
CREATE FUNCTION mf_billing_role()
RETURNS oid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_billing_role() IS 'the role that owns bills, and this function: myfatoorah_billing, whatever its name is now';

CREATE FUNCTION mf_ours()
RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_ours() IS 'whether the current role is the one that owns bills';

CREATE FUNCTION mf_operates(role name)
RETURNS boolean
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN has_function_privilege(role, '@extschema@.mf_void(bigint, text)'::regprocedure, 'EXECUTE');
END
$$;
COMMENT ON FUNCTION mf_operates(name) IS 'whether a role is an operator, such as a member of myfatoorah_operate: it may call mf_void()';

CREATE FUNCTION mf_caller()
RETURNS name
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_caller() IS 'the role that has called a function which runs as its owner, for the history; myfatoorah for what the worker has called';

CREATE FUNCTION mf_hold_account()
RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_hold_account() IS 'keeps the server that a row names from being renamed until the row is committed';

CREATE TRIGGER mf_billing_policy_account
	BEFORE INSERT OR UPDATE OF account ON mf_billing_policy
	FOR EACH ROW WHEN (NOT mf_ours()) EXECUTE FUNCTION mf_hold_account();

CREATE FUNCTION mf_billing_wake(at timestamptz)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT @extschema@.mf_call_at('@extschema@.mf_billing_tick'::text, mf_billing_wake.at) WHERE mf_billing_wake.at IS NOT NULL $$;
COMMENT ON FUNCTION mf_billing_wake(timestamptz) IS 'has mf_billing_tick() called at that time or earlier; null does nothing';

--
-- What several parts need
--
CREATE FUNCTION mf_row_changes(before jsonb, after jsonb)
RETURNS jsonb
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_object_agg(a.key, jsonb_build_array(b.value, a.value)) FROM jsonb_each(mf_row_changes.after) a JOIN jsonb_each(mf_row_changes.before) b ON b.key = a.key WHERE b.value <> a.value
$$;
COMMENT ON FUNCTION mf_row_changes(jsonb, jsonb) IS 'old and new value of each member of the second row that has changed, for a history; null: none has';

-- Expressions, which are inlined
CREATE FUNCTION mf_delay(tries integer, shortest interval, longest interval)
RETURNS interval
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
RETURN least(2 ^ least(tries, 20) * shortest, longest);
COMMENT ON FUNCTION mf_delay(integer, interval, interval) IS 'how long to wait after so many tries in a row: it doubles with each';

CREATE FUNCTION mf_is_transient(state text)
RETURNS boolean
LANGUAGE sql STRICT IMMUTABLE PARALLEL SAFE
RETURN left(state, 2) = ANY ('{40,53,57}'::text[]);
COMMENT ON FUNCTION mf_is_transient(text) IS 'whether an error is not due to the row that was being processed: a conflict of transactions, a lack of resources, somebody who ends the process';

-- A promoted server may lack the last commits of the primary before it.  What was due before, that may have billed or said: a person decides.
-- What was inserted later is nobody else's.
CREATE FUNCTION mf_promoted_at()
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(max(i.promoted_at), '-infinity') FROM @extschema@.mf_identity i $$;
COMMENT ON FUNCTION mf_promoted_at() IS 'until when the primary before this server may have billed and reminded; -infinity after mf_resume(''*'')';
