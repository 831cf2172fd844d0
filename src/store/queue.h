/*
 * queue.h
 *	  The agenda of sending: claims, transitions, and what comes next.
 *
 * Every function runs inside the caller's transaction; none commits.  Those
 * that take a scope must be called between mf_sql_begin() and mf_sql_end();
 * those that take a schema open a scope of their own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue.h
 */
#ifndef MF_QUEUE_H
#define MF_QUEUE_H

#include "commands/trigger.h"
#include "storage/itemptr.h"

#include "account/account_key.h"
#include "base/compat.h"
#include "database/sql.h"
#include "flow/throttle.h"
#include "request/request.h"
#include "store/invoice.h"

/* An entry whose invoice is locked is claimed again after this. */
#define MF_BUSY_DELAY_MS 1000

/* What is to be done for an invoice: kinds of agenda entries, and of inquiries */
typedef enum MfJobKind
{
	MF_JOB_SEND,
	MF_JOB_SENDING,				/* an attempt is leased; due when the lease is over without an outcome */
	MF_JOB_RECONCILE,			/* look up an unknown outcome */
	MF_JOB_VERIFY,				/* look up before sending: another server may have sent it */
	MF_JOB_WATCH,				/* look up references that a resend has replaced */
	MF_JOB_REPLAY,				/* repeat the request of an invoice that was found, to get its link */
	MF_JOB_REVIEW,				/* a person decides; never due */
	MF_JOB_NONE,				/* no entry; all kinds before this one are words in mf_queue.kind */

	/* inquiries about payments, in mf_inquiry and mf_event */
	MF_JOB_INQUIRY,				/* GetPaymentStatus of an invoice */
	MF_JOB_REFUNDS,				/* GetRefundStatus of an invoice */
	MF_JOB_PAYMENT_ID,			/* GetPaymentStatus of a PaymentId: which invoice is it about? */
	MF_JOB_WEBHOOK_LOG,			/* GetWebhooks: which webhooks were missed? */
	MF_JOB_DEPOSIT,				/* GetDepositedInvoices; in mf_deposit_state */
	MF_JOB_RECURRING,			/* GetRecurringPayment: which repetitions are there? In mf_event */

	MF_JOB_OPERATION			/* a refund, capture or release, in mf_operation */
} MfJobKind;

/* How much may be claimed for an account, and where the claim begins */
typedef struct MfClaimLimit
{
	const char *account;
	MfThrottle *throttle;
	int			slots;			/* entries that may be claimed */
	bool		shared;			/* "slots" is less than what is free, because others share it */
	bool		look_later;		/* nothing more is due now */
	TimestampTz next_due;		/* set by mf_queue_next_due(); 0 = never */
	TimestampTz position_rank;	/* entries before this rank, and before this */
	int64		position_invoice;	/* invoice of that rank, are not read */
} MfClaimLimit;

/* The role that inserted a row, and what it was allowed to do then */
typedef struct MfSender
{
	Oid			role;			/* InvalidOid = no role has the name it had when the row was restored */
	bool		could_login;
	bool		could_insert;	/* into mf_invoice itself, not only through a view */
} MfSender;

/* mf_queue.lookups of an entry that waits for an answer about what its invoice replaces, since it is due */
#define MF_LOOKUPS_ASKED (-2)

/* A locked agenda entry with its locked invoice */
typedef struct MfJob
{
	MfJobKind	kind;
	int64		invoice;
	MfStatus	status;
	int			attempts;		/* number of the latest attempt */
	TimestampTz rank;
	int			lookups;		/* of the back-off, as in mf_queue; see MF_SENSELESS_LOOKUP */
	bool		duplicate_suspected;
	char	   *account;
	MfKeyOwner	owner;
	MfSender	sender;
	TimestampTz created_at;
	TimestampTz send_at;
	TimestampTz asked_at;		/* when MyFatoorah was to be asked about what it replaces; 0 = never; set by claims only */
	char	   *reference;
	char	   *invoice_id;		/* InvoiceId, NULL = none yet */
	bool		cancel_requested;	/* it is not to be sent; always so if it was replaced */
	int64		replaced_by;	/* 0 = no other invoice is to be paid in its place */
	MfCallbacks callbacks;
	Datum		currency;		/* text, of invoice_value: that of the account when the row was inserted, if no other; 0 = unknown */
	ItemPointerData queue_tid;	/* of the locked rows; set by claims only */
	ItemPointerData invoice_tid;
	MfRequest	request;
} MfJob;

/* A change of status, with what goes with it */
typedef struct MfTransition
{
	int64		invoice;
	MfStatus	from;
	MfStatus	to;
	int			attempt;
	MfJobKind	next;			/* the agenda entry from now on, */
	TimestampTz due;			/* and its due time */
	const char *reference;		/* NULL = as it was */
	const char *invoice_id;		/* NULL = as it was */
	const char *invoice_url;	/* NULL = as it was */
	const char *error;			/* NULL = none: clears last_error */
	const char *linkless;		/* the error if the invoice is to have a link (notification_option LNK) and
								 * neither the answer nor an attempt has one */
	const char *actor;			/* "sender", "status reader", or mf_acting_role() */
	const char *reason;			/* for the history; NULL = the error */
	int			duplicate;		/* suspicion of a second invoice: 1 = suspected, -1 = cleared, 0 = as it
								 * was */
} MfTransition;

/*
 * Who acts if a session does: the name of the current role.  One that has a name of ours is shown as "role" and that name,
 * so that no person is taken for a part of the extension.
 */
extern const char *mf_acting_role(void);

/* Begins the description of a change of status, after which nothing is left to do. */
extern void mf_transition_begin(MfTransition *transition, int64 invoice, MfStatus from, int attempt, TimestampTz now,
								const char *actor);

/* What comes next for an invoice whose status stays as it is */
typedef struct MfFollowUp
{
	int64		invoice;
	MfJobKind	next;
	TimestampTz due;
	int			lookups;
	const char *error;			/* for the invoice; NULL = leave it as it was */
	bool		duplicate;		/* "error" is the reason to suspect a second invoice */
	bool		wait;			/* nothing was tried: the error in the entry stays */
	bool		put_off;		/* "error" goes into the entry, where mf_review shows it */
	const char *found_id;		/* InvoiceId that a look-up has found, for the latest attempt; NULL = none */
} MfFollowUp;

/* A locked invoice, to be compared with the attempt whose outcome is to be recorded */
typedef struct MfLockedInvoice
{
	int64		invoice;
	MfStatus	status;
	int			attempts;
	bool		duplicate_suspected;
} MfLockedInvoice;

/*
 * Milliseconds after which MyFatoorah has finished processing a request that
 * another server may have sent at a given time, so that a look-up is conclusive.
 */
extern int	mf_verify_wait(void);

/* When to look up an invoice that another server may send as soon as it is due, as MF_VERIFY_DUE(). */
extern TimestampTz mf_verify_due(TimestampTz due, TimestampTz now);

/* An account with something that is or will be due; on the agenda that is its rank */
typedef struct MfDueAccount
{
	char	   *account;
	TimestampTz due;
} MfDueAccount;

/* List of MfDueAccount, one for each account with agenda entries, in the current context. */
extern List *mf_queue_accounts(const MfSqlScope *scope);

/* The same of the accounts and times that a statement returns. */
extern List *mf_read_due_accounts(const MfSqlScope *scope, MfStatement *statement);

/* Whether something on the agenda awaits this account: a send, a look-up, an operation or an inquiry. */
extern bool mf_agenda_names(const MfSqlScope *scope, const char *account);

/*
 * Claims due entries: locks them and their invoices, at most "limit" in all, in
 * the order of the accounts.  An entry whose invoice is locked by others is put off
 * by MF_BUSY_DELAY_MS.  *cut is set to whether the limit was reached.  *changed
 * becomes true if entries were moved to other accounts, or put off because their
 * invoice does not exist: next due times that were noted are no longer right.
 * List of MfJob.
 */
extern List *mf_queue_claim(const MfSqlScope *scope, const MfClaimLimit *limits, int count, int limit,
							TimestampTz now, bool *cut, bool *changed);

/*
 * Likewise claims "sending" entries of all accounts, due or not, whose invoice id
 * is greater than "after", in the order of ids: for a worker that has no requests
 * in flight.  *last is set to the greatest id found, if any.
 */
extern List *mf_queue_claim_leases(const MfSqlScope *scope, int64 after, int limit, TimestampTz now, int64 *last,
								   bool *changed);

/* Sets next_due of the limits that have look_later. */
extern void mf_queue_next_due(const MfSqlScope *scope, MfClaimLimit *limits, int count, TimestampTz now);

/* Locks the invoices that nobody else has locked. List of MfLockedInvoice. */
extern List *mf_queue_lock_invoices(const MfSqlScope *scope, const int64 *invoices, int count);

/* Puts into "lost", which has room for all, the invoices that do not exist; returns their number. */
extern uint64 mf_queue_lost_invoices(const MfSqlScope *scope, const int64 *invoices, int count, int64 *lost);

/*
 * Applies transitions to invoices, agenda and history.  A transition to "sending"
 * has no line in the history; its attempt stands for it.
 */
extern void mf_queue_apply(const MfSqlScope *scope, const MfTransition *transitions, int count);

/* Changes agenda entries, and last_error or duplicate_error, of invoices whose status stays as it is. */
extern void mf_queue_follow_up(const MfSqlScope *scope, const MfFollowUp *follow_ups, int count);

/*
 * Promotes the entries of these accounts that have become due, unless their claims
 * begin at a position: the new ranks may be below that.  A failure is logged; then the order of sending is that of due
 * times, and nothing is promoted for a minute.
 */
extern void mf_promote_due(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now);

/*
 * Makes agenda entries of new rows of mf_invoice, in its AFTER trigger; returns
 * their number.  For restored rows "in_use" is not NULL: it is set to whether
 * another server may send any of them or inquire about its payment, and inquiries
 * are opened for those whose payment is awaited.
 */
extern uint64 mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use);

/* Changes the entry of a queued invoice after its columns were changed; "due" is by mf_send_due(). */
extern void mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due,
								int priority, TimestampTz created_at);

/*
 * Deletes the agenda entries of an invoice that was deleted, and its InvoiceId
 * (0 = none) from mf_invoice_number.  Its history stays.
 */
extern void mf_invoice_deleted(Oid schema, int64 invoice, int64 invoice_id);

/*
 * Deletes everything about invoices after TRUNCATE, also their history, since their
 * ids may be used again.  Events stay, but belong to no invoice from then on.
 */
extern void mf_invoices_truncated(Oid schema);

/* Number of agenda entries.  Own scope. */
extern int64 mf_queue_size(Oid schema);

#endif							/* MF_QUEUE_H */
