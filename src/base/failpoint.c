/*
 * failpoint.c
 *	  Places where a test stops the worker or makes a statement fail.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/failpoint.c
 */
#include "postgres.h"

#include "base/failpoint.h"
#include "base/text_domain.h"

#ifdef MF_FAILPOINTS

#include <signal.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/pmsignal.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#define CONTINUE_FILE "myfatoorah.continue"

double		mf_failpoint_notify_limit;

static char *wanted_failpoint = NULL;
static char *faults = NULL;
static bool trace_statements = false;
static bool faults_enabled = false; /* sessions run the same statements, and are left alone */
static bool reached = false;

static void log_new_faults(const char *value, void *extra);
static void check_array(const char *text, Datum array);

void
mf_failpoint_define(void)
{
	DefineCustomStringVariable("myfatoorah.failpoint",
							   "Names the place where the worker stops, for tests.",
							   NULL,
							   &wanted_failpoint, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("myfatoorah.fail_statements",
							   "Lists the statements that fail, and for which row, for tests.",
							   NULL,
							   &faults, "", PGC_SIGHUP, 0, NULL, log_new_faults, NULL);
	DefineCustomRealVariable("myfatoorah.notify_limit",
							 "Sets the usage of the NOTIFY queue from which on notifications are left out, for tests.",
							 NULL,
							 &mf_failpoint_notify_limit, 0.9, 0, 1, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("myfatoorah.trace_statements",
							 "Logs the statements of the worker, for tests.",
							 NULL,
							 &trace_statements, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void
mf_failpoint_enable(void)
{
	faults_enabled = true;
}

/* Assign hook: a test waits for this line before it relies on the list. */
static void
log_new_faults(const char *value, void *extra)
{
	if (faults_enabled && (faults == NULL || strcmp(value, faults) != 0))
		ereport(LOG,
				(errmsg("failpoint: faults are now \"%s\"", value)));
}

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
		if (QueryCancelPending || ProcDiePending || ShutdownRequestPending)
			break;
		pg_usleep(10000L);
	}
}

/* Whether an entry of the list, HASH=ID, ends with the suffix: HASH=ID finds that entry, =ID any entry for the row. */
static bool
is_fault(const char *suffix)
{
	size_t		length = strlen(suffix);
	const char *p;

	for (p = strstr(faults, suffix); p != NULL; p = strstr(p + 1, suffix))
	{
		if (p[length] == '\0' || p[length] == ',')
			return true;
	}
	return false;
}

void
mf_failpoint_row(const char *text, int64 id)
{
	char		place[64];
	bool		fails;

	if (!faults_enabled || (!trace_statements && *faults == '\0'))
		return;

	snprintf(place, sizeof(place), "%08x=" INT64_FORMAT, hash_bytes((const unsigned char *) text, strlen(text)), id);
	fails = is_fault(place);
	if (trace_statements || is_fault(strchr(place, '=')))
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

void
mf_failpoint_statement(const char *text, int count, const Oid *types, const Datum *values, const char *nulls)
{
	int			i;

	if (!faults_enabled || (!trace_statements && *faults == '\0'))
		return;

	for (i = 0; i < count; i++)
	{
		if (nulls != NULL && nulls[i] == 'n')
			continue;
		if (types[i] == INT8OID)
			mf_failpoint_row(text, DatumGetInt64(values[i]));
		else if (types[i] == INT8ARRAYOID)
			check_array(text, values[i]);
	}
}

/* mf_failpoint_row() for each id of an int8[] */
static void
check_array(const char *text, Datum array)
{
	int16		type_length;
	bool		by_value;
	char		align;
	Datum	   *ids;
	bool	   *nulls;
	int			count;
	int			i;

	get_typlenbyvalalign(INT8OID, &type_length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, type_length, by_value, align, &ids, &nulls, &count);
	for (i = 0; i < count; i++)
	{
		if (!nulls[i])
			mf_failpoint_row(text, DatumGetInt64(ids[i]));
	}
}

#endif							/* MF_FAILPOINTS */
