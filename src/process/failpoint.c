/*
 * failpoint.c
 *	  Places where a test can stop or fail the worker; nothing at all in normal builds.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/failpoint.c
 */
#include "postgres.h"

#include "process/failpoint.h"

#ifdef MF_FAILPOINTS

#include <signal.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/pmsignal.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "process/process.h"

#define CONTINUE_FILE "myfatoorah.continue"

static char *wanted_failpoint = NULL;
static char *faults = NULL;
static bool trace = false;
static bool reached = false;

double		mf_failpoint_notify_limit = 0.9;

static void tell_faults(const char *value, void *extra);
static bool is_listed(const char *entry);

/* Defines the settings; from _PG_init(). */
void
mf_failpoint_define(void)
{
	DefineCustomStringVariable("myfatoorah.failpoint",
							   "Place where the worker stops, for tests.",
							   NULL,
							   &wanted_failpoint, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.fail_statements",
							   "What fails about which row, for tests.",
							   NULL,
							   &faults, "", PGC_SIGHUP, 0, NULL, tell_faults, NULL);
	DefineCustomRealVariable("myfatoorah.notify_limit",
							 "Usage of the NOTIFY queue from which on notifications are left out, for tests.",
							 NULL,
							 &mf_failpoint_notify_limit, 0.9, 0, 1, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("myfatoorah.trace_statements",
							 "Logs what the worker does about rows, for tests.",
							 NULL,
							 &trace, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Assign hook: so that a test knows from when on they count. */
static void
tell_faults(const char *value, void *extra)
{
	if (mf_process_is_ours && (faults == NULL || strcmp(value, faults) != 0))
		ereport(LOG,
				(errmsg("failpoint: faults are now \"%s\"", value)));
}

/* Stops here, once per process, if this is the place. */
void
mf_failpoint(const char *name)
{
	if (reached || wanted_failpoint == NULL || strcmp(wanted_failpoint, name) != 0)
		return;

	reached = true;
	ereport(LOG,
			(errmsg("failpoint \"%s\" reached", name)));
	while (access(CONTINUE_FILE, F_OK) != 0 && PostmasterIsAlive())
	{
		/* a fast shutdown must find us as it would without the failpoint */
		if (QueryCancelPending || ProcDiePending || mf_shutdown_requested)
			break;
		pg_usleep(10000L);
	}
}

/* Whether the list has that entry, or one that ends so. */
static bool
is_listed(const char *entry)
{
	size_t		length = strlen(entry);
	const char *p;

	for (p = strstr(faults, entry); p != NULL; p = strstr(p + 1, entry))
	{
		if (p[length] == '\0' || p[length] == ',')
			return true;
	}
	return false;
}

/* The worker is about to write a row without SQL. */
void
mf_failpoint_row(const char *text, int64 id)
{
	char		place[64];
	bool		fails;

	if (!mf_process_is_ours || (!trace && *faults == '\0'))
		return;

	snprintf(place, sizeof(place), "%08x=" INT64_FORMAT, hash_bytes((const unsigned char *) text, strlen(text)), id);
	fails = is_listed(place);
	if (trace || is_listed(strchr(place, '=')))
		ereport(LOG,
				(errmsg("failpoint: %s: %.100s", place, text)));
	if (fails)
	{
		ereport(LOG,
				(errmsg("failpoint: %s fails", place)));
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("failpoint: a fault of %s", place)));
	}
}

/* A statement is about to run: each id among its parameters counts. */
void
mf_failpoint_statement(const char *text, int count, const Oid *types, const Datum *values, const char *nulls)
{
	int			i;

	if (!mf_process_is_ours || (!trace && *faults == '\0'))
		return;

	for (i = 0; i < count; i++)
	{
		if (nulls != NULL && nulls[i] == 'n')
			continue;
		if (types[i] == INT8OID)
			mf_failpoint_row(text, DatumGetInt64(values[i]));
		else if (types[i] == INT8ARRAYOID)
		{
			int16		length;
			bool		by_value;
			char		align;
			Datum	   *ids;
			bool	   *are_null;
			int			length_of_array;
			int			j;

			get_typlenbyvalalign(INT8OID, &length, &by_value, &align);
			deconstruct_array(DatumGetArrayTypeP(values[i]), INT8OID, length, by_value, align, &ids, &are_null, &length_of_array);
			for (j = 0; j < length_of_array; j++)
			{
				if (!are_null[j])
					mf_failpoint_row(text, DatumGetInt64(ids[j]));
			}
		}
	}
}

#endif							/* MF_FAILPOINTS */
