/*
 * payment.h
 *	  All SQL of payment status: events, inquiries, tries, results.
 *
 * Every function runs inside the caller's transaction; none commits.
 *
 * Rows are locked in one order, so that nobody waits in a circle: mf_invoice,
 * mf_event, mf_inquiry, and within a table by key.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/payment.h
 */
#ifndef MF_PAYMENT_SQL_H
#define MF_PAYMENT_SQL_H

#include "account/account.h"
#include "core/api/payment_status.h"
#include "database/sql.h"
#include "store/invoice.h"

#define MF_EVENT_DIGEST_SIZE 32

/* Answers without a change, after an event, that are followed by another question soon */
#define MF_QUICK_TRIES 5

/*
 * Seconds between questions about one invoice that only callbacks ask for; fewer
 * than a customer waits, who may just have tried again.
 */
#define MF_CALLBACK_FLOOR_S 3

/* An event that came in; text is in the server encoding */
typedef struct MfEvent
{
	const char *account;
	const char *door;			/* "webhook", "callback" or "log" */
	int			version;		/* 0 = none */
	int			event_code;		/* 0 = none */
	const char *event_name;
	const char *event_status;
	const char *event_reference;
	const char *invoice_id;		/* digits */
	const char *payment_id;
	const char *customer_reference;
	int64		invoice;		/* mf_invoice.id, 0 = to be found out */
	uint8		digest[MF_EVENT_DIGEST_SIZE];
	const char *data;			/* JSON that jsonb takes */
	bool		resolve;		/* unless it matches a row, MyFatoorah is
								 * asked whose PaymentId it is, */
	TimestampTz turn;			/* not before, and then once only; 0 = at once */

	/* what became of it */
	int64		id;
	bool		repeated;
} MfEvent;

/*
 * Stores events, each once, matches them with invoices, and makes an inquiry
 * of each that is news.  Sets id, invoice and repeated.
 */
extern void mf_events_store(const MfSqlScope *scope, MfEvent *events, int count);

/* An invoice that was just sent */
typedef struct MfSentInvoice
{
	int64		invoice;
	const char *account;		/* NULL if the caller does not have it at hand */
	int64		invoice_id;		/* InvoiceId; only with an account */
} MfSentInvoice;

/*
 * Invoices that were just sent, sorted here: when their payment is asked for
 * first.  True if for one of them somebody wants to know at once.
 */
extern bool mf_inquiries_open(const MfSqlScope *scope, MfSentInvoice *sent, int count, TimestampTz due);

/* The same when polling begins, in the worker or a session; the worker has it on its agenda. */
extern void mf_inquiries_open_sent(const MfSqlScope *scope, MfSentInvoice *sent, int count);

/* An account with something to ask, and since when */
typedef struct MfInquiryAccount
{
	char	   *name;
	Oid			owner;
	bool		paused;
	TimestampTz urgent_due;		/* 0 = nothing */
	TimestampTz poll_due;
	TimestampTz event_due;
	TimestampTz callback_due;	/* what only callbacks ask for, of both kinds */
	TimestampTz order_due;		/* what roles have ordered */
} MfInquiryAccount;

/* List of MfInquiryAccount: all accounts of this database. */
extern List *mf_inquiries_accounts(const MfSqlScope *scope);

/* One invoice to be asked about, with its row as it was when claimed */
typedef struct MfInquiryJob
{
	int64		invoice;		/* 0 = an event's PaymentId */
	int64		event;			/* the event, then */
	char	   *account;
	MfKeyOwner	owner;
	char	   *key;			/* InvoiceId, or PaymentId; NULL = not sent (yet) */
	bool		gone;			/* no invoice to ask about, now or ever */
	bool		urgent;
	bool		by_callback;	/* only callbacks ask for it */
	Oid			ordered_by;		/* only that role does */
	bool		refunds;		/* the refunds are to be asked for, too */
	bool		paid;			/* as far as the row knows */
	bool		by_invoice;		/* the key of an event is its InvoiceId */
	int			requests;
	int			tries;
	int			step;
	int			failures;		/* questions in a row without a usable answer */
	TimestampTz expires_at;		/* by the row; 0 = unknown */
} MfInquiryJob;

/*
 * Puts an entry, or the question about an event, off because an answer cannot
 * be written; false if that cannot be, either.
 */
extern bool mf_inquiries_put_off(const MfSqlScope *scope, int64 invoice, int64 event, TimestampTz until, const char *error);

/* Makes due at once what was put off so, or had no usable answer, but for some invoices, an int8[]. */
extern void mf_inquiries_retry_put_off(const MfSqlScope *scope, Datum left_out);

/* Who asks about an invoice */
typedef enum MfAsker
{
	MF_ASKED_BY_PROOF,			/* a signed webhook, MyFatoorah's log */
	MF_ASKED_BY_CALLBACK,		/* whoever has its address, or a PaymentId */
	MF_ASKED_BY_POLLER
} MfAsker;

/*
 * Locks what is due for an account, at most "limit".  List of MfInquiryJob.
 */
extern List *mf_inquiries_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now);
/* Of what roles have ordered, within their budgets or beyond: one of each role in turn, those after "last" first. */
extern List *mf_inquiries_claim_orders(const MfSqlScope *scope, const char *account, bool too_often, Oid last, int limit,
									   TimestampTz now);
extern List *mf_events_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now);

/* What comes next for an inquiry */
typedef struct MfInquiryNext
{
	int64		invoice;
	int			requests;		/* as claimed: whoever asked since is asked for
								 * again at once */
	bool		done;			/* nothing can change any more */
	TimestampTz due;
	bool		urgent;
	bool		by_callback;
	bool		refunds;
	int			tries;
	int			step;
	int			failures;
	const char *error;			/* why it is put off, for mf_inquiry */
	bool		wait;			/* nothing was recorded: the error stays as it
								 * was */
} MfInquiryNext;

extern void mf_inquiries_reschedule(const MfSqlScope *scope, const MfInquiryNext *next, int count);

/* Likewise for an event's PaymentId or InvoiceId; "due" 0 = not asked again */
typedef struct MfEventNext
{
	int64		event;
	const char *invoice_id;		/* of the answer; NULL = none */
	const char *reference;		/* likewise */
	int64		twin;			/* the row that has another invoice under this
								 * reference; 0 = none */
	TimestampTz due;
	int			tries;
	int			failures;
} MfEventNext;

/* Sets "twin" of those. */
extern void mf_events_find_twins(const MfSqlScope *scope, MfEventNext *answers, int count);

/* Also makes an inquiry of what matches an invoice now. */
extern void mf_events_resolve(const MfSqlScope *scope, const MfEventNext *next, int count);

/* A row as the reader of answers needs it, locked */
typedef struct MfPaymentRow
{
	int64		invoice;
	char	   *invoice_id;
	char	   *reference;		/* the latest; earlier ones have lower numbers */
	char	   *customer_reference; /* NULL = none */
	MfPaymentStatus status;
	int			attempts;
	char	   *base_value;		/* as last read; NULL = never */
	char	   *invoice_value;
	char	   *currency;		/* of invoice_value; NULL = not known */
	char	   *received_value;
	char	   *refunded_value;
	char	   *payment_error;	/* NULL = none */
} MfPaymentRow;

/* Those that nobody else has locked. List of MfPaymentRow. */
extern List *mf_payment_lock(const MfSqlScope *scope, const int64 *invoices, int count);

/* Locks events; those that somebody else has locked are put into "held", which has room for all; their number. */
extern uint64 mf_events_lock(const MfSqlScope *scope, const int64 *events, int count, int64 *held);

/* So old may be what is asked about once more where a copy takes over */
#define MF_ASK_AGAIN_DAYS 30

/* An invoice that can still be paid, by mf_invoice_open_idx; no other index has the order of sent_at */
#define MF_OPEN(row) \
	row ".invoice_id IS NOT NULL AND " row ".payment_status IN ('unpaid', 'authorized') AND " row ".status = 'sent'"

/* One about which nothing is to be asked, as all are that were sent without polling */
#define MF_UNASKED(row) \
	MF_OPEN(row) " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = " row ".id)"

/* What an answer makes of a row; NULL and 0 leave a column as it is */
typedef struct MfPaymentChange
{
	int64		invoice;
	MfPaymentStatus from;
	MfPaymentStatus to;
	int			attempt;
	const char *invoice_status;
	const char *payment_id;
	const char *base_currency;
	const char *base_value;
	const char *display_currency;
	const char *display_value;
	const char *pay_currency;
	const char *pay_value;
	TimestampTz paid_at;
	TimestampTz expires_at;
	bool		overpaid;
	bool		paid_late;
	const char *error;			/* for payment_error; NULL clears it */
	const char *reason;			/* for the history, if the state changes */

	/* sums; they are the row's until something was booked */
	const char *received_value;
	const char *refunded_value;
	const char *base_value_before;
	bool		has_dispute;	/* disputed_at is told: 0 = there is none any
								 * more */
	TimestampTz disputed_at;
	bool		read;			/* the answer is one about the invoice */
	const char *contradiction;	/* how the invoice that was paid differs from
								 * the row; NULL = it does not */
	const char *doubt;			/* for payment_doubt */
	bool		step;			/* the history has it even if the state stays */
	bool		money;			/* so it changes the row */

	bool		changed;		/* out: the row is not what it was */
} MfPaymentChange;

/* Each invoice once */
extern void mf_payment_apply(const MfSqlScope *scope, MfPaymentChange *changes, int count);

/* Kinds of lines of the books, as in mf_money */
typedef enum MfMoneyKind
{
	MF_MONEY_PAYMENT,
	MF_MONEY_REFUND,
	MF_MONEY_CHARGEBACK,
	MF_MONEY_FEE
} MfMoneyKind;

/* What an answer tells of money: how much came or went under one number */
typedef struct MfMoney
{
	int64		invoice;
	MfMoneyKind kind;
	const char *source;			/* PaymentId, RefundId, DisputeTransactionId */
	const char *amount;			/* all of it; negative if it went */
	const char *currency;
	const char *payment_id;		/* NULL = not told */

	const char *news;			/* out: the line that was booked; NULL = it was
								 * known */
} MfMoney;

/* Books what is new of it.  The rows of the invoices are locked. */
extern void mf_payment_book(const MfSqlScope *scope, MfMoney *const *told, int count);

/* A dispute that is new, or has another state */
typedef struct MfDispute
{
	int64		invoice;
	const char *dispute_id;
	const char *payment_id;		/* NULL = not told */
	const char *type;			/* likewise */
	const char *status;
	const char *lost;			/* what went by it, negative; NULL = nothing */
	const char *currency;		/* of the payment; NULL = it is not booked */
	TimestampTz disputed_at;	/* of the invoice; 0 = no dispute is open or lost */
} MfDispute;

/* Takes what events have told of disputes of these invoices, which are locked.  List of MfDispute. */
extern List *mf_payment_disputes(const MfSqlScope *scope, const int64 *invoices, int count);

/* A try of an invoice, values in the server encoding */
typedef struct MfTryRow
{
	int64		invoice;
	const char *values[MF_TX_COUNT];
	TimestampTz transaction_date;	/* 0 = none */
} MfTryRow;

/* New and changed ones; the ids of their invoices in "changed", which has room for all. How many. */
extern int	mf_payment_store_tries(const MfSqlScope *scope, const MfTryRow *tries, int count, int64 *changed);

/* The events about these invoices have had their answer. */
extern void mf_events_set_answered(const MfSqlScope *scope, const int64 *invoices, int count);

/* Where the log of deliveries is to be read from, for an account with open payments */
typedef struct MfLogStart
{
	TimestampTz since;
	MfKeyOwner	owner;			/* whose key reads it */
} MfLogStart;

/* NULL if no payment is open. */
extern MfLogStart *mf_events_log_start(const MfSqlScope *scope, const char *account);

/* What a customer's callback needs of a row */
typedef struct MfCallbackRow
{
	int64		invoice;
	char	   *account;
	char	   *token;			/* the random end of its reference */
	char	   *payment_status;
	bool		settled;		/* nobody waits for an answer about it */
	bool		arabic;
	char	   *call_back_url;	/* the row's own, NULL = none */
	char	   *error_url;
} MfCallbackRow;

/* List of MfCallbackRow. */
extern List *mf_payment_callback_rows(const MfSqlScope *scope, const int64 *invoices, int count);

/* --- own scope --- */

/* A person ends the doubt about a payment, with a line in the history; false if there is none. */
extern bool mf_payment_dismiss_doubt(Oid schema, int64 invoice, const char *actor, const char *reason);

/*
 * A role wants to know about invoices, within its budget or, of those that were
 * asked about too often, within that of all roles.  They come in the order of
 * their ids, each once.  Of those that were never sent nothing is asked.
 */
extern void mf_inquiries_order(Oid schema, Oid role, const int64 *invoices, const bool *too_often, int count);

/* What somebody who waits for an invoice sees of it, as the current role */
typedef struct MfWaitedInvoice
{
	char		status[32];
	char		payment_status[32];
	TransactionId xmin;
} MfWaitedInvoice;

/* False if there is none, or none that the role may see. */
extern bool mf_payment_read_waited(Oid schema, int64 invoice, MfWaitedInvoice *row);

/* Whether an answer, with that InvoiceId and CustomerReference or NULL, is about a row that the current role does not see. */
extern bool mf_payment_answer_is_hidden(Oid schema, const char *account, const char *invoice_id, const char *reference);

/*
 * How many questions of an account get no usable answer, be it about invoices or
 * events; one of them, and what its row says.
 */
extern int64 mf_inquiries_unanswered(Oid schema, const char *account, char **example, char **error);

/* Rows of a dump whose payment was awaited; "new_rows" is registered. */
extern void mf_inquiries_open_restored(const MfSqlScope *scope, TimestampTz due);

/*
 * This was a copy, and goes on in its original's place: what came in between is
 * not known, so settled invoices of the last time are asked about once more.
 */
extern void mf_inquiries_open_settled(const MfSqlScope *scope);

/* Where a walk along the open invoices has come to */
typedef struct MfOpenPosition
{
	NameData	account;
	TimestampTz sent_at;
} MfOpenPosition;

/* Plans questions about a batch of open invoices that have none, and moves the place forward; how many. */
extern uint64 mf_inquiries_open_batch(const MfSqlScope *scope, MfOpenPosition *place);

/* Deletes a batch of old events of finished invoices; how many. */
extern uint64 mf_events_purge(const MfSqlScope *scope, TimestampTz before);

#endif							/* MF_PAYMENT_SQL_H */
