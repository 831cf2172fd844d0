/*
 * listener_start.h
 *	  Starts and ends the listener of a database, for its worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_start.h
 */
#ifndef MF_LISTENER_START_H
#define MF_LISTENER_START_H

#include "process/worker_slots.h"

/* Entry point; the argument is the database, bgw_extra the process id of its worker. */
extern PGDLLEXPORT void mf_listener_main(Datum main_arg);

/*
 * Starts or ends the listener as the settings say.  Returns when to be called again
 * even if nothing happens, 0 = never.
 */
extern TimestampTz mf_listener_attend(MfSlot *slot);

/* The settings may have changed: forgets earlier failures. */
extern void mf_listener_reconsider(void);

/* Ends the listener; with "wait", waits for its end for up to a second. */
extern void mf_listener_end(MfSlot *slot, bool wait);

#endif							/* MF_LISTENER_START_H */
