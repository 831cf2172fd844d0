# A year of bills in some minutes: tenants in eight countries, plans of all kinds, payments, cash, changes, kills, lost webhooks,
# a server that is away for a week, and a clock that is moved. In the end an independent checker reads all tables and the
# stand-in's books. make billing-year takes its time: two years of 500 tenants.
#
# MF_YEAR_TENANTS   24
# MF_YEAR_DAYS      40; the first of them is MF_YEAR_START, next year's 5 October: the summer time of Cairo ends in that month
# MF_YEAR_KILLS     8: kills, and weeks without a server
# MF_YEAR_SEED      printed; the same choices are made again, though not at the same moments
use MyFatoorah::Test;
use MyFatoorah::Year;

use Time::HiRes qw(time);

my $started = time;
my $seed = $ENV{MF_YEAR_SEED} || int time;
my $year = MyFatoorah::Year->new(seed => $seed, tenants => $ENV{MF_YEAR_TENANTS} || 24, days => $ENV{MF_YEAR_DAYS} || 40, kills_wanted => $ENV{MF_YEAR_KILLS} || 8,
	start => $ENV{MF_YEAR_START} || (gmtime)[5] + 1901 . '-10-05');

plan skip_all => 'test/chaos/moved_clock.c cannot be compiled' if !$year;
diag("year: seed $seed, $year->{tenants} tenants, $year->{days} days from $year->{start} on");

my $books = $year->run;
my %figures = %{ $books->figures };
my @findings = $books->findings;

diag("year: $_: $figures{$_}") for sort keys %figures;
diag('year: survived: ' . join ', ', map { "$year->{kills}{$_} $_" } sort keys %{ $year->{kills} });
diag("year: $year->{lost} times webhooks were lost; " . join ', ', map { "$year->{did}{$_} $_" } sort keys %{ $year->{did} });
diag(sprintf 'year: took %.0f s, with the books %.0f s', $year->{finished} - $started, time - $started);

is(scalar @findings, 0, 'an independent checker finds nothing wrong') or diag(join "\n", @findings[ 0 .. ($#findings < 30 ? $#findings : 30) ]);
is($figures{'most live links of a bill'}, 1, 'no bill had more than one live link at once');
is($figures{'reminders after payment'}, 0, 'nobody was reminded who had paid');
is($figures{'difference between receipts and books'}, 0, 'receipts are what the stand-in and the office have in their books');
cmp_ok($figures{'periods billed'}, '>', $year->{tenants}, 'periods were billed');
cmp_ok($figures{'reminders'}, '>', 0, 'reminders were sent');
is($year->value(q{SELECT count(*) FROM mf_bill WHERE link_error IS NOT NULL}), 0, 'no bill is without a link for want of anything');
unlike(slurp_file($year->{node}->logfile), qr/TRAP:|PANIC/, 'nothing broke by itself');
$year->{node}->stop;
done_testing();
