# One database of the world: its sessions, what was done to it, and what has to be put right when the faults stop.
package MyFatoorah::World::Database;

use strict;
use warnings;

use MyFatoorah::Chaos;
use MyFatoorah::Cluster;
use MyFatoorah::World::Session;

# A session's own settings, whatever those of the database are; and the names that the extension's schema has in turn
my $settings = "SET statement_timeout = '8s'; SET search_path = public, books, books_a, books_b";
my $setup = join '; ', 'SET ROLE NONE', $settings, "SET lock_timeout = '300ms'",
  'SET client_min_messages = error', 'SET idle_session_timeout = 0', 'SET idle_in_transaction_session_timeout = 0', 'SET default_transaction_read_only = off',
  'SET default_transaction_isolation = "read committed"', 'SET session_replication_role = origin', 'RESET datestyle', 'SET client_encoding = UTF8',
  'SET standard_conforming_strings = on', 'SET row_security = on';

# new(world, seed, plan): plan is that of MyFatoorah::World::Plan
sub new
{
	my ($class, $world, $seed, $plan) = @_;

	return bless {
		world => $world, seed => $seed, plan => $plan, dbname => "w$seed", prefix => "w$seed-",
		result => { committed => [], uncertain => [], none => [] }, heal => {}, heals => 0, findings => [], log => [], state => {},
	}, $class;
}

sub world { return $_[0]{world}; }
sub node { return $_[0]{world}->node; }
sub sandbox { return $_[0]{world}->sandbox; }
sub prefix { return $_[0]{prefix}; }
sub dbname { return $_[0]{dbname}; }
sub state { return $_[0]{state}; }
sub clerk { return "w$_[0]{seed}_clerk"; }

# account(n): the name of an account; 0 is the default one
sub account { return $_[1] == 0 ? 'myfatoorah' : "a$_[1]"; }

# role(who): postgres, clerk or operator, by its present name
sub role
{
	my ($self, $who) = @_;

	return $who eq 'postgres' ? 'postgres' : ($self->{state}{"role_$who"} // "w$self->{seed}_$who");
}

# session(who): the session of that person
sub session
{
	my ($self, $who) = @_;

	$who //= 'postgres';
	return $self->{sessions}{$who} //= MyFatoorah::World::Session->new($self->node->connstr($self->{dbname}),
		setup => $setup . ($who eq 'postgres' || $who eq 'holder' ? '' : '; SET ROLE "' . $self->role($who) . '"'));
}

# forget_sessions(who): they begin anew
sub forget_sessions
{
	my ($self, @who) = @_;

	@who = keys %{ $self->{sessions} } unless @who;
	$_->quit for grep { $_ } delete @{ $self->{sessions} }{@who};
	return;
}

# sql(text, who, seconds): the answer of a session; what no statement may say is a finding, and so is none in these seconds
sub sql
{
	my ($self, $text, $who, $seconds) = @_;
	my $session = $self->session($who);

	# a trigger may have spoilt the session's own settings; the holder's transaction sees none of them
	$session->run($settings) if $self->{state}{spoilt} && ($who // '') ne 'holder';
	my $answer = $session->run($text, $seconds);

	$self->{world}{statements}++;
	delete $self->{sessions}{ $who // 'postgres' } if $answer->{state} =~ /^(?:lost|down|hang)$/;
	push @{ $self->{log} }, [ $text, $answer->{state}, $answer->{err} ] if $answer->{state} ne '00000';
	$self->finding("internal error: $text: $answer->{err}") if $answer->{state} =~ /^XX00[012]$/;
	$self->finding("no answer in time: $text") if $answer->{state} eq 'hang';
	return $answer;
}

# ok(text, who): whether it worked; value(text): what it gave, undef if it failed
sub ok { my ($self, @how) = @_; return $self->sql(@how)->{state} eq '00000'; }

sub value
{
	my ($self, @how) = @_;
	my $answer = $self->sql(@how);

	return $answer->{state} eq '00000' ? $answer->{out} : undef;
}

# insist(text, who, seconds): until it worked, the server may be on its way up
sub insist
{
	my ($self, $text, $who, $seconds) = @_;
	my $answer;

	MyFatoorah::Chaos->until_true($text, sub { ($answer = $self->sql($text, $who, $seconds))->{state} !~ /^(?:lost|down|57P0[123]|57014|40|55P03|55006)/ });
	return $answer;
}

# must(text): what puts the world right again has to work
sub must
{
	my ($self, $text) = @_;
	my $answer = $self->insist($text);

	$self->finding("cannot be mended: $text: $answer->{err}") if $answer->{state} ne '00000';
	return $answer;
}

# insert(names, text, who): rows of these names are inserted by it; it is noted what became of them
sub insert
{
	my ($self, $names, $text, $who) = @_;
	my $state = $self->sql($text, $who)->{state};

	$self->note($state eq '00000' ? 'committed' : $state =~ /^(?:lost|hang|57P0|08)/ ? 'uncertain' : 'none', @$names);
	return $state;
}

sub note
{
	my ($self, $word, @names) = @_;

	push @{ $self->{result}{$word} }, map { "$self->{prefix}$_" } @names;
	return;
}

# broken(key, undo): a part of the world is broken until undo is done: a statement, or a function that returns its answer
sub broken
{
	my ($self, $key, $undo) = @_;

	$self->{heal}{$key} //= { number => ++$self->{heals}, undo => $undo };
	return;
}

# mend(key): one, or all, the latest first. What cannot be put right because of something else stays broken and is tried
# again after it.
sub mend
{
	my ($self, $only) = @_;
	my $heal = $self->{heal};
	my $passes = defined $only ? 1 : 3;

	foreach my $pass (1 .. $passes)
	{
		foreach my $key (defined $only ? $only : sort { $heal->{$b}{number} <=> $heal->{$a}{number} } keys %$heal)
		{
			my $broken = delete $heal->{$key} or next;
			my $answer = ref $broken->{undo} ? $broken->{undo}->() : $self->insist($broken->{undo});

			next if ref $answer ne 'HASH' || $answer->{state} eq '00000';
			$heal->{$key} //= $broken;
			$self->finding("$key cannot be mended: $answer->{err}") if $pass == 3;
		}
	}
	return;
}

# finding(text): what contradicts the promises
sub finding
{
	my ($self, $text) = @_;

	push @{ $self->{findings} }, $text unless @{ $self->{findings} } >= 20;
	return;
}

# fault(rule): a fault of the stand-in for requests about rows of this database
sub fault
{
	my ($self, %rule) = @_;

	$self->sandbox->faults({ reference_prefix => $self->{prefix}, times => 1, %rule });
	return;
}

# key_file(name, key): a key file of this database; without a key it is removed
sub key_file
{
	my ($self, $who, $key) = @_;
	my $name = "w$self->{seed}.$who.key";

	return unlink $self->node->data_dir . "/$name" unless defined $key;
	MyFatoorah::Cluster->write_key($self->node, $key, $name);
	return $name;
}

1;
