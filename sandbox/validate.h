/*
 * validate.h
 *	  The rules a SendPayment request must keep.
 */
#ifndef SANDBOX_VALIDATE_H
#define SANDBOX_VALIDATE_H

#include "json.h"
#include "store.h"

/* A checked request; the strings point into the parsed body or into scratch. */
typedef struct SendPaymentRequest
{
	InvoiceData data;
	Buf errors; /* the elements of ValidationErrors, if any */
	Buf scratch;
	Buf meta; /* V3: MetaData as JSON */
	Str token; /* V3: a saved card to charge, or absent */
} SendPaymentRequest;

extern bool validate_send_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req);
extern bool validate_execute_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req);
extern bool validate_v3_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req);
extern void validate_free(SendPaymentRequest *req);
extern bool json_text(const JsonNode *object, const char *name, Str *result);
extern void put_validation_error(Buf *errors, const char *name, const char *error);

#endif
