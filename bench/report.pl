#!/usr/bin/perl
# report.pl DIR: makes benchmark.md and benchmark.svg in DIR from what the parts have left there: results.tsv (part,
# series, run, metric, value), notes.tsv, facts.tsv and wal-*.txt. What is compared with what, and the goals, are data
# here. A ratio is taken within each run, of things that ran one after the other; then comes the median.
use strict;
use warnings;
use utf8;
use constant CPU_SHARE => 0.40;

my ($dir) = @ARGV or die "usage: report.pl DIR\n";
my (%results, %series, @parts, %notes, @facts);

# What, goal ('' for none), the part, and the measure: [[part's series], metric] or a ratio of two such; further "scale",
# "unit". "limit": what many in flight could do is beyond a processor; no more is asked for than the goal without
# latency, CPU_SHARE of what the bare client does.
my @goals = (
	{ what => 'Backlog at 50 in flight, over the bare client', goal => '>= 0.40', part => 'throughput',
	  of => [['extension, 50, 0 ms'], 'rate'], over => [['bare, 50, 0 ms', 'bare again, 50, 0 ms'], 'rate'] },
	{ what => 'Backlog at 200 in flight, over the bare client', goal => '>= 0.40', part => 'throughput',
	  of => [['extension, 200, 0 ms'], 'rate'], over => [['bare, 200, 0 ms', 'bare again, 200, 0 ms'], 'rate'] },
	{ what => 'Backlog at 1000 in flight, over the bare client', goal => '>= 0.40', part => 'throughput',
	  of => [['extension, 1000, 0 ms'], 'rate'], over => [['bare, 1000, 0 ms', 'bare again, 1000, 0 ms'], 'rate'] },
	(map {
		my ($ms, $n) = @$_;
		{ what => "API takes $ms ms, $n in flight, over what that allows", goal => '>= 0.97', part => 'throughput',
		  of => [["extension, $n, $ms ms"], 'rate'], over => [["limit, $n, $ms ms"], 'rate'], limit => "bare, $n, 0 ms" }
	} map { my $ms = $_; map { [$ms, $_] } 50, 200, 1000 } 50, 200),
	{ what => 'Worker\'s CPU for an invoice', goal => '<= 60', unit => 'µs', part => 'throughput',
	  of => [['extension, 50, 0 ms'], 'cpu_us'] },
	{ what => 'WAL for an invoice', goal => '<= 2.5', unit => 'KB', scale => 1 / 1000, part => 'throughput',
	  of => [['extension, 50, 0 ms'], 'wal_bytes'] },
	{ what => 'Over a worker on plain pg (Node.js)', goal => '>= 2', part => 'competitors',
	  of => [['extension'], 'rate'], over => [['plain pg, Node.js'], 'rate'] },
	{ what => 'Over Graphile Worker, tuned', goal => '>= 6', part => 'competitors',
	  of => [['extension'], 'rate'], over => [['Graphile Worker, tuned'], 'rate'] },
	{ what => 'Over Graphile Worker, as installed', goal => '>= 12', part => 'competitors',
	  of => [['extension'], 'rate'], over => [['Graphile Worker, as installed'], 'rate'] },
	{ what => 'Over pgsql-http, a call per row', goal => '', part => 'competitors',
	  of => [['extension'], 'rate'], over => [['pgsql-http, a call per row'], 'rate'] },
	{ what => 'Commit to first byte at the API, median', goal => '<= 1', unit => 'ms', scale => 1 / 1000, part => 'latency',
	  of => [['one invoice'], 'first_byte_median_us'] },
	{ what => 'Commit to first byte at the API, 95th percentile', goal => '', unit => 'ms', scale => 1 / 1000,
	  part => 'latency', of => [['one invoice'], 'first_byte_p95_us'] },
	{ what => 'Commit to committed result, less the API\'s time, median', goal => '<= 3', unit => 'ms', scale => 1 / 1000,
	  part => 'latency', of => [['one invoice'], 'result_median_us'] },
	{ what => 'Commit to committed result, 95th percentile', goal => '', unit => 'ms', scale => 1 / 1000,
	  part => 'latency', of => [['one invoice'], 'result_p95_us'] },
	{ what => 'mf_send_payment(), time over curl easy', goal => '<= 1.3', part => 'direct',
	  of => [['curl easy'], 'rate'], over => [['mf_send_payment()'], 'rate'] },
	{ what => 'INSERT into mf_invoice, time over an equal table', goal => '<= 2', part => 'insert',
	  of => [['mf_invoice, INSERT'], 'ms'], over => [['plain table, INSERT'], 'ms'] },
	{ what => 'COPY into mf_invoice, time over an equal table', goal => '<= 2', part => 'insert',
	  of => [['mf_invoice, COPY'], 'ms'], over => [['plain table, COPY'], 'ms'] },
	{ what => 'INSERT into mf_bill, time over mf_invoice', goal => '<= 2.5', part => 'insert',
	  of => [['mf_bill, INSERT'], 'ms'], over => [['mf_invoice, INSERT'], 'ms'] },
	{ what => 'With finished invoices, over an empty table', goal => '>= 0.9', part => 'flat',
	  of => [['finished invoices'], 'rate'], over => [['empty table', 'empty table, again'], 'rate'] },
	{ what => 'With a snapshot held, over none', goal => '>= 0.9', part => 'flat',
	  of => [['snapshot held'], 'rate'], over => [['empty table', 'empty table, again'], 'rate'] },
	{ what => 'With a large backlog, over a usual one', goal => '>= 0.9', part => 'flat',
	  of => [['large backlog'], 'rate'], over => [['after the large backlog'], 'rate'] },
	{ what => 'With a large backlog and a new worker, over a usual one', goal => '>= 0.9', part => 'flat',
	  of => [['large backlog, new worker'], 'rate'], over => [['after the large backlog'], 'rate'] },
	{ what => 'Worker\'s memory, largest', goal => '<= 64', unit => 'MB', part => 'flat',
	  of => [['after the large backlog'], 'peak_mb'] },
	{ what => 'Worker\'s memory after the large backlog, over before', goal => '<= 1.05', part => 'flat',
	  of => [['after the large backlog'], 'own_mb'], over => [['small backlog'], 'own_mb'] },
	{ what => 'Beside a throttled account, over alone', goal => '>= 0.95', part => 'tenants',
	  of => [['beside a throttled account'], 'rate'], over => [['alone'], 'rate'] },
	{ what => 'Many accounts, over one', goal => '>= 0.7', part => 'accounts',
	  of => [['many accounts'], 'rate'], over => [['one account'], 'rate'] },
	{ what => '100 accounts, over one', goal => '>= 0.7', part => 'accounts',
	  of => [['100 accounts'], 'rate'], over => [['one account'], 'rate'] },
	{ what => 'One account beside many with nothing due, over alone', goal => '>= 0.9', part => 'accounts',
	  of => [['one account, many with nothing due'], 'rate'], over => [['one account'], 'rate'] },
	{ what => 'Likewise, worker\'s CPU for invoices one by one', goal => '<= 1.2', part => 'accounts',
	  of => [['one account, many with nothing due'], 'alone_us'], over => [['one account'], 'alone_us'] },
	{ what => 'Worker\'s memory for an account with nothing due', goal => '<= 4', unit => 'KB', part => 'accounts',
	  of => [['many accounts'], 'account_kb'] },
	{ what => 'Over TLS, 50 in flight, over the bare client', goal => '>= 0.60', part => 'tls',
	  of => [['extension, 50'], 'rate'], over => [['bare, 50', 'bare again, 50'], 'rate'] },
	{ what => 'Worker\'s memory for a connection over TLS', goal => '', unit => 'KB', part => 'tls',
	  of => [['a connection'], 'connection_kb'] },
	{ what => 'With the indexes of reports, over without them', goal => '>= 0.95', part => 'indexes',
	  of => [['with the indexes of reports'], 'rate'], over => [['without them'], 'rate'] },
	{ what => 'Likewise, worker\'s CPU', goal => '<= 1.05', part => 'indexes',
	  of => [['with the indexes of reports'], 'cpu_us'], over => [['without them'], 'cpu_us'] },
	{ what => 'Wake-ups of an idle worker', goal => '', unit => '', part => 'idle', of => [['idle'], 'wakeups'] },
	{ what => 'CPU of an idle worker', goal => '', unit => 'ms', part => 'idle', of => [['idle'], 'cpu_ms'] },
);

my %titles = (
	server => 'The yardstick', throughput => 'A backlog', competitors => 'Others', latency => 'One invoice, idle machine',
	direct => 'Direct call', insert => 'Inserting', flat => 'Flatness', tenants => 'Two accounts', accounts => 'Many accounts',
	tls => 'Over TLS 1.3', indexes => 'Indexes of reports', idle => 'Idle');
my %units = (
	rate => 'per s', seconds => 's', cpu_us => 'CPU, µs each', server_cpu_us => 'API\'s CPU, µs each', ms => 'ms',
	postgres_cpu_us => 'CPU of PostgreSQL, µs each', own_mb => 'memory, MB', peak_mb => 'peak memory, MB', rss_mb => 'memory, MB', wal_bytes => 'WAL, bytes each',
	transactions => 'transactions each', connections => 'connections', body_bytes => 'body, bytes', call_us => 'µs a call',
	switches => 'context switches', wakeups => 'wake-ups', cpu_ms => 'CPU, ms',
	alone_us => 'CPU, µs, one by one', account_kb => 'memory of an account, KB', connection_kb => 'memory of a connection, KB');

read_all();
my @rows = grep { defined } map { measure($_) } @goals;
write_markdown("$dir/benchmark.md");
write_svg("$dir/benchmark.svg");

sub lines
{
	my ($file) = @_;
	open(my $in, '<:encoding(UTF-8)', "$dir/$file") or die "$dir/$file: $!\n";
	my @lines = map { chomp; [split /\t/] } <$in>;
	return @lines;
}

sub read_all
{
	for (lines('results.tsv'))
	{
		my ($part, $series, $run, $metric, $value) = @$_;
		push @parts, $part unless $results{$part};
		push @{ $series{$part} }, $series unless $results{$part}{$series};
		$results{$part}{$series}{$metric}{$run} = $value;
	}
	push @{ $notes{ $_->[0] } }, $_->[1] for lines('notes.tsv');
	@facts = lines('facts.tsv');
	return;
}

sub median
{
	my @v = sort { $a <=> $b } @_;
	return @v % 2 ? $v[$#v / 2] : ($v[$#v / 2] + $v[$#v / 2 + 1]) / 2;
}

# The mean of the series' values in a run; undef unless all of them have one
sub in_run
{
	my ($part, $measure, $run) = @_;
	my ($names, $metric) = @$measure;
	my $sum = 0;
	for my $name (@$names)
	{
		my $value = $results{$part}{$name} && $results{$part}{$name}{$metric} ? $results{$part}{$name}{$metric}{$run} : undef;
		return unless defined $value;
		$sum += $value;
	}
	return $sum / @$names;
}

# Adds median, least and most of a goal's measure; undef if its part did not run
sub measure
{
	my ($goal) = @_;
	my $first = $results{ $goal->{part} }{ $goal->{of}[0][0] } or return;
	my @values;
	for my $run (sort { $a <=> $b } keys %{ $first->{ $goal->{of}[1] } // {} })
	{
		my $value = in_run($goal->{part}, $goal->{of}, $run);
		if ($goal->{over})
		{
			my $base = in_run($goal->{part}, $goal->{over}, $run) or next;
			if ($goal->{limit})
			{
				my $most = $results{ $goal->{part} }{ $goal->{limit} };
				$most = $most ? CPU_SHARE * median(values %{ $most->{rate} }) : undef;
				($base, $goal->{bound}) = ($most, 1) if defined $most && $most < $base;
			}
			$value /= $base;
		}
		push @values, $value * ($goal->{scale} // 1);
	}
	return unless @values;
	@$goal{qw(median least most)} = (median(@values), (sort { $a <=> $b } @values)[0, -1]);
	if ($goal->{goal} =~ /^([<>]=) ([\d.]+)$/)
	{
		$goal->{met} = $1 eq '>=' ? $goal->{median} >= $2 : $goal->{median} <= $2;
		# above 1: better than the goal
		$goal->{score} = $1 eq '>=' ? $goal->{median} / $2 : $2 / ($goal->{median} > 0.001 ? $goal->{median} : 0.001);
	}
	return $goal;
}

# Three significant digits, no exponent
sub number
{
	my ($value) = @_;
	my $size = abs $value;
	return sprintf '%.0f', $value if $size >= 100 || $size == 0;
	return sprintf '%.1f', $value if $size >= 10;
	return sprintf '%.2f', $value;
}

sub range
{
	my ($median, $least, $most) = @_;
	my ($m, $l, $h) = map { number($_) } $median, $least, $most;
	return $l eq $h ? $m : "$m ($l to $h)";
}

sub write_markdown
{
	my ($file) = @_;
	open(my $out, '>:encoding(UTF-8)', $file) or die "$file: $!\n";
	print $out "# Benchmark\n\nMade by `make bench`; how it measures is said in [bench/README.md](../bench/README.md). What counts are the ratios:\n",
		"each is taken between things that ran one after the other on the same machine. Given are medians of the runs,\n",
		"with the least and the most.\n\n![Results over goals](benchmark.svg)\n\n| | |\n| --- | --- |\n";
	print $out "| $_->[0] | $_->[1] |\n" for @facts;

	print $out "\n## Goals\n\n| What | Measured | Goal | |\n| --- | --- | --- | --- |\n";
	for my $row (@rows)
	{
		my $unit = $row->{unit} ? " $row->{unit}" : '';
		printf $out "| %s | %s%s | %s | %s |\n", $row->{what}, range(@$row{qw(median least most)}), $unit,
			$row->{goal} ? "$row->{goal}$unit" : '',
			!$row->{goal} ? '' : ($row->{met} ? 'met' : '**missed**') . ($row->{bound} ? ', at the CPU\'s limit' : '');
	}

	for my $part (@parts)
	{
		my %seen;
		my @metrics = grep { !$seen{$_}++ } map { sort { order($a) <=> order($b) || $a cmp $b } keys %{ $results{$part}{$_} } }
			grep { $_ ne 'versions' } @{ $series{$part} };
		print $out "\n## ", $titles{$part} // $part, "\n\n";
		if (my $versions = $results{$part}{versions})
		{
			print $out join(', ', map { my ($v) = values %{ $versions->{$_} }; "$_ $v" } sort keys %$versions), ".\n\n";
		}
		print $out '| |', map({ ' ' . ($units{$_} // $_) . ' |' } @metrics), "\n| --- |", ' ---: |' x @metrics, "\n";
		for my $name (grep { $_ ne 'versions' } @{ $series{$part} })
		{
			print $out "| $name |";
			for my $metric (@metrics)
			{
				my @v = sort { $a <=> $b } values %{ $results{$part}{$name}{$metric} // {} };
				print $out @v ? ' ' . range(median(@v), @v[0, -1]) . ' |' : ' |';
			}
			print $out "\n";
		}
		print $out "\n$_\n" for @{ $notes{$part} // [] };
		write_wal($out, $part);
	}
	close($out) or die "$file: $!\n";
	return;
}

# The order of the columns
sub order
{
	my ($metric) = @_;
	my @order = qw(rate seconds ms call_us cpu_us postgres_cpu_us server_cpu_us wal_bytes transactions own_mb rss_mb peak_mb connections body_bytes);
	for my $i (0 .. $#order)
	{
		return $i if $order[$i] eq $metric;
	}
	return scalar @order;
}

# What pg_waldump --stats=record said: types of record by their bytes
sub write_wal
{
	my ($out, $part) = @_;
	open(my $in, '<', "$dir/wal-$part.txt") or return;
	my @types;
	while (<$in>)
	{
		my ($type, $count, $size, $images, $total) =
			/^(\S+)\s+(\d+)\s+\([^)]*\)\s+(\d+)\s+\([^)]*\)\s+(\d+)\s+\([^)]*\)\s+(\d+)\s+\(/ or next;
		push @types, [$type, $count, $size, $images, $total] unless $type eq 'Total';
	}
	my $sum = 0;
	$sum += $_->[4] for @types;
	return unless $sum;
	print $out "\nWhere the WAL of one run goes:\n\n| Record | Share of bytes | Records | Bytes | of them full pages |\n",
		"| --- | ---: | ---: | ---: | ---: |\n";
	for my $type (sort { $b->[4] <=> $a->[4] } @types)
	{
		last if $type->[4] < $sum / 200;
		printf $out "| %s | %.1f %% | %d | %d | %d |\n", $type->[0], 100 * $type->[4] / $sum, @$type[1, 4, 3];
	}
	return;
}

sub escape
{
	my ($text) = @_;
	$text =~ s/&/&amp;/g;
	$text =~ s/</&lt;/g;
	return $text;
}

# Two panels: invoices per second side by side, and each result over its goal on a logarithmic scale
sub write_svg
{
	my ($file) = @_;
	my @bars;
	my $from = $results{competitors} ? 'competitors' : 'throughput';
	for my $name (grep { $results{$from} && $results{$from}{$_}{rate} && ($from eq 'competitors' || /, 50, 0 ms$/) } @{ $series{$from} // [] })
	{
		my @v = sort { $a <=> $b } values %{ $results{$from}{$name}{rate} };
		push @bars, [$name, median(@v), @v[0, -1]];
	}
	my @scored = grep { defined $_->{score} } @rows;
	my ($left, $width, $step) = (400, 480, 22);
	my $height = 40 + (@bars ? 40 + $step * @bars : 0) + (@scored ? 60 + $step * @scored : 0);
	my $y = 30;
	my $most = 1;
	for (@bars) { $most = $_->[3] if $_->[3] > $most }

	open(my $out, '>:encoding(UTF-8)', $file) or die "$file: $!\n";
	printf $out "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", $left + $width + 90, $height;
	print $out "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
	if (@bars)
	{
		print $out "<text x=\"10\" y=\"$y\" font-weight=\"bold\">Invoices per second, 50 in flight, API without latency</text>\n";
		for (@bars)
		{
			my ($name, @v) = @$_;
			$y += $step;
			my ($length, $least, $greatest) = map { $left + $width * $_ / $most } @v;
			printf $out "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", $left - 8, $y, escape($name);
			printf $out "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"15\" fill=\"%s\"/>", $left, $y - 12, $length - $left,
				$name =~ /^extension/ ? '#1a7f5a' : '#9aa5b1';
			printf $out "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#333\"/>", $least, $greatest, $y - 4, $y - 4;
			printf $out "<text x=\"%.1f\" y=\"%d\">%s</text>\n", $greatest + 6, $y, number($v[0]);
		}
		$y += 40;
	}
	if (@scored)
	{
		# from a quarter of the goal to eight times of it
		my $place = sub {
			my $x = (log($_[0]) - log(0.25)) / (log(8) - log(0.25));
			return $left + $width * ($x < 0 ? 0 : $x > 1 ? 1 : $x);
		};
		my ($goal, $top) = ($place->(1), $y + 8);
		print $out "<text x=\"10\" y=\"$y\" font-weight=\"bold\">Results over goals (right of the line: better)</text>\n";
		for my $row (@scored)
		{
			$y += $step;
			my $x = $place->($row->{score});
			my $unit = $row->{unit} ? " $row->{unit}" : '';
			printf $out "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", $left - 8, $y, escape($row->{what});
			printf $out "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"15\" fill=\"%s\"/>", $x < $goal ? $x : $goal, $y - 12,
				abs($x - $goal), $row->{met} ? '#1a7f5a' : '#c0392b';
			printf $out "<text x=\"%.1f\" y=\"%d\">%s (%s)</text>\n", ($x > $goal ? $x : $goal) + 6, $y,
				number($row->{median}) . $unit, escape($row->{goal});
		}
		printf $out "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#333\"/>\n", $goal, $goal, $top, $y + 8;
	}
	print $out "</svg>\n";
	close($out) or die "$file: $!\n";
	return;
}
