/*
 * sender_record.h
 *	  Records what has become of attempts and look-ups.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sender_record.h
 */
#ifndef MF_SENDER_RECORD_H
#define MF_SENDER_RECORD_H

#include "flight.h"
#include "record.h"

/*
 * Records landed flights, in the caller's transaction, and moves them from
 * "landed" to "recorded".  An invoice that somebody has locked does not hold up
 * the others: its answer goes to the attempt at once, and to the invoice later,
 * for which *again moves forward.  With "suspect" it is one flight only, noted
 * there while it is in hand.
 */
extern void mf_sender_record(const MfSqlScope *scope, MfRecorder *recorder, dlist_head *landed, dlist_head *recorded,
							 MfFlight **suspect, TimestampTz now, TimestampTz *again);

#endif							/* MF_SENDER_RECORD_H */
