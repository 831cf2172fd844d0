/*
 * fuzz_send_result.c
 *	  The verdict on a SendPayment exchange is never more certain than the
 *	  evidence.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_send_result.c
 */
#include "exchange.h"

#include <string.h>
#include <strings.h>

#include "core/text/json.h"
#include "core/api/outcome.h"

/* Mentioned by the dictionary */
#define REFERENCE "mf-1"

/* Whether the bytes may name an invoice, in whatever spelling */
static bool
may_name_invoice(const MfHttpExchange *exchange)
{
	size_t		i;

	for (i = 0; i < exchange->response_len; i++)
	{
		if (strncasecmp(exchange->response + i, "invoice", 7) == 0 || strncmp(exchange->response + i, "\\u", 2) == 0)
			return true;
	}
	return false;
}

/* A link that leads to a web page, in every program's eyes */
static bool
is_web_link(const char *link)
{
	const char *host = strncasecmp(link, "https://", 8) == 0 ? link + 8 : strncasecmp(link, "http://", 7) == 0 ? link + 7 : "";
	const char *c;

	for (c = link; *c != '\0'; c++)
	{
		if ((uint8_t) *c <= ' ' || *c == 0x7F || *c == '\\')
			return false;
	}
	return host[0] != '\0' && strcspn(host, "/?#") > 0 && memchr(host, '@', strcspn(host, "/?#")) == NULL && strlen(link) < 2000;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	const char *reference = (size > 0 && (data[0] & 0x60) == 0x60) ? NULL : REFERENCE;
	MfHttpExchange exchange;
	MfSendResult result;
	long		status;
	bool		whole;
	cJSON	   *root;
	const cJSON *success;

	take_exchange(&input, &exchange);
	status = exchange.http_status;
	whole = came_whole(&exchange);
	root = mf_json_parse(exchange.response, exchange.response_len, NULL, NULL);
	success = mf_json_get(root, "IsSuccess");

	memset(&result, 0xA5, sizeof(result));
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], &exchange, reference, &result);

	CHECK(result.retry_after >= 0 && result.retry_after <= MF_RETRY_AFTER_CAP);
	CHECK((result.error == NULL) == (result.outcome == MF_OUTCOME_ACCEPTED));
	if (result.error != NULL)
		CHECK(judge_line(result.error, 1200));
	CHECK(result.invoice_id == NULL || judge_invoice_id(result.invoice_id));
	CHECK(result.invoice_url == NULL || is_web_link(result.invoice_url));

	CHECK((result.outcome == MF_OUTCOME_NOT_SENT) == (!exchange.gate_passed && status == 0));
	switch (result.outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			CHECK(whole && status >= 200 && status <= 299);
			CHECK(exchange.gate_passed && exchange.body_sent == exchange.body_len);
			CHECK(judge_json(exchange.response, exchange.response_len));
			CHECK(success != NULL && cJSON_IsTrue(success));
			CHECK(result.invoice_id != NULL && judge_invoice_id(result.invoice_id));
			if (reference != NULL)
				CHECK(result.customer_reference != NULL && strcmp(result.customer_reference, reference) == 0);
			break;
		case MF_OUTCOME_REJECTED:
			CHECK(whole && status >= 400 && status <= 499);
			CHECK(status != 401 && status != 403 && status != 404 && status != 408 && status != 429);
			CHECK(success != NULL && cJSON_IsFalse(success));
			CHECK(result.invoice_id == NULL && result.invoice_url == NULL);
			break;
		case MF_OUTCOME_THROTTLED:
			CHECK(whole && status == 429);
			CHECK(!cJSON_IsTrue(success) && result.invoice_id == NULL && result.invoice_url == NULL);
			break;
		case MF_OUTCOME_ACCOUNT_PROBLEM:
			CHECK(whole && ((status >= 300 && status <= 399) || status == 401 || status == 403 || status == 404));
			CHECK(!cJSON_IsTrue(success) && result.invoice_id == NULL && result.invoice_url == NULL);
			break;
		case MF_OUTCOME_NOT_SENT:
			break;
		case MF_OUTCOME_UNKNOWN:
			/* not more cautious than necessary: a definite outcome is reported as such */
			CHECK(cJSON_IsTrue(success) || may_name_invoice(&exchange) ||
				  !(whole && (status == 429 || (status >= 300 && status <= 399) || status == 401 ||
							  status == 403 || status == 404)) ||
				  (!exchange.gate_passed && status == 0));
			break;
	}
	CHECK(strcmp(mf_outcome_name(result.outcome), "unknown") != 0 || result.outcome == MF_OUTCOME_UNKNOWN);

	mf_send_result_free(&result);
	mf_send_result_free(&result);
	cJSON_Delete(root);
	free(exchange.response);
	return 0;
}
