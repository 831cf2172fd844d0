/*
 * repair.h
 *	  What does not fit together: invoices without their work, work without its
 *	  account.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/repair.h
 */
#ifndef MF_REPAIR_H
#define MF_REPAIR_H

#include "nodes/pg_list.h"

/* What is wrong with the agenda and our tables */
typedef struct MfDamage
{
	int64		unfinished;		/* invoices that are not on the agenda */
	int64		unasked;		/* sent ones that nobody asks about, or that are not found
								 * by their InvoiceId */
	int64		gone;			/* entries without an invoice */
	int64		astray;			/* entries that do not fit their invoice: of another account,
								 * another kind or for a later time */
	char	   *unlogged;		/* names of tables that a crash empties; NULL = none */
} MfDamage;

extern MfDamage mf_repair_find_damage(Oid schema);

/* What a user has hung on a table of ours, and no dump carries */
typedef struct MfAddition
{
	const char *kind;
	const char *relation;
	const char *name;
} MfAddition;

/* List of MfAddition, at most "limit", those first that keep a dump from being restored. */
extern List *mf_repair_additions(Oid schema, int limit);

/* Names of accounts that have work and no server, comma-separated, palloc'd; NULL if there are none. */
extern char *mf_repair_lost_accounts(Oid schema);

/* Whether any invoice names an account, be there a server of that name or not. */
extern bool mf_repair_has_invoices(Oid schema, const char *account);

/* At the start of a worker: a line in the log if there is anything to repair. */
extern void mf_repair_log_damage(Oid schema);

/* In the rows of an account that cannot be used, those first in line, a batch at a time: why. */
extern void mf_repair_note_account_error(const char *account, const char *error);

#endif							/* MF_REPAIR_H */
