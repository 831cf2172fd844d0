/*
 * digest.c
 *	  SHA-256, and signatures of webhooks (HMAC-SHA256 in Base64), by
 *	  OpenSSL's libcrypto.
 *
 * Uses only functions that OpenSSL 1.1.1 has and that OpenSSL 3 does not
 * deprecate.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/text/digest.c
 */
#include "core/text/digest.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static bool
make_signature(const char *secret, const char *text, unsigned char signature[MF_SIGNATURE_LENGTH + 1])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len = 0;
	size_t		secret_len = strlen(secret);
	bool		done;

	done = secret_len <= INT_MAX &&
		HMAC(EVP_sha256(), secret, (int) secret_len,
			 (const unsigned char *) text, strlen(text), mac, &mac_len) != NULL &&
		mac_len == MF_SHA256_SIZE &&
		EVP_EncodeBlock(signature, mac, MF_SHA256_SIZE) == MF_SIGNATURE_LENGTH;
	OPENSSL_cleanse(mac, sizeof(mac));
	return done;
}

/*
 * The texts are compared, not the bytes they stand for: Base64 has several
 * spellings of the same bytes, and MyFatoorah sends one of them.
 */
bool
mf_signature_check(const char *text, const char *signature,
				   const char *const *secrets, int secret_count, bool *fits)
{
	unsigned char expected[MF_SIGNATURE_LENGTH + 1];
	bool		done = true;
	int			i;

	*fits = false;
	for (i = 0; i < secret_count; i++)
	{
		if (secrets[i] == NULL || secrets[i][0] == '\0')
			continue;
		if (!make_signature(secrets[i], text, expected))
			done = false;
		else
			*fits |= (CRYPTO_memcmp(expected, signature, MF_SIGNATURE_LENGTH) == 0);
	}
	OPENSSL_cleanse(expected, sizeof(expected));
	if (!done)
	{
		/* the queue is the thread's; others would take our errors for theirs */
		ERR_clear_error();
		*fits = false;
	}
	return done;
}

static bool
sha256(const void *first, size_t first_len, const void *second, size_t second_len, uint8_t digest[MF_SHA256_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		done;

	done = context != NULL &&
		EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(context, first, first_len) == 1 &&
		EVP_DigestUpdate(context, second, second_len) == 1 &&
		EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!done)
		ERR_clear_error();
	return done;
}

bool
mf_sha256(const void *data, size_t len, uint8_t digest[MF_SHA256_SIZE])
{
	return sha256(data, len, "", 0, digest);
}

bool
mf_sha256_of_two(const char *first, const char *second, uint8_t digest[MF_SHA256_SIZE])
{
	return sha256(first, strlen(first), second, strlen(second), digest);
}

