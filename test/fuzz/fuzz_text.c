/*
 * fuzz_text.c
 *	  UTF-8, excerpts for messages, and cleaning of pasted text.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_text.c
 */
#include "fuzz.h"

#include "core/text/text.h"
#include "core/text/unicode.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	size_t		out_size = (size_t) take_byte(&input) * (1 + (size_t) take_byte(&input) % 5);
	size_t		len;
	char	   *text = take_rest(&input, &len);
	char	   *out = malloc(out_size > 0 ? out_size : 1);
	char	   *whole = malloc(3 * len + 1);
	bool		valid = judge_utf8(text, len);
	uint32_t	code = 0;
	size_t		out_len;
	size_t		whole_len;
	size_t		step;
	size_t		i;

	CHECK(out != NULL && whole != NULL);
	CHECK(mf_utf8_valid(text, len) == valid);
	step = mf_utf8_char(text, len, &code);
	CHECK(step <= 4 && step <= len);
	CHECK(step == 0 || judge_utf8(text, step));
	if (step == 1)
		CHECK(code == (uint32_t) (unsigned char) text[0] && code < 0x80);
	if (step == 0 && len > 0)
		CHECK(!judge_utf8(text, 1) && (len < 2 || !judge_utf8(text, 2)) && (len < 3 || !judge_utf8(text, 3)));

	/* in full: no byte of it can take more than three */
	mf_text_excerpt(text, len, whole, 3 * len + 1);
	whole_len = strlen(whole);
	CHECK((whole_len == 0) == (len == 0));
	CHECK(len == 0 || judge_line(whole, 3 * len));
	for (i = 0; i < len && text[i] >= 0x20 && text[i] < 0x7F; i++)
		CHECK(whole[i] == text[i]);

	/* and in any size: as much of that as fits, and "..." */
	mf_text_excerpt(text, len, out, out_size);
	if (out_size > 0)
	{
		out_len = strlen(out);
		CHECK(out_len < out_size);
		CHECK(out_len == 0 || judge_line(out, out_size - 1));
		if (whole_len < out_size)
			CHECK(strcmp(out, whole) == 0);
		else
		{
			size_t		kept = out_len;

			if (out_size > 3)
			{
				CHECK(out_len >= 3 && strcmp(out + out_len - 3, "...") == 0);
				kept -= 3;
				/* not shorter than it must be */
				CHECK(out_len + 3 >= out_size - 1);
			}
			CHECK(memcmp(out, whole, kept) == 0);
		}
	}

	/* cleaning is idempotent and keeps UTF-8 valid */
	for (i = MF_CLEAN_TEXT; i <= MF_CLEAN_NUMBER; i++)
	{
		size_t		left;

		memcpy(whole, text, len);
		left = mf_text_clean(whole, len, (MfCleaning) i);
		CHECK(left <= len && (left < len || memcmp(whole, text, len) == 0));
		CHECK(!valid || judge_utf8(whole, left));
		CHECK(!valid || mf_text_clean(whole, left, (MfCleaning) i) == left);
		CHECK(!valid || i != MF_CLEAN_NUMBER || !mf_text_find_unseen(whole, left, &code));
	}
	free(whole);
	free(out);
	free(text);
	return 0;
}
