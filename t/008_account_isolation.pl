# Trouble of one account does not hold up another: throttling, silence, an outage, a refused or missing key, wrong options. An
# outage delays invoices, and loses none.
use MyFatoorah::Test qw(sql);

use JSON::PP ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '1h'");

# The account "good" has a remote of its own, on which everything must always go through.
my $good = MyFatoorah::Sandbox->new(key => 'good-key');
my $goods = 0;

$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'postgres', $good, account => 'good');
$mf->wait_worker($node, 'postgres');

# Fifty invoices of the good account are sent while the other one is in trouble: none of the troubled ones is through
# before the last of them.
sub good_goes_on
{
	my ($what) = @_;
	my $to_send = 50;

	$goods += $to_send;
	$mf->insert_many($node, 'postgres', "good-$goods", $to_send, account => "'good'");
	ok($good->wait_count($send, $goods), "$what: another account goes on");
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE account = 'good' AND status = 'sent'", $goods);
	return;
}

# The lines of the log since the offset that speak of that account
sub lines
{
	my ($account, $offset) = @_;

	return slurp_file($node->logfile, $offset) =~ /LOG:  myfatoorah: \w+: (account "$account" .*)/g;
}

sub states
{
	my ($prefix) = @_;

	return sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM mf_invoice
		WHERE customer_reference LIKE '$prefix-%' GROUP BY 1) s");
}

#
# Throttled: 429 with Retry-After
#
my $offset = -s $node->logfile;
$sandbox->faults({ path => 'SendPayment', shape => 11, headers => { 'Retry-After' => '3' }, times => 5 });
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '5')");
$mf->insert_many($node, 'postgres', 'throttled', 20);
$sandbox->wait_count($send, 5) or die "they are not sent\n";
good_goes_on('429 with Retry-After');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'throttled-%' AND status = 'sent'", 20);
my @posts = $sandbox->posts;
is(scalar @posts, 25, 'then all is sent, with five requests more');
is(scalar(grep { $_->{status} == 429 } @posts[ 0 .. 4 ]), 5, 'the five that were throttled came first');
cmp_ok(($posts[5]{wall_us} - $posts[0]{wall_us}) / 1e6, '>=', 3, 'no request within Retry-After');
is(scalar(lines('myfatoorah', $offset)), 1, 'one line in the log');
sql("ALTER SERVER myfatoorah OPTIONS (DROP max_in_flight)");

#
# Silent: every place in flight is taken by requests that hang
#
my $before = $sandbox->count(%$send);
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '7', ADD timeout '6s')");
$sandbox->hang;
$mf->insert_many($node, 'postgres', 'silent', 9);
$sandbox->wait_count($send, $before + 7) or die "they are not sent\n";
good_goes_on('no answer');
is($sandbox->count(%$send), $before + 7, 'max_in_flight bounds what hangs');
sql("ALTER SERVER myfatoorah OPTIONS (SET max_in_flight '8')");
good_goes_on('no answer, more allowed');
$sandbox->wait_count($send, $before + 8) or die "a higher max_in_flight does not count\n";
# one that was claimed ahead of the answers goes back
ok($mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'silent-%' AND status = 'queued'", 1),
	'a higher one counts at once, while all of them hang');
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'silent-%' AND status IN ('sent', 'unknown')", 9);
is(states('silent'), 'sent 1, unknown 8', 'what hung is unknown, the rest is sent');
sql("ALTER SERVER myfatoorah OPTIONS (DROP max_in_flight, DROP timeout)");

#
# Unreachable: a refused port. Not one invoice at the remote, the rows stay queued, one line in the log for the outage.
#
my $port = $sandbox->port;
my @gone = (posts => [ $sandbox->posts ], remote => [ $sandbox->remote ]);
$offset = -s $node->logfile;
$sandbox->stop;
# after a person has resumed the account, that it waits is told at once, however long ago it was told last
sql("SELECT mf_resume('myfatoorah')");
$mf->insert_many($node, 'postgres', 'outage', 60);
$mf->wait_for($node, 'postgres', "SELECT count(*) >= 5 FROM mf_attempt WHERE outcome = 'not_sent'");
good_goes_on('refused connections');
# one of them may just be tried
ok($mf->wait_for($node, 'postgres',
		"SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'outage-%' AND status = 'queued'", '60'),
	'rows of an account that cannot be reached are queued');
like(sql("SELECT DISTINCT last_error FROM mf_invoice WHERE customer_reference LIKE 'outage-%' AND last_error IS NOT NULL"),
	qr/^the request could not be sent to MyFatoorah$/m, 'and show why');
is(scalar(lines('myfatoorah', $offset)), 1, 'one line in the log for the outage, whatever the number of rows and tries');

# Back again, on the same port
$sandbox->start($port);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'outage-%' AND status = 'sent'", 60);
pass('all is sent once the remote is back');
is($sandbox->count(%$send), 60, 'each with one request');
is_deeply([ $mf->problems($node, 'postgres', $sandbox, posts => [ @{ $gone[1] }, $good->posts ],
		remote => [ @{ $gone[3] }, $good->remote ]) ], [], 'rows, attempts and ledgers agree');

# A new outage has a line of its own.
$offset = -s $node->logfile;
@gone = (posts => [ @{ $gone[1] }, $sandbox->posts ], remote => [ @{ $gone[3] }, $sandbox->remote ]);
$sandbox->stop;
sql("SELECT mf_resume('myfatoorah')");
$mf->insert($node, 'postgres', 'second outage');
$mf->wait_for($node, 'postgres', "SELECT count(*) >= 3 FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE customer_reference = 'second outage'");
$sandbox->start($port);
$mf->wait_status($node, 'postgres', 'second outage');
is(scalar(lines('myfatoorah', $offset)), 1, 'a new outage has a line of its own');

#
# 401: the account is paused, by one line in the log, until a person resumes it
#
$offset = -s $node->logfile;
$before = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', shape => 8, times => -1 });
$mf->insert_many($node, 'postgres', 'refused', 80);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_account WHERE account = 'myfatoorah' AND paused_at IS NOT NULL", 1);
good_goes_on('401');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_queue WHERE kind = 'sending'", 0);
is(states('refused'), 'queued 80', 'the rows of the account are queued');
my $refused = $sandbox->count(%$send);
cmp_ok($refused - $before, '<=', 50, 'no more than what was in flight met the refusal');
is(scalar(lines('myfatoorah', $offset)), 1, 'one line in the log for the pause');
is(sql(q{SELECT ok, detail FROM mf_check('good') WHERE item = 'accounts' AND detail LIKE 'MyFatoorah%'}),
	'f|MyFatoorah refuses 1 other account, "myfatoorah"; it is paused.', 'mf_check() of any account tells of it');
like(sql("SELECT DISTINCT pause_reason FROM mf_backlog WHERE account = 'myfatoorah' AND kind = 'send'"), qr/HTTP 401/, 'mf_backlog tells the reason');
$sandbox->clear_faults;

# Paused it stays: new rows, other accounts' rows and a restart change nothing.
$mf->insert($node, 'postgres', 'refused-new');
good_goes_on('paused');
$node->restart;
$mf->wait_worker($node, 'postgres');
good_goes_on('paused, after a restart');
is($sandbox->count(%$send), $refused, 'a paused account sends nothing');
sql('SELECT mf_resume()');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'refused-%' AND status = 'sent'", 81);
is($sandbox->count(%$send), $refused + 81, 'mf_resume() sends everything, once');

# Paused by a person, while requests are under way: they are finished, no more leave.
$sandbox->faults({ path => 'SendPayment', delay_ms => 1000, times => 5 });
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '5')");
$before = $sandbox->count(%$send);
$mf->insert_many($node, 'postgres', 'paused', 10);
$sandbox->wait_count($send, $before + 5) or die "they are not sent\n";
sql("SELECT mf_pause('myfatoorah', 'by hand')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_queue WHERE kind = 'sending'", 0);
good_goes_on('paused by hand');
is(states('paused'), 'queued 5, sent 5', 'mf_pause(): what is under way is finished, the rest waits');
sql('SELECT mf_resume()');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'paused-%' AND status = 'sent'", 10);

# The key is refused while somebody's mf_pause() is not committed: nobody else waits for that.
my $pausing = $mf->session($node, 'postgres');
$pausing->query_safe("BEGIN; SELECT mf_pause('myfatoorah', 'month end')");
$sandbox->faults({ path => 'SendPayment', shape => 8, times => -1 });
$mf->insert_many($node, 'postgres', 'held-up', 10);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'held-up-%' AND last_error LIKE '%HTTP 401%'", 5);
my $met = $sandbox->count(%$send);
good_goes_on('401 while mf_pause() is held open');
is($sandbox->count(%$send), $met, 'the refused account sends nothing more, although mf_account cannot say so yet');
$pausing->query_safe('ROLLBACK');
$pausing->quit;
$mf->wait_for($node, 'postgres', "SELECT paused_by FROM mf_account WHERE account = 'myfatoorah'", 'sender');
pass('mf_account says so once it can be written');
$sandbox->clear_faults;
sql('SELECT mf_resume()');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'held-up-%' AND status = 'sent'", 10);
sql("ALTER SERVER myfatoorah OPTIONS (DROP max_in_flight)");

#
# Keys: by role, rotated under way, missing
#
my $keys = MyFatoorah::Sandbox->new(key => 'first-key', args => [ '--key', 'second-key=KWT', '--key', 'third-key=KWT' ]);
$mf->setup_account($node, 'postgres', $keys, account => 'keys', options => { own_mappings => 'on' });
sql("CREATE ROLE tenant LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER keys TO tenant;
	CREATE USER MAPPING FOR tenant SERVER keys OPTIONS (api_key 'third-key')");

sub key_of
{
	my ($name) = @_;
	my $reference = sql("SELECT reference FROM mf_invoice WHERE customer_reference = '$name'") || "$name.";
	my ($entry) = $keys->ledger(path => '/v2/SendPayment', reference => $reference);

	return $entry->{key_index};
}

my $pid = $mf->worker_pid($node, 'postgres');
my $session = $mf->session($node, 'postgres');
$mf->insert($node, 'postgres', 'public', account => "'keys'");
$node->safe_psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('tenant', account => "'keys'"), extra_params => [ '-U', 'tenant' ]);
$session->query_safe("SELECT mf_send_payment('x', 1, customer_reference => 'direct one.', account => 'keys')");
$mf->wait_status($node, 'postgres', $_) for 'public', 'tenant';
is_deeply([ map { key_of($_) } 'public', 'tenant', 'direct one' ], [ 0, 2, 0 ], 'a row is sent with the key of the role that inserted it');
$mf->write_key($node, 'second-key', 'keys.key');
$mf->insert($node, 'postgres', 'rotated', account => "'keys'");
$mf->wait_status($node, 'postgres', 'rotated');
$session->query_safe("SELECT mf_send_payment('x', 1, customer_reference => 'direct two.', account => 'keys')");
is_deeply([ map { key_of($_) } 'rotated', 'direct two' ], [ 1, 1 ], 'a rotated key file is picked up by worker and session');
sql("ALTER USER MAPPING FOR tenant SERVER keys OPTIONS (SET api_key 'first-key')");
$node->safe_psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('altered', account => "'keys'"), extra_params => [ '-U', 'tenant' ]);
$mf->wait_status($node, 'postgres', 'altered');
is(key_of('altered'), 0, 'an altered user mapping too');
is($mf->worker_pid($node, 'postgres'), $pid, 'without a restart');

#
# A role's own key that is refused, or is not there, stops the rows of this role and nobody else's.
#
sub insert_as
{
	my ($role, $prefix, $n) = @_;

	$node->safe_psql('postgres', "INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value)
		SELECT 'keys', 'x', '$prefix-' || n, 1 FROM generate_series(1, $n) n", extra_params => [ '-U', $role ]);
	return;
}

# Rows of the tenant and of those who have PUBLIC's key are sent; how long that takes
my $beside = 0;
sub others_go_on
{
	my ($what) = @_;
	my $name = 'beside-' . ++$beside;

	my $seconds = $mf->seconds(sub {
		insert_as('tenant', "$name-tenant", 1);
		insert_as('clerk', "$name-public", 1);
		$mf->wait_status($node, 'postgres', "$name-$_-1") for 'tenant', 'public';
	});
	# a key that is throttled waits for ten minutes
	cmp_ok($seconds, '<', 120, "$what: the rows of other roles are sent");
	is(sql("SELECT count(*) FROM mf_account WHERE account = 'keys' AND paused_at IS NOT NULL"), 0, "$what: the account is not paused");
	return;
}

sub wait_lacking
{
	my ($prefix, $n, $error) = @_;

	return $mf->wait_for($node, 'postgres',
		"SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'queued' AND last_error LIKE '$error%'", $n);
}

my $refusal = 'MyFatoorah refuses the API key of role "wrong" for account "keys": %HTTP 401';
sql(join '; ', map { "CREATE ROLE $_ LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER keys TO $_" } 'wrong', 'empty', 'clerk');
sql("CREATE USER MAPPING FOR wrong SERVER keys OPTIONS (api_key 'wrong-key')");
$offset = -s $node->logfile;
$before = $keys->count(%$send);
insert_as('wrong', 'wrong', 1);
wait_lacking('wrong', 1, $refusal);
others_go_on('a refused key');
insert_as('wrong', 'wrong-too', 3000);
others_go_on('3000 rows whose key was refused');
wait_lacking('wrong-too', 3000, $refusal);
is($keys->count(%$send) - $before, 5, 'the refused key was sent once, and no more');
is(scalar(() = slurp_file($node->logfile, $offset) =~ /LOG:  myfatoorah: key_unusable: account "keys" has invoices whose key cannot be used\n.*role "wrong"/g), 1,
	'one line in the log tells of it');
like($node->safe_psql('postgres', "SELECT detail FROM mf_check('keys') WHERE item = 'invoices' AND NOT ok", extra_params => $_),
	qr/^3001 are put off, such as invoice \d+: MyFatoorah refuses the API key of role "wrong" for account "keys"/m,
	'mf_check() names the refused key' . (@$_ ? ', for the role itself too' : ''))
  foreach [], [ '-U', 'wrong' ];
like($node->safe_psql('postgres', "SELECT detail FROM mf_check('keys') WHERE item = 'key'", extra_params => [ '-U', 'wrong' ]), qr/HTTP 401/,
	'and asked by that role, that it is refused still');

# Another's user mapping changes nothing; its own does, and what was never tried is sent.
sql("ALTER USER MAPPING FOR tenant SERVER keys OPTIONS (SET api_key 'third-key')");
others_go_on("another role's new key");
is($keys->count(%$send) - $before, 7, 'the refused key is not tried again for that');
sql("ALTER USER MAPPING FOR wrong SERVER keys OPTIONS (SET api_key 'second-key')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'wrong-too-%' AND status = 'sent'", 3000);
pass('a new key is used at once');

# Refused for a while, as it is, or as one of another country: mf_resume() tries it again.
foreach ([ 'country', 9, 400 ], [ 'awhile', 8, 401 ])
{
	my ($name, $shape, $status) = @$_;

	$keys->faults({ path => 'SendPayment', reference_prefix => $name, shape => $shape, times => -1 });
	insert_as('wrong', $name, 1);
	wait_lacking($name, 1, $refusal =~ s/401/$status/r);
	others_go_on("a key that is refused for a while with $status");
	$keys->clear_faults;
	sql("SELECT mf_resume('keys')");
	$mf->wait_status($node, 'postgres', "$name-1");
	pass("mf_resume() tries a key again that was refused with $status");
}

# The same with questions.
my $asked = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'awhile-1'");
my $other = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'beside-1-tenant-1'");
$keys->faults({ path => 'GetPaymentStatus', contains => sql("SELECT invoice_id FROM mf_invoice WHERE id = $asked"), shape => 8, times => -1 });
sql("SELECT mf_refresh($asked)");
$mf->wait_for($node, 'postgres', "SELECT error LIKE '$refusal%' FROM mf_inquiry WHERE invoice = $asked");
sql("SELECT mf_refresh($other)");
$mf->wait_for($node, 'postgres', "SELECT NOT urgent OR unchanged_answers > 0 FROM mf_inquiry WHERE invoice = $other");
others_go_on('a question with a refused key');
$keys->clear_faults;
sql("SELECT mf_resume('keys')");
$mf->wait_for($node, 'postgres', "SELECT error IS NULL FROM mf_inquiry WHERE invoice = $asked");

# A role's own key that is throttled is left alone, for sending and for questions; other keys are not.
my $throttled = 'MyFatoorah throttles the API key of role "wrong" for account "keys"';
$keys->faults({ path => 'SendPayment', reference_prefix => 'busy', shape => 11, headers => { 'Retry-After' => '600' }, times => -1 });
$before = $keys->count(%$send);
insert_as('wrong', 'busy', 20);
wait_lacking('busy', 20, $throttled);
$met = $keys->count(%$send);
cmp_ok($met - $before, '<=', 20, 'a throttled key: no request is repeated at once');
others_go_on('a throttled key');
insert_as('wrong', 'busy-too', 100);
wait_lacking('busy-too', 100, $throttled);
is($keys->count(%$send), $met + 2, 'a throttled key is left alone');
is(sql("SELECT count(*) FROM mf_review WHERE what_happened LIKE '%throttles%'"), 0, 'and no person is asked for that');
sql("ALTER USER MAPPING FOR wrong SERVER keys OPTIONS (SET api_key 'second-key')");
others_go_on('a throttled key that its role sets again');
is($keys->count(%$send), $met + 4, 'which does not end it');
$keys->clear_faults;
sql("SELECT mf_resume('keys')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'busy-too-%' AND status = 'sent'", 100);
pass('mf_resume() tries a throttled key again');
sql("SET session_replication_role = replica; DELETE FROM mf_queue USING mf_invoice i WHERE i.id = invoice AND i.customer_reference LIKE 'busy-%' AND i.status = 'queued';
	UPDATE mf_invoice SET status = 'cancelled' WHERE customer_reference LIKE 'busy-%' AND status = 'queued'");

$keys->faults({ path => 'GetPaymentStatus', contains => sql("SELECT invoice_id FROM mf_invoice WHERE id = $asked"), shape => 11,
	headers => { 'Retry-After' => '600' }, times => -1 });
$met = $keys->count(path => '/v2/GetPaymentStatus');
sql("SELECT mf_refresh($asked)");
$keys->wait_count({ path => '/v2/GetPaymentStatus' }, $met + 1) or die "it is not asked about\n";
$mf->wait_for($node, 'postgres', 'SELECT in_flight FROM mf_worker_status', 0);
my $own = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'busy-too-1'");
$met = $keys->count(path => '/v2/GetPaymentStatus');
sql("SELECT mf_refresh($own)");
$mf->wait_for($node, 'postgres', "SELECT due > now() + interval '30 s' AND error IS NULL FROM mf_inquiry WHERE invoice = $own");
sql("SELECT mf_refresh($other)");
$mf->wait_for($node, 'postgres', "SELECT NOT urgent OR unchanged_answers > 0 FROM mf_inquiry WHERE invoice = $other");
is($keys->count(path => '/v2/GetPaymentStatus'), $met + 1, 'with a key whose questions are throttled none is asked, with others they are');
insert_as('wrong', 'unasked', 1);
$mf->wait_status($node, 'postgres', 'unasked-1');
others_go_on('questions that are throttled');
$keys->clear_faults;
sql("SELECT mf_resume('keys')");

# Another address, or none there, is the affair of all.
$keys->faults({ path => 'SendPayment', reference_prefix => 'nowhere', status => 404, body => '', create => JSON::PP::false, times => 1 });
insert_as('wrong', 'nowhere', 1);
$mf->wait_for($node, 'postgres', "SELECT paused_by FROM mf_account WHERE account = 'keys'", 'sender');
pass('404 pauses the account, whoever has sent');
sql("SELECT mf_resume('keys')");
$mf->wait_status($node, 'postgres', 'nowhere-1');

# No key at all
sql("CREATE USER MAPPING FOR empty SERVER keys");
insert_as('empty', 'empty', 3000);
others_go_on('3000 rows without a key');
wait_lacking('empty', 3000, 'account "keys" has no API key for role "empty"');
is(scalar(() = slurp_file($node->logfile, $offset) =~ /LOG:  myfatoorah: key_unusable: account "keys" has invoices whose key cannot be used\n.*role "empty"/g), 1,
	'one line in the log for 3000 rows without a key');
sql("DROP USER MAPPING FOR wrong SERVER keys; ALTER USER MAPPING FOR empty SERVER keys OPTIONS (ADD api_key 'first-key')");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'empty-%' AND status = 'sent'", 3000);
pass('and they are sent once there is one');
# what was tried with another key than there is now is a person's
sql("SELECT mf_resolve(id, 'abandon', 'tried with a wrong key') FROM mf_review WHERE account = 'keys'");

# An outcome that cannot be looked up for want of a key waits, says so, and is looked up at once when the key is back.
$keys->faults({ path => 'SendPayment', reference_prefix => 'keyless.', create => JSON::PP::true, status => 500, body => '' });
my $keyless = $mf->insert($node, 'postgres', 'keyless', account => "'keys'");
$mf->wait_status($node, 'postgres', 'keyless', 'unknown');
$mf->write_key($node, 'k', 'keys.key');
sql("UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $keyless; SELECT mf_resume('keys')");
$mf->wait_for($node, 'postgres', "SELECT what_happened ~ 'has fewer than 8 characters' FROM mf_review WHERE id = $keyless");
$mf->write_key($node, 'second-key', 'keys.key');
sql("SELECT mf_resume('keys')");
$mf->wait_status($node, 'postgres', 'keyless');
is(sql("SELECT count(*) FROM mf_review WHERE id = $keyless"), 0, 'mf_resume() has what could not be looked up for want of a key looked up at once');

# However a key comes into its file, the next call of the session has it: the keys that change places are of one length,
# and nothing waits for the clock of the file system.
my $key_file = $node->data_dir . '/keys.key';
my @tried;

sub key_of_call
{
	my $name = 'call ' . @tried;

	push @tried, $name;
	$session->query_safe("SELECT mf_send_payment('x', 1, customer_reference => '$name.', account => 'keys')");
	return key_of($name);
}

sub error_of_call
{
	$session->query("SELECT mf_send_payment('x', 1, account => 'keys')");

	my $error = $session->{stderr};
	$session->{stderr} = '';
	return $error;
}

sub write_over
{
	open(my $fh, '+<', $key_file) or die "$key_file: $!";
	print $fh "$_[0]\n";
	close($fh) or die "$key_file: $!";
	return;
}

sub rename_over
{
	my ($key) = @_;

	$mf->write_key($node, $key, 'keys.new');
	rename($node->data_dir . '/keys.new', $key_file) or die "$key_file: $!";
	return;
}

$mf->write_key($node, 'first-key', 'keys.first');
$mf->write_key($node, 'third-key', 'keys.third');
is(key_of_call(), 1, 'a session uses the key of the file');
write_over('third-key');
is(key_of_call(), 2, 'it sees at once that the file was written over');
write_over('first-key');
is(key_of_call(), 0, 'and again');
rename_over('third-key');
is(key_of_call(), 2, 'that another file has its name');
write_over('first-key');
is(key_of_call(), 0, 'which is written over');
unlink $key_file;
symlink('keys.third', $key_file) or die "$key_file: $!";
is(key_of_call(), 2, 'that it is a link');
unlink $key_file;
symlink('keys.first', $key_file) or die "$key_file: $!";
is(key_of_call(), 0, 'that the link leads elsewhere');
unlink $key_file;
like(error_of_call(), qr/could not open the file/, 'that it is gone');
rename_over('third-key');
is(key_of_call(), 2, 'and there again');
chmod 0640, $key_file;
like(error_of_call(), qr/can be used by others/, 'and that others may read it');
chmod 0600, $key_file;
is(key_of_call(), 2, 'and no longer');
$session->query_safe("ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (SET api_key_file 'keys.first')");
is(key_of_call(), 0, 'and that the user mapping names another file');
$session->query_safe("ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (SET api_key_file 'keys.key')");
is(key_of_call(), 2, 'or the former one');
$session->query_safe("ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (DROP api_key_file, ADD api_key 'second-key')");
is(key_of_call(), 1, 'or has a key of its own');
$session->query_safe("ALTER USER MAPPING FOR PUBLIC SERVER keys OPTIONS (DROP api_key, ADD api_key_file 'keys.key')");
is(key_of_call(), 2, 'or a file again');
$mf->write_key($node, 'second-key', 'keys.key');

# A file that has not changed for a while is not read again, but looked at: whatever happens to it shows. Its time of
# modification is put back each time, so that this is not what gives it away.
my %aged = (
	over => sub { my $path = shift; open(my $fh, '+<', $path) or die; print $fh "third-key\n"; close $fh; },
	renamed => sub { rename($node->data_dir . '/aged.other', shift) or die; },
	linked => sub { my $path = shift; unlink $path; symlink('keys.third', $path) or die; },
	open => sub { chmod 0644, shift; },
	gone => sub { unlink shift; });
$mf->setup_account($node, 'postgres', $keys, account => "aged_$_") for sort keys %aged;
$mf->write_key($node, 'third-key', 'aged.other');
# whole seconds, for so much utime() takes
utime(time, time, glob($node->data_dir . '/aged*'));
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM pg_ls_dir('.') f WHERE f LIKE 'aged%' AND (pg_stat_file(f)).change > now() - interval '5 s'",
	0);
sub aged_call
{
	my ($what, $reference) = @_;

	$session->query("SELECT mf_send_payment('x', 1, customer_reference => '$reference.', account => 'aged_$what')");
	my $error = $session->{stderr};
	$session->{stderr} = '';
	return $error =~ /(could not open|can be used by others)/ ? $1 : $error eq '' ? key_of($reference) : $error;
}
foreach my $what (sort keys %aged)
{
	my $path = $node->data_dir . "/aged_$what.key";
	my @before = (stat $path)[8, 9];

	is(aged_call($what, "$what read"), 0, "a key file that has not changed for a while ($what)");
	is(aged_call($what, "$what again"), 0, "and again ($what)");
	$aged{$what}->($path);
	utime(@before, $path) if $what ne 'linked' && -e $path;
	is(aged_call($what, "$what changed"), { open => 'can be used by others', gone => 'could not open' }->{$what} // 2, "seen at once: $what");
}
$session->quit;

# Options that are wrong: the row shows it, the others go on, and once it is mended the row is sent, by itself or when
# told.
foreach my $case (
	[ 'a key file that is missing', sub { unlink $node->data_dir . '/keys.key' }, sub { $mf->write_key($node, 'first-key', 'keys.key') } ],
	[ 'a key file that all may read', sub { chmod 0644, $node->data_dir . '/keys.key' }, sub { chmod 0600, $node->data_dir . '/keys.key' } ],
	[ 'no user mapping', sub { sql('DROP USER MAPPING FOR PUBLIC SERVER keys') },
		sub { sql("CREATE USER MAPPING FOR PUBLIC SERVER keys OPTIONS (api_key_file 'keys.key')") } ],
	[ 'no such account', sub { sql('DROP SERVER keys CASCADE') },
		sub { $mf->setup_account($node, 'postgres', $keys, account => 'keys', options => { own_mappings => 'on' }) } ])
{
	my ($what, $break, $mend) = @$case;
	my $name = $what =~ s/ /_/gr;

	$offset = -s $node->logfile;
	$mf->insert_many($node, 'postgres', $name, 30, account => "'keys'", send_at => "now() + interval '1 h'");
	$break->();
	# past the triggers, which look at the account
	sql("SET session_replication_role = replica; UPDATE mf_invoice SET send_at = now() WHERE customer_reference LIKE '$name-%';
		UPDATE mf_queue SET due = now(), rank = now() WHERE account = 'keys'; SELECT mf_resume('good')");
	$node->wait_for_log(qr/(?:account "keys" |invoice \d+ cannot be sent)/, $offset);
	my $seconds = $mf->seconds(sub { good_goes_on($what) });
	cmp_ok($seconds, '<', 20, "$what: without much delay");
	is(states($name), 'queued 30', "$what: the rows wait");
	$mend->();
	sql("SELECT mf_resume('keys')");
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$name-%' AND status = 'sent'", 30);
	pass("$what: once mended, they are sent");
	cmp_ok(scalar(() = slurp_file($node->logfile, $offset) =~ /LOG:  myfatoorah: \w+: (?:account "keys"|invoice \d+)/g), '<', 10,
		"$what: without a flood of log lines");
}

#
# rate_limit: 10 a second means a first handful at once, then one every tenth of a second.
#
sql("ALTER SERVER myfatoorah OPTIONS (ADD rate_limit '10')");
$before = $sandbox->count(%$send);
$mf->insert_many($node, 'postgres', 'limited', 40);
good_goes_on('rate_limit');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'limited-%' AND status = 'sent'", 40);
@posts = ($sandbox->posts)[ $before .. $before + 39 ];
cmp_ok(($posts[-1]{wall_us} - $posts[0]{wall_us}) / 1e6, '>=', 2.9, 'rate_limit is kept');

is_deeply([ $mf->problems($node, 'postgres', $sandbox, others => 1, posts => [ @{ $gone[1] }, map { $_->posts } $good, $keys ],
		remote => [ @{ $gone[3] }, map { $_->remote } $good, $keys ]) ], [], 'in the end rows, attempts and ledgers agree');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
