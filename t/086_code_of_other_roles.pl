# Code of one role that runs inside of what another does with our tables: whose rights it has, and what it leaves behind. It is
# planted wherever a table can have code: triggers, foreign keys, checks, defaults, generated columns, indexes, domains,
# policies, rules, casts, operators, functions of mf_on_change(), and a dump.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';

# As mallory: her error, or what she gets
sub mallory
{
	my ($sql) = @_;
	my ($code, $out, $err) = $node->psql($db, "\\set VERBOSITY terse\nSET ROLE mallory; $sql");

	return $err =~ /ERROR: +(.*)/ ? $1 : "ok $out";
}

# An invoice that waits, of a superuser
sub waiting
{
	my ($name) = @_;

	return sql('INSERT INTO mf_invoice ' . $mf->invoice($name, send_at => "now() + interval '1 day'") . ' RETURNING id');
}

# Whose rights her code had since the last time; it tells of itself in mallory.loot.
sub loot
{
	my $loot = sql(q{SELECT coalesce(string_agg(DISTINCT what || ' as ' || who, ', ' ORDER BY what || ' as ' || who), 'nothing') FROM mallory.loot});

	sql('TRUNCATE mallory.loot');
	return $loot;
}

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);
sql(q{CREATE ROLE mallory LOGIN IN ROLE myfatoorah_submit; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO mallory, bob;
	CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO PUBLIC; SET ROLE mallory;
	CREATE TABLE mallory.loot (what text, who text); GRANT ALL ON mallory.loot TO PUBLIC;
	CREATE FUNCTION mallory.spy(what text) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO mallory.loot VALUES (what, (SELECT CASE WHEN rolsuper THEN 'the superuser' ELSE rolname END FROM pg_catalog.pg_roles WHERE rolname = current_user)); RETURN true; END $$;
	CREATE FUNCTION mallory.spy_text(what text, t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM mallory.spy(what); RETURN t; END';
	CREATE FUNCTION mallory.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.spy(TG_ARGV[0]); RETURN NEW; END $$;
	CREATE TYPE mallory.kind AS ENUM ('a'); CREATE FUNCTION mallory.number(mallory.kind) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM mallory.spy($$cast$$); RETURN 1; END';
	CREATE CAST (mallory.kind AS bigint) WITH FUNCTION mallory.number AS IMPLICIT});

#
# Our tables take no code from a role that has been given nothing but our roles.
#
foreach my $plant (
	[ q{CREATE TRIGGER t AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.tell('t')}, 'permission denied for table mf_invoice' ],
	[ q{CREATE RULE r AS ON UPDATE TO mf_invoice DO ALSO NOTIFY x}, 'must be owner of table mf_invoice' ],
	[ q{CREATE RULE r AS ON INSERT TO mf_review DO INSTEAD NOTHING}, 'must be owner of view mf_review' ],
	[ q{CREATE POLICY p ON mf_invoice USING (mallory.spy('p'))}, 'must be owner of table mf_invoice' ],
	[ q{ALTER TABLE mf_invoice ADD CHECK (mallory.spy(status))}, 'must be owner of table mf_invoice' ],
	[ q{ALTER TABLE mf_invoice ALTER language SET DEFAULT mallory.spy_text('d', 'EN')}, 'must be owner of table mf_invoice' ],
	[ q{CREATE INDEX ON mf_invoice (mallory.spy_text('i', status))}, 'must be owner of table mf_invoice' ],
	[ q{CREATE TABLE mallory.child () INHERITS (mf_invoice)}, 'must be owner of table mf_invoice' ],
	[ q{CREATE TABLE mallory.fk (i bigint REFERENCES mf_invoice (id) ON DELETE CASCADE)}, 'permission denied for table mf_invoice' ],
	[ q{CREATE TABLE mallory.fk (i mallory.kind REFERENCES mf_invoice (id))}, 'permission denied for table mf_invoice' ],
	[ q{CREATE CAST (mf_invoice AS json) WITH FUNCTION mallory.spy(text)}, 'must be owner of type mf_invoice or type json' ],
	[ q{CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION mallory.tell()}, 'permission denied to create event trigger "e"' ],
	[ q{CREATE PUBLICATION p FOR TABLE mf_invoice}, 'permission denied for database postgres' ])
{
	is(mallory("SET search_path = public; $plant->[0]"), $plant->[1], $plant->[0]);
}

#
# Her own table may have any code: it runs as whoever inserts, as into any table of hers, and as nobody else later.
#
sql(q{SET ROLE mallory; CREATE DOMAIN mallory.id AS bigint CHECK (VALUE IS NULL OR mallory.spy('domain'));
	CREATE TABLE mallory.orders (tenant text DEFAULT mallory.spy_text('default', 'x'), amount numeric DEFAULT 1, g text GENERATED ALWAYS AS (mallory.spy_text('generated', tenant)) STORED,
		invoice mallory.id, CHECK (mallory.spy('check')));
	CREATE INDEX ON mallory.orders (mallory.spy_text('index', tenant));
	ALTER TABLE mallory.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE mallory.orders FORCE ROW LEVEL SECURITY;
	CREATE POLICY p ON mallory.orders USING (mallory.spy('policy')) WITH CHECK (mallory.spy('policy'));
	CREATE TRIGGER a BEFORE UPDATE ON mallory.orders FOR EACH ROW EXECUTE FUNCTION mallory.tell('trigger');
	CREATE TRIGGER m AFTER INSERT ON mallory.orders FOR EACH ROW EXECUTE FUNCTION public.mf_enqueue('customer_name=tenant', 'invoice_value=amount', 'id=invoice');
	GRANT ALL ON mallory.orders TO PUBLIC; TRUNCATE mallory.loot});
sql('SET ROLE bob; INSERT INTO mallory.orders DEFAULT VALUES');
is(loot(), join(', ', map { "$_ as bob" } qw(check default domain generated index policy trigger)), 'code of a table for mf_enqueue() runs as whoever inserts');
$mf->wait_for($node, $db, q{SELECT status FROM mf_invoice WHERE customer_name = 'x'}, 'sent');
is(loot(), 'nothing', 'and nobody runs it afterwards');
foreach my $rule ([ 'mf_invoice', q{payment_status = 'paid'} ], [ 'mf_queue', q{kind = 'send'} ])
{
	sql("SET ROLE mallory; CREATE RULE r AS ON UPDATE TO mallory.orders DO ALSO UPDATE public.$rule->[0] SET $rule->[1]");
	like(($node->psql($db, 'INSERT INTO mallory.orders DEFAULT VALUES'))[2], qr/ERROR:  permission denied for table $rule->[0]/, "a rule on it gets no right to $rule->[0], not even from a superuser");
	sql('DROP RULE r ON mallory.orders');
}
sql('TRUNCATE mallory.loot');

#
# What is called in the way of whoever has her schema first in the path
#
sql(q{SET ROLE mallory; SET search_path = mallory;
	CREATE FUNCTION eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.spy($$operator$$)'; CREATE OPERATOR = (FUNCTION = eq, LEFTARG = text, RIGHTARG = text);
	CREATE FUNCTION eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.spy($$operator$$)'; CREATE OPERATOR = (FUNCTION = eq, LEFTARG = bigint, RIGHTARG = bigint);
	CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS 'SELECT mallory.spy($$now$$); SELECT pg_catalog.now()';
	CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT mallory.spy($$now$$); SELECT pg_catalog.now()';
	CREATE FUNCTION pg_has_role(oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.spy($$pg_has_role$$)';
	CREATE FUNCTION mf_invoice_visible(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT mallory.spy($$visible$$)';
	CREATE TABLE mf_invoice (LIKE public.mf_invoice); CREATE TABLE mf_queue (LIKE public.mf_invoice)});
my @ids = map { waiting("path $_") } 1 .. 3;
my $calls = join '; ', map({ "SELECT count(*) FROM public.$_" } qw(mf_history mf_review mf_backlog mf_payment_backlog mf_unmatched mf_reaction_backlog mf_worker_status mf_listener_status)),
	"SELECT public.mf_cancel($ids[0])", "SELECT public.mf_pause('myfatoorah')", "SELECT public.mf_resume('myfatoorah')", 'SELECT count(*) FROM public.mf_check()', 'SELECT count(*) FROM public.mf_repair()',
	"UPDATE public.mf_invoice SET customer_name = 'other', priority = 2 WHERE id OPERATOR(pg_catalog.=) $ids[1]", "DELETE FROM public.mf_invoice WHERE id OPERATOR(pg_catalog.=) $ids[0]";
sql("SET search_path = mallory, pg_temp, pg_catalog; CREATE TEMP TABLE mf_account (); $calls");
is(loot(), 'nothing', 'no function or operator of a hostile path is called by functions and views of ours');

#
# What could be left in a session
#
my @state = (
	[ locks => q{(SELECT string_agg(objid::text, ' ' ORDER BY objid) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())} ],
	[ listens => q{(SELECT string_agg(c, ' ') FROM pg_listening_channels() c)} ],
	[ cursors => q{(SELECT string_agg(name, ' ') FROM pg_cursors WHERE is_holdable)} ],
	[ prepared => q{(SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements)} ],
	[ temporary => q{(SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = pg_my_temp_schema())} ],
	[ types => q{(SELECT string_agg(typname, ' ') FROM pg_type WHERE typnamespace = pg_my_temp_schema())} ],
	[ settings => q{concat_ws(' ', current_setting('search_path'), current_setting('DateStyle'), nullif(current_setting('mallory.x', true), ''))} ]);
my $state = 'SELECT concat_ws(E\'\n\', ' . join(', ', map { "'$_->[0] ' || $_->[1]" } @state) . ')';
my $before = "locks 1\nlistens own\ncursors own\nprepared own\nsettings public ISO, MDY";
my @bodies = (
	[ 'a lock' => q{PERFORM pg_advisory_lock(4711)} ],
	[ 'a lock that is tried' => q{PERFORM * FROM pg_try_advisory_lock_shared(47, 11)} ],
	[ 'a lock in an assignment' => q{ok := pg_try_advisory_lock(4711)} ],
	[ 'locks of the session' => q{PERFORM pg_advisory_unlock_all()} ],
	[ 'one lock of the session' => q{PERFORM pg_advisory_unlock(1)} ],
	[ 'LISTEN' => q{LISTEN x} ],
	[ 'UNLISTEN' => q{UNLISTEN *} ],
	[ 'a cursor WITH HOLD' => q{EXECUTE $e$DECLARE c CURSOR WITH HOLD FOR SELECT mallory.spy('held')$e$} ],
	[ 'cursors of the session' => q{EXECUTE 'CLOSE ALL'} ],
	[ 'a prepared statement' => q{EXECUTE 'PREPARE p AS SELECT 1'} ],
	[ 'prepared statements of the session' => q{EXECUTE 'DEALLOCATE ALL'} ],
	[ 'a temporary table' => q{CREATE TEMP TABLE t (i int)} ],
	[ 'a temporary table of a query' => q{CREATE TEMP TABLE t AS SELECT 1} ],
	[ 'a temporary view' => q{CREATE TEMP VIEW mf_invoice AS SELECT mallory.spy('view')} ],
	[ 'a temporary sequence' => q{CREATE SEQUENCE pg_temp.s} ],
	[ 'a temporary type' => q{CREATE DOMAIN pg_temp.d AS text} ],
	[ 'a command in a command' => q{EXECUTE 'DO $d$ BEGIN CREATE TEMP TABLE t (); END $d$'} ],
	[ 'a path' => q{SET search_path = mallory, pg_catalog} ],
	[ 'a style' => q{PERFORM set_config('DateStyle', 'German', false)} ],
	[ 'a setting of her own' => q{SET mallory.x = 1} ]);

# Some minor releases make temporary types in a security-restricted operation, such as the query of a materialized view.
my $refused = sql(q{CREATE FUNCTION type_is_refused() RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN CREATE DOMAIN pg_temp.d AS text; DROP DOMAIN pg_temp.d; RETURN false; EXCEPTION WHEN insufficient_privilege THEN RETURN true; END $$;
	CREATE MATERIALIZED VIEW types AS SELECT type_is_refused(); SELECT * FROM types; DROP MATERIALIZED VIEW types; DROP FUNCTION type_is_refused()});
note "temporary types are refused by the server itself: $refused";
@bodies = grep { $_->[0] ne 'a temporary type' } @bodies if $refused ne 't';

# What a superuser's session has after it has cancelled an invoice, beside what it had
sub cancel_leaves
{
	my ($name, $why) = @_;
	my $id = waiting($name);
	my ($code, $out, $err) = $node->psql($db, qq{SET search_path = public; LISTEN own; PREPARE own AS SELECT 1; BEGIN; DECLARE own CURSOR WITH HOLD FOR SELECT 1; COMMIT; SELECT pg_advisory_lock(1);
		SELECT mf_cancel($id); $state});

	$out =~ s/^\n+//;
	is($out, $before, $why);
	return;
}

#
# Functions of mf_on_change(), which are called in a process of their own
#
sub react
{
	my ($role, $body) = @_;

	sql(qq{SET ROLE $role; CREATE OR REPLACE FUNCTION $role.react(old public.mf_invoice, new public.mf_invoice) RETURNS void LANGUAGE plpgsql AS \$f\$ DECLARE ok boolean; c refcursor; r record; BEGIN $body; END \$f\$;
		SELECT public.mf_on_change('$role.react(public.mf_invoice, public.mf_invoice)')});
	return;
}

sub told { return $mf->wait_for($node, $db, 'SELECT count(*) FROM mf_reaction_queue', 0); }

sql('CREATE SCHEMA bob AUTHORIZATION bob; CREATE TABLE bob.seen (what text); GRANT ALL ON bob.seen TO bob');
react('mallory', "PERFORM mallory.spy(CASE WHEN pg_backend_pid() = $worker THEN 'worker' ELSE coalesce(current_setting('my.session', true), 'elsewhere') END)");
sql("SET my.session = 'session'; SELECT mf_cancel(@{[ waiting('session') ]})");
$mf->insert($node, $db, 'no session');
$mf->wait_status($node, $db, 'no session');
told();
is(loot(), 'elsewhere as mallory', 'neither a session nor the worker is at the mercy of such a function');
foreach my $body (@bodies, [ 'what others have deferred' => 'SET CONSTRAINTS ALL IMMEDIATE' ])
{
	react('mallory', $body->[1]);
	$mf->insert($node, $db, "on change $body->[0]");
	$mf->wait_status($node, $db, "on change $body->[0]");
	$mf->wait_for($node, $db, 'SELECT NOT EXISTS (SELECT FROM mf_reaction_queue q WHERE failures = 0 AND NOT EXISTS (SELECT FROM mf_reaction_queue e WHERE e.invoice = q.invoice AND e.id < q.id))');
	sql(q{SELECT mf_off_change('mallory.react')});
}
is(loot(), 'nothing', 'none of it has run with other rights');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no lock stays');
is($mf->worker_pid($node, $db), $worker, 'the worker is still the same');
react('mallory', 'PERFORM pg_advisory_lock(1)');
sql("SELECT mf_cancel(@{[ waiting('refused lock') ]})");
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_reaction_backlog WHERE error LIKE 'cannot call pg_advisory_lock() within a change made by myfatoorah: %'}, 1);
is(sql(q{SET ROLE mallory; INSERT INTO public.mf_invoice (customer_name, invoice_value, customer_reference, send_at) VALUES ('x', 1, 'own', '2100-01-01'); SELECT public.mf_off_change('mallory.react')}), 1, 'what was refused waits until the function is no longer registered');

# One leaves cursors, the next one looks for them.
react('mallory', q{c := 'left'; OPEN c FOR SELECT 1});
react('bob', q{INSERT INTO bob.seen SELECT name FROM pg_cursors; INSERT INTO bob.seen VALUES (new.status)});
$mf->insert($node, $db, 'cursors');
$mf->wait_status($node, $db, 'cursors');
told();
is(sql('SELECT string_agg(what, $$ $$ ORDER BY what) FROM bob.seen'), 'sending sent', 'no function sees cursors of others');
sql(q{SELECT mf_off_change('mallory.react'), mf_off_change('bob.react')});

#
# Triggers, for which she has been given the right
#
sql('GRANT TRIGGER ON mf_invoice, mf_queue TO mallory');

sub trigger
{
	my ($when, $body) = @_;

	sql(qq{SET ROLE mallory; CREATE OR REPLACE FUNCTION mallory.act() RETURNS trigger LANGUAGE plpgsql AS \$f\$ DECLARE ok boolean; BEGIN $body; RETURN NEW; EXCEPTION WHEN insufficient_privilege THEN RETURN NEW; END \$f\$;
		CREATE OR REPLACE TRIGGER act $when ON public.mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.act()});
	return;
}

foreach my $when ('BEFORE UPDATE', 'AFTER UPDATE')
{
	foreach my $body (@bodies)
	{
		trigger($when, $body->[1]);
		cancel_leaves("$when $body->[0]", "$body->[0]: a trigger $when leaves the session as it was");
	}
}
trigger('AFTER UPDATE', q{EXECUTE $e$DECLARE c CURSOR WITH HOLD FOR SELECT mallory.spy('held')$e$});
sql('ALTER FUNCTION mallory.act() SECURITY DEFINER');
cancel_leaves('definer', 'nor does one that runs as its owner');
sql('DROP TRIGGER act ON mf_invoice');
is(loot(), 'nothing', 'and none of it has run with other rights');

# What others have deferred in the session does not run because of her.
sql(q{CREATE TABLE account_limit (n int); CREATE FUNCTION check_limit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.spy('limit'); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER l AFTER INSERT ON account_limit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_limit()});
trigger('AFTER UPDATE', 'SET CONSTRAINTS ALL IMMEDIATE');
sql("BEGIN; INSERT INTO account_limit VALUES (1); SELECT mf_cancel(@{[ waiting('limit') ]}); COMMIT");
is(loot(), 'limit as the superuser', 'a trigger runs nothing that others have deferred');
sql('DROP TRIGGER act ON mf_invoice');

# What users rely on: constraints that are deferred, and commands of whoever has the session's rights anyway
sql(q{SET ROLE mallory; CREATE TABLE mallory.month (id int PRIMARY KEY); INSERT INTO mallory.month VALUES (1); GRANT ALL ON mallory.month TO PUBLIC;
	CREATE TABLE mallory.entry (month int REFERENCES mallory.month DEFERRABLE INITIALLY DEFERRED); GRANT ALL ON mallory.entry TO PUBLIC});
trigger('AFTER UPDATE', 'INSERT INTO mallory.entry VALUES (1)');
sql("SELECT mf_cancel(@{[ waiting('deferred key') ]})");
is(sql('SELECT count(*) FROM mallory.entry'), 1, 'a trigger may fill a table with a deferred foreign key');
$mf->insert($node, $db, 'deferred key, sent');
$mf->wait_status($node, $db, 'deferred key, sent');
is(sql('SELECT count(*) FROM mallory.entry'), 3, 'in the worker, too');
trigger('AFTER UPDATE', q{CREATE TEMP TABLE own AS SELECT 1 AS n; PERFORM pg_advisory_lock(4711)});
sql('ALTER FUNCTION mallory.act() SECURITY DEFINER');
is(sql(q{SET SESSION AUTHORIZATION mallory; SELECT mf_cancel(id) FROM public.mf_invoice WHERE customer_reference = 'own'; SELECT n FROM own}), "\n1", 'what a role leaves in a session of its own is its affair');

# In the worker
trigger('AFTER UPDATE', q{PERFORM mallory.spy(concat_ws(' ', NEW.status, current_setting('DateStyle'), nullif(current_setting('mallory.x', true), ''))); PERFORM set_config('DateStyle', 'German', false), set_config('mallory.x', 'set', false)});
sql('ALTER FUNCTION mallory.act() SECURITY INVOKER; DROP TRIGGER act ON mf_invoice');
sql(q{SET ROLE mallory; CREATE CONSTRAINT TRIGGER act AFTER UPDATE ON public.mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mallory.act()});
foreach my $name (map { "worker $_" } 1 .. 2)
{
	$mf->insert($node, $db, $name);
	$mf->wait_status($node, $db, $name);
}
is(loot(), 'sending ISO, MDY as myfatoorah_worker, sent ISO, MDY as myfatoorah_worker', 'a setting ends with the transaction of the worker, even one of a deferred trigger');
sql('DROP TRIGGER act ON mf_invoice');
foreach my $when ('BEFORE UPDATE', 'AFTER UPDATE')
{
	trigger($when, q{SET search_path = mallory, pg_catalog});
	$mf->insert($node, $db, "path $when");
	$mf->wait_status($node, $db, "path $when");
	is(loot(), 'nothing', "$when: a path is not for the statements that follow");
}
trigger('AFTER UPDATE', join('; ', map { "BEGIN $_->[1]; PERFORM mallory.spy('done'); EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL; END" } grep { $_->[0] !~ /path|style|setting/ } @bodies));
$mf->insert($node, $db, 'in the worker');
$mf->wait_status($node, $db, 'in the worker');
is(loot(), 'nothing', 'nor does a trigger leave anything else with the worker');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no lock');
is($mf->worker_pid($node, $db), $worker, 'which is still the same');
sql('DROP TRIGGER act ON mf_invoice');

#
# A dump: what she has registered runs as her where it is restored, and not as whoever restores it.
#
sql(q{SET ROLE mallory; CREATE OR REPLACE FUNCTION mallory.react(old public.mf_invoice, new public.mf_invoice) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM mallory.spy('function'); END $$;
	SELECT public.mf_on_change('mallory.react(public.mf_invoice, public.mf_invoice)'); DROP TABLE mallory.orders});
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/archive';
command_ok([ $node->installed_command('pg_dump'), '-Fc', '-d', $node->connstr($db), '-f', $dump ], 'pg_dump');
foreach my $case ([ copy => 'NOT EXISTS (SELECT FROM mf_reaction_queue)', 'function as mallory' ], [ without_owners => q{EXISTS (SELECT FROM mf_reaction_backlog WHERE error LIKE 'it belongs to role %')}, 'nothing', '--no-owner' ])
{
	my ($name, $told, $expected, @options) = @$case;

	sql("CREATE DATABASE $name");
	$node->command_ok([ $node->installed_command('pg_restore'), '-e', @options, '-d', $node->connstr($name), $dump ], "pg_restore $name");
	$node->safe_psql($name, q{TRUNCATE mallory.loot; UPDATE mf_queue SET kind = 'send'; SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'path 3'; SELECT mf_resume('*')});
	$mf->wait_for($node, $name, "SELECT $told");
	is($node->safe_psql($name, q{SELECT coalesce(string_agg(DISTINCT what || ' as ' || who, ', '), 'nothing') FROM mallory.loot}), $expected, "restored by a superuser: $name");
}

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal|WARNING:  GUC nest level/, 'no process crashed');
is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each invoice was made once');
$node->stop;
done_testing();
