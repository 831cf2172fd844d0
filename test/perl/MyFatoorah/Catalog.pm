# All that the catalog says of the extension in a database, for comparing two of them: what an upgrade has left with what
# an installation makes.
package MyFatoorah::Catalog;

use strict;
use warnings;

use JSON::PP ();

# The members, and what hangs on those that are tables
my $members = q{
	WITH e AS (SELECT * FROM pg_extension WHERE extname = 'myfatoorah'),
	m AS (SELECT d.classid, d.objid FROM pg_depend d, e WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'),
	r AS (SELECT c.* FROM m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid),
	p AS (SELECT p.* FROM m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid),
	t AS (SELECT t.* FROM m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid),
	-- members and their parts, as dependencies, comments and first rights name them
	o AS (SELECT classid, objid, 0 AS objsubid FROM m
		UNION SELECT 'pg_class'::regclass, a.attrelid, a.attnum FROM r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		UNION SELECT 'pg_constraint'::regclass, c.oid, 0 FROM r JOIN pg_constraint c ON c.conrelid = r.oid
		UNION SELECT 'pg_class'::regclass, i.indexrelid, 0 FROM r JOIN pg_index i ON i.indrelid = r.oid
		UNION SELECT 'pg_attrdef'::regclass, d.oid, 0 FROM r JOIN pg_attrdef d ON d.adrelid = r.oid
		UNION SELECT 'pg_trigger'::regclass, g.oid, 0 FROM r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal
		UNION SELECT 'pg_rewrite'::regclass, w.oid, 0 FROM r JOIN pg_rewrite w ON w.ev_class = r.oid
		UNION SELECT 'pg_policy'::regclass, y.oid, 0 FROM r JOIN pg_policy y ON y.polrelid = r.oid)
};

sub _acl { return "(SELECT string_agg(a::text, ', ' ORDER BY a::text) FROM unnest($_[0]) a)"; }
sub _name { return "(SELECT type || ' ' || identity FROM pg_identify_object($_[0], $_[1], $_[2]))"; }

# Each gives the name of an object and what is said of it.
my %queries = (
	'extension' => q{SELECT extname, concat_ws(' ', extversion, extowner::regrole, extnamespace::regnamespace, extrelocatable) FROM e},
	'dumped' => q{SELECT c.table::regclass, coalesce(c.condition, '') FROM e, unnest(e.extconfig, e.extcondition) AS c("table", condition)},
	'member' => 'SELECT ' . _name('classid', 'objid', 0) . q{, '' FROM m},
	'relation' => q{SELECT oid::regclass, concat_ws(' ', relkind, relowner::regrole, relpersistence, relrowsecurity, relforcerowsecurity, relreplident, relispartition, reltablespace,
		(SELECT string_agg(v, ',' ORDER BY v) FROM unnest(reloptions) v), pg_get_partkeydef(oid)) FROM r},
	'rights' => 'SELECT oid::regclass, coalesce(' . _acl('relacl') . ", '-') FROM r",
	'column' => q{SELECT r.oid::regclass || ' ' || row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum),
		concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, a.attcompression, (SELECT string_agg(v, ',' ORDER BY v) FROM unnest(a.attoptions) v WHERE v ~ '^n_distinct'),
			pg_get_expr(d.adbin, d.adrelid))
		FROM r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum},
	'rights on column' => q{SELECT r.oid::regclass || '.' || a.attname, } . _acl('a.attacl') . q{ FROM r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attacl IS NOT NULL},
	'constraint' => q{SELECT r.oid::regclass || ' ' || c.conname, concat_ws(' ', c.contype, c.convalidated, pg_get_constraintdef(c.oid)) FROM r JOIN pg_constraint c ON c.conrelid = r.oid},
	'index' => q{SELECT i.indexrelid::regclass, concat_ws(' ', i.indisvalid, i.indisreplident, i.indisclustered, pg_get_indexdef(i.indexrelid)) FROM r JOIN pg_index i ON i.indrelid = r.oid},
	'trigger' => q{SELECT r.oid::regclass || ' ' || g.tgname, concat_ws(' ', g.tgenabled, pg_get_triggerdef(g.oid)) FROM r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal},
	'rule' => q{SELECT r.oid::regclass || ' ' || w.rulename, concat_ws(' ', w.ev_enabled, pg_get_ruledef(w.oid)) FROM r JOIN pg_rewrite w ON w.ev_class = r.oid},
	'policy' => q{SELECT r.oid::regclass || ' ' || y.polname, concat_ws(' ', y.polcmd, y.polpermissive, y.polroles::regrole[], pg_get_expr(y.polqual, y.polrelid), '/', pg_get_expr(y.polwithcheck, y.polrelid))
		FROM r JOIN pg_policy y ON y.polrelid = r.oid},
	'sequence' => q{SELECT s.seqrelid::regclass, concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle) FROM r JOIN pg_sequence s ON s.seqrelid = r.oid},
	'function' => q{SELECT oid::regprocedure, concat_ws(' ', proowner::regrole, pg_get_functiondef(oid)) FROM p WHERE prokind <> 'a'},
	'rights on function' => 'SELECT oid::regprocedure, coalesce(' . _acl('proacl') . ", '-') FROM p",
	'type' => q{SELECT oid::regtype, concat_ws(' ', typowner::regrole, typtype, typcategory, typnotnull, } . _acl('typacl') . ') FROM t',
	'rights on row type' => 'SELECT t.oid::regtype, coalesce(' . _acl('t.typacl') . ", '-') FROM r JOIN pg_type t ON t.oid = r.reltype",
	'wrapper' => q{SELECT w.fdwname, concat_ws(' ', w.fdwowner::regrole, w.fdwhandler::regproc, w.fdwvalidator::regproc, w.fdwoptions, } . _acl('w.fdwacl')
	  . q{) FROM m JOIN pg_foreign_data_wrapper w ON m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid},
	'comment' => 'SELECT ' . _name('d.classoid', 'd.objoid', 'd.objsubid') . q{, d.description FROM o JOIN pg_description d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.objsubid},
	'first rights' => 'SELECT ' . _name('i.classoid', 'i.objoid', 'i.objsubid') . ', ' . _acl('i.initprivs')
	  . ' FROM o JOIN pg_init_privs i ON i.classoid = o.classid AND i.objoid = o.objid AND i.objsubid = o.objsubid',
	'dependency' => 'SELECT x.what, count(*) FROM (SELECT concat_ws(\' \', ' . _name('d.classid', 'd.objid', 'd.objsubid') . ", '-', d.deptype, '->', " . _name('d.refclassid', 'd.refobjid', 'd.refobjsubid')
	  . q{) AS what FROM pg_depend d JOIN (SELECT DISTINCT classid, objid FROM o) u USING (classid, objid)) x GROUP BY 1},
	'dependency on role' => 'SELECT ' . _name('d.classid', 'd.objid', 'd.objsubid') . q{ || ' ' || d.refobjid::regrole, string_agg(d.deptype::text, ' ' ORDER BY d.deptype)
		FROM pg_shdepend d JOIN m USING (classid, objid) WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY d.classid, d.objid, d.objsubid, d.refobjid},
	'own part' => q{SELECT concat_ws(' ', relation, kind, name), '' FROM mf_part},
	'addition' => q{SELECT concat_ws(' ', relation, kind, name), definition FROM mf_addition});

# of(node, dbname): "kind name" => text
sub of
{
	my ($class, $node, $dbname) = @_;
	my %found;

	for my $kind (sort keys %queries)
	{
		my $json = $node->safe_psql($dbname, "$members SELECT coalesce(json_agg(json_build_array(q.name::text, q.text::text)), '[]') FROM ($queries{$kind}) q(name, text)");

		for my $row (@{ JSON::PP::decode_json($json) })
		{
			die "two of $kind $row->[0]\n" if exists $found{"$kind $row->[0]"};
			$found{"$kind $row->[0]"} = $row->[1] // '';
		}
	}
	return \%found;
}

# differences(left, right): as sentences
sub differences
{
	my ($class, $left, $right) = @_;
	my @found;

	for my $name (sort keys %{ { %$left, %$right } })
	{
		if (!exists $right->{$name}) { push @found, "only the first has $name"; }
		elsif (!exists $left->{$name}) { push @found, "only the second has $name"; }
		elsif ($left->{$name} ne $right->{$name}) { push @found, "$name is \"$left->{$name}\" in the first and \"$right->{$name}\" in the second"; }
	}
	return @found;
}

1;
