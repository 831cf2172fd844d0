# Many accounts: each gets its turn, whatever their number; those with nothing due cost nothing.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--quiet' ]);
my $node = $mf->new_node('main');
my $accounts = 2000;

$mf->setup_account($node, 'postgres', $sandbox, account => 'one');
$mf->wait_worker($node, 'postgres');

sub transactions
{
	return sql('SELECT transactions FROM mf_worker_status');
}

$mf->accounts_like($node, 'postgres', 'one', [ map { "a$_" } 1 .. $accounts ]);

# All have a few invoices, put in by one statement
my $before = transactions();
my $rows = 3 * $accounts;
sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference)
	SELECT 'a' || (1 + n % $accounts), 'x', 1, 'LNK', 'few-' || n FROM generate_series(1, $rows) n");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", $rows);
pass("$accounts accounts send what they have");
cmp_ok(transactions() - $before, '<', $rows / 2, 'in rounds of many accounts');

# Two thousand of them have something to do next year, and one now: nobody else is looked at.
sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference, send_at)
	SELECT 'a' || n, 'x', 1, 'LNK', 'later-' || n, now() + interval '1 year' FROM generate_series(1, $accounts) n");
sub reads
{
	sql('SELECT pg_stat_clear_snapshot()');
	return sql("SELECT pg_stat_get_tuples_returned('mf_queue_rank_idx'::regclass) + pg_stat_get_numscans('mf_queue_rank_idx'::regclass)");
}
# the worker's counts arrive with a commit a second after the latest that were told
for my $n (1 .. 3)
{
	sql('SELECT pg_sleep(1.2)');
	$mf->insert($node, 'postgres', "warm-$n", account => "'one'");
	$mf->wait_status($node, 'postgres', "warm-$n");
}
my $settled = reads();
for my $n (1 .. 20)
{
	$mf->insert($node, 'postgres', "now-$n", account => "'one'");
	$mf->wait_status($node, 'postgres', "now-$n");
}
sql('SELECT pg_sleep(1.2)');
$mf->insert($node, 'postgres', 'last', account => "'one'");
$mf->wait_status($node, 'postgres', 'last');
my $cost = (reads() - $settled) / 20;
cmp_ok($cost, '<', 100, 'the index is read for the account that has something to do, not for each');
note("entries read for an invoice: $cost");

# Nor does each round of questions look at all of them: looks take a part of the time only.
my $probes = "SELECT pg_stat_get_numscans('mf_inquiry_urgent_idx'::regclass)";
my $id = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'last'");
my $probed = sql($probes);
my $began = time;
for (1 .. 30)
{
	sql(join '', map { "SELECT mf_refresh($id);\n" } 1 .. 50);
}
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
sql('SELECT pg_sleep(1.2)');
$mf->insert($node, 'postgres', 'told', account => "'one'");
$mf->wait_status($node, 'postgres', 'told');
my $took = time - $began + 1;
$probed = (sql($probes) - $probed) / $accounts;
note("looks at all accounts: $probed in $took s");
cmp_ok($probed, '<', 20 * $took, 'however many questions are asked');

# A backlog of one does not keep the others waiting.
sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference)
	SELECT 'a1', 'x', 1, 'LNK', 'backlog-' || n FROM generate_series(1, 5000) n");
$mf->insert($node, 'postgres', 'other', account => "'a2'");
$mf->wait_status($node, 'postgres', 'other');
cmp_ok(sql("SELECT count(*) FROM mf_invoice i WHERE customer_reference LIKE 'backlog-%' AND status = 'sent'
		AND sent_at < (SELECT sent_at FROM mf_invoice WHERE customer_reference = 'other')"), '<', 5000, 'nor does a backlog keep others waiting');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'backlog-%' AND status = 'sent'", 5000);

# Paused ones take no turns, all or one; and have theirs again when they are resumed.
sql("SELECT mf_pause('*', 'test')");
sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference)
	SELECT 'a' || n, 'x', 1, 'LNK', 'paused-' || n FROM generate_series(1, $accounts) n");
sql("SELECT mf_pause('a7', 'test'); SELECT mf_resume('*')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'paused-%' AND status = 'sent'", $accounts - 1);
is(sql("SELECT account FROM mf_invoice WHERE customer_reference LIKE 'paused-%' AND status = 'queued'"), 'a7', 'all but the one that is still paused');
sql("SELECT mf_resume('a7')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'paused-%' AND status = 'sent'", $accounts);
is(sql("SELECT string_agg(DISTINCT outcome || ': ' || error, ', ') FROM mf_attempt WHERE outcome <> 'accepted' AND error !~ '^no slot became free'"), '',
	'each was sent at the first attempt, but for what was claimed ahead and given back');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
