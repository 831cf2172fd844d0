/*
 * account_secret.h
 *	  Secrets of accounts, in files and in user mappings.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_secret.h
 */
#ifndef MF_ACCOUNT_SECRET_H
#define MF_ACCOUNT_SECRET_H

/* Which file it was, and when it had changed last, as it was read */
typedef struct MfSecretFile
{
	bool		known;			/* and every later change will show */
	uint32		device_major;
	uint32		device_minor;
	uint64		inode;
	uint64		size;
	uint32		mode;
	int64		modified;		/* in nanoseconds since 1970 */
	int64		changed;
} MfSecretFile;

/*
 * First line of a small private file, palloc'd.  A relative path starts at the
 * data directory.  Like libpq's password file, it must not be readable by
 * others.  "file" may be NULL.
 */
extern char *mf_read_secret_file(const char *option, const char *path, MfSecretFile *file);

/*
 * Whether a file that was read holds the same still, for sure.  This is a third
 * of what reading it costs; network file systems are made to ask their server.
 */
extern bool mf_secret_file_unchanged(const char *path, const MfSecretFile *file);

/* Overwrites and frees a palloc'd secret. */
extern void mf_wipe_string(char *string);

#endif							/* MF_ACCOUNT_SECRET_H */
