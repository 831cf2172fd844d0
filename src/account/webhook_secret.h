/*
 * webhook_secret.h
 *	  Webhook secrets of accounts.
 *
 * They are options of user mappings, or stand in files that these name.  Only the
 * mappings of PUBLIC and of roles with the privileges of the server's owner count:
 * every role with USAGE may create a mapping, and must not be able to sign in
 * MyFatoorah's name.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/webhook_secret.h
 */
#ifndef MF_WEBHOOK_SECRET_H
#define MF_WEBHOOK_SECRET_H

#include "account/account.h"
#include "core/api/webhook.h"

/* Whether the account has a webhook secret. */
extern bool mf_account_has_webhook_secret(const MfAccount *account);

/*
 * Calls mf_webhook_read() with the webhook secrets of the account, current and
 * previous, and wipes them.  A secret whose file cannot be read is left out, and
 * logged; raises its error if there is no other.
 */
extern MfWebhookVerdict mf_account_read_webhook(const MfAccount *account, const char *body, size_t len,
												const char *signature, const char *version, MfWebhook *webhook);

#endif							/* MF_WEBHOOK_SECRET_H */
