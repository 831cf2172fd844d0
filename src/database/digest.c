/*
 * digest.c
 *	  SHA-256 by libcrypto.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/digest.c
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "database/digest.h"

void
mf_digest(const void *data, size_t len, uint8 *digest)
{
	/* kept for the life of the process: to look the algorithm up takes as long as to digest an invoice */
	static EVP_MD_CTX *context = NULL;
	const EVP_MD *algorithm = NULL; /* that of the context */

	if (context == NULL)
	{
		context = EVP_MD_CTX_new();
		algorithm = EVP_sha256();
	}
	if (context == NULL ||
		EVP_DigestInit_ex(context, algorithm, NULL) != 1 ||
		EVP_DigestUpdate(context, data, len) != 1 ||
		EVP_DigestFinal_ex(context, digest, NULL) != 1)
	{
		EVP_MD_CTX_free(context);
		context = NULL;
		ERR_clear_error();

		/* of bytes in memory it fails for nothing else, and no row is to blame */
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not compute a digest")));
	}
}
