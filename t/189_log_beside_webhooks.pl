# MyFatoorah's log of failed webhooks, beside the webhooks that came in. Only those of version 2 have numbers as the log has,
# so of a dispute that ended by one of version 1 the log changes nothing, and a person is told if it says otherwise.
use MyFatoorah::Test qw(sql wait_for);

use JSON::PP ();

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $port = $web->free_port;
my $node = $mf->new_node('main', start => 0, conf => "myfatoorah.poll_rate_limit = 0\nmyfatoorah.retry_delay = '50ms'");
my $log = { path => '/v2/GetWebhooks' };
my %invoice;

# The webhook about the dispute of that invoice, which has its number, comes in, or is lost, or came in although MyFatoorah counts it as failed ("late").
sub dispute
{
	my ($name, $version, $way, $status) = @_;
	my ($id, $number) = @{ $invoice{$name} };
	my $before = () = $sandbox->deliveries(invoice => $number);
	my $events = sql("SELECT count(*) FROM mf_event WHERE invoice = $id");

	$sandbox->webhooks(enabled => 1, url => 'http://127.0.0.1:' . ($way eq 'comes' ? "$port/webhook/myfatoorah" : '9/nobody'), version => $version,
		secret => 'right-secret', retries => 0);
	$sandbox->invoice($number, 'dispute', { id => $id + 0, status => $status });
	$sandbox->wait_deliveries({ invoice => $number }, $before + 1) or die "no webhook\n";
	$sandbox->webhooks(enabled => 0);
	sql($mf->webhook(($sandbox->deliveries(invoice => $number))[-1])) if $way eq 'late';
	wait_for("SELECT count(*) FROM mf_event WHERE invoice = $id", $events + ($way eq 'lost' ? 0 : 1));
	return;
}

sub read_log
{
	my $pid = $mf->worker_pid($node, $db);
	my $count = $sandbox->count(%$log);

	sql("SELECT pg_terminate_backend($pid)");
	$mf->wait_worker($node, $db, not => $pid);
	$sandbox->wait_count($log, $count + 1) or die "the log is not asked for\n";
	wait_for('SELECT count(*) FROM mf_progress', 0);
	$mf->wait_idle($node, $db);
	return;
}

sub row
{
	my ($name) = @_;

	return sql("SELECT concat_ws(' ', payment_status, trim_scale(net_value), (SELECT 'doubt ' || d[1] || ' ' || d[2] FROM regexp_match(payment_doubt,
		'^dispute [0-9]+ is ([A-Z]+), and was reported as ([A-Z]+), too') d), (SELECT 'other doubt' WHERE payment_doubt !~ '^dispute [0-9]+ is'))
		FROM mf_invoice WHERE id = $invoice{$name}[0]");
}

my $won = 'paid 10';
my $lost = 'refunded 0';
my @cases = (
	[ 'v1_won', 'v1', [ lost => 'LOST' ], [ comes => 'RESOLVED' ], $won => "$won doubt RESOLVED LOST" ],
	[ 'v1_lost', 'v1', [ lost => 'RESOLVED' ], [ comes => 'LOST' ], $lost => "$lost doubt LOST RESOLVED" ],
	[ 'v1_won_late', 'v1', [ late => 'LOST' ], [ comes => 'RESOLVED' ], $won => "$won doubt RESOLVED LOST" ],
	[ 'v1_lost_late', 'v1', [ late => 'RESOLVED' ], [ comes => 'LOST' ], "$lost doubt LOST RESOLVED" => "$lost doubt LOST RESOLVED" ],
	[ 'v1_same', 'v1', [ comes => 'PENDING' ], [ late => 'LOST' ], $lost => $lost ],
	[ 'v1_end', 'v1', [ comes => 'PENDING' ], [ lost => 'LOST' ], $won => $lost ],
	[ 'v1_alone', 'v1', [ lost => 'LOST' ], [ lost => 'PENDING' ], $won => $lost ],
	[ 'v1_all', 'v1', [ lost => 'LOST' ], [ lost => 'RESOLVED' ], $won => $won ],
	[ 'v2_won', 'v2', [ lost => 'LOST' ], [ comes => 'RESOLVED' ], $won => $won ],
	[ 'v2_lost', 'v2', [ lost => 'RESOLVED' ], [ comes => 'LOST' ], $lost => $lost ],
	[ 'v2_end', 'v2', [ comes => 'RESOLVED' ], [ lost => 'LOST' ], $won => "$lost doubt LOST RESOLVED" ],
	[ 'v2_end_won', 'v2', [ comes => 'LOST' ], [ lost => 'RESOLVED' ], $lost => $won ]);

$sandbox->webhooks(enabled => 0);
$node->start;
$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);
$web->open($node, $db, $port);
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'right-secret')");
foreach my $case (@cases)
{
	my ($name, $version, @told) = @$case[ 0 .. 3 ];

	$invoice{$name} = [ $mf->settle($node, $db, $sandbox, $name, 'pay') ];
	dispute($name, $version, @$_) foreach @told;
}
wait_for('SELECT count(*) FROM mf_inquiry WHERE urgent AND unchanged_answers = 0', 0);
is(row($_->[0]), $_->[4], "$_->[0]: before the log is read") foreach @cases;
read_log();
is(row($_->[0]), $_->[5], "$_->[0]: once the log was read") foreach @cases;
read_log();
is(row($_->[0]), $_->[5], "$_->[0]: another reading changes nothing") foreach @cases;

# MyFatoorah delivers it after all, as it does if somebody asks for that in the portal.
my $event = sql($mf->webhook(($sandbox->deliveries(invoice => $invoice{v1_lost}[1]))[0]));
wait_for("SELECT answered_at IS NOT NULL FROM mf_event WHERE id = $event");
is(row('v1_lost'), $won, 'what comes in itself counts, and is in doubt no more');

# A person has looked.
my ($call) = sql("SELECT next_step FROM mf_review WHERE id = $invoice{v1_won}[0]") =~ /^If .* dispute \d+ was lost: (SELECT mf_resolve_dispute\(\d+, '\d+', 'LOST', 'reason'\))\./;
sql($call // die "mf_review does not say what to do\n");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $invoice{v1_won}[0]", 'refunded');
is(row('v1_won'), $lost, 'what a person decides counts, and ends the doubt');
read_log();
is(row('v1_won'), $lost, 'also when the log is read again');

# Deposits: the newest announcement counts, of those that came in first.
sub announcement
{
	my ($reference, $number, $amount) = @_;

	return qq({"EventCode":3,"EventName":"BalanceTransferred","EventEntityId":"$reference","WebhookReference":"WH-$number","Data":{"DepositReference":"$reference",)
		. qq("DepositedAmount":"$amount","NumberOfTransactions":"1","DepositFor":"VENDOR","SupplierCode":""},"Status":"Failed","Attempts":[]});
}

my %data = (DepositReference => 'D-2', DepositedAmount => '7.5', NumberOfTransactions => '1', DepositFor => 'VENDOR', SupplierCode => '');
sql($mf->webhook({ version => 'v1', signature => $web->sign(join(',', map { "$_=$data{$_}" } sort { lc $a cmp lc $b } keys %data), 'right-secret'),
	body => JSON::PP->new->encode({ EventType => 3, Event => 'BalanceTransferred', DateTime => '04032021212041', CountryIsoCode => 'KWT', Data => \%data }) }));
$sandbox->faults({ path => 'GetWebhooks', times => 1, status => 200, body => '{"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":{"Items":['
	. join(',', announcement('D-1', 903, '12.5'), announcement('D-1', 902, '10.5'), announcement('D-2', 901, '9.7'))
	. '],"Pagination":{"PageSize":500,"PageNumber":1,"PagesCount":1,"ItemsCount":3}}}' });
read_log();
wait_for("SELECT count(*) FROM mf_deposit WHERE deposit_reference IN ('D-1', 'D-2') AND announced_at IS NOT NULL", 2);
is(sql("SELECT trim_scale(announced_value) FROM mf_deposit WHERE deposit_reference = 'D-1'"), '12.5', 'of two announcements in the log the newer one counts');
is(sql("SELECT trim_scale(announced_value) FROM mf_deposit WHERE deposit_reference = 'D-2'"), '7.5', 'one that came in before the log was read counts more');

$node->stop;
done_testing();
