# The table of characters is what its script writes: nobody edits it by hand.

use strict;
use warnings FATAL => 'all';

use Test::More;
use Unicode::UCD;

my $has = join '.', map { sprintf '%03d', $_ } split /\./, Unicode::UCD::UnicodeVersion();
plan skip_all => "this Perl knows too old a Unicode: $has" if $has lt '014.000';

my $written = `$^X scripts/unicode_table.pl`;
is($?, 0, 'the script runs');
open my $file, '<', 'src/core/text/unicode_table.h' or die "could not read the table: $!";
my $kept = do { local $/; <$file> };
is($written, $kept, 'the table is as written');

done_testing();
