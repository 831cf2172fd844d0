# QR codes are read by a reader that is not ours (zbarimg): of all sizes and levels, of addresses, Arabic and tax invoices,
# as SVG and as letters of a terminal, in databases of several encodings.
use MyFatoorah::Test qw(sql ask);

use Encode qw(decode_utf8 encode_utf8);
use MIME::Base64 qw(decode_base64);

my $mf = 'MyFatoorah::Cluster';

plan(skip_all => 'zbarimg not installed (Debian: apt-get install zbar-tools)') unless grep { -x "$_/zbarimg" } split /:/, $ENV{PATH};

my $node = $mf->new_node('main');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $read = 0;

# Rows of 0 (light) and 1 (dark): of an SVG, and of lines of blocks
sub of_svg
{
	my ($svg) = @_;
	my ($size) = $svg =~ /viewBox="0 0 (\d+) \1"/ or return [];
	my @rows = map { [ (0) x $size ] } 1 .. $size;

	while ($svg =~ /M(\d+) (\d+)h(\d+)v1h-\3z/g)
	{
		$rows[$2][$_] = 1 foreach $1 .. $1 + $3 - 1;
	}
	return [ map { join '', @$_ } @rows ];
}

sub of_blocks
{
	my ($text, $inverted) = @_;
	my @rows;

	foreach my $line (split /\n/, decode_utf8($text))
	{
		my ($upper, $lower) = ($line, $line);

		# what is drawn is light
		$upper =~ tr/ \x{2580}\x{2584}\x{2588}/1010/;
		$lower =~ tr/ \x{2580}\x{2584}\x{2588}/1100/;
		push @rows, $upper, $lower;
	}
	tr/01/10/ foreach $inverted ? @rows : ();
	pop @rows if @rows > length $rows[0];
	return \@rows;
}

# What the reader reads in a picture of it, in bytes
sub read_code
{
	my ($rows) = @_;
	my $scale = @$rows > 100 ? 3 : 4;
	my $file = "$directory/" . ++$read . '.pgm';
	my $size = $scale * @$rows;
	my ($out, $err);

	open my $picture, '>:raw', $file or die "could not write $file: $!\n";
	print $picture "P5\n$size $size\n255\n", map { (join '', map { ($_ ? "\0" : "\xff") x $scale } split //, $_) x $scale } @$rows;
	close $picture;
	IPC::Run::run([ 'zbarimg', '--quiet', '--raw', '-Sdisable', '-Sqrcode.enable', $file ], '>', \$out, '2>', \$err);
	unlink $file;
	return $out =~ s/\n\z//r;
}

# The text as the reader has it, from each format
sub ok_code
{
	my ($text, $level, $what, $version) = @_;
	my $literal = $mf->literal(encode_utf8($text));
	my ($svg, $blocks, $inverted) = map { sql("SELECT mf_qr($literal, '$_', '$level')") } qw(svg utf8 utf8i);
	my $rows = of_svg($svg);
	my $shown = read_code($rows);

	is(decode_utf8($shown), $text, "$what, level $level") or diag(scalar(@$rows) . ' modules');
	is(join("\n", @{ of_blocks($blocks) }), join("\n", @$rows), "$what, level $level: as letters");
	is(join("\n", @{ of_blocks($inverted, 1) }), join("\n", @$rows), "$what, level $level: inverted");
	return (@$rows - 8 - 17) / 4;
}

sql('CREATE EXTENSION myfatoorah_billing CASCADE');

my %versions;
my $letters = join '', map { chr(33 + $_ * 7 % 90) } 0 .. 2999;
foreach my $level (qw(L M Q H))
{
	my %most = (L => 2953, M => 2331, Q => 1663, H => 1273);

	foreach my $length (1, 14, 40, 100, 250, 600, 1200, $most{$level})
	{
		$versions{ ok_code(substr($letters, 0, $length), $level, "$length letters") } = 1 if $length <= $most{$level};
	}
	ok_code('https://pay.example.com/pay/0123456789abcdef0123456789abcdef', $level, 'an address');
}
ok($versions{1} && $versions{40}, 'of the smallest and the largest version, and ' . (keys(%versions) - 2) . ' between');
is(ok_code('0123456789' x 12, 'M', 'digits'), 4, 'digits take less room');
ok_code("\x{641}\x{627}\x{62A}\x{648}\x{631}\x{629} \x{631}\x{642}\x{645} \x{661}\x{662}\x{663}", 'M', 'Arabic');
ok_code("caf\x{e9}", 'M', 'what could be taken for Chinese');
ok_code("\x{641}" x 1160, 'M', 'much Arabic');
ok_code("caf\x{e9} \x{1f3e0} %s <&>\"'", 'Q', 'other letters');

# A tax invoice of Saudi Arabia, taken apart by somebody else
my $seller = "\x{634}\x{631}\x{643}\x{629} \x{627}\x{644}\x{646}\x{648}\x{631}";
my $zatca = sql('SELECT mf_zatca_qr(' . $mf->literal(encode_utf8($seller)) . ", '310122393500003', '2026-01-01 03:30+03', 1150, 150)");
my $bytes = decode_base64(read_code(of_svg(sql("SELECT mf_qr('$zatca', 'svg')"))));
my @fields;
while (length $bytes)
{
	my ($tag, $length) = unpack 'CC', $bytes;
	push @fields, "$tag: " . substr $bytes, 2, $length;
	substr $bytes, 0, 2 + $length, '';
}
is(decode_utf8(join '; ', @fields), "1: $seller; 2: 310122393500003; 3: 2026-01-01T00:30:00Z; 4: 1150.00; 5: 150.00", 'the code of a tax invoice');

# Other encodings: what is encoded is UTF-8
$node->safe_psql('postgres', "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
ask($node, 'latin');
sql('CREATE EXTENSION myfatoorah_billing CASCADE');
is(decode_utf8(read_code(of_svg(sql(q{SELECT mf_qr('caf' || chr(233), 'svg')})))), "caf\x{e9}", 'in a database in Latin 1');
my (undef, undef, $err) = $node->psql('latin', q{SELECT mf_qr('a')});
like($err, qr/has no equivalent in encoding "LATIN1"/, 'which has no letters for terminals');
like(sql(q{SELECT (mf_bill_page_words('paid', true)).title}), qr/^[\x20-\x7e]+$/, 'but can show pages in Arabic');

done_testing();
