/*
 * webhook.h
 *	  Webhooks: their settings, and the events that cause them.
 *
 * All functions want the store's lock held unless they say otherwise.
 */
#ifndef SANDBOX_WEBHOOK_H
#define SANDBOX_WEBHOOK_H

#include "delivery.h"

extern bool webhook_init(const char *url, const char *version, const char *secret);
extern void webhook_reset(void);
extern void webhook_start_ids(uint64_t seed);
extern void webhook_end(void);
extern bool webhook_configure(const cJSON *object, Buf *error);
extern void webhook_put_settings(Buf *b);
extern void webhook_payment(const Invoice *inv, const PaymentTry *t);
extern bool webhook_decide_refund(Refund *refund, bool approve);
extern void webhook_deposit(const Deposit *d);
extern void webhook_recurring(const Recurring *plan, const Invoice *inv);
extern bool webhook_dispute(const Invoice *inv, const cJSON *details);
extern bool webhook_event(const cJSON *object, const Account *account, Buf *error);
extern Delivery *webhook_replay(const Delivery *d, const char *url);
extern Delivery *webhook_raw(const cJSON *object, Buf *error);

#endif
