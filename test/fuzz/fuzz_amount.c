/*
 * fuzz_amount.c
 *	  Amounts and currencies: not a digit is changed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_amount.c
 */
#include "fuzz.h"

#include "core/text/text.h"

#define ROOMY 4096

/* "12,345.000" with its separators in threes, or none */
static bool
is_vendor_decimal(const char *text)
{
	size_t		digits;

	if (*text == '-')
		text++;
	digits = strspn(text, "0123456789");
	if (digits == 0)
		return false;
	text += digits;
	if (*text == ',' && digits > 3)
		return false;
	while (*text == ',')
	{
		if (strspn(text + 1, "0123456789") != 3)
			return false;
		text += 4;
	}
	if (*text == '.')
	{
		digits = strspn(text + 1, "0123456789");
		if (digits == 0)
			return false;
		text += 1 + digits;
	}
	return *text == '\0';
}

static void
check_plain(const char *text, char *tight, size_t tight_size)
{
	char		roomy[ROOMY];
	bool		done = mf_decimal_plain(text, roomy, sizeof(roomy));
	size_t		at = 0;
	size_t		i;

	CHECK(done == (is_vendor_decimal(text) && strlen(text) < sizeof(roomy)) || strlen(text) >= sizeof(roomy));
	if (done)
	{
		CHECK(judge_decimal(roomy) && mf_decimal_valid(roomy));
		for (i = 0; text[i] != '\0'; i++)
		{
			if (text[i] != ',')
				CHECK(roomy[at++] == text[i]);
		}
		CHECK(roomy[at] == '\0');
	}
	else
		CHECK(roomy[0] == '\0');

	CHECK(mf_decimal_plain(text, tight, tight_size) == (done && strlen(roomy) < tight_size));
	if (tight_size > 0)
		CHECK(strcmp(tight, done && strlen(roomy) < tight_size ? roomy : "") == 0);
	CHECK(mf_decimal_valid(text) == judge_decimal(text));
}

static void
check_number(const char *text, char *tight, size_t tight_size)
{
	char		roomy[ROOMY];
	bool		done = mf_number_plain(text, roomy, sizeof(roomy));
	const char *e = strpbrk(text, "eE");
	long		exponent = (e != NULL) ? strtol(e + 1, NULL, 10) : 0;

	if (done)
	{
		CHECK(judge_decimal(roomy));
		CHECK(judge_same_number(text, roomy));
	}
	else
		CHECK(roomy[0] == '\0');

	/* what JSON allows and fits is read */
	if (judge_json_number(text) && labs(exponent) < 1000 && strlen(text) < 1000)
		CHECK(done);

	CHECK(mf_number_plain(text, tight, tight_size) == (done && strlen(roomy) < tight_size));
	if (tight_size > 0)
		CHECK(strcmp(tight, done && strlen(roomy) < tight_size ? roomy : "") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	size_t		tight_size = take_byte(&input);
	size_t		currency_size = take_below(&input, 8);
	char	   *text = take_string(&input);
	char	   *tight = malloc(tight_size > 0 ? tight_size : 1);
	char	   *currency = malloc(currency_size > 0 ? currency_size : 1);
	char		amount[256];
	char		iso[8];
	const char *space;
	char		code[MF_CURRENCY_SIZE];
	char		again[MF_CURRENCY_SIZE];

	CHECK(tight != NULL && currency != NULL);
	check_plain(text, tight, tight_size);
	check_number(text, tight, tight_size);

	if (mf_currency_iso(text, code))
	{
		CHECK(strlen(text) <= 3 && strlen(code) == 3);
		CHECK(strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3);
		CHECK(mf_currency_iso(code, again) && strcmp(code, again) == 0);
	}

	if (mf_display_value_split(text, amount, sizeof(amount), iso, sizeof(iso)))
	{
		CHECK(judge_decimal(amount));
		space = strchr(text, ' ');
		CHECK(space != NULL);
		while (*space == ' ')
			space++;
		CHECK(mf_currency_iso(space, code) && strcmp(code, iso) == 0);
		CHECK(mf_display_value_split(text, tight, tight_size, currency, currency_size) ==
			  (strlen(amount) < tight_size && strlen(iso) < currency_size));
	}
	else
	{
		CHECK(amount[0] == '\0' && iso[0] == '\0');
		CHECK(!mf_display_value_split(text, tight, tight_size, currency, currency_size));
	}
	free(currency);
	free(tight);
	free(text);
	return 0;
}
