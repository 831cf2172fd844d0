# send_at: never before its time, always after, whatever happens in between; and a backlog of a worker that was off.
use MyFatoorah::Test;
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };

$mf->setup_account($node, 'postgres', $sandbox);
$node->safe_psql('postgres', 'CREATE DATABASE other');
$mf->setup_account($node, 'other', $sandbox);
$mf->wait_worker($node, 'postgres');
$mf->wait_worker($node, 'other');

# The request for the invoice of that name, undef if there was none.
sub post_of
{
	my ($name) = @_;
	my ($post) = grep { $_->{reference} =~ /^\Q$name\E\./ } $sandbox->posts;

	return $post;
}

# Waits until it is sent, and compares the time at which the request came in with its send_at.
sub sent_in_time
{
	my ($name, $what) = @_;

	$mf->wait_status($node, 'postgres', $name);
	my $due = $node->safe_psql('postgres',
		"SELECT (extract(epoch FROM send_at) * 1000000)::bigint FROM mf_invoice WHERE customer_reference = '$name'");
	my $late = (post_of($name)->{wall_us} - $due) / 1e6;

	# An early request is wrong by any time at all; a late one is judged mildly, for slow machines.
	cmp_ok($late, '>=', 0, "$what: not before send_at");
	cmp_ok($late, '<', 30, "$what: soon after it");
	diag(sprintf '%s: %.1f ms after send_at', $what, 1000 * $late);
	return;
}

# Waits until the clock of this machine has passed a row's send_at.
sub wait_until_due
{
	my ($name) = @_;

	$mf->wait_for($node, 'postgres', "SELECT clock_timestamp() > send_at FROM mf_invoice WHERE customer_reference = '$name'");
	return;
}

sub in_seconds
{
	my ($seconds) = @_;

	return (send_at => "clock_timestamp() + interval '$seconds s'");
}

# Inserts an invoice that is due in three seconds, and goes on in the same session: a new one may take longer than that.
sub insert_and
{
	my ($name, $sql) = @_;

	$node->safe_psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice($name, in_seconds(3)) . "; $sql");
	return;
}

# In the future: the worker, at rest, comes back by its own alarm. Another row later than it must not hold the alarm.
$mf->insert($node, 'postgres', 'far', in_seconds(3600));
$mf->insert($node, 'postgres', 'near', in_seconds(3));
$mf->insert($node, 'postgres', 'now');
$mf->wait_status($node, 'postgres', 'now');
sent_in_time('near', 'by the alarm');

# Several, in their order
$mf->insert_many($node, 'postgres', 'series', 20, send_at => "clock_timestamp() + n * interval '100 ms'");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'series-%' AND status = 'sent'", 20);
my %posted = map { $_->{reference} => $_->{wall_us} } $sandbox->posts;
my @early = grep { my ($reference, $due) = split /\|/; $posted{$reference} < $due }
  split /\n/, $node->safe_psql('postgres',
	"SELECT reference, (extract(epoch FROM send_at) * 1000000)::bigint FROM mf_invoice WHERE customer_reference LIKE 'series-%'");
is_deeply(\@early, [], 'none of twenty in a row was early');

# UPDATE of send_at: earlier, with the worker at rest, so that only this wake-up can make it look; and later
foreach my $case ([ 'moved to now', 'now()' ], [ 'moved nearer', "clock_timestamp() + interval '1500 ms'" ])
{
	my ($what, $send_at) = @$case;

	$mf->insert($node, 'postgres', $what, in_seconds(3600));
	$mf->wait_idle($node, 'postgres');
	$node->safe_psql('postgres', "UPDATE mf_invoice SET send_at = $send_at WHERE customer_reference = '$what'");
	sent_in_time($what, $what);
}
insert_and('later', q{UPDATE mf_invoice SET send_at = clock_timestamp() + interval '1 h' WHERE customer_reference = 'later'});
$mf->insert($node, 'postgres', 'after later', in_seconds(3));
sent_in_time('after later', 'a marker behind the first time of the one moved away');
is($mf->status($node, 'postgres', 'later'), 'queued', 'the row moved away waits');

# An UPDATE that is rolled back moves nothing
insert_and('not moved', q{BEGIN; UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'not moved'; ROLLBACK});
sent_in_time('not moved', 'UPDATE rolled back');

# Across a restart: due after it, and due while the server is down
$mf->insert($node, 'postgres', 'after restart', in_seconds(5));
$node->restart;
sent_in_time('after restart', 'across a restart');
$mf->insert($node, 'postgres', 'while down', in_seconds(2));
my $due = time + 2;    # no earlier than the row's
$node->stop;
note('the machine is too slow: it was due before the server was down') if time >= $due;
select(undef, undef, undef, 0.05) while time < $due;
$node->start;
sent_in_time('while down', 'due while the server was down');

# The worker of one database off: another's marker goes through meanwhile, and off it stays over a restart
my $before = $sandbox->count(%$send);
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($node, 'postgres');
$mf->insert_many($node, 'postgres', 'backlog', 280, send_at => "'2000-01-01'::timestamptz - n * interval '1 d'");
$mf->insert_many($node, 'postgres', 'moved', 3, send_at => "'2100-01-01'");
$node->safe_psql('postgres', "UPDATE mf_invoice SET send_at = '1999-01-01' WHERE customer_reference LIKE 'moved-%'");
$mf->insert($node, 'postgres', 'first', priority => 1);
# last, because each of the others stands in the order of its insertion
$mf->insert_many($node, 'postgres', 'soon', 20, send_at => "now() + interval '3 s' - n * interval '20 ms'");
$mf->insert($node, 'other', 'marker 1');
$mf->wait_status($node, 'other', 'marker 1');
$node->restart;
$mf->insert($node, 'other', 'marker 2');
$mf->wait_status($node, 'other', 'marker 2');
is($sandbox->count(%$send), $before + 2, 'nothing is sent while the worker is off');
wait_until_due('soon-1');
is($mf->worker_pid($node, 'postgres'), '', 'and no worker is running');
is($node->safe_psql('postgres', "SELECT kind, invoices, due_invoices FROM mf_backlog"), 'send|306|304',
	'mf_backlog shows what waits');

# One request at a time shows the order in which they leave: the earliest send_at first, but none gets ahead of others by
# a send_at before its insertion; a step of priority is worth ten minutes.
$node->safe_psql('postgres', 'ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight $$1$$)');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET myfatoorah.worker_enabled');
ok($sandbox->wait_count($send, $before + 2 + 304), 'switched on again, it sends the backlog');
my @names = $sandbox->names;
@names = @names[ $before + 2 .. $#names ];
is_deeply(\@names, [ 'first', (map { "backlog-$_" } 1 .. 280), (map { "moved-$_" } 1 .. 3), map { "soon-$_" } reverse 1 .. 20 ], 'in the order of priority and send_at');

# Off and on by postgresql.conf and reload
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_queue WHERE kind = 'sending'", 0);
$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = off');
$node->reload;
$mf->wait_no_worker($node, 'postgres');
$mf->wait_no_worker($node, 'other');
$mf->insert($node, 'postgres', 'by reload');
$node->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
$node->reload;
$mf->wait_status($node, 'postgres', 'by reload');
pass('switched off and on by reload');
$mf->insert($node, 'other', 'marker 3');
$mf->wait_status($node, 'other', 'marker 3');

is_deeply([ sort map { (split /\|/)[0] } split /\n/,
		$node->safe_psql('postgres', "SELECT customer_reference FROM mf_invoice WHERE status <> 'sent'") ],
	[ 'far', 'later' ], 'only what is not due is left');
is_deeply([ $mf->problems($node, 'postgres', $sandbox, others => 1) ], [], 'rows, attempts and ledger agree');
is_deeply([ $mf->problems($node, 'other', $sandbox, others => 1) ], [], 'in the other database too');

$node->stop;
done_testing();
