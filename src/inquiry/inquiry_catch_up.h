/*
 * inquiry_catch_up.h
 *	  Plans inquiries about invoices that were sent while polling was off.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_catch_up.h
 */
#ifndef MF_INQUIRY_CATCH_UP_H
#define MF_INQUIRY_CATCH_UP_H

#include "database/sql.h"

/* To be called when the settings were read: notes whether polling was switched on. */
extern void mf_inquiry_catch_up_settings(void);

/*
 * Plans a batch of inquiries if polling was switched on, in a transaction of its own.
 * Moves *next_round forward while there may be more.  An error is logged.
 */
extern void mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *next_round);

#endif							/* MF_INQUIRY_CATCH_UP_H */
