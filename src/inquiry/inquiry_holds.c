/*
 * inquiry_holds.c
 *	  What answers about payments mean for the rows of captures and releases.
 *
 * A second transaction says that one was carried out, whoever has asked for it.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/inquiry_holds.c
 */
#include "postgres.h"

#include "inquiry/inquiry_internal.h"

#define ACTOR "status reader"

static const MfFlight *find_flight(const List *flights, int64 invoice);
static bool is_done_after_all(const List *rows, const MfOperation *row, const MfFlight *flight);
static bool change_row(const MfSqlScope *scope, MfOperationChange *change, const MfOperation *row, const MfFlight *flight,
					   TimestampTz now);

void
mf_inquiry_settle_holds(const MfSqlScope *scope, MfInquiryBatch *batch)
{
	int			count = list_length(batch->hold_answers);
	int64	   *invoices = (int64 *) palloc(count * sizeof(int64));
	MfOperationChange *changes;
	int			change_count = 0;
	List	   *rows;
	ListCell   *lc;

	foreach(lc, batch->hold_answers)
		invoices[foreach_current_index(lc)] = ((const MfFlight *) lfirst(lc))->invoice;
	rows = mf_operations_of_invoices(scope, invoices, count, false);
	changes = (MfOperationChange *) palloc((list_length(rows) + 1) * sizeof(MfOperationChange));
	foreach(lc, rows)
	{
		const MfOperation *row = (const MfOperation *) lfirst(lc);
		const MfFlight *flight = find_flight(batch->hold_answers, row->invoice);
		bool		given_up = row->status == MF_OPERATION_REFUSED || row->status == MF_OPERATION_CANCELLED;

		if (given_up && !is_done_after_all(rows, row, flight))
			continue;
		if (change_row(scope, &changes[change_count], row, flight, batch->now))
			change_count++;
	}
	mf_inquiry_apply_operations(scope, changes, change_count);
}

/* There is one. */
static const MfFlight *
find_flight(const List *flights, int64 invoice)
{
	ListCell   *lc;

	foreach(lc, flights)
	{
		if (((const MfFlight *) lfirst(lc))->invoice == invoice)
			break;
	}
	return (const MfFlight *) lfirst(lc);
}

/*
 * Whether what was refused or given up was carried out: the latest request of its kind,
 * if no other row can be what was, and for as much as was captured.
 */
static bool
is_done_after_all(const List *rows, const MfOperation *row, const MfFlight *flight)
{
	bool		captured = flight->payment.successes > 0;
	ListCell   *lc;

	if (row->attempts == 0 || (!captured && !flight->payment.released) ||
		(row->kind == MF_OPERATION_CAPTURE) != captured ||
		(captured && mf_amount_compare(row->value, flight->found.values[MF_PS_INVOICE_VALUE]) != 0))
		return false;
	foreach(lc, rows)
	{
		const MfOperation *other = (const MfOperation *) lfirst(lc);
		bool		lives = other->status != MF_OPERATION_REFUSED && other->status != MF_OPERATION_CANCELLED;

		if (other->invoice == row->invoice && other->id != row->id &&
			(lives || (other->kind == row->kind && other->attempts > 0 && other->id > row->id)))
			return false;
	}
	return true;
}

/*
 * A row that is being sent is left to its answer, and one that was carried out stays so.
 * One that is looked up before it is sent takes what an earlier one has brought about.
 * False if nothing changes.
 */
static bool
change_row(const MfSqlScope *scope, MfOperationChange *change, const MfOperation *row, const MfFlight *flight, TimestampTz now)
{
	bool		is_capture = row->kind == MF_OPERATION_CAPTURE;
	bool		captured = flight->payment.successes > 0;
	bool		released = !captured && flight->payment.released;

	if (row->status == MF_OPERATION_SENDING ||
		row->status == MF_OPERATION_CAPTURED || row->status == MF_OPERATION_RELEASED)
		return false;
	mf_operation_change_begin(change, row, ACTOR);
	if ((captured || released) && (row->status != MF_OPERATION_QUEUED || row->asked_at != 0))
	{
		bool		done = is_capture == captured;

		change->to = !done ? MF_OPERATION_REFUSED : captured ? MF_OPERATION_CAPTURED : MF_OPERATION_RELEASED;
		change->error = done ? NULL : captured ? "the payment was captured instead" : "the payment was released instead";
		if (done && captured && mf_amount_compare(row->value, flight->found.values[MF_PS_INVOICE_VALUE]) != 0)
		{
			change->error = psprintf("MyFatoorah has captured %s", flight->found.values[MF_PS_INVOICE_VALUE]);
			mf_payment_doubt(scope, row->invoice, psprintf("%s, and capture %lld is one of %s", change->error,
														   (long long) row->id, row->value), false);
		}
		change->reason = captured ? "a transaction has succeeded" : "a transaction was released";
		/* before we have seen the release */
		if (released && flight->payment.status == MF_AUTHORIZED)
			mf_payment_doubt(scope, row->invoice, MF_HELD_AGAIN, false);
		change->lookups = 0;
		return true;
	}
	if ((row->status != MF_OPERATION_UNKNOWN && row->status != MF_OPERATION_QUEUED) || row->asked_at == 0 || flight->claimed_at < row->asked_at ||
		flight->payment.status != MF_AUTHORIZED)
		return false;
	mf_inquiry_not_found(change, row, flight, now);
	return true;
}
