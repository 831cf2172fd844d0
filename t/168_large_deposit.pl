# A deposit of 10,000 payments, an answer of five megabytes: read at once, every payment found, the difference explained, and
# sending goes on meanwhile.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'
	myfatoorah.poll_rate_limit = 60000
	autovacuum = off");
my $db = 'postgres';
my $invoices = 10_000;
my $secret = 'deposit-secret';

# Megabytes of the worker: most so far, and now
sub memory
{
	my $status = slurp_file('/proc/' . $mf->worker_pid($node, $db) . '/status');

	return map { $status =~ /^$_:\s+(\d+) kB/m ? int($1 / 1024) : 0 } qw(VmHWM VmRSS);
}

$mf->setup_account($node, $db, $sandbox);
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$mf->wait_worker($node, $db);
$mf->insert_many($node, $db, 'rent', $invoices);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", $invoices);
$sandbox->pay_many(count => $invoices);
$mf->wait_for($node, $db, 'SELECT 1', 1) until $sandbox->counts->{payments} == $invoices;
sql('UPDATE mf_inquiry SET due = now(); SELECT mf_resume()');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_undeposited", $invoices);
ok(1, 'all are paid, and in no deposit');

# Two refunds and a fee, which no list contains
my @refunded = split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference IN ('rent-1', 'rent-5000')");
$sandbox->invoice($_, 'refund', { amount => '0.100' }) for @refunded;
sql("SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference IN ('rent-1', 'rent-5000')))");
$mf->wait_for($node, $db, 'SELECT sum(refunded_value) FROM mf_invoice', '0.200');
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
my $deposit = $sandbox->deposit(fees => '12.345');
my ($delivery) = $sandbox->deliveries(code => 3);
is($deposit->{count}, $invoices, 'a deposit of all of them');

my @before = memory();
my $seconds = $mf->seconds(sub {
	sql($mf->webhook($delivery));
	$mf->insert($node, $db, 'meanwhile');
	$mf->wait_for($node, $db, 'SELECT status FROM mf_deposit', 'read');
});
my @after = memory();
note(sprintf 'read in %.1f s; the worker had %d MB (at most %d) before, %d MB (at most %d) after', $seconds, @before[ 1, 0 ], @after[ 1, 0 ]);
cmp_ok($seconds, '<', 60, 'it is read soon');
cmp_ok($after[0] - $before[0], '<', 200, 'in little memory');
cmp_ok($after[1] - $before[1], '<', 100, 'of which little stays');
$mf->wait_status($node, $db, 'meanwhile');
is(sql("SELECT item_count, announced_count, itemised_value = $deposit->{itemised}, announced_value = $deposit->{announced} FROM mf_deposit"), "$invoices|$invoices|t|t",
	'announced and itemised as MyFatoorah has it');
my ($matched, $missing, $shown);
my $matching = $mf->best_of(20, sub {
	$matched = sql('SELECT count(invoice), count(DISTINCT invoice), sum(due_deposit) = (SELECT itemised_value FROM mf_deposit) FROM mf_deposit_item');
});
is($matched, "$invoices|$invoices|t", 'each payment is that of another invoice, and they add up');
cmp_ok($matching, '<', 20, 'which is found out soon, although nobody has analyzed the tables');
is(sql('SELECT difference, refunds, unexplained, missing_items FROM mf_deposit_difference'), '-12.545|||0', 'what explains the first difference is not known');
sql(q{INSERT INTO mf_deposit_state (account, deposit_reference, status, currency, deposit_date, item_count, read_at, due)
	VALUES ('myfatoorah', 'the one before', 'read', 'KWD', now() - interval '1 day', 0, now() - interval '1 day', NULL)});
is(sql("SELECT difference, refunds, unexplained, missing_items FROM mf_deposit_difference WHERE deposit_reference <> 'the one before'"), '-12.545|-0.200|-12.345|0',
	'behind another one it is explained but for the fee');
my ($looking, $reading) = ($mf->best_of(4, sub { $missing = sql('SELECT count(*) FROM mf_undeposited') }), $mf->seconds(sub { $shown = sql('SELECT count(*) FROM mf_deposit_item') }));
cmp_ok($looking, '<', 4, 'so is what is in none');
note(sprintf 'matched in %.2f s, mf_undeposited in %.2f s, mf_deposit_item of all in %.2f s', $matching, $looking, $reading);
is("$missing|$shown", "0|$invoices", 'nothing that was paid is in no deposit');
is(sql("SELECT coalesce(sum(value), 0) FROM mf_metrics() WHERE name = 'rounds' AND result = 'failed'"), 0, 'no round has failed');

$node->stop;
done_testing();
