/*
 * move_account.c
 *	  mf_move_account(): gives what names an account that is gone to another one.
 *
 * Rows name accounts.  When a server is renamed they follow in the same
 * transaction.  If they stayed, an idempotency_key would not be taken under the new
 * name, and a customer could be invoiced twice.  Whoever drops a server, or renames
 * it where the library is not loaded, leaves rows behind that name an account which
 * does not exist.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/move_account.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "account/account.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/archive.h"
#include "store/queue_pause.h"
#include "store/repair.h"

static MfStatement other_currency_statement = {
	"SELECT c.currency::text FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice, "
	"  LATERAL (SELECT coalesce(i.base_currency, CASE WHEN i.display_currency_iso IS NULL THEN i.currency END) AS currency) c "
	"WHERE q.account = $1 AND c.currency <> $2 LIMIT 1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* an idempotency key that the new account has already, perhaps of an archived invoice, is removed */
#define KEY_TAKEN(table) "EXISTS (SELECT FROM @" table " o WHERE o.idempotency_key = i.idempotency_key AND o.account = $2)"
#define MOVE_INVOICES(table) \
	"UPDATE @" table " i SET account = $2, idempotency_key = CASE WHEN NOT " KEY_TAKEN("mf_invoice") \
	"  AND NOT " KEY_TAKEN("mf_archive_key") " THEN i.idempotency_key END WHERE i.account = $1"

/* The first ones move the invoices, and those of archived months that were dropped: their keys name the account. */
#define MOVE_INVOICES_COUNT 2

static MfStatement move_statements[] = {
	{MOVE_INVOICES("mf_invoice"), 2, {TEXTOID, TEXTOID}, NULL},
	{
		"WITH k AS (" MOVE_INVOICES("mf_archive_key") " RETURNING i.id, i.created_at, i.idempotency_key), "
		"a AS (UPDATE @mf_invoice_archive a SET account = $2, idempotency_key = k.idempotency_key FROM k "
		"  WHERE a.id = k.id AND a.created_at = k.created_at) "
		"SELECT FROM k",
		2, {TEXTOID, TEXTOID}, NULL
	},
	{"UPDATE @mf_queue SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL},
	{"UPDATE @mf_inquiry SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL},
	{"UPDATE @mf_money SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL},
	{
		"UPDATE @mf_operation i SET account = $2, idempotency_key = CASE WHEN NOT " KEY_TAKEN("mf_operation") " "
		"  THEN i.idempotency_key END WHERE i.account = $1",
		2, {TEXTOID, TEXTOID}, NULL
	},
	/* an event that came in under either name is one event */
	{
		"UPDATE @mf_event e SET account = $2 WHERE e.account = $1 "
		"  AND NOT EXISTS (SELECT FROM @mf_event o WHERE o.account = $2 AND o.digest = e.digest)",
		2, {TEXTOID, TEXTOID}, NULL
	},
	/* likewise a deposit; the rows that stay name an account that does not exist, and nobody is asked about them */
	{
		"UPDATE @mf_deposit_state d SET account = $2 WHERE d.account = $1 "
		"  AND NOT EXISTS (SELECT FROM @mf_deposit_state o WHERE o.account = $2 "
		"    AND o.deposit_reference = d.deposit_reference AND o.supplier_code = d.supplier_code)",
		2, {TEXTOID, TEXTOID}, NULL
	},
	/* a paused account stays paused */
	{
		"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) "
		"SELECT $2, o.paused_at, o.paused_by, o.reason FROM @mf_account o WHERE o.account = $1 AND o.paused_at IS NOT NULL "
		"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
		"  reason = EXCLUDED.reason WHERE a.paused_at IS NULL",
		2, {TEXTOID, TEXTOID}, NULL
	}
};

/* webhooks of invoices that were sent come in under the old name; it does not pause a later account that has it */
static MfStatement former_name_statement = {
	"WITH n AS (UPDATE @mf_account SET renamed_to = $2 WHERE renamed_to = $1 AND account <> $2), "
	"o AS (UPDATE @mf_account SET renamed_to = NULL WHERE account = $2) "
	"INSERT INTO @mf_account (account, renamed_to) VALUES ($1, $2) "
	"ON CONFLICT (account) DO UPDATE SET paused_at = NULL, paused_by = NULL, reason = NULL, renamed_to = $2",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement rename_proofs_statement = {
	"WITH o AS (DELETE FROM @mf_api_proof WHERE account = $1 RETURNING *) "
	"INSERT INTO @mf_api_proof (account, sent_to, country, given, at, detail) "
	"SELECT $2, o.sent_to, o.country, o.given, o.at, o.detail FROM o ON CONFLICT (account, sent_to) DO NOTHING",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement pause_lost_statement = {
	"SELECT FROM @mf_account o WHERE o.account = $1 AND o.paused_at IS NOT NULL "
	"  AND NOT EXISTS (SELECT FROM @mf_account a WHERE a.account = $2 AND a.paused_at IS NOT NULL)",
	2, {TEXTOID, TEXTOID}, NULL
};

static int64 move_rows(const MfSqlScope *scope, const Datum *values);
static void try_moved(Oid schema, const char *account);

/*
 * Of tables of other extensions that name accounts only these know what is to be done where
 * the new name has a row of the same key already.  So each has a function
 * mf_move_NAME(old_account text, new_account text) RETURNS bigint in our schema, which gives
 * its rows the new name and returns how many those were.  With null as the new name it
 * changes nothing, and returns how many rows name the account, or at least whether any
 * does.  It is SECURITY DEFINER, because whoever renames a server has no right on such
 * tables.  Only members of extensions count: anybody who may create functions here could
 * add others.
 */
static MfStatement functions_statement = {
	"SELECT p.oid::int8 FROM pg_proc p WHERE p.pronamespace = $1 AND p.proname ~ '^mf_move_' "
	"  AND p.proargtypes = '25 25'::oidvector AND p.prorettype = 'int8'::regtype AND NOT p.proretset AND p.prosecdef "
	"  AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') "
	"ORDER BY p.proname",
	1, {OIDOID}, NULL
};

static int64 call_followers(Oid schema, const char *account, const char *new_name);
static int64 call_function(Oid function, const char *account, const char *new_name);

PG_FUNCTION_INFO_V1(mf_move_account);

/* Moves what names an account that does not exist to another account; returns the number of invoices. */
Datum
mf_move_account(PG_FUNCTION_ARGS)
{
	char	   *old_name = mf_required_text(fcinfo, 0, "old_account");
	char	   *new_name = mf_required_text(fcinfo, 1, "new_account");
	const MfAccount *account = mf_account_get(new_name);
	MfSqlScope	scope;
	Datum		values[2];
	int64		moved;

	mf_require_read_committed("mf_move_account()");
	mf_account_check_name(old_name);
	if (mf_account_exists(old_name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" exists", old_name),
				 errdetail("Its invoices are at MyFatoorah under its key."),
				 errhint("Only the invoices of an account whose server was renamed or dropped "
						 "can be moved to another one.")));

	mf_sql_begin(&scope, get_func_namespace(fcinfo->flinfo->fn_oid));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = CStringGetTextDatum(account->currency);
	if (mf_sql_execute(&scope, &other_currency_statement, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot move the invoices of account \"%s\" to account \"%s\"", old_name, new_name),
				 errdetail("The currency of the account is %s, and that of the invoices is %s.", account->currency,
						   mf_result_text(0, 1)),
				 errhint("Give the account that they were created with, by the present name of its server. If it has none, or invoices of several currencies, create a server \"%s\" for it again; then nothing has to be moved.",
						 old_name)));
	values[1] = PG_GETARG_DATUM(1);
	moved = move_rows(&scope, values);
	mf_sql_end(&scope);
	(void) call_followers(get_func_namespace(fcinfo->flinfo->fn_oid), old_name, new_name);
	try_moved(get_func_namespace(fcinfo->flinfo->fn_oid), new_name);
	PG_RETURN_INT64(moved);
}

void
mf_account_renamed(Oid schema, const char *old_name, const char *new_name)
{
	MfSqlScope	scope;
	Datum		values[2];

	mf_require_read_committed("ALTER SERVER");
	mf_sql_begin(&scope, schema);
	values[0] = CStringGetTextDatum(old_name);
	values[1] = CStringGetTextDatum(new_name);
	(void) move_rows(&scope, values);
	/* to another server, as mf_move_account() goes, what is known of POST /v3/payments does not move */
	(void) mf_sql_execute(&scope, &rename_proofs_statement, values, NULL);
	mf_sql_end(&scope);
	(void) call_followers(schema, old_name, new_name);
	try_moved(schema, new_name);
}

/* Values are the old and the new name; how many invoices. */
static int64
move_rows(const MfSqlScope *scope, const Datum *values)
{
	int64		moved = 0;
	int			i;

	for (i = 0; i < (int) lengthof(move_statements); i++)
	{
		uint64		rows = mf_sql_execute(scope, &move_statements[i], values, NULL);

		if (i < MOVE_INVOICES_COUNT)
			moved += (int64) rows;
	}
	if (mf_sql_execute(scope, &pause_lost_statement, values, NULL) > 0)
		mf_change_suppressed();
	(void) mf_sql_execute(scope, &former_name_statement, values, NULL);
	return moved;
}

/* What waited for want of a server is tried at once. */
static void
try_moved(Oid schema, const char *account)
{
	mf_queue_retry_account(schema, account, InvalidOid);
	mf_news_at_commit(MF_TRY_LACKING | MF_NEWS_INQUIRIES);
}

bool
mf_followers_name(Oid schema, const char *account)
{
	return call_followers(schema, account, NULL) > 0;
}

static int64
call_followers(Oid schema, const char *account, const char *new_name)
{
	MfSqlScope	scope;
	Datum		value = ObjectIdGetDatum(schema);
	Oid		   *functions;
	uint64		count;
	uint64		i;
	int64		rows = 0;

	mf_sql_begin(&scope, schema);
	count = mf_sql_execute(&scope, &functions_statement, &value, NULL);
	functions = (Oid *) palloc(Max(count, 1) * sizeof(Oid));
	for (i = 0; i < count; i++)
		functions[i] = (Oid) mf_result_int8(i, 1);
	mf_sql_end(&scope);

	/* outside of the scope: they have their owner's rights, and none of our statements' */
	for (i = 0; i < count; i++)
		rows += call_function(functions[i], account, new_name);
	pfree(functions);
	return rows;
}

/* The function manager takes on the owner of a SECURITY DEFINER function, and asks for no right to execute it. */
static int64
call_function(Oid function, const char *account, const char *new_name)
{
	FmgrInfo	flinfo;
	Datum		result;

	LOCAL_FCINFO(fcinfo, 2);

	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 2, DEFAULT_COLLATION_OID, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(account);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = new_name ? CStringGetTextDatum(new_name) : (Datum) 0;
	fcinfo->args[1].isnull = new_name == NULL;
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	result = FunctionCallInvoke(fcinfo);
	PopActiveSnapshot();
	return fcinfo->isnull ? 0 : DatumGetInt64(result);
}
