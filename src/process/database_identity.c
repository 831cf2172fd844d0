/*
 * database_identity.c
 *	  Numbers that distinguish this database from others, and from its copies.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_identity.c
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "fmgr.h"

#include "base/compat.h"
#include "process/database_identity.h"
#include "process/directory_marker.h"

PG_FUNCTION_INFO_V1(mf_here);
PG_FUNCTION_INFO_V1(mf_origin);

int64
mf_database_number(void)
{
	return (int64) hash_combine64(GetSystemIdentifier(), (uint64) MyDatabaseId);
}

/* For SQL: mf_database_number(), the default of mf_part.origin */
Datum
mf_here(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(mf_database_number());
}

int64
mf_database_origin(void)
{
	static TimeLineID timeline = 0; /* of "origin"; changes at a promotion only */
	static int64 origin;

	if (RecoveryInProgress())
		return mf_database_number();
	if (timeline != mf_current_timeline())
	{
		List	   *history = readTimeLineHistory(mf_current_timeline());
		char	   *directory = mf_data_directory();
		uint64		own;

		/* two promoted standbys may have the same timeline number, but hardly the same start of it */
		own = hash_combine64((uint64) mf_database_number(), mf_current_timeline());
		own = hash_combine64(own, ((TimeLineHistoryEntry *) linitial(history))->begin);
		own = hash_combine64(own, hash_bytes_extended((const unsigned char *) directory, strlen(directory), 0));
		origin = (int64) ((uint64) mf_database_number() << 32 | (uint32) (own ^ own >> 32));
		list_free_deep(history);
		pfree(directory);
		timeline = mf_current_timeline();
	}
	return origin;
}

/* For SQL: mf_database_origin(), the default of mf_queue.origin */
Datum
mf_origin(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(mf_database_origin());
}

/* PG_VERSION is written by initdb, and never again. */
char *
mf_data_directory(void)
{
	/* the data directory is the current directory of every server process */
	char	   *file = mf_file_identity("PG_VERSION");
	struct stat directory;

	if (file == NULL || stat(".", &directory) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat the data directory: %m")));
	return psprintf("inode " UINT64_FORMAT " file %s", (uint64) directory.st_ino, file);
}
