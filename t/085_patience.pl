# Nobody is asked more often than agreed: not because of a Retry-After of no time at all, not because roles change their
# user mappings; and no wait is longer than a day.
use MyFatoorah::Test;
use POSIX ();

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $send = { path => '/v2/SendPayment' };
my $ask = { path => '/v2/GetPaymentStatus' };
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '400ms'\nmyfatoorah.reconcile_delay = '20ms'");

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '1s' });
$mf->wait_worker($node, 'postgres');

sub sql
{
	return $node->safe_psql('postgres', @_);
}

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

is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
$node->stop;
done_testing();
