/*
 * inquiry_money.c
 *	  Writes the money that answers contain to the ledger, and updates the rows once
 *	  for each line of it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_money.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "inquiry/inquiry_internal.h"

/* An amount with more digits before the point, or a longer text, is implausible. */
#define AMOUNT_DIGITS 15
#define AMOUNT_MAX_LENGTH 60

/* One update of a row: for a line of the ledger, a dispute, or both */
typedef struct Step
{
	int64		invoice;
	const MfMoney *line;		/* NULL = none */
	const MfDispute *dispute;	/* NULL = none */
} Step;

static void doubt_holders(const MfSqlScope *scope, const List *lines);
static void doubt_disputes(const MfSqlScope *scope, const List *steps);
static const char *both_ends(const MfDispute *dispute, bool lost);
static List *store_money(const MfSqlScope *scope, const MfInquiryBatch *batch);
static List *store_disputes(const MfSqlScope *scope, const MfInquiryBatch *batch, List *steps);
static void apply_round(const MfSqlScope *scope, MfInquiryBatch *batch, const List *steps, int round,
						MfPaymentStatus *states, MfPaymentChange *changes, int *numbers);
static const Step *find_step(const List *steps, int64 invoice, int round);
static void apply_step(MfPaymentChange *change, const Step *step);
static MfPaymentStatus paid_status(const MfPaymentChange *change);
static const char *step_reason(const MfPaymentChange *change, const Step *step);

bool
mf_amount_is_plausible(const char *text)
{
	return strlen(text) <= AMOUNT_MAX_LENGTH && strspn(text, "0123456789") > 0 &&
		strspn(text, "0123456789") <= AMOUNT_DIGITS && strspn(text, "0123456789.") == strlen(text);
}

void
mf_inquiry_add_money(MfInquiryBatch *batch, int64 invoice, MfMoneyKind kind, const char *source, const char *amount,
					 const char *currency, const char *payment_id)
{
	MfMoney    *money = (MfMoney *) palloc0(sizeof(MfMoney));

	money->invoice = invoice;
	money->kind = kind;
	money->source = source;
	money->amount = kind == MF_MONEY_PAYMENT ? amount : psprintf("-%s", amount);
	money->currency = currency;
	money->payment_id = payment_id;
	batch->money = lappend(batch->money, money);
}

void
mf_inquiry_write_changes(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	MfPaymentStatus *states = (MfPaymentStatus *) palloc(batch->change_count * sizeof(MfPaymentStatus));
	MfPaymentChange *changes = (MfPaymentChange *) palloc(batch->change_count * sizeof(MfPaymentChange));
	int		   *numbers = (int *) palloc(batch->change_count * sizeof(int));
	List	   *steps = store_disputes(scope, batch, store_money(scope, batch));
	int			rounds = 1;
	int			i;

	for (i = 0; i < batch->change_count; i++)
		states[i] = batch->changes[i].from;
	for (i = 0; i < rounds; i++)
	{
		int			j;

		apply_round(scope, batch, steps, i, states, changes, numbers);
		for (j = 0; j < batch->change_count && rounds == i + 1; j++)
		{
			if (find_step(steps, batch->changes[j].invoice, i + 1) != NULL)
				rounds++;
		}
	}
	for (i = 0; i < batch->change_count; i++)
		batch->changes[i].to = states[i];
	doubt_holders(scope, batch->money);
	doubt_disputes(scope, steps);
}

/* Has a person look at disputes that were reported to end in both ways, or have no payment that they take, until that is settled. */
static void
doubt_disputes(const MfSqlScope *scope, const List *steps)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		const MfDispute *dispute = ((const Step *) lfirst(lc))->dispute;
		const char *unbooked;
		bool		lost;

		if (dispute == NULL)
			continue;
		lost = strcmp(dispute->status, "LOST") == 0;
		unbooked = psprintf("dispute %s is LOST, and no chargeback is booked: ", dispute->dispute_id);
		if (lost && dispute->type != NULL && strcmp(dispute->type, "CHARGEBACK") == 0 &&
			dispute->currency == NULL)
			mf_payment_doubt(scope, dispute->invoice, psprintf("%sthe invoice has no payment with PaymentId \"%s\"", unbooked,
															   dispute->payment_id ? dispute->payment_id : ""), false);
		else
			mf_payment_end_doubt(scope, dispute->invoice, unbooked);
		mf_payment_end_doubt(scope, dispute->invoice, both_ends(dispute, !lost));
		if (dispute->again)
			mf_payment_doubt(scope, dispute->invoice, both_ends(dispute, lost), false);
	}
}

/* The doubt about a dispute that has ended one way, as we have it, and was reported to end the other way, too */
static const char *
both_ends(const MfDispute *dispute, bool lost)
{
	return psprintf("dispute %s is %s, and was reported as %s, too: the MyFatoorah portal shows how it ended",
					dispute->dispute_id, lost ? "LOST" : "RESOLVED", lost ? "RESOLVED" : "LOST");
}

/* Has a person look at an invoice with a payment or refund whose number another one has in the books, too. */
static void
doubt_holders(const MfSqlScope *scope, const List *lines)
{
	ListCell   *lc;

	foreach(lc, lines)
	{
		const MfMoney *line = (const MfMoney *) lfirst(lc);

		if (line->holder != 0 && line->kind != MF_MONEY_FEE)
			mf_payment_doubt(scope, line->invoice, psprintf("%s %s is in the books of invoice %lld, too",
															line->kind == MF_MONEY_REFUND ? "RefundId" : "PaymentId",
															line->source, (long long) line->holder), false);
	}
}

/* Writes the money of a batch to the ledger.  Returns a List of Step: the payments and refunds that are new. */
static List *
store_money(const MfSqlScope *scope, const MfInquiryBatch *batch)
{
	MfMoney   **lines = (MfMoney **) palloc((list_length(batch->money) + 1) * sizeof(MfMoney *));
	List	   *steps = NIL;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, batch->money)
		lines[count++] = (MfMoney *) lfirst(lc);
	mf_ledger_book(scope, lines, count);
	foreach(lc, batch->money)
	{
		const MfMoney *money = (const MfMoney *) lfirst(lc);
		Step	   *step;

		/* a fee is no step: it comes with a payment, and does not change what was received */
		if (money->booked == NULL || money->kind == MF_MONEY_FEE)
			continue;
		step = (Step *) palloc0(sizeof(Step));
		step->invoice = money->invoice;
		step->line = money;
		steps = lappend(steps, step);
	}
	return steps;
}

/*
 * Writes chargebacks of the invoices that were read, and appends a step for each
 * dispute with news.
 */
static List *
store_disputes(const MfSqlScope *scope, const MfInquiryBatch *batch, List *steps)
{
	int64	   *invoices = (int64 *) palloc((batch->change_count + 1) * sizeof(int64));
	MfMoney   **chargebacks;
	List	   *disputes;
	ListCell   *lc;
	int			count = 0;
	int			i;

	for (i = 0; i < batch->change_count; i++)
	{
		if (batch->changes[i].read)
			invoices[count++] = batch->changes[i].invoice;
	}
	if (count == 0)
		return steps;
	disputes = mf_ledger_store_disputes(scope, invoices, count);
	if (disputes == NIL)
		return steps;

	chargebacks = (MfMoney **) palloc(list_length(disputes) * sizeof(MfMoney *));
	count = 0;
	foreach(lc, disputes)
	{
		const MfDispute *dispute = (const MfDispute *) lfirst(lc);
		Step	   *step = (Step *) palloc0(sizeof(Step));

		step->invoice = dispute->invoice;
		step->dispute = dispute;
		steps = lappend(steps, step);
		if (dispute->currency != NULL)
		{
			MfMoney    *money = (MfMoney *) palloc0(sizeof(MfMoney));

			/* 0 takes the chargeback of a dispute back that is not lost after all */
			money->invoice = dispute->invoice;
			money->kind = MF_MONEY_CHARGEBACK;
			money->source = dispute->dispute_id;
			money->amount = dispute->lost ? dispute->lost : "0";
			money->currency = dispute->currency;
			money->payment_id = dispute->payment_id;
			step->line = chargebacks[count++] = money;
		}
	}
	mf_ledger_book(scope, chargebacks, count);
	foreach(lc, steps)
	{
		Step	   *step = (Step *) lfirst(lc);

		if (step->line != NULL && step->line->booked == NULL)
			step->line = NULL;
	}
	return steps;
}

/*
 * Updates each row with its step of this round, so that triggers and the history see
 * each movement of money by itself.  The first round also writes all else that the
 * answers contain.  "states" are the payment statuses so far, by change; "changes"
 * and "numbers" are buffers.
 */
static void
apply_round(const MfSqlScope *scope, MfInquiryBatch *batch, const List *steps, int round, MfPaymentStatus *states,
			MfPaymentChange *changes, int *numbers)
{
	int			count = 0;
	int			i;

	for (i = 0; i < batch->change_count; i++)
	{
		MfPaymentChange *change = &batch->changes[i];
		const Step *step = find_step(steps, change->invoice, round);

		if (round > 0 && step == NULL)
			continue;
		if (step != NULL)
			apply_step(change, step);
		numbers[count] = i;
		changes[count] = *change;
		changes[count].from = states[i];
		if (mf_payment_was_paid(states[i]) || mf_payment_was_paid(change->to))
			states[i] = paid_status(change);
		else
			states[i] = change->to;
		changes[count].to = states[i];
		if (step != NULL)
			changes[count].reason = step_reason(change, step);
		changes[count].step = step != NULL;
		changes[count++].money = step != NULL && step->line != NULL;
	}
	mf_payment_apply(scope, changes, count);
	for (i = 0; i < count; i++)
		batch->changes[numbers[i]].changed |= changes[i].changed;
}

/* Step number "round" of an invoice, from 0 on; NULL if it has fewer */
static const Step *
find_step(const List *steps, int64 invoice, int round)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Step *step = (const Step *) lfirst(lc);

		if (step->invoice == invoice && round-- == 0)
			return step;
	}
	return NULL;
}

/* Adds a step to the sums of a row. */
static void
apply_step(MfPaymentChange *change, const Step *step)
{
	if (step->line != NULL && step->line->kind == MF_MONEY_PAYMENT)
	{
		change->received_value = mf_amount_add(change->received_value, step->line->booked);
		/* a payment of another amount needs a person's attention */
		if (change->contradiction != NULL)
			change->doubt = change->contradiction;
	}
	else if (step->line != NULL)
		change->refunded_value = mf_amount_subtract(change->refunded_value, step->line->booked);
	if (step->dispute != NULL)
	{
		change->has_dispute = true;
		change->disputed_at = step->dispute->disputed_at;
	}
}

/*
 * The status of a paid invoice, by how much of its value is kept.  If MyFatoorah says
 * that it is paid and lists less money, its status counts.
 */
static MfPaymentStatus
paid_status(const MfPaymentChange *change)
{
	const char *value = change->base_value ? change->base_value : change->base_value_before;
	const char *received = change->received_value;
	const char *kept;

	if (value == NULL || mf_amount_compare(change->refunded_value, "0") <= 0)
		return MF_PAID;
	if (mf_amount_compare(received, value) < 0)
		received = value;
	kept = mf_amount_subtract(received, change->refunded_value);
	if (mf_amount_compare(kept, value) >= 0)
		return MF_PAID;
	return mf_amount_compare(kept, "0") > 0 ? MF_PARTLY_REFUNDED : MF_REFUNDED;
}

/* The reason of a step, for the history */
static const char *
step_reason(const MfPaymentChange *change, const Step *step)
{
	const MfMoney *line = step->line;
	const MfDispute *dispute = step->dispute;
	StringInfoData reason;

	initStringInfo(&reason);
	if (dispute != NULL)
	{
		appendStringInfo(&reason, "dispute %s", dispute->dispute_id);
		if (dispute->payment_id != NULL)
			appendStringInfo(&reason, " of PaymentId %s", dispute->payment_id);
		appendStringInfo(&reason, ": %s", dispute->status);
		if (dispute->type != NULL)
			appendStringInfo(&reason, ", %s", dispute->type);
		if (line != NULL)
			appendStringInfo(&reason, ", %s %s", line->booked, line->currency);
	}
	else if (line->kind == MF_MONEY_REFUND)
		appendStringInfo(&reason, "RefundId %s, %s %s", line->source, line->booked, line->currency);
	else
		appendStringInfo(&reason, "%s, PaymentId %s, %s %s", change->reason, line->source, line->booked, line->currency);
	if (line != NULL && line->kind == MF_MONEY_PAYMENT && change->contradiction != NULL)
		appendStringInfo(&reason, "; %s", change->contradiction);
	return reason.data;
}
