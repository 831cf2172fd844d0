# The plans of a year of bills, and which periods they have: by arithmetic of our own, that of the extension is not asked.
package MyFatoorah::Year::Plans;

use strict;
use warnings;

use POSIX qw(floor strftime);
use Time::Local qw(timegm);
use MyFatoorah::Clock;

# Days as numbers since 1970
sub number { my ($class, $day) = @_; my ($y, $m, $d) = split /-/, $day; return timegm(0, 0, 12, $d, $m - 1, $y) / 86400 - 0.5; }
sub day { my ($class, $number) = @_; return strftime('%Y-%m-%d', gmtime($number * 86400)); }

sub last_of
{
	my ($class, $y, $m) = @_;

	return (31, $y % 4 == 0 && ($y % 100 != 0 || $y % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[ $m - 1 ];
}

# add_months(number, k): the same day k months later, or the last one of that month
sub add_months
{
	my ($class, $number, $k) = @_;
	my ($y, $m, $d) = split /-/, $class->day($number);
	my $months = $y * 12 + $m - 1 + $k;

	($y, $m) = (floor($months / 12), $months % 12 + 1);
	my $last = $class->last_of($y, $m);
	return $class->number(sprintf '%04d-%02d-%02d', $y, $m, $d > $last ? $last : $d);
}

# make(year): draws the plans and inserts them; each as a hash of what was asked for
sub make
{
	my ($class, $year) = @_;
	my @plans;

	foreach my $n (1 .. $year->{tenants})
	{
		my $account = $year->{accounts}[ $n % @{ $year->{accounts} } ];
		my ($today) = MyFatoorah::Clock->civil($account->{zone}, $year->now);
		my $first = $class->number($today) + 1 + $year->random(31);
		my $draw = $year->random(20);
		my $units = 10**$account->{decimals};
		my %plan = (key => "tenant $n", account => $account, first => $first, anchor => $first, total => 50 * $units + $year->random(400 * $units),
			before => $year->random(6), due => $year->random(8), at => (qw(09:00 08:30 12:15 10:00))[ $year->random(4) ],
			day_off => (qw(same next previous))[ $year->random(3) ], catch_up => 'all', kind => 'months', months => 1, email => $year->random < 0.8);

		if ($draw < 3) { @plan{qw(kind days catch_up due before)} = ('days', 7, (qw(all one none))[$draw], 2, 0) }
		elsif ($draw < 5) { $plan{kind} = 'hijri' }
		elsif ($draw < 7) { @plan{qw(kind parts)} = ('parts', 3 + $year->random(8)) }
		elsif ($draw < 9)
		{
			# moved in in the middle of a month
			my ($y, $m, $d) = split /-/, $class->day($first);
			@plan{qw(anchor partial)} = ($class->add_months($class->number("$y-$m-01"), 1), (qw(prorated full skip))[ $year->random(3) ]) if $d > 1;
		}
		push @plans, \%plan;
	}
	$year->{plans} = \@plans;
	$class->_insert($year, $_) for @plans;
	return;
}

# amount(account, units): as text, with the decimals of the currency
sub amount
{
	my ($class, $account, $units) = @_;
	my $decimals = $account->{decimals};
	my $sign = $units < 0 ? '-' : '';
	my $text = sprintf '%0*d', $decimals + 1, abs $units;

	return $sign . substr($text, 0, -$decimals) . '.' . substr($text, -$decimals);
}

# units(account, text): back
sub units
{
	my ($class, $account, $text) = @_;
	my ($sign, $whole, $rest) = $text =~ /^(-?)(\d+)(?:\.(\d+))?$/ or die "no amount: $text\n";

	$rest //= '';
	die "too many decimals: $text\n" if substr("$rest" . '0' x 3, $account->{decimals}) =~ /[1-9]/;
	return ($sign ? -1 : 1) * ($whole . substr($rest . '0' x 3, 0, $account->{decimals}));
}

sub template
{
	my ($class, $plan) = @_;

	return qq{jsonb_build_object('customer_name', 'The $plan->{key}', 'customer_reference', '$plan->{key}', 'total', } . $class->amount($plan->{account}, $plan->{total})
	  . ($plan->{email} ? q{, 'customer_email', 'tenant@example.com'} : '') . ($plan->{key} =~ /7$/ ? q{, 'link_days', 3)} : ')');
}

sub _insert
{
	my ($class, $year, $plan) = @_;
	my $every = $plan->{kind} eq 'days' ? "'$plan->{days} days'" : "'$plan->{months} month'";
	my ($id, $at) = split /\|/, $year->insist("INSERT INTO mf_plan (account, plan_key, template, starts_on, anchor_on, every, parts, calendar, bill_days_before, due_days, at_time, on_day_off, first_partial, catch_up)
		VALUES ('$plan->{account}{name}', '$plan->{key}', " . $class->template($plan) . ", '" . $class->day($plan->{first}) . "', '" . $class->day($plan->{anchor}) . "', $every, " . ($plan->{parts} // 'NULL')
		  . ", '" . ($plan->{kind} eq 'hijri' ? 'islamic-umalqura' : 'gregorian') . "', $plan->{before}, $plan->{due}, '$plan->{at}', '$plan->{day_off}', '" . ($plan->{partial} // 'full') . "', '$plan->{catch_up}')
		RETURNING id, round(extract(epoch FROM clock_timestamp()) * 1000000)");

	@$plan{qw(id totals)} = ($id, [ [ 0, $plan->{total} ] ]);
	return;
}

# working(account, number, direction): the same rule as in docs/billing.md
sub working
{
	my ($class, $account, $number, $direction) = @_;

	return $number if $direction eq 'same';
	my $step = $direction eq 'next' ? 1 : -1;

	# 1970-01-01 was a Thursday
	$number += $step while grep { $_ == ($number + 3) % 7 + 1 } @{ $account->{weekend} };
	return $number;
}

# periods(plan, until): those that are billed by then, first to last: { number, first, next, send, due, part_of }; of a plan
# in Umm al-Qura only how many days a period may have, because the table of months is tested elsewhere
sub periods
{
	my ($class, $plan, $until) = @_;
	my @periods;

	for (my $k = 0, my $n = 1; ; $k++)
	{
		my $partial = $plan->{partial} && $plan->{anchor} > $plan->{first} ? $plan->{partial} : '';
		my ($first, $next);

		last if $plan->{parts} && $n > $plan->{parts};
		if ($partial && $partial ne 'skip' && $n == 1) { ($first, $next) = ($plan->{first}, $plan->{anchor}); $k = -1 }
		else { ($first, $next) = map { $plan->{kind} eq 'days' ? $plan->{anchor} + $plan->{days} * $_ : $class->add_months($plan->{anchor}, $plan->{months} * $_) } $k, $k + 1 }
		last if defined $plan->{ends} && $first > $plan->{ends};
		my $due = $class->working($plan->{account}, $first + $plan->{due}, $plan->{day_off});
		my $send = $class->working($plan->{account}, $first - $plan->{before}, $plan->{day_off});

		$send = $due if $send > $due;
		my $instant = MyFatoorah::Clock->instant($plan->{account}{zone}, $class->day($send), $plan->{at});

		last if $instant > $until;
		push @periods, { number => $n++, first => $first, next => $next, send => $instant, due => $due, prorated => $k < 0 && $partial eq 'prorated' };
	}
	return @periods;
}

# value(plan, period, at): in least units, of a bill that was made at that time
sub value
{
	my ($class, $plan, $period, $at) = @_;
	my ($total) = map { $_->[1] } grep { $_->[0] <= $at } reverse @{ $plan->{totals} };

	if ($plan->{parts})
	{
		my $least = int($total / $plan->{parts});

		return $least + ($period->{number} <= $total - $least * $plan->{parts} ? 1 : 0);
	}
	return $total unless $period->{prorated};
	my $whole = $plan->{anchor} - $class->add_months($plan->{anchor}, -$plan->{months});

	# half a unit is rounded up
	return floor((2 * $total * ($plan->{anchor} - $plan->{first}) + $whole) / (2 * $whole));
}

1;
