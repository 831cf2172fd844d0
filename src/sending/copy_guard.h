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
 * At the start of a worker, in its first transaction: a copy must not send what
 * its original sends too.
 */
extern void mf_copy_guard_start(Oid schema);

/* Once that transaction is committed, and before anything is sent */
extern void mf_copy_guard_started(void);

/* In each round: false as long as another database fills our tables, so that nothing is to be claimed. */
extern bool mf_copy_guard_look(Oid schema);

/* The name of a subscription that fills our tables, palloc'd; NULL if there is none. */
extern char *mf_copy_guard_subscription(Oid schema);

/* An operator decides that what is here is sent from here. */
extern void mf_copy_guard_adopt(Oid schema);

#endif							/* MF_COPY_GUARD_H */
