# The API key is found nowhere: not in the log at its most talkative, not in the statistics, the tables, a dump or the
# text of an error, whatever happens, be it that the remote itself says the key back. Nor does a customer's data come from an
# answer into the log or an error.
use MyFatoorah::Test;
use MyFatoorah::Chaos;

my $mf = 'MyFatoorah::Cluster';
my $key = 'SK_KWT_Xq7Zr9TopSecretKeyOfTheTest0123456789';
my $next = 'SK_KWT_Wm4Kd2NextSecretKeyOfTheTest9876543210';
my $wrong = 'SK_KWT_Pv8Ls6WrongSecretKeyOfTheTest5555555555';
my @secrets = ($key, $next, $wrong);
my $sandbox = MyFatoorah::Sandbox->new(key => $key, args => [ '--key', "$next=KWT" ]);
my $elsewhere = MyFatoorah::Sandbox->new(key => $key);
my $send = { path => '/v2/SendPayment' };
my $silent = MyFatoorah::Listener->silent;
my $node = $mf->new_node('main', conf => <<'CONF');
log_min_messages = debug5
log_error_verbosity = verbose
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
track_activity_query_size = 16kB
myfatoorah.retry_delay = '50ms'
myfatoorah.lookup_delay = '500ms'
CONF

# Everything that a client was told, and errors alone
my $heard = '';
my $errors = '';

# The customer of all invoices that are made from now on
my %customer = (customer_name => 'direct');

sub hear
{
	my ($sql, %params) = @_;
	my (undef, $out, $err) = $node->psql($params{dbname} // 'postgres', $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose', @{ $params{options} // [] } ]);

	$heard .= "$out\n$err\n";
	$errors .= "$err\n";
	return "$out\n$err";
}

# The names of the secrets in a text
sub found
{
	my ($text) = @_;

	return grep { index($text, $_) >= 0 || index($text, substr($_, 7, 20)) >= 0 } @secrets;
}

# Looks everywhere where a key could be.
sub nowhere
{
	my ($when) = @_;
	my %place = (
		'what clients were told' => $heard,
		'pg_stat_activity' => $node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity'),
		'mf_worker_stat()' => $node->safe_psql('postgres', 'SELECT * FROM mf_worker_stat()'),
		'the settings' => $node->safe_psql('postgres', 'SELECT * FROM pg_settings; SELECT * FROM pg_file_settings'));
	my @tables = split /\n/, $node->safe_psql('postgres', "SELECT c.oid::regclass FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		WHERE e.extname = 'myfatoorah' AND c.relkind IN ('r', 'v') ORDER BY 1");

	cmp_ok(scalar @tables, '>=', 8, "$when: the extension has tables and views");
	$place{"table $_"} = $node->safe_psql('postgres', "COPY (SELECT * FROM $_) TO STDOUT") for @tables;
	foreach my $command ('pg_dump', 'pg_dumpall')
	{
		my ($out, $err);

		IPC::Run::run([ $node->installed_command($command), '-d', $node->connstr('postgres') ], '>', \$out, '2>', \$err)
		  or die "$command: $err\n";
		like($out, qr/before/, "$when: $command has the rows");
		$place{$command} = "$out$err";
	}
	foreach my $pid (split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity'))
	{
		# one that ends meanwhile has none
		$place{'a command line'} .= eval { slurp_file("/proc/$pid/$_") } // '' for 'cmdline', 'environ';
	}
	$place{'the server log'} = slurp_file($node->logfile);
	like($place{'the server log'}, qr/DEBUG:.*rewritten parse tree/s, "$when: the log is talkative");
	is(join(', ', grep { found($place{$_}) } sort keys %place), '', "$when: no key anywhere");
	return;
}

# The check itself finds what it looks for.
is_deeply([ found("Bearer $next\n") ], [$next], 'a key would be found');

$mf->setup_account($node, 'postgres', $sandbox);
$mf->setup_account($node, 'postgres', $sandbox, account => 'wrong_key');
$mf->write_key($node, $wrong, 'wrong_key.key');
$mf->setup_account($node, 'postgres', $sandbox, account => 'refused', options => { base_url => MyFatoorah::Listener->refusing->url });
$mf->setup_account($node, 'postgres', $sandbox, account => 'tls', options => { base_url => $silent->url('https'), connect_timeout => '300ms' });
$mf->setup_account($node, 'postgres', $sandbox, account => 'mute', options => { timeout => '300ms' });
$mf->setup_account($node, 'postgres', $sandbox, account => $_) for 'readable', 'two_lines', 'missing', 'rotated';
chmod 0644, $node->data_dir . '/readable.key';
$mf->write_key($node, "$key and $next", 'two_lines.key');
unlink $node->data_dir . '/missing.key';
my @accounts = split /\n/, $node->safe_psql('postgres', 'SELECT srvname FROM pg_foreign_server ORDER BY 1');
$mf->wait_worker($node, 'postgres');

#
# Answers of every kind, and such as say back what they were sent, as gateways and debugging pages do
#
my @answers = (
	(map { { shape => $_ } } 1 .. 11),
	{ status => 500, body => 'oops' },
	{ status => 429, shape => 11, headers => { 'Retry-After' => '1' } },
	{ status => 302, headers => { Location => $elsewhere->url . '/v2/SendPayment' } },
	{ status => 307, headers => { Location => $elsewhere->url . '/v2/SendPayment' } },
	{ never => JSON::PP::true },
	{ cut_answer_at => 40 },
	{ reset_answer_at => 0 });
my @saying_back = (
	{ status => 400, body => { IsSuccess => JSON::PP::false, Message => "The token $key is not valid here",
			ValidationErrors => [ { Name => 'Authorization', Error => "Bearer $key" } ], Data => undef } },
	{ status => 401, body => { IsSuccess => JSON::PP::false, Message => "Bearer $key is unknown" } },
	{ status => 500, content_type => 'text/html', body => "<html>POST /v2/SendPayment\nAuthorization: Bearer $key\n</html>" },
	{ status => 200, body => "Authorization: Bearer $key" },
	{ status => 429, body => "Bearer $key: too many", headers => { 'Retry-After' => "Bearer $key" } },
	{ status => 302, headers => { Location => "http://127.0.0.1/?token=$key" }, body => "see ?token=$key" },
	{ status => 200, content_type => "text/$key", body => 'x' },
	{ raw => "HTTP/1.1 200 Bearer $key\r\nContent-Length: 2\r\n\r\n{}" },
	{ raw => "Bearer $key\r\n\r\n" });

# All of these answers to direct calls, of each function
sub call_with
{
	my $customer = join ', ', map { "$_ => '$customer{$_}'" } sort keys %customer;

	foreach my $answer (@_)
	{
		my $account = $answer->{never} ? 'mute' : 'myfatoorah';

		foreach my $case ([ SendPayment => "mf_send_payment($customer, invoice_value => 1.5, account => '$account')" ],
			[ GetPaymentStatus => "mf_payment_status('1', 'InvoiceId', '$account')" ],
			[ GetPaymentStatus => "mf_payment_transactions('1', 'InvoiceId', '$account')" ],
			[ GetPaymentStatus => "mf_check('$account')" ],
			[ ExecutePayment => "mf_execute_payment($customer, invoice_value => 1.5, payment_method_id => 2, account => '$account')" ],
			[ GetRecurringPayment => "mf_recurring('$account')" ],
			[ CancelRecurringPayment => "mf_cancel_recurring('RECUR1', '$account')" ],
			[ ResumeRecurringPayment => "mf_resume_recurring('RECUR1', '$account')" ],
			[ InitiatePayment => "mf_payment_methods(1, account => '$account')" ],
			[ GetCurrenciesExchangeList => "mf_exchange_rates('$account')" ],
			[ GetSuppliers => "mf_suppliers('$account')" ],
			[ GetDepositedInvoices => "mf_read_deposit('2025000006', '$account')" ],
			[ '/v3/payments' => "mf_probe_idempotency('$account')" ])
		{
			$sandbox->faults({ %$answer, path => $case->[0], times => 1 });
			hear("SELECT * FROM $case->[1]");
		}
		$sandbox->clear_faults;
	}
	return;
}

# All of these answers to the worker, one after the other
sub send_with
{
	my %columns = map { $_ => "'$customer{$_}'" } keys %customer;

	foreach my $answer (@_)
	{
		my $before = $sandbox->count(%$send);
		my $account = $answer->{never} ? 'mute' : 'myfatoorah';

		$sandbox->faults({ %$answer, path => 'SendPayment', times => 1 });
		$mf->insert($node, 'postgres', "answer $before", %columns, account => "'$account'");
		# earlier answers, to other requests, may have made the account back off
		$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference = 'answer $before' AND attempts = 0");
		$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_attempt WHERE finished_at IS NULL", 0);
		hear("SELECT mf_resume('$account')");

		# A success in between, or the waits after failures in a row would grow and grow.
		$mf->insert($node, 'postgres', "after $before", account => "'$account'");
		$mf->wait_status($node, 'postgres', "after $before");
	}
	return;
}

# Waits until that counts none, while somebody says that all is well again
sub wait_none
{
	my ($query) = @_;

	return $mf->wait_for($node, 'postgres', "SET client_min_messages = warning; SELECT ($query) FROM mf_resume('mute')", 0);
}

# All of these answers to what the worker does about money that has come in: refunds and captures, and questions about refunds and plans
sub settle_with
{
	my $turn = 'money ' . $sandbox->count;
	my %columns = (account => q{'mute'}, map { $_ => "'$customer{$_}'" } keys %customer);

	for my $n (0 .. $#_)
	{
		$mf->insert($node, 'postgres', "$turn MakeRefund $n", %columns);
		$mf->insert($node, 'postgres', "$turn UpdatePaymentStatus $n", %columns, processing_details => q('{"AutoCapture": false}'));
	}
	$mf->insert($node, 'postgres', "$turn plan", %columns, payment_method_id => 2, recurring_type => q{'Daily'}, iteration => 0, retry_count => 2);
	wait_none("SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE '$turn%' AND status <> 'sent'");
	foreach (split /\n/, $node->safe_psql('postgres', "SELECT invoice_id, customer_reference FROM mf_invoice WHERE customer_reference ~ '^$turn .* \\d+\$'"))
	{
		my ($number, $call, $n) = /^(\d+)\|$turn (\w+) (\d+)$/;

		$sandbox->invoice($number, $call eq 'MakeRefund' ? 'pay' : 'authorize');
		$sandbox->faults({ %{ $_[$n] }, path => $call, contains => $number, times => 1 });
		$sandbox->faults({ %{ $_[$n] }, path => 'GetRefundStatus', contains => $number, times => 1 }) if $call eq 'MakeRefund';
	}
	$node->safe_psql('postgres', "SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference LIKE '$turn%'");
	wait_none("SELECT count(*) FROM mf_invoice WHERE customer_reference ~ '^$turn .* \\d+\$' AND payment_status NOT IN ('paid', 'authorized')");
	$node->safe_psql('postgres', "INSERT INTO mf_refund (invoice, value) SELECT id, 1 FROM mf_invoice WHERE customer_reference LIKE '$turn MakeRefund%';
		SELECT mf_capture(id) FROM mf_invoice WHERE customer_reference LIKE '$turn UpdatePaymentStatus%'");
	wait_none(q{SELECT count(*) FROM mf_operation WHERE status IN ('queued', 'sending')});
	foreach my $answer (@_)
	{
		my $before = $sandbox->count(path => '/v2/GetRecurringPayment');

		$sandbox->faults({ %$answer, path => 'GetRecurringPayment', times => 1 });
		# An answer to the one before may still make it due later.
		MyFatoorah::Chaos->until_true('a question about plans', sub {
			$node->safe_psql('postgres', q{SET client_min_messages = warning; UPDATE mf_event SET due = now(), lookups = 0 WHERE source = 'plan' AND due IS NOT NULL; SELECT mf_resume('mute')});
			return $sandbox->wait_count({ path => '/v2/GetRecurringPayment' }, $before + 1, 0.5);
		});
	}
	return;
}

call_with(@answers);
send_with(@answers);

# By accounts that cannot be used
foreach my $account (@accounts)
{
	hear("SELECT mf_send_payment('direct', 1.5, account => '$account')");
	hear("SELECT * FROM mf_check('$account')");
}

# A key file rotated under way, in use by a session and by the worker
my $session = $mf->session($node, 'postgres');
$session->query_safe("SELECT mf_send_payment('direct', 1.5, account => 'rotated')");
$mf->insert($node, 'postgres', 'before', account => "'rotated'");
$mf->wait_status($node, 'postgres', 'before');
$mf->write_key($node, $next, 'rotated.key');
$session->query_safe("SELECT mf_send_payment('direct', 1.5, account => 'rotated')");
$mf->insert($node, 'postgres', 'rotated', account => "'rotated'");
$mf->wait_status($node, 'postgres', 'rotated');
$session->quit;

# Accounts that cannot be used, by the worker: each row gets its error or its answer.
$mf->insert($node, 'postgres', "by $_", account => "'$_'") for @accounts;
ok($node->poll_query_until('postgres', "SELECT count(*) FROM mf_invoice
	WHERE customer_reference LIKE 'by %' AND last_error IS NULL AND status <> 'sent'", 0),
	'every account had its turn');

# Words of ours about options: the key may stand in the statement, which PostgreSQL itself then logs; our messages must
# not repeat it. These keys are not among those looked for in the log.
my $literal = 'SK_KWT_LiteralKeyInAStatement';
foreach my $sql (
	"CREATE USER MAPPING FOR CURRENT_USER SERVER myfatoorah OPTIONS (api_key '$literal with spaces')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER myfatoorah OPTIONS (api_key '$literal', api_key_file 'x')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER myfatoorah OPTIONS (api_kez '$literal')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER myfatoorah OPTIONS (webhook_secret '$literal with spaces')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER myfatoorah OPTIONS (api_key '" . ("$literal" x 200) . "')",
	"ALTER SERVER myfatoorah OPTIONS (ADD api_key '$literal')")
{
	my (undef, undef, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my @ours = grep { /ERROR|DETAIL|HINT|CONTEXT|WARNING/ } split /\n/, $err;

	ok(@ours && !grep({ /LiteralKey/ } @ours), 'refused without repeating it: ' . $sql =~ s/$literal/.../gr =~ s/(.{100}).*/$1/r);
}

$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sending'", 0);
nowhere('whatever happened');
call_with(@saying_back);
send_with(@saying_back);
settle_with(@saying_back, { never => JSON::PP::true }, { shape => 8 });
nowhere('when the remote said it back');

#
# Answers with a customer's data, in a log that has no statements: only words of MyFatoorah's own are passed on.
#
%customer = (customer_name => 'Zubayda Marker', customer_email => 'zubayda@marker.example', customer_mobile => '55512399');
my $data = q{"CustomerName":"Zubayda Marker","CustomerEmail":"zubayda@marker.example","CustomerMobile":"55512399"};
my @about_customers = (
	{ status => 200, body => qq({"IsSuccess":true,"Message":"","ValidationErrors":null,"Data":{"InvoiceId":1,$data,"Invoi) },
	{ status => 500, body => qq(  {"IsSuccess":true,"Data":{$data,"RecurringPayment":[{"RecurringInvoices":[{$data}) },
	{ status => 200, body => qq([{$data},]) },
	{ status => 200, body => qq({"IsSuccess":true,"Message":"","Data":{$data,"InvoiceId":"none","RefundId":"none","RecurringPayment":[{$data}]}}) },
	{ status => 400, body => qq({"IsSuccess":false,"Message":"","Data":{$data}}) },
	{ cut_answer_at => 200 });

sub about_customers
{
	my ($text) = @_;

	return join ', ', grep { index($text, $_) >= 0 } sort values %customer;
}

$node->safe_psql('postgres', "ALTER SYSTEM SET $_") for 'log_statement = none', 'log_min_duration_statement = -1', 'log_min_error_statement = panic', 'debug_print_parse = off',
  'debug_print_rewritten = off', 'debug_print_plan = off', 'log_parameter_max_length_on_error = 0';
$node->reload;
$mf->wait_for($node, 'postgres', 'SHOW log_statement', 'none');
$errors = '';
my $log = -s $node->logfile;
call_with(@about_customers);
send_with(@about_customers);
settle_with(@about_customers);
is(about_customers($errors), '', 'no error has data of a customer');
is(about_customers(slurp_file($node->logfile, $log)), '', 'nor has the log');
$sandbox->faults({ path => 'GetSuppliers', status => 400, body => { IsSuccess => JSON::PP::false, Message => 'Zubayda Marker is blocked' } });
like(hear('SELECT * FROM mf_suppliers()'), qr/DETAIL:.*Zubayda Marker is blocked/, 'which would be found: words of MyFatoorah are passed on');
like(about_customers(slurp_file($node->logfile, $log)), qr/Zubayda/, 'in the log, too');

#
# The owner of a server who is no superuser cannot have a superuser's key file read to an address of theirs.
#
$node->safe_psql('postgres', q{CREATE ROLE vendor LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN DATA WRAPPER myfatoorah TO vendor;
	SET ROLE vendor; CREATE SERVER vendors FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', environment 'test');
	RESET ROLE; CREATE USER MAPPING FOR PUBLIC SERVER vendors OPTIONS (api_key_file 'myfatoorah.key')});
my $redirect = q{SET ROLE vendor; ALTER SERVER vendors OPTIONS (ADD base_url '} . $elsewhere->url . q{');};
like(($node->psql('postgres', $redirect))[2], qr/ERROR:  permission denied to set option "base_url"\nDETAIL:  A user mapping of server "vendors" has its key in a file/,
	'while a user mapping has a key file, the owner of the server cannot set base_url');
unlike(($node->psql('postgres', 'SET ROLE myfatoorah_submit; ' . $redirect =~ s/SET ROLE vendor; //r))[2], qr/key in a file/, 'nobody else learns whether one has');
$node->safe_psql('postgres', q{DROP USER MAPPING FOR PUBLIC SERVER vendors; } . $redirect
	  . q{ RESET ROLE; CREATE USER MAPPING FOR PUBLIC SERVER vendors OPTIONS (api_key_file 'myfatoorah.key')});
my (undef, undef, $vendor_error) = $node->psql('postgres', q{SET ROLE vendor; SELECT mf_send_payment('x', 1, account => 'vendors')});
like($vendor_error, qr/the key file of account "vendors" is not used with a base_url of its owner/, 'base_url of the owner: the key stays here');
is($node->safe_psql('postgres', q{SET ROLE vendor; SELECT ok, regexp_replace(detail, 'http://[^ ]+', 'there') FROM mf_check('vendors') WHERE item IN ('account', 'network', 'key')}),
	'f|"vendors" is for there in KWD, time zone Asia/Kuwait, but nothing can be sent with the key of role "vendor": the key file of account "vendors" is not used with a base_url of its owner: '
	  . 'The owner of the server is not a superuser, and a key that a superuser has put into a file goes to MyFatoorah only.', 'mf_check() says that nothing can be sent, and why');
$mf->insert($node, 'postgres', 'vendors', account => "'vendors'");
$mf->wait_for($node, 'postgres', q{SELECT last_error ~ 'is not used with a base_url' FROM mf_invoice WHERE customer_reference = 'vendors'});
is($elsewhere->count, 0, 'nothing leaves');
$node->safe_psql('postgres', q{ALTER SERVER vendors OPTIONS (SET base_url '} . $sandbox->url . q{'); ALTER SERVER vendors OWNER TO CURRENT_USER; SELECT mf_resume('vendors')});
$mf->wait_status($node, 'postgres', 'vendors');
pass('a superuser may say where it is');

#
# Nobody but a superuser learns where the data directory is, nor what listens on this machine.
#
$node->safe_psql('postgres', q{CREATE ROLE clerk IN ROLE myfatoorah_submit, myfatoorah_read; GRANT USAGE ON FOREIGN SERVER readable, two_lines, missing TO clerk});
my $told = '';
foreach my $account ('readable', 'two_lines', 'missing')
{
	$told .= join ' ', $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE clerk; SELECT * FROM $_")
	  for "mf_send_payment('x', 1, account => '$account')", "mf_check('$account')";
}
$told .= $node->safe_psql('postgres', "SET ROLE clerk; TABLE $_")
  for 'mf_invoice', 'mf_attempt', 'mf_history', 'mf_account', 'mf_identity', 'mf_worker_status', 'mf_listener_status', 'mf_review';
like($told, qr/the file of option "api_key_file"/, 'errors name the option');
unlike($told, qr/\Q${\$node->data_dir}\E/, 'and not the directory');
like(($node->psql('postgres', q{SELECT mf_send_payment('x', 1, account => 'missing')}))[2], qr/\Q${\$node->data_dir}\E/, 'superusers are told it');

my ($open, $closed) = map { m{:(\d+)$} } $elsewhere->url, MyFatoorah::Listener->refusing->url;
my %told;
foreach my $place ([ "http://127.0.0.1:$open", "http://127.0.0.1:$closed" ], [ "https://localhost:$open", "https://localhost:$closed" ], [ "http://[::1]:$open", "http://[::1]:$closed" ],
	[ "http://127.0.0.2:$open", "http://127.0.0.2:$closed" ])
{
	my @answers;

	foreach my $url (@$place)
	{
		$node->safe_psql('postgres', qq{SET ROLE vendor; CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url '$url');
			CREATE USER MAPPING FOR vendor SERVER probe OPTIONS (api_key 'a-key-of-the-vendor')});
		my $answer = join ' ', $node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE vendor; SELECT mf_send_payment('x', 1, account => 'probe', customer_reference => 'r')");
		$answer .= $node->safe_psql('postgres', q{SET ROLE vendor; SELECT item, ok, detail FROM mf_check('probe') WHERE item IN ('account', 'network', 'key')});
		push @answers, $answer =~ s/:(?:$open|$closed)\b/:port/gr =~ s/\d+\.\d s\b/N s/gr;
		$node->safe_psql('postgres', 'DROP SERVER probe CASCADE');
	}
	is($answers[0], $answers[1], "an account of a user who is no superuser does not tell open from closed ports: $place->[0]");
	like($answers[0], qr/it is on the machine of the database, where only accounts of superusers may lead/, 'because neither is tried');
}

# Nor does anybody but the owner of the server and those who may read everything learn how the network fails: whether a
# name is known, a port is open or closed, or somebody else answers there.
$node->safe_psql('postgres', q{CREATE ROLE teller IN ROLE myfatoorah_submit; CREATE ROLE auditor IN ROLE myfatoorah_read, myfatoorah_submit});
my %shown;
foreach my $place ([ 'a closed port', MyFatoorah::Listener->refusing->url, qr/could not connect to/ ],
	[ 'a silent one', $silent->url('https'), qr/TLS handshake/ ],
	[ 'an unknown name', 'https://mf.invalid', qr/could not look up|the name lookup/ ])
{
	my ($what, $url, $details) = @$place;

	$node->safe_psql('postgres', qq{CREATE SERVER probe FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url '$url', connect_timeout '1s');
		CREATE USER MAPPING FOR PUBLIC SERVER probe OPTIONS (api_key 'a-key-of-somebody'); GRANT USAGE ON FOREIGN SERVER probe TO teller, auditor});
	foreach my $role ('teller', 'auditor')
	{
		my $name = "$role: $what";
		my $answer = join "\n", map { ($node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE $role; SELECT * FROM $_"))[2] }
		  "mf_send_payment('x', 1, account => 'probe', customer_reference => 'r')", "mf_payment_status('1', account => 'probe')";

		$answer .= "\ncheck: " . $node->safe_psql('postgres', "SET ROLE $role; SELECT item, ok, detail, hint FROM mf_check('probe') WHERE item = 'network'");
		$node->safe_psql('postgres', "SET ROLE $role; INSERT INTO mf_invoice " . $mf->invoice($name, account => "'probe'"));
		# a row that is sent again has no error meanwhile; the pause may come while that begins
		$mf->wait_for($node, 'postgres', "SELECT attempts > 0 FROM mf_invoice WHERE customer_reference = '$name'");
		$node->safe_psql('postgres', q{SELECT mf_pause('probe', 'look')});
		$mf->wait_idle($node, 'postgres');
		$mf->wait_for($node, 'postgres', "SELECT last_error IS NOT NULL FROM mf_invoice WHERE customer_reference = '$name'");
		$answer .= "\nrow: " . $node->safe_psql('postgres', "SET ROLE $role; SELECT last_error FROM mf_invoice WHERE customer_reference = '$name'");
		$shown{$role}{$what} = $answer =~ s/psql:<stdin>:\d+: //gr =~ s/LOCATION: .*//gr;
		like($node->safe_psql('postgres', "SELECT a.error FROM mf_attempt a JOIN mf_invoice i ON i.id = a.invoice WHERE customer_reference = '$name'"), $details,
			"$what: mf_attempt has the details");
		$node->safe_psql('postgres', "SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = '$name'; SELECT mf_resume('probe')");
	}
	is($shown{teller}{$what}, $shown{teller}{'a closed port'}, "who only submits cannot tell $what from a closed port");
	is(scalar(() = $shown{auditor}{$what} =~ /$details/g), 3, 'who may read everything is told');
	like(slurp_file($node->logfile), qr/DETAIL:  .*$details/, 'and so is the log');
	$node->safe_psql('postgres', 'DROP SERVER probe CASCADE');
}
like($shown{teller}{'a closed port'}, qr/ERROR:  08001: could not reach .*\nDETAIL:  the request could not be sent to MyFatoorah\nHINT:  Nothing was sent; the call can be repeated/,
	'but all are told what they may do');
like($shown{teller}{'a closed port'}, qr/which owns the server of the account, and members of "myfatoorah_read" see the details/, 'and whom to ask');
like($shown{teller}{'a closed port'}, qr/^row: the request could not be sent to MyFatoorah$/m, 'also in the row');
$node->stop;

# The key goes where it belongs and nowhere else.
my @ledger = $sandbox->ledger(limit => 100000);
is(scalar(grep { $_->{key_elsewhere} } @ledger), 0, 'the key was sent in the Authorization header only');
cmp_ok(scalar(grep { ($_->{authorization} // '') eq 'accepted' } @ledger), '>', 50, 'where it was taken');
is($elsewhere->count, 0, 'no redirect was followed');

done_testing();
