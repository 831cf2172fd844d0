/*
 * account_owner.c
 *	  The owners of accounts, among whom turns and request slots are shared.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/account_owner.c
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "flow/account_owner.h"

static HTAB *owners = NULL;

MfOwner *
mf_owner_get(Oid role)
{
	MfOwner    *owner;
	bool		found;

	if (owners == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(MfOwner);
		control.hcxt = TopMemoryContext;
		owners = hash_create("myfatoorah owners", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	owner = (MfOwner *) hash_search(owners, &role, HASH_ENTER, &found);
	if (!found)
	{
		memset(owner, 0, sizeof(*owner));
		owner->role = role;
		dlist_init(&owner->line);
	}
	return owner;
}
