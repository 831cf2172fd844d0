/*
 * invoice_state.c
 *	  The states of invoices in the table: what may change, who is told.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/invoice_state.c
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "base/compat.h"
#include "core/api/payment_status.h"
#include "process/notify.h"
#include "process/worker_slots.h"
#include "store/invoice.h"

static void guard_payment(int64 invoice, MfStatus status, const char *from, const char *to);

int
mf_status_from_datum(Datum value)
{
	int			i;

	for (i = 0; i < MF_STATUS_COUNT; i++)
	{
		if (mf_text_is(value, mf_status_name((MfStatus) i)))
			return i;
	}
	return -1;
}

MfStatus
mf_status_of(Datum value)
{
	int			status = mf_status_from_datum(value);

	if (status < 0)
		elog(ERROR, "unknown status of invoice");
	return (MfStatus) status;
}

bool
mf_text_is(Datum value, const char *word)
{
	text	   *found = DatumGetTextPP(value);
	size_t		len = strlen(word);

	return VARSIZE_ANY_EXHDR(found) == len && memcmp(VARDATA_ANY(found), word, len) == 0;
}

/*
 * See invoice.h.  The worker does this twice for each invoice, so no more
 * columns are read than it takes, and from the slots, which go on from there.
 */
void
mf_check_transition(TupleTableSlot *before, TupleTableSlot *after)
{
	const int	status_at = MF_IC_STATUS - 1;
	const int	payment_at = MF_IC_PAYMENT_STATUS - 1;
	int64		invoice;
	MfStatus	from;
	MfStatus	to;
	bool		payment_moves;

	slot_getsomeattrs(before, MF_IC_PAYMENT_STATUS);
	slot_getsomeattrs(after, MF_IC_PAYMENT_STATUS);

	/* the table itself refuses these */
	if (after->tts_isnull[status_at] || after->tts_isnull[payment_at])
		return;

	invoice = DatumGetInt64(before->tts_values[MF_IC_ID - 1]);
	from = mf_status_of(before->tts_values[status_at]);
	to = mf_status_of(after->tts_values[status_at]);
	if (from != to && !mf_transition_allowed(from, to))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s",
						(long long) invoice, mf_status_name(from), mf_status_name(to))));

	payment_moves = !datum_image_eq(before->tts_values[payment_at], after->tts_values[payment_at], false, -1);
	if (payment_moves)
		guard_payment(invoice, to, TextDatumGetCString(before->tts_values[payment_at]),
					  TextDatumGetCString(after->tts_values[payment_at]));
	if (from != to || payment_moves)
	{
		mf_notify_at_commit(DatumGetInt64(after->tts_values[MF_IC_ID - 1]));
		mf_wake_waiting_at_commit();
	}
}

/* Money that came in does not go by itself, and only what was sent can be paid. */
static void
guard_payment(int64 invoice, MfStatus status, const char *from, const char *to)
{
	int			from_status = mf_payment_status_from_name(from);
	int			to_status = mf_payment_status_from_name(to);

	if (from_status < 0 || to_status < 0 || status != MF_STATUS_SENT ||
		!mf_payment_allowed((MfPaymentStatus) from_status, (MfPaymentStatus) to_status))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s", (long long) invoice, from, to)));
}
