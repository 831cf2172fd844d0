/*
 * request_sums.c
 *	  What lists in jsonb have to add up to.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_sums.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "request/request_private.h"

static Numeric optional_number(JsonbContainer *object, const char *name);
static Numeric member_number(JsonbContainer *object, const char *name);
static char *number_text(Numeric number);

void
mf_check_item_sum(const MfRequest *request)
{
	Jsonb	   *items;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	Datum		total;

	if (request->isnull[MF_SP_INVOICE_VALUE])
		return;

	items = DatumGetJsonbP(request->values[MF_SP_INVOICE_ITEMS]);
	if (JB_ROOT_COUNT(items) == 0)
		return;

	total = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
	it = JsonbIteratorInit(&items->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Datum		price;

		if (token != WJB_ELEM)
			continue;
		price = DirectFunctionCall2(numeric_mul,
									NumericGetDatum(member_number(value.val.binary.data, "UnitPrice")),
									NumericGetDatum(member_number(value.val.binary.data, "Quantity")));
		total = DirectFunctionCall2(numeric_add, total, price);
	}

	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, total, request->values[MF_SP_INVOICE_VALUE])))
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_ITEMS),
				 errmsg("invoice_items do not add up to invoice_value"),
				 errdetail("The items add up to %s; invoice_value is %s.",
						   DatumGetCString(DirectFunctionCall1(numeric_out, total)),
						   DatumGetCString(DirectFunctionCall1(numeric_out, request->values[MF_SP_INVOICE_VALUE]))),
				 errhint("Correct one of them; put a discount or a fee into the prices of the items.")));
}

void
mf_check_supplier_shares(const MfRequest *request)
{
	Jsonb	   *suppliers = DatumGetJsonbP(request->values[MF_SP_SUPPLIERS]);
	Datum		total = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	int			number = 0;

	if (request->isnull[MF_SP_INVOICE_VALUE] || JB_ROOT_COUNT(suppliers) == 0)
		return;
	it = JsonbIteratorInit(&suppliers->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Numeric		share;
		Numeric		proposed;

		if (token != WJB_ELEM)
			continue;
		number++;
		share = member_number(value.val.binary.data, "InvoiceShare");
		proposed = optional_number(value.val.binary.data, "ProposedShare");
		if (proposed != NULL && DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(proposed), NumericGetDatum(share))))
			ereport(ERROR,
					(mf_err_field(request, MF_SP_SUPPLIERS),
					 errmsg("member \"ProposedShare\" in suppliers[%d] is too large", number),
					 errdetail("It is %s; InvoiceShare is %s.", number_text(proposed), number_text(share)),
					 errhint("A supplier can get no more than the share of the invoice.")));
		total = DirectFunctionCall2(numeric_add, total, NumericGetDatum(share));
	}
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, total, request->values[MF_SP_INVOICE_VALUE])))
		ereport(ERROR,
				(mf_err_field(request, MF_SP_SUPPLIERS),
				 errmsg("the shares of suppliers do not add up to invoice_value"),
				 errdetail("They add up to %s; invoice_value is %s.", number_text(DatumGetNumeric(total)),
						   number_text(DatumGetNumeric(request->values[MF_SP_INVOICE_VALUE]))),
				 errhint("Correct one of them. What is to be left to you is InvoiceShare minus ProposedShare, or your commission.")));
}

/* A number of an object that check_object() has checked; NULL if it is null or absent. */
static Numeric
optional_number(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, (int) strlen(name), &buffer);

	return found != NULL && found->type == jbvNumeric ? found->val.numeric : NULL;
}

/* A required number of an object that check_object() has checked. */
static Numeric
member_number(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, (int) strlen(name), &buffer);

	Assert(found != NULL && found->type == jbvNumeric);
	return found->val.numeric;
}

static char *
number_text(Numeric number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}
