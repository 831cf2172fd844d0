# The byte matrix of POST /v3/payments: answers cut and reset behind each byte, requests cut at each byte. Whatever
# happens, each attempt is posted once, is called accepted only if the whole answer came, and unknown as soon as a byte of
# the body may have left. Once nothing goes wrong any more every row ends with one invoice, and where MyFatoorah had made
# it, with its link.
use MyFatoorah::Test qw(sql);
use MyFatoorah::History;

my $mf = 'MyFatoorah::Cluster';
my $db = 'postgres';
my $v3 = '/v3/payments';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '10min'\nmyfatoorah.retry_delay = '1ms'\nmyfatoorah.max_in_flight = 1000");
my %close = (close => JSON::PP::true);

$mf->setup_account($node, $db, $sandbox, options => { max_in_flight => 1000, connect_timeout => '30s', timeout => '60s' });
$mf->wait_worker($node, $db);

# What was claimed ahead and given back has not left, and counts for nothing here.
my $left = q{coalesce(f.error !~ '^no slot became free|when its turn came$', true)};

# One row for each rule, with names of equal length, and beside each a row that must not be harmed. Returns the outcome of
# the first attempt that left, and how often it was posted.
sub cells
{
	my ($part, @rules) = @_;
	my @names = map { sprintf '%s-%05d', $part, $_ } 0 .. $#rules;
	my (%cell, %posts);

	$sandbox->control('POST', 'faults', [ map { { path => $v3, reference_prefix => "$names[$_].", %{ $rules[$_] } } } 0 .. $#rules ]);
	sql("INSERT INTO mf_invoice (customer_name, customer_reference, invoice_value) SELECT 'matrix', name, 1.250 FROM unnest('{"
		  . join(',', map { ($_, $_ =~ s/^.{4}/good/r . $part) } @names) . "}'::text[]) name");
	$mf->wait_none($node, $db, qq{SELECT count(*) FROM mf_invoice i WHERE NOT EXISTS (SELECT FROM mf_attempt f WHERE f.invoice = i.id AND f.outcome IS NOT NULL AND $left)});
	$posts{ $_->{reference} }++ foreach grep { defined $_->{reference} } $sandbox->posts($v3);
	foreach (split /\n/, sql(qq{SELECT i.customer_reference, a.reference, a.outcome FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id
		WHERE a.attempt = (SELECT min(attempt) FROM mf_attempt f WHERE f.invoice = i.id AND $left) AND (i.customer_reference LIKE '$part-%' OR i.customer_reference LIKE 'good-%$part')}))
	{
		my ($name, $reference, $outcome) = split /\|/;

		$cell{$name} = { outcome => $outcome, posts => $posts{$reference} // 0 };
	}
	is(scalar(grep { $_->{outcome} ne 'accepted' || $_->{posts} != 1 } map { $cell{ $_ =~ s/^.{4}/good/r . $part } } @names), 0,
		"$part: " . @names . ' rows beside them are accepted, each posted once');
	return map { $cell{$_} } @names;
}

sub verdicts
{
	my ($part, $what, $posts, @cells) = @_;
	my @wrong = map { my $expected = $what->($_); $cells[$_]{outcome} =~ /^(?:$expected)$/ && $cells[$_]{posts} =~ $posts ? () : "byte $_: $cells[$_]{outcome}, posted $cells[$_]{posts} times" } 0 .. $#cells;
	my %seen;

	$seen{ $_->{outcome} }++ foreach @cells;
	is("@wrong[0 .. ($#wrong < 3 ? $#wrong : 3)]", '', "$part: " . @cells . ' cells: ' . join(', ', map { "$seen{$_} $_" } sort keys %seen));
	return;
}

is(sql(q{SELECT ok FROM mf_probe_idempotency() WHERE step = 'result'}), 't', 'the account is proved');

# How long an answer and a request are
cells('size', { %close, cut_answer_at => 100_000 });
my ($size) = grep { ($_->{reference} // '') =~ /^size-/ } $sandbox->ledger(path => $v3);
my $answer = $size->{answer_sent_bytes};
my $request = $size->{header_bytes} + $size->{body_bytes};
cmp_ok($answer, '>', 300, "an answer of $answer bytes, a request of $request");

verdicts('answer cut', sub { $_[0] < $answer ? 'unknown' : 'accepted' }, qr/^1$/, cells('acut', map { { %close, cut_answer_at => $_ } } 0 .. $answer));
verdicts('answer reset', sub { $_[0] < $answer ? 'unknown' : 'accepted|unknown' }, qr/^1$/, cells('arst', map { { %close, reset_answer_at => $_ } } 0 .. $answer));
# one that is cut off before its reference cannot be counted by it
verdicts('request cut', sub { 'unknown' }, qr/^[01]$/, cells('qcut', map { { cut_request_at_total => $_ } } 0 .. $request));

# Nothing goes wrong any more.
sql("ALTER SYSTEM SET myfatoorah.lookup_delay = '1ms'");
$node->reload;
sql("UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'reconcile'");
$mf->wait_none($node, $db, "SELECT count(*) FROM mf_invoice WHERE status <> 'sent'");
is(sql("SELECT count(*) FROM mf_invoice WHERE invoice_url IS NULL OR duplicate_suspected"), '0', 'every row has its link, and none is suspected to exist twice');
is(sql(q{SELECT string_agg(DISTINCT left(customer_reference, 1) || (SELECT count(*) FILTER (WHERE f.repeats IS NULL) || '+' || count(f.repeats) FROM mf_attempt f
	WHERE f.invoice = id AND outcome <> 'not_sent'), ' ') FROM mf_invoice WHERE customer_reference ~ '^(acut|arst|qcut)'
	AND EXISTS (SELECT FROM mf_attempt f WHERE f.invoice = id AND outcome = 'unknown')}), 'a1+1 q2+0',
	'where the answer was lost, its request is repeated; where the request was lost, the row is sent again');
my @rows = split /\n/, sql('SELECT reference FROM mf_invoice');
my %made;
$made{ $_->{reference} =~ s/~\d+$//r }++ foreach grep { defined $_->{reference} && $_->{reference} !~ /^mf-probe/ } $sandbox->remote;
is(scalar(grep { $made{ $_ =~ s/~\d+$//r } != 1 } @rows), 0, @rows . ' rows, one invoice each');
$node->stop;
done_testing();
