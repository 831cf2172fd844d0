# The poller: asks less and less, stops when nothing can change, keeps its budget, wakes nobody for nothing; and no failure
# of asking, nor a strange answer, nor somebody's trigger, ever changes or loses a payment.
use MyFatoorah::Test qw(sql);

use JSON::PP ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'poller.conf'
	myfatoorah.retry_delay = '50ms'");
my $db = 'postgres';
my $status = { path => '/v2/GetPaymentStatus' };

# Settings, one of them at a time
my %settings;

sub set
{
	my ($name, $value) = @_;

	$settings{$name} = $value;
	open my $file, '>', $node->data_dir . '/poller.conf' or die "poller.conf: $!\n";
	print $file "myfatoorah.$_ = '$settings{$_}'\n" foreach keys %settings;
	close $file;
	$node->reload;
	$mf->wait_for($node, $db, "SELECT current_setting('myfatoorah.$name')", $value);
	return;
}

sub sent
{
	my ($name, %columns) = @_;
	my $id = $mf->insert($node, $db, $name, %columns);

	$mf->wait_status($node, $db, $name);
	return ($id, sql("SELECT invoice_id FROM mf_invoice WHERE id = $id"));
}

sub asked
{
	my ($name) = @_;

	return $sandbox->count(%$status, reference => sql("SELECT reference FROM mf_invoice WHERE customer_reference = '$name'"));
}

sub wait_payment
{
	my ($id, $is) = @_;

	return $mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", $is);
}

sub wait_gone
{
	my ($id) = @_;

	return $mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry WHERE invoice = $id", 0);
}

# No polling, no agenda
set(poll_rate_limit => 0);
$mf->setup_account($node, $db, $sandbox, options => { time_zone => 'Asia/Kuwait', connect_timeout => '500ms' });
$mf->wait_worker($node, $db);
my ($unpolled) = sent('unpolled');
is(sql("SELECT count(*) FROM mf_inquiry"), 0, 'with poll_rate_limit 0 nothing is to be asked');
sql("SELECT mf_refresh($unpolled)");
$sandbox->wait_count($status, 1);
wait_gone($unpolled);
is(asked('unpolled'), 1, 'a person is answered all the same, and only a person');

# Polling is switched on: what was sent without is asked about, more than a batch of it.
$mf->insert_many($node, $db, 'before', 1100);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'before-%' AND status = 'sent'", 1100);
is(sql('SELECT count(*) FROM mf_inquiry'), 0, 'what is sent without polling has no question planned');
set(poll_rate_limit => 60000);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry", 1101);
is(sql("SELECT count(*) FROM mf_check() WHERE item = 'agenda' AND NOT ok"), 0, 'once polling is switched on, all of it has, without a person');
$mf->wait_for($node, $db, q{SELECT bool_and(due > now() + interval '1 min') FROM mf_inquiry});
is(asked('unpolled'), 2, 'and is asked about');
sql('DELETE FROM mf_inquiry');
my $asked = $sandbox->count(%$status);

# Open invoices that are far from due wake nobody.
$mf->insert_many($node, $db, 'idle', 50);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry", 50);
is(sql(q{SELECT bool_and(due BETWEEN now() + interval '4 min' AND now() + interval '6 min') FROM mf_inquiry}), 't',
	'the first question comes after five minutes');
$mf->wait_idle($node, $db);
my $before = sql('SELECT wakeups, transactions FROM mf_worker_status');
sql('SELECT pg_sleep(3)');
is(sql('SELECT wakeups, transactions FROM mf_worker_status'), $before, 'until then nobody is woken');
is($sandbox->count(%$status), $asked, 'no question is asked before it is due');

# Paid: once more, for who paid twice, and never again. Not so soon that a busy machine misses what was asked until then.
set(poll_delay => '1s');
sql("UPDATE mf_inquiry SET due = now()");
my ($id, $invoice) = sent('paid');
$sandbox->invoice($invoice, 'pay');
wait_payment($id, 'paid');
my $found = asked('paid');
wait_gone($id);
is(asked('paid'), $found + 1, 'a paid invoice is asked for once more');
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'paid', 'the second question leaves the invoice paid');

# Expired, by the clock of the account's zone; paid after all
set(poll_delay => '20ms');
($id, $invoice) = sent('ends', expiry_date => "date_trunc('second', now()) + interval '9 s'");
wait_payment($id, 'expired');
is(sql("SELECT t.changed_at >= i.expiry_date AND t.changed_at < i.expiry_date + interval '10 min' FROM mf_transition t JOIN mf_invoice i ON i.id = t.invoice
	WHERE i.id = $id AND to_status = 'expired'"), 't', 'it expires when its time is over, in the zone of the account');
wait_gone($id);
# counted from when it was recorded: a busy machine sees that late
my $recorded = sql("SELECT (extract(epoch FROM changed_at) * 1000000)::bigint FROM mf_transition WHERE invoice = $id AND to_status = 'expired'");
is(scalar(grep { $_->{wall_us} > $recorded } $sandbox->ledger(%$status, bodies => 0, reference => sql("SELECT reference FROM mf_invoice WHERE id = $id"))),
	2, 'an expired invoice is asked for twice more');
($id, $invoice) = sent('late');
$sandbox->invoice($invoice, 'expire');
wait_payment($id, 'expired');
$sandbox->invoice($invoice, 'pay', { force => JSON::PP::true });
wait_payment($id, 'paid');
is(sql("SELECT paid_late FROM mf_invoice WHERE id = $id"), 't', 'which finds who paid late');

# Another zone: the vendor's wall clock is read in it
$mf->setup_account($node, $db, $sandbox, account => 'cairo', options => { time_zone => 'UTC' });
($id) = sent('zone', account => "'cairo'", expiry_date => "now() + interval '1 h'");
$mf->wait_for($node, $db, "SELECT invoice_status FROM mf_invoice WHERE id = $id", 'Pending');
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'unpaid', 'an hour in another zone is an hour');

# Cancelled there: once more
($id, $invoice) = sent('cancelled');
$sandbox->invoice($invoice, 'cancel');
wait_payment($id, 'remote_cancelled');
$found = asked('cancelled');
wait_gone($id);
is(asked('cancelled'), $found + 1, 'a cancelled invoice is asked for once more');

# Failures of asking: nothing changes, and it is asked again.
my %strange = (
	'a failure' => { status => 500 }, 'a cut answer' => { cut_answer_at => 200 }, 'no answer' => { reset_answer_at => 0 },
	'too many requests' => { shape => 11 }, 'garbage' => { status => 200, body => '{"IsSuccess":true,"Data":{"InvoiceSt' },
	'another shape' => { status => 200, body => '[1,2,3]' }, 'not found' => { shape => 12 },
	'nothing in it' => { status => 200, body => '{"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":null}' },
	'another invoice' => { status => 200, body => JSON::PP->new->encode({ IsSuccess => JSON::PP::true, Message => '', ValidationErrors => undef,
		Data => { InvoiceId => 4711, InvoiceStatus => 'Paid', InvoiceReference => '1', CustomerReference => 'x', CreatedDate => '2026-01-01T00:00:00',
			ExpiryDate => 'January 2, 2036', ExpiryTime => '00:00:00.000', InvoiceValue => 1, InvoiceDisplayValue => '1.000 KD',
			InvoiceTransactions => [], Suppliers => [], InvoiceItems => [] } }) });
set(poll_delay => '1h');
$mf->wait_idle($node, $db);
($id, $invoice) = sent('twice');
$sandbox->invoice($invoice, 'pay');
sql("SELECT mf_refresh($id)");
wait_payment($id, 'paid');
$mf->wait_for($node, $db, "SELECT urgent FROM mf_inquiry WHERE invoice = $id", 'f');
pass('a refresh that finds a payment leaves the question whether it was paid twice');
foreach my $name (sort keys %strange)
{
	my $word = $name =~ s/ /-/gr;
	my $was;

	($id, $invoice) = sent($word);
	$was = sql("SELECT payment_status, base_value, payment_id, overpaid FROM mf_invoice WHERE id = $id");
	$sandbox->invoice($invoice, 'pay');
	$sandbox->faults({ path => 'GetPaymentStatus', reference_prefix => "$word.", %{ $strange{$name} }, times => 2 });
	sql("SELECT mf_refresh($id)");
	$sandbox->wait_count({ %$status, reference => sql("SELECT reference FROM mf_invoice WHERE id = $id") }, 1);
	$mf->wait_for($node, $db, 'SELECT in_flight FROM mf_worker_status', 0);
	my $is = sql("SELECT payment_status, base_value, payment_id, overpaid FROM mf_invoice WHERE id = $id");
	is($is, $was, "$name: changes nothing") if asked($word) <= 2;
	is(sql("SELECT count(*) FROM mf_inquiry WHERE invoice = $id"), 1, "$name: it is asked again");
	# an answer that makes no sense is asked for again, but not for ever: then somebody has to say so
	my $deadline = time + MyFatoorah::Sandbox::time_limit();
	until ($name !~ /found|another|garbage|nothing/ || sql("SELECT payment_status FROM mf_invoice WHERE id = $id") eq 'paid')
	{
		my $asked = asked($word);

		die "$name: it is not asked about\n" if time > $deadline;
		sql("SELECT mf_refresh($id)");
		$sandbox->wait_count({ %$status, reference => sql("SELECT reference FROM mf_invoice WHERE id = $id") }, $asked + 1);
		$mf->wait_for($node, $db, 'SELECT in_flight FROM mf_worker_status', 0);
	}
	wait_payment($id, 'paid');
	$sandbox->clear_faults;
}

# A key that is refused pauses the account; the payment waits.
($id, $invoice) = sent('refused');
$sandbox->invoice($invoice, 'pay');
$sandbox->faults({ path => 'GetPaymentStatus', shape => 7, times => 1 });
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT paused_by FROM mf_account WHERE account = 'myfatoorah'", 'status reader');
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'unpaid', 'a refused key changes no payment');
sql("SELECT mf_resume()");
wait_payment($id, 'paid');
ok(1, 'once resumed, it is found');

# The polls of those that are still open would be counted below.
sql("DELETE FROM mf_inquiry WHERE invoice IN (SELECT id FROM mf_invoice WHERE customer_reference LIKE 'idle-%')");

# A trigger of somebody's that raises an error: the answer is not lost, others go on, the worker does not spin.
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'I do not like it'; END $$;
	CREATE TRIGGER refuse AFTER UPDATE OF payment_status ON mf_invoice FOR EACH ROW
		WHEN (NEW.customer_reference = 'disliked' AND NEW.payment_status = 'paid') EXECUTE FUNCTION refuse()});
($id, $invoice) = sent('disliked');
my ($other_id, $other) = sent('liked');
$sandbox->invoice($_, 'pay') foreach $invoice, $other;
sql("SELECT mf_refresh($id); SELECT mf_refresh($other_id)");
wait_payment($other_id, 'paid');
ok(1, 'another payment is recorded beside a failing trigger');
$mf->wait_for($node, $db, "SELECT last_error LIKE '%I do not like it%' FROM mf_worker_status");
my ($transactions) = sql('SELECT transactions FROM mf_worker_status');
sql('SELECT pg_sleep(2)');
cmp_ok(sql('SELECT transactions FROM mf_worker_status') - $transactions, '<', 100, 'the worker does not spin');
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'unpaid', 'the trigger has its way');
sql('DROP TRIGGER refuse ON mf_invoice');
sql("SELECT mf_refresh($id)");
wait_payment($id, 'paid');
is(sql("SELECT count(*) FROM mf_transaction WHERE invoice = $id"), 1, 'without it, the answer comes again');

# Smaller delays hold for what waits already.
set(poll_delay => '1d');
my $far = $mf->insert($node, $db, 'far');
$mf->wait_status($node, $db, 'far');
is(sql("SELECT due > now() + interval '12 hours' FROM mf_inquiry WHERE invoice = $far"), 't', 'an invoice is asked about in a day');
set(poll_delay => '1min');
$mf->wait_for($node, $db, "SELECT answers > 0 FROM mf_inquiry WHERE invoice = $far", 't');
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'agenda'}), qr{due later than it can be: 0;}, 'and at once with a smaller delay');

# The budget: 60 a minute, of which ten seconds' worth may be saved up
set(poll_rate_limit => 60);
$mf->insert_many($node, $db, 'budget', 60);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'budget-%' AND status = 'sent'", 60);
my $earlier = $sandbox->count(%$status);
sql("UPDATE mf_inquiry SET due = now()");
my $start = time;
sql("SELECT mf_refresh($unpolled)");
$sandbox->wait_count($status, $earlier + 12, 20);
my $polled = $sandbox->count(%$status) - $earlier - 1;
my $allowed = 10 + (time - $start) + 1;
cmp_ok($polled, '>=', 11, 'the poller asks its eleven questions and more');
cmp_ok($polled, '<=', $allowed, 'the poller stays within its budget');
diag(sprintf '%d questions in %.1f s at 60 a minute', $polled, time - $start);

$node->stop;
done_testing();
