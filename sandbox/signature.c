/*
 * signature.c
 *	  The signature of a webhook: chosen members of Data as "name=value,..."
 *	  under HMAC-SHA256, in Base64.
 *
 * Version 1 takes every member of Data in the order of their names, case
 * ignored; version 2 a short list that depends on the event.
 */
#include "signature.h"

#include <stdlib.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAX_MEMBERS 64

/*
 * signature_members
 *		What version 2 signs of an event, in order and ended by NULL; NULL for a
 *		code there is none of.
 */
const char *const *
signature_members(int code)
{
	static const char *const payment[] = {"Invoice.Id",
										  "Invoice.Status",
										  "Transaction.Status",
										  "Transaction.PaymentId",
										  "Invoice.ExternalIdentifier",
										  NULL};
	static const char *const refund[] = {"Refund.Id", "Refund.Status", "Amount.ValueInBaseCurrency",
										 "ReferencedInvoice.Id", NULL};
	static const char *const deposit[] = {"Deposit.Reference", "Deposit.ValueInBaseCurrency",
										  "Deposit.NumberOfTransactions", NULL};
	static const char *const supplier[] = {"Supplier.Code", "KycDecision.Status", NULL};
	static const char *const recurring[] = {"Recurring.Id", "Recurring.Status", "Recurring.InitialInvoiceId",
											NULL};
	static const char *const dispute[] = {"Dispute.DisputeTransactionId",
										  "Dispute.Status",
										  "Invoice.Id",
										  "Invoice.Status",
										  "Transaction.Status",
										  "Transaction.PaymentId",
										  "Invoice.ExternalIdentifier",
										  NULL};
	static const char *const update[] = {"Supplier.Code", "RequestStatus.Status", NULL};
	static const char *const *const lists[] = {payment,   refund,  deposit, supplier,
											   recurring, dispute, update};

	return code >= 1 && code <= 7 ? lists[code - 1] : NULL;
}

/*
 * compare_names
 *		Order of two members by name, case ignored.
 */
static int
compare_names(const void *a, const void *b)
{
	Str x = (*(const JsonNode *const *) a)->name;
	Str y = (*(const JsonNode *const *) b)->name;
	int order = strncasecmp(x.data, y.data, x.len < y.len ? x.len : y.len);

	return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/*
 * put_signed
 *		Append name=value, after a comma unless it is the first; nothing for
 *		null or a missing member.
 */
static void
put_signed(Buf *text, Str name, const JsonNode *value)
{
	if (text->len > 0)
		buf_putc(text, ',');
	buf_put_str(text, name);
	buf_putc(text, '=');
	if (value == NULL)
		return;
	if (value->type == JSON_STRING || value->type == JSON_NUMBER)
		buf_put_str(text, value->text);
	else if (value->type == JSON_TRUE || value->type == JSON_FALSE)
		buf_puts(text, value->type == JSON_TRUE ? "true" : "false");
}

/*
 * signature_text
 *		Append the text that is signed of a message; false if there is no Data
 *		or no such event.
 */
bool
signature_text(const JsonNode *body, int version, int code, Buf *text)
{
	const JsonNode *data = json_member(body, "Data");
	const char *const *list = signature_members(code);
	const JsonNode *members[MAX_MEMBERS];
	size_t n = 0;

	if (data == NULL || data->type != JSON_OBJECT || list == NULL)
		return false;
	if (version == 2)
	{
		for (; *list != NULL; list++)
			put_signed(text, str_of(*list), json_path(data, *list));
		return true;
	}
	for (const JsonNode *m = data->child; m != NULL && n < MAX_MEMBERS; m = m->next)
		if (!(code == 2 && str_is(m->name, "GatewayReference")) &&
			!(code == 4 && str_is(m->name, "KycFeedback")))
			members[n++] = m;
	qsort(members, n, sizeof(members[0]), compare_names);
	for (size_t i = 0; i < n; i++)
		put_signed(text, members[i]->name, members[i]);
	return true;
}

/*
 * signature_of
 *		Append the Base64 of the text's HMAC-SHA256. The secret is taken as it
 *		is shown in the portal, not decoded.
 */
void
signature_of(Str text, Str secret, Buf *base64)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (HMAC(EVP_sha256(), secret.data, (int) secret.len, (const unsigned char *) text.data, text.len, digest,
			 &len) == NULL)
		abort();
	buf_put_base64(base64, (Str){(const char *) digest, len});
}
