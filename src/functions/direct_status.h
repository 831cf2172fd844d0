/*
 * direct_status.h
 *	  GetPaymentStatus from a session that waits for the answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_status.h
 */
#ifndef MF_DIRECT_STATUS_H
#define MF_DIRECT_STATUS_H

#include "account/account.h"
#include "core/api/outcome.h"

/*
 * Calls GetPaymentStatus with the key of the current role.  Returns the result, found or not;
 * it lives as long as the current memory context.  *error is its error in the server
 * encoding, *shown as much of it as the current role may see.
 */
extern const MfStatusResult *mf_ask_payment_status(const MfAccount *account, const char *key, const char *key_type,
												   const char **error, const char **shown);

/*
 * Returns the invoice with that key, and its account, which the current role may use.
 * Raises an error if there is none, or if row-level security hides it from the
 * role.  "name" is the name of the argument that has the key.
 */
extern const MfStatusResult *mf_find_invoice(Oid schema, const char *name, const char *key, const char *key_type,
											 const char *account_name, const MfAccount **account);

/*
 * Raises the error for a question that had no answer, or was refused.  Returns if the
 * lookup is MF_LOOKUP_FOUND.
 */
extern void mf_report_unanswered(MfLookup lookup, bool not_sent, const MfAccount *account, const char *error,
								 const char *shown);

/* Converts a text of an answer to an SQL type, by that type's input function. */
extern Datum mf_field_datum(const MfField *field, const char *value, Oid type, const MfAccount *account, bool *isnull);

/* As much of the error of a request as the current role may see.  "sent": the request has left. */
extern const char *mf_shown_error(const MfHttpExchange *exchange, const MfAccount *account, bool sent,
								  const char *error);

#endif							/* MF_DIRECT_STATUS_H */
