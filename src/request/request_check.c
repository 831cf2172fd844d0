/*
 * request_check.c
 *	  Validation of a SendPayment request, before anything is stored or sent.
 *
 * What MyFatoorah would refuse is refused here, with its field's name and the
 * way out; what it would take is taken.  Looks into jsonb values are in
 * request_json.c.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_check.c
 */
#include "postgres.h"

#include <ctype.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "account/account_option.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "core/text/url.h"
#include "request/request.h"

/* A text field in place, without a zero at its end; "data" is NULL if it is null. */
typedef struct TextView
{
	const char *data;
	size_t		len;
} TextView;

typedef struct FieldCheck
{
	MfSendPaymentField field;
	void		(*check) (MfRequest *request, MfSendPaymentField field, const MfAccount *account);
	bool		needs_account;
} FieldCheck;

/* The checks of one request, and the one that is being made */
typedef struct Run
{
	FieldCheck	check;
	MfRequest  *request;
	const MfAccount *account;
	MfFieldErrors *complaints;
} Run;

static void make_check(Run *run);
static void call_check(void *argument);
static TextView view_text(const MfRequest *request, MfSendPaymentField field);
static char *get_text(const MfRequest *request, MfSendPaymentField field);
static void set_text(MfRequest *request, MfSendPaymentField field, const char *value);
static const char *column(MfSendPaymentField field);
static int	err_column(const MfRequest *request, MfSendPaymentField field);
static void clean_field(MfRequest *request, MfSendPaymentField field, MfCleaning cleaning);
static bool find_unseen(TextView text, uint32 *code);
static bool is_longer(TextView text, int limit);
static void check_length(const MfRequest *request, MfSendPaymentField field, int limit);
static bool is_notified_by(const MfRequest *request, const char *kind);
static size_t stored_size(const MfRequest *request, MfSendPaymentField field);
static MfSendPaymentField largest_field(const MfRequest *request);
static void name_field(void *argument);
static void check_size(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_word(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_customer_name(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_invoice_value(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_option(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_email(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_mobile(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_country_code(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_customer_reference(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_civil_id(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_source_info(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_user_defined_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_url(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_expiry_date(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_shipping_method(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_consignee(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_payment_methods(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_json(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_encoding(MfRequest *request, MfSendPaymentField field, const MfAccount *account);
static void check_body(MfRequest *request, MfSendPaymentField field, const MfAccount *account);

/* In this order: what is checked of a field may rest on those before it */
static const FieldCheck checks[] = {
	{MF_SP_CUSTOMER_NAME, check_customer_name, false},
	{MF_SP_DISPLAY_CURRENCY_ISO, check_word, false},
	{MF_SP_INVOICE_VALUE, check_invoice_value, true},
	{MF_SP_NOTIFICATION_OPTION, check_option, false},
	{MF_SP_CUSTOMER_EMAIL, check_email, false},
	{MF_SP_CUSTOMER_MOBILE, check_mobile, false},
	{MF_SP_MOBILE_COUNTRY_CODE, check_country_code, true},
	{MF_SP_LANGUAGE, check_word, false},
	{MF_SP_CUSTOMER_REFERENCE, check_customer_reference, false},
	{MF_SP_CUSTOMER_CIVIL_ID, check_civil_id, false},
	{MF_SP_SOURCE_INFO, check_source_info, false},
	{MF_SP_USER_DEFINED_FIELD, check_user_defined_field, false},
	{MF_SP_CALL_BACK_URL, check_url, false},
	{MF_SP_ERROR_URL, check_url, false},
	{MF_SP_WEBHOOK_URL, check_url, false},
	{MF_SP_EXPIRY_DATE, check_expiry_date, true},
	{MF_SP_SHIPPING_METHOD, check_shipping_method, false},
	{MF_SP_SHIPPING_CONSIGNEE, check_consignee, false},
	{MF_SP_INVOICE_PAYMENT_METHODS, check_payment_methods, false},
	{MF_SP_INVOICE_ITEMS, check_json, false},
	{MF_SP_CUSTOMER_ADDRESS, check_json, false},
	{MF_SP_SHIPPING_CONSIGNEE, check_json, false},
	{MF_SP_PROCESSING_DETAILS, check_json, false},
	{MF_SP_SUPPLIERS, check_json, false}
};

void
mf_request_check(MfRequest *request, const MfAccount *account, MfFieldErrors *complaints)
{
	Run			run = {{MF_SP_CUSTOMER_NAME, check_size, false}, request, account, complaints};
	ErrorContextCallback context;
	size_t		i;

	context.callback = name_field;
	context.arg = &run;
	context.previous = error_context_stack;
	error_context_stack = &context;
	for (i = 0; i < MF_SP_COUNT; i++)
	{
		run.check.field = (MfSendPaymentField) i;
		make_check(&run);
	}
	for (i = 0; i < lengthof(checks); i++)
	{
		run.check = checks[i];
		make_check(&run);
	}
	run.check.check = check_encoding;
	for (i = 0; i < MF_SP_COUNT && GetDatabaseEncoding() != PG_UTF8; i++)
	{
		run.check.field = (MfSendPaymentField) i;
		make_check(&run);
	}
	run.check.check = check_body;
	if (complaints == NULL || (account != NULL && complaints->count == 0))
		make_check(&run);
	error_context_stack = context.previous;
}

/* Makes one check, or, of a field that is complained of already, none. */
static void
make_check(Run *run)
{
	const char *name = column(run->check.field);

	if (run->complaints == NULL)
		call_check(run);
	else if ((run->account != NULL || !run->check.needs_account) && !mf_has_field_error(run->complaints, name))
		mf_collect_field_errors(run->complaints, name, call_check, run);
}

static void
call_check(void *argument)
{
	const Run  *run = (const Run *) argument;

	run->check.check(run->request, run->check.field, run->account);
}

/* Says which field an error of the server is about, such as of a text that has no UTF-8 form; ours say it themselves. */
static void
name_field(void *argument)
{
	const Run  *run = (const Run *) argument;

	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_DATA_EXCEPTION && geterrcode() != ERRCODE_INVALID_PARAMETER_VALUE)
		err_column(run->request, run->check.field);
}

/* Bytes of a field, decompressed; 0 for those that are always small. */
static size_t
stored_size(const MfRequest *request, MfSendPaymentField field)
{
	Oid			type = mf_request_type(field);

	if (request->isnull[field] || type == TIMESTAMPTZOID || type == INT2OID)
		return 0;
	return toast_raw_datum_size(request->values[field]) - VARHDRSZ;
}

/*
 * What is far too large is refused before it is looked into: a text of 100 MB may
 * take 1 MB on disk, and takes several times its size in memory.
 */
static void
check_size(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	size_t		size = stored_size(request, field);
	size_t		limit = mf_request_type(field) == JSONBOID ? MF_JSONB_MAX : MF_BODY_MAX;

	if (size > limit)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s is too large", column(field)),
				 errdetail("It takes %zu bytes; the limit is %zu.", size, limit),
				 errhint("Shorten it.")));
}

static MfSendPaymentField
largest_field(const MfRequest *request)
{
	MfSendPaymentField largest = MF_SP_CUSTOMER_NAME;
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (stored_size(request, (MfSendPaymentField) i) > stored_size(request, largest))
			largest = (MfSendPaymentField) i;
	}
	return largest;
}

/*
 * The whole request is not too large, either.  It is built here only if it may be:
 * no byte of what is stored becomes more than eight.
 */
static void
check_body(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	MfSendPaymentField largest;
	size_t		sum = 0;
	size_t		len;
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
		sum += stored_size(request, (MfSendPaymentField) i);
	if (sum < MF_BODY_MAX / 8)
		return;
	free(mf_request_body(request, account, "", &len));
	largest = largest_field(request);
	if (len > MF_BODY_MAX)
		ereport(ERROR,
				(mf_err_field(request, largest),
				 errmsg("the invoice is too large to be sent"),
				 errdetail("Its request would have %zu bytes; the limit is %d. The largest part is %s.",
						   len, MF_BODY_MAX, column(largest)),
				 errhint("Shorten %s, or make several invoices of it.", column(largest))));
}

int
mf_err_field(const MfRequest *request, MfSendPaymentField field)
{
	errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	return err_column(request, field);
}

static int
err_column(const MfRequest *request, MfSendPaymentField field)
{
	if (request->table != NULL)
		return errtablecolname(request->table, column(field));
	return err_generic_string(PG_DIAG_COLUMN_NAME, column(field));
}

/* Name of the column, which is also the name of the argument. */
static const char *
column(MfSendPaymentField field)
{
	return mf_send_payment_fields[field].column;
}

/* A text field where it lies: checks are made of every row, and most fields are as they should be. */
static TextView
view_text(const MfRequest *request, MfSendPaymentField field)
{
	TextView	view = {NULL, 0};

	if (!request->isnull[field])
	{
		text	   *value = DatumGetTextPP(request->values[field]);

		view.data = VARDATA_ANY(value);
		view.len = VARSIZE_ANY_EXHDR(value);
	}
	return view;
}

/* A text field, palloc'd; NULL if null. */
static char *
get_text(const MfRequest *request, MfSendPaymentField field)
{
	if (request->isnull[field])
		return NULL;
	return TextDatumGetCString(request->values[field]);
}

/* Replaces a text field; NULL makes it null. */
static void
set_text(MfRequest *request, MfSendPaymentField field, const char *value)
{
	request->isnull[field] = value == NULL;
	request->values[field] = value ? CStringGetTextDatum(value) : (Datum) 0;
}

/* Cleans a text field; one of which nothing can be seen becomes null. */
static void
clean_field(MfRequest *request, MfSendPaymentField field, MfCleaning cleaning)
{
	TextView	text = view_text(request, field);
	size_t		plain = 0;

	if (text.data == NULL)
		return;

	/* most have nothing to be cleaned */
	while (plain < text.len && text.data[plain] > ' ' && (unsigned char) text.data[plain] < 0x7f)
		plain++;
	if (text.len == 0 || plain < text.len || cleaning == MF_CLEAN_NUMBER)
	{
		char	   *before = get_text(request, field);
		char	   *after = mf_clean_text(before, cleaning);

		if (strcmp(before, after) != 0 || after[0] == '\0')
			set_text(request, field, after[0] != '\0' ? after : NULL);
	}
}

/* Whether a text has a blank or mark that nobody sees, and which. */
static bool
find_unseen(TextView text, uint32 *code)
{
	const char *utf8 = pg_server_to_any(text.data, (int) text.len, PG_UTF8);

	return mf_text_find_unseen(utf8, utf8 == text.data ? text.len : strlen(utf8), code);
}

/* Whether it has more than "limit" characters, none of which is less than a byte. */
static bool
is_longer(TextView text, int limit)
{
	return text.len > (size_t) limit && pg_mbstrlen_with_len(text.data, (int) text.len) > limit;
}

/* Refuses a text field of more than "limit" characters. */
static void
check_length(const MfRequest *request, MfSendPaymentField field, int limit)
{
	TextView	text = view_text(request, field);

	if (is_longer(text, limit))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s is too long", column(field)),
				 errdetail("It has %d characters; the limit is %d.",
						   pg_mbstrlen_with_len(text.data, (int) text.len), limit),
				 errhint("Shorten it.")));
}

/* Refuses a word that the field does not have; stores it in upper case. */
static void
check_word(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	static const char *const options[] = {"LNK", "EML", "SMS", "ALL", NULL};
	static const char *const currencies[] = {"KWD", "SAR", "BHD", "AED", "QAR", "OMR", "JOD", "EGP", NULL};
	static const char *const languages[] = {"EN", "AR", NULL};
	const char *const *words = field == MF_SP_NOTIFICATION_OPTION ? options :
		field == MF_SP_LANGUAGE ? languages : currencies;
	TextView	text;
	StringInfoData list;
	int			i;

	clean_field(request, field, MF_CLEAN_CODE);
	text = view_text(request, field);
	if (text.data == NULL)
		return;

	/* most are spelt as they should be */
	for (i = 0; words[i] != NULL; i++)
	{
		if (text.len == strlen(words[i]) && memcmp(text.data, words[i], text.len) == 0)
			return;
	}
	for (i = 0; words[i] != NULL; i++)
	{
		if (text.len == strlen(words[i]) && pg_strncasecmp(text.data, words[i], text.len) == 0)
		{
			set_text(request, field, words[i]);
			return;
		}
	}

	initStringInfo(&list);
	for (i = 0; words[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", words[i]);
	ereport(ERROR,
			(mf_err_field(request, field),
			 errmsg("invalid value for %s: \"%.40s\"", column(field), get_text(request, field)),
			 errhint("Valid values are: %s.", list.data)));
}

static void
check_customer_name(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	clean_field(request, field, MF_CLEAN_TEXT);
	if (request->isnull[field])
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("customer_name must not be empty"),
				 errhint("Give the name that the customer sees at checkout.")));
	check_length(request, field, MF_CUSTOMER_NAME_MAX);
}

static void
check_customer_reference(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	clean_field(request, field, MF_CLEAN_TEXT);
	check_length(request, field, MF_CUSTOMER_REFERENCE_MAX);
}

static void
check_civil_id(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	clean_field(request, field, MF_CLEAN_CODE);
	check_length(request, field, MF_TEXT_MAX);
}

static void
check_source_info(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	check_length(request, field, MF_TEXT_MAX);
}

static void
check_json(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	mf_request_check_json(request, field);
}

static void
check_option(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	clean_field(request, field, MF_CLEAN_CODE);
	if (request->isnull[field])
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("notification_option must not be null"),
				 errhint("Leave it out for LNK, or give one of LNK, EML, SMS, ALL.")));
	check_word(request, field, account);
}

/* Whether a message of that kind, or of all, is wanted; of an option that is none, it is not. */
static bool
is_notified_by(const MfRequest *request, const char *kind)
{
	TextView	option = view_text(request, MF_SP_NOTIFICATION_OPTION);

	return option.len == 3 && (memcmp(option.data, kind, 3) == 0 || memcmp(option.data, "ALL", 3) == 0);
}

/*
 * Above 0, finite, no more decimals than its currency has: the one that it is
 * shown in, else the account's.  Trailing zeros of the scale are kept.
 */
static void
check_invoice_value(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	const char *currency = request->isnull[MF_SP_DISPLAY_CURRENCY_ISO] ? account->currency :
		get_text(request, MF_SP_DISPLAY_CURRENCY_ISO);
	int			allowed = mf_currency_decimals(currency);
	char	   *text;
	const char *point;
	size_t		digits;
	size_t		decimals = 0;

	if (request->isnull[MF_SP_INVOICE_VALUE])
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_VALUE),
				 errmsg("invoice_value must not be null"),
				 errhint("Give the amount in the major unit of the currency, such as 12.500.")));

	text = DatumGetCString(DirectFunctionCall1(numeric_out, request->values[MF_SP_INVOICE_VALUE]));
	if (strpbrk(text, "0123456789") == NULL)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_VALUE),
				 errmsg("invoice_value must be a finite number"),
				 errdetail("It is %.40s.", text),
				 errhint("Give the amount in the major unit of the currency, such as 12.500.")));
	if (!isdigit((unsigned char) text[0]) || strspn(text, "0.") == strlen(text))
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_VALUE),
				 errmsg("invoice_value must be more than 0"),
				 errdetail("It is %.40s.", text),
				 errhint("Give the amount in the major unit of the currency, such as 12.500.")));

	point = strchr(text, '.');
	digits = point ? (size_t) (point - text) : strlen(text);
	if (point != NULL)
	{
		const char *end = text + strlen(text);

		while (end > point + 1 && end[-1] == '0')
			end--;
		decimals = end - point - 1;
	}

	if (decimals > (size_t) allowed)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_VALUE),
				 errmsg("invoice_value has more than %d decimals", allowed),
				 errdetail("It is %.40s, in %s; MyFatoorah would round it.", text, currency),
				 errhint("Round it yourself, for example with round(value, %d).", allowed)));
	if (digits > MF_VALUE_DIGITS_MAX)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_VALUE),
				 errmsg("invoice_value is too large"),
				 errdetail("It has %zu digits before the decimal point; the limit is %d.",
						   digits, MF_VALUE_DIGITS_MAX),
				 errhint("Give the amount in the major unit of the currency, such as 12.500.")));

	/* more zeros than decimals that count would only confuse the reader */
	if (point != NULL && strlen(point + 1) > MF_VALUE_SCALE_MAX)
		request->values[MF_SP_INVOICE_VALUE] =
			DirectFunctionCall2(numeric_round, request->values[MF_SP_INVOICE_VALUE],
								Int32GetDatum(MF_VALUE_SCALE_MAX));
}

/* Something before and after one "@", nothing that cannot stand in an address. */
static void
check_email(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	TextView	email;
	const char *at = NULL;
	const char *p;
	const char *end;
	uint32		unseen;
	bool		ok;

	clean_field(request, MF_SP_CUSTOMER_EMAIL, MF_CLEAN_CODE);
	email = view_text(request, MF_SP_CUSTOMER_EMAIL);
	if (email.data == NULL)
	{
		if (is_notified_by(request, "EML"))
			ereport(ERROR,
					(mf_err_field(request, MF_SP_CUSTOMER_EMAIL),
					 errmsg("customer_email is missing"),
					 errdetail("The notification_option EML or ALL sends an e-mail."),
					 errhint("Set customer_email, or use the notification_option LNK or SMS.")));
		return;
	}

	check_length(request, MF_SP_CUSTOMER_EMAIL, MF_EMAIL_MAX);
	end = email.data + email.len;
	ok = !find_unseen(email, &unseen);
	for (p = email.data; ok && p < end; p++)
	{
		switch (*p)
		{
			case '@':
				ok = at == NULL;
				at = p;
				break;
			case ',':
			case ';':
			case '<':
			case '>':
			case '(':
			case ')':
			case '"':
				ok = false;
				break;
			default:
				ok = (unsigned char) *p > ' ' && *p != 0x7f;
		}
	}
	if (!ok || at == NULL || at == email.data || at == end - 1)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_CUSTOMER_EMAIL),
				 errmsg("invalid customer_email: \"%s\"", get_text(request, MF_SP_CUSTOMER_EMAIL)),
				 errhint("Give one plain address, such as name@example.com.")));
}

/*
 * ^(?:(\+)|(00)|(\*)|())[0-9]{3,14}((\#)|())$ and at most 11 characters, as
 * the vendor has it, of what is left when digits are ASCII and blanks, dashes and
 * marks are gone: people paste numbers with marks of direction around them.
 */
static void
check_mobile(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	char	   *mobile;
	char	   *digits;
	size_t		count;

	clean_field(request, MF_SP_CUSTOMER_MOBILE, MF_CLEAN_NUMBER);
	mobile = get_text(request, MF_SP_CUSTOMER_MOBILE);
	if (mobile == NULL)
	{
		if (is_notified_by(request, "SMS"))
			ereport(ERROR,
					(mf_err_field(request, MF_SP_CUSTOMER_MOBILE),
					 errmsg("customer_mobile is missing"),
					 errdetail("The notification_option SMS or ALL sends a text message."),
					 errhint("Set customer_mobile, or use the notification_option LNK or EML.")));
		return;
	}

	if (strlen(mobile) > MF_MOBILE_MAX)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_CUSTOMER_MOBILE),
				 errmsg("customer_mobile is too long: \"%.40s\"", mobile),
				 errdetail("The limit is %d characters.", MF_MOBILE_MAX),
				 errhint("Give the national number, and the country's dial code in mobile_country_code.")));

	digits = mobile;
	if (digits[0] == '+' || digits[0] == '*')
		digits++;
	count = strspn(digits, "0123456789");
	if (count < 3 || (digits[count] == '#' ? digits[count + 1] : digits[count]) != '\0')
		ereport(ERROR,
				(mf_err_field(request, MF_SP_CUSTOMER_MOBILE),
				 errmsg("invalid customer_mobile: \"%.40s\"", mobile),
				 errhint("Give the national number, digits only, such as 99999999.")));
}

/* Up to four digits; that of the account's country where a text message needs one. */
static void
check_country_code(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	char	   *code;
	char	   *digits;
	size_t		count;

	clean_field(request, MF_SP_MOBILE_COUNTRY_CODE, MF_CLEAN_NUMBER);
	code = get_text(request, MF_SP_MOBILE_COUNTRY_CODE);
	if (code == NULL)
	{
		set_text(request, MF_SP_MOBILE_COUNTRY_CODE,
				 is_notified_by(request, "SMS") ? psprintf("+%s", account->dial_code) : NULL);
		return;
	}

	digits = code;
	if (digits[0] == '+')
		digits++;
	else if (strncmp(digits, "00", 2) == 0)
		digits += 2;
	count = strspn(digits, "0123456789");
	if (count < 1 || count > 4 || digits[count] != '\0')
		ereport(ERROR,
				(mf_err_field(request, MF_SP_MOBILE_COUNTRY_CODE),
				 errmsg("invalid mobile_country_code: \"%.40s\"", code),
				 errhint("Give the country's dial code, such as +%s.", account->dial_code)));
}

/* What is sent is UTF-8: a database of another encoding may hold what has no such form. */
static void
check_encoding(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	Oid			type = mf_request_type(field);

	if (request->isnull[field])
		return;
	if (type == TEXTOID)
		(void) mf_to_utf8(TextDatumGetCString(request->values[field]));
	else if (type == JSONBOID)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(request->values[field]);

		(void) mf_to_utf8(JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb)));
	}
}

/* http(s), at most 254 characters, and it leads everybody to the same place, which is not this machine. */
static void
check_url(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	TextView	url;
	uint32		unseen;

	clean_field(request, field, MF_CLEAN_TEXT);
	url = view_text(request, field);
	if (url.data == NULL)
		return;

	if (is_longer(url, MF_URL_MAX))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s is too long", column(field)),
				 errdetail("It has %d characters; the limit is %d.",
						   pg_mbstrlen_with_len(url.data, (int) url.len), MF_URL_MAX),
				 errhint("Use a shorter URL; the payment id is appended to it anyway.")));
	if (find_unseen(url, &unseen))
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s must not contain blanks or characters that nobody sees", column(field)),
				 errdetail("It contains U+%04X.", unseen),
				 errhint("Type it again, or write the character as %%XX.")));

	switch (mf_url_check(mf_to_utf8(get_text(request, field))))
	{
		case MF_URL_GOOD:
			break;
		case MF_URL_NO_WEB:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must be an http or https URL", column(field)),
					 errhint("Give a URL such as https://www.example.com/paid.")));
			break;
		case MF_URL_AMBIGUOUS:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must not contain a backslash, nor a user name before its host", column(field)),
					 errdetail("Not all programs agree where such a URL leads."),
					 errhint("Give a URL such as https://www.example.com/paid.")));
			break;
		case MF_URL_LOCAL:
			ereport(ERROR,
					(mf_err_field(request, field),
					 errmsg("%s must not point to localhost", column(field)),
					 errhint("Give a URL that the customer's browser can reach.")));
			break;
	}
}

static void
check_user_defined_field(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	TextView	text = view_text(request, MF_SP_USER_DEFINED_FIELD);

	check_length(request, MF_SP_USER_DEFINED_FIELD,
				 text.len >= 3 && memcmp(text.data, "CK-", 3) == 0 ? MF_CARD_FIELD_MAX : MF_TEXT_MAX);
}

/* Whether it lies after send_at is the table's business; here: it can be sent. */
static void
check_expiry_date(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	if (!request->isnull[MF_SP_EXPIRY_DATE] &&
		mf_account_local_time(account, DatumGetTimestampTz(request->values[MF_SP_EXPIRY_DATE])) == NULL)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_EXPIRY_DATE),
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
}

/* A plain list of positive ids. */
static void
check_payment_methods(MfRequest *request, MfSendPaymentField field, const MfAccount *account)
{
	ArrayType  *array;
	Datum	   *elements;
	int			count;
	int			i;
	bool		ok;

	if (request->isnull[MF_SP_INVOICE_PAYMENT_METHODS])
		return;

	array = DatumGetArrayTypeP(request->values[MF_SP_INVOICE_PAYMENT_METHODS]);
	ok = ARR_NDIM(array) == 1 && !array_contains_nulls(array);
	if (ok)
	{
		deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, NULL, &count);
		for (i = 0; i < count; i++)
			ok = ok && DatumGetInt32(elements[i]) > 0;
		if (count > MF_METHODS_MAX)
			ereport(ERROR,
					(mf_err_field(request, MF_SP_INVOICE_PAYMENT_METHODS),
					 errmsg("invoice_payment_methods has too many entries"),
					 errdetail("It has %d entries; the limit is %d.", count, MF_METHODS_MAX),
					 errhint("Give each id once, or leave it out for all.")));
	}
	if (!ok)
		ereport(ERROR,
				(mf_err_field(request, MF_SP_INVOICE_PAYMENT_METHODS),
				 errmsg("invoice_payment_methods must be a list of payment method ids"),
				 errhint("Give ids from InitiatePayment, such as '{1,2}', or leave it out for all.")));
}
