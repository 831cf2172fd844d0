# A real browser pays on the invoice page, and is brought by way of the listener to the merchant's page, or to one of the
# listener's own. The pictures are kept with the logs.
use MyFatoorah::Test;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');

if (my $missing = MyFatoorah::Browser->missing)
{
	plan(skip_all => "$missing not installed (Debian: apt-get install chromium chromium-driver)");
}

my $sandbox = MyFatoorah::Sandbox->new;
my $merchant = MyFatoorah::Merchant->new;
my $browser = MyFatoorah::Browser->new;
my $node = $mf->new_node('main', conf => 'myfatoorah.poll_rate_limit = 0');
my $db = 'postgres';
my $port = $web->free_port;
my $shop = $merchant->url;
my %pages = (call_back_url => "'$shop/thanks?order=7'", error_url => "'$shop/sorry'");

$mf->setup_account($node, $db, $sandbox);
$web->give_secret($node, $db);
$web->open($node, $db, $port, public_url => "http://127.0.0.1:$port", route_callbacks => 'on');
$mf->wait_worker($node, $db);

sub open_page
{
	my ($name, %columns) = @_;
	my $id = $mf->insert($node, $db, $name, %columns);

	$mf->wait_status($node, $db, $name);
	$browser->go($node->safe_psql($db, "SELECT invoice_url FROM mf_invoice WHERE id = $id"));
	picture("$name-invoice");
	return $id;
}

sub picture { return $browser->screenshot("$PostgreSQL::Test::Utils::log_path/056_browser_$_[0].png"); }
sub status { return $node->safe_psql($db, "SELECT payment_status FROM mf_invoice WHERE id = $_[0]"); }

# paid
my $id = open_page('Ahmad', %pages);
like($browser->source, qr/Ahmad.*1\.250/s, 'the invoice page');
$browser->click('input[name=gateway][value=CARD]');
$browser->click('button.main');
like($browser->wait_at(qr{^\Q$shop\E}) // $browser->at, qr{^\Q$shop/thanks?order=7&paymentId=\E\d+&Id=\d+$}, 'who pays is brought to the page of success');
is($browser->text('h1'), 'Page of the merchant', 'and sees it');
is(status($id), 'paid', 'and the row is paid');
is($node->safe_psql($db, "SELECT source FROM mf_event WHERE invoice = $id"), 'callback', 'by the callback: no webhook was sent');
is(scalar $merchant->visits, 1, 'the merchant had one visit');

# not paid, then paid
$id = open_page('Fatima', %pages);
$browser->click('button[formaction$="/fail"]');
like($browser->wait_at(qr{^\Q$shop\E}) // $browser->at, qr{^\Q$shop/sorry?paymentId=\E\d+&Id=\d+$}, 'whose payment fails is brought to the other page');
is(status($id), 'unpaid', 'and the row is not paid');
$browser->go($node->safe_psql($db, "SELECT invoice_url FROM mf_invoice WHERE id = $id"));
$browser->click('button.main');
like($browser->wait_at(qr{^\Q$shop/thanks\E}), qr/paymentId=/, 'a second try succeeds');
is(status($id), 'paid', 'and the row is paid');

# without pages of the merchant, in Arabic
$id = open_page('Khaled', language => "'AR'");
$browser->click('button.main');
ok($browser->wait_at(qr{^http://127\.0\.0\.1:$port/callback/}), 'without a page of the row the listener shows its own');
picture('Khaled-paid');
like($browser->source, qr/<html[^>]* dir="rtl"/, 'in Arabic');
cmp_ok(length $browser->text('body'), '>', 5, 'with something to read');
is(status($id), 'paid', 'and the row is paid');

$node->stop;
done_testing();
