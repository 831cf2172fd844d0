/*
 * invoice_status.h
 *	  The states of an invoice (mf_invoice.status), and the allowed
 *	  transitions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/invoice_status.h
 */
#ifndef MF_INVOICE_STATUS_H
#define MF_INVOICE_STATUS_H

#include <stdbool.h>

typedef enum MfStatus
{
	MF_STATUS_QUEUED,
	MF_STATUS_SENDING,
	MF_STATUS_SENT,
	MF_STATUS_REJECTED,
	MF_STATUS_UNKNOWN,
	MF_STATUS_REVIEW,
	MF_STATUS_CANCELLED,
	MF_STATUS_COUNT
} MfStatus;

/* The value of mf_invoice.status; and back, -1 for any other word. */
extern const char *mf_status_name(MfStatus status);
extern int	mf_status_from_name(const char *name);

extern bool mf_transition_allowed(MfStatus from, MfStatus to);

#endif							/* MF_INVOICE_STATUS_H */
