/*
 * deposit_reading.h
 *	  Reads deposits that webhooks have announced, or people have asked for.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/deposit_reading.h
 */
#ifndef MF_DEPOSIT_READING_H
#define MF_DEPOSIT_READING_H

#include "flight/claim_account.h"

/*
 * Claims a deposit of the account that is due, and builds its request, or puts it off.
 * Returns 1, or 0 if none can be claimed now.
 */
extern int	mf_deposit_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account, TimestampTz now);

/* Stores the answer, or what comes next.  False if the deposit is locked by somebody else. */
extern bool mf_deposit_record(const MfSqlScope *scope, MfFlight *flight, TimestampTz now);

#endif							/* MF_DEPOSIT_READING_H */
