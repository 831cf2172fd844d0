# Code of users that runs inside of what myfatoorah does, by triggers on its tables: it may do there what anybody may, it
# writes no states, and what it changes of a session stays with it.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '1h'");
my $db = 'postgres';

sub error_of
{
	my ($code, $out, $err) = $node->psql($db, @_);

	return $err =~ /ERROR: +(.*)/ ? $1 =~ s/\binvoice \d+/invoice N/r : "none: $out";
}

$mf->setup_account($node, $db, $sandbox);
my $worker = $mf->wait_worker($node, $db);
$mf->insert($node, $db, 'sent before');
$mf->wait_status($node, $db, 'sent before');

# Mallory may put triggers on the table, which a GRANT ALL gives, and insert invoices: nothing else of this is hers. Not
# even a right that somebody has given our role moves a state.
sql(q{CREATE ROLE mallory LOGIN IN ROLE myfatoorah_submit; GRANT TRIGGER ON mf_invoice TO mallory; GRANT USAGE ON FOREIGN SERVER myfatoorah TO mallory;
	CREATE SCHEMA mallory AUTHORIZATION mallory; GRANT USAGE ON SCHEMA mallory TO public;
	CREATE TABLE secrets (what text); INSERT INTO secrets VALUES ('SEKRET'); GRANT SELECT ON secrets TO public;
	ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
	GRANT SELECT, UPDATE ON mf_invoice TO myfatoorah_worker});
sql(q{SET ROLE mallory; CREATE TABLE mallory.loot (what text, who text DEFAULT current_user); GRANT ALL ON mallory.loot TO public});

#
# What it may do: each statement as the body of a trigger, after and at the end of our changes
#
my %attacks = (
	'make another row paid' => q{UPDATE public.mf_invoice SET payment_status = 'paid' WHERE id <> NEW.id},
	'make this row paid' => q{UPDATE public.mf_invoice SET payment_status = 'paid' WHERE id = NEW.id},
	'read the agenda' => q{PERFORM count(*) FROM public.mf_queue},
	'send again' => q{UPDATE public.mf_queue SET kind = 'send', due = now()},
	'forget an attempt' => q{DELETE FROM public.mf_attempt},
	'forge an event' => q{INSERT INTO public.mf_event (account, source, digest) VALUES ('myfatoorah', 'webhook', 'x')},
	'rewrite the history' => q{UPDATE public.mf_transition SET actor = 'somebody'},
	'pause everything' => q{INSERT INTO public.mf_account VALUES ('*', now(), 'mallory', 'because')},
	'call mf_pause' => q{PERFORM public.mf_pause('myfatoorah')},
	'call mf_resolve' => q{PERFORM public.mf_resolve(NEW.id, 'abandon', 'because')},
	'read rows that a policy hides' => q{IF EXISTS (SELECT FROM public.secrets) THEN INSERT INTO mallory.loot VALUES ('SEKRET'); END IF; RAISE insufficient_privilege},
	'become the superuser' => q{RESET ROLE},
	'become the superuser by name' => q{SET ROLE postgres},
	'look like a statement of ours' => q{EXECUTE '/* myfatoorah 2200 0 */ UPDATE public.mf_queue SET due = now()'},
);
my $n = 0;
foreach my $what (sort keys %attacks)
{
	$n++;
	sql(qq{SET ROLE mallory;
		CREATE FUNCTION mallory.f$n() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN
			$attacks{$what};
			INSERT INTO mallory.loot VALUES ('$what'); RETURN NULL;
		EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN INSERT INTO mallory.loot VALUES ('held: $what'); RETURN NULL; END \$f\$;
		CREATE TRIGGER a$n AFTER UPDATE ON public.mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.f$n();
		CREATE CONSTRAINT TRIGGER d$n AFTER UPDATE ON public.mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mallory.f$n()});
}
$mf->insert($node, $db, 'attacked');
$mf->wait_status($node, $db, 'attacked');
# In a session what is deferred runs as whoever commits, before PostgreSQL 18: as it would for any table.
sql("DROP TRIGGER d$_ ON mf_invoice") for 1 .. $n;
$mf->insert($node, $db, 'cancelled', send_at => q{now() + interval '1 day'});
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'cancelled'});
is(sql(q{SELECT string_agg(what, ', ' ORDER BY what) FROM (SELECT DISTINCT what FROM mallory.loot WHERE what NOT LIKE 'held:%' AND who = 'myfatoorah_worker') l}), '',
	'a trigger has no rights within our changes');
is(sql(q{SELECT count(DISTINCT what) FROM mallory.loot WHERE what LIKE 'held:%' AND who = 'myfatoorah_worker'}), scalar keys %attacks, 'each was tried as our role');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE payment_status <> 'unpaid'}), 0, 'and nothing is paid');
is(sql(q{SELECT pid FROM mf_worker_status}), $worker, 'by the worker that was there before');
sql("DROP TRIGGER a$_ ON mf_invoice; DROP FUNCTION mallory.f$_()") for 1 .. $n;

#
# What it may change of the row: columns of ours no trigger before the change may write, whatever it is called
#
sub before
{
	my ($name, $events, $body) = @_;

	sql(qq{SET ROLE mallory; CREATE OR REPLACE FUNCTION mallory.before() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN $body; RETURN NEW; END \$f\$;
		CREATE TRIGGER $name BEFORE $events ON public.mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.before()});
	return;
}

sub no_longer
{
	my ($name) = @_;

	sql("DROP TRIGGER $name ON mf_invoice; SELECT mf_resume('*')");
	return;
}

foreach my $column ([ payment_status => q{'paid'} ], [ invoice_url => q{'https://evil.example.com/'} ], [ paid_at => 'now()' ], [ invoice_value => '1' ],
	[ status => q{CASE NEW.status WHEN 'sent' THEN 'rejected' ELSE NEW.status END} ])
{
	my ($what, $value) = @$column;
	my $name = "before-$what";

	before('meddle', 'UPDATE', "IF NEW.customer_reference = '$name' AND NEW.status = 'sent' THEN NEW.$what := $value; END IF");
	$mf->insert($node, $db, $name);
	$mf->insert($node, $db, "$name-other");
	$mf->wait_status($node, $db, "$name-other");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_review WHERE reference LIKE '$name.%' AND what_happened ~ 'a trigger has changed column \"$what\" of invoice'", 1);
	is($mf->status($node, $db, $name), 'sending', "$what: a trigger may not change it within our changes, and the row says so");
	no_longer('meddle');
	$mf->wait_status($node, $db, $name);
	is(sql("SELECT payment_status, attempts FROM mf_invoice WHERE customer_reference = '$name'"), 'unpaid|1', "$what: once it is gone the row goes on");
}
is($sandbox->count(path => '/v2/SendPayment'), 2 + 5 * 2, 'nothing was sent twice');

before('zzz', 'INSERT OR UPDATE', q{NEW.payment_status := 'paid'});
is(error_of(q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)}), 'trigger "zzz" of table mf_invoice runs after "zz_mf_invoice_guard"',
	'a trigger that would have the last word is refused');
like(($node->psql($db, q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)}))[2], qr/HINT:  Give it a name between .* ALTER TRIGGER zzz ON mf_invoice RENAME TO/, 'with the way out');
sql('ALTER TRIGGER zzz ON mf_invoice RENAME TO "00"');
is(error_of(q{UPDATE mf_invoice SET priority = 1}), 'trigger "00" of table mf_invoice runs before "00_mf_invoice_proposed"', 'one that would come before our first, too');
sql('ALTER TRIGGER "00" ON mf_invoice RENAME TO between');
is(error_of(q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('x', 1)}), 'column "payment_status" of mf_invoice is written by myfatoorah only',
	'between them its row is checked like any');
no_longer('between');

# Our triggers stand, though the right to create one is enough to replace any.
is(error_of(qq{SET ROLE mallory; CREATE OR REPLACE TRIGGER "$_" BEFORE UPDATE ON public.mf_invoice FOR EACH ROW EXECUTE FUNCTION mallory.before()}),
	qq{permission denied to replace trigger "$_"}, "nobody replaces $_")
  foreach split /\n/, sql(q{SELECT tgname FROM pg_trigger WHERE tgrelid = 'mf_invoice'::regclass AND NOT tgisinternal AND tgname <> 'meddle'});

# Columns of their own are theirs to change, as ever.
sql('ALTER TABLE mf_invoice ADD shown text');
before('own', 'INSERT OR UPDATE', q{NEW.shown := concat_ws(' ', NEW.shown, NEW.status); NEW.user_defined_field := coalesce(NEW.user_defined_field, 'mine')});
$mf->insert($node, $db, 'own');
$mf->wait_status($node, $db, 'own');
is(sql(q{SELECT shown, user_defined_field FROM mf_invoice WHERE customer_reference = 'own'}), 'queued sending sent|mine', 'a trigger may fill columns that users may');
no_longer('own');

#
# Policies do not hide rows from our statements, even those that the owner has forced upon itself
#
sql(q{CREATE ROLE housekeeper; ALTER TABLE mf_invoice OWNER TO housekeeper; ALTER TABLE mf_queue OWNER TO housekeeper;
	ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; ALTER TABLE mf_invoice FORCE ROW LEVEL SECURITY;
	ALTER TABLE mf_queue ENABLE ROW LEVEL SECURITY; ALTER TABLE mf_queue FORCE ROW LEVEL SECURITY});
$mf->insert($node, $db, 'hidden');
$mf->wait_status($node, $db, 'hidden');
is(sql(q{SET ROLE housekeeper; SELECT count(*) FROM mf_invoice}), 0, 'the owner itself sees none of them');
is(sql(q{SELECT pid FROM mf_worker_status}), $worker, 'the worker has sent it');

done_testing();
