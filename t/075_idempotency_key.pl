# mf_invoice.idempotency_key: what has the same key is the same invoice, however often the month is run.
use MyFatoorah::Test qw(sql ask attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'keys';
my $node = ask $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'"), $db;
my $invoice = 'INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key) VALUES';
my $nothing = 'ON CONFLICT (account, idempotency_key) DO NOTHING';
my $again = 'ON CONFLICT (account, idempotency_key) DO UPDATE SET idempotency_key = EXCLUDED.idempotency_key RETURNING id, status';

$node->safe_psql('postgres', "CREATE DATABASE keys TEMPLATE template0 ENCODING 'UTF8'");
$mf->setup_account($node, $db, $sandbox);
$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key');
$mf->wait_worker($node, $db);

# "ok" and what it gives, or SQLSTATE and message; with the column and the constraint that drivers get
sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? "ok $got->{out}" : join ', ', $got->{error} =~ s/invoice \d+/invoice N/r, grep { $_ } $got->{said} =~ /^(?:COLUMN|CONSTRAINT) NAME:  (\S+)/mg;
}

#
# The month, twice
#
sql(q{CREATE TABLE rent (flat int PRIMARY KEY, tenant text, amount numeric); INSERT INTO rent SELECT n, 'tenant ' || n, 100 + n FROM generate_series(1, 60) n});
my $month = "INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key) SELECT tenant, amount, 'rent 2026-01, flat ' || flat FROM rent $nothing RETURNING id";
is(scalar(split /\n/, sql($month)), 60, 'the month is run');
$mf->wait_settled($node, $db);
sql(q{INSERT INTO rent VALUES (61, 'new', 50)});
is(scalar(split /\n/, sql($month)), 1, 'and again: only what is new is inserted');
$mf->wait_settled($node, $db);
is(sql(q{SELECT count(*), count(DISTINCT idempotency_key), bool_and(status = 'sent') FROM mf_invoice}), '61|61|t', 'each has one invoice');
is($sandbox->count(path => '/v2/SendPayment'), 61, 'at MyFatoorah, too');

#
# What conflicts, and what does not
#
my $duplicate = '23505: duplicate key value violates unique constraint "mf_invoice_idempotency_key_idx", mf_invoice_idempotency_key_idx';
sql(q{SELECT mf_pause('*')});
my $id = sql("$invoice ('once', 1, 'once') RETURNING id");
is(attempt("$invoice ('once more', 2, 'once')"), $duplicate, 'the same key again is an error');
is(attempt("$invoice ('once more', 2, 'once') $nothing RETURNING id"), 'ok ', 'ON CONFLICT DO NOTHING inserts nothing');
is(attempt("$invoice ('once more', 2, 'once') $again"), "ok $id|queued", 'or gives the row that has it');
is(attempt("$invoice ('fresh', 2, 'fresh') $again") =~ s/\d+/N/r, 'ok N|queued', 'and a new one likewise');
is(sql("SELECT customer_name, invoice_value FROM mf_invoice WHERE id = $id"), 'once|1', 'which stays as it was');
is(attempt("$invoice ('once', 1.5, 'once') ON CONFLICT (account, idempotency_key) DO UPDATE SET invoice_value = EXCLUDED.invoice_value RETURNING invoice_value"),
	'ok 1.5', 'unless it is to be corrected, and has not left');
my $sent = sql(q{SELECT id FROM mf_invoice WHERE idempotency_key = 'rent 2026-01, flat 7'});
is(attempt("$invoice ('tenant', 1, 'rent 2026-01, flat 7') $again"), "ok $sent|sent", 'one that was sent is given back, too');
is(attempt("$invoice ('tenant', 1, 'rent 2026-01, flat 7') ON CONFLICT (account, idempotency_key) DO UPDATE SET invoice_value = EXCLUDED.invoice_value"),
	'55000: invoice N can no longer be changed', 'one that was sent is not corrected');
is(sql("SELECT count(*) FROM mf_history WHERE invoice = $sent AND reason = 'edited'"), 0, 'and the history has no edit that was none');
is(attempt("INSERT INTO mf_invoice (account, customer_name, invoice_value, idempotency_key) VALUES ('second', 'x', 1, 'once') RETURNING account"), 'ok second', 'another account has keys of its own');
is(attempt("$invoice ('x', 1, ' once') RETURNING idempotency_key"), 'ok  once', 'a key is taken as it is');
is(attempt("$invoice ('x', 1, 'ONCE') RETURNING idempotency_key"), 'ok ONCE', 'keys that differ in case are two keys');
is(attempt("$invoice ('x', 1, NULL), ('x', 1, NULL), ('x', 1, DEFAULT) $nothing RETURNING 1"), "ok 1\n1\n1", 'rows without a key are as many as they are');
is(attempt("$invoice ('x', 1, 'both'), ('x', 2, 'both') $nothing RETURNING invoice_value"), 'ok 1', 'within one statement, likewise');
like(sql(q{EXPLAIN SELECT id FROM mf_invoice WHERE idempotency_key = 'once'}), qr/Index Scan using mf_invoice_idempotency_key_idx/, 'a key is found by its index');

# Whatever the collation of the column; a view keeps the type of what it shows, so whoever insists takes it away first
sql(q{ALTER EXTENSION myfatoorah DROP VIEW mf_invoice_all; DROP VIEW mf_invoice_all});
foreach my $collation ('und-x-icu', 'POSIX', 'default', 'C')
{
	sql(qq{ALTER TABLE mf_invoice ALTER idempotency_key TYPE text COLLATE "$collation"; $invoice ('x', 1, 'collation') $nothing});
	is(attempt("$invoice ('x', 1, 'collation') $nothing RETURNING 1"), 'ok ', "the plain form works with a column of collation $collation");
}

#
# What is no key
#
is(attempt("$invoice ('x', 1, '')"), '22023: idempotency_key must not be blank, idempotency_key', 'an empty text would protect nobody');
is(attempt("$invoice ('x', 1, E'\\u3000 \\u200f')"), '22023: idempotency_key must not be blank, idempotency_key', 'nor would one that shows nothing');
is(attempt("$invoice ('x', 1, repeat(chr(1605), 256))"), '22023: idempotency_key is too long, idempotency_key', 'more than 255 characters are too long');
is(attempt("$invoice ('x', 1, repeat('x', 100000000))"), '22023: idempotency_key is too long, idempotency_key', 'many more, too');
is(attempt("$invoice ('x', 1, repeat(chr(127968), 255)) RETURNING length(idempotency_key)"), 'ok 255', '255 of any kind are not');

#
# It may be changed as long as the others may, and goes with the row.
#
is(attempt("UPDATE mf_invoice SET idempotency_key = 'twice' WHERE id = $id RETURNING idempotency_key"), 'ok twice', 'a queued row gets another');
is(sql("SELECT changes->'idempotency_key' FROM mf_history WHERE invoice = $id AND changes ? 'idempotency_key'"), '{"new": "twice", "old": "once"}', 'which the history tells');
is(attempt("UPDATE mf_invoice SET idempotency_key = 'fresh' WHERE id = $id"), $duplicate, 'but none that is taken');
is(attempt("UPDATE mf_invoice SET idempotency_key = NULL WHERE id = $sent"), '55000: invoice N can no longer be changed', 'one that was sent keeps its own');
is(attempt("UPDATE mf_invoice SET customer_name = customer_name WHERE id = $sent RETURNING status"), 'ok sent', 'what changes nothing is no change');
sql("SELECT mf_cancel($id)");
is(attempt("$invoice ('again', 1, 'twice') $nothing RETURNING 1"), 'ok ', 'a cancelled row keeps its key: a second run does not bring it back');
is(attempt("UPDATE mf_invoice SET idempotency_key = 'thrice' WHERE id = $id"), '55000: invoice N can no longer be changed', 'the key of a cancelled row cannot be changed');
sql("DELETE FROM mf_invoice WHERE id = $id");
is(attempt("$invoice ('again', 1, 'twice') $nothing RETURNING 1"), 'ok 1', 'unless its owner deletes it');
sql(q{SELECT mf_resume('*')});
$mf->wait_settled($node, $db);
$sandbox->faults({ path => 'SendPayment', contains => 'refused', times => 1, shape => 1 });
sql("$invoice ('refused', 1, 'refused')");
$mf->wait_for($node, $db, q{SELECT status FROM mf_invoice WHERE idempotency_key = 'refused'}, 'rejected');
is(attempt("$invoice ('refused', 1, 'refused') $again") =~ s/\d+/N/r, 'ok N|rejected', 'so does a rejected one');
sql(q{UPDATE mf_invoice SET customer_name = 'corrected' WHERE idempotency_key = 'refused'; SELECT mf_retry(id) FROM mf_invoice WHERE idempotency_key = 'refused'});
$mf->wait_for($node, $db, q{SELECT status || customer_name FROM mf_invoice WHERE idempotency_key = 'refused'}, 'sentcorrected');
pass('which goes once it is corrected, with mf_retry()');

#
# Two that run the month at the same time
#
my $session = $mf->session($node, $db);
my $other = $mf->session($node, $db);
$session->query_safe("BEGIN; $invoice ('race', 1, 'race')");
my $pid = $other->query_safe('SELECT pg_backend_pid()');
$other->query_until(qr/waiting/, "\\echo waiting\n$invoice ('race', 1, 'race') $nothing RETURNING id;\n\\echo done\n");
$mf->wait_for($node, $db, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
$session->query_safe('COMMIT');
$other->query_until(qr/done/, '');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE idempotency_key = 'race'}), 1, 'two at the same time make one');
$_->quit for $session, $other;

#
# Rights
#
sql(q{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice, bob;
	SELECT mf_pause('*')});
like(attempt("$invoice ('x', 1, 'alices') $again", 'alice'), qr/^ok \d+\|queued$/, 'who may submit may give a key');
like(attempt("$invoice ('x', 1, 'alices') $again", 'alice'), qr/^ok \d+\|queued$/, 'and gets the row back');
is(attempt("$invoice ('x', 1, 'alices') $nothing RETURNING 1", 'bob'), 'ok ', 'keys are of the account, whoever gives them');
is(attempt("$invoice ('x', 1, 'alices') $again", 'bob'), '42501: permission denied for invoice N', 'and the row is that of who has inserted it');

#
# From tables of one's own
#
sql(q{CREATE TABLE fee (member text, month text, amount numeric, invoice bigint);
	CREATE TRIGGER invoice AFTER INSERT ON fee FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=member', 'invoice_value=amount', 'idempotency_key=month', 'id=invoice');
	CREATE TABLE event (who text, much numeric);
	CREATE TRIGGER invoice AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=who', 'invoice_value=much', 'idempotency_key=''the only one''');
	GRANT INSERT, SELECT, UPDATE ON fee TO alice, bob});
sql(q{INSERT INTO fee (member, month, amount) VALUES ('a', 'a 2026-01', 1), ('b', 'b 2026-01', 2), ('none', NULL, 3), ('none', NULL, 4)});
sql(q{INSERT INTO fee (member, month, amount) VALUES ('a', 'a 2026-01', 1), ('a', 'a 2026-02', 1)});
is(sql(q{SELECT string_agg(member || ' ' || n, ', ' ORDER BY member) FROM (SELECT member, count(*) || ' rows ' || count(DISTINCT invoice) AS n FROM fee GROUP BY 1) f}),
	'a 3 rows 2, b 1 rows 1, none 2 rows 2', 'mf_enqueue() gives a row the invoice that has its key');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE idempotency_key LIKE '_ 2026-0_'}), 3, 'and makes no other');
is(attempt(q{INSERT INTO event VALUES ('x', 1), ('y', 2); SELECT count(*) FROM mf_invoice WHERE idempotency_key = 'the only one'}), 'ok 1', 'a constant is a key, too');
is(attempt(q{INSERT INTO fee (member, month, amount) VALUES ('a', ' ', 1)}), '22023: idempotency_key must not be blank, idempotency_key', 'what is none is said');
like(attempt(q{INSERT INTO fee (member, month, amount) VALUES ('x', 'x 2026-01', 1) RETURNING 1}, 'alice'), qr/^ok 1/, 'with the rights of who inserts');
is(attempt(q{INSERT INTO fee (member, month, amount) VALUES ('x', 'x 2026-01', 1)}, 'bob'), '42501: permission denied for invoice N', 'and not into the row of another');

#
# An account whose server got another name: its keys go along, and what is taken there stays taken.
#
sql(q{CREATE SERVER acc2 FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9'); CREATE USER MAPPING FOR PUBLIC SERVER acc2 OPTIONS (api_key_file 'myfatoorah.key'); GRANT USAGE ON FOREIGN SERVER acc2 TO alice;
	INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, idempotency_key) SELECT 'acc2', k, 1, now() + interval '1 day', k FROM unnest(ARRAY['waits', 'cancelled', 'archived', 'dropped']) k;
	SELECT mf_pause('acc2', 'for now'), count(mf_cancel(id)) FROM mf_invoice WHERE account = 'acc2' AND idempotency_key <> 'waits'; SET session_replication_role = replica;
	UPDATE mf_invoice SET created_at = CASE idempotency_key WHEN 'dropped' THEN '2020-02-01' ELSE '2020-01-01' END::date WHERE idempotency_key IN ('archived', 'dropped'); RESET session_replication_role;
	SELECT mf_archive('2020-03-01'); DROP TABLE mf_invoice_archive_2020_02});
# A run that leaves out what is taken: one archived key would fail all of it.
my $run = sub { "INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, idempotency_key) SELECT 'acc2', 'run', 1, now() + interval '1 day', k
	FROM unnest(ARRAY['waits', 'cancelled', 'archived', 'dropped', 'new', NULL]) k $_[0] RETURNING coalesce(idempotency_key, 'none')" };
is(attempt($run->($nothing), 'alice'), '23505: an archived invoice has the same idempotency_key "archived"', 'ON CONFLICT does not help with archived ones');
is(attempt($run->("WHERE NOT mf_key_taken(k, 'acc2') $nothing"), 'alice'), "ok new\nnone", 'mf_key_taken() does');
is(attempt(q{SELECT mf_key_taken('archived'), mf_key_taken('archived', 'acc2'), mf_key_taken('dropped', 'acc2'), mf_key_taken('waits', 'acc2'), mf_key_taken(NULL, 'acc2')}, 'alice'), 'ok f|t|t|t|f', 'of the account that is asked about');
is(attempt(q{SELECT mf_key_taken('archived', 'acc2')}, 'bob'), '42501: permission denied for account "acc2"', 'whoever may insert for it is told');
is(attempt(q{SELECT mf_key_taken('archived', 'none')}), '42704: account "none" does not exist', 'an account must be there');
is(attempt(q{SELECT mf_key_taken('archived', NULL)}), '22004: account must not be null', 'and given');
foreach my $key ('waits', 'cancelled', 'archived', 'dropped')
{
	like(attempt("BEGIN; ALTER SERVER acc2 RENAME TO acc3; INSERT INTO mf_invoice (account, customer_name, invoice_value, idempotency_key) VALUES ('acc3', 'again', 1, '$key')"),
		qr/^23505: /, "its keys are taken in the same transaction: $key");
}
sql(q{CREATE ROLE owner2; GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO owner2; ALTER SERVER acc2 OWNER TO owner2; GRANT CREATE ON DATABASE keys TO owner2; SET ROLE owner2; ALTER SERVER acc2 RENAME TO acc3});
is(sql(q{SELECT string_agg(concat_ws(' ', idempotency_key, account), ', ' ORDER BY idempotency_key) FROM (SELECT idempotency_key, account FROM mf_invoice UNION ALL SELECT idempotency_key, account FROM mf_invoice_archive) i WHERE account IN ('acc2', 'acc3')}), 'archived acc3, cancelled acc3, new acc3, waits acc3, acc3', 'whoever renames the server, its invoices follow');
is(sql(q{SELECT string_agg(DISTINCT account, ', ') FROM (SELECT account FROM mf_queue UNION ALL SELECT account FROM mf_archive_key UNION ALL SELECT account FROM mf_account WHERE reason = 'for now') a WHERE account ~ '^acc'}), 'acc3', 'and all else');
is(sql(q{SELECT string_agg(DISTINCT a.account, ', ') FROM mf_queue q JOIN mf_account a ON a.account = q.account WHERE q.account ~ '^acc' AND a.paused_at IS NOT NULL}), 'acc3', 'with its pause');
is(sql(q{SELECT string_agg(detail, ' ') FROM mf_check('acc3') WHERE item = 'accounts' AND NOT ok}), '', 'and mf_check() has nothing to say');
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE account = 'acc3' AND status = 'queued'; DROP SERVER acc3 CASCADE});
sql(q{INSERT INTO mf_invoice (account, customer_name, invoice_value, idempotency_key) VALUES ('second', 'x', 1, 'only second'), ('second', 'x', 2, 'fresh'); DROP SERVER second CASCADE});
is(sql(q{SELECT mf_move_account('second', 'myfatoorah') > 0; SELECT string_agg(idempotency_key, ', ' ORDER BY idempotency_key) FROM mf_invoice WHERE account = 'myfatoorah' AND idempotency_key IN ('fresh', 'only second')}),
	"t\nfresh, only second", 'moved to another account');

sql(q{CREATE SERVER fourth FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9'); CREATE USER MAPPING FOR PUBLIC SERVER fourth OPTIONS (api_key_file 'myfatoorah.key');
	INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, idempotency_key) SELECT a, 'old ' || k, 1, now() + interval '1 day', k
	FROM unnest(ARRAY['fourth', 'myfatoorah']) a, unnest(ARRAY['both old', 'old there', 'old here']) k; INSERT INTO mf_invoice (account, customer_name, invoice_value, send_at, idempotency_key)
	VALUES ('fourth', 'old alone', 1, now() + interval '1 day', 'old alone');
	SELECT mf_cancel(id) FROM mf_invoice WHERE customer_name LIKE '% old' OR customer_name LIKE 'old %'; SET session_replication_role = replica;
	UPDATE mf_invoice SET created_at = '2020-01-01' WHERE idempotency_key IN ('both old', 'old alone') OR (account, idempotency_key) IN (('fourth', 'old there'), ('myfatoorah', 'old here'));
	RESET session_replication_role; SELECT mf_archive('2020-02-01'); DROP SERVER fourth CASCADE});
is(sql(q{SELECT mf_move_account('fourth', 'myfatoorah')}), 4, 'archived ones, too, and they are counted');
is(sql(q{SELECT string_agg(concat_ws(' ', k, n), ', ' ORDER BY k) FROM (SELECT idempotency_key AS k, count(*) AS n FROM (SELECT idempotency_key FROM mf_invoice WHERE customer_name LIKE 'old %' AND account = 'myfatoorah'
	UNION ALL SELECT idempotency_key FROM mf_invoice_archive WHERE account = 'myfatoorah') i GROUP BY 1) s}),
	'both old 1, old alone 1, old here 1, old there 1, 3', 'each key is there once');

#
# Dump and restore
#
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';
command_ok([ $node->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $node->connstr($db) ], 'pg_dump');
sql(q{CREATE DATABASE copy TEMPLATE template0 ENCODING 'UTF8'});
command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('copy'), $dump ], 'pg_restore');
is($node->safe_psql('copy', q{SELECT count(*), count(DISTINCT idempotency_key) FROM mf_invoice}), sql(q{SELECT count(*), count(DISTINCT idempotency_key) FROM mf_invoice}), 'a dump has the keys');
is($node->safe_psql('copy', "SET client_min_messages = error; $month"), '', 'and the month is not run again where it was restored');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
