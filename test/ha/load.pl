#!/usr/bin/perl
# Inserts invoices and refunds, one per transaction, into whichever node is the primary, until SIGTERM:
#
#   load.pl CONNINFO NAME FILE PAUSE PAID
#
# FILE gets a line for each: "SECONDS NAME-1 ID" if its commit was acknowledged, "SECONDS NAME-1" if it was not, so that nobody
# knows. PAUSE is the time between two in seconds. Of eight in turn one is an invoice of ExecutePayment, one begins a recurring
# payment, and one is a refund, of the next of the PAID invoices NAME-paid-1 ...
use strict;
use warnings;

use IO::Handle ();
use IPC::Open2 ();
use IO::Select ();
use Time::HiRes qw(time sleep);

# No answer for so long: another connection is made, since this server may be frozen
use constant PATIENCE => 5;

my ($conninfo, $name, $file, $pause, $paid) = @ARGV;
my ($pid, $to, $from, $buffer);
my ($ended, $refunded) = (0, 0);

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

# What is inserted in that turn
sub row
{
	my ($n, $reference) = @_;
	my %more = (1 => [ 'payment_method_id', '2' ], 3 => [ 'payment_method_id, recurring_type, iteration, retry_count', q{2, 'Daily', 9, 2} ]);
	my ($columns, $values) = @{ $more{ $n % 8 } // [] };

	return "mf_refund (invoice, value, comment) SELECT id, 0.5, '$reference' FROM mf_invoice WHERE customer_reference = '$name-paid-" . ++$refunded . q{'}
	  if $n % 8 == 5 && $refunded < $paid;
	return 'mf_invoice (customer_name, customer_reference, invoice_value' . ($columns ? ", $columns" : '') . ") VALUES ('$reference', '$reference', 1.250"
	  . ($values ? ", $values" : '') . ')';
}

for (my $n = 1; !$ended; $n++)
{
	my $reference = "$name-$n";
	my $row = row($n, $reference);

	# Only a session that is open can have left something behind.
	until ($pid || $ended)
	{
		defined ask('SELECT 1') or sleep 0.2;
	}
	last if $ended;
	my $id = ask("INSERT INTO $row RETURNING id");
	printf $list "%.3f %s%s\n", time, $reference, defined $id ? " $id" : '';
	sleep $pause;
}
hang_up();
