/*
 * personal_data.h
 *	  Erases personal data of customers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/personal_data.h
 */
#ifndef MF_PERSONAL_DATA_H
#define MF_PERSONAL_DATA_H

#include "database/sql.h"
#include "store/events.h"

/*
 * An invoice whose state can change by a late payment only: no person has to decide
 * about it, no dispute and no refund is pending, and no recurring payment that it has
 * begun goes on, whose repetitions get its columns.
 */
#define MF_SETTLED(row) \
	"(" row ".status = 'cancelled' OR (" row ".status = 'sent' AND " row ".payment_status NOT IN ('unpaid', " \
	"  'authorized'))) " \
	"AND NOT " row ".duplicate_suspected AND " row ".payment_doubt IS NULL " \
	"AND NOT " MF_PLAN_GOES_ON(row) " " \
	"AND NOT EXISTS (SELECT FROM @mf_queue q WHERE q.invoice = " row ".id) " \
	"AND NOT EXISTS (SELECT FROM @mf_dispute_state d WHERE d.invoice = " row ".id AND d.status = 'PENDING') " \
	"AND NOT EXISTS (SELECT FROM @mf_operation p WHERE p.invoice = " row ".id " \
	"  AND p.status IN ('queued', 'sending', 'filed', 'unknown', 'review'))"

/*
 * Erases them in a batch of settled invoices that were created before that time, and in what
 * no invoice has.  Returns 0 if there are no more.
 */
extern uint64 mf_personal_data_purge(const MfSqlScope *scope, TimestampTz before);

/* Erases what other tables say of an invoice that is being deleted. */
extern void mf_personal_data_erase_lines(const MfSqlScope *scope, int64 invoice);

#endif							/* MF_PERSONAL_DATA_H */
