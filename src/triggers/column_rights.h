/*
 * column_rights.h
 *	  Names the column of mf_invoice that a role may not write.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/column_rights.h
 */
#ifndef MF_COLUMN_RIGHTS_H
#define MF_COLUMN_RIGHTS_H

/* Installs the hook; called when the library is loaded. */
extern void mf_column_rights_init(void);

#endif							/* MF_COLUMN_RIGHTS_H */
