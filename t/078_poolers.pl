# What works through pgbouncer in transaction and statement mode, and what needs a session: as the table of docs/ha.md has it.
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use POSIX ();
use Time::HiRes qw(time);

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';

plan skip_all => 'pgbouncer is not installed (Debian package pgbouncer)' unless $pgbouncer;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => 'myfatoorah.poll_rate_limit = 0');
my $port = $web->free_port;
my $dir = PostgreSQL::Test::Utils::tempdir('pgbouncer');
my $user = getpwuid $>;
my %modes = (transaction => 'transaction', statement => 'statement', session => 'session');

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

# A database for each mode, and one with room for a single connection to the server
my $target = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
append_to_file("$dir/users.txt", qq{"$user" ""\n});
append_to_file("$dir/pgbouncer.ini", join("\n", '[databases]', (map { "$_ = $target pool_mode=$_ pool_size=5" } sort keys %modes),
		"narrow = $target pool_mode=transaction pool_size=1",
		'[pgbouncer]', "listen_addr = 127.0.0.1\nlisten_port = $port\nunix_socket_dir =", 'auth_type = trust', "auth_file = $dir/users.txt",
		"logfile = $dir/log", "pidfile = $dir/pid", 'ignore_startup_parameters = extra_float_digits', ''));
my $pid = fork // die "fork: $!";
if ($pid == 0)
{
	open STDOUT, '>', "$dir/out";
	open STDERR, '>&', \*STDOUT;
	exec 'setpriv', '--pdeathsig=TERM', $pgbouncer, "$dir/pgbouncer.ini" or POSIX::_exit(127);
}
END { local $?; kill 'TERM', $pid if $pid; waitpid $pid, 0 if $pid; }
MyFatoorah::Chaos->until_true('pgbouncer', sub { $web->connect($port) });

sub conninfo { return "host=127.0.0.1 port=$port dbname=$_[0] user=$user"; }

# by(mode, query): what psql prints, errors included, one statement after the other
sub by
{
	my ($mode, @queries) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XAtq', '-d', conninfo($mode), map { ('-c', $_) } @queries ], '>', \$out, '2>', \$err);
	return ($out . $err) =~ s/\s+\z//r =~ s/^psql:\S+ //gmr;
}

# session(mode): a psql that stays connected
sub session { return $mf->session($node, 'postgres', extra_params => [ '-d', conninfo($_[0]) ]); }

#
# What works in all modes
#
foreach my $mode (sort keys %modes)
{
	my $id = by($mode, 'INSERT INTO mf_invoice ' . $mf->invoice("by $mode") . ' RETURNING id');

	like($id, qr/^\d+$/, "$mode: INSERT");
	is(by($mode, "SELECT changed, status_now FROM mf_wait($id, '60 s', 'sent')"), 't|sent', "$mode: mf_wait() of what was committed before");
	is(by($mode, "SELECT count(*) FROM mf_send_payment(customer_name => 'now', invoice_value => 1)"), 1, "$mode: mf_send_payment()");
	is(by($mode, 'SELECT invoice_status FROM mf_payment_status(' . by($mode, "SELECT quote_literal(invoice_id) FROM mf_invoice WHERE id = $id") . ", 'InvoiceId')"),
		'Pending', "$mode: mf_payment_status()");
	is(by($mode, "SELECT mf_pause('myfatoorah', 'a test')", 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL', "SELECT mf_resume('myfatoorah')") =~ s/\s+//gr,
		'1', "$mode: mf_pause() and mf_resume() in statements of their own");
	$id = by($mode, 'INSERT INTO mf_invoice ' . $mf->invoice("cancelled $mode", send_at => q{now() + interval '1 h'}) . ' RETURNING id');
	is(by($mode, "SELECT mf_cancel($id)", "SELECT status FROM mf_invoice WHERE id = $id") =~ s/.*\s//sr, 'cancelled', "$mode: mf_cancel()");
	is(by($mode, q{SELECT count(*) FROM mf_check() WHERE NOT ok AND item <> 'durability'}), 0, "$mode: mf_check()");
	is(by($mode, q{SELECT mf_drain('1 s')}), 0, "$mode: mf_drain()");
	is($node->safe_psql('postgres', q{SELECT detail LIKE 'Held by mf_drain()%' FROM mf_check() WHERE item = 'sending'}), 't', "$mode: whose hold outlives the connection");
	by($mode, q{SELECT mf_resume('myfatoorah')});
}

#
# Transactions
#
is(by('transaction', 'BEGIN; INSERT INTO mf_invoice ' . $mf->invoice('block') . '; COMMIT'), '', 'transaction: a block in one message');
my $block = session('transaction');
$block->query('BEGIN');
$block->query('INSERT INTO mf_invoice ' . $mf->invoice('long block'));
$block->query('COMMIT');
$block->quit;
$mf->wait_status($node, 'postgres', 'long block');
pass('transaction: a block of several messages');
like(by('statement', 'BEGIN', 'SELECT 1'), qr/transaction blocks not allowed in statement pooling mode/, 'statement: no blocks');

#
# LISTEN belongs to the connection to the server, which the next one gets.
#
my %listens = map { $_ => session($_) } 'session', 'transaction';
$_->query('LISTEN mf_invoice') foreach values %listens;
my $id = by('session', 'INSERT INTO mf_invoice ' . $mf->invoice('told of') . ' RETURNING id');
$mf->wait_status($node, 'postgres', 'told of');
# psql shows a notification after a query
like($listens{session}->query("SELECT mf_wait($id, '10 s', 'sent')"), qr/notification "mf_invoice"/, 'session: LISTEN');
unlike($listens{transaction}->query('SELECT 1'), qr/notification/, 'transaction: LISTEN hears nothing');
$_->quit foreach values %listens;

# What is set is there for the next one, and may not be there for who has set it.
my @two = map { session('narrow') } 1, 2;
$two[0]->query("SET application_name = 'mine'");
is($two[1]->query('SHOW statement_timeout'), $two[0]->query('SHOW statement_timeout'), 'transaction: both begin alike');
$two[0]->query("SET statement_timeout = '7s'");
is($two[1]->query('SHOW statement_timeout'), '7s', 'transaction: SET holds for strangers');
$two[0]->query('RESET statement_timeout');
is($two[0]->query("BEGIN; SET LOCAL statement_timeout = '8s'; SHOW statement_timeout; COMMIT") . $two[1]->query('SHOW statement_timeout'), '8s0',
	'SET LOCAL does not');

# mf_wait() and the direct calls have the connection for all of their time.
$id = by('session', 'INSERT INTO mf_invoice ' . $mf->invoice('waited for', send_at => q{now() + interval '1 h'}) . ' RETURNING id');
my $start = time;
my $waiting = session('narrow');
$waiting->query_until(qr/started/, "\\echo started\nSELECT * FROM mf_wait($id, '2 s', 'sent');\n");
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM mf_wait%'}, 1);
is($two[1]->query('SELECT 1'), 1, 'others wait for a connection while mf_wait() has it');
cmp_ok(time - $start, '>', 1.9, 'as long as it does');
$waiting->quit;
$_->quit foreach @two;

#
# PREPARE as a statement: made where the next one is not
#
@two = map { session('transaction') } 1, 2;
$two[0]->query('PREPARE ask AS SELECT count(*) FROM mf_backlog');
$two[1]->query('BEGIN');
$two[1]->query('SELECT 1');
my $other = $two[0]->query('EXECUTE ask');
$two[1]->query('COMMIT');
unlike($other, qr/^\d+$/, 'transaction: PREPARE is not found again');
$_->quit foreach @two;

#
# Nothing of ours takes a lock of the session, or leaves one.
#
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no advisory lock is left');
is_deeply([ $mf->problems($node, 'postgres', $sandbox, others => 1) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
