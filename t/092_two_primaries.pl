# Two primaries: a standby is promoted while the old primary lives on and sends. What both can send is looked up late
# enough; what both have sent all the same is found, and a person is told which two invoices there are.
use MyFatoorah::Test qw(sql ask);
use MyFatoorah::Clock;

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $old = $mf->new_node('old', init => { allows_streaming => 1 },
	conf => "myfatoorah.lookup_delay = '1s'\nmyfatoorah.retry_delay = '50ms'");

$mf->setup_account($old, 'postgres', $sandbox);
MyFatoorah::Web->give_secret($old, 'postgres');
$mf->wait_worker($old, 'postgres');
$old->backup('backup');
my $new = ask(PostgreSQL::Test::Cluster->new('new'));
$new->init_from_backup($old, 'backup', has_streaming => 1);
$mf->write_key($new, $sandbox->key);
chmod 0600, $new->data_dir . '/myfatoorah.webhook';
$new->start;

# Has a server look at a row now, whatever is planned for it; and send it.
sub look_now
{
	my ($node, $name) = @_;

	$node->safe_psql('postgres', "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$name' AND status = 'queued';
		UPDATE mf_queue q SET due = now(), rank = now() FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = '$name'");
	$mf->insert($node, 'postgres', "wakes-for-$name-" . $node->name);
	return;
}

sub send_now
{
	my ($node, $name) = @_;

	look_now($node, $name);
	$mf->wait_status($node, 'postgres', $name);
	return $node->safe_psql('postgres', "SELECT invoice_id FROM mf_invoice WHERE customer_reference = '$name'");
}

$mf->insert($old, 'postgres', $_, send_at => "now() + interval '1 h'") for qw(planned rescheduled twin alone), 'by webhook', 'by callback', 'queued here', 'put off', 'asked for again';
$mf->insert($old, 'postgres', $_, send_at => "now() + interval '1 h'", payment_method_id => 2, recurring_type => "'Daily'", iteration => 3, retry_count => 2) for 'plan twice', 'plan goes on';
# one that waits for the end of quiet hours, in two or three hours
$mf->setup_account($old, 'postgres', $sandbox, account => 'quiet', options => { time_zone => $mf->noon_zone($old), quiet_hours => '11:00-15:00' });
$mf->insert($old, 'postgres', 'at night', account => "'quiet'", notification_option => "'EML'", customer_email => q{'a@example.com'});
$mf->wait_for($old, 'postgres', q{SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'at night' AND q.due > now() + interval '1 h'}, 1);
$mf->write_key($new, $sandbox->key, 'quiet.key');
# two that had no key a moment ago: of the first that is counted, of the second what it has asked
$old->safe_psql('postgres', q{UPDATE mf_queue q SET lookups = 1, error = 'no key' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference IN ('put off', 'asked for again');
	UPDATE mf_queue q SET kind = 'verify' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'asked for again'});
$old->wait_for_catchup($new);
$new->promote;
$mf->wait_worker($new, 'postgres');

#
# When it is looked up
#
my $late = q{SELECT bool_and(q.kind = 'verify' AND q.due >= i.send_at + interval '60 s' AND q.rank = q.due AND q.lookups = 0 AND q.error IS NULL) FROM mf_queue q
	JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = '%s'};
is(sql(sprintf $late, 'planned'), 't', 'a row that is due later is looked up when the old primary has long sent it');
foreach my $name ('put off', 'asked for again')
{
	is(sql(sprintf $late, $name), 't', "what is $name: likewise, beginning with its own reference");
	like(sql(sprintf "BEGIN; ALTER SERVER myfatoorah OPTIONS (SET country 'KWT'); SELECT mf_resume('myfatoorah'); $late; COMMIT", $name), qr/^t$/m,
		'a new key or mf_resume() does not make it due');
}
sql(q{UPDATE mf_queue q SET lookups = 1, error = 'no key' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'rescheduled';
	UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'rescheduled'});
is(sql(sprintf $late, 'rescheduled'), 't', 'also if it is rescheduled');
sql(q{UPDATE mf_invoice SET send_at = now() + interval '2 h' WHERE customer_reference = 'rescheduled'});
is(sql(sprintf $late, 'rescheduled'), 't', 'a second new date moves the look-up, too');
sql(q{SELECT mf_pause('*')});
sql(q{UPDATE mf_queue q SET due = now(), rank = now() FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'rescheduled';
	UPDATE mf_queue q SET lookups = 1, error = 'no key' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference IN ('put off', 'asked for again')});
# before the commit, so that the worker has not put right what is wrong
is(sql(q{BEGIN; SELECT mf_resume('*'); SELECT min(due) > now() + interval '30 s' FROM mf_queue WHERE kind = 'verify'; COMMIT}), "\nt", 'no look-up of them at once after a pause of all accounts');

my $night = q{SELECT q.kind || ' ' || (q.due > now() + interval '1 h 1 min') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'at night'};
sql(q{SELECT mf_resume('quiet')});
$mf->insert($new, 'postgres', 'wakes for the night');
$mf->wait_status($new, 'postgres', 'wakes for the night');
is(sql($night), 'verify true', 'what waits for the end of quiet hours is looked up after them, also once its account was resumed');
# as after a restore, or because a webhook named it
my $looks = { path => '/v2/GetPaymentStatus', reference => sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'at night'}) };
sql(q{UPDATE mf_queue q SET due = now(), rank = now(), lookups = 0 FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'at night'; SELECT mf_resume('quiet')});
$sandbox->wait_count($looks, 1) or die "it was not looked up\n";
$mf->wait_for($new, 'postgres', q{SELECT lookups FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'at night'}, -1);
is(sql($night), 'verify true', 'and once more, if it was looked up before');
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'at night'});

# What the old primary has sent under the row's own reference is found, wherever the look-ups were.
foreach my $name ('put off', 'asked for again')
{
	my $theirs = send_now($old, $name);

	is(send_now($new, $name), $theirs, "what was $name and has been sent by the old primary is found");
}

# An entry that does not fit
sql(q{UPDATE mf_queue q SET kind = 'reconcile', due = now(), rank = now() FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'planned'});
$mf->insert($new, 'postgres', 'wakes for a misfit');
$mf->wait_for($new, 'postgres', q{SELECT q.kind FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'planned'}, 'verify');
is(sql(sprintf $late, 'planned'), 't', 'an entry that is put right waits, too');

#
# Both have sent it
#
my $ours = send_now($new, 'twin');
my $theirs = send_now($old, 'twin');
isnt($theirs, $ours, 'the old primary sends it a second time');
$mf->wait_for($new, 'postgres', q{SELECT duplicate_suspected FROM mf_invoice WHERE customer_reference = 'twin'});
pass('it is looked up once more, and flagged');
like(sql(q{SELECT what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'twin'}),
	qr/^invoice $theirs with this row's reference exists too, InvoiceStatus Pending; invoice $ours is the one in the row$/, 'mf_review names both');

# A row that begins a recurring payment: its repetitions may have its reference, too, but no invoice that nobody has tried to pay is one.
$ours = send_now($new, 'plan twice');
$theirs = send_now($old, 'plan twice');
isnt($theirs, $ours, 'the old primary begins a recurring payment a second time');
$mf->wait_for($new, 'postgres', q{SELECT duplicate_suspected FROM mf_invoice WHERE customer_reference = 'plan twice'});
like(sql(q{SELECT what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'plan twice'}), qr/^invoice $theirs with this row's reference exists too/, 'the second recurring payment is found by its reference');
my $began = send_now($old, 'plan goes on');
$sandbox->invoice($began, 'pay');
my $repetition = $sandbox->charge($old->safe_psql('postgres', q{SELECT recurring_id FROM mf_invoice WHERE customer_reference = 'plan goes on'}))->{id};
sql(q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'plan goes on';
	UPDATE mf_queue q SET due = now(), rank = now() FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'plan goes on'});
$mf->insert($new, 'postgres', 'wakes for the plan');
$mf->wait_status($new, 'postgres', 'plan goes on', 'review');
like(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'plan goes on'}), qr/ found invoice $repetition, which may be a repetition of the recurring payment/, 'a repetition is not taken for the invoice that has begun the plan');
sql(qq{SELECT mf_resolve(id, 'adopt', 'the portal shows it', invoice_id => $began) FROM mf_invoice WHERE customer_reference = 'plan goes on'});
sql(q{SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'plan goes on'});
# the repetition may have its row, with the same customer_reference, by now
$mf->wait_for($new, 'postgres', "SELECT status || ' ' || payment_status FROM mf_invoice WHERE invoice_id = $began", 'sent paid');
sql(q{UPDATE mf_event SET due = now() WHERE source = 'plan'; SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'plan goes on'});
$mf->wait_for($new, 'postgres', "SELECT payment_status FROM mf_invoice WHERE invoice_id = $repetition", 'paid');
pass('a person says which one, and then the repetition is a row of its own');

#
# The customer pays the other one: the old primary's row is not ours to read.
#
my $web = 'MyFatoorah::Web';

# A row that both have sent, not noticed yet; its number here, there, and its reference
sub doubled
{
	my ($name) = @_;
	my $here = send_now($new, $name);
	my $there = send_now($old, $name);

	sql(qq{UPDATE mf_queue q SET due = now() + interval '1 h', rank = now() + interval '1 h' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = '$name'});
	sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET duplicate_suspected = false, duplicate_error = NULL WHERE customer_reference = '$name'});
	return ($here, $there, sql(qq{SELECT reference FROM mf_invoice WHERE customer_reference = '$name'}));
}

# The PaymentId of the customer who pays it
sub pay
{
	my ($invoice) = @_;

	$sandbox->invoice($invoice, 'pay');
	return $sandbox->invoice($invoice)->{transactions}[-1]{payment_id};
}

sub flagged
{
	my ($name) = @_;

	$mf->wait_for($new, 'postgres', "SELECT duplicate_suspected AND duplicate_error IS NOT NULL FROM mf_invoice WHERE customer_reference = '$name'");
	return sql("SELECT what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = '$name'");
}

my $reference;
($ours, $theirs, $reference) = doubled('by webhook');
my $payment = pay($theirs);
sql($web->hand_in(invoice => $theirs, reference => $reference, payment => $payment));
is(flagged('by webhook'), "invoice $theirs with this row's reference was paid; invoice $ours is the one in the row",
	'a webhook about another invoice under our reference: asked about, and a person is told');
is(sql(q{SELECT payment_status FROM mf_invoice WHERE customer_reference = 'by webhook'}), 'unpaid', 'the row is about its own invoice');
sql(qq{SELECT mf_resolve(id, 'adopt', 'the customer paid this one', invoice_id => $theirs) FROM mf_invoice WHERE customer_reference = 'by webhook'});
$mf->wait_for($new, 'postgres', q{SELECT payment_status || ' ' || duplicate_suspected FROM mf_invoice WHERE customer_reference = 'by webhook'}, 'paid false');
pass('until a person says which one counts: then it is paid');
is(sql(q{SELECT coalesce(invoice_url, last_error) FROM mf_invoice WHERE customer_reference = 'by webhook'}),
	'a person has named the invoice and given no link; the MyFatoorah portal shows it', 'and has no link of another invoice, and says why');
isnt($new->psql('postgres', qq{UPDATE mf_invoice SET invoice_id = 5 WHERE customer_reference = 'by webhook'; }), 0, 'nobody else can change the number');

($ours, $theirs, $reference) = doubled('by callback');
$payment = pay($theirs);
sql("SELECT mf_callback('$payment')");
is(flagged('by callback'), "invoice $theirs with this row's reference was paid; invoice $ours is the one in the row",
	'a PaymentId of another invoice under our reference: matched by the reference in the answer');
is(sql("SELECT count(*) FROM mf_unmatched WHERE payment_id = '$payment'"), 0, 'the event is not in mf_unmatched');

$reference = sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'queued here'});
$theirs = send_now($old, 'queued here');
sql(q{UPDATE mf_queue q SET lookups = 1 FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'queued here'});
sql($web->hand_in(invoice => $theirs, reference => $reference, payment => '0999'));
$mf->wait_for($new, 'postgres', "SELECT status || ' ' || invoice_id FROM mf_invoice WHERE customer_reference = 'queued here'", "sent $theirs");
pass('a webhook about an invoice that is queued here: it is looked up at once, and found');

send_now($new, 'alone');
$mf->wait_for($new, 'postgres', q{SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'alone'}, 0);
is(sql(q{SELECT duplicate_suspected FROM mf_invoice WHERE customer_reference = 'alone'}), 'f', 'what only one has sent is not');
is($sandbox->count(path => '/v2/GetPaymentStatus', reference => sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'alone'})), 2,
	'after two looks');
$mf->insert($new, 'postgres', 'young');
$mf->wait_status($new, 'postgres', 'young');
is(sql(q{SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'young'}), 0,
	'what was inserted since the promotion needs none');

#
# A promoted server whose clock is an hour behind: what the old primary inserted last is in its future.
#
SKIP:
{
	my $clock = MyFatoorah::Clock->new or skip 'test/chaos/moved_clock.c cannot be compiled', 7;
	my $behind = PostgreSQL::Test::Cluster->new('behind');
	my $names = q{'sent twice', 'given up'};

	$old->safe_psql('postgres', q{ALTER SERVER myfatoorah OPTIONS (ADD connect_timeout '500ms', ADD timeout '1s')});
	$old->append_conf('postgresql.conf', "myfatoorah.lookup_delay = '20ms'");
	$old->reload;
	$old->backup('late');
	$behind->init_from_backup($old, 'late', has_streaming => 1);
	$mf->write_key($behind, $sandbox->key, $_) foreach 'myfatoorah.key', 'quiet.key';
	chmod 0600, $behind->data_dir . '/myfatoorah.webhook';
	$clock->move_by(-3600);
	$clock->with(sub { $behind->start });
	$mf->insert($old, 'postgres', $_, send_at => "now() + interval '3 h'") for 'sent twice', 'given up';
	$old->wait_for_catchup($behind);
	$behind->promote;
	$mf->wait_worker($behind, 'postgres');
	is($behind->safe_psql('postgres', "SELECT bool_and(i.created_at > now() AND n.since >= i.created_at) FROM mf_invoice i, (SELECT max(since) AS since FROM mf_identity) n WHERE customer_reference IN ($names)"), 't',
		'what is in the future of a promoted server may be sent by another one, too');
	is($behind->safe_psql('postgres', "SELECT bool_and(n.promoted_at >= i.created_at) FROM mf_invoice i, (SELECT max(promoted_at) AS promoted_at FROM mf_identity) n WHERE customer_reference IN ($names)"), 't',
		'and bills that were due by the clock of the old one wait for a person');

	# the old primary had no answer, and has sent it once more
	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'sent twice.', times => 1, never => JSON::PP::true });
	$theirs = send_now($old, 'sent twice');
	$sandbox->clear_faults;
	like($sandbox->invoice($theirs)->{reference}, qr/~2$/, 'the old primary sends a row under another reference');
	is(send_now($behind, 'sent twice'), $theirs, 'it is found there');

	# the promoted server gives a request up, under the reference by which the old primary sends the row after that
	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'given up.', times => 1, never => JSON::PP::true });
	look_now($behind, 'given up');
	$mf->wait_for($behind, 'postgres', q{SELECT reference LIKE '%~2' FROM mf_invoice WHERE customer_reference = 'given up'});
	$sandbox->clear_faults;
	send_now($behind, 'given up');
	$theirs = send_now($old, 'given up');
	like($behind->safe_psql('postgres', q{SELECT reference FROM mf_invoice WHERE customer_reference = 'given up'}), qr/~2$/, 'the promoted server has sent a row under another reference');
	look_now($behind, 'given up');
	$mf->wait_for($behind, 'postgres', q{SELECT duplicate_suspected FROM mf_invoice WHERE customer_reference = 'given up'});
	like($behind->safe_psql('postgres', q{SELECT what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'given up'}), qr/invoice $theirs/, 'what turns up under the former one is found');
	unlike(slurp_file($behind->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'behind: no process crashed');
	$behind->stop;
}

unlike(slurp_file($_->logfile), qr/TRAP:|PANIC|was terminated by signal/, $_->name . ': no process crashed') for $old, $new;
$new->stop;
$old->stop;
done_testing();
