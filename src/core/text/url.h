/*
 * url.h
 *	  Validates URLs that users give for others to open: customers' browsers,
 *	  MyFatoorah.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/url.h
 */
#ifndef MF_URL_H
#define MF_URL_H

typedef enum MfUrlVerdict
{
	MF_URL_GOOD,
	MF_URL_NO_WEB,				/* not http or https with a host, or out of
								 * memory */
	MF_URL_AMBIGUOUS,			/* browsers and other programs may find
								 * different hosts in it */
	MF_URL_LOCAL				/* leads to the machine of whoever opens it,
								 * and not by 127.x.x.x */
} MfUrlVerdict;

/* Returns the first problem of a URL, or MF_URL_GOOD. */
extern MfUrlVerdict mf_url_check(const char *url);

#endif							/* MF_URL_H */
