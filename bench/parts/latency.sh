# shellcheck shell=bash
# One invoice on an idle machine, against the stand-in API, whose ledger says when the request came in.

part_latency()
{
	local run entries

	bench_database
	bench_sql -c "ALTER SERVER myfatoorah OPTIONS (SET base_url '$MF_SANDBOX_URL')" -c "SELECT mf_resume()"
	for run in $(seq "$BENCH_RUNS")
	do
		curl -sf -X POST "$MF_CONTROL_URL/reset" >/dev/null
		"$BENCH_BIN/latency" --count "$BENCH_LATENCY" >"$BENCH_OUT/latency.tsv"
		curl -sf "$MF_CONTROL_URL/ledger?path=SendPayment&bodies=0&limit=$((2 * BENCH_LATENCY))" >"$BENCH_OUT/ledger.json"
		entries=$(perl -MJSON::PP -e '
			local $/;
			open(my $ledger, "<", $ARGV[0]) or die;
			my %entry = map { $_->{reference} => $_ } @{ decode_json(<$ledger>)->{entries} };
			$/ = "\n";
			open(my $times, "<", $ARGV[1]) or die;
			my (%values, $n);
			while (<$times>)
			{
				chomp;
				my ($reference, $begin, $committed, $sent) = split /\t/;
				my $e = $entry{$reference} // die "no request for $reference";
				# the first ones open the connection and make plans
				next if ++$n <= 10;
				push @{ $values{commit} }, $committed - $begin;
				push @{ $values{first_byte} }, $e->{first_us} - $committed;
				push @{ $values{result} }, $sent - $committed - ($e->{answered_us} - $e->{first_us});
			}
			for my $name (sort keys %values)
			{
				my @v = sort { $a <=> $b } @{ $values{$name} };
				printf "%s_median_us %.1f\n%s_p95_us %.1f\n", $name, $v[$#v / 2], $name, $v[$#v * 0.95];
			}' "$BENCH_OUT/ledger.json" "$BENCH_OUT/latency.tsv") || mf_die "the ledger does not fit the inserts"
		bench_measure "one invoice" "$run" echo "$entries"
	done
}
