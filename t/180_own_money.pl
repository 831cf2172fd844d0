# Money that is somebody else's: numbers repeat in other environments and at other merchants, and an account may point elsewhere
# than when an invoice was sent. Refunds, captures and releases go by number alone, so nothing is asked for before MyFatoorah has
# shown the invoice as ours there.
use MyFatoorah::Test qw(sql wait_for);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my ($ours, $theirs) = map { MyFatoorah::Sandbox->new(args => [ '--seed', 77 ]) } 1 .. 2;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");

$mf->setup_account($node, $db, $ours, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($node, $db);

# An invoice that was paid, or whose payment is held, and a stranger's of the same number: its ids here and there
sub settled
{
	my ($name, $how, @columns) = @_;
	my $id = $mf->insert($node, $db, $name, invoice_value => '10.000', @columns);

	$mf->wait_status($node, $db, $name);
	my $number = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
	is($theirs->send_payment(InvoiceValue => 10, @columns ? (ProcessingDetails => { AutoCapture => JSON::PP::false }) : ()), $number, 'a stranger has the number elsewhere');
	$_->invoice($number, $how) foreach $ours, $theirs;
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT payment_status IN ('paid', 'authorized') FROM mf_invoice WHERE id = $id");
	return ($id, $number);
}

# What has left for an account that may be a stranger's
sub changes
{
	my ($sandbox) = @_;

	return join ' ', map { $sandbox->count(path => "/v2/$_") } qw(MakeRefund UpdatePaymentStatus GetRefundStatus);
}

my ($paid, $paid_number) = settled('paid', 'pay');
my @held = (processing_details => q('{"AutoCapture": false}'));
my ($captured, $captured_number) = settled('captured', 'authorize', @held);
my ($released, $released_number) = settled('released', 'authorize', @held);
my ($moved) = settled('moved', 'pay');
my ($other_words, $other_words_number) = settled('other words', 'pay');

# Without attempts, as a look-up finds what a promoted or restored database had queued: only a reference of ours is its own.
my ($found) = settled('found by a look-up', 'pay');
sql("SET session_replication_role = replica; UPDATE mf_invoice SET attempts = 0, customer_reference = NULL WHERE id = $found; DELETE FROM mf_attempt WHERE invoice = $found");

# Made in the portal, without a reference, which the stranger's has none of either
sub made_in_portal
{
	my ($name, $strangers_name) = @_;
	my ($number, $other) = map { $_->send_payment(CustomerName => $_ == $theirs ? $strangers_name // $name : $name, InvoiceValue => 10) } $ours, $theirs;

	is($other, $number, "both have invoice $number");
	return $number;
}
my $adopted_number = made_in_portal('adopted');
my $unpaid_number = made_in_portal('adopted, not paid');
my $ahmads_number = made_in_portal('Ahmad', 'Badr');
my $dropped_number = made_in_portal('of a dropped account');
$_->invoice($adopted_number, 'pay') foreach $ours, $theirs;
my ($adopted, $unpaid, $ahmads) = map { sql("SELECT mf_adopt('$_')") } $adopted_number, $unpaid_number, $ahmads_number;
wait_for("SELECT payment_status = 'paid' FROM mf_invoice WHERE id = $adopted");
is(sql("SELECT string_agg(taken_over_from, ' ') FROM mf_invoice WHERE taken_over_from IS NOT NULL"), join(' ', ($ours->url) x 3), 'what was taken over has its address');

sub point_to
{
	my ($sandbox) = @_;

	return sql(q{ALTER SERVER myfatoorah OPTIONS (SET base_url '} . $sandbox->url . q{')});
}

#
# The account points to a stranger's
#
my $before = $theirs->count(path => '/v2/GetPaymentStatus');
point_to($theirs);
my $refund = sql("INSERT INTO mf_refund (invoice, value) VALUES ($paid, 4) RETURNING id");
sql("SELECT mf_capture($captured, 3), mf_release($released)");
sql("INSERT INTO mf_refund (invoice, value) SELECT unnest(ARRAY[$adopted, $found]), 1");
$theirs->invoice($unpaid_number, 'pay');
sql("SELECT mf_refresh($unpaid)");
wait_for("SELECT count(*) FROM mf_invoice WHERE id IN ($paid, $captured, $released, $found) AND payment_error LIKE '%which is none of this row%'", 4);
wait_for("SELECT count(*) FROM mf_invoice WHERE id IN ($adopted, $unpaid) AND payment_error ~ 'was taken over from .* is none of this row'", 2);
is(sql("SELECT string_agg(status, ' ' ORDER BY id) FROM mf_operation"), join(' ', ('queued') x 5), 'what nobody has shown as ours waits');
is(sql("SELECT payment_status || received_value FROM mf_invoice WHERE id = $unpaid"), 'unpaid0', 'what the stranger has got is not ours');
is(changes($theirs), '0 0 0', 'and nothing has left');
cmp_ok($theirs->count(path => '/v2/GetPaymentStatus'), '>', $before, 'but questions');
like(sql("SELECT last_error FROM mf_refund WHERE id = $refund"), qr/^MyFatoorah answered about invoice $paid_number with no CustomerReference, which is none of this row; the base_url, environment or key/, 'the refund says why it waits');
is(sql("SELECT count(*) FROM mf_review WHERE id IN ($paid, $captured, $released) AND next_step ~ '^Put base_url, environment and key'"), 3, 'mf_review shows each');
is(sql("SELECT next_step ~ 'SELECT mf_adopt\\(''$adopted_number'', ''myfatoorah''\\)' FROM mf_review WHERE id = $adopted"), 't', 'and what to do if an invoice that was taken over is at the new address, too');

#
# It points back, and what has waited is done: by one question and one request each
#
point_to($ours);
sql('SELECT mf_resume()');
wait_for("SELECT string_agg(status, ' ' ORDER BY id) FROM mf_operation", 'filed captured released filed filed');
is(changes($theirs), '0 0 0', 'nothing of the stranger was touched');
is(join(' ', map { $ours->count(path => "/v2/$_") } qw(MakeRefund UpdatePaymentStatus)), '3 2', 'each was asked for once');
is(sql("SELECT last_error FROM mf_refund WHERE id = $refund"), '', 'nothing is wrong any more');
wait_for("SELECT count(*) FROM mf_review", 0);

#
# MyFatoorah is reached by another address: a person says that an invoice that was taken over is the same there
#
(my $other_address = $ours->url) =~ s/127\.0\.0\.1/localhost/ or die "the stand-in has no address of IPv4\n";
like(($node->psql($db, "ALTER SERVER myfatoorah OPTIONS (SET base_url '$_')"))[2], qr/invalid value for option "base_url".*the URL must be in lower case/s, "$_ is refused: it has another spelling")
	foreach $ours->url =~ s/http/HTTP/r, $ours->url =~ s/:(\d+)$/:0$1/r, $other_address =~ s/localhost/LocalHost/r;
sql("ALTER SERVER myfatoorah OPTIONS (SET base_url '$other_address/')");
sql("SELECT mf_refresh(ARRAY[$adopted, $unpaid])");
wait_for("SELECT count(*) FROM mf_invoice WHERE id IN ($adopted, $unpaid) AND payment_error ~ ' is none of this row'", 2);
$ours->invoice($unpaid_number, 'pay');
is(sql("SELECT mf_adopt('$unpaid_number')"), $unpaid, 'mf_adopt() returns the row that has it');
wait_for("SELECT payment_status || received_value FROM mf_invoice WHERE id = $unpaid", 'paid10.000');
is(sql("SELECT taken_over_from || ' ' || coalesce(payment_error, '') FROM mf_invoice WHERE id = $unpaid"), "$other_address ", 'whose number counts there');
is(sql("SELECT payment_error IS NOT NULL FROM mf_invoice WHERE id = $adopted"), 't', 'and no other');
# restored where its role does not exist
sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_by_id = 0 WHERE id = $adopted");
is(sql("SELECT mf_adopt('$adopted_number')"), $adopted, 'until it is said of that, too');
wait_for("SELECT payment_error IS NULL FROM mf_invoice WHERE id = $adopted");
like(($node->psql($db, "SELECT mf_adopt('$adopted_number')"))[2], qr/is that of invoice $adopted already/, 'once');

# A stranger's of the same number, and of the same value
point_to($theirs);
like(($node->psql($db, "SELECT mf_adopt('$ahmads_number')"))[2], qr/invoice $ahmads_number at @{[ $theirs->url ]} is not that of invoice $ahmads.*Its CustomerName, value or CustomerReference differs/s, 'and not of another customer');
sql('CREATE ROLE clerk IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
like(($node->psql($db, "SET ROLE clerk; SELECT mf_adopt('$ahmads_number')"))[2], qr/permission denied for invoice $ahmads/, 'who may not change the row is not told what it says');
point_to($ours);
sql("SELECT mf_adopt('$_')") foreach $adopted_number, $unpaid_number;

#
# It was shown as ours, and waits for another one: meanwhile the account points elsewhere
#
{
	$ours->faults({ path => 'MakeRefund', never => JSON::PP::true });
	my $lost = sql("INSERT INTO mf_refund (invoice, value) VALUES ($moved, 1) RETURNING id");
	wait_for("SELECT status = 'review' FROM mf_refund WHERE id = $lost");
	sql(q{SELECT mf_pause('myfatoorah')});
	my $confirmed = sql("SELECT confirmed_from FROM mf_operation WHERE id = $lost");
	my $next = sql("INSERT INTO mf_refund (invoice, value) VALUES ($moved, 2) RETURNING id");
	sql("UPDATE mf_operation SET lookups = 1, confirmed_from = $confirmed WHERE id = $next");
	point_to($theirs);
	sql(q{SELECT mf_resume('myfatoorah')});
	wait_for("SELECT last_error LIKE '%none of this row%' FROM mf_refund WHERE id = $next");
	is(changes($theirs), '0 0 0', 'what was shown as ours at one place is shown again at another');
	point_to($ours);
	sql('SELECT mf_resume()');
	wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $next");
}

#
# MyFatoorah says in other words that an invoice has no refund: no source says which these are
#
{
	$ours->faults({ path => 'GetRefundStatus', contains => $other_words_number, status => 400,
		body => '{"IsSuccess":false,"Message":"Invalid data","ValidationErrors":[{"Name":"Key","Error":"There are no refunds."}],"Data":null}' });
	my $first = sql("INSERT INTO mf_refund (invoice, value) VALUES ($other_words, 1) RETURNING id");
	wait_for("SELECT status = 'filed' FROM mf_refund WHERE id = $first");
	pass('a first refund needs no more than that the invoice is ours');
}

# A stranger's of the same customer and value, which another account has taken over at that address
$mf->setup_account($node, $db, $theirs, account => 'theirs');
point_to($ours);
my $strangers = sql("SELECT mf_adopt('$unpaid_number', 'theirs')");
point_to($theirs);
like(($node->psql($db, "SELECT mf_adopt('$unpaid_number')"))[2], qr/invoice $unpaid_number of MyFatoorah is that of invoice $strangers already/, 'nor one that has a row');
$mf->setup_account($node, $db, $ours, account => 'third');
like(($node->psql($db, "SELECT mf_adopt('$ahmads_number', 'third')"))[2], qr/invoice $ahmads_number of MyFatoorah is that of invoice $ahmads already/, 'an invoice is where it was found, wherever its account points now');
like(($node->psql($db, "SELECT mf_resolve($ahmads, 'review', 'a mistake')"))[2], qr/ERROR:  invoice $ahmads keeps its number/, 'what was taken over is not taken back, and sent');
point_to($ours);

# The account that has taken one over is gone: where it was found stays known, and the same number elsewhere is another invoice
my $dropped = sql("SELECT mf_adopt('$dropped_number', 'theirs')");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $dropped AND base_value IS NOT NULL", 'unpaid');
sql('DROP SERVER theirs CASCADE');
sql("INSERT INTO mf_archive_key (id, created_at, account, reference, invoice_id, paid, taken_over_from) VALUES (-1, '2001-01-01', 'third', 'archived.1', $dropped_number, true, '" . $theirs->url . "')");
like(sql("SELECT mf_adopt('$dropped_number', 'third')"), qr/^\d+$/, 'that of a dropped account keeps nobody from the same number at another address');

$node->stop;
done_testing();
