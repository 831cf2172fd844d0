# Bills and kill -9: a tick that renews a link, bills a period and reminds is killed at its first write to each table, and when
# all is done but the commit; a renewed link at each step of its sending; a payment while it is recorded and while it is booked; cash
# before, in and after its commit. Afterwards each was done once: one live link, one period, one reminder, one receipt.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
use MyFatoorah::Test;
use MyFatoorah::Chaos;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'chaos.conf'
	myfatoorah.on_change_timeout = '1min'
	myfatoorah.poll_delay = '1d'
	myfatoorah.retry_delay = '50ms'
	myfatoorah.lookup_delay = '20ms'");
my $db = 'postgres';
my $number = 0;

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

sub sql { return $node->safe_psql($db, @_); }
sub wait_for { return $mf->wait_for($node, $db, @_); }

sub reactions
{
	return sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions'});
}

# A process for functions that is kept in a function of ours until let_go(): then it calls what is due meanwhile. Without, it
# may end before we are ready, and the worker, who begins the next one, may wait for a table that we have locked.
my $keeper;
sub kept
{
	$keeper = $mf->session($node, $db);
	$keeper->query_safe('SELECT pg_advisory_lock(148)');
	sql(q{SELECT mf_call_at('public.kept', now())});
	wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'advisory'}, 1);
	return reactions();
}

sub let_go
{
	return $keeper->query_safe('SELECT pg_advisory_unlock(148)');
}

# Bills of a round, sent: its key, and its id
sub bill
{
	my ($name, %columns) = @_;
	my $key = $name . ' ' . ++$number;

	sql("INSERT INTO mf_bill (customer_name, customer_email, total, bill_key) VALUES ('Ahmad', 'a\@example.com', 10, '$key')");
	wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = '$key'", 'sent');
	return sql("SELECT id FROM mf_bill WHERE bill_key = '$key'");
}

# Its link has expired, and MyFatoorah was asked: the next tick replaces it.
sub expire
{
	my ($bill) = @_;

	sql("SET ROLE myfatoorah_billing; UPDATE mf_link SET expires_at = now() - interval '1 day', asked_at = now() WHERE bill = $bill AND live; UPDATE mf_bill SET link_due = now() WHERE id = $bill");
	return;
}

# A plan that is due
sub plan_due
{
	my $key = 'plan ' . ++$number;

	sql("INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('$key', '{\"customer_name\": \"Ahmad\", \"total\": 10}', mf_local_day('myfatoorah', now()) + 10, '1 month')");
	sql("SET ROLE myfatoorah_billing; UPDATE mf_plan SET starts_on = starts_on - 10, anchor_on = anchor_on - 10, next_on = next_on - 10, next_at = now(), at_time = '00:01' WHERE plan_key = '$key'");
	return sql("SELECT id FROM mf_plan WHERE plan_key = '$key'");
}

# A bill that is to be reminded of, about which MyFatoorah was asked
sub remind
{
	my ($bill) = @_;

	sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_bill SET created_at = now() - interval '2 days', send_at = now() - interval '2 days' WHERE id = $bill;
		UPDATE mf_link SET asked_at = now() WHERE bill = $bill; INSERT INTO mf_reminder_queue (bill, due, asked_since) VALUES ($bill, now(), now() - interval '10 minutes'); COMMIT");
	return;
}

# Kills a process that stands still where it was stopped
sub strike
{
	my ($pid) = @_;

	$chaos->kill_processes($node, $pid);
	$mf->wait_worker($node, $db);
	return;
}

# What must never be: two live links, a link that differs from its row, books that differ, an invoice made twice
sub faults
{
	return join '|', sql(q{SELECT (SELECT count(*) FROM (SELECT FROM mf_link WHERE live GROUP BY bill HAVING count(*) > 1) t),
		(SELECT count(*) FROM mf_bill b FULL JOIN (SELECT * FROM mf_link WHERE live) k ON k.bill = b.id WHERE b.invoice IS DISTINCT FROM k.invoice),
		(SELECT count(*) FROM mf_ledger l LEFT JOIN mf_receipt r ON r.ledger = l.id WHERE l.kind <> 'fee' AND r.value IS DISTINCT FROM l.amount),
		(SELECT count(*) FROM mf_bill b WHERE b.received <> (SELECT coalesce(sum(r.value), 0) FROM mf_receipt r WHERE r.bill = b.id)),
		(SELECT count(*) FROM mf_bill b WHERE b.status <> CASE WHEN b.received >= b.total THEN 'paid' ELSE 'open' END)}),
	  $mf->problems($node, $db, $sandbox);
}

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s', time_zone => $mf->noon_zone($node) });
sql('CREATE EXTENSION myfatoorah_billing');
sql(q{INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}');
	INSERT INTO mf_reminder_rule (name, days_from_due, at_time) SELECT 'today', 0, (now() AT TIME ZONE f.time_zone - interval '1 minute')::time FROM mf_account_facts('myfatoorah') f;
	UPDATE mf_reminder_rule SET since = now() - interval '2 days'});
sql(q{CREATE FUNCTION public.kept(at timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(148); SELECT NULL::timestamptz'});
sql(q{SELECT mf_on_time('public.kept(timestamptz)', now() + interval '1 year')});
$mf->wait_worker($node, $db);

#
# A tick: nothing of it is there before its commit, and then all of it, once
#
foreach my $point ('function_called', map { "first write to $_" } qw(mf_link mf_invoice mf_queue mf_plan_period mf_reminder))
{
	my ($renewed, $reminded) = (bill('renewed'), bill('reminded'));
	my $pid = kept();
	my $holder;
	my $plan = plan_due();
	expire($renewed);
	remind($reminded);
	my $offset = $chaos->log_size($node);
	if ($point =~ /to (\w+)/)
	{
		$holder = $mf->session($node, $db);
		$holder->query_safe("BEGIN; LOCK TABLE $1 IN EXCLUSIVE MODE");
	}
	$node->psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())});
	if ($holder)
	{
		let_go();
		wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'relation'}, 1);
	}
	else
	{
		$chaos->arm($node, $pid, 'function_called', \&let_go);
		$chaos->wait_failpoint($node, $pid, 'function_called', $offset);
	}
	my $seen = sql("SELECT (SELECT count(*) FROM mf_link WHERE bill = $renewed), (SELECT count(*) FROM mf_plan_period WHERE plan = $plan), (SELECT count(*) FROM mf_reminder WHERE bill = $reminded)");
	strike($pid);
	eval { $_->quit } foreach $keeper, $holder // ();
	is($seen, '1|0|0', "killed at $point: nothing of the tick is to be seen");
	wait_for("SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE i.status = 'sent' AND (b.id = $renewed OR b.id = $reminded OR b.id = (SELECT bill FROM mf_plan_period WHERE plan = $plan))", 3);
	wait_for("SELECT count(*) FROM mf_reminder WHERE bill = $reminded", 1);
	is(sql("SELECT (SELECT count(*) FROM mf_link WHERE bill = $renewed), (SELECT count(*) FROM mf_plan_period WHERE plan = $plan), (SELECT count(*) FROM mf_bill WHERE bill_key LIKE (SELECT plan_key || '/%' FROM mf_plan WHERE id = $plan)),
			(SELECT count(*) FROM mf_reminder WHERE bill = $reminded), (SELECT count(*) FROM mf_link WHERE bill = $reminded)"), '2|1|1|1|2', 'then the link is renewed, the period billed, and the bill reminded of, once each');
	is(faults(), '0|0|0|0|0', 'and all fits');
}

#
# The new link on its way: at the stand-in it is made once, or told to a person
#
foreach my $point (qw(claimed intent_recorded intent_committed posted answer_received outcome_recorded outcome_committed))
{
	my $bill = bill('on its way');
	my $worker = $mf->wait_worker($node, $db);

	$mf->wait_idle($node, $db);
	$chaos->arm($node, $worker, $point);
	my $offset = $chaos->log_size($node);
	sql("SELECT mf_new_link($bill, 'asked for')");
	$chaos->wait_failpoint($node, $worker, $point, $offset);
	strike($worker);
	wait_for("SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND i.status = 'sent'", 1);
	is(sql("SELECT count(*), count(*) FILTER (WHERE live) FROM mf_link WHERE bill = $bill"), '2|1', "killed at $point: the bill has its second link, and no third");
	is(faults(), '0|0|0|0|0', 'and all fits');
}

#
# A payment: recorded by the worker, booked by a function
#
foreach my $point ('payment_recorded', 'function_called', map { "first write to $_" } qw(mf_receipt mf_bill_history))
{
	my $bill = bill('paid');
	my ($link, $invoice) = split /\|/, sql("SELECT i.id, i.invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill");
	my ($pid, $holder);

	$mf->wait_idle($node, $db);
	$pid = $point eq 'function_called' ? kept() : $mf->wait_worker($node, $db);
	$chaos->arm($node, $pid, $point) if $point eq 'payment_recorded';
	my $offset = $chaos->log_size($node);
	if ($point =~ /to (\w+)/)
	{
		$holder = $mf->session($node, $db);
		$holder->query_safe("BEGIN; LOCK TABLE $1 IN EXCLUSIVE MODE");
	}
	$sandbox->invoice($invoice, 'pay');
	sql("SELECT mf_refresh($link)");
	if ($holder)
	{
		wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'relation'}, 1);
		$pid = reactions();
	}
	elsif ($point eq 'function_called')
	{
		wait_for("SELECT payment_status FROM mf_invoice WHERE id = $link", 'paid');
		$chaos->arm($node, $pid, $point, \&let_go);
	}
	$chaos->wait_failpoint($node, $pid, $point, $offset) if !$holder;
	my $seen = sql("SELECT status, received, (SELECT count(*) FROM mf_receipt WHERE bill = $bill) FROM mf_bill WHERE id = $bill");
	strike($pid);
	eval { $_->quit } foreach grep { $_ } $holder, $point eq 'function_called' ? $keeper : ();
	is($seen, 'open|0|0', "killed at $point: nothing of the payment is booked");
	wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
	is(sql("SELECT count(*), sum(value) FROM mf_receipt WHERE bill = $bill"), '1|10.000', 'then it is, once');
	is(faults(), '0|0|0|0|0', 'and all fits');
}

#
# Cash, in a session that dies
#
foreach my $point ('first write to mf_link', 'before its commit', 'after its commit')
{
	my $bill = bill('cash');
	my $session = $mf->session($node, $db);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my $cash = "INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 4);\n";
	my $holder;

	if ($point =~ /to (\w+)/)
	{
		$holder = $mf->session($node, $db);
		$holder->query_safe("BEGIN; LOCK TABLE $1 IN EXCLUSIVE MODE");
		$session->{stdin} .= $cash;
		$session->{run}->pump_nb;
		wait_for("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'", 1);
	}
	else
	{
		$session->query_safe(($point =~ /before/ ? 'BEGIN; ' : '') . $cash);
	}
	strike($pid);
	eval { $_->quit } foreach $session, $holder // ();
	if ($point =~ /after/)
	{
		wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill", 'sent');
		is(sql("SELECT b.received, i.invoice_value, (SELECT count(*) FROM mf_receipt r WHERE r.bill = b.id), (SELECT count(*) FROM mf_link k WHERE k.bill = b.id) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill"), '4|6|1|2', "killed $point: the cash is booked, and the link is over the rest");
	}
	else
	{
		is(sql("SELECT b.received, i.invoice_value, (SELECT count(*) FROM mf_receipt r WHERE r.bill = b.id), (SELECT count(*) FROM mf_link k WHERE k.bill = b.id) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill"), '0|10|0|1', "killed $point: there is no cash, and the link is what it was");
	}
	is(faults(), '0|0|0|0|0', 'and all fits');
}

is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');
$node->stop;
done_testing();
