/*
 * account_target.h
 *	  HTTP targets of accounts: where requests go, and with which API key.
 *
 * Targets are kept per process, so that their connections are.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_target.h
 */
#ifndef MF_ACCOUNT_TARGET_H
#define MF_ACCOUNT_TARGET_H

#include "datatype/timestamp.h"

#include "account/account_key.h"
#include "core/http/http.h"

/*
 * Returns the target for requests of that owner of a key.  It is created anew
 * when an option, the key or the key's file has changed.  The caller does not
 * release it, and takes a reference of its own if it needs the target after the
 * end of the transaction.
 *
 * Raises the errors of mf_account_read_key(), 22023 if the options cannot be
 * used, and 28000 if MyFatoorah has refused the key.
 */
extern MfHttpTarget *mf_account_target(MfHttp *http, const MfAccount *account, MfKeyOwner owner);

/*
 * Notes that MyFatoorah has refused the key of a target.  Returns false, and notes
 * nothing, if that is PUBLIC's key: then the whole account is concerned.  A role's
 * own key is refused by mf_account_target() from now on, with "error", until the
 * key, its user mapping or the account's options change, or until
 * mf_account_try_keys().  Accesses no catalog.
 */
extern bool mf_account_key_refused(const MfHttpTarget *target, const char *error);

/*
 * Notes that MyFatoorah has throttled the key of a target, and asked to wait
 * "retry_after" seconds, or 0.  "inquiry": the request was a question about a
 * payment.  Returns false, and notes nothing, if that is PUBLIC's key.  Accesses no
 * catalog.
 */
extern bool mf_account_key_throttled(const MfHttpTarget *target, bool inquiry, int retry_after);

/*
 * Until when that key is to be left alone; 0 if it need not be.  Inquiries also wait
 * when sending was throttled, but sending does not wait for inquiries.  Only after a
 * call of mf_account_target().
 */
extern TimestampTz mf_account_throttled_until(MfHttp *http, const MfAccount *account, MfKeyOwner owner, bool inquiry);

/* Forgets which keys were refused or throttled. */
extern void mf_account_try_keys(void);

/* Forgets the targets of "http", which is about to be destroyed. */
extern void mf_account_forget_targets(MfHttp *http);

#endif							/* MF_ACCOUNT_TARGET_H */
