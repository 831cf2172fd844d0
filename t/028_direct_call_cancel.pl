# A direct call that waits for the network can be ended within a second, whatever it waits for: the name lookup, the
# connection, the TLS handshake, the answer. And what many calls in one session cost.
use MyFatoorah::Test;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };
my $call = "SELECT (mf_send_payment('direct', 1.5)).invoice_id";

# One account for each way to hang
my $silent = MyFatoorah::Listener->silent;
my $full = MyFatoorah::Listener->full;
my %remote = (
	'the connection' => [ connecting => $full && $full->url ],
	'the TLS handshake' => [ handshake => $silent->url('https') ],
	'an answer, from one that reads nothing' => [ reading => $silent->url ],
	'an answer' => [ myfatoorah => $sandbox->url ]);

$mf->setup_account($node, 'postgres', $sandbox, account => $_->[0], options => { base_url => $_->[1] })
  for grep { $_->[1] } values %remote;

sub sent_to { return $call =~ s/1\.5\)/1.5, account => '$_[0]')/r; }

# What the errors have to say
my $reference = qr/with CustomerReference "\w{20}"; if its request had left, only MyFatoorah knows/;
my $plan = qr/recurring payment "RECUR1"; if the request had left, only MyFatoorah knows/;

# Waits until that session hangs in a call.
sub wait_hanging
{
	my ($server, $pid) = @_;

	$mf->wait_for($server, 'postgres',
		"SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid");
	return;
}

# Ends calls that hang in three ways, and judges the shortest times. The error has to say what is known of the request.
sub can_be_ended
{
	my ($server, $sql, $what, $known) = @_;
	my %best;

	# statement_timeout
	my $error;
	my $seconds = $mf->best_of(1.3, sub {
		(undef, undef, $error) = $server->psql('postgres', "SET statement_timeout = '300ms'; $sql",
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	});
	like($error, qr/57014: canceling statement due to statement timeout/, "$what: statement_timeout");
	like($error, $known, "$what: the error says what is known");
	cmp_ok($seconds, '<', 1.3, "$what: within a second of it");
	$best{'statement_timeout (300 ms)'} = $seconds;

	# Cancel, as Ctrl-C and pg_cancel_backend() do it; the session lives on.
	my $session = $mf->session($server, 'postgres');
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	foreach my $try (1 .. 10)
	{
		$session->query_until(qr/calling/, "\\echo calling\n$sql;\n\\echo over :SQLSTATE\n");
		wait_hanging($server, $pid);
		my $start = time;
		$server->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
		my $out = $session->query_until(qr/over \w+/, '');
		$seconds = time - $start;
		$best{pg_cancel_backend} = $seconds if !$best{pg_cancel_backend} || $seconds < $best{pg_cancel_backend};
		if ($try == 1)
		{
			like($out, qr/over 57014/, "$what: pg_cancel_backend()");
			is($session->query('SELECT 40 + 2'), '42', "$what: the session lives on");
		}
		last if $seconds < 1;
	}
	cmp_ok($best{pg_cancel_backend}, '<', 1, "$what: pg_cancel_backend() takes effect within a second");

	# Termination
	foreach my $try (1 .. 10)
	{
		$session = $mf->session($server, 'postgres') if $try > 1;
		$pid = $session->query('SELECT pg_backend_pid()');
		$session->query_until(qr/calling/, "\\echo calling\n$sql;\n");
		wait_hanging($server, $pid);
		my $start = time;
		$server->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
		$seconds = time - $start;
		$best{pg_terminate_backend} = $seconds
		  if !$best{pg_terminate_backend} || $seconds < $best{pg_terminate_backend};
		eval { $session->quit };
		last if $seconds < 1;
	}
	cmp_ok($best{pg_terminate_backend}, '<', 1, "$what: pg_terminate_backend() takes effect within a second");

	diag("waiting for $what, ended by " . join ', ', map { sprintf '%s: %.0f ms', $_, 1000 * $best{$_} } sort keys %best);
	return;
}

$sandbox->hang;
foreach my $what (sort keys %remote)
{
	my ($account, $url) = @{ $remote{$what} };

  SKIP:
	{
		skip 'this kernel lets everybody connect', 7 unless $url;
		can_be_ended($node, sent_to($account), $what, $reference);
	}
}
$sandbox->clear_faults;

# The other calls wait in the same way; mf_check() reports errors as rows, but not this one. Those that change nothing have nothing to say.
foreach my $case ([ GetPaymentStatus => "SELECT * FROM mf_payment_status('1')" ], [ GetPaymentStatus => "SELECT * FROM mf_payment_transactions('1')" ],
	[ GetPaymentStatus => 'SELECT * FROM mf_check()' ], [ ExecutePayment => "SELECT * FROM mf_execute_payment('direct', 1.5, 2)", $reference ],
	[ ExecutePayment => "SELECT * FROM mf_execute_payment('direct', 1.5, 2, record => true)", qr/with CustomerReference "\w+"; if its request had left/ ],
	[ InitiatePayment => 'SELECT * FROM mf_payment_methods(1)' ],
	[ GetCurrenciesExchangeList => 'SELECT * FROM mf_exchange_rates()' ], [ GetSuppliers => 'SELECT * FROM mf_suppliers()' ],
	[ GetRecurringPayment => 'SELECT * FROM mf_recurring()' ], [ CancelRecurringPayment => q{SELECT mf_cancel_recurring('RECUR1')}, $plan ],
	[ ResumeRecurringPayment => q{SELECT mf_resume_recurring('RECUR1')}, $plan ],
	[ '/v3/payments' => 'SELECT * FROM mf_probe_idempotency(value => 1)' ])
{
	my ($path, $sql, $known) = @$case;

	$sandbox->faults({ path => $path, never => JSON::PP::true, times => -1 });
	can_be_ended($node, $sql, $sql, $known // qr/canceling statement due to statement timeout\n(?!.*if (?:its|the) request had left)/s);
	$sandbox->clear_faults;
}

# In a transaction and a block with an exception handler the cancel is not swallowed (PL/pgSQL does not catch it).
$sandbox->hang(times => 1);
my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms';
	DO \$\$BEGIN PERFORM mf_send_payment('direct', 1); EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught'; END\$\$");
like($err, qr/canceling statement due to statement timeout/, 'an exception handler does not keep a call from being cancelled');

# The API's silence ends by the account's own time-outs, with the error that is true: before the body left, nothing was
# sent; after it, nobody knows.
foreach my $case ([ 'the TLS handshake', '08001' ], [ 'the connection', '08001' ], [ 'an answer, from one that reads nothing', '08007' ])
{
	my ($account, $url) = @{ $remote{ $case->[0] } };

  SKIP:
	{
		skip 'this kernel lets everybody connect', 1 unless $url;
		$node->safe_psql('postgres', "ALTER SERVER $account OPTIONS (ADD timeout '500ms', ADD connect_timeout '500ms')");
		(undef, undef, $err) = $node->psql('postgres', $call =~ s/1\.5\)/1.5, account => '$account')/r,
			extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($err, qr/ERROR:  $case->[1]:/, "waiting for $case->[0]: error $case->[1] after the time-out");
	}
}

# Many calls in one session: one connection, which a cancel does not leave in disorder.
my $session = $mf->session($node, 'postgres');
my $known = $sandbox->count(%$send);
$session->query_safe($call) for 1 .. 10;
$sandbox->hang(times => 1);
$session->query("SET statement_timeout = '300ms'; $call; RESET statement_timeout");
$session->query('RESET statement_timeout');
my @ids = split /\n/, $session->query("$call FROM generate_series(1, 10)");
is(scalar @ids, 10, 'calls succeed after one that was cancelled');
my @posts = $sandbox->posts;
@posts = @posts[ $known .. $#posts ];
my %calls;
$calls{ $_->{connection} }++ foreach @posts;
is_deeply([ map { $calls{$_} } sort { $a <=> $b } keys %calls ], [ 11, 10 ],
	'one connection for all calls of a session, and a new one after a cancel');
$node->safe_psql('postgres', $call);
ok(!exists $calls{ ($sandbox->posts)[-1]{connection} }, 'another session has its own');

# Memory: 2,000 calls leave no trace. Half of them are statements of their own, half rows of one.
$sandbox->control('POST', 'reset');
my $pid = $session->query('SELECT pg_backend_pid()');

sub memory
{
	my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return $kilobytes;
}

sub calls
{
	my ($n) = @_;

	$session->query(join ";\n", ("$call") x ($n / 2));
	$session->query("SELECT count((mf_send_payment('direct', 1.5)).invoice_id) FROM generate_series(1, $n / 2)");
	return;
}

SKIP:
{
	skip 'needs /proc/PID/status', 2 unless slurp_file("/proc/$$/status") =~ /^RssAnon:/m;
	calls(400);
	my $first = memory();
	calls(2000);
	my $second = memory();

	is($sandbox->count(%$send), 2400, '2,400 calls went through');
	cmp_ok($second - $first, '<', 400, 'the memory of the session stays flat over 2,000 of them');
	diag("memory of a session over 2,000 calls: $first kB, then $second kB");
}
$session->quit;

# The name lookup: a server with a resolver of its own, which a name server that never answers keeps waiting. It takes
# name spaces for users (unshare); nothing of the system is touched.
my $resolver = $node->basedir . '/resolv.conf';
my $inside = $node->basedir . '/inside.pl';
append_to_file($resolver, "nameserver 127.0.0.1\noptions timeout:30\n");
append_to_file($inside, <<'PERL');
use Socket;
my ($resolver, @command) = @ARGV;
system('ip', 'link', 'set', 'lo', 'up') == 0 or exit 77;
system('mount', '--bind', $resolver, '/etc/resolv.conf') == 0 or exit 77;
# A name server that hears and never speaks: the server process inherits the socket.
$^F = 1000;
socket(my $deaf, PF_INET, SOCK_DGRAM, 0) or exit 77;
bind($deaf, pack_sockaddr_in(53, INADDR_LOOPBACK)) or exit 77;
exec @command or exit 1;
PERL
my @unshare = ('unshare', '--user', '--mount', '--net', '--map-current-user', '--keep-caps', $^X, $inside, $resolver);
my $probe = PostgreSQL::Test::Utils::run_log([ @unshare, 'true' ]);

SKIP:
{
	skip 'no name space of its own for the resolver', 9 unless $probe;
	my $apart = $mf->new_node('apart', start => 0);

	# As start() does it, with words before pg_ctl; the rest of the object only reads the postmaster's pid file.
	PostgreSQL::Test::Utils::system_or_bail(@unshare, $node->installed_command('pg_ctl'), '-w', '-D', $apart->data_dir,
		'-l', $apart->logfile, '-o', '--cluster-name=apart', 'start');
	$apart->_update_pid(1);
	$mf->setup_account($apart, 'postgres', $sandbox, options => { base_url => 'https://api.example.com' });
	can_be_ended($apart, sent_to('myfatoorah'), 'the name lookup', $reference);

	# The worker too is not kept from ending by one that hangs.
	$mf->insert($apart, 'postgres', 'looked up');
	$mf->wait_for($apart, 'postgres', 'SELECT in_flight FROM mf_worker_status', 1);
	my $seconds = $mf->seconds(sub { $apart->stop('fast') });
	cmp_ok($seconds, '<', 20, 'fast shutdown while a name is looked up');
	diag(sprintf 'fast shutdown, name lookup that hangs: %.0f ms', 1000 * $seconds);
	unlike(slurp_file($apart->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed there');
}

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
