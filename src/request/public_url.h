/*
 * public_url.h
 *	  URLs of the listener in SendPayment requests.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/public_url.h
 */
#ifndef MF_PUBLIC_URL_H
#define MF_PUBLIC_URL_H

#include "request/request.h"

/* How many characters of the end of a reference are in the path of its callbacks */
#define MF_CALLBACK_TOKEN_LENGTH 20

/* Whether the customer's browser returns to the listener: the column callbacks */
typedef enum MfCallbacks
{
	MF_CALLBACKS_BY_ACCOUNT,	/* null: by the option of the account */
	MF_CALLBACKS_ON,
	MF_CALLBACKS_OFF
} MfCallbacks;

/*
 * Sets WebhookUrl, CallBackUrl and ErrorUrl to URLs of the listener, by the setting
 * myfatoorah.public_url; without that it does nothing.  CallBackUrl and ErrorUrl
 * are set only if callbacks are on: otherwise the customer sees MyFatoorah's own
 * page.  URLs that the user has given are kept, except that
 * myfatoorah.route_callbacks replaces CallBackUrl and ErrorUrl.  So does one that leads to
 * another page of the listener: the callback asks MyFatoorah before it leads on there, so
 * that this page knows what has become of the payment.
 */
extern void mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
						 MfCallbacks callbacks);

#endif							/* MF_PUBLIC_URL_H */
