/*
 * request_private.h
 *	  What the files of the checks of a request share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_private.h
 */
#ifndef MF_REQUEST_PRIVATE_H
#define MF_REQUEST_PRIVATE_H

#include "request/request.h"

/*
 * Checks one field and may replace its value by one that is sent.  Raises an error
 * with mf_err_field().
 */
typedef void (*MfFieldCheckFunction) (MfRequest *request, MfSendPaymentField field, const MfAccount *account);

/* What is checked of a field, in the order of the members */
typedef struct MfFieldCheck
{
	MfSendPaymentField field;
	bool		cleaned;		/* a text, cleaned as "cleaning" says */
	MfCleaning	cleaning;
	const char *required;		/* hint if the field is null; NULL: it may be */
	int			max_length;		/* of a text, in characters; 0 = not checked */
	const char *const *words;	/* the only valid texts, in any case, ended by
								 * NULL; NULL: any */
	MfFieldCheckFunction check; /* NULL = nothing else */
	bool		needs_account;	/* "check" must not be called without */
} MfFieldCheck;

/*
 * The checks, in an order in which each may rely on those before it; the last has
 * MF_SP_COUNT for its field.
 */
extern const MfFieldCheck mf_field_checks[];

/* Makes one of these checks; raises an error as MfFieldCheckFunction does. */
extern void mf_check_field(const MfFieldCheck *check, MfRequest *request, const MfAccount *account);

/* A text in place, without a terminating zero byte; "data" is NULL if it is null. */
typedef struct MfTextView
{
	const char *data;
	size_t		len;
} MfTextView;

/* A check of a jsonb field; request_json.c */
extern void mf_check_json_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account);

/* Name of the column, which is also the name of the argument. */
extern const char *mf_field_name(MfSendPaymentField field);

#endif							/* MF_REQUEST_PRIVATE_H */
