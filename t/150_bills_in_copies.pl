# A copy bills nobody and reminds nobody, whatever is due in it: a restored dump, a subscriber, a standby. Once it has been told to go on, each
# period that is due has one bill there, a link that has expired is replaced once, and who was reminded is not reminded again.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $conf = "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1d'\nmyfatoorah.on_change_timeout = '30s'";
my $node = $mf->new_node('main', init => { allows_streaming => 'logical' }, conf => $conf);
# no day ends meanwhile: bills are due today, and reminded of from 00:01 on
my %quick = (options => { connect_timeout => '500ms', timeout => '1s', time_zone => $mf->noon_zone($node) });

$mf->setup_account($node, 'postgres', $sandbox, %quick);
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, 'postgres');

# What is due, beside a bill that was reminded of
sql(q{INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}');
	INSERT INTO mf_reminder_rule (name, days_from_due, at_time, notification_option) VALUES ('today', 0, '00:01', 'EML');
	INSERT INTO mf_bill (customer_name, customer_email, total, bill_key, due_date) SELECT 'Ahmad', 'a@example.com', 10, k, mf_local_day('myfatoorah', now()) + CASE k WHEN 'expired' THEN 30 ELSE 0 END FROM unnest('{reminded,to be reminded,expired}'::text[]) k});
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 3);
my $past = q{UPDATE mf_bill SET created_at = now() - interval '2 days', send_at = now() - interval '2 days'; UPDATE mf_reminder_rule SET since = now() - interval '2 days'};
my $remind = q{INSERT INTO mf_reminder_queue (bill, due, asked_since) SELECT id, now(), now() FROM mf_bill WHERE bill_key = '%s' ON CONFLICT (bill) DO UPDATE SET due = now()};
sql("BEGIN; SET LOCAL session_replication_role = replica; $past; " . sprintf($remind, 'reminded') . "; SELECT mf_call_at('public.mf_billing_tick', now()); COMMIT");
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_reminder m JOIN mf_invoice i ON i.id = m.invoice WHERE i.status = 'sent'}, 1);
sql(q{SELECT mf_pause('*')});
sql("BEGIN; SET LOCAL session_replication_role = replica; " . sprintf($remind, 'to be reminded') . q{;
	UPDATE mf_link SET expires_at = now() - interval '1 day', asked_at = now(), asked_for = now() WHERE live AND bill = (SELECT id FROM mf_bill WHERE bill_key = 'expired'); UPDATE mf_bill SET link_due = now() WHERE bill_key = 'expired'; COMMIT});
sql(q{INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('rent', '{"customer_name": "Ahmad", "total": 10}', mf_local_day('myfatoorah', now()) + 10, '1 month')});
sql(q{SET ROLE myfatoorah_billing; UPDATE mf_plan SET starts_on = starts_on - 10, anchor_on = anchor_on - 10, next_on = next_on - 10, next_at = now(), at_time = '00:01'});
sql(q{SELECT mf_call_at('public.mf_billing_tick', now())});

# Bills, links, periods, reminders, and how many are live
my $books = q{SELECT (SELECT count(*) FROM mf_bill), (SELECT count(*) FROM mf_link), (SELECT count(*) FROM mf_plan_period), (SELECT count(*) FROM mf_reminder), (SELECT count(*) FROM mf_link WHERE live)};
is(sql($books), '3|4|0|1|3', 'bills, links, periods and reminders before the copies are made');

# A tick by hand does nothing either, by the clock or ahead of it, nor does one of its steps.
sub ticked
{
	my ($where, $db, $what) = @_;

	foreach my $ahead ('0', '40 days')
	{
		like(($where->psql($db, "SELECT mf_billing_tick(now() + interval '$ahead')"))[2], qr/NOTICE:  nothing is billed, and nobody is reminded, because all is paused\nHINT:.*mf_resume\('\*'\)/,
			"$what: a tick by hand ($ahead ahead) tells that all is paused");
		$where->safe_psql($db, "SET ROLE myfatoorah_billing; SELECT mf_tick_links(t, 50), mf_tick_plans(t, 50), mf_tick_reminders(t, 50) FROM (SELECT now() + interval '$ahead') n(t)");
	}
	is($where->safe_psql($db, $books), '3|4|0|1|3', "$what: and makes nothing");
}
ticked($node, 'postgres', 'the original');

# Nor does a visitor: he is sent to the link that is live; that another one is due, or a payment was not booked, is left as it is.
sub visited
{
	my ($where, $db, $what) = @_;
	my $visit = q{SET ROLE myfatoorah_billing; SELECT a.status, a.location = i.invoice_url FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice, mf_bill_page(b.token) a WHERE bill_key = '%s'};
	my $paid = q{BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO mf_money (invoice, account, kind, source, amount, currency) SELECT invoice, account, 'payment', '1', 10, 'KWD' FROM mf_bill WHERE bill_key = 'reminded'; RESET session_replication_role};

	is($where->safe_psql($db, sprintf $visit, 'reminded'), '303|t', "$what: who opens a bill is sent to the link that it has");
	is($where->safe_psql($db, sprintf $visit, 'expired'), '503|', "$what: where another one is due, to none");
	is($where->safe_psql($db, "$paid; " . sprintf($visit, 'reminded') . '; SELECT count(*) FROM mf_receipt; ROLLBACK'), "200|\n0", "$what: and nothing is booked");
	is($where->safe_psql($db, $books), '3|4|0|1|3', "$what: nothing is made");
}
visited($node, 'postgres', 'the original');

# What the subscriber has registered comes from the publisher, too.
my ($subscriber, $standby, $dump) = $mf->copies($node, $sandbox, conf => $conf, %quick,
	subscriber => 'CREATE EXTENSION myfatoorah_billing; DELETE FROM mf_reaction; DELETE FROM mf_route');
like($standby->safe_psql('postgres', q{SELECT hint FROM mf_check() WHERE item = 'sending'}), qr/^On the primary, because this server is a standby: .*mf_resume\('\*'\)/, 'mf_check() on a standby says where its call can be made');
sql(q{CREATE FUNCTION fails(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS 'SELECT 1'; SELECT mf_on_change('fails(mf_invoice,mf_invoice)');
	INSERT INTO mf_reaction_queue (function, invoice, old_row, new_row, failures, due, error) SELECT 'public.fails', id, to_jsonb(i), to_jsonb(i), 1, 'infinity', 'on purpose' FROM mf_invoice i LIMIT 1});
$mf->wait_for($standby, 'postgres', q{SELECT hint FROM mf_check() WHERE item = 'reactions' AND detail ~ 'on purpose'}, 'On the primary, because this server is a standby: The changes are recorded; mf_reaction_backlog shows those that wait. Correct the function. It is called again after growing delays, and at once after mf_resume().');
sql(q{SELECT mf_off_change('fails')});
# no trigger tells that these rows came from elsewhere
sql('CREATE DATABASE untriggered');
$mf->setup_account($node, 'untriggered', $sandbox, %quick);
$node->safe_psql('untriggered', 'CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, 'untriggered');
$node->command_ok([ 'pg_restore', '-e', '-a', '--disable-triggers', '-d', $node->connstr('untriggered'), $dump ], 'also without triggers');
my $sent = $sandbox->invoices;

# Bills come before invoices; what is paused then says of both who must not go on, and counts as a copy that awaits a decision.
is($node->safe_psql('restored', q{SELECT paused_by, reason FROM mf_account WHERE account = '*'}), 'restore|invoices were restored; the server they come from may send them and ask about them, too; paused before by myfatoorah_billing: bills were restored; the server they come from must not send invoices for them any more', 'invoices that come after bills');
sql('CREATE DATABASE only_bills');
$node->safe_psql('only_bills', 'CREATE EXTENSION myfatoorah; CREATE EXTENSION myfatoorah_billing');
$node->command_ok([ 'pg_restore', '-e', '-a', '-t', 'mf_bill', '-d', $node->connstr('only_bills'), $dump ], 'bills alone');
like($node->safe_psql('only_bills', q{SELECT reason FROM mf_account WHERE account = '*'}), qr/^bills were restored; the server they come from must not send invoices for them any more/, 'say who must not go on');
sql('DROP DATABASE only_bills');

# The worker of that database has done all that it does
sub looked
{
	my ($where, $db) = @_;

	$where->safe_psql($db, q{INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at) VALUES ('Ahmad', 1, 'look', now() + interval '1 day')});
	$mf->wait_worker($where, $db);
	return $mf->wait_idle($where, $db);
}

my @copies = ([ $node, 'restored', 'restored' ], [ $node, 'untriggered', 'without triggers' ], [ $subscriber, 'postgres', 'subscriber' ], [ $standby, 'postgres', 'promoted' ]);
foreach my $copy (@copies)
{
	my ($where, $db, $what) = @$copy;

	$where->safe_psql($db, 'SELECT setval(oid::regclass, 1000000) FROM pg_class WHERE relkind = \'S\' AND relname LIKE \'mf_%\'') if $what eq 'subscriber';
	# as if nobody had paused it
	$where->safe_psql($db, q{DELETE FROM mf_account WHERE account = '*'}) if $what eq 'subscriber';
	$where->safe_psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())}) if $db eq 'untriggered';
	looked($where, $db), ticked($where, $db, $what), visited($where, $db, $what) if $what ne 'promoted';
	is($where->safe_psql($db, $books), '3|4|0|1|3', "$what: nobody is billed or reminded");
	is(scalar($sandbox->invoices), $sent, "$what: and nothing is sent");
}

$mf->wait_for($node, 'untriggered', q{SELECT paused_by || ': ' || reason FROM mf_account WHERE account = '*'}, 'restore: rows of another database were brought here; that may call the same functions, and bill the same');

# What has not been called for long may wait for that decision.
$node->safe_psql('restored', q{SELECT mf_call_at('public.mf_billing_tick', now()); UPDATE mf_reaction_queue SET changed_at = now() - interval '1 hour', due = now() - interval '1 hour'});
like($node->safe_psql('restored', q{SELECT hint FROM mf_check() WHERE item = 'reactions'}), qr/the database was restored here and mf_resume\('\*'\) not called since/, 'restored: mf_check() says why no function is called');

# The original is gone, and each copy is told to go on
$mf->unsubscribe($subscriber);
$standby->promote;
$mf->wait_worker($standby, 'postgres');
ticked($standby, 'postgres', 'promoted');
visited($standby, 'postgres', 'promoted');
is($standby->safe_psql('postgres', $books), '3|4|0|1|3', 'promoted: it is paused as its primary was');
foreach my $copy (@copies)
{
	my ($where, $db, $what) = @$copy;
	my $before = $sandbox->invoices;

	$where->safe_psql($db, q{SELECT mf_resume('*')});
	$mf->wait_for($where, $db, q{SELECT count(*) FROM mf_plan_period}, 1);
	$mf->wait_for($where, $db, q{SELECT count(*) FROM mf_reminder}, 2);
	$mf->wait_for($where, $db, q{SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE i.status = 'sent'}, 4);
	$mf->wait_for($where, $db, q{SELECT count(*) FROM mf_reaction_queue WHERE due <= now()}, 0);
	is($where->safe_psql($db, $books), '4|7|1|2|4', "$what: then the period has one bill, one link is renewed, and one bill reminded of");
	is(scalar($sandbox->invoices) - $before, 3, "$what: by three invoices");
	is($where->safe_psql($db, q{SELECT string_agg(DISTINCT bill_key || ' ' || status, ', ' ORDER BY bill_key || ' ' || status) FROM mf_bill WHERE bill_key LIKE 'rent%'}), 'rent/1 open', "$what: the period has its key");
	$where->safe_psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())});
	$mf->wait_for($where, $db, q{SELECT count(*) FROM mf_reaction_queue WHERE due <= now()}, 0);
	is($where->safe_psql($db, $books), '4|7|1|2|4', "$what: and no more by the next tick");
	is($where->safe_psql($db, q{SELECT string_agg(item, ' ') FROM mf_check_billing('myfatoorah') WHERE NOT ok}) , '', "$what: nothing is wrong");
}

$_->stop for $subscriber, $standby, $node;
done_testing();
