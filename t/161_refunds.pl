# Refunds: never more than was received, one request of an invoice at a time, and none twice, whatever becomes of the answer.
# The stand-in's books are the measure.
use MyFatoorah::Test qw(sql wait_for wait_refund);

use JSON::PP ();
use List::Util qw(max sum0);
use PostgreSQL::Test::Utils;

my $mf = 'MyFatoorah::Cluster';
my $true = JSON::PP::true;
my $db = 'postgres';
my $secret = 'refunds-are-told';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $make = { path => '/v2/MakeRefund' };

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);

sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$mf->wait_worker($node, $db);

# The first look-up comes that long after no answer can come any more
sub set_lookup_delay
{
	my ($delay) = @_;

	sql("ALTER SYSTEM SET myfatoorah.lookup_delay = '$delay'");
	return $node->reload;
}

# An invoice that was sent and paid: its ids here and there
sub paid
{
	my ($name, $value) = @_;

	return $mf->settle($node, $db, $sandbox, $name, 'pay', invoice_value => $value);
}

# refund(invoice, value, columns): the id of its row
sub refund
{
	my ($invoice, $value, %columns) = @_;
	my @names = sort keys %columns;

	return sql('INSERT INTO mf_refund (' . join(', ', 'invoice', 'value', @names) . ") VALUES ("
		. join(', ', $invoice, $value, map { $columns{$_} } @names) . ') RETURNING id');
}

sub asked { return $mf->ask_refunds($node, $db, $sandbox, @_); }

# MyFatoorah does not show refunds of an invoice until clear_faults()
sub hidden
{
	my ($number) = @_;

	return { path => 'GetRefundStatus', contains => $number, times => -1, status => 400,
		body => '{"IsSuccess":false,"Message":"Invalid data","ValidationErrors":[{"Name":"Key","Error":"No data match the provided values"}],"Data":null}' };
}

# The refunds of an invoice at the stand-in
sub filed
{
	my ($number) = @_;

	return grep { $_->{invoice_id} == $number } $sandbox->refunds;
}

# The requests about an invoice: pairs of the times when each had come in and when it was answered
sub requests
{
	my ($number) = @_;

	return grep { $_->{body} =~ /"Key":"$number"/ } $sandbox->ledger(%$make);
}

#
# Fifty sessions refund the same invoice at once.
#
{
	my ($id, $number) = paid('fifty', '10.000');
	my ($other, $other_number) = paid('fifty too', '10.000');
	my $script = PostgreSQL::Test::Utils::tempdir('pgbench') . '/refund.sql';

	$sandbox->account(auto_refund => $true);
	$sandbox->faults({ path => 'MakeRefund', delay_ms => 20, times => -1 });
	# those that come too late are refused, which ends their client
	append_to_file($script, "INSERT INTO mf_refund (invoice, value) VALUES ($id, 0.5);\n");
	run_log([ 'pgbench', '-n', '-c', 50, '-j', 4, '-t', 1, '-f', $script, $node->connstr($db) ], '>', \my $out, '2>', \my $err);
	append_to_file("$script.other", "\\set value random(1, 2000)\nINSERT INTO mf_refund (invoice, value) VALUES ($other, :value / 1000.0);\n");
	run_log([ 'pgbench', '-n', '-c', 50, '-j', 4, '-t', 1, '-f', "$script.other", $node->connstr($db) ], '>', \$out, '2>', \$err);
	is(sql("SELECT count(*), sum(value) FROM mf_refund WHERE invoice = $id"), '20|10.0', 'as many as fit are taken, to the last fils');
	is(sql("SELECT sum(value) <= 10 AND sum(value) > 8 FROM mf_refund WHERE invoice = $other"), 't', 'refunds of any value fill the invoice, and no more');
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice IN ($id, $other) AND status IN ('queued', 'sending', 'unknown')", 0);
	$sandbox->clear_faults;

	for my $n ($number, $other_number)
	{
		my @requests = sort { $a->{complete_us} <=> $b->{complete_us} } requests($n);
		my @early = grep { $requests[$_]{complete_us} < $requests[ $_ - 1 ]{answered_us} } 1 .. $#requests;

		cmp_ok(scalar @requests, '>=', 5, 'requests have come in');
		is(scalar @early, 0, 'the requests about one invoice come one at a time');
		cmp_ok(sum0(map { $_->{amount} } filed($n)), '<=', 10, 'and no more than was received went back');
	}
	is(scalar(filed($number)), 20, 'each was asked for once');
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice IN ($id, $other) AND status <> 'refunded'", 0);
	is(sql("SELECT payment_status, net_value FROM mf_invoice WHERE id = $id"), 'refunded|0.000', 'the answer to the question says that all went back');
	is(sql("SELECT refunded_value = (SELECT sum(value) FROM mf_refund WHERE invoice = $other) FROM mf_invoice WHERE id = $other"), 't', 'or as much as was asked for');
	$sandbox->account(auto_refund => JSON::PP::false);
}

#
# Whatever becomes of the answer, one refund: the look-up finds it by our reference.
#
{
	my %fault = (
		'no answer' => { never => $true, create => $true },
		'an error page' => { status => 500, body => '<h1>Oops</h1>', create => $true },
		'a success that names nothing' => { status => 200, body => '{"IsSuccess":true,"Message":"","Data":null}', create => $true },
		'another reference' => { status => 200, fill => $true, create => $true,
			body => '{"IsSuccess":true,"Data":{"RefundId":{{RefundId}},"RefundReference":"1","ExternalIdentifier":"somebody"}}' },
		'a refusal that names it' => { status => 400, fill => $true, create => $true,
			body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Amount","Error":"no"}],"Data":{"RefundId":{{RefundId}}}}' },
		'an answer cut off' => { cut_answer_at => 150, create => $true },
		'a redirect' => { status => 302, headers => { Location => 'http://127.0.0.1:9/' }, body => '', create => $true });

	my %case = map { $_ => [ paid($_, '4.000') ] } keys %fault;

	$sandbox->faults(map { { path => 'MakeRefund', contains => $case{$_}[1], %{ $fault{$_} } } } keys %fault);
	push @{ $case{$_} }, refund($case{$_}[0], '2.5') for 'a redirect', grep { $_ ne 'a redirect' } sort keys %fault;
	# it concerns the account, which a person lets go on
	wait_for(q{SELECT paused_by FROM mf_account WHERE paused_at IS NOT NULL}, 'sender');
	$mf->wait_none($node, $db, q{SELECT count(*) FROM mf_refund WHERE status IN ('queued', 'sending', 'unknown')});
	for my $what (sort keys %fault)
	{
		my ($id, $number, $refund) = @{ $case{$what} };

		wait_refund($refund, 'filed');
		is(scalar(filed($number)), 1, "$what: one refund");
		is(scalar(requests($number)), 1, "$what: by one request");
		is(sql("SELECT r.attempts, a.outcome IN ('unknown', 'account_problem'), r.refund_id FROM mf_refund r JOIN mf_operation_attempt a ON a.operation = r.id WHERE r.id = $refund"),
			'1|t|' . (filed($number))[0]{id}, "$what: its outcome was unknown until it was found");
	}
}

#
# Nothing was filed: a person decides, and no request is repeated by itself; not after a refusal of the pace either, before it is looked up.
#
{
	my ($id, $number) = paid('lost', '4.000');

	$sandbox->faults({ path => 'MakeRefund', never => $true });
	my $refund = refund($id, '4');
	wait_refund($refund, 'review');
	is(scalar(requests($number)), 1, 'a lost request is not repeated');
	cmp_ok(scalar(grep { $_->{body} =~ /$number/ } $sandbox->ledger(path => '/v2/GetRefundStatus')), '>=', 5, 'after five look-ups a person decides');
	like(sql('SELECT what_happened FROM mf_review'), qr/^refund $refund of 4 KWD: outcome unknown, and MyFatoorah does not show it: no complete answer came/, 'mf_review says what happened');
	like(sql('SELECT next_step FROM mf_review'), qr/mf_resolve_refund\($refund, 'filed'.*mf_retry_refund\($refund, 'reason'\)/, 'and which call to make');
	like(sql(q{SELECT detail FROM mf_check() WHERE item = 'invoices'}), qr/1 needs the decision/, 'as mf_check() does');
	is(sql('SELECT review_invoices FROM mf_metrics_attention'), 1, 'and monitoring');
	is(sql("SELECT mf_refundable($id)"), '0.000', 'meanwhile the money counts as gone');
	sql("SELECT mf_retry_refund($refund, 'portal shows none')");
	wait_refund($refund, 'filed');
	is(sql("SELECT attempts FROM mf_refund WHERE id = $refund"), 2, 'asked for again');
	is(join(',', map { $_->{external} } filed($number)), sql("SELECT reference FROM mf_refund WHERE id = $refund"), 'under another reference');

	# another one is found late, and the person was wrong
	($id, $number) = paid('late', '4.000');
	$sandbox->faults({ path => 'MakeRefund', never => $true, create => $true }, hidden($number));
	$refund = refund($id, '2');
	wait_refund($refund, 'review');
	sql("SELECT mf_retry_refund($refund, 'portal shows none')");
	wait_refund($refund, 'filed');
	$sandbox->clear_faults;
	asked($id);
	is(sql("SELECT string_agg(status, ',' ORDER BY id) FROM mf_refund WHERE invoice = $id"), 'filed,filed', 'it was there, and is now, too');
	is(sql("SELECT last_error ~ '^refund $refund was given up or asked for again' FROM mf_refund WHERE invoice = $id AND id <> $refund"), 't', 'a refund that turns up twice is shown');
	is(sql("SELECT mf_refundable($id)"), '0.000', 'and taken into account');
	is(sql("SELECT what_happened, next_step LIKE '%mf_resolve($id, ''dismiss''%' FROM mf_review WHERE id = $id"),
		'a refund may be one too many: last_error of mf_refund says why|t', 'mf_review has its invoice');

	($id, $number) = paid('decided', '4.000');
	$sandbox->faults({ path => 'MakeRefund', never => $true, create => $true }, hidden($number));
	$refund = refund($id, '1');
	wait_refund($refund, 'review');
	$sandbox->clear_faults;
	sql("SELECT mf_resolve_refund($refund, 'filed', 'portal shows it', refund_id => " . (filed($number))[0]{id} . ')');
	asked($id);
	wait_for("SELECT refund_reference IS NOT NULL FROM mf_refund WHERE id = $refund");
	is(sql("SELECT count(*), min(status) FROM mf_refund WHERE invoice = $id"), '1|filed', 'a person says which one it is, and MyFatoorah is asked about that');

	($id, $number) = paid('throttled', '4.000');
	$sandbox->faults({ path => 'MakeRefund', shape => 11 });
	$refund = refund($id, '1');
	wait_refund($refund, 'filed');
	is(sql("SELECT string_agg(outcome, ',' ORDER BY attempt) FROM mf_operation_attempt WHERE operation = $refund"), 'throttled,accepted', 'after 429 it is looked up, and asked for again');
	is(scalar(filed($number)), 1, 'one refund is filed');
	cmp_ok(scalar(grep { $_->{body} =~ /$number/ } $sandbox->ledger(path => '/v2/GetRefundStatus')), '>=', 5, 'by five look-ups');
}

#
# A refusal need not be true: before a refund is asked for again it is looked up under the references that it had.
#
{
	my %refusal = (status => 400, body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Amount","Error":"Insufficient balance for vendor"}]}');
	my ($id, $number) = paid('refused untruly', '10.000');

	$sandbox->faults({ path => 'MakeRefund', contains => $number, create => $true, %refusal });
	my $refund = refund($id, '4');
	wait_refund($refund, 'refused');
	sql("SELECT mf_retry_refund($refund, 'balance topped up')");
	wait_refund($refund, 'filed');
	is(scalar(requests($number)), 1, 'what was filed in spite of a refusal is not asked for again');
	is(sql("SELECT refund_id FROM mf_refund WHERE invoice = $id"), join(',', map { $_->{id} } filed($number)), 'the row takes the refund that is there, the only one');

	# MyFatoorah does not answer the question: nothing leaves until it does
	($id, $number) = paid('refused truly', '10.000');
	$sandbox->faults({ path => 'MakeRefund', contains => $number, %refusal });
	$refund = refund($id, '4');
	wait_refund($refund, 'refused');
	$sandbox->faults({ path => 'GetRefundStatus', contains => $number, status => 500, body => '', times => 2 });
	sql("SELECT mf_retry_refund($refund, 'balance topped up')");
	wait_refund($refund, 'filed');
	is(scalar(requests($number)), 2, 'after a true refusal it is asked for again');
	is(join(',', map { "$_->{amount} $_->{external}" } filed($number)), sql("SELECT value || ' ' || reference FROM mf_refund WHERE invoice = $id"), 'once, under another reference');
	my @questions = grep { $_->{body} =~ /$number/ } $sandbox->ledger(path => '/v2/GetRefundStatus');
	my ($first, $again) = sort { $a->{complete_us} <=> $b->{complete_us} } requests($number);
	is(scalar(grep { $_->{complete_us} > $first->{answered_us} && $_->{answered_us} < $again->{complete_us} } @questions), 3, 'and not before an answer has come that lacks it');

	# said of ours, "already under processing" is no refusal of it
	($id, $number) = paid('told early', '10.000');
	$sandbox->faults({ path => 'MakeRefund', contains => $number, create => $true, status => 400,
		body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"Key","Error":"The transaction is already under processing!"}]}' });
	$refund = refund($id, '4');
	wait_for("SELECT attempts = 1 AND status = 'queued' FROM mf_refund WHERE id = $refund");
	sql('SELECT mf_resume()');
	wait_refund($refund, 'filed');
	is(scalar(filed($number)), 1, 'what waits for another refund that is its own is found');
}

#
# What MyFatoorah does not show yet has the time of five look-ups, however often others ask about the invoice.
#
{
	my ($id, $number) = paid('asked often', '4.000');
	my $first = refund($id, '1');

	wait_refund($first, 'filed');
	set_lookup_delay('1h');
	$sandbox->faults({ path => 'MakeRefund', never => $true });
	my $refund = refund($id, '1');
	wait_refund($refund, 'unknown');
	asked($id) for 1 .. 2;
	is(sql("SELECT lookups FROM mf_operation WHERE id = $refund"), 0, 'a question before its time does not count');
	sql("UPDATE mf_operation SET due = now() WHERE id = $refund; SELECT mf_resume()");
	wait_for("SELECT lookups FROM mf_operation WHERE id = $refund", 1);
	asked($id) for 1 .. 6;
	is(sql("SELECT status, lookups, due > now() + interval '50 minutes' FROM mf_operation WHERE id = $refund"), 'unknown|1|t', 'a question of the worker counts once, and those of others not');
	set_lookup_delay('20ms');
	for my $lookups (2 .. 5)
	{
		sql("UPDATE mf_operation SET due = now() WHERE id = $refund AND lookups < $lookups; SELECT mf_resume()");
		wait_for("SELECT status = 'review' OR lookups >= $lookups FROM mf_operation WHERE id = $refund");
	}
	wait_refund($refund, 'review');
	# a person cannot take one for another
	my $theirs = (filed($number))[0]{id};
	my (undef, undef, $error) = $node->psql($db, "SELECT mf_resolve_refund($refund, 'filed', 'portal shows it', refund_id => $theirs)");
	like($error, qr/refund $first has RefundId $theirs/, 'the RefundId of another row is refused');
	unlike($error, qr/SQL|CONTEXT/, 'the error has no internals');
	(undef, undef, $error) = $node->psql($db, "SELECT mf_resolve_refund($refund, 'refused', 'portal shows it', refund_id => $theirs)");
	like($error, qr/refund_id cannot be given with outcome "refused"/, 'as is one that was refused');
	sql("SELECT mf_retry_refund($refund, 'portal shows none')");
	wait_refund($refund, 'filed');
}

#
# A webhook brings the end, a customer who bears the fee gets less, and one pending refund makes the next one wait.
#
{
	my ($id, $number) = paid('told', '10.000');

	$sandbox->account(refund_fee => '0.360', one_refund_at_a_time => $true);
	my $refund = refund($id, '3', charge_on_customer => 'true');
	wait_refund($refund, 'filed');
	my $second = refund($id, '1');
	wait_for("SELECT last_error FROM mf_refund WHERE id = $second", 'Key: The transaction is already under processing!');
	is(sql("SELECT status FROM mf_refund WHERE id = $second"), 'queued', 'the second one waits');
	$sandbox->decide_refund((filed($number))[0]{id}, 'approve');
	$sandbox->wait_deliveries({ invoice => $number, code => 2, phase => 'queued' }, 1);
	sql($mf->webhook(($sandbox->deliveries(invoice => $number, code => 2))[-1]));
	wait_refund($refund, 'refunded');
	is(sql("SELECT value, refunded_value FROM mf_refund WHERE id = $refund"), '3|2.640', 'the customer gets less');
	is(sql("SELECT refunded_value, net_value FROM mf_invoice WHERE id = $id"), '3.000|7.000', 'and the invoice has lost what was asked for');
	wait_refund($second, 'filed');
	is(scalar(filed($number)), 2, 'and goes when the first one is done');
	$sandbox->account(refund_fee => undef, one_refund_at_a_time => JSON::PP::false);
}

#
# A worker that is killed while a refund is under way
#
{
	my ($id, $number) = paid('killed', '4.000');
	my $before = $sandbox->count(%$make);

	$sandbox->faults({ path => 'MakeRefund', never => $true, create => $true });
	my $refund = refund($id, '4');
	$sandbox->wait_count($make, $before + 1) or die "it is not sent\n";
	my $pid = $mf->worker_pid($node, $db);
	kill 'KILL', $pid;
	$node->poll_query_until($db, 'SELECT true');
	$mf->wait_worker($node, $db, not => $pid);
	wait_refund($refund, 'filed');
	is(scalar(filed($number)), 1, 'what was killed under way is found');
	is(scalar(requests($number)), 1, 'and not repeated');
	is(sql("SELECT outcome, error FROM mf_operation_attempt WHERE operation = $refund"), '|', 'no outcome was recorded');
}

#
# What MyFatoorah's books and ours say
#
$sandbox->decide_refund($_->{id}, 'approve') for grep { $_->{status} eq 'Pending' } $sandbox->refunds;
sql(q{SELECT mf_refresh(ARRAY(SELECT DISTINCT invoice FROM mf_refund WHERE status = 'filed'))});
wait_for(q{SELECT count(*) FROM mf_refund WHERE status = 'filed'}, 0);
is(sql(q{SELECT string_agg(refund_id || ' ' || trim_scale(value) || ' ' || status, ',' ORDER BY refund_id) FROM mf_refund}),
	join(',', map { "$_->{id} " . ($_->{amount} + 0) . ' refunded' } sort { $a->{id} <=> $b->{id} } $sandbox->refunds), 'each refund of theirs is a row of ours, and the reverse');
is(sql(q{SELECT sum(-amount) = (SELECT sum(value) FROM mf_refund) FROM mf_ledger WHERE kind = 'refund'}), 't', 'and the ledger has them');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE refunded_value > received_value}), 0, 'nothing went back that was not received');
unlike(slurp_file($node->logfile), qr/is put off because|could not write/, 'and no round has failed');

$node->stop;
done_testing();
