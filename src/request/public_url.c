/*
 * public_url.c
 *	  URLs of the listener in SendPayment requests.
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

static bool leads_here(const MfRequest *request, MfSendPaymentField field);
static char *percent_encode(const char *text);
static void set_url(MfRequest *request, MfSendPaymentField field, const char *url, bool replace);

void
mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
			 MfCallbacks callbacks)
{
	bool		come_back = leads_here(request, MF_SP_CALL_BACK_URL) || leads_here(request, MF_SP_ERROR_URL);
	char	   *url;
	int			stem;

	if (mf_public_url == NULL || mf_public_url[0] == '\0')
		return;

	set_url(request, MF_SP_WEBHOOK_URL, psprintf("%s/webhook/%s", mf_public_url, percent_encode(account->name)), false);

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

/* Text as one segment of a URL's path; palloc'd. */
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
