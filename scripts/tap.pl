#!/usr/bin/perl
# Runs TAP tests: perl tap.pl JOBS TEST... Does what prove does, and ends with a line for scripts/suites.sh:
# "counts: PASSED FAILED SKIPPED", in tests, where a test file that ends badly without a failed test counts as one
# failure. Each failed test has a line "not ok: FILE: DESCRIPTION" before it.
use strict;
use warnings;
use TAP::Harness;

my ($jobs, @tests) = @ARGV;
my %result;
my @not_ok;
my $harness = TAP::Harness->new(
	{
		verbosity => -1,
		jobs => $jobs,
		timer => 1,
		failures => 1,
	});

$harness->callback(
	made_parser => sub {
		my ($parser, $job) = @_;

		$parser->callback(
			test => sub {
				my ($test) = @_;

				push @not_ok, "$job->[0]: " . ($test->description =~ s/^- //r) if !$test->is_ok;
			});
	});
$harness->callback(
	after_test => sub {
		my ($job, $parser) = @_;
		my $failed = () = $parser->failed;
		my $skipped = () = $parser->skipped;
		my $passed = $parser->passed - $skipped;

		if (!$failed && $parser->has_problems)
		{
			$failed = 1;
			push @not_ok, sprintf '%s: ended with status %s, %d of %s tests run',
			  $job->[0], $parser->exit // '?', $parser->tests_run, $parser->tests_planned // 'an unknown number of';
		}
		$result{passed} += $passed;
		$result{failed} += $failed;
		$result{skipped} += $skipped + ($parser->skip_all ? 1 : 0);
		printf "   %-40s %s\n", $job->[0],
		  $parser->skip_all ? 'skipped: ' . $parser->skip_all
		  : sprintf $failed ? "$failed not ok, %.1f s" : "$passed ok, %.1f s",
		  $parser->end_time - $parser->start_time;
	});

my $aggregate = $harness->runtests(@tests);
print "not ok: $_\n" for @not_ok;
printf "counts: %d %d %d\n", map { $result{$_} // 0 } qw(passed failed skipped);
exit($aggregate->has_problems ? 1 : 0);
