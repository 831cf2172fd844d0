# What a role that inserts bills and plans of its own can see and do of those of others: by default it sees them, as it sees invoices, and
# does nothing to them; where policies say so it does not even see them, in no table, view or function.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.public_url = 'https://pay.example.com'");
my $db = 'postgres';

# What the statement says to that role: its result, or its error with SQLSTATE and without numbers
sub as
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSET SESSION AUTHORIZATION $role;\n$sql");

	return $code == 0 && $err !~ /ERROR/ ? "ok $out" : $err =~ /ERROR: +(.*)/ ? $1 =~ s/\b(bill|plan|receipt|reminder) \d+/$1 N/r : "? $err";
}

$mf->setup_account($node, $db, $sandbox);
sql(q{CREATE EXTENSION myfatoorah_billing;
	CREATE ROLE alice IN ROLE myfatoorah_submit; CREATE ROLE bob IN ROLE myfatoorah_submit; CREATE ROLE officer IN ROLE myfatoorah_operate; CREATE ROLE reader IN ROLE myfatoorah_read;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice, bob; GRANT CREATE ON SCHEMA public TO bob});
$mf->wait_worker($node, $db);
# each has a bill with a part paid in cash, one that is overpaid, a plan with a period that was billed, and a reminder by event
my @ids;
foreach my $role (qw(alice bob))
{
	sql("SET ROLE $role; INSERT INTO mf_bill (customer_name, total, bill_key, customer_reference, send_at) VALUES ('Of $role', 10, '$role', '$role', now() + interval '1 day'), ('Of $role', 0, '$role free', '$role', now());
		INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 4 FROM mf_bill WHERE customer_reference = '$role';
		INSERT INTO mf_plan (plan_key, template, starts_on, every, times) VALUES ('$role', '{\"customer_name\": \"Of $role\", \"total\": 5, \"customer_reference\": \"$role\"}', current_date, '1 month', 2)");
	push @ids, [ split /\|/, sql("SELECT b.id, p.id, (SELECT min(r.id) FROM mf_receipt r WHERE r.bill = b.id) FROM mf_bill b, mf_plan p WHERE b.bill_key = '$role' AND p.plan_key = '$role'") ];
}
sql(q{INSERT INTO mf_reminder_rule (name, days_from_due, via) VALUES ('x', 1, 'event');
	INSERT INTO mf_reminder (bill, rule, via, due_at, fired_at, balance) SELECT b.id, r.id, 'event', now(), now(), 6 FROM mf_bill b, mf_reminder_rule r WHERE b.bill_key IN ('alice', 'bob')});
sql(q{SELECT mf_billing_tick(now() + interval '2 days')});
sql(q{INSERT INTO mf_reminder_queue (bill, due) SELECT id, now() + interval '1 day' FROM mf_bill WHERE bill_key IN ('alice', 'bob') ON CONFLICT DO NOTHING});
is(sql('SELECT count(*), count(DISTINCT created_by_id) FROM mf_plan_period t JOIN mf_plan p ON p.id = t.plan'), '2|2', 'each has all of it');
my ($bill, $plan, $receipt) = @{ $ids[0] };
my ($own, $own_plan) = @{ $ids[1] };
my $reminder = sql("SELECT id FROM mf_reminder WHERE bill = $bill");
my $columns = q{SELECT md5(string_agg(t::text, E'\n' ORDER BY t::text)) FROM (SELECT to_jsonb(b) - '{link_due,link_tries}'::text[] FROM mf_bill b UNION ALL SELECT to_jsonb(r) FROM mf_receipt r UNION ALL SELECT to_jsonb(p) - '{next_at}'::text[] FROM mf_plan p
	UNION ALL SELECT to_jsonb(t) FROM mf_plan_period t UNION ALL SELECT to_jsonb(m) FROM mf_reminder m UNION ALL SELECT to_jsonb(h) FROM mf_bill_history h) t};
my $before = sql($columns);

#
# To do something to bills of others, by every way that a member of myfatoorah_submit has
#
my $denied = '42501: permission denied for';
my @deeds = (
	[ "UPDATE mf_bill SET total = 1 WHERE id = $bill", "$denied bill N" ],
	[ "UPDATE mf_bill SET memo = 'mine' WHERE id = $bill", "$denied bill N" ],
	[ "UPDATE mf_bill SET customer_email = 'bob\@example.com', notification_option = 'EML' WHERE id = $bill", "$denied bill N" ],
	[ "INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 6)", "$denied bill N" ],
	[ "INSERT INTO mf_bill AS b (customer_name, total, bill_key) VALUES ('Bob', 1, 'alice') ON CONFLICT (account, bill_key) DO UPDATE SET total = 1", "$denied bill N" ],
	[ "INSERT INTO mf_plan AS p (template, starts_on, every, plan_key) VALUES ('{\"customer_name\": \"A\", \"total\": 1}', current_date, '1 month', 'alice') ON CONFLICT (account, plan_key) DO UPDATE SET times = 1", "$denied plan N" ],
	[ "UPDATE mf_plan SET template = template || '{\"total\": 1}' WHERE id = $plan", "$denied plan N" ],
	[ "SELECT mf_pause_plan($plan, 'x')", "$denied plan N" ],
	[ "SELECT mf_end_plan($plan, NULL, 'x')", "$denied plan N" ],
	[ "SELECT mf_resume_plan($plan, 'x')", "$denied plan N" ],
	[ "SELECT mf_reminder_done($reminder)", "$denied reminder N" ]);
my @never = (
	(map { [ "SELECT $_", qr/^42501: permission denied for function / ] } "mf_void($bill, 'x')", "mf_reopen($bill, 'x')", "mf_new_link($bill, 'x')", "mf_request($bill, 1)", "mf_reverse($receipt, 'x')", "mf_snooze($bill, '2999-01-01', 'x')",
		"mf_bill_book($bill)", "mf_bill_entries($bill)", "mf_bill_settle($bill, now(), 'x')", "mf_link_retire($bill, now(), 'x')", "mf_bill_link($bill, now())", "mf_plan_step($plan, now())", "mf_billing_tick(now())", "mf_tick_back(now(), 1)", "mf_billing_wake(now())",
		"mf_move_billing('myfatoorah', 'mine')", "mf_bill_page('x')", "mf_bill_page_at('x', now())", "mf_billing_on_change(NULL, NULL)", "mf_bill_erase(ARRAY[$bill]::bigint[])", "mf_plan_insert_bills(NULL)"),
	(map { [ $_, qr/^42501: permission denied for table / ] } 'DELETE FROM mf_bill', 'TRUNCATE mf_bill', 'UPDATE mf_receipt SET value = 1', 'DELETE FROM mf_receipt', 'DELETE FROM mf_plan', 'DELETE FROM mf_plan_period', 'UPDATE mf_link SET live = false',
		'INSERT INTO mf_link VALUES (1, 1, false, 1, now(), now())', 'INSERT INTO mf_bill_history (bill, actor, changes) VALUES (1, \'bob\', \'{}\')', "INSERT INTO mf_bill (customer_name, total, token) VALUES ('A', 1, 'x')",
		"INSERT INTO mf_bill (customer_name, total, created_by_id) VALUES ('A', 1, 10)", "INSERT INTO mf_bill (customer_name, total, status) VALUES ('A', 1, 'paid')", "UPDATE mf_bill SET status = 'paid' WHERE id = $own", "UPDATE mf_bill SET received = 10 WHERE id = $own",
		"UPDATE mf_bill SET account = 'x' WHERE id = $own", "INSERT INTO mf_plan (template, starts_on, every, created_by_id) VALUES ('{}', current_date, '1 month', 10)", "UPDATE mf_plan SET next_on = current_date WHERE id = $own_plan",
		"INSERT INTO mf_receipt (bill, method, value, reverses) VALUES ($own, 'cash', -4, 1)", "INSERT INTO mf_receipt (bill, method, value, created_by) VALUES ($own, 'cash', 4, 'alice')", "INSERT INTO mf_reminder_rule (name, days_from_due) VALUES ('y', 1)",
		'INSERT INTO mf_day_off (day) VALUES (current_date)', 'UPDATE mf_billing_policy SET link_days = 1', 'UPDATE mf_reminder SET done_at = now()', 'CREATE TRIGGER t BEFORE INSERT ON mf_bill FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	[ "INSERT INTO mf_receipt (bill, method, value) VALUES ($own, 'online', 6)", qr/^42501: online receipts are written by/ ],
	[ "INSERT INTO mf_receipt (bill, method, value) VALUES ($own, 'cash', -6)", qr/^22023: value must be greater than zero/ ],
	[ 'SET myfatoorah_billing.drop_books = on; DROP EXTENSION myfatoorah_billing', qr/^42501: must be owner of extension/ ],
	[ 'DROP EVENT TRIGGER mf_load_guard', qr/^42501: must be owner of event trigger/ ],
	[ 'ALTER TABLE mf_bill DISABLE TRIGGER ALL', qr/^42501: must be owner of table/ ],
	[ 'SET ROLE myfatoorah_billing', qr/^42501: permission denied to set role/ ],
	[ "SELECT mf_insert_as('alice'::regrole, NULL::mf_invoice[])", qr/^(?:42501|42883): / ]);

like(as('bob', $_->[0]), qr/^\Q$_->[1]\E/, "not a bill of another: $_->[0]") foreach @deeds;
like(as('bob', $_->[0]), $_->[1], "nobody: $_->[0]") foreach @never;
is(sql($columns), $before, 'nothing has changed by any of that');

# nor does whoever has no right wait for those who have locked it
my $holder = $mf->session($node, $db);
$holder->query_safe('BEGIN; SELECT FROM mf_bill FOR UPDATE; SELECT FROM mf_plan FOR UPDATE; SELECT FROM mf_reminder FOR UPDATE');
like(as('bob', "SET lock_timeout = '10ms'; $_->[0]"), qr/^\Q$_->[1]\E/, "at once: $_->[0]") foreach grep { $_->[0] =~ /^SELECT|INTO mf_receipt/ } @deeds;
$holder->quit;

# what hides behind a name of ours
sql(q{SET ROLE bob; CREATE FUNCTION public.mf_move_mine(text, text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RAISE 'planted'; END$$;
	CREATE FUNCTION public.mf_void(bigint, varchar) RETURNS void LANGUAGE sql AS ''; CREATE FUNCTION public.mf_operates(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE FUNCTION public.mf_check_right(text, bigint, oid, text) RETURNS void LANGUAGE sql AS ''});
like(as('bob', "UPDATE mf_bill SET memo = 'mine' WHERE id = $bill"), qr/^\Q$denied bill N\E/, 'functions of such names, planted in the schema, give no right');
is(sql('ALTER SERVER myfatoorah RENAME TO another; ALTER SERVER another RENAME TO myfatoorah'), '', 'nor are they called when an account gets another name');
sql('DROP FUNCTION public.mf_move_mine, public.mf_void(bigint, varchar), public.mf_operates(text), public.mf_check_right(text, bigint, oid, text)');

#
# To see them: by default as invoices are seen, by policies not at all
#
my %looks = (
	'mf_bill' => 'SELECT count(*) FROM mf_bill WHERE customer_reference = %s', 'tokens' => 'SELECT count(token) FROM mf_bill WHERE customer_reference = %s', 'mf_link' => 'SELECT count(*) FROM mf_link WHERE bill = %d',
	'mf_receipt' => 'SELECT count(*) FROM mf_receipt WHERE bill = %d', 'mf_bill_history' => 'SELECT count(*) FROM mf_bill_history WHERE bill = %d', 'mf_reminder' => 'SELECT count(*) FROM mf_reminder WHERE bill = %d',
	'mf_reminder_queue' => 'SELECT count(*) FROM mf_reminder_queue WHERE bill = %d', 'mf_plan' => 'SELECT count(*) FROM mf_plan WHERE id = %p', 'mf_plan_period' => 'SELECT count(*) FROM mf_plan_period WHERE plan = %p',
	'mf_receivable' => 'SELECT count(*) FROM mf_receivable WHERE customer_reference = %s', 'mf_aging' => 'SELECT count(*) FROM mf_aging WHERE customer = %s', 'mf_overpaid' => 'SELECT count(*) FROM mf_overpaid WHERE customer_reference = %s',
	'mf_statement()' => q{SELECT count(*) FROM mf_statement(%s, '2020-01-01', '2090-01-01') WHERE kind <> 'opening'}, 'mf_collected()' => q{SELECT sum(receipts) = 4 FROM mf_collected('myfatoorah', '2020-01-01', '2090-01-01')},
	'mf_pay_url()' => 'SELECT mf_pay_url(%d)', 'mf_plan_preview()' => 'SELECT count(*) FROM mf_plan_preview(%p)', 'mf_bill_visible()' => 'SELECT mf_bill_visible(%d)', 'mf_plan_visible()' => 'SELECT mf_plan_visible(%p)');
sub look
{
	my ($what, $role) = @_;
	my ($of, $b, $p) = $role eq 'alice' ? ("'alice'", $bill, $plan) : ("'bob'", $own, $own_plan);

	return $looks{$what} =~ s/%s/$of/gr =~ s/%d/$b/gr =~ s/%p/$p/gr;
}

sub blind { return $_[0] =~ /^ok (?:0|f)?$|^P0002: (?:bill|plan) N does not exist/; }

ok(!blind(as('bob', look($_, 'alice'))), "by default $_ shows bills of others, as invoices are shown") foreach sort keys %looks;
sql(q{CREATE POLICY own ON mf_invoice USING (pg_has_role('myfatoorah_read', 'USAGE') OR pg_has_role(created_by_id, 'USAGE')); ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON mf_bill USING (pg_has_role('myfatoorah_read', 'USAGE') OR pg_has_role(created_by_id, 'USAGE')); ALTER TABLE mf_bill ENABLE ROW LEVEL SECURITY});
is(sql(q{SELECT string_agg(detail, '; ') FROM mf_check() WHERE item = 'policies' AND detail ~ '^mf_bill'}),
	'mf_bill has row-level security, and whoever may read these tables sees there what is known of all of it: mf_bill_history, mf_link, mf_plan, mf_receipt, mf_reminder, mf_reminder_queue.', 'mf_check() says what else shows them');
sql(q{CREATE POLICY own ON mf_plan USING (pg_has_role('myfatoorah_read', 'USAGE') OR pg_has_role(created_by_id, 'USAGE')); ALTER TABLE mf_plan ENABLE ROW LEVEL SECURITY});
sql("CREATE POLICY visible ON $_ USING (mf_bill_visible(bill)); ALTER TABLE $_ ENABLE ROW LEVEL SECURITY") foreach qw(mf_bill_history mf_link mf_receipt mf_reminder mf_reminder_queue);
sql("CREATE POLICY visible ON $_ USING (mf_plan_visible(plan)); ALTER TABLE $_ ENABLE ROW LEVEL SECURITY") foreach qw(mf_plan_history mf_plan_period);
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'policies' AND detail ~ '^mf_(bill|plan)'}), 0, 'and is content');
foreach my $what (sort keys %looks)
{
	ok(blind(as('bob', look($what, 'alice'))), "by policies $what does not") or diag(as('bob', look($what, 'alice')));
	ok(!blind(as('bob', look($what, 'bob'))), 'but those of its own') or diag(as('bob', look($what, 'bob'))) if $what ne 'mf_collected()';
	ok(!blind(as('reader', look($what, 'alice'))), 'and all to readers') or diag(as('reader', look($what, 'alice')));
}
foreach (@deeds)
{
	my $answer = as('bob', $_->[0]);

	like($answer, qr/^(?:ok |P0002: bill N does not exist|42501: (?:\Q$_->[1]\E|permission denied for|new row violates row-level security))/, "nor does anything: $_->[0]");
}
is(sql($columns), $before, 'nothing has changed by any of that');
like(as('bob', "INSERT INTO mf_bill (customer_name, total, bill_key, send_at) VALUES ('Bob', 1, 'new', now() + interval '1 day') RETURNING status, length(token)"), qr/^ok open\|\d+/, 'it inserts its own, and sees what it gets');
is(as('bob', "INSERT INTO mf_bill (customer_name, total, bill_key) VALUES ('Bob', 1, 'alice') ON CONFLICT (account, bill_key) DO NOTHING RETURNING id"), 'ok ', 'a key that is taken says that it is taken');
is(as('bob', "INSERT INTO mf_receipt (bill, method, value) VALUES ($own, 'cash', 1) RETURNING value"), 'ok 1', 'and takes cash');
is(as('bob', "SELECT mf_pause_plan($own_plan, 'x')"), 'ok ', 'and pauses a plan');
like(as('officer', "SELECT mf_new_link($bill, 'lost')"), qr/^ok \d+/, 'operators reach all');

done_testing();
