# The listener behind nginx, with the very configuration that docs/listener.md gives.
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use IO::Socket::INET ();
use POSIX ();

my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';

plan skip_all => 'nginx is not installed (Debian package nginx-light)' unless $nginx;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => 'myfatoorah.poll_rate_limit = 0');
my ($port, $public) = map { $web->free_port } 1, 2;
my ($doc) = grep { -e } 'docs/listener.md', "$ENV{PWD}/docs/listener.md";
my ($config) = slurp_file($doc) =~ /^```nginx\n(.*?)^```/ms or die "no configuration in docs/listener.md\n";
my $url = "https://127.0.0.1:$public";

# Only what is of this machine is changed.
my $dir = PostgreSQL::Test::Utils::tempdir('nginx');
my $certificate = $web->certificate($node, 'nginx', 'pay.example.com');
my %changes = (
	'127.0.0.1:8088' => "127.0.0.1:$port",
	'listen 443 ssl' => "listen 127.0.0.1:$public ssl",
	'/etc/ssl/pay.example.com.crt' => "$certificate.crt",
	'/etc/ssl/private/pay.example.com.key' => "$certificate.key");
foreach my $what (sort keys %changes)
{
	ok($config =~ s/\Q$what\E/$changes{$what}/, "the document has $what");
}
append_to_file("$dir/site.conf", $config);
append_to_file("$dir/nginx.conf", join("\n", 'daemon off;', 'worker_processes 1;', "pid $dir/pid;", "error_log $dir/error.log;",
	'events { worker_connections 200; }', 'http {', (map { "${_}_temp_path $dir/$_;" } qw(client_body proxy fastcgi uwsgi scgi)),
	"include $dir/site.conf;", '}', ''));
is(system_log($nginx, '-t', '-q', '-p', $dir, '-e', "$dir/error.log", '-c', "$dir/nginx.conf"), 0, 'nginx takes it') or diag(slurp_file("$dir/error.log"));

my $pid = fork // die "fork: $!";
if ($pid == 0)
{
	exec $nginx, '-p', $dir, '-e', "$dir/error.log", '-c', "$dir/nginx.conf" or die "exec: $!";
}
END { local $?; kill 'TERM', $pid if $pid; waitpid $pid, 0 if $pid; }

# call(path, curl's arguments): status and headers
sub call
{
	my ($path, @arguments) = @_;
	my ($out, $err);

	IPC::Run::run([ 'curl', '-s', '-k', '-i', '--noproxy', '*', '--max-time', '30', @arguments, "$url$path" ], '>', \$out, '2>', \$err);
	my ($status) = ($out // '') =~ /^HTTP\/\S+ (\d+)(?!.*^HTTP\/)/ms;
	my ($location) = ($out // '') =~ /^location: (\S+)/mi;

	return ($status // 'none') . ($location ? " $location" : '');
}

sub post
{
	my ($path, $body, $headers) = @_;

	unlink "$dir/body";
	append_to_file("$dir/body", $body);
	return call($path, '--data-binary', "\@$dir/body", map { ('-H', "$_: $headers->{$_}") } keys %$headers);
}

MyFatoorah::Chaos->until_true('nginx', sub { $web->connect($public) });
is(call('/health'), 404, 'the check of health is not for the public');
my ($body, $headers) = $web->v2(invoice => 77);
is(post('/webhook', $body, $headers), 502, 'without a listener: 502, so that MyFatoorah tries again');

$mf->setup_account($node, 'postgres', $sandbox);
$web->give_secret($node, 'postgres');
$web->open($node, 'postgres', $port, public_url => 'https://pay.example.com', route_callbacks => 'on');
$mf->wait_worker($node, 'postgres');

is(post('/webhook', $body, $headers), 200, 'a webhook through nginx: 200');
is(post('/webhook/myfatoorah', $body, $headers), 200, 'a webhook with the name of the account: 200');
is(post('/webhook', $body, { %$headers, 'MyFatoorah-Signature' => 'x' }), 401, 'a forged webhook: 401');
is(post('/webhook/no%2Fbody', $body, $headers), 404, 'a webhook of an unknown account: 404');
is(post('/webhook', 'x' x 300_000, $headers), 413, 'a webhook that is too large: 413');
is($node->safe_psql('postgres', 'SELECT count(*), max(deliveries) FROM mf_event'), '1|2', 'what was signed is stored');
($body, $headers) = $web->v2(invoice => 78, pad => 'x' x 200_000);
is(post('/webhook', $body, $headers), 200, 'a large webhook: 200');

# Junk from one address does not cost another its webhooks.
{
	my @junk = map {
		my $child = fork // die "fork: $!";

		if ($child == 0)
		{
			open STDOUT, '>', '/dev/null';
			open STDERR, '>', '/dev/null';
			exec 'curl', '-s', '-k', '--noproxy', '*', '--interface', '127.0.0.2', '--data-binary', 'junk', "$url/webhook?n=[1-20000]"
			  or POSIX::_exit(1);
		}
		$child
	} 1 .. 4;
	my %seen;

	MyFatoorah::Chaos->until_true('a limit', sub { slurp_file("$dir/error.log") =~ /limiting requests.*client: 127\.0\.0\.2/ });
	pass('junk of one address is more than it may be');
	$seen{ post('/webhook', $web->v2(invoice => 1000 + $_)) }++ foreach 1 .. 36;
	is(join(', ', map { "$_: $seen{$_}" } sort keys %seen), '200: 36', 'webhooks from another are taken meanwhile');
	is(scalar(grep { waitpid($_, 1) == 0 } @junk), 4, 'with the junk still coming');
	kill 'TERM', @junk;
	waitpid $_, 0 foreach @junk;
}

# A customer
$mf->insert($node, 'postgres', 'customer', call_back_url => "'https://shop.example/thanks'");
$mf->wait_status($node, 'postgres', 'customer');
my ($invoice, $token) = split /\|/, $node->safe_psql('postgres', "SELECT invoice_id, id || '-' || right(reference, 20) FROM mf_invoice");
$sandbox->invoice($invoice, 'pay');
is(call("/callback/$token?paymentId=0707&Id=0707"), '303 https://shop.example/thanks?paymentId=0707&Id=0707', 'a customer who comes back');

# The address of a bill
$node->safe_psql('postgres', q{CREATE EXTENSION myfatoorah_billing; INSERT INTO mf_bill (customer_name, total, customer_reference) VALUES ('Ahmad', 5, 'bill')});
$mf->wait_status($node, 'postgres', 'bill');
is(call($node->safe_psql('postgres', q{SELECT '/pay/' || token FROM mf_bill})), '303 ' . $node->safe_psql('postgres', q{SELECT invoice_url FROM mf_invoice ORDER BY id DESC LIMIT 1}), 'whoever opens the address of a bill');

# More than a person does
my (%seen, $statuses);
IPC::Run::run([ 'curl', '-s', '-k', '--noproxy', '*', '--max-time', '60', '-o', '/dev/null', '-w', '%{http_code}\n', "$url/callback/1-guess?[1-60]" ],
	'>', \$statuses);
$seen{$_}++ foreach split /\n/, $statuses;
ok($seen{404} && $seen{404} >= 20 && $seen{429}, 'guessing is slowed down') or diag(join ', ', %seen);
is(post('/webhook', $body, $headers), 200, 'webhooks are taken while guesses are slowed down');

$node->stop;
done_testing();
