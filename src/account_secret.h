/*
 * account_secret.h
 *	  Secrets of accounts, in files and in user mappings.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account_secret.h
 */
#ifndef MF_ACCOUNT_SECRET_H
#define MF_ACCOUNT_SECRET_H

/*
 * First line of a small private file, palloc'd.  A relative path starts at the
 * data directory.  Like libpq's password file, it must not be readable by
 * others.
 */
extern char *mf_read_secret_file(const char *option, const char *path);

/* Overwrites and frees a palloc'd secret. */
extern void mf_wipe_string(char *string);

#endif							/* MF_ACCOUNT_SECRET_H */
