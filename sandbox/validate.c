/*
 * validate.c
 *	  The rules a SendPayment request must keep.
 *
 * A value of the wrong JSON type is refused by MyFatoorah's model binder before
 * any rule is looked at: the error's text is then empty and its name carries
 * the prefix "invoiceCreate.". Texts that no source gives are ours; README.md
 * lists them.
 */
#include "validate_fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_MOBILE_CHARACTERS 11
#define MAX_UDF_CHARACTERS 500
#define MAX_UDF_CARD_CHARACTERS 50
#define MAX_ITEMS 1000

static bool check_all(const JsonNode *body, const Account *account, SendPaymentRequest *req, bool one_method);

/*
 * check_customer
 *		Name, how to notify, e-mail and mobile.
 */
static void
check_customer(Checker *c, const Account *account)
{
	static const char *const options[] = {"EML", "SMS", "LNK", "ALL"};
	InvoiceData *d = &c->req->data;
	Str option = text_member(c, c->body, "NotificationOption", "NotificationOption");
	Str mobile = text_member(c, c->body, "CustomerMobile", "CustomerMobile");
	Str code = text_member(c, c->body, "MobileCountryCode", "MobileCountryCode");
	bool by_mail, by_text;

	d->customer_name = text_member(c, c->body, "CustomerName", "CustomerName");
	if (str_trim(d->customer_name).len == 0)
	{
		d->customer_name = STR_LIT("Anonymous");
		if (!c->one_method)
			rule_error(c, "CustomerName", "The CustomerName field is required.");
	}

	for (size_t i = 0; i < 4; i++)
		if (str_is_nocase(option, options[i]))
			d->notification = options[i];
	if (c->one_method)
		d->notification = "LNK";
	else if (d->notification == NULL)
		rule_error(c, "NotificationOption",
				   option.len == 0 ? "The NotificationOption field is required."
								   : "The NotificationOption field must be one of EML, SMS, LNK, ALL.");
	by_mail = d->notification != NULL && (d->notification[0] == 'E' || d->notification[0] == 'A');
	by_text = d->notification != NULL && (d->notification[0] == 'S' || d->notification[0] == 'A');

	d->customer_email = text_member(c, c->body, "CustomerEmail", "CustomerEmail");
	if (d->customer_email.len == 0)
	{
		d->customer_email = STR_NONE;
		if (by_mail)
			rule_error(c, "CustomerEmail", "The CustomerEmail field is required.");
	}
	else if (!is_email(d->customer_email))
		rule_error(c, "CustomerEmail", "The CustomerEmail field is not a valid e-mail address.");

	if (mobile.len == 0)
	{
		if (by_text)
			rule_error(c, "CustomerMobile", "The CustomerMobile field is required.");
	}
	else if (str_characters(mobile) > MAX_MOBILE_CHARACTERS)
		rule_error(c, "CustomerMobile",
				   "The field CustomerMobile must be a string with a maximum length of 11.");
	else if (!is_mobile(mobile))
		rule_error(c, "CustomerMobile",
				   "The field CustomerMobile must match the regular expression "
				   "'^(?:(\\+)|(00)|(\\*)|())[0-9]{3,14}((\\#)|())$'.");

	if (code.len == 0)
		code = str_of(account->dial_code);
	else if (!is_dial_code(code))
		rule_error(c, "MobileCountryCode", "The field MobileCountryCode is not valid.");
	if (code.data[0] != '+')
		buf_putc(&c->req->scratch, '+');
	buf_put_str(&c->req->scratch, code);
	buf_put_str(&c->req->scratch, mobile);
	d->customer_mobile = (Str){c->req->scratch.data, c->req->scratch.len};
}

/*
 * check_value
 *		The amount and the currency it is shown in.
 */
static void
check_value(Checker *c, const Account *account)
{
	InvoiceData *d = &c->req->data;
	OptionalDecimal value;
	Str iso = text_member(c, c->body, "DisplayCurrencyIso", "DisplayCurrencyIso");

	d->currency = account->currency;
	if (iso.len > 0)
	{
		d->currency = currency_by_iso(iso);
		if (d->currency == NULL)
		{
			rule_error(c, "DisplayCurrencyIso", "The field DisplayCurrencyIso is not valid.");
			d->currency = account->currency;
		}
	}
	if (number_member(c, c->body, "InvoiceValue", "InvoiceValue", &value))
	{
		if (!value.present || decimal_sign(value.value) <= 0)
			rule_error(c, "InvoiceValue", "Invoice value must be more than 0");
		else
		{
			Decimal base;

			d->display_value = value.value;
			if (!store_base_value(account, d, &base))
				rule_error(c, "InvoiceValue", "Invoice value must be more than 0");
		}
	}
}

/*
 * check_texts
 *		Language, references, addresses to go back to, expiry.
 */
static void
check_texts(Checker *c)
{
	InvoiceData *d = &c->req->data;
	Str expiry = text_member(c, c->body, "ExpiryDate", "ExpiryDate");

	check_language(c);
	d->reference = text_member(c, c->body, "CustomerReference", "CustomerReference");
	text_member(c, c->body, "CustomerCivilId", "CustomerCivilId");
	d->user_defined = text_member(c, c->body, "UserDefinedField", "UserDefinedField");
	if (str_has_prefix(d->user_defined, STR_LIT("CK-")) &&
		str_characters(d->user_defined) > MAX_UDF_CARD_CHARACTERS)
		rule_error(c, "UserDefinedField",
				   "The field UserDefinedField must be a string with a maximum length of 50.");
	else if (str_characters(d->user_defined) > MAX_UDF_CHARACTERS)
		rule_error(c, "UserDefinedField",
				   "The field UserDefinedField must be a string with a maximum length of 500.");
	url_member(c, c->body, "CallBackUrl", "CallBackUrl", &d->call_back_url, true);
	url_member(c, c->body, "ErrorUrl", "ErrorUrl", &d->error_url, true);
	url_member(c, c->body, "WebhookUrl", "WebhookUrl", &d->webhook_url, false);
	if (expiry.len > 0)
	{
		if (parse_local_time(expiry, &d->expiry))
			d->has_expiry = true;
		else
			type_error(c, "ExpiryDate");
	}
}

/*
 * check_dimension
 *		Weight or a measure of an item: 0 to a maximum.
 */
static void
check_dimension(Checker *c, const JsonNode *item, const char *name, int64_t maximum, OptionalDecimal *to)
{
	char full[64] = "InvoiceItems.";

	if (number_member(c, item, name, "InvoiceItems", to) && to->present &&
		(decimal_sign(to->value) < 0 || decimal_compare(to->value, (Decimal){maximum, 0}) > 0))
	{
		strncat(full, name, sizeof(full) - strlen(full) - 1);
		rule_error(c, full, "The value is out of range.");
	}
}

/*
 * check_items
 *		The items and their sum, which must be the invoice value to the decimal.
 */
static void
check_items(Checker *c)
{
	const JsonNode *array = typed_member(c, c->body, "InvoiceItems", JSON_ARRAY);
	InvoiceData *d = &c->req->data;
	WideDecimal sum = wide_zero();
	size_t before = c->req->errors.len + c->type_errors.len;
	int count = 0;

	if (array == NULL || array->child == NULL)
		return;
	for (const JsonNode *n = array->child; n != NULL; n = n->next)
		count++;
	if (count > MAX_ITEMS)
	{
		rule_error(c, "InvoiceItems", "Too many items.");
		return;
	}
	d->items = xcalloc((size_t) count, sizeof(Item));
	for (const JsonNode *n = array->child; n != NULL; n = n->next)
	{
		Item *item = &d->items[d->item_count++];
		OptionalDecimal price;

		if (n->type != JSON_OBJECT)
		{
			type_error(c, "InvoiceItems");
			return;
		}
		item->name = text_member(c, n, "ItemName", "InvoiceItems");
		if (str_trim(item->name).len == 0)
			rule_error(c, "InvoiceItems.ItemName", "The ItemName field is required.");
		if (!integer_member(c, n, "Quantity", "InvoiceItems", &item->quantity))
			rule_error(c, "InvoiceItems.Quantity", "The Quantity field is required.");
		else if (item->quantity < 1)
			rule_error(c, "InvoiceItems.Quantity", "The Quantity field must be more than 0");
		if (number_member(c, n, "UnitPrice", "InvoiceItems", &price))
		{
			if (!price.present)
				rule_error(c, "InvoiceItems.UnitPrice", "The UnitPrice field is required.");
			item->unit_price = price.value;
		}
		check_dimension(c, n, "Weight", 100, &item->weight);
		check_dimension(c, n, "Width", 200, &item->width);
		check_dimension(c, n, "Height", 160, &item->height);
		check_dimension(c, n, "Depth", 200, &item->depth);
		if (price.present)
			wide_add_product(&sum, item->unit_price, item->quantity);
	}
	if (c->req->errors.len + c->type_errors.len == before && decimal_sign(d->display_value) > 0 &&
		!wide_equals(sum, d->display_value))
		rule_error(c, "InvoiceItems", "Invoice total value must be the same total items value");
}

/*
 * check_shipping
 *		The method and, with one, the consignee.
 */
static void
check_shipping(Checker *c)
{
	static const char *const required[] = {"PersonName", "Mobile", "LineAddress", "CityName", "CountryCode"};
	const JsonNode *consignee = typed_member(c, c->body, "ShippingConsignee", JSON_OBJECT);
	int64_t method;

	if (!integer_member(c, c->body, "ShippingMethod", "ShippingMethod", &method))
		return;
	if (method != 1 && method != 2)
	{
		rule_error(c, "ShippingMethod", "The field ShippingMethod must be 1 or 2.");
		return;
	}
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
	{
		char full[64] = "ShippingConsignee.";
		char text[64] = "The ";

		if (str_trim(text_member(c, consignee, required[i], "ShippingConsignee")).len > 0)
			continue;
		strcat(full, required[i]);
		strcat(text, required[i]);
		strcat(text, " field is required.");
		rule_error(c, full, text);
	}
}

/*
 * check_address
 *		The customer's address: texts all.
 */
static void
check_address(Checker *c)
{
	static const char *const members[] = {"Block", "Street", "HouseBuildingNo", "Address",
										  "AddressInstructions"};
	const JsonNode *address = typed_member(c, c->body, "CustomerAddress", JSON_OBJECT);

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		text_member(c, address, members[i], "CustomerAddress");
}

/*
 * check_processing
 *		Authorise only, and which methods to show.
 */
static void
check_processing(Checker *c)
{
	const JsonNode *details = typed_member(c, c->body, "ProcessingDetails", JSON_OBJECT);
	const JsonNode *capture = json_member(details, "AutoCapture");
	const JsonNode *methods = typed_member(c, c->body, "InvoicePaymentMethods", JSON_ARRAY);

	if (capture != NULL && capture->type != JSON_NULL)
	{
		if (capture->type != JSON_TRUE && capture->type != JSON_FALSE)
			type_error(c, "ProcessingDetails");
		c->req->data.authorize_only = capture->type == JSON_FALSE;
	}
	if (methods == NULL || methods->child == NULL)
		return;
	c->req->data.card_first = true;
	for (const JsonNode *n = methods->child; n != NULL; n = n->next)
	{
		Decimal id;

		if (n->type != JSON_NUMBER || !decimal_parse(n->text, true, &id) || id.scale != 0)
		{
			type_error(c, "InvoicePaymentMethods");
			return;
		}
		if (id.units == 1) /* KNET */
			c->req->data.card_first = false;
	}
}

/*
 * validate_send_payment, validate_execute_payment
 *		Check a parsed body against every rule. True with req->data filled, or
 *		false with req->errors. Members nobody knows are let through. The caller
 *		frees with validate_free() either way and keeps the body until then.
 */
bool
validate_send_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req)
{
	return check_all(body, account, req, false);
}

bool
validate_execute_payment(const JsonNode *body, const Account *account, SendPaymentRequest *req)
{
	return check_all(body, account, req, true);
}

/*
 * check_all
 *		All rules. A payment by one method needs no name and notifies nobody.
 */
static bool
check_all(const JsonNode *body, const Account *account, SendPaymentRequest *req, bool one_method)
{
	Checker c = {body, req, "invoiceCreate.", one_method, {0}};

	memset(req, 0, sizeof(*req));
	check_customer(&c, account);
	check_value(&c, account);
	check_texts(&c);
	check_address(&c);
	check_items(&c);
	check_shipping(&c);
	check_suppliers(&c, "ProposedShare");
	check_processing(&c);
	return check_over(&c);
}

/*
 * validate_free
 *		Free what validate_send_payment() made.
 */
void
validate_free(SendPaymentRequest *req)
{
	free(req->data.items);
	free(req->data.suppliers);
	buf_free(&req->errors);
	buf_free(&req->scratch);
	buf_free(&req->meta);
}
