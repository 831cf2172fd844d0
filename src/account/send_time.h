/*
 * send_time.h
 *	  At which times of the day an account sends.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/send_time.h
 */
#ifndef MF_SEND_TIME_H
#define MF_SEND_TIME_H

#include "account/account.h"

/*
 * mf_queue.lookups of an entry that waits for such a time: ALTER SERVER, or
 * mf_resume(), has it looked at again.
 */
#define MF_LOOKUPS_TIMED (-1)

/*
 * When an invoice is to be sent.  That is send_at, unless this is midnight, which
 * stands for the account's send_time then, or unless the customer is notified and
 * would be in its quiet_hours: then it is the end of these.
 */
extern TimestampTz mf_send_due(const MfAccount *account, TimestampTz send_at, bool notifies, TimestampTz now);

#endif							/* MF_SEND_TIME_H */
