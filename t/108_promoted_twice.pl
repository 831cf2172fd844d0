# Two promotions in quick succession: the first of the two primaries has no time to start its worker, but time for an INSERT.
# The second one sends what was inserted there, like all else, and waits for nobody. What was inserted into it before its
# worker came needs no look-up.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my @nodes = $mf->new_node('first', init => { allows_streaming => 1 },
	conf => "myfatoorah.lookup_delay = '300ms'\nmyfatoorah.retry_delay = '50ms'");

$mf->setup_account($nodes[0], 'postgres', $sandbox);
$mf->wait_worker($nodes[0], 'postgres');
$nodes[0]->backup('backup');

# Each streams from the one before.
foreach my $name ('second', 'third')
{
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($nodes[0], 'backup', has_streaming => 1);
	$mf->write_key($node, $sandbox->key);
	$node->append_conf('postgresql.conf', 'primary_conninfo = ' . $mf->literal($nodes[-1]->connstr . ' application_name=' . $name));
	$node->append_conf('postgresql.conf', "recovery_target_timeline = 'latest'");
	push @nodes, $node;
}
my ($first, $second, $third) = @nodes;

# Their workers do not come by themselves.
$_->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off') foreach $second, $third;
$_->start foreach $second, $third;
$mf->insert($first, 'postgres', 'by the first', send_at => "now() + interval '1 h'");
$first->wait_for_catchup($second);
$first->stop('immediate');
$second->promote;
$mf->insert($second, 'postgres', 'by the second');
my $lsn = $second->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$mf->wait_for($third, 'postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'");
$second->stop('immediate');
$third->promote;
$mf->insert($third, 'postgres', 'by the third, early');
$third->safe_psql('postgres', 'ALTER DATABASE postgres SET myfatoorah.worker_enabled = on');
$mf->wait_worker($third, 'postgres');

$mf->wait_status($third, 'postgres', 'by the third, early');
pass('what was inserted between the promotion and the start of the worker is sent at once');
is($third->safe_psql('postgres', q{SELECT count(*), bool_and(q.origin = mf_origin()), string_agg(DISTINCT q.kind, ' ') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'}), '2|t|verify',
	'the rows of the others are on its agenda, to be looked up first');
is($third->safe_psql('postgres', 'SELECT coalesce(max(account), $$none$$) FROM mf_account WHERE paused_at IS NOT NULL'), 'none', 'nothing is paused');
$mf->insert($third, 'postgres', 'by the third');
$mf->wait_status($third, 'postgres', 'by the third');
pass('what is inserted now is sent at once');

# The test does not wait for a minute.
$third->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'; UPDATE mf_queue SET due = now(), rank = now()});
$mf->insert($third, 'postgres', 'awake');
$mf->wait_for($third, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
is(join(' ', map { s/by the //r } sort $sandbox->names), 'awake first second third third, early', 'all is sent, once');
# A promoted node without the key file: rows wait, nothing is paused.
unlink $third->data_dir . '/myfatoorah.key';
$mf->insert($third, 'postgres', 'without a key');
$mf->wait_for($third, 'postgres', q{SELECT last_error LIKE '%api_key_file%' FROM mf_invoice WHERE customer_reference = 'without a key'});
is($third->safe_psql('postgres', q{SELECT (SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL), count(*) FROM mf_check() WHERE item = 'account' AND NOT ok AND detail LIKE '%myfatoorah.key%'}), '0|1',
	'without its key file rows wait and nothing is paused; mf_check() names the file');
$mf->write_key($third, $sandbox->key);
$third->safe_psql('postgres', q{SELECT mf_resume('myfatoorah')});
$mf->wait_status($third, 'postgres', 'without a key');
is_deeply([ $mf->problems($third, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
unlike(slurp_file($third->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$third->stop;
done_testing();
