#!/usr/bin/env bash
# make chaos-mutate: do the tests see it when a guarantee is broken? Each mutation breaks one in a copy of the source;
# the test named with it must fail. A mutation that survives, or no longer applies, is a failure of this run. Ends with
# one line "N passed, N failed". Takes a minute or two for each.
#
#   test/chaos/mutate.sh              make chaos-mutate
#   test/chaos/mutate.sh --patterns   only whether each mutation still changes its file and names a test that exists:
#                                     a line "ok - NAME" or "not ok - NAME: why" for each; builds nothing
#
# MUTATIONS="name ..."   only these, and not what their tests say without a mutation
# KEEP, PG_CONFIG, CC as for make check
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/server.sh

case ${1-} in
	--inner)
		. scripts/suites.sh
		trap mf_cleanup EXIT
		trap 'exit 129' HUP INT TERM

		mf_make_variables
		MF_MAKE+=(FAILPOINTS=1 WERROR=)
		mf_build . "$MF_SCRATCH/log/build.log" "${MF_MAKE[@]}" || { mf_show "$MF_SCRATCH/log/build.log" 40; mf_die "the extension does not build"; }
		mf_build sandbox "$MF_SCRATCH/log/sandbox.log" || mf_die "the sandbox does not build"
		mf_private_install
		run_one=run_mutation
		;;
	--patterns)
		MF_MUTATIONS=${MUTATIONS-}
		MF_SCRATCH=$(mktemp -d)
		trap 'rm -rf "$MF_SCRATCH"' EXIT
		run_one=check_pattern
		misfits=0
		;;
	*)
		export MF_MUTATIONS=${MUTATIONS-}
		mf_outer test/chaos/mutate.sh
		exit
		;;
esac

# mutate NAME "what it breaks" FILE PERL TEST [VARIABLE=VALUE...]: PERL changes the text of the file in $_; TEST is
# one of t/, core/NAME for one of test/core, or regress/NAME for one of sql/. If all are tried, each test first runs
# without a mutation, as the mutation none_TEST.
declare -A tried
mutate()
{
	[ -z "$MF_MUTATIONS" ] || [[ " $MF_MUTATIONS " == *" $1 "* ]] || return 0
	if [ -z "$MF_MUTATIONS" ] && [ -z "${tried[$5]-}" ]
	then
		tried[$5]=1
		"$run_one" "none_${5##*/}" '' "$3" '' "${@:5}"
	fi
	"$run_one" "$@"
}

# check_pattern: arguments as mutate has them
check_pattern()
{
	local name=$1 file=$3 perl=$4 test=t/$5.pl why=

	[[ $5 != core/* ]] || test=test/core/${5#core/}.c
	[[ $5 != regress/* ]] || test=sql/${5#regress/}.sql
	if ! [ -e "$file" ]
	then
		why="there is no $file"
	elif ! [ -e "$test" ]
	then
		why="there is no $test"
	elif [ -n "$perl" ]
	then
		if ! perl -0777 -pe "$perl" "$file" >"$MF_SCRATCH/mutated"
		then
			why="its expression is not valid"
		elif cmp -s "$file" "$MF_SCRATCH/mutated"
		then
			why="it does not change $file"
		fi
	fi
	if [ -z "$why" ]
	then
		echo "ok - $name"
	else
		echo "not ok - $name: $why"
		misfits=$((misfits + 1))
	fi
}

# run_mutation: arguments as mutate has them
run_mutation()
{
	local name=$1 what=$2 file=$3 perl=$4 test=$5 status=0 out=$MF_SCRATCH/m/$1 log=$MF_SCRATCH/log/mutate-$1.log
	shift 5

	cp "$file" "$MF_SCRATCH/original"
	if [ -n "$perl" ] && { ! perl -0777 -pi -e "$perl" "$file" || cmp -s "$file" "$MF_SCRATCH/original"; }
	then
		result "$name" 0 1 "does not apply any more: $file"
	elif ! { make -s all "${MF_MAKE[@]}" && make -s install PG_CONFIG="$MF_BIN/pg_config" "${MF_MAKE[@]}"; } >"$log" 2>&1
	then
		result "$name" 0 1 "does not build"
		mf_show "$log" 10
	else
		mkdir -p "$out/tmp_check/log"
		local run=(timeout -k 10 600 perl "t/$test.pl")
		[[ $test != core/* ]] || run=(timeout -k 10 300 make -s -C test/core check WERROR= TESTS="${test#core/}")
		if [[ $test == regress/* ]]
		then
			run_regress "${test#regress/}" >"$log" 2>&1 || status=$?
		else
			env "$@" TESTDIR="$out" TESTDATADIR="$out/tmp_check" TESTLOGDIR="$out/tmp_check/log" \
				PG_REGRESS="$MF_PGXS_SRC/test/regress/pg_regress" PGPORT=65432 PG_TEST_TIMEOUT_DEFAULT=60 \
				PERL5LIB="$PWD/test/perl:$MF_PGXS_SRC/test/perl" MF_SANDBOX="$PWD/sandbox/mf-sandbox" \
				"${run[@]}" >"$log" 2>&1 </dev/null || status=$?
		fi
		mf_end_left_behind
		if [ -z "$perl" ]
		then
			[ $status -eq 0 ] && result "$name" 1 0 "$test passes" || { result "$name" 0 1 "$test fails without any mutation"; mf_show "$log" 30; }
		elif [ $status -ne 0 ]
		then
			result "$name" 1 0 "$what: $test goes red: $(grep -m1 -oE "not ok( [0-9]+)? - .*|FAILED *\] test_.*|waited in vain.*|not settled.*" "$log" "$out"/tmp_check/log/regress_log_* -hs | head -1 | cut -c1-110)"
		else
			result "$name" 0 1 "$what: $test does not see it"
		fi
		[ $status -eq 0 ] && rm -rf "$out" || true
	fi
	cp "$MF_SCRATCH/original" "$file"
	touch "$file"
}

# run_regress NAME: a test of pg_regress, which is counted nowhere
run_regress()
{
	rm -rf "$MF_SCRATCH/regress"
	(MF_PASSED=0 MF_FAILED=0 REGRESS="setup $1" && mf_suite_regress && [ "$MF_FAILED" -eq 0 ] && [ "$MF_PASSED" -gt 0 ])
}

result()
{
	mf_count "$1" "$2" "$3" 0 "$4"
	if [ "$3" -eq 0 ]; then echo "   ok      $1: $4"; else echo "   NOT OK  $1: $4"; fi
}

mutate refund_waits 'the worker waits for a session that has cancelled another refund of the invoice' src/store/operations.c \
	's/ FOR UPDATE OF p SKIP LOCKED\) l/ FOR UPDATE OF p) l/' 172_refunds_beside_others
mutate refund_before_lock 'mf_archive() does not look again at what it has locked' src/store/archive.c \
	's/(archivable_statement = \{\n.*? ANY \(\$1\)) AND " ARCHIVABLE\("i"\)/$1"/s' 172_refunds_beside_others
mutate archive_ends 'mf_archive() ends at an invoice that it passes over' src/store/archive.c \
	's/return locked == most;/return count == most;/' 172_refunds_beside_others
mutate log_start 'the log of webhooks is read by a new worker only' src/inquiry/missed_webhooks.c \
	's/= now \+ PERIOD;/= now + 1000 * PERIOD;/' 187_webhooks_lost_in_a_gap
mutate log_gap 'the log of webhooks is read from shortly before the start only' src/inquiry/missed_webhooks.c \
	's/- FIRST_DAYS \* USECS_PER_DAY;/- 5 * USECS_PER_MINUTE;/' 187_webhooks_lost_in_a_gap
mutate log_secret 'the log of webhooks waits a day for an account that gets its secret or key' src/sending/sender.c \
	's/\tmf_missed_webhooks_try_now\(\);\n//' 187_webhooks_lost_in_a_gap
mutate log_throttled 'the log of webhooks waits a day for a key that is throttled' src/inquiry/missed_webhooks.c \
	's/reading->next_at = target->until;/end_reading(reading, GetCurrentTimestamp());/' 187_webhooks_lost_in_a_gap
mutate log_without_key 'the log of webhooks waits a day for a key that could not be used' src/inquiry/missed_webhooks.c \
	's/wait_for_key\(reading, TimestampTzPlus[^;]*;/end_reading(reading, GetCurrentTimestamp());/' 187_webhooks_lost_in_a_gap
mutate log_slipped 'a log of webhooks that shrinks meanwhile counts as read' src/inquiry/missed_webhooks.c \
	's/if \(reading->page >= log->pages && log->pages == reading->pages && log->items == reading->items\)\n//' 187_webhooks_lost_in_a_gap
mutate log_backwards 'of two announcements of a deposit in the log of webhooks the older one counts' src/inquiry/missed_webhooks.c \
	's/for \(i = log->row_count - 1; i >= 0; i--\)/for (i = 0; i < log->row_count; i++)/' 189_log_beside_webhooks
mutate log_announces 'an announcement of a deposit in the log of webhooks takes the place of one that came in' src/store/deposits.c \
	's/CASE WHEN NOT \(\$7\)\[1\] THEN (EXCLUDED\." column ") END/$1/' 189_log_beside_webhooks
mutate log_again 'what was found in the log of webhooks is asked about at each reading' src/store/events.c \
	's/(\t\tif \()row == rows(\)\n\t\t\tevents\[kept)/$1true$2/' 187_webhooks_lost_in_a_gap
mutate log_waits 'the worker waits for a session that has asked for what the log of webhooks has' src/inquiry/missed_webhooks.c \
	's/\n\t\tmf_process_limit_lock_waits\(\);//' 055_open_transactions
mutate operation_again 'a refund whose outcome nobody recorded is asked for again' src/operation/operation_decide.c \
	's/MF_OUTCOME_UNKNOWN, NULL, operation->error/MF_OUTCOME_NOT_SENT, NULL, operation->error/' \
	032_crash_matrix MF_CHAOS_WAYS=immediate MF_CHAOS_POINTS=held MF_CHAOS_KINDS=refund
mutate no_fence 'the outcome is written whatever the row has become' src/sending/sender_outcomes.c \
	's/if \(invoice->status == mf_flight_expected_status\(flight\) && invoice->attempts == flight->attempt\)/if (true)/' 013_late_answers
mutate late_dropped 'a late acceptance is dropped' src/flight/flight_outcome.c \
	's/(mf_flight_is_lookup\(flight\) \|\| )flight->sent\.outcome != MF_OUTCOME_ACCEPTED/$1true/' 013_late_answers
mutate any_amount 'an invoice of another amount is adopted' src/flight/flight_lookup.c \
	's/ \|\| mf_amount_compare\(amount, flight->invoice_value\) != 0//' 013_late_answers
mutate any_currency 'an invoice in another currency is adopted' src/flight/flight_lookup.c \
	's/strcmp\(currency, flight->currency\) != 0 \|\| //' 013_late_answers
mutate post_before_commit 'the request leaves before its attempt is committed' src/worker/worker_round.c \
	's/(\t\tMF_FAILPOINT\("round_done"\);)/\t\tmf_sender_post(true);\n\t\tfor (int i = 0; i < 300; i++)\n\t\t{\n\t\t\t(void) mf_sender_run();\n\t\t\tpg_usleep(1000L);\n\t\t}\n$1/' \
	032_crash_matrix MF_CHAOS_WAYS=immediate MF_CHAOS_POINTS=round_done MF_CHAOS_KINDS='link|mail'
mutate not_told 'the thread of the transport keeps to itself that a request has ended' src/core/http/http_thread.c \
	's/mf_http_event_set\(http->done_fd\);//' core/test_http_thread
mutate not_woken 'the thread of the transport is not told of a request' src/core/http/http_thread.c \
	's/if \(wake\)\n\t\tmf_http_event_set/if (false)\n\t\tmf_http_event_set/' core/test_http_thread
mutate lost_burst 'what has not started is lost when the thread of the transport ends' src/core/http/http_thread.c \
	's/\tSTAILQ_CONCAT\(&http->to_start, &to_start\);\n//' core/test_http_thread
mutate whole_burst 'nothing of a burst leaves before all of it has a connection' src/core/http/http_multi.c \
	's/count\+\+ < AT_ONCE/++count/' core/test_http
mutate open_lookups 'handlers run on the threads in which names are looked up' src/core/http/http_transfer.c \
	's/(\t\tmf_http_block_signals\(&http->signals\);)/\t\tpthread_sigmask(SIG_SETMASK, NULL, &http->signals);/' core/test_http_lookup
mutate open_signals 'handlers of the worker run on the thread of the transport' src/core/http/http_thread.c \
	's/mf_http_block_signals\(&saved\);\n\tfailure/sigprocmask(SIG_BLOCK, NULL, &saved);\n\tfailure/' core/test_http_thread
mutate told_for_ever 'an answer that was fetched is announced again and again' src/core/http/http_thread.c \
	's/if \(http->done_signalled\)\n\t\tmf_http_event_clear/if (false)\n\t\tmf_http_event_clear/' core/test_http_thread
mutate deaf_call 'a direct call cannot be cancelled' src/functions/backend_call.c \
	's/\t+CHECK_FOR_INTERRUPTS\(\);\n//' 028_direct_call_cancel
mutate outlived 'a worker that always has work goes on without its postmaster' src/process/process.c \
	's/if \(!PostmasterIsAlive\(\)\)/if (false)/' 093_synchronous_standby
mutate answer_quoted 'broken JSON, with what it tells of a customer, is quoted in errors' src/core/api/envelope.c \
	's/else if \(len > 0 && \(\*body == .\{. \|\| \*body == .\[.\)\)/else if (false)/' core/test_api
mutate key_told 'the key is not hidden in texts' src/core/http/http_exchange.c \
	's/if \(key_len == 0\)/if (key_len > 0)/' 080_secrets
mutate believes_role 'the guard believes a role' src/triggers/invoice_triggers.c \
	's/if \(mf_sql_fired_trigger\(\)\)\n\t\{/if (GetUserId() == mf_worker_role())\n\t{/' 085_user_triggers
mutate proposal_unread 'a trigger may change what is written into a row' src/store/other_triggers.c \
	's/was_null != is_null \|\|/false \&\&/' 085_user_triggers
mutate last_word 'a trigger may run after the guard' src/store/other_triggers.c \
	's/if \(last_seen\)/if (false)/' 085_user_triggers
mutate look_forgotten 'what becomes pending between two looks at the questions has no alarm' src/inquiry/inquiry.c \
	's/return mf_inquiries\.pending && !mf_inquiries\.waiting \? mf_time_share_time[^;]*;/return 0;/' 063_missed_webhooks
mutate waits_for_session 'an answer waits for a session that has asked again' src/store/inquiries.c \
	's/FOR UPDATE SKIP LOCKED\), "\n\t"gone/FOR UPDATE), "\n\t"gone/' 027_row_locks
mutate waits_for_event 'an answer waits for a session that has its event in hand' src/inquiry/inquiry_record.c \
	's/locked_event_count = \(int\)/locked_event_count = 0 * (int)/' 027_row_locks
mutate event_passed_over 'an answer leaves an event that somebody has in hand unanswered' src/store/payment.c \
	's/o\.id NOT IN \(SELECT e\.id FROM e\)/false/' 027_row_locks
mutate series_anew 'a refresh beyond the budget begins a series of questions' src/store/inquiries.c \
	's/OR \(q\.by_callback AND n\.urgent\) "/OR q.by_callback "/' 007_memory_and_inquiry_budgets
mutate look_always 'each round looks at all accounts for questions' src/inquiry/inquiry.c \
	's/mf_time_share_end\(&scan_share\);//' 009_many_accounts
mutate no_gate 'the gate ignores the time by which a request must leave' src/core/http/http_transfer.c \
	's/transfer->record->send_by != 0 && now > transfer->record->send_by/false/' core/test_http
mutate blind_thread 'a worker that stood still sends what it had in hand' src/core/http/http_freeze.c \
	's/if \(http->clock_due == 0 \|\|/if (true ||/' 094_frozen_worker
mutate blind_timer 'an idle worker sends what became due while it stood still' src/worker/worker.c \
	's/mf_http_clock\(\) - end\)/end - end)/' 094_frozen_worker
mutate second_post 'libcurl may repeat a request' src/core/http/http_transfer.c \
	's/if \(exchange->gate_passed\)/if (false)/' core/test_http_faults
mutate early_lookup 'look-ups count while the request may still leave' src/sending/claim_lease.c \
	's/TimestampTzPlusMilliseconds\(now, MF_SEND_MARGIN_MS \+ longest\)/now/' \
	032_crash_matrix MF_CHAOS_WAYS=immediate MF_CHAOS_POINTS=intent_committed MF_CHAOS_KINDS='link|mail'
mutate back_to_queued 'what was being sent is queued again at the start' src/sending/claim_lease.c \
	's/end->outcome = MF_OUTCOME_UNKNOWN;(\s+end->error = "no outcome)/end->outcome = MF_OUTCOME_NOT_SENT;$1/' 031_worker_sigkill
mutate retry_5xx 'a 5xx is taken for a refusal to work: sent again' src/core/api/outcome.c \
	's/(\[STATUS_OTHER\] = \{)MF_OUTCOME_UNKNOWN(, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN, MF_OUTCOME_UNKNOWN)/$1MF_OUTCOME_NOT_SENT$2/' 041_history_checker
mutate retry_unknown 'no answer is taken for not sent' src/core/api/outcome.c \
	's/return !exchange->gate_passed && exchange->http_status == 0;/return exchange->http_status == 0;/' 041_history_checker
mutate same_reference 'sent again under the same reference' src/flight/flight_lookup.c \
	's/transition->reference = flight->next_reference;/transition->reference = flight->reference;/' 041_history_checker
mutate one_lookup 'one look-up that finds nothing is enough' src/flight/flight.h \
	's/#define MF_LOOKUP_STEPS 5/#define MF_LOOKUP_STEPS 1/' 041_history_checker
mutate blind_lookup 'a look-up that failed counts as one that found nothing' src/flight/flight_lookup.c \
	's/if \(lookup != MF_LOOKUP_NOT_FOUND\)(\s+\{\s+repeat_failed)/if (false)$1/' 041_history_checker
mutate no_attempt 'attempts are not recorded before they leave' src/sending/attempt_rows.c \
	's/\tmf_table_add\(recorder->attempt[^;]*;//' 041_history_checker
mutate version_ignored 'the library takes SQL objects of any version' src/database/sql_version.c \
	's/if \(checked \|\| creating_extension\)/if (true)/' 121_library_versions
mutate upgrade_beside_worker 'ALTER EXTENSION UPDATE runs beside the worker' src/worker/utility_hooks.c \
	's/MF_EXTENSION\) == 0 && superuser\(\)\)/MF_EXTENSION) == 0 \&\& false)/' 121_library_versions
mutate promotion_ignored 'a promoted standby sends without looking' src/sending/copy_guard.c \
	's/if \(reason != NULL \|\| promoted\)/if (reason != NULL)/' 090_database_copies
mutate copy_ignored 'a copy sends' src/sending/copy_guard.c \
	's/if \(reason != NULL\)(\s+mf_queue_pause_copy)/if (false)$1/' 090_database_copies
mutate copy_resumed_blindly 'a copy that is resumed sends without looking' src/sending/copy_guard.c \
	's/if \(reason != NULL \|\| promoted\)/if (promoted)/' 090_database_copies
mutate role_named_worker 'the pause of a role with the name of a part of the extension is taken for that of a copy' src/store/queue.c \
	's/strcmp\(role, ours\[i\]\) == 0/false/' 090_database_copies
mutate roles_of_other_server 'rows of another server keep the roles of its OIDs' src/sending/copy_guard.c \
	's/\tmf_repair_roles\(schema\);//' 184_roles_in_copies
mutate oid_gives_right 'a role has rights by the OID of another server' src/store/row_rights.c \
	's/ && mf_roles_are_known\(get_rel_namespace\(table\)\)//' 184_roles_in_copies

mutate world_retry_unknown 'no answer is taken for not sent' src/core/api/outcome.c \
	's/return !exchange->gate_passed && exchange->http_status == 0;/return exchange->http_status == 0;/' 042_world MF_WORLD_SEEDS=16
mutate world_back_to_queued 'what was being sent is queued again at the start' src/sending/claim_lease.c \
	's/end->outcome = MF_OUTCOME_UNKNOWN;(\s+end->error = "no outcome)/end->outcome = MF_OUTCOME_NOT_SENT;$1/' 042_world MF_WORLD_SEED=41 MF_WORLD_SEEDS=16
mutate world_no_attempt 'attempts are not recorded before they leave' src/sending/attempt_rows.c \
	's/\tmf_table_add\(recorder->attempt[^;]*;//' 042_world MF_WORLD_SEEDS=8

mutate any_row 'what is recorded row by row goes to whatever row lies there now' src/sending/attempt_rows.c \
	's/return !isnull && DatumGetInt64\(value\) == number;/return true;/' 004_attempt_records
mutate no_statement 'statement triggers of users are passed over' src/store/table_rows.c \
	's/relation->trigdesc != NULL &&/false \&\&/' 004_attempt_records
mutate not_plain 'what users have made of the agenda and of attempts is passed over' src/store/table_rows.c \
	's/\(plain && !is_plain\(relation, columns\)\)/false/' 004_attempt_records
mutate unseen_attempt 'triggers before an update do not see the attempt yet' src/sending/attempt_rows.c \
	's/recorder->insert_at_once \|\| //' 004_attempt_records
mutate row_context 'what trigger functions keep is freed with each row' src/store/table_rows.c \
	's/\tMemoryContextSwitchTo\(table->estate->es_query_cxt\);\n(\tguc_level)/$1/' 004_attempt_records
mutate asked_twice 'a question that is there already gets a second row' src/store/table_rows.c \
	's/\t\tif \(conflict\)\n\t\t\tbreak;\n//' 004_attempt_records
mutate asked_again 'a question leaves although its entry could not be changed' src/store/inquiries.c \
	's/mf_columns_change\(scope, &reschedule_statement, columns\)/(void) mf_columns_execute(scope, &reschedule_statement, columns)/' 087_changed_tables
mutate slot_taken 'an invoice is claimed for a slot that a question has' src/flow/throttle.c \
	's/ - throttle->slots\.inquiries//g' 066_failing_inquiry
mutate route_answer 'the listener passes on any answer of a function' src/inbound/route.c \
	's/status_fits \|= answer->status == valid_statuses\[i\]/status_fits = true/' 059_routes
mutate route_stubborn 'a page that does not end is waited for' src/database/user_call.c \
	's/enable_timeout_after\(kill_timeout, KILL_MS\(mf_on_change_timeout\)\);//' 059_routes
mutate route_prepared 'COMMIT PREPARED tells nobody what was committed' src/worker/utility_hooks.c \
	's/\tif \(ends_prepared\)\n/\tif (false)\n/' 059_routes
mutate route_loaded 'pages that a dump brings are not known after mf_resume()' src/functions/operator_functions.c \
	's/\tmf_routes_changed_at_commit\(\);\n//' 059_routes
mutate route_failures 'a page that fails is not told to operators' src/inbound/listener_routes.c \
	's/\tnote\(request->prefix, error, owner\);\n//' 059_routes
mutate route_leaver 'a page is answered by the function of a role that may register none any more' src/database/user_call.c \
	's/if \(call->registrant != NULL && /if (false \&\& /' 059_routes
mutate prepared_asleep 'COMMIT PREPARED wakes no worker' src/worker/utility_hooks.c \
	's/\tif \(ends_prepared\)\n/\tif (false)\n/' 001_commit_to_request
mutate errors_told 'who may not read all invoices reads errors that quote them' src/store/row_rights.c \
	's/return mf_has_role\(MF_READ_ROLE\) && !mf_is_under_policies\(schema\);/return true;/' 050_listener
mutate errors_told_under_policies 'who reads some invoices only reads errors that quote others' src/store/row_rights.c \
	's/return mf_has_role\(MF_READ_ROLE\) && !mf_is_under_policies\(schema\);/return mf_has_role(MF_READ_ROLE);/' 050_listener
mutate reaction_undoes 'a function that fails undoes the change' src/database/user_call.c \
	's/ErrorData  \*error = mf_sql_try\(run_function, &run\);/ErrorData  *error = NULL;\n\n\t\trun_function(&run);/' 070_on_change
mutate reaction_rights 'a function has the rights of whoever changes the row' src/database/user_call.c \
	's/SetUserIdAndSecContext\(run->role,/SetUserIdAndSecContext(userid,/' 070_on_change
mutate reaction_role 'a function may take on another role' src/database/user_call.c \
	's/security_context \| SECURITY_LOCAL_USERID_CHANGE \| SECURITY_RESTRICTED_OPERATION/0/' 070_on_change
mutate reaction_deferred 'what a function defers fails at the commit' src/database/user_call.c \
	's/ \| SECURITY_RESTRICTED_OPERATION//' 070_on_change
mutate reaction_path 'what a function calls of ours finds names where the function says' src/database/sql.c \
	's/strcmp\(namespace_search_path, MF_SAFE_PATH\) != 0/MyBackendType != B_BG_WORKER/' 070_on_change
mutate reaction_cancel 'a cancel of the session is taken for a failure of the function' src/database/user_call.c \
	's/\t\tif \(!run\.timed_out\)\n\t\t\tPG_RE_THROW\(\);\n//' 070_on_change
mutate reaction_owner 'a function that another role has made is called' src/database/user_call.c \
	's/current_owner != \*role/false/' 070_on_change
mutate reaction_policy 'a function is told of rows that its owner may not see' src/on_change/on_change_registry.c \
	's/return !mf_is_under_policies\(call->schema\) \|\| mf_queue_is_visible\(call->schema, call->invoice\)/return true/' 070_on_change
mutate reaction_leaver 'a function of a role that may register none any more is called' src/database/user_call.c \
	's/if \(call->registrant != NULL && /if (false \&\& /' 070_on_change
mutate reaction_earlier 'calls of an earlier registration are those of the next' src/on_change/on_change_registry.c \
	's/\t\(void\) mf_sql_execute\(&scope, &forget_statement, values, NULL\);\n//' 070_on_change
mutate reaction_left 'calls that nobody wants any more stay' src/on_change/on_change_queue.c \
	's/return mf_sql_execute\(scope, &purge_statement, NULL, NULL\);/return 0;/' 070_on_change
mutate reaction_prepared 'COMMIT PREPARED has nothing called' src/worker/utility_hooks.c \
	's/\tif \(ends_prepared\)\n/\tif (false)\n/' 070_on_change
mutate replace_twice 'two invoices are to be paid in place of one' src/functions/replace.c \
	's/OR \(i\.replaced_by IS NOT NULL AND "/OR (false AND "/' regress/replace
mutate replace_paid 'a paid invoice is to be paid once more' src/functions/replace.c \
	's/AND \(" WAS_PAID\n/AND (false "\n/' regress/replace
mutate replace_beside_payment 'an invoice is replaced while it is being paid' src/functions/replace.c \
	's/OR \(\$2 AND \(" IS_BEING_PAID " OR/OR (\$2 AND (false OR/' regress/replace
mutate replace_left 'what has replaced an invoice, and was replaced itself, does not name the last one' src/functions/replace.c \
	's/\tadd_family\(schema, &command, &olds, &news\);\n//' regress/replace
mutate replace_sends 'a replaced invoice is sent all the same' src/functions/replace.c \
	's/\tmf_action_cancel\(command, named, results, count\);/\tmf_queue_lock_named(command->schema, named, count);/' regress/replace
mutate replaced_retried 'an invoice that was refused and replaced can be sent again' src/store/queue.c \
	"s/t\\.to_status = 'rejected' AND /false AND /" regress/replace
mutate replaced_resent 'a replaced invoice in review can be sent again' src/store/queue_operations.c \
	's/if \(job->replaced_by != 0\)/if (false)/' regress/replace
mutate replaced_paid 'what replaces an invoice that was paid is sent' src/store/payment.c \
	's/\tcancel_unsent\(scope, [^;]*;\n//' regress/replace
mutate replaced_paid_twice 'nobody is told that both can be paid' src/store/payment.c \
	's/\t\(void\) mf_sql_execute\(scope, &paid_twice_statement, &value, NULL\);\n//' regress/replace
mutate guest_constraints 'guests may SET CONSTRAINTS' src/database/user_code.c \
	's/if \(command == T_ConstraintsSetStmt\)/if (false)/' 086_code_of_other_roles
mutate guest_settings 'what users set inside of what we do stays in the session' src/database/sql.c \
	's/AtEOXact_GUC\(false, guc_level\)/AtEOXact_GUC(true, guc_level)/' 086_code_of_other_roles
mutate guest_commands 'what triggers leave in the session stays there' src/database/user_code.c \
	's/ \| SECURITY_RESTRICTED_OPERATION\);/);/' 086_code_of_other_roles
mutate guest_locks 'users lock for the session inside of what we do' src/database/user_code.c \
	's/(\t\t\treturn;\n\t\}\n\tif \()runs_user_code\(\)/$1false/' 086_code_of_other_roles
mutate guest_operation 'triggers cannot fill tables with deferred constraints' src/database/sql.c \
	's/SECURITY_NOFORCE_RLS\);/SECURITY_NOFORCE_RLS | SECURITY_RESTRICTED_OPERATION);/' 086_code_of_other_roles
mutate deferred_settings 'what deferred triggers set stays with the worker' src/process/process.c \
	's/\tAfterTriggerFireDeferred\(\);\n//' 086_code_of_other_roles
mutate other_account 'an entry counts for whatever account it stands under' src/store/queue_claim.c \
	's/entries\[i\].account != NULL && strcmp/false && strcmp/' 103_repair
mutate too_early 'an entry that says so makes an invoice leave before its time' src/sending/claim_jobs.c \
	's/(due_time\(job, decisions->now\)\) >) decisions->now\)/$1 DT_NOEND)/' 103_repair
mutate wait_for_lock 'the worker waits for what somebody has locked' src/store/table_rows.c \
	's/LockTupleNoKeyExclusive, LockWaitSkip/LockTupleNoKeyExclusive, LockWaitBlock/' 027_row_locks
mutate late_forgotten 'what was to be sent at a time of a clock that was ahead waits until then' src/worker/worker_round.c \
	's/\tmf_repair_late\(scope\);\n//' 049_moved_clock
mutate given_time_lost 'what was to be sent at a time that a user gave is sent before it, where it was inserted by a clock that was ahead' src/store/queue.c \
	's/send_at == job->created_at/send_at <= job->created_at/' 049_moved_clock
mutate look_up_early 'an invoice in quiet hours is sent by a copy at the end of them without a look-up after that' src/flight/flight_lookup.c \
	's/flight->send_due > now && /false \&\& /' 092_two_primaries
mutate late_put_off 'what was put off by a clock that was ahead waits until then' src/store/repair.c \
	's/(q\.error IS NOT NULL THEN )72/${1}7200000/' 049_moved_clock
mutate late_prepared 'what is committed while a worker looks for what is late waits' src/worker/worker_round.c \
	's/(\tnote_prepared\(scope\);\n.*?\n)(\tmf_repair_late\(scope\);\n)/$2$1/' 035_reload_in_worker_start
mutate log_key "a role's own key does not read the log of webhooks where nothing is open" src/store/events.c \
	"s/e WHERE e\.invoice IS NOT NULL LIMIT 1\)\)\) k/e WHERE false LIMIT 1))) k/" 187_webhooks_lost_in_a_gap
mutate other_currency 'an amount goes to an account of another currency without a word' src/triggers/invoice_triggers.c \
	's/else if \(to_other\)/else if (false)/' 068_money
mutate other_country 'a key of another country is no refused key' src/core/api/outcome.c \
	's/ && mf_has_phrase\(envelope->error, NOT_AUTHORIZED\)/ \&\& false/' 012_answer_verdicts
mutate by_no_time 'what is past its age is looked for among all rows' src/database/sql_hooks.c \
	's/enable_bitmapscan = begins_with\(text, MF_BY_AGE\)/enable_bitmapscan = false/' 077_large_tables
mutate empty_pages 'a queue that was vacuumed while it was empty is read once for each of its rows' src/database/sql_hooks.c \
	's/if \(!plans_ours \|\| rel->rtekind/if (plans_ours || rel->rtekind/' 128_stale_statistics
mutate all_events 'all old events are looked at for those without a row' src/store/personal_data.c \
	's/\(t\.invoice IS NULL OR t\.answered_at IS NULL\)/true/' 077_large_tables
mutate late_limit 'a higher max_in_flight counts only once something was answered' src/flow/throttle.c \
	's/throttle->failures == 0 && throttle->window >= throttle->limit/false/' 008_account_isolation
mutate over_the_window 'more leave at once than max_in_flight allows' src/flow/throttle.c \
	's/return throttle->slots\.in_flight < throttle->window && /return /' 004_attempt_records
mutate never_promoted 'priority does not count for what is inserted ahead of its time' src/store/queue_claim.c \
	's/if \(now < promote_at\)/if (true)/' 003_priority
mutate keep_ready 'what was claimed ahead is never given back' src/sending/sender_ready.c \
	's/first_ready\(throttle\)->ready_until <= now/false/' 004_attempt_records
mutate inquiries_first 'inquiries that fail keep sends from leaving' src/inquiry/inquiry.c \
	's/ && throttle->inquiry\.asked_last\)/ \&\& false)/' 004_attempt_records
mutate late_pause 'mf_pause() does not stop what was claimed ahead' src/store/queue_pause.c \
	's/\tmf_news_at_commit\(MF_NEWS_PAUSE\);\n//' 004_attempt_records
mutate old_key 'that a key file was changed is not seen if all else of it is the same' src/account/secret_file.c \
	's/ && now\.changed == file->changed//' 008_account_isolation
mutate old_mapping 'a user mapping that has changed is not looked up' src/account/account_target.c \
	's/mapping_changes\+\+;//' 008_account_isolation
mutate one_key_for_all 'the key of one role that is refused stops its account' src/sending/sender_requests.c \
	's/outcome == MF_OUTCOME_ACCOUNT_PROBLEM && refuses_own_key\(flight\)/false \&\& refuses_own_key(flight)/' 008_account_isolation
mutate refused_again 'a refused key is sent again and again' src/account/account_target.c \
	's/if \(cached->refused == NULL\)\n\t\treturn cached->target;/return cached->target;/' 008_account_isolation
mutate cancels_unseen 'a row that may exist is cancelled without a look' src/functions/invoice_actions.c \
	's/\(job->status == MF_STATUS_QUEUED && job->kind != MF_JOB_SEND\)/false/' 014_cancel_in_flight
mutate cancels_copy 'what another database may have sent is cancelled without a look' src/store/invoice_lookup.c \
	's/origin <> \@mf_origin\(\)( THEN)/false$1/' 014_cancel_in_flight
mutate cancels_late 'whether it exists is looked up when it was to be sent' src/store/queue_operations.c \
	's/due = least\(q\.due, EXCLUDED\.due\), rank = least\(q\.rank, EXCLUDED\.rank\)/due = q.due/' 014_cancel_in_flight
mutate all_or_none 'one row that cannot be written fails all' src/functions/invoice_commands.c \
	's/if \(batch\.count == 1\)/ReThrowError(error); if (batch.count == 1)/' 074_commands_on_many_invoices
mutate conflict_as_result 'a conflict of transactions is taken for the fault of a row' src/database/sql.c \
	's/(mf_error_is_systemic.*?)\t\tcase ERRCODE_TRANSACTION_ROLLBACK:\n/$1/s' 074_commands_on_many_invoices
mutate any_memory 'what requests under way take of memory is not counted' src/flight/flight.c \
	's/if \(held_bytes < MF_HELD_BYTES_MAX\)/if (true)/' 007_memory_and_inquiry_budgets
mutate no_quota 'one role has as many questions asked as it likes' src/functions/role_quota.c \
	's/return turn <= now;/return true;/' 007_memory_and_inquiry_budgets
mutate no_total 'only each account has a limit' src/flow/request_slots.c \
	's/return Min\(limit, sustainable\);/return MF_IN_FLIGHT_MAX;/' 006_in_flight_limits
mutate starved_blamed 'an account is blamed for what the process lacks' src/sending/sender_requests.c \
	's/if \(outcome == MF_OUTCOME_NOT_SENT && flight->starved\)/if (false)/' 006_in_flight_limits
mutate unsigned_taken 'a webhook is believed whatever its signature' src/core/api/webhook.c \
	's/if \(!fits\)/if (false)/' 062_webhook_kinds
mutate sign_less 'one signed field of a payment event is left out' src/core/api/webhook.c \
	's/("Invoice\.Id", "Invoice\.Status", )"Transaction\.Status", ("Transaction\.PaymentId",\s+"Invoice\.ExternalIdentifier"\}\})/$1$2/' \
	062_webhook_kinds
mutate account_blamed 'one question that is never answered stops its account' src/flow/throttle.c \
	's/(\tif \(failures >= MF_ITEM_FAILURES\)\n)\t\treturn true;/$1\t\treturn false;/; s/return other == 0 \|\| other == item;/return false;/' 066_failing_inquiry
mutate any_invoice 'an answer about another invoice is applied' src/inquiry/inquiry_answer.c \
	's/else if \(strcmp\(flight->found\.values\[MF_PS_INVOICE_ID\], row->invoice_id\) != 0\)/else if (false)/' 012_answer_verdicts
mutate no_repeat 'a read that lags behind is not repeated' src/inquiry/inquiry_plan.c \
	's/(\t\tnext->unchanged_answers) < MF_QUICK_TRIES\)\n/$1 < 0)\n/' 060_payment_confirmation
mutate forget_asking 'who asks while an answer is under way is forgotten' src/store/inquiries.c \
	's/l\.times_requested = n\.times_requested/true/g; s/l\.times_requested <> n\.times_requested/false/g' 060_payment_confirmation
mutate early_missed 'an event that was faster than our own answer stays unmatched' src/store/inquiries_open.c \
	's/return (mf_sql_execute\(scope, &unusual_statement, &value, NULL\) > 0);/(void) ($1); return false;/' 004_attempt_records
mutate early_waits 'what such an event wants to know waits for the poller' src/store/inquiries_open.c \
	's/(if \(mf_inquiries_open\([^\n]*\n\t\t)mf_inquiry_wake\(\);/$1;/' 004_attempt_records
mutate failed_is_final 'a failed try ends the invoice' src/core/api/payment_status.c \
	's/payment->status = authorizations > releases \? MF_AUTHORIZED : MF_UNPAID;/payment->status = payment->try_count > 0 ? MF_REMOTE_CANCELLED : MF_UNPAID;/' \
	060_payment_confirmation
mutate refunded_by_word 'a refund makes a refunded invoice, whatever is kept' src/inquiry/inquiry_money.c \
	's/if \(mf_amount_compare\(kept, value\) >= 0\)/if (false)/' 068_money
mutate booked_again 'what is told again is booked again' src/store/ledger.c \
	's/n\.amount::numeric - coalesce\(/n.amount::numeric - 0 * coalesce(/' 068_money
mutate told_once 'two payments in one answer are one change of the row' src/inquiry/inquiry_money.c \
	's/for \(j = 0; j < batch->change_count && rounds == i \+ 1; j\+\+\)/for (j = 0; false; j++)/' 068_money
mutate money_silent 'a second payment is no NOTIFY' src/store/payment.c \
	's/if \(changes\[i\]\.step && changes\[i\]\.from == changes\[i\]\.to\)/if (false)/' 068_money
mutate other_amount 'another amount than ours is taken in silence' src/inquiry/inquiry_money.c \
	's/change->doubt = change->contradiction;/change->doubt = NULL;/' 068_money
mutate late_dispute 'what is told late of the beginning of a dispute ends it' src/store/ledger.c \
	"s/, t\\.status NOT IN \\('LOST', 'RESOLVED'\\), t\\.place/, t.place/; s/ AND l\\.status IN \\('LOST', 'RESOLVED'\\)\\) OR w/) OR w/" 068_money
mutate any_date 'a payment in the future is believed' src/inquiry/inquiry_answer.c \
	's/\(latest != 0 && time > latest\) \? 0/false ? 0/' 068_money
mutate cut_dispute 'a payment can be cut into a dispute' src/core/api/webhook.c \
	"s/== '=\\'\\)\n(\t+return refuse\\(message, MF_WEBHOOK_MALFORMED, \"the text of a dispute)/== 'X')\n\$1/" core/test_webhook_text
mutate replay_asks 'each repetition of a webhook asks again' src/store/events.c \
	's/WHERE s\.answered_at IS NULL AND /WHERE /' 060_payment_confirmation
mutate orders_first 'what a role orders goes with what events ask' src/store/inquiries_open.c \
	's/a\.too_often, \$4 "/a.too_often, 0::oid "/' 067_refresh_order
mutate no_turns 'all that one role has ordered goes before what another one has' src/store/inquiries.c \
	's/ORDER BY o\.turn, r\.role <= \$6, r\.role LIMIT/ORDER BY r.role LIMIT/' 067_refresh_order
mutate poller_last 'orders leave nothing to the poller' src/inquiry/inquiry.c \
	's/polls == 0 \? slots : /true ? slots : /' 067_refresh_order
mutate all_slots 'one of several owners takes all slots' src/flow/request_slots.c \
	's/if \(!several_owners\)/if (true)/' 010_many_accounts_of_one_owner
mutate own_merchant 'USAGE lets a role choose the merchant' src/account/account_key.c \
	's/return account->own_mappings \|\| /return true || /' 081_rights_by_row
mutate other_deposit 'an answer about another deposit is taken' src/core/api/deposit.c \
	's/strcmp\(values\[MF_DI_DEPOSIT_REFERENCE\], reference\) != 0 \?/false ?/' core/test_deposit
mutate deposit_settled 'an answer settles what was asked for after its question left' src/store/deposits.c \
	's/CASE WHEN d\.times_requested <> \$2 THEN clock_timestamp\(\) END/NULL/; s/CASE WHEN d\.times_requested = \$2 THEN .read. ELSE .queued. END/\x27read\x27/' 160_deposits
mutate deposit_pauses 'a key that may not read deposits pauses the account' src/flight/flight.c \
	's/true, MF_ITEM_DEPOSIT/false, MF_ITEM_DEPOSIT/' 160_deposits
mutate deposit_holds 'deposits that cannot be read hold up invoices' src/sending/sender_requests.c \
	's/if \(mf_flight_stands_alone\(flight\) && is_failure/if (false \&\& is_failure/' 160_deposits
mutate deposit_wiped 'a list without payments wipes those that were read' src/inquiry/deposit_reading.c \
	's/ && \(flight->list\.row_count > 0 \|\| expected == 0\)\)/)/' 160_deposits
mutate deposit_unread 'a deposit that is to be read again hands its refunds to the next one' sql/myfatoorah--1.0.0.sql \
	's/WHERE d\.read_at IS NOT NULL OR d\.announced_at IS NOT NULL\)/WHERE d.status = \x27read\x27)/' 160_deposits
mutate deposit_forgotten 'deposits that had to wait for others are not looked for again' src/flight/flight.c \
	's/(deposit_count--;\n)\t\tmf_inquiry_wake\(\);/$1/' 178_deposit_wakeups
mutate deposit_taken_back 'nobody is woken when a session takes back what it has locked' src/process/wakeup.c \
	's/ && MyBgworkerEntry == NULL\)/ \&\& false)/' 178_deposit_wakeups
mutate deposit_twice 'a payment that is listed twice is not shown' sql/myfatoorah--1.0.0.sql \
	's/\(o\.deposit, o\.item\) < \(r\.deposit, r\.item\)/false/' 160_deposits
mutate deposit_waits 'the worker waits for a session that has asked for a deposit' src/store/deposits.c \
	's/WHERE d\.id = \$1 FOR NO KEY UPDATE SKIP LOCKED/WHERE d.id = \$1 FOR NO KEY UPDATE/' 160_deposits
mutate deposit_each 'a deposit of a merchant is listed once for each of his accounts' src/store/deposits.c \
	's/ AND \@mf_shares_webhooks\(" account ", " other "\)/ AND false/' 183_webhooks_of_a_merchant
mutate deposit_one_key 'a deposit that one key may not read is not tried with the others of the merchant' src/inquiry/deposit_reading.c \
	's/next->elsewhere = !next->failed;/next->elsewhere = false;/' 183_webhooks_of_a_merchant
mutate short_deposit 'a deposit of which a payment was lost counts as read' src/store/deposits.c \
	's/if \(mf_result_int8\(0, 1\) != 0\)\n\t\tmf_change_suppressed\(\);\n\}\n\n\/\* A time/}\n\n\/* A time/' 160_deposits
mutate reference_taken 'a direct call goes under the reference of a row of another role' src/store/invoice_lookup.c \
	's/if \(mf_sql_execute\(&scope, &statement, &stem, NULL\) > 0\)/if (false)/' 081_rights_by_row
mutate remind_unasked 'bills are reminded of without a question' billing/install/60_reminder.sql \
	's/IF NOT \@extschema\@\.mf_bill_asked\(b\.id, as_of, q\.asked_since\) THEN/IF false THEN/' 147_billing_year MF_YEAR_SEED=4
mutate renew_unasked 'links are replaced without a question' billing/install/40_link.sql \
	's/IF NOT \@extschema\@\.mf_bill_asked\(b\.id, as_of, greatest\([^;]*?\) THEN/IF false THEN/' 147_billing_year MF_YEAR_SEED=4
mutate plan_drift 'a period begins one interval after the one before' billing/install/50_calendar.sql \
	"s/WHEN 'gregorian' THEN \(day \+ every \* k\)::date/WHEN 'gregorian' THEN (day + k * 30)::date/" 147_billing_year MF_YEAR_SEED=4
mutate kept_name 'closed bills that are old keep their customers' billing/install/68_forget.sql \
	"s/SET customer_name = '', /SET /" 149_reminders
mutate bills_stay 'bills keep the old name of their account' src/store/move_account.c \
	's/\(void\) call_followers\(schema, old_name, new_name\);//' 141_bill_links
mutate role_by_name 'what an extension has registered ends with the name of its role' src/database/user_call.c \
	's/call->registrant == NULL \? user_function\(call\) : InvalidOid/InvalidOid/' 141_bill_links
mutate pay_in_progress 'a page sends to pay while a payment is in progress' billing/install/75_page.sql \
	's/ELSIF \@extschema\@\.mf_bill_in_progress\(b\.id, as_of\) THEN/ELSIF false THEN/' 141_bill_links
mutate past_the_callback 'payers come back to a bill before MyFatoorah was asked' src/request/request.c \
	's/mf_route_callbacks \|\| come_back/mf_route_callbacks/g' 141_bill_links
mutate doubt_stays 'somebody has to decide about a payment that a bill has booked' billing/install/40_link.sql \
	's/IF new\.payment_doubt ~ /IF false AND new.payment_doubt ~ /' 141_bill_links
mutate stranded 'what a tick with a time ahead has put off stays so' billing/install/90_tick.sql \
	's/IF \@extschema\@\.mf_tick_back\(as_of, 5000\) THEN/IF false THEN/' 141_bill_links
mutate asked_ahead 'a question for a time ahead counts when that has come' billing/install/40_link.sql \
	's/ OR \(k\.asked_at < k\.since AND k\.since <= clock_timestamp\(\)\)//' 141_bill_links
mutate adopted_link 'a link that was deleted and adopted is none of its bill' billing/install/40_link.sql \
	's/coalesce\((\(SELECT k\.bill [^;]*?\)), \@extschema\@\.mf_link_adopted\(new\)\);/$1;/' 141_bill_links
mutate asked_tomorrow 'an answer of a time that has not come counts' billing/install/40_link.sql \
	's/ OR k\.asked_at > clock_timestamp\(\)//' 141_bill_links
mutate more_than_owed 'a link asks for more than its bill' billing/install/40_link.sql \
	's/least\(b\.balance, b\.total, /least(b.balance, /' 141_bill_links
mutate books_dropped 'bills are dropped unawares' billing/src/books.c 's/sub_id != 0 \|\| drop_books \|\|/sub_id != 0 || !drop_books ||/' 143_dropped_books
mutate unguarded 'nothing loads the library that keeps bills' billing/install/92_books.sql \
	's/\tEXECUTE \(SELECT format\(.SELECT l\.ours.*?\n/\tNULL;\n/' 143_dropped_books
mutate times_take_numbers 'times take the numbers of what a dump brings' src/on_change/on_change_queue.c \
	's/\(id, function, failures, due\) OVERRIDING SYSTEM VALUE "/(function, failures, due) "/; s/VALUES \(-1 - floor\(random\(\) \* 9e15\)::int8, \$1/VALUES (\$1/' 143_dropped_books
mutate refunded_again 'what refunds under way give back is to be refunded again' billing/install/45_commands.sql \
	's/rest := b\.overpaid - being_refunded;/rest := b.overpaid;/' 144_overpaid_bills
mutate fils_more 'a refund in the currency of the account opens the bill' billing/install/45_commands.sql \
	's/part := part - unit;/NULL;/' 144_overpaid_bills
mutate refund_in_riyals 'a refund is advised in the currency of the bill' billing/install/45_commands.sql \
	's/CASE WHEN p\.base_currency = b\.currency THEN rest ELSE .* END\);/rest);/' 144_overpaid_bills
mutate past_the_payment 'more is to be refunded of a payment than it has' billing/install/45_commands.sql \
	's/least\(p\.has, kept, /least(/' 144_overpaid_bills
mutate late_send 'what replaces a link is sent long after it was made, without a question' src/sending/claim_jobs.c \
	's/\treturn \(job->created_at < before/\treturn false \&\& (job->created_at < before/' 151_late_reminders
mutate late_reminder 'a reminder that was not sent yet is sent beside what has overtaken it' billing/install/60_reminder.sql \
	"s/i\.status IN \('queued', 'cancelled'\) RETURNING/false RETURNING/" 151_late_reminders
mutate anybody_bills 'everybody changes bills of others' billing/install/20_bill.sql \
	's/\t\tPERFORM \@extschema\@\.mf_check_right\(\x27bill\x27::text, OLD\.id, OLD\.created_by_id, current_user\);//' 142_rights_on_bills
mutate planted_mover 'a function that somebody has planted is called when an account is renamed' src/store/move_account.c \
	's/  AND EXISTS \(SELECT FROM pg_depend d [^"]*"/"/' 142_rights_on_bills

mutate endless_key 'a request is repeated however old its key is' src/flight/replay.c \
	's/if \(left <= 0\)\n\t\treturn window;/if (left <= 0)\n\t\tleft = 60000000;/' 165_links_that_survive
mutate moved_clock 'a request is repeated although the clock was moved' src/flight/replay.c \
	's/ \|\| elapsed < elapsed_by_clock - CORRECTION_MAX_US \|\|\n\t\telapsed > elapsed_by_clock \+ CORRECTION_MAX_US\)/)/' 165_links_that_survive
mutate other_boot 'a request is repeated although the machine was started anew' src/flight/replay.c \
	's/ \|\| boot != reference->first_boot\)/)/' 165_links_that_survive
mutate other_time 'a request is repeated whatever time MyFatoorah tells' src/flight/replay.c \
	's/return date != 0 && date >= now/return true || date >= now/' 165_links_that_survive
mutate thawed_row 'another request than was committed is sent under the key' src/sending/claim_replay.c \
	's/return strcmp\(digits, reference->digest\) == 0;/return true;/' 165_links_that_survive
mutate other_merchant 'a request is repeated with another key' src/sending/claim_replay.c \
	's/!reference->sent \|\| reference->sent_to != mf_http_target_checksum\(target\) \|\|\n\t\t//' 165_links_that_survive
mutate other_call 'a request is repeated although SendPayment may have made what was found' src/sending/claim_replay.c \
	's/ \|\| reference->v2\)/)/' 165_links_that_survive
mutate answered_twice 'a request that was answered is repeated' src/sending/claim_replay.c \
	's/reference->answered \|\| //' 165_links_that_survive
mutate told_twice 'requests whose customers are notified are repeated' src/sending/claim_replay.c \
	's/ &&\n\t\tmf_text_is\(job->request\.values\[MF_SP_NOTIFICATION_OPTION\], "LNK"\)//' 165_links_that_survive
mutate second_hidden 'a repeated request that made another invoice passes for the first' src/flight/flight_outcome.c \
	's/return found_id == NULL \|\| strcmp\(invoice_id, found_id\) != 0;/return false;/' 165_links_that_survive
mutate unproved_api 'rows go by POST \/v3\/payments before anything is proved' src/store/api_proof.c \
	's/ && proof == MF_PROOF_GIVEN\)/)/' 165_links_that_survive
mutate rejected_again 'a refusal of a repeated request rejects the row' src/flight/flight_outcome.c \
	's/if \(end->repeats > 0 && end->outcome != MF_OUTCOME_ACCEPTED\)/if (false)/' 165_links_that_survive
mutate receipt_taken 'the receipt of a payment that was not asked for is taken for a link' src/core/api/endpoint.c \
	's/\.completed = "PaymentCompleted", //' core/test_create_payment
mutate any_link 'a link that leads elsewhere than to a web page is handed to customers' src/core/api/outcome.c \
	's/cJSON_IsString\(link\) && mf_link_valid\(link->valuestring\)/cJSON_IsString(link)/' core/test_outcome
mutate refund_unrecorded 'a refund leaves without an attempt' src/operation/operation_decide.c \
	's/if \(decisions\.started != NIL\)\n\t\trecord_starts/if (false)\n\t\trecord_starts/' 161_refunds
mutate refund_twice_listed 'a refund that was listed before its answer was recorded keeps the answer from being recorded' src/store/operations.c \
	's/named \|= c->refund_id != NULL;//' 185_refunds_without_identifier
mutate refund_possible 'a refund is asked for again while one without ExternalIdentifier may be it' src/inquiry/inquiry_refunds.c \
	's/if \(id == NULL \|\| change->to == MF_OPERATION_UNKNOWN\)/if (true)/' 185_refunds_without_identifier
mutate repetition_orphan 'a repetition is known by the row alone that began its plan' src/inquiry/inquiry_answer.c \
	's/mf_reference_is_made\(ours, strlen\(ours\)\)/false/' 179_recurring_lasts
mutate dispute_retyped 'a fraud alert that becomes a chargeback is a repetition' src/store/events.c \
	's/WHEN " LOST_AS_CHARGEBACK " THEN/WHEN false THEN/' 068_money
mutate disputed_refunded 'a payment that a bank disputes is to be refunded' billing/install/45_commands.sql \
	"s/ AND d\.status = 'PENDING'\) THEN/ AND false) THEN/" 144_overpaid_bills
mutate given_back_twice 'a payment that was refunded and lost needs nobody' src/store/payment.c \
	's/if \(c->money \&\& [^\n]*\n\t\t\tdoubt_payments/if (false)\n\t\t\tdoubt_payments/' 144_overpaid_bills
mutate refund_repeated 'a refund whose outcome is unknown is asked for again by itself' src/operation/operation_outcome.c \
	's/change->to = MF_OPERATION_UNKNOWN;/change->to = MF_OPERATION_QUEUED;/' 161_refunds
mutate refund_unsummed 'more is refunded than was received, if sessions do it at once' src/triggers/operation_trigger.c \
	's/ \|\| mf_amount_compare\(value, invoice->left\) > 0\)/)/' 161_refunds
mutate refund_two_at_once 'two requests for refunds of an invoice at once' src/operation/operation_decide.c \
	's/if \(operation->blocked \|\| is_started\(decisions, operation->invoice\)\)/if (false)/' 161_refunds
mutate refund_stranger 'a refund goes to wherever the account points, by its number alone' src/operation/operation_decide.c \
	's/operation->lookups == 0 \|\| operation->confirmed_from != mf_http_target_checksum\(target->target\)/operation->lookups == 0/' 180_own_money
mutate taken_over_anywhere 'an invoice that was taken over is known by its number at any address' src/inquiry/inquiry_answer.c \
	's/return row->taken_over_from != NULL \&\&\n/return false \&\&\n/' 180_own_money
mutate found_by_name "an invoice that a look-up has found is known by the customer's reference alone" src/inquiry/inquiry_answer.c \
	's/if \(row->taken_over_from != NULL \&\&\n/if (row->attempts == 0 \&\&\n/' 180_own_money
mutate refund_unasked 'a refund is asked for before MyFatoorah has shown its invoice as ours' src/operation/operation_decide.c \
	's/operation->lookups == 0 \|\| operation->confirmed_from/operation->may_exist \&\& operation->lookups == 0 \&\& operation->confirmed_from/' 180_own_money
mutate refund_reasked 'a refund that was refused is asked for again without a look-up' src/operation/operation_decide.c \
	's/operation->lookups == 0 \|\| operation->confirmed_from/operation->confirmed_from/' 161_refunds
mutate refund_guessed 'a refund that is not found is asked for again' src/inquiry/inquiry_refunds.c \
	's/if \(refused\)/if (true)/' 161_refunds
mutate refund_copied 'a copy carries out refunds that were queued' src/store/operation_rows.c \
	's/THEN .unknown. ELSE .review. END AS status/THEN \x27queued\x27 ELSE \x27queued\x27 END AS status/' 164_money_in_copies
mutate refund_hurried 'what MyFatoorah does not show yet is given up early, because others ask about the invoice' src/store/operations.c \
	's/    asked_at = NULL, confirmed_from/    confirmed_from/' 161_refunds
mutate refund_right_kept 'a refund leaves of a role that has lost the right to the invoice' src/operation/operation_decide.c \
	's/if \(error != NULL \|\|\n.*\n\t\treturn error;/if (true)\n\t\treturn error;/' regress/refund
mutate refund_asked 'what was refunded counts with what was asked for' src/store/operation_sums.h \
	's/"greatest\(" r "\.value, /"coalesce(" r ".value, /' 171_refunds_in_the_books
mutate refund_rest 'what is left to be refunded is less than nothing' src/store/operation_sums.h \
	's/" others "\), 0\), 0\)"\n\n/" others "), 0), -1000)"\n\n/' 171_refunds_in_the_books
mutate refund_silent 'a refund that waits for an answer does not say so' sql/myfatoorah--1.0.0.sql \
	's/ AND \(q\.error IS NOT NULL OR q\.failures > 0\)\),/ AND false),/' 171_refunds_in_the_books
mutate refund_abroad 'amounts in another currency are booked' src/inquiry/inquiry_answer.c \
	's/refund\[MF_RF_BASE_CURRENCY\] != NULL && pg_strcasecmp/false \&\& pg_strcasecmp/' 171_refunds_in_the_books
mutate refund_undoubted 'nobody is told that more was given back than received' src/store/payment.c \
	's/if \(c->step && mf_amount_compare/if (false \&\& mf_amount_compare/' 171_refunds_in_the_books
mutate refund_adopted 'a refund of an invoice that was deleted is shown twice' src/store/operation_rows.c \
	's/g\.refund_id = n\.refund_id::int8 AND g\.invoice/false AND g.invoice/' 171_refunds_in_the_books
mutate chargeback_left 'what a deleted row has lost in a dispute can be refunded of the row that takes its invoice over' src/store/ledger.c \
	's/e\.invoice = g\.holder AND e\.event_code/false AND e.event_code/' 068_money
mutate dispute_by_arrival 'a dispute that was won is booked as lost, if its webhooks overtake each other' src/store/ledger.c \
	's/t\.place DESC NULLS LAST, //' 068_money
mutate log_overrules 'the log of webhooks changes what a webhook of version 1 has said of the end of a dispute' src/store/ledger.c \
	's/ AND NOT t\.overruled "/ "/' 189_log_beside_webhooks
mutate log_contradicts 'nobody is told that the log of webhooks has another end of a dispute' src/store/ledger.c \
	's/ AND \(t\.overruled "/ AND (false "/' 189_log_beside_webhooks
mutate dispute_lost_once 'a dispute that is lost again after it was won stays won' src/store/events.c \
	's/"\(e\.event_code = 6 AND /"(false AND /' 068_money
mutate won_elsewhere 'a webhook that comes in under two accounts is news twice' src/store/ledger.c \
	's/coalesce\(e\.number <> first_value\(e\.number\) OVER s, true\)/true/' 183_webhooks_of_a_merchant
mutate won_again 'a webhook that is replayed with another number gives money back that was lost' src/store/ledger.c \
	's/FROM t WHERE NOT t\.won_again /FROM t /' 183_webhooks_of_a_merchant
mutate webhook_stranger "another merchant's webhook is about an invoice of ours" src/store/events.h \
	's/"  AND \@mf_shares_webhooks\(i\.account, " account "\)\)\)"/")"/' 183_webhooks_of_a_merchant
mutate former_name_lost 'webhooks under the former name of an account are refused' src/inbound/inbound.c \
	's/if \(messages\[i\]\.account != NULL\)/if (false)/' 183_webhooks_of_a_merchant
mutate former_name_stored 'what comes in while a server is renamed stays under its former name' src/account/account.c \
	's/LockDatabaseObject\(ForeignServerRelationId, held, 0, AccessShareLock\);//' 183_webhooks_of_a_merchant
mutate former_name_paused 'the former name of an account is paused' src/flight/claim_account.c \
	's/if \(mf_account_hold_name\(throttle->account\)\)//' 183_webhooks_of_a_merchant
mutate role_named_before 'a dump has the former name of a role after mf_repair()' src/store/repair.c \
	's/name_roles\(&scope\);/close_types(&scope);/' 184_roles_in_copies
mutate role_named_by_stranger 'mf_repair() gives rows of another database the names of the roles that have their OIDs here' src/store/repair.c \
	's/"NOT " ROLES_OF_OTHERS/"true"/' 184_roles_in_copies
mutate currency_lost 'an amount becomes one of the currency that the account has by the time of sending' src/request/request.c \
	's/if \(!request->isnull\[MF_SP_DISPLAY_CURRENCY_ISO\] \|\| strcmp\(TextDatum/if (request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] || strcmp(TextDatum/' 068_money
mutate numbers_apart 'what was booked for an invoice is booked again in another account of the same address' src/account/account.c \
	's/strcmp\(address, other->base_url\) == 0/strcmp(account->name, other->name) == 0/' 181_numbers_of_two_rows
mutate number_twice 'nobody is told that two invoices have a payment of the same number' src/inquiry/inquiry_money.c \
	's/if \(line->holder != 0/if (false/' 181_numbers_of_two_rows
mutate refund_misnumbered 'the number of another refund hides the one that is ours by its reference' src/inquiry/inquiry_refunds.c \
	's/ && row->refund_reference == NULL/ \&\& row->refund_id == NULL/' 181_numbers_of_two_rows
mutate held_again 'nobody is told that a payment is held after a release' src/store/payment.c \
	's/c->from != MF_AUTHORIZED && c->to == MF_AUTHORIZED/false/' 171_refunds_in_the_books
mutate pause_stays 'a renamed account leaves its pause behind' src/store/move_account.c \
	's/paused_at = NULL, paused_by = NULL, reason = NULL, renamed_to = \$2/renamed_to = \$2/' 171_refunds_in_the_books
mutate id_again 'a new row gets the id of a deleted one, and what that has received' src/store/archive.c \
	's/if \(mf_sql_execute\(&scope, &left_statement, NULL, NULL\) > 0 \|\|/if (false ||/' regress/archive
mutate dispute_undecided 'what a person has decided about a dispute is not booked' src/store/ledger.c \
	"s/'log', 'person'\)/'log')/" 068_money
mutate dispute_doubted 'what is in doubt of a dispute stays so when it was won' src/inquiry/inquiry_money.c \
	's/\t\tmf_payment_end_doubt\(scope, dispute->invoice, both_ends\(dispute, !lost\)\);\n//' 068_money
mutate back_twice_for_ever 'what was given back twice stays in doubt when the dispute was won' src/store/payment.c \
	's/else if \((?:c|change)->has_dispute\)/else if (false)/g' 068_money
mutate chargeback_hidden 'a fraud alert hides a chargeback that comes in with it' src/store/events.c \
	's/events\[j\]\.event_code == 6 && is_chargeback\(&events\[i\]\)/events[j].event_code == 6 \&\& false/' 068_money
mutate refund_unwarned 'nobody is told that a payment to be refunded is under dispute' src/triggers/operation_trigger.c \
	's/if \(invoice->disputed != NULL\)/if (false)/' 144_overpaid_bills
mutate refund_remembered 'mf_forget() leaves what a webhook about a refund says of a deleted row' src/store/personal_data.c \
	's/AND \(" NAMED_BY\("o"\) " = \$1 OR " IS_REFERENCE_OF\(NAMED_BY\("o"\)/AND (o.customer_reference = \$1 OR " IS_REFERENCE_OF("o.customer_reference"/' regress/personal_data
mutate reload_unheard 'a new retention time waits until something else has to be done' src/worker/worker.c \
	's/if \(mf_retention_changed\(\)\)/if (false)/' regress/personal_data
mutate capture_denied 'a capture that was refused and carried out stays refused' src/inquiry/inquiry_holds.c \
	's/if \(given_up && !is_done_after_all/if (given_up || !is_done_after_all/' regress/capture
mutate release_unseen 'a release is not seen if the customer has paid again' src/core/api/payment_status.c \
	's/payment->released = releases > 0;/payment->released = releases > 0 \&\& releases >= authorizations;/' 162_captures
mutate supplier_unshared 'the vendor bears what suppliers bear, too' src/operation/operation_decide.c \
	's/request\.vendor_amount = operation->vendor_value;/request.vendor_amount = operation->value;/' 177_supplier_refunds
mutate untimed_sent 'a refund that was loaded without a time is asked for' src/store/operation_rows.c \
	's/DOUBT_QUEUED\("q\.due IS NULL AND /DOUBT_QUEUED("false AND /' 176_refunds_kept
mutate attempts_gone 'attempts of a refund that is not finished are deleted' src/store/operation_rows.c \
	's/AND NOT EXISTS \(SELECT FROM \@mf_operation o WHERE o\.id = t\.operation "\n\t"    AND " MF_OPERATION_OPEN\("o"\) "\)/"\n\t"/' 176_refunds_kept
mutate refund_archived 'an invoice with a refund that is not finished is archived' src/store/personal_data.h \
	's/\x27sending\x27, \x27filed\x27, /\x27sending\x27, /' 176_refunds_kept
mutate capture_repeated 'a capture that MyFatoorah does not show is asked for again' src/inquiry/inquiry_refunds.c \
	's/change->to = MF_OPERATION_REVIEW;\n\tchange->due = 0;/change->to = MF_OPERATION_QUEUED;/' 162_captures
mutate execute_cut 'an answer of ExecutePayment that broke off is taken for a request that has not left' src/core/api/outcome.c \
	's/if \(proves_nothing_left\(exchange\)\)\n\t\{\n\t\tresult->outcome/if (proves_nothing_left(exchange) || (endpoint == \&mf_endpoints[MF_EXECUTE_PAYMENT] \&\& !mf_is_answered(exchange)))\n\t{\n\t\tresult->outcome/' 173_execute_cut_at_each_byte
mutate repetition_twice 'a repetition that has a row gets another one' src/store/recurring.c \
	's/"  AND NOT EXISTS \(SELECT FROM " MF_HAVING_NUMBER\("n\.invoice_id::int8"\) " AND \@mf_shares_numbers\(i\.account, i\.taken_over_from, \$1\)\) "\n//' 174_recurring
mutate repetition_in_two_accounts 'a repetition that has a row in another account with the same invoices gets another one' src/store/recurring.c \
	's/\@mf_shares_numbers\(i\.account, i\.taken_over_from, \$1\)\) "\n\t"  AND NOT EXISTS \(SELECT FROM \@mf_archive/i.account || \x27\x27 = \$1) "\n\t"  AND NOT EXISTS (SELECT FROM \@mf_archive/' 174_recurring
mutate plan_lags 'an event of a recurring payment has its answer by any list' src/store/recurring.c \
	's/THEN NULL ELSE " AGAIN\("l"\) "/THEN NULL ELSE NULL::timestamptz/' 174_recurring
mutate repetition_holds_up 'a repetition that cannot be written holds up those of all plans' src/store/recurring.c \
	's/mf_items_add\(MF_ITEM_REPETITION, invoice_id\);/(void) invoice_id;/' 174_recurring
mutate number_shared 'a row that was answered with the number of another is not marked' src/store/inquiries_open.c \
	's/\tmf_number_flag_shared\(scope, sent, count\);\n//' 069_wrong_number
mutate plan_ended_early 'a plan ends by a list that lacks a repetition of which an event tells' src/store/recurring.c \
	's/THEN \(SELECT min\(w\.due\) FROM w WHERE w\.plan = i\.recurring_id\)/THEN NULL/' 174_recurring
mutate plan_not_refreshed 'mf_refresh() of a row that has begun a plan does not have the list read' src/store/inquiries_open.c \
	's/WHERE NOT a\.too_often FOR NO KEY/WHERE false FOR NO KEY/' 174_recurring
mutate repetition_believed 'an event of a recurring payment has the invoice asked about that it names, not the list' src/store/inquiries.c \
	's/coalesce\(e\.event_code = 5, false\)/false/' 174_recurring
mutate plan_forgotten 'plans that were refused once are not asked for again' src/inquiry/inquiry_record.c \
	's/\n\t\t\t\tnext->due = TimestampTzPlusMilliseconds\(batch->now, PLAN_REFUSED_MS\);//' 179_recurring_lasts
mutate plan_refused_each 'a list that is refused is asked for once for each plan' src/inquiry/inquiry_record.c \
	's/\n\t\tmf_recurring_put_off\(scope, [^\n]*//' 179_recurring_lasts
mutate plan_deleted 'a row whose recurring payment goes on is deleted' src/store/recurring.c \
	's/e\.invoice BETWEEN \$1 AND \$2 AND e\.source = \x27plan\x27/false/' 174_recurring
mutate plan_beside_plan 'what may be beginning a recurring payment is replaced by what begins another' src/functions/replace.c \
	's/i\.status IN \(\x27sending\x27, \x27unknown\x27, \x27review\x27\) OR //' 174_recurring
mutate repetition_unnamed 'the reference that the list of recurring payments names for a repetition is not kept' src/store/recurring.c \
	's/length\(n\.listed\) BETWEEN 1 AND 100/false/' 174_recurring
mutate plan_cancelled_late 'what was cancelled is awaited until its next payment' src/functions/direct_recurring.c \
	's/if \(!XactReadOnly\)/if (XactReadOnly)/' 174_recurring
mutate personal_outlives 'what is personal outlives a row that is deleted' src/store/queue_new_rows.c \
	's/\tmf_personal_data_erase_lines\(&scope, invoice\);\n//' regress/personal_data
mutate strangers_deposit 'a line of a stranger in a deposit is shown beside a row that was taken over elsewhere' sql/myfatoorah--1.0.0.sql \
	's/AND \(i\.account = d\.account AND i\.taken_over_from IS NULL OR mf_shares/AND (i.account = d.account OR mf_shares/' regress/archive
mutate late_link 'a link that was not sent in time leaves its bill without one' billing/install/40_link.sql \
	's/ OR \(new\.status = .rejected. AND new\.last_error LIKE [^)]*\)//' 141_bill_links
mutate paused_bills 'a paused plan is said to bill what it will not after a promotion' billing/install/52_plan.sql \
	's/coalesce\(p\.next_at, \@extschema\@\.mf_local_time\(p\.account, p\.next_on, p\.at_time\)\) <= promoted, false/p.next_at <= promoted, false/' 182_bills_after_promotion
mutate plan_archived 'a row whose recurring payment goes on is archived' src/store/personal_data.h \
	's/AND NOT " MF_PLAN_GOES_ON\(row\) " "/AND true "/' 179_recurring_lasts
mutate repetition_adopted 'a repetition is taken for the invoice that has begun the plan' src/flight/flight_lookup.c \
	's/ && may_be_repetition\(flight\)\)\n\t\{/ \&\& false)\n\t{/' 092_two_primaries
mutate plan_begun_twice 'a second invoice of a recurring payment is taken for a repetition' src/flight/flight_lookup.c \
	's/\|\| may_be_repetition\(flight\)\)\)/|| flight->recurring))/' 092_two_primaries
mutate webhook_passed_over 'what a webhook has told of is sent, because a look-up does not show it yet' src/sending/sender_outcomes.c \
	's/\tnote_told\(scope, &batch, locked\);\n//' 188_webhook_before_lookup
mutate told_waits 'the worker waits for a session that has locked a row which was looked up' src/sending/sender_outcomes.c \
	's/ && mf_find_id\(locked, flight->invoice\) != NULL\)\n\t\t\tinvoices/)\n\t\t\tinvoices/' 188_webhook_before_lookup
mutate own_reference_passed 'what another server may have sent is not looked up under its own reference' src/store/queue_internal.h \
	's/lookups = least\(lookups, 0\), error/error/' 092_two_primaries
mutate wait_cut_short 'a new key has looked up at once what another server may be sending' src/store/queue_internal.h \
	's/error = NULL, due = " due/due = " due/' 092_two_primaries
mutate verify_at_once 'what was to be looked up before a promotion does not wait after it' src/store/queue_origin.c \
	's/WHERE kind IN \(.send., .verify.\) AND \(NOT/WHERE kind = \x27send\x27 AND (NOT/' 092_two_primaries
mutate resumed_at_once 'what was put off is looked up at once after a pause of all accounts' src/store/queue_pause.c \
	's/ OR q\.lookups > 0 OR q\.error IS NOT NULL\)/)/' 092_two_primaries
mutate named_and_sent 'what a webhook names is not looked up under its own reference' src/store/events.c \
	's/lookups = CASE q\.kind WHEN .watch. THEN q\.lookups ELSE 0 END, due/due/' 092_two_primaries
mutate rescheduled_and_sent 'what gets another time is not looked up under its own reference' src/store/queue_new_rows.c \
	's/CASE WHEN q\.kind = .verify. THEN 0 WHEN d/CASE WHEN q.kind = \x27send\x27 AND d/' 092_two_primaries
mutate clock_behind 'what was created in the future of a promoted server is taken for its own' src/store/queue_origin.c \
	's/max\(i\.created_at::timestamptz\)/max(clock_timestamp())/' 092_two_primaries
mutate decision_unread 'the worker does not hear that rows of another server came before a person has decided' src/sending/copy_guard.c \
	's/\n\tsince_known = false;//' 097_resends_in_copies
mutate bills_of_other_clock 'bills that were due by the clock of the old primary are made again' src/store/queue_origin.c \
	's/, pg_last_xact_replay_timestamp\(\)//' 092_two_primaries
mutate given_up_before 'what a server whose clock is behind has given up is not looked up again' src/store/attempts.c \
	's/STEM\("a\.reference"\) " = " STEM\("i\.reference"\)/"a.reference = i.reference"/' 092_two_primaries
mutate replaced_of_other_clock 'what a clock that was ahead has made is sent in place of another unasked' src/sending/claim_jobs.c \
	's/ \|\| job->created_at > after//' 151_late_reminders
mutate refund_of_other_clock 'a refund is not taken for what a clock that was ahead has asked for' src/store/operation_rows.c \
	's/max\(a\.started_at\)\)/now())/' 185_refunds_without_identifier
mutate misfit_at_once 'an entry that is put right is looked up at once' src/sending/claim_jobs.c \
	's/mf_claim_has_twin\(job\) \? mf_verify_due\(job->send_at, now\) : //' 092_two_primaries
mutate repair_undoes 'mf_repair() undoes what the worker has written meanwhile' src/store/repair.c \
	's/\n\t"  FOR NO KEY UPDATE OF i FOR UPDATE OF q\)/\n\t")/' 103_repair

if [ "$run_one" = check_pattern ]
then
	[ "$misfits" -eq 0 ]
else
	mf_summary
fi
