/*
 * failpoint.h
 *	  Places where a test stops the worker or makes a statement fail.
 *
 * They exist in builds with FAILPOINTS=1 only.  Places are in code of the background
 * workers of the extension; statements fail there only.
 *
 * myfatoorah.failpoint names one place.  The first time a process gets there it
 * logs "failpoint NAME reached" and waits until the file "myfatoorah.continue"
 * appears in the data directory, or until it is cancelled or terminated.
 *
 * myfatoorah.fail_statements is a list of HASH=ID.  A statement fails if its text
 * has that hash, and if one of its int8 parameters is or contains the id.  So does
 * MF_FAILPOINT_ROW() with a text of that hash.  "failpoint: faults are now ..." is
 * logged when the list has been read, and "failpoint: HASH of ID fails" at each
 * fault.  Statements on rows of the list are logged as "failpoint: HASH of ID:
 * beginning of the text", and those on all rows with myfatoorah.trace_statements.
 *
 * myfatoorah.notify_limit replaces the usage of the NOTIFY queue from which on
 * notifications are left out.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/failpoint.h
 */
#ifndef MF_FAILPOINT_H
#define MF_FAILPOINT_H

#ifdef MF_FAILPOINTS
extern double mf_failpoint_notify_limit;

/* Defines the settings; from _PG_init(). */
extern void mf_failpoint_define(void);

/* Has statements fail, and be traced, from here on: this process is a background worker of the extension. */
extern void mf_failpoint_enable(void);

extern void mf_failpoint(const char *name);

/* A row is about to be written without SQL; "text" describes the change. */
extern void mf_failpoint_row(const char *text, int64 id);

/* A statement is about to run. */
extern void mf_failpoint_statement(const char *text, int count, const Oid *types, const Datum *values,
								   const char *nulls);

#define MF_FAILPOINT(name) mf_failpoint(name)
#define MF_NOTIFY_LIMIT mf_failpoint_notify_limit
#define MF_FAILPOINT_ROW(text, id) mf_failpoint_row(text, id)
#define MF_FAILPOINT_STATEMENT(statement, values, nulls) \
	mf_failpoint_statement((statement)->text, (statement)->nargs, (statement)->types, values, nulls)
#else
#define mf_failpoint_define() ((void) 0)
#define mf_failpoint_enable() ((void) 0)
#define MF_FAILPOINT(name) ((void) 0)
#define MF_NOTIFY_LIMIT 0.9
#define MF_FAILPOINT_ROW(text, id) ((void) 0)
#define MF_FAILPOINT_STATEMENT(statement, values, nulls) ((void) 0)
#endif

#endif							/* MF_FAILPOINT_H */
