/*
 * billing.h
 *	  Whose functions these are, and servers that keep their names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.h
 */
#ifndef MF_BILLING_H
#define MF_BILLING_H

/* All functions of the extension belong to one role, whatever its name is now. */
extern Oid	mf_owner_of_function(Oid function);

/*
 * For who is about to write that name into a row: until the transaction ends, the
 * server keeps it, so whoever renames it later finds the row.  Raises an error if it has
 * just got another one; a name without a server is none of ours.
 */
extern void mf_hold_server(const char *name);

#endif							/* MF_BILLING_H */
