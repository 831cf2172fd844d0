/*
 * enqueue.h
 *	  mf_enqueue(): a user's own table starts invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue.h
 */
#ifndef MF_ENQUEUE_H
#define MF_ENQUEUE_H

/* Installs what knows the ends of statements, in each process that loads the library. */
extern void mf_follow_init(void);

#endif							/* MF_ENQUEUE_H */
