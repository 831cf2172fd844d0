# How long it takes from COMMIT to the first byte of the request at the remote, printed for people to read. Nothing is
# judged but that all arrive: a figure of a busy machine proves nothing. To be run alone:
#   make check SUITES=tap TESTS=t/019_latency.pl
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $n = 200;
my $name = 0;

# fsync on: the flush of the intent is a part of it. The log at its usual level is, too.
my $node = $mf->new_node('main', conf => "fsync = on\nlog_min_messages = warning\nlog_statement = none");

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return $sorted[ $#sorted / 2 ];
}

# One invoice after the other; the next is inserted when the one before has been recorded as sent, so that the worker is
# at rest. The clock is read by the session right before COMMIT; the remote's ledger has the time of the first byte on the
# clock of the same machine.
sub measure
{
	my ($what, %settings) = @_;
	my $session = $mf->session($node, 'postgres');
	my (@to_byte, @to_sent);

	$session->query_safe("SET $_ = '$settings{$_}'") for keys %settings;
	for (1 .. $n)
	{
		my $number = ++$name;
		my $committed = $session->query_safe('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice("n-$number")
			  . '; SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint; COMMIT');
		$session->query_safe("DO \$\$BEGIN WHILE EXISTS (SELECT FROM mf_invoice WHERE customer_reference = 'n-$number' AND status <> 'sent')
			LOOP PERFORM pg_sleep(0.0005); COMMIT; END LOOP; END\$\$");
		push @to_byte, [ $number, $committed ];
	}
	my %sent = map { split /\|/ } split /\n/, $session->query_safe(
		"SELECT customer_reference, (extract(epoch FROM sent_at) * 1000000)::bigint FROM mf_invoice");
	$session->quit;
	my %arrived = map { $_->{reference} =~ /^(n-\d+)\./ ? ($1 => $_->{wall_us}) : () } $sandbox->posts;
	@to_sent = map { $sent{"n-$_->[0]"} - $_->[1] } @to_byte;
	@to_byte = map { $arrived{"n-$_->[0]"} - $_->[1] } @to_byte;
	is(scalar(grep { $_ > 0 } @to_byte), $n, "$what: all arrived, after their COMMIT began");
	diag(sprintf '%s: COMMIT to first byte, median of %d: %.2f ms (95 %%: %.2f ms); to sent: %.2f ms', $what, $n,
		median(@to_byte) / 1000, (sort { $a <=> $b } @to_byte)[ 0.95 * $n ] / 1000, median(@to_sent) / 1000);
	return;
}

measure('single inserts');
measure('synchronous_commit = off', synchronous_commit => 'off');

$node->stop;
done_testing();
