/*
 * queue_promote.h
 *	  Gives due agenda entries the rank by their priority.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_promote.h
 */
#ifndef MF_QUEUE_PROMOTE_H
#define MF_QUEUE_PROMOTE_H

#include "store/queue.h"

/*
 * Promotes the entries of these accounts that have become due, unless their claims
 * begin at a position: the new ranks may be below that.  A failure is logged; then the order of sending is that of due
 * times, and nothing is promoted for a minute.
 */
extern void mf_promote_due(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now);

#endif							/* MF_QUEUE_PROMOTE_H */
