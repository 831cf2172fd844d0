# Who may do what with rows that others have inserted: change, cancel, retry, see them; what was revoked since a row was
# inserted is asked for again before it is sent; and what default privileges and notifications give away.
use MyFatoorah::Test qw(sql as);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';

sub insert_as
{
	my ($role, $name, %columns) = @_;

	return sql("SET ROLE $role; INSERT INTO mf_invoice " . $mf->invoice($name, %columns) . ' RETURNING id');
}

# The policies in a dump
sub policies_in_dump
{
	my @options = @_;
	my ($out, $err);

	IPC::Run::run([ $node->installed_command('pg_dump'), @options, '-d', $node->connstr($db) ], '>', \$out, '2>', \$err) or return $err;
	return join "\n", $out =~ /^(?:CREATE POLICY|ALTER TABLE .* ROW LEVEL SECURITY).*/mg;
}

# Default privileges, such as somebody sets who wants reports: nothing of it reaches what the extension makes.
sql(q{CREATE ROLE reports; CREATE SCHEMA fresh;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO reports, PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO reports, PUBLIC;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO reports WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO reports});
$mf->setup_account($node, $db, $sandbox);
sql(q{ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM reports, PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM reports, PUBLIC;
	ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM reports; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM reports});
is(sql(q{WITH member AS (SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		WHERE e.extname = 'myfatoorah' AND d.deptype = 'e'),
	acl AS (SELECT c.oid::regclass::text AS name, c.relacl AS acl FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
		UNION ALL SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)) FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
		UNION ALL SELECT t.oid::regtype::text, coalesce(t.typacl, acldefault('T', t.typowner)) FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid AND t.typelem = 0)
	SELECT count(*), min(name) FROM acl, aclexplode(acl) a WHERE a.grantee = 0 OR a.grantee = 'reports'::regrole}), '0|',
	'default privileges give nobody a right on what the extension makes');

sql(q{CREATE ROLE team IN ROLE myfatoorah_submit; CREATE ROLE alice LOGIN IN ROLE team; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit;
	CREATE ROLE officer IN ROLE myfatoorah_operate; CREATE ROLE reader IN ROLE myfatoorah_read;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO team, alice, bob});
my $key = $sandbox->key;
$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key');
$mf->wait_worker($node, $db);
sql(q{SELECT mf_pause('*')});

#
# Changing rows of others
#
my $alices = insert_as('alice', 'alices');
my $teams = insert_as('team', 'teams');
my $denied = '42501: permission denied for invoice N';
is(as('bob', "UPDATE mf_invoice SET invoice_value = 9999, customer_email = 'bob\@example.com' WHERE id = $alices"), $denied, 'nobody changes a row of another role');
is(as('bob', "UPDATE mf_invoice SET priority = 100 WHERE id = $alices"), $denied, 'nor its place in the queue');
is(as('bob', "SELECT mf_cancel($alices)"), $denied, 'nobody cancels a row of another role');
is(as('team', "UPDATE mf_invoice SET priority = 1 WHERE id = $alices"), $denied, 'a group has not the rights of its members');
is(as('alice', "UPDATE mf_invoice SET customer_name = 'Team', call_back_url = 'https://example.com/a?token=abc' WHERE id = $teams RETURNING created_by"), 'ok team', 'but members have those of the group');
is(as('alice', "UPDATE mf_invoice SET invoice_value = 2.500, invoice_items = NULL, send_at = '2099-01-01 00:00+00' WHERE id = $alices RETURNING invoice_value"), 'ok 2.500', 'everybody changes his own');
is(as('officer', "UPDATE mf_invoice SET priority = 7 WHERE id = $alices RETURNING created_by, priority"), 'ok alice|7', 'operators change all rows');
like(as('officer', "UPDATE mf_invoice SET status = 'sent' WHERE id = $alices"), qr/permission denied for table mf_invoice/, 'of what users write only');
is(as('reader', "UPDATE mf_invoice SET priority = 7 WHERE id = $alices") =~ s/table.*//r, '42501: permission denied for ', 'a reader changes nothing');
sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'rejected' WHERE id = $alices; DELETE FROM mf_queue WHERE invoice = $alices});
is(as('bob', "SELECT mf_retry($alices)"), $denied, 'nobody sends again what another role has inserted');
is(as('alice', "SELECT mf_retry($alices)"), 'ok ', 'its own role sends it again');
is(as('officer', "SELECT mf_cancel($alices)"), 'ok ', 'and operators want it cancelled');
my $gone = sql(q{INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, created_by) VALUES ('gone', 1, 'gone.1', 'rejected', 'nobody any more') RETURNING id});
is(as('bob', "SELECT mf_cancel($gone)"), $denied, 'what nobody owns any more is no free game');
is(as('officer', "SELECT mf_cancel($gone)"), 'ok ', 'operators cancel what nobody owns any more');

#
# Each edit is told
#
is(sql(qq{SELECT actor, from_status, to_status, changes FROM mf_history WHERE invoice = $teams AND reason = 'edited'}),
	'alice|queued|queued|{"call_back_url": {"new": "https://example.com/a?", "old": null}, "customer_name": {"new": "Team", "old": "teams"}}',
	'who, which columns, old and new value; not what an address gives away');
is(sql(qq{SELECT string_agg(actor || ' ' || changes::text, ', ' ORDER BY changed_at) FROM mf_history WHERE invoice = $alices AND reason = 'edited'}) =~ s/"old": "20[^"]*"/"old": "now"/r,
	'alice {"send_at": {"new": "2099-01-01T00:00:00+00:00", "old": "now"}, "invoice_value": {"new": 2.500, "old": 1.250}}, officer {"priority": {"new": 7, "old": 0}}',
	'each in a line of its own, with numbers and times as such');
sql(qq{UPDATE mf_invoice SET priority = priority, customer_name = customer_name WHERE id = $teams});
is(sql(qq{SELECT count(*) FROM mf_history WHERE invoice = $teams AND reason = 'edited'}), 1, 'what changes nothing is none');
sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'cancelled' WHERE id = $alices; DELETE FROM mf_queue WHERE invoice = $alices});
sql(qq{DELETE FROM mf_invoice WHERE id = $alices});
is(sql(qq{SELECT count(*), count(changes) FROM mf_history WHERE invoice = $alices AND reason = 'edited'}), '2|0', 'what a row said goes with it, who changed it stays');

#
# Another account
#
is(as('alice', "UPDATE mf_invoice SET account = 'second' WHERE id = $teams"), '42501: permission denied for account "second"', 'another account needs USAGE');
sql(q{GRANT USAGE ON FOREIGN SERVER second TO alice; CREATE USER MAPPING FOR alice SERVER second OPTIONS (api_key 'the-key-of-alice-herself')});
is(as('officer', "UPDATE mf_invoice SET account = 'second' WHERE id = $teams"), '42501: permission denied for account "second"', 'of operators, too');
my $off = '42501: role "alice" may not send through account "second" with a user mapping of its own';
is(as('alice', "UPDATE mf_invoice SET account = 'second' WHERE id = $teams"), $off, 'a user mapping of its own does not count, unless the owner of the server says so');
is(as('alice', 'INSERT INTO mf_invoice ' . $mf->invoice('diverted', account => q('second'))), $off, 'nor at the insertion');
is(as('alice', q{SELECT mf_send_payment('x', 1, account => 'second')}), $off, 'nor of a direct call');
is(as('alice', q{SELECT ok, detail ~ 'may not send through', hint ~ 'OPTIONS \(ADD own_mappings' FROM mf_check('second') WHERE item = 'account'}), 'ok f|t|t', 'and mf_check() tells the way out');
is(as('alice', q{ALTER SERVER second OPTIONS (ADD own_mappings 'on')}), '42501: must be owner of foreign server second', 'which only the owner can go');
sql(q{ALTER SERVER second OPTIONS (ADD own_mappings 'on')});
is(as('alice', "UPDATE mf_invoice SET account = 'second' WHERE id = $teams RETURNING account, created_by, created_by_id = 'alice'::regrole, own_key, could_login"),
	'ok second|alice|t|t|t', 'it is the row of who gave it to that account then, with that role\'s mapping');
is(sql(qq{SELECT changes->'created_by' FROM mf_history WHERE invoice = $teams AND changes ? 'account'}), '{"new": "alice", "old": "team"}', 'and the history knows whose it was');
sql(qq{SELECT mf_cancel($teams)});

#
# Revoked since
#
sub waits
{
	my ($name, $error, $what) = @_;

	$mf->wait_for($node, $db, "SELECT last_error IS NOT NULL FROM mf_invoice WHERE customer_reference = '$name'");
	is(sql("SELECT status, attempts, split_part(last_error, ';', 1) FROM mf_invoice WHERE customer_reference = '$name'"), "queued|0|$error", $what);
	return;
}

insert_as('alice', 'own key', account => q('second'));
sql(q{CREATE ROLE frank IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER second TO frank});
insert_as('frank', 'diverted later', account => q('second'));
sql(q{SET ROLE frank; CREATE USER MAPPING FOR frank SERVER second OPTIONS (api_key 'a-key-of-another-merchant')});
insert_as('alice', 'usage');
insert_as('bob', 'login');
insert_as('bob', 'goes');
sql(q{CREATE ROLE carol IN ROLE team; CREATE ROLE dave IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO dave;
	CREATE ROLE eve IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO eve});
insert_as('carol', 'group');
insert_as('dave', 'submit');
insert_as('eve', 'dropped');
sql(q{REVOKE USAGE ON FOREIGN SERVER myfatoorah FROM alice, team; ALTER ROLE bob NOLOGIN; REVOKE myfatoorah_submit FROM dave;
	DROP OWNED BY eve; DROP ROLE eve; ALTER SERVER second OPTIONS (SET own_mappings 'off'); SELECT mf_resume('*')});
waits('usage', 'role "alice", which inserted it, has no USAGE on account "myfatoorah" any more', 'USAGE revoked: it waits');
waits('group', 'role "carol", which inserted it, has no USAGE on account "myfatoorah" any more', 'that of a group, likewise');
waits('login', 'role "bob", which inserted it, may not log in any more', 'a role that could log in and no longer can: it waits');
waits('submit', 'role "dave", which inserted it, may not insert invoices any more', 'a role that is no longer in myfatoorah_submit: it waits');
waits('dropped', 'the role that inserted it does not exist any more', 'a role that was dropped: it waits');
waits('own key', 'role "alice", which inserted it, has a user mapping of its own, and option "own_mappings" of account "second" is off', 'keys of roles do not count any more: it waits');
waits('diverted later', 'role "frank", which inserted it, has a user mapping of its own, and option "own_mappings" of account "second" is off', 'a key that the role has given itself since does not count: it waits');
is($sandbox->count(path => '/v2/SendPayment'), 0, 'nothing has been sent for any of them');
sql(qq{DROP USER MAPPING FOR frank SERVER second; ALTER USER MAPPING FOR alice SERVER second OPTIONS (SET api_key '$key'); SELECT mf_resume('second')});
$mf->wait_status($node, $db, 'diverted later');
is(sql(q{SELECT status FROM mf_invoice WHERE customer_reference = 'own key'}), 'queued', 'without it the row goes with the key of PUBLIC');
sql(q{ALTER SERVER second OPTIONS (SET own_mappings 'on')});
$mf->wait_status($node, $db, 'own key');
sql(q{GRANT USAGE ON FOREIGN SERVER myfatoorah TO team; ALTER ROLE bob LOGIN; SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, $_) for 'usage', 'group', 'login', 'goes';
is(sql(q{SELECT count(last_error) FROM mf_invoice WHERE customer_reference IN ('usage', 'group', 'login', 'goes')}), 0, 'and goes once the right is back');
sql(q{UPDATE mf_invoice SET account = account WHERE customer_reference IN ('dropped', 'submit'); SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, $_) for 'dropped', 'submit';
is(sql(q{SELECT string_agg(DISTINCT created_by, ' ') FROM mf_invoice WHERE customer_reference IN ('dropped', 'submit')}), sql('SELECT current_user'),
	'or once somebody who may send it has set its account');
insert_as('alice', 'by login', send_at => q('2099-01-01'));
sql(q{UPDATE mf_invoice SET account = account WHERE customer_reference = 'by login'});
is(sql(q{SELECT created_by FROM mf_invoice WHERE customer_reference = 'by login'}), 'alice', 'which takes nothing from a role that may send');

#
# Row-level security
#
sql('CREATE ROLE backup LOGIN IN ROLE pg_read_all_data');
is(policies_in_dump('-U', 'backup'), '', 'who may read all tables can dump them, because none of ours has policies from the start');
my $bobs = insert_as('bob', 'bobs', send_at => q('2099-01-01'));
my $own = insert_as('alice', 'own', send_at => q('2099-01-01'));
my $sent = sql(q{SELECT id FROM mf_invoice WHERE customer_reference = 'login'});
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON mf_invoice FOR SELECT USING (pg_has_role(created_by_id, 'USAGE') OR pg_has_role('officer', 'USAGE'));
	CREATE POLICY small ON mf_invoice FOR UPDATE USING (invoice_value < 100); CREATE POLICY new ON mf_invoice FOR INSERT WITH CHECK (true)});
is(as('alice', "SELECT count(*) FROM mf_history WHERE invoice IN ($bobs, $sent)"), 'ok 0', 'mf_history shows no rows that a policy hides');
is(as('alice', "SELECT count(*) FROM mf_history WHERE invoice = $own"), 'ok 1', 'mf_history shows the rows that policies show');
is(as('reader', 'SELECT count(*) FROM mf_history'), 'ok 0', 'whatever role of ours one has');
cmp_ok((split / /, as('officer', 'SELECT count(*) FROM mf_history'))[1], '>', 10, 'and all for whom the policies show all');
sql(q{CREATE FUNCTION told(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'told %', $1; RETURN true; END $$; GRANT EXECUTE ON FUNCTION told(text) TO PUBLIC});
unlike(($node->psql($db, 'SET ROLE alice; SELECT count(*) FROM mf_history WHERE told(actor)'))[2], qr/told bob/, 'no function of the asker gets to see hidden rows');
is(as('alice', "SELECT mf_cancel($bobs)"), 'P0002: invoice N does not exist', 'what is not seen is not cancelled');
# What MyFatoorah tells of a hidden row is hidden, too: by InvoiceId, which are consecutive, by reference, by PaymentId.
sub asked
{
	my ($role, $key, $type) = @_;
	my ($code, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSET ROLE $role;\nSELECT customer_name FROM mf_payment_status('$key', '$type')");

	return $code == 0 ? "ok $out" : $err =~ s/\Q$key\E/KEY/r =~ s/^.*?ERROR/ERROR/sr;
}

{
	my $hidden = insert_as('bob', 'hidden');
	my $shown = insert_as('alice', 'shown');

	$mf->wait_status($node, $db, $_) for 'hidden', 'shown';
	my ($number, $reference) = split /\|/, sql("SELECT invoice_id, reference FROM mf_invoice WHERE id = $hidden");
	$sandbox->invoice($number, 'pay');
	my $payment = sql(q{SELECT payment_id FROM mf_payment_transactions('} . $number . q{', 'InvoiceId')});
	my $made = sql(q{SET ROLE bob; SELECT invoice_id FROM mf_send_payment('made at once', 1)});

	foreach ([ 999999999, 'InvoiceId', $number ], [ 'nobody.abc', 'CustomerReference', $reference ], [ '07079999999999999999', 'PaymentId', $payment ])
	{
		my ($unknown, $type, $key) = @$_;
		my $answer = asked('alice', $key, $type);

		like($answer, qr/ERROR: +38000: MyFatoorah has no invoice with $type "KEY"/, "what is hidden is not told by $type");
		is($answer, asked('alice', $unknown, $type), 'in the words for what MyFatoorah does not know');
		is(asked('bob', $key, $type), 'ok hidden', 'but to whoever sees the row');
		like(($node->psql($db, "SET ROLE alice; SELECT * FROM mf_payment_transactions('$key', '$type')"))[2], qr/has no invoice/, 'mf_payment_transactions() does not tell of a hidden row');
	}
	is(asked('alice', sql("SELECT invoice_id FROM mf_invoice WHERE id = $shown"), 'InvoiceId'), 'ok shown', 'rows that one sees are told');
	is(asked('alice', $made, 'InvoiceId'), 'ok made at once', 'and invoices of no row');
	# by another account with the same key
	$mf->setup_account($node, $db, $sandbox, account => 'third', key_file => 'myfatoorah.key');
	sql('GRANT USAGE ON FOREIGN SERVER third TO alice');
	is(as('alice', "SELECT customer_name FROM mf_payment_status('$number', 'InvoiceId', 'third')") =~ s/$number/KEY/r, '38000: MyFatoorah has no invoice with InvoiceId "KEY"', 'also not by another account with the same key');
	like(as('alice', "SET row_security = off; SELECT mf_payment_status('$_', 'InvoiceId')"), qr/^42501: query would be affected by row-level security/, 'nor by an error') for $number, 999999999;
}
sql(qq{INSERT INTO mf_transaction (invoice, payment_id) VALUES ($own, '1'), ($bobs, '2');
	INSERT INTO mf_event (account, source, invoice, digest) VALUES ('myfatoorah', 'webhook', $own, '1'), ('myfatoorah', 'webhook', NULL, '2');
	INSERT INTO mf_operation (invoice, account, value, status, refund_id, reference) VALUES ($own, 'myfatoorah', 1, 'refused', 1, '1'), ($bobs, 'myfatoorah', 1, 'refused', 2, '2');
	INSERT INTO mf_operation_attempt (operation, attempt, reference, body_sha256, started_at, send_by) SELECT id, 1, reference, '', now(), now() FROM mf_operation});
my $tables = sql(q{SELECT detail FROM mf_check() WHERE item = 'policies'}) =~ s/.*: (.*)\.$/$1/r;
is($tables, 'mf_attempt, mf_event, mf_inquiry, mf_operation, mf_operation_attempt, mf_queue, mf_transaction', 'mf_check() names the tables that have no policies');
is(sql(q{SELECT string_agg(DISTINCT c.relname, ', ' ORDER BY c.relname) FROM pg_class c, aclexplode(c.relacl) a WHERE c.relkind IN ('r', 'p') AND c.relname LIKE 'mf\_%'
		AND a.grantee <> c.relowner AND a.privilege_type = 'SELECT' AND c.relname NOT IN ('mf_invoice', 'mf_account', 'mf_api_proof', 'mf_identity', 'mf_home', 'mf_reaction', 'mf_route')}), $tables,
	'which are all that somebody may read and that tell of invoices');
foreach (split /, /, $tables)
{
	my $invoice = $_ eq 'mf_operation_attempt' ? '(SELECT o.invoice FROM mf_operation o WHERE o.id = operation)' : 'invoice';

	sql("ALTER TABLE $_ ENABLE ROW LEVEL SECURITY; CREATE POLICY visible ON $_ USING (mf_invoice_visible($invoice))");
}
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'policies'}), 0, 'until they have them');
is(as('alice', 'SELECT string_agg(payment_id, \' \') FROM mf_transaction'), 'ok 1', 'as told there, these tables follow the policies of mf_invoice');
is(as('reader', q{SELECT (SELECT string_agg(reference, ' ') FROM mf_operation), (SELECT string_agg(reference, ' ') FROM mf_operation_attempt)}), 'ok |', 'refunds and their requests, too');
is(as('officer', q{SELECT (SELECT count(*) FROM mf_operation), (SELECT count(*) FROM mf_operation_attempt)}), 'ok 2|2', 'but for those who see all');
is(as('reader', 'SELECT (SELECT count(*) FROM mf_event), (SELECT count(*) FROM mf_queue), (SELECT count(*) FROM mf_unmatched)'), 'ok 0|0|0', 'events of no row are for those who see all');
is(as('officer', 'SELECT (SELECT count(*) FROM mf_event), (SELECT count(*) > 0 FROM mf_queue), (SELECT count(*) FROM mf_unmatched)'), 'ok 1|t|0', 'whom the policies show all rows');
is(sql('SELECT count(*) FROM mf_unmatched'), 1, 'as superusers are not');
is(sql('SHOW server_version_num') < 150000 ? '' : policies_in_dump(), '', 'pg_dump leaves the policies of an extension\'s tables out, as that of 14 does not');
insert_as('alice', 'with policies');
$mf->wait_status($node, $db, 'with policies');
sql('DELETE FROM mf_transaction; DELETE FROM mf_event; DELETE FROM mf_operation; DELETE FROM mf_operation_attempt');
sql("UPDATE mf_invoice SET invoice_value = 1000 WHERE id = $own");
is(as('alice', "SELECT mf_cancel($own)"), $denied, 'nor what a policy does not let one update');
is(as('officer', "SELECT mf_cancel($own)"), $denied, 'operators neither');
sql(q{ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY; REVOKE UPDATE ON mf_invoice FROM officer; CREATE ROLE caller IN ROLE alice NOINHERIT;
	GRANT USAGE ON SCHEMA public TO caller; GRANT SELECT ON mf_invoice TO caller; GRANT EXECUTE ON FUNCTION mf_cancel(bigint, text) TO caller});
is(as('caller', "SELECT mf_cancel($own)"), '42501: permission denied for table mf_invoice', 'mf_cancel() asks for the right to update');

# An invoice under a row's reference, or that of its resends, would be taken for that row's.
my $reference = sql("SELECT reference FROM mf_invoice WHERE id = $bobs");
is(as('alice', "SELECT mf_send_payment('evil', 1, customer_reference => '$_')"), '42501: permission denied for invoice N', 'mf_send_payment() makes nothing under the reference of another role\'s row') for $reference, "$reference~3";
like(as('bob', "SELECT mf_send_payment('x', 1, customer_reference => '$reference~3')"), qr/^ok \(/, 'but for whoever may change it');

#
# What was lacking
#
sql('CREATE SCHEMA bobs AUTHORIZATION bob');
my $rents = "CREATE TABLE bobs.rents (invoice bigint REFERENCES mf_invoice (id)); INSERT INTO bobs.rents VALUES ($bobs) RETURNING 1";
is(as('bob', $rents), '42501: permission denied for table mf_invoice', 'nobody has a foreign key to invoices, which would run code of his when they are deleted');
sql('GRANT REFERENCES (id) ON mf_invoice TO bob');
is(as('bob', $rents), 'ok 1', 'unless he is trusted with that');
my $review = insert_as('bob', 'to review', send_at => q('2099-01-01'));
my $others = insert_as('alice', 'others', send_at => q('2099-01-01'));
sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'review' WHERE id IN ($review, $others); UPDATE mf_queue SET kind = 'review', due = 'infinity' WHERE invoice IN ($review, $others)});
is(as('bob', 'SELECT id FROM mf_review'), "ok $review", 'and see which of their own need a person');
is(as('alice', 'SELECT id FROM mf_review'), "ok $others", 'each role sees its own rows in mf_review');
is(as('reader', 'SELECT count(*) FROM mf_review'), 'ok 2', 'a reader sees all rows in mf_review');
like(as('reader', q{SELECT string_agg(item || ' ' || ok, ', ') FROM mf_check()}), qr/^ok library true, worker true.*account false, sending true/, 'and runs mf_check(), but for what needs USAGE');
like(as('reader', q{SELECT detail FROM mf_check() WHERE item = 'account'}), qr/nothing can be sent with the key of role "reader": permission denied for account "myfatoorah"/, 'mf_check() says that the reader has no USAGE');

# Whoever listens learns which row to read.
my ($code, $heard) = $node->psql($db, "SET ROLE reports; LISTEN mf_invoice; RESET ROLE; SELECT mf_cancel($bobs); SELECT 1");
like($heard, qr/notification "mf_invoice" with payload "\{"id": $bobs\}"/, 'a notification says which row to read, and nothing of it');

is_deeply([ $mf->problems($node, $db, $sandbox, others => 1) ], [], 'each invoice was made once');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
