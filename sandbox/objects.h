/*
 * objects.h
 *	  The objects that webhooks of version 2 and the calls of V3 speak in:
 *	  Invoice, Transaction, Customer, Amount, Suppliers.
 */
#ifndef SANDBOX_OBJECTS_H
#define SANDBOX_OBJECTS_H

#include "store.h"

extern void put_member(Buf *b, const char *name);
extern void put_text(Buf *b, const char *name, Str value);
extern void put_text_or_null(Buf *b, const char *name, Str value);
extern void put_amount(Buf *b, const char *name, Decimal value);
extern void put_upper(Buf *b, const char *name, const char *word);
extern void put_compact(Buf *b, const char *name, Ticks t);
extern void put_utc(Buf *b, const char *name, Ticks t, int digits);
extern void put_invoice_reference(Buf *b, const Invoice *inv);

extern const char *try_status_upper(TryStatus status);
extern Decimal object_receivable(const Invoice *inv, const PaymentTry *t);
extern void object_invoice(Buf *b, const Invoice *inv);
extern void object_invoice_v3(Buf *b, const Invoice *inv);
extern void object_transaction(Buf *b, const PaymentTry *t, const char *name, bool v3, bool with_token);
extern void object_customer(Buf *b, const Invoice *inv);
extern void object_customer_v3(Buf *b, const Invoice *inv, bool with_reference);
extern void object_amounts(Buf *b, const Invoice *inv, const PaymentTry *t);
extern void object_suppliers(Buf *b, const Invoice *inv);

#endif
