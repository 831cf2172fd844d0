# Webhooks that were refused for a while, and others that came in after that: what was lost meanwhile is found in MyFatoorah's
# log, within a day by a worker that goes on, and by a new one. Nothing else tells of a dispute. No event is asked about twice.
# A log that cannot be read, or not all of it, is read later.
use MyFatoorah::Test qw(sql wait_for);
use MyFatoorah::Clock;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $db = 'postgres';
my $clock = MyFatoorah::Clock->new or plan skip_all => 'test/chaos/moved_clock.c cannot be compiled';
my $sandbox = MyFatoorah::Sandbox->new;
my $port = $web->free_port;
my $node = $mf->new_node('main', start => 0, conf => "myfatoorah.poll_rate_limit = 0\nmyfatoorah.retry_delay = '50ms'");
my ($log, $asked) = ({ path => '/v2/GetWebhooks' }, { path => '/v2/GetPaymentStatus' });
my ($dispute, $ahead) = (0, 0);

# A dispute of an invoice of MyFatoorah, of which an account is told by a webhook signed with that secret; returns its number
sub dispute
{
	my ($number, $status, $secret, $account) = @_;
	my $before = () = $sandbox->deliveries(invoice => $number);

	$sandbox->webhooks(url => "http://127.0.0.1:$port/webhook/" . ($account // 'myfatoorah'), version => 'v2', secret => $secret, retries => 0);
	$sandbox->invoice($number, 'dispute', { id => ++$dispute, status => $status });
	$sandbox->wait_deliveries({ invoice => $number }, $before + 1) or die "no webhook\n";
	is(($sandbox->deliveries(invoice => $number))[-1]->{status}, $secret =~ /wrong/ ? 'Failed' : 'Succeeded', "dispute $dispute: " . ($secret =~ /wrong/ ? 'its webhook is lost' : 'its webhook comes in'));
	return $dispute;
}

# A chargeback is lost while webhooks are refused, and another dispute is told of after that
sub lose
{
	my ($lost, $number, $account) = @_;

	dispute($lost, 'LOST', 'wrong-secret', $account);
	my $id = dispute($number, 'PENDING', 'right-secret', $account);
	wait_for("SELECT count(*) FROM mf_dispute WHERE dispute_id = '$id'", 1);
	return;
}

sub new_worker
{
	my $pid = $mf->worker_pid($node, $db);

	sql("SELECT pg_terminate_backend($pid)");
	$mf->wait_worker($node, $db, not => $pid);
	return;
}

# The clocks go on, here and at MyFatoorah.
sub later
{
	my ($hours) = @_;

	$ahead += $hours * 3600;
	$clock->move_by($hours * 3600);
	$sandbox->control('POST', 'clock', { offset_seconds => $ahead });
	return;
}

# A worker that waits sees it when something wakes it.
sub next_day
{
	later(25);
	sql('SELECT mf_resume()');
	return;
}

sub booked
{
	my ($id) = @_;

	return sql("SELECT payment_status || ' ' || trim_scale(net_value) FROM mf_invoice WHERE id = $id");
}

# Until the log is being read; the rest of the round that asks for it is soon over.
sub wait_read
{
	my ($count) = @_;

	$sandbox->wait_count($log, $count) or die "the log is not asked for\n";
	wait_for('SELECT count(*) FROM mf_progress', 0);
	$mf->wait_idle($node, $db);
	return;
}

$sandbox->webhooks(enabled => 0);
$clock->with(sub { $node->start });
$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);
$web->open($node, $db, $port);
my ($first, $first_number) = $mf->settle($node, $db, $sandbox, 'first', 'pay');
my ($second, $second_number) = $mf->settle($node, $db, $sandbox, 'second', 'pay');
my (undef, $number) = $mf->settle($node, $db, $sandbox, 'another', 'pay');
new_worker();
next_day();
$mf->wait_idle($node, $db);
is($sandbox->count(%$log), 0, 'an account without a secret of webhooks does not ask for the log');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'right-secret')");
wait_read(1);
pass('once it has one, it does');

# A worker that goes on
lose($first_number, $number);
is(booked($first), 'paid 10', 'the chargeback is not known yet');
is($sandbox->count(%$log), 1, 'the log is not asked for in between');
next_day();
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $first", 'refunded');
is(booked($first), 'refunded 0', 'a day later the chargeback is booked, without another start');
wait_read(2);

# What is known is asked about no more.
my $before = $sandbox->count(%$asked);
new_worker();
wait_read(3);
is($sandbox->count(%$asked), $before, 'a new worker asks about none of it again');
is(sql("SELECT string_agg(deliveries::text, ' ') FROM mf_event WHERE source = 'log'"), '1', 'and counts none again');
is(sql("SELECT count(*) FROM mf_ledger WHERE invoice = $first AND kind = 'chargeback'"), 1, 'nor is anything booked twice');

# A new worker, after more than the time between two webhooks
lose($second_number, $number);
later(3);
my $later = dispute($number, 'PENDING', 'right-secret');
wait_for("SELECT count(*) FROM mf_dispute WHERE dispute_id = '$later'", 1);
new_worker();
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $second", 'refunded');
is(booked($second), 'refunded 0', 'a new worker finds what was lost before the latest webhook');
wait_read(4);
is($sandbox->count(%$log), 4, 'and asks for the log once');

# While the pages are asked for, deliveries of the first one leave the log, because somebody has them sent again in the portal: others slip
# from the second page to the first.
my ($slipped, $slipped_number) = $mf->settle($node, $db, $sandbox, 'slipped', 'pay');
$ahead -= 3 * 86400;
later(0);
dispute($slipped_number, 'LOST', 'wrong-secret');
$ahead += 3 * 86400;
later(0);
$sandbox->faults(map {
	my ($page, $items) = @$_;
	{ path => 'GetWebhooks', times => 1, status => 200, body => '{"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":{"Items":[{"EventCode":4,"EventName":"x",' .
		qq("EventEntityId":"1","WebhookReference":"WH-$page","Data":{},"Status":"Failed","Attempts":[]}],"Pagination":{"PageSize":500,"PageNumber":$page,"PagesCount":2,"ItemsCount":$items}}}) };
} [ 1, 900 ], [ 2, 899 ]);
new_worker();
wait_read(6);
is(booked($slipped), 'paid 10', 'what has slipped to a page that was read is not found');
next_day();
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $slipped", 'refunded');
pass('but by the next reading, which begins where this one did');
wait_read(7);

# Where roles have keys of their own, and nothing is open
sql(q{CREATE ROLE tenant; GRANT myfatoorah_submit TO tenant});
$mf->setup_account($node, $db, $sandbox, account => 'own', options => { own_mappings => 'on' });
my $key = $sandbox->key;
sql(qq{GRANT USAGE ON FOREIGN SERVER own TO tenant; DROP USER MAPPING FOR PUBLIC SERVER own;
	CREATE USER MAPPING FOR tenant SERVER own OPTIONS (api_key '$key')});
my $third = sql('SET ROLE tenant; INSERT INTO mf_invoice ' . $mf->invoice('third', account => "'own'", invoice_value => '10.000') . ' RETURNING id');
$mf->wait_status($node, $db, 'third');
my $third_number = sql("SELECT invoice_id FROM mf_invoice WHERE id = $third");
$sandbox->faults({ path => 'GetPaymentStatus', times => 1, status => 429, headers => { 'Retry-After' => '8' } });
$before = $sandbox->count(%$asked);
sql("SELECT mf_refresh($third)");
$sandbox->wait_count($asked, $before + 1) or die "nothing was asked\n";
$mf->wait_idle($node, $db);
sql("CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (webhook_secret 'right-secret-too')");
wait_read(8);
pass('a log whose key is throttled is read after that');
$sandbox->webhooks(url => "http://127.0.0.1:$port/webhook/own", version => 'v2', secret => 'right-secret-too', retries => 0, enabled => 1);
$sandbox->invoice($third_number, 'pay');
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $third", 'paid');
dispute($third_number, 'LOST', 'wrong-secret', 'own');
new_worker();
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $third", 'refunded');
is(booked($third), 'refunded 0', "a role's own key reads the log, if it has sent what the latest webhook is about");

# A worker that starts before its key is there, as after a failover
my ($late, $late_number) = $mf->settle($node, $db, $sandbox, 'late', 'pay');
dispute($late_number, 'LOST', 'wrong-secret');
my $file = $node->data_dir . '/myfatoorah.key';
my $offset = -s $node->logfile;
$node->stop;
rename $file, "$file.off" or die "$file: $!\n";
$clock->with(sub { $node->start });
$node->wait_for_log(qr/account "myfatoorah" has invoices whose key cannot be used/, $offset);
rename "$file.off", $file or die "$file: $!\n";
sql('SELECT mf_resume()');
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $late", 'refunded');
is(booked($late), 'refunded 0', 'a worker that started without a key reads the log once it has one');

$node->stop;
done_testing();
