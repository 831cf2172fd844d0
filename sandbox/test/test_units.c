/*
 * test_units.c
 *	  The parts that need no server: decimals, JSON, time.
 */
#include <stdio.h>

#include "../clock.h"
#include "../decimal.h"
#include "../json.h"
#include "harness.h"

/*
 * parse_gives, parse_refuses
 *		Reading a number and printing it both ways.
 */
static void
parse_gives(const char *text, bool json, const char *plain, const char *grouped)
{
	Decimal d;
	Buf a = {0};
	Buf b = {0};

	if (!CHECK(decimal_parse(str_of(text), json, &d), "\"%s\" is a number", text))
		return;
	buf_put_decimal(&a, d);
	buf_put_grouped(&b, d);
	CHECK(strcmp(a.data, plain) == 0, "\"%s\" prints as %s, not %s", text, plain, a.data);
	CHECK(strcmp(b.data, grouped) == 0, "\"%s\" prints as %s, not %s", text, grouped, b.data);
	buf_free(&a);
	buf_free(&b);
}

static void
parse_refuses(const char *text, bool json)
{
	Decimal d;

	CHECK(!decimal_parse(str_of(text), json, &d), "\"%s\" is refused", text);
}

/*
 * test_decimals
 *		Exactness, exponents, limits, sums, rounding.
 */
static void
test_decimals(void)
{
	WideDecimal sum = wide_zero();
	Decimal d;
	Decimal big = {999999999999999999, 0};

	parse_gives("1", true, "1", "1.000");
	parse_gives("2.000", true, "2.000", "2.000");
	parse_gives("8.87", true, "8.87", "8.870");
	parse_gives("12345678.901", true, "12345678.901", "12,345,678.901");
	parse_gives("0.1", true, "0.1", "0.100");
	parse_gives("999999999999999999", true, "999999999999999999", "999,999,999,999,999,999.000");
	parse_gives("-5.5", true, "-5.5", "-5.500");
	parse_gives("-1234.5", true, "-1234.5", "-1,234.500");
	parse_gives("1e2", true, "100", "100.000");
	parse_gives("1.50E1", true, "15.0", "15.000");
	parse_gives("125e-3", true, "0.125", "0.125");
	parse_gives("0.0005", true, "0.0005", "0.001");
	parse_gives("1.2344999", true, "1.2344999", "1.234");
	parse_gives(" +007.50 ", false, "7.50", "7.500");
	parse_gives("0", true, "0", "0.000");
	parse_gives("1.00000000000000000000", true, "1.000000000", "1.000");
	parse_refuses("", false);
	parse_refuses(".", false);
	parse_refuses("1,000", false);
	parse_refuses("1.2.3", false);
	parse_refuses("0x10", false);
	parse_refuses("1e", true);
	parse_refuses("1e400", true);
	parse_refuses("1000000000000000000", true);
	parse_refuses("0.1234567891", true);
	parse_refuses("99999999999999999999999999999999999999999", true);

	decimal_parse(STR_LIT("0.1"), true, &d);
	wide_add_product(&sum, d, 3);
	decimal_parse(STR_LIT("0.3"), true, &d);
	CHECK(wide_equals(sum, d), "3 * 0.1 = 0.3");
	decimal_parse(STR_LIT("0.300000001"), true, &d);
	CHECK(!wide_equals(sum, d), "3 * 0.1 is not 0.300000001");
	for (int i = 0; i < 1000; i++)
		wide_add_product(&sum, big, 2147483647);
	CHECK(!wide_equals(sum, d), "a sum out of range equals nothing");
	d = decimal_round_up((Decimal){10942, 3}, 2);
	CHECK(d.units == 10950 && d.scale == 3, "10.942 is charged as 10.950");
	d = decimal_round_up((Decimal){10940, 3}, 2);
	CHECK(d.units == 10940 && d.scale == 3, "10.940 stays");
	CHECK(decimal_compare((Decimal){10, 1}, (Decimal){1000, 3}) == 0, "1.0 = 1.000");
}

/*
 * json_gives, json_refuses
 *		The member "a" of an object as text; a text that is malformed.
 */
static void
json_gives(const char *text, const char *expected)
{
	JsonDoc doc;
	const JsonNode *a;

	if (CHECK(json_parse(&doc, str_of(text)), "%s is well-formed", text))
	{
		a = json_member(doc.root, "A");
		CHECK(a != NULL && str_is(a->text, expected), "%s gives %s", text, expected);
	}
	json_free(&doc);
}

static void
json_refuses(Str text)
{
	JsonDoc doc;

	CHECK(!json_parse(&doc, text), "%.60s is malformed", text.data);
	json_free(&doc);
}

/*
 * test_json
 *		Literals, escapes, duplicates, and what is refused.
 */
static void
test_json(void)
{
	static const char *const bad[] = {"",           " ",        "{",       "{\"a\"}",   "{\"a\":}",
									  "{\"a\":1,}", "[1,]",     "{'a':1}", "{a:1}",     "01",
									  "1.",         ".5",       "+1",      "-",         "1e",
									  "nul",        "True",     "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
									  "\"a",        "\"a\nb\"", "[1 2]",   "{} {}",     "{\"a\":1}x",
									  "NaN",        "\"\\",     "[",       "]",         "\x01"};
	Buf deep = {0};

	json_gives("{\"a\":2.000}", "2.000");
	json_gives("{\"a\":1,\"A\":2}", "2");
	json_gives("\xEF\xBB\xBF {\"a\":\"x\"} ", "x");
	json_gives("{\"a\":\"\\u0041\\n\\/\\\"\\\\\"}", "A\n/\"\\");
	json_gives("{\"a\":\"\\u0623\\u062d\\u0645\\u062f\"}", "أحمد");
	json_gives("{\"a\":\"\\ud83d\\ude00\"}", "\xF0\x9F\x98\x80");
	json_gives("{\"a\":\"\\ud83d\"}", "\xEF\xBF\xBD");
	json_gives("{\"a\":\"\xC3\x28\"}", "\xEF\xBF\xBD(");
	json_gives("{\"a\":-1.5E+10}", "-1.5E+10");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		json_refuses(str_of(bad[i]));
	for (int i = 0; i < 1000; i++)
		buf_putc(&deep, '[');
	json_refuses((Str){deep.data, deep.len});
	buf_free(&deep);
}

/*
 * time_gives
 *		Reading a time and printing it MyFatoorah's ways.
 */
static void
time_gives(const char *text, const char *printed, const char *english)
{
	Ticks t;
	Buf a = {0};
	Buf b = {0};

	if (!CHECK(parse_local_time(str_of(text), &t), "\"%s\" is a time", text))
		return;
	buf_put_datetime(&a, t, 3);
	buf_put_english_date(&b, t);
	CHECK(strcmp(a.data, printed) == 0, "\"%s\" prints as %s, not %s", text, printed, a.data);
	CHECK(strcmp(b.data, english) == 0, "\"%s\" prints as %s, not %s", text, english, b.data);
	buf_free(&a);
	buf_free(&b);
}

/*
 * test_time
 *		Zones, fractions in 1/300 s, leap years.
 */
static void
test_time(void)
{
	static const char *const bad[] = {"2026-02-29",
									  "2026-13-01",
									  "2026-00-10",
									  "2026-01-32",
									  "2026-01-01T24:00:00",
									  "2026-01-01T10:60:00",
									  "tomorrow",
									  "2026-1-1",
									  "2026-01-01T10",
									  "2026-01-01T10:00:00x",
									  "2026-01-01T10:00:00+3",
									  ""};
	Buf b = {0};
	Ticks t;

	time_gives("2026-01-13T00:15:07", "2026-01-13T00:15:07", "January 13, 2026");
	time_gives("2028-02-29T23:59:59.5", "2028-02-29T23:59:59.5", "February 29, 2028");
	time_gives("2026-12-31T21:00:00Z", "2027-01-01T00:00:00", "January 1, 2027");
	time_gives("2026-06-01T12:00:00+05:00", "2026-06-01T10:00:00", "June 1, 2026");
	time_gives("2026-06-01 12:00", "2026-06-01T12:00:00", "June 1, 2026");
	time_gives("2026-11-08", "2026-11-08T00:00:00", "November 8, 2026");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!parse_local_time(str_of(bad[i]), &t), "\"%s\" is no time", bad[i]);
	parse_local_time(STR_LIT("2026-01-10T00:15:33"), &t);
	buf_put_datetime(&b, t + 106, 7);
	CHECK(strcmp(b.data, "2026-01-10T00:15:33.3533333") == 0, "seven digits: %s", b.data);
	b.len = 0;
	buf_put_datetime(&b, t + 88, 3);
	CHECK(strcmp(b.data, "2026-01-10T00:15:33.293") == 0, "three digits: %s", b.data);
	buf_free(&b);
}

/*
 * test_units
 *		All of it.
 */
void
test_units(void)
{
	test_decimals();
	test_json();
	test_time();
}
