/*
 * inquiry_alarm.c
 *	  When this worker scans the agenda of inquiries next.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/inquiry_alarm.c
 */
#include "postgres.h"

#include "flow/inquiry_alarm.h"

MfInquiryAlarm mf_inquiries;

void
mf_inquiry_wake(void)
{
	mf_inquiries.pending = true;
	mf_inquiries.waiting = false;
}
