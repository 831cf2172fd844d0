# Each mutation of test/chaos/mutate.sh still changes its file, and the test that must notice it is there. Whether that
# test fails is for `make chaos-mutate`, which takes long.
use strict;
use warnings;

use Test::More;

plan skip_all => 'the scripts are not here' unless -x 'test/chaos/mutate.sh';

my @lines = `test/chaos/mutate.sh --patterns 2>&1`;
my $status = $?;

foreach my $line (@lines)
{
	if ($line =~ /^(not )?ok - (.*)/)
	{
		ok(!$1, $2);
	}
	else
	{
		fail($line =~ s/\s+$//r);
	}
}
cmp_ok(scalar @lines, '>', 100, 'all mutations were tried');
is($status == 0, !grep({ /^not ok/ } @lines), 'the exit status says whether all of them apply');

# The number of a test is its place in the order, and no other's.
my %used;
push @{ $used{ substr $_, 2, 3 } }, $_ foreach glob 't/*.pl';
is_deeply([ map { @$_ > 1 ? "@$_" : () } values %used ], [], 'each number of a test is used once');

done_testing();
