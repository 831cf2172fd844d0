/*
 * deposit_functions.c
 *	  mf_read_deposit(): asks for a deposit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/deposit_functions.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "account/account.h"
#include "base/compat.h"
#include "database/function_args.h"
#include "store/deposits.h"

PG_FUNCTION_INFO_V1(mf_read_deposit);

/* Has the worker read a deposit; returns its id. */
Datum
mf_read_deposit(PG_FUNCTION_ARGS)
{
	char	   *reference = mf_required_text(fcinfo, 0, "deposit_reference");
	const MfAccount *account = mf_account_hold(mf_required_text(fcinfo, 1, "account"));
	int64		supplier_code = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);

	if (!mf_deposit_reference_valid(reference))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deposit_reference is not the reference of a deposit"),
				 errdetail("It must have 1 to %d characters, without blanks, all of them ASCII.", MF_DEPOSIT_REFERENCE_MAX),
				 errhint("The portal shows it under Deposits, such as 2025000006.")));
	if (!PG_ARGISNULL(2) && supplier_code < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("supplier_code must be greater than zero"),
				 errhint("Leave it out for a deposit of the account itself.")));
	PG_RETURN_INT64(mf_deposits_request(get_func_namespace(fcinfo->flinfo->fn_oid), account->name, reference,
										supplier_code));
}
