/*
 * status.h
 *	  An invoice as GetPaymentStatus shows it.
 */
#ifndef SANDBOX_STATUS_H
#define SANDBOX_STATUS_H

#include "store.h"

extern void status_put_data(Buf *b, const Invoice *inv, bool with_token);
extern void status_put_operation(Buf *b, const Invoice *inv);
extern void status_put_invoice_summary(Buf *b, const Invoice *inv, const char *public_url);
extern void status_put_card(Buf *b, const PaymentTry *t, bool with_token);
extern const char *try_status_word(TryStatus status);
extern const char *gateway_name(Gateway gateway);

#endif
