/*
 * support.h
 *	  What every test includes: cmocka, and reading of fixtures.
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

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* cmocka renames its own from version to version */
#define assert_between(value, least, most) assert_true((value) >= (least) && (value) <= (most))

/* The text of a file in fixtures/, malloc'd; the test fails if there is none. */
extern char *fixture(const char *name);

/*
 * JSON with the members of every object sorted by name and without white
 * space, so that texts of equal meaning are equal; malloc'd.  Numbers stay as
 * they are written.  The test fails if it is not JSON.
 */
extern char *canonical(const char *json);

/* A printf() to malloc'd memory */
extern char *text(const char *format,...) __attribute__((format(printf, 1, 2)));

#endif							/* MF_TEST_SUPPORT_H */
