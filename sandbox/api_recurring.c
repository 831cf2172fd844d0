/*
 * api_recurring.c
 *	  GetRecurringPayment, CancelRecurringPayment, ResumeRecurringPayment.
 */
#include "server.h"

#include "recurring.h"
#include "validate.h"

/*
 * put_plan
 *		A plan with its repetitions; null before the first.
 */
static void
put_plan(Buf *b, const Recurring *plan)
{
	buf_printf(b, "{\"RecurringId\":\"%s\",\"RecurringStatus\":\"%s\",\"CreationDate\":\"", plan->id,
			   recurring_status_word(plan->status));
	buf_put_datetime(b, plan->created, 3);
	buf_puts(b, "\",\"RecurringValue\":");
	buf_put_plain(b, plan->first->value);
	buf_printf(b, ",\"RecurringType\":\"%s\",\"IntervalDays\":", recurring_type_word(plan->model.type));
	if (plan->model.type == RECURRING_CUSTOM)
		buf_put_int(b, plan->model.interval_days);
	else
		buf_puts(b, "null");
	buf_printf(b, ",\"ExecutedTimes\":%lld,\"LastPayDate\":\"", (long long) plan->executed);
	buf_put_datetime(b, plan->last_pay, 3);
	buf_puts(b, "\",\"NextPayDate\":\"");
	buf_put_datetime(b, plan->next_pay, 3);
	buf_printf(b, "\",\"IsActive\":%s,\"RecurringInvoices\":",
			   plan->status == RECURRING_ACTIVE ? "true" : "false");
	if (plan->count == 0)
		buf_puts(b, "null");
	for (int i = 0; i < plan->count; i++)
	{
		const Invoice *inv = plan->invoices[i];

		buf_printf(b, "%s{\"InvoiceId\":%lld,\"CustomerReference\":", i > 0 ? "," : "[", (long long) inv->id);
		buf_put_json_or_null(b, inv->data.reference);
		buf_puts(b, ",\"CustomerName\":");
		buf_put_json_or_null(b, inv->data.customer_name);
		buf_puts(b, ",\"CustomerMobile\":");
		buf_put_json_or_null(b, inv->data.customer_mobile);
		buf_puts(b, ",\"CreatedDate\":\"");
		buf_put_datetime(b, inv->created, 3);
		buf_printf(b, "\",\"InvoiceStatus\":\"%s\"}%s", inv->status, i == plan->count - 1 ? "]" : "");
	}
	buf_putc(b, '}');
}

/*
 * get_recurring_payment
 *		All plans of the account. Locked.
 */
void
get_recurring_payment(Request *r)
{
	Buf data = {0};
	bool first = true;

	buf_puts(&data, "{\"RecurringPayment\":[");
	for (const Recurring *plan = recurring_first(); plan != NULL; plan = plan->next)
	{
		if (plan->account != r->account)
			continue;
		if (!first)
			buf_putc(&data, ',');
		first = false;
		put_plan(&data, plan);
	}
	buf_puts(&data, "]}");
	answer_success(&r->answer, 200, "", (Str){data.data, data.len});
	buf_free(&data);
}

/*
 * named_plan
 *		The plan that recurringId in the query names, or NULL. Locked.
 */
static Recurring *
named_plan(Request *r)
{
	Buf id = {0};
	Recurring *plan = NULL;

	if (query_value(r->query, "recurringId", &id))
		plan = recurring_by_id((Str){id.data, id.len});
	buf_free(&id);
	return plan != NULL && plan->account == r->account ? plan : NULL;
}

/*
 * answer_done
 *		Data is true, or false with the status 400.
 */
static void
answer_done(Request *r, bool done, const char *message, const char *refusal)
{
	Buf *b = &r->answer.body;

	if (done)
	{
		answer_success(&r->answer, 200, message, STR_LIT("true"));
		return;
	}
	buf_puts(b, "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[");
	{
		Buf errors = {0};

		put_validation_error(&errors, "RecurringId", refusal);
		buf_put(b, errors.data, errors.len);
		buf_free(&errors);
	}
	buf_puts(b, "],\"Data\":false}");
	answer_json(&r->answer, 400);
}

/*
 * cancel_recurring_payment, resume_recurring_payment
 *		End a plan; let one go on. Locked.
 */
void
cancel_recurring_payment(Request *r)
{
	Recurring *plan = named_plan(r);
	RecurringStatus before = plan != NULL ? plan->status : RECURRING_DRAFT;
	bool done = plan != NULL && recurring_cancel(plan);

	answer_done(r, done, "Canceled successfully",
				plan == NULL ? "The recurring is not found" : "The recurring can not be canceled");
	if (done && !r->keep)
		plan->status = before;
}

void
resume_recurring_payment(Request *r)
{
	Recurring *plan = named_plan(r);
	RecurringStatus before = plan != NULL ? plan->status : RECURRING_DRAFT;
	bool done = plan != NULL && recurring_resume(plan);

	answer_done(r, done, "Resumed successfully",
				plan == NULL ? "The recurring is not found" : "The recurring can not be resumed");
	if (done && !r->keep)
		plan->status = before;
}
