/*
 * queue_report.h
 *	  What mf_check() reports of the agenda.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_report.h
 */
#ifndef MF_QUEUE_REPORT_H
#define MF_QUEUE_REPORT_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* How many invoices wait for a time of the day at which their account sends, and until when the first one. */
extern int64 mf_queue_count_timed(Oid schema, const char *account, TimestampTz *first);

/* Entries of the agenda. */
extern int64 mf_queue_size(Oid schema);

/* Whether an account has an invoice to send or to look up, now or within the longest back-off. Own scope. */
extern bool mf_queue_any_due(Oid schema, const char *account);

/* How many accounts but one are paused because MyFatoorah refuses them, and one of them, palloc'd. Own scope. */
extern int64 mf_queue_count_reviews(Oid schema, const char *account);
extern int64 mf_queue_count_refused_accounts(Oid schema, const char *but, char **example);

/* Invoices of an account that are put off because of the same error, and one of them */
typedef struct MfPutOffError
{
	int64		count;
	int64		invoice;
	char	   *error;
} MfPutOffError;

/* Who keeps invoices of an account from being done that are due, by locks of theirs */
typedef struct MfLocker
{
	int			pid;
	Oid			role;
	int64		count;			/* invoices */
	int64		invoice;		/* one of them */
} MfLocker;

/* List of MfLocker; locks that several hold together are not seen. */
extern List *mf_queue_lockers(Oid schema, const char *account);

/* List of MfPutOffError, at most "limit". */
extern List *mf_queue_put_off_errors(Oid schema, const char *account, int limit);

/*
 * How many questions of an account get no usable answer, be it about invoices or
 * events; one of them, and what its row says.
 */
extern int64 mf_inquiries_unanswered(Oid schema, const char *account, char **example, char **error);

#endif							/* MF_QUEUE_REPORT_H */
