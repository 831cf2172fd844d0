# The crash matrix of POST /v3/payments: each step of the first request and of the one that is repeated for the link x ways
# to die. Afterwards each row has one invoice and its link, by the stand-in's ledger, and the history checker finds nothing.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check).
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $v3 = '/v3/payments';
my $rows = 4;

# When nothing is wrong any more, everything settles within some 30 seconds: the latest send (5.5), time-out (1), look-ups,
# three repetitions of that. A busy machine takes longer.
my $limit = MyFatoorah::Sandbox::time_limit();

my @points = qw(claimed intent_recorded round_done intent_committed posted answer_received outcome_recorded outcome_committed);
my @ways = ('KILL worker', 'KILL backend', 'immediate', 'KILL postm.');

my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "include_if_exists = 'chaos.conf'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '1h'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql('postgres', "LOAD 'myfatoorah'; SHOW myfatoorah.failpoint") != 0;

# A database for each point, and for each of the two requests
my @cells = map { my $point = $_; map { { db => "${_}_$point", phase => $_, point => $point } } 'first', 'again' } @points;
my %pid;

foreach my $cell (@cells)
{
	$node->safe_psql('postgres', "CREATE DATABASE $cell->{db}");
	$mf->setup_account($node, $cell->{db}, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
	$cell->{ok} = $node->safe_psql($cell->{db}, q{SELECT ok FROM mf_probe_idempotency() WHERE step = 'result'});
}
is(scalar(grep { $_->{ok} ne 't' } @cells), 0, 'all accounts are proved');

sub insert
{
	my ($cell, $name) = @_;

	$node->safe_psql($cell->{db}, qq{INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) SELECT 'x', '$name.' || n, 1 + n * 0.001 FROM generate_series(1, $rows) n});
	return;
}

foreach my $round (0 .. $#ways)
{
	my $way = $ways[$round];

	$pid{ $_->{db} } = $mf->wait_worker($node, $_->{db}) foreach @cells;

	# the repeated ones first: their answers are lost, and what is to be repeated waits for its failpoint
	foreach my $cell (grep { $_->{phase} eq 'again' } @cells)
	{
		my $name = "$cell->{db}-$round";

		$sandbox->faults({ path => $v3, reference_prefix => "$name.", create => JSON::PP::true, times => $rows, cut_answer_at => 0 });
		insert($cell, $name);
		$mf->wait_for($node, $cell->{db}, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$name.%' AND status = 'unknown'", $rows);
		$node->safe_psql($cell->{db}, "UPDATE mf_queue SET due = 'infinity', rank = 'infinity'");
	}
	my $offset = $chaos->log_size($node);
	foreach my $cell (@cells)
	{
		$mf->wait_idle($node, $cell->{db}) for 1 .. 2;
		if ($cell->{phase} eq 'again')
		{
			# as the look-up of the worker leaves it, so that the next thing to come is the repeated request
			$node->safe_psql($cell->{db}, q{UPDATE mf_attempt a SET found_at = clock_timestamp(),
				invoice_id = (SELECT s.invoice_id FROM mf_payment_status(a.reference, 'CustomerReference') s)
				FROM mf_invoice i WHERE i.id = a.invoice AND i.status = 'unknown'});
			$chaos->arm($node, $pid{ $cell->{db} }, $cell->{point});
			$node->safe_psql($cell->{db}, q{UPDATE mf_queue SET kind = 'replay', due = now(), rank = now(); SELECT mf_resume()});
		}
		else
		{
			$chaos->arm($node, $pid{ $cell->{db} }, $cell->{point});
			insert($cell, "$cell->{db}-$round");
		}
	}
	foreach my $cell (@cells)
	{
		$chaos->wait_failpoint($node, $pid{ $cell->{db} }, $cell->{point}, $offset);
	}
	$chaos->strike($node, $way, values %pid);
	$sandbox->clear_faults;
	$chaos->wait_settled($node, $_->{db}, $limit) foreach @cells;
	foreach my $cell (@cells)
	{
		my $like = "customer_reference LIKE '$cell->{db}-$round.%'";
		my @wrong = MyFatoorah::History->of($node, $cell->{db}, $sandbox)->violations(settled => 1, mine => qr/^\Q$cell->{db}\E-/);
		my $linked = $node->safe_psql($cell->{db}, "SELECT count(*) FROM mf_invoice WHERE $like AND status = 'sent' AND invoice_url IS NOT NULL AND NOT duplicate_suspected");
		my $repeated = $node->safe_psql($cell->{db}, "SELECT count(repeats) FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE $like");

		push @wrong, "$linked of $rows have their links" if $linked != $rows;
		is_deeply(\@wrong, [], "$cell->{phase}, $cell->{point}; $way: $linked links, $repeated repeated");
	}
}
is_deeply([ slurp_file($node->logfile) =~ /^.*(?:TRAP:|PANIC|terminated by signal (?!9)).*$/mg ], [], 'no process crashed but those killed');
$node->stop;
done_testing();
