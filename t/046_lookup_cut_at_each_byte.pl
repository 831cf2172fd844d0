# The byte matrix of look-ups: rows whose outcome is unknown are looked up, and the answer to that is cut, reset or
# stalled at every byte. A look-up that did not answer in full decides nothing and uses up no step: it is asked again.
# Rows that the remote has are adopted, rows that it has not are sent again, once, and nothing is posted beside that.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node(
	'main',
	conf => "myfatoorah.lookup_delay = '1ms'\nmyfatoorah.retry_delay = '1ms'");

my %head;    # of answers that find something (1) or nothing (0), in bytes

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

# The look-ups that came in, first to last
sub lookups
{
	my ($since, @lookups) = (0);

	for (;;)
	{
		my $answer = $sandbox->request('GET', "/_sandbox/ledger?path=/v2/GetPaymentStatus&bodies=0&limit=5000&since=$since");
		my ($next, $last) = $answer->{content} =~ /"next":(\d+),"last":(\d+)/ or die "the ledger looks different\n";

		while ($answer->{content} =~
			/"reference":(?:"([^"]*)"|null),"wall_us":(\d+),.*?"answer_body_bytes":(\d+),"answer_sent_bytes":(-?\d+),.*?"fault":(?:"([^"]*)"|null)/g)
		{
			push @lookups, { reference => $1, wall_us => $2, body => $3, sent => $4, fault => $5 };
		}
		return @lookups if $next >= $last || $next == $since;
		$since = $next;
	}
}

# How often each row of an account was looked up before it was sent or sent again, how it stands, and how much was missing
# of the answer that was broken off; by name
sub results
{
	my ($account, $created) = @_;
	my (%again, %asked, %missing, %result);

	my @lookups = lookups();

	# it is sent again under another reference, which is looked up first
	foreach my $request (grep { ($_->{reference} // '') =~ /~2$/ } @lookups, $sandbox->posts)
	{
		my $first = \$again{ $request->{reference} };

		$$first = $request->{wall_us} if !defined $$first || $request->{wall_us} < $$first;
	}
	foreach my $lookup (@lookups)
	{
		my $reference = $lookup->{reference} // next;

		# then it is only watched
		next if $lookup->{wall_us} > ($again{"$reference~2"} // $lookup->{wall_us});
		$asked{$reference}++;
		$missing{$reference} = $head{$created} + $lookup->{body} - $lookup->{sent} if defined $lookup->{fault};
	}
	foreach (split /\n/, $node->safe_psql('postgres',
			"SELECT i.customer_reference, min(a.reference COLLATE \"C\"), i.status, count(*), (array_agg(a.outcome ORDER BY attempt))[1]
			 FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id AND a.outcome <> 'not_sent'
			 WHERE account = '$account' GROUP BY i.id"))
	{
		my ($name, $reference, $status, $attempts, $outcome) = split /\|/;

		$result{$name} = {
			stands => "$outcome, then $status by attempt $attempts",
			asked => $asked{$reference} // 0,
			missing => $missing{$reference},
		};
	}
	return %result;
}

# A row for each of these bytes of the answer to its first look-up, and one beside each whose look-ups are answered;
# created says whether the remote has their invoices. The answer to SendPayment is an error for all of them.
sub part
{
	my ($account, $created, $end, @bytes) = @_;
	my @names = map { sprintf '%s-%05d', $account, $_ } @bytes;
	my @rows = map { ($_, "with-$_") } @names;

	$mf->setup_account($node, 'postgres', $sandbox, account => $account,
		options => { max_in_flight => 1000, connect_timeout => '1s', timeout => $end eq 'stall_at' ? '2s' : '5s' });
	$sandbox->control('POST', 'faults',
		[
			(map {
				{ path => 'SendPayment', reference_prefix => "$_.", status => 500, body => 'lost',
					create => $created ? JSON::PP::true : JSON::PP::false }
			} @rows),
			# "Connection: close", lest the connection be used again just when it is closed behind a whole answer
			map {
				{ path => 'GetPaymentStatus', reference_prefix => "$names[$_].", $end => $bytes[$_], close => JSON::PP::true }
			} 0 .. $#bytes
		]);
	$node->safe_psql('postgres',
		"INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value)
		 SELECT '$account', 'matrix', name, 1.250 FROM unnest('{" . join(',', @rows) . "}'::text[]) name");
	return;
}

# Waits until all rows of a part are sent, and compares how they came to it, by the attempts that left. Where the whole
# answer came, or all of it before a reset, there may be one question less.
sub settled
{
	my ($account, $created, $end, $cells) = @_;
	my $stands = $created ? 'unknown, then sent by attempt 1' : 'unknown, then sent by attempt 2';
	my $what = ($created ? 'answer "found" ' : 'answer "not found" ') . $end =~ s/_.*//r;
	my $steps = $created ? 1 : 5;
	my (@wrong, %seen);

	$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE account = '$account' AND status <> 'sent'");
	my %result = results($account, $created);

	foreach my $name (sort keys %result)
	{
		my $row = $result{$name};
		my ($least, $most) = ($steps, $steps);

		$least++ if $name !~ /^with/ && $row->{missing} > 0;
		$most++ if $name !~ /^with/ && ($row->{missing} > 0 || $end eq 'reset_answer_at');
		# on a slow machine more of them may time out, or meet a connection that stalls
		$most += 9 if $end eq 'stall_at';
		$seen{"$row->{stands}, $row->{asked} look-ups"}++;
		push @wrong, "$name: $row->{stands}, asked $row->{asked} times instead of $least to $most"
		  if $row->{stands} ne $stands || $row->{asked} < $least || $row->{asked} > $most;
	}
	is(scalar @wrong, 0, "$what: $cells cells: " . join('; ', map { "$seen{$_} $_" } sort keys %seen));
	diag($_) foreach splice @wrong, 0, 10;
	return;
}

# How long the two answers are: a cut behind their end tells. An answer "found" may be shorter or longer by the digits
# of its times.
part('size', 1, 'cut_answer_at', 100_000);
part('none', 0, 'cut_answer_at', 100_000);
$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status <> 'sent'");
my ($found) = grep { defined $_->{fault} && $_->{reference} =~ /^size/ } lookups();
my ($not_found) = grep { defined $_->{fault} && $_->{reference} =~ /^none/ } lookups();
my %length = (1 => $found->{sent} + 4, 0 => $not_found->{sent});
%head = (1 => $found->{sent} - $found->{body}, 0 => $not_found->{sent} - $not_found->{body});
cmp_ok($found->{sent}, '>', 500, "found: an answer of $found->{sent} bytes");
cmp_ok($not_found->{sent}, '>', 200, "not found: an answer of $not_found->{sent} bytes");

# Every byte is cut; resets and stalls take turns unless MF_EVERY_BYTE is set.
my $turn = time;
note("turn $turn");
sub bytes
{
	my ($created, $step) = @_;
	my @all = 0 .. $length{$created};

	return $ENV{MF_EVERY_BYTE} ? @all : grep { ($_ + $turn) % $step == 0 || $_ > $#all - 5 } @all;
}

my @parts = (
	[ 'fcut', 1, 'cut_answer_at', bytes(1, 1) ],
	[ 'frst', 1, 'reset_answer_at', bytes(1, 5) ],
	[ 'ncut', 0, 'cut_answer_at', bytes(0, 1) ],
	[ 'nrst', 0, 'reset_answer_at', bytes(0, 5) ],
	[ 'fhld', 1, 'stall_at', bytes(1, 7) ],
	[ 'nhld', 0, 'stall_at', bytes(0, 7) ]);

# Connections that stall may be used again by others: those come last.
foreach my $set ([ grep { $_->[2] ne 'stall_at' } @parts ], [ grep { $_->[2] eq 'stall_at' } @parts ])
{
	part(@$_) foreach @$set;
	settled(@$_[ 0 .. 2 ], @$_ - 3) foreach @$set;
}

is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');

# After so many errors some of what was claimed ahead is given back: nothing else is not sent.
is($node->safe_psql('postgres',
		"SELECT count(*) FROM mf_attempt WHERE outcome = 'not_sent' AND error !~ '^no slot became free|when its turn came\$'"),
	0, 'all that was begun left');
is($node->safe_psql('postgres', "SELECT count(*) FROM mf_attempt WHERE outcome <> 'not_sent'"),
	scalar($sandbox->posts), 'one request for each attempt that left');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_invoice WHERE duplicate_suspected'), 0, 'no row is suspected to exist twice');
$node->stop;
done_testing();
