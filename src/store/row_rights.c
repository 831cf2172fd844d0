/*
 * row_rights.c
 *	  Rights on rows of mf_invoice that another role has inserted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/row_rights.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "base/settings.h"
#include "database/sql_array.h"
#include "store/invoice_lookup.h"
#include "store/row_rights.h"

/* State of mf_invoice_visible() during one execution of a query */
typedef struct VisibleCall
{
	Oid			schema;
	bool		all;			/* the current role is not under policies */
} VisibleCall;

static MfStatement unknown_roles_statement = {
	"SELECT FROM @mf_all_paused p WHERE p.account IS DISTINCT FROM '" MF_ALL_ACCOUNTS "'", 0, {0}, NULL
};

PG_FUNCTION_INFO_V1(mf_invoice_visible);

bool
mf_has_role(const char *name)
{
	Oid			role = get_role_oid(name, true);

	return OidIsValid(role) && has_privs_of_role(GetUserId(), role);
}

bool
mf_may_see_network(const MfAccount *account)
{
	return has_privs_of_role(GetUserId(), account->owner) || mf_has_role(MF_READ_ROLE);
}

bool
mf_may_see_errors(Oid schema)
{
	return mf_has_role(MF_READ_ROLE) && !mf_is_under_policies(schema);
}

bool
mf_is_under_policies(Oid schema)
{
	return check_enable_rls(get_relname_relid("mf_invoice", schema), InvalidOid, true) == RLS_ENABLED;
}

const char *
mf_network_error(bool sent)
{
	return sent ? "no complete answer came from MyFatoorah" : "the request could not be sent to MyFatoorah";
}

bool
mf_has_row_right(Oid table, Oid creator)
{
	return mf_role_has_row_right(table, creator, GetUserId());
}

bool
mf_role_has_row_right(Oid table, Oid creator, Oid role)
{
	Oid			operate = get_role_oid(MF_OPERATE_ROLE, true);

	return mf_owns_relation(table, role) || (OidIsValid(operate) && has_privs_of_role(role, operate)) ||
		(OidIsValid(creator) && has_privs_of_role(role, creator) && mf_roles_are_known(get_rel_namespace(table)));
}

bool
mf_roles_are_known(Oid schema)
{
	return mf_execute_alone(schema, &unknown_roles_statement, NULL, NULL) == 0;
}

void
mf_check_row_right(int64 invoice, Oid table, Oid creator)
{
	char	   *name;

	if (mf_has_row_right(table, creator))
		return;

	name = OidIsValid(creator) ? GetUserNameFromId(creator, true) : NULL;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for invoice %lld", (long long) invoice),
			 !mf_roles_are_known(get_rel_namespace(table)) ?
			 errdetail("It may be another database's, and roles are not told apart before mf_resume('*').") :
			 name != NULL ?
			 errdetail("It belongs to role \"%s\".", name) :
			 OidIsValid(creator) ?
			 errdetail("The role that inserted it does not exist any more.") :
			 errdetail("No role has the name of the one that inserted it."),
			 errhint("Only members of the role that inserted it, or of \"%s\", may change, cancel or retry it.",
					 MF_OPERATE_ROLE)));
}

bool
mf_role_can_login(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		can_login;

	if (!HeapTupleIsValid(tuple))
		return false;
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return can_login;
}

bool
mf_role_can_insert(Oid table, Oid role)
{
	return pg_class_aclcheck(table, role, ACL_INSERT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(table, role, ACL_INSERT, ACLMASK_ANY) == ACLCHECK_OK;
}

char *
mf_sender_refusal(const MfAccount *account, Oid table, const MfSender *sender)
{
	char	   *name = OidIsValid(sender->role) ? GetUserNameFromId(sender->role, true) : NULL;

	/* a restored row has its role by name, and the role may have been renamed since */
	if (name == NULL)
		return pstrdup(OidIsValid(sender->role) ? "the role that inserted it does not exist any more" :
					   "no role has the name of the one that inserted it");
	if (!mf_server_usable(account->serverid, sender->role))
		return psprintf("role \"%s\", which inserted it, has no USAGE on account \"%s\" any more", name, account->name);
	if (!mf_account_mapping_counts(account, sender->role))
		return psprintf("role \"%s\", which inserted it, has a user mapping of its own, "
						"and option \"own_mappings\" of account \"%s\" is off",
						name, account->name);
	if (sender->could_insert && !mf_role_can_insert(table, sender->role))
		return psprintf(strcmp(get_rel_name(table), "mf_refund") == 0 ? "role \"%s\", which inserted it, may not refund any more" :
						"role \"%s\", which inserted it, may not insert invoices any more", name);
	if (sender->could_login && !mf_role_can_login(sender->role))
		return psprintf("role \"%s\", which inserted it, may not log in any more", name);
	return NULL;
}

/*
 * Whether the current role sees that row of mf_invoice.  Views on other tables call
 * it, so that policies of mf_invoice apply to them, too.  Within a view the current
 * role is still the caller, whoever owns the view.
 */
Datum
mf_invoice_visible(PG_FUNCTION_ARGS)
{
	VisibleCall *call = (VisibleCall *) fcinfo->flinfo->fn_extra;

	if (call == NULL)
	{
		call = (VisibleCall *) MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(VisibleCall));
		call->schema = get_func_namespace(fcinfo->flinfo->fn_oid);
		call->all = !mf_is_under_policies(call->schema);
		fcinfo->flinfo->fn_extra = call;
	}

	/* rows that belong to no invoice are visible to roles that see all invoices */
	if (call->all)
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(mf_queue_is_visible(call->schema, PG_GETARG_INT64(0)));
}
