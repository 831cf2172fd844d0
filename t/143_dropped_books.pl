# Bills and receipts are not dropped unawares: in none of the ways in which an extension is dropped, in no session, and by nobody
# without asking for it. Who asks may; what has no bills goes as ever. A dump says nothing of circles in it.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main');

sub in
{
	my ($db, $statements) = @_;

	return $node->safe_psql($db, $statements);
}

sub attempt
{
	my ($db, $statements) = @_;
	my ($status, $out, $err) = $node->psql($db, $statements);

	return $status == 0 ? 'ok' : $err =~ /(?:ERROR|FATAL):  (.*)/ ? $1 : $err;
}

sub books
{
	my ($db) = @_;

	in('postgres', "CREATE DATABASE $db TEMPLATE template0");
	return in($db, q{CREATE SCHEMA mf; CREATE EXTENSION myfatoorah SCHEMA mf; CREATE EXTENSION myfatoorah_billing SCHEMA mf;
		CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
		CREATE USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (api_key 'a-key-for-nothing')});
}

my $bill = q{INSERT INTO mf.mf_bill (customer_name, total, send_at) VALUES ('Ahmad', 10, now() + interval '1 day');
	INSERT INTO mf.mf_receipt (bill, method, value) SELECT id, 'cash', 4 FROM mf.mf_bill};
my $refused = 'extension "myfatoorah_billing" has bills and is not dropped';

books('empty');
is(attempt('empty', 'DROP EXTENSION myfatoorah_billing'), 'ok', 'without bills it is dropped');

books('books');
in('books', $bill);
in('books', 'CREATE SCHEMA other; CREATE TABLE other.mf_bill (id int); INSERT INTO other.mf_bill VALUES (1)');
in('books', 'CREATE ROLE keeper SUPERUSER LOGIN');
foreach ('DROP EXTENSION myfatoorah_billing', 'DROP EXTENSION myfatoorah_billing CASCADE', 'DROP EXTENSION myfatoorah CASCADE', 'DROP SCHEMA mf CASCADE', 'DROP EXTENSION IF EXISTS plpgsql, myfatoorah_billing CASCADE',
	'SET session_replication_role = replica; DROP EXTENSION myfatoorah_billing', 'DO $$BEGIN DROP EXTENSION myfatoorah_billing; END$$', 'SET myfatoorah_billing.drop_books = off; DROP EXTENSION myfatoorah_billing')
{
	is(attempt('books', $_), $refused, $_);
}
my ($status, $out, $err) = $node->psql('books', 'DROP EXTENSION myfatoorah_billing');
like($err, qr/DETAIL:  Bills, receipts and plans would be dropped with it\.\nHINT:  Dump them first\. Then: SET myfatoorah_billing\.drop_books = on/, 'who is refused is told how');
is(in('books', 'SELECT count(*), sum(received) FROM mf.mf_bill'), '1|4', 'nothing is lost');

# What belongs to the role that has made the extension goes with DROP OWNED
books('owned');
in('owned', $bill . q{; UPDATE pg_extension SET extowner = 'keeper'::regrole WHERE extname = 'myfatoorah_billing';
	UPDATE pg_shdepend SET refobjid = 'keeper'::regrole WHERE classid = 'pg_extension'::regclass AND objid = (SELECT oid FROM pg_extension WHERE extname = 'myfatoorah_billing');
	INSERT INTO pg_shdepend SELECT d.oid, 'pg_extension'::regclass, e.oid, 0, 'pg_authid'::regclass, 'keeper'::regrole, 'o' FROM pg_database d, pg_extension e
	WHERE d.datname = current_database() AND e.extname = 'myfatoorah_billing' AND NOT EXISTS (SELECT FROM pg_shdepend s WHERE s.dbid = d.oid AND s.classid = 'pg_extension'::regclass AND s.objid = e.oid)});
is(attempt('owned', 'DROP OWNED BY keeper CASCADE'), $refused, 'DROP OWNED');

# Others drop what is theirs
is(attempt('books', 'DROP SCHEMA other CASCADE'), 'ok', 'a table of that name that is another');
in('books', 'CREATE ROLE guest LOGIN; CREATE SCHEMA theirs AUTHORIZATION guest');
is(attempt('books', 'SET ROLE guest; DROP SCHEMA theirs'), 'ok', 'a role without rights drops its schema');
# who owns the schema may drop it with all that is in it, but not the books
in('books', 'ALTER SCHEMA mf OWNER TO guest; GRANT ALL ON SCHEMA mf TO guest');
is(attempt('books', "SET SESSION AUTHORIZATION guest; $_ DROP SCHEMA mf CASCADE"), $refused, "who owns the schema: $_") foreach '', 'SET myfatoorah_billing.drop_books = on;', "SELECT set_config('myfatoorah_billing.drop_books', 'on', false);";
in('books', q{SET SESSION AUTHORIZATION guest; CREATE FUNCTION mf.mf_ours(integer DEFAULT 1) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE FUNCTION mf.mf_load_guard(integer DEFAULT 1) RETURNS boolean LANGUAGE sql AS 'SELECT true'});
is(attempt('books', 'DROP EXTENSION myfatoorah_billing'), $refused, 'functions that somebody has planted do not let it through');
is(attempt('books', 'SET SESSION AUTHORIZATION guest; DROP SCHEMA IF EXISTS nothing'), 'ok', 'nor keep others from their commands');
in('books', 'DROP FUNCTION mf.mf_ours(integer), mf.mf_load_guard(integer); ALTER SCHEMA mf OWNER TO CURRENT_USER');

# nor does a guard that cannot load its library keep anybody from that, however it fails
my $ours = in('books', q{SELECT pg_get_functiondef('mf.mf_ours()'::regprocedure)});
in('books', 'CREATE OR REPLACE FUNCTION mf.mf_ours() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION USING ERRCODE = $e$XX000$e$; END$$');
is(attempt('books', 'SET ROLE keeper; CREATE SCHEMA mine; DROP SCHEMA mine'), 'ok', 'with a library that does not fit');
in('books', $ours);
in('books', 'ALTER SCHEMA mf RENAME TO moved');
is(attempt('books', 'CREATE SCHEMA mine; DROP SCHEMA mine'), 'ok', 'with a schema of another name');
is(attempt('books', 'DROP SCHEMA moved CASCADE'), $refused, 'and that is guarded as before');
in('books', 'ALTER SCHEMA moved RENAME TO mf');

# The server can be told the same where the library is not preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(attempt('books', 'DROP EXTENSION myfatoorah_billing'), $refused, 'without preload, too');

# A dump and its restore
in('books', q{CREATE ROLE clerk IN ROLE myfatoorah_submit; CREATE ROLE leaver IN ROLE myfatoorah_submit; GRANT USAGE ON SCHEMA mf TO clerk, leaver; GRANT USAGE ON FOREIGN SERVER myfatoorah TO clerk, leaver});
foreach my $role (qw(clerk leaver))
{
	in('books', qq{SET ROLE $role; INSERT INTO mf.mf_bill (customer_name, total, send_at, bill_key) VALUES ('Ahmad', 10, now() + interval '1 day', 'of $role');
		INSERT INTO mf.mf_plan (template, starts_on, every, plan_key) VALUES ('{"customer_name": "Ahmad", "total": 1}', '2099-01-01', '1 month', 'of $role')});
}
in('books', q{REVOKE ALL ON FOREIGN SERVER myfatoorah FROM leaver; REVOKE ALL ON SCHEMA mf FROM leaver; ALTER ROLE leaver RENAME TO left_us});
my $dump = $node->basedir . '/books.sql';
my ($dumped, $warnings) = ('', '');
IPC::Run::run([ 'pg_dump', '-f', $dump, $node->connstr('books') ], '2>', \$warnings);
unlike($warnings, qr/circular/, 'a dump warns of no circles') or diag($warnings);
IPC::Run::run([ 'pg_dump', '--data-only', '-f', "$dump.data", $node->connstr('books') ], '2>', \$warnings);
unlike($warnings, qr/circular/, 'nor does one of the data');
# as in another cluster: the OID of a role is that of a stranger there
in('books', 'ALTER ROLE clerk RENAME TO stranger; CREATE ROLE clerk IN ROLE myfatoorah_submit');
in('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'it is restored');
foreach my $table (qw(bill plan))
{
	is(in('restored', "SELECT string_agg(concat_ws(' ', created_by, created_by_id::regrole), ', ' ORDER BY created_by) FROM mf.mf_$table WHERE ${table}_key ~ '^of '"), 'clerk clerk, leaver -', "a $table belongs to the role of that name, or to none");
}
is(attempt('restored', 'DROP EXTENSION myfatoorah_billing'), $refused, 'and guarded there');

is(attempt('books', 'SET myfatoorah_billing.drop_books = on; DROP EXTENSION myfatoorah_billing'), 'ok', 'who asks for it may drop it');
is(in('books', q{SELECT count(*) FROM pg_event_trigger}), 0, 'and all of it is gone');
# what it has registered is told of, and goes by the calls that are named
my $left = q{SELECT string_agg(regexp_replace(detail, '^Function (\\S+) .*: the function does not exist any more.*', '\\1'), ' ' ORDER BY detail) FROM mf.mf_check() WHERE item IN ('reactions', 'pages')};
is(in('books', $left), 'mf.mf_bill_page mf.mf_billing_on_change mf.mf_billing_tick', 'mf_check() names its functions that are still registered');
in('books', "SET search_path = mf; $_") foreach in('books', q{SELECT substring(hint FROM '(?:any more|not needed any more): (SELECT mf_off_\w+\(.*\))$') FROM mf.mf_check() WHERE item IN ('reactions', 'pages')}) =~ /^(SELECT .*)$/mg;
is(in('books', "$left"), '', 'the hints end that');
is(attempt('books', 'CREATE EXTENSION myfatoorah_billing SCHEMA mf'), 'ok', 'it can be made again');
is(in('books', 'SELECT (SELECT count(*) FROM mf.mf_reaction), (SELECT count(*) FROM mf.mf_route)'), '2|1', 'and registers them');
is(in('books', $left), '', 'and mf_check() is content');

done_testing();
