# The address of a bill, /pay/TOKEN: it leads to the live link, has one made if there is none, and says what became of the
# bill; many visitors cause one link; and strangers learn and cause nothing.
use MyFatoorah::Test qw(sql wait_for);

use Time::HiRes qw(time);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";
my $db = 'postgres';

# As the role that owns bills: what nobody else can write
sub ours
{
	return sql("SET ROLE myfatoorah_billing; $_[0]");
}

# A bill with that key, and its id; its link was sent unless told otherwise
sub bill
{
	my ($key, $total, %columns) = @_;

	return $mf->insert_bill($node, $db, $key, total => $total, customer_name => "'Ahmad Salem'", memo => "'a memo'", %columns);
}

sub token { return sql("SELECT token FROM mf_bill WHERE id = $_[0]"); }
sub visit { return $web->get("$url/pay/" . token($_[0])); }

# What a visitor of the bill gets: the address that leads on, or status and title of a page
sub gets
{
	my $answer = visit($_[0]);

	return $answer->{status} == 303 ? $answer->{headers}{location} : join ' ', $answer->{status}, $answer->{content} =~ m{<h1>(.*?)</h1>};
}

sub link_url { return sql("SELECT i.invoice_url FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $_[0]"); }

# Comes back, as the page does by itself, until it is led on
sub led_on
{
	my ($bill) = @_;
	my $deadline = time + MyFatoorah::Sandbox::time_limit();

	while (time < $deadline)
	{
		my $got = gets($bill);
		return $got if $got =~ /^http/;
		select undef, undef, undef, 0.2;
	}
	return gets($bill);
}

# Its live link has expired, and nobody looks after it: the account does not renew by itself
sub expire
{
	return ours("UPDATE mf_link SET expires_at = now() WHERE bill = $_[0] AND live; UPDATE mf_bill SET link_due = NULL WHERE id = $_[0]");
}

# How many invoices MyFatoorah has been asked for, of that bill or in all
sub sent { my ($key) = @_; return scalar grep { !defined $key || $_ eq $key } $sandbox->names; }
sub rest { my ($bill) = @_; return sql("SELECT count(*) FROM mf_link WHERE bill = $bill"); }

$mf->setup_account($node, $db, $sandbox);
sql(q{CREATE EXTENSION myfatoorah_billing;
	INSERT INTO mf_billing_policy (account, renew, merchant_name) VALUES ('myfatoorah', false, 'Al Noor Residences')});
$web->open($node, $db, $port, public_url => $url);
$mf->wait_worker($node, $db);

#
# Open, paid, void
#
my $bill = bill('open', '1250.500');
my $answer = visit($bill);
is(sql("SELECT mf_pay_url($bill)"), "$url/pay/" . token($bill), 'the address of a bill');
is("$answer->{status} $answer->{headers}{location}", '303 ' . link_url($bill), 'leads to its link');
is($answer->{content}, '', 'and says nothing');
is(join('; ', map { $answer->{headers}{$_} } qw(cache-control referrer-policy)), 'no-store; no-referrer', 'nobody keeps it, or passes it on');
is($web->get("$url/pay/" . token($bill), 'HEAD')->{status}, 303, 'HEAD');
is($web->get("$url/pay/" . token($bill), 'POST')->{status}, 405, 'not POST');

sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 1000)");
isnt(led_on($bill), $answer->{headers}{location}, 'after a payment in part it leads to another link');
is(sql("SELECT value FROM mf_link WHERE bill = $bill AND live"), '250.500', 'over the rest');
is(gets($bill), link_url($bill), 'which is the live one');

$sandbox->invoice(sql("SELECT i.invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill"), 'pay');
sql("SELECT mf_refresh(invoice) FROM mf_bill WHERE id = $bill");
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
$answer = visit($bill);
my $receipt = sql("SELECT max(id) FROM mf_receipt WHERE bill = $bill");
my $day = sql("SELECT btrim(to_char(paid_on, 'FMDD FMMonth YYYY')) FROM mf_bill WHERE id = $bill");
is($answer->{status}, 200, 'paid: a page');
like($answer->{content}, qr{<html lang="en" dir="ltr">.*>Al Noor Residences</p>.*<h1>Paid</h1>.*1,250\.500 KWD.*Paid on</dt><dd>\Q$day\E</dd>.*Receipt</dt><dd>$receipt</dd>}s, 'with amount, day and number of the receipt');
unlike($answer->{content}, qr/Ahmad|memo|MyFatoorah|http:|\Q${\token($bill)}\E|<script|>open</i, 'and nothing else');
is(join('; ', map { $answer->{headers}{$_} } qw(content-type cache-control x-content-type-options content-security-policy)),
	"text/html; charset=utf-8; no-store; nosniff; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", 'with the headers of a page that runs no script');

$bill = bill('arabic', 4, language => "'AR'");
sql("INSERT INTO mf_receipt (bill, method, value) VALUES ($bill, 'cash', 4)");
$answer = visit($bill);
$answer->{content} =~ s{&#(\d+);}{chr $1}ge;
like($answer->{content}, qr{<html lang="ar" dir="rtl">.*<h1>\x{62A}\x{645} \x{627}\x{644}\x{62F}\x{641}\x{639}</h1>.*<bdi dir="ltr">4\.000 KWD</bdi>}s, 'in Arabic if the bill is');
my $free = bill('nothing', 0, unsent => 1);
is(gets($free), '200 Paid', 'a bill of nothing');

$bill = bill('gone', 3);
sql("SELECT mf_void($bill, 'moved out')");
$answer = visit($bill);
is(gets($bill), '410 Nothing to pay', 'void');
unlike($answer->{content}, qr/3\.000|moved/, 'without amount or reason');

$bill = bill('tomorrow', 7, unsent => 1, send_at => q{'2099-03-05 12:00+03'});
$answer = visit($bill);
is(gets($bill), '200 Not to be paid yet', 'before its first link is sent');
like($answer->{content}, qr/from 5 March 2099 on/, 'a page that says when');
is(sent('tomorrow'), 0, 'nothing was sent');

#
# No link: one is made, whoever and how many ask
#
$bill = bill('expired', '12.500');
my $first = link_url($bill);
my $token = token($bill);
$sandbox->faults({ path => 'GetPaymentStatus', delay_ms => -1, times => 1 });
expire($bill);
my @crowd = map { $web->connect($port) } 1 .. 12;
syswrite $_, "GET /pay/$token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" foreach @crowd;
my %seen;
$seen{ $web->read_all($_, 60) =~ /^HTTP\/1\.1 (?:200 .*<h1>(One moment, please)|303 .*^Location: (\S+)|\d+)/msi ? $1 // $2 // 'another answer' : 'nothing' }++ foreach @crowd;
like(visit($bill)->{content}, qr/<meta http-equiv="refresh" content="3">.*12\.500 KWD/s, 'the page comes back by itself');
$sandbox->clear_faults;
my $second = led_on($bill);
like($second, qr/^http/, 'and leads on');
isnt($second, $first, 'to a new link');
is(join(', ', sort keys %seen), 'One moment, please', 'a dozen at once at a link that has expired: all wait');
is(sent('expired'), 2, 'of which there is one, at MyFatoorah as well');
is(rest($bill), 2, 'and here');
is(sql("SELECT count(*) FROM mf_link WHERE bill = $bill AND live"), 1, 'one is live');

# while others do the same in sessions of their own
expire($bill);
my @sessions = map { $mf->session($node, $db) } 1 .. 4;
my $answers = 0;
$_->query_safe('SET ROLE myfatoorah_billing') foreach @sessions;
foreach my $round (1 .. 5)
{
	$_->{stdin} .= "SELECT mf_bill_page_at('$token', clock_timestamp());\n" foreach @sessions;
	$_->{run}->pump_nb foreach @sessions;
	$answers++ if visit($bill)->{status} =~ /^(?:200|303)$/;
}
$answers += () = $_->query("SELECT 'end'") =~ /^\((?:200|303),/mg foreach @sessions;
$_->quit foreach @sessions;
is($answers, 25, 'visitors and sessions at the same time');
led_on($bill);
is(sent('expired') . rest($bill), '33', 'one link again');

# What was paid wins: a payment that nobody has told us of
$bill = bill('secretly', 6);
$sandbox->invoice(sql("SELECT i.invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill"), 'pay');
expire($bill);
like(gets($bill), qr/^200 (?:One moment, please|Paid)$/, 'who asks for the bill after its link has expired');
wait_for("SELECT status FROM mf_bill WHERE id = $bill", 'paid');
is(gets($bill), '200 Paid', 'is told that it was paid');
is(sent('secretly'), 1, 'and no second link was made');

# MyFatoorah does not answer: no link is made, however often somebody asks
$bill = bill('silent', 8);
$sandbox->faults({ path => 'GetPaymentStatus', status => 503, times => -1 });
expire($bill);
is(gets($bill), '200 One moment, please', 'while MyFatoorah does not answer') foreach 1 .. 20;
is(sent('silent'), 1, 'there is no second link');
$sandbox->clear_faults;
ours("UPDATE mf_bill SET link_tries = 6, link_due = now() + interval '1 hour' WHERE id = $bill");
$answer = visit($bill);
is(gets($bill), '503 Not available at the moment', 'after a while it says to try again');
like($answer->{content}, qr{<a href="">Try again</a>}, 'by a link');
is($answer->{headers}{'retry-after'}, 30, 'machines too');

# One that somebody has locked
$bill = bill('locked', 9);
expire($bill);
my $session = $mf->session($node, $db);
$session->query_safe("BEGIN; SELECT FROM mf_bill WHERE id = $bill FOR UPDATE");
is(gets($bill), '200 One moment, please', 'nobody waits for a lock');
$session->query_safe('ROLLBACK');
$session->quit;
like(led_on($bill), qr/^http/, 'and it goes on afterwards');

# A refused one, and one without an address: a person is needed, or a new one, but not again and again
$bill = bill('refused', 9);
ours("UPDATE mf_link SET live = false, retired_at = now() WHERE bill = $bill; UPDATE mf_bill SET invoice = NULL, link_due = NULL, link_error = 'refused' WHERE id = $bill");
is(gets($bill), '503 Not available at the moment', 'what MyFatoorah has refused is not tried by visitors') foreach 1 .. 3;
is(rest($bill), 1, 'no link was made');
$bill = bill('nowhere', 9);
foreach my $links (1 .. 3)
{
	wait_for("SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $bill", 'sent');
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET invoice_url = NULL WHERE id = (SELECT invoice FROM mf_bill WHERE id = $bill)");
	is(gets($bill), $links < 3 ? '200 One moment, please' : '503 Not available at the moment', "a link without an address, number $links");
	wait_for("SELECT count(*) FROM mf_link WHERE bill = $bill", $links + 1) if $links < 3;
}
is(rest($bill), 3, 'three links in an hour are enough');

#
# Strangers
#
$bill = bill('attack', 5);
$token = token($bill);
my $nothing = join '|', @{ $web->get("$url/nothing/here") }{qw(status content)};
my $links = sql('SELECT count(*) FROM mf_link');
my $requests = sent();
my %tokens = (
	'another' => '0' x 32,
	'in capitals' => uc $token,
	'half right' => substr($token, 0, 16) . ('0' x 16),
	'with the other half' => ('f' x 16) . substr($token, 16),
	'one digit off' => substr($token, 0, 31) . (substr($token, 31) eq '0' ? '1' : '0'),
	'too short' => substr($token, 0, 31),
	'too long' => "${token}0",
	'with a line feed' => "$token%0A",
	'with a zero byte' => "$token%00",
	'with a blank' => "%20$token",
	'as a path' => "$token/x",
	'of dots' => '../health',
	'of encoded dots' => '%2e%2e%2fhealth',
	'of other digits' => '%EF%BC%90' x 32,
	'with a wildcard' => '_' x 32,
	'with percent' => '%25' x 32,
	'as SQL' => "'%20OR%20token%20%3E%20'",
	'as a regular expression' => '.' . '*',
	'as an id' => $bill,
	'empty' => '',
	'very long' => '0' x 255,
	'too long for the listener' => '0' x 2000,
	'no text' => '%ff%fe',
);
foreach my $what (sort keys %tokens)
{
	is(join('|', @{ $web->get("$url/pay/$tokens{$what}") }{qw(status content)}), $what eq 'of dots' ? join('|', @{ $web->get("$url/pay/x/y") }{qw(status content)}) : $nothing, "a token $what: as for any other address");
}
is(gets($bill), link_url($bill), 'the right one is right');
is($web->get("$url/pay/$token?paymentId=1&x=<script>")->{headers}{location}, link_url($bill), 'arguments change nothing');

# A flood
my $start = time;
my @flood = map { $web->connect($port) } 1 .. 8;
foreach my $socket (@flood)
{
	syswrite $socket, join '', map { sprintf "GET /pay/%016x%016x HTTP/1.1\r\nHost: x\r\n%s\r\n", rand 2**52, rand 2**52, $_ == 100 ? "Connection: close\r\n" : '' } 1 .. 100;
}
is(gets($bill), link_url($bill), 'a customer in a flood of invented tokens');
my $health = time;
is($web->get("$url/health")->{status}, 200, 'and the check of health');
cmp_ok(time - $health, '<', 60, 'which does not wait for them');
my $refused = 0;
foreach my $socket (@flood)
{
	my $got = $web->read_all($socket, 120);
	$refused += () = $got =~ /^HTTP\/1\.1 (?:404|503)/mg;
}
is($refused, 800, sprintf 'all are answered, in %.1f s', time - $start);
is(sql('SELECT count(*) FROM mf_link'), $links, 'strangers have made no link');
is(sent(), $requests, 'and no request');
unlike(slurp_file($node->logfile), qr/$token/, 'the log has no token');

# HTML and lines in what is shown, and in where one is sent
sql(q{UPDATE mf_billing_policy SET merchant_name = '<script>alert("1")</script> & ''Co.'''});
$bill = bill('html', 5);
sql("INSERT INTO mf_receipt (bill, method, value, note) VALUES ($bill, 'cash', 5, '<b>note</b>')");
$answer = visit($bill);
like($answer->{content}, qr{<p class="merchant" dir="auto">&lt;script&gt;alert\(&quot;1&quot;\)&lt;/script&gt; &amp; &#39;Co\.&#39;</p>}, 'HTML in a name is shown, not followed');
unlike($answer->{content}, qr/<script|<b>|note/, 'nowhere');
$bill = bill('location', 5);
foreach my $bad ("https://pay.example/\r\nSet-Cookie: a=b", "https://pay.example/ x", 'javascript:alert(1)', "\thttps://pay.example/", '//pay.example/', 'https://pay.example/' . 'x' x 3000)
{
	(my $literal = $bad) =~ s/([\r\n\t])/sprintf '\\%03o', ord $1/ge;
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET invoice_url = E'$literal' WHERE id = (SELECT invoice FROM mf_bill WHERE id = $bill)");
	my $raw = $web->talk($port, 'GET /pay/' . token($bill) . " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", seconds => 60);
	(my $shown = substr $bad, 0, 40) =~ s/\s/?/g;
	like($raw, qr/^HTTP\/1\.1 503/, "no way to $shown");
	unlike($raw, qr/Set-Cookie|^Location/mi, 'and no head of its own');
}

# Nobody calls what answers
sql('CREATE ROLE clerk IN ROLE myfatoorah_submit, myfatoorah_operate');
foreach my $call ("mf_bill_page('$token')", "mf_bill_page_at('$token', now())", 'mf_bill_page_state(1, now())')
{
	my (undef, undef, $err) = $node->psql($db, "SET ROLE clerk; SELECT $call");
	like($err, qr/permission denied for function/, "$call is for nobody");
}
is(sql(q{SELECT detail FROM mf_check() WHERE item = 'pages'}), '', 'no page has failed');

done_testing();
