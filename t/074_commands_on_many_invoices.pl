# mf_cancel(), mf_retry() and mf_refresh() of many invoices: each has its result, and one that cannot be done holds up none.
use MyFatoorah::Test qw(sql attempted);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.poll_delay = '1d'");
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $db = 'postgres';

$mf->setup_account($node, $db, $sandbox);
$mf->wait_worker($node, $db);

# what it gives, or SQLSTATE and message
sub attempt
{
	my $got = attempted(@_);

	return $got->{ok} ? $got->{out} : $got->{error};
}

# results of a call for the invoices of these names, in the order of their ids
sub results
{
	my ($function, $names, %with) = @_;
	my $ids = "ARRAY(SELECT id FROM mf_invoice WHERE customer_reference = ANY (string_to_array('" . join(',', @$names) . "', ',')))" . ($with{more} // '');
	my $reason = $function eq 'mf_refresh' ? '' : ", 'because'";
	my $out = attempt("SELECT coalesce(i.customer_reference, r.id::text), r.result FROM $function($ids$reason) r LEFT JOIN mf_invoice i ON i.id = r.id ORDER BY r.id", $with{role});

	return join ', ', map { s/\|/ /r } split /\n/, $out;
}

sub row
{
	my ($name, $what) = @_;

	return sql("SELECT $what FROM mf_invoice i LEFT JOIN mf_queue q ON q.invoice = i.id WHERE customer_reference = '$name'");
}

# Rows in every state
sql(q{CREATE ROLE alice LOGIN IN ROLE myfatoorah_submit; CREATE ROLE bob LOGIN IN ROLE myfatoorah_submit; CREATE ROLE officer LOGIN IN ROLE myfatoorah_operate;
	CREATE ROLE reader LOGIN IN ROLE myfatoorah_read; GRANT USAGE ON FOREIGN SERVER myfatoorah TO alice, bob});

sub prepare
{
	$sandbox->faults(
		{ path => 'SendPayment', reference_prefix => "rejected$_[0]", times => -1, shape => 1 },
		{ path => 'SendPayment', reference_prefix => "sending$_[0]", never => $true, times => -1 },
		{ path => 'SendPayment', reference_prefix => "unknown$_[0]", status => 500, times => -1, create => $true });
	$mf->insert($node, $db, $_, send_at => q('2099-01-01')) for map { "$_[0]$_" } qw(queued review verify);
	sql('SET SESSION AUTHORIZATION alice; INSERT INTO mf_invoice ' . $mf->invoice("$_[0]alices", send_at => q('2099-01-01')));
	$mf->insert($node, $db, $_) for map { "$_$_[0]" } qw(sent rejected sending unknown);
	$mf->wait_status($node, $db, "$_$_[0]", $_) for qw(sent rejected sending unknown);
	sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'review' WHERE customer_reference = '$_[0]review';
		UPDATE mf_queue SET kind = 'review', due = 'infinity' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '$_[0]review');
		UPDATE mf_queue SET kind = 'verify' WHERE invoice = (SELECT id FROM mf_invoice WHERE customer_reference = '$_[0]verify')});
	return;
}
my @all = map { "1$_" } qw(queued review verify alices);
push @all, map { "${_}1" } qw(sent rejected sending unknown);
prepare('1');

#
# mf_cancel()
#
my $before = sql('SELECT count(*) FROM mf_history');
is(results('mf_cancel', \@all, role => 'bob', more => ' || 999999 || NULL::bigint || 999999'),
	join(', ', (map { "$_ not_permitted" } @all), '999999 not_found', ' not_found'), 'each has its result: what is of others');
is(sql('SELECT count(*) FROM mf_history'), $before, 'and nothing was done');
is(results('mf_cancel', \@all, more => ' || 999999'),
	'1queued cancelled, 1review in_review, 1verify cancel_requested, 1alices cancelled, sent1 already_sent, rejected1 cancelled, sending1 cancel_requested, '
	  . 'unknown1 cancel_requested, 999999 not_found', 'of one\'s own: as its status allows');
is(results('mf_cancel', \@all),
	'1queued already_cancelled, 1review in_review, 1verify cancel_requested, 1alices already_cancelled, sent1 already_sent, rejected1 already_cancelled, '
	  . 'sending1 cancel_requested, unknown1 cancel_requested', 'and once more');
is(sql(q{SELECT string_agg(concat_ws(' ', i.customer_reference, h.actor = current_user, from_status, to_status, h.reason), ', ' ORDER BY i.id)
		FROM mf_history h JOIN mf_invoice i ON i.id = h.invoice WHERE h.reason ~ 'because'}),
	'1queued t queued cancelled because, 1verify t queued queued cancel requested: because, 1alices t queued cancelled because, '
	  . 'rejected1 t rejected cancelled because, sending1 t sending sending cancel requested: because, unknown1 t unknown unknown cancel requested: because',
	'the history has who and why, once');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE cancel_requested}), 3, 'what may exist is looked up first');
is(attempt(q{SELECT * FROM mf_cancel(NULL::bigint[])}), '22004: ids must not be null', 'no list is an error');
is(attempt(q{SELECT count(*) FROM mf_cancel('{}'::bigint[])}), 0, 'an empty one is not');
is(attempt(q{SELECT * FROM mf_cancel(ARRAY[999999], repeat('x', 501))}), '22023: reason is too long', 'reasons are limited as ever');
is(attempt(q{SELECT result FROM mf_cancel(ids => '{999999,999998}')}), "not_found\nnot_found", 'a list without a type, by its name');
is(attempt(q{SELECT mf_cancel(ARRAY[999999])}), '(999999,not_found)', 'in the select list, too');

# A number without a type, as many drivers send it
is(attempt(q{SELECT mf_cancel('999999')}), 'P0002: invoice 999999 does not exist', 'a number without a type is one');
is(attempt(qq{SELECT $_('999999')}), 'P0002: invoice 999999 does not exist', "$_(): likewise") for 'mf_retry', 'mf_refresh';
is(attempt(qq{SELECT $_(NULL)}), '22004: id must not be null', "$_(): null is none") for 'mf_cancel', 'mf_retry', 'mf_refresh';
is(attempt(q{SELECT mf_cancel('x')}), '22P02: invalid input syntax for type bigint: "x"', 'and what is no number is said');
is(attempt(q{SELECT mf_cancel(id => '999999', reason => 'x')}), 'P0002: invoice 999999 does not exist', 'with names, too');

#
# mf_retry(): under a new reference, looked up before it is sent
#
prepare('2');
@all = map { s/1/2/r } @all;
sql(q{UPDATE mf_invoice SET customer_name = 'corrected' WHERE customer_reference = 'rejected2'; SELECT mf_pause('myfatoorah')});
is(results('mf_retry', \@all, role => 'bob'), join(', ', map { "$_ not_permitted" } @all), 'mf_retry() of what is of others');
is(results('mf_retry', \@all),
	'2queued already_queued, 2review in_review, 2verify already_queued, 2alices already_queued, sent2 already_sent, rejected2 queued, sending2 being_sent, unknown2 outcome_unknown',
	'mf_retry() by status');
is(row('rejected2', q{concat_ws(' ', status, q.kind, substring(reference FROM '~.*'), q.due <= now())}), 'queued verify ~2 t', 'what is sent again is looked up first');
is(results('mf_retry', [ '1queued' ]), '1queued already_cancelled', 'what was cancelled stays so');
$sandbox->clear_faults;
sql(q{SELECT mf_resume('myfatoorah')});

#
# mf_refresh(): whoever sees a row may have it asked about
#
$mf->wait_status($node, $db, 'rejected2');
$mf->insert_many($node, $db, 'paid', 20);
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_invoice WHERE customer_reference LIKE 'paid-%' AND status = 'sent'}, 20);
is(results('mf_refresh', [ @all, 'paid-1' ], role => 'bob', more => ' || 999999'),
	join(', ', (map { /^(?:sent|rejected)/ ? "$_ asked" : "$_ not_sent" } @all), 'paid-1 asked', '999999 not_found'), 'mf_refresh() by status, of others, too');
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_inquiry WHERE urgent}, 0);
sql(q{ALTER SYSTEM SET myfatoorah.callback_rate_limit = 12; SELECT pg_reload_conf()});
$mf->wait_for($node, $db, q{SHOW myfatoorah.callback_rate_limit}, 12);
sql(qq{CREATE TABLE results AS SELECT result FROM mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE 'paid-%'))});
is(sql(q{SELECT string_agg(result || ' ' || n, ', ' ORDER BY result) FROM (SELECT result, count(*) AS n FROM results GROUP BY 1) r}), 'asked 2, asked_later 18', 'what is over the budget of the role is asked later');
sql(q{ALTER SYSTEM RESET myfatoorah.callback_rate_limit; SELECT pg_reload_conf()});
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_inquiry WHERE urgent}, 0);
pass('and is asked');

#
# Row-level security, and no right at all
#
prepare('3');
sql(q{ALTER TABLE mf_invoice ENABLE ROW LEVEL SECURITY; CREATE POLICY seen ON mf_invoice FOR SELECT USING (customer_reference <> '3verify');
	CREATE POLICY changed ON mf_invoice FOR UPDATE USING (customer_reference <> '3alices'); CREATE POLICY new ON mf_invoice FOR INSERT WITH CHECK (true)});
my $ids = q{ARRAY(SELECT id FROM mf_invoice WHERE customer_reference IN ('3queued', '3alices', '3verify') ORDER BY id)};
my $literal = sql("SELECT $ids");
is(attempt("SELECT result FROM mf_cancel('$literal'::bigint[])", 'officer'), "cancelled\nnot_found\nnot_permitted", 'what policies hide is not found, and what they do not let one update not permitted');
sql(q{ALTER TABLE mf_invoice DISABLE ROW LEVEL SECURITY; CREATE ROLE caller LOGIN; GRANT USAGE ON SCHEMA public TO caller; GRANT SELECT ON mf_invoice TO caller;
	GRANT EXECUTE ON FUNCTION mf_cancel(bigint[], text), mf_refresh(bigint[]) TO caller});
is(attempt("SELECT result FROM mf_cancel('{999999}'::bigint[])", 'caller'), '42501: permission denied for table mf_invoice', 'who may update none gets an error, whatever there is');
is(attempt("SELECT result FROM mf_cancel('$literal'::bigint[])", 'reader') =~ s/\(.*//r, '42501: permission denied for function mf_cancel', 'nor may a reader');

#
# A row that cannot be written
#
$mf->insert_many($node, $db, 'many', 1200, send_at => q('2099-01-01'));
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one' USING DETAIL = 'It is kept.'; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON mf_invoice FOR EACH ROW WHEN (OLD.customer_reference IN ('many-1', 'many-777')) EXECUTE FUNCTION refuse()});
my $of = q{ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE 'many-%')};
is(sql("CREATE TABLE cancelled AS SELECT * FROM mf_cancel($of); SELECT string_agg(result || ' ' || n, ', ' ORDER BY result) FROM (SELECT result, count(*) AS n FROM cancelled GROUP BY 1) r"),
	'cancelled 1198, failed: not this one: It is kept. 2', 'a row that a trigger refuses fails alone');
is(sql(q{SELECT string_agg(customer_reference, ' ') FROM mf_invoice WHERE customer_reference LIKE 'many-%' AND status = 'queued'}), 'many-1 many-777', 'and keeps its state');
sql(q{DROP TRIGGER refuse ON mf_invoice});
my $session = $mf->session($node, $db);
$session->query_safe(q{BEGIN; SELECT FROM mf_invoice WHERE customer_reference = 'many-1' FOR UPDATE});
is(attempt(q{SET lock_timeout = '100ms'; SELECT result FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference IN ('many-1', 'many-777')))}),
	"failed: canceling statement due to lock timeout\ncancelled", 'a row that somebody has locked fails alone, if one does not wait');
like(attempt(q{SET statement_timeout = '100ms'; SELECT result FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference = 'many-1'))}),
	qr/^57014: canceling statement due to statement timeout/, 'the end of a statement is the end of all');
$session->query_safe(q{UPDATE mf_invoice SET priority = 1 WHERE customer_reference = 'many-1'});
my $late = $mf->session($node, $db);
$late->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM mf_invoice});
$session->query_safe('COMMIT');
$late->query(q{SELECT * FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference = 'many-1'))});
like($late->{stderr}, qr/could not serialize access/,
	'a conflict of transactions is the error of all: who tries again, tries all again');
$_->quit for $session, $late;
is(row('many-1', 'status'), 'queued', 'and nothing was done');
sql(q{BEGIN; SELECT count(*) FROM mf_cancel(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference = 'many-1')); ROLLBACK});
is(row('many-1', 'status'), 'queued', 'what is rolled back was not done');

#
# Ten thousand. How long it takes, and what a call of each would take, is only told.
#
my %refused = (
	mf_cancel => sub { },
	mf_retry => sub {
		sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'rejected', attempts = 1 WHERE customer_reference LIKE '$_[0]-%';
			INSERT INTO mf_attempt (invoice, attempt, reference, body_sha256, started_at, send_by, outcome)
				SELECT id, 1, reference, '', now(), now(), 'rejected' FROM mf_invoice WHERE customer_reference LIKE '$_[0]-%'});
	},
	mf_refresh => sub { sql(qq{SET session_replication_role = replica; UPDATE mf_invoice SET status = 'sent', invoice_id = id WHERE customer_reference LIKE '$_[0]-%'}) });
my %done = (mf_cancel => 'cancelled', mf_retry => 'queued', mf_refresh => 'asked_later');

# makes rows of that name for a function, and returns their ids as an array
sub rows_for
{
	my ($function, $name, $n) = @_;

	$mf->insert_many($node, $db, $name, $n, send_at => q('2099-01-01'));
	$refused{$function}->($name);
	sql("SET session_replication_role = replica; DELETE FROM mf_queue USING mf_invoice i WHERE i.id = invoice AND i.customer_reference LIKE '$name-%'") if $function ne 'mf_cancel';
	return sql("SELECT ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE '$name-%')");
}

sql(q{SELECT mf_pause('*')});
foreach my $function (sort keys %refused)
{
	my $few = rows_for($function, "$function-few", 500);
	my $all = rows_for($function, "$function-all", 10_000);
	my $file = $node->basedir . "/$function.sql";

	append_to_file($file, "SELECT count(*) FROM $function('$all'::bigint[]) WHERE result IN ('$done{$function}', 'asked');\n");
	my $single = $mf->seconds(sub { sql("SELECT count($function(id)) FROM unnest('$few'::bigint[]) id") });
	my $many = $mf->seconds(sub { is(sql("\\i $file"), 10_000, "$function() of 10,000") });

	diag(sprintf '%s() of 10,000: %.0f ms; one by one: %.0f ms', $function, 1000 * $many, 20_000 * $single);
}

unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
