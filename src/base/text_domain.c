/*
 * text_domain.c
 *	  The catalog of translations of our messages.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/text_domain.c
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/text_domain.h"

/* Not when the library is preloaded: the encoding of messages is not known then. */
void
mf_text_domain_bind(void)
{
	static bool bound = false;

	if (bound || !OidIsValid(MyDatabaseId))
		return;
	bound = true;
	pg_bindtextdomain(TEXTDOMAIN);
}
