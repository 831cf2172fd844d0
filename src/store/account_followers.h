/*
 * account_followers.h
 *	  Tables of other extensions that name accounts.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/account_followers.h
 */
#ifndef MF_ACCOUNT_FOLLOWERS_H
#define MF_ACCOUNT_FOLLOWERS_H

/*
 * Other extensions that name accounts have a function mf_move_NAME(old_account text,
 * new_account text) RETURNS bigint in our schema, which gives their rows the new name
 * and returns how many those were.  With null as the new name it changes nothing, and
 * returns how many rows name the account, or at least whether any does.  It is
 * SECURITY DEFINER, because whoever renames a server has no right on such tables.
 */

/* Has all of them follow.  What one of them raises is raised. */
extern void mf_followers_move(Oid schema, const char *old_name, const char *new_name);

/* Whether one of them has a row that names the account. */
extern bool mf_followers_name(Oid schema, const char *account);

#endif							/* MF_ACCOUNT_FOLLOWERS_H */
