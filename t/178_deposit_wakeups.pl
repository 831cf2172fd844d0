# No deposit is forgotten while the worker rests: whoever announces or asks for one wakes it, however many do so at once,
# and what it has passed over, because two were being read or a session had locked it, is read without another wake-up.
# Nothing here is due by itself: a wake-up that is lost would leave its deposit unread.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '10min'\nmax_connections = 60\nmax_prepared_transactions = 2");
my $secret = 'deposit-secret';
my $call = { path => '/v2/GetDepositedInvoices' };
my $rounds = 8;
my $sessions = 24;
my @paid;

# Deposits of one payment each, and what announces them
sub deposits
{
	my ($count) = @_;

	return map { $sandbox->deposit(invoices => [ shift @paid ]) } 1 .. $count;
}

sub wait_read
{
	my ($count, $name) = @_;

	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_deposit WHERE status <> 'read'}, 0);
	is(sql('SELECT count(*), count(item_count) FROM mf_deposit'), "$count|$count", $name);
	$mf->wait_idle($node, $db);
	return;
}

$mf->setup_account($node, $db, $sandbox);
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);
my $invoices = 16 + $rounds * $sessions + 12;
$mf->insert_many($node, $db, 'rent', $invoices);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", $invoices);
@paid = split /\n/, sql('SELECT invoice_id FROM mf_invoice ORDER BY id');
$sandbox->pay_many(count => $invoices);
$mf->wait_for($node, $db, 'SELECT 1', 1) until $sandbox->counts->{payments} == $invoices;
$mf->wait_idle($node, $db);
my $read = 0;

# Both answers that hold the others back are recorded in the same round
my @some = deposits(5);
$sandbox->faults({ %$call, delay_ms => -1, times => 2 });
sql('BEGIN; ' . join('', map { "SELECT mf_read_deposit('$_->{reference}');" } @some) . ' COMMIT');
$sandbox->wait_count($call, 2);
my $worker = $mf->worker_pid($node, $db);
kill 'STOP', $worker;
$sandbox->clear_faults;
$sandbox->wait_count({ %$call, phase => 'answered' }, 2);
kill 'CONT', $worker;
wait_read($read += @some, 'two answers at once: the deposits that have waited for them are read');

# A session has asked again for what is due, and takes it back: at the end of its transaction nothing has changed
foreach my $end ('ROLLBACK', 'PREPARE TRANSACTION $$asked$$')
{
	my ($held, $other) = deposits(2);
	my $session = $mf->session($node, $db);

	sql("SELECT mf_read_deposit('$held->{reference}')");
	wait_read($read += 1, "$end: read");
	sql("UPDATE mf_deposit_state SET status = 'queued', due = now() WHERE deposit_reference = '$held->{reference}'");
	$session->query_safe("BEGIN; SELECT mf_read_deposit('$held->{reference}')");
	sql("SELECT mf_read_deposit('$other->{reference}')");
	$mf->wait_for($node, $db, "SELECT status FROM mf_deposit WHERE deposit_reference = '$other->{reference}'", 'read');
	$mf->wait_idle($node, $db);
	is(sql("SELECT status FROM mf_deposit WHERE deposit_reference = '$held->{reference}'"), 'queued', "$end: what it has locked is passed over");
	$session->query_safe($end);
	sql('ROLLBACK PREPARED $$asked$$') if $end ne 'ROLLBACK';
	$session->quit;
	wait_read($read += 1, "$end: and read once it is free");
}

# Webhooks side by side
my $script = PostgreSQL::Test::Utils::tempdir('pgbench') . '/webhook.sql';
sql('CREATE TABLE handed_in (client integer, round integer, body text, signature text, version text); GRANT ALL ON handed_in TO PUBLIC');
my @deposits = deposits($rounds * $sessions);
$sandbox->wait_deliveries({ code => 3 }, 9 + @deposits) or die "webhooks are still being sent\n";
my %delivery;
foreach my $delivery ($sandbox->deliveries(code => 3, limit => 1000))
{
	my ($reference) = $delivery->{body} =~ /"Reference":"?(\d{10})/;

	$delivery{$reference} = $delivery if defined $reference;
}
my @rows = map { my $delivery = $delivery{ $deposits[$_]{reference} } or die "no webhook of $deposits[$_]{reference}\n";
	'(' . ($_ % $sessions) . ', ' . int($_ / $sessions) . ', ' . join(', ', map { $mf->literal($_) } @{$delivery}{qw(body signature version)}) . ')' } 0 .. $#deposits;
sql('INSERT INTO handed_in VALUES ' . join(', ', @rows));
foreach my $round (0 .. $rounds - 1)
{
	my $file = "$script.$round";

	append_to_file($file, "SELECT mf_webhook(body, signature, version, 'myfatoorah') FROM handed_in WHERE round = $round AND client = :client_id;\n");
	run_log([ 'pgbench', '-n', '-c', $sessions, '-j', 4, '-t', 1, '-f', $file, $node->connstr($db) ], '>', \my $out, '2>', \my $err);
	like($out, qr/actually processed: $sessions/, "$sessions webhooks at once");
	wait_read($read += $sessions, '... and as many deposits are read');
}

# MyFatoorah's log, after downtime
$node->stop;
@some = deposits(8);
$node->start;
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_deposit', $read + @some);
wait_read($read += @some, 'those that were announced during downtime are read');

is(sql(q{SELECT sum(value) FROM mf_metrics() WHERE name = 'rounds' AND result = 'failed'}), 0, 'no round has failed');
$node->stop;
done_testing();
