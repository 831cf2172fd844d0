# mf_metrics(), mf_request_times(), mf_backlog's rate and mf_progress: what is counted is what the stand-in and the tables say.
use MyFatoorah::Test qw(sql);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_rate_limit = 0");
my $db = 'postgres';
my $port = $web->free_port;

# metric(name, column => value, ...): its value; '' if there is no such row
sub metric
{
	my ($name, %is) = @_;

	return sql("SELECT value FROM mf_metrics() WHERE name = '$name'" . join '', map { " AND $_ = '$is{$_}'" } sort keys %is);
}

sub wait_metric
{
	my ($expected, $name, %is) = @_;

	return $mf->wait_for($node, $db, "SELECT value FROM mf_metrics() WHERE name = '$name'" . join('', map { " AND $_ = '$is{$_}'" } sort keys %is), $expected);
}

#
# Before there is a worker, and who may read
#
sql('CREATE EXTENSION myfatoorah');
$mf->setup_account($node, $db, $sandbox, options => { timeout => '2s', connect_timeout => '1s' });
$web->give_secret($node, $db);
$mf->wait_worker($node, $db);
sql(q{CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE stranger LOGIN});
foreach my $source ('mf_metrics()', 'mf_request_times()', 'mf_metrics_backlog', 'mf_metrics_attention', 'mf_progress', 'mf_progress_stat()')
{
	is(($node->psql($db, "SET ROLE watcher; SELECT count(*) >= 0 FROM $source"))[1], 't', "$source: a role with pg_monitor reads it");
	like(($node->psql($db, "SET ROLE stranger; SELECT count(*) FROM $source"))[2], qr/permission denied/, 'another does not');
}
like(($node->psql($db, "SET ROLE watcher; SELECT count(*) FROM $_"))[2], qr/permission denied/, "nor does pg_monitor read $_")
  for 'mf_invoice', 'mf_backlog', 'mf_review', 'mf_account', 'mf_queue';

is(metric('worker_up'), 1, 'the worker is up');
is(metric('worker_starts'), 1, 'and has been started once');
is(metric('worker_crashes'), 0, 'and has not crashed');
cmp_ok(metric('rounds', result => 'done'), '>', 0, 'rounds are counted');
is(sql('SELECT count(DISTINCT since), bool_and(since <= now()) FROM mf_metrics()'), '1|t', 'all metrics have the same start');

#
# Outcomes: those of the stand-in, each once
#
$sandbox->faults(
	{ path => 'SendPayment', reference_prefix => 'refused.', status => 400, body => '{"IsSuccess":false,"ValidationErrors":[{"Name":"InvoiceValue","Error":"too small"}],"Data":null}' },
	{ path => 'SendPayment', reference_prefix => 'lost.', reset_answer_at => 0, create => JSON::PP::true });
$mf->insert_many($node, $db, 'good', 20);
$mf->insert($node, $db, $_) for 'refused', 'lost';
$mf->wait_status($node, $db, 'refused', 'rejected');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", '21');
sub counted
{
	my ($kind) = @_;

	return sql("SELECT string_agg(result || ' ' || value, ', ' ORDER BY result) FROM mf_metrics() WHERE name = 'requests' AND account = 'myfatoorah' AND kind = '$kind' AND value > 0");
}
my $outcomes = sql("SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome) FROM (SELECT outcome, count(*) n FROM mf_attempt GROUP BY outcome) a");
$mf->wait_idle($node, $db);
is(counted('send'), $outcomes, 'as many as mf_attempt has');
like($outcomes, qr/^accepted 20, rejected 1, unknown 1$/, 'which are these');
is(metric('requests', kind => 'send', result => 'not_sent'), 0, 'an outcome that did not occur is 0, and there');
my $lookups = metric('requests', kind => 'lookup', result => 'answered');
cmp_ok($lookups, '>=', 1, 'the lost one was looked up');
is($lookups, $sandbox->count(path => '/v2/GetPaymentStatus'), 'as often as the stand-in was asked');

#
# Times of answers: cumulative, of all answers
#
is(sql("SELECT max(requests) FROM mf_request_times() WHERE kind = 'send' AND le = 'Infinity'"), 21, 'all answers have a time');
is(sql(q{SELECT bool_and(requests >= before) FROM (SELECT requests, lag(requests, 1, 0::bigint) OVER (PARTITION BY kind ORDER BY le) AS before FROM mf_request_times()) t}),
	't', 'buckets are cumulative');
is(sql("SELECT count(DISTINCT kind), count(*) / count(DISTINCT kind) FROM mf_request_times()"), '6|13', 'six histograms of thirteen buckets');
# how many took longer than half a second: a busy machine has some of its own
my $slow = sub { return sql("SELECT max(requests) FILTER (WHERE le = 'Infinity') - max(requests) FILTER (WHERE le = 0.5) FROM mf_request_times() WHERE kind = 'send'") };
my $had = $slow->();
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'slow.', delay_ms => 700 });
$mf->insert($node, $db, 'slow');
$mf->wait_status($node, $db, 'slow');
is($slow->(), $had + 1, 'a slow one is in the bucket of its time');
cmp_ok(sql("SELECT max(seconds) FROM mf_request_times() WHERE kind = 'send'"), '>', 0.7, 'and in the sum');
cmp_ok(sql("SELECT max(requests) FROM mf_request_times() WHERE kind = 'connect'"), '>=', 1, 'connections have a time');
sql(q{SELECT * FROM mf_send_payment('Direct', 1.25)});
is(sql("SELECT max(requests) FROM mf_request_times() WHERE kind = 'direct'"), 1, 'direct calls have a time');

#
# Attempts after the first, rate and estimated end
#
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'again.', status => 429 });
$mf->insert($node, $db, 'again');
$mf->wait_status($node, $db, 'again');
wait_metric(1, 'retries', account => 'myfatoorah');
cmp_ok(metric('rate', account => 'myfatoorah', kind => 'send'), '>', 0, 'invoices are done at a rate');
sql(q{SELECT mf_pause('myfatoorah')});
$mf->insert_many($node, $db, 'waiting', 30);
is(sql("SELECT due_invoices, per_second > 0, estimated_end FROM mf_backlog WHERE kind = 'send'"), '30|t|', 'while paused there is no end');
is(sql(q{SELECT account, kind, invoices, due_invoices, oldest_due_seconds >= 0 FROM mf_metrics_backlog}), 'myfatoorah|send|30|30|t', 'a monitor sees the backlog');
is(sql('SELECT paused_accounts, review_invoices FROM mf_metrics_attention'), '1|0', 'mf_metrics_attention counts the paused account');
$sandbox->hang;
sql(q{ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '1'); SELECT mf_resume('myfatoorah')});
ok($mf->wait_for($node, $db, "SELECT estimated_end > now() AND estimated_end < now() + interval '1 hour' FROM mf_backlog WHERE kind = 'send'"), 'else the end is estimated');
$sandbox->clear_faults;
sql(q{ALTER SERVER myfatoorah OPTIONS (DROP max_in_flight)});

#
# The listener
#
$web->open($node, $db, $port);
my $id = sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'good-1'");
my ($body, $headers) = $web->v2(invoice => $id);
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 200, 'a webhook is taken');
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 200, 'the same webhook is taken again');
($body, $headers) = $web->v2(invoice => $id, secret => 'guessed');
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 401, 'a forged webhook is refused');
$web->get("http://127.0.0.1:$port/nowhere");
wait_metric(2, 'webhooks');
wait_metric(1, 'webhooks_repeated');
wait_metric(1, 'refusals', result => 'unsigned');
wait_metric(1, 'refusals', result => 'unknown_path');
is(sql("SELECT sum(value) FROM mf_metrics() WHERE name = 'refusals'"), 2, 'each refusal is of one kind');

#
# Functions of mf_on_change()
#
sql(q{CREATE FUNCTION told(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN IF new.customer_reference = 'bad' THEN RAISE 'no'; END IF; END $$; SELECT mf_on_change('told(mf_invoice, mf_invoice)')});
$mf->wait_settled($node, $db);
my $done = metric('reactions', result => 'done');
$mf->insert($node, $db, 'told');
$mf->wait_for($node, $db, "SELECT value > $done FROM mf_metrics() WHERE name = 'reactions' AND result = 'done'");
is(metric('reactions', result => 'failed'), 0, 'calls that succeed are counted');
$mf->insert($node, $db, 'bad');
$mf->wait_for($node, $db, "SELECT value > 0 FROM mf_metrics() WHERE name = 'reactions' AND result = 'failed'");
$mf->wait_for($node, $db, 'SELECT failing_reactions > 0 FROM mf_metrics_attention');
sql(q{SELECT mf_off_change('told(mf_invoice, mf_invoice)')});

#
# A worker that crashes is counted, and one that is ended is not; counters go on
#
my $before = metric('requests', kind => 'send', result => 'accepted');
my $starts = metric('worker_starts');
my $pid = $mf->wait_worker($node, $db);
sql('SELECT pg_terminate_backend(pid) FROM mf_worker_status');
$pid = $mf->wait_worker($node, $db, not => $pid);
is(metric('worker_starts'), $starts + 1, 'an ended worker is started again');
is(metric('worker_crashes'), 0, 'and has not crashed');
is(metric('requests', kind => 'send', result => 'accepted'), $before, 'its counters go on');

#
# Progress: seen from another session while it runs
#
sql(q{SELECT mf_pause('*')});
# make_old(): cancels what is queued, as if it had been inserted long ago
sub make_old { return sql(q{SELECT mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE status = 'queued'), 'over');
	SET session_replication_role = replica; UPDATE mf_invoice SET created_at = now() - interval '40 days' WHERE status = 'cancelled'}); }
$mf->insert_many($node, $db, 'old', 5);
make_old();
my $old = sql("SELECT count(*) FROM mf_invoice WHERE status = 'cancelled'");
sql(q{
	CREATE FUNCTION wait_at_archive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(78); RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER INSERT ON mf_archive_key FOR EACH STATEMENT EXECUTE FUNCTION wait_at_archive()});
my $holder = $mf->session($node, $db);
$holder->query_safe('SELECT pg_advisory_lock(78)');
my $archive = $mf->session($node, $db);
$archive->query_until(qr/begun/, "\\echo begun\nSELECT mf_archive(current_date - 1, 500);\n");
$mf->wait_for($node, $db, 'SELECT command, unit, done, total, pid <> pg_backend_pid() FROM mf_progress', 'archive|invoices|0|500|t');
$holder->query_safe('SELECT pg_advisory_unlock(78)');
$archive->quit;
is(sql('SELECT count(*) FROM mf_progress'), 0, 'when it is over it is not shown any more');
is(sql('SELECT count(*) FROM mf_invoice_all WHERE archived_at IS NOT NULL'), $old, 'all cancelled invoices were archived');

# one that fails, in a session that goes on
sql('CREATE OR REPLACE FUNCTION wait_at_archive() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE $e$no$e$; END $$');
$mf->insert($node, $db, 'old too');
make_old();
like($node->safe_psql($db, "\\set ON_ERROR_STOP off\nSELECT mf_archive(current_date - 1);\nSELECT count(*) FROM mf_progress;"), qr/^0$/, 'a call that has failed leaves nothing behind');
sql('DROP TRIGGER slow ON mf_archive_key');

# repair, by steps
$holder->query_safe('BEGIN');
$holder->query_safe('LOCK TABLE mf_queue');
my $repair = $mf->session($node, $db);
$repair->query_until(qr/begun/, "\\echo begun\nSELECT * FROM mf_repair();\n");
$mf->wait_for($node, $db, 'SELECT command, unit, done, total FROM mf_progress_stat()', 'repair|steps|0|6');
$holder->query_safe('COMMIT');
$repair->quit;
is(sql('SELECT count(*) FROM mf_progress'), 0, 'steps of a repair are seen, until it is over');

# the look-ups after a promotion or a restore
sql(q{SELECT mf_resume('*'); SELECT mf_pause('myfatoorah')});
$mf->insert_many($node, $db, 'restored', 3);
sql(q{UPDATE mf_queue SET kind = 'verify' WHERE invoice IN (SELECT id FROM mf_invoice WHERE customer_name ~ '^restored')});
is(sql('SELECT command, unit, total FROM mf_progress'), 'look-ups|invoices|3', 'look-ups that are left');
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_progress', '0');

#
# Reset by a restart of the server, as it says
#
my $since = sql('SELECT max(since) FROM mf_metrics()');
$node->restart;
$mf->wait_worker($node, $db);
is(sql("SELECT max(since) > '$since' FROM mf_metrics()"), 't', 'a restart begins anew');
is(metric('worker_starts'), 1, 'with the worker of this start');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
