# A database with data in every state there is, and what is to become of it: for tests of upgrades and moves. All are class
# methods.
package MyFatoorah::States;

use strict;
use warnings;

use JSON::PP ();
use MyFatoorah::Cluster;
use PostgreSQL::Test::Utils;

my $mf = 'MyFatoorah::Cluster';

# conf: settings with which all goes quickly
sub conf
{
	return join "\n", "myfatoorah.lookup_delay = '20ms'", "myfatoorah.retry_delay = '50ms'", "myfatoorah.poll_delay = '1h'", 'autovacuum = off';
}

# accounts(node, dbname, sandbox): the accounts, with a mapping of a role's own, and functions that rows refer to
sub accounts
{
	my ($class, $node, $dbname, $sandbox) = @_;

	$mf->setup_account($node, $dbname, $sandbox, options => { timeout => '600s', own_mappings => 'on' });
	# one that gives up soon, and one whose look-ups fail, too, so that it is left alone
	$mf->setup_account($node, $dbname, $sandbox, account => $_, key_file => 'myfatoorah.key',
		options => { timeout => '300ms', connect_timeout => '300ms' }) for 'short', 'failing';
	$node->safe_psql($dbname, q{
		DO $$ BEGIN CREATE ROLE tenant; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
		GRANT myfatoorah_submit TO tenant; GRANT USAGE ON FOREIGN SERVER myfatoorah TO tenant;
		CREATE USER MAPPING FOR tenant SERVER myfatoorah OPTIONS (api_key_file 'myfatoorah.key');
		ALTER USER MAPPING FOR PUBLIC SERVER myfatoorah OPTIONS (ADD webhook_secret 'secret');
		CREATE TABLE told (invoice bigint, status text, payment_status text);
		CREATE FUNCTION tell(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql SET search_path = public AS
			$$ BEGIN INSERT INTO told VALUES (new.id, new.status, new.payment_status); END $$;
		CREATE FUNCTION fail(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'not yet'; END $$;
		CREATE FUNCTION daily(at timestamptz) RETURNS timestamptz LANGUAGE sql AS $$ SELECT at + interval '1 day' $$;
		CREATE FUNCTION page(path text) RETURNS mf_response LANGUAGE sql SET search_path = public AS $$ SELECT ROW(404, NULL, NULL, NULL)::mf_response $$;});
	return;
}

# fill(node, dbname, sandbox): rows of every status, and all that hangs on them. The worker runs, and a request of it stays
# under way.
sub fill
{
	my ($class, $node, $dbname, $sandbox) = @_;
	my $sql = sub { return $node->safe_psql($dbname, @_) };
	my %fault = (
		sending => { never => JSON::PP::true, create => JSON::PP::true },
		rejected => { shape => 1 },
		unknown => { never => JSON::PP::true, create => JSON::PP::true },
		review => { never => JSON::PP::true });

	$class->accounts($node, $dbname, $sandbox);
	$sql->(q{SELECT mf_on_change('tell'::regproc::oid::regprocedure), mf_on_change('fail'::regproc::oid::regprocedure),
		mf_on_time('daily'::regproc::oid::regprocedure, now() + interval '1 day'), mf_on_request('/pay/', 'page'::regproc::oid::regprocedure)});
	$mf->wait_worker($node, $dbname);
	$sandbox->faults({ path => 'SendPayment', reference_prefix => $_, times => -1, %{ $fault{$_} } }) for keys %fault;
	$sandbox->faults({ path => 'GetPaymentStatus', contains => 'unknown', status => 500, times => -1 });

	# finished ones of other years, in two months of the archive
	for my $month ('2024-01-15', '2024-03-15')
	{
		$sql->(qq{SET session_replication_role = replica;
			WITH i AS (INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference, idempotency_key, reference, status, payment_status, invoice_id, sent_at,
					attempts, created_at, created_by_id, currency)
				SELECT 'Noura', 10.5, 'B' || n, '$month ' || n, '$month ' || n || '.1', 'sent', 'paid', abs(hashtext('$month' || n)), '$month', 1, '$month',
					(SELECT oid FROM pg_roles WHERE rolname = current_user), 'KWD'
				FROM generate_series(1, 3) n RETURNING id, reference)
			INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, outcome) SELECT id, 1, reference, '\\x00', '$month', '$month', 'accepted' FROM i});
	}
	$sql->(q{SELECT mf_archive('2025-01-01')});

	$mf->insert_many($node, $dbname, 'sent', 5);
	$sql->('SET ROLE tenant; INSERT INTO mf_invoice ' . $mf->invoice('own key', idempotency_key => q{'key 1'}, metadata => q{'{"a": [1, null]}'}));
	$mf->insert($node, $dbname, 'paid');
	$mf->insert($node, $dbname, 'later', send_at => "now() + interval '1 day'", priority => 7);
	$mf->insert($node, $dbname, 'cancelled', send_at => "now() + interval '1 day'");
	$sql->(q{SELECT mf_cancel(id, 'because') FROM mf_invoice WHERE customer_reference = 'cancelled'});
	$mf->insert($node, $dbname, $_) for 'rejected', 'sending';
	$mf->insert($node, $dbname, 'unknown', account => q{'failing'});
	$mf->insert($node, $dbname, 'review', account => q{'short'}, notification_option => q{'EML'}, customer_email => q{'a@example.com'});
	$mf->wait_status($node, $dbname, $_, $_) for 'sending', 'rejected', 'unknown', 'review', 'cancelled';
	$mf->wait_status($node, $dbname, $_) for 'own key', 'paid', map { "sent-$_" } 1 .. 5;

	# paid, asked about, told of
	my ($id, $number) = split /\|/, $sql->(q{SELECT id, invoice_id FROM mf_invoice WHERE customer_reference = 'paid'});
	$sandbox->control('POST', "invoices/$number/pay", { gateway => 'KNET' });
	$sql->("SELECT mf_refresh($id)");
	$mf->wait_for($node, $dbname, "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
	$sql->("SELECT mf_callback(payment_id) FROM mf_invoice WHERE id = $id");
	$mf->wait_for($node, $dbname, "SELECT count(*) > 0 FROM mf_reaction_backlog WHERE error ~ 'not yet'");
	$mf->wait_for($node, $dbname, q{SELECT count(*) FROM mf_event WHERE answered_at IS NOT NULL}, 1);

	# a deposit that was read, and one that is to be read in a while
	$sql->(q{INSERT INTO mf_deposit_state (account, deposit_reference, status, currency, announced_value, announced_count, announced_at,
			deposit_date, item_count, gross_value, service_charge, itemised_value, read_at, due)
		VALUES ('myfatoorah', '2026000001', 'read', 'KWD', 9.5, 1, now(), now(), 1, 10, 0.5, 9.5, now(), NULL),
			('myfatoorah', '2026000002', 'queued', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, now() + interval '6 hours');
		INSERT INTO mf_deposit_row (deposit, item, invoice_id, invoice_value, due_value, due_deposit)
		SELECT d.id, 1, i.invoice_id, 10, 10, 9.5 FROM mf_deposit_state d, (SELECT min(invoice_id) AS invoice_id FROM mf_invoice) i WHERE d.status = 'read'});

	# a refund that was carried out, and one that was refused
	$sql->(q{SET session_replication_role = replica;
		WITH o AS (INSERT INTO mf_operation (invoice, account, value, reference, status, currency, refund_id, refunded_value, filed_at, done_at, last_error, attempts, created_by, created_by_id)
			SELECT i.id, i.account, 1, 'refund ' || r.status, r.status, 'KWD', r.refund_id, r.refunded_value, r.filed_at, r.filed_at, r.last_error, 1, current_user,
				(SELECT oid FROM pg_roles WHERE rolname = current_user)
			FROM mf_invoice i, (VALUES ('refunded', 17, 1, now(), NULL), ('refused', NULL, NULL, NULL, 'not enough')) r(status, refund_id, refunded_value, filed_at, last_error)
			WHERE i.customer_reference = 'paid' RETURNING id, reference, status)
		INSERT INTO mf_operation_attempt (operation, attempt, reference, body_sha256, started_at, send_by, finished_at, outcome, http_status)
			SELECT id, 1, reference, '\\x00', now(), now(), now(), CASE status WHEN 'refused' THEN 'rejected' ELSE 'accepted' END, 200 FROM o});

	# paused, with one that is due and one that somebody has told of
	$sql->(q{SELECT mf_pause('short', 'a reason')});
	$mf->insert($node, $dbname, 'due', account => q{'short'});
	return;
}

# states(node, dbname): how many rows there are of each status
sub states
{
	my ($class, $node, $dbname) = @_;

	return $node->safe_psql($dbname,
		q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM mf_invoice GROUP BY 1) s});
}

# contents(node, dbname): all rows of our tables as text, but for what each database has of its own
sub contents
{
	my ($class, $node, $dbname) = @_;
	my @tables = split /\n/, $node->safe_psql($dbname, q{
		SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relname ~ '^mf_' AND c.relname NOT IN ('mf_identity', 'mf_home', 'mf_part', 'mf_account') ORDER BY 1});

	return { map { $_ => $node->safe_psql($dbname, qq{SELECT (to_jsonb(t) - ARRAY['origin'])::text FROM $_ t ORDER BY 1}) } @tables };
}

# finish(node, dbname, sandbox): lets all go on and waits until nothing is left to be done; returns what contradicts the
# promises, none is right
sub finish
{
	my ($class, $node, $dbname, $sandbox) = @_;
	my $sql = sub { return $node->safe_psql($dbname, @_) };

	$sandbox->clear_faults;
	$sql->(q{CREATE OR REPLACE FUNCTION fail(old mf_invoice, new mf_invoice) RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$});
	# by now nobody else can be at work on it
	$sql->(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind IN ('verify', 'reconcile')
		AND invoice NOT IN (SELECT id FROM mf_invoice WHERE customer_reference = 'later');
		SELECT mf_resume('short'), mf_resume('failing'), mf_resume()});
	$mf->insert($node, $dbname, 'new');
	$mf->wait_for($node, $dbname, q{SELECT string_agg(customer_reference || ' ' || status, ', ' ORDER BY customer_reference) FROM mf_invoice WHERE status <> 'sent'},
		'cancelled cancelled, later queued, rejected rejected, review review');
	$sql->(q{SELECT mf_resolve(id, 'resend', 'not in the portal') FROM mf_invoice WHERE customer_reference = 'review'});
	$sql->(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'verify' AND invoice = (SELECT id FROM mf_invoice WHERE customer_reference = 'review');
		SELECT mf_resume('short')});
	$mf->insert($node, $dbname, 'last');
	$mf->wait_status($node, $dbname, $_) for 'review', 'last';
	$sql->(q{SELECT mf_resume('*')});
	$mf->wait_for($node, $dbname, 'SELECT count(*) FROM mf_reaction_queue WHERE invoice IS NOT NULL', 0);

	my %times;
	$times{$_}++ for grep { defined && length } map { $_->{reference} } $sandbox->remote;
	return ($mf->problems($node, $dbname, $sandbox, others => 1), map { "$_ is at the remote $times{$_} times" } grep { $times{$_} > 1 } keys %times);
}

1;
