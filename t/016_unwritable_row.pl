# One row that cannot be written fails alone: at its claim, at its outcome, at the commit, in the sweep at a worker's start,
# with its payment. It is put off and named; the others, of its account and of other accounts, go on. And what is not sending,
# the deletion of history, fails for itself.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', init => { allows_streaming => 'logical' },
	conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '1h'\nmyfatoorah.poll_delay = '1h'");
my $limit = 60;
my $batch = 0;

$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'postgres', $sandbox, account => 'other');
my $worker = $mf->wait_worker($node, 'postgres');

# Twenty-five rows of each account in one transaction; the one in the middle of the first account's is the bad one.
sub insert
{
	my $prefix = 'batch-' . ++$batch;

	sql("BEGIN;
		INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value)
			SELECT a, '$prefix', '$prefix-' || a || '-' || n, 1 FROM generate_series(1, 25) n, unnest(ARRAY['myfatoorah', 'other']) a;
		UPDATE mf_invoice SET customer_name = 'bad' WHERE customer_reference = '$prefix-myfatoorah-13';
		COMMIT");
	return $prefix;
}

# All but the bad one are sent, and do not wait for a lookup_delay of an hour.
sub others_are_sent
{
	my ($what, $prefix) = @_;
	my $seconds = $mf->seconds(sub {
		$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND customer_name <> 'bad' AND status = 'sent'", 49);
	});

	cmp_ok($seconds, '<', $limit, "$what: the others are sent");
	diag(sprintf '%s: the others took %.1f s', $what, $seconds);
	return;
}

# The bad one is named wherever a person looks, and the log has told of it once.
sub named
{
	my ($what, $offset, $status, $error) = @_;
	my $id = sql("SELECT id FROM mf_invoice WHERE customer_name = 'bad' AND customer_reference LIKE 'batch-$batch-%'");

	$mf->wait_for($node, 'postgres', "SELECT what_happened FROM mf_review WHERE id = $id", $error);
	is(sql("SELECT status FROM mf_invoice WHERE id = $id"), $status, "$what: the bad one is $status");
	like(sql("SELECT next_step FROM mf_review WHERE id = $id"), qr/mf_resume\('myfatoorah'\)/, "$what: mf_review names it and says what to do");
	like(sql("SELECT ok || ' ' || detail FROM mf_check() WHERE item = 'invoices'"), qr/^false 1 is put off, such as invoice $id: \Q$error\E$/,
		"$what: mf_check() names it");
	is(sql("SELECT count(*) FROM mf_check('other') WHERE item = 'invoices'"), 0, "$what: not for the other account");
	# its latest transaction may have failed just now, where the error does not say that the row is to blame
	$mf->wait_for($node, 'postgres', "SELECT ok FROM mf_check() WHERE item = 'worker'", 't');
	pass("$what: the worker is well");
	is(scalar(() = slurp_file($node->logfile, $offset) =~ /LOG:  myfatoorah: item_put_off: invoice $id is put off/g), 1, "$what: the log names it once");
	unlike(slurp_file($node->logfile, $offset), qr/account "myfatoorah" (?:is waiting|has rows)/, "$what: its account does not back off");
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: the worker is the same");
	return $id;
}

# The cause is mended: the bad one is sent as if nothing had been.
sub mended
{
	my ($what, $id, $mend, $attempts) = @_;

	sql($mend);
	sql('SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT status FROM mf_invoice WHERE id = $id", 'sent');
	is(sql("SELECT i.attempts, i.invoice_id = a.invoice_id, i.invoice_url = a.invoice_url, i.last_error, (SELECT count(*) FROM mf_review WHERE id = $id)
			FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = i.attempts WHERE i.id = $id"), '1|t|t||0',
		"$what: once mended it is sent, with its link, and needs nobody any more");
	my $reference = sql("SELECT reference FROM mf_invoice WHERE id = $id");
	is(scalar(grep { ($_->{reference} // '') eq $reference } $sandbox->posts), 1, "$what: it was posted once");
	return;
}

# A function for triggers that raises an error for the bad one when it gets that status; the code is the argument
sql(q{
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.customer_name = 'bad' AND NEW.status = TG_ARGV[0] THEN
				RAISE EXCEPTION 'not this one' USING ERRCODE = TG_ARGV[1];
			END IF;
			RETURN NEW;
		END $$;
});

my $told = 'new row for relation "mf_invoice" violates check constraint "told"';
my @cases = (
	[ 'a constraint at the claim', q{ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (customer_name <> 'bad' OR status <> 'sending') NOT VALID}, 'queued', $told ],
	[ 'a constraint at the outcome', q{ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (customer_name <> 'bad' OR status <> 'sent') NOT VALID}, 'sending', $told ],
	map({
			my $status = $_;
			(
				[ "a deferred trigger at the commit, $status", "CREATE CONSTRAINT TRIGGER told AFTER UPDATE ON mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse('$status', 'P0001')" ],
				[ "a trigger before, $status", "CREATE TRIGGER told BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION refuse('$status', '23514')" ],
				map { [ "a trigger with the code $_, $status", "CREATE TRIGGER told AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION refuse('$status', '$_')" ] }
				  $status eq 'sent' ? qw(57014 53100) : qw(55000 40001)
			)
		} qw(sending sent)));

foreach my $case (@cases)
{
	my ($what, $break, $status, $error) = @$case;
	my $offset = -s $node->logfile;

	sql($break);
	my $prefix = insert();
	others_are_sent($what, $prefix);
	my $id = named($what, $offset, $status // ($what =~ /sending$/ ? 'queued' : 'sending'), $error // 'not this one');
	is(sql("SELECT count(*), min(outcome), min(invoice_id) IS NOT NULL, min(invoice_url) IS NOT NULL FROM mf_attempt WHERE invoice = $id"),
		sql("SELECT status FROM mf_invoice WHERE id = $id") eq 'queued' ? '0||f|f' : '1|accepted|t|t', "$what: its answer, if there is one, is kept");
	mended($what, $id, $break =~ /CONSTRAINT told CHECK/ ? 'ALTER TABLE mf_invoice DROP CONSTRAINT told' : 'DROP TRIGGER told ON mf_invoice');
}

# A worker that starts finds a row "sending" that cannot be changed: it goes on, and settles it once it can.
{
	my $what = 'a start';
	sql($cases[1][1]);
	my $prefix = insert();
	others_are_sent($what, $prefix);
	my $id = sql("SELECT id FROM mf_invoice WHERE customer_name = 'bad' AND customer_reference LIKE '$prefix-%'");
	$mf->wait_for($node, 'postgres', "SELECT outcome FROM mf_attempt WHERE invoice = $id", 'accepted');
	$node->stop('immediate');
	my $offset = -s $node->logfile;
	$node->start;
	$worker = $mf->wait_worker($node, 'postgres');
	$prefix = insert();
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'sent'", 49);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_review WHERE what_happened = '$told'", 2);
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: the worker goes on");
	like(slurp_file($node->logfile, $offset), qr/LOG:  myfatoorah: item_put_off: invoice $id is put off because it cannot be written/, "$what: the log names what the sweep could not settle");
	mended($what, $id, 'ALTER TABLE mf_invoice DROP CONSTRAINT told');
	$mf->wait_settled($node, 'postgres');
}

# An entry that cannot even be put off
{
	my $what = 'an entry that cannot be put off';
	sql(q{
		CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
			BEGIN
				IF EXISTS (SELECT FROM public.mf_invoice i WHERE i.id = NEW.invoice AND i.customer_name = 'bad') THEN
					RAISE EXCEPTION 'not this entry';
				END IF;
				RETURN NEW;
			END $$;
		CREATE TRIGGER told BEFORE UPDATE ON mf_queue FOR EACH ROW EXECUTE FUNCTION keep()});
	my $prefix = insert();
	others_are_sent($what, $prefix);
	$mf->wait_for($node, 'postgres', q{SELECT detail ~ 'put off: 1; .*not this entry' FROM mf_check() WHERE item = 'worker' AND NOT ok});
	ok(1, "$what: mf_check() tells");
	my $id = sql("SELECT id FROM mf_invoice WHERE customer_name = 'bad' AND customer_reference LIKE '$prefix-%'");
	$mf->wait_idle($node, 'postgres');
	ok(1, "$what: the worker rests");
	mended($what, $id, 'DROP TRIGGER told ON mf_queue');
	$mf->wait_for($node, 'postgres', q{SELECT ok FROM mf_check() WHERE item = 'worker'});
}

# Payments: the answer about one of fifty cannot be written.
foreach my $case (
	[ 'a payment', q{ALTER TABLE mf_invoice ADD CONSTRAINT told CHECK (customer_name <> 'bad' OR payment_status <> 'paid') NOT VALID}, 'ALTER TABLE mf_invoice DROP CONSTRAINT told', $told ],
	[ 'a try', q{CREATE FUNCTION refuse_try() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
			BEGIN
				IF EXISTS (SELECT FROM public.mf_invoice i WHERE i.id = NEW.invoice AND i.customer_name = 'bad') THEN
					RAISE EXCEPTION 'not this try';
				END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER told AFTER INSERT ON mf_transaction FOR EACH ROW EXECUTE FUNCTION refuse_try()}, 'DROP TRIGGER told ON mf_transaction', 'not this try' ])
{
	my ($what, $break, $mend, $error) = @$case;
	my $prefix = insert();

	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND status = 'sent'", 50);
	sql($break);
	$sandbox->invoice($_, 'pay') foreach split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference LIKE '$prefix-%'");
	sql("SELECT count(mf_refresh(id)) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%'");
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND payment_status = 'paid'", 49);
	$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_review}, 1);
	is(sql('SELECT customer_name, what_happened, payment_status FROM mf_review JOIN mf_invoice USING (id, customer_name)'), "bad|$error|unpaid", "$what: mf_review names it");
	is(sql("SELECT ok FROM mf_check() WHERE item = 'invoices'"), 'f', "$what: and mf_check()");
	sql($mend);
	sql('SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$prefix-%' AND payment_status = 'paid'", 50);
	is(sql('SELECT count(*) FROM mf_review'), 0, "$what: once mended nothing is left");
}

# A round that fails before it has claimed a row puts off none: the row that the round before has put off is not put off again.
{
	$mf->insert($node, 'postgres', 'lonely');
	$mf->wait_status($node, 'postgres', 'lonely');
	my ($gate, $session) = map { $mf->session($node, 'postgres') } 1, 2;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	# the trigger does not wait for the gate's lock: the worker would give up after a while
	$gate->query_safe('SELECT pg_advisory_lock(16)');
	sql(q{CREATE FUNCTION refuse_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN WHILE NOT pg_try_advisory_xact_lock(16) LOOP PERFORM pg_sleep(0.01); END LOOP; RAISE EXCEPTION 'not now'; END $$;
		CREATE TRIGGER told BEFORE UPDATE ON mf_invoice FOR EACH ROW WHEN (NEW.payment_status = 'paid') EXECUTE FUNCTION refuse_slowly()});
	my ($id, $invoice_id) = split /\|/, sql(q{SELECT id, invoice_id FROM mf_invoice WHERE customer_reference = 'lonely'});
	$sandbox->invoice($invoice_id, 'pay');
	sql("SELECT mf_refresh($id)");
	$mf->wait_for($node, 'postgres', "SELECT wait_event FROM pg_stat_activity WHERE pid = $worker", 'PgSleep');

	# it gets the lock when the round fails, and the next round waits for it
	my $offset = -s $node->logfile;
	$session->query_until(qr/begun/, "SET client_min_messages = warning;\nBEGIN;\n\\echo begun\nDROP EXTENSION myfatoorah CASCADE;\n\\echo dropped\n");
	$mf->wait_for($node, 'postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
	$gate->quit;
	$session->query_until(qr/dropped/, '');
	ok($node->wait_for_log(qr/invoice $id is put off .*\n.*not now; mf_review cannot show this/, $offset), 'a row is put off, which cannot be noted');
	$mf->wait_for($node, 'postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $worker", 'Lock');
	sql("SELECT pg_cancel_backend($worker)");
	ok($node->wait_for_log(qr/myfatoorah worker ERROR:  (?:myfatoorah: \w+: )?canceling statement due to user request|terminated by signal/, $offset), 'a round fails before it begins');
	$session->query_safe('ROLLBACK');
	$session->quit;
	sql("DROP TRIGGER told ON mf_invoice; SELECT mf_resume(); SELECT mf_refresh($id)");
	$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
	is(sql('SELECT pid FROM mf_worker_status'), $worker, 'the worker goes on, and has put off nothing twice');
}

# History that cannot be deleted: everything else goes on, and mf_check() says so.
{
	sql(q{
		UPDATE mf_attempt SET started_at = started_at - interval '10 years' WHERE attempt = 1 AND changed_to_sent;
		CREATE PUBLICATION everything FOR ALL TABLES;
		ALTER TABLE mf_attempt REPLICA IDENTITY NOTHING});
	sql(q{ALTER SYSTEM SET myfatoorah.history_retention = '1d'});
	$node->reload;
	# a new worker begins with what is old
	sql("SELECT pg_terminate_backend($worker)");
	$worker = $mf->wait_worker($node, 'postgres', not => $worker);
	$mf->wait_for($node, 'postgres', q{SELECT detail ~ 'mf_attempt: cannot delete from table "mf_attempt"' FROM mf_check() WHERE item = 'history' AND NOT ok});
	ok(1, 'history that cannot be deleted: mf_check() says so');
	is(sql(q{SELECT ok FROM mf_check() WHERE item = 'worker'}), 't', 'the worker is well');
	# nothing else is to do meanwhile
	sql(q{
		BEGIN;
		ALTER TABLE mf_attempt REPLICA IDENTITY DEFAULT;
		UPDATE mf_attempt SET started_at = started_at + interval '10 years' WHERE started_at < now() - interval '5 years';
		COMMIT});
	$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_check() WHERE item = 'history'}, 0);
	pass('it is tried again after a minute, even if the worker has nothing to do');
	is(sql(q{SELECT string_agg(c.relname, ' ') FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
			JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'myfatoorah'
			WHERE c.relkind = 'r' AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '', 'each table has a primary key, or rows that are their own identity');
}

is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
