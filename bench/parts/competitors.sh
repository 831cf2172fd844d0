# shellcheck shell=bash
# The same jobs by what others would use: Graphile Worker, a worker written for speed on plain "pg", and pgsql-http.
# All talk to the same server with the same bodies, in the same database server, one after the other.

BENCH_GRAPHILE_ROWS=$((BENCH_ROWS < 10000 ? BENCH_ROWS : 10000))

# bench_node SERIES RUN PROGRAM COUNT [ARGUMENT...]: one of the programs in bench/node on COUNT new jobs
bench_node()
{
	local series=$1 run=$2 program=$3 count=$4 cpu
	shift 4
	bench_jobs "$program" "$count"
	cpu=$(bench_postgres_cpu)
	bench_measure "$series" "$run" env BENCH_URL="$BENCH_URL" BENCH_KEY="$MF_API_KEY" \
		node "$MF_BENCH_NODE/$program.mjs" "$count" "$@"
	cpu=$(($(bench_postgres_cpu) - cpu))
	bench_record "$series" "$run" postgres_cpu_us $((cpu / count))
	[ "$(bench_sql -c "SELECT count(*) FROM job WHERE status = 'sent' AND invoice_id IS NOT NULL AND invoice_url IS NOT NULL")" = "$count" ] ||
		mf_die "not every job of $program was done"
}

# bench_jobs PROGRAM COUNT: a table "job" with the content of mf_invoice; for Graphile Worker its jobs too
bench_jobs()
{
	bench_sql <<-SQL
		SET client_min_messages = warning;
		CHECKPOINT;
		DROP TABLE IF EXISTS job;
		CREATE TABLE job (
			id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			customer_name text NOT NULL, invoice_value numeric NOT NULL, notification_option text NOT NULL,
			customer_email text, display_currency_iso text, language text, customer_reference text NOT NULL,
			user_defined_field text, call_back_url text, error_url text,
			status text NOT NULL DEFAULT 'queued', attempts integer NOT NULL DEFAULT 0,
			invoice_id bigint, invoice_url text, sent_at timestamptz) WITH (fillfactor = 70);
		CREATE INDEX ON job (id) WHERE status = 'queued';
		INSERT INTO job ($BENCH_COLUMNS) SELECT $BENCH_VALUES FROM generate_series(1, $2) n;
		ANALYZE job;
	SQL
	[ "$1" = graphile ] || return 0
	bench_sql <<-SQL
		SELECT count(graphile_worker.add_job('send_payment', to_json(job))) FROM job;
	SQL
}

# bench_extension_cpu SERIES RUN COUNT: as bench_drain, with the time of all the server's processes
bench_extension_cpu()
{
	local cpu

	bench_queue "$3"
	cpu=$(bench_postgres_cpu)
	bench_measure "$1" "$2" "$BENCH_BIN/drain" --stats "$BENCH_STATS" --count "$3"
	cpu=$(($(bench_postgres_cpu) - cpu))
	bench_record "$1" "$2" postgres_cpu_us $((cpu / $3))
}

part_competitors()
{
	local run has_http

	bench_database
	bench_delay 0
	bench_in_flight 50
	bench_queue 1000
	"$BENCH_BIN/drain" --stats "$BENCH_STATS" --count 1000 >/dev/null

	has_http=$(bench_sql -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'http'")
	if [ "$has_http" != 0 ]
	then
		bench_sql -c 'CREATE EXTENSION http'
	else
		bench_note "pgsql-http is left out: Debian has no package of it, and none is installed here."
	fi
	if [ -z "$MF_BENCH_NODE" ]
	then
		bench_note "Node.js workers are left out: $MF_BENCH_NO_NODE."
	else
		bench_record versions 1 node "$(node --version)"
		for run in pg undici graphile-worker
		do
			bench_record versions 1 $run "$(node -p "require('$MF_BENCH_NODE/node_modules/$run/package.json').version")"
		done
		BENCH_URL=$BENCH_URL node "$MF_BENCH_NODE/graphile.mjs" migrate
	fi

	for run in $(seq "$BENCH_RUNS")
	do
		bench_bare "bare client" "$run" "$BENCH_ROWS" 50
		bench_extension_cpu extension "$run" "$BENCH_ROWS"
		if [ -n "$MF_BENCH_NODE" ]
		then
			bench_node "plain pg, Node.js" "$run" plain "$BENCH_ROWS"
			bench_node "Graphile Worker, tuned" "$run" graphile "$BENCH_GRAPHILE_ROWS" tuned
			bench_node "Graphile Worker, as installed" "$run" graphile $((BENCH_GRAPHILE_ROWS / 5)) installed
		fi
		[ "$has_http" = 0 ] || bench_http "pgsql-http, a call per row" "$run" $((BENCH_ROWS / 10))
	done
}

# bench_http SERIES RUN COUNT: claim, call and record row by row, each in a transaction of its own
bench_http()
{
	local begin end

	bench_jobs http "$3"
	bench_sql <<-SQL
		CREATE OR REPLACE PROCEDURE send_all(url text, key text) LANGUAGE plpgsql AS \$\$
		DECLARE
			j job;
			answer jsonb;
		BEGIN
			PERFORM http_set_curlopt('CURLOPT_TCP_KEEPALIVE', '1');
			LOOP
				SELECT * INTO j FROM job WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
				EXIT WHEN NOT FOUND;
				UPDATE job SET status = 'sending', attempts = attempts + 1 WHERE id = j.id;
				COMMIT;
				SELECT content::jsonb INTO STRICT answer FROM http(('POST', url || '/v2/SendPayment',
					ARRAY[http_header('Authorization', 'Bearer ' || key)], 'application/json',
					json_build_object('CustomerName', j.customer_name, 'InvoiceValue', j.invoice_value,
						'NotificationOption', j.notification_option, 'CustomerEmail', j.customer_email,
						'DisplayCurrencyIso', j.display_currency_iso, 'Language', j.language,
						'CustomerReference', j.customer_reference || '.0123456789ABCDEFGHJK', 'UserDefinedField', j.user_defined_field,
						'CallBackUrl', j.call_back_url, 'ErrorUrl', j.error_url)::text)::http_request);
				UPDATE job SET status = 'sent', sent_at = clock_timestamp(),
					invoice_id = (answer->'Data'->>'InvoiceId')::bigint, invoice_url = answer->'Data'->>'InvoiceURL'
					WHERE id = j.id;
				COMMIT;
			END LOOP;
		END \$\$;
	SQL
	begin=$(date +%s%N)
	bench_sql -c "CALL send_all('$BENCH_URL', '$MF_API_KEY')"
	end=$(date +%s%N)
	bench_record "$1" "$2" rate $(($3 * 1000000000 / (end - begin)))
}
