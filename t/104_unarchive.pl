# What moves to the archive and back moves as it is, or not at all, whatever triggers users have on the tables of both; and what comes in
# meanwhile is not lost.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => 'myfatoorah.worker_enabled = off');
my $db = 'postgres';

sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? 'ok' : $got->{error};
}

sub moved_by { return qq{27000: a trigger or rule has changed or suppressed what moves, in table "$_[0]"}; }

my $month = 'mf_invoice_archive_2025_01';
my @companions = qw(mf_attempt mf_transition mf_transaction mf_dispute_state mf_event mf_invoice_number);

# All that there is of the invoices, where it stands: in mf_invoice, or archived
my $state = join(' UNION ALL ', map { "SELECT '$_', l::text FROM $_ l" } 'mf_invoice', @companions, 'mf_invoice_archive', 'mf_archive_key') . ' ORDER BY 1, 2';

sql(q{CREATE EXTENSION myfatoorah;
	CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
	SET session_replication_role = replica;
	WITH i AS (INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, reference, status, payment_status, invoice_id, sent_at, attempts, created_at, created_by_id, currency)
			SELECT 'Noura', 10.50, 'B' || n, 'B' || n || '.1', 'sent', 'paid', 900000 + n, '2025-01-05', 1, '2025-01-05', (SELECT oid FROM pg_roles WHERE rolname = current_user), 'KWD'
			FROM generate_series(1, 3) n RETURNING id, invoice_id, reference),
		n AS (INSERT INTO mf_invoice_number (invoice_id, invoice) SELECT invoice_id, id FROM i),
		a AS (INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, outcome) SELECT id, 1, reference, '\x00', '2025-01-05', '2025-01-05', 'accepted' FROM i),
		t AS (INSERT INTO mf_transaction (invoice, payment_id, transaction_status, transaction_value) SELECT id, '007' || id, 'Succss', 10.50 FROM i),
		d AS (INSERT INTO mf_dispute_state (invoice, dispute_id, status, opened_at, changed_at, event) SELECT id, '1', 'RESOLVED', '2025-01-07', '2025-01-07', 0 FROM i),
		e AS (INSERT INTO mf_event (account, source, version, event_code, invoice_id, invoice, digest, data, deliveries, received_at, last_received_at, answered_at)
			SELECT 'myfatoorah', 'webhook', 2, 1, invoice_id, id, sha256(id::text::bytea), '{"Invoice": {"Id": "9"}}', 3, '2025-01-06', '2025-01-07', '2025-01-06' FROM i)
		INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt) SELECT id, 'somebody', 'unpaid', 'paid', 1 FROM i});
sql(q{CREATE ROLE mallory; CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO public;
	SET ROLE mallory; CREATE FUNCTION mallory.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'});

# with_trigger(table, events, function or what it does to the row, call): what becomes of the call, which changes nothing
sub with_trigger
{
	my ($table, $event, $change, $call) = @_;
	my $before = sql($state);
	my $result;

	sql(qq{GRANT TRIGGER ON $table TO mallory; SET ROLE mallory;
		CREATE OR REPLACE FUNCTION mallory.change() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN $change RETURN NEW; END \$f\$;
		CREATE TRIGGER meddle BEFORE $event ON $table FOR EACH ROW EXECUTE FUNCTION mallory.} . ($change ? 'change()' : 'nothing()'));
	$result = attempt($call);
	sql("DROP TRIGGER meddle ON $table; REVOKE TRIGGER ON $table FROM mallory");
	is(sql($state), $before, "$event on $table: " . ($change || 'RETURN NULL;') . ' moves nothing');
	return $result;
}

#
# mf_archive(): what a trigger keeps from being deleted, or changes of what is written
#
my $archive = q{SELECT mf_archive('2025-02-01')};
my $whole = sql($state);
is(() = $whole =~ /^mf_/mg, 3 * (1 + @companions), 'each row has its companions');
is(with_trigger($_, 'DELETE', '', $archive), moved_by($_), "mf_archive(): lines of $_ that stay are seen") for @companions;
is(with_trigger('mf_invoice', 'DELETE', '', $archive), moved_by('mf_invoice'), 'mf_archive(): invoices that stay are seen');
# the month is there
is(sql("BEGIN; $archive; COMMIT"), 3, 'all three are archived');
sql(q{SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_archive; DELETE FROM mf_inquiry});
is(sql($state), $whole, 'and come back as they were');
is(with_trigger($month, 'INSERT', '', $archive), moved_by('mf_invoice_archive'), 'mf_archive(): a row that is not written is seen');
is(with_trigger($month, 'INSERT', $_, $archive), moved_by('mf_invoice_archive'), "as is what a trigger makes of it: $_")
  for q{NEW.status := 'queued';}, q{NEW.invoice_value := 10.5;}, q{NEW.detail := '{}';}, q{NEW.invoice_id := NULL;};
is(with_trigger('mf_archive_key', 'INSERT', $_, $archive), moved_by('mf_archive_key'), "and of its keys: $_") for '', q{NEW.invoice_id := NULL;}, q{NEW.reference := NEW.reference || 'x';};

#
# mf_unarchive(): likewise
#
is(sql($archive), 3, 'without them they are archived');
my $unarchive = q{SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_archive};
is(with_trigger($_, 'INSERT', '', $unarchive), moved_by($_), "mf_unarchive(): lines of $_ that are not written are seen") for 'mf_invoice', @companions;
is(with_trigger('mf_archive_key', 'DELETE', '', $unarchive), moved_by('mf_archive_key'), 'mf_unarchive(): keys that stay are seen');
is(with_trigger($month, 'DELETE', '', $unarchive), moved_by('mf_invoice_archive'), 'mf_unarchive(): archived rows that stay are seen');
is(with_trigger('mf_invoice', 'INSERT', q{NEW.status := 'queued'; NEW.payment_status := 'unpaid'; NEW.reference := NEW.reference || 'x'; NEW.attempts := 0; NEW.invoice_id := NULL; NEW.sent_at := NULL;}, $unarchive),
	moved_by('mf_invoice'), 'no paid invoice is made one that is to be sent');
is(with_trigger('mf_invoice', 'INSERT', $_, $unarchive), moved_by('mf_invoice'), "nor is a column of ours changed: $_")
  for q{NEW.payment_status := 'unpaid';}, q{NEW.invoice_value := 1;}, q{NEW.metadata := '{}';}, q{NEW.customer_name := 'x';};
is(with_trigger($_->[0], 'INSERT', $_->[1], $unarchive), moved_by($_->[0]), "nor one of $_->[0]: $_->[1]")
  for [ 'mf_attempt', q{NEW.outcome := 'rejected';} ], [ 'mf_transition', q{NEW.actor := 'x';} ], [ 'mf_transaction', q{NEW.transaction_status := 'Failed';} ], [ 'mf_invoice_number', 'NEW.invoice_id := 1;' ],
  [ 'mf_event', q{NEW.account := 'x';} ];
is(sql('SELECT count(*) FROM mf_queue'), 0, 'nothing is to be sent');

# a column of one's own is one's own to fill
sql(q{ALTER TABLE mf_invoice ADD seen text; ALTER TABLE mf_invoice_archive ADD seen text; GRANT TRIGGER ON mf_invoice TO mallory;
	SET ROLE mallory; CREATE OR REPLACE FUNCTION mallory.change() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.seen := 'again'; RETURN NEW; END $f$;
	CREATE TRIGGER own BEFORE INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.change()});
is(sql($unarchive), 3, 'triggers that fill columns of users are not in the way');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE seen = 'again' AND status = 'sent' AND payment_status = 'paid'}), 3, 'and all come back');
sql(q{DROP TRIGGER own ON mf_invoice; DELETE FROM mf_inquiry});

#
# An old event that another session deletes meanwhile keeps nothing from being archived
#
my $other = $mf->session($node, $db);
my $mover = $mf->session($node, $db);
sql(q{INSERT INTO mf_event (account, source, invoice, invoice_id, digest, answered_at) SELECT account, 'log', id, invoice_id, '\x03', now() FROM mf_invoice WHERE customer_reference = 'B3'});
$other->query_safe(q{BEGIN; DELETE FROM mf_event WHERE digest = '\x03'});
$mover->query_until(qr/begun/, "\\echo begun\n$archive;\n");
$mf->wait_for($node, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT mf_archive%' AND pid <> pg_backend_pid()}, 1);
$other->query_safe('COMMIT');
$mover->query('SELECT 1');
is(sql('SELECT count(*) FROM mf_invoice_archive'), 3, 'an event that goes meanwhile is not taken for one that a trigger keeps');
is(sql($unarchive), 3, 'and all come back');
sql(q{DELETE FROM mf_inquiry; DELETE FROM mf_event WHERE digest = '\x03'});

#
# What another session has locked is not waited for, and left to the next call
#
$other->query_safe(q{BEGIN; SELECT FROM mf_invoice WHERE customer_reference IN ('B2', 'B3') FOR UPDATE});
is(sql("$archive; $archive"), "1\n0", 'two rows are locked, and 0 is returned while they are');
$other->query_safe('COMMIT');
is(sql($archive), 2, 'then they go, too');
is(sql($unarchive), 3, 'and all come back');
sql('DELETE FROM mf_inquiry');

#
# An event that comes in again while its invoice is archived is one with the first
#
is(sql($archive), 3, 'archived once more');
sql(q{INSERT INTO mf_event (account, source, version, event_code, invoice_id, digest, data, received_at, last_received_at)
	SELECT 'myfatoorah', 'webhook', 2, 1, invoice_id, sha256(id::text::bytea), '{"Invoice": {"Id": "9"}}', '2025-06-01', '2025-06-01' FROM mf_invoice_archive WHERE customer_reference = 'B1'});
is(sql($unarchive), 3, 'they come back');
is(sql(q{SET timezone = 'UTC'; SELECT received_at, last_received_at, deliveries, invoice IS NOT NULL FROM mf_event WHERE invoice_id = 900001}), '2025-01-06 00:00:00+00|2025-06-01 00:00:00+00|4|t',
	'the event has come first when it did, and as often as it did');
is(sql(q{SELECT count(*) FROM mf_event}), 3, 'the two deliveries are one event');

#
# An event that comes in while mf_unarchive() is not committed is matched at the commit
#
sql('DELETE FROM mf_inquiry');
is(sql($archive), 3, 'archived for the last time');
$other->query_safe('BEGIN');
is($other->query_safe($unarchive), 3, 'in a transaction they come back');
sql(q{INSERT INTO mf_event (account, source, version, event_code, invoice_id, digest) VALUES ('myfatoorah', 'webhook', 2, 2, 900002, '\x02')});
is(sql(q{SELECT archived IS NOT NULL FROM mf_unmatched}), 't', 'until the commit it is about an archived invoice');
$other->query_safe('COMMIT');
is(sql(q{SELECT i.customer_reference FROM mf_event e JOIN mf_invoice i ON i.id = e.invoice WHERE e.digest = '\x02'}), 'B2', 'then it is that of the row');
is(sql('SELECT count(*) FROM mf_unmatched'), 0, 'and nothing is unmatched');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
