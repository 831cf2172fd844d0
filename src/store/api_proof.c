/*
 * api_proof.c
 *	  What is known about POST /v3/payments at an address with a key: the table mf_api_proof.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/api_proof.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "account/account_option.h"
#include "database/sql_array.h"
#include "store/api_proof.h"
#include "store/table_rows.h"

static MfStatement find_statement = {
	"SELECT p.given::bool, p.at::timestamptz, p.detail::text FROM @mf_api_proof p "
	"WHERE p.account = $1 AND p.sent_to = $2 AND p.country = $3",
	3, {TEXTOID, INT4OID, TEXTOID}, NULL
};

static MfStatement set_statement = {
	"INSERT INTO @mf_api_proof AS p (account, sent_to, country, given, detail) VALUES ($1, $2, $3, $4, $5) "
	"ON CONFLICT (account, sent_to) DO UPDATE SET country = excluded.country, given = excluded.given, "
	"  detail = excluded.detail, at = excluded.at",
	5, {TEXTOID, INT4OID, TEXTOID, BOOLOID, TEXTOID}, NULL
};

MfProof
mf_api_proof(const MfSqlScope *scope, const MfAccount *account, int32 sent_to)
{
	TimestampTz at;
	char	   *detail;

	return mf_api_proof_details(scope, account, sent_to, &at, &detail);
}

MfProof
mf_api_proof_details(const MfSqlScope *scope, const MfAccount *account, int32 sent_to, TimestampTz *at, char **detail)
{
	Datum		values[] = {CStringGetTextDatum(account->name), Int32GetDatum(sent_to),
	CStringGetTextDatum(account->country->iso)};

	*at = 0;
	*detail = NULL;
	if (!mf_api_proof_any(scope) || mf_sql_execute(scope, &find_statement, values, NULL) == 0)
		return MF_PROOF_NONE;
	*at = mf_result_timestamp(0, 2);
	*detail = mf_result_text(0, 3);
	return mf_result_bool(0, 1) ? MF_PROOF_GIVEN : MF_PROOF_REFUTED;
}

/* Most installations have none, which the size of the table tells without a query. */
bool
mf_api_proof_any(const MfSqlScope *scope)
{
	return mf_table_has_pages(scope->schema, "mf_api_proof");
}

void
mf_api_proof_set(const MfSqlScope *scope, const MfAccount *account, int32 sent_to, bool given, const char *detail)
{
	Datum		values[] = {CStringGetTextDatum(account->name), Int32GetDatum(sent_to),
		CStringGetTextDatum(account->country->iso), BoolGetDatum(given), CStringGetTextDatum(detail)};

	if (mf_sql_execute(scope, &set_statement, values, NULL) != 1)
		mf_change_suppressed();
}

bool
mf_api_is_v3(const MfAccount *account, MfProof proof)
{
	if (!account->country->idempotency_key || proof == MF_PROOF_REFUTED)
		return false;
	return account->api == MF_API_V3 || (account->api == MF_API_AUTO && proof == MF_PROOF_GIVEN);
}
