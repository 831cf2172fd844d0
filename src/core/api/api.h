/*
 * api.h
 *	  MyFatoorah's endpoints: builds request bodies and parses answers.
 *
 * Each message is described by a table of fields, in the order of MyFatoorah's
 * documentation.  All text is UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/api.h
 */
#ifndef MF_API_H
#define MF_API_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "core/api/endpoint.h"

typedef enum MfFieldKind
{
	MF_TEXT,					/* JSON string; number literals are read as
								 * text too */
	MF_DECIMAL,					/* JSON number; a string of the form
								 * "12,345.000" is read too */
	MF_INTEGER,					/* JSON number without fraction, of at most 18
								 * digits; a string of digits is read too */
	MF_JSON,					/* any JSON value, as text */
	MF_BOOLEAN,					/* true or false, read as that; the words are
								 * read as strings, too, in any case */
	MF_CURRENCY,				/* abbreviation or ISO code, read as ISO code */
	MF_LINK,					/* JSON string, read if mf_link_valid() */
	MF_LOCAL_TIME				/* read as "YYYY-MM-DD hh:mm:ss.ffffff",
								 * without zone; written from that (or with a
								 * "T") as "YYYY-MM-DDThh:mm:ss" */
} MfFieldKind;

typedef struct MfField
{
	const char *name;			/* MyFatoorah's, "CustomerName" */
	const char *column;			/* the column's, "customer_name" */
	MfFieldKind kind;
	bool		essential;		/* if this field is of another kind, the whole
								 * answer is rejected */
} MfField;

/* Fields of a SendPayment or ExecutePayment request: positions in mf_send_payment_fields[] */
typedef enum MfSendPaymentField
{
	MF_SP_CUSTOMER_NAME,
	MF_SP_INVOICE_VALUE,
	MF_SP_NOTIFICATION_OPTION,
	MF_SP_CUSTOMER_EMAIL,
	MF_SP_CUSTOMER_MOBILE,
	MF_SP_MOBILE_COUNTRY_CODE,
	MF_SP_DISPLAY_CURRENCY_ISO,
	MF_SP_LANGUAGE,
	MF_SP_CUSTOMER_REFERENCE,
	MF_SP_CUSTOMER_CIVIL_ID,
	MF_SP_USER_DEFINED_FIELD,
	MF_SP_CALL_BACK_URL,
	MF_SP_ERROR_URL,
	MF_SP_WEBHOOK_URL,
	MF_SP_EXPIRY_DATE,
	MF_SP_CUSTOMER_ADDRESS,
	MF_SP_INVOICE_ITEMS,
	MF_SP_SHIPPING_METHOD,
	MF_SP_SHIPPING_CONSIGNEE,
	MF_SP_SUPPLIERS,
	MF_SP_PROCESSING_DETAILS,
	MF_SP_INVOICE_PAYMENT_METHODS,
	MF_SP_SOURCE_INFO,
	MF_SP_PAYMENT_METHOD_ID,	/* from here on of ExecutePayment only */
	MF_SP_RECURRING_TYPE,
	MF_SP_INTERVAL_DAYS,
	MF_SP_ITERATION,
	MF_SP_RETRY_COUNT,
	MF_SP_COUNT
} MfSendPaymentField;

extern const MfField mf_send_payment_fields[MF_SP_COUNT];

/*
 * Builds the JSON body of a request.  values[] is in the order of the table of
 * its fields; NULL leaves a member out.  "Object.Member" is a member of an object in it.  MF_DECIMAL and MF_INTEGER values must
 * be JSON numbers and are written digit by digit.  MF_JSON values must be
 * valid JSON; only white space and the way characters are escaped may change.
 * MF_TEXT values must be valid UTF-8. Returns a malloc'd string and its
 * length in *len, or NULL when out of memory or when a value is not valid.
 */
extern char *mf_fields_body(const MfField *fields, int count, const char *const *values, size_t *len);

/*
 * Likewise {"Key":...,"KeyType":...}, the body of GetPaymentStatus (PaymentId, InvoiceId,
 * CustomerReference) and GetRefundStatus (InvoiceId, RefundReference, RefundId).
 */
extern char *mf_key_body(const char *key, const char *key_type, size_t *len);

/*
 * Fields of a GetPaymentStatus answer: members of Data, then those of
 * InvoiceTransactions
 */
typedef enum MfPaymentStatusField
{
	MF_PS_INVOICE_ID,
	MF_PS_INVOICE_STATUS,
	MF_PS_INVOICE_REFERENCE,
	MF_PS_CUSTOMER_REFERENCE,
	MF_PS_CREATED_DATE,
	MF_PS_EXPIRY_DATE,			/* ExpiryDate and ExpiryTime joined */
	MF_PS_INVOICE_VALUE,
	MF_PS_COMMENTS,
	MF_PS_CUSTOMER_NAME,
	MF_PS_CUSTOMER_MOBILE,
	MF_PS_CUSTOMER_EMAIL,
	MF_PS_USER_DEFINED_FIELD,
	MF_PS_INVOICE_DISPLAY_VALUE,	/* amount only */
	MF_PS_DISPLAY_CURRENCY,		/* from InvoiceDisplayValue, ISO code */
	MF_PS_DUE_DEPOSIT,
	MF_PS_DEPOSIT_STATUS,
	MF_PS_INVOICE_ITEMS,
	MF_PS_INVOICE_TRANSACTIONS,
	MF_PS_SUPPLIERS,
	MF_PS_COUNT
} MfPaymentStatusField;

typedef enum MfTransactionField
{
	MF_TX_TRANSACTION_DATE,
	MF_TX_PAYMENT_GATEWAY,
	MF_TX_REFERENCE_ID,
	MF_TX_TRACK_ID,
	MF_TX_TRANSACTION_ID,
	MF_TX_PAYMENT_ID,
	MF_TX_AUTHORIZATION_ID,
	MF_TX_TRANSACTION_STATUS,
	MF_TX_TRANSATION_VALUE,		/* MyFatoorah's spelling; column
								 * transaction_value */
	MF_TX_CUSTOMER_SERVICE_CHARGE,
	MF_TX_TOTAL_SERVICE_CHARGE,
	MF_TX_DUE_VALUE,
	MF_TX_PAID_CURRENCY,
	MF_TX_PAID_CURRENCY_VALUE,
	MF_TX_VAT_AMOUNT,
	MF_TX_IP_ADDRESS,
	MF_TX_COUNTRY,
	MF_TX_CURRENCY,
	MF_TX_ERROR,
	MF_TX_CARD_NUMBER,
	MF_TX_ERROR_CODE,
	MF_TX_ECI,
	MF_TX_CARD,					/* JSON object; contains a token */
	MF_TX_COUNT
} MfTransactionField;

extern const MfField mf_payment_status_fields[MF_PS_COUNT];
extern const MfField mf_transaction_fields[MF_TX_COUNT];

/*
 * Read the members that a table names into values[], each malloc'd in the
 * canonical form of its kind; NULL where null or absent.  An empty string
 * stays an empty string for MF_TEXT and becomes NULL for every other kind.
 *
 * Unknown members are ignored.  A member that cannot be read (another kind,
 * not a date, an unknown currency) becomes NULL as well, so that a change in
 * an unimportant member does not hide a payment.  If the member is essential,
 * the whole read fails: the function returns false, nothing stays allocated,
 * and *bad is MyFatoorah's name of the member, or NULL when out of memory.
 * Essential are InvoiceId, InvoiceStatus, InvoiceValue and CustomerReference;
 * of a transaction PaymentId and TransactionStatus.  The caller checks that
 * they are present.
 */
extern bool mf_payment_status_read(const cJSON *data, char *values[MF_PS_COUNT], const char **bad);
extern bool mf_transaction_read(const cJSON *transaction, char *values[MF_TX_COUNT], const char **bad);

/* Likewise for any object and table. */
extern bool mf_fields_read(const cJSON *object, const MfField *fields, int count, char **values, const char **bad);
extern void mf_values_free(char *values[], int count);

/* Frees the empty ones: they become NULL. */
extern void mf_values_drop_empty(char *values[], int count);

/* What an answer says, whatever its shape */
typedef struct MfEnvelope
{
	cJSON	   *root;			/* NULL if the body is not valid JSON */
	int			is_success;		/* 1, 0, or -1 if the body tells neither */
	const cJSON *data;			/* NULL if absent; of a bare body, all of it */
	bool		names_errors;	/* only unless is_success is 1: a non-empty
								 * ValidationErrors or FieldsErrors, or
								 * Data.ErrorMessage */
	bool		names_made;		/* anywhere a non-empty member of the endpoint's
								 * "traces"; if the body is not JSON: one of
								 * these words */
	char	   *error;			/* malloc'd; NULL if is_success is 1. "Name:
								 * Error, Name: Error", or else the first
								 * other text in MyFatoorah's order (fact
								 * sheet, section 4); one line of printable
								 * text, at most 1000 bytes */
} MfEnvelope;

/*
 * Parses an answer of that endpoint; false only when out of memory.  Free the envelope
 * with mf_envelope_free(). "api_key", which may be NULL, is hidden in "error";
 * everything else is unchanged.
 */
extern bool mf_envelope_read(const MfEndpoint *endpoint, const char *body, size_t len, const char *api_key,
							 MfEnvelope *envelope);
extern void mf_envelope_free(MfEnvelope *envelope);

/*
 * The member of that name that has a value: in Data, else the first one at
 * any depth, in any case.  null, false, 0 and empty strings are no value.
 * NULL if there is none.
 */
extern const cJSON *mf_envelope_find(const MfEnvelope *envelope, const char *name);

#endif							/* MF_API_H */
