#!/usr/bin/env perl
# Draws the panels of monitoring/dashboard.json as SVG, with what a Prometheus knows: docs/monitoring.svg.
#
# scripts/monitoring_picture.pl http://127.0.0.1:9090 MINUTES > docs/monitoring.svg
use strict;
use warnings FATAL => 'all';

use HTTP::Tiny;
use JSON::PP;
use Time::HiRes qw(time);

my ($server, $minutes) = @ARGV;
die "usage: $0 PROMETHEUS-URL MINUTES\n" if !$minutes;
my $end = time;
my $start = $end - 60 * $minutes;
my $step = 60 * $minutes / 110;
my ($unit, $row, $gap) = (36, 27, 8);
my @colours = map { "#$_" } qw(3274d9 e0752d 56a64b a352cc e02f44 1f9b9b b8860b 666666);

open my $file, '<', 'monitoring/dashboard.json' or die "monitoring/dashboard.json: $!\n";
my $dashboard = decode_json(do { local $/; <$file> });
my @panels = @{ $dashboard->{panels} };
my $height = 0;
for my $panel (@panels)
{
	my $bottom = ($panel->{gridPos}{y} + $panel->{gridPos}{h}) * $row;

	$height = $bottom if $bottom > $height;
}
printf qq{<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">\n<rect width="100%%" height="100%%" fill="#f4f5f5"/>\n}, 24 * $unit + $gap, $height + $gap;
draw($_) for @panels;
print "</svg>\n";

# query(expression): what it was over the time, as [legend labels, [time, value] ...]
sub query
{
	my ($expression) = @_;

	$expression =~ s/\$__rate_interval/1m/g;
	$expression =~ s/\$database/.*/g;
	my $answer = HTTP::Tiny->new->post_form("$server/api/v1/query_range", [ query => $expression, start => $start, end => $end, step => $step ]);
	die "$expression: $answer->{content}\n" if !$answer->{success};
	return map { { labels => $_->{metric}, points => [ grep { $_->[1] !~ /nan|inf/i } @{ $_->{values} } ] } } @{ decode_json($answer->{content})->{data}{result} };
}

sub draw
{
	my ($panel) = @_;
	my $place = $panel->{gridPos};
	my ($x, $y, $w, $h) = ($place->{x} * $unit + $gap, $place->{y} * $row + $gap, $place->{w} * $unit - $gap, $place->{h} * $row - $gap);
	my @series;

	for my $target (@{ $panel->{targets} })
	{
		for my $series (query($target->{expr}))
		{
			(my $name = $target->{legendFormat}) =~ s/\{\{(\w+)\}\}/$series->{labels}{$1} \/\/ ''/ge;
			push @series, { name => $name, points => $series->{points} } if @{ $series->{points} };
		}
	}
	printf qq{<g transform="translate(%d %d)"><rect width="%d" height="%d" fill="#fff" stroke="#ddd"/><text x="8" y="16" font-weight="bold">%s</text>\n}, $x, $y, $w, $h, text($panel->{title});
	if ($panel->{type} eq 'stat')
	{
		my $value = @series ? $series[0]{points}[-1][1] : undef;

		printf qq{<text x="%d" y="%d" font-size="30" text-anchor="middle">%s</text>\n}, $w / 2, $h / 2 + 18, defined $value ? label($value, $panel) : 'no data';
	}
	else
	{
		curves($panel, $w, $h, \@series);
	}
	print "</g>\n";
	return;
}

sub curves
{
	my ($panel, $w, $h, $series) = @_;
	my $columns = int($w / 140);
	my ($left, $top, $right, $bottom) = (46, 26, $w - 14, $h - 34 - 13 * int(($#$series < 0 ? 0 : $#$series) / $columns));
	my $max = 0;

	for my $point (map { @{ $_->{points} } } @$series)
	{
		$max = $point->[1] if $point->[1] > $max;
	}
	$max = nice($max);
	for my $n (0 .. 4)
	{
		my $at = $bottom - ($bottom - $top) * $n / 4;

		printf qq{<path d="M%d %.1fH%d" stroke="#eee"/><text x="%d" y="%.1f" text-anchor="end" fill="#666" font-size="9">%s</text>\n}, $left, $at, $right, $left - 4, $at + 3, label($max * $n / 4, $panel);
	}
	for my $n (0 .. 3)
	{
		printf qq{<text x="%.1f" y="%d" text-anchor="middle" fill="#666" font-size="9">%s</text>\n}, $left + ($right - $left) * $n / 3, $bottom + 12, $n == 3 ? 'now' : sprintf '-%.0f min', $minutes * (3 - $n) / 3;
	}
	for my $n (0 .. $#$series)
	{
		my $colour = $colours[$n % @colours];
		my $last;
		my $path = '';

		for my $point (@{ $series->[$n]{points} })
		{
			$path .= sprintf '%s%.0f %.1f', defined $last && $point->[0] - $last < 2 * $step ? 'L' : 'M', $left + ($right - $left) * ($point->[0] - $start) / ($end - $start), $bottom - ($bottom - $top) * $point->[1] / $max;
			$last = $point->[0];
		}
		printf qq{<path d="%s" fill="none" stroke="%s" stroke-width="1.3"/>\n}, $path, $colour;
		printf qq{<circle cx="%d" cy="%d" r="3.5" fill="%s"/><text x="%d" y="%d" font-size="10">%s</text>\n}, 14 + ($n % $columns) * ($w - 20) / $columns, $bottom + 26 + 13 * int($n / $columns), $colour, 21 + ($n % $columns) * ($w - 20) / $columns, $bottom + 29 + 13 * int($n / $columns), text($series->[$n]{name});
	}
	return;
}

# The next number that reads well
sub nice
{
	my ($value) = @_;

	return 1 if $value <= 0;
	my $power = 10**int(log($value) / log(10) - ($value < 1 ? 1 : 0));

	for my $factor (1, 2, 4, 5, 8, 10)
	{
		return $factor * $power if $factor * $power >= $value;
	}
	return 10 * $power;
}

sub label
{
	my ($value, $panel) = @_;
	my $unit_of = $panel->{fieldConfig}{defaults}{unit};

	return sprintf '%.0f ms', 1000 * $value if $unit_of eq 's' && $value < 1;
	return sprintf $value == int $value ? '%d%s' : '%.3g%s', $value, $unit_of eq 's' ? ' s' : '';
}

sub text
{
	my ($text) = @_;

	return $text =~ s/&/&amp;/gr =~ s/</&lt;/gr;
}
