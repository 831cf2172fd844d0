/*
 * validate_v3.c
 *	  The rules a POST to /v3/payments must keep.
 *
 * MyFatoorah publishes the members and some conditions, but no refusal: names
 * and texts of errors are ours.
 */
#include "validate_fields.h"

#include <ctype.h>
#include <stdlib.h>

#define MAX_CODE_CHARACTERS 4
#define MAX_MOBILE_CHARACTERS 11

/*
 * is_v3_mobile
 *		^(?:(\+)|(00)|(\*)|())\d{6,14}(#?)$
 */
static bool
is_v3_mobile(Str s)
{
	if (s.len > 0 && (s.data[0] == '+' || s.data[0] == '*'))
	{
		s.data++;
		s.len--;
	}
	if (s.len > 0 && s.data[s.len - 1] == '#')
		s.len--;
	for (size_t i = 0; i < s.len; i++)
		if (!isdigit((unsigned char) s.data[i]))
			return false;
	return s.len >= 6 && s.len <= 16;
}

/*
 * check_order
 *		Amount, currency and the merchant's identifier.
 */
static void
check_order(Checker *c, const Account *account)
{
	InvoiceData *d = &c->req->data;
	const JsonNode *order = typed_member(c, c->body, "Order", JSON_OBJECT);
	Str iso = text_member(c, order, "Currency", "Order");
	OptionalDecimal amount;
	Decimal base;

	d->currency = iso.len > 0 ? currency_by_iso(iso) : account->currency;
	if (d->currency == NULL)
	{
		rule_error(c, "Order.Currency", "The field Currency is not valid.");
		d->currency = account->currency;
	}
	d->reference = text_member(c, order, "ExternalIdentifier", "Order");
	if (!number_member(c, order, "Amount", "Order", &amount))
		return;
	if (!amount.present)
		rule_error(c, "Order.Amount", "The Amount field is required.");
	else if (decimal_sign(amount.value) <= 0)
		rule_error(c, "Order.Amount", "Amount must be more than 0");
	else
	{
		d->display_value = amount.value;
		if (!store_base_value(account, d, &base))
			rule_error(c, "Order.Amount", "Amount must be more than 0");
	}
}

/*
 * check_notification
 *		How the payer hears of it; by the link alone unless told otherwise.
 */
static void
check_notification(Checker *c)
{
	static const char *const words[] = {"EMAIL", "SMS", "LINK", "ALL"};
	static const char *const v2_words[] = {"EML", "SMS", "LNK", "ALL"};
	Str option = text_member(c, c->body, "NotificationOption", "NotificationOption");

	c->req->data.notification = option.len == 0 ? "LNK" : NULL;
	for (int i = 0; i < 4; i++)
		if (str_is_nocase(option, words[i]))
			c->req->data.notification = v2_words[i];
	if (c->req->data.notification == NULL)
		rule_error(c, "NotificationOption",
				   "The NotificationOption field must be one of EMAIL, SMS, LINK, ALL.");
}

/*
 * check_mobile
 *		Dial code and number; the code alone if there is no number.
 */
static void
check_mobile(Checker *c, const JsonNode *mobile, const Account *account)
{
	Str code = text_member(c, mobile, "CountryCode", "Customer");
	Str number = text_member(c, mobile, "Number", "Customer");
	const char *option = c->req->data.notification;

	if (option != NULL && (option[0] == 'S' || option[0] == 'A') && (code.len == 0 || number.len == 0))
		rule_error(c, "Customer.Mobile", "The Mobile field is required.");
	if (code.len > 0 && (str_characters(code) > MAX_CODE_CHARACTERS || !is_dial_code(code)))
		rule_error(c, "Customer.Mobile.CountryCode", "The field CountryCode is not valid.");
	if (number.len > 0 && (str_characters(number) > MAX_MOBILE_CHARACTERS || !is_v3_mobile(number)))
		rule_error(c, "Customer.Mobile.Number", "The field Number is not valid.");
	if (code.len == 0)
		code = str_of(account->dial_code);
	if (code.data[0] != '+')
		buf_putc(&c->req->scratch, '+');
	buf_put_str(&c->req->scratch, code);
	buf_put_str(&c->req->scratch, number);
	c->req->data.customer_mobile = (Str){c->req->scratch.data, c->req->scratch.len};
}

/*
 * check_customer
 *		Who pays: nobody in particular, if nobody is named.
 */
static void
check_customer(Checker *c, const Account *account)
{
	InvoiceData *d = &c->req->data;
	const JsonNode *customer = typed_member(c, c->body, "Customer", JSON_OBJECT);
	const JsonNode *mobile = json_member(customer, "Mobile");

	d->customer_name = text_member(c, customer, "Name", "Customer");
	if (str_trim(d->customer_name).len == 0)
		d->customer_name = STR_LIT("Anonymous");
	d->customer_reference = text_member(c, customer, "Reference", "Customer");
	text_member(c, customer, "CivilId", "Customer");
	d->customer_email = text_member(c, customer, "Email", "Customer");
	if (d->customer_email.len == 0)
	{
		d->customer_email = STR_NONE;
		if (d->notification != NULL && (d->notification[0] == 'E' || d->notification[0] == 'A'))
			rule_error(c, "Customer.Email", "The Email field is required.");
	}
	else if (!is_email(d->customer_email))
		rule_error(c, "Customer.Email", "The Email field is not a valid e-mail address.");
	if (mobile != NULL && mobile->type != JSON_OBJECT && mobile->type != JSON_NULL && mobile->text.len > 0)
		type_error(c, "Customer");
	check_mobile(c, mobile, account);
}

/*
 * check_texts
 *		Language, addresses, expiry in UTC.
 */
static void
check_texts(Checker *c)
{
	InvoiceData *d = &c->req->data;
	const JsonNode *urls = typed_member(c, c->body, "IntegrationUrls", JSON_OBJECT);
	Str expiry = text_member(c, c->body, "PaymentExpiry", "PaymentExpiry");

	check_language(c);
	url_member(c, urls, "Redirection", "IntegrationUrls", &d->call_back_url, true);
	url_member(c, urls, "Webhook", "IntegrationUrls", &d->webhook_url, false);
	d->error_url = d->call_back_url;
	if (expiry.len > 0)
	{
		d->has_expiry = parse_utc_time(expiry, &d->expiry);
		if (!d->has_expiry)
			type_error(c, "PaymentExpiry");
	}
}

/*
 * check_meta
 *		MetaData: UDF1 to UDF5, echoed by reads and webhooks.
 */
static void
check_meta(Checker *c)
{
	const JsonNode *meta = typed_member(c, c->body, "MetaData", JSON_OBJECT);
	char name[] = "UDF1";

	if (meta == NULL)
		return;
	buf_putc(&c->req->meta, '{');
	for (; name[3] <= '5'; name[3]++)
	{
		buf_printf(&c->req->meta, "%s\"%s\":", name[3] > '1' ? "," : "", name);
		buf_put_json_or_null(&c->req->meta, text_member(c, meta, name, "MetaData"));
	}
	buf_putc(&c->req->meta, '}');
	c->req->data.meta = (Str){c->req->meta.data, c->req->meta.len};
}

/*
 * check_method
 *		PaymentMethod, or the page with all of them.
 */
static void
check_method(Checker *c)
{
	Str method = text_member(c, c->body, "PaymentMethod", "PaymentMethod");

	for (size_t i = 0; i < method.len; i++)
		if (!isalpha((unsigned char) method.data[i]) && method.data[i] != '_')
		{
			rule_error(c, "PaymentMethod", "This payment method is not available");
			break;
		}
	c->req->data.card_first =
		method.len > 0 && !str_is_nocase(method, "KNET") && !str_is_nocase(method, "INVOICE");
	typed_member(c, c->body, "DisplayPaymentMethods", JSON_ARRAY);
}

/*
 * check_operation
 *		Pay at once, or authorise only.
 */
static void
check_operation(Checker *c)
{
	Str operation = text_member(c, c->body, "OperationType", "OperationType");

	c->req->data.authorize_only = str_is_nocase(operation, "AUTHORIZE");
	if (operation.len > 0 && !c->req->data.authorize_only && !str_is_nocase(operation, "PAY"))
		rule_error(c, "OperationType", "The field OperationType must be PAY or AUTHORIZE.");
}

/*
 * check_source
 *		A saved card to charge. Cards themselves and sessions are not for us.
 */
static void
check_source(Checker *c)
{
	const JsonNode *source = typed_member(c, c->body, "SourceOfFund", JSON_OBJECT);
	Str session = text_member(c, source, "SessionId", "SourceOfFund");
	const JsonNode *card = json_member(source, "Card");

	c->req->token = text_member(c, source, "Token", "SourceOfFund");
	if (c->req->token.len == 0)
		c->req->token = STR_NONE;
	else if (!str_has_prefix(c->req->token, STR_LIT("TKN-")) || c->req->token.len >= ID_SIZE)
		rule_error(c, "SourceOfFund.Token", "The Token is not valid");
	if (session.len > 0 || (card != NULL && card->type == JSON_OBJECT))
		rule_error(c, "SourceOfFund", "The sandbox knows saved cards only");
}

/*
 * validate_v3_payment
 *		Check a parsed body against every rule, as validate_send_payment().
 */
bool
validate_v3_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req)
{
	Checker c = {body, req, "", false, {0}};

	memset(req, 0, sizeof(*req));
	check_order(&c, account);
	check_notification(&c);
	check_customer(&c, account);
	check_texts(&c);
	check_meta(&c);
	check_method(&c);
	check_operation(&c);
	check_source(&c);
	check_suppliers(&c, "ProposedDepositShare");
	return check_over(&c);
}
