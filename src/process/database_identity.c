/*
 * database_identity.c
 *	  Numbers that distinguish this database from others, and from its copies; a file in
 *	  the data directory that shows whether the directory was restored from a backup.
 *
 * Each start of a worker creates a new file, and stores its description in the
 * database: its inode and time of birth.  A restore brings back an older description,
 * which fits no file.  If the restore creates the file, that has an inode or time of
 * birth of its own; if it overwrites the existing file in place or leaves it alone,
 * that is the file of a later start.
 *
 * The file is not in the directory of the database, because ALTER DATABASE ... SET
 * TABLESPACE copies all files there.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_identity.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "process/database_identity.h"

#define MARKER_DIRECTORY "myfatoorah.marker"

/* For people who find the file */
#define MARKER_TEXT \
	"The extension myfatoorah detects by this file that the data directory was restored from a backup.\n" \
	"Without it sending is paused at the next start.\n"

/* A parsed description */
typedef struct FileIdentity
{
	uint64		inode;
	int64		born;			/* time of birth: survives a reboot, but not a copy */
	uint32		born_ns;
} FileIdentity;

PG_FUNCTION_INFO_V1(mf_here);
PG_FUNCTION_INFO_V1(mf_origin);

int64
mf_database_number(Oid schema)
{
	return (int64) hash_combine64(hash_combine64(GetSystemIdentifier(), (uint64) MyDatabaseId),
								  (uint64) get_relname_relid("mf_invoice", schema));
}

/* For SQL: mf_database_number(), the default of mf_home.here */
Datum
mf_here(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(mf_database_number(get_func_namespace(fcinfo->flinfo->fn_oid)));
}

int64
mf_database_origin(Oid schema)
{
	static int64 number;		/* of "origin"; changes when the extension is created anew, */
	static TimeLineID timeline = 0; /* and this at a promotion only */
	static int64 origin;

	if (RecoveryInProgress())
		return mf_database_number(schema);
	if (timeline != mf_current_timeline() || number != mf_database_number(schema))
	{
		List	   *history = readTimeLineHistory(mf_current_timeline());
		char	   *directory = mf_data_directory();
		uint64		own;

		/* two promoted standbys may have the same timeline number, but hardly the same start of it */
		number = mf_database_number(schema);
		own = hash_combine64((uint64) number, mf_current_timeline());
		own = hash_combine64(own, ((TimeLineHistoryEntry *) linitial(history))->begin);
		own = hash_combine64(own, hash_bytes_extended((const unsigned char *) directory, strlen(directory), 0));
		origin = (int64) ((uint64) number << 32 | (uint32) (own ^ own >> 32));
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
	PG_RETURN_INT64(mf_database_origin(get_func_namespace(fcinfo->flinfo->fn_oid)));
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

char *
mf_file_identity(const char *path)
{
	struct stat file;

	if (stat(path, &file) != 0)
	{
		if (errno == ENOENT)
			return NULL;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	}
#ifdef STATX_BTIME
	{
		struct statx birth;

		if (statx(AT_FDCWD, path, 0, STATX_BTIME, &birth) == 0 && (birth.stx_mask & STATX_BTIME) != 0)
			return psprintf(UINT64_FORMAT " born " INT64_FORMAT ".%09u", (uint64) file.st_ino,
							(int64) birth.stx_btime.tv_sec, (unsigned int) birth.stx_btime.tv_nsec);
	}
#endif
	return psprintf(UINT64_FORMAT, (uint64) file.st_ino);
}

/* The number of parts of a description that were read; 0 if its form is unknown */
static int
read_identity(const char *text, FileIdentity *identity)
{
	return Max(sscanf(text, UINT64_FORMAT " born " INT64_FORMAT ".%u", &identity->inode, &identity->born,
					  &identity->born_ns), 0);
}

/*
 * Parts that only one of them has are ignored, because another kernel may or may not
 * report the time of birth.
 */
bool
mf_same_file(const char *old, const char *now)
{
	FileIdentity old_identity;
	FileIdentity new_identity;
	int			parts = Min(read_identity(old, &old_identity), read_identity(now, &new_identity));

	if (parts >= 1 && old_identity.inode != new_identity.inode)
		return false;
	return parts < 3 || (old_identity.born == new_identity.born && old_identity.born_ns == new_identity.born_ns);
}

char *
mf_directory_marker_path(Oid database)
{
	return psprintf("%s/%u", MARKER_DIRECTORY, database);
}

static char *
new_marker_path(void)
{
	return psprintf("%s/%u.new", MARKER_DIRECTORY, MyDatabaseId);
}

static void
remove_file(const char *path, int elevel)
{
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(elevel,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

char *
mf_directory_marker_read(const char *known)
{
	char	   *created = mf_file_identity(new_marker_path());

	if (created != NULL && mf_same_file(known, created))
		mf_directory_marker_install();
	return mf_file_identity(mf_directory_marker_path(MyDatabaseId));
}

/* Everything is flushed, so that the database never describes a file that a power failure has removed. */
char *
mf_directory_marker_create(void)
{
	const char *path = new_marker_path();
	int			file;

	if (MakePGDirectory(MARKER_DIRECTORY) == 0)
		fsync_fname(DataDir, true);
	else if (errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", MARKER_DIRECTORY)));

	/* left by a start that failed */
	remove_file(path, ERROR);
	file = OpenTransientFile(path, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY);
	if (file < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	errno = 0;
	if (write(file, MARKER_TEXT, strlen(MARKER_TEXT)) != (ssize_t) strlen(MARKER_TEXT))
	{
		/* a short write does not set errno */
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", path)));
	}
	if (pg_fsync(file) != 0)
		ereport(data_sync_elevel(ERROR),
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m", path)));
	if (CloseTransientFile(file) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", path)));
	fsync_fname(MARKER_DIRECTORY, true);
	return mf_file_identity(path);
}

void
mf_directory_marker_install(void)
{
	(void) durable_rename(new_marker_path(), mf_directory_marker_path(MyDatabaseId), ERROR);
}

/* A file that cannot be removed does no harm. */
void
mf_directory_marker_remove(Oid database)
{
	char	   *path = mf_directory_marker_path(database);

	remove_file(path, LOG);
	remove_file(psprintf("%s.new", path), LOG);
}
