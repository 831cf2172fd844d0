/*
 * control.h
 *	  What the parts of the control path share.
 */
#ifndef SANDBOX_CONTROL_H
#define SANDBOX_CONTROL_H

#include "server.h"

#define DEFAULT_WAIT_MS 10000

/* control_common.c */
extern void control_ok(Answer *a);
extern void control_refused(Answer *a, int status, const char *why);
extern int64_t query_integer(Request *r, const char *name, int64_t otherwise);
extern cJSON *read_json(Request *r, bool *ok);
extern bool json_integer(const cJSON *object, const char *name, int64_t *to);
extern bool json_decimal(const cJSON *object, const char *name, Decimal *to);

/* control_account.c */
extern bool control_account(Request *r, Str path);

/* control_webhook.c */
extern bool control_webhook(Request *r, Str path, bool *done);

/* bulk.c */
extern void bulk_pay(Request *r);
extern void bulk_put_state(Buf *b);
extern void bulk_stop(void);

#endif
