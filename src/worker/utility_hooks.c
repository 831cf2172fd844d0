/*
 * utility_hooks.c
 *	  Hooks on commands that concern the workers, and on functions that are called.
 *
 * Some commands need a database without connections, so its worker is sent away
 * while they run.  Others need a worker, or change what one has read.
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

#include "base/settings.h"
#include "database/sql_version.h"
#include "process/database_hold.h"
#include "process/database_identity.h"
#include "store/queue_pause.h"
#include "store/queue.h"
#include "store/repair.h"
#include "store/row_rights.h"
#include "worker/worker.h"

/* A name that a server gets */
typedef struct NewAccount
{
	Oid			schema;
	const char *name;
} NewAccount;

static ProcessUtility_hook_type previous_utility_hook = NULL;
static object_access_hook_type previous_access_hook = NULL;

static void utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment *environment, DestReceiver *destination,
						 QueryCompletion *completion);
static void access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg);
static Oid	database_to_hold(Node *parsetree);
static void check_alter_server(const AlterForeignServerStmt *statement);
static void forget_disputes(void *argument);
static void check_account_name(Node *parsetree);
static void check_replace_trigger(const CreateTrigStmt *statement);
static void warn_of_drop(const DropStmt *statement);
static void count_unfinished(void *argument);
static void after_statement(Node *parsetree);
static void account_changed(const char *name, const RoleSpec *user);
static void account_renamed(const RenameStmt *statement);
static void role_renamed(const RenameStmt *statement);
static void make_entries_due(Oid schema, const char *name, Oid role);
static void retry_account(void *argument);
static bool connections_changed(const AlterDatabaseStmt *statement);

/* The agenda entries that are made due; role is InvalidOid for all roles */
typedef struct RetryAccount
{
	Oid			schema;
	const char *account;
	Oid			role;
} RetryAccount;

void
mf_hooks_init(void)
{
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	previous_access_hook = object_access_hook;
	object_access_hook = access_hook;
}

/* Runs the statement, without the worker where that is needed. */
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

	/* read before the tree is freed: these commands end the transaction */
	bool		ends_prepared = tag == T_TransactionStmt &&
		(((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED ||
		 ((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_ROLLBACK_PREPARED);

	if (tag == T_CreateTrigStmt && IsTransactionState())
		check_replace_trigger((CreateTrigStmt *) statement->utilityStmt);
	if (tag == T_AlterForeignServerStmt && IsTransactionState())
		check_alter_server((AlterForeignServerStmt *) statement->utilityStmt);
	if ((tag == T_CreateForeignServerStmt || tag == T_RenameStmt) && IsTransactionState())
		check_account_name(statement->utilityStmt);
	if (tag == T_DropStmt && IsTransactionState())
		warn_of_drop((DropStmt *) statement->utilityStmt);
	if (OidIsValid(held))
		mf_hold_database(held);
	restricted = mf_user_code_restrict(tag, &security_context);
	next(statement, query, read_only_tree, context, params, environment, destination, completion);
	if (restricted)
		mf_user_code_release(security_context);

	if (tag == T_DropdbStmt && OidIsValid(held))
		mf_directory_marker_remove(held);
	if (ends_prepared)
		mf_wake_worker(MyDatabaseId);
	else if (tag != T_TransactionStmt)
		after_statement(statement->utilityStmt);
}

/*
 * The database that a statement needs without our processes; InvalidOid = none.  An
 * upgrade of the extension changes tables that a worker uses: its requests are
 * recorded before, and the next worker looks at the version again.
 */
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
				/* SET TABLESPACE is an option */
				ListCell   *lc;

				foreach(lc, ((AlterDatabaseStmt *) parsetree)->options)
				{
					if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
						name = ((AlterDatabaseStmt *) parsetree)->dbname;
				}
			}
			break;
		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) parsetree)->extname, MF_EXTENSION) == 0 && superuser())
				return MyDatabaseId;
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

	/* a database that does not exist, or a lack of rights, is reported by the statement */
	if (name == NULL || !IsTransactionState())
		return InvalidOid;
	database = get_database_oid(name, true);
	return OidIsValid(database) && mf_owns_database(database, GetUserId()) ? database : InvalidOid;
}

/*
 * A key in a file is not sent to a base_url that was set by the owner of the server;
 * see account/account_target.c.  Setting it would only delay invoices, so it is an
 * error.
 */
static void
check_alter_server(const AlterForeignServerStmt *statement)
{
	ForeignServer *server = mf_account_server(statement->servername);
	ListCell   *lc;

	if (server == NULL || superuser() || !has_privs_of_role(GetUserId(), server->owner))
		return;
	foreach(lc, statement->options)
	{
		DefElem    *def = (DefElem *) lfirst(lc);

		if (strcmp(def->defname, "base_url") == 0 && def->defaction != DEFELEM_DROP &&
			mf_account_has_key_file(server->serverid))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to set option \"%s\"", def->defname),
					 errdetail("A user mapping of server \"%s\" has its key in a file, which is sent only to MyFatoorah or to a URL set by a superuser.",
							   server->servername),
					 errhint("Ask a superuser to set it.")));
	}
}

/* The name that a server of this wrapper gets; NULL = the statement gives none */
static const char *
new_account_name(Node *parsetree)
{
	if (IsA(parsetree, CreateForeignServerStmt))
		return strcmp(((CreateForeignServerStmt *) parsetree)->fdwname, MF_EXTENSION) == 0 ?
			((CreateForeignServerStmt *) parsetree)->servername : NULL;
	return ((RenameStmt *) parsetree)->renameType == OBJECT_FOREIGN_SERVER &&
		mf_account_server(strVal(((RenameStmt *) parsetree)->object)) != NULL ?
		((RenameStmt *) parsetree)->newname : NULL;
}

/*
 * Invoices name their account.  If its server was renamed or dropped, a new server of
 * that name would send them, and report whether they are paid.  Names that mean all
 * accounts are not allowed.
 */
static void
check_account_name(Node *parsetree)
{
	const char *name = new_account_name(parsetree);
	const char *present = name != NULL && IsA(parsetree, RenameStmt) ? strVal(((RenameStmt *) parsetree)->object) : NULL;
	Oid			schema;
	NewAccount	named;
	ErrorData  *error;

	if (name != NULL)
		mf_account_check_name(name);
	/* pg_upgrade makes servers before tables */
	schema = name == NULL || IsBinaryUpgrade ? InvalidOid : mf_extension_schema();
	if (!OidIsValid(schema) || GetForeignServerByName(name, true) != NULL)
		return;
	named = (NewAccount) {schema, name};
	if (!superuser() && !mf_has_role(MF_OPERATE_ROLE) &&
		(mf_repair_names_account(schema, name, present) || mf_followers_name(schema, name)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to use server name \"%s\"", name),
				 errdetail("This server would have invoices, bills or webhooks of an account that has, or had, that name."),
				 errhint("Use another name, or ask a superuser or a member of \"%s\" to create it.", MF_OPERATE_ROLE)));

	/* SQL objects of another version are left alone, until they are upgraded */
	error = mf_sql_try(forget_disputes, &named);
	if (error != NULL && error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
}

static void
forget_disputes(void *argument)
{
	NewAccount *named = (NewAccount *) argument;

	mf_repair_forget_disputes(named->schema, named->name);
}

/*
 * CREATE OR REPLACE TRIGGER needs the right to create triggers only.  The triggers of
 * the extension guard the states of invoices, so only the owner of the table may
 * replace them.
 */
static void
check_replace_trigger(const CreateTrigStmt *statement)
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

/* DROP EXTENSION drops the invoices with it; whoever has unfinished ones is told while a rollback can keep them. */
static void
warn_of_drop(const DropStmt *statement)
{
	int64		unfinished = 0;
	ListCell   *lc;

	if (statement->removeType != OBJECT_EXTENSION || !superuser())
		return;
	foreach(lc, statement->objects)
	{
		/* what cannot be counted can be dropped all the same */
		if (strcmp(strVal(lfirst(lc)), MF_EXTENSION) == 0)
			(void) mf_sql_try(count_unfinished, &unfinished);
	}
	if (unfinished > 0)
		ereport(WARNING,
				(errmsg_plural("%lld unfinished invoice is dropped with the extension",
							   "%lld unfinished invoices are dropped with the extension",
							   (unsigned long) unfinished, (long long) unfinished),
				 errhint("What is queued is not sent, and an outcome that is unknown is not looked up. SELECT * FROM mf_backlog shows them as long as the extension is there.")));
}

static void
count_unfinished(void *argument)
{
	Oid			schema = mf_extension_schema();

	if (OidIsValid(schema))
		*(int64 *) argument = mf_queue_size(schema);
}

/* Notifies the workers of a finished statement when it commits. */
static void
after_statement(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreatedbStmt:
			/* the template may have the extension */
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

				/* only a new process reads the new value */
				if (set->setstmt->name == NULL ||
					strncmp(set->setstmt->name, "myfatoorah.", strlen("myfatoorah.")) == 0)
					mf_restart_worker_at_commit(get_database_oid(set->dbname, true));
			}
			break;
		case T_RenameStmt:
			if (((RenameStmt *) parsetree)->renameType == OBJECT_FOREIGN_SERVER)
				account_renamed((RenameStmt *) parsetree);
			else if (((RenameStmt *) parsetree)->renameType == OBJECT_ROLE)
				role_renamed((RenameStmt *) parsetree);
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

/* Whether the statement changes if a worker may connect */
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
 * Agenda entries that lacked a server or user mapping are tried at once; only those of
 * one role if the user mapping is that role's.  Every role may change its own user
 * mapping, so no back-off after a failed request is ended.
 */
static void
account_changed(const char *name, const RoleSpec *user)
{
	Oid			schema = mf_account_server(name) != NULL ? mf_extension_schema() : InvalidOid;
	Oid			role = InvalidOid;

	if (!OidIsValid(schema))
		return;
	if (user != NULL && user->roletype != ROLESPEC_PUBLIC)
		role = get_rolespec_oid(user, false);
	make_entries_due(schema, name, role);
	mf_news_at_commit(MF_TRY_LACKING | MF_NEWS_INQUIRIES);
}

/* All that names the account follows, before anybody can use the new name. */
static void
account_renamed(const RenameStmt *statement)
{
	Oid			schema;

	CommandCounterIncrement();
	schema = mf_account_server(statement->newname) != NULL ? mf_extension_schema() : InvalidOid;
	if (OidIsValid(schema))
		mf_account_renamed(schema, strVal(statement->object), statement->newname);
}

/* The rows of the role are its own as before, in all databases; a dump has the names in created_by. */
static void
role_renamed(const RenameStmt *statement)
{
	if (OidIsValid(mf_extension_schema()))
		ereport(NOTICE,
				(errmsg("what role \"%s\" has inserted keeps the name \"%s\" in created_by", statement->newname, statement->subname),
				 errdetail("Where a dump is restored, it belongs to whoever has that name there."),
				 errhint("Run SELECT * FROM mf_repair() in each database with the extension before its next dump.")));
}

/*
 * Saves time only, so an error (of a trigger, or for want of a right) does not fail
 * the statement.
 */
static void
make_entries_due(Oid schema, const char *name, Oid role)
{
	RetryAccount what = {schema, name, role};
	ErrorData  *error = mf_sql_try(retry_account, &what);

	if (error != NULL)
		ereport(WARNING,
				(errmsg("could not retry invoices of account \"%s\" at once", name),
				 errdetail_internal("%s", error->message),
				 errhint("They are retried later. Once the cause is removed, mf_resume() retries them at once.")));
}

static void
retry_account(void *argument)
{
	const RetryAccount *what = (const RetryAccount *) argument;

	mf_queue_retry_account(what->schema, what->account, what->role);
}

/* The extension is created or dropped, in any way (DROP OWNED, DROP SCHEMA ...), or a function is called. */
static void
access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_access_hook)
		previous_access_hook(access, class_id, object_id, sub_id, arg);

	if (access == OAT_FUNCTION_EXECUTE)
		mf_user_code_check_function(object_id);
	if (class_id != ExtensionRelationId || sub_id != 0)
		return;

	if (access == OAT_POST_ALTER)
		mf_sql_version_changed();
	else if (access == OAT_POST_CREATE)
		mf_wake_launcher_at_commit(MyDatabaseId);
	else if (access == OAT_DROP)
	{
		char	   *name = get_extension_name(object_id);

		if (name != NULL && strcmp(name, MF_EXTENSION) == 0)
			mf_wake_worker_at_commit();
	}
}
