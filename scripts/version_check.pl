#!/usr/bin/perl
# Compares the version in myfatoorah.control, where it belongs, with all places that cannot read it there, and the dates of
# the release with each other. Prints what differs, and fails then. Run from the top of the sources.
use strict;
use warnings FATAL => 'all';
use JSON::PP;

my @wrong;
my %months = map { (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$_] => $_ + 1 } 0 .. 11;

sub text
{
	my ($name) = @_;

	open my $file, '<:raw', $name or die "$name: $!\n";
	local $/;
	return scalar <$file>;
}

# first(name, pattern): what the groups of the pattern find first there
sub first
{
	my ($name, $pattern) = @_;
	my @found = text($name) =~ $pattern;

	push @wrong, "$name: no version is found" if !@found;
	return @found;
}

my ($version) = text('myfatoorah.control') =~ /^default_version = '([^']*)'/m;
die "myfatoorah.control: no default_version\n" if !defined $version;
push @wrong, "myfatoorah.control: $version is not a semantic version" if $version !~ /\A(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\z/;

sub same
{
	my ($place, $found) = @_;

	push @wrong, "$place: $found, but myfatoorah.control says $version" if defined $found && $found ne $version;
	return;
}

same('billing/myfatoorah_billing.control', first('billing/myfatoorah_billing.control', qr/^default_version = '([^']*)'/m));
my $meta = decode_json(text('META.json'));
same('META.json, version', $meta->{version});
same("META.json, provides $_", $meta->{provides}{$_}{version}) foreach sort keys %{ $meta->{provides} };

my ($debian, $debian_date) = first('debian/changelog', qr/\A\S+ \(([^)]+)\).*?^ -- .*?>  \w+, (.*?)$/ms);
same('debian/changelog', $debian);
my ($spec) = first('myfatoorah.spec', qr/^Version: *(\S+)/m);
same('myfatoorah.spec, Version', $spec);
my ($spec_date, $spec_change) = first('myfatoorah.spec', qr/^%changelog\n\* \w+ (\w+ \d+ \d+) .* - (\S+)-\d+$/m);
same('myfatoorah.spec, %changelog', $spec_change);
my ($changes, $date) = first('CHANGELOG.md', qr/^## (\S+) \(([^)]+)\)/m);
same('CHANGELOG.md', $changes);

# the release has one date; until it is known, CHANGELOG.md says "unreleased"
sub iso
{
	my ($day, $month, $year) = @_;

	return sprintf '%04d-%02d-%02d', $year, $months{$month}, $day;
}

if (defined $date && $date ne 'unreleased')
{
	my %dates = (
		'debian/changelog' => defined $debian_date && $debian_date =~ /^(\d+) (\w+) (\d+)/ ? iso($1, $2, $3) : 'none',
		'myfatoorah.spec' => defined $spec_date && $spec_date =~ /^(\w+) (\d+) (\d+)/ ? iso($2, $1, $3) : 'none');

	push @wrong, map { "$_: the date $dates{$_}, but CHANGELOG.md says $date" } grep { $dates{$_} ne $date } sort keys %dates;
}

# An installation of the version needs its script, or upgrades that lead to it from one that has a script.
my %reached = map { $_ => 1 } map { /--([^-]+)\.sql\z/ ? $1 : () } grep { !/--.*--/ } glob 'sql/myfatoorah--*.sql';
for (1 .. 100)
{
	/--([^-]+)--([^-]+)\.sql\z/ and $reached{$1} and $reached{$2} = 1 foreach glob 'sql/myfatoorah--*--*.sql';
}
push @wrong, "sql/: no script installs $version" if !$reached{$version};

print map { "$_\n" } @wrong;
exit(@wrong > 0);
