/*
 * payment_status.c
 *	  What GetPaymentStatus reports about a payment, and the states of a
 *	  payment.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/api/payment_status.c
 */
#include <stdlib.h>
#include <string.h>

#include "core/api/payment_status.h"
#include "core/text/ascii.h"
#include "core/text/json.h"

static const char *const status_names[MF_PAYMENT_STATUS_COUNT] = {
	"unpaid", "authorized", "paid", "expired", "remote_cancelled", "partly_refunded", "refunded", "disputed"
};

/* Rows: from; bits: to */
#define TO(status) (1 << (status))
static const int allowed[MF_PAYMENT_STATUS_COUNT] = {
	/* unpaid */ TO(MF_AUTHORIZED) | TO(MF_PAID) | TO(MF_EXPIRED) | TO(MF_REMOTE_CANCELLED),
	/* authorized */ TO(MF_UNPAID) | TO(MF_PAID) | TO(MF_EXPIRED) | TO(MF_REMOTE_CANCELLED),
	/* paid */ TO(MF_PARTLY_REFUNDED) | TO(MF_REFUNDED) | TO(MF_DISPUTED),
	/* expired */ TO(MF_UNPAID) | TO(MF_AUTHORIZED) | TO(MF_PAID) | TO(MF_REMOTE_CANCELLED),
	/* remote_cancelled */ TO(MF_AUTHORIZED) | TO(MF_PAID),
	/* partly_refunded */ TO(MF_PAID) | TO(MF_REFUNDED) | TO(MF_DISPUTED),
	/* refunded */ TO(MF_PAID) | TO(MF_PARTLY_REFUNDED),
	/* disputed */ TO(MF_PAID) | TO(MF_PARTLY_REFUNDED) | TO(MF_REFUNDED)
};

/* Members of Card that are kept; others could identify the card */
static const char *const card_members[] = {"Number", "Brand", "Issuer", "IssuerCountry", "FundingMethod", NULL};

/* MyFatoorah's spellings of TransactionStatus */
static const struct
{
	const char *word;
	MfTryStatus status;
}			try_words[] =
{
	{"InProgress", MF_TRY_IN_PROGRESS},
	{"Succss", MF_TRY_SUCCESS},
	{"Success", MF_TRY_SUCCESS},
	{"Failed", MF_TRY_FAILED},
	{"Canceled", MF_TRY_CANCELED},
	{"Authorize", MF_TRY_AUTHORIZED},
	{NULL, MF_TRY_UNKNOWN}
};

const char *
mf_payment_status_name(MfPaymentStatus status)
{
	return status_names[status];
}

int
mf_payment_status_from_name(const char *name)
{
	int			i;

	for (i = 0; i < MF_PAYMENT_STATUS_COUNT; i++)
	{
		if (strcmp(status_names[i], name) == 0)
			return i;
	}
	return -1;
}

MfTryStatus
mf_try_status(const char *word)
{
	int			i;

	if (word == NULL)
		return MF_TRY_UNKNOWN;
	for (i = 0; try_words[i].word != NULL; i++)
	{
		if (mf_ascii_compare(try_words[i].word, word) == 0)
			break;
	}
	return try_words[i].status;
}

/* Replaces Card by those members that may be kept; false when out of memory. */
static bool
keep_card(char **card)
{
	cJSON	   *all;
	cJSON	   *kept;
	char	   *text = NULL;
	const char *error = NULL;
	int			i;

	if (*card == NULL)
		return true;
	all = mf_json_parse(*card, strlen(*card), &error, NULL);
	free(*card);
	*card = NULL;
	if (all == NULL)
		return error == NULL || strcmp(error, MF_JSON_OUT_OF_MEMORY) != 0;
	kept = cJSON_CreateObject();
	if (kept == NULL)
	{
		cJSON_Delete(all);
		return false;
	}
	for (i = 0; card_members[i] != NULL; i++)
	{
		const cJSON *member = mf_json_get(all, card_members[i]);

		if (cJSON_IsString(member) && member->valuestring[0] != '\0' &&
			cJSON_AddStringToObject(kept, card_members[i], member->valuestring) == NULL)
			break;
	}
	if (card_members[i] == NULL)
		text = mf_json_print(kept);
	cJSON_Delete(kept);
	cJSON_Delete(all);
	*card = text;
	return text != NULL;
}

/* A released authorisation is a cancelled transaction with this error. */
static bool
is_released(const MfTry *try)
{
	return try->status == MF_TRY_CANCELED && try->values[MF_TX_ERROR] != NULL &&
		mf_ascii_compare(try->values[MF_TX_ERROR], "Transaction Released") == 0;
}

/*
 * Reads all transactions and removes from Card what may not be kept; false
 * when out of memory.
 */
static bool
read_tries(const cJSON *transactions, MfPayment *payment)
{
	const cJSON *transaction;
	int			size;

	if (transactions == NULL || !cJSON_IsArray(transactions))
	{
		payment->unsettled |= transactions != NULL && !cJSON_IsNull(transactions);
		return true;
	}
	size = cJSON_GetArraySize(transactions);
	if (size == 0)
		return true;
	payment->tries = (MfTry *) calloc((size_t) size, sizeof(MfTry));
	if (payment->tries == NULL)
		return false;

	cJSON_ArrayForEach(transaction, transactions)
	{
		MfTry	   *try = &payment->tries[payment->try_count];
		const char *bad;

		if (!mf_transaction_read(transaction, try->values, &bad))
		{
			if (bad == NULL)
				return false;
			memset(try, 0, sizeof(*try));
			payment->unsettled = true;
			continue;
		}
		payment->try_count++;
		try->status = mf_try_status(try->values[MF_TX_TRANSACTION_STATUS]);
		if (!keep_card(&try->values[MF_TX_CARD]))
			return false;
	}
	return true;
}

/* By TransactionDate, which sorts as text. */
static bool
is_earlier(const MfTry *a, const MfTry *b)
{
	const char *first = a->values[MF_TX_TRANSACTION_DATE];
	const char *second = b->values[MF_TX_TRANSACTION_DATE];

	return first != NULL && (second == NULL || strcmp(first, second) < 0);
}

bool
mf_payment_read(const MfStatusResult *answer, MfPayment *payment)
{
	const char *word = answer->values[MF_PS_INVOICE_STATUS];
	int			authorizations = 0;
	int			releases = 0;
	int			i;

	memset(payment, 0, sizeof(*payment));
	payment->paid_by = -1;
	if (!read_tries(mf_json_get(answer->envelope.data, "InvoiceTransactions"), payment))
	{
		mf_payment_free(payment);
		return false;
	}

	for (i = 0; i < payment->try_count; i++)
	{
		const MfTry *try = &payment->tries[i];

		if (try->status == MF_TRY_SUCCESS)
		{
			payment->successes++;
			if (payment->paid_by < 0 || is_earlier(try, &payment->tries[payment->paid_by]))
				payment->paid_by = i;
		}
		else if (try->status == MF_TRY_AUTHORIZED)
			authorizations++;
		else if (is_released(try))
			releases++;
	}

	payment->released = releases > 0;
	payment->known = true;
	if (word != NULL && (mf_ascii_compare(word, "Paid") == 0 || mf_ascii_compare(word, "DuplicatePayment") == 0))
	{
		payment->status = MF_PAID;
		payment->unsettled |= payment->successes == 0;

		/* MyFatoorah's word for two payments, whatever transactions it lists */
		if (mf_ascii_compare(word, "DuplicatePayment") == 0 && payment->successes < 2)
			payment->successes = 2;
	}
	else if (word != NULL && mf_ascii_compare(word, "Pending") == 0)
	{
		payment->status = authorizations > releases ? MF_AUTHORIZED : MF_UNPAID;
		payment->unsettled |= payment->successes > 0;
	}
	else if (word != NULL && mf_ascii_compare(word, "Canceled") == 0)
	{
		payment->status = MF_REMOTE_CANCELLED;
		payment->unsettled |= payment->successes > 0;
	}
	else
		payment->known = false;
	return true;
}

void
mf_payment_free(MfPayment *payment)
{
	int			i;

	for (i = 0; i < payment->try_count; i++)
		mf_values_free(payment->tries[i].values, MF_TX_COUNT);
	free(payment->tries);
	memset(payment, 0, sizeof(*payment));
}

MfPaymentStatus
mf_payment_next(MfPaymentStatus current, MfPaymentStatus read)
{
	/* GetPaymentStatus says "paid" of refunded and disputed payments too */
	if (mf_payment_was_paid(current))
		return current;
	return mf_payment_allowed(current, read) ? read : current;
}

bool
mf_payment_allowed(MfPaymentStatus from, MfPaymentStatus to)
{
	return (allowed[from] & TO(to)) != 0;
}
