# What tenants and staff do between two moves of the clock, drawn at random; and what they know to have done.
package MyFatoorah::Year::People;

use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP ();
use MyFatoorah::Year::Plans;

my $word = 0;

sub new
{
	my ($class, $year) = @_;

	$year->{cash} //= {};       # by the word in its note: bill, units, when, reversed
	$year->{void} //= {};       # by bill: times it was made void and opened, [ [ when, 1 or 0 ], ... ]
	$year->{total} //= {};      # by bill: [ [ when, units ], ... ] of changed totals
	$year->{reference} //= {};  # by bill: the customer_reference that it was moved to
	$year->{did} //= {};
	return bless { year => $year, doubtful => [] }, $class;
}

# The bills that somebody may do something about: open ones, and those closed lately
sub _bills
{
	my ($self) = @_;

	return map { my %bill; @bill{qw(id account status balance total invoice_id token reference plan old)} = @$_; $bill{account} = $self->{year}->account($bill{account}); \%bill }
	  $self->{year}->rows(q{SELECT b.id, b.account, b.status, b.balance, b.total, i.invoice_id, b.token, b.customer_reference, t.plan,
			(SELECT string_agg(o.invoice_id::text, ',' ORDER BY o.id) FROM mf_link k JOIN mf_invoice o ON o.id = k.invoice WHERE k.bill = b.id AND NOT k.live AND o.invoice_id IS NOT NULL AND k.made_at > now() - interval '20 days')
		FROM mf_bill b JOIN mf_plan_period t ON t.bill = b.id LEFT JOIN mf_invoice i ON i.id = b.invoice AND i.status = 'sent'
		WHERE b.status = 'open' OR b.closed_at > now() - interval '15 days' ORDER BY b.id});
}

# act: all at once, while all is quiet
sub act
{
	my ($self) = @_;
	my $year = $self->{year};

	foreach my $bill ($self->_bills)
	{
		my $does = $bill->{status} eq 'open' ? $self->_of_open($bill) : $self->_of_closed($bill);

		$self->$does($bill) if $does;
	}
	foreach my $plan (grep { !defined $_->{ends} } @{ $year->{plans} })
	{
		my $draw = $year->random(2000);

		if ($draw < 12 && !$plan->{parts}) { $self->new_price($plan) }
		elsif ($draw == 12) { $self->moves_out($plan) }
	}
	return;
}

# Of a thousand, each step
sub _of_open
{
	my ($self, $bill) = @_;
	my $draw = $self->{year}->random(1000);
	my @odds = ([ 70, 'pay' ], [ 30, 'pay_at_page' ], [ 10, 'all_in_cash' ], [ 14, 'part_in_cash' ], [ 20, 'fail' ], [ 4, 'leave' ], [ 5, 'request' ], [ 5, 'new_link' ], [ 4, 'make_void' ],
		[ 4, 'change_total' ], [ 3, 'change_due' ], [ 3, 'snooze' ], [ 3, 'change_customer' ], [ 2, 'move' ], [ 5, 'pay_old' ]);

	foreach (@odds)
	{
		return $_->[1] if ($draw -= $_->[0]) < 0;
	}
	return;
}

sub _of_closed
{
	my ($self, $bill) = @_;
	my $draw = $self->{year}->random(1000);
	my @odds = $bill->{status} eq 'void' ? ([ 40, 'reopen' ], [ 8, 'pay_old' ]) : ([ 4, 'pay_old' ], [ 5, 'pay_twice' ], [ 6, 'refund' ], [ 4, 'reverse' ]);

	foreach (@odds)
	{
		return $_->[1] if ($draw -= $_->[0]) < 0;
	}
	return;
}

# act_during(sub): some do something at the very time at which that happens; learn() finds out what became of it
sub act_during
{
	my ($self, $strike) = @_;
	my $year = $self->{year};
	my @bills = grep { $_->{status} eq 'open' } $self->_bills;
	my @chosen = map { splice @bills, $year->random(scalar @bills), 1 } 1 .. (@bills < 6 ? @bills : 6);

	foreach my $bill (@chosen)
	{
		my $does = (qw(pay pay_at_page part_in_cash all_in_cash make_void new_link))[ $year->random(6) ];

		$self->$does($bill);
		$strike->() if $bill == $chosen[ int(@chosen / 2) ];
	}
	$strike->() if !@chosen;
	return;
}

sub learn
{
	my ($self) = @_;

	$_->() for splice @{ $self->{doubtful} };
	return;
}

sub _did
{
	my ($self, $what) = @_;

	$self->{year}{did}{$what}++;
	return 1;
}

# Has the database do something with a word in it, by which its note or reason is found again if the connection was lost;
# then calls the code with the time after it, as microseconds, and with the time before it, if it was done
sub _order
{
	my ($self, $what, $sql, $code, $look) = @_;
	my $year = $self->{year};
	my $before = $year->now;
	my $answer = $year->run_sql("$sql; SELECT round(extract(epoch FROM clock_timestamp()) * 1000000)");

	if ($answer->{state} eq '00000')
	{
		my ($at) = $answer->{out} =~ /(\d+)\z/;

		$self->_did($what);
		$code->($at, $before) if $code;
	}
	elsif ($answer->{state} =~ /^(?:lost|57P0)/ && $look)
	{
		push @{ $self->{doubtful} }, sub {
			my $at = $year->insist("SELECT round(extract(epoch FROM max(at)) * 1000000) FROM ($look) t(at)");

			$code->($at, $at), $self->_did("$what, and the server dies") if $at ne '';
		};
	}
	elsif ($answer->{state} !~ /^(?:55000|lost|down|57P0.)$/)
	{
		die "$what: $answer->{state} $answer->{err}\n$sql\n";
	}
	return;
}

#
# At MyFatoorah
#
sub _at_stand_in
{
	my ($self, $what, @call) = @_;

	return eval { $self->{year}->sandbox->invoice(@call); 1 } && $self->_did($what);
}

sub pay { my ($self, $bill) = @_; return $bill->{invoice_id} && $self->_at_stand_in('paid', $bill->{invoice_id}, 'pay'); }
sub fail { my ($self, $bill) = @_; return $bill->{invoice_id} && $self->_at_stand_in('failed', $bill->{invoice_id}, 'fail'); }
sub leave { my ($self, $bill) = @_; return $bill->{invoice_id} && $self->_at_stand_in('left', $bill->{invoice_id}, 'leave'); }

sub pay_old
{
	my ($self, $bill) = @_;
	my @old = split /,/, $bill->{old};

	return @old && $self->_at_stand_in('paid by an old link', $old[ $self->{year}->random(scalar @old) ], 'pay');
}

sub pay_twice
{
	my ($self, $bill) = @_;
	my ($last) = reverse split /,/, $bill->{old};

	return $last && $self->_at_stand_in('paid again', $last, 'pay', { duplicate => JSON::PP::true });
}

sub refund
{
	my ($self, $bill) = @_;
	my $year = $self->{year};
	my ($last) = reverse split /,/, $bill->{old};

	return if !$last || !eval { $year->sandbox->invoice($last)->{transactions}[0] };
	my $units = 1 + $year->random(MyFatoorah::Year::Plans->units($bill->{account}, $bill->{total}));
	return eval { $year->sandbox->refund($last, MyFatoorah::Year::Plans->amount($bill->{account}, $units)); 1 } && $self->_did('refunded');
}

# The tenant has the bill's own address, and goes where that leads.
sub pay_at_page
{
	my ($self, $bill) = @_;
	my $year = $self->{year};
	my $browser = HTTP::Tiny->new(timeout => 20, max_redirect => 0, proxy => undef, http_proxy => undef);
	my $answer = $browser->get("http://127.0.0.1:$year->{port}/pay/$bill->{token}");
	my $to = $answer->{headers}{location} // '';

	$self->_did($to ? 'visited a page, and went on' : "visited a page: $answer->{status}");
	return if $to !~ /^\Q@{[ $year->sandbox->url ]}\E/;
	$answer = $browser->post_form("$to/pay", { gateway => 'KNET' });
	return $answer->{status} == 302 && $self->_did('paid at the page');
}

#
# At the office
#
sub all_in_cash { my ($self, $bill) = @_; return $self->_cash($bill, MyFatoorah::Year::Plans->units($bill->{account}, $bill->{balance})); }

sub part_in_cash
{
	my ($self, $bill) = @_;
	my $units = MyFatoorah::Year::Plans->units($bill->{account}, $bill->{balance});

	return $self->_cash($bill, $units < 2 ? $units : 1 + $self->{year}->random($units - 1));
}

sub _cash
{
	my ($self, $bill, $units) = @_;
	my $year = $self->{year};
	my $note = 'cash ' . ++$word;

	$self->_order($units == MyFatoorah::Year::Plans->units($bill->{account}, $bill->{balance}) ? 'paid in cash' : 'paid a part in cash',
		"INSERT INTO mf_receipt (bill, method, value, note) VALUES ($bill->{id}, 'cash', " . MyFatoorah::Year::Plans->amount($bill->{account}, $units) . ", '$note')",
		sub { $year->{cash}{$note} = { bill => $bill->{id}, units => $units, at => $_[0] } },
		"SELECT created_at FROM mf_receipt WHERE note = '$note'");
	return;
}

sub reverse
{
	my ($self, $bill) = @_;
	my $year = $self->{year};
	my ($note) = sort grep { $year->{cash}{$_}{bill} == $bill->{id} && !$year->{cash}{$_}{reversed} } keys %{ $year->{cash} };

	return if !defined $note;
	$self->_order('cash given back', "SELECT mf_reverse(id, 'bounced') FROM mf_receipt WHERE note = '$note'", sub { $year->{cash}{$note}{reversed} = $_[1] });
	return;
}

sub make_void
{
	my ($self, $bill) = @_;
	my $year = $self->{year};
	my $reason = 'void ' . ++$word;

	$self->_order('made void', "SELECT mf_void($bill->{id}, '$reason')", sub { push @{ $year->{void}{ $bill->{id} } }, [ $_[0], 1 ] },
		"SELECT changed_at FROM mf_bill_history WHERE bill = $bill->{id} AND reason = '$reason' AND changes->'status'->>1 = 'void'");
	return;
}

sub reopen
{
	my ($self, $bill) = @_;

	$self->_order('opened again', "SELECT mf_reopen($bill->{id}, 'a mistake')", sub { push @{ $self->{year}{void}{ $bill->{id} } }, [ $_[1], 0 ] });
	return;
}

sub change_total
{
	my ($self, $bill) = @_;
	my $year = $self->{year};
	my $units = MyFatoorah::Year::Plans->units($bill->{account}, $bill->{total}) + $year->random(20_000) - 5000;

	return if $units <= 0;
	$self->_order('changed the total', "UPDATE mf_bill SET total = " . MyFatoorah::Year::Plans->amount($bill->{account}, $units) . " WHERE id = $bill->{id}",
		sub { push @{ $year->{total}{ $bill->{id} } }, [ $_[0], $units ] });
	return;
}

sub request
{
	my ($self, $bill) = @_;
	my $units = MyFatoorah::Year::Plans->units($bill->{account}, $bill->{balance});

	return if $units < 2;
	$self->_order('asked for a part', "SELECT mf_request($bill->{id}, " . MyFatoorah::Year::Plans->amount($bill->{account}, 1 + $self->{year}->random($units - 1)) . ')');
	return;
}

sub new_link { my ($self, $bill) = @_; return $self->_order('asked for a new link', "SELECT mf_new_link($bill->{id}, 'lost')", sub { }, "SELECT max(made_at) FROM mf_link WHERE bill = $bill->{id}"); }
sub change_due { my ($self, $bill) = @_; return $self->_order('changed the due date', "UPDATE mf_bill SET due_date = due_date + 7 WHERE id = $bill->{id}"); }
sub snooze { my ($self, $bill) = @_; return $self->_order('snoozed', "SELECT mf_snooze(id, mf_local_day(account, now()) + 5, 'ill') FROM mf_bill WHERE id = $bill->{id}"); }
sub change_customer { my ($self, $bill) = @_; return $self->_order('changed the name', "UPDATE mf_bill SET customer_name = 'Another of them' WHERE id = $bill->{id}"); }

sub move
{
	my ($self, $bill) = @_;

	$self->_order('moved a bill', "UPDATE mf_bill SET customer_reference = 'heirs of ' || customer_reference WHERE id = $bill->{id}",
		sub { $self->{year}{reference}{ $bill->{id} } = "heirs of $bill->{reference}" });
	return;
}

sub new_price
{
	my ($self, $plan) = @_;
	my $year = $self->{year};
	my $units = $plan->{total} + $year->random(5000);

	$self->_order('a new price', "UPDATE mf_plan SET template = template || jsonb_build_object('total', " . MyFatoorah::Year::Plans->amount($plan->{account}, $units) . ") WHERE id = $plan->{id}",
		sub { $plan->{total} = $units; push @{ $plan->{totals} }, [ $_[0], $units ] });
	return;
}

sub moves_out
{
	my ($self, $plan) = @_;
	my ($today) = MyFatoorah::Clock->civil($plan->{account}{zone}, $self->{year}->now);
	my $ends = MyFatoorah::Year::Plans->number($today) + 20;

	$self->_order('moved out', "SELECT mf_end_plan($plan->{id}, '" . MyFatoorah::Year::Plans->day($ends) . "', 'moved out')", sub { $plan->{ends} = $ends });
	return;
}

1;
