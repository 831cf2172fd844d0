# ALTER EXTENSION UPDATE from each version that was released, and from the present one to a next one that the test makes up:
# with rows in every state, after it the catalog is that of a fresh installation, and what was unfinished is finished, once.
use MyFatoorah::Test;
use MyFatoorah::Catalog;
use MyFatoorah::Install;
use MyFatoorah::States;

my ($mf, $states, $catalog) = map { "MyFatoorah::$_" } 'Cluster', 'States', 'Catalog';
my $present = MyFatoorah::Install->present_version;
my $next = MyFatoorah::Install->next_version($present);
my $incomplete = MyFatoorah::Install->next_version($present, 2);
my @released = slurp_file('sql/released.sha256') =~ /myfatoorah--([\d.]+)\.sql$/mg;
my %seen;
my @versions = grep { !$seen{$_}++ } @released, $present;

#
# The next version has a column, a function and comments more, a comment and a right that differ. There is an upgrade script
# of it, one that forgets half, and a script that installs it at once.
#
my $function = q{CREATE FUNCTION mf_next(account text) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
	AS $$ SELECT 'next of ' || account $$;
};
my $complete = q{
ALTER TABLE mf_account ADD COLUMN note text;
COMMENT ON COLUMN mf_account.note IS 'what somebody has noted';
INSERT INTO mf_part (kind, relation, name) VALUES ('column', 'mf_account', 'note');
COMMENT ON FUNCTION mf_next IS 'what comes next';
COMMENT ON TABLE mf_queue IS 'another comment';
CREATE INDEX mf_event_next_idx ON mf_event (event_name);
INSERT INTO mf_part (kind, relation, name) VALUES ('index', 'mf_event', 'mf_event_next_idx');
REVOKE ALL ON FUNCTION mf_next FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mf_next TO myfatoorah_read;
GRANT SELECT ON mf_part TO myfatoorah_read;
SELECT pg_catalog.pg_extension_config_dump('mf_part', 'WHERE false');
};

sub fresh_script
{
	my $script = slurp_file("sql/myfatoorah--$present.sql");

	$script =~ s/(CREATE TABLE mf_account \(.*?\trenamed_to text COLLATE "C")\n/$1,\n\tnote text\n/s or die 'mf_account looks different';
	return $script . $function . $complete =~ s/^ALTER TABLE.*\n//mr =~ s/^INSERT INTO mf_part.*'column'.*\n//mr =~ s/^INSERT INTO mf_part.*'index'.*\n//mr
	  . q{INSERT INTO mf_part (kind, relation, name) SELECT a.kind, a.relation, a.name FROM mf_addition a;};
}

my $install = MyFatoorah::Install->new('next', make => ["SQL_SINCE=$next"],
	change => sub {
		my ($dir) = @_;

		MyFatoorah::Install->set_version($dir, $next);
		MyFatoorah::Install::write_file("$dir/sql/myfatoorah--$present--$next.sql", $function . $complete);
		MyFatoorah::Install::write_file("$dir/sql/myfatoorah--$present--$incomplete.sql",
			$function . "ALTER TABLE mf_account ADD COLUMN note text;\nREVOKE ALL ON FUNCTION mf_next FROM PUBLIC;\n");
		MyFatoorah::Install::write_file("$dir/sql/myfatoorah--$next.sql", fresh_script());
	});
my $node = $install->node('next');

$node->init;
$node->append_conf('postgresql.conf', $mf->settings(conf => $states->conf));
$node->start;

sub in { return $node->safe_psql(@_); }
sub database { in('postgres', "CREATE DATABASE $_[0]"); return $_[0]; }
sub alter { in('postgres', "ALTER DATABASE $_[0] $_[1]"); return; }

# What each looks like that is made at once
my $fresh = database('fresh');
in($fresh, 'CREATE EXTENSION myfatoorah');
is(in($fresh, q{SELECT extversion FROM pg_extension WHERE extname = 'myfatoorah'}), $next, 'the next version can be installed');
my $wanted = $catalog->of($node, $fresh);
cmp_ok(scalar keys %$wanted, '>', 1500, 'the catalog has many entries: ' . keys %$wanted);
is(in($fresh, 'SELECT count(*) FROM mf_addition'), 0, 'none of which is an addition of somebody');

# transplant(from, to): rows of all tables, as many columns as both have. Months of the archive are made first.
sub transplant
{
	my ($from, $to) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('rows');

	for (split /\n/, in($from, q{SELECT inhrelid::regclass || ' PARTITION OF mf_invoice_archive ' || pg_get_expr(c.relpartbound, c.oid)
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'mf_invoice_archive'::regclass}))
	{
		in($to, "CREATE TABLE $_");
	}
	for my $table (split /\n/, in($to, q{SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relname ~ '^mf_' AND relname NOT IN ('mf_part', 'mf_identity', 'mf_home')}))
	{
		my $columns = join ', ', split /\n/, in($to, qq{SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'origin' ORDER BY attnum});

		in($from, qq{COPY (SELECT $columns FROM $table) TO '$dir/$table'});
		in($to, qq{SET session_replication_role = replica; DELETE FROM $table; COPY $table ($columns) FROM '$dir/$table'});
	}
	in($to, q{SELECT setval(oid::regclass, 10000) FROM pg_class WHERE relkind = 'S' AND relname ~ '^mf_'});
	return;
}

for my $version (@versions)
{
	my $sandbox = MyFatoorah::Sandbox->new;
	my ($full, $db) = map { database($_ . $version =~ s/\W/_/gr) } 'full', 'v';

	# rows in every state; the old version gets as many columns of them as it has, and its database takes the other's place
	$states->fill($node, $full, $sandbox);
	is($states->states($node, $full), 'cancelled 1, queued 2, rejected 1, review 1, sending 1, sent 7, unknown 1', "$version: rows in every state");
	alter($full, 'SET myfatoorah.worker_enabled = off');
	$mf->wait_no_worker($node, $full);
	my $before = $states->states($node, $full);
	my @empty = grep { in($full, "SELECT count(*) FROM $_") == 0 } map { $wanted->{$_} =~ /^[rp] / && /^relation (mf_\w+)$/ ? $1 : () } keys %$wanted;
	is(join(' ', sort @empty), 'mf_api_proof mf_dispute_state', "$version: every table has some, but those of disputes, which only webhooks write, and of proofs");

	alter($db, 'SET myfatoorah.worker_enabled = off');
	in($db, "CREATE EXTENSION myfatoorah VERSION '$version'");
	$states->accounts($node, $db, $sandbox);
	transplant($full, $db);
	is($states->states($node, $db), $before, "$version: they are in the database of that version");
	alter($db, 'RESET myfatoorah.worker_enabled');
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_worker_status WHERE last_error ~ 'does not work with'}, 1);
	my $posts = $sandbox->count(path => '/v2/SendPayment');

	in($db, 'ALTER EXTENSION myfatoorah UPDATE');
	is(in($db, q{SELECT extversion FROM pg_extension WHERE extname = 'myfatoorah'}), $next, "$version: ALTER EXTENSION UPDATE");
	is(join("\n", $catalog->differences($catalog->of($node, $db), $wanted)), '', "$version: what the upgrade leaves is what an installation makes");
	is(in($db, 'SELECT count(*) FROM mf_addition'), 0, "$version: nothing of it counts as an addition of somebody");
	$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_worker_status WHERE last_error IS NULL AND transactions > 1}, 1);
	is(join("\n", $states->finish($node, $db, $sandbox)), '', "$version: what was unfinished is finished, once");
	is($sandbox->count(path => '/v2/SendPayment'), $posts + 4, "$version: by one request for each that was not sent, and for two new ones");
	alter($db, 'SET myfatoorah.worker_enabled = off');
}

# An upgrade that forgets something is noticed.
my $half = database('half');
alter($half, 'SET myfatoorah.worker_enabled = off');
in($half, "CREATE EXTENSION myfatoorah VERSION '$present'; ALTER EXTENSION myfatoorah UPDATE TO '$incomplete'");
my @lacking = map { s/^only the (first|second) has //r =~ s/ is "[^"]*" in the first.*//sr } $catalog->differences($catalog->of($node, $half), $wanted);
my @forgotten = ('addition mf_account column note', 'comment function public.mf_next(pg_catalog.text)', 'comment table column public.mf_account.note', 'comment table public.mf_queue',
	'dependency index public.mf_event_next_idx - a -> table column public.mf_event.event_name', 'dependency on role function public.mf_next(pg_catalog.text) myfatoorah_read',
	'dependency on role table public.mf_part myfatoorah_read', 'dumped mf_part', 'extension myfatoorah', 'first rights function public.mf_next(pg_catalog.text)',
	'first rights table public.mf_part', 'index mf_event_next_idx', 'own part mf_account column note', 'own part mf_event index mf_event_next_idx',
	'rights mf_part', 'rights on function mf_next(text)');
is(join("\n", sort @lacking), join("\n", sort @forgotten), 'what an incomplete upgrade script forgets is found, each thing');

# The library says since when the SQL objects are what they are.
my ($since) = slurp_file('Makefile') =~ /^SQL_SINCE = (\S+)/m;
if ($since ne $present)
{
	my ($old, $new) = map { my $db = database('w' . s/\W/_/gr); alter($db, 'SET myfatoorah.worker_enabled = off'); in($db, "CREATE EXTENSION myfatoorah VERSION '$_'"); $catalog->of($node, $db) } $since, $present;

	is(join("\n", grep { !/^extension / } $catalog->differences($old, $new)), '', 'nothing has changed since SQL_SINCE of the Makefile');
}
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
