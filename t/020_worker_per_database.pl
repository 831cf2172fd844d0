# Which databases have a worker, and when it starts and ends. Commands that need a database without sessions do not wait for it.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $other = MyFatoorah::Sandbox->new(key => 'other-key', country => 'SAU');
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };
my $offset;

sub sql
{
	return $node->safe_psql(@_);
}

# Log lines that appeared since $offset was taken.
sub log_now
{
	return slurp_file($node->logfile, $offset);
}

# So many requests of that database hang at the sandbox from now on; returns their references.
sub hang
{
	my ($dbname, $n) = @_;
	my $before = $sandbox->count(%$send);

	$sandbox->hang;
	$mf->insert_many($node, $dbname, "hanging in $dbname", $n);
	$sandbox->wait_count($send, $before + $n) or die "they are not sent\n";
	$sandbox->clear_faults;
	return split /\n/, sql($dbname, "SELECT reference FROM mf_invoice WHERE status = 'sending'");
}

# A new database with the extension, an account and a running worker
sub new_database
{
	my ($dbname) = @_;

	sql('postgres', "CREATE DATABASE $dbname");
	$mf->setup_account($node, $dbname, $sandbox);
	$mf->wait_worker($node, $dbname);
	return;
}

#
# Two databases, two accounts of the same name, two keys, one worker each
#
sql('postgres', 'CREATE DATABASE second');
$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'second', $other, key_file => 'other.key', options => { country => 'SAU' });
$mf->insert_many($node, 'postgres', 'first', 100);
$mf->insert_many($node, 'second', 'second', 100);
$mf->wait_settled($node, $_) for 'postgres', 'second';
is(sql($_, "SELECT status, count(*) FROM mf_invoice GROUP BY 1"), 'sent|100', "all is sent from $_")
  for 'postgres', 'second';
is_deeply([ sort { $a cmp $b } map { s/-.*//r } $sandbox->names ], [ ('first') x 100 ], 'the first account got its own');
is_deeply([ sort { $a cmp $b } map { s/-.*//r } $other->names ], [ ('second') x 100 ], 'the second account too');
isnt($mf->worker_pid($node, 'postgres'), $mf->worker_pid($node, 'second'), 'each has a worker of its own');
is(sql('postgres', 'SELECT count(*) FROM mf_worker_status'), '1', 'mf_worker_status shows the own one');
is(sql('postgres', 'SELECT string_agg(database, $$,$$ ORDER BY database) FROM mf_worker_stat()'), 'postgres,second',
	'mf_worker_stat() shows both');

#
# CREATE EXTENSION and DROP EXTENSION, without a restart of the server
#
my $started = sql('postgres', 'SELECT pg_postmaster_start_time()');
sql('postgres', 'CREATE DATABASE third');
$mf->wait_no_worker($node, 'third');
sql('third', 'BEGIN; CREATE EXTENSION myfatoorah; ROLLBACK');
sql('third', 'CREATE SCHEMA "Other place"; CREATE EXTENSION myfatoorah SCHEMA "Other place"');
sql('postgres', 'ALTER DATABASE third SET search_path = public, "Other place"');
$mf->setup_account($node, 'third', $sandbox);
$mf->insert($node, 'third', 'elsewhere');
$mf->wait_status($node, 'third', 'elsewhere');
pass('CREATE EXTENSION in another schema starts a worker that sends');

my $pid = $mf->worker_pid($node, 'third');
sql('third', 'BEGIN; DROP EXTENSION myfatoorah CASCADE; ROLLBACK');
$mf->insert($node, 'third', 'not dropped');
$mf->wait_status($node, 'third', 'not dropped');
is($mf->worker_pid($node, 'third'), $pid, 'a DROP EXTENSION that is rolled back leaves the worker alone');

# A worker that starts meanwhile waits for it before it touches the tables: else each could wait for the other.
my $dropping = $mf->session($node, 'third');
$dropping->query_safe('SET client_min_messages = warning; BEGIN; DROP EXTENSION myfatoorah CASCADE');
sql('third', "SELECT pg_terminate_backend($pid)");
my $waits = "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = 'third' AND a.backend_type = 'myfatoorah worker' AND pid <> $pid";
$mf->wait_for($node, 'postgres', "SELECT count(*) $waits AND NOT granted AND locktype = 'object' AND classid = 'pg_extension'::regclass", 1);
is(sql('postgres', "SELECT count(*) $waits AND relation >= 16384"), 0, 'a worker that starts during DROP EXTENSION waits for it, and locks nothing before');
$dropping->query_safe('ROLLBACK');
$dropping->quit;
$mf->insert($node, 'third', 'not dropped again');
$mf->wait_status($node, 'third', 'not dropped again');
$pid = $mf->worker_pid($node, 'third');

my @references = hang('third', 5);
is(scalar @references, 5, 'five requests hang');
$offset = -s $node->logfile;
my $seconds = $mf->seconds(sub { sql('third', 'DROP EXTENSION myfatoorah CASCADE') });
cmp_ok($seconds, '<', 20, 'DROP EXTENSION does not wait for requests that hang');
diag(sprintf 'DROP EXTENSION with requests hanging: %.0f ms', 1000 * $seconds);
$mf->wait_no_worker($node, 'third');
pass('DROP EXTENSION ends the worker');
my $log = log_now();
is_deeply([ grep { index($log, qq{CustomerReference is "$_"}) < 0 } @references ], [],
	'the log names the references of the requests that hung');

# Again, in the schema that is the default now; and gone with its schema
sql('postgres', 'ALTER DATABASE third RESET search_path');
$mf->setup_account($node, 'third', $sandbox);
$mf->insert($node, 'third', 'once more');
$mf->wait_status($node, 'third', 'once more');
pass('CREATE EXTENSION once more starts a worker that sends');
sql('third', 'DROP EXTENSION myfatoorah CASCADE; CREATE SCHEMA goes; CREATE EXTENSION myfatoorah SCHEMA goes');
$mf->wait_for($node, 'third', 'SELECT count(*) FROM goes.mf_worker_status WHERE transactions > 0', 1);
sql('third', 'DROP SCHEMA goes CASCADE');
$mf->wait_no_worker($node, 'third');
pass('DROP SCHEMA CASCADE ends it too');

# Closed for a while, as for maintenance: the worker comes back when the database takes connections again.
sub closed_and_opened
{
	my ($close, $open) = @_;

	sql('postgres', "ALTER DATABASE second $close; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'second'");
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_worker_stat() WHERE database = 'second' AND pid <> 0", 0);
	# the launcher has looked at it and has seen that it cannot be served
	sql('postgres', 'SELECT pg_sleep(1.5)');
	is(sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'second'"), 0, "$close: no worker connects");
	sql('postgres', "ALTER DATABASE second $open");
	$mf->insert($node, 'second', $open);
	$mf->wait_status($node, 'second', $open);
	pass("$open: it comes back");
	return;
}
closed_and_opened('ALLOW_CONNECTIONS false', 'ALLOW_CONNECTIONS true');
closed_and_opened('IS_TEMPLATE true', 'IS_TEMPLATE false');

# Dropped and made again in one transaction, while a request of the old one is under way: its answer must not be taken
# for one to the new row, which has the same id and attempt, and its reference is in the log too.
$mf->setup_account($node, 'third', $sandbox);
my $before = $sandbox->count(%$send);
my $answered = { %$send, phase => 'answered' };
my $answers = $sandbox->count(%$answered);
$offset = -s $node->logfile;
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 1 });
$mf->insert($node, 'third', 'of the old one');
$sandbox->wait_count($send, $before + 1) or die "it is not sent\n";
$sandbox->hang;
sql('third', "BEGIN; DROP EXTENSION myfatoorah CASCADE; CREATE EXTENSION myfatoorah;
	CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url '" . $sandbox->url . "');
	CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (api_key_file 'myfatoorah.key');
	INSERT INTO mf_invoice " . $mf->invoice('of the new one') . '; COMMIT');
is(sql('third', 'SELECT id FROM mf_invoice'), 1, 'DROP and CREATE EXTENSION in one transaction: ids begin again');
ok($sandbox->wait_count($send, $before + 2), 'the new row is sent');
$sandbox->clear_faults;

# The old request, if it was not ended, is answered now; a marker shows that what came in has been looked at.
$mf->insert($node, 'third', 'marker');
$mf->wait_status($node, 'third', 'marker');
$sandbox->wait_count($answered, $answers + 2, 2);
$mf->insert($node, 'third', 'second marker');
$mf->wait_status($node, 'third', 'second marker');
is($mf->status($node, 'third', 'of the new one'), 'sending', 'the old answer is not taken for one to the new row');
ok(log_now() =~ /of the old one\.\w{20}/, 'the log names the reference of the request that was under way');

is(sql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'all of it without a restart of the server');

#
# Commands that need the database for themselves
#
foreach my $force ('', ' WITH (FORCE)')
{
	new_database('goes');
	hang('goes', 20);
	$seconds = $mf->seconds(sub { sql('postgres', "DROP DATABASE goes$force") });
	cmp_ok($seconds, '<', 20, "DROP DATABASE$force while requests hang");
	diag(sprintf 'DROP DATABASE%s with requests hanging: %.0f ms', $force, 1000 * $seconds);
}

new_database('moves');
$pid = $mf->worker_pid($node, 'moves');
hang('moves', 5);
$seconds = $mf->seconds(sub { sql('postgres', 'ALTER DATABASE moves RENAME TO moved') });
cmp_ok($seconds, '<', 20, 'ALTER DATABASE RENAME while requests hang');
diag(sprintf 'ALTER DATABASE RENAME with requests hanging: %.0f ms', 1000 * $seconds);
isnt($mf->wait_worker($node, 'moved'), $pid, 'a new worker serves the renamed database');
is(sql('moved', 'SELECT status, count(*) FROM mf_invoice GROUP BY 1'), 'unknown|5', 'what hung is shown as unknown');
$mf->insert($node, 'moved', 'after rename');
$mf->wait_status($node, 'moved', 'after rename');
pass('it sends');

my $place = PostgreSQL::Test::Utils::tempdir('place');
sql('postgres', "CREATE TABLESPACE place LOCATION '$place'");
sql('postgres', 'ALTER DATABASE moved SET TABLESPACE place');
$mf->insert($node, 'moved', 'after tablespace');
$mf->wait_status($node, 'moved', 'after tablespace');
pass('ALTER DATABASE SET TABLESPACE works, and the worker comes back');

# A copy. What waits in the original must be sent by one of the two, not by both.
sql('moved', 'INSERT INTO mf_invoice ' . $mf->invoice('in both', send_at => "clock_timestamp() + interval '4 s'"));
sql('postgres', 'CREATE DATABASE copy TEMPLATE moved');
$mf->insert($node, 'moved', 'after template');
$mf->wait_status($node, 'moved', 'after template');
pass('CREATE DATABASE TEMPLATE works while a worker runs, which comes back');
$mf->wait_status($node, 'moved', 'in both');
is(sql('copy', "SELECT count(*) FROM mf_invoice WHERE customer_reference = 'in both'"), 1, 'the copy has the row too');
# Whatever a worker of the copy does with it, it has done when it has begun to serve and come to rest, or is not there.
$mf->wait_for($node, 'copy', "SELECT count(*) FROM mf_queue WHERE kind = 'sending'", 0);
$mf->wait_for($node, 'copy', "SELECT clock_timestamp() > send_at + interval '1 s' FROM mf_invoice WHERE customer_reference = 'in both'");
is(scalar(grep { $_ eq 'in both' } $sandbox->names), 1, 'a row that is in both is sent once');

# A failed attempt: somebody is connected. The worker is back afterwards.
my $session = $mf->session($node, 'moved');
$pid = $mf->wait_worker($node, 'moved');
my ($rc, $out, $err) = $node->psql('postgres', 'DROP DATABASE moved');
like($err, qr/is being accessed by other users/, 'DROP DATABASE fails while others are connected');
like($err, qr/There is 1 other session/, 'and the worker is not among them');
$session->quit;
$mf->insert($node, 'moved', 'after failed drop');
$mf->wait_status($node, 'moved', 'after failed drop');
pass('the worker comes back after it');

# An unprivileged user's attempt does not even disturb it
sql('postgres', 'CREATE ROLE nobody_special LOGIN');
$pid = $mf->wait_worker($node, 'moved');
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 1 });
$before = $sandbox->count(%$send);
$mf->insert($node, 'moved', 'undisturbed');
$sandbox->wait_count($send, $before + 1);
foreach my $command ('DROP DATABASE moved', 'DROP DATABASE moved WITH (FORCE)', 'ALTER DATABASE moved RENAME TO mine',
	'ALTER DATABASE moved SET TABLESPACE pg_default', 'CREATE DATABASE mine TEMPLATE moved',
	'ALTER DATABASE moved SET myfatoorah.worker_enabled = off')
{
	($rc, $out, $err) = $node->psql('postgres', $command, extra_params => [ '-U', 'nobody_special' ]);
	like($err, qr/must be owner|permission denied/, "an unprivileged user: $command");
}
$sandbox->clear_faults;
$mf->wait_status($node, 'moved', 'undisturbed');
is($mf->worker_pid($node, 'moved'), $pid, 'the worker was not disturbed');
is(sql('moved', "SELECT attempts FROM mf_invoice WHERE customer_reference = 'undisturbed'"), 1,
	'nor the request under way');

# Several at once: the launcher has more than one to start
new_database("many$_") for 1 .. 4;
$node->restart;
$mf->wait_worker($node, "many$_") for 1 .. 4;
sql('postgres', "DROP DATABASE many$_") for 1 .. 4;
pass('several databases at once');

#
# Databases that have no worker: without the extension, templates, those that take no connections
#
sql('postgres', 'CREATE DATABASE plain');
sql('postgres', 'CREATE DATABASE closed');
sql('closed', 'CREATE EXTENSION myfatoorah');
# one that was still connecting would not be let in
$mf->wait_worker($node, 'closed');
sql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
sql('postgres', 'CREATE DATABASE pattern');
sql('pattern', 'CREATE EXTENSION myfatoorah');
sql('postgres', 'ALTER DATABASE pattern IS_TEMPLATE true');
my %oid = map { split /\|/ } split /\n/, sql('postgres', 'SELECT datname, oid FROM pg_database');
$offset = -s $node->logfile;
$node->restart;

# Those with the extension have their start, and nobody else.
my @served = ('copy', 'moved', 'postgres', 'second', 'third');
my $tried = sub { log_now() =~ /starting background worker process "myfatoorah worker for database $oid{$_[0]}"/ };
$node->wait_for_log(qr/starting background worker process "myfatoorah worker for database $oid{$_}"/, $offset)
  for @served;
$mf->wait_for($node, 'postgres',
	"SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker'",
	join ',', @served);
pass('after a restart exactly the databases with the extension have a worker');
ok(!$tried->($_), "$_ was left alone") for 'template0', 'template1', 'closed', 'pattern', 'plain';
is(sql('postgres', "SELECT count(*) FROM mf_worker_stat() WHERE database IN ('plain', 'pattern', 'closed')"), 0,
	'nor do they appear among the workers');

my $all = slurp_file($node->logfile);
unlike($all, qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
is_deeply([ grep { !/administrator command/ } $all =~ /(myfatoorah (?:worker|launcher) (?:FATAL|PANIC|ERROR).*)/g ], [],
	'nor did a worker fail');
$node->stop;
done_testing();
