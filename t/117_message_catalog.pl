# Messages are in the language of the session, where the server has any: by a catalog of the extension's own, whatever the locale of the database.
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $locale = 'ar_KW.UTF-8';
my $directory = PostgreSQL::Test::Utils::tempdir('locale');
my ($configured, $catalogs, $version) = map { (run_command([ 'pg_config', $_ ]))[0] } '--configure', '--localedir', '--version';
my ($major) = $version =~ /(\d+)/;

plan skip_all => 'the server was built without native language support' if $configured !~ /--enable-nls/;
plan skip_all => 'the extension was built without msgfmt (Debian package gettext)' if !-e "$catalogs/ar/LC_MESSAGES/myfatoorah-$major.mo";
plan skip_all => 'there are no sources of locales for localedef (Debian package locales)'
  if !-e '/usr/share/i18n/locales/ar_KW' || system("localedef -i ar_KW -f UTF-8 '$directory/$locale' >/dev/null 2>&1") > 256;
plan skip_all => 'localedef has made no locale' if !-d "$directory/$locale";

$ENV{LOCPATH} = $directory;
my $node = $mf->new_node('main', conf => 'myfatoorah.worker_enabled = off');

$node->safe_psql('postgres', q{CREATE DATABASE plain ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('postgres', qq{CREATE DATABASE arabic ENCODING 'UTF8' LC_COLLATE '$locale' LC_CTYPE '$locale' TEMPLATE template0});

# attempt(database, value, statement before it): what an INSERT of that value says
sub attempt
{
	my ($db, $value, $before) = @_;
	my (undef, undef, $error) = $node->psql($db, "$before; INSERT INTO mf_invoice (customer_name, invoice_value) VALUES ('Noura', $value)");

	return $error =~ s/^psql:\S+ ERROR: +//r =~ s/\n.*//sr;
}

for my $db ('plain', 'arabic')
{
	$node->safe_psql($db, q{CREATE EXTENSION myfatoorah; CREATE SERVER myfatoorah FOREIGN DATA WRAPPER myfatoorah OPTIONS (country 'KWT', base_url 'http://127.0.0.1:9')});
	is(attempt($db, '0', "SET lc_messages = 'C'"), 'invoice_value must be greater than zero', "$db: in English");
	like(attempt($db, '0', "SET lc_messages = '$locale'"), qr/يجب أن تكون قيمة invoice_value أكبر من صفر$/, "$db: in Arabic");
	like(attempt($db, '1.23456', "SET lc_messages = '$locale'"), qr/عدد المنازل العشرية في invoice_value أكثر من 3$/, "$db: with a value in it");
	like(attempt($db, 'NULL', "SET lc_messages = '$locale'"), qr/يجب ألا تكون قيمة invoice_value هي null$/, "$db: another");
}

# The file that translators begin with
SKIP:
{
	skip 'there is no xgettext (Debian package gettext)', 2 if system('command -v xgettext >/dev/null') != 0;
	my $out = "$directory/pot";

	mkdir $out;
	system("cp -R Makefile nls.mk po src myfatoorah.control '$out'") == 0 or die 'could not copy the sources';
	is(system("make -s -C '$out' init-po >'$out/log' 2>&1"), 0, 'make init-po');
	my $pot = slurp_file("$out/po/myfatoorah.pot");
	my %known = map { $_ => 1 } $pot =~ /^msgid (".+")$/mg;
	my @lost = grep { !$known{$_} } slurp_file("$out/po/ar.po") =~ /^msgid (".+")$/mg;

	is(join("\n", @lost), '', 'what is translated is still said');
}

$node->stop;
done_testing();
