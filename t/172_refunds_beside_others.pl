# What others do to an invoice while a refund of it is on its way: sessions that stay open, that delete and archive it. None
# keeps the worker from its work, and no refund is left behind that nobody would ever carry out.
use MyFatoorah::Test qw(sql wait_for);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '50ms'");

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# An invoice that was sent and paid, and has nothing left to be asked; its id
sub paid
{
	my ($name, %columns) = @_;
	my ($id) = $mf->settle($node, $db, $sandbox, $name, 'pay', %columns);

	sql("DELETE FROM mf_inquiry WHERE invoice = $id");
	return $id;
}

sub refund
{
	my ($invoice, $value) = @_;

	return sql("INSERT INTO mf_refund (invoice, value, comment) VALUES ($invoice, $value, 'broken') RETURNING id");
}

# Makes it old enough to be archived
sub age
{
	my ($invoice) = @_;

	return sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-15' WHERE id = $invoice");
}

$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key');
my %id = map { $_ => paid($_) } qw(open deleted first archived behind refused);
my $lost = paid('lost', account => "'second'");
my $archive = q{SELECT mf_archive('2020-02-01', 1)};

# Somebody has cancelled a refund that waits for another one, and does not commit.
{
	my $open = $mf->session($node, $db);
	$sandbox->faults({ path => 'MakeRefund', delay_ms => -1 });
	my ($first, $second) = map { refund($id{open}, $_) } 1, 2;
	wait_for("SELECT status = 'queued' AND due > now() FROM mf_operation WHERE id = $second");
	is(sql("SELECT status FROM mf_refund WHERE id = $first"), 'sending', 'a refund waits for another one that is under way');
	$open->query_safe("BEGIN; SELECT mf_cancel_refund($second)");
	$sandbox->clear_faults;
	ok(wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $first"), 'whoever cancels it and does not commit keeps no answer from being recorded');
	$mf->insert($node, $db, 'beside');
	ok($mf->wait_status($node, $db, 'beside'), 'nor an invoice from being sent');
	$open->query_safe('ROLLBACK');
	$open->quit;
	sql('SELECT mf_resume()');
	ok(wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $second"), 'and what was not cancelled is asked for');
}

# A refund of an archived invoice is not asked for again: the worker would never come to it.
{
	$sandbox->faults({ path => 'MakeRefund', status => 400,
		body => '{"IsSuccess":false,"Message":"Invalid data","ValidationErrors":[{"Name":"Amount","Error":"Insufficient balance"}],"Data":null}' });
	my $refund = refund($id{refused}, 1);
	wait_for("SELECT status = 'refused' FROM mf_refund WHERE id = $refund");
	age($id{refused});
	is(sql($archive), 1, 'an invoice with a refused refund is archived');
	like(($node->psql($db, "SELECT mf_retry_refund($refund, 'topped up')"))[2], qr/refund $refund does not exist.*mf_unarchive/s, 'the refund cannot be asked for again');
	is(sql("SELECT mf_unarchive(ARRAY[$id{refused}]); SELECT mf_retry_refund($refund, 'topped up')"), "1\n", 'until the invoice is brought back');
	ok(wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $refund"), 'after that the refund is asked for again');
}

sql('SELECT mf_pause()');

# An invoice with an unfinished refund stays, also for a transaction whose snapshot is older than that.
{
	my $session = $mf->session($node, $db);

	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mf_invoice');
	my $refund = refund($id{deleted}, 3);
	$session->query("DELETE FROM mf_invoice WHERE id = $id{deleted}");
	like($session->{stderr}, qr/invoice $id{deleted} cannot be deleted/, 'a refund that the snapshot does not show keeps its invoice from being deleted');
	$session->query('ROLLBACK');
	$session->quit;
	sql("SELECT mf_cancel_refund($refund)");
}
is(sql("BEGIN; DELETE FROM mf_invoice WHERE id = $id{deleted}; SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'mf_operation'; ROLLBACK"), 0,
	'however many refunds there are, those of one invoice are looked up');

# mf_archive() has looked at the invoice before the refund, and locks it after.
{
	my ($archiver, $holder) = map { $mf->session($node, $db) } 1 .. 2;

	# its plans are made; a plan opens its indexes when it begins, after its snapshot was taken
	age($id{first});
	is($archiver->query_safe($archive), 1, 'an invoice is archived');
	age($_) foreach @id{qw(archived behind)};
	$holder->query_safe('BEGIN; REINDEX TABLE mf_reaction_queue');
	$archiver->query_until(qr/begun/, "\\echo begun\n$archive;\n");
	wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mf_archive(%' AND pid <> pg_backend_pid()});
	my $refund = refund($id{archived}, 3);
	$holder->query_safe('COMMIT');
	is($archiver->query(''), 1, 'an invoice whose refund came before the lock is passed over, and the one behind it is archived');
	is(sql("SELECT i.id FROM mf_refund r JOIN mf_invoice i ON i.id = r.invoice WHERE r.id = $refund"), $id{archived}, 'it stays with its refund');
	is(sql("SELECT mf_cancel_refund($refund); $archive"), "\n1", 'until that has ended');
	$_->quit foreach $archiver, $holder;
}

# The server of an account is dropped that has nothing to do but a refund.
{
	sql("SELECT mf_pause('second')");
	my $refund = refund($lost, 3);
	sql('DROP SERVER second CASCADE');
	like(sql(q{SELECT detail FROM mf_check() WHERE item = 'accounts' AND NOT ok}), qr/accounts that do not exist: 'second'/, 'a refund without an account is told of');
	$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key');
	sql("SELECT mf_resume('second')");
	ok(wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $refund"), 'and carried out once it has one');
}

# What must not be null
foreach (qw(kind status))
{
	like(($node->psql($db, "INSERT INTO mf_operation (invoice, value, $_) VALUES ($id{open}, 1, NULL)"))[2], qr/null value in column "\w+" of relation "mf_operation"/,
		"an operation has a $_");
}

sql("SELECT mf_resume(), mf_unarchive(ARRAY[$id{first}, $id{archived}, $id{behind}])");
wait_for(q{SELECT count(*) = 0 FROM mf_operation WHERE status IN ('queued', 'sending', 'unknown')});
is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each row has its one invoice');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
