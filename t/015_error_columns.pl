# Each kind of trouble of a row has its place: that of its sending and its link in last_error, that of the answers about
# its payment in payment_error, that of a second invoice in duplicate_error. What sets or clears one leaves the others.
use MyFatoorah::Test qw(sql);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $web = 'MyFatoorah::Web';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '50ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $lost_link = 'the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it';

# Waits until these expressions give that for the row of that name
sub wait_row
{
	my ($name, $columns, $expected) = @_;

	return $mf->wait_for($node, $db, "SELECT $columns FROM mf_invoice WHERE customer_reference = '$name'", $expected);
}

sub column
{
	my ($name, $column) = @_;

	return sql("SELECT $column FROM mf_invoice WHERE customer_reference = '$name'");
}

# The answers to all questions about the payment of that row's invoice, until this is called for another, or without one
sub answers
{
	my ($name, %answer) = @_;

	$sandbox->clear_faults;
	$sandbox->faults({ path => 'GetPaymentStatus', contains => '"' . column($name, 'invoice_id') . '"', times => -1, %answer }) if %answer;
	sql("SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = '$name'");
	return;
}

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '2s', timeout => '2s' });
$web->give_secret($node, $db);
$mf->wait_worker($node, $db);

#
# Found by look-up, so without a link; then asked about
#
sub lose_link
{
	my ($name) = @_;

	$sandbox->faults({ path => 'SendPayment', reference_prefix => "$name.", create => JSON::PP::true, status => 500, body => '', times => 1 });
	$mf->insert($node, $db, $name);
	$mf->wait_status($node, $db, $name);
	is(column($name, 'last_error'), $lost_link, "$name: found by look-up, the row says that its link is lost");
	return;
}

lose_link('linkless');
my $invoice = column('linkless', 'invoice_id');
my $reference = column('linkless', 'reference');
answers('linkless', status => 200, body => qq({"IsSuccess":true,"Data":{"InvoiceId":$invoice,"InvoiceStatus":"Quibbled","InvoiceValue":1.250,"CustomerReference":"$reference",
	"InvoiceTransactions":[]}}));
wait_row('linkless', q{payment_error ~ '^MyFatoorah says InvoiceStatus "Quibbled"'}, 't');
is(column('linkless', 'last_error'), $lost_link, 'an answer that is not understood: the row says both');

#
# A second invoice under its reference
#
my $other = sql("SELECT invoice_id FROM mf_send_payment('twin', 1.250, customer_reference => '$reference')");

sql($web->hand_in(invoice => $other, reference => $reference, payment => '0799'));
wait_row('linkless', 'duplicate_suspected', 't');
like(column('linkless', 'duplicate_error'), qr/^invoice $other with this row's reference exists too/, 'a second invoice: the row says so, too');
is(sql(q{SELECT what_happened = duplicate_error FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'linkless'}), 't', 'so does mf_review');
is(column('linkless', "last_error || (payment_error IS NOT NULL)"), "${lost_link}true", 'and it says the rest as before');

answers('linkless');
wait_row('linkless', 'payment_error IS NULL', 't');
is(column('linkless', 'last_error || (duplicate_error IS NOT NULL)'), "${lost_link}true", 'a good answer clears its own error only');

sql(q{SELECT mf_resolve(id, 'dismiss', 'cancelled in the portal') FROM mf_invoice WHERE customer_reference = 'linkless'});
is(column('linkless', q{last_error || coalesce(duplicate_error, '')}), $lost_link, 'so does a person who dismisses the second one');

#
# A doubled row that is sent again: what is known of the double stays. It was accepted late.
#
$mf->insert($node, $db, 'late', send_at => "now() + interval '1 h'");
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET duplicate_suspected = true, duplicate_error = 'attempt 1 was accepted late, as invoice 5'
	WHERE customer_reference = 'late'});
sql(q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'late'});
$mf->wait_status($node, $db, 'late');
is(sql(q{SELECT what_happened, i.last_error IS NULL FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'late'}),
	'attempt 1 was accepted late, as invoice 5|t', 'to be sent without error does not clear why a double is suspected');

#
# Two questions about one payment
#
$mf->insert($node, $db, 'paid');
$mf->wait_status($node, $db, 'paid');
$invoice = column('paid', 'invoice_id');
$reference = column('paid', 'reference');
$sandbox->invoice($invoice, 'pay');
answers('paid');
wait_row('paid', 'payment_status', 'paid');
$sandbox->refund($invoice, '0.250');
answers('paid', status => 200, body => qq({"IsSuccess":true,"Data":{"InvoiceId":$invoice,"InvoiceStatus":"Canceled","InvoiceValue":1.250,"CustomerReference":"$reference",
	"InvoiceTransactions":[]}}));
wait_row('paid', 'payment_status', 'partly_refunded');
is(column('paid', 'payment_error'), 'MyFatoorah now says InvoiceStatus "Canceled" of an invoice that was paid',
	'a good answer about refunds does not clear what is wrong with that about the payment');
answers('paid');
wait_row('paid', 'payment_error IS NULL', 't');

#
# A sent row that is watched, without a key
#
$sandbox->clear_faults;
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'watched.', never => JSON::PP::true, create => JSON::PP::false, times => 1 },
	{ path => 'SendPayment', reference_prefix => 'watched.', create => JSON::PP::true, status => 500, body => '', times => 1 });
$mf->insert($node, $db, 'watched');
wait_row('watched', 'status || attempts', 'sent2');
is(column('watched', 'last_error'), $lost_link, 'sent again, and found by look-up: the row says that its link is lost');
sql('DROP USER MAPPING FOR PUBLIC SERVER myfatoorah');
sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'watch'; SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'watched' AND q.error ~ 'no API key'}, 1);
is(column('watched', 'last_error'), $lost_link, 'an account without a key: the row that is watched still says so');
like(sql(q{SELECT what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'watched'}), qr/no API key/,
	'and mf_review says that it cannot be watched');

$node->stop;
done_testing();
