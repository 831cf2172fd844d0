# What users make of our tables: triggers that suppress a change or a new row, columns of other types. Nothing leaves for a row whose
# record was suppressed, and no value is taken for one of another type.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '100ms'\nmyfatoorah.poll_delay = '1h'");

$mf->setup_account($node, 'postgres', $sandbox);
my $worker = $mf->wait_worker($node, 'postgres');
my $suppressed = 'a trigger or rule has suppressed a change of a table of myfatoorah';

sub posts_of
{
	my ($name) = @_;

	return scalar(grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } $sandbox->posts);
}

# A trigger that returns NULL for one row, at each step, row by row and by SQL
sql(q{
	CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.customer_name LIKE 'bad%' AND NEW.status = TG_ARGV[0] THEN RETURN NULL; END IF;
			RETURN NEW;
		END $$;
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
});
foreach my $way ('row by row', 'by SQL')
{
	sql('CREATE TRIGGER statement AFTER UPDATE ON mf_invoice FOR EACH STATEMENT EXECUTE FUNCTION nothing()') if $way eq 'by SQL';
	foreach my $status ('sending', 'sent')
	{
		my $name = "bad-$status-" . ($way =~ s/ /-/gr);

		sql("CREATE TRIGGER swallow BEFORE UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION swallow('$status')");
		$mf->insert_many($node, 'postgres', "good-$name", 9);
		$mf->insert($node, 'postgres', $name);
		$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'good-$name-%' AND status = 'sent'", 9);
		$mf->wait_for($node, 'postgres', 'SELECT customer_name, what_happened FROM mf_review', "$name|$suppressed");
		is($mf->status($node, 'postgres', $name), $status eq 'sending' ? 'queued' : 'sending', "$way, $status suppressed: the row says what is so");
		is(posts_of($name), $status eq 'sending' ? 0 : 1, "$way, $status suppressed: nothing leaves that is not recorded");
		is(sql("SELECT count(*) FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference = '$name'"), 1,
			"$way, $status suppressed: its entry stays");
		sql('DROP TRIGGER swallow ON mf_invoice');
		sql('SELECT mf_resume()');
		$mf->wait_status($node, 'postgres', $name);
		is(posts_of($name), 1, "$way, $status suppressed: sent once it may be, once");
	}
}
sql('DROP TRIGGER statement ON mf_invoice');

# An entry that does not fit its row is put right, never deleted: what is queued is looked up first.
{
	my $id = $mf->insert($node, 'postgres', 'misfit', send_at => "now() + interval '1 day'");

	sql("UPDATE mf_queue SET kind = 'sending', due = now(), rank = now() WHERE invoice = $id");
	sql('SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT kind, due = send_at FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.id = $id", 'verify|t');
	is(posts_of('misfit'), 0, 'a queued row with an entry that does not fit is not sent before its time');
	sql("UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $id");
	sql('SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT kind, due > send_at FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.id = $id", 'verify|t');
	is(posts_of('misfit'), 0, 'nor once it was looked up, whatever its entry says: it is looked up again after its time');
	sql("UPDATE mf_invoice SET send_at = now() WHERE id = $id; UPDATE mf_queue SET due = now(), rank = now() WHERE invoice = $id; SELECT mf_resume()");
	$mf->wait_status($node, 'postgres', 'misfit');
	is(posts_of('misfit'), 1, 'it is sent when its time has come, once');
}

# A change of the agenda of payments that is suppressed: the question does not leave, or it would leave again and again.
{
	my ($bad, $good) = map { $mf->insert($node, 'postgres', $_) } 'unmoved', 'moved';

	$mf->wait_status($node, 'postgres', $_) for 'unmoved', 'moved';
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_inquiry WHERE invoice IN ($bad, $good)", 2);
	my ($invoice, $other) = map { sql("SELECT invoice_id FROM mf_invoice WHERE id = $_") } $bad, $good;
	my %asked = (path => '/v2/GetPaymentStatus', reference => sql("SELECT reference FROM mf_invoice WHERE id = $bad"));
	my $before = $sandbox->count(%asked);
	sql("UPDATE mf_inquiry SET due = now(), urgent = true WHERE invoice = $bad;
		CREATE TRIGGER unmoved BEFORE UPDATE ON mf_inquiry FOR EACH ROW WHEN (NEW.invoice = $bad) EXECUTE FUNCTION nothing()");
	$sandbox->invoice($other, 'pay');
	sql("SELECT mf_refresh($good)");
	$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $good", 'paid');
	$mf->wait_for($node, 'postgres', q{SELECT ok, detail ~ 'suppressed a change' FROM mf_check() WHERE item = 'worker'}, 'f|t');
	is($sandbox->count(%asked), $before, 'a question whose entry cannot be changed does not leave');
	sql('DROP TRIGGER unmoved ON mf_inquiry; SELECT mf_resume()');
	$sandbox->invoice($invoice, 'pay');
	sql("SELECT mf_refresh($bad)");
	$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $bad", 'paid');
}

# Rows that are to be inserted and are not: as with changes. An invoice is made in a pause, so that the trigger is there before
# anything is done for it.
sub held
{
	my ($name, $table) = @_;

	sql(q{SELECT mf_pause('myfatoorah')});
	my $id = $mf->insert($node, 'postgres', $name);
	sql("CREATE TRIGGER uninserted BEFORE INSERT ON $table FOR EACH ROW WHEN (NEW.invoice = $id) EXECUTE FUNCTION nothing()");
	sql(q{SELECT mf_resume('myfatoorah')});
	return $id;
}

sub refused
{
	my ($command, $what) = @_;

	return like(($node->psql('postgres', $command))[2], qr/ERROR:  $suppressed/, $what);
}

foreach my $way ('row by row', 'by SQL')
{
	my $name = 'unasked-' . ($way =~ s/ /-/gr);

	sql('CREATE TRIGGER statement AFTER UPDATE ON mf_invoice FOR EACH STATEMENT EXECUTE FUNCTION nothing()') if $way eq 'by SQL';
	my $id = held($name, 'mf_inquiry');
	$mf->insert_many($node, 'postgres', "good-$name", 9);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'good-$name-%' AND status = 'sent'", 9);
	$mf->wait_for($node, 'postgres', "SELECT what_happened FROM mf_review WHERE id = $id", $suppressed);
	is(sql("SELECT i.status, a.outcome FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id WHERE i.id = $id"), 'sending|accepted',
		"$way, question about its payment not inserted: the row is not sent yet, its answer is kept");
	sql('DROP TRIGGER uninserted ON mf_inquiry');
	$mf->wait_status($node, 'postgres', $name);
	is(posts_of($name), 1, "$way: it goes on by itself when the trigger is gone, and was sent once");
	is(sql("SELECT count(*) FROM mf_inquiry WHERE invoice = $id"), 1, "$way: its payment is asked about");
	sql('DROP TRIGGER statement ON mf_invoice') if $way eq 'by SQL';
}

{
	my $id = held('unattempted', 'mf_attempt');

	$mf->wait_for($node, 'postgres', "SELECT what_happened FROM mf_review WHERE id = $id", $suppressed);
	is(posts_of('unattempted'), 0, 'attempt not inserted: nothing leaves');
	sql('DROP TRIGGER uninserted ON mf_attempt; SELECT mf_resume()');
	$mf->wait_status($node, 'postgres', 'unattempted');
}

# A payment whose try is not inserted is not recorded, and asked about once.
{
	my ($bad, $good) = map { $mf->insert($node, 'postgres', $_) } 'untried', 'tried';

	$mf->wait_status($node, 'postgres', $_) for 'untried', 'tried';
	my ($invoice, $other) = map { sql("SELECT invoice_id FROM mf_invoice WHERE id = $_") } $bad, $good;
	my %asked = (path => '/v2/GetPaymentStatus', reference => sql("SELECT reference FROM mf_invoice WHERE id = $bad"));
	my $before = $sandbox->count(%asked);
	sql("CREATE TRIGGER uninserted BEFORE INSERT ON mf_transaction FOR EACH ROW WHEN (NEW.invoice = $bad) EXECUTE FUNCTION nothing()");
	$sandbox->invoice($_, 'pay') for $invoice, $other;
	sql("SELECT mf_refresh($_)") for $bad, $good;
	$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $good", 'paid');
	$mf->wait_for($node, 'postgres', "SELECT what_happened FROM mf_review WHERE id = $bad", $suppressed);
	is(sql("SELECT payment_status FROM mf_invoice WHERE id = $bad"), 'unpaid', 'try not inserted: no payment is told of that is not recorded');
	is($sandbox->count(%asked), $before + 1, 'it was asked about once');
	sql('DROP TRIGGER uninserted ON mf_transaction; SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $bad", 'paid');
	is(sql("SELECT count(*) FROM mf_transaction WHERE invoice = $bad"), 1, 'it is recorded with its try when the trigger is gone');

	# What comes in: whoever brings it is told, and brings it again.
	my $payment = sql("SELECT payment_id FROM mf_transaction WHERE invoice = $bad");
	foreach my $table ('mf_event', 'mf_inquiry')
	{
		sql("CREATE TRIGGER uninserted BEFORE INSERT ON $table FOR EACH ROW EXECUTE FUNCTION nothing()");
		refused("SELECT mf_callback('$payment')", "what comes in and is not inserted into $table is an error");
		refused("SELECT mf_refresh($bad)", 'so is a question of somebody that is not asked') if $table eq 'mf_inquiry';
		sql("DROP TRIGGER uninserted ON $table");
	}
	is(sql("SELECT count(*) FROM mf_event WHERE payment_id = '$payment'"), 0, 'and nothing of it is there');
	sql("SELECT mf_callback('$payment')");
	$mf->wait_for($node, 'postgres', "SELECT answered_at IS NOT NULL FROM mf_event WHERE payment_id = '$payment'");
}

# Another invoice under a row's reference, for which a person's entry is not inserted: neither is said.
{
	my $id = $mf->insert($node, 'postgres', 'twin');

	$mf->wait_status($node, 'postgres', 'twin');
	my $other = $sandbox->send_payment(CustomerReference => sql("SELECT reference FROM mf_invoice WHERE id = $id"));
	$sandbox->invoice($other, 'pay');
	sql("CREATE TRIGGER uninserted BEFORE INSERT ON mf_queue FOR EACH ROW WHEN (NEW.invoice = $id) EXECUTE FUNCTION nothing()");
	my $offset = -s $node->logfile;
	my $event = sql(q{SELECT mf_callback('} . $sandbox->invoice($other)->{transactions}[-1]{payment_id} . q{')});
	ok($node->wait_for_log(qr/event $event is put off because its answer cannot be written/, $offset), 'a twin without its entry: the event is named');
	is(sql("SELECT duplicate_suspected FROM mf_invoice WHERE id = $id"), 'f', 'the row says what is recorded');
	sql('DROP TRIGGER uninserted ON mf_queue; SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT kind FROM mf_queue WHERE invoice = $id", 'review');
	is(sql("SELECT count(*) FROM mf_review WHERE id = $id"), 1, 'it is for a person to decide when the trigger is gone');

	# What people do and say is done, or an error.
	sql('CREATE TRIGGER uninserted BEFORE INSERT ON mf_transition FOR EACH ROW EXECUTE FUNCTION nothing()');
	refused("SELECT mf_resolve($id, 'dismiss', 'a test')", 'a decision that is not noted is an error');
	refused("SELECT mf_resolve($id, 'adopt', 'a test', $other)", 'so is the other one');
	sql('DROP TRIGGER uninserted ON mf_transition');
	is(sql("SELECT duplicate_suspected FROM mf_invoice WHERE id = $id"), 't', 'and changes nothing');
	sql("SELECT mf_resolve($id, 'dismiss', 'a test')");
}

{
	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'refused.', shape => 1, times => 1 });
	my $id = $mf->insert($node, 'postgres', 'refused');

	$mf->wait_status($node, 'postgres', 'refused', 'rejected');
	my $later = $mf->insert($node, 'postgres', 'later', send_at => "now() + interval '1 day'");
	sql('CREATE TRIGGER uninserted BEFORE INSERT ON mf_queue FOR EACH ROW EXECUTE FUNCTION nothing()');
	refused('INSERT INTO mf_invoice ' . $mf->invoice('unqueued'), 'an invoice that does not get onto the agenda is an error');
	refused("SELECT mf_retry($id)", 'so is one that is to be sent again');
	sql("DELETE FROM mf_queue WHERE invoice = $later");
	refused('SELECT mf_repair()', 'and what mf_repair() does not mend');
	sql('DROP TRIGGER uninserted ON mf_queue');
	is(sql('SELECT kind, invoices FROM mf_repair()'), 'verify|1', 'which it does when the trigger is gone');
	is(sql("SELECT status FROM mf_invoice WHERE id = $id"), 'rejected', 'nothing is changed by halves');
	sql("SELECT mf_retry($id); SELECT mf_cancel($later)");
	$mf->wait_status($node, 'postgres', 'refused');

	my $sent = sql(q{SELECT id FROM mf_invoice WHERE customer_reference = 'unasked-row-by-row'});
	sql('CREATE TRIGGER uninserted BEFORE INSERT ON mf_inquiry FOR EACH ROW EXECUTE FUNCTION nothing()');
	refused("BEGIN; CREATE TABLE saved AS SELECT * FROM mf_invoice WHERE id = $sent; DELETE FROM mf_invoice WHERE id = $sent;
		INSERT INTO mf_invoice OVERRIDING SYSTEM VALUE SELECT * FROM saved", 'a restored invoice whose payment would not be asked about is an error');
	sql('DROP TRIGGER uninserted ON mf_inquiry');
}

# A pause: whoever makes it is told. If that is the worker, it sends nothing for the account all the same.
{
	sql('DELETE FROM mf_account; CREATE TRIGGER uninserted BEFORE INSERT ON mf_account FOR EACH ROW EXECUTE FUNCTION nothing()');
	refused(q{SELECT mf_pause('*')}, 'a pause that is none is an error');
	$sandbox->faults({ path => 'SendPayment', reference_prefix => 'paused', shape => 7, times => -1 });
	my $offset = -s $node->logfile;
	$mf->insert($node, 'postgres', 'paused');
	ok($node->wait_for_log(qr/could not write that account "myfatoorah" is paused\n.*$suppressed/, $offset), 'a pause of the worker that is none is in the log');
	$mf->insert($node, 'postgres', 'paused-too');
	sql('DROP TRIGGER uninserted ON mf_account');
	$mf->wait_for($node, 'postgres', q{SELECT count(*) FROM mf_account WHERE account = 'myfatoorah' AND paused_at IS NOT NULL}, 1);
	is(posts_of('paused-too'), 0, 'nothing left until it was written');
	$sandbox->clear_faults;
	sql(q{SELECT mf_resume('myfatoorah')});
	$mf->wait_status($node, 'postgres', $_) for 'paused', 'paused-too';
}

# Which database this is: a worker that cannot note that sends nothing.
{
	sql('CREATE TRIGGER uninserted BEFORE INSERT ON mf_identity FOR EACH ROW EXECUTE FUNCTION nothing()');
	my $offset = -s $node->logfile;
	sql("SELECT pg_terminate_backend($worker)");
	ok($node->wait_for_log(qr/$suppressed/, $offset), 'a worker that cannot note which database this is says so');
	$mf->insert($node, 'postgres', 'anonymous');
	is($mf->status($node, 'postgres', 'anonymous'), 'queued', 'and sends nothing');
	sql('DROP TRIGGER uninserted ON mf_identity');
	$mf->wait_status($node, 'postgres', 'anonymous');
	$worker = $mf->wait_worker($node, 'postgres');
}

# What may have been made already keeps the account and the reference under which it is looked up.
{
	my $id = $mf->insert($node, 'postgres', 'elsewhere', send_at => "now() + interval '1 day'");
	my $reference = sql("SELECT reference FROM mf_invoice WHERE id = $id");

	sql("UPDATE mf_queue SET kind = 'verify' WHERE invoice = $id; CREATE SERVER other FOREIGN DATA WRAPPER myfatoorah
		OPTIONS (country 'KWT', environment 'test', base_url " . $mf->literal($sandbox->url) . ')');
	my ($status, undef, $error) = $node->psql('postgres', "UPDATE mf_invoice SET account = 'other' WHERE id = $id");
	like($error, qr/invoice $id cannot be moved to another account$/m, 'a row that is to be looked up first stays with its account');
	sql("UPDATE mf_invoice SET customer_reference = 'another', customer_name = 'another' WHERE id = $id");
	is(sql("SELECT reference FROM mf_invoice WHERE id = $id"), $reference, 'and keeps its reference');
	sql("UPDATE mf_queue SET kind = 'send' WHERE invoice = $id; UPDATE mf_invoice SET account = 'other' WHERE id = $id");
	is(sql("SELECT account FROM mf_queue WHERE invoice = $id"), 'other', 'one that was never sent may go to another');
	sql("SELECT mf_cancel($id); DROP SERVER other CASCADE");
}

# Nor is one of a row that a person is to look at, because there is nothing left to be looked up for it.
{
	my $id = $mf->insert($node, 'postgres', 'suspected');

	$mf->wait_status($node, 'postgres', 'suspected');
	sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_invoice SET duplicate_suspected = true WHERE id = $id; COMMIT;
		INSERT INTO mf_queue (invoice, account, kind, due, rank, priority) VALUES ($id, 'myfatoorah', 'watch', now(), now(), 0)");
	sql('SELECT mf_resume()');
	$mf->wait_for($node, 'postgres', "SELECT coalesce((SELECT kind <> 'watch' FROM mf_queue WHERE invoice = $id), true)");
	is(sql("SELECT count(*) FROM mf_review WHERE id = $id"), 1, 'a row that may exist twice stays in mf_review when there is nothing to look up');
	sql("SELECT mf_resolve($id, 'dismiss', 'a test')");
}

# Types: as before, or a clear error, and nothing else. A view keeps the type of what it shows, so whoever insists takes it away first.
sql(join ';', map { "ALTER EXTENSION myfatoorah DROP VIEW $_; DROP VIEW $_" } qw(mf_invoice_all mf_open));
foreach my $case (
	[ 'mf_invoice', 'sent_at', 'text', 'timestamptz' ],
	[ 'mf_invoice', 'sent_at', 'date', 'timestamptz' ],
	[ 'mf_invoice', 'invoice_url', 'varchar(20)', 'text' ],
	[ 'mf_invoice', 'customer_mobile', 'varchar(60)', 'text' ],
	[ 'mf_invoice', 'customer_civil_id', 'bytea', 'text' ],
	[ 'mf_invoice', 'shipping_method', 'integer', 'smallint' ],
	[ 'mf_invoice', 'own_key', 'text', 'boolean' ],
	[ 'mf_queue', 'lookups', 'integer', 'smallint' ],
	[ 'mf_attempt', 'send_by', 'text', 'timestamptz' ],
	[ 'mf_attempt', 'invoice_url', 'varchar(20)', 'text' ],
	[ 'mf_attempt', 'http_status', 'bigint', 'integer' ],
	[ 'mf_inquiry', 'unchanged_answers', 'integer', 'smallint' ])
{
	my ($table, $column, $type, $was) = @$case;
	my $what = "$table.$column $type";
	my $name = "$table-$column-" . ($type =~ s/\W/-/gr);
	my ($to, $back) = $type eq 'bytea' ? ("convert_to($column, 'UTF8')", "convert_from($column, 'UTF8')") :
		$type eq 'varchar(20)' ? ("left($column, 20)", $column) : ("$column\::$type", "$column\::$was");

	sql("ALTER TABLE $table ALTER COLUMN $column TYPE $type USING $to");

	my ($status, undef, $error) = $node->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice($name));

	if ($status == 0)
	{
		$mf->wait_for($node, 'postgres', "SELECT EXISTS (SELECT FROM mf_invoice WHERE customer_reference = '$name' AND status = 'sent') OR
			EXISTS (SELECT FROM mf_review WHERE customer_name = '$name')");
		pass("$what: it is sent, or named");
	}
	else
	{
		like($error, qr/column "$column" of mf_invoice has type .* instead of/, "$what: a clear error");
	}
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: the worker is the same");
	is(sql("SELECT count(*) FROM $table WHERE length($column) > 20"), 0, "$what: nothing is longer than that") if $type eq 'varchar(20)';
	is(sql("SELECT count(*) FROM mf_invoice WHERE sent_at::text !~ '^20'"), 0, "$what: no time that never was") if $column eq 'sent_at';
	sql('ALTER TABLE mf_invoice ALTER COLUMN own_key DROP DEFAULT') if $column eq 'own_key';
	sql("ALTER TABLE $table ALTER COLUMN $column TYPE $was USING $back");
	sql('ALTER TABLE mf_invoice ALTER COLUMN own_key SET DEFAULT false') if $column eq 'own_key';
	sql('SELECT mf_resume()');
	$mf->wait_status($node, 'postgres', $name) if $status == 0;
}

is(sql('SELECT count(*) FROM mf_review'), 0, 'in the end nothing is left');
is_deeply([ grep { !/\btwin\./ } $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree, but for the twin that was made here');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
