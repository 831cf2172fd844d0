# A worker's start puts a new file into the data directory, and the database remembers it. The server dies at each step
# of that: the next start must go on, and a backup made of that state and put back later must be noticed all the same.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main');
my $dir = $node->data_dir;

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql('postgres', "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

sub paused
{
	return sql(q{SELECT coalesce(string_agg(account || ': ' || reason, ' '), 'no') FROM mf_account WHERE paused_at IS NOT NULL});
}

# Starts the server and has it die where its worker is at that place.
sub die_at
{
	my ($place) = @_;
	my $offset = -s $node->logfile;

	$node->append_conf('postgresql.conf', "myfatoorah.failpoint = '$place'");
	$node->start;
	$node->wait_for_log(qr/failpoint "$place" reached/, $offset);
	$node->stop('immediate');
	$node->append_conf('postgresql.conf', "myfatoorah.failpoint = ''");
	return;
}

# Not even the very first start, of which the database remembers nothing yet
$node->stop;
foreach my $first (1, 0)
{
	foreach my $place (qw(marker_made marker_committed marker_put))
	{
		my $what = $place . ($first ? ', the first time' : '');
		my $copy = "$PostgreSQL::Test::Utils::tmp_check/$place-$first";

		if ($first)
		{
			$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
			$node->start;
			sql('DROP EXTENSION IF EXISTS myfatoorah CASCADE');
			$mf->setup_account($node, 'postgres', $sandbox);
			$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
			$node->stop;
			unlink glob "$dir/myfatoorah.marker/*";
		}
		die_at($place);
		system_or_bail('cp', '-a', $dir, $copy);
		$node->start;
		$mf->wait_worker($node, 'postgres');
		is(paused(), 'no', "$what: nothing is paused");
		my $name = "$place-$first";
		$mf->insert($node, 'postgres', $name);
		$mf->wait_status($node, 'postgres', $name);
		is(sql(q{SELECT substring(marker FROM '^\d+') FROM mf_identity}), (stat((glob "$dir/myfatoorah.marker/*")[0]))[1],
			"$what: the file is the one that the database remembers");
		$node->stop;
		if ($place ne 'marker_made' || !$first)
		{
			system_or_bail('cp', '-a', "$copy/.", $dir);
			$node->start;
			$mf->wait_worker($node, 'postgres');
			like(paused(), qr/put back from a backup/, "$what: a backup of it that is put back is noticed");
			sql(q{SELECT mf_resume('*')});
			$node->stop;
		}
	}
}
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC/, 'no process crashed');
done_testing();
