# What a dump leaves out is named before it is missed, a restored database asks nothing before a person says that it is the one, and
# then asks once more about what was settled: what has come in since the dump was made nobody has told it.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '50ms'");
my $db = 'postgres';
my $dir = PostgreSQL::Test::Utils::tempdir('dump');
my $check = q{SELECT coalesce(string_agg(ok || ' ' || detail, ' / '), 'nothing') FROM mf_check() WHERE item = 'dump'};

my %invoice;

sub in { return $node->safe_psql(@_); }

# how often MyFatoorah was asked about the two
sub asked
{
	return scalar grep { $_->{body} =~ /$invoice{open}|$invoice{paid}/ } $sandbox->ledger(path => '/v2/GetPaymentStatus');
}

sub dump_it
{
	my ($name, @options) = @_;

	command_ok([ $node->installed_command('pg_dump'), '-d', $node->connstr($db), @options, '-f', "$dir/$name" ], "pg_dump to $name");
	return "$dir/$name";
}

# restore(database, program, arguments ...): exit status and what it has said
sub restore
{
	my ($copy, $program, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $node->installed_command($program), @arguments, '-d', $node->connstr($copy) ], '>', \$out, '2>', \$err);
	return ($? >> 8, $err);
}

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);
my %id = map { $_ => $mf->insert($node, $db, $_) } qw(open paid);
$mf->wait_status($node, $db, $_) for keys %id;
%invoice = map { $_ => sql("SELECT invoice_id FROM mf_invoice WHERE id = $id{$_}") } keys %id;
$sandbox->invoice($invoice{paid}, 'pay');
sql("SELECT mf_refresh($id{paid})");
$mf->wait_for($node, $db, "SELECT payment_status FROM mf_invoice WHERE id = $id{paid}", 'paid');
$mf->wait_for($node, $db, "SELECT count(*) FROM mf_inquiry WHERE urgent", 0);
sql("UPDATE mf_invoice SET metadata = '{\"flat\": \"B7\"}' WHERE id = $id{paid}");

#
# What a dump leaves out
#
is(sql('SELECT count(*) FROM mf_addition'), 0, 'what comes with the extension is not listed');
is(sql($check), 'nothing', 'and mf_check() has nothing to say');
sql(q{CREATE SCHEMA "My stuff";
	CREATE FUNCTION "My stuff".look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE ROLE tenant_b; CREATE ROLE "Clerk B" IN ROLE myfatoorah_read;
	CREATE INDEX ON mf_invoice ((metadata->>'flat'));
	CREATE INDEX mf_money_mine ON mf_money (account, booked_at) WHERE kind = 'fee';
	ALTER TABLE mf_invoice ADD CONSTRAINT "not too much" CHECK (invoice_value < 100000);
	CREATE TRIGGER looks AFTER UPDATE OF status ON mf_invoice FOR EACH ROW EXECUTE FUNCTION "My stuff".look();
	CREATE CONSTRAINT TRIGGER "Late" AFTER INSERT ON mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "My stuff".look();
	CREATE TRIGGER rests AFTER DELETE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION "My stuff".look();
	ALTER TABLE mf_invoice DISABLE TRIGGER rests; ALTER TABLE mf_invoice ENABLE ALWAYS TRIGGER "Late";
	CREATE RULE nobody AS ON DELETE TO mf_transaction DO ALSO NOTHING; ALTER TABLE mf_transaction ENABLE REPLICA RULE nobody;
	ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
	CREATE POLICY "own flat" ON mf_invoice FOR SELECT TO "Clerk B", tenant_b USING (metadata->>'flat' = 'B7')});
my $additions = sql(q{SELECT string_agg(kind || ' ' || relation || ' ' || name, ', ') FROM mf_addition});
is($additions, 'constraint mf_invoice not too much, index mf_invoice mf_invoice_expr_idx, index mf_money mf_money_mine, trigger mf_invoice Late, trigger mf_invoice looks, trigger mf_invoice rests, '
	. 'rule mf_transaction nobody, policy mf_invoice own flat, row-level security mf_invoice enabled', 'what was added is listed, whatever its name');
is(sql($check), join(' / ', map { "true No dump has $_." } 'constraint "not too much" of mf_invoice', 'index "mf_invoice_expr_idx" of mf_invoice', 'index "mf_money_mine" of mf_money',
	'trigger "Late" of mf_invoice', 'trigger "looks" of mf_invoice', 'trigger "rests" of mf_invoice', 'rule "nobody" of mf_transaction', 'policy "own flat" of mf_invoice', 'row-level security "enabled" of mf_invoice'),
	'mf_check() names each');
is(sql(q{SET ROLE "Clerk B"; SELECT count(*) FROM mf_invoice}), 1, 'the policy hides a row');

my $archive = dump_it('archive', '-Fc');
my $script = dump_it('script.sql');
my $definitions = sql(q{SELECT definition || ';' FROM mf_addition});

in($db, "CREATE DATABASE $_") for qw(silent loud copy);
my ($rc, $said) = restore('silent', 'pg_restore', '-e', $archive);
my $old = sql('SHOW server_version_num') < 150000;
$said = '' if $old;
is("$rc [$said]", '0 []', 'pg_restore keeps warnings to itself, as that of 14 does not');
($rc, $said) = restore('loud', 'pg_restore', '-e', '--verbose', $archive);
like($said, qr/WARNING:  sending is paused because invoices were restored/, 'and tells them with --verbose');
($rc, $said) = restore('copy', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $script);
like($said, qr/WARNING:  sending is paused because invoices were restored\nHINT:  Make sure that the server they come from does not send them, then call mf_resume\('\*'\)\./,
	'psql tells them');
is($rc, 0, 'psql restores the script without an error');
ok($node->log_contains(qr/WARNING:  sending is paused because invoices were restored/), 'the server log has the warning');
is(in('copy', q{SELECT detail ~ '^Paused by restore since .*: invoices were restored; the server they come from may send them and ask about them, too\.$' FROM mf_check() WHERE item = 'sending'}), 't',
	'mf_check() says it there');
# pg_dump of 14 has policies of an extension's tables
in('copy', 'DROP POLICY IF EXISTS "own flat" ON mf_invoice; ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY') if $old;
is(in('copy', q{SELECT count(*) FROM mf_addition}), 0, 'nothing of what was added is there');
is(in('copy', q{SET ROLE "Clerk B"; SELECT count(*) FROM mf_invoice}), 2, 'and whom a policy kept from a row reads it');
in('copy', $definitions);
is(in('copy', q{SELECT string_agg(kind || ' ' || relation || ' ' || name, ', ') FROM mf_addition}), $additions, 'the definitions bring it back');
is(in('copy', q{SELECT string_agg(definition, ';') FROM mf_addition}), sql(q{SELECT string_agg(definition, ';') FROM mf_addition}), 'and their definitions are the same');
is(in('copy', q{SET ROLE "Clerk B"; SELECT count(*) FROM mf_invoice}), 1, 'so that the policy holds again');
is(in('copy', "SELECT metadata FROM mf_invoice WHERE id = $id{paid}"), '{"flat": "B7"}', 'metadata was in the dump');

#
# Before and after mf_resume()
#
sql('ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($node, $db);
$sandbox->invoice($invoice{open}, 'pay');
$sandbox->invoice($invoice{paid}, 'pay', { duplicate => JSON::PP::true });
my $before = asked();
$node->append_conf('postgresql.conf', "myfatoorah.poll_delay = '10ms'");
$node->reload;
sql('CREATE DATABASE elsewhere');
$mf->setup_account($node, 'elsewhere', $sandbox, key_file => 'elsewhere.key');
$mf->insert($node, 'elsewhere', 'marker');
$mf->wait_status($node, 'elsewhere', 'marker');
$mf->wait_worker($node, 'copy');
$mf->wait_for($node, 'copy', 'SELECT count(*) FROM mf_inquiry WHERE due <= now()', 1);
is(asked(), $before, 'a copy that has nothing to send asks nothing either');
in('copy', q{SELECT mf_resume('*')});
$mf->wait_for($node, 'copy', "SELECT payment_status FROM mf_invoice WHERE id = $id{open}", 'paid');
pass('after mf_resume() it sees what came in for an open invoice');
$mf->wait_for($node, 'copy', "SELECT overpaid FROM mf_invoice WHERE id = $id{paid}", 't');
is(in('copy', "SELECT count(*) FROM mf_ledger WHERE invoice = $id{paid} AND kind = 'payment'"), 2, 'and a second payment of a paid one, which it books');

# A pause by hand asks nobody again; what was settled long ago is left alone.
$mf->wait_for($node, 'copy', 'SELECT count(*) FROM mf_inquiry', 0);
in('copy', q{SELECT mf_pause('*'); SELECT mf_resume('*')});
is(in('copy', 'SELECT count(*) FROM mf_inquiry'), 0, 'the end of a pause by hand asks about nothing again');
in('copy', qq{SET session_replication_role = replica; UPDATE mf_invoice SET sent_at = now() - interval '40 days', paid_at = now() - interval '31 days', expires_at = NULL WHERE id = $id{paid}});
in('copy', q{SELECT mf_pause('*'); UPDATE mf_account SET paused_by = 'worker' WHERE account = '*'; ALTER SYSTEM SET myfatoorah.poll_delay = '1h'; SELECT pg_reload_conf()});
$mf->wait_for($node, 'copy', 'SHOW myfatoorah.poll_delay', '1h');
in('copy', q{SELECT mf_resume('*')});
is(in('copy', 'SELECT string_agg(invoice::text, chr(44)) FROM mf_inquiry'), $id{open}, 'that of another pause does, for those of the last 30 days');
is(in('copy', q{SELECT due BETWEEN now() + interval '59 min' AND now() + interval '13 h' FROM mf_inquiry}), 't', 'within the hours that the poller gives itself');

#
# A column of one's own
#
is(sql(q{BEGIN; ALTER TABLE mf_transition ADD COLUMN doubled int GENERATED ALWAYS AS (attempt * 2) STORED, ADD COLUMN checked boolean DEFAULT false NOT NULL;
	SELECT definition FROM mf_addition WHERE kind = 'column' ORDER BY name DESC; ROLLBACK}), join("\n", 'ALTER TABLE public.mf_transition ADD COLUMN doubled integer GENERATED ALWAYS AS ((attempt * 2)) STORED',
	'ALTER TABLE public.mf_transition ADD COLUMN checked boolean DEFAULT false NOT NULL'), 'columns are defined as they were made');
sql(q{ALTER TABLE mf_invoice ADD COLUMN flat text DEFAULT 'none'});
is(sql(q{SELECT ok || detail FROM mf_check() WHERE item = 'dump' AND NOT ok}),
	'falseA dump cannot be restored as it is: it has the values of column "flat" of mf_invoice, and not the column.', 'mf_check() says what a column of one\'s own does');
$archive = dump_it('wide', '-Fc');
$definitions = sql(q{SELECT definition || ';' FROM mf_addition});
like($definitions, qr/^ALTER TABLE public\.mf_invoice ADD COLUMN flat text DEFAULT 'none'::text;$/m, 'and mf_addition how it was made');
in($db, 'CREATE DATABASE narrow');
($rc, $said) = restore('narrow', 'pg_restore', $archive);
isnt($rc, 0, 'a restore as it is fails');
is(in('narrow', 'SELECT count(*) FROM mf_invoice'), 0, 'and restores no invoice');
in($db, 'CREATE DATABASE wide');
is((restore('wide', 'pg_restore', '-e', '--section=pre-data', $archive))[0], 0, 'in three steps: what comes before the data');
in('wide', $definitions);
is((restore('wide', 'pg_restore', '-e', '--section=data', $archive))[0], 0, 'the data, once the column is there');
in('wide', 'DROP POLICY "own flat" ON mf_invoice') if $old;
is((restore('wide', 'pg_restore', '-e', '--section=post-data', $archive))[0], 0, 'what comes after the data');
is(in('wide', q{SELECT string_agg(flat, ',') FROM mf_invoice}), 'none,none', 'all rows are restored');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
