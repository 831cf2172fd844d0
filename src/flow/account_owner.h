/*
 * account_owner.h
 *	  The owners of accounts, among whom turns and request slots are shared.
 *
 * An account's owner is the role that owns its foreign server.  Owners share
 * first, and then each owner's accounts, so that nobody gains by having many
 * accounts.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/account_owner.h
 */
#ifndef MF_ACCOUNT_OWNER_H
#define MF_ACCOUNT_OWNER_H

#include "lib/ilist.h"

/* Each group of members is written only by the file that is named. */
typedef struct MfOwner
{
	Oid			role;			/* hash key; InvalidOid: owner not known yet, or server dropped */

	/* account_turns.c */
	dlist_node	turn_node;		/* in the line of owners */
	dlist_head	line;			/* of throttles that wait for their turn */
	int			line_length;

	/* request_slots.c */
	int			slots;			/* in use, or claimed for, by its accounts */

	/* claim.c */
	int			planned;		/* rows that the claim under way may take for its accounts */

	/* inquiry.c */
	NameData	next_account;	/* the next scan begins with this one */
} MfOwner;

/* Returns the owner with this role, created on first use.  Owners are few and never freed. */
extern MfOwner *mf_owner_get(Oid role);

#endif							/* MF_ACCOUNT_OWNER_H */
