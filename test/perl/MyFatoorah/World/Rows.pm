# What people do with rows: insert them in all ways, with everything that SendPayment can be given, cancel, retry, resolve,
# correct and delete them, pause and resume.
package MyFatoorah::World::Rows;

use strict;
use warnings;

use MyFatoorah::Chaos;

my $mail = q{'a@example.com'};

# Optional columns, as SQL; some are refused in combination, which is an error of that INSERT
my @options = (
	[ language => q{'AR'} ], [ language => q{'en'} ], [ customer_civil_id => q{'12345'} ], [ user_defined_field => q{'a "b" \\ c'} ],
	[ call_back_url => q{'http://www.example.com/back?a=1'} ], [ error_url => q{'http://www.example.com/error'} ],
	[ webhook_url => q{'https://www.example.com/hook'} ], [ customer_address => q{'{"Block":"1","Street":"2"}'} ],
	[ invoice_items => q{'[{"ItemName":"Rent","Quantity":1,"UnitPrice":1.250}]'} ], [ shipping_method => '1' ],
	[ processing_details => q{'{"AutoCapture": false}'} ], [ invoice_payment_methods => q{'{1,2}'} ], [ source_info => q{'world'} ],
	[ display_currency_iso => q{'USD'} ], [ display_currency_iso => q{'KWD'} ], [ mobile_country_code => q{'+965'} ],
	[ suppliers => q{'[{"SupplierCode":1,"ProposedShare":null,"InvoiceShare":1.250}]'} ]);

# One row: its name's number, and its columns as SQL
sub _row
{
	my ($pick, $m, $who) = @_;
	my $n = ++$m->{rows};
	my $kind = $pick->(20);
	my $notify = $kind < 12 ? 'LNK' : $kind < 17 ? 'EML' : $kind < 19 ? 'SMS' : 'ALL';
	my %c = (invoice_value => '1.250', notification_option => "'$notify'", account => $pick->($m->{accounts}));

	$c{customer_email} = $mail if $notify =~ /EML|ALL/;
	$c{customer_mobile} = q{'12345678'} if $notify =~ /SMS|ALL/;
	$c{priority} = $pick->(101) if $pick->(4) == 0;
	my $when = $pick->(20);
	my $year = 2000 + $pick->(101);
	$c{send_at} = $when < 2 ? "'2000-01-01'::timestamptz + $m->{rows} * interval '1 hour'" :
	  $when < 4 ? "clock_timestamp() + " . $pick->(30) . " * interval '0.1 s'" :
	  $when == 4 ? "'$year-02-28 23:59:59.999999+14'" : 'now()';
	$c{expiry_date} = ("'2099-12-31'", "clock_timestamp() + interval '1 day'", "clock_timestamp() + interval '1.5 s'")[ $pick->(3) ]
	  if $pick->(10) == 0;
	my $option = $options[ $pick->(scalar @options) ];

	$c{ $option->[0] } = $option->[1];
	return { n => $n . ($who eq 'clerk' ? 'c' : ''), columns => \%c };
}

sub _insert
{
	my ($db, $rows, $table) = @_;

	return join '; ', map {
		my %c = %{ $_->{columns} };

		$c{account} = "'" . $db->account($c{account}) . "'";
		$c{customer_name} = $c{customer_reference} = "'" . $db->prefix . "$_->{n}'";
		my @names = sort keys %c;
		"INSERT INTO mf_invoice (" . join(', ', @names) . ') VALUES (' . join(', ', @c{@names}) . ')';
	} @$rows;
}

sub _names { return [ map { $_->{n} } @{ $_[0] } ]; }

# Which rows a person means: some of those there are, by their numbers
sub _some
{
	my ($pick) = @_;
	my $n = 2 + $pick->(5);

	return "id % $n = " . $pick->($n);
}

my $draw_rows = sub {
	my ($pick, $m) = @_;
	my $who = $pick->(3) ? 'postgres' : 'clerk';

	return ($who, [ map { _row($pick, $m, $who) } 1 .. 1 + $pick->(5) ]);
};

# moves: the table; each draws its arguments, and plays them
sub moves
{
	return (
		{ name => 'insert', weight => 24, draw => $draw_rows, play => sub {
			my ($db, $who, $rows) = @_;

			# one by one, so that one that is refused does not take the others with it
			$db->insert([ $_->{n} ], _insert($db, [$_]), $who) for @$rows;
		} },
		{ name => 'insert in one transaction', weight => 4, draw => $draw_rows, play => sub {
			my ($db, $who, $rows) = @_;

			$db->insert(_names($rows), 'BEGIN; ' . _insert($db, $rows) . '; COMMIT', $who);
		} },
		{ name => 'insert and roll back', weight => 2, draw => $draw_rows, play => sub {
			my ($db, $who, $rows) = @_;

			$db->sql('BEGIN; ' . _insert($db, $rows) . '; ROLLBACK', $who);
			$db->note('none', @{ _names($rows) });
		} },
		{ name => 'insert, prepared', weight => 2, draw => $draw_rows, play => sub {
			my ($db, $who, $rows) = @_;
			my $gid = $db->dbname . "-$rows->[0]{n}";
			my $state = $db->sql('BEGIN; ' . _insert($db, $rows) . "; PREPARE TRANSACTION '$gid'", $who)->{state};

			$db->sql('ROLLBACK', $who);
			# it waits while other things happen
			$db->state->{prepared}{$gid} = _names($rows) if $state =~ /^(?:00000|lost)$/;
		} },
		{ name => 'decide what is prepared', weight => 2, draw => sub { $_[0]->(4) }, play => sub { decide($_[0], $_[1] > 0); } },
		{ name => 'bill from a table', weight => 4, draw => sub {
			my ($pick, $m) = @_;

			return [ map { ++$m->{rows} } 1 .. 1 + $pick->(4) ];
		}, play => sub {
			my ($db, $numbers) = @_;

			$db->insert($numbers, 'INSERT INTO rent (tenant) VALUES ' . join ', ', map { "('" . $db->prefix . "$_')" } @$numbers);
		} },
		{ name => 'move rents to another partition', weight => 1, draw => sub { $_[0]->(2) }, play => sub {
			$_[0]->sql("UPDATE rent SET month = $_[1]");
		} },
		{ name => 'direct call', weight => 3, draw => sub {
			my ($pick, $m) = @_;

			return ($pick->(2) ? 'postgres' : 'clerk', $pick->($m->{accounts}), map { 'd' . ++$m->{direct} } 1 .. 1 + $pick->(3));
		}, play => sub {
			my ($db, $who, $account, @names) = @_;

			# what the caller is told is compared with the ledger at the end
			foreach (@names)
			{
				my $answer = $db->sql("SELECT mf_send_payment('direct', 1.250, customer_reference => '" . $db->prefix . "$_', account => '"
					. $db->account($account) . "')", $who);

				$db->state->{direct}{ $db->prefix . $_ } = $answer->{state}
				  . ($answer->{err} =~ /HINT:  No invoice was made, as far as can be seen\. .* once SELECT .* finds none\./ ? ', look' : '');
			}
		} },
		{ name => 'cancel', weight => 3, draw => sub { _some($_[0]) }, play => sub {
			$_[0]->sql("SELECT mf_cancel(id, 'world') FROM mf_invoice WHERE status IN ('queued', 'sending', 'unknown', 'rejected') AND $_[1]");
		} },
		{ name => 'correct and retry', weight => 3, draw => sub { _some($_[0]) }, play => sub {
			$_[0]->sql("UPDATE mf_invoice SET customer_civil_id = '77' WHERE status = 'rejected' AND $_[1];
				SELECT mf_retry(id, 'world') FROM mf_invoice WHERE status = 'rejected' AND $_[1]");
		} },
		{ name => 'change rows', weight => 3, draw => sub {
			my ($pick, $m) = @_;
			my @what = ("priority = " . $pick->(101), "send_at = now()", "send_at = now() + interval '1 s'", "source_info = 'changed'",
				"send_at = '2020-01-01'", "expiry_date = now() + interval '1 s'");

			return ($what[ $pick->(scalar @what) ], _some($pick));
		}, play => sub {
			my ($db, $what, $some) = @_;

			$db->sql("UPDATE mf_invoice SET $what WHERE status = 'queued' AND $some");
		} },
		{ name => 'move rows to another account', weight => 1, draw => sub { ($_[0]->($_[1]{accounts}), _some($_[0])) }, play => sub {
			my ($db, $account, $some) = @_;

			$db->sql("UPDATE mf_invoice SET account = '" . $db->account($account) . "' WHERE status = 'queued' AND attempts = 0 AND $some");
		} },
		{ name => 'resolve', weight => 3, draw => sub { ($_[0]->(3), _some($_[0])) }, play => \&resolve },
		{ name => 'delete', weight => 1, draw => sub { _some($_[0]) }, play => sub {
			my ($db, $some) = @_;
			my $answer = $db->sql("DELETE FROM mf_invoice WHERE status IN ('sent', 'rejected', 'cancelled') AND $some RETURNING customer_reference");

			$db->state->{deleted} = 1;
			$db->state->{gone}{$_} = 1 for split /\n/, $answer->{out};
			$db->state->{some_gone} = 1 if $answer->{state} =~ /^(?:lost|hang|57P0)/;
		} },
		{ name => 'pause', weight => 1, draw => sub { $_[0]->(3) ? 'myfatoorah' : '*' }, play => sub { $_[0]->sql("SELECT mf_pause('$_[1]', 'world')", 'operator'); } },
		{ name => 'resume', weight => 4, draw => sub { $_[0]->(3) ? 'myfatoorah' : '*' }, play => sub { $_[0]->sql("SELECT mf_resume('$_[1]')", 'operator'); } },
		{ name => 'hold rows', weight => 2, draw => sub {
			my ($pick) = @_;

			return ((qw(UPDATE SHARE), 'KEY SHARE', 'NO KEY UPDATE')[ $pick->(4) ], _some($pick), 1 + $pick->(5));
		}, play => sub {
			my ($db, $lock, $some, $moves) = @_;

			return if $db->state->{hold_until};
			$db->state->{hold_until} = $db->state->{step} + $moves;
			$db->sql("BEGIN; SELECT count(*) FROM (SELECT FROM mf_invoice WHERE $some FOR $lock) s", 'holder');
			$db->broken('rows held', sub { release($db) });
		} });
}

sub release
{
	my ($db) = @_;

	$db->sql('ROLLBACK', 'holder');
	delete $db->state->{hold_until};
	return;
}

# decide(db, commit): what was prepared is committed or rolled back. What an error leaves prepared, whatever the error is, is
# decided later.
sub decide
{
	my ($db, $commit) = @_;
	my $prepared = $db->state->{prepared};

	foreach my $gid (sort keys %$prepared)
	{
		my $state = $db->sql(($commit ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'")->{state};

		next if $state ne '00000' && ($db->value("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'") // 1);
		$db->note($state eq '00000' ? ($commit ? 'committed' : 'none') : 'uncertain', @{ delete $prepared->{$gid} });
	}
	return;
}

# decide_all(db): commits all that is prepared; the server may be on its way up
sub decide_all
{
	my ($db) = @_;

	MyFatoorah::Chaos->until_true('nothing is prepared any more', sub { decide($db, 1); return !%{ $db->state->{prepared} // {} } });
	return;
}

# resolve(db, otherwise, some): what needs a person is decided as the API's books say
sub resolve
{
	my ($db, $otherwise, $some) = @_;
	my $rows = $db->value("SELECT id, array_to_string(all_references || i.reference, ',') FROM mf_review JOIN mf_invoice i USING (id) WHERE i.status = 'review' AND $some");

	return unless $rows;
	my %remote = map { ($_->{reference} // '') => $_ } $db->world->remote($db->prefix);
	foreach (split /\n/, $rows)
	{
		my ($id, $references) = split /\|/;
		my ($made) = grep { $_ } map { $remote{$_} } split /,/, $references;
		my $decision = $made ? "'adopt', 'world', invoice_id => $made->{id}" : $otherwise ? "'resend', 'world'" : "'abandon', 'world'";

		$db->sql("SELECT mf_resolve($id, $decision)", 'operator');
	}
	return;
}

1;
