/*
 * billing.c
 *	  Loading of the library, and what SQL has no function for: who has called a
 *	  function that runs as its owner.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(mf_caller);

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
