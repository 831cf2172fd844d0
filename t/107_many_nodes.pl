# A table of the user that is partitioned over three nodes by postgres_fdw, as docs/scale.md has it: each node has its extension, its
# worker and its account, and a row is sent where it lives. And what that cannot do: commit on all nodes or none, one key
# over all nodes, queries while a node is down.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my @nodes = map { $mf->new_node("node$_", conf => "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '50ms'") } 0 .. 2;
my ($doc) = grep { -e } 'docs/scale.md', "$ENV{PWD}/docs/scale.md";
my %sql = slurp_file($doc) =~ /^<!-- (\w+) -->\n+```sql\n(.*?)^```/msg;
my $user = getpwuid $>;

sub sql { my ($n, $query) = @_; return $nodes[$n]->safe_psql('postgres', $query); }

# What the document gives, with the addresses of this test
sub doc
{
	my ($name, $number) = @_;
	my $text = $sql{$name} // die "docs/scale.md has no block $name\n";

	$text =~ s/host 'node(\d)', dbname 'app'/"host '" . $nodes[$1]->host . "', port '" . $nodes[$1]->port . "', dbname 'postgres'"/ge;
	$text =~ s/user 'invoicing', password_required 'false'/user '$user', password_required 'false'/g;
	$text =~ s/bill_1/bill_$number/g if defined $number;
	return $text;
}

sub names_at
{
	my ($n) = @_;

	return sql($n, q{SELECT coalesce(string_agg(customer_reference, ' ' ORDER BY customer_reference), '') FROM mf_invoice WHERE status = 'sent'});
}

sub wait_sent
{
	my ($n) = @_;

	return $mf->wait_for($nodes[$n], 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
}

foreach my $n (0 .. 2)
{
	$mf->setup_account($nodes[$n], 'postgres', $sandbox);
	sql($n, doc('node', $n)) if $n > 0;
}
sql(0, doc('coordinator'));

#
# Rows are sent where they live.
#
sql(0, q{INSERT INTO bill (unit, tenant, amount, period) SELECT 'B' || n, 'tenant ' || n, n, '2026-01' FROM generate_series(1, 60) n});
wait_sent($_) foreach 0 .. 2;
my @counts = map { sql($_, 'SELECT count(*) FROM mf_invoice') } 0 .. 2;
is($counts[0] + $counts[1] + $counts[2], 60, 'each row has its invoice on one node');
is(scalar(grep { $_ > 5 } @counts), 3, "all nodes have their part (@counts)");
is(join(' ', sort $sandbox->names), join(' ', sort map { "B$_" } 1 .. 60), 'each was sent once');
is(sql(0, q{SELECT count(*), count(DISTINCT invoice) < 60 FROM bill WHERE invoice IS NOT NULL}), '60|t', 'rows have the id of their invoice, which is that of a node: ids repeat');
is(sql(0, q{SELECT count(*), count(DISTINCT (node, id)), count(DISTINCT invoice_id) FROM invoices}), '60|60|60', 'the view over all nodes names the node');
is(sql(0, q{SELECT string_agg(node::text, ' ' ORDER BY node) FROM (SELECT DISTINCT node FROM invoices WHERE payment_status = 'unpaid') n}), '0 1 2', 'and can be asked for what is unpaid');

# Payments come back to the node that has sent.
my $paid = sql(1, 'SELECT invoice_id FROM mf_invoice ORDER BY id LIMIT 1');
$sandbox->invoice($paid, 'pay');
my $payment = $sandbox->invoice($paid)->{transactions}[-1]{payment_id};
sql(1, "SELECT mf_callback('$payment')");
$mf->wait_for($nodes[1], 'postgres', "SELECT payment_status FROM mf_invoice WHERE invoice_id = '$paid'", 'paid');
is(sql(0, "SELECT node, payment_status FROM invoices WHERE invoice_id = '$paid'"), '1|paid', 'a payment is seen through the view');
sql(2, "SELECT mf_callback('$payment')");
$mf->wait_for($nodes[2], 'postgres', "SELECT count(*) FROM mf_unmatched WHERE invoice_id = '$paid'", 1);
is(sql(2, "SELECT customer_reference FROM mf_unmatched WHERE invoice_id = '$paid'"), sql(1, "SELECT reference FROM mf_invoice WHERE invoice_id = '$paid'"),
	'told to another node, it changes nothing there, and says whose invoice it is');

#
# Transactions
#
my $before = $sandbox->count(path => '/v2/SendPayment');
sql(0, q{BEGIN; INSERT INTO bill (unit, tenant, amount, period) SELECT 'R' || n, 'nobody', 1, '2026-01' FROM generate_series(1, 20) n; ROLLBACK});
is(join(' ', map { sql($_, q{SELECT count(*) FROM mf_invoice WHERE customer_reference ~ '^R'}) } 0 .. 2), '0 0 0', 'a rollback takes the rows of all nodes back');
is($sandbox->count(path => '/v2/SendPayment'), $before, 'and nothing is sent');
my (undef, undef, $err) = $nodes[0]->psql('postgres', q{BEGIN; INSERT INTO bill (unit, tenant, amount, period) SELECT 'P' || n, 'nobody', 1, '2026-01' FROM generate_series(1, 20) n; PREPARE TRANSACTION 'p'});
like($err, qr/cannot PREPARE a transaction that has operated on postgres_fdw foreign tables/, 'two-phase commit is not for postgres_fdw');

# One node refuses at its commit: it depends on the order whether the other one has committed by then.
my @kept;
foreach my $bad (1, 2)
{
	sql($bad, q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at commit'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON bill_} . $bad . q{ DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()});
	(undef, undef, $err) = $nodes[0]->psql('postgres', "INSERT INTO bill (unit, tenant, amount, period) SELECT 'C$bad-' || n, 'nobody', 1, '2026-01' FROM generate_series(1, 60) n");
	like($err, qr/refused at commit/, "node $bad refuses at the commit: the statement fails");
	is(sql(0, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'C$bad-%'"), 0, 'the node where it began has nothing of it');
	is(sql($bad, "SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'C$bad-%'"), 0, 'nor has the one that refused');
	push @kept, sql(3 - $bad, "SELECT count(*) > 0 FROM mf_invoice WHERE customer_reference LIKE 'C$bad-%'");
	sql($bad, "DROP TRIGGER refuse ON bill_$bad; DROP FUNCTION refuse()");
}
like("@kept", qr/t/, 'another node has committed all the same: a commit is not one');

# The application's own two-phase commit works, on connections to the nodes.
sql($_, "BEGIN; INSERT INTO mf_invoice " . $mf->invoice("two-phase $_") . "; PREPARE TRANSACTION 'both'") foreach 1, 2;
sql($_, "COMMIT PREPARED 'both'") foreach 1, 2;
$mf->wait_status($nodes[$_], 'postgres', "two-phase $_") foreach 1, 2;
pass('PREPARE TRANSACTION and COMMIT PREPARED on each node');

#
# Keys
#
is(sql(0, q{INSERT INTO bill (unit, tenant, amount, period) SELECT 'B' || n, 'tenant ' || n, n, '2026-01' FROM generate_series(1, 60) n ON CONFLICT DO NOTHING RETURNING unit}), '',
	'the month again: its rows are there, on their nodes');
sql($_, q{INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value, idempotency_key) VALUES ('a', 'keyed', 1, 'the key')}) foreach 1, 2;
$mf->wait_status($nodes[$_], 'postgres', 'keyed') foreach 1, 2;
is(scalar(grep { $_ eq 'keyed' } $sandbox->names), 2, 'an idempotency_key is of its node: on two nodes it makes two invoices');

#
# A node is down.
#
my ($here, $there) = map { my $n = $_; sql(0, "SELECT unit FROM bill_$n ORDER BY unit LIMIT 1") } 1, 2;
$nodes[2]->stop;
sql(0, "DELETE FROM bill WHERE unit = '$here' AND period = '2026-01'");
sql(0, "INSERT INTO bill (unit, tenant, amount, period) VALUES ('$here', 'again', 1, '2026-01')");
$mf->wait_for($nodes[1], 'postgres', "SELECT count(*) FROM mf_invoice WHERE customer_reference = '$here' AND status = 'sent'", 2);
pass('with a node down the others take rows and send them');
(undef, undef, $err) = $nodes[0]->psql('postgres', "INSERT INTO bill (unit, tenant, amount, period) VALUES ('$there', 'again', 1, '2026-02')");
like($err, qr/could not connect to server "node2"/, 'its own rows are an error');
(undef, undef, $err) = $nodes[0]->psql('postgres', 'SELECT count(*) FROM invoices');
like($err, qr/could not connect to server "node2"/, 'and so is a query over all nodes');
is(sql(0, "SELECT count(*) FROM bill WHERE unit = '$here'"), 1, 'a query that needs one node asks one');
$nodes[2]->start;
sql(0, "INSERT INTO bill (unit, tenant, amount, period) VALUES ('$there', 'again', 1, '2026-02')");
wait_sent(2);
is(sql(0, "SELECT count(*) FROM invoices WHERE customer_reference = '$there'"), 2, 'when it is back it goes on');

is_deeply([ map { $mf->problems($_, 'postgres', $sandbox, others => 1) } @nodes ], [], 'rows, attempts and ledger agree on each node');
$_->stop foreach @nodes;
done_testing();
