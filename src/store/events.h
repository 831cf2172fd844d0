/*
 * events.h
 *	  Events that come in: webhooks, callbacks, and what MyFatoorah's log has.
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

/* Locks events; those that somebody else has locked are put into "held", which has room for all; their number. */
extern uint64 mf_events_lock(const MfSqlScope *scope, const int64 *events, int count, int64 *held);

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

/* Deletes a batch of old events of finished invoices; how many. */
extern uint64 mf_events_purge(const MfSqlScope *scope, TimestampTz before);

/* Events about those invoices that had no answer yet */
#define UNANSWERED(event) event ".invoice = ANY ($1) AND " event ".answered_at IS NULL AND " event ".due IS NULL"

#endif							/* MF_EVENTS_H */
