/*
 * public_url.c
 *	  Addresses of the listener that invoices carry.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/public_url.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/encoding.h"
#include "base/settings.h"
#include "request/public_url.h"

static char *percent_encode(const char *text);
static void fill(MfRequest *request, MfSendPaymentField field, const char *url, bool replace);

void
mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
			 MfCallbacks callbacks)
{
	char	   *url;
	int			stem;

	if (mf_public_url == NULL || mf_public_url[0] == '\0')
		return;

	fill(request, MF_SP_WEBHOOK_URL, psprintf("%s/webhook/%s", mf_public_url, percent_encode(account->name)), false);

	if (callbacks == MF_CALLBACKS_OFF || (callbacks == MF_CALLBACKS_BY_ACCOUNT && !account->callbacks))
		return;

	/* the random end of the reference: nobody can guess another customer's address */
	(void) mf_reference_number(reference, &stem);
	if (stem < MF_CALLBACK_TOKEN_LENGTH)
		return;
	url = psprintf("%s/callback/" INT64_FORMAT "-%.*s", mf_public_url, invoice, MF_CALLBACK_TOKEN_LENGTH,
				   reference + stem - MF_CALLBACK_TOKEN_LENGTH);
	fill(request, MF_SP_CALL_BACK_URL, url, mf_route_callbacks);
	fill(request, MF_SP_ERROR_URL, url, mf_route_callbacks);
}

/* Sets one address, unless it would be longer than MyFatoorah takes. */
static void
fill(MfRequest *request, MfSendPaymentField field, const char *url, bool replace)
{
	if ((!request->isnull[field] && !replace) || strlen(url) > MF_URL_MAX)
		return;
	request->values[field] = CStringGetTextDatum(url);
	request->isnull[field] = false;
}

/* Text as one segment of a path; palloc'd. */
static char *
percent_encode(const char *text)
{
	static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	const char *p;
	StringInfoData result;

	initStringInfo(&result);
	for (p = mf_to_utf8(text); *p != '\0'; p++)
	{
		if (strchr(unreserved, *p) != NULL)
			appendStringInfoChar(&result, *p);
		else
			appendStringInfo(&result, "%%%02X", (unsigned char) *p);
	}
	return result.data;
}
