# An answer that comes when the invoice has moved on, and a look-up that finds something else: nothing is overwritten,
# nothing is forgotten, and what may be there twice is shown.
#
# There is one worker only, so the invoice is moved by a superuser past the triggers, as a second server that should not
# be there would do it.
use MyFatoorah::Test qw(sql);
use MyFatoorah::Chaos;
use MyFatoorah::History;

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'");
my $send = { path => '/v2/SendPayment' };
my $count = 0;

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '500ms', timeout => '60s' });
$mf->wait_worker($node, 'postgres');

# The answer to a request comes after "meanwhile" was done to the row $id, because the remote is frozen until then; the row
# as it is afterwards.
sub late
{
	my ($name, $meanwhile, %rule) = @_;
	my $id = $mf->insert($node, 'postgres', $name, send_at => "now() + interval '1 h'");
	my $offset = $chaos->log_size($node);

	$sandbox->faults({ path => 'SendPayment', reference_prefix => $name, %rule }) if %rule;
	kill 'STOP', $sandbox->pid;
	sql("UPDATE mf_invoice SET send_at = now() WHERE id = $id");
	$mf->wait_for($node, 'postgres', "SELECT in_flight > 0 AND EXISTS (SELECT FROM mf_attempt WHERE invoice = $id) FROM mf_worker_status");
	sql("SET session_replication_role = replica; " . $meanwhile =~ s/\$id/$id/gr);
	kill 'CONT', $sandbox->pid;
	$chaos->wait_log($node, qr/the answer to attempt 1 of invoice $id came too late/, $offset);
	$mf->wait_for($node, 'postgres', "SELECT outcome IS NOT NULL FROM mf_attempt WHERE invoice = $id AND attempt = 1");
	return split /\|/, sql("SELECT i.status, i.duplicate_suspected, i.invoice_id IS NOT DISTINCT FROM a.invoice_id, a.outcome, i.attempts
		FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = 1 WHERE i.id = $id");
}

my $move = q{UPDATE mf_queue SET kind = '%s', due = 'infinity', rank = 'infinity' WHERE invoice = $id; UPDATE mf_invoice SET %s WHERE id = $id};
my $drop = q{DELETE FROM mf_queue WHERE invoice = $id; UPDATE mf_invoice SET %s WHERE id = $id};

is_deeply([ late('unknown', sprintf $move, 'reconcile', q{status = 'unknown'}) ], [qw(sent f t accepted 1)],
	'unknown meanwhile: accepted after all, with its number');
is_deeply([ late('second', sprintf $move, 'reconcile', q{status = 'unknown', attempts = 2}) ], [qw(review t f accepted 2)],
	'a second attempt meanwhile: a person decides, and the number answered is kept');
is_deeply([ late('queued', sprintf $move, 'send', q{status = 'queued'}) ], [qw(review t f accepted 1)],
	'queued again meanwhile: not sent a second time, a person decides');
is_deeply([ late('sent', sprintf $drop, q{status = 'sent', invoice_id = 42, attempts = 2}) ], [qw(sent t f accepted 2)],
	'sent by another attempt meanwhile: its number stays, and it is flagged');
is(sql(q{SELECT invoice_id FROM mf_invoice WHERE customer_reference = 'sent'}), '42', 'sent by another attempt meanwhile: with its number');
is_deeply([ late('cancelled', sprintf $drop, q{status = 'cancelled'}) ], [qw(cancelled t f accepted 1)],
	'cancelled meanwhile: it stays so, and is flagged');
is_deeply([ late('refused', (sprintf $move, 'reconcile', q{status = 'unknown', attempts = 2}), status => 400,
			body => { IsSuccess => JSON::PP::false, Message => 'Invalid data', Data => undef,
	ValidationErrors => [ { Name => 'x', Error => 'no' } ] }) ], [qw(unknown f t rejected 2)],
	'a late refusal changes nothing');
is(sql(q{SELECT count(*) FROM mf_review WHERE duplicate_suspected}), '4', 'mf_review shows what may be there twice');
is($sandbox->count(%$send), 6, 'nothing was sent a second time');

#
# The look-up finds another invoice under the reference.
#
sub found
{
	my ($name, %body) = @_;
	my $id = $mf->insert($node, 'postgres', $name, invoice_value => '10.500', send_at => "now() + interval '1 h'");
	my $reference = sql("SELECT reference FROM mf_invoice WHERE id = $id");

	# somebody else makes an invoice under our reference; our own request gets no answer and makes none
	$sandbox->send_payment(InvoiceValue => 10.5, CustomerReference => $reference, %body);
	$sandbox->faults({ path => 'SendPayment', reference_prefix => $name, never => JSON::PP::true, create => JSON::PP::false });
	sql("UPDATE mf_invoice SET send_at = now() WHERE id = $id");
	$mf->wait_for($node, 'postgres', "SELECT status NOT IN ('queued', 'sending', 'unknown') FROM mf_invoice WHERE id = $id");
	return sql("SELECT status, last_error FROM mf_invoice WHERE id = $id");
}

sql(q{ALTER SERVER myfatoorah OPTIONS (SET timeout '500ms')});
like(found('same'), qr/^sent\|/, 'found with the same amount: adopted');
like(found('more', InvoiceValue => 10.501), qr/^review\|.*10\.501 KWD instead of 10\.500 KWD/, 'found with another amount: a person decides');
like(found('currency', DisplayCurrencyIso => 'SAR'), qr/^review\|.*SAR instead of/, 'found in another currency: a person decides');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|terminated by signal/, 'no process crashed');

$node->stop;
done_testing();
