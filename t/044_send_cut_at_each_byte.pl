# The byte matrix: a request or an answer that is cut, reset or stalled at every byte of it. Each cell is one row sent by
# the worker, its fault chosen by its reference. Whatever happens, each attempt is posted once, is called accepted only
# if the whole answer came, and unknown as soon as a byte of the body may have left; and once nothing goes wrong any
# more, every row ends with exactly one invoice at the remote.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
our $sandbox = MyFatoorah::Sandbox->new;

# t/173_execute_cut_at_each_byte.pl is the same for rows of one method.
our ($call, $method);
$call //= 'SendPayment';
$method //= 'NULL::integer';

# Circuits that open after failures close again at once. Look-ups come when both time-outs of the account and a margin have
# passed, or when the matrix is over: only the cells that stall are to meet a time-out, however busy the machine is.
my $node = $mf->new_node(
	'main',
	conf => "myfatoorah.lookup_delay = '1ms'\nmyfatoorah.retry_delay = '1ms'");

$mf->setup_account($node, 'postgres', $sandbox);
$mf->wait_worker($node, 'postgres');

sub account
{
	my ($name, %options) = @_;

	$mf->setup_account($node, 'postgres', $sandbox, account => $name,
		options => { max_in_flight => 1000, connect_timeout => '30s', timeout => '60s', %options });
	return;
}

# What was claimed ahead and given back has not left, and counts for nothing here.
my $left = q{coalesce(f.error !~ '^no slot became free|when its turn came$', true)};

# The cells of a part of the matrix, with names of equal length so that all requests and answers are equally long. With
# every row that fails goes one that must not be harmed: on the same account, perhaps over the same connections. It also
# keeps the circuit closed.
sub cells
{
	my ($account, %params) = @_;
	my @names = map { sprintf '%s-%05d', $account, $_ } 0 .. $#{ $params{rules} };
	my @rules = map { $params{rules}[$_] ? { path => $call, reference_prefix => "$names[$_].", %{ $params{rules}[$_] } } : () } 0 .. $#names;
	my @rows = map { ($_, $params{companions} ? $_ =~ s/^.{4}/good/r : ()) } @names;
	my %result;

	$sandbox->control('POST', 'faults', \@rules);
	$node->safe_psql('postgres',
		"INSERT INTO mf_invoice (account, customer_name, customer_reference, invoice_value, payment_method_id)
		 SELECT '$account', 'matrix', name, 1.250, $method FROM unnest('{" . join(',', @rows) . "}'::text[]) name");
	$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice i WHERE i.account = '$account'
		AND NOT EXISTS (SELECT FROM mf_attempt f WHERE f.invoice = i.id AND f.outcome IS NOT NULL AND $left)");
	foreach (split /\n/, $node->safe_psql('postgres',
			"SELECT i.customer_reference, a.reference, a.outcome, a.http_status, a.invoice_id
			 FROM mf_invoice i JOIN mf_attempt a ON a.invoice = i.id WHERE i.account = '$account' AND a.attempt =
				(SELECT min(attempt) FROM mf_attempt f WHERE f.invoice = i.id AND $left)"))
	{
		my ($name, $reference, $outcome, $status, $id) = split /\|/, $_, -1;

		$result{$name} = { reference => $reference, outcome => $outcome, status => $status, id => $id, posts => 0 };
	}

	my %name_of = map { $result{$_}{reference} => $_ } keys %result;
	foreach my $post (posts())
	{
		my $cell = $result{ $name_of{ $post->{reference} // '' } // next };

		$cell->{posts}++;
		$cell->{post} = $post;
	}
	my @wrong = grep { $result{$_}{outcome} ne 'accepted' || $result{$_}{posts} != 1 } grep { /^good/ } keys %result;
	if ($params{companions})
	{
		is(scalar @wrong, 0, "$account: " . @names . ' rows beside them are accepted, each posted once');
		diag("$_: $result{$_}{outcome}, $result{$_}{posts} posts") foreach splice @wrong, 0, 5;
	}
	return map { $result{$_} } @names;
}

# The ledger of that call with what is known of the answers
sub posts
{
	my ($since, @posts) = (0);

	for (;;)
	{
		my $answer = $sandbox->request('GET', "/_sandbox/ledger?path=/v2/$call&bodies=0&limit=5000&since=$since");
		my ($next, $last) = $answer->{content} =~ /"next":(\d+),"last":(\d+)/ or die "the ledger looks different\n";

		while ($answer->{content} =~
			/"complete":(true|false),"header_bytes":(\d+),"body_bytes":(\d+),"reference":(?:"([^"]*)"|null),.*?"answer_body_bytes":(\d+),"answer_sent_bytes":(-?\d+),"invoice_id":(\d+|null)/g)
		{
			push @posts, { complete => $1 eq 'true', header => $2, body => $3, reference => $4, answer_body => $5,
				answer => $6, id => $7 };
		}
		return @posts if $next >= $last || $next == $since;
		$since = $next;
	}
}

# Waits until the connection of that request has come to its end at the sandbox.
sub wait_ended
{
	my ($reference) = @_;
	my $deadline = time + MyFatoorah::Sandbox::time_limit();

	until (($sandbox->ledger(reference => $reference))[0]{end})
	{
		die "the connection of $reference does not end\n" if time > $deadline;
		select undef, undef, undef, 0.02;
	}
	return;
}

# Requests that have reached the sandbox, if only in part
sub requests
{
	my $count = $sandbox->control('GET', "ledger/count?path=/v2/$call");

	return $count->{count} + $count->{incomplete};
}

# Asserts all cells of a part at once, and tells the first that are wrong. what(k) gives the outcomes that are right, by
# words, at byte k.
sub verdicts
{
	my ($part, $what, @cells) = @_;
	my (@wrong, %seen);

	foreach my $k (0 .. $#cells)
	{
		my $cell = $cells[$k] // next;
		my $expected = $what->($k);

		$seen{ $cell->{outcome} }++;
		push @wrong, "byte $k: $cell->{outcome} instead of $expected, HTTP status $cell->{status}, $cell->{posts} posts"
		  if $cell->{outcome} !~ /^(?:$expected)$/ || $cell->{posts} != 1
		  || (($cell->{id} ne '') != ($cell->{outcome} eq 'accepted'))
		  || ($cell->{outcome} eq 'accepted' && $cell->{id} ne $cell->{post}{id});
	}
	is(scalar @wrong, 0, "$part: " . @cells . ' cells: ' . join(', ', map { "$seen{$_} $_" } sort keys %seen));
	diag($_) foreach splice @wrong, 0, 10;
	return;
}

# A typical request and answer, to learn how long they are: a cut behind the end of the answer tells. Answers that are
# broken off say "Connection: close": otherwise a connection that is closed right behind a whole answer might be used
# again just then, for a row that would meet the closing.
my %close = (close => JSON::PP::true);
account('size');
my ($size) = cells('size', rules => [ { %close, cut_answer_at => 100_000 } ]);
my $answer = $size->{post}{answer};
my $head = $answer - $size->{post}{answer_body};
my $request = $size->{post}{header} + $size->{post}{body};
is($size->{outcome}, 'accepted', "an answer of $head bytes of head and " . ($answer - $head) . ' of body');
cmp_ok($head, '>', 100, 'has a head');
cmp_ok($request, '>', 200, "a request of $request bytes");

# The answer, cut behind each of its bytes; then reset. A reset right behind the last byte may overtake it.
account('acut');
my @cells = cells('acut', rules => [ map { { %close, cut_answer_at => $_ } } 0 .. $answer ], companions => 1);
is(scalar(grep { $_->{post}{answer} != $answer } $cells[-1]), 0, 'all answers are as long as the first');
verdicts('answer cut', sub { $_[0] < $answer ? 'unknown' : 'accepted' }, @cells);
is(scalar(grep { $cells[$_]{post}{answer} != $_ } 0 .. $#cells), 0, 'each behind another byte');

account('arst');
verdicts('answer reset', sub { $_[0] < $answer ? 'unknown' : 'accepted|unknown' },
	cells('arst', rules => [ map { { %close, reset_answer_at => $_ } } 0 .. $answer ], companions => 1));

# Stalled there: the time-out of the account ends it. Nothing is wrong with a connection that falls silent behind a whole
# answer.
account('hold');
@cells = cells('hold', rules => [ map { { %close, stall_at => $answer, stall_ms => 300 } } 1 .. 5 ]);
verdicts('whole answer, then silence', sub { 'accepted' }, @cells);
wait_ended($_->{reference}) foreach @cells;
account('ahld', timeout => '1s');
verdicts('answer stalled', sub { 'unknown' }, cells('ahld', rules => [ map { { %close, stall_at => $_ } } 0 .. $answer - 1 ]));

# The request, taken up to each of its bytes and then cut or reset: libcurl hands head and body over in one go, so all
# of it may have left. Nothing is made at the remote.
account('qcut');
verdicts('request cut', sub { 'unknown' },
	cells('qcut', rules => [ map { { cut_request_at_total => $_ } } 0 .. $request ], companions => 1));
account('qrst');
verdicts('request reset', sub { 'unknown' },
	cells('qrst', rules => [ map { { reset_request_at_total => $_ } } 0 .. $request ], companions => 1));
# The same as soon as the bytes are in, before anybody has read the rest. These faults are not chosen by the reference:
# every other request that comes in meets the next one. Where libcurl learns of it before it has asked for the body, it
# may say the head again on another connection, or give up: nothing was sent then.
my @early;
foreach my $end ('cut', 'reset')
{
	my $account = substr "e$end", 0, 4;

	# a sandbox of its own, so that nothing else that comes in meets them
	local $sandbox = MyFatoorah::Sandbox->new;
	push @early, $sandbox;
	account($account);
	$sandbox->control('POST', 'faults',
		[ map { { path => $call, "${end}_request_at_total" => $_ + 1, skip => $_ } } 0 .. $request - 2 ]);
	my @cells = cells($account, rules => [ (undef) x (2 * $request) ]);

	my %seen = (unknown => 0, accepted => 0);
	$seen{ $_->{outcome} }++ foreach @cells;
	my @broken = grep { !$_->{complete} } posts();
	is(scalar @broken, $request - 1, "request $end early: " . @broken . ' were broken off; ' . join ', ', map { "$seen{$_} $_" } sort keys %seen);
	is(scalar(grep { $_ !~ /^(?:unknown|accepted|not_sent)$/ } keys %seen), 0, '... none is said to be more than can be known');
	cmp_ok(scalar(grep { $_->{body} > 0 } @broken), '<=', $seen{unknown}, '... where a part of the body came in, it is unknown');
	is(scalar(grep { $_->{outcome} eq 'accepted' && $_->{posts} != 1 } @cells), 0, '... what is accepted was posted once');
}
account('nevr', timeout => '1s');
verdicts('request taken, no answer', sub { 'unknown' },
	cells('nevr', rules => [ map { { never => JSON::PP::true, create => $_ % 2 ? JSON::PP::true : JSON::PP::false } } 1 .. 20 ]));

# Other answers, cut: a refusal is one only when it is complete, and then the remote has nothing.
account('rcut');
my $refusal = '{"IsSuccess":false,"Message":"Invalid data","ValidationErrors":[{"Name":"InvoiceValue","Error":"no"}],"Data":null}';
my %refuse = (%close, status => 400, body => $refusal);
my ($whole) = cells('rcut', rules => [ { %refuse, cut_answer_at => 100_000 } ]);
is($whole->{outcome}, 'rejected', 'a whole refusal');
account('rcu2');
verdicts('refusal cut', sub { $_[0] < $whole->{post}{answer} ? 'unknown' : 'rejected' },
	cells('rcu2', rules => [ map { { %refuse, cut_answer_at => $_ } } 0 .. $whole->{post}{answer} ], companions => 1));

# Nothing goes wrong any more: look-ups find what is there, and what is not is sent again under another reference.
$node->safe_psql('postgres', "UPDATE mf_queue SET due = now(), rank = now() WHERE kind = 'reconcile'");
$mf->wait_none($node, 'postgres', "SELECT count(*) FROM mf_invoice WHERE status NOT IN ('sent', 'rejected')");
is_deeply(
	[
		$mf->problems($node, 'postgres', $sandbox,
			posts => [ grep { defined $_->{reference} } map { $_->posts("/v2/$call") } @early ],
			remote => [ map { $_->remote } @early ])
	],
	[], 'rows, attempts and ledger agree');
is($node->safe_psql('postgres', "SELECT count(*) FROM mf_invoice WHERE duplicate_suspected"), 0, 'no row is suspected to exist twice');
is($node->safe_psql('postgres', "SELECT count(*) FROM mf_invoice WHERE status = 'rejected'"), 2, 'what was refused is refused');
my %posted;
foreach my $each ($sandbox, @early)
{
	local $sandbox = $each;

	$posted{$_}++ foreach grep { defined $_ } map { $_->{reference} } posts();
}
is(scalar(grep { $_ != 1 } values %posted), 0, 'no reference was posted twice');
is($node->safe_psql('postgres', "SELECT count(*) FROM mf_attempt f JOIN mf_invoice ON id = invoice WHERE account !~ '^e' AND $left"),
	requests(), 'and there is one request for each attempt');
is($node->safe_psql('postgres',
		"SELECT string_agg(DISTINCT left(customer_reference, 1) || ' ' || (SELECT count(*) FROM mf_attempt f WHERE f.invoice = id AND $left), ', ')
			FROM mf_invoice WHERE customer_reference ~ '^(a|q)'"),
	'a 1, q 2', 'a lost answer is looked up, a lost request is sent again');

$node->stop;
done_testing();
