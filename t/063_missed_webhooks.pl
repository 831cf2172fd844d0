# Webhooks that came while the server was down are found in MyFatoorah's own log of them when it is up again, all pages of
# it; with polling off nothing else tells of these payments.
use MyFatoorah::Test qw(sql);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 0
	myfatoorah.retry_delay = '50ms'");
my $db = 'postgres';
my $log = { path => '/v2/GetWebhooks' };
my $invoices = 510;

# The worker begins anew, as after a downtime, while the sandbox has this fault
sub restart
{
	my (@faults) = @_;

	$node->stop;
	$sandbox->faults(@faults) if @faults;
	$node->start;
	$mf->wait_worker($node, $db);
	return;
}

$mf->setup_account($node, $db, $sandbox);
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => 'missed-secret', retries => 0);
$mf->wait_worker($node, $db);

# More than a page of them
$mf->insert_many($node, $db, 'missed', $invoices);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", $invoices);
restart();
$mf->wait_idle($node, $db);
is($sandbox->count(%$log), 0, 'without a secret of webhooks the log is not asked for');

sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'missed-secret')");
$sandbox->wait_count($log, 1) or die "the log is not asked for\n";
$mf->wait_idle($node, $db);
$node->stop;
my @ids = map { $_->{id} } $sandbox->remote;
my $unpaid = pop @ids;
$sandbox->invoice($unpaid, 'fail', { error_code => 'MF004' });
$sandbox->pay_many(ids => \@ids);
$sandbox->wait_deliveries({}, $invoices) or die "webhooks are still being sent\n";
$sandbox->faults({ path => 'GetWebhooks', status => 503, times => 1 }, { path => 'GetWebhooks', shape => 11, headers => { 'Retry-After' => '1' }, times => 1 },
	{ path => 'GetWebhooks', cut_answer_at => 5000, times => 1 }, { path => 'GetWebhooks', contains => '"Page":2', delay_ms => -1 });
$node->start;
$mf->wait_for($node, $db, 'SELECT command, unit, done, total FROM mf_progress', 'webhook log|pages|1|2');
$sandbox->clear_faults;
pass('how far it has been read is seen meanwhile');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE payment_status = 'paid'", $invoices - 1);
ok(1, 'the log tells of all payments that were missed');
is(sql('SELECT count(*) FROM mf_progress'), 0, 'and its reading is over');
is(sql("SELECT payment_status, count(*) FROM mf_invoice GROUP BY 1 ORDER BY 1"), 'paid|' . ($invoices - 1) . "\nunpaid|1",
	'and of no other');
$mf->wait_idle($node, $db);
my @asked = map { JSON::PP->new->decode($_->{body}) } $sandbox->ledger(%$log);
shift @asked;
is(join(' ', map { $_->{Page} } @asked), '1 1 1 1 2', 'it was asked for until it answered, and page by page');
is_deeply([ grep { $_->{Status} ne 'Failed' || $_->{Start} !~ /^\d{4}-\d\d-\d\dT[\d:]+Z$/ } @asked ], [], 'for what could not be delivered');
is(sql("SELECT source, count(*), count(invoice), count(answered_at) FROM mf_event GROUP BY 1"),
	join('|', 'log', (sql('SELECT count(*) FROM mf_event')) x 3), 'each event found its invoice and was answered');
is(sql('SELECT count(event_status) FROM mf_event'), 0, 'none has the status of its delivery as its own');
is(sql("SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL"), 0, 'and nothing was paused');
is(sql("SELECT count(*) FROM (SELECT data::text AS d FROM mf_event) s WHERE d LIKE '%missed-%\"Name\"%' OR d LIKE '%PanHash%'"), 0,
	'nothing private is kept');

# A key that may not read the log: said once, and the account goes on.
my $offset = -s $node->logfile;
my $count = $sandbox->count(%$log);
$node->stop;
$sandbox->faults({ path => 'GetWebhooks', shape => 8, times => -1 });
$node->start;
$node->wait_for_log(qr/could not read the log of webhooks of account "myfatoorah"/, $offset);
my $id = $mf->insert($node, $db, 'afterwards');
$mf->wait_status($node, $db, 'afterwards');
$mf->wait_idle($node, $db);
is($sandbox->count(%$log), $count + 1, 'a key without the permission is not tried again');
is(() = slurp_file($node->logfile, $offset) =~ /could not read the log of webhooks/g, 1, 'which is logged once');
is(sql("SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL"), 0, 'and pauses nothing');

# What cannot be written is told with the name of the account, and stops nothing else; a person has it tried at once.
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no events'; END $$;
	CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON mf_event FOR EACH ROW WHEN (new.source = 'log') EXECUTE FUNCTION refuse()});
$node->stop;
$sandbox->clear_faults;
$sandbox->invoice($unpaid, 'pay');
$sandbox->wait_deliveries({ invoice => $unpaid }, 2) or die "no webhook\n";
$offset = -s $node->logfile;
$node->start;
$node->wait_for_log(qr/the log of webhooks of account "myfatoorah" is put off because it cannot be written/, $offset);
$mf->insert($node, $db, 'meanwhile');
$mf->wait_status($node, $db, 'meanwhile');
$count = $sandbox->count(%$log);
sql("SELECT mf_resume('*')");
$sandbox->wait_count($log, $count + 1) or die "the log is not asked for\n";
pass('a log that cannot be written is put off until mf_resume()');
is(() = slurp_file($node->logfile, $offset) =~ /the log of webhooks of account "[^"]+" is put off/g, 1, 'and told of once');

# Where nothing is open, a dispute of what was paid is missed, too.
sql('DROP FUNCTION refuse CASCADE; ALTER SYSTEM SET myfatoorah.poll_rate_limit = 10; SELECT pg_reload_conf()');
$mf->setup_account($node, $db, $sandbox, account => 'settled');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER settled OPTIONS (ADD webhook_secret 'other-secret')});
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => 'other-secret', retries => 0);
my ($paid, $number) = $mf->settle($node, $db, $sandbox, 'settled', 'pay', account => "'settled'");
$sandbox->wait_deliveries({ invoice => $number }, 1) or die "no webhook\n";
sql($mf->webhook(($sandbox->deliveries(invoice => $number))[-1], 'settled'));
$mf->wait_idle($node, $db);
$node->stop;
$sandbox->invoice($number, 'dispute', { id => 1, status => 'LOST' });
$sandbox->wait_deliveries({ invoice => $number }, 2) or die "no webhook\n";
$node->start;
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $paid", 'refunded');
is(sql("SELECT account, source FROM mf_event WHERE invoice = $paid AND event_code = 6"), 'settled|log', 'a dispute that was missed is found in the log of an account without open invoices');

$node->stop;
done_testing();
