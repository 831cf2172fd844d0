/*
 * log_event.c
 *	  Names of the events in the server log.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/log_event.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "base/log_event.h"
#include "base/text_domain.h"

int
mf_log_event(const char *event, const char *fmt,...)
{
	const char *translated = dgettext(TEXTDOMAIN, fmt);
	MemoryContext old = MemoryContextSwitchTo(ErrorContext);
	StringInfoData text;
	int			needed;

	initStringInfo(&text);
	do
	{
		va_list		args;

		va_start(args, fmt);
		needed = appendStringInfoVA(&text, translated, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&text, needed);
	} while (needed > 0);
	MemoryContextSwitchTo(old);
	errmsg_internal("myfatoorah: %s: %s", event, text.data);
	pfree(text.data);
	return 0;
}

void
mf_log_error_event(const char *event, const ErrorData *error)
{
	errmsg_internal("myfatoorah: %s: %s", event, error->message);
}
