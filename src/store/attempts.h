/*
 * attempts.h
 *	  SQL of attempts to send invoices: their starts, ends and references.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/attempts.h
 */
#ifndef MF_ATTEMPTS_H
#define MF_ATTEMPTS_H

#include "core/api/outcome.h"
#include "database/sql.h"
#include "store/invoice.h"

/* An attempt, recorded before its request leaves */
typedef struct MfAttempt
{
	int64		invoice;
	int			attempt;
	const char *reference;
	uint8		body_sha256[32];
	TimestampTz send_by;
	int32		sent_to;		/* mf_http_target_checksum() */
} MfAttempt;

/* The end of an attempt */
typedef struct MfAttemptEnd
{
	int64		invoice;
	int			attempt;
	const char *reference;		/* under which it was sent; NULL = not known */
	MfOutcome	outcome;
	int			http_status;	/* 0 = none */
	const char *invoice_id;		/* what the answer held; NULL = none */
	const char *invoice_url;
	const char *answered_reference; /* if it was another */
	const char *error;
} MfAttemptEnd;

extern void mf_queue_begin_attempts(const MfSqlScope *scope, const MfAttempt *attempts, int count);
extern void mf_queue_end_attempts(const MfSqlScope *scope, const MfAttemptEnd *ends, int count);

/*
 * The recorded ends of the latest attempts of those invoices, where there is
 * one.  List of MfAttemptEnd.
 */
extern List *mf_queue_recorded_ends(const MfSqlScope *scope, const int64 *invoices, int count);

/* What the attempts of a row under one reference tell */
typedef struct MfReference
{
	char	   *reference;
	bool		open;			/* one may have made an invoice, and no resend
								 * has given that up since */
	bool		unknown;		/* what became of one was never known */
	char	   *answered_id;	/* InvoiceId that an answer has held; NULL = none did */
	bool		sent;			/* one that may have made an invoice went to */
	int32		sent_to;		/* this mf_http_target_checksum(), the latest */
	int			latest;			/* number of the latest */
} MfReference;

/* All references under which attempts of a row were made, whatever the row says now; that of the latest first. */
extern List *mf_queue_references(const MfSqlScope *scope, int64 invoice);

/* Gives a row, which is locked, the number of its latest attempt. */
extern void mf_queue_set_attempts(const MfSqlScope *scope, int64 invoice, int attempts);

/*
 * The reference for sending a row again: that of its latest attempt, or else the
 * row's own, with a number that none of them has had.  The row's own may be a later
 * one without an attempt: another server's.
 */
extern char *mf_queue_fresh_reference(const List *references, const char *own);

/* Whether an attempt of that row was made under that reference. */
extern bool mf_queue_has_attempt(const MfSqlScope *scope, int64 invoice, const char *reference);

/*
 * Delete a batch of attempts or transitions older than the retention time of
 * invoices that are finished; how many.
 */
extern uint64 mf_queue_purge_attempts(const MfSqlScope *scope, TimestampTz before);
extern uint64 mf_queue_purge_transitions(const MfSqlScope *scope, TimestampTz before);

#endif							/* MF_ATTEMPTS_H */
