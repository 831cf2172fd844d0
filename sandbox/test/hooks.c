/*
 * hooks.c
 *	  What the tests of webhooks share. Signatures are checked with openssl's
 *	  command and a list of members of their own.
 */
#include "hooks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/*
 * fresh_start
 *		Forget everything and have webhooks of a version sent to the receiver;
 *		more is appended to the settings.
 */
void
fresh_start(const char *version, const char *more)
{
	char body[512];
	Reply r;

	reset_server();
	receiver_clear();
	snprintf(body, sizeof(body),
			 "{\"url\":\"http://127.0.0.1:%d/hook\",\"version\":\"%s\",\"secret\":\"%s\"%s}", receiver_port,
			 version, SECRET, more);
	r = control("POST", "webhooks", body);
	CHECK(r.status == 200, "settings: %s", r.body);
	CHECK(strstr(r.body, "s3cret") == NULL, "the secret is not shown");
	free_reply(&r);
}

/*
 * new_invoice
 *		The id of a new invoice; more is appended to its members.
 */
double
new_invoice(const char *reference, const char *more)
{
	char body[1024];
	double id;
	Reply r;

	snprintf(body, sizeof(body),
			 "{\"CustomerName\":\"Ahmad Ali\",\"InvoiceValue\":250.100,\"NotificationOption\":\"LNK\","
			 "\"CustomerReference\":\"%s\"%s}",
			 reference, more);
	r = api("SendPayment", body);
	CHECK(r.status == 200, "%s", r.body);
	id = number_at(r.json, "Data.InvoiceId");
	free_reply(&r);
	return id;
}

/*
 * act
 *		Do something to an invoice; the caller frees the answer.
 */
Reply
act(double invoice, const char *action, const char *body)
{
	char path[64];

	snprintf(path, sizeof(path), "invoices/%.0f/%s", invoice, action);
	return control("POST", path, body);
}

/*
 * wait_finished
 *		Wait until so many deliveries are over.
 */
bool
wait_finished(int n)
{
	char path[64];
	Reply r;
	bool reached;

	snprintf(path, sizeof(path), "webhooks/wait?count=%d&timeout_ms=9000", n);
	r = control("GET", path, "");
	reached = cJSON_IsTrue(at(r.json, "reached"));
	CHECK(reached, "%d deliveries: %s", n, r.body);
	free_reply(&r);
	return reached;
}

/*
 * next_hook
 *		The webhook with that number (from 0), once it has come in.
 */
const Hook *
next_hook(int i)
{
	CHECK(receiver_wait(i + 1, 9000), "webhook %d comes in", i + 1);
	return receiver_hook(i);
}

/*
 * deliveries
 *		The log; the caller frees.
 */
Reply
deliveries(const char *query)
{
	char path[256];

	snprintf(path, sizeof(path), "webhooks/log?%s", query);
	return control("GET", path, "");
}

/*
 * members_like
 *		The same members in the same order with the same types; either may be
 *		null, and lists may be shorter or longer.
 */
static void
members_like(const cJSON *expected, const cJSON *actual, const char *where)
{
	const cJSON *e = expected->child;
	const cJSON *a = actual->child;
	char inner[512];

	if (cJSON_IsNull(expected) || cJSON_IsNull(actual))
		return;
	CHECK((expected->type & 0xFF) == (actual->type & 0xFF) ||
			  (cJSON_IsBool(expected) && cJSON_IsBool(actual)),
		  "%s has the same type", where);
	for (; e != NULL && a != NULL; e = e->next, a = a->next)
	{
		snprintf(inner, sizeof(inner), "%s.%s", where, e->string != NULL ? e->string : "[]");
		if (e->string != NULL)
			CHECK(strcmp(e->string, a->string) == 0, "%s, not %s", inner, a->string);
		members_like(e, a, inner);
	}
	CHECK(cJSON_IsArray(expected) || (e == NULL && a == NULL), "%s has as many members (%s)", where,
		  e != NULL   ? e->string
		  : a != NULL ? a->string
					  : "");
}

/*
 * message_like
 *		A message has the members of a published one.
 */
void
message_like(const cJSON *message, const char *fixture)
{
	char path[256];
	size_t len;
	char *text;
	cJSON *json;

	snprintf(path, sizeof(path), "fixtures/%s", fixture);
	text = read_text(path, &len);
	json = cJSON_Parse(text);
	if (CHECK(message != NULL, "a message like %s", fixture))
		members_like(json, message, fixture);
	cJSON_Delete(json);
	free(text);
}

/*
 * by_name
 *		Order of two members, case ignored.
 */
static int
by_name(const void *a, const void *b)
{
	return strcasecmp((*(const cJSON *const *) a)->string, (*(const cJSON *const *) b)->string);
}

/*
 * put_value
 *		Append name=value.
 */
static void
put_value(char *text, size_t size, const char *name, const cJSON *value)
{
	size_t len = strlen(text);

	len += (size_t) snprintf(text + len, size - len, "%s%s=", len > 0 ? "," : "", name);
	if (cJSON_IsString(value))
		snprintf(text + len, size - len, "%s", value->valuestring);
	else if (cJSON_IsNumber(value))
		snprintf(text + len, size - len, "%.0f", value->valuedouble);
}

/*
 * signed_text
 *		The text that is signed of a message, by the published rule.
 */
void
signed_text(const cJSON *message, int version, int code, char *text, size_t size)
{
	static const char *const lists[] = {
		"Invoice.Id Invoice.Status Transaction.Status Transaction.PaymentId Invoice.ExternalIdentifier",
		"Refund.Id Refund.Status Amount.ValueInBaseCurrency ReferencedInvoice.Id",
		"Deposit.Reference Deposit.ValueInBaseCurrency Deposit.NumberOfTransactions",
		"Supplier.Code KycDecision.Status",
		"Recurring.Id Recurring.Status Recurring.InitialInvoiceId",
		"Dispute.DisputeTransactionId Dispute.Status Invoice.Id Invoice.Status Transaction.Status "
		"Transaction.PaymentId Invoice.ExternalIdentifier",
		"Supplier.Code RequestStatus.Status",
	};
	const cJSON *data = at(message, "Data");
	const cJSON *sorted[64];
	size_t n = 0;
	const cJSON *m;
	char list[256];
	char *save = NULL;

	text[0] = '\0';
	if (version == 2)
	{
		snprintf(list, sizeof(list), "%s", lists[code - 1]);
		for (char *name = strtok_r(list, " ", &save); name != NULL; name = strtok_r(NULL, " ", &save))
			put_value(text, size, name, at(data, name));
		return;
	}
	cJSON_ArrayForEach (m, data)
		if (!cJSON_IsObject(m) && n < 64)
			sorted[n++] = m;
	qsort(sorted, n, sizeof(sorted[0]), by_name);
	for (size_t i = 0; i < n; i++)
		put_value(text, size, sorted[i]->string, sorted[i]);
}

/*
 * signature_holds
 *		Is a webhook signed with that secret? openssl says.
 */
bool
signature_holds(const Hook *h, const char *secret)
{
	int version = strcmp(hook_header(h, "MyFatoorah-Webhook-Version"), "v1") == 0 ? 1 : 2;
	int code = (int) number_at(h->json, version == 1 ? "EventType" : "Event.Code");
	char file[] = "/tmp/mf-sandbox-signed-XXXXXX";
	char text[8192];
	char command[256];
	char base64[128] = "";
	int fd = mkstemp(file);
	FILE *p;

	if (fd < 0 || code < 1 || code > 7)
		return false;
	signed_text(h->json, version, code, text, sizeof(text));
	if (write(fd, text, strlen(text)) != (ssize_t) strlen(text))
		return false;
	close(fd);
	snprintf(command, sizeof(command), "openssl dgst -sha256 -hmac '%s' -binary %s | openssl base64 -A",
			 secret, file);
	p = popen(command, "r");
	if (p == NULL || fgets(base64, sizeof(base64), p) == NULL)
		base64[0] = '\0';
	if (p != NULL)
		pclose(p);
	unlink(file);
	return strlen(base64) == 44 && strcmp(base64, hook_header(h, "MyFatoorah-Signature")) == 0;
}

/*
 * ask
 *		A call with an id put into its body in place of ID.
 */
Reply
ask(const char *name, const char *headers, const char *format, double id)
{
	char body[512];
	char path[64];
	const char *at_id = strstr(format, "ID");

	snprintf(body, sizeof(body), "%.*s%.0f%s", (int) (at_id - format), format, id, at_id + 2);
	snprintf(path, sizeof(path), "/v2/%s", name);
	return call("POST", path, headers, body);
}

/*
 * account
 *		Set the account of Kuwait up.
 */
void
account(const char *settings)
{
	Reply r = control("POST", "account", settings);

	CHECK(r.status == 200, "%s: %s", settings, r.body);
	free_reply(&r);
}

/*
 * paid_invoice
 *		An invoice of 250.100 that was paid.
 */
double
paid_invoice(const char *reference, const char *more)
{
	double id = new_invoice(reference, more);
	Reply r = act(id, "pay", "{\"gateway\":\"CARD\"}");

	CHECK(r.status == 200, "paid: %s", r.body);
	free_reply(&r);
	return id;
}

/*
 * counted
 *		One of the oracle's counts.
 */
int64_t
counted(const char *query, const char *member)
{
	char path[128];
	Reply r;
	int64_t n;

	snprintf(path, sizeof(path), "counts?%s", query);
	r = control("GET", path, "");
	n = (int64_t) number_at(r.json, member);
	free_reply(&r);
	return n;
}
