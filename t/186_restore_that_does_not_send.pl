# A base backup that is restored with recovery, to a point in time say, looks like a promoted standby, so nothing pauses it. What docs/operations.md
# advises keeps it from sending while its original lives on: worker_enabled = off before the first start, then mf_pause('*'), then on again.
use MyFatoorah::Test qw(sql);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', init => { allows_streaming => 1 }, conf => "myfatoorah.lookup_delay = '20ms'\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.poll_delay = '20ms'");
my $db = 'postgres';

$mf->setup_account($node, $db, $sandbox, options => { connect_timeout => '500ms', timeout => '1s', time_zone => $mf->noon_zone($node) });
sql('CREATE EXTENSION myfatoorah_billing; CREATE TABLE told (at timestamptz);
	CREATE FUNCTION tell(was mf_invoice, is_now mf_invoice) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told VALUES (now()) $$');
sql(q{SELECT mf_on_change('tell(mf_invoice, mf_invoice)')});
$mf->wait_worker($node, $db);
$mf->insert($node, $db, 'sent');
$mf->wait_status($node, $db, 'sent');
$mf->insert_many($node, $db, 'cancelled-since', 2, send_at => "now() + interval '1 h'");
$mf->insert_many($node, $db, 'later', 2, send_at => "now() + interval '1 h'");
$node->backup('backup');

# The original lives on, and rests: what reaches MyFatoorah from now on is of the copy.
is(sql(q{SELECT count(*) FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE 'cancelled-since%'), 'tenant moved out') WHERE result = 'cancelled'}),
	2, 'the original cancels two invoices after the backup');
sql(q{SELECT mf_pause('*', 'only the copy is looked at')});
$mf->wait_idle($node, $db);
my $asked = $sandbox->count;

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'backup');
$copy->append_conf('postgresql.conf', "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\nmyfatoorah.worker_enabled = off");
append_to_file($copy->data_dir . '/recovery.signal', '');
$mf->write_key($copy, $sandbox->key);
$copy->start;
$copy->poll_query_until($db, 'SELECT NOT pg_is_in_recovery()') or die "recovery does not end\n";

sub on_copy { return $copy->safe_psql($db, $_[0]); }

# Whatever is due there, or told of, stays where it is.
on_copy(q{TRUNCATE told;
	INSERT INTO mf_plan (plan_key, template, starts_on, every, at_time, times) VALUES ('rent', '{"customer_name": "Noura", "total": 5}', mf_local_day('myfatoorah', now()), '1 month', '00:01', 1);
	SELECT mf_call_at('public.mf_billing_tick', now());
	UPDATE mf_invoice SET send_at = now() WHERE status = 'queued';
	SELECT mf_refresh(id) FROM mf_invoice WHERE status = 'sent'});
$mf->insert($copy, $db, 'new');
$mf->insert($copy, $db, 'withdrawn');
on_copy(q{SELECT mf_cancel(id, 'its end is to be told') FROM mf_invoice WHERE customer_reference = 'withdrawn'});
$copy->reload;
$copy->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'myfatoorah launcher'}) or die "no launcher\n";
my $others = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'myfatoorah %' AND backend_type NOT LIKE '% launcher'};
$mf->wait_for($copy, $db, $others, 0);
my $state = q{SELECT string_agg(customer_reference || ' ' || status, ', ' ORDER BY customer_reference), (SELECT count(*) FROM mf_plan_period), (SELECT count(*) FROM told) FROM mf_invoice};
my $queued = 'cancelled-since-1 queued, cancelled-since-2 queued, later-1 queued, later-2 queued, new queued, sent sent, withdrawn cancelled|0|0';
is(on_copy($state), $queued, 'off: nothing is sent, billed or told');

# A pause of a person holds the same, and lasts.
on_copy(q{SELECT mf_pause('*', 'restored: the original lives')});
$copy->append_conf('postgresql.conf', 'myfatoorah.worker_enabled = on');
$copy->reload;
$mf->wait_worker($copy, $db);
$mf->wait_for($copy, $db, 'SELECT count(promoted_at) FROM mf_identity', 1);
$copy->restart;
$mf->wait_worker($copy, $db);
$mf->wait_idle($copy, $db);
is(on_copy($state), $queued, 'paused: nothing is sent, billed or told either, also after a restart');
is(on_copy(q{SELECT string_agg(account || ' ' || reason, ', ') FROM mf_account WHERE paused_at IS NOT NULL}), '* restored: the original lives', 'and the pause is that of the person');
is($sandbox->count - $asked, 0, 'nothing has reached MyFatoorah');

# What the original has cancelled a person cancels here, too; then all the rest goes.
is(on_copy(q{SELECT string_agg(result, ' ') FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE 'cancelled-since%'), 'cancelled on the original')}),
	'cancel_requested cancel_requested', 'a person cancels them here, too, which is done once they are looked up');
on_copy(q{SELECT mf_resume('*')});
on_copy(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
$mf->wait_settled($copy, $db);
$mf->wait_for($copy, $db, q{SELECT count(*) FROM mf_plan_period}, 1);
$mf->wait_for($copy, $db, q{SELECT count(*) > 0 FROM told});
$mf->wait_settled($copy, $db);
like(on_copy($state), qr/^cancelled-since-1 cancelled, cancelled-since-2 cancelled, later-1 sent, later-2 sent, new sent, sent sent, withdrawn cancelled\|1\|[1-9]/, 'after mf_resume() the others are sent');
is(join(' ', sort grep { /^cancelled/ } $sandbox->names), '', 'and nobody has got what was cancelled');
$_->stop foreach $copy, $node;
done_testing();
