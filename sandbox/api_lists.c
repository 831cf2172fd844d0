/*
 * api_lists.c
 *	  Lists that MyFatoorah answers without an envelope, and small calls.
 */
#include "server.h"

#include "validate.h"

/*
 * get_banks
 *		Some banks of Kuwait, as a bare array. Locked.
 */
void
get_banks(Request *r)
{
	static const char *const banks[] = {"National Bank of Kuwait",   "Gulf Bank",
										"Commercial Bank of Kuwait", "Burgan Bank",
										"Kuwait Finance House",      "Boubyan Bank"};

	buf_putc(&r->answer.body, '[');
	for (int i = 0; i < (int) (sizeof(banks) / sizeof(banks[0])); i++)
		buf_printf(&r->answer.body, "%s{\"Value\":\"%d\",\"Text\":\"%s\"}", i > 0 ? "," : "", i + 1,
				   banks[i]);
	buf_putc(&r->answer.body, ']');
	answer_json(&r->answer, 200);
}

/*
 * get_exchange_list
 *		Rates against the account's currency, as a bare array of texts. Locked.
 */
void
get_exchange_list(Request *r)
{
	const Currency *c;

	buf_putc(&r->answer.body, '[');
	for (int i = 0; (c = currency_number(i)) != NULL; i++)
	{
		Decimal rate;

		if (!decimal_scale_by(c->per_kwd, (Decimal){1, 0}, r->account->currency->per_kwd, 8, &rate))
			continue;
		buf_puts(&r->answer.body, i > 0 ? ",{\"Value\":\"" : "{\"Value\":\"");
		buf_put_decimal(&r->answer.body, rate);
		buf_printf(&r->answer.body, "\",\"Text\":\"%s\"}", c->iso);
	}
	buf_putc(&r->answer.body, ']');
	answer_json(&r->answer, 200);
}

/*
 * register_apple_pay_domain
 *		A success whose Data is null. Locked.
 */
void
register_apple_pay_domain(Request *r)
{
	Str domain;

	if (!json_text(r->doc.root, "DomainName", &domain) || domain.len == 0)
		refuse(r, "DomainName", "The DomainName field is required.");
	else
		answer_success(&r->answer, 200, "OK", STR_LIT("null"));
}

/*
 * cancel_token
 *		Every token there could be can be canceled. Locked.
 */
void
cancel_token(Request *r)
{
	Buf token = {0};

	if (query_value(r->query, "token", &token) && token.len > 0)
		answer_success(&r->answer, 200, "Canceled successfully", STR_LIT("true"));
	else
		refuse(r, "Token", "The Token field is required.");
	buf_free(&token);
}
