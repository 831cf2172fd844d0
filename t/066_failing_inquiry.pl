# One question that never gets a usable answer is the trouble of its own row: the account goes on sending, the row and
# mf_check() say what is wrong, it is asked less and less, and once the question is answered all is well. If others are not
# answered, either, the account backs off.
use MyFatoorah::Test qw(sql);

use JSON::PP ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'delay.conf'
	myfatoorah.lookup_delay = '50ms'
	myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $true = JSON::PP::true;
my $status = { path => '/v2/GetPaymentStatus' };

sub set_delay
{
	my ($delay) = @_;

	open my $file, '>', $node->data_dir . '/delay.conf' or die "delay.conf: $!\n";
	print $file "myfatoorah.retry_delay = '$delay'\n";
	close $file;
	$node->reload;
	$mf->wait_for($node, $db, "SELECT current_setting('myfatoorah.retry_delay')", $delay);
	return;
}

sub sent
{
	my ($name) = @_;
	my $id = $mf->insert($node, $db, $name);

	$mf->wait_status($node, $db, $name);
	return $id;
}

sub fail_questions
{
	my ($prefix, %fault) = @_;

	return $sandbox->faults({ path => 'GetPaymentStatus', reference_prefix => $prefix, times => -1, %fault });
}

# What mf_check() says of the account
sub sending
{
	return sql("SELECT ok, detail FROM mf_check() WHERE item = 'sending'");
}

sub wait_failures
{
	my ($id, $least) = @_;

	return $mf->wait_for($node, $db, "SELECT failures >= $least FROM mf_inquiry WHERE invoice = $id");
}

# How long a new row takes to be sent
sub seconds_to_send
{
	my ($name) = @_;

	return $mf->seconds(sub { sent($name) });
}

set_delay('15s');
$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '3s', timeout => '3s' });
$mf->wait_worker($node, $db);

# Whatever the answer is: with these delays an account that backs off after three failures would not send for ten seconds.
foreach my $case ([ 'a status 500', { status => 500, body => 'oops' } ], [ 'no answer', { reset_answer_at => 0 } ],
	[ 'unreadable bytes', { status => 200, body => "\x01\x02" } ])
{
	my ($what, $fault) = @$case;
	my $name = $what =~ s/ /-/gr;
	my $id = sent("$name-bad");

	fail_questions("$name-bad.", %$fault);
	foreach my $round (1 .. 4)
	{
		sql("SELECT mf_refresh($id)");
		wait_failures($id, $round);
	}
	cmp_ok(seconds_to_send("$name-good"), '<', 10, "$what: the account goes on sending");
	like(sql("SELECT payment_error FROM mf_invoice WHERE id = $id"), qr/^MyFatoorah.* about invoice \d+/, "$what: the row says so");
	like(sql("SELECT detail, hint FROM mf_check() WHERE item = 'questions' AND NOT ok"),
		qr/^1 inquiry about a payment .* the one about invoice $id: .*\|The other invoices go on\. /, "$what: mf_check() names it, and says that the others go on");
	is(sending(), 't|Not paused.', "$what: and that the account does not wait");
	$sandbox->clear_faults;
	sql("SELECT mf_resume('myfatoorah')");
	$mf->wait_for($node, $db, "SELECT payment_error IS NULL FROM mf_invoice WHERE id = $id");
	is(sql("SELECT count(*) FROM mf_check() WHERE item = 'questions'"), 0, "$what: once answered, which mf_resume() asks for, all is well");
}

# A look-up of an unknown outcome: the row waits and says so, others are sent.
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'lost.', create => $true, status => 500, body => '', times => 1 },
	{ path => 'GetPaymentStatus', reference_prefix => 'lost.', status => 503, body => '', times => -1 });
$mf->insert($node, $db, 'lost');
my $reference = sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'lost'});
$sandbox->wait_count({ %$status, reference => $reference }, 5) or die "it is not looked up\n";
is(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'lost'}) =~ /^outcome unknown; the look-up failed: HTTP 503/, 1,
	'a look-up without an answer: the row says so');
cmp_ok(seconds_to_send('beside'), '<', 10, 'and the account goes on sending');
$sandbox->clear_faults;
$mf->wait_status($node, $db, 'lost');
is(sql(q{SELECT status || attempts FROM mf_invoice WHERE customer_reference = 'lost'}), 'sent1', 'answered, it is adopted');

# Whose PaymentId it is: as any other question
my $id = sent('called');
my ($token) = sql("SELECT reference FROM mf_invoice WHERE id = $id") =~ /([^.]{20})$/;
$sandbox->faults({ path => 'GetPaymentStatus', status => 500, body => '', times => -1, contains => '0799' });
sql("INSERT INTO mf_event (account, source, payment_id, digest, due) VALUES ('myfatoorah', 'callback', '0799', sha256('0799'), now())");
sql("SELECT mf_refresh($id)");
foreach my $round (1 .. 3)
{
	sql("UPDATE mf_event SET due = now() WHERE payment_id = '0799'; SELECT mf_refresh($id)");
	$mf->wait_for($node, $db, "SELECT failures >= $round FROM mf_event WHERE payment_id = '0799'");
}
cmp_ok(seconds_to_send('after-event'), '<', 10, 'a question about an event without an answer: the account goes on sending');
like(sql("SELECT detail FROM mf_check() WHERE item = 'questions'"), qr/the one about event \d+\.$/, 'mf_check() names the event');
$sandbox->clear_faults;
sql("DELETE FROM mf_event WHERE payment_id = '0799'");

# Less and less: with nobody who asks, each delay is twice the one before.
set_delay('100ms');
$id = sent('slower');
fail_questions('slower.', status => 500, body => '');
sql("SELECT mf_refresh($id)");
wait_failures($id, 5);
my @asked = map { $_->{wall_us} } $sandbox->ledger(%$status, bodies => 0, reference => sql("SELECT reference FROM mf_invoice WHERE id = $id"));
my @gaps = map { ($asked[$_ + 1] - $asked[$_]) / 1e6 } 0 .. 3;
is(scalar(grep { $gaps[$_] >= 0.1 * 2**$_ } 0 .. 3), 4, 'the question is asked less and less') or diag("@gaps");
$sandbox->clear_faults;
$mf->wait_for($node, $db, "SELECT payment_error IS NULL FROM mf_invoice WHERE id = $id");

# No question of the account is answered: that is the account's trouble, as it always was.
set_delay('10s');
my @ids = map { sent("all-$_") } 1 .. 8;
fail_questions('all-', status => 500, body => '');
sql(join ';', map { "SELECT mf_refresh($_)" } @ids);
$mf->wait_for($node, $db, 'SELECT sum(failures) >= 4 FROM mf_inquiry');
sql(join ';', map { "SELECT mf_refresh($_)" } @ids);
my $before = $sandbox->count(path => '/v2/SendPayment');
$mf->insert($node, $db, 'held');
sql('SELECT pg_sleep(2)');
is($sandbox->count(path => '/v2/SendPayment'), $before, 'where no question is answered, the account backs off');
like(sending(), qr/^f\|(?:Waits until 20\d\d-.* after failures; then one request is tried\.|After failures, one request at a time is tried\.)$/,
	'mf_check() says so');
sql("UPDATE mf_inquiry SET failures = 2 WHERE invoice = $ids[0]");
like(sql(q{SELECT hint FROM mf_check() WHERE item = 'questions'}), qr/^The other invoices wait, too\. /, 'and not that the other invoices go on');
$sandbox->clear_faults;
sql("SELECT mf_resume('myfatoorah')");
$mf->wait_status($node, $db, 'held');
is(sending(), 't|Not paused.', 'once it is answered it does not wait any more');

# As soon as invoices get no answer and are held for that, mf_check() says it.
$sandbox->faults({ path => 'SendPayment', status => 503, body => '', times => -1 });
$mf->insert($node, $db, "first-$_") for 1 .. 3;
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_attempt WHERE reference LIKE 'first-%' AND outcome = 'unknown'}, 3);
like(sending(), qr/^f\|Waits until /, 'an account whose invoices get no answer: mf_check() says that it waits as soon as it does');
$sandbox->clear_faults;
sql("SELECT mf_resume('myfatoorah')");
$mf->wait_status($node, $db, "first-$_") for 1 .. 3;

# Of more accounts than it can tell of one by one mf_check() does not say that they do not wait.
sql(q{DO $$ BEGIN FOR n IN 1 .. 40 LOOP
	EXECUTE format('CREATE SERVER many%s FOREIGN DATA WRAPPER myfatoorah OPTIONS (country ''KWT'', environment ''test'', base_url ''http://127.0.0.1:9'')', n);
	EXECUTE format('CREATE USER MAPPING FOR PUBLIC SERVER many%s OPTIONS (api_key_file ''myfatoorah.key'')', n);
	END LOOP; END $$;
	INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value) SELECT 'many' || n, 'many', 'many', 1 FROM generate_series(1, 40) n});
$mf->wait_for($node, $db, q{SELECT count(*) >= 40 FROM mf_attempt WHERE reference LIKE 'many.%' AND outcome = 'not_sent'});
is(sql(q{SELECT count(*) FILTER (WHERE detail ~ '^(Waits until|After failures)'), count(*) FILTER (WHERE detail LIKE 'More accounts wait after failures %')
	FROM generate_series(1, 40) n, mf_check('many' || n) WHERE item = 'sending' AND NOT ok}), '32|8', 'of more accounts than 32 mf_check() does not say that they go on');
like(sending(), qr/^f\|More accounts wait after failures/, 'nor of any other that has something to do');
$mf->setup_account($node, $db, $sandbox, account => 'resting');
is(sql(q{SELECT ok, detail FROM mf_check('resting') WHERE item = 'sending'}), 't|Not paused.', 'one that has nothing to do is not under suspicion');
sql(q{DO $$ BEGIN FOR n IN 1 .. 40 LOOP EXECUTE format('ALTER SERVER many%s OPTIONS (SET base_url %L)', n, '} . $sandbox->url . q{'); END LOOP; END $$;
	SELECT mf_resume('*')});
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference = 'many' AND status = 'sent'}, 40);
is(sql(q{SELECT count(*) FROM generate_series(1, 40) n, mf_check('many' || n) WHERE item = 'sending' AND ok}), 40, 'when they go on it says so');
is(sending(), 't|Not paused.', 'of all accounts');

# However many questions fail, an invoice that comes then gets its turn: of the single requests of an account in trouble
# every other one is an invoice's.
set_delay('50ms');
@ids = map { sent("starve-$_") } 1 .. 8;
fail_questions('starve-', status => 503, body => '');
sql(join ';', map { "SELECT mf_refresh($_)" } @ids);
$mf->wait_for($node, $db, "SELECT sum(failures) >= 8 FROM mf_inquiry WHERE invoice >= $ids[0]");
$mf->insert($node, $db, 'fed');
$mf->wait_status($node, $db, 'fed');
pass('an invoice gets its turn among questions that fail');
$sandbox->clear_faults;
sql("SELECT mf_resume('myfatoorah')");
$mf->wait_for($node, $db, "SELECT sum(failures) = 0 FROM mf_inquiry WHERE invoice >= $ids[0]");

# Where only one request at a time is tried, a question and an invoice take turns: no invoice is claimed for a slot that a
# question has.
set_delay('20ms');
$id = sent('asked');
sql(q{ALTER SERVER myfatoorah OPTIONS (SET base_url 'http://127.0.0.1:9')});
$mf->insert($node, $db, 'turns');
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, q{SELECT count(*) >= 4 FROM mf_attempt WHERE reference LIKE 'turns.%' AND error LIKE 'could not connect%'});
is(sql(q{SELECT count(*) FROM (SELECT error, row_number() OVER (ORDER BY attempt) AS n FROM mf_attempt WHERE reference LIKE 'turns.%') a
		WHERE n > 2 AND error NOT LIKE 'could not connect%'}), 0, 'once the account is in trouble an invoice is not claimed for a slot that a question has');
sql(q{ALTER SERVER myfatoorah OPTIONS (SET base_url '} . $sandbox->url . q{'); SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, 'turns');
is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each invoice was made once');
$node->stop;
done_testing();
