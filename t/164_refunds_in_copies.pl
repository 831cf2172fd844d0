# A copy refunds nothing again: a restored dump, a subscriber, a promoted standby. What was queued is looked up there, and a
# person decides about what is not found.
use MyFatoorah::Test;

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $make = { path => '/v2/MakeRefund' };
my $conf = "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'";
my %quick = (options => { connect_timeout => '500ms', timeout => '1s' });
my $node = $mf->new_node('main', init => { allows_streaming => 'logical' }, conf => $conf);

$mf->setup_account($node, 'postgres', $sandbox, %quick);
$mf->wait_worker($node, 'postgres');

# An invoice that was sent and paid
sub paid
{
	my ($name) = @_;

	return ($mf->settle($node, 'postgres', $sandbox, $name, 'pay'))[0];
}

sub refund
{
	my ($invoice, $value) = @_;

	return $node->safe_psql('postgres', "INSERT INTO mf_refund (invoice, value) VALUES ($invoice, $value) RETURNING id");
}

sub states
{
	my ($where, $db) = @_;

	return $where->safe_psql($db, q{SELECT string_agg(value || ' ' || status, ', ' ORDER BY id) FROM mf_refund});
}

# The worker of that database has had a look since
sub looked
{
	my ($where, $db) = @_;
	my $before = $where->safe_psql($db, 'SELECT transactions FROM mf_worker_status');

	$where->safe_psql($db, q{SELECT mf_resume('myfatoorah')});
	$mf->wait_for($where, $db, "SELECT transactions > $before FROM mf_worker_status");
	return $mf->wait_idle($where, $db);
}

my ($one, $two, $three) = map { paid($_) } 'one', 'two', 'three';

#
# One that is filed, one that is unknown, two that are queued
#
refund($one, 1);
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 1}, 'filed');
$sandbox->faults({ path => 'MakeRefund', never => JSON::PP::true, create => JSON::PP::true });
$sandbox->account(refund_hidden_ms => 600_000);
refund($two, 2);
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 2}, 'unknown');
$node->safe_psql('postgres', 'SELECT mf_pause()');
$sandbox->account(refund_hidden_ms => 0);
refund($three, 3);
refund($three, 4);
is(states($node, 'postgres'), '1 filed, 2 unknown, 3 queued, 4 queued', 'refunds in all states');
my $requests = $sandbox->count(%$make);
is($requests, 2, 'and two requests');

# Of each kind one copy
my $subscriber = $mf->new_node('subscriber', init => { allows_streaming => 'logical' }, conf => $conf);
$mf->setup_account($subscriber, 'postgres', $sandbox, %quick);
$node->safe_psql('postgres', 'CREATE PUBLICATION pub FOR ALL TABLES');
$subscriber->safe_psql('postgres', sprintf "CREATE SUBSCRIPTION sub CONNECTION 'host=%s port=%s dbname=postgres' PUBLICATION pub", $node->host, $node->port);
$subscriber->wait_for_subscription_sync($node, 'sub');
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$mf->write_key($standby, $sandbox->key);
$standby->start;
$node->wait_for_catchup($standby);
$standby->stop;
# it will not hear of what the primary does from now on
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), $dump ], 'which is restored');

is(states($subscriber, 'postgres'), '1 filed, 2 unknown, 3 queued, 4 queued', 'the subscriber has them');
is(states($node, 'restored'), '1 filed, 2 unknown, 3 queued, 4 queued', 'and the restored database');
$mf->wait_worker($node, 'restored');
is($node->safe_psql('restored', q{SELECT count(*) FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL}), 1, 'which is paused');
# as if nobody had
$_->[0]->safe_psql($_->[1], q{DELETE FROM mf_account}) for [ $subscriber, 'postgres' ], [ $node, 'restored' ];
looked($subscriber, 'postgres');
looked($node, 'restored');
is($sandbox->count(%$make), $requests, 'neither asks for a refund, not even if nothing is paused');

#
# The original carries out one of the two, and cancels the other.
#
$node->safe_psql('postgres', q{DROP PUBLICATION pub; SELECT mf_cancel_refund(id) FROM mf_refund WHERE value = 4; SELECT mf_resume()});
$mf->wait_for($node, 'postgres', q{SELECT status FROM mf_refund WHERE value = 3}, 'filed');
is($sandbox->count(%$make), $requests + 1, 'the original does');

$standby->start;
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub');
# sequences are not replicated
$subscriber->safe_psql('postgres', q{SELECT setval(oid::regclass, 1000000) FROM pg_class WHERE relkind = 'S' AND relname LIKE 'mf_%'});
$standby->promote;
$mf->wait_worker($standby, 'postgres');
for my $copy ([ $node, 'restored', 'restored' ], [ $subscriber, 'postgres', 'subscriber' ], [ $standby, 'postgres', 'promoted' ])
{
	my ($where, $db, $what) = @$copy;

	$where->safe_psql($db, q{SELECT mf_resume('*')});
	is($where->safe_psql($db, q{SELECT count(*) FROM mf_refund WHERE status IN ('queued', 'sending')}), 0, "$what: nothing is queued any more");
	# the worker waits for as long as the original may take; this test does not
	$where->safe_psql($db, q{UPDATE mf_operation SET due = now() WHERE status = 'unknown' AND asked_at IS NULL; SELECT mf_resume()});
	$mf->wait_for($where, $db, q{SELECT status FROM mf_refund WHERE value = 3}, 'filed');
	$mf->wait_for($where, $db, q{SELECT status FROM mf_refund WHERE value = 4}, 'review');
	is($sandbox->count(%$make), $requests + 1, "$what: what was carried out is found, and a person decides about the other");
	like($where->safe_psql($db, q{SELECT next_step FROM mf_review WHERE what_happened LIKE 'refund%4 KWD%'}), qr/mf_retry_refund/, "$what: mf_review has the call");
}

$_->stop for $subscriber, $standby, $node;
done_testing();
