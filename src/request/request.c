/*
 * request.c
 *	  A SendPayment request as SQL values: the types of its fields, its JSON body
 *	  and its reference.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "base/settings.h"
#include "core/api/create_payment.h"
#include "core/text/text.h"
#include "database/digest.h"
#include "request/request.h"

/* Base 32 of Crockford, which has no letters that are easily confused */
static const char reference_alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
#define REFERENCE_LENGTH 20		/* characters with 5 random bits each */
#define REFERENCES_AHEAD 64		/* made by one call of the random generator, which costs more than checking a row */

static void request_texts(const MfRequest *request, const MfAccount *account, const char *reference,
						  const char **values);
static char *utc_text(TimestampTz at);
static char *field_text(const MfRequest *request, const MfAccount *account, MfSendPaymentField field);
static char *payment_methods_json(Datum array);
static const uint8 *next_random_bytes(void);
static bool leads_here(const MfRequest *request, MfSendPaymentField field);
static void set_url(MfRequest *request, MfSendPaymentField field, const char *url, bool replace);

Oid
mf_request_type(MfSendPaymentField field)
{
	static const Oid types[] = {
		[MF_TEXT] = TEXTOID,
		[MF_DECIMAL] = NUMERICOID,
		[MF_INTEGER] = INT2OID,
		[MF_JSON] = JSONBOID,
		[MF_LOCAL_TIME] = TIMESTAMPTZOID
	};

	if (field == MF_SP_INVOICE_PAYMENT_METHODS)
		return INT4ARRAYOID;
	if (field >= MF_SP_PAYMENT_METHOD_ID && field != MF_SP_RECURRING_TYPE)
		return INT4OID;
	return types[mf_send_payment_fields[field].kind];
}

char *
mf_request_body(const MfRequest *request, const MfAccount *account, const char *reference, size_t *len)
{
	const char *values[MF_SP_COUNT];
	char	   *body;

	request_texts(request, account, reference, values);
	if (mf_request_executes(request))
		values[MF_SP_NOTIFICATION_OPTION] = NULL;	/* it tells nobody */
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", reference)));
	return body;
}

char *
mf_request_v3_body(const MfRequest *request, const MfAccount *account, const char *reference, size_t *len,
				   const char **obstacle)
{
	const char *values[MF_SP_COUNT];
	MfCreatePayment payment = {values, account->currency, account->country->dial_code, NULL};
	MfSendPaymentField field;
	char	   *body;

	request_texts(request, account, reference, values);
	field = mf_create_payment_obstacle(&payment);
	if (field != MF_SP_COUNT)
	{
		if (obstacle != NULL)
			*obstacle = mf_send_payment_fields[field].column;
		return NULL;
	}
	if (!request->isnull[MF_SP_EXPIRY_DATE])
		payment.expiry = utc_text(DatumGetTimestampTz(request->values[MF_SP_EXPIRY_DATE]));
	body = mf_create_payment_body(&payment, len);
	if (body == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", reference)));
	return body;
}

char *
mf_request_key(const char *reference)
{
	const char *utf8 = mf_to_utf8(reference);
	size_t		len = strlen(utf8);
	uint8		digest[32];
	char	   *key;
	size_t		i;

	for (i = 0; i < len && utf8[i] > ' ' && utf8[i] < 0x7f; i++)
		;
	if (i == len && len <= MF_IDEMPOTENCY_KEY_MAX)
		return pstrdup(reference);
	mf_digest(utf8, len, digest);
	key = (char *) palloc(2 * sizeof(digest) + 1);
	for (i = 0; i < sizeof(digest); i++)
		sprintf(key + 2 * i, "%02x", digest[i]);
	return key;
}

/* The values of all fields in MyFatoorah's format and UTF-8, palloc'd; NULL if null. */
static void
request_texts(const MfRequest *request, const MfAccount *account, const char *reference, const char **values)
{
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (i == MF_SP_CUSTOMER_REFERENCE)
			values[i] = mf_to_utf8(reference);
		else if (request->isnull[i])
			values[i] = NULL;
		else
			values[i] = mf_to_utf8(field_text(request, account, (MfSendPaymentField) i));
	}
}

/* "YYYY-MM-DD hh:mm:ssZ", palloc'd.  A row has no time that has no such form. */
static char *
utc_text(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("expiry_date is out of range")));
	return psprintf("%04d-%02d-%02d %02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec);
}

/*
 * The local time in the account's time zone, palloc'd.  Raises an error if it has none:
 * the row may have been checked with another time zone, or not at all.
 */
static char *
expiry_date_text(const MfAccount *account, TimestampTz at)
{
	char	   *text = mf_account_local_time(account, at);

	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("expiry_date is out of range in time zone \"%s\" of account \"%s\"",
						account->time_zone, account->name),
				 errhint("Give a time before the year 10000, or leave it out for the default of the portal.")));
	return text;
}

/* One field in MyFatoorah's format, in the server encoding; palloc'd. */
static char *
field_text(const MfRequest *request, const MfAccount *account, MfSendPaymentField field)
{
	Datum		value = request->values[field];

	switch (mf_request_type(field))
	{
		case NUMERICOID:
			return DatumGetCString(DirectFunctionCall1(numeric_out, value));
		case TIMESTAMPTZOID:
			return expiry_date_text(account, DatumGetTimestampTz(value));
		case INT2OID:
			return psprintf("%d", (int) DatumGetInt16(value));
		case INT4OID:
			return psprintf("%d", DatumGetInt32(value));
		case INT4ARRAYOID:
			return payment_methods_json(value);
		case JSONBOID:
			{
				Jsonb	   *jsonb = DatumGetJsonbP(value);

				return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
			}
		default:
			return TextDatumGetCString(value);
	}
}

/* A checked array of integers as JSON; palloc'd. */
static char *
payment_methods_json(Datum array)
{
	Datum	   *elements;
	int			count;
	int			i;
	StringInfoData buf;

	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, NULL, &count);
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '[');
	for (i = 0; i < count; i++)
		appendStringInfo(&buf, "%s%d", i > 0 ? "," : "", DatumGetInt32(elements[i]));
	appendStringInfoChar(&buf, ']');
	return buf.data;
}

text *
mf_new_reference(const char *customer_reference, size_t len)
{
	const uint8 *random = next_random_bytes();
	size_t		prefix = len > 0 ? len + 1 : 0;
	text	   *reference = (text *) palloc(VARHDRSZ + prefix + REFERENCE_LENGTH);
	char	   *p = VARDATA(reference);
	int			i;

	SET_VARSIZE(reference, VARHDRSZ + prefix + REFERENCE_LENGTH);
	if (len > 0)
	{
		memcpy(p, customer_reference, len);
		p[len] = '.';
		p += prefix;
	}
	for (i = 0; i < REFERENCE_LENGTH; i++)
		p[i] = reference_alphabet[random[i] & 31];
	return reference;
}

/*
 * Returns REFERENCE_LENGTH bytes of the strong random generator that were never
 * returned before.  Bytes are generated for many references at once.  A forked
 * process does not use those that it has inherited.
 */
static const uint8 *
next_random_bytes(void)
{
	static uint8 random_bytes[REFERENCES_AHEAD * REFERENCE_LENGTH];
	static size_t used = sizeof(random_bytes);
	static int	generated_by = 0;

	if (used >= sizeof(random_bytes) || generated_by != MyProcPid)
	{
		used = sizeof(random_bytes);	/* stays so if an error is raised */
		if (!pg_strong_random(random_bytes, sizeof(random_bytes)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random reference")));
		generated_by = MyProcPid;
		used = 0;
	}
	used += REFERENCE_LENGTH;
	return &random_bytes[used - REFERENCE_LENGTH];
}

int
mf_reference_number(const char *reference, int *stem)
{
	const char *tilde = strrchr(reference, '~');

	*stem = (int) strlen(reference);
	if (tilde == NULL || tilde[1] == '\0' || strspn(tilde + 1, "0123456789") != strlen(tilde + 1))
		return 1;
	*stem = (int) (tilde - reference);
	return atoi(tilde + 1);
}

bool
mf_reference_is_made(const char *reference, int stem)
{
	int			i;

	if (stem < REFERENCE_LENGTH || (stem > REFERENCE_LENGTH && reference[stem - REFERENCE_LENGTH - 1] != '.'))
		return false;
	for (i = stem - REFERENCE_LENGTH; i < stem; i++)
	{
		if (strchr(reference_alphabet, reference[i]) == NULL)
			return false;
	}
	return true;
}

bool
mf_is_resend_of(const char *reference, const char *other)
{
	int			stem;
	int			other_stem;

	return mf_reference_number(reference, &stem) > mf_reference_number(other, &other_stem) &&
		stem == other_stem && strncmp(reference, other, stem) == 0;
}

char *
mf_next_reference(const char *reference)
{
	int			stem;
	int			number = mf_reference_number(reference, &stem);

	return psprintf("%.*s~%d", stem, reference, number + 1);
}

char *
mf_clean_text(const char *text, MfCleaning cleaning)
{
	char	   *utf8 = pstrdup(mf_to_utf8(text));

	utf8[mf_text_clean(utf8, strlen(utf8), cleaning)] = '\0';
	return mf_from_utf8(utf8);
}

bool
mf_request_keep_currency(MfRequest *request, Datum currency, const MfAccount *account)
{
	if (!request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] || strcmp(TextDatumGetCString(currency), account->currency) == 0)
		return false;
	request->values[MF_SP_DISPLAY_CURRENCY_ISO] = currency;
	request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] = false;
	return true;
}

void
mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
			 MfCallbacks callbacks)
{
	bool		come_back = leads_here(request, MF_SP_CALL_BACK_URL) || leads_here(request, MF_SP_ERROR_URL);
	char	   *name;
	char	   *url;
	int			stem;

	if (mf_public_url == NULL || mf_public_url[0] == '\0')
		return;

	name = mf_url_encode(mf_to_utf8(account->name));
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not build the request for reference \"%s\"", reference)));
	set_url(request, MF_SP_WEBHOOK_URL, psprintf("%s/webhook/%s", mf_public_url, name), false);
	free(name);

	if (callbacks == MF_CALLBACKS_OFF || (callbacks == MF_CALLBACKS_BY_ACCOUNT && !account->callbacks && !come_back))
		return;

	/* the random end of the reference, so that nobody can guess the URL of another customer */
	(void) mf_reference_number(reference, &stem);
	if (stem < MF_CALLBACK_TOKEN_LENGTH)
		return;
	url = psprintf("%s/callback/" INT64_FORMAT "-%.*s", mf_public_url, invoice, MF_CALLBACK_TOKEN_LENGTH,
				   reference + stem - MF_CALLBACK_TOKEN_LENGTH);
	set_url(request, MF_SP_CALL_BACK_URL, url, mf_route_callbacks || come_back);
	set_url(request, MF_SP_ERROR_URL, url, mf_route_callbacks || come_back);
}

/* Whether a page of the listener is to follow, such as that of a bill: then its callback comes before it. */
static bool
leads_here(const MfRequest *request, MfSendPaymentField field)
{
	size_t		length = mf_public_url ? strlen(mf_public_url) : 0;
	char	   *url;

	if (length == 0 || request->isnull[field])
		return false;
	url = TextDatumGetCString(request->values[field]);
	return strncmp(url, mf_public_url, length) == 0 && url[length] == '/';
}

/* Sets one URL, unless it is longer than MyFatoorah accepts. */
static void
set_url(MfRequest *request, MfSendPaymentField field, const char *url, bool replace)
{
	if ((!request->isnull[field] && !replace) || strlen(url) > MF_URL_MAX)
		return;
	request->values[field] = CStringGetTextDatum(url);
	request->isnull[field] = false;
}
