/*
 * decimal.h
 *	  Exact decimals: a 64-bit integer and a number of decimals. No amount ever
 *	  passes through a double.
 */
#ifndef SANDBOX_DECIMAL_H
#define SANDBOX_DECIMAL_H

#include "text.h"

#define DECIMAL_MAX_SCALE 9
#define DECIMAL_MAX_DIGITS 18

typedef struct Decimal
{
	int64_t units; /* value times 10^scale */
	int scale; /* decimals as written: "2.500" has three */
} Decimal;

/* Wide sums, so that no addition of a request's items can overflow. */
typedef struct WideDecimal
{
	__int128 units;
	int scale;
} WideDecimal;

extern bool decimal_parse(Str text, bool json_grammar, Decimal *result);
extern int decimal_sign(Decimal d);
extern int decimal_compare(Decimal a, Decimal b);
extern WideDecimal wide_zero(void);
extern void wide_add_product(WideDecimal *sum, Decimal price, int64_t count);
extern bool wide_equals(WideDecimal sum, Decimal d);
extern Decimal decimal_round(Decimal d, int scale);
extern Decimal decimal_round_up(Decimal d, int scale);
extern bool decimal_scale_by(Decimal d, Decimal factor, Decimal divisor, int scale, Decimal *result);
extern Decimal decimal_add(Decimal a, Decimal b);
extern Decimal decimal_sub(Decimal a, Decimal b);
extern void buf_put_decimal(Buf *b, Decimal d);
extern void buf_put_plain(Buf *b, Decimal d);
extern void buf_put_grouped(Buf *b, Decimal d);

#endif
