# What happens to accounts: servers, roles, user mappings and key files are renamed, dropped, made again, wrong, gone.
package MyFatoorah::World::Accounts;

use strict;
use warnings;

# Options of every server of the world: small times, so that a run is short
my $options = q{country 'KWT', environment 'test', connect_timeout '300ms', timeout '800ms', own_mappings 'on'};

# setup(db): SQL that makes server and mappings of an account
sub server
{
	my ($db, $name) = @_;
	my $url = $db->sandbox->url;

	return qq{CREATE SERVER "$name" FOREIGN DATA WRAPPER myfatoorah OPTIONS ($options, base_url '$url'); }
	  . qq{GRANT USAGE ON FOREIGN SERVER "$name" TO myfatoorah_submit; };
}

sub mapping
{
	my ($db, $name, $for) = @_;
	my $file = 'w' . $db->{seed} . '.' . ($for eq 'PUBLIC' ? 'public' : 'clerk') . '.key';

	return qq{CREATE USER MAPPING IF NOT EXISTS FOR $for SERVER "$name" OPTIONS (api_key_file '$file'); };
}

# Both people's mappings; only the default account has one for the clerk
sub mappings
{
	my ($db, $name) = @_;

	return mapping($db, $name, 'PUBLIC') . ($name eq 'myfatoorah' ? mapping($db, $name, '"' . $db->role('clerk') . '"') : '');
}

# Where the clerk is gone, its mapping is made with the role
sub mend_mappings
{
	my ($db, $name) = @_;

	my $answer = $db->insist(mapping($db, $name, 'PUBLIC'));

	$db->insist(mapping($db, $name, '"' . $db->role('clerk') . '"')) if $name eq 'myfatoorah';
	return $answer;
}

sub _make
{
	my ($db, $name) = @_;

	my $answer = $db->insist(server($db, $name));

	return $answer->{state} =~ /^(?:00000|42710)$/ ? mend_mappings($db, $name) : $answer;
}

my $draw_account = sub { return $_[0]->(3) ? 0 : $_[0]->($_[1]{accounts}); };

sub moves
{
	return (
		{ name => 'server renamed', weight => 3, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my $name = $db->account($n);

			return unless $db->ok(qq{ALTER SERVER "$name" RENAME TO "renamed $name"});
			$db->broken("server $name", sub {
				return $db->insist(qq{ALTER SERVER "renamed $name" RENAME TO "$name"})->{state} eq '00000' ? undef : _make($db, $name);
			});
		} },
		{ name => 'server named as before', weight => 3, draw => $draw_account, play => sub { $_[0]->mend('server ' . $_[0]->account($_[1])); } },
		{ name => 'server dropped', weight => 2, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my $name = $db->account($n);

			return unless $db->ok(qq{DROP SERVER "$name" CASCADE});
			$db->broken("server $name", sub { _make($db, $name) });
		} },
		{ name => 'server dropped and made again', weight => 2, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my $name = $db->account($n);

			$db->sql(qq{BEGIN; DROP SERVER "$name" CASCADE; } . server($db, $name) . mappings($db, $name) . 'COMMIT');
			$db->sql('ROLLBACK');
		} },
		{ name => 'server options', weight => 4, draw => sub { ($_[0]->($_[1]{accounts}), $_[0]->(5), 1 + $_[0]->(20)) }, play => sub {
			my ($db, $n, $option, $value) = @_;
			my $name = $db->account($n);
			my $set = (qw(max_in_flight rate_limit max_in_flight timeout connect_timeout))[$option];

			$value = $value * 20 + 400 . 'ms' if $set =~ /timeout/;
			$value *= 5 if $set eq 'rate_limit';
			$db->ok(qq{ALTER SERVER "$name" OPTIONS (SET $set '$value')}) or $db->sql(qq{ALTER SERVER "$name" OPTIONS (ADD $set '$value')});
		} },
		{ name => 'API away', weight => 2, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my $name = $db->account($n);
			my $url = $db->sandbox->url;

			return unless $db->ok(qq{ALTER SERVER "$name" OPTIONS (SET base_url 'http://127.0.0.1:9')});
			$db->broken("url $name", sub { $db->insist(qq{ALTER SERVER "$name" OPTIONS (SET base_url '$url')}) });
		} },
		{ name => 'API back', weight => 3, draw => $draw_account, play => sub { $_[0]->mend('url ' . $_[0]->account($_[1])); } },
		{ name => 'mapping dropped', weight => 2, draw => sub { ($draw_account->(@_), $_[0]->(2)) }, play => sub {
			my ($db, $n, $clerk) = @_;
			my $name = $db->account($n);
			my $for = $clerk ? '"' . $db->role('clerk') . '"' : 'PUBLIC';

			return unless $db->ok(qq{DROP USER MAPPING FOR $for SERVER "$name"});

			# from now on PUBLIC's counts for the clerk too
			$db->state->{any_key} = 1 if $clerk;
			$db->broken("mapping $name", sub { mend_mappings($db, $name) });
		} },
		{ name => 'mapping made', weight => 3, draw => $draw_account, play => sub {
			my ($db, $n) = @_;

			$db->sql(mappings($db, $db->account($n)));
		} },
		{ name => 'mapping of a passer-by', weight => 2, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my ($name, $role) = ($db->account($n), $db->role('operator'));

			$db->sql(qq{CREATE USER MAPPING FOR "$role" SERVER "$name"; DROP USER MAPPING FOR "$role" SERVER "$name"});
		} },
		{ name => 'key', weight => 5, draw => sub { ($_[0]->(2), $_[0]->(5)) }, play => sub {
			my ($db, $clerk, $kind) = @_;
			my $who = $clerk ? 'clerk' : 'public';
			my $key = $db->world->key($who);

			# right, gone, wrong, one letter, right again but readable by others
			$db->key_file($who, ($key, undef, 'SK_KWT_wrong_key', 'k', $key)[$kind]);
			chmod 0644, $db->node->data_dir . "/w$db->{seed}.$who.key" if $kind == 4;
			$db->broken("key $who", sub { $db->key_file($who, $key) });
		} },
		{ name => 'right key', weight => 4, draw => sub { (qw(public clerk))[ $_[0]->(2) ] }, play => sub { $_[0]->mend("key $_[1]"); } },
		{ name => 'role renamed', weight => 3, play => sub {
			my ($db) = @_;
			my $old = $db->role('clerk');
			my $new = $old =~ /_x$/ ? $old =~ s/_x$//r : "${old}_x";

			$db->state->{role_clerk} = $new if $db->ok(qq{ALTER ROLE "$old" RENAME TO "$new"});
			$db->forget_sessions('clerk');
			$db->broken('role clerk', sub {
				my $clerk = $db->clerk;

				$db->insist(qq{ALTER ROLE "${clerk}_x" RENAME TO "$clerk"}) if $db->role('clerk') ne $clerk;
				$db->state->{role_clerk} = $clerk;
				$db->forget_sessions('clerk');
			});
		} },
		{ name => 'role dropped', weight => 1, play => sub {
			my ($db) = @_;
			my $role = $db->role('clerk');

			return unless $db->ok(qq{BEGIN; DROP OWNED BY "$role"; DROP USER MAPPING IF EXISTS FOR "$role" SERVER myfatoorah; DROP ROLE "$role"; COMMIT});
			$db->forget_sessions('clerk');

			# what the clerk had inserted has no key any more, and the one made again is somebody else
			$db->state->{role_dropped} = 1;
			$db->broken('role made', sub {
				$db->must(qq{CREATE ROLE "$role"; GRANT myfatoorah_submit TO "$role"});

				# the server may still have another name
				$db->insist(mappings($db, 'myfatoorah'));
				$db->forget_sessions('clerk');
			});
		} },
		{ name => 'usage taken', weight => 1, draw => $draw_account, play => sub {
			my ($db, $n) = @_;
			my $name = $db->account($n);

			return unless $db->ok(qq{REVOKE USAGE ON FOREIGN SERVER "$name" FROM myfatoorah_submit});
			$db->broken("usage $name", sub { $db->insist(qq{GRANT USAGE ON FOREIGN SERVER "$name" TO myfatoorah_submit}) });
		} },
		{ name => 'clerk is no clerk', weight => 1, play => sub {
			my ($db) = @_;
			my $role = $db->role('clerk');

			return unless $db->ok(qq{REVOKE myfatoorah_submit FROM "$role"});
			$db->broken('clerk', sub { $db->insist('GRANT myfatoorah_submit TO "' . $db->role('clerk') . '"') });
		} });
}

1;
