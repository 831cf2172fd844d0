/*
 * token_bucket.c
 *	  A rate limit: tokens come at a constant rate, and each request takes one.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/token_bucket.c
 */
#include "postgres.h"

#include <math.h>

#include "flow/token_bucket.h"

TimestampTz
mf_token_bucket_fill(MfTokenBucket *bucket, double rate, double capacity, TimestampTz now)
{
	capacity = Max(capacity, 1.0);
	if (bucket->filled_at == 0)
		bucket->tokens = capacity;
	else if (now > bucket->filled_at)
		bucket->tokens += (now - bucket->filled_at) * rate / 1000000.0;
	bucket->tokens = Min(bucket->tokens, capacity);
	bucket->filled_at = now;
	if (bucket->tokens >= 1.0)
		return 0;
	return now + (TimestampTz) ceil((1.0 - bucket->tokens) * 1000000.0 / rate) + 1;
}
