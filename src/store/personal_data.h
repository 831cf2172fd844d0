/*
 * personal_data.h
 *	  Empties what rows say of customers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/personal_data.h
 */
#ifndef MF_PERSONAL_DATA_H
#define MF_PERSONAL_DATA_H

#include "database/sql.h"

/*
 * An invoice that nothing can become of any more but by a late payment.  A person
 * has nothing to decide about it, and its disputes are over.
 */
#define MF_SETTLED(row) \
	"(" row ".status = 'cancelled' OR (" row ".status = 'sent' AND " row ".payment_status NOT IN ('unpaid', 'authorized'))) " \
	"AND NOT " row ".duplicate_suspected AND " row ".payment_doubt IS NULL " \
	"AND NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = " row ".id) " \
	"AND NOT EXISTS (SELECT FROM @mf_dispute_state d WHERE d.invoice = " row ".id AND d.status = 'PENDING')"

/* Does so with a batch of settled invoices that were inserted before that time; more than 0 if there may be more. */
extern uint64 mf_personal_data_purge(const MfSqlScope *scope, TimestampTz before);

#endif							/* MF_PERSONAL_DATA_H */
