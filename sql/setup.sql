-- What all tests share: the extension, an account at the stand-in API, and helpers in the schema mf_test.
CREATE EXTENSION myfatoorah;
SELECT extname, extversion FROM pg_extension WHERE extname = 'myfatoorah';

CREATE SCHEMA mf_test;
GRANT USAGE ON SCHEMA mf_test TO PUBLIC;

-- Where the stand-in API is, as the test harness tells
\set sandbox_url `echo "$MF_SANDBOX_URL"`
\set control_url `echo "$MF_CONTROL_URL"`
\set api_key `echo "$MF_API_KEY"`
\set key_file `echo "$MF_KEY_FILE"`
CREATE TABLE mf_test.setting (name text PRIMARY KEY, value text NOT NULL CHECK (value <> ''));
INSERT INTO mf_test.setting VALUES ('sandbox_url', :'sandbox_url'), ('control_url', :'control_url'),
	('api_key', :'api_key'), ('key_file', :'key_file');

CREATE FUNCTION mf_test.setting(name text) RETURNS text
STABLE LANGUAGE sql
RETURN (SELECT s.value FROM mf_test.setting s WHERE s.name = setting.name);

-- Output of a shell command
CREATE UNLOGGED TABLE mf_test.line (number bigint GENERATED ALWAYS AS IDENTITY, line text);

CREATE FUNCTION mf_test.shell(command text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	output text;
BEGIN
	DELETE FROM mf_test.line;
	EXECUTE format('COPY mf_test.line (line) FROM PROGRAM %L (FORMAT csv, DELIMITER E''\x01'', QUOTE E''\x02'', ENCODING ''UTF8'')', command);
	SELECT string_agg(l.line, E'\n' ORDER BY l.number) INTO output FROM mf_test.line l;
	RETURN output;
END
$$;

CREATE FUNCTION mf_test.shell_word(word text) RETURNS text
IMMUTABLE LANGUAGE sql
RETURN '''' || replace(word, '''', '''\''''') || '''';

-- A request to the control path of the stand-in API
CREATE FUNCTION mf_test.sandbox(path text, body text DEFAULT NULL, method text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql AS $$
	SELECT mf_test.shell('curl -sS --max-time 60 '
		|| coalesce('-X ' || method || ' ', '')
		|| coalesce('--data-binary ' || mf_test.shell_word(body) || ' ', '')
		|| mf_test.shell_word(mf_test.setting('control_url') || '/' || path))::jsonb
$$;

-- Arms faults: a rule, or an array of rules. Complains if the stand-in does not take them.
CREATE PROCEDURE mf_test.fault(rules text)
LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := mf_test.sandbox('faults', rules);
BEGIN
	IF answer ? 'error' THEN
		RAISE EXCEPTION 'fault not armed: %', answer;
	END IF;
END
$$;

-- Forgets requests, invoices and faults.
CREATE PROCEDURE mf_test.reset_sandbox()
LANGUAGE sql AS $$ SELECT mf_test.sandbox('reset', '{}') $$;

-- Requests received, oldest first
CREATE FUNCTION mf_test.requests(path text DEFAULT 'SendPayment')
RETURNS TABLE (seq bigint, body text, reference text, authorization_seen text, key_elsewhere boolean,
			   status integer, invoice_id bigint)
ROWS 10 LANGUAGE sql AS $$
	SELECT (e->>'seq')::bigint, e->>'body', e->>'reference', e->>'authorization', (e->>'key_elsewhere')::boolean,
		   (e->>'status')::integer, (e->>'invoice_id')::bigint
	FROM jsonb_array_elements(mf_test.sandbox('ledger?path=' || requests.path)->'entries') WITH ORDINALITY AS l(e, n)
	ORDER BY n
$$;

-- Waits until a condition holds.
CREATE PROCEDURE mf_test.wait_for(condition text, seconds integer DEFAULT 180)
LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
	holds boolean;
BEGIN
	LOOP
		PERFORM pg_stat_clear_snapshot();
		EXECUTE 'SELECT (' || condition || ')' INTO holds;
		EXIT WHEN holds;
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'waited in vain for: %', condition;
		END IF;
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$;

-- Text without what differs from run to run and from machine to machine
CREATE FUNCTION mf_test.masked(unmasked text) RETURNS text
IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
	masks CONSTANT text[] := ARRAY[
		'127\.0\.0\.1:[0-9]+', 'SANDBOX',
		'127\.0\.0\.1 port [0-9]+', 'SANDBOX',
		'(^|[ "(])/[A-Za-z0-9._/-]+/', '\1DIR/',
		'\y[0-9a-hjkmnp-tv-z]{20}\y', 'REFERENCE',
		' \((name lookup|connect|TLS|total|answer)[^()]*\)', ' (PHASES)',
		-- libcurl's own words, which are others in other versions
		'(could not (?:connect to|look up) [^ ]+: |without an answer: |handshake with [^ ]+ failed: |broke off: |is not HTTP: )[^\n]*', '\1WORDS',
		'[0-9]+\.[0-9] s\y', 'N s',
		'[0-9]+ ms\y', 'N ms'];
	result text := unmasked;
BEGIN
	FOR i IN 1 .. cardinality(masks) BY 2 LOOP
		result := regexp_replace(result, masks[i], masks[i + 1], 'g');
	END LOOP;
	RETURN result;
END
$$;

-- Runs a statement and tells its error, whole and masked; or what it returned.
CREATE FUNCTION mf_test.try(statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	result text;
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	IF statement ~* '^\s*(select|values|with)\y|\yreturning\y' THEN
		EXECUTE statement INTO result;
	ELSE
		EXECUTE statement;
	END IF;
	RETURN coalesce('ok: ' || mf_test.masked(result), 'ok');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN mf_test.masked(state || ': ' || message
		|| CASE detail WHEN '' THEN '' ELSE E'\n  detail: ' || detail END
		|| CASE hint WHEN '' THEN '' ELSE E'\n  hint: ' || hint END);
END
$$;

-- Likewise as another role, and likewise with what it has done undone.
CREATE FUNCTION mf_test.as_role(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('role', who, true);
	result := mf_test.try(statement);
	PERFORM set_config('role', 'none', true);
	RETURN result;
END
$$;
CREATE FUNCTION mf_test.undone(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := mf_test.try(statement);
	RAISE EXCEPTION USING ERRCODE = 'MF000', MESSAGE = result;
EXCEPTION WHEN SQLSTATE 'MF000' THEN
	RETURN SQLERRM;
END
$$;

-- The default account, at the stand-in API
SELECT mf_test.sandbox('health')->>'status' AS sandbox;
DO $$
BEGIN
	EXECUTE format('CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', environment ''test'', base_url %L)',
		mf_test.setting('sandbox_url'));
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (api_key_file %L)', mf_test.setting('key_file'));
END
$$;
CALL mf_test.wait_for('EXISTS (SELECT FROM mf_worker_status)');
CALL mf_test.reset_sandbox();
SELECT invoice_id > 0 AS works FROM mf_send_payment('Setup', 1);
SELECT count(*), bool_and(authorization_seen = 'accepted') AS with_key FROM mf_test.requests();
