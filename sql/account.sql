-- Accounts: servers of the wrapper myfatoorah, user mappings, keys
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_alice, regress_mf_bob;
RESET client_min_messages;
CREATE ROLE regress_mf_alice IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_bob IN ROLE myfatoorah_submit;
CALL mf_test.reset_sandbox();

-- The wrapper
SELECT fdwname, fdwhandler = 0 AS no_handler, fdwvalidator::regproc, fdwacl FROM pg_foreign_data_wrapper WHERE fdwname = 'myfatoorah';
SELECT mf_test.try($$ALTER FOREIGN DATA WRAPPER myfatoorah OPTIONS (ADD country 'KWT')$$);

-- Options of servers. Each value is tried on a server that has nothing else.
CREATE FUNCTION pg_temp.server_option(option text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := mf_test.try(format('CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (%I %L)', option, value));
BEGIN
	IF result = 'ok' THEN
		DROP SERVER probe;
	END IF;
	RETURN format('%s=%s -> %s', option, value, result);
END
$$;
SELECT pg_temp.server_option('country', v) FROM unnest(ARRAY['KWT', 'BHR', 'OMN', 'JOR', 'SAU', 'ARE', 'QAT', 'EGY', 'kwt', 'USA', 'KW', '']) v;
SELECT pg_temp.server_option('environment', v) FROM unnest(ARRAY['test', 'live', 'Test', 'demo', '']) v;
SELECT pg_temp.server_option('base_url', v) FROM unnest(ARRAY['https://api.example.com', 'https://api.example.com:8443',
	'http://127.0.0.1:8080', 'http://127.1.2.3', 'http://[::1]:8080', 'http://localhost:8080',
	'http://api.example.com', 'http://127.0.0.1.example.com', 'http://10.0.0.1', 'http://localhost.example.com', 'http://0.0.0.0',
	'https://user:secret@api.example.com', 'https://api.example.com/v2', 'https://api.example.com?a=b', 'https://api.example.com#a',
	'ftp://api.example.com', 'api.example.com', 'https://', 'https://api.example.com:99999', 'https://api example.com', '',
	'http://localhost./', 'http://a\@b/', 'https://a\b']) v;
SELECT replace(pg_temp.server_option('base_url', U&'https://api.example.com\202E'), U&'\202E', 'U+202E') AS server_option;
SELECT pg_temp.server_option('max_in_flight', v) FROM unnest(ARRAY['1', '50', '1000', '0', '1001', '-1', 'many', '']) v;
SELECT pg_temp.server_option('rate_limit', v) FROM unnest(ARRAY['0', '0.001', '5', '10000', '0.0001', '-1', '10001', 'NaN', 'fast', '']) v;
SELECT pg_temp.server_option('timeout', v) FROM unnest(ARRAY['100ms', '30s', '30', '0.5', '10min', '600',
	'99ms', '0', '601', '1h', '-1s', '5 parsecs', 'NaN', 'long', '']) v;
SELECT pg_temp.server_option('connect_timeout', v) FROM unnest(ARRAY['100ms', '10s', '99ms', 'soon']) v;
SELECT pg_temp.server_option('ca_file', v) FROM unnest(ARRAY['ca.pem', '']) v;
SELECT pg_temp.server_option('time_zone', v) FROM unnest(ARRAY['Asia/Kuwait', 'Africa/Cairo', 'UTC', 'Asia/Atlantis', '']) v;
SELECT pg_temp.server_option('own_mappings', v) FROM unnest(ARRAY['on', 'off', 'true', '', 'PUBLIC']) v;

-- What an account is without further options. No mapping: so mf_check() asks nobody.
CREATE FUNCTION pg_temp.account_line(options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (%s)', options);
	SELECT string_agg(format('%s %s', c.ok, c.detail), E'\n' ORDER BY c.ok DESC) INTO result FROM mf_check('probe') c WHERE c.item = 'account';
	DROP SERVER probe;
	RETURN options || ' -> ' || result;
END
$$;
SELECT pg_temp.account_line(format('country %L, environment %L', c, e))
FROM unnest(ARRAY['KWT', 'BHR', 'OMN', 'JOR', 'SAU', 'ARE', 'QAT', 'EGY']) c, unnest(ARRAY['live', 'test']) e;
SELECT pg_temp.account_line($$country 'EGY'$$);
SELECT pg_temp.account_line($$country 'egy', environment 'live', time_zone 'Asia/Kuwait', base_url 'https://api.example.com:8443'$$);
SELECT pg_temp.account_line($$environment 'live'$$);

-- Options that are unknown, or belong elsewhere
SELECT pg_temp.server_option(o, 'x') FROM unnest(ARRAY['contry', 'Country', 'api_key', 'api_key_file', 'webhook_secret', 'user']) o;
CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
CREATE FUNCTION pg_temp.mapping_options(options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text := mf_test.try(format('CREATE USER MAPPING FOR PUBLIC SERVER probe OPTIONS (%s)', options));
BEGIN
	IF result = 'ok' THEN
		DROP USER MAPPING FOR PUBLIC SERVER probe;
	END IF;
	RETURN result;
END
$$;
SELECT pg_temp.mapping_options(o || $$ 'x'$$) FROM unnest(ARRAY['country', 'base_url', 'apikey', 'password']) o;

-- Options of user mappings. Values of secrets are not repeated in messages.
SELECT o || ': ' || pg_temp.mapping_options(o || $$ 'SK_KWT_abc'$$)
FROM unnest(ARRAY['api_key', 'api_key_file', 'webhook_secret', 'webhook_secret_file', 'webhook_secret_previous', 'webhook_secret_previous_file']) o;
SELECT DISTINCT pg_temp.mapping_options(format('%s %L', o, v)) AS refusal
FROM unnest(ARRAY['api_key', 'webhook_secret', 'webhook_secret_previous']) o,
	unnest(ARRAY['', 'SEKRET with space', E'SEKRET\n', E'\tSEKRET', repeat('SEKRET-KEY', 1000)]) v
ORDER BY refusal;
SELECT o || ': ' || pg_temp.mapping_options(o || $$ ''$$) FROM unnest(ARRAY['api_key_file', 'webhook_secret_file', 'webhook_secret_previous_file']) o;
SELECT pg_temp.mapping_options($$api_key 'SEKRET-KEY', api_key_file 'SEKRET.key'$$);
SELECT pg_temp.mapping_options($$api_key_file 'SEKRET.key', api_key 'SEKRET-KEY'$$);
CREATE USER MAPPING FOR PUBLIC SERVER probe OPTIONS (api_key 'SEKRET-KEY');
SELECT mf_test.try($$ALTER USER MAPPING FOR PUBLIC SERVER probe OPTIONS (ADD api_key_file 'SEKRET.key')$$);
SELECT mf_test.try($$ALTER USER MAPPING FOR PUBLIC SERVER probe OPTIONS (SET api_key 'SEKRET SEKRET')$$);
DROP USER MAPPING FOR PUBLIC SERVER probe;
SELECT mf_test.try($$ALTER SERVER probe OPTIONS (SET country 'ATL')$$);
SELECT mf_test.try($$ALTER SERVER probe OPTIONS (ADD timeout '1us')$$);

-- Files of the server are for superusers to name; other options for owners of servers.
GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO regress_mf_alice;
SET ROLE regress_mf_alice;
SELECT mf_test.try($$CREATE SERVER alices FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1')$$);
SELECT mf_test.try($$ALTER SERVER alices OPTIONS (ADD ca_file 'ca.pem')$$);
SELECT o || ': ' || mf_test.try(format($$CREATE USER MAPPING FOR regress_mf_alice SERVER alices OPTIONS (%s 'myfatoorah.key')$$, o))
FROM unnest(ARRAY['api_key_file', 'webhook_secret_file', 'webhook_secret_previous_file']) o;
SELECT mf_test.try($$CREATE USER MAPPING FOR regress_mf_alice SERVER alices OPTIONS (api_key 'SK_KWT_alice')$$);
DROP SERVER alices CASCADE;
RESET ROLE;
DROP OWNED BY regress_mf_alice;
DROP SERVER probe;

-- Rights: USAGE on the server, asked for by name
CREATE SERVER other FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
DO $$ BEGIN EXECUTE format('ALTER SERVER other OPTIONS (ADD base_url %L)', mf_test.setting('sandbox_url')); END $$;
CREATE FUNCTION pg_temp.call(who text, account text DEFAULT 'other') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	result := mf_test.try(format('SELECT invoice_id > 0 FROM mf_send_payment(%L, 1, account => %L)', who, account));
	RESET ROLE;
	RETURN who || ': ' || result;
END
$$;
SELECT pg_temp.call('regress_mf_alice', 'myfatoorah');
GRANT USAGE ON FOREIGN SERVER other TO regress_mf_alice;
SELECT pg_temp.call('regress_mf_bob');

-- No mapping; one without a key; one for another role; PUBLIC's; an own one goes before PUBLIC's, where the owner of the server allows one.
SELECT pg_temp.call('regress_mf_alice');
-- (nothing has left, so no context says that it may have)
SELECT mf_send_payment('x', 1, account => 'other', customer_reference => 'ours');
CREATE USER MAPPING FOR regress_mf_alice SERVER other OPTIONS (webhook_secret 'SEKRET-KEY');
SELECT pg_temp.call('regress_mf_alice');
ALTER SERVER other OPTIONS (ADD own_mappings 'on');
SELECT pg_temp.call('regress_mf_alice');
DROP USER MAPPING FOR regress_mf_alice SERVER other;
CREATE USER MAPPING FOR regress_mf_bob SERVER other OPTIONS (api_key 'SEKRET-KEY');
SELECT pg_temp.call('regress_mf_alice');
CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (webhook_secret 'SEKRET-KEY');
SELECT pg_temp.call('regress_mf_alice');
DO $$ BEGIN EXECUTE format('ALTER USER MAPPING FOR PUBLIC SERVER other OPTIONS (ADD api_key %L)', mf_test.setting('api_key')); END $$;
SELECT pg_temp.call('regress_mf_alice');
GRANT USAGE ON FOREIGN SERVER other TO regress_mf_bob;
SELECT pg_temp.call('regress_mf_bob');
DROP USER MAPPING FOR regress_mf_bob SERVER other;
SELECT pg_temp.call('regress_mf_bob');
SELECT body::jsonb->>'CustomerName' AS who, authorization_seen, key_elsewhere FROM mf_test.requests() ORDER BY seq;
REVOKE USAGE ON FOREIGN SERVER other FROM regress_mf_bob;
SELECT pg_temp.call('regress_mf_bob');

-- Who may see keys: only superusers and the owner of the server
SET ROLE regress_mf_alice;
SELECT srvname, umoptions FROM pg_user_mappings WHERE srvname IN ('other', 'myfatoorah') AND umoptions IS NOT NULL;
SELECT count(*) FROM pg_user_mapping;
RESET ROLE;

-- Keys that no request can carry
SELECT o, mf_test.try(format('ALTER USER MAPPING FOR PUBLIC SERVER other OPTIONS (SET api_key %L)', o)), pg_temp.call('regress_mf_alice')
FROM unnest(ARRAY[E'SEKRET-KEY\x01', E'SEKRET-KEY\x7f']) o;

-- Keys in files, read at each use
CREATE FUNCTION pg_temp.key_file(what text, command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM mf_test.shell('rm -rf mf_regress.key; umask 077; ' || replace(command, 'KEY', mf_test.setting('api_key')));
	RETURN what || ': ' || pg_temp.call('regress_mf_alice');
END
$$;
ALTER USER MAPPING FOR PUBLIC SERVER other OPTIONS (DROP api_key, ADD api_key_file 'mf_regress.key');
SELECT pg_temp.key_file('one line', 'echo KEY > mf_regress.key');
SELECT pg_temp.key_file('no line end', 'printf %s KEY > mf_regress.key');
SELECT pg_temp.key_file('white space after it', $$printf 'KEY \t\r\n\n' > mf_regress.key$$);
SELECT pg_temp.key_file('another key', 'echo SEKRETSEKRET > mf_regress.key');
SELECT pg_temp.key_file('missing', 'true');
SELECT pg_temp.key_file('empty', ': > mf_regress.key');
SELECT pg_temp.key_file('only white space', $$printf ' \n\n' > mf_regress.key$$);
SELECT pg_temp.key_file('white space before it', 'echo " KEY" > mf_regress.key');
SELECT pg_temp.key_file('two words', 'echo KEY SEKRET > mf_regress.key');
SELECT pg_temp.key_file('too short', 'echo SEKRET7 > mf_regress.key');
SELECT pg_temp.key_file('two lines', $$printf 'KEY\nSEKRET\n' > mf_regress.key$$);
SELECT pg_temp.key_file('too long', $$printf 'SEKRET%04095d\n' 0 > mf_regress.key$$);
SELECT pg_temp.key_file('a zero byte', $$printf 'KEY\000SEKRET\n' > mf_regress.key$$);
SELECT pg_temp.key_file('a directory', 'mkdir mf_regress.key');
SELECT pg_temp.key_file('a pipe', 'mkfifo mf_regress.key');
SELECT pg_temp.key_file('mode ' || mode, 'echo KEY > mf_regress.key; chmod ' || mode || ' mf_regress.key')
FROM unnest(ARRAY['0644', '0640', '0604', '0660', '0400', '0600']) mode;
SELECT pg_temp.key_file('not readable by its owner', 'echo KEY > mf_regress.key; chmod 0200 mf_regress.key');
SELECT pg_temp.key_file('a link to a good file', 'echo KEY > mf_regress.target; ln -s mf_regress.target mf_regress.key');
SELECT mf_test.shell('rm -rf mf_regress.key mf_regress.target');

-- Servers that are no account
CREATE FOREIGN DATA WRAPPER mf_regress_wrapper;
CREATE SERVER foreigner FOREIGN DATA WRAPPER mf_regress_wrapper;
CREATE SERVER stateless FOREIGN DATA WRAPPER myfatoorah;
CREATE SERVER "Büro ""1""" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
SELECT pg_temp.call('postgres', a) FROM unnest(ARRAY['foreigner', 'stateless', 'nowhere', 'Other', '', repeat('x', 100), 'Büro "1"', 'No ''such'' "one"']) a;
SELECT mf_test.try($$SELECT mf_send_payment('x', 1, account => NULL)$$);
DROP FOREIGN DATA WRAPPER mf_regress_wrapper CASCADE;
DROP SERVER stateless;
-- a name that stands for all accounts is none
SELECT mf_test.try($$CREATE SERVER "*" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT')$$);
SELECT mf_test.try($$CREATE SERVER IF NOT EXISTS "*other" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT')$$);
SELECT mf_test.try($$ALTER SERVER other RENAME TO "*"$$);
CREATE FOREIGN DATA WRAPPER mf_regress_wrapper;
SELECT mf_test.try($$CREATE SERVER "*" FOREIGN DATA WRAPPER mf_regress_wrapper$$);
SELECT pg_temp.call('postgres', '*');
SELECT mf_test.try($$INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('*', 'x', 1)$$);
SELECT mf_test.try($$SELECT mf_move_account('*', 'other')$$);
SELECT mf_test.try($$SELECT mf_move_account('other', '*')$$);
DROP FOREIGN DATA WRAPPER mf_regress_wrapper CASCADE;
DROP SERVER "Büro ""1""";

-- Changed options take effect at the next call of the same session.
CREATE USER MAPPING FOR regress_mf_alice SERVER other OPTIONS (api_key 'SEKRET-KEY');
SELECT pg_temp.call('regress_mf_alice');
DO $$ BEGIN EXECUTE format('ALTER USER MAPPING FOR regress_mf_alice SERVER other OPTIONS (SET api_key %L)', mf_test.setting('api_key')); END $$;
SELECT pg_temp.call('regress_mf_alice');
ALTER SERVER other OPTIONS (SET base_url 'http://127.0.0.1:1');
SELECT pg_temp.call('regress_mf_alice');
ALTER SERVER other RENAME TO another;
SELECT pg_temp.call('regress_mf_alice');

-- No message of this test holds a key, nor does any request but in its header.
SELECT count(*) FILTER (WHERE key_elsewhere) AS leaks FROM mf_test.requests();
DROP SERVER another CASCADE;
DROP ROLE regress_mf_alice, regress_mf_bob;

-- What follows from the country and the options
CREATE SERVER facts FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'EGY', environment 'live');
SELECT * FROM mf_account_facts('facts');
ALTER SERVER facts OPTIONS (ADD time_zone 'Asia/Dubai');
SELECT * FROM mf_account_facts('facts');
DROP SERVER facts;
SELECT mf_test.try($$SELECT mf_account_facts('facts')$$);
