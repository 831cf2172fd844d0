# The crash matrix: every step of sending and of looking up x every way to die, freeze or stop, all in one go: each point
# has a database of its own, whose worker waits there with invoices in hand when the misfortune comes. Afterwards the
# history checker compares tables and ledger, and each cell must have ended as reliability.md section 8 has it.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
#
# MF_CHAOS_POINTS, MF_CHAOS_WAYS   only the points and ways that these regular expressions match
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';

# Rows of a cell: every second is to be mailed, and so goes to review when it cannot be found
my $rows = 4;

# When nothing is wrong any more, everything settles within some 20 seconds: the latest send (5.5), time-out (3), five
# look-ups (82 x 20 ms). A busy machine takes longer.
my $limit = MyFatoorah::Sandbox::time_limit();

# The points. before: nothing may have left; unsent: the attempt is recorded, and nothing may have left; made: there is
# an invoice, so that each row must end with it and without another request; done: the answer is recorded already.
my @points = (
	{ name => 'claimed', says => 'claimed, not yet recorded', kind => 'before' },
	{ name => 'intent_recorded', says => 'attempt recorded, not committed', kind => 'before' },
	{ name => 'round_done', says => 'just before the commit', kind => 'before' },
	{ name => 'intent_committed', says => 'committed, nothing sent', kind => 'unsent' },
	{ name => 'posted', says => 'given to libcurl' },
	{ name => 'held', says => 'request taken, no answer; invoice made', kind => 'made', fault => 'never' },
	{ name => 'lost', says => 'request taken, no answer; no invoice', fault => 'lost' },
	{ name => 'answer_received', says => 'answer received', kind => 'made' },
	{ name => 'outcome_recorded', says => 'outcome recorded, not committed', kind => 'made' },
	{ name => 'outcome_committed', says => 'outcome committed', kind => 'made' },
	{ name => 'look_answered', says => 'look-up answered', failpoint => 'answer_received', kind => 'made', fault => '500' },
	{ name => 'look_recorded', says => 'look-up recorded, not committed', failpoint => 'outcome_recorded', kind => 'made', fault => '500' },
	{ name => 'look_committed', says => 'look-up committed', failpoint => 'outcome_committed', kind => 'made', fault => '500' });

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
	myfatoorah.lookup_delay = '20ms'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql('postgres', "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

my @databases = map { $_->{name} } @points;
my $continue = $node->data_dir . '/myfatoorah.continue';
my (%cell, %pid);

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

sub insert
{
	my ($dbname, $prefix) = @_;

	sql($dbname, qq{INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, notification_option, customer_email)
		SELECT '$prefix', '$prefix.' || n, 1 + n * 0.001, CASE n % 2 WHEN 0 THEN 'EML' ELSE 'LNK' END, 'a\@example.com'
		FROM generate_series(1, $rows) n});
	return;
}

# Every worker to its point, with rows in hand
sub prepare
{
	my ($round) = @_;
	my (%before, %faults);
	my $offset = $chaos->log_size($node);

	# bring the look-ups on their way first: they come seconds later
	$pid{$_} = $mf->wait_worker($node, $_) foreach @databases;
	foreach my $point (grep { ($_->{fault} // '') eq '500' } @points)
	{
		$sandbox->faults({ path => 'SendPayment', reference_prefix => "$point->{name}-$round", status => 500, create => JSON::PP::true, times => -1 });
		insert($point->{name}, "$point->{name}-$round");
		$mf->wait_for($node, $point->{name}, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$point->{name}-$round.%' AND status = 'unknown'", $rows);
		arm($point->{name}, $point->{failpoint});
	}
	foreach my $point (grep { !$_->{fault} } @points)
	{
		# or a round without rows gets there first; twice, because on a busy machine a worker may just be waiting for its turn
		if (($point->{kind} // '') eq 'before')
		{
			# what was sent again under a new reference is still looked up from time to time
			$mf->wait_for($node, $point->{name}, q{SELECT count(*) FROM mf_queue WHERE due < now() + interval '5 s'}, 0);
			$mf->wait_idle($node, $point->{name}) for 1 .. 2;
		}
		arm($point->{name}, $point->{name});
		insert($point->{name}, "$point->{name}-$round");
	}
	foreach my $point (grep { ($_->{fault} // '') !~ /never|lost/ } @points)
	{
		my $failpoint = $point->{failpoint} // $point->{name};

		$chaos->wait_log($node, qr/\[$pid{$point->{name}}\].*failpoint "$failpoint" reached/, $offset);
	}

	# last, because these time out
	foreach my $point (grep { ($_->{fault} // '') =~ /never|lost/ } @points)
	{
		$sandbox->faults({ path => 'SendPayment', reference_prefix => "$point->{name}-$round", never => JSON::PP::true, times => $rows,
			create => $point->{fault} eq 'never' ? JSON::PP::true : JSON::PP::false });
		insert($point->{name}, "$point->{name}-$round");
	}
	foreach my $point (grep { ($_->{fault} // '') =~ /never|lost/ } @points)
	{
		foreach my $reference (split /\n/, sql($point->{name}, "SELECT reference FROM mf_invoice WHERE customer_reference LIKE '$point->{name}-$round.%'"))
		{
			$sandbox->wait_count({ path => '/v2/SendPayment', reference => $reference }, 1) or die "$reference was not sent\n";
		}
	}

	# what is in flight, and what left, at this moment
	my @posts = $sandbox->posts;
	foreach my $point (@points)
	{
		my $cell = $cell{ $point->{name} }{$round} = { mark => 0 };

		$cell->{left} = grep { $_->{reference} =~ /^$point->{name}-$round\./ } @posts;
		$cell->{flying} = sql($point->{name}, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$point->{name}-$round.%'
			AND status IN ('queued', 'sending', 'unknown')");
		$cell->{free} = sql($point->{name}, q{SELECT count(*) FROM (SELECT FROM mf_queue WHERE kind = 'send' FOR UPDATE SKIP LOCKED) s});
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
		$mf->wait_for($node, $_, q{SELECT count(*) FROM mf_queue WHERE kind = 'sending' AND due > now()}, 0) foreach @databases;

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

sub check
{
	my ($round, $way, $seconds) = @_;

	foreach my $point (@points)
	{
		my $name = $point->{name};
		my $cell = $cell{$name}{$round};
		my $like = "customer_reference LIKE '$name-$round.%'";
		my $history = MyFatoorah::History->of($node, $name, $sandbox);
		my @wrong = $history->violations(settled => 1, mine => qr/^$name-/);
		my $count = sub { sql($name, "SELECT count(*) FROM mf_invoice i WHERE $like AND $_[0]") };
		my $posts = grep { ($_->{reference} // '') =~ /^$name-$round\./ } @{ $history->{posts} };
		my $is_firm = $way->{abrupt} && $point->{kind} ? $point->{kind} : ($point->{kind} // '') eq 'made' ? 'made' : '';

		$cell->{result} = sql($name, "SELECT string_agg(n || ' ' || status, ', ' ORDER BY status) FROM
			(SELECT CASE WHEN reference LIKE '%~%' THEN 'resent' ELSE status END AS status, count(*) AS n FROM mf_invoice WHERE $like GROUP BY 1) s");
		push @wrong, "$cell->{left} requests had left" if ($point->{kind} // '') =~ /before|unsent/ && $cell->{left};
		push @wrong, "$cell->{free} rows were not in hand" if ($point->{kind} // '') eq 'before' && $cell->{free};
		push @wrong, 'rows are missing' if $count->('true') != $rows;

		# the row is as if nothing had been
		push @wrong, 'not simply sent, at the first attempt'
		  if $is_firm eq 'before' && ($count->(q{status = 'sent' AND attempts = 1}) != $rows || $posts != $rows);
		# not sent again blindly: the links under a new reference, the mails are left to a person
		push @wrong, 'was not treated as unknown'
		  if $is_firm eq 'unsent' && $count->(q{status = CASE notification_option WHEN 'LNK' THEN 'sent' ELSE 'review' END
			AND (SELECT outcome FROM mf_attempt a WHERE a.invoice = i.id AND a.attempt = 1) = 'unknown'}) != $rows;
		# one request, one invoice
		push @wrong, "the invoices were not found again: $posts requests"
		  if $is_firm eq 'made' && ($posts != $rows || $count->(q{status = 'sent' AND attempts = 1}) != $rows);

		push @wrong, 'as follows: ' . sql($name, "SELECT i.reference, i.status, attempt, a.reference, outcome, error FROM mf_invoice i
			LEFT JOIN mf_attempt a ON a.invoice = i.id WHERE $like ORDER BY id, attempt") if @wrong;
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

	$chaos->wait_settled($node, $_, $limit) foreach @databases;
	note sprintf '%s: %.1f s to prepare and strike, settled after %.1f s', $way->{name}, $recovered - $start, time - $recovered;
	check($round, $way);
}

my $flying = 0;
my @lines = (sprintf '%-40s' . (' %-13s' x @ways), 'where', map { $_->{name} } @ways);

foreach my $point (@points)
{
	push @lines, sprintf '%-40s' . (' %-13s' x @ways), $point->{says}, map {
		my $cell = $cell{ $point->{name} }{$_};

		$flying += $cell->{flying};
		(@{ $cell->{wrong} } ? 'WRONG ' : 'ok ') . "$cell->{flying}: " . $cell->{result} =~ s/(\d+) (\w)\w*,? ?/$1$2 /gr
	} 1 .. @ways;
}
diag join "\n", 'crash matrix: rows in flight: how they ended (s sent, r resent or review)', @lines,
  scalar(@points) * @ways . " cells, $flying rows in flight when struck";

is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');
$node->stop;
done_testing();
