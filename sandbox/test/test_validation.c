/*
 * test_validation.c
 *	  Every rule of SendPayment, one by one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define BASE "\"CustomerName\":\"A\",\"InvoiceValue\":10,\"NotificationOption\":\"LNK\""

typedef struct Case
{
	const char *members; /* added to BASE; a later member wins */
	const char *name; /* of the first error; NULL: accepted */
	const char *error; /* its text, NULL: any that is not empty */
} Case;

#define TYPE_ERROR ""

static const Case cases[] = {
	{"\"x\":1", NULL, NULL},
	{"\"Unknown\":{\"deep\":[1,2,{}]},\"SourceInfo\":\"s\"", NULL, NULL},

	{"\"CustomerName\":\"\"", "CustomerName", NULL},
	{"\"CustomerName\":\"  \"", "CustomerName", NULL},
	{"\"CustomerName\":null", "CustomerName", NULL},
	{"\"CustomerName\":[]", "invoiceCreate.CustomerName", TYPE_ERROR},
	{"\"CustomerName\":17", NULL, NULL},
	{"\"customername\":\"\"", "CustomerName", NULL},

	{"\"InvoiceValue\":0", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":-1", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":0.000", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":-0", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":null", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":\"\"", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":\"0\"", "InvoiceValue", "Invoice value must be more than 0"},
	{"\"InvoiceValue\":\"2.500\"", NULL, NULL},
	{"\"InvoiceValue\":0.001", NULL, NULL},
	{"\"InvoiceValue\":1e2", NULL, NULL},
	{"\"InvoiceValue\":12345678.901", NULL, NULL},
	{"\"InvoiceValue\":\"1,000\"", "invoiceCreate.InvoiceValue", TYPE_ERROR},
	{"\"InvoiceValue\":\"ten\"", "invoiceCreate.InvoiceValue", TYPE_ERROR},
	{"\"InvoiceValue\":true", "invoiceCreate.InvoiceValue", TYPE_ERROR},
	{"\"InvoiceValue\":{}", "invoiceCreate.InvoiceValue", TYPE_ERROR},
	{"\"InvoiceValue\":1e300", "invoiceCreate.InvoiceValue", TYPE_ERROR},
	{"\"InvoiceValue\":1234567890123456789", "invoiceCreate.InvoiceValue", TYPE_ERROR},

	{"\"NotificationOption\":\"lnk\"", NULL, NULL},
	{"\"NotificationOption\":\"Lnk\"", NULL, NULL},
	{"\"NotificationOption\":\"\"", "NotificationOption", NULL},
	{"\"NotificationOption\":null", "NotificationOption", NULL},
	{"\"NotificationOption\":\"FAX\"", "NotificationOption", NULL},
	{"\"NotificationOption\":\"EML\"", "CustomerEmail", NULL},
	{"\"NotificationOption\":\"SMS\"", "CustomerMobile", NULL},
	{"\"NotificationOption\":\"ALL\"", "CustomerEmail", NULL},
	{"\"NotificationOption\":\"ALL\",\"CustomerEmail\":\"a@b.co\"", "CustomerMobile", NULL},
	{"\"NotificationOption\":\"ALL\",\"CustomerEmail\":\"a@b.co\",\"CustomerMobile\":\"12345678\"", NULL,
	 NULL},
	{"\"NotificationOption\":\"EML\",\"CustomerEmail\":\"a@b.co\"", NULL, NULL},
	{"\"NotificationOption\":\"SMS\",\"CustomerMobile\":\"12345678\"", NULL, NULL},
	{"\"NotificationOption\":\"SMS\",\"CustomerMobile\":12345678", NULL, NULL},

	{"\"CustomerEmail\":null", NULL, NULL},
	{"\"CustomerEmail\":\"\"", NULL, NULL},
	{"\"CustomerEmail\":\"x\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x@y\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"@y.co\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x@y.\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x@.co\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x@y..co\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x y@z.co\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"x@y@z.co\"", "CustomerEmail", NULL},
	{"\"CustomerEmail\":\"a.b+c@mail.example.com\"", NULL, NULL},

	{"\"CustomerMobile\":\"12345678901\"", NULL, NULL},
	{"\"CustomerMobile\":\"123456789012\"", "CustomerMobile", NULL},
	{"\"CustomerMobile\":\"12\"", "CustomerMobile", NULL},
	{"\"CustomerMobile\":\"+9651234567\"", NULL, NULL},
	{"\"CustomerMobile\":\"1234 5678\"", "CustomerMobile", NULL},
	{"\"CustomerMobile\":\"*12345#\"", NULL, NULL},
	{"\"CustomerMobile\":\"\\u0661\\u0662\\u0663\\u0664\"", "CustomerMobile", NULL},
	{"\"MobileCountryCode\":\"965\"", NULL, NULL},
	{"\"MobileCountryCode\":\"+965\"", NULL, NULL},
	{"\"MobileCountryCode\":\"00965\"", NULL, NULL},
	{"\"MobileCountryCode\":\"+96555\"", "MobileCountryCode", NULL},
	{"\"MobileCountryCode\":\"KW\"", "MobileCountryCode", NULL},

	{"\"DisplayCurrencyIso\":\"SAR\"", NULL, NULL},
	{"\"DisplayCurrencyIso\":\"\"", NULL, NULL},
	{"\"DisplayCurrencyIso\":null", NULL, NULL},
	{"\"DisplayCurrencyIso\":\"GBP\"", "DisplayCurrencyIso", NULL},
	{"\"DisplayCurrencyIso\":\"EGP\",\"InvoiceValue\":0.01", "InvoiceValue",
	 "Invoice value must be more than 0"},
	{"\"Language\":\"En\"", NULL, NULL},
	{"\"Language\":\"ar\"", NULL, NULL},
	{"\"Language\":\"FR\"", "Language", NULL},

	{"\"CallBackUrl\":\"https://example.com/a?b=c#d\"", NULL, NULL},
	{"\"CallBackUrl\":\"http://127.0.0.1:8080/back\"", NULL, NULL},
	{"\"CallBackUrl\":\"\"", NULL, NULL},
	{"\"CallBackUrl\":\"http://localhost/x\"", "CallBackUrl",
	 "The field CallBackUrl must be a url. Example http://www.example.com"},
	{"\"CallBackUrl\":\"http://LOCALHOST:80\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"https://u@localhost/\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"myapp://done\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"www.example.com\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"http:///x\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"https://a b.com\"", "CallBackUrl", NULL},
	{"\"CallBackUrl\":\"https://a.com/\\r\\nX: y\"", "CallBackUrl", NULL},
	{"\"ErrorUrl\":\"ftp://example.com\"", "ErrorUrl",
	 "The field ErrorUrl must be a url. Example http://www.example.com"},
	{"\"WebhookUrl\":\"nonsense\"", "WebhookUrl", NULL},

	{"\"ExpiryDate\":\"\"", NULL, NULL},
	{"\"ExpiryDate\":\"2027-11-22T10:00:00\"", NULL, NULL},
	{"\"ExpiryDate\":\"soon\"", "invoiceCreate.ExpiryDate", TYPE_ERROR},
	{"\"ExpiryDate\":\"2026-02-30T10:00:00\"", "invoiceCreate.ExpiryDate", TYPE_ERROR},

	{"\"CustomerAddress\":{\"Block\":\"1\",\"Street\":null}", NULL, NULL},
	{"\"CustomerAddress\":\"Block 1\"", "invoiceCreate.CustomerAddress", TYPE_ERROR},
	{"\"CustomerAddress\":{\"Block\":[]}", "invoiceCreate.CustomerAddress", TYPE_ERROR},

	{"\"InvoiceItems\":[]", NULL, NULL},
	{"\"InvoiceItems\":null", NULL, NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":4,\"UnitPrice\":2.5}]", NULL, NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":\"4\",\"UnitPrice\":\"2.500\"}]", NULL, NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":3,\"UnitPrice\":4},"
	 "{\"ItemName\":\"discount\",\"Quantity\":1,\"UnitPrice\":-2}]",
	 NULL, NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":3,\"UnitPrice\":3.333}]", "InvoiceItems",
	 "Invoice total value must be the same total items value"},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":10.000000001}]", "InvoiceItems",
	 "Invoice total value must be the same total items value"},
	{"\"InvoiceValue\":0.3,\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":3,\"UnitPrice\":0.1}]", NULL,
	 NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"\",\"Quantity\":1,\"UnitPrice\":10}]", "InvoiceItems.ItemName", NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"UnitPrice\":10}]", "InvoiceItems.Quantity", NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":0,\"UnitPrice\":10}]", "InvoiceItems.Quantity",
	 NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1.5,\"UnitPrice\":10}]",
	 "invoiceCreate.InvoiceItems", TYPE_ERROR},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1}]", "InvoiceItems.UnitPrice", NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":\"x\"}]",
	 "invoiceCreate.InvoiceItems", TYPE_ERROR},
	{"\"InvoiceItems\":[1]", "invoiceCreate.InvoiceItems", TYPE_ERROR},
	{"\"InvoiceItems\":{}", "invoiceCreate.InvoiceItems", TYPE_ERROR},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":10,\"Weight\":100,\"Width\":200,"
	 "\"Height\":160,\"Depth\":200}]",
	 NULL, NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":10,\"Weight\":100.1}]",
	 "InvoiceItems.Weight", NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":10,\"Height\":161}]",
	 "InvoiceItems.Height", NULL},
	{"\"InvoiceItems\":[{\"ItemName\":\"i\",\"Quantity\":1,\"UnitPrice\":10,\"Depth\":-1}]",
	 "InvoiceItems.Depth", NULL},

	{"\"ShippingMethod\":1", "ShippingConsignee.PersonName", NULL},
	{"\"ShippingMethod\":3", "ShippingMethod", NULL},
	{"\"ShippingMethod\":2,\"ShippingConsignee\":{\"PersonName\":\"p\",\"Mobile\":\"12345\",\"LineAddress\":\"l\","
	 "\"CityName\":\"c\",\"CountryCode\":\"KW\"}",
	 NULL, NULL},
	{"\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":10,\"ProposedShare\":null}]", NULL, NULL},
	{"\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":7},{\"SupplierCode\":2,\"InvoiceShare\":3,\"ProposedShare\":3}]", NULL, NULL},
	{"\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":9.999}]", "Suppliers", NULL},
	{"\"Suppliers\":[{\"SupplierCode\":1,\"InvoiceShare\":10,\"ProposedShare\":10.001}]", "Suppliers.ProposedShare", NULL},
	{"\"Suppliers\":[{\"InvoiceShare\":10}]", "Suppliers.SupplierCode", NULL},
	{"\"Suppliers\":[{\"SupplierCode\":1}]", "Suppliers.InvoiceShare", NULL},
	{"\"ProcessingDetails\":{\"AutoCapture\":false}", NULL, NULL},
	{"\"ProcessingDetails\":{\"AutoCapture\":\"no\"}", "invoiceCreate.ProcessingDetails", TYPE_ERROR},
	{"\"InvoicePaymentMethods\":[1,2]", NULL, NULL},
	{"\"InvoicePaymentMethods\":[\"kn\"]", "invoiceCreate.InvoicePaymentMethods", TYPE_ERROR},
};

/*
 * length_case
 *		A text of so many characters.
 */
static void
length_case(const char *name, const char *prefix, size_t length, const char *filler, bool accepted)
{
	char *body = malloc(4096 + length * 4);
	char *p = body + sprintf(body, "{" BASE ",\"%s\":\"%s", name, prefix);
	Reply r;

	for (size_t i = strlen(prefix); i < length; i++)
		p += sprintf(p, "%s", filler);
	strcpy(p, "\"}");
	r = api("SendPayment", body);
	CHECK((r.status == 200) == accepted &&
			  (accepted || strcmp(text_at(r.json, "ValidationErrors.0.Name"), name) == 0),
		  "%s of %zu characters: %s", name, length, r.body);
	free_reply(&r);
	free(body);
}

/*
 * test_lengths
 *		Limits count characters, not bytes.
 */
static void
test_lengths(void)
{
	length_case("CallBackUrl", "https://example.com/", 254, "x", true);
	length_case("CallBackUrl", "https://example.com/", 255, "x", false);
	length_case("ErrorUrl", "https://example.com/", 254, "ع", true);
	length_case("ErrorUrl", "https://example.com/", 255, "ع", false);
	length_case("WebhookUrl", "https://example.com/", 2000, "x", true);
	length_case("UserDefinedField", "", 500, "ع", true);
	length_case("UserDefinedField", "", 501, "x", false);
	length_case("UserDefinedField", "CK-", 50, "x", true);
	length_case("UserDefinedField", "CK-", 51, "x", false);
	length_case("CustomerReference", "", 5000, "x", true);
}

/*
 * test_validation
 *		All of it.
 */
void
test_validation(void)
{
	char body[4096];
	Reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		const char *error;

		snprintf(body, sizeof(body), "{" BASE ",%s}", c->members);
		r = api("SendPayment", body);
		if (c->name == NULL)
			CHECK(r.status == 200, "%s: %s", c->members, r.body);
		else
		{
			error = text_at(r.json, "ValidationErrors.0.Error");
			CHECK(r.status == 400 && strcmp(text_at(r.json, "ValidationErrors.0.Name"), c->name) == 0 &&
					  (c->error != NULL ? strcmp(error, c->error) == 0 : error[0] != '\0'),
				  "%s: %s", c->members, r.body);
		}
		free_reply(&r);
	}
	test_lengths();
	r = api("SendPayment", "{\"CustomerName\":\"\",\"NotificationOption\":\"EML\"}");
	CHECK(cJSON_GetArraySize(at(r.json, "ValidationErrors")) == 3, "all errors at once: %s", r.body);
	free_reply(&r);
}
