# What must be true after a year of bills: an independent checker. It reads the tables of the database and the books of the
# stand-in, reckons with integers in the least unit of each currency, and asks none of the extension's functions but the
# reports that it checks.
package MyFatoorah::Year::Books;

use strict;
use warnings;

use List::Util qw(max sum0);
use MyFatoorah::Clock;
use MyFatoorah::Year::Plans;

use constant SECOND => 1_000_000;
use constant MINUTE => 60 * SECOND;
use constant DAY => 1440 * MINUTE;

# Before a reminder MyFatoorah has answered since a quarter of an hour at most
use constant ASKED => 16 * MINUTE;

my $plans = 'MyFatoorah::Year::Plans';

# new(year): reads everything
sub new
{
	my ($class, $year) = @_;
	my $self = bless { year => $year, findings => [], figures => {} }, $class;
	my $us = sub { "round(extract(epoch FROM $_[0]) * 1000000)" };

	$self->{bills} = { map { my %bill; @bill{qw(id account key total status received balance overpaid reference snoozed)} = @$_; $bill{account} = $year->account($bill{account}); ($bill{id} => \%bill) }
		  $year->rows('SELECT id, account, bill_key, total, status, received, balance, overpaid, customer_reference, snoozed_until FROM mf_bill ORDER BY id') };
	$self->{links} = [ map { my %link; @link{qw(invoice bill made retired live reference)} = @$_; \%link }
		  $year->rows('SELECT k.invoice, k.bill, ' . $us->('k.made_at') . ', ' . $us->('k.retired_at') . ', k.live, i.reference FROM mf_link k JOIN mf_invoice i ON i.id = k.invoice ORDER BY k.bill, k.invoice') ];
	$self->{periods} = [ map { my %period; @period{qw(plan number first next bill value skipped made)} = @$_; \%period }
		  $year->rows('SELECT plan, number, lower(period), upper(period), bill, value, skipped, ' . $us->('made_at') . ' FROM mf_plan_period ORDER BY plan, number') ];
	$self->{receipts} = [ map { my %receipt; @receipt{qw(bill method value note at)} = @$_; \%receipt }
		  $year->rows('SELECT bill, method, value, note, ' . $us->('created_at') . ' FROM mf_receipt ORDER BY id') ];
	$self->{events} = [ map { my %event; @event{qw(bill rule at via invoice)} = @$_; \%event }
		  $year->rows('SELECT bill, rule, ' . $us->('fired_at') . ', via, invoice FROM mf_reminder ORDER BY id') ];
	$self->{attempts} = { map { @$_ } $year->rows('SELECT reference, invoice FROM mf_attempt') };
	push @{ $self->{cash}{ $_->{bill} } }, $_ for values %{ $year->{cash} };
	$self->{period_of}{ $_->{bill} } = $_ for grep { $_->{bill} } @{ $self->{periods} };
	$self->_read_stand_in;
	$self->_judge;
	return $self;
}

sub findings { return @{ $_[0]{findings} }; }
sub figures { return $_[0]{figures}; }

sub _wrong
{
	my ($self, $text) = @_;

	push @{ $self->{findings} }, $text;
	return;
}

# Invoices of each bill, with payments and refunds; the questions about each were listened to
sub _read_stand_in
{
	my ($self) = @_;
	my $sandbox = $self->{year}->sandbox;
	my %bill_of = map { $_->{invoice} => $_->{bill} } @{ $self->{links} };
	my (%refunds, %seen);

	push @{ $refunds{ $_->{invoice_id} } }, $_ for grep { $_->{status} eq 'Refunded' } @{ $sandbox->control('GET', 'refunds')->{refunds} };
	foreach my $invoice ($sandbox->invoices)
	{
		my $row = $self->{attempts}{ $invoice->{reference} };

		if (!defined $row || !defined $bill_of{$row})
		{
			$self->_wrong("the stand-in has an invoice $invoice->{reference} of no bill");
			next;
		}
		$self->_wrong("row $row has two invoices at the stand-in") if $seen{$row}++;
		my $account = $self->{bills}{ $bill_of{$row} }{account};

		push @{ $self->{made}{ $bill_of{$row} } }, {
			row => $row, reference => $invoice->{reference}, at => $invoice->{created_us}, expires => $invoice->{expiry_us}, notification => $invoice->{notification}, value => $plans->units($account, $invoice->{value}),
			paid => [ map { { at => $_->{at_us}, units => $plans->units($account, $_->{value}) } } grep { $_->{status} eq 'Succss' } @{ $invoice->{transactions} } ],
			back => [ map { $plans->units($account, $_->{amount}) } @{ $refunds{ $invoice->{id} } // [] } ] };
	}
	$self->{asked} = $self->{year}{asked};
	$self->{figures}{questions} = $self->{year}{questions};
	return;
}

sub _judge
{
	my ($self) = @_;

	$self->_judge_periods;
	$self->_judge_links;
	$self->_judge_reminders;
	$self->_judge_money;
	$self->_judge_reports;
	return;
}

#
# Each period is billed exactly once, with its value, not before its time and not later than the server allowed
#
sub _judge_periods
{
	my ($self) = @_;
	my $year = $self->{year};
	my @settled = @{ $year->{settled} };
	my ($billed, %by_plan) = 0;
	my %bill_seen;

	push @{ $by_plan{ $_->{plan} } }, $_ for @{ $self->{periods} };
	foreach my $plan (@{ $year->{plans} })
	{
		my @found = @{ $by_plan{ $plan->{id} } // [] };

		if ($plan->{kind} eq 'hijri')
		{
			$self->_judge_hijri($plan, @found);
		}
		else
		{
			my @expected = $plans->periods($plan, $settled[-1]);
			my $i = 0;

			$self->_wrong("$plan->{key} has " . @found . ' periods instead of ' . @expected) if @found != @expected;
			foreach my $period (@expected)
			{
				my $row = shift @found // last;

				$self->_judge_period($plan, $period, $row, $expected[ ++$i ], \@settled);
			}
		}
		foreach my $row (grep { $_->{bill} } @{ $by_plan{ $plan->{id} } // [] })
		{
			$billed++;
			$self->_wrong("bill $row->{bill} is that of two periods") if $bill_seen{ $row->{bill} }++;
		}
	}
	$self->_wrong('bills without a period: ' . (keys(%{ $self->{bills} }) - keys %bill_seen)) if keys %{ $self->{bills} } != keys %bill_seen;
	@{ $self->{figures} }{ 'periods billed', 'periods skipped' } = ($billed, scalar grep { $_->{skipped} } @{ $self->{periods} });
	return;
}

sub _judge_period
{
	my ($self, $plan, $period, $row, $following, $settled) = @_;
	my $what = "$plan->{key}, period $period->{number}";
	my ($first_settled) = grep { $_ >= $period->{send} } @$settled;

	$self->_wrong("$what is $row->{number} [$row->{first},$row->{next}) instead of [" . $plans->day($period->{first}) . ')')
	  if $row->{number} != $period->{number} || $row->{first} ne $plans->day($period->{first}) || !$plan->{parts} && $row->{next} ne $plans->day($period->{next});
	$self->_wrong("$what was billed before its time") if $row->{made} < $period->{send};
	$self->_wrong("$what was billed late") if $row->{made} > $first_settled;
	if ($row->{skipped})
	{
		$self->_wrong("$what was skipped")
		  unless $plan->{catch_up} eq 'none' && $period->{send} <= $row->{made} - DAY || $plan->{catch_up} eq 'one' && $following && $following->{send} <= $row->{made};
		return;
	}
	$self->_wrong("$what was billed in spite of catch_up") if $plan->{catch_up} eq 'none' && $period->{send} <= $row->{made} - DAY;
	my $value = $plans->value($plan, $period, $row->{made});

	$self->_wrong("$what has the value $row->{value} instead of " . $plans->amount($plan->{account}, $value)) if $plans->units($plan->{account}, $row->{value}) != $value;
	$self->_wrong("$what has a bill of another key") if $self->{bills}{ $row->{bill} }{key} ne "$plan->{key}/$period->{number}";
	return;
}

# The table of Umm al-Qura is tested elsewhere; here, that no month is left out or billed twice
sub _judge_hijri
{
	my ($self, $plan, @found) = @_;
	my $next = $plans->day($plan->{first});
	my $n = 0;

	foreach my $row (@found)
	{
		my $days = $plans->number($row->{next}) - $plans->number($row->{first});

		$n++;
		$self->_wrong("$plan->{key}, period $n is $row->{number} [$row->{first},$row->{next})") if $row->{number} != $n || $row->{first} ne $next || $days < 29 || $days > 30;
		$next = $row->{next};
	}
	my ($today) = MyFatoorah::Clock->civil($plan->{account}{zone}, $self->{year}{settled}[-1]);

	$self->_wrong("$plan->{key} ends with [..., $next)") if !defined $plan->{ends} && $plans->number($next) < $plans->number($today);
	return;
}

#
# One live link at most: by the rows, and by what the stand-in was asked before it got the next one
#
sub _judge_links
{
	my ($self) = @_;
	my (%intervals, %link, $most);

	push @{ $intervals{ $_->{bill} } }, $_ for @{ $self->{links} };
	$link{ $_->{invoice} } = $_ for @{ $self->{links} };
	foreach my $bill (keys %intervals)
	{
		my @points = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } map { ([ $_->{made}, 1 ], $_->{retired} ne '' ? [ $_->{retired}, -1 ] : ()) } grep { $_->{retired} eq '' || $_->{retired} > $_->{made} } @{ $intervals{$bill} };
		my $live = 0;

		foreach (@points)
		{
			$live += $_->[1];
			$most->{$bill} = $live if $live > ($most->{$bill} // 0);
		}
		$self->_wrong("bill $bill had $most->{$bill} live links at once: " . join ', ', map { "$_->{invoice} [$_->{made}, $_->{retired})" } @{ $intervals{$bill} }) if ($most->{$bill} // 0) > 1;
	}
	my $unasked = 0;
	foreach my $bill (keys %{ $self->{made} })
	{
		my @made = sort { $a->{at} <=> $b->{at} } @{ $self->{made}{$bill} };

		foreach my $i (1 .. $#made)
		{
			my ($former, $next) = @made[ $i - 1, $i ];
			my $retired = $link{ $former->{row} }{retired} || $next->{at};

			# since it was retired (a reminder may have asked a quarter of an hour before), or when it could not be paid any more
			$unasked++, $self->_wrong("bill $bill: $next->{reference} was sent without a question about $former->{reference}")
			  unless grep { my $at = $_; $at > $former->{at} && $at < $next->{at} + MINUTE
					&& ($at > $retired - 16 * MINUTE || $at > $former->{expires} || grep { $_->{at} < $at } @{ $former->{paid} }) } @{ $self->{asked}{ $former->{reference} } // [] };
		}
	}
	@{ $self->{figures} }{ 'links made', 'invoices at the stand-in', 'most live links of a bill', 'links not asked about before the next' } =
	  (scalar @{ $self->{links} }, sum0(map { scalar @$_ } values %{ $self->{made} }), max(0, values %$most), $unasked);
	return;
}

# What had come in for a bill by then, in the stand-in's books and the office's
sub _received_by
{
	my ($self, $bill, $at) = @_;
	my $units = $self->_cash_by($bill, $at);

	foreach my $invoice (@{ $self->{made}{$bill} // [] })
	{
		my @paid = grep { $_->{at} < $at } @{ $invoice->{paid} };
		my @asked = grep { $_ < $at - 2 * SECOND && $_ > $at - ASKED } @{ $self->{asked}{ $invoice->{reference} } // [] };
		my $latest = @asked ? max(@asked) : $at;

		# a payment after the last question whose answer could be heard crossed with what was sent
		$self->{figures}{'payments that crossed with a reminder'} += grep { $_->{at} >= $latest } @paid;
		$units += sum0(map { $_->{units} } grep { $_->{at} < $latest } @paid) - sum0(@{ $invoice->{back} });
	}
	return $units;
}

sub _cash_by
{
	my ($self, $bill, $at) = @_;

	return sum0(map { $_->{units} } grep { $_->{at} < $at && !($_->{reversed} && $_->{reversed} < $at) } @{ $self->{cash}{$bill} // [] });
}

sub _total_by
{
	my ($self, $bill, $at) = @_;
	my $row = $self->{bills}{$bill};
	my @changes = grep { $_->[0] < $at } @{ $self->{year}{total}{$bill} // [] };

	return @changes ? $changes[-1][1] : $plans->units($row->{account}, $self->{period_of}{$bill}{value});
}

sub _void_by
{
	my ($self, $bill, $at) = @_;
	my @changes = grep { $_->[0] < $at } @{ $self->{year}{void}{$bill} // [] };

	return @changes ? $changes[-1][1] : 0;
}

#
# Nobody is reminded who has paid, twice by a rule, at night or on a weekend
#
sub _judge_reminders
{
	my ($self) = @_;
	my ($reminders, $after) = (0, 0);
	my (%fired, %link_reminder, %by_bill);

	foreach my $event (@{ $self->{events} })
	{
		push @{ $by_bill{ $event->{bill} } }, $event;
		$self->_wrong("bill $event->{bill}: rule $event->{rule} fired twice") if $fired{"$event->{bill}/$event->{rule}"}++;
		$link_reminder{ $event->{bill} }++ if $event->{via} eq 'link';
		next if $event->{via} eq 'link';
		$reminders++;
		$after += $self->_judge_reminder($event->{bill}, $event->{at}, $event->{at}, 'event');
	}
	foreach my $bill (keys %{ $self->{made} })
	{
		foreach my $invoice (grep { $_->{notification} ne 'LNK' } @{ $self->{made}{$bill} })
		{
			$reminders++;
			$link_reminder{$bill}--;
			my ($event) = grep { $_->{invoice} eq $invoice->{row} } @{ $by_bill{$bill} // [] };

			$after += $self->_judge_reminder($bill, $invoice->{at}, $event ? $event->{at} : $invoice->{at}, 'mail');
		}
	}
	# one that was fired and replaced before it was sent stays with us
	$self->_wrong("bill $_: a mail without a reminder") for grep { $link_reminder{$_} < 0 } keys %link_reminder;
	@{ $self->{figures} }{ 'reminders', 'reminders after payment' } = ($reminders, $after);
	return;
}

sub _judge_reminder
{
	my ($self, $bill, $at, $fired, $kind) = @_;
	my $account = $self->{bills}{$bill}{account};
	my ($day, $time, $weekday) = MyFatoorah::Clock->civil($account->{zone}, $at);
	my ($received, $total) = ($self->_received_by($bill, $at), $self->_total_by($bill, $at));

	$self->_wrong("bill $bill: $kind at $day $time, in quiet hours") if $time ge '21:01:00' || $time lt '08:00:00';
	$self->_wrong("bill $bill: $kind on $day, a day off") if grep { $_ == $weekday } @{ $account->{weekend} };
	foreach my $invoice (grep { $_->{at} < $fired - SECOND && $_->{expires} > $fired && !@{ $_->{paid} } } @{ $self->{made}{$bill} // [] })
	{
		next if grep { $_ > $fired - ASKED && $_ < $fired + SECOND } @{ $self->{asked}{ $invoice->{reference} } // [] };
		$self->{figures}{'reminders without a question'}++;
		$self->_wrong("bill $bill: $kind at $day $time, and no question about $invoice->{reference}");
	}
	return 0 if $received < $total && !$self->_void_by($bill, $at);
	$self->_wrong("bill $bill: $kind at $day $time, though $received of $total had come in");
	return 1;
}

#
# Receipts are the stand-in's books and the office's, to the last unit
#
sub _judge_money
{
	my ($self) = @_;
	my (%online, %by_hand, %difference);

	foreach my $receipt (@{ $self->{receipts} })
	{
		my $units = $plans->units($self->{bills}{ $receipt->{bill} }{account}, $receipt->{value});

		($receipt->{method} eq 'online' ? \%online : \%by_hand)->{ $receipt->{bill} } += $units;
	}
	foreach my $cash (values %{ $self->{year}{cash} })
	{
		$by_hand{ $cash->{bill} } -= $cash->{units} unless $cash->{reversed};
	}
	foreach my $bill (sort { $a <=> $b } keys %{ $self->{bills} })
	{
		my $row = $self->{bills}{$bill};
		my $account = $row->{account};
		my $truth = sum0(map { sum0(map { $_->{units} } @{ $_->{paid} }) - sum0(@{ $_->{back} }) } @{ $self->{made}{$bill} // [] });
		my $cash = $self->_cash_by($bill, 9e18);
		my $total = $self->_total_by($bill, 9e18);
		my $void = $self->_void_by($bill, 9e18);
		my $received = $truth + $cash;
		my $status = $void ? 'void' : $received >= $total ? 'paid' : 'open';

		$difference{ $account->{name} } += abs(($online{$bill} // 0) - $truth) + abs($by_hand{$bill} // 0);
		$self->_wrong("bill $bill: receipts of " . ($online{$bill} // 0) . " online, and $truth at the stand-in") if ($online{$bill} // 0) != $truth;
		$self->_wrong("bill $bill: $by_hand{$bill} more by hand than was brought") if $by_hand{$bill};
		foreach ([ 'received', $received ], [ 'total', $total ], [ 'balance', $total - $received ], [ 'overpaid', max(0, $received - ($void ? 0 : $total)) ])
		{
			$self->_wrong("bill $bill: $_->[0] is $row->{$_->[0]} instead of $_->[1]") if $plans->units($account, $row->{ $_->[0] }) != $_->[1];
		}
		$self->_wrong("bill $bill is $row->{status} instead of $status") if $row->{status} ne $status;
		@$row{qw(units status_expected owed)} = ($received, $status, $status eq 'void' ? -$received : $total - $received);
		$self->{figures}{"bills $row->{status}"}++;
		$self->{received}{ $account->{name} } += $received;
	}
	$self->{figures}{'difference between receipts and books'} = sum0(values %difference);
	$self->{figures}{'received'} = join ', ', map { "$_ " . $plans->amount($self->{year}->account($_), $self->{received}{$_}) } sort keys %{ $self->{received} };
	return;
}

#
# Reports: statements, aging, what was collected
#
sub _judge_reports
{
	my ($self) = @_;
	my $year = $self->{year};
	my (%owed, %open);
	my $statements = 0;

	foreach my $bill (values %{ $self->{bills} })
	{
		$self->_wrong("bill $bill->{id} is of $bill->{reference}") if defined $year->{reference}{ $bill->{id} } && $bill->{reference} ne $year->{reference}{ $bill->{id} };
		$owed{ $bill->{account}{name} }{ $bill->{reference} } += $bill->{owed};
		$open{ $bill->{account}{name} } += $bill->{owed} if $bill->{status_expected} eq 'open';
	}
	foreach my $name (sort keys %owed)
	{
		my $account = $year->account($name);

		foreach my $reference (sort keys %{ $owed{$name} })
		{
			my ($balance) = reverse split /\n/, $year->insist("SELECT balance FROM mf_statement('$reference', '2020-01-01', '2090-01-01', '$name')");

			$statements++;
			$self->_wrong("the statement of $reference ends with " . ($balance // 'nothing') . " instead of $owed{$name}{$reference}")
			  if $plans->units($account, $balance // 0) != $owed{$name}{$reference};
		}
		my $aging = $year->insist("SELECT coalesce(sum(total), 0) FROM mf_aging WHERE account = '$name'");
		my $collected = $year->insist("SELECT coalesce(sum(value), 0) FROM mf_collected('$name', '2020-01-01', '2090-01-01')");

		$self->_wrong("mf_aging of $name adds up to $aging instead of " . ($open{$name} // 0)) if $plans->units($account, $aging) != ($open{$name} // 0);
		$self->_wrong("mf_collected of $name is $collected instead of $self->{received}{$name}") if $plans->units($account, $collected) != ($self->{received}{$name} // 0);
	}
	$self->{figures}{statements} = $statements;
	return;
}

1;
