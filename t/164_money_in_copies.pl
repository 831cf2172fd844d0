# A copy does nothing about money again: a restored dump, a subscriber, a promoted standby. Refunds, captures, releases, invoices of
# ExecutePayment and recurring payments: what was queued is looked up there, what the original has done since is found, and a person
# decides about refunds and captures that are not found.
use MyFatoorah::Test qw(refund sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $conf = "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'";
my %quick = (options => { connect_timeout => '500ms', timeout => '1s' });
my $node = $mf->new_node('main', init => { allows_streaming => 'logical' }, conf => $conf);
my %executed = (payment_method_id => 2);
my %plan = (%executed, recurring_type => "'Daily'", iteration => 9, retry_count => 2);
my %held = (processing_details => q('{"AutoCapture": false}'));

$mf->setup_account($node, 'postgres', $sandbox, %quick);
$mf->wait_worker($node, 'postgres');

# made(name, action, columns): an invoice that was sent, and with which a customer has done that: its id
sub made
{
	my ($name, $action, %columns) = @_;

	return ($mf->settle($node, 'postgres', $sandbox, $name, $action, %columns))[0];
}

# The customer pays an invoice that has no repetitions yet
sub pay
{
	my ($name) = @_;
	my ($id, $number) = split /\|/, sql("SELECT id, invoice_id FROM mf_invoice WHERE customer_reference = '$name'");

	$sandbox->invoice($number, 'pay');
	sql("SELECT mf_refresh($id)");
	return $mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
}

sub states
{
	my ($where, $db) = @_;

	return $where->safe_psql($db, q{SELECT (SELECT string_agg(value || ' ' || status, ', ' ORDER BY id) FROM mf_refund),
		(SELECT string_agg(kind || ' ' || status, ', ' ORDER BY id) FROM mf_operation WHERE kind <> 'refund'),
		(SELECT string_agg(customer_reference || ' ' || status, ', ' ORDER BY id) FROM mf_invoice WHERE payment_method_id IS NOT NULL)});
}

# How many requests have come in that move money or make an invoice; and all others
sub requests { return join ' ', map { $sandbox->count(path => "/v2/$_") } qw(SendPayment ExecutePayment MakeRefund UpdatePaymentStatus) }
sub questions { return join ' ', map { $sandbox->count(path => "/v2/$_") } qw(GetPaymentStatus GetRefundStatus GetRecurringPayment) }

# What a database knows of a recurring payment: rows, different invoices, those that were paid
sub repetitions
{
	my ($where, $db, $plan) = @_;

	return $where->safe_psql($db, "SELECT count(*), count(DISTINCT invoice_id), count(*) FILTER (WHERE payment_status = 'paid') FROM mf_invoice WHERE recurring_id = '$plan'");
}

# The books: sums of each kind, and what is left of an invoice
sub books
{
	my ($where, $db, $invoice) = @_;

	return $where->safe_psql($db, "SELECT kind, sum(amount) FROM mf_ledger GROUP BY kind ORDER BY kind; SELECT mf_refundable($invoice)");
}

# The next payments of all plans should be there, and the worker is told to look
sub awaited
{
	my ($where, $db) = @_;

	return $where->safe_psql($db, q{UPDATE mf_event SET due = now() WHERE source = 'plan' AND due IS NOT NULL; SELECT mf_resume('myfatoorah')});
}

# The worker of that database has had a look since
sub looked
{
	my ($where, $db) = @_;
	my $before = $where->safe_psql($db, 'SELECT transactions FROM mf_worker_status');

	awaited($where, $db);
	$mf->wait_for($where, $db, "SELECT transactions > $before FROM mf_worker_status");
	return $mf->wait_idle($where, $db);
}

my ($one, $two, $three) = map { made($_, 'pay') } 'one', 'two', 'three';
my ($first, $second, $third, $fourth) = map { made($_, 'authorize', %held) } 'first', 'second', 'third', 'fourth';

made('executed', 'pay', %executed);
made('plan', 'pay', %plan);
my $plan = sql(q{SELECT recurring_id FROM mf_invoice WHERE customer_reference = 'plan'});
$sandbox->charge($plan);
awaited($node, 'postgres');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE recurring_id = '$plan' AND payment_status = 'paid'", 2);

#
# One that is filed, one that is unknown, two that are queued; likewise the others
#
refund($one, 1);
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 1}, 'filed');
sql("SELECT mf_capture($first, 6)");
$mf->wait_for($node, 'postgres', "SELECT status FROM mf_operation WHERE invoice = $first", 'captured');
$sandbox->faults({ path => 'MakeRefund', never => JSON::PP::true, create => JSON::PP::true });
$sandbox->account(refund_hidden_ms => 600_000);
refund($two, 2);
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 2}, 'unknown');
sql('SELECT mf_pause()');
$sandbox->account(refund_hidden_ms => 0);
refund($three, 3);
refund($three, 4);
sql("SELECT mf_capture($second), mf_release($third), mf_capture($fourth, 1)");
$mf->insert($node, 'postgres', 'executed behind', invoice_value => '10.000', %executed);
$mf->insert($node, 'postgres', 'executed later', send_at => "now() + interval '1 h'", %executed);
$mf->insert($node, 'postgres', $_, invoice_value => '10.000', %plan) for 'plan behind', 'plan charged';
my $states = '1 filed, 2 unknown, 3 queued, 4 queued|capture captured, capture queued, release queued, capture queued|'
  . 'executed sent, plan sent, executed behind queued, executed later queued, plan behind queued, plan charged queued';
$mf->wait_idle($node, 'postgres');
is(states($node, 'postgres'), $states, 'rows in all states');
my $requests = requests();
is($requests, '7 2 2 1', 'and a request for each of those that were sent');

my ($subscriber, $standby) = $mf->copies($node, $sandbox, conf => $conf, %quick);
$sandbox->charge($plan);

is(states($subscriber, 'postgres'), $states, 'the subscriber has them');
is(states($standby, 'postgres'), $states, 'the standby, too');
is(states($node, 'restored'), $states, 'and the restored database');
foreach my $call ("INSERT INTO mf_refund (invoice, value) VALUES ($one, 1)", "SELECT mf_capture($second)", "SELECT mf_release($third)",
	q{SELECT mf_execute_payment('Ahmad', 1, 2, record => true)})
{
	like(($standby->psql('postgres', $call))[2], qr/ERROR:  .*read-only transaction/, "a standby refuses: $call");
}
is($standby->safe_psql('postgres', q{SELECT string_agg(recurring_status, ' ') FROM mf_recurring()}), 'Active', 'and may ask');
$standby->stop;
# it will not hear of what the primary does from now on
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
my $questions = questions();
$mf->wait_worker($node, 'restored');
is($node->safe_psql('restored', q{SELECT count(*) FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL}), 1, 'the restored database is paused');
looked($node, 'restored');
# as if nobody had
$subscriber->safe_psql('postgres', 'DELETE FROM mf_account');
looked($subscriber, 'postgres');
is(requests() . ', ' . questions(), "$requests, $questions", 'no copy asks MyFatoorah for anything, due as it is');
is(repetitions($subscriber, 'postgres', $plan), '2|2|2', 'nor are repetitions found');
$node->safe_psql('restored', 'DELETE FROM mf_account');
looked($node, 'restored');
is(requests(), $requests, 'not even one where nothing is paused moves money');

#
# The original carries out what was queued but for one refund and one capture, which it cancels; and more, which the copies do not know.
#
sql("DROP PUBLICATION pub; SELECT mf_cancel_refund(id) FROM mf_refund WHERE value = 4; SELECT mf_cancel_capture($fourth); SELECT mf_resume()");
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 3}, 'filed');
$mf->wait_for($node, 'postgres', "SELECT string_agg(status, ' ' ORDER BY id) FROM mf_operation WHERE invoice IN ($second, $third)", 'captured released');
$mf->wait_status($node, 'postgres', $_) for 'executed behind', 'plan behind', 'plan charged';
pay($_) for 'executed behind', 'plan charged';
my ($behind, $charged, $number) = split /[|\n]/, sql(q{SELECT recurring_id FROM mf_invoice WHERE customer_reference = 'plan behind'; SELECT recurring_id, invoice_id FROM mf_invoice WHERE customer_reference = 'plan charged'});
$sandbox->charge($charged);
refund($one, 5);
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 5}, 'filed');
$mf->wait_idle($node, 'postgres');
is(requests(), '7 5 4 3', 'the original does');

$standby->start;
$mf->unsubscribe($subscriber);
# sequences are not replicated
$subscriber->safe_psql('postgres', q{SELECT setval(oid::regclass, 1000000) FROM pg_class WHERE relkind = 'S' AND relname LIKE 'mf_%'});
$standby->promote;
$mf->wait_worker($standby, 'postgres');
my @copies = ([ $node, 'restored', 'restored' ], [ $subscriber, 'postgres', 'subscriber' ], [ $standby, 'postgres', 'promoted' ]);
for my $copy (@copies)
{
	my ($where, $db, $what) = @$copy;
	my $wait_for = sub { return $mf->wait_for($where, $db, @_) };

	$where->safe_psql($db, q{SELECT mf_resume('*')});
	is($where->safe_psql($db, q{SELECT count(*) FROM mf_operation WHERE status IN ('queued', 'sending')}), 0, "$what: nothing is queued any more");
	# the worker waits for as long as the original may take; this test does not
	$where->safe_psql($db, q{UPDATE mf_operation SET due = now() WHERE status = 'unknown' AND asked_at IS NULL;
		UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'; UPDATE mf_queue SET due = now(), rank = now(); SELECT mf_resume()});
	$wait_for->(q{SELECT status FROM mf_refund WHERE value = 3}, 'filed');
	$wait_for->(q{SELECT status FROM mf_refund WHERE value = 4}, 'review');
	$wait_for->("SELECT string_agg(status, ' ' ORDER BY id) FROM mf_operation WHERE invoice IN ($second, $third, $fourth)", 'captured released review');
	$wait_for->(q{SELECT string_agg(customer_reference || ' ' || status, '') FROM mf_invoice WHERE status <> 'sent'}, 'plan charged review');
	is(requests(), '7 6 4 3', "$what: what was carried out is found, and nothing is asked for but the invoice that nobody had sent");
	like($where->safe_psql($db, q{SELECT next_step FROM mf_review WHERE what_happened LIKE 'refund%4 KWD%'}), qr/mf_retry_refund/, "$what: a person decides about the refund; mf_review has the call");
	like($where->safe_psql($db, q{SELECT next_step FROM mf_review WHERE what_happened LIKE 'capture%1 KWD%'}), qr/mf_cancel_capture/, "$what: and about the capture");

	# Invoices that were charged have its reference, too, and a person has to say which one began the plan.
	$where->safe_psql($db, "SELECT mf_resolve(id, 'adopt', 'the portal shows it', $number) FROM mf_invoice WHERE customer_reference = 'plan charged'");
}

#
# MyFatoorah charges all plans once more. What was paid, charged and refunded is in the books of each, once.
#
pay('plan behind');
$sandbox->charge($_) for $plan, $behind, $charged;
my $books;
for my $copy ([ $node, 'postgres', 'original' ], @copies)
{
	my ($where, $db, $what) = @$copy;

	$where->safe_psql($db, "SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference IN ('executed behind', 'plan behind', 'plan charged', 'one')");
	for (1, 2)
	{
		awaited($where, $db);
		$mf->wait_for($where, $db, "SELECT count(*) FROM mf_invoice WHERE (payment_method_id IS NOT NULL OR recurring_id IN ('$plan', '$behind', '$charged')) AND payment_status = 'paid'", 11);
		$mf->wait_for($where, $db, 'SELECT status FROM mf_refund WHERE value = 5', 'filed');
		$mf->wait_idle($where, $db);
	}
	is(join(' ', map { repetitions($where, $db, $_) } $plan, $behind, $charged), '4|4|4 2|2|2 3|3|3', "$what: each repetition is a row, once");
	$books //= books($where, $db, $one);
	is(books($where, $db, $one), $books, "$what: the books are those of the original");
	is(requests(), '7 6 4 3', "$what: and nothing was asked for a second time");
}
is(join(', ', sort $sandbox->names('/v2/ExecutePayment')), 'executed, executed behind, executed later, plan, plan behind, plan charged', 'each invoice of ExecutePayment was made once');

$_->stop for $subscriber, $standby, $node;
done_testing();
