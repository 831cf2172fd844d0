/*
 * notify.h
 *	  Notifications on the channel mf_invoice that an invoice has changed.
 *
 * PostgreSQL has one NOTIFY queue for the whole server, any role can fill it, and
 * a commit that finds it full fails.  A notification must never fail a change, so
 * the usage of the queue is read right before the commit.  If little room is left,
 * the transaction commits without its notifications.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/notify.h
 */
#ifndef MF_NOTIFY_H
#define MF_NOTIFY_H

#include "datatype/timestamp.h"

/* At the commit of this transaction, notifies that an invoice has changed, if there is room. */
extern void mf_notify_at_commit(int64 invoice);

/*
 * In a background worker of ours: if there is no room, its transactions commit
 * without the notifications of triggers and functions of users, too.
 */
extern void mf_notify_control_all(void);

/*
 * Whether an error means that a commit of this process found no room nevertheless.
 * Then transactions commit without notifications for some seconds, so that the work
 * can be repeated at once.  False if they did already.
 */
extern bool mf_notify_refused(const ErrorData *error);

/* The usage of the queue, from 0 to 1, after removing what every listener has read */
extern double mf_notify_usage(void);

/* Whether notifications are left out at that usage. */
extern bool mf_notify_is_full(double usage);

/* When notifications were last left out; 0 = never. */
extern TimestampTz mf_notify_left_out_at(void);

#endif							/* MF_NOTIFY_H */
