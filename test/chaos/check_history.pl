#!/usr/bin/perl
# Checks the history of one database against the ledger of the stand-in API, for a server that runs already:
#
#   test/chaos/check_history.pl [--settled] [--mine REGEX] CONNECTION URL...
#   test/chaos/check_history.pl --settled 'host=/tmp/x port=5432 dbname=postgres' http://127.0.0.1:8099
#
# Prints every violation and a line of figures; ends with status 1 if there is a violation. See MyFatoorah/History.pm.
use strict;
use warnings;

use FindBin;
use Getopt::Long;
use HTTP::Tiny;
use lib "$FindBin::RealBin/../perl";
use MyFatoorah::History;

my %params;

GetOptions('settled' => \$params{settled}, 'mine=s' => \$params{mine}) && @ARGV >= 2
  or die "usage: $0 [--settled] [--mine REGEX] CONNECTION URL...\n";
my ($connection, @urls) = @ARGV;
my $http = HTTP::Tiny->new(timeout => 60, proxy => undef, http_proxy => undef);

my $history = MyFatoorah::History->read(
	sub {
		open my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $_[0], $connection or die "psql: $!\n";
		local $/;
		my $output = <$psql>;

		close $psql or die "psql failed\n";
		chomp $output;
		return $output;
	},
	map {
		my $url = $_;
		sub {
			my $answer = $http->get("$url/_sandbox/$_[0]");

			$answer->{success} or die "$url: $answer->{status} $answer->{content}\n";
			return $answer->{content};
		}
	} @urls);
my @violations = $history->violations(%params);

print "VIOLATION: $_\n" for @violations;
print $history->summary, "\n", scalar @violations, " violations\n";
exit(@violations ? 1 : 0);
