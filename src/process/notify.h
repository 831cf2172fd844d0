/*
 * notify.h
 *	  Telling listeners that an invoice has changed.
 *
 * A notification is a courtesy, and never costs a change.  PostgreSQL has one
 * queue of notifications for the whole server, any role can fill it, and a
 * commit that finds no room in it fails.  So right before the commit we look
 * how full it is: where little is left, the change is written without its
 * notification.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/notify.h
 */
#ifndef MF_NOTIFY_H
#define MF_NOTIFY_H

#include "datatype/timestamp.h"

/* At the commit of this transaction, tell listeners to read an invoice again, if there is room. */
extern void mf_notify_at_commit(int64 invoice);

/*
 * This process is ours alone: where there is no room, its transactions go
 * without what triggers and functions of users would notify, too.
 */
extern void mf_notify_take_charge(void);

/*
 * Whether an error says that a commit of this process found no room after all.
 * If so, the next ones go without notifications, and the work can be repeated at
 * once; false if they did already.
 */
extern bool mf_notify_refused(const ErrorData *error);

/* How full the queue is, from 0 to 1.  Gives free what nobody is to read any more. */
extern double mf_notify_usage(void);

/* Whether that is so much that notifications are left out; or when that was last so, 0 = never. */
extern bool mf_notify_is_full(double usage);
extern TimestampTz mf_notify_left_out_at(void);

#endif							/* MF_NOTIFY_H */
