/*
 * functions.h
 *	  What the SQL-callable functions share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions.h
 */
#ifndef MF_FUNCTIONS_H
#define MF_FUNCTIONS_H

#include "fmgr.h"

#include "account.h"
#include "core/outcome.h"

/*
 * Asks GetPaymentStatus and waits; the result, whatever it is, lives as long
 * as the current memory context.  Its error, in the server encoding, is in *error,
 * and in *shown as much of it as the caller may know.
 */
extern const MfStatusResult *mf_ask_payment_status(const MfAccount *account, Oid roleid,
												   const char *key, const char *key_type,
												   const char **error, const char **shown);

/* A text argument, palloc'd; 22004 with its name if it is null. */
extern char *mf_required_text(FunctionCallInfo fcinfo, int number, const char *name);

/* Prepares a set-returning call for tuplestore_putvalues(). */
extern void mf_start_rows(FunctionCallInfo fcinfo);

#endif							/* MF_FUNCTIONS_H */
