/*
 * process.c
 *	  What the background workers of a database have in common: signals,
 *	  connection, settings, transactions and errors.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/process.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "process/notify.h"
#include "process/process.h"
#include "process/wait.h"

/* How long a lock is waited for that a session may hold */
#define LOCK_WAIT_MS 200

bool		mf_process_is_ours = false;
volatile sig_atomic_t mf_process_expendable = false;

static volatile sig_atomic_t in_statement = false;
static volatile sig_atomic_t cancelled = false; /* since mf_process_begin_statements() */
static TimeoutId standby_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t ignore_shutdown = false;	/* SIGTERM cancels nothing */
static char *last_reported_error = NULL;
static char lock_timeout[16] = "0";
static bool local_commits = false;	/* commits wait for no standby */
static bool unhurried = false;	/* the commit of this transaction need not be flushed */

static void cancel_current(void);
static void make_settings(void);
static void set_unless_set(const char *name, const char *value);
static void require_synchronous_commit(void);

/* SIGTERM: requests the end of the process, and cancels the current statement. */
static void
request_shutdown(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (mf_process_expendable)
		ProcDiePending = InterruptPending = true;
	else if (!ignore_shutdown)
		cancel_current();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* SIGINT: cancels the current statement, and nothing else. */
static void
cancel_statement(SIGNAL_ARGS)
{
	int			save_errno = errno;

	cancel_current();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* In a signal handler: ends the current statement, also if it waits for a lock or a standby. */
static void
cancel_current(void)
{
	if (in_statement)
	{
		InterruptPending = true;
		QueryCancelPending = true;
		cancelled = true;
	}
}

void
mf_process_signals(void)
{
#ifdef MF_FAILPOINTS
	/* simulates a SIGHUP that comes right after the fork, which PostgreSQL drops */
	MF_FAILPOINT("signals");
	(void) signal(SIGHUP, SIG_IGN);
#endif
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, request_shutdown);
	pqsignal(SIGINT, cancel_statement);
	BackgroundWorkerUnblockSignals();
	mf_process_read_settings();
}

/* At the start of a process PostgreSQL may have dropped a SIGHUP that came right after the fork. */
void
mf_process_read_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

void
mf_process_connect(Oid database, const char *name)
{
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_appname(name);
	make_settings();
	mf_notify_control_all();
	mf_process_is_ours = true;
	mf_failpoint_enable();
}

/*
 * Sets the parameters that could end, delay, redirect or falsify our transactions, whatever
 * the site, the database, the role or a trigger has set.  Every transaction begins with it.
 * Those that this version of the server does not have are skipped.  The source is the
 * session, because a SET in a trigger would outlive any weaker source.
 */
static void
make_settings(void)
{
	static const char *const settings[][2] = {
		/* names and rows are the ones that our statements mean */
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "off"},
		{"session_replication_role", "origin"},
		{"restrict_nonsystem_relation_kind", ""},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"TimeZone", "UTC"},
		/* nothing but our own code ends a transaction */
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"exit_on_error", "off"},
		/* transactions may write, and see what others commit */
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		/* damaged data is an error, not an empty agenda */
		{"zero_damaged_pages", "off"},
		{"ignore_checksum_failure", "off"},
		/* nothing slows them down */
		{"commit_delay", "0"},
		{"temp_tablespaces", ""},
	};
	int			i;

	for (i = 0; i < (int) lengthof(settings); i++)
		set_unless_set(settings[i][0], settings[i][1]);
	set_unless_set("lock_timeout", lock_timeout);
	require_synchronous_commit();
}

/* Comparing is cheaper than setting, and the value is rarely another one. */
static void
set_unless_set(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, true, false);

	if (now != NULL && strcmp(now, value) != 0)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_SESSION);
}

/*
 * Raises synchronous_commit to at least "on": the record of an attempt must be on
 * disk before its request leaves.  Local commits, on which no request depends, wait
 * for no standby.
 */
static void
require_synchronous_commit(void)
{
	bool		set = local_commits ? synchronous_commit == SYNCHRONOUS_COMMIT_LOCAL_FLUSH :
		synchronous_commit >= SYNCHRONOUS_COMMIT_ON;

	if (!set)
		SetConfigOption("synchronous_commit", local_commits ? "local" : "on", PGC_SUSET, PGC_S_SESSION);
}

void
mf_process_lock_timeout(int milliseconds)
{
	snprintf(lock_timeout, sizeof(lock_timeout), "%d", milliseconds);
	set_unless_set("lock_timeout", lock_timeout);
}

/* The next transaction has its own again. */
void
mf_process_limit_lock_waits(void)
{
	set_unless_set("lock_timeout", CppAsString2(LOCK_WAIT_MS));
}

void
mf_process_begin_statements(void)
{
	/* who always has work never waits, and would go on in a server that nobody can start again */
	if (!PostmasterIsAlive())
		proc_exit(1);
	QueryCancelPending = false;
	cancelled = false;
	in_statement = true;
}

/* Discards a cancel that arrived after its statement had ended. */
void
mf_process_end_statements(void)
{
	in_statement = false;
	QueryCancelPending = false;
}

bool
mf_process_cancelled(void)
{
	return cancelled;
}

/*
 * Triggers of users run in our transactions, and must not change the role to the
 * session's own, which is a superuser.  SECURITY_LOCAL_USERID_CHANGE forbids that.
 * It is removed before the end of the transaction, because the server asserts at
 * the next start that it is not set.
 */
void
mf_process_start_transaction(void)
{
	/* a trigger may have changed settings, or taken advisory locks of the session */
	make_settings();
	LockReleaseSession(USER_LOCKMETHOD);
	unhurried = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	mf_process_take_role(GetUserId());
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
mf_process_take_role(Oid role)
{
	SetUserIdAndSecContext(role, SECURITY_LOCAL_USERID_CHANGE);
}

/*
 * A commit whose wait for a standby is cancelled raises no error; only the interrupt
 * shows it.
 */
bool
mf_process_commit_transaction(void)
{
	int			guc_level = NewGUCNestLevel();

	/* settings of deferred triggers end with them */
	AfterTriggerFireDeferred();
	AtEOXact_GUC(false, guc_level);
	PopActiveSnapshot();
	if (unhurried)
		(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
	else
	{
		require_synchronous_commit();
		ForceSyncCommit();
	}
	MF_FAILPOINT("committing");
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetUserId(), 0);
	(void) pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return !cancelled && !ProcDiePending;
}

/*
 * Whether a commit may have waited for a synchronous standby.  That is unknown until
 * a changed configuration has been read.
 */
static bool
waits_for_standby(void)
{
	return (SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0') || ConfigReloadPending;
}

bool
mf_process_commit_within(int ms)
{
	volatile bool confirmed = false;

	if (standby_timeout == MAX_TIMEOUTS)
		standby_timeout = RegisterTimeout(USER_TIMEOUT, cancel_current);
	PG_TRY();
	{
		enable_timeout_after(standby_timeout, ms);
		confirmed = mf_process_commit_transaction();
	}
	PG_FINALLY();
	{
		disable_timeout(standby_timeout, false);
	}
	PG_END_TRY();
	/* without standbys the time was spent on the disk, and the commit is complete */
	return confirmed || !waits_for_standby();
}

void
mf_process_commit_unhurried(void)
{
	unhurried = true;
}

bool
mf_process_commit_locally(void)
{
	bool		was_local = local_commits;
	bool		confirmed;

	(void) set_config_option("synchronous_commit", "local", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
	local_commits = true;
	confirmed = mf_process_commit_transaction();
	local_commits = was_local;
	return confirmed;
}

void
mf_process_last_commits(void)
{
	ignore_shutdown = true;
	QueryCancelPending = false;
	local_commits = true;
	require_synchronous_commit();
}

bool
mf_process_lock_extension(Oid extension)
{
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid(MF_EXTENSION, true) == extension;
}

void
mf_process_wait(TimestampTz until)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, mf_wait_ms(-1, until),
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
mf_process_forget_error(void)
{
	if (last_reported_error != NULL)
		pfree(last_reported_error);
	last_reported_error = NULL;
}

/* Whether that C function of the server has raised the error. */
static bool
raised_by(const ErrorData *error, const char *function)
{
	return error->funcname != NULL && strcmp(error->funcname, function) == 0;
}

bool
mf_process_is_cancel(const ErrorData *error)
{
	return (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN) &&
		raised_by(error, "ProcessInterrupts");
}

bool
mf_process_is_row_error(const ErrorData *error)
{
	/* an error raised by PL/pgSQL code of a user, whatever SQLSTATE it has chosen */
	if (raised_by(error, "exec_stmt_raise"))
		return true;
	/* no transaction can write until VACUUM has been everywhere */
	if (raised_by(error, "GetNewTransactionId") || raised_by(error, "GetNewMultiXactId"))
		return false;
	/* disk quotas and file size limits have no SQLSTATE of their own */
	if (error->sqlerrcode == ERRCODE_INTERNAL_ERROR &&
		(error->saved_errno == EFBIG || error->saved_errno == EDQUOT || error->saved_errno == ENOSPC))
		return false;

	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return false;
		default:
			return true;
	}
}

void
mf_process_report_error(const ErrorData *error)
{
	if (ShutdownRequestPending ||
		(last_reported_error != NULL && strcmp(last_reported_error, error->message) == 0))
		return;
	mf_log_error_event("transaction_failed", error);
	EmitErrorReport();
	mf_process_forget_error();
	last_reported_error = MemoryContextStrdup(TopMemoryContext, error->message);
}

/* What all of them have in common */
static void
describe(BackgroundWorker *worker, const char *function, const char *kind, int restart_time)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = restart_time;
	snprintf(worker->bgw_library_name, BGW_MAXLEN, MF_EXTENSION);
	snprintf(worker->bgw_function_name, BGW_MAXLEN, "%s", function);
	snprintf(worker->bgw_name, BGW_MAXLEN, "myfatoorah %s", kind);
	snprintf(worker->bgw_type, BGW_MAXLEN, "myfatoorah %s", kind);
}

void
mf_background_worker_register(const char *function, const char *kind)
{
	BackgroundWorker worker;

	describe(&worker, function, kind, 1);
	RegisterBackgroundWorker(&worker);
}

bool
mf_background_worker_start(const char *function, const char *kind, Oid database,
						   BackgroundWorkerHandle **handle, bool log)
{
	BackgroundWorker worker;
	MemoryContext old;
	bool		started;

	describe(&worker, function, kind, BGW_NEVER_RESTART);
	snprintf(worker.bgw_name, BGW_MAXLEN, "myfatoorah %s for database %u", kind, database);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = handle != NULL ? MyProcPid : 0;
	StaticAssertStmt(sizeof(MyProcPid) <= BGW_EXTRALEN, "a process id must fit");
	memcpy(worker.bgw_extra, &MyProcPid, sizeof(MyProcPid));

	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(old);
	if (started)
		return true;

	if (handle != NULL)
		*handle = NULL;
	if (log)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 mf_log_event("process_not_started", "no free background worker slot for \"%s\"", worker.bgw_name),
				 errhint("Raise max_worker_processes. The server needs one process for the extension, and each database that has it one, one more for its listener, one more for functions of mf_on_change(), and one more for pages of mf_on_request().")));
	return false;
}
