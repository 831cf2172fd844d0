# Many worlds, some at a time, each in a process of its own.
package MyFatoorah::World::Runs;

use strict;
use warnings;

use IO::Select ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(time);
use MyFatoorah::World;

# new(first => 1, seeds => 8, width => 8, jobs => 2, moves => 40, ...): see t/042_world.pl
sub new
{
	my ($class, %params) = @_;

	$params{$_} = _numbers($params{$_}) for grep { defined $params{$_} } qw(steps server_steps);
	$params{without} = qr/^(?:$params{without})$/ if defined $params{without};
	return bless \%params, $class;
}

# "1-3 7" as a set
sub _numbers
{
	my ($text) = @_;

	return { map { /^(\d+)-(\d+)$/ ? map { $_ => 1 } $1 .. $2 : ($_ => 1) } split /[ ,]+/, $text };
}

# each(code): runs all, and calls the code with each result: { name, findings, line }
sub each
{
	my ($self, $code) = @_;
	my @worlds;
	my %running;

	for (my $seed = $self->{first}; $seed < $self->{first} + $self->{seeds}; $seed += $self->{width})
	{
		my $last = $seed + $self->{width} - 1;
		my $end = $self->{first} + $self->{seeds} - 1;
		my @seeds = ($seed .. ($last < $end ? $last : $end));

		push @worlds, \@seeds if !$self->{only} || grep { $_ == $self->{only} } @seeds;
	}
	while (@worlds || %running)
	{
		while (@worlds && keys %running < $self->{jobs})
		{
			my $run = $self->_start(shift @worlds);

			$running{ fileno $run->{from} } = $run;
		}
		foreach my $ready (IO::Select->new(map { $_->{from} } values %running)->can_read)
		{
			my $run = $running{ fileno $ready };

			next if sysread $ready, $run->{text}, 65536, length $run->{text};
			delete $running{ fileno $ready };
			waitpid $run->{pid}, 0;
			$code->($run->{text} =~ /\}\s*\z/ ? JSON::PP->new->decode($run->{text}) :
				{ name => $run->{name}, findings => ["the world $run->{name} ended without a result"], line => 'no result' });
		}
	}
	return;
}

sub _start
{
	my ($self, $seeds) = @_;
	my $name = @$seeds > 1 ? "$seeds->[0]-$seeds->[-1]" : $seeds->[0];

	pipe my $from, my $to or die "pipe: $!\n";
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		close $from;
		my $result = eval { $self->_run($seeds) } // { findings => ["the world died: $@"], line => 'died' };

		print $to JSON::PP->new->encode({ %$result, name => $name });
		close $to;
		POSIX::_exit(0);
	}
	close $to;
	return { pid => $pid, from => $from, name => $name, text => '' };
}

sub _run
{
	my ($self, $seeds) = @_;
	my $start = time;
	my $world = MyFatoorah::World->new(seeds => $seeds, moves => $self->{moves}, $self->{only} ? (only => [ $self->{only} ]) : (),
		map { defined $self->{$_} ? ($_ => $self->{$_}) : () } qw(steps server_steps without));
	my %findings = $world->run;
	my @text;

	foreach my $which (sort keys %findings)
	{
		my ($db) = grep { $_->{seed} eq $which } $world->databases;

		push @text, "world: seed $which: " . ($db ? 'database' : "server of $seeds->[0]"), map({ "  ! $_" } @{ $findings{$which} }),
		  map({ "  | $_" } $world->script($db)), $db ? map({ "  > $_" } split /\n/, $db->{dump} // '') : ();
		push @text, "  again: MF_WORLD_SEED=$seeds->[0] MF_WORLD_SEEDS=" . @$seeds . " MF_WORLD_WIDTH=$self->{width} MF_WORLD_MOVES=$self->{moves}"
		  . ($db ? " MF_WORLD_ONLY=$which" : '') . " SUITES=tap TESTS=t/042_world.pl make check";
		push @text, "  moves of the server:", map { "  | $_" } $world->script if $db;
	}
	if ($self->{show} && !%findings)
	{
		push @text, map { my $db = $_; "seed $db->{seed}:", map { "  | $_" } $world->script($db) } $world->databases;
		push @text, map { "  | $_" } $world->script;
		open my $show, '>>', "$PostgreSQL::Test::Utils::log_path/world.txt" or die;
		print $show map { "$_\n" } splice @text;
	}
	my $books = $world->{books} // {};

	return { findings => \@text, line => sprintf('seeds %s-%s: %d statements, set up %.1f s, played %.1f s, said why %.1f s, settled %.1f s, paid %.1f s, in all %.1f s; %s',
			@$seeds[ 0, -1 ], $world->{statements}, ($world->{begun} // $start) - $start, map({ $_->[0] && $_->[1] ? $_->[0] - $_->[1] : 0 }
				[ $world->{played}, $world->{begun} ], [ $books->{said}, $world->{played} ], [ $books->{settled}, $books->{said} ], [ $books->{paid}, $books->{settled} ]),
			time - $start, %findings ? 'FOUND: ' . join ' ', sort keys %findings : 'well') };
}

1;
