/*
 * self_check_database.c
 *	  mf_check() of the database: agenda, other accounts, rights and what users have added.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/self_check_database.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "database/extension_functions.h"
#include "database/sql_array.h"
#include "functions/self_check.h"
#include "inbound/route.h"
#include "on_change/on_change_registry.h"
#include "process/waiting_accounts.h"
#include "store/repair.h"
#include "store/row_rights.h"

/* Changes that wait for a function for longer than this are reported. */
#define REACTION_WAIT_MS 60000

/* A page without an answer is reported for so long, whatever was answered since. */
#define PAGE_FAILURE_MS 3600000

/* At most so many objects that no dump contains are reported. */
#define MAX_ADDITIONS 50

/* paused because MyFatoorah has refused the key or the address, not by a person */
static MfStatement refused_accounts_statement = {
	"SELECT count(*)::int8, min(account)::text FROM @mf_account "
	"WHERE paused_at IS NOT NULL AND paused_by IN ('sender', 'status reader') AND account <> $1",
	1, {TEXTOID}, NULL
};

static MfStatement additions_statement = {
	"SELECT a.kind, a.relation::text, a.name::text, "
	"  EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = $1 AND c.relname = a.name AND c.relkind = 'I' "
	"    AND a.kind IN ('constraint', 'index')) "
	"FROM @mf_addition a LIMIT " CppAsString2(MAX_ADDITIONS),
	1, {OIDOID}, NULL
};

static void check_agenda(const MfCheck *check);
static void check_others(const MfCheck *check);
static int	count_waiting(const MfCheck *check, const char **example);
static void check_policies(const MfCheck *check);
static bool has_row_security(const char *table, Oid schema);
static void check_additions(const MfCheck *check);
static void check_reactions(const MfCheck *check);
static void report_items(void *argument);
static void check_pages(const MfCheck *check);
static bool is_failing(const MfRouteHealth *latest);

void
mf_check_database(const MfCheck *check)
{
	check_agenda(check);
	check_others(check);
	check_policies(check);
	check_additions(check);
	check_reactions(check);
	check_pages(check);
}

/* Whether the agenda and the invoices fit each other, and every account exists. */
static void
check_agenda(const MfCheck *check)
{
	char	   *lost = mf_repair_lost_accounts(check->schema);
	MfDamage	damage = mf_repair_find_damage(check->schema);

	if (damage.unfinished > 0 || damage.unasked > 0 || damage.gone > 0 || damage.astray > 0 || damage.late > 0 || damage.operations > 0)
		mf_check_report(check, "agenda", false,
						psprintf("Unfinished invoices that are not on it: " INT64_FORMAT "; sent ones that are not asked about, or not found by their InvoiceId: " INT64_FORMAT
								 "; entries without an invoice: " INT64_FORMAT "; entries under another account or of another kind than their invoice's: " INT64_FORMAT
								 "; what is due later than it can be: " INT64_FORMAT
								 "; refunds, captures and releases without a due time or under another account: " INT64_FORMAT
								 ". Rows were loaded, changed or lost without the triggers of mf_invoice, written while the clock was ahead, put off while myfatoorah.poll_delay or lookup_delay was longer, or sent while poll_rate_limit was 0.",
								 damage.unfinished, damage.unasked, damage.gone, damage.astray, damage.late, damage.operations),
						"SELECT * FROM mf_repair() repairs that; each invoice is looked up before it is sent.");
	else
		mf_check_report(check, "agenda", true, "All unfinished invoices are on it.", NULL);
	if (damage.open_types > 0)
		mf_check_report(check, "rights", false, psprintf("Everybody may use row types of our tables: " INT64_FORMAT ", as after pg_upgrade. A table with such a column keeps ours from being upgraded.",
														 damage.open_types),
						"SELECT * FROM mf_repair() gives them the rights of an installation.");
	if (damage.unlogged != NULL)
		mf_check_report(check, "durability", false, psprintf("A crash empties unlogged tables: %s.", damage.unlogged),
						"ALTER TABLE ... SET LOGGED");
	if (lost != NULL)
		mf_check_report(check, "accounts", false, psprintf("There are unfinished invoices of accounts that do not exist: %s.", lost),
						"If the server was renamed: SELECT mf_move_account('old name', 'new name'). If it was dropped, create it again.");
	else
		mf_check_report(check, "accounts", true, "All unfinished invoices are of accounts that exist.", NULL);
}

/* Reports problems of other accounts than the one that the call is about. */
static void
check_others(const MfCheck *check)
{
	const char *waits = "";
	int			waiting = mf_has_role(MF_READ_ROLE) ? count_waiting(check, &waits) : 0;
	Datum		value = CStringGetTextDatum(check->account);
	MfSqlScope	scope;
	int64		count;

	if (waiting > 0)
		mf_check_report(check, "accounts", false,
						psprintf(ngettext("%d other account waits after failures, \"%s\".",
										  "%d other accounts wait after failures, such as \"%s\".", waiting), waiting, waits),
						psprintf("They continue automatically. The server log says why they wait; for one of them see SELECT * FROM mf_check(%s)",
								 quote_literal_cstr(waits)));
	if (!mf_has_role(MF_READ_ROLE))
		return;
	mf_sql_begin(&scope, check->schema);
	(void) mf_sql_execute(&scope, &refused_accounts_statement, &value, NULL);
	count = mf_result_int8(0, 1);
	if (count > 0)
		mf_check_report(check, "accounts", false,
						psprintf(ngettext("MyFatoorah refuses " INT64_FORMAT " other account, \"%s\"; it is paused.",
										  "MyFatoorah refuses " INT64_FORMAT " other accounts, such as \"%s\"; they are paused.",
										  (unsigned long) count), count, mf_result_text(0, 2)),
						psprintf("SELECT * FROM mf_account shows them, with the reason; for one of them see SELECT * FROM mf_check(%s)",
								 quote_literal_cstr(mf_result_text(0, 2))));
	mf_sql_end(&scope);
}

/* Reports tables without row-level security that disclose rows of mf_invoice, if that has it. */
static void
check_policies(const MfCheck *check)
{
	static const char *const tables[] = {
		"mf_attempt", "mf_event", "mf_inquiry", "mf_operation", "mf_operation_attempt", "mf_queue", "mf_transaction"
	};
	StringInfoData open;
	int			i;

	if (!has_row_security("mf_invoice", check->schema))
		return;
	initStringInfo(&open);
	for (i = 0; i < (int) lengthof(tables); i++)
	{
		if (!has_row_security(tables[i], check->schema))
			appendStringInfo(&open, "%s%s", open.len > 0 ? ", " : "", tables[i]);
	}
	if (open.len > 0)
		mf_check_report(check, "policies", false,
						psprintf("mf_invoice has row-level security, and whoever may read these tables sees there what is known of all invoices: %s.",
								 open.data),
						"For each: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and CREATE POLICY visible ON ... USING (mf_invoice_visible(invoice)), of mf_operation_attempt USING (mf_invoice_visible((SELECT o.invoice FROM mf_operation o WHERE o.id = operation))); or take SELECT on it away from the roles that policies are for.");
}

/*
 * The number of other accounts that wait; *example is the name of one.  The worker may
 * still wait for one whose server was dropped or renamed; its invoices are counted
 * as those of a lost account, if it has any.
 */
static int
count_waiting(const MfCheck *check, const char **example)
{
	int			count;
	ListCell   *lc;

	foreach(lc, mf_waiting_accounts(MyDatabaseId, &count))
	{
		const char *name = (const char *) lfirst(lc);

		if (strcmp(name, check->account) == 0 || !mf_account_exists(name))
			continue;
		*example = name;
		count++;
	}
	return count;
}

static bool
has_row_security(const char *table, Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(get_relname_relid(table, schema)));
	bool		enabled;

	if (!HeapTupleIsValid(tuple))
		return false;
	enabled = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
	ReleaseSysCache(tuple);
	return enabled;
}

/*
 * Reports what users have added to our tables, because no dump contains it.  Two
 * kinds even keep a dump from being restored.  Of a column the rows in it have values.
 * To an index of the archive it attaches those of the months, which are no members
 * of the extension.
 */
static void
check_additions(const MfCheck *check)
{
	Datum		value = ObjectIdGetDatum(check->schema);
	MfSqlScope	scope;
	uint64		rows;
	uint64		i;

	mf_sql_begin(&scope, check->schema);
	rows = mf_sql_execute(&scope, &additions_statement, &value, NULL);
	for (i = 0; i < rows; i++)
	{
		const char *kind = mf_result_text(i, 1);
		const char *what = psprintf("%s \"%s\" of %s", kind, mf_result_text(i, 3), mf_result_text(i, 2));

		if (strcmp(kind, "column") == 0)
			mf_check_report(check, "dump", false, psprintf("A dump cannot be restored as it is: it has the values of %s, and not the column.", what),
							"Move what is in it to the column metadata, or to a table of your own, and drop it. Where such a dump is to be restored, create the extension and add the column before that: SELECT definition FROM mf_addition");
		else if (mf_result_bool(i, 4))
			mf_check_report(check, "dump", false, psprintf("A dump cannot be restored without errors: it has the indexes of the months for %s, and not that to which it attaches them.", what),
							"Drop it, and create it on single months instead, with which it is dumped. A restore that goes on after these errors has all the rest.");
		else
			mf_check_report(check, "dump", true, psprintf("No dump has %s.", what),
							"Keep its definition in a script, and run that where a dump was restored: SELECT definition FROM mf_addition");
	}
	mf_sql_end(&scope);
}

/* Reports functions of mf_on_change() that cannot be called or have failed, to readers and to the owners of the functions. */
static void
check_reactions(const MfCheck *check)
{
	ListCell   *lc;

	foreach(lc, mf_reaction_states(check->schema))
	{
		const MfReactionState *state = (const MfReactionState *) lfirst(lc);
		Oid			role = get_role_oid(state->owner, true);
		MfReactionCall call = {.schema = check->schema,.function = state->function,.owner = state->owner,
			.registrant = state->registrant,.timed = state->timed};
		char	   *refusal = mf_reaction_refusal(&call, &role);
		const char *waiting = psprintf("%s for it: " INT64_FORMAT ".", state->timed ? "Times that wait" : "Changes that wait", state->waiting);
		bool		mine = OidIsValid(role) && has_privs_of_role(GetUserId(), role);
		const char *error = mine || state->error == NULL ? state->error : mf_check_error(check, state->error);

		if (!mine && !mf_has_role(MF_READ_ROLE))
			continue;
		if (refusal != NULL)
			mf_check_report(check, "reactions", false,
							psprintf("Function %s cannot be called %s: %s. %s", state->function,
									 state->timed ? "when due" : "after changes", refusal, waiting),
							psprintf("Remove the cause, and let the owner register the function again: SELECT %s(%s). If it is not needed any more: SELECT mf_off_change(%s)",
									 state->timed ? "mf_on_time" : "mf_on_change",
									 quote_literal_cstr(psprintf("%s(%s)", state->function,
																 state->timed ? "timestamptz" : "mf_invoice,mf_invoice")),
									 quote_literal_cstr(state->function)));
		else if (error != NULL && state->timed)
			mf_check_report(check, "reactions", false,
							psprintf("Function %s, which is called at times, has failed: %s. %s", state->function, error, waiting),
							"Correct the function. It is called again after growing delays, and at once after mf_resume().");
		else if (error != NULL)
			mf_check_report(check, "reactions", false,
							psprintf("Function %s has failed about invoice " INT64_FORMAT ": %s. %s",
									 state->function, state->invoice, error, waiting),
							"The changes are recorded; mf_reaction_backlog shows those that wait. Correct the function. It is called again after growing delays, and at once after mf_resume().");
		else if (state->waiting > 0 && TimestampDifferenceExceeds(state->since, GetCurrentTimestamp(), REACTION_WAIT_MS))
			mf_check_report(check, "reactions", false,
							psprintf("Function %s has not been called %s since %s. %s", state->function,
									 state->timed ? "at its times" : "for changes", timestamptz_to_str(state->since), waiting),
							"The worker has it called, unless all accounts are paused, or the database was restored here and mf_resume('*') not called since; see the items worker and sending.");
	}
}

/* Reports pages that cannot be answered, or were not lately, to readers and to the owners of their functions. */
static void
check_pages(const MfCheck *check)
{
	MfSlot	   *slot = mf_lock_slot(MyDatabaseId, LW_SHARED);
	MfRouteHealth health[MF_ROUTES_MAX];
	ListCell   *lc;

	memset(health, 0, sizeof(health));
	if (slot != NULL)
	{
		memcpy(health, slot->routes.health, sizeof(health));
		LWLockRelease(mf_shared->lock);
	}
	foreach(lc, mf_route_states(check->schema))
	{
		const MfRouteState *state = (const MfRouteState *) lfirst(lc);
		const MfRouteHealth *latest = mf_route_health(health, state->prefix);
		Oid			role = get_role_oid(state->owner, true);

		if (!mf_has_role(MF_READ_ROLE) && !(OidIsValid(role) && has_privs_of_role(GetUserId(), role)))
			continue;
		if (state->refusal != NULL)
			mf_check_report(check, "pages", false,
							psprintf("Function %s cannot answer requests for %s: %s.", state->function, state->prefix, state->refusal),
							psprintf("Remove the cause, and register the function again: SELECT mf_on_request(%s, %s). If the pages are not needed any more: SELECT mf_off_request(%s)",
									 quote_literal_cstr(state->prefix), quote_literal_cstr(psprintf("%s(text)", state->function)),
									 quote_literal_cstr(state->prefix)));
		else if (latest != NULL && is_failing(latest))
			mf_check_report(check, "pages", false,
							psprintf("A request for %s had no answer at %s: %s", state->prefix, timestamptz_to_str(latest->failed_at),
									 OidIsValid(latest->owner) && has_privs_of_role(GetUserId(), latest->owner) ? latest->error :
									 mf_check_error(check, latest->error)),
							"Visitors are told to try again. Correct the function; mf_metrics() counts such requests.");
	}
}

/* The latest request had no answer, or one within the last hour. */
static bool
is_failing(const MfRouteHealth *latest)
{
	return latest->failed_at != 0 &&
		(latest->failed_at > latest->answered_at ||
		 !TimestampDifferenceExceeds(latest->failed_at, GetCurrentTimestamp(), PAGE_FAILURE_MS));
}

void
mf_check_extensions(const MfCheck *check)
{
	MfExtensionCall call = {
		.prefix = "mf_check_",
		/* what a function leaves out is not taken for well */
		.columns = "coalesce(item::pg_catalog.text, 'extension'), coalesce(ok::pg_catalog.bool, false), "
		"coalesce(detail::pg_catalog.text, ''), hint::pg_catalog.text",
		.read_only = true,
		.nargs = 1,
		.types = {TEXTOID},
		.values = {CStringGetTextDatum(check->account)},
		.nulls = " ",
		.take = report_items,
		.argument = unconstify(MfCheck *, check)
	};
	MfSqlScope	scope;

	mf_sql_begin_as_caller(&scope, check->schema);
	mf_extension_functions_call(&scope, &call);
	mf_sql_end(&scope);
}

static void
report_items(void *argument)
{
	const MfCheck *check = (const MfCheck *) argument;
	TupleDesc	desc = SPI_tuptable->tupdesc;
	uint64		row;

	for (row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];

		mf_check_report(check, SPI_getvalue(tuple, desc, 1), strcmp(SPI_getvalue(tuple, desc, 2), "t") == 0,
						SPI_getvalue(tuple, desc, 3), SPI_getvalue(tuple, desc, 4));
	}
}
