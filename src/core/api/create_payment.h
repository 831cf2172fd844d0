/*
 * create_payment.h
 *	  POST /v3/payments: the request of an invoice, from the fields of SendPayment.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/create_payment.h
 */
#ifndef MF_CREATE_PAYMENT_H
#define MF_CREATE_PAYMENT_H

#include "core/api/api.h"

/* What differs from the values of a SendPayment request; NULL = nothing */
typedef struct MfCreatePayment
{
	const char *const *values;	/* in the order of mf_send_payment_fields[] */
	const char *currency;		/* base currency of the account, ISO 4217 */
	const char *dial_code;		/* of its country, digits: for a mobile without a code */
	const char *expiry;			/* in UTC, "YYYY-MM-DD hh:mm:ss", with Z or without */
} MfCreatePayment;

/*
 * The first field that POST /v3/payments cannot carry with the same meaning, MF_SP_COUNT
 * if it can carry all.  values[MF_SP_CUSTOMER_REFERENCE] is not looked at.
 */
extern MfSendPaymentField mf_create_payment_obstacle(const MfCreatePayment *payment);

/*
 * Builds the JSON body, with values[MF_SP_CUSTOMER_REFERENCE] as ExternalIdentifier.  Equal
 * values give the same bytes.  There must be no obstacle.  Malloc'd; NULL when out of
 * memory, or if a value is not valid.
 */
extern char *mf_create_payment_body(const MfCreatePayment *payment, size_t *len);

#endif							/* MF_CREATE_PAYMENT_H */
