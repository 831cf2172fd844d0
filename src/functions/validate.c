/*
 * validate.c
 *	  mf_validate(): reports every error for which INSERT would refuse a row.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/validate.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "account/account_option.h"
#include "database/function_args.h"
#include "functions/backend_call.h"
#include "request/request.h"
#include "store/api_proof.h"
#include "store/row_check.h"

/* Argument of check_usage() */
typedef struct UsageCheck
{
	Relation	table;
	const MfAccount *account;
} UsageCheck;

/* Argument of find_checksum() */
typedef struct SentTo
{
	const MfAccount *account;
	int32		sent_to;
} SentTo;

static void read_row(HeapTupleHeader header, Relation table, MfRow *row);
static void fill_defaults(Relation table, MfRow *row);
static void check_usage(void *argument);
static void tell_api(Oid schema, const MfRow *row, const MfAccount *account);

PG_FUNCTION_INFO_V1(mf_validate);

Datum
mf_validate(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MfFieldErrors errors = {0, 0, NULL};
	MfRow		row;
	Relation	table;
	UsageCheck	usage;
	int			i;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("invoice must not be null"),
				 errhint("Give a row, such as jsonb_populate_record(NULL::mf_invoice, to_jsonb(r)).")));
	mf_start_rows(fcinfo);

	table = table_open(get_relname_relid("mf_invoice", get_func_namespace(fcinfo->flinfo->fn_oid)), AccessShareLock);
	mf_invoice_check_columns(RelationGetDescr(table));
	read_row(PG_GETARG_HEAPTUPLEHEADER(0), table, &row);
	fill_defaults(table, &row);
	mf_row_check_results(&row, table, &errors);
	usage.table = table;
	usage.account = mf_row_check(&row, table, &errors);
	if (usage.account != NULL)
		mf_collect_field_errors(&errors, "account", check_usage, &usage);
	table_close(table, AccessShareLock);
	if (usage.account != NULL && errors.count == 0)
		tell_api(get_func_namespace(fcinfo->flinfo->fn_oid), &row, usage.account);

	for (i = 0; i < errors.count; i++)
	{
		const MfFieldError *error = &errors.items[i];
		Datum		values[3] = {CStringGetTextDatum(error->field), CStringGetTextDatum(error->message), (Datum) 0};
		bool		nulls[3] = {false, false, error->hint == NULL};

		if (error->hint != NULL)
			values[2] = CStringGetTextDatum(error->hint);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Deforms the argument, which has the row type of the table. */
static void
read_row(HeapTupleHeader header, Relation table, MfRow *row)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple;

	if (desc->natts < MF_IC_END - 1 || desc->tdtypeid != table->rd_rel->reltype)
		elog(ERROR, "the argument of mf_validate() is not a row of mf_invoice");
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	mf_row_read(&tuple, desc, row);
	ReleaseTupleDesc(desc);
}

/* Null means that the column is left out, because the argument cannot express the difference. */
static void
fill_defaults(Relation table, MfRow *row)
{
	ExprContext *context = CreateStandaloneExprContext();
	int			column;

	for (column = MF_IC_ACCOUNT; column < MF_IC_END; column++)
	{
		Node	   *expression = row->isnull[column] ? build_column_default(table, column) : NULL;

		if (expression != NULL)
			row->values[column] = ExecEvalExpr(ExecInitExpr((Expr *) expression, NULL), context, &row->isnull[column]);
	}
}

static void
check_usage(void *argument)
{
	const UsageCheck *usage = (const UsageCheck *) argument;

	mf_row_check_usage(usage->table, usage->account);
}

/* A key that cannot be used is no error of the row. */
static void
find_checksum(void *argument)
{
	SentTo	   *place = (SentTo *) argument;

	place->sent_to = mf_backend_target_checksum(place->account);
}

/*
 * Tells by which endpoint the row would be sent, where that is a question.  With which key
 * is known only if the role may use the account, which was checked.
 */
static void
tell_api(Oid schema, const MfRow *row, const MfAccount *account)
{
	const char *obstacle = NULL;
	MfRequest	request;
	MfSqlScope	scope;
	MfProof		proof = MF_PROOF_NONE;
	SentTo		place = {account, 0};
	size_t		len;
	char	   *body;

	if (!account->country->idempotency_key || account->api == MF_API_V2)
		return;
	mf_sql_begin(&scope, schema);
	if (mf_api_proof_any(&scope) && mf_sql_try(find_checksum, &place) == NULL)
		proof = mf_api_proof(&scope, account, place.sent_to);
	mf_sql_end(&scope);
	if (!mf_api_is_v3(account, proof))
		return;
	request.table = NULL;
	memcpy(request.values, &row->values[MF_IC_CUSTOMER_NAME], sizeof(request.values));
	memcpy(request.isnull, &row->isnull[MF_IC_CUSTOMER_NAME], sizeof(request.isnull));
	mf_fill_urls(&request, account, 0, text_to_cstring(mf_new_reference(NULL, 0)),
				 row->isnull[MF_IC_CALLBACKS] ? MF_CALLBACKS_BY_ACCOUNT :
				 DatumGetBool(row->values[MF_IC_CALLBACKS]) ? MF_CALLBACKS_ON : MF_CALLBACKS_OFF);
	body = mf_request_v3_body(&request, account, "", &len, &obstacle);
	free(body);
	if (body != NULL)
		ereport(NOTICE,
				(errmsg("the row would be sent by POST /v3/payments")));
	else
		ereport(NOTICE,
				(errmsg("the row would be sent by %s, because POST /v3/payments cannot carry its %s",
						mf_endpoints[mf_request_endpoint(&request)].name, obstacle)));
}
