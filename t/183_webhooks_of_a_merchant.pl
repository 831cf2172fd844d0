# A merchant's webhooks come in under one address: they count for invoices of other accounts with the same secret, and under
# the former name of an account, but never for invoices of another merchant.
use MyFatoorah::Test qw(sql wait_for);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '50ms'");

# MyFatoorah's log of webhooks would tell of the disputes, too, and is believed whoever has signed: no key may read it here.
my $shut = { path => 'GetWebhooks', shape => 8, times => -1 };
$sandbox->faults($shut);
foreach my $account ([ 'myfatoorah', 'ours' ], [ 'second', 'ours' ], [ 'stranger', 'theirs' ])
{
	$mf->setup_account($node, $db, $sandbox, account => $account->[0]);
	sql("ALTER USER MAPPING FOR PUBLIC SERVER $account->[0] OPTIONS (ADD webhook_secret '$account->[1]')");
}
$mf->wait_worker($node, $db);

# The webhook about a dispute of an invoice of MyFatoorah, signed with a secret
sub dispute
{
	my ($number, $secret, $id, $status) = @_;
	my $before;

	$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
	$before = () = $sandbox->deliveries(invoice => $number);
	$sandbox->invoice($number, 'dispute', { id => $id, status => $status });
	$sandbox->wait_deliveries({ invoice => $number, phase => 'queued' }, $before + 1) or die "no webhook\n";
	return ($sandbox->deliveries(invoice => $number))[-1];
}

sub money
{
	my ($id) = @_;

	return sql("SELECT payment_status, trim_scale(net_value) FROM mf_invoice WHERE id = $id");
}

my ($id, $number) = $mf->settle($node, $db, $sandbox, 'of the second', 'pay', account => "'second'");

sql($mf->webhook(dispute($number, 'theirs', 801, 'LOST'), 'stranger'));
is(sql('SELECT account, invoice FROM mf_event ORDER BY id DESC LIMIT 1'), 'stranger|', 'what another merchant signs is about no invoice of ours');
sql("SELECT mf_refresh($id)");
wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
is(money($id), 'paid|10', 'and takes nothing away');
is(sql('SELECT count(*) FROM mf_unmatched'), 1, 'mf_unmatched shows it');

sql($mf->webhook(dispute($number, 'ours', 802, 'LOST'), 'myfatoorah'));
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'refunded');
is(money($id), 'refunded|0', 'a webhook under one account is about an invoice of another with the same secret');
is(sql("SELECT account FROM mf_ledger WHERE invoice = $id AND kind = 'chargeback'"), 'second', 'it is booked in the account of the invoice');

# what was said once gives nothing back once more under another account
my $won = dispute($number, 'ours', 802, 'RESOLVED');
sql($mf->webhook($won, 'second'));
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
sql($mf->webhook(dispute($number, 'ours', 802, 'LOST'), 'second'));
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'refunded');
sql("SELECT mf_resolve($id, 'dismiss', 'so it is')");
my $copy = sql($mf->webhook($won, 'myfatoorah'));
wait_for("SELECT answered_at IS NOT NULL AND invoice = $id FROM mf_event WHERE id = $copy");
is(money($id) . '|' . sql("SELECT payment_doubt FROM mf_invoice WHERE id = $id"), 'refunded|0|', 'the same webhook under another account is no news');
$won->{body} =~ s/"Reference":"WH-\d+"/"Reference":"WH-999999999"/ or die $won->{body};
my $replay = sql($mf->webhook($won, 'myfatoorah'));
wait_for("SELECT answered_at IS NOT NULL AND invoice = $id FROM mf_event WHERE id = $replay");
is(money($id), 'refunded|0', 'a webhook that is replayed under another account, with another number, gives nothing back');
like(sql("SELECT payment_doubt FROM mf_invoice WHERE id = $id"), qr/^dispute 802 is LOST/, 'but a person is told');

# an event that comes in before there is a row
my ($elsewhere, $its_number) = $mf->settle($node, $db, $sandbox, 'elsewhere', 'pay', account => "'second'");
$mf->wait_idle($node, $db);
sql("DELETE FROM mf_invoice WHERE id = $elsewhere");
sql($mf->webhook(dispute($its_number, 'ours', 803, 'LOST'), 'myfatoorah'));
my $adopted = sql("SELECT mf_adopt('$its_number', 'second')");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $adopted", 'refunded');
is(money($adopted), 'refunded|0', 'mf_adopt() finds what came in under another account before');

# a deposit is told of under the address of one account, and has payments of the other, too
my $deposited = $mf->settle($node, $db, $sandbox, 'deposited', 'pay', account => "'second'");
sql(q{SELECT mf_read_deposit('} . $sandbox->deposit(invoices => [$deposited], webhook => 0)->{reference} . q{')});
wait_for(q{SELECT count(*) FROM mf_deposit WHERE status = 'read'}, 1);
is(sql("SELECT d.account, i.account, i.customer_reference FROM mf_deposit_item d JOIN mf_invoice i ON i.id = d.invoice WHERE d.invoice_id = $deposited"), 'myfatoorah|second|deposited', 'a payment in a deposit of another account has its invoice');
is(sql(q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET min_parallel_index_scan_size = 0; SET enable_indexscan = off; SET enable_bitmapscan = off;
	SELECT count(invoice) FROM mf_deposit_item}), 1, 'also where other processes read with the session');
is(sql("SELECT count(*) FROM mf_undeposited WHERE invoice_id = $deposited"), 0, 'and is deposited');
is(sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_invoice SET account = 'gone' WHERE invoice_id = $deposited;
	SELECT (SELECT count(invoice) FROM mf_deposit_item), (SELECT count(*) FROM mf_undeposited WHERE invoice_id = $deposited); ROLLBACK"), '0|1', 'but not if its account is gone, whose numbers may be those of another country');

# and is one, whichever account it is asked for under; another merchant may have one of the same reference
my $deposit = sql('SELECT deposit_reference FROM mf_deposit');
my $of_both = sql('SELECT id FROM mf_deposit');
is(sql("SELECT mf_read_deposit('$deposit', 'second')"), $of_both, 'a deposit that was read under one account is the same under another of the merchant');
isnt(sql("SELECT mf_read_deposit('$deposit', 'stranger')"), $of_both, 'but not under that of another merchant');
is(sql(q{BEGIN; SELECT mf_read_deposit('D-new', 'second') <> mf_read_deposit('D-new', 'myfatoorah'); SELECT account FROM mf_deposit WHERE deposit_reference = 'D-new'; ROLLBACK}),
	"f\nmyfatoorah", 'a new one is one row, too, of the first account by name');
wait_for(q{SELECT string_agg(account || ' ' || status, ', ' ORDER BY id) FROM mf_deposit}, 'myfatoorah read, stranger read');

# what was given back under either account is taken off the next one
$sandbox->refund($deposited, '1.000');
sql("SELECT mf_refresh(id) FROM mf_invoice WHERE invoice_id = $deposited");
wait_for("SELECT refunded_value FROM mf_invoice WHERE invoice_id = $deposited", '1.000');
my $next = $sandbox->deposit(invoices => [ scalar $mf->settle($node, $db, $sandbox, 'deposited next', 'pay') ], webhook => 0)->{reference};
sql("SELECT mf_read_deposit('$next')");
wait_for("SELECT status FROM mf_deposit WHERE deposit_reference = '$next'", 'read');
foreach my $account ('myfatoorah', 'second')
{
	is(sql("BEGIN; UPDATE mf_deposit_state SET account = '$account' WHERE id = $of_both; SELECT string_agg(coalesce(refunds::text, 'null') || ' ' || repeated_items, ', ' ORDER BY id) FROM mf_deposit_difference; ROLLBACK"),
		'null 0, null 0, -1.000 0', "a refund of one account counts in the deposit of the other, after one of $account");
}

# what one key may not read, another one of the merchant's does
$sandbox->faults({ path => 'GetDepositedInvoices', shape => 8, times => 2 });
my $third_deposit = $sandbox->deposit(invoices => [ scalar $mf->settle($node, $db, $sandbox, 'deposited third', 'pay') ], webhook => 0)->{reference};
my $id_of_third = sql("SELECT mf_read_deposit('$third_deposit')");
foreach my $account ('second', 'myfatoorah')
{
	wait_for("SELECT account FROM mf_deposit WHERE id = $id_of_third AND error ~ 'permission'", $account);
	sql('SELECT mf_resume()');
}
wait_for("SELECT status FROM mf_deposit WHERE id = $id_of_third", 'read');
is(sql("SELECT account FROM mf_deposit WHERE id = $id_of_third"), 'myfatoorah', 'a deposit is tried with the keys of the merchant in turn');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (SET api_key_file 'nowhere')});
is(sql("SELECT mf_read_deposit('$third_deposit')"), $id_of_third, 'asked for again');
wait_for("SELECT account FROM mf_deposit WHERE id = $id_of_third", 'second');
sql('SELECT mf_resume()');
wait_for("SELECT status FROM mf_deposit WHERE id = $id_of_third", 'read');
is(sql("SELECT account FROM mf_deposit WHERE id = $id_of_third"), 'second', 'also where one has no key');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (SET api_key_file 'myfatoorah.key'); SELECT mf_resume()});

# a server that is dropped takes its secret along, so what was read under it goes to another account of the merchant by mf_move_account() only
$mf->setup_account($node, $db, $sandbox, account => 'first');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER first OPTIONS (ADD webhook_secret 'ours')});
my $dropped_deposit = $sandbox->deposit(invoices => [ scalar $mf->settle($node, $db, $sandbox, 'deposited first', 'pay') ], webhook => 0)->{reference};
my $of_first = sql("SELECT mf_read_deposit('$dropped_deposit', 'second')");
wait_for("SELECT account FROM mf_deposit WHERE id = $of_first AND status = 'read'", 'first');
sql('DROP SERVER first CASCADE');
is(sql(qq{BEGIN; SELECT mf_read_deposit('$dropped_deposit', 'second') AS again \\gset
	INSERT INTO mf_deposit_row (deposit, item, invoice_id, payment_id, invoice_value, due_deposit) SELECT :again, item, invoice_id, payment_id, invoice_value, due_deposit FROM mf_deposit_row WHERE deposit = $of_first;
	UPDATE mf_deposit_state SET status = 'read', due = NULL, read_at = now() WHERE id = :again;
	SELECT string_agg(account || ' ' || repeated_items, ', ' ORDER BY id) FROM mf_deposit_difference WHERE deposit_reference = '$dropped_deposit';
	SELECT mf_move_account('first', 'second');
	SELECT string_agg(account || ' ' || repeated_items, ', ' ORDER BY id) FROM mf_deposit_difference WHERE deposit_reference = '$dropped_deposit'; ROLLBACK}),
	"first 0, myfatoorah 0\n0\nsecond 0, myfatoorah 1", 'one that is read again before that is two rows, and then repeated_items tells');
is(sql("SELECT mf_move_account('first', 'myfatoorah')"), 0, 'where it was moved first');
is(sql("SELECT mf_read_deposit('$dropped_deposit', 'second')"), $of_first, 'it is one row');
wait_for("SELECT account FROM mf_deposit WHERE id = $of_first AND status = 'read'", 'myfatoorah');
sql(q{DELETE FROM mf_account WHERE account = 'first'});

# names
my ($third, $third_number) = $mf->settle($node, $db, $sandbox, 'renamed', 'pay');
sql('ALTER SERVER myfatoorah RENAME TO kuwait');
sql('ALTER SERVER kuwait RENAME TO shuwaikh');
sql($mf->webhook(dispute($third_number, 'ours', 804, 'LOST'), 'myfatoorah'));
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $third", 'refunded');
is(money($third), 'refunded|0', 'a webhook under a former name counts');
is(sql('SELECT account, renamed_to FROM mf_account ORDER BY account'), "kuwait|shuwaikh\nmyfatoorah|shuwaikh", 'mf_account tells which names an account had');
like(($node->psql($db, $mf->webhook(dispute($third_number, 'ours', 804, 'RESOLVED'), 'nobody')))[2], qr/account "nobody" does not exist/, 'a name that none had is unknown');
sql('ALTER SERVER shuwaikh RENAME TO myfatoorah');
is(sql('SELECT account, renamed_to FROM mf_account WHERE renamed_to IS NOT NULL ORDER BY account'), "kuwait|myfatoorah\nshuwaikh|myfatoorah", 'a name that is taken back is none of the former ones');

# While a server is being renamed nothing comes to stay under the name that it had: who writes one waits, and then sees what it is called.
{
	my $port = $web->free_port;
	my $deposit = $sandbox->deposit(invoices => [$third_number], webhook => 1)->{reference};
	my $told = ($sandbox->deliveries(code => 3))[-1];
	my $lost = dispute($its_number, 'ours', 816, 'LOST');
	my ($refused) = $mf->settle($node, $db, $sandbox, 'to be refunded', 'pay');
	my ($renaming, %session);
	my %call = (
		dispute => $mf->webhook($lost), deposit => $mf->webhook($told), callback => q{SELECT mf_callback('07070000000000000183')},
		merchant => $mf->webhook(dispute($third_number, 'ours', 817, 'LOST'), 'second'), refresh => "SELECT mf_refresh($refused)",
		read => q{SELECT mf_read_deposit('2025000183')}, other => q{SELECT mf_read_deposit('2025000184', 'second')}, pause => q{SELECT mf_pause('myfatoorah')}, resume => q{SELECT mf_resume('myfatoorah')});

	$web->open($node, $db, $port);
	$sandbox->faults({ path => 'SendPayment', status => 401, delay_ms => -1, times => -1 });
	$mf->insert($node, $db, 'refused meanwhile');
	$mf->wait_idle($node, $db, in_flight => 1);
	sql("DELETE FROM mf_inquiry WHERE invoice IN ($third, $refused)");
	$session{$_} = $mf->session($node, $db) foreach keys %call;
	$renaming = $mf->session($node, $db);
	$renaming->query_safe('BEGIN; ALTER SERVER myfatoorah RENAME TO jahra');
	my $post = sub { $web->post("http://127.0.0.1:$port/webhook/myfatoorah", $lost->{body},
		{ 'Content-Type' => 'application/json', 'MyFatoorah-Webhook-Version' => 'v2', 'MyFatoorah-Signature' => $lost->{signature} })->{status} };
	is($post->(), 503, 'a webhook that comes in meanwhile is to come again');
	$session{$_}->query_until(qr/begun/, "\\echo begun\n$call{$_};\n") foreach keys %call;
	wait_for(q{SELECT string_agg(substring(query FROM '\w+\('), ' ' ORDER BY query COLLATE "C") FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'},
		join ' ', map { "mf_$_(" } qw(callback pause read_deposit read_deposit refresh resume webhook webhook webhook));
	pass('who writes the name waits');
	$renaming->query_safe('COMMIT');
	$session{$_}->query('SELECT 1') foreach keys %call;
	is($session{$_}{stderr}, '', "$_: done after that") foreach qw(dispute deposit callback refresh);
	like($session{$_}{stderr}, qr/account "myfatoorah" does not exist/, "$_: the name is none any more") foreach qw(merchant read other pause resume);
	is($post->(), 200, 'the webhook came again');
	$sandbox->clear_faults;
	$sandbox->faults($shut);
	$mf->wait_status($node, $db, 'refused meanwhile');
	$mf->wait_idle($node, $db);
	sql($call{merchant});
	is(sql("SELECT count(*) FROM $_ WHERE account = 'myfatoorah'"), 0, "nothing of $_ has the former name") foreach qw(mf_event mf_inquiry mf_deposit mf_operation mf_invoice);
	is(sql(q{SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL}), 0, 'and no account is paused');
	is(sql("SELECT account, deliveries FROM mf_event WHERE source = 'webhook' AND data->'Dispute'->>'DisputeTransactionId' = '816'"), 'jahra|2', 'the webhook is stored under the new name, once');
	is(sql("SELECT account, count(*) FROM mf_deposit WHERE deposit_reference = '$deposit' AND account IN ('myfatoorah', 'jahra') GROUP BY account"), 'jahra|1', 'likewise the deposit');
	wait_for("SELECT payment_status FROM mf_invoice WHERE id = $third", 'refunded');
	$_->quit for $renaming, values %session;
	sql('ALTER SERVER jahra RENAME TO myfatoorah');
}

# whoever may make servers gets neither what came in under a name, nor what still comes in under a former one
sql('DROP SERVER stranger CASCADE; CREATE ROLE tenant; GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO tenant');
like(($node->psql($db, "SET ROLE tenant; CREATE SERVER $_ FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test')"))[2], qr/permission denied to use server name "$_"/, "nobody takes the name $_")
  for qw(stranger kuwait);
is(($node->psql($db, q{SET ROLE tenant; CREATE SERVER mine FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test'); ALTER SERVER mine RENAME TO yours; ALTER SERVER yours RENAME TO mine; DROP SERVER mine}))[2],
	'', 'but whoever has renamed a server may take that back');

# nor does what somebody signed under a name count for the one who gets it later
my ($last, $last_number) = $mf->settle($node, $db, $sandbox, 'last', 'pay');
sql(q{CREATE SERVER forger FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test'); CREATE USER MAPPING FOR PUBLIC SERVER forger OPTIONS (api_key 'none-of-ours', webhook_secret 'forged')});
sql($mf->webhook(dispute($last_number, 'forged', 805, 'LOST'), 'forger'));
sql('DROP SERVER forger CASCADE');
sql('ALTER SERVER myfatoorah RENAME TO forger');
sql("SELECT mf_refresh($last)");
wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $last AND urgent", 0);
is(money($last), 'paid|10', 'what was signed by another owner of the name is not believed');

# one that came in under an account that is gone
($elsewhere, $its_number) = $mf->settle($node, $db, $sandbox, 'of nobody', 'pay', account => "'second'");
$mf->wait_idle($node, $db);
sql("DELETE FROM mf_invoice WHERE id = $elsewhere");
$mf->setup_account($node, $db, $sandbox, account => 'closed');
sql("ALTER USER MAPPING FOR PUBLIC SERVER closed OPTIONS (ADD webhook_secret 'ours')");
my $orphan = sql($mf->webhook(dispute($its_number, 'ours', 806, 'LOST'), 'closed'));
is(sql("SELECT next_step FROM mf_unmatched WHERE id = $orphan"), '', 'an account that is there has no step of its own');
sql('DROP SERVER closed CASCADE');
$adopted = sql("SELECT mf_adopt('$its_number', 'second')");
wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $adopted AND urgent", 0);
is(money($adopted), 'paid|10', 'what came in under an account that is gone is not believed by itself');
my ($move) = sql("SELECT next_step FROM mf_unmatched WHERE id = $orphan") =~ /^Account closed does not exist.*: (SELECT mf_move_account\('closed', 'name'\))\..*mf_adopt\('$its_number', 'name'\)/;
ok($move, 'mf_unmatched says what to do');
sql($move =~ s/'name'/'second'/r . "; SELECT mf_refresh($adopted)");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $adopted", 'refunded');
is(money($adopted), 'refunded|0', 'which books it');

done_testing();
