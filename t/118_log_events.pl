# What the extension writes into the server's log has a name for each event, and docs/operations.md lists all of them.
# Messages are in PostgreSQL's style: no full stop after a message; details and hints are sentences, or end in a command.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;

my (%raised, @nameless);
for my $file (sort split /\n/, `find src -name '*.c'`)
{
	my $source = slurp_file($file);

	$raised{$_}++ for $source =~ /\bmf_log_(?:error_)?event\("(\w+)"/g;
	# a test's build only
	next if $file eq 'src/base/failpoint.c';
	while ($source =~ /\bereport\((?:LOG|LOG_SERVER_ONLY),(.*?)\);\n/sg)
	{
		my ($report) = $1;

		# a function that returns the message calls it
		push @nameless, "$file: $report" if $report !~ /\bmf_log_event\(|_message\(/ || $report =~ /\berrmsg/;
	}
	push @nameless, "$file: elog" if $source =~ /\belog\((?:LOG|WARNING)/;
	push @nameless, "$file: EmitErrorReport"
	  if (() = $source =~ /\bEmitErrorReport\(\)/g) != (() = $source =~ /\bmf_log_error_event\("\w+", \w+\);\s+EmitErrorReport\(\)/g);
}
cmp_ok(scalar keys %raised, '>', 30, 'the events are found');
is_deeply(\@nameless, [], 'each line has an event');

my ($section) = slurp_file('docs/operations.md') =~ /^## Log events\n(.*?)^## /ms;
my @listed = $section =~ /^\| `(\w+)` \|/mg;
is_deeply([ sort @listed ], [ sort keys %raised ], 'docs/operations.md lists all events, and no other');
is_deeply([ grep { !/^[a-z]+(?:_[a-z]+)*$/ } @listed ], [], 'their names are words');

my ($messages, @odd) = (0);
for my $file (sort split /\n/, `find src billing/src billing/install sql -name '*.[ch]' -o -path '*/install/*.sql' -o -name 'myfatoorah--*.sql'`)
{
	my $source = slurp_file($file) =~ s/"\s*\n\s*"//gr;
	my @found = $file =~ /sql$/
	  ? ((map { [ 'errmsg', $_ ] } $source =~ /\bRAISE (?:EXCEPTION|WARNING|NOTICE) '((?:[^']|'')+)'/g),
		(map { [ 'errhint', $_ ] } $source =~ /\b(?:HINT|DETAIL) = (?:format\()?'((?:[^']|'')+)'/g))
	  : map { [ /^(err(?:msg|detail|hint))(?:_plural)?\((?:[^"();]* \? )?"((?:[^"\\]|\\.)+)"/ ] } $source =~ /\b(err(?:msg|detail|hint)(?:_plural)?\((?:[^"();]* \? )?"(?:[^"\\]|\\.)+")/g;

	$messages += @found;
	push @odd, map { "$file: $_->[1]" } grep { $_->[0] eq 'errmsg' ? $_->[1] =~ /\.$|^[A-Z][a-z]+ / : $_->[1] !~ /^%s$|^(?:[A-Z"%]|mf_).*(?:\.|: [A-Z]+ .*|: shared_preload_libraries = .*|: %s)$/s } @found;
}
cmp_ok($messages, '>', 900, 'the messages are found');
is_deeply(\@odd, [], 'and are in the style of PostgreSQL');

done_testing();
