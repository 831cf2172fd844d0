# A promoted server, or one recovered to an earlier point, does not know what the primary before it did last: a period that was due before the
# promotion is not billed twice, nobody is reminded twice, and mf_check() tells. What is new goes on; the rest once a person has decided.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', init => { allows_streaming => 1 }, conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '1d'");
my $db = 'postgres';

# no day ends meanwhile: the bill is due today, and reminded of from 00:01 on
$mf->setup_account($node, $db, $sandbox, options => { time_zone => $mf->noon_zone($node) });
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, $db);
sql(q{INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}');
	INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via) VALUES ('today', 0, '00:01', 'event');
	INSERT INTO mf_bill (customer_name, customer_email, total, bill_key, due_date) VALUES ('Ahmad', 'a@example.com', 10, 'reminded', mf_local_day('myfatoorah', now()));
	INSERT INTO mf_plan (plan_key, template, starts_on, parts) SELECT 'parts', '{"customer_name": "Sara", "customer_email": "s@example.com", "total": 10, "notification_option": "EML"}', mf_local_day('myfatoorah', now()) + 10, 3;
	INSERT INTO mf_plan (plan_key, template, starts_on, every) SELECT k, '{"customer_name": "Huda", "total": 7}', mf_local_day('myfatoorah', now()) + 10, '1 month' FROM unnest('{lost,seized,ended}'::text[]) k;
	SELECT mf_end_plan(id, NULL, 'x') FROM mf_plan WHERE plan_key = 'ended';
	INSERT INTO mf_plan (plan_key, template, starts_on, parts) SELECT k, '{"customer_name": "Dana", "total": 9}', mf_local_day('myfatoorah', now()) + 10, 3 FROM unnest('{paused}'::text[]) k;
	SELECT mf_pause_plan(id, 'x') FROM mf_plan WHERE plan_key = 'paused';
	INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('rent', '{"customer_name": "Ahmad", "customer_email": "a@example.com", "total": 10, "notification_option": "EML"}', mf_local_day('myfatoorah', now()) + 10, '1 month')});
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 1);

# All of it is due, and the backup is made before anything of it is done.
sql("ALTER DATABASE $db SET myfatoorah.worker_enabled = off");
$mf->wait_no_worker($node, $db);
my $due = q{BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_bill SET created_at = now() - interval '2 days', send_at = now() - interval '2 days'; UPDATE mf_reminder_rule SET since = now() - interval '2 days';
	INSERT INTO mf_reminder_queue (bill, due, asked_since) SELECT id, now(), now() FROM mf_bill ON CONFLICT (bill) DO UPDATE SET due = now();
	UPDATE mf_plan SET starts_on = starts_on - 10, anchor_on = anchor_on - 10, next_on = next_on - 10, next_at = CASE status WHEN 'active' THEN now() END, at_time = '00:01', created_at = now() - interval '2 days' WHERE status <> 'ended';
	SELECT mf_call_at('public.mf_billing_tick', now()); COMMIT};
sql($due);
sql(q{INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('Hassan', 1, now() + interval '1 day')});
$node->backup('backup');
sql("ALTER DATABASE $db RESET myfatoorah.worker_enabled");
my $done = q{SELECT (SELECT count(*) FROM mf_plan_period), (SELECT count(*) FROM mf_reminder), (SELECT count(*) FROM mf_invoice WHERE status = 'sent')};
$mf->wait_for($node, $db, $done, '4|1|5');
$node->stop;
my $sent = $sandbox->invoices;

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup');
$standby->set_standby_mode;
$mf->write_key($standby, $sandbox->key);
$standby->start;
is($standby->safe_psql($db, q{SELECT count(*) FROM mf_check() WHERE item = 'copy'}), 0, 'a standby that has what its primary is to send is no copy');
$standby->promote;
$standby->safe_psql($db, "ALTER DATABASE $db RESET myfatoorah.worker_enabled");
$mf->wait_worker($standby, $db);
$mf->wait_for($standby, $db, 'SELECT count(promoted_at) FROM mf_identity', 1);
$standby->safe_psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())});
$mf->wait_for($standby, $db, 'SELECT count(*) FROM mf_reaction_queue WHERE due <= now()', 0);
$mf->wait_for($standby, $db, q{SELECT count(*) FROM mf_reminder_queue WHERE error = 'the reminder was due before this server was promoted, and may have been sent'}, 1);
is($standby->safe_psql($db, $done), '0|0|1', 'what was due before is neither billed nor said');
is(scalar($sandbox->invoices), $sent, 'and nobody has a second invoice');
is($standby->safe_psql($db, q{SELECT string_agg(item, ' ' ORDER BY item) FROM mf_check() WHERE NOT ok AND item IN ('plans', 'promoted', 'reminders')}), 'promoted reminders', 'mf_check() tells of both, once');

is($standby->safe_psql($db, q{CREATE ROLE clerk IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk; SET ROLE clerk; SELECT count(*) FROM mf_check() WHERE item = 'promoted'}), 1, 'to those, too, who may only insert');

# What is new is nobody else's.
$standby->safe_psql($db, q{INSERT INTO mf_plan (plan_key, template, starts_on, every, at_time, times) VALUES ('new', '{"customer_name": "Noura", "total": 5}', mf_local_day('myfatoorah', now()), '1 month', '00:01', 1)});
$mf->wait_for($standby, $db, $done, '1|0|2');
$standby->safe_psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())});
$mf->wait_for($standby, $db, 'SELECT count(*) FROM mf_reaction_queue WHERE due <= now()', 0);
is($standby->safe_psql($db, $done), '1|0|2', 'a new plan goes on, the other one waits');

# As the hint says: the customers of two plans have the invoice, so their periods are passed over; the third one is billed by the decision of a person.
my $hint = $standby->safe_psql($db, q{SELECT hint FROM mf_check() WHERE item = 'promoted'});
my ($named) = $hint =~ /^(SELECT id FROM mf_plan WHERE .*?) names them/;
my ($passes) = $hint =~ /SELECT (mf_resume_plan\(plan, reason, 'none'\))/;
is($standby->safe_psql($db, "SELECT string_agg(plan_key, ' ' ORDER BY plan_key) FROM mf_plan WHERE id IN ($named)"), 'lost parts rent seized', 'the hint names the plans that wait');
like($standby->safe_psql($db, q{SELECT detail FROM mf_check() WHERE item = 'promoted'}), qr/^Plans with a period that was due before this server was promoted, at .*: 4; one is plan/, 'and no plan that has ended');
my $pass = sub { my ($key, $role) = @_; my $call = $passes =~ s/plan, reason/id, 'was billed'/r; return ($standby->psql($db, ($role // '') . "SELECT $call FROM mf_plan WHERE plan_key = '$key'"))[2]; };
like(($standby->psql($db, q{SELECT mf_resume_plan(id, 'x') FROM mf_plan WHERE plan_key = 'rent'}))[2],
	qr/plan \d+ waits for mf_resume\('\*'\), because a period of it was due before.*HINT:.*mf_resume_plan\(\d+, reason, 'none'\)/s, 'a plan that waits is not said to bill');
like($pass->('lost', 'SET ROLE clerk; '), qr/permission denied for plan \d+/, 'not by everybody');
like($pass->($_), qr/NOTICE:  periods that were due before the promotion and will be billed: 0; that are passed over: 1/, "$_: what was due before is passed over") foreach 'lost', 'parts';
like($pass->('lost'), qr/ERROR:  plan \d+ is active, not paused/, 'once');
is($standby->safe_psql($db, q{SELECT plan_key, t.skipped, t.value, next_number, next_at > now(), h.reason FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id JOIN mf_plan_history h ON h.plan = p.id WHERE t.skipped = 'lost' ORDER BY plan_key}),
	"lost|lost|7.000|2|t|was billed\nparts|lost|3.334|2|t|was billed", 'as billed, and the history has the reason');
is($standby->safe_psql($db, q{SELECT array_agg(v.value) FROM mf_plan p, mf_plan_preview(p.id) v WHERE plan_key = 'parts'}), '{3.333,3.333}', 'so that parts still add up');
like(($standby->psql($db, q{SELECT mf_resume_plan(id, 'x', 'all') FROM mf_plan WHERE plan_key = 'paused'}))[2], qr/plan \d+ waits for mf_resume/, 'nor is a paused one that would wait said to bill');
like($pass->('paused'), qr/NOTICE:  periods that fell into the pause and will be billed: 0; that are passed over: 1/, 'its period is passed over, too');
is($standby->safe_psql($db, q{SELECT p.status, t.skipped, t.value, next_number, (SELECT array_agg(v.value) FROM mf_plan_preview(p.id) v), (SELECT array_agg(h.reason ORDER BY h.id) FROM mf_plan_history h WHERE h.plan = p.id) FROM mf_plan p JOIN mf_plan_period t ON t.plan = p.id WHERE plan_key = 'paused'}),
	'active|lost|3.000|2|{3.000,3.000}|{x,"was billed"}', 'as billed, so that its parts add up');
like(($standby->psql($db, q{SELECT mf_end_plan(id, NULL, 'moved out') FROM mf_plan WHERE plan_key = 'seized'}))[2], qr/will be billed: 1.*mf_pause_plan/s, 'a plan can be ended, too');
$standby->safe_psql($db, q{SELECT mf_pause_plan(id, 'moved out'), mf_resume_plan(id, 'moved out', 'none') FROM mf_plan WHERE plan_key = 'seized'});

$standby->safe_psql($db, q{SELECT mf_resume('*'); UPDATE mf_reminder_queue SET due = now()});
$standby->safe_psql($db, q{SELECT mf_call_at('public.mf_billing_tick', now())});
$mf->wait_for($standby, $db, $done, '6|1|3');
is($standby->safe_psql($db, q{SELECT string_agg(bill_key, ' ' ORDER BY bill_key) FROM mf_bill WHERE bill_key LIKE '%/%'}), 'new/1 rent/1', 'nobody whose period was passed over is billed twice');
is(scalar($sandbox->invoices), $sent + 2, 'nor has another invoice');
is($standby->safe_psql($db, q{SELECT count(*) FROM mf_check() WHERE item = 'promoted'}), 0, 'until a person has decided');
$standby->stop;
done_testing();
