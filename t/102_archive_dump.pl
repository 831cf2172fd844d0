# The months of the archive are tables that a dump carries, that go with the extension, and that can be dropped one by one.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => "wal_level = logical\nmyfatoorah.worker_enabled = off");
my $db = 'postgres';
my $dir = PostgreSQL::Test::Utils::tempdir('dump');

# What must be the same on both sides
my %same = (
	'the rows' => q{SELECT * FROM mf_invoice_all i ORDER BY id},
	'the keys' => q{SELECT * FROM mf_archive_key ORDER BY id},
	'the ledger' => q{SELECT * FROM mf_ledger ORDER BY id},
	'the months' => q{SELECT c.relname, c.relowner::regrole, coalesce(c.relacl, acldefault('r', c.relowner)) AS rights, c.reloptions, pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class')
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'mf_invoice_archive'::regclass ORDER BY 1},
	'their indexes' => q{SELECT tablename, indexname, indexdef FROM pg_indexes WHERE tablename ~ '^mf_invoice_archive' ORDER BY 1, 2},
	'their constraints' => q{SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid::regclass::text ~ '^mf_invoice_archive' ORDER BY conrelid::regclass::text, 2},
	'rights on the archive' => q{SELECT relname, relacl FROM pg_class WHERE relname IN ('mf_invoice_archive', 'mf_archive_key') ORDER BY 1},
	'its columns' => q{SELECT attname, atttypid::regtype, attnotnull, col_description(attrelid, attnum) FROM pg_attribute
		WHERE attrelid = 'mf_invoice_archive'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum});

sub in { return $node->safe_psql(@_); }

sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? 'ok' : $got->{error} =~ s/^\w+: //r;
}

# insert_old(month, how many): finished, each with what hangs on it
sub insert_old
{
	my ($month, $count) = @_;

	return sql(qq{SET session_replication_role = replica;
		WITH i AS (INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, idempotency_key, reference, status, payment_status, invoice_id, sent_at,
				attempts, created_at, created_by_id, currency, metadata)
			SELECT 'Noura', 10.5, 'B' || n, '$month ' || n, '$month ' || n || '.1', 'sent', 'paid', abs(hashtext('$month' || n)), '$month', 1, '$month', (SELECT oid FROM pg_roles WHERE rolname = current_user), 'KWD', '{"a": null}'
			FROM generate_series(1, $count) n RETURNING id, invoice_id, reference),
		a AS (INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, outcome) SELECT id, 1, reference, '\\x00', '$month', '$month', 'accepted' FROM i),
		m AS (INSERT INTO mf_money (invoice, account, kind, source, amount, currency) SELECT id, 'myfatoorah', 'payment', id, 10.5, 'KWD' FROM i)
		INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt) SELECT id, 'somebody', 'unpaid', 'paid', 1 FROM i});
}

sub months { return in($_[0], q{SELECT string_agg(substring(inhrelid::regclass::text FROM '[0-9_]+$'), ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'mf_invoice_archive'::regclass}); }

sub dump_it
{
	my ($name, @options) = @_;

	command_ok([ $node->installed_command('pg_dump'), '-d', $node->connstr($db), @options, '-f', "$dir/$name" ], "pg_dump to $name");
	return "$dir/$name";
}

sub restore
{
	my ($copy, $file, @options) = @_;
	my @program = @options ? ('pg_restore', '-e', @options) : ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f');

	command_ok([ $node->installed_command(shift @program), '-d', $node->connstr($copy), @program, $file ], "$file into $copy");
	return;
}

sub compare
{
	my ($copy) = @_;

	is(in($copy, $same{$_}), sql($same{$_}), "$copy: $_ are the same") for sort keys %same;
	return;
}

#
# What is there: three months, default privileges, rights of somebody on the archive, an index and a publication of everything
#
sql(q{CREATE EXTENSION myfatoorah;
	CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9');
	CREATE ROLE auditor; CREATE ROLE everybody;
	GRANT SELECT ON mf_invoice_archive TO auditor;
	ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO everybody;
	CREATE PUBLICATION everything FOR ALL TABLES});
insert_old($_, 20) for '2025-01-31 23:00+00', '2025-02-01 00:00+00', '2025-03-15 00:00+00';
insert_old('2025-05-15 00:00+00', 5);
is(sql(q{SELECT mf_archive('2025-04-01')}), 60, 'three months are archived');
is(months($db), '_2025_01 _2025_02 _2025_03', 'each in a table of its own');
is(sql(q{SET ROLE auditor; SELECT count(*) FROM mf_invoice_archive}), 60, 'a right to the archive is one to its months');
is(attempt(q{SET ROLE everybody; SELECT count(*) FROM mf_invoice_archive_2025_01}), 'permission denied for table mf_invoice_archive_2025_01', 'and a month has no rights of its own');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item = 'dump'}), 0, 'mf_check() has nothing to say about dumps');
is(sql(q{SELECT count(*) FROM mf_addition}), 0, 'nor is there anything that no dump has');
is(sql(q{SELECT string_agg(result, ' ') FROM mf_forget('B7') WHERE result = 'forgotten'}), 'forgotten forgotten forgotten', 'rows of months that are published can be changed');

#
# Dump and restore
#
# while another session archives
my $session = $mf->session($node, $db);
$session->query_safe('BEGIN');
is($session->query_safe(q{SELECT mf_archive('2025-06-01')}), 5, 'a month is being made');
my $script = dump_it('script.sql');
$session->query_safe('ROLLBACK');
my $archive = dump_it('archive', '-Fc');
my $tables = dump_it('tables.sql', '--schema-only', '-t', 'mf_invoice_archive_*');
my $rows = dump_it('rows.sql', '--data-only');
in($db, "CREATE DATABASE $_") for qw(script custom rows);

restore('script', $script);
compare('script');
restore('custom', $archive, '-j2');
compare('custom');
in('rows', 'CREATE EXTENSION myfatoorah');
restore('rows', $tables);
restore('rows', $rows);
is(in('rows', $same{$_}), sql($same{$_}), "rows: $_ are the same") for 'the rows', 'the keys', 'the months', 'their indexes';

# The copy goes on
is(in('custom', q{SELECT count(*) FROM mf_addition}), 0, 'the copy has no additions');
is(in('custom', q{SELECT mf_archive('2025-06-01')}), 5, 'and archives what is next');
is(months('custom'), '_2025_01 _2025_02 _2025_03 _2025_05', 'the new month is a partition');
is(in('custom', q{SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_all WHERE archived_at IS NOT NULL}), 65, 'mf_unarchive() brings all rows back');
is(in('custom', q{SELECT mf_archive('2025-06-01')}), 0, 'rows that came back are not archived before MyFatoorah was asked about them');
is(in('custom', q{DELETE FROM mf_inquiry; SELECT mf_archive('2025-06-01')}), 65, 'then they are archived');

#
# A month goes, its keys stay
#
in('script', q{ALTER TABLE mf_invoice_archive DETACH PARTITION mf_invoice_archive_2025_01 CONCURRENTLY});
in('script', q{DROP TABLE mf_invoice_archive_2025_01});
is(in('script', q{SELECT count(*) FROM mf_invoice_all WHERE archived_at IS NOT NULL}), 40, 'the rows of a dropped month are gone');
is(in('script', q{SELECT count(*) FROM mf_archive_key}), 60, 'their keys stay');
my (undef, undef, $error) = $node->psql('script', q{INSERT INTO mf_invoice (customer_name, invoice_value, idempotency_key) VALUES ('again', 1, '2025-01-31 23:00+00 7')});
like($error, qr/an archived invoice has the same idempotency_key "2025-01-31 23:00\+00 7"/, 'a new row cannot have the key of a dropped one');
in('script', q{DO $$ DECLARE month regclass; BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'mf_invoice_archive'::regclass AND inhrelid::regclass::text ~ '_2025_[01][0-9]$'
    LOOP EXECUTE format('DROP TABLE %s', month); END LOOP; END $$});
is(in('script', q{SELECT count(*) FROM mf_invoice_archive}), 0, 'all months of a year can be dropped');
is(in('script', q{SELECT mf_archive('2025-06-01')}), 5, 'archiving goes on after that');

#
# The extension goes, and comes again
#
in('custom', q{DROP EXTENSION myfatoorah CASCADE});
is(in('custom', q{SELECT count(*) FROM pg_class WHERE relname ~ '^mf_'}), 0, 'DROP EXTENSION takes the months along');
in('custom', q{CREATE EXTENSION myfatoorah});
is(in('custom', q{SELECT mf_archive('2025-06-01')}), 0, 'a new extension archives nothing');
is(months('custom'), '', 'and has no month');

#
# Columns of one's own stand in both tables, and come back
#
sql(q{ALTER TABLE mf_invoice ADD COLUMN "my @ flat" text DEFAULT 'B7'; ALTER TABLE mf_invoice_archive ADD COLUMN "my @ flat" text});
is(sql(q{SELECT mf_archive('2025-06-01')}), 5, 'a row is archived with a column of one\'s own');
is(sql(q{SELECT count(*) FROM mf_invoice_archive WHERE "my @ flat" = 'B7'}), 5, 'the archive has the value of that column');
is(sql(q{UPDATE mf_invoice_archive SET "my @ flat" = 'C8' WHERE "my @ flat" = 'B7'; SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_archive WHERE "my @ flat" = 'C8'}), 5, 'the row comes back');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE "my @ flat" = 'C8'}), 5, 'with the value that was changed in the archive');
sql(q{DELETE FROM mf_inquiry; ALTER TABLE mf_invoice ADD COLUMN twice numeric GENERATED ALWAYS AS (2 * invoice_value) STORED; ALTER TABLE mf_invoice_archive ADD COLUMN twice numeric});
is(sql(q{SELECT mf_archive('2025-06-01')}), 5, 'a row is archived with a generated column');
is(sql(q{SELECT count(*) FROM mf_invoice_archive WHERE twice = 21}), 5, 'the archive keeps its value');
is(sql(q{SELECT mf_unarchive(array_agg(id)) FROM mf_invoice_archive WHERE twice = 21}), 5, 'the row comes back, and the column is generated');

sql(q{ALTER TABLE mf_invoice_archive DROP COLUMN twice, DROP COLUMN "my @ flat"});
like(attempt(q{SELECT mf_archive('2025-06-01')}), qr/invoices cannot be archived/, 'a column that the archive has not keeps invoices from it');
sql(q{UPDATE mf_invoice SET metadata = coalesce(metadata, '{}') || jsonb_build_object('flat', "my @ flat"); ALTER TABLE mf_invoice DROP COLUMN twice, DROP COLUMN "my @ flat"});
is(sql(q{DELETE FROM mf_inquiry; SELECT mf_archive('2025-06-01')}), 5, 'a row whose values were moved to metadata is archived');
is(sql(q{SELECT count(*) FROM mf_invoice_all WHERE archived_at IS NOT NULL AND metadata->>'flat' = 'C8'}), 5, 'with its metadata');

#
# What is one's own
#
sub additions { return sql(q{SELECT string_agg(concat_ws(' ', kind, relation, name), ', ' ORDER BY kind, name) FROM mf_addition}); }
sub dump_item { return sql(q{SELECT string_agg(concat_ws(' ', ok, substring(detail FROM '"([^"]*)"'), substring(hint FROM '^\w+ \w+')), ', ' ORDER BY ok, detail) FROM mf_check() WHERE item = 'dump'}); }

# An index of a month is dumped with it.
sql(q{CREATE INDEX of_month ON mf_invoice_archive_2025_01 ((metadata->>'flat'))});
is(additions() . dump_item(), '', 'an index of a month is no addition: a dump has it');
in($db, 'CREATE DATABASE one_month');
restore('one_month', dump_it('one_month.sql'));
compare('one_month');
sql(q{DROP INDEX of_month});

# One of the archive cannot be restored without an error, which leaves nothing else out; mf_addition makes it again.
sql(q{CREATE INDEX flats ON mf_invoice_archive ((metadata->>'flat')); ALTER TABLE mf_invoice_archive ADD CONSTRAINT references_once UNIQUE (created_at, reference), ADD CONSTRAINT positive CHECK (invoice_value > 0);
	CREATE TRIGGER same BEFORE UPDATE ON mf_invoice_archive FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()});
is(additions(), 'constraint mf_invoice_archive positive, constraint mf_invoice_archive references_once, index mf_invoice_archive flats, trigger mf_invoice_archive same', 'what was added to the archive is listed');
is(dump_item(), 'f references_once Drop it, f flats Drop it, t positive Keep its, t same Keep its', 'and mf_check() tells which of it keeps a dump from being restored');
my $marred = dump_it('marred', '-Fc');
my $again = sql(q{SELECT string_agg(definition, ';') FROM mf_addition});
in($db, 'CREATE DATABASE marred');
command_fails_like([ $node->installed_command('pg_restore'), '-d', $node->connstr('marred'), $marred ], qr/"public\.(?:flats|references_once)" does not exist.*errors ignored on restore: 8$/s, 'pg_restore reports those indexes and their months');
in('marred', $again);
compare('marred');
is(in('marred', q{SELECT count(*) FROM pg_index x WHERE x.indrelid = 'mf_invoice_archive'::regclass AND x.indisvalid}), 2, 'what is made again holds for all months');
insert_old('2024-12-15 00:00+00', 1);
is(sql(q{SELECT mf_archive('2025-01-01')}), 1, 'a new month has what the archive has');
is(sql(q{SELECT count(*) FROM pg_constraint WHERE conrelid = 'mf_invoice_archive_2024_12'::regclass AND conname = 'positive'}), 1, 'and its constraints');
sql(q{DROP TRIGGER same ON mf_invoice_archive; ALTER TABLE mf_invoice_archive DROP CONSTRAINT positive, DROP CONSTRAINT references_once; DROP INDEX flats});
is(additions() . dump_item(), '', 'it can be taken away again');

# A column: with it a month does not fit the archive, unless that has it before.
sql(q{ALTER TABLE mf_invoice_archive ADD COLUMN flat text; ALTER TABLE mf_invoice ADD COLUMN flat text});
is(dump_item(), 'f flat Move what, f flat Move what', 'mf_check() tells what a column of both tables does');
my $columns = dump_it('columns', '-Fc');
$again = sql(q{SELECT string_agg(definition, ';') FROM mf_addition});
in($db, "CREATE DATABASE columns");
in('columns', "CREATE EXTENSION myfatoorah; $again");
restore('columns', $columns, '--no-owner');
compare('columns');
sql(q{ALTER TABLE mf_invoice_archive DROP COLUMN flat; ALTER TABLE mf_invoice DROP COLUMN flat});

# Whoever owns the table owns its months
sql(q{DELETE FROM mf_inquiry; CREATE ROLE archivist; GRANT CREATE, USAGE ON SCHEMA public TO archivist; ALTER TABLE mf_invoice_archive OWNER TO archivist});
insert_old('2025-04-15 00:00+00', 2);
is(sql(q{SELECT mf_archive('2025-05-01')}), 2, 'the archive of another owner takes rows');
is(sql(q{SELECT relowner::regrole FROM pg_class WHERE relname = 'mf_invoice_archive_2025_04'}), 'archivist', 'a new month has the owner of the archive');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
