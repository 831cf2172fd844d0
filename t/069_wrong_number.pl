# An InvoiceId that a person has given the wrong row: mf_resolve() refuses one that another row has; an event is that of
# the row whose reference it carries; and a row that was given a stranger's number is brought back.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1d'");
my $db = 'postgres';
my $secret = 'Wx+sEcReT/of=the+portal';

$mf->setup_account($node, $db, $sandbox);
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);

# "ok", or SQLSTATE, message and hint
sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? 'ok' : join ': ', grep { defined } $got->{error}, $got->{HINT};
}

sub column
{
	my ($id, $column) = @_;

	return sql("SELECT $column FROM mf_invoice WHERE id = $id");
}

# A row in review, without a number
sub in_review
{
	my ($name) = @_;
	my $id = sql("INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, reference, status, attempts)
		VALUES ('Noura', 1, '$name', '$name.abcdefghijklmnopqrst', 'review', 1) RETURNING id");

	sql(q{SELECT mf_resume('*')});
	return $id;
}

# A row that was sent
sub sent
{
	my ($name) = @_;

	$mf->insert($node, $db, $name);
	$mf->wait_status($node, $db, $name);
	return split /\|/, sql("SELECT id, invoice_id FROM mf_invoice WHERE customer_reference = '$name'");
}

# Its customer pays, and the webhook comes
sub pay_and_tell
{
	my ($invoice) = @_;

	$sandbox->invoice($invoice, 'pay');
	$sandbox->wait_deliveries({ invoice => $invoice, phase => 'queued' }, 1) or die "no webhook of invoice $invoice\n";
	sql($mf->webhook(($sandbox->deliveries(invoice => $invoice))[-1]));
	return;
}

#
# A number that another row has
#
my $typo = in_review('typo');
my ($victim, $number) = sent('victim');
my $taken = "55000: invoice $number of MyFatoorah is that of invoice $victim already: SELECT * FROM mf_invoice_all WHERE id = $victim shows it, unless its month was dropped or detached.";
my $adopt = "SELECT mf_resolve($typo, 'adopt', 'typo', invoice_id => $number)";
is(attempt($adopt), $taken, 'the number of another row');
is(column($typo, 'status'), 'review', 'the row is in review as before');
is(attempt("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mf_open; $adopt"), $taken, 'whatever the snapshot');
sql('CREATE SERVER branch FOREIGN DATA WRAPPER myfatoorah OPTIONS (country $$KWT$$, base_url ' . $mf->literal($sandbox->url) . ')');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET account = 'branch' WHERE id = $typo");
is(attempt($adopt), $taken, 'and one of another account with the same address');
sql(q{ALTER SERVER branch OPTIONS (SET base_url 'http://127.0.0.1:1')});
is(attempt("BEGIN; $adopt; ROLLBACK"), 'ok', 'but not with another address');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET account = 'myfatoorah' WHERE id = $typo");

# the row may have two invoices, and one is given that is another row's
sql("SET session_replication_role = replica; UPDATE mf_invoice SET status = 'sent', invoice_id = 77, duplicate_suspected = true WHERE id = $typo");
is(attempt($adopt), $taken, 'the same for a row that may have two invoices');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET status = 'review', invoice_id = NULL, duplicate_suspected = false WHERE id = $typo");

# two at the same time
my $other = in_review('other');
# an invoice that was made in the portal
my $free = $sandbox->send_payment(InvoiceValue => 1, CustomerReference => 'of the portal');
my ($first, $second) = map { $mf->session($node, $db) } 1, 2;
$first->query_safe("BEGIN; SELECT mf_resolve($typo, 'adopt', 'portal', invoice_id => $free)");
$second->query_until(qr/begun/, "\\echo begun\nSELECT mf_resolve($other, 'adopt', 'portal', invoice_id => $free);\n");
$mf->wait_for($node, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mf_resolve%' AND pid <> pg_backend_pid()}, 1);
$first->query_safe('COMMIT');
$second->query('SELECT 1');
like($second->{stderr}, qr/is that of invoice $typo already/, 'of two at the same time, one finds the row of the other');
$_->quit for $first, $second;

#
# A row that was given a stranger's number: this one is of the portal, and paid
#
pay_and_tell($free);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_review WHERE id = $typo", 1);
is(column($typo, 'payment_status'), 'unpaid', 'the payment of a stranger is not booked');
is(attempt("SELECT mf_resolve($typo, '$_', 'typo')") =~ s/: SELECT.*//r, "55000: invoice $typo is not in review", "$_: not at once") for 'resend', 'abandon';
my $step = sql("SELECT next_step FROM mf_review WHERE id = $typo");
my ($call) = $step =~ /(SELECT mf_resolve\(.*?'reason'\))/;
is($call, "SELECT mf_resolve($typo, 'review', 'reason')", 'mf_review shows how to bring it back') or diag($step);
is(attempt($call), 'ok', 'mf_resolve() brings the row back to review');
is(column($typo, "concat_ws('|', status, payment_status, invoice_id, invoice_url, sent_at, payment_error)"), 'review|unpaid', 'it is in review again, without the number');
like(attempt($call), qr/^55000: invoice $typo has no number to take back/, 'a second time there is none');
is(sql("SELECT count(*) FROM mf_number WHERE invoice = $typo"), 0, 'mf_number does not have the number any more');
is(sql("SELECT concat_ws(' ', from_status, to_status, actor = current_user, reason) FROM mf_history WHERE invoice = $typo ORDER BY changed_at DESC LIMIT 1"), 'sent review t review: reason', 'and the history tells of it');
is(sql("SELECT concat_ws(' ', kind, due) FROM mf_queue WHERE invoice = $typo"), 'review infinity', 'the entry of the agenda waits for a person');
like(sql("SELECT next_step FROM mf_review WHERE id = $typo"), qr/mf_resolve\($typo, 'resend', 'reason'\)/, 'mf_review shows how');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_unmatched WHERE invoice_id = $free", 1);
is(attempt("SELECT mf_adopt('$free')"), 'ok', 'the stranger gets a row of its own');
is(attempt("SELECT mf_resolve($typo, 'resend', 'portal shows none')"), 'ok', 'and the row is sent');
$mf->wait_for($node, $db, "SELECT status FROM mf_invoice WHERE id = $typo", 'sent');
is(attempt("SELECT mf_resolve($typo, 'review', 'mistake')"), "55000: invoice $typo keeps its number: Only a number that no answer has confirmed can be taken back.", 'a number that an answer has named stays');
is(attempt("SELECT mf_resolve($victim, 'review', 'mistake')") =~ s/: Only.*//r, "55000: invoice $victim keeps its number", 'of any row');

# An answer has named it, and another row has it, too: one of the two is wrong, and a person can say which
my ($twin, $own) = sent('twin');
my $mine = sub { sql("SET session_replication_role = replica; UPDATE mf_invoice SET invoice_id = $_[0] WHERE id = $twin; UPDATE mf_attempt SET invoice_id = $_[0] WHERE invoice = $twin;
	UPDATE mf_invoice_number SET invoice_id = $_[0] WHERE invoice = $twin") };
like(attempt("SELECT mf_resolve($twin, 'review', 'wrong')"), qr/^55000: invoice $twin keeps its number/, 'one that no other row has stays');
$mine->($number);
sql("UPDATE mf_inquiry SET error = 'doubt' WHERE invoice = $twin; SET session_replication_role = replica; UPDATE mf_invoice SET payment_error = 'doubt' WHERE id = $twin");
like(sql("SELECT next_step FROM mf_review WHERE id = $twin"), qr/SELECT mf_resolve\($twin, 'review', 'reason'\)/, 'mf_review shows how to take back one that another row has');
is(attempt("SELECT mf_resolve($twin, 'review', 'wrong')"), 'ok', 'one that another row has can be taken back');
is(column($victim, "concat_ws('|', status, invoice_id)"), "sent|$number", 'and the other keeps it');
is(attempt("SELECT mf_resolve($twin, 'adopt', 'portal', invoice_id => $own)"), 'ok', 'so that the row gets its own');

#
# A row that has got another's number all the same, by an earlier version: what comes in is matched by the reference
#
sql("SET session_replication_role = replica; UPDATE mf_invoice SET status = 'sent', invoice_id = $number, sent_at = now() WHERE id = $other; DELETE FROM mf_queue WHERE invoice = $other;
	INSERT INTO mf_invoice_number (invoice_id, invoice) VALUES ($number, $other)");
sql("SET session_replication_role = replica; UPDATE mf_invoice SET invoice_id = $number WHERE id = $typo; INSERT INTO mf_invoice_number (invoice_id, invoice) VALUES ($number, $typo)");
pay_and_tell($number);
is(sql("SELECT invoice FROM mf_event WHERE invoice_id = $number"), $victim, 'the webhook is that of the row whose reference it carries');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $victim", 'paid');
is(sql("SELECT string_agg(payment_status, ',') FROM mf_invoice WHERE id IN ($typo, $other)"), 'unpaid,unpaid', 'which is paid, and no other');
my $payment = column($victim, 'payment_id');
sql("DELETE FROM mf_transaction WHERE invoice = $victim; SELECT mf_callback('$payment')");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'callback' AND due IS NULL", 1);
is(sql("SELECT invoice FROM mf_event WHERE source = 'callback'"), $victim, 'so is the answer about a PaymentId');
is(attempt("SELECT mf_resolve($other, 'review', 'typo')"), 'ok', 'and the row with the wrong number is brought back');

#
# MyFatoorah answers with the number and link of another row: it is shown at once, not when the invoice is asked about
#
sql(q{CREATE USER MAPPING FOR PUBLIC SERVER branch OPTIONS (api_key_file 'myfatoorah.key'); SELECT mf_resume('branch')});
my ($holder, $held) = sent('holder');
foreach my $account ('myfatoorah', 'branch')
{
	sql("ALTER SERVER branch OPTIONS (SET base_url '" . $sandbox->url . "')");
	$sandbox->faults({ path => 'SendPayment', times => 1, create => JSON::PP::false, fill => JSON::PP::true,
		body => qq({"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":{"InvoiceId":$held,"InvoiceURL":"https://demo.myfatoorah.com/KWT/ie/$held","CustomerReference":{{CustomerReference}},"UserDefinedField":""}}) });
	my $given = $mf->insert($node, $db, "given $account", account => "'$account'");
	$mf->wait_status($node, $db, "given $account");
	is(column($given, "concat_ws('|', invoice_id, duplicate_suspected, base_value)"), "$held|t", "$account: the number of another row");
	is(sql("SELECT what_happened FROM mf_review WHERE id = $given"), "MyFatoorah answered with invoice $held, which is that of invoice $holder already; so the link may be that of another customer", 'mf_review says so');
	like(sql("SELECT next_step FROM mf_review WHERE id = $given"), qr/mf_resolve\($given, 'adopt', 'reason', invoice_id => NUMBER\).*mf_resolve\($given, 'review', 'reason'\)/, 'and what to do');
	is(attempt("SELECT mf_resolve($given, 'review', 'not ours')"), 'ok', 'a number of another row is taken back');
	is(attempt("SELECT mf_resolve($given, 'resend', 'portal shows none')"), 'ok', 'the row is sent again');
	$mf->wait_status($node, $db, "given $account");
	is(column($given, "concat_ws('|', invoice_id <> $held, duplicate_suspected)"), 't|f', 'the row has a number of its own');
	is(sql("SELECT count(*) FROM mf_review WHERE id IN ($given, $holder)"), 0, 'mf_review has neither of the two rows');
}

#
# An archived row has it
#
$mf->wait_idle($node, $db);
sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01' WHERE id = $victim; DELETE FROM mf_inquiry WHERE invoice = $victim");
is(sql(q{SELECT mf_archive('2020-02-01')}), 1, 'the row is archived');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET invoice_id = 78 WHERE id = $typo");
is(attempt("SELECT mf_resolve($other, 'adopt', 'typo', invoice_id => $number)"), $taken, 'its number is taken, too');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
