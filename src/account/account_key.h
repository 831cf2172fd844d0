/*
 * account_key.h
 *	  User mappings of accounts: whose API key is used, reading it, and webhook secrets.
 *
 * API keys are options of user mappings, or stand in files that these name.
 * Every role with USAGE on a server may create a user mapping of its own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account_key.h
 */
#ifndef MF_ACCOUNT_KEY_H
#define MF_ACCOUNT_KEY_H

#include "storage/itemptr.h"

#include "account/account.h"
#include "account/secret_file.h"
#include "core/api/webhook.h"

/* Whose key an invoice is sent with */
typedef struct MfKeyOwner
{
	Oid			role;			/* role that inserted the invoice; InvalidOid:
								 * it does not exist any more */
	bool		own;			/* the role had a user mapping of its own then:
								 * PUBLIC's key must not be used instead */
} MfKeyOwner;

/* The key of PUBLIC's user mapping */
extern const MfKeyOwner mf_public_key;

/* An API key that was read, and where it stands */
typedef struct MfAccountKey
{
	char	   *key;			/* palloc'd; wipe it with mf_wipe_string() */
	bool		own;			/* from the role's own user mapping, not PUBLIC's */
	TransactionId mapping_xmin; /* version of the row of pg_user_mapping */
	ItemPointerData mapping_tid;
	char	   *path;			/* of the key's file, palloc'd; NULL: the key is
								 * an option */
	MfSecretFile file;			/* state of that file */
} MfAccountKey;

/* Whether the role has a user mapping of its own for the account. */
extern bool mf_account_has_own_mapping(const MfAccount *account, Oid roleid);

/*
 * Whether the role may send invoices with the key that it would use.  A user
 * mapping of its own only counts if the owner of the server has allowed that by
 * the option own_mappings, or if the role has the owner's privileges.
 * mf_account_check_mapping() raises 42501 if it does not count.
 */
extern bool mf_account_mapping_counts(const MfAccount *account, Oid roleid);
extern void mf_account_check_mapping(const MfAccount *account, Oid roleid);

/* Whether the key of that owner can never be found again, because the role was dropped. */
extern bool mf_account_owner_is_gone(MfKeyOwner owner);

/*
 * Reads the key of the role's own user mapping or, unless the owner must have one of
 * its own, of PUBLIC's, into *key.  Raises 42704 if there is no mapping or no
 * key, and errors of mf_read_secret_file().  No error text contains a key.
 */
extern void mf_account_read_key(const MfAccount *account, MfKeyOwner owner, MfAccountKey *key);

/* Whether any user mapping of the server has its key in a file. */
extern bool mf_account_has_key_file(Oid serverid);

/* Whether the account has a webhook secret. */
extern bool mf_account_has_webhook_secret(const MfAccount *account);

/*
 * Calls mf_webhook_read() with the webhook secrets of the account, current and
 * previous, and wipes them.  A secret whose file cannot be read is left out, and
 * logged; raises its error if there is no other.
 */
extern MfWebhookVerdict mf_account_read_webhook(const MfAccount *account, const char *body, size_t len,
												const char *signature, const char *version, MfWebhook *webhook);

#endif							/* MF_ACCOUNT_KEY_H */
