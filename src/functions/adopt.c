/*
 * adopt.c
 *	  mf_adopt(): an invoice that was made elsewhere gets a row.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/adopt.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "database/function_args.h"
#include "functions/direct_status.h"
#include "functions/direct_row.h"
#include "process/wakeup.h"
#include "store/inquiries_open.h"

static void set_text(MfRequest *request, MfSendPaymentField field, const char *utf8);
static void read_request(const MfStatusResult *found, const MfAccount *account, MfRequest *request);

PG_FUNCTION_INFO_V1(mf_adopt);

Datum
mf_adopt(PG_FUNCTION_ARGS)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	char	   *key = mf_required_text(fcinfo, 0, "invoice_id");
	const MfAccount *account;
	const MfStatusResult *found;
	MfDirectRow *row;
	MfRequest	request;
	const char *invoice_id;
	const char *reference;
	int64		known;
	bool		too_often = false;

	mf_refuse_in_trigger("mf_adopt");
	found = mf_find_invoice(schema, "invoice_id", key, "InvoiceId", mf_required_text(fcinfo, 1, "account"), &account);
	invoice_id = found->values[MF_PS_INVOICE_ID];
	reference = found->values[MF_PS_CUSTOMER_REFERENCE];

	/* of two that adopt the same invoice, one finds the row of the other */
	known = mf_direct_known(schema, account, invoice_id, reference ? mf_from_utf8_lossy(reference) : NULL);
	if (known != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %s of MyFatoorah is that of invoice %lld already", invoice_id, (long long) known),
				 errhint("SELECT * FROM mf_invoice_all WHERE id = %lld", (long long) known)));

	read_request(found, account, &request);
	row = mf_direct_insert(schema, &request, account->name);
	mf_direct_found(row, invoice_id);
	mf_inquiries_order(schema, GetUserId(), &row->invoice, &too_often, 1);
	mf_wake_inquiries_at_commit();
	PG_RETURN_INT64(row->invoice);
}

/* What an answer tells of an invoice that a row has, too. */
static void
read_request(const MfStatusResult *found, const MfAccount *account, MfRequest *request)
{
	char	   *const *values = found->values;
	const char *value = values[MF_PS_INVOICE_VALUE];
	const char *currency = values[MF_PS_DISPLAY_CURRENCY];

	request->table = NULL;
	memset(request->isnull, true, sizeof(request->isnull));
	set_text(request, MF_SP_CUSTOMER_NAME, values[MF_PS_CUSTOMER_NAME]);
	set_text(request, MF_SP_NOTIFICATION_OPTION, "LNK");
	set_text(request, MF_SP_CUSTOMER_REFERENCE, values[MF_PS_CUSTOMER_REFERENCE]);
	set_text(request, MF_SP_USER_DEFINED_FIELD, values[MF_PS_USER_DEFINED_FIELD]);
	if (currency != NULL && values[MF_PS_INVOICE_DISPLAY_VALUE] != NULL && strcmp(currency, account->currency) != 0)
	{
		set_text(request, MF_SP_DISPLAY_CURRENCY_ISO, currency);
		value = values[MF_PS_INVOICE_DISPLAY_VALUE];
	}
	if (value != NULL)
	{
		request->values[MF_SP_INVOICE_VALUE] =
			DirectFunctionCall3(numeric_in, CStringGetDatum(value), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		request->isnull[MF_SP_INVOICE_VALUE] = false;
	}
}

static void
set_text(MfRequest *request, MfSendPaymentField field, const char *utf8)
{
	if (utf8 == NULL || utf8[0] == '\0')
		return;
	request->values[field] = CStringGetTextDatum(mf_from_utf8_lossy(utf8));
	request->isnull[field] = false;
}
