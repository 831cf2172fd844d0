# The role of the worker has another name: nobody is told to drop the extension, which would take the invoices along.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $node = $mf->new_node('main');

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);

my $offset = -s $node->logfile;
$node->safe_psql($db, "ALTER ROLE myfatoorah_worker RENAME TO wrk; SELECT pg_terminate_backend($worker)");
ok($node->wait_for_log(qr/role "myfatoorah_worker" does not exist\n.*DETAIL:.*renamed or dropped.*\n.*HINT:.*ALTER ROLE \.\.\. RENAME TO myfatoorah_worker/, $offset), 'the log tells that it may have been renamed, and how to go on');
unlike(slurp_file($node->logfile, $offset), qr/HINT:.*(?:[Dd]rop and create|create the extension again)/, 'and not to drop the extension');
$node->safe_psql($db, 'ALTER ROLE wrk RENAME TO myfatoorah_worker');
$worker = $mf->wait_worker($node, $db, not => $worker);
$mf->insert($node, $db, 'renamed back');
$mf->wait_status($node, $db, 'renamed back');
pass('renamed back, the worker sends');

$node->stop;
done_testing();
