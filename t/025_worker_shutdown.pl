# Each orderly end of a worker records every answer that has come, in as many rounds as it takes, with a thousand of them in
# hand and a trigger that makes each record slow; and being told again and again does not cut that short.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'\nmyfatoorah.poll_rate_limit = 0\nmyfatoorah.shutdown_wait = '5s'");
my $send = { path => '/v2/SendPayment' };
my $db = 'shop';
my $n = 1000;
my $round = 0;

$node->safe_psql('postgres', "CREATE DATABASE $db");
$mf->setup_account($node, $db, $sandbox, options => { max_in_flight => $n });
$mf->wait_worker($node, $db);
$node->safe_psql($db, q{
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.status = 'sent' THEN PERFORM pg_sleep(0.002); END IF;
			RETURN NEW;
		END $$;
	CREATE TRIGGER slow BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION slow()});

foreach my $case (
	[ 'pg_ctl stop -m fast', sub { $node->stop('fast'); $node->start } ],
	[ 'pg_terminate_backend()', sub { my $pid = $mf->worker_pid($node, $db);
			$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid), pg_sleep(0.05) FROM generate_series(1, 20)") } ],
	[ 'switched off', sub { $node->safe_psql('postgres', "ALTER DATABASE $db SET myfatoorah.worker_enabled = off; SELECT pg_reload_conf()");
			$mf->wait_no_worker($node, $db) } ],
	[ 'ALTER DATABASE RENAME', sub { $node->psql('postgres', "ALTER DATABASE $db RENAME TO store") for 1 .. 2; $db = 'store' } ],
	[ 'CREATE DATABASE TEMPLATE', sub { $node->psql('postgres', "CREATE DATABASE copy TEMPLATE $db") } ])
{
	my ($what, $end) = @$case;
	my $prefix = 'end-' . ++$round;
	my $before = $sandbox->count(%$send);

	$sandbox->faults({ path => 'SendPayment', delay_ms => 1500, times => $n });
	$mf->insert_many($node, $db, $prefix, $n);
	# all are answered, and few of the answers can be recorded yet
	$sandbox->wait_count({ %$send, phase => 'answered' }, $before + $n) or die "they are not sent\n";
	$end->();
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'sending'", 0);
	is($node->safe_psql($db, "SELECT status, count(*), count(invoice_url) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' GROUP BY 1"),
		"sent|$n|$n", "$what: all answers are recorded, with their links");
	$sandbox->clear_faults;
	if ($what eq 'switched off')
	{
		$node->safe_psql('postgres', "ALTER DATABASE $db RESET myfatoorah.worker_enabled; SELECT pg_reload_conf()");
	}
	$mf->wait_worker($node, $db);
}

is($sandbox->count(%$send), 5 * $n, 'each was posted once');
$node->stop;
done_testing();
