/*
 * api_proof.h
 *	  What is known about POST /v3/payments at an address with a key: the table mf_api_proof.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/api_proof.h
 */
#ifndef MF_API_PROOF_H
#define MF_API_PROOF_H

#include "account/account.h"
#include "database/sql.h"

typedef enum MfProof
{
	MF_PROOF_NONE,				/* nobody has tried */
	MF_PROOF_GIVEN,				/* the same request with the same key has given the same invoice, and a
								 * look-up has found it by its reference */
	MF_PROOF_REFUTED			/* it has given another invoice, or the look-up has found nothing */
} MfProof;

/* Whether anything is known of any account, which is cheap to ask. */
extern bool mf_api_proof_any(const MfSqlScope *scope);

/* A proof is of this account in this country, and of one address and key, as mf_http_target_checksum() */
extern MfProof mf_api_proof(const MfSqlScope *scope, const MfAccount *account, int32 sent_to);

/* The same as mf_check() tells it: when, and what was seen; palloc'd, NULL with MF_PROOF_NONE */
extern MfProof mf_api_proof_details(const MfSqlScope *scope, const MfAccount *account, int32 sent_to,
									TimestampTz *at, char **detail);

/* Replaces what was known. */
extern void mf_api_proof_set(const MfSqlScope *scope, const MfAccount *account, int32 sent_to, bool given,
							 const char *detail);

/*
 * Whether rows of the account go by POST /v3/payments, where it can carry them: by its
 * option, its country, and what is known.
 */
extern bool mf_api_is_v3(const MfAccount *account, MfProof proof);

#endif							/* MF_API_PROOF_H */
