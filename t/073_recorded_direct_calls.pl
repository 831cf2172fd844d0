# mf_send_payment(record => true) and mf_adopt(): rows of invoices that a session has made itself, or that were made elsewhere.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.poll_delay = '1d'\nmyfatoorah.public_url = 'https://pay.example.com'");
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $db = 'postgres';
my $secret = 'Wx+sEcReT/of=the+portal';

$mf->setup_account($node, $db, $sandbox);
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);

# "ok" and what it gives, or SQLSTATE and message; then warnings
sub attempt
{
	my $got = attempted(@_);

	return join(' | ', $got->{ok} ? "ok $got->{out}" : $got->{error}, $got->{said} =~ /WARNING:  \w{5}: (.*)/g, $got->{said} =~ /^HINT:  (Cancel it.*)/mg)
	  =~ s/(?<=invoice )\d{6,}/N/r =~ s/(?<=mf_adopt\(')\d+/N/r;
}

sub sent
{
	return $sandbox->count(path => '/v2/SendPayment');
}

sub pay
{
	my ($invoice) = @_;

	return $sandbox->invoice($invoice, 'pay');
}
my $send = q{SELECT invoice_id FROM mf_send_payment(customer_name => 'Ahmad', invoice_value => 10, customer_reference => 'counter', record => true)};

#
# A row in the same call
#
my $invoice = sql($send);
my $id = sql("SELECT id FROM mf_invoice WHERE invoice_id = $invoice");
is(sql("SELECT concat_ws('|', status, payment_status, customer_reference, attempts, invoice_url IS NOT NULL, sent_at IS NOT NULL, last_error, created_by = current_user) FROM mf_invoice WHERE id = $id"),
	'sent|unpaid|counter|1|t|t|t', 'mf_send_payment(record) leaves a row that is sent');
is(sql("SELECT count(*) FROM mf_queue"), 0, 'nothing is left to do');
is(sql("SELECT concat_ws('|', attempt, outcome, http_status, a.invoice_id = $invoice, a.reference = i.reference, finished_at >= started_at, length(body_sha256)) FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE i.id = $id"),
	'1|accepted|200|t|t|t|32', 'the row has its attempt');
is(sql("SELECT string_agg(concat_ws(' ', actor = current_user, from_status, to_status, reason), ', ' ORDER BY changed_at) FROM mf_history WHERE invoice = $id"),
	't queued inserted, f queued sending claimed, t sending sent accepted by mf_send_payment()', 'the row has its history');
my ($request) = $sandbox->ledger(path => '/v2/SendPayment');
my $body = JSON::PP->new->decode($request->{body});
is($body->{CustomerReference}, sql("SELECT reference FROM mf_invoice WHERE id = $id"), 'what was sent is the reference of the row');
like($body->{CallBackUrl}, qr!^https://pay\.example\.com/callback/$id-!, 'and addresses of the listener, as of every row');
is(sql("SELECT encode(body_sha256, 'hex') FROM mf_attempt WHERE invoice = $id"), sql('SELECT encode(sha256(convert_to(' . $mf->literal($request->{body}) . ", 'UTF8')), 'hex')"), 'the attempt has the digest of the request');
pay($invoice);
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
pass('its payment is found');
is(sql("SELECT concat_ws(' ', kind, amount) FROM mf_ledger WHERE invoice = $id AND kind = 'payment'"), 'payment 10.000', 'its payment is in the ledger');

#
# Whether customers come back to the listener: by account, and by row
#
sub urls
{
	my ($name, %columns) = @_;

	$mf->insert($node, $db, $name, %columns);
	$mf->wait_status($node, $db, $name);
	my ($request) = grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } $sandbox->ledger(path => '/v2/SendPayment');
	my $body = JSON::PP->new->decode($request->{body});

	return join ' ', map { my $url = $body->{$_} // 'none'; $url =~ s!^https://pay\.example\.com/(\w+)/.*!$1!r } qw(CallBackUrl ErrorUrl WebhookUrl);
}
is(urls('as-ever'), 'callback callback webhook', 'all three are filled');
is(urls('row-off', callbacks => 'false'), 'none none webhook', 'not where the row says off');
is(urls('own', callbacks => 'false', call_back_url => q('https://shop.example.com/paid')), 'https://shop.example.com/paid none webhook', 'what it gives stays');
sql(q{ALTER SERVER myfatoorah OPTIONS (ADD callbacks 'off')});
is(urls('account-off'), 'none none webhook', 'the account says off');
is(urls('row-on', callbacks => 'true'), 'callback callback webhook', 'the row says on');
is(attempt(q{ALTER SERVER myfatoorah OPTIONS (SET callbacks 'maybe')}), '22023: invalid value for option "callbacks": "maybe"', 'other words are refused');
my $pid = $mf->worker_pid($node, $db);
sql(q{ALTER DATABASE postgres SET myfatoorah.route_callbacks = on});
$pid = $mf->wait_worker($node, $db, not => $pid);
my $both = { map { $_ => q('https://shop.example.com/paid') } qw(call_back_url error_url) };
is(urls('routed', callbacks => 'true', %$both), 'callback callback webhook', 'routed through the listener');
is(urls('not-routed', %$both), 'https://shop.example.com/paid https://shop.example.com/paid webhook', 'not where the account says off');
sql(q{ALTER DATABASE postgres RESET myfatoorah.route_callbacks; ALTER SERVER myfatoorah OPTIONS (DROP callbacks)});
$mf->wait_worker($node, $db, not => $pid);
is(urls('as-ever-2'), 'callback callback webhook', 'the listener is filled in again without the option');

#
# What is wrong with the row is known before a byte leaves
#
my $before = sent();
my $rows = sql('SELECT count(*) FROM mf_invoice');
sql(q{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice; CREATE ROLE caller LOGIN; GRANT USAGE ON FOREIGN SERVER myfatoorah TO caller;
	GRANT USAGE ON SCHEMA public TO caller; GRANT EXECUTE ON FUNCTION mf_send_payment, mf_adopt TO caller; CREATE ROLE reader LOGIN IN ROLE myfatoorah_submit});
is(attempt($send =~ s/=> 10/=> 0/r), '22023: invoice_value must be greater than zero', 'a field that is refused');
is(attempt($send, 'caller'), '42501: permission denied for table mf_invoice', 'who may not insert');
is(attempt($send, 'reader'), '42501: permission denied for account "myfatoorah"', 'who may not use the account');
is(attempt($send =~ s/record => true/record => NULL/r), '22004: record must not be null', 'a null');
is(attempt($send =~ s/account/record/r =~ s/record => true/record => true, account => 'nowhere'/r), '42704: account "nowhere" does not exist', 'an account that is none');
sql(q{ALTER TABLE mf_invoice ADD CONSTRAINT cheap CHECK (invoice_value < 100)});
is(attempt($send =~ s/=> 10/=> 100/r), '23514: new row for relation "mf_invoice" violates check constraint "cheap"', 'a constraint');
sql(q{ALTER TABLE mf_invoice DROP CONSTRAINT cheap; CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER a_skip BEFORE INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION skip()});
is(attempt($send) =~ s/:.*//r, '27000', 'a trigger that takes the row away');
sql(q{DROP TRIGGER a_skip ON mf_invoice});
is(sent(), $before, 'no request has left for a row that is refused');
is(sql('SELECT count(*) FROM mf_invoice'), $rows, 'and no row is left behind');
like(attempt($send, 'alice'), qr/^ok \d+$/, 'who may insert and use the account, may');
is(sql(q{SELECT created_by FROM mf_invoice ORDER BY id DESC LIMIT 1}), 'alice', 'the row belongs to the role that called');

#
# Refused, or unknown: no row, and what is there can be taken over
#
$before = sql('SELECT count(*) FROM mf_invoice');
$sandbox->faults({ path => 'SendPayment', shape => 1 });
is(attempt($send), '38000: MyFatoorah refused the invoice', 'what MyFatoorah refuses is an error');
$sandbox->faults({ path => 'SendPayment', status => 500, create => $true });
is(attempt($send =~ s/'counter'/'lost'/r), '08007: it is unknown whether MyFatoorah has made the invoice', 'and so is an answer that is lost');
is(sql('SELECT count(*) FROM mf_invoice'), $before, 'neither leaves a row');
my ($lost) = grep { $_->{reference} =~ /^lost/ } $sandbox->remote;
like(attempt("SELECT mf_adopt('$lost->{id}')"), qr/^ok \d+$/, 'which mf_adopt() makes, once it is known that there is an invoice');
is(sql("SELECT concat_ws('|', status, customer_reference, invoice_value, invoice_id) FROM mf_invoice WHERE invoice_id = $lost->{id}"), "sent|$lost->{reference}|10|$lost->{id}", 'with what MyFatoorah tells');

#
# Rolled back after the request had left
#
my $unmade = 'MyFatoorah has invoice N of account "myfatoorah", whose row was rolled back';
my $way = q{Cancel it in the MyFatoorah portal, or take it over with: SELECT mf_adopt('N', 'myfatoorah')};
$before = sql('SELECT count(*) FROM mf_invoice');
is(attempt("BEGIN; $send; ROLLBACK") =~ s/^ok \d+/ok/r, "ok | $unmade | $way", 'a rollback is told what it leaves');
is(attempt("BEGIN; SAVEPOINT s; $send; ROLLBACK TO s; COMMIT") =~ s/^ok \d+/ok/r, "ok | $unmade | $way", 'to a savepoint, too');
is(attempt("BEGIN; SAVEPOINT s; $send; RELEASE s; ROLLBACK") =~ s/^ok \d+/ok/r, "ok | $unmade | $way", 'after its release');
is(attempt("BEGIN; $send; SELECT 1/0") =~ s/^ok \d+/ok/r, "22012: division by zero | $unmade | $way", 'and an error');
is(attempt("BEGIN; SAVEPOINT s; $send; RELEASE s; COMMIT; BEGIN; ROLLBACK") =~ s/^ok \d+/ok/r, 'ok', 'what is committed is not told of');
is(sql('SELECT count(*) FROM mf_invoice') - $before, 1, 'one of five is there');
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.status = 'sent' THEN RAISE EXCEPTION 'not now'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION refuse()});
is(attempt($send), "P0001: not now | $unmade | $way", 'a trigger that refuses what has become of it');
sql(q{DROP TRIGGER refuse ON mf_invoice});

#
# mf_adopt(): an invoice of the portal, paid before anybody knew of it
#
sub elsewhere { return $sandbox->send_payment(CustomerName => 'Portal', InvoiceValue => 7.5, @_); }

my $portal = elsewhere(UserDefinedField => 'flat 7');
pay($portal);
$sandbox->wait_deliveries({ invoice => $portal, phase => 'queued' }, 1) or die "no webhook of invoice $portal\n";
sql($mf->webhook(($sandbox->deliveries(invoice => $portal))[-1]));
is(sql('SELECT invoice_id FROM mf_unmatched WHERE invoice_id = ' . $portal), $portal, 'its webhook matches no row');
$before = sent();
$id = sql("SELECT mf_adopt('$portal')");
is(sql('SELECT count(*) FROM mf_unmatched WHERE invoice_id = ' . $portal), 0, 'once it is adopted, it does');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql("SELECT concat_ws('|', status, customer_name, invoice_value, currency, customer_reference, user_defined_field, invoice_id = $portal, attempts, net_value, payment_error, payment_doubt, created_by = current_user) FROM mf_invoice WHERE id = $id"),
	'sent|Portal|7.5|KWD|flat 7|t|0|7.500|t', 'what MyFatoorah tells is in the row, and its payment is found');
is(sql("SELECT string_agg(concat_ws(' ', actor = current_user, from_status, to_status, reason), ', ' ORDER BY changed_at) FROM mf_history WHERE invoice = $id AND to_status <> 'paid'"),
	't queued inserted, t queued unknown made elsewhere, t unknown sent taken over by mf_adopt()', 'the history has how it came');
is(attempt("SELECT mf_adopt('$portal')"), "55000: invoice $portal of MyFatoorah is that of invoice $id already" =~ s/(?<=invoice )\d{6,}/N/r, 'a second time it is refused, with the row');
is(attempt("SELECT mf_adopt(invoice_id::text) FROM mf_invoice WHERE id = 1") =~ s/\d{6,}/N/r, '55000: invoice N of MyFatoorah is that of invoice 1 already', 'as is that of a row that was sent');
is(sql("SELECT result FROM mf_cancel(ARRAY[$id])"), 'already_sent', 'it cannot be sent or cancelled any more');
$mf->wait_idle($node, $db);
is(sent(), $before, 'nothing was sent for it');

# with other references and currencies
my $other = elsewhere(CustomerReference => ' my ref ', DisplayCurrencyIso => 'SAR', InvoiceValue => 100);
$id = sql("SELECT mf_adopt('$other', 'myfatoorah')");
pay($other);
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql("SELECT concat_ws('|', customer_reference, invoice_value, currency, payment_error, payment_doubt) FROM mf_invoice WHERE id = $id"), 'my ref|100.000|SAR', 'an invoice in another currency, with a reference of somebody');
my $twin = elsewhere(CustomerReference => 'my ref');
like(attempt("SELECT mf_adopt('$twin')"), qr/^ok \d+$/, 'another one with the same reference');
my $own = elsewhere(CustomerReference => sql('SELECT reference FROM mf_invoice WHERE id = 1'));
is(attempt("SELECT mf_adopt('$own')") =~ s/\d{6,}/N/r, '55000: invoice N of MyFatoorah is that of invoice 1 already', 'but not one with the reference of a row: it is for mf_review');

#
# A row that was deleted, or archived and its key deleted: what was booked for it goes to the row that takes its place, once
#
my $ledger = q{SELECT string_agg(concat_ws(' ', invoice, kind, amount), ', ' ORDER BY m.id) FROM mf_money m WHERE payment_id = (SELECT payment_id FROM mf_transaction WHERE invoice = %s)};
$id = sql("SELECT mf_adopt('" . (my $deleted = elsewhere(InvoiceValue => 6)) . "')");
pay($deleted);
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql(sprintf $ledger, $id), "$id payment 6.000, $id fee -0.135", 'its payment is booked');
sql("DELETE FROM mf_invoice WHERE id = $id");
$id = sql("SELECT mf_adopt('$deleted')");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql(sprintf $ledger, $id), "$id payment 6.000, $id fee -0.135", 'adopted again after a DELETE it is in the books once, under the row that is there');
is(sql("SELECT concat_ws('|', received_value, overpaid, payment_doubt) FROM mf_invoice WHERE id = $id"), '6.000|f', 'and that row has received it');
$mf->wait_idle($node, $db);
sql("DELETE FROM mf_inquiry WHERE invoice = $id; SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-05' WHERE id = $id");
is(sql(q{SELECT mf_archive('2020-02-01')}), 1, 'the row is archived');
sql('DROP TABLE mf_invoice_archive_2020_01');
is(attempt("SELECT mf_adopt('$deleted')"), "55000: invoice N of MyFatoorah is that of invoice $id already", 'its key keeps its InvoiceId after its month was dropped');
sql("DELETE FROM mf_archive_key WHERE id = $id");
$id = sql("SELECT mf_adopt('$deleted')");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql(sprintf $ledger, $id), "$id payment 6.000, $id fee -0.135", 'without it the invoice is adopted, and its payment still in the books once');

#
# What cannot be adopted
#
is(attempt(q{SELECT mf_adopt('1')}), '38000: MyFatoorah has no invoice with InvoiceId "1"', 'an invoice that there is not');
is(attempt(q{SELECT mf_adopt(' ')}), '22023: invoice_id must not be empty', 'an empty InvoiceId is refused');
is(attempt(q{SELECT mf_adopt(NULL)}), '22004: invoice_id must not be null', 'a null InvoiceId is refused');
my $free = elsewhere();
is(attempt("SELECT mf_adopt('$free')", 'reader'), '42501: permission denied for account "myfatoorah"', 'without USAGE');
is(attempt("SELECT mf_adopt('$free')", 'caller'), '42501: permission denied for table mf_invoice', 'without the right to insert');
sql(qq{CREATE TABLE t (x int); CREATE FUNCTION adopting() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM mf_adopt('$free'); RETURN NULL; END \$\$; CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION adopting()});
is(attempt('INSERT INTO t VALUES (1)'), '0A000: mf_adopt() cannot be called in a trigger', 'mf_adopt() is refused in a trigger');
my $first = $mf->session($node, $db);
my $second = $mf->session($node, $db);
$first->query_safe("BEGIN; SELECT mf_adopt('$free')");
$second->query_until(qr/begun/, "\\echo begun\nSELECT mf_adopt('$free');\n");
$mf->wait_for($node, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mf_adopt%' AND pid <> pg_backend_pid()}, 1);
$first->query_safe('COMMIT');
$second->query('SELECT 1');
like($second->{stderr}, qr/is that of invoice \d+ already/, 'of two at the same time, one finds the row of the other');
is(sql("SELECT count(*) FROM mf_invoice WHERE invoice_id = $free"), 1, 'one row has the InvoiceId');

# an invoice whose row its own session has not committed: the webhook comes first
for my $end ('COMMIT', 'ROLLBACK')
{
	my $open = $first->query_safe("BEGIN; $send") =~ s/\s//gr;

	$second->{stderr} = '';
	$second->query_until(qr/begun/, "\\echo begun\nSELECT mf_adopt('$open');\n");
	$mf->wait_for($node, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%mf_adopt%' AND pid <> pg_backend_pid()}, 1);
	$first->query($end);
	$second->query('SELECT 1');
	like($second->{stderr}, $end eq 'COMMIT' ? qr/is that of invoice \d+ already/ : qr/^$/, "who adopts it waits for it: $end");
	is(sql("SELECT count(*) FROM mf_invoice WHERE invoice_id = $open"), 1, 'one row has the InvoiceId');
}
# and what is told before the commit is not lost
$first->{stderr} = '';
my $early = $first->query_safe("BEGIN; $send") =~ s/\s//gr;
pay($early);
$sandbox->wait_deliveries({ invoice => $early, phase => 'queued' }, 1) or die "no webhook of invoice $early\n";
sql($mf->webhook(($sandbox->deliveries(invoice => $early))[-1]));
is(sql("SELECT count(*) FROM mf_unmatched WHERE invoice_id = $early"), 1, 'a webhook that comes before the commit matches no row');
$first->query_safe('COMMIT');
is(sql("SELECT count(*) FROM mf_unmatched WHERE invoice_id = $early"), 0, 'the webhook matches the row after the commit');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE invoice_id = $early", 'paid');
# and a session that does not see yet what others have adopted
$first->{stderr} = '';
my $later = elsewhere();
$first->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mf_open');
sql("SELECT mf_adopt('$later')");
$first->{stderr} = '';
$first->query("SELECT mf_adopt('$later')");
like($first->{stderr}, qr/is that of invoice \d+ already/, 'who does not see its row is told of it');
$_->quit for $first, $second;
# another account of the same merchant
sql('CREATE SERVER branch FOREIGN DATA WRAPPER myfatoorah OPTIONS (country $$KWT$$, base_url ' . $mf->literal($sandbox->url) . "); CREATE USER MAPPING FOR PUBLIC SERVER branch OPTIONS (api_key_file 'myfatoorah.key')");
my $of_row = sql('SELECT invoice_id FROM mf_invoice WHERE id = 1');
is(attempt("SELECT mf_adopt('$_', 'branch')") =~ s/\d{6,}/N/r =~ s/ \d+ already/ N already/r, '55000: invoice N of MyFatoorah is that of invoice N already', "is told of the row of the other ($_)") for $of_row, $portal;
sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01', payment_status = 'paid' WHERE invoice_id IN ($of_row, $portal); DELETE FROM mf_inquiry q USING mf_invoice i WHERE i.id = q.invoice AND i.invoice_id IN ($of_row, $portal)");
is(sql(q{SELECT mf_archive('2020-02-01')}), 2, 'two are archived');
is(attempt("SELECT mf_adopt('$_', 'branch')") =~ s/\d{6,}/N/r =~ s/ \d+ already/ N already/r, '55000: invoice N of MyFatoorah is that of invoice N already', "and of one that is archived ($_)") for $of_row, $portal;
sql(q{UPDATE pg_foreign_server SET srvname = 'main' WHERE srvname = 'myfatoorah'});
is(attempt("SELECT mf_adopt('$portal', 'branch')") =~ s/\d{6,}/N/r =~ s/ \d+ already/ N already/r, '55000: invoice N of MyFatoorah is that of invoice N already', 'and of an account that nobody knows any more');
sql(q{UPDATE pg_foreign_server SET srvname = 'myfatoorah' WHERE srvname = 'main'});
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON mf_invoice FOR SELECT USING (false); CREATE POLICY new ON mf_invoice FOR INSERT WITH CHECK (false)});
is(attempt("SELECT mf_adopt('$free')", 'alice'), qq{38000: MyFatoorah has no invoice with InvoiceId "$free"}, 'what policies hide is not told of');
my $hidden = elsewhere();
is(attempt("SELECT mf_adopt('$hidden')", 'alice'), '42501: new row violates row-level security policy for table "mf_invoice"', 'and policies of INSERT hold');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
