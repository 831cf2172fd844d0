/*
 * account.h
 *	  Accounts: foreign servers of the wrapper myfatoorah.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/account/account.h
 */
#ifndef MF_ACCOUNT_H
#define MF_ACCOUNT_H

#include "datatype/timestamp.h"

/* A part of the day, in seconds after midnight; it may go on past midnight. */
typedef struct MfHours
{
	int			from;			/* -1 = none */
	int			to;
} MfHours;

/* Which endpoint makes the invoices of rows: the option api */
typedef enum MfAccountApi
{
	MF_API_AUTO,				/* POST /v3/payments once a probe has proved what is needed, else SendPayment */
	MF_API_V2,					/* SendPayment */
	MF_API_V3					/* POST /v3/payments, proved or not, for what it can carry */
} MfAccountApi;

typedef struct MfAccount
{
	Oid			serverid;
	Oid			owner;			/* of the server */
	const struct MfCountry *country;
	bool		live;			/* environment */
	bool		has_base_url;	/* option base_url is set */
	bool		own_mappings;	/* roles may send with keys of their own */
	char	   *name;
	const char *currency;		/* ISO 4217, the account's base currency */
	char	   *base_url;
	char	   *time_zone;		/* IANA name */
	int			send_time;		/* second of the day; -1 = none */
	MfHours		quiet;			/* quiet_hours */
	bool		callbacks;		/* customers return to the listener, unless
								 * their invoice says otherwise */
	MfAccountApi api;
	char	   *ca_file;		/* NULL = the system's */
	int			max_in_flight;
	double		rate_limit;		/* requests per second, 0 = no limit */
	int			timeout_ms;
	int			connect_timeout_ms;
} MfAccount;

/*
 * Returns the account of that name, palloc'd: the caller's copy does not change
 * with the server.  Raises 42704 if there is no such server, 42809 if it is not
 * of the wrapper myfatoorah, HV00J or 22023 if its options make no sense.
 */
extern const MfAccount *mf_account_get(const char *name);

/* Returns the account; if it cannot be used, NULL, and sets *reason. */
extern const MfAccount *mf_account_or_null(const char *name, const char **reason);

/*
 * The same for who is about to write the name into a row: until the transaction ends,
 * the server cannot be renamed or dropped.  What is renamed later finds the row.  Waits
 * for who is renaming it; then the name is none any more.
 */
extern const MfAccount *mf_account_hold(const char *name);

/* The same, whatever the options are; false if there is no server of that name, perhaps any more. */
extern bool mf_account_hold_name(const char *name);

/*
 * The same for a name that may be that of no server, or was written before it was known: raises
 * 42704 if the server had it and was renamed while we waited.
 */
extern void mf_account_hold_if_any(const char *name);

/* The server of that name, palloc'd; NULL if there is none of the wrapper myfatoorah. */
extern struct ForeignServer *mf_account_server(const char *name);

/* Whether there is a server of that name that can be used as an account. */
extern bool mf_account_exists(const char *name);

/* The owner of the server of that name; InvalidOid if there is none. */
extern Oid	mf_account_owner(const char *name);

/*
 * Raises 42939 if the name is reserved, because it would stand for all accounts, and 42602
 * if it cannot be a part of an address.
 */
extern void mf_account_check_name(const char *name);

/* Raises 42501 unless the role has USAGE on the server. */
extern void mf_account_check_usage(const MfAccount *account, Oid roleid);

/*
 * Whether somebody who is not a superuser has chosen where requests go.  Then
 * they must not reach what only superusers may reach: files, ports of this
 * machine.
 */
extern bool mf_account_is_redirected(const MfAccount *account);

/* Wall clock of the account's time zone, "2026-11-22T09:58:04", palloc'd; NULL if out of range. */
extern char *mf_account_local_time(const MfAccount *account, TimestampTz at);

/*
 * The reverse: from "2026-01-13 00:15:07.293" in the account's time zone, or in
 * UTC if it ends with Z.  Raises 22007 or 22008 if it is no timestamp.
 */
extern TimestampTz mf_account_timestamp(const MfAccount *account, const char *local);

#endif							/* MF_ACCOUNT_H */
