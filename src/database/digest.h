/*
 * digest.h
 *	  SHA-256 that raises an error if it fails.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/digest.h
 */
#ifndef MF_DATABASE_DIGEST_H
#define MF_DATABASE_DIGEST_H

/* Writes 32 bytes to "digest". */
extern void mf_digest(const void *data, size_t len, uint8 *digest);

#endif							/* MF_DATABASE_DIGEST_H */
