/*
 * row_check.h
 *	  Validation of rows of mf_invoice, before they are stored.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/row_check.h
 */
#ifndef MF_ROW_CHECK_H
#define MF_ROW_CHECK_H

#include "account/account.h"
#include "base/compat.h"
#include "request/field_errors.h"
#include "store/invoice.h"
#include "utils/relcache.h"

/*
 * Checks the columns that users set, fills in defaults, and returns the account.
 * Raises an error that names the column; with "errors" collects all of them, and
 * returns NULL if the account is not valid.
 */
extern const MfAccount *mf_row_check(MfRow *row, Relation table, MfFieldErrors *errors);

/* Checks metadata only, for rows of which nothing else may be changed. */
extern void mf_row_check_metadata(MfRow *row, Relation table);

/* Raises 42501 unless the current role may use that account, and the key with which the row would be sent. */
extern void mf_row_check_usage(Relation table, const MfAccount *account);

/* Raises or collects an error for each column of a new row that only we write and that has a value. */
extern void mf_row_check_results(const MfRow *row, Relation table, MfFieldErrors *errors);

/* Raises 42501: only we write that column. */
pg_noreturn extern void mf_row_refuse_result(Relation table, int column);

#endif							/* MF_ROW_CHECK_H */
