# What the crash and chaos tests share: ways to kill a server, waiting for its log, settling, and a seeded random.
package MyFatoorah::Chaos;

use strict;
use warnings;

use List::Util qw(sum0);
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Utils;
use MyFatoorah::Cluster;
use MyFatoorah::Sandbox;

my $mf = 'MyFatoorah::Cluster';

# A deadline for anything that must happen
sub deadline
{
	return time + MyFatoorah::Sandbox::time_limit();
}

# until_true(what, code): waits until the code gives something true, and returns that
sub until_true
{
	my ($class, $what, $code) = @_;
	my $deadline = deadline();

	for (;;)
	{
		my $result = $code->();

		return $result if $result;
		die "waited in vain: $what\n" if time > $deadline;
		sleep 0.02;
	}
}

# wait_log(node, regex, offset): waits for a line in the server's log
sub wait_log
{
	my ($class, $node, $regex, $offset) = @_;

	return $class->until_true("$regex in the log", sub { slurp_file($node->logfile, $offset) =~ $regex });
}

# log_size(node): the offset for wait_log()
sub log_size
{
	my ($class, $node) = @_;

	return -s $node->logfile // 0;
}

# alive(pid): a process that has ended and was not yet asked for its status does not count
sub alive
{
	my ($class, $pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return 0;
	my $line = <$file> // '';

	return $line =~ /\) ([A-Z])/ && $1 ne 'Z' && $1 ne 'X';
}

# children(pid): the processes that it started
sub children
{
	my ($class, $parent) = @_;
	my @children;

	foreach my $path (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $path or next;
		my $line = <$file> // '';

		push @children, $1 if $line =~ /^(\d+) .*\) [A-Z] \Q$parent\E /;
	}
	return @children;
}

# postmaster(node): its process id
sub postmaster
{
	my ($class, $node) = @_;

	return (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
}

# wait_crashed(node, offset): waits until the server has restarted all of its processes and lets us in
sub wait_crashed
{
	my ($class, $node, $offset) = @_;

	$class->wait_log($node, qr/all server processes terminated; reinitializing/, $offset);
	return $class->wait_up($node);
}

sub wait_up
{
	my ($class, $node) = @_;

	# psql dies of a refusal, maybe before it has been handed the query: that is an error of the writer's then
	return $class->until_true('a connection', sub { (eval { $node->psql('postgres', 'SELECT 1', timeout => 10) } // 2) == 0 });
}

# kill_processes(node, pid ...): SIGKILL of processes attached to shared memory, so that all restart
sub kill_processes
{
	my ($class, $node, @pids) = @_;
	my $offset = $class->log_size($node);

	# stopped first, so that none of several gets to see what the death of another sets off
	kill 'STOP', @pids if @pids > 1;
	kill('KILL', @pids) == @pids or die "could not kill @pids: $!\n";
	return $class->wait_crashed($node, $offset);
}

# kill_backend(node): SIGKILL of a client's backend
sub kill_backend
{
	my ($class, $node) = @_;
	my $session = MyFatoorah::Psql->new($node->connstr('postgres'));
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	$class->kill_processes($node, $pid);
	eval { $session->quit };
	return;
}

# kill_postmaster(node): SIGKILL of the postmaster; waits until its children have noticed, and starts it again
sub kill_postmaster
{
	my ($class, $node) = @_;
	my $postmaster = $class->postmaster($node);
	my @children = $class->children($postmaster);

	# Until somebody has asked for its status, a dead postmaster looks alive to a new one.
	$node->kill9;
	$class->until_true('the end of the orphans', sub { !kill(0, $postmaster) && !grep { $class->alive($_) } @children });
	$node->start;
	return;
}

# strike(node, way, pid ...): ends the server by one of the first five ways of @WAYS; pid are the workers
our @WAYS = ('KILL worker', 'KILL backend', 'KILL postm.', 'immediate', 'fast');

sub strike
{
	my ($class, $node, $way, @pids) = @_;

	return $class->kill_processes($node, @pids) if $way eq 'KILL worker';
	return $class->kill_backend($node) if $way eq 'KILL backend';
	return $class->kill_postmaster($node) if $way eq 'KILL postm.';
	$node->stop($way);
	return $node->start;
}

# arm(node, pid, failpoint, code): that process, and no other, stops at that failpoint: only it is told to read the
# configuration, which has to include chaos.conf. The code, if any, makes it come to where it reads that.
sub arm
{
	my ($class, $node, $pid, $failpoint, $code) = @_;
	my $offset = $class->log_size($node);

	# a missing file is mentioned in the log: so we see that it was read
	_write_conf($node, "myfatoorah.failpoint = '$failpoint'\ninclude_if_exists = 'armed'\n");
	kill 'HUP', $pid or die "no process $pid\n";
	$code->() if $code;
	$class->wait_log($node, qr/\[$pid\].*skipping missing configuration file ".*armed"/, $offset);
	return _write_conf($node, '');
}

sub _write_conf
{
	my ($node, $text) = @_;
	my $path = $node->data_dir . '/chaos.conf';

	open my $file, '>', "$path.new" or die "$path: $!\n";
	print $file $text;
	close $file;
	return rename "$path.new", $path;
}

# wait_failpoint(node, pid, failpoint, offset): waits until that process has reached it
sub wait_failpoint
{
	my ($class, $node, $pid, $failpoint, $offset) = @_;

	return $class->wait_log($node, qr/\[$pid\].*failpoint "$failpoint" reached/, $offset);
}

# How many rows are not yet in a state that can stay; a capture is done only when MyFatoorah shows it
our $UNSETTLED = q{SELECT (SELECT count(*) FROM mf_invoice WHERE status IN ('queued', 'sending', 'unknown'))
	+ (SELECT count(*) FROM mf_operation WHERE status IN ('queued', 'sending', 'unknown') OR (status = 'filed' AND kind <> 'refund'))};

# unsettled(node, dbname): how many they are
sub unsettled
{
	my ($class, $node, $dbname) = @_;

	return $node->safe_psql($dbname, $UNSETTLED);
}

# wait_settled(node, dbname, seconds): waits until all rows are; dies after that time with what is left
sub wait_settled
{
	my ($class, $node, $dbname, $seconds) = @_;
	my $deadline = time + $seconds;

	for (;;)
	{
		# the server may be on its way up
		my ($code, $left) = $node->psql($dbname, $UNSETTLED, timeout => 30);

		return 1 if $code == 0 && $left eq '0';
		if (time > $deadline)
		{
			die "not settled after $seconds s:\n" . join "\n", map { $node->safe_psql($dbname, $_) }
			  q{SELECT i.id, i.reference, i.status, i.last_error, q.kind, CASE WHEN isfinite(q.due) THEN q.due - now() END, q.lookups FROM mf_invoice i
				LEFT JOIN mf_queue q ON q.invoice = i.id WHERE i.status IN ('queued', 'sending', 'unknown') ORDER BY i.id LIMIT 10},
			  q{SELECT id, kind, invoice, status, due - now(), lookups, last_error FROM mf_operation WHERE status IN ('queued', 'sending', 'unknown', 'filed') ORDER BY id LIMIT 10},
			  'SELECT * FROM mf_worker_status; SELECT * FROM mf_account';
		}
		sleep 0.1;
	}
}

# Random numbers from a seed, the same everywhere: a 32-bit generator (xorshift), so that a printed seed replays a run.
sub random
{
	my ($class, $seed) = @_;
	my $state = ($seed * 2654435761 + 1) & 0xffffffff || 1;

	return sub {
		my ($n) = @_;

		$state ^= ($state << 13) & 0xffffffff;
		$state ^= $state >> 17;
		$state ^= ($state << 5) & 0xffffffff;
		return defined $n ? $state % $n : $state / 4294967296;
	};
}

1;
