/*
 * listener.c
 *	  The listener of a database: the process that receives webhooks and callbacks.
 *
 * It has one thread, which waits for its sockets, its latch, and the descriptor of
 * the HTTP server.  No timer runs unless somebody is connected.
 *
 * A changed certificate counts for new connections: a second HTTP server is
 * started with it, and the former one is stopped when it has answered its
 * requests.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procsignal.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include <microhttpd.h>

#include "base/compat.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "database/run_transaction.h"
#include "inbound/listener_log.h"
#include "inbound/listener_start.h"
#include "process/file_descriptors.h"
#include "process/process.h"
#include "process/wait.h"

/* Connections at a time; fewer where the process may not open as many files */
#define MAX_CONNECTIONS 512

/* The part of them that customers who wait may take; the others are for webhooks. */
#define CUSTOMERS_SHARE 4

/* Delay after a failure to listen; doubled each time.  An address may be moved here after a promotion. */
#define RETRY_DELAY_MS 1000
#define RETRY_DELAY_MAX_MS 2000

/* Delay after a lack of file descriptors or memory */
#define ACCEPT_DELAY_MS 200

/* At shutdown, requests are answered for this long. */
#define DRAIN_MS 300

/* Latch, postmaster, two HTTP servers, and sockets */
#define MAX_EVENTS (4 + MF_LISTEN_MAX)

static MfSlot *my_slot = NULL;
static MfListener listener;
static int	max_connections;

static MfListenSockets sockets;
static int	sockets_port = 0;	/* what they were opened with */
static char *sockets_addresses = NULL;

static MfHttpd *httpd = NULL;
static MfHttpd *former_httpd = NULL;	/* still answers its requests */
static bool httpd_tls = false;
static uint64 httpd_identity = 0;	/* of its certificate and key */
static uint64 former_requests = 0;	/* of HTTP servers that were stopped */

static WaitEventSet *events = NULL;
static TimestampTz retry_at = 0;	/* listen again then; 0 = not needed */
static TimestampTz accept_at = 0;	/* accept again then; 0 = at any time */
static int	failures = 0;		/* consecutive, to listen */
static char logged_failure[MF_LISTENER_ERROR_SIZE]; /* "" = none since the latest success */

static bool attach_to_slot(Oid database, pid_t worker);
static void detach_from_slot(int code, Datum arg);
static void reserve_connections(void);
static void microhttpd_panic(void *cls, const char *file, unsigned int line, const char *reason);
static void transaction_failed(const ErrorData *error);
static void serve(void);
static void forget_failures(void);
static void apply_settings(void);
static bool start_httpd(char *error, size_t error_size);
static MfHttpd *start_httpd_with(const MfListenerTls *tls, char *error, size_t error_size);
static bool open_sockets(char *error, size_t error_size);
static void stop_former_httpd(void);
static void handle_failure(const char *error);
static void build_events(void);
static bool run(void);
static void publish_state(void);
static void wait_for_events(TimestampTz until);
static void drain(void);

void
mf_listener_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	int			worker;

	memcpy(&worker, MyBgworkerEntry->bgw_extra, sizeof(worker));
	mf_process_signals();

	/* before connecting: whoever needs the database without connections waits for us */
	if (!attach_to_slot(database, worker))
		proc_exit(0);
	mf_process_connect(database, "myfatoorah listener");
	listener.runner.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah listener", ALLOCSET_DEFAULT_SIZES);
	listener.slot = my_slot;
	listener.state = &my_slot->listener;
	listener.runner.count = &listener.state->transactions;
	listener.runner.failed = transaction_failed;
	if (mf_listen_port == 0 || !mf_transaction_find_extension(&listener.runner.extension, &listener.runner.schema))
		proc_exit(0);

	reserve_connections();
	MHD_set_panic_func(microhttpd_panic, NULL);
	apply_settings();
	serve();
	drain();
	proc_exit(0);
}

static void
transaction_failed(const ErrorData *error)
{
	mf_listener_failed(listener.state, error);
}

/* Serves until the process is to end. */
static void
serve(void)
{
	while (!ShutdownRequestPending && !listener.runner.extension_dropped)
	{
		TimestampTz until;
		bool		answered;

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			if (mf_listen_port == 0)
				break;
			forget_failures();
			apply_settings();
		}
		else if (retry_at != 0 && GetCurrentTimestamp() >= retry_at)
			apply_settings();

		answered = run();
		until = mf_listener_log_refusals(&listener, former_httpd);
		until = mf_earlier(until, mf_listener_log_refusals(&listener, httpd));
		publish_state();
		if (!answered)
			wait_for_events(until);
	}
}

/* The file descriptors of connections count for PostgreSQL's limit, too. */
static void
reserve_connections(void)
{
	int			i;

	max_connections = Min(MAX_CONNECTIONS, mf_descriptors_share());
	for (i = 0; i < max_connections; i++)
		ReserveExternalFD();
	listener.max_waiting = Max(max_connections / CUSTOMERS_SHARE, 1);
}

/* False if the worker that has started us is gone, or a session needs the database. */
static bool
attach_to_slot(Oid database, pid_t worker)
{
	bool		attached = false;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot = mf_find_slot(database, false);
	if (my_slot != NULL && my_slot->holds == 0 && my_slot->pid == worker && my_slot->listener.pid == 0)
	{
		MfListenerState *state = &my_slot->listener;

		state->pid = MyProcPid;
		state->proc_number = MF_MY_PROC_NUMBER;
		state->started_at = GetCurrentTimestamp();
		state->listening = false;
		state->connections = 0;
		pg_atomic_write_u32(&state->waiting, 0);
		my_slot->routes.phase = MF_ROUTE_FREE;
		my_slot->routes.call++;
		state->wakeups = state->transactions = state->requests = 0;
		state->stored = state->repeated = state->refused = state->callbacks = 0;
		state->failing = 0;
		attached = true;
	}
	LWLockRelease(mf_shared->lock);
	if (attached)
		before_shmem_exit(detach_from_slot, (Datum) 0);
	return attached;
}

/* Wakes the worker, which may start another listener. */
static void
detach_from_slot(int code, Datum arg)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	my_slot->listener.pid = 0;
	my_slot->listener.proc_number = MF_INVALID_PROC_NUMBER;
	my_slot->listener.listening = false;
	my_slot->listener.connections = 0;
	if (my_slot->pid != 0)
		mf_set_latch_of(my_slot->proc_number);
	else
	{
		/* the worker has ended before us, so only the launcher can free the slot */
		my_slot->wanted = true;
		mf_set_latch_of(mf_shared->launcher);
	}
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* libmicrohttpd is in a state that it cannot continue from. */
static void
microhttpd_panic(void *cls, const char *file, unsigned int line, const char *reason)
{
	/* FATAL calls exit(); ERROR would jump through its stack frames */
	ereport(FATAL,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("libmicrohttpd cannot continue: %s", reason ? reason : "unknown reason")));
}

/* Opens what the settings say; what has not changed stays open. */
static void
apply_settings(void)
{
	char		error[MF_LISTENER_ERROR_SIZE + MAXPGPATH];
	bool		ok;

	retry_at = 0;
	ok = start_httpd(error, sizeof(error));
	if (!ok)
		handle_failure(error);
	if (httpd != NULL && !open_sockets(error, sizeof(error)))
	{
		handle_failure(error);
		ok = false;
	}
	if (ok)
		forget_failures();
	build_events();
}

static void
forget_failures(void)
{
	failures = 0;
	logged_failure[0] = '\0';
}

/* Starts an HTTP server unless there is one with the certificate that is in the file now. */
static bool
start_httpd(char *error, size_t error_size)
{
	MfListenerTls tls;
	MfHttpd    *started = NULL;
	MemoryContext old = MemoryContextSwitchTo(listener.runner.context);
	bool		ok = mf_listener_tls_read(&tls, error, error_size);

	if (ok && (httpd == NULL || tls.enabled != httpd_tls || tls.identity != httpd_identity))
	{
		started = start_httpd_with(&tls, error, error_size);
		ok = started != NULL;
	}
	mf_listener_tls_wipe(&tls);
	if (started != NULL)
	{
		/* only one retires at a time; requests of a third one are repeated by their senders */
		mf_customers_answer_all();
		mf_routes_answer_all();
		mf_routes_install(started);
		stop_former_httpd();
		former_httpd = httpd;
		if (former_httpd != NULL)
			mf_httpd_retire(former_httpd);
		httpd = started;
		httpd_tls = tls.enabled;
		httpd_identity = tls.identity;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(listener.runner.context);
	return ok;
}

static MfHttpd *
start_httpd_with(const MfListenerTls *tls, char *error, size_t error_size)
{
	MfHttpd    *started;
	char		reason[MF_HTTPD_ERROR_SIZE];

	started = mf_httpd_start(max_connections, tls->certificate, tls->key, reason, sizeof(reason));
	if (started == NULL && tls->enabled)
		snprintf(error, error_size, "the certificate in \"%s\" cannot be used with the key in \"%s\": %s",
				 mf_ssl_cert_file, mf_ssl_key_file, reason);
	else if (started == NULL)
		snprintf(error, error_size, "could not start the HTTP server: %s", reason);
	return started;
}

static void
stop_former_httpd(void)
{
	if (former_httpd == NULL)
		return;
	former_requests += mf_httpd_requests(former_httpd);
	mf_httpd_stop(former_httpd);
	former_httpd = NULL;
}

static bool
open_sockets(char *error, size_t error_size)
{
	if (sockets.count > 0 && mf_listen_port == sockets_port && strcmp(mf_listen_addresses, sockets_addresses) == 0)
		return true;
	mf_listen_close(&sockets);
	if (!mf_listen_open(&sockets, mf_listen_addresses, mf_listen_port, error, error_size))
		return false;
	sockets_port = mf_listen_port;
	if (sockets_addresses != NULL)
		pfree(sockets_addresses);
	sockets_addresses = MemoryContextStrdup(TopMemoryContext, mf_listen_addresses);
	ereport(LOG,
			(mf_log_event("listener_listening", "listener accepts %s connections at %s, port %d",
					httpd_tls ? "HTTPS" : "HTTP", sockets.names, mf_listen_port)));
	return true;
}

/* Logs a new failure, and sets the time of the next attempt. */
static void
handle_failure(const char *error)
{
	if (strcmp(logged_failure, error) != 0)
	{
		ereport(LOG,
				(sockets.count > 0 ?
				 mf_log_event("listener_unchanged",
							  "listener could not apply its settings, and continues as before: %s", error) :
				 mf_log_event("listener_not_listening", "listener accepts no connections: %s", error),
				 errhint("Correct myfatoorah.listen_addresses, listen_port, ssl_cert_file and ssl_key_file, or the files they name. It is tried again by itself.")));
		strlcpy(logged_failure, error, sizeof(logged_failure));
	}
	mf_listener_show_error(listener.state, error);
	retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										   Min(RETRY_DELAY_MS << Min(failures, 16), RETRY_DELAY_MAX_MS));
	failures++;
}

static void
build_events(void)
{
	int			i;

	if (events != NULL)
		FreeWaitEventSet(events);
	events = mf_descriptors_event_set(MAX_EVENTS);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (httpd != NULL)
		AddWaitEventToSet(events, WL_SOCKET_READABLE, mf_httpd_fd(httpd), NULL, NULL);
	if (former_httpd != NULL)
		AddWaitEventToSet(events, WL_SOCKET_READABLE, mf_httpd_fd(former_httpd), NULL, NULL);
	for (i = 0; i < sockets.count && accept_at == 0; i++)
		AddWaitEventToSet(events, WL_SOCKET_READABLE, sockets.fd[i], NULL, NULL);
}

/* Accepts, reads, stores and answers; true if it is to be called again before waiting. */
static bool
run(void)
{
	MfHttpdRequest *requests;
	bool		answered;

	if (accept_at != 0 && GetCurrentTimestamp() >= accept_at)
	{
		accept_at = 0;
		build_events();
	}
	if (httpd != NULL && accept_at == 0 && !mf_listen_accept(&sockets, httpd))
	{
		accept_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ACCEPT_DELAY_MS);
		build_events();
	}

	mf_routes_attend(&listener, httpd, former_httpd);
	requests = httpd != NULL ? mf_httpd_run(httpd) : NULL;
	answered = mf_listener_serve(&listener, requests);
	if (former_httpd != NULL)
	{
		answered |= mf_listener_serve(&listener, mf_httpd_run(former_httpd));
		if (mf_httpd_connections(former_httpd) == 0 && mf_httpd_busy(former_httpd) == 0)
		{
			stop_former_httpd();
			build_events();
		}
	}
	answered |= mf_customers_attend(&listener);
	answered |= mf_routes_run();
	return answered;
}

/* Updates mf_listener_status. */
static void
publish_state(void)
{
	MfListenerState *state = listener.state;

	state->connections = (httpd ? mf_httpd_connections(httpd) : 0) +
		(former_httpd ? mf_httpd_connections(former_httpd) : 0);
	state->requests = former_requests + (httpd ? mf_httpd_requests(httpd) : 0) +
		(former_httpd ? mf_httpd_requests(former_httpd) : 0);
	state->tls = httpd_tls;
	if (state->listening == (sockets.count > 0) && state->port == sockets_port &&
		strcmp(state->addresses, sockets.names) == 0)
		return;
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	state->listening = sockets.count > 0;
	state->port = sockets_port;
	strlcpy(state->addresses, sockets.names, sizeof(state->addresses));
	LWLockRelease(mf_shared->lock);
}

static void
wait_for_events(TimestampTz until)
{
	WaitEvent	occurred[MAX_EVENTS];
	long		timeout = httpd ? mf_httpd_timeout(httpd) : -1;
	long		former = former_httpd ? mf_httpd_timeout(former_httpd) : -1;

	if (former >= 0 && (timeout < 0 || former < timeout))
		timeout = former;
	until = mf_earlier(mf_earlier(until, mf_customers_alarm()), mf_earlier(retry_at, accept_at));
	until = mf_earlier(until, mf_routes_alarm());

	(void) WaitEventSetWait(events, mf_wait_ms(timeout, until), occurred, lengthof(occurred), PG_WAIT_EXTENSION);
	listener.state->wakeups++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/* Shutdown: accepts no more connections, and answers what can be answered soon. */
static void
drain(void)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DRAIN_MS);

	mf_listen_close(&sockets);
	mf_customers_answer_all();
	mf_routes_answer_all();
	if (httpd == NULL)
		return;
	mf_httpd_retire(httpd);
	accept_at = retry_at = 0;
	build_events();
	do
	{
		if (!run() && mf_httpd_busy(httpd) > 0)
			wait_for_events(deadline);
		mf_customers_answer_all();
		mf_routes_answer_all();
	} while ((mf_httpd_busy(httpd) > 0 || (former_httpd && mf_httpd_busy(former_httpd) > 0)) &&
			 GetCurrentTimestamp() < deadline);
	(void) mf_listener_log_refusals(&listener, httpd);
	publish_state();
	mf_httpd_stop(httpd);
	httpd = NULL;
	stop_former_httpd();
}
