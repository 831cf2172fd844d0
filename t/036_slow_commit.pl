# A commit that takes long is not taken for a synchronous standby that is away.
use MyFatoorah::Test;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $db = 'postgres';
my $port = $web->free_port;
my $node = $mf->new_node('main', conf => "myfatoorah.listen_port = $port");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

my $sandbox = MyFatoorah::Sandbox->new;
$mf->setup_account($node, $db, $sandbox);
$web->give_secret($node, $db);
$web->wait_listening($node, $db, $port);

# it lasts until the listener would wait for a standby no longer
my $offset = -s $node->logfile;
$node->append_conf('postgresql.conf', "log_line_prefix = '%b: '\nmyfatoorah.failpoint = 'committing'");
$node->reload;
$node->poll_query_until($db, 'SHOW myfatoorah.failpoint', 'committing') or die "not reloaded\n";
my ($body, $headers) = $web->v2(invoice => 5, payment => '0501');
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 200, 'a webhook is answered as stored');
ok($node->wait_for_log(qr/myfatoorah listener: LOG:  failpoint "committing" reached/, $offset), 'its commit took long');
is($node->safe_psql($db, 'SELECT last_error FROM mf_listener_status'), '', 'the listener tells of no standby');
is($node->safe_psql($db, 'SELECT count(*) FROM mf_event WHERE invoice_id = 5'), 1, 'the webhook is there');

open my $file, '>', $node->data_dir . '/myfatoorah.continue' or die "could not write: $!\n";
close $file;
$node->stop;
done_testing();
