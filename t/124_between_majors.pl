# Moves to a newer PostgreSQL without pg_upgrade: dumps in each format, in one go and in steps, and logical replication as
# docs/operations.md tells it; rows in every state, none lost, none sent twice. Skipped unless MF_OLD_PG_CONFIG names the
# pg_config of another PostgreSQL with its headers.
use MyFatoorah::Test;
use MyFatoorah::Install;
use MyFatoorah::States;

my ($mf, $states) = map { "MyFatoorah::$_" } 'Cluster', 'States';
my $old_config = $ENV{MF_OLD_PG_CONFIG};
my $db = 'postgres';
my $send = { path => '/v2/SendPayment' };

plan skip_all => 'MF_OLD_PG_CONFIG names no pg_config of an older PostgreSQL' unless defined $old_config && -x $old_config;

my $then = MyFatoorah::Install->new('then', pg_config => $old_config);
my $sandbox = MyFatoorah::Sandbox->new;
my $old = $then->node('old');
my $new = $mf->new_node('new', conf => $states->conf . "\nwal_level = logical\nlog_min_messages = log");
my $dir = PostgreSQL::Test::Utils::tempdir('dump');

note "from $then->{version}";
# not with allows_streaming, for which PostgreSQL::Test of 18 writes a setting that 17 does not know
$old->init;
$old->append_conf('postgresql.conf', $mf->settings(conf => $states->conf . "\nwal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10"));
$old->start;
$states->fill($old, $db, $sandbox);
my $before = $states->states($old, $db);
my $posts = $sandbox->count(%$send);

sub in { return $new->safe_psql(@_); }
sub run_it { my ($name, @command) = @_; return $new->command_ok([ $new->installed_command(shift @command), @command ], $name); }

# What a restore must bring back: all but the row whose request is under way, which the worker of a copy may have found out
# about; and not the agenda, which the rows make anew.
my %same = (
	# the role of that name has another OID there
	mf_invoice => q{SELECT to_jsonb(i) - 'created_by_id' FROM mf_invoice i WHERE customer_reference <> 'sending' ORDER BY id},
	mf_attempt => q{SELECT * FROM mf_attempt WHERE invoice NOT IN (SELECT id FROM mf_invoice WHERE customer_reference = 'sending') ORDER BY invoice, attempt},
	# a worker that begins has functions tried at once that have failed, also while their rows are being restored
	mf_reaction => q{SELECT to_jsonb(r) - 'retry_at' FROM mf_reaction r ORDER BY function},
	map { $_ => "SELECT * FROM $_ t ORDER BY t::text COLLATE \"C\"" } qw(mf_transaction mf_money mf_event mf_archive_key mf_invoice_archive mf_transition));
my ($session, $snapshot) = $mf->snapshot($old, $db);
my %rows = map { $_ => $session->query_safe($same{$_}) } keys %same;

sub restored
{
	my ($copy) = @_;

	is(in($copy, $same{$_}), $rows{$_}, "$copy: $_ is the same") for sort keys %same;
	is(in($copy, q{SELECT count(*) FROM mf_addition}), 0, "$copy: nothing counts as an addition");
	is(in($copy, q{SELECT string_agg(i.customer_reference || ' ' || q.kind, ', ' ORDER BY i.id) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'}),
		'later verify, due verify', "$copy: what is queued is to be looked up before it is sent");
	is(in($copy, q{SELECT count(*) FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL}), 1, "$copy: nothing is sent before somebody says so");
	return;
}

my @from = ('-d', $old->connstr($db));
run_it('pg_dump', 'pg_dump', @from, $snapshot, '-f', "$dir/plain");
run_it('pg_dump -Fc', 'pg_dump', @from, $snapshot, '-Fc', '-f', "$dir/custom");
run_it('pg_dump -Fd -j2', 'pg_dump', @from, $snapshot, '-Fd', '-j2', '-f', "$dir/directory");
$session->quit;
my %restore = (
	plain => sub { run_it('psql', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $_[0], '-f', "$dir/plain") },
	custom => sub { run_it('pg_restore -j2', 'pg_restore', '-e', '-j2', '-d', $_[0], "$dir/custom") },
	directory => sub { run_it('pg_restore -j2 of a directory', 'pg_restore', '-e', '-j2', '-d', $_[0], "$dir/directory") },
	steps => sub {
		run_it('pg_restore --schema-only', 'pg_restore', '-e', '--schema-only', '-d', $_[0], "$dir/custom");
		run_it('pg_restore --data-only', 'pg_restore', '-e', '--data-only', '-d', $_[0], "$dir/custom");
	});
in($db, 'CREATE ROLE tenant');
for my $copy (sort keys %restore)
{
	in($db, "CREATE DATABASE $copy");
	$restore{$copy}->($new->connstr($copy));
	restored($copy);
	in($db, "ALTER DATABASE $copy SET myfatoorah.worker_enabled = off");
	$mf->wait_no_worker($new, $copy);
}
is($sandbox->count(%$send), $posts, 'no copy has sent anything');

# Logical replication: the new server is filled while the old one sends.
$mf->write_key($new, $sandbox->key);
$states->accounts($new, $db, $sandbox);
in($db, 'ALTER SERVER short OPTIONS (SET timeout \'2s\', SET connect_timeout \'2s\')');
run_it('the months of the archive', 'pg_dump', @from, '--schema-only', '-t', 'mf_invoice_archive_*', '-f', "$dir/months");
run_it('are made', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $new->connstr($db), '-f', "$dir/months");
$mf->wait_worker($new, $db);
$old->safe_psql($db, 'CREATE PUBLICATION up FOR ALL TABLES');
in($db, 'DELETE FROM mf_reaction');
in($db, sprintf q{CREATE SUBSCRIPTION up CONNECTION 'host=%s port=%s dbname=%s' PUBLICATION up}, $old->host, $old->port, $db);
$new->wait_for_subscription_sync($old, 'up');
$mf->insert($old, $db, 'meanwhile');
$mf->wait_status($old, $db, 'meanwhile');
$mf->insert_many($old, $db, 'waiting', 3, send_at => "now() + interval '1 day'");

# the switch-over
$old->safe_psql($db, q{SELECT mf_pause('*'), mf_drain('1 s')});
$old->wait_for_catchup('up');
$old->stop;
$posts = $sandbox->count(%$send);
in($db, q{ALTER SUBSCRIPTION up DISABLE; ALTER SUBSCRIPTION up SET (slot_name = NONE)});
in($db, q{DROP SUBSCRIPTION up});
my ($doc) = grep { -e } 'docs/operations.md', "$ENV{PWD}/docs/operations.md";
my ($sequences) = slurp_file($doc) =~ /^```sql\n(-- each sequence.*?)^```/ms;
in($db, $sequences);
$mf->wait_idle($new, $db);
is($sandbox->count(%$send), $posts, 'the new server sends nothing by itself');
in($db, q{SELECT mf_resume('*')});
is(in($db, q{SELECT string_agg(DISTINCT q.kind, ' ') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'}), 'verify', 'what is queued is looked up first');
in($db, q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference ~ '^waiting'});
is(join("\n", $states->finish($new, $db, $sandbox)), '', 'all that was unfinished is finished, once');
is($sandbox->count(%$send), $posts + 7, 'by one request for each that was not sent, and for two new ones');
unlike(slurp_file($new->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$new->stop;
done_testing();
