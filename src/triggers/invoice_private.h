/*
 * invoice_private.h
 *	  What the triggers of mf_invoice share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/invoice_private.h
 */
#ifndef MF_INVOICE_PRIVATE_H
#define MF_INVOICE_PRIVATE_H

#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "fmgr.h"

#include "store/invoice.h"

/*
 * Returns the trigger's data.  Raises an error unless a BEFORE trigger, or an AFTER
 * trigger, of mf_invoice has called the function, if mf_invoice does not have the columns
 * that we expect, or if triggers of users stand where ours must be first or last.
 */
extern TriggerData *mf_invoice_trigger_data(FunctionCallInfo fcinfo, const char *function, bool before);

/* Whether rows were inserted with their references in the current transaction, as from a dump. */
extern bool mf_invoices_restored(void);

/* Whether a column has the same value, byte for byte, in both rows. */
extern bool mf_same_column(TupleDesc desc, const MfRow *a, const MfRow *b, int column);

#endif							/* MF_INVOICE_PRIVATE_H */
