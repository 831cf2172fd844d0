/*
 * api_supplier.c
 *	  The calls about suppliers. Those that the published sample lists exist,
 *	  and any other that an invoice names.
 */
#include "server.h"

#include <stdio.h>

#include "deposit.h"
#include "validate.h"

#define MAX_SUPPLIERS 1000

static const int64_t sample_suppliers[] = {27, 53};

/*
 * list_suppliers
 *		The suppliers of an account; so many. Locked.
 */
static int
list_suppliers(const Account *account, int64_t *codes)
{
	int count = 0;

	for (size_t i = 0; i < sizeof(sample_suppliers) / sizeof(sample_suppliers[0]); i++)
		codes[count++] = sample_suppliers[i];
	for (const Invoice *inv = store_oldest(); inv != NULL; inv = inv->newer)
		for (int i = 0; inv->account == account && i < inv->data.supplier_count; i++)
		{
			int known = 0;

			while (known < count && codes[known] != inv->data.suppliers[i].code)
				known++;
			if (known == count && count < MAX_SUPPLIERS)
				codes[count++] = inv->data.suppliers[i].code;
		}
	return count;
}

/*
 * put_supplier
 *		A supplier as GetSuppliers shows it: the two of the sample as published,
 *		all others active.
 */
static void
put_supplier(Buf *b, int64_t code)
{
	bool rejected = code == 27;
	bool pending = code == 53;

	buf_printf(b,
			   "{\"SupplierCode\":%lld,\"SupplierName\":\"Supplier %lld\",\"Mobile\":\"55501%05lld\","
			   "\"Email\":\"supplier%lld@example.com\",\"CommissionValue\":%s,\"CommissionPercentage\":1.000,"
			   "\"DepositTerms\":\"Daily\",\"DepositDay\":null,\"SupplierStatus\":\"%s\",\"Comment\":\"%s\","
			   "\"IsPercentageOfNetValue\":false,\"BusinessName\":null,\"DisplaySupplierDetails\":false,"
			   "\"SupplierCommissions\":[",
			   (long long) code, (long long) code, (long long) code % 100000, (long long) code,
			   rejected ? "0.50" : "1.00",
			   rejected  ? "Rejected"
			   : pending ? "Pending"
						 : "Active",
			   rejected ? "سيشسيشيشس" : "");
	if (pending)
		buf_puts(
			b,
			"{\"PaymentMethodName\":\"Apple Pay\",\"CommissionValue\":1.000,\"CommissionPercentage\":3.000,"
			"\"IsPercentageOfNetValue\":\"False\"}");
	buf_puts(b, rejected ? "],\"BusinessCategory\":{\"Code\":\"5941\",\"Name\":\"Camping products\"}}"
						 : "],\"BusinessCategory\":{\"Code\":null,\"Name\":null}}");
}

/*
 * get_suppliers
 *		All of them, as a bare array. Locked.
 */
void
get_suppliers(Request *r)
{
	int64_t codes[MAX_SUPPLIERS];
	int count = list_suppliers(r->account, codes);

	buf_putc(&r->answer.body, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			buf_putc(&r->answer.body, ',');
		put_supplier(&r->answer.body, codes[i]);
	}
	buf_putc(&r->answer.body, ']');
	answer_json(&r->answer, 200);
}

/*
 * named_supplier
 *		The supplier that SupplierCode in the query names; false with the answer
 *		made. Locked.
 */
static bool
named_supplier(Request *r, int64_t *code)
{
	Buf text = {0};
	int64_t codes[MAX_SUPPLIERS];
	int count = list_suppliers(r->account, codes);
	bool known = false;

	if (query_value(r->query, "SupplierCode", &text) && parse_id((Str){text.data, text.len}, code))
		for (int i = 0; i < count; i++)
			known = known || codes[i] == *code;
	buf_free(&text);
	if (!known)
		answer_failure(&r->answer, 404, "Not Found", STR_NONE);
	return known;
}

/*
 * get_supplier_details
 *		One of them, as a bare object. Locked.
 */
void
get_supplier_details(Request *r)
{
	int64_t code;

	if (!named_supplier(r, &code))
		return;
	put_supplier(&r->answer.body, code);
	answer_json(&r->answer, 200);
}

/*
 * put_plain_member
 *		,"Name":1.5
 */
static void
put_plain_member(Buf *b, const char *name, Decimal value)
{
	buf_printf(b, ",\"%s\":", name);
	buf_put_plain(b, value);
}

/*
 * get_supplier_dashboard
 *		What a supplier has earned, as a bare object. Locked.
 */
void
get_supplier_dashboard(Request *r)
{
	Decimal values = {0, 3}, shares = {0, 3}, deposited = {0, 3}, due = {0, 3};
	Buf *b = &r->answer.body;
	int64_t code;
	int count = 0;

	if (!named_supplier(r, &code))
		return;
	for (const Invoice *inv = store_oldest(); inv != NULL; inv = inv->newer)
		for (int i = 0; inv->account == r->account && i < inv->data.supplier_count; i++)
		{
			const Supplier *s = &inv->data.suppliers[i];

			if (s->code != code || store_success(inv) == NULL)
				continue;
			count++;
			values = decimal_add(values, inv->value);
			shares = decimal_add(shares, s->invoice_share);
			if (s->deposit != NULL)
				deposited = decimal_add(deposited, deposit_share(inv, code));
			else
				due = decimal_add(due, deposit_share(inv, code));
		}
	buf_puts(b, "{\"TotalAwaitingBalance\":");
	buf_put_plain(b, due);
	buf_printf(b, ",\"TotalNumberOfTransactions\":%d", count);
	put_plain_member(b, "TotalValueOfTransactions", values);
	put_plain_member(b, "TotalSupplierInvoiceShare", shares);
	put_plain_member(b, "TotalDepositedAmount", deposited);
	put_plain_member(b, "TotalAwaitingToTransfer", (Decimal){0, 0});
	put_plain_member(b, "TotalBalance", due);
	buf_printf(b, ",\"IsApproved\":%s,\"IsActive\":%s}", code == 27 || code == 53 ? "false" : "true",
			   code == 27 || code == 53 ? "false" : "true");
	answer_json(&r->answer, 200);
}

/*
 * get_supplier_documents
 *		A row for each type, none of them uploaded, as a bare array. Locked.
 */
void
get_supplier_documents(Request *r)
{
	static const struct
	{
		int type;
		const char *name;
	} types[] = {{1, "Civil Id"},
				 {2, "Commercial License"},
				 {4, "Signature Authorization"},
				 {3, "Articles of Association"},
				 {20, "Commercial Register"},
				 {16, "Civil Ids Of All Owners"},
				 {17, "Civil Id Of Manager"},
				 {21, "Bank Account Letter"},
				 {25, "Website"},
				 {26, "3-parties contract/ agreement"},
				 {27, "Basic regulations list (For charities only) "},
				 {28, "Board of Directors Agreement (For charities only)"},
				 {30, "National address"}};
	Buf *b = &r->answer.body;
	int64_t code;

	if (!named_supplier(r, &code))
		return;
	buf_printf(b,
			   "[{\"FileUrl\":\"%s/Files/Suppliers/%05lld/5.jpeg\",\"FileType\":5,\"FileTypeName\":null,"
			   "\"ExpireDate\":null}",
			   options.public_url, (long long) code);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		buf_printf(b, ",{\"FileUrl\":null,\"FileType\":%d,\"FileTypeName\":\"%s\",\"ExpireDate\":null}",
				   types[i].type, types[i].name);
	buf_putc(b, ']');
	answer_json(&r->answer, 200);
}

/*
 * get_supplier_deposits
 *		The deposits of a supplier, as {Records, Data}; the members of a row are
 *		ours. Locked.
 */
void
get_supplier_deposits(Request *r)
{
	Buf *b = &r->answer.body;
	int64_t code;
	int count = 0;

	if (!named_supplier(r, &code))
		return;
	for (const Deposit *d = deposit_first(); d != NULL; d = d->next)
		count += d->account == r->account && d->supplier == code;
	buf_printf(b, "{\"Records\":%d,\"Data\":[", count);
	count = 0;
	for (const Deposit *d = deposit_first(); d != NULL; d = d->next)
	{
		if (d->account != r->account || d->supplier != code)
			continue;
		buf_puts(b, count++ > 0 ? ",{\"DepositReference\":" : "{\"DepositReference\":");
		buf_put_deposit_reference(b, d);
		buf_puts(b, ",\"DepositValue\":");
		buf_put_decimal(b, d->announced);
		buf_printf(b, ",\"NumberOfTransactions\":%d,\"DepositDate\":\"", d->count);
		buf_put_datetime(b, d->at, 3);
		buf_puts(b, "\"}");
	}
	buf_puts(b, "]}");
	answer_json(&r->answer, 200);
}

/*
 * transfer_balance
 *		Move money between vendor and supplier: an envelope with FieldsErrors.
 *		Nothing is kept of it. Locked.
 */
void
transfer_balance(Request *r)
{
	Buf *b = &r->answer.body;
	const char *member = NULL;
	Decimal amount;
	Str code, type;
	int64_t number;

	if (!json_text(r->doc.root, "SupplierCode", &code) || !parse_id(code, &number))
		member = "SupplierCode";
	else if (!take_amount(r->doc.root, "TransferAmount", &amount) || decimal_sign(amount) <= 0)
		member = "TransferAmount";
	else if (!json_text(r->doc.root, "TransferType", &type) ||
			 (!str_is_nocase(type, "pull") && !str_is_nocase(type, "push")))
		member = "TransferType";
	if (member != NULL)
	{
		buf_printf(b,
				   "{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"FieldsErrors\":[{\"Name\":\"%s\","
				   "\"Error\":\"The value is not valid\"}],\"Data\":null}",
				   member);
		answer_json(&r->answer, 400);
		return;
	}
	buf_printf(
		b,
		"{\"IsSuccess\":true,\"Message\":\"The balance transferred successfully\",\"FieldsErrors\":null,"
		"\"Data\":{\"InvoiceId\":%lld,\"Date\":\"",
		(long long) store_take_invoice_id());
	buf_put_datetime(b, clock_now(), 7);
	buf_puts(b, "+03:00\"}}");
	answer_json(&r->answer, 200);
}
