# shellcheck shell=bash
# mf_send_payment() again and again in one session, over the same number of requests by curl's easy interface.

# Prints the rate of $1 calls, measured in the session.
bench_direct_calls()
{
	bench_sql <<-SQL
		DO \$\$
		DECLARE
			result mf_send_payment_result;
			started timestamptz;
		BEGIN
			-- connects, and makes the plan
			FOR i IN 1 .. 10 LOOP
				result := mf_send_payment('Ahmad Al-Sabah', 250.000, customer_reference => 'warm');
			END LOOP;
			started := clock_timestamp();
			FOR i IN 1 .. $1 LOOP
				result := mf_send_payment('Ahmad Al-Sabah', 250.000, 'EML', 'ahmad@example.com',
					display_currency_iso => 'KWD', language => 'EN', user_defined_field => 'tenant 17',
					customer_reference => 'call-' || lpad(i::text, 8, '0') || '.0123456789ABCDEFGHJK',
					call_back_url => 'https://shop.example.com/ok', error_url => 'https://shop.example.com/no');
			END LOOP;
			PERFORM set_config('bench.seconds', extract(epoch FROM clock_timestamp() - started)::text, false);
		END \$\$;
		SELECT 'rate ' || $1 / current_setting('bench.seconds')::float8;
		SELECT 'call_us ' || current_setting('bench.seconds')::float8 * 1e6 / $1;
	SQL
}

# bench_affinity API CLIENT: which processors those may use.  A client and an API on one processor are up to three times as fast as
# on two, so what the scheduler chooses would be measured.
bench_affinity()
{
	local postmaster

	command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ] || return 0
	postmaster=$(head -n 1 "$(find "$BENCH_OUT/cluster" -name postmaster.pid)")
	taskset -acp "$1" "$(cat "$BENCH_OUT/server.pid")" >/dev/null
	taskset -cp "$2" "$postmaster" >/dev/null
	taskset -cp "$2" $$ >/dev/null
}

part_direct()
{
	local run all="0-$(($(nproc --all) - 1))"

	bench_database
	bench_delay 0
	bench_affinity 0 1
	for run in $(seq "$BENCH_RUNS")
	do
		bench_bare "curl easy" "$run" "$BENCH_DIRECT" 1 --easy
		bench_measure "mf_send_payment()" "$run" bench_direct_calls "$BENCH_DIRECT"
	done
	bench_affinity "$all" "$all"
}
