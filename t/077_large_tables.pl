# What is done for a few invoices reads a few rows, however large the tables have become, and whatever the planner knew of
# them when it made its plans: each kind of work is done once while they are small, and then beside many finished rows.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'\nmyfatoorah.poll_delay = '1h'
	autovacuum = off\nmyfatoorah.history_retention = 0");
my $db = 'postgres';
my $many = 60_000;
my $few = 20;
my $nothing_open = 2000;
my $limit = $many / 2;
# It looks through the open inquiries once, and at some of the unpaid invoices, each with its number and its inquiry. Personal data is
# looked for among the unpaid rows, some of which were cancelled, once, in batches: how many of these come while it is counted is by chance.
my %limit = ('a start of the worker' => $many + 10_000, personal_data_retention => $many * 0.8);
my $send = { path => '/v2/SendPayment' };

$mf->setup_account($node, $db, $sandbox, options => { timeout => '1s', connect_timeout => '500ms' });
$mf->setup_account($node, $db, $sandbox, account => 'quiet');
sql(q{ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'secret-of-webhooks')});
$sandbox->webhooks(url => 'http://127.0.0.1:9/nobody', version => 'v2', secret => 'secret-of-webhooks', retries => 0);
my $worker = $mf->wait_worker($node, $db);

# Rows that statements have read, ours and those of the test, which finds rows by their id
my $loaded = 0;
sub reads
{
	return sql(q{SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname LIKE 'mf\_%')
		+ (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'mf\_%')});
}

sub by_index
{
	return map { split /\|/ } split /\n/, sql(q{SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname LIKE 'mf\_%'
		UNION ALL SELECT relname, coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relname LIKE 'mf\_%'});
}

# The worker tells the statistics at a commit, once a second at most: they have all of its work when they have its inserts, and this.
sub all_told
{
	my ($this) = @_;

	do
	{
		my $id = sql(q{INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('marker', 1) RETURNING id});

		$mf->wait_for($node, $db, "SELECT status FROM mf_invoice WHERE id = $id", 'sent');
	} until sql(q{SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'mf_attempt'}) >= $loaded + $sandbox->count(%$send)
		&& (!defined $this || sql($this) eq 't');
	return;
}

# Inserts a few, and waits until so many of them are what the condition says; their first id
sub some
{
	my ($values, $condition, $count) = @_;
	my $first = sql(qq{WITH i AS (INSERT INTO mf_invoice (customer_name, invoice_value, notification_option, customer_email)
		SELECT 'few', $values FROM generate_series(1, $few) n RETURNING id) SELECT min(id) FROM i});

	of($first, $condition, $count);
	return $first;
}

sub of
{
	my ($first, $condition, $count) = @_;

	$mf->wait_for($node, $db, qq{SELECT count(*) FROM mf_invoice WHERE id >= $first AND id < $first + $few AND $condition}, $count // $few);
	return;
}

my $plain = q{1, 'LNK', NULL};
my $nobody = 6910000;
my $scanned = q{(SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'mf_inquiry')};
my %work = (
	'sent' => sub { some($plain, q{status = 'sent'}) },
	'rejected, corrected, sent' => sub {
		$sandbox->faults({ path => 'SendPayment', shape => 1, times => $few });
		my $first = some($plain, q{status = 'rejected'});
		sql("SELECT count(mf_retry(id)) FROM mf_invoice WHERE id >= $first AND id < $first + $few");
		of($first, q{status = 'sent'});
	},
	'made, answer lost' => sub {
		$sandbox->faults({ path => 'SendPayment', reset_answer_at => 10, times => $few });
		some($plain, q{status = 'sent'});
	},
	'not made, answer lost' => sub {
		$sandbox->faults({ path => 'SendPayment', reset_request_at => 10, times => $few });
		some($plain, q{status = 'sent'});
	},
	'cancelled' => sub {
		my $first = sql(qq{WITH i AS (INSERT INTO mf_invoice (customer_name, invoice_value, send_at)
			SELECT 'few', 1, now() + interval '1 day' FROM generate_series(1, $few) RETURNING id) SELECT min(id) FROM i});
		sql("SELECT count(mf_cancel(id)) FROM mf_invoice WHERE id >= $first AND id < $first + $few");
	},
	'review, resolved' => sub {
		$sandbox->faults({ path => 'SendPayment', reset_request_at => 10, times => $few });
		my $first = some(q{1, 'EML', 'x@example.com'}, q{status = 'review'});
		sql("SELECT count(mf_resolve(id, 'resend', 'test')) FROM mf_invoice WHERE id >= $first AND id < $first + $few");
		of($first, q{status = 'sent'});
	},
	'paid, told by webhooks' => sub {
		my $first = some($plain, q{status = 'sent'});
		foreach my $id (split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE id >= $first AND id < $first + $few"))
		{
			my $before = $sandbox->deliveries;
			$sandbox->invoice($id, 'pay');
			$sandbox->wait_deliveries({}, $before + 1) or die "no webhook\n";
		}
		sql(join ';', map { $mf->webhook($_) } ($sandbox->deliveries)[ -$few .. -1 ]);
		of($first, q{payment_status = 'paid'});
	},
	'paid, told by callbacks' => sub {
		my $first = some($plain, q{status = 'sent'});
		foreach my $id (split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE id >= $first AND id < $first + $few"))
		{
			$sandbox->invoice($id, 'pay');
			my $payment_id = $sandbox->invoice($id)->{transactions}[-1]{payment_id};
			sql("SELECT mf_callback('$payment_id')");
		}
		of($first, q{payment_status = 'paid'});
	},
	'asked about' => sub {
		my $first = some($plain, q{status = 'sent'});
		$sandbox->invoice($_, 'pay') foreach split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE id >= $first AND id < $first + $few");
		sql("SELECT count(mf_refresh(id)) FROM mf_invoice WHERE id >= $first AND id < $first + $few");
		of($first, q{payment_status = 'paid'});
	},
	'an event of nobody' => sub {
		sql(qq{SELECT mf_callback('0707246718624' || $nobody + n, 'quiet') FROM generate_series(1, $few) n});
		$nobody += $few;
		$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_event WHERE account = 'quiet' AND due IS NOT NULL AND lookups + failures = 0}, 0);
		# it would be asked about again beside what is counted after this
		sql(q{UPDATE mf_event SET due = NULL WHERE account = 'quiet'});
	},
	'paused, resumed' => sub {
		my $scans = sql("SELECT $scanned");
		sql(q{SELECT mf_pause('quiet'); SELECT mf_resume('quiet')});
		all_told("SELECT $scanned > $scans");
	},
	'a start of the worker' => sub {
		my $scans = sql("SELECT $scanned");
		sql("SELECT pg_terminate_backend($worker)");
		$worker = $mf->wait_worker($node, $db, not => $worker);
		all_told("SELECT $scanned > $scans");
	},
);
my @order = ('sent', 'rejected, corrected, sent', 'made, answer lost', 'not made, answer lost', 'cancelled', 'review, resolved',
	'paid, told by webhooks', 'paid, told by callbacks', 'asked about', 'an event of nobody', 'paused, resumed', 'a start of the worker');

# while the tables are small, and then kept by the sessions and the worker
$work{$_}->() foreach @order;

my $flush = sql('SHOW server_version_num') >= 150000 ? 'SELECT pg_stat_force_next_flush()' : '';

# A year of invoices: most of them paid, others open and asked about later, a few queued and due later, which a start of
# the worker looks through. Another account has none that is open, but many cancelled ones, and others that are paid.
sql(qq{SET session_replication_role = replica;
	CREATE TEMP TABLE year AS SELECT n, CASE n % 100 WHEN 0 THEN 'queued' ELSE 'sent' END AS status FROM generate_series(1, $many) n;
	INSERT INTO mf_invoice (id, account, customer_name, invoice_value, reference, status, payment_status, invoice_id, invoice_url, sent_at, send_at, attempts, created_by_id)
		OVERRIDING SYSTEM VALUE
		SELECT -n, 'myfatoorah', 'year', 1, 'year.' || n, status, CASE WHEN n % 100 > 30 THEN 'paid' ELSE 'unpaid' END, CASE status WHEN 'sent' THEN n END,
			CASE status WHEN 'sent' THEN 'https://example.com/' || n END, now(), now() + interval '1 day', 1, 10 FROM year;
	INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, invoice_id, changed_to_sent)
		SELECT -n, 1, 'year.' || n, 'x', now(), now(), now(), 'accepted', n, true FROM year WHERE status = 'sent';
	INSERT INTO mf_queue (invoice, account, kind, due, rank, priority) SELECT -n, 'myfatoorah', 'send', now() + interval '1 day', now() + interval '1 day', 0 FROM year WHERE status = 'queued';
	INSERT INTO mf_inquiry (invoice, account, due, answers) SELECT -n, 'myfatoorah', now() + interval '1 day', 3 FROM year WHERE n % 100 BETWEEN 1 AND 30;
	INSERT INTO mf_invoice_number (invoice_id, invoice) SELECT n, -n FROM year WHERE status = 'sent';
	INSERT INTO mf_transaction (invoice, payment_id, transaction_status) SELECT -n, 'year' || n, 'Succss' FROM year WHERE n % 100 > 30;
	INSERT INTO mf_transition (invoice, actor, from_status, to_status, attempt) SELECT -n, 'status reader', 'unpaid', 'paid', 1 FROM year WHERE n % 100 > 30;
	INSERT INTO mf_event (account, source, version, event_code, invoice_id, invoice, digest, data, answered_at, received_at)
		SELECT 'myfatoorah', 'webhook', 2, 1, n, -n, decode(md5(n::text), 'hex'), '{}', now(), now() - interval '2 years' FROM year WHERE n % 100 > 30;
	INSERT INTO mf_invoice (id, account, customer_name, invoice_value, reference, status, payment_status, invoice_id, send_at, attempts, created_by_id)
		OVERRIDING SYSTEM VALUE
		SELECT -$many - n, 'quiet', 'year', 1, 'quiet.' || n, CASE WHEN n % 2 = 0 THEN 'cancelled' ELSE 'sent' END, CASE WHEN n % 2 = 0 THEN 'unpaid' ELSE 'paid' END,
			CASE WHEN n % 2 = 1 THEN $many + n END, now(), n % 2, 10 FROM generate_series(1, $nothing_open) n;
	INSERT INTO mf_invoice_number (invoice_id, invoice) SELECT $many + n, -$many - n FROM generate_series(1, $nothing_open, 2) n;
	INSERT INTO mf_inquiry (invoice, account, due, answers) SELECT -$many - n, 'quiet', now() + interval '1 day', 3 FROM generate_series(1, $nothing_open, 2) n;
	$flush});
$loaded = $many * 99 / 100;
$mf->wait_for($node, $db, q{SELECT n_tup_ins >= } . $loaded . q{ FROM pg_stat_user_tables WHERE relname = 'mf_attempt'});

foreach my $known ('unknown to the planner', 'known to the planner')
{
	sql('ANALYZE mf_invoice, mf_queue, mf_attempt, mf_inquiry, mf_invoice_number, mf_transaction, mf_transition, mf_event') if $known =~ /^known/;
	foreach my $what (@order)
	{
		all_told();
		my $before = reads();
		my %was = by_index();

		$work{$what}->();
		all_told();
		my $read = reads() - $before;
		my %is = by_index();
		note join ', ', map { "$_ " . ($is{$_} - ($was{$_} // 0)) } grep { $is{$_} - ($was{$_} // 0) > $limit / 10 } sort keys %is;
		cmp_ok($read, '<', $limit{$what} // $limit, "$what: reads few rows, with the sizes $known ($read)");
	}
}

# Retention times look for what is past them, also where that are a few of many rows. VACUUM keeps the indexes of times.
sql("SELECT brin_summarize_new_values('mf_${_}_idx')") foreach qw(attempt_started_at transition_changed_at event_received_at);
foreach my $retention ([ personal_data_retention => '400d', q{data = '{}'}, 'emptied' ], [ history_retention => '1000d', 'false', 'deleted' ])
{
	my ($name, $age, $done, $word) = @$retention;

	my $id = sql(qq{INSERT INTO mf_event (account, source, version, event_code, invoice_id, digest, data, received_at, last_received_at)
		VALUES ('myfatoorah', 'webhook', 2, 1, 1, '$name', '{"UserDefinedField": "Noura"}', now() - interval '3 years', now() - interval '3 years') RETURNING id});
	all_told();
	my $before = reads();
	my %was = by_index();

	my $changes = sql("SELECT n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'mf_event'");
	sql("ALTER SYSTEM SET myfatoorah.$name = '$age'; SELECT pg_reload_conf()");
	$mf->wait_for($node, $db, "SELECT count(*) FROM mf_event WHERE id = $id AND NOT $done", 0);
	all_told("SELECT n_tup_upd + n_tup_del > $changes FROM pg_stat_user_tables WHERE relname = 'mf_event'");
	my $read = reads() - $before;
	my %is = by_index();
	note join ', ', map { "$_ " . ($is{$_} - ($was{$_} // 0)) } grep { $is{$_} - ($was{$_} // 0) > $limit / 10 } sort keys %is;
	cmp_ok($read, '<', $limit{$name} // $limit, "$name: what is past it is $word, and few rows are read ($read)");
}
done_testing();
