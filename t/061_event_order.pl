# In whatever order things come: what customers do, our own answer, webhooks, callbacks and polls, each of them late, twice
# or never, as long as one tells us after the last thing that happened, end in the same row, the one that MyFatoorah's own
# truth makes; and money that came in is never taken back on the way.
#
# MF_ORDERS_SEED    another history; it is printed
# MF_ORDERS_CASES   so many invoices, 60 unless told otherwise, and a quarter of that told by the poller alone
use MyFatoorah::Test;

use JSON::PP ();
use List::Util qw(shuffle);

my $mf = 'MyFatoorah::Cluster';
my $seed = $ENV{MF_ORDERS_SEED} // time;
my $cases = $ENV{MF_ORDERS_CASES} // 60;
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--seed', $seed ]);
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'
	myfatoorah.poll_rate_limit = 60000
	myfatoorah.callback_rate_limit = 60000
	myfatoorah.lookup_delay = '50ms'
	myfatoorah.retry_delay = '50ms'");
my $db = 'postgres';
my $secret = 'orders-of-all-kinds';

# What may happen to an invoice, and how it ends. "untold": nothing comes from MyFatoorah about it, so that a person asks.
# "prompt": with the answer to our own request lost, its value would not be the one looked for: that is for a person.
my @histories = (
	{ acts => [ [ 'leave' ] ], ends => 'unpaid' },
	{ acts => [ [ 'fail', error_code => 'MF004' ], [ 'abandon' ] ], ends => 'unpaid' },
	{ acts => [ [ 'pay' ] ], ends => 'paid' },
	{ acts => [ [ 'fail' ], [ 'leave' ], [ 'pay', gateway => 'CARD' ] ], ends => 'paid' },
	{ acts => [ [ 'pay' ], [ 'pay', duplicate => JSON::PP::true ] ], ends => 'paid', overpaid => 1 },
	{ acts => [ [ 'fail' ], [ 'pay' ], [ 'pay', duplicate => JSON::PP::true, invoice_status => 'DuplicatePayment' ] ], ends => 'paid', overpaid => 1 },
	{ acts => [ [ 'authorize' ] ], ends => 'authorized' },
	{ acts => [ [ 'authorize' ], [ 'capture' ] ], ends => 'paid' },
	{ acts => [ [ 'authorize' ], [ 'capture', amount => '0.500' ] ], ends => 'paid', prompt => 1 },
	{ acts => [ [ 'authorize' ], [ 'release' ] ], ends => 'unpaid' },
	{ acts => [ [ 'authorize' ], [ 'release' ], [ 'pay' ] ], ends => 'paid' },
	{ acts => [ [ 'pay' ], [ 'refund', amount => '0.250' ] ], ends => 'partly_refunded' },
	{ acts => [ [ 'abandon' ], [ 'pay' ], [ 'refund', amount => '0.250' ], [ 'refund', amount => '1.000' ] ], ends => 'refunded' },
	{ acts => [ [ 'fail' ], [ 'cancel' ] ], ends => 'remote_cancelled', untold => 1 },
	{ acts => [ [ 'expire' ] ], ends => 'expired', untold => 1 },
	{ acts => [ [ 'expire' ], [ 'pay', force => JSON::PP::true ] ], ends => 'paid' });

# How the answer to our own request comes: as usual, late, too late, not at all
my @answers = ({}, {}, { delay_ms => 400 }, { delay_ms => 1800 }, { cut_answer_at => 0 });

diag("seed $seed, $cases cases");
srand $seed;
$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);

# Invoices of random histories
sub start_cases
{
	my ($prefix, $n, @choice) = @_;
	my @all = map { { name => "$prefix-$_", %{ $choice[ rand @choice ] }, done => 0 } } 1 .. $n;

	foreach my $case (@all)
	{
		my $answer = $case->{prompt} ? {} : $answers[ rand @answers ];

		$sandbox->faults({ path => 'SendPayment', reference_prefix => "$case->{name}.", times => 1, %$answer }) if %$answer;
	}
	$node->safe_psql($db, join ';', map { 'INSERT INTO mf_invoice ' . $mf->invoice($_->{name}) } @all);
	return @all;
}

# Those that MyFatoorah has, which is before we know, and to which something is still to happen
sub unfinished
{
	my %made = map { $_->{reference} =~ s/\.[^.]*$//r => $_->{id} } $sandbox->remote;

	$_->{invoice} //= $made{ $_->{name} } foreach @_;
	return grep { $_->{invoice} && $_->{done} < @{ $_->{acts} } } @_;
}

# The next thing that happens to an invoice
sub act
{
	my ($case) = @_;
	my ($action, %order) = @{ $case->{acts}[ $case->{done}++ ] };

	$sandbox->invoice($case->{invoice}, $action, \%order);
	return;
}

# The webhooks made so far, by invoice
sub made
{
	my %made;

	push @{ $made{ $_->{invoice_id} } }, $_ foreach $sandbox->deliveries;
	return \%made;
}

# A callback of the try of that number
sub callback
{
	my ($case, $number) = @_;
	my $try = $sandbox->invoice($case->{invoice})->{transactions}[$number] // return;

	return "SELECT mf_callback('$try->{payment_id}');";
}

# Hands in what SQL there is, in any order
sub hand_in
{
	my (@sql) = @_;

	$node->safe_psql($db, join "\n", shuffle grep { defined } @sql);
	return;
}

# What is told after the last thing that happened: at least one of the ways
sub last_word
{
	my ($case, $made) = @_;
	my @webhooks = @{ $made->{ $case->{invoice} } // [] };
	my $last = $case->{acts}[-1][0];
	my @ways;

	push @ways, $mf->webhook($webhooks[-1]) if $last !~ /^(?:leave|cancel|expire)$/;
	push @ways, callback($case, -1) if $last =~ /^(?:leave|pay|fail|abandon|authorize)$/;
	push @ways, "SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = '$case->{name}';" if $case->{untold};
	@ways = shuffle @ways;
	return @ways[ 0 .. rand @ways ];
}

# The rows as they must be, by MyFatoorah's own truth
sub expect
{
	foreach my $case (@_)
	{
		my $truth = $sandbox->invoice($case->{invoice});
		my @tries = @{ $truth->{transactions} };
		my @paid = grep { $_->{status} eq 'Succss' } @tries;
		my $refunded = 0;

		$refunded += $_->[2] * 1000 foreach grep { $_->[0] eq 'refund' } @{ $case->{acts} };
		$node->safe_psql($db, 'INSERT INTO expected VALUES (' . join(', ', map { $mf->literal($_) } $case->{name}, $case->{ends},
				$case->{invoice}, $truth->{value}, sprintf('%.3f', $refunded / 1000), @paid > 1 ? 't' : 'f',
				$paid[0] ? ($paid[0]{payment_id}, $paid[0]{value}) : (undef, undef),
				join ' ', sort map { "$_->{payment_id}=$_->{status}" } @tries) . ')');
		is(@paid > 1, !!$case->{overpaid}, "$case->{name}: the stand-in has done what was asked")
		  if (@paid > 1) != !!$case->{overpaid} || (@paid > 0) != ($case->{ends} =~ /paid$|refunded$/ && $case->{ends} ne 'unpaid');
	}
	return;
}

sub wait_expected
{
	my ($what) = @_;
	my $fine = $node->poll_query_until($db, 'SELECT count(*) FROM differences', '0');

	ok($fine, $what) or diag($node->safe_psql($db, 'SELECT * FROM differences'));
	return;
}

$node->safe_psql($db, q{
	CREATE TABLE expected (name text, payment_status text, invoice_id bigint, base_value numeric, refunded numeric,
		overpaid bool, payment_id text, pay_value numeric, tries text);
	CREATE VIEW found AS SELECT i.customer_reference AS name, i.payment_status, i.invoice_id, i.base_value,
		coalesce(i.refunded_value, 0) AS refunded, i.overpaid, i.payment_id, i.pay_value, coalesce((SELECT string_agg(t.payment_id || '=' ||
			t.transaction_status, ' ' ORDER BY t.payment_id) FROM mf_transaction t WHERE t.invoice = i.id), '') AS tries FROM mf_invoice i
		WHERE i.customer_reference IN (SELECT name FROM expected);
	CREATE VIEW differences AS
		(TABLE expected EXCEPT TABLE found) UNION ALL (TABLE found EXCEPT TABLE expected) ORDER BY 1});

# Told by webhooks, callbacks and people
my @all = start_cases('told', $cases, @histories);

while (grep { $_->{done} < @{ $_->{acts} } } @all)
{
	my @sql;

	$sandbox->lag(reads => int rand 3);
	act($_) foreach grep { rand() < 0.6 } unfinished(shuffle @all);

	my $made = made();
	foreach my $case (grep { $_->{invoice} } @all)
	{
		my @webhooks = @{ $made->{ $case->{invoice} } // [] };

		# some come, some twice, some never, some long after
		push @sql, map { ($mf->webhook($_)) x int rand 3 } grep { rand() < 0.4 } @webhooks;
		push @sql, (callback($case, int rand $case->{done})) x int 1 + rand 2 if $case->{done} && rand() < 0.2;
	}
	hand_in(@sql);
}

my $made = made();
my $early = $node->safe_psql($db, q{SELECT count(*) FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice WHERE i.status <> 'sent' OR e.received_at < i.sent_at});
diag("$early events came before we knew that the invoice was sent");
cmp_ok($early, '>', 0, 'events come before our own answer');
hand_in(map { last_word($_, $made) } grep { !$_->{untold} } @all);
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
hand_in(map { last_word($_, $made) } grep { $_->{untold} } @all);
expect(@all);
wait_expected('every order ends in the same row');

# Everything once more, long after: nothing moves.
hand_in(map { $mf->webhook($_) } shuffle map { @$_ } values %$made);
$node->safe_psql($db, 'SELECT mf_refresh(id) FROM mf_invoice');
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_inquiry WHERE urgent AND due < now()', 0);
$mf->wait_idle($node, $db);
wait_expected('and stays there');
is($node->safe_psql($db, 'SELECT count(*) FROM mf_unmatched'), 0, 'every event found its invoice');
is($node->safe_psql($db, 'SELECT count(*) FROM mf_event WHERE answered_at IS NULL'), 0, 'and was answered');

# Told by the poller alone
$node->append_conf('postgresql.conf', "myfatoorah.poll_delay = '30ms'");
$node->reload;
$sandbox->lag(reads => 1);
my @polled = start_cases('polled', int(($cases + 3) / 4), grep { $_->{ends} !~ /refunded/ } @histories);
while (grep { $_->{done} < @{ $_->{acts} } } @polled)
{
	foreach my $case (unfinished(@polled))
	{
		act($case) while $case->{done} < @{ $case->{acts} };
	}
}
expect(@polled);
wait_expected('the poller alone comes to the same');

# On the way: money stays where it is, and each step follows from the one before.
is($node->safe_psql($db, q{SELECT t.from_status, t.to_status, count(*) FROM mf_transition t WHERE t.actor = 'status reader'
		AND t.from_status IN ('paid', 'partly_refunded', 'refunded')
		AND t.from_status <> t.to_status AND (t.from_status, t.to_status) NOT IN (('paid', 'partly_refunded'), ('paid', 'refunded'), ('partly_refunded', 'refunded'))
		GROUP BY 1, 2}), '', 'nothing was ever undone');
is($node->safe_psql($db, q{SELECT count(*) FROM (SELECT t.from_status, lag(t.to_status, 1, 'unpaid') OVER (PARTITION BY t.invoice
		ORDER BY t.changed_at) AS before FROM mf_transition t WHERE t.actor = 'status reader') s WHERE before <> from_status}), 0,
	'each step begins where the last one ended');
is_deeply([ grep { !/another number or value/ } $mf->problems($node, $db, $sandbox) ], [], 'and each invoice was made once');

$node->stop;
done_testing();
