# Support for the TAP tests: use MyFatoorah::Test brings in a stand-in API per test (MyFatoorah::Sandbox), servers that
# are set up for the extension (MyFatoorah::Cluster), and PostgreSQL's own test modules.
#
#   use MyFatoorah::Test qw(sql);
#   my $sandbox = MyFatoorah::Sandbox->new;
#   my $node = MyFatoorah::Cluster->new_node('main');
#   MyFatoorah::Cluster->setup_account($node, 'postgres', $sandbox);
#   sql("INSERT INTO mf_invoice (...) VALUES (...)");
#   ok($sandbox->wait_count({ path => '/v2/SendPayment' }, 1), 'the invoice was sent');
#   done_testing();
#
# Nothing here sleeps for a fixed time: tests wait for the row (MyFatoorah::Cluster->wait_for), for a line in the
# server's log ($node->wait_for_log) or for the sandbox's ledger (wait_count).
package MyFatoorah::Test;

use strict;
use warnings;

use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use MyFatoorah::Browser;
use MyFatoorah::Listener;
use MyFatoorah::Sandbox;
use MyFatoorah::Cluster;
use MyFatoorah::Merchant;
use MyFatoorah::Web;

# sql(query) and wait_for(query, expected), for tests that name them: safe_psql() and MyFatoorah::Cluster->wait_for() in the
# database postgres of their first server. ask(node, dbname) names another server, or another of its databases, for the calls
# that follow.
my ($asked_node, $asked_db) = (undef, 'postgres');

sub ask
{
	my ($node, $dbname) = @_;

	($asked_node, $asked_db) = ($node, $dbname // 'postgres');
	return $node;
}

sub sql
{
	return ($asked_node // $MyFatoorah::Cluster::first_node)->safe_psql($asked_db, @_);
}

sub wait_for
{
	return MyFatoorah::Cluster->wait_for($asked_node // $MyFatoorah::Cluster::first_node, $asked_db, @_);
}

# as(role, statement): what that role gets: "ok" and the result, or the SQLSTATE and message of the error, with N for the
# number of an invoice
sub as
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = ($asked_node // $MyFatoorah::Cluster::first_node)->psql($asked_db, "\\set VERBOSITY verbose\nSET ROLE $role;\n$sql");

	return $code == 0 && $err !~ /ERROR/ ? "ok $out" : $err =~ /ERROR: +(.*)/ ? $1 =~ s/\binvoice \d+/invoice N/r : "? $err";
}

# attempted(statement, role): what comes of it, in a session of that role if one is given: ok; out, its result; error, "SQLSTATE:
# message"; the other fields of what it says by their names, such as HINT and "COLUMN NAME"; said, all of that
sub attempted
{
	my ($sql, $role) = @_;
	my ($code, $out, $said) = ($asked_node // $MyFatoorah::Cluster::first_node)
	  ->psql($asked_db, ($role ? "SET SESSION AUTHORIZATION $role; " : '') . $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my %got = (ok => $code == 0 && $said !~ /ERROR/, out => $out, said => $said, error => join ': ', $said =~ /ERROR:  (\w{5}): (.*)/);

	$got{$1} //= $2 while $said =~ /^([A-Z]+(?: NAME)?):  (.*)/mg;
	return \%got;
}

# refund(invoice, value) asks for a refund, and returns its id; wait_refund(refund, status) waits until it has that status
sub refund
{
	my ($invoice, $value) = @_;

	return sql("INSERT INTO mf_refund (invoice, value) VALUES ($invoice, $value) RETURNING id");
}

sub wait_refund
{
	my ($refund, $status) = @_;

	return wait_for("SELECT status FROM mf_refund WHERE id = $refund", $status);
}

# The test gets Test::More and PostgreSQL::Test::Utils too, and strict and warnings.
sub import
{
	my ($class, @names) = @_;
	my $test = caller;

	no strict 'refs';
	*{"${test}::$_"} = \&$_ foreach @names;
	use strict 'refs';
	strict->import;
	warnings->import;
	Test::More->export_to_level(1, $test);
	# It has Exporter's import but is no Exporter, so it exports to the package that calls it.
	eval "package $test; PostgreSQL::Test::Utils->import; 1" or die $@;
	return;
}

1;
