# Library and SQL objects of different versions: nothing is sent and nothing is lost, whoever calls is told what to do, and
# all goes on by itself once it is done. A library that is replaced while the server runs concerns nobody who has the old one.
use MyFatoorah::Test;
use MyFatoorah::Install;
use MyFatoorah::States;

my ($mf, $states) = map { "MyFatoorah::$_" } 'Cluster', 'States';
my $present = MyFatoorah::Install->present_version;
my $next = MyFatoorah::Install->next_version($present);
my $send = { path => '/v2/SendPayment' };
my $db = 'postgres';
my $sandbox = MyFatoorah::Sandbox->new;
my $new = MyFatoorah::Install->new('new', make => ["SQL_SINCE=$next"],
	change => sub {
		MyFatoorah::Install->set_version($_[0], $next);
		MyFatoorah::Install::write_file("$_[0]/sql/myfatoorah--$present--$next.sql", "COMMENT ON TABLE mf_queue IS 'the next one';\n");
	});
my $node;

sub sql { return $node->safe_psql($db, @_); }

# What a statement says: its result, or its error and hint
sub attempt
{
	my ($rc, $out, $err) = $node->psql($db, $_[0]);

	return $rc == 0 ? "ok $out" : join ' / ', $err =~ /(?:ERROR|HINT): +(.*)/g;
}

# The same server, with the programs and libraries of that installation; in its own, if none is given
sub restart_with
{
	my ($path) = @_;

	$node->stop;
	$node->{_install_path} = $path;
	$node->start;
	return;
}

sub worker_says { return $mf->wait_for($node, $db, "SELECT count(*) FROM mf_worker_status WHERE last_error ~ '$_[0]'", 1); }
sub worker_runs { return $mf->wait_for($node, $db, 'SELECT count(*) FROM mf_worker_status WHERE last_error IS NULL AND transactions > 1', 1); }
sub log_lines { my $found = () = slurp_file($node->logfile, $_[0]) =~ /LOG: +myfatoorah: version_mismatch: nothing is sent: the SQL objects/g; return $found; }

my $does_not_fit = qr/^the SQL objects of the extension "myfatoorah" are of version \Q$present\E, which its library of version \Q$next\E does not work with/;
my $update = qr{ / Run ALTER EXTENSION myfatoorah UPDATE in this database\.$};

#
# The library is newer
#
$node = $mf->new_node('main', conf => $states->conf . "\nlog_min_messages = log");
my $old_path = $node->{_install_path};
$states->fill($node, $db, $sandbox);
my $offset = -s $node->logfile;
restart_with($new->path);
worker_says('does not work with');
is(sql('SELECT count(*) FROM mf_listener_status'), 0, 'newer library: the worker waits');
like(sql(q{SELECT detail || ' / ' || hint FROM mf_check() WHERE item = 'library' AND NOT ok}), qr/$does_not_fit$update/, 'mf_check() says why, and what to do');
like(sql(q{SELECT detail FROM mf_check() WHERE item = 'worker' AND NOT ok}), qr/^Running as process \d+; it sends nothing, because the SQL objects/, 'and that the worker waits for it');
like(attempt('INSERT INTO mf_invoice ' . $mf->invoice('refused')), qr/$does_not_fit$update/, 'INSERT is an error with the way out');
like(attempt($_), qr/$does_not_fit$update/, "$_: so is this")
  for 'UPDATE mf_invoice SET priority = 3', 'SELECT mf_cancel(1)', 'SELECT mf_pause()', q{SELECT mf_callback('07072467186246912273')}, 'SELECT * FROM mf_repair()';
like(attempt($_), qr/^ok /, "$_: this works")
  for 'SELECT count(*) FROM mf_invoice', 'SELECT * FROM mf_backlog', 'SELECT count(*) FROM mf_review', 'SELECT count(*) FROM mf_invoice_all', 'SELECT * FROM mf_worker_status',
  q{SELECT invoice_id > 0 FROM mf_send_payment('Ahmad', 1)}, 'BEGIN; DROP EXTENSION myfatoorah CASCADE; ROLLBACK',
  q{CREATE SERVER other FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test')};
$mf->wait_idle($node, $db);
my $worker = $mf->worker_pid($node, $db);
$node->reload;
$mf->wait_idle($node, $db);
is(log_lines($offset), 1, 'the log says it once, also after a reload');
is($mf->worker_pid($node, $db), $worker, 'by the same worker');

my $posts = $sandbox->count(%$send);
sql('ALTER EXTENSION myfatoorah UPDATE');
worker_runs();
isnt($mf->worker_pid($node, $db), $worker, 'after ALTER EXTENSION UPDATE another one works');
is(sql(q{SELECT count(*) FROM mf_check() WHERE item IN ('library', 'worker') AND ok}), 2, 'mf_check() is content');
is(join("\n", $states->finish($node, $db, $sandbox)), '', 'all that was unfinished is finished, once');
is($sandbox->count(%$send), $posts + 4, 'by one request for each that was not sent, and for two new ones');

# in one session, and in one transaction
my $session = $mf->session($node, $db);
$session->query('BEGIN; SELECT mf_pause(); ALTER EXTENSION myfatoorah UPDATE; SELECT mf_resume(); COMMIT');
is($session->query("SELECT 'alive'"), 'alive', 'ALTER EXTENSION UPDATE that has nothing to do, in a transaction');
$session->quit;
worker_runs();

#
# The library is older
#
$offset = -s $node->logfile;
restart_with($old_path);
worker_says('does not work with');
my $restart = qr/^the SQL objects of the extension "myfatoorah" are of version \Q$next\E, which its library of version \Q$present\E does not work with/;
like(attempt('INSERT INTO mf_invoice ' . $mf->invoice('refused')), qr{$restart / Install the library of version \Q$next\E, and restart the server}, 'older library: INSERT is an error with the way out');
like(sql(q{SELECT hint FROM mf_check() WHERE item = 'library' AND NOT ok}), qr/^Install the library of version \Q$next\E/, 'which mf_check() tells, too');
is(log_lines($offset), 1, 'and the log');
restart_with($new->path);
worker_runs();
$mf->insert($node, $db, 'after');
$mf->wait_status($node, $db, 'after');
is_deeply([ $mf->problems($node, $db, $sandbox, others => 1) ], [], 'with that library it goes on');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;

#
# A package upgrade while the server runs: files are replaced
#
sub replace
{
	my ($old) = @_;

	for ([ $new->library, $old->library ], [ "$new->{sharedir}/extension/myfatoorah.control", "$old->{sharedir}/extension/myfatoorah.control" ],
		[ $new->script("$present--$next"), $old->script("$present--$next") ])
	{
		my ($from, $to) = @$_;

		system('cp', $from, "$to.new") == 0 && rename "$to.new", $to or die "$to: $!\n";
	}
	return;
}

sub server
{
	my ($name, $install, %params) = @_;
	my $server = $install->node($name);

	$server->init;
	$server->append_conf('postgresql.conf', $mf->settings(conf => $states->conf, %params));
	$server->start;
	return $server;
}

{
	my $install = MyFatoorah::Install->new('preloaded');
	my $server_sandbox = MyFatoorah::Sandbox->new;

	$node = server('preloaded', $install);
	$mf->setup_account($node, $db, $server_sandbox);
	$worker = $mf->wait_worker($node, $db);
	my $open = $mf->session($node, $db);
	$open->query('SELECT 1');
	replace($install);

	like($open->query('INSERT INTO mf_invoice ' . $mf->invoice('open') . ' RETURNING 1'), qr/^1/, 'replaced under a server that has preloaded it: an open session goes on');
	$mf->insert($node, $db, 'other');
	$mf->wait_status($node, $db, $_) for 'open', 'other';
	sql("SELECT pg_terminate_backend($worker)");
	$mf->wait_worker($node, $db, not => $worker);
	$mf->insert($node, $db, 'again');
	$mf->wait_status($node, $db, 'again');
	pass('so do new sessions and a new worker, with the library that the server has');

	sql('ALTER EXTENSION myfatoorah UPDATE');
	worker_says('does not work with');
	like(attempt('INSERT INTO mf_invoice ' . $mf->invoice('refused')), qr{$restart / .*restart the server}, 'after ALTER EXTENSION UPDATE they ask for a restart');
	$open->query('INSERT INTO mf_invoice ' . $mf->invoice('refused'));
	like($open->{stderr}, qr/restart the server/, 'the open session, too');
	$open->quit;
	$node->restart;
	worker_runs();
	$mf->insert($node, $db, 'restarted');
	$mf->wait_status($node, $db, 'restarted');
	is_deeply([ $mf->problems($node, $db, $server_sandbox) ], [], 'after which all is well');
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
	$node->stop;
}

{
	my $install = MyFatoorah::Install->new('loaded');

	$node = server('loaded', $install, preload => 0);
	$mf->setup_account($node, $db, $sandbox);
	my $open = $mf->session($node, $db);
	$open->query('INSERT INTO mf_invoice ' . $mf->invoice('open'));
	replace($install);

	like($open->query('INSERT INTO mf_invoice ' . $mf->invoice('still open') . ' RETURNING 1'), qr/^1/, 'replaced under a server without it: an open session goes on');
	like(attempt('INSERT INTO mf_invoice ' . $mf->invoice('refused')), qr/$does_not_fit$update/, 'a new one is told to update');
	sql('ALTER EXTENSION myfatoorah UPDATE');
	like(attempt('INSERT INTO mf_invoice ' . $mf->invoice('updated')), qr/^ok/, 'and works then');
	$open->query('INSERT INTO mf_invoice ' . $mf->invoice('refused'));
	like($open->{stderr}, qr/begin a new session/, 'the open one is to be begun anew');
	$open->quit;
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
	$node->stop;
}
done_testing();
