# The history checker: compares what the database says with what the stand-in API saw, and names every contradiction.
#
#   my $history = MyFatoorah::History->of($node, 'postgres', $sandbox);
#   is_deeply([ $history->violations(settled => 1, committed => \@names) ], []);
#   diag $history->summary;
#
# Safety, always: each committed row has exactly one invoice at the API, or honestly shows that it may have none; every
# request has its attempt, recorded before it left, with the same reference and the SHA-256 of the very bytes; no second
# request without a recorded cause; transitions are legal, chained, and by the right actor; what is left to do is on the
# agenda. With settled => 1 nothing may be left under way.
#
# It shares no code with the extension. Everything it knows comes from SELECTs and from the API's own ledger, so it can be
# tested with seeded violations (t/041_history_checker.pl).
package MyFatoorah::History;

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use MIME::Base64 ();

# Look-ups that must find nothing before an invoice may be sent again under a new reference
use constant LOOKUP_STEPS => 5;

# A request may be seen this much later than it had to leave: the way through the kernel of a busy machine
use constant LATE_US => 3_000_000;

# The state machine: from, to, and who may do it ("person": anybody but the worker)
my %legal = (
	'queued>sending' => [qw(sender)],
	'queued>cancelled' => [qw(person sender)],
	'queued>rejected' => [qw(sender)],
	'queued>unknown' => [qw(reconciler)],
	'queued>review' => [qw(reconciler sender)],
	'sending>queued' => [qw(sender)],
	'sending>sent' => [qw(sender)],
	'sending>rejected' => [qw(sender)],
	'sending>cancelled' => [qw(sender)],
	'sending>unknown' => [qw(sender)],
	'unknown>sending' => [qw(sender)],
	'unknown>sent' => [qw(reconciler sender)],
	'unknown>queued' => [qw(reconciler)],
	'unknown>review' => [qw(reconciler sender)],
	'review>sent' => [qw(person)],
	'review>queued' => [qw(person)],
	'review>cancelled' => [qw(person)],
	'sent>sent' => [qw(person)],
	'rejected>queued' => [qw(person)],
	'rejected>cancelled' => [qw(person)]);

# What the agenda may hold for a row of that status; none: no entry
my %agenda = (
	queued => qr/^(?:send|verify)$/,
	sending => qr/^sending$/,
	unknown => qr/^(?:reconcile|replay)$/,
	sent => qr/^(?:watch|review)?$/,
	rejected => qr/^(?:review)?$/,
	review => qr/^(?:review)?$/,
	cancelled => qr/^(?:review)?$/);

# An answer that proves that there is no invoice, so that the same reference may be used again
my $proof = qr/^(?:not_sent|throttled|account_problem)$/;

# of(node, dbname, sandbox, ...): the history of that database, and of these APIs together
sub of
{
	my ($class, $node, $dbname, @sandboxes) = @_;

	return $class->read(sub { $node->safe_psql($dbname, $_[0]) }, map {
		my $sandbox = $_;
		sub { $sandbox->request('GET', "/_sandbox/$_[0]")->{content} }
	} @sandboxes);
}

# ledger(control): what the API has seen and holds: { posts, lookups, remote }; the control takes the rest of a path below
# /_sandbox/ and gives the body of the answer to GET
sub ledger
{
	my ($class, $control) = @_;

	return { posts => [ sort { $a->{seq} <=> $b->{seq} } map { _ledger($control, $_, 1) } '/v2/SendPayment', '/v2/ExecutePayment', '/v3/payments' ], lookups => [ _ledger($control, '/v2/GetPaymentStatus', 0) ],
		remote => [ _remote($control) ] };
}

# read(query, control ...): query takes SQL text and gives what psql prints; in place of a control may stand what
# ledger() made of it
sub read
{
	my ($class, $query, @controls) = @_;
	my %self = (posts => [], lookups => [], remote => []);

	# The worker must be at rest, or something will have happened between these queries.
	foreach my $number (0 .. $#controls)
	{
		my $ledger = ref $controls[$number] eq 'HASH' ? $controls[$number] : $class->ledger($controls[$number]);

		push @{ $self{posts} }, map { { %$_, api => $number } } @{ $ledger->{posts} };
		push @{ $self{$_} }, @{ $ledger->{$_} } for qw(lookups remote);
	}
	$self{rows} = _copy($query, [qw(id account name reference status invoice_id value currency attempts duplicate cancel notify url error)],
		q{SELECT id, account, customer_reference, reference, status, invoice_id, trim_scale(coalesce((SELECT o.value FROM mf_operation o
				WHERE o.invoice = i.id AND o.kind = 'capture' AND o.status = 'captured'), invoice_value)),
			display_currency_iso, attempts, duplicate_suspected, cancel_requested, notification_option, invoice_url IS NOT NULL, last_error IS NOT NULL
			FROM mf_invoice i ORDER BY id});
	$self{attempts} = _copy($query, [qw(invoice attempt reference sha256 started_us send_by_us outcome http_status invoice_id api repeats found_us)],
		q{SELECT invoice, attempt, reference, encode(body_sha256, 'hex'), (extract(epoch FROM started_at) * 1000000)::bigint,
			(extract(epoch FROM send_by) * 1000000)::bigint, outcome, http_status, invoice_id, api, repeats,
			(extract(epoch FROM found_at) * 1000000)::bigint
			FROM mf_attempt ORDER BY invoice, attempt});
	$self{transitions} = _copy($query, [qw(invoice at_us actor from to attempt)],
		q{SELECT invoice, (extract(epoch FROM changed_at) * 1000000)::bigint, actor, from_status, to_status, attempt
			FROM mf_history WHERE from_status IN ('queued', 'sending', 'sent', 'rejected', 'unknown', 'review', 'cancelled')
				AND NOT (from_status = to_status AND (reason = 'edited' OR reason LIKE 'cancel requested%'))
			ORDER BY invoice, changed_at});
	$self{queue} = _copy($query, [qw(invoice account kind lookups)],
		'SELECT invoice, account, kind, lookups FROM mf_queue ORDER BY invoice');
	return bless \%self, $class;
}

# The rows of a SELECT as hashes, by COPY, so that no value can be taken for a separator; null is undef.
sub _copy
{
	my ($query, $names, $select) = @_;
	my @rows;

	$select =~ s/\s+/ /g;
	foreach (split /\n/, $query->("COPY ($select) TO STDOUT"))
	{
		my %row;

		@row{@$names} = map { $_ eq '\N' ? undef : s/\\(.)/$1/gr } split /\t/, $_, -1;
		push @rows, \%row;
	}
	return \@rows;
}

# A JSON string's inside as bytes
sub _bytes
{
	my ($text) = @_;
	my %short = (b => "\b", f => "\f", n => "\n", r => "\r", t => "\t");

	$text =~ s{\\(?:u([dD][89abAB]..)\\u(....)|u(....)|(.))}{
		my $code = defined $1 ? 0x10000 + ((hex($1) - 0xD800) << 10) + hex($2) - 0xDC00 : defined $3 ? hex($3) : undef;
		if (defined $code) { my $char = chr $code; utf8::encode($char); $char }
		else { $short{$4} // $4 }
	}ges;
	return $text;
}

# Entries of the ledger, first to last. Made for tens of thousands: the answer is not decoded as a whole.
sub _ledger
{
	my ($control, $path, $bodies) = @_;
	my $string = qr/"((?:[^"\\]|\\.)*)"|null/;
	my ($since, @entries) = (0);

	for (;;)
	{
		my $answer = $control->("ledger?path=$path&since=$since&limit=2000&bodies=$bodies");
		my ($text, $next, $last) = $answer =~ /^\{"entries":\[(.*)\],"next":(\d+),"last":(\d+)/s
		  or die "the ledger looks different: " . substr($answer, 0, 200) . "\n";

		while ($text =~ /\{"seq":(\d+),"connection":(\d+),.*?"key_index":(-?\d+),"key_elsewhere":(true|false),"complete":(true|false),
			"header_bytes":\d+,"body_bytes":(\d+),"reference":$string,(?:"body":$string,|"body_base64":"([^"]*)",)?
			"wall_us":(\d+),.*?"status":(\d+),.*?"invoice_id":(\d+|null),"fault":$string,"end":$string\}/gsx)
		{
			my %entry = (
				seq => $1, connection => $2, key_index => $3, leak => $4 eq 'true', complete => $5 eq 'true', body_bytes => $6,
				reference => $7, wall_us => $10, status => $11, invoice_id => $12 eq 'null' ? undef : $12,
				fault => $13, end => $14);
			my ($body, $base64) = ($8, $9);

			push @entries, {
				%entry,
				reference => defined $entry{reference} ? _bytes($entry{reference}) : undef,
				body => defined $base64 ? MIME::Base64::decode($base64) : defined $body ? _bytes($body) : undef,
			};
		}
		return @entries if $next >= $last || $next == $since;
		$since = $next;
	}
}

# The invoices that the API holds, oldest first
sub _remote
{
	my ($control) = @_;
	my $answer = $control->('invoices');
	my $string = qr/"((?:[^"\\]|\\.)*)"|null/;
	my @remote;

	die "the list of invoices looks different\n" unless $answer =~ /^\{"invoices":\[/;
	while ($answer =~ /\{"id":(\d+),"reference":$string,.*?"display_value":"([^"]*)","display_currency":$string/gs)
	{
		push @remote, { id => $1, reference => defined $2 ? _bytes($2) : undef, value => $3, currency => $4 };
	}
	return @remote;
}

# "ref~3" is the third reference of its row
sub _reference_number
{
	my ($reference) = @_;

	return $reference =~ /^(.*)~(\d+)$/s ? ($1, $2) : ($reference, 1);
}

# violations(settled => 1, committed => [names], uncertain => [names], mine => qr/.../, lost_until => time): sentences;
# none is right. committed are the customer_references of rows whose COMMIT was confirmed, uncertain of those whose session
# was cut off at COMMIT. mine matches the references of this database where the API serves others too. lost_until is when
# this server took over from another, of which it may lack the last commits: requests before may have no attempt here.
# deleted: rows were deleted, whose attempts remain. restored: rows were put back as they once were, so that their history
# has gaps.
sub violations
{
	my ($self, %params) = @_;
	my (%row, %attempts, %by_reference, %transitions, %queue, %made, @violations);
	my $say = sub { push @violations, sprintf shift, @_ };

	$row{ $_->{id} } = $_ for @{ $self->{rows} };
	push @{ $attempts{ $_->{invoice} } }, $_ for @{ $self->{attempts} };
	push @{ $transitions{ $_->{invoice} } }, $_ for @{ $self->{transitions} };
	$queue{ $_->{invoice} } = $_ for @{ $self->{queue} };
	$_->{posts} = [] for @{ $self->{attempts} };
	delete $self->{lookups_of};
	push @{ $by_reference{ $_->{reference} } }, $_ for @{ $self->{attempts} };

	_check_committed($self, \%params, $say);
	_check_posts($self, \%by_reference, \%params, $say);
	my %owner = ((map { $_->{reference} => $_->{id} } @{ $self->{rows} }),
		(map { $_->{reference} => $_->{invoice} } @{ $self->{attempts} }));
	foreach my $invoice (@{ $self->{remote} })
	{
		my $reference = $invoice->{reference} // '(none)';

		push @{ $made{ $owner{$reference} } }, $invoice if defined $owner{$reference};
		$say->('invoice %s at the API, reference %s, is of no attempt', $invoice->{id}, $reference)
		  unless $by_reference{$reference} || $params{lost_until} || _passed_over($reference, \%params);
	}
	foreach my $reference (sort keys %by_reference)
	{
		my %owners = map { $_->{invoice} => 1 } @{ $by_reference{$reference} };

		$say->('reference %s is used by rows %s', $reference, join ' and ', sort keys %owners) if keys %owners > 1;
	}
	foreach my $id (sort { $a <=> $b } keys %attempts)
	{
		$say->('attempts of row %s, which does not exist', $id) unless $row{$id} || $params{deleted};
	}
	foreach my $row (@{ $self->{rows} })
	{
		my $id = $row->{id};
		my @attempts = @{ $attempts{$id} // [] };
		my @transitions = @{ $transitions{$id} // [] };
		my $complain = sub { my $text = shift; $say->("row $id ($row->{reference}, $row->{status}): $text", @_) };

		_check_transitions($row, \@transitions, $complain) unless $params{restored};
		_check_attempts($self, $row, \@attempts, \@transitions, $complain) unless $params{restored};
		_check_remote($row, $made{$id} // [], $complain);

		my $kind = $queue{$id} ? $queue{$id}{kind} : '';
		$complain->('the agenda has "%s" for it', $kind) unless $kind =~ $agenda{ $row->{status} };
		$complain->('the agenda has it under account %s', $queue{$id}{account})
		  if $queue{$id} && $queue{$id}{account} ne $row->{account};
		$complain->('it is not settled') if $params{settled} && $row->{status} =~ /^(?:queued|sending|unknown)$/;
	}
	foreach my $id (sort { $a <=> $b } keys %queue)
	{
		$say->('the agenda has "%s" for row %s, which does not exist', $queue{$id}{kind}, $id) unless $row{$id};
	}
	return @violations;
}

sub _passed_over
{
	my ($reference, $params) = @_;

	return $params->{mine} && ($reference // '') !~ $params->{mine};
}

# No committed row is lost, none is there twice.
sub _check_committed
{
	my ($self, $params, $say) = @_;
	my %count;

	return unless $params->{committed};
	$count{ $_->{name} // '' }++ for @{ $self->{rows} };
	foreach (@{ $params->{committed} })
	{
		my $n = delete $count{$_} // 0;

		$say->('%s was committed and is there %d times', $_, $n) if $n != 1;
	}
	foreach (@{ $params->{uncertain} // [] })
	{
		my $n = delete $count{$_} // 0;

		$say->('%s was inserted once and is there %d times', $_, $n) if $n > 1;
	}
	$say->('%s was never inserted and is there', $_) for sort keys %count;
	return;
}

# Every request belongs to the attempt under whose reference it came, the latest that had begun. Notes it there.
sub _check_posts
{
	my ($self, $by_reference, $params, $say) = @_;

	foreach my $post (@{ $self->{posts} })
	{
		my $reference = $post->{reference};
		my $lost = $post->{wall_us} < ($params->{lost_until} // 0) * 1e6;

		$say->('request %d carries the key outside of its header', $post->{seq}) if $post->{leak};

		# one that was cut off may not have got as far as its reference
		if (!defined $reference)
		{
			$reference = _bytes($1) if defined $post->{body} && $post->{body} =~ /"(?:CustomerReference|ExternalIdentifier)":"((?:[^"\\]|\\.)*)"/;
			next if !defined $reference && !$post->{complete};
		}
		my @candidates = @{ $by_reference->{ $reference // '' } // [] };

		if (!@candidates)
		{
			$say->('request %d, reference %s, is of no attempt', $post->{seq}, $reference // '(none)')
			  unless $lost || _passed_over($reference, $params);
			next;
		}
		my ($attempt) = grep { $_->{started_us} <= $post->{wall_us} } reverse @candidates;

		if (!$attempt)
		{
			$say->('request %d, reference %s, came before its attempt was recorded', $post->{seq}, $reference) unless $lost;
			next;
		}
		push @{ $attempt->{posts} }, $post;
		$say->('request %d, reference %s, came %.3f s after it had to leave', $post->{seq}, $reference,
			($post->{wall_us} - $attempt->{send_by_us}) / 1e6) if $post->{wall_us} > $attempt->{send_by_us} + LATE_US;
		$say->('request %d, reference %s, is not what its attempt says: another SHA-256', $post->{seq}, $reference)
		  if $post->{complete} && defined $post->{body} && sha256_hex($post->{body}) ne $attempt->{sha256};
	}
	return;
}

sub _check_transitions
{
	my ($row, $transitions, $complain) = @_;
	my $status = 'queued';
	my $at = 0;

	foreach my $t (@$transitions)
	{
		my $actors = $legal{"$t->{from}>$t->{to}"};
		my $actor = $t->{actor} =~ /^(?:sender|reconciler)$/ ? $t->{actor} : 'person';

		$complain->('went from %s to %s, which is not allowed', $t->{from}, $t->{to}) unless $actors;
		$complain->('went from %s to %s by %s', $t->{from}, $t->{to}, $t->{actor})
		  if $actors && !grep { $_ eq $actor } @$actors;
		$complain->('went from %s to %s when it was %s', $t->{from}, $t->{to}, $status) if $t->{from} ne $status;
		$status = $t->{to};
	}
	$complain->('its history ends with %s', $status) if $status ne $row->{status};
	return;
}

sub _check_attempts
{
	my ($self, $row, $attempts, $transitions, $complain) = @_;
	my %claimed;
	my ($last_stem) = _reference_number($row->{reference});

	$claimed{ $_->{attempt} }++ for grep { $_->{to} eq 'sending' } @$transitions;
	$complain->('has %d attempts recorded and says %d', scalar @$attempts, $row->{attempts})
	  if @$attempts != $row->{attempts};
	foreach my $i (0 .. $#$attempts)
	{
		my $attempt = $attempts->[$i];
		my $n = $attempt->{attempt};
		my $outcome = $attempt->{outcome} // '';
		my @posts = @{ $attempt->{posts} };
		my ($stem) = _reference_number($attempt->{reference});

		$complain->('attempt %d has number %d', $i + 1, $n) if $n != $i + 1;
		$complain->('attempt %d has reference %s', $n, $attempt->{reference}) if $stem ne $last_stem;
		$complain->('attempt %d was claimed %d times', $n, $claimed{$n} // 0) if ($claimed{$n} // 0) != 1;
		$complain->('attempt %d was posted %d times (requests %s)', $n, scalar @posts, join ', ', map { $_->{seq} } @posts)
		  if @posts > 1;
		$complain->('attempt %d has no outcome', $n) if $outcome eq '' && !($row->{status} eq 'sending' && $i == $#$attempts);

		# nobody is told something untrue
		$complain->('attempt %d counts as not sent and was posted (request %d)', $n, $posts[0]{seq})
		  if $outcome eq 'not_sent' && grep { $_->{body_bytes} > 0 } @posts;
		$complain->('attempt %d counts as %s and was never posted', $n, $outcome)
		  if $outcome =~ /^(?:accepted|rejected|throttled|account_problem)$/ && !@posts;
		$complain->('attempt %d counts as accepted as invoice %s, which request %d did not make', $n,
			$attempt->{invoice_id} // '(none)', $posts[0]{seq})
		  if $outcome eq 'accepted' && @posts && ($attempt->{invoice_id} // 0) ne ($posts[0]{invoice_id} // '');
		# what was made under an answer that pauses or slows down an account has to be found by a look-up
		$complain->('attempt %d counts as %s, but request %d made invoice %s', $n, $outcome, $posts[0]{seq}, $posts[0]{invoice_id})
		  if $outcome =~ /^(?:rejected|throttled|account_problem)$/ && @posts && defined $posts[0]{invoice_id}
		  && !($outcome ne 'rejected' && ($row->{invoice_id} // '') eq $posts[0]{invoice_id});

		next if $i == $#$attempts;
		_check_repetition($self, $attempt, $attempts->[ $i + 1 ], $transitions, $complain);
	}

	# a row that waits to be sent again needs a cause too
	_check_repetition($self, $attempts->[-1], { reference => $row->{reference}, attempt => $row->{attempts} + 1 },
		$transitions, $complain) if @$attempts && $row->{status} eq 'queued';
	return;
}

# What allowed the attempt after this one
sub _check_repetition
{
	my ($self, $attempt, $next, $transitions, $complain) = @_;
	my $n = $attempt->{attempt};
	my ($back) = grep { $_->{attempt} == $n && $_->{to} eq 'queued' } @$transitions;
	my ($stem, $number) = _reference_number($attempt->{reference});

	if (defined $next->{repeats})
	{
		_check_replay($self, $attempt, $next, $complain);
		return;
	}
	if (!$back)
	{
		$complain->('was to be sent again after attempt %d without a recorded cause', $n);
		return;
	}
	if ($back->{from} eq 'sending')
	{
		$complain->('was to be sent again after attempt %d, which is %s', $n, $attempt->{outcome} // 'without outcome')
		  unless ($attempt->{outcome} // '') =~ $proof;
		$complain->('changed its reference after attempt %d for no reason', $n) if $next->{reference} ne $attempt->{reference};
		return;
	}
	$complain->('was to be sent again after attempt %d under reference %s instead of %s~%d', $n, $next->{reference},
		$stem, $number + 1)
	  if $next->{reference} ne "$stem~" . ($number + 1);
	return unless $back->{from} eq 'unknown';

	# only look-ups after the latest moment at which the request could leave say anything about it, and only if they were
	# answered ("no data" comes as 400, and sometimes as 404)
	my $lookups = grep { ($_->{status} == 400 || $_->{status} == 404) && $_->{wall_us} >= $attempt->{send_by_us} && $_->{wall_us} <= $back->{at_us} }
	  @{ $self->_lookups_of($attempt->{reference}) };

	$complain->('was to be sent again after attempt %d and %d look-ups that found nothing', $n, $lookups)
	  if $lookups < LOOKUP_STEPS;
	return;
}

# A request that is repeated for a link: the same bytes under the same reference, once a look-up has found the invoice,
# while MyFatoorah keeps the key of the first.
sub _check_replay
{
	my ($self, $attempt, $next, $complain) = @_;
	my $n = $next->{attempt};
	my ($first) = grep { $_->{invoice} == $next->{invoice} && $_->{reference} eq $next->{reference} && ($_->{outcome} // '') ne 'not_sent' }
	  @{ $self->{attempts} };
	my $found = grep { $_->{status} == 200 && $_->{wall_us} >= $attempt->{started_us} && $_->{wall_us} <= $next->{started_us} }
	  @{ $self->_lookups_of($attempt->{reference}) };

	$complain->('attempt %d repeats one of SendPayment', $n) if ($attempt->{api} // '') ne 'v3' || ($next->{api} // '') ne 'v3';
	$complain->('attempt %d repeats %d under another reference', $n, $next->{repeats}) if $next->{reference} ne $attempt->{reference};
	$complain->('attempt %d repeats %d with other bytes', $n, $next->{repeats}) if $next->{sha256} ne $attempt->{sha256};
	$complain->('attempt %d was repeated, which was %s', $attempt->{attempt}, $attempt->{outcome} // 'without outcome')
	  if ($attempt->{outcome} // '') eq 'accepted';
	$complain->('attempt %d was repeated, which was answered with %s', $_->{attempt}, $_->{http_status})
	  foreach grep { $_->{invoice} == $next->{invoice} && $_->{reference} eq $next->{reference} && $_->{attempt} < $n && !defined $_->{repeats} && defined $_->{http_status} }
	  @{ $self->{attempts} };
	$complain->('attempt %d was made without a look-up that had found the invoice', $n)
	  unless $found || ($attempt->{outcome} // '') eq 'not_sent';
	$complain->('attempt %d was made after the key was forgotten', $n) if $next->{started_us} > $first->{started_us} + 250 * 60e6;
	return;
}

sub _lookups_of
{
	my ($self, $reference) = @_;

	if (!$self->{lookups_of})
	{
		push @{ $self->{lookups_of}{ $_->{reference} // '' } }, $_ for @{ $self->{lookups} };
	}
	return $self->{lookups_of}{$reference} // [];
}

# What the row says against what the API holds
sub _check_remote
{
	my ($row, $made, $complain) = @_;
	my $ids = join ', ', map { $_->{id} } @$made;
	my $status = $row->{status};

	$complain->('has %d invoices at the API (%s) and is not flagged', scalar @$made, $ids)
	  if @$made > 1 && $row->{duplicate} ne 't';

	if ($status eq 'sent')
	{
		my ($own) = grep { $_->{id} eq ($row->{invoice_id} // '') } @$made;

		if (!$own)
		{
			$complain->('says invoice %s; the API holds %s', $row->{invoice_id} // '(none)', $ids || 'none');
			return;
		}
		$complain->('says %s; invoice %s is of %s', $row->{value}, $own->{id}, $own->{value})
		  if $own->{value} != $row->{value};
		$complain->('says %s; invoice %s is in %s', $row->{currency}, $own->{id}, $own->{currency})
		  if defined $row->{currency} && $own->{currency} ne $row->{currency};
		# the others get it from MyFatoorah by mail or text message
		$complain->('has no link and does not say why') if $row->{notify} eq 'LNK' && $row->{url} ne 't' && $row->{error} ne 't';
		return;
	}
	$complain->('shows invoice %s', $row->{invoice_id}) if defined $row->{invoice_id};
	if ($status =~ /^(?:queued|rejected|cancelled)$/)
	{
		$complain->('has an invoice at the API: %s', $ids) if @$made && $row->{duplicate} ne 't';
	}
	return;
}

# figures: counts for people; status_* by status
sub figures
{
	my ($self) = @_;
	my %figures = (
		rows => scalar @{ $self->{rows} },
		attempts => scalar @{ $self->{attempts} },
		posts => scalar @{ $self->{posts} },
		lookups => scalar @{ $self->{lookups} },
		remote => scalar @{ $self->{remote} },
		flagged => scalar(grep { $_->{duplicate} eq 't' } @{ $self->{rows} }),
		resent => scalar(grep { $_->{reference} =~ /~\d+$/ } @{ $self->{rows} }),
		adopted => 0);

	$figures{"status_$_->{status}"}++ for @{ $self->{rows} };
	$figures{ 'outcome_' . ($_->{outcome} // 'none') }++ for @{ $self->{attempts} };
	$figures{adopted} = grep { $_->{from} eq 'unknown' && $_->{to} eq 'sent' } @{ $self->{transitions} };
	return \%figures;
}

# summary: one line of figures
sub summary
{
	my ($self) = @_;
	my $f = $self->figures;
	my $list = sub {
		my ($prefix) = @_;

		return join ', ', map { "$f->{$_} " . s/^$prefix//r } sort grep { /^$prefix/ } keys %$f;
	};

	return "$f->{rows} rows (" . $list->('status_') . "); $f->{attempts} attempts (" . $list->('outcome_')
	  . "); $f->{posts} POSTs, $f->{lookups} look-ups, $f->{remote} invoices at the API; "
	  . "$f->{adopted} adopted, $f->{resent} resent, $f->{flagged} flagged as duplicates";
}

1;
