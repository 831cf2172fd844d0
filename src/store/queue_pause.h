/*
 * queue_pause.h
 *	  SQL of pauses: of an account, or of all.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_pause.h
 */
#ifndef MF_QUEUE_PAUSE_H
#define MF_QUEUE_PAUSE_H

#include "database/sql.h"

/* Who has paused all accounts because this may be a copy */
#define MF_PAUSED_BY_GUARD "worker"
#define MF_PAUSED_BY_RESTORE "restore"

extern void mf_queue_pause(Oid schema, const char *account, const char *by, const char *reason);
/* Why nothing is sent for an account: "by PERSON since TIME: REASON", palloc'd; NULL if it is not paused. */
extern char *mf_queue_pause_reason(Oid schema, const char *account, bool *all_accounts);

extern bool mf_queue_resume(Oid schema, const char *account);

/* Whether everything is paused because this may be a copy, and no person has decided yet: what it holds stays as it came. */
extern bool mf_queue_awaits_decision(const MfSqlScope *scope);

/* Names of those of the accounts that are paused, perhaps MF_ALL_ACCOUNTS among them, in the current context. */
extern List *mf_queue_paused_accounts(const MfSqlScope *scope, const char **accounts, int count);

/*
 * Makes due at once what was put off for want of an account or a key: of an
 * account, or of all with NULL, and of what one role has inserted, or everybody
 * with InvalidOid.
 */
extern void mf_queue_retry_account(Oid schema, const char *account, Oid created_by);

#endif							/* MF_QUEUE_PAUSE_H */
