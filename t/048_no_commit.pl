# Transactions that cannot write: transaction ids are used up, the server is read only by default. The worker says so, ends when
# it is told to, loses nothing and sends nothing twice.
use MyFatoorah::Test qw(sql ask);

my $mf = 'MyFatoorah::Cluster';
my $send = { path => '/v2/SendPayment' };
my $conf = "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nlog_min_messages = log";
my $db = 'postgres';
my ($sandbox, $node);

sub worker_item { return sql(q{SELECT ok || ' ' || detail FROM mf_check() WHERE item = 'worker'}); }

#
# No transaction id is left until VACUUM has been everywhere, which it does not get to at first.
#
{
	$sandbox = MyFatoorah::Sandbox->new;
	$node = ask $mf->new_node('wraparound', conf => "$conf\nautovacuum_naptime = '2000000s'");
	$mf->setup_account($node, $db, $sandbox, options => { timeout => '2s', connect_timeout => '500ms' });
	$mf->insert($node, $db, 'before');
	$mf->wait_status($node, $db, 'before');

	# The oldest one is some hundreds; the last one that may be used is three millions before the end (one in PostgreSQL 13).
	my $oldest = sql('SELECT min(datfrozenxid::text::bigint) FROM pg_database');
	my $stop = $oldest + 2**31 - 1 - 3_000_000;
	my $start = $stop - 60;
	$node->stop;
	command_ok([ $node->installed_command('pg_resetwal'), '-x', $start, '-u', $oldest, $node->data_dir ], 'pg_resetwal -x');
	my $segment = sprintf '%s/pg_xact/%04X', $node->data_dir, int($start / 1048576);
	append_to_file($segment, "\0" x 262144);
	$node->start;
	$mf->wait_worker($node, $db);

	# more than one request of the server is over that limit soon
	$mf->insert_many($node, $db, 'soon', 3, send_at => "now() + interval '5 s'");
	my (undef, undef, $error) = $node->psql($db, "SELECT txid_current();\n" x 100, on_error_stop => 0);
	like($error, qr/not accepting commands/, 'the server gives out no more transaction ids');
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_worker_status WHERE last_error ~ 'not accepting commands'}, 1);
	like(worker_item(), qr/^false Running as process \d+, but its latest transaction failed: database is not accepting commands/, 'no transaction ids: mf_check() says so');
	is($sandbox->count(%$send), 1, 'no transaction ids: nothing is sent that cannot be recorded');
	is(sql(q{SELECT count(*) FROM mf_queue WHERE kind = 'send' AND error IS NULL AND due <= now() + interval '3 s'}), 3, 'no row is put off as if it were to blame');
	cmp_ok($mf->seconds(sub { $node->stop }), '<', 15, 'the server can be stopped');
	$node->start;
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_check() WHERE item = 'worker' AND NOT ok AND detail ~ 'No worker is running for this database. The latest error was: database is not accepting commands'}, 1);
	pass('started again, no worker can work, and mf_check() says why');

	$node->append_conf('postgresql.conf', "autovacuum_naptime = '1s'");
	$node->reload;
	$mf->wait_status($node, $db, "soon-$_") for 1 .. 3;
	is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'after VACUUM all is sent, once');
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
	$node->stop;
}

#
# Read only by default: that is for others.
#
{
	$sandbox = MyFatoorah::Sandbox->new;
	$node = ask $mf->new_node('read_only', conf => "$conf\ndefault_transaction_read_only = on");
	sql('SELECT 1');
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off';
	$mf->setup_account($node, $db, $sandbox);
	$mf->insert($node, $db, 'read only');
	$mf->wait_status($node, $db, 'read only');
	is(sql('SHOW default_transaction_read_only'), 'off', 'default_transaction_read_only: who wants to write can');
	delete local $ENV{PGOPTIONS};
	my (undef, undef, $error) = $node->psql($db, 'INSERT INTO mf_invoice ' . $mf->invoice('refused'));
	like($error, qr/cannot execute INSERT in a read-only transaction/, 'others cannot');
	like(worker_item(), qr/^true/, 'the worker does not mind');
	$node->stop;
}
done_testing();
