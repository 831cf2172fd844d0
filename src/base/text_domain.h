/*
 * text_domain.h
 *	  The catalog of translations of our messages.
 *
 * Included by all files that raise errors, mostly through settings.h or compat.h.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/text_domain.h
 */
#ifndef MF_TEXT_DOMAIN_H
#define MF_TEXT_DOMAIN_H

#undef TEXTDOMAIN
#define TEXTDOMAIN PG_TEXTDOMAIN("myfatoorah")

#endif							/* MF_TEXT_DOMAIN_H */
