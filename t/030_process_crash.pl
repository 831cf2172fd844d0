# Processes are killed, stopped and frozen with requests in flight. They come back by themselves; what was in flight is shown as
# unknown, and is not sent again; the rest is sent.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;

# No look-up within this test: rows whose outcome is unknown stay that, and a blind repetition would be seen.
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'");
my $send = { path => '/v2/SendPayment' };
my $round = 0;

$mf->setup_account($node, 'postgres', $sandbox, options => { timeout => '600s' });
$mf->wait_worker($node, 'postgres');

sub server_started
{
	return sql('SELECT pg_postmaster_start_time()');
}

# Requests that hang, some of which have made their invoice, and rows that wait for a free place.
sub busy
{
	my $before = $sandbox->count(%$send);

	$round++;
	$sandbox->faults({ path => 'SendPayment', never => JSON::PP::true, create => JSON::PP::true, times => 3 });
	$sandbox->hang(times => 2);
	$mf->insert_many($node, 'postgres', "busy-$round", 5);
	$sandbox->wait_count($send, $before + 5) or die "they are not sent\n";
	$mf->insert($node, 'postgres', "later-$round", send_at => "now() + interval '1 h'");
	return;
}

# What must be true after each misfortune: a worker is there, the requests in flight are unknown, later ones are sent,
# and there was no request more than that.
sub recovered
{
	my ($what, %params) = @_;
	my $before = $sandbox->count(%$send);
	my $flying = $params{flying} // 5;

	$mf->wait_worker($node, 'postgres', not => $params{not});
	$mf->insert($node, 'postgres', "marker-$round");
	$mf->wait_status($node, 'postgres', "marker-$round");
	$mf->wait_idle($node, 'postgres');
	is(sql("SELECT string_agg(DISTINCT i.status || ' ' || a.outcome || ' ' || i.attempts, ',') FROM mf_invoice i
		JOIN mf_attempt a ON a.invoice = i.id WHERE customer_reference LIKE 'busy-$round-%'"), 'unknown unknown 1',
		"$what: what was in flight is unknown") if $flying;
	is($sandbox->count(%$send), $before + 1, "$what: later rows are sent, nothing is sent again");
	is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], "$what: rows, attempts and ledger agree");
	return;
}

# kill -9 of a process that is attached to shared memory: the server starts all of its processes anew.
sub crash
{
	my ($pid, $what) = @_;
	my $started = server_started();
	my $offset = -s $node->logfile;

	kill 'KILL', $pid or die "could not kill $pid: $!\n";
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	$mf->wait_for($node, 'postgres', 'SELECT true');
	recovered($what);
	return;
}

busy();
crash($mf->worker_pid($node, 'postgres'), 'kill -9 of the worker');
busy();
crash($mf->launcher_pid($node), 'kill -9 of the launcher');
busy();
my $session = $mf->session($node, 'postgres');
crash($session->query_safe('SELECT pg_backend_pid()'), 'kill -9 of a backend');
eval { $session->quit };

# SIGTERM, by hand or by SQL: the server stays, the process comes back.
my $started = server_started();
foreach my $way (
	[ 'SIGTERM of the worker', sub { kill 'TERM', $_[0] } ],
	[ 'pg_terminate_backend() of the worker', sub { sql("SELECT pg_terminate_backend($_[0])") } ])
{
	busy();
	my $pid = $mf->worker_pid($node, 'postgres');

	$way->[1]->($pid);
	recovered($way->[0], not => $pid);
}

my $own = sql('SELECT oid FROM pg_database WHERE datname = current_database()');
my $tried = 0;

# The launcher's end leaves the workers alone, and a new launcher takes over.
foreach my $way (
	[ 'SIGTERM of the launcher', sub { kill 'TERM', $_[0] } ],
	[ 'pg_terminate_backend() of the launcher', sub { sql("SELECT pg_terminate_backend($_[0])") } ])
{
	my ($worker, $launcher) = ($mf->worker_pid($node, 'postgres'), $mf->launcher_pid($node));
	my $offset = -s $node->logfile;

	$way->[1]->($launcher);
	$mf->wait_for($node, 'postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah launcher' AND pid <> $launcher", 1);
	is($mf->worker_pid($node, 'postgres'), $worker, "$way->[0]: the worker goes on");

	# A database made now is tried after those that the launcher found at its start.
	sql("CREATE DATABASE new_one_$_") for ++$round;
	my $oid = sql("SELECT oid FROM pg_database WHERE datname = 'new_one_$round'");
	$node->wait_for_log(qr/starting background worker process "myfatoorah worker for database $oid"/, $offset);
	$mf->wait_no_worker($node, "new_one_$round");

	# It finds the worker running and must not try again and again to start another, first after 1, 2, 4 ... seconds.
	# Only time can show that: in 4 seconds there would be two or more.
	unless ($tried++)
	{
		my $until = time + 4;

		select undef, undef, undef, 0.5 while time < $until;
		my @starts = slurp_file($node->logfile, $offset) =~ /starting background worker process "myfatoorah worker for database $own"/g;
		cmp_ok(scalar @starts, '<=', 1, "$way->[0]: the new launcher does not start workers beside the running one");
	}

	# The new launcher serves: a worker that ends is replaced.
	kill 'TERM', $worker;
	recovered($way->[0], not => $worker, flying => 0);
}

# pg_cancel_backend(), at rest and at work: a cancelled round is done again.
my $pid = $mf->worker_pid($node, 'postgres');
sql("SELECT pg_cancel_backend($pid)");
busy();
$mf->insert_many($node, 'postgres', 'cancelled', 500);
sql("SELECT pg_cancel_backend($pid)") for 1 .. 20;
$mf->wait_for($node, 'postgres',
	"SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'cancelled-%' AND status = 'sent'", 500);
is($mf->worker_pid($node, 'postgres'), $pid, 'pg_cancel_backend() does not end the worker');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'and harms no row');
is(server_started(), $started, 'none of these restarted the server');

# What was in flight goes on too.
is(sql("SELECT string_agg(DISTINCT status, ',') FROM mf_invoice WHERE customer_reference LIKE 'busy-$round-%'"), 'sending',
	'nor the requests in flight');

# Immediate stop: no process gets to write anything. The same for the death of the postmaster.
$node->stop('immediate');
$node->start;
recovered('immediate stop');
busy();
$pid = $mf->worker_pid($node, 'postgres');
$node->kill9;
my $deadline = time + MyFatoorah::Sandbox::time_limit();
select undef, undef, undef, 0.1 while kill(0, $pid) && time < $deadline;
ok(!kill(0, $pid), 'the worker ends when the postmaster has died');
# The other processes may need a moment to notice; until then the shared memory is in use.
while (!$node->start(fail_ok => 1))
{
	die "the server does not start\n" if time > $deadline;
	select undef, undef, undef, 0.2;
}
recovered('kill -9 of the postmaster');

# Frozen while answers come in, and going on: what came is taken, what waited is sent, once.
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 20 });
my $before = $sandbox->count(%$send);
$mf->insert_many($node, 'postgres', 'frozen', 20);
my $answers = $sandbox->count(%$send, phase => 'answered');
$sandbox->wait_count($send, $before + 20) or die "they are not sent\n";
$pid = $mf->worker_pid($node, 'postgres');
kill 'STOP', $pid;
$mf->insert_many($node, 'postgres', 'meanwhile', 20);
$sandbox->clear_faults;
ok($sandbox->wait_count({ %$send, phase => 'answered' }, $answers + 20), 'the answers come while the worker is frozen');
kill 'CONT', $pid;
$mf->wait_for($node, 'postgres',
	"SELECT count(*) FROM mf_invoice WHERE customer_reference ~ '^(frozen|meanwhile)' AND status = 'sent'", 40);
is($sandbox->count(%$send), $before + 40, 'frozen and going on: all is sent, once');
is($mf->worker_pid($node, 'postgres'), $pid, 'by the same worker');

is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'in the end rows, attempts and ledger agree');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|terminated by signal (?!9)/, 'no process crashed but those killed');
$node->stop;
done_testing();
