/*
 * sql.h
 *	  Prepared statements on our own tables, run as the role myfatoorah_worker.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sql.h
 */
#ifndef MF_SQL_H
#define MF_SQL_H

#include "executor/spi.h"

#define MF_SQL_MAX_ARGS 32

/* Where names without a schema are found: nobody else can put objects there. */
#define MF_SAFE_PATH "pg_catalog, pg_temp"

/*
 * One statement.  In "text" every "@" stands for our schema and a dot.  The
 * plan is made at first use, and again when the schema has another name.
 */
typedef struct MfStatement
{
	const char *text;
	int			nargs;
	Oid			types[MF_SQL_MAX_ARGS];
	struct MfPlan *plan;
	Oid			schema;			/* that the plan was made for */
} MfStatement;

/* State to restore; filled by mf_sql_begin() */
typedef struct MfSqlScope
{
	Oid			schema;
	Oid			userid;
	int			security_context;
	int			guc_level;		/* 0 = the search path was safe already */
	bool		in_query;		/* sees what the query sees that asks, and
								 * writes nothing; false unless set */
} MfSqlScope;

/*
 * Connects to SPI as myfatoorah_worker with a search path that nobody else can
 * put objects into.  Ended by mf_sql_end(); after an error the abort of the
 * (sub)transaction restores everything.
 */
extern void mf_sql_begin(MfSqlScope *scope, Oid schema);
extern void mf_sql_end(MfSqlScope *scope);

/* The same with the rights of the current role. */
extern void mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema);

/*
 * Runs a statement with "nargs" values; nulls is NULL if there are none, else
 * as for SPI_execute_plan().  Returns the number of rows; results are in
 * SPI_tuptable.  "snapshot" is always a fresh one.  The memory context stays
 * the caller's.
 */
extern uint64 mf_sql_execute(const MfSqlScope *scope, MfStatement *statement,
							 const Datum *values, const char *nulls);

/*
 * Prepares and keeps the plan of a statement, which may name tables of the
 * extension in that schema, of pg_catalog, and "relation" if that is valid.
 * Names are not trusted: should one of them lead to another table, now or when
 * the plan is made anew, the statement fails before anything of it runs.
 */
extern SPIPlanPtr mf_sql_prepare(Oid schema, Oid relation, const char *text, int nargs, const Oid *types);

/* Frees a kept plan at the end of the transaction: an outer call may be running it. */
extern void mf_sql_retire(SPIPlanPtr plan);

/*
 * Runs a function in a subtransaction.  Returns NULL, or the error that has
 * undone it; what ends the statement or the process is passed on.
 */
extern ErrorData *mf_sql_try(void (*function) (void *argument), void *argument);

/* Its message, with the detail. */
extern const char *mf_error_text(const ErrorData *error);

/* Installs what watches over our statements, in each process that loads the library. */
extern void mf_sql_init(void);

/* The role that owns the worker's rights; raises 42704 if somebody dropped it. */
extern Oid	mf_worker_role(void);

/* Schema of the extension; InvalidOid if it is not in this database. */
extern Oid	mf_extension_schema(void);

#endif							/* MF_SQL_H */
