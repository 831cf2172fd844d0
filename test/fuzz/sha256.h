/*
 * sha256.h
 *	  HMAC-SHA256 by its specification, to check that of libcrypto.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/sha256.h
 */
#ifndef MF_FUZZ_SHA256_H
#define MF_FUZZ_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* FIPS 180-4, section 6.2 */
extern void plain_sha256(const void *data, size_t len, uint8_t digest[32]);

/* RFC 2104 with it, in the Base64 of RFC 4648, NUL-terminated */
extern void plain_signature(const char *secret, const char *text, char signature[45]);

#endif							/* MF_FUZZ_SHA256_H */
