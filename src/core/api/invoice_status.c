/*
 * invoice_status.c
 *	  The states of an invoice (mf_invoice.status), and the allowed
 *	  transitions.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/invoice_status.c
 */
#include "core/api/invoice_status.h"

#include <string.h>

static const char *const status_names[MF_STATUS_COUNT] = {
	"queued", "sending", "sent", "rejected", "unknown", "review", "cancelled"
};

/* Rows: from; bits: to */
#define TO(status) (1 << (status))
static const int allowed_transitions[MF_STATUS_COUNT] = {
	/* queued */ TO(MF_STATUS_SENDING) | TO(MF_STATUS_CANCELLED) | TO(MF_STATUS_REJECTED) |
	TO(MF_STATUS_UNKNOWN) | TO(MF_STATUS_REVIEW),
	/* sending */ TO(MF_STATUS_QUEUED) | TO(MF_STATUS_SENT) | TO(MF_STATUS_REJECTED) | TO(MF_STATUS_UNKNOWN) |
	TO(MF_STATUS_CANCELLED),
	/* sent */ TO(MF_STATUS_REVIEW),
	/* rejected */ TO(MF_STATUS_QUEUED) | TO(MF_STATUS_CANCELLED),
	/* unknown */ TO(MF_STATUS_SENT) | TO(MF_STATUS_QUEUED) | TO(MF_STATUS_REVIEW) | TO(MF_STATUS_SENDING),
	/* review */ TO(MF_STATUS_SENT) | TO(MF_STATUS_QUEUED) | TO(MF_STATUS_CANCELLED),
	/* cancelled */ 0
};

const char *
mf_status_name(MfStatus status)
{
	return status_names[status];
}

int
mf_status_from_name(const char *name)
{
	int			i;

	for (i = 0; i < MF_STATUS_COUNT; i++)
	{
		if (strcmp(status_names[i], name) == 0)
			return i;
	}
	return -1;
}

bool
mf_transition_allowed(MfStatus from, MfStatus to)
{
	return (allowed_transitions[from] & TO(to)) != 0;
}
