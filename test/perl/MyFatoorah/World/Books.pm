# The end of a world: faults stop, and the API's ledger and the tables must agree.
#
# First with all damage in place: each row that is due and does not go on says why, in last_error, or mf_check() does.
# Then everything is put right, and each row that can go on does, within a stated time; each invoice was made once, or the
# row says truthfully why not; payments are those of the ledger; what needs a person is in mf_review.
package MyFatoorah::World::Books;

use strict;
use warnings;

use Time::HiRes qw(time sleep);
use MyFatoorah::History;
use MyFatoorah::World::Rows;

# Seconds until each row that does not go on has said why: a request that just left is given up after 300 ms to connect,
# 5 s to be sent and 800 ms to be answered; the rest is for a machine that does other things too
use constant SAY_LIMIT => 30 * ($ENV{MF_WORLD_PATIENCE} || 1);

# Seconds until each row that can go on is settled: the same, five look-ups, all again for one sent again, and up to ten
# seconds for an account that is left alone after failures
use constant SETTLE_LIMIT => 150 * ($ENV{MF_WORLD_PATIENCE} || 1);

# Seconds until payments are read
use constant PAYMENT_LIMIT => 30;

# More requests than this for one row are a storm
use constant REQUESTS_LIMIT => 150;

# Rows that should be on their way: not those of another year
my $under_way = q{FROM mf_invoice i WHERE (status IN ('sending', 'unknown') OR status = 'queued' AND send_at < now() + interval '1 minute')};

sub new
{
	my ($class, $world) = @_;

	return bless { world => $world }, $class;
}

sub balance
{
	my ($self) = @_;
	my $world = $self->{world};
	my @databases = $world->databases;

	$world->sandbox->clear_faults;
	$world->sandbox->lag;
	$world->sandbox->control('POST', 'clock', { offset_seconds => 0 });
	$world->reset_settings;
	foreach my $db (@databases)
	{
		MyFatoorah::World::Rows::decide_all($db);
		$db->mend('rows held');
		$self->_resume($db);

		# after mf_resume('*'), which puts look-ups off for as long as the original's last requests may take
		_hurry($db) if $world->{promoted};
	}
	$self->_until(SAY_LIMIT, sub { $self->_says_why($_[0]) }, grep { keys %{ $_->{heal} } } @databases);
	$self->{said} = time;
	foreach my $db (@databases)
	{
		eval { $db->mend; 1 } or $db->finding("cannot be mended: $@");
		$db->insist('SELECT mf_repair()');
		$self->_resume($db);
	}
	$self->_until(SETTLE_LIMIT, sub { $self->_settled($_[0]) }, @databases);
	$self->{settled} = time;
	$self->{remote} = { map { $_->{seed} => [ $world->remote($_->prefix) ] } @databases };
	$self->_until(PAYMENT_LIMIT, sub { $self->_paid($_[0]) }, @databases);
	$self->{paid} = time;
	$self->_history(@databases);
	return;
}

# After a promotion, and after mf_repair(), rows are looked up before they are sent, and not before the API could be done with
# what another server may have sent. What was under way when the worker ended, by an account that was not there at its start, is
# looked up after the default time-outs, which are longer than SETTLE_LIMIT. The API is at rest, so there is no need to wait.
sub _hurry
{
	my ($db) = @_;

	my $hurried = $db->insist(q{WITH h AS (UPDATE mf_queue SET due = now(), rank = now()
		WHERE kind = 'verify' AND due > now() AND due < now() + interval '5 minutes'
			OR kind = 'reconcile' AND lookups = 0 AND due > now() + interval '10 s' AND due < now() + interval '80 s' RETURNING 1) SELECT count(*) FROM h});

	# nobody else would tell the worker
	$db->insist('SELECT mf_resume()') if $hurried->{out} =~ /[1-9]/;
	return;
}

# Rows whose role is gone: dropped, or renamed while they were in a backup, from where roles come back by name. They say so, and
# somebody takes them over. What the API may have is not given to another; it is cancelled, unless the portal shows it.
sub _take_over
{
	my ($db) = @_;
	my $rows = $db->value(q{SELECT id, last_error ~ 'whoever may send it takes it over by setting its account$',
			(SELECT string_agg(a.reference, ',') FROM mf_attempt a WHERE a.invoice = i.id)
		FROM mf_invoice i WHERE status = 'queued' AND last_error ~ '^(the role that|no role has the name)'
			AND NOT EXISTS (SELECT FROM pg_roles WHERE oid = created_by_id)});
	my %remote = $rows ? map { $_->{reference} => 1 } $db->world->remote($db->prefix) : ();

	foreach (split /\n/, $rows // '')
	{
		my ($id, $offered, $references) = split /\|/;

		if (grep { $remote{$_} } split /,/, $references // '')
		{
			$db->state->{nobodys}{$id} = 1;
			next;
		}

		# it goes with the key of who took it
		$db->state->{any_key} = 1;
		my $state = $offered eq 't' ? $db->sql("UPDATE mf_invoice SET account = account WHERE id = $id")->{state} : '55000';

		# 22023: the account has another currency since, with fewer decimals
		$db->state->{taken}{$id} = $state;
		$db->sql($state eq '55000' || $state eq '22023' ? "SELECT mf_cancel($id, 'its role is gone')" : "SELECT mf_resume(account) FROM mf_invoice WHERE id = $id");
	}
	return;
}

# Whatever was paused, by a person or by a refused key
sub _resume
{
	my ($self, $db) = @_;

	$db->insist(q{SELECT mf_resume(account) FROM mf_account WHERE paused_at IS NOT NULL; SELECT mf_resume('*'); SELECT mf_resume()});
	return;
}

# _until(seconds, check, databases): until the check of each finds nothing; what it finds at the end is a finding
sub _until
{
	my ($self, $limit, $check, @databases) = @_;
	my $deadline = time + $limit;
	my %open = map { $_->{seed} => $_ } @databases;

	while (%open)
	{
		my $late = time > $deadline;

		foreach my $seed (sort { $a <=> $b } keys %open)
		{
			my $db = $open{$seed};
			my @wrong = $check->($db);

			$self->{world}->dump($db) if $late && @wrong;
			$db->finding("after $limit s: $_") for $late ? @wrong : ();
			delete $open{$seed} if $late || !@wrong;
		}
		sleep 0.1 if %open;
	}
	return;
}

# Rows that do not go on and do not say why
sub _says_why
{
	my ($self, $db) = @_;
	# a column may have another name just now
	my $rows = $db->value("SELECT id, status, account $under_way AND coalesce(to_jsonb(i)->>'last_error', to_jsonb(i)->>'renamed_last_error') IS NULL ORDER BY id LIMIT 50");
	my (%check, @silent);

	return 'the rows cannot be read' unless defined $rows;
	foreach (split /\n/, $rows)
	{
		my ($id, $status, $account) = split /\|/;

		$check{$account} //= $db->value("SELECT string_agg(item || ': ' || detail, '; ') FROM mf_check('" . ($account =~ s/'/''/gr)
			. "') WHERE NOT ok AND item NOT IN ('durability', 'webhooks')") // 'no answer';
		push @silent, "row $id is $status, and neither last_error nor mf_check('$account') says why" if $check{$account} eq '';
		last if keys %check > 5;
	}
	return @silent;
}

# Rows that can go on and do not
sub _settled
{
	my ($self, $db) = @_;
	my $rows = $db->value("SELECT id, status, reference, coalesce(left(last_error, 200), '(no error)') $under_way ORDER BY id LIMIT 50");

	return 'the rows cannot be read' unless defined $rows;

	# that it is a new server a worker may notice only now, when nothing stops it any more
	_hurry($db) if $rows ne '';
	_take_over($db) if $rows ne '';

	# an answer to what left before may have paused an account since
	$self->_resume($db) if $rows ne '' && $db->value('SELECT count(*) FROM mf_account WHERE paused_at IS NOT NULL') && $db->state->{resumed}++ < 5;
	return map { "not settled: row " . join(' ', split /\|/) . (/^(\d+)/ && $db->state->{taken}{$1} ? " (taken over: $db->state->{taken}{$1})" : '') } grep { !/^(\d+)/ || !$db->state->{nobodys}{$1} } split /\n/, $rows;
}

# Payments that the ledger has and the table has not, and the other way round
sub _paid
{
	my ($self, $db) = @_;

	# nobody has the key of a role that is gone; a person sees them
	my $rows = $db->value(q{SELECT id, invoice_id, payment_status FROM mf_invoice i WHERE invoice_id IS NOT NULL
		AND (EXISTS (SELECT FROM pg_roles WHERE oid = created_by_id) OR NOT EXISTS (SELECT FROM mf_review r WHERE r.id = i.id))});
	my %remote = map { $_->{id} => $_ } @{ $self->{remote}{ $db->{seed} } };
	my @wrong;

	return 'the rows cannot be read' unless defined $rows;

	# people ask again until the answer is new: the API may lag
	$db->sql(q{SELECT mf_refresh(id) FROM mf_invoice WHERE status = 'sent'}) if time > ($db->state->{asked} // 0) + 2;
	$db->state->{asked} = time if time > ($db->state->{asked} // 0) + 2;
	foreach (split /\n/, $rows)
	{
		my ($id, $invoice, $status) = split /\|/;
		my $paid = ($remote{$invoice} // {})->{paid} ? 1 : 0;

		push @wrong, "row $id is $status; invoice $invoice at the API is " . ($paid ? 'paid' : 'not paid')
		  if $paid != ($status =~ /^(?:paid|partly_refunded|refunded)$/ ? 1 : 0);
	}
	return @wrong;
}

sub _history
{
	my ($self, @databases) = @_;
	my $world = $self->{world};
	my $ledger = MyFatoorah::History->ledger(sub { $world->sandbox->request('GET', "/_sandbox/$_[0]")->{content} });

	foreach my $db (@databases)
	{
		my $prefix = $db->prefix;
		my $state = $db->state;
		my %mine = map { my $kind = $_; $kind => [ grep { ($_->{reference} // '') =~ /^\Q$prefix\E/ } @{ $ledger->{$kind} } ] } keys %$ledger;
		my %direct = map { $_->{reference} => 1 } grep { $_->{reference} !~ /\./ } map { @$_ } values %mine;

		$_ = [ grep { !$direct{ $_->{reference} } } @$_ ] for values %mine;
		my $history = MyFatoorah::History->read(sub { $db->value($_[0]) // die "$_[0]: no answer\n" }, \%mine);
		my %result = %{ $db->{result} };
		my @committed = grep { !$state->{gone}{$_} } @{ $result{committed} };
		my @uncertain = @{ $result{uncertain} };

		# where deletions or triggers may have taken rows away, it is enough that none is there twice
		(@uncertain, @committed) = (@uncertain, splice @committed) if $state->{some_gone} || $state->{returns_null} || $world->{lost_until};
		$db->finding($_) for $history->violations(committed => \@committed, uncertain => \@uncertain,
			deleted => $state->{deleted}, lost_until => $world->{lost_until}, restored => $state->{saved} || $state->{returns_null});
		$db->{summary} = $history->summary;
		$self->_keys($db, $mine{posts}) unless $state->{any_key} || $state->{role_dropped};
		$self->_storms($db, $mine{posts}, $mine{lookups});
		$self->_review($db);
		$self->_direct($db, grep { ($_->{reference} // '.') !~ /\./ } @{ $ledger->{remote} });
	}
	return;
}

# What callers of mf_send_payment() were told: made once, or not made; anything else is "nobody knows"
sub _direct
{
	my ($self, $db, @remote) = @_;
	my $told = $db->state->{direct} // {};
	my %made;

	$made{ $_->{reference} }++ for @remote;
	foreach my $reference (sort keys %$told)
	{
		my ($state, $n) = ($told->{$reference}, $made{$reference} // 0);

		# "as far as can be seen" comes with the advice to look first
		$db->finding("the direct call $reference was told $state, and the API has $n invoices of it")
		  if $n > 1 || $state eq '00000' && $n != 1 || $n > 0 && $state !~ /^(?:00000|08007|57014|57P0.|lost|hang|38000, look)$/;
	}
	return;
}

# Whose key it was: the money goes to the owner of the key
sub _keys
{
	my ($self, $db, $posts) = @_;

	foreach (grep { $_->{key_index} >= 0 && defined $_->{invoice_id} } @$posts)
	{
		my $is_clerk = $_->{reference} =~ /^w\d+-\d+c\./ ? 1 : 0;

		# accounts but the default one have one key for all
		$db->finding("request $_->{seq}, reference $_->{reference}, went out with the key of somebody else")
		  if $_->{key_index} == 1 && !$is_clerk || $_->{key_index} == 0 && $is_clerk && $db->{plan}{accounts} == 1;
	}
	return;
}

sub _storms
{
	my ($self, $db, @lists) = @_;
	my %count;

	$count{ $_->{reference} }++ for map { @$_ } @lists;
	foreach (sort keys %count)
	{
		$db->finding("$count{$_} requests about $_") if $count{$_} > REQUESTS_LIMIT;
	}
	return;
}

# What needs a person is shown to one, with its cause
sub _review
{
	my ($self, $db) = @_;
	my $rows = $db->value(q{SELECT id, status FROM mf_invoice i WHERE (status = 'review' OR duplicate_suspected) AND NOT EXISTS (SELECT FROM mf_review r WHERE r.id = i.id)
		UNION ALL SELECT id, status FROM mf_invoice WHERE status IN ('rejected', 'review', 'unknown') AND last_error IS NULL
			OR duplicate_suspected <> (duplicate_error IS NOT NULL)}) // '';

	$db->finding("row $_ needs a person and is not shown") for split /\n/, $rows;
	return;
}

1;
