/*
 * archive.h
 *	  Settled invoices of old move to mf_invoice_archive.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/archive.h
 */
#ifndef MF_ARCHIVE_H
#define MF_ARCHIVE_H

#include "commands/trigger.h"

/* Whether there is an archive to speak of; no more than a look at the size of a table where there is none. */
extern bool mf_archive_any(Oid schema);

/* Whether an invoice is archived. */
extern bool mf_archive_has_rows(Oid schema);

/*
 * After an INSERT into mf_invoice: raises 23505 if an archived invoice has the
 * id, reference or key of a new row.  What is committed decides, as it does for a
 * unique index, and not what the transaction sees.
 */
extern void mf_archive_check_insert(Oid schema, TriggerData *trigger);

/* The same of the key that an UPDATE has given a row. */
extern void mf_archive_check_key(Oid schema, Datum account, Datum key);

#endif							/* MF_ARCHIVE_H */
