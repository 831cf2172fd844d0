# Where MyFatoorah lists refunds without ExternalIdentifier: one of ours is one row, whatever is listed first, a person is shown
# which may be ours, and nothing leads to a second refund.
use MyFatoorah::Test qw(refund sql wait_for wait_refund);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $true = JSON::PP::true;
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $lost = { path => 'MakeRefund', never => $true, create => $true };

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '60s' });
$sandbox->account(auto_refund => $true, refund_answers => 'old');
$mf->wait_worker($node, $db);

# An invoice of 10 that was sent and paid: its ids here and there
sub paid { return $mf->settle($node, $db, $sandbox, shift, 'pay'); }

sub asked { return $mf->ask_refunds($node, $db, $sandbox, @_); }

# The refunds of an invoice at the stand-in
sub filed
{
	my ($number) = @_;

	return grep { $_->{invoice_id} == $number } $sandbox->refunds;
}

# The rows of an invoice
sub rows
{
	my ($invoice) = @_;

	return sql("SELECT string_agg(concat_ws(' ', status, trim_scale(value)), ', ' ORDER BY id) FROM mf_refund WHERE invoice = $invoice");
}

# The list shows a refund before the answer that names it is recorded.
{
	my ($id, $number) = paid('listed first');

	$sandbox->faults({ path => 'MakeRefund', contains => $number, delay_ms => -1 });
	my $refund = refund($id, 4);
	$sandbox->wait_count({ path => '/v2/MakeRefund' }, 1) or die "nothing is asked for\n";
	asked($id);
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 2);
	is(rows($id), 'sending 4, refunded 4', 'a refund without ExternalIdentifier is a row of its own as long as its answer is awaited');
	$sandbox->clear_faults;
	wait_refund($refund, 'refunded');
	is(rows($id), 'refunded 4', 'the answer makes one row of both');
	is(sql("SELECT refund_id, trim_scale(mf_refundable($id)) FROM mf_refund WHERE invoice = $id"), (filed($number))[0]{id} . '|6', 'that of the request, and the money counts once');
	is(sql("SELECT trim_scale(sum(amount)) FROM mf_ledger WHERE invoice = $id AND kind = 'refund'"), '-4', 'as in the ledger');
}

# from here on, answers are lost
sql("ALTER SERVER myfatoorah OPTIONS (SET timeout '1s')");

# The answer is lost: the row that may be ours is shown, and joined.
{
	my ($id, $number) = paid('joined');

	$sandbox->faults({ %$lost, contains => $number });
	my $refund = refund($id, 5);
	wait_refund($refund, 'review');
	my $refund_id = (filed($number))[0]{id};
	is(rows($id), 'review 5, refunded 5', 'what is lost is looked up, and not found by our reference');
	like(sql("SELECT what_happened FROM mf_review WHERE id = $id"), qr/MyFatoorah lists RefundId $refund_id of the same amount without ExternalIdentifier, which may be this one/, 'mf_review says which may be ours');
	my $step = sql("SELECT next_step FROM mf_review WHERE id = $id");
	unlike($step, qr/mf_retry_refund/, 'it proposes no second refund');
	like(($node->psql($db, "SELECT mf_retry_refund($refund, 'once more')"))[2], qr/MyFatoorah lists RefundId $refund_id of the same amount, which may be this one/, 'nor is there one');
	my ($call) = $step =~ /(SELECT mf_resolve_refund\(\d+, 'filed', .*?, refund_id => \d+\))/;
	sql($call);
	wait_refund($refund, 'refunded');
	is(rows($id), 'refunded 5', 'the call that it proposes joins them');
	is(scalar(filed($number)), 1, 'one refund was asked for');
	is(sql("SELECT count(*) FROM mf_review WHERE id = $id"), 0, 'and nothing is left to be decided');
}

# It was asked for by a server whose clock is ahead, as before a promotion.
{
	my ($id, $number) = paid('asked ahead');

	sql(q{CREATE FUNCTION ahead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.started_at = new.started_at + interval '1 hour'; RETURN new; END $$;
		CREATE TRIGGER ahead BEFORE INSERT ON mf_operation_attempt FOR EACH ROW EXECUTE FUNCTION ahead()});
	$sandbox->faults({ %$lost, contains => $number });
	my $refund = refund($id, 5);
	wait_refund($refund, 'review');
	sql('DROP FUNCTION ahead CASCADE');
	my $refund_id = (filed($number))[0]{id};
	like(sql("SELECT next_step FROM mf_review WHERE id = $id"), qr/MyFatoorah lists RefundId $refund_id of the same amount/, 'what was asked for by a clock that is ahead: likewise');
	like(($node->psql($db, "SELECT mf_retry_refund($refund, 'once more')"))[2], qr/MyFatoorah lists RefundId $refund_id of the same amount, which may be this one/, 'nor is there a second refund');
}

# MyFatoorah tells the identifier later: our reference counts more than a row that an answer has made.
{
	my ($id, $number) = paid('told later');

	$sandbox->faults({ %$lost, contains => $number });
	my $refund = refund($id, 5);
	wait_refund($refund, 'review');
	$sandbox->account(refund_answers => 'guide');
	asked($id);
	wait_refund($refund, 'refunded');
	is(rows($id), 'refunded 5', 'the row takes the refund with its reference');
	$sandbox->account(refund_answers => 'old');
}

# One that was refused, untruly, and is asked for again
{
	my ($id, $number) = paid('refused untruly');

	$sandbox->faults({ path => 'MakeRefund', contains => $number, create => $true, status => 400,
		body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Amount","Error":"Insufficient balance for vendor"}]}' });
	my $refund = refund($id, 4);
	wait_refund($refund, 'refused');
	sql("SELECT mf_retry_refund($refund, 'topped up')");
	wait_refund($refund, 'review');
	is(scalar(filed($number)), 1, 'what may be there in spite of a refusal is not asked for again');

	# a refund of another amount, or from before, is none of ours
	($id, $number) = paid('beside');
	$sandbox->invoice($number, 'refund', { amount => '2' });
	asked($id);
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 1);
	$sandbox->faults({ path => 'MakeRefund', contains => $number, never => $true });
	$refund = refund($id, 2);
	wait_refund($refund, 'review');
	$sandbox->invoice($number, 'refund', { amount => '3' });
	asked($id);
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $id", 3);
	like(sql("SELECT next_step FROM mf_review WHERE id = $id"), qr/mf_retry_refund\($refund/, 'one that was there before, and one of another amount, are not taken for ours');
	$sandbox->clear_faults;
	sql("SELECT mf_retry_refund($refund, 'portal shows none')");
	wait_refund($refund, 'refunded');
	is(rows($id), 'refunded 2, refunded 2, refunded 3', 'and it is asked for again');
}

# A number that was mistyped
{
	my ($id, $number) = paid('mistyped');

	$sandbox->faults({ path => 'MakeRefund', contains => $number, never => $true });
	my $refund = refund($id, 3);
	wait_refund($refund, 'review');
	sql("SELECT mf_resolve_refund($refund, 'filed', 'portal shows it', refund_id => 987654321)");
	asked($id);
	is(rows($id), 'filed 3', 'a RefundId that is none of the invoice stays with the row');
	like(($node->psql($db, "SELECT mf_resolve_refund($refund, 'review', 'typo', refund_id => 7)"))[2], qr/refund_id cannot be given with outcome "review"/, 'it is taken back without another');
	sql("SELECT mf_resolve_refund($refund, 'review', 'typo')");
	is(sql("SELECT status, refund_id, last_error FROM mf_refund WHERE id = $refund"), 'review||its RefundId was 987654321 by mistake: typo', 'until it is taken back');
	sql("SELECT mf_retry_refund($refund, 'portal shows none')");
	wait_refund($refund, 'refunded');
	like(($node->psql($db, "SELECT mf_resolve_refund($refund, 'review', 'typo')"))[2], qr/this cannot be done to refund $refund/, 'one that MyFatoorah shows is not taken back');
	is(scalar(filed($number)), 1, 'one refund was made');
}

# Two requests get the same RefundId.
{
	my ($id, $number) = paid('twice the same');
	my $first = refund($id, 1);

	wait_refund($first, 'refunded');
	my $refund_id = (filed($number))[0]{id};
	sql('SELECT mf_pause()');
	my $second = refund($id, 2);
	my $reference = sql("SELECT reference FROM mf_refund WHERE id = $second");
	$sandbox->faults({ path => 'MakeRefund', contains => $number, status => 200,
		body => qq({"IsSuccess":true,"Message":"","Data":{"Key":"$number","RefundId":$refund_id,"RefundReference":"1","ExternalIdentifier":"$reference","Amount":2}}) });
	sql('SELECT mf_resume()');
	wait_refund($second, 'review');
	like(sql("SELECT last_error FROM mf_refund WHERE id = $second"), qr/MyFatoorah answered with RefundId $refund_id, which is that of refund $first/, 'a RefundId that another request has needs a person');
	$sandbox->clear_faults;
}

# MyFatoorah says something else of a refund that is booked.
{
	my ($id, $number) = paid('said otherwise');
	my $refund = refund($id, 3);

	wait_refund($refund, 'refunded');
	my $refund_id = (filed($number))[0]{id};
	my $doubt = "SELECT payment_doubt FROM mf_invoice WHERE id = $id";
	my %is = (RefundId => $refund_id + 0, Amount => 2, RefundStatus => 'Refunded');
	foreach my $case ([ qr/RefundId $refund_id with an amount of 2, and refund $refund is one of 3/, %is ], [ qr/RefundId $refund_id as "Canceled", which was refunded/, %is, Amount => 3, RefundStatus => 'Canceled' ])
	{
		my ($words, %row) = @$case;

		$sandbox->clear_faults;
		$sandbox->list_refunds($number, \%row);
		asked($id);
		wait_for("SELECT payment_doubt IS NOT NULL FROM mf_invoice WHERE id = $id");
		like(sql($doubt), $words, "a person is told: $row{RefundStatus}, $row{Amount}");
		sql("SELECT mf_resolve($id, 'dismiss', 'seen')");
		asked($id);
		is(sql($doubt), '', 'once');
	}
	$sandbox->clear_faults;
	asked($id);
	wait_for("SELECT last_error IS NULL FROM mf_refund WHERE id = $refund");
	pass('what is right again leaves no error');
}

unlike(slurp_file($node->logfile), qr/is put off because|could not write|duplicate key/, 'no round has failed');
$node->stop;
done_testing();
