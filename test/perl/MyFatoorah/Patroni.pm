# A cluster under Patroni on this machine: etcd, and nodes with a Patroni and a PostgreSQL each, all on ports of the loopback
# interface. A node is a PostgreSQL::Test::Cluster whose server Patroni starts and stops; its processes are those below one
# process (test/ha/machine.py), so that a node can be killed, frozen and thawed as a machine.
package MyFatoorah::Patroni;

use strict;
use warnings;

use HTTP::Tiny ();
use IO::Handle ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use MyFatoorah::Chaos;
use MyFatoorah::Cluster;

my $chaos = 'MyFatoorah::Chaos';

# The smallest that Patroni allows
use constant { TTL => 20, LOOP_WAIT => 2, RETRY_TIMEOUT => 5 };

# missing: the Debian packages without which there is no cluster
sub missing
{
	my $is_old = _program('patroni') && _is_old();

	return grep { defined } (_program('patroni') ? undef : 'patroni'), (_program('etcd') ? undef : 'etcd-server'),
	  ($is_old && system('/usr/bin/python3 -c "import etcd" 2>/dev/null') != 0 ? 'python3-etcd' : undef);
}

# Before 3.0.3 a primary whose session has expired takes the leader key from whoever has it now, if it speaks version 3 of
# etcd's protocol (docs/ha.md).
sub _is_old
{
	my ($major, $minor, $patch) = `@{[ _program('patroni') ]} --version` =~ /(\d+)\.(\d+)\.(\d+)/ or return 0;

	return $major * 10000 + $minor * 100 + $patch < 30003;
}

sub _program
{
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/bin', '/usr/sbin')[0];
}

# new(name => 'ha', nodes => 3, synchronous => 1, conf => { parameter => value }): a cluster with a leader, and replicas that
# stream from it. MF_HA_PROTOCOL is how Patroni speaks with etcd: etcd (version 2) or etcd3.
sub new
{
	my ($class, %params) = @_;
	my $self = bless {
		name => $params{name} // 'ha',
		synchronous => $params{synchronous} ? 1 : 0,
		conf => $params{conf} // {},
		protocol => $ENV{MF_HA_PROTOCOL} || (_is_old() ? 'etcd' : 'etcd3'),
		http => HTTP::Tiny->new(timeout => 60, proxy => undef, http_proxy => undef),
		json => JSON::PP->new->canonical,
		owner => $$,
	}, $class;

	$self->_start_etcd;
	$self->{nodes} = [ map { $self->_new_node($_) } 1 .. $params{nodes} // 3 ];
	# the first to come initializes the database
	foreach my $node (@{ $self->{nodes} })
	{
		$self->start($node);
		$self->wait_leader if $node == $self->{nodes}[0];
	}
	$self->wait_healthy;
	return $self;
}

sub nodes { return @{ $_[0]->{nodes} }; }

sub _machine
{
	my ($self, $name, @command) = @_;
	my ($top) = grep { -e "$_/test/ha/machine.py" } '.', $ENV{PWD};
	my $log = "$PostgreSQL::Test::Utils::log_path/" . ($0 =~ s{.*/|\.pl$}{}gr) . "_$name.log";

	pipe my $in, my $to or die "pipe: $!\n";
	pipe my $from, my $out or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		open STDIN, '<&', $in;
		open STDOUT, '>&', $out;
		close $_ for $in, $to, $from, $out;
		exec '/usr/bin/python3', "$top/test/ha/machine.py", $log, @command or POSIX::_exit(127);
	}
	close $_ for $in, $out;
	$to->autoflush(1);
	return { pid => $pid, to => $to, from => $from, log => $log };
}

sub _run
{
	my ($machine) = @_;

	print { $machine->{to} } "start\n";
	my $pid = readline $machine->{from};
	die "the machine of $machine->{log} has ended\n" unless $pid;
	chomp $pid;
	return $machine->{main} = $pid;
}

sub _start_etcd
{
	my ($self) = @_;
	my ($client, $peer) = map { "http://127.0.0.1:" . PostgreSQL::Test::Cluster::get_free_port() } 1, 2;
	my $data = PostgreSQL::Test::Utils::tempdir("$self->{name}_etcd");

	$self->{etcd_url} = $client;
	$self->{etcd} = $self->_machine("$self->{name}_etcd", _program('etcd'), '--name', 'etcd', '--data-dir', $data,
		'--listen-client-urls', $client, '--advertise-client-urls', $client, '--listen-peer-urls', $peer,
		'--initial-advertise-peer-urls', $peer, '--initial-cluster', "etcd=$peer",
		$self->{protocol} eq 'etcd' ? '--enable-v2=true' : ());
	_run($self->{etcd});
	$chaos->until_true('etcd', sub { $self->{http}->get("$client/health")->{success} });
	return;
}

sub _new_node
{
	my ($self, $number) = @_;
	my $node = PostgreSQL::Test::Cluster->new("$self->{name}$number");
	my $rest = PostgreSQL::Test::Cluster::get_free_port();
	my $file = $node->basedir . '/patroni.yml';

	mkdir $node->host unless -d $node->host;
	PostgreSQL::Test::Utils::append_to_file($file, $self->{json}->pretty->encode($self->_config($node, $rest)));
	$node->{ha} = { name => "n$number", rest => "http://127.0.0.1:$rest" };
	$node->{ha}{machine} = $self->_machine($node->name, _program('patroni'), $file);
	return $node;
}

# JSON is YAML.
sub _config
{
	my ($self, $node, $rest) = @_;
	my $user = getpwuid $>;
	my %login = (username => $user, password => 'none');

	return {
		scope => $self->{name}, namespace => '/mf/', name => $node->name,
		restapi => { listen => "127.0.0.1:$rest", connect_address => "127.0.0.1:$rest" },
		$self->{protocol} => { hosts => $self->{etcd_url} =~ s{^http://}{}r },
		log => { level => 'INFO' },
		watchdog => { mode => 'off' },
		bootstrap => {
			dcs => {
				ttl => TTL, loop_wait => LOOP_WAIT, retry_timeout => RETRY_TIMEOUT,
				maximum_lag_on_failover => 100 * 1024 * 1024,
				synchronous_mode => $self->{synchronous} ? JSON::PP::true : JSON::PP::false,
				postgresql => {
					use_pg_rewind => JSON::PP::true, use_slots => JSON::PP::true,
					parameters => {
						shared_preload_libraries => 'myfatoorah', shared_buffers => '16MB', fsync => 'off',
						max_connections => 60, max_worker_processes => 16, max_prepared_transactions => 10, max_wal_senders => 8,
						wal_keep_size => '64MB', wal_log_hints => 'on', hot_standby => 'on', wal_level => 'replica',
						'myfatoorah.shutdown_wait' => '2s', log_min_messages => 'log',
						log_line_prefix => '%m [%p] %b %q%a %d ', logging_collector => 'off',
						%{ $self->{conf} },
					},
				},
			},
			initdb => [ { encoding => 'UTF8' }, { locale => 'C' }, 'no-sync' ],
		},
		postgresql => {
			listen => '127.0.0.1:' . $node->port, connect_address => '127.0.0.1:' . $node->port,
			data_dir => $node->data_dir, bin_dir => $ENV{MF_BIN} // _bindir(),
			pgpass => $node->basedir . '/pgpass', use_unix_socket => JSON::PP::true,
			remove_data_directory_on_rewind_failure => JSON::PP::true,
			remove_data_directory_on_diverged_timelines => JSON::PP::true,
			authentication => { superuser => {%login}, replication => {%login}, rewind => {%login} },
			parameters => { unix_socket_directories => $node->host },
			pg_hba => [ 'local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ],
		},
	};
}

sub _bindir
{
	my $bindir = `pg_config --bindir`;

	chomp $bindir;
	return $bindir;
}

# start(node): starts its Patroni
sub start
{
	my ($self, $node) = @_;

	_run($node->{ha}{machine});
	return;
}

# manager(node): the process of its Patroni; processes(node): all of the node
sub manager { return $_[1]->{ha}{machine}{main}; }

sub processes
{
	my ($self, $node) = @_;

	return _below($node->{ha}{machine}{pid});
}

sub _below
{
	my ($root) = @_;
	my (%children, @found);

	foreach my $path (glob '/proc/[0-9]*/stat')
	{
		open my $file, '<', $path or next;
		my $line = <$file> // '';

		push @{ $children{$2} }, $1 if $line =~ /^(\d+) .*\) [^Z] (\d+) /;
	}
	my @todo = ($root);
	while (defined(my $pid = shift @todo))
	{
		push @found, @{ $children{$pid} // [] };
		push @todo, @{ $children{$pid} // [] };
	}
	return @found;
}

# freeze(node) and thaw(node): all its processes; the managers first, so that none sees another standing still
sub freeze
{
	my ($self, $node) = @_;
	my %stopped;

	# those that are started meanwhile too
	while (my @pids = grep { !$stopped{$_}++ } $self->processes($node)) { kill 'STOP', @pids }
	return;
}

sub thaw { my ($self, $node) = @_; kill 'CONT', $self->processes($node); return; }

# freeze_etcd and thaw_etcd
sub freeze_etcd { kill 'STOP', _below($_[0]->{etcd}{pid}); return; }
sub thaw_etcd { kill 'CONT', _below($_[0]->{etcd}{pid}); return; }

# rest(node, method, path, data): what its Patroni answers: HTTP::Tiny's answer
sub rest
{
	my ($self, $node, $method, $path, $data) = @_;

	return $self->{http}->request($method, "$node->{ha}{rest}$path",
		$data ? { content => $self->{json}->encode($data), headers => { 'Content-Type' => 'application/json' } } : {});
}

# leader: the node that is the primary by the word of its own Patroni; undef if there is none
sub leader
{
	my ($self) = @_;

	foreach my $node ($self->nodes)
	{
		# the Patroni of a frozen node does not answer
		next if $node->{ha}{frozen};
		return $node if $self->rest($node, 'GET', '/primary')->{success};
	}
	return;
}

# wait_leader(not => node): waits until there is one that can be written to, another than that
sub wait_leader
{
	my ($self, %params) = @_;

	return $chaos->until_true('a leader', sub {
		my $leader = $self->leader // return;

		return if $params{not} && $leader == $params{not};
		return $leader if $self->ask($leader, 'SELECT NOT pg_is_in_recovery()') eq 't';
		return;
	});
}

# ask(node, query): the answer, or '' if there is none in a few seconds
sub ask
{
	my ($self, $node, $query) = @_;
	my $out = '';

	return eval { $node->psql('postgres', $query, stdout => \$out, stderr => \my $err, timeout => 10) == 0 } ? $out : '';
}

# wait_healthy: waits until all replicas stream from the leader, one synchronously where that is wanted (and known to etcd, or it
# would not be promoted), and returns it
sub wait_healthy
{
	my ($self) = @_;
	my $replicas = $self->nodes - 1;

	return $chaos->until_true('a healthy cluster', sub {
		my $leader = $self->leader // return;

		foreach my $node (grep { $_ != $leader } $self->nodes)
		{
			return unless $self->rest($node, 'GET', '/replica')->{success};
		}
		my $streaming = $self->ask($leader, q{SELECT count(*) || ' ' || count(*) FILTER (WHERE sync_state = 'sync') FROM pg_stat_replication WHERE state = 'streaming' AND NOT pg_is_in_recovery()});
		return unless $streaming eq "$replicas $self->{synchronous}";
		return $leader unless $self->{synchronous};
		return $self->rest($leader, 'GET', '/cluster')->{content} =~ /"sync_standby"/ ? $leader : undef;
	});
}

# config(change): changes the configuration of the cluster
sub config
{
	my ($self, $change) = @_;
	my $answer = $self->rest($self->{nodes}[0], 'PATCH', '/config', $change);

	die "PATCH /config: $answer->{status} $answer->{content}\n" unless $answer->{success};
	return;
}

# conninfo: of all nodes, for whoever wants the primary
sub conninfo
{
	my ($self) = @_;
	my @ports = map { $_->port } $self->nodes;

	return 'host=' . join(',', map { '127.0.0.1' } @ports) . ' port=' . join(',', @ports)
	  . ' dbname=postgres connect_timeout=2 target_session_attrs=read-write';
}

# stop: ends all of it at once
sub stop
{
	my ($self) = @_;

	return if $$ != $self->{owner};
	local $?;
	foreach my $machine ((map { delete $_->{ha}{machine} // () } @{ $self->{nodes} // [] }), delete $self->{etcd} // ())
	{
		kill 'TERM', $machine->{pid};
		close $machine->{to};
		waitpid $machine->{pid}, 0;
	}
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($@, $!, $?);
	$self->stop;
	return;
}

1;
