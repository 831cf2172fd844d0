/*
 * process.h
 *	  What the worker and the listener of a database have in common: how they
 *	  take signals, connect, and run their transactions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/process.h
 */
#ifndef MF_PROCESS_H
#define MF_PROCESS_H

#include <signal.h>

/* Connected by mf_process_connect(): a worker or a listener, with its settings */
extern bool mf_process_is_ours;

/* Set while code of users runs that nothing else waits for: SIGTERM ends the process whatever the code catches. */
extern volatile sig_atomic_t mf_process_expendable;

/* Handlers of SIGHUP, SIGTERM (sets ShutdownRequestPending) and SIGINT; then signals are let in. */
extern void mf_process_signals(void);

/* Reads the configuration once the handler of SIGHUP is there. */
extern void mf_process_read_settings(void);

/* Connects to a database, with settings of our own and a name for pg_stat_activity. */
extern void mf_process_connect(Oid database, const char *name);

/*
 * Sets all that could end, delay, redirect or falsify our transactions,
 * whatever the site, the database, the role or a trigger has set.  Each
 * transaction begins with it.
 */
extern void mf_process_settings(void);

/* How long statements wait for locks from now on, 0 for no limit; kept by mf_process_settings() */
extern void mf_process_lock_timeout(int milliseconds);

/* Between the two, SIGTERM and SIGINT cancel the statement under way. */
extern void mf_process_begin_statements(void);
extern void mf_process_end_statements(void);

/* Whether the statement under way was cancelled, or is about to be. */
extern bool mf_process_cancelled(void);

/* A transaction with a snapshot, reported in pg_stat_activity and its statistics */
extern void mf_process_start_transaction(void);

/*
 * False if something was to be cancelled meanwhile: the commit is there, but if
 * a synchronous standby was waited for, it may not have it.
 */
extern bool mf_process_commit_transaction(void);

/* False only if there are synchronous standbys, and none has confirmed it within that time. */
extern bool mf_process_commit_within(int ms);

/* In a transaction whose commit need not be on disk at once: nothing leaves that rests on it. */
extern void mf_process_commit_unhurried(void);

/* The same, and no standby is waited for. */
extern bool mf_process_commit_locally(void);

/*
 * Before an orderly end: from now on commits wait for no standby, since one that is
 * away would keep us from ending, and SIGTERM cancels nothing.  Nothing leaves any
 * more that rests on them.
 */
extern void mf_process_last_commits(void);

/* In a transaction: if that commits, the process goes on as this role for good. */
extern void mf_process_take_role(Oid role);

/*
 * DROP EXTENSION waits for us here, or we for it, but never both in the middle
 * of our tables.  False if the extension is gone.
 */
extern bool mf_process_lock_extension(Oid extension);

/* Whether an error is a cancel or the end of the process; code of users may raise the same SQLSTATE. */
extern bool mf_process_is_cancel(const ErrorData *error);

/* Whether an error tells of the row in hand rather than of the whole server */
extern bool mf_process_is_row_error(const ErrorData *error);

/*
 * Logs the error being handled, unless it was the latest one logged, or is the
 * cancel by which we shut down.  Trouble that is over and comes again is news
 * again: then forget it.
 */
extern void mf_process_report_error(const ErrorData *error);
extern void mf_process_forget_error(void);

#endif							/* MF_PROCESS_H */
