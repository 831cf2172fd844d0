/*
 * test_payment.c
 *	  What GetPaymentStatus says about a payment, and the states it moves through.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_payment.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/api/payment_status.h"

#define TRY_WORD(status, id, date, rest) \
	"{\"TransactionDate\":\"" date "\",\"PaymentId\":\"" id "\",\"TransactionStatus\":\"" status "\"" rest "}"

/* An answer with this InvoiceStatus and these transactions, evaluated */
static void
read_answer(const char *word, const char *tries, MfPayment *payment)
{
	char	   *body = text("{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":1,\"InvoiceStatus\":\"%s\",\"InvoiceValue\":1%s%s}}",
							 word, tries ? ",\"InvoiceTransactions\":" : "", tries ? tries : "");
	MfHttpExchange exchange = answered(200, body);
	MfStatusResult answer;

	free(body);
	mf_status_result_read(&exchange, &answer);
	assert_int_equal(answer.base.lookup, MF_LOOKUP_FOUND);
	assert_true(mf_payment_read(&answer, payment));
	mf_status_result_free(&answer);
	free(exchange.response);
}

/* Every spelling of a word by the case of its letters */
static void
each_case(const char *word, MfTryStatus expected)
{
	char		copy[32];
	size_t		len = strlen(word);
	unsigned int mask;
	size_t		i;

	assert_true(len < sizeof(copy));
	for (mask = 0; mask < 1U << len; mask++)
	{
		for (i = 0; i <= len; i++)
			copy[i] = (char) (mask & (1U << i) ? toupper(word[i]) : tolower(word[i]));
		assert_int_equal(mf_try_status(copy), expected);
	}
}

static void
try_words(void **state)
{
	static const char *const strange[] = {"", "Succs", "Succsss", "Successful", "Paid", "Authorized", "Cancelled", " Succss",
	"Succss ", "InProgress1", "Refunded", NULL};
	int			i;

	(void) state;
	each_case("Succss", MF_TRY_SUCCESS);
	each_case("Success", MF_TRY_SUCCESS);
	each_case("Failed", MF_TRY_FAILED);
	each_case("Canceled", MF_TRY_CANCELED);
	each_case("Authorize", MF_TRY_AUTHORIZED);
	each_case("InProgress", MF_TRY_IN_PROGRESS);
	for (i = 0; strange[i] != NULL; i++)
		assert_int_equal(mf_try_status(strange[i]), MF_TRY_UNKNOWN);
	assert_int_equal(mf_try_status(NULL), MF_TRY_UNKNOWN);
}

static void
names(void **state)
{
	int			i;

	(void) state;
	for (i = 0; i < MF_PAYMENT_STATUS_COUNT; i++)
		assert_int_equal(mf_payment_status_from_name(mf_payment_status_name((MfPaymentStatus) i)), i);
	assert_int_equal(mf_payment_status_from_name("Paid"), -1);
	assert_int_equal(mf_payment_status_from_name(""), -1);
}

/* The whole table of transitions, written a second time */
static void
transitions(void **state)
{
	static const char *const table[MF_PAYMENT_STATUS_COUNT] = {
		/* from \ to		UAPECTRD */
		/* unpaid */		".xxxx...",
		/* authorized */	"x.xxx...",
		/* paid */			".....xxx",
		/* expired */		"xxx.x...",
		/* cancelled */		".xx.....",
		/* partly */		"..x...xx",
		/* refunded */		"..x..x..",
		/* disputed */		"..x..xx."
	};
	int			from;
	int			to;

	(void) state;
	for (from = 0; from < MF_PAYMENT_STATUS_COUNT; from++)
	{
		for (to = 0; to < MF_PAYMENT_STATUS_COUNT; to++)
		{
			bool		is_allowed = table[from][to] == 'x';
			MfPaymentStatus next = mf_payment_next((MfPaymentStatus) from, (MfPaymentStatus) to);

			assert_int_equal(mf_payment_allowed((MfPaymentStatus) from, (MfPaymentStatus) to), is_allowed);
			assert_int_equal(next, is_allowed && !mf_payment_was_paid((MfPaymentStatus) from) ? to : from);
		}
	}
}

/*
 * Whatever is reported in whatever order: a payment stays, and "paid" is
 * reached from every state without one.
 */
static void
any_order(void **state)
{
	static const MfPaymentStatus reads[] = {MF_UNPAID, MF_AUTHORIZED, MF_PAID, MF_EXPIRED, MF_REMOTE_CANCELLED};
	int			code;

	(void) state;
	for (code = 0; code < 5 * 5 * 5 * 5 * 5 * 5; code++)
	{
		MfPaymentStatus now = MF_UNPAID;
		bool		paid = false;
		int			rest = code;
		int			i;

		for (i = 0; i < 6; i++, rest /= 5)
		{
			now = mf_payment_next(now, reads[rest % 5]);
			paid |= reads[rest % 5] == MF_PAID;
			assert_int_equal(now == MF_PAID, paid);
		}
		/* the same report again changes nothing */
		assert_int_equal(mf_payment_next(now, reads[code / 3125]), now);
	}
}

/* All words of InvoiceStatus with all kinds of transactions, up to three of them */
static void
words_and_tries(void **state)
{
	static const char *const words[] = {"Pending", "PAID", "paid", "Canceled", "DuplicatePayment", "Expired", "Refunded", "Odd"};
	static const struct
	{
		const char *word;
		const char *rest;
	}			kinds[] = {{"Succss", ""}, {"Failed", ""}, {"Authorize", ""},
	{"Canceled", ",\"Error\":\"Transaction Released\""}, {"Canceled", ",\"Error\":\"left\""}, {"InProgress", ""}, {"Odd", ""}};
	size_t		w;
	int			code;

	(void) state;
	for (w = 0; w < LENGTH(words); w++)
	{
		for (code = 0; code < 8 * 8 * 8; code++)
		{
			MfPayment	payment;
			char	   *tries = strdup("[");
			int			count = 0;
			int			paid = 0;
			int			authorized = 0;
			int			rest = code;
			int			i;

			for (i = 0; i < 3; i++, rest /= 8)
			{
				int			kind = rest % 8 - 1;
				char	   *longer;

				if (kind < 0)
					continue;
				longer = text("%s%s{\"PaymentId\":\"0%d\",\"TransactionDate\":\"2026-01-0%dT00:00:00\",\"TransactionStatus\":\"%s\"%s}",
							  tries, count > 0 ? "," : "", i, 9 - i, kinds[kind].word, kinds[kind].rest);
				free(tries);
				tries = longer;
				count++;
				paid += kind == 0;
				authorized += kind == 2 ? 1 : kind == 3 ? -1 : 0;
			}
			tries = realloc(tries, strlen(tries) + 2);
			strcat(tries, "]");
			read_answer(words[w], tries, &payment);

			assert_int_equal(payment.try_count, count);
			assert_int_equal(payment.known, w < 5);
			if (w == 0)
			{
				assert_int_equal(payment.status, authorized > 0 ? MF_AUTHORIZED : MF_UNPAID);
				assert_int_equal(payment.unsettled, paid > 0);
			}
			else if (w == 1 || w == 2 || w == 4)
			{
				assert_int_equal(payment.status, MF_PAID);
				assert_int_equal(payment.unsettled, paid == 0);
			}
			else if (w == 3)
				assert_int_equal(payment.status, MF_REMOTE_CANCELLED);
			assert_int_equal(payment.successes, w == 4 && paid < 2 ? 2 : paid);

			/* the earliest, which is listed last here */
			assert_int_equal(payment.paid_by >= 0, paid > 0);
			for (i = 0; i < count; i++)
			{
				if (payment.tries[i].status == MF_TRY_SUCCESS)
					assert_true(payment.paid_by >= i);
			}
			mf_payment_free(&payment);
			free(tries);
		}
	}
}

static void
failed_then_paid(void **state)
{
	MfPayment	payment;

	(void) state;
	read_answer("Paid", "[" TRY_WORD("Failed", "07071", "2026-01-01T10:00:00", "") ","
				TRY_WORD("Succss", "07072", "2026-01-01T10:05:00", "") "]", &payment);
	assert_int_equal(payment.status, MF_PAID);
	assert_int_equal(payment.successes, 1);
	assert_int_equal(payment.paid_by, 1);
	mf_payment_free(&payment);
}

static void
leading_zeros(void **state)
{
	MfPayment	payment;

	(void) state;
	read_answer("Paid", "[" TRY_WORD("Succss", "0007076409988323998875", "2026-01-01T10:00:00", "") "]", &payment);
	assert_string_equal(payment.tries[0].values[MF_TX_PAYMENT_ID], "0007076409988323998875");
	mf_payment_free(&payment);
}

static void
currency(void **state)
{
	MfPayment	payment;

	(void) state;
	read_answer("Paid", "[" TRY_WORD("Succss", "1", "2026-01-01T10:00:00", ",\"PaidCurrency\":\"KD\",\"PaidCurrencyValue\":\"12,345.000\"") "]",
				&payment);
	assert_string_equal(payment.tries[0].values[MF_TX_PAID_CURRENCY], "KWD");
	assert_string_equal(payment.tries[0].values[MF_TX_PAID_CURRENCY_VALUE], "12345.000");
	mf_payment_free(&payment);
}

/*
 * Transactions that cannot be read make the answer unsettled; the others keep
 * their order.
 */
static void
malformed(void **state)
{
	static const char *const tries[] = {"{}", "\"none\"", "7", "true", "[1]", "[null]", "[[]]", "[\"x\"]",
	"[{\"PaymentId\":{}}]", "[{\"TransactionStatus\":[]}]"};
	MfPayment	payment;
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(tries); i++)
	{
		read_answer("Pending", tries[i], &payment);
		assert_true(payment.unsettled);
		assert_int_equal(payment.try_count, 0);
		assert_int_equal(payment.status, MF_UNPAID);
		mf_payment_free(&payment);
	}
	read_answer("Paid", "[7," TRY_WORD("Succss", "2", "2026-01-01T10:00:00", "") "]", &payment);
	assert_true(payment.unsettled);
	assert_int_equal(payment.try_count, 1);
	assert_int_equal(payment.successes, 1);
	mf_payment_free(&payment);

	/* none at all is no contradiction of "Pending" */
	read_answer("Pending", "null", &payment);
	assert_false(payment.unsettled);
	mf_payment_free(&payment);
	read_answer("Pending", NULL, &payment);
	assert_false(payment.unsettled);
	mf_payment_free(&payment);
}

static void
card(void **state)
{
	MfPayment	payment;

	(void) state;
	read_answer("Paid", "[" TRY_WORD("Succss", "2", "2026-01-01T10:00:00",
									 ",\"Card\":{\"NameOnCard\":\"A PERSON\",\"Number\":\"512345xxxxxx0008\",\"Token\":\"TKN-1\","
									 "\"PanHash\":\"b888\",\"ExpiryMonth\":\"12\",\"ExpiryYear\":\"36\",\"Brand\":\"Visa\",\"Issuer\":\"\","
									 "\"IssuerCountry\":\"KWT\",\"FundingMethod\":\"credit\",\"New\":\"secret\"}") "]", &payment);
	assert_string_equal(payment.tries[0].values[MF_TX_CARD],
						"{\"Number\":\"512345xxxxxx0008\",\"Brand\":\"Visa\",\"IssuerCountry\":\"KWT\",\"FundingMethod\":\"credit\"}");
	mf_payment_free(&payment);
}

/* Another allocator in the process, whose blocks free() does not take */
static void *
their_malloc(size_t size)
{
	char	   *block = malloc(size + 16);

	return block == NULL ? NULL : block + 16;
}

static void
their_free(void *block)
{
	if (block != NULL)
		free((char *) block - 16);
}

/* Another module of the server has set hooks of cJSON. */
static void
others_hooks(void **state)
{
	cJSON_Hooks hooks = {their_malloc, their_free};

	cJSON_InitHooks(&hooks);
	card(state);
	cJSON_InitHooks(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(try_words),
		cmocka_unit_test(names),
		cmocka_unit_test(transitions),
		cmocka_unit_test(any_order),
		cmocka_unit_test(words_and_tries),
		cmocka_unit_test(failed_then_paid),
		cmocka_unit_test(leading_zeros),
		cmocka_unit_test(currency),
		cmocka_unit_test(malformed),
		cmocka_unit_test(card),
		cmocka_unit_test(others_hooks),
	};

	return cmocka_run_group_tests_name("payment", tests, NULL, NULL);
}
