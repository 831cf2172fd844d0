# Recurring payments of MyFatoorah: each repetition is an invoice that nobody has inserted. It becomes a row, once, with what was
# paid for it, whatever webhooks come, in whichever order; and nothing that a webhook says of it is believed.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'
	myfatoorah.lookup_delay = '500ms'
	myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $secret = 'recurring-secret';
my $list = { path => '/v2/GetRecurringPayment' };

# A row whose payment begins a plan, paid; its id, InvoiceId and plan
sub begin { return $mf->begin_plan($node, $db, $sandbox, shift, iteration => 3, metadata => q{'{"flat": 7}'}, @_); }

# The latest webhook about a repetition
sub delivery
{
	my ($code, $invoice) = @_;
	my ($found) = grep { $_->{body} =~ /\b$invoice\b/ } reverse $sandbox->deliveries(code => $code);

	die "no webhook $code about $invoice\n" unless $found;
	return $found;
}

# What is in the books of a plan: rows, those that were paid, and the sum of their lines in the ledger
sub books
{
	my ($plan) = @_;

	return sql("SELECT count(*), count(*) FILTER (WHERE i.payment_status = 'paid'), sum(i.received_value), sum(l.amount), count(DISTINCT i.invoice_id), bool_or(i.duplicate_suspected)
		FROM mf_invoice i LEFT JOIN LATERAL (SELECT sum(l.amount) AS amount FROM mf_ledger l WHERE l.invoice = i.id AND l.kind = 'payment') l ON true WHERE i.recurring_id = '$plan'");
}

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '1s', timeout => '2s' });
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$mf->wait_worker($node, $db);

foreach my $version ('v1', 'v2')
{
	$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => $version, secret => $secret, retries => 0);
	my $asked = $sandbox->count(%$list);
	my ($id, $invoice, $plan) = begin("plan $version");
	like($plan, qr/^RECUR\d+$/, "$version: the plan is known from the answer");
	is(books($plan), '1|1|1.250|1.250|1|f', "$version: the first payment is that of the row");
	is($sandbox->count(%$list), $asked + 1, "$version: mf_refresh() reads the list, once");

	# A repetition: the event of its payment comes first
	my $first = $sandbox->charge($plan)->{id};
	sql($mf->webhook(delivery(1, $first)));
	$mf->wait_idle($node, $db);
	is(books($plan), '1|1|1.250|1.250|1|f', "$version: an event of a payment does not make a repetition a second invoice of the row");
	my $event = sql($mf->webhook(delivery(5, $first)));
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $first", 'paid');
	is(books($plan), '2|2|2.500|2.500|2|f', "$version: a repetition is a row, and in the ledger");
	is(sql("SELECT customer_name, customer_reference, status, invoice_url, recurring_type, payment_method_id, attempts, created_by, metadata, last_error FROM mf_invoice WHERE invoice_id = $first"),
		"plan $version|plan $version|sent||||0|" . sql('SELECT current_user') . '|{"flat": 7}|MyFatoorah charges the card by itself: there is no link', "$version: the row says what it is");
	is(sql("SELECT count(*) FROM mf_unmatched"), 0, "$version: the events have found it");
	is(sql("SELECT h.reason FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.invoice_id = $first AND h.to_status = 'sent'"), "a repetition of $plan", "$version: the history, too");

	# The same event again: what is signed in V2 is the same for each repetition
	$asked = $sandbox->count(%$list);
	is(sql($mf->webhook(delivery(5, $first))), $event, "$version: the same webhook once more");
	$sandbox->wait_count($list, $asked + 1) or die "it is not asked for\n";
	$mf->wait_idle($node, $db);
	is(books($plan), '2|2|2.500|2.500|2|f', "$version: counts nothing twice");

	# One that fails, and one whose webhooks are lost
	my $failed = $sandbox->charge($plan, fail => JSON::PP::true)->{id};
	sql($mf->webhook(delivery(5, $failed)));
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_transaction t JOIN mf_invoice i ON i.id = t.invoice WHERE i.invoice_id = $failed AND t.transaction_status = 'Failed'", 1);
	is(books($plan), '3|2|2.500|2.500|3|f', "$version: a charge that failed is a row that was not paid");
	my $silent = $sandbox->charge($plan)->{id};
	is(sql("SELECT due BETWEEN now() + '11 h' AND now() + '2 days' FROM mf_event WHERE source = 'plan' AND invoice = $id"), 't', "$version: the next payment is awaited");
	sql("UPDATE mf_event SET due = now() WHERE source = 'plan' AND invoice = $id; SELECT mf_refresh($id)");
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $silent", 'paid');
	is(books($plan), '4|3|3.750|3.750|4|f', "$version: without a webhook, too");

	# The end
	my $last = $sandbox->charge($plan)->{id};
	sql($mf->webhook(delivery(5, $last)));
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $last", 'paid');
	is(sql("SELECT recurring_status, executed_times, is_active, jsonb_array_length(recurring_invoices) FROM mf_recurring() WHERE recurring_id = '$plan'"), 'Completed|3|f|4', "$version: the plan, as MyFatoorah has it");
	is(books($plan), '5|4|5.000|5.000|5|f', "$version: all of it is in the books");
	is(sql("SELECT due FROM mf_event WHERE source = 'plan' AND invoice = $id"), '', "$version: nobody asks any more");
	my %done = %{ $sandbox->counts(reference => sql("SELECT reference FROM mf_invoice WHERE id = $id")) };
	is("$done{execute_payment} $done{recurring} $done{paid}", '1 4 4', "$version: as in the books of MyFatoorah");
}

# The answer that had the RecurringId is lost: a webhook ties the plan to the row, in V1 the reference of a repetition
foreach my $version ('v1', 'v2')
{
	$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => $version, secret => $secret, retries => 0);
	$sandbox->faults({ path => 'ExecutePayment', reset_answer_at => 0, times => 1 });
	my ($id, $invoice, $none) = begin("lost $version");
	is($none, '', "$version: the plan of a lost answer is not known");
	my ($plan) = map { $_->[0] } grep { $_->[1] eq 'Active' } map { [ split /\|/ ] } split /\n/, sql('SELECT recurring_id, recurring_status FROM mf_recurring()');
	my $first = $sandbox->charge($plan)->{id};
	sql($mf->webhook(delivery(5, $first)));
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $first", 'paid');
	is(sql("SELECT recurring_id FROM mf_invoice WHERE id = $id"), $plan, "$version: until it is tied to the row");
	is(books($plan), '2|2|2.500|2.500|2|f', "$version: and the books are whole");
	my $forget = "SELECT string_agg(result, ', ' ORDER BY id) FROM mf_forget('lost $version')";
	is(sql($forget), 'unfinished: its recurring payment goes on, forgotten', "$version: while it goes on its customer is not forgotten, whose next repetition names him");
	sql("SELECT mf_cancel_recurring('$plan')");
	is(sql("SELECT recurring_status FROM mf_recurring() WHERE recurring_id = '$plan'"), 'Canceled', "$version: cancelled");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $id AND due IS NOT NULL", 0);
	is(sql($forget), 'forgotten, forgotten_before', "$version: then he is");
}

# What is not signed in a webhook proves nothing.
my ($id, $invoice, $plan) = begin('forged');
my $elsewhere = sql("SELECT invoice_id FROM mf_send_payment('made elsewhere', 7)");
$sandbox->invoice($elsewhere, 'pay');
my $repetition = $sandbox->charge($plan)->{id};
my $forged = delivery(5, $repetition);
$forged->{body} =~ s/\b$repetition\b/$elsewhere/g;
my $before = $sandbox->count(%$list);
sql($mf->webhook($forged));
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $repetition", 'paid');
is(sql("SELECT count(*) FROM mf_invoice WHERE invoice_id = $elsewhere"), 0, 'an invoice that only a webhook calls a repetition is none');
is(books($plan), '2|2|2.500|2.500|2|f', 'those that MyFatoorah lists are');

# A session takes one over meanwhile: it is one row.
my $taken = $sandbox->charge($plan)->{id};
my $session = $mf->session($node, $db);
$session->query_safe("BEGIN; SELECT mf_adopt('$taken')");
sql($mf->webhook(delivery(5, $taken)));
$sandbox->wait_count($list, $before + 2) or die "it is not asked for\n";
$session->query_safe('COMMIT');
$session->quit;
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE event_code = 5 AND source = 'webhook' AND due IS NOT NULL", 0);
is(sql("SELECT count(*) FROM mf_invoice WHERE invoice_id = $taken"), 1, 'an invoice that was adopted meanwhile has one row');
is(sql("SELECT recurring_id FROM mf_invoice WHERE invoice_id = $taken"), $plan, 'which is known as a repetition, since the list names it');

# Answers that do not come, and one that is refused
my $more = $sandbox->charge($plan)->{id};
$sandbox->faults({ path => 'GetRecurringPayment', status => 503, times => 2 }, { path => 'GetRecurringPayment', cut_answer_at => 100, times => 1 },
	{ path => 'GetRecurringPayment', shape => 11, headers => { 'Retry-After' => '1' }, times => 1 });
sql($mf->webhook(delivery(5, $more)));
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $more", 'paid');
is(sql('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'it is asked for until it answers, which pauses nothing');
$mf->insert($node, $db, 'beside');
$mf->wait_status($node, $db, 'beside');
pass('invoices are sent meanwhile');

# A repetition with a reference of its own, which no source excludes: the list names it, so it is the row's, and no other is.
my ($own, undef, $owned) = begin('own reference', iteration => 0);
foreach my $mine ('of the plan', 'of the second', 'of the plan')
{
	my $numbered = $sandbox->charge($owned, reference => $mine, fail => $mine eq 'of the second')->{id};
	sql($mf->webhook(delivery(5, $numbered)));
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_transaction t JOIN mf_invoice i ON i.id = t.invoice WHERE i.invoice_id = $numbered", 1);
	is(sql("SELECT customer_reference, customer_name, payment_error FROM mf_invoice WHERE invoice_id = $numbered"), 'own reference|own reference|', "a repetition with the reference that the list names: $mine");
}
is(books($owned), '4|3|3.750|3.750|4|f', 'and is booked');
my ($lost, $number) = split /\|/, sql("SELECT id, invoice_id FROM mf_invoice WHERE reference = 'of the second'");
sql("SET session_replication_role = replica; UPDATE mf_invoice SET reference = 'another' WHERE id = $lost");
$sandbox->invoice($number, 'pay');
sql("SELECT mf_refresh($lost)");
$mf->wait_for($node, $db, "SELECT payment_error ~ 'which is none of this row' FROM mf_invoice WHERE id = $lost", 't');
is(books($owned), '4|3|3.750|3.750|4|f', 'an answer with a reference that is neither its own nor of the plan is about another invoice');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET reference = 'of the second' WHERE id = $lost");
sql("SELECT mf_refresh($lost)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $lost", 'paid');

# One that is listed, and of which no answer is right: a person is told what to do, and not to take its number back and send it.
$sandbox->faults({ path => 'GetPaymentStatus', status => 503, times => -1 });
my $strange = $sandbox->charge($owned, reference => 'of nobody')->{id};
sql($mf->webhook(delivery(5, $strange)));
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE invoice_id = $strange", 1);
sql("SET session_replication_role = replica; UPDATE mf_invoice SET reference = 'another' WHERE invoice_id = $strange");
$sandbox->clear_faults;
sql("SELECT mf_refresh(id) FROM mf_invoice WHERE invoice_id = $strange");
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_review', 1);
my ($stranger, $step) = split /\|/, sql('SELECT id, next_step FROM mf_review');
like($step, qr/lists it as a repetition of $owned, .* SELECT mf_refresh\($stranger\)\. .* DELETE FROM mf_invoice WHERE id = $stranger$/, 'the next step of a repetition that is none');
like(($node->psql($db, "SELECT mf_resolve($stranger, 'review', 'not ours')"))[2], qr/ERROR:  invoice $stranger keeps its number/, 'it cannot be sent as if it were an invoice of its own');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET reference = 'of nobody' WHERE id = $stranger");
sql("SELECT mf_refresh($stranger)");
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_review', 0);
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $stranger"), 'paid', 'the first of these steps clears it');

# The row that has begun a plan stays until the plan has ended: without it, what is charged would be in no book.
$mf->wait_idle($node, $db);
like(($node->psql($db, "DELETE FROM mf_invoice WHERE id = $own"))[2],
	qr/ERROR:  invoice $own cannot be deleted\nDETAIL:  The recurring payment that it begins has not ended.\nHINT:  End it with mf_cancel_recurring\('$owned', 'myfatoorah'\)/, 'it cannot be deleted');
like(($node->psql($db, 'TRUNCATE mf_invoice CASCADE'))[2], qr/ERROR:  mf_invoice cannot be truncated\nDETAIL:  \d+ recurring payments? ha(s|ve) not ended/, 'nor all rows');
sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mf_invoice; SELECT mf_cancel_recurring('$owned'); COMMIT");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $own AND due IS NOT NULL", 0);
like(($node->psql($db, "SELECT mf_cancel_recurring('$owned')"))[2], qr/DETAIL:  RecurringId: The recurring can not be canceled.*\nHINT:  .* tells: if it is "Canceled", it was done before\./, 'what was cancelled is refused, and the hint says how to see it');
is(sql("DELETE FROM mf_invoice WHERE id = $own RETURNING id"), $own, 'once it has ended, and the list was read at once, it can');

# An invoice whose row is rolled back begins a plan nonetheless.
my (undef, undef, $warned) = $node->psql($db, q{BEGIN; SELECT mf_execute_payment('undone', 5, 2, recurring_type => 'Weekly', iteration => 0, record => true); ROLLBACK});
my ($undone) = $warned =~ /WARNING:  MyFatoorah has invoice \d+ .*\nDETAIL:  Its payment begins recurring payment (RECUR\d+), whose repetitions would get no rows\. SELECT mf_cancel_recurring\('\g1', 'myfatoorah'\) ends it\.\nHINT:  .*mf_adopt/;
is(sql("SELECT count(*) FROM mf_recurring() WHERE recurring_id = '" . ($undone // $warned =~ s/'/''/gr) . "'"), 1, 'a rollback warns of the plan');

# The list lags behind the events: it is read again until it shows the repetition that the event names, and until then a plan that it calls completed has not ended.
sub stale
{
	my ($completed) = @_;
	my $body = $sandbox->request('GET', $list->{path}, undef, { Authorization => 'Bearer ' . $sandbox->key })->{content};

	$body =~ s/("RecurringId":"$completed","RecurringStatus":)"Active"/$1"Completed"/ or die "no such plan: $body\n";
	return { path => 'GetRecurringPayment', times => -1, body => $body };
}

my $waiting = q{SELECT count(*) FROM mf_event WHERE event_code = 5 AND source = 'webhook' AND due IS NOT NULL};
foreach my $version ('v1', 'v2')
{
	$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => $version, secret => $secret, retries => 0);
	my ($begun, undef, $lagging) = begin("lagging $version", iteration => 1);
	$sandbox->faults(stale($lagging));
	my $late = $sandbox->charge($lagging)->{id};
	sql($mf->webhook(delivery(5, $late)));
	$mf->wait_for($node, $db, "$waiting AND answered_at IS NOT NULL", 1);
	is(sql("SELECT last_received_at < due AND due < now() + '3 min' FROM mf_event WHERE event_code = 5 AND source = 'webhook' AND due IS NOT NULL"), 't', "$version: a list without it is read again soon");
	like(($node->psql($db, "DELETE FROM mf_invoice WHERE id = $begun"))[2], qr/The recurring payment that it begins has not ended/, "$version: and ends no plan");
	$sandbox->clear_faults;
	$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $late", 'paid');
	$mf->wait_for($node, $db, $waiting, 0);
	is(books($lagging), '2|2|2.500|2.500|2|f', "$version: so the payment is not missing");
	is(sql("SELECT due FROM mf_event WHERE source = 'plan' AND invoice = $begun"), '', "$version: and the plan has ended");
}

# What is never listed is not waited for longer than some minutes; a later event has it found.
my ($never, undef, $unlisted) = begin('never listed', iteration => 1);
$sandbox->faults(stale($unlisted));
my $hidden = $sandbox->charge($unlisted)->{id};
sql($mf->webhook(delivery(5, $hidden)));
$mf->wait_for($node, $db, "$waiting AND answered_at IS NOT NULL", 1);
sql(qq{UPDATE mf_event SET last_received_at = now() - interval '3 min', due = now() WHERE event_code = 5 AND source = 'webhook' AND due IS NOT NULL; SELECT mf_refresh($never)});
$mf->wait_for($node, $db, $waiting, 0);
is(books($unlisted), '1|1|1.250|1.250|1|f', 'a repetition that is not listed gets no row');
$sandbox->clear_faults;
sql($mf->webhook(delivery(5, $hidden)));
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $hidden", 'paid');
is(books($unlisted), '2|2|2.500|2.500|2|f', 'until the next event has the list read that shows it');

# Two accounts with one key: a repetition that was adopted in the other one is not booked twice, and either ends a plan.
$mf->setup_account($node, $db, $sandbox, account => 'beside', options => { connect_timeout => '1s', timeout => '2s' });
my ($first_row, undef, $shared) = begin('two accounts', iteration => 0);
$sandbox->faults({ path => 'GetRecurringPayment', status => 503, times => -1 });
my $adopted = $sandbox->charge($shared)->{id};
like(sql("SELECT mf_adopt('$adopted', 'beside')"), qr/^\d+$/, 'adopted in another account of the same address');
my $after = $sandbox->charge($shared)->{id};
$sandbox->clear_faults;
sql($mf->webhook(delivery(5, $after)));
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $after", 'paid');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $adopted", 'paid');
is(sql("SELECT account, recurring_id = '$shared' FROM mf_invoice WHERE invoice_id = $adopted"), 'beside|t', 'it is one row, known as a repetition');
is(books($shared), '3|3|3.750|3.750|3|f', 'and in the books once');
like(($node->psql($db, "SELECT mf_adopt('$after', 'beside')"))[2], qr/ERROR:  invoice $after of MyFatoorah is that of invoice \d+ already/, 'nor can it be adopted a second time');
sql("SELECT mf_cancel_recurring('$shared', 'beside')");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $first_row AND due IS NOT NULL", 0);
is(sql("DELETE FROM mf_invoice WHERE id = $first_row RETURNING id"), $first_row, 'which the other account has ended');

# A repetition that cannot be written is put off by itself, and named: the others of the account get their rows.
my ($refused, undef, $barred) = begin('refused', iteration => 0, invoice_value => 3);
my $open = (begin('let through', iteration => 0))[2];
sql(q{CREATE FUNCTION bar() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'barred'; END $$;
	CREATE TRIGGER bar BEFORE INSERT ON mf_invoice FOR EACH ROW WHEN (NEW.invoice_value = 3) EXECUTE FUNCTION bar()});
my ($barred_one, $open_one, $barred_two, $open_two) = map { $sandbox->charge($_)->{id} } $barred, $open, $barred, $open;
my $before_refusal = -s $node->logfile;
sql($mf->webhook(delivery(5, $barred_one)));
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE invoice_id IN ($open_one, $open_two) AND payment_status = 'paid'", 2);
is(sql("SELECT count(*) FROM mf_invoice WHERE recurring_id = '$barred'"), 1, 'what a trigger refuses gets no row, and the rest does');
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_check() WHERE item = 'worker' AND detail ~ 'Put off, .*: 2; one of the errors: .*barred'}, 1);
is(join(' ', slurp_file($node->logfile, $before_refusal) =~ /item_put_off: a row for invoice (\d+) of MyFatoorah, a repetition/g), "$barred_one $barred_two", 'the log names both');
like(($node->psql($db, "DELETE FROM mf_invoice WHERE id = $refused"))[2], qr/has not ended/, 'its plan is not over');
my $open_three = $sandbox->charge($open)->{id};
sql($mf->webhook(delivery(5, $open_three)));
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $open_three", 'paid');
is(sql("SELECT count(*) FROM mf_invoice WHERE recurring_id = '$barred'"), 1, 'meanwhile others go on');
sql('DROP TRIGGER bar ON mf_invoice; SELECT mf_resume()');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE invoice_id IN ($barred_one, $barred_two) AND payment_status = 'paid'", 2);
is(books($barred), '3|3|9.000|9.000|3|f', 'once the cause is gone, they are found');
is(sql(q{SELECT ok FROM mf_check() WHERE item = 'worker'}), 't', 'and nothing is put off any more');

# A plan that has ended, and of which the row does not know that: the answer was lost.
my ($orphan, undef, $ended) = begin('ended elsewhere', iteration => 0);
$sandbox->faults({ path => 'CancelRecurringPayment', reset_answer_at => 0, times => 1 });
like(($node->psql($db, "SELECT mf_cancel_recurring('$ended')"))[2], qr/it is unknown whether MyFatoorah has done it\n.*HINT:  .*mf_refresh\(\) of the row/s, 'a lost answer says what to do with the row');
like(($node->psql($db, "SELECT mf_cancel_recurring('$ended')"))[2], qr/MyFatoorah refused the request\n.*HINT:  .*mf_refresh\(\) of the row/s, 'so does a refusal');
like(($node->psql($db, "DELETE FROM mf_invoice WHERE id = $orphan"))[2], qr/HINT:  End it with .* If it has ended already, SELECT mf_refresh\($orphan\) has that read/, 'and the row itself');
sql("SELECT mf_refresh($orphan)");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $orphan AND due IS NOT NULL", 0);
is(sql("DELETE FROM mf_invoice WHERE id = $orphan RETURNING id"), $orphan, 'then it can be deleted');

# By a person
like(($node->psql($db, q{SELECT mf_cancel_recurring('RECUR0')}))[2], qr/ERROR:  MyFatoorah refused the request\nDETAIL:  RecurringId: The recurring is not found/, 'one that does not exist');
like(($node->psql($db, qq{SELECT mf_resume_recurring('$plan')}))[2], qr/ERROR:  MyFatoorah refused the request\nDETAIL:  RecurringId: The recurring can not be resumed/, 'one that is active cannot be resumed');
like(($node->psql($db, q{SELECT mf_cancel_recurring('')}))[2], qr/invalid value for recurring_id/, 'none');
$sandbox->faults({ path => 'CancelRecurringPayment', reset_answer_at => 0, times => 1 });
like(($node->psql($db, qq{SELECT mf_cancel_recurring('$plan')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]))[2],
	qr/ERROR:  08007: it is unknown whether MyFatoorah has done it\n.*HINT:  SELECT recurring_status FROM mf_recurring\('myfatoorah'\) WHERE recurring_id = '$plan' tells/s, 'a lost answer says what to do');
my ($again) = (begin('resumed', iteration => 0, retry_count => 0))[2];
$sandbox->charge($again, fail => JSON::PP::true);
is(sql("SELECT recurring_status FROM mf_recurring() WHERE recurring_id = '$again'"), 'Uncompleted', 'its retries are used up');
sql("SELECT mf_resume_recurring('$again')");
is(sql("SELECT recurring_status, is_active FROM mf_recurring() WHERE recurring_id = '$again'"), 'Active|t', 'resumed');
sql('CREATE ROLE clerk IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
like(($node->psql($db, "SET ROLE clerk; SELECT $_"))[2], qr/permission denied for function/, "$_ is for operators") for 'mf_recurring()', "mf_cancel_recurring('$again')", "mf_resume_recurring('$again')";

# Replaced: the customer would be charged by two plans, so the first one ends before; what is being sent may have begun one
$sandbox->faults({ path => 'ExecutePayment', delay_ms => -1 });
my $requests = $sandbox->count(path => '/v2/ExecutePayment');
my $begins = $mf->insert($node, $db, 'to be replaced', payment_method_id => 2, recurring_type => "'Monthly'", iteration => 12);
$sandbox->wait_count({ path => '/v2/ExecutePayment' }, $requests + 1) or die "it is not sent\n";
like(($node->psql($db, "SELECT mf_replace($begins, '{\"invoice_value\": 25}')"))[2], qr/ERROR:  invoice $begins cannot be replaced\nDETAIL:  The recurring payment/, 'what is being sent may begin a plan, and is not replaced');
$sandbox->clear_faults;
$mf->wait_status($node, $db, 'to be replaced');
my $told = ($node->psql($db, "SELECT mf_replace($begins, '{\"invoice_value\": 25}')"))[2];
like($told, qr/ERROR:  invoice $begins cannot be replaced\nDETAIL:  The recurring payment that it begins has not ended\.\nHINT:  Once it has a recurring_id, end it first: /, 'what begins a plan is not replaced');
sql($told =~ /end it first: (SELECT .*?)\. If/ ? $1 : 'none');
sql("SELECT mf_refresh($begins)");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $begins AND due IS NOT NULL", 0);
my $instead = sql("SELECT mf_replace($begins, '{\"invoice_value\": 25}')");
$mf->wait_for($node, $db, "SELECT count(recurring_id) FROM mf_invoice WHERE id = $instead", 1);
sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_invoice SET payment_doubt = 'paid, and so was the other' WHERE id = $begins; COMMIT");
my ($first, $second) = split /\|/, sql("SELECT a.recurring_id, b.recurring_id FROM mf_invoice a, mf_invoice b WHERE a.id = $begins AND b.id = $instead");
like(sql("SELECT next_step FROM mf_review WHERE id = $begins"), qr/invoice $instead\. Of recurring payments, end the one that is too many: SELECT mf_cancel_recurring\('$first', 'myfatoorah'\) or SELECT mf_cancel_recurring\('$second', 'myfatoorah'\)\. Then: /,
	'where both were paid, mf_review names both plans');

$node->stop;
done_testing();
