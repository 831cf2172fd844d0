/*
 * messages.c
 *	  Signed webhooks: the samples in fixtures/, and bodies that tests make
 *	  up.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/messages.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "messages.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/text/json.h"

static const char *const one_secret[] = {SECRET};

const Expected samples[SAMPLES] = {
	{"webhook-v1.transaction.success", 1, 1, "TransactionsStatusChanged", NULL,
	"586170", "100202106359084366", "12223444", "SUCCESS"},
	{"webhook-v1.transaction.success-nulls", 1, 1, "TransactionsStatusChanged", NULL,
	"34959075", "109202123602930060", "6124dca568974cf05d7f1e0c", "SUCCESS"},
	{"webhook-v1.refund.refunded", 1, 2, "RefundStatusChanged", NULL, "585757", NULL, NULL, "REFUNDED"},
	{"webhook-v1.deposit.vendor", 1, 3, "BalanceTransferred", NULL, NULL, NULL, NULL, NULL},
	{"webhook-v1.supplier.rejected", 1, 4, "SupplierStatusChanged", NULL, NULL, NULL, NULL, "REJECTED"},
	{"webhook-v1.recurring.inprogress", 1, 5, "RecurringStatusChanged", NULL,
	"36170506", "0808361705063528110582", NULL, "ACTIVE"},
	{"webhook-v1.supplier-update.approved", 1, 7, "SupplierUpdateRequestChanged", NULL,
	NULL, NULL, NULL, "APPROVED"},
	{"webhook-v2.payment-status.paid", 2, 1, "PAYMENT_STATUS_CHANGED", "WH-626519",
	"6409988", "07076409988323998875", "asdqwd-f13sdf-fasjkz", "SUCCESS"},
	{"webhook-v2.refund.refunded", 2, 2, "REFUND_STATUS_CHANGED", "WH-128044", "5620277", NULL, NULL, "REFUNDED"},
	{"webhook-v2.balance-transferred.vendor", 2, 3, "BALANCE_TRANSFERRED", "WH-128055", NULL, NULL, NULL, NULL},
	{"webhook-v2.supplier.approved", 2, 4, "SUPPLIER_STATUS_CHANGED", "WH-128071", NULL, NULL, NULL, "APPROVED"},
	{"webhook-v2.recurring.active", 2, 5, "RECURRING_UPDATES", "WH-19916", "5047674", NULL, NULL, "ACTIVE"},
	{"webhook-v2.supplier-update.approved", 2, 7, "SUPPLIER_UPDATE_REQUEST_CHANGED", "WH-10106895",
	NULL, NULL, NULL, "APPROVED"},
};

void
open_sample(const char *name, Sample *sample)
{
	char	   *file = text("%s.body.json", name);
	char	   *about;

	sample->body = fixture(file);
	free(file);
	file = text("%s.signature.json", name);
	about = fixture(file);
	free(file);
	sample->root = mf_json_parse(about, strlen(about), NULL, NULL);
	free(about);
	sample->version = mf_json_string(sample->root, "webhook_version_header");
	sample->secret = mf_json_string(sample->root, "secret");
	sample->signed_text = mf_json_string(sample->root, "signed_string");
	sample->signature = mf_json_string(sample->root, "signature");
	assert_non_null(sample->signature);
}

void
close_sample(Sample *sample)
{
	cJSON_Delete(sample->root);
	free(sample->body);
}

/* HMAC pads keys with zero bytes, so an empty key equals one of zero bytes. */
char *
sign(const char *secret, const char *message)
{
	EVP_PKEY   *key = EVP_PKEY_new_mac_key(EVP_PKEY_HMAC, NULL, (const unsigned char *) secret,
										   secret[0] != '\0' ? (int) strlen(secret) : 1);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t		len = sizeof(mac);
	char	   *signature = malloc(64);

	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSignUpdate(context, message, strlen(message)), 1);
	assert_int_equal(EVP_DigestSignFinal(context, mac, &len), 1);
	assert_int_equal(EVP_EncodeBlock((unsigned char *) signature, mac, (int) len), 44);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return signature;
}

void
check_refused(const MfWebhook *webhook)
{
	assert_non_null(webhook->error);
	assert_null(strchr(webhook->error, '\n'));
	assert_null(strstr(webhook->error, SECRET));
	assert_null(webhook->event_reference);
	assert_null(webhook->signed_text);
	assert_null(webhook->invoice_id);
	assert_null(webhook->payment_id);
	assert_null(webhook->customer_reference);
	assert_null(webhook->event_status);
	assert_null(webhook->data);
	assert_null(webhook->event_name);
	assert_int_equal(webhook->version, 0);
}

MfWebhookVerdict
verdict_of(const char *body, size_t len, const char *signature, const char *version)
{
	MfWebhook	webhook;
	MfWebhookVerdict verdict = mf_webhook_read(body, len, signature, version, one_secret, 1, &webhook);

	if (verdict == MF_WEBHOOK_VALID)
		assert_null(webhook.error);
	else
		check_refused(&webhook);
	mf_webhook_free(&webhook);
	mf_webhook_free(&webhook);
	return verdict;
}

MfWebhookVerdict
read_signed(const char *body, const char *signed_text, const char *version, MfWebhook *webhook)
{
	char	   *signature = sign(SECRET, signed_text);
	MfWebhookVerdict verdict = mf_webhook_read(body, strlen(body), signature, version, one_secret, 1, webhook);

	free(signature);
	return verdict;
}

void
check_signed(int line, const char *body, const char *signed_text, MfWebhookVerdict expected, const char *why)
{
	MfWebhook	webhook;
	MfWebhookVerdict verdict = read_signed(body, signed_text, NULL, &webhook);

	if (verdict != expected)
		fail_msg("line %d: verdict %d instead of %d: %s", line, verdict, expected,
				 webhook.error ? webhook.error : "valid");
	if (verdict == MF_WEBHOOK_VALID)
		assert_string_equal(webhook.signed_text, signed_text);
	else
	{
		check_refused(&webhook);
		if (strstr(webhook.error, why) == NULL)
			fail_msg("line %d: \"%s\" does not say \"%s\"", line, webhook.error, why);
	}
	mf_webhook_free(&webhook);
}
