# Locks of other sessions hold up the locked rows only. No answer is lost by them, and the server can be shut down.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'");
my $send = { path => '/v2/SendPayment' };

$mf->setup_account($node, 'postgres', $sandbox, options => { timeout => '600s' });
$mf->wait_worker($node, 'postgres');

# Sends some invoices from another session.
my $markers = 0;

sub others_go_on
{
	my ($what) = @_;
	my $prefix = 'marker-' . ++$markers;

	$mf->insert_many($node, 'postgres', $prefix, 5);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'sent'", 5);
	pass("$what: others go on");
	return;
}

sub sends
{
	my ($name) = @_;

	return scalar grep { $_ eq $name } $sandbox->names;
}

#
# A queued row that somebody has locked when it falls due
#
my $session = $mf->session($node, 'postgres');

# Inserts an invoice that is due in a moment, and locks its row in the same session: a new one may take longer than the moment.
sub lock_soon
{
	my ($name, $lock) = @_;

	$session->query_safe('INSERT INTO mf_invoice ' . $mf->invoice($name, send_at => "clock_timestamp() + interval '1 s'") . "; BEGIN; $lock");
	return;
}

foreach my $case (
	[ 'SELECT FOR UPDATE', "SELECT id FROM mf_invoice WHERE customer_reference = 'NAME' FOR UPDATE" ],
	[ 'UPDATE', "UPDATE mf_invoice SET customer_name = 'changed' WHERE customer_reference = 'NAME'" ],
	[ 'UPDATE of send_at', "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'NAME'" ],
	[ 'mf_cancel() that is rolled back', "SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'NAME'", 'ROLLBACK' ])
{
	my ($what, $lock, $end) = @$case;
	my $name = $what =~ s/\W+/ /gr;

	lock_soon($name, $lock =~ s/NAME/$name/r);
	$mf->wait_for($node, 'postgres', "SELECT clock_timestamp() > send_at + interval '100 ms' FROM mf_invoice WHERE customer_reference = '$name'");
	others_go_on($what);
	is(sends($name), 0, "$what: the locked row is not sent");
	$session->query_safe($end // 'COMMIT');
	$mf->wait_status($node, 'postgres', $name);
	is(sends($name), 1, "$what: it is sent once the lock is gone");
}
my ($entry) = grep { $_->{reference} =~ /^UPDATE\./ } $sandbox->ledger(path => '/v2/SendPayment');
like($entry->{body}, qr/"CustomerName":\s*"changed"/, 'with what the UPDATE made of it');

lock_soon('cancelled', q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'cancelled'});
$mf->wait_for($node, 'postgres', "SELECT clock_timestamp() > send_at FROM mf_invoice WHERE customer_reference = 'cancelled'");
others_go_on('mf_cancel()');
$session->query_safe('COMMIT');
others_go_on('mf_cancel() that is committed');
is($mf->status($node, 'postgres', 'cancelled') . sends('cancelled'), 'cancelled0', 'a row cancelled when it falls due is not sent');

#
# A row that is being sent: its answer is kept at once, and applied when the lock is gone.
#
sub answer_while_locked
{
	my ($name) = @_;
	my $before = $sandbox->count(%$send);

	$sandbox->faults({ path => 'SendPayment', delay_ms => -1 });
	$mf->insert($node, 'postgres', $name);
	$sandbox->wait_count($send, $before + 1) or die "it is not sent\n";
	$session->query_safe("BEGIN; SELECT id FROM mf_invoice WHERE customer_reference = '$name' FOR UPDATE");
	$sandbox->clear_faults;
	return;
}

answer_while_locked('answered');
$mf->wait_for($node, 'postgres', "SELECT outcome FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE customer_reference = 'answered'", 'accepted');
is(sql("SELECT i.status, a.invoice_id IS NOT NULL FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE customer_reference = 'answered'"),
	'sending|t', 'the answer to a locked row is kept in mf_attempt at once');
others_go_on('a locked row with an answer');
$session->query_safe('COMMIT');
$mf->wait_status($node, 'postgres', 'answered');
is(sends('answered'), 1, 'and applied when the lock is gone');

# The entry of a question that is under way: whoever has asked again and does not commit keeps nobody waiting.
my $ask = { path => '/v2/GetPaymentStatus' };
my $refresh = "SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'answered'";
my $asked = $sandbox->count(%$ask);
$sandbox->faults({ path => 'GetPaymentStatus', delay_ms => -1, times => 1 });
sql($refresh);
$sandbox->wait_count($ask, $asked + 1) or die "it is not asked about\n";
$session->query_safe("BEGIN; $refresh");
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', 'SELECT in_flight FROM mf_worker_status', 0);
others_go_on('the entry of a question with an answer');
$session->query_safe('COMMIT');
$sandbox->wait_count($ask, $asked + 2) or die "it is not asked about again\n";
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE customer_reference = 'answered' AND urgent", 0);
is($sandbox->count(%$ask), $asked + 2, 'what was asked for meanwhile is asked once more');

# The event that a question is about, and one that its answer would settle, likewise.
my $number = sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'answered'");
$sandbox->invoice($number, 'pay');
my $callback = "SELECT mf_callback('" . $sandbox->invoice($number)->{transactions}[-1]{payment_id} . "')";
$asked = $sandbox->count(%$ask);
$sandbox->faults({ path => 'GetPaymentStatus', delay_ms => 700, times => 2 });
sql($callback);
foreach my $about ('the event', 'the invoice of the event')
{
	$sandbox->wait_count($ask, ++$asked) or die "$about is not asked about\n";
	$session->query_safe("BEGIN; $callback");
	$mf->wait_for($node, 'postgres', 'SELECT in_flight FROM mf_worker_status', 0);
	others_go_on("the event of a question about $about");
	$session->query_safe('COMMIT');
}
$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE customer_reference = 'answered'", 'paid');
$mf->wait_for($node, 'postgres', 'SELECT count(*) FROM mf_event WHERE answered_at IS NULL', 0);
pass('both are recorded when the session is done');

# A worker that ends meanwhile: the answer is in mf_attempt, so the next one knows it.
answer_while_locked('answered again');
$mf->wait_for($node, 'postgres', "SELECT outcome FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE customer_reference = 'answered again'", 'accepted');
my $pid = $mf->worker_pid($node, 'postgres');
kill 'TERM', $pid;
$mf->wait_worker($node, 'postgres', not => $pid);
others_go_on('a new worker beside a locked row');
$session->query_safe('COMMIT');
$session->quit;
$mf->wait_for($node, 'postgres', "SELECT status <> 'sending' FROM mf_invoice WHERE customer_reference = 'answered again'");
is($mf->status($node, 'postgres', 'answered again') . sends('answered again'), 'sent1',
	'an answer that was kept is not lost with the worker that got it');

#
# A lock on the whole table
#
sub lock_table
{
	my ($what, $prefix) = @_;
	my $before = $sandbox->count(%$send);
	my $session = $mf->session($node, 'postgres');

	$sandbox->faults({ path => 'SendPayment', reference_prefix => $prefix, delay_ms => -1, times => 5 });
	$mf->insert_many($node, 'postgres', $prefix, 5);
	$sandbox->wait_count($send, $before + 5) or die "they are not sent\n";
	$session->query_safe("BEGIN; LOCK TABLE mf_invoice IN ACCESS EXCLUSIVE MODE");
	$sandbox->clear_faults;
	$mf->wait_for($node, 'postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker'", 'Lock');
	return $session;
}

sub honest
{
	my ($what, $prefix) = @_;

	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status IN ('sent', 'unknown')", 5);
	is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], "$what: rows, attempts and ledger agree");
	return;
}

$session = lock_table('released', 'released');
$session->query_safe('COMMIT');
$session->quit;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'released-%' AND status = 'sent'", 5);
pass('LOCK TABLE: once it is released, all answers are there');

$session = lock_table('shut down', 'shutdown');
my $seconds = $mf->seconds(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 20, 'LOCK TABLE and answers to record: fast shutdown');
diag(sprintf 'fast shutdown, table locked by a session: %.0f ms', 1000 * $seconds);
eval { $session->quit };
$node->start;
honest('LOCK TABLE and fast shutdown', 'shutdown');

# The worker alone is told to end: it must not wait for the lock, neither in its work nor at the start of its service.
$session = lock_table('terminated', 'terminated');
foreach my $when ('at work', 'at its start')
{
	my $pid = $mf->worker_pid($node, 'postgres');

	$seconds = $mf->seconds(sub { sql("SELECT pg_terminate_backend($pid, 60000)") });
	cmp_ok($seconds, '<', 20, "LOCK TABLE: a worker that waits for it $when can be ended");
	diag(sprintf 'end of a worker that waits for a lock %s: %.0f ms', $when, 1000 * $seconds);
	$mf->wait_for($node, 'postgres',
		"SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND pid <> $pid", 'Lock');
}
$session->query_safe('COMMIT');
$session->quit;
honest('LOCK TABLE and the end of the worker', 'terminated');

# A prepared transaction holds the lock: no session whose end would release it.
foreach my $when ('at work', 'at its start')
{
	$session = lock_table('prepared', "prepared $when");
	$session->query_safe("PREPARE TRANSACTION 'lock'");
	$session->quit;
	if ($when eq 'at its start')
	{
		my $pid = $mf->worker_pid($node, 'postgres');

		sql("SELECT pg_terminate_backend($pid)");
		$mf->wait_for($node, 'postgres',
			"SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND pid <> $pid", 'Lock');
	}
	$seconds = $mf->seconds(sub { $node->stop('fast', fail_ok => 1, timeout => 30) });
	cmp_ok($seconds, '<', 20, "a table locked by a prepared transaction, worker $when: fast shutdown");
	diag(sprintf 'fast shutdown, table locked by a prepared transaction, worker %s: %.0f ms', $when, 1000 * $seconds);
	$node->stop('immediate') if $seconds >= 20;
	$node->start;
	sql("COMMIT PREPARED 'lock'");
	honest("a table locked by a prepared transaction, worker $when", "prepared $when");
}

# Whoever holds a lock for long is named: here a member of myfatoorah_submit, which may lock all rows that it sees.
sql(q{CREATE ROLE holder LOGIN IN ROLE myfatoorah_submit; SELECT mf_pause('*')});
$mf->insert($node, 'postgres', 'long due', send_at => "now() - interval '2 min'");
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET created_at = now() - interval '2 min' WHERE customer_reference = 'long due'});
$session = $mf->session($node, 'postgres', extra_params => [ '-U', 'holder' ]);
my $holder = $session->query_safe("SELECT pg_backend_pid()") =~ s/\s//gr;
$session->query_safe(q{BEGIN; SAVEPOINT s; SELECT id FROM mf_invoice WHERE customer_reference = 'long due' FOR UPDATE});
sql(q{SELECT mf_resume('*')});
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'invoices'}), qr/^1 is due and locked by process $holder of role "holder": invoice \d+\.$/,
	'mf_check() names who keeps a row locked that is due');
others_go_on('a row that is due for long');
$session->query_safe('COMMIT');
$session->quit;
$mf->wait_status($node, 'postgres', 'long due');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'invoices'}), 0, 'and nobody any more');

others_go_on('in the end');
unlike(slurp_file($node->logfile), qr/myfatoorah worker ERROR:  (?:myfatoorah: \w+: )?canceling statement/, 'a worker that was ended, at its start too, tells of no cancel');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
