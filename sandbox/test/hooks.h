/*
 * hooks.h
 *	  What the tests of webhooks, refunds and deposits share.
 */
#ifndef SANDBOX_TEST_HOOKS_H
#define SANDBOX_TEST_HOOKS_H

#include "harness.h"
#include "receiver.h"

#define SECRET "s3cret/+=\xC3\xA9"

extern void fresh_start(const char *version, const char *more);
extern double new_invoice(const char *reference, const char *more);
extern Reply act(double invoice, const char *action, const char *body);
extern bool wait_finished(int n);
extern const Hook *next_hook(int i);
extern void message_like(const cJSON *message, const char *fixture);
extern void signed_text(const cJSON *message, int version, int code, char *text, size_t size);
extern bool signature_holds(const Hook *h, const char *secret);
extern Reply deliveries(const char *query);
extern Reply ask(const char *name, const char *headers, const char *format, double id);
extern void account(const char *settings);
extern double paid_invoice(const char *reference, const char *more);
extern int64_t counted(const char *query, const char *member);

#endif
