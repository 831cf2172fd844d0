# The row tells the truth about money: what was received, what went back, what is kept, in the currency of the account. Each
# change of money is one line of mf_ledger, one of mf_history, one NOTIFY, one call of a function of mf_on_change(); and
# whatever happens, in whatever order it is told, they agree with the stand-in's books to the last fils.
#
# MF_MONEY_SEED     another history; it is printed
# MF_MONEY_CASES    so many invoices of each account, 15 unless told otherwise
use MyFatoorah::Test qw(sql wait_for);

use JSON::PP ();
use List::Util qw(shuffle sum0);

my $mf = 'MyFatoorah::Cluster';
my $seed = $ENV{MF_MONEY_SEED} // time;
my $cases = $ENV{MF_MONEY_CASES} // 15;
my $true = JSON::PP::true;
my $db = 'postgres';
my $secret = 'money-of-all-kinds';
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_rate_limit = 60000");
my @accounts = ([ 'kwd', 'KWT', 'KWD', 3 ], [ 'sar', 'SAU', 'SAR', 2 ], [ 'egp', 'EGY', 'EGP', 2 ]);
my %sandbox;

diag("seed $seed, $cases cases for each account");

foreach my $account (@accounts)
{
	my ($name, $country) = @$account;

	$sandbox{$name} = MyFatoorah::Sandbox->new(name => $name, key => "SK_${country}_money", country => $country, args => [ '--seed', $seed ]);
	$mf->setup_account($node, $db, $sandbox{$name}, account => $name,
		options => { country => $country, environment => 'live', time_zone => 'Asia/Kuwait' });
	sql("ALTER USER MAPPING FOR PUBLIC SERVER $name OPTIONS (ADD webhook_secret '$secret')");
	$sandbox{$name}->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
}
sql(q{CREATE ROLE books IN ROLE myfatoorah_read; CREATE SCHEMA books AUTHORIZATION books; SET ROLE books;
	CREATE TABLE books.calls (n bigint GENERATED ALWAYS AS IDENTITY, invoice bigint, received numeric, refunded numeric, net numeric, disputed bool);
	CREATE FUNCTION books.book(old public.mf_invoice, new public.mf_invoice) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		IF (old.received_value, old.refunded_value, old.disputed_at) IS DISTINCT FROM (new.received_value, new.refunded_value, new.disputed_at) THEN
			INSERT INTO books.calls (invoice, received, refunded, net, disputed) VALUES (new.id, new.received_value - old.received_value,
				new.refunded_value - old.refunded_value, new.net_value, new.disputed_at IS NOT NULL);
		END IF; END $$;
	SELECT public.mf_on_change('books.book(public.mf_invoice, public.mf_invoice)')});
$mf->wait_worker($node, $db);

# An invoice that was sent: its ids here and there
sub sent
{
	my ($name, $value, %columns) = @_;
	my $account = $columns{account} // "'kwd'";
	my $id = $mf->insert($node, $db, $name, account => $account, invoice_value => $value, %columns);

	$mf->wait_status($node, $db, $name);
	return ($id, sql("SELECT invoice_id FROM mf_invoice WHERE id = $id"));
}

sub row
{
	my ($id, @columns) = @_;

	@columns = qw(payment_status received_value refunded_value net_value) unless @columns;
	return sql('SELECT ' . join(', ', @columns) . " FROM mf_invoice WHERE id = $id");
}

sub refresh
{
	my ($id) = @_;

	sql("SELECT mf_refresh($id)");
	wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
	return;
}

# Hands in the newest webhook about an invoice, and waits for its answer
sub told
{
	my ($id, $invoice, $account) = @_;
	my $sandbox = $sandbox{ $account // 'kwd' };
	my $event;

	$sandbox->wait_deliveries({ invoice => $invoice, phase => 'queued' }, 1);
	$event = sql($mf->webhook(($sandbox->deliveries(invoice => $invoice))[-1], $account // 'kwd'));
	wait_for("SELECT answered_at IS NOT NULL FROM mf_event WHERE id = $event");
	wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
	return;
}

sub ledger
{
	my ($id) = @_;

	return sql("SELECT string_agg(kind || ' ' || amount || ' ' || currency, ', ' ORDER BY id) FROM mf_ledger WHERE invoice = $id AND kind <> 'fee'") =~ s/\n//gr;
}

# Lines, calls and history of money of an invoice
sub counts
{
	my ($id) = @_;

	wait_for('SELECT count(*) FROM mf_reaction_queue', 0);
	return sql("SELECT (SELECT count(*) FROM mf_ledger WHERE invoice = $id AND kind <> 'fee'), (SELECT count(*) FROM books.calls WHERE invoice = $id),
		(SELECT count(*) FROM mf_history WHERE invoice = $id AND actor = 'status reader')");
}

#
# The currency is known before anything is sent.
#
{
	my $later = "now() + interval '1 day'";
	my $id = $mf->insert($node, $db, 'own', account => "'sar'", send_at => $later);

	is(row($id, 'currency'), 'SAR', 'the currency of the account');
	sql("UPDATE mf_invoice SET display_currency_iso = 'aed' WHERE id = $id");
	is(row($id, 'currency'), 'AED', 'or that of the row, as it is now');
	sql("UPDATE mf_invoice SET display_currency_iso = NULL, account = 'egp' WHERE id = $id");
	is(row($id, 'currency'), 'EGP', 'or that of another account');
	my $own = $mf->insert($node, $db, 'own', account => "'egp'", invoice_value => '5', send_at => $later);
	like(($node->psql($db, "\\set VERBOSITY verbose\nUPDATE mf_invoice SET account = 'sar' WHERE id = $own"))[2],
		qr/55000: invoice $own cannot be moved to account "sar" as it is.*is SAR, and that of invoice_value is EGP.*display_currency_iso = 'EGP', or 'SAR'.*COLUMN NAME:  display_currency_iso/s,
		'no amount is moved to another currency unless it is said');
	is(row($own, 'account', 'currency'), 'egp|EGP', 'and stays what it was');
	sql("UPDATE mf_invoice SET account = 'sar', display_currency_iso = 'EGP' WHERE id = $own");
	is(row($own, 'account', 'currency'), 'sar|EGP', 'it goes there as one of its own currency');
	sql("UPDATE mf_invoice SET account = 'egp' WHERE id = $own; UPDATE mf_invoice SET account = 'sar', display_currency_iso = 'SAR' WHERE id = $own");
	is(row($own, 'account', 'currency'), 'sar|SAR', 'or as one of the other');
	sql("SELECT mf_cancel($own)");
	is(row($id, qw(received_value refunded_value net_value)), '0|0|0', 'and nothing was received');
	foreach my $column (qw(currency received_value refunded_value net_value disputed_at expires_at payment_doubt))
	{
		my $value = $column =~ /_at$/ ? 'now()' : $column =~ /_value$/ ? '5' : "'XTS'";

		foreach my $statement ("UPDATE mf_invoice SET $column = $value WHERE id = $id", "INSERT INTO mf_invoice (account, customer_name, invoice_value, $column) VALUES ('sar', 'x', 1, $value)")
		{
			my ($code, $out, $err) = $node->psql($db, $statement);

			like($err, qr/column "$column" of mf_invoice is written by myfatoorah only/, "$column is ours: " . substr $statement, 0, 6);
		}
	}
	sql("SELECT mf_cancel($id)");
}

#
# An account has another currency by the time of sending.
#
{
	my $id = $mf->insert($node, $db, 'currency kept', account => "'egp'", display_currency_iso => "'KWD'", invoice_value => '25.251', send_at => "now() + interval '1 day'");

	sql("ALTER SERVER egp OPTIONS (SET country 'KWT')");
	sql("UPDATE mf_invoice SET display_currency_iso = NULL WHERE id = $id");
	sql("ALTER SERVER egp OPTIONS (SET country 'EGY')");
	sql("UPDATE mf_invoice SET send_at = now() WHERE id = $id");
	$mf->wait_status($node, $db, 'currency kept');
	my $sent = sub { my $request = JSON::PP::decode_json(($sandbox{egp}->ledger(path => '/v2/SendPayment'))[-1]{body}); return "$request->{InvoiceValue} " . ($request->{DisplayCurrencyIso} // ''); };
	is($sent->() . '|' . row($id, 'display_currency_iso', 'currency'), '25.251 KWD||KWD', 'the amount is sent in the currency of the row');
	my $new = sql("SELECT mf_replace($id, '{}')");
	wait_for("SELECT status FROM mf_invoice WHERE id = $new", 'sent');
	is($sent->() . '|' . row($new, 'currency'), '25.251 KWD|KWD', 'and what replaces it, too');
	sent('in pounds', '5', account => "'egp'");
	like(($node->psql($db, "BEGIN; DROP SERVER egp CASCADE; SELECT mf_move_account('egp', 'kwd')"))[2], qr/The currency of the account is KWD, and that of the invoices is EGP/,
		'no account of another currency gets what MyFatoorah has, though it was not asked yet');
}

#
# An account has another currency by the time of the payment: what MyFatoorah has is in the one of before.
#
{
	my $refund = sub {
		$sandbox{kwd}->refund($_[1], '1');
		refresh($_[0]);
	};

	$mf->setup_account($node, $db, $sandbox{kwd}, account => 'moved', options => { country => 'SAU', environment => 'test' });
	sql("ALTER USER MAPPING FOR PUBLIC SERVER moved OPTIONS (ADD webhook_secret '$secret')");
	my ($paid, $its) = sent('paid before', '10.125', account => "'moved'");
	my ($id, $invoice) = sent('paid after', '9.125', account => "'moved'");
	my ($other, $others) = sent('in riyals', '50', account => "'moved'", display_currency_iso => "'SAR'");

	$sandbox{kwd}->invoice($_, 'pay') foreach $its, $others;
	refresh($_) foreach $paid, $other;
	sql("ALTER SERVER moved OPTIONS (SET environment 'live')");
	$sandbox{kwd}->invoice($invoice, 'pay');
	refresh($_) foreach $id, $paid, $other;
	is(row($id, qw(payment_status base_value base_currency net_value)) . '|' . ledger($id), 'paid|9.125|KWD|9.125|payment 9.125 KWD', 'a payment is booked in the currency that the invoice has');
	is(row($id, 'payment_doubt'), qq(MyFatoorah has invoice $invoice with an InvoiceValue of 9.125 KWD, and the currency of account "moved" is SAR now), 'and a person is told');
	is(sql("SELECT string_agg(currency, ' ') FROM mf_ledger WHERE invoice = $id"), 'KWD KWD', 'its fee, too');
	is(join(' ', map { row($_, qw(base_currency payment_doubt)) } $paid, $other), 'KWD| KWD|', 'what was booked before stays in that currency');
	$refund->($paid, $its);
	$refund->($other, $others);
	is(join(' ', map { sql("SELECT string_agg(DISTINCT currency, ' ') FROM mf_ledger WHERE invoice = $_") . sql("SELECT currency FROM mf_refund WHERE invoice = $_") . row($_, 'payment_error') } $paid, $other),
		'KWDKWD KWDKWD', 'so do its refunds, and those of the portal');
}

#
# Paid twice, and one of them given back: one full rent is kept.
#
{
	my ($id, $invoice) = sent('twice', '182.500');
	my $listener = $mf->session($node, $db);
	my $heard = sub { my $n = () = $listener->query('SELECT 1') =~ /"id": $id\}/g; return $n; };

	$listener->query('LISTEN mf_invoice');
	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	is(row($id), 'paid|182.500|0|182.500', 'paid');
	is(counts($id), '1|1|1', 'one line, one call, one line of history');
	is($heard->(), 1, 'a payment is one NOTIFY');
	$sandbox{kwd}->invoice($invoice, 'pay', { duplicate => $true });
	told($id, $invoice);
	is(row($id), 'paid|365.000|0|365.000', 'two payments are received');
	is(counts($id), '2|2|2', 'another line, call and line of history');
	is($heard->(), 1, 'a second payment is one NOTIFY more');
	$sandbox{kwd}->refund($invoice, '182.500');
	told($id, $invoice);
	is(row($id), 'paid|365.000|182.500|182.500', 'one of them was given back: it is paid');
	is(counts($id), '3|3|3', 'a refund is one line, one call and one line of history more');
	is($heard->(), 1, 'a refund is one NOTIFY more');
	$sandbox{kwd}->refund($invoice, '0.500');
	told($id, $invoice);
	is(row($id), 'partly_refunded|365.000|183.000|182.000', 'less than the value is kept');
	$sandbox{kwd}->refund($invoice, '82.000');
	told($id, $invoice);
	is(row($id), 'partly_refunded|365.000|265.000|100.000', 'a second partial refund');
	is($heard->(), 2, 'two refunds are two NOTIFY');
	$sandbox{kwd}->invoice($invoice, 'pay', { duplicate => $true });
	told($id, $invoice);
	is(row($id), 'paid|547.500|265.000|282.500', 'a third payment: it is paid');
	is(ledger($id), 'payment 182.500 KWD, payment 182.500 KWD, refund -182.500 KWD, refund -0.500 KWD, refund -82.000 KWD, payment 182.500 KWD', 'the ledger has all of it');
	is(counts($id), '6|6|6', 'in as many lines, calls and lines of history');
	is(sql("SELECT string_agg(from_status || '>' || to_status, ' ' ORDER BY changed_at) FROM mf_history WHERE invoice = $id AND actor = 'status reader'"),
		'unpaid>paid paid>paid paid>paid paid>partly_refunded partly_refunded>partly_refunded partly_refunded>paid', 'the history has each state');
	is(sql("SELECT count(*), sum(amount), bool_and(payment_id = source) FROM mf_ledger WHERE invoice = $id AND kind = 'fee'"),
		'3|' . sql("SELECT -sum(total_service_charge + vat_amount) FROM mf_transaction WHERE invoice = $id") . '|t', 'a fee for each payment');
	refresh($id);
	is(counts($id), '6|6|6', 'what is told again is no news');
	$listener->quit;

	# nothing of it was told, until somebody asks
	($id, $invoice) = sent('untold', '10.000');
	$sandbox{kwd}->invoice($invoice, 'pay');
	$sandbox{kwd}->invoice($invoice, 'pay', { duplicate => $true });
	$sandbox{kwd}->refund($invoice, $_) foreach '3.000', '17.000';
	refresh($id);
	refresh($id);
	is(row($id), 'refunded|20.000|20.000|0.000', 'all of it by questions');
	is(counts($id), '4|4|4', 'one of each for each change, though two were told at once');
	is(sql("SELECT string_agg(received || ' ' || refunded, ', ' ORDER BY n) FROM books.calls WHERE invoice = $id"), '10.000 0, 10.000 0, 0.000 3.000, 0.000 17.000', 'a function can book the differences');
}

#
# Disputes
#
{
	my ($id, $invoice) = sent('disputed', '50.000');
	my $payment;
	my $dispute = sub {
		$sandbox{kwd}->invoice($invoice, 'dispute', { payment_id => $payment, @_ });
		told($id, $invoice);
	};

	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	$payment = row($id, 'payment_id');
	$dispute->(id => 701);
	is(row($id, qw(payment_status net_value), 'disputed_at IS NOT NULL'), 'paid|50.000|t', 'a dispute is open');
	is(sql("SELECT dispute_id, status, type, payment_id = '$payment', amount, currency, customer_reference FROM mf_dispute WHERE invoice = $id"),
		'701|PENDING|CHARGEBACK|t|50.000|KWD|disputed', 'mf_dispute has the dispute');
	is(counts($id), '1|2|2', 'a line of history and a call, without money');
	$dispute->(id => 701, status => 'LOST');
	is(row($id, qw(payment_status received_value refunded_value net_value), 'disputed_at IS NOT NULL'), 'refunded|50.000|50.000|0.000|t', 'a chargeback that was lost is money given back');
	is(ledger($id), 'payment 50.000 KWD, chargeback -50.000 KWD', 'the ledger has the chargeback');
	like(sql("SELECT reason FROM mf_history WHERE invoice = $id ORDER BY changed_at DESC LIMIT 1"), qr/^dispute 701 of PaymentId $payment: LOST, CHARGEBACK, -50\.000 KWD$/, 'the history has the chargeback');
	$sandbox{kwd}->invoice($invoice, 'dispute', { id => 701, payment_id => $payment });
	told($id, $invoice);
	is(row($id, qw(payment_status net_value)) . sql("SELECT status FROM mf_dispute WHERE invoice = $id"), 'refunded|0.000LOST', 'what is told late of its beginning changes nothing');
	$dispute->(id => 701, status => 'RESOLVED');
	is(row($id, qw(payment_status net_value), 'disputed_at IS NULL'), 'paid|50.000|t', 'not lost after all');
	is(ledger($id), 'payment 50.000 KWD, chargeback -50.000 KWD, chargeback 50.000 KWD', 'which is a line, too');
	$dispute->(id => 702, status => 'LOST', type => 'FRAUDALERT');
	is(row($id, qw(payment_status net_value), 'disputed_at IS NOT NULL'), 'paid|50.000|t', 'one that is no chargeback takes no money');
	is(counts($id), '3|5|5', 'each change of the disputes is a line of the history');
}

#
# Webhooks about a dispute overtake each other, get lost, and come to the same end twice
#
{
	my ($id, $invoice) = sent('overtaking', '50.000');
	my @news;

	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	my $payment = row($id, 'payment_id');
	my $dispute = sub {
		my ($number, $status, $type) = @_;
		my $before = () = $sandbox{kwd}->deliveries(invoice => $invoice);

		$sandbox{kwd}->invoice($invoice, 'dispute', { id => $number, status => $status, payment_id => $payment, type => $type // 'CHARGEBACK' });
		$sandbox{kwd}->wait_deliveries({ invoice => $invoice, phase => 'queued' }, $before + 1);
		return ($sandbox{kwd}->deliveries(invoice => $invoice))[-1];
	};
	my $hand_in = sub {
		my $event = sql($mf->webhook($_[0], 'kwd'));

		wait_for("SELECT answered_at IS NOT NULL FROM mf_event WHERE id = $event");
		# one answer is enough: those that bring nothing new are asked for again, the fifth time after minutes
		wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent AND unchanged_answers = 0", 0);
	};

	push @news, $dispute->(711, $_) foreach qw(PENDING LOST RESOLVED);
	$hand_in->($_) foreach @news[ 2, 0, 1 ];
	is(row($id, qw(payment_status net_value), 'disputed_at IS NULL'), 'paid|50.000|t', 'what was told last counts, not what came in last');
	is(ledger($id), 'payment 50.000 KWD', 'and nothing was taken');
	my $before;
	push @news, $dispute->(711, 'LOST');
	$hand_in->($news[-1]);
	is(row($id, qw(payment_status net_value), 'disputed_at IS NOT NULL'), 'refunded|0.000|t', 'lost after all');
	is(row($id, 'payment_doubt'), 'dispute 711 is LOST, and was reported as RESOLVED, too: the MyFatoorah portal shows how it ended', 'and a person is told');
	sql("SELECT mf_resolve($id, 'dismiss', 'so it is')");
	sql($mf->webhook($_, 'kwd')) foreach @news;
	refresh($id);
	is(row($id, qw(payment_status net_value payment_doubt)), 'refunded|0.000|', 'repetitions change nothing');
	is(ledger($id), 'payment 50.000 KWD, chargeback -50.000 KWD', 'it was taken once');

	push @news, $dispute->(711, 'RESOLVED');
	$hand_in->($news[-1]);
	is(row($id, qw(payment_status net_value)) . ledger($id), 'refunded|0.000payment 50.000 KWD, chargeback -50.000 KWD', 'a number that is not signed gives nothing back');
	is(row($id, 'payment_doubt'), 'dispute 711 is LOST, and was reported as RESOLVED, too: the MyFatoorah portal shows how it ended', 'but a person is told');
	push @news, $dispute->(711, 'UNDER_REVIEW');
	$hand_in->($news[-1]);
	is(row($id, qw(payment_status net_value)) . sql("SELECT status FROM mf_dispute WHERE invoice = $id"), 'refunded|0.000LOST', 'nor does a status that is not known');

	# what the portal shows, a person books; a later webhook may say otherwise
	my $decided = sub {
		my ($call, $status) = @_;

		sql($call);
		wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
		is(sql("SELECT status FROM mf_dispute WHERE invoice = $id") . row($id, qw(payment_status net_value), 'disputed_at IS NULL', 'payment_doubt'), $status, $call);
	};
	my ($call) = sql("SELECT next_step FROM mf_review WHERE id = $id") =~ /won: (SELECT mf_resolve_dispute\(.*?'reason'\))\. Compare .*'dismiss'/;

	is($call, "SELECT mf_resolve_dispute($id, '711', 'RESOLVED', 'reason')", 'mf_review names the call that gives it back');
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET payment_doubt = 'one; ' || payment_doubt || '; two' WHERE id = $id");
	$decided->($call, 'RESOLVEDpaid|50.000|t|one; two');
	is(ledger($id), 'payment 50.000 KWD, chargeback -50.000 KWD, chargeback 50.000 KWD', 'a line gives the payment back');
	is(sql("SELECT string_agg(actor || ': ' || reason, '; ' ORDER BY changed_at) FROM (SELECT * FROM mf_history WHERE invoice = $id ORDER BY changed_at DESC LIMIT 2) h"),
		sql('SELECT current_user') . ": dispute 711 decided: RESOLVED, reason; status reader: dispute 711 of PaymentId $payment: RESOLVED, CHARGEBACK, 50.000 KWD", 'the history says who, and what was booked');
	is(sql("SELECT reason FROM mf_dispute WHERE invoice = $id"), 'reason', 'and the dispute why');
	$decided->($call, 'RESOLVEDpaid|50.000|t|one; two');
	sql($mf->webhook($_, 'kwd')) foreach @news;
	refresh($id);
	is(row($id, qw(payment_status net_value payment_doubt)) . sql("SELECT count(*) FROM mf_event WHERE invoice = $id AND source = 'person'"), 'paid|50.000|one; two1', 'once, and repetitions of what was told before change nothing');
	push @news, $dispute->(711, 'LOST');
	$hand_in->($news[-1]);
	is(row($id, qw(payment_status net_value payment_doubt)), 'refunded|0.000|one; two; dispute 711 is LOST, and was reported as RESOLVED, too: the MyFatoorah portal shows how it ended', 'what is told after that counts');
	$decided->($call, 'RESOLVEDpaid|50.000|t|one; two');
	$decided->("SELECT mf_resolve_dispute($id, '711', 'LOST', 'it was another')", 'LOSTrefunded|0.000|f|one; two');
	$decided->($call, 'RESOLVEDpaid|50.000|t|one; two');
	foreach my $wrong ([ q{'711', 'WON', 'x'} => '22023: invalid value for status: "WON"' ], [ q{'712', 'LOST', 'x'} => "P0002: invoice $id has no dispute \"712\"" ],
		[ q{'711', 'LOST', ' '} => '22023: reason must not be empty' ])
	{
		my (undef, undef, $error) = $node->psql($db, "\\set VERBOSITY verbose\nSELECT mf_resolve_dispute($id, $wrong->[0])");

		like($error, qr/ERROR:  \Q$wrong->[1]\E/, "refused: $wrong->[0]");
	}
	sql("SELECT mf_resolve($id, 'dismiss', 'so it is')");

	# of a payment that the invoice has not: a person is told, until it has, or the dispute was won
	foreach my $listed ([], [ { PaymentId => '0999', TransactionStatus => 'Succss', TransationValue => '50.000' } ])
	{
		my $paid = @$listed;

		($id, $invoice) = sent("lost, payments $paid", '50.000');
		$sandbox{kwd}->invoice($invoice, 'pay');
		undef $payment;
		answers($id, $invoice, InvoiceStatus => $paid ? 'Paid' : 'Pending', InvoiceValue => '50.000', InvoiceDisplayValue => '50.000 KD', InvoiceTransactions => $listed);
		$hand_in->($dispute->(715, 'LOST'));
		like(row($id, 'payment_doubt'), qr/^dispute 715 is LOST, and no chargeback is booked: the invoice has no payment with PaymentId "\d+"$/, 'what was lost without a payment needs a person');
		($call) = sql("SELECT next_step FROM mf_review WHERE id = $id") =~ /^If .* dispute 715 was won: (SELECT mf_resolve_dispute\(.*?'reason'\))\. What the bank has taken is still in net_value and mf_ledger\. Compare/;
		ok($call, 'who learns what to do');
		if ($paid)
		{
			sql($call);
			wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
		}
		else
		{
			$sandbox{kwd}->clear_faults;
			sql("SELECT mf_refresh($id)");
			wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'refunded');
		}
		is(row($id, qw(payment_status payment_doubt)), $paid ? 'paid|' : 'refunded|', 'and nobody does once it has ended, or its payment is known');
	}
	$sandbox{kwd}->clear_faults;

	# a type that changes, which version 2 does not sign
	($id, $invoice) = sent('another type', '50.000');
	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	$payment = row($id, 'payment_id');
	@news = map { $dispute->(713, 'LOST', $_) } qw(FRAUDALERT CHARGEBACK FRAUDALERT);
	$hand_in->($news[0]);
	is(row($id, qw(payment_status net_value)), 'paid|50.000', 'a fraud alert that is lost takes nothing');
	$hand_in->($_) foreach @news[ 1, 2, 0 ];
	is(row($id, qw(payment_status net_value)) . sql("SELECT type FROM mf_dispute WHERE invoice = $id"), 'refunded|0.000CHARGEBACK', 'the chargeback of the same dispute does, and no other type gives it back');

	# a new worker reads MyFatoorah's log: what was decided stays, and of what is new a chargeback counts
	my $port = MyFatoorah::Web->free_port;
	my $state = q{SELECT payment_status, net_value, payment_doubt FROM mf_invoice WHERE customer_reference = 'overtaking'};
	($id, $invoice) = sent('logged', '50.000');
	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	$payment = row($id, 'payment_id');
	$dispute->(715, 'LOST', $_) foreach qw(CHARGEBACK FRAUDALERT);
	is(sql($state), 'paid|50.000|', 'the dispute was decided');
	MyFatoorah::Web->open($node, $db, $port);
	wait_for(q{SELECT count(*) > 0 FROM mf_event WHERE source = 'log' AND event_code = 6});
	wait_for(q{SELECT count(*) FROM mf_event WHERE source = 'log' AND answered_at IS NULL}, 0);
	is(sql($state), 'paid|50.000|', 'and the log does not say otherwise');
	is(row($id, qw(payment_status net_value)) . sql("SELECT type FROM mf_dispute WHERE invoice = $id"), 'refunded|0.000CHARGEBACK', 'a chargeback that a fraud alert follows is one');

	# an older chargeback, in the same batch of the listener or after it
	foreach my $case ([ 1, qw(CHARGEBACK FRAUDALERT) ], [ 1, qw(FRAUDALERT CHARGEBACK) ], [ 0, qw(CHARGEBACK FRAUDALERT) ])
	{
		my ($together, @types) = @$case;

		($id, $invoice) = sent("retyped @types $together", '50.000');
		$sandbox{kwd}->invoice($invoice, 'pay');
		told($id, $invoice);
		$payment = row($id, 'payment_id');
		@news = map { $dispute->(714, 'LOST', $_) } @types;
		if ($together)
		{
			like($_, qr/^HTTP\/1\.1 200 /, 'a webhook comes to the listener') foreach MyFatoorah::Web->together($node, $db, $port, '/webhook/kwd', @news);
		}
		else
		{
			sql($mf->webhook($_, 'kwd')) foreach reverse @news;
		}
		wait_for("SELECT count(*) FROM mf_event WHERE invoice = $id AND event_code = 6 AND deliveries = 2 AND answered_at IS NOT NULL", 1);
		wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND urgent", 0);
		is(row($id, qw(payment_status net_value)) . sql("SELECT type FROM mf_dispute WHERE invoice = $id"), 'refunded|0.000CHARGEBACK',
			$together ? 'a fraud alert hides no chargeback that comes in with it' : 'nor one that came in before it');
	}

	# what is repeated while the row is in the archive
	($id, $invoice) = sent('repeated', '50.000');
	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	$payment = row($id, 'payment_id');
	@news = ();
	foreach my $status (qw(LOST RESOLVED LOST))
	{
		push @news, $dispute->(712, $status);
		$hand_in->($news[-1]);
	}
	is(row($id, qw(payment_status net_value)), 'refunded|0.000', 'lost in the end');
	sql("SELECT mf_resolve($id, 'dismiss', 'so it is')");
	$before = ledger($id);
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-15' WHERE id = $id; DELETE FROM mf_inquiry WHERE invoice = $id");
	is(sql("SELECT mf_archive('2020-02-01')"), 1, 'archived');
	$news[1]{body} =~ s/"Reference":"WH-\d+"/"Reference":"WH-999999999"/ or die $news[1]{body};
	sql($mf->webhook($_, 'kwd')) foreach @news[ 0, 1 ];
	is(sql("SELECT mf_unarchive(ARRAY[$id])"), 1, 'and back');
	wait_for("SELECT NOT EXISTS (SELECT FROM mf_inquiry WHERE invoice = $id AND unchanged_answers = 0)");
	is(row($id, qw(payment_status net_value), 'disputed_at IS NULL') . ledger($id), "refunded|0.000|f$before", 'what came in again meanwhile gives nothing back, whatever its number');
	sql("SELECT mf_resolve($id, 'dismiss', 'so it is')");
}

#
# What was refunded, and is lost, is given back twice; until the dispute is won
#
{
	my ($id, $invoice) = sent('back twice', '50.000');

	$sandbox{kwd}->invoice($invoice, 'pay');
	told($id, $invoice);
	my $payment = row($id, 'payment_id');
	$sandbox{kwd}->refund($invoice, '50.000');
	told($id, $invoice);
	foreach my $case ([ LOST => 'refunded|100.000|MyFatoorah says that 100.000 was given back, and that 50.000 was received' ], [ RESOLVED => 'refunded|50.000|' ])
	{
		$sandbox{kwd}->invoice($invoice, 'dispute', { id => 721, status => $case->[0], payment_id => $payment });
		told($id, $invoice);
		is(row($id, qw(payment_status refunded_value payment_doubt)), $case->[1], "a payment that was refunded, and is $case->[0]");
	}
}

#
# A row with disputes is deleted, and its invoice taken over
#
{
	my ($id, $invoice) = sent('deleted', '50.000');
	my $books = sub { return sql("SELECT string_agg(invoice || ' ' || kind || ' ' || amount, ', ' ORDER BY id) FROM mf_ledger WHERE invoice IN ($id, $_[0]) AND kind <> 'fee'"); };
	my @payments;

	foreach my $duplicate (JSON::PP::false, $true)
	{
		$sandbox{kwd}->invoice($invoice, 'pay', { duplicate => $duplicate });
		told($id, $invoice);
		push @payments, row($id, 'payment_id');
	}
	foreach my $dispute ([ 703, 'LOST', 0 ], [ 704, 'PENDING', 1 ])
	{
		$sandbox{kwd}->invoice($invoice, 'dispute', { id => $dispute->[0], status => $dispute->[1], payment_id => $payments[ $dispute->[2] ] });
		told($id, $invoice);
	}
	is(row($id, qw(payment_status net_value), 'disputed_at IS NOT NULL'), 'paid|50.000|t', 'one payment is lost, another disputed');
	my $before = $books->($id);
	my $disputes = sql("SELECT string_agg(dispute_id || ' ' || status || ' ' || amount || ' ' || opened_at, ', ' ORDER BY dispute_id) FROM mf_dispute WHERE invoice = $id");
	sql("DELETE FROM mf_invoice WHERE id = $id");

	my $new = sql("SELECT mf_adopt('$invoice', 'kwd')");
	wait_for("SELECT net_value FROM mf_invoice WHERE id = $new", '50.000');
	is(row($new, qw(received_value refunded_value), 'disputed_at IS NOT NULL'), '100.000|50.000|t', 'the new row knows what was lost, and that there is a dispute');
	is($books->($new), $before =~ s/\b$id /$new /gr, 'the lines are those of the new row, once');
	is(sql("SELECT mf_refundable($new)"), '50.000', 'no more than what is left can be refunded');
	is(sql("SELECT string_agg(dispute_id || ' ' || status || ' ' || amount || ' ' || opened_at, ', ' ORDER BY dispute_id) FROM mf_dispute WHERE invoice = $new"), $disputes, 'the disputes are those of the new row');
	is(counts($new), '3|3|4', 'each is news to it, once');
	refresh($new);
	is(counts($new), '3|3|4', 'and no news when it is asked about again');
	$sandbox{kwd}->invoice($invoice, 'dispute', { id => 703, status => 'RESOLVED', payment_id => $payments[0] });
	told($new, $invoice);
	is(row($new, 'net_value'), '100.000', 'what is told later of a dispute counts');

	# deleted once more, and the other dispute ends while there is no row
	$sandbox{kwd}->invoice($invoice, 'dispute', { id => 704, status => 'LOST', payment_id => $payments[1] });
	told($new, $invoice);
	sql("DELETE FROM mf_invoice WHERE id = $new");
	my $webhooks = () = $sandbox{kwd}->deliveries(invoice => $invoice);
	$sandbox{kwd}->invoice($invoice, 'dispute', { id => 704, status => 'RESOLVED', payment_id => $payments[1] });
	$sandbox{kwd}->wait_deliveries({ invoice => $invoice, phase => 'queued' }, $webhooks + 1);
	sql($mf->webhook(($sandbox{kwd}->deliveries(invoice => $invoice))[-1], 'kwd'));
	my $third = sql("SELECT mf_adopt('$invoice', 'kwd')");
	wait_for("SELECT net_value FROM mf_invoice WHERE id = $third", '100.000');
	is(sql("SELECT string_agg(DISTINCT invoice::text, ', '), sum(amount) FROM mf_ledger WHERE invoice IN ($id, $new, $third) AND kind <> 'fee'"), "$third|100.000", 'all of its lines are those of the third row, and their sum is right');
	# a line that came while there was no row was no change of a row
	sql("DELETE FROM mf_invoice WHERE id = $third");
}

#
# What contradicts the row is not taken in silence.
#
sub answers
{
	my ($id, $invoice, %data) = @_;
	my $reference = row($id, 'reference');
	my %all = (InvoiceId => $invoice + 0, InvoiceStatus => 'Paid', InvoiceValue => '7.000', InvoiceDisplayValue => '7.000 KD', CustomerReference => $reference,
		InvoiceTransactions => [ { PaymentId => '0707', TransactionStatus => 'Succss', TransationValue => '7.000', Currency => 'KD', TransactionDate => '2026-01-10T00:15:33' } ], %data);

	$sandbox{kwd}->clear_faults;
	$sandbox{kwd}->faults({ path => 'GetPaymentStatus', contains => "\"$invoice\"", status => 200, times => -1, body => JSON::PP->new->encode({ IsSuccess => $true, Data => \%all }) });
	return;
}

{
	my ($id, $invoice) = sent('other-amount', '8.000');

	answers($id, $invoice);
	refresh($id);
	is(row($id), 'paid|7.000|0|7.000', 'another amount than ours: the money is there');
	like(sql("SELECT what_happened || next_step FROM mf_review WHERE id = $id"), qr/^MyFatoorah has invoice $invoice with 7\.000 KWD, and this row asks for 8\.000 KWD.*'dismiss'/, 'and mf_review says that it is not what was asked for');
	like(sql(q{SELECT detail FROM mf_check('kwd') WHERE NOT ok}), qr/^1 needs the decision of a person/m, 'so does mf_check()');
	sql("SELECT mf_resolve($id, 'dismiss', 'the tenant moved out early')");
	is(sql("SELECT count(*) FROM mf_review WHERE id = $id"), 0, 'until a person has decided');
	is(sql("SELECT reason FROM mf_history WHERE invoice = $id ORDER BY changed_at DESC LIMIT 1"), 'dismiss: the tenant moved out early', 'which the history has');
	refresh($id);
	is(sql("SELECT count(*) FROM mf_review WHERE id = $id"), 0, 'the same answer again is no news');

	($id, $invoice) = sent('other-currency', '7.000');
	answers($id, $invoice, InvoiceDisplayValue => '7.000 SR');
	refresh($id);
	like(row($id, 'payment_doubt'), qr/with 7\.000 SAR, and this row asks for 7\.000 KWD/, 'payment_doubt names another currency');

	($id, $invoice) = sent('two-values', '7.000');
	answers($id, $invoice, InvoiceValue => '86.450');
	refresh($id);
	like(row($id, 'payment_doubt'), qr/with an InvoiceValue of 86\.450 and an InvoiceDisplayValue of 7\.000 KWD/, 'and two values in one currency, as with the key of another country');

	($id, $invoice) = sent('part', '7.000');
	answers($id, $invoice, InvoiceTransactions => [ { PaymentId => '0708', TransactionStatus => 'Succss', TransationValue => '3.000' } ]);
	refresh($id);
	is(row($id, qw(payment_status received_value payment_doubt)), 'paid|3.000|PaymentId 0708 is one of 3.000 KWD, and the invoice of 7.000 KWD', 'a payment of another amount than the invoice');

	($id, $invoice) = sent('captured', '8.000', processing_details => q('{"AutoCapture": false}'));
	answers($id, $invoice, InvoiceTransactions => [ { PaymentId => '0709', TransactionStatus => 'Authorize', TransationValue => '8.000' },
			{ PaymentId => '0710', TransactionStatus => 'Succss', TransationValue => '7.000' } ]);
	refresh($id);
	is(row($id, qw(payment_status received_value net_value), 'payment_doubt IS NULL'), 'paid|7.000|7.000|t', 'a part that was captured is right');

	($id, $invoice) = sent('other-reference', '7.000');
	answers($id, $invoice, CustomerReference => 'theirs.0123');
	refresh($id);
	is(row($id), 'unpaid|0|0|0', 'another reference: not taken');
	like(sql("SELECT what_happened FROM mf_review WHERE id = $id"), qr/answered about invoice $invoice with CustomerReference "theirs\.0123"/, 'and mf_review has it');
	answers($id, $invoice, InvoiceTransactions => [ { PaymentId => '0711', TransactionStatus => 'Succss', TransationValue => '7.000' } ]);
	refresh($id);
	is(row($id) . sql("SELECT count(*) FROM mf_review WHERE id = $id"), 'paid|7.000|0|7.0000', 'until an answer is about the row');
}

#
# What cannot be true is not stored as if it were.
#
{
	my $trouble = q{coalesce(payment_error, '')};
	my ($id, $invoice) = sent('impossible', '7.000');

	answers($id, $invoice, InvoiceStatus => 'Pending', InvoiceTransactions => [], ExpiryDate => '0001-01-01T00:00:00');
	refresh($id);
	is(row($id, 'payment_status', 'expires_at IS NULL'), 'unpaid|t', 'no time that never was');
	like(row($id, $trouble), qr/expires at 0001-01-01 00:00:00\S*, which is impossible/, 'and the row says so');
	answers($id, $invoice, InvoiceValue => -5);
	refresh($id);
	is(row($id), 'unpaid|0|0|0', 'a negative amount is not stored');
	like(row($id, $trouble), qr/InvoiceValue -5, which is impossible/, 'and the row says so');
	answers($id, $invoice, InvoiceTransactions => [ { PaymentId => '0711', TransactionStatus => 'Succss', TransationValue => '7.000', TransactionDate => '2199-01-10T00:15:33' } ]);
	refresh($id);
	is(row($id, qw(payment_status net_value), q{paid_at < now() + interval '1 min'}), 'paid|7.000|t', 'nor a payment in the future');
	like(row($id, $trouble), qr/paid at 2199-01-10 00:15:33\S*, which is impossible/, 'and the row says so');
	answers($id, $invoice, InvoiceTransactions => [ { PaymentId => '0711', TransactionStatus => 'Succss', TransationValue => '7.000', TransactionDate => '2026-01-10T00:15:33' } ]);
	refresh($id);
	is(row($id, $trouble), '', 'a good answer clears it');
	$sandbox{kwd}->clear_faults;

	# the day is asked for once: midnight may pass in between
	my $tomorrow = sql('SELECT current_date + 1');

	($id, $invoice) = sent('expires', '7.000', expiry_date => "timestamptz '$tomorrow' + interval '12 hours'");
	is(row($id, 'expires_at IS NULL'), 't', 'not known before MyFatoorah tells');
	refresh($id);
	is(row($id, 'expires_at = expiry_date'), 't', 'when the link expires');
	is(sql("SELECT count(*) FROM mf_invoice WHERE customer_reference = 'expires' AND expires_at >= date '$tomorrow' AND expires_at < date '$tomorrow' + 1"), 1,
		'a range of expires_at finds what expires on a day');
}

#
# Random histories, for each account: what happens, and what is told of it, late, twice or never
#
srand $seed;
my @all;
foreach my $account (@accounts)
{
	my ($name, $country, $currency, $decimals) = @$account;

	push @all, map { { account => $name, sandbox => $sandbox{$name}, decimals => $decimals, name => "$name-$_", authorize => rand() < 0.2, disputes => {},
			value => sprintf '%.*f', $decimals, (1 + int rand 10**(3 + int rand 5)) / 10**$decimals } } 1 .. $cases;
}
sql(join ';', map { 'INSERT INTO mf_invoice ' . $mf->invoice($_->{name}, account => "'$_->{account}'", invoice_value => $_->{value},
		$_->{authorize} ? (processing_details => q('{"AutoCapture": false}')) : ()) } @all);
wait_for(q{SELECT count(*) FROM mf_invoice WHERE status IN ('queued', 'sending')}, 0);
my %sent = map { my ($name, @ids) = split /\|/; ($name => \@ids) } split /\n/, sql('SELECT customer_reference, id, invoice_id FROM mf_invoice');
@{$_}{qw(id invoice)} = @{ $sent{ $_->{name} } } foreach @all;

# One thing that happens to an invoice, if it can; refusals of the stand-in are part of it
sub happen
{
	my ($case) = @_;
	my ($sandbox, $invoice, $decimals) = @{$case}{qw(sandbox invoice decimals)};
	my $truth = $sandbox->invoice($invoice);
	my @paid = grep { $_->{status} eq 'Succss' } @{ $truth->{transactions} };
	my $amount = sprintf '%.*f', $decimals, rand($truth->{value});
	my $what = (qw(pay pay pay fail leave abandon expire cancel), ($case->{authorize} ? qw(capture release) : ()),
		(@paid ? qw(refund refund refund file dispute dispute again again) : ()))[ rand((@paid ? 15 : 8) + ($case->{authorize} ? 2 : 0)) ];
	my @disputes = grep { $case->{disputes}{$_}{status} eq 'PENDING' } sort keys %{ $case->{disputes} };

	return eval {
		if ($what eq 'file')
		{
			my $answer = $sandbox->request('POST', '/v2/MakeRefund', JSON::PP->new->encode({ Key => "$invoice", KeyType => 'InvoiceId', Amount => $amount }),
				{ 'Authorization' => 'Bearer ' . $sandbox->key, 'Content-Type' => 'application/json' });

			$sandbox->decide_refund(JSON::PP->new->decode($answer->{content})->{Data}{RefundId}, (qw(approve reject))[ rand 2 ]) if $answer->{success};
		}
		elsif ($what eq 'dispute' && (!@disputes || rand() < 0.3))
		{
			my $id = 1000 + keys %{ $case->{disputes} };
			my $payment = $paid[ rand @paid ]{payment_id};
			my $type = (qw(CHARGEBACK CHARGEBACK FRAUDALERT))[ rand 3 ];

			# a payment is lost once
			return if grep { $_->{payment} eq $payment } values %{ $case->{disputes} };
			$case->{disputes}{$id} = { status => 'PENDING', type => $type, payment => $payment };
			$sandbox->invoice($invoice, 'dispute', { id => $id, type => $type, payment_id => $payment });
		}
		elsif ($what eq 'dispute')
		{
			my $dispute = $case->{disputes}{ $disputes[0] };

			$dispute->{status} = (qw(LOST LOST RESOLVED))[ rand 3 ];
			$sandbox->invoice($invoice, 'dispute', { id => $disputes[0] + 0, type => $dispute->{type}, payment_id => $dispute->{payment}, status => $dispute->{status} });
		}
		elsif ($what eq 'refund')
		{
			$sandbox->refund($invoice, $amount);
		}
		else
		{
			$sandbox->invoice($invoice, $what eq 'again' ? 'pay' : $what, { gateway => (qw(KNET CARD))[ rand 2 ], duplicate => $what eq 'again' || rand() < 0.1 ? $true : JSON::PP::false,
					force => rand() < 0.2 && $what eq 'pay' ? $true : JSON::PP::false, $what eq 'capture' && rand() < 0.5 ? (amount => $amount) : () });
		}
		1;
	};
}

# Of the webhooks so far, some or all, in any order; and some questions
sub hand_out
{
	my ($chance) = @_;
	my @sql;

	foreach my $case (@all)
	{
		push @sql, map { $mf->webhook($_, $case->{account}) } grep { rand() < $chance || ($chance == 1 && $_->{code} == 6) } $case->{sandbox}->deliveries(invoice => $case->{invoice});
		push @sql, "SELECT mf_refresh($case->{id});" if rand() < 0.1;
	}
	sql(join "\n", shuffle @sql) if @sql;
	return;
}

for my $round (1 .. 8)
{
	$_->lag(reads => int rand 2) foreach values %sandbox;
	foreach my $case (shuffle @all)
	{
		happen($case) if rand() < 0.7;
	}
	hand_out(0.3);
}
$_->lag foreach values %sandbox;
# in the end everybody is told of disputes, which nothing else tells of; and all is asked about
sql(join "\n", map { my $case = $_; map { $mf->webhook($_, $case->{account}) } shuffle grep { $_->{code} == 6 } $case->{sandbox}->deliveries(invoice => $case->{invoice}) } @all);
for (1 .. 2)
{
	# what shows no change is asked again for minutes, where an event wants to know
	sql('SELECT mf_refresh(' . join('), mf_refresh(', map { $_->{id} } @all) . ')');
	wait_for(q{SELECT 0 * (SELECT count(mf_refresh(invoice)) FROM mf_inquiry WHERE urgent AND due > now() + interval '1 s')
		+ (SELECT count(*) FROM mf_inquiry WHERE urgent)}, 0);
}
wait_for('SELECT count(*) FROM mf_event WHERE answered_at IS NULL', 0);
wait_for('SELECT count(*) FROM mf_reaction_queue', 0);

# The stand-in's books, in the least units of the currency
my (%books, %found);
foreach my $case (@all)
{
	my $units = sub { return sprintf '%.0f', sum0(@_) * 10**$case->{decimals} };
	my $truth = $case->{sandbox}->invoice($case->{invoice});
	my %paid = map { $_->{payment_id} => $_->{value} } grep { $_->{status} eq 'Succss' } @{ $truth->{transactions} };
	my @refunds = map { $_->{amount} } grep { $_->{invoice_id} == $case->{invoice} && $_->{status} eq 'Refunded' } @{ $case->{refunds} //= refunds($case) };
	my @lost = map { $paid{ $_->{payment} } } grep { $_->{status} eq 'LOST' && $_->{type} eq 'CHARGEBACK' } values %{ $case->{disputes} };
	my $disputed = grep { $_->{status} ne 'RESOLVED' } values %{ $case->{disputes} };
	my ($received, $back) = ($units->(values %paid), $units->(@refunds, @lost));
	my $value = $units->($truth->{value});
	my $status = !%paid ? undef : $received - $back >= $value ? 'paid' : $received - $back > 0 ? 'partly_refunded' : 'refunded';

	# a payment that MyFatoorah has not taken as one of the invoice
	$status = undef if $truth->{status} eq 'Canceled';
	$books{ $case->{id} } = join ' ', $received, $back, $received - $back, $disputed ? 't' : 'f', scalar(keys %paid), scalar(@refunds), scalar(@lost), $status // 'no money';
	$books{ $case->{id} } =~ s/^.*$/canceled/ if %paid && $truth->{status} eq 'Canceled';
}

sub refunds
{
	my ($case) = @_;

	return $case->{sandbox}->control('GET', 'refunds')->{refunds};
}

foreach (split /\n/, sql(q{
	SELECT i.id, trim_scale(i.received_value * d.units), trim_scale(i.refunded_value * d.units), trim_scale(i.net_value * d.units), i.disputed_at IS NOT NULL,
		(SELECT count(*) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind = 'payment'), (SELECT count(*) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind = 'refund'),
		(SELECT count(*) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind = 'chargeback'),
		CASE WHEN i.received_value > 0 THEN i.payment_status ELSE 'no money' END
	FROM mf_invoice i, LATERAL (SELECT CASE i.account WHEN 'kwd' THEN 1000 ELSE 100 END AS units) d ORDER BY 1}))
{
	my ($id, @is) = split /\|/;

	$found{$id} = join ' ', @is;
}
my @wrong = map { "$_->{account} $_->{id} (invoice $_->{invoice}): $found{ $_->{id} }, the stand-in: $books{ $_->{id} }" } grep { $books{ $_->{id} } ne 'canceled' && $found{ $_->{id} } ne $books{ $_->{id} } } @all;
is(join("\n", @wrong), '', 'each row and each ledger says what the stand-in has in its books');
my %kinds;
$kinds{$_}++ foreach map { /(\S+|no money)$/ } values %books;
diag(join ', ', map { "$kinds{$_} $_" } sort keys %kinds);

is(sql(q{SELECT i.id FROM mf_invoice i LEFT JOIN mf_ledger l ON l.invoice = i.id AND l.kind <> 'fee' GROUP BY i.id
		HAVING (i.received_value, i.refunded_value, i.net_value) IS DISTINCT FROM (coalesce(sum(l.amount) FILTER (WHERE l.kind = 'payment'), 0),
			coalesce(-sum(l.amount) FILTER (WHERE l.kind <> 'payment'), 0), coalesce(sum(l.amount), 0))}), '', 'the sums of the ledger are those of the row');
is(sql(q{SELECT l.invoice FROM mf_ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE l.currency <> i.base_currency OR l.account <> i.account
		OR l.customer_reference <> i.customer_reference}), '', 'in its currency, under its account and reference');
is(sql(q{SELECT i.id FROM mf_invoice i WHERE (SELECT count(*) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind <> 'fee')
		<> (SELECT count(*) FROM books.calls c WHERE c.invoice = i.id AND (c.received <> 0 OR c.refunded <> 0))}), '', 'each line was one call');
is(sql(q{SELECT i.id FROM mf_invoice i WHERE (SELECT count(*) FROM mf_ledger l WHERE l.invoice = i.id AND l.kind <> 'fee')
		<> (SELECT count(*) FROM mf_history h WHERE h.invoice = i.id AND h.actor = 'status reader' AND h.reason ~ '[0-9] [A-Z]{3}(;.*)?$')}), '', 'and one line of the history');
is(sql(q{SELECT c.invoice FROM books.calls c JOIN mf_invoice i ON i.id = c.invoice GROUP BY c.invoice, i.received_value, i.refunded_value
		HAVING (sum(c.received), sum(c.refunded)) IS DISTINCT FROM (i.received_value, i.refunded_value)}), '', 'the calls add up to the row');

$node->stop;
done_testing();
