# Who and what is meant goes by identity, never by a name or a pointer that something else may have meanwhile: schemas
# that are renamed, and others that take their names; servers that change while an account is in use; tables that are
# changed by a trigger of an invoice that they start.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '50ms'");
my $db = 'postgres';

# The extension in a schema that a role without special rights owns, who may make schemas.
sql('CREATE ROLE landlord; GRANT CREATE ON DATABASE postgres TO landlord; CREATE SCHEMA billing AUTHORIZATION landlord;
	CREATE EXTENSION myfatoorah SCHEMA billing; ALTER DATABASE postgres SET search_path = billing, moved, again, public');
$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);

# What a pooled session does: every kind of statement, over and over
sql(q{CREATE TABLE rent (tenant text, amount numeric, invoice bigint);
	CREATE TRIGGER invoice AFTER INSERT ON rent FOR EACH ROW EXECUTE FUNCTION
		mf_enqueue('customer_name=tenant', 'customer_reference=tenant', 'invoice_value=amount', 'id=invoice')});
my $session = $mf->session($node, $db);

sub goes_on
{
	my ($what) = @_;
	my $name = $what =~ s/\W+/-/gr;

	my $out = $session->query(qq{
		INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, send_at) VALUES ('x', '$name-inserted', 1, now() + interval '1 s');
		UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$name-inserted';
		INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, send_at) VALUES ('x', '$name-cancelled', 1, now() + interval '1 day');
		SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = '$name-cancelled';
		INSERT INTO rent VALUES ('$name-enqueued', 1);
		SELECT mf_pause('myfatoorah'); SELECT mf_resume('myfatoorah');
		SELECT 'all done'});
	like($out, qr/all done$/, "$what: a session goes on");
	is($session->{stderr}, '', "$what: without an error");
	$session->{stderr} = '';
	ok($mf->wait_status($node, $db, "$name-$_"), "$what: $_ is sent") for 'inserted', 'enqueued';
	is($mf->status($node, $db, "$name-cancelled"), 'cancelled', "$what: cancelled");
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: by the worker that was there before");
	is(sql('SELECT last_error FROM mf_worker_status'), '', "$what: which had no error");
	return;
}

#
# ALTER SCHEMA ... RENAME
#
goes_on('before');
sql('SET ROLE landlord; ALTER SCHEMA billing RENAME TO moved');
goes_on('renamed');
$session->query_safe('BEGIN; ALTER SCHEMA moved RENAME TO again; INSERT INTO rent VALUES (\'rolled back\', 1); ROLLBACK');
goes_on('a rename rolled back');

# The owner of the schema makes another one of its old name, in which each table of ours is a trap.
my @tables = split /\n/, sql(q{SELECT relname FROM pg_class WHERE relnamespace = 'moved'::regnamespace AND relkind IN ('r', 'v')});
sql('CREATE TABLE public.loot (who name, what text); GRANT ALL ON public.loot TO public;
	CREATE FUNCTION public.trap(what text) RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO public.loot VALUES (CURRENT_USER, what);
		IF CURRENT_USER = \'myfatoorah_worker\' THEN
			UPDATE mf_invoice SET payment_status = \'paid\' WHERE status = \'sent\';
		END IF;
		RETURN true;
	END$$;
	CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM public.trap(TG_TABLE_NAME); RETURN NULL; END$$');
my $traps = join ' ', map {
	"CREATE VIEW moved.$_ AS SELECT * FROM again.$_ WHERE public.trap('$_');
	CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON moved.$_ FOR EACH ROW EXECUTE FUNCTION public.trap();
	GRANT ALL ON moved.$_ TO public;"
} @tables;
sql('ALTER SCHEMA moved RENAME TO again; CREATE SCHEMA moved; ' . $traps . ' GRANT USAGE ON SCHEMA moved TO public;
	ALTER DATABASE postgres SET search_path = again, public');
$session->query_safe('SET search_path = again, public');
goes_on('a trap');
is(sql('SELECT count(*) FROM public.loot'), 0, 'nothing has run in the schema that took the name');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE payment_status = 'paid'}), 0, 'nothing was made paid there');

# Names that lead elsewhere are found out before anything of a statement runs, whoever finds the plan to be stale: here
# it is a table that has another one in its place.
my ($rc, $out, $err) = $node->psql($db, q{BEGIN; SELECT mf_pause('myfatoorah'); ALTER TABLE mf_account RENAME TO kept;
	CREATE VIEW again.mf_account AS SELECT * FROM kept WHERE public.trap('view'); GRANT ALL ON again.mf_account TO public;
	SELECT mf_resume('myfatoorah')});
like($err, qr/table "mf_account" of schema "again" is not the one that myfatoorah needs/, 'a statement of ours that finds the trap is refused');
is(sql('SELECT count(*) FROM public.loot'), 0, 'and still nothing has run there');
sql('DROP SCHEMA moved CASCADE; DROP TABLE public.loot; DROP FUNCTION public.trap(), public.trap(text)');

#
# Our way of planning is for our statements, not for what triggers of users do
#
sql(q{CREATE TABLE public.seen (name text, setting text, hash_join bool); GRANT ALL ON public.seen TO public;
	CREATE FUNCTION public.look() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$DECLARE line text; BEGIN
		INSERT INTO public.seen SELECT name, setting FROM pg_settings
		WHERE name LIKE 'enable_%' OR name IN ('plan_cache_mode', 'jit');
		FOR line IN EXPLAIN SELECT FROM pg_attribute a JOIN pg_attribute b USING (attname) LOOP
			INSERT INTO public.seen VALUES ('plan', line, line ~ 'Hash Join|Merge Join');
		END LOOP;
		RETURN NULL; END$$;
	CREATE TRIGGER look AFTER UPDATE ON mf_invoice FOR EACH ROW WHEN (NEW.status = 'sent' AND OLD.status = 'sending') EXECUTE FUNCTION public.look()});
my $scans = q{SELECT coalesce(string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname), '') FROM pg_stat_user_tables
	WHERE relname IN ('mf_queue', 'mf_attempt', 'mf_inquiry', 'mf_transition')};

# The worker tells the statistics at a commit, once a second at most: they have all of its work when they have its inserts.
# An idle session tells its own up to ten seconds later, so it ends before.
$session->quit;
my $told = 0;
sub all_told
{
	do
	{
		$mf->insert_many($node, $db, 'told-' . ++$told, 1);
		$mf->wait_for($node, $db, qq{SELECT status = 'sent' FROM mf_invoice WHERE customer_reference = 'told-$told-1'});
		$mf->wait_idle($node, $db);
	} until sql(q{SELECT n_tup_ins >= (SELECT sum(attempts) FROM mf_invoice) FROM pg_stat_user_tables WHERE relname = 'mf_attempt'}) eq 't';
	return;
}
$mf->insert_many($node, $db, 'planned', 30);
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'planned-%' AND status = 'sent'}, 30);
is(sql(q{SELECT string_agg(DISTINCT s.name, ', ') FROM public.seen s JOIN pg_settings p USING (name) WHERE s.setting <> p.setting}), '',
	'a trigger sees the settings that every session has');
is(sql('SELECT bool_or(hash_join) FROM public.seen'), 't', 'and its queries are planned as anywhere');
sql('DROP TRIGGER look ON mf_invoice; DROP FUNCTION public.look(); DROP TABLE public.seen');
all_told();
my $before = sql($scans);
$mf->insert_many($node, $db, 'read', 30);
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'read-%' AND status = 'sent'}, 30);
all_told();
is(sql($scans), $before, 'the worker reads no table from end to end, small as they are');

#
# Pointers into caches: a trigger of mf_invoice changes the table that starts the invoice, and inserts into it again.
#
sql(q{CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF NEW.customer_name LIKE 'outer%' THEN
			EXECUTE format('COMMENT ON TABLE rent IS %L', NEW.id);
			EXECUTE 'CREATE OR REPLACE TRIGGER more AFTER DELETE ON rent FOR EACH ROW EXECUTE FUNCTION public.meddle()';
			INSERT INTO rent VALUES ('inner ' || NEW.customer_name, 1);
		END IF;
		RETURN NEW; END$$;
	CREATE TRIGGER meddle BEFORE INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION public.meddle()});
($rc, $out, $err) = $node->psql($db, q{INSERT INTO rent SELECT 'outer ' || n, n FROM generate_series(1, 20) n;
	INSERT INTO rent SELECT 'outer ' || n, n FROM generate_series(21, 40) n});
is($err, '', 'a trigger may change the table that starts the invoice, while it does');
is(sql(q{SELECT count(*), count(DISTINCT invoice), bool_and(i.customer_name = r.tenant AND i.invoice_value = r.amount)
	FROM rent r JOIN mf_invoice i ON i.id = r.invoice WHERE r.tenant ~ 'outer'}), '80|80|t', 'each row has its own invoice');
sql('DROP TRIGGER meddle ON mf_invoice; DROP TRIGGER more ON rent; DROP FUNCTION public.meddle()');

# A server changes while an event of its account is stored, and another account is looked at.
my $secret = 'example-webhook-secret-1';
$mf->setup_account($node, $db, $sandbox, account => 'bccountmyf');	# of the same length
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret '$secret')");
sql(q{CREATE FUNCTION public.change() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql SET search_path = again, pg_catalog AS $$BEGIN
		PERFORM pg_advisory_xact_lock(83);	-- the worker and a session fire it at the same time, and PostgreSQL lets neither wait for the other
		ALTER SERVER bccountmyf OPTIONS (ADD max_in_flight '7'); ALTER SERVER bccountmyf OPTIONS (DROP max_in_flight);
		PERFORM mf_pause('bccountmyf'); PERFORM mf_resume('bccountmyf');
		RETURN NEW; END$$;
	CREATE TRIGGER change BEFORE INSERT ON mf_event FOR EACH ROW EXECUTE FUNCTION public.change()});
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => $secret, retries => 0);
my $id = $mf->insert($node, $db, 'paid');
$mf->wait_status($node, $db, 'paid');
my $invoice = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
$sandbox->invoice($invoice, 'pay');
$sandbox->wait_deliveries({ invoice => $invoice, phase => 'queued' }, 1) or die "no webhook\n";
my $event = sql($mf->webhook(($sandbox->deliveries(invoice => $invoice))[-1]));
is(sql("SELECT account, invoice FROM mf_event WHERE id = $event"), "myfatoorah|$id", 'a webhook is stored for the account it came to');
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
sql('DROP TRIGGER change ON mf_event');

# The same while questions are claimed: entries of the agenda are written when their account has been looked up.
sql(q{CREATE TRIGGER change BEFORE UPDATE ON mf_inquiry FOR EACH ROW EXECUTE FUNCTION public.change()});
$id = $mf->insert($node, $db, 'asked');
$mf->wait_status($node, $db, 'asked');
$invoice = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
$sandbox->invoice($invoice, 'pay');
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
sql('DROP TRIGGER change ON mf_inquiry; DROP FUNCTION public.change()');
# A server that is renamed takes its invoices along, while they are sent, too.
{
	my @names = ('myfatoorah', 'meanwhile');
	my $sent = $sandbox->count(%$send);

	$sandbox->faults({ path => 'SendPayment', delay_before_ms => 20, times => -1 });
	sql(q{INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) SELECT 'x', 'on the move', n FROM generate_series(1, 1000) n});
	for (1 .. 20)
	{
		sql("ALTER SERVER $names[0] RENAME TO $names[1]");
		@names = reverse @names;
	}
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference = 'on the move' AND status <> 'sent'}, 0);
	is($sandbox->count(%$send) - $sent, 1000, 'each is sent once');
	is(sql(q{SELECT count(*) FROM mf_invoice WHERE account = 'meanwhile'}), 0, 'and all have the last name');
	is(sql(q{SELECT string_agg(detail, '; ') FROM mf_check() WHERE item = 'accounts' AND NOT ok}), '', 'which mf_check() finds in order');
	$sandbox->clear_faults;
}

# An account that nothing on the agenda names any more is none to wait for: whether its server has another name when its time
# comes, or it is useless, or cannot be reached, and its row is cancelled meanwhile.
{
	my $logged = -s $node->logfile;
	my $waiting = q{SELECT value FROM mf_metrics() WHERE name ~ 'accounts_waiting$'};

	# another account's row that is due afterwards shows that the time has passed
	my $later = sub { return sql(sprintf q{INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, account, send_at)
		VALUES ('x', '%s', 1, '%s', now() + interval '%s s') RETURNING id}, @_) };
	my $passed = sub { $later->("after $_[0]", 'myfatoorah', $_[1]); return $mf->wait_status($node, $db, "after $_[0]") };

	sql(q{CREATE SERVER "until" FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url '} . $sandbox->url . q{'); CREATE USER MAPPING FOR PUBLIC SERVER "until" OPTIONS (api_key '} . $sandbox->key . q{')});
	$later->('timed', 'until', 3);
	$mf->wait_idle($node, $db);
	sql('ALTER SERVER "until" RENAME TO since');
	$mf->wait_status($node, $db, 'timed');
	$passed->('timed', 1);
	unlike(slurp_file($node->logfile, $logged), qr/account "until" cannot be used/, 'a server renamed before the time of its row raises no alarm');
	is(sql($waiting), 0, 'nor does an account wait');

	# one without a server, then one that cannot be reached, waits as long as it has a row
	sql(q{CREATE SERVER empty FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:1'); CREATE USER MAPPING FOR PUBLIC SERVER empty OPTIONS (api_key 'key-of-nobody')});
	foreach my $name ('hidden', 'empty')
	{
		sql(q{SELECT mf_pause('empty')});
		my $row = $later->($name, 'empty', 0);

		sql("UPDATE pg_foreign_server SET srvname = '$name' WHERE srvname = 'empty'; SELECT mf_resume('empty')");
		$mf->wait_for($node, $db, $waiting, 1);
		sql("SELECT mf_cancel($row)");
		$mf->wait_for($node, $db, $waiting, 0);
		pass("$name: it waits while it has a row, and no longer");
		sql("UPDATE pg_foreign_server SET srvname = 'empty' WHERE srvname = '$name'");
	}
}

# A server that is dropped, or renamed where the library is not loaded, leaves its name behind, and invoices that go by it: nobody
# takes them over by a server of his own of that name.
my $seller = 'SET ROLE seller;';
my $server = q{FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'https://192.0.2.77')};
sql('CREATE ROLE seller; GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO seller; UPDATE pg_foreign_server SET srvname = $$former$$ WHERE srvname = $$myfatoorah$$');
foreach my $statement ("CREATE SERVER myfatoorah $server", "CREATE SERVER IF NOT EXISTS myfatoorah $server",
	"CREATE SERVER sellers $server; ALTER SERVER sellers RENAME TO myfatoorah")
{
	like(($node->psql($db, "BEGIN; $seller $statement"))[2], qr/permission denied to use server name "myfatoorah"/, "nobody takes over invoices by " . substr $statement, 0, 30);
}
is(($node->psql($db, "BEGIN; GRANT myfatoorah_operate TO seller; $seller CREATE SERVER myfatoorah $server; ROLLBACK"))[0], 0, 'but those who may move them');
is(($node->psql($db, "BEGIN; $seller CREATE SERVER sellers $server; ALTER SERVER sellers RENAME TO sellers2; ROLLBACK"))[0], 0, 'and other names are free');
sql('UPDATE pg_foreign_server SET srvname = $$myfatoorah$$ WHERE srvname = $$former$$');

# An item of another extension that says nothing is none that is well.
sql(q{CREATE FUNCTION again.mf_check_nothing(text) RETURNS TABLE (item text, ok boolean, detail text, hint text) LANGUAGE sql AS 'SELECT NULL, NULL::bool, NULL, NULL'});
sql('ALTER EXTENSION plpgsql ADD FUNCTION again.mf_check_nothing(text)');
is(sql(q{SELECT item, ok, detail, hint FROM mf_check() WHERE item = 'extension'}), 'extension|f||', 'an item without words or result is not well');
sql('ALTER EXTENSION plpgsql DROP FUNCTION again.mf_check_nothing(text); DROP FUNCTION again.mf_check_nothing(text)');

is(sql('SELECT pid FROM mf_worker_status'), $worker, 'the worker has lived through all of it');

is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each invoice was made once');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
