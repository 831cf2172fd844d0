/*
 * field_errors.h
 *	  Collects the errors of checks instead of raising them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/field_errors.h
 */
#ifndef MF_FIELD_ERRORS_H
#define MF_FIELD_ERRORS_H

typedef struct MfFieldError
{
	char	   *field;
	char	   *message;		/* with the detail */
	char	   *hint;			/* NULL = none */
} MfFieldError;

/* Initialized with zeros; everything in it is palloc'd */
typedef struct MfFieldErrors
{
	int			count;
	int			capacity;
	MfFieldError *items;
} MfFieldErrors;

/*
 * Calls check(argument) in a subtransaction.  An error that it raises is added to
 * *errors, under the column that it names, or else under "field".  Errors that
 * do not depend on the values that are checked, such as a lack of memory, are
 * raised again.
 */
extern void mf_collect_field_errors(MfFieldErrors *errors, const char *field,
									void (*check) (void *argument), void *argument);

/* Whether there is an error of that field. */
extern bool mf_has_field_error(const MfFieldErrors *errors, const char *field);

#endif							/* MF_FIELD_ERRORS_H */
