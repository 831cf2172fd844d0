/*
 * backend_call.h
 *	  A request from a session that waits for its answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/backend_call.h
 */
#ifndef MF_BACKEND_CALL_H
#define MF_BACKEND_CALL_H

#include "account/account.h"
#include "core/api/outcome.h"

/*
 * Sends a request to the endpoint, with the key of the current role, and waits for the
 * answer.  "value" follows the endpoint's path and is encoded for a URL; NULL = nothing
 * follows.  "idempotency_key" must be able to be part of a header; NULL = none.  "body" is
 * malloc'd and freed in any case; NULL for GET.  Returns the exchange, which is freed with the
 * current memory context.  Unless "sent_to" is NULL, *sent_to becomes mf_http_target_checksum()
 * of where the request went.  Connections are kept for later calls of this session.
 *
 * Raises an error if no request can be made, or on cancel, statement_timeout and
 * termination.  "under_way", unless it is NULL, is an error context callback that is
 * active from when the request may have left: an error without it means that nothing
 * was sent.
 */
extern MfHttpExchange *mf_backend_call(const MfAccount *account, const MfEndpoint *endpoint, const char *value,
									   const char *idempotency_key, char *body, size_t body_len,
									   ErrorContextCallback *under_way, int32 *sent_to);

/*
 * A result of that size, zeroed, in the current memory context, at whose reset "release"
 * frees what the result has of malloc'd memory by then.
 */
extern void *mf_result_alloc(Size size, MemoryContextCallbackFunction release);

/* The same for the result of a request that makes an invoice, with mf_send_result_free() */
extern MfSendResult *mf_send_result_alloc(void);

/* The checksum of where requests of the current role go; raises the errors of mf_account_target(). */
extern int32 mf_backend_target_checksum(const MfAccount *account);

#endif							/* MF_BACKEND_CALL_H */
