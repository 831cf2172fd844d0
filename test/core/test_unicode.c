/*
 * test_unicode.c
 *	  Cleaning of text that people paste, and URLs that they give.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_unicode.c
 */
#include "support.h"

#include <string.h>

#include "core/text/text.h"
#include "core/text/unicode.h"

typedef struct Cleaned
{
	const char *in;
	const char *text;
	const char *code;
	const char *number;
} Cleaned;

static void
check_cleaned(const char *in, MfCleaning cleaning, const char *wanted)
{
	char		text[100];
	size_t		len = strlen(in);
	size_t		left;

	strcpy(text, in);
	left = mf_text_clean(text, len, cleaning);
	text[left] = '\0';
	if (strcmp(text, wanted) != 0)
		fail_msg("\"%s\" became \"%s\", not \"%s\"", in, text, wanted);
	/* a change shows in the length */
	assert_int_equal(left == len, strcmp(in, wanted) == 0);
	/* what is clean stays as it is */
	assert_int_equal(mf_text_clean(text, left, cleaning), left);
}

static void
test_clean(void **state)
{
	static const Cleaned samples[] = {
		{"", "", "", ""},
		{" \t\r\n", "", "", ""},
		{" a - b ", "a - b", "a - b", "ab"},
		/* U+202A, U+202C */
		{"\xE2\x80\xAA" "99\xE2\x80\xAC", "\xE2\x80\xAA" "99\xE2\x80\xAC", "99", "99"},
		/* U+200F alone, with U+00A0 and U+200B, with a dash */
		{"\xE2\x80\x8F", "", "", ""},
		{"\xE2\x80\x8F\xC2\xA0\xE2\x80\x8B", "", "", ""},
		{"\xE2\x80\x8F-", "\xE2\x80\x8F-", "-", ""},
		/* U+00A0 and U+3000 around, U+2011 and U+2013 within */
		{"\xC2\xA0" "1\xE3\x80\x80", "1", "1", "1"},
		{"1\xE2\x80\x91" "2\xE2\x80\x93" "3", "1\xE2\x80\x91" "2\xE2\x80\x93" "3", "1\xE2\x80\x91" "2\xE2\x80\x93" "3", "123"},
		/* Arabic-Indic, Persian, Devanagari, full-width and mathematical digits */
		{"\xD9\xA0\xD9\xA9", "\xD9\xA0\xD9\xA9", "\xD9\xA0\xD9\xA9", "09"},
		{"\xDB\xB0\xDB\xB9", "\xDB\xB0\xDB\xB9", "\xDB\xB0\xDB\xB9", "09"},
		{"\xE0\xA5\xA6\xE0\xA5\xAF", "\xE0\xA5\xA6\xE0\xA5\xAF", "\xE0\xA5\xA6\xE0\xA5\xAF", "09"},
		{"\xEF\xBC\x90\xEF\xBC\x99", "\xEF\xBC\x90\xEF\xBC\x99", "\xEF\xBC\x90\xEF\xBC\x99", "09"},
		{"\xF0\x9D\x9F\x99\xF0\x9D\x9F\xA2", "\xF0\x9D\x9F\x99\xF0\x9D\x9F\xA2", "\xF0\x9D\x9F\x99\xF0\x9D\x9F\xA2", "10"},
		/* vowel signs are seen; a joiner is part of a name */
		{"\xD9\x85\xD9\x8E", "\xD9\x85\xD9\x8E", "\xD9\x85\xD9\x8E", "\xD9\x85\xD9\x8E"},
		{"\xD9\x85\xE2\x80\x8C\xD8\xAE", "\xD9\x85\xE2\x80\x8C\xD8\xAE", "\xD9\x85\xD8\xAE", "\xD9\x85\xD8\xAE"},
		/* what is no UTF-8 is left to others */
		{" \xFF\xE2\x80 ", "\xFF\xE2\x80", "\xFF\xE2\x80", "\xFF\xE2\x80"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
	{
		check_cleaned(samples[i].in, MF_CLEAN_TEXT, samples[i].text);
		check_cleaned(samples[i].in, MF_CLEAN_CODE, samples[i].code);
		check_cleaned(samples[i].in, MF_CLEAN_NUMBER, samples[i].number);
	}
}

static void
test_unseen(void **state)
{
	uint32_t	code = 0;

	(void) state;
	assert_false(mf_text_find_unseen("", 0, &code));
	assert_false(mf_text_find_unseen("a\xD9\x85\xFF", 4, &code));
	assert_true(mf_text_find_unseen("a b", 3, &code));
	assert_int_equal(code, ' ');
	assert_true(mf_text_find_unseen("\xFF\xE2\x80\xAE", 4, &code));
	assert_int_equal(code, 0x202E);
}

static void
test_url(void **state)
{
	static const struct
	{
		const char *url;
		MfUrlVerdict verdict;
	}			samples[] = {
		{"https://example.com", MF_URL_GOOD},
		{"HTTP://EXAMPLE.COM:8080/a@b?c=@#d", MF_URL_GOOD},
		{"http://localhost.example.com/", MF_URL_GOOD},
		{"http://mylocalhost/", MF_URL_GOOD},
		{"http://192.168.1.7/", MF_URL_GOOD},
		{"http://[2001:db8::1]/", MF_URL_GOOD},
		{"https://example.com/\xD9\x85", MF_URL_GOOD},
		{"", MF_URL_NO_WEB},
		{"example.com", MF_URL_NO_WEB},
		{"ftp://example.com/", MF_URL_NO_WEB},
		{"https://", MF_URL_NO_WEB},
		{"https:///paid", MF_URL_NO_WEB},
		{"https://:80/", MF_URL_NO_WEB},
		{"https://?a", MF_URL_NO_WEB},
		{"https://exam ple.com/", MF_URL_NO_WEB},
		{"https://example.com/\n", MF_URL_NO_WEB},
		{"https://[::1/", MF_URL_NO_WEB},
		{"http://a\\@b/", MF_URL_AMBIGUOUS},
		{"http://a\\.b/", MF_URL_AMBIGUOUS},
		{"http://a/b\\c", MF_URL_AMBIGUOUS},
		{"http://a@b/", MF_URL_AMBIGUOUS},
		{"http://@b/", MF_URL_AMBIGUOUS},
		{"http://localhost", MF_URL_LOCAL},
		{"http://LocalHost.:80/", MF_URL_LOCAL},
		{"http://a.localhost/", MF_URL_LOCAL},
		{"http://%6cocalhost/", MF_URL_LOCAL},
		{"http://127.0.0.1/", MF_URL_GOOD},
		{"http://127.255.0.9./", MF_URL_GOOD},
		{"http://0.0.0.0/", MF_URL_LOCAL},
		{"http://[::1]/", MF_URL_LOCAL},
		{"http://[0:0::0:1]:80/", MF_URL_LOCAL},
		{"http://[::]/", MF_URL_LOCAL},
		{"http://[::ffff:127.0.0.1]/", MF_URL_LOCAL},
		{"http://2130706433/", MF_URL_GOOD},
		{"http://127.1/", MF_URL_GOOD},
		{"http://0x7f.1/", MF_URL_GOOD},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
	{
		MfUrlVerdict verdict = mf_url_check(samples[i].url);

		if (verdict != samples[i].verdict)
			fail_msg("\"%s\" gave %d, not %d", samples[i].url, (int) verdict, (int) samples[i].verdict);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_unseen),
		cmocka_unit_test(test_url),
	};

	return cmocka_run_group_tests_name("unicode", tests, NULL, NULL);
}
