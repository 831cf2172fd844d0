/*
 * support.h
 *	  What every test includes: cmocka, reading of fixtures, and answers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/support.h
 */
#ifndef MF_TEST_SUPPORT_H
#define MF_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/api/lists.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* the name of cmocka's own differs between versions */
#define assert_between(value, least, most) assert_true((value) >= (least) && (value) <= (most))

/* The text of a file in fixtures/, malloc'd; the test fails if it does not exist. */
extern char *fixture(const char *name);

/*
 * Normalizes JSON so that equal values are equal texts: members sorted by
 * name, no white space, numbers unchanged.  malloc'd.  The test fails if the
 * text is not JSON.
 */
extern char *canonical(const char *json);

/* The exchange of a request that was answered with a copy of "body", which the caller frees. */
extern MfHttpExchange answered(long status, const char *body);

/* What such an answer says; to be freed. */
extern MfListResult read_list(const MfList *list, long status, const char *body);

/* Both are that text, or both are NULL. */
extern void check_text(const char *actual, const char *expected);

/* A printf() to malloc'd memory */
extern char *text(const char *format,...) __attribute__((format(printf, 1, 2)));

#endif							/* MF_TEST_SUPPORT_H */
