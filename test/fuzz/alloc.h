/*
 * alloc.h
 *	  Every allocation of src/core fails once: what the tasks share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/alloc.h
 */
#ifndef MF_FUZZ_ALLOC_H
#define MF_FUZZ_ALLOC_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/http/http.h"

#define REFERENCE "mf-1"

/* Whether an allocation of the current task has failed */
extern __thread bool fired;

extern const char *task_name;
extern long fail_at;
extern bool forever;

#define CHECK(condition) \
	do { \
		if (!(condition)) \
		{ \
			end(); \
			fprintf(stderr, "%s:%d: %s, allocation %ld of %s: does not hold: %s\n", __FILE__, __LINE__, \
					task_name, fail_at, forever ? "those that fail from there on" : "those that fail alone", #condition); \
			abort(); \
		} \
	} while (0)

/* Encloses what may fail; allocations are counted through the whole task. */
extern void begin(void);
extern void end(void);

/* An exchange that ended with this answer; the caller owns its memory */
extern void make_exchange(MfHttpExchange *exchange, long status, const char *body);

/* alloc_webhook.c */
extern void task_webhook(void);
extern void task_webhook_log(void);
extern void task_refunds(void);

#endif							/* MF_FUZZ_ALLOC_H */
