# Hostile clients of the listener: each kind is refused, and logged once a minute. Webhooks are stored and invoices are sent
# meanwhile. MF_FUZZ sets how many mutated requests are tried (300); MF_SEED repeats a run.
use MyFatoorah::Test;
use Time::HiRes qw(time sleep);

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.poll_rate_limit = 0\nmax_files_per_process = 1000");
my $port = $web->free_port;
my $url = "http://127.0.0.1:$port";

$mf->setup_account($node, 'postgres', $sandbox);
$web->give_secret($node, 'postgres');
$web->open($node, 'postgres', $port);
my $pid = $web->wait_listening($node, 'postgres', $port);
my $number = 1000;

# A webhook as bytes; head and body apart
sub webhook
{
	my (%params) = @_;
	my ($body, $headers) = $web->v2(invoice => ++$number, pad => $params{pad});
	my $head = "POST /webhook HTTP/1.1\r\nHost: x\r\n" . join('', map { "$_: $headers->{$_}\r\n" } sort keys %$headers);

	return ($head, $body);
}

sub whole
{
	my (%params) = @_;
	my ($head, $body) = webhook(%params);

	return $head . ($params{more} // '') . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

# Others are served, and quickly.
sub unharmed
{
	my ($while) = @_;
	my ($body, $headers) = $web->v2(invoice => ++$number);
	my $status;
	my $seconds = $mf->best_of(1, sub { $status = $web->post("$url/webhook", $body, $headers)->{status} });

	is($status, 200, "$while: a webhook is taken") or diag(`tail -5 \$(ls -t $PostgreSQL::Test::Utils::log_path/*main.log)`);
	cmp_ok($seconds, '<', 1, "$while: at once");
}

sub resident
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;

	return $kb;
}

unharmed('at first');
my $resident = resident();

# Many that arrive in one turn of the listener: each has its place, and an answer.
foreach my $n (2, 20, 100)
{
	kill 'STOP', $pid;
	my @arrived = map { $web->connect($port) } 1 .. $n;

	print {$_} "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" foreach @arrived;
	kill 'CONT', $pid;
	is(scalar(grep { $web->read_all($_, 20) =~ m{^HTTP/1.1 200 } } @arrived), $n, "$n connections in one turn");
}
is($node->safe_psql('postgres', 'SELECT pid FROM mf_listener_status'), $pid, 'the listener lives on');

# What is allowed and rare
my ($head, $body) = webhook();
my $chunked = join '', map { sprintf("%x\r\n%s\r\n", length, $_) } $body =~ /(.{1,50})/gs;
like($web->talk($port, "${head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunked}0\r\n\r\n"), qr/^HTTP\/1\.1 200 /, 'chunked');
my $answers = $web->talk($port, whole() . whole() . "GET /health HTTP/1.1\r\nHost: x\r\n\r\n" . whole(more => "Connection: close\r\n"));
is(scalar(() = $answers =~ /^HTTP\/1\.1 200 /mg), 4, 'pipelined');
like($web->talk($port, whole(), shut => 1), qr/^HTTP\/1\.1 200 /, 'half-closed after the request');
like($web->talk($port, "GET /health HTTP/1.1\r\nHost:x\r\nX_y.z~1: \t a b\r\nEmpty:\r\nConnection: close\r\n\r\n"), qr/^HTTP\/1\.1 200 /, 'headers of other looks');
like($web->talk($port, "${head}Expect: 100-continue\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body"), qr/^(?:HTTP\/1\.1 100 .*^)?HTTP\/1\.1 200 /ms,
	'Expect: 100-continue');
like($web->talk($port, "\r\nGET /health?a&b=&=c&& HTTP/1.1\r\nhost: x\r\nX: \xc3\xa9 \t\r\nCookie: a=b; c=\"d\"\r\nConnection: close\r\n\r\n"), qr/^HTTP\/1\.1 200 /, 'more of other looks');
like($web->talk($port, "GET /health HTTP/1.0\r\n\r\n"), qr/^HTTP\/1\.[01] 200 /, 'HTTP/1.0 needs no host');
like($web->talk($port, "GET /health?" . '&' x 50 . " HTTP/1.1\r\nHost: x\r\n" . join('', map { "X-$_: " . 'y' x 400 . "\r\n" } 1 .. 30) . "Connection: close\r\n\r\n"),
	qr/^HTTP\/1\.1 200 /, 'a large head');
like($web->talk($port, whole(pad => 'x' x 250_000, more => "Connection: close\r\n")), qr/^HTTP\/1\.1 200 /, 'nearly as large as it may be');
$answers = '';
{
	my $socket = $web->connect($port);

	foreach my $byte (split //, whole(more => "Connection: close\r\n"))
	{
		syswrite $socket, $byte;
	}
	$answers = $web->read_all($socket, 10);
}
like($answers, qr/^HTTP\/1\.1 200 /, 'byte by byte, but fast');

# Refused at once. What is no request at all may be closed without an answer.
my $get = "GET /health HTTP/1.1\r\nHost: x\r\n";
my $none = qr/^(?:$|HTTP\/1\.[01] 4\d\d )/;
# libmicrohttpd 1.0.10 has an answer of its own to an encoding that it does not know
my $unknown = qr/^(?:$|HTTP\/1\.1 (?:4\d\d|501) )/;
foreach (
	[ 'too large by its own words', "${head}Content-Length: 300000\r\n\r\n", qr/^HTTP\/1\.1 413 / ],
	[ 'monstrous by its own words', "${head}Content-Length: 99999999999999999999999\r\n\r\n", qr/^HTTP\/1\.1 4(?:13|00) / ],
	[ 'too large in chunks', "${head}Transfer-Encoding: chunked\r\n\r\n" . join('', map { "10000\r\n" . 'x' x 65536 . "\r\n" } 1 .. 5) . "0\r\n\r\n", qr/^HTTP\/1\.1 413 / ],
	[ 'endless in chunks', "${head}Transfer-Encoding: chunked\r\n\r\n" . join('', map { "10000\r\n" . 'x' x 65536 . "\r\n" } 1 .. 40), qr/^$/ ],
	[ 'two lengths', "${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", qr/^HTTP\/1\.1 400 / ],
	[ 'length and chunks', "${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", qr/^HTTP\/1\.1 400 / ],
	[ 'another encoding', "${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", $unknown ],
	[ 'negative length', "${head}Content-Length: -5\r\n\r\n", $none ],
	[ 'length +5', "${head}Content-Length: +5\r\n\r\nabcde", $none ],
	[ 'no host', "GET /health HTTP/1.1\r\n\r\n", $none ],
	[ 'thousands of arguments', "GET /health?" . '&' x 3000 . " HTTP/1.1\r\nHost: x\r\n\r\n", qr/^HTTP\/1\.1 4(?:14|31) / ],
	[ 'more arguments than anybody has', "GET /health?" . '&' x 100 . " HTTP/1.1\r\nHost: x\r\n\r\n", qr/^HTTP\/1\.1 414 / ],
	[ 'a flood of headers', $get . join('', map { "X-$_: " . 'y' x 100 . "\r\n" } 1 .. 1000) . "\r\n", qr/^HTTP\/1\.1 431 / ],
	[ 'a long header', "${get}X: " . 'y' x 100_000 . "\r\n\r\n", qr/^HTTP\/1\.1 431 / ],
	[ 'a long path', "GET /" . 'a' x 100_000 . " HTTP/1.1\r\nHost: x\r\n\r\n", qr/^HTTP\/1\.1 4(?:14|31) / ],
	[ 'many arguments', "GET /callback/1-a?" . 'a=b&' x 4000 . " HTTP/1.1\r\nHost: x\r\n\r\n", qr/^HTTP\/1\.1 4(?:14|31) / ],
	[ 'NUL in the path', "GET /healt\0h HTTP/1.1\r\nHost: x\r\n\r\n", $none ],
	[ 'NUL in a header', "GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\nY: c\r\n\r\n", $none ],
	[ 'NUL in the last header', "${get}X: a\0b\r\n\r\n", $none ],
	[ 'NUL in the name of a header', "${get}X\0Y: a\r\n\r\n", $none ],
	[ 'two hosts', "${get}Host: y\r\n\r\n", $none ],
	[ 'the same host twice', "${get}Host: x\r\n\r\n", $none ],
	[ 'a blank in the name of a header', "${get}X Y: a\r\n\r\n", $none ],
	[ 'a blank after the name of a header', "${get}Content-Type : text/plain\r\n\r\n", $none ],
	[ 'a header that goes on in the next line', "${get}X: a\r\n b: c\r\n\r\n", $none ],
	[ 'an empty encoding', "${head}Transfer-Encoding:\r\n\r\n", $unknown ],
	[ 'an empty encoding and a length', "${head}Transfer-Encoding:\r\nContent-Length: " . length($body) . "\r\n\r\n$body", $unknown ],
	[ 'a dead end', "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", qr/^HTTP\/1\.1 404 / ],
	[ 'an absolute address', "GET http://other.example/health HTTP/1.1\r\nHost: x\r\n\r\n", $none ],
	[ 'TLS', pack('H*', '16030100c8010000c40303') . 'x' x 190, $none ],
	[ 'HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", qr/^(?:$|HTTP\/1\.[01] (?:4\d\d|505) )/ ],
	[ 'CONNECT', "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", $none ],
	[ 'SSH', "SSH-2.0-OpenSSH_9.2\r\n", $none ],
	[ 'zeroes', "\0" x 5000, $none ],
	[ 'noise', join('', map { chr(128 + $_ * 7 % 128) } 1 .. 5000), $none ])
{
	my ($what, $bytes, $expected) = @$_;

	like($web->talk($port, $bytes, shut => $bytes !~ /^POST/), $expected, $what);
}
unharmed('after that');

# What others could read differently, as where the request ends, has one answer, 400, and nothing behind it is read.
my $post = "POST /webhook HTTP/1.1\r\nHost: x\r\n";
foreach (
	[ 'a length that goes on in the next line', "${post}Content-Length: 5\r\n x\r\n\r\n" ],
	[ 'a length in the next line', "${post}Content-Length:\r\n 5\r\n\r\n" ],
	[ 'a length that goes on after a tab', "${post}Content-Length: 5\r\n\t5\r\nX: a\r\n\r\n" ],
	[ 'a header that goes on in a blank line', "${get}X: a\r\n \r\n\r\n" ],
	[ 'a header that goes on in the next line and ends later', "${get}X: a\r\n b\r\nY: c\r\n\r\n" ],
	[ 'the first header goes on', "GET /health HTTP/1.1\r\nX: a\r\n b\r\nHost: x\r\n\r\n" ],
	[ 'the first line goes on', "GET /health HTTP/1.1\r\n X: a\r\nHost: x\r\n\r\n" ],
	[ 'a CR in a header', "${get}X: a\rContent-Length: 5\r\n\r\n" ],
	[ 'a CR before a header', "${get}\rX: a\r\n\r\n" ],
	[ 'a CR at the end of a header', "${get}X: a\r\r\n\r\n" ],
	[ 'a CR in the address', "GET /health?a\rb HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a CR before the version', "GET /health\rX HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a control character in a header', "${get}X: a\x01\r\n\r\n" ],
	[ 'a control character in the address', "GET /health?\x01 HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'the first line ends with LF', "GET /health HTTP/1.1\nHost: x\r\n\r\n" ],
	[ 'a header ends with LF', "GET /health HTTP/1.1\r\nHost: x\nX: a\r\n\r\n" ],
	[ 'the last header ends with LF', "${get}X: a\n\r\n" ],
	[ 'the head ends with LF', "$get\n" ],
	[ 'NUL behind the path', "GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL in the path', "GET /health\0/x HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL instead of a blank', "GET /health\0HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL in the arguments', "GET /health?a\0&b HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL behind the arguments', "GET /health?a\0 HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL in the method', "GET\0 /health HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'NUL before a header', "$get\0X: a\r\n\r\n" ],
	[ 'NUL behind a header', "${get}X: a\0\r\nY: b\r\n\r\n" ],
	[ 'NUL behind the last header', "${get}X: a\0\r\n\r\n" ],
	[ 'two blanks before the address', "GET  /health HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'two blanks behind the address', "GET /health  HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a blank behind the version', "GET /health HTTP/1.1 \r\nHost: x\r\n\r\n" ],
	[ 'a blank in the address', "GET /health /x HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 'a header without a name', "${get}: a\r\n\r\n" ],
	[ 'a header without a colon', "${get}X\r\n\r\n" ],
	[ 'no host', "GET /health HTTP/1.1\r\nX: a\r\n\r\n" ],
	[ 'chunks in HTTP/1.0', "POST /webhook HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" ])
{
	my ($what, $bytes) = @$_;
	my $got = $web->talk($port, "${bytes}GET /health?behind HTTP/1.1\r\nHost: x\r\n\r\n", seconds => 60);

	# libmicrohttpd 1.0 hangs up on a NUL in the first line
	like(join(' ', $got =~ /^HTTP\/1\.[01] (\d+) /mg), $bytes =~ /^[^\r]*\0/ ? qr/^(?:400)?$/ : qr/^400$/, "$what: 400, and no more");
}
like($web->talk($port, "${head}Transfer-Encoding: chunked\r\n\r\n${chunked}0\r\n\r\n${get}\r\n", seconds => 60), qr/^HTTP\/1\.1 200 (?!.*^HTTP)/ms,
	'nothing is read behind chunks');
unharmed('after that, too');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_event WHERE invoice_id::bigint > 1000'), $node->safe_psql('postgres', 'SELECT webhooks - repeated FROM mf_listener_status'),
	'stored is what was signed');

# More connections than there may be: those who hang on make room.
my @crowd = map { $web->connect($port) } 1 .. 400;
unharmed('in a crowd of silent ones');
cmp_ok($node->safe_psql('postgres', 'SELECT connections FROM mf_listener_status'), '<=', 260, 'the crowd is bounded');
syswrite $_, "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" . 'x' x 100_000 for grep { defined } map { $web->connect($port) } 1 .. 300;
unharmed('in a crowd of those who never end');
$mf->insert($node, 'postgres', 'in a crowd');
$mf->wait_status($node, 'postgres', 'in a crowd');
pass('and invoices go out');
@crowd = ();

# Slow ones: a byte now and then keeps nobody connected for ever.
my %slow = map { ($_ => $web->connect($port)) } 'says nothing', 'stops in the head', 'stops in the body', 'drips the head', 'drips the body', 'drips nonsense';
my $start = time;
($head, $body) = webhook();
syswrite $slow{'stops in the head'}, 'GET /health HT';
syswrite $slow{'stops in the body'}, "${head}Content-Length: 100\r\n\r\n{";
syswrite $slow{'drips the head'}, "GET /health HTTP/1.1\r\n";
syswrite $slow{'drips the body'}, "${head}Content-Length: 100\r\n\r\n";
my %closed;
my $asked = 0;
while (keys %closed < keys %slow && time - $start < 120)
{
	foreach my $what (grep { !$closed{$_} } keys %slow)
	{
		local $SIG{PIPE} = 'IGNORE';
		syswrite $slow{$what}, $what =~ /head/ ? 'X' : ' ' if $what =~ /drips/;
		$closed{$what} = time - $start if $web->is_closed($slow{$what}, 0.05);
	}
	sleep 0.5;
	unharmed('with slow ones connected') if !$asked++;
}
foreach my $what (sort keys %slow)
{
	ok(defined $closed{$what}, "$what: is hung up on");
	note("$what: after $closed{$what} s") if $closed{$what};
}

# Random and mutated requests
my $seed = $ENV{MF_SEED} // int(rand(1 << 31));
my $count = $ENV{MF_FUZZ} // 300;
diag("$count mutated requests, MF_SEED=$seed");
srand $seed;
my @parts = ("\r\n", "\n", "\r", "\0", ' ', ':', '%', '%00', '/', '?', '&', '=', "\xff", 'HTTP/1.1', 'HTTP/1.0', 'HTTP/9.9', 'GET ', 'POST ', '0', '-1', '99999999999',
	'Transfer-Encoding: chunked', 'Content-Length: 7', 'Connection: close', "\r\n\r\n", 'x' x 5000, 'Expect: 100-continue', '5;a=b');
my (%seen, @odd);
foreach my $n (1 .. $count)
{
	my ($h, $b) = webhook();
	my @seeds = (whole(), "${h}Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $b, $b),
		"GET /callback/42-abcdefghijklmnopqrst?paymentId=07&Id=07 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
		join('', map { chr int rand 256 } 1 .. rand 2000));
	my $bytes = $seeds[ rand @seeds ];

	for (0 .. rand 6)
	{
		my ($at, $how) = (int rand length $bytes, rand);

		substr $bytes, $at, $how < 0.3 ? 1 : 0, $how < 0.6 ? chr int rand 256 : $parts[ rand @parts ] if $how < 0.8;
		substr $bytes, $at, int rand 40, '' if $how >= 0.8 && $how < 0.95;
		$bytes = substr $bytes, 0, $at if $how >= 0.95;
	}
	my $got = $web->talk($port, $bytes, shut => 1, seconds => 1);
	my $status = $got eq '' ? 'closed' : $got =~ /^HTTP\/1\.[01] (\d+) / ? $1 : 'odd';

	$seen{$status}++;
	push @odd, "$n: $status" if $status !~ /^(?:closed|100|200|303|4\d\d|50[15])$/;
}
is(join(', ', @odd), '', 'each is refused or understood');
note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
unharmed('after the mutated ones');
is($node->safe_psql('postgres', 'SELECT pid FROM mf_listener_status'), $pid, 'the listener is the same process all the time');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mf_listener_status WHERE last_error IS NOT NULL'), 0, 'the listener met no error');
SKIP:
{
	# an allocator that looks for errors keeps what is freed
	skip 'built with sanitizers', 1 if $ENV{ASAN_OPTIONS};
	cmp_ok(resident() - $resident, '<', 100_000, 'the listener has grown by less than 100 MB') or diag(resident());
}
$mf->insert($node, 'postgres', 'after all');
$mf->wait_status($node, 'postgres', 'after all');
is_deeply([ $mf->problems($node, 'postgres', $sandbox) ], [], 'rows, attempts and ledger agree');

# The log: a line for each kind, not for each request; nothing of what came in
my $log = slurp_file($node->logfile);
my $minutes = 1 + int((time - $^T) / 60);
foreach my $kind ('connections that did not speak HTTP', 'requests for unknown paths', 'requests that were too large', 'requests that took too long',
	'connections beyond the limit')
{
	my $lines = () = $log =~ /listener refused $kind$/mg;

	ok($lines >= 1 && $lines <= $minutes + 1, "told of: $kind") or diag("$lines lines in $minutes minutes");
}
like($log, qr/DETAIL:  \d+ were refused, the latest from 127\.0\.0\.1\./, 'with their number and where they came from');
unlike($log, qr/PAYMENT_STATUS_CHANGED|passwd|other\.example|\Q$MyFatoorah::Web::secret\E/, 'the log has nothing of what hostile clients sent');
cmp_ok($node->safe_psql('postgres', 'SELECT refused FROM mf_listener_status'), '>', 50, 'refusals are counted');

$node->stop;
done_testing();
