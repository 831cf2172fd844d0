/*
 * digest.h
 *	  SHA-256 by libcrypto.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/digest.h
 */
#ifndef MF_DIGEST_H
#define MF_DIGEST_H

/* Writes 32 bytes; raises an error if it cannot be computed. */
extern void mf_digest(const void *data, size_t len, uint8 *digest);

#endif							/* MF_DIGEST_H */
