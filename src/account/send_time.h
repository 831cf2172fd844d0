/*
 * send_time.h
 *	  The times of the day at which an account sends.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/send_time.h
 */
#ifndef MF_SEND_TIME_H
#define MF_SEND_TIME_H

#include "account/account.h"

/*
 * mf_queue.lookups of an entry that waits for such a time.  After ALTER SERVER or
 * mf_resume() the time is computed again.
 */
#define MF_LOOKUPS_TIMED (-1)

/*
 * Returns when an invoice is to be sent.  This is send_at, but a send_at of midnight
 * means the account's send_time on that day.  If the customer is notified, and the time
 * or "now" is within the account's quiet_hours, it is the end of these.
 */
extern TimestampTz mf_send_due(const MfAccount *account, TimestampTz send_at, bool notifies, TimestampTz now);

#endif							/* MF_SEND_TIME_H */
