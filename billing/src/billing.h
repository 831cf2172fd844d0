/*
 * billing.h
 *	  Whose functions these are.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.h
 */
#ifndef MF_BILLING_H
#define MF_BILLING_H

/* All functions of the extension belong to one role, whatever its name is now. */
extern Oid	mf_owner_of_function(Oid function);

#endif							/* MF_BILLING_H */
