/*
 * inquiries.h
 *	  SQL of the agenda of inquiries: claims, and what comes next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/inquiries.h
 */
#ifndef MF_INQUIRIES_H
#define MF_INQUIRIES_H

#include "account/account_key.h"
#include "database/sql.h"

/* After an event, answers without news up to this number are followed by another inquiry soon */
#define MF_QUICK_TRIES 5

/*
 * Seconds between inquiries about one invoice that only callbacks ask for.  A
 * customer who has just tried again waits longer than that.
 */
#define MF_CALLBACK_FLOOR_S 3

/* An invoice that can still be paid, or was not sent; by mf_invoice_unpaid_idx, which is in the order of MF_UNPAID_KEY */
#define MF_UNPAID(row) row ".payment_status IN ('unpaid', 'authorized')"
#define MF_UNPAID_KEY(row) row ".account COLLATE \"C\", " row ".id"

/* When this worker scans the agenda of inquiries next */
typedef struct MfInquiryAlarm
{
	bool		pending;		/* an inquiry may be due */
	bool		waiting;		/* a scan waits until a slot is free, or the round has ended */
	TimestampTz due;			/* when the next inquiry may be due; 0 = none is known */
} MfInquiryAlarm;

extern MfInquiryAlarm mf_inquiries;

/* Has the next round scan: the agenda of inquiries may have changed. */
extern void mf_inquiry_wake(void);

/* Position of a walk through these; zeroed at its start */
typedef struct MfUnpaidPosition
{
	NameData	account;
	int64		invoice;
} MfUnpaidPosition;

/* One that was sent, among these */
#define MF_OPEN(row) MF_UNPAID(row) " AND " row ".invoice_id IS NOT NULL AND " row ".status = 'sent'"

/*
 * An open invoice of an account, for its key: one that is asked about next, or else one of the newest or of the
 * oldest: the newest may all wait for a later time.  So many inquiries and unpaid rows are looked at: paid invoices may
 * have inquiries, too, and what was not sent is unpaid, so of millions none may be open.  Each inquiry with its row: a
 * plan that was made while the tables were small might read all unpaid rows for each.  The newest and oldest by an order
 * that only the index of unpaid rows has, lest all invoices are read for an account that has none.
 */
#define MF_LOOKED_AT_FOR_KEY "200"
#define MF_OPEN_OF_ACCOUNT(account) \
	"(SELECT i.created_by_id, i.own_key FROM (SELECT q.invoice FROM @mf_inquiry q " \
	"    WHERE q.account = " account " AND NOT q.urgent ORDER BY q.due LIMIT " MF_LOOKED_AT_FOR_KEY ") q " \
	"  CROSS JOIN LATERAL (SELECT * FROM @mf_invoice o WHERE o.id = q.invoice OFFSET 0) i " \
	"  WHERE i.account = " account " AND " MF_OPEN("i") " LIMIT 1) " \
	"UNION ALL " MF_OPEN_FROM(account, "DESC") "UNION ALL " MF_OPEN_FROM(account, "ASC") "LIMIT 1"
#define MF_OPEN_FROM(account, order) \
	"(SELECT i.created_by_id, i.own_key FROM (SELECT * FROM @mf_invoice o " \
	"    WHERE o.account COLLATE \"C\" BETWEEN " account " AND " account " AND " MF_UNPAID("o") " " \
	"    ORDER BY o.account COLLATE \"C\" " order ", o.id " order " LIMIT " MF_LOOKED_AT_FOR_KEY ") i " \
	"  WHERE " MF_OPEN("i") " LIMIT 1) "

/* An open invoice without an inquiry, as after sending without polling */
#define MF_UNASKED(row) \
	MF_OPEN(row) " AND NOT EXISTS (SELECT FROM @mf_inquiry q WHERE q.invoice = " row ".id)"

/* An account, and when its first inquiries of each kind are due; 0 = there is none */
typedef struct MfInquiryAccount
{
	char	   *name;
	Oid			owner;
	bool		paused;
	TimestampTz urgent_due;		/* inquiries that signed events ask for */
	TimestampTz poll_due;
	TimestampTz event_due;		/* about events of unknown invoices */
	TimestampTz callback_due;	/* inquiries and events that only callbacks ask for */
	TimestampTz order_due;		/* inquiries that roles have ordered */
	TimestampTz deposit_due;	/* deposits to be read */
} MfInquiryAccount;

/* List of MfInquiryAccount: all accounts of this database, in the order of owners and names. */
extern List *mf_inquiries_accounts(const MfSqlScope *scope);

/* A claimed inquiry about an invoice, or about an event, with what the row of the invoice says */
typedef struct MfInquiryJob
{
	int64		invoice;		/* 0 = the inquiry is about an event */
	int64		event;			/* 0 = it is about an invoice */
	char	   *account;
	MfKeyOwner	owner;
	char	   *key;			/* InvoiceId or PaymentId; NULL = the invoice is not sent (yet) */
	bool		gone;			/* there will never be an invoice to ask about */
	bool		urgent;
	bool		by_callback;	/* only callbacks ask for it */
	Oid			ordered_by;		/* only this role asks for it; InvalidOid = no role has ordered it */
	bool		refunds;		/* refunds are to be asked for, too */
	bool		paid;			/* by the row */
	bool		by_invoice;		/* of an event: the key is an InvoiceId */
	bool		recurring;		/* likewise: it is about a recurring payment */
	int			times_requested;	/* how often it was asked for */
	int			unchanged_answers;
	int			answers;
	int			failures;		/* inquiries in a row without a usable answer */
	TimestampTz expires_at;		/* by the row; 0 = not known */
	TimestampTz due;			/* it was claimed because it was due then */
} MfInquiryJob;

/* Who asks for an inquiry */
typedef enum MfAsker
{
	MF_ASKED_BY_PROOF,			/* a signed webhook, or MyFatoorah's log of webhooks */
	MF_ASKED_BY_CALLBACK,		/* anybody who calls the callback address, or has a PaymentId */
	MF_ASKED_BY_POLLER
} MfAsker;

/* Claims due inquiries about invoices of an account, at most "limit".  List of MfInquiryJob. */
extern List *mf_inquiries_claim(const MfSqlScope *scope, const char *account, MfAsker asker, int limit,
								TimestampTz now);

/*
 * Likewise claims inquiries that roles have ordered, those within their budgets or
 * those beyond ("too_often").  Roles take turns, beginning with the one after "last".
 */
extern List *mf_inquiries_claim_orders(const MfSqlScope *scope, const char *account, bool too_often, Oid last,
									   int limit, TimestampTz now);

/* Likewise claims inquiries about events.  MF_ASKED_BY_POLLER is not valid. */
extern List *mf_inquiries_claim_events(const MfSqlScope *scope, const char *account, MfAsker asker, int limit,
									   TimestampTz now);

/* What comes next for an inquiry */
typedef struct MfInquiryNext
{
	int64		invoice;
	int			times_requested;	/* as claimed: if the row has more, the inquiry is repeated */
	bool		done;			/* the payment cannot change any more */
	TimestampTz due;
	bool		urgent;
	bool		by_callback;
	bool		refunds;
	int			unchanged_answers;
	int			answers;
	int			failures;
	const char *error;			/* why it is put off, for mf_inquiry; NULL = it is not */
	bool		wait;			/* nothing was tried: the error in the row stays */
} MfInquiryNext;

/* Sets what comes next for inquiries, except those that a session has locked: their leases go on. */
extern void mf_inquiries_reschedule(const MfSqlScope *scope, const MfInquiryNext *next, int count);

#endif							/* MF_INQUIRIES_H */
