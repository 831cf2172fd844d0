# The stand-in API as an object: started on a free port of the loopback interface, ended with the test.
package MyFatoorah::Sandbox;

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use Time::HiRes ();
use PostgreSQL::Test::Utils;

my $number = 0;

# Longest wait for anything, as PostgreSQL's own tests have it
sub time_limit
{
	return $PostgreSQL::Test::Utils::timeout_default // 180;
}

# new(args => [...], key => '...', country => 'KWT', name => '...'): starts the program that MF_SANDBOX names, with
# these arguments added
sub new
{
	my ($class, %params) = @_;
	my $name = $params{name} // 'sandbox' . ($number++ || '');
	my $self = bless {
		name => $name,
		key => $params{key} // 'SK_KWT_sandbox',
		country => $params{country} // 'KWT',
		args => $params{args} // [],
		owner => $$,
		log => "$PostgreSQL::Test::Utils::log_path/"
		  . ($0 =~ s{.*/|\.pl$}{}gr) . "_$name.log",
		port_file => PostgreSQL::Test::Utils::tempdir($name) . '/port',
		http => HTTP::Tiny->new(timeout => 60, proxy => undef, http_proxy => undef),
		json => JSON::PP->new->utf8->canonical,
	}, $class;

	$self->start;
	return $self;
}

# start(port): starts the program; new does it too. With the same port again, a test plays a remote that was away.
sub start
{
	my ($self, $port) = @_;
	my $binary = $ENV{MF_SANDBOX} // 'sandbox/mf-sandbox';
	my $deadline = Time::HiRes::time() + time_limit();

	die "no stand-in API at $binary (set MF_SANDBOX)\n" unless -x $binary;
	unlink $self->{port_file};
	my $pid = fork // die "could not fork: $!\n";
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $self->{log} and open STDERR, '>&', \*STDOUT;
		# It ends with the test, even if that is killed.
		exec 'setpriv', '--pdeathsig=TERM', $binary, '--port', $port // 0, '--port-file', $self->{port_file},
		  '--key', "$self->{key}=$self->{country}", @{ $self->{args} }
		  or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	until (-s $self->{port_file})
	{
		if (waitpid($pid, POSIX::WNOHANG()) == $pid)
		{
			delete $self->{pid};
			die "$binary ended at once (see $self->{log})\n";
		}
		die "$binary wrote no port file (see $self->{log})\n" if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.02);
	}
	$self->{port} = PostgreSQL::Test::Utils::slurp_file($self->{port_file}) =~ s/\s+//gr;
	return;
}

# stop(signal): ends it, TERM unless told otherwise, and waits for its end
sub stop
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} // return;

	return if $$ != $self->{owner};
	local $?;
	kill $signal // 'TERM', $pid;
	my $deadline = Time::HiRes::time() + 10;
	until (waitpid($pid, POSIX::WNOHANG()) != 0)
	{
		kill 'KILL', $pid if Time::HiRes::time() > $deadline;
		Time::HiRes::sleep(0.01);
	}
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($@, $!, $?);
	$self->stop('KILL');
	return;
}

sub port { return $_[0]->{port}; }
sub pid { return $_[0]->{pid}; }
sub key { return $_[0]->{key}; }
sub log_file { return $_[0]->{log}; }
sub url { return "http://127.0.0.1:$_[0]->{port}"; }

# request(method, path, body, headers): a request as anybody could make it; returns HTTP::Tiny's answer
sub request
{
	my ($self, $method, $path, $body, $headers) = @_;

	return $self->{http}->request($method, $self->url . $path,
		{ headers => $headers // {}, defined $body ? (content => $body) : () });
}

# control(method, path, data): a request to the control path (/_sandbox/PATH), data sent as JSON; returns the answer
# decoded, or dies with it
sub control
{
	my ($self, $method, $path, $data) = @_;
	my $answer = $self->request($method, "/_sandbox/$path",
		defined $data ? $self->{json}->encode($data) : undef,
		defined $data ? { 'Content-Type' => 'application/json' } : {});

	die "$method /_sandbox/$path: $answer->{status} $answer->{reason}\n$answer->{content}\n"
	  unless $answer->{success};
	return length($answer->{content} // '') ? $self->{json}->decode($answer->{content}) : undef;
}

sub _query
{
	my ($self, $path, %filters) = @_;
	my $query = $self->{http}->www_form_urlencode(\%filters);

	return length $query ? "$path?$query" : $path;
}

# reset: forgets invoices, ledger and faults
sub reset
{
	my ($self) = @_;

	$self->control('POST', 'reset');
	return;
}

# ledger(path => ..., reference => ...): the requests that came in, first to last
sub ledger
{
	my ($self, %filters) = @_;
	my $answer = $self->control('GET', $self->_query('ledger', limit => 1_000_000, %filters));

	($answer) = grep { ref eq 'ARRAY' } values %$answer if ref $answer eq 'HASH';
	return @{ $answer // [] };
}

# count(path => ..., reference => ..., phase => 'answered'): how many they are; answered counts those whose answer has
# left too
sub count
{
	my ($self, %filters) = @_;
	my $phase = delete $filters{phase} // 'count';

	return $self->control('GET', $self->_query('ledger/count', %filters))->{$phase};
}

# wait_count({ filters }, n, seconds): waits until at least n such requests have come in (been answered, with phase);
# false if they have not in that time
sub wait_count
{
	my ($self, $filters, $n, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // time_limit());

	for (;;)
	{
		my $left = $deadline - Time::HiRes::time();

		return 1 if $self->count(%$filters) >= $n;
		return 0 if $left <= 0;
		# The answer may also say that the time is over; the count decides.
		$self->request('GET', $self->_query('/_sandbox/wait', %$filters, count => $n,
				timeout_ms => int(1000 * ($left < 5 ? $left : 5)) + 1));
	}
}

# posts(path): what came in on that path, SendPayment unless told otherwise, first to last; hashes of reference,
# connection, invoice_id, status, wall_us. Made for thousands of them: the answer is not decoded as JSON.
sub posts
{
	my ($self, $path) = @_;
	my $string = qr/"((?:[^"\\]|\\.)*)"|null/;
	my ($since, @posts) = (0);

	for (;;)
	{
		my $answer = $self->request('GET', $self->_query('/_sandbox/ledger',
				path => $path // '/v2/SendPayment', since => $since, limit => 5000, bodies => 0));

		die "GET /_sandbox/ledger: $answer->{status}\n" unless $answer->{success};
		my ($entries, $next, $last) = $answer->{content} =~ /^(.*)\],"next":(\d+),"last":(\d+)/s
		  or die "the ledger looks different\n";
		while ($entries =~ /"connection":(\d+),.*?,"complete":(true|false),.*?,"reference":$string,.*?"wall_us":(\d+),.*?"status":(\d+),.*?"invoice_id":(\d+|null)/gs)
		{
			push @posts, {
				connection => $1, complete => $2 eq 'true', reference => $3, wall_us => $4, status => $5,
				invoice_id => $6 eq 'null' ? undef : $6,
			};
		}
		return @posts if $next >= $last || $next == $since;
		$since = $next;
	}
}

# names(path): the caller's own part of their references: what stands before the last dot
sub names
{
	my ($self, $path) = @_;

	return map { ($_->{reference} // '') =~ s/\.[^.]*$//r } $self->posts($path);
}

# remote: the invoices it holds, oldest first; hashes of id, reference, value. Made for thousands, as posts().
sub remote
{
	my ($self) = @_;
	my $string = qr/"((?:[^"\\]|\\.)*)"|null/;
	my $answer = $self->request('GET', '/_sandbox/invoices');
	my @remote;

	die "GET /_sandbox/invoices: $answer->{status}\n" unless $answer->{success};
	while ($answer->{content} =~ /\{"id":(\d+),"reference":$string,.*?"value":"([^"]*)"/gs)
	{
		push @remote, { id => $1, reference => $2, value => $3 };
	}
	return @remote;
}

# most_at_once(filters): how many of these requests it had at the same time
sub most_at_once
{
	my ($self, %filters) = @_;
	my ($now, $most, %change) = (0, 0);

	foreach ($self->ledger(%filters, bodies => 0))
	{
		$change{ $_->{complete_us} }++;
		$change{ $_->{answered_us} }--;
	}
	foreach (sort { $a <=> $b } keys %change)
	{
		$now += $change{$_};
		$most = $now if $now > $most;
	}
	return $most;
}

# send_payment(fields): the number of an invoice that somebody else makes, by SendPayment with the key of the account
sub send_payment
{
	my ($self, %fields) = @_;
	my $answer = $self->request('POST', '/v2/SendPayment',
		$self->{json}->encode({ CustomerName => 'x', NotificationOption => 'LNK', InvoiceValue => 1.25, %fields }),
		{ Authorization => "Bearer $self->{key}", 'Content-Type' => 'application/json' });

	die "no invoice was made: $answer->{content}\n" unless $answer->{success};
	return $self->{json}->decode($answer->{content})->{Data}{InvoiceId};
}

# hang(rule): SendPayment gets no answer from now on, and makes no invoice; a rule says otherwise
sub hang
{
	my ($self, %rule) = @_;

	$self->faults({ path => 'SendPayment', never => JSON::PP::true, times => -1, %rule });
	return;
}

# invoices(...): the invoices it has made
sub invoices
{
	my ($self, %filters) = @_;
	my $answer = $self->control('GET', $self->_query('invoices', %filters));

	($answer) = grep { ref eq 'ARRAY' } values %$answer if ref $answer eq 'HASH';
	return @{ $answer // [] };
}

# invoice(id, action, data): an invoice; with an action (pay, fail ...) after what a person did to it
sub invoice
{
	my ($self, $id, $action, $data) = @_;

	return $self->control('GET', "invoices/$id") unless defined $action;
	return $self->control('POST', "invoices/$id/$action", $data // {});
}

# faults({ rule }, ...): adds rules for what shall go wrong; clear_faults takes all away, and lets go what a delay of -1 holds
sub faults
{
	my ($self, @rules) = @_;

	$self->control('POST', 'faults', \@rules);
	return;
}

sub clear_faults
{
	my ($self) = @_;

	$self->control('DELETE', 'faults');
	return;
}

# webhooks(url => ..., version => 'v1', secret => ..., retries => 3, retry_delay_ms => 10, timeout_ms => 1000,
# enabled => 1): how webhooks are sent from now on; what is not named stays. Returns the settings.
sub webhooks
{
	my ($self, %settings) = @_;
	my %numbers = map { $_ => $settings{$_} + 0 }
	  grep { defined $settings{$_} } qw(retries retry_delay_ms timeout_ms connections);

	return $self->control('GET', 'webhooks') unless %settings;
	$settings{enabled} = $settings{enabled} ? JSON::PP::true : JSON::PP::false if exists $settings{enabled};
	return $self->control('POST', 'webhooks', { %settings, %numbers });
}

# mischief({ rule }, ...): adds rules for what shall happen to webhooks; clear_mischief takes all away and sends what
# they hold back
sub mischief
{
	my ($self, @rules) = @_;

	$self->control('POST', 'webhooks/mischief', $_) for @rules;
	return;
}

sub clear_mischief
{
	my ($self) = @_;

	$self->control('DELETE', 'webhooks/mischief');
	return;
}

# deliveries(reference => ..., invoice => ..., code => ..., status => 'Failed', webhook_reference => ...): the webhooks
# sent, first to last, with their attempts
sub deliveries
{
	my ($self, %filters) = @_;

	return @{ $self->control('GET', $self->_query('webhooks/log', limit => 1_000_000, %filters))->{deliveries} };
}

# wait_deliveries({ filters }, n, seconds): waits until at least n webhooks are finished, for good or bad (with
# phase => 'queued': made; with phase => 'attempted': until n attempts are over); false if not in that time
sub wait_deliveries
{
	my ($self, $filters, $n, $seconds) = @_;
	my $deadline = Time::HiRes::time() + ($seconds // time_limit());

	for (;;)
	{
		my $left = $deadline - Time::HiRes::time();
		my $answer = $self->control('GET', $self->_query('webhooks/wait', %$filters, count => $n,
				timeout_ms => $left <= 0 ? 0 : int(1000 * ($left < 5 ? $left : 5)) + 1));

		return 1 if $answer->{reached};
		return 0 if $left <= 0;
	}
}

# webhook_event(code => 3, ...): an event about what it does not keep: 3, 4, 5 (with invoice => ID) or 7; the number of
# its delivery
sub webhook_event
{
	my ($self, %event) = @_;

	$event{$_} += 0 for grep { defined $event{$_} } qw(code invoice);
	return $self->control('POST', 'webhooks/event', \%event)->{number};
}

# replay(number, times, url): sends a delivery again, byte for byte; the numbers of the new ones
sub replay
{
	my ($self, $number, $times, $url) = @_;

	return @{ $self->control('POST', 'webhooks/replay',
			{ number => $number + 0, times => ($times // 1) + 0, defined $url ? (url => $url) : () })->{numbers} };
}

# send_raw(body => ..., headers => { ... }, url => ...): sends any text with any headers; the number of the delivery
sub send_raw
{
	my ($self, %message) = @_;

	return $self->control('POST', 'webhooks/send', \%message)->{number};
}

# refund(invoice, amount): a refund that is approved at once; decide_refund(refund, 'approve' or 'reject') is for those
# that MakeRefund filed
sub refund
{
	my ($self, $invoice, $amount) = @_;

	return $self->invoice($invoice, 'refund', { defined $amount ? (amount => "$amount") : () });
}

sub decide_refund
{
	my ($self, $refund, $decision) = @_;

	return $self->control('POST', "refunds/$refund/$decision");
}

# refunds(invoice => ID, external => ...): the refunds it holds, oldest first
sub refunds
{
	my ($self, %filters) = @_;

	return @{ $self->control('GET', $self->_query('refunds', %filters))->{refunds} };
}

# list_refunds(invoice, { RefundId => N, Amount => N, ... }, ...): what GetRefundStatus lists about that invoice until clear_faults
sub list_refunds
{
	my ($self, $number, @refunds) = @_;
	my $body = $self->{json}->encode({ IsSuccess => JSON::PP::true, Message => '', ValidationErrors => undef,
		Data => { RefundStatusResult => [ map { { InvoiceId => $number + 0, RefundStatus => 'Refunded', %$_ } } @refunds ] } });

	return $self->faults({ path => 'GetRefundStatus', contains => "$number", times => -1, status => 200, body => $body });
}

# account(auto_refund => 1, balance => '10.5', ...): how the account is set up from now on; what is not named stays.
# Returns the settings.
sub account
{
	my ($self, %settings) = @_;
	my %switches = map { $_ => $settings{$_} ? JSON::PP::true : JSON::PP::false }
	  grep { exists $settings{$_} } qw(auto_refund one_refund_at_a_time idempotency);
	my %numbers = map { $_ => $settings{$_} + 0 }
	  grep { exists $settings{$_} } qw(refund_hidden_reads refund_hidden_ms idempotency_minutes);

	return $self->control('POST', 'account', { country => $self->{country}, %settings, %switches, %numbers });
}

# key_state(state, index): a key is 'expired', 'foreign', 'forbidden' or 'ok' from now on
sub key_state
{
	my ($self, $state, $index) = @_;

	return $self->control('POST', 'keys', { key_index => ($index // 0) + 0, state => $state });
}

# counts(reference => ... or reference_prefix => ...): what was done: payments, captures, releases, refunds_pending ...
sub counts
{
	my ($self, %filters) = @_;

	return $self->control('GET', $self->_query('counts', %filters));
}

# deposit(invoices => [ids], fees => '1.5', supplier => CODE, webhook => 0): pays out what is named, or all that is due
sub deposit
{
	my ($self, %order) = @_;

	$order{$_} = $order{$_} ? JSON::PP::true : JSON::PP::false for grep { exists $order{$_} } qw(refunds webhook);
	$order{invoices} = [ map { $_ + 0 } @{ $order{invoices} } ] if $order{invoices};
	$order{supplier} += 0 if exists $order{supplier};
	return $self->control('POST', 'deposits', { country => $self->{country}, %order });
}

# charge(recurring id, fail => 1, reference => its own): carries out the next repetition of a recurring payment; its invoice
sub charge
{
	my ($self, $id, %how) = @_;

	return $self->control('POST', "recurring/$id/charge", { %how, fail => $how{fail} ? JSON::PP::true : JSON::PP::false });
}

# lag(reads => N, ms => M): GetPaymentStatus reads Pending so many times, or so long, after every payment from now on;
# without arguments no more
sub lag
{
	my ($self, %lag) = @_;

	return $self->control('POST', 'lag', { map { $_ => $lag{$_} + 0 } keys %lag });
}

# pay_many(count => N or ids => [...], rate => R): pays open invoices, R a second; bulk tells how far it is
sub pay_many
{
	my ($self, %order) = @_;

	$order{$_} += 0 for grep { defined $order{$_} } qw(count rate);
	$order{ids} = [ map { $_ + 0 } @{ $order{ids} } ] if $order{ids};
	return $self->control('POST', 'pay-many', \%order);
}

sub bulk { return $_[0]->control('GET', 'pay-many'); }

1;
