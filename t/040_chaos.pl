# Chaos: sessions insert, while everything goes wrong that may: processes are killed, frozen and stopped, the API refuses,
# throttles, stalls, breaks off at random bytes, makes invoices and loses the answers, cannot be reached, has a wrong clock.
# Then the faults stop: all rows settle within the stated time, and the history checker finds nothing.
#
# MF_CHAOS_SEED       the same choices again (printed)
# MF_CHAOS_INVOICES   how many (600; make chaos: 10,000)
# MF_CHAOS_STEPS      misfortunes at least (25; make chaos: 150)
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use POSIX ();
use Time::HiRes qw(time sleep);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $seed = $ENV{MF_CHAOS_SEED} || ($$ ^ int(time * 1000)) % 1_000_000;
my $invoices = $ENV{MF_CHAOS_INVOICES} || 600;
my $steps = $ENV{MF_CHAOS_STEPS} || 25;
my $sessions = 4;
my $random = $chaos->random($seed);

# When the faults have stopped, nothing is under way any more after this many seconds: a request that just left (5.5 to
# be sent, 1 to be answered), look-ups (82 x 0.05 = 4.1), both again for one sent again, up to ten seconds for an account
# that is left alone after failures, and the rest for a machine that does other things too.
my $settle_limit = 60 + $invoices / 100;

diag "chaos: seed $seed (MF_CHAOS_SEED=$seed replays it), $invoices invoices from $sessions sessions";

my $true = JSON::PP::true;
my $false = JSON::PP::false;
my $send = { path => '/v2/SendPayment' };
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--seed', $seed ]);
my $dead = MyFatoorah::Sandbox->new(name => 'dead');
my $dead_url = $dead->url;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '50ms'\nlog_statement = none");

# nobody listens there any more
$dead->stop;
$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s', max_in_flight => 20 });
$mf->wait_worker($node, 'postgres');

# the invoices of one session take their time, so that there is always something in flight
$sandbox->faults({ path => 'SendPayment', reference_prefix => 's1-', delay_ms => 300, times => -1 });

# SQL that must get through, however often the server goes down
sub insist
{
	my ($query) = @_;
	my ($out, $err);

	$chaos->until_true($query, sub { $node->psql('postgres', $query, stdout => \$out, stderr => \$err, timeout => 60, on_error_stop => 1) == 0 });
	return $out;
}

#
# The sessions
#
sub session
{
	my ($number, $rows, $file) = @_;
	my $pick = $chaos->random($seed * 7 + $number);
	my $n = 0;

	open my $list, '>', $file or POSIX::_exit(1);
	$list->autoflush(1);
	while ($n < $rows)
	{
		my ($out, $err) = ('', '');
		my @names = map { "s$number-" . ++$n } 1 .. 1 + $pick->(5);
		my $values = join ', ', map {
			my $mail = $pick->(3) == 0;

			sprintf q{('%s', '%s', %d.%03d, '%s', 'a@example.com', %d)}, $_, $_, 1 + $pick->(500), $pick->(1000),
			  $mail ? 'EML' : 'LNK', $pick->(4) == 0 ? $pick->(100) : 0
		} @names;
		my $insert = "INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, notification_option, customer_email, priority) VALUES $values";
		my $kind = $pick->(10);
		my $target = "s$number-" . (1 + $pick->($n));

		# some roll back, some cancel, some change what they have inserted
		$insert = "BEGIN; $insert; ROLLBACK" if $kind == 0;
		$insert = "BEGIN; SAVEPOINT a; $insert; ROLLBACK TO a; $insert; COMMIT" if $kind == 1;
		my $code = eval { $node->psql('postgres', $insert, stdout => \$out, stderr => \$err, timeout => 60, on_error_stop => 1) } // 3;
		my $word = $kind == 0 ? 'none' : $code == 0 ? 'committed' : $err =~ /(?:connection to server .* failed|could not connect|the database system is)/ && $err !~ /terminat/ ? 'none' : 'uncertain';

		print $list "$word $_\n" for @names;
		eval { $node->psql('postgres', "SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = '$target'", stdout => \$out, stderr => \$err, timeout => 60) } if $kind == 2;
		eval { $node->psql('postgres', "UPDATE mf_invoice SET customer_name = 'changed' WHERE customer_reference = '$target'", stdout => \$out, stderr => \$err, timeout => 60) } if $kind == 3;
		if ($code != 0)
		{
			# until it is up again
			sleep 0.1 while (eval { $node->psql('postgres', 'SELECT 1', stdout => \$out, stderr => \$err, timeout => 60) } // 3) != 0;
		}
	}
	close $list;
	POSIX::_exit(0);
}

my @sessions;
my %result;

foreach my $number (1 .. $sessions)
{
	my $file = "$PostgreSQL::Test::Utils::tmp_check/session_$number";
	my $pid = fork // die "could not fork: $!\n";

	session($number, int($invoices / $sessions), $file) if $pid == 0;
	push @sessions, { pid => $pid, file => $file };
}

sub inserting
{
	@sessions = map { $_->{done} ||= waitpid($_->{pid}, POSIX::WNOHANG()) == $_->{pid}; $_ } @sessions;
	return grep { !$_->{done} } @sessions;
}

#
# The misfortunes
#
sub fault
{
	my (%rule) = @_;

	$sandbox->faults({ path => $random->(5) == 0 ? 'GetPaymentStatus' : 'SendPayment', times => 1 + $random->(5), skip => $random->(8), %rule });
	return;
}

my %down = (kill => 0, stop => 0);
my $base_url_until = 0;

sub kill_worker
{
	my $pid = insist(q{SELECT coalesce(max(pid), 0) FROM mf_worker_status});
	my $offset = $chaos->log_size($node);

	return unless $pid && kill 'KILL', $pid;
	$down{kill}++;
	$chaos->wait_crashed($node, $offset);
	return;
}

my @misfortunes = (
	[ 4 => '500, nothing made' => sub { fault(status => 500, create => $false) } ],
	[ 4 => '500, made' => sub { fault(status => 500, create => $true) } ],
	[ 2 => '503, made, HTML' => sub { fault(status => 503, create => $true, body => '<h1>x</h1>', content_type => 'text/html') } ],
	[ 2 => '200, made, HTML' => sub { fault(status => 200, create => $true, body => '<h1>x</h1>', content_type => 'text/html', path => 'SendPayment') } ],
	[ 4 => 'request broken off' => sub { fault(($random->(2) ? 'reset_request_at' : 'cut_request_at') => $random->(300)) } ],
	[ 4 => 'answer broken off' => sub { fault(($random->(2) ? 'reset_answer_at' : 'cut_answer_at') => $random->(500)) } ],
	[ 3 => 'no answer, made' => sub { fault(never => $true, create => $true) } ],
	[ 3 => 'no answer, nothing made' => sub { fault(never => $true) } ],
	[ 3 => 'answer too late' => sub { fault(delay_ms => 900 + $random->(1500)) } ],
	[ 3 => 'made after the client has left' => sub { fault(delay_before_ms => 900 + $random->(1500), path => 'SendPayment') } ],
	[ 2 => 'answer stalls' => sub { fault(stall_at => $random->(400)) } ],
	[ 2 => 'connection closed after the answer' => sub { fault(close_after_ms => $random->(50)) } ],
	[ 3 => '429' => sub { fault(status => 429, create => $false, headers => { 'Retry-After' => '' . $random->(2) }) } ],
	[ 2 => 'refusal' => sub { fault(path => 'SendPayment', status => 400, times => 1, body => { IsSuccess => $false, Message => 'Invalid data',
		ValidationErrors => [ { Name => 'CustomerName', Error => 'odd' } ], Data => undef }) } ],
	[ 1 => '401: the account is paused' => sub { fault(path => 'SendPayment', status => 401, create => $false, times => 1) } ],
	[ 2 => 'the clock of the API is off' => sub { $sandbox->control('POST', 'clock', { offset_seconds => $random->(2 * 36000) - 36000 }) } ],
	[ 2 => 'the API cannot be reached' => sub { insist("ALTER SERVER myfatoorah OPTIONS (SET base_url '$dead_url')"); $base_url_until = time + 1 + $random->(3) } ],
	[ 3 => 'kill -9 of the worker' => \&kill_worker ],
	[ 2 => 'kill -9 of a backend' => sub { $down{kill}++; $chaos->kill_backend($node) } ],
	[ 1 => 'kill -9 of the postmaster' => sub { $down{kill}++; $chaos->kill_postmaster($node) } ],
	[ 1 => 'immediate stop' => sub { $down{stop}++; $node->stop('immediate'); $node->start } ],
	[ 1 => 'fast stop' => sub { $down{stop}++; $node->stop('fast'); $node->start } ],
	[ 2 => 'the worker ends' => sub { insist('SELECT pg_terminate_backend(pid) FROM mf_worker_status') } ],
	[ 2 => 'the worker is frozen' => sub {
		my $pid = insist('SELECT max(pid) FROM mf_worker_status') or return;
		my $count = $sandbox->count(%$send, phase => 'answered');

		kill 'STOP', $pid or return;
		$sandbox->wait_count($send, $count + 1000, 0.5 + $random->(20) / 10);
		kill 'CONT', $pid;
	} ]);
my @deck = map { my ($times, $name, $code) = @$_; ([ $name, $code ]) x $times } @misfortunes;
my (%seen, $taken);
my $start = time;

# one of each that takes the server down, however short the run
my @first = map { my $name = $_; grep { $_->[0] eq $name } @deck[ 0 .. $#deck ] } 'kill -9 of the postmaster', 'immediate stop';

while (inserting() || $taken < $steps)
{
	my ($name, $code) = @{ @first && $taken > 5 ? shift @first : $deck[ $random->(scalar @deck) ] };

	$code->();
	$seen{$name}++;
	$taken++;
	if ($base_url_until && time > $base_url_until)
	{
		insist("ALTER SERVER myfatoorah OPTIONS (SET base_url '" . $sandbox->url . "')");
		$base_url_until = 0;
	}
	insist('SELECT mf_resume()') if $random->(3) == 0;

	# the next one after some more requests
	$sandbox->wait_count($send, $sandbox->count(%$send) + 1 + $random->(int($invoices / $steps)), 1);
}

#
# The faults stop
#
foreach (@sessions)
{
	foreach (split /\n/, slurp_file($_->{file}))
	{
		my ($word, $name) = split / /, $_, 2;

		push @{ $result{$word} }, $name;
	}
}
my $unsettled = insist(q{SELECT count(*) FROM mf_invoice WHERE status IN ('queued', 'sending', 'unknown')});
my $stopped = time;

$sandbox->clear_faults;
insist("ALTER SERVER myfatoorah OPTIONS (SET base_url '" . $sandbox->url . "')");
insist('SELECT mf_resume()');
ok(eval { $chaos->wait_settled($node, 'postgres', $settle_limit) }, "all rows settle in $settle_limit s") or diag $@;
my $settled = time;

my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
is_deeply([ $history->violations(settled => 1, committed => $result{committed}, uncertain => $result{uncertain}) ], [],
	'the history checker finds nothing');
is($history->figures->{flagged}, 0, 'no row looks like a duplicate');
cmp_ok(scalar @{ $result{committed} }, '>', $invoices * 0.5, 'most rows were committed');
is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');

diag sprintf "chaos: seed %d: %d misfortunes in %.0f s (%s)", $seed, $taken, $stopped - $start,
  join ', ', map { "$seen{$_} $_" } sort { $seen{$b} <=> $seen{$a} || $a cmp $b } keys %seen;
my $interrupted = $node->safe_psql('postgres', q{SELECT count(*) FROM mf_attempt WHERE error LIKE '%worker was stopped%'});
diag sprintf "chaos: %d kills and %d stops, with %d requests in flight; %d faults struck", $down{kill}, $down{stop},
  $interrupted, scalar(grep { defined $_->{fault} } @{ $history->{posts} }, @{ $history->{lookups} });
diag sprintf "chaos: %d committed, %d uncertain, %d rolled back; %d unsettled when the faults stopped, settled %.1f s later",
  map({ scalar @{ $result{$_} // [] } } qw(committed uncertain none)), $unsettled, $settled - $stopped;
diag 'chaos: ' . $history->summary;

$node->stop;
done_testing();
