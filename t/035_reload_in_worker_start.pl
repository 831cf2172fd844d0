# A reload before a new worker takes signals is not lost, nor is a row that is due too late and committed while the worker begins.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $node = $mf->new_node('main');

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);
my $offset = -s $node->logfile;

$node->append_conf('postgresql.conf', "myfatoorah.failpoint = 'signals'");
$node->reload;
$node->poll_query_until($db, 'SHOW myfatoorah.failpoint', 'signals') or die "not reloaded\n";
$node->safe_psql($db, "SELECT pg_terminate_backend($worker)");
ok($node->wait_for_log(qr/failpoint "signals" reached/, $offset), 'a new worker is about to take signals');
$node->append_conf('postgresql.conf', "myfatoorah.failpoint = ''\nmyfatoorah.worker_enabled = off");
$node->reload;
$node->poll_query_until($db, 'SHOW myfatoorah.worker_enabled', 'off') or die "not reloaded\n";
open my $file, '>', $node->data_dir . '/myfatoorah.continue' or die "could not write: $!\n";
close $file;
$mf->wait_no_worker($node, $db);
pass('it has read what was reloaded meanwhile');

# A transaction from before a restart, whose row waits for a time that a wrong clock has given, is committed while the worker looks for such.
$node->safe_psql($db, 'BEGIN; INSERT INTO mf_invoice ' . $mf->invoice('prepared') . "; SET LOCAL session_replication_role = replica;
	UPDATE mf_queue SET due = now() + interval '1 year', rank = now() + interval '1 year'; PREPARE TRANSACTION 'late'");
$node->append_conf('postgresql.conf', "myfatoorah.failpoint = 'prepared_noted'\nmyfatoorah.worker_enabled = on");
unlink $node->data_dir . '/myfatoorah.continue';
$offset = -s $node->logfile;
$node->restart;
ok($node->wait_for_log(qr/failpoint "prepared_noted" reached/, $offset), 'a new worker is about to look for what is due too late');
$node->safe_psql($db, "COMMIT PREPARED 'late'");
open $file, '>', $node->data_dir . '/myfatoorah.continue' or die "could not write: $!\n";
close $file;
$mf->wait_status($node, $db, 'prepared');
pass('what is committed meanwhile is sent');

$node->stop;
done_testing();
