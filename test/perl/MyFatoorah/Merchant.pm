# The merchant's own web site, as far as customers see it after they have paid or not: any page says what it is, and
# each visit is written down.
package MyFatoorah::Merchant;

use strict;
use warnings;

use IO::Socket::INET ();
use POSIX ();
use PostgreSQL::Test::Utils;

# new: it answers on a free port of the loopback interface, until the object is gone or the test has ended
sub new
{
	my ($class) = @_;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 20, ReuseAddr => 1)
	  or die "could not listen: $!\n";
	my $self = bless { port => $socket->sockport, owner => $$, visits => PostgreSQL::Test::Utils::tempdir('merchant') . '/visits' },
	  $class;
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		eval { $self->_serve($socket) };
		POSIX::_exit(1);
	}
	$self->{pid} = $pid;
	return $self;
}

# One visitor after the other; a browser may open connections that it does not use. A wish for an icon is no visit.
sub _serve
{
	my ($self, $socket) = @_;

	$SIG{$_} = 'DEFAULT' for qw(TERM INT);
	$SIG{PIPE} = 'IGNORE';
	while (getppid == $self->{owner})
	{
		my $ready = '';

		vec($ready, $socket->fileno, 1) = 1;
		next unless select($ready, undef, undef, 1);
		my $client = $socket->accept or next;

		next if fork;
		alarm 30;
		my $head = '';
		until ($head =~ /\r\n\r\n/)
		{
			sysread $client, $head, 4096, length $head or POSIX::_exit(0);
		}
		my ($path) = $head =~ m{^GET (\S+) HTTP} or POSIX::_exit(0);
		if ($path !~ /favicon/)
		{
			open my $visits, '>>', $self->{visits} or POSIX::_exit(1);
			syswrite $visits, "$path\n";
		}
		my $body = '<!DOCTYPE html><title>Shop</title><h1>Page of the merchant</h1>';

		syswrite $client, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
		  . length($body) . "\r\n\r\n$body";
		POSIX::_exit(0);
	}
	continue
	{
		1 while waitpid(-1, POSIX::WNOHANG()) > 0;
	}
	return;
}

sub url { return "http://127.0.0.1:$_[0]->{port}"; }

# visits: what was asked for, first to last
sub visits
{
	my ($self) = @_;

	return -e $self->{visits} ? split /\n/, PostgreSQL::Test::Utils::slurp_file($self->{visits}) : ();
}

sub DESTROY
{
	my ($self) = @_;

	return if $$ != $self->{owner};
	local ($@, $!, $?);
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
