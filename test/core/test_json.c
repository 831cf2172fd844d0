/*
 * test_json.c
 *	  What is accepted as JSON, and that nothing of it is lost.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_json.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/json.h"
#include "core/text/text.h"

typedef struct Bytes
{
	const char *text;
	size_t		len;
} Bytes;

#define BYTES(literal) {literal, sizeof(literal) - 1}

/* Parses and prints; NULL if refused. */
static char *
reprint(const char *json, size_t len)
{
	const char *error = "untouched";
	size_t		offset = 12345678;
	/* without a NUL at the end, so that reading beyond it is noticed */
	char	   *exact = malloc(len > 0 ? len : 1);
	cJSON	   *root;
	char	   *printed = NULL;

	memcpy(exact, json, len);
	root = mf_json_parse(exact, len, &error, &offset);
	free(exact);
	if (root == NULL)
	{
		assert_non_null(error);
		assert_true(offset <= len);
	}
	else
	{
		assert_null(error);
		printed = mf_json_print(root);
		assert_non_null(printed);
		cJSON_Delete(root);
	}
	return printed;
}

static void
check_same(const char *json, const char *expected)
{
	char	   *printed = reprint(json, strlen(json));

	if (printed == NULL)
		fail_msg("refused: %s", json);
	assert_string_equal(printed, expected);
	free(printed);
}

static void
test_accepted(void **state)
{
	static const char *const pairs[][2] = {
		{"null", "null"}, {"true", "true"}, {"false", "false"}, {"\"\"", "\"\""}, {"\"a\"", "\"a\""},
		{"[]", "[]"}, {"{}", "{}"}, {"[[]]", "[[]]"}, {"[{}]", "[{}]"}, {"{\"a\":{}}", "{\"a\":{}}"},
		{" \t\r\n[ \t\r\n1 , 2\n]\r\n ", "[1,2]"}, {"{ \"a\" : 1 , \"b\" : [ ] }", "{\"a\":1,\"b\":[]}"},
		{"[null,true,false]", "[null,true,false]"}, {"{\"\":1}", "{\"\":1}"},
		{"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"}, {"[[1],[2],[[3]]]", "[[1],[2],[[3]]]"},
		{"{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"}, {"\xEF\xBB\xBF{}", "{}"},
		{"{\"a\":[{\"b\":[1,{\"c\":2}]},3],\"d\":4}", "{\"a\":[{\"b\":[1,{\"c\":2}]},3],\"d\":4}"},
		{"{\"a\":{},\"b\":1}", "{\"a\":{},\"b\":1}"}, {"[{},1,[],2]", "[{},1,[],2]"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(pairs); i++)
		check_same(pairs[i][0], pairs[i][1]);
}

static void
test_refused(void **state)
{
	static const Bytes cases[] = {
		BYTES(""), BYTES(" "), BYTES("\n"), BYTES("\xEF\xBB\xBF"), BYTES("\xEF\xBB\xBF\xEF\xBB\xBF{}"), BYTES("\xFE\xFF\0{\0}"),
		BYTES("nul"), BYTES("nulll"), BYTES("Null"), BYTES("TRUE"), BYTES("undefined"), BYTES("NaN"), BYTES("Infinity"), BYTES("-Infinity"),
		BYTES("{"), BYTES("}"), BYTES("["), BYTES("]"), BYTES("[1"), BYTES("[1,"), BYTES("[1,]"), BYTES("[,1]"), BYTES("[1 2]"), BYTES("[1}"),
		BYTES("{\"a\"}"), BYTES("{\"a\":}"), BYTES("{\"a\":1,}"), BYTES("{a:1}"), BYTES("{'a':1}"), BYTES("{1:1}"), BYTES("{\"a\":1]"),
		BYTES("{\"a\" 1}"), BYTES("{,}"), BYTES("{\"a\":1 \"b\":2}"), BYTES("{\"a\":1,,\"b\":2}"), BYTES("{\"a\":1"), BYTES("{\"a\":"), BYTES("{\"a"),
		BYTES("{} {}"), BYTES("{}x"), BYTES("{}\0"), BYTES("1 2"), BYTES("[],"), BYTES("{}//"), BYTES("/**/{}"), BYTES("[1]]"),
		BYTES("\""), BYTES("\"a"), BYTES("\"\\"), BYTES("\"\\\""), BYTES("\"\\u"), BYTES("\"\\u12\""), BYTES("\"\\u123"), BYTES("\"\\u00G0\""),
		BYTES("\"\\x41\""), BYTES("\"\\a\""), BYTES("\"\\'\""), BYTES("\"\\0\""), BYTES("\"\\U0041\""), BYTES("\"\\ud83d\\u\""), BYTES("\"\\ud83d\\u12\""),
		BYTES("\"\n\""), BYTES("\"\t\""), BYTES("\"\0\""), BYTES("\"\x1F\""), BYTES("'a'"), BYTES("\"a\"b"),
		BYTES("\"\x80\""), BYTES("\"\xC3\""), BYTES("\"\xC3(\""), BYTES("\"\xC0\x80\""), BYTES("\"\xED\xA0\x80\""), BYTES("\"\xF5\x80\x80\x80\""),
		BYTES("\"\xF0\x9F\x98\""), BYTES("{\"\xFF\":1}"), BYTES("\xC2\xA0{}"), BYTES("\v{}"), BYTES("\f{}"), BYTES("[\xE2\x80\xA8]"),
		BYTES("01"), BYTES("00"), BYTES("-01"), BYTES("+1"), BYTES("-"), BYTES("--1"), BYTES("1."), BYTES(".1"), BYTES("-.1"), BYTES("1.e1"), BYTES("1e"),
		BYTES("1e+"), BYTES("1E-"), BYTES("1e1.5"), BYTES("0x10"), BYTES("1_000"), BYTES("1,000"), BYTES("1.2.3"), BYTES("- 1"), BYTES("1e 1"),
		BYTES("\xD9\xA1"), BYTES("[1.]"), BYTES("[-]"), BYTES("1a"), BYTES("0a"),
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		char	   *printed = reprint(cases[i].text, cases[i].len);

		if (printed != NULL)
			fail_msg("taken: %.*s as %s", (int) cases[i].len, cases[i].text, printed);
	}
}

static void
test_errors(void **state)
{
	static const struct
	{
		const char *json;
		const char *error;
		size_t		offset;
	}			cases[] = {
		{"", "unexpected end", 0}, {"  ", "unexpected end", 2}, {"[1", "unexpected end", 2}, {"{\"a\"", "unexpected end", 4},
		{"[1}", "comma or end of container expected", 2}, {"{\"a\" 1}", "colon expected", 5}, {"{1}", "name expected", 1},
		{"[x]", "value expected", 1}, {"[tru]", "unknown word", 1}, {"1.", "invalid number", 2}, {"{} x", "text after the end", 3},
		{"\"abc", "unterminated string", 4}, {"\"a\nb\"", "control character in a string", 2}, {"\"a\xFF\"", "invalid UTF-8", 2},
		{"\"a\\x\"", "invalid escape in a string", 3}, {"\"\\u12G4\"", "invalid \\u escape", 5},
		{"{\"a\":1,\"a\":2}", "duplicate member name", 12},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(cases); i++)
	{
		const char *error;
		size_t		offset;

		assert_null(mf_json_parse(cases[i].json, strlen(cases[i].json), &error, &offset));
		if (strcmp(error, cases[i].error) != 0 || offset != cases[i].offset)
			fail_msg("%s: %s at %zu", cases[i].json, error, offset);
		assert_null(mf_json_parse(cases[i].json, strlen(cases[i].json), NULL, NULL));
	}
}

static void
test_numbers(void **state)
{
	static const char *const numbers[] = {
		"0", "-0", "1", "-1", "10", "9007199254740993", "123456789012345678901234567890", "100.000", "0.0", "-0.0",
		"8.87", "1E400", "1e-400", "1e5", "1E+5", "1e05", "0e0", "-1.5e-10", "0.1000000000000000055511151231257827",
		"2147483648", "18446744073709551616",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(numbers); i++)
	{
		char	   *json = text("{\"a\":%s,\"b\":[%s],\"c\":\"%s\"}", numbers[i], numbers[i], numbers[i]);
		cJSON	   *root = mf_json_parse(json, strlen(json), NULL, NULL);
		char	   *printed;

		assert_non_null(root);
		assert_string_equal(mf_json_number(root, "a"), numbers[i]);
		assert_string_equal(mf_json_text(root, "a"), numbers[i]);
		assert_null(mf_json_string(root, "a"));
		assert_true(mf_json_is_number(mf_json_get(root, "a")));
		assert_true(mf_json_is_number(mf_json_get(root, "b")->child));
		assert_false(mf_json_is_number(mf_json_get(root, "b")));
		assert_false(mf_json_is_number(mf_json_get(root, "c")));
		assert_null(mf_json_number(root, "c"));
		assert_string_equal(mf_json_string(root, "c"), numbers[i]);
		printed = mf_json_print(root);
		assert_string_equal(printed, json);
		free(printed);
		cJSON_Delete(root);
		check_same(numbers[i], numbers[i]);
		free(json);
	}
}

static void
test_strings(void **state)
{
	static const char *const pairs[][2] = {
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"}, {"\"\\u0041\\u00e4\\u00E4\\u20ac\"", "A\xC3\xA4\xC3\xA4\xE2\x82\xAC"},
		{"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"}, {"\"\\uD83D\\uDE00\"", "\xF0\x9F\x98\x80"}, {"\"\\udbff\\udfff\"", "\xF4\x8F\xBF\xBF"},
		{"\"\xF0\x9F\x98\x80\"", "\xF0\x9F\x98\x80"}, {"\"\xD8\xB1\xD8\xB4\xD8\xA7\"", "\xD8\xB1\xD8\xB4\xD8\xA7"},
		{"\"\x7F\"", "\x7F"}, {"\"\\u001f\"", "\x1F"}, {"\"\\uffff\"", "\xEF\xBF\xBF"},
		/* what cannot be kept */
		{"\"\\u0000\"", "\xEF\xBF\xBD"}, {"\"a\\u0000b\"", "a\xEF\xBF\xBD" "b"},
		{"\"\\ud83d\"", "\xEF\xBF\xBD"}, {"\"\\ude00\"", "\xEF\xBF\xBD"}, {"\"\\ude00\\ud83d\"", "\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"\"\\ud83dx\"", "\xEF\xBF\xBDx"}, {"\"\\ud83d\\n\"", "\xEF\xBF\xBD\n"}, {"\"\\ud83d\\u0041\"", "\xEF\xBF\xBD" "A"},
		{"\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80"}, {"\"\\ud83d\\u0000\"", "\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"\"\\ud83d\\\\\"", "\xEF\xBF\xBD\\"},
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(pairs); i++)
	{
		char	   *json = text("{\"a\":%s}", pairs[i][0]);
		cJSON	   *root = mf_json_parse(json, strlen(json), NULL, NULL);

		if (root == NULL)
			fail_msg("refused: %s", pairs[i][0]);
		assert_string_equal(mf_json_string(root, "a"), pairs[i][1]);
		cJSON_Delete(root);
		free(json);

		/* as a name */
		json = text("{%s:1}", pairs[i][0]);
		root = mf_json_parse(json, strlen(json), NULL, NULL);
		assert_non_null(root);
		assert_string_equal(mf_json_number(root, pairs[i][1]), "1");
		cJSON_Delete(root);
		free(json);
	}
}

static void
test_duplicates(void **state)
{
	static const char *const refused[] = {
		"{\"a\":1,\"a\":1}", "{\"a\":1,\"b\":2,\"a\":3}", "{\"x\":{\"a\":1,\"a\":1}}", "[{\"a\":1,\"a\":1}]",
		"{\"a\":1,\"\\u0061\":1}", "{\"\":1,\"\":2}", "{\"a\\u0000\":1,\"a\\ufffd\":2}", "{\"a\":{},\"a\":{}}",
	};
	static const char *const accepted[] = {
		"{\"a\":1,\"b\":{\"a\":2},\"c\":[{\"a\":3},{\"a\":4}]}", "{\"a\":1,\"A\":1}", "{\"a\":1,\"a \":1}", "[1,1]",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(refused); i++)
	{
		const char *error;

		assert_null(mf_json_parse(refused[i], strlen(refused[i]), &error, NULL));
		assert_string_equal(error, "duplicate member name");
	}
	for (i = 0; i < LENGTH(accepted); i++)
		check_same(accepted[i], accepted[i]);
}

static char *
nested(int depth, const char *open, const char *inner, const char *close)
{
	char	   *json = malloc((size_t) depth * (strlen(open) + strlen(close)) + strlen(inner) + 1);
	char	   *end = json;
	int			i;

	for (i = 0; i < depth; i++)
		end = stpcpy(end, open);
	end = stpcpy(end, inner);
	for (i = 0; i < depth; i++)
		end = stpcpy(end, close);
	return json;
}

static void
test_depth(void **state)
{
	static const char *const shapes[][3] = {{"[", "", "]"}, {"{\"a\":", "1", "}"}, {"[", "1", "]"}, {"[{\"a\":", "1", "}]"}};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(shapes); i++)
	{
		int			levels = (i == 3) ? MF_JSON_MAX_DEPTH / 2 : MF_JSON_MAX_DEPTH;
		char	   *json = nested(levels, shapes[i][0], shapes[i][1], shapes[i][2]);
		char	   *printed = reprint(json, strlen(json));

		assert_non_null(printed);
		assert_string_equal(printed, json);
		free(printed);
		free(json);
		json = nested(levels + 1, shapes[i][0], shapes[i][1], shapes[i][2]);
		assert_null(reprint(json, strlen(json)));
		free(json);
		/* a mere opening, far too deep */
		json = nested(100000, shapes[i][0], "", "");
		assert_null(reprint(json, strlen(json)));
		free(json);
	}
}

static void
test_many_members(void **state)
{
	int			count;

	(void) state;
	for (count = MF_JSON_MAX_MEMBERS; count <= MF_JSON_MAX_MEMBERS + 1; count++)
	{
		char	   *json = malloc((size_t) count * 20 + 10);
		char	   *end = json;
		char	   *printed;
		int			i;

		end += sprintf(end, "{");
		for (i = 0; i < count; i++)
			end += sprintf(end, "%s\"m%d\":%d", i > 0 ? "," : "", i, i);
		sprintf(end, "}");
		printed = reprint(json, strlen(json));
		if (count <= MF_JSON_MAX_MEMBERS)
			assert_string_equal(printed, json);
		else
			assert_null(printed);
		free(printed);
		free(json);
	}
}

/* Four megabytes of the most expensive JSON: time and memory stay bounded. */
static void
test_hostile(void **state)
{
	static const char *const pieces[][3] = {
		{"[", "0", "]"}, {"[", "\"\"", "]"}, {"[", "[]", "]"}, {"[", "{}", "]"}, {"[", "{\"a\":1,\"b\":2}", "]"},
	};
	size_t		size = 4 * 1024 * 1024;
	char	   *json = malloc(size + 64);
	const char *error;
	size_t		used;
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(pieces); i++)
	{
		size_t		len = strlen(pieces[i][1]);

		json[0] = '[';
		used = 1;
		while (used < size)
		{
			if (used > 1)
				json[used++] = ',';
			memcpy(json + used, pieces[i][1], len);
			used += len;
		}
		json[used++] = ']';
		assert_null(mf_json_parse(json, used, &error, NULL));
		assert_string_equal(error, "too many values");
	}

	/* many objects of as many members as allowed, with long names that differ late */
	used = 0;
	json[used++] = '[';
	while (used < size - 200000)
	{
		if (used > 1)
			json[used++] = ',';
		json[used++] = '{';
		for (i = 0; i < 1000; i++)
			used += (size_t) sprintf(json + used, "%s\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%zu\":0", i > 0 ? "," : "", (i * 7919) % 1000);
		json[used++] = '}';
	}
	json[used++] = ']';
	{
		cJSON	   *root = mf_json_parse(json, used, &error, NULL);

		assert_non_null(root);
		cJSON_Delete(root);
	}

	/* one long string, one long number */
	memset(json, 'a', size);
	json[0] = json[size - 1] = '"';
	{
		char	   *printed = reprint(json, size);

		assert_int_equal(strlen(printed), size);
		free(printed);
	}
	memset(json, '1', size);
	{
		char	   *printed = reprint(json, size);

		assert_int_equal(strlen(printed), size);
		free(printed);
	}
	free(json);
}

static void
test_getters(void **state)
{
	const char *json = "{\"s\":\"x\",\"n\":1,\"z\":null,\"t\":true,\"o\":{\"s\":\"y\"},\"a\":[1],\"S\":\"upper\"}";
	cJSON	   *root = mf_json_parse(json, strlen(json), NULL, NULL);

	(void) state;
	assert_non_null(root);
	assert_string_equal(mf_json_string(root, "s"), "x");
	assert_string_equal(mf_json_string(root, "S"), "upper");
	assert_string_equal(mf_json_text(root, "s"), "x");
	assert_string_equal(mf_json_number(root, "n"), "1");
	assert_string_equal(mf_json_string(mf_json_get(root, "o"), "s"), "y");
	assert_true(cJSON_IsNull(mf_json_get(root, "z")));
	assert_true(cJSON_IsTrue(mf_json_get(root, "t")));
	assert_null(mf_json_get(root, "missing"));
	assert_null(mf_json_get(NULL, "s"));
	assert_null(mf_json_get(mf_json_get(root, "a"), "s"));
	assert_null(mf_json_get(mf_json_get(root, "s"), "s"));
	assert_null(mf_json_string(root, "n"));
	assert_null(mf_json_number(root, "s"));
	assert_null(mf_json_text(root, "z"));
	assert_null(mf_json_text(root, "t"));
	assert_null(mf_json_text(root, "o"));
	assert_null(mf_json_text(NULL, "s"));
	assert_false(mf_json_is_number(NULL));
	cJSON_Delete(root);
}

static void
test_fixtures(void **state)
{
	static const char *const names[] = {
		"send-payment.request.all.json", "send-payment.request.minimal-lnk.json", "send-payment.request.php-library-wire.json",
		"send-payment.request.suppliers.json", "send-payment.response.lnk.json", "send-payment.response.validation-error.json",
		"get-payment-status.response.paid-single.json", "get-payment-status.response.pending-no-attempt.json",
		"error.route-not-found.json", "error.execute-payment.method-not-available.json",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(names); i++)
	{
		char	   *content = fixture(names[i]);
		char	   *once = reprint(content, strlen(content));
		char	   *twice = reprint(once, strlen(once));

		assert_string_equal(once, twice);
		free(twice);
		free(once);
		free(content);
	}
}

/* A mutated text is parsed or refused, and parsing what was printed gives the same. */
static void
test_mutations(void **state)
{
	char	   *original = fixture("get-payment-status.response.paid-single.json");
	size_t		len = strlen(original);
	char	   *mutant = malloc(len + 1);
	unsigned int random = 20260110;
	int			taken = 0;
	int			i;
	int			k;

	(void) state;
	for (i = 0; i < 10000; i++)
	{
		size_t		mutant_len = len;
		char	   *once;

		memcpy(mutant, original, len);
		for (k = 0; k < 1 + i % 3; k++)
		{
			size_t		at;

			random = random * 1103515245 + 12345;
			at = (random >> 8) % mutant_len;
			random = random * 1103515245 + 12345;
			switch ((random >> 8) % 4)
			{
				case 0:
					mutant[at] = (char) (random >> 16);
					break;
				case 1:
					mutant[at] = "{}[]\",:\\u0eE+-. \n"[(random >> 16) % 17];
					break;
				case 2:
					memmove(mutant + at, mutant + at + 1, mutant_len - at - 1);
					mutant_len--;
					break;
				default:
					mutant_len = (i % 10 == 0) ? at + 1 : mutant_len;
					break;
			}
		}
		once = reprint(mutant, mutant_len);
		if (once != NULL)
		{
			char	   *twice = reprint(once, strlen(once));

			taken++;
			assert_true(mf_utf8_valid(once, strlen(once)));
			assert_non_null(twice);
			assert_string_equal(once, twice);
			free(twice);
		}
		free(once);
	}
	/* the mutations are neither harmless nor all fatal */
	assert_true(taken > 250 && taken < 9750);
	free(mutant);
	free(original);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_many_members),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
