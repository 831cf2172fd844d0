/*
 * replace.h
 *	  mf_insert_as(), mf_replace(): invoices inserted with the rights of another
 *	  role, and invoices that others take the place of.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/replace.h
 */
#ifndef MF_REPLACE_H
#define MF_REPLACE_H

/* Raises an error if another invoice is to be paid in place of this one. */
extern void mf_refuse_replaced(Oid schema, int64 invoice);

#endif							/* MF_REPLACE_H */
