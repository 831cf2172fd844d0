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
#include "nodes/nodes.h"
#include "utils/timestamp.h"

#define MF_SQL_MAX_ARGS 32

/*
 * The range of times that users may give, in C and in SQL.  Rows that came in
 * without our triggers may have any time, so no statement of ours adds to a time
 * that is not before the end, or subtracts from one before the beginning.
 */
#define MF_TIME_MIN ((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define MF_TIME_MIN_TEXT "1970-01-01 00:00:00+00"
#define MF_TIME_END ((TimestampTz) 2921940 * USECS_PER_DAY)
#define MF_TIME_END_TEXT "10000-01-01 00:00:00+00"

/* A search path in which nobody else can create objects */
#define MF_SAFE_PATH "pg_catalog, pg_temp"

/* A saved plan; see mf_sql_prepare() */
typedef struct MfPlan MfPlan;

/*
 * One statement.  In "text" every "@" stands for the schema of the extension and a
 * dot, and "@@" for "@".  The statement is planned at first use, and again when the
 * schema is renamed.
 *
 * Plans are used for long, and may have been made while tables were small.  So that
 * none reads all of a table that has grown, a statement for an array of keys says
 * "= ANY ($1)" of each table, even if a join implies it; it counts without DISTINCT;
 * and "ORDER BY id + 0" keeps it from walking along the primary key.
 */
typedef struct MfStatement
{
	const char *text;
	int			nargs;
	Oid			types[MF_SQL_MAX_ARGS];
	MfPlan	   *plan;
} MfStatement;

/*
 * Prefix of a statement that reads few of many rows: it is planned without sorts,
 * so that rows are read in the order of an index.
 */
#define MF_IN_ORDER "/* in order */ "

/*
 * Prefix of a statement that looks for the few rows past an age: it is planned without index scans, because the BRIN
 * index of the time is read by a bitmap, and any other one would be read from end to end.
 */
#define MF_BY_AGE "/* by age */ "

/*
 * Prefix of an INSERT that gives rows their "id", the first column, for which the
 * current role needs no right.
 */
#define MF_WITH_ID "/* with id */ "

/* A scope in which statements run, with what is restored at its end; filled by mf_sql_begin() */
typedef struct MfSqlScope
{
	Oid			schema;
	Oid			userid;
	int			security_context;
	int			guc_level;		/* nest level of settings; 0 = the search path was safe already */
	bool		as_owner;		/* statements have the rights of the owner of our tables */

	/* set by callers after mf_sql_begin(); statements must not write then */
	bool		in_query;		/* statements see what the calling query sees */
	bool		latest;			/* statements see what is committed, even where the transaction keeps to an
								 * earlier snapshot */
} MfSqlScope;

/*
 * Opens a scope: connects to SPI, with MF_SAFE_PATH, as the role
 * myfatoorah_worker, which has no rights.  Statements have the rights of the owner
 * of our tables.  mf_sql_end() closes the scope and frees results; the memory context
 * stays the caller's.  After an error the abort of the (sub)transaction restores
 * everything.
 */
extern void mf_sql_begin(MfSqlScope *scope, Oid schema);
extern void mf_sql_end(MfSqlScope *scope);

/* The same, but the current role and its rights stay. */
extern void mf_sql_begin_as_caller(MfSqlScope *scope, Oid schema);

/*
 * Runs a statement with "nargs" values; "nulls" is NULL if none is null, else as
 * for SPI_execute_plan().  Returns the number of rows; they are in SPI_tuptable.
 * The current memory context stays what it was.
 */
extern uint64 mf_sql_execute(const MfSqlScope *scope, MfStatement *statement,
							 const Datum *values, const char *nulls);

/*
 * Prepares a statement and saves its plan.  The statement may name tables of the
 * extension and of bills in that schema, tables of pg_catalog, and "relation" if that is valid.
 * If one of its names leads to another table, now or when it is planned again, the
 * statement fails (55000) before any of it runs.  "as_owner": it has the rights of
 * the owners of its tables instead of the current role's.
 */
extern MfPlan *mf_sql_prepare(Oid schema, Oid relation, bool as_owner, const char *text, int nargs, const Oid *types);

/* SPI_execute_snapshot() without a limit; with InvalidSnapshot like SPI_execute_plan(). */
extern int	mf_sql_run(const MfPlan *plan, const Datum *values, const char *nulls, Snapshot snapshot, bool read_only);

/* Frees a saved plan at the end of the transaction, since an outer call may be running it. */
extern void mf_sql_retire(MfPlan *plan);

/*
 * In a trigger function: whether it was fired by a statement of ours with the
 * owner's rights, or by a function of table_rows.h.  False in triggers that are
 * fired by what a user's trigger does within such a statement.
 */
extern bool mf_sql_fired_trigger(void);

/* Whether a statement of ours with the owner's rights is running, at any depth. */
extern bool mf_sql_is_active(void);

/*
 * Sets whether triggers that are fired from now on, without a statement, are fired
 * by us.  Returns the former value, which the caller restores.
 */
extern bool mf_sql_set_fires_triggers(bool fires);

/*
 * Runs a function in a subtransaction.  Returns NULL, or the error by which it was
 * rolled back, in the current memory context.  Raises again an error that cancels
 * the statement or ends the process.
 */
extern ErrorData *mf_sql_try(void (*function) (void *argument), void *argument);

/*
 * Whether an error has a cause other than the row being processed, such as a
 * conflict of transactions or a lack of resources.
 */
extern bool mf_error_is_systemic(const ErrorData *error);

/* The message of an error, with its detail if it has one. */
extern const char *mf_error_text(const ErrorData *error);

/* Installs the hooks that our statements need, in each process that loads the library. */
extern void mf_sql_init(void);

/* The role that our statements run as; raises 42704 if it does not exist. */
extern Oid	mf_worker_role(void);

/* The schema of the extension; InvalidOid if this database does not have it. */
extern Oid	mf_extension_schema(void);

/* The table of that name of the extension of bills, in our schema; InvalidOid if there is none. */
extern Oid	mf_billing_table(Oid schema, const char *name);

/*
 * Work for a transaction of its own, and a function that runs it in one.  The
 * latter returns what the work returns, or false if it failed; then *error, unless
 * "error" is NULL, is the message.
 */
typedef bool (*MfTransactionWork) (const MfSqlScope *scope, void *argument);
typedef bool (*MfRunTransaction) (MfTransactionWork work, void *argument, char **error);

/*
 * Before and after a utility command.  If code of a user runs it, the command is
 * run as a security-restricted operation: it cannot leave anything in the session.
 * mf_user_code_restrict() returns whether that is so; then mf_user_code_release()
 * must follow with the security context to restore.  Raises 42501 for SET
 * CONSTRAINTS, which would run deferred triggers of others.
 */
extern bool mf_user_code_restrict(NodeTag command, int *security_context);
extern void mf_user_code_release(int security_context);

/* Raises 42501 if code of a user is about to call a function that takes or releases locks of the session. */
extern void mf_user_code_check_function(Oid function);

#endif							/* MF_SQL_H */
