/*
 * invoice_state.c
 *	  States of invoices in the table: allowed changes, and notifications of them.
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
#include "process/wakeup.h"
#include "store/invoice.h"

static void check_payment_transition(int64 invoice, MfStatus status, const char *from, const char *to);

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
 * This runs twice for each invoice that is sent, so only the columns that are needed
 * are deformed, in the slots, which keep them for the triggers that follow.
 */
void
mf_check_transition(TupleTableSlot *before, TupleTableSlot *after)
{
	const int	status_index = MF_IC_STATUS - 1;
	const int	payment_index = MF_IC_PAYMENT_STATUS - 1;
	int64		invoice;
	MfStatus	from;
	MfStatus	to;
	bool		payment_moves;

	slot_getsomeattrs(before, MF_IC_PAYMENT_STATUS);
	slot_getsomeattrs(after, MF_IC_PAYMENT_STATUS);

	/* NOT NULL constraints refuse these */
	if (after->tts_isnull[status_index] || after->tts_isnull[payment_index])
		return;

	invoice = DatumGetInt64(before->tts_values[MF_IC_ID - 1]);
	from = mf_status_of(before->tts_values[status_index]);
	to = mf_status_of(after->tts_values[status_index]);
	if (from != to && !mf_transition_allowed(from, to))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s",
						(long long) invoice, mf_status_name(from), mf_status_name(to))));

	payment_moves = !datum_image_eq(before->tts_values[payment_index], after->tts_values[payment_index], false, -1);
	if (payment_moves)
		check_payment_transition(invoice, to, TextDatumGetCString(before->tts_values[payment_index]),
								 TextDatumGetCString(after->tts_values[payment_index]));
	if (from != to || payment_moves)
	{
		mf_notify_at_commit(DatumGetInt64(after->tts_values[MF_IC_ID - 1]));
		mf_wake_waiting_at_commit();
	}
}

/* Raises an error unless the invoice is sent and its payment may make this change. */
static void
check_payment_transition(int64 invoice, MfStatus status, const char *from, const char *to)
{
	int			from_status = mf_payment_status_from_name(from);
	int			to_status = mf_payment_status_from_name(to);

	if (from_status < 0 || to_status < 0 || status != MF_STATUS_SENT ||
		!mf_payment_allowed((MfPaymentStatus) from_status, (MfPaymentStatus) to_status))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoice %lld cannot go from %s to %s", (long long) invoice, from, to)));
}
