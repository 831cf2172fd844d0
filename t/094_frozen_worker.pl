# A worker that stood still for seconds may belong to a server whose place another one has taken. When it goes on, nothing
# leaves for a while, be it claimed, connecting, behind others, or due while nobody looked; then all is sent, once.
use MyFatoorah::Test;
use MyFatoorah::Listener;

use IO::Select ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '1h'\nmyfatoorah.poll_rate_limit = 0");
my $send = { path => '/v2/SendPayment' };
my $held = 15;
my @databases = qw(idle connecting busy);
my $full = MyFatoorah::Listener->full;

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach @databases;
$mf->setup_account($node, 'idle', $sandbox);
$mf->setup_account($node, 'busy', $sandbox, options => { max_in_flight => 2 });
$mf->setup_account($node, 'connecting', $sandbox, options => { connect_timeout => '60s', $full ? (base_url => $full->url) : () });
$mf->wait_worker($node, $_) foreach @databases;
my %pid = map { $_ => $mf->worker_pid($node, $_) } @databases;

# Sent between two times, as the stand-in saw it
sub sent_between
{
	my ($from, $to) = @_;

	return map { $_->{reference} } grep { $_->{wall_us} > $from * 1e6 && $_->{wall_us} < $to * 1e6 } $sandbox->ledger(%$send, bodies => 0);
}

sub sleep_until
{
	my ($until) = @_;

	while (time < $until) { select undef, undef, undef, 0.05 }
	return;
}

# Shorter than any failover: nothing is held.
my $offset = -s $node->logfile;
$mf->insert($node, 'idle', 'short', send_at => "clock_timestamp() + interval '1 s'");
$mf->wait_idle($node, 'idle');
kill STOP => $pid{idle};
sleep_until(time + 2.5);
kill CONT => $pid{idle};
cmp_ok($mf->seconds(sub { $mf->wait_status($node, 'idle', 'short') }), '<', 12, "after two seconds it goes on at once, and is not held for $held seconds");
unlike(slurp_file($node->logfile, $offset), qr/sending is held/, 'and says nothing');

# One has answers to come, and more to send; one is connecting; one is idle, with a row that becomes due meanwhile.
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'busy-', delay_ms => 1500, times => -1 });
$mf->insert($node, 'connecting', 'connecting') if $full;
$mf->wait_for($node, 'connecting', 'SELECT in_flight FROM mf_worker_status', 1) if $full;
my $before = $sandbox->count(%$send);
$mf->insert_many($node, 'busy', 'busy', 60);
$sandbox->wait_count($send, $before + 2) or die "it is not busy\n";
my ($due, $stopped);
foreach my $ahead (2, 4, 8, 16)
{
	$mf->insert($node, 'idle', "due-$ahead", send_at => "clock_timestamp() + interval '$ahead s'");
	$due = $node->safe_psql('idle', "SELECT extract(epoch FROM send_at) FROM mf_invoice WHERE customer_reference = 'due-$ahead'");
	$mf->wait_idle($node, 'idle');
	$stopped = time;
	kill STOP => values %pid;
	last if $stopped < $due;
	kill CONT => values %pid;
}
die "the machine is too slow for this test\n" if $stopped >= $due;
$sandbox->clear_faults;

# Now there is a connection: the kernel makes it, while the process stands still.
my $accepted;
if ($full)
{
	my $socket = $full->{socket};
	my %ours = map { (unpack_port($_)) => 1 } @{ $full->{clients} };

	while (!$accepted && IO::Select->new($socket)->can_read(20))
	{
		my $client = $socket->accept;

		$accepted = $client unless $ours{ $client->peerport };
	}
	$node->safe_psql('connecting', 'ALTER SERVER myfatoorah OPTIONS (SET base_url ' . $mf->literal($sandbox->url) . ')');
}

sub unpack_port
{
	my ($client) = @_;
	my $name = getsockname $client;

	return $name ? (Socket::unpack_sockaddr_in($name))[0] : 0;
}

sleep_until($due + 5.5);
sleep_until($stopped + 6);
$offset = -s $node->logfile;
my $thawed = time;
kill CONT => values %pid;

SKIP:
{
	skip 'no listener with a full queue here', 3 unless $full;
	ok($accepted, 'a connection came about while it stood still');
	my $bytes = '';
	while ($accepted && IO::Select->new($accepted)->can_read(10) && sysread $accepted, my $data, 4096) { $bytes .= $data }
	is($bytes, '', 'nothing leaves on it');
	$mf->wait_for($node, 'connecting', "SELECT count(*) FROM mf_attempt WHERE outcome = 'not_sent' AND error LIKE '%stood still%'", 1);
	is($node->safe_psql('connecting', q{SELECT status FROM mf_invoice WHERE last_error = 'the request could not be sent to MyFatoorah'}), 'queued',
		'the row waits, and says so');
}
$mf->wait_for($node, 'busy', q{SELECT bool_and(status IN ('queued', 'sent')) AND count(*) FILTER (WHERE status = 'sent') >= 2 FROM mf_invoice});
pass('answers that came are recorded, all others wait');
is($node->safe_psql('idle', q{SELECT status FROM mf_invoice ORDER BY id DESC LIMIT 1}), 'queued', 'what became due meanwhile waits');
like($node->safe_psql('idle', q{SELECT detail FROM mf_check('myfatoorah') WHERE item = 'sending'}), qr/^Held until .*, because the server stood still\.$/,
	'mf_check() says why');
$mf->insert($node, 'idle', 'new');

foreach my $db (@databases)
{
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status <> 'sent'", 0);
}
is_deeply([ sent_between($thawed, $thawed + $held - 0.5) ], [], "nothing is sent for $held seconds");
is(() = slurp_file($node->logfile, $offset) =~ /sending is held for $held seconds, because this process stood still/g, $full ? 3 : 2,
	'the log says it once for each worker');
is_deeply([ map { $mf->problems($node, $_, $sandbox, others => 1) } @databases ], [], 'all is sent, once');
is_deeply([ map { $mf->worker_pid($node, $_) } @databases ], [ @pid{@databases} ], 'by the same workers');
$node->stop;
done_testing();
