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
typedef struct MfPace
{
	int64		begun;			/* processor time of this thread, ns */
	int64		next;			/* mf_http_clock(), ns */
} MfPace;

/* Whether the work may be done now. */
extern bool mf_pace_allows(const MfPace *pace);

/* When it may be done; now, if it may. */
extern TimestampTz mf_pace_time(const MfPace *pace);

/* To be called around the work. */
extern void mf_pace_begin(MfPace *pace);
extern void mf_pace_end(MfPace *pace);

#endif							/* MF_TIME_SHARE_H */
