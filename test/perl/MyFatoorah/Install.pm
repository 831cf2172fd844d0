# Further PostgreSQL installations of the test's own: with another version of the extension, or of PostgreSQL. They are
# made as scripts/server.sh makes the one that all tests run in.
package MyFatoorah::Install;

use strict;
use warnings;

use Fcntl qw(:flock);
use File::Basename ();
use PostgreSQL::Test::Utils;

# new(name, pg_config => '/opt/.../pg_config', change => sub { ... }, make => [ 'SQL_SINCE=1.1.0' ]): copies the tree, has
# its files changed by the sub, which is called with the directory of the copy, builds what that concerns, and installs it
# into a PostgreSQL of its own, of the same version as that of the tests unless pg_config says another. Returns an object
# with path, library and scripts, for which node() makes nodes.
sub new
{
	my ($class, $name, %params) = @_;
	my $other = defined $params{pg_config};
	my @make = (@{ $params{make} // [] }, map { defined $ENV{$_} ? "$_=$ENV{$_}" : () } 'CC', 'OPTFLAGS', 'WERROR');

	# of another PostgreSQL all is to be compiled, which one test does for all of them
	my $dir = $other && $ENV{MF_SCRATCH} ? "$ENV{MF_SCRATCH}/$name" : PostgreSQL::Test::Utils::tempdir("install_$name");

	-d $dir or mkdir $dir or -d $dir or die "$dir: $!\n";
	open my $lock, '>', "$dir/lock" or die "$dir/lock: $!\n";
	flock $lock, LOCK_EX or die "$dir/lock: $!\n";
	return $class->_describe($dir) if -e "$dir/bin";
	-d "$dir/$_" or mkdir "$dir/$_" or die "$dir/$_: $!\n" for 'src', 'log';
	# objects are of the version of PostgreSQL that they were built for
	_run($dir, 'tar --exclude=./.git --exclude=./sandbox' . ($other ? " --exclude='*.o' --exclude='*.so' --exclude='*.d'" : '')
		  . " -cf - . | tar -C $dir/src -xf -");
	$params{change}->("$dir/src") if $params{change};

	# the version is in the flags of the compiler, which make does not look at
	_run($dir, "cd $dir/src && rm -f *.so src/*.map \$(grep -rlE 'MF_VERSION|MF_SQL_SINCE' src --include=*.c | sed 's/c\$/o/')");
	local $ENV{PG_CONFIG} = $params{pg_config} // $ENV{PG_CONFIG};
	local $ENV{MF_SCRATCH} = $dir;
	_run($dir, "make -s -C $dir/src -j2 all " . join(' ', map { "'$_'" } @make));
	_run($dir, ". scripts/server.sh; mf_private_install $dir/src $dir/pg; echo \$MF_BIN > $dir/bin");
	return $class->_describe($dir);
}

# node(name): a new node that runs with it. PostgreSQL 14 takes install_path by the older name only.
sub node
{
	my ($self, $name) = @_;
	my $new = PostgreSQL::Test::Cluster->can('get_new_node') // PostgreSQL::Test::Cluster->can('new');

	return PostgreSQL::Test::Cluster->$new($name, install_path => $self->{path});
}

sub _describe
{
	my ($class, $dir) = @_;
	my $bin = slurp_file("$dir/bin") =~ s/\s+\z//r;
	my $self = bless { path => File::Basename::dirname($bin), bin => $bin }, $class;

	for (qw(pkglibdir sharedir version))
	{
		chomp($self->{$_} = `'$bin/pg_config' --$_`);
	}
	return $self;
}

sub _run
{
	my ($dir, $command) = @_;
	open my $shell, '-|', 'bash', '-c', "exec 2>>$dir/log/commands.log; $command" or die "could not run bash: $!\n";
	my $out = join '', <$shell>;

	close $shell;
	die "failed: $command\n$out" . slurp_file("$dir/log/commands.log") if $? != 0;
	return $out;
}

sub path { return $_[0]->{path}; }
sub program { return "$_[0]->{bin}/$_[1]"; }
sub library { return "$_[0]->{pkglibdir}/myfatoorah.so"; }
sub script { return "$_[0]->{sharedir}/extension/myfatoorah--$_[1].sql"; }
sub major { return ($_[0]->{version} =~ /(\d+)/)[0]; }

# present_version(): that of the tree; next_version(version, step): step more in the last place
sub present_version
{
	my ($version) = slurp_file('myfatoorah.control') =~ /^default_version = '(.*)'$/m;

	return $version;
}

sub next_version
{
	my ($class, $version, $step) = @_;

	return $version =~ s/(\d+)$/$1 + ($step \/\/ 1)/er;
}

# set_version(dir, version): has the tree there build that version
sub set_version
{
	my ($class, $dir, $version) = @_;
	my $control = slurp_file("$dir/myfatoorah.control") =~ s/^default_version = .*/default_version = '$version'/mr;

	write_file("$dir/myfatoorah.control", $control);
	return;
}

sub write_file
{
	my ($file, $text) = @_;

	unlink $file;
	open my $handle, '>', $file or die "$file: $!\n";
	print $handle $text;
	close $handle or die "$file: $!\n";
	return;
}

1;
