# The listener: webhooks and callbacks come in, are answered when they are stored, and cause a look-up.
use MyFatoorah::Test;
use Time::HiRes qw(time);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 0");
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";

$mf->setup_account($node, 'postgres', $sandbox, options => { timeout => '8s' });
$web->give_secret($node, 'postgres');
$mf->wait_worker($node, 'postgres');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_listener_status'), 0, 'the listener is off by default');
is($node->safe_psql('postgres', "SELECT ok, detail LIKE 'Off%' FROM mf_check() WHERE item = 'listener'"), 't|t', 'and mf_check() says so');

# Settings
foreach my $wrong ('', '127.0.0.1,', 'example.com', '127.0.0.1:80', '1.2.3', join(',', ('127.0.0.1') x 40))
{
	my (undef, undef, $err) = $node->psql('postgres', "SET myfatoorah.listen_addresses = '$wrong'");

	like($err, qr/invalid value for parameter "myfatoorah.listen_addresses".*HINT:  Use numeric/s, "\"$wrong\" is refused");
}
my @most = map { "127.0.0.$_" } 1 .. 16;
$node->safe_psql('postgres', "SET myfatoorah.listen_addresses = '$_'") for 'localhost', '*', '127.0.0.1, ::1', '0.0.0.0', join(', ', @most);
foreach my $more (join(', ', @most, '::1'), join(', ', @most[ 0 .. 14 ], '*'))
{
	my (undef, undef, $err) = $node->psql('postgres', "SET myfatoorah.listen_addresses = '$more'");

	like($err, qr/DETAIL:  There are more than 16 addresses/, "the limit is named about \"$more\"");
}

$web->open($node, 'postgres', $port);
is($node->safe_psql('postgres', 'SELECT addresses, port, tls FROM mf_listener_status'), "127.0.0.1|$port|f", 'mf_listener_status shows address and port');
like($node->safe_psql('postgres', "SELECT ok, detail FROM mf_check() WHERE item = 'listener'"),
	qr/^t\|Accepts HTTP at 127\.0\.0\.1, port $port\. Whether/, 'mf_check() says where');
is($node->safe_psql('postgres', "SELECT usename IS NOT NULL, application_name FROM pg_stat_activity WHERE backend_type = 'myfatoorah listener'"),
	't|myfatoorah listener', 'pg_stat_activity shows the listener under its name');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah listener' AND state = 'idle in transaction'"), 0, 'the listener rests outside of a transaction');

# Paths
my $answer = $web->get("$url/health");
is("$answer->{status} $answer->{content}", "200 ok\n", 'health');
is($web->get("$url/health", 'HEAD')->{status}, 200, 'health by HEAD');
foreach my $path ('/', '/healthz', '/health/', '/webhook/', '/webhook/a/b', '/callback', '/callback/', '/WEBHOOK', '//webhook', '/x/webhook',
	'/callback/1-%zz', '/callback/1-%00', '/webhook/%ff', '/callback/../health', '/%68ealth')
{
	is($web->get("$url$path")->{status}, 404, "$path: 404");
}
foreach (['GET', '/webhook', 'POST'], ['PUT', '/webhook/x', 'POST'], ['POST', '/health', 'GET, HEAD'], ['DELETE', '/callback/1-a', 'GET, HEAD'])
{
	my ($method, $path, $allow) = @$_;

	$answer = $web->get("$url$path", $method);
	is("$answer->{status} $answer->{headers}{allow}", "405 $allow", "$method $path: 405");
}

# A customer pays, and MyFatoorah says so. The account's default name may be left out.
$node->safe_psql('postgres', "ALTER DATABASE postgres SET myfatoorah.public_url = '$url/'");
$web->wait_listening($node, 'postgres', $port);
$mf->wait_worker($node, 'postgres');
my %url = (call_back_url => "'https://shop.example/thanks?order=1#top'", error_url => "'https://shop.example/sorry'");
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET myfatoorah.route_callbacks = on');
$mf->wait_worker($node, 'postgres');
$web->wait_listening($node, 'postgres', $port);

sub row
{
	my ($name, %columns) = @_;

	$mf->insert($node, 'postgres', $name, %columns);
	$mf->wait_status($node, 'postgres', $name);
	my ($id, $invoice, $reference, $token) = split /\|/, $node->safe_psql('postgres',
		"SELECT id, invoice_id, reference, id || '-' || right(regexp_replace(reference, '~.*', ''), 20) FROM mf_invoice WHERE customer_reference = '$name'");
	return { id => $id, invoice => $invoice, reference => $reference, token => $token };
}

sub wait_payment
{
	my ($name, $status) = @_;

	return $mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE customer_reference = '$name'", $status);
}

my $row = row('by webhook');
$sandbox->invoice($row->{invoice}, 'pay');
my ($body, $headers) = $web->v2(invoice => $row->{invoice}, reference => $row->{reference});
$answer = $web->post("$url/webhook", $body, $headers);
is("$answer->{status} $answer->{content}", "200 ok\n", 'a signed webhook, version 2');
is($node->safe_psql('postgres', "SELECT count(*), max(deliveries) FROM mf_event WHERE source = 'webhook'"), '1|1', 'the webhook is stored when it is answered');
ok(wait_payment('by webhook', 'paid'), 'and causes a look-up');
is($web->post("$url/webhook/myfatoorah", $body, $headers)->{status}, 200, 'the same webhook again is answered with 200');
is($node->safe_psql('postgres', "SELECT count(*), max(deliveries) FROM mf_event WHERE source = 'webhook'"), '1|2', 'two deliveries of a webhook are one event');

$row = row('by webhook v1');
$sandbox->invoice($row->{invoice}, 'pay');
is($web->post("$url/webhook", $web->v1(InvoiceId => $row->{invoice} + 0, CustomerReference => $row->{reference}))->{status}, 200,
	'a signed webhook, version 1');
ok(wait_payment('by webhook v1', 'paid'), 'and causes a look-up');

# What proves nothing changes nothing.
my $events = $node->safe_psql('postgres', 'SELECT count(*) FROM mf_event');
$row = row('forged');
($body, $headers) = $web->v2(invoice => $row->{invoice}, secret => 'guessed');
is($web->post("$url/webhook", $body, $headers)->{status}, 401, 'a webhook with a forged signature: 401');
($body, $headers) = $web->v2(invoice => $row->{invoice});
is($web->post("$url/webhook", $body, { 'MyFatoorah-Webhook-Version' => 'v2' })->{status}, 401, 'a webhook without a signature: 401');
is($web->post("$url/webhook", $body =~ s/PAID/PENDING/r, $headers)->{status}, 401, 'a webhook whose body was changed: 401');
is($web->post("$url/webhook", $body, { %$headers, 'MyFatoorah-Signature' => [ ($headers->{'MyFatoorah-Signature'}) x 2 ] })->{status}, 400, 'a webhook with two signatures: 400');
is($web->post("$url/webhook", $body, { %$headers, 'MyFatoorah-Webhook-Version' => [ 'v2', 'v1' ] })->{status}, 400, 'a webhook of two versions: 400');
is($web->post("$url/webhook/nobody", $body, $headers)->{status}, 404, 'unknown account: 404');
like(($node->psql('postgres', q{CREATE SERVER "*" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT')}))[2], qr/ERROR:  account name "\*" is reserved/,
	'no server has the name for all accounts');
like(($node->psql('postgres', "CREATE SERVER $_ FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT')"))[2], qr/ERROR:  account name ".*" is not valid/s,
	"nor one that is no part of an address: $_") foreach qq{U&"tab\\0009"}, qq{U&"\\007F"}, '"."', '".."';
like(($node->psql('postgres', q{ALTER SERVER myfatoorah RENAME TO ".."}))[2], qr/ERROR:  account name ".." is not valid/, 'no server is renamed to a name that is not valid');
# one that comes from where nobody refused it
$node->safe_psql('postgres', q{CREATE SERVER star FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
	UPDATE pg_foreign_server SET srvname = '*' WHERE srvname = 'star'});
is($web->post("$url/webhook/*", $body, $headers)->{status}, 404, 'a server named * is no account: 404');
is($node->safe_psql('postgres', q{SELECT count(*) FROM mf_check() WHERE detail LIKE '%"*"%'}), 0, 'mf_check() does not name a server named *');
$node->safe_psql('postgres', 'DROP SERVER "*"');
is($web->post("$url/webhook", 'not JSON', $headers)->{status}, 400, 'no JSON: 400');
is($web->post("$url/webhook", '', $headers)->{status}, 400, 'an empty body: 400');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_event'), $events, 'no refused webhook is stored');
is($node->safe_psql('postgres', "SELECT stored.webhooks, stored.repeated FROM mf_listener_status stored"), '3|1', 'mf_listener_status counts webhooks since its start');

# Names that must be escaped in a path
$mf->setup_account($node, 'postgres', $sandbox, account => "caf\x{c3}\x{a9} 1/2", key_file => 'cafe.key');
$node->safe_psql('postgres', "ALTER USER MAPPING FOR PUBLIC SERVER \"caf\x{c3}\x{a9} 1/2\" OPTIONS (ADD webhook_secret_file 'myfatoorah.webhook')");
is($web->post("$url/webhook/caf%C3%A9%201%2f2", $body, $headers)->{status}, 200, 'an account with a name in need of escapes');

# Customers come back: paid
$row = row('customer paid', %url);
$sandbox->invoice($row->{invoice}, 'pay');
$answer = $web->get("$url/callback/$row->{token}?paymentId=07071234&Id=07071234");
is("$answer->{status} $answer->{headers}{location}",
	'303 https://shop.example/thanks?order=1&paymentId=07071234&Id=07071234#top', 'a customer who has paid goes to the success page, as soon as that is confirmed');
is($answer->{headers}{'cache-control'} . ' ' . $answer->{headers}{'referrer-policy'} . ' ' . $answer->{headers}{'x-content-type-options'},
	'no-store no-referrer nosniff', 'the redirect has headers that keep it private');
unlike($answer->{content}, qr/\d/, 'the body of the redirect has no number');
is($mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $row->{id}", 'paid'), 1, 'the row is paid');
$answer = $web->get("$url/callback/$row->{token}", 'HEAD');
is("$answer->{status} $answer->{headers}{location}", '303 https://shop.example/thanks?order=1#top', 'a look by HEAD gets the same');

# not paid
$row = row('customer failed', %url);
$sandbox->invoice($row->{invoice}, 'fail');
$answer = $web->get("$url/callback/$row->{token}?paymentId=0707");
is("$answer->{status} $answer->{headers}{location}", '303 https://shop.example/sorry?paymentId=0707&Id=0707', 'one whose payment failed goes to the other page');

# without pages of their own; Arabic
$row = row('no pages', language => "'AR'");
$sandbox->invoice($row->{invoice}, 'pay');
$answer = $web->get("$url/callback/$row->{token}?paymentId=0707");
is($answer->{status}, 200, 'without a page of the row there is one of ours');
like($answer->{content}, qr/<html lang="ar" dir="rtl">.*\xd8\xaa\xd9\x85/s, 'the page is in Arabic, from right to left');
like($answer->{headers}{'content-security-policy'}, qr/default-src 'none'/, 'the page may load nothing');
unlike($answer->{content}, qr/$row->{invoice}|$row->{reference}|no pages/, 'the page has no number, reference or name of the invoice');
$row = row('only a success page', call_back_url => $url{call_back_url});
$sandbox->invoice($row->{invoice}, 'fail');
$answer = $web->get("$url/callback/$row->{token}");
is($answer->{status}, 200, 'who has not paid does not get to the success page for want of another');
like($answer->{content}, qr/<html lang="en" dir="ltr">.*not completed/s, 'but to a page of ours');

# not known in time
$row = row('not known', %url);
$sandbox->faults({ path => 'GetPaymentStatus', never => JSON::PP::true, times => -1 });
my $start = time;
$answer = $web->get("$url/callback/$row->{token}?paymentId=0707");
my $took = time - $start;
is($answer->{status}, 200, 'as long as nothing is known');
like($answer->{content}, qr/not confirmed yet/, 'the page says that the payment is not confirmed yet');
is($answer->{headers}{refresh}, '5; url=?paymentId=0707&Id=0707&try=1', 'the page is loaded again after five seconds');
cmp_ok($took, '>', 4, 'the answer comes after four seconds or more');
is($web->get("$url/callback/$row->{token}?paymentId=0707&try=5")->{headers}{refresh}, undef, 'the page is not loaded again after the fifth time');
$sandbox->clear_faults;

# with the PaymentId of another invoice, which is paid: whose address it is counts, however often and whatever number comes
my $paid = row('paid by somebody');
$sandbox->invoice($paid->{invoice}, 'pay');
my $strange = $sandbox->invoice($paid->{invoice})->{transactions}[-1]{payment_id};
$row = row('not paid');
foreach my $call ("?paymentId=$strange", '', "?paymentId=$strange&try=2", '?paymentId=12345')
{
	unlike($web->get("$url/callback/$row->{token}$call")->{content}, qr/been received/, "nobody is told that another's payment was his: $call");
	$mf->wait_for($node, 'postgres', "SELECT due IS NULL FROM mf_event WHERE source = 'callback' AND invoice = $row->{id}") if $call eq "?paymentId=$strange";
}
ok(wait_payment('paid by somebody', 'paid'), 'the invoice that it belongs to is asked about');
is($node->safe_psql('postgres', "SELECT payment_status FROM mf_invoice WHERE id = $row->{id}"), 'unpaid', 'and that of the address stays unpaid');
$sandbox->invoice($row->{invoice}, 'pay');
$web->get("$url/callback/$row->{token}?paymentId=" . $sandbox->invoice($row->{invoice})->{transactions}[-1]{payment_id});
ok(wait_payment('not paid', 'paid'), 'until it is paid itself');

# Guesses
$row->{wrong} = $row->{token} =~ s/(.)$/$1 eq 'a' ? 'b' : 'a'/er;
is($web->get("$url/callback/$row->{wrong}")->{status}, 404, 'a guessed token: 404');
is($web->get("$url/callback/$row->{id}")->{status}, 404, 'a number alone: 404');
is($web->get("$url/callback/$row->{token}?paymentId=$_")->{status}, 400, "paymentId=$_: 400") for '%0d%0aX:y', '1+1', 'a%00b', '1&paymentId=2', 'x' x 65, 'a-b';

# Many at once
my @sockets = map { $web->connect($port) } 1 .. 100;
foreach my $n (0 .. $#sockets)
{
	my ($content, $with) = $web->v2(invoice => 500000 + $n);

	syswrite $sockets[$n], "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " . length($content) . "\r\n"
	  . join('', map { "$_: $with->{$_}\r\n" } keys %$with) . "\r\n$content";
}
is(scalar(grep { $web->read_all($_, 20) =~ /^HTTP\/1\.1 200 / } @sockets), 100, 'a hundred webhooks at once are answered with 200');
is($node->safe_psql('postgres', "SELECT count(*) FROM mf_event WHERE invoice_id::bigint BETWEEN 500000 AND 500099"), 100, 'a hundred webhooks are a hundred events');

# Idle: no wake-up without traffic. All connections are closed.
$mf->wait_idle($node, 'postgres');
$mf->wait_for($node, 'postgres', 'SELECT connections FROM mf_listener_status', '0');
my $look = "SELECT wakeups FROM mf_listener_status";
my $wakeups = $node->safe_psql('postgres', $look);
my $until = time + ($ENV{MF_IDLE_SECONDS} // 8);
$mf->wait_for($node, 'postgres', "SELECT clock_timestamp() > to_timestamp($until)");
$mf->insert($node, 'postgres', 'others work');
$mf->wait_status($node, 'postgres', 'others work');
# a line about what was refused may be due once
cmp_ok($node->safe_psql('postgres', $look) - $wakeups, '<=', 1, 'an idle listener is not woken');

# Trouble in the database: nobody gets 200 for what is not stored.
my $session = $mf->session($node, 'postgres');
$session->query_safe('BEGIN; LOCK TABLE mf_event');
($body, $headers) = $web->v2(invoice => 600000);
$answer = $web->post("$url/webhook", $body, $headers);
is("$answer->{status} $answer->{headers}{'retry-after'}", '503 30', 'the table is locked: try again');
$session->query_safe('ROLLBACK');
$session->quit;
is($web->post("$url/webhook", $body, $headers)->{status}, 200, 'the webhook is stored when the table is free again');
like($node->safe_psql('postgres', 'SELECT last_error FROM mf_listener_status'), qr/lock timeout/, 'mf_listener_status shows the lock timeout');

# While nothing is stored mf_check() says so, whatever health checks say.
my $item = q{SELECT concat_ws('|', ok, detail ~ 'could not be stored: .') FROM mf_check() WHERE item = 'listener'};
is($node->safe_psql('postgres', $item), 't|f', 'mf_check() finds nothing, once the same succeeds');
$node->safe_psql('postgres', 'CREATE RULE swallow AS ON INSERT TO mf_event DO INSTEAD NOTHING');
($body, $headers) = $web->v2(invoice => 600001);
is($web->post("$url/webhook", $body, $headers)->{status}, 503, 'a rule swallows what comes in');
is($web->get("$url/health")->{status}, 200, '/health answers 200 while nothing is stored');
is($node->safe_psql('postgres', $item), 'f|t', 'but mf_check() says that nothing is stored');
$node->safe_psql('postgres', 'DROP RULE swallow ON mf_event');
is($web->post("$url/webhook", $body, $headers)->{status}, 200, 'without the rule it is stored');
is($node->safe_psql('postgres', $item), 't|f', 'and mf_check() says no more');

# One bad message among good ones fails alone.
$node->safe_psql('postgres', q{CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN IF NEW.invoice_id::text = '666' THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END$$;
	CREATE TRIGGER poison BEFORE INSERT ON mf_event FOR EACH ROW EXECUTE FUNCTION poison(); });
@sockets = map { $web->connect($port) } 1 .. 20;
foreach my $n (0 .. $#sockets)
{
	my ($content, $with) = $web->v2(invoice => $n == 7 ? 666 : 700000 + $n);

	syswrite $sockets[$n], "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " . length($content) . "\r\n"
	  . join('', map { "$_: $with->{$_}\r\n" } keys %$with) . "\r\n$content";
}
is(join(',', map { $web->read_all($_, 20) =~ /^HTTP\/1\.1 (\d+)/ } @sockets), join(',', map { $_ == 7 ? 503 : 200 } 0 .. 19), 'one bad message fails alone');
$node->safe_psql('postgres', 'DROP TRIGGER poison ON mf_event');

# Rights. An error may quote rows, as this one does of a trigger.
my $errors = sub { $node->safe_psql('postgres', "SET ROLE $_[0]; SELECT coalesce(last_error, 'hidden'), last_error_at IS NOT NULL FROM mf_listener_status") };
$node->safe_psql('postgres', 'CREATE ROLE submitter IN ROLE myfatoorah_submit; CREATE ROLE reader IN ROLE myfatoorah_read');
is($errors->('reader'), 'poison|t', 'who reads all invoices sees errors');
is($errors->('submitter'), 'hidden|t', 'who submits his own does not');
$node->safe_psql('postgres', 'ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY');
is($errors->('reader'), 'hidden|t', 'nor who reads those that policies show');
$node->safe_psql('postgres', 'ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY');
my (undef, undef, $err) = $node->psql('postgres', 'CREATE ROLE stranger; SET ROLE stranger; SELECT * FROM mf_listener_status');
like($err, qr/permission denied for view mf_listener_status/, 'the status is not for everybody');

# Secrets
my $log = slurp_file($node->logfile);
unlike($log, qr/\Q$MyFatoorah::Web::secret\E/, 'the log has no webhook secret');
unlike($log, qr/\Q$headers->{'MyFatoorah-Signature'}\E/, 'the log has no signature');
unlike($log, qr/TransactionsStatusChanged|PAYMENT_STATUS_CHANGED/, 'the log has no body of a webhook');

$node->stop;
done_testing();
