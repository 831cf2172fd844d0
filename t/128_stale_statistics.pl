# A queue that was vacuumed while it was nearly empty is empty to the planner, however many rows it has got since. What goes
# through a backlog then reads each of its rows a few times, and not all of them once for each.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "autovacuum = off\nmyfatoorah.poll_delay = '1h'\nmyfatoorah.history_retention = 0");
my $db = 'postgres';
my $many = 2_000;
my $limit = 100 * $many;

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);

sub backlog
{
	sql(qq{SELECT mf_pause('myfatoorah', 'a backlog');
		INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'backlog', 1 FROM generate_series(1, $many)});
	return;
}

# of the queue and the inquiries, in a session of its own
sub reads
{
	return sql(q{SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('mf_queue', 'mf_inquiry', 'mf_invoice'))
		+ (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('mf_queue', 'mf_inquiry', 'mf_invoice'))});
}

# The tables have had many rows: their pages are there, and no row. A rolled back insertion leaves them so.
sql(qq{BEGIN; INSERT INTO mf_invoice (customer_name, invoice_value) SELECT 'gone', 1 FROM generate_series(1, $many); ROLLBACK});
sql('VACUUM (TRUNCATE false, ANALYZE) mf_queue, mf_inquiry, mf_invoice');
is(sql(q{SELECT string_agg(DISTINCT reltuples::text, ' ') FROM pg_class WHERE relname IN ('mf_queue', 'mf_invoice') AND relpages > 10}), '0',
	'the planner takes the tables for empty');
backlog();

my $some = "(SELECT array_agg(id) FROM (SELECT id FROM mf_invoice WHERE status = 'queued' LIMIT 100) i)";
foreach my $what ("mf_repair()", "mf_check()", "mf_archive('2020-01-01')", "mf_forget('nobody')", "mf_cancel($some, 'test')", "mf_retry($some, 'test')",
	"mf_move_account('another', 'myfatoorah')", "mf_resume('myfatoorah')")
{
	my $before = reads();

	sql("SELECT count(*) FROM $what");
	my $read = reads() - $before;
	cmp_ok($read, '<', $limit, "$what reads each row of a backlog a few times ($read)");
}
$mf->wait_idle($node, $db);
my $before = reads();
backlog();
sql("SELECT pg_terminate_backend($worker)");
$mf->wait_worker($node, $db, not => $worker);
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_idle($node, $db);
my $read = reads() - $before;
cmp_ok($read, '<', $limit, "so does a worker that starts, and sends them ($read)");
done_testing();
