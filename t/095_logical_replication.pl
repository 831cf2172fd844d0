# Logical replication: the publisher sends, and the subscriber nothing, until the switch-over is done and an operator says so.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'";
my %quick = (options => { connect_timeout => '500ms', timeout => '1s' });
my $send = { path => '/v2/SendPayment' };
my $ask = { path => '/v2/GetPaymentStatus' };
my $from = $mf->new_node('publisher', conf => $conf, init => { allows_streaming => 'logical' });
my $to = $mf->new_node('subscriber', conf => "$conf\nlog_min_messages = log", init => { allows_streaming => 'logical' });

# The worker of that server has looked at everything: a round has ended that began after what we did.
sub wake
{
	my ($node) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT transactions FROM mf_worker_status');

	$node->safe_psql('postgres', q{SELECT mf_resume('myfatoorah')});
	$mf->wait_for($node, 'postgres', "SELECT transactions > $before FROM mf_worker_status");
	$mf->wait_idle($node, 'postgres');
	return;
}

sub replicated
{
	$from->wait_for_catchup('sub');
	return;
}

$mf->setup_account($_, 'postgres', $sandbox, %quick) for $from, $to;
$mf->wait_worker($_, 'postgres') for $from, $to;

# Some are sent, some wait for their time, some for a person when the replication begins.
$mf->insert_many($from, 'postgres', 'early', 5);
$mf->wait_settled($from, 'postgres');
$mf->insert_many($from, 'postgres', 'waiting', 5, send_at => "now() + interval '1 h'");
$from->safe_psql('postgres', 'CREATE PUBLICATION pub FOR ALL TABLES');
$to->safe_psql('postgres', sprintf "CREATE SUBSCRIPTION sub CONNECTION 'host=%s port=%s dbname=postgres' PUBLICATION pub", $from->host, $from->port);
$to->wait_for_subscription_sync($from, 'sub');
is($to->safe_psql('postgres', 'SELECT count(*) FROM mf_queue'), 5, 'the agenda is replicated too');

# Paused at the publisher, so that what is due is due on both sides
$from->safe_psql('postgres', q{SELECT mf_pause('myfatoorah')});
$mf->insert_many($from, 'postgres', 'due', 10);
replicated();
my ($sent, $asked) = map { $sandbox->count(%$_) } $send, $ask;
is($to->safe_psql('postgres', q{SELECT count(*) FROM mf_queue WHERE kind = 'send' AND due <= now()}), 10, 'ten rows are due at the subscriber');
$to->safe_psql('postgres', q{DELETE FROM mf_account WHERE account = 'myfatoorah'});
wake($to);
is($sandbox->count(%$send), $sent, 'woken, the subscriber sends nothing');
my $pid = $mf->worker_pid($to, 'postgres');
$to->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$mf->wait_worker($to, 'postgres', not => $pid);
wake($to);
is($sandbox->count(%$send), $sent, 'nor does a new worker');
is($sandbox->count(%$ask), $asked, 'and it asks nothing');
like($to->safe_psql('postgres', q{SELECT reason FROM mf_account WHERE account LIKE '* (subscriber %)' AND paused_at IS NOT NULL}), qr/subscription/, 'mf_account says why');
like($to->safe_psql('postgres', q{SELECT ok, detail FROM mf_check() WHERE item = 'copy'}), qr/^f\|Subscription "sub"/, 'mf_check() too');
like($to->safe_psql('postgres', q{SELECT ok, detail FROM mf_check() WHERE item = 'sending'}), qr/^f\|This database sends nothing/, 'nor does it say that all is well with sending');
my ($result, $out, $error) = $to->psql('postgres', q{SELECT mf_resume('*')});
like($error, qr/drop the subscription/, 'mf_resume() refuses as long as there is the subscription');

# A resumption at the publisher is replicated, and resumes nothing here.
$from->safe_psql('postgres', q{SELECT mf_pause('*'); SELECT mf_resume('*'); SELECT mf_resume('myfatoorah')});
$mf->wait_for($from, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE customer_name LIKE 'due-%' AND status = 'sent'}, 10);
replicated();
wake($to);
is($to->safe_psql('postgres', q{SELECT count(*) FROM mf_account WHERE account LIKE '* (subscriber %)' AND paused_at IS NOT NULL}), 1, 'a resumption at the publisher resumes nothing here');
is($sandbox->count(%$send), $sent + 10, 'the publisher has sent, the subscriber has not');
is($to->safe_psql('postgres', q{SELECT count(*) FROM mf_invoice WHERE customer_name LIKE 'due-%' AND status = 'sent'}), 10, 'and knows that they were sent');

# The switch-over. One row is sent by the publisher after replication has ended: it is looked up here, and found.
$mf->insert_many($from, 'postgres', 'open', 3, send_at => "now() + interval '1 h'");
$from->safe_psql('postgres', q{SELECT mf_read_deposit('1')});
$mf->insert($from, 'postgres', 'last', send_at => "now() + interval '1 h'");
replicated();
$to->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE)');
$from->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE customer_name = 'last'});
$mf->wait_status($from, 'postgres', 'last');
$from->stop;

# Dropped, but not resumed: all is paused, and even if it were not, rows of another database are not sent.
($sent, $asked) = map { $sandbox->count(%$_) } $send, $ask;
$to->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
wake($to);
like($to->safe_psql('postgres', q{SELECT reason FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL}), qr/entries of another database/,
	'after DROP SUBSCRIPTION all accounts are paused');
$to->safe_psql('postgres', 'DELETE FROM mf_account; DELETE FROM mf_home WHERE here <> mf_here()');
my ($doc) = grep { -e } 'docs/operations.md', "$ENV{PWD}/docs/operations.md";
my ($sequences) = slurp_file($doc) =~ /^```sql\n(-- each sequence.*?)^```/ms;
$to->safe_psql('postgres', $sequences);
is($to->safe_psql('postgres', q{SELECT mf_read_deposit('2')}), '2', 'sequences go on after what was replicated');
$to->safe_psql('postgres', q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'send'});
$mf->insert($to, 'postgres', 'own');
$mf->wait_status($to, 'postgres', 'own');
wake($to);
is($sandbox->count(%$send), $sent + 1, 'without that only rows of its own are sent');
like($to->safe_psql('postgres', q{SELECT ok, detail FROM mf_check() WHERE item = 'copy'}), qr/^f\|9 invoices/, 'mf_check() counts the others');
$pid = $mf->worker_pid($to, 'postgres');
$to->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$mf->wait_worker($to, 'postgres', not => $pid);
like($to->safe_psql('postgres', q{SELECT reason FROM mf_account WHERE account = '*' AND paused_at IS NOT NULL}), qr/(?:entries|rows) of another database/,
	'a new worker pauses all accounts for them');

# One call ends it: each is looked up first, and what was sent is found.
$to->safe_psql('postgres', q{SELECT mf_resume('*')});
is($to->safe_psql('postgres', q{SELECT string_agg(DISTINCT kind, ' ') FROM mf_queue}), 'verify', 'all that was queued is looked up first');
$to->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'; UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$mf->wait_for($to, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
is($sandbox->count(%$send), $sent + 9, 'then those are sent that were not sent before');
my %times;
$times{$_}++ for $sandbox->names;
is_deeply([ grep { $times{$_} > 1 } keys %times ], [], 'none twice');
is($to->safe_psql('postgres', q{SELECT count(*) FROM mf_check() WHERE item = 'copy'}), 0, 'mf_check() has nothing more to say about it');

$to->stop;
done_testing();
