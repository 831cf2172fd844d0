# Links that survive a lost answer: POST /v3/payments with an Idempotency-Key. What a probe has to prove first; 1,000 lost
# answers, after which 1,000 rows have their links and there are 1,000 invoices; and everything for which a request is not
# repeated: a window that has passed, a clock that was moved, a machine that was started anew, a row, key, host, country or
# option that has changed, a customer who is notified, a row that is called off. By the stand-in's ledger nobody is
# invoiced twice, and where MyFatoorah forgets its keys, that is noticed once and never done again.
use MyFatoorah::Test qw(sql);
use MyFatoorah::History;
use Digest::SHA qw(sha256_hex);

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $v3 = '/v3/payments';

my $sandbox = MyFatoorah::Sandbox->new(key => 'key-of-one-merchant', args => [ '--key', 'new-key-of-one-merchant=KWT' ]);
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.max_in_flight = 1000");

$mf->setup_account($node, $db, $sandbox, options => { timeout => '1s', connect_timeout => '500ms', max_in_flight => 100 });
$mf->wait_worker($node, $db);

sub wait_row
{
	my ($name, $columns, $expected) = @_;

	return $mf->wait_for($node, $db, "SELECT $columns FROM mf_invoice WHERE customer_reference = '$name'", $expected);
}

sub insert
{
	my ($name, %columns) = @_;

	return sql('INSERT INTO mf_invoice ' . $mf->invoice($name, %columns) . ' RETURNING id');
}

# The invoices of that row at the stand-in
sub made
{
	my ($name) = @_;

	return grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } $sandbox->remote;
}

# The requests that make an invoice of that row, on both paths
sub requests
{
	my ($name) = @_;

	return grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } map { $sandbox->posts($_) } '/v2/SendPayment', $v3;
}

# An account of its own, like the first
sub account
{
	my ($name, %options) = @_;

	$mf->setup_account($node, $db, $sandbox, account => $name, options => { timeout => '1s', connect_timeout => '500ms', %options });
	return;
}

#
# Before a probe
#
insert('before');
wait_row('before', 'status', 'sent');
is($sandbox->count(path => $v3), 0, 'auto sends by SendPayment as long as nothing is proved');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'api'}), '0', 'and mf_check() says nothing of it');

#
# The probe
#
my $remote = $sandbox->remote;
is(sql(q{SELECT string_agg(step || ' ' || ok, ', ') FROM mf_probe_idempotency(value => 0.1)}),
	'first request true, same request again true, look-up by reference true, clock true, result true', 'a probe proves it');
is($sandbox->count(path => $v3), 2, 'by two requests');
is(scalar($sandbox->remote) - $remote, 1, 'and leaves one invoice');
my ($probe) = grep { ($_->{reference} // '') =~ /^mf-probe\./ } $sandbox->remote;
is($probe->{value} + 0, 0.1, '... of the value that was named');
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'api' AND ok}), qr/^Invoices go by POST .* proved at /, 'mf_check() tells when');

account('probed-elsewhere', country => 'BHR');
like(($node->psql($db, q{SELECT mf_probe_idempotency('probed-elsewhere')}))[2], qr/MyFatoorah keeps no Idempotency-Key in country BHR/,
	'no probe in another country');
like(($node->psql($db, q{SELECT mf_probe_idempotency(value => 0)}))[2], qr/invoice_value must be greater than zero/, 'nor of nothing');
my $before_probe = () = $sandbox->ledger(path => '/v3/payments');
like(($node->psql($db, q{BEGIN READ ONLY; SELECT mf_probe_idempotency()}))[2], qr/cannot execute mf_probe_idempotency\(\) in a read-only transaction/, 'nor where its proof cannot be kept');
is(scalar(() = $sandbox->ledger(path => '/v3/payments')), $before_probe, 'and no invoice is made there');

#
# Rows
#
insert('plain');
wait_row('plain', 'status', 'sent');
my ($post) = grep { ($_->{reference} // '') =~ /^plain\./ } $sandbox->ledger(path => $v3);
my $reference = sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'plain'});
my %header = map { lc $_->[0] => $_->[1] } @{ $post->{headers} };
is($header{'idempotency-key'}, $reference, 'a row goes by POST /v3/payments with its reference as key');
is($sandbox->{json}->decode($post->{body})->{Order}{ExternalIdentifier}, $reference, 'and as ExternalIdentifier');
is(sql(qq{SELECT invoice_url IS NOT NULL, (SELECT api FROM mf_attempt a WHERE a.invoice = i.id) FROM mf_invoice i WHERE reference = '$reference'}),
	't|v3', 'it has its link, and the attempt says how it went');

insert('mailed', notification_option => q{'EML'}, customer_email => q{'a@example.com'});
insert('with items', invoice_items => q{'[{"ItemName": "rent", "Quantity": 1, "UnitPrice": 1}]'}, invoice_value => 1);
insert('expiring', expiry_date => q{'2099-12-31 23:59:59+03'});
wait_row($_, 'status', 'sent') foreach 'mailed', 'with items', 'expiring';
my %body = map { ($_->{reference} =~ s/\..*//r) => $_->{body} } grep { defined $_->{reference} } $sandbox->ledger(path => $v3);
like($body{mailed}, qr/"NotificationOption":"EMAIL"/, 'one that is mailed goes there, too');
is($body{'with items'}, undef, 'one with items does not');
like($body{expiring}, qr/"PaymentExpiry":"2099-12-31T20:59:59Z"/, 'PaymentExpiry is UTC');
is(sql(q{SELECT status FROM mf_invoice WHERE customer_reference = 'expiring'}), 'sent', '... and accepted');

foreach ([ '{}', 'the row would be sent by POST /v3/payments' ],
	[ '{"user_defined_field": "x"}', 'the row would be sent by SendPayment, because POST /v3/payments cannot carry its user_defined_field' ])
{
	my ($columns, $expected) = @$_;
	my (undef, undef, $error) = $node->psql($db, qq{SELECT * FROM mf_validate(jsonb_populate_record(NULL::mf_invoice,
		'{"customer_name": "x", "invoice_value": 1}'::jsonb || '$columns'))});

	like($error, qr/NOTICE:  \Q$expected\E$/m, "mf_validate(): $expected");
}

# A reference that no header can have
insert('two words');
wait_row('two words', 'status', 'sent');
($post) = grep { ($_->{reference} // '') =~ /^two words\./ } $sandbox->ledger(path => $v3);
%header = map { lc $_->[0] => $_->[1] } @{ $post->{headers} };
is($header{'idempotency-key'}, sha256_hex($post->{reference}), 'a reference with blanks has its checksum for a key');

#
# Lost answers: rows are made unknown, and what happens before the first look-up decides what becomes of them.
#
sub make_unknown
{
	my ($name, %columns) = @_;

	$sandbox->faults({ path => $v3, reference_prefix => "$name.", create => $true, times => 1, cut_answer_at => 0 });
	my $id = insert($name, %columns);
	wait_row($name, 'status || attempts', 'unknown1');
	sql("UPDATE mf_queue SET due = 'infinity', rank = 'infinity' WHERE invoice = $id");
	return $id;
}

sub look_up
{
	my ($id) = @_;

	sql(qq{UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $id; SELECT mf_resume(account) FROM mf_invoice WHERE id = $id});
	return;
}

# The stand-in's link of the row's invoice is the row's
sub has_link
{
	my ($name) = @_;
	my ($invoice) = made($name);

	return sql("SELECT invoice_url FROM mf_invoice WHERE customer_reference = '$name'") eq $sandbox->control('GET', "invoices/$invoice->{id}")->{url};
}

my $id = make_unknown('lost');
look_up($id);
wait_row('lost', 'status || attempts', 'sent2');
ok(has_link('lost'), 'a lost answer: the request is repeated, and the row has the link');
is(scalar(made('lost')), 1, '... of the one invoice that there is');
my @same = grep { ($_->{reference} // '') =~ /^lost\./ } $sandbox->ledger(path => $v3);
is("@{[map { $_->{body} } @same]}", "$same[0]{body} $same[0]{body}", '... by the same request, byte for byte');
is(sql("SELECT string_agg(concat_ws(' ', attempt, outcome, repeats, found_at IS NOT NULL), ', ' ORDER BY attempt) FROM mf_attempt WHERE invoice = $id"),
	'1 unknown t, 2 accepted 1 f', '... which is an attempt of its own, after a look-up');
is(sql("SELECT string_agg(from_status || '>' || to_status, ' ' ORDER BY changed_at) FROM mf_history WHERE invoice = $id AND from_status <> ''"),
	'queued>sending sending>unknown unknown>sending sending>sent', '... and the history says so');

# not repeated: what is changed between, and how
my %unrepeated = (
	'window passed' => sub { sql("UPDATE mf_attempt SET started_at = started_at - interval '241 min', boot_clock = boot_clock - 241 * 60000000::bigint WHERE invoice = $_[0]") },
	'clock put back' => sub { sql("UPDATE mf_attempt SET started_at = started_at + interval '2 min' WHERE invoice = $_[0]") },
	'clock put forward' => sub { sql("UPDATE mf_attempt SET started_at = started_at - interval '2 min' WHERE invoice = $_[0]") },
	'machine started anew' => sub { sql("UPDATE mf_attempt SET boot = boot + 1 WHERE invoice = $_[0]") },
	'no clock known' => sub { sql("UPDATE mf_attempt SET boot = NULL, boot_clock = NULL WHERE invoice = $_[0]") },
	'row changed' => sub { sql("SET session_replication_role = replica; UPDATE mf_invoice SET customer_name = 'another' WHERE id = $_[0]") },
	'key changed' => sub { $mf->write_key($node, 'new-key-of-one-merchant', 'myfatoorah.key') },
	# where no proof is asked for, which goes with a key
	'other key by v3' => sub { $mf->write_key($node, 'new-key-of-one-merchant', 'myfatoorah.key'); sql(q{ALTER SERVER myfatoorah OPTIONS (ADD api 'v3')}) },
	'option changed' => sub { sql(q{ALTER SERVER myfatoorah OPTIONS (ADD api 'v2')}) },
	'country changed' => sub { sql(q{ALTER SERVER myfatoorah OPTIONS (SET country 'BHR')}) },
	'called off' => sub { sql("SELECT mf_cancel($_[0], 'no longer wanted')") },
	'their clock is another' => sub { $sandbox->faults({ path => 'GetPaymentStatus', contains => 'their clock', headers => { Date => 'Thu, 01 Jan 2026 00:00:00 GMT' }, times => -1 }) });
my %undo = (
	'key changed' => sub { $mf->write_key($node, 'key-of-one-merchant', 'myfatoorah.key') },
	'other key by v3' => sub { $mf->write_key($node, 'key-of-one-merchant', 'myfatoorah.key'); sql(q{ALTER SERVER myfatoorah OPTIONS (DROP api)}) },
	'option changed' => sub { sql(q{ALTER SERVER myfatoorah OPTIONS (DROP api)}) },
	'country changed' => sub { sql(q{ALTER SERVER myfatoorah OPTIONS (SET country 'KWT')}) });
foreach my $what (sort keys %unrepeated)
{
	$id = make_unknown($what);
	$unrepeated{$what}->($id);
	look_up($id);
	wait_row($what, q{status || attempts || (invoice_url IS NULL) || (last_error ~ 'link was lost|came too late')}, 'sent1truetrue');
	is(scalar(made($what)) . ' ' . scalar(requests($what)), '1 1', "$what: not repeated, adopted, and the row says that its link is lost");
	$undo{$what}->() if $undo{$what};
}
$sandbox->clear_faults;

# What is found was made by SendPayment, and MyFatoorah has never heard of the key.
$sandbox->faults({ path => $v3, reference_prefix => 'mixed.', times => 1, status => 429, body => '', headers => { 'Retry-After' => '60' } });
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'mixed.', create => $true, times => 1, cut_answer_at => 0 });
$id = insert('mixed');
wait_row('mixed', 'status || attempts', 'queued1');
sql(q{ALTER SERVER myfatoorah OPTIONS (ADD api 'v2'); SELECT mf_resume('myfatoorah')});
wait_row('mixed', 'status || attempts', 'unknown2');
sql(q{ALTER SERVER myfatoorah OPTIONS (DROP api)});
look_up($id);
wait_row('mixed', q{status || attempts || (last_error ~ 'link was lost')}, 'sent2true');
is(scalar(made('mixed')), 1, 'SendPayment made it after POST /v3/payments was throttled: not repeated');

# What was answered is not repeated, whatever became of its key.
my %answered = (
	'failed' => { status => 500, body => '' },
	'failed in words' => { status => 503, body => '<h1>Service Unavailable</h1>' },
	'failed and broke off' => { status => 500, body => 'x' x 1000, cut_answer_at => 500 },
	'timed out' => { status => 408, body => '' },
	'refused and made' => { status => 400, body => '{"IsSuccess":false,"Message":"no","ValidationErrors":null,"Data":null}' },
	'throttled and made' => { status => 429, body => '' },
	'a page of success' => { status => 200, body => '<h1>Welcome</h1>' },
	'success without a link' => { status => 201, body => '{"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":null}' });
my @answered;
foreach my $failed ('lose', 'forget', 'keep')
{
	my @now = map { "$_, $failed" } sort keys %answered;

	$sandbox->account(idempotency_failed => $failed);
	$sandbox->faults(map { { path => $v3, reference_prefix => "$_.", create => $true, times => 1, %{ $answered{ $_ =~ s/, \w+$//r } } } } @now);
	insert($_) foreach @now;
	push @answered, @now;
	$mf->wait_for($node, $db, qq{SELECT count(DISTINCT invoice) FROM mf_attempt WHERE outcome IN ('unknown', 'throttled') AND reference ~ ', (lose|forget|keep)[.]'}, scalar @answered);
}
$sandbox->account(idempotency_failed => 'forget');
foreach my $what (@answered)
{
	wait_row($what, 'status', 'sent');
	is(sql("SELECT (SELECT count(*) FROM mf_attempt a WHERE a.invoice = i.id AND a.outcome <> 'not_sent'), last_error ~ 'link was lost' FROM mf_invoice i WHERE customer_reference = '$what'") . ' ' . scalar(made($what)) . ' ' . scalar(requests($what)),
		'1|t 1 1', "$what: answered, so not repeated, and adopted without its link");
}

# A link that leads elsewhere than to a web page is handed to nobody; the invoice is there.
foreach ([ 'script', $v3, 'PaymentURL' ], [ 'script by V2', 'SendPayment', 'InvoiceURL', user_defined_field => q{'x'} ])
{
	my ($name, $path, $member, %columns) = @$_;

	$sandbox->faults({ path => $path, reference_prefix => "$name.", create => $true, times => 1, status => 200, fill => $true,
		body => qq({"IsSuccess":true,"Message":"","Data":{"InvoiceId":{{InvoiceId}},"$member":"javascript:alert(1)","PaymentCompleted":false,"CustomerReference":{{CustomerReference}}}}) });
	insert($name, %columns);
	wait_row($name, q{status || attempts || (invoice_url IS NULL) || (last_error ~ 'link was lost')}, 'sent1truetrue');
	is(scalar(made($name)) . ' ' . scalar(requests($name)), '1 1', "$name: not taken; the invoice is looked up, adopted, and not made again");
	like(sql("SELECT error FROM mf_attempt a JOIN mf_invoice i ON i.id = invoice WHERE customer_reference = '$name' AND a.invoice_url IS NULL AND a.invoice_id = i.invoice_id"),
		qr/the $member of the answer is not the URL of a web page, InvoiceId \d+$/, '... and its attempt says why');
}

# Customers who are notified have their link.
foreach my $option ('EML', 'SMS', 'ALL')
{
	$id = make_unknown("lost $option", notification_option => "'$option'", customer_email => q{'a@example.com'}, customer_mobile => q{'99999999'});
	look_up($id);
	wait_row("lost $option", 'status || attempts', 'sent1');
	is(scalar(requests("lost $option")), 1, "$option: not repeated");
}

# What is not found is looked up and sent again as ever, with another key.
$sandbox->faults({ path => $v3, reference_prefix => 'unmade.', create => $false, times => 1, cut_answer_at => 0 });
insert('unmade');
wait_row('unmade', q{status || attempts || (reference LIKE '%~2')}, 'sent2true');
is(scalar(made('unmade')), 1, 'not found: sent again under another reference');
is(sql(q{SELECT count(repeats) FROM mf_attempt a JOIN mf_invoice i ON i.id = invoice WHERE customer_reference = 'unmade'}), '0', '... which repeats nothing');

#
# Answers to the repeated request are lost, too.
#
sub lose_again
{
	my ($name, $times, %fault) = @_;

	$id = make_unknown($name);
	$sandbox->faults({ path => $v3, reference_prefix => "$name.", times => $times, %fault });
	look_up($id);
	return $id;
}

lose_again('lost twice', 1, cut_answer_at => 0);
lose_again('lost for good', -1, cut_answer_at => 0);
lose_again('refused again', 1, status => 400, body => '{"IsSuccess":false,"Message":"no","ValidationErrors":[{"Name":"Order","Error":"no"}],"Data":null}');
lose_again('throttled again', 1, status => 429, body => '');
wait_row('lost twice', 'status || attempts', 'sent3');
ok(has_link('lost twice'), 'the second answer is lost, too: repeated again');
wait_row('refused again', 'status || attempts', 'sent3');
ok(has_link('refused again'), 'a refusal of the repeated request does not reject the row');
wait_row('throttled again', 'status || attempts', 'sent3');
ok(has_link('throttled again'), 'nor does 429 queue it');
lose_again('failed again', 1, status => 500, body => '');
wait_row('failed again', q{status || attempts || (last_error ~ 'link was lost')}, 'sent2true');
is(scalar(made('failed again')), 1, 'an error after which nobody knows what the repeated request has made ends the repetitions');
wait_row('lost for good', q{status || attempts || (last_error ~ 'link was lost')}, 'sent4true');
is(scalar(made('lost for good')), 1, 'after three repetitions the link is given up, and there is one invoice');

#
# 1,000, whose requests are under way when the worker is killed
#
account('many', max_in_flight => 1000, timeout => '20s', country => 'KWT');
is(sql(q{SELECT ok FROM mf_probe_idempotency('many') WHERE step = 'result'}), 't', 'what is proved of an account holds for that account only');

sub lose_many
{
	my ($prefix) = @_;
	my $rows = sub { sql(qq{INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value)
		SELECT 'many', 'many', '$_[0] ' || n, 1 + n * 0.001 FROM generate_series(1, $_[1]) n}) };

	# how many may be in flight doubles with each answer
	$rows->("warm $prefix", 50);
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'warm $prefix %' AND status = 'sent'", 50);
	$sandbox->faults({ path => $v3, reference_prefix => "$prefix ", create => $true, times => 1000, never => $true });
	my $reached = $sandbox->count(path => $v3) + 1000;
	$rows->($prefix, 1000);
	$sandbox->wait_count({ path => $v3 }, $reached) or die "not all are under way\n";
	kill 'KILL', $mf->wait_worker($node, $db);
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix %' AND status = 'unknown'", 1000);
	return;
}

sub settle_many
{
	my ($prefix) = @_;

	sql(q{ALTER SERVER many OPTIONS (SET timeout '1s')});
	sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'reconcile'; SELECT mf_resume('many')});
	$mf->wait_for($node, $db, qq{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix %' AND status = 'sent'}, 1000);
	sql(q{ALTER SERVER many OPTIONS (SET timeout '20s')});
	return;
}

lose_many('many');
settle_many('many');
my %link = map { $_->{id} => $_->{url} } grep { ($_->{reference} // '') =~ /^many / } @{ $sandbox->control('GET', 'invoices?limit=100000')->{invoices} };
is(scalar(keys %link), 1000, '1,000 lost answers: 1,000 invoices');
my %row = map { split /\|/ } split /\n/, sql(q{SELECT invoice_id, invoice_url FROM mf_invoice WHERE customer_reference LIKE 'many %'});
is_deeply(\%row, \%link, '... and 1,000 rows with their links');

# The same with the window passed: what was lost is found, and the rows say that their links are lost.
lose_many('late');
sql(q{UPDATE mf_attempt SET started_at = started_at - interval '241 min', boot_clock = boot_clock - 241 * 60000000::bigint
	WHERE invoice IN (SELECT id FROM mf_invoice WHERE customer_reference LIKE 'late %')});
settle_many('late');
is(sql(q{SELECT count(*) FROM mf_invoice i WHERE customer_reference LIKE 'late %' AND invoice_url IS NULL AND last_error ~ 'link was lost'
	AND NOT EXISTS (SELECT FROM mf_attempt a WHERE a.invoice = i.id AND a.repeats IS NOT NULL)}), '1000',
	'the same, four hours later: 1,000 rows say that their links are lost');
is(scalar(grep { ($_->{reference} // '') =~ /^late / } $sandbox->remote), 1000, '... and none is there twice');

#
# kill -9
#
$id = make_unknown('killed');
$sandbox->faults({ path => $v3, reference_prefix => 'killed.', times => 1, delay_ms => 20_000 });
my $before = $sandbox->count(path => $v3);
look_up($id);
$sandbox->wait_count({ path => $v3 }, $before + 1);
my $killed = $mf->wait_worker($node, $db);
kill 'KILL', $killed;
$mf->wait_worker($node, $db, not => $killed);
wait_row('killed', 'status || attempts', 'sent3');
ok(has_link('killed'), 'the worker is killed while it repeats the request: repeated once more');
is(scalar(made('killed')), 1, '... and there is one invoice');

#
# With the option v3, but without a proof: links are asked for again, but "not found" proves nothing.
#
sql('DELETE FROM mf_api_proof');
sql(q{ALTER SERVER myfatoorah OPTIONS (ADD api 'v3')});
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'api' AND NOT ok}), qr/it is not proved/, 'v3 without a probe: mf_check() warns');
$id = make_unknown('unproved');
look_up($id);
wait_row('unproved', 'status || attempts', 'sent2');
ok(has_link('unproved'), 'v3 without a probe: what is found has its link');
$sandbox->faults({ path => $v3, reference_prefix => 'unproved unmade.', create => $false, times => 1, cut_answer_at => 0 });
insert('unproved unmade');
wait_row('unproved unmade', q{status || attempts || (last_error ~ 'mf_probe_idempotency')}, 'review1true');
is(scalar(made('unproved unmade')), 0, 'what is not found needs a person');
sql(q{ALTER SERVER myfatoorah OPTIONS (DROP api)});

#
# MyFatoorah does not keep its keys, whatever the probe has shown: noticed once, and never done again.
#
is(sql(q{SELECT ok FROM mf_probe_idempotency() WHERE step = 'result'}), 't', 'proved once more');
$id = make_unknown('forgotten');
my $next = make_unknown('forgotten next');
$sandbox->account(idempotency => 0);
look_up($id);
wait_row('forgotten', 'status || attempts || duplicate_suspected', 'sent2true');
is(scalar(made('forgotten')), 2, 'the key was forgotten: there are two');
ok((grep { $_->{id} eq sql("SELECT invoice_id FROM mf_invoice WHERE id = $id") && sql("SELECT invoice_url FROM mf_invoice WHERE id = $id") eq $sandbox->control('GET', "invoices/$_->{id}")->{url} } made('forgotten')),
	'... the row has the one with the link');
like(sql("SELECT what_happened FROM mf_review WHERE id = $id"), qr/^invoice \d+ with this row's reference exists too; invoice \d+ is the one in the row/, '... and mf_review tells of the other');
is(sql(q{SELECT given FROM mf_api_proof WHERE account = 'myfatoorah'}), 'f', '... and what was proved is refuted');
like(slurp_file($node->logfile), qr/\[replay_made_another\]|replay_made_another/, '... and the log says so');
look_up($next);
wait_row('forgotten next', q{status || attempts || (last_error ~ 'link was lost')}, 'sent1true');
is(scalar(made('forgotten next')), 1, 'the next one is not repeated');
insert('afterwards');
wait_row('afterwards', 'status', 'sent');
is(sql(q{SELECT coalesce(api, 'v2') FROM mf_attempt a JOIN mf_invoice i ON i.id = invoice WHERE customer_reference = 'afterwards'}), 'v2', 'and rows go by SendPayment');
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'api'}), qr/was refuted at/, 'as mf_check() tells');
is(sql(q{SELECT string_agg(step || ' ' || ok, ', ') FROM mf_probe_idempotency()}), 'first request true, same request again false, result false', 'a probe sees it, too');

# the test has put back when an attempt began, changed the bytes of a row, and made MyFatoorah forget
is_deeply([ grep { !/clock put back|forgotten|mf-probe/ } MyFatoorah::History->of($node, $db, $sandbox)->violations(settled => 1) ], [],
	'the history has no contradictions');
$node->stop;
done_testing();
