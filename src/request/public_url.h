/*
 * public_url.h
 *	  Addresses of the listener that invoices carry.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/public_url.h
 */
#ifndef MF_PUBLIC_URL_H
#define MF_PUBLIC_URL_H

#include "request/request.h"

/* Characters of the part of a reference that a callback's path repeats */
#define MF_CALLBACK_TOKEN_LENGTH 20

/* Whether customers come back to the listener, as a row says */
typedef enum MfCallbacks
{
	MF_CALLBACKS_BY_ACCOUNT,	/* nothing: the account does */
	MF_CALLBACKS_ON,
	MF_CALLBACKS_OFF
} MfCallbacks;

/*
 * Fills CallBackUrl, ErrorUrl and WebhookUrl where the row gives none, by
 * myfatoorah.public_url; with myfatoorah.route_callbacks the first two also
 * where it does.  Does nothing without that setting, nor to the first two where
 * customers are to see MyFatoorah's own page.
 */
extern void mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference,
						 MfCallbacks callbacks);

#endif							/* MF_PUBLIC_URL_H */
