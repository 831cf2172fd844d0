# A look-up that finds nothing is proof only where the invoice was sent to, with the key that it was sent with. Meanwhile
# the row is given to another account, a key or an address is changed, a role gets a key of its own: each customer has one
# invoice all the same, by the ledgers of all the hosts.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# Two hosts; on the first there are two merchants, of whom one has two keys.
my $here = MyFatoorah::Sandbox->new(key => 'key-of-one-merchant', args => [ '--key', 'key-of-another-merchant=BHR', '--key', 'new-key-of-one-merchant=KWT' ]);
my $there = MyFatoorah::Sandbox->new(key => 'key-of-one-merchant');
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '20ms'");

# wait_row(name, columns, expected): waits until these expressions give that for the row of that name
sub wait_row
{
	my ($name, $columns, $expected) = @_;

	return $mf->wait_for($node, $db, "SELECT $columns FROM mf_invoice WHERE customer_reference = '$name'", $expected);
}

# An account with a key file of its own
sub account
{
	my ($name, $sandbox) = @_;

	$mf->write_key($node, $sandbox->key, "$name.key");
	sql(sprintf q{CREATE SERVER "%1$s" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url '%2$s', timeout '2s', connect_timeout '2s', own_mappings 'on');
		CREATE USER MAPPING FOR PUBLIC SERVER "%1$s" OPTIONS (api_key_file '%1$s.key')}, $name, $sandbox->url);
	sql(qq{GRANT USAGE ON FOREIGN SERVER "$name" TO clerk});
	return;
}

sub insert
{
	my ($name, %columns) = @_;

	return sql('SET ROLE clerk; INSERT INTO mf_invoice ' . $mf->invoice($name, account => "'$name'", %columns) . ' RETURNING id');
}

# The next request for that row makes the invoice and is answered so
sub answer
{
	my ($name, %answer) = @_;

	$here->faults({ path => 'SendPayment', reference_prefix => "$name.", create => $true, times => 1, %answer });
	return;
}

# The SQL state and message of a statement of the clerk
sub failure
{
	my ($statement) = @_;
	my (undef, undef, $error) = $node->psql($db, "\\set VERBOSITY verbose\nSET ROLE clerk;\n$statement");

	return $error =~ s/.*ERROR:  //sr =~ s/\n(?:LOCATION|CONTEXT).*//sr;
}

# How many invoices all hosts have for that row
sub made
{
	my ($name) = @_;

	return scalar grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } map { $_->remote } $here, $there;
}

sub other_key { return $mf->write_key($node, 'key-of-another-merchant', "$_[0].key"); }
sub same_key { return $mf->write_key($node, 'key-of-one-merchant', "$_[0].key"); }
sub move_host { return sql(qq{ALTER SERVER "$_[0]" OPTIONS (SET base_url '} . $there->url . q{')}); }

$mf->setup_account($node, $db, $here);
sql('CREATE ROLE clerk IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk');
$mf->wait_worker($node, $db);

#
# What is written of where it went
#
account($_, $here) for 'one', 'two';
insert($_) for 'one', 'two';
wait_row($_, 'status', 'sent') for 'one', 'two';
is(sql('SELECT count(*), count(sent_to), count(DISTINCT sent_to) FROM mf_attempt'), '2|2|1', 'the same address and key are the same place');
other_key('two');
insert('two', customer_reference => "'two again'");
wait_row('two again', 'status', 'sent');
is(sql('SELECT count(DISTINCT sent_to) FROM mf_attempt'), '2', 'another key is another place');
sql(q{CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER slow AFTER UPDATE ON mf_queue FOR EACH STATEMENT EXECUTE FUNCTION note()});
insert('one', customer_reference => "'by SQL'");
wait_row('by SQL', 'status', 'sent');
is(sql(q{SELECT count(DISTINCT sent_to) FROM mf_attempt JOIN mf_invoice i ON i.id = invoice WHERE customer_reference IN ('one', 'by SQL')}), '1',
	'it is written by SQL too');
sql('DROP TRIGGER slow ON mf_queue');

#
# The row is given to another account, after an answer that looked like a refusal.
#
my %refused = ('moved-429' => { status => 429, headers => { 'Retry-After' => '60' } }, 'moved-401' => { status => 401 }, 'moved-302' => { status => 302 });
account('elsewhere', $there);
foreach my $name (sort keys %refused)
{
	account($name, $here);
	answer($name, body => '', %{ $refused{$name} });
	my $id = insert($name);
	wait_row($name, q{status || attempts}, 'queued1');
	is(failure("UPDATE mf_invoice SET account = 'elsewhere' WHERE id = $id"),
		"55000: invoice $id cannot be moved to another account\nDETAIL:  It may have been made under this one already, by a request or by another server.\n"
		  . "HINT:  Cancel it with mf_cancel($id), and insert a new one if the MyFatoorah portal does not show it.",
		"$name: not while the account may have made it");
	is(failure("UPDATE mf_invoice SET source_info = 'x' WHERE id = $id"), '', "$name: other columns can be changed");
	sql("SELECT mf_resume('$name')");
	wait_row($name, q{status || attempts || (account = customer_reference)}, 'sent1true');
	is(made($name), 1, "$name: one invoice");
}

# What was not tried, or refused for sure, may go elsewhere.
account('free', $here);
sql(q{SELECT mf_pause('free'), mf_pause('one')});
my $id = insert('free');
is(failure("UPDATE mf_invoice SET account = 'one' WHERE id = $id"), '', 'a row that was not tried can be given to another account');
is(failure("UPDATE mf_invoice SET account = 'free' WHERE id = $id"), '', 'and back');
$here->faults({ path => 'SendPayment', reference_prefix => 'free.', shape => 1, times => 1 });
sql(q{SELECT mf_resume('free'), mf_resume('one')});
wait_row('free', 'status', 'rejected');
is(failure("UPDATE mf_invoice SET account = 'one' WHERE id = $id; SELECT mf_retry($id)"), '', 'so can one that was rejected');
wait_row('free', q{status || account}, 'sentone');
is(made('free'), 1, 'it is made once');

# What another server may have sent may not.
account('copied', $here);
sql(q{SELECT mf_pause('copied')});
$id = insert('copied');
sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $id");
like(failure("UPDATE mf_invoice SET account = 'one' WHERE id = $id"), qr/^55000: invoice $id cannot be moved to another account/,
	'one that another server may have sent cannot be moved to another account');
sql(q{SELECT mf_resume('copied')});
wait_row('copied', 'status', 'sent');

#
# The address or the key is changed while a row is queued after a refusal.
#
my %change = (
	key => \&other_key,
	role => sub { sql(qq{CREATE USER MAPPING FOR clerk SERVER "$_[0]" OPTIONS (api_key 'key-of-another-merchant')}) },
	address => \&move_host,
	environment => sub { sql(qq{ALTER SERVER "$_[0]" OPTIONS (ADD environment 'live')}); move_host($_[0]) });
foreach my $what (sort keys %change)
{
	my $name = "refused-$what";

	account($name, $here);
	answer($name, status => 401, body => '');
	$id = insert($name);
	$mf->wait_for($node, $db, "SELECT paused_at IS NOT NULL FROM mf_account WHERE account = '$name'");
	$change{$what}->($name);
	sql("SELECT mf_resume('$name')");
	wait_row($name, q{status IN ('review', 'sent')}, 't');
	is(sql("SELECT status, attempts FROM mf_invoice WHERE id = $id"), 'review|1', "401, then another $what: a person decides");
	like(sql("SELECT what_happened || ' -- ' || next_step FROM mf_review WHERE id = $id"),
		qr/MyFatoorah does not know it, but was asked with another address or key than it was sent with -- .* portal of the account that they were sent with/,
		"401, then another $what: mf_review says why");
	is(made($name), 1, "401, then another $what: one invoice");
}

#
# The same while the outcome is unknown: before the first look-up, which comes when the request cannot be answered any more.
#
sub make_unknown
{
	my ($name, %answer) = @_;
	my @option = map { ($_ => delete $answer{$_}) } grep { exists $answer{$_} } 'notification_option', 'customer_email';

	account($name, $here);
	answer($name, cut_answer_at => 0, %answer);

	my $row = insert($name, @option);

	wait_row($name, q{status || attempts}, 'unknown1');
	sql(qq{UPDATE mf_queue SET due = 'infinity', rank = 'infinity' WHERE invoice = $row});
	return $row;
}

sub look_up
{
	my ($row) = @_;

	sql(qq{UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $row; SELECT mf_resume(account) FROM mf_invoice WHERE id = $row});
	return;
}

my %unknown = map { $_ => make_unknown("unknown-$_") } sort keys %change;
$change{$_}->("unknown-$_") foreach keys %change;
look_up($_) foreach values %unknown;
foreach my $what (sort keys %change)
{
	wait_row("unknown-$what", q{status IN ('review', 'sent')}, 't');
	is(sql("SELECT status, attempts FROM mf_invoice WHERE id = $unknown{$what}"), 'review|1', "unknown, then another $what: a person decides");
	like(sql("SELECT what_happened FROM mf_review WHERE id = $unknown{$what}"),
		qr/^5 look-ups by reference .* proved nothing, the last one: MyFatoorah does not know it, but was asked with another address or key/,
		"unknown, then another $what: mf_review says why");
	is(made("unknown-$what"), 1, "unknown, then another $what: one invoice");
}

# What is found counts, whoever was asked; and what was not counts again once the key is back.
$id = make_unknown('rotated');
$mf->write_key($node, 'new-key-of-one-merchant', 'rotated.key');
look_up($id);
wait_row('rotated', 'status || attempts', 'sent1');
is(made('rotated'), 1, 'a new key of the same merchant finds the invoice');

sub look_up_each
{
	sql("ALTER SYSTEM SET myfatoorah.lookup_delay = '$_[0]'");
	$node->reload;
	return;
}

$id = make_unknown('put-back', create => $false);
other_key('put-back');
look_up_each('10s');
look_up($id);
wait_row('put-back', q{coalesce(last_error, '') ~ '^outcome unknown; the answer to the look-up proves nothing \(1 of 5\): MyFatoorah does not know it'}, 't');
same_key('put-back');
look_up_each('20ms');
look_up($id);
wait_row('put-back', q{status || attempts}, 'sent2');
is(made('put-back'), 1, 'look-ups with the former key count again');

# Attempts of which it is not known where they went
$id = make_unknown('older', create => $false);
sql("UPDATE mf_attempt SET sent_to = NULL WHERE invoice = $id");
other_key('older');
look_up($id);
wait_row('older', q{status || attempts}, 'sent2');
is(made('older'), 1, 'an attempt without a place is looked up as ever');

#
# A server that was renamed is the same place, another one is not.
#
$id = make_unknown('renamed', create => $false);
sql(q{ALTER SERVER renamed RENAME TO "new name"});
look_up($id);
wait_row('renamed', q{status || attempts}, 'sent2');
is(made('renamed'), 1, 'by its new name: looked up, not found, sent again');

$id = make_unknown('dropped');
account('other', $there);
sql(q{DROP SERVER dropped CASCADE; SELECT mf_move_account('dropped', 'other')});
look_up($id);
wait_row('dropped', q{status || attempts || account}, 'review1other');
is(made('dropped'), 1, 'mf_move_account() to another: a person decides');

#
# References that were given up: nothing is known of them when the key is another.
#
foreach my $name ('watched', 'watched elsewhere')
{
	$id = make_unknown($name, create => $false);
	look_up($id);
	wait_row($name, q{status || attempts}, 'sent2');
	other_key($name) if $name ne 'watched';
	$mf->wait_for($node, $db, "SELECT coalesce(max(kind), 'none') FROM (SELECT kind FROM mf_queue WHERE invoice = $id) q", 'watch');
	foreach my $round (1 .. 4)
	{
		look_up($id);
		$mf->wait_for($node, $db, "SELECT count(*) FROM mf_queue WHERE invoice = $id AND kind = 'watch' AND lookups < $round", '0');
	}
	is(sql("SELECT duplicate_suspected, coalesce(duplicate_error, '') ~ 'another address or key' FROM mf_invoice WHERE id = $id"),
		$name eq 'watched' ? 'f|f' : 't|t', "$name: whether a second one has turned up is " . ($name eq 'watched' ? '' : 'not ') . 'known');
}

#
# The reference of a row is changed without the triggers, as a superuser, a replica or a restore may do.
#
sub change_reference
{
	my ($row, $to) = @_;
	my $was = sql("SELECT reference FROM mf_invoice WHERE id = $row");

	sql("SET session_replication_role = replica; UPDATE mf_invoice SET reference = $to WHERE id = $row");
	return $was;
}

my %rename = (other => q{customer_reference || '.changed'}, numbered => q{reference || '~2'});
foreach my $how (sort keys %rename)
{
	my $name = "unknown-$how";

	$id = make_unknown($name);
	my $was = change_reference($id, $rename{$how});
	look_up($id);
	wait_row($name, q{status || attempts}, 'sent1');
	is(made($name), 1, "unknown, then the reference is $how: one invoice");
	is(sql("SELECT reference FROM mf_invoice WHERE id = $id"), $was, "unknown, then the reference is $how: the row has again what was sent");
}

# What was made under none of them is sent again, under the next number of what was sent.
$id = make_unknown('nowhere', create => $false);
my $was = change_reference($id, q{'nowhere.changed'});
look_up($id);
wait_row('nowhere', q{status || attempts}, 'sent2');
is(made('nowhere'), 1, 'not found under any: made once');
is(sql("SELECT reference FROM mf_invoice WHERE id = $id"), "$was~2", 'not found under any: under the next number of the one that was sent');

# A crash while it is under way
account('crash', $here);
answer('crash', delay_ms => 60_000);
sql(q{ALTER SERVER crash OPTIONS (SET timeout '60s')});
$id = insert('crash');
$here->wait_count({ path => '/v2/SendPayment', reference_prefix => 'crash.' }, 1);
$was = change_reference($id, q{'crash.changed'});
$node->stop('immediate');
$node->start;
$mf->wait_worker($node, $db);
wait_row('crash', q{status || attempts}, 'unknown1');
look_up($id);
wait_row('crash', q{status || attempts}, 'sent1');
is(made('crash'), 1, 'a crash while the reference was another: one invoice');

# After an answer that looked like a refusal
foreach my $made ($true, $false)
{
	my $name = $made ? 'refused-made' : 'refused-not-made';

	account($name, $here);
	answer($name, create => $made, %{ $refused{'moved-429'} }, body => '');
	$id = insert($name);
	wait_row($name, q{status || attempts}, 'queued1');
	$was = change_reference($id, "'$name.changed'");
	sql("SELECT mf_resume('$name')");
	wait_row($name, q{status || attempts}, $made ? 'sent1' : 'sent2');
	is(made($name), 1, "$name: one invoice");
	is(sql("SELECT reference FROM mf_invoice WHERE id = $id"), $made ? $was : "$name.changed", "$name: the row has the reference that it has there");
}

# An answer named an invoice, which none of the look-ups finds.
account('told', $here);
answer('told', create => $false, status => 500, body => '{"IsSuccess":true,"Data":{"InvoiceId":77,"CustomerReference":{{CustomerReference}}}}', fill => $true);
$id = insert('told');
wait_row('told', q{status || attempts}, 'unknown1');
$was = change_reference($id, q{'told.changed'});
look_up($id);
wait_row('told', q{status || attempts}, 'review1');
is(sql("SELECT what_happened FROM mf_review WHERE id = $id"),
	qq{no invoice was found under references "$was", "told.changed" in 10 look-ups, but the answer named invoice 77}, 'what an answer had told counts under whatever reference');

# What a person has given up is not asked about any more, whatever the row says.
$id = make_unknown('resent', create => $false, notification_option => "'EML'", customer_email => "'a\@example.com'");
$was = sql("SELECT reference FROM mf_invoice WHERE id = $id");
look_up($id);
wait_row('resent', q{status || attempts}, 'review1');
$here->send_payment(CustomerReference => $was);
sql(qq{SELECT mf_pause('resent'), mf_resolve($id, 'resend', 'cancelled in the portal')});
is(change_reference($id, q{'resent.changed'}), "$was~2", 'a resend has a reference of its own');
sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $id; SELECT mf_resume('resent')");
look_up($id);
wait_row('resent', q{status || attempts || reference}, 'sent2resent.changed');
is(made('resent'), 2, 'what a person has given up is not found again');
wait_row('resent', 'duplicate_suspected', 't');
pass('but turns up when it is watched');

# A reference that changes all the time
$id = make_unknown('restless');
sql("INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, outcome)
	SELECT $id, 1 + n, 'restless.' || n, '', now(), now(), 'throttled' FROM generate_series(1, 20) n;
	SET session_replication_role = replica; UPDATE mf_invoice SET attempts = 21 WHERE id = $id");
sql("UPDATE mf_attempt SET reference = 'never.asked' WHERE invoice = $id AND attempt = 1");
look_up($id);
wait_row('restless', q{status || attempts}, 'review21');
is(sql("SELECT what_happened FROM mf_review WHERE id = $id"), 'it may have been sent under 22 references, too many to look each of them up',
	'a row with more references than can be looked up goes to a person');

# While the answer is awaited, and after the row was sent: it is paid all the same.
account('paid', $here);
answer('paid', delay_ms => -1);
sql(q{ALTER SERVER paid OPTIONS (SET timeout '60s')});
$id = insert('paid');
$here->wait_count({ path => '/v2/SendPayment', reference_prefix => 'paid.' }, 1);
$was = change_reference($id, q{'paid.changed'});
$here->clear_faults;
wait_row('paid', q{status || attempts || (invoice_url IS NOT NULL)}, 'sent1true');
is(sql("SELECT reference FROM mf_invoice WHERE id = $id"), $was, 'the row has the reference that was accepted');
change_reference($id, q{'paid.changed'});
$here->invoice(sql("SELECT invoice_id FROM mf_invoice WHERE id = $id"), 'pay');
sql("SELECT mf_refresh($id)");
wait_row('paid', q{payment_status || coalesce(payment_error, '')}, 'paid');
pass('an answer with the reference of an attempt counts');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
