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

/* Claims of inquiries for one account */
typedef struct MfInquiryClaim
{
	const MfSqlScope *scope;
	const MfClaim *claim;
	const MfInquiryAccount *entry;
	const MfAccount *account;
	MfThrottle *throttle;
	TimestampTz now;
	int			flight_count;	/* created so far */
} MfInquiryClaim;

/*
 * inquiry_flights.c
 */

/*
 * Builds the requests of claimed inquiries, a List of MfInquiryJob, and puts off those
 * that cannot be made now.  Returns how many inquiries were claimed, of either sort.
 */
extern int	mf_inquiry_create_flights(MfInquiryClaim *inquiries, List *jobs);

/*
 * The key of the first owner or, if it cannot be used, of the second: for questions that
 * any key of the account can ask.  What belongs to no invoice is asked for with PUBLIC's
 * first, because a role's own may be another merchant's.  *targets is as for mf_claim_target().
 */
extern const MfClaimTarget *mf_inquiry_any_target(const MfClaim *claim, const MfAccount *account, MfKeyOwner first,
												  MfKeyOwner second, List **targets);

/*
 * Allows that an inquiry, as it is planned here, asks for refunds where the flight went: its
 * answer has just confirmed that the InvoiceId belongs to the row, which answers about refunds
 * cannot, because they lack the reference.  The allowance is used up by the inquiry, and does
 * not hold if that was ordered once more meanwhile, or deleted and made anew: then the
 * invoice is asked about first.
 */
extern void mf_inquiry_allow_refunds(const MfInquiryNext *next, const MfFlight *flight);

/* What the answers of a round change */
typedef struct MfInquiryBatch
{
	TimestampTz now;
	MfFlight  **flights;
	int			flight_count;
	MfEventNext *event_answers; /* by flight; used for those that ask about an event */
	int64	   *locked_events;	/* by other transactions */
	int			locked_event_count;
	MfPaymentChange *changes;
	int			change_count;
	List	   *money;			/* of MfMoney */
	MfTryRow   *tries;
	int			try_count;
	MfInquiryNext *next;		/* of the inquiries about invoices */
	MfFlight  **next_flights;	/* by element of "next" */
	int			next_count;
	MfEventNext *events;
	int			event_count;
	MfFollowUp *twins;			/* rows that may have a second invoice */
	int			twin_count;
	int64	   *answered;		/* invoices with a usable answer */
	int			answered_count;
	List	   *refund_answers; /* of MfFlight: those about refunds */
	List	   *hold_answers;	/* likewise those about payments that are or were authorized */
} MfInquiryBatch;

/*
 * inquiry_answer.c
 */

/* Adds the answer of a flight about an invoice, whose row is locked, to the batch. */
extern void mf_inquiry_add_answer(const MfSqlScope *scope, MfInquiryBatch *batch, MfFlight *flight,
								  const MfPaymentRow *row);

/*
 * inquiry_plan.c
 */

/*
 * Plans the next inquiry about element "number" of "next", by what its answer has
 * changed.  "tried" are the invoices of which a try was stored or has changed.
 */
extern void mf_inquiry_plan(MfInquiryBatch *batch, int number, const int64 *tried, int tried_count);

/* When an inquiry without an answer is repeated */
extern TimestampTz mf_inquiry_retry_time(const MfInquiryBatch *batch, const MfFlight *flight);

/* When the next inquiry comes after an event, if so many answers since have brought no change */
extern TimestampTz mf_inquiry_quick_time(TimestampTz now, int unchanged_answers);

/*
 * Inquiries in a row without a usable answer, this one included.  One that did not
 * arrive is not counted.
 */
extern int	mf_inquiry_count_failures(const MfFlight *flight);

/* Until when the invoice can be paid, by the answer or else by the row; 0 = unknown */
extern TimestampTz mf_inquiry_expiry(const MfFlight *flight);

/*
 * inquiry_refunds.c
 */

/* Changes rows of refunds as the answers about refunds say, and adds rows for those of the portal. */
extern void mf_inquiry_settle_refunds(const MfSqlScope *scope, MfInquiryBatch *batch);

/* What a RefundStatus means, in any case of its letters; false if the word is not known, which says nothing. */
extern bool mf_inquiry_refund_status(const char *word, MfOperationStatus *status);

/*
 * inquiry_holds.c
 */

/* Changes rows of captures and releases as the answers about payments say. */
extern void mf_inquiry_settle_holds(const MfSqlScope *scope, MfInquiryBatch *batch);

/*
 * inquiry_refunds.c, also for inquiry_holds.c
 */

/* Counts a look-up that has not found what the row asked for, and says in "change" what follows. */
extern void mf_inquiry_not_found(MfOperationChange *change, const MfOperation *row, const MfFlight *flight,
								 TimestampTz now);

/* Writes the changes of rows that nobody has locked, and that are as they were read. */
extern void mf_inquiry_apply_operations(const MfSqlScope *scope, MfOperationChange *changes, int count);

/*
 * inquiry_money.c
 */

/* Adds a payment, fee or refund that an answer contains to the batch.  The texts are not copied. */
extern void mf_inquiry_add_money(MfInquiryBatch *batch, int64 invoice, MfMoneyKind kind, const char *source,
								 const char *amount, const char *currency, const char *payment_id);

/* Writes the money of a batch to the ledger, and its changes to the rows: one change for each line. */
extern void mf_inquiry_write_changes(const MfSqlScope *scope, MfInquiryBatch *batch);

/* Whether a decimal text is plausible as an amount: neither negative nor too long. */
extern bool mf_amount_is_plausible(const char *text);

/*
 * deposit_reading.c
 */

/*
 * Claims a deposit of the account that is due, and builds its request, or puts it off.
 * Returns 1, or 0 if none can be claimed now.
 */
extern int	mf_deposit_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, TimestampTz now);

/* Stores the answer, or what comes next.  False if the deposit is locked by somebody else. */
extern bool mf_deposit_record(const MfSqlScope *scope, MfFlight *flight, TimestampTz now);

#endif							/* MF_INQUIRY_INTERNAL_H */
