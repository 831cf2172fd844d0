# make demo-stop removes the demonstration's directory and nothing else, whatever somebody puts in its place meanwhile.
use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

# Short enough for sockets below it
my $parent = PostgreSQL::Test::Utils::tempdir_short();
my $demo = "$parent/myfatoorah-demo-$<";
my $victim = "$parent/victim";
my $link = "$parent/link";

sub stop
{
	my $output = `TMPDIR='$parent' scripts/demo.sh stop 2>&1`;

	return ($? >> 8, $output);
}

sub make_demo
{
	make_path("$demo/run/log");
	chmod 0711, $demo;
	return;
}

plan skip_all => 'the scripts are not here' unless -x 'scripts/demo.sh';
plan skip_all => 'the directory for temporary files has too long a name' if length $parent > 55;
chmod 0755, $parent;

make_demo();
my ($status, $output) = stop();
is($status, 0, 'make demo-stop') or diag($output);
ok(!-e $demo, 'removes the directory');

# A link in its place
make_path("$victim/run/data");
symlink($victim, $demo) or die "symlink: $!";
($status, $output) = stop();
isnt($status, 0, 'a link is refused');
ok(-d "$victim/run/data", 'and not followed');
unlink $demo;

# Directories that others can write, or exchange for another
foreach my $case ([ 'a directory that others can write', 0777, 0755 ], [ 'one that others can exchange', 0711, 0777 ])
{
	my ($what, $mode, $parent_mode) = @$case;

	make_demo();
	chmod $mode, $demo;
	chmod $parent_mode, $parent;
	($status, $output) = stop();
	isnt($status, 0, "$what: refused");
	ok(-d "$demo/run/log", "$what: left alone");
	chmod 0755, $parent;
	remove_tree($demo);
}
make_demo();
chmod 01777, $parent;
($status, $output) = stop();
is($status, 0, 'in a directory like /tmp it is removed') or diag($output);
chmod 0755, $parent;

# renameat2(), by machine
my $exchange = { x86_64 => 316, aarch64 => 276 }->{ (POSIX::uname())[4] };
if (!defined $exchange)
{
	done_testing();
	exit;
}

# A link that changes places with it all the time: whatever is seen of it, only the directory itself loses something.
symlink($victim, $link) or die "symlink: $!";
make_demo();
my $test = $$;
my $swapper = fork // die "fork: $!";
if ($swapper == 0)
{
	# AT_FDCWD, ..., AT_FDCWD, ..., RENAME_EXCHANGE
	syscall($exchange, -100, $demo, -100, $link, 2) while getppid() == $test;
	POSIX::_exit(0);
}
my $lost = 0;
foreach my $round (1 .. 60)
{
	stop();
	if (!-d "$victim/run/data")
	{
		$lost++;
		make_path("$victim/run/data");
	}
	# what is missing now stays so, because there is nothing to exchange
	foreach my $place (grep { !-l $_ && !-e $_ } $demo, $link)
	{
		mkdir $place, 0711 or die "$place: $!";
	}
	# wherever it stands, or in vain
	mkdir "$_/run" foreach grep { !-l $_ } $demo, $link;
}
kill 'KILL', $swapper;
waitpid($swapper, 0);
is($lost, 0, 'nothing else is removed while it is exchanged for a link, 60 times');

done_testing();
