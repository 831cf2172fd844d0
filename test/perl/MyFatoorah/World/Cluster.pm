# What happens to the whole server, and to the API: stops of all kinds, crashes, frozen processes, promotions, clocks.
package MyFatoorah::World::Cluster;

use strict;
use warnings;

use MyFatoorah::Chaos;
use Time::HiRes qw(sleep);

my $chaos = 'MyFatoorah::Chaos';

# Settings of the server that come and go; with a restart where it takes one
my @settings = (
	[ 'myfatoorah.history_retention', '0' ], [ 'synchronous_commit', 'off' ], [ 'myfatoorah.poll_rate_limit', '0' ], [ 'myfatoorah.poll_delay', '10s' ],
	[ 'statement_timeout', '20ms' ], [ 'default_transaction_isolation', 'serializable' ], [ 'myfatoorah.max_resends', '1' ], [ 'log_min_messages', 'debug2' ]);

sub moves
{
	return (
		{ name => 'fast stop', weight => 3, play => sub { _stopped($_[0], 'fast'); } },
		{ name => 'smart stop', weight => 1, play => sub { _stopped($_[0], 'smart'); } },
		{ name => 'immediate stop', weight => 2, play => sub { _stopped($_[0], 'immediate'); } },
		{ name => 'drain and stop', weight => 2, play => sub {
			my ($world) = @_;

			$_->sql('SELECT mf_drain()') for $world->databases;
			_stopped($world, 'fast');
		} },
		{ name => 'kill -9 of the postmaster', weight => 2, play => sub {
			my ($world) = @_;

			$world->lost_sessions;
			$chaos->kill_postmaster($world->node);
			$chaos->wait_up($world->node);
		} },
		{ name => 'kill -9 of a worker', weight => 3, draw => sub { $_[0]->(100) }, play => sub {
			my ($world, $n) = @_;
			my @pids = _workers($world) or return;
			my $offset = $chaos->log_size($world->node);

			# all of the server's processes are restarted then
			kill('KILL', $pids[ $n % @pids ]) or return;
			$chaos->wait_crashed($world->node, $offset);
			$world->lost_sessions;
		} },
		{ name => 'all workers are terminated', weight => 2, play => sub { kill 'TERM', _workers($_[0]); } },
		{ name => 'all backends are terminated', weight => 2, play => sub {
			$_[0]->admin(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'});
		} },
		{ name => 'workers are frozen', weight => 2, draw => sub { 3 + $_[0]->(20) }, play => sub {
			my ($world, $tenths) = @_;
			my @pids = _workers($world);

			kill 'STOP', @pids;
			sleep $tenths / 10;
			kill 'CONT', @pids;
		} },
		{ name => 'the API is frozen', weight => 2, draw => sub { 3 + $_[0]->(15) }, play => sub {
			my ($world, $tenths) = @_;

			kill 'STOP', $world->sandbox->pid;
			sleep $tenths / 10;
			kill 'CONT', $world->sandbox->pid;
		} },
		{ name => 'the clock of the API', weight => 2, draw => sub { $_[0]->(72000) - 36000 }, play => sub {
			my ($world, $seconds) = @_;

			$world->sandbox->control('POST', 'clock', { offset_seconds => $seconds });
		} },
		{ name => 'setting of the server', weight => 3, draw => sub { $_[0]->(scalar @settings) }, play => sub {
			my ($world, $n) = @_;
			my ($name, $value) = @{ $settings[$n] };

			$world->admin("ALTER SYSTEM SET $name = '$value'");
			$world->admin('SELECT pg_reload_conf()');
			$world->{settings_changed} = 1;
		} },
		{ name => 'settings as before', weight => 2, play => sub { $_[0]->reset_settings; } },
		{ name => 'promotion', weight => 2, draw => sub { $_[0]->(2) }, play => \&_promoted },
		{ name => 'checkpoint', weight => 1, play => sub { $_[0]->admin('CHECKPOINT'); } });
}

# A standby takes over: after a clean stop it has everything, after a crash it may lack the last commits.
sub _promoted
{
	my ($world, $crash) = @_;
	my ($old, $new) = ($world->node, delete $world->{standby});
	my $postmaster = $chaos->postmaster($old);
	my @children = $chaos->children($postmaster);

	return unless $new;
	$world->lost_sessions;
	if ($crash)
	{
		$old->kill9;
		$chaos->until_true('the end of the old primary', sub { !grep { $chaos->alive($_) } @children });
		$world->{lost_until} = time;
	}
	else
	{
		$old->stop('fast');
	}
	$new->promote;

	# a base backup lets the group read what it copies
	chmod 0600, glob $new->data_dir . '/w*.key';
	push @{ $world->{past} }, $old;
	$world->{node} = $new;
	$world->{promoted} = 1;
	$chaos->wait_up($new);
	return;
}

sub _workers
{
	my ($world) = @_;
	my $answer = $world->admin(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' ORDER BY datname});

	return $answer->{state} eq '00000' ? split /\n/, $answer->{out} : ();
}

sub _stopped
{
	my ($world, $how) = @_;

	$world->lost_sessions;
	my $start = Time::HiRes::time();

	if (!$world->node->stop($how, fail_ok => 1))
	{
		my $pid = $chaos->postmaster($world->node);

		$world->finding("$how stop does not end; there are still: " . join '; ', map { s/\s+\z//r } `ps -o args= --ppid $pid`);
		$world->node->stop('immediate');
	}
	my $seconds = Time::HiRes::time() - $start;

	$world->finding(sprintf '%s stop took %.1f s', $how, $seconds) if $seconds > 15;
	$world->node->start;
	$chaos->wait_up($world->node);
	return;
}

1;
