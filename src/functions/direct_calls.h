/*
 * direct_calls.h
 *	  What the SQL-callable functions share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/direct_calls.h
 */
#ifndef MF_DIRECT_CALLS_H
#define MF_DIRECT_CALLS_H

#include "fmgr.h"

#include "account/account.h"
#include "core/api/outcome.h"

/*
 * Asks GetPaymentStatus and waits; the result, whatever it is, lives as long
 * as the current memory context.  Its error, in the server encoding, is in *error,
 * and in *shown as much of it as the caller may know.
 */
extern const MfStatusResult *mf_ask_payment_status(const MfAccount *account, Oid roleid,
												   const char *key, const char *key_type,
												   const char **error, const char **shown);

/*
 * The invoice that is asked for, of an account that the current role may use;
 * raises an error unless there is one, and the role may know of it.  "name" is
 * that of the argument that has the key.
 */
extern const MfStatusResult *mf_find_invoice(Oid schema, const char *name, const char *key, const char *key_type,
											 const char *account_name, const MfAccount **account);

#endif							/* MF_DIRECT_CALLS_H */
