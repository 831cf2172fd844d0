/*
 * clock.h
 *	  Time as MyFatoorah keeps and prints it.
 *
 * MyFatoorah's database counts in 1/300 of a second, which shows in every time
 * it prints (".3533333", ".293"), so an instant here is a number of such ticks
 * since 1970 in UTC. Printed times are local wall clock without a zone; the
 * test host runs on Asia/Kuwait (UTC+3, no summer time) for every country.
 */
#ifndef SANDBOX_CLOCK_H
#define SANDBOX_CLOCK_H

#include "text.h"

#define TICKS_PER_SECOND 300

typedef int64_t Ticks;

/* A local wall clock reading. */
typedef struct LocalTime
{
	int year;
	int month; /* 1 to 12 */
	int day; /* 1 to 31 */
	int day_of_year; /* 1 to 366 */
	int hour;
	int minute;
	int second;
	int tick; /* 0 to 299 */
} LocalTime;

extern int64_t monotonic_us(void);
extern int64_t wall_us(void);
extern void clock_set_offset(int64_t seconds);
extern int64_t clock_offset(void);
extern Ticks clock_now(void);
extern LocalTime local_time(Ticks t);
extern bool parse_local_time(Str text, Ticks *result);
extern bool parse_utc_time(Str text, Ticks *result);
extern void buf_put_datetime(Buf *b, Ticks t, int digits);
extern void buf_put_clock_time(Buf *b, Ticks t, int digits);
extern void buf_put_english_date(Buf *b, Ticks t);
extern void buf_put_compact_time(Buf *b, Ticks t);
extern void buf_put_utc(Buf *b, Ticks t, int digits, bool pad);
extern void buf_put_utc_us(Buf *b, int64_t us);

#endif
