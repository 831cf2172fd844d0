# kill -9 of the worker, again and again, at random moments, with requests in flight: nothing is lost, nothing doubled.
#
# MF_CHAOS_SEED    the same choices again (printed)
# MF_CHAOS_KILLS   how many (8; make chaos: 100)
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use List::Util ();
use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $seed = $ENV{MF_CHAOS_SEED} || ($$ ^ int(time * 1000)) % 1_000_000;
my $kills = $ENV{MF_CHAOS_KILLS} || 8;
my $per_kill = 120;
my $random = $chaos->random($seed);
my $send = { path => '/v2/SendPayment' };
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '50ms'\nlog_statement = none");

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s', max_in_flight => 20 });
$sandbox->faults({ path => 'SendPayment', delay_ms => 100, times => -1 });
$mf->insert_many($node, 'postgres', 'k', $kills * $per_kill);

my @flying;

foreach (1 .. $kills)
{
	my $pid = $mf->wait_worker($node, 'postgres');
	my $offset = $chaos->log_size($node);

	$sandbox->wait_count($send, $sandbox->count(%$send) + 1 + $random->(50), 10);
	push @flying, $node->safe_psql('postgres', 'SELECT in_flight FROM mf_worker_status') || 0;
	kill 'KILL', $pid or die "no worker\n";
	$chaos->wait_crashed($node, $offset);
}
my $in_work = $chaos->unsettled($node, 'postgres');
my $start = time;

$sandbox->clear_faults;
ok(eval { $chaos->wait_settled($node, 'postgres', MyFatoorah::Sandbox::time_limit() + $kills) }, 'all rows settle') or diag $@;

my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
is_deeply([ $history->violations(settled => 1, committed => [ map { "k-$_" } 1 .. $kills * $per_kill ]) ], [],
	'nothing is lost, nothing is doubled');
is($history->figures->{flagged}, 0, 'no row looks like a duplicate');
cmp_ok(List::Util::sum0(@flying), '>', $kills, 'requests were in flight');
is(scalar(() = slurp_file($node->logfile) =~ /was terminated by signal 9/g), $kills, "$kills kills");
diag "kill -9: seed $seed, $kills kills, in flight: @flying (" . List::Util::sum0(@flying) . ' together)';
diag sprintf 'kill -9: %d unsettled after the last, settled %.1f s later', $in_work, time - $start;
diag 'kill -9: ' . $history->summary;

$node->stop;
done_testing();
