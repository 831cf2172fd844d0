# pg_upgrade from an older PostgreSQL, as docs/operations.md tells it, with rows in every state: nothing is lost, nothing is
# sent twice. Skipped unless MF_OLD_PG_CONFIG names the pg_config of an older PostgreSQL with its headers.
use MyFatoorah::Test qw(as);
use MyFatoorah::Catalog;
use MyFatoorah::Install;
use MyFatoorah::States;

my ($mf, $states, $catalog) = map { "MyFatoorah::$_" } 'Cluster', 'States', 'Catalog';
my $old_config = $ENV{MF_OLD_PG_CONFIG};
my $db = 'postgres';
my $send = { path => '/v2/SendPayment' };

plan skip_all => 'MF_OLD_PG_CONFIG names no pg_config of an older PostgreSQL' unless defined $old_config && -x $old_config;

my $now = MyFatoorah::Install->new('now');
my $then = MyFatoorah::Install->new('then', pg_config => $old_config);

plan skip_all => "$old_config is of version " . $then->major . ', which is not older than ' . $now->major unless $then->major < $now->major;
note 'from ' . $then->{version} . ' to ' . $now->{version};

my $sandbox = MyFatoorah::Sandbox->new;
my $old = $then->node('old');

$old->init;
$old->append_conf('postgresql.conf', $mf->settings(conf => $states->conf));
$old->start;
$states->fill($old, $db, $sandbox);
$old->safe_psql($db, q{CREATE EXTENSION myfatoorah_billing});
$old->safe_psql($db, q{SET ROLE tenant; INSERT INTO mf_bill (bill_key, customer_name, total) VALUES ('rent', 'Ahmad', 10)});
$mf->wait_for($old, $db, q{SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE i.status = 'sent'}, 1);

# What is under way is waited for; one request hangs for ever, and becomes unknown.
is($old->safe_psql($db, q{SELECT mf_drain('1 s')}), 1, 'mf_drain() tells of the request that hangs');
$old->stop;
$old->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
$old->start;
# what the tenant has is still his by another name, and not of who took the old one
$old->safe_psql($db, q{ALTER ROLE tenant RENAME TO shop; CREATE ROLE tenant; GRANT myfatoorah_submit TO tenant});
my $rows = $states->contents($old, $db);
$old->stop;
my $posts = $sandbox->count(%$send);

# upgrade(name, mode): a new cluster, to which the old one was upgraded by pg_upgrade with these options; not started
sub upgrade
{
	my ($name, @mode) = @_;
	my $node = $now->node($name);
	my $dir = PostgreSQL::Test::Utils::tempdir("upgrade_$name");

	$node->init($now->major >= 18 && $then->major < 18 ? (extra => ['--no-data-checksums']) : ());
	$node->append_conf('postgresql.conf', $mf->settings(conf => $states->conf));

	# a key file in the data directory does not come along
	$mf->write_key($node, $sandbox->key);
	my @command = ($now->program('pg_upgrade'), '--no-sync', '-b', $then->{bin}, '-B', $now->{bin}, '-d', $old->data_dir, '-D', $node->data_dir,
		'-s', PostgreSQL::Test::Utils::tempdir_short(), '-p', $old->port, '-P', $node->port, @mode);
	@command = grep { $_ ne '--no-sync' } @command if $now->major < 17;
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		chdir $dir or POSIX::_exit(1);
		open STDOUT, '>', "$dir/log" and open STDERR, '>&', \*STDOUT;
		delete local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)};
		exec @command or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	is($?, 0, "pg_upgrade @mode") or diag slurp_file("$dir/log");
	return $node;
}

# rights(node, role): what becomes of an UPDATE of the invoice, and of the bill, that the tenant has inserted
sub rights
{
	my ($node, $role) = @_;

	MyFatoorah::Test::ask($node, $db);
	return join ', ', map { as($role, $_) =~ /^(ok 1|42501)/ ? $1 : "? $_" } q{UPDATE mf_invoice SET metadata = metadata || '{"edited": true}' WHERE customer_reference = 'own key' RETURNING 1},
	  q{UPDATE mf_bill SET metadata = '{"edited": true}' WHERE bill_key = 'rent' RETURNING 1};
}

# Each of them is a place where the same rows are to be finished. The second and third are late: the first has finished them
# meanwhile, which their look-ups must find.
my @modes = ([], ['--link'], $now->major >= 18 ? ['--swap'] : ());
system('cp', '-a', $old->data_dir, $old->data_dir . ".$_") == 0 or die 'could not copy the old cluster' for 1 .. $#modes;

for my $i (0 .. $#modes)
{
	my $mode = "@{ $modes[$i] }" || 'copy';

	if ($i > 0)
	{
		# link and swap take the old one with them
		system('rm', '-rf', $old->data_dir) == 0 && rename($old->data_dir . ".$i", $old->data_dir) or die "$mode: $!";
	}
	my $node = upgrade("new$i", @{ $modes[$i] });

	$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
	$node->start;
	is_deeply($states->contents($node, $db), $rows, "$mode: every row of every table is there");
	is($node->safe_psql($db, q{SELECT count(*), count(*) FILTER (WHERE here = mf_here()) FROM mf_home}), '1|0', "$mode: the rows are not at home yet");
	is($node->safe_psql($db, q{SELECT ok, hint ~ 'mf_resume' FROM mf_check() WHERE item = 'sending'}), 'f|t', "$mode: mf_check() says so before there is a worker");
	is(rights($node, $_), '42501, 42501', "$mode: $_ has no right to a row before mf_resume()") for 'shop', 'tenant';

	# The worker takes it for a copy, which it may be; the operator knows that the old server is gone.
	$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
	$node->reload;
	$mf->wait_worker($node, $db);
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_account WHERE account = '*' AND reason ~ 'is a copy, or was upgraded'}, 1);
	$mf->wait_idle($node, $db);
	is($sandbox->count(%$send), $posts, "$mode: nothing is sent by itself");
	like($node->safe_psql($db, q{SELECT hint FROM mf_check() WHERE item = 'sending' AND NOT ok}), qr/mf_resume\('\*'\)/, "$mode: mf_check() says how it goes on");

	# Nothing else is at work while catalogs are compared.
	$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
	$node->reload;
	$mf->wait_no_worker($node, $db);
	$node->safe_psql($db, 'CREATE DATABASE fresh');
	$node->safe_psql('fresh', 'CREATE EXTENSION myfatoorah_billing CASCADE');
	# pg_upgrade brings no rights of row types, so PUBLIC may use them. The tenant was renamed before.
	is($node->safe_psql($db, q{SELECT string_agg(kind, ' ') FROM mf_repair()}), 'type role',
		"$mode: mf_repair() closes row types that pg_upgrade has opened, writes the present name of the role, and has nothing else to do");
	# Views are written anew from what the old server says of them. That rights were there from the beginning is not known any more, nor, from 17 on, that these depend on roles. From 18 on NOT NULL has a name, which an upgrade makes anew.
	my $row_types = join '|', split /\n/, $node->safe_psql($db, q{SELECT c.oid::regclass FROM pg_class c WHERE c.relname ~ '^mf_' AND c.reltype <> 0});
	my @differences = grep { !/^(?:rule mf_\w+ _RETURN is |only the second has first rights type public\.(?:$row_types)\b|dependency on role type public\.(?:$row_types) \w+ is "a" in the first and "a i" in the second\z|only the (?:first|second) has (?:dependency table )?constraint .*_not_null\b)/ }
	  $catalog->differences($catalog->of($node, $db), $catalog->of($node, 'fresh'));
	my @dependencies = grep { /^(?:only the (?:first|second) has )?dependency / } @differences;
	is(join("\n", grep { !/^(?:only the (?:first|second) has )?dependency / } @differences), '', "$mode: the catalog is that of a fresh installation");
	is(join("\n", @dependencies), '', "$mode: so are its dependencies");
	$node->safe_psql('postgres', 'DROP DATABASE fresh');
	$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
	$node->reload;
	$mf->wait_worker($node, $db);

	$node->safe_psql($db, q{SELECT mf_resume('*')});
	is($node->safe_psql($db, q{SELECT string_agg(DISTINCT q.kind, ' ') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'}), 'verify',
		"$mode: what is queued is looked up before it is sent");
	is(rights($node, 'shop') . '; ' . rights($node, 'tenant'), 'ok 1, ok 1; 42501, 42501', "$mode: then rows belong to the roles of before, not to their names");
	is($node->safe_psql($db, q{SELECT count(*), count(*) FILTER (WHERE here = mf_here()) FROM mf_home}), '1|1', "$mode: and are at home");
	is(join("\n", $states->finish($node, $db, $sandbox)), '', "$mode: all that was unfinished is finished, once");
	is($sandbox->count(%$send), $posts + ($i == 0 ? 4 : 2), "$mode: by one request for each that was not sent, and for two new ones");
	$posts = $sandbox->count(%$send);
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, "$mode: no process crashed");
	$node->stop;
}
done_testing();
