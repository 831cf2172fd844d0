/*
 * myfatoorah.c
 *	  Loading of the library.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/myfatoorah.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "process/process.h"
#include "triggers/column_rights.h"
#include "triggers/enqueue.h"
#include "worker/worker.h"

MF_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/*
 * Shared memory, the hooks on commands and the launcher exist only under
 * shared_preload_libraries.  The functions work without them.
 */
void
_PG_init(void)
{
	pg_bindtextdomain(TEXTDOMAIN);
	mf_settings_define(process_shared_preload_libraries_in_progress);
	if (process_shared_preload_libraries_in_progress)
	{
		mf_shared_memory_init();
		mf_hooks_init();
		mf_background_worker_register("mf_launcher_main", "launcher");
	}

	mf_sql_init();
	mf_follow_init();
	mf_column_rights_init();
	mf_failpoint_define();
	MarkGUCPrefixReserved("myfatoorah");
}
