# Many databases, few of them with the extension: these have a worker after a restart, and no other costs a process. Where
# there is no room for a worker, one line in the log says so.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => "autovacuum = off\nmax_worker_processes = 20");
my @with = ('with1', 'with2', 'with3');
my $offset;

sub sql
{
	return $node->safe_psql(@_);
}

# How often the log says something since $offset was taken
sub lines
{
	my ($pattern) = @_;

	return scalar(() = slurp_file($node->logfile, $offset) =~ /$pattern/g);
}

sub workers
{
	return "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker'";
}

# The launcher has done what a reload makes it do.
sub reload
{
	my $probes = lines(qr/starting background worker process "myfatoorah database scan for/);

	$node->reload;
	$node->wait_for_log(qr/(?:starting background worker process "myfatoorah database scan for.*){@{[ $probes + 1 ]}}/s, $offset);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah database scan'", 0);
	return;
}

$node->safe_psql('postgres', "CREATE DATABASE plain$_") for 1 .. 40;
foreach (@with)
{
	sql('postgres', "CREATE DATABASE $_");
	sql($_, 'CREATE EXTENSION myfatoorah');
	$mf->wait_worker($node, $_);
}

# All of them in one transaction: none keeps a process that would be in the way.
{
	my @more = map { "more$_" } 1 .. 6;

	foreach (@more)
	{
		sql('postgres', "CREATE DATABASE $_ TEMPLATE with1");
		$mf->wait_worker($node, $_);
	}
	is(($node->psql('postgres', join(';', 'BEGIN', (map { "ALTER DATABASE $_ RENAME TO ${_}_; ALTER DATABASE ${_}_ RENAME TO $_" } @with, @more), 'COMMIT')))[2], '',
		'nine databases are renamed in one transaction');
	$mf->wait_for($node, 'postgres', workers(), @with + @more);
	sql('postgres', "DROP DATABASE $_") foreach @more;
}

$offset = -s $node->logfile;
$node->restart;
$mf->wait_for($node, 'postgres', workers(), scalar @with);
is(lines(qr/starting background worker process "myfatoorah worker/), scalar @with,
	'after a restart the databases with the extension have a worker, and no other was tried');
is(lines(qr/starting background worker process "myfatoorah database scan for/), 1, 'one look found them');
reload() for 1 .. 2;
is(lines(qr/starting background worker process "myfatoorah worker/), scalar @with, 'a reload starts none');

# A database without the extension that refers to the role: its worker leaves at once.
sql('plain1', 'CREATE TABLE t (); GRANT SELECT ON t TO myfatoorah_worker');
reload();
$mf->wait_for($node, 'postgres', workers(), scalar @with);
is(lines(qr/TRAP|PANIC/), 0, 'a database that only refers to the role has no worker');

# Fewer places than databases
$node->append_conf('postgresql.conf', "myfatoorah.max_databases = 2");
sql('plain1', 'DROP TABLE t');
$offset = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/no slot for another database with the extension myfatoorah/, $offset);
$mf->wait_for($node, 'postgres', workers(), 2);
my $started = lines(qr/starting background worker process "myfatoorah worker/);
reload() for 1 .. 3;
is(lines(qr/no slot for another database/), 1, 'max_databases used up: one line in the log, whatever the number of reloads');
is(lines(qr/starting background worker process "myfatoorah worker/), $started, 'and no worker starts in vain');
is($started, 2, 'only those with a place were started');
my ($served) = split /\n/, sql('postgres', "SELECT datname FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker'");
my ($left_out) = grep { sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND datname = '$_'") == 0 } @with;
sql($served, 'DROP EXTENSION myfatoorah');
ok($mf->wait_worker($node, $left_out), 'a place that becomes free is taken');

# No background worker slot: one line, and a worker once there is one
$node->append_conf('postgresql.conf', "myfatoorah.max_databases = 16\nmax_worker_processes = 3");
$offset = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/no free background worker slot/, $offset);
$mf->wait_for($node, 'postgres', workers(), 1);
$node->reload for 1 .. 3;
sql('postgres', 'SELECT pg_sleep(3)');
is(lines(qr/no free background worker slot/), 1, 'no slot for a background worker: one line in the log');
$node->stop;
done_testing();
