# A backup that is put back into the directory it was made from: the database goes back in time, and what was sent since
# then must not be sent again. Restarts, crashes and whatever else leaves the time alone must not look like it.
use MyFatoorah::Test qw(sql);
use MyFatoorah::Chaos;
use MyFatoorah::History;
use File::Copy ();
use File::Find ();
use File::Path ();
use File::Compare ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', init => { allows_streaming => 1 }, conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '1d'");
my $dir = $node->data_dir;
my $marker;

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($node, 'postgres');

sub paused
{
	return sql(q{SELECT coalesce(string_agg(account || ': ' || reason, ' '), 'no') FROM mf_account WHERE paused_at IS NOT NULL});
}

# All that there is below a directory, relative to it, directories before what is in them
sub tree
{
	my ($root) = @_;
	my @found;

	File::Find::find({ no_chdir => 1, wanted => sub { push @found, substr $_, length $root } }, $root);
	return grep { $_ ne '' } sort @found;
}

# As rsync -a --delete does it: a file of another size or time is replaced by a new one, and what is too much goes.
sub put_back_by_file
{
	my ($from, %params) = @_;
	my %there = map { $_ => 1 } grep { !$params{without} || $_ !~ $params{without} } tree($from);

	foreach (reverse tree($dir))
	{
		my $path = "$dir$_";

		next if $there{$_};
		(-d $path && !-l $path ? rmdir $path : unlink $path) or die "$path: $!\n";
	}
	foreach (sort keys %there)
	{
		my ($source, $path) = ("$from$_", "$dir$_");
		my ($is, $was) = map { [ (stat $_)[ 7, 9 ] ] } $source, $path;

		if (-d $source)
		{
			-d $path or mkdir $path, 0700 or die "$path: $!\n";
			next;
		}
		next if -e $path && "@$is" eq "@$was" && File::Compare::compare($source, $path) == 0;
		unlink $path;
		system_or_bail('cp', '-p', $source, $path);
	}
	return;
}

# name, how it is put back, what is said, how it is made if not from the files of a stopped server
my @ways = (
	[ 'base backup', sub { File::Path::remove_tree("$dir/pg_wal", { keep_root => 1 }); system_or_bail('cp', '-a', "$_[0]/.", $dir) }, qr/put back from a backup, which does not know what was sent/,
		sub { system_or_bail('pg_basebackup', '-D', $_[0], '-h', $node->host, '-p', $node->port, '--checkpoint=fast', '--no-sync') } ],
	[ 'cp over it', sub { system_or_bail('cp', '-a', "$_[0]/.", $dir) }, qr/put back from a backup, which does not know what was sent/ ],
	[ 'file by file', sub { put_back_by_file($_[0]) }, qr/put back from a backup, which does not know what was sent/ ],
	[ 'without our file', sub { put_back_by_file($_[0], without => qr!^/myfatoorah\.marker/!) }, qr!without the file "myfatoorah\.marker/\d+", or somebody! ]);

foreach (@ways)
{
	my ($name, $put_back, $says, $make) = @$_;
	my $id = $name =~ tr/ /-/r;
	my $backup = PostgreSQL::Test::Utils::tempdir('backup') . "/$id";

	$mf->insert_many($node, 'postgres', "$id-before", 3);
	$mf->wait_settled($node, 'postgres');
	$mf->insert_many($node, 'postgres', "$id-since", 5, send_at => "now() + interval '1 h'");
	$mf->insert_many($node, 'postgres', "$id-never", 2, send_at => "now() + interval '1 h'");
	if ($make)
	{
		$make->($backup);
	}
	else
	{
		$node->stop;
		system_or_bail('cp', '-a', $dir, $backup);
		$node->start;
		$mf->wait_worker($node, 'postgres');
	}
	is(paused(), 'no', "$name: after the backup all goes on");
	sql(qq{UPDATE mf_invoice SET send_at = now() WHERE customer_reference LIKE '$id-since-%'});
	$mf->wait_for($node, 'postgres', qq{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$id-since-%' AND status = 'sent'}, 5);
	$node->stop;

	my $inodes = join ' ', map { (stat)[1] } $dir, "$dir/PG_VERSION";
	my $before = $sandbox->count(%$send);
	$put_back->($backup);
	is(join(' ', map { (stat)[1] } $dir, "$dir/PG_VERSION"), $inodes, "$name: directory and PG_VERSION are the same ones");
	$node->start;
	$mf->wait_worker($node, 'postgres');
	sql(q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'});
	$mf->insert($node, 'postgres', "$id-new");
	$mf->wait_idle($node, 'postgres');
	like(paused(), qr/^\*: .*$says/, "$name: sending is paused, and mf_account says why");
	is($sandbox->count(%$send) - $before, 0, "$name: nothing is sent");
	# (what was sent after an earlier way may be looked up once more)
	is(sql(qq{SELECT string_agg(DISTINCT kind, ' ') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE q.kind <> 'watch' AND customer_reference NOT LIKE '$id-new'}), 'verify',
		"$name: all is to be looked up first");
	like(sql(q{SELECT ok, detail FROM mf_check() WHERE item = 'sending'}), qr/^f\|Paused by worker .*put back from a backup/, "$name: mf_check() says why");

	# a restart does not end the pause, nor does it find another reason
	$node->stop('immediate');
	$node->start;
	$mf->wait_worker($node, 'postgres');
	like(paused(), qr/^\*: .*$says/, "$name: that outlives a crash");
	sql(q{SELECT mf_resume('*')});
	sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'});
	$mf->insert($node, 'postgres', "$id-awake");
	$chaos->wait_settled($node, 'postgres', 150);
	is($sandbox->count(%$send) - $before, 4, "$name: after mf_resume() what was not sent is sent");

	my %times;
	$times{$_}++ for $sandbox->names;
	is_deeply([ grep { $times{$_} > 1 } sort keys %times ], [], "$name: and nothing that was sent is sent again");
	is_deeply([ MyFatoorah::History->of($node, 'postgres', $sandbox)->violations(settled => 1, lost_until => time) ], [],
		"$name: rows and ledger agree");
}

#
# What is no restore
#
$node->safe_psql('postgres', 'CREATE DATABASE other');
$mf->setup_account($node, 'other', $sandbox, key_file => 'other.key');
$mf->wait_worker($node, 'other');
my $pid = $mf->wait_worker($node, 'postgres');
my $path = "$dir/myfatoorah.marker/" . sql(q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
my $other = "$dir/myfatoorah.marker/" . sql(q{SELECT oid FROM pg_database WHERE datname = 'other'});
my $ledger = $sandbox->count(path => '/v2/GetPaymentStatus');

# The worker that is there has put a new marker there, and the database remembers that one.
sub goes_on
{
	my ($what) = @_;
	my $was = $marker;

	($marker) = sql('SELECT marker FROM mf_identity') =~ /^(\d+)/;
	is(paused(), 'no', "$what: nothing is paused");
	is((stat $path)[1], $marker, "$what: the file is the one that the database remembers");
	isnt($marker, $was, "$what: it is another one than before") if defined $was;
	# the worker of the other database may be writing its own
	ok(!-e "$path.new", "$what: nothing is left lying about");
	return;
}

goes_on('the first worker');
$node->restart;
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('a restart');
$node->stop('immediate');
$node->start;
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('an immediate restart');
sql("SELECT pg_terminate_backend($pid)");
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('a worker that is ended');
kill 'KILL', $pid or die "no worker\n";
$chaos->until_true('the end of the worker', sub { !$chaos->alive($pid) });
$node->poll_query_until('postgres', 'SELECT true') or die "no server\n";
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('a worker that is killed');
rename $path, "$path.new" or die "$path: $!\n";
sql("SELECT pg_terminate_backend($pid)");
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('a crash before the first file was in its place');
$node->stop;
rename $dir, "$dir.elsewhere" or die "$dir: $!\n";
rename "$dir.elsewhere", $dir or die "$dir: $!\n";
$node->start;
$pid = $mf->wait_worker($node, 'postgres', not => $pid);
goes_on('a directory that was renamed');
is($sandbox->count(path => '/v2/GetPaymentStatus'), $ledger, 'and nothing was looked up');

# A tablespace takes along all that is in the directory of the database.
my $space = PostgreSQL::Test::Utils::tempdir_short() . '/space';
mkdir $space or die "$space: $!\n";
sql("CREATE TABLESPACE space LOCATION '$space'");
sql('ALTER DATABASE other SET TABLESPACE space');
$mf->wait_worker($node, 'other');
is($node->safe_psql('other', 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'ALTER DATABASE ... SET TABLESPACE is no restore');

# An extension that is made anew knows of no file.
$node->safe_psql('other', 'DROP EXTENSION myfatoorah CASCADE');
$mf->wait_no_worker($node, 'other');
ok(-e $other, 'DROP EXTENSION leaves the file');
$node->safe_psql('other', 'CREATE EXTENSION myfatoorah');
$mf->wait_worker($node, 'other');
is($node->safe_psql('other', 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'and CREATE EXTENSION does not mind it');
sql('DROP DATABASE other');
ok(!-e $other, 'DROP DATABASE removes it');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC/, 'no process crashed');
$node->stop;
done_testing();
