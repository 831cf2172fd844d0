/*
 * redact.h
 *	  Removes personal and card data from MyFatoorah's JSON before it is
 *	  stored.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/redact.h
 */
#ifndef MF_REDACT_H
#define MF_REDACT_H

#include <cjson/cJSON.h>

/*
 * Removes from a tree of mf_json_parse(), at every depth, the members that
 * hold personal, card or bank data, by their names in any case, and card
 * numbers unless they are masked.  Numbers that jsonb might reject or write
 * out at length (an exponent, more than 40 characters) become strings.  Never
 * fails.  NULL is allowed.
 */
extern void mf_redact(cJSON *node);

#endif							/* MF_REDACT_H */
