/*
 * events.h
 *	  SQL of events that come in: webhooks, callbacks, MyFatoorah's log of webhooks.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/events.h
 */
#ifndef MF_EVENTS_H
#define MF_EVENTS_H

#include "account/account_key.h"
#include "database/sql.h"

#define MF_EVENT_DIGEST_SIZE 32

/* An event that came in; text is in the server encoding */
typedef struct MfEvent
{
	const char *account;
	const char *source;			/* mf_event.source: "webhook", "callback" or "log" */
	int			version;		/* 0 = none */
	int			event_code;		/* 0 = none */
	const char *event_name;
	const char *event_status;
	const char *event_reference;
	const char *invoice_id;		/* digits */
	const char *payment_id;
	const char *customer_reference;
	int64		invoice;		/* mf_invoice.id; 0 = to be found by the numbers above */
	uint8		digest[MF_EVENT_DIGEST_SIZE];
	const char *data;			/* JSON that is valid as jsonb */
	bool		resolve;		/* inquire about its PaymentId if it matches no row, */
	TimestampTz turn;			/* once, at this time; 0 = at once, and repeatedly */

	/* set by mf_events_store() */
	int64		id;
	bool		repeated;		/* it was stored before */
} MfEvent;

/*
 * Stores events, each once, matches them with invoices, and opens an inquiry for
 * each event that is news, or asks for the deposit that it announces.
 */
extern void mf_events_store(const MfSqlScope *scope, MfEvent *events, int count);

/* What comes next for the inquiry about an event */
typedef struct MfEventNext
{
	int64		event;
	const char *invoice_id;		/* of the answer; NULL = there was none */
	const char *reference;		/* likewise */
	int64		row;			/* the sent row that has this reference; 0 = none */
	int64		twin;			/* the same row if it has another invoice; 0 = it has not */
	TimestampTz due;			/* 0 = the inquiry is over */
	int			lookups;
	int			failures;
} MfEventNext;

/* Sets "row" and "twin" of each. */
extern void mf_events_find_twins(const MfSqlScope *scope, MfEventNext *answers, int count);

/* Records what comes next for events, and opens inquiries about the invoices that were found. */
extern void mf_events_resolve(const MfSqlScope *scope, const MfEventNext *next, int count);

/* Locks events.  Puts those that others have locked into "held", which has room for all; returns their number. */
extern uint64 mf_events_lock(const MfSqlScope *scope, const int64 *events, int count, int64 *held);

/* An InvoiceId that a webhook has told of a row */
typedef struct MfToldInvoice
{
	int64		invoice;		/* the row */
	char	   *invoice_id;
} MfToldInvoice;

/*
 * Locks the agenda entries of rows, and finds what webhooks have told of these.  One that comes in
 * afterwards changes the entry that it finds then.  List of MfToldInvoice, in the current context.
 */
extern List *mf_events_told(const MfSqlScope *scope, const int64 *invoices, int count);

/* Records that the events about these invoices have had an answer. */
extern void mf_events_set_answered(const MfSqlScope *scope, const int64 *invoices, int count);

/* With whose key MyFatoorah's log of webhooks is read, if not with PUBLIC's */
extern MfKeyOwner mf_events_log_owner(const MfSqlScope *scope, const char *account);

/* Takes those that are stored already out of the events of one account; returns how many stay. */
extern int	mf_events_drop_known(const MfSqlScope *scope, const char *account, MfEvent *events, int count);

/* Deletes a batch of events from before that time that no inquiry needs; returns their number. */
extern uint64 mf_events_purge(const MfSqlScope *scope, TimestampTz before);

/*
 * The InvoiceId of the repetition that an event of a recurring payment names; in V2 it is not
 * signed, and the event's own is that of the first invoice
 */
#define MF_REPETITION_OF(event) "coalesce(" event ".data->'Payment'->'Invoice'->>'Id', " event ".invoice_id::text)"

/*
 * What we use of the data of an event, of both versions; the rest may name people, or is
 * free text, and goes with the personal data of the invoice
 */
#define MF_EVENT_KEPT(data, code) \
	"CASE WHEN " data " IS NOT NULL THEN jsonb_strip_nulls(CASE " code " " \
	"  WHEN 5 THEN jsonb_build_object('Recurring', jsonb_build_object('Id', " data "#>'{Recurring,Id}'), 'RecurringId', " data "->'RecurringId', " \
	"    'Payment', jsonb_build_object('Invoice', jsonb_build_object('Id', " data "#>'{Payment,Invoice,Id}'))) " \
	"  WHEN 6 THEN jsonb_build_object('Transaction', jsonb_build_object('PaymentId', " data "#>'{Transaction,PaymentId}'), " \
	"    'Dispute', jsonb_build_object('DisputeTransactionId', " data "#>'{Dispute,DisputeTransactionId}', 'Status', " data "#>'{Dispute,Status}', " \
	"      'Type', " data "#>'{Dispute,Type}', 'ChargeBackType', " data "#>'{Dispute,ChargeBackType}'), " \
	"    'DisputeTransactionId', " data "->'DisputeTransactionId', 'DisputeStatus', " data "->'DisputeStatus', 'DisputeType', " data "->'DisputeType', " \
	"    'DisputeChargeBackType', " data "->'DisputeChargeBackType', 'TransactionPaymentId', " data "->'TransactionPaymentId') " \
	"  ELSE '{}' END) END"
/* Whether the recurring payment that a row has begun goes on */
#define MF_PLAN_GOES_ON(row) "EXISTS (SELECT FROM @mf_event e WHERE e.invoice = " row ".id AND e.source = 'plan' AND e.due IS NOT NULL)"

#define MF_IS_ERASED(id) "EXISTS (SELECT FROM @mf_invoice w WHERE w.id = " id " AND w.erased_at IS NOT NULL)"

/*
 * Whether an event of an account may be about the invoice "i": of that account, or of another one with
 * the same secret, at the same address.  A merchant with two accounts has one address for webhooks in the portal.
 * No index serves it: PostgreSQL 17 would take one whose second column the account is, and read all of
 * it, in a plan made on small tables.
 */
#define MF_EVENT_OF_ACCOUNT(account) \
	"(i.account || '' = " account " OR (@mf_shares_numbers(i.account, i.taken_over_from, " account ") " \
	"  AND @mf_shares_webhooks(i.account, " account ")))"

/* The number that MyFatoorah gives a webhook, null if it has none; later webhooks have higher ones */
#define MF_EVENT_NUMBER(event) "substring(" event ".event_reference FROM '^WH-([0-9]{1,18})$')::int8"

/* Events about those invoices that had no answer yet */
#define UNANSWERED(event) event ".invoice = ANY ($1) AND " event ".answered_at IS NULL AND " event ".due IS NULL"

#endif							/* MF_EVENTS_H */
