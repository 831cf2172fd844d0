/*
 * field_errors.c
 *	  Collects the errors of checks instead of raising them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/field_errors.c
 */
#include "postgres.h"

#include "database/sql.h"
#include "request/field_errors.h"

void
mf_collect_field_errors(MfFieldErrors *errors, const char *field, void (*check) (void *argument), void *argument)
{
	ErrorData  *error = mf_sql_try(check, argument);
	MfFieldError *item;

	if (error == NULL)
		return;
	if (mf_error_is_systemic(error))
		ReThrowError(error);
	if (errors->count == errors->capacity)
	{
		errors->capacity = Max(errors->capacity * 2, 8);
		errors->items = errors->items == NULL ?
			(MfFieldError *) palloc(errors->capacity * sizeof(MfFieldError)) :
			(MfFieldError *) repalloc(errors->items, errors->capacity * sizeof(MfFieldError));
	}
	item = &errors->items[errors->count++];
	item->field = pstrdup(error->column_name != NULL ? error->column_name : field);
	item->message = pstrdup(mf_error_text(error));
	item->hint = error->hint == NULL ? NULL : pstrdup(error->hint);
	FreeErrorData(error);
}

bool
mf_has_field_error(const MfFieldErrors *errors, const char *field)
{
	int			i;

	for (i = 0; i < errors->count; i++)
	{
		if (strcmp(errors->items[i].field, field) == 0)
			return true;
	}
	return false;
}
