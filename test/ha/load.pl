#!/usr/bin/perl
# Inserts invoices, one per transaction, into whichever node is the primary, until SIGTERM:
#
#   load.pl CONNINFO NAME FILE PAUSE
#
# FILE gets a line for each: "SECONDS NAME-1 ID" if its commit was acknowledged, "SECONDS NAME-1" if it was not, so that nobody
# knows. PAUSE is the time between two in seconds.
use strict;
use warnings;

use IO::Handle ();
use IPC::Open2 ();
use IO::Select ();
use Time::HiRes qw(time sleep);

# No answer for so long: another connection is made, since this server may be frozen
use constant PATIENCE => 5;

my ($conninfo, $name, $file, $pause) = @ARGV;
my ($pid, $to, $from, $buffer);
my $ended = 0;

$SIG{TERM} = sub { $ended = 1 };
$SIG{PIPE} = 'IGNORE';
open my $list, '>', $file or die "$file: $!\n";
$list->autoflush(1);

sub hang_up
{
	return unless $pid;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	close $_ for $to, $from;
	undef $pid;
	return;
}

# ask(query): the line it gives; undef if none came
sub ask
{
	my ($query) = @_;
	my $deadline = time + PATIENCE;

	if (!$pid)
	{
		$pid = IPC::Open2::open2($from, $to, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $conninfo);
		$to->autoflush(1);
		$buffer = '';
	}
	print {$to} "$query;\n";
	while ((my $left = $deadline - time) > 0)
	{
		return $1 if $buffer =~ s/^(\S*)\n//;
		next unless IO::Select->new($from)->can_read($left);
		last unless sysread $from, $buffer, 4096, length $buffer;
	}
	hang_up();
	return;
}

for (my $n = 1; !$ended; $n++)
{
	my $reference = "$name-$n";

	# Only a session that is open can have left something behind.
	until ($pid || $ended)
	{
		defined ask('SELECT 1') or sleep 0.2;
	}
	last if $ended;
	my $id = ask("INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) VALUES ('$reference', '$reference', 1.250) RETURNING id");
	printf $list "%.3f %s%s\n", time, $reference, defined $id ? " $id" : '';
	sleep $pause;
}
hang_up();
