/*
 * digest.h
 *	  SHA-256, and signatures of webhooks (HMAC-SHA256 in Base64), by
 *	  OpenSSL's libcrypto.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/digest.h
 */
#ifndef MF_DIGEST_H
#define MF_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters of 32 bytes in Base64 with padding */
#define MF_SIGNATURE_LENGTH 44

#define MF_SHA256_SIZE 32

/*
 * Whether "signature" (MF_SIGNATURE_LENGTH characters) is that of "text"
 * under any of "secrets"; NULL and empty ones are skipped.  The bytes of a
 * secret are the key: what looks like Base64 is not decoded.  The time taken
 * depends only on the length of the text and on the number and lengths of the
 * secrets, so that it reveals nothing about them.  Returns false, with *fits
 * false, if libcrypto failed, as it does when out of memory.
 */
extern bool mf_signature_check(const char *text, const char *signature,
							   const char *const *secrets, int secret_count, bool *fits);

/* SHA-256 of bytes; false if libcrypto failed. */
extern bool mf_sha256(const void *data, size_t len, uint8_t digest[MF_SHA256_SIZE]);

/* Likewise of two texts, one after the other. */
extern bool mf_sha256_of_two(const char *first, const char *second, uint8_t digest[MF_SHA256_SIZE]);

#endif							/* MF_DIGEST_H */
