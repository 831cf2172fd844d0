# A payment comes back: by webhook and callback handed in through SQL, by the poller, by a person's question; and only
# what GetPaymentStatus confirms counts.
use MyFatoorah::Test;

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $secret = 'Wx+sEcReT/of=the+portal';

$mf->setup_account($node, $db, $sandbox);
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);

# An invoice that was sent, by name; its numbers here and there.
sub sent
{
	my ($name, %columns) = @_;
	my $id = $mf->insert($node, $db, $name, %columns);

	$mf->wait_status($node, $db, $name);
	return ($id, $node->safe_psql($db, "SELECT invoice_id FROM mf_invoice WHERE id = $id"));
}

sub pay
{
	my ($invoice, %order) = @_;

	return $sandbox->control('POST', "invoices/$invoice/" . (delete $order{action} // 'pay'), \%order);
}

sub wait_payment
{
	my ($id, $status) = @_;

	return $mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", $status);
}

# The newest webhook that the stand-in made of an invoice.
sub newest
{
	my ($invoice) = @_;

	$sandbox->wait_deliveries({ invoice => $invoice, phase => 'queued' }, 1) or die "no webhook of invoice $invoice\n";
	return ($sandbox->deliveries(invoice => $invoice))[-1];
}

# Hands in the newest webhook that the stand-in made of an invoice.
sub hand_in
{
	my ($invoice, %changes) = @_;
	my $delivery = newest($invoice);
	my $body = $changes{body} // $delivery->{body};
	my $signature = exists $changes{signature} ? $changes{signature} : $delivery->{signature};

	my ($code, $out, $err) = $node->psql($db, $mf->webhook({ body => $body, signature => $signature, version => $delivery->{version} }));

	return $code == 0 ? $out : $err;
}

sub lookups
{
	return $sandbox->count(path => '/v2/GetPaymentStatus');
}

{
	my ($id, $invoice) = sent('webhook');
	my $before = lookups();

	pay($invoice);
	is(hand_in($invoice), '1', 'a webhook is taken in');
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT invoice_status, base_currency, base_value, display_currency, display_value,
			pay_currency, overpaid, paid_late, payment_id = (SELECT payment_id FROM mf_transaction WHERE invoice = $id),
			paid_at IS NOT NULL FROM mf_invoice WHERE id = $id"),
		'Paid|KWD|1.250|KWD|1.250|KWD|f|f|t|t', 'the row says how it was paid');
	is($node->safe_psql($db, "SELECT from_status, to_status, actor FROM mf_history WHERE invoice = $id ORDER BY changed_at DESC
			LIMIT 1"), 'unpaid|paid|status reader', 'the history says who found out');
	is($node->safe_psql($db, "SELECT count(*), min(source), min(event_code), min(event_status), bool_and(answered_at IS NOT
			NULL), bool_and(invoice = $id) FROM mf_event"), '1|webhook|1|SUCCESS|t|t', 'the event is kept');
	is(lookups() - $before, 1, 'one question was asked');

	is(hand_in($invoice), '1', 'a repetition is taken in as well');
	is($node->safe_psql($db, "SELECT deliveries FROM mf_event"), '2', 'and counted');
	is(lookups() - $before, 1, 'and asks nothing');

	my $delivery = newest($invoice);

	like(hand_in($invoice, body => $delivery->{body} =~ s/SUCCESS/FAILURE/r), qr/invalid webhook signature/,
		'a forged one is refused');
	like(hand_in($invoice, signature => undef), qr/invalid webhook signature/, 'an unsigned one is refused');
	is($node->safe_psql($db, 'SELECT count(*) FROM mf_event'), '1', 'and none of them is kept');
}

{
	my ($id, $invoice) = sent('callback');
	pay($invoice);
	my $payment_id = $sandbox->invoice($invoice)->{transactions}[-1]{payment_id};

	$node->safe_psql($db, "SELECT mf_callback('$payment_id')");
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT source, invoice FROM mf_event WHERE payment_id = '$payment_id' AND source = 'callback'"),
		"callback|$id", 'a PaymentId finds its invoice');
}

{
	my ($id, $invoice) = sent('failed');

	pay($invoice, action => 'fail', error_code => 'MF004');
	hand_in($invoice);
	$mf->wait_for($node, $db, "SELECT transaction_status || ' ' || error_code FROM mf_transaction WHERE invoice = $id",
		'Failed MF004');
	is($node->safe_psql($db, "SELECT payment_status FROM mf_invoice WHERE id = $id"), 'unpaid', 'a failed try is no end');
	pay($invoice);
	hand_in($invoice);
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT count(*), count(DISTINCT payment_id) FROM mf_transaction WHERE invoice = $id"), '2|2',
		'each try has its row');
	pay($invoice, duplicate => JSON::PP::true);
	hand_in($invoice);
	$mf->wait_for($node, $db, "SELECT overpaid FROM mf_invoice WHERE id = $id");
	is($node->safe_psql($db, "SELECT payment_status FROM mf_invoice WHERE id = $id"), 'paid', 'paid twice is flagged');
}

{
	my ($id, $invoice) = sent('authorised', processing_details => q('{"AutoCapture": false}'));

	pay($invoice, action => 'authorize');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'authorized');
	pay($invoice, action => 'capture', amount => '0.500');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT base_value FROM mf_invoice WHERE id = $id"), '0.500', 'a partial capture lowers the value');

	($id, $invoice) = sent('released', processing_details => q('{"AutoCapture": false}'));
	pay($invoice, action => 'authorize');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'authorized');
	pay($invoice, action => 'release');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'unpaid');
	ok(1, 'a release makes it unpaid again');
}

{
	my ($id, $invoice) = sent('expired');

	pay($invoice, action => 'expire');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'expired');
	pay($invoice, force => JSON::PP::true);
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT paid_late FROM mf_invoice WHERE id = $id"), 't', 'late money is accepted and flagged');

	($id, $invoice) = sent('cancelled');
	pay($invoice, action => 'cancel');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'remote_cancelled');
	ok(1, 'MyFatoorah has cancelled it');
}

{
	my ($id, $invoice) = sent('refunded');

	pay($invoice);
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'paid');
	$sandbox->refund($invoice, '0.250');
	hand_in($invoice);
	wait_payment($id, 'partly_refunded');
	$sandbox->refund($invoice, '1.000');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'refunded');
	is($node->safe_psql($db, "SELECT refunded_value FROM mf_invoice WHERE id = $id"), '1.250', 'refunds add up');
}

{
	my ($id, $invoice) = sent('strange');

	pay($invoice, invoice_status => 'Quibbled');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	$mf->wait_for($node, $db, "SELECT invoice_status FROM mf_invoice WHERE id = $id", 'Quibbled');
	is($node->safe_psql($db, "SELECT payment_status, payment_error LIKE '%Quibbled%' FROM mf_invoice WHERE id = $id"),
		'unpaid|t', 'an unknown word is shown, never guessed');
	($id, $invoice) = sent('double');
	pay($invoice, invoice_status => 'DuplicatePayment');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	wait_payment($id, 'paid');
	is($node->safe_psql($db, "SELECT overpaid FROM mf_invoice WHERE id = $id"), 't', 'DuplicatePayment is paid and flagged');
}

# Right after a payment MyFatoorah's own reads may lag behind.
{
	my ($id, $invoice) = sent('lag');

	$sandbox->lag(reads => 2);
	pay($invoice);
	$sandbox->lag;
	hand_in($invoice);
	wait_payment($id, 'paid');
	ok(1, 'a read that lags behind is repeated');
}

# An event that comes while an answer is under way gets an answer of its own.
{
	my ($id, $invoice) = sent('meanwhile');
	my $question = { path => '/v2/GetPaymentStatus',
		reference => $node->safe_psql($db, "SELECT reference FROM mf_invoice WHERE id = $id") };

	$sandbox->faults({ path => 'GetPaymentStatus', reference => $question->{reference}, delay_ms => 1000 });
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	$sandbox->wait_count($question, 1);
	pay($invoice);
	hand_in($invoice);
	wait_payment($id, 'paid');
	is($sandbox->count(%$question), 2, 'the event has had an answer of its own');
}

# What an answer has allowed ends with the entry of its inquiry: a later one asks about the invoice first, and not only for refunds.
{
	my ($id, $invoice) = sent('entry gone');
	my $question = { path => '/v2/GetPaymentStatus',
		reference => $node->safe_psql($db, "SELECT reference FROM mf_invoice WHERE id = $id") };
	my $session = $mf->session($node, $db);

	pay($invoice);
	$sandbox->faults({ path => 'GetPaymentStatus', reference => $question->{reference}, delay_ms => 1000 });
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	$sandbox->wait_count($question, 1) or die "nobody asks\n";
	$session->query_until(qr/deleted/, "BEGIN;\nSET LOCAL session_replication_role = replica;\nDELETE FROM mf_inquiry WHERE invoice = $id;\n\\echo deleted\n");
	wait_payment($id, 'paid');
	$session->query_until(qr/committed/, "COMMIT;\n\\echo committed\n");
	$session->quit;
	is($node->safe_psql($db, "SELECT count(*) FROM mf_inquiry WHERE invoice = $id"), 0, 'the entry is gone');
	pay($invoice, duplicate => JSON::PP::true);
	$sandbox->refund($invoice, '0.250');
	$node->safe_psql($db, "SELECT mf_refresh($id)");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
	is($node->safe_psql($db, "SELECT overpaid, refunded_value FROM mf_invoice WHERE id = $id"), 't|0.250', 'both the second payment and the refund are found');
	is($sandbox->count(%$question), 2, 'by one question about the invoice');
}

# mf_wait
{
	my ($id, $invoice) = sent('wait');
	my $session = $mf->session($node, $db);

	is($node->safe_psql($db, "SELECT changed FROM mf_wait($id, '0', 'sent')"), 't', 'what is so already is not waited for');
	is($node->safe_psql($db, "SELECT changed, status_now, payment_status_now FROM mf_wait($id, '100 ms')"), 'f|sent|unpaid',
		'the time is over');
	$session->query_until(qr/ready/, "\\echo ready\nSELECT 'waited', * FROM mf_wait($id, '1 min', payment_status => 'paid');\n");
	pay($invoice);
	hand_in($invoice);
	like($session->query('SELECT 1'), qr/waited\|t\|sent\|paid/, 'somebody who waits is told');
	$session->quit;
	my ($code, $out, $err) = $node->psql($db, "BEGIN; INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)
		RETURNING id \\gset\nSELECT mf_wait(:id);");
	like($err, qr/row of its own transaction/, 'nobody waits for himself');
}

# The poller: nothing but time tells it.
{
	my ($id, $invoice) = sent('polled');

	pay($invoice);
	$node->safe_psql($db, "UPDATE mf_inquiry SET due = now() WHERE invoice = $id");
	$node->append_conf('postgresql.conf', "myfatoorah.poll_delay = '20ms'");
	$node->reload;
	$mf->insert($node, $db, 'next');
	wait_payment($id, 'paid');
	ok(1, 'the poller finds what nobody told');
}

# Which rights a user's trigger has: the worker's, not a superuser's.
{
	$node->safe_psql($db, q{
		CREATE TABLE told (who text, id bigint, payment_status text);
		GRANT INSERT ON told TO myfatoorah_worker;
		CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
		BEGIN
			INSERT INTO told VALUES (current_user, NEW.id, NEW.payment_status);
			RETURN NEW;
		END $$;
		CREATE TRIGGER tell AFTER UPDATE OF payment_status ON mf_invoice FOR EACH ROW
			WHEN (OLD.payment_status IS DISTINCT FROM NEW.payment_status) EXECUTE FUNCTION tell()});
	my ($id, $invoice) = sent('trigger');
	pay($invoice);
	hand_in($invoice);
	$mf->wait_for($node, $db, "SELECT who || ' ' || payment_status FROM told WHERE id = $id", 'myfatoorah_worker paid');
	ok(1, 'a trigger runs with the rights of the worker');
}

done_testing();
