/*
 * directory_marker.c
 *	  A file in the data directory by which a database that went back in time is
 *	  noticed.
 *
 * Each start of a worker makes a new file, and the database remembers which
 * one.  A backup that is put back into the same directory takes the memory back.
 * The file cannot go back: if the restore writes it anew, it is another inode or
 * was born at another time; if the restore overwrites or spares it, it is the
 * newer one still.
 *
 * The file stands in a directory of ours and not in the one of the database:
 * ALTER DATABASE ... SET TABLESPACE copies whatever is in that.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/directory_marker.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "base/text_domain.h"
#include "process/directory_marker.h"

#define MARKER_DIRECTORY "myfatoorah.marker"

/* For whoever finds the file */
#define MARKER_TEXT \
	"By this file the extension myfatoorah notices that the data directory was put back from a backup.\n" \
	"Without it sending is paused at the next start.\n"

/* What is known of a file */
typedef struct FileIdentity
{
	uint64		inode;
	int64		born;			/* its time of birth: a copy has another, a reboot changes nothing */
	uint32		born_ns;
} FileIdentity;

static int	read_identity(const char *text, FileIdentity *identity);
static char *new_marker_path(void);
static void remove_file(const char *path, int elevel);

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

/* How many of its parts a description has; 0 for one that we do not know. */
static int
read_identity(const char *text, FileIdentity *identity)
{
	return Max(sscanf(text, UINT64_FORMAT " born " INT64_FORMAT ".%u", &identity->inode, &identity->born,
					  &identity->born_ns), 0);
}

/*
 * See directory_marker.h.  What only one of them tells counts for nothing: a kernel may
 * have learnt to tell the time of birth.  A description of an unknown form is
 * as good as none.
 */
bool
mf_same_file(const char *old, const char *now)
{
	FileIdentity was;
	FileIdentity is;
	int			parts = Min(read_identity(old, &was), read_identity(now, &is));

	if (parts >= 1 && was.inode != is.inode)
		return false;
	return parts < 3 || (was.born == is.born && was.born_ns == is.born_ns);
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
mf_directory_marker_look(const char *known)
{
	char	   *made = mf_file_identity(new_marker_path());

	if (made != NULL && mf_same_file(known, made))
		mf_directory_marker_put();
	return mf_file_identity(mf_directory_marker_path(MyDatabaseId));
}

/* See directory_marker.h.  It outlives a power failure, or else the database may remember what is not there. */
char *
mf_directory_marker_make(void)
{
	const char *path = new_marker_path();
	int			file;

	if (MakePGDirectory(MARKER_DIRECTORY) == 0)
		fsync_fname(DataDir, true);
	else if (errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", MARKER_DIRECTORY)));

	/* of a start that came to nothing */
	remove_file(path, ERROR);
	file = OpenTransientFile(path, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY);
	if (file < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	errno = 0;
	if (write(file, MARKER_TEXT, strlen(MARKER_TEXT)) != (ssize_t) strlen(MARKER_TEXT))
	{
		/* a short write tells no reason */
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
mf_directory_marker_put(void)
{
	(void) durable_rename(new_marker_path(), mf_directory_marker_path(MyDatabaseId), ERROR);
}

/* See directory_marker.h.  One that stays is in nobody's way. */
void
mf_directory_marker_remove(Oid database)
{
	char	   *path = mf_directory_marker_path(database);

	remove_file(path, LOG);
	remove_file(psprintf("%s.new", path), LOG);
}
