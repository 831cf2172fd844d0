/*
 * token_bucket.h
 *	  A rate limit: tokens come at a constant rate, and each request takes one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/token_bucket.h
 */
#ifndef MF_TOKEN_BUCKET_H
#define MF_TOKEN_BUCKET_H

#include "datatype/timestamp.h"

/* All zero: filled to its capacity at first use */
typedef struct MfTokenBucket
{
	double		tokens;			/* negative: a debt */
	TimestampTz filled_at;		/* 0 = fill it */
} MfTokenBucket;

/*
 * Adds the tokens that have come since the last call, "rate" a second, up to
 * "capacity" or 1, whichever is more.  Returns when there will be a token, or 0
 * if there is one.
 */
extern TimestampTz mf_token_bucket_fill(MfTokenBucket *bucket, double rate, double capacity, TimestampTz now);

#endif							/* MF_TOKEN_BUCKET_H */
