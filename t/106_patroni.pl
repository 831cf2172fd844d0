# Three nodes under Patroni, with sessions that insert all the time, while nodes are switched, killed, frozen, cut off and
# rebuilt. No acknowledged row is lost in synchronous mode, and nothing is sent or refunded twice in any: by the ledger of the
# stand-in. Each repetition of a recurring payment is a row, once.
#
# A short run is part of make check. make ha (test/ha/run.sh) sets
# MF_HA_ROUNDS   how often each event happens, in random order (1)
# MF_HA_MODES    "synchronous asynchronous"
# MF_HA_EVENTS   some of the events only, by name
# MF_HA_SEED     the same order again (printed)
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::Patroni;
use POSIX ();
use Time::HiRes qw(time sleep);

my @missing = MyFatoorah::Patroni->missing;

plan skip_all => "not installed: @missing (Debian packages)" if @missing;

my ($mf, $chaos) = ('MyFatoorah::Cluster', 'MyFatoorah::Chaos');
my $rounds = $ENV{MF_HA_ROUNDS} || 0;
my @modes = split ' ', $ENV{MF_HA_MODES} || ($rounds ? 'synchronous asynchronous' : 'synchronous');
my $seed = $ENV{MF_HA_SEED} || ($$ ^ int(time * 1000)) % 1_000_000;
my $random = $chaos->random($seed);
my ($top) = grep { -e "$_/test/ha/load.pl" } '.', $ENV{PWD};

# How many invoices are inserted under each misfortune that has to be seen by some
use constant ENOUGH => 100;

# How many invoices are paid beforehand, for each session to refund; and how many recurring payments begun
my $paid = $rounds ? 300 : 20;
use constant PLANS => 3;

my %events = (
	switchover => \&switchover, drained => \&drained, killed => \&killed, server => \&server, frozen => \&frozen, lag => \&lag, manager => \&manager,
	beside => sub { manager('beside') },
	etcd => \&etcd_away, failsafe => \&etcd_away_failsafe, rebuilt => \&rebuilt);
my %titles = (
	switchover => 'switchover', drained => 'mf_drain(), then switchover', killed => 'kill -9 of PostgreSQL and Patroni of the primary',
	server => 'kill -9 of PostgreSQL of the primary only', frozen => 'primary frozen past its TTL, then awake', lag => 'kill -9 of the primary when no standby has received',
	manager => 'kill -9 of Patroni only; node ended, then started', beside => 'kill -9 of Patroni only; started beside its server',
	etcd => 'etcd away', failsafe => 'etcd away, failsafe_mode',
	rebuilt => 'replica rebuilt (reinit)');
my @wanted = split ' ', $ENV{MF_HA_EVENTS} || ($rounds ? join ' ', sort keys %events : 'drained killed');

# What a run is about: cluster, stand-in, load, and what the books have shown so far
my ($ha, $sandbox, @loads, @plans, %known, @table);

#
# The load
#
sub start_load
{
	my ($number) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/load_$ha->{name}_$number";
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		open STDERR, '>>', "$PostgreSQL::Test::Utils::log_path/106_patroni_load.log";
		exec 'setpriv', '--pdeathsig=TERM', 'perl', "$top/test/ha/load.pl", $ha->conninfo, "$ha->{name}-w$number", $file, 0.05, $paid
		  or POSIX::_exit(127);
	}
	push @loads, { pid => $pid, file => $file };
	return;
}

sub stop_loads
{
	kill 'TERM', map { $_->{pid} } @loads;
	waitpid $_->{pid}, 0 for @loads;
	return;
}

END { local $?; kill 'TERM', map { $_->{pid} } @loads }

# acknowledged: by name, id and time of each row whose commit was acknowledged
sub acknowledged
{
	my %found;

	foreach my $load (grep { -e $_->{file} } @loads)
	{
		my $text = slurp_file($load->{file});

		# the last line may be half written
		$found{$2} = { id => $3, at => $1 } while $text =~ /^(\S+) (\S+) (\d+)\n/mg;
	}
	return \%found;
}

# wait_acknowledged(n): waits until so many more are
sub wait_acknowledged
{
	my ($n) = @_;
	my $target = scalar(keys %{ acknowledged() }) + $n;

	return $chaos->until_true("$n more rows", sub { keys %{ acknowledged() } >= $target });
}

#
# Payments: what can be refunded, and recurring payments whose repetitions MyFatoorah carries out meanwhile
#
sub prepare_payments
{
	my ($leader) = @_;

	$mf->insert_many($leader, 'postgres', "$ha->{name}-w$_-paid", $paid) foreach 1, 2;
	$mf->insert_many($leader, 'postgres', "$ha->{name}-plan", PLANS, payment_method_id => 2, recurring_type => q{'Daily'}, iteration => 0, retry_count => 2);
	$mf->wait_settled($leader, 'postgres');
	$sandbox->pay_many(count => 2 * $paid + PLANS);
	$chaos->until_true('payments', sub { $sandbox->bulk->{running} ? 0 : 1 });
	$leader->safe_psql('postgres', 'SELECT count(mf_refresh(id)) FROM mf_invoice');
	$mf->wait_for($leader, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE payment_status <> 'paid'}, 0);
	@plans = split /\n/, $leader->safe_psql('postgres', 'SELECT recurring_id FROM mf_invoice WHERE recurring_id IS NOT NULL');
	return;
}

# Each plan has its next payment, and the worker is about to ask for it.
sub charge
{
	my ($leader) = @_;

	$known{repetitions}{ $sandbox->charge($_)->{id} } = 1 foreach @plans;
	return read_plans($leader);
}

sub read_plans
{
	my ($leader) = @_;

	return $leader->safe_psql('postgres', q{UPDATE mf_event SET due = now() WHERE source = 'plan' AND due IS NOT NULL; SELECT mf_resume('myfatoorah')});
}

# A refund that a promotion found queued is for a person to decide about, if MyFatoorah has none.
sub decide
{
	my ($leader) = @_;
	my %filed = map { ($_->{comment} // '') => 1 } $sandbox->refunds;
	my @review = split /\n/, $leader->safe_psql('postgres', q{SELECT comment FROM mf_refund WHERE status = 'review'});

	is_deeply([ grep { $filed{$_} } @review ], [], 'no refund that MyFatoorah has is left to a person');
	$leader->safe_psql('postgres', q{SELECT mf_retry_refund(id, 'the portal has none') FROM mf_refund WHERE status = 'review'});
	$chaos->wait_settled($leader, 'postgres', 240);
	return scalar @review;
}

#
# The books
#
sub name_of { return ($_[0]{reference} // '') =~ s/\.[^.]*$//r; }

# books(leader): how many acknowledged rows are not there, and how many rows have more than one invoice, that were not known
sub books
{
	my ($leader) = @_;
	my $acknowledged = acknowledged();
	my %there = map { $_ => 1 } split /\n/, $leader->safe_psql('postgres', 'SELECT customer_reference FROM mf_invoice UNION ALL SELECT comment FROM mf_refund');
	my %made;

	$made{ name_of($_) }++ foreach grep { !$known{repetitions}{ $_->{id} } } $sandbox->remote;
	$made{ $_->{comment} }++ foreach $sandbox->refunds;
	my @lost = grep { !$there{$_} && !$known{lost}{$_}++ } keys %$acknowledged;
	my @doubled = grep { $made{$_} > 1 && !$known{doubled}{$_}++ } keys %made;

	return (scalar @lost, scalar @doubled);
}

# longest_pause(from, to): the longest time between two requests
sub longest_pause
{
	my ($from, $to) = @_;
	my @at = sort { $a <=> $b } grep { $_ >= $from - 2 && $_ <= $to } map { $_->{wall_us} / 1e6 } $sandbox->posts;
	my $longest = 0;

	foreach my $i (1 .. $#at)
	{
		$longest = $at[$i] - $at[ $i - 1 ] if $at[$i] - $at[ $i - 1 ] > $longest;
	}
	return $longest;
}

# sends(leader): waits until a row that is inserted there now is sent
sub sends
{
	my ($leader) = @_;
	my $name = "$ha->{name}-probe-" . ++$known{probes};

	$chaos->until_true('an INSERT', sub { $ha->ask($leader, 'INSERT INTO mf_invoice ' . $mf->invoice($name) . ' RETURNING true') eq 't' });
	$mf->wait_status($leader, 'postgres', $name);
	return;
}

sub happens
{
	my ($event) = @_;
	my $from = time;

	charge($ha->wait_healthy);
	my $note = $events{$event}->() // '';
	my $leader = $ha->wait_healthy;

	sends($leader);
	my ($lost, $doubled) = books($leader);

	$known{avoidable} += $lost unless $event eq 'beside';
	push @table, sprintf '%-50s %-12s %5d %8d %8.1f  %s', $titles{$event}, $ha->{synchronous} ? 'synchronous' : 'asynchronous',
	  $lost, $doubled, longest_pause($from, time), $note;
	diag "ha: $table[-1]";
	return;
}

#
# What happens. Each gives a remark, or nothing.
#
sub switchover
{
	my $leader = $ha->wait_healthy;
	my $answer = $ha->rest($leader, 'POST', '/switchover', { leader => $leader->name });

	die "switchover: $answer->{status} $answer->{content}\n" unless $answer->{success};
	$ha->wait_leader(not => $leader);
	return;
}

sub drained
{
	my $leader = $ha->wait_healthy;
	my $left = $leader->safe_psql('postgres', q{SELECT mf_drain('20 s')});

	switchover();
	return "$left requests under way";
}

sub killed
{
	my $leader = $ha->wait_healthy;

	kill 'KILL', $ha->manager($leader), $chaos->postmaster($leader);
	$ha->wait_leader(not => $leader);
	$ha->start($leader);
	return;
}

sub server
{
	my $leader = $ha->wait_healthy;
	my $server = $chaos->postmaster($leader);

	kill 'KILL', $server;
	$chaos->until_true('its end', sub { !$chaos->alive($server) });
	my $new = $ha->wait_leader;
	return $new == $leader ? 'Patroni started it again' : 'another one took over';
}

sub frozen
{
	my $leader = $ha->wait_healthy;
	my $sending;

	# with rows that are claimed: the stand-in takes its time
	$chaos->until_true('claimed rows', sub { ($sending = $leader->safe_psql('postgres', q{SELECT count(*) FROM mf_invoice WHERE status = 'sending'})) > 0 });
	$leader->{ha}{frozen} = 1;
	$ha->freeze($leader);
	sends($ha->wait_leader(not => $leader));
	$ha->thaw($leader);
	$leader->{ha}{frozen} = 0;
	my $awake = $mf->seconds(sub { $chaos->until_true('its demotion', sub { $ha->ask($leader, 'SELECT pg_is_in_recovery()') eq 't' }) });
	return sprintf '%d rows claimed; a standby %.1f s after it woke', $sending, $awake;
}

sub lag
{
	my $leader = $ha->wait_healthy;
	my @receivers = map { $ha->ask($_, 'SELECT pid FROM pg_stat_wal_receiver') } grep { $_ != $leader } $ha->nodes;

	kill 'STOP', @receivers;
	if ($ha->{synchronous})
	{
		$mf->wait_for($leader, 'postgres', q{SELECT count(*) > 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'});
	}
	else
	{
		wait_acknowledged(ENOUGH);
		# what is lost was sent
		$sandbox->wait_count({ path => '/v2/SendPayment' }, $sandbox->count(path => '/v2/SendPayment') + 1);
	}
	kill 'KILL', $ha->processes($leader);
	# They end before they read what has come meanwhile.
	kill 'TERM', @receivers;
	kill 'CONT', @receivers;
	$ha->wait_leader(not => $leader);
	$ha->start($leader);
	return key_of($leader);
}

# key_of(node): whose a file in its data directory is that each node had its own version of
sub key_of
{
	my ($node) = @_;

	$ha->wait_healthy;
	my $owner = slurp_file($node->data_dir . '/a.key');

	return $owner eq $node->name ? '' : "its a.key is now that of $owner";
}

# What a watchdog would do, or a careful operator; and what a careless one does
sub manager
{
	my ($beside) = @_;
	my $leader = $ha->wait_healthy;

	kill 'KILL', $ha->manager($leader);
	my $new = $ha->wait_leader(not => $leader);
	my $both = $ha->ask($leader, 'SELECT NOT pg_is_in_recovery()') eq 't';

	sends($new);
	# long enough for the old one to do harm
	wait_acknowledged(ENOUGH) unless $ha->{synchronous};
	kill 'KILL', $ha->processes($leader) unless $beside;
	$ha->start($leader);
	return $both ? 'two primaries until then' : 'one primary';
}

sub etcd_away
{
	my $leader = $ha->wait_healthy;

	$ha->freeze_etcd;
	my $held = $mf->seconds(sub { $chaos->until_true('a demotion', sub { $ha->ask($leader, 'SELECT pg_is_in_recovery()') eq 't' }) });
	$ha->thaw_etcd;
	return sprintf 'demoted after %.1f s', $held;
}

sub etcd_away_failsafe
{
	my $leader = $ha->wait_healthy;

	$ha->config({ failsafe_mode => JSON::PP::true });
	$chaos->until_true('failsafe_mode', sub { 3 == grep { $ha->rest($_, 'GET', '/failsafe')->{success} } $ha->nodes });
	$ha->freeze_etcd;
	my $until = time + MyFatoorah::Patroni::TTL + 10;
	wait_acknowledged(1) while time < $until;
	my $still = $ha->ask($leader, 'SELECT NOT pg_is_in_recovery()') eq 't';
	$ha->thaw_etcd;
	$ha->config({ failsafe_mode => JSON::PP::false });
	return $still ? 'the primary stayed one' : 'demoted';
}

sub rebuilt
{
	my $leader = $ha->wait_healthy;
	my @replicas = grep { $_ != $leader } $ha->nodes;
	my $replica = $replicas[ $random->(scalar @replicas) ];
	my $answer = $ha->rest($replica, 'POST', '/reinitialize', { force => JSON::PP::true });

	die "reinitialize: $answer->{status} $answer->{content}\n" unless $answer->{success};
	$chaos->until_true('its removal', sub { !$ha->rest($replica, 'GET', '/replica')->{success} });
	return key_of($replica);
}

#
# What an asynchronous cluster may lose, and what that must not do
#
sub check_lost_timeline
{
	my ($leader) = @_;
	my $acknowledged = acknowledged();
	my %id = map { (split /\|/)[ 0, 1 ] } split /\n/, $leader->safe_psql('postgres', 'SELECT id, customer_reference FROM mf_invoice');
	my %there = map { $_ => 1 } values %id;
	my @orphans = grep { my $name = name_of($_); $acknowledged->{$name} && !$there{$name} } $sandbox->remote;
	my @twice = grep { my $id = $acknowledged->{ name_of($_) }{id}; $id{$id} && $id{$id} ne name_of($_) } @orphans;

	diag sprintf 'ha: asynchronous: %d acknowledged rows lost by PostgreSQL, of which %d had been sent; ids of %d of these were given again',
	  scalar(keys %{ $known{lost} }), scalar @orphans, scalar @twice;
	return unless @twice;

	# A payment of the lost one is not the payment of the row that has its id now.
	my ($lost, $id) = ($twice[-1], $acknowledged->{ name_of($twice[-1]) }{id});
	$sandbox->invoice($lost->{id}, 'pay');
	my $payment = $sandbox->invoice($lost->{id})->{transactions}[-1]{payment_id};
	my $before = $leader->safe_psql('postgres', "SELECT payment_status || ' ' || coalesce(invoice_id::text, 'none') FROM mf_invoice WHERE id = $id");

	$leader->safe_psql('postgres', "SELECT mf_callback('$payment')");
	$mf->wait_for($leader, 'postgres', "SELECT count(*) FROM mf_unmatched WHERE invoice_id = '$lost->{id}'", 1);
	pass('a payment of a lost invoice stands in mf_unmatched');
	is($leader->safe_psql('postgres', "SELECT payment_status || ' ' || coalesce(invoice_id::text, 'none') FROM mf_invoice WHERE id = $id"), $before,
		"and is no payment of the row that was given its id again ($id)");
	return;
}

#
# A run
#
sub run
{
	my ($mode) = @_;
	my $key = "$PostgreSQL::Test::Utils::tmp_check/key_$mode";

	$sandbox = MyFatoorah::Sandbox->new(name => "sandbox_$mode");
	$ha = MyFatoorah::Patroni->new(name => $mode eq 'synchronous' ? 'sync' : 'async', synchronous => $mode eq 'synchronous',
		conf => { 'myfatoorah.retry_delay' => '200ms', 'myfatoorah.lookup_delay' => '1s', 'myfatoorah.poll_rate_limit' => '1000' });
	%known = (avoidable => 0);
	@loads = ();

	# outside of the data directories: one for all nodes here, one on each elsewhere
	my $umask = umask 0077;
	append_to_file($key, $sandbox->key . "\n");
	umask $umask;
	append_to_file($_->data_dir . '/a.key', $_->name) foreach $ha->nodes;
	my $leader = $ha->wait_leader;
	$leader->safe_psql('postgres', qq{
		CREATE EXTENSION myfatoorah;
		CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah
			OPTIONS (country 'KWT', environment 'test', base_url '@{[ $sandbox->url ]}', connect_timeout '1s', timeout '2s');
		CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (api_key_file '$key')});
	$mf->wait_worker($leader, 'postgres');
	prepare_payments($leader);
	$sandbox->faults({ path => $_, delay_ms => 200, times => -1 }) foreach 'SendPayment', 'ExecutePayment', 'MakeRefund';
	my $before = $sandbox->count(path => '/v2/SendPayment');
	start_load($_) foreach 1, 2;
	$chaos->until_true('the first requests', sub { $sandbox->count(path => '/v2/SendPayment') > $before + 10 });

	my @todo = map { @wanted } 1 .. $rounds || 1;
	while (@todo)
	{
		happens($rounds ? splice @todo, $random->(scalar @todo), 1 : shift @todo);
	}
	stop_loads();
	$leader = $ha->wait_healthy;
	# What a promotion found queued is looked up a minute later. The short run does not wait so long: no other node sends.
	$leader->safe_psql('postgres', q{UPDATE mf_queue SET due = now(), rank = now(); UPDATE mf_operation SET due = now() WHERE status = 'unknown' AND asked_at IS NULL}) unless $rounds;
	sends($leader);
	$chaos->wait_settled($leader, 'postgres', 240);
	my $decided = decide($leader);
	read_plans($leader);
	$leader->safe_psql('postgres', 'SELECT count(mf_refresh(i.id)) FROM mf_invoice i WHERE EXISTS (SELECT FROM mf_ledger l WHERE l.invoice = i.id)');
	$mf->wait_for($leader, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE recurring_id IS NOT NULL AND payment_status = 'paid'}, keys(%{ $known{repetitions} }) + @plans);
	$mf->wait_for($leader, 'postgres', q{SELECT trim_scale(sum(value)) FROM mf_refund WHERE status = 'filed'}, 0.5 * $sandbox->refunds);
	my ($lost, $doubled) = books($leader);
	push @table, sprintf '%-50s %-12s %5d %8d %8s', 'after all', $mode, $lost, $doubled, '';

	# A Patroni that is started beside the server of a primary that was replaced lets its waiting commits go (docs/ha.md).
	is($known{avoidable} + $lost, 0, 'synchronous: no acknowledged row is lost') if $mode eq 'synchronous';
	is(scalar(keys %{ $known{doubled} }), 0, "$mode: nothing was sent or refunded twice");
	is($leader->safe_psql('postgres', q{SELECT count(*), count(DISTINCT invoice_id) FROM mf_invoice WHERE recurring_id IS NOT NULL AND recurring_type IS NULL}),
		join('|', (scalar keys %{ $known{repetitions} }) x 2), "$mode: each repetition is a row, once");
	is_deeply([ $mf->problems($leader, 'postgres', $sandbox, others => 1) ], [], "$mode: rows, attempts and ledger agree");
	is($leader->safe_psql('postgres', 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, "$mode: nothing is paused");
	diag sprintf 'ha: %s: %d rows acknowledged, %d invoices and %d refunds in the tables, %d and %d requests; %d repetitions; %d refunds decided by a person',
	  $mode, scalar(keys %{ acknowledged() }), split(/\|/, $leader->safe_psql('postgres', 'SELECT (SELECT count(*) FROM mf_invoice), (SELECT count(*) FROM mf_refund)')),
	  $sandbox->count(path => '/v2/SendPayment') + $sandbox->count(path => '/v2/ExecutePayment'), $sandbox->count(path => '/v2/MakeRefund'),
	  scalar(keys %{ $known{repetitions} }), $decided;
	check_lost_timeline($leader) if $mode eq 'asynchronous';
	unlike(slurp_file($_->{ha}{machine}{log}), qr/TRAP:|PANIC|was terminated by signal (?!9)/, $_->name . ': no process crashed') foreach $ha->nodes;
	$ha->stop;
	$sandbox->stop;
	return;
}

diag "ha: seed $seed (MF_HA_SEED=$seed replays the order)" if $rounds;
diag sprintf 'ha: %-50s %-12s %5s %8s %8s', 'event', 'mode', 'lost', 'doubled', 's unsent';
run($_) foreach @modes;
note $_ foreach @table;
done_testing();
