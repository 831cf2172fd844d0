/*
 * redact.c
 *	  Removes personal and card data from MyFatoorah's JSON before it is
 *	  stored.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/redact.c
 */
#include "core/api/redact.h"

#include <string.h>

#include "core/text/ascii.h"
#include "core/text/json.h"

#define MAX_NUMBER_LENGTH 40

/* A masked number shows at most its first eight and last four digits. */
#define MAX_CARD_DIGITS 12

/*
 * "Name" is the name of a customer, a supplier or a bank, wherever it is; a
 * supplier can still be identified by the code beside it.
 */
static const char *const private_names[] = {
	/* people */
	"Name", "Mobile", "Email", "Address", "IP", "IpAddress",
	"Customer", "CustomerName", "CustomerMobile", "CustomerEmail", "CustomerAddress", "CustomerCivilId",
	"SupplierName", "SupplierMobile", "SupplierEmail",
	/* cards */
	"NameOnCard", "Token", "PanHash", "ExpiryMonth", "ExpiryYear", "SecurityCode",
	/* bank accounts */
	"Bank", "BankName", "IBAN", "AccountNumber", "BankAccount", "BankAccountNumber",
};

static const char *const card_number_names[] = {"Number", "CardNumber"};

#define IS_AMONG(name, names) is_among(name, names, sizeof(names) / sizeof((names)[0]))

static bool
is_among(const char *name, const char *const *names, size_t count)
{
	size_t		i;

	for (i = 0; i < count; i++)
	{
		if (mf_ascii_compare(name, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_private(const cJSON *member)
{
	const char *text;
	int			digits = 0;

	if (IS_AMONG(member->string, private_names))
		return true;
	if (!IS_AMONG(member->string, card_number_names) || member->valuestring == NULL)
		return false;
	for (text = member->valuestring; *text != '\0'; text++)
		digits += mf_is_digit(*text);
	return digits > MAX_CARD_DIGITS;
}

static void
make_storable(cJSON *node)
{
	if (strpbrk(node->valuestring, "eE") != NULL || strlen(node->valuestring) > MAX_NUMBER_LENGTH)
		node->type = (node->type & ~0xFF) | cJSON_String;
}

void
mf_redact(cJSON *node)
{
	cJSON	   *child = (node != NULL) ? node->child : NULL;

	if (mf_json_is_number(node))
		make_storable(node);
	while (child != NULL)
	{
		cJSON	   *next = child->next;

		if (child->string != NULL && is_private(child))
			cJSON_Delete(cJSON_DetachItemViaPointer(node, child));
		else
			mf_redact(child);
		child = next;
	}
}
