/*
 * self_check.h
 *	  Parts of mf_check().
 *
 * Each part adds rows, in which "detail" says how things are and "hint" what can be done.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check.h
 */
#ifndef MF_SELF_CHECK_H
#define MF_SELF_CHECK_H

#include "nodes/execnodes.h"

/* One call of mf_check() */
typedef struct MfCheck
{
	ReturnSetInfo *rsinfo;
	const char *account;		/* name that was given; it need not exist */
	Oid			schema;
} MfCheck;

/* Adds a row to the result; "hint" may be NULL. */
extern void mf_check_report(const MfCheck *check, const char *item, bool ok, const char *detail, const char *hint);

/* An error of one of our processes, or for those who may not see it, where it is shown. */
extern const char *mf_check_error(const MfCheck *check, const char *error);

/* These raise errors, which the caller reports. */
extern void mf_check_database(const MfCheck *check);
extern void mf_check_account(const MfCheck *check);

/*
 * Adds what other extensions report: functions mf_check_NAME(account text) of theirs in
 * our schema that return rows of item, ok, detail and hint.  They run as the caller.
 */
extern void mf_check_extensions(const MfCheck *check);

#endif							/* MF_SELF_CHECK_H */
