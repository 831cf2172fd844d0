/*
 * inquiries.h
 *	  The agenda of inquiries: questions about payments.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries.h
 */
#ifndef MF_INQUIRIES_H
#define MF_INQUIRIES_H

#include "account/account_key.h"
#include "database/sql.h"

/* Answers without a change, after an event, that are followed by another question soon */
#define MF_QUICK_TRIES 5

/*
 * Seconds between questions about one invoice that only callbacks ask for; fewer
 * than a customer waits, who may just have tried again.
 */
#define MF_CALLBACK_FLOOR_S 3

/* An invoice that can still be paid, by mf_invoice_open_idx; no other index has the order of sent_at */
#define MF_OPEN(row) \
	row ".invoice_id IS NOT NULL AND " row ".payment_status IN ('unpaid', 'authorized') AND " row ".status = 'sent'"

/* One about which nothing is to be asked, as all are that were sent without polling */
#define MF_UNASKED(row) \
	MF_OPEN(row) " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = " row ".id)"

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
extern List *mf_inquiries_claim_events(const MfSqlScope *scope, const char *account, MfAsker asker, int limit, TimestampTz now);

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

/*
 * Puts an entry, or the question about an event, off because an answer cannot
 * be written; false if that cannot be, either.
 */
extern bool mf_inquiries_put_off(const MfSqlScope *scope, int64 invoice, int64 event, TimestampTz until, const char *error);

/* Makes due at once what was put off so, or had no usable answer, but for some invoices, an int8[]. */
extern void mf_inquiries_retry_put_off(const MfSqlScope *scope, Datum left_out);

#endif							/* MF_INQUIRIES_H */
