# Chaos: sessions insert invoices, refunds, captures and releases, customers pay, deposits come, while everything goes wrong that
# may: processes are killed, frozen and stopped, the API refuses, throttles, stalls, breaks off at random bytes, does what it is
# asked for and loses the answers, cannot be reached, has a wrong clock. Then the faults stop: all rows settle within the stated
# time, the history checker finds nothing, and the books are those of the stand-in.
#
# MF_CHAOS_SEED       the same choices again (printed)
# MF_CHAOS_INVOICES   how many (600; make chaos: 10,000)
# MF_CHAOS_STEPS      misfortunes at least (25; make chaos: 150)
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use MyFatoorah::Money;
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
$mf->setup_account($node, 'postgres', $sandbox, account => 'links', options => { connect_timeout => '500ms', timeout => '1s', max_in_flight => 20 });
$node->safe_psql('postgres', "ALTER USER MAPPING FOR PUBLIC SERVER $_ OPTIONS (ADD webhook_secret 'chaos')") for 'myfatoorah', 'links';
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => 'chaos', retries => 0);
$mf->wait_worker($node, 'postgres');
is($node->safe_psql('postgres', q{SELECT ok FROM mf_probe_idempotency('links') WHERE step = 'result'}), 't', 'invoices of one of the accounts go by POST /v3/payments');

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
sub is_unreached
{
	my ($error) = @_;

	return $error =~ /(?:connection to server .* failed|could not connect|the database system is)/ && $error !~ /terminat/;
}

# until it is up again
sub await_server
{
	my ($out, $err);

	sleep 0.1 while (eval { $node->psql('postgres', 'SELECT 1', stdout => \$out, stderr => \$err, timeout => 60) } // 3) != 0;
	return;
}

# What people do with money, until they are told to stop
sub money_session
{
	my ($file, $stop) = @_;
	my $pick = $chaos->random($seed * 7 + 99);
	my $one = sub { "(SELECT * FROM mf_invoice WHERE $_[0] ORDER BY random() LIMIT 1) i" };
	my $n = 0;

	open my $list, '>', $file or POSIX::_exit(1);
	$list->autoflush(1);
	while (!-e $stop)
	{
		my ($out, $err) = ('', '');
		my $kind = $pick->(12);
		my $key = 'm-' . ++$n;
		my $value = $pick->(3) == 0 ? 'l.left_over' : sprintf 'least(l.left_over, %d.%03d)', $pick->(100), 1 + $pick->(999);
		my $sql =
		    $kind < 6 ? "INSERT INTO mf_refund (invoice, value, suppliers, idempotency_key) SELECT i.id, $value, CASE WHEN i.suppliers IS NOT NULL THEN
				jsonb_build_array(jsonb_build_object('SupplierCode', 27, 'SupplierDeductedAmount', trunc($value / 2, 3))) END, '$key'
				FROM " . $one->(q{payment_status IN ('paid', 'partly_refunded')}) . ', LATERAL (SELECT mf_refundable(i.id) AS left_over) l WHERE l.left_over > 0 RETURNING id'
		  : $kind == 6 ? "SELECT mf_capture(id, CASE WHEN $value < base_value THEN $value END, 'chaos') FROM " . $one->(q{payment_status = 'authorized'}) . ', LATERAL (SELECT i.base_value AS left_over) l'
		  : $kind == 7 ? q{SELECT mf_release(id, 'chaos') FROM } . $one->(q{payment_status = 'authorized'})
		  : $kind == 8 ? q{SELECT mf_cancel_refund(id, 'chaos') FROM mf_refund WHERE status = 'queued' LIMIT 1}
		  : $kind == 9 ? q{SELECT mf_retry_refund(id, 'chaos') FROM mf_refund WHERE status = 'refused' ORDER BY random() LIMIT 1}
		  : q{SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE status = 'sent' ORDER BY random() LIMIT 30))};
		my $roll_back = $kind == 0;
		my $code = eval { $node->psql('postgres', $roll_back ? "BEGIN; $sql; ROLLBACK" : $sql, stdout => \$out, stderr => \$err, timeout => 60, on_error_stop => 1) } // 3;

		print $list ($roll_back ? 'none' : $code == 0 ? ($out =~ /^\d/ ? 'committed' : 'none') : is_unreached($err) || $err =~ /^(?:psql:.*)?ERROR: /m ? 'none' : 'uncertain'), " $key\n" if $kind < 6;
		await_server() if $code == 2;
		sleep 0.02;
	}
	close $list;
	POSIX::_exit(0);
}

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
			my $amount = sprintf '%d.%03d', 1 + $pick->(500), $pick->(1000);
			my $kind = $pick->(8);

			# some have a link that survives, some are held when they are paid, of some a supplier has
			# a part, some lead to the page of one method
			sprintf q{('%s', '%s', '%s', %s, '%s', 'a@example.com', %d, %s, %s, %s)}, $kind < 2 ? 'links' : 'myfatoorah', $_, $_, $amount,
			  $mail ? 'EML' : 'LNK', $pick->(4) == 0 ? $pick->(100) : 0, $kind == 2 ? q('{"AutoCapture": false}') : 'NULL',
			  $kind == 3 ? qq('[{"SupplierCode": 27, "InvoiceShare": $amount}]') : 'NULL', $kind == 4 && !$mail ? 2 : 'NULL'
		} @names;
		my $insert = "INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, notification_option, customer_email, priority, processing_details, suppliers, payment_method_id) VALUES $values";
		my $kind = $pick->(10);
		my $target = "s$number-" . (1 + $pick->($n));

		# some roll back, some cancel, some change what they have inserted
		$insert = "BEGIN; $insert; ROLLBACK" if $kind == 0;
		$insert = "BEGIN; SAVEPOINT a; $insert; ROLLBACK TO a; $insert; COMMIT" if $kind == 1;
		my $code = eval { $node->psql('postgres', $insert, stdout => \$out, stderr => \$err, timeout => 60, on_error_stop => 1) } // 3;
		my $word = $kind == 0 ? 'none' : $code == 0 ? 'committed' : is_unreached($err) ? 'none' : 'uncertain';

		print $list "$word $_\n" for @names;
		eval { $node->psql('postgres', "SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = '$target'", stdout => \$out, stderr => \$err, timeout => 60) } if $kind == 2;
		eval { $node->psql('postgres', "UPDATE mf_invoice SET customer_name = 'changed' WHERE customer_reference = '$target'", stdout => \$out, stderr => \$err, timeout => 60) } if $kind == 3;
		await_server() if $code != 0;
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

my $stop = "$PostgreSQL::Test::Utils::tmp_check/stop";
my $money = { file => "$PostgreSQL::Test::Utils::tmp_check/session_money", pid => fork // die "could not fork: $!\n" };

money_session($money->{file}, $stop) if $money->{pid} == 0;

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

	my @paths = (('SendPayment') x 6, 'ExecutePayment', ('/v3/payments') x 2, 'GetPaymentStatus', 'GetRefundStatus', ('MakeRefund') x 3, 'MakeSupplierRefund', 'UpdatePaymentStatus', 'GetDepositedInvoices');

	$sandbox->faults({ path => $paths[ $random->(scalar @paths) ], times => 1 + $random->(5), skip => $random->(8), %rule });
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

# What MyFatoorah's customers and its finance team do at each step: invoices are paid, refunds decided, deposits made and told of
sub remote_step
{
	$sandbox->pay_many(count => 1 + $random->(2 + int($invoices / $steps)));
	if ($random->(3) == 0)
	{
		$sandbox->account(auto_refund => $random->(3) == 0, one_refund_at_a_time => $random->(4) == 0);
		$sandbox->decide_refund($_->{id}, $random->(4) == 0 ? 'reject' : 'approve') foreach grep { $_->{status} eq 'Pending' && $random->(2) == 0 } $sandbox->refunds;
	}
	# there may be nothing to pay out
	if ($random->(6) == 0 && eval { $sandbox->deposit() })
	{
		$sandbox->wait_deliveries({ code => 3 }, 1) or die "no webhook of a deposit\n";
		insist($mf->webhook(($sandbox->deliveries(code => 3))[-1]));
	}
	return;
}

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
	remote_step();

	# the next one after some more requests
	$sandbox->wait_count($send, $sandbox->count(%$send) + 1 + $random->(int($invoices / $steps)), 1);
}

#
# The faults stop
#
append_to_file($stop, '');
waitpid $money->{pid}, 0;
sub results
{
	my %result;

	foreach (map { split /\n/, slurp_file($_->{file}) } @_)
	{
		my ($word, $name) = split / /, $_, 2;

		push @{ $result{$word} }, $name;
	}
	return %result;
}
%result = results(@sessions);
my %asked = results($money);
my $unsettled = insist($MyFatoorah::Chaos::UNSETTLED);
my $stopped = time;

$sandbox->clear_faults;
$sandbox->account(one_refund_at_a_time => 0, auto_refund => 0);
insist("ALTER SERVER myfatoorah OPTIONS (SET base_url '" . $sandbox->url . "')");
insist('SELECT mf_resume()');
ok(eval { $chaos->wait_settled($node, 'postgres', $settle_limit) }, "all rows settle in $settle_limit s") or diag $@;
my $settled = time;

my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
is_deeply([ $history->violations(settled => 1, committed => $result{committed}, uncertain => $result{uncertain}, mine => qr/^s\d-/) ], [],
	'the history checker finds nothing');
# a key is forgotten at once when MyFatoorah's clock jumps by hours, and a repeated request makes a second invoice then, which is told
is(scalar(grep { $_->{duplicate} eq 't' && !($seen{'the clock of the API is off'} && $_->{account} eq 'links') } @{ $history->{rows} }), 0, 'no row looks like a duplicate');
cmp_ok(scalar @{ $result{committed} }, '>', $invoices * 0.5, 'most rows were committed');

# all that MyFatoorah has is asked for, until the books agree, or do not
my ($books, @differences);
my $books_deadline = time + 2 * $settle_limit;

$sandbox->decide_refund($_->{id}, $random->(4) == 0 ? 'reject' : 'approve') foreach grep { $_->{status} eq 'Pending' } $sandbox->refunds;
insist("SELECT mf_read_deposit('$_->{reference}')") foreach @{ $sandbox->control('GET', 'deposits')->{deposits} };
my $asked_at = 0;
for (;;)
{
	# the books tell what is still to be asked about, and when all has come
	$books = MyFatoorah::Money->of($node, 'postgres', $sandbox);
	insist('SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE invoice_id IN (' . join(', ', 0, $books->differing) . ')))'), $asked_at = time if time > $asked_at + 30;
	@differences = $books->violations(committed => $asked{committed});
	last if !@differences || time > $books_deadline;
	sleep 0.5;
}
is_deeply(\@differences, [], 'the books are those of the stand-in, to the last fils');
cmp_ok(scalar @{ $asked{committed} // [] }, '>', 0, 'there were refunds');
is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');

diag sprintf "chaos: seed %d: %d misfortunes in %.0f s (%s)", $seed, $taken, $stopped - $start,
  join ', ', map { "$seen{$_} $_" } sort { $seen{$b} <=> $seen{$a} || $a cmp $b } keys %seen;
my $interrupted = $node->safe_psql('postgres', q{SELECT count(*) FROM mf_attempt WHERE error LIKE '%worker was stopped%'});
diag sprintf "chaos: %d kills and %d stops, with %d requests in flight; %d faults struck", $down{kill}, $down{stop},
  $interrupted, scalar(grep { defined $_->{fault} } @{ $history->{posts} }, @{ $history->{lookups} });
diag sprintf "chaos: %d committed, %d uncertain, %d rolled back; %d unsettled when the faults stopped, settled %.1f s later",
  map({ scalar @{ $result{$_} // [] } } qw(committed uncertain none)), $unsettled, $settled - $stopped;
diag 'chaos: ' . $history->summary;
diag 'chaos: ' . $books->summary;

$node->stop;
done_testing();
