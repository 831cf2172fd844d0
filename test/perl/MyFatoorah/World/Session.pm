# A psql that stays, for a world with many databases: each statement is answered with its SQLSTATE, with "lost" where the
# connection broke (nobody knows what became of it), "down" where there was none, "hang" where no answer came in time.
package MyFatoorah::World::Session;

use strict;
use warnings;

use IO::Select ();
use POSIX ();
use Time::HiRes qw(time);

# Seconds until no answer counts as one
use constant ANSWER_LIMIT => 30 * ($ENV{MF_WORLD_PATIENCE} || 1);

my $number = 0;

# new(connstr, setup => "SET ..."): connects when it is used, and again after the connection was lost
sub new
{
	my ($class, $connstr, %params) = @_;

	return bless { connstr => $connstr, setup => $params{setup} // '' }, $class;
}

sub _start
{
	my ($self) = @_;

	return if $self->{pid};
	pipe my $in, my $to or die "pipe: $!\n";
	pipe my $from, my $out or die "pipe: $!\n";
	pipe my $errors, my $err or die "pipe: $!\n";
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		open STDIN, '<&', $in and open STDOUT, '>&', $out and open STDERR, '>&', $err or POSIX::_exit(1);
		close $_ for $in, $to, $from, $out, $errors, $err;
		exec 'psql', '-XqAt', '-v', 'VERBOSITY=verbose', '-d', $self->{connstr} or POSIX::_exit(1);
	}
	close $_ for $in, $out, $err;
	$to->autoflush(1);
	@$self{qw(pid to from errors)} = ($pid, $to, $from, $errors);
	return;
}

# run(sql, seconds): { state, out, err }; state is 00000, or the SQLSTATE of the first error
sub run
{
	my ($self, $sql, $seconds) = @_;

	if (!$self->{pid} && $self->{setup})
	{
		$self->_start;
		my $answer = $self->run($self->{setup}, $seconds);

		# nothing is done in a session that is not as it should be
		if ($answer->{state} ne '00000')
		{
			$self->quit('KILL');
			return $answer->{state} =~ /^(?:lost|57P0)/ ? { %$answer, state => 'down' } : $answer;
		}
	}
	my $mark = 'mark-' . ++$number;
	my $deadline = time + ($seconds // ANSWER_LIMIT);
	my %got = (out => '', err => '');

	local $SIG{PIPE} = 'IGNORE';
	$self->_start;
	print { $self->{to} } "$sql;\n\\echo $mark\n\\warn $mark\n";
	my %source = (fileno $self->{from} => 'out', fileno $self->{errors} => 'err');
	my $select = IO::Select->new($self->{from}, $self->{errors});
	my %open = (out => 1, err => 1);

	while (%open)
	{
		my $left = $deadline - time;
		my @ready = $left > 0 ? $select->can_read($left) : ();

		if (!@ready)
		{
			$self->quit('KILL');
			return { %got, state => 'hang' };
		}
		foreach my $handle (@ready)
		{
			my $to = $source{ fileno $handle };

			if (!sysread $handle, $got{$to}, 65536, length $got{$to})
			{
				# it has ended, so its connection is gone
				$self->quit('KILL');
				return { %got, state => $got{err} =~ /connection to server .* failed/ && $got{err} !~ /terminat/ ? 'down' : 'lost' };
			}
			delete $open{$to} if $got{$to} =~ s/^\Q$mark\E\n//m;
		}
	}
	my ($state) = $got{err} =~ /(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}):/;

	return { state => $state // '00000', out => $got{out} =~ s/\n\z//r, err => $got{err} };
}

# quit: ends it; a transaction that is open is lost
sub quit
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} // return;

	local $?;
	close $self->{to};
	kill $signal, $pid if $signal;
	waitpid $pid, 0;
	close $_ for delete @$self{qw(from errors)};
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($@, $!, $?);
	$self->quit('KILL');
	return;
}

1;
