# From COMMIT to the request: what commits is sent, at once and exactly once; what does not commit is not.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $send = { path => '/v2/SendPayment' };
my $sent = 0;

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

# Sends an invoice from another session and waits until it is through: what should have been sent before would have
# been sent by now.
sub marker
{
	my ($name) = @_;

	$mf->insert($node, 'postgres', $name);
	$mf->wait_status($node, 'postgres', $name);
	$sent++;
	return;
}

# How often the ledger has an invoice of that name.
sub sends
{
	my ($name) = @_;

	return scalar grep { $_ eq $name } $sandbox->names;
}

# Waits until nothing but a wake-up can make the worker look at its agenda again, runs the code, and waits for a request.
# A lost wake-up would leave the row there for ever.
sub sent_by
{
	my ($name, $code) = @_;

	$mf->wait_idle($node, 'postgres');
	$code->();
	ok($sandbox->wait_count($send, ++$sent), "$name: sent");
	$mf->wait_settled($node, 'postgres');
	is($sandbox->count(%$send), $sent, "$name: and nothing else");
	return;
}

# A plain INSERT
sent_by('INSERT', sub { $mf->insert($node, 'postgres', 'plain') });
my ($invoice) = $sandbox->invoices;
is( $node->safe_psql('postgres',
		'SELECT status, invoice_id, invoice_url, attempts, last_error IS NULL, sent_at IS NOT NULL FROM mf_invoice'),
	join('|', 'sent', $invoice->{id}, $invoice->{url}, 1, 't', 't'),
	'the row has what the API answered');

# Nothing before COMMIT
my $session = $mf->session($node, 'postgres');
$session->query_safe('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice('open'));
marker('while open');
is(sends('open'), 0, 'nothing is sent before COMMIT');
sent_by('COMMIT of a row older than one already sent', sub { $session->query_safe('COMMIT') });
is(sends('open'), 1, 'COMMIT sends it');

# ROLLBACK, and savepoints of both kinds
$session->query_safe('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice('rolled back') . '; ROLLBACK');
marker('after ROLLBACK');
is(sends('rolled back'), 0, 'ROLLBACK sends nothing');

sent_by('ROLLBACK TO SAVEPOINT', sub {
	$session->query_safe('BEGIN; SAVEPOINT s; INSERT INTO mf_invoice ' . $mf->invoice('to savepoint')
		  . '; ROLLBACK TO SAVEPOINT s; INSERT INTO mf_invoice ' . $mf->invoice('after savepoint') . '; COMMIT');
});
is(sends('to savepoint'), 0, 'the row rolled back to the savepoint is not sent');
is(sends('after savepoint'), 1, 'the row after it is');

sent_by('a block with an exception', sub {
	$session->query_safe('DO $$BEGIN INSERT INTO mf_invoice ' . $mf->invoice('kept') . '; BEGIN INSERT INTO mf_invoice '
		  . $mf->invoice('undone') . '; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END; END$$');
});
is(sends('undone') . sends('kept'), '01', 'only the row outside the block that failed is sent');

# The wake-up of a row that only a released savepoint inserted
sent_by('RELEASE SAVEPOINT', sub {
	$session->query_safe('BEGIN; SAVEPOINT s; INSERT INTO mf_invoice ' . $mf->invoice('released')
		  . '; RELEASE SAVEPOINT s; COMMIT');
});
$session->quit;

# A deferred constraint that fails at COMMIT: the wake-up was asked for, the row is not there
$node->safe_psql('postgres', 'CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
isnt($node->psql('postgres', 'BEGIN; INSERT INTO child VALUES (1); INSERT INTO mf_invoice '
		  . $mf->invoice('failed commit') . '; COMMIT', on_error_stop => 1), 0, 'a COMMIT fails');
marker('after failed commit');
is(sends('failed commit'), 0, 'and sends nothing');

# Prepared transactions: COMMIT PREPARED comes from another session, or after a restart
$node->safe_psql('postgres', 'BEGIN; INSERT INTO mf_invoice ' . $mf->invoice("prepared $_") . "; PREPARE TRANSACTION '$_'")
  for 'one', 'two', 'three';
marker('after PREPARE');
is(scalar(grep { /^prepared/ } $sandbox->names), 0, 'PREPARE TRANSACTION sends nothing');
sent_by('COMMIT PREPARED', sub { $node->safe_psql('postgres', "COMMIT PREPARED 'one'") });
is(sends('prepared one'), 1, 'COMMIT PREPARED sends the row');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'two'");
$node->restart;
$mf->wait_worker($node, 'postgres');
sent_by('COMMIT PREPARED after a restart', sub { $node->safe_psql('postgres', "COMMIT PREPARED 'three'") });
is(sends('prepared two'), 0, 'ROLLBACK PREPARED sends nothing');

# COPY, a function, a role that may only insert
sent_by('COPY', sub {
	$node->safe_psql('postgres', "COPY mf_invoice (customer_name, invoice_value, customer_reference) FROM STDIN;\ncopied\t2.5\tcopied\n\\.\n");
});
$node->safe_psql('postgres', "CREATE ROLE tenant LOGIN IN ROLE myfatoorah_submit; GRANT USAGE ON FOREIGN SERVER myfatoorah TO tenant");
sent_by('a role that may only insert', sub {
	$node->safe_psql('postgres', 'INSERT INTO mf_invoice ' . $mf->invoice('by tenant'), extra_params => [ '-U', 'tenant' ]);
});

# A user's own table with mf_enqueue()
$node->safe_psql('postgres', "CREATE TABLE rent (id bigint PRIMARY KEY, tenant text, amount numeric, invoice bigint);
	CREATE TRIGGER send AFTER INSERT ON rent FOR EACH ROW
	EXECUTE FUNCTION mf_enqueue('customer_name=tenant', 'customer_reference=tenant', 'invoice_value=amount', 'id=invoice')");
sent_by('mf_enqueue()', sub { $node->safe_psql('postgres', "INSERT INTO rent VALUES (1, 'by trigger', 7.5)") });
is($node->safe_psql('postgres', 'SELECT i.status FROM rent r JOIN mf_invoice i ON i.id = r.invoice'), 'sent',
	'the id written back is that of the invoice');

# 10,000 rows at once. A row whose transaction began before them commits in their midst, when the claim has gone past
# its place in the order: it must not be lost.
$session = $mf->session($node, 'postgres');
$session->query_safe('BEGIN; INSERT INTO mf_invoice ' . $mf->invoice('deferred'));
$mf->insert_many($node, 'postgres', 'bulk', 10_000);
ok($sandbox->wait_count($send, $sent + 1000), 'a statement of 10,000 rows is being sent');
$session->query_safe('COMMIT');
$session->quit;
$sent += 10_001;
ok($sandbox->wait_count($send, $sent), 'all of it is sent');
$mf->wait_settled($node, 'postgres');
is(sends('deferred'), 1, 'the row that committed in their midst too');
is($sandbox->count(%$send), $sent, 'and not one request more');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT invoice_id), sum(attempts) FROM mf_invoice"),
	"$sent|$sent|$sent", 'each row was sent at the first attempt and has an invoice of its own');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_queue'), '0', 'nothing is left on the agenda');

$node->stop;
done_testing();
