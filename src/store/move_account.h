/*
 * move_account.h
 *	  Gives what names an account to another one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/move_account.h
 */
#ifndef MF_MOVE_ACCOUNT_H
#define MF_MOVE_ACCOUNT_H

/* The server of an account was renamed: all that names the account gets the new name.  Own scope. */
extern void mf_account_renamed(Oid schema, const char *old_name, const char *new_name);

/* Whether another extension has a row that names the account. */
extern bool mf_followers_name(Oid schema, const char *account);

#endif							/* MF_MOVE_ACCOUNT_H */
