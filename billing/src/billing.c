/*
 * billing.c
 *	  Loading of the library, and what SQL has no function for: whose functions
 *	  these are, and who has called one that runs as its owner.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "billing.h"
#include "books.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(mf_billing_role);
PG_FUNCTION_INFO_V1(mf_ours);
PG_FUNCTION_INFO_V1(mf_caller);

void
_PG_init(void)
{
	mf_books_init();
}

Datum
mf_billing_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(mf_owner_of_function(fcinfo->flinfo->fn_oid));
}

Datum
mf_ours(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(mf_owner_of_function(fcinfo->flinfo->fn_oid) == GetUserId());
}

Oid
mf_owner_of_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* The role of the session, or that of SET ROLE; functions that run as their owner do not count. */
Datum
mf_caller(PG_FUNCTION_ARGS)
{
	Name		name = (Name) palloc0(NAMEDATALEN);

	if (MyBackendType == B_BG_WORKER)
		namestrcpy(name, "myfatoorah");
	else
		namestrcpy(name, GetUserNameFromId(GetOuterUserId(), false));
	PG_RETURN_NAME(name);
}
