# Folders of src/ include what stands below them only, each header is whole by itself, and docs/design.md lists all files.

use strict;
use warnings FATAL => 'all';

use File::Temp;
use PostgreSQL::Test::Utils;
use Test::More;

# from bottom to top, as in docs/design.md
my @folders = qw(
	core/text core/http core/api core/httpd
	base process database account request flow store on_change flight inquiry operation sending
	inbound functions triggers worker);
my %floor = map { $folders[$_] => $_ } 0 .. $#folders;
$floor{'.'} = @folders;

my %includes;
for my $file (split /\n/, `find src -name '*.[ch]'`)
{
	(my $name = $file) =~ s{^src/}{};
	$includes{$name} = [ grep { -e "src/$_" } slurp_file($file) =~ /^#include "([^"]+)"/mg ];
}
cmp_ok(scalar keys %includes, '>', 200, 'the sources are found');

my @unknown = grep { !exists $floor{ folder($_) } } sort keys %includes;
is_deeply(\@unknown, [], 'every folder has its floor');

my @upward;
for my $file (sort keys %includes)
{
	push @upward, map { "$file includes $_" } grep { $floor{ folder($_) } > $floor{ folder($file) } } @{ $includes{$file} };
}
is_deeply(\@upward, [], 'no include leads upward');

my @versions = grep { !m{^base/compat\.h$} && slurp_file("src/$_") =~ /PG_VERSION_NUM/ } sort keys %includes;
is_deeply(\@versions, [], 'base/compat.h is all that knows versions of PostgreSQL');

# A server with assertions, from PostgreSQL 16 on, does not start where a variable has another value before its definition.
my %enums = slurp_file('src/base/settings.c') =~ /DefineCustomEnumVariable\([^;]*?&(\w+), (\w+),/g;
cmp_ok(scalar keys %enums, '>', 0, 'settings of that type are found');
is_deeply({ map { $_ => slurp_file('src/base/settings.c') =~ /^int\s+$_ = (\w+);/m ? $1 : 'nothing' } keys %enums }, \%enums, 'settings that are enums begin with their default');

# Its arguments, and what it does with errors, depend on the version of PostgreSQL.
my @sessions = grep { slurp_file($_) =~ /->background_psql\(/ } glob 't/*.pl test/perl/MyFatoorah/*.pm test/perl/MyFatoorah/*/*.pm';
is_deeply(\@sessions, [], 'tests keep a psql by session() of MyFatoorah::Cluster');

# Whose error is raised without it would be looked up in the catalog of the server.
my @untranslated = grep { /\.c$/ && !/^core/ && slurp_file("src/$_") =~ /\b(?:ereport|elog|errcontext)\b/ && !reached($_)->{'base/text_domain.h'} } sort keys %includes;
is_deeply(\@untranslated, [], 'all that raises errors knows the catalog of messages');

# CppAsString2() of a macro that is not defined is its name, which SQL meets at run time only.
my @undefined;
for my $file (sort keys %includes)
{
	my @texts = map { slurp_file("src/$_") } $file, keys %{ reached($file) };

	for my $macro (slurp_file("src/$file") =~ /\bCppAsString2\(([A-Z_]+)\)/g)
	{
		push @undefined, "$file uses $macro" unless grep { /^#define $macro\b/m } @texts;
	}
}
is_deeply(\@undefined, [], 'what is made a text is defined there');

# The tables of docs/design.md: those of the folders in their order, each file once, by its name without ending.
my ($section) = slurp_file('docs/design.md') =~ /^## Source files\n(.*?)^## /ms;
my (@tables, @listed);
for my $line (split /\n/, $section)
{
	push @tables, $1 if $line =~ m{^`src(?:/([\w/]+))?`};
	push @listed, map { join '/', grep { defined } $tables[-1], $_ } $1 =~ /`(\w+)`/g if @tables && $line =~ /^\| (`.*?) \|/;
}
is_deeply(\@tables, [ @folders, undef ], 'docs/design.md has the folders in this order');
is_deeply([ sort @listed ], [ sort keys %{ { map { s/\.[ch]$//r => 1 } keys %includes } } ], 'and each of their files once');

my @circles = circles();
is_deeply(\@circles, [], 'no headers include each other in a circle');

# Each header compiles behind what every source of its kind begins with.
my $directory = File::Temp->newdir;
my $server = `$ENV{PG_CONFIG} --includedir-server`;
chomp $server;
my $cjson = `pkg-config --cflags libcurl libcjson libmicrohttpd`;
chomp $cjson;
my @incomplete;
for my $header (grep { /\.h$/ } sort keys %includes)
{
	my $begin = $header =~ /^core/ ? '' : "#include \"postgres.h\"\n";
	open my $source, '>', "$directory/header.c" or die $!;
	print $source "$begin#include \"$header\"\n";
	close $source;
	push @incomplete, $header
	  if system(($ENV{CC} // "cc") . " -fsyntax-only -Isrc -isystem $server $cjson $directory/header.c 2> $directory/errors") != 0;
}
is_deeply(\@incomplete, [], 'each header compiles alone');

done_testing();

sub folder
{
	my ($file) = @_;

	return $file =~ m{^(.*)/[^/]+$} ? $1 : '.';
}

# What a file includes, and what these include
sub reached
{
	my ($start) = @_;
	my @next = @{ $includes{$start} };
	my %seen;

	while (defined(my $file = shift @next))
	{
		next if $seen{$file}++;
		push @next, @{ $includes{$file} };
	}
	return \%seen;
}

# Headers that reach themselves
sub circles { return grep { /\.h$/ && reached($_)->{$_} } sort keys %includes; }
