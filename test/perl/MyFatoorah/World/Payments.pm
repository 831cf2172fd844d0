# What customers do, and how the news of it travels: webhooks are lost, doubled, reordered, and come with another account's
# name on them.
package MyFatoorah::World::Payments;

use strict;
use warnings;

use JSON::PP ();
use MyFatoorah::Cluster;

sub moves
{
	return (
		{ name => 'customers pay', weight => 5, draw => sub { ($_[0]->(6), 2 + $_[0]->(4), $_[0]->(4)) }, play => sub {
			my ($db, $kind, $n, $rest) = @_;
			my ($action, $order) = @{ ([ 'pay' ], [ 'pay' ], [ 'pay', { gateway => 'CARD' } ], [ 'fail', { error_code => 'MF004' } ], [ 'cancel' ], [ 'refund' ])[$kind] };
			my $count = 0;

			foreach my $invoice ($db->world->remote($db->prefix))
			{
				next unless $invoice->{id} % $n == $rest % $n && $count++ < 5;
				# what is impossible is refused
				eval { $db->sandbox->invoice($invoice->{id}, $action, $order) };
			}
		} },
		{ name => 'webhooks', weight => 5, draw => sub { ($_[0]->(5), $_[0]->(3)) }, play => sub {
			my ($db, $kind, $also) = @_;
			my @new = $db->world->webhooks($db->prefix);

			# all, none, twice, backwards, half
			@new = () if $kind == 1;
			@new = (@new, @new) if $kind == 2;
			@new = reverse @new if $kind == 3;
			@new = @new[ grep { $_ % 2 } 0 .. $#new ] if $kind == 4;
			splice @new, 20;
			$db->sql(MyFatoorah::Cluster->webhook($_) =~ s/;$//r, 'postgres') for @new;
		} },
		{ name => 'callbacks', weight => 2, draw => sub { 2 + $_[0]->(3) }, play => sub {
			my ($db, $n) = @_;
			my @tries = map { @{ $_->{payments} } } $db->world->remote($db->prefix);

			$db->sql("SELECT mf_callback('$tries[$_]')") for grep { $_ % $n == 0 && $_ < 15 } 0 .. $#tries;
		} },
		{ name => 'refresh', weight => 2, draw => sub { ($_[0]->(2), 2 + $_[0]->(3)) }, play => sub {
			my ($db, $who, $n) = @_;

			$db->sql("SELECT mf_refresh(id) FROM mf_invoice WHERE status = 'sent' AND id % $n = 0", $who ? 'operator' : 'postgres');
		} },
		{ name => 'answers lag', weight => 1, draw => sub { 1 + $_[0]->(3) }, play => sub { $_[0]->sandbox->lag(reads => $_[1]); } });
}

1;
