# A webhook tells of an invoice that MyFatoorah's look-ups by reference do not show yet, or never. The invoice exists, so its
# row is not sent: it is looked up again, and then a person decides.
use MyFatoorah::Test qw(sql wait_for);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.resend_policy = 'all'");
my $look_up = 'GetPaymentStatus';

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'ours')});
$sandbox->webhooks(url => 'http://127.0.0.1:9/', secret => 'ours', enabled => 1, retries => 0);
$mf->wait_worker($node, $db);

sub row
{
	my ($id) = @_;

	return sql("SELECT concat_ws('|', status, invoice_id, last_error) FROM mf_invoice WHERE id = $id");
}

# What another server has sent for a row, and the customer has paid: its InvoiceId. Look-ups by its reference find nothing from
# then on, so many times; the webhook is handed in.
sub paid_elsewhere
{
	my ($reference, %how) = @_;
	my $number = $sandbox->send_payment(InvoiceValue => 1.25, CustomerReference => $reference, UserDefinedField => $reference);

	$sandbox->faults({ path => $look_up, contains => "\"$reference\"", times => $how{times} // -1, shape => 12 });
	$sandbox->invoice($number, 'pay');
	$sandbox->wait_deliveries({ invoice => $number, phase => 'queued' }, 1) or die "no webhook of invoice $number\n";
	sql($mf->webhook(($sandbox->deliveries(invoice => $number))[-1]));
	return $number;
}

sub queued
{
	my ($name, %columns) = @_;
	my $id = $mf->insert($node, $db, $name, %columns);

	return ($id, sql("SELECT reference FROM mf_invoice WHERE id = $id"));
}

sql(q{SELECT mf_pause('myfatoorah')});
my ($lags, $lags_reference) = queued('lags');
my ($never, $never_reference) = queued('never');
my $lagging = paid_elsewhere($lags_reference, times => 2);
my $missing = paid_elsewhere($never_reference);
my $made = $sandbox->invoices;

sql('SELECT mf_resume()');
wait_for("SELECT status FROM mf_invoice WHERE id = $lags", 'sent');
is(sql("SELECT invoice_id FROM mf_invoice WHERE id = $lags"), $lagging, 'look-ups that lag: the row has the invoice that the webhook told of');
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $lags", 'paid');
wait_for("SELECT status FROM mf_invoice WHERE id = $never", 'review');
is(row($never), "review|no invoice was found under reference \"$never_reference\" in 5 look-ups, but a webhook told of invoice $missing", 'look-ups that find nothing: a person decides');

# who knows better, as by the portal, decides
sql("SELECT mf_resolve($never, 'resend', 'the portal has no such invoice')");
wait_for("SELECT status FROM mf_invoice WHERE id = $never", 'sent');
is($sandbox->invoices, ++$made, 'a person can have it sent all the same');

# an outcome that is unknown
$sandbox->faults({ path => 'SendPayment', times => 1, never => JSON::PP::true, create => JSON::PP::false });
my ($unknown, $unknown_reference) = queued('unknown');
wait_for("SELECT status FROM mf_invoice WHERE id = $unknown", 'unknown');
$missing = paid_elsewhere($unknown_reference);
wait_for("SELECT status FROM mf_invoice WHERE id = $unknown", 'review');
is(row($unknown), "review|no invoice was found under reference \"$unknown_reference\" in 5 look-ups, but a webhook told of invoice $missing", 'neither is an unknown outcome taken for nothing');

# the webhook comes while the look-up that finds nothing is under way
sql(q{SELECT mf_pause('myfatoorah'); ALTER SERVER myfatoorah OPTIONS (SET timeout '60s')});
my ($crossed, $crossed_reference) = queued('crossed');
sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $crossed");
my $asked = $sandbox->count(path => $look_up);
$sandbox->faults({ path => $look_up, contains => "\"$crossed_reference\"", times => 1, delay_ms => -1, shape => 12 });
sql('SELECT mf_resume()');
$sandbox->wait_count({ path => $look_up }, $asked + 1) or die "it is not looked up\n";
$missing = paid_elsewhere($crossed_reference);
sql(q{SELECT mf_pause('myfatoorah')});
$sandbox->clear_faults;
wait_for("SELECT lookups > 0 OR kind <> 'verify' FROM mf_queue WHERE invoice = $crossed");
$sandbox->faults({ path => $look_up, contains => "\"$crossed_reference\"", times => -1, shape => 12 });
sql('SELECT mf_resume()');
wait_for("SELECT status FROM mf_invoice WHERE id = $crossed", 'review');
is(row($crossed), "review|no invoice was found under reference \"$crossed_reference\" in 5 look-ups, but a webhook told of invoice $missing", 'nor does a webhook cross with the look-up');

# a session that has a row locked that was looked up holds up no other
sql(q{SELECT mf_pause('myfatoorah')});
my ($held, $held_reference) = queued('held');
my $session = $mf->session($node, $db);
sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $held");
$asked = $sandbox->count(path => $look_up);
$sandbox->clear_faults;
$sandbox->faults({ path => $look_up, contains => "\"$held_reference\"", times => 1, delay_ms => -1, shape => 12 });
sql('SELECT mf_resume()');
$sandbox->wait_count({ path => $look_up }, $asked + 1) or die "it is not looked up\n";
$session->query_safe("SET client_min_messages = warning; BEGIN; SELECT mf_cancel($held)");
$sandbox->clear_faults;
$mf->insert($node, $db, 'beside');
$mf->wait_status($node, $db, 'beside');
$session->query_safe('COMMIT');
$session->quit;
wait_for("SELECT status FROM mf_invoice WHERE id = $held", 'cancelled');
pass('who has locked a row that was looked up holds up no other');

# a callback is not signed, and proves nothing
sql(q{SELECT mf_pause('myfatoorah')});
my ($plain, $plain_reference) = queued('plain');
sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $plain; SELECT mf_resume()");
wait_for("SELECT status FROM mf_invoice WHERE id = $plain", 'sent');
is($sandbox->invoices, $made + 4, 'what nothing tells of is sent; else nothing was');

done_testing();
