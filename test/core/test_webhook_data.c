/*
 * test_webhook_data.c
 *	  Webhooks: what is stored of one, and how long it may be.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_webhook_data.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const one_secret[] = {SECRET};

static void
test_size(void **state)
{
	static const char begin[] = "{\"EventType\":1,\"Event\":\"TransactionsStatusChanged\",\"Data\":{\"InvoiceId\":7,\"Z\":\"";
	size_t		fill = MF_WEBHOOK_MAX_BODY - strlen(begin) - 3;
	char	   *body = malloc(MF_WEBHOOK_MAX_BODY + 2);
	char	   *signed_text = malloc(MF_WEBHOOK_MAX_BODY);
	size_t		extra;

	(void) state;
	for (extra = 0; extra < 2; extra++)
	{
		char	   *out = stpcpy(body, begin);

		memset(out, 'z', fill + extra);
		strcpy(out + fill + extra, "\"}}");
		assert_int_equal(strlen(body), MF_WEBHOOK_MAX_BODY + extra);
		out = stpcpy(signed_text, "InvoiceId=7,Z=");
		memset(out, 'z', fill + extra);
		out[fill + extra] = '\0';
		check_signed(__LINE__, body, signed_text, extra == 0 ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED, "too long");
	}
	free(signed_text);
	free(body);
}

/* ----------
 * What is kept of it
 * ----------
 */

static void
test_redaction(void **state)
{
	static const char *const gone[] = {
		"CustomerName", "96512345678", "test@mail.com", "203.0.113.10", "TKN-", "b888aa5f23a8", "\"36\"", "SA2405000068200013262001",
		"12345678\"", "Anonymous", "Jed Auer", "Ignacio Kling", "supplier@example.com", "2227887904", "Bernita", "6796176709",
		"test webhok", "test@myfatoorah.com", "Test NBK", "+965", "TEST SHOP", "May Nicolas", "8237751513", "Hinds Hall",
	};
	static const char *const kept[] = {
		"\"Number\":\"512345xxxxxx0008\"", "\"ValueInBaseCurrency\":\"1\"", "\"PaymentId\":\"07076409988323998875\"", "\"Status\":\"PAID\"",
		"\"Brand\":\"Mastercard\"", "\"UDF5\":\"748gsvf\"", "\"DepositShare\":\"0.467\"", "\"InvoiceValueInBaseCurrency\":\"456.75\"",
		"\"RejectReasons\":\"1,5,15\"", "\"RRN\":\"513306098825\"", "\"SupplierCode\":330", "\"NumberOfTransactions\":\"511\"",
	};
	char	   *all = text("%s", "");
	char	   *canonical_data;
	MfWebhook	webhook;
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		Sample		sample;
		char	   *longer;

		open_sample(samples[i].name, &sample);
		assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), sample.signature, NULL,
										 one_secret, 1, &webhook), MF_WEBHOOK_VALID);
		canonical_data = canonical(webhook.data);
		free(canonical_data);
		longer = text("%s\n%s", all, webhook.data);
		free(all);
		all = longer;
		mf_webhook_free(&webhook);
		close_sample(&sample);
	}
	for (i = 0; i < LENGTH(gone); i++)
	{
		if (strstr(all, gone[i]) != NULL)
			fail_msg("%s is still there", gone[i]);
	}
	for (i = 0; i < LENGTH(kept); i++)
	{
		if (strstr(all, kept[i]) == NULL)
			fail_msg("%s is missing", kept[i]);
	}
	free(all);

	/* at any depth, in any case, of any kind; and what jsonb could not take */
	assert_int_equal(read_signed(PAID2("{\"Invoice\":{\"Id\":7,\"x\":[{\"iban\":{\"a\":1},\"IP\":null,\"y\":[[{\"TOKEN\":1,\"k\":2.000}]]}]},"
									   "\"Card\":{\"Number\":\"5123450000000008\",\"n\":1},\"Card2\":{\"number\":5123450000000008},"
									   "\"Card3\":{\"CardNumber\":\"5123 45** **** 0008\",\"Numbers\":\"5123450000000008\"},"
									   "\"e\":[1e400,-1E-2,1234567890123456789012345678901234567890,12345678901234567890123456789012345678901,0.00],"
									   "\"z\":\"a\\u0000b\",\"Name\":[1],\"names\":1,\"Nam\":2}"),
								 ONLY_ID2("7"),
								 NULL, &webhook), MF_WEBHOOK_VALID);
	assert_string_equal(webhook.data,
						"{\"Invoice\":{\"Id\":7,\"x\":[{\"y\":[[{\"k\":2.000}]]}]},\"Card\":{\"n\":1},\"Card2\":{},"
						"\"Card3\":{\"CardNumber\":\"5123 45** **** 0008\",\"Numbers\":\"5123450000000008\"},"
						"\"e\":[\"1e400\",\"-1E-2\",1234567890123456789012345678901234567890,\"12345678901234567890123456789012345678901\",0.00],"
						"\"z\":\"a\xEF\xBF\xBD" "b\",\"names\":1,\"Nam\":2}");
	mf_webhook_free(&webhook);
}

/* Signed members may be private too: they are read before redaction. */
static void
test_redacted_facts(void **state)
{
	MfWebhook	webhook;

	(void) state;
	assert_int_equal(read_signed(PAID("\"InvoiceId\":7,\"PaymentId\":\"08\",\"Token\":\"t\",\"CustomerReference\":\"r\",\"TransactionStatus\":\"\""),
								 "CustomerReference=r,InvoiceId=7,PaymentId=08,Token=t,TransactionStatus=", "v1", &webhook), MF_WEBHOOK_VALID);
	assert_string_equal(webhook.data, "{\"InvoiceId\":7,\"PaymentId\":\"08\",\"CustomerReference\":\"r\",\"TransactionStatus\":\"\"}");
	assert_string_equal(webhook.invoice_id, "7");
	assert_string_equal(webhook.payment_id, "08");
	assert_string_equal(webhook.customer_reference, "r");
	assert_null(webhook.event_status);
	assert_null(webhook.event_reference);
	mf_webhook_free(&webhook);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_redaction),
		cmocka_unit_test(test_redacted_facts),
	};

	return cmocka_run_group_tests_name("webhook data", tests, NULL, NULL);
}
