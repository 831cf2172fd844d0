/*
 * billing.c
 *	  Loading of the library, and what SQL has no function for: whose functions
 *	  these are, who has called one that runs as its owner, and servers that keep their names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "billing.h"
#include "books.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(mf_billing_role);
PG_FUNCTION_INFO_V1(mf_ours);
PG_FUNCTION_INFO_V1(mf_caller);
PG_FUNCTION_INFO_V1(mf_hold_account);

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

void
mf_hold_server(const char *name)
{
	Oid			server = get_foreign_server_oid(name, true);

	while (OidIsValid(server))
	{
		Oid			held = server;

		LockDatabaseObject(ForeignServerRelationId, held, 0, AccessShareLock);
		server = get_foreign_server_oid(name, false);
		if (server == held)
			return;
		/* while we waited, another one has got the name */
		UnlockDatabaseObject(ForeignServerRelationId, held, 0, AccessShareLock);
	}
}

/* BEFORE INSERT OR UPDATE trigger of tables with a column "account" */
Datum
mf_hold_account(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	char	   *account;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_hold_account() is a trigger BEFORE INSERT OR UPDATE, for each row")));
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	account = SPI_getvalue(row, RelationGetDescr(trigger->tg_relation), SPI_fnumber(RelationGetDescr(trigger->tg_relation), "account"));
	if (account != NULL)
		mf_hold_server(account);
	return PointerGetDatum(row);
}
