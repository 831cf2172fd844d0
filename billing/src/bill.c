/*
 * bill.c
 *	  What every new bill is given before it is stored.
 *
 * In C, because each row of an INSERT goes through it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/bill.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "billing.h"

#define MAX_LINK_DAYS 365
#define CURRENCY_LENGTH 3

/* Times at which a link may be sent; see mf_bill_guard() */
#define MIN_SEND_AT ((TimestampTz) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define MAX_SEND_AT ((TimestampTz) (date2j(9998, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * Bytes of a token: it stands for a bill, and must not be guessed.  All are random; the
 * first ones are the same for the bills of a statement, so that these lie side by side
 * in their index.
 */
#define TOKEN_BYTES 16
#define SHARED_BYTES 6

/* Tokens for which random bytes are drawn at a time, from the second row of a statement on */
#define TOKENS_AT_ONCE 32

/* The columns that are looked at or given a value, in the order of column_names[] */
typedef enum Column
{
	ACCOUNT, TOTAL, CURRENCY, DUE_DATE, SEND_AT, LINK_DAYS, TOKEN, STATUS, RECEIVED, INVOICE, PAID_ON, CLOSED_AT,
	CREATED_AT, CREATED_BY, UPDATED_AT, UPDATED_BY, CREATED_BY_ID, REQUEST_VALUE, LINK_OPTION, LINK_DUE, LINK_TRIES,
	LINK_ERROR, SNOOZED_UNTIL, ERASED_AT, LINK_AHEAD, COLUMNS
} Column;

static const char *const column_names[] = {
	"account", "total", "currency", "due_date", "send_at", "link_days", "token", "status", "received", "invoice",
	"paid_on", "closed_at", "created_at", "created_by", "updated_at", "updated_by", "created_by_id", "request_value",
	"link_option", "link_due", "link_tries", "link_error", "snoozed_until", "erased_at", "link_ahead"
};

StaticAssertDecl(lengthof(column_names) == COLUMNS, "a name for each column");

/* What holds for all rows of a statement; of one account at a time */
typedef struct Filler
{
	int			columns[COLUMNS];	/* index into the values of a row */
	FmgrInfo	facts;
	bool		ours;			/* the bill is made by one of our functions */
	text	   *account;		/* NULL = none yet */
	text	   *currency;
	Datum		today;			/* civil day of the account */
	int			link_days;
	Oid			numbers;		/* sequence of the ids of mf_invoice */
	int			tokens;			/* how many are left in "random"; -1 = first row */
	unsigned char random[TOKENS_AT_ONCE * TOKEN_BYTES];
	unsigned char shared[SHARED_BYTES]; /* of the first token */
} Filler;

/* A row that is being filled */
typedef struct NewBill
{
	Filler	   *filler;
	Datum	   *values;
	bool	   *nulls;
} NewBill;

static Filler *make_filler(FunctionCallInfo fcinfo, TupleDesc desc);
static void read_account(Filler *filler, Datum account, MemoryContext context);
static text *copy_text(Datum value, MemoryContext context);
static bool same_text(const text *left, const text *right);
static void find_creator(NewBill *bill);
static void keep_old(NewBill *bill);
static void fill_results(NewBill *bill);
static text *new_token(Filler *filler);
static void fill_currency(NewBill *bill);
static void fill_days(NewBill *bill);
static int	total_sign(const NewBill *bill);
static void fill_link_due(NewBill *bill, TimestampTz now);

PG_FUNCTION_INFO_V1(mf_bill_fill);

/* BEFORE INSERT trigger of mf_bill */
Datum
mf_bill_fill(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Filler	   *filler;
	NewBill		bill;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_bill_fill() is a trigger BEFORE INSERT, for each row")));

	desc = RelationGetDescr(trigger->tg_relation);
	/* lives as long as the statement */
	filler = (Filler *) fcinfo->flinfo->fn_extra;
	if (filler == NULL)
		filler = make_filler(fcinfo, desc);
	bill.filler = filler;
	bill.values = (Datum *) palloc(desc->natts * sizeof(Datum));
	bill.nulls = (bool *) palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(trigger->tg_trigtuple, desc, bill.values, bill.nulls);

	/* a row with a token comes from a dump, as it is */
	if (!bill.nulls[filler->columns[TOKEN]] && !filler->ours)
	{
		if (!has_privs_of_role(GetUserId(), mf_owner_of_function(fcinfo->flinfo->fn_oid)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("column \"token\" of mf_bill is written by myfatoorah_billing only"),
					 err_generic_string(PG_DIAG_COLUMN_NAME, "token")));
		find_creator(&bill);
		keep_old(&bill);
		return PointerGetDatum(heap_form_tuple(desc, bill.values, bill.nulls));
	}
	fill_results(&bill);
	/* without an account it is refused, because that must not be null */
	if (!bill.nulls[filler->columns[ACCOUNT]])
	{
		read_account(filler, bill.values[filler->columns[ACCOUNT]], fcinfo->flinfo->fn_mcxt);
		fill_currency(&bill);
		fill_days(&bill);
	}
	return PointerGetDatum(heap_form_tuple(desc, bill.values, bill.nulls));
}

static Filler *
make_filler(FunctionCallInfo fcinfo, TupleDesc desc)
{
	Filler	   *filler = (Filler *) MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Filler));
	char	   *schema = get_namespace_name(get_func_namespace(fcinfo->flinfo->fn_oid));
	Oid			type = TEXTOID;
	int			i;

	for (i = 0; i < COLUMNS; i++)
	{
		int			number = SPI_fnumber(desc, column_names[i]);

		if (number <= 0)
			elog(ERROR, "mf_bill has no column \"%s\"", column_names[i]);
		filler->columns[i] = number - 1;
	}
	fmgr_info_cxt(LookupFuncName(list_make2(makeString(schema), makeString(pstrdup("mf_bill_facts"))), 1, &type, false),
				  &filler->facts, fcinfo->flinfo->fn_mcxt);
	filler->ours = GetUserId() == mf_owner_of_function(fcinfo->flinfo->fn_oid);
	filler->tokens = -1;
	fcinfo->flinfo->fn_extra = filler;
	return filler;
}

/* Has what follows from the account at hand; mostly it is that of the row before. */
static void
read_account(Filler *filler, Datum account, MemoryContext context)
{
	text	   *name = DatumGetTextPP(account);
	HeapTupleHeader facts;
	bool		isnull;

	if (filler->account != NULL && same_text(filler->account, name))
		return;
	filler->account = NULL;
	mf_hold_server(text_to_cstring(name));
	facts = DatumGetHeapTupleHeader(FunctionCall1(&filler->facts, account));
	filler->currency = copy_text(GetAttributeByNum(facts, 1, &isnull), context);
	filler->today = DirectFunctionCall1(timestamp_date, DirectFunctionCall2(timestamptz_zone, GetAttributeByNum(facts, 2, &isnull),
																			TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())));
	filler->link_days = DatumGetInt32(GetAttributeByNum(facts, 3, &isnull));
	filler->numbers = DatumGetObjectId(GetAttributeByNum(facts, 4, &isnull));
	filler->account = copy_text(account, context);
}

static text *
copy_text(Datum value, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	text	   *copy = DatumGetTextPCopy(value);

	MemoryContextSwitchTo(old);
	return copy;
}

static bool
same_text(const text *left, const text *right)
{
	return VARSIZE_ANY_EXHDR(left) == VARSIZE_ANY_EXHDR(right) &&
		memcmp(VARDATA_ANY(left), VARDATA_ANY(right), VARSIZE_ANY_EXHDR(left)) == 0;
}

static void
set_column(NewBill *bill, Column column, Datum value)
{
	bill->values[bill->filler->columns[column]] = value;
	bill->nulls[bill->filler->columns[column]] = false;
}

static void
clear_column(NewBill *bill, Column column)
{
	bill->nulls[bill->filler->columns[column]] = true;
}

/* In another cluster a role has another OID.  None of that name: the bill is for operators. */
static void
find_creator(NewBill *bill)
{
	int			name = bill->filler->columns[CREATED_BY];
	Oid			role = bill->nulls[name] ? InvalidOid : get_role_oid(NameStr(*DatumGetName(bill->values[name])), true);

	set_column(bill, CREATED_BY_ID, ObjectIdGetDatum(role));
}

/* mf_bill_inserted() takes what has the time of the transaction for new, and makes an invoice of it. */
static void
keep_old(NewBill *bill)
{
	int			column = bill->filler->columns[CREATED_AT];
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	if (!bill->nulls[column] && DatumGetTimestampTz(bill->values[column]) == now)
		set_column(bill, CREATED_AT, TimestampTzGetDatum(now - 1));
}

/* What only we write, whatever was given */
static void
fill_results(NewBill *bill)
{
	static const Column empty[] = {INVOICE, PAID_ON, CLOSED_AT, UPDATED_AT, UPDATED_BY, REQUEST_VALUE, LINK_OPTION, LINK_ERROR, SNOOZED_UNTIL,
	ERASED_AT, LINK_AHEAD};
	int			creator = bill->filler->columns[CREATED_BY_ID];
	int			i;

	/* our functions make bills for others */
	if (!bill->filler->ours || bill->nulls[creator] || DatumGetObjectId(bill->values[creator]) == InvalidOid)
	{
		Name		name = (Name) palloc0(NAMEDATALEN);

		namestrcpy(name, GetUserNameFromId(GetUserId(), false));
		set_column(bill, CREATED_BY, NameGetDatum(name));
		set_column(bill, CREATED_BY_ID, ObjectIdGetDatum(GetUserId()));
	}
	set_column(bill, CREATED_AT, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	set_column(bill, TOKEN, PointerGetDatum(new_token(bill->filler)));
	set_column(bill, STATUS, CStringGetTextDatum("open"));
	set_column(bill, RECEIVED, DirectFunctionCall1(int4_numeric, Int32GetDatum(0)));
	set_column(bill, LINK_TRIES, Int32GetDatum(0));
	for (i = 0; i < (int) lengthof(empty); i++)
		clear_column(bill, empty[i]);
}

/* Random bytes of the server's strong source, as hexadecimal digits */
static text *
new_token(Filler *filler)
{
	static const char digits[] = "0123456789abcdef";
	bool		first = filler->tokens < 0;
	char		token[2 * TOKEN_BYTES];
	unsigned char *bytes;
	int			i;

	if (filler->tokens <= 0)
	{
		filler->tokens = first ? 1 : TOKENS_AT_ONCE;
		if (!pg_strong_random(filler->random, filler->tokens * TOKEN_BYTES))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random token")));
	}
	bytes = filler->random + --filler->tokens * TOKEN_BYTES;
	if (first)
		memcpy(filler->shared, bytes, SHARED_BYTES);
	memcpy(bytes, filler->shared, SHARED_BYTES);
	for (i = 0; i < TOKEN_BYTES; i++)
	{
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	return cstring_to_text_with_len(token, sizeof(token));
}

/* The account's own if none was given, else one of three capital letters */
static void
fill_currency(NewBill *bill)
{
	const Filler *filler = bill->filler;
	int			column = filler->columns[CURRENCY];
	text	   *given = bill->nulls[column] ? NULL : DatumGetTextPP(bill->values[column]);
	char	   *code;

	if (given == NULL)
		set_column(bill, CURRENCY, PointerGetDatum(filler->currency));
	if (given == NULL || same_text(given, filler->currency))
		return;
	given = DatumGetTextPP(DirectFunctionCall1(btrim1, PointerGetDatum(given)));
	code = asc_toupper(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));
	if (code[0] == '\0')
		set_column(bill, CURRENCY, PointerGetDatum(filler->currency));
	else if (strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == CURRENCY_LENGTH && code[CURRENCY_LENGTH] == '\0')
		set_column(bill, CURRENCY, CStringGetTextDatum(code));
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for currency: \"%s\"", code),
				 errhint("Give an ISO 4217 code, such as KWD, or null for the account's own."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "currency")));
}

/* The day on which it is due, its link and when that ends; a bill over nothing is paid */
static void
fill_days(NewBill *bill)
{
	const Filler *filler = bill->filler;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	int			sign = total_sign(bill);

	if (bill->nulls[filler->columns[DUE_DATE]])
		set_column(bill, DUE_DATE, filler->today);
	clear_column(bill, LINK_DUE);
	if (sign > 0)
	{
		/* its row is not written a second time */
		set_column(bill, INVOICE, Int64GetDatum(nextval_internal(filler->numbers, false)));
		fill_link_due(bill, now);
	}
	else if (sign == 0)
	{
		set_column(bill, STATUS, CStringGetTextDatum("paid"));
		set_column(bill, PAID_ON, filler->today);
		set_column(bill, CLOSED_AT, TimestampTzGetDatum(now));
	}
}

/* 1 if something is to be paid, 0 if nothing is; -1 if the total is none, which is refused */
static int
total_sign(const NewBill *bill)
{
	int			column = bill->filler->columns[TOTAL];

	if (bill->nulls[column])
		return -1;
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, bill->values[column], DirectFunctionCall1(int4_numeric, Int32GetDatum(0))));
}

/* mf_bill_guard() refuses what is out of range. */
static void
fill_link_due(NewBill *bill, TimestampTz now)
{
	const Filler *filler = bill->filler;
	TimestampTz send_at = bill->nulls[filler->columns[SEND_AT]] ? now : DatumGetTimestampTz(bill->values[filler->columns[SEND_AT]]);
	int			link_days = bill->nulls[filler->columns[LINK_DAYS]] ? filler->link_days : DatumGetInt32(bill->values[filler->columns[LINK_DAYS]]);
	Interval	life = {0};

	if (link_days < 1 || link_days > MAX_LINK_DAYS || send_at < MIN_SEND_AT || send_at > MAX_SEND_AT)
		return;
	life.day = link_days;
	set_column(bill, LINK_DUE, DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(Max(now, send_at)), IntervalPGetDatum(&life)));
}
