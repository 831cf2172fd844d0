/*
 * on_change.h
 *	  Functions of users that are called after changes of mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change.h
 */
#ifndef MF_ON_CHANGE_H
#define MF_ON_CHANGE_H

/* The trigger that calls them; without any, the worker does without it. */
#define MF_ON_CHANGE_TRIGGER "mf_invoice_on_change"

#endif							/* MF_ON_CHANGE_H */
