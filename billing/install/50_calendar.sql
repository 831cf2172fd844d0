--
-- Calendars
--
-- Tables of ICU may change with the library, so these are not immutable.
CREATE FUNCTION mf_hijri(day date)
RETURNS text
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_hijri(date) IS 'a day in the Umm al-Qura calendar, such as 1447-09-01';

CREATE FUNCTION mf_hijri_day(year integer, month integer, day integer)
RETURNS date
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_hijri_day(integer, integer, integer) IS 'the day of a date in the Umm al-Qura calendar, years 1300 to 1600';

CREATE FUNCTION mf_hijri_add_months(day date, months integer)
RETURNS date
LANGUAGE C STRICT STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION mf_hijri_add_months(date, integer) IS 'the same day so many months of the Umm al-Qura calendar later, or the last day of the month where it is shorter';

-- An expression, which is inlined.
CREATE FUNCTION mf_calendar_add(calendar text, day date, every interval, k integer)
RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE calendar
	WHEN 'gregorian' THEN (day + every * k)::date
	WHEN 'islamic-umalqura' THEN CASE WHEN extract(day FROM every) > 0 THEN (day + every * k)::date
		ELSE mf_hijri_add_months(day, ((12 * extract(year FROM every) + extract(month FROM every)) * k)::integer) END
	END;
COMMENT ON FUNCTION mf_calendar_add(text, date, interval, integer) IS 'a day and k times an interval of months or days: from 31 January on, one month is 28 or 29 February and two are 31 March';

--
-- Days off
--
CREATE TABLE mf_day_off (
	account text COLLATE "C" NOT NULL DEFAULT 'myfatoorah',
	day date NOT NULL CHECK (day BETWEEN '1970-01-01' AND '9999-12-31'),
	name text,
	PRIMARY KEY (account, day)
);
COMMENT ON TABLE mf_day_off IS 'days besides weekends on which nobody is billed or reminded, where a plan or a rule says so';
COMMENT ON COLUMN mf_day_off.account IS 'the account it holds for';
COMMENT ON COLUMN mf_day_off.day IS 'civil day of the account';
COMMENT ON COLUMN mf_day_off.name IS 'your own text, such as Eid al-Fitr';

CREATE TRIGGER mf_day_off_account
	BEFORE INSERT OR UPDATE OF account ON mf_day_off
	FOR EACH ROW WHEN (NOT mf_ours()) EXECUTE FUNCTION mf_hold_account();

CREATE FUNCTION mf_is_day_off(account text, day date)
RETURNS boolean
LANGUAGE sql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT extract(isodow FROM mf_is_day_off.day)::integer = ANY ((@extschema@.mf_policy(mf_is_day_off.account)).weekend)
		OR EXISTS (SELECT FROM @extschema@.mf_day_off o WHERE o.account = mf_is_day_off.account COLLATE "C" AND o.day = mf_is_day_off.day)
$$;
COMMENT ON FUNCTION mf_is_day_off(text, date) IS 'whether a day is on a weekend of an account, or in mf_day_off';

CREATE FUNCTION mf_working_day(account text, day date, direction text)
RETURNS date
LANGUAGE plpgsql STRICT STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_day date := day;
BEGIN
	IF direction = 'same' THEN
		RETURN day;
	ELSIF direction NOT IN ('next', 'previous') THEN
		RAISE EXCEPTION 'direction must be same, next or previous' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'direction',
			DETAIL = format('It is "%s".', direction);
	END IF;
	-- whoever takes a whole year off works on
	WHILE abs(found_day - day) < 366 LOOP
		IF NOT @extschema@.mf_is_day_off(mf_working_day.account, found_day) THEN
			RETURN found_day;
		END IF;
		found_day := found_day + CASE direction WHEN 'next' THEN 1 ELSE -1 END;
	END LOOP;
	RETURN day;
END
$$;
COMMENT ON FUNCTION mf_working_day(text, date, text) IS 'a day, or the next or previous one that is no day off';

--
-- Parts of an amount
--
CREATE FUNCTION mf_split(total numeric, parts integer, currency text)
RETURNS numeric[]
LANGUAGE plpgsql STRICT IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	decimals integer := @extschema@.mf_currency_decimals(currency);
	unit numeric := round(0.1 ^ decimals, decimals);
	units numeric;
	least_part numeric;
	larger integer;
BEGIN
	PERFORM @extschema@.mf_check_amount('total'::text, total, currency, 'at least 0'::text);
	IF parts NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION 'parts must be from 1 to 1000' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'parts', DETAIL = format('It is %s.', parts);
	END IF;
	-- what remains goes to the first ones, a unit each
	units := trunc(total / unit);
	least_part := round(div(units, parts) * unit, decimals);
	larger := mod(units, parts);
	RETURN array_fill(least_part + unit, ARRAY[larger]) || array_fill(least_part, ARRAY[parts - larger]);
END
$$;
COMMENT ON FUNCTION mf_split(numeric, integer, text) IS 'an amount in so many parts that differ by the smallest unit of the currency at most, and add up';
