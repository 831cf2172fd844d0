/*
 * sql_private.h
 *	  What sql.c and the hooks of sql_hooks.c share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql_private.h
 */
#ifndef MF_SQL_PRIVATE_H
#define MF_SQL_PRIVATE_H

/* A statement that is being prepared or executed, perhaps within another one */
typedef struct MfActiveStatement
{
	const char *text;			/* recognized by this address */
	Oid			schema;			/* its names may mean tables of the extension in it, */
	Oid			relation;		/* and this table */
	bool		as_owner;		/* has the rights of the tables' owner */
	const struct MfActiveStatement *outer;
} MfActiveStatement;

/* The innermost one; NULL if there is none.  sql.c sets it. */
extern const MfActiveStatement *mf_active_statement;

#endif							/* MF_SQL_PRIVATE_H */
