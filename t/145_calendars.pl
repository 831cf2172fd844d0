# Calendars and times of day of plans, against others: days and months against arithmetic of our own in Perl, time zones
# against those of the C library, Umm al-Qura against Java's table, which Java brings itself, and node's.
use MyFatoorah::Test qw(sql);

use Digest::MD5 qw(md5_hex);
use Time::Local qw(timegm);
use POSIX qw(strftime);

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main');

# the same time zones as the server's
my ($share) = qx($ENV{PG_CONFIG} --sharedir) =~ /(.+)/ if $ENV{PG_CONFIG};
$ENV{TZDIR} = "$share/timezone" if defined $share && -d "$share/timezone";

sub day { return strftime('%Y-%m-%d', gmtime($_[0] * 86400)); }
sub number { my ($y, $m, $d) = split /-/, $_[0]; return timegm(0, 0, 12, $d, $m - 1, $y) / 86400 - 0.5; }

sub last_of
{
	my ($y, $m) = @_;
	return (31, $y % 4 == 0 && ($y % 100 != 0 || $y % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[ $m - 1 ];
}

# Compares lines of "key digest" of the server with our own; returns how many differ
sub compare
{
	my ($what, $cases, $theirs, $ours) = @_;
	my %theirs = map { split / / } split /\n/, $theirs;
	my @wrong = grep { ($theirs{$_} // '') ne $ours->{$_} } sort keys %$ours;

	is("@wrong[0 .. ($#wrong < 4 ? $#wrong : 4)]", '', "$what: $cases cases");
	is(keys %theirs, keys %$ours, 'and no other');
	return;
}

sql('CREATE EXTENSION myfatoorah; CREATE EXTENSION myfatoorah_billing;');
my @zones = ([ 'kuwait', 'Asia/Kuwait', 3 ], [ 'cairo', 'Africa/Cairo', 2, 3 ], [ 'london', 'Europe/London', 0, 1 ]);
sql("CREATE SERVER $_->[0] FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', time_zone '$_->[1]'); CREATE USER MAPPING FOR PUBLIC SERVER $_->[0] OPTIONS (api_key 'a-key-for-nothing')") for @zones;

#
# Months, weeks and days of 30 years, from each day of four years on
#
my ($first, $last) = (number('2024-01-01'), number('2027-12-31'));
my %intervals = ('1 month' => [ 1, 0, 360 ], '2 months' => [ 2, 0, 180 ], '3 months' => [ 3, 0, 120 ], '6 months' => [ 6, 0, 60 ], '1 year' => [ 12, 0, 30 ], '4 weeks' => [ 0, 28, 391 ], '45 days' => [ 0, 45, 243 ]);
my ($cases, %ours) = 0;
for my $start ($first .. $last)
{
	my ($y, $m, $d) = split /-/, day($start);

	while (my ($name, $interval) = each %intervals)
	{
		my ($months, $days, $most) = @$interval;
		my @days;

		for my $k (0 .. $most)
		{
			if ($days) { push @days, day($start + $days * $k); next; }
			my $month = $m - 1 + $months * $k;
			my ($year, $of_year) = ($y + int($month / 12), $month % 12 + 1);
			my $end = last_of($year, $of_year);
			push @days, sprintf('%04d-%02d-%02d', $year, $of_year, $d < $end ? $d : $end);
		}
		$cases += @days;
		$ours{ day($start) . '/' . $name =~ tr/ /_/r } = md5_hex(join ' ', @days);
	}
}
my $list = join ', ', map { "('$_', $intervals{$_}[2])" } sort keys %intervals;
compare('k-th days, by Perl', $cases, sql(qq{SELECT format('%s/%s %s', d::date, replace(i, ' ', '_'), md5(string_agg(mf_calendar_add('gregorian', d::date, i::interval, k)::text, ' ' ORDER BY k)))
	FROM generate_series(timestamp '2024-01-01', '2027-12-31', '1 day') d, (VALUES $list) v(i, most), generate_series(0, most) k GROUP BY d, i}), \%ours);

#
# Times of day of 30 years: zones without summer time, with it at midnight, with it at night
#
# The second a wall clock shows that time: of two, the later one; of none, as if the clock had not been put forward
sub instant
{
	my ($wall, @offsets) = @_;
	my @found = grep { my @shown = localtime $_; timegm(@shown[ 0 .. 5 ]) == $wall } map { $wall - 3600 * $_ } @offsets;

	return @found ? (sort { $b <=> $a } @found)[0] : $wall - 3600 * $offsets[0];
}

my @times = qw(00:01 00:30 01:30 02:30 09:00 23:30);
($first, $last) = (number('2024-01-01'), number('2053-12-31'));
for my $zone (@zones)
{
	my ($account, $name, @offsets) = @$zone;
	my (%moments, %days, $twice, $never);
	local $ENV{TZ} = $name;
	POSIX::tzset();
	($cases, $twice, $never) = (0, 0, 0);

	for my $day ($first .. $last)
	{
		my @moments = map { my ($h, $m) = split /:/; instant($day * 86400 + $h * 3600 + $m * 60, @offsets) } @times;
		# from half past eight in the evening of UTC on, hour by hour
		my @shown = map { strftime('%Y-%m-%d', localtime($day * 86400 + 20 * 3600 + 1800 + $_ * 3600)) } 0 .. 4;

		$cases += @moments;
		$moments{ day($day) } = md5_hex("@moments");
		$days{ day($day) } = md5_hex("@shown");
	}
	my $array = join ', ', map { "'$_'" } @times;
	compare("times of day in $name, by the C library", $cases, sql(qq{SELECT format('%s %s', d::date, (SELECT md5(string_agg(extract(epoch FROM mf_local_time('$account', d::date, t))::bigint::text, ' ' ORDER BY n)) FROM unnest(ARRAY[$array]::time[]) WITH ORDINALITY u(t, n)))
		FROM generate_series(timestamp '2024-01-01', '2053-12-31', '1 day') d}), \%moments);
	compare("civil days in $name", 5 * keys %days, sql(qq{SELECT format('%s %s', d::date, (SELECT md5(string_agg(mf_local_day('$account', (d + time '20:30' + n * interval '1 hour') AT TIME ZONE 'UTC')::text, ' ' ORDER BY n)) FROM generate_series(0, 4) n))
		FROM generate_series(timestamp '2024-01-01', '2053-12-31', '1 day') d}), \%days);
	is(sql(qq{SELECT count(*) FROM generate_series(timestamp '2024-01-01', '2053-12-31', '1 day') d, unnest(ARRAY[$array]::time[]) t WHERE mf_local_day('$account', mf_local_time('$account', d::date, t)) <> d::date}), 0, 'each time of day is on its day');
}

#
# Whole plans: what mf_plan_preview() says of 30 years, from each day of a leap year on
#
my $plans = 366;
sql(q{INSERT INTO mf_plan (account, plan_key, template, starts_on, every, bill_days_before, due_days, at_time) SELECT ('{kuwait,cairo,london}'::text[])[1 + n % 3], n, '{"customer_name": "A", "total": 1}', date '2032-01-01' + n, '1 month', n % 11, n % 7,
	(ARRAY['00:30', '23:30', '09:00', '01:30']::time[])[1 + n % 4] FROM generate_series(0, 365) n});
my @at = qw(00:30 23:30 09:00 01:30);
%ours = ();
for my $n (0 .. 365)
{
	my ($account, $name, @offsets) = @{ $zones[ $n % 3 ] };
	my ($y, $m, $d) = split /-/, day(number('2032-01-01') + $n);
	my ($hour, $minute) = split /:/, $at[ $n % 4 ];
	my @lines;
	local $ENV{TZ} = $name;
	POSIX::tzset();

	for my $k (0 .. 359)
	{
		my ($begin, $end) = map {
			my ($year, $month) = ($y + int(($m - 1 + $_) / 12), ($m - 1 + $_) % 12 + 1);
			my $most = last_of($year, $month);
			number(sprintf '%d-%d-%d', $year, $month, $d < $most ? $d : $most)
		} $k, $k + 1;
		push @lines, join ',', $k + 1, day($begin), day($end), instant(($begin - $n % 11) * 86400 + $hour * 3600 + $minute * 60, @offsets), day($begin + $n % 7);
	}
	$ours{$n} = md5_hex("@lines");
}
compare('periods of plans', $plans * 360, sql(q{SELECT format('%s %s', p.plan_key, md5(string_agg(concat_ws(',', v.number, lower(v.period), upper(v.period), extract(epoch FROM v.send_at)::bigint, v.due_date), ' ' ORDER BY v.number)))
	FROM mf_plan p, mf_plan_preview(p.id, 360) v GROUP BY p.id}), \%ours);
is(sql('SELECT count(*) FROM mf_plan_period'), 0, 'and nothing was billed');

#
# Umm al-Qura
#
my $java = <<'JAVA';
import java.time.LocalDate;
import java.time.chrono.HijrahDate;
import java.time.temporal.ChronoField;
class Hijri {
	public static void main(String[] args) {
		LocalDate last = LocalDate.of(2174, 11, 25);
		StringBuilder out = new StringBuilder();
		for (LocalDate day = LocalDate.of(1882, 11, 12); !day.isAfter(last); day = day.plusDays(1)) {
			HijrahDate h = HijrahDate.from(day);
			out.append(String.format("%s %04d-%02d-%02d%n", day, h.get(ChronoField.YEAR), h.get(ChronoField.MONTH_OF_YEAR), h.get(ChronoField.DAY_OF_MONTH)));
		}
		System.out.print(out);
	}
}
JAVA
my $script = <<'NODE';
const format = new Intl.DateTimeFormat('en-u-ca-islamic-umalqura-nu-latn', { timeZone: 'UTC', year: 'numeric', month: '2-digit', day: '2-digit' });
const pad = (n, width) => n.padStart(width, '0');
let out = '';
for (let at = Date.UTC(1882, 10, 12); at <= Date.UTC(2174, 10, 25); at += 86400000) {
	const parts = Object.fromEntries(format.formatToParts(at).map(p => [p.type, p.value]));
	out += `${new Date(at).toISOString().slice(0, 10)} ${pad(parts.year, 4)}-${pad(parts.month, 2)}-${pad(parts.day, 2)}\n`;
}
process.stdout.write(out);
NODE
my $temp = PostgreSQL::Test::Utils::tempdir();
append_to_file("$temp/Hijri.java", $java);
append_to_file("$temp/hijri.js", $script);
my %tables;
for my $other ([ 'Java', 'java', '-Xshare:auto', "$temp/Hijri.java" ], [ 'node', 'node', "$temp/hijri.js" ])
{
	my ($name, @command) = @$other;
	my ($out, $err) = ('', '');

	$tables{$name} = $out if eval { IPC::Run::run(\@command, '>', \$out, '2>', \$err) } && $out =~ /^2025-06-26 1447-01-01$/m;
	diag("no Umm al-Qura by $name") unless $tables{$name};
}

SKIP:
{
	skip 'neither Java nor node is here', 1 unless %tables;
	my $theirs = sql(q{SELECT format('%s %s', d::date, mf_hijri(d::date)) FROM generate_series(timestamp '1882-11-12', '2174-11-25', '1 day') d});
	for my $name (sort keys %tables)
	{
		my %days = map { split / / } split /\n/, $tables{$name};

		compare("Umm al-Qura, by $name", scalar keys %days, $theirs, \%days);
	}
	my ($name) = sort keys %tables;
	my %hijri = map { split / / } split /\n/, $tables{$name};
	my %civil = reverse %hijri;
	my %lengths;

	$lengths{ substr $_, 0, 7 }++ for keys %civil;
	is(sql(q{SELECT count(*) FROM generate_series(timestamp '1882-11-12', '2174-11-25', '1 day') d, LATERAL (SELECT string_to_array(mf_hijri(d::date), '-')::integer[] AS h) x WHERE mf_hijri_day(h[1], h[2], h[3]) <> d::date}), 0, 'there and back');

	# each day of two years, all months of 30 years
	my %months = ('1 month' => [ 1, 371 ], '3 months' => [ 3, 123 ], '1 year' => [ 12, 30 ]);
	($cases, %ours) = 0;
	for my $start (grep { /^144[67]-/ } sort keys %civil)
	{
		my ($y, $m, $d) = split /-/, $start;

		while (my ($interval, $spec) = each %months)
		{
			my @days = map {
				my $month = $m - 1 + $spec->[0] * $_;
				my $of_year = sprintf '%04d-%02d', $y + int($month / 12), $month % 12 + 1;
				$civil{ sprintf '%s-%02d', $of_year, $d < $lengths{$of_year} ? $d : $lengths{$of_year} }
			} 0 .. $spec->[1];
			$cases += @days;
			$ours{ "$civil{$start}/" . $interval =~ tr/ /_/r } = md5_hex("@days");
		}
	}
	$list = join ', ', map { "('$_', $months{$_}[1])" } sort keys %months;
	compare("k-th days of Umm al-Qura, by the table of $name", $cases, sql(qq{SELECT format('%s/%s %s', d::date, replace(i, ' ', '_'), md5(string_agg(mf_calendar_add('islamic-umalqura', d::date, i::interval, k)::text, ' ' ORDER BY k)))
		FROM generate_series(mf_hijri_day(1446, 1, 1)::timestamp, mf_hijri_day(1448, 1, 1) - interval '1 day', '1 day') d, (VALUES $list) v(i, most), generate_series(0, most) k GROUP BY d, i}), \%ours);
}

done_testing();
