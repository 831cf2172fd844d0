# Plans with a running worker: bills are made when they are due and at no other time, after downtime as catch_up says, once each
# whatever is killed and however many ticks there are; dumps carry plans, and they go on; what is not due costs nothing.
use MyFatoorah::Test qw(sql wait_for);

use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $template = q{'{"customer_name": "Ahmad", "total": 10}'};

# Of all plans: periods without a bill or with that of another, numbers left out, bills of no period, bills with two live links, errors
sub faults
{
	return sql(q{SELECT (SELECT count(*) FROM mf_plan_period t LEFT JOIN mf_bill b ON b.id = t.bill WHERE t.skipped IS NULL AND (b.total IS DISTINCT FROM t.value OR b.bill_key NOT LIKE '%/' || t.number)),
		(SELECT count(*) FROM mf_plan p WHERE next_number - 1 <> (SELECT count(*) FROM mf_plan_period t WHERE t.plan = p.id)),
		(SELECT count(*) FROM mf_bill b WHERE NOT EXISTS (SELECT FROM mf_plan_period t WHERE t.bill = b.id)),
		(SELECT count(*) FROM (SELECT FROM mf_link WHERE live GROUP BY bill HAVING count(*) > 1) t),
		(SELECT count(*) FROM mf_plan WHERE last_error IS NOT NULL)});
}

my $zone = $mf->noon_zone($node);
$mf->setup_account($node, $db, $sandbox, options => { time_zone => $zone });
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, $db);

#
# Due now, due in a moment
#
my $session = $mf->session($node, $db);
$session->query_safe('LISTEN mf_bill');
sql("INSERT INTO mf_plan (plan_key, template, starts_on, every, times, at_time) VALUES ('now', $template, mf_local_day('myfatoorah', now()), '1 month', 2, '00:01')");
my $plan = sql("SELECT id FROM mf_plan WHERE plan_key = 'now'");
wait_for("SELECT count(*) FROM mf_plan_period WHERE plan = $plan", 1);
my $bill = sql("SELECT bill FROM mf_plan_period WHERE plan = $plan");
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill", 'sent');
pass('what is due is billed at once, and its link sent');
my $notified = $session->query("SELECT 'x'") . ($session->{stdout} // '');
like($notified, qr/payload "\{"plan": $plan\}"/, 'plans are notified');
like($notified, qr/payload "\{"bill": $bill\}"/, 'and their bills');
$session->quit;

sql("INSERT INTO mf_plan (plan_key, template, starts_on, every, times, at_time) SELECT 'soon', $template, t::date, '1 day', 1, t::time FROM (SELECT (now() + interval '3 s') AT TIME ZONE '$zone' AS t) s");
wait_for("SELECT count(*) FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan WHERE p.plan_key = 'soon'", 1);
is(sql("SELECT p.status, t.made_at >= (lower(t.period) + p.at_time) AT TIME ZONE '$zone' FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan WHERE p.plan_key = 'soon'"),
	'ended|t', 'what is due later is billed then, by itself, and not before');

#
# A week of downtime: the server is down while periods become due
#
sql("INSERT INTO mf_plan (plan_key, template, starts_on, every, times, at_time, catch_up) SELECT c || n, $template, mf_local_day('myfatoorah', now()) + 1, '1 day', 8, '00:01', c FROM unnest('{all,one,none}'::text[]) c, generate_series(1, 10) n");
# as if it had been inserted eight days ago
$node->stop('fast');
$node->start;
sql(q{SET ROLE myfatoorah_billing; UPDATE mf_plan SET starts_on = starts_on - 8, anchor_on = anchor_on - 8, next_on = next_on - 8, next_at = next_at - interval '8 days' WHERE plan_key ~ '^(all|one|none)'; SELECT mf_billing_wake(now())});
wait_for(q{SELECT count(*) FROM mf_plan WHERE plan_key ~ '^(all|one|none)' AND status = 'ended'}, 30);
is(sql(q{SELECT p.catch_up, count(DISTINCT p.id), min(x.bills), max(x.bills), min(x.skipped), max(x.skipped), min(x.last), max(x.last) FROM mf_plan p, LATERAL (SELECT count(t.bill) AS bills, count(t.skipped) AS skipped, max(t.number) FILTER (WHERE t.bill IS NOT NULL) AS last FROM mf_plan_period t WHERE t.plan = p.id) x
	WHERE p.plan_key ~ '^(all|one|none)' GROUP BY 1 ORDER BY 1}), "all|10|8|8|0|0|8|8\nnone|10|1|1|7|7|8|8\none|10|1|1|7|7|8|8", 'after a week: all of the periods, the last one, only that of today');
is(sql(q{SELECT count(*) FROM (SELECT lower(t.period) < lag(lower(t.period)) OVER (ORDER BY t.made_at, t.bill) AS back FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan WHERE p.catch_up = 'all' AND p.plan_key LIKE 'all%') x WHERE back}), 0, 'oldest first');
is(faults(), '0|0|0|0|0', 'each period once');

#
# Killed at any moment, with other ticks beside the worker's
#
my ($plans, $periods) = (40, 25);
sql("INSERT INTO mf_plan (plan_key, template, starts_on, every, times, at_time) SELECT 'k' || n, $template, mf_local_day('myfatoorah', now()) - $periods, '1 day', $periods, '00:01' FROM generate_series(1, $plans) n");
my $rounds = 0;
my $tick = q{SET ROLE myfatoorah_billing; DO $$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM mf_tick_plans(now(), 7); COMMIT; END LOOP; END $$};
while (sql(q{SELECT count(*) FROM mf_plan WHERE plan_key LIKE 'k%' AND status <> 'ended'}) > 0 && $rounds < 200)
{
	my $made = sql('SELECT count(*) FROM mf_plan_period');
	my @others = map { IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr($db), '-c', $tick ], '<', \undef, '>', \my $out, '2>', \my $err) } 1 .. 2;

	# once some were made, all processes of the server are gone
	$node->poll_query_until($db, "SELECT count(*) > $made + 30 OR NOT EXISTS (SELECT FROM mf_plan WHERE plan_key LIKE 'k%' AND status <> 'ended') FROM mf_plan_period");
	$node->stop('immediate');
	$_->finish for @others;
	$node->start;
	$rounds++;
}
cmp_ok($rounds, '>', 3, "$rounds times killed");
is(sql(q{SELECT count(*), count(DISTINCT t.bill), count(DISTINCT b.bill_key), sum(b.total) FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan JOIN mf_bill b ON b.id = t.bill WHERE p.plan_key LIKE 'k%'}),
	join('|', ($plans * $periods) x 3, $plans * $periods * 10 . '.000'), 'each of ' . $plans * $periods . ' periods is billed once');
is(faults(), '0|0|0|0|0', 'and all fits');

#
# Dumps
#
sql("ALTER SERVER myfatoorah OPTIONS (DROP time_zone)");
sql("INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('later', $template, '2095-01-31', '1 month', 3)");
sql("UPDATE mf_plan SET template = template || '{\"total\": 11}' WHERE plan_key = 'later'; SELECT mf_pause_plan(id, 'abroad') FROM mf_plan WHERE plan_key = 'now'; INSERT INTO mf_day_off (day, name) VALUES ('2095-03-31', 'Eid')");
my $content = q{SELECT md5(string_agg(t::text, E'\n' ORDER BY t.id)) FROM mf_plan t UNION ALL SELECT md5(string_agg(t::text, E'\n' ORDER BY t.plan, t.number)) FROM mf_plan_period t UNION ALL SELECT md5(string_agg(t::text, E'\n' ORDER BY t.id)) FROM mf_plan_history t UNION ALL SELECT md5(string_agg(t::text, E'\n' ORDER BY t.day)) FROM mf_day_off t};
my ($reader, $snapshot) = $mf->snapshot($node, $db);
my $before = $reader->query_safe($content);
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', $snapshot, '-f', $dump, $node->connstr($db) ], 'pg_dump');
$reader->quit;
sql('CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'and psql restore it');
is($node->safe_psql('restored', $content), $before, 'plans, periods, history and days off are the same');
$node->safe_psql('restored', q{SELECT mf_resume('*')});
is($node->safe_psql('restored', q{SET ROLE myfatoorah_billing; SELECT mf_tick_plans('2095-02-28 12:00+03', 10) IS NOT NULL; SELECT string_agg(concat_ws(' ', t.number, t.period, b.total), ', ' ORDER BY t.number) FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan JOIN mf_bill b ON b.id = t.bill WHERE p.plan_key = 'later'}),
	"t\n1 [2095-01-31,2095-02-28) 11.000, 2 [2095-02-28,2095-03-31) 11.000", 'and plans go on');
sql('DROP DATABASE restored');

#
# What is not due costs nothing; what is due is bounded
#
sql('SELECT mf_pause()');
my $start = time;
sql("INSERT INTO mf_plan (plan_key, template, starts_on, every) SELECT 'many ' || n, $template, date '2096-01-01' + n % 28, '1 month' FROM generate_series(1, 10000) n");
my $inserted = time - $start;
sql('ANALYZE mf_plan');
my $explained = sql(q{SET ROLE myfatoorah_billing; EXPLAIN SELECT t.id FROM mf_plan t WHERE t.next_at <= now() ORDER BY t.next_at, t.id LIMIT 50 FOR NO KEY UPDATE SKIP LOCKED});
like($explained, qr/Index Scan using mf_plan_next_idx/, 'the tick reads what is due') or diag($explained);
unlike($explained, qr/Seq Scan|Sort/, 'and no more');
$start = time;
sql('SET ROLE myfatoorah_billing; SELECT mf_tick_plans(now(), 50)');
my $idle = time - $start;
$start = time;
# few enough for a busy machine: a tick also ends after a quarter of myfatoorah.on_change_timeout
is(sql(q{BEGIN; SET LOCAL ROLE myfatoorah_billing; SELECT mf_tick_plans('2096-02-01', 10) = '2096-02-01'; SELECT count(*) FROM mf_plan_period WHERE made_at = '2096-02-01'; ROLLBACK}), "t\n10", 'a tick makes no more bills than it is told');
diag(sprintf '10,000 plans inserted in %.2f s; psql and a tick with nothing due %.3f s, with 10 due %.2f s', $inserted, $idle, time - $start);

done_testing();
