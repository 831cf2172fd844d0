# Captures and releases: one request of an invoice, whatever becomes of the answer, and MyFatoorah's transactions say what came of it.
use MyFatoorah::Test qw(sql);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $true = JSON::PP::true;
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $update = { path => '/v2/UpdatePaymentStatus' };

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($node, $db);

# An invoice whose payment is held: its ids here and there
sub held
{
	my ($name) = @_;

	return $mf->settle($node, $db, $sandbox, $name, 'authorize', invoice_value => '40.000', processing_details => q('{"AutoCapture": false}'));
}

sub wait_state
{
	my ($id, $state) = @_;

	return $mf->wait_for($node, $db, "SELECT status FROM mf_operation WHERE invoice = $id ORDER BY id DESC LIMIT 1", $state);
}

sub requests
{
	my ($number) = @_;

	return scalar grep { $_->{body} =~ /"Key":"$number"/ } $sandbox->ledger(%$update);
}

# The transactions of an invoice at the stand-in that have changed it
sub changes
{
	my ($id) = @_;

	return sql("SELECT string_agg(transaction_status, ',' ORDER BY transaction_status) FROM mf_transaction WHERE invoice = $id");
}

#
# Done, whatever is answered
#
my %fault = (
	'no answer' => { never => $true, create => $true },
	'an error page' => { status => 500, body => '<h1>Oops</h1>', create => $true },
	'success without the invoice' => { status => 200, body => '{"IsSuccess":true,"Message":"","Data":null}', create => $true },
	'success of another invoice' => { status => 200, body => '{"IsSuccess":true,"Data":{"InvoiceId":17,"InvoiceStatus":"Paid"}}', create => $true },
	'a refusal that shows it' => { status => 400, body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Operation","Error":"no"}],"Data":{"InvoiceStatus":"Paid"}}', create => $true },
	'an answer cut off' => { cut_answer_at => 150, create => $true });
my %case = map { $_ => [ held($_) ] } keys %fault;
my %released = map { $_ => [ held("$_, released") ] } keys %fault;

for my $what (sort keys %fault)
{
	$sandbox->faults({ path => 'UpdatePaymentStatus', contains => $_->[1], %{ $fault{$what} } }) for $case{$what}, $released{$what};
	sql("SELECT mf_capture($case{$what}[0], 15), mf_release($released{$what}[0])");
}
$mf->wait_none($node, $db, q{SELECT count(*) FROM mf_operation WHERE status NOT IN ('captured', 'released')});
for my $what (sort keys %fault)
{
	my ($id, $number) = @{ $case{$what} };

	wait_state($id, 'captured');
	is(sql("SELECT payment_status, trim_scale(base_value), trim_scale(received_value) FROM mf_invoice WHERE id = $id"), 'paid|15|15', "$what: captured");
	is(requests($number), 1, "$what: by one request");
	is(sql("SELECT a.outcome FROM mf_operation_attempt a JOIN mf_operation o ON o.id = a.operation WHERE o.invoice = $id"), 'unknown', "$what: the answer proved nothing");
	($id, $number) = @{ $released{$what} };
	wait_state($id, 'released');
	is(sql("SELECT payment_status, received_value FROM mf_invoice WHERE id = $id"), 'unpaid|0', "$what: released");
	is(requests($number), 1, "$what: by one request");
}

#
# Not done: a person decides
#
{
	my ($id, $number) = held('lost');

	$sandbox->faults({ path => 'UpdatePaymentStatus', never => $true });
	sql("SELECT mf_capture($id)");
	wait_state($id, 'review');
	is(requests($number), 1, 'a lost request is not repeated');
	like(sql('SELECT what_happened FROM mf_review'), qr/^capture \d+ of 40(?:\.000)? KWD: outcome unknown, and MyFatoorah does not show it/, 'mf_review says what happened');
	like(sql('SELECT next_step FROM mf_review'), qr/mf_cancel_capture\($id, 'reason'\)/, 'and which call to make');
	is(sql('SELECT operation_status, days_held FROM mf_hold'), 'review|0', 'it is still held');
	my (undef, undef, $error) = $node->psql($db, "SELECT mf_capture($id)");
	like($error, qr/is captured or released already/, 'and not captured by another call');
	sql("SELECT mf_cancel_capture($id, 'portal shows none'); SELECT mf_capture($id)");
	wait_state($id, 'captured');
	is(requests($number), 2, 'the second request leaves once a person has decided');
	is(changes($id), 'Authorize,Succss', 'MyFatoorah has captured it once');
}

#
# Released, and held again before we have seen that
#
{
	my ($id, $number) = held('held again');
	my $before = $sandbox->count(%$update);

	$sandbox->faults({ path => 'UpdatePaymentStatus', never => $true, create => $true });
	sql("SELECT mf_release($id)");
	$sandbox->wait_count($update, $before + 1) or die "it is not sent\n";
	$sandbox->invoice($number, 'authorize');
	wait_state($id, 'released');
	is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'authorized', 'a release is seen although the customer has paid again');
	is(sql("SELECT what_happened FROM mf_review WHERE id = $id"), 'a payment is held again, and MyFatoorah allows one capture or release of an invoice: capture it or give it back in the portal', 'mf_review tells of the payment that is held again');
	sql("SELECT mf_resolve($id, 'dismiss', 'captured in the portal')");
}

#
# A capture that MyFatoorah does not show yet has the time of five look-ups, however often others ask about the invoice.
#
{
	my ($id, $number) = held('asked often');
	my $lookups = "SELECT lookups FROM mf_operation WHERE invoice = $id";

	sql(q{ALTER SYSTEM SET myfatoorah.lookup_delay = '1h'});
	$node->reload;
	$sandbox->faults({ path => 'UpdatePaymentStatus', never => $true });
	sql("SELECT mf_capture($id)");
	wait_state($id, 'unknown');
	sql("UPDATE mf_operation SET due = now() WHERE invoice = $id; SELECT mf_resume()");
	$mf->wait_for($node, $db, $lookups, 1);
	for (1 .. 6)
	{
		sql("SELECT mf_refresh($id)");
		$mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND due <= now()", 0);
	}
	is(sql("SELECT status, lookups, due > now() + interval '50 minutes' FROM mf_operation WHERE invoice = $id"), 'unknown|1|t', 'a question of the worker counts once, and those of others not');
	sql(q{ALTER SYSTEM RESET myfatoorah.lookup_delay});
	$node->reload;
	for my $count (2 .. 5)
	{
		sql("UPDATE mf_operation SET due = now() WHERE invoice = $id AND lookups < $count; SELECT mf_resume()");
		$mf->wait_for($node, $db, "SELECT status = 'review' OR lookups >= $count FROM mf_operation WHERE invoice = $id");
	}
	wait_state($id, 'review');
	# a person gives it up, and is wrong
	sql("SELECT mf_cancel_capture($id, 'portal shows none')");
	$sandbox->invoice($number, 'capture', { amount => '40' });
	sql("SELECT mf_refresh($id)");
	wait_state($id, 'captured');
	is(sql("SELECT done_at IS NOT NULL, last_error FROM mf_operation WHERE invoice = $id"), 't|', 'what was given up, and carried out after all, is captured');
}

#
# The answers of the reference page, and a worker that is killed under way
#
# A refusal need not be true: before another one of the invoice is asked for, the payment is looked up
{
	my ($id, $number) = held('refused untruly');

	$sandbox->faults({ path => 'UpdatePaymentStatus', contains => $number, create => $true, status => 400,
		body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Operation","Error":"no"}]}' });
	sql("SELECT mf_capture($id, 15)");
	wait_state($id, 'refused');
	sql("SELECT mf_capture($id, 15)");
	wait_state($id, 'captured');
	is(requests($number), 1, 'what was captured in spite of a refusal is not captured again');
	is(sql("SELECT payment_status, trim_scale(base_value) FROM mf_invoice WHERE id = $id"), 'paid|15', 'and the invoice is paid');
}

{
	my ($id, $number) = held('reference');

	$sandbox->account(capture_answers => 'reference');
	sql("SELECT mf_capture($id, 3)");
	wait_state($id, 'captured');
	is(sql("SELECT outcome FROM mf_operation_attempt a JOIN mf_operation o ON o.id = a.operation WHERE o.invoice = $id"), 'accepted', 'the other answer is read, too');
	$sandbox->account(capture_answers => 'guide');

	($id, $number) = held('killed');
	my $before = $sandbox->count(%$update);
	$sandbox->faults({ path => 'UpdatePaymentStatus', never => $true, create => $true });
	sql("SELECT mf_capture($id)");
	$sandbox->wait_count($update, $before + 1) or die "it is not sent\n";
	my $pid = $mf->worker_pid($node, $db);
	kill 'KILL', $pid;
	$node->poll_query_until($db, 'SELECT true');
	$mf->wait_worker($node, $db, not => $pid);
	wait_state($id, 'captured');
	is(requests($number), 1, 'what was killed under way is found, and not repeated');
}
unlike(slurp_file($node->logfile), qr/is put off because|could not write/, 'and no round has failed');

$node->stop;
done_testing();
