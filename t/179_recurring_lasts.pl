# Recurring payments that go on for years: refunds of repetitions, the archive, an account that is renamed, a key that may not read
# the plans, many plans in one list, and a copy of the database.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'
	myfatoorah.lookup_delay = '100ms'
	myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $list = { path => '/v2/GetRecurringPayment' };
my %plan = (payment_method_id => 2, recurring_type => "'Daily'", iteration => 9, retry_count => 2);

# Has the worker of that database read the plans, as if the next payments had been due.
sub awaited
{
	my ($dbname) = @_;

	$node->safe_psql($dbname, q{UPDATE mf_event SET due = now() WHERE source = 'plan' AND due IS NOT NULL; SELECT mf_refresh(min(id)) FROM mf_invoice WHERE status = 'sent'});
	return;
}

sub checked
{
	return sql(q{SELECT ok, hint FROM mf_check((SELECT srvname::text FROM pg_foreign_server)) WHERE item = 'recurring'});
}

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '1s', timeout => '2s' });
$mf->wait_worker($node, $db);

#
# A repetition is refunded, and nothing else of the plan.
#
my $plan = ($mf->begin_plan($node, $db, $sandbox, 'begun'))[2];
my $first = $sandbox->charge($plan)->{id};
awaited($db);
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $first", 'paid');
my $refund = sql("INSERT INTO mf_refund (invoice, value) SELECT id, 0.250 FROM mf_invoice WHERE invoice_id = $first RETURNING id");
$mf->wait_for($node, $db, "SELECT status FROM mf_refund WHERE id = $refund", 'filed');
$sandbox->decide_refund($_->{id}, 'approve') for grep { $_->{status} eq 'Pending' } $sandbox->refunds;
sql("SELECT mf_refresh(id) FROM mf_invoice WHERE invoice_id = $first");
$mf->wait_for($node, $db, "SELECT status FROM mf_refund WHERE id = $refund", 'refunded');
is(sql("SELECT i.recurring_type, i.payment_status, i.net_value, (SELECT sum(l.amount) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind IN ('payment', 'refund')) FROM mf_invoice i WHERE i.recurring_id = '$plan' ORDER BY i.id"),
	"Daily|paid|1.250|1.250\n|partly_refunded|1.000|1.000", 'a refund of a repetition is in its books, and in no others');

#
# What has begun a plan that goes on is not archived; its repetitions are, and are not found again as if they were new.
#
my $plain = $mf->insert($node, $db, 'plain');
$mf->wait_status($node, $db, 'plain');
$sandbox->invoice(sql("SELECT invoice_id FROM mf_invoice WHERE id = $plain"), 'pay');
sql("SELECT mf_refresh($plain)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $plain", 'paid');
$mf->wait_idle($node, $db);
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01'; DELETE FROM mf_inquiry});
is(sql(q{SELECT mf_archive('2020-02-01')}), 2, 'an invoice and a repetition are archived');
is(sql('SELECT string_agg(customer_reference, \' \') FROM mf_invoice'), 'begun', 'the row that has begun the plan is not');
my $asked = $sandbox->count(%$list);
awaited($db);
$sandbox->wait_count($list, $asked + 1) or die "the plans are not read\n";
$mf->wait_idle($node, $db);
is(sql("SELECT count(*) FROM mf_invoice WHERE recurring_id = '$plan'"), 1, 'what is archived gets no second row');

#
# A list that is refused, or does not come
#
$sandbox->faults({ path => 'GetRecurringPayment', status => 503, times => -1 });
my $second = $sandbox->charge($plan)->{id};
awaited($db);
$mf->wait_for($node, $db, q{SELECT count(*) > 0 FROM mf_check() WHERE item = 'recurring'});
like(checked(), qr/^f\|.*SELECT mf_resume\('myfatoorah'\)$/, '503: mf_check() tells');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'questions'}), 0, 'once');
$sandbox->clear_faults;
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $second", 'paid');
is(checked(), '', 'until it is read');
$sandbox->faults({ path => 'GetRecurringPayment', shape => 8, times => -1 });
my $third = $sandbox->charge($plan)->{id};
# as if it had been tried for three minutes
sql(q{UPDATE mf_event SET lookups = 5 WHERE source = 'plan'});
awaited($db);
$mf->wait_for($node, $db, q{SELECT min(due) > now() + '23 h' FROM mf_event WHERE source = 'plan'});
like(checked(), qr/^f\|The key must be allowed to call GetRecurringPayment/, '401: mf_check() tells');
is(sql('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'which pauses nothing');
$sandbox->clear_faults;
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $third", 'paid');
is(checked(), '', 'as the hint says, it is asked again at once');

#
# The account has another name.
#
sql('ALTER SERVER myfatoorah RENAME TO kuwait');
my $fourth = $sandbox->charge($plan)->{id};
awaited($db);
$mf->wait_for($node, $db, "SELECT account || ' ' || payment_status FROM mf_invoice WHERE invoice_id = $fourth", 'kuwait paid');
is(sql("SELECT count(*), count(DISTINCT invoice_id), min(account), max(account) FROM mf_invoice WHERE recurring_id = '$plan'"), '4|4|kuwait|kuwait', 'each repetition has one row after the account was renamed');

#
# Many plans in one list
#
my $many = 200;
my @columns = sort keys %plan;
sql("INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, @{[ join ', ', @columns ]})
	SELECT 'kuwait', 'many', 'many', 1.250, @{[ join ', ', @plan{@columns} ]} FROM generate_series(1, $many)");
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference = 'many' AND status = 'sent'}, $many);
my @begun = map { [ split /\|/ ] } split /\n/, sql(q{SELECT invoice_id, recurring_id FROM mf_invoice WHERE customer_reference = 'many'});
$sandbox->invoice($_->[0], 'pay') for @begun;
$sandbox->charge($_->[1]) for @begun, @begun;
$asked = $sandbox->count(%$list);
awaited($db);
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference = 'many' AND recurring_type IS NULL AND payment_status = 'paid'}, 2 * $many);
cmp_ok($sandbox->count(%$list) - $asked, '<=', 2, "$many plans with two repetitions each: one list has all of them");
is(sql(q{SELECT count(*), count(DISTINCT invoice_id) FROM mf_invoice WHERE customer_reference = 'many' AND recurring_type IS NULL}), 2 * $many . '|' . 2 * $many, 'each is a row');
$mf->wait_idle($node, $db);

# A refusal is for all of them, too.
$sandbox->faults({ path => 'GetRecurringPayment', shape => 8, times => -1 });
my $log = -s $node->logfile;
$asked = $sandbox->count(%$list);
sql(q{UPDATE mf_event SET lookups = 5 WHERE source = 'plan'});
awaited($db);
$mf->wait_for($node, $db, q{SELECT min(due) > now() + '23 h' FROM mf_event WHERE source = 'plan'});
is($sandbox->count(%$list) - $asked, 1, 'a list that is refused is asked for once');
my @told = slurp_file($node->logfile, $log) =~ /LOG: .*plans_unreadable: /g;
is(scalar @told, 1, 'which is told once');
$sandbox->clear_faults;
$asked = $sandbox->count(%$list);
sql(q{SELECT mf_resume('kuwait')});
$sandbox->wait_count($list, $asked + 1) or die "the plans are not read\n";
$mf->wait_for($node, $db, q{SELECT max(lookups) FROM mf_event WHERE source = 'plan'}, 0);
is(checked(), '', 'and read once somebody says so');

#
# A copy asks for nothing before somebody says that it may, and then has each repetition once.
#
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ $node->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $node->connstr($db) ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('restored'), $dump ], 'which is restored');
$mf->wait_worker($node, 'restored');
my $fifth = $sandbox->charge($plan)->{id};
sql('ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($node, 'postgres');
$asked = $sandbox->count(%$list);
awaited('restored');
my $rounds = $node->safe_psql('restored', 'SELECT transactions FROM mf_worker_status');
$node->safe_psql('restored', q{SELECT mf_resume('kuwait')});
$mf->wait_for($node, 'restored', "SELECT transactions > $rounds FROM mf_worker_status");
$mf->wait_idle($node, 'restored');
is($sandbox->count(%$list), $asked, 'a copy reads no plans');
$node->safe_psql('restored', q{SELECT mf_resume('*')});
awaited('restored');
$mf->wait_for($node, 'restored', "SELECT payment_status FROM mf_invoice WHERE invoice_id = $fifth", 'paid');
is($node->safe_psql('restored', "SELECT count(*), count(DISTINCT invoice_id) FROM mf_invoice WHERE recurring_id = '$plan'"), '5|5', 'until it is resumed: then each repetition has one row');
is($node->safe_psql('restored', q{SELECT count(*), count(DISTINCT invoice_id) FROM mf_invoice WHERE customer_reference = 'many' AND recurring_type IS NULL}), 2 * $many . '|' . 2 * $many, 'those of the others, too');

#
# A repetition is known by itself: the row that began its plan, or the month of the archive in which that is, may be gone.
#
foreach my $gone ('deleted', 'dropped')
{
	my ($base, undef, $ended) = $mf->begin_plan($node, 'restored', $sandbox, $gone, account => "'kuwait'", customer_reference => "'$gone'");
	my $number = $sandbox->charge($ended)->{id};

	awaited('restored');
	$mf->wait_for($node, 'restored', "SELECT payment_status FROM mf_invoice WHERE invoice_id = $number", 'paid');
	my $id = $node->safe_psql('restored', "SELECT id FROM mf_invoice WHERE invoice_id = $number");
	$node->safe_psql('restored', "SELECT mf_cancel_recurring('$ended', 'kuwait')");
	$mf->wait_for($node, 'restored', "SELECT count(*) FROM mf_event WHERE source = 'plan' AND invoice = $base AND due IS NOT NULL", 0);
	$mf->wait_idle($node, 'restored');
	if ($gone eq 'deleted')
	{
		$node->safe_psql('restored', "DELETE FROM mf_invoice WHERE id = $base");
	}
	else
	{
		$node->safe_psql('restored', "SET session_replication_role = replica; UPDATE mf_invoice SET created_at = CASE id WHEN $base THEN timestamptz '2020-03-15' ELSE '2020-04-15' END WHERE id IN ($base, $id);
			DELETE FROM mf_inquiry WHERE invoice IN ($base, $id)");
		$node->safe_psql('restored', q{SELECT mf_archive('2020-05-01')});
		my ($month) = $node->safe_psql('restored', "SELECT tableoid::regclass FROM mf_invoice_archive WHERE id = $base");
		$node->safe_psql('restored', "DROP TABLE $month; SELECT mf_unarchive(ARRAY[$id])");
	}
	$sandbox->invoice($number, 'refund', { amount => '0.250' });
	$node->safe_psql('restored', "SELECT mf_refresh($id)");
	ok($mf->wait_for($node, 'restored', "SELECT payment_status FROM mf_invoice WHERE id = $id", 'partly_refunded'), "$gone: a refund of the repetition is booked");
	is($node->safe_psql('restored', "SELECT payment_error FROM mf_invoice WHERE id = $id"), '', "$gone: and nothing is said against it");
	my $another = $node->safe_psql('restored', "INSERT INTO mf_refund (invoice, value) VALUES ($id, 0.5) RETURNING id");
	ok($mf->wait_for($node, 'restored', "SELECT status FROM mf_refund WHERE id = $another", 'filed'), "$gone: and one is asked for");
}

$node->stop;
done_testing();
