/*
 * listener.h
 *	  The listener of a database: the process that receives webhooks and callbacks.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener.h
 */
#ifndef MF_LISTENER_H
#define MF_LISTENER_H

/* Entry point; the argument is the database, bgw_extra the process id of its worker. */
extern PGDLLEXPORT void mf_listener_main(Datum main_arg);

#endif							/* MF_LISTENER_H */
