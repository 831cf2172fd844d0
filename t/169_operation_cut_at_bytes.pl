# The byte matrix of money back: answers to a refund, one that a supplier bears a part of, a capture and a release that are cut or reset behind some of their
# bytes, behind each with MF_EACH_BYTE=1, and requests that are cut. Each cell is one invoice, its fault chosen by its reference. It is called accepted only
# if the whole answer came, and the stand-in's books decide that none is lost and none was carried out twice.
#
# MF_CHAOS_KINDS   only the kinds that this regular expression matches
# MF_BYTES=0-499   only cuts at these bytes
use MyFatoorah::Test;

my $mf = 'MyFatoorah::Cluster';
my $sandbox = MyFatoorah::Sandbox->new;
my $db = 'postgres';
my $node = $mf->new_node('main', conf => "myfatoorah.lookup_delay = '1ms'\nmyfatoorah.retry_delay = '1ms'\nmyfatoorah.poll_delay = '1h'");
my %close = (close => JSON::PP::true);
my ($cells, $lost, $doubled) = (0, 0, 0);

# The kinds: by which request each goes, how it ends, what its invoices are like, and how it is asked for
my %held = (processing_details => q('{"AutoCapture": false}'));
my @kinds = (
	{ name => 'refund', path => 'MakeRefund', done => 'filed', columns => {}, sql => 'INSERT INTO mf_refund (invoice, value) SELECT id, 1.25 FROM mf_invoice' },
	{ name => 'shared', path => 'MakeSupplierRefund', done => 'filed', columns => { suppliers => q('[{"SupplierCode": 27, "InvoiceShare": 2.5}]') },
		sql => q{INSERT INTO mf_refund (invoice, value, suppliers) SELECT id, 1.25, '[{"SupplierCode": 27, "SupplierDeductedAmount": 0.5}]' FROM mf_invoice} },
	{ name => 'capture', path => 'UpdatePaymentStatus', done => 'captured', columns => \%held, sql => q{SELECT mf_capture(id, 1.25, 'matrix') FROM mf_invoice} },
	{ name => 'release', path => 'UpdatePaymentStatus', done => 'released', columns => \%held, sql => q{SELECT mf_release(id, 'matrix') FROM mf_invoice} });
@kinds = grep { $_->{name} =~ /^(?:$ENV{MF_CHAOS_KINDS})$/ } @kinds if $ENV{MF_CHAOS_KINDS};

$mf->setup_account($node, $db, $sandbox, options => { max_in_flight => 1000, connect_timeout => '1s', timeout => '5s' });
$mf->wait_worker($node, $db);

sub sql { return $node->safe_psql($db, @_); }

# all bytes take their time
$PostgreSQL::Test::Utils::timeout_default *= 10 if $ENV{MF_EACH_BYTE};

# cells(name, kind, rules): a paid or authorised invoice for each rule, and the operation on it
sub cells
{
	my ($name, $kind, @rules) = @_;
	my @names = map { sprintf '%s-%05d', $name, $_ } 0 .. $#rules;
	my $of = "invoice IN (SELECT id FROM mf_invoice WHERE customer_reference LIKE '$name-%')";
	my %result;

	my @columns = sort keys %{ $kind->{columns} };
	my $is_refund = $kind->{done} eq 'filed';

	sql('INSERT INTO mf_invoice (' . join(', ', qw(customer_name customer_reference invoice_value), @columns) . ') SELECT '
		. join(', ', q('matrix'), 'name', '2.5', map { $kind->{columns}{$_} } @columns) . " FROM unnest('{" . join(',', @names) . "}'::text[]) name");
	$mf->wait_none($node, $db, "SELECT count(*) FROM mf_invoice WHERE status <> 'sent'");
	$sandbox->invoice($_, 'pay', { gateway => 'CARD' }) foreach split /\n/, sql("SELECT invoice_id FROM mf_invoice WHERE customer_reference LIKE '$name-%'");
	sql("SELECT mf_refresh(ARRAY(SELECT id FROM mf_invoice WHERE customer_reference LIKE '$name-%'))");
	$mf->wait_none($node, $db, "SELECT count(*) FROM mf_invoice i WHERE customer_reference LIKE '$name-%' AND NOT EXISTS (SELECT FROM mf_transaction t WHERE t.invoice = i.id)");
	$sandbox->faults(map { { path => $kind->{path}, reference_prefix => "$names[$_].", %{ $rules[$_] } } } 0 .. $#rules);
	sql("$kind->{sql} WHERE customer_reference LIKE '$name-%'");
	$mf->wait_none($node, $db, "SELECT count(*) FROM mf_operation WHERE $of AND (status IN ('queued', 'sending', 'unknown') OR (kind <> 'refund' AND status = 'filed'))");
	$sandbox->clear_faults;

	my %requests;
	$requests{ $_->{reference} // '' }++ foreach grep { $_->{complete} } $sandbox->posts("/v2/$kind->{path}");
	foreach (split /\n/, sql("SELECT i.customer_reference, i.reference, i.invoice_id, o.status, a.outcome FROM mf_operation o JOIN mf_invoice i ON i.id = o.invoice
		JOIN mf_operation_attempt a ON a.operation = o.id AND a.outcome <> 'not_sent' WHERE o.$of"))
	{
		my ($ours, $reference, $invoice, $status, $outcome) = split /\|/, $_, -1;
		my @tries = grep { $_->{by_merchant} } @{ $sandbox->invoice($invoice)->{transactions} };
		my $times = $is_refund ? scalar($sandbox->refunds(invoice => $invoice)) : scalar @tries;

		$cells++;
		$doubled++ if $times > 1 || ($requests{$reference} // 0) > 1 || $result{$ours};
		$lost++ if $status ne 'review' && ($times != 1 || $status !~ /^(?:filed|captured|released)$/);
		$lost++ if $status eq 'review' && $times;
		$result{$ours} = "$outcome $status";
	}
	return map { $result{$_} // 'none' } @names;
}

foreach my $kind (@kinds)
{
	my ($name, $done) = @{$kind}{qw(name done)};
	my $is_refund = $done eq 'filed';

	# a cut behind the end of the answer tells how long it is
	cells("${name}size", $kind, { %close, cut_answer_at => 100_000 });
	my ($entry) = grep { ($_->{reference} // '') =~ /^${name}size-/ } $sandbox->ledger(path => "/v2/$kind->{path}");
	my $length = $entry->{answer_sent_bytes};
	# the long answers of captures and releases differ by some digits
	my $step = $ENV{MF_EACH_BYTE} ? 1 : $is_refund ? 11 : 151;
	my @at = ((grep { $_ % $step == 0 } 0 .. $length - ($is_refund ? 1 : 50)), $is_refund ? $length : $length + 50);

	cmp_ok($length, '>', 200, "$name: an answer of $length bytes");
	my $request = $entry->{header_bytes} + $entry->{body_bytes};
	my ($from, $to) = split /-/, $ENV{MF_BYTES} // '0-100000';
	@at = grep { $_ >= $from && $_ <= $to } @at;
	my @cut = map { { cut_request_at_total => $_ } } grep { $_ >= $from && $_ <= $to && $_ % ($ENV{MF_EACH_BYTE} ? 1 : 53) == 0 } 0 .. $request - 1;
	my @got = cells("${name}cell", $kind, (map { my $end = $_; map { { %close, "${end}_answer_at" => $_ } } @at } 'cut', 'reset'), @cut);

	foreach my $end ('cut', 'reset')
	{
		my @part = splice @got, 0, scalar @at;
		# a reset right behind the last byte may overtake it
		my @wrong = grep { $part[$_] !~ ($at[$_] < $length ? qr/^unknown $done$/ : $end eq 'cut' ? qr/^accepted $done$/ : qr/^(?:accepted|unknown) $done$/) } 0 .. $#at;

		is(scalar @wrong, 0, "$name: " . @at . " answers $end: found again, once");
		diag("byte $at[$_]: $part[$_]") foreach splice @wrong, 0, 5;
	}
	is(scalar(grep { $_ ne 'unknown review' } @got), 0, "$name: " . @got . ' requests cut: left to a person');
}
diag("byte matrix of refunds, those that suppliers bear, captures and releases: $cells cells: $lost lost, $doubled doubled");
is("$lost $doubled", '0 0', 'none was lost and none was carried out twice');
$node->stop;
done_testing();
