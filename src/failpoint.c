/*
 * failpoint.c
 *	  Places where a test can stop the worker; nothing at all in normal builds.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/failpoint.c
 */
#include "postgres.h"

#include "failpoint.h"

#ifdef MF_FAILPOINTS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"

#include "process.h"

#define CONTINUE_FILE "myfatoorah.continue"

static char *wanted_failpoint = NULL;
static bool reached = false;

/* Defines the setting; from _PG_init(). */
void
mf_failpoint_define(void)
{
	DefineCustomStringVariable("myfatoorah.failpoint",
							   "Place where the worker stops, for tests.",
							   NULL,
							   &wanted_failpoint, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
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

#endif							/* MF_FAILPOINTS */
