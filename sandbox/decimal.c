/*
 * decimal.c
 *	  Exact decimal arithmetic on scaled integers.
 */
#include "decimal.h"

#include <ctype.h>

/*
 * power_of_ten
 *		10^n for 0 <= n <= 38.
 */
static __int128
power_of_ten(int n)
{
	__int128 p = 1;

	while (n-- > 0)
		p *= 10;
	return p;
}

/*
 * divide_half_away
 *		num / den to the nearest integer, halves away from zero; den > 0.
 */
static __int128
divide_half_away(__int128 num, __int128 den)
{
	if (num < 0)
		return -((-num * 2 + den) / (den * 2));
	return (num * 2 + den) / (den * 2);
}

/*
 * decimal_parse
 *		Read a number exactly. With json_grammar the text must be a JSON number
 *		(which the scanner has checked); otherwise it is the content of a string:
 *		white space around it, a plus sign and leading zeros are let through.
 *		False if it is no number or does not fit 18 digits and 9 decimals.
 */
bool
decimal_parse(Str text, bool json_grammar, Decimal *result)
{
	size_t i = 0;
	bool negative = false;
	bool seen_digit = false;
	__int128 units = 0;
	int scale = 0;
	int digits = 0;
	int exponent = 0;

	if (!json_grammar)
		text = str_trim(text);
	if (i < text.len && (text.data[i] == '-' || (!json_grammar && text.data[i] == '+')))
		negative = text.data[i++] == '-';
	for (; i < text.len && isdigit((unsigned char) text.data[i]); i++)
	{
		seen_digit = true;
		units = units * 10 + (text.data[i] - '0');
		if (units != 0 && ++digits > 36)
			return false;
	}
	if (i < text.len && text.data[i] == '.')
	{
		for (i++; i < text.len && isdigit((unsigned char) text.data[i]); i++)
		{
			seen_digit = true;
			units = units * 10 + (text.data[i] - '0');
			if ((units != 0 && ++digits > 36) || ++scale > 64)
				return false;
		}
	}
	if (!seen_digit)
		return false;
	if (i < text.len && (text.data[i] == 'e' || text.data[i] == 'E'))
	{
		bool minus = false;
		bool any = false;

		if (++i < text.len && (text.data[i] == '-' || text.data[i] == '+'))
			minus = text.data[i++] == '-';
		for (; i < text.len && isdigit((unsigned char) text.data[i]); i++)
		{
			any = true;
			exponent = exponent * 10 + (text.data[i] - '0');
			if (exponent > 1000)
				return false;
		}
		if (!any)
			return false;
		if (minus)
			exponent = -exponent;
	}
	if (i != text.len)
		return false;

	/* Write the exponent out: 1.5e1 becomes 15, 1e-2 becomes 0.01. */
	for (; exponent > 0; exponent--)
	{
		if (scale > 0)
			scale--;
		else
		{
			units *= 10;
			if (units > power_of_ten(DECIMAL_MAX_DIGITS))
				return false;
		}
	}
	scale -= exponent;

	/* Decimals past the ninth are let through only when they are zeros. */
	while (scale > DECIMAL_MAX_SCALE && units % 10 == 0)
	{
		units /= 10;
		scale--;
	}
	if (scale > DECIMAL_MAX_SCALE || units >= power_of_ten(DECIMAL_MAX_DIGITS))
		return false;
	result->units = (int64_t) (negative ? -units : units);
	result->scale = scale;
	return true;
}

/*
 * decimal_sign
 *		-1, 0 or 1.
 */
int
decimal_sign(Decimal d)
{
	return d.units > 0 ? 1 : d.units < 0 ? -1 : 0;
}

/*
 * decimal_compare
 *		Order of two values, whatever their number of decimals.
 */
int
decimal_compare(Decimal a, Decimal b)
{
	__int128 x = (__int128) a.units * power_of_ten(DECIMAL_MAX_SCALE - a.scale);
	__int128 y = (__int128) b.units * power_of_ten(DECIMAL_MAX_SCALE - b.scale);

	return x > y ? 1 : x < y ? -1 : 0;
}

/*
 * wide_zero, wide_add_product, wide_equals
 *		A running sum of price times count and its comparison with a value. With
 *		at most 18 digits and nine decimals on either side 128 bits hold a
 *		product of any price with a count below 10^10 and 10^3 of such.
 */
WideDecimal
wide_zero(void)
{
	return (WideDecimal){0, DECIMAL_MAX_SCALE};
}

void
wide_add_product(WideDecimal *sum, Decimal price, int64_t count)
{
	__int128 addend = (__int128) price.units * count;
	__int128 product;

	/* Once out of range the sum stays out of range, equal to no value. */
	if (__builtin_mul_overflow(addend, power_of_ten(DECIMAL_MAX_SCALE - price.scale), &product) ||
		__builtin_add_overflow(sum->units, product, &sum->units))
	{
		sum->units = 0;
		sum->scale = -1;
	}
}

bool
wide_equals(WideDecimal sum, Decimal d)
{
	return sum.scale == DECIMAL_MAX_SCALE &&
		   sum.units == (__int128) d.units * power_of_ten(DECIMAL_MAX_SCALE - d.scale);
}

/*
 * decimal_round
 *		The value with exactly that many decimals, halves away from zero.
 */
Decimal
decimal_round(Decimal d, int scale)
{
	if (scale >= d.scale)
	{
		/* Only ever asked for three decimals: 18 digits may not gain three. */
		__int128 units = (__int128) d.units * power_of_ten(scale - d.scale);

		if (units > INT64_MAX || units < INT64_MIN)
			return d;
		return (Decimal){(int64_t) units, scale};
	}
	return (Decimal){(int64_t) divide_half_away(d.units, power_of_ten(d.scale - scale)), scale};
}

/*
 * decimal_round_up
 *		The value rounded up to that many decimals, given with three:
 *		MyFatoorah's way wherever a conversion or a surcharge is involved.
 */
Decimal
decimal_round_up(Decimal d, int scale)
{
	if (d.scale > scale)
	{
		__int128 den = power_of_ten(d.scale - scale);
		__int128 quotient = d.units / den;

		if (d.units > 0 && d.units % den != 0)
			quotient++;
		d.units = (int64_t) quotient;
		d.scale = scale;
	}
	return decimal_round(d, 3);
}

/*
 * decimal_scale_by
 *		d * factor / divisor rounded to that many decimals; false if it does
 *		not fit.
 */
bool
decimal_scale_by(Decimal d, Decimal factor, Decimal divisor, int scale, Decimal *result)
{
	__int128 num = (__int128) d.units * factor.units;
	__int128 den = divisor.units;
	int shift = scale + divisor.scale - d.scale - factor.scale;
	__int128 units;

	if (shift > 0)
	{
		if (__builtin_mul_overflow(num, power_of_ten(shift), &num))
			return false;
	}
	else
		den *= power_of_ten(-shift);
	units = divide_half_away(num, den);
	if (units >= power_of_ten(DECIMAL_MAX_DIGITS) || -units >= power_of_ten(DECIMAL_MAX_DIGITS))
		return false;
	result->units = (int64_t) units;
	result->scale = scale;
	return true;
}

/*
 * decimal_add, decimal_sub
 *		a + b, a - b, with the larger number of decimals of the two.
 */
Decimal
decimal_add(Decimal a, Decimal b)
{
	b.units = -b.units;
	return decimal_sub(a, b);
}

Decimal
decimal_sub(Decimal a, Decimal b)
{
	int scale = a.scale > b.scale ? a.scale : b.scale;
	__int128 x = (__int128) a.units * power_of_ten(scale - a.scale);
	__int128 y = (__int128) b.units * power_of_ten(scale - b.scale);

	return (Decimal){(int64_t) (x - y), scale};
}

/*
 * buf_put_decimal
 *		Append the value with its own number of decimals: 8.87, 2.000, 1.
 */
void
buf_put_decimal(Buf *b, Decimal d)
{
	uint64_t u = d.units < 0 ? 0 - (uint64_t) d.units : (uint64_t) d.units;
	uint64_t p = (uint64_t) power_of_ten(d.scale);

	if (d.units < 0)
		buf_putc(b, '-');
	buf_put_int(b, (int64_t) (u / p));
	if (d.scale > 0)
		buf_printf(b, ".%0*llu", d.scale, (unsigned long long) (u % p));
}

/*
 * buf_put_plain
 *		Append the value without trailing zeros: 8.87, 2, 0.1.
 */
void
buf_put_plain(Buf *b, Decimal d)
{
	while (d.scale > 0 && d.units % 10 == 0)
	{
		d.units /= 10;
		d.scale--;
	}
	buf_put_decimal(b, d);
}

/*
 * buf_put_grouped
 *		Append the value with three decimals and thousands separators, as
 *		MyFatoorah prints amounts of every currency: 12,345.000.
 */
void
buf_put_grouped(Buf *b, Decimal d)
{
	Buf plain = {0};
	size_t start = 0;
	size_t point;
	Decimal r = decimal_round(d, 3);

	buf_put_decimal(&plain, r);
	if (r.scale != 3)
		buf_puts(&plain, r.scale == 0 ? ".000" : r.scale == 1 ? "00" : "0");
	point = (size_t) ((char *) memchr(plain.data, '.', plain.len) - plain.data);
	if (plain.data[0] == '-')
	{
		buf_putc(b, '-');
		start = 1;
	}
	for (size_t i = start; i < point; i++)
	{
		if (i > start && (point - i) % 3 == 0)
			buf_putc(b, ',');
		buf_putc(b, plain.data[i]);
	}
	buf_put(b, plain.data + point, plain.len - point);
	buf_free(&plain);
}
