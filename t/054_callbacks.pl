# Callbacks cost little, though every customer has an address of one and anybody can invent a PaymentId: they are one event for
# an invoice, cause few questions, and leave places for webhooks. A secret that cannot be read, or questions that MyFatoorah
# throttles, hold up no other webhook and no invoice.
use MyFatoorah::Test qw(sql);

use JSON::PP ();
use Time::HiRes qw(time);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 0
	myfatoorah.callback_rate_limit = 600
	max_files_per_process = 400");
my ($port, $latin_port) = map { $web->free_port } 1, 2;
my $url = "http://127.0.0.1:$port";
my $db = 'postgres';

$mf->setup_account($node, $db, $sandbox);
$web->give_secret($node, $db);
$web->open($node, $db, $port);
$web->wait_listening($node, $db, $port);

# An invoice that was sent
sub sent
{
	my ($name) = @_;

	$mf->insert($node, $db, $name);
	$mf->wait_status($node, $db, $name);
	my ($id, $invoice, $reference) = split /\|/, sql("SELECT id, invoice_id, reference FROM mf_invoice WHERE customer_reference = '$name'");
	return { id => $id, invoice => $invoice, reference => $reference, token => "$id-" . ($reference =~ s/~.*//r =~ /(.{20})$/)[0] };
}

sub call
{
	my ($row, $payment, $more) = @_;

	return "GET /callback/$row->{token}?paymentId=$payment&Id=$payment HTTP/1.1\r\nHost: x\r\n" . ($more // '') . "\r\n";
}

sub questions
{
	my ($row) = @_;

	return $sandbox->count(path => '/v2/GetPaymentStatus', $row ? (reference => $row->{reference}) : ());
}

# Statuses of signed webhooks that come in at once, by number
sub webhooks
{
	my ($first, $n) = @_;
	my @sockets = map { $web->connect($port) } 1 .. $n;
	my %seen;

	foreach my $i (0 .. $#sockets)
	{
		my ($body, $headers) = $web->v2(invoice => $first + $i);

		syswrite $sockets[$i], "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n"
		  . join('', map { "$_: $headers->{$_}\r\n" } keys %$headers) . "\r\n$body";
	}
	$seen{ $web->read_all($_, 20) =~ /^HTTP\/1\.1 (\d+)/ ? $1 : 'nothing' }++ foreach @sockets;
	return join ', ', map { "$_: $seen{$_}" } sort keys %seen;
}

# Of an invoice about which nothing is known yet: one connection waits, whatever number comes.
my $never = sent('never answered');
$sandbox->faults({ path => 'GetPaymentStatus', reference => $never->{reference}, never => JSON::PP::true, times => -1 });
my @crowd = map { $web->connect($port) } 1 .. 90;
syswrite $crowd[$_], call($never, 1000 + $_) foreach 0 .. $#crowd;
$mf->wait_for($node, $db, "SELECT sum(deliveries) >= 90 FROM mf_event WHERE source = 'callback'");
my $start = time;
my @waiting = @crowd;
# before the one that waits is answered, too
@waiting = grep { !IO::Select->new($_)->can_read(0.02) } @waiting while @waiting > 1 && time - $start < 4;
cmp_ok(scalar(@waiting), '<=', 1, 'of many who come back to one invoice one waits') or diag(time - $start);
is(webhooks(2000, 22), '200: 22', 'and webhooks come in');
is(sql("SELECT count(*), sum(deliveries) FROM mf_event WHERE source = 'callback'"), '1|90', 'they are one event, and counted');
@crowd = @waiting = ();

# Of many invoices: a part of the places at most; and a client that leaves gives its place back.
my @rows = map { sent("open $_") } 1 .. 40;
$sandbox->faults({ path => 'GetPaymentStatus', reference_prefix => 'open ', never => JSON::PP::true, times => -1 });
@crowd = map { $web->connect($port) } @rows;
syswrite $crowd[$_], call($rows[$_], 1) foreach 0 .. $#crowd;
$mf->wait_for($node, $db, "SELECT count(DISTINCT invoice) FROM mf_event WHERE source = 'callback'", 41);
$start = time;
@waiting = grep { !IO::Select->new($_)->can_read(0.02) } @crowd;
SKIP:
{
	skip 'too slow to tell', 2 if time - $start > 3;
	cmp_ok(scalar(@waiting), '<', 40, 'of many customers some are told at once that nothing is known yet');
	cmp_ok(scalar(@waiting), '>', 4, 'and others wait');
}
is(webhooks(3000, 60), '200: 60', 'webhooks have the other places');
my $last = sent('leaves');
$sandbox->faults({ path => 'GetPaymentStatus', reference => $last->{reference}, never => JSON::PP::true, times => -1 });
@crowd = @waiting = ();
$mf->wait_for($node, $db, 'SELECT connections FROM mf_listener_status', 0);
my $socket = $web->connect($port);
syswrite $socket, call($last, 1);
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE invoice = $last->{id}", 1);
$start = time;
close $socket;
$mf->wait_for($node, $db, 'SELECT connections FROM mf_listener_status', 0);
cmp_ok(time - $start, '<', 4, 'a client that leaves does not keep its place');
# Nobody knows whether the customer of a row that is deleted meanwhile has paid.
my $deleted = sent('deleted');
$sandbox->faults({ path => 'GetPaymentStatus', reference => $deleted->{reference}, never => JSON::PP::true, times => -1 });
$socket = $web->connect($port);
syswrite $socket, call($deleted, 1, "Connection: close\r\n");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE invoice = $deleted->{id}", 1);
sql("DELETE FROM mf_invoice WHERE id = $deleted->{id}");
my $page = $web->read_all($socket, 60);
like($page, qr/not confirmed|confirmed yet/i, 'the customer of a deleted row is told that nothing is known yet');
unlike($page, qr/not completed/i, 'and not that he has not paid');
# Why the payments of those who wait cannot be read is in the log.
my $unread = sent('unread');
$sandbox->faults({ path => 'GetPaymentStatus', reference => $unread->{reference}, never => JSON::PP::true, times => -1 });
$socket = $web->connect($port);
syswrite $socket, call($unread, 1, "Connection: close\r\n");
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE invoice = $unread->{id}", 1);
my $session = $mf->session($node, $db);
$session->query_safe('BEGIN; LOCK TABLE mf_invoice');
like($web->read_all($socket, 60), qr/confirmed yet/i, 'nor is more known to a customer whose payment cannot be read');
like(slurp_file($node->logfile), qr/listener_failed: canceling statement due to lock timeout/, 'the log says why');
$session->query_safe('ROLLBACK');
$sandbox->clear_faults;
sql("SELECT mf_resume('myfatoorah')");

# However often it is called, an invoice is asked about now and then only.
foreach my $paid (1, 0)
{
	my $what = $paid ? 'paid' : 'not paid';
	my $row = sent($what);

	$sandbox->invoice($row->{invoice}, 'pay') if $paid;
	$web->get("$url/callback/$row->{token}?paymentId=1");
	my $before = questions($row);
	my ($answered, $n) = (0, 1);
	$start = time;
	foreach (1 .. 4)
	{
		my @many = map { $web->connect($port) } 1 .. 60;

		syswrite $_, call($row, ++$n, "Connection: close\r\n") foreach @many;
		$answered += grep { $web->read_all($_, 20) =~ m{^HTTP/1\.1 200 } } @many;
	}
	my $took = time - $start;
	is($answered, 240, "$what: each of many callbacks is answered");
	is(sql("SELECT count(*), max(deliveries) FROM mf_event WHERE invoice = $row->{id}"), '1|241', "$what: they are one event, with a count");
	cmp_ok(questions($row) - $before, '<=', 4 + $took, "$what: and ask little") or diag("$took s");
}

# A second try to pay is news: it is asked about although the first had its answer.
my $row = sent('second try');
$sandbox->invoice($row->{invoice}, 'fail');
my ($first) = map { $_->{payment_id} } @{ $sandbox->invoice($row->{invoice})->{transactions} };
like($web->get("$url/callback/$row->{token}?paymentId=$first")->{content}, qr/not completed/, 'a first try has failed');
$sandbox->invoice($row->{invoice}, 'pay');
my ($second) = map { $_->{payment_id} } grep { $_->{payment_id} ne $first } @{ $sandbox->invoice($row->{invoice})->{transactions} };
$web->get("$url/callback/$row->{token}?paymentId=$second");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $row->{id}", 'paid');
is(sql("SELECT count(*), min(payment_id) FROM mf_event WHERE invoice = $row->{id}"), "1|$second", 'a second one is asked about, and the event tells of it');

# Who comes back to an archived invoice is answered at once, and seen.
foreach my $paid (1, 0)
{
	my $row = sent($paid ? 'archived, paid' : 'archived, expired');

	$sandbox->invoice($row->{invoice}, 'pay') if $paid;
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01', payment_status = '" . ($paid ? 'paid' : 'expired') . "' WHERE id = $row->{id};
		DELETE FROM mf_inquiry WHERE invoice = $row->{id}");
	is(sql(q{SELECT mf_archive('2020-02-01')}), 1, 'an invoice is archived');
	my $before = time;
	my $answer = $web->get("$url/callback/$row->{token}?paymentId=777$paid");
	is($answer->{status}, 200, 'who comes back is answered');
	like($answer->{content}, $paid ? qr/confirmed/ : qr/not (?:been )?confirmed yet/i, 'by what is known');
	cmp_ok(time - $before, '<', 4, 'at once');
	is(sql("SELECT concat_ws('|', source, payment_id, next_step) FROM mf_unmatched WHERE archived = $row->{id}"),
		"callback|777$paid|To have MyFatoorah asked, and what has come in booked: SELECT mf_unarchive(ARRAY[$row->{id}])", 'and mf_unmatched shows it');
	is($web->get("$url/callback/" . ($row->{token} =~ s/.$/!/r))->{status}, 404, 'not with another token');
	sql("SELECT mf_unarchive(ARRAY[$row->{id}])");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE invoice = $row->{id} AND answered_at IS NULL", 0);
	is(sql("SELECT count(*) FROM mf_unmatched WHERE archived = $row->{id}"), 0, 'which brings it back');
	# a month that is gone
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01', payment_status = 'paid' WHERE id = $row->{id}; DELETE FROM mf_inquiry WHERE invoice = $row->{id}");
	sql(q{SELECT mf_archive('2020-02-01')});
	sql('DROP TABLE mf_invoice_archive_2020_01');
	like($web->get("$url/callback/$row->{token}?paymentId=778$paid")->{content}, qr/not (?:been )?confirmed yet/i, 'of a month that is gone');
}

# What strangers ask for has a budget; what a signed webhook asks for does not wait behind it.
sub set
{
	my ($name, $value) = @_;

	$node->append_conf('postgresql.conf', "myfatoorah.$name = '$value'");
	$node->reload;
	$mf->wait_for($node, $db, "SELECT current_setting('myfatoorah.$name')", $value);
	return;
}
sql('DELETE FROM mf_inquiry WHERE urgent; UPDATE mf_event SET due = NULL, answered_at = now()');
set(callback_rate_limit => 60);
$mf->wait_idle($node, $db);
$row = sent('signed');
$sandbox->invoice($row->{invoice}, 'pay');
my $before = questions();
$start = time;
sql(q{DO $$BEGIN PERFORM mf_callback('9' || n) FROM generate_series(100000, 100199) n; END$$});
my ($body, $headers) = $web->v2(invoice => $row->{invoice}, reference => $row->{reference});
is($web->post("$url/webhook", $body, $headers)->{status}, 200, 'a webhook beside two hundred invented PaymentIds');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $row->{id}", 'paid');
$mf->wait_for($node, $db, "SELECT clock_timestamp() > to_timestamp($start + 3)");
my $asked = questions() - $before;
cmp_ok($asked, '<=', 13 + 2 * (time - $start), 'these are asked about within the budget') or diag($asked);
cmp_ok($asked, '>', 5, 'but they are');
sql("UPDATE mf_event SET due = NULL WHERE source = 'callback'");

# Questions that are too many do not stop what is sent.
$row = sent('throttled');
$sandbox->faults({ path => 'GetPaymentStatus', reference => $row->{reference}, status => 429, headers => { 'Retry-After' => '600' }, times => 1 });
sql("SELECT mf_refresh($row->{id})");
$sandbox->wait_count({ path => '/v2/GetPaymentStatus', reference => $row->{reference} }, 1) or die "nothing is asked\n";
my $seconds = $mf->seconds(sub { sent('goes out') });
cmp_ok($seconds, '<', 30, 'a question is one too many, and an invoice goes out');
ok($node->wait_for_log(qr/MyFatoorah throttles inquiries about payments of account "myfatoorah"/), 'the log tells of it');
$before = questions();
sql("SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'goes out'");
sent('goes out, too');
is(questions(), $before, 'while nothing is asked');
sql("SELECT mf_resume('myfatoorah')");
$mf->wait_for($node, $db, 'SELECT count(*) FROM mf_inquiry WHERE urgent AND due < now()', 0);
cmp_ok(questions(), '>', $before, 'until somebody says that it may go on');

# One secret cannot be read: the other one counts.
sub spoil
{
	my ($name, $mode) = @_;

	chmod $mode, $node->data_dir . "/$name" or die "$name: $!\n";
	return;
}
$mf->write_key($node, 'the-secret-before', 'before.webhook');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret_previous_file 'before.webhook')");
spoil('before.webhook', 0644);
is(webhooks(4000, 1), '200: 1', 'beside a secret that cannot be read the other one counts') for 1 .. 5;
($body, $headers) = $web->v2(invoice => 4100, secret => 'guessed');
is($web->post("$url/webhook", $body, $headers)->{status}, 401, 'and only that');
my $log = slurp_file($node->logfile);
is(scalar(() = $log =~ /could not read a webhook secret of account "myfatoorah"/g), 1, 'it is logged once');
spoil('myfatoorah.webhook', 0644);
my $offset = -s $node->logfile;
foreach (1 .. 10)
{
	is($web->post("$url/webhook", $body, $headers)->{status}, 503, 'where none can be read, MyFatoorah is asked to come again') if $_ == 1;
	$web->post("$url/webhook", $body, $headers);
	is($web->get("$url/health")->{status}, 200, 'it lives') if $_ == 1;
	$web->get("$url/health");
}
$log = slurp_file($node->logfile, $offset);
is(scalar(() = $log =~ /ERROR:.*can be used by others/g), 1, 'of which the log tells once, however often it is asked how it is');
spoil('myfatoorah.webhook', 0600);
is(webhooks(4200, 1), '200: 1', 'mended');

# An account's name in a database that is not in UTF-8
$node->safe_psql($db, q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';

	$mf->setup_account($node, 'latin', $sandbox, account => "caf\x{c3}\x{a9}", key_file => 'cafe.key');
	$node->safe_psql('latin', "ALTER USER MAPPING FOR PUBLIC SERVER \"caf\x{c3}\x{a9}\" OPTIONS (ADD webhook_secret_file 'myfatoorah.webhook')");
}
$web->open($node, 'latin', $latin_port);
$web->wait_listening($node, 'latin', $latin_port);
($body, $headers) = $web->v2(invoice => 5000);
is($web->post("http://127.0.0.1:$latin_port/webhook/caf%C3%A9", $body, $headers)->{status}, 200, 'an account with a name outside ASCII, in a database in LATIN1');
is($web->post("http://127.0.0.1:$latin_port/webhook/caf%E2%98%83", $body, $headers)->{status}, 404, 'and one that cannot be there');
is($node->safe_psql('latin', 'SELECT count(*) FROM mf_event'), 1, 'is stored');

$node->stop;
done_testing();
