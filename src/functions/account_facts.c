/*
 * account_facts.c
 *	  mf_account_facts(): what follows from an account's country and options.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/account_facts.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "account/account.h"
#include "base/compat.h"

PG_FUNCTION_INFO_V1(mf_account_facts);

Datum
mf_account_facts(PG_FUNCTION_ARGS)
{
	const MfAccount *account = mf_account_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(account->currency);
	values[1] = CStringGetTextDatum(account->time_zone);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
