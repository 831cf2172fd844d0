/*
 * redact.h
 *	  Leaves out of the vendor's JSON what is not to be kept.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/redact.h
 */
#ifndef MF_REDACT_H
#define MF_REDACT_H

#include <cjson/cJSON.h>

/*
 * Removes from a tree of mf_json_parse(), at every depth, the members that
 * hold personal data, or data of cards and bank accounts: by their names,
 * without regard to case, and a card's number unless it is masked.  Numbers
 * that jsonb might not take or would write out at length (an exponent, more
 * than 40 characters) become strings.  Never fails; NULL is fine.
 */
extern void mf_redact(cJSON *node);

#endif							/* MF_REDACT_H */
