# A row goes with the key of the role that inserted it, whatever that role, or another, is called by then; and never with
# PUBLIC's in place of a key of its own.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';

# Requests that came with a key that the stand-in does not know: PUBLIC's, or that of a role of the same name
sub strangers
{
	return scalar grep { $_->{authorization} ne 'accepted' } $sandbox->ledger;
}

sub insert_as
{
	my ($role, $name, %columns) = @_;

	return sql("SET ROLE $role; INSERT INTO mf_invoice " . $mf->invoice($name, %columns) . ' RETURNING id');
}

$mf->setup_account($node, $db, $sandbox, options => { own_mappings => 'on' });
my $key = $sandbox->key;
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (DROP api_key_file, ADD api_key 'the-key-of-another-merchant');
	CREATE ROLE alice IN ROLE myfatoorah_submit; CREATE ROLE bob IN ROLE myfatoorah_submit;
	GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice, bob;
	CREATE USER MAPPING FOR alice SERVER myfatoorah OPTIONS (api_key '$key')");
$mf->wait_worker($node, $db);

# ALTER ROLE ... RENAME, and another role takes the name
sql(q{SELECT mf_pause('myfatoorah')});
my $id = insert_as('alice', 'renamed');
is(sql("SELECT created_by, created_by_id = 'alice'::regrole, own_key FROM mf_invoice WHERE id = $id"), 'alice|t|t',
	'the row knows its role by OID, and that it had a user mapping of its own');
sql(q{ALTER ROLE alice RENAME TO alicia; CREATE ROLE alice;
	CREATE USER MAPPING FOR alice SERVER myfatoorah OPTIONS (api_key 'the-key-of-the-new-alice');
	SELECT mf_resume('myfatoorah')});
$mf->wait_status($node, $db, 'renamed');
is(strangers(), 0, 'after ALTER ROLE ... RENAME it goes with the same key as before');
is(sql("SELECT created_by FROM mf_invoice WHERE id = $id"), 'alice', 'the name that people read is that of the time of its insertion');
my $invoice = sql("SELECT invoice_id FROM mf_invoice WHERE id = $id");
$sandbox->invoice($invoice, 'pay');
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
is(strangers(), 0, 'and so do questions about its payment');

# The user mapping is gone: it waits, and says so.
sql(q{SELECT mf_pause('myfatoorah')});
insert_as('alicia', 'dropped');
sql(q{DROP USER MAPPING FOR alicia SERVER myfatoorah; SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'dropped'},
	'role "alicia" has no user mapping of its own for account "myfatoorah" any more: It had one when it inserted the invoice, so the key of PUBLIC is not used in its place.');
is($mf->status($node, $db, 'dropped'), 'queued', 'a row whose own user mapping is gone waits');
is(strangers(), 0, 'and does not go with the key of PUBLIC');
sql("CREATE USER MAPPING FOR alicia SERVER myfatoorah OPTIONS (api_key '$key')");
$mf->wait_status($node, $db, 'dropped');
is(sql(q{SELECT last_error FROM mf_invoice WHERE customer_reference = 'dropped'}), '', 'a new one for that role heals it');

# So does one whose role is gone.
sql(q{SELECT mf_pause('myfatoorah')});
insert_as('alicia', 'role gone');
sql(q{DROP OWNED BY alicia; DROP ROLE alicia; SELECT mf_resume('myfatoorah')});
$mf->wait_for($node, $db, q{SELECT last_error ~ 'the role that had a user mapping of its own .* does not exist any more' FROM mf_invoice WHERE customer_reference = 'role gone'});
is(strangers(), 0, 'a row whose role is gone, with its mapping, waits too');
sql("SELECT mf_refresh($id)");
$mf->wait_for($node, $db, "SELECT error ~ 'the role that had a user mapping of its own .* does not exist any more' FROM mf_inquiry WHERE invoice = $id");
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'role gone'});

# Whoever had none goes with PUBLIC's, or with its own once it has one.
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (SET api_key '$key')");
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'invoices' AND NOT ok}), qr/^1 is put off, such as invoice $id: the role that had a user mapping/,
	'of an invoice that cannot be asked about any more, mf_check() says so');
is(sql("SELECT what_happened = (SELECT error FROM mf_inquiry WHERE invoice = $id) FROM mf_review WHERE id = $id"), 't', 'and a person sees it');
$id = insert_as('bob', 'public');
$mf->wait_status($node, $db, 'public');
is(sql("SELECT own_key FROM mf_invoice WHERE id = $id"), 'f', 'a role without a user mapping goes with PUBLIC\'s');
sql(q{SELECT mf_pause('myfatoorah')});
insert_as('bob', 'own later');
sql("ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (SET api_key 'the-key-of-another-merchant');
	CREATE USER MAPPING FOR bob SERVER myfatoorah OPTIONS (api_key '$key'); SELECT mf_resume('myfatoorah')");
$mf->wait_status($node, $db, 'own later');
is(strangers(), 0, 'its own wins, from when there is one');
sql(q{DROP USER MAPPING FOR bob SERVER myfatoorah});
my ($failed, $out, $warning) = $node->psql($db, q{BEGIN; ALTER TABLE mf_queue RENAME TO renamed;
	CREATE USER MAPPING FOR bob SERVER myfatoorah OPTIONS (api_key 'a-key-of-somebody'); SELECT count(*) FROM pg_user_mappings WHERE usename = 'bob'; ROLLBACK});
is("$failed $out", '0 1', 'what was done to the agenda makes no CREATE USER MAPPING fail');
like($warning, qr/WARNING:  could not retry invoices of account "myfatoorah" at once\nDETAIL:  relation "public.mf_queue" does not exist/, 'but a warning tells it');

# Another account is another mapping.
$mf->setup_account($node, $db, $sandbox, account => 'second', key_file => 'myfatoorah.key', options => { own_mappings => 'on' });
sql("GRANT USAGE ON FOREIGN SERVER second TO bob; CREATE USER MAPPING FOR bob SERVER second OPTIONS (api_key '$key'); SELECT mf_pause('*')");
$id = insert_as('bob', 'moved', account => q('second'));
is(sql("SELECT own_key FROM mf_invoice WHERE id = $id"), 't', 'its own for that account');
sql("SET ROLE bob; UPDATE mf_invoice SET account = 'myfatoorah' WHERE id = $id");
is(sql("SELECT own_key FROM mf_invoice WHERE id = $id"), 'f', 'none for another that the row is given to');
sql("SET ROLE bob; UPDATE mf_invoice SET account = 'second' WHERE id = $id");
sql(q{SELECT mf_resume('*')});
$mf->wait_status($node, $db, 'moved');

# Where rows are restored, numbers of roles mean nothing: the name is looked up again.
sql(q{INSERT INTO mf_invoice (customer_name, invoice_value, reference, status, created_by, created_by_id, own_key)
	VALUES ('restored', 1, 'restored.1', 'cancelled', 'bob', 12345, true), ('restored', 1, 'restored.2', 'cancelled', 'whoever', 10, true)});
is(sql(q{SELECT string_agg(created_by || ' ' || (created_by_id = 'bob'::regrole) || ' ' || (created_by_id = 0) || ' ' || own_key, ', ' ORDER BY id) FROM mf_invoice WHERE customer_name = 'restored'}),
	'bob true false true, whoever false true true', 'a restored row finds its role by name, or has none');
sql(q{INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, reference, status, created_by, own_key)
	VALUES ('restored', 1, 'restored, unknown', 'restored.3', 'unknown', 'whoever', true); SELECT mf_resume('*')});
$mf->wait_status($node, $db, 'restored, unknown', 'review');
like(sql(q{SELECT r.what_happened FROM mf_review r JOIN mf_invoice i USING (id) WHERE i.customer_reference = 'restored, unknown'}),
	qr/^outcome unknown, and it cannot be looked up: no role has the name of the one that had a user mapping/, 'what only a role that is gone could look up is for a person to decide');
like(($node->psql($db, 'SET ROLE bob; INSERT INTO mf_invoice (customer_name, invoice_value, created_by_id) VALUES (\'x\', 1, 10)'))[2],
	qr/permission denied/, 'nobody can say to be another');

is(strangers(), 0, 'no request has left with a key that is not the row\'s');
is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each invoice was made once');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
