/*
 * backend_call.h
 *	  One request from a backend that waits for its answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/backend_call.h
 */
#ifndef MF_BACKEND_CALL_H
#define MF_BACKEND_CALL_H

#include "account/account.h"
#include "core/http/http.h"

/*
 * Posts "body" (malloc'd, taken over) for the account as that role and waits.
 * Cancel, statement_timeout and termination take effect while it waits.
 * Connections are kept for later calls of this backend.  The exchange is
 * freed with the current memory context at the latest.
 *
 * "under_way", unless it is NULL, is the context of errors from the moment on
 * when the request may leave; what fails before has sent nothing.
 */
extern MfHttpExchange *mf_call(const MfAccount *account, Oid roleid, const char *path,
							   char *body, size_t body_len, ErrorContextCallback *under_way);

#endif							/* MF_BACKEND_CALL_H */
