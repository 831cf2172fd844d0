/*
 * digest.c
 *	  SHA-256 that raises an error if it fails.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/digest.c
 */
#include "postgres.h"

#include "base/text_domain.h"
#include "core/text/digest.h"
#include "database/digest.h"

void
mf_digest(const void *data, size_t len, uint8 *digest)
{
	/* of bytes in memory it fails for lack of memory only, so no row is to blame */
	if (!mf_sha256(data, len, digest))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not compute SHA-256 digest")));
}
