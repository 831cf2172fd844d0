# mf_validate(): all that INSERT would refuse of a rent roll, without writing; and which row of a batch an error is about.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $db = 'postgres';

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# "ok" and what it gives; or SQLSTATE and message, the column and table that drivers get, and the context without that of SQL
sub attempt
{
	my $got = attempted(@_);
	my ($context) = $got->{said} =~ /^CONTEXT:  (.*?)(?=^[A-Z]+(?: [A-Z]+)?:|\z)/ms;

	return "ok $got->{out}" if $got->{ok};
	$context = join '; ', grep { /^(?:invoice with|row \d)/ } split /\n/, $context // '';
	return join ' | ', $got->{error}, grep { $_ } join('.', grep { $_ } @$got{'TABLE NAME', 'COLUMN NAME'}), $context;
}

#
# A rent roll
#
sql(q{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice; CREATE ROLE reader LOGIN IN ROLE myfatoorah_read;
	CREATE TABLE rent_roll (flat int PRIMARY KEY, tenant text, amount numeric, email text, phone text);
	INSERT INTO rent_roll SELECT n, 'Tenant ' || n, 100 + n, 'a@example.com', '99999999' FROM generate_series(1, 60) n;
	UPDATE rent_roll SET tenant = ' ', amount = -1, phone = 'call me' WHERE flat = 17; UPDATE rent_roll SET email = 'nobody' WHERE flat = 40;
	GRANT SELECT ON rent_roll TO alice, bob, reader});
my $record = q{jsonb_populate_record(NULL::mf_invoice, jsonb_build_object('customer_name', r.tenant, 'invoice_value', r.amount, 'notification_option', 'ALL', 'customer_email', r.email, 'customer_mobile', r.phone))};
my $roll = "SELECT r.flat, v.field, v.message FROM rent_roll r, mf_validate($record) v ORDER BY 1, 2";
my $complaints = join "\n", '17|customer_mobile|invalid customer_mobile: "callme"', '17|customer_name|customer_name must not be empty',
  '17|invoice_value|invoice_value must be greater than zero: It is -1.', '40|customer_email|invalid customer_email: "nobody"';
is(sql($roll), $complaints, 'all complaints of all rows');
is(attempt($roll, 'alice'), "ok $complaints", 'to whoever may insert');
is(sql(q{SELECT count(*) FROM mf_invoice}) . sql(q{SELECT count(*) FROM mf_queue}) . sql(q{SELECT is_called FROM mf_invoice_id_seq}), '00f', 'nothing is written, no number used up');
is($sandbox->count(path => '/v2/SendPayment'), 0, 'nothing leaves');
is(attempt('BEGIN READ ONLY; ' . $roll), "ok $complaints", 'not even a transaction that writes is needed');
is(sql(qq{SELECT v.hint FROM rent_roll r, mf_validate($record) v WHERE field = 'customer_email'}), 'Give one plain address, such as name@example.com.', 'with the hint of INSERT');
is(attempt(qq{SELECT v.field, v.message FROM rent_roll r, mf_validate($record) v WHERE flat = 1}, 'bob'), 'ok account|permission denied for account "myfatoorah"', 'who may not use the account is told so');
sql(q{CREATE ROLE owner LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO owner; GRANT SELECT ON rent_roll TO owner;
	CREATE USER MAPPING FOR owner SERVER myfatoorah OPTIONS (api_key 'a-key-of-his-own')});
like(attempt(qq{SELECT v.field, v.message FROM rent_roll r, mf_validate($record) v WHERE flat = 1}, 'owner'), qr/^ok account\|role "owner" may not send through account/, 'nor with a key that the account does not take');
is(attempt($roll, 'reader'), '42501: permission denied for function mf_validate', 'who may not insert may not ask');
sql(q{CREATE TABLE named (customer_name text, invoice_value numeric, send_at timestamptz, id int, remark text); INSERT INTO named VALUES ('x', 1, 'infinity', 7, 'not ours'), ('y', 2, NULL, 8, NULL)});
is(sql(q{SELECT n.id, v.* FROM named n, mf_validate(jsonb_populate_record(NULL::mf_invoice, to_jsonb(n))) v}),
	'7|send_at|send_at must be finite|Leave it out to send at once; use mf_cancel() for an invoice that is not to be sent.', 'a table whose columns have the names of fields is the easiest; those of others are left aside');

#
# One row with everything wrong
#
my %wrong = (account => 'nowhere', customer_name => '', invoice_value => 0, notification_option => 'POST', customer_email => 'x', customer_mobile => 'x', mobile_country_code => 'x', display_currency_iso => 'USD',
	language => 'FR', customer_reference => 'r' x 101, customer_civil_id => 'c' x 501, user_defined_field => 'u' x 501, call_back_url => 'x', error_url => 'x', webhook_url => 'x', expiry_date => '2020-01-01',
	customer_address => { x => 1 }, invoice_items => [ 1 ], shipping_method => 3, shipping_consignee => [], suppliers => { x => 1 }, processing_details => 1, invoice_payment_methods => [ 0 ], source_info => 's' x 501,
	send_at => 'infinity', priority => 101, idempotency_key => ' ', reference => 'mine', status => 'sent', invoice_id => 5, attempts => 1, net_value => 1, overpaid => JSON::PP::true);
sub complained
{
	my (%row) = @_;

	return sql(q{SELECT string_agg(DISTINCT field, ' ' ORDER BY field) FROM mf_validate(jsonb_populate_record(NULL::mf_invoice, } . $mf->literal(JSON::PP->new->encode(\%row)) . '))');
}
is(complained(%wrong), join(' ', sort grep { !/mobile_country_code|invoice_value/ } keys %wrong), 'each field of a row has its complaint; what an account is needed for waits for one');
is(complained(%wrong, account => 'myfatoorah'), join(' ', sort grep { $_ ne 'account' } keys %wrong), 'with one, each');
is(complained(customer_name => 'x', invoice_value => 5, invoice_items => [ { ItemName => 'a', Quantity => 1, UnitPrice => 4 } ]), 'invoice_items', 'sums are checked');
is(complained(customer_name => 'x', notification_option => 'SMS', shipping_method => 1), 'customer_mobile invoice_value shipping_consignee', 'what is missing is told');
is(complained(customer_name => 'x', invoice_value => 5, user_defined_field => 'x' x 70_000), 'user_defined_field', 'what is far too large');
is(complained(customer_name => 'x', invoice_value => 5), '', 'a good row has none');
is(attempt(q{SELECT * FROM mf_validate(NULL)}), '22004: invoice must not be null', 'no row is an error');
is(attempt(q{SELECT field FROM mf_validate(ROW(NULL)::mf_invoice)}) =~ s/:.*//r, '42846', 'a row has all columns');
sql(q{ALTER TABLE mf_invoice ALTER COLUMN notification_option SET DEFAULT 'EML'});
is(complained(customer_name => 'x', invoice_value => 5), 'customer_email', 'defaults are those of the table');
sql(q{ALTER TABLE mf_invoice ALTER COLUMN notification_option SET DEFAULT 'LNK'});
like(attempt(q{SET statement_timeout = 1; SELECT count(*) FROM generate_series(1, 10000000) n, mf_validate(jsonb_populate_record(NULL::mf_invoice, '{"customer_name": ""}'))}), qr/^57014/, 'a cancel is no complaint');

#
# Which row of a batch
#
my $insert = 'INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference)';
is(attempt("$insert SELECT tenant, amount, 'flat ' || flat FROM rent_roll ORDER BY flat"),
	'22023: customer_name must not be empty | mf_invoice.customer_name | invoice with customer_reference "flat 17"; row 17 of those that the statement inserts into mf_invoice', 'an error names row, column and table');
is(attempt("$insert VALUES ('a', 1, 'first'), ('b', 0, NULL)"), '22023: invoice_value must be greater than zero | mf_invoice.invoice_value | row 2 of those that the statement inserts into mf_invoice', 'without a reference, too');
is(attempt("$insert VALUES ('a', 0, 'alone')"), '22023: invoice_value must be greater than zero | mf_invoice.invoice_value | invoice with customer_reference "alone"', 'of a single row there is no number to tell');
is(attempt("$insert VALUES ('a', 1, 'x'), ('b', 1, 'y'); $insert VALUES ('c', 1, 'z'), ('d', 0, NULL)"), '22023: invoice_value must be greater than zero | mf_invoice.invoice_value | row 2 of those that the statement inserts into mf_invoice', 'each statement counts for itself');
sql(q{CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.customer_name = 'skipped' THEN NULL ELSE NEW END; END $$;
	CREATE TRIGGER a_skip BEFORE INSERT ON mf_invoice FOR EACH ROW EXECUTE FUNCTION skip()});
is(attempt("$insert VALUES ('skipped', 1, 'x'), ('b', 1, 'y'), ('c', 0, 'z')"), '22023: invoice_value must be greater than zero | mf_invoice.invoice_value | invoice with customer_reference "z"', 'where triggers of others may have taken rows away, no number is told that would be wrong');
sql(q{DROP TRIGGER a_skip ON mf_invoice});
is(attempt("INSERT INTO mf_invoice (account, customer_name, invoice_value) VALUES ('myfatoorah', 'a', 1), ('nowhere', 'b', 1)"),
	'42704: account "nowhere" does not exist | mf_invoice.account | row 2 of those that the statement inserts into mf_invoice', 'an account that does not exist');
is(attempt("INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('a', 1)", 'bob'), '42501: permission denied for account "myfatoorah" | mf_invoice.account', 'or may not be used');
is(attempt("INSERT INTO mf_invoice (customer_name, invoice_value, send_at) VALUES ('a', 1, '1960-01-01')"), '22023: send_at is out of range | mf_invoice.send_at', 'a time out of range');
is(attempt("INSERT INTO mf_invoice (customer_name, invoice_value, status) VALUES ('a', 1, 'sent')"), '42501: column "status" of mf_invoice is written by myfatoorah only | mf_invoice.status', 'a column that is ours');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
