/*
 * request.h
 *	  A SendPayment request as SQL values: validation and conversion.
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

/* Limits of the vendor (fact sheet), or ours where it names none */
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
#define MF_JSONB_MAX (4 * MF_BODY_MAX)	/* as stored, which may take more than its text */
#define MF_VALUE_SCALE_MAX 3	/* of any currency; status answers print three decimals */
#define MF_VALUE_DIGITS_MAX 15	/* ours, before the point */
#define MF_PRIORITY_MAX 100
#define MF_METADATA_MAX 16384	/* ours, bytes as jsonb: each change of a row writes it again, or its place */
#define MF_IDEMPOTENCY_KEY_MAX 255	/* ours, characters; an entry of an index has no more than 2704 bytes */

/* Values in the order of mf_send_payment_fields[], of the types below. */
typedef struct MfRequest
{
	Relation	table;			/* of the row that is checked; NULL: these are arguments */
	Datum		values[MF_SP_COUNT];
	bool		isnull[MF_SP_COUNT];
} MfRequest;

/* SQL type of a field: text, numeric, timestamptz, jsonb, int2 or int4[] */
extern Oid	mf_request_type(MfSendPaymentField field);

/*
 * Brings the request into the form that is sent (trimmed text, upper-case
 * codes, ASCII digits, the account's dial code) and raises an error, mostly
 * 22023, that names the field and the way out if MyFatoorah would refuse it.
 * Replaced values are palloc'd in the current context.
 *
 * With "complaints" errors are collected there instead, one for each field, and
 * the account may be NULL: then only what needs none is checked.
 */
extern void mf_request_check(MfRequest *request, const MfAccount *account, MfFieldErrors *complaints);

/* The part of it that looks into a jsonb value; request_json.c */
extern void mf_request_check_json(MfRequest *request, MfSendPaymentField field);

/* Part of an ereport() about a field: the error code, and what drivers give as table and column. */
extern int	mf_err_field(const MfRequest *request, MfSendPaymentField field);

/*
 * The JSON body, malloc'd for mf_http_post(), with "reference" as
 * CustomerReference.  Raises errors for text that has no UTF-8 form.
 */
extern char *mf_request_body(const MfRequest *request, const MfAccount *account,
							 const char *reference, size_t *len);

/*
 * A new reference, never used before: the caller's own, of "len" bytes, a dot,
 * and 20 random characters; without one, these alone.  It is palloc'd, with a
 * full header.
 */
extern text *mf_new_reference(const char *customer_reference, size_t len);

/* 1 for "ref", 2 for "ref~2", ...; the length of "ref" in *stem. */
extern int	mf_reference_number(const char *reference, int *stem);

/* Whether one reference is another with a higher number. */
extern bool mf_is_resend_of(const char *reference, const char *other);

/* The reference for sending it again: "ref", "ref~2", "ref~3", ...; palloc'd. */
extern char *mf_next_reference(const char *reference);

/* mf_text_clean() in the server encoding; palloc'd. */
extern char *mf_clean_text(const char *text, MfCleaning cleaning);

#endif							/* MF_REQUEST_H */
