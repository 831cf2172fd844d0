# Copies of a database must not send what the original sends: a standby that is promoted under load and lacks the last
# commits, a dump that is restored, clones of a data directory, a base backup, a database made from another as template.
# What was sent must not be sent again; what was not must be.
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use File::Copy ();
use IPC::Run ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nwal_keep_size = '64MB'";
my %quick = (connect_timeout => '500ms', timeout => '1s');

sub sql
{
	my ($node, $query, $dbname) = @_;

	return $node->safe_psql($dbname // 'postgres', $query);
}

# Nothing is sent from there until a person says so.
sub is_paused
{
	my ($node, $sandbox, $what, $dbname) = @_;
	my $before = $sandbox->count(path => '/v2/SendPayment');

	$mf->wait_worker($node, $dbname // 'postgres');
	$mf->insert($node, $dbname // 'postgres', 'inserted-into-the-copy');
	$mf->wait_idle($node, $dbname // 'postgres');
	is(sql($node, q{SELECT account FROM mf_account WHERE paused_at IS NOT NULL}, $dbname), '*', "$what: sending is paused");
	is($sandbox->count(path => '/v2/SendPayment') - $before, 0, "$what: nothing is sent");
	return;
}

# Promotion: pgbench inserts, the API takes its time, the old primary is killed with requests in flight.
#
# cut: replication had ended a while before, so that the standby lacks commits, intents and outcomes.
# late: the standby has everything, but has applied little of it.
sub promotion
{
	my ($primary, $sandbox, $case) = @_;
	my $standby = PostgreSQL::Test::Cluster->new("standby_$case");
	my $send = { path => '/v2/SendPayment' };
	my $file = "$PostgreSQL::Test::Utils::tmp_check/load_$case.sql";

	$primary->backup("for_$case");
	$standby->init_from_backup($primary, "for_$case", has_streaming => 1);
	$mf->write_key($standby, $sandbox->key);
	$standby->append_conf('postgresql.conf', "recovery_min_apply_delay = '1h'") if $case eq 'late';
	$standby->start;

	unlink $file;
	append_to_file($file, join '',
		"\\set id random(1, 1000000000)\n",
		'INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, notification_option, customer_email) ',
		q{SELECT 'load', 'load-' || :id || '-' || n, 1.5, CASE n WHEN 1 THEN 'LNK' ELSE 'EML' END, 'a@example.com' },
		"FROM generate_series(1, 2) n;\n");
	my $before = $sandbox->count(%$send);
	$sandbox->faults({ path => 'SendPayment', delay_ms => 200, times => -1 });
	my ($in, $out) = ('', '');
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 4, '-j', 1, '-R', 80, '-T', 600, '-f', $file, '-h', $primary->host, '-p', $primary->port, 'postgres' ],
		'<', \$in, '>&', \$out);

	$sandbox->wait_count($send, $before + 100) or die "nothing is sent; pgbench: $out\n";
	if ($case eq 'cut')
	{
		$mf->wait_for($standby, 'postgres', q{SELECT count(*) > 20 FROM mf_invoice WHERE status = 'sent'});
		is($mf->worker_pid($standby, 'postgres'), '', 'a standby has no worker');
		$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
		$standby->reload;
		$mf->wait_for($standby, 'postgres', 'SELECT count(*) FROM pg_stat_wal_receiver', 0);
	}
	$sandbox->wait_count($send, $before + 300) or die "nothing more is sent\n";

	my $timeline = sql($primary, 'SELECT timeline FROM mf_identity');
	my ($rows, $flying) = split /\|/, sql($primary, q{SELECT count(*), count(*) FILTER (WHERE status = 'sending') FROM mf_invoice});
	my @children = $chaos->children($chaos->postmaster($primary));

	$primary->kill9;
	$chaos->until_true('the end of the old primary', sub { !grep { $chaos->alive($_) } @children });
	eval { $load->finish };

	my $posted = $sandbox->count(%$send);
	my $promoted_at = time;

	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die "not promoted\n";
	my ($at, $known) = split /\|/, sql($standby, q{SELECT extract(epoch FROM now()), count(*) FROM mf_invoice});

	$sandbox->clear_faults;
	$mf->wait_for($standby, 'postgres', "SELECT timeline > $timeline FROM mf_identity");

	# what may have been sent by the old primary is looked up first, and not before the API is done with it
	my ($queued, $verify, $wait) = split /\|/, sql($standby, q{SELECT count(*), count(*) FILTER (WHERE q.kind = 'verify' OR i.created_at >= } .
		"to_timestamp($promoted_at)" . q{), coalesce(extract(epoch FROM min(due) FILTER (WHERE q.kind = 'verify') - now()), 60)
		FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE i.status = 'queued'});
	is($verify, $queued, "$case: all $queued rows that are queued on the promoted server are to be looked up first");
	cmp_ok($wait, '>', 5, "$case: not too early") if $queued;
	note "$case: $rows rows, $flying in flight when the primary was killed; the standby has $known rows, $queued of them queued; $posted requests had left";

	# a row that is inserted now is new, and need not wait
	$mf->insert($standby, 'postgres', "new-$case");
	$mf->wait_status($standby, 'postgres', "new-$case");

	# the API is at rest: no need to wait as long as it could have worked
	sql($standby, q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
	sql($standby, q{ALTER SERVER myfatoorah OPTIONS (SET timeout '1s')});
	$chaos->wait_settled($standby, 'postgres', 150);

	my $history = MyFatoorah::History->of($standby, 'postgres', $sandbox);
	is_deeply([ $history->violations(settled => 1, lost_until => $promoted_at) ], [], "$case: rows, attempts and ledger agree");

	my %times;
	$times{ $_->{reference} }++ for @{ $history->{remote} };
	my @twice = grep { $times{$_} > 1 } keys %times;
	is_deeply(\@twice, [], "$case: no reference has two invoices");
	is($history->figures->{flagged}, 0, "$case: nothing looks like a duplicate");
	note "$case: " . $history->summary;
	return $standby;
}

#
# Promotion
#
my $sandbox = MyFatoorah::Sandbox->new;
my $primary = $mf->new_node('primary', conf => $conf, init => { allows_streaming => 1 });

$mf->setup_account($primary, 'postgres', $sandbox, options => { %quick, max_in_flight => 20 });
$mf->wait_worker($primary, 'postgres');

my $second = promotion($primary, $sandbox, 'cut');
my $third = promotion($second, $sandbox, 'late');
$third->stop;

#
# Clones: a small database with rows of several kinds
#
$sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $original = $mf->new_node('original', conf => "$conf\nwal_level = replica\nmax_wal_senders = 4", init => { allows_streaming => 1 });

$mf->setup_account($original, 'postgres', $sandbox, options => { %quick });
$mf->wait_worker($original, 'postgres');
$mf->insert_many($original, 'postgres', 'sent', 20);
$chaos->wait_settled($original, 'postgres', 30);
$mf->insert_many($original, 'postgres', 'later', 10, send_at => "now() + interval '1 h'");

# a restart, and a data directory that is moved, are no copy
$original->restart;
$mf->insert($original, 'postgres', 'after-restart');
$mf->wait_status($original, 'postgres', 'after-restart');
pass('a restart is no copy');

# cp -a of a stopped data directory, started beside; a row had no key a moment ago
sql($original, q{UPDATE mf_queue q SET lookups = 1, error = 'no key' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'later-1'});
$original->stop;
my $clone = PostgreSQL::Test::Cluster->new('clone');
system_or_bail('mkdir', '-p', $clone->basedir);
system_or_bail('cp', '-a', $original->data_dir, $clone->data_dir);
append_to_file($clone->data_dir . '/postgresql.conf',
	"port = " . $clone->port . "\nunix_socket_directories = '" . $clone->host . "'\nlisten_addresses = ''\n");
$original->start;

# On a fresh volume the directories may have the numbers that the original's have: what the clone remembers is made so.
$clone->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
$clone->start;
sql($clone, sprintf q{UPDATE mf_identity SET data_directory = replace(replace(data_directory, 'inode %s', 'inode %s'), 'file %s', 'file %s')},
	map { ((stat $original->data_dir . $_)[1], (stat $clone->data_dir . $_)[1]) } '', '/PG_VERSION')
  if sql($clone, 'SELECT data_directory FROM mf_identity') =~ /born/;
$clone->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
$clone->reload;
sql($original, q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference LIKE 'later-%' AND status = 'queued'});
$chaos->wait_settled($original, 'postgres', 30);
sql($clone, q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference LIKE 'later-%' AND status = 'queued'});
is_paused($clone, $sandbox, 'cp -a');
is_deeply([ MyFatoorah::History->of($original, 'postgres', $sandbox)->violations(settled => 1) ], [],
	'cp -a: the original goes on, all is sent once');

# The original is gone, and somebody lets the clone go on: what the original has sent since is found, not sent again.
$original->stop;
is(sql($clone, q{BEGIN; SELECT mf_resume('*'); ALTER SERVER myfatoorah OPTIONS (SET country 'KWT');
	SELECT count(*), bool_and(q.kind = 'verify' AND q.due > now() + interval '30 s') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference LIKE 'later-%'; COMMIT}), "\n10|t",
	'cp -a: nothing is looked up at once after mf_resume(), nor with a new key');
sql($clone, q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$chaos->wait_settled($clone, 'postgres', 150);
is_deeply([ twice($sandbox) ], [], 'cp -a: after mf_resume() nothing is sent that the original has sent since');
is_deeply([ MyFatoorah::History->of($clone, 'postgres', $sandbox)->violations(settled => 1, lost_until => time) ], [],
	'cp -a: rows and ledger agree after mf_resume()');
$clone->stop;
$original->start;

# Names that were posted more than once
sub twice
{
	my ($api) = @_;
	my %times;

	$times{$_}++ for $api->names;
	return sort grep { $times{$_} > 1 } keys %times;
}

#
# pg_basebackup, started as a server of its own, without recovery signal
#
$mf->insert_many($original, 'postgres', 'tomorrow', 10, send_at => "now() + interval '1 day'");
$original->backup('plain');
my $backup = PostgreSQL::Test::Cluster->new('backup');
$backup->init_from_backup($original, 'plain');
$mf->write_key($backup, $sandbox->key);
$backup->start;
is_paused($backup, $sandbox, 'pg_basebackup');
$backup->stop;

# Of a server that a person had paused: the copy is one all the same, and is told once. A restart and a promotion make no copy.
# The person's role may have any name.
my $pause = q{SELECT account, paused_by, reason FROM mf_account WHERE paused_at IS NOT NULL};
sql($original, q{CREATE ROLE worker IN ROLE myfatoorah_operate; SET ROLE worker; SELECT mf_pause('*', 'checking the January run')});
$original->restart;
$mf->wait_worker($original, 'postgres');
is(sql($original, $pause), '*|role "worker"|checking the January run', 'paused by a person: a restart leaves it so');
$original->backup('held');

my $held = PostgreSQL::Test::Cluster->new('held');
$held->init_from_backup($original, 'held');
$mf->write_key($held, $sandbox->key);
$held->start;
is_paused($held, $sandbox, 'paused by a person');
like(sql($held, $pause), qr/^\*\|worker\|this database is a copy.*; paused before by role "worker": checking the January run$/, 'the pause is that of a copy, and has the words of the person');
$held->restart;
$mf->wait_worker($held, 'postgres');
is(scalar(() = slurp_file($held->logfile) =~ /myfatoorah: copy_paused: sending is paused: this database is a copy/g), 1, 'the log tells of it once');
$held->stop;

my $successor = PostgreSQL::Test::Cluster->new('successor');
$successor->init_from_backup($original, 'held', has_streaming => 1);
$mf->write_key($successor, $sandbox->key);
$successor->start;
$original->stop;
$successor->promote;
$mf->wait_for($successor, 'postgres', 'SELECT max(timeline) > 1 FROM mf_identity');
is(sql($successor, $pause), '*|role "worker"|checking the January run', 'a promotion leaves it so');
is(sql($successor, q{SELECT count(*) FROM mf_check() WHERE item = 'copy'}), 0, 'and nothing is said to be of another database');
$successor->stop;
$original->start;
sql($original, q{SELECT mf_resume('*')});

#
# CREATE DATABASE ... TEMPLATE
#
$original->safe_psql('postgres', 'CREATE DATABASE model');
$mf->setup_account($original, 'model', $sandbox, key_file => 'model.key', options => { %quick });
$mf->wait_worker($original, 'model');
$mf->insert_many($original, 'model', 'model', 10);
$chaos->wait_settled($original, 'model', 30);
$mf->insert_many($original, 'model', 'open', 10, send_at => "now() + interval '1 day'");
$original->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE model');
is_paused($original, $sandbox, 'CREATE DATABASE ... TEMPLATE', 'copy');
$mf->wait_worker($original, 'model');
is(sql($original, 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL', 'model'), 0,
	'CREATE DATABASE ... TEMPLATE: the original goes on');

#
# pg_dump and restore into another server. "between" is sent by the original after the dump.
#
$mf->insert($original, 'postgres', 'between', send_at => "now() + interval '1 h'");
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
system_or_bail('pg_dump', '-h', $original->host, '-p', $original->port, '-f', $dump, 'postgres');
sql($original, q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference IN ('between')});
$mf->wait_status($original, 'postgres', 'between');
$original->stop;

my $restored = $mf->new_node('restored', conf => $conf);
$mf->write_key($restored, $sandbox->key);
my ($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-h', $restored->host, '-p', $restored->port, '-f', $dump, 'postgres' ],
	'>', \$out, '2>', \$err) or die "the dump cannot be restored: $err\n";
like($err, qr/sending is paused because invoices were restored/, 'dump and restore: says that sending is paused');
is(sql($restored, q{SELECT count(*) FILTER (WHERE status = 'sent'), count(*) FILTER (WHERE status = 'queued') FROM mf_invoice}), '31|11',
	'dump and restore: all rows are there, with their states');
is($restored->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('new-after-restore')), 0,
	'dump and restore: new invoices can be inserted')
  or sql($restored, q{SELECT setval('mf_invoice_id_seq', (SELECT max(id) FROM mf_invoice));
	INSERT INTO mf_invoice } . $mf->invoice('new-after-restore'));
is_paused($restored, $sandbox, 'dump and restore');

my $before = $sandbox->count(%$send);
sql($restored, q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'});
sql($restored, q{SELECT mf_resume('*')});
sql($restored, q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$chaos->wait_settled($restored, 'postgres', 150);
is_deeply([ grep { !/inserted-into-the-copy/ } twice($sandbox) ], [], 'dump and restore: after mf_resume() nothing that was sent is sent again');
is($sandbox->count(%$send) - $before, 12, 'dump and restore: what was not sent is sent');
is_deeply([ MyFatoorah::History->of($restored, 'postgres', $sandbox)->violations(settled => 1, lost_until => time) ], [],
	'dump and restore: rows and ledger agree');
$restored->stop;

unlike(slurp_file($_->logfile), qr/TRAP:|PANIC|terminated by signal (?!9)/, $_->name . ': no process crashed')
  for $primary, $second, $third, $original, $clone, $backup, $held, $successor, $restored;
done_testing();
