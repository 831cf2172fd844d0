/*
 * secret_file.h
 *	  Reads secrets from private files.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/secret_file.h
 */
#ifndef MF_SECRET_FILE_H
#define MF_SECRET_FILE_H

/* State of a secret's file when it was read */
typedef struct MfSecretFile
{
	bool		known;			/* the members below are set, and any later
								 * change of the file changes one of them */
	uint32		device_major;
	uint32		device_minor;
	uint64		inode;
	uint64		size;
	uint32		mode;
	int64		modified;		/* nanoseconds since 1970 */
	int64		changed;		/* likewise */
} MfSecretFile;

/*
 * Returns the only line of a private file, palloc'd; the caller wipes it with
 * mf_wipe_string().  A relative path starts at the data directory.  "option" is
 * the option that names the file, for error messages.  The state of the file
 * is stored in *file unless that is NULL.
 *
 * Raises an error if the file cannot be read, if others than its owner have
 * any right to it, as libpq does for its password file, or if it does not hold
 * exactly one secret.
 */
extern char *mf_read_secret_file(const char *option, const char *path, MfSecretFile *file);

/*
 * Whether a file certainly still holds what mf_read_secret_file() has read.  This
 * costs a third of reading it.  A network file system is made to ask its server.
 */
extern bool mf_secret_file_unchanged(const char *path, const MfSecretFile *file);

/* Overwrites and frees a palloc'd secret. */
extern void mf_wipe_string(char *string);

#endif							/* MF_SECRET_FILE_H */
