/*
 * inquiry_catch_up.h
 *	  Questions about what was sent while there was no polling.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_catch_up.h
 */
#ifndef MF_INQUIRY_CATCH_UP_H
#define MF_INQUIRY_CATCH_UP_H

#include "database/sql.h"

/* The settings have been read: notes whether polling has been switched on. */
extern void mf_inquiry_catch_up_settings(void);

/* Plans a batch of questions, if it has; "again" is moved forward while there may be more. */
extern void mf_inquiry_catch_up_attend(MfRunTransaction run_apart, TimestampTz *again);

#endif							/* MF_INQUIRY_CATCH_UP_H */
