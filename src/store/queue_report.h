/*
 * queue_report.h
 *	  SQL of what mf_check() reports of the agenda.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_report.h
 */
#ifndef MF_QUEUE_REPORT_H
#define MF_QUEUE_REPORT_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* All of these have a scope of their own. */

/* Number of invoices that wait for a time of the day at which their account sends; when the first is due. */
extern int64 mf_queue_count_timed(Oid schema, const char *account, TimestampTz *first);

/* Number of agenda entries. */
extern int64 mf_queue_size(Oid schema);

/* Whether an account has an entry that is due now or within the longest back-off. */
extern bool mf_queue_any_due(Oid schema, const char *account);

/* Number of invoices of an account that a person has to decide about. */
extern int64 mf_queue_count_reviews(Oid schema, const char *account);

/* Number of accounts except "but" that are paused because MyFatoorah refuses them; one of them, palloc'd. */
extern int64 mf_queue_count_refused_accounts(Oid schema, const char *but, char **example);

/* Invoices of an account that are put off with the same error */
typedef struct MfPutOffError
{
	int64		count;
	int64		invoice;		/* one of them */
	char	   *error;
} MfPutOffError;

/* A session that has locked due invoices of an account */
typedef struct MfLocker
{
	int			pid;
	Oid			role;
	int64		count;			/* invoices */
	int64		invoice;		/* one of them */
} MfLocker;

/* List of MfLocker; locks that several sessions share are not found. */
extern List *mf_queue_lockers(Oid schema, const char *account);

/* List of MfPutOffError, at most "limit". */
extern List *mf_queue_put_off_errors(Oid schema, const char *account, int limit);

/*
 * Number of inquiries of an account, about invoices or events, that get no usable
 * answer; one of them, and the error in its row or NULL, both palloc'd.
 */
extern int64 mf_inquiries_unanswered(Oid schema, const char *account, char **example, char **error);

#endif							/* MF_QUEUE_REPORT_H */
