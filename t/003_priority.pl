# Priority counts once a row is due; what is due later is read by no claim, whatever its priority.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--quiet' ]);
my $node = $mf->new_node('main');
my $later = 20_000;

$mf->setup_account($node, 'postgres', $sandbox, options => { max_in_flight => 1 });
$mf->wait_worker($node, 'postgres');

# entries of the agenda that were read, once no more come in: a worker tells when it rests
sub entries_read
{
	my ($before, $now) = (-1, 0);

	while ($now != $before)
	{
		$before = $now;
		sql('SELECT pg_sleep(1.2)');
		$now = sql("SELECT pg_stat_get_tuples_returned('mf_queue_rank_idx'::regclass) + pg_stat_get_tuples_returned('mf_queue_promote_idx'::regclass)
			+ pg_stat_get_tuples_returned('mf_queue'::regclass)");
	}
	return $now;
}

sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference, send_at, priority)
	SELECT 'myfatoorah', 'x', 1, 'LNK', 'later-' || n, now() + interval '10 h', 100 FROM generate_series(1, $later) n");
$mf->insert($node, 'postgres', 'warm');
$mf->wait_status($node, 'postgres', 'warm');
my $before = entries_read();
foreach my $n (1 .. 10)
{
	$mf->insert($node, 'postgres', "now-$n");
	$mf->wait_status($node, 'postgres', "now-$n");
}
my $read = entries_read() - $before;
cmp_ok($read, '<', 1000, "$later entries of priority 100 that are due in ten hours are not read");
note("entries read for ten invoices: $read");

# Rows of priority that become due while others wait; one of them cannot be changed.
sub sent_after
{
	my ($prefix) = @_;
	my @posts = map { ($_->{reference} // '') =~ /^($prefix-.*)\./ ? $1 : () } $sandbox->posts;

	return join ' ', @posts;
}

sub wait_and_send
{
	my ($prefix) = @_;

	sql("SELECT mf_pause('myfatoorah', 'until all is due')");
	sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference)
		SELECT 'myfatoorah', 'x', 1, 'LNK', '$prefix-usual-' || n FROM generate_series(1, 5) n");
	sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference, send_at, priority)
		SELECT 'myfatoorah', 'x', 1, 'LNK', '$prefix-first-' || n, clock_timestamp() + interval '1 s', 10 - n FROM generate_series(1, 3) n");
	is(sql("SELECT count(*), bool_and(promote AND rank = due) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice
		WHERE i.customer_reference LIKE '$prefix-first-%'"), '3|t', "$prefix: until it is due, priority does not count");
	$mf->wait_for($node, 'postgres', "SELECT bool_and(send_at < now()) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%'");
	sql("SELECT mf_resume('myfatoorah')");
	$mf->wait_for($node, 'postgres', "SELECT bool_and(status = 'sent') FROM mf_invoice WHERE customer_reference LIKE '$prefix-%'");
	return;
}
wait_and_send('order');
is(sent_after('order'), join(' ', (map { "order-first-$_" } 1 .. 3), map { "order-usual-$_" } 1 .. 5), 'then it does');

sql(q{CREATE FUNCTION no_promotion() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
	CREATE TRIGGER no_promotion BEFORE UPDATE OF rank ON mf_queue FOR EACH ROW WHEN (OLD.promote AND NOT NEW.promote) EXECUTE FUNCTION no_promotion()});
my $offset = -s $node->logfile;
wait_and_send('broken');
pass('what cannot be promoted is sent');
is(scalar(() = slurp_file($node->logfile, $offset) =~ /could not order due invoices by priority/g), 1, 'and one line tells of it');

is(sql("SELECT count(*) FROM mf_queue WHERE kind = 'send'"), $later, 'what is due later waits');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
