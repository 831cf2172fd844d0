/*
 * request_fields.c
 *	  Checks of the fields of a SendPayment request, one by one.
 *
 * Objects and arrays in jsonb are checked in request_json.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_fields.c
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "core/text/text.h"
#include "request/request_private.h"

#define ASCII_DIGITS "0123456789"

/* Hints */
#define NAME_HINT gettext_noop("Give the name that the customer sees at checkout.")
#define AMOUNT_HINT gettext_noop("Give the amount in the major unit of the currency, such as 12.500.")
#define OPTION_HINT gettext_noop("Leave it out for LNK, or give one of LNK, EML, SMS, ALL.")

/* A URL that was checked and found valid */
typedef struct GoodUrl
{
	size_t		len;
	char		text[MF_URL_MAX * MAX_MULTIBYTE_CHAR_LEN];
} GoodUrl;

static void field_check_word(MfRequest *request, MfSendPaymentField field, const char *const *words);
static void field_check_length(const MfRequest *request, MfSendPaymentField field, int limit);
static bool view_find_unseen(MfTextView text, uint32 *code);
static void field_clean(MfRequest *request, MfSendPaymentField field, MfCleaning cleaning);
static void field_set_text(MfRequest *request, MfSendPaymentField field, const char *value);
static char *field_text(const MfRequest *request, MfSendPaymentField field);
static MfTextView field_view(const MfRequest *request, MfSendPaymentField field);
static size_t count_decimals(const char *point);
static bool is_plain_address(MfTextView email);
static void refuse_url(const MfRequest *request, MfSendPaymentField field, MfUrlVerdict verdict);
static void check_invoice_value(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_email(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_mobile(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_country_code(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_user_defined_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_url(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_expiry_date(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_shipping_method(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_consignee(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_payment_methods(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_option(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_payment_method_id(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_recurring_type(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_recurring_number(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void refuse_beside_method(const MfRequest *request, MfSendPaymentField field, const char *hint);

static const char *const options[] = {"LNK", "EML", "SMS", "ALL", NULL};
static const char *const currencies[] = {"KWD", "SAR", "BHD", "AED", "QAR", "OMR", "JOD", "EGP", NULL};
static const char *const languages[] = {"EN", "AR", NULL};
static const char *const recurring_types[] = {"Custom", "Daily", "Weekly", "Monthly", NULL};

#define NOT_CLEANED false, MF_CLEAN_TEXT
#define CLEANED(kind) true, MF_CLEAN_##kind

const MfFieldCheck mf_field_checks[] = {
	{MF_SP_CUSTOMER_NAME, CLEANED(TEXT), NAME_HINT, MF_CUSTOMER_NAME_MAX, NULL, NULL, false},
	{MF_SP_DISPLAY_CURRENCY_ISO, CLEANED(CODE), NULL, 0, currencies, NULL, false},
	{MF_SP_INVOICE_VALUE, NOT_CLEANED, AMOUNT_HINT, 0, NULL, check_invoice_value, true},
	{MF_SP_NOTIFICATION_OPTION, CLEANED(CODE), OPTION_HINT, 0, options, check_option, false},
	{MF_SP_CUSTOMER_EMAIL, CLEANED(CODE), NULL, MF_EMAIL_MAX, NULL, check_email, false},
	{MF_SP_CUSTOMER_MOBILE, CLEANED(NUMBER), NULL, 0, NULL, check_mobile, false},
	{MF_SP_MOBILE_COUNTRY_CODE, CLEANED(NUMBER), NULL, 0, NULL, check_country_code, true},
	{MF_SP_LANGUAGE, CLEANED(CODE), NULL, 0, languages, NULL, false},
	{MF_SP_CUSTOMER_REFERENCE, CLEANED(TEXT), NULL, MF_CUSTOMER_REFERENCE_MAX, NULL, NULL, false},
	{MF_SP_CUSTOMER_CIVIL_ID, CLEANED(CODE), NULL, MF_TEXT_MAX, NULL, NULL, false},
	{MF_SP_SOURCE_INFO, NOT_CLEANED, NULL, MF_TEXT_MAX, NULL, NULL, false},
	{MF_SP_USER_DEFINED_FIELD, NOT_CLEANED, NULL, MF_TEXT_MAX, NULL, check_user_defined_field, false},
	{MF_SP_CALL_BACK_URL, CLEANED(TEXT), NULL, MF_URL_MAX, NULL, check_url, false},
	{MF_SP_ERROR_URL, CLEANED(TEXT), NULL, MF_URL_MAX, NULL, check_url, false},
	{MF_SP_WEBHOOK_URL, CLEANED(TEXT), NULL, MF_URL_MAX, NULL, check_url, false},
	{MF_SP_EXPIRY_DATE, NOT_CLEANED, NULL, 0, NULL, check_expiry_date, true},
	{MF_SP_SHIPPING_METHOD, NOT_CLEANED, NULL, 0, NULL, check_shipping_method, false},
	{MF_SP_INVOICE_PAYMENT_METHODS, NOT_CLEANED, NULL, 0, NULL, check_payment_methods, false},
	{MF_SP_INVOICE_ITEMS, NOT_CLEANED, NULL, 0, NULL, mf_check_json_field, false},
	{MF_SP_CUSTOMER_ADDRESS, NOT_CLEANED, NULL, 0, NULL, mf_check_json_field, false},
	{MF_SP_SHIPPING_CONSIGNEE, NOT_CLEANED, NULL, 0, NULL, check_consignee, false},
	{MF_SP_PROCESSING_DETAILS, NOT_CLEANED, NULL, 0, NULL, mf_check_json_field, false},
	{MF_SP_SUPPLIERS, NOT_CLEANED, NULL, 0, NULL, mf_check_json_field, false},
	{MF_SP_PAYMENT_METHOD_ID, NOT_CLEANED, NULL, 0, NULL, check_payment_method_id, false},
	{MF_SP_RECURRING_TYPE, CLEANED(CODE), NULL, 0, recurring_types, check_recurring_type, false},
	{MF_SP_INTERVAL_DAYS, NOT_CLEANED, NULL, 0, NULL, check_recurring_number, false},
	{MF_SP_ITERATION, NOT_CLEANED, NULL, 0, NULL, check_recurring_number, false},
	{MF_SP_RETRY_COUNT, NOT_CLEANED, NULL, 0, NULL, check_recurring_number, false},
	{MF_SP_COUNT, NOT_CLEANED, NULL, 0, NULL, NULL, false}
};

void
mf_check_field(const MfFieldCheck *check, MfRequest *request, const MfAccount *account)
{
	MfSendPaymentField field = check->field;

	if (check->cleaned)
		field_clean(request, field, check->cleaning);
	if (check->required != NULL && request->isnull[field])
		ereport(ERROR,
				(mf_err_field(request, field),
				 mf_request_type(field) == TEXTOID ? errmsg("%s must not be empty", mf_field_name(field)) :
				 errmsg("%s must not be null", mf_field_name(field)),
				 errhint("%s", dgettext(TEXTDOMAIN, check->required))));
	if (check->max_length > 0)
		field_check_length(request, field, check->max_length);
	if (check->words != NULL)
		field_check_word(request, field, check->words);
	if (check->check != NULL)
		check->check(request, field, account);
}

/* Whether notification_option is "option", or ALL. */
static bool
is_notified_by(const MfRequest *request, const char *option)
{
	MfTextView	text = field_view(request, MF_SP_NOTIFICATION_OPTION);

	/* the option may be invalid, if errors are collected */
	return text.len == 3 && (memcmp(text.data, option, 3) == 0 || memcmp(text.data, "ALL", 3) == 0);
}

/*
 * Above zero, finite, and with no more decimals than its currency has, which is
 * display_currency_iso or else the account's.
 */
static void
check_invoice_value(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	const char *currency = request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] ? account->currency :
		field_text(request, MF_SP_DISPLAY_CURRENCY_ISO);
	int			allowed = mf_currency_decimals(currency);
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, request->values[field]));
	const char *point = strchr(text, '.');
	size_t		digits = strcspn(text, ".");

	if (strpbrk(text, ASCII_DIGITS) == NULL)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_value must be a finite number"),
				 errdetail("It is %.40s.", text),
				 errhint(AMOUNT_HINT)));
	if (!isdigit((unsigned char) text[0]) || strspn(text, "0.") == strlen(text))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_value must be greater than zero"),
				 errdetail("It is %.40s.", text),
				 errhint(AMOUNT_HINT)));
	if (count_decimals(point) > (size_t) allowed)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_value has more than %d decimals", allowed),
				 errdetail("It is %.40s, in %s; MyFatoorah would round it.", text, currency),
				 errhint("Round it yourself, for example with round(value, %d).", allowed)));
	if (digits > MF_VALUE_DIGITS_MAX)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_value is too large"),
				 errdetail("It has %zu digits before the decimal point; the limit is %d.", digits, MF_VALUE_DIGITS_MAX),
				 errhint(AMOUNT_HINT)));

	/* trailing zeros are kept, but not beyond the decimals of any currency */
	if (point != NULL && strlen(point + 1) > MF_VALUE_SCALE_MAX)
		request->values[field] = DirectFunctionCall2(numeric_round, request->values[field],
													 Int32GetDatum(MF_VALUE_SCALE_MAX));
}

/* Digits after the decimal point, without trailing zeros; "point" is NULL if there is none. */
static size_t
count_decimals(const char *point)
{
	size_t		count = point != NULL ? strlen(point + 1) : 0;

	while (count > 0 && point[count] == '0')
		count--;
	return count;
}

static void
check_email(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	MfTextView	email = field_view(request, field);

	if (email.data == NULL)
	{
		if (is_notified_by(request, "EML"))
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("customer_email is missing"),
					 errdetail("The notification_option EML or ALL sends an e-mail."),
					 errhint("Set customer_email, or use the notification_option LNK or SMS.")));
		return;
	}
	if (!is_plain_address(email))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid customer_email: \"%s\"", field_text(request, field)),
				 errhint("Give one plain address, such as name@example.com.")));
}

/* Whether there is something on both sides of a single "@", and no character that cannot stand in an address. */
static bool
is_plain_address(MfTextView email)
{
	const char *end = email.data + email.len;
	const char *at = NULL;
	const char *p;
	uint32		unseen;

	for (p = email.data; p < end; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f || strchr(",;<>()\"", *p) != NULL)
			return false;
		if (*p == '@')
		{
			if (at != NULL)
				return false;
			at = p;
		}
	}
	return at != NULL && at > email.data && at < end - 1 && !view_find_unseen(email, &unseen);
}

/*
 * MyFatoorah takes ^(?:(\+)|(00)|(\*)|())[0-9]{3,14}((\#)|())$ and at most 11
 * characters.  Cleaning has left ASCII digits, and no blanks, dashes or direction
 * marks, which people paste with a number.
 */
static void
check_mobile(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	char	   *mobile = field_text(request, field);
	char	   *digits;
	size_t		count;

	if (mobile == NULL)
	{
		if (is_notified_by(request, "SMS"))
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("customer_mobile is missing"),
					 errdetail("The notification_option SMS or ALL sends a text message."),
					 errhint("Set customer_mobile, or use the notification_option LNK or EML.")));
		return;
	}

	if (strlen(mobile) > MF_MOBILE_MAX)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("customer_mobile is too long: \"%.40s\"", mobile),
				 errdetail("The limit is %d characters.", MF_MOBILE_MAX),
				 errhint("Give the national number, and the country's dial code in mobile_country_code.")));

	digits = mobile;
	if (digits[0] == '+' || digits[0] == '*')
		digits++;
	count = strspn(digits, ASCII_DIGITS);
	if (count < 3 || (digits[count] == '#' ? digits[count + 1] : digits[count]) != '\0')
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid customer_mobile: \"%.40s\"", mobile),
				 errhint("Give the national number, digits only, such as 99999999.")));
}

/* One to four digits.  If a text message is sent, null becomes the code of the account's country. */
static void
check_country_code(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	char	   *code = field_text(request, field);
	char	   *digits;
	size_t		count;

	if (code == NULL)
	{
		if (is_notified_by(request, "SMS"))
			field_set_text(request, field, psprintf("+%s", account->country->dial_code));
		return;
	}

	digits = code;
	if (digits[0] == '+')
		digits++;
	else if (strncmp(digits, "00", 2) == 0)
		digits += 2;
	count = strspn(digits, ASCII_DIGITS);
	if (count < 1 || count > 4 || digits[count] != '\0')
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid mobile_country_code: \"%.40s\"", code),
				 errhint("Give the country's dial code, such as +%s.", account->country->dial_code)));
}

/* CK- begins the name of a saved card, for which MyFatoorah has another limit. */
static void
check_user_defined_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	MfTextView	text = field_view(request, field);

	if (text.len >= 3 && memcmp(text.data, "CK-", 3) == 0)
		field_check_length(request, field, MF_CARD_FIELD_MAX);
}

/*
 * An http or https URL that every program takes for the same address, and that is
 * not on the reader's own machine.  The URL of the row before is not checked again,
 * because consecutive rows mostly have the same.
 */
static void
check_url(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	static GoodUrl good_urls[MF_SP_WEBHOOK_URL - MF_SP_CALL_BACK_URL + 1];
	GoodUrl    *good = &good_urls[field - MF_SP_CALL_BACK_URL];
	MfTextView	url = field_view(request, field);
	MfUrlVerdict verdict;
	uint32		unseen;

	if (url.data == NULL || (url.len == good->len && memcmp(url.data, good->text, url.len) == 0))
		return;
	if (view_find_unseen(url, &unseen))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must not contain blanks or invisible characters", mf_field_name(field)),
				 errdetail("It contains U+%04X.", unseen),
				 errhint("Type it again, or write the character as %%XX.")));
	verdict = mf_url_check(mf_to_utf8(field_text(request, field)));
	if (verdict != MF_URL_GOOD)
		refuse_url(request, field, verdict);
	Assert(url.len <= sizeof(good->text));
	memcpy(good->text, url.data, url.len);
	good->len = url.len;
}

static void
refuse_url(const MfRequest *request, MfSendPaymentField field, MfUrlVerdict verdict)
{
	const char *name = mf_field_name(field);

	switch (verdict)
	{
		case MF_URL_GOOD:
			break;
		case MF_URL_NO_WEB:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must be an http or https URL", name),
					 errhint("Give a URL such as https://www.example.com/paid.")));
			break;
		case MF_URL_AMBIGUOUS:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must not contain a backslash, nor a user name before its host", name),
					 errdetail("Not all programs agree where such a URL leads."),
					 errhint("Give a URL such as https://www.example.com/paid.")));
			break;
		case MF_URL_LOCAL:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must not point to localhost", name),
					 errhint("Give a URL that the customer's browser can reach.")));
			break;
	}
}

/* It can be sent.  That it is later than send_at is a constraint of the table. */
static void
check_expiry_date(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	if (!request->isnull[field] &&
		mf_account_local_time(account, DatumGetTimestampTz(request->values[field])) == NULL)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("expiry_date is out of range"),
				 errhint("Give a time before the year 10000, or leave it out for the default of the portal.")));
}

static void
check_shipping_method(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	int			method = request->isnull[field] ? 1 : DatumGetInt16(request->values[field]);

	if (method != 1 && method != 2)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid value for shipping_method: %d", method),
				 errhint("Valid values are: 1 (DHL), 2 (Aramex).")));
}

static void
check_consignee(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	if (!request->isnull[MF_SP_SHIPPING_METHOD] && request->isnull[field])
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("shipping_consignee is missing"),
				 errdetail("A shipping_method needs someone to ship to."),
				 errhint("Set shipping_consignee, or leave out shipping_method.")));
	mf_check_json_field(request, field, account);
}

/* A one-dimensional array of positive ids. */
static void
check_payment_methods(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	ArrayType  *array;
	Datum	   *elements = NULL;
	int			count = 0;
	int			i;
	bool		ok;

	if (request->isnull[field])
		return;
	if (mf_request_executes(request))
		refuse_beside_method(request, field, gettext_noop("Leave it out, or leave out payment_method_id."));

	array = DatumGetArrayTypeP(request->values[field]);
	ok = ARR_NDIM(array) == 1 && !array_contains_nulls(array);
	if (ok)
		deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, NULL, &count);
	if (count > MF_METHODS_MAX)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_payment_methods has too many entries"),
				 errdetail("It has %d entries; the limit is %d.", count, MF_METHODS_MAX),
				 errhint("Give each id once, or leave it out for all.")));
	for (i = 0; i < count; i++)
		ok = ok && DatumGetInt32(elements[i]) > 0;
	if (!ok)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invoice_payment_methods must be a list of payment method ids"),
				 errhint("Give ids from InitiatePayment, such as '{1,2}', or leave it out for all.")));
}

/*
 * The text of a field: in place, or palloc'd, NULL if null.  Every row is checked, and
 * most values need no change, so checks read them in place.
 */
static MfTextView
field_view(const MfRequest *request, MfSendPaymentField field)
{
	MfTextView	view = {NULL, 0};

	if (!request->isnull[field])
	{
		text	   *value = DatumGetTextPP(request->values[field]);

		view.data = VARDATA_ANY(value);
		view.len = VARSIZE_ANY_EXHDR(value);
	}
	return view;
}

static char *
field_text(const MfRequest *request, MfSendPaymentField field)
{
	if (request->isnull[field])
		return NULL;
	return TextDatumGetCString(request->values[field]);
}

/* Replaces the text of a field; NULL makes it null. */
static void
field_set_text(MfRequest *request, MfSendPaymentField field, const char *value)
{
	request->isnull[field] = value == NULL;
	request->values[field] = value ? CStringGetTextDatum(value) : (Datum) 0;
}

/* Cleans the text of a field.  A text without any visible character becomes null. */
static void
field_clean(MfRequest *request, MfSendPaymentField field, MfCleaning cleaning)
{
	MfTextView	text = field_view(request, field);
	size_t		plain = 0;

	if (text.data == NULL)
		return;

	/* printable ASCII needs no cleaning, except in numbers */
	while (plain < text.len && text.data[plain] > ' ' && (unsigned char) text.data[plain] < 0x7f)
		plain++;
	if (text.len == 0 || plain < text.len || cleaning == MF_CLEAN_NUMBER)
	{
		char	   *before = field_text(request, field);
		char	   *after = mf_clean_text(before, cleaning);

		if (strcmp(before, after) != 0 || after[0] == '\0')
			field_set_text(request, field, after[0] != '\0' ? after : NULL);
	}
}

/* Whether a text has a blank or an invisible character; the first one is stored in *code. */
static bool
view_find_unseen(MfTextView text, uint32 *code)
{
	const char *utf8 = pg_server_to_any(text.data, (int) text.len, PG_UTF8);

	return mf_text_find_unseen(utf8, utf8 == text.data ? text.len : strlen(utf8), code);
}

/* Refuses a text of more than "limit" characters. */
static void
field_check_length(const MfRequest *request, MfSendPaymentField field, int limit)
{
	MfTextView	text = field_view(request, field);
	int			length;

	/* no character has less than a byte */
	if (text.len <= (size_t) limit)
		return;
	length = pg_mbstrlen_with_len(text.data, (int) text.len);
	if (length > limit)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s is too long", mf_field_name(field)),
				 errdetail("It has %d characters; the limit is %d.", length, limit),
				 errhint("Shorten it.")));
}

/* Refuses any other text than those words, which are ended by NULL; stores them as they are written there. */
static void
field_check_word(MfRequest *request, MfSendPaymentField field, const char *const *words)
{
	MfTextView	text = field_view(request, field);
	StringInfoData list;
	int			i;

	if (text.data == NULL)
		return;
	for (i = 0; words[i] != NULL; i++)
	{
		if (text.len != strlen(words[i]) || pg_strncasecmp(text.data, words[i], text.len) != 0)
			continue;
		if (memcmp(text.data, words[i], text.len) != 0)
			field_set_text(request, field, words[i]);
		return;
	}

	initStringInfo(&list);
	for (i = 0; words[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", words[i]);
	ereport(ERROR,
			(mf_err_field(request, field),
			 errmsg("invalid value for %s: \"%.40s\"", mf_field_name(field), field_text(request, field)),
			 errhint("Valid values are: %s.", list.data)));
}

/* ExecutePayment has no NotificationOption: it only answers with the link. */
static void
check_option(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	if (mf_request_executes(request) && strcmp(field_text(request, field), "LNK") != 0)
		refuse_beside_method(request, field, gettext_noop("Leave it out, and pass the link on yourself; or leave out payment_method_id."));
}

static void
refuse_beside_method(const MfRequest *request, MfSendPaymentField field, const char *hint)
{
	ereport(ERROR,
			(mf_err_field(request, field),
			 errmsg("%s cannot be given with payment_method_id", mf_field_name(field)),
			 errdetail("An invoice with payment_method_id is made by ExecutePayment, which does not have it."),
			 errhint("%s", dgettext(TEXTDOMAIN, hint))));
}

static void
check_payment_method_id(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	if (!request->isnull[field] && DatumGetInt32(request->values[field]) <= 0)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid value for payment_method_id: %d", DatumGetInt32(request->values[field])),
				 errhint("SELECT * FROM mf_payment_methods(10) lists the methods of the account.")));
}

/* MyFatoorah saves no card in a session that begins a recurring payment. */
static void
check_recurring_type(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	MfTextView	card = field_view(request, MF_SP_USER_DEFINED_FIELD);

	if (request->isnull[field])
		return;
	if (!mf_request_executes(request))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s needs payment_method_id", mf_field_name(field)),
				 errdetail("Only ExecutePayment begins a recurring payment."),
				 errhint("Give the id of a method of cards; SELECT * FROM mf_payment_methods(10) lists them.")));
	if (card.len >= 3 && memcmp(card.data, "CK-", 3) == 0)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s cannot be given with a user_defined_field that begins with CK-", mf_field_name(field)),
				 errdetail("MyFatoorah saves no card in a payment that begins a recurring one."),
				 errhint("Leave out one of the two.")));
}

/*
 * Interval, number and retries of a recurring payment.  The number has to be given: left out
 * it might mean one without end.
 */
static void
check_recurring_number(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	static const struct
	{
		int			minimum;
		int			maximum;
	}			limits[MF_SP_COUNT] = {
		[MF_SP_INTERVAL_DAYS] = {1, MF_INTERVAL_DAYS_MAX},
		[MF_SP_ITERATION] = {0, PG_INT32_MAX},
		[MF_SP_RETRY_COUNT] = {0, MF_RETRY_COUNT_MAX}
	};
	const char *name = mf_field_name(field);
	bool		recurring = !request->isnull[MF_SP_RECURRING_TYPE];
	bool		custom = recurring && strcmp(field_text(request, MF_SP_RECURRING_TYPE), recurring_types[0]) == 0;
	bool		required = field == MF_SP_INTERVAL_DAYS ? custom : field == MF_SP_ITERATION && recurring;
	int			value;

	if (request->isnull[field])
	{
		if (required)
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s is missing", name),
					 field == MF_SP_ITERATION ? errhint("Give the number of repetitions; 0 goes on until the plan is cancelled.") :
					 errhint("Give the number of days from one payment to the next.")));
		return;
	}
	if (!recurring)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s needs recurring_type", name),
				 errhint("Give a recurring_type: Custom, Daily, Weekly, Monthly.")));
	if (field == MF_SP_INTERVAL_DAYS && !custom)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s can be given with the recurring_type Custom only", name),
				 errhint("Leave it out.")));
	value = DatumGetInt32(request->values[field]);
	if (value < limits[field].minimum || value > limits[field].maximum)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("invalid value for %s: %d", name, value),
				 errhint("Give a number from %d to %d.", limits[field].minimum, limits[field].maximum)));
}
