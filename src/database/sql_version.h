/*
 * sql_version.h
 *	  Whether the SQL objects of this database are of a version that this library works with.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_version.h
 */
#ifndef MF_SQL_VERSION_H
#define MF_SQL_VERSION_H

/*
 * In a transaction: raises an error if the library does not work with the SQL
 * objects here.  While a script of the extension runs, it does.
 */
extern void mf_sql_require_version(void);

/* The version of the SQL objects may have changed within this transaction. */
extern void mf_sql_version_changed(void);

#endif							/* MF_SQL_VERSION_H */
