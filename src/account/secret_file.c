/*
 * secret_file.c
 *	  Reads secrets from private files.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/secret_file.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "account/account_option.h"
#include "account/secret_file.h"
#include "base/text_domain.h"
#include "process/process.h"

#define WHITE_SPACE " \t\r\n"
#define NS_PER_SECOND INT64CONST(1000000000)

/*
 * Two changes of a file within one tick of its file system's clock leave the
 * same time.  So the state of a file that changed less than this before it was
 * read proves nothing, and the file is read again.
 */
#define COARSEST_CLOCK_SECONDS 3

static int	open_private_file(const char *option, const char *path);
static void check_secret(const char *option, const char *path, char *buffer, size_t length);
static const char *shown_path(const char *path);
static bool get_file_state(int dir, const char *path, int flags, MfSecretFile *file);

char *
mf_read_secret_file(const char *option, const char *path, MfSecretFile *file)
{
	char		full[MAXPGPATH];
	char		buffer[MF_SECRET_MAX + 2];
	ssize_t		length;
	char	   *secret;
	int			fd;

	if (is_absolute_path(path))
		strlcpy(full, path, sizeof(full));
	else
		snprintf(full, sizeof(full), "%s/%s", DataDir, path);

	fd = open_private_file(option, full);
	/* the state is that before the read, so that a change in between is noticed */
	if (file != NULL)
		file->known = get_file_state(fd, "", AT_EMPTY_PATH, file) &&
			file->changed / NS_PER_SECOND + COARSEST_CLOCK_SECONDS < (int64) time(NULL);

	length = read(fd, buffer, sizeof(buffer) - 1);
	if (length < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the file of option \"%s\"%s: %m", option, shown_path(full)),
				 errdetail_log("Its path is \"%s\".", full)));
	CloseTransientFile(fd);

	while (length > 0 && strchr(WHITE_SPACE, buffer[length - 1]) != NULL)
		length--;
	buffer[length] = '\0';
	check_secret(option, full, buffer, length);
	secret = pstrdup(buffer);
	explicit_bzero(buffer, sizeof(buffer));
	return secret;
}

/* Opens a regular file that only its owner has rights to; raises an error for any other. */
static int
open_private_file(const char *option, const char *path)
{
	struct stat st;
	int			fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open the file of option \"%s\"%s: %m", option, shown_path(path)),
				 errdetail_log("Its path is \"%s\".", path),
				 errhint("Create it with the key as its only line, owned by the operating-system user of the server, mode 0600.")));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the file of option \"%s\" is not a regular file%s", option, shown_path(path)),
				 errdetail_log("Its path is \"%s\".", path)));
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" can be used by others%s", option, shown_path(path)),
				 errdetail_log("Its path is \"%s\".", path),
				 errhint("Its mode must be 0600; run chmod 0600 on it.")));
	return fd;
}

/* Raises an error unless the buffer holds one secret; then it is wiped, and nothing of it is in the error. */
static void
check_secret(const char *option, const char *path, char *buffer, size_t length)
{
	bool		too_short = strcmp(option, "api_key_file") == 0 && length < MF_KEY_MIN;

	/* strlen() differs if there is a zero byte, as in a file in UTF-16 */
	if (length == 0 || length > MF_SECRET_MAX || strlen(buffer) != length || strpbrk(buffer, WHITE_SPACE) != NULL)
	{
		explicit_bzero(buffer, length);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" does not hold one secret%s", option, shown_path(path)),
				 errdetail("It is empty, too long, or contains white space or zero bytes, as text in UTF-16 does."),
				 errhint("Write the secret from the portal into it as the only line.")));
	}
	if (too_short)
	{
		explicit_bzero(buffer, length);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the file of option \"%s\" does not hold an API key%s", option, shown_path(path)),
				 errdetail("It has fewer than %d characters.", MF_KEY_MIN),
				 errhint("Copy the whole API key from the portal into it.")));
	}
}

/*
 * The path for an error message.  Only superusers may see where the data directory
 * is.  Errors of our processes are written into tables that others read.
 */
static const char *
shown_path(const char *path)
{
	return superuser() && !mf_process_is_ours ? psprintf(": \"%s\"", path) : "";
}

bool
mf_secret_file_unchanged(const char *path, const MfSecretFile *file)
{
	MfSecretFile now;

	/* a relative path starts at the data directory here, too: it is where the server's processes stay */
	return file->known && get_file_state(AT_FDCWD, path, 0, &now) &&
		now.device_major == file->device_major && now.device_minor == file->device_minor &&
		now.inode == file->inode && now.size == file->size && now.mode == file->mode &&
		now.modified == file->modified && now.changed == file->changed;
}

/* Asks the file system itself, not a cache of it; false if that is not possible. */
static bool
get_file_state(int dir, const char *path, int flags, MfSecretFile *file)
{
#ifdef AT_STATX_FORCE_SYNC
	struct statx st;

	if (statx(dir, path, flags | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) != 0 ||
		(st.stx_mask & STATX_BASIC_STATS) != STATX_BASIC_STATS)
		return false;
	file->device_major = st.stx_dev_major;
	file->device_minor = st.stx_dev_minor;
	file->inode = st.stx_ino;
	file->size = st.stx_size;
	file->mode = st.stx_mode;
	file->modified = st.stx_mtime.tv_sec * NS_PER_SECOND + st.stx_mtime.tv_nsec;
	file->changed = st.stx_ctime.tv_sec * NS_PER_SECOND + st.stx_ctime.tv_nsec;
	return true;
#else
	return false;
#endif
}

void
mf_wipe_string(char *string)
{
	explicit_bzero(string, strlen(string));
	pfree(string);
}
