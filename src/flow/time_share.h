/*
 * time_share.h
 *	  Work whose cost grows with the number of accounts takes a part of the time only.
 *
 * A pace says when such work may be done again: not before it has been left
 * alone for several times as long as it took.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/time_share.h
 */
#ifndef MF_TIME_SHARE_H
#define MF_TIME_SHARE_H

#include "datatype/timestamp.h"

/* All zero allows the work at once. */
typedef struct MfTimeShare
{
	int64		begun;			/* processor time of this thread, ns */
	int64		next;			/* mf_http_clock(), ns */
} MfTimeShare;

/* Whether the work may be done now. */
extern bool mf_time_share_allows(const MfTimeShare *pace);

/* When it may be done; now, if it may. */
extern TimestampTz mf_time_share_time(const MfTimeShare *pace);

/* To be called around the work. */
extern void mf_time_share_begin(MfTimeShare *pace);
extern void mf_time_share_end(MfTimeShare *pace);

#endif							/* MF_TIME_SHARE_H */
