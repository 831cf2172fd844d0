# An OID means a role on one server only. Where rows come to another one, by a subscription or a dump, however it is restored, they belong to who has the
# name there, and to nobody before a person has said that this database goes on: no stranger cancels them, refunds them, or has them sent with his key.
use MyFatoorah::Test qw(sql as wait_for);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new(key => 'key-of-all', args => [ '--key', 'key-of-a-stranger=KWT' ]);
my $conf = "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1d'\nmyfatoorah.on_change_timeout = '30s'";
my $old = $mf->new_node('old', init => { allows_streaming => 'logical' }, conf => $conf);
my $new = $mf->new_node('new', init => { allows_streaming => 'logical' }, conf => $conf);
my %quick = (options => { connect_timeout => '500ms', timeout => '1s', own_mappings => 'on', time_zone => $mf->noon_zone($old) });
my $send = { path => '/v2/SendPayment' };
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';

# What our columns with OIDs say, and how many rows a role has in each; a table with such a column that is not among them needs a row here
my $tables = q{SELECT string_agg(format('%s.%s', c.relname, a.attname), ' ' ORDER BY c.relname COLLATE "C") FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e'
	WHERE a.atttypid = 'oid'::regtype AND a.attnum > 0 AND c.relkind IN ('r', 'p')};
my @tables = qw(mf_bill mf_invoice mf_invoice_archive mf_operation mf_plan);
my $rows = 'SELECT ' . join q{ || ' ' || }, map { "(SELECT count(*) FROM $_ WHERE created_by_id = (SELECT oid FROM pg_roles WHERE rolname = '%1\$s'))" } @tables;

sub prepare
{
	my ($node, $db) = @_;

	$mf->setup_account($node, $db, $sandbox, %quick);
	$node->safe_psql($db, 'CREATE EXTENSION myfatoorah_billing; GRANT myfatoorah_submit, myfatoorah_refund TO clerk; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
	return if $node == $old;
	# months of the archive are no members of the extension
	$node->safe_psql($db, sql(q{SELECT string_agg(format('CREATE TABLE %I PARTITION OF mf_invoice_archive %s', relname, pg_get_expr(relpartbound, oid)), '; ') FROM pg_class WHERE relispartition AND relkind = 'r'}));
	return strangers($node, $db);
}

sub strangers
{
	my ($node, $db) = @_;

	$node->safe_psql($db, q{GRANT myfatoorah_submit, myfatoorah_refund TO stranger; GRANT USAGE ON FOREIGN SERVER myfatoorah TO stranger;
		CREATE USER MAPPING FOR stranger SERVER myfatoorah OPTIONS (api_key 'key-of-a-stranger')});
	return;
}

sub restore
{
	my ($node, $db, @how) = @_;

	$node->command_ok([ $node->installed_command('pg_restore'), '-e', @how, '-d', $node->connstr($db), $dump ], "$db is restored");
	return;
}

# All there is of the clerk, and a row of somebody whom the other server does not know
sql('CREATE ROLE clerk; CREATE ROLE gone');
prepare($old, 'postgres');
sql('GRANT myfatoorah_submit TO gone; GRANT USAGE ON FOREIGN SERVER myfatoorah TO gone');
is(sql($tables), 'mf_bill.created_by_id mf_identity.database mf_inquiry.ordered_by mf_invoice.created_by_id mf_invoice_archive.created_by_id mf_operation.created_by_id mf_plan.created_by_id', 'columns with OIDs');
$mf->wait_worker($old, 'postgres');
my @later = (send_at => "now() + interval '1 day'");
my $insert = sub { as($_[0], 'INSERT INTO mf_invoice ' . $mf->invoice(@_[1 .. $#_])) };
is($insert->('clerk', $_), 'ok ', "the clerk's invoice: $_") for 'archived', 'paid';
foreach my $name ('archived', 'paid')
{
	$mf->wait_status($old, 'postgres', $name);
	$sandbox->invoice(sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = '$name'"), 'pay');
	sql("SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = '$name'");
	$mf->wait_for($old, 'postgres', "SELECT payment_status FROM mf_invoice WHERE customer_reference = '$name'", 'paid');
	$mf->wait_for($old, 'postgres', q{SELECT count(*) FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE i.payment_status = 'paid' AND q.urgent}, 0);
	sql(q{BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM mf_inquiry; UPDATE mf_invoice SET created_at = now() - interval '9 days' WHERE customer_reference = 'archived'; COMMIT; SELECT mf_archive(current_date - 1)}) if $name eq 'archived';
}
is(as('clerk', q{INSERT INTO mf_bill (bill_key, customer_name, total) VALUES ('asked', 'Ahmad', 10)}), 'ok ', "the clerk's bill");
$mf->wait_for($old, 'postgres', q{SELECT count(*) FROM mf_invoice i JOIN mf_bill b ON b.invoice = i.id WHERE i.status = 'sent'}, 1);
is(as('clerk', q{INSERT INTO mf_plan (plan_key, template, starts_on, every) VALUES ('rent', '{"customer_name": "Ahmad", "total": 10}', current_date + 20, '1 month')}), 'ok ', 'his plan');
is($insert->('clerk', 'queued', @later), 'ok ', 'what he has queued');
is($insert->('gone', 'gone', @later), 'ok ', "and somebody who leaves");
sql(q{SELECT mf_pause('myfatoorah')});
is(as('clerk', q{INSERT INTO mf_refund (invoice, value) SELECT id, 0.5 FROM mf_invoice WHERE customer_reference = 'paid'}), 'ok ', 'his refund');
is(sql(sprintf $rows, 'clerk'), '1 3 1 1 1', 'what he has');
my $oid = sql(q{SELECT 'clerk'::regrole::oid});

# There that OID is a stranger's. Roles are in another order.
$new->stop;
$new->command_ok([ $new->installed_command('pg_resetwal'), '-o', $oid, '-D', $new->data_dir ], 'the next OIDs of the other server');
$new->start;
my $tries = 0;
$new->safe_psql('postgres', 'DROP ROLE IF EXISTS stranger; CREATE ROLE stranger') until $tries > 0 && $new->safe_psql('postgres', q{SELECT 'stranger'::regrole::oid}) >= $oid || $tries++ > 10;
is($new->safe_psql('postgres', q{SELECT 'stranger'::regrole::oid}), $oid, "the clerk's is a stranger's there");
$new->safe_psql('postgres', 'CREATE ROLE clerk');
prepare($new, 'postgres');
$new->safe_psql('postgres', 'DELETE FROM mf_reaction; DELETE FROM mf_route');
$old->command_ok([ $old->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $old->connstr('postgres') ], 'a dump');
sql('CREATE PUBLICATION pub FOR ALL TABLES');
$new->safe_psql('postgres', sprintf "CREATE SUBSCRIPTION sub CONNECTION 'host=%s port=%s dbname=postgres' PUBLICATION pub", $old->host, $old->port);
$new->wait_for_subscription_sync($old, 'sub');
$new->safe_psql('postgres', "CREATE DATABASE $_") for 'triggered', 'untriggered';
$new->safe_psql('postgres', 'CREATE ROLE gone');
restore($new, 'triggered');
$new->safe_psql('triggered', 'DROP OWNED BY gone; DROP ROLE gone');
prepare($new, 'untriggered');
restore($new, 'untriggered', '-a', '--disable-triggers');
strangers($new, 'triggered');

# A single table, loaded without mf_home and without triggers: nothing but the names tells whose its rows are, and mf_repair() keeps them.
$new->safe_psql('postgres', 'CREATE DATABASE singly; ALTER DATABASE singly SET myfatoorah.worker_enabled = off');
prepare($new, 'singly');
restore($new, 'singly', '-a', '--disable-triggers', '-t', 'mf_invoice');
$new->safe_psql('singly', q{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'cancelled' WHERE customer_reference = 'queued'});
my $whose = q{SELECT string_agg(concat_ws(' ', coalesce(customer_reference, 'bill'), created_by, (SELECT rolname FROM pg_roles WHERE oid = created_by_id)), ', ' ORDER BY id) FROM mf_invoice WHERE customer_reference IS DISTINCT FROM 'gone'};
like($new->safe_psql('singly', $whose), qr/^paid clerk stranger, \S+ clerk stranger, queued clerk stranger$/, 'singly: the OIDs are those of a stranger');
$new->safe_psql('singly', 'SELECT mf_repair()') for 1, 2;
like($new->safe_psql('singly', $whose), qr/^paid clerk clerk, \S+ clerk clerk, queued clerk stranger$/, 'singly: mf_repair() finds the roles by name, and takes no name away');

# Before a person has decided: nobody has a right by such an OID, and nothing is sent.
my $sent = $sandbox->count(%$send);
sub attempts
{
	my ($role) = @_;

	return map { [ $_->[0], as($role, $_->[1]) ] } (
		[ 'to cancel', q{SELECT mf_cancel(id, 'mine') FROM mf_invoice WHERE customer_reference = 'queued'} ],
		[ 'to change a bill', q{UPDATE mf_bill SET total = 11 WHERE bill_key = 'asked'} ],
		[ 'to pay a bill', q{INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 1 FROM mf_bill WHERE bill_key = 'asked'} ],
		[ 'to pause a plan', q{SELECT mf_pause_plan(id, 'mine') FROM mf_plan} ],
		[ 'to refund', q{INSERT INTO mf_refund (invoice, value) SELECT id, 0.1 FROM mf_invoice WHERE customer_reference = 'paid'} ]);
}

sub denied
{
	my ($db, $role, $when) = @_;

	MyFatoorah::Test::ask($new, $db);
	like($_->[1], qr/^42501: permission denied/, "$db: $role, $when, $_->[0]") foreach attempts($role);
	return;
}

foreach my $db ('postgres', 'triggered', 'untriggered')
{
	denied($db, $_, 'before anybody has decided') for 'stranger', 'clerk';
	next if $db eq 'postgres';
	is($new->safe_psql($db, q{SELECT ok FROM mf_check() WHERE item = 'sending'}), 'f', "$db: mf_check() does not say that all is well");
	$new->safe_psql($db, q{SELECT mf_repair()});
}

# The switch-over, of a publisher that was not paused as a whole; what is asked about what waits is answered.
$old->wait_for_catchup('sub');
$mf->unsubscribe($new);
$new->safe_psql('postgres', q{UPDATE mf_account SET paused_at = NULL, paused_by = NULL WHERE account = 'myfatoorah'});
is($new->safe_psql('postgres', q{SELECT ok, detail ~ 'another database' FROM mf_check() WHERE item = 'sending'}), 'f|t', 'without a subscription, nor a pause, mf_check() says so, too');
denied('postgres', 'stranger', 'after the subscription');
my ($sequences) = slurp_file((grep { -e } 'docs/operations.md', "$ENV{PWD}/docs/operations.md")[0]) =~ /^```sql\n(-- each sequence.*?)^```/ms;
$new->safe_psql('postgres', $sequences);
is($sandbox->count(%$send), $sent, 'nothing is sent');

foreach my $db ('postgres', 'triggered', 'untriggered')
{
	$new->safe_psql($db, q{SELECT mf_resume('*')});
	is($new->safe_psql($db, sprintf $rows, 'clerk'), '1 3 1 1 1', "$db: all is the clerk's");
	is($new->safe_psql($db, sprintf $rows, 'stranger'), '0 0 0 0 0', "$db: nothing is the stranger's");
	is($new->safe_psql($db, q{SELECT created_by_id FROM mf_invoice WHERE customer_reference = 'gone'}), '0', "$db: what belongs to no name here is for operators");
	is($new->safe_psql($db, q{SELECT count(*), count(*) FILTER (WHERE here = mf_here()) FROM mf_home}), '1|1', "$db: the rows are at home");
	$mf->wait_worker($new, $db);
	$new->safe_psql($db, q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'queued'; UPDATE mf_queue SET due = now(), rank = now() FROM mf_invoice i WHERE i.id = invoice AND i.customer_reference = 'queued'; SELECT mf_resume('myfatoorah')});
	$mf->wait_status($new, $db, 'queued');
	is($new->safe_psql($db, q{SELECT own_key FROM mf_invoice WHERE customer_reference = 'queued'}), 'f', "$db: with the key of the account");
	denied($db, 'stranger', 'afterwards') ;
	my @may = attempts('clerk');
	shift @may;
	like($_->[1], qr/^ok/, "$db: the clerk, afterwards, $_->[0]") foreach @may;
	is($new->safe_psql($db, q{SELECT string_agg(DISTINCT created_by || ' ' || own_key, ', ') FROM mf_invoice WHERE metadata ? 'bill'}), 'clerk false', "$db: links are made in his name");
}

# Where the rows have not moved to another server, the OID is right, and the name may be old.
MyFatoorah::Test::ask($old);
sql(q{ALTER ROLE clerk RENAME TO cashier; CREATE ROLE clerk; SELECT mf_pause('*'); SELECT mf_resume('*')});
is(sql(sprintf $rows, 'cashier'), '1 3 1 1 1', 'a renamed role keeps its rows');
$old->safe_psql('template1', 'CREATE DATABASE templated TEMPLATE postgres');
is($old->safe_psql('templated', q{SELECT mf_resume('*')}) . $old->safe_psql('templated', sprintf $rows, 'cashier'), '1 3 1 1 1', 'also in a copy of the database as a whole');

# A dump has names. Before its role is renamed there, who has taken the former name gets nothing of it.
like(($old->psql('postgres', 'ALTER ROLE gone RENAME TO left_us'))[2], qr/NOTICE:  what role "left_us" has inserted keeps the name "gone" in created_by\n.*\nHINT:  Run SELECT \* FROM mf_repair\(\)/s, 'who renames a role is told what to do before the next dump');
$old->safe_psql('templated', 'DELETE FROM mf_inquiry');
is($old->safe_psql('templated', 'SELECT kind, invoices FROM mf_repair()'), "inquiry|1\nrole|8", 'mf_repair() writes the present names, in a copy that has the roles, too');
is($old->safe_psql('templated', sprintf $rows, 'cashier'), '1 3 1 1 1', 'and gives no row that was sent without polling to who has the former name');
is(sql('SELECT kind, invoices FROM mf_repair()'), 'role|8', 'and where the rows were inserted');
is(sql('SELECT count(*) FROM mf_repair()'), 0, 'once');
is(sql(q{SELECT string_agg(DISTINCT created_by, ' ' ORDER BY created_by) FROM mf_invoice_all}), 'cashier left_us', 'which the rows have then');
$old->command_ok([ $old->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $old->connstr('postgres') ], 'a dump after that');
$old->safe_psql('postgres', 'CREATE DATABASE named');
restore($old, 'named');
is($old->safe_psql('named', q{SET session_replication_role = replica; UPDATE mf_invoice SET created_by = 'clerk' WHERE created_by = 'left_us'; SELECT count(*) FROM mf_repair() WHERE kind = 'role'}), 0, 'where rows of another database came in, a name is what tells whose they are');
is($old->safe_psql('named', q{SELECT mf_resume('*')}) . $old->safe_psql('named', sprintf $rows, 'cashier'), '1 3 1 1 1', 'where that is restored the renamed role keeps its rows');
is($old->safe_psql('named', sprintf $rows, 'clerk'), '0 1 0 0 0', 'and who has the former name gets none of them');

# The same database, but other tables: a period that was billed since the dump is not billed again before somebody has decided.
$old->safe_psql('postgres', 'CREATE DATABASE again');
MyFatoorah::Test::ask($old, 'again');
prepare($old, 'again');
sql(q{INSERT INTO mf_plan (plan_key, template, starts_on, every, at_time) VALUES ('again', '{"customer_name": "Ahmad", "total": 10}', mf_local_day('myfatoorah', now()) + 10, '1 month', '00:01')});
my $due = q{SET ROLE myfatoorah_billing; UPDATE mf_plan SET starts_on = starts_on - 10, anchor_on = anchor_on - 10, next_on = next_on - 10, next_at = now()};
sql(q{ALTER DATABASE again SET myfatoorah.worker_enabled = off});
$mf->wait_no_worker($old, 'again');
sql($due);
$old->command_ok([ $old->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $old->connstr('again') ], 'a dump before a period is billed');
sql('SELECT mf_billing_tick(now())');
is(sql('SELECT count(*) FROM mf_bill'), 1, 'which is billed then');
sql('SET myfatoorah_billing.drop_books = on; DROP EXTENSION myfatoorah CASCADE');
prepare($old, 'again');
restore($old, 'again', '-a', '--disable-triggers');
is(sql(q{SELECT count(*), count(*) FILTER (WHERE here = mf_here()) FROM mf_home}), '2|1', 'the tables that were made anew are another home');
is(sql(q{SELECT ok FROM mf_check() WHERE item = 'sending'}), 'f', 'mf_check() says that this may be a copy');
sql('ALTER DATABASE again RESET myfatoorah.worker_enabled');
$mf->wait_worker($old, 'again');
$mf->insert($old, 'again', 'look');
sql('SELECT mf_billing_tick(now())');
$mf->wait_idle($old, 'again');
is(sql('SELECT count(*) FROM mf_bill'), 0, 'nothing is billed again');
is($mf->status($old, 'again', 'look'), 'queued', 'nor sent');
like(sql(q{SELECT reason FROM mf_account WHERE account = '*'}), qr/^rows of another database/, 'all is paused');
sql(q{SELECT mf_resume('*')});
$mf->wait_status($old, 'again', 'look');
sql('SELECT mf_billing_tick(now())');
# or by the tick of the worker, which may have had the plan locked
wait_for('SELECT count(*) FROM mf_bill', 1);

$_->stop for $new, $old;
done_testing();
