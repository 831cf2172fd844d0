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
 * Everything that can be known early about the columns that users set: fills in
 * what is left out, and returns the account.  Raises an error that names the
 * column, or with "complaints" collects them all; then there may be no account.
 */
extern const MfAccount *mf_row_check(MfInvoiceRow *row, Relation table, MfFieldErrors *complaints);

/* The part of it that holds also where nothing else may be changed any more. */
extern void mf_row_check_metadata(MfInvoiceRow *row, Relation table);

/* Raises 42501 unless the current role may use that account for a row, with the key that it would go with. */
extern void mf_row_check_usage(Relation table, const MfAccount *account);

/* No column of a new row that only we write is given. */
extern void mf_row_check_results(const MfInvoiceRow *row, Relation table, MfFieldErrors *complaints);

/* Raises the error of one that is. */
pg_noreturn extern void mf_row_refuse_result(Relation table, int column);

#endif							/* MF_ROW_CHECK_H */
