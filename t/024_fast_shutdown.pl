# A fast shutdown does not wait for the API; what was in flight is honest afterwards; a restart sends what was queued.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'\nmyfatoorah.retry_delay = '50ms'");
my $send = { path => '/v2/SendPayment' };
my $limit;

$mf->setup_account($node, 'postgres', $sandbox, options => { max_in_flight => 30, connect_timeout => '3s' });
$mf->wait_worker($node, 'postgres');

# Stops the server, up to ten times, each time prepared anew, and judges the best time: the machine may be busy.
sub stop_in_time
{
	my ($what, $prepare) = @_;
	my $best;

	for (1 .. 10)
	{
		$prepare->();
		my $seconds = $mf->seconds(sub { $node->stop('fast') });

		$best = $seconds if !defined $best || $seconds < $best;
		last if !defined $limit || $best < $limit;
		$node->start;
	}
	cmp_ok($best, '<', $limit, "fast shutdown: $what, two seconds longer than an idle server at most") if defined $limit;
	# PostgreSQL itself takes that long here
	$limit //= $best + 2;
	diag(sprintf 'fast shutdown, %s: %.0f ms', $what, 1000 * $best);
	return;
}

# Nothing to do: by this time the others are judged
stop_in_time('idle', sub { $mf->wait_idle($node, 'postgres') });
$node->start;

# Requests hang: their bodies have left, so nobody knows. 30 in flight, 10 have no place.
my $round = 0;
stop_in_time('30 requests without an answer', sub {
	my $before = $sandbox->count(%$send);

	$round++;
	$sandbox->hang;
	$mf->insert_many($node, 'postgres', "hanging-$round", 40);
	$sandbox->wait_count($send, $before + 30) or die "they are not sent\n";
	$sandbox->clear_faults;
});
my $before = $sandbox->count(%$send);
$node->start;
$mf->wait_settled($node, 'postgres');
is(sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM mf_invoice
	WHERE customer_reference LIKE 'hanging-$round-%' GROUP BY 1) s"), 'sent 10, unknown 30',
	'what hung is unknown, what was queued is sent after the restart');
is($sandbox->count(%$send), $before + 10, 'and nothing else');
is(sql("SELECT count(*) FROM mf_attempt WHERE outcome IS NULL"), 0, 'every attempt has its outcome');

# Answers that come within the moment that a shutdown waits are taken. How long that moment is on a busy machine is
# another matter: some round must be all well, each must be honest.
my $well = 0;
for (1 .. 5)
{
	my $before = $sandbox->count(%$send);

	$round++;
	$sandbox->faults({ path => 'SendPayment', delay_ms => 150, times => 10 });
	$mf->insert_many($node, 'postgres', "soon-$round", 10);
	$sandbox->wait_count($send, $before + 10) or die "they are not sent\n";
	$node->restart;
	$well = sql("SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'soon-$round-%' AND status = 'sent'");
	last if $well == 10;
}
is($well, 10, 'answers that come at once are not lost in a shutdown');
$mf->wait_settled($node, 'postgres');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');

# No body has left: connecting, or shaking hands for TLS. Proof that nothing was sent: the rows are queued again.
my $silent = MyFatoorah::Listener->silent;
my $full = MyFatoorah::Listener->full;
foreach my $case (
	[ 'TLS handshakes', $silent->url('https') ],
	[ 'connections', $full ? $full->url : undef ])
{
  SKIP:
	{
		skip 'this kernel lets everybody connect', 3 unless $case->[1];
		my $before = $sandbox->count(%$send);

		sql("ALTER SERVER myfatoorah OPTIONS (SET base_url '$case->[1]')");
		stop_in_time("5 $case->[0] that hang", sub {
			$round++;
			$mf->insert_many($node, 'postgres', "connecting-$round", 5);
			$mf->wait_for($node, 'postgres', 'SELECT in_flight FROM mf_worker_status', 5);
		});
		$node->start;
		sql("ALTER SERVER myfatoorah OPTIONS (SET base_url '" . $sandbox->url . "')");
		$mf->wait_settled($node, 'postgres');
		is(sql("SELECT string_agg(DISTINCT i.status || ', ' || a.outcome, '; ') FROM mf_invoice i JOIN mf_attempt a
			ON a.invoice = i.id AND a.attempt = 1 WHERE customer_reference LIKE 'connecting-$round-%'"), 'sent, not_sent',
			"$case->[0]: proof that nothing was sent, and sent after the restart");
		is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], "$case->[0]: rows, attempts and ledger agree");
	}
}

# In the midst of a backlog, several times
$mf->insert_many($node, 'postgres', 'backlog', 3000);
foreach my $part (1 .. 3)
{
	$sandbox->wait_count($send, $sandbox->count(%$send) + 200, 5);
	$node->restart;
}
$mf->wait_settled($node, 'postgres');
is(sql("SELECT string_agg(DISTINCT status, ',') FROM mf_invoice WHERE customer_reference LIKE 'backlog-%' AND status NOT IN ('sent', 'unknown')"),
	'', 'restarts in the midst of a backlog: all is sent, or shown as unknown');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');

# A session that waits in a direct call
my $session;
stop_in_time('a direct call without an answer', sub {
	my $before = $sandbox->count(%$send);

	$sandbox->hang(times => 1);
	$session = $mf->session($node, 'postgres');
	$session->query_until(qr/calling/, "\\echo calling\nSELECT mf_send_payment('direct', 1);\n");
	$sandbox->wait_count($send, $before + 1) or die "it is not sent\n";
});

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
done_testing();
