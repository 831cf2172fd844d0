/*
 * process.h
 *	  What the background workers of a database have in common: signals,
 *	  connection, settings, transactions and errors.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/process.h
 */
#ifndef MF_PROCESS_H
#define MF_PROCESS_H

#include <signal.h>

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"

/* This process is one of them: mf_process_connect() was called. */
extern bool mf_process_is_ours;

/*
 * Set while a function of a user runs in a process that does nothing else: SIGTERM
 * then ends the process, whatever the function catches.
 */
extern volatile sig_atomic_t mf_process_expendable;

/*
 * Installs the handlers of SIGHUP, SIGTERM and SIGINT, unblocks signals, and reads
 * the configuration files.  SIGTERM sets ShutdownRequestPending.
 */
extern void mf_process_signals(void);

/* Reads the configuration files; from the handler of SIGHUP's flag, and at start. */
extern void mf_process_read_settings(void);

/* Connects to a database; "name" is shown in pg_stat_activity. */
extern void mf_process_connect(Oid database, const char *name);

/* Sets lock_timeout for this and later transactions; 0 = no limit. */
extern void mf_process_lock_timeout(int milliseconds);

/*
 * In what is left of the current transaction, no lock is waited for long: before rows are
 * written that sessions write, too, and may hold for as long as they like.
 */
extern void mf_process_limit_lock_waits(void);

/* Between these two calls SIGTERM and SIGINT cancel the current statement. */
extern void mf_process_begin_statements(void);
extern void mf_process_end_statements(void);

/* Whether a statement was cancelled since mf_process_begin_statements(). */
extern bool mf_process_cancelled(void);

/* Starts a transaction with an active snapshot, whose activity is reported. */
extern void mf_process_start_transaction(void);

/*
 * Commits.  False if it was cancelled: the commit is done, but if it waits for a
 * synchronous standby, the standby may not have it.
 */
extern bool mf_process_commit_transaction(void);

/* The same; false only if a synchronous standby has not confirmed within that time. */
extern bool mf_process_commit_within(int ms);

/* The same; waits for no standby. */
extern bool mf_process_commit_locally(void);

/*
 * In a transaction: its commit need not be on disk at once, because no request
 * depends on it.
 */
extern void mf_process_commit_unhurried(void);

/*
 * Before an orderly end: later commits wait for no standby, which could keep the
 * process from ending, and SIGTERM cancels nothing.  No request may be made that
 * depends on such a commit.
 */
extern void mf_process_last_commits(void);

/* In a transaction: if it commits, the process keeps this role for good. */
extern void mf_process_take_role(Oid role);

/*
 * Locks the extension against DROP EXTENSION until the end of the transaction.
 * False if it was dropped.
 */
extern bool mf_process_lock_extension(Oid extension);

/* Waits for the latch, until a time at the latest. */
extern void mf_process_wait(TimestampTz until);

/* Whether the server raised an error to cancel us; code of users may raise the same SQLSTATE. */
extern bool mf_process_is_cancel(const ErrorData *error);

/* Whether the cause of an error is probably the current row, and not the whole server. */
extern bool mf_process_is_row_error(const ErrorData *error);

/*
 * In PG_CATCH(): logs the error, unless it equals the latest one that was logged,
 * or a shutdown is requested.  After mf_process_forget_error() it is logged again.
 */
extern void mf_process_report_error(const ErrorData *error);
extern void mf_process_forget_error(void);

/*
 * Registers a process that the server starts, and restarts; from _PG_init()
 * under shared_preload_libraries.  "kind" follows "myfatoorah" in the type and
 * name of the process.
 */
extern void mf_background_worker_register(const char *function, const char *kind);

/*
 * Starts a process for a database, whose OID is its argument, and the process id
 * of the caller its bgw_extra.  *handle is in TopMemoryContext; it may be NULL.
 * Returns false if no slot is free, after logging that if "log".
 */
extern bool mf_background_worker_start(const char *function, const char *kind, Oid database,
									   BackgroundWorkerHandle **handle, bool log);

#endif							/* MF_PROCESS_H */
