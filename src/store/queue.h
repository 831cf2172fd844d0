/*
 * queue.h
 *	  All SQL of sending: the agenda, the attempts, the transitions.
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

#include "account/account.h"
#include "base/compat.h"
#include "core/api/outcome.h"
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

/* An attempt, recorded before its request leaves */
typedef struct MfAttempt
{
	int64		invoice;
	int			attempt;
	const char *reference;
	uint8		body_sha256[32];
	TimestampTz send_by;
	int32		sent_to;		/* mf_http_target_checksum() */
} MfAttempt;

/* The end of an attempt */
typedef struct MfAttemptEnd
{
	int64		invoice;
	int			attempt;
	const char *reference;		/* under which it was sent; NULL = not known */
	MfOutcome	outcome;
	int			http_status;	/* 0 = none */
	const char *invoice_id;		/* what the answer held; NULL = none */
	const char *invoice_url;
	const char *answered_reference; /* if it was another */
	const char *error;
} MfAttemptEnd;

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

/* --- for the triggers and the functions of people --- */

/*
 * Puts the trigger's new rows on the agenda; how many.  If "in_use" is not
 * NULL it tells whether another server may send any of them, or ask about it.
 */
extern uint64 mf_queue_insert(Oid schema, TriggerData *trigger, bool *in_use);

/* Follows a change of a queued invoice's own columns; due is by mf_send_due(), created_at is for its rank. */
extern void mf_queue_reschedule(Oid schema, int64 invoice, const char *account, TimestampTz send_at, TimestampTz due,
								int priority, TimestampTz created_at);

/* How many invoices wait for a time of the day at which their account sends, and until when the first one. */
extern int64 mf_queue_count_timed(Oid schema, const char *account, TimestampTz *first);

/* Entries of the agenda. */
extern int64 mf_queue_size(Oid schema);

/*
 * Locks the entry of an invoice, which the caller has locked: whether MyFatoorah
 * may have the invoice under its account, by an attempt or by another server.
 */
extern bool mf_queue_may_exist(Oid schema, int64 invoice);

/* Whether a query of the current role sees that invoice, row-level security included. */
extern bool mf_queue_is_visible(Oid schema, int64 invoice);

/* What there is of an invoice, whoever may see it */
typedef enum MfExistence
{
	MF_ROW_GONE,				/* or archived, and nothing was paid */
	MF_LINK_DEAD,				/* it was sent, and can be paid no more: nothing was, either */
	MF_ROW_ARCHIVED,			/* and something was paid */
	MF_ROW_THERE
} MfExistence;

extern MfExistence mf_queue_existence(Oid schema, int64 invoice);

/* The invoice of a reference, or of one that it is a resend of, and who inserted it; 0 if there is none. */
extern int64 mf_queue_find_by_reference(Oid schema, const char *reference, Oid *creator);

/* An invoice that somebody has named, and what the current role may do with it */
typedef struct MfNamed
{
	int64		invoice;
	bool		seen;			/* there is one, and it sees it, */
	MfJob	   *job;			/* and may update it: locked, with its entry; the
								 * kind is verify as well if the entry is another
								 * database's */
	bool		sent;			/* so is its status; of mf_queue_find_named() only */
} MfNamed;

/* For qsort() and bsearch(): by their ids. */
extern int	mf_compare_named(const void *a, const void *b);

/*
 * Locks invoices and their entries with the rights of the current role, waiting
 * for whoever has them; raises 42501 if it may update none at all.  They come in
 * the order of their ids, each once, so that nobody waits in a circle.
 */
extern void mf_queue_lock_named(Oid schema, MfNamed *named, int count);

/* Only tells which are seen, and which of these are sent; raises 42501 if the current role may read none at all. */
extern void mf_queue_find_named(Oid schema, MfNamed *named, int count);

/* Writes into the history who has changed which columns of a row, a JSON text; see invoice_edits.h. */
extern void mf_queue_note_edit(Oid schema, int64 invoice, const char *status, int attempt, const char *changes);

/* As mf_queue_apply(), in a scope of its own; also puts back deleted entries. */
extern void mf_queue_apply_by_person(Oid schema, const MfTransition *transitions, int count);

/*
 * Has transitions queue locked rows, in the order of their ids, again, each under
 * a fresh reference that is looked up before it is sent.  Own scope.
 */
extern void mf_queue_resend(Oid schema, MfJob *const *jobs, MfTransition *transitions, int count);

/* Clears the suspicion of a duplicate, with a line in the history. Own scope. */
extern void mf_queue_dismiss_duplicate(Oid schema, const MfJob *job, const char *actor, const char *reason);

/*
 * A sent row that may exist twice is about the other invoice from now on, with a
 * line in the history; false if money has come in for the one that it has. Own scope.
 */
extern bool mf_queue_adopt_twin(Oid schema, const MfTransition *adoption);

/*
 * Notes that locked invoices that may exist are not to be sent again, with a line
 * in the history; those that are queued are looked up soon. Own scope.
 */
extern void mf_queue_request_cancel(Oid schema, MfJob *const *jobs, int count, const char *actor, const char *reason);

/* Who has paused all accounts because this may be a copy */
#define MF_PAUSED_BY_GUARD "worker"
#define MF_PAUSED_BY_RESTORE "restore"

extern void mf_queue_pause(Oid schema, const char *account, const char *by, const char *reason);
/* Why nothing is sent for an account: "by PERSON since TIME: REASON", palloc'd; NULL if it is not paused. */
extern char *mf_queue_pause_reason(Oid schema, const char *account, bool *all_accounts);

/* Whether an account has an invoice to send or to look up, now or within the longest back-off. Own scope. */
extern bool mf_queue_any_due(Oid schema, const char *account);

/* How many accounts but one are paused because MyFatoorah refuses them, and one of them, palloc'd. Own scope. */
extern int64 mf_queue_count_reviews(Oid schema, const char *account);
extern int64 mf_queue_count_refused_accounts(Oid schema, const char *but, char **example);

/* Invoices of an account that are put off because of the same error, and one of them */
typedef struct MfPutOffError
{
	int64		count;
	int64		invoice;
	char	   *error;
} MfPutOffError;

/* Who keeps invoices of an account from being done that are due, by locks of theirs */
typedef struct MfLocker
{
	int			pid;
	Oid			role;
	int64		count;			/* invoices */
	int64		invoice;		/* one of them */
} MfLocker;

/* List of MfLocker; locks that several hold together are not seen. */
extern List *mf_queue_lockers(Oid schema, const char *account);

/* List of MfPutOffError, at most "limit". */
extern List *mf_queue_put_off_errors(Oid schema, const char *account, int limit);

extern bool mf_queue_resume(Oid schema, const char *account);

/* --- for the worker --- */

/* A server, and where its data are; see database_identity.c */
typedef struct MfIdentity
{
	const char *system_identifier;
	const char *data_directory;
	const char *marker;			/* the file that the last start of a worker has put there; empty before the first */
	const char *backup_label;	/* of the base backup that the server has started from last; empty if none */
	int			timeline;
	TimestampTz since;			/* rows made before it another server may have sent, too */
	int64		origin;			/* read only: of the entries that this database made */
} MfIdentity;

/* What is remembered */
typedef enum MfIdentityKnown
{
	MF_IDENTITY_NONE,			/* no database was served yet */
	MF_IDENTITY_OTHERS,			/* others only */
	MF_IDENTITY_OURS			/* this one, of this server */
} MfIdentityKnown;

/* What is remembered of this database and server, in *identity if it is ours. Own scope. */
extern MfIdentityKnown mf_queue_identity(Oid schema, const char *system_identifier, MfIdentity *identity);
extern void mf_queue_set_identity(Oid schema, const MfIdentity *identity);

/* Entries that this database has made before it was copied, or its server promoted, are its own still. Own scope. */
extern void mf_queue_replace_origin(Oid schema, int64 origin);

/* How many entries another database has made. Own scope. */
extern int64 mf_queue_count_foreign(Oid schema);

/* Makes them our own; what was to be sent is to be looked up first, as by mf_queue_verify_all(). Own scope. */
extern void mf_queue_take_over_entries(Oid schema);

/*
 * Every entry that was to be sent is to be looked up first, once another server
 * that sends it when it is due can be done with it. Own scope.
 */
extern void mf_queue_verify_all(Oid schema);

/* The first entry of an account */
typedef struct MfFirstEntry
{
	char	   *account;
	TimestampTz rank;
} MfFirstEntry;

/* List of MfFirstEntry, one for each account that has something on the agenda, in the current context. */
extern List *mf_queue_accounts(const MfSqlScope *scope);

/* Whether everything is paused because this may be a copy, and no person has decided yet: what it holds stays as it came. */
extern bool mf_queue_awaits_decision(const MfSqlScope *scope);

/* Names of those of the accounts that are paused, perhaps MF_ALL_ACCOUNTS among them, in the current context. */
extern List *mf_queue_paused_accounts(const MfSqlScope *scope, const char **accounts, int count);

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

extern void mf_queue_begin_attempts(const MfSqlScope *scope, const MfAttempt *attempts, int count);
extern void mf_queue_end_attempts(const MfSqlScope *scope, const MfAttemptEnd *ends, int count);

/*
 * The recorded ends of the latest attempts of those invoices, where there is
 * one.  List of MfAttemptEnd.
 */
extern List *mf_queue_recorded_ends(const MfSqlScope *scope, const int64 *invoices, int count);

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

/* What the attempts of a row under one reference tell */
typedef struct MfReference
{
	char	   *reference;
	bool		open;			/* one may have made an invoice, and no resend
								 * has given that up since */
	bool		unknown;		/* what became of one was never known */
	char	   *answered_id;	/* InvoiceId that an answer has held; NULL = none did */
	bool		sent;			/* one that may have made an invoice went to */
	int32		sent_to;		/* this mf_http_target_checksum(), the latest */
	int			latest;			/* number of the latest */
} MfReference;

/* All references under which attempts of a row were made, whatever the row says now; that of the latest first. */
extern List *mf_queue_references(const MfSqlScope *scope, int64 invoice);

/* Gives a row, which is locked, the number of its latest attempt. */
extern void mf_queue_set_attempts(const MfSqlScope *scope, int64 invoice, int attempts);

/*
 * The reference for sending a row again: that of its latest attempt, or else the
 * row's own, with a number that none of them has had.  The row's own may be a later
 * one without an attempt: another server's.
 */
extern char *mf_queue_fresh_reference(const List *references, const char *own);

/* Whether an attempt of that row was made under that reference. */
extern bool mf_queue_has_attempt(const MfSqlScope *scope, int64 invoice, const char *reference);

/*
 * Makes due at once what was put off for want of an account or a key: of an
 * account, or of all with NULL, and of what one role has inserted, or everybody
 * with InvalidOid.
 */
extern void mf_queue_retry_account(Oid schema, const char *account, Oid created_by);

/* Puts an entry off because what is to be done for it cannot be written; false if it cannot, either. */
extern bool mf_queue_put_off(const MfSqlScope *scope, int64 invoice, TimestampTz until, const char *error);

/* Makes due at once what mf_queue_put_off() has put off, but for some invoices, an int8[]. */
extern void mf_queue_retry_put_off(const MfSqlScope *scope, Datum left_out);

/*
 * Delete a batch of attempts or transitions older than the retention time of
 * invoices that are finished; how many.
 */
extern uint64 mf_queue_purge_attempts(const MfSqlScope *scope, TimestampTz before);
extern uint64 mf_queue_purge_transitions(const MfSqlScope *scope, TimestampTz before);

#endif							/* MF_QUEUE_H */
