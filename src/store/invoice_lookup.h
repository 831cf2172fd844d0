/*
 * invoice_lookup.h
 *	  Finds and locks invoices for functions that people call.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_lookup.h
 */
#ifndef MF_INVOICE_LOOKUP_H
#define MF_INVOICE_LOOKUP_H

#include "store/queue.h"

/*
 * Locks the entry of an invoice, which the caller has locked: whether MyFatoorah
 * may have the invoice under its account, by an attempt or by another server.
 */
extern bool mf_queue_may_exist(Oid schema, int64 invoice);

/* Whether a query of the current role sees that invoice, row-level security included. */
extern bool mf_queue_is_visible(Oid schema, int64 invoice);

/* What there is of an invoice, whoever may see it */
typedef enum MfExistence
{
	MF_ROW_GONE,				/* or archived, and nothing was paid */
	MF_LINK_DEAD,				/* it was sent, and can be paid no more: nothing was, either */
	MF_ROW_ARCHIVED,			/* and something was paid */
	MF_ROW_THERE
} MfExistence;

extern MfExistence mf_queue_existence(Oid schema, int64 invoice);

/* The invoice of a reference, or of one that it is a resend of, and who inserted it; 0 if there is none. */
extern int64 mf_queue_find_by_reference(Oid schema, const char *reference, Oid *creator);

/* An invoice that somebody has named, and what the current role may do with it */
typedef struct MfNamed
{
	int64		invoice;
	bool		seen;			/* there is one, and it sees it, */
	MfJob	   *job;			/* and may update it: locked, with its entry; the
								 * kind is verify as well if the entry is another
								 * database's */
	bool		sent;			/* so is its status; of mf_queue_find_named() only */
} MfNamed;

/* For qsort() and bsearch(): by their ids. */
extern int	mf_compare_named(const void *a, const void *b);

/*
 * Locks invoices and their entries with the rights of the current role, waiting
 * for whoever has them; raises 42501 if it may update none at all.  They come in
 * the order of their ids, each once, so that nobody waits in a circle.
 */
extern void mf_queue_lock_named(Oid schema, MfNamed *named, int count);

/* Only tells which are seen, and which of these are sent; raises 42501 if the current role may read none at all. */
extern void mf_queue_find_named(Oid schema, MfNamed *named, int count);

#endif							/* MF_INVOICE_LOOKUP_H */
