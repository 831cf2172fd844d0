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

#define ACCOUNTS 8

typedef struct OptionalDecimal
{
	bool present;
	Decimal value;
} OptionalDecimal;

/* Pages of MyFatoorah's documentation that show different answers */
typedef enum AnswerStyle
{
	STYLE_GUIDE,
	STYLE_REFERENCE,
	STYLE_OLD,
	STYLE_IDEMPOTENCY /* the page about Idempotency-Key */
} AnswerStyle;

/* What becomes of an Idempotency-Key whose first call failed */
typedef enum FailedCalls
{
	FAILED_FORGOTTEN, /* the next call with the key is looked at afresh */
	FAILED_KEPT, /* the refusal is repeated */
	FAILED_LOST /* so is a call that did something and then failed */
} FailedCalls;

/* What a second call with a key gets before the first was answered */
typedef enum ConcurrentCalls
{
	CONCURRENT_REPLAY, /* one of them does it, both get its answer */
	CONCURRENT_REFUSED,
	CONCURRENT_DOUBLE /* both do it */
} ConcurrentCalls;

/* How MyFatoorah has set an account up, and what nobody knows of it. */
typedef struct AccountSettings
{
	bool auto_refund; /* refunds need nobody's decision */
	bool one_refund_at_a_time; /* none while one is pending */
	OptionalDecimal balance; /* what refunds are taken from */
	OptionalDecimal refund_fee; /* of the payer, if asked for; else as a payment's */
	int64_t refund_hidden_reads; /* of GetRefundStatus, before it sees a new one */
	int64_t refund_hidden_ms;
	AnswerStyle refund_answers;
	AnswerStyle capture_answers;
	AnswerStyle v3_answers; /* to a creation */
	bool idempotency; /* Kuwait and Saudi Arabia only */
	int64_t idempotency_minutes;
	FailedCalls idempotency_failed;
	ConcurrentCalls idempotency_concurrent;
} AccountSettings;

typedef enum KeyState
{
	KEY_WORKS,
	KEY_EXPIRED,
	KEY_OF_ANOTHER_COUNTRY,
	KEY_WITHOUT_RIGHTS
} KeyState;

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
	struct Deposit *deposit; /* that paid it out */
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
	Str customer_reference; /* of the customer, V3 */
	Str meta; /* MetaData as JSON, V3 */
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

/* Which call made an invoice */
typedef enum MadeBy
{
	MADE_BY_SEND_PAYMENT,
	MADE_BY_V3,
	MADE_BY_EXECUTE_PAYMENT,
	MADE_BY_RECURRING
} MadeBy;

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
	char token[ID_SIZE]; /* of a saved card that was charged, or empty */
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
	MadeBy made_by;
	bool operated; /* captured or released */
	Decimal refunded; /* or asked to be */
	struct Refund *refunds; /* oldest first */
	struct Deposit *deposit; /* that paid it out; NULL: none yet */
	int64_t stale_reads; /* GetPaymentStatus does not see the payment yet */
	int64_t stale_until_us;
};

/* Requests that are counted apart for each CustomerReference */
typedef enum RouteKind
{
	KIND_SEND_PAYMENT,
	KIND_GET_PAYMENT_STATUS,
	KIND_MAKE_REFUND,
	KIND_SUPPLIER_REFUND,
	KIND_GET_REFUND_STATUS,
	KIND_UPDATE_PAYMENT_STATUS,
	KIND_V3_PAYMENT,
	KIND_EXECUTE_PAYMENT,
	KIND_OTHER,
	ROUTE_KINDS
} RouteKind;

typedef struct Counts
{
	int64_t received; /* whole requests */
	int64_t incomplete; /* requests that broke off */
	int64_t answered;
} Counts;

typedef struct SmallCounts
{
	int32_t received;
	int32_t incomplete;
	int32_t answered;
} SmallCounts;

/* Everything known under one CustomerReference. */
struct Reference
{
	HashNode node;
	Invoice *newest;
	SmallCounts counts[ROUTE_KINDS];
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

/* account.c */
extern bool store_add_key(const char *spec);
extern const Account *store_account_for_key(Str key, int *index);
extern const Account *store_account_of(Str iso3);
extern bool store_text_holds_key(Str text);
extern const Currency *currency_by_iso(Str iso);
extern const Currency *currency_number(int i);
extern KeyState key_state(int index);
extern bool key_set_state(int64_t index, KeyState state);
extern AccountSettings *account_settings(const Account *account);
extern void accounts_reset(void);
extern const Account *account_number(int i);

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
extern void store_drop_last_try(Invoice *inv);
extern PaymentTry *store_success(const Invoice *inv);
extern bool store_is_expired(const Invoice *inv);
extern bool store_is_paid(const Invoice *inv);
extern const char *store_error_text(Str code, const char **canonical);

#endif
