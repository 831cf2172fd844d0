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

/* Raises 0A000 in a trigger, and in a function of mf_on_change(). */
extern void mf_refuse_in_trigger(const char *function);

/* A text argument, palloc'd; 22004 with its name if it is null. */
extern char *mf_required_text(FunctionCallInfo fcinfo, int number, const char *name);

/* Prepares a set-returning call for tuplestore_putvalues(). */
extern void mf_start_rows(FunctionCallInfo fcinfo);

#endif							/* MF_DIRECT_CALLS_H */
