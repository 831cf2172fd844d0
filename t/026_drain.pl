# An orderly stop and mf_drain() wait for the answers to requests under way. A listen port that is in use is tried again.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $busy = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "no port: $!\n";
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'\nmyfatoorah.retry_delay = '50ms'\n"
	  . "myfatoorah.shutdown_wait = '20s'\nmyfatoorah.listen_port = " . $busy->sockport);

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

# The port is somebody else's: it is tried again every few seconds, and told of once.
my ($last, $longest) = ('', 0);
foreach my $failure (1 .. 5)
{
	$mf->wait_for($node, 'postgres', "SELECT coalesce(last_error_at::text, '') <> '$last' AND last_error_at IS NOT NULL FROM mf_listener_status");
	my ($now, $gap) = split /\|/, sql('SELECT last_error_at, ' . ($last ? "extract(epoch FROM last_error_at - '$last')" : 0) . ' FROM mf_listener_status');
	($last, $longest) = ($now, $gap > $longest ? $gap : $longest);
}
cmp_ok($longest, '<', 10, 'a port that is not free is tried again within a few seconds');
is(() = slurp_file($node->logfile) =~ /listener_not_listening: listener accepts no connections: could not listen/g, 1, 'and told of once');
close $busy;
$mf->wait_for($node, 'postgres', 'SELECT port IS NOT NULL FROM mf_listener_status');
pass('once it is free, it is used');

# An orderly end waits for slow answers.
sub answered_after
{
	my ($name, $delay_ms, $end) = @_;
	my $before = $sandbox->count(%$send);

	$sandbox->faults({ path => 'SendPayment', reference_prefix => $name, delay_ms => $delay_ms, times => -1 });
	$mf->insert_many($node, 'postgres', $name, 20);
	$sandbox->wait_count($send, $before + 20) or die "they are not sent\n";
	$end->();
	return sql("SELECT count(*) FILTER (WHERE status = 'sent' AND invoice_url IS NOT NULL), count(*) FROM mf_invoice WHERE customer_reference LIKE '$name-%'");
}

is(answered_after('slow', 2000, sub { $node->restart; }), '20|20', 'a fast stop waits for answers that take two seconds: no link is lost');

# mf_drain() does the same without an end: nothing new leaves until mf_resume().
my $drained;
$mf->wait_worker($node, 'postgres');
is(answered_after('drained', 2000, sub { $drained = sql("SELECT mf_drain('60 s')"); }), '20|20', 'mf_drain() awaits what is under way');
is($drained, 0, 'and says that nothing is any more');
my $count = $sandbox->count(%$send);
$mf->insert_many($node, 'postgres', 'held', 5);
$mf->wait_idle($node, 'postgres');
is($sandbox->count(%$send), $count, 'nothing new leaves');
is(sql("SELECT mf_drain('1 s')"), 0, 'a second call has nothing to wait for');
like(sql("SELECT ok, detail FROM mf_check() WHERE item = 'sending'"), qr/^f\|Held by mf_drain\(\) until/, 'mf_check() says why');
sql('BEGIN; SELECT mf_resume(); ROLLBACK');
is(sql("SELECT ok FROM mf_check() WHERE item = 'sending'"), 'f', 'an mf_resume() that is rolled back ends nothing');
is_deeply([ map { (split /\n/, ($node->psql('postgres', "SELECT mf_drain($_)"))[2])[0] =~ s/.*ERROR:  //r } "'-1 s'", "'2 days'", 'NULL' ],
	[ ('timeout must be between zero and one day') x 2, 'timeout must not be null' ], 'a time-out that makes no sense is refused');
(undef, undef, my $told) = $node->psql('postgres', 'SELECT mf_resume()');
is($told, '', 'mf_resume() ends it');
$mf->wait_settled($node, 'postgres');
pass('and what was held leaves');
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'endless', delay_ms => -1, times => -1 });
$mf->insert_many($node, 'postgres', 'endless', 3);
$sandbox->wait_count($send, $count + 8) or die "they are not sent\n";
is(sql("SELECT mf_drain('100 ms')"), 3, 'what is not answered in time is counted');
$sandbox->clear_faults;
$node->restart;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'endless-%' AND status = 'unknown'", 0);
$mf->insert($node, 'postgres', 'after the restart');
$mf->wait_status($node, 'postgres', 'after the restart');
pass('a restart ends it');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
