# A reload before a new worker takes signals is not lost.
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

$node->stop;
done_testing();
