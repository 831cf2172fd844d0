# A month of the archive that was detached: what myfatoorah says of its rows, and how they come back. A detachment that was
# interrupted, and how archiving goes on.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $node = $mf->new_node('main', conf => 'myfatoorah.worker_enabled = off');
my $db = 'postgres';

# "ok", or the message and the hint
sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? 'ok' : join ': ', grep { defined } $got->{error} =~ s/^\w+: //r, $got->{HINT};
}

# A finished invoice of that day; its id
sub insert_old
{
	my ($customer, $day) = @_;

	return sql(qq{SET session_replication_role = replica;
		INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, reference, status, payment_status, invoice_id, sent_at, attempts, created_at, created_by_id, currency)
		VALUES ('Noura', 10.5, '$customer', '$customer.' || substr(md5('$day'), 1, 20) || '~2', 'sent', 'paid', abs(hashtext('$customer$day')), '$day', 1, '$day',
			(SELECT oid FROM pg_roles WHERE rolname = current_user), 'KWD') RETURNING id});
}

sub forget { return sql("SELECT string_agg(id || ' ' || result, ', ' ORDER BY id) FROM mf_forget('$_[0]')"); }

sql(q{CREATE EXTENSION myfatoorah; CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9')});
my $january = insert_old('B7', '2025-01-15');
my $february = insert_old('B7', '2025-02-15');
my $other = insert_old('B77', '2025-01-16');
my $longer = insert_old('B7.x', '2025-01-17');
is(sql(q{SELECT mf_archive('2025-03-01')}), 4, 'two months are archived');

#
# Detached, renamed, made anew
#
sql(q{ALTER TABLE mf_invoice_archive DETACH PARTITION mf_invoice_archive_2025_01; ALTER TABLE mf_invoice_archive_2025_01 RENAME TO kept_2025_01});
is(forget('B7'), "$january out of reach: its month was dropped or detached, $february forgotten", 'mf_forget() tells what it does not reach, of that customer alone');
my $refusal = "invoice $january cannot be moved back: If its month was dropped, it is in the MyFatoorah portal and in backups only. If it was detached, attach its table again or, where the month was made anew, INSERT INTO mf_invoice_archive SELECT * FROM it.";
is(attempt("SELECT mf_unarchive(ARRAY[$january])"), $refusal, 'mf_unarchive() tells what to do first');
sql("INSERT INTO mf_event (account, source, event_code, invoice, digest) VALUES ('myfatoorah', 'webhook', 1, $january, '\\x01')");
my $number = sql("SELECT invoice_id FROM mf_archive_key WHERE id = $january");
is(sql("SELECT next_step FROM mf_unmatched WHERE archived = $january"), "Its month was dropped or detached. If it was detached, bring its rows back into mf_invoice_archive, and the invoice from there: SELECT mf_unarchive(ARRAY[$january]). If it was dropped, look the invoice up in the MyFatoorah portal: invoice $number of account myfatoorah",
	'mf_unmatched, too');
like(attempt("SELECT mf_cancel($january)"), qr/^invoice $january is archived/, 'mf_cancel() says that it is archived');
my $late = insert_old('B8', '2025-01-20');
is(sql(q{SELECT mf_archive('2025-03-01')}), 1, 'the month is made anew');
like(attempt(q{ALTER TABLE mf_invoice_archive ATTACH PARTITION kept_2025_01 FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2025-02-01 00:00+00')}), qr/would overlap/, 'so the old one cannot be attached');
is(attempt('INSERT INTO mf_invoice_archive SELECT * FROM kept_2025_01; DROP TABLE kept_2025_01'), 'ok', 'but its rows come back');
is(sql(q{SELECT count(*) FROM mf_invoice_archive_2025_01}), 4, 'they are in the partition of their month');
is(forget('B7'), "$january forgotten, $february forgotten_before", 'where mf_forget() reaches them');
is(attempt("SELECT mf_unarchive(ARRAY[$january])"), 'ok', 'mf_unarchive() brings the row back');

#
# A detachment that was interrupted
#
my ($reader, $owner) = map { $mf->session($node, $db) } 1, 2;
$reader->query_safe('BEGIN; SELECT count(*) FROM mf_invoice_archive');
$owner->query_until(qr/begun/, "\\echo begun\nALTER TABLE mf_invoice_archive DETACH PARTITION mf_invoice_archive_2025_02 CONCURRENTLY;\n");
$mf->wait_for($node, $db, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'CONCURRENTLY' AND pid <> pg_backend_pid()}, 1);
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'CONCURRENTLY' AND pid <> pg_backend_pid()});
$owner->query('SELECT 1');
like($owner->{stderr}, qr/canceling statement/, 'a detachment is interrupted');
$reader->query_safe('COMMIT');
$_->quit for $reader, $owner;
is(sql(q{SELECT count(*) FROM pg_inherits WHERE inhdetachpending}), 1, 'the detachment is pending');
my $finish = 'ALTER TABLE mf_invoice_archive DETACH PARTITION mf_invoice_archive_2025_02 FINALIZE';
insert_old('B9', '2025-02-20');
insert_old('B9', '2025-04-15');
is(attempt(q{SELECT mf_archive('2025-05-01')}), "invoices cannot be archived: If its detachment was interrupted, finish it, and rename the table: $finish", 'mf_archive() tells how to finish it');
is(attempt("$finish; ALTER TABLE mf_invoice_archive_2025_02 RENAME TO kept_2025_02"), 'ok', 'that statement finishes the detachment');
is(sql(q{SELECT mf_archive('2025-05-01')}), 2, 'and archiving goes on');

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
