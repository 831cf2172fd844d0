/*
 * on_change.h
 *	  mf_on_change(), mf_on_time(), mf_call_at(), mf_off_change(), and the trigger
 *	  of mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change.h
 */
#ifndef MF_ON_CHANGE_H
#define MF_ON_CHANGE_H

/* The name of the trigger; without registered functions, changes may be made without it. */
#define MF_ON_CHANGE_TRIGGER "mf_invoice_on_change"

#endif							/* MF_ON_CHANGE_H */
