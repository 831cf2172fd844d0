/*
 * store.h
 *	  What MyFatoorah would keep: accounts, invoices and payment tries.
 *
 * One lock guards everything the server remembers (this, the ledger, the
 * faults). Functions that say "locked" want it held.
 */
#ifndef SANDBOX_STORE_H
#define SANDBOX_STORE_H

#include "clock.h"
#include "decimal.h"
#include "hash.h"

typedef struct Currency
{
	const char *iso;
	const char *abbreviation; /* as GetPaymentStatus prints it */
	Decimal per_kwd; /* MyFatoorah's published rate */
} Currency;

typedef struct Account
{
	const char *iso3;
	const char *currency_iso;
	const char *dial_code;
	const Currency *currency;
} Account;

typedef struct OptionalDecimal
{
	bool present;
	Decimal value;
} OptionalDecimal;

typedef struct Item
{
	Str name;
	int64_t quantity;
	Decimal unit_price;
	OptionalDecimal weight;
	OptionalDecimal width;
	OptionalDecimal height;
	OptionalDecimal depth;
} Item;

typedef struct Supplier
{
	int64_t code;
	Decimal invoice_share;
	OptionalDecimal proposed_share;
} Supplier;

/* What a SendPayment request asks for, checked. */
typedef struct InvoiceData
{
	Str customer_name;
	Str customer_email;
	Str customer_mobile; /* dial code and number, as status shows it */
	Str reference;
	Str user_defined;
	Str call_back_url;
	Str error_url;
	Str webhook_url;
	const char *notification; /* EML, SMS, LNK, ALL */
	const Currency *currency; /* display currency */
	Decimal display_value;
	bool arabic;
	bool authorize_only;
	bool card_first; /* KNET not among the methods asked for */
	bool has_expiry;
	Ticks expiry;
	int item_count;
	Item *items;
	int supplier_count;
	Supplier *suppliers;
} InvoiceData;

typedef enum TryStatus
{
	TRY_IN_PROGRESS,
	TRY_SUCCESS,
	TRY_FAILED,
	TRY_CANCELED,
	TRY_AUTHORIZED
} TryStatus;

typedef enum Gateway
{
	GATEWAY_KNET,
	GATEWAY_CARD
} Gateway;

typedef struct Invoice Invoice;

#define ID_SIZE 56

/* One attempt to pay. */
typedef struct PaymentTry
{
	HashNode node; /* by payment id */
	Invoice *invoice;
	struct PaymentTry *next;
	Ticks at;
	TryStatus status;
	Gateway gateway;
	char payment_id[ID_SIZE];
	char reference_id[ID_SIZE];
	char track_id[ID_SIZE];
	char transaction_id[ID_SIZE];
	char authorization_id[ID_SIZE];
	Decimal value;
	Decimal due;
	Decimal charge;
	Decimal vat;
	bool by_merchant; /* a capture or a release, not the payer */
	const char *error_code; /* "" or MF0nn */
	const char *error; /* NULL or the acquirer's text */
} PaymentTry;

typedef struct Reference Reference;

struct Invoice
{
	HashNode node; /* by id */
	Invoice *newer; /* in order of creation */
	Invoice *older_same_reference;
	Reference *ref;
	const Account *account;
	int64_t id;
	int64_t number; /* digits of InvoiceReference after the year */
	Ticks created;
	Ticks expiry;
	Decimal value; /* base currency */
	InvoiceData data;
	char *strings; /* backs every Str of data */
	char status[20]; /* Pending, Paid, Canceled, DuplicatePayment */
	char url_path[48]; /* /KWT/ie/... */
	int64_t ledger_seq; /* the request that made it */
	PaymentTry *tries;
	PaymentTry *last_try;
	int try_count;
	bool operated; /* captured or released */
	Decimal refunded; /* or asked to be */
	int64_t stale_reads; /* GetPaymentStatus does not see the payment yet */
	int64_t stale_until_us;
};

#define ROUTE_KINDS 3 /* SendPayment, GetPaymentStatus, any other */

typedef struct Counts
{
	int64_t received; /* whole requests */
	int64_t incomplete; /* requests that broke off */
	int64_t answered;
} Counts;

/* Everything known under one CustomerReference. */
struct Reference
{
	HashNode node;
	Invoice *newest;
	Counts counts[ROUTE_KINDS];
	uint32_t len;
	char text[];
};

typedef struct StoreStats
{
	int64_t invoices;
	int64_t references;
	int64_t tries;
	bool references_full;
} StoreStats;

extern void store_lock(void);
extern void store_unlock(void);

extern bool store_add_key(const char *spec);
extern const Account *store_account_for_key(Str key, int *index);
extern const Account *store_account_of(Str iso3);
extern bool store_text_holds_key(Str text);
extern const Currency *currency_by_iso(Str iso);

extern void store_set_limit(int64_t invoices);
extern void store_reset(void);
extern void store_start_ids(uint64_t seed);
extern uint64_t store_seed(void);
extern StoreStats store_stats(void);
extern Invoice *store_create(const Account *account, const InvoiceData *data, bool keep);
extern void store_free_invoice(Invoice *inv);
extern bool store_is_full(void);
extern bool store_base_value(const Account *account, const InvoiceData *data, Decimal *value);
extern Invoice *store_invoice(int64_t id);
extern int64_t store_take_invoice_id(void);
extern Invoice *store_oldest(void);
extern PaymentTry *store_try(Str payment_id);
extern Reference *store_reference(Str reference, bool create);
extern Invoice *store_invoice_by_path(Str path);

extern PaymentTry *store_add_try(Invoice *inv, TryStatus status, Gateway gateway, const char *error_code,
								 const Decimal *amount);
extern bool store_is_expired(const Invoice *inv);
extern bool store_is_paid(const Invoice *inv);
extern const char *store_error_text(Str code, const char **canonical);

#endif
