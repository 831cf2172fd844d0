/*
 * repair.h
 *	  What does not fit together: invoices without their work, work without its
 *	  account.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/repair.h
 */
#ifndef MF_REPAIR_H
#define MF_REPAIR_H

/* Unfinished invoices that are not on the agenda, and sent ones that nobody asks about. */
extern void mf_repair_count(Oid schema, int64 *unfinished, int64 *unasked);

/* Names of accounts that have work and no server, comma-separated, palloc'd; NULL if there are none. */
extern char *mf_repair_lost_accounts(Oid schema);

/* At the start of a worker: a line in the log if there is anything to repair. */
extern void mf_repair_tell(Oid schema);

/* In the rows of an account that cannot be used, those first in line, a batch at a time: why. */
extern void mf_repair_tell_rows(const char *account, const char *error);

#endif							/* MF_REPAIR_H */
