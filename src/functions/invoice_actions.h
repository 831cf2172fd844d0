/*
 * invoice_actions.h
 *	  What people can have done to invoices: cancel, retry, refresh.
 *
 * Actions are done for many invoices at once, with the rights of the current role, in
 * its transaction.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_actions.h
 */
#ifndef MF_INVOICE_ACTIONS_H
#define MF_INVOICE_ACTIONS_H

#include "fmgr.h"

#include "store/invoice_lookup.h"

/* Invoices per call of an action; few, because some look-ups are linear */
#define MF_ACTION_BATCH 500

/* Results of actions, beside those of a status; listed in docs/reference.md */
#define MF_RESULT_CANCELLED "cancelled"
#define MF_RESULT_CANCEL_REQUESTED "cancel_requested"
#define MF_RESULT_QUEUED "queued"
#define MF_RESULT_ASKED "asked"
#define MF_RESULT_ASKED_LATER "asked_later"
#define MF_RESULT_NOT_SENT "not_sent"
#define MF_RESULT_NOT_FOUND "not_found"
#define MF_RESULT_ARCHIVED "archived"
#define MF_RESULT_NOT_PERMITTED "not_permitted"

/* Who has called, and why */
typedef struct MfCommand
{
	Oid			schema;
	Oid			table;			/* mf_invoice */
	const char *actor;			/* for the history */
	const char *reason;			/* likewise; NULL = none given */
} MfCommand;

/*
 * Acts on "count" invoices, which are sorted by id and occur once.  Stores the result of
 * each, a constant, and what is known of the invoice in "named".  With no invoice it
 * only checks that the current role has the rights on the tables.
 */
typedef void (*MfAction) (const MfCommand *command, MfNamed *named, const char **results, int count);

extern void mf_action_cancel(const MfCommand *command, MfNamed *named, const char **results, int count);
extern void mf_action_retry(const MfCommand *command, MfNamed *named, const char **results, int count);
extern void mf_action_refresh(const MfCommand *command, MfNamed *named, const char **results, int count);

/*
 * A text argument with a person's reason, for the history; palloc'd.  NULL if it is null
 * or has no visible character.
 */
extern char *mf_reason_argument(FunctionCallInfo fcinfo, int number);

/* Sorts invoices by their ids and removes duplicates; returns how many are left. */
extern int	mf_named_sort(MfNamed *named, int count);

/* A command of the current role. */
extern void mf_command_init(MfCommand *command, Oid schema, const char *reason);

/* Runs an action in a memory context that is freed afterwards; "named" keeps no valid job. */
extern void mf_action_run(MfAction action, const MfCommand *command, MfNamed *named, const char **results, int count);

/*
 * Raises an error unless the invoice exists for the current role and, if it was to be
 * locked, may be updated by it; "table" is mf_invoice then, else InvalidOid.
 */
extern void mf_check_named(const MfNamed *named, Oid table);

/* Raises the error for an id that the role does not see in mf_invoice. */
pg_noreturn extern void mf_refuse_missing(const MfNamed *named);

/*
 * Cancels the invoices of rows of users' tables that were deleted.  They are sorted by
 * id.  Raises an error if one of them may still be paid, or if the current role may
 * not cancel it.
 */
extern void mf_cancel_deleted(Oid schema, MfNamed *named, int count, const char *reason);

/* Raises the error for changing or deleting a row whose invoice was paid and archived. */
pg_noreturn extern void mf_refuse_archived(int64 invoice);

#endif							/* MF_INVOICE_ACTIONS_H */
