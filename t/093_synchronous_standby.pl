# A synchronous standby is away: nothing leaves whose record no standby has, nobody is told that something is stored, and
# nobody waits for ever, least of all those who want the server to stop.
use MyFatoorah::Test;
use MyFatoorah::Chaos;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";
my $node = $mf->new_node('main', init => { allows_streaming => 1 },
	conf => "myfatoorah.listen_port = $port\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '100ms'");

$mf->setup_account($node, 'postgres', $sandbox, options => { timeout => '5s' });
$web->give_secret($node, 'postgres');
$web->wait_listening($node, 'postgres', $port);
my $known = $mf->insert($node, 'postgres', 'known');
$mf->wait_status($node, 'postgres', 'known');

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('postgres', "SET synchronous_commit = local; $query");
}

sub waits
{
	my ($process) = @_;

	return $mf->wait_for($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah $process' AND wait_event = 'SyncRep'", 1);
}

sub pid_of
{
	my ($process) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah $process'");
}

sub gone
{
	my ($pid) = @_;

	return $mf->wait_for($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0);
}

# Posts a webhook in the background; the status of the answer
sub post
{
	my (%webhook) = @_;
	my ($body, $headers) = $web->v2(%webhook);
	my $pid = open my $answer, '-|' // die "could not fork: $!\n";

	if ($pid == 0)
	{
		print $web->post("$url/webhook", $body, $headers)->{status};
		POSIX::_exit(0) if close STDOUT;
	}
	return sub { my $status = <$answer>; close $answer; return $status };
}

$node->append_conf('postgresql.conf', "synchronous_standby_names = 'away'");
$node->reload;
$mf->wait_for($node, 'postgres', "SELECT setting FROM pg_settings WHERE name = 'synchronous_standby_names'", 'away');

#
# The listener
#
my $webhook = post(invoice => 5, payment => '0501');
is($web->get("$url/health")->{status}, 200, '/health answers while no standby confirms a webhook');
is($webhook->(), 503, 'a webhook that no standby has is not answered as stored');
is(sql('SELECT count(*) FROM mf_event WHERE invoice_id = 5'), 1, 'though it is here');
like(sql('SELECT last_error FROM mf_listener_status'), qr/no synchronous standby has confirmed it/, 'the listener says why');

# A fresh one waits longer at first: time to look at it, and to end it.
my $listener = pid_of('listener');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($listener)");
gone($listener);
$web->wait_listening($node, 'postgres', $port, not => $listener);
$listener = pid_of('listener');
$webhook = post(invoice => 6, payment => '0601');
waits('listener');
is(sql(q{SELECT ok, detail LIKE 'Waits for a synchronous standby%' FROM mf_check() WHERE item = 'listener'}), 'f|t', 'mf_check() says what the listener waits for');
$webhook->();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($listener)");
gone($listener);
$web->wait_listening($node, 'postgres', $port, not => $listener);
my $errors = sql('SELECT last_error_at FROM mf_listener_status');
$webhook = post(invoice => 7, payment => '0701');
waits('listener');
$listener = pid_of('listener');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($listener)");
is($webhook->(), 503, 'nor is it if the listener is ended meanwhile');
gone($listener);
$web->wait_listening($node, 'postgres', $port, not => $listener);
is(sql('SELECT last_error_at FROM mf_listener_status'), $errors, 'which is no error');

#
# The worker
#
my $before = $sandbox->count(%$send);
sql('INSERT INTO mf_invoice ' . $mf->invoice("waiting-$_")) for 1 .. 3;
waits('worker');
is(sql(q{SELECT ok, detail LIKE 'Waits for a synchronous standby%' FROM mf_check() WHERE item = 'worker'}), 'f|t', 'mf_check() says what the worker waits for');
my $worker = pid_of('worker');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($worker)");
waits('worker');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
gone($worker);
pass('it can be ended');
cmp_ok(sql(q{SELECT count(*) FROM mf_attempt WHERE outcome = 'not_sent' AND error = 'its record was not confirmed by a standby'}), '>', 0, 'its attempts have not left');
$mf->wait_worker($node, 'postgres', not => $worker);
waits('worker');
$web->wait_listening($node, 'postgres', $port);
is($web->get("$url/health")->{status}, 200, 'a fresh worker starts the listener, although it waits itself');
my $seconds = $mf->seconds(sub { $node->stop('fast') });
cmp_ok($seconds, '<', 20, 'so can the server');
is($sandbox->count(%$send), $before, 'and no request has left whose record no standby has');

#
# The standby is not waited for any more
#
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->start;
$mf->wait_status($node, 'postgres', "waiting-$_") for 1 .. 3;
$web->wait_listening($node, 'postgres', $port);
is(post(invoice => 5, payment => '0501')->(), 200, 'the webhook that comes again is known');
is(sql('SELECT count(*), max(deliveries) FROM mf_event WHERE invoice_id = 5'), '1|2', 'and the same');

#
# The postmaster is killed while a worker that always has work waits for a standby: from then on no commit waits. Each process ends, or
# nobody could start the server again.
#
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'primary_conninfo = ' . $mf->literal($node->connstr . ' application_name=standby'));
$standby->start;
sql(q{ALTER SYSTEM SET synchronous_standby_names = 'standby'; SELECT pg_reload_conf()});
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'}, 1);
$sandbox->faults({ path => 'SendPayment', delay_ms => 50, times => -1 });
$mf->insert_many($node, 'postgres', 'many', 2000);
$mf->wait_for($node, 'postgres', q{SELECT count(*) > 100 FROM mf_invoice WHERE customer_name LIKE 'many-%' AND status = 'sent'});
kill 'STOP', split /\n/, $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
waits('worker');
MyFatoorah::Chaos->kill_postmaster($node);
pass('no process has outlived its postmaster');
$standby->stop('immediate');
$node->stop('immediate');
$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''");
$node->start;
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
