# What will happen in a world, drawn from a seed before anything does: no choice depends on time or on what has happened,
# so a seed always means the same moves. A database's plan depends on its own seed only, the server's on the first one.
package MyFatoorah::World::Plan;

use strict;
use warnings;

use MyFatoorah::Chaos;
use MyFatoorah::World::Accounts;
use MyFatoorah::World::Answers;
use MyFatoorah::World::Cluster;
use MyFatoorah::World::Payments;
use MyFatoorah::World::Rows;
use MyFatoorah::World::Schema;
use MyFatoorah::World::Upkeep;

# A rule for the stand-in about the rows of a database
sub _fault
{
	my ($name, $weight, $draw) = @_;

	return { name => $name, weight => $weight, draw => sub {
		my ($pick, $m) = @_;

		return { %{ MyFatoorah::World::Answers->$draw($pick, $m) }, times => 1 + $pick->(3), skip => $pick->(4) };
	}, play => sub { $_[0]->fault(%{ $_[1] }); } };
}

my @answers = (_fault('any answer', 12, 'answer'), _fault('broken wire', 8, 'wire'), _fault('odd look-up', 3, 'lookup'));

# table: all moves of a database, by what they are about; server: those of the whole server
my %table = (
	rows => [ MyFatoorah::World::Rows->moves ],
	answers => \@answers,
	accounts => [ MyFatoorah::World::Accounts->moves ],
	schema => [ MyFatoorah::World::Schema->moves ],
	upkeep => [ MyFatoorah::World::Upkeep->moves ],
	payments => [ MyFatoorah::World::Payments->moves ]);
my %server = (server => [ MyFatoorah::World::Cluster->moves ]);
my %by_name = map { $_->{name} => $_ } map { @$_ } values %table, values %server;
my @deck = _deck(\%table);
my @server_deck = _deck(\%server);

sub _deck
{
	my ($of) = @_;

	return map { my $move = $_; ($move) x $move->{weight} } map { @{ $of->{$_} } } sort keys %$of;
}

# move(name)
sub move { return $by_name{ $_[1] }; }

# names: of all moves, by what they are about
sub names
{
	return map { my $kind = $_; map { "$kind: $_->{name}" } @{ $table{$kind} // $server{$kind} } } sort keys %table, keys %server;
}

# database(seed, moves): the plan of one database: its accounts, where its tables are, and its steps, each a name and
# its arguments
sub database
{
	my ($class, $seed, $moves) = @_;
	my $pick = _pick($seed * 2 + 1);
	my $size = $pick->(100);
	my %plan = (
		accounts => $size < 60 ? 1 + $pick->(3) : $size < 85 ? 10 + $pick->(20) : $size < 97 ? 50 + $pick->(150) : 2000,
		schema => $pick->(3) ? 'books' : 'public',
		steps => []);
	my %model = (rows => 0, accounts => $plan{accounts});

	# rows first, so that there is something for the world to happen to
	my @first = map { $by_name{insert} } 1 .. 3;

	# one kind of damage prevails in each seed, or every seed would be as good as any other
	my @kinds = sort keys %table;
	my $favourite = $kinds[ $pick->(scalar @kinds) ];
	my @favourites = _deck({ $favourite => $table{$favourite} });

	for (1 .. $moves)
	{
		my $move = shift @first // ($pick->(3) == 0 ? $favourites[ $pick->(scalar @favourites) ] : $deck[ $pick->(scalar @deck) ]);

		push @{ $plan{steps} }, _step($move, $pick, \%model);
	}
	return \%plan;
}

# server(seed, moves): the plan of the server: [ step, after which step of the databases ]
sub server
{
	my ($class, $seed, $moves) = @_;
	my $pick = _pick($seed * 2);
	my @steps;

	for (1 .. 1 + $pick->(4))
	{
		push @steps, { %{ _step($server_deck[ $pick->(scalar @server_deck) ], $pick, {}) }, at => $pick->($moves) };
	}
	return [ sort { $a->{at} <=> $b->{at} } @steps ];
}

sub _step
{
	my ($move, $pick, $model) = @_;

	return { name => $move->{name}, args => [ $move->{draw} ? $move->{draw}->($pick, $model) : () ] };
}

# Close seeds begin alike, so the first numbers are thrown away.
sub _pick
{
	my ($seed) = @_;
	my $pick = MyFatoorah::Chaos->random($seed);

	$pick->() for 1 .. 8;
	return $pick;
}

1;
