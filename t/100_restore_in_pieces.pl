# A restore takes its time, and the worker of the new database is there from the extension on. It changes nothing of what has come in
# so far, or what comes later would not fit: not before a person says that this is the place, however often it starts.
use MyFatoorah::Test qw(sql);
use MyFatoorah::Chaos;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1h'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'");
my $db = 'postgres';
my $dir = PostgreSQL::Test::Utils::tempdir('dump');
my $true = JSON::PP::true;

# All that a dump has of the rows that are there, as text
my @tables = qw(mf_invoice mf_attempt mf_transition mf_transaction mf_money mf_event mf_reaction_queue);
my $all = join ' UNION ALL ', map { "SELECT '$_' || r::text FROM $_ r" } @tables;

sub in { return $node->safe_psql('copy', @_); }

# pieces(regular expression, ...): of the data of the dump, one list for each, of what matches it and none before, in the dump's order
sub pieces
{
	my @list = split /\n/, (run_command([ $node->installed_command('pg_restore'), '-l', '--section=data', "$dir/archive" ]))[0];
	my @files;

	foreach my $like (@_)
	{
		my @chosen = grep { $_ !~ /^;/ && $_ =~ $like } @list;

		@list = grep { $_ !~ $like } @list;
		append_to_file("$dir/part" . @files, join("\n", @chosen) . "\n");
		push @files, "$dir/part" . @files;
	}
	return @files;
}

sub restore
{
	my ($what, @options) = @_;

	command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('copy'), @options, "$dir/archive" ], "pg_restore: $what");
	return;
}

# A new worker has done all that it wants to do.
sub start_again
{
	my $pid = $mf->wait_worker($node, 'copy');

	in("SELECT pg_terminate_backend($pid)");
	$mf->wait_worker($node, 'copy', not => $pid);
	$mf->wait_idle($node, 'copy');
	return;
}

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($node, $db);
sql(q{CREATE SCHEMA books; CREATE TABLE books.told (invoice bigint);
	CREATE FUNCTION books.tell(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql AS 'BEGIN
		IF current_database() = ''postgres'' THEN RAISE ''not here''; END IF; INSERT INTO books.told VALUES (new.id); END';
	SELECT mf_on_change('books.tell(mf_invoice, mf_invoice)')});
$mf->insert($node, $db, $_) for qw(sent also);
$mf->wait_status($node, $db, $_) for qw(sent also);
sql(q{SET session_replication_role = replica; UPDATE mf_attempt SET started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days', send_by = send_by - interval '2 days';
	UPDATE mf_transition SET changed_at = changed_at - interval '2 days'});
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'sending', never => $true, create => JSON::PP::false });
$mf->insert($node, $db, 'later', send_at => "now() + interval '1 h'");
sql('SELECT mf_cancel(' . $mf->insert($node, $db, 'cancelled', send_at => "now() + interval '1 h'") . ')');
$mf->insert($node, $db, 'sending');
$mf->wait_status($node, $db, 'sending', 'sending');
my ($session, $snapshot) = $mf->snapshot($node, $db);
command_ok([ $node->installed_command('pg_dump'), '-Fc', $snapshot, '-d', $node->connstr($db), '-f', "$dir/archive" ], 'pg_dump while an invoice is being sent');
my $rows = $session->query_safe("$all ORDER BY 1");
$session->quit;

like($rows, qr/^mf_invoice.*,sending,/m, 'it is "sending" in the dump');
sql('ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($node, $db);
$sandbox->clear_faults;
my $asked = $sandbox->ledger;
sql('CREATE DATABASE copy');
sql(q{ALTER SYSTEM SET myfatoorah.history_retention = '1d'});
sql('SELECT pg_reload_conf()');

restore('what comes before the data', '--section=pre-data');
my @parts = pieces(qr/ mf_invoice /, qr/ mf_attempt | mf_event /, qr/./);
my @names = ('the invoices', 'what was tried', 'all others');
for my $i (0 .. $#parts)
{
	restore($names[$i], '-L', $parts[$i]);
	start_again();
	is(in(q{SELECT count(*) FROM mf_invoice WHERE status = 'sending'}), 1, "a new worker leaves what is \"sending\" as it is, after $names[$i]");
}
restore('what comes after the data', '--section=post-data');
is(in("$all ORDER BY 1"), $rows, 'all rows are as they were dumped');
is(in('SELECT count(*) FROM books.told'), 0, 'and no function has been told');
is(scalar($sandbox->ledger), $asked, 'nor was MyFatoorah asked anything');

# What was left alone is done once somebody says so.
in(q{SELECT mf_resume('*')});
$chaos->until_true('it is sent', sub {
	in(q{SET client_min_messages = error; UPDATE mf_queue SET due = now(), rank = now() WHERE kind IN ('reconcile', 'verify') AND due > now() + interval '2 s' AND invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'sending'); SELECT mf_resume('*')});
	return in(q{SELECT status || ' ' || attempts FROM mf_invoice WHERE customer_reference = 'sending'}) eq 'sent 2';
});
pass('after mf_resume() what was "sending" is looked up, and sent');
is(in(q{SELECT (array_agg(to_status ORDER BY t.id))[1] FROM mf_transition t JOIN mf_invoice i ON i.id = t.invoice WHERE i.customer_reference = 'sending' AND t.from_status = 'sending'}),
	'unknown', 'by way of an unknown outcome');
is(scalar(grep { $_->{reference} =~ /^sending\b/ } $sandbox->remote), 1, 'once');
start_again();
$mf->wait_for($node, 'copy', q{SELECT count(*) FROM mf_attempt WHERE started_at < now() - interval '1 day'}, 0);
pass('and history that is too old goes');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
