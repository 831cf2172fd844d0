# A condition that lasts does not fill the log: one line when it begins, one when it ends, whatever is tried meanwhile.
use MyFatoorah::Test qw(sql);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '10ms'\nmyfatoorah.lookup_delay = '10ms'\nmyfatoorah.poll_rate_limit = 0");
my $db = 'postgres';
my $send = { path => '/v2/SendPayment' };
my $tries = 9;

# events(offset): how often each event is in the log since then, as "name n", in the order of their names
sub events
{
	my ($offset) = @_;
	my %count;

	$count{$_}++ for slurp_file($node->logfile, $offset) =~ /: +myfatoorah: (\w+): /g;
	return join ', ', map { "$_ $count{$_}" } sort keys %count;
}

# wait_more(count): waits until the stand-in has got so many more requests to send
sub wait_more
{
	my ($count) = @_;

	return ok($sandbox->wait_count($send, $sandbox->count(%$send) + $count), "it was tried $count times more");
}

$mf->setup_account($node, $db, $sandbox, options => { timeout => '2s', connect_timeout => '1s' });
$web->give_secret($node, $db);
$mf->wait_worker($node, $db);

# An account that is turned away for long
my $offset = -s $node->logfile;
$sandbox->faults({ %$send, status => 429, times => -1 });
$mf->insert_many($node, $db, 'throttled', 5);
wait_more($tries);
# look-ups between are answered, so the account changes between the two again and again
like(events($offset), qr/^(?:account_sending 1, )?account_waiting 1$/, 'an account that is throttled for long has one line, and one when it seems to be over');
$sandbox->clear_faults;
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_settled($node, $db);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", '5');

# One that cannot be reached
$offset = -s $node->logfile;
my $port = $sandbox->port;
$sandbox->stop;
$mf->insert_many($node, $db, 'unreachable', 5);
$mf->wait_for($node, $db, "SELECT count(*) >= $tries FROM mf_attempt WHERE outcome = 'not_sent'");
is(events($offset), 'account_waiting 1', 'nor has one that cannot be reached more');
$sandbox->start($port);
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", '10');
like(events($offset), qr/^(?:account_sending 1, )?account_waiting 1$/, 'and at most one when it is over');

# One whose key is refused: it is paused, and nothing is tried, however many invoices come
$offset = -s $node->logfile;
$sandbox->faults({ %$send, status => 401, times => -1 });
for my $n (1 .. 5)
{
	$mf->insert_many($node, $db, "refused $n", 5);
	$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL', '1');
}
$mf->wait_idle($node, $db);
is(events($offset), 'account_paused 1', 'one whose key is refused has one line');
$sandbox->clear_faults;
sql(q{SELECT mf_resume('myfatoorah')});

# A role's own key that is missing, while others go on
sql(q{ALTER SERVER myfatoorah OPTIONS (ADD own_mappings 'on'); CREATE ROLE branch IN ROLE myfatoorah_submit;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO branch; CREATE USER MAPPING FOR branch SERVER myfatoorah OPTIONS (api_key_file 'nowhere.key')});
$mf->wait_settled($node, $db);
$offset = -s $node->logfile;
for my $n (1 .. $tries)
{
	$node->safe_psql($db, "SET ROLE branch; INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('branch $n', 1)");
	$mf->insert($node, $db, "others $n");
	$mf->wait_status($node, $db, "others $n");
	$mf->wait_for($node, $db, "SELECT last_error IS NOT NULL FROM mf_invoice WHERE customer_name = 'branch $n'");
}
is(events($offset), 'key_unusable 1', 'a key that cannot be used has one line, while others are sent');
sql(q{SELECT mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE status = 'queued'), 'over')});

# A function that fails each time
sql(q{CREATE FUNCTION told(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
	SELECT mf_on_change('told(mf_invoice, mf_invoice)')});
$offset = -s $node->logfile;
$mf->insert_many($node, $db, 'told', 5);
$mf->wait_for($node, $db, "SELECT value > 0 FROM mf_metrics() WHERE name = 'reactions' AND result = 'failed'");
for my $n (2 .. 4)
{
	sql(q{SELECT mf_resume('*')});
	$mf->wait_for($node, $db, "SELECT value >= $n FROM mf_metrics() WHERE name = 'reactions' AND result = 'failed'");
}
is(events($offset), 'reaction_failed 1', 'a function that keeps failing has one line');
sql(q{SELECT mf_off_change('told(mf_invoice, mf_invoice)')});

# Strangers at the listener
$port = $web->free_port;
$web->open($node, $db, $port);
$offset = -s $node->logfile;
my ($body, $headers) = $web->v2(invoice => 1, secret => 'guessed');
$web->post("http://127.0.0.1:$port/webhook", $body, $headers) for 1 .. 50;
$mf->wait_for($node, $db, "SELECT value FROM mf_metrics() WHERE name = 'refusals' AND result = 'unsigned'", '50');
is(events($offset), 'listener_refused 1', 'fifty forged webhooks have one line');

$node->stop;
done_testing();
