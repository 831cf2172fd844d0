/*
 * text_domain.h
 *	  The catalog that our messages are translated by.
 *
 * All that raises errors includes it, mostly by settings.h or compat.h.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/text_domain.h
 */
#ifndef MF_TEXT_DOMAIN_H
#define MF_TEXT_DOMAIN_H

#undef TEXTDOMAIN
#define TEXTDOMAIN PG_TEXTDOMAIN("myfatoorah")

/* Once the database is known, whose encoding messages have: the first time only, and before any query. */
extern void mf_text_domain_bind(void);

#endif							/* MF_TEXT_DOMAIN_H */
