/*
 * test_webhook.c
 *	  Webhooks: no byte of the signed text can be changed, and only the secret
 *	  signs.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_webhook.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

/* ----------
 * Samples
 * ----------
 */

static void
test_samples(void **state)
{
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		const char *const versions[] = {samples[i].version == 1 ? "V1" : "V2", NULL, "", samples[i].version == 1 ? " v1 " : "v2"};
		Sample		sample;
		MfWebhook	webhook;
		size_t		j;

		open_sample(samples[i].name, &sample);
		for (j = 0; j < LENGTH(versions); j++)
		{
			MfWebhookVerdict verdict = mf_webhook_read(sample.body, strlen(sample.body), sample.signature,
													   versions[j], &sample.secret, 1, &webhook);

			if (verdict != MF_WEBHOOK_VALID)
				fail_msg("%s: %s", samples[i].name, webhook.error);
			assert_null(webhook.error);
			assert_int_equal(webhook.version, samples[i].version);
			assert_int_equal(webhook.event_code, samples[i].code);
			assert_string_equal(webhook.signed_text, sample.signed_text);
			check_text(webhook.event_name, samples[i].event);
			check_text(webhook.event_reference, samples[i].reference);
			check_text(webhook.invoice_id, samples[i].invoice_id);
			check_text(webhook.payment_id, samples[i].payment_id);
			check_text(webhook.customer_reference, samples[i].customer_reference);
			check_text(webhook.event_status, samples[i].status);
			mf_webhook_free(&webhook);
		}
		close_sample(&sample);
	}
}

/* The digest is as the header says, and different for each message. */
static void
test_digest(void **state)
{
	uint8_t		digests[LENGTH(samples)][MF_WEBHOOK_DIGEST_SIZE];
	size_t		i;
	size_t		j;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		unsigned char expected[EVP_MAX_MD_SIZE];
		Sample		sample;
		MfWebhook	webhook;
		char	   *hashed;

		open_sample(samples[i].name, &sample);
		assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), sample.signature, NULL,
										 &sample.secret, 1, &webhook), MF_WEBHOOK_VALID);
		hashed = text("v%d %d %s", samples[i].version, samples[i].code, sample.signed_text);
		assert_int_equal(EVP_Digest(hashed, strlen(hashed), expected, NULL, EVP_sha256(), NULL), 1);
		assert_memory_equal(webhook.digest, expected, MF_WEBHOOK_DIGEST_SIZE);
		memcpy(digests[i], webhook.digest, MF_WEBHOOK_DIGEST_SIZE);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(digests[i], digests[j], MF_WEBHOOK_DIGEST_SIZE);
		free(hashed);
		mf_webhook_free(&webhook);
		close_sample(&sample);
	}
}

/* ----------
 * Every byte of every value
 * ----------
 */

/*
 * Walks over all values of a body; written for the samples, which have no
 * escapes in names.
 */
typedef struct Walk
{
	const char *sample_name;
	Sample	   *sample;
	MfWebhook	original;
	const char *at;
	int			signed_values;
	int			unsigned_values;
} Walk;

static void walk_value(Walk *walk, const char *path);

static void
walk_space(Walk *walk)
{
	walk->at += strspn(walk->at, " \t\r\n");
}

/* Whether "path=value" is in the signed text */
static bool
is_signed(const Walk *walk, const char *path, const char *value, size_t len)
{
	char	   *pair;
	const char *found;
	bool		result;

	if (strncmp(path, "Data.", 5) != 0)
		return false;
	if (strncmp(value, "null", 4) == 0)
		len = 0;
	pair = text(",%s=%.*s,", path + 5, (int) len, value);
	found = walk->sample->signed_text;
	{
		char	   *whole = text(",%s,", found);

		result = strstr(whole, pair) != NULL;
		free(whole);
	}
	free(pair);
	return result;
}

/* Replaces the byte at "offset" of the body by each of "bytes". */
static void
change(Walk *walk, const char *path, size_t offset, const char *bytes, int count, bool is_signed_value, bool is_event)
{
	char	   *body = walk->sample->body;
	char		before = body[offset];
	MfWebhook	webhook;
	int			i;

	for (i = 0; i < count; i++)
	{
		MfWebhookVerdict verdict;

		if (bytes[i] == before)
			continue;
		body[offset] = bytes[i];
		verdict = mf_webhook_read(body, strlen(body), walk->sample->signature, walk->sample->version,
								  &walk->sample->secret, 1, &webhook);
		if (is_signed_value || is_event)
		{
			if (verdict != MF_WEBHOOK_FORGED && verdict != MF_WEBHOOK_MALFORMED)
				fail_msg("%s: %s with byte 0x%02X: verdict %d", walk->sample_name, path, (unsigned char) bytes[i], verdict);
			check_refused(&webhook);
		}
		else
		{
			if (verdict != MF_WEBHOOK_VALID)
				fail_msg("%s: %s with byte 0x%02X: %s", walk->sample_name, path, (unsigned char) bytes[i], webhook.error);
			assert_string_equal(webhook.signed_text, walk->original.signed_text);
			assert_memory_equal(webhook.digest, walk->original.digest, MF_WEBHOOK_DIGEST_SIZE);
			check_text(webhook.invoice_id, walk->original.invoice_id);
			check_text(webhook.payment_id, walk->original.payment_id);
			check_text(webhook.customer_reference, walk->original.customer_reference);
			check_text(webhook.event_status, walk->original.event_status);
			assert_int_equal(webhook.event_code, walk->original.event_code);
		}
		mf_webhook_free(&webhook);
	}
	body[offset] = before;
}

static void
walk_scalar(Walk *walk, const char *path)
{
	static const char *const events[] = {"EventType", "Event", "Event.Code", "Event.Name"};
	bool		is_string = (*walk->at == '"');
	const char *start = walk->at + is_string;
	size_t		len = is_string ? strcspn(start, "\"") : strcspn(start, ",}] \t\r\n");
	bool		covered = is_signed(walk, path, start, len);
	bool		is_event = false;
	size_t		i;

	for (i = 0; i < LENGTH(events); i++)
		is_event |= (strcmp(path, events[i]) == 0);
	*(covered ? &walk->signed_values : &walk->unsigned_values) += 1;
	for (i = 0; i < len; i++)
	{
		size_t		offset = (size_t) (start - walk->sample->body) + i;
		char		flipped[8];
		int			bit;

		for (bit = 0; bit < 8; bit++)
			flipped[bit] = (char) (start[i] ^ (1 << bit));
		if (covered || is_event)
			change(walk, path, offset, flipped, 8, covered, is_event);
		else if (is_string)
			change(walk, path, offset, "xy0,= ", 6, false, false);
		else if (strchr("0123456789", start[i]) != NULL)
			change(walk, path, offset, "123456789", 9, false, false);
	}
	walk->at = start + len + is_string;
}

static void
walk_container(Walk *walk, const char *path)
{
	bool		object = (*walk->at++ == '{');
	int			i;

	for (i = 0;; i++)
	{
		char	   *inner;

		walk_space(walk);
		if (*walk->at == '}' || *walk->at == ']')
			break;
		if (*walk->at == ',')
			walk->at++;
		walk_space(walk);
		if (object)
		{
			size_t		len = strcspn(++walk->at, "\"");

			inner = text("%s%s%.*s", path, *path != '\0' ? "." : "", (int) len, walk->at);
			walk->at += len + 1;
			walk_space(walk);
			assert_int_equal(*walk->at++, ':');
		}
		else
			inner = text("%s[%d]", path, i);
		walk_value(walk, inner);
		free(inner);
	}
	walk->at++;
}

static void
walk_value(Walk *walk, const char *path)
{
	walk_space(walk);
	if (*walk->at == '{' || *walk->at == '[')
		walk_container(walk, path);
	else
		walk_scalar(walk, path);
}

static void
test_every_byte(void **state)
{
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		Sample		sample;
		Walk		walk = {0};
		const char *comma;
		int			pairs = 1;

		open_sample(samples[i].name, &sample);
		walk.sample_name = samples[i].name;
		walk.sample = &sample;
		walk.at = sample.body;
		assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), sample.signature, sample.version,
										 &sample.secret, 1, &walk.original), MF_WEBHOOK_VALID);
		walk_value(&walk, "");

		/*
		 * all of the signed text was found in the body; no value of it
		 * contains a comma
		 */
		for (comma = sample.signed_text; (comma = strchr(comma, ',')) != NULL; comma++)
			pairs++;
		assert_int_equal(walk.signed_values, pairs);
		assert_true(walk.unsigned_values >= 4);
		mf_webhook_free(&walk.original);
		close_sample(&sample);
	}
}

/* Cut anywhere, it is no message. */
static void
test_truncated(void **state)
{
	size_t		i;
	size_t		len;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		Sample		sample;
		size_t		whole;

		open_sample(samples[i].name, &sample);
		whole = (size_t) (strrchr(sample.body, '}') - sample.body);
		for (len = 0; len <= whole; len++)
		{
			/* of its exact size, so that reading beyond it is noticed */
			char	   *body = malloc(len > 0 ? len : 1);

			memcpy(body, sample.body, len);
			assert_int_equal(verdict_of(body, len, sample.signature, sample.version), MF_WEBHOOK_MALFORMED);
			free(body);
		}
		assert_int_equal(verdict_of(sample.body, whole + 1, sample.signature, sample.version), MF_WEBHOOK_VALID);
		close_sample(&sample);
	}
	assert_int_equal(verdict_of(NULL, 0, "x", NULL), MF_WEBHOOK_MALFORMED);
}

/* ----------
 * Signatures and secrets
 * ----------
 */

static void
test_signature_text(void **state)
{
	Sample		sample;
	char		changed[64];
	char	   *with;
	size_t		i;

	(void) state;
	open_sample("webhook-v2.payment-status.paid", &sample);
#define VERDICT(signature) verdict_of(sample.body, strlen(sample.body), signature, "v2")
	assert_int_equal(VERDICT(NULL), MF_WEBHOOK_UNSIGNED);
	assert_int_equal(VERDICT(""), MF_WEBHOOK_UNSIGNED);
	assert_int_equal(VERDICT(" \t\r\n"), MF_WEBHOOK_UNSIGNED);
	assert_int_equal(VERDICT("x"), MF_WEBHOOK_FORGED);
	assert_int_equal(VERDICT("Mv+XhecqPNmeorhyAKcumHFTo50Tgm+kfpfJV/Ezsl4"), MF_WEBHOOK_FORGED);

	with = text(" \t%s \r\n", sample.signature);
	assert_int_equal(VERDICT(with), MF_WEBHOOK_VALID);
	free(with);
	with = text("%s%300s", sample.signature, "");
	assert_int_equal(VERDICT(with), MF_WEBHOOK_VALID);
	free(with);
	with = text("%s%300sx", sample.signature, "");
	assert_int_equal(VERDICT(with), MF_WEBHOOK_FORGED);
	free(with);
	with = text("\"%s\"", sample.signature);
	assert_int_equal(VERDICT(with), MF_WEBHOOK_FORGED);
	free(with);
	with = text("%s,%s", sample.signature, sample.signature);
	assert_int_equal(VERDICT(with), MF_WEBHOOK_FORGED);
	free(with);

	/* every character counts: case, the URL alphabet, spare bits before the padding */
	for (i = 0; i < strlen(sample.signature); i++)
	{
		int			c;

		strcpy(changed, sample.signature);
		for (c = 1; c < 256; c++)
		{
			if ((char) c == sample.signature[i])
				continue;
			changed[i] = (char) c;
			assert_int_equal(VERDICT(changed), MF_WEBHOOK_FORGED);
		}
	}
#undef VERDICT
	close_sample(&sample);
}

static void
test_secrets(void **state)
{
	static const struct
	{
		const char *secrets[3];
		int			count;
		MfWebhookVerdict verdict;
	}			cases[] = {
		{{SECRET, OTHER, NULL}, 2, MF_WEBHOOK_VALID},
		{{OTHER, SECRET, NULL}, 2, MF_WEBHOOK_VALID},
		{{NULL, "", SECRET}, 3, MF_WEBHOOK_VALID},
		{{SECRET, NULL, NULL}, 3, MF_WEBHOOK_VALID},
		{{OTHER, OTHER, OTHER}, 3, MF_WEBHOOK_FORGED},
		{{OTHER, SECRET, NULL}, 1, MF_WEBHOOK_FORGED},
		{{SECRET " ", "Example-webhook-secret-1", NULL}, 3, MF_WEBHOOK_FORGED},
		{{NULL, "", NULL}, 3, MF_WEBHOOK_UNSIGNED},
		{{NULL, NULL, NULL}, 0, MF_WEBHOOK_UNSIGNED},
	};
	static const char *const with_empty[] = {"", OTHER};
	Sample		sample;
	MfWebhook	webhook;
	char	   *long_secret;
	const char *secret;
	char	   *signature;
	size_t		i;

	(void) state;
	open_sample("webhook-v1.transaction.success", &sample);
	for (i = 0; i < LENGTH(cases); i++)
	{
		assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), sample.signature, "v1",
										 cases[i].secrets, cases[i].count, &webhook), cases[i].verdict);
		mf_webhook_free(&webhook);
	}

	/* an empty secret proves nothing, because everybody has it */
	signature = sign("", sample.signed_text);
	assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), signature, "v1",
									 cases[7].secrets, 3, &webhook), MF_WEBHOOK_UNSIGNED);
	mf_webhook_free(&webhook);
	assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), signature, "v1",
									 with_empty, 2, &webhook), MF_WEBHOOK_FORGED);
	mf_webhook_free(&webhook);
	free(signature);

	/* longer than a block of SHA-256; and what looks like Base64 is not decoded */
	long_secret = malloc(1001);
	memset(long_secret, 'A', 1000);
	long_secret[1000] = '\0';
	secret = long_secret;
	signature = sign(secret, sample.signed_text);
	assert_int_equal(mf_webhook_read(sample.body, strlen(sample.body), signature, "v1", &secret, 1, &webhook),
					 MF_WEBHOOK_VALID);
	mf_webhook_free(&webhook);
	free(signature);
	free(long_secret);
	close_sample(&sample);

	/* made with: printf %s "$text" | openssl dgst -sha256 -hmac c2VjcmV0 -binary | base64 */
	secret = "c2VjcmV0";
	assert_int_equal(mf_webhook_read("{\"EventType\":3,\"Event\":\"BalanceTransferred\",\"Data\":{\"DepositReference\":\"1\"}}",
									 76, "dNIyIquENBlwCZxrmNCaEWXzm2Lt2YGB64kS0V4wRhc=",
									 NULL, &secret, 1, &webhook), MF_WEBHOOK_VALID);
	mf_webhook_free(&webhook);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_signature_text),
		cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests_name("webhook", tests, NULL, NULL);
}
