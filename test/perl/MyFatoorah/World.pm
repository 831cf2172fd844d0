# A world: one server, one stand-in API, and several databases that live through their plans at the same time. Then the
# faults stop, and the books must balance.
#
#   my $world = MyFatoorah::World->new(seeds => [ 1 .. 8 ], moves => 40);
#   my %findings = $world->run;          # by seed; none is right
package MyFatoorah::World;

use strict;
use warnings;

use JSON::PP ();
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use MyFatoorah::Chaos;
use MyFatoorah::Cluster;
use MyFatoorah::Sandbox;
use MyFatoorah::World::Accounts;
use MyFatoorah::World::Books;
use MyFatoorah::World::Database;
use MyFatoorah::World::Plan;
use MyFatoorah::World::Rows;
use MyFatoorah::World::Session;

my $chaos = 'MyFatoorah::Chaos';
my %keys = (public => 'SK_KWT_public', clerk => 'SK_KWT_clerk');
my $json = JSON::PP->new->canonical->allow_nonref;

my $conf = join "\n", "myfatoorah.retry_delay = '50ms'", "myfatoorah.lookup_delay = '20ms'", 'myfatoorah.poll_rate_limit = 60000', 'myfatoorah.callback_rate_limit = 60000',
  "myfatoorah.poll_delay = '10s'", 'wal_level = logical', 'max_worker_processes = 64', 'max_connections = 100', 'max_replication_slots = 20',
  'max_wal_senders = 20', 'max_logical_replication_workers = 20', 'max_prepared_transactions = 40', 'autovacuum_naptime = 20s',
  'log_min_messages = log', 'log_statement = none', 'shared_buffers = 64MB', 'fsync = off';

# new(seeds => [...], moves => 40, only => [...], steps => qr/.../, without => qr/.../): a world of these seeds. only: of
# these nothing but these; steps: of all moves only those of these numbers; without: moves of these names are passed over
sub new
{
	my ($class, %params) = @_;
	my $self = bless { findings => [], statements => 0, %params }, $class;
	my $moves = $self->{moves} //= 40;
	my %only = map { $_ => 1 } @{ $params{only} // $params{seeds} };

	$self->{server_plan} = MyFatoorah::World::Plan->server($params{seeds}[0], $moves);
	$self->{databases} = [ map { MyFatoorah::World::Database->new($self, $_, MyFatoorah::World::Plan->database($_, $moves)) }
		grep { $only{$_} } @{ $params{seeds} } ];
	return $self;
}

sub node { return $_[0]{node}; }
sub sandbox { return $_[0]{sandbox}; }
sub databases { return @{ $_[0]{databases} }; }
sub key { return $keys{ $_[1] }; }

# script(database): its plan in words, one line a step, numbered
sub script
{
	my ($self, $db) = @_;
	my $steps = $db ? $db->{plan}{steps} : $self->{server_plan};
	my $n = 0;

	return map { sprintf '%3d%s %s %s%s', ++$n, $db ? '' : " (after $_->{at})", $_->{name}, substr($json->encode($_->{args}), 0, 300),
		$_->{state} ? "  -- $_->{state}" : '' } @$steps;
}

# run: what was found, by seed; the server's own findings under 'server'
sub run
{
	my ($self) = @_;
	my %findings;

	eval {
		local $SIG{ALRM} = sub { die "the world did not end in time\n" };
		alarm 900;
		$self->_begin;
		$self->_play;
		$self->{books} = MyFatoorah::World::Books->new($self);
		$self->{books}->balance;
		alarm 0;
		1;
	} or do { my $why = $@; alarm 0; $self->finding("died: $why") };
	eval { $self->_end; 1 } or $self->finding("end: $@");
	$findings{ $_->{seed} } = $_->{findings} for grep { @{ $_->{findings} } } $self->databases;
	$findings{server} = $self->{findings} if @{ $self->{findings} };
	return %findings;
}

sub finding
{
	my ($self, $text) = @_;

	push @{ $self->{findings} }, $text;
	return;
}

#
# Beginning and end
#
sub _begin
{
	my ($self) = @_;
	my $first = $self->{seeds}[0];
	my $mf = 'MyFatoorah::Cluster';

	$self->{started} = time;
	$self->{sandbox} = MyFatoorah::Sandbox->new(name => "world$first", key => $keys{public}, args => [
		'--seed', $first, '--key', "$keys{clerk}=KWT", '--webhook-url', 'http://127.0.0.1:9/nobody', '--webhook-secret', 'webhook-secret-of-the-world' ]);
	$self->{sandbox}->webhooks(retries => 0);
	$self->{node} = $mf->new_node("world$first", conf => $conf, init => { extra => ['--no-sync'], allows_streaming => 1 });
	$self->insist(qq{CREATE DATABASE "$_->{dbname}"}) for $self->databases;
	foreach my $db ($self->databases)
	{
		my $plan = $db->{plan};
		my $n = $plan->{accounts} - 1;
		my $clerk = $db->clerk;

		$db->key_file($_, $keys{$_}) for qw(public clerk);
		# The set-up is no move: two thousand accounts take as long as they take on a busy machine.
		my $answer = $db->insist(qq{
			ROLLBACK; BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
			CREATE ROLE "$clerk"; CREATE ROLE "} . $db->role('operator') . qq{";
			} . ($plan->{schema} eq 'public' ? '' : "CREATE SCHEMA $plan->{schema};") . qq{
			CREATE EXTENSION myfatoorah SCHEMA $plan->{schema};
			GRANT myfatoorah_submit TO "$clerk"; GRANT myfatoorah_operate, myfatoorah_read TO "} . $db->role('operator') . '";'
			. MyFatoorah::World::Accounts::server($db, 'myfatoorah') . MyFatoorah::World::Accounts::mappings($db, 'myfatoorah')
			. q{DO $$BEGIN FOR i IN 1 .. } . $n . q{ LOOP EXECUTE replace($q$} . MyFatoorah::World::Accounts::server($db, 'a0') . MyFatoorah::World::Accounts::mapping($db, 'a0', 'PUBLIC')
			. q{$q$, '"a0"', '"a' || i || '"'); END LOOP; END$$;
			ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'webhook-secret-of-the-world');
			CREATE TABLE rent (id int GENERATED ALWAYS AS IDENTITY, month int DEFAULT 0, tenant text, invoice bigint) PARTITION BY LIST (month);
			CREATE TABLE rent_0 PARTITION OF rent FOR VALUES IN (0);
			CREATE TABLE rent_1 PARTITION OF rent FOR VALUES IN (1);
			CREATE TRIGGER bill AFTER INSERT ON rent FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=tenant', 'customer_reference=tenant', 'invoice_value=''1.250''', 'id=invoice');
			CREATE TABLE log_of_world (at timestamptz, what text);
			GRANT ALL ON log_of_world, rent TO PUBLIC;
			CREATE TABLE numbers_of_world (n int PRIMARY KEY);
			INSERT INTO numbers_of_world SELECT generate_series(0, 50);
			COMMIT}, 'postgres', MyFatoorah::Sandbox::time_limit());

		die "set-up of $db->{dbname}: $answer->{err}\n" if $answer->{state} ne '00000';
	}
	foreach my $db ($self->databases)
	{
		$chaos->until_true("a worker in $db->{dbname}", sub { ($db->value('SELECT count(*) FROM mf_worker_status') // 0) == 1 });
	}
	if (grep { $_->{name} eq 'promotion' } @{ $self->{server_plan} })
	{
		$self->{node}->backup('standby', backup_options => [ '--no-sync', '-c', 'fast' ]);
		$self->{standby} = PostgreSQL::Test::Cluster->new("standby$first");
		$self->{standby}->init_from_backup($self->{node}, 'standby', has_streaming => 1);
		$self->{standby}->start;
	}
	$self->{begun} = time;
	return;
}

sub _end
{
	my ($self) = @_;
	my $node = $self->{node};

	$self->dump($_) for grep { @{ $_->{findings} } || @{ $self->{findings} } } $self->databases;
	$_->forget_sessions for $self->databases;
	$_->quit for map { $_ // () } values %{ $self->{sessions} // {} };
	return unless $node;
	my @nodes = (@{ $self->{past} // [] }, $node, $self->{standby} // ());

	$_->stop('fast', fail_ok => 1) for @nodes;
	foreach (@nodes)
	{
		my @bad = slurp_file($_->logfile) =~ /^(.*(?:TRAP:|PANIC|terminated by signal (?!9)).*)$/mg;

		$self->finding("the server's log: $_") for grep { defined } @bad[ 0 .. 4 ];
		$self->_check_log($_->logfile);
		$_->stop('immediate', fail_ok => 1);
	}
	$self->{sandbox}->stop if $self->{sandbox};
	return if @{ $self->{findings} } || grep { @{ $_->{findings} } } $self->databases;
	$_->clean_node for @nodes;
	return;
}

# A message that is repeated again and again is a storm, whatever its cause
sub _check_log
{
	my ($self, $file) = @_;
	my %count;

	foreach (split /\n/, slurp_file($file))
	{
		next unless s/^.*? (?:w\d+\w*|myfatoorah \w+ \S*) *//;
		next unless /(?:WARNING|ERROR|LOG):/ && /myfatoorah|invoice|account/;
		s/\d+/N/g;
		$count{$_}++;
	}
	foreach (sort keys %count)
	{
		$self->finding("logged $count{$_} times: $_") if $count{$_} > 150 * $self->databases;
	}
	return;
}

#
# Playing
#
sub _play
{
	my ($self) = @_;
	my @server = @{ $self->{server_plan} };
	my $without = $self->{without} // qr/^\b$/;
	my $steps = $self->{steps};
	my $n = 0;

	foreach my $i (0 .. $self->{moves} - 1)
	{
		foreach my $db ($self->databases)
		{
			my $step = $db->{plan}{steps}[$i];

			$db->mend('rows held') if $i >= ($db->state->{hold_until} // $i + 1);
			next if $step->{name} =~ $without || $steps && !$steps->{ $i + 1 };
			$db->state->{step} = $i;
			$self->_step($step, $db, $db->{log});
		}
		while (@server && $server[0]{at} <= $i)
		{
			my $step = shift @server;

			$n++;
			next if $step->{name} =~ $without || $self->{server_steps} && !$self->{server_steps}{$n};
			$self->_in_flight($n);
			$self->_step($step, $self, $self->{log} //= []);
		}
	}
	$self->{played} = time;
	return;
}

# What happens to the server happens while requests are under way: each database has one that is answered late.
sub _in_flight
{
	my ($self, $n) = @_;

	foreach my $db ($self->databases)
	{
		my $name = $db->prefix . "s$n";

		$db->fault(path => 'SendPayment', delay_ms => 300, times => 2);
		$db->insert([ "s$n" ], "INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) VALUES ('$name', '$name', 1.250)");
	}
	return;
}

sub _step
{
	my ($self, $step, $of, $log) = @_;
	my $before = @$log;
	my $start = time;

	MyFatoorah::World::Plan->move($step->{name})->{play}->($of, @{ $step->{args} });
	$step->{state} = join ' ', sprintf('%.2f s', time - $self->{begun}), map { $_->[1] } @$log[ $before .. $#$log ];
	$step->{seconds} = time - $start;
	return;
}

#
# What moves and books need of server and API
#

# admin(sql): in the database postgres; insist(sql): until it worked; in(dbname, sql): in another database
sub admin { return $_[0]->in('postgres', $_[1]); }

sub in
{
	my ($self, $dbname, $sql) = @_;
	my $session = $self->{sessions}{$dbname} //= MyFatoorah::World::Session->new($self->{node}->connstr($dbname),
		setup => "SET client_min_messages = error; SET lock_timeout = '5s'; SET search_path = public, books, books_a, books_b");
	my $answer = $session->run($sql);

	push @{ $self->{log} }, [ $sql, $answer->{state}, $answer->{err} ] if $answer->{state} ne '00000';
	$self->forget($dbname) if $answer->{state} =~ /^(?:lost|down|hang)$/ || $dbname ne 'postgres';
	return $answer;
}

sub forget
{
	my ($self, $dbname) = @_;
	my $session = delete $self->{sessions}{$dbname};

	$session->quit if $session;
	return;
}

sub insist
{
	my ($self, $sql) = @_;

	return $chaos->until_true($sql, sub {
		my $answer = $self->admin($sql);

		die "$sql: $answer->{err}\n" if $answer->{state} !~ /^(?:00000|lost|down|hang|57P0[123]|55006|40P01|55P03)$/;
		return $answer->{state} eq '00000';
	});
}

# lost_sessions: the server goes away; what our sessions do then is not what is tested
sub lost_sessions
{
	my ($self) = @_;

	$_->mend('rows held') for $self->databases;
	$_->forget_sessions for $self->databases;
	$self->forget($_) for keys %{ $self->{sessions} };
	return;
}

sub reset_settings
{
	my ($self) = @_;

	return unless delete $self->{settings_changed};
	$self->insist('ALTER SYSTEM RESET ALL');
	$self->insist('SELECT pg_reload_conf()');
	return;
}

# remote(prefix): the invoices that the API holds of that prefix, oldest first: { id, reference, status, payments, paid }.
# Made for thousands: the answer is not decoded as a whole.
sub remote
{
	my ($self, $prefix) = @_;
	my $answer = $self->{sandbox}->request('GET', '/_sandbox/invoices')->{content};
	my @remote;

	while ($answer =~ /\{"id":(\d+),"reference":"(\Q$prefix\E[^"]*)",.*?"status":"(\w+)",.*?"transactions":\[(.*?)\]\}/g)
	{
		my %invoice = (id => $1, reference => $2, status => $3);
		my $tries = $4;

		$invoice{payments} = [ $tries =~ /"payment_id":"(\d+)"/g ];
		$invoice{paid} = () = $tries =~ /"status":"Succss"/g;
		push @remote, \%invoice;
	}
	return @remote;
}

# webhooks(prefix): those not yet asked for
sub webhooks
{
	my ($self, $prefix) = @_;
	my $known = $self->{webhooks} //= [];
	my $since = @$known ? $known->[-1]{number} : 0;

	push @$known, $self->{sandbox}->deliveries(since => $since);
	$since = $self->{webhooks_seen}{$prefix} // 0;
	$self->{webhooks_seen}{$prefix} = $known->[-1]{number} if @$known;
	return grep { $_->{number} > $since && ($_->{reference} // '') =~ /^\Q$prefix\E/ } @$known;
}

# dump(database): what there is to see there when something was found, the first time
sub dump
{
	my ($self, $db) = @_;
	my @queries = (q{SELECT pid, backend_type, state, wait_event_type, wait_event, now() - query_start, left(query, 100) FROM pg_stat_activity WHERE datname = current_database()},
		q{SELECT item, ok, detail FROM mf_check() WHERE NOT ok}, 'SELECT * FROM mf_worker_status', 'SELECT account, paused_at, reason FROM mf_account WHERE paused_at IS NOT NULL',
		q{SELECT id, status, invoice_id, reference, left(to_jsonb(i)->>'last_error', 150), attempts, i.account, q.account, q.kind, CASE WHEN isfinite(q.due) THEN extract(epoch FROM q.due - now())::int END AS due, q.lookups
			FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE status NOT IN ('sent', 'cancelled') ORDER BY id LIMIT 20},
		q{SELECT * FROM mf_review});

	return if $db->{dump};
	$db->{dump} .= "-- $_\n" . ($db->value($_) // '(no answer)') . "\n" for @queries;
	$db->{dump} .= "-- last lines of the log\n" . join '', map { "$_\n" } grep { defined } (grep { / \Q$db->{dbname}\E / } split /\n/, slurp_file($self->{node}->logfile))[ -15 .. -1 ];
	return;
}

1;
