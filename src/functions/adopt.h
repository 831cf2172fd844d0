/*
 * adopt.h
 *	  Which row an invoice of MyFatoorah belongs to, before another row takes it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/adopt.h
 */
#ifndef MF_ADOPT_H
#define MF_ADOPT_H

/*
 * Raises an error if a row other than the one that takes it has this InvoiceId or this
 * CustomerReference, which may be NULL; an archived row, too.  What is committed counts,
 * whatever the snapshot.  Until the end of the transaction nobody else takes that number.
 */
extern void mf_check_number_free(Oid schema, const char *account, const char *invoice_id, const char *reference,
								 int64 taker);

#endif							/* MF_ADOPT_H */
