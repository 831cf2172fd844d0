/*
 * signature.h
 *	  The signature of a webhook.
 */
#ifndef SANDBOX_SIGNATURE_H
#define SANDBOX_SIGNATURE_H

#include "json.h"

extern const char *const *signature_members(int code);
extern bool signature_text(const JsonNode *body, int version, int code, Buf *text);
extern void signature_of(Str text, Str secret, Buf *base64);

#endif
