/*
 * type_rights.h
 *	  Rights on the row types of our tables and views.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/type_rights.h
 */
#ifndef MF_TYPE_RIGHTS_H
#define MF_TYPE_RIGHTS_H

#include "database/sql.h"

/* The number of row types that everybody may use. */
extern int64 mf_type_rights_missing(const MfSqlScope *scope);

/*
 * Takes that from everybody, and gives our roles what an installation gives them.  The
 * result of the latest statement is a row (kind, number) for mf_return_rows(), or none.
 */
extern void mf_type_rights_repair(const MfSqlScope *scope);

#endif							/* MF_TYPE_RIGHTS_H */
