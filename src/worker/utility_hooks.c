/*
 * utility_hooks.c
 *	  Commands that concern the workers: seen, helped along, passed on.
 *
 * A worker is a connection to its database, and some commands need a database
 * without any: it is sent away while they run.  Others make a worker wanted
 * or unwanted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/utility_hooks.c
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "account/account.h"
#include "account/account_key.h"
#include "base/compat.h"
#include "base/settings.h"
#include "database/sql.h"
#include "database/user_code.h"
#include "process/database_hold.h"
#include "process/directory_marker.h"
#include "process/wakeup.h"
#include "store/queue_pause.h"
#include "store/repair.h"
#include "store/row_rights.h"
#include "worker/utility_hooks.h"

static ProcessUtility_hook_type previous_utility_hook = NULL;
static object_access_hook_type previous_access_hook = NULL;

static void utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment *environment, DestReceiver *destination,
						 QueryCompletion *completion);
static void access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg);
static Oid	database_to_hold(Node *parsetree);
static void refuse_to_redirect(const AlterForeignServerStmt *statement);
static const char *new_account(Node *parsetree);
static void refuse_to_name(Node *parsetree);
static void refuse_to_replace(const CreateTrigStmt *statement);
static void after_statement(Node *parsetree);
static void account_changed(const char *name, const RoleSpec *user);
static void try_now(Oid schema, const char *name, Oid role);
static void try_entries_now(void *argument);
static bool connections_changed(const AlterDatabaseStmt *statement);

/* The entries of the agenda that are tried at once; role is InvalidOid for all */
typedef struct TryNow
{
	Oid			schema;
	const char *account;
	Oid			role;
} TryNow;

void
mf_hooks_init(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	previous_access_hook = object_access_hook;
	object_access_hook = access_hook;
}

/* Passes the statement on, with the worker away where it would be in the way. */
static void
utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *destination,
			 QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_utility_hook ? previous_utility_hook : standard_ProcessUtility;
	Oid			held = database_to_hold(statement->utilityStmt);
	NodeTag		tag = nodeTag(statement->utilityStmt);
	bool		restricted;
	int			security_context;

	/* the tree may be gone afterwards (COMMIT PREPARED ends the transaction) */
	bool		commit_prepared = tag == T_TransactionStmt &&
		((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	if (tag == T_CreateTrigStmt && IsTransactionState())
		refuse_to_replace((CreateTrigStmt *) statement->utilityStmt);
	if (tag == T_AlterForeignServerStmt && IsTransactionState())
		refuse_to_redirect((AlterForeignServerStmt *) statement->utilityStmt);
	if ((tag == T_CreateForeignServerStmt || tag == T_RenameStmt) && IsTransactionState())
		refuse_to_name(statement->utilityStmt);
	if (OidIsValid(held))
		mf_hold_database(held);
	restricted = mf_user_code_restrict(tag, &security_context);
	next(statement, query, read_only_tree, context, params, environment, destination, completion);
	if (restricted)
		mf_user_code_release(security_context);

	if (tag == T_DropdbStmt && OidIsValid(held))
		mf_directory_marker_remove(held);
	if (commit_prepared)
		mf_wake_worker(MyDatabaseId);
	else if (tag != T_TransactionStmt)
		after_statement(statement->utilityStmt);
}

/* The database whose worker a statement needs away, InvalidOid if none. */
static Oid
database_to_hold(Node *parsetree)
{
	const char *name = NULL;
	Oid			database;

	switch (nodeTag(parsetree))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) parsetree)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) parsetree)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) parsetree)->subname;
			break;
		case T_AlterDatabaseStmt:
			{
				/* SET TABLESPACE arrives as an option */
				ListCell   *lc;

				foreach(lc, ((AlterDatabaseStmt *) parsetree)->options)
				{
					if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
						name = ((AlterDatabaseStmt *) parsetree)->dbname;
				}
			}
			break;
		case T_CreatedbStmt:
			{
				ListCell   *lc;

				foreach(lc, ((CreatedbStmt *) parsetree)->options)
				{
					DefElem    *def = (DefElem *) lfirst(lc);

					if (strcmp(def->defname, "template") == 0 && def->arg != NULL)
						name = defGetString(def);
				}
			}
			break;
		default:
			break;
	}

	/* the statement itself reports what does not exist or is not allowed */
	if (name == NULL || !IsTransactionState())
		return InvalidOid;
	database = get_database_oid(name, true);
	return OidIsValid(database) && mf_owns_database(database, GetUserId()) ? database : InvalidOid;
}

/*
 * A key in a file does not go where the owner of a server likes, see account.c.
 * That he says so in vain is told him, rather than those whose invoices wait.
 */
static void
refuse_to_redirect(const AlterForeignServerStmt *statement)
{
	ForeignServer *server = GetForeignServerByName(statement->servername, true);
	ListCell   *lc;

	if (server == NULL || superuser() || !has_privs_of_role(GetUserId(), server->owner) ||
		strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, MF_EXTENSION) != 0)
		return;
	foreach(lc, statement->options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);

		if (strcmp(def->defname, "base_url") == 0 && def->defaction != DEFELEM_DROP &&
			mf_account_has_key_file(server->serverid))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", def->defname),
					 errdetail("A user mapping of server \"%s\" has its key in a file, which goes to MyFatoorah only, or where a superuser says.",
							   server->servername),
					 errhint("Ask a superuser to set it.")));
	}
}

/* The name that a server of ours is to have from now on, or NULL. */
static const char *
new_account(Node *parsetree)
{
	ForeignServer *server;

	if (IsA(parsetree, CreateForeignServerStmt))
		return strcmp(((CreateForeignServerStmt *) parsetree)->fdwname, MF_EXTENSION) == 0 ?
			((CreateForeignServerStmt *) parsetree)->servername : NULL;
	if (((RenameStmt *) parsetree)->renameType != OBJECT_FOREIGN_SERVER)
		return NULL;
	server = GetForeignServerByName(strVal(((RenameStmt *) parsetree)->object), true);
	return server != NULL && strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, MF_EXTENSION) == 0 ?
		((RenameStmt *) parsetree)->newname : NULL;
}

/*
 * Invoices name their account.  Where its server was renamed or dropped, whoever
 * gives that name to a server of his own would have them sent to him, and would
 * say whether they are paid.  A name that means all accounts is none.
 */
static void
refuse_to_name(Node *parsetree)
{
	const char *name = new_account(parsetree);
	Oid			schema;

	if (name != NULL)
		mf_account_check_name(name);
	schema = name == NULL || superuser() ? InvalidOid : mf_extension_schema();
	if (!OidIsValid(schema) || mf_has_role(MF_OPERATE_ROLE) ||
		GetForeignServerByName(name, true) != NULL || !mf_repair_has_invoices(schema, name))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to name a server \"%s\"", name),
			 errdetail("There are invoices of an account of that name, which this server would get."),
			 errhint("Give it another name, or ask a superuser or a member of \"%s\" to create it.", MF_OPERATE_ROLE)));
}

/*
 * The right to create a trigger is enough to replace one.  Ours guard the states
 * of invoices, so that only who may drop them may do that.
 */
static void
refuse_to_replace(const CreateTrigStmt *statement)
{
	Oid			table = statement->replace ? RangeVarGetRelid(statement->relation, NoLock, true) : InvalidOid;
	Oid			extension = OidIsValid(table) ? get_extension_oid(MF_EXTENSION, true) : InvalidOid;
	Relation	relation;
	bool		ours = false;
	int			i;

	if (!OidIsValid(extension) || creating_extension || mf_owns_relation(table, GetUserId()) ||
		getExtensionOfObject(RelationRelationId, table) != extension)
		return;
	relation = relation_open(table, AccessShareLock);
	for (i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &relation->trigdesc->triggers[i];

		ours |= strcmp(trigger->tgname, statement->trigname) == 0 &&
			getExtensionOfObject(ProcedureRelationId, trigger->tgfoid) == extension;
	}
	relation_close(relation, AccessShareLock);
	if (ours)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to replace trigger \"%s\"", statement->trigname),
				 errdetail("It belongs to the extension \"%s\".", MF_EXTENSION)));
}

/* What a finished statement means for the workers, once it commits. */
static void
after_statement(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreatedbStmt:
			/* a copy may have brought the extension with it */
			mf_wake_launcher_at_commit(get_database_oid(((CreatedbStmt *) parsetree)->dbname, true));
			break;
		case T_AlterDatabaseStmt:
			if (connections_changed((AlterDatabaseStmt *) parsetree))
			{
				Oid			database = get_database_oid(((AlterDatabaseStmt *) parsetree)->dbname, true);

				mf_restart_worker_at_commit(database);
				mf_wake_launcher_at_commit(database);
			}
			break;
		case T_AlterDatabaseSetStmt:
			{
				AlterDatabaseSetStmt *set = (AlterDatabaseSetStmt *) parsetree;

				/* only a new worker sees the new value */
				if (set->setstmt->name == NULL ||
					strncmp(set->setstmt->name, "myfatoorah.", strlen("myfatoorah.")) == 0)
					mf_restart_worker_at_commit(get_database_oid(set->dbname, true));
			}
			break;
		case T_CreateForeignServerStmt:
			account_changed(((CreateForeignServerStmt *) parsetree)->servername, NULL);
			break;
		case T_AlterForeignServerStmt:
			account_changed(((AlterForeignServerStmt *) parsetree)->servername, NULL);
			break;
		case T_CreateUserMappingStmt:
			account_changed(((CreateUserMappingStmt *) parsetree)->servername, ((CreateUserMappingStmt *) parsetree)->user);
			break;
		case T_AlterUserMappingStmt:
			account_changed(((AlterUserMappingStmt *) parsetree)->servername, ((AlterUserMappingStmt *) parsetree)->user);
			break;
		default:
			break;
	}
}

/* Whether a worker may connect, and may be in the way, can be another matter now. */
static bool
connections_changed(const AlterDatabaseStmt *statement)
{
	ListCell   *lc;

	foreach(lc, statement->options)
	{
		const char *name = ((DefElem *) lfirst(lc))->defname;

		if (strcmp(name, "allow_connections") == 0 || strcmp(name, "is_template") == 0)
			return true;
	}
	return false;
}

/*
 * What rows of an account were lacking may be there now: they are tried at
 * once, those of one role if it is a role's user mapping.  Everybody may change
 * his own, so it ends no back-off but one for want of something here.
 */
static void
account_changed(const char *name, const RoleSpec *user)
{
	ForeignServer *server = GetForeignServerByName(name, true);
	Oid			schema = InvalidOid;
	Oid			role = InvalidOid;

	if (server != NULL && strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, MF_EXTENSION) == 0)
		schema = mf_extension_schema();
	if (!OidIsValid(schema))
		return;
	if (user != NULL && user->roletype != ROLESPEC_PUBLIC)
		role = get_rolespec_oid(user, false);
	try_now(schema, name, role);
	mf_try_now_at_commit(MF_TRY_LACKING);
	mf_wake_inquiries_at_commit();
}

/*
 * It only saves time, so what somebody has done to the agenda (a trigger, a
 * right that was taken away) does not make the statement fail.
 */
static void
try_now(Oid schema, const char *name, Oid role)
{
	TryNow		what = {schema, name, role};
	ErrorData  *error = mf_sql_try(try_entries_now, &what);

	if (error != NULL)
		ereport(WARNING,
				(errmsg("invoices of account \"%s\" that may be lacking this are not tried at once", name),
				 errdetail_internal("%s", error->message),
				 errhint("They are tried later by themselves. Once the cause is mended, mf_resume() tries them at once.")));
}

static void
try_entries_now(void *argument)
{
	const TryNow *what = (const TryNow *) argument;

	mf_queue_retry_account(what->schema, what->account, what->role);
}

/* Our extension comes or goes, in whatever way (DROP OWNED, DROP SCHEMA ...); a function is called. */
static void
access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_access_hook)
		previous_access_hook(access, class_id, object_id, sub_id, arg);

	if (access == OAT_FUNCTION_EXECUTE)
		mf_user_code_check_function(object_id);
	if (class_id != ExtensionRelationId || sub_id != 0)
		return;

	if (access == OAT_POST_CREATE)
		mf_wake_launcher_at_commit(MyDatabaseId);
	else if (access == OAT_DROP)
	{
		char	   *name = get_extension_name(object_id);

		if (name != NULL && strcmp(name, MF_EXTENSION) == 0)
			mf_wake_worker_at_commit();
	}
}
