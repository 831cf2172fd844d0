# A copy of a database whose original has sent rows again since: by its look-ups, by mf_retry(), by mf_resolve(). The next
# reference of a row is the same in both, so what is sent under it is looked up under it first, and the customer gets one
# invoice, however the copy came about.
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use File::Path ();

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'";
my $main = $mf->new_node('main', init => { allows_streaming => 1 }, conf => $conf);

$mf->setup_account($main, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($main, 'postgres');

sub id_of
{
	return "(SELECT id FROM mf_invoice WHERE customer_reference = '$_[0]')";
}

# A request that is taken, and neither answered nor remembered
sub lose
{
	my ($prefix, $times) = @_;

	$sandbox->faults({ path => 'SendPayment', reference_prefix => $prefix, times => $times // 1, never => $true, create => $false });
	return;
}

# Rows of every kind that can be sent again
sub prepare
{
	my ($node, $id) = @_;
	my %customer = (notification_option => "'EML'", customer_email => "'a\@example.com'");

	lose("$id-$_") for qw(lost-held further-held none-held review sending);
	$sandbox->faults({ path => 'SendPayment', reference_prefix => "$id-rejected", times => 2, shape => 1 });
	$mf->insert($node, 'postgres', "$id-queued", send_at => "now() + interval '1 h'");
	$mf->insert($node, 'postgres', "$id-$_") for qw(lost-held further-held none-held rejected rejected-twice);
	$mf->insert($node, 'postgres', "$id-review", %customer);
	$mf->wait_status($node, 'postgres', "$id-$_", 'unknown') for qw(lost-held further-held none-held);
	$mf->wait_status($node, 'postgres', "$id-$_", 'rejected') for qw(rejected rejected-twice);
	$node->safe_psql('postgres', "UPDATE mf_queue q SET due = now() + interval '1 h', rank = now() + interval '1 h' FROM mf_invoice i
		WHERE i.id = q.invoice AND i.customer_reference LIKE '$id-%-held'");
	at_once($node, 'postgres', "customer_reference = '$id-review' AND status <> 'review'");

	# when it is copied this one is being sent, or unknown
	$mf->insert($node, 'postgres', "$id-sending");
	$sandbox->wait_count({ path => '/v2/SendPayment', reference => $node->safe_psql('postgres', "SELECT reference FROM mf_invoice WHERE customer_reference = '$id-sending'") }, 1)
	  or die "it is not being sent\n";
	return;
}

# What waits for its look-up does not wait, until there is no such row. Nobody needs to wait for MyFatoorah here.
sub at_once
{
	my ($node, $dbname, $rows) = @_;

	$chaos->until_true("no more $rows", sub {
		$node->safe_psql($dbname, qq{SET client_min_messages = error; DO \$\$ BEGIN
			UPDATE mf_queue q SET due = now(), rank = now() FROM mf_invoice i WHERE i.id = q.invoice AND q.kind IN ('verify', 'reconcile')
				AND q.due > now() + interval '2 s' AND $rows;
			IF FOUND THEN PERFORM mf_resume('*'); END IF; END \$\$});
		return $node->safe_psql($dbname, "SELECT count(*) FROM mf_invoice WHERE $rows") == 0;
	});
	return;
}

# The original goes on: all but one row are sent, some of them under their third reference.
sub go_on
{
	my ($node, $id) = @_;

	$sandbox->clear_faults;
	lose("$id-further-held");
	lose("$id-queued");
	$sandbox->faults({ path => 'SendPayment', reference_prefix => "$id-rejected-twice", shape => 1 });
	$node->safe_psql('postgres', "SELECT mf_retry(" . id_of("$id-$_") . ')') for qw(rejected rejected-twice);
	$mf->wait_for($node, 'postgres', "SELECT attempts || status FROM mf_invoice WHERE customer_reference = '$id-rejected-twice'", '2rejected');
	$node->safe_psql('postgres', 'SELECT mf_retry(' . id_of("$id-rejected-twice") . ');
		SELECT mf_resolve(' . id_of("$id-review") . ", 'resend', 'not in the portal');
		UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$id-queued'");
	at_once($node, 'postgres', "customer_reference LIKE '$id-%' AND customer_reference <> '$id-none-held' AND status <> 'sent'");
	is($node->safe_psql('postgres', "SELECT string_agg(split_part(customer_reference, '$id-', 2) || substring(reference FROM '~.*'), ' ' ORDER BY id)
		FROM mf_invoice WHERE customer_reference LIKE '$id-%' AND status = 'sent'"),
		'queued~2 lost-held~2 further-held~3 rejected~2 rejected-twice~3 review~2 sending~2', "$id: the original sends them again");
	return;
}

# The copy takes over.
sub take_over
{
	my ($node, $dbname, $id) = @_;

	$sandbox->clear_faults;
	$mf->wait_worker($node, $dbname);
	$node->safe_psql($dbname, "SET client_min_messages = error; SELECT mf_resume('*')");
	$node->safe_psql($dbname, 'SELECT mf_retry(' . id_of("$id-$_") . ')') for qw(rejected rejected-twice);
	$node->safe_psql($dbname, 'SELECT mf_resolve(' . id_of("$id-review") . ", 'resend', 'not in the portal')");
	is($node->safe_psql($dbname, "SELECT string_agg(DISTINCT q.kind, ' '), min(q.due) > now() + interval '50 s'
		FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.customer_reference ~ '^$id-(rej|rev|queued)'"), 'verify|t',
		"$id: what a person sends again is looked up first, once MyFatoorah is done with what the original sent");
	$node->safe_psql($dbname, "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$id-queued' AND status = 'queued'");
	at_once($node, $dbname, "customer_reference LIKE '$id-%' AND status <> 'sent'");

	my %invoices;
	$invoices{ $_->{reference} =~ s/\.[^.]*$//r }++ for grep { $_->{reference} =~ /^$id-/ } $sandbox->remote;
	is(join(' ', map { "$_ $invoices{$_}" } sort keys %invoices),
		join(' ', map { "$id-$_ 1" } sort qw(queued lost-held further-held none-held rejected rejected-twice review sending)), "$id: one invoice for each row");
	is_deeply([ grep { /\($id-/ } $mf->problems($node, $dbname, $sandbox, others => 1) ], [], "$id: rows and ledger agree");
	is($node->safe_psql($dbname, "SELECT coalesce(invoice_url, last_error) FROM mf_invoice WHERE customer_reference = '$id-lost-held'"),
		'the invoice exists, but its link was lost with the answer; the MyFatoorah portal shows it', "$id: whose link is lost says so");
	is($node->safe_psql($dbname, "SELECT invoice_url IS NOT NULL FROM mf_invoice WHERE customer_reference = '$id-none-held'"), 't',
		"$id: and what nobody had sent again is sent");
	return;
}

#
# A backup that is put back
#
my $backup = PostgreSQL::Test::Utils::tempdir('backup') . '/put-back';
prepare($main, 'restored');
$main->stop('immediate');
system_or_bail('cp', '-a', $main->data_dir, $backup);
$main->start;
$mf->wait_worker($main, 'postgres');
go_on($main, 'restored');
$main->stop;
File::Path::remove_tree($main->data_dir, { keep_root => 1 });
system_or_bail('cp', '-a', "$backup/.", $main->data_dir);
$main->start;
take_over($main, 'postgres', 'restored');

#
# A standby that was cut off and is promoted
#
$main->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($main, 'base', has_streaming => 1);
$mf->write_key($standby, $sandbox->key);
$standby->start;
prepare($main, 'promoted');
$main->wait_for_catchup($standby);
$standby->stop;
go_on($main, 'promoted');
$main->stop;
$standby->start;
$standby->promote;
take_over($standby, 'postgres', 'promoted');

#
# A dump
#
my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/archive';
prepare($standby, 'dumped');
command_ok([ $standby->installed_command('pg_dump'), '-Fc', '-d', $standby->connstr('postgres'), '-f', $dump ], 'pg_dump');
go_on($standby, 'dumped');
$standby->safe_psql('postgres', 'ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
$mf->wait_no_worker($standby, 'postgres');
$standby->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ $standby->installed_command('pg_restore'), '-e', '-d', $standby->connstr('copy'), $dump ], 'pg_restore');
take_over($standby, 'copy', 'dumped');

#
# Rows alone, brought into a database that has been in use for longer than they exist. They count as those of another server
# from the decision of a person on, also for the worker that is there.
#
my @nodes = map { $mf->new_node($_, conf => $conf) } qw(origin used);
my $used = $nodes[1];

foreach (@nodes)
{
	$mf->setup_account($_, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
	$mf->wait_worker($_, 'postgres');
}
$used->safe_psql('postgres', 'ALTER TABLE mf_invoice ALTER id RESTART 1000');
$mf->insert($used, 'postgres', 'used-own');
$mf->wait_status($used, 'postgres', 'used-own');
$mf->insert($nodes[0], 'postgres', 'used-brought', send_at => "now() + interval '1 h'");
my ($rows) = run_command([ 'pg_dump', '-a', '-t', 'mf_invoice', '-d', $nodes[0]->connstr('postgres') ]);
lose('used-brought');
$nodes[0]->safe_psql('postgres', "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'used-brought'");
$mf->wait_status($nodes[0], 'postgres', 'used-brought');
$sandbox->clear_faults;
$nodes[0]->stop;
$used->safe_psql('postgres', "SET client_min_messages = error; $rows");
$used->safe_psql('postgres', "SET client_min_messages = error; SELECT mf_resume('*'); UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'used-brought'");
at_once($used, 'postgres', "customer_reference = 'used-brought' AND status <> 'sent'");
is(join(' ', map { $_->{reference} =~ s/\..*(?=~)//r } grep { $_->{reference} =~ /^used-brought\./ } $sandbox->remote), 'used-brought~2', 'rows in a database in use: one invoice, which the original has sent again');
$used->stop;

unlike(slurp_file($_->logfile), qr/TRAP:|PANIC|was terminated by signal/, $_->name . ': no process crashed') for $main, $standby;
$standby->stop;
done_testing();
