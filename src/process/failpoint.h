/*
 * failpoint.h
 *	  Places where a test can stop or fail the worker; nothing at all in normal builds.
 *
 * Built with FAILPOINTS=1, the setting myfatoorah.failpoint names one place.
 * The first time the worker gets there it logs "failpoint NAME reached" and
 * waits, deaf to everything but signals that end it, until the file
 * "myfatoorah.continue" appears in the data directory.
 *
 * The setting myfatoorah.fail_statements, a list of HASH=ID, makes what the worker
 * is about to do about a row fail: the statement whose text has that hash, if an
 * int8 parameter is or contains the id, or the MF_FAILPOINT_ROW() of such a name.
 * The worker logs "failpoint: faults are now ..." when it has read the list, and
 * "failpoint: HASH of ID fails" at each fault.  With myfatoorah.trace_statements
 * it logs "failpoint: HASH of ID: beginning of the text" of all that it does about
 * any row; what it does about a row of the list is logged in any case.
 *
 * The setting myfatoorah.notify_limit says from which usage of the server's queue
 * on notifications are left out.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/failpoint.h
 */
#ifndef MF_FAILPOINT_H
#define MF_FAILPOINT_H

#ifdef MF_FAILPOINTS
extern double mf_failpoint_notify_limit;

extern void mf_failpoint_define(void);
extern void mf_failpoint(const char *name);
extern void mf_failpoint_row(const char *text, int64 id);
extern void mf_failpoint_statement(const char *text, int count, const Oid *types, const Datum *values,
								   const char *nulls);

#define MF_FAILPOINT(name) mf_failpoint(name)
#define MF_NOTIFY_LIMIT mf_failpoint_notify_limit
#define MF_FAILPOINT_ROW(text, id) mf_failpoint_row(text, id)
#define MF_FAILPOINT_STATEMENT(statement, values, nulls) \
	mf_failpoint_statement((statement)->text, (statement)->nargs, (statement)->types, values, nulls)
#else
#define mf_failpoint_define() ((void) 0)
#define MF_FAILPOINT(name) ((void) 0)
#define MF_NOTIFY_LIMIT 0.9
#define MF_FAILPOINT_ROW(text, id) ((void) 0)
#define MF_FAILPOINT_STATEMENT(statement, values, nulls) ((void) 0)
#endif

#endif							/* MF_FAILPOINT_H */
