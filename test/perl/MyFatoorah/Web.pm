# The outside world of the listener: MyFatoorah's webhooks, signed here after the vendor's rules, browsers that come
# back, and clients that are up to no good. All are class methods.
package MyFatoorah::Web;

use strict;
use warnings;

use Digest::SHA ();
use Encode ();
use HTTP::Tiny ();
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use Time::HiRes ();
use PostgreSQL::Test::Utils;
use MyFatoorah::Sandbox;

our $secret = 'webhook secret, known to two'  =~ tr/ ,/-/dr;

# free_port: a port that nobody uses now, and that no connection takes, whose ports begin at 32768. Each process has ten of
# its own.
my $ports = 0;

sub free_port
{
	while ($ports < 10)
	{
		my $port = 10_000 + $$ % 2200 * 10 + $ports++;

		return $port if IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1);
	}
	die "no free port\n";
}

# open(node, dbname, port, settings): switches a listener on in that database, and waits until it listens there
sub open
{
	my ($class, $node, $dbname, $port, %settings) = @_;

	$node->safe_psql('postgres', join ';', map { "ALTER DATABASE \"$dbname\" SET myfatoorah.$_ = '$settings{$_}'" } sort keys %settings)
	  if %settings;
	$node->safe_psql('postgres', "ALTER DATABASE \"$dbname\" SET myfatoorah.listen_port = $port");
	$class->wait_listening($node, $dbname, $port);
	return;
}

# wait_listening(node, dbname, port, not => pid): waits until the listener does, another than that one; returns its pid
sub wait_listening
{
	my ($class, $node, $dbname, $port, %params) = @_;
	my $other = $params{not} || 0;

	MyFatoorah::Cluster->wait_for($node, $dbname, "SELECT count(*) FROM mf_listener_status WHERE port = $port AND pid <> $other", '1');
	return $node->safe_psql($dbname, 'SELECT pid FROM mf_listener_status');
}

# wait_no_listener(node, dbname): waits until no listener is connected to that database
sub wait_no_listener
{
	my ($class, $node, $dbname) = @_;

	return MyFatoorah::Cluster->wait_for($node, 'postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah listener' AND datname = '$dbname'", '0');
}

# give_secret(node, dbname, account): the account gets the secret of its webhooks, in a file
sub give_secret
{
	my ($class, $node, $dbname, $account) = @_;

	$account //= 'myfatoorah';
	MyFatoorah::Cluster->write_key($node, $secret, "$account.webhook");
	$node->safe_psql($dbname, "ALTER USER MAPPING FOR PUBLIC SERVER \"$account\" OPTIONS (ADD webhook_secret_file '$account.webhook')");
	return;
}

# sign(text, secret): base64 of the HMAC
sub sign
{
	my ($class, $text, $with) = @_;
	my $base64 = Digest::SHA::hmac_sha256_base64(Encode::encode_utf8($text), $with // $secret);

	# the module leaves the padding out
	return $base64 . '=' x (-length($base64) % 4);
}

# v2(invoice => ..., payment => ..., reference => ..., status => ..., pad => ..., secret => ...): body and headers of a
# payment webhook of version 2
sub v2
{
	my ($class, %is) = @_;
	my %fields = (
		invoice => 1, payment => '07070000000001', reference => '', status => 'PAID', transaction => 'SUCCESS', %is);
	my $body = JSON::PP->new->canonical->utf8->encode({
		Event => { Code => 1, Name => 'PAYMENT_STATUS_CHANGED', CountryIsoCode => 'KWT',
			CreationDate => '2026-01-04T08:15:00.9500000Z', Reference => 'WH-1' },
		Data => {
			Invoice => { Id => "$fields{invoice}", Status => $fields{status}, ExternalIdentifier => $fields{reference},
				UserDefinedField => $fields{pad} // '' },
			Transaction => { Status => $fields{transaction}, PaymentId => $fields{payment} },
		},
	});
	my $text = "Invoice.Id=$fields{invoice},Invoice.Status=$fields{status},Transaction.Status=$fields{transaction},"
	  . "Transaction.PaymentId=$fields{payment},Invoice.ExternalIdentifier=$fields{reference}";

	return ($body, { 'Content-Type' => 'application/json', 'MyFatoorah-Webhook-Version' => 'v2',
		'MyFatoorah-Signature' => $class->sign($text, $fields{secret}) });
}

# hand_in(as v2()): the SQL that hands in such a webhook
sub hand_in
{
	my ($class, %is) = @_;
	my ($body, $headers) = $class->v2(%is);

	return MyFatoorah::Cluster->webhook({ body => $body, signature => $headers->{'MyFatoorah-Signature'}, version => 'v2' });
}

# v1(Name => value ...): the same of version 1, with these members of Data
sub v1
{
	my ($class, %data) = @_;
	my %all = (InvoiceId => 1, CustomerReference => '', TransactionStatus => 'SUCCESS', PaymentId => '07070000000001',
		DepositedAmount => '1.000', DepositFor => undef, CustomerName => 'A, B=C', %data);
	my $body = JSON::PP->new->canonical->utf8->encode({ EventType => 1, Event => 'TransactionsStatusChanged',
		DateTime => '04032021211615', CountryIsoCode => 'KWT', Data => \%all });
	my $text = join ',', map { "$_=" . ($all{$_} // '') } sort { lc $a cmp lc $b } keys %all;

	return ($body, { 'Content-Type' => 'application/json', 'MyFatoorah-Webhook-Version' => 'V1',
		'MyFatoorah-Signature' => $class->sign($text) });
}

# together(node, dbname, port, path, deliveries): posts webhooks so that the listener stores them in one batch; their answers
sub together
{
	my ($class, $node, $dbname, $port, $path, @deliveries) = @_;
	my $listener = $node->safe_psql($dbname, 'SELECT pid FROM mf_listener_status');
	my @sockets = map { $class->connect($port) } @deliveries;

	# all are complete at one time for a listener that has begun to read them
	syswrite $sockets[$_], "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nMyFatoorah-Signature: $deliveries[$_]{signature}\r\nMyFatoorah-Webhook-Version: $deliveries[$_]{version}\r\nContent-Length: "
	  . length($deliveries[$_]{body}) . "\r\n\r\n" foreach 0 .. $#deliveries;
	MyFatoorah::Cluster->wait_for($node, $dbname, 'SELECT connections FROM mf_listener_status', scalar @deliveries);
	kill 'STOP', $listener;
	syswrite $sockets[$_], $deliveries[$_]{body} foreach 0 .. $#deliveries;
	kill 'CONT', $listener;
	return map { $class->read_all($_, 20) } @sockets;
}

# post(url, body, headers) and get(url): HTTP::Tiny's answer; redirects are not followed
sub post
{
	my ($class, $url, $body, $headers) = @_;

	return _http()->post($url, { content => $body, headers => $headers // {} });
}

sub get
{
	my ($class, $url, $method) = @_;

	return _http()->request($method // 'GET', $url);
}

sub _http
{
	return HTTP::Tiny->new(timeout => MyFatoorah::Sandbox::time_limit(), max_redirect => 0, proxy => undef, http_proxy => undef, verify_SSL => 0);
}

# connect(port): a connection
sub connect
{
	my ($class, $port) = @_;

	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 60);
}

# talk(port, bytes, seconds): sends the bytes in one go and returns what comes until the other side closes, or until that
# time is over; with how => 'shut' our side is closed after sending
sub talk
{
	my ($class, $port, $bytes, %params) = @_;
	my $socket = $class->connect($port) or return '';

	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $bytes;
	$socket->shutdown(1) if $params{shut};
	return $class->read_all($socket, $params{seconds} // 10);
}

# read_all(socket, seconds): likewise
sub read_all
{
	my ($class, $socket, $seconds) = @_;
	my $deadline = Time::HiRes::time() + $seconds;
	my $select = IO::Select->new($socket);
	my $got = '';

	while ((my $left = $deadline - Time::HiRes::time()) > 0)
	{
		last unless $select->can_read($left);
		last unless sysread $socket, $got, 65536, length $got;
	}
	return $got;
}

# is_closed(socket, seconds): whether the other side closes within that time
sub is_closed
{
	my ($class, $socket, $seconds) = @_;
	my $deadline = Time::HiRes::time() + $seconds;
	my $select = IO::Select->new($socket);
	my $buffer;

	while ((my $left = $deadline - Time::HiRes::time()) > 0)
	{
		return 1 if $select->can_read($left) && !sysread $socket, $buffer, 65536;
	}
	return 0;
}

# certificate(node, name, cn): a self-signed one in the data directory: NAME.crt and NAME.key
sub certificate
{
	my ($class, $node, $name, $cn) = @_;
	my $base = $node->data_dir . "/$name";

	PostgreSQL::Test::Utils::system_log('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$cn",
		'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', "$base.key", '-out', "$base.crt") == 0
	  or die "openssl makes no certificate\n";
	chmod 0600, "$base.key";
	return $base;
}

1;
