/*
 * field_errors.c
 *	  Errors of checks, collected instead of raised.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/field_errors.c
 */
#include "postgres.h"

#include "database/sql.h"
#include "request/field_errors.h"

void
mf_collect_field_errors(MfFieldErrors *complaints, const char *field, void (*check) (void *argument), void *argument)
{
	ErrorData  *error = mf_sql_try(check, argument);
	MfFieldError *complaint;

	if (error == NULL)
		return;
	if (mf_error_is_systemic(error))
		ReThrowError(error);
	if (complaints->count == complaints->room)
	{
		complaints->room = Max(complaints->room * 2, 8);
		complaints->all = complaints->all == NULL ? (MfFieldError *) palloc(complaints->room * sizeof(MfFieldError)) :
			(MfFieldError *) repalloc(complaints->all, complaints->room * sizeof(MfFieldError));
	}
	complaint = &complaints->all[complaints->count++];
	complaint->field = pstrdup(error->column_name != NULL ? error->column_name : field);
	complaint->message = pstrdup(mf_error_text(error));
	complaint->hint = error->hint == NULL ? NULL : pstrdup(error->hint);
	FreeErrorData(error);
}

bool
mf_has_field_error(const MfFieldErrors *complaints, const char *field)
{
	int			i;

	for (i = 0; i < complaints->count; i++)
	{
		if (strcmp(complaints->all[i].field, field) == 0)
			return true;
	}
	return false;
}
