/*
 * flight_internal.h
 *	  What the flight_*.c files share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flight/flight_internal.h
 */
#ifndef MF_FLIGHT_INTERNAL_H
#define MF_FLIGHT_INTERNAL_H

#include "flight/flight.h"

/* mf_flight_verdict() of a look-up */
extern bool mf_lookup_verdict(const MfFlight *flight, TimestampTz now, MfTransition *transition, MfFollowUp *follow_up);

/* Has a row that is sent watched, if it may have a second invoice. */
extern void mf_lookup_watch(const MfFlight *flight, TimestampTz now, MfTransition *transition);

/* Changes the status to "review".  The entry stays on the agenda, never due. */
extern void mf_transition_to_review(MfTransition *transition);

#endif							/* MF_FLIGHT_INTERNAL_H */
