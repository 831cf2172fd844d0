# Remotes that are worse than any HTTP server: they let a client connect and say nothing, or not even connect.
package MyFatoorah::Listener;

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use Socket qw(SOMAXCONN SOCK_STREAM INADDR_LOOPBACK pack_sockaddr_in);

# silent: connections are made, by the kernel alone, and nothing ever comes back
sub silent
{
	my ($class) = @_;

	return $class->_listen(SOMAXCONN);
}

# full: the queue of connections is full, so that a client waits for its SYN to be answered
sub full
{
	my ($class) = @_;
	my $self = $class->_listen(0);

	# How many fit is the kernel's business; the first that does not connect shows that it is full.
	for (1 .. 50)
	{
		socket(my $client, Socket::PF_INET(), SOCK_STREAM, 0) or die "socket: $!\n";
		IO::Handle::blocking($client, 0);
		push @{ $self->{clients} }, $client;
		next if connect($client, pack_sockaddr_in($self->port, INADDR_LOOPBACK));
		return $self unless IO::Select->new($client)->can_write(0.3);
	}
	return undef;
}

# refusing: nobody listens there
sub refusing
{
	my ($class) = @_;
	my $self = $class->_listen(1);

	close $self->{socket};
	return $self;
}

sub _listen
{
	my ($class, $backlog) = @_;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1)
	  or die "could not listen: $!\n";

	listen($socket, $backlog) or die "could not listen: $!\n";
	return bless { socket => $socket, port => $socket->sockport, clients => [] }, $class;
}

sub port { return $_[0]->{port}; }

# url(scheme): http unless told otherwise
sub url
{
	my ($self, $scheme) = @_;

	return ($scheme // 'http') . "://127.0.0.1:$self->{port}";
}

1;
