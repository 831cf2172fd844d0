/*
 * inquiry_alarm.h
 *	  When the worker of this process looks for due inquiries next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/inquiry_alarm.h
 */
#ifndef MF_INQUIRY_ALARM_H
#define MF_INQUIRY_ALARM_H

#include "datatype/timestamp.h"

typedef struct MfInquiryAlarm
{
	bool		pending;		/* something may be due */
	bool		waiting;		/* for a free slot, or for the end of a round */
	TimestampTz due;			/* something will be, 0 = never without news */
} MfInquiryAlarm;

extern MfInquiryAlarm mf_inquiries;

/* The agenda of inquiries has changed. */
extern void mf_inquiry_wake(void);

#endif							/* MF_INQUIRY_ALARM_H */
