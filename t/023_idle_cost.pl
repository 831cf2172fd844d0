# Idle costs nothing: no transaction and no wake-up of the worker, none of the launcher. MF_IDLE_SECONDS sets how long
# it is watched, 8 unless told otherwise.
use MyFatoorah::Test;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };
my $seconds = $ENV{MF_IDLE_SECONDS} // 8;

plan skip_all => 'needs /proc/PID/status' unless -r "/proc/$$/status";

# Three databases at rest: one that has never sent; one that has just sent, whose connections are closed while we watch, and
# which has a row for tomorrow; and one whose account is paused, with rows due.
$node->safe_psql('postgres', "CREATE DATABASE $_") for 'sent', 'paused', 'plain';
$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'sent', $sandbox);
$mf->setup_account($node, 'paused', $sandbox);
my @served = ('postgres', 'sent', 'paused');
$mf->wait_worker($node, $_) for @served;
$mf->wait_no_worker($node, 'plain');

$node->safe_psql('paused', "SELECT mf_pause()");
$mf->insert_many($node, 'paused', 'held', 10);
$mf->insert($node, 'sent', 'tomorrow', send_at => "now() + interval '1 day'");
my $closing = 5;
$sandbox->faults({ path => 'SendPayment', close_after_ms => 1000 * $closing, times => -1 });
my $before = $sandbox->count(%$send);
$mf->insert_many($node, 'sent', 'sent', 40);
$mf->wait_for($node, 'sent', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 40);
my $sent_at = time;
$sandbox->clear_faults;

# Voluntary context switches of all threads of a process: they slept and were woken.
sub switches
{
	my ($pid) = @_;
	my $n = 0;

	$n += $_ foreach map { slurp_file($_) =~ /^voluntary_ctxt_switches:\s+(\d+)/m } glob "/proc/$pid/task/*/status";
	return $n;
}

# What each process has done so far
my %pid = (launcher => $mf->launcher_pid($node), map { $_ => $mf->worker_pid($node, $_) } @served);

# A worker has one thread beside itself, in which no handler of PostgreSQL can run. (Two signals are the C library's.)
{
	no warnings 'portable';
	my @others = map { slurp_file("/proc/$pid{sent}/task/$_/status") }
	  grep { $_ != $pid{sent} } map { m!(\d+)/status$! } glob "/proc/$pid{sent}/task/*/status";
	my ($caught) = map { hex } $others[0] =~ /^SigCgt:\s+([0-9a-f]+)/m;
	my ($blocked) = map { hex } $others[0] =~ /^SigBlk:\s+([0-9a-f]+)/m;

	is(scalar(@others), 1, 'a worker has a thread for its requests');
	isnt($caught, 0, 'a worker handles signals');
	is($caught & ~$blocked & ~(3 << 31), 0, 'but not in that thread');
}

sub look
{
	my %look = map { ("$_: context switches" => switches($pid{$_})) } keys %pid;

	foreach my $dbname (@served)
	{
		my ($wakeups, $transactions) = split /\|/,
		  $node->safe_psql($dbname, 'SELECT wakeups, transactions FROM mf_worker_status');

		$look{"$dbname: wake-ups"} = $wakeups;
		$look{"$dbname: transactions"} = $transactions;
	}
	return \%look;
}

$node->safe_psql($_, 'CREATE TABLE work (i int)') for @served, 'plain';
$mf->wait_idle($node, $_) for @served;
my $first = look();
my $start = time;
note('the connections were closed before we watched') if $start > $sent_at + $closing;

# Others work meanwhile, in the same databases and elsewhere, and commit: none of our business. (No DDL: where much of it
# goes on, PostgreSQL wakes every idle process now and then, to have it read the invalidation messages.)
my $commits = 0;
do
{
	foreach my $dbname (@served, 'plain')
	{
		$node->safe_psql($dbname, 'INSERT INTO work VALUES (1); BEGIN; UPDATE work SET i = i + 1; ROLLBACK');
		$commits++;
	}
	select undef, undef, undef, 0.5;
} while (time - $start < $seconds);
my $watched = time - $start;
my $second = look();

my %done = map { ($_ => $second->{$_} - $first->{$_}) } keys %$first;
is_deeply(\%done, { map { ($_ => 0) } keys %$first }, 'nobody was woken');
diag(sprintf '%.0f s idle, %d transactions of others: %s', $watched, $commits,
	(grep { $_ } values %done) ? join(', ', map { "$_ $done{$_}" } sort keys %done) : 'no wake-up, no transaction');
is(scalar(grep { $_->{status} == 200 } $sandbox->posts), 40, 'forty had been sent');

# They are still at their posts. A connection that was closed meanwhile is no obstacle.
$mf->insert($node, $_, 'awake') for 'postgres', 'sent';
$mf->wait_status($node, $_, 'awake') for 'postgres', 'sent';
is($node->safe_psql('sent', "SELECT attempts FROM mf_invoice WHERE customer_reference = 'awake'"), 1,
	'after it, sending works at the first attempt');
is_deeply([ $mf->problems($node, 'sent', $sandbox, others => 1) ], [], 'rows, attempts and ledger agree');
is($mf->worker_pid($node, $_), $pid{$_}, "$_: by the same worker") for @served;

$node->stop;
done_testing();
