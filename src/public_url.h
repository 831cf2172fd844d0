/*
 * public_url.h
 *	  Addresses of the listener that invoices carry.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/public_url.h
 */
#ifndef MF_PUBLIC_URL_H
#define MF_PUBLIC_URL_H

#include "request.h"

/*
 * Fills CallBackUrl, ErrorUrl and WebhookUrl where the row gives none, by
 * myfatoorah.public_url; with myfatoorah.route_callbacks the first two also
 * where it does.  Does nothing without that setting.
 */
extern void mf_fill_urls(MfRequest *request, const MfAccount *account, int64 invoice, const char *reference);

#endif							/* MF_PUBLIC_URL_H */
