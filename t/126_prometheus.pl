# monitoring/: what postgres_exporter makes of the queries is what promtool accepts, what rules and dashboard ask for, and
# what docs/monitoring.md describes, however many accounts there are.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my ($exporter) = grep { -x } '/usr/bin/prometheus-postgres-exporter', '/usr/local/bin/postgres_exporter';
my ($promtool) = grep { -x } '/usr/bin/promtool', '/usr/local/bin/promtool';

# Without Prometheus: the metrics that rules and dashboard ask for are those of the queries, by their names.
my $queries = slurp_file('monitoring/postgres_exporter.yaml');
my %named;
for my $block (split /^(?=\w)/m, $queries)
{
	my ($name) = $block =~ /^(\w+):/ or next;

	for my $metric ($block =~ /^    - (.*)$/mg)
	{
		my ($column, $usage) = $metric =~ /^(\w+): \{usage: (\w+)/ or die "not understood: $metric";

		$named{ "${name}_$column" } = $usage if $usage ne 'LABEL';
	}
}
cmp_ok(scalar keys %named, '>', 20, 'the metrics are found');

# metrics(text): the metrics that a text names
sub metrics
{
	my ($text) = @_;

	return sort keys %{ { map { s/_(?:bucket|sum|count)$//r => 1 } $text =~ /\b(myfatoorah_[a-z]\w+)/g } };
}
my %asked = map { $_ => [ metrics(slurp_file($_)) ] } 'monitoring/alerts.yaml', 'monitoring/dashboard.json';
for my $file (sort keys %asked)
{
	my @unknown = grep { !$named{$_} } @{ $asked{$file} };

	is_deeply(\@unknown, [], "$file asks for what there is");
}
my ($table) = slurp_file('docs/monitoring.md') =~ /^## Metrics\n(.*?)^## /ms;
is_deeply([ sort $table =~ /^\| `(myfatoorah_\w+)`/mg ], [ sort keys %named ], 'docs/monitoring.md lists all metrics, and no other');
my ($rules) = slurp_file('docs/monitoring.md') =~ /^## Alerts\n(.*?)^## /ms;
is_deeply([ sort $rules =~ /^\| `(\w+)`/mg ], [ sort { $a cmp $b } slurp_file('monitoring/alerts.yaml') =~ /alert: (\w+)/g ], 'and all alerts');
is_deeply([ grep { $named{$_} eq 'COUNTER' && !/_total$/ || $named{$_} ne 'COUNTER' && /_total$/ } sort keys %named ], [], 'counters end in _total, and nothing else does');

my $dashboard = JSON::PP->new->decode(slurp_file('monitoring/dashboard.json'));
is_deeply([ grep { !$_->{title} || !$_->{gridPos} || !@{ $_->{targets} } || grep { !$_->{expr} } @{ $_->{targets} } } @{ $dashboard->{panels} } ], [], 'each panel has a title, a place and queries');
is(scalar @{ $dashboard->{panels} }, scalar keys %{ { map { $_->{id} => 1 } @{ $dashboard->{panels} } } }, 'and a number of its own');

SKIP:
{
	skip 'there is no promtool (Debian package prometheus)', 1 if !$promtool;
	command_ok([ $promtool, 'check', 'rules', 'monitoring/alerts.yaml' ], 'promtool accepts the rules');
	command_ok([ $promtool, 'test', 'rules', 'monitoring/alerts_test.yaml' ], 'and each alert fires when it shall');
	# every alert has a case in which it fires, and one in which it does not
	my $tests = slurp_file('monitoring/alerts_test.yaml');
	is_deeply([ grep { $tests !~ /alertname: $_, exp_alerts: \[\]/ || $tests !~ /alertname="$_"|alertname: $_\n\s+exp_alerts:\n/ } slurp_file('monitoring/alerts.yaml') =~ /alert: (\w+)/g ], [], 'each of them is tested both ways');

	# all queries of the dashboard are PromQL
	my $file = PostgreSQL::Test::Utils::tempdir('rules') . '/panels.yaml';
	my @expressions = map { map { $_->{expr} } @{ $_->{targets} } } @{ $dashboard->{panels} };
	open my $out, '>', $file or die $!;
	print $out "groups:\n- name: panels\n  rules:\n", map { "  - record: 'panel:$_'\n    expr: '" . ($expressions[$_] =~ s/\$__rate_interval/5m/gr =~ s/\$database/.*/gr =~ s/'/''/gr) . "'\n" } 0 .. $#expressions;
	close $out;
	command_ok([ $promtool, 'check', 'rules', $file ], 'the queries of the dashboard are valid');
}

SKIP:
{
	skip 'there is no postgres_exporter (Debian package prometheus-postgres-exporter)', 1 if !$exporter || !$promtool;
	my $sandbox = MyFatoorah::Sandbox->new;
	my $node = $mf->new_node('main', conf => "listen_addresses = '127.0.0.1'\nmyfatoorah.poll_rate_limit = 0");
	my $db = 'postgres';
	my $port = MyFatoorah::Web->free_port;
	my $scrape_url = "http://127.0.0.1:$port/metrics";

	$node->append_conf('pg_hba.conf', "host all exporter 127.0.0.1/32 trust\n");
	$node->reload;
	$mf->setup_account($node, $db, $sandbox);
	$mf->wait_worker($node, $db);
	$node->safe_psql($db, 'CREATE ROLE exporter LOGIN IN ROLE pg_monitor');
	$mf->insert_many($node, $db, 'counted', 7);
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", '7');
	$mf->wait_idle($node, $db);

	# a queue of many accounts, which nobody works on
	$node->safe_psql($db, q{SELECT mf_pause('*');
		INSERT INTO mf_queue (invoice, account, kind, due, rank, priority)
		SELECT n, 'account ' || n % 80, 'send', now() - n * interval '1 s', now(), 0 FROM generate_series(1001, 2000) n});

	local $ENV{DATA_SOURCE_NAME} = 'postgresql://exporter@127.0.0.1:' . $node->port . "/$db?sslmode=disable";
	my $log = PostgreSQL::Test::Utils::tempdir('exporter') . '/log';
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		open STDOUT, '>', $log or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec $exporter, "--web.listen-address=127.0.0.1:$port", '--extend.query-path=monitoring/postgres_exporter.yaml' or die $!;
	}
	my $output = '';
	for (1 .. 10 * MyFatoorah::Sandbox::time_limit())
	{
		my $answer = HTTP::Tiny->new(timeout => 10)->get($scrape_url);

		$output = $answer->{success} ? $answer->{content} : '';
		last if $output =~ /^myfatoorah_backlog/m;
		Time::HiRes::usleep(100_000);
	}
	my $ours = join '', map { "$_\n" } grep { /^(?:# \w+ )?myfatoorah_/ } split /\n/, $output;
	my %seen = map { s/_(?:bucket|sum|count)$//r => 1 } $ours =~ /^(myfatoorah_\w+)/mg;
	my %empty = map { $_ => 1 } qw(myfatoorah_account_waiting_seconds myfatoorah_retries_total);

	is_deeply([ grep { !$seen{$_} && !$empty{$_} } sort keys %named ], [], 'all metrics are there');
	is_deeply([ grep { !$named{$_} } sort keys %seen ], [], 'and no others');
	my ($stdout, $stderr) = ('', '');
	ok(IPC::Run::run([ $promtool, 'check', 'metrics' ], \$ours, \$stdout, \$stderr), 'promtool accepts them');
	is("$stdout$stderr", '', 'without a remark');
	like($ours, qr/^myfatoorah_requests_total\{account="myfatoorah",datname="$db",kind="send",outcome="accepted",server="[^"]*"\} 7$/m, 'as many requests as were made');
	like($ours, qr/^myfatoorah_requests_total\{account="myfatoorah",datname="$db",kind="send",outcome="rejected",server="[^"]*"\} 0$/m, 'and none that were not');
	like($ours, qr/^myfatoorah_request_duration_seconds_count\{datname="$db",kind="send",server="[^"]*"\} 7$/m, 'each with a time');
	like($ours, qr/^myfatoorah_request_duration_seconds_bucket\{datname="$db",kind="send",server="[^"]*",le="\+Inf"\} 7$/m, 'in a bucket');
	like($ours, qr/^myfatoorah_worker_up\{[^}]*\} 1$/m, 'the worker is up');
	like($ours, qr/^myfatoorah_attention_paused_accounts\{[^}]*\} 1$/m, 'and sending is paused');
	is(scalar(() = $ours =~ /^myfatoorah_backlog_due_invoices\{account="account/mg), 50, 'the backlog names fifty accounts of eighty');
	my ($others) = $ours =~ /^myfatoorah_backlog_due_invoices\{account="\*"[^}]*\} (\S+)$/m;
	my $sum = 0;

	$sum += $_ for $ours =~ /^myfatoorah_backlog_due_invoices\{[^}]*\} (\S+)$/mg;
	is($sum, 1000, 'and leaves nobody out');
	cmp_ok($others, '>', 0, 'for the others are there together');
	unlike(slurp_file($log), qr/myfatoorah.*(?:level=error|level=warn)|(?:level=error|level=warn).*myfatoorah/, 'the exporter has nothing to complain of');

	# no worker: a monitor sees it
	$node->safe_psql($db, "ALTER DATABASE $db SET myfatoorah.worker_enabled = off");
	$mf->wait_no_worker($node, $db);
	like(HTTP::Tiny->new->get($scrape_url)->{content}, qr/^myfatoorah_worker_up\{[^}]*\} 0$/m, 'a worker that is gone is seen');

	kill 'TERM', $pid;
	waitpid $pid, 0;
	$node->stop;
}

done_testing();
