/*
 * queue_internal.h
 *	  SQL expressions of ranks and due times, and columns of mf_queue and mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_internal.h
 */
#ifndef MF_QUEUE_INTERNAL_H
#define MF_QUEUE_INTERNAL_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "store/queue.h"

/* The later of now and "at", plus "more"; a stored time that is not before MF_TIME_END stays as it is. */
#define MF_NOW_OR_LATER_PLUS(at, more) \
	"CASE WHEN " at " < '" MF_TIME_END_TEXT "' THEN greatest(" at ", clock_timestamp()) + " more " ELSE " at " END"

/*
 * The due time for the rank of a new entry: an invoice with send_at in the past is
 * not sent before those that have waited since before it was created.  The
 * created_at of a restored row may be in the future.
 */
#define MF_NOT_BEFORE(due, created_at) "greatest(" due ", least(" created_at ", now()))"

/*
 * The rank is the order of claims: of a due entry ten minutes before its due time
 * per step of priority; of any other its due time, so that no claim reads it.  An
 * entry with "promote" gets the rank by its priority once it is due.
 */
#define MF_PROMOTED(due, priority) "greatest(" due ", '" MF_TIME_MIN_TEXT "') - " priority " * interval '10 min'"
#define MF_RANK(due, priority) "CASE WHEN " due " > now() THEN " due " ELSE " MF_PROMOTED(due, priority) " END"
#define MF_PROMOTE(due, priority) "(" due " > now() AND " priority " > 0)"
#define MF_SET_RANK(due, priority) "rank = " MF_RANK(due, priority) ", promote = " MF_PROMOTE(due, priority)

/*
 * Whether what replaces the row "o" may still be paid, or was.  An archived invoice was, or may be.
 */
#define MF_REPLACEMENT_LIVES(o) \
	"(EXISTS (SELECT FROM @mf_invoice r WHERE r.id = " o ".replaced_by AND r.status NOT IN ('rejected', 'cancelled') " \
	"  AND r.payment_status NOT IN ('expired', 'remote_cancelled')) " \
	"OR EXISTS (SELECT FROM @mf_archive_key k WHERE k.id = " o ".replaced_by AND k.paid))"

/* Whether an attempt may have created an invoice, as far as is known */
#define MF_MAY_HAVE_MADE(a) "(" a ".outcome IS NULL OR " a ".outcome NOT IN ('not_sent', 'rejected'))"

/*
 * Columns of mf_invoice for mf_queue_read_invoice(), cast to the types that it
 * reads, whatever types the table has; from MF_FIRST_FIELD on in the order of
 * mf_send_payment_fields[].
 */
#define MF_INVOICE_COLUMNS \
	"id::int8, status::text, attempts::int4, account::text, created_by_id::oid, own_key::bool, could_login::bool, " \
	"could_insert::bool, reference::text, send_at::timestamptz, cancel_requested::bool, duplicate_suspected::bool, " \
	"created_at::timestamptz, invoice_id::int8, callbacks::bool, replaced_by::int8, currency::text, " \
	"customer_name::text, invoice_value::numeric, notification_option::text, customer_email::text, " \
	"customer_mobile::text, mobile_country_code::text, display_currency_iso::text, language::text, " \
	"  customer_reference::text, " \
	"customer_civil_id::text, user_defined_field::text, call_back_url::text, error_url::text, webhook_url::text, " \
	"expiry_date::timestamptz, customer_address::jsonb, invoice_items::jsonb, shipping_method::int2, " \
	"shipping_consignee::jsonb, suppliers::jsonb, processing_details::jsonb, invoice_payment_methods::int4[], " \
	"source_info::text, payment_method_id::int4, recurring_type::text, interval_days::int4, iteration::int4, " \
	"retry_count::int4"
#define MF_FIRST_FIELD 18			/* number of customer_name in them */

/*
 * When to look up an invoice that another server may send as soon as it is due;
 * "wait" is mf_verify_wait().
 */
#define MF_VERIFY_DUE(due, wait) MF_NOW_OR_LATER_PLUS(due, wait " * interval '1 ms'")

/*
 * Makes a look-up before sending of an entry, or begins it anew: with the first reference, since
 * "lookups" may have counted something else; below 0 it goes on to tell that the entry waits for a
 * time of the day.  Without the error of an earlier try, since whatever makes due what has
 * failed would not wait until "due".
 */
#define MF_SET_VERIFY(due, priority) \
	"kind = 'verify', lookups = least(lookups, 0), error = NULL, due = " due ", " MF_SET_RANK(due, priority)

/*
 * Makes a job of a row of MF_INVOICE_COLUMNS, perhaps followed by its ctid, in the
 * current context.  Values of the request point into the tuple, which SPI_finish()
 * frees.
 */
extern MfJob *mf_queue_read_invoice(HeapTuple tuple, TupleDesc desc);

/* Attribute numbers of mf_queue, as in the install script */
typedef enum MfQueueColumn
{
	MF_QC_INVOICE = 1,
	MF_QC_ACCOUNT,
	MF_QC_KIND,
	MF_QC_DUE,
	MF_QC_RANK,
	MF_QC_PRIORITY,
	MF_QC_LOOKUPS,
	MF_QC_ORIGIN,
	MF_QC_ERROR,
	MF_QC_PROMOTE,
	MF_QC_END					/* one more than the last */
} MfQueueColumn;

/* The types of its columns, by attribute number */
extern const Oid mf_queue_types[];

/* The word in mf_queue.kind, NULL for MF_JOB_NONE; and the kind of such a word. */
extern const char *mf_job_name(MfJobKind kind);
extern MfJobKind mf_job_kind(const char *name);

#endif							/* MF_QUEUE_INTERNAL_H */
