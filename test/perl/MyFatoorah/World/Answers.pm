# What the API may answer, drawn at random: every status with every kind of body, about an invoice that was made or was
# not; bytes that break off, answers that come late. Only lies against which there is no defence are left out: "made" of
# an invoice that is not kept, and "refused", with reasons, of one that is.
package MyFatoorah::World::Answers;

use strict;
use warnings;

use JSON::PP ();

my ($true, $false) = (JSON::PP::true, JSON::PP::false);

# Statuses that servers and their proxies like, and any other
my @usual = (200, 200, 201, 202, 204, 301, 302, 303, 307, 308, 400, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429,
	429, 499, 500, 500, 501, 502, 503, 504, 520, 522, 524);

# answer(pick), wire(pick), lookup(pick, model): a rule for the stand-in, without what it is about.
#
# A whole answer to SendPayment
sub answer
{
	my ($class, $pick) = @_;
	my $status = $pick->(3) ? $usual[ $pick->(scalar @usual) ] : 100 + $pick->(500);
	my $made = $pick->(2) ? $true : $false;
	my %rule = (path => 'SendPayment', status => $status, create => $made, fill => $true);
	my $body = $pick->(8);

	# a switch of protocols is no answer that HTTP knows here
	$rule{status} = $status = 102 if $status == 101;
	if ($status == 429 && $pick->(2))
	{
		$rule{headers} = { 'Retry-After' => (qw(0 1 -5), 'Thu, 01 Jan 1970 00:00:00 GMT', 'soon')[ $pick->(5) ] };
	}
	$rule{headers} = { Location => 'https://elsewhere.example.com/' } if $status >= 300 && $status < 400;
	if ($body == 0)
	{
		return { %rule, body => '' };
	}
	if ($body == 1)
	{
		return { %rule, body => '<html><h1>Object moved</h1></html>', content_type => 'text/html' };
	}
	my $success = (qw(true false absent))[ $pick->(3) ];
	my $id = $pick->(2);
	my $reference = (qw(ours other null))[ $pick->(3) ];
	my $errors = $pick->(3);
	my $url = $pick->(4);

	$errors = 0 if $success eq 'true';

	# lies without defence
	my $believed = $success eq 'true' && $id && $reference eq 'ours' && $status >= 200 && $status < 300;
	my $refused = $errors == 2 && $success eq 'false' && !$id && $status >= 400 && $status < 500;

	$rule{create} = $true if $believed;
	$rule{create} = $false if $refused;
	my @data = (
		$id ? '"InvoiceId":{{InvoiceId}}' . ($url ? ',"InvoiceURL":{{InvoiceURL}}' : '') : (),
		$reference eq 'ours' ? '"CustomerReference":{{CustomerReference}}' :
		$reference eq 'other' ? '"CustomerReference":"somebody-else"' : '"CustomerReference":null');
	my @members = (
		$success eq 'absent' ? () : qq{"IsSuccess":$success},
		'"Message":"' . (qw(Invalid Fine), '')[ $pick->(3) ] . '"',
		(qq{"ValidationErrors":null}, qq{"ValidationErrors":[]}, '"ValidationErrors":[{"Name":"CustomerName","Error":"odd"}]')[$errors],
		'"Data":' . ($id || $reference ne 'null' ? '{' . join(',', @data) . '}' : (qw(null [] {}))[ $pick->(3) ]));

	return { %rule, body => '{' . join(',', @members) . '}' };
}

# Cuts, resets, silence and delays, in both directions
sub wire
{
	my ($class, $pick) = @_;
	my $made = $pick->(2) ? $true : $false;
	my @ways = (
		{ cut_request_at => $pick->(300) }, { reset_request_at => $pick->(300) },
		{ cut_answer_at => $pick->(500), create => $made }, { reset_answer_at => $pick->(500), create => $made },
		{ never => $true, create => $made }, { stall_at => $pick->(400) },
		{ delay_ms => 900 + $pick->(1200) }, { delay_before_ms => 900 + $pick->(1200) },
		{ close_after_ms => $pick->(50) }, { delay_ms => $pick->(400) });
	my $rule = $ways[ $pick->(scalar @ways) ];

	# an answer that is whole is no lie: it is cut beyond its end only if the invoice was made
	$rule->{create} = $true if defined $rule->{create} && grep { ($rule->{$_} // 0) > 200 } qw(cut_answer_at reset_answer_at);
	return { path => 'SendPayment', %$rule };
}

# Look-ups that fail in their own ways
sub lookup
{
	my ($class, $pick, $m) = @_;
	my @ways = (
		{ shape => 12, status => 404 }, { shape => 9 }, { shape => 10 }, { status => 500, body => '' }, { status => 422, body => '"No data"' },
		{ status => 200, body => '{"IsSuccess":true,"Data":null}' }, { status => 200, body => '{"IsSuccess":true,"Data":[]}' },
		{ status => 200, body => '{"IsSuccess":true,"Data":{"InvoiceId":0}}' }, { shape => 11, headers => { 'Retry-After' => '0' } },
		{ status => 302, body => '' }, { never => $true }, { cut_answer_at => $pick->(600) }, { delay_ms => 900 + $pick->(900) });

	my $rule = $ways[ $pick->(scalar @ways) ];

	# "no data" about an invoice that is there is a lie; told five times it is believed
	$rule = { shape => 9 } if ($rule->{shape} // 0) == 12 && $m->{lies}++;
	return { path => 'GetPaymentStatus', %$rule };
}

1;
