# Without shared_preload_libraries everything works but sending, and every INSERT says so, with the line to add. With
# that line added, what was stored is sent.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;

foreach my $case (
	[ 'nothing preloaded', '', 'myfatoorah' ],
	[ 'another library preloaded', "shared_preload_libraries = 'plpgsql'", 'plpgsql,myfatoorah' ])
{
	my ($what, $conf, $libraries) = @$case;
	my $line = "shared_preload_libraries = '$libraries'";
	my $node = $mf->new_node('node' . ($conf ? 2 : 1), preload => 0, conf => $conf);
	my $before = $sandbox->count;
	my ($out, $err);

	# Whatever would touch the worker must do without shared memory.
	$mf->setup_account($node, 'postgres', $sandbox);
	(undef, $out, $err) = $node->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('one'));
	like($err, qr/^\S*\s*WARNING:  invoices are stored but will not be sent$/m, "$what: INSERT warns");
	like($err, qr/^DETAIL:  The library myfatoorah is not in shared_preload_libraries/m, "$what: and says why");
	like($err, qr/^HINT:  Add this line to postgresql.conf and restart the server: \Q$line\E$/m, "$what: and gives the line to add");
	(undef, $out, $err) = $node->psql('postgres',
		"INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) SELECT 'n', 'many-' || n, n FROM generate_series(1, 100) n");
	is(scalar(() = $err =~ /WARNING/g), 1, "$what: one warning for a statement of many rows");
	is($node->safe_psql('postgres', "SELECT status, count(*) FROM mf_invoice GROUP BY 1"), 'queued|101', "$what: the rows are stored");

	# A role that may not read the setting gets the same line.
	$node->safe_psql('postgres', 'CREATE ROLE tenant LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO tenant');
	(undef, $out, $err) = $node->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('by tenant'), extra_params => [ '-U', 'tenant' ]);
	like($err, qr/\Q$line\E/, "$what: an ordinary role is told the line as well");

	# Loaded by the session is not enough.
	(undef, $out, $err) = $node->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('by session'),
		connstr => $node->connstr('postgres') . " options='-c session_preload_libraries=myfatoorah'");
	like($err, qr/will not be sent/, "$what: session_preload_libraries does not do");

	# What needs no worker works.
	is($sandbox->count, $before, "$what: nothing was sent");
	like($node->safe_psql('postgres', "SELECT (mf_send_payment('direct', 1.5)).invoice_id"), qr/^\d+$/, "$what: direct calls work");
	is($node->safe_psql('postgres', "SELECT count(*) FROM mf_check() WHERE NOT ok AND item = 'library' AND hint LIKE '%: ' || \$\$$line\$\$"),
		1, "$what: mf_check() gives the line");
	is($node->safe_psql('postgres', "SELECT bool_and(ok) FROM mf_check() WHERE item IN ('account', 'network', 'key')"), 't',
		"$what: mf_check() finds the rest in order");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_worker_status'), 0, "$what: mf_worker_status is empty");
	is($node->safe_psql('postgres', "SELECT invoices, due_invoices FROM mf_backlog"), '103|103', "$what: mf_backlog shows the rows");
	my ($query) = slurp_file('monitoring/postgres_exporter.yaml') =~ /^myfatoorah_worker:\n  query: \|\n(.*?)^  metrics:/ms;
	is($node->safe_psql('postgres', "SELECT up, failing, requests_in_flight FROM ($query) q"), '0|0|0', "$what: a monitor sees that there is no worker");
	$node->safe_psql('postgres', "SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'many-100'");
	$node->safe_psql('postgres', 'SELECT mf_pause(); SELECT mf_resume()');
	$node->safe_psql('postgres', "BEGIN; INSERT INTO mf_invoice " . $mf->invoice('prepared') . "; PREPARE TRANSACTION 'p'");
	$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION myfatoorah; DROP EXTENSION myfatoorah');
	$node->safe_psql('postgres', $_)
	  for 'ALTER DATABASE other RENAME TO another', 'CREATE DATABASE copy TEMPLATE another', 'DROP DATABASE another';
	pass("$what: commands about databases work");

	# The line of the hint, as it stands there
	($line) = $err =~ /restart the server: (.*)$/m;
	$node->append_conf('postgresql.conf', $line);
	$node->restart;
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 103);
	is($sandbox->count(path => 'SendPayment'), $before + 1 + 103, "$what: with the line added, what was stored is sent")
	  if $what eq 'nothing preloaded';
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ',') FROM mf_invoice"), 'cancelled,sent',
		"$what: all but what was cancelled");
	is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), $libraries, "$what: nothing else was lost from the list");
	(undef, $out, $err) = $node->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('now'));
	is($err, '', "$what: no more warnings");
	$mf->wait_status($node, 'postgres', 'now');
	is($node->safe_psql('postgres', "SELECT bool_and(ok) FROM mf_check() WHERE item <> 'durability'"), 't',
		"$what: mf_check() is content");
	is_deeply([ $mf->problems($node, 'postgres', $sandbox, others => 1) ], [], "$what: rows, attempts and ledger agree");
	unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, "$what: no process crashed");
	$node->stop;
}

done_testing();
