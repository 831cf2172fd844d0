# make demo: builds, starts its servers, and shows invoices that are sent and paid; make demo-stop leaves nothing of it.
use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the scripts are not here' unless -x 'scripts/demo.sh';

# Short enough for sockets below it
my $parent = PostgreSQL::Test::Utils::tempdir_short();
my $demo = "$parent/myfatoorah-demo-$<";

plan skip_all => 'the directory for temporary files has too long a name' if length $parent > 55;
chmod 0755, $parent;

# As a user calls it: without the variables of `make check` and its servers. What it needs to build is installed.
delete @ENV{ grep { /^(?:MF_|PG|TEST)/ && $_ ne 'PG_CONFIG' } keys %ENV };
@ENV{qw(TMPDIR NOINSTALL NO_COLOR)} = ($parent, 1, 1);

# a port that is taken from the listener once it was found free
my $taken;

sub demo
{
	my ($command) = @_;
	my $output = '';

	# Compilation takes most of it, and many times as long on a busy machine.
	eval {
		my $run = IPC::Run::start([ 'scripts/demo.sh', $command ], '<', \undef, '>&', \$output, IPC::Run::timeout(1800));

		# another demo may have found the same port free
		$run->pump while !$taken && $run->pumpable && $output !~ /listen_port = (\d+);/;
		$taken //= IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $1, Listen => 1) if $output =~ /listen_port = (\d+);/;
		$run->finish;
		1;
	} or die "$@it said:\n$output";
	return ($? >> 8, $output);
}

# What has ended, and waits for its parent to take notice, does not run.
sub runs
{
	my ($pid) = @_;

	return -e "/proc/$pid/stat" && PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") !~ /^\d+ \(.*\) [ZX] /;
}

my ($status, $output) = demo('start');
my ($roll) = $output =~ /The rent roll now(.*?)\n *\d+\. /s;

is($status, 0, 'make demo') or diag($output);
like($output, qr/All steps were seen/, 'every step was seen');
SKIP:
{
	skip 'the listener was quicker than this test', 1 if !$taken;
	like($output, qr/Port ${\$taken->sockport} was taken meanwhile/, 'the listener has another port than one that is taken meanwhile');
}
like($roll // '', qr/^ *A-$_ .* sent +\| paid /m, "A-$_ is sent and paid") foreach 101, 102, 105;
like($roll // '', qr/^ *A-103 .* sent +\| unpaid /m, 'A-103 is sent, and not paid');

my @pids;
foreach my $file ("$demo/run/pid", "$demo/run/sandbox/pid")
{
	push @pids, PostgreSQL::Test::Utils::slurp_file($file) =~ /^(\d+)/ if -e $file;
}
is(scalar(grep { runs($_) } @pids), 2, 'its servers run on');

($status, $output) = demo('stop');
is($status, 0, 'make demo-stop') or diag($output);
is(scalar(grep { runs($_) } @pids), 0, 'ends them');
ok(!-e $demo, 'and removes the directory');

done_testing();
