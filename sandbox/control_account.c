/*
 * control_account.c
 *	  The control path to accounts: how they are set up, their keys, refunds
 *	  and deposits, and counts of what was done.
 */
#include "control.h"

#include <stdlib.h>

#include "deposit.h"
#include "status.h"

#define MAX_DEPOSIT 2000000

static const char *const styles[] = {"guide", "reference", "old", "idempotency", NULL};
static const char *const failed_words[] = {"forget", "keep", "lose", NULL};
static const char *const concurrent_words[] = {"replay", "refuse", "double", NULL};
static const char *const key_words[] = {"ok", "expired", "foreign", "forbidden", NULL};

/* How much of everything was done */
typedef struct OperationCounts
{
	int64_t made_by[MADE_BY_RECURRING + 1];
	int64_t paid;
	int64_t payments;
	int64_t captures;
	int64_t releases;
	int64_t deposited;
	int64_t refunds[REFUND_REJECTED + 1];
	Decimal refunded;
} OperationCounts;

/*
 * take_bool, take_count, take_decimal, word_at
 *		Values of settings; false, or -1, if they make no sense. A decimal is a
 *		text, or null for none.
 */
static bool
take_bool(const cJSON *m, bool *to)
{
	*to = cJSON_IsTrue(m);
	return cJSON_IsBool(m);
}

static bool
take_count(const cJSON *m, int64_t maximum, int64_t *to)
{
	if (!cJSON_IsNumber(m) || m->valuedouble < 0 || m->valuedouble > (double) maximum)
		return false;
	*to = (int64_t) m->valuedouble;
	return true;
}

static bool
take_decimal(const cJSON *m, OptionalDecimal *to)
{
	to->present = false;
	if (cJSON_IsNull(m))
		return true;
	to->present = cJSON_IsString(m) && decimal_parse(str_of(m->valuestring), false, &to->value);
	return to->present;
}

static int
word_at(const cJSON *m, const char *const *words)
{
	for (int i = 0; cJSON_IsString(m) && words[i] != NULL; i++)
		if (strcmp(m->valuestring, words[i]) == 0)
			return i;
	return -1;
}

/*
 * take_setting
 *		One member of an account's settings; false if there is no such thing.
 */
static bool
take_setting(AccountSettings *s, const cJSON *m)
{
	const char *name = m->string;
	int word;

	if (strcmp(name, "auto_refund") == 0)
		return take_bool(m, &s->auto_refund);
	if (strcmp(name, "one_refund_at_a_time") == 0)
		return take_bool(m, &s->one_refund_at_a_time);
	if (strcmp(name, "balance") == 0)
		return take_decimal(m, &s->balance);
	if (strcmp(name, "refund_fee") == 0)
		return take_decimal(m, &s->refund_fee);
	if (strcmp(name, "refund_hidden_reads") == 0)
		return take_count(m, 1000000, &s->refund_hidden_reads);
	if (strcmp(name, "refund_hidden_ms") == 0)
		return take_count(m, 86400000, &s->refund_hidden_ms);
	if (strcmp(name, "idempotency") == 0)
		return take_bool(m, &s->idempotency);
	if (strcmp(name, "idempotency_minutes") == 0)
		return take_count(m, 1000000, &s->idempotency_minutes);
	word = word_at(m, strcmp(name, "idempotency_failed") == 0       ? failed_words
					  : strcmp(name, "idempotency_concurrent") == 0 ? concurrent_words
																	: styles);
	if (word < 0)
		return false;
	if (strcmp(name, "refund_answers") == 0)
		s->refund_answers = (AnswerStyle) word;
	else if (strcmp(name, "capture_answers") == 0)
		s->capture_answers = (AnswerStyle) word;
	else if (strcmp(name, "v3_answers") == 0)
		s->v3_answers = (AnswerStyle) word;
	else if (strcmp(name, "idempotency_failed") == 0)
		s->idempotency_failed = (FailedCalls) word;
	else if (strcmp(name, "idempotency_concurrent") == 0)
		s->idempotency_concurrent = (ConcurrentCalls) word;
	else
		return false;
	return true;
}

/*
 * named_account
 *		The account of the body's or the query's country, Kuwait's without; NULL
 *		with the answer made.
 */
static const Account *
named_account(Request *r, const cJSON *json)
{
	const cJSON *country = cJSON_GetObjectItemCaseSensitive(json, "country");
	const Account *account;
	Buf query = {0};

	if (cJSON_IsString(country))
		account = store_account_of(str_of(country->valuestring));
	else if (query_value(r->query, "country", &query))
		account = store_account_of((Str){query.data, query.len});
	else
		account = store_account_of(STR_LIT("KWT"));
	buf_free(&query);
	if (account == NULL)
		control_refused(&r->answer, 400, "no such country");
	return account;
}

/*
 * put_settings
 *		Append how an account is set up.
 */
static void
put_settings(Buf *b, const Account *account)
{
	const AccountSettings *s = account_settings(account);
	const struct
	{
		const char *name;
		const OptionalDecimal *value;
	} decimals[] = {{"balance", &s->balance}, {"refund_fee", &s->refund_fee}};

	buf_printf(b, "{\"country\":\"%s\",\"auto_refund\":%s,\"one_refund_at_a_time\":%s", account->iso3,
			   s->auto_refund ? "true" : "false", s->one_refund_at_a_time ? "true" : "false");
	for (int i = 0; i < 2; i++)
	{
		buf_printf(b, ",\"%s\":%s", decimals[i].name, decimals[i].value->present ? "\"" : "null");
		if (decimals[i].value->present)
		{
			buf_put_decimal(b, decimals[i].value->value);
			buf_putc(b, '"');
		}
	}
	buf_printf(
		b,
		",\"refund_hidden_reads\":%lld,\"refund_hidden_ms\":%lld,\"refund_answers\":\"%s\","
		"\"capture_answers\":\"%s\",\"v3_answers\":\"%s\",\"idempotency\":%s,\"idempotency_minutes\":%lld,"
		"\"idempotency_failed\":\"%s\",\"idempotency_concurrent\":\"%s\"}",
		(long long) s->refund_hidden_reads, (long long) s->refund_hidden_ms, styles[s->refund_answers],
		styles[s->capture_answers], styles[s->v3_answers], s->idempotency ? "true" : "false",
		(long long) s->idempotency_minutes, failed_words[s->idempotency_failed],
		concurrent_words[s->idempotency_concurrent]);
}

/*
 * do_account
 *		Read or change how an account is set up: all members or none. Locked.
 */
static void
do_account(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	const Account *account = ok ? named_account(r, json) : NULL;
	AccountSettings changed;
	const cJSON *m;

	if (account != NULL)
	{
		changed = *account_settings(account);
		cJSON_ArrayForEach (m, json)
			if (ok && strcmp(m->string, "country") != 0 && !take_setting(&changed, m))
			{
				Buf why = {0};

				buf_printf(&why, "%s is no setting, or not with that value", m->string);
				control_refused(&r->answer, 400, why.data);
				buf_free(&why);
				ok = false;
			}
		if (ok)
		{
			*account_settings(account) = changed;
			put_settings(&r->answer.body, account);
			control_ok(&r->answer);
		}
	}
	cJSON_Delete(json);
}

/*
 * do_keys
 *		Have a key, by its place on the command line, work or not. Locked.
 */
static void
do_keys(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	int64_t index = -1;
	int state = word_at(cJSON_GetObjectItemCaseSensitive(json, "state"), key_words);

	if (!ok)
		return;
	json_integer(json, "key_index", &index);
	if (state < 0 || !key_set_state(index, (KeyState) state))
		control_refused(&r->answer, 400, "key_index of a key, and state ok, expired, foreign or forbidden");
	else
	{
		buf_printf(&r->answer.body, "{\"key_index\":%lld,\"state\":\"%s\"}", (long long) index,
				   key_words[state]);
		control_ok(&r->answer);
	}
	cJSON_Delete(json);
}

/*
 * put_refund, list_refunds, do_refund
 *		Refunds as the oracle holds them, those of an invoice or with an external
 *		identifier if named; ID, ID/approve or ID/reject. Locked.
 */
static void
put_refund(Buf *b, const Refund *refund)
{
	buf_printf(b, "{\"id\":%lld,\"reference\":", (long long) refund->id);
	buf_put_refund_reference(b, refund);
	buf_printf(b, ",\"invoice_id\":%lld,\"own_invoice_id\":%lld,\"status\":\"%s\",\"amount\":\"",
			   (long long) refund->invoice->id, (long long) refund->own_invoice_id,
			   refund_status_word(refund->status));
	buf_put_decimal(b, refund->amount);
	buf_puts(b, "\",\"given_back\":\"");
	buf_put_decimal(b, refund->given_back);
	buf_puts(b, "\",\"by_vendor\":\"");
	buf_put_decimal(b, refund_by_vendor(refund));
	buf_puts(b, "\",\"comment\":");
	buf_put_json_or_null(b, str_of(refund->comment));
	buf_puts(b, ",\"external\":");
	buf_put_json_or_null(b, str_of(refund->external));
	buf_putc(b, '}');
}

static void
list_refunds(Request *r)
{
	Buf external = {0};
	bool by_external = query_value(r->query, "external", &external);
	int64_t invoice = query_integer(r, "invoice", 0);
	const Invoice *inv = invoice != 0 ? store_invoice(invoice) : NULL;
	bool first = true;

	buf_puts(&r->answer.body, "{\"refunds\":[");
	for (const Refund *refund = inv != NULL    ? inv->refunds
								: invoice == 0 ? refund_first()
											   : NULL;
		 refund != NULL; refund = inv != NULL ? refund->next_of_invoice : refund->next)
	{
		if (by_external &&
			!str_is((Str){external.data, external.len}, refund->external != NULL ? refund->external : ""))
			continue;
		if (!first)
			buf_putc(&r->answer.body, ',');
		first = false;
		put_refund(&r->answer.body, refund);
	}
	buf_puts(&r->answer.body, "]}");
	control_ok(&r->answer);
	buf_free(&external);
}

static void
do_refund(Request *r, Str rest)
{
	char *action = NULL;
	Refund *refund = rest.len > 0 ? refund_by_id(strtoll(rest.data, &action, 10)) : NULL;

	if (refund == NULL)
		control_refused(&r->answer, 404, "no such refund");
	else if (*action != '\0' && strcmp(action, "/approve") != 0 && strcmp(action, "/reject") != 0)
		control_refused(&r->answer, 404, "approve or reject");
	else if (*action != '\0' && strcmp(r->method, "POST") != 0)
		control_refused(&r->answer, 405, "use POST");
	else if (*action != '\0' && !webhook_decide_refund(refund, action[1] == 'a'))
		control_refused(&r->answer, 409, "the refund is decided");
	else
	{
		put_refund(&r->answer.body, refund);
		control_ok(&r->answer);
	}
}

/*
 * put_deposit
 *		A deposit as the oracle holds it.
 */
static void
put_deposit(Buf *b, const Deposit *d, bool invoices)
{
	const struct
	{
		const char *name;
		Decimal value;
	} amounts[] = {{"announced", d->announced},
				   {"itemised", d->itemised},
				   {"refunds", d->refunds},
				   {"fees", d->fees}};

	buf_puts(b, "{\"reference\":");
	buf_put_deposit_reference(b, d);
	buf_printf(b, ",\"country\":\"%s\",\"supplier\":%lld,\"count\":%d", d->account->iso3,
			   (long long) d->supplier, d->count);
	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++)
	{
		buf_printf(b, ",\"%s\":\"", amounts[i].name);
		buf_put_decimal(b, amounts[i].value);
		buf_putc(b, '"');
	}
	if (invoices)
	{
		buf_puts(b, ",\"invoices\":[");
		for (int i = 0; i < d->count; i++)
			buf_printf(b, "%s%lld", i > 0 ? "," : "", (long long) d->invoices[i]->id);
		buf_putc(b, ']');
	}
	buf_putc(b, '}');
}

/*
 * due_invoices
 *		The invoices named, or without names all that are due; NULL if one named
 *		is not due, or none is. The caller frees.
 */
static Invoice **
due_invoices(const DepositOrder *order, const cJSON *ids, int *count)
{
	Invoice **list = NULL;
	int room = 0;
	const cJSON *id;

	*count = 0;
	if (ids != NULL)
	{
		list = xcalloc((size_t) cJSON_GetArraySize(ids) + 1, sizeof(Invoice *));
		cJSON_ArrayForEach (id, ids)
		{
			Invoice *inv = cJSON_IsNumber(id) ? store_invoice((int64_t) id->valuedouble) : NULL;

			for (int i = 0; i < *count && *count <= 1000; i++)
				if (list[i] == inv)
					inv = NULL;
			if (inv == NULL || !deposit_is_due(inv, order))
			{
				free(list);
				return NULL;
			}
			list[(*count)++] = inv;
		}
		return list;
	}
	for (Invoice *inv = store_oldest(); inv != NULL && *count < MAX_DEPOSIT; inv = inv->newer)
	{
		if (!deposit_is_due(inv, order))
			continue;
		if (*count == room)
		{
			room = room * 2 + 64;
			list = xrealloc(list, (size_t) room * sizeof(Invoice *));
		}
		list[(*count)++] = inv;
	}
	return list;
}

/*
 * make_deposit
 *		Pay invoices out: {"invoices":[IDs]}, or all that are due; optionally
 *		country, supplier, fees (a decimal), refunds and webhook (both true by
 *		default). Locked.
 */
static void
make_deposit(Request *r)
{
	bool ok;
	cJSON *json = read_json(r, &ok);
	DepositOrder order = {.account = ok ? named_account(r, json) : NULL};
	const cJSON *ids = cJSON_GetObjectItemCaseSensitive(json, "invoices");
	Invoice **invoices = NULL;
	int count = 0;

	if (order.account != NULL)
	{
		order.refunds = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "refunds"));
		json_integer(json, "supplier", &order.supplier);
		json_decimal(json, "fees", &order.fees);
		if (ids != NULL && !cJSON_IsArray(ids))
			control_refused(&r->answer, 400, "invoices must be a list of ids");
		else if ((invoices = due_invoices(&order, ids, &count)) == NULL)
			control_refused(&r->answer, 409, "nothing is due, or not all of it");
		else
		{
			Deposit *d = deposit_make(&order, invoices, count);

			if (!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "webhook")))
				webhook_deposit(d);
			put_deposit(&r->answer.body, d, true);
			control_ok(&r->answer);
		}
	}
	cJSON_Delete(json);
}

/*
 * do_deposits
 *		Make one, list all, read one. Locked.
 */
static void
do_deposits(Request *r, Str rest)
{
	const Deposit *d = rest.len > 0 ? deposit_by_reference(rest) : NULL;

	if (rest.len == 0 && strcmp(r->method, "POST") == 0)
		make_deposit(r);
	else if (rest.len > 0 && d == NULL)
		control_refused(&r->answer, 404, "no such deposit");
	else
	{
		if (d != NULL)
			put_deposit(&r->answer.body, d, true);
		else
		{
			buf_puts(&r->answer.body, "{\"deposits\":[");
			for (d = deposit_first(); d != NULL; d = d->next)
			{
				put_deposit(&r->answer.body, d, false);
				if (d->next != NULL)
					buf_putc(&r->answer.body, ',');
			}
			buf_puts(&r->answer.body, "]}");
		}
		control_ok(&r->answer);
	}
}

/*
 * do_recurring
 *		Carry out a repetition, which is paid or, {"fail":true}, is not, and may
 *		have a {"reference"} of its own: ID/charge. Locked.
 */
static void
do_recurring(Request *r, Str rest)
{
	const char *slash = memchr(rest.data, '/', rest.len);
	Recurring *plan =
		recurring_by_id((Str){rest.data, slash != NULL ? (size_t) (slash - rest.data) : rest.len});
	PaymentOrder order = {.gateway = GATEWAY_CARD, .error_code = "MF004"};
	const char *refusal;
	bool ok;
	cJSON *json = read_json(r, &ok);
	bool fail = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "fail"));
	const char *reference = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "reference"));
	Invoice *inv;

	if (!ok)
	{
		cJSON_Delete(json);
		return;
	}
	if (plan == NULL || slash == NULL || strcmp(slash, "/charge") != 0)
		control_refused(&r->answer, 404, "no such recurring payment");
	else if ((inv = recurring_next_invoice(plan, str_of(reference))) == NULL)
		control_refused(&r->answer, 409, "the recurring payment is not active");
	else
	{
		payment_act(inv, fail ? STR_LIT("fail") : STR_LIT("pay"), &order, &refusal);
		recurring_executed(plan, !fail);
		webhook_recurring(plan, inv);
		status_put_invoice_summary(&r->answer.body, inv, options.public_url);
		control_ok(&r->answer);
	}
	cJSON_Delete(json);
}

/*
 * count_invoice
 *		Add an invoice and its refunds to the counts.
 */
static void
count_invoice(OperationCounts *c, const Invoice *inv)
{
	c->made_by[inv->made_by]++;
	c->paid += store_is_paid(inv);
	c->deposited += inv->deposit != NULL;
	for (const PaymentTry *t = inv->tries; t != NULL; t = t->next)
	{
		c->payments += t->status == TRY_SUCCESS;
		c->captures += t->by_merchant && t->status == TRY_SUCCESS;
		c->releases += t->by_merchant && t->status == TRY_CANCELED;
	}
	for (const Refund *r = inv->refunds; r != NULL; r = r->next_of_invoice)
	{
		c->refunds[r->status]++;
		if (r->status != REFUND_REJECTED)
			c->refunded = decimal_add(c->refunded, r->amount);
	}
}

/*
 * do_counts
 *		How much of everything was done: of all invoices, of those of a
 *		reference, or of those whose reference begins so. Locked.
 */
static void
do_counts(Request *r)
{
	OperationCounts c = {.refunded = {0, 3}};
	Buf reference = {0};
	bool by_reference = query_value(r->query, "reference", &reference);
	bool by_prefix = !by_reference && query_value(r->query, "reference_prefix", &reference);
	Str text = {reference.data, reference.len};

	if (by_reference)
	{
		const Reference *ref = store_reference(text, false);

		for (const Invoice *inv = ref != NULL ? ref->newest : NULL; inv != NULL;
			 inv = inv->older_same_reference)
			count_invoice(&c, inv);
	}
	else
		for (const Invoice *inv = store_oldest(); inv != NULL; inv = inv->newer)
			if (!by_prefix || (inv->data.reference.data != NULL && str_has_prefix(inv->data.reference, text)))
				count_invoice(&c, inv);
	buf_printf(
		&r->answer.body,
		"{\"send_payment\":%lld,\"v3\":%lld,\"execute_payment\":%lld,\"recurring\":%lld,\"paid\":%lld,"
		"\"payments\":%lld,\"captures\":%lld,\"releases\":%lld,\"deposited\":%lld,\"refunds_pending\":%lld,"
		"\"refunds_refunded\":%lld,\"refunds_canceled\":%lld,\"refunded\":\"",
		(long long) c.made_by[MADE_BY_SEND_PAYMENT], (long long) c.made_by[MADE_BY_V3],
		(long long) c.made_by[MADE_BY_EXECUTE_PAYMENT], (long long) c.made_by[MADE_BY_RECURRING],
		(long long) c.paid, (long long) c.payments, (long long) c.captures, (long long) c.releases,
		(long long) c.deposited, (long long) c.refunds[REFUND_PENDING], (long long) c.refunds[REFUND_DONE],
		(long long) c.refunds[REFUND_REJECTED]);
	buf_put_decimal(&r->answer.body, c.refunded);
	buf_puts(&r->answer.body, "\"}");
	control_ok(&r->answer);
	buf_free(&reference);
}

/*
 * control_account
 *		Answer a request about accounts and what was done with them; false if it
 *		is about something else. Locked.
 */
bool
control_account(Request *r, Str path)
{
	if (str_is(path, "account"))
		do_account(r);
	else if (str_is(path, "keys"))
		do_keys(r);
	else if (str_is(path, "counts"))
		do_counts(r);
	else if (str_is(path, "idempotency"))
	{
		idempotency_put(&r->answer.body);
		control_ok(&r->answer);
	}
	else if (str_is(path, "refunds"))
		list_refunds(r);
	else if (str_has_prefix(path, STR_LIT("refunds/")))
		do_refund(r, (Str){path.data + 8, path.len - 8});
	else if (str_is(path, "deposits"))
		do_deposits(r, STR_NONE);
	else if (str_has_prefix(path, STR_LIT("deposits/")))
		do_deposits(r, (Str){path.data + 9, path.len - 9});
	else if (str_has_prefix(path, STR_LIT("recurring/")))
		do_recurring(r, (Str){path.data + 10, path.len - 10});
	else
		return false;
	return true;
}
