/*
 * request_json.c
 *	  Validation of the jsonb fields of a SendPayment request.
 *
 * There is one table of members per object, as in MyFatoorah's reference.  A
 * member that is not listed is refused, because MyFatoorah would silently ignore
 * a misspelt one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_json.c
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

typedef enum MemberKind
{
	MEMBER_TEXT,
	MEMBER_INTEGER,				/* at least 1 */
	MEMBER_NUMBER,				/* at least 0 */
	MEMBER_BOOLEAN
} MemberKind;

typedef struct Member
{
	const char *name;
	MemberKind	kind;
	bool		required;
	int			maximum;		/* of a number, 0 = none */
} Member;

static const Member address_members[] = {
	{"Block", MEMBER_TEXT, false, 0},
	{"Street", MEMBER_TEXT, false, 0},
	{"HouseBuildingNo", MEMBER_TEXT, false, 0},
	{"Address", MEMBER_TEXT, false, 0},
	{"AddressInstructions", MEMBER_TEXT, false, 0},
	{NULL, MEMBER_TEXT, false, 0}
};

static const Member item_members[] = {
	{"ItemName", MEMBER_TEXT, true, 0},
	{"Quantity", MEMBER_INTEGER, true, 0},
	{"UnitPrice", MEMBER_NUMBER, true, 0},
	{"Weight", MEMBER_NUMBER, false, 100},
	{"Width", MEMBER_NUMBER, false, 200},
	{"Height", MEMBER_NUMBER, false, 160},
	{"Depth", MEMBER_NUMBER, false, 200},
	{NULL, MEMBER_TEXT, false, 0}
};

static const Member consignee_members[] = {
	{"PersonName", MEMBER_TEXT, true, 0},
	{"Mobile", MEMBER_TEXT, true, 0},
	{"EmailAddress", MEMBER_TEXT, false, 0},
	{"LineAddress", MEMBER_TEXT, true, 0},
	{"CityName", MEMBER_TEXT, true, 0},
	{"PostalCode", MEMBER_TEXT, false, 0},
	{"CountryCode", MEMBER_TEXT, true, 0},
	{NULL, MEMBER_TEXT, false, 0}
};

static const Member supplier_members[] = {
	{"SupplierCode", MEMBER_INTEGER, true, 0},
	{"InvoiceShare", MEMBER_NUMBER, true, 0},
	{"ProposedShare", MEMBER_NUMBER, false, 0},
	{NULL, MEMBER_TEXT, false, 0}
};

static const Member processing_members[] = {
	{"AutoCapture", MEMBER_BOOLEAN, false, 0},
	{NULL, MEMBER_TEXT, false, 0}
};

/* An object that is being checked */
typedef struct CheckedObject
{
	MfRequest  *request;
	MfSendPaymentField field;	/* that it is in */
	const char *name;			/* for messages: column, or column[number] */
	bool		needs_rewrite;	/* it has numbers that MyFatoorah would not accept */
} CheckedObject;

static void check_supplier_shares(const MfRequest *request);
static void check_item_sum(const MfRequest *request);
static void check_object(CheckedObject *checked, JsonbContainer *object, const Member *members);
static void report_unknown_member(const CheckedObject *checked, const JsonbValue *key, const Member *members);
static void check_member(CheckedObject *checked, const Member *member, const JsonbValue *value);
static bool check_number(CheckedObject *checked, const Member *member, Numeric given);
static int	compare_with_int(Numeric number, int other);
static void check_member_length(const CheckedObject *checked, const Member *member, int length, int limit);
static bool is_blank(const JsonbValue *text);
static const Member *find_member(const Member *members, const JsonbValue *key);
static void check_object_field(MfRequest *request, MfSendPaymentField field, const Member *members);
static void check_array_field(MfRequest *request, MfSendPaymentField field, const Member *members);
static void rewrite_numbers(const CheckedObject *checked, Jsonb *jsonb, const Member *members);
static bool needs_rewrite(const Member *member, Numeric number);
static char *number_text(Numeric number);
static Numeric trim_scale(Numeric number);
static Numeric optional_number(JsonbContainer *object, const char *name);
static Numeric member_number(JsonbContainer *object, const char *name);

void
mf_check_json_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	static const struct
	{
		bool		is_array;
		const Member *members;
	}			fields[MF_SP_COUNT] = {
		[MF_SP_CUSTOMER_ADDRESS] = {false, address_members},
		[MF_SP_INVOICE_ITEMS] = {true, item_members},
		[MF_SP_SHIPPING_CONSIGNEE] = {false, consignee_members},
		[MF_SP_SUPPLIERS] = {true, supplier_members},
		[MF_SP_PROCESSING_DETAILS] = {false, processing_members}
	};

	if (request->isnull[field])
		return;
	if (fields[field].is_array)
		check_array_field(request, field, fields[field].members);
	else
		check_object_field(request, field, fields[field].members);
	if (field == MF_SP_INVOICE_ITEMS)
		check_item_sum(request);
	if (field == MF_SP_SUPPLIERS)
		check_supplier_shares(request);
}

/* Checks a field that must be an object. */
static void
check_object_field(MfRequest *request, MfSendPaymentField field, const Member *members)
{
	const char *column = mf_send_payment_fields[field].column;
	CheckedObject checked = {request, field, column, false};
	Jsonb	   *jsonb;

	jsonb = DatumGetJsonbP(request->values[field]);
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must be a JSON object", column),
				 errhint("Give an object such as {\"%s\": ...}.", members[0].name)));
	check_object(&checked, &jsonb->root, members);
}

/* Checks a field that must be an array of objects. */
static void
check_array_field(MfRequest *request, MfSendPaymentField field, const Member *members)
{
	const char *column = mf_send_payment_fields[field].column;
	CheckedObject checked = {request, field, column, false};
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	int			number = 0;

	jsonb = DatumGetJsonbP(request->values[field]);
	if (JB_ROOT_IS_OBJECT(jsonb) && JB_ROOT_COUNT(jsonb) == 0)
	{
		/* drivers send an empty list as an empty array of PostgreSQL, {} */
		request->values[field] = DirectFunctionCall1(jsonb_in, CStringGetDatum("[]"));
		return;
	}
	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must be a JSON array of objects", column),
				 errhint("Give an array such as [{\"%s\": ...}], from JavaScript by JSON.stringify().",
						 members[0].name)));
	if (JB_ROOT_COUNT(jsonb) > MF_ITEMS_MAX)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s has too many entries", column),
				 errdetail("It has %u entries; the limit is %d.", JB_ROOT_COUNT(jsonb), MF_ITEMS_MAX),
				 errhint("Combine some of them.")));

	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		number++;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must be a JSON array of objects", column),
					 errdetail("Entry %d is not an object.", number),
					 errhint("Give an array such as [{\"%s\": ...}].", members[0].name)));
		checked.name = psprintf("%s[%d]", column, number);
		check_object(&checked, value.val.binary.data, members);
	}
	if (checked.needs_rewrite)
		rewrite_numbers(&checked, jsonb, members);
}

/* Checks that every member is listed and valid, and that no required one is missing. */
static void
check_object(CheckedObject *checked, JsonbContainer *object, const Member *members)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	value;
	JsonbIteratorToken token;
	const Member *member = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			member = find_member(members, &value);
			if (member == NULL)
				report_unknown_member(checked, &value, members);
		}
		else if (token == WJB_VALUE)
			check_member(checked, member, &value);
	}

	for (member = members; member->name != NULL; member++)
	{
		JsonbValue	buffer;
		JsonbValue *found = getKeyJsonValueFromContainer(object, member->name,
														 (int) strlen(member->name), &buffer);

		if (member->required &&
			(found == NULL || found->type == jbvNull ||
			 (found->type == jbvString && is_blank(found))))
			ereport(ERROR,
					(mf_err_field(checked->request, checked->field),
					 errmsg("member \"%s\" is missing in %s", member->name, checked->name),
					 errhint("Add it to the object.")));
	}
}

static void
report_unknown_member(const CheckedObject *checked, const JsonbValue *key, const Member *members)
{
	const Member *member;
	StringInfoData list;

	initStringInfo(&list);
	for (member = members; member->name != NULL; member++)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", member->name);
	ereport(ERROR,
			(mf_err_field(checked->request, checked->field),
			 errmsg("unknown member \"%.60s\" in %s", pnstrdup(key->val.string.val, key->val.string.len),
					checked->name),
			 errhint("Valid members are: %s. Case matters.", list.data)));
}

/* Checks the kind and the limits of one member's value; null is always valid. */
static void
check_member(CheckedObject *checked, const Member *member, const JsonbValue *value)
{
	static const char *const hints[] = {
		[MEMBER_TEXT] = gettext_noop("Give a string."),
		[MEMBER_INTEGER] = gettext_noop("Give a whole number greater than zero."),
		[MEMBER_NUMBER] = gettext_noop("Give a number that is not negative."),
		[MEMBER_BOOLEAN] = gettext_noop("Give true or false.")
	};
	bool		ok = false;

	if (value->type == jbvNull)
		return;

	switch (member->kind)
	{
		case MEMBER_TEXT:
			ok = value->type == jbvString;
			if (ok && value->val.string.len > MF_MEMBER_TEXT_MAX)
				check_member_length(checked, member,
									pg_mbstrlen_with_len(value->val.string.val, value->val.string.len),
									MF_MEMBER_TEXT_MAX);
			break;
		case MEMBER_BOOLEAN:
			ok = value->type == jbvBool;
			break;
		case MEMBER_INTEGER:
		case MEMBER_NUMBER:
			ok = value->type == jbvNumeric && check_number(checked, member, value->val.numeric);
			break;
	}

	if (!ok)
		ereport(ERROR,
				(mf_err_field(checked->request, checked->field),
				 errmsg("invalid value for member \"%s\" in %s", member->name, checked->name),
				 errhint("%s", dgettext(TEXTDOMAIN, hints[member->kind]))));
}

/*
 * Returns whether a number is of the member's kind, by value: 1.00 is an integer.  Raises
 * an error if it is too large.
 */
static bool
check_number(CheckedObject *checked, const Member *member, Numeric given)
{
	Numeric		number = trim_scale(given);
	int			sign;

	check_member_length(checked, member, (int) strlen(number_text(number)), MF_MEMBER_DIGITS_MAX);
	checked->needs_rewrite |= needs_rewrite(member, given);
	sign = compare_with_int(number, 0);
	if (sign < 0)
		return false;
	if (member->kind == MEMBER_INTEGER &&
		(sign == 0 || strchr(number_text(number), '.') != NULL || compare_with_int(number, PG_INT32_MAX) > 0))
		return false;
	if (member->maximum > 0 && compare_with_int(number, member->maximum) > 0)
		ereport(ERROR,
				(mf_err_field(checked->request, checked->field),
				 errmsg("member \"%s\" in %s is too large", member->name, checked->name),
				 errdetail("It is %s; the limit is %d.", number_text(number), member->maximum),
				 errhint("Weights are in kilograms, lengths in centimetres.")));
	return true;
}

static int
compare_with_int(Numeric number, int other)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number),
											 DirectFunctionCall1(int4_numeric, Int32GetDatum(other))));
}

/* Refuses a member of more than "limit" characters. */
static void
check_member_length(const CheckedObject *checked, const Member *member, int length, int limit)
{
	if (length > limit)
		ereport(ERROR,
				(mf_err_field(checked->request, checked->field),
				 errmsg("member \"%s\" in %s is too long", member->name, checked->name),
				 errdetail("It has %d characters; the limit is %d.", length, limit),
				 errhint("Shorten it.")));
}

/* Whether a string has no visible character. */
static bool
is_blank(const JsonbValue *text)
{
	return mf_clean_text(pnstrdup(text->val.string.val, text->val.string.len), MF_CLEAN_TEXT)[0] == '\0';
}

/* The member of that name; NULL if there is none. */
static const Member *
find_member(const Member *members, const JsonbValue *key)
{
	const Member *member;

	for (member = members; member->name != NULL; member++)
	{
		if ((size_t) key->val.string.len == strlen(member->name) &&
			memcmp(key->val.string.val, member->name, key->val.string.len) == 0)
			return member;
	}
	return NULL;
}

/*
 * Stores a checked array of objects again, with its numbers in a form that MyFatoorah
 * accepts: it does not accept 1.00 as an integer.
 */
static void
rewrite_numbers(const CheckedObject *checked, Jsonb *jsonb, const Member *members)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	MfJsonbState state = {0};
	JsonbValue *result = NULL;
	JsonbValue	value;
	JsonbIteratorToken token;
	const Member *member = NULL;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			member = find_member(members, &value);
		else if (token == WJB_VALUE && value.type == jbvNumeric && needs_rewrite(member, value.val.numeric))
			value.val.numeric = trim_scale(value.val.numeric);
		result = mf_push_jsonb_value(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	checked->request->values[checked->field] = JsonbPGetDatum(JsonbValueToJsonb(result));
}

/* Whether MyFatoorah would not accept a number as it is written. */
static bool
needs_rewrite(const Member *member, Numeric number)
{
	const char *text = number_text(number);

	return member->kind == MEMBER_INTEGER ? strchr(text, '.') != NULL : strlen(text) > MF_MEMBER_DIGITS_MAX;
}

static char *
number_text(Numeric number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

/* The same number without zeros at the end of its fraction. */
static Numeric
trim_scale(Numeric number)
{
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number)));
}

/*
 * Of lists whose members are valid.  The items add up to invoice_value
 * exactly; so do the shares of suppliers, and none is promised more than its share.
 */
static void
check_item_sum(const MfRequest *request)
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

static void
check_supplier_shares(const MfRequest *request)
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
