# pg_dump and restore of a database with rows in every state: nothing is lost, nothing is sent again, and nothing is sent
# at all before a person says that the original does not.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'");

$mf->setup_account($node, 'postgres', $sandbox, options => { timeout => '600s' });
# with which it is soon over that MyFatoorah may still be at work; whether it answers in that time matters to nothing
$mf->setup_account($node, 'postgres', $sandbox, account => 'short', key_file => 'myfatoorah.key', options => { timeout => '200ms', connect_timeout => '200ms' });
$mf->wait_worker($node, 'postgres');

sub in
{
	my ($dbname, $sql) = @_;

	return $node->safe_psql($dbname, $sql);
}

sub states
{
	my ($dbname) = @_;

	return in($dbname, "SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM mf_invoice GROUP BY 1) s");
}

# Rows in every state there is
my %fault = (
	sending => { never => JSON::PP::true, create => JSON::PP::true },
	rejected => { shape => 1 },
	unknown => { cut_answer_at => 0, create => JSON::PP::true },
	review => { cut_answer_at => 0, create => JSON::PP::false });
$sandbox->faults({ path => 'SendPayment', reference_prefix => $_, times => -1, %{ $fault{$_} } }) for keys %fault;
$sandbox->faults({ path => 'GetPaymentStatus', contains => 'unknown', status => 500, times => -1 });
$mf->insert_many($node, 'postgres', 'sent', 20);
$mf->insert($node, 'postgres', "it''s | \\ \"quoted\"	ارقام", invoice_items => q('[{"ItemName": "a\\tb", "Quantity": 1, "UnitPrice": 1.25}]'));
$mf->insert($node, 'postgres', 'queued', send_at => "now() + interval '1 day'", priority => 7);
$mf->insert($node, 'postgres', 'cancelled', send_at => "now() + interval '1 day'");
in('postgres', "SELECT mf_cancel(id, 'because') FROM mf_invoice WHERE customer_reference = 'cancelled'");
$mf->insert($node, 'postgres', 'rejected');
$mf->insert($node, 'postgres', 'rejected too');
$mf->insert($node, 'postgres', 'unknown', account => "'short'");
$mf->insert($node, 'postgres', 'review', account => "'short'", notification_option => "'EML'", customer_email => "'a\@example.com'");
$mf->insert($node, 'postgres', 'sending');
$mf->wait_status($node, 'postgres', $_, $_) for 'sending', 'rejected', 'unknown', 'review', 'cancelled';
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 21);
in('postgres', "SELECT mf_retry(id) FROM mf_invoice WHERE customer_reference = 'rejected too'");
$mf->wait_for($node, 'postgres', "SELECT attempts || status FROM mf_invoice WHERE customer_reference = 'rejected too'", '2rejected');
in('postgres', "SELECT mf_pause('short', 'a reason')");

# One that is due and waits: its account is paused by hand.
$mf->insert($node, 'postgres', 'due', account => "'short'");
my $states = states('postgres');
is($states, 'cancelled 1, queued 2, rejected 2, review 1, sending 1, sent 21, unknown 1', 'rows in every state');
my $before = $sandbox->count(%$send);

# Dumps, in the format of scripts and in that of pg_restore
my $dir = PostgreSQL::Test::Utils::tempdir('dump');
my @connect = ('-d', $node->connstr('postgres'));
command_ok([ $node->installed_command('pg_dump'), @connect, '-f', "$dir/script.sql" ], 'pg_dump');
command_ok([ $node->installed_command('pg_dump'), @connect, '-Fc', '-f', "$dir/archive" ], 'pg_dump -Fc');

# The original goes on: the copies must not do the same at the same time. But what it will do is of no concern here.
in('postgres', 'ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($node, 'postgres');
$sandbox->clear_faults;

my %restore = (
	script => sub { $node->command_ok([ $node->installed_command('psql'), '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($_[0]), '-f', "$dir/script.sql" ], 'psql') },
	archive => sub { $node->command_ok([ $node->installed_command('pg_restore'), '-j2', '-e', '-d', $node->connstr($_[0]), "$dir/archive" ], 'pg_restore') },
	off => sub { $node->command_ok([ $node->installed_command('pg_restore'), '-e', '-1', '-d', $node->connstr($_[0]), "$dir/archive" ], 'pg_restore in one transaction, worker off') });

foreach my $copy ('script', 'archive', 'off')
{
	in('postgres', "CREATE DATABASE $copy");
	in('postgres', "ALTER DATABASE $copy SET myfatoorah.worker_enabled = off") if $copy eq 'off';
	$restore{$copy}->($copy);

	# The same rows in the same states, and the worker of the copy, where there is one, has not touched any but the one
	# that was being sent, which is unknown now.
	$mf->wait_worker($node, $copy) unless $copy eq 'off';
	foreach my $table ('mf_invoice', 'mf_attempt', 'mf_transition', 'mf_history')
	{
		my $but = $table eq 'mf_invoice' ? "WHERE customer_reference <> 'sending'"
		  : "WHERE invoice NOT IN (SELECT id FROM mf_invoice WHERE customer_reference = 'sending')";
		my $sql = "SELECT * FROM $table t $but ORDER BY t::text COLLATE \"C\"";

		is(in($copy, $sql), in('postgres', $sql), "$copy: $table is the same");
	}
	is(in($copy, "SELECT reason FROM mf_account WHERE account = 'short'"), 'a reason', "$copy: the paused account is paused");
	is(in($copy, "SELECT string_agg(i.customer_reference || ' ' || q.kind, ', ' ORDER BY i.id) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice
		WHERE i.status = 'queued'"), 'queued verify, due verify', "$copy: queued rows are on the agenda, to be looked up before they are sent");
	is(in($copy, "SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status IN ('sent', 'rejected', 'cancelled')"),
		0, "$copy: finished rows are not");
	is(in($copy, "SELECT q.due > i.send_at + interval '1 min' AND q.priority = 7 FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'queued'"),
		't', "$copy: once the original has long sent them, with the same priority");

	# New rows get new ids, and wait with the others.
	my $id = $mf->insert($node, $copy, 'new');
	cmp_ok($id, '>', in('postgres', 'SELECT max(id) FROM mf_invoice'), "$copy: a new row gets a new id");
	is(in($copy, "SELECT count(*) FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL"), 1, "$copy: sending is paused as a whole");
}

# A row that is inserted elsewhere and sent shows that the copies have had their chance.
in('postgres', 'CREATE DATABASE elsewhere');
$mf->setup_account($node, 'elsewhere', $sandbox, key_file => 'elsewhere.key');
$mf->insert($node, 'elsewhere', 'marker');
$mf->wait_status($node, 'elsewhere', 'marker');
$mf->wait_idle($node, $_) for 'script', 'archive';
is($sandbox->count(%$send), $before + 1, 'the copies send nothing by themselves');
is($mf->status($node, $_, 'new'), 'queued', "$_: a new row waits too") for 'script', 'archive', 'off';

# A person has made sure that the original is off: one copy takes over. What the remote has is found and adopted, what it
# has not is sent, and nothing that was sent is sent again.
in('script', "SELECT mf_resume('*')");
$mf->wait_for($node, 'script', "SELECT status <> 'sending' FROM mf_invoice WHERE customer_reference = 'sending'");

# Look-ups wait until the remote can no longer be at work on what the original sent; the test does not. The next INSERT
# wakes the worker.
in('script', "UPDATE mf_queue SET due = now(), rank = now() WHERE kind IN ('verify', 'reconcile')
	AND invoice NOT IN (SELECT id FROM mf_invoice WHERE customer_reference = 'queued')");
$mf->insert($node, 'script', 'awake');
$mf->wait_status($node, 'script', $_) for 'awake', 'new', 'sending';
is($mf->status($node, 'script', 'due'), 'queued', 'an account that was paused before stays paused');
in('script', "SELECT mf_resume('short')");
$mf->wait_status($node, 'script', $_) for 'due', 'unknown';
is(states('script'), 'cancelled 1, queued 1, rejected 2, review 1, sent 26', 'the copy that takes over goes on where the original was');
is($sandbox->count(%$send), $before + 4, 'with one request for each row that had not been sent');
is_deeply([ $mf->problems($node, 'script', $sandbox, others => 1) ], [], 'rows, attempts and ledger agree');
in('script', "SELECT mf_resolve(id, 'resend', 'not in the portal') FROM mf_invoice WHERE customer_reference = 'review'");
is(in('script', "SELECT kind || ' ' || (due > now() + interval '50 s') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'review'"),
	'verify true', 'a row in review that is sent again is looked up first, too');
in('script', "UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'review')");
$mf->insert($node, 'script', 'awake again');
$mf->wait_status($node, 'script', 'review');
pass('a row in review can be resolved there');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
