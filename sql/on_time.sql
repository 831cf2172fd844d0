-- mf_on_time(), mf_call_at(): functions that are called when they are due
\pset format unaligned
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_mf_clock, regress_mf_other;
RESET client_min_messages;
CREATE ROLE regress_mf_clock IN ROLE myfatoorah_submit;
CREATE ROLE regress_mf_other IN ROLE myfatoorah_submit;
CREATE SCHEMA clock AUTHORIZATION regress_mf_clock;
SET ROLE regress_mf_clock;
CREATE TABLE clock.told (n int GENERATED ALWAYS AS IDENTITY, at timestamptz, who text, waits int);
CREATE TABLE clock.plan (next timestamptz, fail boolean);
INSERT INTO clock.plan VALUES (NULL, false);
-- it does what is due, and says when it wants to be called again
CREATE FUNCTION clock.tick(at timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
	p clock.plan;
BEGIN
	UPDATE clock.plan SET next = NULL RETURNING * INTO p;
	IF p.fail THEN
		RAISE EXCEPTION 'the clock has stopped';
	END IF;
	INSERT INTO clock.told (at, who, waits) VALUES (tick.at, current_user, (SELECT count(*) FROM public.mf_reaction_backlog WHERE function = 'clock.tick'));
	RETURN CASE WHEN (SELECT count(*) FROM clock.told) IN (1, 3) THEN tick.at END;
END
$$;
CREATE FUNCTION clock.nothing(at timestamptz) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION clock.local(at timestamp) RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
CREATE FUNCTION clock.many(at timestamptz) RETURNS SETOF timestamptz LANGUAGE sql AS 'SELECT now()';

-- What cannot be called
SELECT mf_test.try('SELECT mf_on_time(NULL)');
SELECT mf_test.try($$SELECT mf_on_time('clock.nothing(timestamptz)')$$);
SELECT mf_test.try($$SELECT mf_on_time('clock.local(timestamp)')$$);
SELECT mf_test.try($$SELECT mf_on_time('clock.many(timestamptz)')$$);
RESET ROLE;
SELECT mf_test.as_role('regress_mf_other', $$SELECT mf_on_time('clock.tick(timestamptz)')$$) AS another;
SELECT mf_test.try($$SELECT mf_call_at('clock.tick', now())$$) AS not_registered;

-- It is not called before somebody asks for it
SELECT mf_test.as_role('regress_mf_clock', $$SELECT mf_on_time('clock.tick(timestamptz)')$$) AS the_owner;
SELECT function, owner, registered_by, kind, extension FROM mf_reaction;
SELECT count(*) FROM mf_reaction_queue;
SELECT mf_test.as_role('regress_mf_clock', $$SELECT mf_on_change('clock.tick(timestamptz)')$$) AS not_for_changes;
SELECT mf_test.as_role('regress_mf_other', $$SELECT mf_call_at('clock.tick', now())$$) AS another;
SELECT mf_test.try($$SELECT mf_call_at('clock.tick', NULL)$$);
BEGIN;
SELECT mf_call_at('clock.tick', now());
ROLLBACK;
SELECT count(*) FROM mf_reaction_queue;

-- One call for all who have asked, and again when it wants: twice here
BEGIN;
SELECT mf_call_at('clock.tick', now() - interval '1 day'), mf_call_at('clock.tick(timestamptz)', now() + interval '1 year');
SELECT count(*) FROM clock.told;
COMMIT;
CALL mf_test.wait_for('(SELECT count(*) FROM clock.told) = 2 AND NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT n, who, at > now() - interval '1 minute' AS now FROM clock.told ORDER BY n;

-- A time ahead waits, and an earlier one goes first
SELECT mf_call_at('clock.tick', now() + interval '2 hours'), mf_call_at('clock.tick', '-infinity');
CALL mf_test.wait_for('(SELECT count(*) FROM clock.told) = 4 AND NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT mf_call_at('clock.tick', 'infinity');
SELECT invoice, due > '9999-12-31 UTC' AS at_the_end FROM mf_reaction_queue;
SELECT function, owner, invoice, changes, error FROM mf_reaction_backlog;
SELECT count(*) FROM mf_check() WHERE item = 'reactions';

-- What fails is put off, and shown; what it did is undone
UPDATE clock.plan SET fail = true, next = now();
SELECT mf_call_at('clock.tick', now());
CALL mf_test.wait_for('EXISTS (SELECT FROM mf_reaction_queue WHERE error IS NOT NULL)');
SELECT function, invoice, changes, failures > 0 AS failed, due > now() - interval '1 minute' AS later, error FROM mf_reaction_backlog;
SELECT next IS NOT NULL AS undone FROM clock.plan;
SELECT regexp_replace(detail, '[0-9]+', 'N') AS detail, hint FROM mf_check() WHERE item = 'reactions';
UPDATE clock.plan SET fail = false;
SELECT mf_resume();
CALL mf_test.wait_for('(SELECT count(*) FROM clock.told) = 5 AND NOT EXISTS (SELECT FROM mf_reaction_queue)');
SELECT failures, retry_at FROM mf_reaction;

-- Deleted invoices leave times alone
SELECT mf_call_at('clock.tick', now() + interval '1 day');
BEGIN;
TRUNCATE mf_invoice;
SELECT count(*) FROM mf_reaction_queue;
ROLLBACK;

-- One row for what a subtransaction asks for again, as a trigger for each row does; one more for what is earlier
BEGIN;
SELECT count(*) FROM (SELECT mf_call_at('clock.tick', now() + interval '1 day') FROM generate_series(1, 100)) c;
SELECT count(*) FROM mf_reaction_queue;
SAVEPOINT s;
SELECT mf_call_at('clock.tick', now() + interval '1 hour');
ROLLBACK TO s;
SELECT mf_call_at('clock.tick', now() + interval '1 hour'), mf_call_at('clock.tick', now() + interval '2 hours');
SELECT count(*) FROM mf_reaction_queue;
SELECT mf_off_change('clock.tick');
SELECT mf_on_time('clock.tick(timestamptz)', now() + interval '3 hours');
SELECT count(*) FROM mf_reaction_queue;
ROLLBACK;

-- A function that is called after changes is not called at times
CREATE FUNCTION clock.changed(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS '';
SELECT mf_on_change('clock.changed(mf_invoice,mf_invoice)');
SELECT mf_test.try($$SELECT mf_call_at('clock.changed', now())$$);
SELECT mf_off_change('clock.changed');

-- The end
SELECT mf_off_change('clock.tick(timestamptz)');
SELECT count(*) FROM mf_reaction_queue;
SET client_min_messages = error;
DROP SCHEMA clock CASCADE;
DROP ROLE regress_mf_clock, regress_mf_other;
