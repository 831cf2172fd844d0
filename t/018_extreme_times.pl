# Any time that a row has, however it came in, keeps nothing from going on: the worker starts and sends, mf_check() and
# mf_repair() look and mend. New rows have times that can be reckoned with.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '1h'");
my @past = ('-infinity', '4713-01-01 00:00:00+00 BC', '0001-01-01 00:00:00+00', '1969-12-31 00:00:00+00');
my @future = ('9999-12-31 23:59:59+00', '10000-01-01 00:00:00+00', '294276-12-31 23:59:59+00', 'infinity');

sub check
{
	my ($item) = @_;

	return sql("SELECT ok, detail FROM mf_check() WHERE item = '$item'");
}

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);

# A new worker, by which a row is sent
sub starts
{
	my ($what) = @_;

	$worker = $mf->wait_worker($node, $db, not => $worker);
	$mf->insert($node, $db, $what);
	$mf->wait_status($node, $db, $what);
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: the worker starts, and stays");
	return;
}

# The rest goes on while these wait, and once they get a time they are sent.
sub all_is_well
{
	my ($what) = @_;

	sql("SELECT pg_terminate_backend($worker)");
	starts("$what, new worker");
	is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'agenda'}), 1, "$what: mf_check() looks");
	is(($node->psql($db, 'SELECT count(*) >= 0 FROM mf_repair()'))[1], 't', "$what: mf_repair() mends");
	like(check('agenda'), qr/^t\|/, "$what: then all is well");
	is(sql('SELECT count(*) FROM mf_repair()'), 0, "$what: and nothing is left");
	$node->restart;
	starts("$what, new server");
	return;
}

my $number = 0;

sub row
{
	my ($time) = @_;

	return sprintf q{('x', 1, 't%d', '%s', %d)}, ++$number, $time, $number % 2 * 100;
}

# Whoever may insert cannot: see sql/invoice_table.sql for each way.  A trigger and a default of the table are no way around it.
my $insert = 'INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, send_at, priority) VALUES ';
like(($node->psql($db, $insert . row($_)))[2], qr/ERROR:  send_at (?:is out of range|must be finite)\nHINT:/, "$_ is refused") foreach @past, grep { !/^9999/ } @future;
sql(q{CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.send_at := '294276-12-31'; RETURN NEW; END $$;
	CREATE TRIGGER later BEFORE INSERT OR UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION later()});
like(($node->psql($db, $insert . row('2001-01-01')))[2], qr/ERROR:  send_at is out of range/, 'by a trigger, too');
sql(q{DROP TRIGGER later ON mf_invoice; ALTER TABLE mf_invoice ALTER send_at SET DEFAULT '294276-12-31'});
like(($node->psql($db, q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)}))[2], qr/ERROR:  send_at is out of range/, 'and by a default');
sql(q{ALTER TABLE mf_invoice ALTER send_at SET DEFAULT now()});
is(sql("WITH i AS ($insert" . row('9999-12-31 23:59:59+00') . ', ' . row('1970-01-01 00:00:00+00') . ' RETURNING 1) SELECT count(*) FROM i'), 2, 'the first and the last time are taken');
all_is_well('times that are taken');

# What is there already: rows changed without triggers, with their entries and without any
foreach my $case ([ 'with entries', q{UPDATE mf_queue SET due = '%s', rank = '%1$s' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '%2$s')} ],
	[ 'of another kind', q{UPDATE mf_queue SET kind = 'verify', due = '%s', rank = '%1$s' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '%2$s')} ],
	[ 'late', q{UPDATE mf_queue SET due = '294276-12-31 23:59:59+00', rank = '%s' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '%2$s')} ],
	[ 'without', q{DELETE FROM mf_queue WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '%2$s')} ])
{
	my ($what, $change) = @$case;
	my $from = $number + 1;

	sql(q{SELECT mf_pause('myfatoorah')});
	foreach my $time (@past, @future)
	{
		sql($insert . row('2001-01-01'));
		sql("SET session_replication_role = replica; UPDATE mf_invoice SET send_at = '$time', created_at = '$time' WHERE customer_reference = 't$number'; " . sprintf $change, $time, "t$number");
	}
	sql(q{SELECT mf_resume('myfatoorah')});
	all_is_well($what);
	sql("UPDATE mf_invoice SET send_at = now(), priority = 50 WHERE customer_reference = 't$_' AND status = 'queued'") foreach $from .. $number;
	# an entry stands behind created_at, which is in the future of some
	sql(q{SELECT mf_repair(); UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume()});
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_invoice WHERE customer_reference ~ '^t[0-9]' AND status = 'sent' AND substr(customer_reference, 2)::int >= $from", $number - $from + 1);
}

# Rows that a dump brings, by both ways of writing entries
foreach my $way ('plain', 'by SQL')
{
	sql(q{CREATE TRIGGER somebodys BEFORE UPDATE ON mf_queue FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()}) if $way eq 'by SQL';
	foreach my $time (@past, @future)
	{
		my $id = sql(qq{INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, send_at, created_at, priority) VALUES ('x', 1, 'dump-$way-$time', 'queued', '$time', '$time', 100) RETURNING id});
		is(sql("SELECT kind FROM mf_queue WHERE invoice = $id"), 'verify', "$time, restored $way: it is on the agenda");
		# when it was made says nothing of when it is due
		$id = sql(qq{INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, send_at, created_at) VALUES ('x', 1, 'made-$way-$time', 'queued', now(), '$time') RETURNING id});
		is(sql("SELECT kind, rank < now() + interval '2 h' FROM mf_queue WHERE invoice = $id"), 'verify|t', "made at $time, restored $way: it waits for nothing else");
	}
	sql(q{SELECT mf_resume('*')});
	all_is_well("restored $way");
}

# The account's time zone puts an expiry_date behind the last year that can be written.
{
	$mf->setup_account($node, $db, $sandbox, account => 'east', options => { time_zone => 'UTC' });
	my $id = sql(q{BEGIN; INSERT INTO mf_invoice (account, customer_name, invoice_value, expiry_date) VALUES ('east', 'x', 1, '9999-12-31 23:00+00') RETURNING id; ALTER SERVER east OPTIONS (SET time_zone 'Asia/Kuwait'); COMMIT});
	$mf->wait_for($node, $db, qq{SELECT what_happened LIKE 'expiry_date is out of range in time zone "Asia/Kuwait" of account "east"%' FROM mf_review WHERE id = $id});
	sql("UPDATE mf_invoice SET expiry_date = NULL WHERE id = $id; SELECT mf_resume('east')");
	$mf->wait_for($node, $db, "SELECT status FROM mf_invoice WHERE id = $id", 'sent');
	is(sql('SELECT pid FROM mf_worker_status'), $worker, 'an expiry_date that a time zone puts too late is an error of its row');
}

# A look at the start that fails for any other cause ends no worker.
{
	my $offset = -s $node->logfile;

	sql('ALTER TABLE mf_inquiry RENAME COLUMN invoice TO was_invoice');
	sql("SELECT pg_terminate_backend($worker)");
	ok($node->wait_for_log(qr/LOG:  myfatoorah: agenda_not_checked: could not check whether invoices are missing .*was_invoice|LOG:  myfatoorah: agenda_not_checked: could not check whether invoices are missing .*does not exist/, $offset), 'the log tells that it cannot be looked');
	$worker = $mf->wait_worker($node, $db, not => $worker);
	like(sql(q{SELECT detail || hint FROM mf_check() WHERE item = 'account' AND NOT ok}), qr/does not exist.*Remove the cause/, 'mf_check() says what to do');
	sql('ALTER TABLE mf_inquiry RENAME COLUMN was_invoice TO invoice; SELECT mf_resume()');
	$mf->insert($node, $db, 'after');
	$mf->wait_status($node, $db, 'after');
	is(sql('SELECT pid FROM mf_worker_status'), $worker, 'the worker has stayed');
}

unlike(slurp_file($node->logfile), qr/timestamp out of range|interval out of range|TRAP:|PANIC/, 'no time was out of range');
$node->stop;
done_testing();
