/*
 * text_domain.c
 *	  The catalog that our messages are translated by.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/text_domain.c
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/text_domain.h"

/* See text_domain.h.  The server does this for its own catalog; a library that is preloaded comes too early. */
void
mf_text_domain_bind(void)
{
	static bool bound = false;

	if (bound || !OidIsValid(MyDatabaseId))
		return;
	bound = true;
	pg_bindtextdomain(TEXTDOMAIN);
}
