/*
 * run_transaction.c
 *	  Transactions of a background worker that are apart from its main work.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/run_transaction.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"

#include "base/compat.h"
#include "base/settings.h"
#include "database/run_transaction.h"
#include "process/notify.h"
#include "process/process.h"

bool
mf_transaction_find_extension(Oid *extension, Oid *schema)
{
	volatile bool found = false;

	mf_process_begin_statements();
	if (ShutdownRequestPending)
		return false;
	PG_TRY();
	{
		mf_process_start_transaction();
		*extension = get_extension_oid(MF_EXTENSION, true);
		*schema = mf_extension_schema();
		found = OidIsValid(*schema);
		if (found)
			mf_process_take_role(mf_worker_role());
		(void) mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		/* a shutdown meanwhile is no error */
		if (!ShutdownRequestPending || geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
		found = false;
	}
	PG_END_TRY();
	mf_process_end_statements();
	return found;
}

bool
mf_transaction_run(MfTransactionRunner *runner, MfTransactionWork work, void *argument, char **error)
{
	volatile bool done = false;

	if (error != NULL)
		*error = NULL;
	mf_process_begin_statements();
	PG_TRY();
	{
		mf_process_start_transaction();
		if (runner->count != NULL)
			(*runner->count)++;
		MemoryContextSwitchTo(runner->context);
		if (mf_process_lock_extension(runner->extension))
		{
			MfSqlScope	scope;

			mf_sql_begin(&scope, runner->schema);
			done = work(&scope, argument);
			mf_sql_end(&scope);
		}
		else
			runner->extension_dropped = true;
		(void) mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		char	   *message = mf_transaction_abort(runner)->message;

		if (error != NULL)
			*error = message;
		done = false;
	}
	PG_END_TRY();
	mf_process_end_statements();
	MemoryContextSwitchTo(runner->context);
	return done;
}

ErrorData *
mf_transaction_abort(const MfTransactionRunner *runner)
{
	ErrorData  *error;

	MemoryContextSwitchTo(runner->context);
	error = CopyErrorData();
	(void) mf_notify_refused(error);
	HOLD_INTERRUPTS();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(runner->context);
	if (runner->failed != NULL)
		runner->failed(error);
	FlushErrorState();
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();
	return error;
}
