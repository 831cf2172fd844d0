# Budgets: what requests under way may take of the worker's memory, and how many questions people may cause.
use MyFatoorah::Test qw(sql);

use Time::HiRes qw(time);

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1h'\nmyfatoorah.poll_rate_limit = 0\nmyfatoorah.callback_rate_limit = 60");
my $send = { path => '/v2/SendPayment' };
my $big = MyFatoorah::Sandbox->new;
my $small = MyFatoorah::Sandbox->new;

$mf->setup_account($node, 'postgres', $big, account => 'big', options => { max_in_flight => 1000 });
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
my $most = 16 * 1024 * 1024 / 59000 + 200;
cmp_ok($big->count(%$send), '<=', $most, 'what has no answer takes a limited amount of memory');
$big->stop;
$big->start($big->port);
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'big-%' AND status IN ('sent', 'unknown')", 600);
cmp_ok(sql("SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'big-%' AND status = 'sent'"), '>=', 600 - $most,
	'and the rest goes when there is room again');

#
# Two hundred questions of one role: ten at once, ten within the budget of callbacks, then two a second. Another role's
# question does not wait behind them.
#
sub asked
{
	return $small->count(path => '/v2/GetPaymentStatus');
}

sub refresh_as
{
	my ($role, $which) = @_;

	$node->safe_psql('postgres', "SELECT count(mf_refresh(id)) FROM mf_invoice WHERE customer_reference LIKE '$which'", extra_params => [ '-U', $role ]);
	return;
}

sql("CREATE ROLE $_ LOGIN IN ROLE myfatoorah_submit") for 'many', 'one';
$mf->insert($node, 'postgres', 'beside');
$mf->wait_status($node, 'postgres', 'beside');
$mf->wait_idle($node, 'postgres');
my $began = time;
my $before = asked();
refresh_as('many', 'small-%');
$small->wait_count({ path => '/v2/GetPaymentStatus' }, $before + 20) or die "they are not asked about\n";
refresh_as('one', 'beside');
$mf->wait_for($node, 'postgres', "SELECT count(*) FROM mf_inquiry q JOIN mf_invoice i ON i.id = q.invoice WHERE customer_reference = 'beside'", 0);
my $count = asked() - $before;
my $limit = 20 + 2 * (time - $began) + 3;
cmp_ok($count, '<=', $limit, 'what one role asks for has a budget');
cmp_ok($count, '<', 200, 'and another role is answered before all of it is asked');
$node->append_conf('postgresql.conf', 'myfatoorah.callback_rate_limit = 60000');
$node->reload;
$mf->wait_for($node, 'postgres', 'SELECT count(*) FROM mf_inquiry', 0);
cmp_ok(asked() - $before, '>=', 201, 'with a higher limit all of it is asked');

# What is asked for beyond the budget while a question about it is under way is asked once more, and that is all.
$node->append_conf('postgresql.conf', 'myfatoorah.callback_rate_limit = 12');
$node->reload;
refresh_as('one', 'beside') for 1 .. 20;
$mf->wait_for($node, 'postgres', 'SELECT count(*) FROM mf_inquiry', 0);
$before = asked();
$small->faults({ path => 'GetPaymentStatus', delay_ms => -1, times => 1 });
refresh_as('one', 'beside');
$small->wait_count({ path => '/v2/GetPaymentStatus' }, $before + 1) or die "it is not asked about\n";
is(sql('SELECT by_callback FROM mf_inquiry'), 't', 'a role has used up its budget');
refresh_as('one', 'beside');
$small->clear_faults;
$mf->wait_for($node, 'postgres', 'SELECT count(*) FROM mf_inquiry', 0);
is(asked() - $before, 2, 'and asks once more, not in a series');

#
# What one role hands in as callbacks has a budget, too: half of the account's, so that of invented PaymentIds there may
# be any number, and another role's callback does not wait behind them.
#
$node->append_conf('postgresql.conf', 'myfatoorah.callback_rate_limit = 60');
$node->reload;
$mf->wait_for($node, 'postgres', "SELECT current_setting('myfatoorah.callback_rate_limit')", 60);
sql("CREATE ROLE $_ LOGIN IN ROLE myfatoorah_inbound") for 'stranger', 'shop';
my ($customer, $id) = split /\|/, sql("SELECT id, invoice_id FROM mf_invoice WHERE customer_reference = 'small-1'");
$small->invoice($id, 'pay');
my $payment = $small->invoice($id)->{transactions}[-1]{payment_id};
$began = time;
$before = asked();
$node->safe_psql('postgres', q{SELECT count(mf_callback('9' || n)) FROM generate_series(1000000, 1004999) n}, extra_params => [ '-U', 'stranger' ]);
cmp_ok(sql(q{SELECT count(*) FROM mf_event WHERE payment_id LIKE '9100%' AND due < now() + interval '1 min'}), '<', 100, 'most invented PaymentIds wait');
$node->safe_psql('postgres', "SELECT mf_callback('$payment')", extra_params => [ '-U', 'shop' ]);
# 5,000 questions take an hour and more with that budget
$mf->wait_for($node, 'postgres', "SELECT payment_status FROM mf_invoice WHERE id = $customer", 'paid');
pass('the callback of a customer does not wait behind 5,000 invented ones of another role');
$limit = 10 + (time - $began) + 5;
cmp_ok(asked() - $before, '<=', $limit, 'and all of them stay within the budget of the account');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
