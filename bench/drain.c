/*
 * drain.c
 *	  Lets the extension send what is queued, and measures it from outside.
 *
 * The account, or '*' for all, is paused and --count invoices are due.  It is
 * resumed, and the time is taken until nothing due is on its agenda any more.  Progress is
 * read from the counters of the benchmark's server, which disturbs nobody;
 * the database is asked only at the end.  With --held another session holds a
 * snapshot meanwhile.
 *
 *	drain --stats FILE --count N [--account NAME] [--held] [--wait SECONDS]
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/drain.c
 */
#include "common.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* What is looked at before and after */
typedef struct Reading
{
	double wal;
	double transactions;
	ProcessStats worker;
	ProcessStats server;
	unsigned long long answered;
	unsigned long long connections;
	unsigned long long body_bytes;
} Reading;

static PGconn *connection;
static ServerStats *stats;
static int worker_pid;

static PGconn *open_session(void);
static char *ask(const char *query, const char *parameter);
static void take_reading(Reading *reading);
static void hold_snapshot(void);

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"stats", required_argument, NULL, 's'},
											{"count", required_argument, NULL, 'n'},
											{"account", required_argument, NULL, 'a'},
											{"wait", required_argument, NULL, 'w'},
											{"held", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	const char *stats_file = NULL;
	const char *account = "myfatoorah";
	long count = 0;
	long wait = 60;
	int held = 0;
	int option;
	Reading before;
	Reading after;
	int64_t begin;
	int64_t end;
	int64_t last_progress;
	int64_t last_look = 0;
	int64_t peak_kb = 0;
	unsigned long long seen;
	double seconds;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 's')
			stats_file = optarg;
		else if (option == 'n')
			count = parse_number("--count", optarg, 1);
		else if (option == 'a')
			account = optarg;
		else if (option == 'w')
			wait = parse_number("--wait", optarg, 1);
		else if (option == 'h')
			held = 1;
		else
			return 2;
	}
	if (stats_file == NULL || count == 0)
		die("usage: drain --stats FILE --count N [--account NAME] [--held] [--wait SECONDS]");

	stats = map_stats(stats_file, 0);
	connection = open_session();
	worker_pid = atoi(ask("SELECT pid FROM mf_worker_status", NULL));
	if (held)
		hold_snapshot();

	take_reading(&before);
	begin = last_progress = now();
	(void) ask("SELECT mf_resume($1)", account);
	for (seen = before.answered; seen < before.answered + (unsigned long long) count;)
	{
		unsigned long long answered = atomic_load(&stats->answered);

		if (answered > seen)
		{
			seen = answered;
			last_progress = now();
		}
		else if (now() - last_progress > wait * SECOND)
			die("nothing was sent for %ld s, after %llu of %ld; the worker says: %s", wait,
				seen - before.answered, count,
				ask("SELECT coalesce(min(last_error), 'nothing') FROM mf_worker_status", NULL));
		if (now() - last_look > SECOND / 50)
		{
			ProcessStats worker;

			last_look = now();
			read_process(worker_pid, &worker);
			peak_kb = worker.own_kb > peak_kb ? worker.own_kb : peak_kb;
		}
		nap(SECOND / 2000);
	}
	while (strcmp(ask("SELECT EXISTS (SELECT FROM mf_queue WHERE $1 IN (account, '*') AND due < 'tomorrow')",
					  account),
				  "t") == 0)
	{
		if (now() - last_progress > wait * SECOND)
			die("the last answers were not recorded in %ld s", wait);
		nap(SECOND / 1000);
	}
	end = now();
	take_reading(&after);
	if (atoi(ask("SELECT pid FROM mf_worker_status", NULL)) != worker_pid)
		die("the worker was replaced meanwhile");
	if (after.answered - before.answered != (unsigned long long) count)
		die("%llu requests were answered, not %ld", after.answered - before.answered, count);

	seconds = (double) (end - begin) / SECOND;
	report("seconds", seconds);
	report("rate", (double) count / seconds);
	report("cpu_us", (double) (after.worker.cpu - before.worker.cpu) / 1e3 / (double) count);
	report("server_cpu_us", (double) (after.server.cpu - before.server.cpu) / 1e3 / (double) count);
	report("own_mb", (double) after.worker.own_kb / 1024);
	report("peak_mb", (double) peak_kb / 1024);
	report("wal_bytes", (after.wal - before.wal) / (double) count);
	report("transactions", (after.transactions - before.transactions) / (double) count);
	report("connections", (double) (after.connections - before.connections));
	report("body_bytes", (double) (after.body_bytes - before.body_bytes) / (double) count);
	PQfinish(connection);
	return 0;
}

/* A session; where to is in the environment. */
static PGconn *
open_session(void)
{
	PGconn *session = PQconnectdb("");

	if (PQstatus(session) != CONNECTION_OK)
		die("%s", PQerrorMessage(session));
	return session;
}

/* The first column of the only row.  Freed by nobody: there are few, and soon we end. */
static char *
ask(const char *query, const char *parameter)
{
	PGresult *result = PQexecParams(connection, query, parameter != NULL, NULL, &parameter, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		die("%s: %s", query, PQntuples(result) != 1 ? "not one row" : PQresultErrorMessage(result));
	return PQgetvalue(result, 0, 0);
}

static void
take_reading(Reading *reading)
{
	reading->wal = atof(ask("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn", NULL));
	reading->transactions = atof(ask("SELECT transactions FROM mf_worker_status", NULL));
	read_process(worker_pid, &reading->worker);
	read_process(atomic_load(&stats->pid), &reading->server);
	reading->answered = atomic_load(&stats->answered);
	reading->connections = atomic_load(&stats->connections);
	reading->body_bytes = atomic_load(&stats->body_bytes);
}

/* A transaction with a snapshot and a transaction id, idle until we end. */
static void
hold_snapshot(void)
{
	PGconn *holder = open_session();
	PGresult *result = PQexec(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()");

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die("%s", PQresultErrorMessage(result));
	PQclear(result);
}
