/*
 * exchange.h
 *	  An exchange made of the input: evidence, status, answer.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/exchange.h
 */
#ifndef MF_FUZZ_EXCHANGE_H
#define MF_FUZZ_EXCHANGE_H

#include "fuzz.h"

#include "core/http/http.h"

/*
 * The input begins with a byte of flags, one each for the status and the end
 * of the transfer, a text up to the byte 0x01, of which libcurl's words and
 * Retry-After are made; the rest is the body of the answer.  Plain text as the whole input works too.  Free the
 * answer with free().
 */
extern void take_exchange(Input *input, MfHttpExchange *exchange);

/* Whether the answer came whole, by the evidence. */
extern bool came_whole(const MfHttpExchange *exchange);

#endif							/* MF_FUZZ_EXCHANGE_H */
