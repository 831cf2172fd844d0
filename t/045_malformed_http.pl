# What no proper HTTP server does: answers in chunks, behind interim answers, or that end with the connection, broken off
# at every byte; requests that are not read to their end; connections kept alive and then dropped. The remote is a few
# lines of Perl here, which note every request that they have read.
use MyFatoorah::Test;
use IO::Handle;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);

my $mf = 'MyFatoorah::Cluster';

# No look-up within this test: these remotes answer none.
my $node = $mf->new_node(
	'main',
	conf => "myfatoorah.lookup_delay = '1h'\nmyfatoorah.retry_delay = '1ms'");
my @remotes;

$node->safe_psql('postgres', 'CREATE EXTENSION myfatoorah');
$mf->write_key($node, 'SK_KWT_raw', 'raw.key');
$mf->wait_worker($node, 'postgres');

# remote(plan, buffer): a server in a process of its own. plan(connection) is asked when a connection is new and whenever
# something was read; the connection knows its number, what was read since the last answer ("in"), whether that is a
# whole request, its reference, and how many requests were answered. It says: { read => up to so many bytes in all },
# or { send => bytes, then => 'go on', 'cut', 'reset', or 'stall' }. buffer is that of the kernel for what is not read.
sub remote
{
	my ($plan, $buffer) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1024)
	  or die "could not listen: $!\n";
	my $notes = PostgreSQL::Test::Utils::tempdir() . '/notes';

	setsockopt($listener, SOL_SOCKET, SO_RCVBUF, $buffer) if $buffer;
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0)
	{
		eval { serve($listener, $notes, $plan) };
		print STDERR $@;
		POSIX::_exit(1);
	}
	push @remotes, $pid;
	return { url => 'http://127.0.0.1:' . $listener->sockport, notes => $notes };
}

sub serve
{
	my ($listener, $file, $plan) = @_;
	my $select = IO::Select->new($listener);
	my $count = 0;
	my %connection;

	local $SIG{PIPE} = 'IGNORE';
	open my $notes, '>>', $file or die "$file: $!\n";
	$notes->autoflush;
	for (;;)
	{
		foreach my $handle ($select->can_read)
		{
			my $c = $connection{$handle};

			if (!$c)
			{
				my $client = $listener->accept // next;

				$client->blocking(1);
				$select->add($client);
				$c = $connection{$client} = { handle => $client, number => $count++, in => '', whole => '', answered => 0 };
				print $notes "connection\n";
			}
			else
			{
				my $most = $c->{read} // 65536;
				my $got = sysread $handle, $c->{in}, $most - length $c->{in}, length $c->{in};

				if (!$got)
				{
					$select->remove($handle);
					delete $connection{$handle};
					close $handle;
					next;
				}
				my ($reference) = $c->{in} =~ /"CustomerReference":"([^"]*)"/;
				my ($head, $length) = $c->{in} =~ /^(.*?\r\n\r\n)/s;

				($length) = $head =~ /^Content-Length: (\d+)\r/mi if defined $head;
				$c->{reference} = $reference;
				if (defined $length && length $c->{in} >= length($head) + $length)
				{
					$c->{whole} = 1;
					print $notes "request $reference\n";
				}
			}
			next if $c->{stalled};
			my $do = $plan->($c) // next;

			$c->{read} = $do->{read};
			if (!defined $do->{read})
			{
				print { $c->{handle} } $do->{send};
				$c->{handle}->flush;
			}
			elsif ($do->{read} > length $c->{in})
			{
				next;
			}
			$c->{in} = $c->{whole} = '';
			$c->{answered}++;
			next if ($do->{then} // '') eq 'go on';

			# What comes now is of no interest; a connection that stalls is not even read any more.
			$select->remove($c->{handle});
			if (($do->{then} // '') eq 'stall')
			{
				$c->{stalled} = 1;
				next;
			}
			setsockopt($c->{handle}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $do->{then} eq 'reset';
			delete $connection{ $c->{handle} };
			close $c->{handle};
		}
	}
	return;
}

END
{
	local $?;
	kill 'KILL', @remotes;
	waitpid $_, 0 foreach @remotes;
}

sub account
{
	my ($name, $remote, %options) = @_;
	my %all = (country => 'KWT', environment => 'test', base_url => $remote->{url}, max_in_flight => 1000,
		connect_timeout => '5s', timeout => '30s', %options);

	$node->safe_psql('postgres',
			"CREATE SERVER $name FOREIGN DATA WRAPPER myfatoorah OPTIONS ("
		  . join(', ', map { "$_ '$all{$_}'" } sort keys %all) . ");
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (api_key_file 'raw.key')");
	return;
}

# Inserts rows of these names, waits until each has the outcome of its first attempt, and returns those by name
sub outcomes
{
	my ($account, @names) = @_;

	$node->safe_psql('postgres',
		"INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value)
		 SELECT '$account', 'matrix', name, 1.250 FROM unnest('{" . join(',', @names) . "}'::text[]) name");
	$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice i LEFT JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = 1
		WHERE i.account = '$account' AND a.outcome IS NULL");
	return map { split /\|/ } split /\n/, $node->safe_psql('postgres',
		"SELECT customer_reference, outcome FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id AND a.attempt = 1
		 WHERE account = '$account'");
}

# What a remote has noted: connections, and whole requests by the name of the row
sub notes
{
	my ($remote) = @_;
	my ($connections, %requests) = (0);

	foreach (split /\n/, slurp_file($remote->{notes}))
	{
		$connections++ if /^connection/;
		$requests{$1}++ if /^request (.*)\.[^.]*$/;
	}
	return ($connections, %requests);
}

# The body of an answer that accepts, as long for each reference of a length
sub accepted
{
	my ($reference) = @_;
	my $id = 6_000_000 + hex(substr unpack('H*', $reference), -5) % 900_000;

	return qq({"IsSuccess":true,"Message":"Invoice Created Successfully!","ValidationErrors":null,"Data":{"InvoiceId":$id,)
	  . qq("InvoiceURL":"https://demo.MyFatoorah.com/KWT/ie/$id","CustomerReference":"$reference","UserDefinedField":null}});
}

# An answer in one of the forms, "plain" being a usual one
sub answer
{
	my ($form, $reference) = @_;
	my $body = accepted($reference);
	my $plain = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";

	return $plain if $form eq 'plain';

	# those that may be followed by a closing say so, lest the connection be used again just then
	$plain =~ s/OK\r\n/OK\r\nConnection: close\r\n/;
	return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 100 \r\n\r\n$plain" if $form eq 'interim';
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n$body" if $form eq 'unmeasured';
	return "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	  . join('', map { sprintf "%x%s\r\n%s\r\n", length $_, /^\{/ ? ';name=value' : '', $_ } unpack '(A100)*', $body)
	  . "0\r\nExpires: never\r\n\r\n";
}

# Each form, cut, reset and stalled behind each of its bytes. With rows that are cut or reset go as many that are
# answered; they also keep the circuit closed. Nothing is accepted but whole answers; "spare" bytes at the end add nothing.
# What stalls meets a short time-out, but for the whole answer, which is to be taken however busy the machine is.
foreach my $form ('chunked', 'interim', 'unmeasured')
{
	my $spare = $form eq 'chunked' ? 1 : 0;

	foreach my $end ('cut', 'reset', 'stall')
	{
		my $account = "${form}_$end";
		my $length;
		my $remote = remote(
			sub {
				my ($c) = @_;

				return undef unless $c->{whole};
				my ($kind, $k) = $c->{reference} =~ /^(cell|good)-(\d+)\./;
				return { send => answer('plain', $c->{reference}), then => 'go on' } if $kind eq 'good';
				return { send => substr(answer($form, $c->{reference}), 0, $k), then => $end };
			});
		account($account, $remote, $end eq 'stall' ? (timeout => '1s') : ());
		$length = length answer($form, 'cell-00000.' . 'x' x 20);
		my $stalled = $end eq 'stall' && $form ne 'unmeasured' ? $length - 1 : $length;
		account("${account}_whole", $remote) if $stalled < $length;
		my %outcome = (
			outcomes($account, map { (sprintf('cell-%05d', $_), $end eq 'stall' ? () : sprintf('good-%05d', $_)) } 0 .. $stalled),
			map { outcomes("${account}_whole", sprintf 'cell-%05d', $_) } $stalled + 1 .. $length);
		my ($connections, %requests) = notes($remote);
		my @cells = map { sprintf 'cell-%05d', $_ } 0 .. $length;
		my @wrong;

		foreach my $k (0 .. $length)
		{
			my $is = $outcome{ $cells[$k] };
			my $expected = $k < $length - $spare ? 'unknown'
			  : $end eq 'reset' || $k < $length ? 'accepted|unknown'
			  : $end eq 'stall' && $form eq 'unmeasured' ? 'unknown' : 'accepted';

			push @wrong, "byte $k of $length: $is instead of $expected" if $is !~ /^(?:$expected)$/;
		}
		is(scalar @wrong, 0, "$form answer, $end: " . @cells . ' cells');
		diag($_) foreach splice @wrong, 0, 5;
		is(scalar(grep { /^good/ && $outcome{$_} ne 'accepted' } keys %outcome), 0, '... the others are accepted');
		is_deeply([ grep { ($requests{$_} // 0) != 1 } keys %outcome ], [], '... each was posted once');
		is(scalar keys %requests, scalar keys %outcome, '... and nothing else');
	}
}

# The remote reads so many bytes of the request and no more, while the connection stands: all of it may have left.
my $request = 250;
my $deaf = remote(sub { my ($c) = @_; return { read => $c->{number}, then => 'stall' }; });
account('deaf', $deaf, timeout => '1s');
my %outcome = outcomes('deaf', map { sprintf 'cell-%05d', $_ } 0 .. $request);
is(scalar(grep { $_ ne 'unknown' } values %outcome), 0, "request not read behind each of $request bytes: unknown");
my ($connections) = notes($deaf);
is($connections, $request + 1, '... each on a connection of its own');

# A connection is kept alive; the next request on it is read and dropped. libcurl would send it again if it could. The host is
# known to drop connections then, so each request of the next minute goes over one of its own.
foreach my $end ('cut', 'reset')
{
	my $remote = remote(
		sub {
			my ($c) = @_;

			return undef unless $c->{whole};
			return { send => '', then => $end } if $c->{answered};
			return { send => answer('plain', $c->{reference}), then => 'go on' };
		});
	account("once_$end", $remote, timeout => '5s');
	my %outcome;

	foreach my $i (0 .. 19)
	{
		%outcome = outcomes("once_$end", sprintf('kept-%05d', $i));
	}
	my ($connections, %requests) = notes($remote);

	# on a slow machine the connection may be found closed in time
	like(join(' ', map { $outcome{ sprintf 'kept-%05d', $_ } } 0 .. 19), qr/^accepted (?:unknown|accepted)(?: accepted){18}$/,
		"a kept connection that is dropped ($end): the first request on one may be unknown, and no other");
	is_deeply([ grep { ($requests{$_} // 0) != 1 } keys %outcome ], [], '... each was posted once');
	is(scalar keys %requests, 20, '... and nothing else');
	like($node->safe_psql('postgres',
			"SELECT string_agg(DISTINCT status || ' ' || attempts, ', ') FROM mf_invoice WHERE account = 'once_$end'"),
		qr/^sent 1(?:, unknown 1)?$/, '... in one attempt each');
	cmp_ok($connections, '<=', 20, '... over new connections, on some of which nothing was sent');
}

# The largest request, broken off in its midst. The timeout leaves time for claiming rows of that size on a busy machine.
my @ways = ('cut', 'reset', 'stall');
my $big = remote(
	sub {
		my ($c) = @_;
		my $way = defined $c->{reference} ? $c->{reference} =~ s/-.*//r : 'none';
		my $k = defined $c->{reference} ? ($c->{reference} =~ /-(\d+)\./)[0] : 1_000;

		return { read => $k } if length $c->{in} < $k;
		return { send => '', then => $way };
	},
	4096);
account('big', $big, timeout => '10s');
my @names = map { my $k = $_; map { sprintf '%s-%08d', $_, $k } @ways } 1_000, 50_000;
$node->safe_psql('postgres',
	"INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, invoice_items)
	 SELECT 'big', 'matrix', name, 58, (SELECT jsonb_agg(jsonb_build_object('ItemName', repeat('x', 1000), 'Quantity', 1, 'UnitPrice', 1)) FROM generate_series(1, 58))
	 FROM unnest('{" . join(',', @names) . "}'::text[]) name");
%outcome = outcomes('big');
is(join(' ', map { $outcome{$_} // 'none' } @names), join(' ', ('unknown') x @names), 'requests of 60 KB, broken off: unknown');
my (undef, %requests) = notes($big);
is_deeply(\%requests, {}, '... none of them was read to its end');

is($node->safe_psql('postgres', "SELECT count(*) FROM mf_invoice WHERE attempts <> 1"), 0, 'nothing was tried twice');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ' ') FROM mf_invoice"), 'sent unknown', 'and every row says what is known');
$node->stop;
done_testing();
