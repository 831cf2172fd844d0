# A promoted standby, or a copy of the data directory, that subscribes to its original, which goes on: a usual way to upgrade or to move
# without a pause. Both have the same system identifier, and still each acts only on what itself has queued, or has inherited.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my %quick = (options => { connect_timeout => '500ms', timeout => '1s' });
my $conf = "myfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '20ms'";
foreach my $kind ('standby', 'copy')
{
	my $sandbox = MyFatoorah::Sandbox->new;
	my $from = $mf->new_node("original_$kind", conf => $conf, init => { allows_streaming => 'logical' });

	$mf->setup_account($from, 'postgres', $sandbox, %quick);
	$mf->wait_worker($from, 'postgres');
	$mf->insert_many($from, 'postgres', 'early', 3);
	$mf->wait_settled($from, 'postgres');
	$mf->insert_many($from, 'postgres', 'inherited', 4, send_at => "now() + interval '1 h'");
	$from->safe_psql('postgres', q{CREATE PUBLICATION pub FOR ALL TABLES; SELECT pg_create_logical_replication_slot('sub', 'pgoutput')});
	$from->backup('b');

	my $to = PostgreSQL::Test::Cluster->new($kind);
	$to->init_from_backup($from, 'b', $kind eq 'standby' ? (has_streaming => 1) : ());
	$mf->write_key($to, $sandbox->key);
	$to->start;
	if ($kind eq 'standby')
	{
		$from->wait_for_catchup($kind);
		$to->promote;
	}
	$mf->wait_worker($to, 'postgres');
	$mf->wait_for($to, 'postgres', q{SELECT count(*) FROM mf_queue WHERE origin = mf_origin() AND kind = 'verify'}, 4);
	is($to->safe_psql('postgres', 'SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL'), $kind eq 'copy' ? 1 : 0,
		"$kind: what was queued before is inherited, and goes on after a look-up, of a copy when a person resumes");

	$to->safe_psql('postgres', sprintf "CREATE SUBSCRIPTION sub CONNECTION 'host=%s port=%s dbname=postgres' PUBLICATION pub WITH (create_slot = false, copy_data = false)",
		$from->host, $from->port);
	$mf->insert_many($from, 'postgres', 'late', 5, send_at => "now() + interval '1 h'");
	$from->wait_for_catchup('sub');
	is($to->safe_psql('postgres', q{SELECT count(*) FROM mf_queue WHERE origin <> mf_origin()}), 5, "$kind: what the other one has queued since is its own");

	# The subscriber lags, the primary sends and ends for good.
	$to->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE');
	$from->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE customer_name LIKE 'late-%'});
	$mf->wait_for($from, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE customer_name LIKE 'late-%' AND status = 'sent'}, 5);
	$from->stop('immediate');
	$to->safe_psql('postgres', 'ALTER SUBSCRIPTION sub SET (slot_name = NONE)');
	$to->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
	$to->safe_psql('postgres', q{SELECT setval('mf_invoice_id_seq', (SELECT max(id) FROM mf_invoice)); SELECT mf_resume('*')});
	$to->safe_psql('postgres', q{UPDATE mf_invoice SET send_at = now() WHERE status = 'queued'});
	$to->safe_psql('postgres', q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify'; SELECT mf_resume('myfatoorah')});
	$mf->wait_for($to, 'postgres', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
	my %times;
	$times{$_}++ for $sandbox->names;
	is_deeply([ grep { $times{$_} > 1 } sort keys %times ], [], "$kind: none is made twice");
	is(scalar keys %times, 12, "$kind: and all are made");
	$to->stop;
}
done_testing();
