# Questions that roles order by mf_refresh(): customers who come back are asked for first, roles take turns however many one of
# them has ordered, and the poller keeps its part. The account has a single slot, so that the order is seen.
use MyFatoorah::Test qw(sql);
use Time::HiRes qw(time);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 60000\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my %question = (path => '/v2/GetPaymentStatus');
my $many = 5000;

my $port = $web->free_port;

$mf->setup_account($node, $db, $sandbox);
$web->open($node, $db, $port);

# refresh(role, condition): what it said, by result
sub refresh
{
	my ($role, $condition) = @_;

	return $node->safe_psql($db, "SELECT string_agg(result || ' ' || n, ', ' ORDER BY result) FROM (
		SELECT result, count(*) AS n FROM mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE $condition)) GROUP BY 1) r",
		extra_params => [ '-U', $role ]);
}

# asked_before(name, since, known): questions about others, from that many and that time on, before the one about that invoice
sub asked_before
{
	my ($name, $since, $known) = @_;
	my $number = sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = '$name'");
	my @ledger = $sandbox->ledger(%question, limit => 100000);
	my @others;

	for my $entry (@ledger[ $since .. $#ledger ])
	{
		return scalar @others if ($entry->{body} // '') =~ /"$number"/;
		push @others, $entry if $entry->{wall_us} > $known * 1e6;
	}
	die "nobody has asked about $name\n";
}

# A customer comes back, and the worker knows: since when, and the connection, which waits for the answer
sub come_back
{
	my ($name, $payment) = @_;
	my $token = sql("SELECT id || '-' || right(reference, 20) FROM mf_invoice WHERE customer_reference = '$name'");
	my $socket = $web->connect($port);

	syswrite $socket, "GET /callback/$token?paymentId=$payment HTTP/1.1\r\nHost: x\r\n\r\n";
	$mf->wait_for($node, $db, "SELECT count(*) > 0 FROM mf_event WHERE payment_id = '$payment'");
	return (time, $socket);
}

sub wait_asked
{
	my ($name) = @_;

	return $mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice
		WHERE i.customer_reference = '$name' AND q.urgent", 0);
}

sql("CREATE ROLE $_ LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO $_") for 'greedy', 'modest';
$mf->insert_many($node, $db, 'many', $many);
$mf->insert($node, $db, $_) for 'customer', 'single', 'polled';
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", $many + 3);
$mf->wait_idle($node, $db);

# one question at a time, each of them slow: they are asked in the order in which they are wanted
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '1')");
$sandbox->faults({ path => 'GetPaymentStatus', delay_ms => 30, times => -1 });
my $since = $sandbox->count(%question);

# ten more for each second that it takes to order them
my $began = time;
my ($asked, $later) = refresh('greedy', "customer_reference LIKE 'many-%'") =~ /^asked (\d+), asked_later (\d+)$/ or die "not all of them are ordered\n";
is($asked + $later, $many, "$many orders of one role");
ok($asked >= 100 && $asked <= 101 + 10 * (time - $began), 'a hundred of them within its budget') or diag("asked $asked");
is(sql("SELECT count(DISTINCT ordered_by), min(ordered_by::regrole::text) FROM mf_inquiry WHERE urgent AND ordered_by <> 0"), '1|greedy', 'are orders of that role');
$sandbox->wait_count(\%question, $since + 3) or die "they are not asked\n";

# A customer comes back.
my $number = sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'customer'");
$sandbox->invoice($number, 'pay');
$began = $sandbox->count(%question);
my ($known, $customer) = come_back('customer', $sandbox->invoice($number)->{transactions}[-1]{payment_id});
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE customer_reference = 'customer'", 'paid');
cmp_ok(asked_before('customer', $began, $known), '<=', 3, 'a customer who comes back waits behind none of them');

# Another role asks about one invoice.
$began = $sandbox->count(%question);
is(refresh('modest', "customer_reference = 'single'"), 'asked 1', 'another role asks about one invoice');
$known = time;
wait_asked('single');
cmp_ok(asked_before('single', $began, $known), '<=', 4, 'and waits behind none of them, either');

# The poller's turn has come for one.
$began = $sandbox->count(%question);
sql("UPDATE mf_inquiry SET due = now() WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'polled')");
sql(q{SELECT mf_resume()});
$known = time;
$mf->wait_for($node, $db, "SELECT due > now() AND answers > 0 FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'polled'");
cmp_ok(asked_before('polled', $began, $known), '<=', 6, 'nor does the poller');
cmp_ok(sql('SELECT count(*) FROM mf_inquiry WHERE urgent AND ordered_by <> 0'), '>', $many / 2, 'while most of the orders still wait');

# Beyond its budget a role waits within one of the account, and others who are beyond theirs take turns with it.
sql("ALTER SYSTEM SET myfatoorah.callback_rate_limit = 60000; SELECT pg_reload_conf()");
$mf->wait_for($node, $db, 'SHOW myfatoorah.callback_rate_limit', 60000);
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_inquiry WHERE urgent AND ordered_by <> 0 AND NOT by_callback', 0);
$began = $sandbox->count(%question);
sql("UPDATE mf_inquiry q SET by_callback = true, ordered_by = 'modest'::regrole, due = now(), urgent = true FROM mf_invoice i
	WHERE i.id = q.invoice AND i.customer_reference IN ('many-4999', 'many-5000')");
sql(q{SELECT mf_resume()});
$known = time;
wait_asked($_) for 'many-4999', 'many-5000';
cmp_ok(asked_before($_, $began, $known), '<=', 8, "beyond their budgets roles take turns: $_") for 'many-4999', 'many-5000';

# What an event asks, too, is its question, and no order any more.
sql("UPDATE mf_inquiry SET urgent = true, ordered_by = 'greedy'::regrole, by_callback = false, due = now() + interval '1 day'
	WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'single')");
my $payment = '0707' . sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'single'");
$began = $sandbox->count(%question);
($known, $customer) = come_back('single', $payment);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice WHERE i.customer_reference = 'single' AND e.answered_at IS NULL AND e.due IS NULL", 0);
cmp_ok(asked_before('single', $began, $known), '<=', 3, 'what a customer asks, too, is his question from then on');

# All of it is asked in the end, and nothing stays an order.
$sandbox->clear_faults;
sql("ALTER SERVER myfatoorah OPTIONS (SET max_in_flight '50')");
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_inquiry WHERE ordered_by <> 0', 0);
is(sql("SELECT count(*) FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference LIKE 'many-%' AND NOT q.urgent"), $many,
	'all of it is asked in the end');

# A worker that knows nothing of two accounts yet, for nothing of them is open, hears of a row and of an order of each at once.
my @others = ('other', 'third');
for my $other (@others)
{
	$mf->setup_account($node, $db, $sandbox, account => $other, key_file => 'myfatoorah.key');
	$mf->insert($node, $db, "paid-$other", account => "'$other'");
	$mf->wait_status($node, $db, "paid-$other");
	$sandbox->invoice(sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'paid-$other'"), 'pay');
	sql("SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'paid-$other'");
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE customer_reference = 'paid-$other'", 'paid');
}
$mf->wait_idle($node, $db);
sql("SET session_replication_role = replica; DELETE FROM mf_inquiry; UPDATE mf_invoice SET payment_status = 'expired' WHERE payment_status = 'unpaid'");
$node->restart;
$mf->wait_worker($node, $db);
$mf->wait_idle($node, $db);
$since = $sandbox->count(%question);
sql("BEGIN; SELECT count(mf_refresh(id)) FROM mf_invoice WHERE customer_reference LIKE 'paid-%'; INSERT INTO mf_invoice "
	. join('; INSERT INTO mf_invoice ', map { $mf->invoice("both-$_", account => "'$_'") } @others) . '; COMMIT');
$mf->wait_status($node, $db, "both-$_") for @others;
ok($sandbox->wait_count(\%question, $since + 2), 'rows and orders of accounts that were not known yet');
$node->stop;
done_testing();
