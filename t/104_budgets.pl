# Budgets: what requests under way may take of the worker's memory.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => "myfatoorah.reconcile_delay = '1h'\nmyfatoorah.poll_limit = 0");
my $send = { path => '/v2/SendPayment' };
my $big = MyFatoorah::Sandbox->new;
my $small = MyFatoorah::Sandbox->new;

sub sql
{
	return $node->safe_psql('postgres', @_);
}

$mf->setup_account($node, 'postgres', $big, account => 'big', options => { max_in_flight => 1000, timeout => '10s' });
$mf->setup_account($node, 'postgres', $small);
$mf->wait_worker($node, 'postgres');

#
# Six hundred requests of 60 kB each that get no answer: 16 MB of them leave, and what was claimed in the same round. The
# other account does not notice.
#
$big->hang;
sql(q{INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, invoice_items)
	SELECT 'big', 'x', 'big-' || n, 75, i FROM generate_series(1, 600) n,
		(SELECT jsonb_agg(jsonb_build_object('ItemName', repeat('x', 760), 'Quantity', 1, 'UnitPrice', 1)) AS i FROM generate_series(1, 75)) s});
$big->wait_count($send, 250) or die "they are not sent\n";
$mf->insert_many($node, 'postgres', 'small', 200);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'small-%' AND status = 'sent'", 200);
my $in_the_air = $big->count(%$send);
cmp_ok($in_the_air, '<=', 16 * 1024 * 1024 / 59000 + 200, 'what has no answer takes a limited amount of memory');
$big->clear_faults;
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'big-%' AND status IN ('sent', 'unknown')", 600);
cmp_ok(sql("SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'big-%' AND status = 'sent'"), '>=', 600 - $in_the_air,
	'and the rest goes when there is room again');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
