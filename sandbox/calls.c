/*
 * calls.c
 *	  The calls of the API: which path and method lead where.
 */
#include "server.h"

/* Calls of one path stand together, a longer path before one it begins with. */
static const Call calls[] = {
	{"/v2/sendpayment", "POST", true, false, ABOUT_NEW_INVOICE, KIND_SEND_PAYMENT, send_payment},
	{"/v2/getpaymentstatus", "POST", true, false, ABOUT_KEY, KIND_GET_PAYMENT_STATUS, get_payment_status},
	{"/v2/updatepaymentstatus", "POST", true, false, ABOUT_KEY, KIND_UPDATE_PAYMENT_STATUS,
	 update_payment_status},
	{"/v2/makerefund", "POST", true, true, ABOUT_KEY, KIND_MAKE_REFUND, make_refund},
	{"/v2/makesupplierrefund", "POST", true, true, ABOUT_KEY, KIND_SUPPLIER_REFUND, make_supplier_refund},
	{"/v2/getrefundstatus", "POST", true, false, ABOUT_KEY, KIND_GET_REFUND_STATUS, get_refund_status},
	{"/v2/getdepositedinvoices", "POST", true, false, ABOUT_NOTHING, KIND_OTHER, get_deposited_invoices},
	{"/v2/getwebhooks", "POST", true, false, ABOUT_NOTHING, KIND_OTHER, get_webhooks},
	{"/v2/initiatepayment", "POST", true, false, ABOUT_NOTHING, KIND_OTHER, initiate_payment},
	{"/v2/executepayment", "POST", true, false, ABOUT_NEW_INVOICE, KIND_EXECUTE_PAYMENT, execute_payment},
	{"/v2/getrecurringpayment", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_recurring_payment},
	{"/v2/cancelrecurringpayment", "POST", false, false, ABOUT_NOTHING, KIND_OTHER, cancel_recurring_payment},
	{"/v2/resumerecurringpayment", "POST", false, false, ABOUT_NOTHING, KIND_OTHER, resume_recurring_payment},
	{"/v2/getbanks", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_banks},
	{"/v2/getcurrenciesexchangelist", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_exchange_list},
	{"/v2/registerapplepaydomain", "POST", true, false, ABOUT_NOTHING, KIND_OTHER, register_apple_pay_domain},
	{"/v2/canceltoken", "POST", false, false, ABOUT_NOTHING, KIND_OTHER, cancel_token},
	{"/v2/getsuppliers", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_suppliers},
	{"/v2/getsupplierdetails", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_supplier_details},
	{"/v2/getsupplierdashboard", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_supplier_dashboard},
	{"/v2/getsupplierdocuments", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_supplier_documents},
	{"/v2/getsupplierdeposits", "GET", false, false, ABOUT_NOTHING, KIND_OTHER, get_supplier_deposits},
	{"/v2/transferbalance", "POST", true, false, ABOUT_NOTHING, KIND_OTHER, transfer_balance},
	{"/v3/payments", "POST", true, true, ABOUT_ORDER, KIND_V3_PAYMENT, v3_create_payment},
	{"/v3/payments/", "GET", false, false, ABOUT_PAYMENT, KIND_OTHER, v3_get_payment},
	{"/v3/payments/", "PUT", true, true, ABOUT_PAYMENT, KIND_OTHER, v3_update_payment},
	{"/v3/invoices/externalidentifier/", "GET", false, false, ABOUT_REFERENCE, KIND_OTHER,
	 v3_get_invoice_by_reference},
	{"/v3/invoices/", "GET", false, false, ABOUT_INVOICE, KIND_OTHER, v3_get_invoice},
};

#define CALLS ((int) (sizeof(calls) / sizeof(calls[0])))

/*
 * call_at
 *		The first call of a path (lower case), and where in it an argument
 *		begins, if there is one; NULL if nothing is there.
 */
const Call *
call_at(Str path, size_t *argument_at)
{
	for (int i = 0; i < CALLS; i++)
	{
		Str own = str_of(calls[i].path);

		*argument_at = path.len;
		if (str_equal(path, own) && own.data[own.len - 1] != '/')
			return &calls[i];
		if (own.data[own.len - 1] == '/' && path.len > own.len && str_has_prefix(path, own) &&
			memchr(path.data + own.len, '/', path.len - own.len) == NULL)
		{
			*argument_at = own.len;
			return &calls[i];
		}
	}
	return NULL;
}

/*
 * call_with_method
 *		Of the calls of a path the one with that method, or NULL.
 */
const Call *
call_with_method(const Call *first, const char *method)
{
	for (const Call *c = first; c < calls + CALLS && strcmp(c->path, first->path) == 0; c++)
		if (strcmp(c->method, method) == 0)
			return c;
	return NULL;
}

/*
 * calls_put_methods
 *		Append the methods of a path, as the header Allow has them.
 */
void
calls_put_methods(Buf *b, const Call *first)
{
	for (const Call *c = first; c < calls + CALLS && strcmp(c->path, first->path) == 0; c++)
	{
		buf_puts(b, c == first ? "" : ", ");
		buf_puts(b, c->method);
	}
}
