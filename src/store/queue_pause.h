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
#include "flow/round_items.h"

/* paused_by of all accounts while this database may be a copy of another one */
#define MF_PAUSED_BY_GUARD "worker"
#define MF_PAUSED_BY_RESTORE "restore"

/*
 * Pauses an account, or MF_ALL_ACCOUNTS.  One that is paused already stays as it is, and false is returned;
 * but a pause by MF_PAUSED_BY_GUARD or MF_PAUSED_BY_RESTORE takes the place of a person's, whose reason follows
 * the new one. Own scope.
 */
extern bool mf_queue_pause(Oid schema, const char *account, const char *by, const char *reason);

/* The same by one of these two, with a log line. */
extern void mf_queue_pause_copy(Oid schema, const char *account, const char *by, const char *reason);

/*
 * Why nothing is sent for an account: "by PERSON since TIME: REASON", palloc'd;
 * NULL if it is not paused.  *all_accounts is set to whether all are. Own scope.
 */
extern char *mf_queue_pause_reason(Oid schema, const char *account, bool *all_accounts);

/* False if it was not paused.  Of MF_ALL_ACCOUNTS also ends the suspicion of a copy. Own scope. */
extern bool mf_queue_resume(Oid schema, const char *account);

/* SQL: whether no function of users and extensions is called */
#define MF_CALLS_PAUSED "EXISTS (SELECT FROM @mf_all_paused)"

/* Pauses all accounts, unless they are, if a dump of another database was restored into these tables. Own scope. */
extern void mf_queue_pause_restored(Oid schema);

/* Whether all accounts are paused because this may be a copy, until a person decides: nothing may be changed. */
extern bool mf_queue_awaits_decision(const MfSqlScope *scope);

/* The same, or whether an account is paused for that reason. Own scope. */
extern bool mf_queue_is_copy(Oid schema, const char *account);

/* Names of the accounts that are paused, perhaps MF_ALL_ACCOUNTS among them, in the current context. */
extern List *mf_queue_paused_accounts(const MfSqlScope *scope, const char **accounts, int count);

/* Whether an account is, by such a list. */
extern bool mf_queue_is_paused(const List *paused, const char *account);

/*
 * Makes due at once what was put off because an account or its key was missing:
 * of one account, or all with NULL; of invoices that one role has inserted, or all
 * with InvalidOid. Own scope.
 */
extern void mf_queue_retry_account(Oid schema, const char *account, Oid created_by);

/*
 * Puts an item off because its outcome or claim cannot be written.  False if no table shows
 * that, with the error.
 */
extern bool mf_queue_put_off(const MfSqlScope *scope, MfItemKind kind, int64 id, TimestampTz until, const char *error);

/*
 * Makes due at once all that was put off, or had no usable answer, except the items of
 * left_out[], an int8[] for each kind.
 */
extern void mf_queue_retry_put_off(const MfSqlScope *scope, const Datum left_out[MF_ITEM_KINDS]);

#endif							/* MF_QUEUE_PAUSE_H */
