# MyFatoorah gets no request within a back-off: a Retry-After of zero does not shorten it, nor does a role that changes its user
# mapping. No wait of a process is longer than a day.
use MyFatoorah::Test qw(sql);
use POSIX ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $ask = { path => '/v2/GetPaymentStatus' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '400ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_rate_limit = 0");

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '3s', timeout => '3s' });
$mf->wait_worker($node, 'postgres');

# Seconds between two requests on that path, counted from 0
sub between
{
	my ($path, $from, $to) = @_;
	my @posts = $sandbox->posts($path);

	return ($posts[$to]{wall_us} - $posts[$from]{wall_us}) / 1e6;
}

#
# Retry-After says "now", or names a time past: our own back-off holds, and grows. One request at a time makes a quarter of
# 0.4, 0.8, 1.6 and 3.2 seconds at the least.
#
sql("ALTER SERVER myfatoorah OPTIONS (ADD max_in_flight '1')");
foreach my $value ('0', POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time - 3600)))
{
	my $before = $sandbox->count(%$send);

	$sandbox->faults({ path => 'SendPayment', status => 429, headers => { 'Retry-After' => $value }, times => 4 });
	$mf->insert_many($node, 'postgres', "soon-$value", 20);
	$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'soon-$value-%' AND status = 'sent'", 20);
	is($sandbox->count(%$send), $before + 24, "Retry-After: $value: four requests more than invoices");
	cmp_ok(between($send->{path}, $before, $before + 4), '>=', 1.5, 'and none sooner than our own back-off, which grows');
}

# At look-ups too
my $before = $sandbox->count(%$ask);
$sandbox->faults({ path => 'SendPayment', create => JSON::PP::true, cut_answer_at => 20, times => 1 },
	{ path => 'GetPaymentStatus', status => 429, headers => { 'Retry-After' => '0' }, times => 4 });
$mf->insert($node, 'postgres', 'lost');
$mf->wait_status($node, 'postgres', 'lost');
cmp_ok(between($ask->{path}, $before, $before + 4), '>=', 1.5, 'a look-up that is throttled without a time backs off too');

# Another's success does not shorten what Retry-After asked for.
sql("ALTER SERVER myfatoorah OPTIONS (SET max_in_flight '2')");
$mf->insert_many($node, 'postgres', 'grow', 4);    # the window grows again
$mf->wait_settled($node, 'postgres');
$before = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', contains => 'told-1', status => 429, headers => { 'Retry-After' => '3' }, times => 1 },
	{ path => 'SendPayment', contains => 'told-2', delay_ms => 500, times => 1 });
$mf->insert_many($node, 'postgres', 'told', 3);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'told-%' AND status = 'sent'", 3);
cmp_ok(between($send->{path}, $before, $before + 2), '>=', 3, 'an answer that comes later does not end the time that Retry-After names');

#
# A role that changes its own user mapping over and over again ends no back-off: not within Retry-After, and not of others.
#
sql("CREATE ROLE tenant LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO tenant");
$sandbox->faults({ path => 'SendPayment', contains => 'throttled', status => 429, headers => { 'Retry-After' => '600' }, times => -1 });
$mf->insert($node, 'postgres', 'throttled');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_attempt WHERE outcome = 'throttled' AND invoice = (SELECT id FROM mf_invoice WHERE customer_name = 'throttled')", 1);
$mf->wait_idle($node, 'postgres');
$before = $sandbox->count;
for (1 .. 5)
{
	$node->safe_psql('postgres', "CREATE USER MAPPING FOR tenant SERVER myfatoorah OPTIONS (api_key '12345678');
		ALTER USER MAPPING FOR tenant SERVER myfatoorah OPTIONS (SET api_key '87654321');
		DROP USER MAPPING FOR tenant SERVER myfatoorah;" x 5, extra_params => [ '-U', 'tenant' ]);
	sql("CREATE SERVER IF NOT EXISTS another FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT');
		ALTER SERVER myfatoorah OPTIONS (SET timeout '${_}s')");
	$mf->wait_idle($node, 'postgres');
}
is($sandbox->count, $before, 'no request within Retry-After, whatever happens to servers and user mappings');
$sandbox->clear_faults;
sql("ALTER SERVER myfatoorah OPTIONS (SET timeout '3s'); SELECT mf_resume('myfatoorah')");
$mf->wait_status($node, 'postgres', 'throttled');

# What it does wake are its own rows that had no key.
$mf->setup_account($node, 'postgres', $sandbox, account => 'lacking', options => { own_mappings => 'on' });
sql("DROP USER MAPPING FOR PUBLIC SERVER lacking; GRANT USAGE ON FOREIGN SERVER lacking TO tenant");
$mf->insert($node, 'postgres', 'lacks 1', account => "'lacking'");
$node->safe_psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('lacks 2', account => "'lacking'"), extra_params => [ '-U', 'tenant' ]);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_queue WHERE account = 'lacking' AND lookups > 0", 2);
$node->safe_psql('postgres', "CREATE USER MAPPING FOR tenant SERVER lacking OPTIONS (api_key '" . $sandbox->key . "')", extra_params => [ '-U', 'tenant' ]);
$mf->wait_status($node, 'postgres', 'lacks 2');
is(sql("SELECT lookups, due > now() FROM mf_queue WHERE account = 'lacking'"), '1|t', "a new user mapping wakes the rows of its role, and no other's");
$mf->write_key($node, $sandbox->key, 'lacking.key');
sql("CREATE USER MAPPING FOR PUBLIC SERVER lacking OPTIONS (api_key_file 'lacking.key')");
my $seconds = $mf->seconds(sub { $mf->wait_status($node, 'postgres', 'lacks 1') });
cmp_ok($seconds, '<', 45, "PUBLIC's wakes all that had none");

#
# Due in thirty days: the worker's wait is of a day at most, and so it does come back. Linux shows what a process waits for.
#
SKIP:
{
	my ($timeout, @waits);

	# number, then the arguments of epoll_wait(): descriptor, events, their number, time-out
	sub timeout_of_wait
	{
		my ($pid) = @_;
		open(my $file, '<', "/proc/$pid/syscall") or return;
		my (undef, @arguments) = split ' ', <$file> // '';

		return @arguments > 4 ? unpack('l', pack('L', hex($arguments[3]) & 0xffffffff)) : undef;
	}

	$mf->insert($node, 'postgres', 'in a month', send_at => "now() + interval '30 d'");
	$mf->wait_idle($node, 'postgres');
	foreach my $pid ($mf->worker_pid($node, 'postgres'), $mf->launcher_pid($node))
	{
		$timeout = timeout_of_wait($pid);
		push @waits, $timeout if defined $timeout;
	}
	skip 'what a process waits for cannot be seen here', 1 if @waits < 2;
	is(scalar(grep { $_ > 0 && $_ <= 86_400_000 } @waits), 2, "a worker waits for a day at most (@waits)");
}

#
# What a database or a trigger sets changes nothing about how the worker works.
#
my %hostile = (
	default_transaction_read_only => 'on', default_transaction_isolation => 'serializable', exit_on_error => 'on',
	statement_timeout => '1', lock_timeout => '1', transaction_timeout => '1', idle_session_timeout => '1',
	idle_in_transaction_session_timeout => '1', search_path => 'pg_temp', row_security => 'on',
	standard_conforming_strings => 'off', transform_null_equals => 'on', synchronous_commit => 'off',
	temp_tablespaces => '""', timezone => 'Asia/Kuwait', datestyle => 'German, DMY');
# PostgreSQL 19 has standard literals only
my $literals = sql('SHOW server_version_num') < 190000;
delete $hostile{standard_conforming_strings} unless $literals;
my @known = grep { $hostile{$_} } split /\n/, sql('SELECT lower(name) FROM pg_settings');
my $pid = $mf->worker_pid($node, 'postgres');
$node->safe_psql('template1', join ';', map { "ALTER DATABASE postgres SET $_ = '$hostile{$_}'" } @known);
$node->safe_psql('template1', "SELECT pg_terminate_backend($pid)");
$node->poll_query_until('template1', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND pid <> $pid AND wait_event IS NOT NULL", '1')
  or die "no new worker\n";
$node->safe_psql('template1', join ';', map { "ALTER DATABASE postgres RESET $_" } @known);
$pid = $mf->wait_worker($node, 'postgres');

# transaction_timeout counts at once: a trigger that sets it ends the session, as pg_terminate_backend() would.
my $calls = join ', ', map { "set_config('$_', '$hostile{$_}', false)" } grep { $_ ne 'transaction_timeout' } @known;
sql("CREATE FUNCTION hostile() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
	IF NEW.customer_name = 'poison' AND NEW.status = 'sending' THEN RAISE 'poison'; END IF;
	PERFORM $calls; RETURN NEW; END \$\$;
	CREATE TRIGGER hostile AFTER UPDATE ON mf_invoice FOR EACH ROW EXECUTE FUNCTION hostile();
	CREATE CONSTRAINT TRIGGER hostile_late AFTER UPDATE ON mf_invoice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hostile()");
$mf->insert($node, 'postgres', 'poison');
foreach my $name (map { "hostile $_" } 1 .. 3)
{
	$mf->insert($node, 'postgres', $name);
	$mf->wait_status($node, 'postgres', $name);
}
is($mf->worker_pid($node, 'postgres'), $pid, 'settings of the database and of triggers end no worker, and delay nothing');
is(($node->psql('postgres', ($literals ? 'SET standard_conforming_strings = off; ' : '') . 'SELECT count(*) FROM mf_check()'))[2], '', 'nor does a session that reads literals the old way say anything of ours');
is($mf->status($node, 'postgres', 'poison'), 'queued', 'a row that cannot be written fails alone');
sql('DROP FUNCTION hostile CASCADE; SELECT mf_resume()');
$mf->wait_status($node, 'postgres', 'poison');

is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
