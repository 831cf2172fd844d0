# The worker is killed between a webhook's commit and the look-up, and while a payment is recorded and not yet committed:
# nothing is half done, and the payment arrives in the end, once.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
use MyFatoorah::Test;
use MyFatoorah::Chaos;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'chaos.conf'
	myfatoorah.poll_rate_limit = 0
	myfatoorah.retry_delay = '50ms'");
my $db = 'postgres';
my $status = { path => '/v2/GetPaymentStatus' };

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

$mf->setup_account($node, $db, $sandbox);
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'crash-secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => 'crash-secret', retries => 0);
my $pid = $mf->wait_worker($node, $db);

sub failpoint
{
	my ($name) = @_;

	open my $file, '>', $node->data_dir . '/chaos.conf' or die "chaos.conf: $!\n";
	print $file "myfatoorah.failpoint = '$name'\n";
	close $file;
	$node->reload;
	return;
}

sub paid
{
	my ($name) = @_;
	my $id = $mf->insert($node, $db, $name);

	$mf->wait_status($node, $db, $name);
	my $invoice = $node->safe_psql($db, "SELECT invoice_id FROM mf_invoice WHERE id = $id");
	$sandbox->invoice($invoice, 'pay');
	return ($id, ($sandbox->deliveries(invoice => $invoice))[-1]);
}

sub arrives
{
	my ($id, $what) = @_;

	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
	is($node->safe_psql($db, "SELECT (SELECT count(*) FROM mf_transaction WHERE invoice = $id), (SELECT count(*) FROM mf_transition
			WHERE invoice = $id AND to_status = 'paid'), (SELECT bool_and(answered_at IS NOT NULL) FROM mf_event WHERE invoice = $id)"),
		'1|1|t', $what);
	return;
}

# committed, and not asked yet
my ($id, $webhook) = paid('asleep');
$mf->wait_idle($node, $db);
my $asked = $sandbox->count(%$status);
kill 'STOP', $pid;
$node->safe_psql($db, $mf->webhook($webhook));
is($sandbox->count(%$status), $asked, 'the webhook is committed, nothing was asked');
$chaos->kill_processes($node, $pid);
$pid = $mf->wait_worker($node, $db);
arrives($id, 'the next worker asks');

# recorded, and not committed
($id, $webhook) = paid('recorded');
my $offset = -s $node->logfile;
failpoint('payment_recorded');
$mf->wait_for($node, $db, "SELECT current_setting('myfatoorah.failpoint')", 'payment_recorded');
$node->safe_psql($db, $mf->webhook($webhook));
$node->wait_for_log(qr/failpoint "payment_recorded" reached/, $offset);
is($node->safe_psql($db, "SELECT payment_status, payment_id IS NULL, (SELECT count(*) FROM mf_transaction WHERE invoice = $id),
		(SELECT count(*) FROM mf_event WHERE invoice = $id AND answered_at IS NULL) FROM mf_invoice WHERE id = $id"), 'unpaid|t|0|1',
	'nothing of it is to be seen');
failpoint('');
$mf->wait_for($node, $db, "SELECT current_setting('myfatoorah.failpoint')", '');
$chaos->kill_processes($node, $pid);
$mf->wait_worker($node, $db);
arrives($id, 'the payment is asked for again, and recorded once');

$node->stop;
done_testing();
