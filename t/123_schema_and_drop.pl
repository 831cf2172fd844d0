# Where the extension may lie, that it stays there, and what becomes of unfinished invoices and of the worker when it is dropped.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'");
my $db = 'postgres';

sub attempt
{
	my ($rc, $out, $err) = $node->psql($db, $_[0]);

	return join ' / ', $rc == 0 ? 'ok' : (), $err =~ /(?:ERROR|WARNING|DETAIL|HINT): +(.*)/g;
}

# A schema of another name, which is in nobody's path
sql('CREATE SCHEMA "Bill ing"; CREATE SCHEMA other; CREATE EXTENSION myfatoorah SCHEMA "Bill ing"');
$mf->setup_account($node, $db, $sandbox);
sub invoice { return sql(q{INSERT INTO "Bill ing".mf_invoice } . $mf->invoice(@_) . ' RETURNING id'); }
sub status { return $mf->wait_for($node, $db, qq{SELECT status FROM "Bill ing".mf_invoice WHERE customer_reference = '$_[0]'}, $_[1] // 'sent'); }
sub worker { return sql(q{SELECT pid FROM "Bill ing".mf_worker_status}); }

invoice('first');
status('first');
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = '"Bill ing"'::regnamespace AND relname = 'mf_invoice'}), 1, 'CREATE EXTENSION ... SCHEMA: it is there, and sends');
is(sql(q{SELECT item FROM "Bill ing".mf_check() WHERE NOT ok AND item NOT IN ('durability', 'webhooks', 'listener')}), '', 'mf_check() is content');
my $worker = worker();
is(attempt('ALTER EXTENSION myfatoorah SET SCHEMA other'), 'extension "myfatoorah" does not support SET SCHEMA', 'ALTER EXTENSION ... SET SCHEMA is refused');
invoice('second');
status('second');
is(worker(), $worker, 'beside the same worker, which goes on');

# What hangs on it keeps it; with CASCADE whoever has unfinished invoices is warned, and can still take it back.
like(attempt('DROP EXTENSION myfatoorah'), qr{cannot drop extension myfatoorah because other objects depend on it / .*server myfatoorah}, 'an account keeps it from being dropped');
$sandbox->hang(reference_prefix => 'flying');
invoice('flying');
invoice('later', send_at => "now() + interval '1 day'");
status('flying', 'sending');
like(attempt('BEGIN; DROP EXTENSION myfatoorah CASCADE; ROLLBACK'), qr{ok / 2 unfinished invoices are dropped with the extension / What is queued is not sent}, 'CASCADE says how many invoices it takes along');
invoice('third');
status('third');
is(sql(q{SELECT string_agg(customer_reference || ' ' || status, ', ' ORDER BY id) FROM "Bill ing".mf_invoice}), 'first sent, second sent, flying sending, later queued, third sent', 'rolled back, all is as before');

# For good: the worker goes, the one of another database stays, and what was under way troubles nobody.
$node->safe_psql($db, 'CREATE DATABASE neighbour');
$mf->setup_account($node, 'neighbour', $sandbox, key_file => 'myfatoorah.key');
my $neighbour = $mf->wait_worker($node, 'neighbour');
like(attempt('DROP EXTENSION myfatoorah CASCADE'), qr/^ok/, 'dropped');
$mf->wait_no_worker($node, $db);
is($mf->worker_pid($node, 'neighbour'), $neighbour, 'the worker of another database stays');
$sandbox->clear_faults;
is(sql(q{SELECT count(*) FROM pg_class WHERE relname ~ '^mf_'}), 0, 'no table is left');
is(sql('CREATE EXTENSION myfatoorah; SELECT count(*) FROM mf_invoice'), 0, 'created again, it is empty');
$mf->setup_account($node, $db, $sandbox);
$mf->insert($node, $db, 'anew');
$mf->wait_status($node, $db, 'anew');
is(join(' ', sort $sandbox->names), 'anew first flying second third', 'each was sent once');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
