# What becomes of bills, their links and their pages when payments are late, in progress or disputed, when the payer comes back, when the account
# gets another name, and when somebody has tried what a tick would do in a year.
use MyFatoorah::Test qw(sql wait_for);

use HTTP::Tiny;
use JSON::PP ();

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";
my $db = 'postgres';

sub ours
{
	return sql("SET ROLE myfatoorah_billing; $_[0]");
}

# A bill with that key, whose link was sent, and its id
sub bill { return $mf->insert_bill($node, $db, @_); }

sub link_of { return sql("SELECT invoice FROM mf_bill WHERE id = $_[0]"); }
sub number { return sql("SELECT invoice_id FROM mf_invoice WHERE id = $_[0]"); }

sub gets
{
	my $answer = $web->get("$url/pay/" . sql("SELECT token FROM mf_bill WHERE id = $_[0]"));

	return $answer->{status} == 303 ? $answer->{headers}{location} : join ' ', $answer->{status}, $answer->{content} =~ m{<h1>(.*?)</h1>};
}

$mf->setup_account($node, $db, $sandbox);
sql('CREATE EXTENSION myfatoorah_billing');
$web->give_secret($node, $db);
$web->open($node, $db, $port, public_url => $url);
$sandbox->webhooks(url => "$url/webhook", version => 'v2', secret => $MyFatoorah::Web::secret, retries => 3, retry_delay_ms => 100, enabled => 0);
$mf->wait_worker($node, $db);

#
# The payer comes back to the bill
#
# What the browser gets at MyFatoorah's page after that button, and where that leads
sub press
{
	my ($bill, $button, $link) = @_;
	my $browser = HTTP::Tiny->new(max_redirect => 0, timeout => 60);
	my @places = sql('SELECT invoice_url FROM mf_invoice WHERE id = ' . ($link // link_of($bill))) . "/$button";
	my $answer = $browser->post($places[0], { headers => { 'content-type' => 'application/x-www-form-urlencoded' }, content => $button eq 'pay' ? 'gateway=KNET' : 'error_code=MF004' });

	while (@places < 6 && ($answer->{headers}{location} // '') =~ /^\Q$url\E/)
	{
		push @places, $answer->{headers}{location};
		$answer = $browser->get($places[-1]);
	}
	return join ' ', (map { s/^\Q$url\E//r =~ s/\?.*//r =~ s{/callback/.*}{/callback}r } @places[ 1 .. $#places ]), $answer->{headers}{location} // $answer->{content} =~ m{<h1>(.*?)</h1>};
}

my $bill = bill('back');
my $link = link_of($bill);
my $pay_url = sql("SELECT mf_pay_url($bill)");
my ($body) = map { JSON::PP::decode_json($_->{body}) } grep { ($_->{reference} // '') =~ /^back\./ } $sandbox->ledger(path => 'SendPayment');
is(join(' ', map { $body->{$_} =~ m{^\Q$url\E/callback/$link-} ? 'callback' : $body->{$_} } qw(CallBackUrl ErrorUrl)), 'callback callback', 'the payer comes back by way of the callback, which asks');
is(sql("SELECT call_back_url, error_url FROM mf_invoice WHERE id = $link"), "$pay_url|$pay_url", 'and then to the bill');
my $page = $pay_url =~ s/^\Q$url\E//r;
is(press($bill, 'fail'), "/callback $page " . sql("SELECT invoice_url FROM mf_invoice WHERE id = $link"), 'who has failed can try again');
like(press($bill, 'pay'), qr{^/callback \Q$page\E (?:Paid|Payment not confirmed yet)$}, 'who has paid is not sent to pay again');
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(gets($bill), '200 Paid', 'and told so');

#
# Who pays a link that was retired, while the next one is out, is not sent to pay that, too
#
sub retired
{
	my ($key) = @_;
	my $bill = bill($key);
	my $first = link_of($bill);

	sql("UPDATE mf_bill SET customer_reference = '$key, corrected' WHERE id = $bill");
	wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND i.id <> $first", 'sent');
	return ($bill, $first);
}

my $first;
foreach my $try (1 .. 3)
{
	($bill, $first) = retired("retired $try");
	like(press($bill, 'pay', $first), qr{ (?:Paid|Payment not confirmed yet)$}, 'who has paid a retired link is not sent to the live one');
	wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
	is(gets($bill), '200 Paid', 'the bill is paid');
}
($bill, $first) = retired('retired, locked');
my $session = $mf->session($node, $db);
$session->query_safe("BEGIN; SELECT FROM mf_bill WHERE id = $bill FOR UPDATE");
like(press($bill, 'pay', $first), qr{ Payment not confirmed yet$}, 'nor while somebody has the bill locked');
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $first", 'paid');
is(gets($bill), '200 Payment not confirmed yet', 'although the payment is known');
$session->query_safe('ROLLBACK');
$session->quit;
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
($bill, $first) = retired('retired, not booked');
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the books are shut'; END$$; CREATE TRIGGER shut BEFORE INSERT ON mf_receipt FOR EACH ROW EXECUTE FUNCTION refuse()});
like(press($bill, 'pay', $first), qr{ Payment not confirmed yet$}, 'nor while it cannot be booked');
wait_for("SELECT count(*) FROM mf_reaction_backlog WHERE error ~ 'the books are shut'", 1);
is(gets($bill), '200 Payment not confirmed yet', 'and is tried again later');
sql('DROP TRIGGER shut ON mf_receipt');
is(gets($bill), '200 Paid', 'once it can be, the page books it itself');
($bill, $first) = retired('retired, nobody asked');
is(gets($bill), sql('SELECT invoice_url FROM mf_invoice WHERE id = ' . link_of($bill)), 'a bill leads to its live link');
$sandbox->faults({ path => 'GetPaymentStatus', status => 503, times => -1 });
$sandbox->invoice(number($first), 'pay');
sql("INSERT INTO mf_event (account, source, digest, invoice, payment_id) VALUES ('myfatoorah', 'callback', 'x', $first, '0001')");
is(gets($bill), '200 Payment not confirmed yet', 'but not while MyFatoorah was not asked about a payer who has come back from another');
$sandbox->clear_faults;
sql("SELECT mf_refresh($first)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');

#
# In progress: nobody is sent to pay again, by whichever link
#
$bill = bill('progress');
$link = link_of($bill);
my $address = sql("SELECT invoice_url FROM mf_invoice WHERE id = $link");
is(gets($bill), $address, 'a bill leads to its link');
$sandbox->invoice(number($link), 'leave');
sql("SELECT mf_refresh($link)");
wait_for("SELECT count(*) FROM mf_transaction WHERE invoice = $link AND transaction_status = 'InProgress'", 1);
is(gets($bill), '200 Payment not confirmed yet', 'but not while a payment of it is in progress');
sql("UPDATE mf_transaction SET changed_at = now() - interval '11 minutes' WHERE invoice = $link");
is(gets($bill), $address, 'for ten minutes at most');
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 4)");
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND i.id <> $link", 'sent');
$address = sql('SELECT invoice_url FROM mf_invoice WHERE id = ' . link_of($bill));
is(gets($bill), $address, 'there is another link');
sql("UPDATE mf_transaction SET changed_at = now() WHERE invoice = $link");
is(gets($bill), '200 Payment not confirmed yet', 'nor while one of a former link is');
sql("UPDATE mf_transaction SET transaction_status = 'Failed' WHERE invoice = $link");
is(gets($bill), $address, 'it has failed');

#
# The former link is paid while the next one is out: the bill knows what to make of it
#
$bill = bill('late');
$first = link_of($bill);
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 4)");
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND i.id <> $first", 'sent');
my $second = link_of($bill);
$sandbox->invoice(number($first), 'pay');
sql("SELECT mf_refresh($first)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
wait_for("SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL", 0);
is(sql("SELECT received, overpaid FROM mf_bill WHERE id = $bill"), '14.000|4.000', 'it counts for the bill');
is(sql("SELECT count(*) FROM mf_review WHERE id IN ($first, $second)"), 0, 'nobody is to decide about it in mf_review');
is(sql("SELECT count(*) FROM mf_overpaid WHERE bill = $bill"), 1, 'what is too much is in mf_overpaid alone');
like(sql("SELECT string_agg(reason, '; ') FROM mf_history WHERE invoice = $first"), qr/its payment is booked for bill $bill, as is that of invoice $second if it comes/, 'and the history says why');
$sandbox->invoice(number($second), 'pay');
sql("SELECT mf_refresh($second)");
wait_for("SELECT overpaid FROM mf_bill WHERE id = $bill", '10.000');
is(sql("SELECT count(*) FROM mf_review WHERE id IN ($first, $second)"), 0, 'nor once both are paid');

#
# Disputes
#
$bill = bill('disputed');
$link = link_of($bill);
$sandbox->invoice(number($link), 'pay');
sql("SELECT mf_refresh($link)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
$session = $mf->session($node, $db);
$session->query_safe('LISTEN mf_bill');
$sandbox->webhooks(enabled => 1);
sub dispute
{
	$sandbox->invoice(number($link), 'dispute', { id => 701, @_ });
	return;
}
dispute();
wait_for("SELECT status FROM mf_bill_dispute WHERE bill = $bill", 'PENDING');
is(sql("SELECT bill_status, customer_reference, type, amount, payment_id = (SELECT r.payment_id FROM mf_receipt r WHERE r.bill = $bill) FROM mf_bill_dispute WHERE bill = $bill"), 'paid|disputed|CHARGEBACK|10.000|t', 'a dispute is seen at its bill');
wait_for('SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL', 0);
my $notified = $session->query("SELECT 'x'");
like($notified . ($session->{stdout} // ''), qr/"mf_bill" with payload "\{"bill": $bill\}"/, 'and notified');
$session->quit;
is(sql("SELECT status, received FROM mf_bill WHERE id = $bill"), 'paid|10.000', 'while it is open, the money is there');
dispute(status => 'LOST');
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'open');
is(sql("SELECT string_agg(concat_ws(' ', value, note), ', ' ORDER BY id) FROM mf_receipt WHERE bill = $bill"), '10.000, -10.000 chargeback', 'one that is lost takes it back');
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill", 'sent');
isnt(link_of($bill), $link, 'and the bill has a link again');
dispute(status => 'RESOLVED');
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(sql("SELECT sum(value), (SELECT status FROM mf_bill_dispute WHERE bill = $bill) FROM mf_receipt WHERE bill = $bill"), '10.000|RESOLVED', 'not lost after all');
$sandbox->refund(number($link), '3.000');
sql("SELECT mf_refresh($link)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'open');
dispute(id => 1000, status => 'LOST');
wait_for("SELECT balance FROM mf_bill WHERE id = $bill", '13.000');
wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill", 'sent');
is(sql("SELECT trim_scale(i.invoice_value) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill"), 10, 'who has got more back than he paid is asked for no more than the bill');
like(sql("SELECT (mf_bill_page_draw(b, 'wait')).body FROM mf_bill b WHERE id = $bill"), qr/>10\.000 KWD</, 'nor shown more on its page');
like(($node->psql($db, "SELECT mf_request($bill, 12)"))[2], qr/ERROR:  value is more than the total of bill $bill\n/, 'nor asked for more by hand');
my $asks = link_of($bill);
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 1)");
is(sql("SELECT balance, invoice = $asks FROM mf_bill WHERE id = $bill"), '12.000|t', 'as long as so much is owed, the link stays');

#
# The row of a link is deleted, and mf_adopt() makes another one: it is that link again
#
$bill = bill('deleted');
$link = link_of($bill);
my $number = number($link);
$sandbox->invoice($number, 'pay');
sql("SELECT mf_refresh($link)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
sql("DELETE FROM mf_invoice WHERE id = $link");
my $adopted = sql("SELECT mf_adopt('$number')");
$sandbox->refund($number, '4.000');
sql("SELECT mf_refresh($adopted)");
wait_for("SELECT balance FROM mf_bill WHERE id = $bill", '4.000');
is(sql("SELECT string_agg(concat_ws(' ', value, invoice = $adopted), ', ' ORDER BY id) FROM mf_receipt WHERE bill = $bill"), '10.000 t, -4.000 t', 'what is given back of a link that was adopted reaches its bill, and its payment counts once');
is(sql("SELECT string_agg(invoice::text, ' ') FROM mf_link WHERE bill = $bill AND invoice IN ($link, $adopted)"), $adopted, 'whose link it is');

$bill = bill('deleted unpaid');
$link = link_of($bill);
$number = number($link);
sql("DELETE FROM mf_invoice WHERE id = $link");
$adopted = sql("SELECT mf_adopt('$number')");
$sandbox->invoice($number, 'pay');
sql("SELECT mf_refresh($adopted)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(sql("SELECT received, overpaid FROM mf_bill WHERE id = $bill"), '10.000|0.000', 'so does its payment');

#
# The account gets another name: a link that was sent before is paid after, and the page leads on
#
$bill = bill('renamed');
$link = link_of($bill);
sql('ALTER SERVER myfatoorah RENAME TO houses');
is(gets($bill), sql("SELECT invoice_url FROM mf_invoice WHERE id = $link"), 'the page of a bill whose account has another name');
$sandbox->invoice(number($link), 'pay');
sql("SELECT mf_refresh($link)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(sql("SELECT account FROM mf_bill WHERE id = $bill"), 'houses', 'its payment is booked');
sql('ALTER SERVER houses RENAME TO myfatoorah');

# So does the role that owns bills: payments are booked, pages answer, and the tick is called
$bill = bill('role');
$link = link_of($bill);
sql('ALTER ROLE myfatoorah_billing RENAME TO keeper_of_books');
is(gets($bill), sql("SELECT invoice_url FROM mf_invoice WHERE id = $link"), 'the page of a bill while the role that owns it has another name');
$sandbox->invoice(number($link), 'pay');
sql("SELECT mf_refresh($link)");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
sql(q{INSERT INTO mf_plan (plan_key, template, starts_on, every, times, at_time) VALUES ('role', '{"customer_name": "Ahmad", "total": 5}', current_date - 2, '1 month', 1, '00:01')});
wait_for(q{SELECT count(*) FROM mf_bill WHERE bill_key = 'role/1'}, 1);
pass('and its payment is booked, and its plan bills');
sql('ALTER ROLE keeper_of_books RENAME TO myfatoorah_billing');

#
# A link that could not be sent before it expired, as where an account was paused for long, or the clock was wrong
#
foreach my $renew ('true', 'false')
{
	sql("INSERT INTO mf_billing_policy (account, renew) VALUES ('myfatoorah', $renew) ON CONFLICT (account) DO UPDATE SET renew = $renew");
	sql(q{SELECT mf_pause('myfatoorah')});
	$bill = bill("too late, renew $renew", unsent => 1, notification_option => q('EML'), customer_email => q('a@example.com'));
	$link = link_of($bill);
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET expiry_date = now() - interval '1 minute' WHERE id = $link");
	sql(q{SELECT mf_resume('myfatoorah')});
	wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill AND b.invoice <> $link", 'sent');
	is(sql("SELECT k.retired_why, (SELECT reason ~ '^not sent, because expiry_date' FROM mf_history h WHERE h.invoice = $link AND to_status = 'rejected'), b.link_error IS NULL, i.notification_option FROM mf_link k JOIN mf_bill b ON b.id = k.bill JOIN mf_invoice i ON i.id = b.invoice WHERE k.invoice = $link"),
		'expired|t|t|EML', "a link that was not sent in time is replaced, as one that has expired, and the new one mailed (renew = $renew)");
}
sql('UPDATE mf_billing_policy SET renew = true');

#
# A tick with a time ahead, and the clock
#
$bill = bill('ahead', link_days => 2);
$link = link_of($bill);
sql(q{INSERT INTO mf_reminder_rule (name, days_from_due, via) VALUES ('ahead', 3, 'event')});
sql(q{SELECT mf_billing_tick(now() + interval '300 days')});
is(sql("SELECT link_due > now() + interval '299 days' FROM mf_bill WHERE id = $bill"), 't', 'a tick with a time ahead puts off by that time');
is(sql(q{SELECT done_to > now() + interval '290 days' FROM mf_reminder_rule WHERE name = 'ahead'}), 't', 'and rules are as far');
is(sql(q{SELECT bool_or(due < now() + interval '2 minutes') FROM mf_reaction_queue WHERE function = 'public.mf_billing_tick'}), 't', 'the clock has its turn after it');
sql('SELECT mf_billing_tick(now())');
is(sql("SELECT link_due < now() + interval '3 days', invoice = $link FROM mf_bill WHERE id = $bill"), 't|t', 'then what it has put off is looked at by the clock');
is(sql(q{SELECT done_to <= now() FROM mf_reminder_rule WHERE name = 'ahead'}), 't', 'and rules begin where the clock is');
wait_for("SELECT count(*) FROM mf_inquiry WHERE invoice = $link AND urgent", 0);
is(sql("SELECT asked_for > now() + interval '299 days', asked_at < now() FROM mf_link WHERE invoice = $link"), 't|t', 'it was asked for a time ahead');
ours("UPDATE mf_link SET expires_at = now() WHERE invoice = $link; UPDATE mf_bill SET link_due = now() WHERE id = $bill");
is(sql("BEGIN; SELECT mf_billing_tick(clock_timestamp()) IS NULL; SELECT invoice = $link FROM mf_bill WHERE id = $bill; SELECT asked_at > now() FROM mf_link WHERE invoice = $link; COMMIT") =~ s/^f\n//r, "t\nt",
	'and is asked again when that has come, before another link is made');


# An answer of a time that has not come, as after the clock was wrong, is none
$bill = bill('tomorrow');
$link = link_of($bill);
$sandbox->faults({ path => 'GetPaymentStatus', status => 503, times => -1 });
ours("UPDATE mf_link SET expires_at = now(), asked_at = now() + interval '1 day', asked_for = now() + interval '1 day' WHERE invoice = $link; UPDATE mf_bill SET link_due = now() WHERE id = $bill");
sql('SELECT mf_billing_tick(clock_timestamp())');
wait_for("SELECT asked_at <= clock_timestamp() OR NOT live FROM mf_link WHERE invoice = $link");
is(sql("SELECT invoice = $link FROM mf_bill WHERE id = $bill"), 't', 'an answer of tomorrow is none: MyFatoorah is asked before another link is made');
$sandbox->clear_faults;

done_testing();
