/*
 * run_transaction.h
 *	  Transactions of a background worker that are apart from its main work.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/run_transaction.h
 */
#ifndef MF_RUN_TRANSACTION_H
#define MF_RUN_TRANSACTION_H

#include "database/sql.h"

/* What a background worker runs its transactions with */
typedef struct MfTransactionRunner
{
	Oid			extension;
	Oid			schema;
	MemoryContext context;		/* for the work and error messages; the caller resets it */
	uint64	   *count;			/* transactions begun; may be NULL */
	void		(*failed) (const ErrorData *error); /* logs and shows the error of a transaction, after its abort; may be NULL */
	bool		extension_dropped;	/* set when a transaction finds that */
} MfTransactionRunner;

/*
 * Finds the extension in a transaction of its own, and has the process keep the role
 * of the worker for good.  False if the extension does not exist, or a shutdown is
 * requested.
 */
extern bool mf_transaction_find_extension(Oid *extension, Oid *schema);

/*
 * Runs "work" in a transaction of its own.  Returns its result; false if the
 * transaction fails, or if the extension was dropped.  *error is the message of a
 * failure, else NULL; "error" may be NULL.
 */
extern bool mf_transaction_run(MfTransactionRunner *runner, MfTransactionWork work, void *argument, char **error);

/*
 * In PG_CATCH(): aborts the transaction, and calls "failed".  The error is in the context of
 * the runner, which is the current context afterwards.
 */
extern ErrorData *mf_transaction_abort(const MfTransactionRunner *runner);

#endif							/* MF_RUN_TRANSACTION_H */
