# A year, or two, of bills: tenants in eight countries with plans of all kinds, who pay, pay twice, pay late, in cash and in
# parts, while the clock goes forward by hours and days, webhooks get lost, processes are killed and the server is away for
# a week. Then the books must balance.
#
#   my $year = MyFatoorah::Year->new(seed => 1, tenants => 24, days => 60, kills_wanted => 5);
#   my $books = $year->run;               # MyFatoorah::Year::Books
package MyFatoorah::Year;

use strict;
use warnings;

use JSON::PP ();
use Test::More ();
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Utils;
use MyFatoorah::Chaos;
use MyFatoorah::Clock;
use MyFatoorah::Cluster;
use MyFatoorah::Sandbox;
use MyFatoorah::Web;
use MyFatoorah::World::Session;
use MyFatoorah::Year::Books;
use MyFatoorah::Year::People;
use MyFatoorah::Year::Plans;

use constant SECOND => 1_000_000;
use constant DAY => 86_400 * SECOND;

# What is due within this time is waited for, by moving the clock, before anything else happens; all together at most this
use constant SOON => 90 * SECOND;
use constant SOON_LIMIT => 1800 * SECOND;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $db = 'postgres';
my $secret = 'webhook-secret-of-the-year';

# account, country, decimals, zone, weekend
my @accounts = map { { name => $_->[0], country => $_->[1], decimals => $_->[2], zone => $_->[3], weekend => $_->[4] } }
  [ 'kwt', 'KWT', 3, 'Asia/Kuwait', [ 5, 6 ] ], [ 'bhr', 'BHR', 3, 'Asia/Bahrain', [ 5, 6 ] ], [ 'omn', 'OMN', 3, 'Asia/Muscat', [ 5, 6 ] ],
  [ 'jor', 'JOR', 3, 'Asia/Amman', [ 5, 6 ] ], [ 'sau', 'SAU', 2, 'Asia/Riyadh', [ 5, 6 ] ], [ 'are', 'ARE', 2, 'Asia/Dubai', [ 6, 7 ] ],
  [ 'qat', 'QAT', 2, 'Asia/Qatar', [ 5, 6 ] ], [ 'egy', 'EGY', 2, 'Africa/Cairo', [ 5, 6 ] ];

my $conf = join "\n", 'myfatoorah.poll_rate_limit = 60000', 'myfatoorah.callback_rate_limit = 60000', "myfatoorah.retry_delay = '50ms'",
  "myfatoorah.lookup_delay = '20ms'", 'fsync = off', "checkpoint_timeout = '1d'", "max_wal_size = '4GB'",
  'log_min_messages = log', 'log_statement = none', 'log_checkpoints = off', 'log_autovacuum_min_duration = -1', 'shared_buffers = 128MB';

# new(seed, tenants, days, kills_wanted, start): start is the first day, such as 2027-10-01; tomorrow if there is none
sub new
{
	my ($class, %params) = @_;
	my $self = bless { settled => [], kills => {}, lost => 0, asked => {}, questions => 0, %params }, $class;

	$self->{random} = $chaos->random($params{seed});
	$self->{accounts} = \@accounts;
	$self->{clock} = MyFatoorah::Clock->new or return;
	return $self;
}

sub random { my ($self, $n) = @_; return $self->{random}->($n); }
sub now { return $_[0]{clock}->now; }
sub sandbox { return $_[0]{sandbox}; }
sub account { return (grep { $_->{name} eq $_[1] } @accounts)[0]; }

# run: the books, once all is over
sub run
{
	my ($self) = @_;

	$self->_begin;
	my $end = $self->{begun} + $self->{days} * DAY;
	my $due = 0;
	my $told = 0;

	while ($self->now < $end)
	{
		if ($self->now > $self->{begun} + $told * DAY)
		{
			Test::More::note(sprintf 'day %d: %s', ($self->now - $self->{begun}) / DAY, $self->insist(q{SELECT format('%s bills, %s links', (SELECT count(*) FROM mf_bill), (SELECT count(*) FROM mf_link))}));
			$told += 30;
		}
		my $days = 0.1 + $self->random * 1.2;

		# kills are spread over the whole time
		$due += $self->{kills_wanted} / $self->{days} * $days;
		$self->_step($days, $due >= 1);
		$due -= int $due;
	}
	$self->_end;
	$self->{finished} = time;
	return MyFatoorah::Year::Books->new($self);
}

#
# Beginning and end
#
sub _begin
{
	my ($self) = @_;
	my $clock = $self->{clock};

	$clock->move_to(MyFatoorah::Clock->instant('UTC', $self->{start}, '05:00')) if $self->{start};
	$clock->with(sub {
		$self->{sandbox} = MyFatoorah::Sandbox->new(name => 'year', key => 'SK_KWT_year', args => [ '--seed', $self->{seed}, '--ledger-limit', 5_000_000,
			map { ('--key', "SK_$_->{country}_year=$_->{country}") } @accounts[ 1 .. $#accounts ] ]);
	});
	$self->{port} = MyFatoorah::Web->free_port;
	$self->{sandbox}->webhooks(url => "http://127.0.0.1:$self->{port}/webhook", version => 'v2', secret => $secret, retries => 0);
	$self->{node} = $mf->new_node('year', start => 0, conf => "$conf\nmyfatoorah.public_url = 'http://127.0.0.1:$self->{port}'");
	$self->start_server;
	die "the server does not see the clock that was moved\n" if abs($self->insist('SELECT round(extract(epoch FROM clock_timestamp()) * 1000000)') - $self->now) > 60 * SECOND;
	$self->insist('CREATE EXTENSION myfatoorah_billing CASCADE');
	foreach my $account (@accounts)
	{
		my ($name, $country) = @{$account}{qw(name country)};

		$mf->write_key($self->{node}, "SK_${country}_year", "$name.key");
		$self->insist("CREATE SERVER $name FOREIGN DATA WRAPPER myfatoorah OPTIONS (country '$country', environment 'live', time_zone '$account->{zone}', base_url '" . $self->{sandbox}->url . qq{', connect_timeout '2s', timeout '10s');
			CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (api_key_file '$name.key', webhook_secret '$secret');
			INSERT INTO mf_billing_policy (account, quiet_from, quiet_to, merchant_name) VALUES ('$name', '21:00', '08:00', 'The landlord');
			INSERT INTO mf_reminder_rule (account, name, days_from_due, at_time, via) VALUES ('$name', 'soon', -2, '10:00', 'link'), ('$name', 'letter', 3, '11:30', 'event'), ('$name', 'late', 8, '10:00', 'link')});
	}
	$self->insist("ALTER DATABASE $db SET myfatoorah.listen_port = $self->{port}");
	$chaos->until_true('the listener', sub { ($self->value('SELECT count(*) FROM mf_listener_status') // 0) == 1 });
	$self->{begun} = $self->now;
	MyFatoorah::Year::Plans->make($self);
	$self->settle;
	return;
}

sub _end
{
	my ($self) = @_;

	# in the end everything that may have been paid is asked about once more, twice because of refunds
	$self->sandbox->clear_mischief;
	for (1 .. 2)
	{
		$self->insist(q{SELECT count(mf_refresh(i.id)) FROM mf_invoice i WHERE i.status = 'sent'});
		$self->settle;
	}
	$self->_listen;
	return;
}

#
# Server and sessions
#
sub start_server
{
	my ($self) = @_;

	$self->{clock}->with(sub { $self->{node}->start });
	$self->{worker} = $mf->wait_worker($self->{node}, $db) if $self->{begun};
	return;
}

sub run_sql
{
	my ($self, $sql) = @_;

	$self->{session} //= MyFatoorah::World::Session->new($self->{node}->connstr($db), setup => q{SET client_min_messages = error; SET timezone = 'UTC'; SET datestyle = iso});
	return $self->{session}->run($sql);
}

# value(sql): what it returns, undef if that failed; insist(sql): dies if it does
sub value
{
	my ($self, $sql) = @_;
	my $answer = $self->run_sql($sql);

	return $answer->{state} eq '00000' ? $answer->{out} : undef;
}

sub insist
{
	my ($self, $sql) = @_;
	my $answer = $self->run_sql($sql);

	die "$answer->{state} $answer->{err}\n$sql\n" if $answer->{state} ne '00000';
	return $answer->{out};
}

sub rows
{
	my ($self, $sql) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/, $self->insist($sql);
}

# Who waits looks at the clock again: when it is told to read the configuration.
sub poke
{
	my ($self) = @_;

	kill 'HUP', split /\n/, $self->insist(q{SELECT pid FROM pg_stat_activity WHERE backend_type IN ('myfatoorah worker', 'myfatoorah reactions')});
	return;
}

sub move
{
	my ($self, $us) = @_;

	$self->{clock}->move_to($us);
	$self->poke;
	return;
}

# Until nothing is due, nor soon, nor under way
my $next_due = q{SELECT CASE WHEN (SELECT sum(in_flight) FROM mf_worker_status) > 0 THEN 0 ELSE round(extract(epoch FROM least(
		(SELECT min(due) FROM mf_queue WHERE isfinite(due) AND kind <> 'review'), (SELECT min(due) FROM mf_inquiry WHERE isfinite(due)), (SELECT min(due) FROM mf_reaction_queue WHERE isfinite(due)),
		(SELECT min(link_due) FROM mf_bill), (SELECT min(next_at) FROM mf_plan), (SELECT min(due) FROM mf_reminder_queue)) - clock_timestamp()) * 1000000) END};

sub settle
{
	my ($self) = @_;
	# hundreds of links may be due at once, each with questions and replies
	my $limit = 5 * MyFatoorah::Sandbox::time_limit();
	my $deadline = time + $limit;
	my $latest = $self->now + SOON_LIMIT;

	for (;;)
	{
		my $left = $self->insist($next_due);

		last if $left eq '' || $left > SOON || $left > 0 && $self->now + $left > $latest;
		if ($left > 0)
		{
			$self->move($self->now + $left + 1000);
			$deadline = time + $limit;
		}
		elsif (time > $deadline)
		{
			die "what is due is not done:\n" . $self->insist(q{SELECT 'queue', t::text FROM mf_queue t WHERE due <= clock_timestamp() UNION ALL SELECT 'inquiry', t::text FROM mf_inquiry t WHERE due <= clock_timestamp()
				UNION ALL SELECT 'reaction', t::text FROM mf_reaction_queue t WHERE due <= clock_timestamp() UNION ALL SELECT 'bill', t::text FROM mf_bill t WHERE link_due <= clock_timestamp()
				UNION ALL SELECT 'plan', t::text FROM mf_plan t WHERE next_at <= clock_timestamp() UNION ALL SELECT 'reminder', t::text FROM mf_reminder_queue t WHERE due <= clock_timestamp() LIMIT 20}) . "\n";
		}
		else
		{
			sleep 0.01;
		}
	}
	push @{ $self->{settled} }, $self->now;
	return;
}

# Questions about invoices that the stand-in was asked and has answered, by reference: its ledger does not hold all of them
sub _listen
{
	my ($self) = @_;

	for (;;)
	{
		my $since = $self->{heard} // 0;
		my $answer = $self->sandbox->request('GET', "/_sandbox/ledger?path=GetPaymentStatus&bodies=0&limit=20000&since=$since")->{content};
		my ($entries, $next, $last, $oldest) = $answer =~ /^(.*)\],"next":(\d+),"last":(\d+),"oldest_held":(\d+)/s or die "the ledger looks different\n";

		die "the stand-in has forgotten requests\n" if $oldest > $since + 1;
		push @{ $self->{asked}{$1} }, $2 while $entries =~ /"reference":"([^"]+)","wall_us":(\d+),[^{}]*?"status":200,/g;
		$self->{questions} += () = $entries =~ /"seq":/g;
		$self->{heard} = $next;
		last if $next >= $last || $next == $since;
	}
	return;
}

#
# Steps
#
sub _step
{
	my ($self, $days, $kill) = @_;
	my $way = $kill ? (qw(worker worker backend postmaster away reactions))[ $self->random(6) ] : '';
	my $to = $self->now + int($days * DAY);

	# the server is away for a week, once a quarter at most
	if ($way eq 'away')
	{
		$way = 'postmaster' if ($self->{away_at} // 0) + 80 * DAY > $self->now && $self->{away_at};
	}
	if ($way eq 'away')
	{
		$self->{away_at} = $self->now;
		$self->{node}->stop('immediate');
		$self->{session}->quit('KILL');
		$self->{clock}->move_to($self->now + 7 * DAY);
		$self->start_server;
		$self->{kills}{'a week away'}++;
	}
	else
	{
		$self->move($to);
		$self->_strike($way) if $way && $self->random < 0.5;
	}
	$self->_wait_up;
	$self->settle;

	# webhooks are lost for some hours
	my $deaf = $self->random < 0.3;
	$self->sandbox->mischief({ drop => 'silent', times => -1 }) if $deaf;
	my $people = MyFatoorah::Year::People->new($self);
	$people->act;
	if ($way && $way ne 'away')
	{
		$people->act_during(sub { $self->_strike($way) });
		$self->_wait_up;
		$people->learn;
	}
	$self->sandbox->clear_mischief if $deaf;
	$self->{lost}++ if $deaf;
	$self->settle;
	$self->_listen;
	return;
}

# Kills while there is work; nobody knows how far it is
sub _strike
{
	my ($self, $way) = @_;
	my $node = $self->{node};
	my $offset = $chaos->log_size($node);

	sleep $self->random * 0.15;
	if ($way eq 'postmaster')
	{
		$self->{clock}->with(sub { $chaos->kill_postmaster($node) });
	}
	elsif ($way eq 'backend')
	{
		my $pid = $self->value('SELECT pg_backend_pid()') // return;

		kill 'KILL', $pid;
		$chaos->wait_crashed($node, $offset);
	}
	else
	{
		my $pid = $self->value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah " . ($way eq 'reactions' ? 'reactions' : 'worker') . "' LIMIT 1") || $self->{worker};

		kill 'KILL', $pid or return;
		$chaos->wait_crashed($node, $offset);
	}
	$self->{kills}{"kill -9 of $way"}++;
	return;
}

sub _wait_up
{
	my ($self) = @_;

	$chaos->until_true('the server', sub { ($self->value('SELECT 1') // '') eq '1' });
	$self->{worker} = $mf->wait_worker($self->{node}, $db);
	return;
}

1;
