/*
 * field_errors.h
 *	  Errors of checks, collected instead of raised.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/field_errors.h
 */
#ifndef MF_FIELD_ERRORS_H
#define MF_FIELD_ERRORS_H

/* What is wrong with one field */
typedef struct MfFieldError
{
	char	   *field;
	char	   *message;		/* with the detail */
	char	   *hint;			/* NULL = none */
} MfFieldError;

typedef struct MfFieldErrors
{
	int			count;
	int			room;
	MfFieldError *all;
} MfFieldErrors;

/*
 * Makes a check in a subtransaction.  An error that it raises is added to the
 * complaints, about the field that it names or else that one; what is no fault of
 * the row is raised nevertheless.  Memory is of the current context.
 */
extern void mf_collect_field_errors(MfFieldErrors *complaints, const char *field, void (*check) (void *argument), void *argument);

/* Whether a field is complained of. */
extern bool mf_has_field_error(const MfFieldErrors *complaints, const char *field);

#endif							/* MF_FIELD_ERRORS_H */
