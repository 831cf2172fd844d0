/*
 * endpoint.h
 *	  All endpoints of MyFatoorah that we call, in one table: verb, path, shape of
 *	  the answer, and what an answer proves.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/endpoint.h
 */
#ifndef MF_ENDPOINT_H
#define MF_ENDPOINT_H

#include <stdbool.h>

#include "core/http/http.h"

/*
 * What a body that reports success looks like.  Errors come in an envelope for all of
 * them, in ValidationErrors or FieldsErrors; both are read everywhere.
 */
typedef enum MfShape
{
	MF_SHAPE_DATA,				/* {IsSuccess, Message, ..., Data} */
	MF_SHAPE_BOOLEAN,			/* the same, and success means that Data is true */
	MF_SHAPE_BARE_ARRAY		/* [...]: the array is the data */
} MfShape;

typedef enum MfEffect
{
	MF_EFFECT_NONE,				/* a question: it can be repeated */
	MF_EFFECT_CREATES,			/* makes something new each time: success is proved by the
								 * number of what was made, a refusal by a list of errors in
								 * an answer that names nothing of the kind */
	MF_EFFECT_CHANGES			/* changes what exists: a question about that tells
								 * whether it was done */
} MfEffect;

#define MF_ENDPOINT_TRACES 4

typedef struct MfEndpoint
{
	const char *name;			/* MyFatoorah's */
	MfHttpVerb	verb;
	const char *path;			/* if it ends in "=", a value follows */
	MfShape		shape;
	MfEffect	effect;
	bool		idempotency_key;	/* takes the header (in some countries) */
	bool		large;			/* the answer has a row for each of many invoices */

	/* members of Data about what was made or changed; NULL = there is none */
	const char *id;				/* its number, which success has to name */
	bool		id_is_text;		/* in digits within quotes, not a JSON number */
	const char *url;			/* its link; none but to a web page is believed */
	bool		url_is_needed;	/* success has to give it, and there */
	const char *completed;		/* whether it was paid by this very request, which success has to deny */
	const char *echo;			/* our reference, as it was sent */
	bool		echo_is_loose;	/* may be missing, and be anywhere in the answer */

	/* members that appear only if something was made; NULL behind the last */
	const char *traces[MF_ENDPOINT_TRACES];
} MfEndpoint;

typedef enum MfEndpointNumber
{
	MF_SEND_PAYMENT,
	MF_EXECUTE_PAYMENT,
	MF_V3_CREATE_PAYMENT,
	MF_MAKE_REFUND,
	MF_MAKE_SUPPLIER_REFUND,

	MF_UPDATE_PAYMENT_STATUS,
	MF_CANCEL_RECURRING_PAYMENT,	/* the RecurringId follows */
	MF_RESUME_RECURRING_PAYMENT,	/* likewise */

	MF_GET_PAYMENT_STATUS,
	MF_GET_REFUND_STATUS,
	MF_GET_WEBHOOKS,
	MF_GET_DEPOSITED_INVOICES,
	MF_INITIATE_PAYMENT,
	MF_GET_EXCHANGE_RATES,
	MF_GET_RECURRING_PAYMENT,
	MF_GET_SUPPLIERS,
	MF_ENDPOINT_COUNT
} MfEndpointNumber;

extern const MfEndpoint mf_endpoints[MF_ENDPOINT_COUNT];

/*
 * The path of a request: the endpoint's, and behind it "value", which is UTF-8 and gets
 * encoded; NULL = nothing.  malloc'd; NULL when out of memory.
 */
extern char *mf_endpoint_path(const MfEndpoint *endpoint, const char *value);

#endif							/* MF_ENDPOINT_H */
