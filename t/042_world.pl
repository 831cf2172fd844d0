# The world's moves, drawn at random: databases whose servers, roles, mappings, keys, schemas, columns, constraints, triggers
# and indexes come and go, that are renamed, copied, replicated and restored, while the API answers anything, customers pay,
# news is lost, and the server is stopped in all ways. Then the faults stop, and the books must balance.
#
# MF_WORLD_SEED       first seed (1); a database each
# MF_WORLD_SEEDS      how many (8; make chaos: 1,000)
# MF_WORLD_WIDTH      databases of one server (8): a server's own moves come from the first seed of them
# MF_WORLD_JOBS       servers at a time (2)
# MF_WORLD_MOVES      moves of a database (40)
# MF_WORLD_ONLY       of the seeds only this one, with the server's moves as they were
# MF_WORLD_STEPS      of its moves only these: "1-10 13"; MF_WORLD_SERVER_STEPS of those of the server; 0: none
# MF_WORLD_WITHOUT    moves of these names (a regular expression) are passed over
# MF_WORLD_PATIENCE   how many times as long as usual answers and settling may take (1), for a machine that is busy
# MF_WORLD_SHOW=1     prints all moves, also when nothing was found
use MyFatoorah::Test;
use MyFatoorah::World;
use MyFatoorah::World::Runs;

my $runs = MyFatoorah::World::Runs->new(
	first => $ENV{MF_WORLD_SEED} || 1, seeds => $ENV{MF_WORLD_SEEDS} || 8, width => $ENV{MF_WORLD_WIDTH} || 8, jobs => $ENV{MF_WORLD_JOBS} || 2,
	moves => $ENV{MF_WORLD_MOVES} || 40, only => $ENV{MF_WORLD_ONLY}, steps => $ENV{MF_WORLD_STEPS}, server_steps => $ENV{MF_WORLD_SERVER_STEPS},
	without => $ENV{MF_WORLD_WITHOUT}, show => $ENV{MF_WORLD_SHOW});

is_deeply(MyFatoorah::World::Plan->database(7, 40), MyFatoorah::World::Plan->database(7, 40), 'a seed means the same moves each time');

$runs->each(sub {
	my ($result) = @_;

	ok(!@{ $result->{findings} }, "seeds $result->{name}: the books balance") or diag join "\n", @{ $result->{findings} };
	diag "world: $result->{line}";
});
done_testing();
