# Numbers of MyFatoorah's that two rows have, and answers that fit no row: nothing is booked twice, one refund is one row, and a
# person is told what cannot be right.
use MyFatoorah::Test qw(sql wait_for);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key');
$mf->wait_worker($node, $db);

# An invoice of 10 that was sent, and paid or held: its ids here and there
sub settled { return $mf->settle($node, $db, $sandbox, @_); }

sub refund { return sql("INSERT INTO mf_refund (invoice, value) VALUES ($_[0], $_[1]) RETURNING id"); }

sub wait_refund { return wait_for("SELECT status FROM mf_refund WHERE id = $_[0]", $_[1]); }

sub doubt { return sql("SELECT payment_doubt FROM mf_invoice WHERE id = $_[0]"); }

sub asked { return $mf->ask_refunds($node, $db, $sandbox, @_); }

my ($first) = settled('first', 'pay');
my $first_refund = refund($first, 2);
wait_refund($first_refund, 'filed');
my $theirs = sql("SELECT refund_id FROM mf_refund WHERE id = $first_refund");

#
# An invoice whose row was deleted is taken over in another account of the same address
#
{
	my ($id, $number) = settled('taken over', 'pay');
	my $refund = refund($id, 6);

	wait_refund($refund, 'filed');
	my $refund_id = sql("SELECT refund_id FROM mf_refund WHERE id = $refund");
	$sandbox->decide_refund($refund_id, 'approve');
	sql("SELECT mf_refresh($id)");
	wait_refund($refund, 'refunded');
	wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
	my $books = sql(q{SELECT string_agg(kind || ' ' || trim_scale(amount) || ' ' || source, ', ' ORDER BY kind) FROM mf_ledger WHERE invoice = } . $id);
	like($books, qr/^fee .*payment 10 .*refund -6 $refund_id$/, 'a payment, its fee and a refund are booked');
	sql("DELETE FROM mf_invoice WHERE id = $id");
	my $new = sql("SELECT mf_adopt('$number', 'second')");
	wait_for("SELECT trim_scale(net_value) || ' ' || payment_status FROM mf_invoice WHERE id = $new", '4 partly_refunded');
	is(sql(qq{SELECT string_agg(kind || ' ' || trim_scale(amount) || ' ' || source, ', ' ORDER BY kind) FROM mf_ledger WHERE invoice IN ($id, $new)}), $books, 'they are in the books once');
	is(sql("SELECT string_agg(DISTINCT invoice || ' ' || account, ', ') FROM mf_ledger WHERE invoice IN ($id, $new)"), "$new second", 'the lines of the ledger are those of the new row');
	is(sql("SELECT string_agg(id || ' ' || invoice || ' ' || account, ', ') FROM mf_operation WHERE refund_id = $refund_id"), "$refund $new second", 'one RefundId is one row');
	is(doubt($new), '', 'and nothing is doubtful');
}

#
# A payment with the number of another one
#
{
	my $payment = sql("SELECT payment_id FROM mf_invoice WHERE id = $first");
	my $id = $mf->insert($node, $db, 'same payment', invoice_value => '10.000');

	$mf->wait_status($node, $db, 'same payment');
	my $number = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
	$sandbox->invoice($number, 'pay');
	my $body = $sandbox->request('POST', '/v2/GetPaymentStatus', qq({"Key":"$number","KeyType":"InvoiceId"}),
		{ Authorization => 'Bearer ' . $sandbox->key, 'Content-Type' => 'application/json' })->{content};
	$body =~ s/"PaymentId":"\w+"/"PaymentId":"$payment"/ or die $body;
	$sandbox->faults({ path => 'GetPaymentStatus', contains => "$number", times => -1, status => 200, body => $body });
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT payment_status = 'paid' FROM mf_invoice WHERE id = $id");
	is(doubt($id), "PaymentId $payment is in the books of invoice $first, too", 'a PaymentId that two invoices have is shown');
	is(sql("SELECT what_happened FROM mf_review WHERE id = $id"), doubt($id), 'mf_review shows it');
	$sandbox->clear_faults;
}

#
# Two answers with a payment of one number come at once
#
{
	my @ids = map { $mf->insert($node, $db, $_, invoice_value => '10.000') } 'one at once', 'other at once';
	my $asked = { path => '/v2/GetPaymentStatus' };

	$mf->wait_status($node, $db, $_) for 'one at once', 'other at once';
	my @numbers = map { sql("SELECT invoice_id FROM mf_invoice WHERE id = $_") } @ids;
	$sandbox->invoice($_, 'pay') for @numbers;
	foreach my $number (@numbers)
	{
		my $body = $sandbox->request('POST', '/v2/GetPaymentStatus', qq({"Key":"$number","KeyType":"InvoiceId"}),
			{ Authorization => 'Bearer ' . $sandbox->key, 'Content-Type' => 'application/json' })->{content};
		$body =~ s/"PaymentId":"\w+"/"PaymentId":"07076000000000000001"/ or die $body;
		$sandbox->faults({ path => 'GetPaymentStatus', contains => "$number", delay_ms => -1, status => 200, body => $body });
	}
	my $before = $sandbox->count(%$asked);
	sql("SELECT mf_refresh(ARRAY[$ids[0], $ids[1]])");
	$sandbox->wait_count($asked, $before + 2) or die "they are not asked for\n";
	$sandbox->clear_faults;
	wait_for("SELECT count(*) FROM mf_invoice WHERE id IN ($ids[0], $ids[1]) AND payment_status = 'paid'", 2);
	my $in = sql("SELECT string_agg(payment_doubt, '|') FROM mf_invoice WHERE id IN ($ids[0], $ids[1])");
	like($in, qr/PaymentId 07076000000000000001 is in the books of invoice (?:$ids[0]|$ids[1]), too/, 'a PaymentId that two answers have is shown');
}

#
# A refund with the number of another invoice's
#
{
	my ($id, $number) = settled('same refund', 'pay');

	$sandbox->faults({ path => 'MakeRefund', never => JSON::PP::true });
	my $refund = refund($id, 4);
	wait_refund($refund, 'review');
	my (undef, undef, $error) = $node->psql($db, "SELECT mf_resolve_refund($refund, 'filed', 'portal', refund_id => $theirs)");
	like($error, qr/refund $first_refund has RefundId $theirs/, 'a person cannot take it for this one');
	is(sql("SELECT status FROM mf_refund WHERE id = $refund"), 'review', 'which is still to be decided');
	sql("SELECT mf_resolve_refund($refund, 'refused', 'portal shows none')");

	$sandbox->list_refunds($number, { RefundId => $theirs + 0, Amount => 3 });
	asked($id);
	wait_for("SELECT trim_scale(refunded_value) FROM mf_invoice WHERE id = $id", 3);
	is(sql("SELECT last_error FROM mf_refund WHERE invoice = $id AND refund_id = $theirs"), "refund $first_refund of another invoice has this RefundId, too", 'one that MyFatoorah lists is shown');
	is(doubt($id), 'a refund may be one too many: last_error of mf_refund says why', 'payment_doubt tells of it');
	$sandbox->clear_faults;
}

#
# The answer to a request names another refund, and the list has ours by its reference
#
{
	my ($id, $number) = settled('misnumbered', 'pay');

	$sandbox->faults({ path => 'MakeRefund', contains => "$number", create => JSON::PP::true, status => 200,
		body => qq({"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":{"Key":"$number","RefundId":$theirs,"RefundReference":"1","Amount":4}}) });
	my $refund = refund($id, 4);
	my ($ours) = wait_for("SELECT status = 'filed' AND refund_reference IS NOT NULL FROM mf_refund WHERE id = $refund") && map { $_->{id} } $sandbox->refunds(invoice => $number);
	is(sql("SELECT string_agg(id || ' ' || status || ' ' || refund_id, ', ') FROM mf_refund WHERE invoice = $id"), "$refund filed $ours", 'the row takes it, and no other is made');
	is(doubt($id), '', 'nothing is said of an earlier request');
	is(sql("SELECT trim_scale(mf_refundable($id))"), 6, 'mf_refundable() counts it once');

	# one request under two numbers
	my $reference = sql("SELECT reference FROM mf_refund WHERE id = $refund");
	$sandbox->list_refunds($number, map { { RefundId => $_ + 0, RefundReference => "$_", RefundStatus => 'Pending', Amount => 4, ExternalIdentifier => $reference } } $ours + 50, $ours);
	asked($id);
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 2);
	is(sql("SELECT last_error FROM mf_refund WHERE invoice = $id AND refund_id = $ours + 50"), "MyFatoorah lists refund $refund under another RefundId, too", 'a request that is listed twice is shown as that');
	is(sql("SELECT refund_id FROM mf_refund WHERE id = $refund"), $ours, 'the row keeps its own');
	$sandbox->clear_faults;
}

#
# Less was captured than was asked for
#
{
	my ($id, $number) = settled('captured', 'authorize', processing_details => q('{"AutoCapture": false}'));

	$sandbox->faults({ path => 'UpdatePaymentStatus', never => JSON::PP::true });
	my $capture = sql("SELECT mf_capture($id, 6)");
	wait_for("SELECT status = 'review' FROM mf_operation WHERE id = $capture");
	$sandbox->invoice($number, 'capture', { amount => '3' });
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT status = 'captured' FROM mf_operation WHERE id = $capture");
	like(doubt($id), qr/^MyFatoorah has captured 3(?:\.0+)?, and capture $capture is one of 6$/, 'a person is told that another amount was captured');
}

#
# Words and numbers that nobody knows
#
{
	my ($id, $number) = settled('words', 'pay');

	$sandbox->list_refunds($number, { RefundId => 8, Amount => 1, RefundStatus => 'Escalated' });
	asked($id);
	wait_for("SELECT payment_error FROM mf_invoice WHERE id = $id", 'MyFatoorah says RefundStatus "Escalated" of RefundId 8, a word that is not known; the refund was left as it was');
	$sandbox->clear_faults;
	$sandbox->list_refunds($number, { RefundId => 9, Amount => 1, InvoiceId => 4711 });
	asked($id);
	wait_for("SELECT payment_error FROM mf_invoice WHERE id = $id", "asked for refunds of invoice $number, MyFatoorah lists RefundId 9 of invoice 4711");
	is(sql("SELECT count(*) FROM mf_refund WHERE invoice = $id"), 0, 'what cannot be read changes nothing, and is shown');
	$sandbox->clear_faults;

	# under our reference, it is no proof that there is no such refund
	sql(q{SELECT mf_pause('myfatoorah')});
	my $refund = refund($id, 2);
	my $reference = sql("SELECT reference FROM mf_refund WHERE id = $refund");
	$sandbox->faults({ path => 'MakeRefund', contains => $reference, never => JSON::PP::true });
	sql(q{SELECT mf_resume('myfatoorah')});
	wait_refund($refund, 'unknown');
	$sandbox->list_refunds($number, { RefundId => 10, Amount => 2, RefundStatus => 'Escalated', ExternalIdentifier => $reference });
	sql("UPDATE mf_operation SET due = now(), lookups = 0 WHERE id = $refund; SELECT mf_resume()");
	wait_for("SELECT payment_error LIKE '%of RefundId 10,%' FROM mf_invoice WHERE id = $id");
	is(sql("SELECT status, lookups FROM mf_operation WHERE id = $refund"), 'unknown|0', 'a refund in a state that is not known is not one that is not there');
}

unlike(slurp_file($node->logfile), qr/is put off because|could not write/, 'and no round has failed');
$node->stop;
done_testing();
