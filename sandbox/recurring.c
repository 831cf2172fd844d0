/*
 * recurring.c
 *	  Recurring payments: plans that ExecutePayment makes, and their
 *	  repetitions.
 */
#include "recurring.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY ((Ticks) 86400 * TICKS_PER_SECOND)

static const char *const types[] = {"Custom", "Daily", "Weekly", "Monthly"};

static Recurring *oldest;
static Recurring *newest;
static int64_t next_number;

/*
 * recurring_reset
 *		Forget all plans.
 */
void
recurring_reset(void)
{
	while (oldest != NULL)
	{
		Recurring *next = oldest->next;

		free(oldest->invoices);
		free(oldest);
		oldest = next;
	}
	newest = NULL;
}

/*
 * recurring_start_ids
 *		Start the ids that belong to a seed.
 */
void
recurring_start_ids(uint64_t seed)
{
	next_number = 121800000 + (int64_t) (hash_int(seed + 7) % 90000);
}

/*
 * interval, day_after
 *		Days between two repetitions (a month is 30), and the start of the day
 *		so many days later.
 */
static int64_t
interval(const Recurring *plan)
{
	static const int64_t days[] = {0, 1, 7, 30};

	return plan->model.type == RECURRING_CUSTOM ? plan->model.interval_days : days[plan->model.type];
}

static Ticks
day_after(Ticks at, int64_t days)
{
	LocalTime lt = local_time(at);

	return at - (((Ticks) lt.hour * 60 + lt.minute) * 60 + lt.second) * TICKS_PER_SECOND - lt.tick +
		   days * DAY;
}

/*
 * recurring_add
 *		A plan that begins when its first invoice is paid.
 */
Recurring *
recurring_add(Invoice *first, const RecurringModel *model)
{
	Recurring *plan = xcalloc(1, sizeof(Recurring));

	snprintf(plan->id, sizeof(plan->id), "RECUR%lld", (long long) next_number++);
	plan->model = *model;
	plan->account = first->account;
	plan->first = first;
	plan->created = plan->last_pay = clock_now();
	plan->next_pay = day_after(plan->created, interval(plan));
	if (newest != NULL)
		newest->next = plan;
	else
		oldest = plan;
	newest = plan;
	return plan;
}

/*
 * recurring_forget
 *		Take the newest plan back.
 */
void
recurring_forget(Recurring *plan)
{
	Recurring *before = NULL;

	for (Recurring *p = oldest; p != plan; p = p->next)
		before = p;
	newest = before;
	if (before != NULL)
		before->next = NULL;
	else
		oldest = NULL;
	free(plan->invoices);
	free(plan);
}

/*
 * recurring_paid
 *		An invoice was paid: if it is the first of a plan, that begins.
 */
void
recurring_paid(const Invoice *inv)
{
	if (inv->made_by != MADE_BY_EXECUTE_PAYMENT)
		return;
	for (Recurring *plan = oldest; plan != NULL; plan = plan->next)
		if (plan->first == inv && plan->status == RECURRING_DRAFT)
		{
			plan->status = RECURRING_ACTIVE;
			plan->last_pay = clock_now();
			plan->next_pay = day_after(plan->last_pay, interval(plan));
		}
}

/*
 * recurring_cancel, recurring_resume
 *		End a plan; let one go on whose retries were used up. False if it is not
 *		possible.
 */
bool
recurring_cancel(Recurring *plan)
{
	if (plan->status == RECURRING_CANCELED || plan->status == RECURRING_COMPLETED)
		return false;
	plan->status = RECURRING_CANCELED;
	return true;
}

bool
recurring_resume(Recurring *plan)
{
	if (plan->status != RECURRING_UNCOMPLETED)
		return false;
	plan->status = RECURRING_ACTIVE;
	plan->failures = 0;
	return true;
}

/*
 * recurring_next_invoice
 *		An invoice for a repetition, with the reference of the first one unless
 *		another is given; NULL if the plan is not active.
 */
Invoice *
recurring_next_invoice(Recurring *plan, Str reference)
{
	InvoiceData data = plan->first->data;
	Invoice *inv;

	if (plan->status != RECURRING_ACTIVE || store_is_full())
		return NULL;
	data.has_expiry = false;
	if (reference.data != NULL)
		data.reference = reference;
	inv = store_create(plan->account, &data, true);
	inv->made_by = MADE_BY_RECURRING;
	plan->invoices = xrealloc(plan->invoices, (size_t) (plan->count + 1) * sizeof(Invoice *));
	plan->invoices[plan->count++] = inv;
	return inv;
}

/*
 * recurring_executed
 *		A repetition was paid or not: what becomes of the plan. A failed one is
 *		tried again the next day, so often; the count starts anew each time.
 */
void
recurring_executed(Recurring *plan, bool paid)
{
	Ticks now = clock_now();

	if (paid)
	{
		plan->failures = 0;
		plan->executed++;
		plan->last_pay = now;
		plan->next_pay = day_after(now, interval(plan));
		if (plan->model.iterations > 0 && plan->executed >= plan->model.iterations)
			plan->status = RECURRING_COMPLETED;
		return;
	}
	if (plan->failures++ >= plan->model.retries)
		plan->status = RECURRING_UNCOMPLETED;
	plan->next_pay = day_after(now, 1);
}

/*
 * recurring_first, recurring_by_id
 *		Look-ups; NULL if there is none.
 */
Recurring *
recurring_first(void)
{
	return oldest;
}

Recurring *
recurring_by_id(Str id)
{
	for (Recurring *plan = oldest; plan != NULL; plan = plan->next)
		if (str_is_nocase(id, plan->id))
			return plan;
	return NULL;
}

/*
 * recurring_status_word, recurring_type_word, recurring_type_by_word
 *		MyFatoorah's words.
 */
const char *
recurring_status_word(RecurringStatus status)
{
	static const char *const words[] = {"Draft", "Active", "Uncompleted", "Completed", "Canceled"};

	return words[status];
}

const char *
recurring_type_word(RecurringType type)
{
	return types[type];
}

bool
recurring_type_by_word(Str word, RecurringType *type)
{
	for (int i = 0; i < 4; i++)
		if (str_is_nocase(word, types[i]))
		{
			*type = (RecurringType) i;
			return true;
		}
	return false;
}
