/*
 * account.h
 *	  Accounts: foreign servers of the wrapper myfatoorah and their mappings.
 *
 * Only this file sees API keys.  A key passes from the user mapping or its
 * file straight into an MfHttpTarget and is wiped from our memory.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account.h
 */
#ifndef MF_ACCOUNT_H
#define MF_ACCOUNT_H

#include "datatype/timestamp.h"

#include "core/api/webhook.h"
#include "core/http/http.h"

typedef struct MfAccount
{
	Oid			serverid;
	Oid			owner;			/* of the server */
	bool		redirected;		/* its options say where MyFatoorah is */
	bool		own_mappings;	/* invoices go with keys of roles' own, too */
	char	   *name;
	const char *currency;		/* ISO 4217, the account's base currency */
	const char *dial_code;		/* of the country, "965" */
	char	   *base_url;
	char	   *time_zone;		/* IANA name */
	int			send_time;		/* second of the day; -1 = none */
	int			quiet_from;		/* likewise */
	int			quiet_to;
	bool		callbacks;		/* customers come back to the listener, unless
								 * their row says otherwise */
	char	   *ca_file;		/* NULL = the system's */
	int			max_in_flight;
	double		rate_limit;		/* requests per second, 0 = no limit */
	int			timeout_ms;
	int			connect_timeout_ms;
} MfAccount;

/* Whose key a row goes with */
typedef struct MfKeyOwner
{
	Oid			role;			/* that inserted it; InvalidOid: it is gone */
	bool		own;			/* it had a user mapping of its own, which
								 * PUBLIC's does not stand in for */
} MfKeyOwner;

/* Nobody: PUBLIC's key */
extern const MfKeyOwner mf_public_key;

#define MF_MAX_IN_FLIGHT_MIN 1
#define MF_MAX_IN_FLIGHT_DEFAULT 50
#define MF_MAX_IN_FLIGHT_MAX 1000
#define MF_RATE_LIMIT_MAX 10000
#define MF_TIMEOUT_MIN 100		/* milliseconds */
#define MF_TIMEOUT_DEFAULT 60000
#define MF_TIMEOUT_MAX 600000
#define MF_CONNECT_TIMEOUT_DEFAULT 10000

/*
 * The account of that name, a copy in the current context: whatever happens to
 * the server meanwhile, it stays as it was read.  Errors: 42704 if
 * there is no such server, 42809 if it is not of the wrapper myfatoorah, HV00J
 * or 22023 if its options do not make sense.
 */
extern const MfAccount *mf_account_get(const char *name);

/* Whether there is a server of that name, and of our wrapper. */
extern bool mf_account_exists(const char *name);

/* Who owns the server of that name; InvalidOid if there is none. */
extern Oid	mf_account_owner(const char *name);

/* Raises an error if a server of that name would stand for all accounts. */
extern void mf_account_check_name(const char *name);

/* Raises 42501 unless the role has USAGE on the server. */
extern void mf_account_check_usage(const MfAccount *account, Oid roleid);

/* Whether the role has a user mapping of its own for the account. */
extern bool mf_account_has_own_mapping(const MfAccount *account, Oid roleid);

/*
 * Whether invoices may be made with the key that the role would use: everybody with
 * USAGE may make a mapping of his own, but those only count where the owner of the
 * server says so, and of roles that may act as he.  The second raises 42501
 * unless it is so.
 */
extern bool mf_account_mapping_counts(const MfAccount *account, Oid roleid);
extern void mf_account_check_mapping(const MfAccount *account, Oid roleid);

/*
 * The target to post to as that role: with the key of its own user mapping,
 * else, unless it must be its own, of PUBLIC's.  Kept and shared per process and "http"; made anew when an
 * option or the key in its file has changed.  The caller does not release it,
 * and holds it if it is needed after the end of the transaction.
 * Errors: 42704 if no mapping or key is there, 58P01 and the like if the key
 * file cannot be read, 28000 if MyFatoorah has refused the key.  No error text
 * contains a key.
 */
extern MfHttpTarget *mf_account_target(MfHttp *http, const MfAccount *account, MfKeyOwner owner);

/*
 * MyFatoorah has refused the key of a target.  True if it is of a role's own
 * mapping, and nobody else's affair: with "error", mf_account_target() raises that
 * from now on, until the key, its mapping or the account's options change, or
 * mf_account_try_keys().  Touches no catalog.
 */
extern bool mf_account_key_refused(const MfHttpTarget *target, const char *error);

/*
 * MyFatoorah has throttled a request with the key of a target ("question": one
 * about payments), and said how many seconds to wait, or 0.  True if the key is of
 * a role's own mapping: nobody else's affair, and left alone for a while.  Touches
 * no catalog.
 */
extern bool mf_account_key_throttled(const MfHttpTarget *target, bool question, int retry_after);

/*
 * Until when that key is to be left alone; 0 = it is not.  A question waits for what
 * has throttled sending, and not the other way round.
 */
extern TimestampTz mf_account_throttled_until(MfHttp *http, const MfAccount *account, MfKeyOwner owner, bool question);

/* Keys that were refused or throttled are tried once more. */
extern void mf_account_try_keys(void);

/* Whether there will never be a key again. */
extern bool mf_account_owner_is_gone(MfKeyOwner owner);

/* Forgets the targets of "http", which is about to be destroyed. */
extern void mf_account_forget_targets(MfHttp *http);

/*
 * mf_webhook_read() with the webhook secrets, current and previous, of the user
 * mappings of the account that are PUBLIC's or of somebody who may act as the owner
 * of the server.  The secrets are wiped.  Raises errors for a secret's file that cannot be read.
 */
extern MfWebhookVerdict mf_account_read_webhook(const MfAccount *account, const char *body, size_t len,
												const char *signature, const char *version, MfWebhook *webhook);

/* Whether any user mapping of the server has its key in a file. */
extern bool mf_account_has_key_file(Oid serverid);

/* Whether there is such a secret. */
extern bool mf_account_has_webhook_secret(const MfAccount *account);

/* Wall clock of the account's zone, "2026-11-22T09:58:04"; palloc'd, NULL if out of range. */
extern char *mf_account_local_time(const MfAccount *account, TimestampTz at);

/* The other way: "2026-01-13 00:15:07.293" of the account's zone, or with Z. */
extern TimestampTz mf_account_timestamp(const MfAccount *account, const char *local);

#endif							/* MF_ACCOUNT_H */
