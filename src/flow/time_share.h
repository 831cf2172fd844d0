/*
 * time_share.h
 *	  Limits work whose cost grows with the number of accounts to a tenth of the time.
 *
 * After such work has taken some processor time, it is not done again for nine
 * times as long.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/time_share.h
 */
#ifndef MF_TIME_SHARE_H
#define MF_TIME_SHARE_H

#include "datatype/timestamp.h"

/* All zero: the work may be done at once */
typedef struct MfTimeShare
{
	int64		begun;			/* processor time of this thread, in ns */
	int64		next;			/* mf_http_clock(), in ns */
} MfTimeShare;

/* Whether the work may be done now. */
extern bool mf_time_share_allows(const MfTimeShare *share);

/* When the work may be done; not later than now if it already may */
extern TimestampTz mf_time_share_time(const MfTimeShare *share);

/* To be called before and after the work. */
extern void mf_time_share_begin(MfTimeShare *share);
extern void mf_time_share_end(MfTimeShare *share);

#endif							/* MF_TIME_SHARE_H */
