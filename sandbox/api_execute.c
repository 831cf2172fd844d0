/*
 * api_execute.c
 *	  InitiatePayment and ExecutePayment: the methods of an account, and a page
 *	  of one of them, which may begin a recurring payment.
 */
#include "server.h"

#include "recurring.h"
#include "validate.h"

/* The methods of MyFatoorah's test account */
static const struct
{
	int id;
	const char *arabic;
	const char *english;
	const char *code;
	const char *charge;
	bool embedded;
	bool recurring;
} methods[] = {
	{11, "أبل الدفع", "Apple Pay", "ap", "0.03", true, false},
	{1, "كي نت", "KNET", "kn", "0.02", false, false},
	{2, "فيزا / ماستر", "VISA/MASTER", "vm", "0.01", true, true},
};

#define METHODS ((int) (sizeof(methods) / sizeof(methods[0])))

/*
 * method_at
 *		Where in the table a method is; -1 if it is not there.
 */
static int
method_at(int64_t id)
{
	for (int i = 0; i < METHODS; i++)
		if (methods[i].id == id)
			return i;
	return -1;
}

/*
 * initiate_payment
 *		The methods, with what each costs. Locked.
 */
void
initiate_payment(Request *r)
{
	Str iso;
	Decimal amount;
	const Currency *currency;
	Buf data = {0};

	if (!take_amount(r->doc.root, "InvoiceAmount", &amount) || decimal_sign(amount) <= 0)
	{
		refuse(r, "InvoiceAmount", "Invoice value must be more than 0");
		return;
	}
	if (!json_text(r->doc.root, "CurrencyIso", &iso) || (currency = currency_by_iso(iso)) == NULL)
	{
		refuse(r, "CurrencyIso", "The field CurrencyIso is not valid.");
		return;
	}
	buf_puts(&data, "{\"PaymentMethods\":[");
	for (int i = 0; i < METHODS; i++)
	{
		buf_printf(
			&data,
			"%s{\"PaymentMethodId\":%d,\"PaymentMethodAr\":\"%s\",\"PaymentMethodEn\":\"%s\","
			"\"PaymentMethodCode\":\"%s\",\"IsDirectPayment\":false,\"ServiceCharge\":%s,\"TotalAmount\":",
			i > 0 ? "," : "", methods[i].id, methods[i].arabic, methods[i].english, methods[i].code,
			methods[i].charge);
		buf_put_decimal(&data, amount);
		buf_printf(&data,
				   ",\"CurrencyIso\":\"%s\",\"ImageUrl\":\"%s/imgs/payment-methods/%s.png\","
				   "\"IsEmbeddedSupported\":%s,\"PaymentCurrencyIso\":\"%s\"}",
				   currency->iso, options.public_url, methods[i].code, methods[i].embedded ? "true" : "false",
				   r->account->currency_iso);
	}
	buf_puts(&data, "]}");
	answer_success(&r->answer, 200, "Initiated Successfully!", (Str){data.data, data.len});
	buf_free(&data);
}

/*
 * take_method
 *		The method, or with a session that of cards; false with the answer made.
 */
static bool
take_method(Request *r, int *method)
{
	Str id, session;
	int64_t number;

	if (!json_text(r->doc.root, "PaymentMethodId", &id) || !json_text(r->doc.root, "SessionId", &session))
		id = session = STR_NONE;
	*method = id.len == 0 && session.len > 0 ? method_at(2) : parse_id(id, &number) ? method_at(number) : -1;
	if (*method < 0)
		refuse(r, "PaymentMethodId", "This payment method is not available");
	return *method >= 0;
}

/*
 * take_number
 *		A whole number from 0 to a maximum, which may be absent; false if it is
 *		something else.
 */
static bool
take_number(const JsonNode *object, const char *name, int64_t maximum, bool *present, int64_t *to)
{
	Str text;

	*to = 0;
	*present = false;
	if (!json_text(object, name, &text))
		return false;
	if (text.len == 0)
		return true;
	*present = true;
	return parse_id(text, to) && *to <= maximum;
}

/*
 * take_recurring
 *		RecurringModel, if there is one; false with the answer made.
 */
static bool
take_recurring(Request *r, int method, const JsonNode **model, RecurringModel *to)
{
	const char *member = NULL;
	const char *text = "The value is not valid";
	bool interval, present;
	Str type;

	*model = json_member(r->doc.root, "RecurringModel");
	if (*model == NULL || (*model)->type != JSON_OBJECT)
	{
		*model = NULL;
		return true;
	}
	if (!json_text(*model, "RecurringType", &type) || !recurring_type_by_word(type, &to->type))
		member = "RecurringModel.RecurringType";
	else if (!take_number(*model, "IntervalDays", 180, &interval, &to->interval_days) ||
			 (to->type == RECURRING_CUSTOM && to->interval_days < 1))
		member = "RecurringModel.IntervalDays";
	else if (interval && to->type != RECURRING_CUSTOM)
	{
		member = "RecurringModel.IntervalDays";
		text = "Interval days can be set on custom recurring type only.";
	}
	else if (!take_number(*model, "Iteration", 1000000, &present, &to->iterations))
		member = "RecurringModel.Iteration";
	else if (!take_number(*model, "RetryCount", 5, &present, &to->retries))
		member = "RecurringModel.RetryCount";
	else if (!methods[method].recurring)
	{
		member = "PaymentMethodId";
		text = "This payment method is not available";
	}
	if (member != NULL)
		refuse(r, member, text);
	return member == NULL;
}

/*
 * execute_payment
 *		Create an invoice with a page of one method. Without keep nothing of it
 *		stays. Locked.
 */
void
execute_payment(Request *r)
{
	SendPaymentRequest req;
	RecurringModel model = {0};
	const JsonNode *has_model;
	Recurring *plan = NULL;
	Buf data = {0};
	Invoice *inv;
	int method;

	if (!take_method(r, &method) || !take_recurring(r, method, &has_model, &model))
		return;
	if (!validate_execute_payment(r->doc.root, r->account, &req))
		answer_failure(&r->answer, 400, "Invalid data", (Str){req.errors.data, req.errors.len});
	else if (store_is_full())
		answer_failure(&r->answer, 503, "The sandbox is full: raise --invoice-limit", STR_NONE);
	else
	{
		req.data.card_first = methods[method].id != 1;
		inv = store_create(r->account, &req.data, r->keep);
		inv->made_by = MADE_BY_EXECUTE_PAYMENT;
		inv->ledger_seq = r->ledger.seq;
		if (has_model != NULL)
			plan = recurring_add(inv, &model);
		buf_printf(
			&data,
			"{\"InvoiceId\":%lld,\"IsDirectPayment\":false,\"PaymentURL\":\"%s/%s/%s/PayInvoice/Checkout?",
			(long long) inv->id, options.public_url, inv->data.arabic ? "Ar" : "En", r->account->iso3);
		buf_printf(&data, "invoiceKey=%s&paymentGatewayId=%d\",\"CustomerReference\":", inv->url_path + 8,
				   2000 + methods[method].id);
		buf_put_json_or_null(&data, inv->data.reference);
		buf_puts(&data, ",\"UserDefinedField\":");
		buf_put_json_or_null(&data, inv->data.user_defined);
		buf_printf(&data, ",\"RecurringId\":\"%s\"}", plan != NULL ? plan->id : "");
		answer_success(&r->answer, 200, "Invoice Created Successfully!", (Str){data.data, data.len});
		buf_free(&data);
		if (r->keep)
			r->answer.invoice_id = inv->id;
		else
		{
			if (plan != NULL)
				recurring_forget(plan);
			store_free_invoice(inv);
		}
	}
	validate_free(&req);
}
