#!/usr/bin/perl
# Those who mean the listener no good, for bench/webhook.pl: perl bench/strangers.pl PORT TOKEN SECONDS JUNK CUSTOMERS.
# JUNK posts a second that nobody has signed, and CUSTOMERS connections a second that come back to the address of one
# invoice, each with another PaymentId. Prints how many of both were answered, and how many had to do without.
use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes qw(sleep time);

my ($port, $token, $seconds, $junk, $customers) = @ARGV;
my $end = time + $seconds;
my $number = 0;
my %count = (junk => 0, customers => 0, lost => 0);
my %open;						# by socket: what it is, and when it began

$SIG{PIPE} = 'IGNORE';

sub begin
{
	my ($what) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2);
	my $request = $what eq 'junk' ? "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\njunk"
	  : "GET /callback/$token?paymentId=9" . ++$number . " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

	if (!$socket || !syswrite $socket, $request)
	{
		$count{lost}++;
		return;
	}
	$open{$socket} = [ $what, $socket ];
	return $socket;
}

my $select = IO::Select->new;
my %begun = (junk => 0, customers => 0);
my %rate = (junk => $junk, customers => $customers);
my $start = time;
while (time < $end)
{
	foreach my $what (sort keys %rate)
	{
		my $due = (time - $start) * $rate{$what};

		for (1 .. 50)
		{
			last if $begun{$what} >= $due || keys %open >= 600;
			my $socket = begin($what);

			$begun{$what}++;
			$select->add($socket) if $socket;
		}
	}
	foreach my $socket ($select->can_read(0.002))
	{
		my $got = sysread $socket, my $answer, 4096;

		$count{ $got ? $open{$socket}[0] : 'lost' }++;
		delete $open{$socket};
		$select->remove($socket);
		close $socket;
	}
}
printf "%d %d %d %d\n", @count{qw(junk customers lost)}, scalar keys %open;
