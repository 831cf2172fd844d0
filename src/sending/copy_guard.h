/*
 * copy_guard.h
 *	  Whether this database is the one that sends its invoices, or a copy.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/copy_guard.h
 */
#ifndef MF_COPY_GUARD_H
#define MF_COPY_GUARD_H

/*
 * Compares the database with the identity that it remembers, in the first transaction
 * of a worker.  A copy is paused, so that it does not send what its original sends too.
 */
extern void mf_copy_guard_start(Oid schema);

/* To be called once that transaction has committed, before anything is sent. */
extern void mf_copy_guard_started(void);

/*
 * Whether a round may claim.  It may not while a subscription fills our tables: when one
 * begins to, and when entries of another database are left at its end, this pauses all
 * accounts.
 */
extern bool mf_copy_guard_may_claim(Oid schema);

/* A person may have decided: what another server may send is read anew before the next claim. */
extern void mf_copy_guard_decided(void);

/* The name of a subscription that fills our tables, palloc'd; NULL = none */
extern char *mf_copy_guard_subscription(Oid schema);

/*
 * Makes this database the one that sends its invoices, as an operator has decided.  Raises
 * 55000 while a subscription fills our tables.
 */
extern void mf_copy_guard_adopt(Oid schema);

#endif							/* MF_COPY_GUARD_H */
