/*
 * operations.h
 *	  SQL of refunds, captures and releases: claims, attempts, changes of status.
 *
 * Every function runs inside the caller's transaction; none commits.
 *
 * Rows are locked after their invoice, where both are.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/operations.h
 */
#ifndef MF_OPERATIONS_H
#define MF_OPERATIONS_H

#include "account/account_key.h"
#include "core/api/outcome.h"
#include "database/sql.h"
#include "store/attempts.h"
#include "store/queue.h"

/* In the order of mf_operation.kind and .status as they are named in operations.c */
typedef enum MfOperationKind
{
	MF_OPERATION_REFUND,
	MF_OPERATION_CAPTURE,
	MF_OPERATION_RELEASE
} MfOperationKind;

typedef enum MfOperationStatus
{
	MF_OPERATION_QUEUED,
	MF_OPERATION_SENDING,
	MF_OPERATION_FILED,			/* MyFatoorah has it; it is not carried out yet */
	MF_OPERATION_REFUNDED,
	MF_OPERATION_CAPTURED,
	MF_OPERATION_RELEASED,
	MF_OPERATION_REFUSED,
	MF_OPERATION_UNKNOWN,
	MF_OPERATION_REVIEW,
	MF_OPERATION_CANCELLED
} MfOperationStatus;

extern const char *mf_operation_status_name(MfOperationStatus status);
extern const char *mf_operation_kind_name(MfOperationKind kind);

/* Whether money may move, or may have moved, by an operation of that status, in SQL. */
#define MF_OPERATION_LIVES(row) row ".status NOT IN ('refused', 'cancelled')"

/* Whether it may still change by an answer or a person, in SQL. */
#define MF_OPERATION_OPEN(row) row ".status IN ('queued', 'sending', 'filed', 'unknown', 'review')"

/* List of MfDueAccount, one for each account, in the current context. */
extern List *mf_operations_accounts(const MfSqlScope *scope);

/* A row, with what its invoice says */
typedef struct MfOperation
{
	int64		id;
	int64		invoice;
	char	   *account;
	MfOperationKind kind;
	MfOperationStatus status;
	int			attempts;		/* number of the latest one */
	int			lookups;		/* since the latest attempt */
	char	   *value;			/* NULL of a release */
	char	   *currency;		/* NULL = not known */
	char	   *payment_id;		/* NULL = none */
	bool		charge_on_customer;
	char	   *comment;		/* NULL = none */
	char	   *suppliers;		/* JSON; NULL = none */
	char	   *vendor_value;	/* of value, what suppliers do not bear; NULL = there are none */
	char	   *reference;
	char	   *refund_id;		/* NULL = not known */
	char	   *refund_reference;	/* likewise */
	bool		is_foreign;		/* an answer has made the row, nobody here has asked for it */
	char	   *possible_id;	/* RefundId of a foreign one that may be this one; NULL = there is none */
	char	   *last_error;		/* NULL = none */
	TimestampTz filed_at;		/* 0 = not yet */
	TimestampTz asked_at;		/* when it was to be asked about, until that is answered; 0 = it is not */
	MfSender	sender;			/* who has inserted the row */
	MfKeyOwner	owner;			/* of the invoice: whose key is used */
	char	   *invoice_id;		/* NULL = the invoice has none any more */
	char	   *payment_status; /* of the invoice */
	bool		blocked;		/* another request of the invoice is under way, or unknown */
	bool		may_exist;		/* it was asked for before, here or in a database that this one was copied from */
	int32		confirmed_from;	/* mf_http_target_checksum() of where the invoice was shown as ours; 0 = nowhere yet */
	bool		fits;			/* of a refund: no more than what is left of the invoice and the payment */
	char	   *left;			/* the latter, for messages; 0 if there is no invoice */

	/* of the latest attempt */
	bool		ended;			/* it has an outcome: */
	MfOutcome	outcome;
	char	   *answered_id;	/* RefundId in its answer; NULL = none */
	int64		answer_holder;	/* another row of the invoice, not a foreign one, that has this RefundId; 0 = none */
	char	   *error;			/* NULL = none */
} MfOperation;

/*
 * Locks due rows of an account and their invoices, at most "limit", and reads them.
 * What others have locked is left out.  List of MfOperation.
 */
extern List *mf_operations_claim(const MfSqlScope *scope, const char *account, int limit, TimestampTz now);

/* Reads and locks rows by their ids, in the order of ids; those that others have locked are left out. */
extern List *mf_operations_lock(const MfSqlScope *scope, const int64 *ids, int count);

/*
 * One row, in a scope of its own.  With "lock" it and its invoice are locked, and others
 * are waited for; NULL = there is none, or its invoice was archived or deleted.
 */
extern MfOperation *mf_operation_read(Oid schema, int64 id, bool lock);

/*
 * All rows of these invoices that answers may be about, not locked: refunds, or captures
 * and releases.
 */
extern List *mf_operations_of_invoices(const MfSqlScope *scope, const int64 *invoices, int count, bool refunds);

/* Records attempts, with their leases, and makes the rows "sending"; attempts[].invoice is the row's id. */
extern void mf_operations_start(const MfSqlScope *scope, const MfAttempt *attempts, const TimestampTz *leases, int count);

/* The first question about a refund that was filed, beside that at once, in multiples of myfatoorah.poll_delay */
#define MF_FILED_POLLS 12

/* A change of a row, of its status or of what comes next */
typedef struct MfOperationChange
{
	int64		id;
	MfOperationStatus from;
	MfOperationStatus to;
	TimestampTz due;			/* 0 = nothing is to be done any more */
	int			lookups;
	const char *reference;		/* NULL = as it was, as for the next ones */
	const char *refund_id;		/* which a foreign row gives up to this one; "0" = none any more */
	const char *refund_reference;
	const char *refunded_value;
	const char *rrn;
	int32		confirmed_from;	/* 0 = as it was */
	const char *error;			/* for last_error; NULL = none */
	const char *actor;
	const char *reason;			/* for the history; NULL = the error, or nothing */
} MfOperationChange;

/* Begins a change that leaves the row as it is, with nothing left to do. */
extern void mf_operation_change_begin(MfOperationChange *change, const MfOperation *operation, const char *actor);

/*
 * Applies changes to locked rows, each once, with lines in the history for changes of
 * status.  When one of an invoice has ended, those that have waited for it become due.
 * Questions about the rows are answered by that: mf_operations_ask() puts the next ones.
 */
extern void mf_operations_apply(const MfSqlScope *scope, const MfOperationChange *changes, int count);

/* The same in a scope of its own, for a session: the commit wakes the worker. */
extern void mf_operation_apply_alone(Oid schema, const MfOperationChange *change);

/* Has MyFatoorah asked about invoices and, of refunds, about these, and notes for the rows of "ids" that it is. */
extern void mf_operations_ask(const MfSqlScope *scope, const int64 *invoices, bool refunds, const int64 *ids, int count);

/* A refund that an answer reports and that is none of our rows */
typedef struct MfForeignRefund
{
	int64		invoice;
	MfOperationStatus status;
	const char *value;
	const char *refund_id;
	const char *refund_reference;
	const char *refunded_value;
	const char *rrn;
	const char *currency;
	const char *reference;		/* its ExternalIdentifier; NULL = none */
} MfForeignRefund;

/*
 * Inserts rows for them; one with the reference of an attempt of ours, or a RefundId that a row
 * of another invoice has, gets an error.  Returns the invoices of those, an array of int8.
 */
extern Datum mf_operations_add_foreign(const MfSqlScope *scope, const MfForeignRefund *refunds, int count);

/*
 * This database takes over rows of the one that it was copied from: all, or those that
 * were queued before a promotion.  What is queued may have been carried out, and is looked
 * up.  Own scope.
 */
extern void mf_operations_take_over(Oid schema);
extern void mf_operations_doubt_queued(Oid schema, bool promoted);

/* Number of unfinished rows, of one invoice or all with 0.  Own scope. */
extern int64 mf_operations_unfinished(Oid schema, int64 invoice);

/*
 * Rows that were loaded or changed without the trigger, so that nothing is done about them,
 * or under another account than their invoice's.  Those that were queued may have been
 * carried out, and are looked up.  The result has a row (kind, number) if there are some.
 */
extern void mf_operations_repair(const MfSqlScope *scope);

/* Their number.  Own scope. */
extern int64 mf_operations_misfits(Oid schema);

/* As mf_queue_purge_attempts(). */
extern uint64 mf_operations_purge_attempts(const MfSqlScope *scope, TimestampTz before);

/* What an INSERT of a refund needs to know of the invoice */
typedef struct MfRefundedInvoice
{
	char	   *account;
	char	   *status;
	char	   *payment_status;
	char	   *currency;		/* of the account, as answers have it; NULL = not known */
	Oid			creator;
	bool		key_taken;		/* another row has the idempotency key */
	char	   *left;			/* of the invoice */
	char	   *payment_left;	/* of the payment; NULL = it has no such payment */
	char	   *base_value;		/* of the invoice, in the currency of the account; NULL = not known */
	char	   *settling;		/* what it has of captures and releases, for messages; NULL = nothing */
	char	   *disputed;		/* a dispute that is pending, and may be of the payment; NULL = none */
} MfRefundedInvoice;

/*
 * Locks an invoice, and reads what is left of it, whatever the snapshot of the
 * transaction.  Raises P0002 unless the current role sees it, and 42501 unless it may change
 * it.  "payment_id" and "key" may be NULL.  Own scope.
 */
extern MfRefundedInvoice *mf_operations_lock_invoice(Oid schema, int64 invoice, const char *payment_id, const char *key);

/* A capture or release of an invoice, for mf_operations_add(); who and what is as in MfOperation */
typedef struct MfNewSettling
{
	int64		invoice;
	MfOperationKind kind;
	const char *value;			/* NULL of a release */
	const char *currency;
	const char *reference;
	const char *reason;
	const char *created_by;
	MfSender	sender;
} MfNewSettling;

/* Inserts a row for it; returns its id.  The invoice is locked.  Own scope. */
extern int64 mf_operations_add(Oid schema, const MfNewSettling *settling);

/* The id of the capture or release of an invoice that is queued or in review; 0 = there is none.  Own scope. */
extern int64 mf_operations_find_settling(Oid schema, int64 invoice);

/* The id of another row with that RefundId, whatever the snapshot; 0 = there is none.  Own scope. */
extern int64 mf_operations_find_refund(Oid schema, int64 id, int64 refund_id);

/* The sum of what suppliers bear, decimal text; NULL if the JSON is not an array as MyFatoorah wants it.  Own scope. */
extern char *mf_operations_suppliers_sum(Oid schema, Datum suppliers);

/* What is left of an invoice or payment, for the calling query; NULL = there is no such invoice or payment.  Own scope. */
extern char *mf_operations_refundable(Oid schema, int64 invoice, const char *payment_id);

/* When this worker looks at the rows next, and what it is to count */
typedef struct MfOperationAlarm
{
	bool		pending;		/* a row may be due */
	TimestampTz due;			/* when the next one is; 0 = none is known */
	uint64		refused;		/* rows that became refused in this round, to be counted when it has committed */
} MfOperationAlarm;

extern MfOperationAlarm mf_operations;

#endif							/* MF_OPERATIONS_H */
