# PostgreSQL servers set up for the extension, on top of PostgreSQL::Test::Cluster. All are class methods.
package MyFatoorah::Cluster;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# new_node(name, preload => 1, start => 1, conf => "...", init => { allows_streaming => 1 }): a new server with the
# extension preloaded, started unless told otherwise; conf is added to postgresql.conf, init goes to init()
sub new_node
{
	my ($class, $name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%{ $params{init} // {} });
	$node->append_conf('postgresql.conf', $class->settings(%params));
	$node->start if $params{start} // 1;
	return $node;
}

# settings(preload => 1, conf => "..."): lines for postgresql.conf, for servers made another way (a standby, say)
sub settings
{
	my ($class, %params) = @_;

	return join "\n",
	  ($params{preload} // 1 ? "shared_preload_libraries = 'myfatoorah'" : ()),
	  'max_worker_processes = 32',
	  'max_connections = 60',
	  'max_prepared_transactions = 10',
	  'restart_after_crash = on',
	  'log_min_messages = debug1',
	  "log_line_prefix = '%m [%p] %b %q%a %d '",
	  $params{conf} // (), '';
}

# write_key(node, key, name): a key file in the data directory that only the server can read
sub write_key
{
	my ($class, $node, $key, $name) = @_;
	my $path = $node->data_dir . '/' . ($name // 'myfatoorah.key');

	my $umask = umask 0077;

	open my $file, '>', $path or die "could not write $path: $!\n";
	print $file "$key\n";
	close $file;
	umask $umask;
	chmod 0600, $path;
	return $path;
}

# setup_account(node, dbname, sandbox, account => 'myfatoorah', options => { timeout => ... }): the extension and an
# account at the sandbox, with the key in a file; options are added to those of the server
sub setup_account
{
	my ($class, $node, $dbname, $sandbox, %params) = @_;
	my $account = $params{account} // 'myfatoorah';
	my %options = (
		country => 'KWT',
		environment => 'test',
		base_url => $sandbox->url,
		%{ $params{options} // {} });
	my $options = join ', ', map { "$_ '" . ($options{$_} =~ s/'/''/gr) . "'" } sort keys %options;

	$class->write_key($node, $sandbox->key, "$account.key");
	$node->safe_psql(
		$dbname, qq{
		CREATE EXTENSION IF NOT EXISTS myfatoorah;
		CREATE SERVER "$account" FOREIGN DATA WRAPPER myfatoorah OPTIONS ($options);
		CREATE USER MAPPING FOR PUBLIC SERVER "$account" OPTIONS (api_key_file '$account.key');
	});
	return;
}

# wait_for(node, dbname, query, expected): waits until the query gives the answer ('t' unless told otherwise); dies with
# what it gave last
sub wait_for
{
	my ($class, $node, $dbname, $query, $expected) = @_;

	$expected //= 't';
	$node->poll_query_until($dbname, $query, $expected)
	  or die "waited in vain for '$expected' from: $query\n";
	return 1;
}

1;
