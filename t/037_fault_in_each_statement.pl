# A fault at each statement of each round, for one row of fifty, over ten accounts. A first run of some rows tells which
# statements the worker runs about a row of each kind, and which rows it writes without SQL. Then there are fifty rows for
# each of these, all at the same time, and the statement fails for one of them. The other 49 get to their end; that one
# gets there another way, or is put off and named, and gets there once the fault is over. Nothing is made twice.
#
# Not among them: statements that find rows by their account. They get the numbers of rows only to begin after these or to
# leave them out.
use MyFatoorah::Test qw(sql);

use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time sleep);

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $accounts = 10;
my $size = 50;
my $probe = 20;
my $limit = MyFatoorah::Sandbox::time_limit();
my $node = $mf->new_node('main', conf => "include_if_exists = 'faults.conf'
	myfatoorah.retry_delay = '1ms'
	myfatoorah.lookup_delay = '5ms'
	myfatoorah.poll_delay = '1h'");

plan skip_all => 'the library was built without FAILPOINTS=1 (make check SUITES=crash builds one with them)'
  if $node->psql($db, "LOAD 'myfatoorah'; SHOW myfatoorah.fail_statements") != 0;

# Statements that only begin after a row or leave it out
my $by_account = qr/^SELECT e\.invoice::int8, e\.kind|^SELECT q\.invoice::int8, q\.kind|^SELECT least\(|^SELECT c\.invoice::int8, 0|^SELECT 0::int8, e\.id|q SET due = (?:now\(\)|clock_timestamp\(\))/;

# Kinds of rows: which there are, how they get under way, when they are at their end (i: the invoice), how many statements
# there are at least
my %kinds = (
	sent => { end => q{i.status = 'sent' AND i.invoice_url IS NOT NULL}, least => 6 },
	lost => { end => q{i.status = 'sent'}, least => 8 },
	refused => { end => q{i.status = 'rejected'}, least => 6 },
	# the references given up are looked up once more after it was sent
	resent => { end => q{i.status = 'sent' AND i.reference LIKE '%~2' AND NOT EXISTS (SELECT FROM mf_queue q WHERE q.invoice = i.id AND q.lookups = 0)}, least => 9 },
	perhaps => { end => q{i.status = 'sent'}, least => 7,
		prepare => sub { unguarded(q{UPDATE mf_queue q SET kind = 'verify' FROM part p WHERE p.invoice = q.invoice AND p.kind = 'perhaps'}) } },
	cancelled => { end => q{i.status = 'cancelled'}, least => 2,
		prepare => sub { unguarded(q{UPDATE mf_invoice i SET cancel_requested = true FROM part p WHERE p.invoice = i.id AND p.kind = 'cancelled'}) } },
	moved => { end => q{i.status = 'sent'}, least => 6,
		prepare => sub { unguarded(qq{UPDATE mf_invoice i SET account = 'a' || (i.id + 1) % $accounts FROM part p WHERE p.invoice = i.id AND p.kind = 'moved'}) } },
	promoted => { end => q{i.status = 'sent'}, least => 6 },
	retried => { end => q{i.status = 'sent'}, least => 6, pool => q{i.status = 'rejected'},
		start => sub { sql(q{SELECT count(mf_retry(invoice)) FROM part WHERE kind = 'retried'}) } },
	paid => { end => q{i.payment_status = 'paid'}, least => 5, pool => q{i.status = 'sent' AND i.payment_status = 'unpaid'},
		prepare => sub { pay('paid') }, start => sub { refresh('paid') } },
	called => { end => q{i.payment_status = 'paid'}, least => 2, pool => q{i.status = 'sent' AND i.payment_status = 'unpaid'},
		prepare => sub { pay('called'); call_back() }, start => sub { sql(q{UPDATE mf_event e SET due = now() FROM part p WHERE p.id = e.id; SELECT mf_resume('*')}) } },
	refunded => { end => q{i.payment_status = 'refunded'}, least => 5, pool => q{i.payment_status = 'paid'},
		prepare => \&refund, start => sub { refresh('refunded') } });

my $worker;
my $runs = 0;
my %text;

sub rows
{
	return split /\n/, sql(@_);
}

# What a trigger would not allow
sub unguarded
{
	my ($query) = @_;

	return sql("SET session_replication_role = replica; $query");
}

sub numbers
{
	my ($kind) = @_;

	return rows("SELECT i.invoice_id FROM mf_invoice i JOIN part p ON p.invoice = i.id WHERE p.kind = '$kind'");
}

sub pay
{
	my ($kind) = @_;
	my @numbers = numbers($kind);

	$sandbox->pay_many(ids => \@numbers);
	until (!$sandbox->bulk->{running})
	{
		sleep 0.02;
	}
	return;
}

sub refund
{
	my @numbers = numbers('refunded');
	my @children;

	# each takes a while, so several at a time
	foreach my $part (0 .. 7)
	{
		my $pid = fork // die "could not fork: $!\n";

		if ($pid == 0)
		{
			my $done = eval { $sandbox->refund($numbers[$_]) foreach grep { $_ % 8 == $part } 0 .. $#numbers; 1 };
			POSIX::_exit($done ? 0 : 1);
		}
		push @children, $pid;
	}
	foreach (@children)
	{
		waitpid $_, 0;
		die "refunds failed\n" if $?;
	}
	return;
}

sub refresh
{
	my ($kind) = @_;

	return sql("SELECT count(mf_refresh(invoice)) FROM part WHERE kind = '$kind'");
}

# Customers come back, with a PaymentId that no row has yet: the events take the place of the rows.
sub call_back
{
	my %payment = map { $_ => $sandbox->invoice($_)->{transactions}[-1]{payment_id} } numbers('called');
	my @values = map { my ($id, $account, $number) = split /\|/; "($id, '$account', '$payment{$number}')" }
	  rows(q{SELECT i.id, i.account, i.invoice_id FROM mf_invoice i JOIN part p ON p.invoice = i.id WHERE p.kind = 'called'});

	return sql(q{WITH v AS (SELECT * FROM (VALUES } . join(', ', @values) . q{) v(invoice, account, payment_id)),
		e AS (INSERT INTO mf_event (account, source, payment_id, digest, due)
			SELECT account, 'callback', payment_id, sha256(payment_id::bytea), 'infinity' FROM v RETURNING id, payment_id)
		UPDATE part p SET id = e.id FROM v JOIN e USING (payment_id) WHERE p.invoice = v.invoice AND p.kind = 'called'});
}

# Faults, or tracing: from now on
sub set_faults
{
	my ($faults, $trace) = @_;
	my $offset = -s $node->logfile;

	open my $file, '>', $node->data_dir . '/faults.conf' or die "faults.conf: $!\n";
	print $file "myfatoorah.fail_statements = '$faults'\nmyfatoorah.trace_statements = $trace\n";
	close $file;
	$node->reload;
	$node->wait_for_log(qr/failpoint: faults are now "$faults"/, $offset);
	return;
}

# So many groups of some kinds, of so many rows each, over all accounts. New rows are mixed: an account with one failure
# after the other would wait.
sub make
{
	my ($size, %groups) = @_;
	my @pooled = grep { $kinds{$_}{pool} } sort keys %groups;
	my $new = join ', ', map { "('$_', $groups{$_})" } grep { !$kinds{$_}{pool} } sort keys %groups;
	my $run = $runs++;

	sql(q{TRUNCATE part; SELECT count(mf_pause('a' || n)) FROM generate_series(0, 9) n});
	sql(qq{INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, send_at, priority)
			SELECT 'a' || (n + n / $size) % $accounts, kind, kind || '-$run-' || n, 1,
				CASE kind WHEN 'promoted' THEN now() + interval '3 s' ELSE now() END, CASE kind WHEN 'promoted' THEN 3 ELSE 0 END
			FROM (VALUES $new) k(kind, groups), generate_series(0, groups * $size - 1) n ORDER BY md5(kind || n);
		INSERT INTO part SELECT customer_name, n / $size, id, id, n % $size = 7 * (n / $size) % $size
			FROM (SELECT *, split_part(customer_reference, '-', 3)::int AS n FROM mf_invoice WHERE customer_reference LIKE '%-$run-%') i}) if $new;
	sql(qq{INSERT INTO part SELECT '$_', n / $size, id, id, n % $size = 7 * (n / $size) % $size
			FROM (SELECT id, row_number() OVER () - 1 AS n FROM (SELECT i.id FROM mf_invoice i WHERE $kinds{$_}{pool}
				AND NOT EXISTS (SELECT FROM mf_queue q WHERE q.invoice = i.id) AND NOT EXISTS (SELECT FROM part p WHERE p.invoice = i.id)
				ORDER BY md5(i.id::text) LIMIT $groups{$_} * $size) i) i}) foreach @pooled;
	is(sql('SELECT string_agg(kind || count, $$ $$ ORDER BY kind) FROM (SELECT kind, count(*) FROM part GROUP BY 1) k'),
		join(' ', map { $_ . $groups{$_} * $size } sort keys %groups), 'there are enough rows');
	$kinds{$_}{prepare} && $kinds{$_}{prepare}->() foreach sort keys %groups;
	return;
}

sub start
{
	my (@kinds) = @_;

	sql(q{SELECT count(mf_resume('a' || n)) FROM generate_series(0, 9) n});
	$kinds{$_}{start} && $kinds{$_}{start}->() foreach @kinds;
	return;
}

# SQL: whether a row of part p is at its end
sub arrived
{
	return 'CASE p.kind ' . join(' ', map { "WHEN '$_' THEN $kinds{$_}{end}" } sort keys %kinds) . ' END';
}

# Waits until a query finds no row any more; what it finds when the time is over
sub wait_none
{
	my ($query) = @_;
	my $deadline = time + $limit;
	my $found;

	for (;;)
	{
		$found = sql($query);
		return $found =~ s/^(?:.*\n){20}\K.*//sr if time > $deadline;
		return $found if $found eq '';
		sleep 0.2;
	}
}

# The statements that the worker runs about rows of each kind: all rows, or nearly
sub probe
{
	my (@kinds) = @_;
	my (%seen, %statements);
	my $offset = -s $node->logfile;

	make($probe, map { $_ => 1 } @kinds);
	set_faults("probe $kinds[0]", 'on');
	start(@kinds);
	is(wait_none('SELECT p.kind, i.status, i.last_error FROM part p JOIN mf_invoice i ON i.id = p.invoice WHERE NOT ' . arrived()), '', "without faults all rows get to their end: @kinds");
	set_faults('', 'off');

	my %kind = map { split /\|/ } rows('SELECT id, kind FROM part');
	my $log = slurp_file($node->logfile, $offset);
	while ($log =~ /failpoint: ([0-9a-f]{8})=(\d+): (.*)/g)
	{
		next if !$kind{$2};
		$text{$1} = $3;
		$seen{ $kind{$2} }{$1}{$2} = 1;
	}
	foreach my $kind (@kinds)
	{
		$statements{$kind} = [ grep { $text{$_} !~ $by_account && keys %{ $seen{$kind}{$_} } > $probe * 0.7 } sort keys %{ $seen{$kind} } ];
		cmp_ok(scalar @{ $statements{$kind} }, '>=', $kinds{$kind}{least}, "$kind: the worker runs statements")
		  or diag(join "\n", map { "$_ $text{$_}" } @{ $statements{$kind} });
	}
	return %statements;
}

# Fifty rows of each kind for each statement, or for several that fail together
sub faults
{
	my ($what, %statements) = @_;
	my @kinds = sort keys %statements;
	my (%victim, @pairs);
	make($size, map { $_ => scalar @{ $statements{$_} } } @kinds);
	foreach (rows('SELECT kind, number, id FROM part WHERE victim'))
	{
		my ($kind, $number, $id) = split /\|/;

		$victim{$id} = "$kind: " . join ' and ', map { $text{$_} } split / /, $statements{$kind}[$number];
		push @pairs, map { "$_=$id" } split / /, $statements{$kind}[$number];
	}
	my $offset = -s $node->logfile;
	my $began = time;
	set_faults(join(',', @pairs), 'off');
	start(@kinds);

	# the others, while the faults last
	my $state = 'p.kind, p.number, p.id, i.status, i.payment_status, i.last_error FROM part p JOIN mf_invoice i ON i.id = p.invoice';
	is(wait_none("SELECT count(*), $state WHERE NOT p.victim AND NOT " . arrived() =~ s/^/(/r . ') GROUP BY 2, 3, 4, 5, 6, 7 LIMIT 20'), '',
		"$what: all of " . sql('SELECT count(*) FROM part WHERE NOT victim') . ' others get to their end');
	my $seconds = time - $began;

	# those with a fault are named, or have found another way
	my $named = q{EXISTS (SELECT FROM mf_review r WHERE r.id = p.invoice AND r.what_happened LIKE 'failpoint: a fault of %=' || p.id)
		OR EXISTS (SELECT FROM mf_check() WHERE NOT ok AND item = 'worker' AND detail LIKE '%failpoint%')};
	is(wait_none("SELECT $state WHERE p.victim AND NOT (" . arrived() . ") AND NOT ($named)") =~ s/^(\w+\|\d+\|(\d+).*)/$1 ($victim{$2})/gmr, '',
		"$what: those with a fault are named, or get to their end another way");
	my $log = slurp_file($node->logfile, $offset);
	my %struck = map { $_ => 1 } $log =~ /failpoint: (\S+) fails/g;
	cmp_ok(scalar(keys %struck), '>=', @pairs * 0.8, "$what: faults have struck");
	note("not run this time: $_") foreach grep { !$struck{$_} } @pairs;
	is_deeply([ $mf->problems($node, $db, $sandbox) ], [], "$what: rows, attempts and ledger agree");
	is(sql('SELECT pid FROM mf_worker_status'), $worker, "$what: the worker is the same");
	my $put_off = sql('SELECT count(*) FROM part p JOIN mf_invoice i ON i.id = p.invoice WHERE p.victim AND NOT (' . arrived() . ')');

	# the faults are over
	set_faults('', 'off');
	sql(q{SELECT mf_resume('*')});
	is(wait_none("SELECT $state WHERE NOT (" . arrived() . ')') =~ s/^(\w+\|\d+\|(\d+).*)/$1 ($victim{$2})/gmr, '', "$what: once the faults are over all get to their end");
	is(wait_none(q{SELECT id, what_happened FROM mf_review UNION ALL SELECT NULL, detail FROM mf_check() WHERE item IN ('worker', 'invoices') AND NOT ok}), '',
		"$what: nobody is needed any more");
	diag(sprintf '%s: %d statements, %d rows; the others took %.1f s; %d of %d put off until the end; %.1f s',
		$what, scalar @pairs, $size * keys %victim, $seconds, $put_off, scalar keys %victim, time - $began);
	return;
}

sql(q{
	CREATE EXTENSION myfatoorah;
	ALTER SEQUENCE mf_invoice_id_seq RESTART 7000000000;
	ALTER SEQUENCE mf_event_id_seq RESTART 9000000000;
	CREATE TABLE part (kind text, number int, id bigint, invoice bigint PRIMARY KEY, victim boolean)});
foreach my $account (map { "a$_" } 0 .. $accounts - 1)
{
	$mf->setup_account($node, $db, $sandbox, account => $account, options => { connect_timeout => '500ms', timeout => '2s' });
	MyFatoorah::Web->give_secret($node, $db, $account);
}
$worker = $mf->wait_worker($node, $db);
my %post = (path => 'SendPayment', times => -1);
$sandbox->faults(
	{ %post, reference_prefix => 'lost-', status => 500, create => JSON::PP::true },
	{ %post, reference_prefix => 'refused-', shape => 1 },
	{ %post, reference_prefix => 'resent-', contains => '~2', delay_ms => 1 },
	{ %post, reference_prefix => 'resent-', status => 500, create => JSON::PP::false });

my %sending = probe(qw(sent lost refused resent perhaps cancelled moved promoted));
# six groups more, to be sent again later, which takes more statements: they are looked up first
push @{ $sending{refused} }, ($sending{refused}[0]) x 6;
faults('sending', %sending);

# with a trigger for statements nothing is written without SQL
sql(q{
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER nothing AFTER UPDATE ON mf_invoice FOR EACH STATEMENT EXECUTE FUNCTION nothing()});
my %by_sql = probe('sent');
faults('sending by SQL', %by_sql);

# nor can it be put off: then only the worker knows
my ($put_off) = slurp_file($node->logfile) =~ /failpoint: ([0-9a-f]{8})=\d+: UPDATE \@mf_queue q SET due = greatest/
  or die "nothing was put off\n";
$text{$put_off} = 'putting off';
faults('what cannot be put off', sent => [ map { "$_ $put_off" } @{ $by_sql{sent} } ]);
sql('DROP TRIGGER nothing ON mf_invoice');

$sandbox->clear_faults;
faults('a second time and payments', probe(qw(retried paid called)));
faults('refunds', probe('refunded'));

is_deeply([ $mf->problems($node, $db, $sandbox) ], [], 'each invoice was made once');
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC|was terminated by signal/, 'no process crashed');
$node->stop;
done_testing();
