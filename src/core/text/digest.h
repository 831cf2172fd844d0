/*
 * digest.h
 *	  SHA-256, and signatures of webhooks, by OpenSSL's libcrypto.
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
 * Whether "signature" (MF_SIGNATURE_LENGTH characters) is that of "text" under
 * any of "secrets"; those that are NULL or empty are passed over.  A secret is
 * its bytes as given: what looks like Base64 is not decoded.  The time taken
 * depends on the length of the text and the number and lengths of the secrets
 * only, not on how nearly one fits, or which.  False if libcrypto failed, as
 * it does when out of memory: then nothing is known.
 */
extern bool mf_signature_check(const char *text, const char *signature,
							   const char *const *secrets, int secret_count, bool *fits);

/* SHA-256 of bytes; false as above. */
extern bool mf_sha256(const void *data, size_t len, uint8_t digest[MF_SHA256_SIZE]);

/* The same of two texts, one after the other. */
extern bool mf_sha256_of_two(const char *first, const char *second, uint8_t digest[MF_SHA256_SIZE]);

#endif							/* MF_DIGEST_H */
