# The history checker can fail: a history with rows of every kind passes, and each seeded violation is named.
use FindBin;
use MyFatoorah::Test;
use MyFatoorah::Chaos;
use MyFatoorah::History;
use Storable qw(dclone);

my $mf = 'MyFatoorah::Cluster';
my $chaos = 'MyFatoorah::Chaos';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "myfatoorah.retry_delay = '20ms'\nmyfatoorah.lookup_delay = '10ms'");

$mf->setup_account($node, 'postgres', $sandbox, options => { connect_timeout => '2s', timeout => '2s' });
$mf->wait_worker($node, 'postgres');

#
# A history with everything in it
#
sub fault
{
	my ($prefix, %rule) = @_;

	$sandbox->faults({ path => 'SendPayment', reference_prefix => $prefix, %rule });
	return;
}

fault('adopted', status => 500, create => JSON::PP::true);
fault('blind', status => 500, create => JSON::PP::true);
$sandbox->faults({ path => 'GetPaymentStatus', reference_prefix => 'blind', status => 500, times => 6 });
fault('resent', never => JSON::PP::true);
fault('review', never => JSON::PP::true);
fault('rejected', status => 400, body => { IsSuccess => JSON::PP::false, Message => 'Invalid data', Data => undef,
	ValidationErrors => [ { Name => 'x', Error => 'no' } ] });
fault('throttled', status => 429, headers => { 'Retry-After' => '0' });
fault('cut', cut_request_at => 20);
$mf->insert($node, 'postgres', $_) for qw(plain adopted blind resent rejected throttled cut), q{odd "name" \\ Ärger};
$mf->insert($node, 'postgres', 'review', notification_option => "'EML'", customer_email => "'a\@example.com'");
$mf->insert($node, 'postgres', 'cancelled', send_at => "now() + interval '1 h'");
$mf->insert($node, 'postgres', 'queued', send_at => "now() + interval '1 h'");
$node->safe_psql('postgres', q{SELECT mf_cancel(id) FROM mf_invoice WHERE customer_reference = 'cancelled'});
$mf->wait_status($node, 'postgres', $_) for qw(plain adopted blind resent throttled cut);
$mf->wait_status($node, 'postgres', 'rejected', 'rejected');
$mf->wait_status($node, 'postgres', 'review', 'review');
$node->safe_psql('postgres', q{SELECT mf_retry(id) FROM mf_invoice WHERE customer_reference = 'rejected'});
$mf->wait_status($node, 'postgres', 'rejected');
fault('refused', status => 400, body => { IsSuccess => JSON::PP::false, Message => 'Invalid data', Data => undef,
	ValidationErrors => [ { Name => 'x', Error => 'no' } ] });
$mf->insert($node, 'postgres', 'refused');
$mf->wait_status($node, 'postgres', 'refused', 'rejected');
$mf->wait_idle($node, 'postgres');

my $good = MyFatoorah::History->of($node, 'postgres', $sandbox);
my @names = map { $_->{name} } @{ $good->{rows} };

is_deeply([ $good->violations(committed => \@names) ], [], 'a history without violations');
is($good->figures->{flagged}, 0, 'and without a row that looks like a duplicate');
note $good->summary;
is(scalar(grep { /never|settled/ } $good->violations(settled => 1)), 1, 'the queued row is not settled');

#
# Seeded violations
#
my $h;

sub row { my ($name) = @_; my ($row) = grep { $_->{name} eq $name } @{ $h->{rows} }; return $row; }
sub attempts { my ($name) = @_; my $id = row($name)->{id}; return grep { $_->{invoice} == $id } @{ $h->{attempts} }; }
sub attempt { return (attempts(@_))[0]; }
sub transitions { my ($name) = @_; my $id = row($name)->{id}; return grep { $_->{invoice} == $id } @{ $h->{transitions} }; }
sub posts { my ($name) = @_; return grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } @{ $h->{posts} }; }
sub remote { my ($name) = @_; my ($invoice) = grep { ($_->{reference} // '') =~ /^\Q$name\E\./ } @{ $h->{remote} }; return $invoice; }
sub drop { my ($list, $thing) = @_; @{ $h->{$list} } = grep { $_ != $thing } @{ $h->{$list} }; return; }

sub seeded
{
	my ($what, $code, $regex) = @_;

	$h = dclone($good);
	$code->();
	my @violations = $h->violations(committed => \@names);

	ok((grep { $_ =~ $regex } @violations), $what)
	  or diag "found instead:\n", map { "  $_\n" } @violations;
	return;
}

seeded('a committed row is lost', sub { drop('rows', row('plain')) }, qr/plain was committed and is there 0 times/);
seeded('a committed row is there twice', sub { push @{ $h->{rows} }, { %{ row('plain') }, id => 999 } }, qr/plain was committed and is there 2 times/);
seeded('a row that nobody inserted', sub { push @{ $h->{rows} }, { %{ row('queued') }, id => 999, name => 'ghost' } }, qr/ghost was never inserted/);
seeded('a sent row without invoice at the API', sub { drop('remote', remote('plain')) }, qr/says invoice \d+; the API holds none/);
seeded('a sent row with another number', sub { row('plain')->{invoice_id}++ }, qr/says invoice \d+; the API holds \d+/);
seeded('a sent row without number', sub { row('plain')->{invoice_id} = undef }, qr/says invoice \(none\)/);
seeded('another amount', sub { remote('plain')->{value} = '1.251' }, qr/says 1.25; invoice \d+ is of 1.251/);
seeded('another currency', sub { row('plain')->{currency} = 'SAR' }, qr/says SAR; invoice \d+ is in KWD/);
seeded('a second invoice, not flagged', sub { push @{ $h->{remote} }, { %{ remote('plain') }, id => 1 } }, qr/has 2 invoices at the API .* not flagged/);
seeded('a cancelled row with an invoice', sub { push @{ $h->{remote} }, { %{ remote('plain') }, reference => row('cancelled')->{reference} } }, qr/cancelled\): has an invoice/);
seeded('a queued row with an invoice', sub { push @{ $h->{remote} }, { %{ remote('plain') }, reference => row('queued')->{reference} } }, qr/queued\): has an invoice/);
seeded('a rejected row with an invoice', sub { row('plain')->{status} = 'rejected' }, qr/rejected\): has an invoice/);
seeded('an unsent row with a number', sub { row('queued')->{invoice_id} = 5 }, qr/queued\): shows invoice 5/);
seeded('an invoice of nobody', sub { push @{ $h->{remote} }, { id => 7, reference => 'stranger', value => 1 } }, qr/invoice 7 .* is of no attempt/);
seeded('a request of nobody', sub { push @{ $h->{posts} }, { %{ (posts('plain'))[0] }, reference => 'stranger' } }, qr/reference stranger, is of no attempt/);
seeded('a request without attempt', sub { drop('attempts', attempt('plain')) }, qr/plain.*is of no attempt/);
seeded('a request before its attempt', sub { (posts('plain'))[0]{wall_us} = attempt('plain')->{started_us} - 1 }, qr/before its attempt was recorded/);
seeded('a request long after its time', sub { (posts('plain'))[0]{wall_us} = attempt('plain')->{send_by_us} + 4_000_000 }, qr/4.000 s after it had to leave/);
seeded('another body', sub { (posts('plain'))[0]{body} .= ' ' }, qr/another SHA-256/);
seeded('a body with odd characters', sub { (posts('odd "name" \\ Ärger'))[0]{body} =~ s/Name/name/ }, qr/another SHA-256/);
seeded('the key in the body', sub { (posts('plain'))[0]{leak} = 1 }, qr/carries the key/);
seeded('a second request of one attempt', sub { push @{ $h->{posts} }, { %{ (posts('plain'))[0] }, seq => 9999 } }, qr/attempt 1 was posted 2 times/);
seeded('not sent, but posted', sub { attempt('cut')->{outcome} = 'not_sent'; $_->{body_bytes} = 20 for posts('cut') }, qr/counts as not sent and was posted/);
seeded('accepted, but never posted', sub { drop('posts', (posts('plain'))[0]) }, qr/counts as accepted and was never posted/);
seeded('accepted as another invoice', sub { attempt('plain')->{invoice_id}++ }, qr/which request \d+ did not make/);
seeded('throttled, but made', sub { (posts('throttled'))[0]{invoice_id} = 4 }, qr/counts as throttled, but request \d+ made invoice 4/);
seeded('an attempt without outcome', sub { attempt('plain')->{outcome} = undef }, qr/attempt 1 has no outcome/);
seeded('one attempt too many', sub { row('plain')->{attempts} = 2 }, qr/has 1 attempts recorded and says 2/);
seeded('an attempt that was never claimed', sub { $_->{to} eq 'sending' && drop('transitions', $_) for transitions('plain') }, qr/was claimed 0 times/);
seeded('an attempt of no row', sub { push @{ $h->{attempts} }, { %{ attempt('plain') }, invoice => 998, reference => 'x' } }, qr/attempts of row 998, which does not exist/);
seeded('a reference of two rows', sub { attempt('plain')->{reference} = attempt('adopted')->{reference} }, qr/is used by rows/);
seeded('sent again without a cause', sub { $_->{to} eq 'queued' && drop('transitions', $_) for transitions('throttled') }, qr/without a recorded cause/);
seeded('sent again after an unknown outcome', sub { attempt('throttled')->{outcome} = 'unknown' }, qr/sent again after attempt 1, which is unknown/);
seeded('resent under the same reference', sub { $_->{reference} =~ s/~2// for (attempts('resent'))[1] }, qr/under reference resent\.\w+ instead of/);
seeded('resent after too few look-ups', sub { my $n; my $ref = attempt('resent')->{reference};
	@{ $h->{lookups} } = grep { $_->{reference} ne $ref || $n++ } @{ $h->{lookups} } }, qr/after attempt 1 and 4 look-ups that found nothing/);
seeded('resent after look-ups that came too early', sub { attempt('resent')->{send_by_us} += 1e9 }, qr/after attempt 1 and 0 look-ups/);
seeded('a new reference for no reason', sub { (attempts('throttled'))[1]{reference} .= '~2' }, qr/changed its reference after attempt 1/);
seeded('retried under the same reference', sub { (attempts('rejected'))[1]{reference} =~ s/~2// }, qr/instead of/);
seeded('an illegal transition', sub { (transitions('adopted'))[1]{to} = 'queued'; (transitions('adopted'))[1]{from} = 'sent' }, qr/from sent to queued, which is not allowed/);
seeded('a transition by the wrong actor', sub { (transitions('adopted'))[-1]{actor} = 'somebody' }, qr/from unknown to sent by somebody/);
seeded('a person decided by the worker', sub { (transitions('cancelled'))[-1]{actor} = 'reconciler' }, qr/from queued to cancelled by reconciler/);
seeded('a broken chain', sub { drop('transitions', (transitions('adopted'))[1]) }, qr/from unknown to sent when it was sending/);
seeded('a history that ends elsewhere', sub { drop('transitions', (transitions('plain'))[-1]) }, qr/its history ends with sending/);
seeded('an unfinished row that is on nobody\'s agenda', sub { my $id = row('queued')->{id}; @{ $h->{queue} } = grep { $_->{invoice} != $id } @{ $h->{queue} } }, qr/the agenda has "" for it/);
seeded('a finished row that is still to be sent', sub { push @{ $h->{queue} }, { invoice => row('plain')->{id}, account => 'myfatoorah', kind => 'send' } }, qr/the agenda has "send" for it/);
seeded('an entry of no row', sub { push @{ $h->{queue} }, { invoice => 997, account => 'myfatoorah', kind => 'send' } }, qr/for row 997, which does not exist/);
seeded('an entry under another account', sub { $_->{account} = 'x' for @{ $h->{queue} } }, qr/under account x/);
seeded('no link and no word', sub { row('plain')->{url} = 'f' }, qr/has no link and does not say why/);
seeded('no link of an invoice that was found, and no word', sub { @{ row('adopted') }{qw(url error)} = qw(f f) }, qr/has no link and does not say why/);

# The same from a tampered database, and by the program that people call
my $name = 'adopted';
$node->safe_psql('postgres', "SET session_replication_role = replica; UPDATE mf_invoice SET invoice_value = 77 WHERE customer_reference = '$name'");
my ($out, $err) = ('', '');
my $found = IPC::Run::run([ $^X, "$FindBin::RealBin/../test/chaos/check_history.pl", $node->connstr('postgres'), $sandbox->url ], '>', \$out, '2>', \$err);
ok(!$found, 'test/chaos/check_history.pl fails');
like($out, qr/^VIOLATION: row \d+ \($name\..*says 77; invoice \d+ is of 1\.25/m, 'and names the violation') or diag "$out$err";
like($out, qr/^2 violations|^1 violations/m, 'and counts');

$node->stop;
done_testing();
