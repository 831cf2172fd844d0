/*
 * deposit.h
 *	  Deposits: GetDepositedInvoices, and what a webhook announces.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/deposit.h
 */
#ifndef MF_DEPOSIT_H
#define MF_DEPOSIT_H

#include "core/api/lists.h"

/* Members of an item that are kept: positions in mf_deposit_fields[] */
typedef enum MfDepositField
{
	MF_DI_INVOICE_ID,
	MF_DI_PAYMENT_ID,
	MF_DI_PAYMENT_GATEWAY,
	MF_DI_INVOICE_REFERENCE,
	MF_DI_CUSTOMER_REFERENCE,
	MF_DI_CREATED_DATE,
	MF_DI_PAID_DATE,
	MF_DI_INVOICE_VALUE,
	MF_DI_DUE_VALUE,
	MF_DI_PAID_CURRENCY,
	MF_DI_PAID_CURRENCY_VALUE,
	MF_DI_TOTAL_SERVICE_CHARGE,
	MF_DI_DUE_DEPOSIT,			/* what the deposit pays for the invoice */
	MF_DI_DEPOSIT_REFERENCE,
	MF_DI_DEPOSIT_DATE,
	MF_DI_COUNT
} MfDepositField;

extern const MfField mf_deposit_fields[MF_DI_COUNT];
extern const MfList mf_deposit_list;

/*
 * Builds the body of a GetDepositedInvoices request.  "supplier_code", in digits, is
 * NULL for a deposit of the account itself.  malloc'd; NULL when out of memory, or if
 * a text is not valid.
 */
extern char *mf_deposit_body(const char *reference, const char *supplier_code, size_t *len);

/*
 * Parses the answer, rows of mf_deposit_fields[], as mf_list_result_read() does.  An item of
 * another deposit makes the whole answer unreadable, as one without a number or an amount
 * does: sums of it would be wrong.
 */
extern void mf_deposit_result_read(const MfHttpExchange *exchange, const char *reference, MfListResult *result);

#define MF_DEPOSIT_REFERENCE_MAX 64

/* What a webhook says of a deposit, in signed members.  Static memory of its own. */
typedef struct MfDepositNews
{
	char		reference[MF_DEPOSIT_REFERENCE_MAX + 1];
	char		supplier_code[20];	/* digits; empty for the account itself */
	char		value[64];		/* plain decimal; empty if it cannot be read */
	int			count;			/* of transactions; -1 if it cannot be read */
} MfDepositNews;

/*
 * Reads the Data of a webhook with code 3, of either version.  False if it names no
 * deposit that could be asked about.
 */
extern bool mf_deposit_news_read(const cJSON *data, MfDepositNews *news);

/* Whether a text can be a DepositReference: printable ASCII without blanks, not too long. */
extern bool mf_deposit_reference_valid(const char *reference);

#endif							/* MF_DEPOSIT_H */
