# PostgreSQL servers set up for the extension, on top of PostgreSQL::Test::Cluster. All are class methods.
package MyFatoorah::Cluster;

use strict;
use warnings;

use Time::HiRes ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use MyFatoorah::Psql;

our $first_node;

# new_node(name, preload => 1, start => 1, conf => "...", init => { allows_streaming => 1 }): a new server with the
# extension preloaded, started unless told otherwise; conf is added to postgresql.conf, init goes to init()
sub new_node
{
	my ($class, $name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$first_node //= $node;
	$node->init(%{ $params{init} // {} });
	$node->append_conf('postgresql.conf', $class->settings(%params));
	$node->start if $params{start} // 1;
	return $node;
}

# settings(preload => 1, conf => "..."): lines for postgresql.conf, for servers made another way (a standby, say)
sub settings
{
	my ($class, %params) = @_;

	return join "\n",
	  ($params{preload} // 1 ? "shared_preload_libraries = 'myfatoorah'" : ()),
	  'max_worker_processes = 32',
	  'max_connections = 60',
	  'max_prepared_transactions = 10',
	  'restart_after_crash = on',
	  "myfatoorah.shutdown_wait = '500ms'",
	  # the default is for a machine that is not busy
	  "myfatoorah.on_change_timeout = '30s'",
	  'log_min_messages = debug1',
	  "log_line_prefix = '%m [%p] %b %q%a %d '",
	  $params{conf} // (), '';
}

# write_key(node, key, name): a key file in the data directory that only the server can read
sub write_key
{
	my ($class, $node, $key, $name) = @_;
	my $path = $node->data_dir . '/' . ($name // 'myfatoorah.key');

	my $umask = umask 0077;

	open my $file, '>', $path or die "could not write $path: $!\n";
	print $file "$key\n";
	close $file;
	umask $umask;
	chmod 0600, $path;
	return $path;
}

# setup_account(node, dbname, sandbox, account => 'myfatoorah', options => { timeout => ... }, key_file => ...): the
# extension and an account at the sandbox, with the key in a file; options are added to those of the server
sub setup_account
{
	my ($class, $node, $dbname, $sandbox, %params) = @_;
	my $account = $params{account} // 'myfatoorah';
	my %options = (
		country => 'KWT',
		environment => 'test',
		base_url => $sandbox->url,
		%{ $params{options} // {} });
	my $options = join ', ', map { "$_ '" . ($options{$_} =~ s/'/''/gr) . "'" } sort keys %options;

	my $key_file = $params{key_file} // "$account.key";

	$class->write_key($node, $sandbox->key, $key_file);
	$node->safe_psql(
		$dbname, qq{
		CREATE EXTENSION IF NOT EXISTS myfatoorah;
		CREATE SERVER "$account" FOREIGN DATA WRAPPER myfatoorah OPTIONS ($options);
		CREATE USER MAPPING FOR PUBLIC SERVER "$account" OPTIONS (api_key_file '$key_file');
	});
	return;
}

# accounts_like(node, dbname, account, [names], options => { timeout => ... }, mapping => { webhook_secret => ... }, role => ...):
# accounts with the options and the key file of one that setup_account() has made; options and mapping are added, and the role
# owns them
sub accounts_like
{
	my ($class, $node, $dbname, $account, $names, %params) = @_;
	my ($options, $mapping) = map { my $more = $params{$_} // {}; join '', map { ", $_ " . $class->literal($more->{$_}) } sort keys %$more } 'options', 'mapping';

	$node->safe_psql($dbname, 'DO $do$
		DECLARE
			name text;
			server text := (SELECT string_agg(format($$%I %L$$, o.option_name, o.option_value), $$, $$)
				FROM pg_foreign_server s, pg_options_to_table(s.srvoptions) o WHERE s.srvname = ' . $class->literal($account) . ') || ' . $class->literal($options) . ';
			mapping text := ' . $class->literal("api_key_file '$account.key'$mapping") . ';
		BEGIN
			SET ROLE ' . ($params{role} // 'NONE') . ';
			FOREACH name IN ARRAY ' . $class->literal('{' . join(',', @$names) . '}') . '::text[] LOOP
				EXECUTE format($$CREATE SERVER %I FOREIGN DATA WRAPPER myfatoorah OPTIONS (%s)$$, name, server);
				EXECUTE format($$CREATE USER MAPPING FOR PUBLIC SERVER %I OPTIONS (%s)$$, name, mapping);
			END LOOP;
		END $do$');
	return;
}

# wait_for(node, dbname, query, expected): waits until the query gives the answer ('t' unless told otherwise); dies with
# what it gave last. One session asks, because a new psql for each question takes most of a busy machine's time.
sub wait_for
{
	my ($class, $node, $dbname, $query, $expected) = @_;
	my $deadline = Time::HiRes::time() + MyFatoorah::Sandbox::time_limit();
	my $pause = 0.005;
	my ($session, $got);

	$expected //= 't';
	for (;;)
	{
		my $answered = eval {
			$session //= $class->session($node, $dbname);
			$session->{stderr} = '';
			$got = $session->ask($query);
			1;
		};

		last if $answered && $got eq $expected && $session->{stderr} eq '';
		# the server may be on its way down or up
		undef $session unless $answered;
		die "waited in vain for '$expected' from: $query\nit gave: " . ($answered ? "$got $session->{stderr}" : $@) . "\n"
		  if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep($pause);
		$pause = $pause * 1.5 if $pause < 0.1;
	}
	$session->quit;
	return 1;
}

# wait_none(node, dbname, query): waits until the query counts none. Meanwhile somebody keeps saying that all is well again,
# so that an account which backs off after failures is tried at once.
sub wait_none
{
	my ($class, $node, $dbname, $query) = @_;

	return $class->wait_for($node, $dbname, "SET client_min_messages = warning; SELECT ($query) FROM mf_resume()", '0');
}

# invoice(name, columns): what stands behind INSERT INTO mf_invoice for a plain invoice of that name; the name is its
# customer_reference too, so that the sandbox's ledger can be read by name
sub invoice
{
	my ($class, $name, %columns) = @_;
	my %all = (customer_name => "'$name'", customer_reference => "'$name'", invoice_value => '1.250', %columns);
	my @names = sort keys %all;

	return '(' . join(', ', @names) . ') VALUES (' . join(', ', map { $all{$_} } @names) . ')';
}

# insert(node, dbname, name, columns): inserts that invoice and returns its id; columns are SQL expressions
sub insert
{
	my ($class, $node, $dbname, $name, %columns) = @_;

	return $node->safe_psql($dbname, 'INSERT INTO mf_invoice ' . $class->invoice($name, %columns) . ' RETURNING id');
}

# insert_many(node, dbname, prefix, n, columns): n invoices in one statement, named prefix-1 ...
sub insert_many
{
	my ($class, $node, $dbname, $prefix, $n, %columns) = @_;
	my @names = sort keys %columns;

	$node->safe_psql($dbname,
			'INSERT INTO mf_invoice ('
		  . join(', ', 'customer_name', 'customer_reference', 'invoice_value', @names) . ') '
		  . 'SELECT ' . join(', ', "'$prefix-' || n", "'$prefix-' || n", '1 + n * 0.001', map { $columns{$_} } @names)
		  . " FROM generate_series(1, $n) n");
	return;
}

# status(node, dbname, name): the status of the invoice of that name
sub status
{
	my ($class, $node, $dbname, $name) = @_;

	return $node->safe_psql($dbname, "SELECT status FROM mf_invoice WHERE customer_reference = '$name'");
}

# wait_status(node, dbname, name, status): waits until it is that, 'sent' unless told otherwise
sub wait_status
{
	my ($class, $node, $dbname, $name, $status) = @_;

	return $class->wait_for($node, $dbname, "SELECT status FROM mf_invoice WHERE customer_reference = '$name'",
		$status // 'sent');
}

# settle(node, dbname, sandbox, name, action, columns): inserts that invoice, of 10 unless columns tell another value, has it paid ('pay')
# or held ('authorize') at the sandbox and waits until that is seen; returns its ids here and there
sub settle
{
	my ($class, $node, $dbname, $sandbox, $name, $action, %columns) = @_;
	my $id = $class->insert($node, $dbname, $name, invoice_value => '10.000', %columns);

	$class->wait_status($node, $dbname, $name);
	my $number = $node->safe_psql($dbname, "SELECT invoice_id FROM mf_invoice WHERE id = $id");
	$sandbox->invoice($number, $action);
	$node->safe_psql($dbname, "SELECT mf_refresh($id)");
	$class->wait_for($node, $dbname, "SELECT payment_status FROM mf_invoice WHERE id = $id", $action eq 'pay' ? 'paid' : 'authorized');
	return ($id, $number);
}

# insert_bill(node, dbname, key, columns): inserts a bill of that bill_key and customer_reference, of 10 unless columns tell another
# total, waits until its link was sent, but with unsent => 1, and returns its id; columns are SQL expressions
sub insert_bill
{
	my ($class, $node, $dbname, $key, %columns) = @_;
	my $unsent = delete $columns{unsent};
	my %all = (customer_name => "'Ahmad'", total => 10, bill_key => "'$key'", customer_reference => "'$key'", %columns);
	my @names = sort keys %all;
	my $id = $node->safe_psql($dbname, 'INSERT INTO mf_bill (' . join(', ', @names) . ') VALUES (' . join(', ', @all{@names}) . ') RETURNING id');

	$class->wait_for($node, $dbname, "SELECT i.status FROM mf_bill b JOIN mf_invoice i ON i.id = b.invoice WHERE b.id = $id", 'sent') unless $unsent;
	return $id;
}

# ask_refunds(node, dbname, sandbox, id): has MyFatoorah asked about the refunds of that invoice, and waits until the answer is recorded
sub ask_refunds
{
	my ($class, $node, $dbname, $sandbox, $id) = @_;
	my $question = { path => '/v2/GetRefundStatus' };
	my $before = $sandbox->count(%$question);

	$node->safe_psql($dbname, "SELECT mf_refresh($id)");
	$sandbox->wait_count($question, $before + 1) or die "nothing is asked\n";
	return $class->wait_for($node, $dbname, "SELECT count(*) FROM mf_inquiry WHERE invoice = $id AND due <= now() AND refunds", 0);
}

# begin_plan(node, dbname, sandbox, name, columns): inserts an invoice whose payment begins a recurring payment, has it paid, and
# waits until the list of plans was read; returns its ids here and there, and that of the plan
sub begin_plan
{
	my ($class, $node, $dbname, $sandbox, $name, %columns) = @_;
	my ($id, $number) = $class->settle($node, $dbname, $sandbox, $name, 'pay', invoice_value => '1.250', payment_method_id => 2, recurring_type => "'Daily'",
		iteration => 9, retry_count => 2, %columns);

	$class->wait_for($node, $dbname, "SELECT due > now() + '1 hour' FROM mf_event WHERE source = 'plan' AND invoice = $id");
	return ($id, $number, $node->safe_psql($dbname, "SELECT recurring_id FROM mf_invoice WHERE id = $id"));
}

# copies(node, sandbox, conf => "...", options => {...}, subscriber => "..."): one copy of each kind of the database postgres, whose server was made with
# allows_streaming => 'logical': a subscriber, a standby, and the database "restored" in the same server. conf and options are
# those of new_node() and setup_account(); the subscriber runs that SQL before it subscribes. Returns subscriber, standby and the file of the dump.
sub copies
{
	my ($class, $node, $sandbox, %params) = @_;
	my $subscriber = $class->new_node('subscriber', init => { allows_streaming => 'logical' }, conf => $params{conf});
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	my $dump = PostgreSQL::Test::Utils::tempdir('dump') . '/dump';

	$class->setup_account($subscriber, 'postgres', $sandbox, options => $params{options});
	$subscriber->safe_psql('postgres', $params{subscriber}) if $params{subscriber};
	$node->safe_psql('postgres', 'CREATE PUBLICATION pub FOR ALL TABLES');
	$subscriber->safe_psql('postgres', sprintf "CREATE SUBSCRIPTION sub CONNECTION 'host=%s port=%s dbname=postgres' PUBLICATION pub", $node->host, $node->port);
	$subscriber->wait_for_subscription_sync($node, 'sub');
	$node->backup('backup');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$class->write_key($standby, $sandbox->key);
	$standby->start;
	$node->wait_for_catchup($standby);
	$node->command_ok([ $node->installed_command('pg_dump'), '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	$node->command_ok([ $node->installed_command('pg_restore'), '-e', '-d', $node->connstr('restored'), $dump ], 'which is restored');
	return ($subscriber, $standby, $dump);
}

# unsubscribe(subscriber): it hears no more of the other server, which may be gone
sub unsubscribe
{
	my ($class, $subscriber) = @_;

	$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE; ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub');
	return;
}

# wait_settled(node, dbname): waits until nothing is queued or being sent
sub wait_settled
{
	my ($class, $node, $dbname) = @_;

	return $class->wait_for($node, $dbname,
		"SELECT count(*) FROM mf_invoice WHERE status IN ('queued', 'sending')", '0');
}

# worker_pid(node, dbname): of the worker of that database, '' if there is none; launcher_pid(node) of the launcher
sub worker_pid
{
	my ($class, $node, $dbname) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND datname = '$dbname'");
}

sub launcher_pid
{
	my ($class, $node) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'myfatoorah launcher'");
}

# wait_worker(node, dbname, not => pid): waits until a worker serves that database, another than that one, and returns
# its pid
sub wait_worker
{
	my ($class, $node, $dbname, %params) = @_;
	my $other = $params{not} || 0;

	$class->wait_for($node, $dbname,
		"SELECT count(*) FROM mf_worker_status WHERE pid <> $other AND transactions > 0", '1');
	return $node->safe_psql($dbname, 'SELECT pid FROM mf_worker_status');
}

# wait_no_worker(node, dbname): waits until no worker is connected to that database
sub wait_no_worker
{
	my ($class, $node, $dbname) = @_;

	return $class->wait_for($node, 'postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah worker' AND datname = '$dbname'", '0');
}

# wait_idle(node, dbname, in_flight => 0): waits until the worker rests, with so many requests under way: two looks in a row
# find that it did nothing in between
sub wait_idle
{
	my ($class, $node, $dbname, %params) = @_;
	my $in_flight = $params{in_flight} // 0;
	my $deadline = Time::HiRes::time() + MyFatoorah::Sandbox::time_limit();
	my ($before, $now) = ('', undef);

	for (;;)
	{
		$now = $node->safe_psql($dbname, 'SELECT pid, wakeups, transactions, in_flight FROM mf_worker_status');
		return 1 if $now eq $before && $now =~ /\|$in_flight$/;
		die "the worker does not come to rest: $now\n" if Time::HiRes::time() > $deadline;
		$before = $now;
		Time::HiRes::sleep(0.3);
	}
}

# session(node, dbname, extra_params => [...]): a psql that stays, and goes on after errors
sub session
{
	my ($class, $node, $dbname, %params) = @_;

	return MyFatoorah::Psql->new($node->connstr($dbname), %params);
}

# snapshot(node, dbname): a session in a snapshot, and the option by which pg_dump takes the same one: whatever a worker
# does meanwhile, what the session reads is what is dumped
sub snapshot
{
	my ($class, $node, $dbname) = @_;
	my $session = $class->session($node, $dbname);

	return ($session, '--snapshot=' . $session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot()'));
}

# noon_zone(node): a time zone where it is about noon, so that no day ends while a test is at it
sub noon_zone
{
	my ($class, $node) = @_;

	return $node->safe_psql('postgres', q{SELECT name FROM pg_timezone_names WHERE name ~ '^Etc/GMT[+-]\d+$' AND extract(hour FROM now() AT TIME ZONE name) = 12 LIMIT 1});
}

# literal(text): as an SQL literal, NULL if undefined; webhook(delivery, account): the SQL that hands in a webhook of the
# sandbox's log
sub literal
{
	my ($class, $text) = @_;

	return defined $text ? "'" . ($text =~ s/'/''/gr) . "'" : 'NULL';
}

sub webhook
{
	my ($class, $delivery, $account) = @_;

	return 'SELECT mf_webhook(' . join(', ', map { $class->literal($_) } @{$delivery}{qw(body signature version)},
		$account // 'myfatoorah') . ');';
}

# seconds(sub): how long it takes
sub seconds
{
	my ($class, $code) = @_;
	my $start = Time::HiRes::time();

	$code->();
	return Time::HiRes::time() - $start;
}

# best_of(limit, sub, tries): the shortest of several runs, in seconds, of which the first below the limit is the last:
# what the code can do, however busy the machine is at times
sub best_of
{
	my ($class, $limit, $code, $tries) = @_;
	my $best;

	for (1 .. $tries // 10)
	{
		my $seconds = $class->seconds($code);

		$best = $seconds if !defined $best || $seconds < $best;
		last if $best < $limit;
	}
	return $best;
}

# problems(node, dbname, sandbox, posts => [...], remote => [...], others => 1): what contradicts the promises, as
# sentences; none is right. Each committed row has exactly one invoice at the sandbox, or shows that it may have none;
# no request without a recorded attempt, no second request without a recorded reason. posts and remote stand for
# sandboxes that are gone or further ones; others: requests of others came in too, which are passed over. Repetitions of
# recurring payments, which nobody has sent, are no part of it where they have a row.
sub problems
{
	my ($class, $node, $dbname, $sandbox, %params) = @_;
	my @posts = (@{ $params{posts} // [] }, $sandbox ? map { $sandbox->posts($_) } ('/v2/SendPayment', '/v2/ExecutePayment', '/v3/payments') : ());
	my @remote = (@{ $params{remote} // [] }, $sandbox ? $sandbox->remote : ());
	my (@problems, %row, %attempts, %posted, %made, %repetition);

	foreach (split /\n/, $node->safe_psql($dbname,
			'SELECT id, reference, status, invoice_id, trim_scale(invoice_value), attempts, recurring_id IS NOT NULL AND recurring_type IS NULL FROM mf_invoice ORDER BY id'))
	{
		my ($id, $reference, $status, $invoice, $value, $attempts, $is_repetition) = split /\|/, $_, -1;

		if ($is_repetition eq 't')
		{
			$repetition{$invoice} = 1;
			next;
		}
		$row{$id} = { reference => $reference, status => $status, invoice => $invoice, value => $value,
			attempts => $attempts };
	}
	foreach (split /\n/, $node->safe_psql($dbname,
			'SELECT invoice, attempt, reference, outcome, repeats FROM mf_attempt ORDER BY invoice, attempt'))
	{
		my ($id, $number, $reference, $outcome, $repeats) = split /\|/, $_, -1;

		push @{ $attempts{$reference} }, { id => $id, number => $number, outcome => $outcome, repeats => $repeats };
	}
	foreach my $post (@posts)
	{
		my $reference = $post->{reference} // '(none)';

		$posted{$reference}++;
		push @problems, "$reference was posted and is no attempt"
		  unless $attempts{$reference} || $params{others};
	}
	my %id = map { $row{$_}{reference} => $_ } keys %row;
	foreach my $invoice (grep { !$repetition{ $_->{id} } } @remote)
	{
		my $reference = $invoice->{reference} // '';
		my $id = $attempts{$reference} ? $attempts{$reference}[0]{id} : $id{$reference};

		push @{ $made{$id} }, $invoice if defined $id;
	}
	foreach my $reference (sort keys %attempts)
	{
		my @attempts = @{ $attempts{$reference} };
		# those whose successor is a request that was found and is repeated have their proof in that
		my $may_repeat = grep { $attempts[$_]{outcome} =~ /^(?:not_sent|throttled|account_problem)$/ || $attempts[ $_ + 1 ]{repeats} ne '' }
		  0 .. $#attempts - 1;

		push @problems, "$reference was posted $posted{$reference} times in " . @attempts . ' attempts'
		  if ($posted{$reference} // 0) > @attempts;
		push @problems, "$reference was tried again without proof"
		  if $may_repeat < $#attempts;
	}
	foreach my $id (sort { $a <=> $b } keys %row)
	{
		my ($row, @made) = ($row{$id}, @{ $made{$id} // [] });
		my $is = "invoice $id ($row->{reference}) is $row->{status} and has " . @made . ' at the remote';

		if ($row->{status} eq 'sent')
		{
			push @problems, $is if @made != 1;
			push @problems, "$is, of another number or value"
			  if @made == 1 && ($made[0]{id} ne $row->{invoice} || $made[0]{value} + 0 != $row->{value});
		}
		elsif ($row->{status} =~ /^(?:queued|rejected|cancelled)$/)
		{
			push @problems, $is if @made;
		}
		else
		{
			push @problems, $is if @made > 1;
		}
	}
	return splice @problems, 0, 20;
}

1;
