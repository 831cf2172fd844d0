/*
 * request_json.c
 *	  Validation of the jsonb fields of a SendPayment request.
 *
 * The members that may stand in each object are data: one table per object, as
 * in the vendor's reference.  A member that is not listed is refused, because
 * a misspelt one would silently do nothing.
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
#include "request/request.h"

typedef enum MemberKind
{
	MEMBER_TEXT,
	MEMBER_INTEGER,				/* above 0 */
	MEMBER_NUMBER,				/* 0 or more */
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

/* An object that is checked, and the field that it stands in */
typedef struct Place
{
	MfRequest  *request;
	MfSendPaymentField field;
	const char *name;			/* for messages */
	bool		rewritten;		/* numbers are to be stored in another form */
} Place;

static void check_object(Place *place, JsonbContainer *object, const Member *members);
static void check_member(Place *place, const Member *member, const JsonbValue *value);
static void check_member_length(const Place *place, const Member *member, int length, int limit);
static bool is_blank(const JsonbValue *text);
static const Member *find_member(const Member *members, const JsonbValue *key);
static void check_sum(const MfRequest *request);
static void check_object_field(MfRequest *request, MfSendPaymentField field, const Member *members);
static void check_array_field(MfRequest *request, MfSendPaymentField field, const Member *members);
static void rewrite_numbers(const Place *place, Jsonb *jsonb, const Member *members);
static bool is_to_be_rewritten(const Member *member, Numeric number);
static char *number_text(Numeric number);
static Numeric trimmed(Numeric number);
static bool is_plain_integer(Numeric number);
static Numeric member_number(JsonbContainer *object, const char *name);

void
mf_request_check_json(MfRequest *request, MfSendPaymentField field)
{
	switch (field)
	{
		case MF_SP_CUSTOMER_ADDRESS:
			check_object_field(request, field, address_members);
			break;
		case MF_SP_INVOICE_ITEMS:
			check_array_field(request, field, item_members);
			check_sum(request);
			break;
		case MF_SP_SHIPPING_CONSIGNEE:
			check_object_field(request, field, consignee_members);
			break;
		case MF_SP_SUPPLIERS:
			check_array_field(request, field, supplier_members);
			break;
		case MF_SP_PROCESSING_DETAILS:
			check_object_field(request, field, processing_members);
			break;
		default:
			elog(ERROR, "%s is no jsonb field", mf_send_payment_fields[field].column);
	}
}

/* The items, which have the right members, add up to invoice_value, to the last digit. */
static void
check_sum(const MfRequest *request)
{
	Jsonb	   *items;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	Datum		total;

	if (request->isnull[MF_SP_INVOICE_ITEMS] || request->isnull[MF_SP_INVOICE_VALUE])
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

/* A field that must be one object. */
static void
check_object_field(MfRequest *request, MfSendPaymentField field, const Member *members)
{
	const char *column = mf_send_payment_fields[field].column;
	Place		place = {request, field, column, false};
	Jsonb	   *jsonb;

	if (request->isnull[field])
		return;

	jsonb = DatumGetJsonbP(request->values[field]);
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must be a JSON object", column),
				 errhint("Give an object such as {\"%s\": ...}.", members[0].name)));
	check_object(&place, &jsonb->root, members);
}

/* A field that must be an array of objects. */
static void
check_array_field(MfRequest *request, MfSendPaymentField field, const Member *members)
{
	const char *column = mf_send_payment_fields[field].column;
	Place		place = {request, field, column, false};
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	int			number = 0;

	if (request->isnull[field])
		return;

	jsonb = DatumGetJsonbP(request->values[field]);
	if (JB_ROOT_IS_OBJECT(jsonb) && JB_ROOT_COUNT(jsonb) == 0)
	{
		/* what drivers make of an empty list: an array of PostgreSQL */
		request->values[field] = DirectFunctionCall1(jsonb_in, CStringGetDatum("[]"));
		return;
	}
	if (!JB_ROOT_IS_ARRAY(jsonb) || JB_ROOT_IS_SCALAR(jsonb))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must be a JSON array of objects", column),
				 errhint("Give an array such as [{\"%s\": ...}], from JavaScript by JSON.stringify().", members[0].name)));
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
		place.name = psprintf("%s[%d]", column, number);
		check_object(&place, value.val.binary.data, members);
	}
	if (place.rewritten)
		rewrite_numbers(&place, jsonb, members);
}

/* Every member is listed and of its kind; every required one is there. */
static void
check_object(Place *place, JsonbContainer *object, const Member *members)
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
			{
				StringInfoData list;
				char	   *name = pnstrdup(value.val.string.val, value.val.string.len);

				initStringInfo(&list);
				for (member = members; member->name != NULL; member++)
					appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", member->name);
				ereport(ERROR,
						(mf_err_field(place->request, place->field),
						 errmsg("unknown member \"%.60s\" in %s", name, place->name),
						 errhint("Valid members are: %s. Case matters.", list.data)));
			}
		}
		else if (token == WJB_VALUE)
			check_member(place, member, &value);
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
					(mf_err_field(place->request, place->field),
					 errmsg("member \"%s\" is missing in %s", member->name, place->name),
					 errhint("Add it to the object.")));
	}
}

/* One member's value is of its kind and within its limits; null always is. */
static void
check_member(Place *place, const Member *member, const JsonbValue *value)
{
	static const char *const wanted[] = {"a string", "a whole number above 0", "a number of 0 or more", "true or false"};
	bool		ok = false;

	if (value->type == jbvNull)
		return;

	switch (member->kind)
	{
		case MEMBER_TEXT:
			ok = value->type == jbvString;
			if (ok && value->val.string.len > MF_MEMBER_TEXT_MAX)
				check_member_length(place, member, pg_mbstrlen_with_len(value->val.string.val, value->val.string.len),
									MF_MEMBER_TEXT_MAX);
			break;
		case MEMBER_BOOLEAN:
			ok = value->type == jbvBool;
			break;
		case MEMBER_INTEGER:
		case MEMBER_NUMBER:
			if (value->type == jbvNumeric)
			{
				/* judged by value: 1.00 is 1 */
				Numeric		plain = trimmed(value->val.numeric);
				Datum		number = NumericGetDatum(plain);
				Datum		zero = DirectFunctionCall1(int4_numeric, Int32GetDatum(0));

				check_member_length(place, member, (int) strlen(number_text(plain)), MF_MEMBER_DIGITS_MAX);
				place->rewritten |= is_to_be_rewritten(member, value->val.numeric);
				ok = DatumGetBool(member->kind == MEMBER_INTEGER ?
								  DirectFunctionCall2(numeric_gt, number, zero) :
								  DirectFunctionCall2(numeric_ge, number, zero));
				if (ok && member->kind == MEMBER_INTEGER)
					ok = is_plain_integer(plain);
				if (ok && member->maximum > 0 &&
					DatumGetBool(DirectFunctionCall2(numeric_gt, number,
													 DirectFunctionCall1(int4_numeric, Int32GetDatum(member->maximum)))))
					ereport(ERROR,
							(mf_err_field(place->request, place->field),
							 errmsg("member \"%s\" in %s is too large", member->name, place->name),
							 errdetail("It is %s; the limit is %d.",
									   number_text(plain), member->maximum),
							 errhint("Weights are in kilograms, lengths in centimetres.")));
			}
			break;
	}

	if (!ok)
		ereport(ERROR,
				(mf_err_field(place->request, place->field),
				 errmsg("member \"%s\" in %s must be %s", member->name, place->name, wanted[member->kind]),
				 errhint("Correct its value.")));
}

/* Refuses a member of more than "limit" characters. */
static void
check_member_length(const Place *place, const Member *member, int length, int limit)
{
	if (length > limit)
		ereport(ERROR,
				(mf_err_field(place->request, place->field),
				 errmsg("member \"%s\" in %s is too long", member->name, place->name),
				 errdetail("It has %d characters; the limit is %d.", length, limit),
				 errhint("Shorten it.")));
}

/* Whether a string shows nothing. */
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
 * The same array of objects, checked before, with numbers as MyFatoorah reads them:
 * to it, 1.00 is no whole number.
 */
static void
rewrite_numbers(const Place *place, Jsonb *jsonb, const Member *members)
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
		else if (token == WJB_VALUE && value.type == jbvNumeric && is_to_be_rewritten(member, value.val.numeric))
			value.val.numeric = trimmed(value.val.numeric);
		result = mf_push_jsonb_value(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	place->request->values[place->field] = JsonbPGetDatum(JsonbValueToJsonb(result));
}

/* Whether a number is written in a way that would not be understood. */
static bool
is_to_be_rewritten(const Member *member, Numeric number)
{
	const char *text = number_text(number);

	return member->kind == MEMBER_INTEGER ? strchr(text, '.') != NULL : strlen(text) > MF_MEMBER_DIGITS_MAX;
}

static char *
number_text(Numeric number)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

/* Without zeros at the end of its fraction */
static Numeric
trimmed(Numeric number)
{
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number)));
}

/* Whether it is within 32 bits and has no fraction */
static bool
is_plain_integer(Numeric number)
{
	char	   *text = number_text(number);

	return strspn(text, "0123456789") == strlen(text) &&
		(strlen(text) < 10 || (strlen(text) == 10 && strcmp(text, "2147483647") <= 0));
}

/* A number that check_object() has seen to be there. */
static Numeric
member_number(JsonbContainer *object, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, (int) strlen(name), &buffer);

	Assert(found != NULL && found->type == jbvNumeric);
	return found->val.numeric;
}
