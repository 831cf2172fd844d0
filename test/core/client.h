/*
 * client.h
 *	  What a test needs of the owner of an MfHttp.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/client.h
 */
#ifndef MF_TEST_CLIENT_H
#define MF_TEST_CLIENT_H

#include "support.h"

#include "core/http/http.h"
#include "core/api/outcome.h"
#include "server.h"

#define KEY "SK_KWT_topsecret0123456789"
#define PATH "/v2/SendPayment"

/* A usual request, and an answer that accepts it */
#define REFERENCE "mf-1"
#define BODY "{\"CustomerName\":\"Ahmad\",\"InvoiceValue\":1.000,\"CustomerReference\":\"" REFERENCE "\"}"
#define ACCEPTED \
	"{\"IsSuccess\":true,\"Message\":\"Invoice Created Successfully!\",\"ValidationErrors\":null," \
	"\"Data\":{\"InvoiceId\":6345386,\"InvoiceURL\":\"https://demo.MyFatoorah.com/KWT/ie/01072634538642-1732339e\"," \
	"\"CustomerReference\":\"" REFERENCE "\",\"UserDefinedField\":null}}"

/*
 * With a thread if MF_HTTP_THREAD is set in the environment: then the whole
 * test uses one.
 */
extern MfHttp *http_create(void);

/* Time-outs of 0 mean long ones. */
extern MfHttpTarget *target_create(MfHttp *http, const char *url, long timeout_ms, long connect_timeout_ms);
extern MfHttpTarget *target_with_ca(MfHttp *http, const char *url, const char *ca_file);

/* mf_http_send() of a POST without Idempotency-Key */
extern MfHttpExchange *http_post(MfHttp *http, MfHttpTarget *target, const char *path, char *body, size_t body_len,
								 int64_t send_by, void *tag, char *error, size_t error_size);

/* Posts a copy of "body"; the test fails if that is refused. */
extern MfHttpExchange *post(MfHttp *http, MfHttpTarget *target, const char *body, void *tag);

/* Runs until an exchange has ended; the test fails after a minute. */
extern MfHttpExchange *finish_one(MfHttp *http);

/* Runs until *flag-like condition holds. */
extern void run_until(MfHttp *http, bool (*condition) (void *), void *arg);

/* post() and finish_one() */
extern MfHttpExchange *exchange_one(MfHttp *http, MfHttpTarget *target, const char *body);

/* The outcome of an exchange; also checks that none of its texts contains the key. */
extern MfOutcome outcome_of(const MfHttpExchange *exchange);

/* Fails the test if any text of the exchange contains the key or a good part of it. */
extern void check_no_key(const MfHttpExchange *exchange);

/* exchange_one(), outcome_of(), free */
extern MfOutcome outcome_one(MfHttp *http, MfHttpTarget *target, const char *body);

extern double seconds_now(void);

/*
 * What waits for nothing takes less, in seconds, on the slowest machine; the
 * time-outs of requests that hang are longer.
 */
#define SOON 8.0

#endif							/* MF_TEST_CLIENT_H */
