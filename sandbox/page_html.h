/*
 * page_html.h
 *	  The HTML of the invoice pages.
 */
#ifndef SANDBOX_PAGE_HTML_H
#define SANDBOX_PAGE_HTML_H

#include "store.h"

extern void html_invoice(Buf *b, const Invoice *inv, const char *base, const char *notice);
extern void html_result(Buf *b, const Invoice *inv, const PaymentTry *t);
extern void html_not_found(Buf *b);
extern void html_home(Buf *b, const char *public_url, bool tls);

#endif
