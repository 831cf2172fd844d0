/*
 * inquiry_alarm.h
 *	  When this worker scans the agenda of inquiries next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/inquiry_alarm.h
 */
#ifndef MF_INQUIRY_ALARM_H
#define MF_INQUIRY_ALARM_H

#include "datatype/timestamp.h"

typedef struct MfInquiryAlarm
{
	bool		pending;		/* an inquiry may be due */
	bool		waiting;		/* a scan waits until a slot is free, or the round has ended */
	TimestampTz due;			/* when the next inquiry may be due; 0 = none is known */
} MfInquiryAlarm;

extern MfInquiryAlarm mf_inquiries;

/* Has the next round scan: the agenda of inquiries may have changed. */
extern void mf_inquiry_wake(void);

#endif							/* MF_INQUIRY_ALARM_H */
