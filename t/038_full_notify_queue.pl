# A queue of notifications that somebody keeps full: a notification is a courtesy, and never costs a change. Any role can fill
# the queue, which the whole server shares; a commit that notifies then fails in PostgreSQL.
#
# Needs a library built with FAILPOINTS=1 (the suite "crash" of make check): with it the limit can be lowered, where the queue
# has 8 GB. From PostgreSQL 17 on a small queue is filled for good, too.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.notify_limit") != 0;

my $small = $node->safe_psql($db, 'SHOW server_version_num') >= 170000;

sub restart
{
	$node->append_conf('postgresql.conf', $_[0]);
	$node->restart;
	$mf->wait_worker($node, $db);
	return;
}

# Somebody without rights who listens, and stays in a transaction so that nothing leaves the queue
sub hold
{
	my $session = $mf->session($node, $db);

	$session->query_safe('SET ROLE noone; LISTEN zzz; BEGIN');
	$session->query_safe('SELECT 1');
	return $session;
}

# What the statements hear on our channel
sub heard
{
	my ($code, $out, $err) = $node->psql($db, "LISTEN mf_invoice;\n$_[0]\n;SELECT 1");

	return $code == 0 ? join ' ', $out =~ /"mf_invoice" with payload "\{"id": (\d+)\}"/g : "? $err";
}

sub waiting { return $mf->insert($node, $db, $_[0], send_at => "now() + interval '1 day'"); }
sub checked { return sql(q{SELECT ok FROM mf_check() WHERE item = 'notifications'}); }
sub logged { return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /$_[0]/g); }

# Everything goes on while the queue is full
sub goes_on
{
	my ($how) = @_;
	my $id = $mf->insert($node, $db, "$how sent");

	is(sql("SELECT changed FROM mf_wait($id, '60 s', status => 'sent')"), 't', "$how: an invoice is sent, and whoever waits sees it");
	$sandbox->control('POST', 'invoices/' . sql("SELECT invoice_id FROM mf_invoice WHERE id = $id") . '/pay', {});
	sql("SELECT mf_refresh($id)");
	is(sql("SELECT changed FROM mf_wait($id, '60 s', payment_status => 'paid')"), 't', "$how: it is paid");
	my $cancelled = waiting("$how cancelled");
	is(heard("SELECT mf_cancel($cancelled)"), '', "$how: an invoice can be cancelled, and nobody is told");
	is($mf->status($node, $db, "$how cancelled"), 'cancelled', "$how: it is cancelled");
	is(checked(), 'f', "$how: mf_check() says that nobody is told");
	is(sql('SELECT count(*) FROM mf_queue WHERE error IS NOT NULL'), 0, "$how: no row is put off");
	return;
}

$mf->setup_account($node, $db, $sandbox);
sql('CREATE ROLE noone');

# what is told, as long as there is room
my ($one, $two, $three) = map { waiting($_) } qw(one two three);
is(heard("BEGIN; SAVEPOINT a; SELECT mf_cancel($one); ROLLBACK TO a; SAVEPOINT b; SELECT mf_cancel($two); RELEASE b; COMMIT"), $two,
	'what a savepoint has taken back is not told');
is(heard("BEGIN; SELECT mf_cancel($three); ROLLBACK"), '', 'nor what was rolled back');
my ($code, undef, $error) = $node->psql($db, "BEGIN; SELECT mf_cancel($three); PREPARE TRANSACTION 'x'");
like($error, qr/cannot PREPARE a transaction that has executed LISTEN, UNLISTEN, or NOTIFY/, 'what would be told cannot be prepared');
is(checked(), '', 'mf_check() says nothing about it');

# a limit that is soon reached
restart('myfatoorah.notify_limit = 0.00003');
my $holder = hold();
sql(q{SET ROLE noone; SELECT count(pg_notify('zzz', g || repeat('x', 7900))) FROM generate_series(1, 50) g});
goes_on('over the limit');
is(logged('are left out'), 1, 'the log tells of it once');
$holder->query_safe('COMMIT');
is(heard("SELECT mf_cancel($one)"), $one, 'whoever changes something next gives the queue free, and is heard');
is(checked(), 'f', 'mf_check() tells for a while that notifications were left out');
$holder->quit;

SKIP:
{
	skip 'before PostgreSQL 17 the queue has 8 GB', 11 unless $small;

	restart("max_notify_queue_pages = 64\nmyfatoorah.notify_limit = 0.9");
	$holder = hold();
	foreach my $size (7900, 700, 60, 1)
	{
		while ($node->psql($db, "SET ROLE noone; SELECT count(pg_notify('zzz', g || repeat('x', $size))) FROM generate_series(1, 5) g") == 0)
		{
		}
	}
	goes_on('full');

	# a trigger of somebody's notifies, too: that is left out with ours
	sql(q{CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_notify('own', NEW.status); RETURN NULL; END$$;
		CREATE TRIGGER tell AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION tell()});
	$mf->insert($node, $db, 'told');
	ok($mf->wait_status($node, $db, 'told'), 'a trigger that notifies holds nothing up');
	$holder->quit;

	# one that fills the queue by itself, when there was room
	$holder = hold();
	sql(q{CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN PERFORM pg_notify('own', g || repeat('x', 7900)) FROM generate_series(1, 100) g; RETURN NULL; END$$});
	cmp_ok(sql('SELECT pg_notification_queue_usage()'), '<', 0.5, 'there is room');
	my $id = $mf->insert($node, $db, 'flood');
	is(sql("SELECT changed FROM mf_wait($id, '60 s', status => 'sent')"), 't', 'a trigger that fills the queue holds nothing up');
	is(logged('is put off because'), 0, 'nothing was put off');
	cmp_ok(logged('myfatoorah worker ERROR: +too many notifications'), '<=', 1, 'one commit has failed, at most');
	$holder->quit;
}

is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each row has its one invoice');
done_testing();
