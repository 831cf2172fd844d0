# The books: compares what the database says of payments, refunds, captures, releases and deposits with what the stand-in has done.
#
#   my $books = MyFatoorah::Money->of($node, 'postgres', $sandbox);
#   is_deeply([ $books->violations(committed => \@keys) ], []);
#   diag $books->summary;
#
# Nothing is lost: what was asked for is there, and so is what the stand-in has carried out. Nothing is done twice. Nothing is
# told that is not so: to the last fils, each invoice has in the ledger what it has at the stand-in. The worker must be at rest.
package MyFatoorah::Money;

use strict;
use warnings;

use List::Util qw(sum0);

# of(node, dbname, sandbox): what both say now
sub of
{
	my ($class, $node, $dbname, $sandbox) = @_;
	my $rows = sub {
		my ($names, $query) = @_;

		return [ map { my %row; @row{@$names} = split /\|/, $_, -1; \%row } split /\n/, $node->safe_psql($dbname, $query) ];
	};
	my %self = (
		invoices => $rows->([qw(id number paid refunded)], q{SELECT i.id, i.invoice_id, coalesce(m.paid, 0), coalesce(m.refunded, 0) FROM mf_invoice i
			LEFT JOIN (SELECT invoice, sum(amount) FILTER (WHERE kind = 'payment') AS paid, -sum(amount) FILTER (WHERE kind = 'refund') AS refunded
				FROM mf_money GROUP BY invoice) m ON m.invoice = i.id WHERE i.status = 'sent'}),
		operations => $rows->([qw(id kind status value key number refund_id references attempts)], q{SELECT o.id, o.kind, o.status, o.value, o.idempotency_key, i.invoice_id, o.refund_id,
			(SELECT string_agg(a.reference, ',') FROM mf_operation_attempt a WHERE a.operation = o.id), o.attempts
			FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice ORDER BY o.id}),
		read => $rows->([qw(reference value itemised)], q{SELECT deposit_reference, announced_value, itemised_value FROM mf_deposit_state WHERE status = 'read'}),
		refunds => [ $sandbox->refunds ],
		deposits => $sandbox->control('GET', 'deposits')->{deposits});
	my $answer = $sandbox->request('GET', '/_sandbox/invoices');

	# made for thousands: not decoded as JSON
	while ($answer->{content} =~ /\{"id":(\d+),"reference":.*?"transactions":\[(.*?)\]\}/gs)
	{
		my ($number, $tries) = ($1, $2);

		push @{ $self{tries}{$number} }, { status => $1, value => $2, by_merchant => $3 eq 'true' }
		  while $tries =~ /"status":"(\w+)","gateway":"[^"]*","value":"([^"]*)".*?"by_merchant":(true|false)/gs;
	}
	return bless \%self, $class;
}

# Amounts in thousandths, so that they can be compared and added
sub _fils
{
	return sprintf '%.0f', 1000 * ($_[0] || 0);
}

# violations(committed => [idempotency keys], uncertain => [...]): sentences; none is right
sub violations
{
	my ($self, %params) = @_;
	my (%refunds, %by_reference, %by_refund_id, %keys, %asked, @violations);
	my $say = sub { push @violations, sprintf shift, @_ };

	@$self{qw(lost doubled)} = (0, 0);
	push @{ $refunds{ $_->{invoice_id} } }, $_ foreach @{ $self->{refunds} };
	foreach my $row (@{ $self->{operations} })
	{
		$keys{ $row->{key} }++ if length $row->{key};
		$by_reference{$_} = $row foreach split /,/, $row->{references};
		$by_refund_id{"$row->{number} $row->{refund_id}"} = $row if length $row->{refund_id};
		push @{ $asked{ $row->{number} } }, $row if $row->{kind} ne 'refund';
	}
	foreach (@{ $params{committed} })
	{
		$self->{lost}++, $say->('refund %s was committed and is there %d times', $_, $keys{$_} // 0) if ($keys{$_} // 0) != 1;
	}
	foreach my $invoice (@{ $self->{invoices} })
	{
		my @tries = @{ $self->{tries}{ $invoice->{number} } // [] };
		my @mine = @{ $refunds{ $invoice->{number} } // [] };
		my $paid = sum0(map { _fils($_->{value}) } grep { $_->{status} eq 'Succss' } @tries);
		my $given = sum0(map { _fils($_->{amount}) } grep { $_->{status} eq 'Refunded' } @mine);

		$say->('invoice %s: %d fils in the ledger, %d were paid', $invoice->{id}, _fils($invoice->{paid}), $paid) if _fils($invoice->{paid}) != $paid;
		$say->('invoice %s: %d fils in the ledger, %d were given back', $invoice->{id}, _fils($invoice->{refunded}), $given) if _fils($invoice->{refunded}) != $given;
		$say->('invoice %s: more is given back than %d fils', $invoice->{id}, $paid) if sum0(map { _fils($_->{amount}) } grep { $_->{status} ne 'Canceled' } @mine) > $paid;
		$self->_check_settling($invoice, $asked{ $invoice->{number} } // [], [ grep { $_->{by_merchant} } @tries ], $say);
	}

	# each refund of the stand-in is a row, and says what the row says
	my %end = (Refunded => 'refunded', Pending => 'filed', Canceled => 'refused');
	foreach my $refund (@{ $self->{refunds} })
	{
		my $row = $by_reference{ $refund->{external} // '' } // $by_refund_id{"$refund->{invoice_id} $refund->{id}"};

		$self->{lost}++, $say->('RefundId %s of %s is no row', $refund->{id}, $refund->{amount}), next unless $row;
		push @{ $row->{made} }, $refund;
	}
	foreach my $row (grep { $_->{kind} eq 'refund' } @{ $self->{operations} })
	{
		my @made = @{ $row->{made} // [] };
		my @living = grep { $_->{status} ne 'Canceled' } @made;

		# one that was rejected may have been asked for again
		$self->{doubled}++, $say->('refund %s was carried out %d times', $row->{id}, scalar @living) if @living > 1;
		$self->{lost}++, $say->('refund %s is "%s", and there is none', @{$row}{qw(id status)}) if !@made && $row->{status} =~ /^(?:filed|refunded)$/;
		$say->('refund %s of %s is "%s", and RefundId %s of %s is "%s"', @{$row}{qw(id value status)}, @{ $made[-1] }{qw(id amount status)})
		  if @made && ($row->{status} ne $end{ $made[-1]{status} } || _fils($row->{value}) != _fils($made[-1]{amount}));
	}

	# deposits
	my %read = map { $_->{reference} => $_ } @{ $self->{read} };
	foreach my $deposit (@{ $self->{deposits} })
	{
		my $row = $read{ $deposit->{reference} };

		$self->{lost}++, $say->('deposit %s was not read', $deposit->{reference}), next unless $row;
		$say->('deposit %s: itemised %s and announced %s, and not %s and %s', $deposit->{reference}, @{$row}{qw(itemised value)}, @{$deposit}{qw(itemised announced)})
		  if _fils($row->{itemised}) != _fils($deposit->{itemised}) || (length $row->{value} && _fils($row->{value}) != _fils($deposit->{announced}));
	}
	return @violations;
}

# differing: the InvoiceIds that the stand-in has payments or refunds of, and the ledger other sums or rows
sub differing
{
	my ($self) = @_;
	my (%fils, %filed);

	$fils{ $_->{invoice_id} } += $_->{status} eq 'Refunded' ? _fils($_->{amount}) : 0 foreach @{ $self->{refunds} };
	$filed{ $_->{number} } = 1 foreach grep { $_->{status} =~ /^(?:filed|unknown|review)$/ } @{ $self->{operations} };
	return grep { defined } map {
		my $paid = sum0(map { _fils($_->{value}) } grep { $_->{status} eq 'Succss' } @{ $self->{tries}{ $_->{number} } // [] });

		_fils($_->{paid}) != $paid || _fils($_->{refunded}) != ($fils{ $_->{number} } // 0) || $filed{ $_->{number} } ? $_->{number} : undef
	} @{ $self->{invoices} };
}

# Captures and releases of an invoice: one at most, and the row that says so
sub _check_settling
{
	my ($self, $invoice, $rows, $made, $say) = @_;
	my $done = join ',', map { $_->{status} eq 'Succss' ? 'captured' : 'released' } @$made;
	my $told = join ',', map { $_->{status} } grep { $_->{status} =~ /^(?:captured|released)$/ } @$rows;

	$self->{doubled}++, $say->('invoice %s was captured or released %d times', $invoice->{id}, scalar @$made) if @$made > 1;
	$self->{lost}++, $say->('invoice %s was %s; its rows say: %s', $invoice->{id}, $done || 'neither captured nor released', $told || 'neither') if $done ne $told;
	return;
}

# summary: one line of figures
sub summary
{
	my ($self) = @_;
	my %count;

	$count{"$_->{kind}s $_->{status}"}++ foreach @{ $self->{operations} };
	my $paid = sum0(map { _fils($_->{paid}) } @{ $self->{invoices} });
	my $refunded = sum0(map { _fils($_->{refunded}) } @{ $self->{invoices} });

	return sprintf '%s; %d deposits; %d.%03d received and %d.%03d given back in the ledger as in the books of the stand-in; %d lost, %d doubled',
	  join(', ', map { "$count{$_} $_" } sort keys %count), scalar @{ $self->{deposits} }, int($paid / 1000), $paid % 1000,
	  int($refunded / 1000), $refunded % 1000, @{$self}{qw(lost doubled)};
}

1;
