/*
 * listener_customers.h
 *	  Customers who come back from paying: they wait until their payment has been
 *	  looked up, and are sent to the page that fits.
 *
 *	paid			the row's call_back_url, or a page of our own
 *	not paid		the row's error_url, or a page of our own
 *	not known yet	a page of our own that reloads a few times
 *
 * So no customer sees a success that is not confirmed, and none who may have paid
 * is asked to pay again.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_customers.h
 */
#ifndef MF_LISTENER_CUSTOMERS_H
#define MF_LISTENER_CUSTOMERS_H

#include "datatype/timestamp.h"

#include "core/httpd/httpd.h"
#include "inbound/inbound.h"
#include "inbound/listener_internal.h"

/* How long a customer waits for the look-up */
#define MF_CUSTOMER_WAIT_MS 5000

/*
 * Answers a stored callback, now or when the payment has been looked up.  One
 * customer waits for an invoice, the latest to come back.  If too many wait, the
 * one who has waited longest is answered.
 */
extern void mf_customer_answer(MfListener *listener, MfHttpdRequest *request, const MfInbound *message);

/* Answers those whose payment is known now or whose time is over; true if any was answered. */
extern bool mf_customers_attend(MfListener *listener);

/* When the time of one is over; 0 = nobody waits. */
extern TimestampTz mf_customers_alarm(void);

/* Answers all of them with what is known. */
extern void mf_customers_answer_all(void);

#endif							/* MF_LISTENER_CUSTOMERS_H */
