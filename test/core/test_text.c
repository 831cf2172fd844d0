/*
 * test_text.c
 *	  Amounts, currencies, times and UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_text.c
 */
#include "support.h"

#include <limits.h>
#include <string.h>

#include "core/text/text.h"

/* an "out" of NULL means: refused, and the output is empty */
typedef struct Pair
{
	const char *in;
	const char *out;
} Pair;

typedef bool (*Convert) (const char *in, char *out, size_t size);

static void
check_pairs(const Pair *pairs, size_t count, Convert convert)
{
	char		out[64];
	size_t		i;

	for (i = 0; i < count; i++)
	{
		bool		done;

		memset(out, 'x', sizeof(out));
		done = convert(pairs[i].in, out, sizeof(out));
		if (done != (pairs[i].out != NULL) || strcmp(out, done ? pairs[i].out : "") != 0)
			fail_msg("\"%s\" gave %d \"%s\"", pairs[i].in, done, out);
		if (done)
		{
			/* one byte too few, exactly enough, and no room at all */
			char		small[64];
			size_t		need = strlen(pairs[i].out) + 1;

			assert_false(convert(pairs[i].in, small, need - 1));
			if (need > 1)
				assert_string_equal(small, "");
			assert_true(convert(pairs[i].in, small, need));
			assert_string_equal(small, pairs[i].out);
			assert_false(convert(pairs[i].in, small, 0));
		}
	}
}

static void
test_decimal_plain(void **state)
{
	static const Pair pairs[] = {
		{"12,345.000", "12345.000"}, {"8.87", "8.87"}, {"-1.5", "-1.5"}, {"0", "0"},
		{"1,234,567", "1234567"}, {"154,622.430", "154622.430"}, {"-12,345", "-12345"},
		{"1234567", "1234567"}, {"007", "007"}, {"0.000", "0.000"},
		{"", NULL}, {"-", NULL}, {".5", NULL}, {"5.", NULL}, {"1,23", NULL}, {"1234,567", NULL},
		{",123", NULL}, {"1,,234", NULL}, {"1,2345", NULL}, {"1,234,56", NULL}, {"1,", NULL},
		{"1.234,567", NULL}, {"1.2.3", NULL}, {"1e3", NULL}, {"+1", NULL}, {" 1", NULL}, {"1 ", NULL},
		{"--1", NULL}, {"1-", NULL}, {"-,123", NULL}, {"NaN", NULL}, {"0x10", NULL},
		{"\xD9\xA1\xD9\xA2", NULL}, {"1,234.5,678", NULL},
	};

	(void) state;
	check_pairs(pairs, LENGTH(pairs), mf_decimal_plain);
}

static void
test_decimal_valid(void **state)
{
	static const char *const valid[] = {"0", "1", "-1", "1.0", "100.000", "9007199254740993", "-0.5", "007"};
	static const char *const invalid[] = {"", "-", ".", "1.", ".1", "+1", "1,000", "1e3", " 1", "1 ", "1.2.3", "a", "1-"};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(valid); i++)
		assert_true(mf_decimal_valid(valid[i]));
	for (i = 0; i < LENGTH(invalid); i++)
		assert_false(mf_decimal_valid(invalid[i]));
}

static void
test_number_plain(void **state)
{
	static const Pair pairs[] = {
		{"1", "1"}, {"0.0", "0.0"}, {"-0", "-0"}, {"100.000", "100.000"}, {"8.87", "8.87"},
		{"9007199254740993", "9007199254740993"},
		{"1e2", "100"}, {"1E+2", "100"}, {"1E-05", "0.00001"}, {"1.25e1", "12.5"}, {"1.25e2", "125"},
		{"1.25e5", "125000"}, {"12.5e-1", "1.25"}, {"12.5e-2", "0.125"}, {"12.5e-3", "0.0125"},
		{"-1.5e1", "-15"}, {"0e5", "0"}, {"0.001e3", "1"}, {"0.0010e3", "1.0"}, {"1e0", "1"}, {"-2E-1", "-0.2"},
		{"1E400", NULL}, {"1e999999999999999999999", NULL}, {"1e-999999999999999999", NULL},
		{"", NULL}, {"-", NULL}, {"1e", NULL}, {"1e+", NULL}, {"1.", NULL}, {".1", NULL}, {"1.2.3", NULL},
		{"1,000", NULL}, {"1 ", NULL}, {"+1", NULL}, {"e1", NULL}, {"NaN", NULL},
	};

	(void) state;
	check_pairs(pairs, LENGTH(pairs), mf_number_plain);
}

static void
test_display_value(void **state)
{
	static const struct
	{
		const char *in;
		const char *amount;		/* NULL: refused */
		const char *currency;
	}			cases[] = {
		{"12,345.000 KD", "12345.000", "KWD"}, {"1.000 KD", "1.000", "KWD"}, {"8.870 kd", "8.870", "KWD"},
		{"154,622.430 SR", "154622.430", "SAR"}, {"1.000 AED", "1.000", "AED"}, {"5 USD", "5", "USD"},
		{"5  QR", "5", "QAR"},
		{"", NULL, NULL}, {"5", NULL, NULL}, {"KD", NULL, NULL}, {"5KD", NULL, NULL}, {"KD 5", NULL, NULL},
		{"5 ", NULL, NULL}, {"5 KD ", NULL, NULL}, {"5 XX", NULL, NULL}, {" 5 KD", NULL, NULL},
		{"5,00 KD", NULL, NULL}, {"5 KD KD", NULL, NULL},
		{"1111111111111111111111111111111111111111111111111111111111111111111111 KD", NULL, NULL},
	};
	char		amount[64];
	char		currency[8];
	char		small[8];
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		bool		done;

		memset(amount, 'x', sizeof(amount));
		memset(currency, 'x', sizeof(currency));
		done = mf_display_value_split(cases[i].in, amount, sizeof(amount), currency, sizeof(currency));
		if (done != (cases[i].amount != NULL))
			fail_msg("\"%s\" gave %d", cases[i].in, done);
		assert_string_equal(amount, done ? cases[i].amount : "");
		assert_string_equal(currency, done ? cases[i].currency : "");
	}
	assert_false(mf_display_value_split("1.000 KD", amount, sizeof(amount), small, 3));
	assert_string_equal(amount, "");
	assert_string_equal(small, "");
	assert_true(mf_display_value_split("1.000 KD", amount, sizeof(amount), small, 4));
	assert_false(mf_display_value_split("1.000 KD", small, 5, currency, sizeof(currency)));
	assert_string_equal(small, "");
	assert_string_equal(currency, "");
}

static void
test_currency(void **state)
{
	static const Pair pairs[] = {
		{"KD", "KWD"}, {"SR", "SAR"}, {"BD", "BHD"}, {"LE", "EGP"}, {"QR", "QAR"}, {"OR", "OMR"}, {"JD", "JOD"},
		{"AED", "AED"}, {"USD", "USD"}, {"EUR", "EUR"}, {"KWD", "KWD"}, {"SAR", "SAR"}, {"BHD", "BHD"},
		{"EGP", "EGP"}, {"QAR", "QAR"}, {"OMR", "OMR"}, {"JOD", "JOD"}, {"kd", "KWD"}, {"aEd", "AED"},
		{"GBP", "GBP"}, {"ZWG", "ZWG"},
		{"", NULL}, {"K", NULL}, {"kdx", "KDX"}, {"KWDX", NULL}, {"XYZ", "XYZ"}, {"K1D", NULL}, {"K{D", NULL}, {"KD ", NULL}, {" KD", NULL}, {"\xC3\x84", NULL},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(pairs); i++)
	{
		char		iso[MF_CURRENCY_SIZE];
		bool		found = mf_currency_iso(pairs[i].in, iso);

		assert_int_equal(found, pairs[i].out != NULL);
		if (found)
			assert_string_equal(iso, pairs[i].out);
	}
}

static void
test_timestamp(void **state)
{
	static const Pair pairs[] = {
		{"2026-01-10T00:15:07.2933333", "2026-01-10 00:15:07.293333"},
		{"2026-01-10T00:15:07.9999999", "2026-01-10 00:15:07.999999"},
		{"2026-01-10T00:15:07.293", "2026-01-10 00:15:07.293000"},
		{"2026-01-10T00:15:07", "2026-01-10 00:15:07.000000"},
		{"2026-01-10 00:15:07.1", "2026-01-10 00:15:07.100000"},
		{"2026-01-10T00:15:07.123456789012345678901234567890Z", "2026-01-10 00:15:07.123456Z"},
		{"2026-01-10T00:15:07Z", "2026-01-10 00:15:07.000000Z"},
		{"2024-02-29T23:59:59", "2024-02-29 23:59:59.000000"},
		{"2000-02-29T00:00:00", "2000-02-29 00:00:00.000000"},
		{"0001-01-01T00:00:00", "0001-01-01 00:00:00.000000"},
		{"2023-02-29T00:00:00", NULL}, {"1900-02-29T00:00:00", NULL}, {"2026-02-31T00:00:00", NULL},
		{"2026-04-31T00:00:00", NULL}, {"2026-00-10T00:00:00", NULL}, {"2026-13-10T00:00:00", NULL},
		{"2026-01-00T00:00:00", NULL}, {"2026-01-32T00:00:00", NULL}, {"0000-01-01T00:00:00", NULL},
		{"2026-01-10T24:00:00", NULL}, {"2026-01-10T00:60:00", NULL}, {"2026-01-10T00:00:60", NULL},
		{"2026-01-10T00:00", NULL}, {"2026-01-10T00:00:00.", NULL}, {"2026-01-10T00:00:00.Z", NULL},
		{"2026-01-10T00:00:00+03:00", NULL}, {"2026-01-10T00:00:00ZZ", NULL}, {"2026-01-10T00:00:00z", NULL},
		{"2026-01-10", NULL}, {"2026-1-10T00:00:00", NULL}, {"26-01-10T00:00:00", NULL}, {"", NULL},
		{" 2026-01-10T00:00:00", NULL}, {"2026-01-10T00:00:00 ", NULL}, {"12026-01-10T00:00:00", NULL},
		{"January 10, 2026", NULL},
	};

	(void) state;
	check_pairs(pairs, LENGTH(pairs), mf_timestamp_plain);
}

static void
test_expiry(void **state)
{
	static const struct
	{
		const char *date;
		const char *time;
		const char *out;
	}			cases[] = {
		{"January 13, 2026", "00:15:07.293", "2026-01-13 00:15:07.293000"},
		{"January 13, 2026", NULL, "2026-01-13 00:00:00.000000"},
		{"August 21, 2026", "22:47:54.3179999", "2026-08-21 22:47:54.317999"},
		{"MAY 1, 2026", "01:02:03", "2026-05-01 01:02:03.000000"},
		{"may 01, 2026", "01:02:03", "2026-05-01 01:02:03.000000"},
		{"February 29, 2028", NULL, "2028-02-29 00:00:00.000000"},
		{"2026-01-13", "00:15:07", "2026-01-13 00:15:07.000000"},
		{"2026-01-13", NULL, "2026-01-13 00:00:00.000000"},
		{"2026-01-13T10:20:30.5", NULL, "2026-01-13 10:20:30.500000"},
		{"2026-01-13T00:00:00", "10:20:30", "2026-01-13 10:20:30.000000"},
		{"February 29, 2027", NULL, NULL}, {"February 31, 2026", NULL, NULL}, {"January 0, 2026", NULL, NULL},
		{"January 32, 2026", NULL, NULL}, {"January 13 2026", NULL, NULL}, {"January 13,2026", NULL, NULL},
		{"January 13, 26", NULL, NULL}, {"January 13, 2026 ", NULL, NULL}, {"Janvier 13, 2026", NULL, NULL},
		{"Jan 13, 2026", NULL, NULL}, {"13 January 2026", NULL, NULL}, {"January", NULL, NULL}, {"", NULL, NULL},
		{"January 13, 2026", "", NULL}, {"January 13, 2026", "24:00:00", NULL}, {"January 13, 2026", "00:15", NULL},
		{"January 13, 2026", "00:15:07Z", NULL}, {"January 13, 2026", "noon", NULL}, {"2026-01-13T", NULL, NULL},
		{"2026-01-13X", NULL, NULL}, {"January 113, 2026", NULL, NULL},
	};
	char		out[64];
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		bool		done;

		memset(out, 'x', sizeof(out));
		done = mf_expiry_plain(cases[i].date, cases[i].time, out, sizeof(out));
		if (done != (cases[i].out != NULL) || strcmp(out, done ? cases[i].out : "") != 0)
			fail_msg("\"%s\" gave %d \"%s\"", cases[i].date, done, out);
	}
	assert_false(mf_expiry_plain("January 13, 2026", NULL, out, 26));
	assert_string_equal(out, "");
	assert_true(mf_expiry_plain("January 13, 2026", NULL, out, 27));
}

static void
test_utf8(void **state)
{
	static const char *const valid[] = {
		"", "a", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
		"\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "\xD8\xB1\xD8\xB4\xD8\xA7",
	};
	static const char *const invalid[] = {
		"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xC2\xC2", "\xE0\x80\x80", "\xE0\x9F\xBF",
		"\xE0\xA0", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80",
		"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE", "a\x80z", "ok\xC3",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(valid); i++)
		assert_true(mf_utf8_valid(valid[i], strlen(valid[i])));
	for (i = 0; i < LENGTH(invalid); i++)
		assert_false(mf_utf8_valid(invalid[i], strlen(invalid[i])));
	assert_true(mf_utf8_valid("a\0b", 3));
	/* length counts, not the NUL */
	assert_false(mf_utf8_valid("\xC3\xA4", 1));
}

static void
test_excerpt(void **state)
{
	static const char sample[] = "a\xD8\xB1\xF0\x9F\x98\x80" "b\xE2\x82\xAC\xD8\xB1\xFF\n\xF0\x9F\x98\x80" "c\xE2\x82\xAC" "12345";
	char		out[16];
	char		big[64];
	size_t		size;
	size_t		cut;

	(void) state;
	mf_text_excerpt("hello", 5, out, sizeof(out));
	assert_string_equal(out, "hello");
	mf_text_excerpt("", 0, out, sizeof(out));
	assert_string_equal(out, "");
	mf_text_excerpt("a\r\n\tb\x7F", 6, out, sizeof(out));
	assert_string_equal(out, "a   b ");
	mf_text_excerpt("a\0b", 3, out, sizeof(out));
	assert_string_equal(out, "a b");
	mf_text_excerpt("a\xFF" "b", 3, out, sizeof(out));
	assert_string_equal(out, "a\xEF\xBF\xBD" "b");
	/* C1 control, line separator, right-to-left override */
	mf_text_excerpt("a\xC2\x85" "b\xE2\x80\xA8" "c\xE2\x80\xAE" "d", 12, out, sizeof(out));
	assert_string_equal(out, "a b c d");
	mf_text_excerpt("123456789012345", 15, out, sizeof(out));
	assert_string_equal(out, "123456789012345");
	mf_text_excerpt("1234567890123456", 16, out, sizeof(out));
	assert_string_equal(out, "123456789012...");
	mf_text_excerpt("12345678901\xD8\xB1zzzzzzz", 20, out, sizeof(out));
	assert_string_equal(out, "12345678901...");
	mf_text_excerpt("abc", 3, out, 0);
	mf_text_excerpt("abc", 3, out, 1);
	assert_string_equal(out, "");

	/* whatever the size and the cut: terminated, within bounds, valid UTF-8 */
	for (cut = 0; cut < sizeof(sample); cut++)
	{
		for (size = 1; size <= 40; size++)
		{
			memset(big, 'x', sizeof(big));
			mf_text_excerpt(sample, cut, big, size);
			assert_true(strlen(big) < size);
			assert_true(mf_utf8_valid(big, strlen(big)));
			assert_int_equal(big[size], 'x');
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decimal_plain),
		cmocka_unit_test(test_decimal_valid),
		cmocka_unit_test(test_number_plain),
		cmocka_unit_test(test_display_value),
		cmocka_unit_test(test_currency),
		cmocka_unit_test(test_timestamp),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_excerpt),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
