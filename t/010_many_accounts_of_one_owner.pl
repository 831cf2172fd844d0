# One owner has thousands of accounts, all of them with something due, failing, or waiting for answers that do not come: an
# account of another owner with one due row, or one question, does not wait behind them.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new(args => [ '--quiet' ]);
my $mute = MyFatoorah::Listener->silent;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '500ms'\nmyfatoorah.poll_delay = '1h'\nmyfatoorah.max_in_flight = 100\nmyfatoorah.callback_rate_limit = 60000");
my $db = 'postgres';
my $accounts = 5000;
my $number = 0;

# What a turn and a second look may take on a machine ten times slower. Behind the crowd it would take longer: the time-out of
# its requests is 20 s, and its rows are not all done when a check ends.
my $soon = 15;

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# Seconds from an insertion to its attempt, the longest of five, one after the other
sub longest_send
{
	my $longest = 0;

	for (1 .. 5)
	{
		my $name = 'victim-' . ++$number;

		$mf->insert($node, $db, $name);
		$mf->wait_for($node, $db, "SELECT attempts > 0 FROM mf_invoice WHERE customer_reference = '$name'");
		my $seconds = sql("SELECT extract(epoch FROM a.started_at - i.created_at) FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id
			WHERE i.customer_reference = '$name' AND a.attempt = 1");
		$longest = $seconds if $seconds > $longest;
	}
	return $longest;
}

# Seconds from an order to the answer, likewise, without those that a new session takes
sub longest_question
{
	my $id = sql("SELECT id FROM mf_invoice WHERE customer_reference = 'victim-1'");
	my $session = $mf->session($node, $db);
	my $longest = 0;

	for (1 .. 5)
	{
		my $seconds = $mf->seconds(sub {
			$session->query_safe("SELECT mf_refresh($id)");
			$session->query_safe(qq{DO \$\$ BEGIN WHILE EXISTS (SELECT FROM mf_inquiry WHERE invoice = $id AND urgent) LOOP PERFORM pg_sleep(0.01); END LOOP; END \$\$});
		});
		$longest = $seconds if $seconds > $longest;
	}
	$session->quit;
	return $longest;
}

# insert(n): so many rows for each account of the crowd, due now
sub insert
{
	my ($n) = @_;

	sql("INSERT INTO mf_invoice (account, customer_name, invoice_value, notification_option, customer_reference)
		SELECT 'a' || (1 + n % $accounts), 'x', 1, 'LNK', 'crowd' FROM generate_series(1, $n * $accounts) n");
	return;
}

# check(what, query): an account of another owner is served soon, the crowd being busy before and after, as the query says
sub check
{
	my ($what, $busy) = @_;

	for my $case ([ \&longest_send, 'is sent' ], [ \&longest_question, 'is asked about' ])
	{
		my ($measure, $done) = @$case;

		$mf->wait_for($node, $db, $busy);
		my $seconds = $measure->();
		note(sprintf '%s: %s within %.2f s', $what, $done, $seconds);
		cmp_ok($seconds, '<', $soon, "$what: a row of another owner $done soon");
		is(sql($busy), 't', 'and they are still busy');
	}
	return;
}

$mf->insert($node, $db, 'victim-0');
$mf->wait_status($node, $db, 'victim-0');
# a superuser, because no other owner's accounts lead to this machine
sql('CREATE ROLE mallory SUPERUSER');
$mf->accounts_like($node, $db, 'myfatoorah', [ map { "a$_" } 1 .. $accounts ], role => 'mallory', options => { timeout => '20s' });

# for_each(command): for each account of the crowd
sub for_each
{
	my ($command) = @_;

	sql(qq{DO \$\$ BEGIN FOR n IN 1..$accounts LOOP EXECUTE format('$command', n); END LOOP; END \$\$});
	return;
}

my $waiting = "SELECT count(*) > 1000 FROM mf_queue WHERE account <> 'myfatoorah'";

# They send what they have, and much of it.
insert(8);
check('thousands of accounts send', $waiting);

# They wait for answers, with all the slots that they can get.
sql("SELECT mf_pause('*', 'test')");
for_each("ALTER SERVER a%s OPTIONS (SET base_url ''" . $mute->url . "'')");
sql("SELECT mf_resume('*')");
$mf->wait_for($node, $db, 'SELECT in_flight >= 70 FROM mf_worker_status');
check('thousands of accounts wait for answers', $waiting);
cmp_ok(sql('SELECT in_flight FROM mf_worker_status'), '<', 80, 'some slots are left to others');

# They cannot be reached: all fail, and are tried again all the time.
sql("SELECT mf_pause('*', 'test')");
for_each("ALTER SERVER a%s OPTIONS (SET base_url ''http://127.0.0.1:1'')");
sql("SELECT mf_resume('*')");
check('thousands of accounts fail', $waiting);

# They have no key at all.
sql("SELECT mf_pause('*', 'test')");
for_each('DROP USER MAPPING FOR PUBLIC SERVER a%s');
sql("SELECT mf_resume('*')");
check('thousands of accounts have no key', $waiting);
$node->stop('immediate');
done_testing();
