/*
 * archive.h
 *	  Settled invoices of old move to mf_invoice_archive; no id is given again.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/archive.h
 */
#ifndef MF_ARCHIVE_H
#define MF_ARCHIVE_H

#include "commands/trigger.h"
#include "utils/timestamp.h"

#include "database/sql.h"

/* Whether there is an archive to speak of; no more than a look at the size of a table where there is none. */
extern bool mf_archive_any(Oid schema);

/* Whether an invoice is archived. */
extern bool mf_archive_has_rows(Oid schema);

/*
 * After an INSERT into mf_invoice: raises 23505 if an archived invoice has the
 * id, reference or key of a new row, or a deleted one had its id.  What is committed
 * decides, as it does for a unique index, and not what the transaction sees.
 */
extern void mf_archive_check_insert(Oid schema, TriggerData *trigger);

/* The same of the key that an UPDATE has given a row. */
extern void mf_archive_check_key(Oid schema, Datum account, Datum key);

/*
 * The columns of mf_invoice, those of users, too, unless only "ours" are wanted, as a
 * list for the text of a statement that writes them into a table, without those that
 * are generated there.
 */
extern char *mf_archive_columns(const MfSqlScope *scope, const char *written, bool ours);

/*
 * How many rows of one part of a statement are not among those that another part
 * returns, which has written them: a user's BEFORE trigger may change or suppress them.
 * As text, because not every type has an operator for that.
 */
#define MF_NOT_WRITTEN(wanted, written) \
	"(SELECT count(*) FROM (SELECT w::text FROM " wanted " w EXCEPT ALL SELECT w::text FROM " written " w) d)"

/*
 * Runs a statement for an array of ids that returns the names of tables where what was
 * to be written, or deleted, was not.  Raises 27000 if there is one.
 */
extern void mf_archive_move(const MfSqlScope *scope, MfStatement *statement, Datum ids);

/* Gives a statement its text; a plan for another one goes. */
extern void mf_archive_set_text(MfStatement *statement, const char *text);

/*
 * Makes the partition of the month of that time, by UTC, unless there is one.
 * Whoever makes one keeps others from doing so until the end of the transaction;
 * nobody who reads or writes rows waits.
 */
extern void mf_archive_make_month(Oid schema, TimestampTz created_at);

#endif							/* MF_ARCHIVE_H */
