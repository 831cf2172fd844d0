# Refunds, captures and releases as time goes by: their invoices are archived and come back, their attempts go, what was loaded
# without the trigger is mended, payments that are held for long are shown, and monitoring has numbers of all of it.
use MyFatoorah::Test qw(refund sql wait_for wait_refund);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $secret = 'refunds-are-kept';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $make = { path => '/v2/MakeRefund' };

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);

sub check
{
	my ($item) = @_;

	return sql("SELECT ok, detail FROM mf_check() WHERE item = '$item'");
}

sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
$mf->wait_worker($node, $db);

my ($kept, $kept_number) = $mf->settle($node, $db, $sandbox, 'kept', 'pay');
my ($open, $open_number) = $mf->settle($node, $db, $sandbox, 'open', 'pay');
my $refunded = refund($kept, 4);
my $filed = refund($open, 1);

wait_refund($_, 'filed') foreach $refunded, $filed;
$sandbox->decide_refund(sql("SELECT refund_id FROM mf_refund WHERE id = $refunded"), 'approve');
sql("SELECT mf_refresh($kept)");
wait_refund($refunded, 'refunded');
wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $kept", 0);

#
# Archived: the invoice goes with nothing unfinished, and its refunds stay
#
{
	my $row = sql("SELECT * FROM mf_refund WHERE id = $refunded");

	# a question that is still to be asked keeps an invoice, too
	$mf->wait_idle($node, $db);
	sql("DELETE FROM mf_inquiry; SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-05'");
	is(sql("SELECT mf_archive('2020-02-01')"), 1, 'an invoice is archived, and one with a refund that is not finished is not');
	is(sql("SELECT * FROM mf_refund WHERE id = $refunded"), $row, 'its refund stays as it is');
	is(sql("SELECT count(*) FROM mf_operation_attempt WHERE operation = $refunded"), 1, 'its attempt stays');
	is(sql("SELECT sum(amount) FROM mf_ledger WHERE invoice = $kept AND kind = 'refund'"), '-4.000', 'and its line in the books');
	like(($node->psql($db, "INSERT INTO mf_refund (invoice, value) VALUES ($kept, 1)"))[2], qr/mf_unarchive\(\)/, 'no other can be asked for');
	is(sql("SELECT mf_refundable($kept)"), '', 'nothing can be refunded');

	# somebody refunds in the portal
	$sandbox->refund($kept_number, '2');
	$sandbox->wait_deliveries({ invoice => $kept_number, code => 2 }, 2) or die "no webhook\n";
	sql($mf->webhook(($sandbox->deliveries(invoice => $kept_number, code => 2))[-1]));
	is(sql("SELECT archived, next_step FROM mf_unmatched WHERE invoice_id = $kept_number"), "$kept|To have MyFatoorah asked, and what has come in booked: SELECT mf_unarchive(ARRAY[$kept])",
		'a webhook about another one is shown, with the call that books it');
	is(sql("SELECT mf_unarchive(ARRAY[$kept])"), 1, 'the invoice comes back');
	wait_for("SELECT count(*) FROM mf_refund WHERE invoice = $kept", 2);
	is(sql("SELECT string_agg(trim_scale(value) || ' ' || status, ', ' ORDER BY id) FROM mf_refund WHERE invoice = $kept"), '4 refunded, 2 refunded', 'and has both of its refunds');
	wait_for("SELECT trim_scale(net_value) FROM mf_invoice WHERE id = $kept", '4');
	is(sql("SELECT trim_scale(mf_refundable($kept)), (SELECT sum(amount) FROM mf_ledger WHERE invoice = $kept AND kind = 'refund')"), '4|-6.000', 'the ledger has each refund once');
}

#
# Attempts go by age, but those of what is not finished
#
{
	my $before = sql('SELECT count(*) FROM mf_operation_attempt');

	is($before, 2, 'there are attempts');
	sql("UPDATE mf_operation_attempt SET started_at = now() - interval '1 day'; ALTER SYSTEM SET myfatoorah.history_retention = '1h'");
	$node->reload;
	wait_for('SELECT string_agg(operation::text, $$,$$) FROM mf_operation_attempt', $filed);
	pass('attempts of a refund that is finished go by history_retention, and those of another stay');
	sql('ALTER SYSTEM RESET myfatoorah.history_retention');
	$node->reload;
}

#
# The numbers of monitoring, and rows that were loaded or changed without the trigger
#
{
	my %invoice = map { $_ => ($mf->settle($node, $db, $sandbox, $_, 'pay'))[0] } 'untimed', 'late', 'well';
	my $made = $sandbox->count(%$make);
	my %refund;

	like(check('agenda'), qr/^t\|/, 'all is well');
	sql(q{SELECT mf_pause('myfatoorah')});
	%refund = map { $_ => refund($invoice{$_}, 3) } sort keys %invoice;
	is(sql('SELECT kind, invoices, due_invoices, oldest_due <= now(), pause_reason IS NULL FROM mf_backlog'), 'refund|3|3|t|t', 'mf_backlog counts refunds that wait');
	is(sql('SELECT account, kind, invoices, due_invoices, oldest_due_seconds > 0 FROM mf_metrics_backlog'), 'myfatoorah|refund|3|3|t', 'as monitoring does, with their age');
	is(sql(q{SELECT string_agg(result || ' ' || value, ', ') FROM mf_metrics() WHERE name = 'requests' AND kind = 'operation' AND value > 0}), 'accepted 2', 'and counts what came of others');

	sql("UPDATE mf_operation SET due = CASE id WHEN $refund{untimed} THEN NULL ELSE timestamptz '2100-01-01' END WHERE id IN ($refund{untimed}, $refund{late})");
	like(check('agenda'), qr/^f\|.*; refunds, captures and releases without a due time or under another account: 1\./, 'mf_check() finds what nobody would do');
	is(sql(q{SELECT string_agg(kind || ' ' || invoices, ', ') FROM mf_repair()}), 'late 1, operation 1', 'mf_repair() mends it');
	is(sql('SELECT count(*) FROM mf_repair()'), 0, 'a second mf_repair() finds nothing');
	like(check('agenda'), qr/^t\|/, 'then mf_check() is content');
	is(sql("SELECT status, due > now() FROM mf_operation WHERE id = $refund{untimed}"), 'unknown|t', 'what was queued without a time may have been carried out, and is looked up');
	sql(q{SELECT mf_resume('myfatoorah')});
	wait_refund($refund{$_}, 'filed') foreach 'well', 'late';
	sql("UPDATE mf_operation SET due = now() WHERE id = $refund{untimed} AND status = 'unknown'; SELECT mf_resume('myfatoorah')");
	wait_refund($refund{untimed}, 'review');
	is($sandbox->count(%$make), $made + 2, 'and not asked for: a person decides');
	sql("SELECT mf_resolve_refund($refund{untimed}, 'refused', 'portal shows none')");
}

#
# Payments that are held for long
#
{
	my ($id) = $mf->settle($node, $db, $sandbox, 'held', 'authorize', processing_details => q('{"AutoCapture": false}'));
	my $age = sub { sql("SET session_replication_role = replica; UPDATE mf_transaction SET transaction_date = now() - interval '$_[0]' WHERE invoice = $id") };

	$age->('4 days');
	is(check('holds'), '', 'a payment that was authorized lately needs nobody');
	is(sql('SELECT held_payments, round(oldest_hold_seconds / 86400) FROM mf_metrics_attention'), '1|4', 'monitoring has its age');
	$age->('6 days');
	like(check('holds'), qr/^f\|Payments that have been authorized for more than 5 days, and are neither captured nor released: 1, the oldest since /, 'mf_check() shows one that is old');
	sql("SELECT mf_release($id)");
	wait_for("SELECT status FROM mf_operation WHERE invoice = $id", 'released');
	is(check('holds'), '', 'until it is given back');
	is(sql('SELECT held_payments, oldest_hold_seconds FROM mf_metrics_attention'), '0|0', 'monitoring shows no held payment');
}

unlike(slurp_file($node->logfile), qr/is put off because|could not write/, 'and no round has failed');
$node->stop;
done_testing();
