# Claims go no further ahead than the slots that become free while they are committed: whatever the API takes for an
# answer, what is claimed leaves, and what waits is seen as "queued".
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };
my $window = 50;

$mf->setup_account($node, 'postgres', $sandbox, options => { max_in_flight => $window, timeout => '30s' });
my $worker = $mf->wait_worker($node, 'postgres');

# No answer comes until it is told to.
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => -1 });
$mf->insert_many($node, 'postgres', 'held', 2 * $window);
$sandbox->wait_count($send, $window) or die "they are not sent\n";
$mf->wait_idle($node, 'postgres', in_flight => $window);
is(sql("SELECT count(*) FROM mf_invoice WHERE status = 'sending'"), $window, 'while all slots are taken and no answer is about to come, nothing else is claimed');
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 2 * $window);

# A new worker knows no answers. They take a second, from the first one on, with a backlog of eight times what may be in flight.
sql("SELECT pg_terminate_backend($worker)");
$mf->wait_worker($node, 'postgres', not => $worker);
$sandbox->faults({ path => 'SendPayment', delay_ms => 1000, times => -1 });
$mf->insert_many($node, 'postgres', 'second', 400);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'second-%' AND status = 'sent'", 400);
is(sql('SELECT outcome, count(*) FROM mf_attempt GROUP BY 1'), 'accepted|' . (2 * $window + 400), 'one attempt for each invoice, which is accepted');
is(sql("SELECT count(*) FROM mf_history WHERE to_status = 'queued' AND from_status IS NOT NULL"), 0, 'no row goes back');

# Quick answers, then none: what was foreseen no longer counts.
$sandbox->clear_faults;
$mf->insert_many($node, 'postgres', 'quick', 200);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'quick-%' AND status = 'sent'", 200);
$sandbox->faults({ path => 'SendPayment', delay_ms => 2000, times => -1 });
$mf->insert_many($node, 'postgres', 'slow', 3 * $window);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'slow-%' AND status = 'sent'", 3 * $window);
cmp_ok(sql("SELECT count(*) FROM mf_attempt WHERE outcome = 'not_sent'"), '<=', $window,
	'an API that becomes slow brings back at most what was claimed for one window');
is(sql("SELECT max(c) FROM (SELECT count(*) AS c FROM mf_attempt GROUP BY invoice) a") <= 2, 1, 'and each row once');
is(sql("SELECT count(DISTINCT invoice_id) FROM mf_invoice WHERE customer_reference LIKE 'slow-%'"), 3 * $window, 'all are sent');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
