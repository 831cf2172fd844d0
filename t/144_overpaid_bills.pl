# What mf_overpaid advises, followed to the letter: never more goes back than is too much, in the currency of the account, of payments
# that have it; what is under way counts as given back, whoever has asked for it, and no bill becomes a debt by it.
use MyFatoorah::Test qw(sql wait_for);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';

# A bill with that key, whose link was sent: its id, and that of the link
sub bill
{
	my ($key, $total, $currency) = @_;
	my $id = $mf->insert_bill($node, $db, $key, total => $total, currency => $mf->literal($currency // 'KWD'));

	return ($id, sql("SELECT invoice FROM mf_bill WHERE id = $id"));
}

sub number_of { return sql("SELECT invoice_id FROM mf_invoice WHERE id = $_[0]"); }

sub pay
{
	my ($link, $order) = @_;

	$sandbox->invoice(number_of($link), 'pay', $order);
	return sql("SELECT mf_refresh($link)");
}

# A column of a bill in mf_overpaid, with a letter for each of its payments in the order in which they were booked
sub advice
{
	my ($bill, $column) = @_;
	my $advice = sql('SELECT ' . ($column // 'next_step') . " FROM mf_overpaid WHERE bill = $bill");
	my $letter = 'A';

	foreach (split /\n/, sql("SELECT payment_id FROM mf_receipt WHERE bill = $bill AND value > 0 AND payment_id IS NOT NULL ORDER BY id"))
	{
		$advice =~ s/\b$_\b/$letter/g;
		$letter++;
	}
	$advice =~ s/\(\d+, /(N, /g;
	# what keeps two hands from doing it twice has a test of its own
	$advice =~ s/, idempotency_key\)/)/;
	$advice =~ s/, 'overpaid [^']+'//g;
	$advice =~ s/ ON CONFLICT \(account, idempotency_key\) DO NOTHING//;
	return $advice;
}

# Does what next_step says
sub follow
{
	my ($bill) = @_;
	my ($statement) = sql("SELECT next_step FROM mf_overpaid WHERE bill = $bill") =~ /(INSERT INTO mf_refund .*? DO NOTHING)\. /;

	return sql($statement);
}

# MyFatoorah's finance team decides about all refunds of a bill
sub decide
{
	my ($bill, $decision) = @_;
	my $of_bill = "FROM mf_refund r JOIN mf_link k ON k.invoice = r.invoice WHERE k.bill = $bill AND r.status IN";

	$sandbox->decide_refund($_, $decision) foreach split /\n/, sql("SELECT r.refund_id $of_bill ('filed')");
	sql("SELECT mf_refresh(k.invoice) FROM mf_link k WHERE k.bill = $bill");
	wait_for("SELECT count(*) $of_bill ('queued', 'sending', 'filed', 'unknown')", 0);
	return wait_for("SELECT count(*) FROM mf_ledger l JOIN mf_link k ON k.invoice = l.invoice WHERE k.bill = $bill AND l.kind <> 'fee' AND NOT EXISTS (SELECT FROM mf_receipt r WHERE r.ledger = l.id)", 0);
}

# A webhook about a dispute of a link
sub dispute
{
	my ($link, %what) = @_;
	my $number = number_of($link);
	my $before = () = $sandbox->deliveries(invoice => $number);

	$sandbox->invoice($number, 'dispute', { id => 900 + $before, %what });
	$sandbox->wait_deliveries({ invoice => $number, phase => 'queued' }, $before + 1) or die "no webhook\n";
	return sql($mf->webhook(($sandbox->deliveries(invoice => $number))[-1]));
}

sub filed
{
	my ($bill, $count) = @_;

	return wait_for("SELECT count(*) FROM mf_refund r JOIN mf_link k ON k.invoice = r.invoice WHERE k.bill = $bill AND r.status = 'filed'", $count);
}

sub state { return sql("SELECT status, received, overpaid, (SELECT count(*) FROM mf_link WHERE bill = b.id) FROM mf_bill b WHERE id = $_[0]"); }

$mf->setup_account($node, $db, $sandbox);
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, $db);
my $hand = 'Give %s back by hand. Record it in one transaction: SELECT mf_reverse(receipt, reason), and INSERT INTO mf_receipt what stays of that receipt, if anything does.';
my $by_itself = 'Refunds become receipts by themselves.';

#
# One link paid twice
#
my ($bill, $link) = bill('twice', 10);
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
pay($link, { duplicate => JSON::PP::true });
wait_for("SELECT overpaid FROM mf_bill WHERE id = $bill", '10.000');
is(advice($bill), "Refund 10.000 KWD of payment B: INSERT INTO mf_refund (invoice, value, payment_id) VALUES (N, 10.000, 'B'). $by_itself", 'one of two payments is to be refunded');
is(advice($bill, "array_to_string(payments, ' '), being_refunded"), 'B A|0.000', 'each of them can be');
sql("SELECT mf_pause()");
follow($bill);
is(advice($bill, 'being_refunded, next_step'), '10.000|Refunds of 10.000 KWD are under way, and that is all of it.', 'what is queued counts as given back');
sql("SELECT mf_resume()");
filed($bill, 1);
is(advice($bill, "overpaid, array_to_string(payments, ' '), next_step"), '10.000|A|Refunds of 10.000 KWD are under way, and that is all of it.', 'and what is filed');
sql('SELECT mf_billing_tick(now())');
is(state($bill), 'paid|20.000|10.000|1', 'until it is refunded the money is ours, and the bill is paid');
decide($bill, 'reject');
is(advice($bill), "Refund 10.000 KWD of payment B: INSERT INTO mf_refund (invoice, value, payment_id) VALUES (N, 10.000, 'B'). $by_itself", 'what was rejected is to be refunded again');
follow($bill);
filed($bill, 1);
decide($bill, 'approve');
is(advice($bill), '', 'then nothing is too much');
is(state($bill), 'paid|10.000|0.000|1', 'and the bill is paid, without another link');

# Asked for in the portal, and not decided there yet
($bill, $link) = bill('portal', 10);
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
pay($link, { duplicate => JSON::PP::true });
wait_for("SELECT overpaid FROM mf_bill WHERE id = $bill", '10.000');
$sandbox->invoice(number_of($link), 'refund', { amount => '4', pending => JSON::PP::true });
sql("SELECT mf_refresh($link)");
filed($bill, 1);
is(advice($bill), "Refunds of 4.000 KWD are under way. Refund 6.000 KWD of payment B: INSERT INTO mf_refund (invoice, value, payment_id) VALUES (N, 6.000, 'B'). $by_itself", 'a refund made in the portal counts');

#
# Void, and paid by two links: no payment has all of it
#
($bill, $link) = bill('void', 10);
sql("SELECT mf_new_link($bill, 'lost')");
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND i.id <> $link", 'sent');
my $second = sql("SELECT invoice FROM mf_bill WHERE id = $bill");
sql("SELECT mf_void($bill, 'moved out')");
pay($link);
wait_for("SELECT received FROM mf_bill WHERE id = $bill", '10.000');
pay($second);
wait_for("SELECT received FROM mf_bill WHERE id = $bill", '20.000');
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 3)");
my $both = "INSERT INTO mf_refund (invoice, value, payment_id) VALUES (N, 10.000, 'B'), (N, 10.000, 'A'). Refunds become receipts by themselves.";
is(advice($bill), "Refund 10.000 KWD of payment B and 10.000 KWD of payment A: $both " . sprintf($hand, '3.000 KWD'), 'each payment is refunded for what it has, and cash is given back');
follow($bill);
filed($bill, 2);
is(advice($bill), 'Refunds of 20.000 KWD are under way. ' . sprintf($hand, '3.000 KWD'), 'all of both');
decide($bill, 'approve');
is(advice($bill, "array_to_string(payments, ' '), next_step"), '|' . sprintf($hand, '3.000 KWD'), 'what was given back is no payment to refund any more');
is(state($bill), 'void|3.000|3.000|2', 'and the bill stays void');

#
# Two people have the same list open: what both do is done once, also where less than half of a payment is too much, and where news came between
#
($bill, $link) = bill('two hands', 100);
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 40)");
my ($first) = sql("SELECT next_step FROM mf_overpaid WHERE bill = $bill") =~ /(INSERT INTO mf_refund .*? DO NOTHING)\. /;
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 5)");
my ($later) = sql("SELECT next_step FROM mf_overpaid WHERE bill = $bill") =~ /(INSERT INTO mf_refund .*? DO NOTHING)\. /;
sql($_) foreach $first, $first, $later;
is(sql("SELECT count(*), sum(value) FROM mf_refund WHERE invoice = $link"), '1|40.000', 'two people who do what next_step says refund once');
filed($bill, 1);
like(advice($bill), qr/^Refunds of 40\.000 KWD are under way\. Refund 5\.000 KWD of payment A: /, 'what is left has a step of its own');
follow($bill);
is(sql("SELECT sum(value) FROM mf_refund WHERE invoice = $link"), '45.000', 'which is another refund');
filed($bill, 2);
decide($bill, 'approve');
is(state($bill), 'paid|100.000|0.000|1', 'and the bill stays paid');

#
# A bill in another currency than the account's
#
foreach my $case ([ 'riyals', '100', '5' ], [ 'little', '19.99', '0.01' ], [ 'odd', '33.33', '7.77' ])
{
	my ($key, $total, $cash) = @$case;

	($bill, $link) = bill($key, $total, 'SAR');
	pay($link);
	wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
	sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', $cash)");
	my $paid = sql("SELECT mf_refundable($link)");
	if ($key eq 'little')
	{
		like(advice($bill), qr/^(?:Refund 0\.001 KWD|\Q${\ sprintf($hand, '0.01 SAR')}\E)/, 'what is less than a fils goes back by hand');
		next;
	}
	like(advice($bill), qr/^Refund 0\.\d{3} KWD of payment A: INSERT INTO mf_refund \(invoice, value, payment_id\) VALUES \(N, 0\.\d{3}, 'A'\)/, "$key: the refund is in the currency of the account");
	cmp_ok(abs((advice($bill) =~ /^Refund (\S+)/)[0] - $paid * $cash / $total), '<', 0.001, 'of the same part');
	follow($bill);
	filed($bill, 1);
	like(advice($bill), qr/^Refunds of \d\.\d\d SAR are under way/, 'which counts in the currency of the bill');
	unlike(advice($bill), qr/INSERT INTO mf_refund/, 'and once');
	decide($bill, 'approve');
	like(state($bill), qr/^paid\|\d+\.\d\d\|0\.0[01]\|1$/, 'the bill stays paid, to the hundredth, without another link');
	like(advice($bill), qr/^(?:Of 0\.01 SAR nothing can be refunded\.)?$/, 'and no more can be given back');
}

# paid twice: the whole of one payment
($bill, $link) = bill('riyals twice', '47.11', 'SAR');
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
pay($link, { duplicate => JSON::PP::true });
wait_for("SELECT overpaid FROM mf_bill WHERE id = $bill", '47.11');
my $value = sql("SELECT base_value FROM mf_invoice WHERE id = $link");
is(advice($bill), "Refund $value KWD of payment B: INSERT INTO mf_refund (invoice, value, payment_id) VALUES (N, $value, 'B'). $by_itself", 'a payment that is too much goes back whole');

#
# A payment that its bank disputes is not given back beside that.
#
{
	my $secret = 'disputed';

	$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
	sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
	($bill, $link) = bill('disputed', 10);
	foreach my $times (1 .. 2)
	{
		pay($link, { duplicate => JSON::PP::true });
		wait_for("SELECT count(*) FROM mf_receipt WHERE bill = $bill", $times);
	}
	my @payments = split /\n/, sql("SELECT payment_id FROM mf_receipt WHERE bill = $bill ORDER BY id");
	foreach my $case ([ $payments[1], qr/^Refund 10\.000 KWD of payment A: /, '{A}' ], [ $payments[0], qr/^Of 10\.000 KWD wait until the dispute of payment B and A has ended, and look here again/, '' ])
	{
		my ($payment, $step, $left) = @$case;

		dispute($link, status => 'PENDING', payment_id => $payment);
		wait_for("SELECT count(*) FROM mf_dispute WHERE invoice = $link AND payment_id = '$payment'", 1);
		like(advice($bill), $step, 'a payment under dispute is not to be refunded');
		is(advice($bill, 'payments'), $left, 'but another one, if there is one');
		sql("UPDATE mf_dispute_state SET payment_id = NULL WHERE invoice = $link AND payment_id = '$payment'");
		is(advice($bill, 'payments'), '', 'nor any, if the dispute does not say of which it is');
		sql("UPDATE mf_dispute_state SET payment_id = '$payment' WHERE invoice = $link AND payment_id IS NULL");
	}

	# whoever does so nevertheless is told when the bank takes it, too
	my (undef, $refund, $warning) = $node->psql($db, "INSERT INTO mf_refund (invoice, value, payment_id) VALUES ($link, 10, '$payments[1]') RETURNING id");
	my $disputed = sql("SELECT dispute_id FROM mf_dispute WHERE invoice = $link AND payment_id = '$payments[1]'");
	like($warning, qr/WARNING:  a payment of invoice $link is disputed\nDETAIL:  Dispute $disputed is pending\. .*\nHINT:  .*mf_cancel_refund\($refund\)/, 'whoever refunds a payment under dispute is told');
	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'filed');
	$sandbox->decide_refund(sql("SELECT refund_id FROM mf_refund WHERE id = $refund"), 'approve');
	sql("SELECT mf_refresh($link)");
	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'refunded');
	my $lost = sql("SELECT dispute_id FROM mf_dispute WHERE invoice = $link AND payment_id = '$payments[1]'");
	dispute($link, id => $lost + 0, status => 'LOST', type => 'CHARGEBACK', payment_id => $payments[1]);
	wait_for("SELECT payment_status FROM mf_invoice WHERE id = $link", 'refunded');
	is(sql("SELECT payment_doubt FROM mf_invoice WHERE id = $link"), "refunds and a dispute that was LOST give more of PaymentId $payments[1] back than it was", 'one payment that is given back twice needs a person');
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET payment_doubt = 'one; ' || payment_doubt || '; two' WHERE id = $link");
	dispute($link, id => $lost + 0, status => 'RESOLVED', type => 'CHARGEBACK', payment_id => $payments[1]);
	wait_for("SELECT status FROM mf_dispute WHERE invoice = $link AND payment_id = '$payments[1]'", 'RESOLVED');
	is(sql("SELECT payment_doubt FROM mf_invoice WHERE id = $link"), 'one; two', 'no more, once the dispute was won; but whatever else is in doubt does');

	# one that the bank took, and gave back, is no later payment than it was
	($bill, $link) = bill('won', 10);
	foreach my $times (1 .. 2)
	{
		pay($link, { duplicate => JSON::PP::true });
		wait_for("SELECT count(*) FROM mf_receipt WHERE bill = $bill", $times);
	}
	my $earlier = sql("SELECT payment_id FROM mf_receipt WHERE bill = $bill ORDER BY id LIMIT 1");
	foreach my $case ([ 'LOST', '10.000' ], [ 'RESOLVED', '20.000' ])
	{
		dispute($link, id => 990, status => $case->[0], type => 'CHARGEBACK', payment_id => $earlier);
		wait_for("SELECT received FROM mf_bill WHERE id = $bill", $case->[1]);
	}
	is(advice($bill, 'payments'), '{B,A}', 'a payment that its bank took, and gave back, is no later one');
	like(advice($bill), qr/^Refund 10\.000 KWD of payment B: /, 'so the other is to be refunded');
}

#
# What refusals advise
#
($bill, $link) = bill('refused', 10);
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
foreach my $refused ("SELECT mf_void($bill, 'x')", "SELECT mf_reverse(id, 'x') FROM mf_receipt WHERE bill = $bill")
{
	my $call = ($node->psql($db, $refused))[2] =~ /HINT:.*(INSERT INTO mf_refund .*?)(?:\. The refund|$)/m ? $1 : 'none';

	is(sql("BEGIN; $call; SELECT value FROM mf_refund WHERE invoice = $link; ROLLBACK"), '10.000', "a refusal names the call that refunds: $refused" =~ s/\d+/N/gr);
}

#
# Invoices in the archive
#
($bill, $link) = bill('archived', 10);
pay($link);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 3)");
wait_for("SELECT count(*) FROM mf_reaction_queue WHERE invoice = $link", 0);
# as after years
sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01' WHERE id = $link; DELETE FROM mf_inquiry WHERE invoice = $link");
is(sql("SELECT mf_archive('2020-02-01')"), '1', 'the link is archived');
is(advice($bill), "Of what links were paid that are not in mf_invoice nothing is known here: SELECT mf_unarchive('{$link}'), and look here again.", 'an archived invoice is to come back first');
sql("SELECT mf_unarchive('{$link}')");
like(advice($bill), qr/^Refund 3\.000 KWD of payment A: /, 'then it can be refunded');

done_testing();
