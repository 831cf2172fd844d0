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

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "account/account.h"
#include "base/compat.h"
#include "database/function_args.h"
#include "database/sql_array.h"
#include "process/wakeup.h"
#include "store/account_followers.h"
#include "store/move_account.h"
#include "store/queue_pause.h"

static MfStatement other_currency_statement = {
	"SELECT i.base_currency::text FROM @mf_inquiry q JOIN @mf_invoice i ON i.id = q.invoice "
	"WHERE q.account = $1 AND i.base_currency <> $2 LIMIT 1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* an idempotency key that the new account has already, perhaps of an archived invoice, is removed */
#define KEY_TAKEN(table) "EXISTS (SELECT FROM @" table " o WHERE o.idempotency_key = i.idempotency_key AND o.account = $2)"
#define MOVE_INVOICES(table) \
	"UPDATE @" table " i SET account = $2, idempotency_key = CASE WHEN NOT " KEY_TAKEN("mf_invoice") \
	"  AND NOT " KEY_TAKEN("mf_archive_key") " THEN i.idempotency_key END WHERE i.account = $1"

static MfStatement move_invoices_statement = {
	MOVE_INVOICES("mf_invoice"), 2, {TEXTOID, TEXTOID}, NULL
};

/* those of months that were dropped are counted, too: their keys name the account */
static MfStatement move_archive_statement = {
	"WITH k AS (" MOVE_INVOICES("mf_archive_key") " RETURNING i.id, i.created_at, i.idempotency_key), "
	"a AS (UPDATE @mf_invoice_archive a SET account = $2, idempotency_key = k.idempotency_key FROM k "
	"  WHERE a.id = k.id AND a.created_at = k.created_at) "
	"SELECT FROM k",
	2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_agenda_statement = {
	"UPDATE @mf_queue SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_inquiries_statement = {
	"UPDATE @mf_inquiry SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_money_statement = {
	"UPDATE @mf_money SET account = $2 WHERE account = $1", 2, {TEXTOID, TEXTOID}, NULL
};

static MfStatement move_operations_statement = {
	"UPDATE @mf_operation i SET account = $2, idempotency_key = CASE WHEN NOT " KEY_TAKEN("mf_operation") " "
	"  THEN i.idempotency_key END WHERE i.account = $1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* an event that came in under either name is one event */
static MfStatement move_events_statement = {
	"UPDATE @mf_event e SET account = $2 WHERE e.account = $1 "
	"  AND NOT EXISTS (SELECT FROM @mf_event o WHERE o.account = $2 AND o.digest = e.digest)",
	2, {TEXTOID, TEXTOID}, NULL
};

/* likewise a deposit; the rows that stay name an account that does not exist, and nobody is asked about them */
static MfStatement move_deposits_statement = {
	"UPDATE @mf_deposit_state d SET account = $2 WHERE d.account = $1 "
	"  AND NOT EXISTS (SELECT FROM @mf_deposit_state o WHERE o.account = $2 AND o.deposit_reference = d.deposit_reference "
	"    AND o.supplier_code = d.supplier_code)",
	2, {TEXTOID, TEXTOID}, NULL
};

/* a paused account stays paused */
static MfStatement move_pause_statement = {
	"INSERT INTO @mf_account AS a (account, paused_at, paused_by, reason) "
	"SELECT $2, o.paused_at, o.paused_by, o.reason FROM @mf_account o WHERE o.account = $1 AND o.paused_at IS NOT NULL "
	"ON CONFLICT (account) DO UPDATE SET paused_at = EXCLUDED.paused_at, paused_by = EXCLUDED.paused_by, "
	"  reason = EXCLUDED.reason WHERE a.paused_at IS NULL",
	2, {TEXTOID, TEXTOID}, NULL
};

/* else it would pause a later account of the old name */
static MfStatement forget_pause_statement = {
	"DELETE FROM @mf_account WHERE account = $1", 1, {TEXTOID}, NULL
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
				 errhint("Give the account that they were created with, by the present name of its server.")));
	values[1] = PG_GETARG_DATUM(1);
	moved = move_rows(&scope, values);
	mf_sql_end(&scope);
	mf_followers_move(get_func_namespace(fcinfo->flinfo->fn_oid), old_name, new_name);
	try_moved(get_func_namespace(fcinfo->flinfo->fn_oid), new_name);
	PG_RETURN_INT64(moved);
}

void
mf_account_renamed(Oid schema, const char *old_name, const char *new_name)
{
	MfSqlScope	scope;
	Datum		values[2];

	mf_sql_begin(&scope, schema);
	values[0] = CStringGetTextDatum(old_name);
	values[1] = CStringGetTextDatum(new_name);
	(void) move_rows(&scope, values);
	/* to another server, as mf_move_account() goes, what is known of POST /v3/payments does not move */
	(void) mf_sql_execute(&scope, &rename_proofs_statement, values, NULL);
	mf_sql_end(&scope);
	mf_followers_move(schema, old_name, new_name);
	try_moved(schema, new_name);
}

/* Values are the old and the new name; how many invoices. */
static int64
move_rows(const MfSqlScope *scope, const Datum *values)
{
	int64		moved = (int64) mf_sql_execute(scope, &move_invoices_statement, values, NULL);

	(void) mf_sql_execute(scope, &move_agenda_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_inquiries_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_money_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_operations_statement, values, NULL);
	moved += (int64) mf_sql_execute(scope, &move_archive_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_events_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_deposits_statement, values, NULL);
	(void) mf_sql_execute(scope, &move_pause_statement, values, NULL);
	if (mf_sql_execute(scope, &pause_lost_statement, values, NULL) > 0)
		mf_change_suppressed();
	(void) mf_sql_execute(scope, &forget_pause_statement, values, NULL);
	return moved;
}

/* What waited for want of a server is tried at once. */
static void
try_moved(Oid schema, const char *account)
{
	mf_queue_retry_account(schema, account, InvalidOid);
	mf_try_now_at_commit(MF_TRY_LACKING);
	mf_wake_inquiries_at_commit();
}
