/*
 * process.c
 *	  What the worker and the listener of a database have in common: how they
 *	  take signals, connect, and run their transactions.
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
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "process/notify.h"
#include "process/process.h"

bool		mf_process_is_ours = false;
volatile sig_atomic_t mf_process_expendable = false;

static volatile sig_atomic_t in_statement = false;
static volatile sig_atomic_t cancelled = false;	/* what is in hand */
static TimeoutId standby_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t ending = false;
static char *last_reported_error = NULL;
static char lock_timeout[16] = "0";
static bool last_commits = false;
static bool unhurried = false;

static void request_shutdown(SIGNAL_ARGS);
static void cancel_statement(SIGNAL_ARGS);
static void cancel(void);
static void set_unless_set(const char *name, const char *value);
static void require_synchronous_commit(void);
static bool waits_for_standby(void);
static bool is_from(const ErrorData *error, const char *function);

/* SIGTERM: end soon; a statement that waits for a lock is cancelled. */
static void
request_shutdown(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (mf_process_expendable)
		ProcDiePending = InterruptPending = true;
	else if (!ending)
		cancel();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* SIGINT: cancels a statement, and nothing else. */
static void
cancel_statement(SIGNAL_ARGS)
{
	int			save_errno = errno;

	cancel();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* In a handler: ends the statement in hand, or its wait for a lock or a standby. */
static void
cancel(void)
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
	/* as PostgreSQL does it just after the fork: what is pending by then is gone */
	MF_FAILPOINT("signals");
	pqsignal(SIGHUP, SIG_IGN);
#endif
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, request_shutdown);
	pqsignal(SIGINT, cancel_statement);
	BackgroundWorkerUnblockSignals();
	mf_process_read_settings();
}

/* See process.h.  PostgreSQL drops a signal that came between our fork and its own first steps. */
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
	mf_process_settings();
	mf_notify_take_charge();
	mf_process_is_ours = true;
	mf_failpoint_enable();
}

/*
 * See process.h.  Names of settings that this server does not have are passed
 * over.  The source is the session, or else a SET in a trigger would stay for
 * ever.
 */
void
mf_process_settings(void)
{
	static const char *const settings[][2] = {
		/* objects and rows are those that we mean */
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "off"},
		{"session_replication_role", "origin"},
		{"restrict_nonsystem_relation_kind", ""},
		{"standard_conforming_strings", "on"},
		{"transform_null_equals", "off"},
		{"TimeZone", "UTC"},
		/* transactions end when we end them */
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"exit_on_error", "off"},
		/* they may write, and see what others commit */
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		/* what is damaged is an error, not an empty agenda */
		{"zero_damaged_pages", "off"},
		{"ignore_checksum_failure", "off"},
		/* nothing is slower than it need be */
		{"commit_delay", "0"},
		{"temp_tablespaces", ""},
	};
	int			i;

	for (i = 0; i < (int) lengthof(settings); i++)
		set_unless_set(settings[i][0], settings[i][1]);
	set_unless_set("lock_timeout", lock_timeout);
	require_synchronous_commit();
}

/* Most of the time it is set already, which is cheaper to see than to do again. */
static void
set_unless_set(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, true, false);

	if (now != NULL && strcmp(now, value) != 0)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_SESSION);
}

/*
 * Raised to at least "on", never lowered: the record of an attempt must be on
 * disk before its request leaves.  The last commits of a process, after which
 * nothing leaves, are not to wait for a standby.
 */
static void
require_synchronous_commit(void)
{
	if (last_commits ? synchronous_commit != SYNCHRONOUS_COMMIT_LOCAL_FLUSH : synchronous_commit < SYNCHRONOUS_COMMIT_ON)
		SetConfigOption("synchronous_commit", last_commits ? "local" : "on", PGC_SUSET, PGC_S_SESSION);
}

void
mf_process_lock_timeout(int milliseconds)
{
	snprintf(lock_timeout, sizeof(lock_timeout), "%d", milliseconds);
	set_unless_set("lock_timeout", lock_timeout);
}

void
mf_process_begin_statements(void)
{
	QueryCancelPending = false;
	cancelled = false;
	in_statement = true;
}

/* See process.h.  A cancel that came too late for its statement is for nobody. */
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
 * See process.h.  Triggers of others run in our transactions, as late as at
 * their end.  They must not change the role: the session's own is a superuser.
 * What forbids it may not outlive the transaction: the server wants it gone at
 * the start of the next one, and an abort takes it away by itself.
 */
void
mf_process_start_transaction(void)
{
	/* the site may have other settings now, and a trigger of a superuser may have locked something */
	mf_process_settings();
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
 * See process.h.  A wait for a standby that is cancelled ends in a commit without
 * an error: the interrupt is all there is to see of it.
 */
bool
mf_process_commit_transaction(void)
{
	int			guc_level = NewGUCNestLevel();

	/* what triggers set that were deferred ends with them */
	AfterTriggerFireDeferred();
	AtEOXact_GUC(false, guc_level);
	PopActiveSnapshot();
	if (unhurried)
		(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
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
 * Whether a commit may have waited for a synchronous standby.  While a new
 * configuration has not been read, nobody knows.
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
		standby_timeout = RegisterTimeout(USER_TIMEOUT, cancel);
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
	/* a disk that is slow is no standby that is away */
	return confirmed || !waits_for_standby();
}

void
mf_process_commit_unhurried(void)
{
	unhurried = true;
}

/* See process.h.  What the site has set is back after it. */
bool
mf_process_commit_locally(void)
{
	bool		were_last = last_commits;
	bool		confirmed;

	(void) set_config_option("synchronous_commit", "local", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	last_commits = true;
	confirmed = mf_process_commit_transaction();
	last_commits = were_last;
	return confirmed;
}

void
mf_process_last_commits(void)
{
	ending = true;
	QueryCancelPending = false;
	last_commits = true;
	require_synchronous_commit();
}

bool
mf_process_lock_extension(Oid extension)
{
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid(MF_EXTENSION, true) == extension;
}

void
mf_process_forget_error(void)
{
	if (last_reported_error != NULL)
		pfree(last_reported_error);
	last_reported_error = NULL;
}

/* Whether a function of the server has raised an error. */
static bool
is_from(const ErrorData *error, const char *function)
{
	return error->funcname != NULL && strcmp(error->funcname, function) == 0;
}

bool
mf_process_is_cancel(const ErrorData *error)
{
	return (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN) &&
		is_from(error, "ProcessInterrupts");
}

bool
mf_process_is_row_error(const ErrorData *error)
{
	/* what code of users raises is about the row, whatever code it has */
	if (is_from(error, "exec_stmt_raise"))
		return true;
	/* a quota or a limit on files has no code of its own */
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
	EmitErrorReport();
	mf_process_forget_error();
	last_reported_error = MemoryContextStrdup(TopMemoryContext, error->message);
}
