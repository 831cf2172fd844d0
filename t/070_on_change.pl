# Functions of users that are called after changes: with whose rights, in which transactions, and what becomes of those that
# fail, are slow, are gone, are somebody else's, or would rather have other rights.
use MyFatoorah::Test qw(sql wait_for as);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");
my $db = 'postgres';

# A function of a role's with that body, registered by it
sub react
{
	my ($role, $name, $body) = @_;

	sql("SET ROLE $role; CREATE OR REPLACE FUNCTION $name(old public.mf_invoice, new public.mf_invoice) RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN $body END \$f\$;
		SELECT public.mf_on_change('$name(public.mf_invoice, public.mf_invoice)')");
	return;
}

sub set
{
	my ($name, $value) = @_;

	sql("ALTER SYSTEM SET $name = '$value'");
	sql('SELECT pg_reload_conf()');
	wait_for("SELECT setting = '$value' OR setting || unit = '$value' FROM pg_settings WHERE name = '$name'");
	return;
}

# An invoice that waits for a day; and one that was sent, and is paid then or has some of it back
sub waiting
{
	return sql("SET ROLE bob; INSERT INTO mf_invoice " . $mf->invoice($_[0], send_at => "now() + interval '1 day'") . ' RETURNING id');
}

sub sent
{
	my ($name) = @_;
	my $id = $mf->insert($node, $db, $name);

	$mf->wait_status($node, $db, $name);
	return $id;
}

sub remote_id
{
	return sql("SELECT invoice_id FROM mf_invoice WHERE id = $_[0]");
}

sub pay
{
	my ($id) = @_;

	$sandbox->invoice(remote_id($id), 'pay');
	sql("SELECT mf_refresh($id)");
	wait_for("SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
	return;
}

# What the ledger says of an invoice that was told all, in the order of its lines
sub booked
{
	my ($id) = @_;

	wait_for("SELECT count(*) FROM mf_reaction_queue WHERE invoice = $id", 0);
	return sql("SELECT string_agg(was || '>' || is_now, ' ' ORDER BY n) FROM books.ledger WHERE invoice = $id");
}

# Waits until all was told
sub all_told
{
	return wait_for('SELECT count(*) FROM mf_reaction_queue', 0);
}

sub check
{
	return sql("SELECT detail FROM mf_check() WHERE item = 'reactions' AND NOT ok ORDER BY 1");
}

sub backlog
{
	return sql('SELECT count(*), sum(changes) FROM mf_reaction_backlog');
}

$mf->setup_account($node, $db, $sandbox);
sql(q{CREATE ROLE accounts LOGIN IN ROLE myfatoorah_read; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; CREATE ROLE officer IN ROLE myfatoorah_operate;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO bob; CREATE SCHEMA books AUTHORIZATION accounts; GRANT USAGE ON SCHEMA books TO bob; CREATE TABLE public.secret AS SELECT 42 AS n;
	SET ROLE accounts;
	CREATE TABLE books.ledger (n bigint GENERATED ALWAYS AS IDENTITY, invoice bigint, was text, is_now text, amount numeric, who text, setting text, row text);
	CREATE TABLE books.failing (name text); CREATE SEQUENCE books.calls});
my $book = q{
	PERFORM nextval('books.calls');
	IF EXISTS (SELECT FROM books.failing f WHERE f.name IN (new.customer_reference, new.customer_reference || '/' || new.payment_status)) THEN RAISE EXCEPTION 'the books are closed' USING DETAIL = 'Until Monday.'; END IF;
	INSERT INTO books.ledger (invoice, was, is_now, amount, who, setting, row) VALUES (new.id, concat_ws('/', old.status, nullif(old.payment_status, 'unpaid'), nullif(old.refunded_value, 0)),
		concat_ws('/', new.status, nullif(new.payment_status, 'unpaid'), nullif(new.refunded_value, 0)), new.base_value, current_user, current_setting('search_path'), old::text || new::text);};
react('accounts', 'books.book', $book);
$mf->wait_worker($node, $db);
my $worker = $mf->worker_pid($node, $db);

#
# What it is told, and as whom
#
my $told = sent('told');
pay($told);
$sandbox->refund(remote_id($told), '0.250');
sql("SELECT mf_refresh($told)");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $told", 'partly_refunded');
is(booked($told), 'queued>sending sending>sent sent>sent/paid sent/paid>sent/partly_refunded/0.250', 'each change of state and money in the worker, with the row before and after');
is(sql("SELECT DISTINCT who, setting, amount FROM books.ledger WHERE invoice = $told AND amount IS NOT NULL"), 'accounts|pg_catalog, pg_temp|1.250', 'as the owner of the function, with a safe search path');
my $cancelled = waiting('cancelled');
is(sql("SET ROLE bob; SET search_path = books, public; BEGIN; SELECT count(mf_cancel($cancelled)); RESET ROLE; SELECT count(*) FROM books.ledger WHERE invoice = $cancelled; COMMIT"), "1\n0", 'a session that changes a row does not call it');
all_told();
is(sql("SELECT was, is_now, who, setting FROM books.ledger WHERE invoice = $cancelled"), 'queued|cancelled|accounts|pg_catalog, pg_temp', 'another process does, after the commit');
my $edited = waiting('edited');
sql("SET ROLE bob; UPDATE mf_invoice SET customer_name = 'Other', priority = 3 WHERE id = $edited; BEGIN; SELECT mf_cancel($edited); ROLLBACK");
all_told();
is(booked($edited), '', 'columns that users write are not told, and what is rolled back was not');
sql(q{SET ROLE bob; SET client_min_messages = log; SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'edited'});
all_told();
is(booked($edited), 'queued>cancelled', 'but for that it is');
is(backlog(), '0|', 'no change waits for a function');

#
# The rights of the owner, and nothing beyond
#
sub refused
{
	my ($body, $error, $what) = @_;
	my $id = waiting('refused');

	react('accounts', 'books.book', $body);
	sql("SELECT mf_cancel($id)");
	is(sql("SELECT status FROM mf_invoice WHERE id = $id"), 'cancelled', "$what: the change stands");
	wait_for("SELECT failures > 1 FROM mf_reaction_backlog WHERE invoice = $id");
	like(sql("SELECT error FROM mf_reaction_backlog WHERE invoice = $id"), $error, "$what: refused");
	sql(q{SELECT mf_off_change('books.book')});
	return;
}

refused('PERFORM n FROM public.secret;', qr/^permission denied for table secret$/, 'what the owner may not read');
refused("PERFORM set_config('role', 'postgres', false);", qr/^cannot set parameter "role" within security-definer function$/, 'another role');
refused('RESET ROLE;', qr/^cannot set parameter "role" within security-definer function$/, 'RESET ROLE');
refused('SET SESSION AUTHORIZATION postgres;', qr/^cannot set parameter "session_authorization" within/, 'another session');
refused("UPDATE public.mf_invoice SET status = 'sent' WHERE id = new.id;", qr/^permission denied for table mf_invoice$/, 'a state');
sql('GRANT myfatoorah_submit TO accounts; GRANT USAGE ON FOREIGN SERVER myfatoorah TO accounts');
refused("PERFORM public.mf_send_payment('x', 1);", qr/^mf_send_payment\(\) cannot be called by a function of mf_on_change\(\), mf_on_time\(\) or mf_on_request\(\): /, 'what cannot be rolled back');
refused("PERFORM public.mf_payment_status('1', 'InvoiceId');", qr/^requests to MyFatoorah cannot be sent in a background process of myfatoorah/, 'what waits for the network');
refused("RAISE EXCEPTION 'no' USING ERRCODE = '$_';", qr/^no$/, "the word of a cancel, $_") for qw(57014 57P01 40001 53100 55000);
refused('SET CONSTRAINTS ALL IMMEDIATE;', qr/^cannot set constraints within a change made by myfatoorah/, 'what others have deferred');
unlike(slurp_file($node->logfile), qr/public\.secret.*(WARNING|NOTICE)/, 'nobody is told but the log');

# Settings that it makes end with it, and names are found where they should be, also by what it calls.
sql(q{CREATE SCHEMA evil AUTHORIZATION officer; CREATE TABLE evil.caught (by name); GRANT ALL ON evil.caught TO PUBLIC; GRANT USAGE ON SCHEMA evil TO PUBLIC; SET ROLE officer;
	CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.caught VALUES (current_user); RETURN pg_catalog.now(); END'});
react('officer', 'evil.trap', q{
	PERFORM set_config('search_path', 'evil, pg_catalog', false), set_config('timezone', 'Asia/Kuwait', false);
	IF new.status = 'sent' AND old.status = 'sending' THEN
		PERFORM clock_timestamp();
		PERFORM public.mf_cancel(i.id) FROM public.mf_invoice i WHERE i.customer_reference = 'the other' AND i.status = 'queued';
	END IF;});
my $other = waiting('the other');
my $trap = sent('trap');
all_told();
is($mf->status($node, $db, 'the other'), 'cancelled', 'a function may call ours');
is(sql('SELECT string_agg(by, $$ $$) FROM evil.caught'), 'officer', 'where nothing of its path is found');
all_told();
is($mf->worker_pid($node, $db), $worker, 'the worker is still the same');
is(sql(qq{SET search_path = "\$user", public; SELECT count(mf_cancel(@{[ waiting('settings') ]})); SELECT current_setting('search_path'), current_setting('timezone') = reset_val FROM pg_settings WHERE name = 'TimeZone'}),
	qq{1\n"\$user", public|t}, 'no setting is left behind');
sql(q{SELECT mf_off_change('evil.trap')});

# What is deferred would fail at the commit, with the payment.
sql(q{SET ROLE accounts; CREATE TABLE books.month (id int PRIMARY KEY); INSERT INTO books.month VALUES (1);
	CREATE TABLE books.entry (invoice bigint, month int CONSTRAINT to_month REFERENCES books.month DEFERRABLE INITIALLY DEFERRED)});
react('accounts', 'books.enter', q{INSERT INTO books.entry VALUES (new.id, CASE new.customer_reference WHEN 'deferred' THEN 1 ELSE 2 END);});
my ($fine, $not_fine) = (waiting('deferred'), waiting('deferred, and wrong'));
sql("SELECT mf_cancel($fine)");
wait_for("SELECT count(*) FROM books.entry WHERE invoice = $fine", 1);
all_told();
sql("SELECT mf_cancel($not_fine)");
is($mf->status($node, $db, 'deferred, and wrong'), 'cancelled', 'a deferred constraint that will fail does not undo the change');
wait_for("SELECT error LIKE 'insert or update on table \"entry\" violates%' FROM mf_reaction_backlog WHERE invoice = $not_fine");
react('accounts', 'books.enter', q{INSERT INTO books.entry VALUES (new.id, 1);});
wait_for("SELECT count(*) FROM books.entry WHERE invoice = $not_fine", 1);
wait_for('SELECT max(failures) FROM mf_reaction', 0);
my $deferred = sent('deferred, sent');
all_told();
is(sql("SELECT count(*) FROM books.entry WHERE invoice = $deferred"), 2, 'what is deferred is checked at once');
is(sql('SELECT max(failures) FROM mf_reaction'), 0, 'a deferred constraint that holds is no failure');
sql(q{SELECT mf_off_change('books.enter')});

#
# One that fails
#
react('accounts', 'books.book', $book);
my ($failing, $well) = (sent('failing'), sent('well'));
sql(q{INSERT INTO books.failing VALUES ('failing/paid')});
pay($failing);
wait_for("SELECT failures > 2 FROM mf_reaction_backlog WHERE invoice = $failing");
like(check(), qr/^Function books\.book has failed about invoice $failing: the books are closed: Until Monday\.\. Changes that wait for it: 1\.$/, 'a payment stands although a function fails, and mf_check() names both');
is(sql(q{SET ROLE bob; SELECT (SELECT count(*) FROM mf_check() WHERE item = 'reactions') + (SELECT count(*) FROM mf_reaction_backlog)}), 0, 'who only submits is not told of failing functions');
like(slurp_file($node->logfile), qr/could not call function books\.book for a change of invoice $failing\n.*the books are closed: Until Monday/, 'the log names the function, the invoice and the error');
pay($well);
wait_for("SELECT count(*) FROM books.ledger WHERE invoice = $well AND is_now = 'sent/paid'", 1);
pass('others are told meanwhile');
$sandbox->refund(remote_id($failing), '0.250');
sql("SELECT mf_refresh($failing)");
wait_for("SELECT payment_status FROM mf_invoice WHERE id = $failing", 'partly_refunded');
my $failures = sql('SELECT failures FROM mf_reaction_backlog');
sql(q{SELECT mf_resume('*')});
wait_for("SELECT failures > $failures + 1 FROM mf_reaction_backlog");
is(backlog(), '1|2', 'what follows of the invoice waits, too');
my $row = sql("SET timezone = 'UTC'; SELECT i::text FROM mf_invoice i WHERE id = $failing");
sql(q{TRUNCATE books.failing; UPDATE mf_reaction_queue SET due = now() + interval '1 hour'; SELECT mf_resume('*')});
all_told();
is(booked($failing), 'queued>sending sending>sent sent>sent/paid sent/paid>sent/partly_refunded/0.250', 'mended, it is told everything in order');
is(sql("SELECT right(row, length(\$r\$$row\$r\$)) = \$r\$$row\$r\$ FROM books.ledger WHERE invoice = $failing ORDER BY n DESC LIMIT 1"), 't', 'the function gets the row as it was then');
is(check(), '', 'and mf_check() has nothing to say');

# A worker that does not run, or is killed in the middle, loses nothing.
sql(q{INSERT INTO books.failing VALUES ('killed')});
my $killed = waiting('killed');
sql("SELECT mf_cancel($killed)");
$node->stop('immediate');
$node->start;
$mf->wait_worker($node, $db);
sql(q{TRUNCATE books.failing; SELECT mf_resume('*')});
wait_for("SELECT count(*) FROM books.ledger WHERE invoice = $killed", 1);
pass('what waits outlives a crash');

#
# One that is slow
#
set('myfatoorah.on_change_timeout', '300');
react('accounts', 'books.book', q{PERFORM nextval('books.calls'); PERFORM pg_sleep(600);});
waiting('many') for 1 .. 10;
is(sql(q{BEGIN; SELECT setval('books.calls', 1); SELECT count(mf_cancel(id)) FROM mf_invoice WHERE customer_reference = 'many'; SELECT last_value FROM books.calls; COMMIT}),
	"1\n10\n1", 'a session does not wait for a slow one');
my @slow = map { sent("slow $_") } 1 .. 3;
pay($_) for @slow;
wait_for("SELECT count(*) > 0 FROM mf_reaction_backlog WHERE error LIKE 'it took longer%'");
like(check(), qr/^Function books\.book has failed about invoice \d+: it took longer than myfatoorah\.on_change_timeout \(300 ms\)\. /, 'it has failed, and payments stand');
react('accounts', 'books.book', $book);
all_told();
is(booked($slow[1]), 'queued>sending sending>sent sent>sent/paid', 'once it is quick it is told all of it');
react('accounts', 'books.book', q{PERFORM nextval('books.calls'); LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN EXIT; END; END LOOP;} . $book);
my $stubborn = waiting('stubborn');
sql("SELECT mf_cancel($stubborn)");
wait_for("SELECT failures > 0 FROM mf_reaction_backlog WHERE invoice = $stubborn");
is(sql("SELECT count(*) FROM books.ledger WHERE invoice = $stubborn"), 0, 'what one does that goes on after its time is undone');
react('accounts', 'books.book', $book);
all_told();
is(sql(q{SELECT count(*) FROM books.ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE i.customer_reference = 'stubborn'}), 1, 'the change is told again to the corrected function');
my $locker = $mf->session($node, $db);
$locker->query_safe('BEGIN; LOCK TABLE books.ledger');
sql("SELECT mf_cancel(@{[ waiting('locked') ]})");
is($mf->status($node, $db, 'locked'), 'cancelled', 'nor is a lock waited for that it wants');
$locker->query_safe('ROLLBACK');
$locker->quit;
wait_for(q{SELECT count(*) FROM books.ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE i.customer_reference = 'locked'}, 1);
wait_for('SELECT max(failures) FROM mf_reaction', 0);

# Cancels that are not ours
set('myfatoorah.on_change_timeout', '60000');
react('accounts', 'books.book', q{PERFORM pg_sleep(600);});
my $real = waiting('real');
$worker = $mf->worker_pid($node, $db);
my $under_way = sent('under way');
wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'PgSleep'}, 1);
$mf->insert($node, $db, 'beside');
$mf->wait_status($node, $db, 'beside');
pass('nothing waits for a function but others of its kind');
react('accounts', 'books.book', $book);
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions'});
is(booked($under_way), 'queued>sending sending>sent', 'the process that calls functions may be ended, and another goes on');
all_told();

# One that nothing ends: not a cancel, but the end of its process
set('myfatoorah.on_change_timeout', '300');
my $endless = q{LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN OTHERS OR query_canceled THEN NULL; END; END LOOP;};
react('accounts', 'books.book', q{RAISE LOG 'account "myfatoorah" is paused'; RAISE WARNING 'account "myfatoorah" is paused'; } . $endless);
my $held = sent('held');
wait_for("SELECT error FROM mf_reaction_backlog WHERE invoice = $held", 'the process that called it was ended, or it went on after myfatoorah.on_change_timeout');
unlike(slurp_file($node->logfile), qr/(?:LOG|WARNING):  account "myfatoorah" is paused/, 'and the log of the server is not for it');
set('myfatoorah.on_change_timeout', '60000');
sql(q{SELECT mf_resume('*')});
wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'PgSleep'}, 1);
set('myfatoorah.on_change_timeout', '300');
$node->stop('fast');
pass('a server stops although one is under way');
$node->start;
$worker = $mf->wait_worker($node, $db);
react('accounts', 'books.book', $book);
all_told();
is(booked($held), 'queued>sending sending>sent', 'and is told all once it ends');

# So many and no more
for my $n (1 .. 7)
{
	react('accounts', "books.more$n", 'NULL;');
}
like(as('accounts', q{CREATE FUNCTION books.more8(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE sql AS ''; SELECT mf_on_change('books.more8(mf_invoice, mf_invoice)')}),
	qr/^54000: role "accounts" has 8 functions that are called after changes or at times, which is the maximum$/, 'a role has eight functions at most');
sql("SELECT mf_off_change('books.more$_')") for 1 .. 7;

#
# One that is gone, one of somebody else
#
set('myfatoorah.on_change_timeout', '30000');
sql('DROP FUNCTION books.book');
like(check(), qr/^Function books\.book cannot be called after changes: the function does not exist any more\. Changes that wait for it: 0\.$/, 'a function that was dropped is told of');
my $gone = sent('gone');
is($mf->status($node, $db, 'gone'), 'sent', 'and stops nothing');
sql(q{ALTER SCHEMA books OWNER TO bob; GRANT ALL ON SCHEMA books TO accounts; SET ROLE bob;
	CREATE SEQUENCE books.wrong_calls; CREATE FUNCTION books.book(mf_invoice, mf_invoice) RETURNS bigint LANGUAGE sql AS $$SELECT nextval('books.wrong_calls')$$});
sql(q{SELECT mf_resume('*')});
wait_for("SELECT error LIKE 'it belongs to role \"bob\" now, and belonged to \"accounts\"%' FROM mf_reaction_backlog WHERE invoice = $gone");
like(check(), qr/^Function books\.book cannot be called after changes: it belongs to role "bob" now, /, 'nor is one of the same name that another role has made');
is(sql('SELECT is_called FROM books.wrong_calls'), 'f', 'which is not called');
sql('SET ROLE bob; DROP FUNCTION books.book; RESET ROLE; ALTER SCHEMA books OWNER TO accounts');
react('accounts', 'books.book', $book);
all_told();
is(booked($gone), 'queued>sending sending>sent', 'registered again, it is told what it has missed');

# An owner who may not read mf_invoice any more
sql('GRANT EXECUTE ON FUNCTION mf_on_change TO accounts; REVOKE myfatoorah_read, myfatoorah_submit FROM accounts');
sql("SELECT mf_cancel(@{[ waiting('unreadable') ]})");
like(check(), qr/^Function books\.book cannot be called after changes: role "accounts", which owns it, may not read mf_invoice\. Changes that wait for it: 1\./, 'an owner without the right to read is told nothing');
sql('GRANT myfatoorah_read TO accounts');
sql(q{SELECT mf_resume('*')});
all_told();
wait_for('SELECT max(failures) FROM mf_reaction', 0);

# Row-level security
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON mf_invoice USING (current_user <> 'accounts' OR customer_reference LIKE 'seen%')});
my ($seen, $unseen) = (waiting('seen'), waiting('unseen'));
sql("SELECT mf_cancel($_)") for $seen, $unseen;
my ($sent_seen, $sent_unseen) = (sent('seen, sent'), sent('unseen, sent'));
all_told();
is(booked($seen) . ' ' . booked($unseen), 'queued>cancelled ', 'rows that policies hide from the owner are not told');
is(booked($sent_seen) . ' ' . booked($sent_unseen), 'queued>sending sending>sent ', 'by the worker neither');
is(backlog(), '0|', 'which is no failure');
sql('ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY');

#
# The example of the documentation
#
my ($doc) = grep { -e } 'docs/payments.md', "$ENV{PWD}/docs/payments.md";
my ($example) = slurp_file($doc) =~ /```sql\n(CREATE TABLE ledger.*?)```/s;
sql("CREATE SCHEMA docs AUTHORIZATION accounts; SET ROLE accounts; SET search_path = docs, public; " . ($example =~ s/search_path = public/search_path = docs/r));
my $example_id = sent('example');
pay($example_id);
all_told();
is(sql("SELECT received, given_back FROM docs.ledger WHERE invoice = $example_id"), '1.250|0', 'the example of docs/payments.md keeps the books');
sql(q{SELECT mf_off_change('docs.book_payment')});

#
# What is taken away while it is being told: nobody is told of a trigger that is not there.
#
my $latch = $mf->session($node, $db);
sub while_telling
{
	my ($function, $statement) = @_;
	my $session = $mf->session($node, $db);

	$latch->query('SELECT pg_advisory_lock(127)');
	react('accounts', $function, q{PERFORM pg_advisory_xact_lock_shared(127);});
	sql(q{SELECT count(mf_cancel(id)) FROM mf_invoice WHERE status = 'queued' AND customer_reference LIKE 'taken away%'});
	wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions' AND wait_event = 'advisory'}, 1);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n\\echo ended\n");
	wait_for("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
	$latch->query('SELECT pg_advisory_unlock(127)');
	$session->query_until(qr/ended/, '');
	my $said = $session->{stderr};
	$session->quit;
	return $said;
}
waiting("taken away $_") for 1 .. 3;
is(while_telling('books.slow', q{SELECT mf_off_change('books.slow')}), '', 'a registration ends while its function is being told');
is(sql(q{SELECT count(*) FROM mf_reaction_queue WHERE function = 'books.slow'}), 0, 'and nothing of it waits');
waiting('taken away with the table');
is(while_telling('books.slow', q{BEGIN; SELECT count(mf_cancel(id)) FROM mf_invoice WHERE status = 'queued'; TRUNCATE mf_invoice; ROLLBACK}), '', 'nor is TRUNCATE kept from it by that');
sql(q{SELECT mf_off_change('books.slow')});
react('accounts', 'books.once', q{PERFORM public.mf_off_change('books.once'); INSERT INTO books.entry VALUES (new.id, 1);});
my $once = waiting('once');
sql("SELECT mf_cancel($once)");
wait_for("SELECT count(*) FROM books.entry WHERE invoice = $once", 1);
is(sql(q{SELECT count(*) FROM mf_reaction WHERE function = 'books.once'}), 0, 'a function may end its own registration');

#
# Dumps, deletion, the end
#
sql(q{INSERT INTO books.failing VALUES ('dumped')});
my $dumped = waiting('dumped');
sql("SELECT mf_cancel($dumped)");
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/archive';
command_ok([ $node->installed_command('pg_dump'), '-Fc', '-d', $node->connstr($db), '-f', $dump ], 'pg_dump');
sql('CREATE DATABASE copy');
$node->command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('copy'), $dump ], 'pg_restore');
$mf->wait_worker($node, 'copy');
is($node->safe_psql('copy', 'SELECT function, owner FROM mf_reaction'), 'books.book|accounts', 'a dump has the registration');
$node->safe_psql('copy', 'TRUNCATE books.failing');
$mf->wait_idle($node, 'copy');
is($node->safe_psql('copy', "SELECT (SELECT count(*) FROM books.ledger WHERE invoice = $dumped), (SELECT count(*) FROM mf_reaction_queue)"), '0|1', 'and what waits, which waits there until somebody resumes');
$node->safe_psql('copy', q{SELECT mf_resume('*')});
$mf->wait_for($node, 'copy', "SELECT count(*) FROM books.ledger WHERE invoice = $dumped", 1);
pass('and is told then');
$node->safe_psql('copy', q{UPDATE mf_queue SET kind = 'send' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'real');
	SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'real'});
$mf->wait_for($node, 'copy', q{SELECT count(*) FROM books.ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE i.customer_reference = 'real'}, 1);
pass('new changes are told there, too');
sql("DELETE FROM mf_invoice WHERE id = $dumped");
is(sql('SELECT count(*) FROM mf_reaction_queue'), 0, 'a deleted invoice leaves nothing of itself there');
is(as('bob', q{SELECT mf_off_change('books.book')}), '42501: permission denied for function books.book', 'nobody ends what is another role\'s');
is(as('officer', q{SELECT mf_off_change('books.book(mf_invoice,mf_invoice)')}), 'ok 0', 'operators do');
sql("SELECT mf_cancel(@{[ waiting('over') ]})");
is(sql(q{SELECT count(*) FROM books.ledger l JOIN mf_invoice i ON i.id = l.invoice WHERE i.customer_reference = 'over'}), 0, 'and it is over');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
# A prepared transaction asks for a call when it commits.
sql(q{SET ROLE accounts; CREATE FUNCTION books.timed(at timestamptz) RETURNS timestamptz LANGUAGE sql AS 'INSERT INTO books.entry VALUES (0, 1); SELECT NULL::timestamptz';
	SELECT public.mf_on_time('books.timed(timestamptz)')});
sql(q{BEGIN; SELECT mf_call_at('books.timed', now()); PREPARE TRANSACTION 'timed'});
# the process looks once more before it ends
wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah reactions'}, 0);
sql(q{COMMIT PREPARED 'timed'});
wait_for('SELECT count(*) FROM books.entry WHERE invoice = 0', 1);
pass('COMMIT PREPARED has what was asked for called');
# What a transaction asks for that ends beside mf_off_change() is none of a later registration's, and does not stay.
foreach my $later ('registered again', 'deleted')
{
	my $late = $mf->session($node, $db);

	sql(q{SELECT mf_on_time('books.timed(timestamptz)')});
	$late->query_safe(q{BEGIN; SELECT mf_call_at('books.timed', now() + interval '1 day')});
	sql(q{SELECT mf_off_change('books.timed')});
	$late->query_safe('COMMIT');
	$late->quit;
	is(sql(q{SELECT count(*) FROM mf_reaction_queue WHERE function = 'books.timed'}), 1, 'a call that nobody wants any more');
	if ($later eq 'deleted')
	{
		sql('SELECT pg_terminate_backend(pid) FROM mf_worker_status');
		wait_for(q{SELECT count(*) FROM mf_reaction_queue WHERE function = 'books.timed'}, 0);
		pass('is deleted by retention');
	}
	else
	{
		sql(q{SELECT mf_on_time('books.timed(timestamptz)')});
		is(sql(q{SELECT count(*) FROM mf_reaction_queue WHERE function = 'books.timed'}), 0, 'is none of a new registration');
		sql(q{SELECT mf_off_change('books.timed')});
	}
}
sql(q{SELECT mf_on_time('books.timed(timestamptz)')});
# A registration ends with the right to register.
sql(q{CREATE ROLE leaver IN ROLE myfatoorah_read; CREATE SCHEMA leaver AUTHORIZATION leaver; SET ROLE leaver; CREATE TABLE leaver.call (at timestamptz);
	CREATE FUNCTION leaver.timed(at timestamptz) RETURNS timestamptz LANGUAGE sql AS 'INSERT INTO leaver.call VALUES (at); SELECT NULL::timestamptz';
	SELECT public.mf_on_time('leaver.timed(timestamptz)', now())});
wait_for('SELECT count(*) FROM leaver.call', 1);
sql(q{REVOKE myfatoorah_read FROM leaver; SELECT mf_call_at('leaver.timed', now())});
wait_for(q{SELECT error FROM mf_reaction_backlog WHERE function = 'leaver.timed'}, 'neither role "leaver", which owns it, nor role "leaver", which has registered it, may call mf_on_time() any more');
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'reactions' AND detail ~ 'leaver'}), qr/^Function leaver.timed cannot be called when due: neither role/, 'mf_check() tells of a role that has left');
is(sql('SELECT count(*) FROM leaver.call'), 1, 'whose function is not called any more');
sql(q{GRANT myfatoorah_read TO leaver; SELECT mf_resume('*')});
wait_for('SELECT count(*) FROM leaver.call', 2);
sql(q{SELECT mf_off_change('leaver.timed')});
# Roles have so many functions, also if two are registered at the same time.
sql("SET ROLE accounts; CREATE FUNCTION books.timed$_(at timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'") foreach 1 .. 8;
sql("SELECT mf_on_time('books.timed$_(timestamptz)')") foreach 1 .. 8 - sql(q{SELECT count(*) FROM mf_reaction WHERE owner = 'accounts'}) - 1;
my $one = $mf->session($node, $db);
$one->query("BEGIN; SELECT mf_on_time('books.timed7(timestamptz)')");
$other = $mf->session($node, $db);
my $other_pid = $other->query('SELECT pg_backend_pid()');
$other->query_until(qr/begun/, "\\echo begun\nSELECT mf_on_time('books.timed8(timestamptz)');\n\\echo ended\n");
wait_for("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $other_pid", 'Lock');
$one->query('COMMIT');
$other->query_until(qr/ended/, '');
like($other->{stderr}, qr/role "accounts" has 8 functions/, 'two that are registered at the same time are counted');
$one->quit;
$other->quit;
sql(q{SELECT mf_off_change(function) FROM mf_reaction WHERE function LIKE 'books.timed%'});
# Locks that a session would keep do not stay with the worker.
sql(q{SET ROLE accounts; CREATE FUNCTION books.locks(old public.mf_invoice, new public.mf_invoice) RETURNS void LANGUAGE plpgsql AS
	$f$ BEGIN PERFORM pg_advisory_lock(4711); END $f$; SELECT public.mf_on_change('books.locks(public.mf_invoice, public.mf_invoice)')});
$mf->insert($node, 'postgres', 'locks');
wait_for("SELECT count(*) > 0 FROM mf_reaction_backlog WHERE error LIKE 'cannot call pg_advisory_lock() %'");
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), 0, 'no advisory lock stays');

done_testing();
