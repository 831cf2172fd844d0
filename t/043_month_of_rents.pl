# A month of a property company, played by a script: 60 tenants with accounts in dinar, riyal and pound, a run that is repeated,
# corrections, double payments, partial refunds, links that expire and invoices that are cancelled; the worker is killed and the server
# stopped at random; and in the middle the database is restored from a dump. In the end the ledger is what the stand-in has in its
# books, to the last fils.
#
# MF_MONTH_SEED    another month; it is printed
# MF_MONTH_DAYS    how many days it has, 8 unless told otherwise
use MyFatoorah::Test qw(sql wait_for ask);
use MyFatoorah::Chaos;

use JSON::PP ();
use List::Util qw(shuffle sum0);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $seed = $ENV{MF_MONTH_SEED} // time;
my $days = $ENV{MF_MONTH_DAYS} // 8;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_delay = '50ms'\nmyfatoorah.poll_rate_limit = 60000\nmyfatoorah.retry_delay = '50ms'\nmyfatoorah.lookup_delay = '50ms'");
my @accounts = ([ 'kwd', 'KWT', 3 ], [ 'sar', 'SAU', 2 ], [ 'egp', 'EGY', 2 ]);
my $db = 'postgres';
my %sandbox;

srand $seed;
diag("seed $seed, $days days");

foreach my $account (@accounts)
{
	my ($name, $country) = @$account;

	$sandbox{$name} = MyFatoorah::Sandbox->new(name => $name, key => "SK_${country}_month", country => $country, args => [ '--seed', $seed ]);
	$mf->setup_account($node, $db, $sandbox{$name}, account => $name,
		options => { country => $country, environment => 'live', time_zone => 'Asia/Kuwait', connect_timeout => '500ms', timeout => '1s' });
}
$mf->wait_worker($node, $db);

# Kills the worker, or stops the server, and waits until it is back
sub misfortune
{
	my $worker = $mf->wait_worker($node, $db);

	if (rand() < 0.5)
	{
		my $offset = $chaos->log_size($node);

		kill 'KILL', $worker or die "no worker\n";
		$chaos->wait_crashed($node, $offset);
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	$node->poll_query_until($db, 'SELECT true') or die "the server is not back\n";
	$mf->wait_worker($node, $db);
	return;
}

#
# The tenants, and the month's run: twice, because the first time is interrupted
#
sql(q{CREATE TABLE tenant (flat text PRIMARY KEY, name text, account text, amount numeric, due timestamptz)});
my @tenants = map { my $n = $_; my ($account, undef, $decimals) = @{ $accounts[ $n % 3 ] };
	{ flat => "flat-$n", account => $account, decimals => $decimals, amount => sprintf('%.*f', $decimals, 50 + rand 400) } } 1 .. 60;
sql(join ';', map { "INSERT INTO tenant VALUES ('$_->{flat}', 'Tenant of $_->{flat}', '$_->{account}', $_->{amount}, now())" } @tenants);
# some are due later, some were entered with a wrong amount, some move out
my @roles = shuffle @tenants;
my @late = @roles[ 0 .. 4 ];
my @wrong = @roles[ 5 .. 9 ];
my @gone = @roles[ 10 .. 12 ];
sql("UPDATE tenant SET due = now() + interval '20 days' WHERE flat IN (" . join(', ', map { "'$_->{flat}'" } @late, @wrong, @gone) . ')');
sql("UPDATE tenant SET amount = amount + 1 WHERE flat IN (" . join(', ', map { "'$_->{flat}'" } @wrong) . ')');
my $run = q{INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, send_at, idempotency_key, metadata)
	SELECT account, name, flat, amount, due, 'rent 2026-02, ' || flat, jsonb_build_object('flat', flat) FROM tenant
	ON CONFLICT (account, idempotency_key) DO NOTHING};
sql("$run");
misfortune();
sql("$run");
is(sql('SELECT count(*), count(DISTINCT idempotency_key) FROM mf_invoice'), '60|60', 'the run, repeated, has invoiced each tenant once');
sql(join ';', map { "UPDATE mf_invoice SET invoice_value = $_->{amount}, send_at = now() WHERE customer_reference = '$_->{flat}'" } @wrong);
sql(join ';', map { "SELECT mf_cancel(id, 'moved out') FROM mf_invoice WHERE customer_reference = '$_->{flat}'" } @gone);
wait_for(q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 52);
is(sql(q{SELECT string_agg(DISTINCT status, ',') FROM mf_invoice WHERE status <> 'sent'}), 'cancelled,queued', 'the rest is cancelled or due later');

sub learn_ids
{
	my %sent = map { my ($flat, @ids) = split /\|/; ($flat => \@ids) } split /\n/,
	  sql(q{SELECT customer_reference, id, invoice_id FROM mf_invoice WHERE invoice_id IS NOT NULL});

	@{$_}{qw(id invoice)} = @{ $sent{ $_->{flat} } } foreach grep { $sent{ $_->{flat} } } @tenants;
	return;
}

# What a tenant, or somebody in the portal, does on a day, if it can be done
sub live
{
	my ($tenant) = @_;
	my ($sandbox, $invoice) = ($sandbox{ $tenant->{account} }, $tenant->{invoice});
	my $truth = $sandbox->invoice($invoice);
	my @paid = grep { $_->{status} eq 'Succss' } @{ $truth->{transactions} };
	my $what = @paid ? (qw(refund again none none none))[ rand 5 ] : (qw(pay pay pay pay fail fail expire cancel))[ rand 8 ];

	$tenant->{did}{$what}++ if eval {
		$sandbox->refund($invoice, sprintf '%.*f', $tenant->{decimals}, rand $truth->{value} / 2) if $what eq 'refund';
		$sandbox->invoice($invoice, 'pay', { duplicate => JSON::PP::true }) if $what eq 'again';
		$sandbox->invoice($invoice, $what) if $what =~ /^(?:pay|fail|expire|cancel)$/;
		1;
	};
	return;
}

learn_ids();
my $restore_on = 1 + int $days / 2;
my $dump;
foreach my $day (1 .. $days)
{
	live($_) foreach grep { $_->{invoice} && rand() < 0.4 } shuffle @tenants;
	sql(join ';', map { "SELECT mf_refresh($_->{id})" } grep { $_->{invoice} && rand() < 0.2 } @tenants);
	misfortune() if rand() < 0.4 || $day == 1;

	# The dump is a day old when it is needed; those that were due since have been sent meanwhile.
	if ($day == $restore_on - 1)
	{
		$dump = PostgreSQL::Test::Utils::tempdir('dump') . '/archive';
		command_ok([ $node->installed_command('pg_dump'), '-Fc', '-d', $node->connstr($db), '-f', $dump ], "day $day: pg_dump");
		sql(join ';', map { "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$_->{flat}'" } @late);
		wait_for(q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 57);
		learn_ids();
	}
	elsif ($day == $restore_on)
	{
		sql('ALTER DATABASE postgres SET myfatoorah.worker_enabled = off');
		$mf->wait_no_worker($node, $db);
		sql('CREATE DATABASE restored');
		command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('restored'), $dump ], "day $day: the database is restored");
		$db = 'restored';
		ask($node, $db);
		sql(q{SELECT mf_resume('*')});
		sql(join ';', map { "UPDATE mf_invoice SET send_at = now() WHERE customer_reference = '$_->{flat}'" } @late);
		sql(q{UPDATE mf_queue SET due = now(), rank = now() WHERE kind IN ('verify', 'reconcile'); SELECT mf_resume(account) FROM (VALUES ('kwd'), ('sar'), ('egp')) a(account)});
		wait_for(q{SELECT count(*) FROM mf_invoice WHERE status = 'sent'}, 57);
		learn_ids();
	}
}

# In the end everything is asked about once more.
for (1 .. 2)
{
	sql('SELECT mf_refresh(' . join('), mf_refresh(', map { $_->{id} } grep { $_->{invoice} } @tenants) . ')');
	wait_for(q{SELECT 0 * (SELECT count(mf_refresh(invoice)) FROM mf_inquiry WHERE urgent AND due > now() + interval '1 s')
		+ (SELECT count(*) FROM mf_inquiry WHERE urgent)}, 0);
}

# The stand-in's books, in the least units of the currency
my (%books, %received, %back);
foreach my $tenant (grep { $_->{invoice} } @tenants)
{
	my $units = 10**$tenant->{decimals};
	my $truth = $sandbox{ $tenant->{account} }->invoice($tenant->{invoice});
	my $received = sum0 map { sprintf '%.0f', $_->{value} * $units } grep { $_->{status} eq 'Succss' } @{ $truth->{transactions} };
	my $back = sum0 map { sprintf '%.0f', $_->{amount} * $units } grep { $_->{invoice_id} == $tenant->{invoice} && $_->{status} eq 'Refunded' }
	  @{ $sandbox{ $tenant->{account} }->control('GET', 'refunds')->{refunds} };

	$received{ $tenant->{account} } += $received;
	$back{ $tenant->{account} } += $back;
	$books{ $tenant->{flat} } = "$received $back";
}
my %found = map { my ($flat, @sums) = split /\|/; ($flat => "@sums") } split /\n/, sql(q{
	SELECT i.customer_reference, coalesce(sum(l.amount) FILTER (WHERE l.kind = 'payment'), 0) * d.units, coalesce(-sum(l.amount) FILTER (WHERE l.kind = 'refund'), 0) * d.units
	FROM mf_invoice i LEFT JOIN mf_ledger l ON l.invoice = i.id, LATERAL (SELECT CASE i.account WHEN 'kwd' THEN 1000 ELSE 100 END AS units) d
	WHERE i.invoice_id IS NOT NULL GROUP BY i.id, i.customer_reference, d.units});
$found{$_} =~ s/\.0+\b//g foreach keys %found;
is(join("\n", map { "$_: $found{$_}, the stand-in: $books{$_}" } grep { ($found{$_} // 'nothing') ne $books{$_} } sort keys %books), '', 'each tenant: the ledger is what the stand-in has in its books');
is(scalar(keys %found), 57, 'of all that was sent');
foreach my $account (@accounts)
{
	my ($name, undef, $decimals) = @$account;

	is(sql("SELECT trim_scale(sum(amount) FILTER (WHERE kind = 'payment') * @{[ 10**$decimals ]}), trim_scale(coalesce(-sum(amount) FILTER (WHERE kind = 'refund'), 0) * @{[ 10**$decimals ]}) FROM mf_ledger WHERE account = '$name'"),
		"$received{$name}|$back{$name}", "account $name: to the last unit");
	is_deeply([ map { $_->{reference} } grep { my $one = $_; 1 < grep { $_->{reference} eq $one->{reference} } $sandbox{$name}->remote } $sandbox{$name}->remote ], [], "account $name: no reference twice");
	is(scalar($sandbox{$name}->remote), sql("SELECT count(*) FROM mf_invoice WHERE account = '$name' AND invoice_id IS NOT NULL"), "account $name: as many invoices as rows");
}
is(sql(q{SELECT i.id FROM mf_invoice i LEFT JOIN mf_ledger l ON l.invoice = i.id AND l.kind <> 'fee' GROUP BY i.id
		HAVING i.net_value <> coalesce(sum(l.amount), 0)}), '', 'the rows say what the ledger says');
is(sql(q{SELECT count(*) FROM mf_invoice WHERE net_value > 0 AND payment_status NOT IN ('paid', 'partly_refunded')}), 0, 'and no row says otherwise');

my %did;
foreach my $tenant (@tenants)
{
	$did{$_} += $tenant->{did}{$_} foreach keys %{ $tenant->{did} // {} };
}
diag(join ', ', map { "$did{$_} $_" } sort keys %did);
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC/, 'nothing broke by itself');
$node->stop;
done_testing();
