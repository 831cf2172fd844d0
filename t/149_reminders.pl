# Reminders by a running worker: it wakes when one is due, asks MyFatoorah first, says nothing to who has paid, and dumps
# carry rules and reminders.
use MyFatoorah::Test qw(sql wait_for);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1d'");
my $db = 'postgres';

$mf->setup_account($node, $db, $sandbox, options => { time_zone => $mf->noon_zone($node) });
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, $db);

# There is a reminder on each day of the week here.  The time of the rules is some seconds ahead.
sql(q{INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}')});
my $ahead = q{(now() + interval '6 seconds') AT TIME ZONE (mf_account_facts('myfatoorah')).time_zone};
sql(qq{INSERT INTO mf_bill (customer_name, customer_email, total, bill_key, due_date)
	SELECT 'Ahmad', 'a\@example.com', 10, key, ($ahead)::date FROM unnest('{paid,event,other}'::text[]) key});
wait_for(q{SELECT count(*) FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE i.status = 'sent'}, 3);
# one has paid, and neither a webhook nor a question has told so yet
$sandbox->invoice(sql(q{SELECT i.invoice_id FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.bill_key = 'paid'}), 'pay');
is(sql(q{SELECT status FROM mf_bill WHERE bill_key = 'paid'}), 'open', 'nobody knows yet that a bill was paid');

my $session = $mf->session($node, $db);
$session->query_safe('LISTEN mf_bill');
sql(qq{INSERT INTO mf_reminder_rule (name, days_from_due, at_time, via) VALUES ('today', 0, ($ahead)::time, 'event')});
wait_for('SELECT count(*) FROM mf_reminder', 2);
is(sql(q{SELECT string_agg(b.bill_key, ' ' ORDER BY b.bill_key) FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill}), 'event other', 'the worker reminds of bills when they are due');
is(sql(q{SELECT bool_and(fired_at >= due_at) FROM mf_reminder}), 't', 'not before');
wait_for(q{SELECT status FROM mf_bill WHERE bill_key = 'paid'}, 'paid');
wait_for('SELECT count(*) FROM mf_reminder_queue', 0);
is(sql('SELECT count(*) FROM mf_reminder'), 2, 'who has paid is asked about, and not reminded');
my $reminder = sql(q{SELECT m.id FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.bill_key = 'event'});
my $notified = $session->query("SELECT 'x'");
like($notified . ($session->{stdout} // ''), qr/"reminder": $reminder\}/, 'it is notified');
$session->quit;

# Nothing is due any more: no time waits but those of links
wait_for(q{SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NULL AND due < now() + interval '1 hour'}, 0);
is(sql(q{SELECT count(*) > 0 FROM mf_reaction_queue WHERE invoice IS NULL AND due > now() + interval '1 day'}), 't', 'and then nothing is called before a link is due');

# The customer pays before the program of the user has sent its reminder.
sql(q{INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 10 FROM mf_bill WHERE bill_key = 'event'});
is(sql("SELECT withdrawn_at IS NOT NULL FROM mf_reminder WHERE id = $reminder"), 't', 'a reminder that was not sent is withdrawn with the debt');
is(sql("SELECT mf_reminder_done($reminder)"), 'f', 'and its program is told so');

# Personal data of closed bills that are old is erased by the tick, once the age is set, that of others is not.
sql(q{INSERT INTO mf_bill (customer_name, total, bill_key) SELECT 'Noura', 10, key FROM unnest('{old,young}'::text[]) key; SELECT mf_void(id, 'x') FROM mf_bill WHERE customer_name = 'Noura'});
wait_for(q{SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL}, 0);
sql(q{BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_bill SET created_at = created_at - interval '500 days' WHERE bill_key = 'old';
	UPDATE mf_invoice i SET erased_at = now() FROM mf_link k, mf_bill b WHERE k.invoice = i.id AND b.id = k.bill AND b.customer_name = 'Noura'; COMMIT});
is(sql(q{SET ROLE myfatoorah_billing; SELECT mf_tick_forget(now(), 10) IS NULL}), 't', 'without an age all is kept for ever');
# two that a trigger of the user keeps, before and after it
sql(q{INSERT INTO mf_bill (customer_name, total, bill_key) SELECT 'Kept', 10, 'kept ' || n FROM generate_series(1, 2) n; SELECT mf_void(id, 'x') FROM mf_bill WHERE customer_name = 'Kept'});
wait_for(q{SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL}, 0);
sql(q{BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_bill SET created_at = created_at - CASE bill_key WHEN 'kept 1' THEN 499 ELSE 501 END * interval '1 day' WHERE customer_name = 'Kept';
	UPDATE mf_invoice i SET erased_at = now() FROM mf_link k, mf_bill b WHERE k.invoice = i.id AND b.id = k.bill AND b.customer_name = 'Kept'; COMMIT;
	CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'it is kept'; END$$; CREATE TRIGGER keep BEFORE UPDATE ON mf_bill FOR EACH ROW WHEN (OLD.bill_key ~ '^kept') EXECUTE FUNCTION keep()});
# and one whose invoice was archived, and has its customer
sql(q{INSERT INTO mf_bill (customer_name, total, bill_key, send_at) VALUES ('Salma', 10, 'archived', now() + interval '1 day'); SELECT mf_void(id, 'x') FROM mf_bill WHERE bill_key = 'archived'});
wait_for(q{SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL}, 0);
sql(q{BEGIN; SET LOCAL session_replication_role = replica; UPDATE mf_invoice SET created_at = '2020-01-01' WHERE id = (SELECT k.invoice FROM mf_link k JOIN mf_bill b ON b.id = k.bill WHERE b.bill_key = 'archived'); COMMIT});
sql(q{SELECT mf_archive('2020-02-01')});
is(sql(q{SELECT count(*) FROM mf_link k JOIN mf_bill b ON b.id = k.bill JOIN mf_invoice_all i ON i.id = k.invoice WHERE b.bill_key = 'archived' AND i.archived_at IS NOT NULL}), 1, 'an invoice is archived');
is(sql(q{SELECT mf_bill_unfinished(b) FROM mf_bill b WHERE bill_key = 'archived'}), 'one of its invoices is unfinished', 'a bill is not emptied before its archived invoice');
$node->append_conf('postgresql.conf', "myfatoorah.personal_data_retention = '400d'");
$node->reload;
wait_for(q{SELECT 0 * count(mf_call_at('public.mf_billing_tick', now())) + count(erased_at) FROM mf_bill WHERE bill_key = 'old'}, 1);
is(sql(q{SELECT string_agg(concat_ws('/', bill_key, customer_name), ' ' ORDER BY bill_key) FROM mf_bill WHERE bill_key IN ('old', 'young')}), 'old/ young/Noura', 'a closed bill that is old loses its customer');
is(sql(q{SELECT count(*) FROM mf_bill WHERE customer_name = 'Kept'}), 2, 'although others cannot be emptied');
is(sql(q{SELECT regexp_replace(detail, '\d+\.?$', 'N') FROM mf_check() WHERE item = 'personal_data' AND NOT ok}), 'Bills that are older than myfatoorah.personal_data_retention and were not emptied: 2 of the oldest; one is bill N', 'of which mf_check() tells');
like(($node->psql($db, 'SELECT mf_billing_tick(now())'))[2], qr/WARNING:  the customer of bill \d+ cannot be forgotten: it is kept/, 'and a tick by hand why');
sql('DROP TRIGGER keep ON mf_bill');
is(sql(q{SET ROLE myfatoorah_billing; SELECT mf_tick_forget(now(), 10) = now() + interval '1 day'}), 't', 'and the tick looks again tomorrow');

# Dumps
my $tables = q{SELECT md5(string_agg(t::text, E'\n' ORDER BY t.id)) FROM mf_reminder_rule t UNION ALL SELECT md5(string_agg(t::text, E'\n' ORDER BY t.id)) FROM mf_reminder t UNION ALL SELECT md5(string_agg(t::text, E'\n' ORDER BY t.account)) FROM mf_billing_policy t};
my ($reader, $snapshot) = $mf->snapshot($node, $db);
my $before = $reader->query_safe($tables);
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', $snapshot, '-f', $dump, $node->connstr($db) ], 'pg_dump');
$reader->quit;
sql('CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'and psql restore them');
is($node->safe_psql('restored', $tables), $before, 'rules begin where they were, and what was said is known');

done_testing();
