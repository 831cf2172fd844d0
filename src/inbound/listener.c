/*
 * listener.c
 *	  The listener of a database: its life and its loop.
 *
 * One process, one thread: it waits for its sockets, for its latch, and for
 * the HTTP server's own descriptor.  Nothing runs by the clock unless somebody
 * is connected, so an idle listener costs nothing.
 *
 * A changed certificate takes effect with new connections: the HTTP server is
 * started anew beside the former one, which goes when its requests are
 * answered.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "common/hashfn.h"
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
#include "base/settings.h"
#include "database/sql.h"
#include "inbound/listener.h"
#include "process/file_descriptors.h"
#include "process/process.h"
#include "process/wait.h"

/* After a failure to listen; doubled with every one in a row */
#define RETRY_DELAY_MS 1000
#define RETRY_DELAY_MAX_MS 2000	/* an address may arrive only after a promotion */

/* While the system has no descriptors to spare */
#define ACCEPT_DELAY_MS 200

/* What is under way at shutdown may still be answered for this long. */
#define DRAIN_MS 300

/* Latch, postmaster, two HTTP servers, and sockets */
#define MAX_EVENTS (4 + MF_LISTEN_MAX)

static MfSlot *my_slot = NULL;
static MfService service;
static int	max_connections;

static MfListenSockets sockets;
static int	sockets_port = 0;	/* what they were opened for */
static char *sockets_addresses = NULL;

static MfHttpd *httpd = NULL;
static MfHttpd *former_httpd = NULL;	/* with requests under way */
static bool httpd_tls = false;
static uint64 httpd_identity = 0;	/* of its certificate and key */
static uint64 former_requests = 0;	/* of HTTP servers that are gone */

static WaitEventSet *events = NULL;
static TimestampTz retry_at = 0;	/* listen again then; 0 = nothing to do */
static TimestampTz accept_at = 0;	/* accept again then; 0 = at any time */
static int	failures = 0;
static char failure[MF_LISTEN_ERROR_SIZE];	/* logged last */

static bool attach(Oid database, pid_t worker);
static void detach(int code, Datum arg);
static bool find_service(void);
static bool begin_service(void);
static void give_up(void *cls, const char *file, unsigned int line, const char *reason);
static void set_up(void);
static bool set_up_httpd(char *error, size_t error_size);
static bool set_up_sockets(char *error, size_t error_size);
static void drop_former_httpd(void);
static void failed(const char *error);
static void build_events(void);
static bool run(void);
static void publish(void);
static void wait_for_events(TimestampTz again);
static void drain(void);

/* Entry point of a listener; the argument is the database, with the worker that started it in bgw_extra. */
void
mf_listener_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);
	int			worker;
	int			i;

	memcpy(&worker, MyBgworkerEntry->bgw_extra, sizeof(worker));
	mf_process_signals();

	/* before connecting, so that whoever needs the database sees us coming */
	if (!attach(database, worker))
		proc_exit(0);
	mf_process_connect(database, "myfatoorah listener");
	service.context = AllocSetContextCreate(TopMemoryContext, "myfatoorah listener", ALLOCSET_DEFAULT_SIZES);
	service.state = &my_slot->listener;
	if (mf_listen_port == 0 || !begin_service())
		proc_exit(0);

	/* descriptors that the server's own bookkeeping must not count on */
	max_connections = Min(MF_LISTENER_MAX_CONNECTIONS, mf_descriptors_share());
	for (i = 0; i < max_connections; i++)
		ReserveExternalFD();
	service.max_waiting = Max(max_connections / MF_CALLBACK_SHARE, 1);
	MHD_set_panic_func(give_up, NULL);
	set_up();

	while (!ShutdownRequestPending && !service.gone)
	{
		TimestampTz again;
		bool		answered;

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			if (mf_listen_port == 0)
				break;
			failures = 0;
			failure[0] = '\0';
			set_up();
		}
		else if (retry_at != 0 && GetCurrentTimestamp() >= retry_at)
			set_up();

		answered = run();
		again = mf_earlier(mf_serve_log(&service, former_httpd), mf_serve_log(&service, httpd));
		publish();
		if (!answered)
			wait_for_events(again);
	}
	drain();
	proc_exit(0);
}

/* Takes the listener's part of the slot of this database; false if nobody wants us any more. */
static bool
attach(Oid database, pid_t worker)
{
	bool		wanted = false;

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
		state->wakeups = state->transactions = state->requests = 0;
		state->stored = state->repeated = state->refused = state->callbacks = 0;
		wanted = true;
	}
	LWLockRelease(mf_shared->lock);
	if (wanted)
		before_shmem_exit(detach, (Datum) 0);
	return wanted;
}

/* Gives it back at exit. */
static void
detach(int code, Datum arg)
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
		/* the worker went first, and the slot with it could not be given back */
		my_slot->wanted = true;
		mf_set_latch_of(mf_shared->launcher);
	}
	LWLockRelease(mf_shared->lock);
	ConditionVariableBroadcast(&mf_shared->changed);
}

/* Finds the extension and takes on the role of the worker for good; false if it is not there. */
static bool
find_service(void)
{
	mf_process_begin_statements();
	if (ShutdownRequestPending)
		return false;
	mf_process_start_transaction();
	service.extension = get_extension_oid(MF_EXTENSION, true);
	service.schema = mf_extension_schema();
	if (OidIsValid(service.schema))
		mf_process_take_role(mf_worker_role());
	mf_process_commit_transaction();
	mf_process_end_statements();
	return OidIsValid(service.schema);
}

/* The same; whoever ends us meanwhile is no error of ours. */
static bool
begin_service(void)
{
	volatile bool found = false;

	PG_TRY();
	{
		found = find_service();
	}
	PG_CATCH();
	{
		if (!ShutdownRequestPending || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	return found;
}

/* libmicrohttpd has found itself in a state that it cannot go on from. */
static void
give_up(void *cls, const char *file, unsigned int line, const char *reason)
{
	/* no jump through its frames: FATAL leaves by exit() */
	ereport(FATAL,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("libmicrohttpd cannot go on: %s", reason ? reason : "unknown reason")));
}

/* Opens, or opens anew, what the settings ask for; what has not changed stays. */
static void
set_up(void)
{
	char		error[MF_LISTEN_ERROR_SIZE + MAXPGPATH];
	bool		certain;

	retry_at = 0;
	certain = set_up_httpd(error, sizeof(error));
	if (!certain)
		failed(error);
	if (httpd != NULL && !set_up_sockets(error, sizeof(error)))
	{
		failed(error);
		certain = false;
	}
	if (certain)
	{
		failures = 0;
		failure[0] = '\0';
	}
	build_events();
}

/* An HTTP server with the certificate that is in the file now. */
static bool
set_up_httpd(char *error, size_t error_size)
{
	MfHttpdConfig config;
	MfHttpd    *started = NULL;
	bool		tls = mf_ssl_cert_file[0] != '\0' || mf_ssl_key_file[0] != '\0';
	char	   *certificate = NULL;
	char	   *key = NULL;
	uint64		identity = 0;
	MemoryContext old = MemoryContextSwitchTo(service.context);
	bool		ok = true;

	if (tls && (mf_ssl_cert_file[0] == '\0' || mf_ssl_key_file[0] == '\0'))
	{
		snprintf(error, error_size, "%s is set, but %s is not",
				 mf_ssl_cert_file[0] ? "myfatoorah.ssl_cert_file" : "myfatoorah.ssl_key_file",
				 mf_ssl_cert_file[0] ? "myfatoorah.ssl_key_file" : "myfatoorah.ssl_cert_file");
		ok = false;
	}
	else if (tls)
	{
		certificate = mf_listen_read_pem("myfatoorah.ssl_cert_file", mf_ssl_cert_file, false, error, error_size);
		if (certificate != NULL)
			key = mf_listen_read_pem("myfatoorah.ssl_key_file", mf_ssl_key_file, true, error, error_size);
		ok = key != NULL;
		if (ok)
			identity = hash_bytes_extended((const unsigned char *) certificate, (int) strlen(certificate), 1) ^
				hash_bytes_extended((const unsigned char *) key, (int) strlen(key), 2);
	}

	if (ok && (httpd == NULL || tls != httpd_tls || identity != httpd_identity))
	{
		char		reason[MF_HTTPD_ERROR_SIZE];

		config.max_connections = max_connections;
		config.certificate = certificate;
		config.key = key;
		config.idle_seconds = MF_HTTPD_IDLE_SECONDS;
		config.request_seconds = MF_HTTPD_REQUEST_SECONDS;
		started = mf_httpd_start(&config, reason, sizeof(reason));
		ok = started != NULL;
		if (!ok && tls)
			snprintf(error, error_size, "the certificate in \"%s\" cannot be used with the key in \"%s\": %s",
					 mf_ssl_cert_file, mf_ssl_key_file, reason);
		else if (!ok)
			snprintf(error, error_size, "could not start the HTTP server: %s", reason);
	}
	if (key != NULL)
		explicit_bzero(key, strlen(key));
	if (started != NULL)
	{
		/* there is one that retires at a time; those with whom it is busy try again */
		mf_serve_end_waiting(&service);
		drop_former_httpd();
		former_httpd = httpd;
		if (former_httpd != NULL)
			mf_httpd_retire(former_httpd);
		httpd = started;
		httpd_tls = tls;
		httpd_identity = identity;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(service.context);
	return ok;
}

static void
drop_former_httpd(void)
{
	if (former_httpd == NULL)
		return;
	former_requests += mf_httpd_requests(former_httpd);
	mf_httpd_stop(former_httpd);
	former_httpd = NULL;
}

/* Sockets at the addresses and the port of the settings */
static bool
set_up_sockets(char *error, size_t error_size)
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
			(errmsg("myfatoorah listener accepts %s connections at %s, port %d",
					httpd_tls ? "HTTPS" : "HTTP", sockets.names, mf_listen_port)));
	return true;
}

/* Says so once, and plans to try again. */
static void
failed(const char *error)
{
	if (strcmp(failure, error) != 0)
	{
		ereport(LOG,
				(errmsg("myfatoorah listener %s: %s", sockets.count > 0 ? "goes on as before" : "accepts no connections", error),
				 errhint("Correct the settings myfatoorah.listen_addresses, port, ssl_cert_file and ssl_key_file, or what they name; it tries again by itself.")));
		strlcpy(failure, error, sizeof(failure));
	}
	mf_listener_show_error(service.state, error);
	retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										   Min(RETRY_DELAY_MS << Min(failures, 16), RETRY_DELAY_MAX_MS));
	failures++;
}

/* Makes the set of what is waited for. */
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

/* Lets in, reads, stores, answers; true if it is to be called again before waiting. */
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

	requests = httpd != NULL ? mf_httpd_run(httpd) : NULL;
	answered = mf_serve(&service, requests);
	if (former_httpd != NULL)
	{
		answered |= mf_serve(&service, mf_httpd_run(former_httpd));
		if (mf_httpd_connections(former_httpd) == 0 && mf_httpd_busy(former_httpd) == 0)
		{
			drop_former_httpd();
			build_events();
		}
	}
	answered |= mf_serve_waiting(&service);
	return answered;
}

/* For mf_listener_status */
static void
publish(void)
{
	MfListenerState *state = service.state;

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

/* Sleeps until there is something to do. */
static void
wait_for_events(TimestampTz again)
{
	WaitEvent	occurred[MAX_EVENTS];
	long		timeout = httpd ? mf_httpd_timeout(httpd) : -1;
	long		former = former_httpd ? mf_httpd_timeout(former_httpd) : -1;

	if (former >= 0 && (timeout < 0 || former < timeout))
		timeout = former;
	again = mf_earlier(mf_earlier(again, mf_serve_alarm()), mf_earlier(retry_at, accept_at));

	(void) WaitEventSetWait(events, mf_wait_ms(timeout, again), occurred, lengthof(occurred), PG_WAIT_EXTENSION);
	service.state->wakeups++;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

/* Shutdown: nobody is let in any more; who has sent a request is answered if that takes a moment only. */
static void
drain(void)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DRAIN_MS);

	mf_listen_close(&sockets);
	mf_serve_end_waiting(&service);
	if (httpd == NULL)
		return;
	mf_httpd_retire(httpd);
	accept_at = retry_at = 0;
	build_events();
	do
	{
		if (!run() && mf_httpd_busy(httpd) > 0)
			wait_for_events(deadline);
		mf_serve_end_waiting(&service);
	} while ((mf_httpd_busy(httpd) > 0 || (former_httpd && mf_httpd_busy(former_httpd) > 0)) &&
			 GetCurrentTimestamp() < deadline);
	(void) mf_serve_log(&service, httpd);
	publish();
	mf_httpd_stop(httpd);
	httpd = NULL;
	drop_former_httpd();
}
