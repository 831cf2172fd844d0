/*
 * latency.c
 *	  How long one invoice takes on an idle machine.
 *
 * Inserts one row, commits, waits for the notification that it was sent, and
 * goes on with the next one.  Prints for each the reference that was sent and
 * three times of the monotonic clock in microseconds: COMMIT sent, COMMIT
 * returned, notification read.  The stand-in API's ledger, by the same clock,
 * tells when the request came in.
 *
 *	latency --count N [--pause MS]
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/latency.c
 */
#include "common.h"

#include <getopt.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 10000

static PGconn *open_session(void);
static PGresult *run(PGconn *session, const char *query, ExecStatusType expected);
static int64_t wait_until_sent(PGconn *listener, const char *id);

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"count", required_argument, NULL, 'n'},
											{"pause", required_argument, NULL, 'p'},
											{NULL, 0, NULL, 0}};
	PGconn *session;
	PGconn *listener;
	long count = 0;
	long pause = 5;
	long i;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'n')
			count = parse_number("--count", optarg, 1);
		else if (option == 'p')
			pause = parse_number("--pause", optarg, 0);
		else
			return 2;
	}
	if (count == 0)
		die("usage: latency --count N [--pause MS]");

	session = open_session();
	listener = open_session();
	PQclear(run(listener, "LISTEN mf_invoice", PGRES_COMMAND_OK));

	for (i = 0; i < count; i++)
	{
		PGresult *row;
		int64_t begin;
		int64_t committed;
		int64_t sent;

		/* the worker is asleep again */
		nap(pause * (SECOND / 1000));
		PQclear(run(session, "BEGIN", PGRES_COMMAND_OK));
		row = run(session,
				  "INSERT INTO mf_invoice (customer_name, invoice_value, customer_reference)"
				  " VALUES ('Ahmad Al-Sabah', 250.000, 'latency') RETURNING id, reference",
				  PGRES_TUPLES_OK);
		begin = now();
		PQclear(run(session, "COMMIT", PGRES_COMMAND_OK));
		committed = now();
		sent = wait_until_sent(listener, PQgetvalue(row, 0, 0));
		printf("%s\t%.3f\t%.3f\t%.3f\n", PQgetvalue(row, 0, 1), (double) begin / 1e3,
			   (double) committed / 1e3, (double) sent / 1e3);
		PQclear(row);
	}
	PQfinish(session);
	PQfinish(listener);
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

/* The result, to be cleared by the caller. */
static PGresult *
run(PGconn *session, const char *query, ExecStatusType expected)
{
	PGresult *result = PQexec(session, query);

	if (PQresultStatus(result) != expected)
		die("%s: %s", query, PQresultErrorMessage(result));
	return result;
}

/* Ends the measurement if the invoice is not sent after all. */
static void
check_sent(PGconn *session, const char *id)
{
	char query[96];
	PGresult *row;

	snprintf(query, sizeof(query), "SELECT status FROM mf_invoice WHERE id = %s", id);
	row = run(session, query, PGRES_TUPLES_OK);
	if (strcmp(PQgetvalue(row, 0, 0), "sent") != 0)
		die("invoice %s is %s", id, PQgetvalue(row, 0, 0));
	PQclear(row);
}

/* When the notification came: of its two changes, to sending and to sent, the second. */
static int64_t
wait_until_sent(PGconn *listener, const char *id)
{
	int64_t deadline = now() + WAIT_MS * (SECOND / 1000);
	char payload[64];
	int changes = 0;

	snprintf(payload, sizeof(payload), "{\"id\": %s}", id);
	for (;;)
	{
		struct pollfd wanted = {PQsocket(listener), POLLIN, 0};
		PGnotify *notify;

		if (now() > deadline || poll(&wanted, 1, WAIT_MS) < 0)
			die("invoice %s was not reported as sent", id);
		if (PQconsumeInput(listener) == 0)
			die("%s", PQerrorMessage(listener));
		while ((notify = PQnotifies(listener)) != NULL)
		{
			if (strcmp(notify->extra, payload) == 0)
				changes++;
			PQfreemem(notify);
		}
		if (changes == 2)
		{
			int64_t at = now();

			check_sent(listener, id);
			return at;
		}
	}
}
