# The crash matrix of money back: every step of a refund, a capture and a release, and of looking one up, x every way to die,
# freeze or stop, in one go: each point has a database of its own, whose worker waits there with rows in hand when the
# misfortune comes. Afterwards the stand-in's books decide: none may be lost, and none may have been carried out twice.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
#
# MF_CHAOS_POINTS, MF_CHAOS_WAYS   only the points and ways that these regular expressions match
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use List::Util qw(sum0);
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';

# When nothing is wrong any more, everything settles within some 20 seconds: the latest send (5.5), time-out (4), five
# look-ups. A busy machine takes longer.
my $limit = MyFatoorah::Sandbox::time_limit();

# The kinds, with how many rows a cell has of each, what the stand-in is asked for, and how a row ends that was carried out
my @kinds = (
	{ name => 'refund', rows => 2, path => '/v2/MakeRefund', done => 'filed' },
	{ name => 'capture', rows => 1, path => '/v2/UpdatePaymentStatus', done => 'captured' },
	{ name => 'release', rows => 1, path => '/v2/UpdatePaymentStatus', done => 'released' });

# The points. before: nothing may have left; unsent: the attempt is recorded, and nothing may have left; made: it was carried
# out, so that each row must end with that and without another request; lost: it was not, and nobody told us.
my @points = (
	{ name => 'operation_claimed', says => 'claimed, not yet recorded', kind => 'before' },
	{ name => 'operation_intent_recorded', says => 'attempt recorded, not committed', kind => 'before' },
	{ name => 'intent_committed', says => 'committed, nothing sent', kind => 'unsent' },
	{ name => 'posted', says => 'given to libcurl' },
	{ name => 'held', says => 'request taken, no answer; carried out', kind => 'made', fault => 'never' },
	{ name => 'lost', says => 'request taken, no answer; not carried out', kind => 'lost', fault => 'never' },
	{ name => 'answer_received', says => 'answer received', kind => 'made' },
	{ name => 'operation_recorded', says => 'outcome recorded, not committed', kind => 'made' },
	{ name => 'outcome_committed', says => 'outcome committed', kind => 'made' },
	{ name => 'operation_settled', says => 'look-up recorded, not committed', kind => 'made', fault => '500' });

# The ways. abrupt: the worker does not execute another instruction.
my @ways = (
	{ name => 'KILL worker', abrupt => 1 },
	{ name => 'KILL backend', abrupt => 1 },
	{ name => 'KILL postm.' },
	{ name => 'immediate', abrupt => 1 },
	{ name => 'fast' },
	{ name => 'STOP, CONT' });

@points = grep { $_->{name} =~ /^(?:$ENV{MF_CHAOS_POINTS})$/ } @points if $ENV{MF_CHAOS_POINTS};
@ways = grep { $_->{name} =~ /$ENV{MF_CHAOS_WAYS}/ } @ways if $ENV{MF_CHAOS_WAYS};

my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'chaos.conf'
	myfatoorah.retry_delay = '50ms'
	myfatoorah.lookup_delay = '20ms'
	myfatoorah.poll_delay = '1h'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql('postgres', "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

my @databases = map { $_->{name} } @points;
my $continue = $node->data_dir . '/myfatoorah.continue';
my (%cell, %pid);

# What is not decided yet; a capture is done only when MyFatoorah shows it
my $open = q{(status IN ('queued', 'sending', 'unknown') OR (kind <> 'refund' AND status = 'filed'))};

foreach (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $_");
	$mf->setup_account($node, $_, $sandbox,
		options => { connect_timeout => '500ms', timeout => /^(?:held|lost)$/ ? '4s' : '1s' });
}

sub sql
{
	return $node->safe_psql(@_);
}

sub append_conf
{
	my ($line) = @_;
	my $path = $node->data_dir . '/chaos.conf';

	open my $file, '>', "$path.new" or die "$path: $!\n";
	print $file "$line\n";
	close $file;
	rename "$path.new", $path or die "$path: $!\n";
	return;
}

# The worker of that database, and no other, gets that failpoint: only it is told to read the configuration.
sub arm
{
	my ($dbname, $failpoint) = @_;
	my $offset = $chaos->log_size($node);

	# a missing file is mentioned in the log: so we see that it was read
	append_conf("myfatoorah.failpoint = '$failpoint'\ninclude_if_exists = 'armed'");
	kill 'HUP', $pid{$dbname} or die "no worker for $dbname\n";
	$chaos->wait_log($node, qr/\[$pid{$dbname}\].*skipping missing configuration file ".*armed"/, $offset);
	append_conf('');
	return;
}

# Invoices for all rounds, named POINT-ROUND.KIND.N, paid or authorised
foreach my $dbname (@databases)
{
	my $names = join ',', map { my $kind = $_; map { my $round = $_; map { "('$dbname-$round.$kind->{name}.$_')" } 1 .. $kind->{rows} } 1 .. @ways } @kinds;

	sql($dbname, "INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, processing_details)
		SELECT 'matrix', name, 10, CASE WHEN name !~ 'refund' THEN '{\"AutoCapture\": false}'::jsonb END FROM (VALUES $names) v (name)");
}
foreach my $dbname (@databases)
{
	$mf->wait_for($node, $dbname, q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
	$sandbox->invoice($_, 'pay') foreach split /\n/, sql($dbname, 'SELECT invoice_id FROM mf_invoice ORDER BY id');
	sql($dbname, 'SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice))');
	$mf->wait_for($node, $dbname, q{SELECT count(*) FROM mf_invoice WHERE NOT EXISTS (SELECT FROM mf_transaction t WHERE t.invoice = mf_invoice.id)}, 0);
}

# Asks for what a round of a database is about
sub ask
{
	my ($dbname, $round) = @_;

	my %statement = (
		refund => 'INSERT INTO mf_refund (invoice, value) SELECT id, 2.5 FROM mf_invoice',
		capture => q{SELECT mf_capture(id, 4, 'matrix') FROM mf_invoice},
		release => q{SELECT mf_release(id, 'matrix') FROM mf_invoice});

	sql($dbname, join ' ', 'BEGIN;', (map { "$statement{ $_->{name} } WHERE customer_reference LIKE '$dbname-$round.$_->{name}.%';" } @kinds), 'COMMIT;');
	return;
}

# The requests about the invoices of a round
sub requests
{
	my ($name, $round) = @_;

	return grep { $_->{reference} =~ /^$name-$round\./ } map { $sandbox->posts($_) } '/v2/MakeRefund', '/v2/UpdatePaymentStatus';
}

sub faulty { return map { { path => $_, reference_prefix => "$_[0]-$_[1].", times => -1, %{ $_[2] } } } 'MakeRefund', 'UpdatePaymentStatus'; }

# Every worker to its point, with rows in hand
sub prepare
{
	my ($round) = @_;
	my $offset = $chaos->log_size($node);

	$pid{$_} = $mf->wait_worker($node, $_) foreach @databases;
	foreach my $point (@points)
	{
		my ($name, $fault) = ($point->{name}, $point->{fault} // '');

		$sandbox->faults(faulty($name, $round, { status => 500, create => JSON::PP::true })) if $fault eq '500';
		$sandbox->faults(faulty($name, $round, { never => JSON::PP::true, create => $point->{kind} eq 'made' ? JSON::PP::true : JSON::PP::false })) if $fault eq 'never';
		$mf->wait_idle($node, $name) for 1 .. 2;
		arm($name, $name) if $fault ne 'never';
	}
	# last, those that time out
	ask($_->{name}, $round) foreach sort { ($a->{fault} // '') cmp ($b->{fault} // '') } @points;
	foreach my $point (@points)
	{
		my $name = $point->{name};

		if (($point->{fault} // '') eq 'never')
		{
			$chaos->until_true("requests of $name", sub { requests($name, $round) == sum0(map { $_->{rows} } @kinds) });
		}
		else
		{
			$chaos->wait_log($node, qr/\[$pid{$name}\].*failpoint "$name" reached/, $offset);
		}
		$cell{$name}{$round} = {
			# with few slots, some rows may still wait for their turn
			sending => { map { $_ => 1 } split /\n/, sql($name, q{SELECT i.reference FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice WHERE o.status = 'sending'}) },
			left => { map { $_->{reference} => 1 } requests($name, $round) },
			flying => sql($name, "SELECT count(*) FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice
				WHERE i.customer_reference LIKE '$name-$round.%' AND ${\($open =~ s/status|kind/o.$&/gr)}") };
	}
	return;
}

# The misfortunes
sub strike
{
	my ($way) = @_;

	if ($way eq 'KILL worker')
	{
		$chaos->kill_processes($node, values %pid);
	}
	elsif ($way eq 'KILL backend')
	{
		$chaos->kill_backend($node);
	}
	elsif ($way eq 'KILL postm.')
	{
		$chaos->kill_postmaster($node);
	}
	elsif ($way eq 'STOP, CONT')
	{
		kill 'STOP', values %pid;
		$mf->wait_for($node, $_, q{SELECT count(*) FROM mf_operation WHERE status = 'sending' AND due > now()}, 0) foreach @databases;

		open my $file, '>', $continue or die "$continue: $!\n";
		close $file;
		kill 'CONT', values %pid;
	}
	else
	{
		$node->stop($way);
		$node->start;
	}
	return;
}

# What is left undecided ends within the limit
sub settle
{
	my ($dbname) = @_;
	my $deadline = time + $limit;

	for (;;)
	{
		my ($code, $left) = $node->psql($dbname, "SELECT count(*) FROM mf_operation WHERE $open", timeout => 30);

		return if $code == 0 && $left eq '0';
		die "$dbname has not settled after $limit s:\n" . sql($dbname, "SELECT * FROM mf_operation WHERE $open") . "\n" if time > $deadline;
		Time::HiRes::sleep(0.1);
	}
}

# What the stand-in did for an invoice: refunds, captures, releases by one word each
sub done_by
{
	my ($invoice) = @_;
	my @tries = grep { $_->{by_merchant} } @{ $sandbox->invoice($invoice)->{transactions} };

	return (refund => scalar($sandbox->refunds(invoice => $invoice)), capture => scalar(grep { $_->{status} eq 'Succss' } @tries),
		release => scalar(grep { $_->{status} eq 'Canceled' } @tries));
}

my ($lost, $doubled) = (0, 0);

sub check
{
	my ($round, $way) = @_;

	foreach my $point (@points)
	{
		my $name = $point->{name};
		my $cell = $cell{$name}{$round};
		my @wrong;
		my %requests;
		my %count;

		$requests{ $_->{reference} }++ foreach requests($name, $round);
		my $firm = $way->{abrupt} && $point->{kind} ? $point->{kind} : ($point->{kind} // '') =~ /^(?:made|lost)$/ ? $point->{kind} : '';

		push @wrong, keys(%{ $cell->{left} }) . ' requests had left' if ($point->{kind} // '') =~ /before|unsent/ && %{ $cell->{left} };
		foreach my $row (split /\n/, sql($name, "SELECT i.reference, i.customer_reference, i.invoice_id, o.kind, o.status, o.attempts FROM mf_operation o
			JOIN mf_invoice i ON i.id = o.invoice WHERE i.customer_reference LIKE '$name-$round.%' AND o.reference IS NOT NULL ORDER BY o.id"))
		{
			my ($reference, $ours, $invoice, $what, $status, $attempts) = split /\|/, $row;
			my ($kind) = grep { $_->{name} eq $what } @kinds;
			my %did = done_by($invoice);
			my $times = $did{$what};
			my $sent = $requests{$reference} // 0;
			my $is_done = $status eq $kind->{done};
			my $is_firm = $firm;

			$count{$status}++;
			$doubled++, push @wrong, "$row was carried out $times times" if $times > 1;
			push @wrong, "$row: something else was done, too" if sum0(values %did) != $times;
			$lost++, push @wrong, "$row: it ended as $status, and was carried out $times times"
			  if $status ne 'review' && !($is_done && $times == 1);
			push @wrong, "$row: $sent requests" if $sent > 1;
			$is_firm = 'before' if $is_firm eq 'unsent' && !$cell->{sending}{$reference};
			push @wrong, "$row: not simply carried out, at the first attempt" if $is_firm eq 'before' && !($is_done && $attempts == 1 && $sent == 1);
			push @wrong, "$row: not left to a person" if $is_firm =~ /unsent|lost/ && ($status ne 'review' || $times);
			# of several rows some may not have left when the first one was answered
			push @wrong, "$row: not found again" if $is_firm eq 'made' && !($is_done && ($attempts == 1 || !$cell->{left}{$reference}));
		}
		push @wrong, 'rows are missing' if sum0(values %count) != sum0(map { $_->{rows} } @kinds);
		$cell->{result} = join ' ', map { $count{$_} . ($_ eq 'released' ? 'l' : substr $_, 0, 1) } sort keys %count;
		$cell->{wrong} = \@wrong;
		is_deeply(\@wrong, [], "$point->{says}; $way->{name}");
	}
	return;
}

my $round = 0;

foreach my $way (@ways)
{
	my $start = time;

	prepare(++$round);
	strike($way->{name});
	$sandbox->clear_faults;

	my $recovered = time;

	settle($_) foreach @databases;
	note sprintf '%s: %.1f s to prepare and strike, settled after %.1f s', $way->{name}, $recovered - $start, time - $recovered;
	check($round, $way);
}

my $flying = 0;
my @lines = (sprintf '%-42s' . (' %-13s' x @ways), 'where', map { $_->{name} } @ways);

foreach my $point (@points)
{
	push @lines, sprintf '%-42s' . (' %-13s' x @ways), $point->{says}, map {
		my $cell = $cell{ $point->{name} }{$_};

		$flying += $cell->{flying};
		(@{ $cell->{wrong} } ? 'WRONG ' : 'ok ') . "$cell->{flying}: $cell->{result}"
	} 1 .. @ways;
}
diag join "\n", 'crash matrix of ' . join(', ', map { "$_->{name}s" } @kinds) . ': rows in flight: how they ended (f filed, c captured, l released, r review)', @lines,
  scalar(@points) * @ways . " cells, $flying rows in flight when struck: $lost lost, $doubled doubled";

is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');
$node->stop;
done_testing();
