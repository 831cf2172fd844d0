# A real browser at /pay/TOKEN, on a phone's width, in English and Arabic: the link has expired, the page waits and goes on by
# itself, the customer pays, and the same address says so. The pictures are kept with the logs.
use MyFatoorah::Test qw(sql);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');

if (my $missing = MyFatoorah::Browser->missing)
{
	plan(skip_all => "$missing not installed (Debian: apt-get install chromium chromium-driver)");
}

my $sandbox = MyFatoorah::Sandbox->new;
my $browser = MyFatoorah::Browser->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 0");
my $db = 'postgres';
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";

sub picture { return $browser->screenshot("$PostgreSQL::Test::Utils::log_path/155_pay_browser_$_[0].png"); }

# The page that is shown, by one look, because it may go on by itself at any time: { at, source, amount, wide, screen }
sub look
{
	return $browser->_command('POST', "$browser->{session}/execute/sync", { args => [], script => <<'JS' });
const root = document.documentElement, amount = document.querySelector('.amount');
return { at: location.href, source: root.outerHTML, amount: amount ? amount.innerText : '', wide: root.scrollWidth, screen: window.innerWidth };
JS
}

# Nothing is wider than the screen
sub ok_width
{
	my ($page, $what) = @_;

	cmp_ok($page->{wide}, '<=', $page->{screen}, "$what fits a width of $page->{screen}");
	return;
}

$mf->setup_account($node, $db, $sandbox);
$web->give_secret($node, $db);
sql(q{CREATE EXTENSION myfatoorah_billing; INSERT INTO mf_billing_policy (account, renew, merchant_name) VALUES ('myfatoorah', false, 'Al Noor Residences · مساكن النور')});
$web->open($node, $db, $port, public_url => $url);
$mf->wait_worker($node, $db);
$browser->_command('POST', "$browser->{session}/window/rect", { width => 390, height => 844 });

foreach my $language (qw(EN AR))
{
	my $right = $language eq 'AR' ? 'rtl' : 'ltr';

	sql("INSERT INTO mf_bill (customer_name, total, bill_key, language) VALUES ('Ahmad Salem', 1250.500, '$language', '$language')");
	$mf->wait_for($node, $db, "SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = '$language'", 'sent');
	my $address = sql("SELECT mf_pay_url(id) FROM mf_bill WHERE bill_key = '$language'");
	my $first = sql("SELECT i.invoice_url FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = '$language'");

	# the link has expired, and MyFatoorah is slow to say whether it was paid
	sql("SET ROLE myfatoorah_billing; UPDATE mf_link SET expires_at = now() WHERE live AND bill = (SELECT id FROM mf_bill WHERE bill_key = '$language'); UPDATE mf_bill SET link_due = NULL WHERE bill_key = '$language'");
	$browser->go($address);
	my $page = look();
	is($page->{at}, $address, "$language: the link has expired, and the page waits");
	like($page->{source}, qr/<html[^>]* dir="$right"/, "$language: $right");
	like($page->{amount}, qr/1,250\.500 KWD/, "$language: with the amount");
	ok_width($page, "$language: the page that waits");
	picture("$language-wait");
	my $at = $browser->wait_at(qr{^\Q${\$sandbox->url}\E}) // $browser->at;
	unlike($at, qr{/pay/[0-9a-f]{32}}, "$language: it goes on by itself, without JavaScript of ours");
	isnt($at, $first, "$language: to another link");
	picture("$language-invoice");

	$browser->click('button.main');
	# by the page of the callback, which stays where the answer takes long
	ok($browser->wait_at(qr{^\Q$url\E/callback/|^\Q$address\E\?paymentId=}), "$language: the customer pays, and comes back");
	$mf->wait_for($node, $db, "SELECT status FROM mf_bill WHERE bill_key = '$language'", 'paid');
	$browser->go($address);
	is($browser->at, $address, "$language: the same address says that it was paid");
	like($browser->text('main'), qr/1,250\.500 KWD.*\b\d+\b/s, "$language: with amount and number");
	unlike($browser->source, qr/Ahmad/, "$language: and not by whom");
	ok_width(look(), "$language: the page of a paid bill");
	picture("$language-paid");
	is(scalar(() = $sandbox->remote), 2 * ($language eq 'AR' ? 2 : 1), "$language: MyFatoorah has made two invoices");

	foreach my $state (qw(void early later))
	{
		sql("INSERT INTO mf_bill (customer_name, total, bill_key, language, send_at) VALUES ('Ahmad Salem', 99, '$language $state', '$language', '2099-03-05 12:00+03')");
		my $bill = sql("SELECT id FROM mf_bill WHERE bill_key = '$language $state'");
		sql("SELECT mf_void($bill, 'moved out')") if $state eq 'void';
		sql("SET ROLE myfatoorah_billing; UPDATE mf_link SET live = false, retired_at = now() WHERE bill = $bill; UPDATE mf_bill SET invoice = NULL, link_due = NULL, link_error = 'refused' WHERE id = $bill") if $state eq 'later';
		$browser->go(sql("SELECT mf_pay_url($bill)"));
		cmp_ok(length $browser->text('main'), '>', 20, "$language: a page for $state");
		ok_width(look(), "$language: it");
		picture("$language-$state");
	}
	$browser->click('main a');
	cmp_ok(length $browser->text('main'), '>', 20, "$language: which tries again when it is asked to");
}
is(sql(q{SELECT detail FROM mf_check() WHERE item = 'pages'}), '', 'no page has failed');

$node->stop;
done_testing();
