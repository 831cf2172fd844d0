/*
 * messages.h
 *	  Signed webhooks: the samples in fixtures/, and bodies that tests make
 *	  up.
 *
 * The signatures beside the samples were made with the openssl program.  For
 * bodies that tests make up they are computed by another interface of
 * libcrypto than src/core uses, over signed texts that are written out.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/messages.h
 */
#ifndef MF_TEST_MESSAGES_H
#define MF_TEST_MESSAGES_H

#include "support.h"

#include <cjson/cJSON.h>

#include "core/api/webhook.h"

/* That of every fixture, and another */
#define SECRET "example-webhook-secret-1"
#define OTHER "another-secret"

/* A sample's name, and what must be read from it */
typedef struct Expected
{
	const char *name;
	int			version;
	int			code;
	const char *event;
	const char *reference;
	const char *invoice_id;
	const char *payment_id;
	const char *customer_reference;
	const char *status;
} Expected;

#define SAMPLES 13
extern const Expected samples[SAMPLES];

typedef struct Sample
{
	char	   *body;
	cJSON	   *root;			/* of the file with the signature */
	const char *version;
	const char *secret;
	const char *signed_text;
	const char *signature;
} Sample;
extern void open_sample(const char *name, Sample *sample);
extern void close_sample(Sample *sample);

/* Base64 of HMAC-SHA256, malloc'd */
extern char *sign(const char *secret, const char *message);


/* Of a message that is not valid only the error is set. */
extern void check_refused(const MfWebhook *webhook);

/* Reads with SECRET. */
extern MfWebhookVerdict verdict_of(const char *body, size_t len, const char *signature, const char *version);

/* Reads a body with the signature of "signed_text". */
extern MfWebhookVerdict read_signed(const char *body, const char *signed_text, const char *version,
									MfWebhook *webhook);

/*
 * Reads it likewise without a version; expects this verdict, with "why" in
 * its error.
 */
extern void check_signed(int line, const char *body, const char *signed_text, MfWebhookVerdict expected,
						 const char *why);

/* Bodies */
#define V1(code, name, data) "{\"EventType\":" code ",\"Event\":\"" name "\",\"Data\":{" data "}}"
#define DEPOSIT(data) V1("3", "BalanceTransferred", data)
#define PAID(data) V1("1", "TransactionsStatusChanged", data)

#define V2(code, name, data) "{\"Event\":{\"Code\":" code ",\"Name\":\"" name "\"},\"Data\":" data "}"
#define PAID2(data) V2("1", "PAYMENT_STATUS_CHANGED", data)
#define EMPTY2 "Invoice.Id=,Invoice.Status=,Transaction.Status=,Transaction.PaymentId=,Invoice.ExternalIdentifier="
#define ONLY_ID2(id) "Invoice.Id=" id ",Invoice.Status=,Transaction.Status=,Transaction.PaymentId=,Invoice.ExternalIdentifier="

#endif							/* MF_TEST_MESSAGES_H */
