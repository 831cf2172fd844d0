/*
 * lists.h
 *	  Answers that are lists of rows: methods of payment, exchange rates, suppliers,
 *	  MyFatoorah's own recurring payments.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/lists.h
 */
#ifndef MF_LISTS_H
#define MF_LISTS_H

#include "core/api/outcome.h"

/* A list: whose answer it is, where its rows are, and the fields of a row */
typedef struct MfList
{
	MfEndpointNumber endpoint;
	const char *member;			/* of Data; NULL = Data itself is the list */
	const MfField *fields;
	int			field_count;
	bool		paged;			/* Data has Pagination, and "No data match" is an empty page */
	void		(*prepare) (cJSON *row);	/* changes a row before it is read; NULL = nothing */

	/*
	 * Whether a row can be used; NULL = if its essential members are there.  It may change
	 * the values, which are the caller's.  If false, *bad is the name of a member.
	 */
	bool		(*check) (char **values, const char **bad);
} MfList;

extern const MfList mf_payment_method_list;
extern const MfList mf_exchange_rate_list;
extern const MfList mf_supplier_list;
extern const MfList mf_recurring_list;

/* Positions in the fields of mf_recurring_list (lists.c) that the worker reads */
#define MF_RP_RECURRING_ID 0
#define MF_RP_RECURRING_STATUS 1
#define MF_RP_NEXT_PAY_DATE 8
#define MF_RP_RECURRING_INVOICES 10

typedef struct MfListResult
{
	MfLookupResult base;		/* MF_LOOKUP_FOUND, even if there are no rows */
	const MfList *list;
	char	  **values;			/* row by row, in the canonical form of their kinds, or NULL */
	int			row_count;
	int			page;			/* of a list with pages, from 1; 0 if it has no number, and then no rows */
	int			pages;
	int			items;			/* of all pages; 0 if it does not say */
} MfListResult;

/* Builds {"InvoiceAmount":...,"CurrencyIso":...}; malloc'd, NULL when out of memory or not valid. */
extern char *mf_payment_methods_body(const char *value, const char *currency, size_t *len);

/*
 * Parses the answer; free with mf_list_result_free().
 * A row that is no object, or cannot be used, makes the whole answer
 * unreadable: a list that is not whole would be taken for one that is.
 */
extern void mf_list_result_read(const MfList *list, const MfHttpExchange *exchange, MfListResult *result);
extern void mf_list_result_free(MfListResult *result);

/* The values of a row, in the order of the list's fields */
extern char *const *mf_list_row(const MfListResult *result, int row);

#endif							/* MF_LISTS_H */
