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
 * Whether MyFatoorah may have created this invoice under its account, by an attempt
 * or by another server.  The caller has locked the invoice; its entry is locked here.
 */
extern bool mf_queue_may_exist(Oid schema, int64 invoice);

/* Whether the calling query sees that invoice as the current role, with row-level security. */
extern bool mf_queue_is_visible(Oid schema, int64 invoice);

/* Whether an invoice exists, whoever may see it */
typedef enum MfExistence
{
	MF_ROW_GONE,				/* there is no row, or an archived one that was never paid */
	MF_LINK_DEAD,				/* it was sent, was not paid, and can no longer be paid */
	MF_ROW_ARCHIVED,			/* it was paid, and is archived */
	MF_ROW_THERE				/* any other row of mf_invoice */
} MfExistence;

extern MfExistence mf_queue_existence(Oid schema, int64 invoice);

/* The invoice that is to be paid in place of this one, which is locked; this one if none is.  Own scope. */
extern int64 mf_queue_lock_to_pay(Oid schema, int64 invoice);

/*
 * Finds an invoice by a reference, be it numbered by a resend or not.  Returns its
 * id, 0 if there is none; *creator is the role that inserted it.
 */
extern int64 mf_queue_find_by_reference(Oid schema, const char *reference, Oid *creator);

/* An invoice that the caller of a function has named, and what the current role may do with it; by mf_compare_ids() */
typedef struct MfNamed
{
	int64		invoice;
	bool		seen;			/* it exists, and the role sees it */
	MfJob	   *job;			/* set by mf_queue_lock_named() if the role may update it.  The kind is that of
								 * its entry, but verify if another database has made that to be sent. */
	bool		sent;			/* its status is sent; set by mf_queue_find_named() only */
	bool		archived;		/* it is not seen because it is archived, as the role may know */
	bool		refused;		/* the role has no right to rows of its creator */
	Oid			creator;		/* then; InvalidOid = a role that does not exist */
} MfNamed;

/* Sets "refused", so that whoever may not change an invoice does not wait for its lock. */
extern void mf_queue_find_refused(Oid schema, MfNamed *named, int count);

/*
 * Locks invoices with the rights of the current role, and their entries, and waits
 * for those who have locked them; leaves those out that are refused already.  Raises 42501 if the role has no right to update
 * mf_invoice.  "named" must be in the order of ids, each once: two sessions lock in
 * the same order and do not deadlock.
 */
extern void mf_queue_lock_named(Oid schema, MfNamed *named, int count);

/* Sets "seen", "sent" and "archived" only.  Raises 42501 if the role has no right to read mf_invoice. */
extern void mf_queue_find_named(Oid schema, MfNamed *named, int count);

#endif							/* MF_INVOICE_LOOKUP_H */
