/*
 * validate_fields.h
 *	  Members of a request and what their texts must look like; errors are
 *	  collected.
 */
#ifndef SANDBOX_VALIDATE_FIELDS_H
#define SANDBOX_VALIDATE_FIELDS_H

#include "validate.h"

/* A request while it is checked */
typedef struct Checker
{
	const JsonNode *body;
	SendPaymentRequest *req;
	const char *prefix; /* of the names of type errors */
	bool one_method; /* ExecutePayment */
	Buf type_errors;
} Checker;

extern void type_error(Checker *c, const char *name);
extern void rule_error(Checker *c, const char *name, const char *error);
extern Str text_member(Checker *c, const JsonNode *object, const char *name, const char *top);
extern bool number_member(Checker *c, const JsonNode *object, const char *name, const char *top,
						  OptionalDecimal *result);
extern bool integer_member(Checker *c, const JsonNode *object, const char *name, const char *top,
						   int64_t *result);
extern const JsonNode *typed_member(Checker *c, const JsonNode *object, const char *name, JsonType type);
extern void url_member(Checker *c, const JsonNode *object, const char *name, const char *top, Str *to,
					   bool limited);
extern void check_language(Checker *c);
extern void check_suppliers(Checker *c, const char *proposed);
extern bool check_over(Checker *c);
extern bool is_email(Str s);
extern bool is_mobile(Str s);
extern bool is_dial_code(Str s);
extern bool is_web_url(Str s, bool *localhost);

#endif
