/*
 * request.h
 *	  A SendPayment or ExecutePayment request as SQL values: validates it and builds its JSON body.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request.h
 */
#ifndef MF_REQUEST_H
#define MF_REQUEST_H

#include "utils/relcache.h"

#include "account/account.h"
#include "core/api/api.h"
#include "core/text/unicode.h"
#include "request/field_errors.h"

/* Limits of MyFatoorah, or ours where it documents none */
#define MF_CUSTOMER_NAME_MAX 1000	/* ours, characters */
#define MF_CUSTOMER_REFERENCE_MAX 100	/* ours, characters */
#define MF_TEXT_MAX 500			/* UserDefinedField; ours for other texts */
#define MF_CARD_FIELD_MAX 50	/* UserDefinedField that begins with CK- */
#define MF_MOBILE_MAX 11
#define MF_URL_MAX 254
#define MF_EMAIL_MAX 254		/* RFC 5321 */
#define MF_ITEMS_MAX 1000		/* ours */
#define MF_METHODS_MAX 100		/* ours */
#define MF_MEMBER_TEXT_MAX 1000 /* ours, characters of a text in an object */
#define MF_MEMBER_DIGITS_MAX 30 /* ours, characters of a number in an object */
#define MF_BODY_MAX 65536		/* ours, bytes of the whole request */
#define MF_JSONB_MAX (4 * MF_BODY_MAX)	/* bytes as stored, which may be more than its text takes */
#define MF_VALUE_SCALE_MAX 3	/* of any currency; status answers print three decimals */
#define MF_VALUE_DIGITS_MAX 15	/* ours, before the point */
#define MF_PRIORITY_MAX 100
#define MF_METADATA_MAX 16384	/* ours, bytes as jsonb; every update of a row copies it, or its TOAST pointer */
#define MF_INTERVAL_DAYS_MAX 180
#define MF_RETRY_COUNT_MAX 5
#define MF_IDEMPOTENCY_KEY_MAX 255	/* ours, characters; an index entry cannot have more than 2704 bytes */

/* Values in the order of mf_send_payment_fields[], of the types of mf_request_type() */
typedef struct MfRequest
{
	Relation	table;			/* mf_invoice if these are values of a row;
								 * NULL: they are arguments of a function */
	Datum		values[MF_SP_COUNT];
	bool		isnull[MF_SP_COUNT];
} MfRequest;

/* SQL type of a field: text, numeric, timestamptz, jsonb, int2, int4 or int4[] */
extern Oid	mf_request_type(MfSendPaymentField field);

/* Whether the request goes to ExecutePayment, for a page of one method, and not to SendPayment. */
static inline bool
mf_request_executes(const MfRequest *request)
{
	return !request->isnull[MF_SP_PAYMENT_METHOD_ID];
}

static inline MfEndpointNumber
mf_request_endpoint(const MfRequest *request)
{
	return mf_request_executes(request) ? MF_EXECUTE_PAYMENT : MF_SEND_PAYMENT;
}

/*
 * Brings the values into the form that is sent: trimmed text, upper-case codes,
 * ASCII digits, the account's dial code.  New values are palloc'd.  If MyFatoorah
 * would refuse a value, raises an error that names the field, usually 22023.
 *
 * Unless "errors" is NULL, the errors are collected there instead, at most one of
 * each field.  Then the account may be NULL, and what needs an account is not
 * checked.
 */
extern void mf_request_check(MfRequest *request, const MfAccount *account, MfFieldErrors *errors);

/*
 * For ereport(): sets 22023 and the name of the column, and of the table if the
 * values are those of a row.
 */
extern int	mf_err_field(const MfRequest *request, MfSendPaymentField field);

/*
 * Builds the JSON body, with "reference" as CustomerReference, malloc'd for
 * mf_http_send().  Raises errors for text that has no UTF-8 form.
 */
extern char *mf_request_body(const MfRequest *request, const MfAccount *account,
							 const char *reference, size_t *len);

/*
 * The same for POST /v3/payments, with the reference as ExternalIdentifier.  NULL if that
 * cannot carry the request with the same meaning; then *obstacle is the column at fault,
 * if it is not NULL.
 */
extern char *mf_request_v3_body(const MfRequest *request, const MfAccount *account, const char *reference,
								size_t *len, const char **obstacle);

/*
 * The Idempotency-Key of a request with that reference: the reference itself, or if that
 * cannot be part of a header, its SHA-256 in digits; palloc'd.
 */
extern char *mf_request_key(const char *reference);

/*
 * Returns a new unique reference, palloc'd: the user's own reference of "len" bytes, a
 * dot, and 20 random characters; without a user's reference (len = 0) the random
 * characters alone.
 */
extern text *mf_new_reference(const char *customer_reference, size_t len);

/* The number of a resend: 1 for "ref", 2 for "ref~2", ...  The length of "ref" is stored in *stem. */
extern int	mf_reference_number(const char *reference, int *stem);

/* Whether the first "stem" bytes of a reference are as mf_new_reference() makes them, as those of all rows are. */
extern bool mf_reference_is_made(const char *reference, int stem);

/* Whether a reference is that of a later resend of the other. */
extern bool mf_is_resend_of(const char *reference, const char *other);

/* The reference of the next resend: "ref" becomes "ref~2", "ref~2" becomes "ref~3"; palloc'd. */
extern char *mf_next_reference(const char *reference);

/* mf_text_clean() in the server encoding; palloc'd. */
extern char *mf_clean_text(const char *text, MfCleaning cleaning);

/* How many characters of the end of a reference are in the path of its callbacks */
#define MF_CALLBACK_TOKEN_LENGTH 20

/* Whether the customer's browser returns to the listener: the column callbacks */
typedef enum MfCallbacks
{
	MF_CALLBACKS_BY_ACCOUNT,	/* null: by the option of the account */
	MF_CALLBACKS_ON,
	MF_CALLBACKS_OFF
} MfCallbacks;

/*
 * Sets display_currency_iso to "currency", a text, if it is null and the account has another currency: since its
 * country or environment has changed.  Returns whether it has.
 */
extern bool mf_request_keep_currency(MfRequest *request, Datum currency, const MfAccount *account);

/*
 * Sets WebhookUrl, CallBackUrl and ErrorUrl to URLs of the listener, by the setting
 * myfatoorah.public_url; without that it does nothing.  CallBackUrl and ErrorUrl
 * are set only if callbacks are on: otherwise the customer sees MyFatoorah's own
 * page.  URLs that the user has given are kept, except that
 * myfatoorah.route_callbacks replaces CallBackUrl and ErrorUrl.  So does one that leads to
 * another page of the listener: the callback asks MyFatoorah before it leads on there, so
 * that this page knows what has become of the payment.
 */
extern void mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
						 MfCallbacks callbacks);

#endif							/* MF_REQUEST_H */
