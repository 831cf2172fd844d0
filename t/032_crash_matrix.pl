# The crash matrix: every step of sending, of a refund, a capture and a release, and of looking one up, x every way to die,
# freeze or stop, all in one go: each point has a database of its own, whose worker waits there with rows in hand when the
# misfortune comes. Afterwards the stand-in's books decide: nothing may be lost, and nothing may have been done twice; and
# each cell must have ended as reliability.md section 8 has it.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
#
# MF_CHAOS_KINDS, MF_CHAOS_POINTS, MF_CHAOS_WAYS   only those whose names these regular expressions match
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use List::Util qw(sum0 uniq);
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# When nothing is wrong any more, everything settles within some 20 seconds: the latest send (5.5), time-out (4), five
# look-ups (82 x 20 ms). A busy machine takes longer.
my $limit = MyFatoorah::Sandbox::time_limit();

# The kinds, with how many rows a cell has of each, by which request they go, and how a row ends that was carried out
# (done) and one that cannot be found (missing: sent again under a new reference, or left to a person). An invoice has
# columns; what is asked for about an invoice that is there has SQL, and may have columns of that invoice.
my %held = (processing_details => q{'{"AutoCapture": false}'});
my %shared = (suppliers => q{'[{"SupplierCode": 27, "InvoiceShare": 10}]'});
my @kinds = (
	{ name => 'link', rows => 2, path => '/v2/SendPayment', done => 'sent', missing => 'again', columns => {} },
	{ name => 'mail', rows => 2, path => '/v2/SendPayment', done => 'sent', missing => 'review', columns => { notification_option => q{'EML'}, customer_email => q{'a@example.com'} } },
	{ name => 'page', rows => 1, path => '/v2/ExecutePayment', done => 'sent', missing => 'again', columns => { payment_method_id => 2 } },
	{ name => 'refund', rows => 2, path => '/v2/MakeRefund', done => 'filed', missing => 'review', columns => {},
		sql => 'INSERT INTO mf_refund (invoice, value) SELECT id, 2.5 FROM mf_invoice' },
	{ name => 'shared', rows => 1, path => '/v2/MakeSupplierRefund', done => 'filed', missing => 'review', columns => \%shared,
		sql => q{INSERT INTO mf_refund (invoice, value, suppliers) SELECT id, 2.5, '[{"SupplierCode": 27, "SupplierDeductedAmount": 1.125}]' FROM mf_invoice} },
	{ name => 'capture', rows => 1, path => '/v2/UpdatePaymentStatus', done => 'captured', missing => 'review', columns => \%held,
		sql => q{SELECT mf_capture(id, 4, 'matrix') FROM mf_invoice} },
	{ name => 'release', rows => 1, path => '/v2/UpdatePaymentStatus', done => 'released', missing => 'review', columns => \%held,
		sql => q{SELECT mf_release(id, 'matrix') FROM mf_invoice} });

# The points, each with the failpoint of invoices, and of what is asked for about them. before: nothing may have left;
# unsent: the attempt is recorded, and nothing may have left; made: it was carried out, so that each row must end with
# that and without another request; lost: it was not, and nobody told us. look: what is to be seen is looked up.
my @points = (
	{ name => 'claimed', says => 'claimed, not yet recorded', failpoints => [ 'claimed', 'operation_claimed' ], is => 'before' },
	{ name => 'intent_recorded', says => 'attempt recorded, not committed', failpoints => [ 'intent_recorded', 'operation_intent_recorded' ], is => 'before' },
	{ name => 'round_done', says => 'just before the commit', failpoints => [ 'round_done', 'round_done' ], is => 'before' },
	{ name => 'intent_committed', says => 'committed, nothing sent', failpoints => [ 'intent_committed', 'intent_committed' ], is => 'unsent' },
	{ name => 'posted', says => 'given to libcurl', failpoints => [ 'posted', 'posted' ], is => '' },
	{ name => 'held', says => 'request taken, no answer; carried out', is => 'made', fault => { never => $true, create => $true } },
	{ name => 'lost', says => 'request taken, no answer; not carried out', is => 'lost', fault => { never => $true, create => $false } },
	{ name => 'answer_received', says => 'answer received', failpoints => [ 'answer_received', 'answer_received' ], is => 'made' },
	{ name => 'outcome_recorded', says => 'outcome recorded, not committed', failpoints => [ 'outcome_recorded', 'operation_recorded' ], is => 'made' },
	{ name => 'outcome_committed', says => 'outcome committed', failpoints => [ 'outcome_committed', 'outcome_committed' ], is => 'made' },
	map { +{ %$_, is => 'made', look => 1, fault => { status => 500, create => $true } } }
	  { name => 'look_answered', says => 'look-up answered', failpoints => [ 'answer_received', 'answer_received' ] },
	  { name => 'look_recorded', says => 'look-up recorded, not committed', failpoints => [ 'outcome_recorded', 'operation_settled' ] },
	  { name => 'look_committed', says => 'look-up committed', failpoints => [ 'outcome_committed', 'outcome_committed' ] });

# The ways. Of the abrupt ones the worker does not execute another instruction.
my $abrupt = qr/^(?:KILL (?:worker|backend)|immediate)$/;
my @ways = (@MyFatoorah::Chaos::WAYS, 'STOP, CONT');

@kinds = grep { $_->{name} =~ /^(?:$ENV{MF_CHAOS_KINDS})$/ } @kinds if $ENV{MF_CHAOS_KINDS};
@points = grep { $_->{name} =~ /^(?:$ENV{MF_CHAOS_POINTS})$/ } @points if $ENV{MF_CHAOS_POINTS};
@ways = grep { /$ENV{MF_CHAOS_WAYS}/ } @ways if $ENV{MF_CHAOS_WAYS};

my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'chaos.conf'
	max_worker_processes = 48
	myfatoorah.max_databases = 32
	myfatoorah.retry_delay = '50ms'
	myfatoorah.lookup_delay = '20ms'
	myfatoorah.poll_delay = '1h'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql('postgres', "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

# A database for each point, and another one for what is asked for about invoices
my %kind = map { $_->{name} => $_ } @kinds;
my @cells = map {
	my $point = $_;

	map {
		my $about = $_;
		my @mine = grep { !$_->{sql} == !$about } @kinds;

		+{ %$point, about => $about, db => ($about ? 'about_' : '') . $point->{name}, kinds => \@mine, rows => sum0(map { $_->{rows} } @mine),
			paths => [ uniq map { $_->{path} } @mine ], failpoint => $point->{failpoints} ? $point->{failpoints}[$about] : undef, rounds => {} }
	} 0, 1
} @points;
@cells = grep { $_->{rows} } @cells;

my $continue = $node->data_dir . '/myfatoorah.continue';
my (%pid, $lost, $doubled);

sub sql
{
	return $node->safe_psql(@_);
}

# names(cell, round, kind): the customer_references of its invoices
sub names
{
	my ($cell, $round, $kind) = @_;

	return map { "$cell->{db}-$round.$kind->{name}.$_" } 1 .. $kind->{rows};
}

sub insert
{
	my ($cell, @rounds) = @_;

	sql($cell->{db}, join '', 'BEGIN;', (map {
		my $kind = $_;
		my @columns = sort keys %{ $kind->{columns} };

		map { "INSERT INTO mf_invoice (" . join(', ', qw(customer_name customer_reference invoice_value), @columns) . ") VALUES ("
			. join(', ', "'matrix'", "'$_'", 10, map { $kind->{columns}{$_} } @columns) . ");" } map { names($cell, $_, $kind) } @rounds
	} @{ $cell->{kinds} }), 'COMMIT;');
	return;
}

# Asks for what a round of a cell is about
sub ask
{
	my ($cell, $round) = @_;

	return insert($cell, $round) unless $cell->{about};
	# asked about already, so that the points are those of the request
	sql($cell->{db}, join ' ', 'BEGIN;', (map { "$_->{sql} WHERE customer_reference LIKE '$cell->{db}-$round.$_->{name}.%';" } @{ $cell->{kinds} }),
		q{UPDATE mf_operation o SET lookups = 1, confirmed_from = a.sent_to FROM mf_attempt a WHERE a.invoice = o.invoice AND o.status = 'queued' AND o.attempts = 0;}, 'COMMIT;');
	return;
}

# What is asked for about invoices: these are there before, for all rounds, paid or authorised
foreach my $cell (@cells)
{
	$node->safe_psql('postgres', "CREATE DATABASE $cell->{db}");
	$mf->setup_account($node, $cell->{db}, $sandbox,
		options => { connect_timeout => '500ms', timeout => $cell->{failpoint} ? '1s' : '4s' });
	insert($cell, 1 .. @ways) if $cell->{about};
}
foreach my $cell (grep { $_->{about} } @cells)
{
	$chaos->wait_settled($node, $cell->{db}, 120);
	$sandbox->invoice($_, 'pay') foreach split /\n/, sql($cell->{db}, 'SELECT invoice_id FROM mf_invoice ORDER BY id');
	sql($cell->{db}, 'SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice))');
	$mf->wait_for($node, $cell->{db}, q{SELECT count(*) FROM mf_invoice WHERE payment_status NOT IN ('paid', 'authorized')}, 0);
}

# rows(cell, round): what became of each row, [ name, kind, status, attempts, InvoiceId ]
sub rows
{
	my ($cell, $round) = @_;
	my $columns = $cell->{about} ? q{CASE WHEN o.suppliers IS NULL THEN o.kind ELSE 'shared' END, o.status, o.attempts, i.invoice_id FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice}
	  : q{split_part(customer_reference, '.', 2), CASE WHEN status = 'sent' AND reference LIKE '%~%' THEN 'again' ELSE status END, attempts, invoice_id FROM mf_invoice i};

	return map { [ split /\|/, $_, -1 ] } split /\n/, sql($cell->{db}, "SELECT i.customer_reference, $columns WHERE i.customer_reference LIKE '$cell->{db}-$round.%' ORDER BY 1");
}

# requests(cell, round): the references under which they came in
sub requests
{
	my ($cell, $round) = @_;

	return grep { /^$cell->{db}-$round\./ } map { map { $_->{reference} // '' } $sandbox->posts($_) } @{ $cell->{paths} };
}

# done(cell, name, InvoiceId): what the stand-in did, by kind
sub done
{
	my ($cell, $name, $number, $made) = @_;
	my (undef, $kind) = split /\./, $name;

	return ($kind => scalar(grep { $_ =~ /^\Q$name\E\./ } @$made)) unless $cell->{about};
	my @tries = grep { $_->{by_merchant} } @{ $sandbox->invoice($number)->{transactions} };
	my @refunds = $sandbox->refunds(invoice => $number);

	return (capture => scalar(grep { $_->{status} eq 'Succss' } @tries), release => scalar(grep { $_->{status} eq 'Canceled' } @tries),
		($kind eq 'shared' ? 'shared' : 'refund') => scalar @refunds);
}

# Every worker to its point, with rows in hand
sub prepare
{
	my ($round) = @_;
	my $offset = $chaos->log_size($node);

	$pid{ $_->{db} } = $mf->wait_worker($node, $_->{db}) foreach @cells;
	foreach my $cell (grep { $_->{fault} } @cells)
	{
		$sandbox->faults(map { { path => $_, reference_prefix => "$cell->{db}-$round.", times => -1, %{ $cell->{fault} } } } @{ $cell->{paths} });
	}

	# bring the look-ups on their way first: they come seconds later
	foreach my $cell (grep { $_->{look} } @cells)
	{
		ask($cell, $round);
		$chaos->until_true("unknown rows of $cell->{db}", sub { $cell->{rows} == grep { $_->[2] eq 'unknown' } rows($cell, $round) });
		$chaos->arm($node, $pid{ $cell->{db} }, $cell->{failpoint});
	}
	foreach my $cell (grep { !$_->{fault} } @cells)
	{
		# or a round without rows gets there first; twice, because on a busy machine a worker may just be waiting for its turn
		if ($cell->{about} || $cell->{is} eq 'before')
		{
			# what was sent again under a new reference is still looked up from time to time, and refunds of the round before
			# may have a question left
			$mf->wait_none($node, $cell->{db}, q{SELECT (SELECT count(*) FROM mf_queue WHERE due < now() + interval '5 s')
				+ (SELECT count(*) FROM mf_inquiry WHERE due < now() + interval '5 s')});
			$mf->wait_idle($node, $cell->{db}) for 1 .. 2;
		}
		$chaos->arm($node, $pid{ $cell->{db} }, $cell->{failpoint});
		ask($cell, $round);
	}
	$chaos->wait_failpoint($node, $pid{ $_->{db} }, $_->{failpoint}, $offset) foreach grep { $_->{failpoint} } @cells;

	# last, because these time out
	ask($_, $round) foreach grep { !$_->{failpoint} } @cells;
	foreach my $cell (grep { !$_->{failpoint} } @cells)
	{
		$chaos->until_true("requests of $cell->{db}", sub { requests($cell, $round) == $cell->{rows} });
	}

	# what is under way, and what left, at this moment; with few slots, some rows may still wait for their turn
	foreach my $cell (@cells)
	{
		my @rows = rows($cell, $round);

		$cell->{rounds}{$round} = {
			sending => { map { $_->[0] => 1 } grep { $_->[2] eq 'sending' } @rows },
			left => { map { s/\.[^.]*$//r => 1 } requests($cell, $round) },
			flying => scalar(grep { $_->[2] =~ /^(?:queued|sending|unknown)$/ || ($_->[2] eq 'filed' && $_->[1] =~ /capture|release/) } @rows) };
	}
	return;
}

# The worker is frozen until its lease is over
sub freeze
{
	kill 'STOP', values %pid;
	$mf->wait_for($node, $_->{db}, q{SELECT (SELECT count(*) FROM mf_queue WHERE kind = 'sending' AND due > now())
		+ (SELECT count(*) FROM mf_operation WHERE status = 'sending' AND due > now())}, 0) foreach @cells;

	open my $file, '>', $continue or die "$continue: $!\n";
	close $file;
	kill 'CONT', values %pid;
	return;
}

sub check
{
	my ($cell, $round, $way) = @_;
	my $db = $cell->{db};
	my $here = $cell->{rounds}{$round};
	my $firm = $way =~ $abrupt || $cell->{is} =~ /^(?:made|lost)$/ ? $cell->{is} : '';
	my @rows = rows($cell, $round);
	my @made = $cell->{about} ? () : map { $_->{reference} } $sandbox->remote;
	my @wrong = $cell->{about} ? () : MyFatoorah::History->of($node, $db, $sandbox)->violations(settled => 1, mine => qr/^$db-/);
	my (%requests, %count);

	$requests{$_}++ foreach requests($cell, $round);
	push @wrong, keys(%{ $here->{left} }) . ' requests had left' if $cell->{is} =~ /before|unsent/ && %{ $here->{left} };
	push @wrong, map { "$_ was posted $requests{$_} times" } grep { $requests{$_} > 1 } sort keys %requests;
	push @wrong, @rows . " rows instead of $cell->{rows}" if @rows != $cell->{rows};
	foreach (@rows)
	{
		my ($name, $what, $status, $attempts, $number) = @$_;
		my $row = "$name, $status after $attempts attempts";
		my $kind = $kind{$what};
		my %done = done($cell, $name, $number, \@made);
		my $times = $done{$what};
		my $is_done = $status eq $kind->{done} && $times == 1;
		my $is_firm = $firm eq 'unsent' && !$here->{sending}{$name} ? 'before' : $firm;
		my $posts = grep { /^\Q$name\E\./ } keys %requests;

		$count{$status}++;
		$doubled++, push @wrong, "$row: carried out $times times" if $times > 1;
		push @wrong, "$row: something else was done, too" if sum0(values %done) != $times;
		$lost++, push @wrong, "$row: carried out $times times" if !$is_done && $status ne 'review' && !($status eq $kind->{missing} && $times == 1);

		# the row is as if nothing had been
		push @wrong, "$row: not simply carried out, at the first attempt" if $is_firm eq 'before' && !($is_done && $attempts == 1 && $posts == 1);
		# not sent again blindly: under a new reference, or left to a person
		push @wrong, "$row: not treated as unknown; carried out $times times"
		  if $is_firm =~ /unsent|lost/ && ($status ne $kind->{missing} || $times != ($status eq 'again' ? 1 : 0));
		# one request; of several rows some may not have left when the first one was answered
		push @wrong, "$row: not found again" if $is_firm eq 'made' && !($is_done && ($attempts == 1 || !$here->{left}{$name}));
	}
	push @wrong, 'as follows: ' . sql($db, 'SELECT ' . ($cell->{about} ? 'o.*, i.reference FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice'
		: 'i.reference, i.status, attempt, a.reference, outcome, error FROM mf_invoice i LEFT JOIN mf_attempt a ON a.invoice = i.id') . " WHERE i.customer_reference LIKE '$db-$round.%'") if @wrong;
	$here->{result} = (@wrong ? 'WRONG ' : 'ok ') . "$here->{flying}: " . join ' ', map { $count{$_} . ({ released => 'l', again => 'a' }->{$_} // substr $_, 0, 1) } sort keys %count;
	return is_deeply(\@wrong, [], "$db: $cell->{says}; $way");
}

($lost, $doubled) = (0, 0);
foreach my $round (1 .. @ways)
{
	my $way = $ways[ $round - 1 ];
	my $start = time;

	prepare($round);
	$way eq 'STOP, CONT' ? freeze() : $chaos->strike($node, $way, values %pid);
	$sandbox->clear_faults;

	my $recovered = time;

	$chaos->wait_settled($node, $_->{db}, $limit) foreach @cells;
	note sprintf '%s: %.1f s to prepare and strike, settled after %.1f s', $way, $recovered - $start, time - $recovered;
	check($_, $round, $way) foreach @cells;
}

my @lines = ();
foreach my $about (0, 1)
{
	my @mine = grep { $_->{about} == $about } @cells or next;

	push @lines, sprintf '%-42s' . (' %-13s' x @ways), join(', ', map { "$_->{rows} $_->{name}" } @{ $mine[0]{kinds} }), @ways;
	push @lines, map { my $cell = $_; sprintf '%-42s' . (' %-13s' x @ways), $cell->{says}, map { $cell->{rounds}{$_}{result} } 1 .. @ways } @mine;
}
diag join "\n", 'crash matrix: rows under way: how they ended (s sent, a sent again, f filed, c captured, l released, r review)', @lines,
  scalar(@cells) * @ways . ' cells, ' . sum0(map { map { $_->{flying} } values %{ $_->{rounds} } } @cells) . " rows under way when struck: $lost lost, $doubled doubled";

is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');
$node->stop;
done_testing();
