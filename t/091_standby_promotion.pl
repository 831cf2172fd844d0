# A streaming standby: it sends nothing; promoted, it sends what the primary has not sent, and nothing twice, although it
# has missed the primary's last doings.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $primary = $mf->new_node('primary', init => { allows_streaming => 1 },
	conf => "myfatoorah.lookup_delay = '300ms'\nmyfatoorah.retry_delay = '50ms'");

$mf->setup_account($primary, 'postgres', $sandbox, options => { timeout => '600s' });
$mf->wait_worker($primary, 'postgres');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
# The test module's copy does not keep the mode of files.
$mf->write_key($standby, $sandbox->key);
$standby->start;

sub count_of
{
	my ($name) = @_;

	return scalar grep { $_ eq $name } $sandbox->names;
}

is($primary->safe_psql('postgres', q{SELECT ok, substring(hint FROM 'lookup_delay to .*? or more') FROM mf_check() WHERE item = 'account'}), 't|lookup_delay to 555 s or more',
	'mf_check() tells that a look-up after a promotion could come before the latest request: 10 + 5 + 600 s against 60 s');

# While the primary works
$mf->insert($primary, 'postgres', 'sent before');
$mf->wait_status($primary, 'postgres', 'sent before');
$mf->insert($primary, 'postgres', 'queued', send_at => "now() + interval '1 h'");
$mf->insert($primary, 'postgres', 'sent behind its back', send_at => "now() + interval '1 h'");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT string_agg(status, ',' ORDER BY id) FROM mf_invoice"), 'sent,queued,queued', 'the standby has the rows');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'myfatoorah%'"), 0, 'but no worker');
is($standby->safe_psql('postgres', "SELECT ok, detail FROM mf_check() WHERE item = 'worker'"), 't|Waiting: this server is a standby.',
	'mf_check() says so');
is($standby->safe_psql('postgres', "SELECT ok, detail FROM mf_check() WHERE item = 'sending'"), 't|Not from here: this server is a standby.', 'and that nothing is sent from here');
my (undef, undef, $err) = $standby->psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('impossible'));
like($err, qr/read-only transaction/, 'nothing can be inserted there');

# In flight when the standby is cut off; all that happens on the primary from then on it does not know: rows are sent,
# and the answer to the one in flight does not come.
my $before = $sandbox->count(%$send);
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'in flight', never => JSON::PP::true, create => JSON::PP::true, times => -1 });
$mf->insert($primary, 'postgres', 'in flight');
$sandbox->wait_count($send, $before + 1) or die "it is not sent\n";
$primary->wait_for_catchup($standby);
is($mf->status($standby, 'postgres', 'in flight'), 'sending', 'the standby sees what is in flight');
$standby->stop;
$primary->safe_psql('postgres', "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = 'sent behind its back'");
$mf->wait_status($primary, 'postgres', 'sent behind its back');
$mf->insert($primary, 'postgres', 'unknown to the standby');
$mf->wait_status($primary, 'postgres', 'unknown to the standby');
my $sent_by_primary = $primary->safe_psql('postgres', "SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'sent behind its back'");
$primary->stop('immediate');
is($sandbox->count(%$send), 4, 'the primary has sent four');
$sandbox->clear_faults;

# Promotion
$standby->start;
is($mf->status($standby, 'postgres', 'sent behind its back'), 'queued', 'the standby believes it queued');
my $offset = -s $standby->logfile;
$standby->promote;
$mf->wait_worker($standby, 'postgres');
pass('after promotion the worker starts');
$mf->insert($standby, 'postgres', 'new');
$mf->wait_status($standby, 'postgres', 'new');
pass('what is inserted now is sent at once');
like(slurp_file($standby->logfile, $offset), qr/this server was promoted: queued invoices are looked up before they are sent/, 'the log says what happens to the others');
is($standby->safe_psql('postgres', "SELECT string_agg(DISTINCT kind, ',') FROM mf_queue q JOIN mf_invoice i ON i.id = q.invoice WHERE i.status = 'queued'"),
	'verify', 'queued rows are looked up before they are sent');

# Not before the remote can have finished what the primary sent: the test does not wait that long.
is($standby->safe_psql('postgres', "SELECT bool_and(due > now() + interval '30 s') FROM mf_queue WHERE kind = 'verify'"), 't', 'after a while');
$standby->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'; UPDATE mf_queue SET due = now(), rank = now()});
$mf->insert($standby, 'postgres', 'awake');
$mf->wait_for($standby, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'sent'", 6);
is($standby->safe_psql('postgres', "SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'sent behind its back'"), $sent_by_primary,
	'what the primary has sent is found and adopted');
is(count_of($_), 1, "$_: sent once") for 'sent before', 'sent behind its back', 'in flight', 'queued', 'new', 'unknown to the standby';
# Of what the primary did behind its back the standby has no record of an attempt; else all must agree.
is_deeply([ grep { !/^(?:unknown to the standby|sent behind its back)\..*is no attempt/ } $mf->problems($standby, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');

# Each row that was queued before the promotion is looked up once more after it was sent, and only once.
my $old_rows = "SELECT count(*) FROM mf_transition JOIN mf_identity ON changed_at > since JOIN mf_invoice i ON i.id = invoice " .
	"WHERE to_status = 'sent' AND i.created_at < since";
is($standby->safe_psql('postgres', $old_rows), 3, 'three rows of before the promotion were sent after it');
$mf->wait_for($standby, 'postgres', "SELECT count(*) FROM mf_queue WHERE kind = 'watch'", 0);
pass('they are looked up once more');

# It serves like any other: over a restart nothing is looked up again.
my $lookups = $sandbox->count(path => '/v2/GetPaymentStatus');
$standby->restart;
$mf->wait_worker($standby, 'postgres');
$mf->insert($standby, 'postgres', 'after restart');
$mf->wait_status($standby, 'postgres', 'after restart');
is($sandbox->count(path => '/v2/GetPaymentStatus'), $lookups, 'a restart afterwards looks nothing up');
unlike(slurp_file($standby->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$standby->stop;
done_testing();
