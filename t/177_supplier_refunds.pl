# Refunds that suppliers bear a part of (MakeSupplierRefund), from the row to the webhook: what is sent is what the row says, to the last
# fils, MyFatoorah's refusals are told, and each is asked for once, whatever becomes of the answer.
use MyFatoorah::Test qw(sql wait_for wait_refund);

use JSON::PP ();
use List::Util qw(sum0);
use MyFatoorah::Money;

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $secret = 'suppliers-are-told';
my $true = JSON::PP::true;
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $make = { path => '/v2/MakeSupplierRefund' };
my $refused_of = 0;

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);

# An invoice of 10 that was paid, of which supplier 27 has 6 and supplier 53 has 4: its ids here and there
sub paid
{
	my ($name) = @_;

	return $mf->settle($node, $db, $sandbox, $name, 'pay',
		suppliers => q('[{"SupplierCode": 27, "InvoiceShare": 6}, {"SupplierCode": 53, "InvoiceShare": 4}]'));
}

# refund(invoice, value, code => amount, ...): the id of its row
sub refund
{
	my ($invoice, $value, @shares) = @_;
	my @list;

	push @list, sprintf '{"SupplierCode": %s, "SupplierDeductedAmount": %s}', splice @shares, 0, 2 while @shares;
	return sql("INSERT INTO mf_refund (invoice, value, suppliers, comment) VALUES ($invoice, $value, '[" . join(', ', @list) . "]', 'broken') RETURNING id");
}

# The bodies of the requests about an invoice, without what names it
sub bodies
{
	my ($number) = @_;

	return map { s/"KeyType":"InvoiceId","Key":"\d+",|,"ExternalIdentifier":"[^"]*"//gr } grep { /"Key":"$number"/ } map { $_->{body} } $sandbox->ledger(%$make);
}

sub booked
{
	my ($number) = @_;

	return join ',', map { $_->{amount} + 0 } $sandbox->refunds(invoice => $number);
}

sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$mf->wait_worker($node, $db);

#
# From the row to the webhook
#
{
	my ($id, $number) = paid('shared');
	my $refund = refund($id, '2.5', 27 => '1.125', 53 => '0.001');

	wait_refund($refund, 'filed');
	is_deeply([ bodies($number) ], ['{"VendorDeductAmount":1.374,"Suppliers":[{"SupplierCode":27,"SupplierDeductedAmount":1.125},{"SupplierCode":53,"SupplierDeductedAmount":0.001}],"Comment":"broken"}'],
		'what the suppliers bear is asked for to the last fils, and the vendor bears the rest');
	is($sandbox->count(path => '/v2/MakeRefund'), 0, 'by the call for it, and no other');
	is(booked($number), '2.5', 'the stand-in has the sum');
	is(sql("SELECT r.refund_id = a.refund_id, a.outcome, r.currency FROM mf_refund r JOIN mf_operation_attempt a ON a.operation = r.id WHERE r.id = $refund"), 't|accepted|KWD', 'the answer names it');
	is(sql("SELECT mf_refundable($id)"), '7.500', 'and it counts');

	my ($filed) = $sandbox->refunds(invoice => $number);
	$sandbox->decide_refund($filed->{id}, 'approve');
	$sandbox->wait_deliveries({ invoice => $number, code => 2 }, 1) or die "no webhook\n";
	my ($delivery) = $sandbox->deliveries(invoice => $number, code => 2);
	like($delivery->{body}, qr/"Suppliers?\w*":\[\{[^\]]*27/, 'the webhook names the suppliers');
	sql($mf->webhook($delivery));
	wait_refund($refund, 'refunded');
	is(sql("SELECT refund_reference IS NOT NULL, trim_scale(refunded_value), rrn IS NOT NULL FROM mf_refund WHERE id = $refund"), 't|2.5|t', 'and brings the end');
	wait_for("SELECT trim_scale(net_value) FROM mf_invoice WHERE id = $id", '7.5');
	is(sql("SELECT string_agg(amount::text, ',') FROM mf_ledger WHERE invoice = $id AND kind = 'refund'"), '-2.500', 'the books have all of it, once');

	# all of it is the suppliers'
	$refund = refund($id, '7.500', 27 => '4.5', 53 => '3.0');
	wait_refund($refund, 'filed');
	like((bodies($number))[1], qr/^\{"VendorDeductAmount":0(?:\.0+)?,/, 'suppliers can bear all of it');
	like(($node->psql($db, "INSERT INTO mf_refund (invoice, value) VALUES ($id, 0.001)"))[2], qr/has less than that to be refunded/, 'then nothing is left, to the last fils');
	is(sum0(map { $_->{amount} } $sandbox->refunds(invoice => $number)), 10, 'nor at the stand-in');
}

#
# MyFatoorah's refusals
#
{
	my ($id, $number) = paid('refused');
	my %case = (
		'a supplier who has no part in it' => [ refund($id, 1, 99 => '0.5'), 'Suppliers: The supplier has no share of the invoice' ],
		'more than the part of one' => [ refund($id, '4.5', 53 => '4.001'), 'Suppliers: SupplierDeductedAmount exceeds the share of the supplier' ]);

	foreach my $what (sort keys %case)
	{
		wait_refund($case{$what}[0], 'refused');
		is(sql("SELECT last_error FROM mf_refund WHERE id = $case{$what}[0]"), $case{$what}[1], "$what is refused, in MyFatoorah's words");
	}
	is(sql("SELECT mf_refundable($id)"), '10.000', 'what was refused is free again');

	$sandbox->account(balance => '0.1');
	my $poor = refund($id, 1, 27 => '0.5');
	my $rich = refund($id, 1, 27 => '1');
	wait_refund($poor, 'refused');
	is(sql("SELECT last_error FROM mf_refund WHERE id = $poor"), 'Amount: Insufficient balance for vendor', 'the balance of the vendor has to suffice');
	wait_refund($rich, 'filed');
	is(booked($number), '1', 'for its part only');
	$sandbox->account(balance => '1000');
	sql("SELECT mf_retry_refund($poor, 'topped up')");
	wait_refund($poor, 'filed');
	is(booked($number), '1,1', 'and is tried again by a person');
}

#
# Whatever becomes of the answer, one refund
#
{
	my %fault = (
		'no answer' => { never => $true },
		'an error page' => { status => 500, body => '<h1>Oops</h1>' },
		'a refusal that names it' => { status => 400, fill => $true, body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Amount","Error":"no"}],"Data":{"RefundId":{{RefundId}}}}' },
		'an answer cut off' => { cut_answer_at => 150 });
	my %case = map { $_ => [ paid($_) ] } sort keys %fault;

	$sandbox->faults(map { { %$make, contains => $case{$_}[1], create => $true, %{ $fault{$_} } } } keys %fault);
	push @{ $case{$_} }, refund($case{$_}[0], 3, 27 => '1.5') foreach sort keys %fault;
	foreach my $what (sort keys %fault)
	{
		my ($id, $number, $refund) = @{ $case{$what} };

		wait_refund($refund, 'filed');
		is(booked($number) . '|' . scalar(bodies($number)) . '|' . sql("SELECT attempts FROM mf_refund WHERE id = $refund"), '3|1|1', "$what: one request, one refund, which is found");
	}
}

#
# One at a time, where MyFatoorah wants that
#
{
	my ($id, $number) = paid('pending');

	$sandbox->account(one_refund_at_a_time => 1);
	my $first = refund($id, 1, 27 => '1');
	wait_refund($first, 'filed');
	my $second = refund($id, 1, 53 => '1');
	wait_for("SELECT status = 'queued' AND last_error ~ 'already under processing' FROM mf_refund WHERE id = $second");
	$sandbox->decide_refund(sql("SELECT refund_id FROM mf_refund WHERE id = $first"), 'reject');
	my $refused = q{SELECT value FROM mf_metrics() WHERE name = 'refunds_refused'};
	my $before = sql($refused);
	# the log tells nothing that the row does not
	$refused_of = $id;
	sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not to be written now'; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON mf_operation FOR EACH ROW WHEN (new.status = 'refused') EXECUTE FUNCTION refuse()});
	sql("SELECT mf_refresh($id)");
	$node->wait_for_log(qr/invoice $id is put off because its answer cannot be written/);
	ok(!$node->log_contains(qr/refund_refused: refund $first /), 'a refusal that cannot be recorded is not told');
	sql('DROP TRIGGER refuse ON mf_operation; DROP FUNCTION refuse(); SELECT mf_resume()');
	sql("SELECT mf_refresh($id)");
	wait_refund($first, 'refused');
	ok($node->log_contains(qr/myfatoorah: refund_refused: refund $first of invoice $id was refused after it had been filed\n.*DETAIL:  RefundId \d+, RefundStatus Canceled\n.*HINT:  .*SELECT mf_retry_refund\($first, 'reason'\)/), 'the log tells of a refund that is rejected later');
	wait_for($refused, $before + 1);
	is(sql("SELECT count(*) FROM mf_history WHERE reason LIKE 'refund % to refused%' AND invoice = $id AND changed_at > now() - interval '1 day'"), 1, 'and the history');
	sql('SELECT mf_resume()');
	wait_refund($second, 'filed');
	is(sql("SELECT mf_refundable($id)"), '9.000', 'one that was rejected gives its value back');
}

#
# The checker of the books, which finds nothing here, and what is put there
#
{
	my $violations = sub { return MyFatoorah::Money->of($node, $db, $sandbox)->violations(@_) };
	my $seeded = sub {
		my ($what, $sql, $expected) = @_;

		sql("CREATE TABLE kept_money AS SELECT * FROM mf_money; CREATE TABLE kept AS SELECT * FROM mf_operation; SET session_replication_role = replica; $sql");
		like(join("\n", $violations->()), $expected, "it finds $what");
		sql('SET session_replication_role = replica; DELETE FROM mf_money; DELETE FROM mf_operation; INSERT INTO mf_money OVERRIDING SYSTEM VALUE SELECT * FROM kept_money;
			INSERT INTO mf_operation OVERRIDING SYSTEM VALUE SELECT * FROM kept; DROP TABLE kept_money, kept');
	};

	# an answer would bring back what is deleted below
	sql('SELECT mf_pause()');
	$mf->wait_idle($node, $db);
	is_deeply([ $violations->() ], [], 'all books agree');
	like(join("\n", $violations->(committed => ['lost'])), qr/^refund lost was committed and is there 0 times$/, 'it finds a row that is lost');
	$seeded->('a fils that is missing', q{UPDATE mf_money SET amount = amount + 0.001 WHERE kind = 'refund'}, qr/2499 fils in the ledger, 2500 were given back/);
	$seeded->('a refund that is no row', q{DELETE FROM mf_operation WHERE status = 'refunded'}, qr/RefundId \d+ of 2\.500 is no row/);
	$seeded->('one that is told otherwise', q{UPDATE mf_operation SET status = 'filed' WHERE status = 'refunded'}, qr/is "filed", and RefundId \d+ of 2\.500 is "Refunded"/);
	$seeded->('one that never was', q{UPDATE mf_operation SET status = 'filed' WHERE id = (SELECT min(id) FROM mf_operation WHERE status = 'refused')}, qr/is "filed", and there is none/);
	$sandbox->account(one_refund_at_a_time => 0);
	$sandbox->control('POST', 'invoices/' . sql(q{SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'refused'}) . '/refund', { amount => '1' });
	like(join("\n", $violations->()), qr/RefundId \d+ of 1 is no row/, 'and one of the portal that nobody has asked about');
}

unlike(slurp_file($node->logfile) =~ s/invoice $refused_of is put off because//gr, qr/is put off because|could not write/, 'and no other round has failed');
$node->stop;
done_testing();
