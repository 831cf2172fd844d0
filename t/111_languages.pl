# The examples of docs/languages.md, each run as it stands there where its library is installed: they make an invoice, a second run
# makes no other, and the error tells the column. MF_NODE_PATH is where the package pg is, if it is not where node looks by itself.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main', conf => "listen_addresses = '127.0.0.1'");
my ($top) = grep { -e "$_/docs" } '.', $ENV{PWD};
my $text = slurp_file("$top/docs/languages.md");
my $dir = PostgreSQL::Test::Utils::tempdir('languages');
my ($jar) = grep { -e $_ } '/usr/share/java/postgresql.jar';

# psycopg gives bytes where the server knows no encoding
$node->safe_psql('postgres', q{CREATE DATABASE shop ENCODING 'UTF8' TEMPLATE template0});
local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)} = ('127.0.0.1', $node->port, $node->safe_psql('postgres', 'SELECT current_user'), 'shop');
$ENV{NODE_PATH} = $ENV{MF_NODE_PATH} if defined $ENV{MF_NODE_PATH};

# heading, language, name of the file, whether it can be run, how
my @examples = (
	[ 'node-postgres', 'js', 'invoice.mjs', [ 'node', '-e', 'require("pg")' ], ['node'] ],
	[ 'psycopg', 'python', 'psycopg_invoice.py', [ '/usr/bin/python3', '-c', 'import psycopg' ], ['/usr/bin/python3'] ],
	[ 'SQLAlchemy', 'python', 'sqlalchemy_invoice.py', [ '/usr/bin/python3', '-c', 'import sqlalchemy, psycopg2' ], ['/usr/bin/python3'] ],
	[ 'Django', 'python', 'django_invoice.py', [ '/usr/bin/python3', '-c', 'import django, psycopg2' ], ['/usr/bin/python3'] ],
	[ 'JDBC', 'java', 'Invoice.java', [ 'java', '--class-path', $jar // 'no postgresql.jar', '--version' ], [ 'java', '--class-path', $jar // '' ] ]);

sub run_quietly
{
	my ($out, $err) = ('', '');
	my $done = eval { IPC::Run::run([@_], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(MyFatoorah::Sandbox::time_limit())) };

	return (defined $done && $? == 0, $out, $@ || $err);
}

$mf->setup_account($node, 'shop', $sandbox);
$mf->wait_worker($node, 'shop');

for my $example (@examples)
{
	my ($heading, $language, $file, $probe, $command) = @$example;

  SKIP: {
		my ($can, undef, $why) = $heading eq 'JDBC' && !defined $jar ? (0, '', 'postgresql.jar is not installed') : run_quietly(@$probe);

		skip "$heading cannot be run here: " . (grep { /\S/ } split /\n/, $why || 'it fails')[-1], 4 unless $can;
		my ($code) = $text =~ /^## \Q$heading\E\n.*?^```$language\n(.*?)^```/ms;

		# modules are looked for by NODE_PATH only if they are required
		$code =~ s/^import pg from 'pg';/import { createRequire } from 'module';\nconst pg = createRequire(import.meta.url)('pg');/m;
		append_to_file("$dir/$file", $code);
		for my $run (1, 2)
		{
			my ($ok, $out, $err) = run_quietly(@$command, "$dir/$file");

			ok($ok, "$heading: run $run") or diag $err;
			like($out, qr{\Asent http://127\.0\.0\.1:\d+/\S+\nrefused: 22023 invoice_value invoice_value must be .*\n\z}, 'is sent, shows its link, and tells the column of an error');
		}
		is($node->safe_psql('shop', q{SELECT count(*), min(invoice_value), min(metadata::text), min(invoice_items->0->>'ItemName') FROM mf_invoice WHERE idempotency_key LIKE 'rent 2026-01, flat B7, %'}),
			'1|250.000|{"flat": "B7"}|Rent', 'one invoice, with its values');
		$node->safe_psql('shop', q{DELETE FROM mf_invoice});
	}
}

is(join(' ', sort map { $_->[0] } @examples), join(' ', sort grep { !/^(?:What|Prisma|PostgREST)/ } $text =~ /^## (.*)$/mg), 'every example that can be run is');
$node->stop;
done_testing();
