# The listener of a primary and a standby behind HAProxy, with the very configuration that docs/listener.md gives: webhooks reach
# the primary only, before and after a promotion. And which ports mf_check() warns of.
use MyFatoorah::Test;
use IPC::Run ();
use POSIX ();

my ($haproxy) = grep { -x } map { "$_/haproxy" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my %port = map { $_ => $web->free_port } 'primary', 'standby', 'public';
my $primary = $mf->new_node('primary', init => { allows_streaming => 1 },
	conf => "myfatoorah.poll_rate_limit = 0\nmyfatoorah.listen_port = $port{primary}");

$mf->setup_account($primary, 'postgres', $sandbox);
$web->give_secret($primary, 'postgres');
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
# The test module's copy does not keep the mode of files.
$mf->write_key($standby, $sandbox->key);
$mf->write_key($standby, $MyFatoorah::Web::secret, 'myfatoorah.webhook');
$standby->append_conf('postgresql.conf', "myfatoorah.listen_port = $port{standby}");
$standby->start;
$web->wait_listening($primary, 'postgres', $port{primary});

is($web->get("http://127.0.0.1:$port{primary}/health")->{status}, 200, 'the primary answers /health');
ok(!$web->connect($port{standby}), 'nobody listens on a standby');
is($standby->safe_psql('postgres', q{SELECT detail FROM mf_check() WHERE item = 'listener'}), 'Waiting: this server is a standby.', 'mf_check() says so there');
is($primary->safe_psql('postgres', q{SELECT ok, hint FROM mf_check() WHERE item = 'account'}), 't|', 'the time-outs are short enough for a promotion');
my (undef, undef, $err) = $standby->psql('postgres', q{SELECT mf_webhook('{}', 'x', 'v2')});
like($err, qr/read-only transaction|invalid MyFatoorah message/, 'nor does mf_webhook() store anything there');

#
# HAProxy
#
SKIP:
{
	skip 'haproxy is not installed (Debian package haproxy)', 9 unless $haproxy;
	my ($doc) = grep { -e } 'docs/listener.md', "$ENV{PWD}/docs/listener.md";
	my ($config) = slurp_file($doc) =~ /^```haproxy\n(.*?)^```/ms or die "no configuration in docs/listener.md\n";
	my $dir = PostgreSQL::Test::Utils::tempdir('haproxy');
	my %changes = ('bind :443 ssl crt /etc/haproxy/pay.example.com.pem' => "bind 127.0.0.1:$port{public}",
		'10.0.0.1:8088' => "127.0.0.1:$port{primary}", '10.0.0.2:8088' => "127.0.0.1:$port{standby}");

	foreach my $what (sort keys %changes)
	{
		ok($config =~ s/\Q$what\E/$changes{$what}/, "the document has $what");
	}
	append_to_file("$dir/haproxy.cfg", "$config\n");
	is(system_log($haproxy, '-c', '-q', '-f', "$dir/haproxy.cfg"), 0, 'haproxy takes it');
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		open STDERR, '>>', "$dir/log";
		exec 'setpriv', '--pdeathsig=TERM', $haproxy, '-db', '-f', "$dir/haproxy.cfg" or POSIX::_exit(127);
	}
	# wait_answer(status, invoice): posts a webhook until it is answered so
	my $wait_answer = sub {
		my ($status, $invoice) = @_;
		my $deadline = time + MyFatoorah::Sandbox::time_limit();
		my $got;

		while (time < $deadline)
		{
			$got = $web->post("http://127.0.0.1:$port{public}/webhook", $web->v2(invoice => $invoice, payment => "05$invoice"))->{status};
			return $got if $got == $status;
			select undef, undef, undef, 0.1;
		}
		return $got;
	};
	my $events = "SELECT string_agg(invoice_id::text, ' ' ORDER BY invoice_id) FROM mf_event";

	is($wait_answer->(200, 11), 200, 'a webhook reaches the primary');
	is($web->get("http://127.0.0.1:$port{public}/health")->{status}, 404, 'the check of health is not for the public');
	$mf->wait_for($standby, 'postgres', $events, 11);
	$primary->stop;
	is($wait_answer->(503, 12), 503, 'without a primary it is told to come again');
	$standby->promote;
	is($wait_answer->(200, 12), 200, 'after the promotion it reaches the other one');
	is($standby->safe_psql('postgres', $events), '11 12', 'which has all');
	kill 'TERM', $pid;
	waitpid $pid, 0;
}

#
# Ports that outgoing connections may get
#
my $range = '/proc/sys/net/ipv4/ip_local_port_range';
SKIP:
{
	my ($first, $last) = -r $range ? slurp_file($range) =~ /(\d+)\s+(\d+)/ : (0);

	skip "$range does not begin at 32768", 2 unless $first == 32768;
	my $hint = q{SELECT ok, hint FROM mf_check() WHERE item = 'listener'};
	my $node = $haproxy ? $standby : $primary;
	my $outside = $web->free_port;

	$web->open($node, 'postgres', $outside);
	is($node->safe_psql('postgres', $hint), 't|', 'a port outside of the range needs no hint');
	my ($inside) = grep { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $_, Listen => 1) } map { $first + int(rand($last - $first)) } 1 .. 100;
	$web->open($node, 'postgres', $inside);
	like($node->safe_psql('postgres', $hint), qr/^t\|An outgoing connection .* outside of $first to $last/, 'one inside of it does');
}
done_testing();
