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
	int32		sent_to;		/* address and key, as mf_http_target_checksum() */
	bool		v3;				/* by POST /v3/payments: */
	int64		boot;			/* as mf_boot_clock() when it started; 0 = not known */
	int64		boot_clock;
	int			repeats;		/* the attempt whose request it repeats, to get its answer; 0 = none */
} MfAttempt;

/* The word in mf_attempt.api; NULL stands for SendPayment */
#define MF_API_V3_NAME "v3"

/* The end of an attempt */
typedef struct MfAttemptEnd
{
	int64		invoice;
	int			attempt;
	const char *reference;		/* under which it was sent; NULL = not known */
	MfOutcome	outcome;
	int			http_status;	/* of a whole answer, or of one that reports an error; 0 = none came */
	const char *invoice_id;		/* of the answer; NULL = it had none */
	const char *invoice_url;
	const char *answered_reference; /* CustomerReference of the answer if it was another one; NULL = it was not */
	const char *recurring_id;	/* of a plan that begins with the invoice; NULL = none */
	const char *error;
	int			repeats;		/* as in MfAttempt */
	const char *found_id;		/* then the InvoiceId that a look-up has found before; NULL = not known */
} MfAttemptEnd;

/*
 * Record attempts before their requests leave, and their ends.  A known outcome is not
 * overwritten.  Of refunds, captures and releases ends[].invoice is the row of mf_operation,
 * and invoice_id the RefundId.
 */
extern void mf_queue_begin_attempts(const MfSqlScope *scope, const MfAttempt *attempts, int count);
extern void mf_queue_end_attempts(const MfSqlScope *scope, const MfAttemptEnd *ends, int count, bool of_operations);

/* The recorded ends of the latest attempts of those invoices that have one.  List of MfAttemptEnd. */
extern List *mf_queue_recorded_ends(const MfSqlScope *scope, const int64 *invoices, int count);

/* What is known by the attempts of a row under one reference */
typedef struct MfReference
{
	char	   *reference;
	bool		open;			/* one may have created an invoice, and no resend was made since */
	bool		unknown;		/* the outcome of one is unknown */
	char	   *answered_id;	/* InvoiceId of an answer; NULL = no answer had one */
	bool		sent;			/* one may have created an invoice; "sent_to" is of the latest such */
	int32		sent_to;		/* mf_http_target_checksum() */
	int			latest;			/* number of the latest attempt */

	/* of attempts by POST /v3/payments, which have the reference for their Idempotency-Key */
	bool		v3;				/* one may have created an invoice */
	bool		v2;				/* one by SendPayment may, too */
	bool		has_url;		/* an answer had a link */
	TimestampTz first_at;		/* start of the first */
	int64		first_boot;		/* and mf_boot_clock() then */
	int64		first_boot_clock;
	char	   *digest;			/* SHA-256 of their bodies in digits; NULL = they differ */
	TimestampTz found_at;		/* when the latest look-up found the invoice; DT_NOBEGIN = never */
	int			repeated;		/* requests that have repeated another one */
	bool		answered;		/* one was answered, so that repeating it can bring nothing */
} MfReference;

/* List of MfReference: all references under which attempts of a row were made, that of the latest first. */
extern List *mf_queue_references(const MfSqlScope *scope, int64 invoice);

/* An invoice that was found under the row's reference, whose request is to be repeated */
typedef struct MfFound
{
	int64		invoice;
	const char *invoice_id;
} MfFound;

/* Records with their latest attempts that these were found now. */
extern void mf_queue_keep_found(const MfSqlScope *scope, const MfFound *found, int count);

/* Sets mf_invoice.attempts of a locked row. */
extern void mf_queue_set_attempts(const MfSqlScope *scope, int64 invoice, int attempts);

/*
 * Makes a reference for sending a row again: that of its latest attempt, or the
 * row's own, with a number that no attempt has had.  The row's own is taken if it is
 * later than that of any attempt: another server gave it.  Palloc'd.
 */
extern char *mf_queue_fresh_reference(const List *references, const char *own);

/* Whether an attempt of that row was made under that reference. */
extern bool mf_queue_has_attempt(const MfSqlScope *scope, int64 invoice, const char *reference);

/* Whether that row is a repetition of the recurring payment that began under that reference; empty = it has none. */
extern bool mf_queue_is_repetition_of(const MfSqlScope *scope, int64 invoice, const char *reference);

/*
 * Delete a batch of attempts or transitions of finished invoices from before that
 * time; return their number.
 */
extern uint64 mf_queue_purge_attempts(const MfSqlScope *scope, TimestampTz before);
extern uint64 mf_queue_purge_transitions(const MfSqlScope *scope, TimestampTz before);

#endif							/* MF_ATTEMPTS_H */
