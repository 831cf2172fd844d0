/*
 * recurring.h
 *	  SQL of recurring payments: invoices that MyFatoorah makes by its own plans become
 *	  rows of mf_invoice.
 *
 * Nothing that an event says of a repetition is believed: it has the list of plans read
 * (GetRecurringPayment), which names the invoices, and each of these is asked about like
 * any other.  So neither the order of events matters, nor whether they come.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/recurring.h
 */
#ifndef MF_RECURRING_H
#define MF_RECURRING_H

#include "account/account.h"
#include "core/api/lists.h"
#include "database/sql.h"
#include "store/events.h"

/*
 * Applies a list of plans: ties plans to the rows that have begun them, inserts a row for
 * each repetition of such a plan that has none yet, has MyFatoorah asked about it, and plans
 * when the list is read next.  "base_url" is where the list is from.  The rows are items of the round.  False if there are more than
 * the round may have: to be called in the next one, too.
 */
extern bool mf_recurring_apply(const MfSqlScope *scope, const MfAccount *account, const char *base_url,
							   const MfListResult *plans);

/*
 * Has all that has asked for the list, and is due before the next try, wait for that: one
 * answer is for all.  "lookups" and "failures" as of the event whose try it was.
 */
extern void mf_recurring_put_off(const MfSqlScope *scope, const char *account, const MfEventNext *next);

/*
 * Number of rows whose payment has begun a plan that goes on, or may yet begin one: of one
 * invoice or all with 0.  Own scope.
 */
extern int64 mf_recurring_unended(Oid schema, int64 invoice);

/*
 * Has the list read at once, after commit, for a plan that a row has begun, of this account or
 * another of the same address; and again if it does not show yet that the plan has ended.  Own
 * scope.
 */
extern void mf_recurring_read_soon(Oid schema, const char *account, const char *plan);

#endif							/* MF_RECURRING_H */
