/*
 * background_worker.c
 *	  Registers the background workers of the extension.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/background_worker.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/log_event.h"
#include "base/settings.h"
#include "process/background_worker.h"

/* What all of them have in common */
static void
describe(BackgroundWorker *worker, const char *function, const char *kind, int restart_time)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = restart_time;
	snprintf(worker->bgw_library_name, BGW_MAXLEN, MF_EXTENSION);
	snprintf(worker->bgw_function_name, BGW_MAXLEN, "%s", function);
	snprintf(worker->bgw_name, BGW_MAXLEN, "myfatoorah %s", kind);
	snprintf(worker->bgw_type, BGW_MAXLEN, "myfatoorah %s", kind);
}

void
mf_background_worker_register(const char *function, const char *kind)
{
	BackgroundWorker worker;

	describe(&worker, function, kind, 1);
	RegisterBackgroundWorker(&worker);
}

bool
mf_background_worker_start(const char *function, const char *kind, Oid database,
						   BackgroundWorkerHandle **handle, bool log)
{
	BackgroundWorker worker;
	MemoryContext old;
	bool		started;

	describe(&worker, function, kind, BGW_NEVER_RESTART);
	snprintf(worker.bgw_name, BGW_MAXLEN, "myfatoorah %s for database %u", kind, database);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = handle != NULL ? MyProcPid : 0;
	StaticAssertStmt(sizeof(MyProcPid) <= BGW_EXTRALEN, "a process id must fit");
	memcpy(worker.bgw_extra, &MyProcPid, sizeof(MyProcPid));

	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(old);
	if (started)
		return true;

	if (handle != NULL)
		*handle = NULL;
	if (log)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 mf_log_event("process_not_started", "no free background worker slot for \"%s\"", worker.bgw_name),
				 errhint("Raise max_worker_processes. Each database with the extension needs one process, one more for its listener, one more for functions of mf_on_change(), and one more for pages of mf_on_request().")));
	return false;
}
