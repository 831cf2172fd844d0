# mf_cancel() of a row that MyFatoorah may have already: it is not told to be cancelled while an invoice may exist that can be
# paid. The row keeps its status until a look-up has decided: cancelled, or sent with the note that it came too late.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '20ms'");
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $db = 'postgres';
my $too_late = 'mf_cancel() came too late: the invoice exists, and is cancelled in the MyFatoorah portal only';

$mf->setup_account($node, $db, $sandbox, options => { own_mappings => 'on' });
$mf->wait_worker($node, $db);

# what mf_cancel() says, and what the row is then
sub cancel
{
	my ($name) = @_;
	my (undef, undef, $said) = $node->psql($db, "SELECT mf_cancel(id, 'unwanted') FROM mf_invoice WHERE customer_reference = '$name'");

	return ($said =~ /may exist already/ ? 'may exist: ' : '') . ($said =~ /ERROR/ ? "$said: " : '') . row($name);
}

sub row
{
	my ($name) = @_;

	return sql(qq{SELECT concat_ws(' ', i.status, 'as ' || q.kind, CASE WHEN i.cancel_requested THEN 'requested' END)
		FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE customer_reference = '$name'});
}

sub posts
{
	return $sandbox->count(path => '/v2/SendPayment', reference => sql("SELECT reference FROM mf_invoice WHERE customer_reference = '$_[0]'"));
}

# An answer that looks like a refusal, of a key or of too many requests: the account is paused, or waits, and the row is to
# be looked up before it goes out again.
foreach my $case ([ 401, 'made', 'sent' ], [ 401, 'not-made', 'cancelled' ], [ 429, 'made', 'sent' ], [ 429, 'not-made', 'cancelled' ])
{
	my ($code, $made, $end) = @$case;
	my $name = "$made-$code";

	$sandbox->faults({ path => 'SendPayment', reference_prefix => "$name.", times => 1, status => $code, body => '', headers => { 'Retry-After' => '600' },
		create => $made eq 'made' ? $true : $false });
	$mf->insert($node, $db, $name);
	$mf->wait_for($node, $db, "SELECT status || attempts FROM mf_invoice WHERE customer_reference = '$name'", 'queued1');
	is(cancel($name), 'may exist: queued as verify requested', "$code, $made: to be looked up, so it is not cancelled at once");
	is(cancel($name), 'may exist: queued as verify requested', "$code, $made: whoever asks again gets the same");
	sql(q{SELECT mf_resume('myfatoorah')});
	$mf->wait_status($node, $db, $name, $end);
	is(posts($name), 1, "$code, $made: it was sent once");
	is(sql("SELECT cancel_requested || split_part(coalesce(last_error, ''), ';', 1) FROM mf_invoice WHERE customer_reference = '$name'"),
		$end eq 'sent' ? "true$too_late" : 'true', "$code, $made: and the row says what came of it");
	is(sql(qq{SELECT reason FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE customer_reference = '$name' AND to_status = '$end'}),
		$end eq 'sent' ? 'found by look-up' : 'cancelled as requested: no invoice was made', "$code, $made: the history, too");
}

# One that is being sent right now
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'slow.', times => 1, delay_before_ms => -1 });
$mf->insert($node, $db, 'slow');
$mf->wait_status($node, $db, 'slow', 'sending');
is(cancel('slow'), 'may exist: sending as sending requested', 'being sent: a request to cancel');
$sandbox->clear_faults;
$mf->wait_status($node, $db, 'slow');
is(sql("SELECT last_error || (invoice_url IS NOT NULL) FROM mf_invoice WHERE customer_reference = 'slow'"), "${too_late}true", 'which came too late');

# What another server may have sent is looked up soon, however late it was to be sent.
sql(q{SET client_min_messages = error; INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, reference, created_at, send_at)
	VALUES ('restored', 'restored', 1, 'restored.1', '2026-01-01', '2099-01-01')});
is(cancel('restored'), 'may exist: queued as verify requested', 'restored: its original may have sent it');
is(sql(q{SELECT due BETWEEN now() + interval '20 s' AND now() + interval '2 min' AND rank = due FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice
	WHERE customer_reference = 'restored'}), 't', 'and it is looked up once MyFatoorah is done with what that may be sending');
$mf->insert($node, $db, 'copied', send_at => q('2099-01-01'));
sql(q{UPDATE mf_queue SET origin = origin + 1, lookups = 1, error = 'no key' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'copied')});
is(cancel('copied'), 'may exist: queued as verify requested', 'of another database, whose worker may have sent it: likewise');
is(sql(q{SELECT lookups, error IS NULL FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE customer_reference = 'copied'}), '0|t', 'beginning with its own reference, and a new key does not make it due');
sql(q{SET session_replication_role = replica; INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, reference, send_at)
	VALUES ('loaded', 'loaded', 1, 'loaded.1', '2099-01-01')});
is(cancel('loaded'), 'may exist: queued as verify requested', 'loaded without triggers, so nobody knows: it is put on the agenda');
sql(q{SELECT mf_resume('*'); UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume()});
$mf->wait_status($node, $db, $_, 'cancelled') for qw(restored copied loaded);
is($sandbox->count(path => '/v2/SendPayment'), 5, 'and none of them was sent');

# Where no key is left to look with, a person decides.
sql(qq{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice;
	CREATE USER MAPPING FOR alice SERVER myfatoorah OPTIONS (api_key '@{[ $sandbox->key ]}')});
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'gone.', times => 1, status => 429, body => '', create => $true, headers => { 'Retry-After' => '600' } });
sql('SET SESSION AUTHORIZATION alice; INSERT INTO mf_invoice ' . $mf->invoice('gone'));
$mf->wait_for($node, $db, "SELECT status || attempts FROM mf_invoice WHERE customer_reference = 'gone'", 'queued1');
is(cancel('gone'), 'may exist: queued as verify requested', 'a role with its own key');
sql(q{DROP OWNED BY alice; DROP ROLE alice; UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, 'gone', 'review');
like(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'gone'}),
	qr/^it is to be cancelled and may exist, and it cannot be looked up: the role that had a user mapping of its own/, 'that is gone: a person decides');
sql(q{SELECT mf_resolve(id, 'abandon', 'cancelled in the portal') FROM mf_invoice WHERE customer_reference = 'gone'});
is(row('gone'), 'cancelled requested', 'and can');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
