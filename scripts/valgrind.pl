#!/usr/bin/perl
# Reads valgrind's reports: perl valgrind.pl PATTERN REPORT.xml... Prints each kind of error that has a function of a
# library whose name matches in its stack once, and at the end "bad processes: N", the number of reports that have any.
use strict;
use warnings;

my ($libraries, @reports) = @ARGV;
my (%seen, $bad);

# A process that was killed leaves its report without an end, so this looks for whole <error>s and for nothing else.
foreach my $report (@reports)
{
	open my $file, '<', $report or die "$report: $!\n";
	my $text = do { local $/; <$file> };
	my $ours = 0;

	while ($text =~ m{<error>(.*?)</error>}gs)
	{
		my $error = $1;
		next unless $error =~ m{<obj>[^<]*/(?:$libraries)</obj>};
		$ours++;

		my ($kind) = $error =~ m{<kind>(.*?)</kind>};
		my ($what) = $error =~ m{<(?:what|text)>(.*?)</(?:what|text)>};
		# The first stack is where it happened; others say where the memory came from.
		my $stack = join "\n    --\n", map { stack($_) } $error =~ m{<stack>(.*?)</stack>}gs;

		print "$kind: $what (" . ($report =~ s{.*/}{}r) . ")\n$stack\n" unless $seen{"$kind $stack"}++;
	}
	$bad++ if $ours;
}
printf "bad processes: %d\n", $bad // 0;

# The frames of a stack as lines
sub stack
{
	my ($xml) = @_;

	return join "\n", map {
		my %part = m{<(fn|file|line|obj)>(.*?)</}g;
		sprintf '    %s (%s)', $part{fn} // '?',
		  defined $part{file} ? "$part{file}:$part{line}" : ($part{obj} // '?') =~ s{.*/}{}r;
	} $xml =~ m{<frame>(.*?)</frame>}gs;
}
