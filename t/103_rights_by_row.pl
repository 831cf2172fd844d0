# Who may do what with rows that others have inserted: change, cancel, retry, see them; what was revoked since a row was
# inserted is asked for again before it is sent; and what default privileges and notifications give away.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';

sub sql
{
	return $node->safe_psql($db, @_);
}

# What the statement says to that role: its result, or its error with SQLSTATE and without numbers
sub as
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\nSET ROLE $role;\n$sql");

	return $code == 0 && $err !~ /ERROR/ ? "ok $out" : $err =~ /ERROR: +(.*)/ ? $1 =~ s/\binvoice \d+/invoice N/r : "? $err";
}

sub insert_as
{
	my ($role, $name, %columns) = @_;

	return sql("SET ROLE $role; INSERT INTO mf_invoice " . $mf->invoice($name, %columns) . ' RETURNING id');
}

# Default privileges, such as somebody sets who wants reports: nothing of it reaches what the extension makes.
sql(q{CREATE ROLE reports; CREATE SCHEMA fresh;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO reports, PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO reports, PUBLIC;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO reports WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO reports});
$mf->setup_account($node, $db, $sandbox);
sql(q{ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM reports, PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM reports, PUBLIC;
	ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM reports; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM reports});
is(sql(q{WITH member AS (SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		WHERE e.extname = 'myfatoorah' AND d.deptype = 'e'),
	acl AS (SELECT c.oid::regclass::text AS name, c.relacl AS acl FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
		UNION ALL SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)) FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
		UNION ALL SELECT t.oid::regtype::text, coalesce(t.typacl, acldefault('T', t.typowner)) FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid AND t.typelem = 0)
	SELECT count(*), min(name) FROM acl, aclexplode(acl) a WHERE a.grantee = 0 OR a.grantee = 'reports'::regrole}), '0|',
	'default privileges give nobody a right on what the extension makes');

$node->stop;
done_testing();
