# A real file system without room, under the tables and under the write-ahead log: what the worker, mf_check() and a shutdown
# do; and once there is room, no invoice is lost and none is made twice. The file systems are small ones in memory that only
# this test sees; skipped where an ordinary user may not mount them.
BEGIN
{
	my @namespace = qw(unshare --user --map-current-user --keep-caps --mount);

	if (!defined $ENV{MF_OWN_MOUNTS} && system("@namespace true 2>/dev/null") == 0)
	{
		$ENV{MF_OWN_MOUNTS} = 1;
		exec @namespace, $^X, (map { "-I$_" } @INC), $0 or die "could not run unshare: $!\n";
	}
}
use MyFatoorah::Test qw(sql ask);
use MyFatoorah::Chaos;
use MyFatoorah::History;

my ($mf, $chaos) = ('MyFatoorah::Cluster', 'MyFatoorah::Chaos');
my $send = { path => '/v2/SendPayment' };
my %quick = (connect_timeout => '500ms', timeout => '5s');
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nautovacuum = off\nlog_statement = none";
my ($sandbox, $node, $db);

plan skip_all => 'an ordinary user may not mount a file system here' unless defined $ENV{MF_OWN_MOUNTS};

# small_disk(name, size): a file system of that size, mounted; fill(dir) takes all room of it, make_room(dir) gives it back
sub small_disk
{
	my ($name, $size) = @_;
	my $dir = "$PostgreSQL::Test::Utils::tmp_check/$name";

	mkdir $dir or die "$dir: $!\n";
	system('mount', '-t', 'tmpfs', '-o', "size=$size,mode=700", 'none', $dir) == 0 or die "could not mount $dir\n";
	return $dir;
}

sub fill
{
	my ($dir) = @_;

	open my $ballast, '>>', "$dir/ballast" or die "$dir/ballast: $!\n";
	1 while defined syswrite $ballast, 'x' x 4096;
	die "$dir/ballast: $!\n" unless $!{ENOSPC};
	close $ballast;
	return;
}

sub make_room { unlink "$_[0]/ballast" or die "$_[0]/ballast: $!\n"; return; }

# balanced(what, names): all of these rows, which were committed, are sent, each once, by the ledger of the stand-in
sub balanced
{
	my ($what, @names) = @_;

	$chaos->wait_settled($node, $db, 120);
	my $history = MyFatoorah::History->of($node, $db, $sandbox);
	is_deeply([ $history->violations(settled => 1, committed => \@names) ], [], "$what: rows, attempts and ledger agree");
	is(join("\n", $mf->problems($node, $db, $sandbox)), '', "$what: none is lost, none was made twice");
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}), scalar @names, "$what: all " . @names . ' are sent');
	is(scalar(() = $sandbox->remote), scalar @names, "$what: there are as many invoices at the stand-in");
	note "$what: " . $history->summary;
	return;
}

# The tables' file system
{
	my $disk = small_disk('space', '48m');
	my @names = map { "waiting-$_" } 1 .. 600;

	($db, $sandbox, $node) = ('small', MyFatoorah::Sandbox->new, $mf->new_node('tables', conf => $conf));
	ask($node, $db);
	mkdir "$disk/space" or die "$disk/space: $!\n";
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk/space'");
	$node->safe_psql('postgres', 'CREATE DATABASE small TABLESPACE small');
	$mf->setup_account($node, $db, $sandbox, options => \%quick);
	my $pid = $mf->wait_worker($node, $db);
	$mf->insert($node, $db, 'first');
	$mf->wait_status($node, $db, 'first');
	sql(q{SELECT mf_pause('myfatoorah')});
	$mf->insert_many($node, $db, 'waiting', 600);
	sql('CHECKPOINT');
	fill($disk);
	my $offset = $chaos->log_size($node);
	sql(q{SELECT mf_resume('myfatoorah')});
	$chaos->wait_log($node, qr/myfatoorah worker ERROR:  myfatoorah: transaction_failed: could not extend file.*No space left on device/, $offset);
	my $transactions = sql('SELECT transactions FROM mf_worker_status');
	$mf->wait_for($node, $db, "SELECT transactions > $transactions + 4 FROM mf_worker_status");
	cmp_ok($sandbox->count(%$send), '<=', sql('SELECT count(*) FROM mf_attempt'), 'tables: nothing is sent that is not recorded');
	cmp_ok($sandbox->count(%$send), '<', 601, 'tables: not all is sent');
	my ($code, $out, $err) = $node->psql($db, 'INSERT INTO mf_invoice (customer_name, invoice_value, metadata) SELECT repeat(n::text, 10), 1, jsonb_build_object($$long$$, repeat(md5(n::text), 15)) FROM generate_series(1, 2000) n');
	like($err, qr/could not extend file.*No space left on device/s, 'tables: whoever inserts is told');
	like(sql(q{SELECT detail FROM mf_check() WHERE item = 'worker' AND NOT ok}), qr/its latest transaction failed: could not extend file/, 'tables: mf_check() says so');
	is($mf->worker_pid($node, $db), $pid, 'tables: the same worker all the time');

	# the server is stopped and started without room
	my $seconds = $mf->seconds(sub { $node->stop('fast') });
	cmp_ok($seconds, '<', 30, sprintf('tables: a fast shutdown ends (%.1f s)', $seconds));
	$offset = $chaos->log_size($node);
	$node->start;
	$mf->wait_worker($node, $db);
	$chaos->wait_log($node, qr/myfatoorah worker ERROR:  myfatoorah: transaction_failed: could not extend file/, $offset);
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE status NOT IN ('queued', 'sending', 'sent')}), 0, 'tables: no row is put aside');
	make_room($disk);
	balanced('tables', 'first', @names);
	is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'worker' AND ok}), 1, 'tables: then mf_check() is content');
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'tables: no process crashed');
	$node->stop;
}

# The file system of the write-ahead log: PostgreSQL itself stops then.
{
	my $disk = small_disk('wal', '64m');
	my @names = map { "under way-$_" } 1 .. 200;

	($db, $sandbox) = ('postgres', MyFatoorah::Sandbox->new);
	$node = ask $mf->new_node('log', conf => "$conf\nmin_wal_size = '32MB'\nmax_wal_size = '32MB'\nwal_recycle = off", init => { extra => [ '-X', "$disk/pg_wal" ] });
	$mf->setup_account($node, $db, $sandbox, options => \%quick);
	$mf->wait_worker($node, $db);
	$sandbox->faults({ path => 'SendPayment', delay_ms => 3000, times => -1 });
	$mf->insert_many($node, $db, 'under way', 200);
	$sandbox->wait_count($send, 20) or die "nothing is sent\n";
	my $postmaster = $chaos->postmaster($node);
	my $offset = $chaos->log_size($node);
	fill($disk);
	my @late;

	# until the server is away
	for my $n (1 .. 200)
	{
		my ($code) = eval { $node->psql($db, "INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) VALUES ('Late', 1, 'late-$n'); SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)), pg_switch_wal()") };
		push @late, "late-$n";
		last if ($code // 2) != 0;
	}
	like(slurp_file($node->logfile, $offset), qr/PANIC:  could not write to file .*No space left on device/, 'log: PostgreSQL has stopped, because it cannot write its log');
	$sandbox->clear_faults;
	make_room($disk);
	# it comes back by itself, or somebody starts it
	if ($chaos->until_true('an end or a connection', sub { !$chaos->alive($postmaster) ? 'ended' : ((eval { $node->psql($db, 'SELECT 1', timeout => 10) } // 2) == 0 && 'up') }) eq 'ended')
	{
		note 'log: the server had ended';
		$node->_update_pid(0);
		$node->start;
	}
	$mf->wait_worker($node, $db);
	# the last one may have been committed or not
	my $committed = sql(q{SELECT string_agg(customer_reference, ' ') FROM mf_invoice WHERE customer_reference LIKE 'late-%'});
	my %committed = map { $_ => 1 } split / /, $committed;
	is(join(' ', grep { !$committed{$_} } @late[ 0 .. $#late - 1 ]), '', 'log: what was committed is there');
	balanced('log', @names, grep { $committed{$_} } @late);
	$node->stop;
}
done_testing();
