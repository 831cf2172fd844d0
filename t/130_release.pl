# A release is of one version, its META.json is what PGXN takes, and its tarball has the same bytes wherever it is made.
use strict;
use warnings FATAL => 'all';

use File::Spec;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = $ENV{PWD} && -e "$ENV{PWD}/META.json" ? $ENV{PWD} : '.';
my $work = File::Spec->rel2abs(PostgreSQL::Test::Utils::tempdir('release'));

plan skip_all => 'the sources are not here' if !-e "$top/META.json" || !-e "$top/debian/changelog";

# copy(name): the sources, without what was built
sub copy
{
	my ($name) = @_;

	mkdir "$work/$name" or die "mkdir: $!";
	system("cd '$top' && tar --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.d' --exclude=build --exclude=tmp_check --warning=no-file-changed -cf - . | tar -C '$work/$name' -xf -");
	return "$work/$name";
}

sub spew
{
	my ($name, $text) = @_;

	open my $file, '>:raw', $name or die "$name: $!";
	print $file $text;
	close $file or die "$name: $!";
	return;
}

#
# The version, which myfatoorah.control gives
#
my ($version) = slurp_file("$top/myfatoorah.control") =~ /^default_version = '(.*)'$/m;
like($version, qr/^\d+\.\d+\.\d+$/, 'the version is a semantic one');

my $sources = copy('sources');
my $check = "cd '$sources' && perl scripts/version_check.pl 2>&1";
is(`$check`, '', 'all places have the same');

for my $change (
	[ 'META.json', qr/^   "version": "\K[^"]*/m, 'META.json, version' ],
	[ 'META.json', qr/^         "version": "\K[^"]*/m, 'META.json, provides myfatoorah' ],
	[ 'debian/changelog', qr/\A\S+ \(\K[^)]*/, 'debian/changelog' ],
	[ 'myfatoorah.spec', qr/^Version: *\K\S+/m, 'myfatoorah.spec, Version' ],
	[ 'myfatoorah.spec', qr/^%changelog\n.*? - \K[^-\n]*(?=-\d+$)/m, 'myfatoorah.spec, %changelog' ],
	[ 'CHANGELOG.md', qr/^## \K\S+/m, 'CHANGELOG.md' ],
	[ 'billing/myfatoorah_billing.control', qr/^default_version = '\K[^']*/m, 'billing/myfatoorah_billing.control' ],
	[ 'myfatoorah.control', qr/^default_version = '\K[^']*/m, 'sql/: no script installs' ])
{
	my ($name, $pattern, $complaint) = @$change;
	my $text = slurp_file("$sources/$name");

	(my $changed = $text) =~ s/$pattern/9.9.9/;
	isnt($changed, $text, "$name has a version") or next;
	spew("$sources/$name", $changed);
	like(`$check`, qr/^\Q$complaint\E/m, "another version is noticed: $complaint");
	spew("$sources/$name", $text);
}
{
	my $text = slurp_file("$sources/CHANGELOG.md");

	spew("$sources/CHANGELOG.md", $text =~ s/^(## \S+) \([^)]*\)/$1 (2001-02-03)/mr);
	like(`$check`, qr{^debian/changelog: the date \d{4}-\d\d-\d\d, but CHANGELOG.md says 2001-02-03\nmyfatoorah.spec: the date }m, 'another date is noticed');
	spew("$sources/CHANGELOG.md", $text);
}

#
# META.json, by the PGXN Meta Spec 1.0.0
#
my $string = sub { defined $_[0] && !ref $_[0] && $_[0] ne '' };
my $url = sub { $string->($_[0]) && $_[0] =~ m{^\w+://[^/]+} };
my $semver = sub { $string->($_[0]) && $_[0] =~ /^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[0-9A-Za-z.-]+)?$/ };
my $term = sub { $string->($_[0]) && length $_[0] > 1 && $_[0] !~ m{[[:space:][:cntrl:]/\\]} };
my $tag = sub { $string->($_[0]) && length $_[0] <= 255 && $_[0] !~ m{[[:cntrl:]/\\]} };
my $license = sub { $string->($_[0]) && $_[0] =~ /^(?:agpl_3|apache_[12]_[01]|artistic_[12]|bsd|freebsd|gpl_[123]|mit|mozilla_1_[01]|openssl|perl_5|postgresql|zlib|unrestricted)$/ };
my $file = sub { $string->($_[0]) && -s "$top/$_[0]" };
my $range = sub { !grep { !/^(?:(?:<|<=|>|>=|==|!=) *)?(.*)$/ || !($1 eq '0' || $semver->($1)) } split /, */, $_[0] };
my $release_status = sub { $_[0] =~ /^(?:stable|testing|unstable)$/ };

# A hash is a map whose keys are these: "!" before a required one, "*" for any other that is a term; [ what ] is a list or one.
my %spec = (
	'!name' => $term, '!version' => $semver, '!abstract' => $string, '!maintainer' => [$string], '!license' => [$license],
	'!provides' => { '*' => { '!file' => $file, '!version' => $semver, abstract => $string, docfile => $file } },
	'!meta-spec' => { '!version' => $semver, url => $url },
	description => $string, generated_by => $string, release_status => $release_status, tags => [$tag],
	no_index => { file => [$string], directory => [$string] },
	prereqs => { map { $_ => { map { $_ => { '*' => $range } } qw(requires recommends suggests conflicts) } } qw(configure build test runtime develop) },
	resources => { homepage => $url, license => [$url], bugtracker => { web => $url, mailto => $string },
		repository => { web => $url, url => $url, type => $string } });

# violations(where, what it shall be, what it is)
sub violations
{
	my ($where, $shall, $is) = @_;

	return $shall->($is) ? () : "$where is not valid" if ref $shall eq 'CODE';
	return map { violations($where, $shall->[0], $_) } ref $is eq 'ARRAY' ? @$is : $is if ref $shall eq 'ARRAY';
	return "$where is no map" if ref $is ne 'HASH';
	my @found = map { "$where lacks $_" } grep { !exists $is->{$_} } map { /^!(.*)/ ? $1 : () } sort keys %$shall;

	for my $key (sort keys %$is)
	{
		my $rule = $shall->{"!$key"} // $shall->{$key} // ($term->($key) ? $shall->{'*'} : undef);

		next if !$rule && $key =~ /^x_/i;
		push @found, $rule ? violations("$where/$key", $rule, $is->{$key}) : "$where has an unknown $key";
	}
	return @found;
}

my $text = slurp_file("$top/META.json");
my $meta = decode_json($text);
is(join("\n", violations('META.json', \%spec, $meta)), '', 'META.json is valid');
for my $key (map { /^!(.*)/ ? $1 : () } sort keys %spec)
{
	my $without = decode_json($text);

	delete $without->{$key};
	is(join("\n", violations('META.json', \%spec, $without)), "META.json lacks $key", "and would not be without $key");
}
is(join(' ', sort keys %{ $meta->{provides} }), 'myfatoorah myfatoorah_billing', 'it provides both extensions');
is($meta->{'meta-spec'}{version}, '1.0.0', 'by version 1.0.0 of the specification');
like($meta->{provides}{myfatoorah}{file}, qr/^sql\/myfatoorah--\d+\.\d+\.\d+\.sql$/, 'its file is an installation script');
unlike($text, qr/,\s*[}\]]/, 'no comma is too much');

#
# The tarball
#
SKIP:
{
	skip 'git is not installed', 1 if system('git --version >/dev/null 2>&1') != 0;

	my $git = 'git -c user.name=n -c user.email=n@example.com -c init.defaultBranch=main';

	# A repository of what is here, whose commit is the same in each run
	system("cd '$sources' && export GIT_AUTHOR_DATE='2026-01-02T03:04:05Z' GIT_COMMITTER_DATE='2026-01-02T03:04:05Z' && $git init -q && $git add -A && $git commit -q -m release") == 0
	  or die 'no repository';
	my %sums;
	for my $try (
		[ 'here', $sources, 'umask 022; export TZ=UTC' ],
		[ 'again', $sources, 'umask 000; export TZ=America/St_Johns LC_ALL=C.UTF-8' ],
		[ 'in a clone', "$work/clone", 'umask 077; export TZ=Asia/Kuwait' ],
		[ 'in a clone of a clone, with other habits', "$work/other", 'umask 027; export TZ=Pacific/Kiritimati TAR_OPTIONS=--exclude=LICENSE GZIP=-1; git config core.autocrlf true; git config tar.umask 0077' ])
	{
		my ($where, $directory, $before) = @$try;

		if (!-e $directory)
		{
			my $from = $directory =~ /other$/ ? "$work/clone" : $sources;

			system("umask 077; git clone -q '$from' '$directory' && find '$directory' -name '*.md' -exec touch -d 2001-01-01 {} +") == 0 or die 'no clone';
		}
		is(system("cd '$directory' && rm -f myfatoorah-*.tar.gz && ($before; scripts/dist.sh) >'$work/log' 2>&1"), 0, "make dist, $where") or diag(slurp_file("$work/log"));
		my ($sum) = slurp_file("$work/log") =~ /^([0-9a-f]{64})  myfatoorah-\Q$version\E\.tar\.gz$/m;

		push @{ $sums{ $sum // 'none' } }, $where;
	}
	is(join(' | ', map { join ', ', @{ $sums{$_} } } sort keys %sums), 'here, again, in a clone, in a clone of a clone, with other habits', 'it has the same bytes each time');

	my %content = map { /^(\S+) +(\S+) .* (\S+)$/ ? ($3 => "$1 $2") : () } `tar -tvzf '$work/clone/myfatoorah-$version.tar.gz'`;
	my $name = "myfatoorah-$version";
	is(join(' ', grep { !m!^\Q$name\E/! } keys %content), '', 'all in one directory');
	is($content{"$name/Makefile"}, '-rw-r--r-- 0/0', 'with rights that do not depend on who made it');
	is($content{"$name/scripts/dist.sh"}, '-rwxr-xr-x 0/0', 'and scripts that run');
	is(join(' ', grep { !exists $content{"$name/$_"} } 'META.json', 'LICENSE', map { @$_{qw(file docfile)} } values %{ $meta->{provides} }), '', 'META.json names what is in it');
	like(`tar -xOzf '$work/clone/$name.tar.gz' $name/Makefile`, qr/^WERROR \?=$/m, 'warnings are no errors in it');

	# what is not the same everywhere is not released
	system("cd '$work/clone' && rm -f *.tar.gz && sed -i s/$version/9.9.9/ META.json");
	isnt(system("cd '$work/clone' && scripts/dist.sh >'$work/log' 2>&1"), 0, 'make dist refuses another version');
	like(slurp_file("$work/log"), qr/META\.json, version: 9\.9\.9/, 'and says where it is');
	ok(!-e "$work/clone/$name.tar.gz", 'and makes no tarball');
}

done_testing();
