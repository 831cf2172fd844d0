# What was released stays: its scripts do not change, a script that was not released is of the present version only, and the
# library has every function that a released script names, with the arguments that it had.
use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp;
use PostgreSQL::Test::Utils;
use Test::More;

# scripts(dir, extension): the text of each by its name.  The first one of bills is made of parts.
sub scripts
{
	my ($dir, $extension) = @_;
	my ($base) = slurp_file("$dir/Makefile") =~ /^BILLING_BASE = (.*)$/m;
	my %text = map { s!.*/!!r => slurp_file($_) } glob "$dir/" . ($extension eq 'myfatoorah' ? 'sql' : 'billing/upgrade') . "/$extension--*.sql";

	$text{"$extension--$base.sql"} = join '', map { slurp_file($_) } sort glob "$dir/billing/install/*.sql" if $extension ne 'myfatoorah';
	return %text;
}

# problems(dir): of the tree there, as sentences
sub problems
{
	my ($dir) = @_;
	my (@found, %sum, %declared);

	for my $line (split /\n/, slurp_file("$dir/sql/released.sha256"))
	{
		$line =~ /^([0-9a-f]{64})  (myfatoorah(?:_billing)?--\S+\.sql)$/ ? $sum{$2} = $1 : push @found, "sql/released.sha256 has a line of another form: $line";
	}
	for my $extension (qw(myfatoorah myfatoorah_billing))
	{
		my ($control) = grep { -e } "$dir/$extension.control", "$dir/billing/$extension.control";
		my ($present) = slurp_file($control) =~ /^default_version = '(.*)'$/m;
		my %text = scripts($dir, $extension);
		my @released = grep { /^${extension}--/ } sort keys %sum;

		for my $script (@released)
		{
			push @found, "$script was released and is " . (defined $text{$script} ? 'another one now' : 'gone') if sha256_hex($text{$script} // '') ne $sum{$script};
		}
		push @found, map { "$_ is not of the present version $present, and not in sql/released.sha256" } grep { !$sum{$_} && !/--\Q$present\E\.sql$/ } sort keys %text;
		push @found, "there is no way to install $extension $present: an upgrade script is missing" unless grep { /--\Q$present\E\.sql$/ } keys %text;
		push @found, map { "$_ installs $present although an earlier version was released: write an upgrade script only" }
		  grep { @released && !$sum{$_} && /^${extension}--[\d.]+\.sql$/ } sort keys %text;
	}

	my %exported = map { $_ => 1 } map { slurp_file($_) =~ /^PG_FUNCTION_INFO_V1\((\w+)\);/mg } glob "$dir/src/*/*.c";
	my %text = scripts($dir, 'myfatoorah');
	for my $script (sort keys %text)
	{
		my $text = $text{$script};

		while ($text =~ /^CREATE (?:OR REPLACE )?FUNCTION (\w+)\((.*?)\)\s*(RETURNS\s+.*?)?\s*LANGUAGE C\b.*?^AS 'MODULE_PATHNAME'(?:, '(\w+)')?;/gms)
		{
			my ($name, $arguments, $result, $symbol) = ($1, $2, $3 // '', $4 // $1);
			my $declaration = "($arguments) $result" =~ s/ DEFAULT (?:'[^']*'|[^,)]+)//gr =~ s/\s+/ /gr;

			push @found, "sql/$script: the library has no function \"$symbol\": keep one that raises an error" unless $exported{$symbol};
			push @found, "sql/$script declares \"$symbol\" as another script does not: give it another name in the library"
			  if $declared{$symbol} && $declared{$symbol} ne $declaration;
			$declared{$symbol} //= $declaration;
		}
	}
	push @found, 'the declarations of functions are not found' if keys %declared < 40;
	return @found;
}

is(join("\n", problems('.')), '', 'what was released is as it was');

# The same tree with something wrong
my ($present) = slurp_file('myfatoorah.control') =~ /^default_version = '(.*)'$/m;
my $next = $present =~ s/(\d+)$/$1 + 1/er;

sub with
{
	my (%files) = @_;
	my $dir = File::Temp->newdir;

	system("cp -R Makefile myfatoorah.control sql src billing '$dir'") == 0 or die "could not copy the tree\n";
	for my $name (keys %files)
	{
		my $text = slurp_file(-e "$dir/$name" ? "$dir/$name" : '/dev/null');

		open my $file, '>', "$dir/$name" or die "$name: $!\n";
		print $file $files{$name}->($text);
		close $file;
	}
	return join "\n", problems($dir);
}

my ($sum) = `sha256sum sql/myfatoorah--$present.sql` =~ /^(\w+)/;
my %tagged = ('sql/released.sha256' => sub { "$_[0]$sum  myfatoorah--$present.sql\n" });
my %bumped = (%tagged, 'myfatoorah.control' => sub { $_[0] =~ s/^default_version = .*/default_version = '$next'/mr });
my $upgrade = "sql/myfatoorah--$present--$next.sql";

is(with(%tagged), '', 'an entry of the present script');
like(with(%tagged, "sql/myfatoorah--$present.sql" => sub { "$_[0]\n" }), qr/^myfatoorah--\Q$present\E\.sql was released and is another one now$/m, 'a released script that was changed is noticed');
like(with(%tagged, 'sql/released.sha256' => sub { ('0' x 64) . "  myfatoorah--0.9.0.sql\n" }), qr/^myfatoorah--0\.9\.0\.sql was released and is gone$/m, 'one that is gone');
like(with('sql/released.sha256' => sub { "something\n" }), qr/line of another form/, 'a list that is none');
is(with(%bumped, $upgrade => sub { "COMMENT ON TABLE mf_queue IS 'x';\n" }), '', 'the next version comes with an upgrade script');
like(with(%bumped), qr/^there is no way to install myfatoorah \Q$next\E/m, 'without one it is noticed');
like(with(%bumped, $upgrade => sub { '' }, "sql/myfatoorah--$next.sql" => sub { '' }), qr/although an earlier version was released/, 'so is an install script instead');
like(with("sql/myfatoorah--0.9.0.sql" => sub { '' }), qr/is not of the present version/, 'a script of another version that was not released');
my ($bills) = sha256_hex(join '', map { slurp_file($_) } sort glob 'billing/install/*.sql');
my %bills_tagged = ('sql/released.sha256' => sub { "$_[0]$bills  myfatoorah_billing--$present.sql\n" });
is(with(%bills_tagged), '', 'an entry of the script of bills');
like(with(%bills_tagged, 'billing/install/20_bill.sql' => sub { "$_[0]\n" }), qr/^myfatoorah_billing--\Q$present\E\.sql was released and is another one now$/m, 'a part of it that was changed is noticed');
like(with(%bumped, $upgrade => sub { "CREATE FUNCTION mf_gone()\nRETURNS void\nLANGUAGE C STRICT\nAS 'MODULE_PATHNAME';\n" }), qr/the library has no function "mf_gone"/, 'a function that the library has not');
like(with(%bumped, $upgrade => sub { "CREATE FUNCTION mf_here(now integer)\nRETURNS bigint\nLANGUAGE C STRICT\nAS 'MODULE_PATHNAME';\n" }), qr/declares "mf_here" as another script does not/, 'one with other arguments');
done_testing();
