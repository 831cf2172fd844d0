/*
 * pace.h
 *	  Work whose cost grows with the number of accounts takes a part of the time only.
 *
 * A pace says when such work may be done again: not before it has been left
 * alone for several times as long as it took.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/pace.h
 */
#ifndef MF_PACE_H
#define MF_PACE_H

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

#endif							/* MF_PACE_H */
