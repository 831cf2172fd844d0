/*
 * fuzz_webhook.c
 *	  Webhooks: valid exactly if the message is one and a secret signed it.
 *
 * The judge below has its own tables, its own order of names, and its own
 * HMAC-SHA256; it shares only the reading of JSON with src/core, which has a
 * target of its own.  By the first byte the judge signs the body, so that the
 * fuzzer gets beyond the signature.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_webhook.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fuzz.h"

#include "core/text/json.h"
#include "sha256.h"
#include "core/api/webhook.h"

#define SECRET "example-webhook-secret-1"
#define PREVIOUS "the one before, longer than a block of sixty-four bytes, so that it is hashed"

static const char *const versions[] = {NULL, "", "v1", "V2", " v2", "v3", "1", "v1v"};

/* Number, names in both versions, what must be there in V1, what V1 leaves out, the V2 list */
static const struct
{
	const char *v1;
	const char *needs;
	const char *without;
	const char *v2;
	const char *needs2;
	const char *list;			/* each with a comma behind it */
}			rules[] = {
	{"", "", "", "", "", ""},
	{"TransactionsStatusChanged", "InvoiceId", "", "PAYMENT_STATUS_CHANGED", "Invoice.Id",
	"Invoice.Id,Invoice.Status,Transaction.Status,Transaction.PaymentId,Invoice.ExternalIdentifier,"},
	{"RefundStatusChanged", "InvoiceId", "GatewayReference", "REFUND_STATUS_CHANGED", "ReferencedInvoice.Id",
	"Refund.Id,Refund.Status,Amount.ValueInBaseCurrency,ReferencedInvoice.Id,"},
	{"BalanceTransferred", "DepositReference", "", "BALANCE_TRANSFERRED", "Deposit.Reference",
	"Deposit.Reference,Deposit.ValueInBaseCurrency,Deposit.NumberOfTransactions,"},
	{"SupplierStatusChanged", "SupplierCode", "KycFeedback", "SUPPLIER_STATUS_CHANGED", "Supplier.Code",
	"Supplier.Code,KycDecision.Status,"},
	{"RecurringStatusChanged", "InvoiceId", "", "RECURRING_UPDATES", "Recurring.InitialInvoiceId",
	"Recurring.Id,Recurring.Status,Recurring.InitialInvoiceId,"},
	{"DisputeStatusChanged", "InvoiceId", "", "DISPUTE_STATUS_CHANGED", "Invoice.Id",
	"Dispute.DisputeTransactionId,Dispute.Status,Invoice.Id,Invoice.Status,Transaction.Status,Transaction.PaymentId,Invoice.ExternalIdentifier,"},
	{"SupplierUpdateRequestChanged", "SupplierCode", "", "SUPPLIER_UPDATE_REQUEST_CHANGED", "Supplier.Code",
	"Supplier.Code,RequestStatus.Status,"},
};

/* Members that must not be stored, anywhere */
static const char *const private_names[] = {
	"Name", "Mobile", "Email", "IP", "IpAddress", "Customer", "CustomerName", "CustomerMobile", "CustomerEmail",
	"SupplierName", "SupplierMobile", "SupplierEmail", "NameOnCard", "Token", "PanHash", "ExpiryMonth", "ExpiryYear",
	"Bank", "IBAN", "AccountNumber",
};

/* Appends "name=value" and a comma; false for what is neither null, text nor number. */
static bool
put_pair(char **text, const char *name, const cJSON *node)
{
	const char *value = "";
	char	   *longer;

	if (node != NULL && !cJSON_IsNull(node))
	{
		if (!cJSON_IsString(node) && !cJSON_IsRaw(node))
			return false;
		value = node->valuestring;
	}
	CHECK(asprintf(&longer, "%s%s=%s,", *text, name, value) >= 0);
	free(*text);
	*text = longer;
	return true;
}

/* Something of the data by its path */
static const cJSON *
find(const cJSON *data, const char *path)
{
	const char *dot = strchr(path, '.');
	char	   *first;
	const cJSON *parent;

	if (dot == NULL)
		return cJSON_GetObjectItemCaseSensitive(data, path);
	first = strndup(path, (size_t) (dot - path));
	CHECK(first != NULL);
	parent = cJSON_GetObjectItemCaseSensitive(data, first);
	free(first);
	return cJSON_GetObjectItemCaseSensitive(parent, dot + 1);
}

/* Every member, the least name first, each time among those greater than the last */
static bool
put_v1(char **text, const cJSON *data, const char *without)
{
	const cJSON *last = NULL;

	for (;;)
	{
		const cJSON *least = NULL;
		const cJSON *member;

		cJSON_ArrayForEach(member, data)
		{
			const cJSON *other;

			if (*member->string == '\0' || strpbrk(member->string, "=,.") != NULL)
				return false;
			for (other = member->next; other != NULL; other = other->next)
			{
				if (strcasecmp(member->string, other->string) == 0)
					return false;
			}
			if (strcasecmp(member->string, without) == 0)
			{
				if (strcmp(member->string, without) != 0)
					return false;
				continue;
			}
			if (last != NULL && strcasecmp(member->string, last->string) <= 0)
				continue;
			if (least == NULL || strcasecmp(member->string, least->string) < 0)
				least = member;
		}
		if (least == NULL)
			return true;
		if (!put_pair(text, least->string, least))
			return false;
		last = least;
	}
}

static bool
put_v2(char **text, const cJSON *data, const char *list)
{
	while (*list != '\0')
	{
		size_t		len = strcspn(list, ",");
		char		name[100];
		const cJSON *parent;
		bool		fine;

		snprintf(name, sizeof(name), "%.*s", (int) len, list);
		*strchr(name, '.') = '\0';
		parent = cJSON_GetObjectItemCaseSensitive(data, name);
		name[strlen(name)] = '.';
		fine = (parent == NULL || cJSON_IsNull(parent) || cJSON_IsObject(parent)) && put_pair(text, name, find(data, name));
		if (!fine)
			return false;
		list += len + 1;
	}
	return true;
}

/* The number of the event that the signed members of a V1 message tell; those that tell nothing are a payment's. */
static int
judge_kind_v1(const cJSON *data)
{
	static const struct
	{
		const char *member;
		int			code;
	}			kinds[] = {
		{"DisputeStatus", 6}, {"RefundStatus", 2}, {"RecurringStatus", 5}, {"RequestStatus", 7},
		{"DepositReference", 3}, {"SupplierStatus", 4},
	};
	size_t		i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (cJSON_GetObjectItemCaseSensitive(data, kinds[i].member) != NULL)
			return kinds[i].code;
	}
	return 1;
}

/* How many pairs a signed text could be split into at most */
static int
judge_pieces(const char *text)
{
	char	   *copy = strdup(text);
	char	   *rest = copy;
	char	   *piece;
	int			pieces = 0;

	CHECK(copy != NULL);
	while ((piece = strsep(&rest, ",")) != NULL)
		pieces += strchr(piece, '=') != NULL;
	free(copy);
	return pieces;
}

/*
 * The signed text of a body, NULL if it is not a message; its version and
 * event number.
 */
static char *
judge_text(const cJSON *root, const char *header, int *version, int *code)
{
	const cJSON *event = cJSON_GetObjectItemCaseSensitive(root, "Event");
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(root, "EventType");
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(root, "Data");
	const cJSON *number;
	const cJSON *name;
	const cJSON *needed;
	const char *needs;
	char	   *text;

	/* cJSON finds members of arrays too: it asks for a child's name only */
	if (!cJSON_IsObject(root) || !cJSON_IsObject(data))
		return NULL;
	if (cJSON_IsString(event) && type != NULL)
		*version = 1;
	else if (cJSON_IsObject(event) && type == NULL)
		*version = 2;
	else
		return NULL;
	if (header != NULL && *header != '\0' &&
		strcasecmp(header + strspn(header, " "), *version == 1 ? "v1" : "v2") != 0)
		return NULL;
	number = *version == 1 ? type : cJSON_GetObjectItemCaseSensitive(event, "Code");
	name = *version == 1 ? event : cJSON_GetObjectItemCaseSensitive(event, "Name");
	if (number == NULL || (!cJSON_IsString(number) && !cJSON_IsRaw(number)) || !cJSON_IsString(name))
		return NULL;
	for (*code = 1; *code <= 7; (*code)++)
	{
		char		digit[2] = {(char) ('0' + *code), '\0'};

		if (strcmp(number->valuestring, digit) == 0)
			break;
	}
	if (*code > 7 || strcmp(name->valuestring, *version == 1 ? rules[*code].v1 : rules[*code].v2) != 0)
		return NULL;

	needs = *version == 1 ? rules[*code].needs : rules[*code].needs2;
	needed = find(data, needs);
	if (needed == NULL || (!cJSON_IsString(needed) && !cJSON_IsRaw(needed)) || needed->valuestring[0] == '\0')
		return NULL;
	if (strstr(needs, "Invoice") != NULL && !judge_invoice_id(needed->valuestring))
		return NULL;

	if (*version == 1 && judge_kind_v1(data) != *code)
		return NULL;

	text = strdup("");
	CHECK(text != NULL);
	if (!(*version == 1 ? put_v1(&text, data, rules[*code].without) : put_v2(&text, data, rules[*code].list)))
	{
		free(text);
		return NULL;
	}
	text[strlen(text) - 1] = '\0';
	if (*version == 1 && *code == 6 && judge_pieces(text) != cJSON_GetArraySize(data))
	{
		free(text);
		return NULL;
	}
	return text;
}

/* The text of a signed value is, as a whole, that of a pair. */
static void
check_fact(const char *signed_text, const char *fact)
{
	char	   *behind;

	if (fact == NULL)
		return;
	CHECK(fact[0] != '\0');
	CHECK(asprintf(&behind, "=%s", fact) > 0);
	CHECK(strstr(signed_text, behind) != NULL);
	free(behind);
}

static void
check_redacted(const cJSON *node)
{
	const cJSON *child;
	size_t		i;

	if (cJSON_IsRaw(node))
		CHECK(strlen(node->valuestring) <= 40 && strpbrk(node->valuestring, "eE") == NULL);
	for (i = 0; node->string != NULL && i < sizeof(private_names) / sizeof(private_names[0]); i++)
		CHECK(strcasecmp(node->string, private_names[i]) != 0);
	cJSON_ArrayForEach(child, node)
		check_redacted(child);
}

static void
check_valid(const MfWebhook *webhook, const char *text, int version, int code)
{
	uint8_t		digest[32];
	char	   *hashed;
	cJSON	   *data;

	CHECK(strcmp(webhook->signed_text, text) == 0);
	CHECK(webhook->version == version && (int) webhook->event_code == code);
	CHECK(strcmp(webhook->event_name, version == 1 ? rules[code].v1 : rules[code].v2) == 0);
	CHECK(webhook->error == NULL);
	CHECK(asprintf(&hashed, "v%d %d %s", version, code, text) > 0);
	plain_sha256(hashed, strlen(hashed), digest);
	CHECK(memcmp(digest, webhook->digest, 32) == 0);
	free(hashed);

	check_fact(text, webhook->invoice_id);
	check_fact(text, webhook->payment_id);
	check_fact(text, webhook->customer_reference);
	check_fact(text, webhook->event_status);
	CHECK((webhook->invoice_id != NULL) == (code != 3 && code != 4 && code != 7));
	CHECK(webhook->invoice_id == NULL || judge_invoice_id(webhook->invoice_id));
	CHECK(webhook->event_reference == NULL || version == 2);

	CHECK(judge_json(webhook->data, strlen(webhook->data)));
	CHECK(strstr(webhook->data, "\\u0000") == NULL || strstr(webhook->data, "\\\\u0000") != NULL);
	data = mf_json_parse(webhook->data, strlen(webhook->data), NULL, NULL);
	CHECK(data != NULL && cJSON_IsObject(data));
	check_redacted(data);
	cJSON_Delete(data);
}

static void
check_refused(const MfWebhook *webhook)
{
	CHECK(webhook->error != NULL && judge_line(webhook->error, 300));
	CHECK(webhook->version == 0 && webhook->event_name == NULL && webhook->event_reference == NULL);
	CHECK(webhook->signed_text == NULL && webhook->invoice_id == NULL && webhook->payment_id == NULL);
	CHECK(webhook->customer_reference == NULL && webhook->event_status == NULL && webhook->data == NULL);
}

/* Whether the header, without white space around it, is the signature by one of the secrets */
static bool
judge_signature(const char *text, const char *signature, const char *const *secrets, int count)
{
	size_t		len;
	int			i;

	signature += strspn(signature, " \t\r\n");
	for (len = strlen(signature); len > 0 && strchr(" \t\r\n", signature[len - 1]) != NULL; len--)
		;
	for (i = 0; i < count; i++)
	{
		char		right[45];

		if (secrets[i] == NULL || *secrets[i] == '\0')
			continue;
		plain_signature(secrets[i], text, right);
		if (len == 44 && memcmp(right, signature, 44) == 0)
			return true;
	}
	return false;
}

/*
 * First a byte: bits 0 to 2 the version header, 3 and 4 who signs (nobody: the
 * signature comes from the input; a secret; the one before; a stranger), 5 and
 * 6 the secrets there are, 7 white space.  Then the signature up to the byte
 * 0x01; the rest is the body.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const signers[] = {NULL, SECRET, PREVIOUS, "stranger"};
	static const char *const all[][3] = {{SECRET, PREVIOUS, NULL}, {NULL, "", SECRET}, {NULL, NULL, ""}, {PREVIOUS, NULL, SECRET}};
	Input		input = {data, size};
	uint8_t		flags = take_byte(&input);
	const char *header = versions[flags & 7];
	const char *signer = signers[(flags >> 3) & 3];
	const char *const *secrets = all[(flags >> 5) & 3];
	char	   *signature = take_string(&input);
	size_t		len;
	char	   *body = take_rest(&input, &len);
	cJSON	   *root = mf_json_parse(body, len, NULL, NULL);
	int			version = 0;
	int			code = 0;
	char	   *text = judge_text(root, header, &version, &code);
	MfWebhookVerdict verdict;
	MfWebhook	webhook;
	bool		blank;

	if (signer != NULL && text != NULL)
	{
		char		right[45];

		free(signature);
		plain_signature(signer, text, right);
		CHECK(asprintf(&signature, "%s%s", right, (flags & 128) ? " \n" : "") > 0);
	}
	blank = (strspn(signature, " \t\r\n") == strlen(signature));

	memset(&webhook, 0xA5, sizeof(webhook));
	verdict = mf_webhook_read(body, len, signature, header, secrets, 3, &webhook);
	if (text == NULL || len > MF_WEBHOOK_MAX_BODY)
		CHECK(verdict == MF_WEBHOOK_MALFORMED);
	else if (blank || secrets == all[2])
		CHECK(verdict == MF_WEBHOOK_UNSIGNED);
	else if (judge_signature(text, signature, secrets, 3))
		CHECK(verdict == MF_WEBHOOK_VALID);
	else
		CHECK(verdict == MF_WEBHOOK_FORGED);

	if (verdict == MF_WEBHOOK_VALID)
		check_valid(&webhook, text, version, code);
	else
		check_refused(&webhook);
	mf_webhook_free(&webhook);
	mf_webhook_free(&webhook);

	cJSON_Delete(root);
	free(text);
	free(body);
	free(signature);
	return 0;
}
