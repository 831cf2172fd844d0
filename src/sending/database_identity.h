/*
 * database_identity.h
 *	  Whether this database is the one that sends its invoices, or a copy.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/database_identity.h
 */
#ifndef MF_DATABASE_IDENTITY_H
#define MF_DATABASE_IDENTITY_H

/*
 * A number for this database of this server, the same on each of its standbys,
 * also when they are promoted.
 */
extern int64 mf_guard_here(void);

/*
 * A number for this database in this data directory, since its server was promoted
 * last.  Entries of the agenda carry the number of the database that made them, and
 * only that one acts on them.  A promoted standby, or a copy, inherits what was
 * queued before, and nothing that its original queues afterwards and replicates by
 * logical replication.
 */
extern int64 mf_guard_origin(void);

/*
 * At the start of a worker, in its first transaction: a copy must not send what
 * its original sends too.
 */
extern void mf_guard_start(Oid schema);

/* Once that transaction is committed, and before anything is sent */
extern void mf_guard_started(void);

/* In each round: false as long as another database fills our tables, so that nothing is to be claimed. */
extern bool mf_guard_look(Oid schema);

/* The name of a subscription that fills our tables, palloc'd; NULL if there is none. */
extern char *mf_guard_subscription(Oid schema);

/* An operator decides that what is here is sent from here. */
extern void mf_guard_adopt(Oid schema);

#endif							/* MF_DATABASE_IDENTITY_H */
