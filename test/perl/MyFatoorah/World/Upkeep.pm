# What administrators do with a database: they vacuum, cluster and reindex, change settings, rename it, copy it, load
# tables as a replica, restore half of them, replicate them elsewhere.
package MyFatoorah::World::Upkeep;

use strict;
use warnings;

use MyFatoorah::World::Accounts;

my @tables = qw(mf_invoice mf_queue mf_attempt mf_inquiry mf_transition mf_transaction mf_event);

# Settings of a database that must not change how the worker works
my @settings = (
	[ statement_timeout => '5ms' ], [ lock_timeout => '1ms' ], [ default_transaction_read_only => 'on' ], [ default_transaction_isolation => 'serializable' ],
	[ search_path => 'nowhere' ], [ session_replication_role => 'replica' ], [ row_security => 'off' ], [ timezone => 'Asia/Kathmandu' ],
	[ datestyle => 'SQL, DMY' ], [ intervalstyle => 'sql_standard' ], [ extra_float_digits => '-15' ], [ enable_indexscan => 'off' ], [ work_mem => '64kB' ],
	[ synchronous_commit => 'off' ], [ client_encoding => 'LATIN1' ], [ standard_conforming_strings => 'off' ], [ bytea_output => 'escape' ],
	[ idle_in_transaction_session_timeout => '1ms' ], [ jit_above_cost => '0' ], [ transform_null_equals => 'on' ], [ plan_cache_mode => 'force_custom_plan' ],
	[ role => 'operator' ], [ default_transaction_deferrable => 'on' ], [ idle_session_timeout => '50ms' ], [ check_function_bodies => 'off' ],
	[ default_tablespace => 'nowhere' ], [ temp_buffers => '800kB' ], [ lo_compat_privileges => 'on' ], [ vacuum_cost_delay => '1ms' ]);

sub moves
{
	return (
		{ name => 'upkeep of a table', weight => 8, draw => sub {
			my ($pick) = @_;

			return ($tables[ $pick->(scalar @tables) ], $pick->(8));
		}, play => sub {
			my ($db, $table, $kind) = @_;

			$db->sql(("VACUUM FULL $table", "VACUUM (FREEZE, INDEX_CLEANUP ON) $table", "ANALYZE $table", "REINDEX TABLE $table", "REINDEX TABLE CONCURRENTLY $table",
				"CLUSTER $table USING ${table}_pkey", "ALTER TABLE $table SET (fillfactor = 100)", "ALTER TABLE $table SET (autovacuum_enabled = off)")[$kind]);
		} },
		{ name => 'unlogged', weight => 1, draw => sub { $tables[ $_[0]->(scalar @tables) ] }, play => sub {
			my ($db, $table) = @_;

			# rewritten twice; a crash in between would empty the table, which is what unlogged means
			$db->sql("BEGIN; ALTER TABLE $table SET UNLOGGED; ALTER TABLE $table SET LOGGED; COMMIT");
			$db->sql('ROLLBACK');
		} },
		{ name => 'setting', weight => 5, draw => sub { $_[0]->(scalar @settings) }, play => sub {
			my ($db, $n) = @_;
			my ($name, $value) = @{ $settings[$n] };

			$value = $db->role('operator') if $name eq 'role';
			return unless $db->ok("ALTER DATABASE $db->{dbname} SET $name = '$value'");
			$db->broken("setting $name", "ALTER DATABASE $db->{dbname} RESET $name");
		} },
		{ name => 'setting of the worker role', weight => 1, draw => sub { $_[0]->(6) }, play => sub {
			my ($db, $n) = @_;
			my ($name, $value) = @{ $settings[$n] };

			return unless $db->ok("ALTER ROLE myfatoorah_worker IN DATABASE $db->{dbname} SET $name = '$value'");
			$db->broken("role setting $name", "ALTER ROLE myfatoorah_worker IN DATABASE $db->{dbname} RESET $name");
		} },
		{ name => 'database renamed', weight => 2, play => sub {
			my ($db) = @_;

			# away and back, as one who tries a copy does
			$db->forget_sessions;
			my $ok = $db->world->admin(qq{ALTER DATABASE $db->{dbname} RENAME TO $db->{dbname}_x})->{state} eq '00000';
			$db->world->insist(qq{ALTER DATABASE $db->{dbname}_x RENAME TO $db->{dbname}}) if $ok;
		} },
		{ name => 'database copied', weight => 1, play => sub {
			my ($db) = @_;
			my $copy = "$db->{dbname}_copy";

			return if $db->state->{copies}++;
			$db->forget_sessions;
			$db->world->admin("CREATE DATABASE $copy TEMPLATE $db->{dbname}");
			$db->broken('copy', sub { $db->world->insist("DROP DATABASE IF EXISTS $copy WITH (FORCE)") });
		} },
		{ name => 'worker off', weight => 1, play => sub {
			my ($db) = @_;

			$db->world->admin("ALTER DATABASE $db->{dbname} SET myfatoorah.worker_enabled = off");
			$db->broken('worker', sub { $db->world->insist("ALTER DATABASE $db->{dbname} RESET myfatoorah.worker_enabled") });
		} },
		{ name => 'worker on', weight => 2, play => sub { $_[0]->mend('worker'); } },
		{ name => 'worker terminated', weight => 3, play => sub { $_[0]->sql('SELECT pg_terminate_backend(pid) FROM mf_worker_status'); } },
		{ name => 'worker cancelled', weight => 1, play => sub { $_[0]->sql('SELECT pg_cancel_backend(pid) FROM mf_worker_status'); } },
		{ name => 'rows loaded as a replica', weight => 2, draw => sub {
			my ($pick, $m) = @_;

			return [ map { ++$m->{rows} } 1 .. 1 + $pick->(4) ];
		}, play => sub {
			my ($db, $numbers) = @_;

			$db->state->{agenda_lost} = 1;
			$db->insert($numbers, "BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, reference, display_currency_iso) VALUES "
				. join(', ', map { my $name = $db->prefix . $_; "('$name', '$name', 1.250, '$name.' || substr(md5(random()::text), 1, 20), 'KWD')" } @$numbers) . '; COMMIT');
			$db->sql('ROLLBACK');
		} },
		{ name => 'half of the tables gone', weight => 2, draw => sub { ($_[0]->(2), $_[0]->(3)) }, play => sub {
			my ($db, $rest, $queue) = @_;

			return if $db->state->{saved}++;
			$db->state->{agenda_lost} = 1;
			my $ok = $db->ok("BEGIN; SET LOCAL session_replication_role = replica; LOCK mf_invoice;
				CREATE TABLE public.saved_invoice AS SELECT * FROM mf_invoice WHERE id % 2 = $rest; DELETE FROM mf_invoice WHERE id % 2 = $rest;"
				. ($queue ? "DELETE FROM mf_queue WHERE invoice % 2 = $rest;" : '') . 'COMMIT');

			$db->sql('ROLLBACK');
			$db->broken('saved', sub { restore($db) });
		} },
		{ name => 'restored', weight => 3, play => sub { $_[0]->mend('saved'); } },
		{ name => 'subscriber', weight => 1, play => \&subscribe });
}

# The rows come back as they were, without triggers, as pg_restore --disable-triggers has it
sub restore
{
	my ($db) = @_;
	my $exists = $db->insist(q{SELECT to_regclass('public.saved_invoice') IS NOT NULL})->{out};

	return unless $exists eq 't';
	my $begin = 'BEGIN; SET LOCAL session_replication_role = replica';
	my $rest = 'INSERT INTO mf_invoice OVERRIDING SYSTEM VALUE SELECT * FROM public.saved_invoice; DROP TABLE public.saved_invoice; COMMIT';
	my $answer = $db->insist("$begin; $rest");

	$db->sql('ROLLBACK');

	# where our trigger is an ALWAYS one, the entries that were left in the agenda are in its way, and it says so
	if ($answer->{err} =~ /mf_queue_pkey/)
	{
		$answer = $db->insist("$begin; DELETE FROM mf_queue q USING public.saved_invoice s WHERE q.invoice = s.id; $rest");
		$db->sql('ROLLBACK');
	}
	return if $answer->{state} eq '00000';

	# a constraint, a trigger, a type or a right of the owner may refuse them, until it is as before
	return $db->broken('saved', sub { restore($db) })
	  if ($answer->{state} =~ /^(?:23514|P0001|22...|42804|42501)$/ || $answer->{err} =~ /unique_of_world/) && $db->state->{restores}++ < 5;
	$db->finding("the saved rows cannot be restored: $answer->{err}");
	return;
}

# A database that gets everything of this one, as for an upgrade with little downtime. It must send nothing.
sub subscribe
{
	my ($db) = @_;
	my $name = "$db->{dbname}_sub";
	my $world = $db->world;

	return if $db->state->{subscribed}++ || $world->admin("CREATE DATABASE $name")->{state} ne '00000';
	$db->broken('subscriber', sub {
		$world->in($name, 'ALTER SUBSCRIPTION s DISABLE');
		$world->in($name, 'ALTER SUBSCRIPTION s SET (slot_name = NONE)');
		$world->in($name, 'DROP SUBSCRIPTION s');
		$world->forget($name);
		$db->insist(qq{SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$name'});
		$db->insist('DROP PUBLICATION IF EXISTS replicated');
		$world->insist("DROP DATABASE IF EXISTS $name WITH (FORCE)");
	});
	my $schema = $db->value(q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'myfatoorah'}) // return;

	$db->sql('ALTER TABLE mf_transition REPLICA IDENTITY FULL');
	return unless $db->ok("CREATE PUBLICATION replicated FOR TABLE mf_invoice, mf_queue, mf_attempt, mf_transition, mf_inquiry")
	  && $db->ok("SELECT pg_create_logical_replication_slot('$name', 'pgoutput')");
	$world->in($name, "CREATE SCHEMA IF NOT EXISTS $schema; CREATE EXTENSION myfatoorah SCHEMA $schema;"
		. join('', map { MyFatoorah::World::Accounts::server($db, $db->account($_)) . MyFatoorah::World::Accounts::mapping($db, $db->account($_), 'PUBLIC') } 0 .. ($db->{plan}{accounts} > 5 ? 5 : $db->{plan}{accounts} - 1)));
	$world->in($name, "CREATE SUBSCRIPTION s CONNECTION '" . $db->node->connstr($db->{dbname}) =~ s/'/''/gr . "' PUBLICATION replicated WITH (create_slot = false, slot_name = '$name')");
	$world->in($name, "SELECT pg_sleep(0.3)");
	$world->in($name, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'myfatoorah worker'");
	return;
}

1;
