/*
 * sql.h
 *	  Prepared statements on our own tables.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/sql.h
 */
#ifndef MF_SQL_H
#define MF_SQL_H

#include "executor/spi.h"
#include "utils/timestamp.h"

#define MF_SQL_MAX_ARGS 32

/*
 * From when and before when times may be that users give, in C and in SQL.  Rows
 * that came in without our triggers may have any: no statement of ours adds to a
 * time that is not before the end, or subtracts from one before the beginning.
 */
#define MF_TIME_MIN ((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define MF_TIME_MIN_TEXT "1970-01-01 00:00:00+00"
#define MF_TIME_END ((TimestampTz) 2921940 * USECS_PER_DAY)
#define MF_TIME_END_TEXT "10000-01-01 00:00:00+00"

/* Where names without a schema are found: nobody else can put objects there. */
#define MF_SAFE_PATH "pg_catalog, pg_temp"

/* A kept plan; see mf_sql_prepare() */
typedef struct MfPlan MfPlan;

/*
 * One statement.  In "text" every "@" stands for our schema and a dot, and "@@" for
 * itself.  The plan is made at first use, and again when the schema has another name.
 */
typedef struct MfStatement
{
	const char *text;
	int			nargs;
	Oid			types[MF_SQL_MAX_ARGS];
	MfPlan	   *plan;
} MfStatement;

/*
 * Begins the text of a statement that wants few of many rows: they are found in
 * the order of an index, and never sorted.
 */
#define MF_IN_ORDER "/* in order */ "

/* State to restore; filled by mf_sql_begin() */
typedef struct MfSqlScope
{
	Oid			schema;
	Oid			userid;
	int			security_context;
	int			guc_level;		/* 0 = the search path was safe already */
	bool		as_owner;		/* statements may do with our tables what their
								 * owner may */
	bool		in_query;		/* sees what the query sees that asks, and
								 * writes nothing; false unless set */
	bool		latest;			/* sees what is committed, even where the
								 * transaction keeps to an earlier snapshot;
								 * writes nothing; false unless set */
} MfSqlScope;

/*
 * Connects to SPI with a search path that nobody else can put objects into, as
 * myfatoorah_worker, which has no rights; statements have those of the owner of
 * our tables.  Ended by mf_sql_end(); after an error the abort of the
 * (sub)transaction restores everything.
 */
extern void mf_sql_begin(MfSqlScope *scope, Oid schema);
extern void mf_sql_end(MfSqlScope *scope);

/* The same as the current role, with its rights. */
extern void mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema);

/*
 * Runs a statement with "nargs" values; nulls is NULL if there are none, else
 * as for SPI_execute_plan().  Returns the number of rows; results are in
 * SPI_tuptable.  The memory context stays the caller's.
 */
extern uint64 mf_sql_execute(const MfSqlScope *scope, MfStatement *statement,
							 const Datum *values, const char *nulls);

/*
 * Prepares and keeps the plan of a statement, which may name tables of the
 * extension in that schema, of pg_catalog, and "relation" if that is valid.
 * Names are not trusted: should one of them lead to another table, now or when
 * the plan is made anew, the statement fails before anything of it runs.
 * "as_owner": with the rights of the owners of those tables instead of the
 * current role's.
 */
extern MfPlan *mf_sql_prepare(Oid schema, Oid relation, bool as_owner, const char *text, int nargs, const Oid *types);

/* As SPI_execute_snapshot(), without a limit; without a snapshot as SPI_execute_plan(). */
extern int	mf_sql_run(const MfPlan *plan, const Datum *values, const char *nulls, Snapshot snapshot, bool read_only);

/* Frees a kept plan at the end of the transaction: an outer call may be running it. */
extern void mf_sql_retire(MfPlan *plan);

/*
 * In a trigger: whether a statement of ours has fired it, with the owner's
 * rights, or a function of table_rows.h.  Not so in what a trigger of users does
 * inside of one.
 */
extern bool mf_sql_fired_trigger(void);

/* Whether a statement of ours, with the owner's rights, is under way, whatever runs inside of it. */
extern bool mf_sql_is_active(void);

/* Says so of what is done without a statement; returns what was said before, to be said again. */
extern bool mf_sql_set_fires_triggers(bool is_ours);

/*
 * Runs a function in a subtransaction.  Returns NULL, or the error that has
 * undone it; what ends the statement or the process is passed on.
 */
extern ErrorData *mf_sql_try(void (*function) (void *argument), void *argument);

/* Whether an error is no fault of the row that it came up with, such as a conflict of transactions or a lack of resources. */
extern bool mf_error_is_systemic(const ErrorData *error);

/* Its message, with the detail. */
extern const char *mf_error_text(const ErrorData *error);

/* Installs what watches over our statements, in each process that loads the library. */
extern void mf_sql_init(void);

/* The role that our statements run as; raises 42704 if somebody dropped it. */
extern Oid	mf_worker_role(void);

/* Schema of the extension; InvalidOid if it is not in this database. */
extern Oid	mf_extension_schema(void);

/* Something that is done in a transaction of its own, with what runs it. */
typedef bool (*MfTransactionWork) (const MfSqlScope *scope, void *argument);
typedef bool (*MfRunTransaction) (MfTransactionWork work, void *argument, char **error);

#endif							/* MF_SQL_H */
