# Deposits: what MyFatoorah has paid out is read because a webhook announces it, the log of webhooks does, or a person asks;
# each payment in it is found again among the invoices, and a difference is explained or shown.
use MyFatoorah::Test qw(sql);

use FindBin;
use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--key', 'another-merchant=SAU' ]);
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'
	myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $secret = 'deposit-secret';
my $call = { path => '/v2/GetDepositedInvoices' };

# wait_deposit(deposit or its reference, status): waits until it has that status, 'read' unless told otherwise
sub wait_deposit
{
	my ($deposit, $status) = @_;
	my $name = ref $deposit ? $deposit->{reference} : $deposit;

	$mf->wait_for($node, $db, "SELECT status FROM mf_deposit WHERE deposit_reference = '$name'", $status // 'read');
	return;
}

# Has the invoices paid, and seen to be
sub pay
{
	my (@names) = @_;
	my $list = join ', ', map { "'$_'" } @names;
	my @ids = split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference IN ($list) ORDER BY id");

	$sandbox->invoice($_, 'pay') for @ids;
	sql("SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference IN ($list)))");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE payment_status = 'paid' AND customer_reference IN ($list)", scalar @names);
	return @ids;
}

$mf->setup_account($node, $db, $sandbox);
$mf->setup_account($node, $db, $sandbox, account => 'other', key_file => 'myfatoorah.key');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
$mf->wait_worker($node, $db);
$mf->insert_many($node, $db, 'rent', 12);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 12);
my @ids = pay(map { "rent-$_" } 1 .. 11);
$mf->wait_idle($node, $db);
is($sandbox->count(%$call), 0, 'as long as nobody asks for a deposit, no request is made');
is(sql('SELECT count(*), min(days) FROM mf_undeposited'), '11|0', 'what was paid is in no deposit');

# By a person
my $first = $sandbox->deposit(invoices => [ @ids[ 0 .. 4 ] ], webhook => 0);
my $id = sql("SELECT mf_read_deposit('$first->{reference}')");
wait_deposit($first);
is(sql("SELECT id, account, supplier_code, currency, item_count, itemised_value = $first->{itemised}, announced_value, error, due
	FROM mf_deposit"), "$id|myfatoorah||KWD|5|t|||", 'a deposit that was asked for is read');
is(sql("SELECT extract(epoch FROM now() - deposit_date) BETWEEN 0 AND 3000 FROM mf_deposit"), 't', 'its date is in the time zone of the account');
is(sql("SELECT string_agg(i.customer_reference, ' ' ORDER BY d.item) FROM mf_deposit_item d JOIN mf_invoice i ON i.id = d.invoice
	WHERE i.reference = d.reference AND i.invoice_id = d.invoice_id AND i.payment_id = d.payment_id
		AND d.invoice_value = i.invoice_value AND d.due_value = d.paid_currency_value AND d.due_deposit < d.due_value"),
	'rent-1 rent-2 rent-3 rent-4 rent-5', 'each payment in it is that of an invoice, to the last decimal');
is(sql('SELECT count(*) FROM mf_undeposited'), 6, 'the others are still in none');
is(sql('SELECT difference, refunds, unexplained, deducted >= service_charge FROM mf_deposit_difference'),
	'|||t', 'what nobody has announced is not compared, and of the first deposit nobody knows which refunds are in it');
is_deeply(JSON::PP->new->decode(($sandbox->ledger(%$call))[-1]{body}), { DepositReference => $first->{reference}, Type => 'Vendor' }, 'the request names the deposit');
is(sql("SELECT mf_read_deposit('$first->{reference}')"), $id, 'asked for again it is the same');
$sandbox->wait_count($call, 2);
wait_deposit($first);
is(sql('SELECT count(*) FROM mf_deposit_item'), 5, 'the payments of a deposit that is read twice are listed once');

# By a webhook, with a refund and a fee that no list contains
$sandbox->invoice($ids[0], 'refund', { amount => '0.250' });
sql("SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'rent-1'");
$mf->wait_for($node, $db, "SELECT refunded_value FROM mf_invoice WHERE customer_reference = 'rent-1'", '0.250');
my $second = $sandbox->deposit(invoices => [ @ids[ 5 .. 8 ] ], fees => '1.5');
my ($delivery) = $sandbox->deliveries(code => 3);
my $event = sql($mf->webhook($delivery));
wait_deposit($second);
is(sql("SELECT announced_value = $second->{announced}, announced_count, item_count, itemised_value = $second->{itemised} FROM mf_deposit
	WHERE deposit_reference = '$second->{reference}'"), 't|4|4|t', 'a deposit that a webhook announces is read');
is(sql("SELECT difference, refunds, unexplained, missing_items FROM mf_deposit_difference WHERE deposit_reference = '$second->{reference}'"),
	'-1.750|-0.250|-1.500|0', 'the refund explains a part of the difference, and the fee is left');
is(sql("SELECT count(*) FROM mf_unmatched WHERE id = $event"), 0, 'its event needs nobody');
my $asked = $sandbox->count(%$call);
is(sql($mf->webhook($delivery)), $event, 'the same webhook once more');
$mf->wait_idle($node, $db);
is($sandbox->count(%$call), $asked, 'asks MyFatoorah for nothing');

# By the log of webhooks, after downtime
$node->stop;
my $third = $sandbox->deposit(invoices => [ $ids[9] ]);
$sandbox->wait_deliveries({ code => 3 }, 2) or die "the webhook is still being sent\n";
$node->start;
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_deposit WHERE status = 'read' AND deposit_reference = '$third->{reference}'", 1);
is(sql("SELECT announced_value = $third->{announced}, announced_count FROM mf_deposit WHERE deposit_reference = '$third->{reference}'"), 't|1',
	'one that was announced during downtime is found in the log');
is(sql("SELECT count(*) FROM mf_event WHERE event_code = 3 AND (invoice IS NOT NULL OR invoice_id IS NOT NULL)"), 0, 'the number of a deposit is not taken for an InvoiceId');

# Answers that do not come, or prove nothing
$sandbox->faults({ path => 'GetDepositedInvoices', status => 503, times => -1 });
sql("SELECT mf_read_deposit('$third->{reference}')");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_deposit WHERE deposit_reference = '$third->{reference}' AND status = 'queued' AND error <> ''", 1);
is(sql("SELECT item_count FROM mf_deposit WHERE deposit_reference = '$third->{reference}'"), 1, 'meanwhile the earlier answer stays');
$sandbox->clear_faults;
$sandbox->faults({ path => 'GetDepositedInvoices', cut_answer_at => 300, times => 1 }, { path => 'GetDepositedInvoices', shape => 11, headers => { 'Retry-After' => '1' }, times => 1 });
sql('SELECT mf_resume()');
wait_deposit($third);
is(sql("SELECT error FROM mf_deposit WHERE deposit_reference = '$third->{reference}'"), '', 'it is asked for until it is read');
is(sql('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'answers that do not come pause no account');
$sandbox->clear_faults;

# What was read stays read: neither a deposit that is asked for again nor one that fails hands its refunds to the next one
sub third_refunds
{
	my ($change) = @_;

	return sql("BEGIN; $change; SELECT refunds, (SELECT count(*) FROM mf_deposit_difference WHERE deposit_reference = '$second->{reference}')
		FROM mf_deposit_difference WHERE deposit_reference = '$third->{reference}'; ROLLBACK");
}
is(third_refunds('SET LOCAL work_mem = DEFAULT'), '0|1', 'the third deposit has no refunds of the second one');
is(third_refunds("UPDATE mf_deposit_state SET status = '$_' WHERE deposit_reference = '$second->{reference}'"), '0|1', "nor if that is $_ again") foreach 'queued', 'failed';
is(third_refunds("UPDATE mf_deposit_state SET status = 'failed', read_at = NULL WHERE deposit_reference = '$second->{reference}'"), '0|0',
	'nor if it is announced and was never read');

# A list without payments where there are some is none
$sandbox->faults({ path => 'GetDepositedInvoices', contains => $_->[0]{reference}, times => -1, status => 200, body => qq({"IsSuccess":true,"Message":"","Data":$_->[1]}) })
  foreach [ $first, 'null' ], [ $second, '[]' ], [ $third, 'null' ];
sql("DELETE FROM mf_deposit_row WHERE deposit IN (SELECT id FROM mf_deposit WHERE deposit_reference = '$third->{reference}');
	UPDATE mf_deposit_state SET read_at = NULL, item_count = NULL WHERE deposit_reference = '$third->{reference}'");
sql("SELECT mf_read_deposit('$_->{reference}')") foreach $first, $second, $third;
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_deposit WHERE error ~ 'lists no payments'", 3);
is(sql("SELECT string_agg(concat_ws(' ', d.status, d.item_count, (SELECT count(*) FROM mf_deposit_item i WHERE i.deposit = d.id)), ', ' ORDER BY d.id) FROM mf_deposit d"),
	'queued 5 5, queued 4 4, queued 0', 'an answer without payments wipes none that were read, and is none for a deposit that was announced with some');
$sandbox->clear_faults;
sql('SELECT mf_resume()');
wait_deposit($_) foreach $first, $second, $third;

# Whatever this endpoint alone answers, invoices are sent and payments asked about, and the account is not said to wait
my $foreign = '{"IsSuccess":true,"Message":"","Data":[{"InvoiceId":1,"DueDeposit":"1","DepositReference":"foreign"}]}';
my %alone = (
	'permission' => { shape => 8 }, 'wrong key' => { shape => 7 }, 'gateway' => { shape => 6 },
	'foreign' => { status => 200, body => $foreign }, 'limit' => { status => 429, body => '{}', headers => { 'Retry-After' => '3600' } });
foreach my $name ((grep { $_ ne 'limit' } sort keys %alone), 'limit')
{
	my $mine = "D-$name-" =~ tr/ /_/r;

	$sandbox->faults({ path => 'GetDepositedInvoices', times => -1, contains => $mine, %{ $alone{$name} } });
	sql("SELECT mf_read_deposit('$mine' || g) FROM generate_series(1, 2) g");
	$mf->wait_for($node, $db, "SELECT count(*) >= 1 FROM mf_deposit WHERE error <> '' AND starts_with(deposit_reference, '$mine')", 't');
	$mf->insert($node, $db, "beside $name");
	$mf->wait_status($node, $db, "beside $name");
	pay("beside $name");
	is(sql("SELECT count(*) FROM mf_check() WHERE detail ~ 'Waits until' OR item = 'sending' AND NOT ok") . sql('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), '00',
		"$name: deposits that cannot be read hold up no invoice");
}
$sandbox->clear_faults;
$mf->wait_idle($node, $db);
sql("DELETE FROM mf_deposit_state WHERE deposit_reference LIKE 'D-%'; SELECT mf_resume()");

# Nor does one reading hold up another; 429 does, that of its account, and for as long as MyFatoorah asks
$sandbox->faults({ path => 'GetDepositedInvoices', contains => 'D-silent', times => -1, status => 503 });
sql("SELECT mf_read_deposit('D-silent' || g) FROM generate_series(1, 3) g");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_deposit WHERE error <> '' AND starts_with(deposit_reference, 'D-silent')", 3);
sql("SELECT mf_read_deposit('$first->{reference}')");
wait_deposit($first);
is(sql("SELECT DISTINCT status FROM mf_deposit WHERE starts_with(deposit_reference, 'D-silent')"), 'queued', 'three that are not answered hold up none beside them');
sub limited
{
	my ($seconds, $times) = @_;

	$sandbox->faults({ path => 'GetDepositedInvoices', contains => 'D-limit', times => $times, status => 429, body => '{}', headers => { 'Retry-After' => "$seconds" } });
	sql("SELECT mf_read_deposit('D-limit')");
	return $mf->wait_for($node, $db, "SELECT error ~ '429' FROM mf_deposit WHERE deposit_reference = 'D-limit'");
}
limited(3600, 1);
sql("SELECT mf_read_deposit('$first->{reference}'); SELECT mf_read_deposit('$first->{reference}', 'other')");
$mf->wait_for($node, $db, "SELECT status FROM mf_deposit WHERE account = 'other'", 'read');
is(sql("SELECT string_agg(status || (due > now()), ' ' ORDER BY deposit_reference) FROM mf_deposit WHERE account = 'myfatoorah' AND deposit_reference IN ('D-limit', '$first->{reference}')"),
	'queuedfalse queuedtrue', '429: those of another account are read, and no other of the same');
sql("DELETE FROM mf_deposit_row WHERE deposit IN (SELECT id FROM mf_deposit WHERE account = 'other'); DELETE FROM mf_deposit_state WHERE account = 'other'; SELECT mf_resume()");
wait_deposit($first);
limited(1, -1);
my ($limit) = (grep { $_->{status} == 429 } $sandbox->ledger(%$call))[-1];
sql("SELECT mf_read_deposit('$first->{reference}')");
wait_deposit($first);
my ($next) = grep { $_->{seq} > $limit->{seq} && $_->{body} =~ /$first->{reference}/ } $sandbox->ledger(%$call);
cmp_ok($next->{complete_us} - $limit->{answered_us}, '>', 1_000_000, '... until the time is over, then by themselves');
$sandbox->clear_faults;
$mf->wait_idle($node, $db);
sql("DELETE FROM mf_deposit_state WHERE deposit_reference LIKE 'D-%'");

# A payment that is listed twice, in one deposit or in two; two payments of one invoice are not that
my ($old, $new) = map { my $number = $ids[$_]; my $payment = sql("SELECT payment_id FROM mf_invoice WHERE invoice_id = $number"); [ $number, $payment ] } 0, 10;
my $listed = sub {
	my ($deposit, @payments) = @_;

	$sandbox->faults({ path => 'GetDepositedInvoices', contains => $deposit, times => 1, status => 200,
		body => '{"IsSuccess":true,"Message":"","Data":[' . join(',', map { qq({"InvoiceId":$_->[0],"PaymentId":"$_->[1]","DueDeposit":"1.000","DepositReference":"$deposit"}) } @payments) . ']}' });
	sql("SELECT mf_read_deposit('$deposit')");
	wait_deposit($deposit);
	return;
};
$listed->('D-twice', $new, $old, $new, [ $new->[0], 'another' ], [ $new->[0], 'another' ], [ $new->[0], 'a third' ]);
$listed->('D-none', [ $new->[0], 'a fourth' ]);
is(sql("SELECT string_agg(concat_ws(' ', deposit_reference, repeated_items, itemised_value), ', ' ORDER BY deposit_reference DESC) FROM mf_deposit_difference WHERE deposit_reference LIKE 'D-%' OR deposit_reference = '$first->{reference}'"),
	"D-twice 3 6.000, D-none 0 1.000, $first->{reference} 0 $first->{itemised}", 'a payment that is listed twice is shown, with the deposit that repeats it');
sql("DELETE FROM mf_deposit_row WHERE deposit IN (SELECT id FROM mf_deposit WHERE deposit_reference LIKE 'D-%'); DELETE FROM mf_deposit_state WHERE deposit_reference LIKE 'D-%'");

# A key that may not, and a deposit that is not there: tried again some times, then left to a person
$sandbox->faults({ path => 'GetDepositedInvoices', shape => 8, times => 1 });
# as if it had been tried once before, so that the next try is two minutes away
sql("BEGIN; SELECT mf_read_deposit('2020999999'); UPDATE mf_deposit_state SET lookups = 1 WHERE deposit_reference = '2020999999'; COMMIT");
$mf->wait_for($node, $db, "SELECT error ~ 'permission' FROM mf_deposit WHERE deposit_reference = '2020999999'");
is(sql('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), 0, 'a key without the permission pauses nothing');
$mf->insert($node, $db, 'meanwhile');
$mf->wait_status($node, $db, 'meanwhile');
is(sql("SELECT due BETWEEN now() AND now() + interval '2 min' FROM mf_deposit WHERE deposit_reference = '2020999999'"), 't', 'and it is tried again');
sql('SELECT mf_resume()');
$mf->wait_for($node, $db, "SELECT error ~ 'No data match' FROM mf_deposit WHERE deposit_reference = '2020999999'");
is(sql("SELECT lookups FROM mf_deposit_state WHERE deposit_reference = '2020999999'"), 3, 'mf_resume() has it tried at once');
is(sql("SELECT ok, detail, hint FROM mf_check() WHERE item = 'deposits'"),
	'f|1 deposit cannot be read, "2020999999": No data match the provided values'
	  . q{|The key must be allowed to call GetDepositedInvoices (portal: Integration Settings, API Key). Then: SELECT mf_read_deposit('2020999999', 'myfatoorah')},
	'mf_check() names it');
is(sql('SELECT unread_deposits FROM mf_metrics_attention'), 1, 'so does monitoring');
like(sql("BEGIN; UPDATE mf_deposit_state SET supplier_code = 27 WHERE deposit_reference = '2020999999'; SELECT hint FROM mf_check() WHERE item = 'deposits'; ROLLBACK"),
	qr/SELECT mf_read_deposit\('2020999999', 'myfatoorah', 27\)$/, 'that of a supplier with its code');
my $offset = -s $node->logfile;
sql('UPDATE mf_deposit_state SET lookups = 4 WHERE error IS NOT NULL; SELECT mf_resume()');
wait_deposit('2020999999', 'failed');
like(slurp_file($node->logfile, $offset), qr/deposit "2020999999" of account "myfatoorah" could not be read/, 'after the last time it is logged');
$asked = $sandbox->count(%$call);
sql('SELECT mf_resume()');
$mf->wait_idle($node, $db);
is($sandbox->count(%$call), $asked, 'then it is not tried any more');
sql("SELECT mf_read_deposit('2020999999')");
ok($sandbox->wait_count($call, $asked + 1), 'a person who asks again has it tried');
$mf->wait_for($node, $db, "SELECT error ~ 'No data match' FROM mf_deposit WHERE deposit_reference = '2020999999'");
sql("DELETE FROM mf_deposit_state WHERE deposit_reference = '2020999999'");

# Asked for while a request is under way, and no other can be made: that one's answer is not enough
$asked = $sandbox->count(%$call);
$sandbox->faults({ path => 'GetDepositedInvoices', delay_ms => -1, times => 2 });
sql("SELECT mf_read_deposit('$_->{reference}')") for $first, $second;
$sandbox->wait_count($call, $asked + 2);
sql("SELECT mf_read_deposit('$first->{reference}')");
$sandbox->clear_faults;
wait_deposit($second);
wait_deposit($first);
is($sandbox->count(%$call), $asked + 3, 'what is asked for while a request is under way is asked once more');

# A session that has asked and does not commit holds up nothing but its own deposit, even if the answer to an earlier question comes
my $session = $mf->session($node, $db);
$asked = $sandbox->count(%$call);
$sandbox->faults({ path => 'GetDepositedInvoices', delay_ms => -1, times => 1 });
sql("SELECT mf_read_deposit('$second->{reference}')");
$sandbox->wait_count($call, $asked + 1);
$session->query_safe("BEGIN; SELECT mf_read_deposit('$second->{reference}')");
$sandbox->clear_faults;
$sandbox->wait_count({ %$call, phase => 'answered' }, $asked + 1);
sql("SELECT mf_read_deposit('$first->{reference}')");
wait_deposit($first);
$mf->insert($node, $db, 'beside');
$mf->wait_status($node, $db, 'beside');
$session->query_safe('COMMIT');
wait_deposit($second);
is(sql("SELECT sum(value) FROM mf_metrics() WHERE name = 'rounds' AND result = 'failed'"), 0, 'an open transaction holds up no other deposit, no invoice and no round');
$session->quit;

# Suppliers, and references that are none
sql("INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, suppliers)
	VALUES ('shared', 'shared', 100, '[{\"SupplierCode\": 7, \"InvoiceShare\": 60}, {\"SupplierCode\": 9, \"InvoiceShare\": 40}]')");
$mf->wait_status($node, $db, 'shared');
my ($shared) = pay('shared');
my $supplied = $sandbox->deposit(invoices => [$shared], supplier => 7, webhook => 0);
sql("SELECT mf_read_deposit('$supplied->{reference}', supplier_code => 7)");
wait_deposit($supplied);
is(sql("SELECT repeated_items FROM mf_deposit_difference WHERE deposit_reference = '$supplied->{reference}'"), 0, 'the deposit of a supplier lists no payment twice');
is(sql("SELECT supplier_code, item_count, itemised_value FROM mf_deposit WHERE deposit_reference = '$supplied->{reference}'"), '7|1|60.000', 'the deposit of a supplier');
is(sql("SELECT count(*) FROM mf_undeposited WHERE customer_reference = 'shared'"), 1, 'a deposit of a supplier is none of the account');
$sandbox->faults({ path => 'GetDepositedInvoices', contains => '2023000204', times => 1, status => 200, body => slurp_file("$FindBin::RealBin/../test/core/fixtures/get-deposited-invoices.response.supplier.json") });
sql("SELECT mf_read_deposit('2023000204', supplier_code => 27)");
wait_deposit('2023000204');
is_deeply(JSON::PP->new->decode(($sandbox->ledger(%$call))[-1]{body}), { DepositReference => '2023000204', Type => 'Supplier', SupplierCode => 27 }, 'the request about one of a supplier');
is(sql("SELECT d.supplier_code, d.item_count, d.itemised_value, d.gross_value, d.service_charge, d.deposit_date AT TIME ZONE 'Asia/Kuwait', f.deducted, f.difference,
		(SELECT string_agg(due_deposit || ' of ' || due_value, ', ' ORDER BY item) FROM mf_deposit_item i WHERE i.deposit = d.id AND i.supplier_code = 27)
	FROM mf_deposit d JOIN mf_deposit_difference f USING (id) WHERE d.deposit_reference = '2023000204'"),
	'27|3|225.585|300.000|6.300|2023-03-28 09:14:00|||95.585 of 100.000, 90.000 of 100.000, 40.000 of 100.000', "MyFatoorah's example of one: its shares, to the last decimal");
foreach ([ q{''}, 22023 ], [ q{'a b'}, 22023 ], [ q{repeat('1', 65)}, 22023 ], [ q{'1', supplier_code => 0}, 22023 ], [ q{'1', 'nobody'}, 42704 ],
	[ 'NULL', 22004 ])
{
	my (undef, undef, $error) = $node->psql($db, '\set VERBOSITY sqlstate' . "\nSELECT mf_read_deposit($_->[0])");

	like($error, qr/ERROR:\s+$_->[1]/, "mf_read_deposit($_->[0]): $_->[1]");
}

# Whom it is for
sql(q{CREATE ROLE reader IN ROLE myfatoorah_read; CREATE ROLE tenant IN ROLE myfatoorah_read; CREATE ROLE operator IN ROLE myfatoorah_operate;
	CREATE ROLE clerk IN ROLE myfatoorah_submit});
sub as
{
	my ($role, $query) = @_;
	my ($code, $out, $error) = $node->psql($db, "SET ROLE $role;\n\\set VERBOSITY sqlstate\n$query");

	return $code == 0 ? $out : $error =~ /ERROR:\s+(\w{5})/ ? $1 : $error;
}
is(as('reader', 'SELECT count(*) > 0 FROM mf_deposit'), 't', 'readers see deposits');
is(as('reader', "SELECT mf_read_deposit('1')"), '42501', 'and cannot ask for them');
is(as('operator', "SELECT mf_read_deposit('$first->{reference}') = $id"), 't', 'operators can ask for them');
is(as('clerk', "SELECT count(*) FROM $_"), '42501', "who sends invoices does not see $_")
  for qw(mf_deposit mf_deposit_item mf_undeposited mf_deposit_difference mf_deposit_state mf_deposit_row);
is(as('reader', "SELECT count(*) FROM $_"), '42501', "$_ is for nobody") for qw(mf_deposit_state mf_deposit_row);
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON mf_invoice TO tenant USING (customer_reference = 'rent-2');
	CREATE POLICY rest ON mf_invoice TO reader USING (customer_reference = 'rent-11')});
is(as('tenant', 'SELECT string_agg(substr(reference, 1, 7), $$ $$) FROM mf_deposit_item'), 'rent-2.', 'policies of mf_invoice hide payments of others');
is(as('tenant', 'SELECT count(*) FROM mf_deposit') . as('tenant', 'SELECT count(*) FROM mf_deposit_difference'), '00', 'policies hide all deposits');
is(as('reader', 'SELECT string_agg(customer_reference, $$ $$) FROM mf_undeposited'), 'rent-11', 'policies hide what is in no deposit');
sql('DROP POLICY one ON mf_invoice; DROP POLICY rest ON mf_invoice; ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY');

# A role sends with the key of another merchant, who does not have the deposits of the account
sql(q{CREATE ROLE agent IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO agent; ALTER SERVER myfatoorah OPTIONS (ADD own_mappings 'on');
	CREATE USER MAPPING FOR agent SERVER myfatoorah OPTIONS (api_key 'another-merchant')});
sql('SET ROLE agent; INSERT INTO mf_invoice ' . $mf->invoice('agent'));
$mf->wait_status($node, $db, 'agent');
sql(q{UPDATE mf_inquiry SET due = 'infinity' WHERE NOT urgent AND invoice <> (SELECT id FROM mf_invoice WHERE customer_reference = 'agent')});
sql("SELECT mf_read_deposit('$first->{reference}')");
wait_deposit($first);
is(($sandbox->ledger(%$call))[-1]{key_index}, 0, "a deposit is asked for with the account's own key, whosever invoice is open");
sql(q{ALTER SERVER myfatoorah OPTIONS (DROP own_mappings); DROP USER MAPPING FOR agent SERVER myfatoorah});

# Nobody but a role has the key, and more of its rows wait for tomorrow than are looked at for it
$mf->setup_account($node, $db, $sandbox, account => 'tenants', key_file => 'myfatoorah.key', options => { own_mappings => 'on' });
sql("GRANT USAGE ON FOREIGN SERVER tenants TO agent; DROP USER MAPPING FOR PUBLIC SERVER tenants; CREATE USER MAPPING FOR agent SERVER tenants OPTIONS (api_key '" . $sandbox->key . "')");
sql('SET ROLE agent; INSERT INTO mf_invoice ' . $mf->invoice('tenant', account => "'tenants'"));
$mf->wait_status($node, $db, 'tenant');
sql(q{SET ROLE agent; INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at) SELECT 'tenants', 'later', 1, now() + interval '1 day' FROM generate_series(1, 201)});
sql(qq{DELETE FROM mf_inquiry WHERE account = 'tenants'; SELECT mf_read_deposit('$first->{reference}', 'tenants')});
$mf->wait_for($node, $db, "SELECT status FROM mf_deposit WHERE deposit_reference = '$first->{reference}' AND account = 'tenants'", 'read');
pass('a deposit is read with the key of an invoice that was sent before all that waits');
sql(q{DELETE FROM mf_deposit_state WHERE account = 'tenants'});

# Two webhooks of one deposit in one batch: what only one of them tells is kept, whichever comes first
my $port = MyFatoorah::Web->free_port;
MyFatoorah::Web->open($node, $db, $port);
foreach my $case ([ 'D-1', [ '3.5', '2' ], [ '', '' ] ], [ 'D-2', [ '', '' ], [ '3.5', '2' ] ], [ 'D-3', [ '3.5', '' ], [ '', '2' ] ], [ 'D-4', [ '', '2' ], [ '3.5', '' ] ])
{
	my ($reference, @told) = @$case;
	my @both = map {
		my %data = (DepositReference => $reference, DepositedAmount => $_->[0], NumberOfTransactions => $_->[1], DepositFor => 'VENDOR', SupplierCode => '');

		{ version => 'v1', signature => MyFatoorah::Web->sign(join(',', map { "$_=$data{$_}" } sort { lc $a cmp lc $b } keys %data), $secret),
			body => JSON::PP->new->encode({ EventType => 3, Event => 'BalanceTransferred', DateTime => '04032021212041', CountryIsoCode => 'KWT', Data => \%data }) }
	} @told;

	like($_, qr/^HTTP\/1\.1 200 /, "$reference: a webhook comes in") foreach MyFatoorah::Web->together($node, $db, $port, '/webhook', @both);
	is(sql("SELECT announced_value, announced_count FROM mf_deposit WHERE deposit_reference = '$reference'"), '3.5|2', "$reference: is announced with all that was told");
}
$mf->wait_idle($node, $db);

# The invoices are archived, and the account gets another name
$mf->wait_idle($node, $db);
my $moved = sql(q{DELETE FROM mf_inquiry; SET session_replication_role = replica;
	UPDATE mf_invoice SET created_at = '2020-01-05' WHERE payment_status IN ('paid', 'partly_refunded'); SELECT mf_archive('2020-02-01')});
cmp_ok($moved, '>=', 10, 'the invoices are archived');
is(sql("SELECT count(invoice), count(*) FROM mf_deposit_item WHERE deposit = $id"), '5|5', 'and still named by their deposit');
sql('ALTER SERVER myfatoorah RENAME TO renamed');
is(sql("SELECT DISTINCT account FROM mf_deposit"), 'renamed', 'deposits follow when the account gets another name');
is(sql("SELECT count(invoice), count(*) FROM mf_deposit_item WHERE deposit = $id"), '5|5', 'and name their invoices');
sql("SELECT mf_read_deposit('$first->{reference}', 'renamed')");
wait_deposit($first);

# What the worker does may not be changed by others unnoticed
sql(q{CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
	CREATE TRIGGER lose BEFORE INSERT ON mf_deposit_row FOR EACH ROW WHEN (new.item = 2) EXECUTE FUNCTION lose()});
sql("SELECT mf_read_deposit('$first->{reference}', 'renamed')");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_deposit WHERE deposit_reference = '$first->{reference}' AND error <> '' AND status = 'queued'", 1);
is(sql("SELECT item_count FROM mf_deposit WHERE id = $id"), 5, 'a trigger that drops a payment leaves the deposit as it was');
sql('DROP TRIGGER lose ON mf_deposit_row; SELECT mf_resume($$*$$)');
wait_deposit($first);
is(sql("SELECT item_count, (SELECT count(*) FROM mf_deposit_item WHERE deposit = $id) FROM mf_deposit WHERE id = $id"), '5|5', 'and it is read once that is gone');

$node->stop;
done_testing();
