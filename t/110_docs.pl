# What README and docs tell people to run runs: README's SQL for real, in its order; those of docs/ against invoices in the
# state that their paragraphs speak of, and undone. What they link to is there, and mf_check() has the items that they name.
use MyFatoorah::Test;

my ($mf, $web) = ('MyFatoorah::Cluster', 'MyFatoorah::Web');
my ($top) = grep { -e "$_/docs" } '.', $ENV{PWD};
my @docs = sort map { s!^\Q$top\E/!!r } glob "$top/docs/*.md";

sub read_doc
{
	my ($name) = @_;

	return slurp_file("$top/$name");
}

# blocks(name, language): the fenced blocks, each with its line
sub blocks
{
	my ($name, $language) = @_;
	my $text = read_doc($name);
	my @found;

	while ($text =~ /^```$language\n(.*?)^```/gms)
	{
		my ($block, $start) = ($1, $-[0]);

		push @found, { text => $block, at => "$name:" . (1 + (() = substr($text, 0, $start) =~ /\n/g)) };
	}
	return @found;
}

# statements(text): split where a line ends in a semicolon outside of $$
sub statements
{
	my ($text) = @_;
	my @found = ('');

	for my $line (split /\n/, $text)
	{
		$found[-1] .= "$line\n";
		push @found, '' if $line =~ /;\s*(--.*)?$/ && (() = $found[-1] =~ /\$\$/g) % 2 == 0;
	}
	return grep { /\S/ && !/\A\s*(--.*\s*)*\z/ } @found;
}

#
# Links
#
my %anchors;

# anchors(name): those of its headings, as GitHub makes them
sub anchors
{
	my ($name) = @_;

	return $anchors{$name} //= { map { lc($_) =~ s/[^\w\- ]//gr =~ tr/ /-/r => 1 } read_doc($name) =~ /^#+ +(.*?) *$/gm };
}

my @broken;
for my $name ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'sandbox/README.md', 'bench/README.md', @docs)
{
	my $text = read_doc($name) =~ s/^```.*?^```//gmsr;
	my ($directory) = $name =~ m!^(.*/)?!;

	for my $link ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($path, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $target = $path eq '' ? $name : ($directory // '') . $path;

		next if $link =~ /^\w+:/;
		1 while $target =~ s!(^|/)[^/]+/\.\./!$1!;
		push @broken, "$name: $link"
		  if !-e "$top/$target" || (defined $anchor && $target =~ /\.md$/ && !anchors($target)->{$anchor});
	}
}
is(join("\n", @broken), '', 'all links lead somewhere');

#
# Items of mf_check(): those of the source, each once
#
my %items = map { $_ => 1 } map { slurp_file($_) =~ /mf_check_report\(&?check, "(\w+)"/g } glob "$top/src/functions/self_check*.c";
my ($section) = read_doc('docs/reference.md') =~ /^## mf_check\n(.*?)^## /ms;
my ($table) = read_doc('docs/operations.md') =~ /^(\| `item` \|.*?)^\n/ms;
is(join(' ', sort grep { $_ ne 'item' } $section =~ /^\| `(\w+)` \|/gm), join(' ', sort keys %items), 'the reference has each item of mf_check()');
is(join(' ', grep { $_ ne 'item' && !$items{$_} } $table =~ /^\| `(\w+)`/gm), '', 'and operations tell what to do about such');

#
# README
#
my $sandbox = MyFatoorah::Sandbox->new;
my $node = $mf->new_node('main');
my $port = $web->free_port;

$mf->write_key($node, $sandbox->key);
$node->safe_psql('postgres', 'CREATE DATABASE shop');

sub sql { return $node->safe_psql('shop', $_[0]); }

sub pay
{
	my ($id) = @_;

	$sandbox->control('POST', 'invoices/' . sql("SELECT invoice_id FROM mf_invoice WHERE id = $id") . '/pay', { gateway => 'KNET' });
	sql("SELECT mf_refresh($id)");
	return $mf->wait_for($node, 'shop', "SELECT payment_status FROM mf_invoice WHERE id = $id", 'paid');
}

for my $block (blocks('README.md', 'sql'))
{
	# the account of the README is at MyFatoorah, ours at the stand-in
	my $text = $block->{text} =~ s/environment 'test'\)/environment 'test', base_url '@{[ $sandbox->url ]}')/r
	  =~ s!/etc/postgresql/!!r =~ s/8088/$port/r;

	# the payment that is asked about there
	if ($text =~ /mf_payment_status\('(\d+)'\)/)
	{
		my $number = $1;

		$text =~ s/$number/sql('SELECT payment_id FROM mf_invoice WHERE id = 1')/e;
	}
	pay(1) if $text =~ /mf_refresh/;
	my ($rc, $out, $err) = $node->psql('shop', $text);

	is("$rc $err", '0 ', "$block->{at} runs");
	$mf->wait_for($node, 'shop', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0) if $text =~ /^INSERT INTO mf_invoice/m;
}
# the listener comes up by itself after the setting
$mf->wait_for($node, 'shop', 'SELECT count(port) FROM mf_listener_status', 1);
is(sql(q{SELECT string_agg(item, ',') FROM mf_check() WHERE NOT ok AND item <> 'durability'}), 'webhooks', 'after it all is well, but for the secret of webhooks');
sql(q{INSERT INTO rent VALUES ('B7', 'Noura', 'noura@example.com', 300, now(), NULL)});
is(sql(q{SELECT customer_name || customer_reference FROM mf_invoice JOIN rent ON invoice = id}), 'NouraB7', "README's trigger makes an invoice of a row");

#
# What the tables of roles say is what the catalog has: names with (), and the others.
#
my %internal = map { $_ => 1 } qw(mf_worker_stat mf_listener_stat mf_progress_stat mf_invoice_visible);

sub named { return join ' ', sort keys %{ { map { $_ => 1 } @_ } }; }
sub granted { return sql("SELECT string_agg(DISTINCT o.name, ' ' ORDER BY o.name) FROM (SELECT c.relname::text COLLATE \"C\" AS name, c.relacl AS acl FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v') AND c.relname ~ '^mf_'
	UNION ALL SELECT proname, proacl FROM pg_proc WHERE proname ~ '^mf_') o, aclexplode(o.acl) a WHERE a.grantee::regrole::text = '$_[0]' AND a.privilege_type = '$_[1]'"); }

for my $role (qw(submit read operate inbound))
{
	my ($may) = read_doc('docs/reference.md') =~ /^\| `myfatoorah_$role` \| (.*)/m;

	is(named($may =~ /`(mf_\w+)\(\)`/g), named(grep { !$internal{$_} } split / /, granted("myfatoorah_$role", 'EXECUTE')), "the reference has the functions of $role");
	is(named($may =~ /`(mf_\w+)`/g), granted('myfatoorah_submit', 'SELECT'), 'and what it reads') if $role eq 'submit';
}
my ($watches) = read_doc('docs/reference.md') =~ /^\| `pg_monitor` .*?\| (.*)/m;
is(named($watches =~ /`(mf_\w+)\(\)`/g), named(grep { !$internal{$_} } split / /, granted('pg_monitor', 'EXECUTE')), 'the reference has the functions of pg_monitor');
is(named($watches =~ /`(mf_\w+)`/g), granted('pg_monitor', 'SELECT'), 'and what it reads');
my $hidden = sql(q{SELECT string_agg(relname, ' ' ORDER BY relname COLLATE "C") FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relname ~ '^mf_' AND NOT has_table_privilege('myfatoorah_read', oid, 'SELECT')});
for my $name ('docs/reference.md', 'docs/security.md')
{
	my ($but) = read_doc($name) =~ /^\| `myfatoorah_read` \| .*? but (.*?)(?:\)|\|)/m;

	is(named($but =~ /`(mf_\w+)`/g), $hidden, "$name has what read cannot read");
}

#
# docs/
#
sql('INSERT INTO mf_invoice (customer_name, invoice_value) SELECT n, n FROM generate_series(1, 20) n');
$mf->wait_for($node, 'shop', q{SELECT count(*) FROM mf_invoice WHERE status <> 'sent'}, 0);
pay(17);
$node->safe_psql('postgres', 'CREATE DATABASE name');

# The state of an invoice that a statement is about; nothing but sent where none is given
my @states = (
	[ qr/mf_retry|SET customer_email/ => q{status = 'rejected'} ],
	[ qr/invoice_id => 6893999/ => q{duplicate_suspected = true, payment_status = 'unpaid', paid_at = NULL} ],
	[ qr/'review'/ => q{payment_status = 'unpaid', base_value = NULL, invoice_id = 6893998} ],
	[ qr/mf_resolve\(17/ => q{status = 'review', invoice_id = NULL, invoice_url = NULL, sent_at = NULL} ],
	[ qr/mf_replace\(17/ => q{payment_status = 'unpaid', received_value = 0, net_value = 0, paid_at = NULL} ],
	[ qr/mf_resolve\(id/ => q{status = 'review', invoice_id = NULL, invoice_url = NULL, sent_at = NULL} ],
	[ qr/mf_cancel/ => q{status = 'queued'} ]);

# the blocks of docs/billing.md go on from each other
sub together { return { at => $_[0]{at}, text => join '', map { $_->{text} } @_ }; }

for my $block (map { $_ eq 'docs/billing.md' ? together(blocks($_, 'sql')) : blocks($_, 'sql') } @docs)
{
	my $script = '';

	for my $statement (statements($block->{text}))
	{
		my ($state) = map { $_->[1] } grep { $statement =~ $_->[0] } @states;

		$script .= "SET LOCAL session_replication_role = replica; UPDATE mf_invoice SET $state WHERE id IN (5, 17); SET LOCAL session_replication_role = origin;\n"
		  if $state;
		$script .= $statement;
	}
	my ($rc, $out, $err) = $node->psql('shop', "SET client_min_messages = warning;\nBEGIN;\n$script\nROLLBACK");

	is("$rc $err", '0 ', "$block->{at} runs");
}

$node->stop;
done_testing();
