/*
 * inquiry_money.c
 *	  What answers tell of money becomes lines of the books, and each line a change
 *	  of its row.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_money.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "inquiry/inquiry_internal.h"

/* Amounts of so many digits before the point are none. */
#define AMOUNT_DIGITS 15
#define AMOUNT_MAX_LENGTH 60

/* One change of a row: a line, or a dispute, or both */
typedef struct Step
{
	int64		invoice;
	const MfMoney *line;		/* NULL = none */
	const MfDispute *dispute;	/* likewise */
} Step;

static void book_disputes(const MfSqlScope *scope, const MfInquiryBatch *batch, List **steps);
static void apply_round(const MfSqlScope *scope, MfInquiryBatch *batch, const List *steps, int round, MfPaymentStatus *states,
						MfPaymentChange *changes, int *numbers);
static const Step *find_step(const List *steps, int64 invoice, int round);
static void take_step(MfPaymentChange *change, const Step *step);
static MfPaymentStatus judge(const MfPaymentChange *change);
static const char *step_reason(const MfPaymentChange *change, const Step *step);
static Datum numeric_of(const char *text);
static char *text_of(Datum number);
static Datum sum(const char *a, const char *b, PGFunction function);

bool
mf_amount_is_sane(const char *text)
{
	return strlen(text) <= AMOUNT_MAX_LENGTH && strspn(text, "0123456789") > 0 &&
		strspn(text, "0123456789") <= AMOUNT_DIGITS && strspn(text, "0123456789.") == strlen(text);
}

int
mf_amount_compare(const char *a, const char *b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, numeric_of(a), numeric_of(b)));
}

char *
mf_amount_add(const char *a, const char *b)
{
	return text_of(sum(a, b, numeric_add));
}

void
mf_inquiry_tell_money(MfInquiryBatch *batch, int64 invoice, MfMoneyKind kind, const char *source, const char *amount,
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
mf_inquiry_settle(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	MfPaymentStatus *states = (MfPaymentStatus *) palloc(batch->change_count * sizeof(MfPaymentStatus));
	MfPaymentChange *changes = (MfPaymentChange *) palloc(batch->change_count * sizeof(MfPaymentChange));
	int		   *numbers = (int *) palloc(batch->change_count * sizeof(int));
	MfMoney   **told = (MfMoney **) palloc((list_length(batch->money) + 1) * sizeof(MfMoney *));
	List	   *steps = NIL;
	int			count = 0;
	int			rounds = 1;
	int			i;
	ListCell   *lc;

	foreach(lc, batch->money)
		told[count++] = (MfMoney *) lfirst(lc);
	mf_payment_book(scope, told, count);
	foreach(lc, batch->money)
	{
		const MfMoney *money = (const MfMoney *) lfirst(lc);
		Step	   *step;

		/* a fee comes with its payment, and takes nothing from what the customer has paid */
		if (money->news == NULL || money->kind == MF_MONEY_FEE)
			continue;
		step = (Step *) palloc0(sizeof(Step));
		step->invoice = money->invoice;
		step->line = money;
		steps = lappend(steps, step);
	}
	book_disputes(scope, batch, &steps);

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
}

/* What is new of disputes of the invoices that were read, and what was lost by them. */
static void
book_disputes(const MfSqlScope *scope, const MfInquiryBatch *batch, List **steps)
{
	int64	   *invoices = (int64 *) palloc((batch->change_count + 1) * sizeof(int64));
	MfMoney   **told;
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
		return;
	disputes = mf_payment_disputes(scope, invoices, count);
	if (disputes == NIL)
		return;

	told = (MfMoney **) palloc(list_length(disputes) * sizeof(MfMoney *));
	count = 0;
	foreach(lc, disputes)
	{
		const MfDispute *dispute = (const MfDispute *) lfirst(lc);
		Step	   *step = (Step *) palloc0(sizeof(Step));

		step->invoice = dispute->invoice;
		step->dispute = dispute;
		*steps = lappend(*steps, step);
		if (dispute->currency != NULL)
		{
			MfMoney    *money = (MfMoney *) palloc0(sizeof(MfMoney));

			/* one that was lost, and is not lost after all, gives it back */
			money->invoice = dispute->invoice;
			money->kind = MF_MONEY_CHARGEBACK;
			money->source = dispute->dispute_id;
			money->amount = dispute->lost ? dispute->lost : "0";
			money->currency = dispute->currency;
			money->payment_id = dispute->payment_id;
			step->line = told[count++] = money;
		}
	}
	mf_payment_book(scope, told, count);
	foreach(lc, *steps)
	{
		Step	   *step = (Step *) lfirst(lc);

		if (step->line != NULL && step->line->news == NULL)
			step->line = NULL;
	}
}

/*
 * Writes the changes, the first time with all that the answers tell, each with its
 * next step: so whoever watches the rows sees each change of money by itself.
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
			take_step(change, step);
		numbers[count] = i;
		changes[count] = *change;
		changes[count].from = states[i];
		if (mf_payment_was_paid(states[i]) || mf_payment_was_paid(change->to))
			states[i] = judge(change);
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

/* The step of an invoice that has this number, from 0 on; NULL if there are no more. */
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

/* What a step makes of the sums of a row. */
static void
take_step(MfPaymentChange *change, const Step *step)
{
	if (step->line != NULL && step->line->kind == MF_MONEY_PAYMENT)
	{
		change->received_value = mf_amount_add(change->received_value, step->line->news);
		/* money is never taken in silence that is not what the row asks for */
		if (change->contradiction != NULL)
			change->doubt = change->contradiction;
	}
	else if (step->line != NULL)
		change->refunded_value = text_of(sum(change->refunded_value, step->line->news, numeric_sub));
	if (step->dispute != NULL)
	{
		change->has_dispute = true;
		change->disputed_at = step->dispute->disputed_at;
	}
}

/*
 * What is kept of the invoice's value tells the state.  Where MyFatoorah says that
 * it is paid, and does not list all of the money, its word counts.
 */
static MfPaymentStatus
judge(const MfPaymentChange *change)
{
	const char *value = change->base_value ? change->base_value : change->base_value_before;
	const char *received = change->received_value;
	const char *kept;

	if (value == NULL || mf_amount_compare(change->refunded_value, "0") <= 0)
		return MF_PAID;
	if (mf_amount_compare(received, value) < 0)
		received = value;
	kept = text_of(sum(received, change->refunded_value, numeric_sub));
	if (mf_amount_compare(kept, value) >= 0)
		return MF_PAID;
	return mf_amount_compare(kept, "0") > 0 ? MF_PARTLY_REFUNDED : MF_REFUNDED;
}

/* What the history says of a step. */
static const char *
step_reason(const MfPaymentChange *change, const Step *step)
{
	const MfMoney *line = step->line;
	const MfDispute *dispute = step->dispute;
	char	   *reason;

	if (dispute != NULL)
		reason = psprintf("dispute %s%s%s: %s%s%s%s%s", dispute->dispute_id, dispute->payment_id ? " of PaymentId " : "",
						  dispute->payment_id ? dispute->payment_id : "", dispute->status,
						  dispute->type ? ", " : "", dispute->type ? dispute->type : "",
						  line ? ", " : "", line ? psprintf("%s %s", line->news, line->currency) : "");
	else if (line->kind == MF_MONEY_REFUND)
		reason = psprintf("RefundId %s, %s %s", line->source, line->news, line->currency);
	else
		reason = psprintf("%s, PaymentId %s, %s %s", change->reason, line->source, line->news, line->currency);
	if (line != NULL && line->kind == MF_MONEY_PAYMENT && change->contradiction != NULL)
		reason = psprintf("%s; %s", reason, change->contradiction);
	return reason;
}

static Datum
numeric_of(const char *text)
{
	return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static char *
text_of(Datum number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, number));
}

static Datum
sum(const char *a, const char *b, PGFunction function)
{
	return DirectFunctionCall2(function, numeric_of(a), numeric_of(b));
}
