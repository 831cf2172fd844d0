# What was decided before a long outage is not sent after it as if nothing had happened: MyFatoorah is asked first whether the former link was
# paid meanwhile; and a reminder that is overtaken, by cash, a snooze or a later rule, is not sent at all.
use MyFatoorah::Test qw(sql wait_for);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '1d'\nmyfatoorah.on_change_timeout = '30s'");
my $db = 'postgres';

# Columns that only the server writes, as they would be a day later
sub as_it_was
{
	return sql("BEGIN; SET LOCAL session_replication_role = replica; $_[0]; COMMIT");
}

# The requests that have made invoices of a reference since, and those that have asked for its first one
sub requests
{
	my ($key, $since) = @_;
	my $first = sql("SELECT min(i.invoice_id) FROM mf_invoice i WHERE i.customer_reference = '$key'");

	return map { $_->{path} =~ /getpaymentstatus/i ? 'asked' : $_->{body} =~ /"NotificationOption":"(\w+)"/ ? $1 : 'LNK' }
	  grep { $_->{seq} > $since && ($_->{path} =~ /getpaymentstatus/i ? $_->{body} =~ /"$first"/ : $_->{body} =~ /"$key"|"$key\./) } $sandbox->ledger;
}

$mf->setup_account($node, $db, $sandbox, options => { time_zone => $mf->noon_zone($node) });
sql('CREATE EXTENSION myfatoorah_billing');
$mf->wait_worker($node, $db);

my @keys = qw(paid cash snoozed later unpaid);
sql(q{INSERT INTO mf_billing_policy (account, weekend) VALUES ('myfatoorah', '{}');
	INSERT INTO mf_reminder_rule (name, days_from_due, at_time, notification_option) VALUES ('first', 0, '00:01', 'EML')});
sql("INSERT INTO mf_bill (customer_name, customer_email, total, bill_key, customer_reference) SELECT 'Ahmad', 'a\@example.com', CASE k WHEN 'later' THEN 100 ELSE 10 END, k, k FROM unnest('{@{[ join ',', @keys ]}}'::text[]) k;
	INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference) SELECT 'Ahmad', 10, k FROM unnest('{core paid,core unpaid}'::text[]) k");
wait_for(q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 7);

#
# MyFatoorah was asked, reminders are made, and nothing can be sent
#
sql(q{SELECT mf_pause('myfatoorah')});
as_it_was(q{UPDATE mf_bill SET created_at = now() - interval '2 days', send_at = now() - interval '2 days'; UPDATE mf_reminder_rule SET since = now() - interval '2 days';
	UPDATE mf_link SET asked_at = now(), asked_for = now()});
sql(q{SET ROLE myfatoorah_billing; INSERT INTO mf_reminder_queue (bill, due, asked_since) SELECT id, now(), now() - interval '10 minutes' FROM mf_bill ON CONFLICT (bill) DO UPDATE SET due = now(), asked_since = now() - interval '10 minutes'});
sql('SELECT mf_billing_tick(now())');
wait_for('SELECT count(*) FROM mf_reminder', 5);
sql(q{SELECT mf_replace(id) FROM mf_invoice WHERE customer_reference LIKE 'core%'});
is(sql(q{SELECT string_agg(DISTINCT notification_option, ' '), count(*) FROM mf_invoice WHERE status = 'queued'}), 'EML LNK|7', 'reminders and replacements wait for MyFatoorah');

# Meanwhile some pay by their former link, of which nobody tells us, or in cash
$sandbox->invoice(sql("SELECT min(invoice_id) FROM mf_invoice WHERE customer_reference = '$_'"), 'pay') foreach 'paid', 'core paid';
sql(q{INSERT INTO mf_receipt (bill, method, value) SELECT id, 'cash', 10 FROM mf_bill WHERE bill_key = 'cash'});
is(sql(q{SELECT count(*) FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.bill_key = 'cash'}), 0, 'whoever has paid in cash was not reminded');
sql(q{SELECT mf_snooze(id, current_date + 10, 'he asked for time') FROM mf_bill WHERE bill_key = 'snoozed'});
is(sql(q{SELECT count(*) FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill WHERE b.bill_key = 'snoozed'}), 0, 'nor was who was given time');
# and a later rule is due for one
sql(q{INSERT INTO mf_reminder_rule (name, days_from_due, at_time, notification_option, min_balance) VALUES ('second', 0, '00:02', 'EML', 50)});
as_it_was(q{UPDATE mf_reminder_rule SET since = now() - interval '2 days'; UPDATE mf_link SET asked_at = now(), asked_for = now()});
sql(q{SET ROLE myfatoorah_billing; INSERT INTO mf_reminder_queue (bill, due, asked_since) SELECT id, now(), now() - interval '10 minutes' FROM mf_bill WHERE bill_key = 'later' ON CONFLICT (bill) DO UPDATE SET due = now(), asked_since = now() - interval '10 minutes'});
sql('SELECT mf_billing_tick(now())');
wait_for(q{SELECT string_agg(r.name, ' ') FROM mf_reminder m JOIN mf_bill b ON b.id = m.bill JOIN mf_reminder_rule r ON r.id = m.rule WHERE b.bill_key = 'later'}, 'second');
pass('a later rule takes the place of one that was not sent');

#
# A day later. Of two, a clock that was ahead has said when they were made.
#
as_it_was(q{UPDATE mf_invoice SET created_at = now() + interval '1 day' * CASE WHEN customer_reference LIKE 'core%' THEN 1 ELSE -1 END WHERE status = 'queued'});
my $since = $sandbox->control('GET', 'ledger?limit=1&since=0')->{last};
sql(q{SELECT mf_resume('myfatoorah')});
wait_for(q{SELECT status FROM mf_bill WHERE bill_key = 'paid'}, 'paid');
wait_for(q{SELECT count(*) FROM mf_invoice WHERE status = 'queued'}, 0);
wait_for(q{SELECT count(*) FROM mf_inquiry WHERE urgent}, 0);
is(join(' ', requests('paid', $since)), 'asked', 'who has paid by a former link is asked about, and not reminded');
is(sql(q{SELECT string_agg(i.status, ' ' ORDER BY i.id), b.received, b.overpaid FROM mf_bill b JOIN mf_link k ON k.bill = b.id JOIN mf_invoice i ON i.id = k.invoice WHERE b.bill_key = 'paid' GROUP BY b.id}), 'sent cancelled|10.000|0.000', 'the reminder is cancelled, and the payment booked');
is(join(' ', grep { $_ ne 'asked' } requests('cash', $since)), '', 'nothing is sent to who has paid in cash');
is(join(' ', grep { $_ ne 'asked' } requests('snoozed', $since)), 'LNK', 'who was given time has a link, which is not mailed');
is(join(' ', grep { $_ ne 'asked' } requests('later', $since)), 'EML', 'one reminder goes where two were due');
like(join(' ', requests('unpaid', $since)), qr/^asked( asked)* EML$/, 'who has not paid is asked about before the reminder leaves');
is(sql(q{SELECT string_agg(status || ' ' || payment_status, ', ' ORDER BY id) FROM mf_invoice WHERE customer_reference = 'core paid'}), 'sent paid, cancelled unpaid', 'so it is with invoices without bills');
like(join(' ', requests('core unpaid', $since)), qr/^asked( asked)* LNK$/, 'which are sent if nobody has paid');
is(sql(q{SELECT count(*) FROM mf_review}), 0, 'and nobody has to decide anything');

done_testing();
