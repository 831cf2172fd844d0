# The clock of the machine is set ahead by a day, and back by an hour and by a day, under a server that is at work: nothing is sent
# or billed twice, and nothing waits until the clock is where it was.
use MyFatoorah::Test qw(sql wait_for);
use MyFatoorah::Clock;

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $clock = MyFatoorah::Clock->new or plan skip_all => 'test/chaos/moved_clock.c cannot be compiled';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', start => 0, conf => "myfatoorah.retry_delay = '60s'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.shutdown_wait = '10s'\nmyfatoorah.poll_rate_limit = 60000");
my ($hour, $day) = (3600, 86400);
my @names;

$clock->with(sub { $node->start });
$mf->setup_account($node, $db, $sandbox, options => { max_in_flight => 4, time_zone => $mf->noon_zone($node) });
$mf->wait_worker($node, $db);

# set(seconds): moves the clock; if that is back, the worker starts anew
sub set
{
	my ($by) = @_;
	my $pid = $mf->worker_pid($node, $db);

	$clock->move_by($by);
	# it looks at the clock every ten minutes, or when something wakes it
	sql('SELECT mf_resume()');
	wait_for("SELECT count(*) FROM mf_worker_status WHERE pid <> $pid", 1) if $by < 0;
	return;
}

# Of each invoice there is one at MyFatoorah.
sub sent_once
{
	my ($what, @new) = @_;

	push @names, @new;
	wait_for("SELECT count(*) FROM mf_invoice WHERE status <> 'sent'", 0);
	is_deeply([ sort map { $_->{reference} =~ s,[.].*,,r } $sandbox->invoices(limit => 1000) ], [ sort @names ], "$what: all are sent, once");
	return;
}

foreach my $by (-$hour, $day, -$day)
{
	my $what = sprintf '%s %d h', $by < 0 ? 'back' : 'ahead', abs $by / $hour;

	# requests under way, and rows behind them
	$sandbox->faults({ path => 'SendPayment', delay_ms => 1000, times => -1 });
	my $before = $sandbox->count(%$send);
	$mf->insert_many($node, $db, "busy $what", 20);
	$sandbox->wait_count($send, $before + 1) or die "it is not busy\n";
	set($by);
	$sandbox->clear_faults;
	sent_once("$what, with requests under way", map { "busy $what-$_" } 1 .. 20);
	is($sandbox->count(%$send), $before + 20, "$what: no request was repeated");
	is(sql("SELECT count(*) FROM mf_inquiry WHERE due > now() + interval '12 hours'"), 0, "$what: whether they were paid is asked no later than without") if $by == -$day;
}

# An account that MyFatoorah has told to wait, rows behind it, and one that is not to be sent before a time
$sandbox->faults({ path => 'SendPayment', status => 429, times => -1 });
$mf->insert($node, $db, 'told to wait');
wait_for("SELECT attempts FROM mf_invoice WHERE customer_reference = 'told to wait'", 1);
$mf->insert($node, $db, 'behind it');
$mf->insert($node, $db, 'tomorrow', send_at => "clock_timestamp() + interval '1 day'");
$sandbox->clear_faults;
set(-$day);
wait_for("SELECT count(*) FROM mf_invoice WHERE status <> 'sent'", 1);
is(sql("SELECT customer_reference FROM mf_invoice WHERE status = 'queued'"), 'tomorrow', 'back 24 h: who was told to wait does not wait for a day more, what is to be sent later does');
is(sql("SELECT q.due = i.send_at FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'"), 't', 'until its time');
set($day);
set($day);
sent_once('ahead 48 h', 'told to wait', 'behind it', 'tomorrow');
# A time in the past means at once, and its place on the agenda is by the time of its insertion, which is ahead then.
set($day);
sql(q{SELECT mf_pause('myfatoorah')});
$mf->insert($node, $db, 'long ago', send_at => "now() - interval '2 years'");
set(-$day);
sent_once('back 24 h', 'long ago');
like(slurp_file($node->logfile), qr/clock_set_back: the clock was set back by 86\d\d\d seconds/, 'the log tells of it');

#
# What the worker cannot notice: it is off while the clock is set back, or the rows come after it has looked
#
my $year = 365 * $day;
my $asks = $mf->insert($node, $db, 'asked', expiry_date => "now() + interval '10 days'");
push @names, 'asked';
wait_for("SELECT status FROM mf_invoice WHERE id = $asks", 'sent');

# late: how many entries mf_check() says are due later than they can be
sub late { return sql(q{SELECT substring(detail FROM 'later than it can be: (\d+)') FROM mf_check() WHERE item = 'agenda'}); }

foreach my $by ($hour, $year)
{
	my $what = sprintf 'back %d h', $by / $hour;

	# the server is stopped
	sql(q{SELECT mf_pause('myfatoorah')});
	$clock->move_by($by);
	$mf->insert($node, $db, "stopped, $what");
	sql("SELECT mf_refresh($asks)");
	$node->stop;
	$clock->move_by(-$by);
	$clock->with(sub { $node->start });
	wait_for("SELECT count(*) FROM mf_queue q WHERE due > now()", 0);
	wait_for("SELECT count(*) FROM mf_inquiry WHERE due > now() + interval '2 days' OR (urgent AND due > now() + interval '1 minute')", 0);
	is(late(), '', "$what, with the server stopped: nothing is late once a worker has begun");
	sql(q{SELECT mf_resume('myfatoorah')});
	sent_once("$what, with the server stopped", "stopped, $what");

	# the worker is off, and a person looks first
	sql('ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
	$mf->wait_no_worker($node, $db);
	$clock->move_by($by);
	$mf->insert($node, $db, "off, $what");
	$clock->move_by(-$by);
	is(late(), 1, "$what, with the worker off: mf_check() says what is late");
	is(sql('SELECT kind, invoices FROM mf_repair()'), 'late|1', 'mf_repair() has it due');
	sql('ALTER DATABASE postgres RESET myfatoorah.worker_enabled');
	sent_once("$what, with the worker off", "off, $what");

	# transactions that were open meanwhile, one of them prepared, and the server restarted before its end; whether or not the worker has looked
	$clock->move_by($by);
	$mf->insert($node, $db, "committed, $what") if $by > $hour;
	my $session = $mf->session($node, $db);
	$session->query_safe('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice("open, $what"));
	sql('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice("$_, $what") . "; PREPARE TRANSACTION '$_'") for 'prepared', 'prepared, kept';
	$by > $hour ? set(-$by) : $clock->move_by(-$by);
	sent_once("$what, what was committed meanwhile", $by > $hour ? "committed, $what" : ());
	$session->query_safe("COMMIT; SELECT mf_refresh($asks)");
	sql("COMMIT PREPARED 'prepared'");
	sent_once("$what, with transactions open", "open, $what", "prepared, $what");
	$session->quit;
	$clock->with(sub { $node->restart });
	$mf->wait_worker($node, $db);
	sql("COMMIT PREPARED 'prepared, kept'");
	sent_once("$what, with a transaction prepared before a restart", "prepared, kept, $what");
}

# A row that was put off while the clock was ahead, because its role might not send it any more, and the server is stopped before it is set back
sql('CREATE ROLE clerk IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
set($year);
sql(q{SELECT mf_pause('myfatoorah')});
sql('SET ROLE clerk; INSERT INTO mf_invoice ' . $mf->invoice('put off'));
sql(q{REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM clerk; SELECT mf_resume('myfatoorah')});
wait_for(q{SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'put off' AND q.lookups > 0 AND q.due > now()}, 1);
sql('GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
$node->stop;
$clock->move_by(-$year);
$clock->with(sub { $node->start });
sent_once('back a year, with a row that was put off', 'put off');

# Times that users gave, which had passed by the wrong clock and have not come by the right one: before and after the clock is right again
$clock->move_by($year);
sql(q{SELECT mf_pause('myfatoorah')});
$mf->insert($node, $db, $_, send_at => "now() - interval '100 days'") for 'given', 'left out';
sql(q{UPDATE mf_invoice SET send_at = NULL WHERE customer_reference = 'left out'});
$mf->insert($node, $db, 'given later');
$clock->move_by(-$year);
sql(q{UPDATE mf_invoice SET send_at = now() + interval '100 days' WHERE customer_reference = 'given later'; SELECT mf_resume('myfatoorah')});
wait_for("SELECT status FROM mf_invoice WHERE customer_reference = 'left out'", 'sent');
push @names, 'left out';
is(sql(q{SELECT string_agg(i.customer_reference, ', ' ORDER BY i.id) FROM mf_invoice i JOIN mf_queue q ON q.invoice = i.id WHERE q.due = i.send_at AND q.kind = 'send'}), 'given, given later',
	'back a year: what is to be sent in a hundred days is not sent');
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE status = 'queued'});

# What the wrong clock has called expired, and the questions about the others
$clock->move_by($year);
sql("SELECT mf_refresh($asks)");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $asks", 'expired');
wait_for("SELECT count(*) FROM mf_inquiry WHERE due <= now()", 0);
set(-$year);
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $asks", 'unpaid');
wait_for("SELECT count(*) FROM mf_open", scalar @names);
is(sql(q{SELECT count(*) FROM mf_inquiry WHERE due > now() + interval '2 days'}), 0, 'what the wrong clock has called expired can be paid again, and is asked about, as all others are');

#
# Bills: a period that is due while the clock is ahead is billed then, and once.
#
sql(q{CREATE EXTENSION myfatoorah_billing;
	INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}');
	INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via) VALUES ('a day late', 1, '00:00', 'event');
	INSERT INTO mf_plan (plan_key, template, starts_on, every, at_time) VALUES ('rent', '{"customer_name": "Ahmad", "total": 10}', mf_local_day('myfatoorah', now()), '1 day', '00:01')});

# billed(what, bills, reminders): so many, and for each bill one link
sub billed
{
	my ($what, $bills, $reminders) = @_;

	wait_for('SELECT count(*) FROM mf_reminder', $reminders);
	wait_for(q{SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE i.status = 'sent'}, $bills);
	is(sql('SELECT (SELECT count(*) FROM mf_bill), (SELECT count(*) FROM mf_link), (SELECT count(*) FROM mf_reminder)'), "$bills|$bills|$reminders", $what);
	return;
}

billed('a period is billed', 1, 0);
set($day);
billed('ahead 24 h: so is the next, and who has not paid is reminded', 2, 1);
set(-$day);
sql(q{INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('Noura', 10, 'new')});
billed('back 24 h: a new bill gets its link', 3, 1);
set($day);
billed('ahead 24 h: no period is billed again, nobody reminded again, and the new bill is', 3, 2);
is($sandbox->count(%$send), 3 + @names + 1, 'all requests but the one that was refused have made an invoice');

# A tick of the wrong clock that has to wait for an answer: the bill is looked at again, and so is who has paid, before it gets another link.
sql(q{SELECT mf_pause_plan(id, 'a year of it') FROM mf_plan});
my $bill = $mf->insert_bill($node, $db, 'kept', link_days => 30);
my $number = sql("SELECT i.invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill");
my $question = { path => '/v2/GetPaymentStatus' };
my $before = $sandbox->count(%$question);
$sandbox->faults({ path => 'GetPaymentStatus', delay_ms => -1, times => -1 });
$clock->move_by($year);
sql('SELECT mf_resume()');
wait_for("SELECT count(*) FROM mf_link WHERE bill = $bill AND asked_at > now() - interval '1 day'", 1);
set(-$year);
$sandbox->clear_faults;
wait_for("SELECT count(*) FROM mf_bill WHERE id = $bill AND link_due > now() + interval '40 days'", 0);
pass('back a year: the bill is looked at when its link ends');
$sandbox->invoice($number, 'pay');
sql('ALTER SYSTEM SET myfatoorah.poll_rate_limit = 0; SELECT pg_reload_conf()');
set(31 * $day);
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(sql("SELECT count(*) FROM mf_link WHERE bill = $bill"), 1, 'and who has paid meanwhile gets no other one');

done_testing();
