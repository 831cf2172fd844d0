/*
 * recurring.h
 *	  Recurring payments: plans that ExecutePayment makes, and their
 *	  repetitions.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_RECURRING_H
#define SANDBOX_RECURRING_H

#include "store.h"

typedef enum RecurringStatus
{
	RECURRING_DRAFT, /* the payer has not made the first payment */
	RECURRING_ACTIVE,
	RECURRING_UNCOMPLETED, /* retries are used up */
	RECURRING_COMPLETED,
	RECURRING_CANCELED
} RecurringStatus;

typedef enum RecurringType
{
	RECURRING_CUSTOM,
	RECURRING_DAILY,
	RECURRING_WEEKLY,
	RECURRING_MONTHLY
} RecurringType;

/* What RecurringModel asks for. */
typedef struct RecurringModel
{
	RecurringType type;
	int64_t interval_days; /* of a custom one */
	int64_t iterations; /* 0: until it is canceled */
	int64_t retries;
} RecurringModel;

typedef struct Recurring
{
	struct Recurring *next; /* in order of creation */
	char id[24];
	RecurringModel model;
	RecurringStatus status;
	const Account *account;
	Invoice *first;
	Ticks created;
	Ticks last_pay;
	Ticks next_pay;
	int64_t executed;
	int64_t failures; /* in a row */
	int count; /* of repetitions */
	Invoice **invoices;
} Recurring;

extern void recurring_reset(void);
extern void recurring_start_ids(uint64_t seed);
extern Recurring *recurring_add(Invoice *first, const RecurringModel *model);
extern void recurring_forget(Recurring *plan);
extern void recurring_paid(const Invoice *inv);
extern bool recurring_cancel(Recurring *plan);
extern bool recurring_resume(Recurring *plan);
extern Invoice *recurring_next_invoice(Recurring *plan, Str reference);
extern void recurring_executed(Recurring *plan, bool paid);
extern Recurring *recurring_first(void);
extern Recurring *recurring_by_id(Str id);
extern const char *recurring_status_word(RecurringStatus status);
extern const char *recurring_type_word(RecurringType type);
extern bool recurring_type_by_word(Str word, RecurringType *type);

#endif
