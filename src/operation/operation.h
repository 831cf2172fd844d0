/*
 * operation.h
 *	  Refunds, captures and releases: claims what is due, records outcomes.
 *
 * As with invoices, an attempt is committed before its request leaves, and its outcome
 * is recorded in a later round.  What stays unknown is looked up by inquiries, and is
 * never repeated by itself.  All of this is part of the worker's rounds.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/operation/operation.h
 */
#ifndef MF_OPERATION_H
#define MF_OPERATION_H

#include "database/sql.h"
#include "flight/claim_account.h"

/* Has the next round look at what is due. */
extern void mf_operation_wake(void);

/* Whether a round would do so. */
extern bool mf_operation_has_work(void);

/*
 * Claims what is due, and builds its requests.  Makes *next_round earlier if more is
 * due before.
 */
extern void mf_operation_claim(const MfSqlScope *scope, const MfClaim *claim, TimestampTz now, TimestampTz *next_round);

/*
 * Records the outcomes of flights in "landed", as many as the round may take, and moves
 * these flights to "recorded".  A flight whose row is locked stays, and *next_round becomes
 * earlier if it is tried again before.
 */
extern void mf_operation_record(const MfSqlScope *scope, dlist_head *landed, dlist_head *recorded, TimestampTz now,
								TimestampTz *next_round);

/* Records only with the attempt how it has ended, as for mf_sender_keep_answer(). */
extern void mf_operation_keep_answer(const MfSqlScope *scope, const MfFlight *flight);

#endif							/* MF_OPERATION_H */
