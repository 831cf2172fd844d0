/*
 * store.c
 *	  What MyFatoorah would keep: invoices and payment tries.
 *
 * Ids come from a generator that the seed alone determines, so the same
 * requests in the same order get the same ids.
 */
#include "store.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_EXPIRY_DAYS 3
#define SERVICE_CHARGE_PERMYRIAD 195 /* 1.95 %, as in MyFatoorah's samples */
#define VAT_PERMYRIAD 1500 /* 15 % of the service charge */

static const struct
{
	const char *code;
	const char *text;
} error_codes[] = {
	{"MF001", "3DS authentication failed"},
	{"MF002", "Transaction declined by the issuer"},
	{"MF003", "Transaction blocked by the gateway"},
	{"MF004", "Insufficient funds"},
	{"MF005", "Session timeout"},
	{"MF006", "Transaction canceled"},
	{"MF007", "The card is expired"},
	{"MF008", "The card issuer is not responding"},
	{"MF009", "Denied by risk"},
	{"MF010", "Wrong security code"},
	{"MF020", "Unspecified failure"},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct
{
	HashTable invoices;
	HashTable references;
	HashTable tries;
	Invoice *oldest;
	Invoice *newest;
	int64_t limit;
	uint64_t seed;
	uint64_t random_state;
	int64_t next_invoice_id;
	int64_t next_invoice_number;
	int64_t next_track;
	bool references_full;
} store;

/*
 * store_lock, store_unlock
 *		The one lock of the server's memory.
 */
void
store_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
store_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/*
 * store_error_text
 *		The acquirer's text for one of the documented error codes, and its own
 *		spelling; NULL for any other code.
 */
const char *
store_error_text(Str code, const char **canonical)
{
	for (size_t i = 0; i < sizeof(error_codes) / sizeof(error_codes[0]); i++)
		if (str_is_nocase(code, error_codes[i].code))
		{
			*canonical = error_codes[i].code;
			return error_codes[i].text;
		}
	return NULL;
}

/*
 * next_random
 *		The next number of the seeded generator (splitmix64). Locked.
 */
static uint64_t
next_random(void)
{
	store.random_state += UINT64_C(0x9e3779b97f4a7c15);
	return hash_int(store.random_state);
}

/*
 * store_set_limit
 *		How many invoices are kept at most; past it SendPayment refuses, for an
 *		oracle must not forget.
 */
void
store_set_limit(int64_t invoices)
{
	store.limit = invoices;
}

/*
 * free_invoice
 *		Free an invoice and its tries; the caller has taken care of indexes.
 */
static void
free_invoice(Invoice *inv)
{
	while (inv->tries != NULL)
	{
		PaymentTry *next = inv->tries->next;

		free(inv->tries);
		inv->tries = next;
	}
	free(inv->data.items);
	free(inv->data.suppliers);
	free(inv->strings);
	free(inv);
}

/*
 * store_free_invoice
 *		Free an invoice made with keep = false.
 */
void
store_free_invoice(Invoice *inv)
{
	free_invoice(inv);
}

/*
 * store_reset
 *		Forget everything; no id is given again. Locked.
 */
void
store_reset(void)
{
	while (store.oldest != NULL)
	{
		Invoice *newer = store.oldest->newer;

		free_invoice(store.oldest);
		store.oldest = newer;
	}
	store.newest = NULL;
	for (size_t i = 0; i < store.references.size; i++)
		for (HashNode *node = store.references.buckets[i]; node != NULL;)
		{
			HashNode *next = node->next;

			free(hash_entry(node, Reference, node));
			node = next;
		}
	hash_clear(&store.references);
	hash_clear(&store.invoices);
	hash_clear(&store.tries);
	store.references_full = false;
}

/*
 * store_start_ids
 *		Start the ids that belong to a seed. Locked.
 */
void
store_start_ids(uint64_t seed)
{
	store.seed = seed;
	store.random_state = hash_int(seed + 1);
	store.next_invoice_id = 6000000 + (int64_t) (next_random() % 1000000);
	store.next_invoice_number = 1000 + (int64_t) (next_random() % 100000);
	store.next_track = 2000000 + (int64_t) (next_random() % 2000000);
}

/*
 * store_seed, store_stats
 *		The seed in use, and how much is held. Locked.
 */
uint64_t
store_seed(void)
{
	return store.seed;
}

StoreStats
store_stats(void)
{
	return (StoreStats){(int64_t) store.invoices.count, (int64_t) store.references.count,
						(int64_t) store.tries.count, store.references_full};
}

/*
 * store_is_full
 *		Has the limit of invoices been reached? Locked.
 */
bool
store_is_full(void)
{
	return (int64_t) store.invoices.count >= store.limit;
}

/*
 * store_reference
 *		What is known under a CustomerReference; made on request, unless there
 *		are too many already. NULL if there is none. Locked.
 */
Reference *
store_reference(Str reference, bool create)
{
	uint64_t hash;
	Reference *ref;

	if (reference.data == NULL)
		return NULL;
	hash = hash_bytes(reference.data, reference.len);
	for (HashNode *node = hash_first(&store.references, hash); node != NULL; node = hash_next(node))
	{
		ref = hash_entry(node, Reference, node);
		if (ref->len == reference.len && memcmp(ref->text, reference.data, ref->len) == 0)
			return ref;
	}
	if (!create)
		return NULL;
	if ((int64_t) store.references.count >= 2 * store.limit)
	{
		store.references_full = true;
		return NULL;
	}
	ref = xcalloc(1, sizeof(Reference) + reference.len + 1);
	ref->len = (uint32_t) reference.len;
	memcpy(ref->text, reference.data, reference.len);
	hash_insert(&store.references, &ref->node, hash);
	return ref;
}

/*
 * store_base_value
 *		The invoice value in the account's currency: what was asked for, or
 *		converted at MyFatoorah's rate to three decimals. False if it does not
 *		fit or comes to nothing.
 */
bool
store_base_value(const Account *account, const InvoiceData *data, Decimal *value)
{
	if (data->currency == account->currency)
	{
		*value = data->display_value;
		return true;
	}
	return decimal_scale_by(data->display_value, account->currency->per_kwd, data->currency->per_kwd, 3,
							value) &&
		   decimal_sign(*value) > 0;
}

/*
 * store_create
 *		A new invoice with ids of its own, everything copied. With keep it
 *		enters the indexes and belongs to the store; without, the caller frees
 *		it with store_free_invoice() and no look-up will ever find it. The data
 *		must have passed validation. Locked.
 */
Invoice *
store_create(const Account *account, const InvoiceData *data, bool keep)
{
	Invoice *inv = xcalloc(1, sizeof(Invoice));
	size_t size = 16;
	char *to;
	char digits[24];
	uint64_t r = next_random();
	Str *const strings[] = {
		&inv->data.customer_name, &inv->data.customer_email, &inv->data.customer_mobile,
		&inv->data.reference,     &inv->data.user_defined,   &inv->data.call_back_url,
		&inv->data.error_url,     &inv->data.webhook_url,    &inv->data.customer_reference,
		&inv->data.meta,
	};

	inv->account = account;
	inv->data = *data;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		size += strings[i]->len + 1;
	for (int i = 0; i < data->item_count; i++)
		size += data->items[i].name.len + 1;
	to = inv->strings = xmalloc(size);
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		*strings[i] = str_copy_to(&to, *strings[i]);
	inv->data.items = NULL;
	inv->data.suppliers = NULL;
	if (data->item_count > 0)
	{
		inv->data.items = xmalloc((size_t) data->item_count * sizeof(Item));
		for (int i = 0; i < data->item_count; i++)
		{
			inv->data.items[i] = data->items[i];
			inv->data.items[i].name = str_copy_to(&to, data->items[i].name);
		}
	}
	if (data->supplier_count > 0)
	{
		inv->data.suppliers = xmalloc((size_t) data->supplier_count * sizeof(Supplier));
		memcpy(inv->data.suppliers, data->suppliers, (size_t) data->supplier_count * sizeof(Supplier));
	}

	/* Other merchants' invoices lie between two of ours. */
	inv->id = store.next_invoice_id;
	store.next_invoice_id += 1 + (int64_t) (r & 3);
	inv->number = store.next_invoice_number;
	store.next_invoice_number += 1 + (int64_t) ((r >> 2) & 1);
	inv->created = clock_now();
	inv->expiry = data->has_expiry ? data->expiry
								   : inv->created + (int64_t) DEFAULT_EXPIRY_DAYS * 86400 * TICKS_PER_SECOND;
	if (!store_base_value(account, data, &inv->value))
		inv->value = data->display_value;
	strcpy(inv->status, "Pending");
	snprintf(digits, sizeof(digits), "%lld", (long long) inv->id);
	snprintf(inv->url_path, sizeof(inv->url_path), "/%s/ie/01%02d%d%s%02d-%08x", account->iso3,
			 (int) strlen(digits), (int) ((r >> 8) % 9) + 1, digits, (int) ((r >> 16) % 100),
			 (unsigned) (r >> 32));
	if (!keep)
		return inv;

	hash_insert(&store.invoices, &inv->node, hash_int((uint64_t) inv->id));
	if (store.newest != NULL)
		store.newest->newer = inv;
	else
		store.oldest = inv;
	store.newest = inv;
	inv->ref = store_reference(inv->data.reference, true);
	if (inv->ref != NULL)
	{
		inv->older_same_reference = inv->ref->newest;
		inv->ref->newest = inv;
	}
	return inv;
}

/*
 * store_take_invoice_id
 *		An id for an invoice that is not kept, such as a refund's own. Locked.
 */
int64_t
store_take_invoice_id(void)
{
	return store.next_invoice_id++;
}

/*
 * store_invoice, store_oldest, store_try
 *		Look-ups; NULL if there is none. Locked.
 */
Invoice *
store_invoice(int64_t id)
{
	for (HashNode *node = hash_first(&store.invoices, hash_int((uint64_t) id)); node != NULL;
		 node = hash_next(node))
		if (hash_entry(node, Invoice, node)->id == id)
			return hash_entry(node, Invoice, node);
	return NULL;
}

Invoice *
store_oldest(void)
{
	return store.oldest;
}

PaymentTry *
store_try(Str payment_id)
{
	for (HashNode *node = hash_first(&store.tries, hash_bytes(payment_id.data, payment_id.len)); node != NULL;
		 node = hash_next(node))
		if (str_is(payment_id, hash_entry(node, PaymentTry, node)->payment_id))
			return hash_entry(node, PaymentTry, node);
	return NULL;
}

/*
 * store_invoice_by_path
 *		The invoice whose page is at that path (/KWT/ie/0107...-1732339e), case
 *		ignored; NULL if there is none. Locked.
 */
Invoice *
store_invoice_by_path(Str path)
{
	int digits;
	int64_t id = 0;
	Invoice *inv;

	/* "/KWT/ie/01" then the number of digits of the id, one digit, the id. */
	if (path.len < 13 || path.len >= sizeof(inv->url_path) || !isdigit((unsigned char) path.data[10]) ||
		!isdigit((unsigned char) path.data[11]))
		return NULL;
	digits = (path.data[10] - '0') * 10 + (path.data[11] - '0');
	if (digits > 18 || path.len < 13 + (size_t) digits)
		return NULL;
	for (int i = 0; i < digits; i++)
	{
		if (!isdigit((unsigned char) path.data[13 + i]))
			return NULL;
		id = id * 10 + (path.data[13 + i] - '0');
	}
	inv = store_invoice(id);
	return inv != NULL && str_is_nocase(path, inv->url_path) ? inv : NULL;
}

/*
 * make_ids
 *		The many numbers of one try, in the shapes the samples show. A try that
 *		came to nothing repeats one id in several places.
 */
static void
make_ids(PaymentTry *t)
{
	uint64_t r = next_random();
	LocalTime lt = local_time(t->at);
	char invoice[24];
	char track[24];

	snprintf(invoice, sizeof(invoice), "%lld", (long long) t->invoice->id);
	snprintf(track, sizeof(track), "%lld", (long long) store.next_track);
	store.next_track += 1 + (int64_t) (r & 7);
	snprintf(t->track_id, sizeof(t->track_id), "%02d-%02d-%04d_%s", lt.day, lt.month, lt.year, track);
	snprintf(t->payment_id, sizeof(t->payment_id), "%02d%02d%s%s%02d", (int) strlen(invoice),
			 (int) strlen(track), invoice, track, (int) ((r >> 8) % 100));
	if (t->status == TRY_SUCCESS || t->status == TRY_AUTHORIZED)
	{
		if (t->gateway == GATEWAY_KNET)
		{
			snprintf(t->reference_id, sizeof(t->reference_id), "%d%03d%08d", lt.year % 10, lt.day_of_year,
					 (int) ((r >> 16) % 100000000));
			snprintf(t->transaction_id, sizeof(t->transaction_id), "100%04d%03d%08d", lt.year, lt.day_of_year,
					 (int) ((r >> 24) % 100000000));
			snprintf(t->authorization_id, sizeof(t->authorization_id), "B%05d", (int) ((r >> 40) % 100000));
		}
		else
		{
			snprintf(t->reference_id, sizeof(t->reference_id), "%010d%012lld", (int) ((r >> 16) % 1000000000),
					 (long long) (next_random() % 1000000000000));
			memcpy(t->transaction_id, t->reference_id, sizeof(t->transaction_id));
			snprintf(t->authorization_id, sizeof(t->authorization_id), "%06d", (int) ((r >> 40) % 1000000));
		}
		return;
	}
	memcpy(t->reference_id, t->payment_id, sizeof(t->reference_id));
	memcpy(t->transaction_id, t->payment_id, sizeof(t->transaction_id));
	memcpy(t->authorization_id, t->payment_id, sizeof(t->authorization_id));
}

/*
 * store_add_try
 *		Record a try on an invoice and move the invoice as MyFatoorah does: a
 *		success pays it; everything else leaves its status alone. The amount is
 *		the invoice's unless given. Later than every try before it, so that the
 *		greatest TransactionDate is the last. The result belongs to the invoice.
 *		Locked.
 */
PaymentTry *
store_add_try(Invoice *inv, TryStatus status, Gateway gateway, const char *error_code, const Decimal *amount)
{
	PaymentTry *t = xcalloc(1, sizeof(PaymentTry));
	bool converted = inv->data.currency != inv->account->currency;

	t->invoice = inv;
	t->status = status;
	t->gateway = gateway;
	t->at = clock_now();
	if (inv->last_try != NULL && t->at <= inv->last_try->at)
		t->at = inv->last_try->at + 1;
	t->value = decimal_round(amount != NULL ? *amount : inv->value, 3);
	t->due = converted ? decimal_round_up(t->value, 2) : t->value;
	if (!decimal_scale_by(t->value, (Decimal){SERVICE_CHARGE_PERMYRIAD, 4}, (Decimal){1, 0}, 3, &t->charge) ||
		!decimal_scale_by(t->charge, (Decimal){VAT_PERMYRIAD, 4}, (Decimal){1, 0}, 3, &t->vat))
		t->charge = t->vat = (Decimal){0, 3};
	t->error_code = "";
	if (status == TRY_FAILED)
	{
		t->error = store_error_text(str_of(error_code), &t->error_code);
		if (t->error == NULL)
			t->error = store_error_text(STR_LIT("MF020"), &t->error_code);
	}
	else if (status == TRY_CANCELED)
	{
		/* Released by the merchant, or given up by the payer with a code. */
		t->error = store_error_text(str_of(error_code), &t->error_code);
		if (t->error == NULL)
			t->error = "Transaction Released";
	}
	make_ids(t);
	hash_insert(&store.tries, &t->node, hash_bytes(t->payment_id, strlen(t->payment_id)));
	if (inv->last_try != NULL)
		inv->last_try->next = t;
	else
		inv->tries = t;
	inv->last_try = t;
	inv->try_count++;
	if (status == TRY_SUCCESS)
		strcpy(inv->status, "Paid");
	return t;
}

/*
 * store_drop_last_try
 *		Take the last try of an invoice back, as if it had not been. The caller
 *		takes care of the invoice's status. Locked.
 */
void
store_drop_last_try(Invoice *inv)
{
	PaymentTry *last = inv->last_try;
	PaymentTry *before = NULL;

	for (PaymentTry *t = inv->tries; t != last; t = t->next)
		before = t;
	if (before != NULL)
		before->next = NULL;
	else
		inv->tries = NULL;
	inv->last_try = before;
	inv->try_count--;
	hash_remove(&store.tries, &last->node);
	free(last);
}

/*
 * store_success
 *		The last payment of an invoice, or NULL. Locked.
 */
PaymentTry *
store_success(const Invoice *inv)
{
	PaymentTry *paid = NULL;

	for (PaymentTry *t = inv->tries; t != NULL; t = t->next)
		if (t->status == TRY_SUCCESS)
			paid = t;
	return paid;
}

/*
 * store_is_expired, store_is_paid
 *		May the page still take money? Expiry is no status of the API. Locked.
 */
bool
store_is_expired(const Invoice *inv)
{
	return inv->expiry <= clock_now();
}

bool
store_is_paid(const Invoice *inv)
{
	return strcmp(inv->status, "Paid") == 0 || strcmp(inv->status, "DuplicatePayment") == 0;
}
