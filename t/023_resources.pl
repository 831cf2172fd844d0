# No disk space and no memory for the worker: it goes on by itself once there is some, nothing is sent that was not
# recorded, no outcome is lost, no other process is harmed.
#
# MF_CHAOS_ALLOCATIONS   how many allocations of a row's way are made to fail, one by one (30; make chaos: all)
use FindBin;
use lib "$FindBin::RealBin/../chaos";
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $send = { path => '/v2/SendPayment' };
my %quick = (connect_timeout => '500ms', timeout => '2s');
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.reconcile_delay = '20ms'\nautovacuum = off";
my ($sandbox, $node);

sub sql
{
	return $node->safe_psql('postgres', @_);
}

sub check
{
	my ($what) = @_;

	$chaos->wait_settled($node, 'postgres', 90);
	my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
	is_deeply([ $history->violations(settled => 1) ], [], "$what: rows, attempts and ledger agree");
	note "$what: " . $history->summary;
	return $history;
}

#
# No disk space: the worker may write no file beyond a size that its tables have long passed, so that none of them can
# grow. The write-ahead log has smaller files; where that cannot be written, PostgreSQL itself stops.
#
SKIP:
{
	my $limit = 1024 * 1024;

	skip 'there is no prlimit', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
	$sandbox = MyFatoorah::Sandbox->new;
	$node = $mf->new_node('disk', conf => $conf, init => { extra => ['--wal-segsize=1'] });
	$mf->setup_account($node, 'postgres', $sandbox, options => \%quick);
	$mf->insert_many($node, 'postgres', 'filler', 9000);
	$chaos->wait_settled($node, 'postgres', 60);
	foreach my $table (qw(mf_attempt mf_transition mf_invoice))
	{
		cmp_ok(sql("SELECT pg_relation_size('$table')"), '>', $limit, "$table is larger than the limit");
	}

	my $started = sql('SELECT pg_postmaster_start_time()');
	my $pid = $mf->wait_worker($node, 'postgres');
	my $full = sub { system_or_bail('prlimit', '--pid', $pid, '--fsize=' . ($_[0] ? "$limit:" : 'unlimited:')) };
	my $failed = qr/myfatoorah worker ERROR:  could not extend file/;

	# when the attempts are to be recorded
	my $before = $sandbox->count(%$send);
	my $offset = $chaos->log_size($node);
	$full->(1);
	$mf->insert_many($node, 'postgres', 'before', 400);
	$chaos->wait_log($node, $failed, $offset);
	my ($transactions) = sql('SELECT transactions FROM mf_worker_status');
	$mf->wait_for($node, 'postgres', "SELECT transactions > $transactions + 4 FROM mf_worker_status");
	my $attempts = sql(q{SELECT count(*) FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE i.customer_reference LIKE 'before-%'});
	cmp_ok($sandbox->count(%$send) - $before, '<=', $attempts, "disk full before sending: nothing is sent that is not recorded ($attempts were)");
	like(sql('SELECT last_error FROM mf_worker_status'), qr/could not extend file/, 'disk full: mf_worker_status says so');
	$full->(0);
	is(sql(q{SELECT count(*) FROM mf_queue WHERE kind = 'send' AND due > now() + interval '10 s'}), 0,
		'disk full before sending: no row is put off as if it were to blame');
	check('disk full before sending');
	is($sandbox->count(%$send) - $before, 400, 'disk full before sending: then all is sent, once');
	my @lines = slurp_file($node->logfile, $offset) =~ /$failed/g;
	cmp_ok(scalar @lines, '<=', 5, 'disk full: the log is not flooded (' . @lines . ' lines)');

	# when the outcomes are to be recorded
	$sandbox->faults({ path => 'SendPayment', delay_ms => 500, times => -1 });
	$before = $sandbox->count(%$send);
	my $answered = $sandbox->count(%$send, phase => 'answered');
	$offset = $chaos->log_size($node);

	# new versions of the rows shall need new pages
	$mf->insert_many($node, 'postgres', 'after', 50);
	$sandbox->wait_count($send, $before + 50) or die "nothing is sent\n";
	sql(q{ALTER TABLE mf_transition SET (fillfactor = 10); ALTER TABLE mf_attempt SET (fillfactor = 10); ALTER TABLE mf_invoice SET (fillfactor = 10)});
	$full->(1);
	$sandbox->wait_count({ %$send, phase => 'answered' }, $answered + 50) or die "no answers\n";
	my $hit = eval { local $ENV{PG_TEST_TIMEOUT_DEFAULT} = 10; $chaos->wait_log($node, $failed, $offset) };
	ok($hit, 'disk full after sending: the outcomes cannot be recorded');
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'after-%' AND status NOT IN ('sending', 'sent')}), '0',
		'disk full after sending: no row shows anything untrue');
	$sandbox->clear_faults;
	$full->(0);
	check('disk full after sending');
	is($sandbox->count(%$send) - $before, 50, 'disk full after sending: nothing is sent again');
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'after-%' AND status = 'sent' AND attempts = 1 AND invoice_url IS NOT NULL}), '50',
		'disk full after sending: the answers were kept');
	is($mf->worker_pid($node, 'postgres'), $pid, 'disk full: the same worker all the time');
	is(sql('SELECT pg_postmaster_start_time()'), $started, 'disk full: the server was not restarted');
	is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal).*$/mg ], [], 'disk full: no process crashed');
	$node->stop;
}

#
# No memory: allocations of the worker fail, PostgreSQL's and libcurl's, one after the other on the way of a row.
#
SKIP:
{
	my $library = "$PostgreSQL::Test::Utils::tmp_check/no_memory.so";
	my $file = "$PostgreSQL::Test::Utils::tmp_check/no_memory";
	my $cc = $ENV{CC} // 'cc';
	my ($sum, $restarts, $n, $innocent) = (0, 0, 0, 0);

	skip 'no_memory.c cannot be compiled', 1
	  if system("$cc -O1 -fno-builtin -shared -fPIC -o $library $FindBin::RealBin/../chaos/no_memory.c") != 0;
	my $tell = sub {
		open my $control, '+<', $file or die "$file: $!\n";
		syswrite $control, pack('q4', @_);
		close $control;
	};
	my $failed = sub { return (unpack 'q4', slurp_file($file))[3] };

	append_to_file($file, pack('q4', 0, 0, 0, 0));
	$sandbox = MyFatoorah::Sandbox->new;
	$node = $mf->new_node('memory', conf => "$conf\nlog_statement = none", start => 0);
	{
		local @ENV{qw(LD_PRELOAD MF_NO_MEMORY)} = ($library, $file);
		$node->start;
	}
	$mf->setup_account($node, 'postgres', $sandbox, options => \%quick);
	my $started = sql('SELECT pg_postmaster_start_time()');
	my $pid = $mf->wait_worker($node, 'postgres');

	$mf->insert($node, 'postgres', 'first');
	$mf->wait_status($node, 'postgres', 'first');

	# how many there are on the way of a row that is sent in peace
	$mf->wait_idle($node, 'postgres');
	$tell->($pid, 1_000_000, 1, 0);
	$mf->insert($node, 'postgres', 'counted');
	$mf->wait_status($node, 'postgres', 'counted');
	$mf->wait_idle($node, 'postgres');
	my $all = 1_000_000 - (unpack 'q4', slurp_file($file))[1];
	my $wanted = $ENV{MF_CHAOS_ALLOCATIONS} || ($ENV{MF_CHAOS_INVOICES} ? $all : 30);
	my $step = $all / ($wanted < $all ? $wanted : $all);

	cmp_ok($all, '>', 10, "no memory: $all allocations on the way of a row");
	for (my $at = 0; $at < $all; $at += $step)
	{
		my $name = 'failing-' . int($at);

		$n++;
		$tell->($pid, int($at), 1 + $n % 3, 0);
		$mf->insert($node, 'postgres', $name);

		# through, or on its way to be looked up; or put off as if it were to blame
		$mf->wait_for($node, 'postgres', "SELECT status NOT IN ('queued', 'sending') OR (SELECT kind = 'send' AND due > now() + interval '10 s'
			FROM mf_queue q WHERE q.invoice = i.id) FROM mf_invoice i WHERE customer_reference = '$name'");
		$innocent += sql("SELECT count(*) FROM mf_invoice WHERE customer_reference = '$name' AND status IN ('queued', 'sending')");
		$sum += $failed->();
		$tell->(0, 0, 0, 0);
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
