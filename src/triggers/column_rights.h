/*
 * column_rights.h
 *	  Which column of mf_invoice a role may not write.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/column_rights.h
 */
#ifndef MF_COLUMN_RIGHTS_H
#define MF_COLUMN_RIGHTS_H

/* Installs what tells so, in each process that loads the library. */
extern void mf_column_rights_init(void);

#endif							/* MF_COLUMN_RIGHTS_H */
