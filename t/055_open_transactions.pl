# Open transactions with locks of rows that the listener has to write. One that has called mf_refresh() holds up no webhook about
# that invoice. Locked rows hold up those who want these rows, and nobody else.
use MyFatoorah::Test qw(sql);

use POSIX ();

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";

$mf->setup_account($node, $db, $sandbox);
$web->give_secret($node, $db);
$web->open($node, $db, $port);
$sandbox->webhooks(url => "$url/webhook", version => 'v2', secret => $MyFatoorah::Web::secret, retries => 0, timeout_ms => 20000, enabled => 1);

# Invoices that were sent: id, number, token of each
sub sent
{
	my ($name, $n) = @_;

	$mf->insert_many($node, $db, $name, $n);
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$name-%' AND status = 'sent'", $n);
	return map { my @row = split /\|/; { id => $row[0], number => $row[1], token => $row[2] } }
	  split /\n/, sql("SELECT id, invoice_id, id || '-' || right(reference, 20) FROM mf_invoice WHERE customer_reference LIKE '$name-%' ORDER BY id");
}

# Statuses of the webhooks about these, after they were paid
sub paid
{
	my @rows = @_;
	my %seen;

	$sandbox->invoice($_->{number}, 'pay') foreach @rows;
	foreach my $row (@rows)
	{
		$sandbox->wait_deliveries({ invoice => $row->{number} }, 1) or die "no webhook about $row->{number}\n";
		$seen{ $_->{attempts}[-1]{status} }++ foreach $sandbox->deliveries(invoice => $row->{number});
	}
	return join ' ', map { "$_ x $seen{$_}" } sort keys %seen;
}

# Somebody who has asked for a question, and does not commit
sql('CREATE ROLE other IN ROLE myfatoorah_submit; GRANT USAGE ON SCHEMA public TO other');
my @asked = sent('asked', 3);
my $open = $mf->session($node, $db);
$open->query_safe("SET ROLE other; BEGIN; SELECT mf_refresh(id) FROM mf_invoice");
is(paid(@asked), '200 x 3', 'whoever asks for a question and does not commit keeps no webhook out');
ok($mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'asked-%' AND payment_status = 'paid'", 3), 'three payments are recorded beside the open transaction');
my $before = $sandbox->count(path => '/v2/GetPaymentStatus');
$open->query_safe('COMMIT');
ok($sandbox->wait_count({ path => '/v2/GetPaymentStatus' }, $before + 3), 'the questions are asked after the commit');
sql("DO \$\$BEGIN PERFORM mf_refresh($asked[0]{id}); COMMIT; PERFORM 1; END\$\$");
ok($sandbox->wait_count({ path => '/v2/GetPaymentStatus' }, $before + 4), 'of a procedure, too');
like(($node->psql($db, "BEGIN; SELECT mf_refresh($asked[0]{id}); PREPARE TRANSACTION 'x'"))[2],
	qr/cannot PREPARE a transaction that has called mf_refresh\(\)/, 'and are not prepared');
like(($node->psql($db, "BEGIN READ ONLY; SELECT mf_refresh($asked[0]{id})"))[2], qr/cannot execute mf_refresh\(\) in a read-only transaction/, 'nor asked for by who only reads');
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_inquiry WHERE urgent', 0);

# Somebody holds some entries, and clients come back to their callbacks all the time
my @held = sent('held', 20);
my @others = sent('others', 10);
$open->query_safe('RESET ROLE; BEGIN; SELECT FROM mf_inquiry WHERE invoice IN (' . join(', ', map { $_->{id} } @held) . ') FOR UPDATE');
my @clients = map {
	my $row = $_;
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		$web->get("$url/callback/$row->{token}?paymentId=" . int(1e9 * rand)) for 1 .. 1_000_000;
		POSIX::_exit(0);
	}
	$pid;
} @held;
$mf->wait_for($node, $db, q{SELECT last_error LIKE '%lock timeout%' FROM mf_listener_status});
is(paid(@others), '200 x 10', 'what is locked costs nobody else a webhook');
ok($mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'others-%' AND payment_status = 'paid'", 10), 'all payments are recorded');
my @seconds = sort { $a <=> $b } map { $mf->seconds(sub { $web->get("$url/health")->{status} == 200 or die "unwell\n" }) } 1 .. 20;
# waiting 200 ms for each of twenty locks would take four seconds; a busy machine may take as long now and then
cmp_ok($seconds[10], '<', 2.5, 'what is locked costs others little time');
note sprintf '/health: %.2f to %.2f s', @seconds[ 0, -1 ];
kill 'KILL', @clients;
waitpid $_, 0 foreach @clients;
$open->query_safe('ROLLBACK');
is(paid($held[0]), '200 x 1', 'and what was locked is taken once it is free');

# Somebody has asked for a deposit that the log of webhooks announces, too
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $MyFatoorah::Web::secret, retries => 0, enabled => 1);
my $deposit = $sandbox->deposit(invoices => [ map { $_->{number} } @asked ]);
$sandbox->wait_deliveries({ code => 3 }, 1) or die "the webhook is still being sent\n";
$sandbox->faults({ path => 'GetWebhooks', delay_ms => -1 });
$open->quit;
$node->restart;
$mf->wait_worker($node, $db);
$open = $mf->session($node, $db);
$open->query_safe("BEGIN; SELECT mf_read_deposit('$deposit->{reference}')");
$sandbox->clear_faults;
$mf->wait_for($node, $db, q{SELECT coalesce(last_error ~ 'lock timeout', false) OR EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = w.pid AND a.wait_event_type = 'Lock') FROM mf_worker_status w});
$mf->insert($node, $db, 'beside the log');
ok($mf->wait_status($node, $db, 'beside the log'), 'whoever asks for a deposit and does not commit keeps no invoice from being sent');
$open->query_safe('ROLLBACK');
$open->quit;
sql('SELECT mf_resume()');
ok($mf->wait_for($node, $db, "SELECT status = 'read' AND announced_value IS NOT NULL FROM mf_deposit WHERE deposit_reference = '$deposit->{reference}'"),
	'and what the log announces is read after that');

is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each row has its one invoice');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
