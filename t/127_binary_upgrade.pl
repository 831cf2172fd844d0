# pg_upgrade to the same version of PostgreSQL: it makes servers before tables, in which commands of ours about servers must not look.
# What becomes of rows in every state, from an older version, is seen by t/122_pg_upgrade.pl where there is one.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('old');

chomp(my $bin = $ENV{MF_BIN} // `pg_config --bindir`);
plan skip_all => "there is no pg_upgrade in $bin" unless -x "$bin/pg_upgrade";

$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'postgres', $sandbox, account => 'second');
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, 'postgres');
$mf->insert_bill($node, 'postgres', 'upgraded');
$node->stop;

my $new = $mf->new_node('new', start => 0);
my $dir = PostgreSQL::Test::Utils::tempdir('upgrade');
my $pid = fork // die "could not fork: $!\n";

if ($pid == 0)
{
	chdir $dir or POSIX::_exit(1);
	open STDOUT, '>', "$dir/log" and open STDERR, '>&', \*STDOUT;
	delete local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)};
	exec "$bin/pg_upgrade", '-b', $bin, '-B', $bin, '-d', $node->data_dir, '-D', $new->data_dir, '-s', PostgreSQL::Test::Utils::tempdir_short(),
	  '-p', $node->port, '-P', $new->port
	  or POSIX::_exit(127);
}
waitpid $pid, 0;
is($?, 0, 'pg_upgrade') or diag slurp_file("$dir/log");

$new->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
$new->start;
is($new->safe_psql('postgres', 'SELECT srvname FROM pg_foreign_server ORDER BY 1'), "myfatoorah\nsecond", 'the accounts are there');
is($new->safe_psql('postgres', 'SELECT b.bill_key, i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice'), 'upgraded|sent', 'and bills with their links');
$new->stop;
done_testing();
