# The reports that docs/payments.md shows, asked of a table with 1,000,000 invoices: each is answered by an index, chosen by the planner
# itself; and mf_open tells what it says.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.worker_enabled = off\nautovacuum = off\nmaintenance_work_mem = '128MB'\nmax_wal_size = '4GB'\nfsync = off");
my $db = 'postgres';
my $many = $ENV{MF_REPORT_ROWS} // 1_000_000;
my ($top) = grep { -e "$_/docs" } '.', $ENV{PWD};

$mf->setup_account($node, $db, $sandbox);

# Three years and more, a thousand a day, for ten thousand tenants, the last on the day of the test: of each month's invoices most are
# paid two days later.
my $day = q{current_date - ((} . $many . q{ - n) / 1000)::int};
sql(qq{SET session_replication_role = replica;
	INSERT INTO mf_invoice (id, customer_name, invoice_value, customer_reference, reference, status, payment_status, invoice_id, invoice_url,
			sent_at, paid_at, created_at, attempts, created_by_id, currency, received_value, net_value) OVERRIDING SYSTEM VALUE
		SELECT n, 'tenant', 100, 'tenant ' || n % 10000, 'year.' || n, 'sent', CASE WHEN n % 50 = 0 THEN 'unpaid' ELSE 'paid' END, n,
			'https://example.com/' || n, d + interval '1 h', CASE WHEN n % 50 <> 0 THEN d + interval '2 days' END, d, 1, 10, 'KWD', 0, 0
		FROM (SELECT n, ($day)::timestamptz AS d FROM generate_series(1, $many) n) m;
	INSERT INTO mf_transaction (invoice, payment_id, transaction_status, transaction_date)
		SELECT id, 'p' || id, 'Failed', sent_at + interval '1 h' FROM mf_invoice WHERE id % 5 = 0;
	INSERT INTO mf_event (account, source, version, event_code, invoice_id, invoice, digest, answered_at, received_at)
		SELECT 'myfatoorah', 'webhook', 2, 1, id, id, decode(md5(id::text), 'hex'), paid_at, paid_at FROM mf_invoice WHERE id % 5 = 1;
	INSERT INTO mf_money (invoice, account, booked_at, kind, source, amount, currency)
		SELECT id, 'myfatoorah', paid_at, 'payment', 'p' || id, 100, 'KWD' FROM mf_invoice WHERE id % 5 = 1;
	INSERT INTO mf_invoice_number (invoice_id, invoice) SELECT invoice_id, id FROM mf_invoice;
	VACUUM ANALYZE mf_invoice; VACUUM ANALYZE mf_transaction; VACUUM ANALYZE mf_event; VACUUM ANALYZE mf_money; VACUUM ANALYZE mf_invoice_number});

my ($section) = slurp_file("$top/docs/payments.md") =~ /^## Reports\n(.*?)^## /ms;
my ($block) = $section =~ /^```sql\n(.*?)^```/ms;
my @reports = grep { /SELECT/ } split /;\n/, $block;
my $january = sql(q{SELECT to_char(current_date - 100, 'YYYY-MM')});

cmp_ok(scalar @reports, '>=', 7, 'the docs show reports');
for my $report (@reports)
{
	my ($name) = $report =~ /^-- (.*)$/m;
	my $asked = $report =~ s/2026-01-(\d\d)/$january-$1/gr =~ s/2026-02-01/@{[ sql("SELECT ('$january-01'::date + interval '1 month')::date") ]}/gr
	  =~ s/'B7'/'tenant 17'/r =~ s/6893885/17/gr;

	for my $role ('postgres superuser', 'myfatoorah_read')
	{
		my $as = $role eq 'myfatoorah_read' ? "SET ROLE $role;" : '';
		my $plan = sql("$as EXPLAIN $asked");

		unlike($plan, qr/Seq Scan on mf_/, "$name: no table is read as a whole, as $role") or diag $plan;
	}
	cmp_ok(sql("SELECT count(*) FROM ($asked) r"), '>', 0, "$name: there is an answer") unless $asked =~ /invoice = 17/;
}

# What mf_open says
is(sql('SELECT count(*) FROM mf_open'), $many / 50, 'mf_open has what can still be paid');
is(sql("SELECT concat_ws(' ', customer_reference, days_open = date_part('day', now() - sent_at), last_try, last_try_at = sent_at + interval '1 h', invoice_url) FROM mf_open WHERE id = $many - 10000"),
	"tenant 0 t Failed t https://example.com/@{[ $many - 10000 ]}",
	'with the last try, the age and the link');
sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET expiry_date = '2099-01-01' WHERE id = $many});
is(sql("SELECT expires_at = '2099-01-01' FROM mf_open WHERE id = $many"), 't', 'expires_at is the expiry_date asked for before MyFatoorah has told');
sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET expires_at = '2099-02-01' WHERE id = $many});
is(sql("SELECT expires_at = '2099-02-01' FROM mf_open WHERE id = $many"), 't', 'and then what it told');

# Policies of mf_invoice hold there, too.
sql(q{CREATE ROLE clerk IN ROLE myfatoorah_read; ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON mf_invoice TO clerk USING (customer_reference = 'tenant 50')});
is(sql(q{SET ROLE clerk; SELECT count(*), min(customer_reference), max(customer_reference) FROM mf_open WHERE customer_reference IN ('tenant 50', 'tenant 100')}),
	$many / 10000 . '|tenant 50|tenant 50', 'a policy of mf_invoice hides the rows of others');

$node->stop;
done_testing();
