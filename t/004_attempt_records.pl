# How attempts are recorded: row by row where it can be, by SQL where somebody's triggers want a statement, and in either
# way the same. And what is claimed ahead of the free slots: it fills them at once, never more of them than there are, and
# is given back when it would have to wait.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '1h'");
my $batch = 0;

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

# After a failure rounds go by SQL for a while; a new worker begins as ever.
sub fresh_worker
{
	my $pid = $mf->worker_pid($node, 'postgres');

	sql("SELECT pg_terminate_backend($pid)");
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_worker_status WHERE pid <> $pid", 1);
	same_record('a new worker');
	return;
}

# Sends twenty invoices; what the attempt, the history and the agenda say of them must not depend on the way.
sub same_record
{
	my ($what) = @_;
	my $prefix = 'same-' . ++$batch;
	my $in = "IN (SELECT id FROM mf_invoice WHERE customer_reference LIKE '$prefix-%')";

	$mf->insert_many($node, 'postgres', $prefix, 20);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'sent'", 20);
	is(sql("SELECT DISTINCT status, attempts, invoice_id IS NOT NULL, invoice_url LIKE 'http%', sent_at >= created_at, last_error,
			cancel_requested, duplicate_suspected FROM mf_invoice WHERE id $in"), 'sent|1|t|t|t||f|f', "$what: the rows");
	is(sql("SELECT DISTINCT a.attempt, a.outcome, a.http_status, a.error, a.invoice_id = i.invoice_id, a.invoice_url = i.invoice_url,
			a.reference = i.reference, length(a.body_sha256), a.started_at < a.finished_at, a.send_by > a.started_at
			FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE i.id $in"), '1|accepted|200||t|t|t|32|t|t', "$what: the attempts");
	is(sql("SELECT history, count(*) FROM (SELECT string_agg(concat_ws(' ', actor, from_status, to_status, attempt, reason), ', ' ORDER BY changed_at) AS history
			FROM mf_history WHERE invoice $in AND from_status IS NOT NULL GROUP BY invoice) h GROUP BY 1"),
		'sender queued sending 1 claimed, sender sending sent 1 accepted|20', "$what: the history");
	is(sql("SELECT (SELECT count(*) FROM mf_queue WHERE invoice $in), (SELECT count(*) FROM mf_inquiry WHERE invoice $in)"), '0|20',
		"$what: the agendas");
	is(sql("SELECT count(*) FROM mf_number n JOIN mf_invoice i ON i.id = n.invoice AND i.invoice_id = n.invoice_id WHERE i.id $in"), 20,
		"$what: the numbers");
	return $prefix;
}

same_record('row by row');
is(sql('SELECT count(*) FROM mf_attempt WHERE changed_to_sent'), 20, 'the attempts stand for the history');
is(sql('SELECT count(*) FROM mf_transition'), 0, 'which needs no rows of its own');

# No index has to know of either update of a row: if it had to of one, half of them at the most would be without. Of the others a
# snapshot of somebody may keep what should make room. A worker tells what it has counted when it ends at the latest.
my $first = $mf->worker_pid($node, 'postgres');
sql("SELECT pg_terminate_backend($first)");
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_worker_status WHERE pid <> $first", 1);
$mf->wait_for($node, 'postgres', q{SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'mf_invoice'}, 40);
cmp_ok(sql(q{SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'mf_invoice'}), '>', 20, 'and no new entries in the indexes of mf_invoice');

# Triggers of users: by row, before and after; they see both changes, in this role, and may change columns of their own.
sql(q{
	CREATE TABLE seen (id bigint, what text, role name DEFAULT current_user);
	GRANT INSERT ON seen TO myfatoorah_worker;
	ALTER TABLE mf_invoice ADD shown text, ADD doubled numeric GENERATED ALWAYS AS (2 * invoice_value) STORED;
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.seen VALUES (NEW.id, OLD.status || '>' || NEW.status); RETURN NULL; END $$;
	CREATE FUNCTION show() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN NEW.shown := coalesce(NEW.shown || ' ', '') || NEW.status; RETURN NEW; END $$;
	CREATE TRIGGER note AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TRIGGER note_account AFTER UPDATE OF account ON mf_invoice FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TRIGGER show BEFORE UPDATE OF status ON mf_invoice FOR EACH ROW EXECUTE FUNCTION show();
});
my $prefix = same_record('with row triggers');
is(sql(q{SELECT what, role, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1}), "queued>sending|myfatoorah_worker|20\nsending>sent|myfatoorah_worker|20",
	'AFTER triggers see both changes, and those of other columns see none');
is(sql("SELECT DISTINCT shown, doubled = 2 * invoice_value FROM mf_invoice WHERE customer_reference LIKE '$prefix-%'"), 'sending sent|t',
	'BEFORE triggers may change columns of their own; generated ones are kept');
sql('DROP TRIGGER note ON mf_invoice; DROP TRIGGER note_account ON mf_invoice; DROP TRIGGER show ON mf_invoice; TRUNCATE seen');

# They cannot take on the role of the session, a superuser: not at once, and not at the end of the transaction.
sql(q{
	CREATE FUNCTION climb() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN EXECUTE TG_ARGV[0]; INSERT INTO public.seen VALUES (NEW.id, 'climbed'); RETURN NULL;
		EXCEPTION WHEN insufficient_privilege THEN INSERT INTO public.seen VALUES (NEW.id, TG_NAME); RETURN NULL; END $$;
	CREATE TRIGGER climb AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION climb('RESET ROLE');
	CREATE TRIGGER climb_authorization AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION climb('SET SESSION AUTHORIZATION DEFAULT');
	CREATE CONSTRAINT TRIGGER climb_late AFTER UPDATE ON mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION climb('RESET ROLE');
});
same_record('with triggers that want another role');
is(sql(q{SELECT what, role, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1}),
	join("\n", map { "$_|myfatoorah_worker|40" } qw(climb climb_authorization climb_late)), 'no trigger becomes the superuser');
sql('DROP TRIGGER climb ON mf_invoice; DROP TRIGGER climb_authorization ON mf_invoice; DROP TRIGGER climb_late ON mf_invoice; TRUNCATE seen');

# By statement, with transition tables: only SQL does that.
sql(q{
	CREATE FUNCTION note_all() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.seen SELECT n.id, o.status || '>' || n.status FROM new_rows n JOIN old_rows o USING (id); RETURN NULL; END $$;
	CREATE TRIGGER note_all AFTER UPDATE ON mf_invoice REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
		FOR EACH STATEMENT EXECUTE FUNCTION note_all();
});
same_record('with a statement trigger');
is(sql(q{SELECT what, count(*) FROM seen GROUP BY 1 ORDER BY 1}), "queued>sending|20\nsending>sent|20", 'it sees all rows of both changes');
is(sql('SELECT count(*) FROM mf_attempt WHERE changed_to_sent'), 60, 'the history has rows of its own then');
sql('DROP TRIGGER note_all ON mf_invoice; DROP FUNCTION note_all()');

# What users give the tables of the worker is theirs, too: by SQL again. And what only their triggers could tell apart is the same.
sql(q{
	CREATE FUNCTION count_them() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO public.seen (id, what) VALUES (0, TG_TABLE_NAME || ' ' || TG_OP || ' ' || TG_LEVEL); RETURN NEW; END $$;
	CREATE TRIGGER agenda AFTER UPDATE ON mf_queue FOR EACH STATEMENT EXECUTE FUNCTION count_them();
	CREATE TRIGGER attempts BEFORE INSERT ON mf_attempt FOR EACH ROW EXECUTE FUNCTION count_them();
	CREATE TRIGGER inquiries AFTER INSERT ON mf_inquiry FOR EACH ROW EXECUTE FUNCTION count_them();
	TRUNCATE seen;
});
same_record('with triggers of the agenda and of attempts');
is(sql(q{SELECT string_agg(what || ' ' || CASE WHEN what LIKE '%STATEMENT' THEN (n > 0)::text ELSE n::text END, ', ' ORDER BY what)
		FROM (SELECT what, count(*) AS n FROM seen GROUP BY what) s}),
	'mf_attempt INSERT ROW 20, mf_inquiry INSERT ROW 20, mf_queue UPDATE STATEMENT true', 'they are fired');
sql('DROP TRIGGER agenda ON mf_queue; DROP TRIGGER attempts ON mf_attempt; DROP TRIGGER inquiries ON mf_inquiry');

# A trigger before the update finds the attempt that it is about.
sql(q{
	CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN
			IF NEW.status = 'sending' THEN
				INSERT INTO public.seen SELECT NEW.id, 'attempts ' || count(*) FROM public.mf_attempt a WHERE a.invoice = NEW.id;
			END IF;
			RETURN NEW;
		END $$;
	CREATE TRIGGER look BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION look();
	TRUNCATE seen;
});
same_record('with a trigger that looks');
is(sql('SELECT what, count(*) FROM seen GROUP BY 1'), 'attempts 1|20', 'it sees the attempt');
sql('DROP TRIGGER look ON mf_invoice');

# CHECK constraints count as they are now: those that there are, and what they are made of.
sub refused
{
	my ($what, $allow) = @_;
	my $offset = -s $node->logfile;
	my $name = 'checked-' . ++$batch;

	$mf->insert($node, 'postgres', $name);
	$node->wait_for_log(qr/violates check constraint "told"/, $offset);
	is($mf->status($node, 'postgres', $name), 'sending', "$what: it counts");
	sql($allow);
	$mf->wait_status($node, 'postgres', $name);
	is(sql("SELECT attempts FROM mf_invoice WHERE customer_reference = '$name'"), 1, "$what: no longer, and the answer was kept");
}
sql(q{ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (status <> 'none')});
same_record('with a constraint');
sql(q{
	BEGIN;
	ALTER TABLE mf_invoice DROP CONSTRAINT told;
	ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (status <> 'sent' OR invoice_id IS NULL OR invoice_value < 0) NOT VALID;
	COMMIT;
});
refused('a constraint that was changed', 'ALTER TABLE mf_invoice DROP CONSTRAINT told');
fresh_worker();
sql(q{
	CREATE FUNCTION may(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;
	GRANT EXECUTE ON FUNCTION may TO myfatoorah_worker;
	ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (may(status)) NOT VALID;
});
$mf->insert($node, 'postgres', 'may');
$mf->wait_status($node, 'postgres', 'may');
sql(q{CREATE OR REPLACE FUNCTION may(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1 <> 'sent' $$});
refused('a function that was replaced', q{CREATE OR REPLACE FUNCTION may(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$});
sql('ALTER TABLE mf_invoice DROP CONSTRAINT told');
fresh_worker();

# Somebody wants to know before the answer is there, or is about to ask: no question is lost, and nobody waits in a circle.
my $questions = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 5 });
$mf->insert_many($node, 'postgres', 'asked-early', 5);
$sandbox->wait_count($send, $questions + 5) or die "they are not sent\n";
my @ids = split /\n/, sql("SELECT id FROM mf_invoice WHERE customer_reference LIKE 'asked-early-%' ORDER BY id");
my $session = $mf->session($node, 'postgres');
sql("INSERT INTO mf_inquiry (invoice, account, due, urgent) VALUES ($ids[1], 'myfatoorah', now() + interval '1 h', true)");
$session->query_safe("BEGIN; INSERT INTO mf_inquiry (invoice, account, due, urgent) VALUES ($ids[3], 'myfatoorah', now() + interval '1 h', true)");
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND wait_event_type = 'Lock'}, 1);
$session->query_safe('COMMIT');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'asked-early-%' AND status = 'sent'", 5);
is(sql("SELECT string_agg((q.times_requested > 0 OR q.invoice IS NULL)::int::text, '' ORDER BY i.id) FROM mf_invoice i LEFT JOIN mf_inquiry q ON q.invoice = i.id
		WHERE i.customer_reference LIKE 'asked-early-%'"), '01010', 'who asked before our own answer has a question, and so have the others');

# While requests are under way the rows move: the answers find them all the same.
foreach my $move ('VACUUM FULL mf_invoice, mf_queue, mf_attempt', 'CLUSTER mf_invoice USING mf_invoice_pkey',
	'UPDATE mf_invoice SET shown = id WHERE status = \'sending\'')
{
	my $before = $sandbox->count(%$send);
	my $name = 'moved-' . ++$batch;

	$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 10 });
	$mf->insert_many($node, 'postgres', $name, 10);
	$sandbox->wait_count($send, $before + 10) or die "they are not sent\n";
	# of the user's columns only those that we know may not change
	sql($move =~ /^UPDATE/ ? "SET session_replication_role = replica; $move" : $move);
	$sandbox->clear_faults;
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$name-%' AND status = 'sent' AND invoice_id IS NOT NULL", 10);
	is(sql("SELECT count(*), count(DISTINCT a.invoice_id) FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice
			WHERE i.customer_reference LIKE '$name-%' AND a.outcome = 'accepted' AND a.invoice_id = i.invoice_id"), '10|10', "after $move each has its answer");
	my %remote = map { $_->{reference} => $_->{id} } $sandbox->remote;
	is(scalar(grep { my ($reference, $id) = split /\|/; ($remote{$reference} // '') eq $id }
			split /\n/, sql("SELECT reference, invoice_id FROM mf_invoice WHERE customer_reference LIKE '$name-%'")), 10, 'its own');
	is(sql("SELECT count(*) FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_reference LIKE '$name-%' AND h.to_status = 'sent'"),
		10, 'once in the history');
}

# Where the claim has left a row there may be another one by now that is being sent, too: each gets its own answer. The
# table is written anew in an order that puts the four in each other's places.
sql('DELETE FROM mf_invoice');
sql('ALTER TABLE mf_invoice SET (fillfactor = 100)');
sql('VACUUM FULL mf_invoice');
my $before = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 4 });
$mf->insert_many($node, 'postgres', 'swapped', 4);
$sandbox->wait_count($send, $before + 4) or die "they are not sent\n";
my @places = split /\n/, sql(q{SELECT ctid FROM mf_invoice WHERE status = 'sending' ORDER BY id});
$mf->insert_many($node, 'postgres', 'later', $places[0] =~ /,(\d+)/ ? $1 - 1 : 0, send_at => "now() + interval '1 day'");
sql(q{CREATE INDEX turned ON mf_invoice ((status = 'sending'), id DESC)});
sql('CLUSTER mf_invoice USING turned');
sql('DROP INDEX turned');
is_deeply([ split /\n/, sql(q{SELECT ctid FROM mf_invoice WHERE status = 'sending' ORDER BY id}) ], [ reverse @places ], 'each is where another one was');
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'swapped-%' AND status = 'sent'", 4);
my %remote = map { $_->{reference} => $_->{id} } $sandbox->remote;
is(sql("SELECT string_agg(reference || '|' || invoice_id, ' ' ORDER BY id) FROM mf_invoice WHERE customer_reference LIKE 'swapped-%'"),
	join(' ', map { "$_|$remote{$_}" } split /\n/, sql("SELECT reference FROM mf_invoice WHERE customer_reference LIKE 'swapped-%' ORDER BY id")),
	'and each has its own answer');
sql("SELECT mf_cancel(id) FROM mf_invoice WHERE status = 'queued'");
sql('ALTER TABLE mf_invoice SET (fillfactor = 50)');

# An event that knows the InvoiceId only, and came before our own answer: the answer finds it, and asks at once.
$before = $sandbox->count(path => '/v2/GetPaymentStatus');
my $sends = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', delay_ms => -1, times => 1 });
$mf->insert($node, 'postgres', 'early');
$sandbox->wait_count($send, $sends + 1) or die "it is not sent\n";
my ($early) = map { $_->{id} } grep { $_->{reference} =~ /^early\./ } $sandbox->remote;
sql("INSERT INTO mf_event (account, source, event_code, invoice_id, digest) VALUES ('myfatoorah', 'webhook', 1, $early, 'early')");
$sandbox->clear_faults;
$mf->wait_status($node, 'postgres', 'early');
is(sql("SELECT i.customer_reference, q.urgent OR e.answered_at IS NOT NULL FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice
		LEFT JOIN mf_inquiry q ON q.invoice = i.id WHERE e.invoice_id = $early"), 'early|t', 'an event that was faster than our answer is found by it');
ok($sandbox->wait_count({ path => '/v2/GetPaymentStatus' }, $before + 1), 'and its question is asked');

# A priority puts it ahead of others, not before its time.
$mf->insert($node, 'postgres', 'soon', priority => 100, send_at => "clock_timestamp() + interval '2 s'");
$mf->insert_many($node, 'postgres', 'now', 3);
$mf->wait_status($node, 'postgres', 'soon');
is(sql("SELECT sent_at >= send_at FROM mf_invoice WHERE customer_reference = 'soon'"), 't', 'nothing is sent before its time');

# Claimed ahead: a backlog with an API that takes its time
my $window = 8;
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '$window', ADD timeout '600s')");
$sandbox->reset;
$sandbox->faults({ path => 'SendPayment', delay_ms => 5, times => -1 });
$mf->insert_many($node, 'postgres', 'ahead', 2000);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'ahead-%' AND status = 'sent'", 2000);
is($sandbox->most_at_once(%$send), $window, 'as many at once as max_in_flight says, and no more');
is(sql("SELECT count(*), max(attempts) FROM mf_invoice WHERE customer_reference LIKE 'ahead-%'"), '2000|1', 'each once');

# The API stops answering: what was claimed ahead goes back to the queue, and is sent later.
$sandbox->reset;
$sandbox->faults({ path => 'SendPayment', delay_ms => 3, times => 1000 }, { path => 'SendPayment', delay_ms => -1, times => $window });
$mf->insert_many($node, 'postgres', 'stalled', 1500);
$sandbox->wait_count($send, 1000 + $window) or die "they are not sent\n";
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sending'", $window);
is($sandbox->count(%$send), 1000 + $window, 'nothing leaves while all slots are taken');
like(sql("SELECT error, count(*) FROM mf_attempt WHERE outcome = 'not_sent' GROUP BY 1"), qr/^no slot became free for it in time\|[1-$window]$/,
	'what was claimed ahead went back, and its attempt says why');
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'stalled-%' AND status = 'sent'", 1500);
is($sandbox->count(%$send), 1500, 'in the end each was sent once');

# Nothing leaves once mf_pause() has returned, also of what was claimed ahead: some wait for the eight that have no answer yet.
$sandbox->reset;
$sandbox->faults({ path => 'SendPayment', delay_ms => 3, times => 500 }, { path => 'SendPayment', delay_ms => -1, times => $window });
$mf->insert_many($node, 'postgres', 'paused', 1000);
$sandbox->wait_count($send, 500 + $window) or die "they are not sent\n";
my ($paused_at) = sql("SELECT mf_pause('myfatoorah', 'test'); SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint") =~ /(\d+)\s*$/;
$sandbox->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sending'", 0);
is(scalar(grep { $_->{wall_us} > $paused_at } $sandbox->posts), 0, 'nothing leaves once mf_pause() has returned');
sql('SELECT mf_resume()');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'paused-%' AND status = 'sent'", 1000);

# Questions about payments that the API answers badly do not keep an account from sending, though each puts it off.
sql("ALTER SERVER myfatoorah OPTIONS (DROP max_in_flight)");
$mf->insert_many($node, 'postgres', 'asked', 40);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'asked-%' AND status = 'sent'", 40);
$sandbox->faults({ path => 'GetPaymentStatus', status => 500, body => 'no', times => -1 });
my $asked = $sandbox->count(path => '/v2/GetPaymentStatus');
sql("SELECT count(mf_refresh(id)) FROM mf_invoice WHERE customer_reference LIKE 'asked-%'");
$sandbox->wait_count({ path => '/v2/GetPaymentStatus' }, $asked + 10);
$mf->insert_many($node, 'postgres', 'meanwhile', 40);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'meanwhile-%' AND status = 'sent'", 40);
ok(1, 'inquiries that fail do not keep sends from leaving');

# Columns of users in the tables of the worker, and the traces of those that are gone: by SQL again. A fresh worker, whose
# window is not as small as the failures have left it.
$sandbox->clear_faults;
fresh_worker();
sql(q{ALTER TABLE mf_attempt ADD note text DEFAULT 'noted'; ALTER TABLE mf_inquiry ADD note text DEFAULT 'noted'});
same_record('with columns of their own');
is(sql('SELECT (SELECT count(*) FROM mf_attempt WHERE note IS NULL), (SELECT count(*) FROM mf_inquiry WHERE note IS NULL)'), '0|0', 'which have their defaults');
sql('ALTER TABLE mf_attempt DROP note; ALTER TABLE mf_inquiry DROP note');
same_record('with columns that are gone');

$node->stop;
done_testing();
