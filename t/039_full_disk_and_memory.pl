# No disk space and no memory for the worker: it goes on by itself once there is some, nothing is sent that was not
# recorded, no outcome is lost, no other process is harmed.
#
# MF_CHAOS_ALLOCATIONS   how many allocations of a row's way are made to fail, one by one (30; make chaos: all)
use FindBin;
use MyFatoorah::Test qw(sql ask);
use MyFatoorah::Chaos;
use MyFatoorah::History;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $send = { path => '/v2/SendPayment' };
my %quick = (connect_timeout => '500ms', timeout => '2s');
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nautovacuum = off";
my ($sandbox, $node);

sub check
{
	my ($what) = @_;

	$chaos->wait_settled($node, 'postgres', 90);
	my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
	is_deeply([ $history->violations(settled => 1) ], [], "$what: rows, attempts and ledger agree");
	note "$what: " . $history->summary;
	return $history;
}

# A server in one of whose processes memory and disk space can be made to run out: see test/chaos/no_resources.c
my $library = "$PostgreSQL::Test::Utils::tmp_check/no_resources.so";
my $file = "$PostgreSQL::Test::Utils::tmp_check/no_resources";
my $cc = $ENV{CC} // 'cc';

plan skip_all => 'test/chaos/no_resources.c cannot be compiled'
  if system("$cc -O1 -fno-builtin -shared -fPIC -o $library $FindBin::RealBin/../test/chaos/no_resources.c -ldl") != 0;

# starve(pid, let_pass, to_fail, full) starts, told() reads the counters
sub starve
{
	my ($pid, $let_pass, $to_fail, $full) = @_;

	open my $control, '+<', $file or die "$file: $!\n";
	syswrite $control, pack('q5', $pid, $let_pass // 0, $to_fail // 0, 0, $full // 0);
	close $control;
	return;
}

sub told
{
	my %told;

	@told{qw(pid let_pass to_fail failed full)} = unpack 'q5', slurp_file($file);
	return \%told;
}

sub new_server
{
	my ($name) = @_;

	unlink $file;
	append_to_file($file, pack('q5', (0) x 5));
	$sandbox = MyFatoorah::Sandbox->new;
	$node = ask $mf->new_node($name, conf => "$conf\nlog_statement = none", start => 0);
	local @ENV{qw(LD_PRELOAD MF_NO_RESOURCES)} = (join(':', $library, $ENV{LD_PRELOAD} // ()), $file);
	$node->start;
	$mf->setup_account($node, 'postgres', $sandbox, options => \%quick);
	return $mf->wait_worker($node, 'postgres');
}

#
# No disk space: no file of a table can grow.
#
{
	my $pid = new_server('disk');
	my $started = sql('SELECT pg_postmaster_start_time()');
	my $failed = qr/myfatoorah worker ERROR:  myfatoorah: transaction_failed: could not extend file.*No space left on device/;

	# when the attempts are to be recorded
	my $before = $sandbox->count(%$send);
	my $offset = $chaos->log_size($node);
	starve($pid, 0, 0, 1);
	$mf->insert_many($node, 'postgres', 'before', 800);
	$chaos->wait_log($node, $failed, $offset);
	my ($transactions) = sql('SELECT transactions FROM mf_worker_status');
	$mf->wait_for($node, 'postgres', "SELECT transactions > $transactions + 4 FROM mf_worker_status");
	my $attempts = sql('SELECT count(*) FROM mf_attempt');
	my $sent = $sandbox->count(%$send) - $before;
	cmp_ok($sent, '<=', $attempts, "disk full before sending: nothing is sent that is not recorded ($attempts were)");
	cmp_ok($sent, '<', 800, "disk full before sending: not all is sent ($sent were)");
	like(sql('SELECT last_error FROM mf_worker_status'), qr/could not extend file/, 'disk full: mf_worker_status says so');
	starve(0);
	is(sql(q{SELECT count(*) FROM mf_queue WHERE kind = 'send' AND due > now() + interval '10 s'}), 0,
		'disk full before sending: no row is put off as if it were to blame');
	check('disk full before sending');
	is($sandbox->count(%$send) - $before, 800, 'disk full before sending: then all is sent, once');
	my @lines = slurp_file($node->logfile, $offset) =~ /$failed/g;
	cmp_ok(scalar @lines, '<=', 5, 'disk full: the log is not flooded (' . @lines . ' lines)');

	# when the outcomes are to be recorded
	$sandbox->faults({ path => 'SendPayment', delay_ms => 1000, times => -1 });
	$before = $sandbox->count(%$send);
	my $answered = $sandbox->count(%$send, phase => 'answered');
	$offset = $chaos->log_size($node);

	# so many that the rows of their history need new pages
	sql(q{ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '400')});
	$mf->insert_many($node, 'postgres', 'after', 400);
	$sandbox->wait_count($send, $before + 400) or die "nothing is sent\n";
	starve($pid, 0, 0, 1);
	my $since = sql('SELECT clock_timestamp()');
	$sandbox->wait_count({ %$send, phase => 'answered' }, $answered + 400) or die "no answers\n";
	$mf->wait_for($node, 'postgres', "SELECT last_error_at > '$since' AND last_error ~ 'could not extend file' FROM mf_worker_status");
	like(slurp_file($node->logfile, $offset), $failed, 'disk full after sending: the second outage is logged too');
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'after-%' AND status NOT IN ('sending', 'sent')}), '0',
		'disk full after sending: no row shows anything untrue');
	$sandbox->clear_faults;
	starve(0);
	check('disk full after sending');
	is($sandbox->count(%$send) - $before, 400, 'disk full after sending: nothing is sent again');
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'after-%' AND status = 'sent' AND attempts = 1 AND invoice_url IS NOT NULL}), '400',
		'disk full after sending: the answers were kept');
	is($mf->worker_pid($node, 'postgres'), $pid, 'disk full: the same worker all the time');
	is(sql('SELECT pg_postmaster_start_time()'), $started, 'disk full: the server was not restarted');
	is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal).*$/mg ], [], 'disk full: no process crashed');
	$node->stop;
}

#
# No memory: allocations of the worker fail, PostgreSQL's and libcurl's, one after the other on the way of a row.
#
{
	my ($sum, $restarts, $n, $innocent) = (0, 0, 0, 0);
	my $pid = new_server('memory');
	my $started = sql('SELECT pg_postmaster_start_time()');

	$mf->insert($node, 'postgres', 'first');
	$mf->wait_status($node, 'postgres', 'first');

	# how many there are on the way of a row that is sent in peace
	$mf->wait_idle($node, 'postgres');
	starve($pid, 1_000_000, 1);
	$mf->insert($node, 'postgres', 'counted');
	$mf->wait_status($node, 'postgres', 'counted');
	$mf->wait_idle($node, 'postgres');
	my $all = 1_000_000 - told()->{let_pass};
	my $wanted = $ENV{MF_CHAOS_ALLOCATIONS} || ($ENV{MF_CHAOS_INVOICES} ? $all : 30);
	my $step = $all / ($wanted < $all ? $wanted : $all);

	cmp_ok($all, '>', 10, "no memory: $all allocations on the way of a row");
	for (my $at = 0; $at < $all; $at += $step)
	{
		my $name = 'failing-' . int($at);

		$n++;
		starve($pid, int($at), 1 + $n % 3);
		$mf->insert($node, 'postgres', $name);

		# through, or on its way to be looked up; or put off as if it were to blame
		$mf->wait_for($node, 'postgres', "SELECT status NOT IN ('queued', 'sending') OR (SELECT kind = 'send' AND due > now() + interval '10 s'
			FROM mf_queue q WHERE q.invoice = i.id) FROM mf_invoice i WHERE customer_reference = '$name'");
		$innocent += sql("SELECT count(*) FROM mf_invoice WHERE customer_reference = '$name' AND status IN ('queued', 'sending')");
		$sum += told()->{failed};
		starve(0);
		my $now = $mf->wait_worker($node, 'postgres');
		$restarts++ if $now != $pid;
		$pid = $now;
	}
	cmp_ok($sum, '>=', $n / 2, "no memory: $sum allocations failed in $n tries");
	is($innocent, 0, 'no memory: no row is put off as if it were to blame');
	my $history = check('no memory');
	is($history->figures->{"status_sent"}, $history->figures->{rows}, 'no memory: all is sent');
	is(sql('SELECT pg_postmaster_start_time()'), $started, 'no memory: the server was not restarted');
	is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal|all server processes terminated).*$/mg ], [],
		'no memory: no process crashed');
	diag "no memory: $sum of the worker's allocations failed in $n tries, of $all on a row's way; the worker ended and came back $restarts times; "
	  . ($history->figures->{outcome_unknown} // 0) . ' outcomes were unknown and looked up';
	$node->stop;
}
done_testing();
