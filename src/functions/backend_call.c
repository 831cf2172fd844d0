/*
 * backend_call.c
 *	  A request from a session that waits for its answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/backend_call.c
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"

#include "account/account_target.h"
#include "base/compat.h"
#include "functions/backend_call.h"
#include "process/file_descriptors.h"
#include "process/metrics.h"
#include "process/process.h"
#include "process/wait.h"

#define WAIT_EVENTS 3			/* latch, postmaster, transport */

static MfHttp *http = NULL;

/* Kept, because creating it takes as long as a request to a server nearby. */
static WaitEventSet *wait_set = NULL;

static void start_http(void);
static void stop_http(int code, Datum arg);
static MfHttpExchange *wait_for_answer(MfHttpExchange *exchange);
static void free_exchange(void *exchange);
static void free_send_result(void *result);

/* In our processes, a function of a user or a trigger would make all other work wait for the network. */
static void
refuse_in_worker(void)
{
	if (mf_process_is_ours)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("requests to MyFatoorah cannot be sent in a background process of myfatoorah"),
				 errdetail("Functions of mf_on_change(), mf_on_time() and mf_on_request() run in one, and triggers in the worker."),
				 errhint("Use mf_refresh(): the worker then makes the inquiry after the transaction.")));
}

int32
mf_backend_target_checksum(const MfAccount *account)
{
	start_http();
	return mf_http_target_checksum(mf_account_target(http, account, (MfKeyOwner) {GetUserId(), false}));
}

MfHttpExchange *
mf_backend_call(const MfAccount *account, const MfEndpoint *endpoint, const char *value, const char *idempotency_key,
				char *body, size_t body_len, ErrorContextCallback *under_way, int32 *sent_to)
{
	MemoryContextCallback *callback = (MemoryContextCallback *) palloc(sizeof(MemoryContextCallback));
	MfHttpRequest request = {.verb = endpoint->verb, .body = body, .body_len = body_len,
	.idempotency_key = idempotency_key, .large_response = endpoint->large};
	char	   *path = mf_endpoint_path(endpoint, value);
	MfHttpTarget *volatile target;
	MfHttpExchange *exchange;
	MfHttpExchange *done;
	char		error[MF_HTTP_ERROR_SIZE];

	if (path == NULL)
	{
		free(body);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request")));
	}
	PG_TRY();
	{
		refuse_in_worker();
		start_http();
		target = mf_account_target(http, account, (MfKeyOwner) {GetUserId(), false});
	}
	PG_CATCH();
	{
		free(path);
		free(body);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (sent_to != NULL)
		*sent_to = mf_http_target_checksum(target);
	request.path = path;
	exchange = mf_http_send(http, target, &request, error, sizeof(error));
	free(path);
	if (exchange == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not start a request to account \"%s\"", account->name),
				 errdetail_internal("%s", error),
				 errhint("Nothing was sent; the call can be repeated.")));

	if (under_way != NULL)
	{
		under_way->previous = error_context_stack;
		error_context_stack = under_way;
	}
	done = wait_for_answer(exchange);
	if (under_way != NULL)
		error_context_stack = under_way->previous;

	mf_count_exchange(MF_REQUEST_DIRECT, done);
	callback->func = free_exchange;
	callback->arg = done;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return done;
}

/* Waits until the exchange is done, and returns it.  An error aborts it. */
static MfHttpExchange *
wait_for_answer(MfHttpExchange *exchange)
{
	MfHttpExchange *volatile done = NULL;

	PG_TRY();
	{
		mf_http_perform(http);
		while ((done = mf_http_next_done(http)) == NULL)
		{
			WaitEvent	events[WAIT_EVENTS];
			int			count = WaitEventSetWait(wait_set, mf_wait_ms(mf_http_timeout(http), 0), events, WAIT_EVENTS,
												 PG_WAIT_EXTENSION);
			int			i;

			for (i = 0; i < count; i++)
			{
				if (events[i].events & WL_LATCH_SET)
				{
					ResetLatch(MyLatch);
					CHECK_FOR_INTERRUPTS();
				}
			}
			mf_http_perform(http);
		}
	}
	PG_CATCH();
	{
		mf_http_abort(http, exchange);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return done;
}

static void
free_exchange(void *exchange)
{
	mf_http_exchange_free((MfHttpExchange *) exchange);
}

void *
mf_result_alloc(Size size, MemoryContextCallbackFunction release)
{
	MemoryContextCallback *callback = (MemoryContextCallback *) palloc(sizeof(MemoryContextCallback));
	void	   *result = palloc0(size);

	callback->func = release;
	callback->arg = result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return result;
}

MfSendResult *
mf_send_result_alloc(void)
{
	return (MfSendResult *) mf_result_alloc(sizeof(MfSendResult), free_send_result);
}

static void
free_send_result(void *result)
{
	mf_send_result_free((MfSendResult *) result);
}

/* Creates the transport of this session and its wait events, at the first call. */
static void
start_http(void)
{
	char		error[MF_HTTP_ERROR_SIZE];
	WaitEventSet *set;

	if (http == NULL)
	{
		/* two descriptors: for events, and the socket of the connection in use */
		if (!AcquireExternalFD())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not start the HTTP transport: too many open files"),
					 errhint("Raise max_files_per_process.")));
		http = mf_http_create(error, sizeof(error));
		if (http == NULL)
		{
			ReleaseExternalFD();
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not start the HTTP transport"),
					 errdetail_internal("%s", error)));
		}
		ReserveExternalFD();
		on_proc_exit(stop_http, (Datum) 0);
	}

	if (wait_set == NULL)
	{
		set = mf_descriptors_event_set(WAIT_EVENTS);
		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		AddWaitEventToSet(set, WL_SOCKET_READABLE, mf_http_fd(http), NULL, NULL);
		wait_set = set;
	}
}

/* Exit callback: closes the connections and wipes the keys. */
static void
stop_http(int code, Datum arg)
{
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
	mf_account_forget_targets(http);
	mf_http_destroy(http);
	http = NULL;
}
