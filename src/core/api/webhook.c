/*
 * webhook.c
 *	  MyFatoorah's webhooks: parses one and checks its signature.
 *
 * First a message is split into the pairs of name and value that its signature
 * covers.  All results are looked up among these pairs, so nothing unsigned
 * can become a result.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/webhook.c
 */
#include "core/api/webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/redact.h"
#include "core/text/ascii.h"
#include "core/text/digest.h"
#include "core/text/json.h"
#include "core/text/text.h"

#define MAX_SIGNED 8

/* One kind of event.  Members are named as in the signed text. */
typedef struct EventKind
{
	const char *name;
	const char *subject;		/* what the event is about; required */
	bool		about_invoice;	/* the subject is an InvoiceId */
	const char *payment_id;
	const char *customer_reference;
	const char *status;
	const char *left_out;		/* V1: the member that is not signed */
	const char *members[MAX_SIGNED];	/* V2: those that are, in order */
} EventKind;

/*
 * Fact sheet, sections 10 to 12. The subject of a V1 refund is "InvoiceId";
 * the documentation does not say which invoice that is.
 */
static const EventKind kinds_v1[] = {
	[MF_EVENT_PAYMENT_STATUS] = {"TransactionsStatusChanged", "InvoiceId", true,
		"PaymentId", "CustomerReference", "TransactionStatus", NULL, {NULL}},
	[MF_EVENT_REFUND_STATUS] = {"RefundStatusChanged", "InvoiceId", true,
		NULL, NULL, "RefundStatus", "GatewayReference", {NULL}},
	[MF_EVENT_BALANCE_TRANSFERRED] = {"BalanceTransferred", "DepositReference", false,
		NULL, NULL, NULL, NULL, {NULL}},
	[MF_EVENT_SUPPLIER_STATUS] = {"SupplierStatusChanged", "SupplierCode", false,
		NULL, NULL, "SupplierStatus", "KycFeedback", {NULL}},
	[MF_EVENT_RECURRING] = {"RecurringStatusChanged", "InvoiceId", true,
		"PaymentId", NULL, "RecurringStatus", NULL, {NULL}},
	[MF_EVENT_DISPUTE_STATUS] = {"DisputeStatusChanged", "InvoiceId", true,
		"TransactionPaymentId", "CustomerReference", "DisputeStatus", NULL, {NULL}},
	[MF_EVENT_SUPPLIER_UPDATE] = {"SupplierUpdateRequestChanged", "SupplierCode", false,
		NULL, NULL, "RequestStatus", NULL, {NULL}},
};

/*
 * The number and the name of an event are not signed.  In V1 all members are,
 * and the first of these that is present shows the kind.
 */
static const struct
{
	const char *member;
	MfWebhookEvent code;
}			signs_v1[] = {
	{"DisputeStatus", MF_EVENT_DISPUTE_STATUS},
	{"RefundStatus", MF_EVENT_REFUND_STATUS},
	{"RecurringStatus", MF_EVENT_RECURRING},
	{"RequestStatus", MF_EVENT_SUPPLIER_UPDATE},
	{"DepositReference", MF_EVENT_BALANCE_TRANSFERRED},
	{"SupplierStatus", MF_EVENT_SUPPLIER_STATUS},
	{"TransactionStatus", MF_EVENT_PAYMENT_STATUS},
};

static const EventKind kinds_v2[] = {
	[MF_EVENT_PAYMENT_STATUS] = {"PAYMENT_STATUS_CHANGED", "Invoice.Id", true,
		"Transaction.PaymentId", "Invoice.ExternalIdentifier", "Transaction.Status", NULL,
		{"Invoice.Id", "Invoice.Status", "Transaction.Status", "Transaction.PaymentId",
		"Invoice.ExternalIdentifier"}},
	[MF_EVENT_REFUND_STATUS] = {"REFUND_STATUS_CHANGED", "ReferencedInvoice.Id", true,
		NULL, NULL, "Refund.Status", NULL,
		{"Refund.Id", "Refund.Status", "Amount.ValueInBaseCurrency", "ReferencedInvoice.Id"}},
	[MF_EVENT_BALANCE_TRANSFERRED] = {"BALANCE_TRANSFERRED", "Deposit.Reference", false,
		NULL, NULL, NULL, NULL,
		{"Deposit.Reference", "Deposit.ValueInBaseCurrency", "Deposit.NumberOfTransactions"}},
	[MF_EVENT_SUPPLIER_STATUS] = {"SUPPLIER_STATUS_CHANGED", "Supplier.Code", false,
		NULL, NULL, "KycDecision.Status", NULL,
		{"Supplier.Code", "KycDecision.Status"}},
	[MF_EVENT_RECURRING] = {"RECURRING_UPDATES", "Recurring.InitialInvoiceId", true,
		NULL, NULL, "Recurring.Status", NULL,
		{"Recurring.Id", "Recurring.Status", "Recurring.InitialInvoiceId"}},
	[MF_EVENT_DISPUTE_STATUS] = {"DISPUTE_STATUS_CHANGED", "Invoice.Id", true,
		"Transaction.PaymentId", "Invoice.ExternalIdentifier", "Dispute.Status", NULL,
		{"Dispute.DisputeTransactionId", "Dispute.Status", "Invoice.Id", "Invoice.Status",
		"Transaction.Status", "Transaction.PaymentId", "Invoice.ExternalIdentifier"}},
	[MF_EVENT_SUPPLIER_UPDATE] = {"SUPPLIER_UPDATE_REQUEST_CHANGED", "Supplier.Code", false,
		NULL, NULL, "RequestStatus.Status", NULL,
		{"Supplier.Code", "RequestStatus.Status"}},
};

/* A signed member */
typedef struct Pair
{
	const char *name;			/* owned by the tree, or static */
	const char *value;			/* owned by the tree, or "" */
} Pair;

/* A message while it is checked */
typedef struct Message
{
	cJSON	   *root;
	cJSON	   *data;
	const char *reference;
	int			version;
	MfWebhookEvent code;
	const EventKind *kind;
	Pair	   *pairs;
	int			count;
	char	   *signed_text;
	char		error[300];
} Message;

/* Ends the parsing with "problem: detail". "detail" may be NULL, and may be any text. */
static MfWebhookVerdict
refuse(Message *message, MfWebhookVerdict verdict, const char *problem, const char *detail)
{
	char		excerpt[101];

	if (detail == NULL)
		snprintf(message->error, sizeof(message->error), "%s", problem);
	else
	{
		mf_text_excerpt(detail, strlen(detail), excerpt, sizeof(excerpt));
		snprintf(message->error, sizeof(message->error), "%s: %s", problem, excerpt);
	}
	return verdict;
}

/* A header's value without the white space around it */
static const char *
trim_space(const char *text, size_t *len)
{
	*len = 0;
	if (text == NULL)
		return "";
	text += strspn(text, " \t\r\n");
	*len = strlen(text);
	while (*len > 0 && mf_is_space(text[*len - 1]))
		(*len)--;
	return text;
}

/* 0 if absent, -1 if not a known version */
static int
version_of_header(const char *header)
{
	size_t		len;

	header = trim_space(header, &len);
	if (len == 0)
		return 0;
	if (len != 2 || mf_lower(header[0]) != 'v' || (header[1] != '1' && header[1] != '2'))
		return -1;
	return header[1] - '0';
}

/* ----------
 * Reading
 * ----------
 */

static MfWebhookVerdict
parse_body(Message *message, const char *body, size_t len)
{
	const char *problem;

	if (len > MF_WEBHOOK_MAX_BODY)
		return refuse(message, MF_WEBHOOK_MALFORMED, "the body is too long", NULL);
	message->root = mf_json_parse(body, len, &problem, NULL);
	if (message->root != NULL)
		return MF_WEBHOOK_VALID;
	if (strcmp(problem, MF_JSON_OUT_OF_MEMORY) == 0)
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, problem, NULL);
	return refuse(message, MF_WEBHOOK_MALFORMED, "the body is not valid JSON", problem);
}

/* "Event" is a string in V1 and an object in V2, so no body can be both. */
static MfWebhookVerdict
read_version(Message *message, const char *header)
{
	const cJSON *event = mf_json_get(message->root, "Event");
	bool		has_type = (mf_json_get(message->root, "EventType") != NULL);
	int			told = version_of_header(header);

	if (told < 0)
		return refuse(message, MF_WEBHOOK_MALFORMED, "unknown webhook version", header);
	if (cJSON_IsString(event) && has_type)
		message->version = 1;
	else if (cJSON_IsObject(event) && !has_type)
		message->version = 2;
	else
		return refuse(message, MF_WEBHOOK_MALFORMED, "the body has the shape of no webhook version", NULL);
	if (told != 0 && told != message->version)
		return refuse(message, MF_WEBHOOK_MALFORMED, "the body contradicts its webhook version", header);
	return MF_WEBHOOK_VALID;
}

/*
 * The number of the event selects the signed members but is not signed
 * itself: it must be known and match the name.
 */
static MfWebhookVerdict
read_event(Message *message)
{
	const cJSON *event = mf_json_get(message->root, "Event");
	const char *code;
	const char *name;

	if (message->version == 1)
	{
		code = mf_json_text(message->root, "EventType");
		name = mf_json_string(message->root, "Event");
	}
	else
	{
		code = mf_json_text(event, "Code");
		name = mf_json_string(event, "Name");
		message->reference = mf_json_string(event, "Reference");
	}
	if (code == NULL || strlen(code) != 1 || code[0] < '1' || code[0] > '7')
		return refuse(message, MF_WEBHOOK_MALFORMED, "unknown event", code != NULL ? code : "no number");
	message->code = (MfWebhookEvent) (code[0] - '0');
	message->kind = (message->version == 1) ? &kinds_v1[message->code] : &kinds_v2[message->code];
	if (name == NULL || strcmp(name, message->kind->name) != 0)
		return refuse(message, MF_WEBHOOK_MALFORMED, "the name of the event does not go with its number",
					  name != NULL ? name : "no name");
	message->data = cJSON_GetObjectItemCaseSensitive(message->root, "Data");
	if (!cJSON_IsObject(message->data))
		return refuse(message, MF_WEBHOOK_MALFORMED, "Data is no object", NULL);
	return MF_WEBHOOK_VALID;
}

/*
 * Null and absent members are signed as nothing, strings and numbers as they
 * are.  How MyFatoorah would write a boolean ("True", "true", "1"?) is not
 * known, and no signed member is a boolean, an object or an array: such a
 * message is refused.
 */
static MfWebhookVerdict
add_pair(Message *message, const char *name, const cJSON *node)
{
	Pair	   *pair = &message->pairs[message->count++];

	pair->name = name;
	pair->value = "";
	if (node == NULL || cJSON_IsNull(node))
		return MF_WEBHOOK_VALID;
	if (!cJSON_IsString(node) && !mf_json_is_number(node))
		return refuse(message, MF_WEBHOOK_MALFORMED, "a signed member is neither text nor number", name);
	pair->value = node->valuestring;
	return MF_WEBHOOK_VALID;
}

static int
compare_pairs(const void *a, const void *b)
{
	return mf_ascii_compare(((const Pair *) a)->name, ((const Pair *) b)->name);
}

/*
 * Every member of Data but the one that is not signed.
 *
 * Names are as free as values here, so the signed text of another message
 * could be split into other pairs.  The text of a V2 message cannot: up to
 * its first "=" it has a name with a dot, and names with dots are refused.
 * The order of names that differ only in case is not known, so they are
 * refused too.
 */
static MfWebhookVerdict
read_pairs_v1(Message *message)
{
	const char *left_out = message->kind->left_out;
	const cJSON *member;
	MfWebhookVerdict verdict;
	int			i;

	cJSON_ArrayForEach(member, message->data)
	{
		if (member->string[0] == '\0' || strpbrk(member->string, ".,=") != NULL)
			return refuse(message, MF_WEBHOOK_MALFORMED, "not the name of a member", member->string);
		if (left_out != NULL && strcmp(member->string, left_out) == 0)
			continue;
		if (left_out != NULL && mf_ascii_compare(member->string, left_out) == 0)
			return refuse(message, MF_WEBHOOK_MALFORMED, "a member's name is in the wrong case", member->string);
		verdict = add_pair(message, member->string, member);
		if (verdict != MF_WEBHOOK_VALID)
			return verdict;
	}
	qsort(message->pairs, (size_t) message->count, sizeof(Pair), compare_pairs);
	for (i = 1; i < message->count; i++)
	{
		if (compare_pairs(&message->pairs[i - 1], &message->pairs[i]) == 0)
			return refuse(message, MF_WEBHOOK_MALFORMED, "two members differ only in case",
						  message->pairs[i].name);
	}
	return MF_WEBHOOK_VALID;
}

/*
 * No endpoint confirms a dispute.  So its signed text must be one that can be
 * split in one way only: another message, in which a customer has a name like
 * "x,DisputeStatus=LOST", would have some of its own members inside of a
 * value.
 */
static MfWebhookVerdict
check_cut_v1(Message *message)
{
	int			i;

	for (i = 0; i < message->count; i++)
	{
		const char *comma = strchr(message->pairs[i].value, ',');

		for (; comma != NULL; comma = strchr(comma + 1, ','))
		{
			if (comma[1 + strcspn(comma + 1, ",=")] == '=')
				return refuse(message, MF_WEBHOOK_MALFORMED, "the text of a dispute can be cut in several ways",
							  message->pairs[i].name);
		}
	}
	return MF_WEBHOOK_VALID;
}

/*
 * A signed message of one kind cannot become one of another kind by a changed
 * number.  A message without any kind, perhaps because its text was split
 * that way, counts at most as a payment, which is only a reason to ask
 * GetPaymentStatus.
 */
static MfWebhookVerdict
check_kind_v1(Message *message)
{
	size_t		sign;
	int			i;

	for (sign = 0; sign < sizeof(signs_v1) / sizeof(signs_v1[0]); sign++)
	{
		for (i = 0; i < message->count; i++)
		{
			if (strcmp(message->pairs[i].name, signs_v1[sign].member) != 0)
				continue;
			if (signs_v1[sign].code == message->code)
				return message->code == MF_EVENT_DISPUTE_STATUS ? check_cut_v1(message) : MF_WEBHOOK_VALID;
			return refuse(message, MF_WEBHOOK_MALFORMED, "the event is of another kind than its number says",
						  signs_v1[sign].member);
		}
	}
	if (message->code == MF_EVENT_PAYMENT_STATUS)
		return MF_WEBHOOK_VALID;
	return refuse(message, MF_WEBHOOK_MALFORMED, "no signed member shows the kind of the event", message->kind->name);
}

/*
 * The listed members, "Object.Member" of Data (never of the root: there all
 * would be empty).
 */
static MfWebhookVerdict
read_pairs_v2(Message *message)
{
	const char *const *name = message->kind->members;
	MfWebhookVerdict verdict = MF_WEBHOOK_VALID;

	for (; *name != NULL && verdict == MF_WEBHOOK_VALID; name++)
	{
		const char *dot = strchr(*name, '.');
		char		object[32];
		const cJSON *parent;

		snprintf(object, sizeof(object), "%.*s", (int) (dot - *name), *name);
		parent = mf_json_get(message->data, object);
		if (parent != NULL && !cJSON_IsNull(parent) && !cJSON_IsObject(parent))
			return refuse(message, MF_WEBHOOK_MALFORMED, "a member of Data is no object", object);
		verdict = add_pair(message, *name, mf_json_get(parent, dot + 1));
	}
	return verdict;
}

/* NULL if no such member is signed, or it is empty. */
static const char *
signed_value(const Message *message, const char *name)
{
	int			i;

	for (i = 0; name != NULL && i < message->count; i++)
	{
		if (strcmp(message->pairs[i].name, name) == 0)
			return message->pairs[i].value[0] != '\0' ? message->pairs[i].value : NULL;
	}
	return NULL;
}

static MfWebhookVerdict
read_pairs(Message *message)
{
	size_t		size = (message->version == 1) ? (size_t) cJSON_GetArraySize(message->data) : MAX_SIGNED;
	MfWebhookVerdict verdict;
	const char *subject;

	message->pairs = calloc(size + 1, sizeof(Pair));
	if (message->pairs == NULL)
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, MF_JSON_OUT_OF_MEMORY, NULL);
	verdict = (message->version == 1) ? read_pairs_v1(message) : read_pairs_v2(message);
	if (verdict != MF_WEBHOOK_VALID)
		return verdict;
	subject = signed_value(message, message->kind->subject);
	if (subject == NULL)
		return refuse(message, MF_WEBHOOK_MALFORMED, "a member is missing", message->kind->subject);
	if (message->kind->about_invoice && !mf_invoice_id_valid(subject))
		return refuse(message, MF_WEBHOOK_MALFORMED, "not the number of an invoice", subject);
	return message->version == 1 ? check_kind_v1(message) : MF_WEBHOOK_VALID;
}

/* "k1=v1,k2=v2": nothing escaped */
static MfWebhookVerdict
write_signed_text(Message *message)
{
	size_t		size = 1;
	char	   *out;
	int			i;

	for (i = 0; i < message->count; i++)
		size += strlen(message->pairs[i].name) + strlen(message->pairs[i].value) + 2;
	out = message->signed_text = malloc(size);
	if (out == NULL)
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, MF_JSON_OUT_OF_MEMORY, NULL);
	for (i = 0; i < message->count; i++)
	{
		if (i > 0)
			*out++ = ',';
		out = stpcpy(out, message->pairs[i].name);
		*out++ = '=';
		out = stpcpy(out, message->pairs[i].value);
	}
	return MF_WEBHOOK_VALID;
}

/* ----------
 * The verdict
 * ----------
 */

static MfWebhookVerdict
check_signature(Message *message, const char *signature, const char *const *secrets, int secret_count)
{
	bool		have_secret = false;
	bool		fits;
	size_t		len;
	int			i;

	for (i = 0; i < secret_count; i++)
		have_secret |= (secrets[i] != NULL && secrets[i][0] != '\0');
	signature = trim_space(signature, &len);
	if (len == 0)
		return refuse(message, MF_WEBHOOK_UNSIGNED, "it carries no signature", NULL);
	if (!have_secret)
		return refuse(message, MF_WEBHOOK_UNSIGNED, "there is no secret to check its signature with", NULL);
	if (len != MF_SIGNATURE_LENGTH)
		return refuse(message, MF_WEBHOOK_FORGED, "its signature is none of HMAC-SHA256 in Base64", NULL);
	if (!mf_signature_check(message->signed_text, signature, secrets, secret_count, &fits))
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, "its signature could not be computed", NULL);
	if (!fits)
		return refuse(message, MF_WEBHOOK_FORGED, "its signature fits no secret", NULL);
	return MF_WEBHOOK_VALID;
}

/* False only when out of memory. */
static bool
copy_value(const char *value, char **copy)
{
	*copy = (value != NULL) ? strdup(value) : NULL;
	return value == NULL || *copy != NULL;
}

static MfWebhookVerdict
hand_out(Message *message, MfWebhook *webhook)
{
	const EventKind *kind = message->kind;
	char		label[16];

	snprintf(label, sizeof(label), "v%d %d ", message->version, (int) message->code);
	if (!mf_sha256_of_two(label, message->signed_text, webhook->digest) ||
		!copy_value(message->reference, &webhook->event_reference) ||
		!copy_value(kind->about_invoice ? signed_value(message, kind->subject) : NULL, &webhook->invoice_id) ||
		!copy_value(signed_value(message, kind->payment_id), &webhook->payment_id) ||
		!copy_value(signed_value(message, kind->customer_reference), &webhook->customer_reference) ||
		!copy_value(signed_value(message, kind->status), &webhook->event_status))
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, MF_JSON_OUT_OF_MEMORY, NULL);

	/* the pairs point into this tree */
	message->count = 0;
	mf_redact(message->data);
	webhook->data = mf_json_print(message->data);
	if (webhook->data == NULL)
		return refuse(message, MF_WEBHOOK_OUT_OF_MEMORY, MF_JSON_OUT_OF_MEMORY, NULL);
	webhook->version = message->version;
	webhook->event_code = message->code;
	webhook->event_name = kind->name;
	webhook->signed_text = message->signed_text;
	message->signed_text = NULL;
	return MF_WEBHOOK_VALID;
}

MfWebhookVerdict
mf_webhook_read(const char *body, size_t len, const char *signature, const char *version,
				const char *const *secrets, int secret_count, MfWebhook *webhook)
{
	Message		message = {0};
	MfWebhookVerdict verdict;

	memset(webhook, 0, sizeof(*webhook));
	verdict = parse_body(&message, body, len);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = read_version(&message, version);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = read_event(&message);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = read_pairs(&message);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = write_signed_text(&message);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = check_signature(&message, signature, secrets, secret_count);
	if (verdict == MF_WEBHOOK_VALID)
		verdict = hand_out(&message, webhook);

	if (verdict != MF_WEBHOOK_VALID)
	{
		mf_webhook_free(webhook);
		webhook->error = strdup(message.error);
	}
	free(message.signed_text);
	free(message.pairs);
	cJSON_Delete(message.root);
	return verdict;
}

void
mf_webhook_free(MfWebhook *webhook)
{
	free(webhook->event_reference);
	free(webhook->signed_text);
	free(webhook->invoice_id);
	free(webhook->payment_id);
	free(webhook->customer_reference);
	free(webhook->event_status);
	free(webhook->data);
	free(webhook->error);
	memset(webhook, 0, sizeof(*webhook));
}
