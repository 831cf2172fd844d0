# The listener starts and ends with its worker, and takes new settings at a reload. Commands that need a database without
# sessions do not wait for it.
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use IO::Socket::INET ();

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my ($port, $port2, $port3, $port4) = map { $web->free_port } 1 .. 4;
my $node = $mf->new_node('main', init => { allows_streaming => 1 }, conf => "myfatoorah.listen_port = $port");

$mf->setup_account($node, 'postgres', $sandbox);
$web->give_secret($node, 'postgres');

# A setting in postgresql.conf
my $pid = $web->wait_listening($node, 'postgres', $port);
ok($pid, 'it runs where postgresql.conf has a port');

sub conf
{
	my (%settings) = @_;

	$node->append_conf('postgresql.conf', "myfatoorah.$_ = '$settings{$_}'") for sort keys %settings;
	$node->reload;
}

sub health
{
	my ($at, $scheme) = @_;

	$scheme //= 'http';
	return `curl -s -k -o /dev/null -w '%{http_code}' --noproxy '*' $scheme://127.0.0.1:$at/health`;
}

# half of a webhook; the other half
sub begin
{
	my ($at) = @_;
	my $socket = $web->connect($at);
	my ($body, $headers) = $web->v2(invoice => 5);
	my $bytes = "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($body) . "\r\n"
	  . join('', map { "$_: $headers->{$_}\r\n" } keys %$headers) . "\r\n$body";

	syswrite $socket, substr $bytes, 0, -20;
	$mf->wait_for($node, 'postgres', 'SELECT connections > 0 FROM mf_listener_status');
	return [ $socket, substr $bytes, -20 ];
}

sub end
{
	my ($begun) = @_;

	syswrite $begun->[0], $begun->[1];
	shutdown $begun->[0], 1;
	return $web->read_all($begun->[0], 20) =~ /^HTTP\/1\.1 (\d+)/ ? $1 : 'nothing';
}

# One that ends again and again is never long away.
my $longest = 0;
foreach (1 .. 5)
{
	my $ended = $pid;
	my $seconds = $mf->seconds(sub {
		kill TERM => $ended;
		$mf->wait_for($node, 'postgres', "SELECT pid <> $ended AND port IS NOT NULL FROM mf_listener_status");
	});

	$longest = $seconds if $seconds > $longest;
	$pid = $web->wait_listening($node, 'postgres', $port);
}
cmp_ok($longest, '<', 40, 'a listener that ends again and again is started again within seconds');

# Reload: another port, another address
my $begun = begin($port);
conf(listen_port => $port2);
$web->wait_listening($node, 'postgres', $port2);
is(health($port2), 200, 'after a reload it listens on another port');
is($web->connect($port), undef, 'it does not listen on the former port');
is(end($begun), 200, 'what was under way is answered');
is($node->safe_psql('postgres', 'SELECT pid FROM mf_listener_status'), $pid, 'the process is the same after a change of the port');
conf(listen_addresses => '*');
$mf->wait_for($node, 'postgres', "SELECT addresses LIKE '0.0.0.0%' FROM mf_listener_status");
is(health($port2), 200, 'it listens on all addresses');
conf(listen_addresses => 'localhost');
$mf->wait_for($node, 'postgres', "SELECT addresses LIKE '127.0.0.1%' FROM mf_listener_status");

# TLS
my $one = $web->certificate($node, 'one', 'one.example');
my $two = $web->certificate($node, 'two', 'two.example');

sub subject
{
	return `openssl s_client -connect 127.0.0.1:$port2 -servername x </dev/null 2>/dev/null | openssl x509 -noout -subject 2>/dev/null` =~ s/\s//gr;
}

$begun = begin($port2);
conf(ssl_cert_file => 'one.crt');
ok($node->wait_for_log(qr/listener could not apply its settings, and continues as before: myfatoorah\.ssl_cert_file is set, but myfatoorah\.ssl_key_file is not/), 'a certificate without a key is told of');
is(health($port2), 200, 'HTTP goes on after a certificate without a key');
conf(ssl_key_file => 'one.key');
$mf->wait_for($node, 'postgres', 'SELECT tls FROM mf_listener_status');
is(end($begun), 200, 'what had begun without TLS ends so');
is(health($port2, 'https'), 200, 'HTTPS');
is(health($port2), '000', 'HTTP is refused where TLS is on');
is(subject(), 'subject=CN=one.example', 'the certificate is that of ssl_cert_file');
isnt(system("openssl s_client -connect 127.0.0.1:$port2 -tls1_1 </dev/null >/dev/null 2>&1"), 0, 'TLS 1.1 is refused');
like($node->safe_psql('postgres', "SELECT detail FROM mf_check() WHERE item = 'listener'"), qr/HTTPS/, 'mf_check() says so');
system_or_bail('cp', "$two.crt", "$one.crt");
$node->reload;
ok($node->wait_for_log(qr/listener could not apply its settings, and continues as before: the certificate in "one\.crt" cannot be used with the key in "one\.key"/), 'a certificate that does not fit the key is told of');
is(subject(), 'subject=CN=one.example', 'a certificate that does not fit the key is not used');
system_or_bail('cp', "$two.key", "$one.key");
$node->reload;
MyFatoorah::Chaos->until_true('the new certificate', sub { subject() eq 'subject=CN=two.example' });
pass('a new certificate is used after a reload');
chmod 0644, "$one.key";
$node->reload;
ok($node->wait_for_log(qr/the file of myfatoorah\.ssl_key_file can be used by others/), 'a key that others can read is told of');
unlike($node->safe_psql('postgres', 'SET ROLE myfatoorah_submit; TABLE mf_listener_status'), qr/one\.key/, 'not where it is, which many may read');
my $log = slurp_file($node->logfile);
unlike($log, qr/PRIVATE KEY/, 'the log has no private key');
is(health($port2, 'https'), 200, 'HTTPS goes on');
conf(ssl_cert_file => '', ssl_key_file => '');
$mf->wait_for($node, 'postgres', 'SELECT NOT tls FROM mf_listener_status');
is(health($port2), 200, 'HTTP is accepted without a certificate');

# Somebody else has the port
my $other = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port3, Listen => 1, ReuseAddr => 1) or die "$port3: $!";
my $offset = -s $node->logfile;
conf(listen_port => $port3);
ok($node->wait_for_log(qr/listener accepts no connections: could not listen on 127\.0\.0\.1, port $port3: Address already in use/, $offset), 'a port in use is told of');
like($node->safe_psql('postgres', "SELECT ok, detail FROM mf_check() WHERE item = 'listener'"), qr/^f\|could not listen/, 'mf_check() says that the port is in use');
is($node->safe_psql('postgres', 'SELECT port FROM mf_listener_status'), '', 'mf_listener_status shows no port while the port is in use');
$mf->wait_for($node, 'postgres', "SELECT last_error_at > started_at + interval '0 s' AND clock_timestamp() > last_error_at + interval '0.5 s' FROM mf_listener_status");
close $other;
$web->wait_listening($node, 'postgres', $port3);
is(health($port3), 200, 'once it is free, it listens by itself');
my @told = slurp_file($node->logfile, $offset) =~ /could not listen/g;
is(scalar @told, 1, 'the log has one line for all tries of a port in use');

# 0 ends it, and only it
my $worker = $mf->worker_pid($node, 'postgres');
conf(listen_port => 0);
$web->wait_no_listener($node, 'postgres');
pass('port 0 ends it');
is($mf->worker_pid($node, 'postgres'), $worker, 'the worker stays when port 0 ends the listener');
conf(listen_port => $port);
$pid = $web->wait_listening($node, 'postgres', $port);

# An end without a reason
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
my $next = $web->wait_listening($node, 'postgres', $port, not => $pid);
isnt($next, $pid, 'ended by somebody, it is started again');
$node->safe_psql('postgres', 'ALTER ROLE myfatoorah_worker RENAME TO somebody');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($next)");
ok($node->wait_for_log(qr/myfatoorah listener [^\n]*ERROR:  role "myfatoorah_worker" does not exist/), 'the listener cannot start while its role has another name');
$node->safe_psql('postgres', 'ALTER ROLE somebody RENAME TO myfatoorah_worker');
$pid = $web->wait_listening($node, 'postgres', $port);
is(health($port), 200, 'the listener starts once its role is back');

# Whoever ends it in the middle of a statement, at work or at its start, causes no error.
my $errors = $node->safe_psql('postgres', 'SELECT last_error_at FROM mf_listener_status');
$offset = -s $node->logfile;
$node->safe_psql('postgres', q{CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN NEW; END';
	CREATE TRIGGER dawdle BEFORE INSERT ON mf_event FOR EACH ROW EXECUTE FUNCTION dawdle()});
$begun = begin($port);
syswrite $begun->[0], $begun->[1];
$mf->wait_for($node, 'postgres', "SELECT wait_event FROM pg_stat_activity WHERE pid = $pid", 'PgSleep');
kill TERM => $pid;
$pid = $web->wait_listening($node, 'postgres', $port, not => $pid);
$node->safe_psql('postgres', 'DROP FUNCTION dawdle CASCADE');
is($node->safe_psql('postgres', 'SELECT last_error_at FROM mf_listener_status'), $errors, 'ended at work it shows no error');

# no other session can be begun while one has this lock
my $session = $mf->session($node, 'postgres');
$session->query_safe(q{SET statement_timeout = '60s'; BEGIN; LOCK TABLE pg_catalog.pg_extension});
$session->query_safe(q{DO $$
	DECLARE
		former int[] := ARRAY(SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah listener');
		starting int;
	BEGIN
		PERFORM pg_terminate_backend(former[1]);
		WHILE starting IS NULL LOOP
			PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
			SELECT pid INTO starting FROM pg_stat_activity
				WHERE backend_type = 'myfatoorah listener' AND pid <> ALL (former) AND wait_event_type = 'Lock';
		END LOOP;
		PERFORM pg_terminate_backend(starting);
		WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = starting) LOOP
			PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
		END LOOP;
	END $$});
$session->quit;
$pid = $web->wait_listening($node, 'postgres', $port);
is($node->safe_psql('postgres', 'SELECT last_error_at FROM mf_listener_status'), $errors, 'nor at its start');
unlike(slurp_file($node->logfile, $offset), qr/myfatoorah listener[^\n]* ERROR:  (?:myfatoorah: \w+: )?canceling statement/, 'the log tells of no cancel');

# Without its worker it is nothing.
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
$mf->wait_worker($node, 'postgres', not => $worker);
isnt($web->wait_listening($node, 'postgres', $port, not => $pid), $pid, 'it goes and comes with its worker');

# One per database; ALTER DATABASE
conf(listen_port => 0);
$web->wait_no_listener($node, 'postgres');
$node->safe_psql('postgres', "CREATE DATABASE $_") for 'one', 'two';
foreach (['one', $port], ['two', $port2])
{
	$mf->setup_account($node, $_->[0], $sandbox);
	$web->open($node, @$_);
}
is(health($port) . health($port2), '200200', 'two databases, two listeners');
my ($body, $headers) = $web->v2(invoice => 7);
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 401, 'an account without a secret believes nobody');
$web->give_secret($node, 'one');
is($web->post("http://127.0.0.1:$port/webhook", $body, $headers)->{status}, 200, 'its secret is there at once');
is($node->safe_psql('one', 'SELECT count(*) FROM mf_event') . $node->safe_psql('two', 'SELECT count(*) FROM mf_event'), '10', 'each has its own events');
$node->safe_psql('postgres', "ALTER DATABASE two SET myfatoorah.listen_port = $port4");
$web->wait_listening($node, 'two', $port4);
is(health($port4), 200, 'ALTER DATABASE takes effect');
$node->safe_psql('postgres', 'ALTER DATABASE two SET myfatoorah.worker_enabled = off');
$web->wait_no_listener($node, 'two');
pass('without a worker there is none');
$node->safe_psql('postgres', 'ALTER DATABASE two RESET myfatoorah.worker_enabled');
$web->wait_listening($node, 'two', $port4);

# DROP EXTENSION
$node->safe_psql('two', 'DROP EXTENSION myfatoorah CASCADE');
$web->wait_no_listener($node, 'two');
is($web->connect($port4), undef, 'DROP EXTENSION ends it');
$mf->setup_account($node, 'two', $sandbox);
$web->wait_listening($node, 'two', $port4);
is(health($port4), 200, 'CREATE EXTENSION brings it back');

# Commands that want the database for themselves, with clients that hang on
my @hanging = map { my $s = $web->connect($port4); syswrite $s, "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"; $s } 1 .. 20;
$mf->wait_for($node, 'two', 'SELECT connections >= 20 FROM mf_listener_status');
my $seconds = $mf->seconds(sub { $node->safe_psql('postgres', 'ALTER DATABASE two RENAME TO second') });
cmp_ok($seconds, '<', 20, 'RENAME');
$web->wait_listening($node, 'second', $port4);
is(health($port4), 200, 'and it is back under the new name');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE second');
pass('TEMPLATE');
$web->wait_listening($node, 'second', $port4);
@hanging = map { my $s = $web->connect($port4); syswrite $s, 'GET'; $s } 1 .. 20;
$mf->wait_for($node, 'second', 'SELECT connections >= 20 FROM mf_listener_status');
$seconds = $mf->seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE second') });
cmp_ok($seconds, '<', 20, 'DROP DATABASE');
is($web->connect($port4), undef, 'DROP DATABASE ends the listener');
is(health($port), 200, 'and not that of another database');

# A standby has none; promoted, it has.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$mf->write_key($standby, $sandbox->key);
$standby->start;
is($standby->safe_psql('one', 'SELECT count(*) FROM mf_listener_status'), 0, 'a standby has none');
is($standby->safe_psql('one', "SELECT ok, detail FROM mf_check() WHERE item = 'listener'"), 't|Waiting: this server is a standby.', 'mf_check() says so');

# Fast shutdown, with clients in every state; then the promotion, on the port that has become free
my @times;
for (1 .. 3)
{
	@hanging = ();
	foreach my $bytes ('', 'GET', "POST /webhook HTTP/1.1\r\nHost: x\r\n", "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	{
		push @hanging, $web->connect($port);
		syswrite $hanging[-1], $bytes;
	}
	$mf->wait_for($node, 'one', 'SELECT connections >= 5 FROM mf_listener_status');
	push @times, $mf->seconds(sub { $node->stop('fast') });
	last if $times[-1] < 5;
	$node->start;
	$web->wait_listening($node, 'one', $port);
}
cmp_ok($times[-1], '<', 5, 'a fast shutdown with clients in each state takes less than five seconds') or diag("@times");
$standby->promote;
$web->wait_listening($standby, 'one', $port);
is(health($port), 200, 'after promotion it listens');
$standby->stop;
done_testing();
