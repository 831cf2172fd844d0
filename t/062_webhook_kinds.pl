# Every webhook that MyFatoorah publishes, through mf_webhook(): taken in, kept without personal data, and no more than a
# reason to ask. What is forged is refused; what is not signed changes nothing. Who hands webhooks in can do nothing else.
use MyFatoorah::Test qw(sql);

use FindBin;
use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';
my $fixtures = "$FindBin::RealBin/../test/core/fixtures";
my $secret = 'example-webhook-secret-1';

$mf->setup_account($node, $db, $sandbox);
$mf->setup_account($node, $db, $sandbox, account => 'other');
$node->safe_psql($db, "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret');
	ALTER USER MAPPING FOR PUBLIC SERVER other OPTIONS (ADD webhook_secret 'secret-of-the-other')");
$mf->wait_worker($node, $db);

# The id of the event, or the SQLSTATE of the error
sub hand_in
{
	my ($delivery, $account, $role) = @_;
	my ($code, $out, $err) = $node->psql($db, ($role ? "SET ROLE $role;\n" : '') . '\set VERBOSITY sqlstate' . "\n"
		  . $mf->webhook($delivery, $account));

	return $code == 0 ? $out : $err =~ /ERROR:\s+(\w{5})/ ? $1 : $err;
}

sub events
{
	return sql('SELECT count(*), sum(deliveries) FROM mf_event');
}

# What the fixtures of bodies say of themselves: the subject of each event
my %status = (
	'v1.deposit.vendor' => '3|||', 'v1.recurring.inprogress' => '5|ACTIVE|36170506|0808361705063528110582',
	'v1.refund.refunded' => '2|REFUNDED|585757|', 'v1.supplier-update.approved' => '7|APPROVED||',
	'v1.supplier.rejected' => '4|REJECTED||', 'v1.transaction.success-nulls' => '1|SUCCESS|34959075|109202123602930060',
	'v1.transaction.success' => '1|SUCCESS|586170|100202106359084366', 'v2.balance-transferred.vendor' => '3|||',
	'v2.payment-status.paid' => '1|SUCCESS|6409988|07076409988323998875', 'v2.recurring.active' => '5|ACTIVE|5047674|',
	'v2.refund.refunded' => '2|REFUNDED|5620277|', 'v2.supplier-update.approved' => '7|APPROVED||',
	'v2.supplier.approved' => '4|APPROVED||');
my @private = qw(Name NameOnCard Token PanHash ExpiryMonth ExpiryYear IBAN Iban AccountNumber BankAccount BankName Mobile Email
	CustomerName CustomerMobile CustomerEmail SupplierName SupplierMobile SupplierEmail Address IP IpAddress);
my @samples = map { m{/webhook-(.*)\.body\.json$} } sort glob "$fixtures/webhook-*.body.json";

is_deeply([ sort @samples ], [ sort keys %status ], 'the samples are those that we know');
foreach my $name (@samples)
{
	my $about = JSON::PP->new->decode(slurp_file("$fixtures/webhook-$name.signature.json"));
	my $delivery = { body => slurp_file("$fixtures/webhook-$name.body.json"), signature => $about->{signature},
		version => $about->{webhook_version_header} };
	my @paths = map { s/=.*//sr } split /,(?=[A-Z][\w.]*=)/, $about->{signed_string};
	my $id = hand_in($delivery);

	is(sql("SELECT event_code, event_status, invoice_id, payment_id FROM mf_event WHERE id = $id"), $status{$name}, "$name: is taken in");
	is(sql("SELECT source, version, event_name, deliveries, invoice IS NULL, EXISTS (SELECT FROM mf_unmatched u WHERE u.id = e.id)
			FROM mf_event e WHERE id = $id"),
		'webhook|' . ($name =~ /^v(\d)/)[0] . '|' . sql("SELECT event_name FROM mf_event WHERE id = $id") . '|1|t|' . ($status{$name} =~ /^[35]/ ? 'f' : 't'),
		"$name: is shown as one that matches nothing, unless it announces a deposit, or a repetition that is looked for first");
	my $keys = sql("WITH RECURSIVE m(k, v) AS (SELECT NULL::text, data FROM mf_event WHERE id = $id
		UNION ALL (WITH s AS (SELECT v FROM m WHERE jsonb_typeof(v) IN ('object', 'array'))
			SELECT o.key, o.value FROM s, jsonb_each(CASE jsonb_typeof(s.v) WHEN 'object' THEN s.v ELSE '{}' END) o
			UNION ALL SELECT NULL, a FROM s, jsonb_array_elements(CASE jsonb_typeof(s.v) WHEN 'array' THEN s.v ELSE '[]' END) a))
		SELECT string_agg(DISTINCT k, ' ') FROM m WHERE k IS NOT NULL");
	my %keys = map { $_ => 1 } split ' ', $keys;

	cmp_ok(keys %keys, '>', 1, "$name: something of it is kept");
	is_deeply([ grep { $keys{$_} } @private ], [], "$name: nothing private is kept");

	# a byte of each signed value
	my $before = events();
	my @wrong;
	foreach (@paths)
	{
		my ($member) = /(\w+)$/;
		my ($value) = $about->{signed_string} =~ /(?:^|,)\Q$_\E=(.*?)(?=,[A-Z][\w.]*=|$)/;
		my %forged = %$delivery;
		my $other = $value =~ s/(.)$/$1 eq '1' ? '2' : '1'/er;

		next if $value eq '';
		# where the same member stands twice, the signed one is among them: change all
		$forged{body} =~ s/("\Q$member\E"\s*:\s*"?)\Q$value\E/$1$other/g
		  or push @wrong, "$member=$value was not found";
		push @wrong, $_ if hand_in(\%forged) ne '28000';
	}
	is_deeply(\@wrong, [], "$name: a byte of any of " . @paths . ' signed values is noticed');
	is(events(), $before, "$name: and nothing of it is kept");
	is(hand_in({ %$delivery, signature => undef }), '28000', "$name: nor without its signature");

	# what no signature covers
	my $changed = $delivery->{body} =~ s/("CreationDate"\s*:\s*"|"DateTime"\s*:\s*")\d/${1}9/r;
	isnt($changed, $delivery->{body}, "$name: a byte that is not signed was changed");

	# the number and the name of the event are not signed
	my %number = (1 => 'TransactionsStatusChanged', 2 => 'RefundStatusChanged', 3 => 'BalanceTransferred', 4 => 'SupplierStatusChanged',
		5 => 'RecurringStatusChanged', 6 => 'DisputeStatusChanged', 7 => 'SupplierUpdateRequestChanged');
	my @taken = $name !~ /^v1/ ? () : grep {
		my $relabelled = $delivery->{body} =~ s/("EventType"\s*:\s*)\d(\s*,\s*"Event"\s*:\s*)"\w+"/$1$_$2"$number{$_}"/r;

		$relabelled ne $delivery->{body} && hand_in({ %$delivery, body => $relabelled }) ne '22023'
	} sort keys %number;
	is_deeply(\@taken, [], "$name: with the number of another event it is refused");
	is(hand_in({ %$delivery, body => $changed }), $id, "$name: is the same event");
	is(sql("SELECT deliveries FROM mf_event WHERE id = $id"), '2', "$name: that came twice");
}
is(sql('SELECT count(*) FROM mf_inquiry'), 0, 'what matches nothing asks nothing');
is(sql(q{SELECT string_agg(deposit_reference || ' ' || announced_value || ' ' || announced_count, ', ' ORDER BY id) FROM mf_deposit}),
	'2021000002 6917.282 24, 2025000006 15968.333 511', 'but about deposits');
is($sandbox->count(path => '/v2/GetPaymentStatus'), 0, 'really nothing');

# Two accounts
my $about = JSON::PP->new->decode(slurp_file("$fixtures/webhook-v2.payment-status.paid.signature.json"));
my $paid = { body => slurp_file("$fixtures/webhook-v2.payment-status.paid.body.json"), signature => $about->{signature}, version => 'v2' };

is(hand_in($paid, 'other'), '28000', 'the secret of one account is none of another');
is(hand_in($paid, 'nobody'), '42704', 'an account that does not exist');
like(hand_in({ %$paid, version => 'v1' }), qr/^(?:22023|28000)$/, 'a version that contradicts the body');
is(hand_in({ %$paid, body => '{}' }), '22023', 'a body that is no webhook');

# Rotation
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (SET webhook_secret 'the-new-one', ADD webhook_secret_previous '$secret')");
like(hand_in($paid), qr/^\d+$/, 'the previous secret still counts');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (DROP webhook_secret_previous)");
is(hand_in($paid), '28000', 'until it is dropped');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (DROP webhook_secret)");
is(hand_in($paid), '28000', 'without a secret nothing is believed');

# Whose secret signs: everybody with USAGE may make a mapping of his own
sql("CREATE ROLE tenant; CREATE ROLE landlord; GRANT USAGE ON FOREIGN SERVER myfatoorah TO tenant;
	SET ROLE tenant; CREATE USER MAPPING FOR tenant SERVER myfatoorah OPTIONS (webhook_secret '$secret', webhook_secret_previous '$secret')");
is(hand_in($paid), '28000', 'the secret of a mapping that a role has made for itself does not sign for the account');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'webhooks' AND detail ~ 'Accepted'}), 0, 'mf_check() counts it for none');
sql("GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO landlord; ALTER SERVER myfatoorah OWNER TO landlord;
	CREATE USER MAPPING FOR landlord SERVER myfatoorah OPTIONS (webhook_secret '$secret')");
like(hand_in($paid), qr/^\d+$/, 'that of the owner of the server does');
sql("DROP USER MAPPING FOR landlord SERVER myfatoorah; ALTER SERVER myfatoorah OWNER TO CURRENT_USER; DROP USER MAPPING FOR tenant SERVER myfatoorah");
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");

# An invoice of ours, a hundred replays, a mischievous messenger
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
my $id = $mf->insert($node, $db, 'ours');
$mf->wait_status($node, $db, 'ours');
my $invoice = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");

# "paid" in a webhook, signed and all, is no payment
$sandbox->invoice($invoice, 'fail');
my ($failed) = $sandbox->deliveries(invoice => $invoice);
$sandbox->mischief({ forge => 'unsigned' });
$sandbox->invoice($invoice, 'pay');
my $delivery = ($sandbox->deliveries(invoice => $invoice))[-1];

hand_in($delivery);
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(sql("SELECT base_value FROM mf_invoice WHERE id = $id"), '1.250', 'amounts come from MyFatoorah, not from the webhook');
hand_in($failed);
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_event WHERE invoice IS NOT NULL AND answered_at IS NULL', 0);
$mf->wait_idle($node, $db);

my $lookups = $sandbox->count(path => '/v2/GetPaymentStatus');
sql(join "\n", ($mf->webhook($delivery), $mf->webhook($failed)) x 100);
$mf->wait_idle($node, $db);
is($sandbox->count(path => '/v2/GetPaymentStatus'), $lookups, 'two hundred replays ask nothing');
is(sql("SELECT string_agg(deliveries::text, ' ') FROM mf_event WHERE invoice = $id"), '101 101', 'and are counted');
is(sql("SELECT payment_status FROM mf_invoice WHERE id = $id"), 'paid', 'a late failure changes nothing');

# The messenger's role
sql('CREATE ROLE messenger LOGIN IN ROLE myfatoorah_inbound');
sub messenger
{
	my ($code, $out, $err) = $node->psql($db, shift, extra_params => [ '-U', 'messenger' ]);

	return $code == 0 ? $out : $err =~ /permission denied/ ? 'denied' : $err;
}
$node->append_conf('pg_hba.conf', 'local all messenger trust');
$node->reload;
like(messenger($mf->webhook($delivery)), qr/^\d+$/, 'a messenger can hand in a webhook');
like(messenger("SELECT mf_callback('07076409988323998999')"), qr/^\d+$/, 'and a callback');
my @relations = split /\n/, sql(q{SELECT c.oid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'v') ORDER BY 1});
cmp_ok(@relations, '>', 10, 'tables and views');
is_deeply([ grep { messenger("SELECT * FROM $_") ne 'denied' } @relations ], [], 'of which a messenger reads none');
is(sql(q{SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass AND has_function_privilege('messenger', p.oid, 'EXECUTE')
		AND p.pronamespace = (SELECT extnamespace FROM pg_extension WHERE extname = 'myfatoorah')}),
	'mf_callback mf_webhook', 'and calls nothing else');
unlike(messenger('SELECT umoptions FROM pg_user_mappings'), qr/\Q$secret\E/, 'and sees no secret');
unlike(slurp_file($node->logfile) =~ s/^.*(?:statement: |STATEMENT: |ALTER USER MAPPING).*$//gmr, qr/\Q$secret\E/, 'nor does the log tell one');

# What a webhook costs does not grow with the number of invoices, also where plans were made when there were few.
$node->safe_psql($db, 'CREATE DATABASE grown');
$mf->setup_account($node, 'grown', $sandbox);
$node->safe_psql('grown', "ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
my $session = $mf->session($node, 'grown');
$session->query_safe("SELECT mf_callback('07076409988323998999')");
$node->safe_psql('grown', q{INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, payment_status, invoice_id)
	SELECT 'x', 1, 'restored-' || n, 'sent', 'paid', n FROM generate_series(6400000, 6410000) n});
my $read = q{(SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname = 'mf_invoice')};
is($session->query_safe('BEGIN; ' . $mf->webhook($paid) . " SELECT $read < 20, (SELECT invoice IS NOT NULL FROM mf_event ORDER BY id DESC LIMIT 1); ROLLBACK") =~ /^t\|t$/m ? 1 : 0, 1,
	'a webhook among 10,000 invoices reads few of them');
$session->quit;

$node->stop;
done_testing();
