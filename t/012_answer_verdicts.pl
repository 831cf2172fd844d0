# What answers prove, end to end: the verdict follows the table of docs/reliability.md whatever the status, no invoice is
# made twice and none is lost, and what an answer held is found again. The stand-in knows what was made in truth.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '20ms'");
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $json = JSON::PP->new->canonical;

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '3s', timeout => '3s' });
$mf->wait_worker($node, 'postgres');

# A body as JSON, its invoice being the one of the true answer
sub body
{
	my (%with) = @_;
	my $data = join ',', ($with{invoice} ? '"InvoiceId":{{InvoiceId}},"InvoiceURL":{{InvoiceURL}}' : ()),
	  '"CustomerReference":' . { ours => '{{CustomerReference}}', other => '"somebody-else"', null => 'null' }->{ $with{echo} };

	return '{' . (defined $with{success} ? '"IsSuccess":' . ($with{success} ? 'true' : 'false') . ',' : '')
	  . '"ValidationErrors":' . ($with{errors} ? '[{"Name":"InvoiceValue","Error":"too small"}]' : 'null') . ",\"Data\":{$data}}";
}
my $whole = body(success => 1, invoice => 1, echo => 'ours');

#
# Direct calls: every kind of body at many statuses.
#
my @cells;
foreach my $status (200, 201, 202, 301, 302, 303, 307, 308, 400 .. 405, 408, 409, 413, 422, 425, 429, 499, 500, 502 .. 504, 599)
{
	push @cells, { status => $status, text => $_ } foreach '', '<html>Object moved</html>';
	foreach my $success (1, 0, undef)
	{
		foreach my $invoice (0, 1)
		{
			foreach my $echo (qw(ours other null))
			{
				push @cells, { status => $status, success => $success, invoice => $invoice, echo => $echo, errors => $_ } foreach 0, 1;
			}
		}
	}
}

# By the sentences, not by the table
sub expected
{
	my ($cell) = @_;
	my $status = $cell->{status};

	if (!defined $cell->{text} && ($cell->{success} || $cell->{invoice}))
	{
		return $status < 300 && $cell->{success} && $cell->{invoice} && $cell->{echo} eq 'ours' ? 'made' : '08007';
	}
	return '38000 not accepted' if $status =~ /^(?:3..|401|403|404)$/;
	return '38000 throttled' if $status == 429;
	return '38000 refused'
	  if $status =~ /^4/ && $status != 408 && !defined $cell->{text} && defined $cell->{success} && $cell->{errors};
	return '08007';
}

foreach my $set (0 .. $#cells / 100)
{
	my @numbers = grep { $_ <= $#cells } $set * 100 .. $set * 100 + 99;

	$sandbox->faults(map {
		{ path => 'SendPayment', reference => "direct-$_", status => $cells[$_]{status}, fill => $true,
			body => $cells[$_]{text} // body(%{ $cells[$_] }), create => $_ % 2 ? $true : $false }
	} @numbers);
}
sql(q{CREATE FUNCTION verdict(n int) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE answer mf_send_payment_result;
	BEGIN
		answer := mf_send_payment('direct', 1.25, customer_reference => 'direct-' || n);
		RETURN 'made' || CASE WHEN answer.invoice_url IS NULL THEN ' without link' ELSE '' END;
	EXCEPTION WHEN OTHERS THEN
		RETURN sqlstate || CASE WHEN sqlerrm LIKE '%refused%' THEN ' refused' WHEN sqlerrm LIKE '%does not accept%' THEN ' not accepted'
			WHEN sqlerrm LIKE '%too many%' THEN ' throttled' ELSE '' END;
	END $$});
my @verdicts = split /\n/, sql("SELECT verdict(n) FROM generate_series(0, $#cells) n ORDER BY n");
my @wrong = grep { $verdicts[$_] ne expected($cells[$_]) } 0 .. $#cells;
is(scalar @wrong, 0, scalar(@cells) . ' answers to direct calls: each verdict by the rule');
diag($json->encode($cells[$_]), ": $verdicts[$_] instead of ", expected($cells[$_])) foreach splice @wrong, 0, 10;
$sandbox->clear_faults;

#
# The queue: each row by an account of its own, so that pauses of one hold up nobody else.
#
my @rows;

sub row
{
	my ($name, %with) = @_;

	push @rows, { name => $name, links => 1, posts => 1, %with };
	return;
}
row("whole-$_", status => $_, body => $whole, outcome => 'unknown')
  foreach 301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503;
row("other-echo-$_", status => $_, body => body(success => 1, invoice => 1, echo => 'other'), outcome => 'unknown', other => 1) foreach 200, 401;
row("null-echo", status => 200, body => body(success => 1, invoice => 1, echo => 'null'), outcome => 'unknown',
	error => 'the answer contains no CustomerReference');
row("made-$_", status => $_, body => '', outcome => $_ == 429 ? 'throttled' : 'account_problem', links => 0) foreach 302, 401, 403, 404, 429;
row("not-made-$_", status => $_, body => '', create => $false, outcome => $_ == 429 ? 'throttled' : 'account_problem', posts => 2)
  foreach 302, 401, 403, 404, 429;
row("vague-$_", status => $_, body => '{"IsSuccess":false}', outcome => 'unknown', links => 0) foreach 400, 409, 425, 499;
row('no-link', status => 200, body => '{"IsSuccess":true,"Data":{"InvoiceId":{{InvoiceId}},"InvoiceURL":"","CustomerReference":{{CustomerReference}}}}',
	outcome => 'accepted', links => 0, last_error => 'given no link');

# accounts, each with the same key and options
sub accounts { return $mf->accounts_like($node, 'postgres', 'myfatoorah', [ @_ ]); }

# waits until it is true, while somebody keeps resuming the accounts of that kind
sub resume_until
{
	my ($like, $query) = @_;

	return $mf->wait_for($node, 'postgres', "SET client_min_messages = warning;
		SELECT ($query) FROM (SELECT count(mf_resume(account)) FROM mf_account WHERE paused_at IS NOT NULL AND account LIKE '$like') r");
}

accounts(map { $_->{name} } @rows);
$sandbox->faults(map {
	{ path => 'SendPayment', reference_prefix => "$_->{name}.", status => $_->{status}, body => $_->{body}, fill => $true,
		create => $_->{create} // $true }
} @rows);
sql(join "\n", map { 'INSERT INTO mf_invoice ' . $mf->invoice($_->{name}, account => "'$_->{name}'") . ';' } @rows);
resume_until('%', "SELECT bool_and(status = 'sent') FROM mf_invoice");

my %is = map { my ($name, @is) = split /\|/, $_, -1; ($name => \@is) } split /\n/, sql(q{
	SELECT i.customer_reference, a.outcome, i.invoice_url IS NOT NULL, i.attempts, i.duplicate_suspected, coalesce(a.error, ''),
		coalesce(i.last_error, ''), i.invoice_id IS NOT DISTINCT FROM a.invoice_id, a.answered_reference IS NOT NULL
	FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = 1});
foreach my $row (@rows)
{
	my ($outcome, $linked, $attempts, $twice, $error, $last_error, $same, $other) = @{ $is{ $row->{name} } };
	my $found = join ' ', $outcome, $linked, $attempts, $twice, $other;
	my $right = join ' ', $row->{outcome}, $row->{links} ? 't' : 'f', $row->{posts}, 'f', $row->{other} ? 't' : 'f';

	is($found, $right, "$row->{name}: outcome, link, attempts, no duplicate");
	like($error, qr/$row->{error}/, "$row->{name}: its words") if $row->{error};
	like($last_error, qr/$row->{last_error}/, "$row->{name}: last_error") if $row->{last_error};
	is($same, 't', "$row->{name}: the attempt has its number") if $row->{links} && $row->{posts} == 1;
}
my %posts;
$posts{ $_->{reference} =~ s/\.[^.]*$//r }++ foreach grep { ($_->{reference} // '') !~ /^direct-/ } $sandbox->posts;
is_deeply(\%posts, { map { $_->{name} => $_->{posts} } @rows }, 'none was posted again but what was not made');
my %made;
$made{ $_->{reference} =~ s/\.[^.]*$//r }++ foreach grep { ($_->{reference} // '') !~ /^direct-/ } $sandbox->remote;
is_deeply(\%made, { map { $_->{name} => 1 } @rows }, 'each was made once');
$sandbox->clear_faults;

#
# What goes back into the queue waits to be looked up, through a pause and its end.
#
accounts('held');
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'held.', status => 302, body => '', create => $true },
	{ path => 'GetPaymentStatus', reference_prefix => 'held.', status => 429, body => '', times => 2 });
$mf->insert($node, 'postgres', 'held', account => "'held'");
$mf->wait_for($node, 'postgres', "SELECT paused_at IS NOT NULL FROM mf_account WHERE account = 'held'");
is(sql("SELECT kind FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.account = 'held'"), 'verify', 'a crash page: to be looked up first');
resume_until('held', "SELECT status = 'sent' FROM mf_invoice WHERE account = 'held'");
is($sandbox->count(path => '/v2/SendPayment', reference => sql("SELECT reference FROM mf_invoice WHERE account = 'held'")), 1,
	'and not sent again, although its look-ups were throttled');

#
# Look-ups from which nothing follows, for ever: a person sees them, and nobody else waits.
#
my %senseless = (
	'data-null' => { status => 200, body => '{"IsSuccess":true,"Data":null}' },
	'data-list' => { status => 200, body => '{"IsSuccess":true,"Data":[]}' },
	'number-0' => { status => 200, body => '{"IsSuccess":true,"Data":{"InvoiceId":0,"InvoiceStatus":"Pending"}}' },
	'bare-string' => { status => 422, body => '"No data"' },
	'refusal' => { status => 422, body => '{"IsSuccess":false,"Message":"No"}' },
	'crash-page' => { status => 302, body => '' },
	'no-route' => { status => 404, shape => 5 });
accounts(sort keys %senseless, 'no-data');
$sandbox->faults((map {
		({ path => 'SendPayment', reference_prefix => "$_.", status => 500, body => 'lost', create => $true },
		{ path => 'GetPaymentStatus', reference_prefix => "$_.", times => -1, %{ $senseless{$_} } })
	} sort keys %senseless),
	{ path => 'SendPayment', reference_prefix => 'no-data.', status => 500, body => 'lost', create => $false },
	{ path => 'GetPaymentStatus', reference_prefix => 'no-data.', status => 404, times => 5,
		body => '{"IsSuccess":false,"Message":"No data match the provided values","Data":null}' });
sql(join "\n", map { 'INSERT INTO mf_invoice ' . $mf->invoice($_, account => "'$_'") . ';' } sort keys %senseless, 'no-data');
resume_until('no such', "SELECT bool_and(status = 'review') FROM mf_invoice WHERE account IN ('" . join("','", keys %senseless) . "')");
is(sql("SELECT count(*) FROM mf_review WHERE what_happened LIKE '5 look-ups by reference % had invalid answers, the last one: %'"),
	scalar keys %senseless, 'mf_review has each, with the last answer');
$mf->wait_for($node, 'postgres', "SELECT status || attempts FROM mf_invoice WHERE account = 'no-data'", 'sent2');
is(sql("SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL"), 0, 'no look-up has paused an account');
sql(join "\n", map { 'INSERT INTO mf_invoice ' . $mf->invoice("after-$_", account => "'$_'") . ';' } sort keys %senseless);
$mf->wait_for($node, 'postgres', "SELECT bool_and(status = 'sent') FROM mf_invoice WHERE customer_reference LIKE 'after-%'");
pass('and its other rows are sent');

#
# A look-up finds another number than the answer had told.
#
accounts('two');
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'two.', status => 500, create => $true,
	body => '{"IsSuccess":true,"Data":{"InvoiceId":77,"CustomerReference":{{CustomerReference}}}}', fill => $true });
$mf->insert($node, 'postgres', 'two', account => "'two'");
$mf->wait_for($node, 'postgres', "SELECT status || duplicate_suspected FROM mf_invoice WHERE account = 'two'", 'reviewtrue');
like(sql("SELECT last_error FROM mf_invoice WHERE account = 'two'"), qr/but the answer named invoice 77/, 'another number than told: a person');
$sandbox->clear_faults;

#
# The number of a sent row is another's invoice where the account asks now.
#
my $id = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'after-data-null'");
my $number = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
my $theirs = qq({"IsSuccess":true,"Data":{"InvoiceId":$number,"InvoiceStatus":"Paid","InvoiceValue":99,"InvoiceDisplayValue":"99.000 KD",
	"CustomerReference":%s,"InvoiceTransactions":[{"PaymentId":"07","TransactionStatus":"Succss","TransationValue":"99.000"}]}});
foreach my $reference ('"theirs.0123"', 'null')
{
	$sandbox->faults({ path => 'GetPaymentStatus', contains => "\"$number\"", status => 200, body => $theirs =~ s/%s/$reference/r, times => -1 });
	sql("SELECT mf_refresh($id)");
	$mf->wait_for($node, 'postgres', "SELECT payment_error LIKE 'MyFatoorah answered about invoice $number with " .
		  ($reference eq 'null' ? 'no CustomerReference' : 'CustomerReference _theirs.0123_') . "%' FROM mf_invoice WHERE id = $id");
	is(sql("SELECT payment_status, base_value IS NULL, (SELECT count(*) FROM mf_transaction WHERE invoice = $id) FROM mf_invoice WHERE id = $id"),
		'unpaid|t|0', "paid, with reference $reference: nothing changes");
	$sandbox->clear_faults;
}

# Nor does an answer about another number, though the reference is the row's.
my $reference = sql("SELECT reference FROM mf_invoice WHERE id = $id");
$sandbox->faults({ path => 'GetPaymentStatus', contains => "\"$number\"", status => 200, times => -1,
	body => $theirs =~ s/%s/"$reference"/r =~ s/"InvoiceId":$number/"InvoiceId":77/r });
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, 'postgres', "SELECT payment_error = 'asked for invoice $number, MyFatoorah answered with invoice 77' FROM mf_invoice WHERE id = $id");
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'unpaid', 'paid, with another number: nothing changes');
$sandbox->clear_faults;
$sandbox->invoice($number, 'pay');
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, 'postgres', "SELECT payment_status || coalesce(payment_error, ' without error') FROM mf_invoice WHERE id = $id", 'paid without error');
pass('a good answer counts, and clears the error');

#
# A key of another country: its account is paused at once, and nothing is unknown.
#
accounts('foreign');
$sandbox->key_state('foreign');
sql(join "\n", map { 'INSERT INTO mf_invoice ' . $mf->invoice("foreign $_", account => "'foreign'") . ';' } 1 .. 300);
$mf->wait_for($node, 'postgres', "SELECT reason LIKE '%You are not Authorized to use API%' FROM mf_account WHERE account = 'foreign' AND paused_at IS NOT NULL");
$mf->wait_idle($node, 'postgres');
is(sql("SELECT status, count(*) FROM mf_invoice WHERE account = 'foreign' GROUP BY 1"), 'queued|300', 'a key of another country: all rows wait');
is(sql("SELECT item || ': ' || detail FROM mf_check('foreign') WHERE item IN ('network', 'key') AND NOT ok"),
	'key: HTTP 400: Exception: You are not Authorized to use API.', 'mf_check() says that it is the key');
$sandbox->key_state('ok');
sql("SELECT mf_resume('foreign')");
$mf->wait_for($node, 'postgres', "SELECT bool_and(status = 'sent') FROM mf_invoice WHERE account = 'foreign'");
is(scalar(grep { ($_->{reference} // '') =~ /^foreign / } $sandbox->invoices(limit => 3000)), 300, 'with another one they are sent, once each');

#
# Nobody could pay it any more: it is not sent, and can be corrected.
#
$mf->insert($node, 'postgres', 'late', expiry_date => "clock_timestamp() + interval '4 s'");
$mf->wait_status($node, 'postgres', 'late', 'rejected');
like(sql("SELECT last_error FROM mf_invoice WHERE customer_reference = 'late'"), qr/^not sent, because expiry_date .* call mf_retry\(\d+\)$/, 'expired: says what to change');
is(scalar(grep { ($_->{reference} // '') =~ /^late\./ } $sandbox->posts), 0, 'and was not posted');
sql(q{UPDATE mf_invoice SET expiry_date = now() + interval '1 day' WHERE customer_reference = 'late';
	SELECT mf_retry(id) FROM mf_invoice WHERE customer_reference = 'late'});
$mf->wait_status($node, 'postgres', 'late');

$node->stop;
done_testing();
