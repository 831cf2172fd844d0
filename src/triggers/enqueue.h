/*
 * enqueue.h
 *	  mf_enqueue(): trigger that makes invoices of the rows of a user's table.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue.h
 */
#ifndef MF_ENQUEUE_H
#define MF_ENQUEUE_H

/* Installs the hook by which the end of a statement is noticed; called when the library is loaded. */
extern void mf_follow_init(void);

#endif							/* MF_ENQUEUE_H */
