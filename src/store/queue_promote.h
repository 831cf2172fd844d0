/*
 * queue_promote.h
 *	  What has become due takes the place that its priority gives it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_promote.h
 */
#ifndef MF_QUEUE_PROMOTE_H
#define MF_QUEUE_PROMOTE_H

#include "store/queue.h"

/*
 * Promotes what is due by now in these accounts, unless their claims begin at a
 * mark.  A failure is logged and changes only the order of sending.
 */
extern void mf_promote_due(const MfSqlScope *scope, const MfClaimLimit *limits, int count, TimestampTz now);

#endif							/* MF_QUEUE_PROMOTE_H */
