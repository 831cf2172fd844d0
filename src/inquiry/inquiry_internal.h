/*
 * inquiry_internal.h
 *	  What the inquiry_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_internal.h
 */
#ifndef MF_INQUIRY_INTERNAL_H
#define MF_INQUIRY_INTERNAL_H

#include "inquiry/inquiry.h"
#include "store/events.h"
#include "store/ledger.h"
#include "store/payment.h"

/* What a batch of answers comes to */
typedef struct MfInquiryBatch
{
	TimestampTz now;
	MfFlight  **flights;
	int			flight_count;
	MfEventNext *about_events;	/* what the flights tell of events, if they do */
	int64	   *held_events;	/* those that somebody else has locked */
	int			held_count;
	MfPaymentChange *changes;
	int			change_count;
	List	   *money;			/* of MfMoney: what they tell of it */
	MfTryRow   *tries;
	int			try_count;
	MfInquiryNext *next;
	MfFlight  **next_flights;	/* of its elements */
	int			next_count;
	MfEventNext *events;
	int			event_count;
	MfFollowUp *twins;
	int			twin_count;
	int64	   *answered;
	int			answered_count;
} MfInquiryBatch;

/* Takes one answer about an invoice whose row is locked. */
extern void mf_inquiry_take_answer(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight, const MfPaymentRow *row);

/*
 * Plans the next question of one element of "next", by what its answer has changed;
 * "tried" are the invoices of which a try was stored or has changed.
 */
extern void mf_inquiry_plan(MfInquiryBatch *batch, int number, const int64 *tried, int tried_count);

/*
 * A question that was not answered is asked again once the account can be reached,
 * or, where others are answered, less and less.
 */
extern TimestampTz mf_inquiry_retry_time(const MfInquiryBatch *batch, const MfFlight *flight);

/* The next question after an event that has brought nothing new in so many tries. */
extern TimestampTz mf_inquiry_quick_time(TimestampTz now, int tries);

/* Questions in a row without a usable answer, this one included; what never arrived says nothing of the item. */
extern int	mf_inquiry_count_failures(const MfFlight *flight);

/* Until when the invoice can be paid, by the answer or else by the row; 0 = unknown. */
extern TimestampTz mf_inquiry_expiry(const MfFlight *flight);

/* Notes what an answer tells of money that has come, or with another kind, gone. */
extern void mf_inquiry_tell_money(MfInquiryBatch *batch, int64 invoice, MfMoneyKind kind, const char *source,
								  const char *amount, const char *currency, const char *payment_id);

/* Books it, and writes the changes of the batch, one for each line. */
extern void mf_inquiry_settle(const MfSqlScope *scope, MfInquiryBatch *batch);

/* Amounts are texts: whether one can be true, how two compare, their sum. */
extern bool mf_amount_is_sane(const char *text);
extern int	mf_amount_compare(const char *a, const char *b);
extern char *mf_amount_add(const char *a, const char *b);

/* Text in the server encoding; NULL stays NULL. */
extern const char *mf_inquiry_text(const char *utf8);

#endif							/* MF_INQUIRY_INTERNAL_H */
