# Pages of users' functions: who may have the listener answer with one, with whose rights it is called, what it may answer,
# and what becomes of one that fails, is slow, does not end or waits for a lock; webhooks and other pages do not wait for it.
use MyFatoorah::Test qw(sql as);
use MyFatoorah::Chaos;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => 'myfatoorah.poll_rate_limit = 0');
my ($port, $other_port) = map { $web->free_port } 1, 2;
my $url = "http://127.0.0.1:$port";
my $db = 'postgres';

# Status and content of a page
sub page
{
	my ($path, $method) = @_;
	my $answer = $web->get("$url$path", $method // 'GET');

	return "$answer->{status} $answer->{content}";
}

# Waits for the page: the listener is told of it after the commit.
sub comes
{
	my ($path) = @_;

	return MyFatoorah::Chaos->until_true("$path is answered", sub { page($path) eq '200 new' });
}

# What mf_check() says to that role, without the time
sub told
{
	my ($role) = @_;

	return as($role, q{SELECT regexp_replace(detail, 'had no answer at [-0-9:. ]+ [^ ]+: ', '') FROM mf_check() WHERE item = 'pages'}) =~ s/^ok //r;
}

sub last_error { return told('reader') =~ s/^A request for \/shop\/ //r; }

# How long a function may take, for the next process that calls them
sub limit
{
	my ($limit) = @_;

	$node->append_conf('postgresql.conf', "myfatoorah.on_change_timeout = '$limit'");
	$node->reload;
	$mf->wait_for($node, $db, 'SHOW myfatoorah.on_change_timeout', $limit);
	sql(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'myfatoorah routes'});
	return;
}

sub counted { return join ' ', map { sql("SELECT value FROM mf_metrics() WHERE name = 'pages' AND result = '$_'") } qw(done failed); }

$mf->setup_account($node, $db, $sandbox);
sql(q{CREATE ROLE author LOGIN; CREATE ROLE officer IN ROLE myfatoorah_operate, author; CREATE ROLE other IN ROLE myfatoorah_operate; CREATE ROLE clerk IN ROLE myfatoorah_submit, author; CREATE ROLE stranger IN ROLE myfatoorah_submit; CREATE ROLE reader IN ROLE myfatoorah_read;
	GRANT USAGE ON SCHEMA public TO author; GRANT USAGE ON TYPE mf_response TO author;
	CREATE SCHEMA site AUTHORIZATION author; GRANT USAGE ON SCHEMA site TO other; CREATE TABLE public.secret AS SELECT 42 AS n; SET ROLE author;
	CREATE TABLE site.visit (n bigint GENERATED ALWAYS AS IDENTITY, path text, who text, setting text, CHECK (path <> 'unique'));
	CREATE TABLE site.late (n int REFERENCES site.late DEFERRABLE INITIALLY DEFERRED, m int PRIMARY KEY);
	CREATE FUNCTION site.page(path text) RETURNS public.mf_response LANGUAGE plpgsql AS $f$
	DECLARE
		answer public.mf_response := ROW(200, NULL, NULL, '<p>' || path || '</p>');
	BEGIN
		INSERT INTO site.visit (path, who, setting) VALUES (path, current_user, current_setting('search_path'));
		CASE path
			WHEN 'away' THEN answer := ROW(303, NULL, 'https://pay.example/é', '');
			WHEN 'script' THEN answer := ROW(303, NULL, 'javascript:alert(1)', '');
			WHEN 'nowhere' THEN answer := ROW(303, NULL, NULL, '');
			WHEN 'both' THEN answer := ROW(200, NULL, 'https://pay.example/', '');
			WHEN 'teapot' THEN answer.status := 418;
			WHEN 'gone' THEN answer.status := 410;
			WHEN 'busy' THEN answer.status := 503;
			WHEN 'code' THEN answer.content_type := 'text/javascript';
			WHEN 'picture' THEN answer.content_type := 'image/svg+xml';
			WHEN 'text' THEN answer.content_type := 'text/plain';
			WHEN 'large' THEN answer.body := repeat('x', 32767);
			WHEN 'too-large' THEN answer.body := repeat('x', 32768);
			WHEN 'null' THEN answer := NULL;
			WHEN 'status' THEN answer.status := NULL;
			WHEN 'body' THEN answer.body := NULL;
			WHEN 'fails' THEN RAISE EXCEPTION 'the press has stopped';
			WHEN 'secret' THEN PERFORM n FROM public.secret;
			WHEN 'role' THEN SET LOCAL ROLE NONE;
			WHEN 'slow' THEN PERFORM pg_sleep(20);
			WHEN 'stubborn' THEN
				LOOP
					BEGIN
						PERFORM pg_sleep(20);
					EXCEPTION WHEN query_canceled THEN
					END;
				END LOOP;
			WHEN 'locked' THEN LOCK TABLE site.late;
			WHEN 'late' THEN INSERT INTO site.late VALUES (7, 8);
			ELSE
		END CASE;
		RETURN answer;
	END $f$;
	CREATE FUNCTION site.wrong(path text) RETURNS text LANGUAGE sql AS 'SELECT path'});
$web->open($node, $db, $port);

#
# Who may, and what
#
is(as('author', q{SELECT mf_on_request('/shop/', 'site.page(text)')}), '42501: permission denied for function mf_on_request', 'no ordinary role');
is(as('clerk', q{SELECT mf_on_request('/shop/', 'site.page(text)')}), '42501: permission denied for function mf_on_request', 'not who submits');
is(as('other', q{SELECT mf_on_request('/shop/', 'site.page(text)')}), '42501: must be owner of function page', 'an operator, with functions of his own roles');
is(as('officer', q{SELECT mf_on_request('/shop/', 'site.wrong(text)')}), '42P13: function site.wrong cannot be registered', 'a function that returns an answer');
foreach my $prefix ('shop', '/', '//', '/shop', 'shop/', '/Shop/', '/a/b/', '/a b/', '/webhook/', '/callback/', '/health/', '/' . 'x' x 38 . '/', "/\xc3\xa9/")
{
	like(as('officer', "SELECT mf_on_request('$prefix', 'site.page(text)')"), qr/^22023: invalid value for prefix/, "no prefix: $prefix");
}
is(page('/shop/x'), "404 Not Found\n", 'unknown paths are not found');
is(sql('SELECT count(*) FROM site.visit'), 0, 'and reach nobody');
is(as('officer', q{SELECT mf_on_request('/shop/', 'site.page(text)')}), 'ok ', 'an operator may register a function of his own roles');
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_route}, 1);
is(sql('SELECT prefix, function, owner, registered_by, extension IS NULL FROM mf_route'), '/shop/|site.page|author|officer|t', 'mf_route shows it');

#
# What is answered
#
is(page('/shop/first'), '200 <p>first</p>', 'the listener answers, without a restart');
is(sql('SELECT path, who, setting FROM site.visit'), 'first|author|pg_catalog, pg_temp', 'the function is called as its owner, in a transaction that is committed');
my $answer = $web->get("$url/shop/first");
is(join('; ', map { $answer->{headers}{$_} } qw(content-type cache-control referrer-policy x-content-type-options content-security-policy)),
	"text/html; charset=utf-8; no-store; no-referrer; nosniff; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	'with the headers of a page that runs no script');
is(page('/shop/%D8%A7'), "200 <p>\xD8\xA7</p>", 'the page is in UTF-8');
is($web->get("$url/shop/away")->{headers}{location}, 'https://pay.example/%C3%A9', 'a redirect has its location, with escapes');
is($web->get("$url/shop/away")->{status}, 303, 'a redirect is a 303');
is($web->get("$url/shop/$_->[0]")->{headers}{'content-type'}, "$_->[1]; charset=utf-8", $_->[1]) for [ picture => 'image/svg+xml' ], [ text => 'text/plain' ];
is($web->get("$url/shop/$_->[0]")->{status}, $_->[1], "status $_->[1]") for [ gone => 410 ], [ busy => 503 ], [ null => 404 ];
is($web->get("$url/shop/busy")->{headers}{'retry-after'}, 30, 'a 503 has Retry-After');
is(length $web->get("$url/shop/large")->{content}, 32767, 'a body of 32 KB is answered whole');
is(page('/shop/body'), '200 ', 'a null body is an empty page');
is($web->get("$url/shop/first", 'HEAD')->{status}, 200, 'HEAD is answered with 200');
is($web->get("$url/shop/first", 'POST')->{status}, 405, 'POST is refused with 405');
is($web->get("$url/shop$_")->{status}, 404, "/shop$_") for '', '/', '/a/b', '/%ff', '/a%2', '/a%00', '/' . 'x' x 256;
foreach (qw(script nowhere both teapot code too-large status))
{
	like(page("/shop/$_"), qr/^503 .*Please try again in a minute/s, "$_ is no answer");
}
is(last_error(), 'function site.page: its result is no valid answer, or too long', 'mf_check() says that the result is no valid answer');

#
# What fails
#
sub fails
{
	my ($path, $error, $what) = @_;
	my $before = sql('SELECT count(*) FROM site.visit');
	my ($done, $failed) = split / /, counted();

	like(page("/shop/$path"), qr/^503 .*Please try again in a minute/s, "$what: a page that says so");
	unlike(page("/shop/$path"), qr/press|secret|page|site/, "$what: and nothing else");
	is(last_error(), $error, "$what: mf_check() has the reason");
	is(counted(), join(' ', $done, $failed + 2), "$what: both are counted");
	is(sql('SELECT count(*) FROM site.visit'), $before, "$what: undone");
	return;
}

fails('fails', 'function site.page: the press has stopped', 'an error');
# The words of a function are for its owner, and for those who read all.
is(told('clerk'), 'A request for /shop/ function site.page: the press has stopped', 'members of its owner are told');
is(told('stranger'), '', 'others who submit are not');
is(as('stranger', 'SELECT count(*), count(last_error) FROM mf_listener_status'), 'ok 1|0', 'nor by mf_listener_status');
fails('secret', 'function site.page: permission denied for table secret', 'what its owner may not');
fails('role', 'function site.page: cannot set parameter "role" within security-definer function', 'another role');
fails('late', qq{function site.page: insert or update on table "late" violates foreign key constraint "late_n_fkey": Key (n)=(7) is not present in table "late".}, 'a deferred constraint');
limit('300ms');
fails('slow', 'function site.page: it took longer than myfatoorah.on_change_timeout (300 ms)', 'too slow');
my $session = $mf->session($node, $db);
$session->query_safe('BEGIN; LOCK TABLE site.late');
fails('locked', 'function site.page: it took longer than myfatoorah.on_change_timeout (300 ms)', 'a lock');
$session->query_safe('ROLLBACK');
$session->quit;

# One that catches its cancel costs its process, and nobody else anything.
my $listener = sql("SELECT pid FROM mf_listener_status");
like(page('/shop/stubborn'), qr/^503/, 'one that does not end is ended');
limit('4s');
is(page('/shop/after'), '200 <p>after</p>', 'and the next one is answered');
is(sql("SELECT pid FROM mf_listener_status"), $listener, 'by the same listener');

# While one is slow, the listener answers others; those that stand in the line get their answers.
my $slow = $web->connect($port);
my $next = $web->connect($port);
syswrite $slow, "GET /shop/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
$mf->wait_for($node, $db, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'myfatoorah routes' AND wait_event = 'PgSleep'", 1);
syswrite $next, "GET /shop/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
is(page('/health'), "200 ok\n", 'health is answered at once');
ok(!IO::Select->new($slow)->can_read(0), 'health is answered before the slow page');
like($web->read_all($slow, 20), qr/^HTTP\/1.1 503/, 'the slow one is given up');
like($web->read_all($next, 20), qr/^HTTP\/1.1 200.*<p>next<\/p>/s, 'and the next one answered');

# Many at once: all that fit into the line are answered.
my @crowd = map { $web->connect($port) } 1 .. 40;
syswrite $crowd[$_], "GET /shop/crowd$_ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" foreach 0 .. $#crowd;
my %seen;
$seen{ $web->read_all($_, 20) =~ /^HTTP\/1\.1 (\d+)/ ? $1 : 'nothing' }++ foreach @crowd;
is(join(', ', map { "$_: $seen{$_}" } sort keys %seen), '200: 40', 'forty requests at once are answered');

#
# Its life
#
sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = \'myfatoorah routes\'');
is(page('/shop/ended'), '200 <p>ended</p>', 'a process that was ended is started again');
sql(q{CREATE OR REPLACE FUNCTION site.page(path text) RETURNS public.mf_response LANGUAGE sql AS 'SELECT ROW(200, NULL, NULL, ''new'')::public.mf_response'});
is(page('/shop/new'), '200 new', 'a function that was replaced');
sql('ALTER FUNCTION site.page OWNER TO other');
like(page('/shop/theirs'), qr/^503/, 'is not called when it belongs to somebody else');
is(told('reader'), 'Function site.page cannot answer requests for /shop/: it belongs to role "other" now, and belonged to "author" when it was registered.', 'as is told');
sql('ALTER FUNCTION site.page OWNER TO author');
sql('REVOKE myfatoorah_operate FROM officer');
like(page('/shop/revoked'), qr/^503/, 'nor when nobody may register it any more');
is(told('reader'), 'Function site.page cannot answer requests for /shop/: neither role "author", which owns it, nor role "officer", which has registered it, may call mf_on_request() any more.', 'as is told');
sql('GRANT myfatoorah_operate TO author');
is(page('/shop/owner'), '200 new', 'the function answers when its owner may register it');
sql('REVOKE myfatoorah_operate FROM author; GRANT myfatoorah_operate TO officer');
sql("SELECT mf_pause('*')");
like(page('/shop/paused'), qr/^503/, 'nor while all is paused');
sql("SELECT mf_resume('*')");
$node->restart;
$web->wait_listening($node, $db, $port, not => $listener);
is(page('/shop/restarted'), '200 new', 'the function answers after a restart');
sql('CREATE DATABASE copy TEMPLATE postgres');
is($node->safe_psql('copy', 'SELECT count(*) FROM mf_route'), 1, 'a database that is copied is let go');
$web->wait_listening($node, $db, $port);
is(page('/shop/copied'), '200 new', 'and served again');
# Rows that come without mf_on_request(), as those of a dump, are known after mf_resume('*'); those of a prepared transaction when it commits.
sql(q{INSERT INTO mf_route (prefix, function, owner, registered_at, registered_by) SELECT '/loaded/', function, owner, registered_at, registered_by FROM mf_route});
is(page('/loaded/x'), "404 Not Found\n", 'a row that came without mf_on_request()');
sql("SELECT mf_resume('*')");
ok(comes('/loaded/x'), q{is known after mf_resume('*')});
sql(q{BEGIN; SELECT mf_on_request('/two-phase/', 'site.page(text)'); PREPARE TRANSACTION 'route'});
sql(q{COMMIT PREPARED 'route'});
ok(comes('/two-phase/x'), 'one of a prepared transaction, too');
sql(q{SELECT mf_off_request('/loaded/'), mf_off_request('/two-phase/')});
sql('DROP FUNCTION site.page');
like(page('/shop/dropped'), qr/^503/, 'a function that is gone');
is(as('clerk', q{SELECT mf_off_request('/shop/')}), '42501: permission denied for function mf_off_request', 'not everybody ends it');
is(as('other', q{SELECT mf_off_request('/shop/')}), 'ok ', 'an operator does');
$mf->wait_for($node, $db, q{SELECT count(*) FROM mf_route}, 0);
is(page('/shop/off'), "404 Not Found\n", 'and the path is unknown again');
is(as('other', q{SELECT mf_off_request('/shop/')}), '42704: prefix "/shop/" is not registered', 'a prefix that is not registered cannot be ended');

done_testing();
