/*
 * common.h
 *	  What the programs of the benchmark share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/common.h
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND INT64_C(1000000000) /* nanoseconds */

/* Room for a body, and for any answer that is expected */
#define BODY_SIZE 1024
#define ANSWER_SIZE 16384

/*
 * What the server of the benchmark counts, in a file that others map, so that
 * looking costs it nothing.  The delay is set from outside.
 */
typedef struct ServerStats
{
	atomic_int pid;
	atomic_int delay_ms;
	atomic_ullong requests;
	atomic_ullong answered;
	atomic_ullong connections;
	atomic_ullong body_bytes;
} ServerStats;

/* What the kernel knows about a process */
typedef struct ProcessStats
{
	int64_t cpu; /* nanoseconds */
	int64_t own_kb; /* memory in use, without the shared memory that it has touched */
	int64_t waits; /* voluntary context switches */
	int64_t preempted;
} ProcessStats;

extern _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Monotonic nanoseconds. */
extern int64_t now(void);

extern void nap(int64_t nanoseconds);

/* A whole number from the command line, at least "least"; else the end. */
extern long parse_number(const char *option, const char *text, long least);

/* Maps the file, making it if "create"; else the end. */
extern ServerStats *map_stats(const char *path, int create);

/* Reads what /proc says of a process; else the end. */
extern void read_process(int pid, ProcessStats *stats);

/* A SendPayment body like the ones that the extension makes of the benchmark's rows; its length. */
extern int make_body(char *body, const char *prefix, long number);

/* One measured value, for the script that called us. */
extern void report(const char *metric, double value);

#endif
