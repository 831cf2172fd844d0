# mf_enqueue('on_update=sync', 'on_delete=cancel'): a queued invoice follows the row that it was made of, one that has left stops it.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.poll_delay = '1d'");
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $db = 'postgres';
my $map = q('customer_name=tenant', 'invoice_value=amount', 'customer_reference=flat', 'send_at=due', 'account=''myfatoorah''', 'id=invoice');
my $options = q('on_update=sync', 'on_delete=cancel');
my $all = 'AFTER INSERT OR UPDATE OR DELETE';

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# "ok" and what it gives; or SQLSTATE, message, and what names the way out
sub attempt
{
	my $got = attempted(@_);

	return "ok $got->{out}" if $got->{ok};
	return join(' | ', $got->{error}, $got->{said} =~ /^(?:DETAIL|HINT):  (.*)/mg) =~ s/(invoice |mf_cancel\(|mf_refresh\(|mf_resolve\(|id = )\d+/$1N/gr;
}

# the invoice of a flat
sub row
{
	my ($flat, $what) = @_;

	return sql("SELECT $what FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE customer_reference = '$flat' ORDER BY i.id");
}

sub make_table
{
	my ($name, $when, $arguments, $more) = @_;

	sql(qq{CREATE TABLE $name (flat text, tenant text, amount numeric, due timestamptz DEFAULT '2099-01-01', note text, invoice bigint) } . ($more // ''));
	sql("CREATE TRIGGER invoice $when ON $name FOR EACH ROW EXECUTE FUNCTION mf_enqueue($arguments)");
	return;
}

#
# A row that is corrected
#
make_table('rent', $all, "$map, $options");
sql(q{INSERT INTO rent (flat, tenant, amount) VALUES ('1', 'Ahmad', 250), ('2', 'Badr', 300), ('3', 'Celia', 350)});
is(sql(q{SELECT count(*) FROM mf_transition}), 0, 'that the id is written back is no edit');
sql(q{UPDATE rent SET amount = 275, tenant = 'Ahmed', due = '2099-02-01' WHERE flat = '1'});
is(row('1', q{concat_ws(' ', customer_name, invoice_value, send_at::date, q.due::date, status)}), 'Ahmed 275 2099-02-01 2099-02-01 queued', 'the queued invoice follows, its time on the agenda, too');
is(row('2', q{concat_ws(' ', customer_name, invoice_value)}), 'Badr 300', 'the invoice of another row stays as it was');
is(sql(q{SELECT string_agg(concat_ws(' ', h.actor = current_user, h.reason, (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(changes) k)), '; ')
	FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_reference = '1' AND reason <> 'inserted'}), 't edited customer_name,invoice_value,send_at', 'as one line of the history');
sql(q{UPDATE rent SET note = 'noted', tenant = tenant WHERE flat = '1'});
is(sql(q{SELECT count(*) FROM mf_transition}), 1, 'a column that feeds nothing, or has not changed, changes nothing');
sql(q{UPDATE mf_invoice SET customer_name = 'by hand' WHERE customer_reference = '1'; UPDATE rent SET amount = 280 WHERE flat = '1'});
is(row('1', q{concat_ws(' ', customer_name, invoice_value)}), 'by hand 280', 'only what has changed is written');
is(attempt(q{UPDATE rent SET amount = 0 WHERE flat = '1'}) =~ s/ \|.*//r, '22023: invoice_value must be greater than zero', 'it is checked as an UPDATE is');
is(sql(q{SELECT amount FROM rent WHERE flat = '1'}), '280', 'and the row stays as it was');
sql(q{BEGIN; UPDATE rent SET amount = 999; ROLLBACK});
is(row('1', 'invoice_value'), '280', 'a change that is rolled back changes no invoice');
sql(q{UPDATE rent SET invoice = NULL, amount = 1 WHERE flat = '3'});
is(row('3', 'invoice_value'), '350', 'a row that has let go of its invoice leaves it as it is');

#
# A row that is deleted
#
sql(q{DELETE FROM rent WHERE flat = '2'});
is(row('2', q{concat_ws(' ', status, q.invoice)}), 'cancelled', 'its invoice is cancelled');
is(sql(q{SELECT concat_ws('|', h.actor = current_user, from_status, to_status, h.reason) FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE i.customer_reference = '2' AND to_status = 'cancelled'}),
	't|queued|cancelled|its row of table public.rent was deleted', 'and the history says why');
sql(q{DELETE FROM rent WHERE flat = '3'});
is(row('3', 'status'), 'queued', 'not that of a row that has let go of it');
sql(q{INSERT INTO rent (flat, tenant, amount) VALUES ('4', 'Dana', 1); DELETE FROM mf_invoice WHERE customer_reference = '2'});
sql(q{BEGIN; DELETE FROM rent WHERE flat = '4'; ROLLBACK; BEGIN; SAVEPOINT s; DELETE FROM rent WHERE flat = '4'; ROLLBACK TO s; COMMIT});
is(row('4', 'status'), 'queued', 'one that is rolled back is not deleted');
sql(q{DO $$ BEGIN DELETE FROM rent WHERE flat = '4'; RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END $$});
is(row('4', 'status'), 'queued', 'nor one of a block that has failed');
sql(q{DO $$ BEGIN DELETE FROM rent WHERE flat = '4'; ASSERT (SELECT status FROM mf_invoice WHERE customer_reference = '4') = 'cancelled'; END $$});
is(row('4', 'status'), 'cancelled', 'it is at the end of the statement, within a function, too');
sql(q{INSERT INTO rent (flat, tenant, amount) VALUES ('5', 'Ed', 1); DELETE FROM rent WHERE flat = '5'; INSERT INTO rent (flat, tenant, amount) VALUES ('5', 'Ed', 1)});
is(row('5', 'status'), "cancelled\nqueued", 'one that is deleted and comes anew has a new invoice');
sql(q{CREATE TABLE flats (flat text PRIMARY KEY); INSERT INTO flats VALUES ('7'), ('8');
	CREATE TABLE let (LIKE rent INCLUDING DEFAULTS, FOREIGN KEY (flat) REFERENCES flats ON DELETE CASCADE);
	CREATE TRIGGER invoice } . qq{$all ON let FOR EACH ROW EXECUTE FUNCTION mf_enqueue($map, $options);
	INSERT INTO let (flat, tenant, amount) VALUES ('7', 'G', 1), ('8', 'H', 1); DELETE FROM flats WHERE flat = '7'});
is(row($_, 'status'), $_ == 7 ? 'cancelled' : 'queued', "what a foreign key deletes, is, too ($_)") for 7, 8;

#
# What has left
#
sub left
{
	my ($flat, $due) = @_;

	sql("INSERT INTO rent (flat, tenant, amount, due) VALUES ('$flat', 'left', 9, " . ($due // 'now()') . ')');
	return;
}
$sandbox->faults({ path => 'SendPayment', reference_prefix => 'sending', never => $true, times => -1 },
	{ path => 'SendPayment', reference_prefix => 'unknown', status => 500, times => -1, create => $true },
	{ path => 'SendPayment', reference_prefix => 'rejected', times => -1, shape => 1 });
left($_) for qw(sent sending unknown rejected);
left($_, "'2099-01-01'") for qw(review verify);
$mf->wait_status($node, $db, $_, $_) for qw(sent sending unknown rejected);
sql(q{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'review' WHERE customer_reference = 'review';
	UPDATE mf_queue SET kind = 'review', due = 'infinity' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'review');
	UPDATE mf_queue SET kind = 'verify' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'verify')});
my %change = (
	sent => 'Its status is "sent". | Its link can be paid. Cancel it in the MyFatoorah portal first, then insert a new one.',
	(map { $_ => qq{Its status is "$_". | It may exist already. Wait for its outcome, or call mf_cancel(N), and insert a new one once it is cancelled.} } qw(sending unknown)),
	review => 'Its status is "review". | Decide about it first: SELECT next_step FROM mf_review WHERE id = N.');
my %deletion = (
	sent => 'Its status is "sent". | Cancel it in the MyFatoorah portal, and delete the row once payment_status says so; mf_refresh(N) asks. To keep the invoice, empty the column that has its id first.',
	(map { $_ => 'Its status is "' . ($_ eq 'verify' ? 'queued' : $_) . '", and it may exist already. | Call mf_cancel(N), and delete the row once the invoice is cancelled.' } qw(sending unknown verify)),
	review => q{Its status is "review". | Decide about it first with mf_resolve(N, 'abandon', 'reason').});

foreach my $state (sort keys %deletion)
{
	is(attempt("UPDATE rent SET amount = 8 WHERE flat = '$state'"), $change{$state} ? "55000: invoice N can no longer be changed | $change{$state}" : 'ok ', "$state: the row cannot be corrected");
	is(attempt("DELETE FROM rent WHERE flat = '$state'"), "55000: invoice N cannot be cancelled with its row | $deletion{$state}", "$state: nor deleted");
	is(attempt("DELETE FROM rent WHERE flat IN ('1', '$state')") =~ s/ \|.*//r, '55000: invoice N cannot be cancelled with its row', "$state: nor with others");
	is(attempt("UPDATE rent SET note = 'x' WHERE flat = '$state'"), 'ok ', "$state: but what feeds nothing is free");
}
is(row('1', 'status'), 'queued', 'and these were not deleted, either');
sql(q{UPDATE rent SET amount = 7 WHERE flat = 'rejected'});
is(row('rejected', q{concat_ws(' ', status, invoice_value)}), 'rejected 7', 'a rejected one follows');
is(attempt(q{DELETE FROM rent WHERE flat = 'rejected'}) . row('rejected', 'status'), 'ok cancelled', 'and goes');
is(attempt(q{DELETE FROM rent WHERE flat = 'rejected'}), 'ok ', 'nothing is nothing');
my $sent = row('sent', 'invoice_id');
$sandbox->invoice($sent, 'cancel');
sql(q{SELECT mf_refresh(id) FROM mf_invoice WHERE customer_reference = 'sent'});
$mf->wait_for($node, $db, q{SELECT payment_status FROM mf_invoice WHERE customer_reference = 'sent'}, 'remote_cancelled');
is(attempt(q{DELETE FROM rent WHERE flat = 'sent'}), 'ok ', 'the way out leads out: once it is cancelled in the portal, the row can go');
sql(q{UPDATE rent SET invoice = NULL WHERE flat = 'review'; DELETE FROM rent WHERE flat = 'review'});
is(row('review', 'status'), 'review', 'a row lets go of it and is deleted');
$sandbox->clear_faults;

#
# A row that moves to another partition, there and back, by several ways
#
make_table('bill', $all, "$map, $options", 'PARTITION BY LIST (note)');
sql(q{CREATE TABLE bill_a PARTITION OF bill FOR VALUES IN ('a'); CREATE TABLE bill_b (note text, invoice bigint, gone int, due timestamptz, amount numeric, tenant text, flat text);
	ALTER TABLE bill_b DROP COLUMN gone; ALTER TABLE bill ATTACH PARTITION bill_b FOR VALUES IN ('b');
	INSERT INTO bill (flat, tenant, amount, note) SELECT 'bill-' || n, 'T', 10, 'a' FROM generate_series(1, 4) n});
sub bills
{
	return sql(q{SELECT string_agg(concat_ws(' ', i.customer_reference, i.status, i.invoice_value, b.note), ', ' ORDER BY i.id) FROM mf_invoice i LEFT JOIN bill b ON b.invoice = i.id WHERE i.customer_reference LIKE 'bill-%'});
}
sql(q{UPDATE bill SET note = 'b' WHERE flat = 'bill-1'; UPDATE bill SET note = 'b', amount = 20 WHERE flat = 'bill-2'; UPDATE bill SET amount = 30 WHERE flat = 'bill-3'});
is(bills(), 'bill-1 queued 10 b, bill-2 queued 20 b, bill-3 queued 30 a, bill-4 queued 10 a', 'it neither cancels nor makes another, and what has changed follows');
sql(q{UPDATE bill SET note = CASE note WHEN 'a' THEN 'b' ELSE 'a' END, amount = amount + 1 WHERE flat <> 'bill-4'});
is(bills(), 'bill-1 queued 11 a, bill-2 queued 21 a, bill-3 queued 31 b, bill-4 queued 10 a', 'so do many at once');
sql(q{WITH gone AS (DELETE FROM bill_a WHERE flat = 'bill-1' RETURNING flat, tenant, amount, due, invoice) INSERT INTO bill_b (flat, tenant, amount, due, note, invoice) SELECT flat, tenant, amount + 1, due, 'b', invoice FROM gone});
is(bills(), 'bill-1 queued 12 b, bill-2 queued 21 a, bill-3 queued 31 b, bill-4 queued 10 a', 'and one that is moved by hand');
sub replaced
{
	my ($flat, $columns) = @_;

	return attempt(qq{WITH gone AS (DELETE FROM rent WHERE flat = '$flat' RETURNING flat, tenant, amount, due, $columns)
		INSERT INTO rent (flat, tenant, amount, due, invoice) SELECT flat, tenant, amount + 1, due, invoice FROM gone});
}
sql(q{INSERT INTO rent (flat, tenant, amount) VALUES ('again', 'A', 5)});
is(replaced('again', 'invoice') . row('again', q{concat_ws(' ', status, invoice_value)}), 'ok queued 6', 'so does a row of a plain table that is deleted and inserted again');
like(replaced('verify', 'invoice') . replaced('sending', 'invoice'), qr/^ok 55000: invoice N can no longer be changed/, 'unless its invoice has left');
is(sql(q{SELECT concat_ws(' ', count(*), min(amount)) FROM rent WHERE flat = 'sending'}), '1 9', 'then the row stays as it was');
make_table('fee', $all, "$map, $options, 'idempotency_key=note'");
sql(q{INSERT INTO fee (flat, tenant, amount, note) VALUES ('fee', 'F', 5, 'the fee')});
is(attempt(q{WITH gone AS (DELETE FROM fee RETURNING *) INSERT INTO fee (flat, tenant, amount, due, note) SELECT flat, tenant, amount + 1, due, note FROM gone}) . row('fee', q{concat_ws(' ', status, invoice_value)}),
	'ok queued 6', 'and one that is found by its key');
sql(q{DELETE FROM fee});
is(attempt(q{INSERT INTO fee (flat, tenant, amount, note) VALUES ('fee', 'F', 5, 'the fee')}),
	'23505: a cancelled invoice has the idempotency_key of a row of table "fee" | It is invoice N, which is not sent. | Give the row another key. Or let the owner of mf_invoice delete that invoice, which frees its key.',
	'a later row does not get the invoice that was cancelled with the first');
sql(q{DELETE FROM mf_invoice WHERE idempotency_key = 'the fee'; INSERT INTO fee (flat, tenant, amount, note) VALUES ('fee', 'F', 7, 'the fee')});
is(row('fee', q{concat_ws(' ', status, invoice_value)}), 'queued 7', 'and the way out leads out');
is(attempt(q{UPDATE bill SET note = 'a', amount = -1 WHERE flat = 'bill-1'}) =~ s/ \|.*//r, '22023: invoice_value must be greater than zero', 'what cannot follow does not move');
sql(q{DELETE FROM bill WHERE flat IN ('bill-1', 'bill-2')});
is(bills(), 'bill-1 cancelled 12, bill-2 cancelled 21, bill-3 queued 31 b, bill-4 queued 10 a', 'what is deleted is cancelled');
sql(q{CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM rent WHERE flat = 'nobody'; INSERT INTO rent (flat, tenant, amount) VALUES ('inner', 'I', 1); DELETE FROM rent WHERE flat = 'inner'; RETURN NULL; END $$;
	CREATE TRIGGER a_meddle AFTER DELETE ON bill FOR EACH ROW EXECUTE FUNCTION meddle(); CREATE TRIGGER z_meddle AFTER DELETE ON bill FOR EACH ROW EXECUTE FUNCTION meddle()});
sql(q{UPDATE bill SET note = 'a' WHERE flat = 'bill-3'});
is(bills() . ' ' . row('inner', 'status'), "bill-1 cancelled 12, bill-2 cancelled 21, bill-3 queued 31 a, bill-4 queued 10 a cancelled\ncancelled", 'statements within the triggers of a statement end for themselves');
is($sandbox->count(path => '/v2/SendPayment'), 4, 'nothing of all this was sent');

#
# Rights are those of whoever changes the row
#
sql(q{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; CREATE ROLE stranger LOGIN; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice, bob;
	GRANT ALL ON rent TO alice, bob, stranger});
sql(q{SET SESSION AUTHORIZATION alice; INSERT INTO rent (flat, tenant, amount) VALUES ('alices', 'A', 5)});
is(attempt($_, 'bob') =~ s/ \|.*//r, '42501: permission denied for invoice N', "others' rows: $_") for q{UPDATE rent SET amount = 6 WHERE flat = 'alices'}, q{DELETE FROM rent WHERE flat = 'alices'};
is(attempt($_, 'stranger') =~ s/ \|.*//r, '42501: permission denied for table mf_invoice', "without a right: $_") for q{UPDATE rent SET amount = 6 WHERE flat = 'alices'}, q{DELETE FROM rent WHERE flat = 'alices'};
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON mf_invoice USING (false)});
is(attempt($_, 'alice'), '42501: permission denied for invoice N | Row-level security does not let role "alice" update it.', "what policies hide is not left behind unseen: $_")
  for q{UPDATE rent SET amount = 6 WHERE flat = 'alices'}, q{DELETE FROM rent WHERE flat = 'alices'};
sql(q{DROP POLICY seen ON mf_invoice; ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY});
is(attempt(q{UPDATE rent SET amount = 6 WHERE flat = 'alices'; DELETE FROM rent WHERE flat = 'alices'}, 'alice') . row('alices', q{concat_ws(' ', status, invoice_value)}), 'ok cancelled 6', 'their own follow');
sql(q{UPDATE rent SET invoice = 999999 WHERE flat = '5'});
is(attempt(q{UPDATE rent SET amount = 6 WHERE flat = '5'; DELETE FROM rent WHERE flat = '5'}), 'ok ', 'an invoice that is no more holds up nobody');

#
# Where the triggers of mf_invoice do not fire
#
sql(qq{CREATE TABLE replica (LIKE rent INCLUDING DEFAULTS); CREATE TRIGGER invoice $all ON replica FOR EACH ROW EXECUTE FUNCTION mf_enqueue($map, $options);
	INSERT INTO replica (flat, tenant, amount) VALUES ('replica', 'R', 5); ALTER TABLE replica ENABLE ALWAYS TRIGGER invoice});
my $fire = '0A000: trigger "invoice" cannot make, change or cancel an invoice in a replica | The triggers of mf_invoice do not fire while logical replication applies a row, or while session_replication_role is replica.'
  . ' | Let the trigger fire where the row is changed first: ALTER TABLE public.replica ENABLE TRIGGER invoice';
is(attempt("SET session_replication_role = replica; $_"), $fire, "in a replica: $_")
  for q{UPDATE replica SET amount = 77}, q{DELETE FROM replica}, q{INSERT INTO replica (flat, tenant, amount) VALUES ('new', 'N', 1)};
is(attempt(q{SET session_replication_role = replica; UPDATE replica SET note = 'x'; INSERT INTO replica SELECT * FROM replica}), 'ok ', 'what has its invoice, and feeds nothing, is replicated');
is(row('replica', q{concat_ws(' ', status, invoice_value, i.id = q.invoice)}), 'queued 5 t', 'and the invoice is as it was');

#
# What was archived
#
left($_) for qw(old-paid old-expired);
left('old-cancelled', "'2099-01-01'");
$mf->wait_status($node, $db, $_) for qw(old-paid old-expired);
sql(q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'old-cancelled'; SET session_replication_role = replica;
	UPDATE mf_invoice SET created_at = '2020-01-01', payment_status = CASE customer_reference WHEN 'old-paid' THEN 'paid' WHEN 'old-expired' THEN 'expired' ELSE payment_status END WHERE customer_reference LIKE 'old-%';
	DELETE FROM mf_inquiry q USING mf_invoice i WHERE i.id = q.invoice AND i.customer_reference LIKE 'old-%'});
is(sql(q{SELECT mf_archive('2020-02-01')}), 3, 'three are archived');
my $paid = '55000: invoice N was paid, and is archived | Its row cannot be changed or deleted, because the row would then differ from what was paid. | To go on without the invoice, empty the column that has its id first; mf_invoice_all keeps it.';
is(attempt($_), $paid, "what was paid stays: $_") for q{UPDATE rent SET amount = 99 WHERE flat = 'old-paid'}, q{DELETE FROM rent WHERE flat = 'old-paid'}, q{DELETE FROM rent WHERE flat IN ('old-cancelled', 'old-paid')};
is(attempt($_), 'ok ', "the rest holds up nothing: $_") for q{UPDATE rent SET amount = 99 WHERE flat IN ('old-expired', 'old-cancelled')}, q{DELETE FROM rent WHERE flat IN ('old-expired', 'old-cancelled')},
  q{UPDATE rent SET note = 'x' WHERE flat = 'old-paid'}, q{UPDATE rent SET invoice = NULL WHERE flat = 'old-paid'; DELETE FROM rent WHERE flat = 'old-paid'};

#
# Arguments
#
sub refused
{
	my ($when, $arguments, $statement, $table) = @_;

	$table //= 'plain';
	sql(qq{DROP TABLE IF EXISTS $table});
	sql(qq{CREATE TABLE $table (LIKE rent INCLUDING DEFAULTS)});
	sql(sprintf 'CREATE %s', $when =~ /CONSTRAINT/ ? $when =~ s/TABLE/$table/r . " FOR EACH ROW EXECUTE FUNCTION mf_enqueue($arguments)" : "TRIGGER invoice $when ON $table FOR EACH ROW EXECUTE FUNCTION mf_enqueue($arguments)");
	return attempt($statement // "INSERT INTO $table (flat, tenant, amount) VALUES ('x', 'x', 1)");
}
my $plain = $map =~ s/, 'id=invoice'//r;
is(refused($all, "$map, 'on_update=copy'"), '22023: invalid value for on_update: "copy" | The valid value is "sync". Without the argument the invoice stays as it is.', 'values are checked');
is(refused($all, "$plain, 'on_delete=cancel'"), q{22023: trigger "invoice" has on_delete=cancel, but no argument names the column with the id | Add an argument such as 'id=column' to mf_enqueue().}, 'the invoice must be known');
is(refused('AFTER INSERT', "$map, 'on_update=sync'"), '22023: trigger "invoice" has on_update=sync, but does not fire for UPDATE | Create it as AFTER INSERT OR UPDATE ... FOR EACH ROW.', 'an option that could do nothing is an error: on_update');
is(refused('AFTER INSERT OR UPDATE', "$map, $options"), '22023: trigger "invoice" has on_delete=cancel, but does not fire for DELETE | Create it as AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.', 'on_delete');
is(refused("CONSTRAINT TRIGGER invoice $all ON TABLE DEFERRABLE INITIALLY DEFERRED", "$map, $options"), '22023: trigger "invoice" has on_update=sync, so it must not be deferrable | Create it as a plain trigger, not as a constraint trigger.', 'deferred');
is(refused('AFTER INSERT OR UPDATE', $map), q{39P01: trigger "invoice" must be an AFTER INSERT trigger FOR EACH ROW | It fires for UPDATE, and no argument says what happens to the invoice then. | Create it as AFTER INSERT ... FOR EACH ROW, or add the argument 'on_update=sync'.}, 'without the option, an event too many is an error: UPDATE');
is(refused('AFTER INSERT OR DELETE', $map, q{INSERT INTO plain (flat, tenant, amount) VALUES ('x', 'x', 1); DELETE FROM plain}), q{39P01: trigger "invoice" must be an AFTER INSERT trigger FOR EACH ROW | It fires for DELETE, and no argument says what happens to the invoice then. | Create it as AFTER INSERT ... FOR EACH ROW, or add the argument 'on_delete=cancel'.}, 'DELETE');
is(refused('AFTER INSERT OR UPDATE', "$map, 'on_update=sync'", q{INSERT INTO plain (flat, tenant, amount) VALUES ('only', 'x', 1); UPDATE plain SET amount = 2; DELETE FROM plain}) . row('only', q{concat_ws(' ', status, invoice_value)}), 'ok queued 2', 'each option by itself: on_update');
is(refused('AFTER INSERT OR DELETE', "$map, 'on_delete=cancel'", q{INSERT INTO plain (flat, tenant, amount) VALUES ('only2', 'x', 1); UPDATE plain SET amount = 2; DELETE FROM plain}) . row('only2', q{concat_ws(' ', status, invoice_value)}), 'ok cancelled 1', 'on_delete');
sql(q{DROP TABLE bill});
make_table('bill', 'AFTER INSERT OR UPDATE', "$map, 'on_update=sync'", 'PARTITION BY LIST (note)');
sql(q{CREATE TABLE bill_a PARTITION OF bill FOR VALUES IN ('a')});
is(attempt(q{INSERT INTO bill (flat, tenant, amount, note) VALUES ('part', 'x', 1, 'a')}), '22023: trigger "invoice" has on_update=sync, but does not fire for DELETE | A row that moves to another partition is deleted here and inserted there. | Create it as AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.', 'of partitions, a move must be seen');

#
# The id in a column of another type; a column that gets another type
#
sql(q{ALTER TABLE rent ALTER COLUMN invoice TYPE text; INSERT INTO rent (flat, tenant, amount) VALUES ('text', 'x', 1); UPDATE rent SET amount = 2 WHERE flat = 'text'});
is(row('text', 'invoice_value'), 2, 'the id is a text');
sql(q{ALTER TABLE rent ALTER COLUMN amount TYPE int USING amount::int; UPDATE rent SET amount = 3 WHERE flat = 'text'});
is(row('text', 'invoice_value'), 3, 'the amount is a whole number');
sql(q{DELETE FROM rent WHERE flat = 'text'});
is(row('text', 'status'), 'cancelled', 'and it goes with the row');

#
# Ten thousand
#
sql(q{CREATE TABLE many (LIKE rent INCLUDING DEFAULTS); CREATE TRIGGER invoice } . "$all ON many FOR EACH ROW EXECUTE FUNCTION mf_enqueue($map, $options)");
sql(q{INSERT INTO many (flat, tenant, amount) SELECT 'many-' || n, 'T', 1 FROM generate_series(1, 10000) n});
my $seconds = $mf->seconds(sub { sql(q{DELETE FROM many}) });
is(sql(q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'many-%' AND status = 'cancelled'}), 10_000, 'all are cancelled');
cmp_ok($seconds, '<', 100, 'in less than ten seconds per thousand');
diag(sprintf '10,000 rows deleted in %.0f ms', 1000 * $seconds);

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
