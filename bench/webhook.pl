#!/usr/bin/perl
# The measurements of bench/webhook.sh. The status is 0 only if every payment came into its row, and every webhook was
# taken in at its first attempt.
use strict;
use warnings;

use HTTP::Tiny ();
use IPC::Open2 qw(open2);
use JSON::PP ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep time);

my $quick = $ENV{MF_BENCH_QUICK};
my $rate = $ENV{MF_BENCH_RATE} || 1000;
my $seconds = $ENV{MF_BENCH_SECONDS} || ($quick ? 5 : 60);
my $single = $quick ? 50 : 300;
my $feed = 100;					# invoices a second that are sent beside the flood
my $http = HTTP::Tiny->new(timeout => 120, proxy => undef, http_proxy => undef);
my $failed = 0;

sub load { open my $file, '<', '/proc/loadavg' or return '?'; return (split ' ', <$file>)[0]; }

sub control
{
	my ($method, $path, $data) = @_;
	my $answer = $http->request($method, "$ENV{MF_CONTROL_URL}/$path", defined $data ? { content => JSON::PP::encode_json($data) } : {});

	die "$method $path: $answer->{status} $answer->{content}\n" unless $answer->{success};
	return $answer->{content};
}

# A session: sql(session, statement) gives the one line that comes back, up to a mark
sub session
{
	my $pid = open2(my $out, my $in, 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1');

	$in->autoflush;
	return [ $in, $out ];
}

sub sql
{
	my ($session, $statement) = @_;
	my ($in, $out) = @$session;
	my $lines = '';

	print $in "$statement;\n\\echo ==\n";
	while (defined(my $line = <$out>))
	{
		return $lines =~ s/\n\z//r if $line eq "==\n";
		$lines .= $line;
	}
	die "the session ended: $statement\n";
}

sub percentile
{
	my ($part, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;

	return @sorted ? $sorted[ $part * $#sorted ] : 0;
}

# Memory of a process of its own, and with the shared memory that it has touched, in megabytes
sub memory
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/status" or return (0, 0);
	my $status = join '', <$file>;
	return map { $status =~ /^$_:\s+(\d+) kB/m ? $1 / 1024 : 0 } qw(RssAnon VmRSS);
}

# Processor time of a process so far, in seconds
sub cpu
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return 0;
	my @field = split / /, <$file> =~ s/^.*\) //r;
	return ($field[11] + $field[12]) / 100;
}

sub expect
{
	my ($what, $is, $expected) = @_;

	printf "%-66s %12s%s\n", $what, $is, $is eq $expected ? '' : "   EXPECTED $expected";
	$failed = 1 if $is ne $expected;
	return;
}

sub value { printf "%-66s %12s\n", @_; return; }

sub insert
{
	my ($session, $name, $n) = @_;

	sql($session, "INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference)
		SELECT '$name', 250.000, '$name-' || n FROM generate_series(1, $n) n");
	return;
}

sub wait_sent
{
	my ($session) = @_;

	sleep 0.2 while sql($session, "SELECT count(*) FROM mf_queue") ne '0';
	return;
}

my $session = session();
my $load = load();

# One after the other: from the first byte of the webhook to the commit, seen by a session that waits for it
insert($session, 'single', $single);
wait_sent($session);
my @latency;
my %end;
foreach (split /\n/, sql($session, "SELECT id, invoice_id FROM mf_invoice WHERE customer_name = 'single' ORDER BY id"))
{
	my ($id, $invoice) = split /\|/;
	my ($in, $out) = @$session;

	print $in "SELECT payment_status_now FROM mf_wait($id, '1 min', payment_status => 'paid');\n";
	control('POST', "invoices/$invoice/pay", {});
	my $line = <$out>;
	$end{$invoice} = clock_gettime(CLOCK_MONOTONIC) * 1e6;
	die "invoice $invoice: $line" unless $line eq "paid\n";
}
foreach my $delivery (@{ JSON::PP::decode_json(control('GET', 'webhooks/log?limit=100000&bodies=0'))->{deliveries} })
{
	push @latency, ($end{ $delivery->{invoice_id} } - $delivery->{attempts}[0]{start_us}) / 1000;
}
print "\n";
expect('payments one at a time', scalar @latency, $single);
value('  webhook sent to row paid, median, ms', sprintf '%.2f', percentile(0.5, @latency));
value('  95 % below, ms', sprintf '%.2f', percentile(0.95, @latency));
value('  load of the machine before', $load);

# The flood
my $n = $rate * $seconds;
my $start = time;

insert($session, 'flood', $n);
wait_sent($session);
print "\n";
value('invoices sent for the flood', $n);
value('  sent per second, undisturbed', sprintf '%.0f', $n / (time - $start));
my ($worker) = sql($session, 'SELECT pid FROM mf_worker_status');
my ($listener) = sql($session, 'SELECT pid FROM mf_listener_status');
my $deliveries = $single;

# beside it: those who sign nothing, and those who all come back to one invoice, about which nothing is known
insert($session, 'stranger', 1);
wait_sent($session);
my ($stranger, $token) = split /\|/, sql($session, "SELECT id, id || '-' || right(reference, 20) FROM mf_invoice WHERE customer_name = 'stranger'");
my $strangers = "bench/build/strangers --port $ENV{MF_BENCH_PORT} --token $token --seconds $seconds --junk $ENV{MF_BENCH_JUNK} --customers $ENV{MF_BENCH_CUSTOMERS}";
my $transactions = sql($session, "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'");

$load = load();
open my $beside, '-|', $strangers or die "bench/build/strangers: $!\n";
control('POST', 'pay-many', { count => $n + 0, rate => $rate + 0 });
$start = time;
my ($fed, @insert, @memory, @behind) = (0);
my @marks = (0.02, 0.25, 0.5, 1);
my @processes = ($listener, $worker, $ENV{MF_SANDBOX_PID});
my @cpu = map { -cpu($_) } @processes;

# meanwhile: other invoices, a second's worth in ten statements, and how long those take
for (;;)
{
	my $since = time - $start;

	if ($since >= $marks[0] * $seconds)
	{
		push @memory, [ memory($listener), memory($worker) ];
		push @behind, sql($session, 'SELECT count(*) FROM mf_inquiry WHERE urgent');
		shift @marks;
		last if !@marks;
	}
	if ($fed < $since * $feed)
	{
		my $before = time;

		insert($session, 'beside', $feed / 10);
		push @insert, (time - $before) * 1000;
		$fed += $feed / 10;
	}
	sleep 0.005;
}
$cpu[$_] += cpu($processes[$_]) for 0 .. $#processes;
my $unpaid = sql($session, "SELECT count(*) FROM mf_invoice WHERE customer_name = 'flood' AND payment_status <> 'paid'");
my $unsent = sql($session, "SELECT count(*) FROM mf_invoice WHERE customer_name = 'beside' AND status <> 'sent'");
my $bulk = JSON::PP::decode_json(control('GET', 'pay-many'));
until (!$bulk->{running} || time - $start > 5 * $seconds + 60)
{
	sleep 0.1;
	$bulk = JSON::PP::decode_json(control('GET', 'pay-many'));
}
my $all = $deliveries + $n;
my $finished = JSON::PP::decode_json(control('GET', "webhooks/wait?count=$all&timeout_ms=60000"));
my $paid_in_time = time + 300;
my $left;

sleep 0.1 while ($left = sql($session, "SELECT count(*) FROM mf_inquiry WHERE urgent AND invoice <> $stranger")) ne '0' && time < $paid_in_time;
my $settled = time - $start;
my $load_after = load();

# the log's own words, without decoding all of it
my (@answer, %status, $attempts);
my $since = $deliveries;
for (;;)
{
	my $page = control('GET', "webhooks/log?since=$since&limit=10000&bodies=0");
	my $found = 0;

	while ($page =~ /"number":(\d+).*?"attempts":\[(.*?)\]/gs)
	{
		my ($number, $list) = ($1, $2);
		my @tries = $list =~ /"start_us":(\d+),"end_us":(\d+),.*?"status":(-?\d+)/gs;

		$found++;
		$since = $number;
		$attempts += @tries / 3;
		$status{ @tries ? $tries[2] : 'none' }++;
		push @answer, ($tries[1] - $tries[0]) / 1000 if @tries;
	}
	last if !$found;
}
print "\n";
value("flood: webhooks per second asked for, for $seconds s", $rate);
value('  sent per second', sprintf '%.0f', $n / (($bulk->{end_us} - $bulk->{start_us}) / 1e6));
expect('  webhooks', scalar @answer, $n);
expect('  answers to first attempts', join(', ', map { "$status{$_} x $_" } sort keys %status), "$n x 200");
expect('  attempts', $attempts, $n);
value('  answered after, median, ms', sprintf '%.2f', percentile(0.5, @answer));
value('  95 % below, ms', sprintf '%.2f', percentile(0.95, @answer));
my @strangers = split ' ', <$beside>;
value("  unsigned posts answered per second meanwhile, of $ENV{MF_BENCH_JUNK}", sprintf '%.0f', $strangers[0] / $seconds);
value("  customers of one invoice answered per second, of $ENV{MF_BENCH_CUSTOMERS}", sprintf '%.0f', $strangers[1] / $seconds);
value('  of both, connections without an answer', $strangers[2]);
expect('  events of those customers', sql($session, q{SELECT count(*) FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice
	WHERE i.customer_name = 'stranger' AND e.source = 'callback'}), $ENV{MF_BENCH_CUSTOMERS} > 0 ? 1 : 0);
expect('  rows that are not paid in the end', sql($session, "SELECT count(*) FROM mf_invoice WHERE customer_name = 'flood' AND payment_status <> 'paid'"), 0);
value('  not paid yet when the last webhook was due', $unpaid);
value('  questions waiting at start, 25 %, 50 %, 100 %', join ' ', @behind);
value('  all paid after, s', sprintf '%.1f', $settled);
value('  payments per second into rows', sprintf '%.0f', $n / $settled);
value('  transactions of the database for each payment', sprintf '%.2f',
	(sql($session, "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'") - $transactions) / $n);
value('  other invoices inserted per second meanwhile', sprintf '%.0f', $fed / $seconds);
value('  of those not sent yet when the last webhook was due', $unsent);
value('  a backend\'s INSERT of 10 rows meanwhile, median, ms', sprintf '%.2f', percentile(0.5, @insert));
value('  95 % below, ms', sprintf '%.2f', percentile(0.95, @insert));
foreach (['listener', 0], ['worker', 2])
{
	my ($name, $at) = @$_;

	value("  memory of the $name, MB: at start, 25 %, 50 %, 100 %", join ' ', map { sprintf '%.1f', $_->[$at] } @memory);
	value('    with shared memory touched', join ' ', map { sprintf '%.0f', $_->[ $at + 1 ] } @memory);
}
expect('  worker and listener still the same processes',
	sql($session, "SELECT (SELECT pid FROM mf_worker_status) = $worker AND (SELECT pid FROM mf_listener_status) = $listener"), 't');
expect('  errors of worker and listener', sql($session,
	'SELECT count(*) FROM (SELECT last_error FROM mf_worker_status UNION ALL SELECT last_error FROM mf_listener_status) e WHERE last_error IS NOT NULL'), 0);
print "    $_\n" for split /\n/, sql($session,
	"SELECT coalesce(w.last_error, '') || E'\\n' || coalesce(l.last_error, '') FROM mf_worker_status w, mf_listener_status l");
value('  processor time of listener, worker, stand-in API: % of a core', join ' ', map { sprintf '%.0f', 100 * $_ / $seconds } @cpu);
value('  load of the machine, before and after', "$load $load_after");
exit $failed;
