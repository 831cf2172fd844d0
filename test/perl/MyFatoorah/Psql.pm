# A psql that stays, and goes on after errors. It is what PostgreSQL::Test::BackgroundPsql is, which early minor versions of
# PostgreSQL 14 and 15 lack, and which keeps or drops the errors of earlier queries as its version has it. {stderr} holds
# all errors and notices since it was emptied last.
package MyFatoorah::Psql;

use strict;
use warnings;

use IPC::Run ();
use Test::More ();
use MyFatoorah::Sandbox;

# new(connstr, extra_params => [ '-U', 'somebody' ]): connects; dies if that fails
sub new
{
	my ($class, $connstr, %params) = @_;
	my $self = bless { stdin => '', stdout => '', stderr => '', queries => 0, timeout => IPC::Run::timeout(MyFatoorah::Sandbox::time_limit()) }, $class;

	$self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $connstr, '-f', '-', '-v', 'ON_ERROR_STOP=0', @{ $params{extra_params} // [] } ],
		'<', \$self->{stdin}, '>', \$self->{stdout}, '2>', \$self->{stderr}, $self->{timeout});
	$self->ask('');
	return $self;
}

# query(sql): its result, without the last newline; ask(sql) leaves no note of it
sub query
{
	my ($self, $sql) = @_;

	Test::More::note('query ' . ($self->{queries} + 1) . ": $sql");
	my $result = $self->ask($sql);
	Test::More::note("result: $result\nerrors: $self->{stderr}");
	return $result;
}

sub ask
{
	my ($self, $sql) = @_;
	my $end = 'end of query ' . ++$self->{queries};

	# the end of both, since one may be read long before the other; the semicolon is for an SQL without one
	$self->_pump("$sql\n;\n\\echo '$end'\n\\warn '$end'\n", sub { $self->{stdout} =~ /^$end\n/m && $self->{stderr} =~ /^$end\n/m });
	s/^$end\n//m for @{$self}{qw(stdout stderr)};
	my $result = $self->{stdout} =~ s/\n\z//r;
	$self->{stdout} = '';
	return $result;
}

# query_safe(sql): the same; dies if there is an error or a notice
sub query_safe
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);

	die "query failed: $self->{stderr}" if $self->{stderr} ne '';
	return $result;
}

# query_until(regexp, input): what has come once the output matches; the input is sent as it is, and may go on running
sub query_until
{
	my ($self, $until, $input) = @_;

	$self->_pump($input, sub { $self->{stdout} =~ $until });
	my $result = $self->{stdout};
	$self->{stdout} = '';
	return $result;
}

# quit(): waits for the end of what runs, too
sub quit
{
	my ($self) = @_;

	$self->{timeout}->start(MyFatoorah::Sandbox::time_limit());
	$self->{stdin} .= "\\q\n";
	return $self->{run}->finish;
}

# Hands the input to psql, and reads until the condition holds; dies if psql ends, or if it takes too long
sub _pump
{
	my ($self, $input, $condition) = @_;

	$self->{timeout}->start(MyFatoorah::Sandbox::time_limit());
	$self->{stdin} .= $input;
	$self->{run}->pump until $condition->();
	return;
}

1;
