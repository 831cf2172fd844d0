# Building outside the source tree, and without what is missing.

use strict;
use warnings FATAL => 'all';

use Cwd qw(getcwd);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $tree = getcwd();
my $temp = PostgreSQL::Test::Utils::tempdir();

# run_in(directory, environment, command...): status and all that it printed
sub run_in
{
	my ($directory, $environment, @command) = @_;
	my $output = '';
	local %ENV = (%ENV, %$environment);

	delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};
	IPC::Run::run(\@command, '<', \undef, '>&', \$output, init => sub { chdir $directory or die $! }, IPC::Run::timeout(600));
	return ($? >> 8, $output);
}

# A build somewhere else has everything, and writes nothing into the source tree.
my $source = "$temp/source";
my $build = "$temp/build";
mkdir $_ or die $! for $source, $build;
system("tar --exclude='*.[od]' --exclude='*.so' --exclude='*.mo' --exclude=myfatoorah.map --exclude='billing/*--*.sql' -cf - Makefile nls.mk *.control po src sql billing monitoring | tar -C $source -xf -") == 0 or die;
my $files = sub { join '', sort `cd $source && find . -type f` };
my $before = $files->();
my @compiler = map { defined $ENV{$_} ? "$_=$ENV{$_}" : () } qw(CC WERROR);
my ($status, $output) = run_in($build, {}, 'make', '-s', '-j2', '-f', "$source/Makefile", "VPATH=$source", 'OPTFLAGS=-O0 -g0', @compiler, 'all');
is($status, 0, 'it builds outside the source tree') or diag($output);
is($files->(), $before, 'and leaves the source tree as it was');
my @undefined = grep { / U (?:mf|Mf)_/ } `nm -D --undefined-only $build/myfatoorah.so`;
is_deeply(\@undefined, [], 'the library lacks no function of ours');
($status, $output) = run_in($build, {}, 'make', '-s', '-f', "$source/Makefile", "VPATH=$source", 'OPTFLAGS=-O0 -g0', @compiler, "DESTDIR=$temp/root", 'install');
is($status, 0, 'it installs from there') or diag($output);
my %installed = map { s{.*/}{}r => 1 } split /\n/, `find $temp/root -type f`;
my ($version) = slurp_file("$tree/myfatoorah.control") =~ /^default_version = '(.*)'/m;
ok($installed{$_}, "$_ is installed") for 'myfatoorah.so', 'myfatoorah.control', "myfatoorah--$version.sql", 'myfatoorah_billing.so', 'myfatoorah_billing.control', "myfatoorah_billing--$version.sql", map { s{.*/}{}r } glob 'monitoring/*';

# On a build machine nothing is installed: what is missing is named, and nothing tries to.
my $bin = "$temp/bin";
mkdir $bin or die $!;
for my $directory (reverse split /:/, '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin')
{
	for my $program (glob "$directory/*")
	{
		my $name = $program =~ s{.*/}{}r;

		unlink "$bin/$name";
		symlink $program, "$bin/$name" or die "$bin/$name: $!";
	}
}
unlink map { "$bin/$_" } qw(curl dpkg-query apt-get sudo);
for my $program (qw(apt-get sudo))
{
	append_to_file("$bin/$program", "#!/bin/sh\necho called >$temp/called\nexit 1\n");
	chmod 0755, "$bin/$program";
}
my %bare = (PATH => $bin, PKG_CONFIG_LIBDIR => "$temp/none", PKG_CONFIG_PATH => '', NOINSTALL => 1);
($status, $output) = run_in($tree, \%bare, 'scripts/install-deps.sh');
isnt($status, 0, 'without what is needed to build it ends');
like($output, qr/^== not installed: $_$/m, "$_ is named") for qw(curl libcurl4-openssl-dev libcjson-dev libicu-dev libmicrohttpd-dev libqrencode-dev libcmocka-dev libssl-dev);
like($output, qr/^myfatoorah: curl is needed \(a Debian package\), and NOINSTALL is set$/m, 'and what it ends for');
symlink '/usr/bin/curl', "$bin/curl" or die $!;
append_to_file("$bin/dpkg-query", "#!/bin/sh\ncase \$* in *cmocka*) exit 1 ;; esac\necho installed\n");
chmod 0755, "$bin/dpkg-query";
($status, $output) = run_in($tree, \%bare, 'scripts/install-deps.sh');
is($status, 0, 'without what only a test needs it goes on') or diag($output);
like($output, qr/^== not installed: libcmocka-dev$/m, 'and names it');
ok(!-e "$temp/called", 'nothing tried to install');

# Where there is no apt, one line says what to install.
unlink "$bin/apt-get", "$bin/sudo", "$bin/dpkg-query", "$temp/called";
($status, $output) = run_in($tree, { %bare, NOINSTALL => 0 }, 'scripts/install-deps.sh');
isnt($status, 0, 'on another system it ends');
like($output, qr/^myfatoorah: missing: .*libcurl4-openssl-dev.*docs\/platforms\.md.*$/m, 'and says what is missing, and where its names are');
is(scalar(my @lines = split /\n/, $output), 1, 'in one line') or diag($output);

done_testing();
