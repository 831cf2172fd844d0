/*
 * repair.h
 *	  Finds and repairs invoices without agenda entries, and entries that do not fit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/repair.h
 */
#ifndef MF_REPAIR_H
#define MF_REPAIR_H

#include "nodes/pg_list.h"

#include "database/sql.h"

/* What is wrong with the agenda and our tables */
typedef struct MfDamage
{
	int64		unfinished;		/* unfinished invoices without an agenda entry */
	int64		unasked;		/* open invoices without an inquiry, or not found by their InvoiceId */
	int64		gone;			/* entries without an invoice */
	int64		astray;			/* entries of another account or kind than their invoice */
	int64		late;			/* what is due later than any rule makes it */
	int64		operations;		/* as of mf_operations_misfits() */
	char	   *unlogged;		/* names of tables that are not logged, palloc'd; NULL = none */
	int64		open_types;		/* row types of our tables that everybody may use */
} MfDamage;

extern MfDamage mf_repair_find_damage(Oid schema);

/* Names of accounts with entries but without a server, comma-separated, palloc'd; NULL if there are none. */
extern char *mf_repair_lost_accounts(Oid schema);

/*
 * Gives all rows the roles that their names in created_by have here, if they came from
 * another database; those of no such name are for operators.  Own scope.
 */
extern void mf_repair_roles(Oid schema);

/* Deletes webhooks about disputes of invoices that no row has, of a name that another server gets. */
extern void mf_repair_forget_disputes(Oid schema, const char *account);

/* Whether an invoice or event names an account, or another than that of the present name had that name; NULL = none has. */
extern bool mf_repair_names_account(Oid schema, const char *account, const char *present);

/* Makes due what is due later than any rule makes it, as after the clock was set back. */
extern void mf_repair_late(const MfSqlScope *scope);

/* Until when rows of prepared transactions may be due later than that, too; 0 = there are none. */
extern TimestampTz mf_repair_prepared(const MfSqlScope *scope);

/* Writes to the log what there is to repair, when a worker starts.  Raises no error. */
extern void mf_repair_log_damage(Oid schema);

/* Sets last_error of due invoices of an account that cannot be used, a batch of the first ones. */
extern void mf_repair_note_account_error(const char *account, const char *error);

/* The server of an account was renamed: all that names the account gets the new name.  Own scope. */
extern void mf_account_renamed(Oid schema, const char *old_name, const char *new_name);

/* Whether another extension has a row that names the account. */
extern bool mf_followers_name(Oid schema, const char *account);

#endif							/* MF_REPAIR_H */
