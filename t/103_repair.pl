# What does not fit together is said, and mended by one call: rows that were loaded without the triggers of mf_invoice,
# and rows whose account has another name now, or none.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '50ms'\nmyfatoorah.poll_rate_limit = 10000\nmyfatoorah.resend_policy = 'never'");
my $db = 'postgres';

sub check
{
	my ($item) = @_;

	return sql("SELECT ok, detail FROM mf_check() WHERE item = '$item'");
}

sub wait_paid
{
	my ($name) = @_;
	my $invoice = sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference = '$name'");

	$sandbox->control('POST', "invoices/$invoice/pay", {});
	return $mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE customer_reference = '$name'", 'paid');
}

$mf->setup_account($node, $db, $sandbox, options => { own_mappings => 'on' });
my $worker = $mf->wait_worker($node, $db);
like(check('agenda'), qr/^t\|/, 'all is on the agenda');
like(check('accounts'), qr/^t\|/, 'and of an account');

#
# Rows in every state, taken away and loaded again without triggers: one was sent by the time of the load.
#
sql(q{CREATE ROLE clerk IN ROLE myfatoorah_operate; SELECT mf_pause('myfatoorah')});
$mf->insert($node, $db, $_) for 'queued', 'sent elsewhere';
my $reference = sql(q{SELECT reference FROM mf_invoice WHERE customer_reference = 'sent elsewhere'});
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, $_) for 'queued', 'sent elsewhere';
$sandbox->reset;
sql(q{SELECT mf_pause('myfatoorah')});
sql("CREATE TABLE saved AS SELECT * FROM mf_invoice; UPDATE saved SET status = 'queued', attempts = 0, invoice_id = NULL, invoice_url = NULL, sent_at = NULL;
	INSERT INTO saved SELECT p.* FROM saved s, (VALUES (1, 'sending'), (2, 'unknown'), (3, 'review'), (4, 'cancelled')) v(n, status),
		jsonb_populate_record(s, jsonb_build_object('id', 100 + n, 'customer_reference', v.status, 'reference', v.status || '.1',
			'status', v.status, 'attempts', 1, 'created_by_id', 4711)) p
	WHERE s.customer_reference = 'queued';
	DELETE FROM mf_invoice; DELETE FROM mf_attempt");
# another server has sent one of them
$sandbox->send_payment(CustomerReference => $reference);
sql('SET session_replication_role = replica; INSERT INTO mf_invoice OVERRIDING SYSTEM VALUE SELECT * FROM saved');
is(sql('SELECT count(*) FROM mf_queue'), 0, 'loaded without triggers they are not on the agenda');
like(check('agenda'), qr/^f\|Unfinished invoices that are not on it: 5; sent ones that are not asked about, or not found by their InvoiceId: 0/, 'mf_check() says so');
my $offset = -s $node->logfile;
sql("SELECT pg_terminate_backend($worker)");
$worker = $mf->wait_worker($node, $db, not => $worker);
ok($node->wait_for_log(qr/there are invoices that are not on the agenda/, $offset), 'the worker says so when it starts');
like(($node->psql($db, 'SET ROLE myfatoorah_read; SELECT mf_repair()'))[2], qr/permission denied/, 'not everybody may mend it');
is(sql('SET ROLE clerk; SELECT string_agg(kind || \' \' || invoices, \', \') FROM mf_repair()'), 'reconcile 1, review 1, sending 1, verify 2',
	'mf_repair() puts them on the agenda');
is(sql('SET ROLE clerk; SELECT count(*) FROM mf_repair()'), 0, 'and finds nothing more to do then');
is(sql("SELECT count(*) FROM mf_invoice WHERE created_by_id <> created_by::text::regrole AND status <> 'cancelled'"), 0, 'their role is found by its name');
like(check('agenda'), qr/^t\|/, 'mf_check() is content');
my $before = $sandbox->count(%$send);
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE status IN ('sending', 'queued') AND id > 100}, 0);
is($sandbox->count(%$send), $before, 'nothing is sent before it was looked up');
is(sql(q{SELECT count(*) FROM mf_queue WHERE kind = 'verify'}), 2, 'for which it waits for as long as the other server may take');
sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, $_) for 'queued', 'sent elsewhere';
is($sandbox->count(%$send, reference => $reference), 1, 'what was sent elsewhere is found, not sent again');
wait_paid('sent elsewhere');

# A role that got another name meanwhile is not found by the old one, and not called gone; whoever may send its row takes it over.
sql(q{SELECT mf_pause('myfatoorah'); CREATE ROLE agent IN ROLE myfatoorah_submit; CREATE ROLE owner IN ROLE myfatoorah_submit;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO agent, owner; CREATE USER MAPPING FOR owner SERVER myfatoorah OPTIONS (api_key 'the-key-of-the-owner')});
sql("SET ROLE $_; INSERT INTO mf_invoice " . $mf->invoice("$_ renamed")) for 'agent', 'owner';
sql(q{CREATE TABLE of_agent AS SELECT * FROM mf_invoice WHERE customer_reference ~ 'renamed'; SET session_replication_role = replica;
	DELETE FROM mf_queue USING of_agent a WHERE invoice = a.id; DELETE FROM mf_invoice USING of_agent a WHERE mf_invoice.id = a.id;
	ALTER ROLE agent RENAME TO broker; ALTER ROLE owner RENAME TO landlord; INSERT INTO mf_invoice OVERRIDING SYSTEM VALUE SELECT * FROM of_agent;
	SELECT mf_repair(); UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, qq{SELECT count(*) FROM mf_invoice WHERE customer_reference ~ 'renamed' AND last_error IS NULL}, 0);
is(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'agent renamed'}),
	'no role has the name of the one that inserted it; mf_resume() tries it again, and whoever may send it takes it over by setting its account',
	'a row whose role has another name waits, and says so');
like(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'owner renamed'}),
	qr/^no role has the name of the one that had a user mapping of its own for account "myfatoorah": It had one/, 'with a key of its own, likewise');
like(($node->psql($db, q{GRANT SELECT, UPDATE ON mf_invoice TO broker; SET ROLE broker; UPDATE mf_invoice SET priority = 1 WHERE customer_reference = 'agent renamed'}))[2],
	qr/permission denied for invoice \d+\nDETAIL:  No role has the name of the one that inserted it\./, 'it is nobody\'s');
sql(q{UPDATE mf_invoice SET account = account WHERE customer_reference = 'agent renamed';
	SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'owner renamed'; SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, 'agent renamed');

# Sent ones are asked about again; entries without an invoice go.
$mf->insert($node, $db, $_) for 'asked', 'goes';
$mf->wait_status($node, $db, $_) for 'asked', 'goes';
sql(q{DELETE FROM mf_inquiry; SET session_replication_role = replica; DELETE FROM mf_invoice WHERE customer_reference = 'goes';
	INSERT INTO mf_queue (invoice, account, kind, due, rank, priority) VALUES (4711, 'myfatoorah', 'send', 'infinity', 'infinity', 0)});
like(check('agenda'), qr/^f\|Unfinished invoices that are not on it: 0; sent ones that are not asked about, or not found by their InvoiceId: [1-9]\d*; entries without an invoice: 1;/, 'sent ones without a question are noticed, and entries without an invoice');
like(sql('SELECT string_agg(kind || \' \' || invoices, \', \') FROM mf_repair()'), qr/^inquiry \d+, gone 1$/, 'they are asked about, and what has no invoice goes');
wait_paid('asked');

# So are those that are not found by their InvoiceId.
sql(q{INSERT INTO mf_invoice_number SELECT invoice_id, id + 1000 FROM mf_invoice WHERE customer_reference = 'asked'});
my $unnumbered = sql(q{WITH d AS (DELETE FROM mf_invoice_number k USING mf_invoice i WHERE i.id = k.invoice AND i.payment_status = 'unpaid' RETURNING 1)
	SELECT count(*) FROM d});
cmp_ok($unnumbered, '>', 0, 'there are some that can be paid');
like(check('agenda'), qr/or not found by their InvoiceId: $unnumbered;/, 'loaded without their numbers, they are noticed');
sql(q{DELETE FROM mf_invoice_number k USING mf_invoice i WHERE i.id = k.invoice AND i.customer_reference = 'asked'});
is(sql(q{SELECT count(*) FROM mf_number n JOIN mf_invoice i ON i.id = n.invoice WHERE i.customer_reference = 'asked'}), 0,
	'a number that stands for another row is not its own');
$unnumbered = sql(q{SELECT count(*) FROM mf_invoice WHERE invoice_id IS NOT NULL AND id NOT IN (SELECT invoice FROM mf_number)});
is(sql(q{SELECT string_agg(kind || ' ' || invoices, ', ') FROM mf_repair()}), "number $unnumbered", 'mf_repair() has all found again');
is(sql(q{SELECT count(*) FROM mf_number n JOIN mf_invoice i ON i.id = n.invoice AND i.invoice_id = n.invoice_id}),
	sql('SELECT count(*) FROM mf_invoice WHERE invoice_id IS NOT NULL'), 'each by its own');

# Entries that are due and have no invoice cost nothing: they are put off for an hour, and named. Should the row come back,
# they go on; an answer about a row that is gone is in the log.
{
	my $offset = -s $node->logfile;

	sql(q{INSERT INTO mf_queue (invoice, account, kind, due, rank, priority)
		SELECT 4700 + n, 'myfatoorah', (ARRAY['send', 'sending', 'reconcile', 'verify', 'watch'])[n % 5 + 1], now(), now(), 0 FROM generate_series(1, 100) n});
	sql('SELECT mf_resume()');
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_queue WHERE invoice > 4700 AND due > now() + interval '50 min'}, 100);
	ok($node->wait_for_log(qr/entries_without_invoice: agenda entries have no invoice, such as 47\d\d/, $offset), 'entries without an invoice are in the log');
	$mf->insert($node, $db, 'beside orphans');
	$mf->wait_status($node, $db, 'beside orphans');
	like(check('agenda'), qr/entries without an invoice: 100;/, 'and named by mf_check()');
	is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'invoices' AND detail !~ 'decision of a person'}), 0, 'but not as invoices that mf_review shows');

	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'goes', delay_before_ms => -1, times => -1 });
	$offset = -s $node->logfile;
	my $id = $mf->insert($node, $db, 'goes');
	$mf->wait_status($node, $db, 'goes', 'sending');
	sql(qq{CREATE TABLE gone AS SELECT * FROM mf_invoice WHERE id = $id; SET session_replication_role = replica; DELETE FROM mf_invoice WHERE id = $id});
	$sandbox->clear_faults;
	ok($node->wait_for_log(qr/the row of invoice $id is gone, and an answer about it has come/, $offset), 'an answer about a row that is gone is in the log');
	$mf->wait_idle($node, $db);
	sql("UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $id; SELECT mf_resume()");
	$mf->wait_for($node, $db, "SELECT due > now() + interval '50 min' FROM mf_queue WHERE invoice = $id");
	sql('SET session_replication_role = replica; INSERT INTO mf_invoice OVERRIDING SYSTEM VALUE SELECT * FROM gone');
	sql('SELECT mf_resume()');
	$mf->wait_for($node, $db, "SELECT status FROM mf_invoice WHERE id = $id", 'sent');
	is(sql("SELECT attempts FROM mf_invoice WHERE id = $id"), 1, 'the row that comes back goes on: it was sent once');
	is(sql('SELECT kind, invoices FROM mf_repair()'), 'gone|100', 'mf_repair() deletes what stays without one');
}

# Rows that get another account or time without the triggers: their entries follow, and nothing goes out under the account
# that they had, nor while theirs is paused, nor before its time.
$mf->setup_account($node, $db, $sandbox, account => 'paused', key_file => 'myfatoorah.key');
sql(q{SELECT mf_pause('myfatoorah'), mf_pause('paused')});
$mf->insert($node, $db, $_) for 'astray', 'astray too', 'delayed', 'late';
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET account = 'paused' WHERE customer_reference LIKE 'astray%';
	UPDATE mf_invoice SET send_at = now() + interval '1 day' WHERE customer_reference = 'delayed';
	UPDATE mf_queue q SET due = '2076-01-01', rank = '2076-01-01' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'late';
	UPDATE mf_queue q SET due = 'infinity', rank = 'infinity' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'astray too'});
like(check('agenda'), qr/entries under another account or of another kind than their invoice's: 2; what is due later than it can be: 2;/, 'entries under another account are noticed, and those that are due later');
$before = $sandbox->count(%$send);
sql(q{SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, 'late');
$mf->wait_for($node, $db, qq{SELECT q.account FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = '$_'}, 'paused') for 'astray', 'astray too';
$mf->wait_for($node, $db, q{SELECT q.due = i.send_at FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'delayed'});
is($sandbox->count(%$send), $before + 1, 'what was due too late is sent; nothing leaves under the account that they had, nor before its time');
like(check('agenda'), qr/^t\|/, 'then all is well');
sql(q{SELECT mf_resume('paused')});
$mf->wait_status($node, $db, $_) for 'astray', 'astray too';

# Entries that do not fit their rows, or would not be due for years: such an entry is never claimed, so nobody would mend it.
{
	my @kinds = map { my $status = $_; map { "$status-$_" } 'review', 'watch', 'far', 'rank' } 'queued', 'sending', 'unknown';
	my $misfits = join ' OR ', map { "i.customer_reference LIKE '$_-%'" } 'queued', 'sending', 'unknown';

	sql(q{SELECT mf_pause('myfatoorah')});
	$mf->insert($node, $db, $_) for @kinds, 'review-send';
	sql(qq{SET session_replication_role = replica;
		UPDATE mf_invoice i SET status = split_part(customer_reference, '-', 1) WHERE $misfits OR customer_reference = 'review-send';
		UPDATE mf_queue q SET kind = CASE WHEN split_part(i.customer_reference, '-', 2) IN ('review', 'watch') THEN split_part(i.customer_reference, '-', 2)
				WHEN i.status = 'queued' THEN 'send' WHEN i.status = 'sending' THEN 'sending' ELSE 'reconcile' END,
			due = CASE WHEN i.customer_reference LIKE '%-rank' THEN now() WHEN i.customer_reference LIKE '%-far' THEN '2100-01-01' ELSE 'infinity'::timestamptz END,
			rank = CASE WHEN i.customer_reference LIKE '%-rank' THEN '2100-01-01' WHEN i.customer_reference LIKE '%-far' THEN '2100-01-01' ELSE 'infinity'::timestamptz END
		FROM mf_invoice i WHERE i.id = q.invoice AND ($misfits);
		UPDATE mf_queue q SET due = '2100-01-01', rank = '2100-01-01' FROM mf_invoice i WHERE i.id = q.invoice AND i.customer_reference = 'review-send'});
	like(check('agenda'), qr/of another kind than their invoice's: 7; what is due later than it can be: 9;/, 'entries that do not fit their rows are counted');
	is(sql(q{SELECT string_agg(kind || ' ' || invoices, ', ') FROM mf_repair()}), 'astray 7, late 6', 'mf_repair() makes them fit');
	like(check('agenda'), qr/^t\|/, 'then all is well');
	# so that it is soon over that MyFatoorah may still be at work; an answer that is late is looked up
	sql(q{ALTER SERVER myfatoorah OPTIONS (ADD timeout '200ms', ADD connect_timeout '200ms'); SELECT mf_resume('myfatoorah')});
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice i WHERE ($misfits) AND status IN ('sent', 'review')", scalar @kinds);
	sql(q{ALTER SERVER myfatoorah OPTIONS (DROP timeout, DROP connect_timeout)});
	is(sql("SELECT count(*) FROM mf_invoice i WHERE customer_reference LIKE 'queued-%' AND status = 'sent'"), 4,
		'all go on: what was queued is sent, and a person decides where nothing tells whether it was');
	is(sql(q{SELECT q.kind FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'review-send'}), 'review', 'one in review waits for a person');
	sql(q{SELECT mf_resolve(id, 'abandon', 'test') FROM mf_invoice WHERE status = 'review' AND customer_reference ~ '^(sending|unknown|review)-'});
}
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'delayed'});

# The worker goes on while mf_repair() waits for a lock: what it has written since is not undone, or an invoice that was made
# in spite of its answer would be sent again.
{
	$mf->insert($node, $db, 'locked', account => "'paused'", send_at => "now() + interval '1 h'");
	my $id = $mf->insert($node, $db, 'moved', account => "'paused'", send_at => "now() + interval '1 h'");
	sql(q{SELECT mf_pause('myfatoorah'); SET session_replication_role = replica; UPDATE mf_invoice SET account = 'myfatoorah' WHERE customer_reference IN ('locked', 'moved')});
	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'moved.', times => 1, status => 429, create => JSON::PP::true, headers => { 'Retry-After' => '600' } });
	my $holder = $mf->session($node, $db);
	my $repairer = $mf->session($node, $db);

	$holder->query_safe(q{BEGIN; SELECT FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = 'locked' FOR UPDATE OF q});
	$repairer->query_until(qr/^begins$/m, "\\echo begins\nSELECT * FROM mf_repair();\n");
	$mf->wait_for($node, $db, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'mf_repair'});
	sql(qq{UPDATE mf_invoice SET send_at = now() WHERE id = $id; SELECT mf_resume('myfatoorah')});
	$mf->wait_for($node, $db, "SELECT kind FROM mf_queue WHERE invoice = $id", 'verify');
	$holder->query_safe('ROLLBACK');
	$repairer->query_safe('');
	is(sql("SELECT kind, account FROM mf_queue WHERE invoice = $id"), 'verify|myfatoorah', 'mf_repair() leaves an entry as the worker has made it since');
	sql(qq{UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $id; SELECT mf_resume('myfatoorah')});
	$mf->wait_status($node, $db, 'moved');
	is(scalar(grep { $_->{reference} =~ /^moved\./ } $sandbox->remote), 1, 'and the invoice that was made is found');
	sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'locked'});
}

#
# ALTER SERVER ... RENAME, DROP SERVER ... CASCADE
#
$mf->insert($node, $db, 'open');
$mf->wait_status($node, $db, 'open');
$mf->wait_for($node, $db, q{SELECT base_currency FROM mf_invoice WHERE customer_reference = 'open'}, 'KWD');
$mf->insert($node, $db, 'later', send_at => q(now() + interval '1 day'));
# as where the library is not loaded
sql(q{UPDATE pg_foreign_server SET srvname = 'renamed' WHERE srvname = 'myfatoorah'});
sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'send'; SELECT mf_resume('renamed')});
like(sql(q{SELECT ok, detail FROM mf_check('renamed') WHERE item = 'accounts'}), qr/^f\|There are unfinished invoices of accounts that do not exist: 'myfatoorah'\./,
	'rows of an account without a server are noticed');
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET last_error = NULL WHERE customer_reference = 'later'});
sql("SELECT pg_terminate_backend(pid) FROM mf_worker_status");
$mf->wait_for($node, $db, q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'later'}, 'account "myfatoorah" does not exist');
like(($node->psql($db, q{SELECT mf_move_account('renamed', 'renamed')}))[2], qr/account "renamed" exists/, 'an account that exists keeps its invoices');
like(($node->psql($db, q{SELECT mf_move_account('myfatoorah', 'nowhere')}))[2], qr/account "nowhere" does not exist/, 'one that does not exist gets none');
sql(q{CREATE SERVER saudi FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'SAU', environment 'live')});
like(($node->psql($db, q{SELECT mf_move_account('myfatoorah', 'saudi')}))[2], qr/The currency of the account is SAR, and that of the invoices is KWD\..*HINT: .* create a server "myfatoorah" for it again/s, 'nor does one of another currency');
like(($node->psql($db, q{SET ROLE myfatoorah_submit; SELECT mf_move_account('myfatoorah', 'renamed')}))[2], qr/permission denied/, 'nor may everybody move them');
sql(q{INSERT INTO mf_account (account, paused_at) VALUES ('myfatoorah', now()) ON CONFLICT (account) DO UPDATE SET paused_at = now()});
sql(q{CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER nothing BEFORE INSERT ON mf_account FOR EACH ROW EXECUTE FUNCTION nothing()});
like(($node->psql($db, q{SELECT mf_move_account('myfatoorah', 'renamed')}))[2], qr/has suppressed a change/, 'nor are they moved without the pause that they are in');
sql(q{DROP TRIGGER nothing ON mf_account});
is(sql(q{SET ROLE clerk; SELECT mf_move_account('myfatoorah', 'renamed') > 0}), 't', 'mf_move_account() moves them');
is(sql(q{SELECT count(*) FROM mf_account WHERE account = 'renamed' AND paused_at IS NOT NULL}), 1, 'with their pause');
sql(q{SELECT mf_resume('renamed')});
like(sql(q{SELECT ok, detail FROM mf_check('renamed') WHERE item = 'accounts'}), qr/^t\|/, 'then all is well');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE account NOT IN ('renamed', 'paused')}), 0, 'all of them');
sql(q{UPDATE mf_inquiry SET due = now(); SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'open'});
wait_paid('open');
sql(q{UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'later'});
$mf->wait_status($node, $db, 'later');

sql('ALTER TABLE mf_attempt SET UNLOGGED');
is(sql(q{SELECT detail FROM mf_check('renamed') WHERE item = 'durability' AND detail LIKE '%unlogged%'}), 'A crash empties unlogged tables: mf_attempt.',
	'a table that a crash empties is named');
sql('ALTER TABLE mf_attempt SET LOGGED');

#
# No id is used again, as long as something is there of the row that had it. What mf_attempt has counts, whatever
# mf_invoice.attempts says: rows that came, or were changed, without the triggers.
#
{
	my $again = sub { $node->safe_psql('again', $_[0]) };
	my $sent = sub { $mf->wait_for($node, 'again', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0) };
	my $add = sub {
		$again->("INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) SELECT '$_[0]', '$_[0]', 1.250 FROM generate_series(1, $_[1])");
		$sent->();
	};
	my $row = sub { $again->('SELECT id, attempts, invoice_id, reference FROM mf_invoice') };
	my $change = sub {
		$again->("SET session_replication_role = replica; UPDATE mf_invoice SET reference = 'changed.' || id || '.aaaaaaaa', invoice_id = NULL, invoice_url = NULL, sent_at = NULL, $_[0]");
	};

	# Rows about to be sent, whose ids have attempts of other rows
	my $attempted = sub {
		my ($name, $count, $attempts) = @_;

		$again->("INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, send_at) SELECT '$name', '$name', 1.250, now() + interval '1 day' FROM generate_series(1, $count)");
		$again->("INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, invoice_id)
			SELECT i.id, n, 'another.' || i.id, 'x', i.created_at - interval '1 h', i.created_at, i.created_at, 'accepted', 10 * i.id + n FROM mf_invoice i, generate_series(1, $attempts) n
			WHERE i.customer_reference = '$name'");
		$again->("UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$name'");
	};

	# A row that is alone in its round is put off; beside others it is found at once.
	my $refused_or_sent = sub {
		$mf->wait_for($node, 'again', q{SELECT count(*) > 0 AND count(*) = count(*) FILTER (WHERE i.status = 'sent' OR q.error LIKE '%mf_attempt_pkey%')
			FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id});
	};

	sql('CREATE DATABASE again');
	$mf->setup_account($node, 'again', $sandbox, key_file => 'myfatoorah.key');
	$mf->wait_worker($node, 'again');

	$add->('first', 3);
	$again->(q{INSERT INTO mf_event (account, source, invoice, digest, answered_at) VALUES ('myfatoorah', 'log', 1, '\x00', now())});
	$again->(q{INSERT INTO mf_reaction_queue (function, invoice, old_row, new_row, failures, due) VALUES ('books.book', 1, '{}', '{}', 0, now())});
	$again->('CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS \'BEGIN RETURN NULL; END\';
		CREATE TRIGGER nothing BEFORE DELETE ON mf_attempt FOR EACH ROW EXECUTE FUNCTION nothing()');
	like(($node->psql('again', 'TRUNCATE mf_invoice'))[2], qr/has suppressed a change/, 'TRUNCATE leaves no attempts behind');
	$again->('DROP TRIGGER nothing ON mf_attempt');
	$again->(q{BEGIN; INSERT INTO mf_archive_key (id, created_at, account, reference, paid) SELECT id, created_at, account, reference, true FROM mf_invoice});
	$again->('TRUNCATE mf_invoice RESTART IDENTITY');
	is($again->('SELECT (SELECT count(*) FROM mf_attempt) + (SELECT count(*) FROM mf_transition) + (SELECT count(*) FROM mf_inquiry) + (SELECT count(*) FROM mf_transaction) + (SELECT count(*) FROM mf_reaction_queue)'), 0,
		'after TRUNCATE nothing of the invoices is left');
	is($again->('SELECT count(*), count(invoice) FROM mf_event'), '1|0', 'but the events, which are of none');
	$add->('second', 5);
	is($again->(q{SELECT string_agg(id || ' ' || attempts, ', ' ORDER BY id) FROM mf_invoice}), '1 1, 2 1, 3 1, 4 1, 5 1', 'ids that are used again are sent');

	# Deleted rows leave their attempts, which must not become those of a new row.
	my $refused = sub {
		my ($insert, $what) = @_;
		my (undef, undef, $error) = $node->psql('again', "INSERT INTO mf_invoice $insert");

		like($error, qr/ERROR:  id [1-5] was that of another invoice\nDETAIL:  .*\nHINT:  .*: SELECT setval/, "no id is given again: $what");
		return $error =~ /(SELECT setval.*)$/m;
	};

	is($again->('SELECT count(*) FROM mf_attempt'), 5, 'the attempts of rows are there');
	$again->('DELETE FROM mf_invoice WHERE id <> 4; ALTER TABLE mf_invoice ALTER id RESTART');
	is($again->('SELECT count(*) FROM mf_attempt'), 5, 'those of deleted rows stay');
	$refused->($_->[1], $_->[0]) foreach [ 'ALTER COLUMN RESTART', $mf->invoice('one') ],
	  [ 'many rows at once', "(customer_name, invoice_value) SELECT 'x', 1 FROM generate_series(1, 2)" ],
	  [ 'an id that is given', "(id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE VALUES (5, 'x', 1)" ],
	  [ 'among others', "(id, customer_name, invoice_value) OVERRIDING SYSTEM VALUE SELECT n, 'x', 1 FROM unnest(ARRAY[-7, 90, 5, 70]) n" ];
	$again->(q{SELECT setval('mf_invoice_id_seq', 4)});
	# what an operator may have deleted long ago has no attempts any more
	foreach my $left ('UPDATE mf_attempt SET invoice = 60 WHERE invoice = 5', q{INSERT INTO mf_event (account, source, invoice, digest, answered_at) VALUES ('myfatoorah', 'log', 5, '\x05', now())},
		q{INSERT INTO mf_money (invoice, account, kind, source, amount, currency) VALUES (5, 'myfatoorah', 'payment', '07', 1.250, 'KWD')},
		q{INSERT INTO mf_transaction (invoice, payment_id) VALUES (5, '07')}, q{INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt) VALUES (5, 'sender', 'queued', 'cancelled', 0)})
	{
		my ($table) = $left =~ /(mf_\w+)/;

		$again->($left);
		$again->("DELETE FROM $_ WHERE invoice = 5") foreach grep { $_ ne $table } qw(mf_event mf_money mf_transaction mf_transition);
		next if $table eq 'mf_attempt';
		$refused->("(customer_name, invoice_value) VALUES ('x', 1)", $table);
		$again->(q{SELECT setval('mf_invoice_id_seq', 4)});
	}
	my ($call) = $refused->("(customer_name, invoice_value) VALUES ('x', 1)", 'setval()');
	is($again->($call), 60, 'the hint leads past all that are known');
	is($again->($call), 61, 'and not back');
	$add->('third', 2);
	is($again->(q{SELECT string_agg(id || ' ' || attempts, ', ' ORDER BY id) FROM mf_invoice}), '4 1, 62 1, 63 1', 'after that the sequence gives others');
	$again->(q{CREATE FUNCTION edit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE mf_invoice SET priority = 1 WHERE id = new.id; RETURN NULL; END';
		CREATE TRIGGER edit AFTER INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION edit()});
	is($again->(q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('edited', 1) RETURNING id}), 64, 'what a trigger does with a new row is nothing of another row');
	is($again->(q{SELECT reason FROM mf_transition WHERE invoice = 64}), 'edited', 'though it is in the history');
	$again->('DROP TRIGGER edit ON mf_invoice');
	$sent->();

	# A row whose id has attempts of another one gets the next number, and is not taken for that one.
	$again->('DELETE FROM mf_invoice');
	$attempted->('fourth', 5, 1);
	$sent->();
	is($again->(q{SELECT string_agg(DISTINCT attempts::text, ', ') FROM mf_invoice}), '2', 'rows whose ids have attempts get the next number');
	is($again->(q{SELECT count(DISTINCT a.invoice_id) FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE a.outcome = 'accepted'}), 10, 'and an invoice of their own');
	$again->('DELETE FROM mf_invoice');
	$attempted->('alone', 1, 2);
	$refused_or_sent->();
	$again->(q{SELECT mf_resume('myfatoorah')});
	$sent->();
	is($again->('SELECT attempts FROM mf_invoice'), '3', 'likewise the only one, once it is tried again');

	# A sent row that is queued again by hand, under another reference and with a number that it had, is found, not sent.
	my $known = $row->();
	my $posts = $sandbox->count(%$send);
	foreach my $attempts (-2, 0, 2)
	{
		$change->("status = 'queued', attempts = $attempts");
		is($again->(q{SELECT string_agg(kind, ', ') FROM mf_repair()}), 'verify', "queued with attempts $attempts: it is to be looked up");
		$again->(q{UPDATE mf_queue SET due = now(), rank = now(); SELECT mf_resume('*')});
		$sent->();
		is($row->(), $known, 'it is found under the reference that it was sent with');

		$change->("status = 'unknown', attempts = $attempts");
		is($again->(q{SELECT string_agg(kind, ', ') FROM mf_repair()}), 'reconcile', "unknown with attempts $attempts: likewise");
		$again->(q{SELECT mf_resume('*')});
		$sent->();
		is($row->(), $known, 'it is found, too');

		$change->("status = 'queued', attempts = $attempts; INSERT INTO mf_queue (invoice, account, kind, due, rank, priority) SELECT id, 'myfatoorah', 'send', now(), now(), 0 FROM mf_invoice");
		$again->(q{SELECT mf_resume('*')});
		if ($attempts == 0)
		{
			$refused_or_sent->();
			$again->(q{SELECT mf_resume('*')});
		}
		$sent->();
		is($row->(), $known, 'nor is one sent that has an entry to be sent');
	}
	is($sandbox->count(%$send), $posts, 'no second invoice was made of it');
}

# pg_upgrade brings no rights of row types.
my $types = q{SELECT string_agg(t.typname || ' ' || coalesce(array_to_string(ARRAY(SELECT x::text FROM unnest(t.typacl) x ORDER BY x::text), ','), 'everybody'), '; ' ORDER BY t.typname)
	FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid WHERE c.relname ~ '^mf_' AND c.relkind IN ('r', 'v', 'p')};
my $rights = sql($types);
unlike($rights, qr/everybody/, 'nobody but our roles may use row types');
sql(q{UPDATE pg_type t SET typacl = NULL FROM pg_class c WHERE c.oid = t.typrelid AND c.relname ~ '^mf_' AND c.relkind IN ('r', 'v', 'p')});
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'rights'}), qr/^Everybody may use row types of our tables: \d\d,/, 'mf_check() tells of those that pg_upgrade has opened');
like(sql(q{SET ROLE clerk; SELECT string_agg(kind, ', ') FROM mf_repair()}), qr/\btype$/, 'mf_repair() closes them');
is(sql($types), $rights, 'as an installation does');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'rights'}), 0, 'and mf_check() is content');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
