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

#include "storage/itemptr.h"

#include "account/account_key.h"
#include "base/compat.h"
#include "database/sql.h"
#include "flow/throttle.h"
#include "request/public_url.h"
#include "request/request.h"
#include "store/invoice.h"

/* An entry whose invoice somebody has locked is looked at again after this. */
#define MF_BUSY_DELAY_MS 1000

/* What the agenda wants done for an invoice */
typedef enum MfJobKind
{
	MF_JOB_SEND,
	MF_JOB_SENDING,				/* lease over: nobody reported an outcome */
	MF_JOB_RECONCILE,			/* look up an unknown outcome */
	MF_JOB_VERIFY,				/* look up before it is sent */
	MF_JOB_WATCH,				/* look up references given up */
	MF_JOB_REVIEW,				/* a person's, never due */
	MF_JOB_NONE,				/* no entry: nothing is left to do */

	/* about payments; these stand on the agenda of inquiries */
	MF_JOB_INQUIRY,				/* GetPaymentStatus of an invoice */
	MF_JOB_REFUNDS,				/* GetRefundStatus of an invoice */
	MF_JOB_PAYMENT_ID,			/* GetPaymentStatus: whose PaymentId is it? */
	MF_JOB_WEBHOOK_LOG			/* GetWebhooks: what has been missed? */
} MfJobKind;

/* How much may be claimed for an account, and from where on */
typedef struct MfClaimLimit
{
	const char *account;
	MfThrottle *throttle;
	int			slots;
	bool		shared;			/* these are fewer than are free */
	bool		look_later;		/* nothing more is due now, */
	TimestampTz next_due;		/* but then; 0 = never */
	TimestampTz mark;			/* rows of an earlier rank are not looked at, */
	int64		mark_invoice;	/* nor earlier ones of that rank */
} MfClaimLimit;

/* Whose row it is, and what that role could do when it inserted it */
typedef struct MfSender
{
	Oid			role;			/* InvalidOid: it is gone */
	bool		could_login;
	bool		could_insert;	/* into mf_invoice itself, not by a view only */
} MfSender;

/* A locked row of the agenda with its invoice */
typedef struct MfJob
{
	MfJobKind	kind;
	int64		invoice;
	MfStatus	status;
	int			attempts;		/* number of the latest attempt */
	TimestampTz rank;
	int			step;			/* as in mf_queue; see MF_SENSELESS_STEP */
	bool		duplicate_suspected;
	char	   *account;
	MfKeyOwner	owner;
	MfSender	sender;
	TimestampTz created_at;
	TimestampTz send_at;
	char	   *reference;
	char	   *invoice_id;		/* InvoiceId, NULL = none yet */
	bool		cancel_requested;
	MfCallbacks callbacks;
	ItemPointerData queue_place;	/* of the locked rows; of a claim only */
	ItemPointerData invoice_place;
	MfRequest	request;
} MfJob;

/* A change of status, with what goes with it */
typedef struct MfTransition
{
	int64		invoice;
	MfStatus	from;
	MfStatus	to;
	int			attempt;
	MfJobKind	next;			/* what the agenda says then, and when */
	TimestampTz due;
	const char *reference;		/* NULL = as it was */
	const char *invoice_id;		/* NULL = as it was */
	const char *invoice_url;	/* NULL = as it was */
	const char *error;			/* NULL = none: clears last_error */
	const char *linkless;		/* that of an invoice that is sent for its
								 * link and has none, not even with an attempt */
	const char *actor;			/* "sender", or the name of a role */
	const char *reason;			/* for the history; NULL = the error */
	int			duplicate;		/* 1 = a second invoice may exist; -1 = it
								 * does not; 0 = as it was */
} MfTransition;

/* What comes next for an invoice whose status stays as it is */
typedef struct MfFollowUp
{
	int64		invoice;
	MfJobKind	next;
	TimestampTz due;
	int			step;
	const char *error;			/* for the invoice; NULL = leave it as it was */
	bool		duplicate;		/* a second invoice may exist, as the error
								 * says */
	bool		wait;			/* nothing was tried: what kept it from being
								 * written may still be there */
	bool		put_off;		/* a person is to see the error in mf_review */
} MfFollowUp;

/* An invoice as the fence sees it, locked */
typedef struct MfLockedInvoice
{
	int64		invoice;
	MfStatus	status;
	int			attempts;
	bool		duplicate_suspected;
} MfLockedInvoice;

/*
 * How long after another server may have sent a row that is looked up, in
 * milliseconds: MyFatoorah must be done with it.
 */
extern int	mf_verify_wait(void);

/* The first entry of an account */
typedef struct MfFirstEntry
{
	char	   *account;
	TimestampTz rank;
} MfFirstEntry;

/* List of MfFirstEntry, one for each account that has something on the agenda, in the current context. */
extern List *mf_queue_accounts(const MfSqlScope *scope);

/*
 * Locks due entries, and the invoices that nobody else has locked; entries
 * whose invoice is busy come again later.  No more than "limit" in all, in the
 * order of the accounts; *cut tells whether that ended it.  *changed becomes true
 * if entries now stand under other accounts, or later than anybody may think.  List
 * of MfJob.
 */
extern List *mf_queue_claim(const MfSqlScope *scope, const MfClaimLimit *limits, int count, int limit,
							TimestampTz now, bool *cut, bool *changed);

/*
 * The same for entries that are "sending", due or not, of all accounts, in the
 * order of their invoices and behind one: for a worker that has no requests
 * under way.  *last is the last one found, if any.
 */
extern List *mf_queue_claim_leases(const MfSqlScope *scope, int64 after, int limit, TimestampTz now, int64 *last,
								   bool *changed);

/* Sets next_due of those accounts that are to be looked at later. */
extern void mf_queue_next_due(const MfSqlScope *scope, MfClaimLimit *limits, int count, TimestampTz now);

/* Locks those of the invoices that nobody else has locked. List of MfLockedInvoice. */
extern List *mf_queue_lock_invoices(const MfSqlScope *scope, const int64 *invoices, int count);

/* Which of the invoices are no rows any more; how many these are. */
extern uint64 mf_queue_lost_invoices(const MfSqlScope *scope, const int64 *invoices, int count, int64 *lost);

/*
 * Changes invoices, agenda and history together.  The history of a transition
 * to "sending" is its attempt.
 */
extern void mf_queue_apply(const MfSqlScope *scope, const MfTransition *transitions, int count);

extern void mf_queue_follow_up(const MfSqlScope *scope, const MfFollowUp *follow_ups, int count);

/* Puts an entry off because what is to be done for it cannot be written; false if it cannot, either. */
extern bool mf_queue_put_off(const MfSqlScope *scope, int64 invoice, TimestampTz until, const char *error);

/* Makes due at once what mf_queue_put_off() has put off, but for some invoices, an int8[]. */
extern void mf_queue_retry_put_off(const MfSqlScope *scope, Datum left_out);

#endif							/* MF_QUEUE_H */
