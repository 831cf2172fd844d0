# What MyFatoorah says about refunds and holds that nobody has asked for: the larger amount counts, a person is told, one refund
# is one row, and a right or a pause goes where its invoice or account goes.
use MyFatoorah::Test qw(sql wait_for);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# An invoice of 10 that was sent and paid: its ids here and there
sub paid
{
	my ($name) = @_;

	return $mf->settle($node, $db, $sandbox, $name, 'pay');
}

# A refund that is filed: its id here, its RefundId
sub filed
{
	my ($invoice, $value) = @_;
	my $refund = sql("INSERT INTO mf_refund (invoice, value) VALUES ($invoice, $value) RETURNING id");

	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'filed');
	return ($refund, sql("SELECT refund_id FROM mf_refund WHERE id = $refund"));
}

sub asked { return $mf->ask_refunds($node, $db, $sandbox, @_); }

sub review
{
	my ($invoice) = @_;

	return sql("SELECT what_happened FROM mf_review WHERE id = $invoice");
}

#
# A refund that waits because MyFatoorah does not answer the question before it
#
{
	my ($id) = paid('unanswered');

	$sandbox->faults({ path => 'GetPaymentStatus', status => 500, times => -1 });
	my $refund = sql("INSERT INTO mf_refund (invoice, value) VALUES ($id, 4) RETURNING id");
	wait_for("SELECT last_error ~ '^MyFatoorah (was asked about the invoice before, and has not answered; tries in a row: [1-9]|gives no usable answer about invoice)' FROM mf_refund WHERE id = $refund");
	pass('what waits for an answer says so');
	$sandbox->clear_faults;
	sql('SELECT mf_resume()');
	wait_for("SELECT status, last_error FROM mf_refund WHERE id = $refund", 'filed|');
}

#
# More was refunded than was asked for.
#
{
	my ($id, $number) = paid('more');
	my ($refund, $refund_id) = filed($id, 4);
	my $reference = sql("SELECT reference FROM mf_refund WHERE id = $refund");

	$sandbox->list_refunds($number, { RefundId => $refund_id + 0, Amount => 9, ExternalIdentifier => $reference });
	asked($id);
	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'refunded');
	is(sql("SELECT trim_scale(net_value), trim_scale(mf_refundable($id)) FROM mf_invoice WHERE id = $id"), '1|1', 'what was booked is gone, not what was asked for');
	is(review($id), "MyFatoorah has RefundId $refund_id with an amount of 9, and refund $refund is one of 4", 'a person is told');
	like(($node->psql($db, "INSERT INTO mf_refund (invoice, value) VALUES ($id, 6)"))[2], qr/has less than that to be refunded.*What is left is 1/s, 'and no more than that can be refunded');
	$node->psql($db, "SELECT mf_resolve($id, 'dismiss', 'seen')");
	asked($id);
	is(review($id), '', 'mf_review shows it once');

	# another one, under our reference, with which more is gone than has come
	$sandbox->clear_faults;
	$sandbox->list_refunds($number, { RefundId => $refund_id + 0, Amount => 9, ExternalIdentifier => $reference }, { RefundId => $refund_id + 7, Amount => 4, ExternalIdentifier => $reference });
	asked($id);
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 2);
	is(sql("SELECT trim_scale(net_value), trim_scale(mf_refundable($id)) FROM mf_invoice WHERE id = $id"), '-3|0', 'more is gone than has come, and nothing can be refunded');
	like(($node->psql($db, "INSERT INTO mf_refund (invoice, value) VALUES ($id, 1)"))[2], qr/What is left is 0:/, 'as the error says');
	is(review($id), 'MyFatoorah says that 13 was given back, and that 10.000 was received; a refund may be one too many: last_error of mf_refund says why', 'a person is told that, too');
	$sandbox->clear_faults;
}
{
	my ($id, $number) = paid('portal');

	$sandbox->list_refunds($number, { RefundId => 17, Amount => 50 });
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 1);
	like(review($id), qr/^MyFatoorah says that 50 was given back/, 'and of what was made in the portal');
	is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'invoices' AND detail ~ 'the decision'}), 1, 'as mf_check() does');
	$sandbox->clear_faults;
}

#
# An answer about another currency is one about another account.
#
{
	my ($id, $number) = paid('abroad');
	my ($refund, $refund_id) = filed($id, 4);

	$sandbox->list_refunds($number, { RefundId => $refund_id + 0, Amount => 4, BaseCurrency => 'SAR' });
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT payment_error FROM mf_invoice WHERE id = $id", "MyFatoorah lists RefundId $refund_id in SAR, and the currency of the invoice is KWD");
	is(sql("SELECT r.status, trim_scale(i.net_value) FROM mf_refund r JOIN mf_invoice i ON i.id = r.invoice WHERE r.id = $refund"), 'filed|10', 'an answer in another currency changes nothing');
	like(review($id), qr/in SAR/, 'mf_review shows it');
	$sandbox->clear_faults;
	$sandbox->decide_refund($refund_id, 'approve');
	asked($id);
	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'refunded');
}

#
# A row that was deleted, and made again by mf_adopt(), has its refunds.
#
{
	my ($id, $number) = paid('adopted');
	my ($refund, $refund_id) = filed($id, 4);

	$sandbox->decide_refund($refund_id, 'approve');
	asked($id);
	wait_for("SELECT status FROM mf_refund WHERE id = $refund", 'refunded');
	sql("DELETE FROM mf_invoice WHERE id = $id");
	my $again = sql("SELECT mf_adopt('$number')");
	wait_for("SELECT status FROM mf_invoice WHERE id = $again", 'sent');
	sql("SELECT mf_refresh($again)");
	wait_for("SELECT payment_status IN ('paid', 'partly_refunded') FROM mf_invoice WHERE id = $again", 't');
	sql("SELECT mf_refresh($again)");
	wait_for("SELECT net_value FROM mf_invoice WHERE id = $again", '6.000');
	is(sql("SELECT id, invoice, status, last_error FROM mf_refund WHERE refund_id = $refund_id"), "$refund|$again|refunded|", 'one refund is one row');
	is(sql("SELECT trim_scale(mf_refundable($again))"), 6, 'mf_refundable() counts it once');
}

#
# Paid again after a release: MyFatoorah allows no second capture or release, so a person is told.
#
{
	my ($id, $number) = $mf->settle($node, $db, $sandbox, 'again', 'authorize', processing_details => q('{"AutoCapture": false}'));

	sql("SELECT mf_release($id)");
	wait_for("SELECT status FROM mf_operation WHERE invoice = $id", 'released');
	is(review($id), '', 'a release needs nobody');
	$sandbox->invoice($number, 'authorize');
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'authorized');
	is(review($id), 'a payment is held again, and MyFatoorah allows one capture or release of an invoice: capture it or give it back in the portal', 'a payment that is held after it does');
	like(($node->psql($db, "SELECT mf_capture($id)"))[2], qr/What is held after a release is captured or given back in the MyFatoorah portal/, 'and the error says so');
}

#
# A role that may refund, and nothing else: policies tell what it sees.
#
{
	my $other = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'more'");

	sql('CREATE ROLE teller IN ROLE myfatoorah_refund');
	is(sql('SET ROLE teller; SELECT count(*) > 1, min(mf_refundable(invoice)) IS NOT NULL FROM mf_refund'), 't|t', 'without policies it sees all refunds');
	sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON mf_invoice TO teller USING (customer_reference = 'portal')});
	is(sql('SET ROLE teller; SELECT count(*), min(trim_scale(mf_refundable(invoice))) FROM mf_refund'), '1|0', 'with them, those of rows that it may see');
	is(sql("SET ROLE teller; SELECT mf_refundable($other)"), '', 'and no sum of another');
	is(sql('SET ROLE teller; SELECT count(*) FROM mf_hold'), 0, 'with policies it sees no hold');
	like(($node->psql($db, 'SET ROLE teller; SELECT customer_name FROM mf_invoice'))[2], qr/permission denied/, 'it does not see names');
	sql('DROP POLICY one ON mf_invoice; ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY');
}

#
# A pause goes with its account, and stays nowhere else.
#
{
	sql(q{SELECT mf_pause('myfatoorah'); ALTER SERVER myfatoorah RENAME TO mf2});
	is(sql('SELECT string_agg(account, $$,$$) FROM mf_account WHERE paused_at IS NOT NULL'), 'mf2', 'the pause has the new name only');
	sql(q{SELECT mf_resume('mf2'); ALTER SERVER mf2 RENAME TO myfatoorah});
	$mf->insert($node, $db, 'goes');
	$mf->wait_status($node, $db, 'goes');
	pass('and comes back with no other');
}

unlike(slurp_file($node->logfile), qr/is put off because|could not write/, 'and no round has failed');
$node->stop;
done_testing();
