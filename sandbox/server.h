/*
 * server.h
 *	  A request in hand and what the parts of the server do with it.
 */
#ifndef SANDBOX_SERVER_H
#define SANDBOX_SERVER_H

#include <microhttpd.h>

#include "faults.h"
#include "json.h"
#include "ledger.h"
#include "timers.h"
#include "webhook.h"

typedef struct Options
{
	int port;
	int threads;
	int64_t ledger_limit;
	int64_t ledger_bytes;
	int64_t invoice_limit;
	int64_t webhook_limit;
	uint64_t seed;
	int64_t clock_offset;
	bool tls;
	bool quiet;
	char public_url[256];
} Options;

extern Options options;

typedef enum Route
{
	ROUTE_CALL, /* a call of the API, or a path of one with another method */
	ROUTE_NONE, /* no such call */
	ROUTE_PAGE, /* an invoice page */
	ROUTE_CHECKOUT, /* the page of one method */
	ROUTE_HOME,
	ROUTE_CONTROL
} Route;

/* Where a call says which invoice it is about */
typedef enum CallSubject
{
	ABOUT_NOTHING,
	ABOUT_NEW_INVOICE, /* CustomerReference */
	ABOUT_ORDER, /* Order.ExternalIdentifier */
	ABOUT_KEY, /* Key and KeyType */
	ABOUT_PAYMENT, /* PaymentId at the end of the path */
	ABOUT_INVOICE, /* InvoiceId there */
	ABOUT_REFERENCE /* CustomerReference there */
} CallSubject;

struct Request;

/* A call of the API. */
typedef struct Call
{
	const char *path; /* lower case; with a slash at its end an argument follows */
	const char *method;
	bool has_body; /* a JSON object */
	bool idempotent; /* heeds Idempotency-Key */
	CallSubject about;
	RouteKind kind;
	void (*run)(struct Request *r);
} Call;

#define MAX_ANSWER_HEADERS (FAULT_MAX_HEADERS + 4)

/* An answer being put together. Header texts are static or owned by the rule. */
typedef struct Answer
{
	int status;
	const char *content_type;
	Buf body;
	Buf location; /* of a redirect */
	Buf allow; /* the header's value */
	int header_count;
	const char *header_names[MAX_ANSWER_HEADERS];
	const char *header_values[MAX_ANSWER_HEADERS];
	bool close;
	int64_t invoice_id;
} Answer;

/* One connection, as long as it lives. */
typedef struct Client
{
	int64_t id;
	int64_t accepted_us;
	int64_t requests;
} Client;

typedef enum Stage
{
	STAGE_HEAD, /* nothing but the request line is known */
	STAGE_BODY, /* the body is coming in */
	STAGE_PROCESS, /* to be looked at (again, after a delay) */
	STAGE_ANSWER, /* the answer waits to be sent */
	STAGE_WAIT, /* a long poll */
	STAGE_SENT, /* the answer was handed over */
	STAGE_DROP /* the connection is no longer ours */
} Stage;

typedef struct Request
{
	struct MHD_Connection *connection;
	Client *client;
	Stage stage;
	bool asleep; /* suspended: not to be touched now */
	bool gone; /* the client has left */
	Route route;
	const Call *first_call; /* of the path, or NULL */
	const Call *call; /* of path and method, or NULL */
	bool keep; /* false: what the call does is undone, only its answer stays */
	char method[12];
	Buf target; /* as sent */
	Str query; /* part of target */
	Buf path; /* lower case, without an argument */
	Buf argument; /* what follows the path of the call, decoded */
	Buf idempotency_key;
	struct KeyedCall *keyed; /* the call with that key */
	Buf headers; /* name NUL value NUL ... */
	Buf body;
	bool body_too_long;
	size_t header_bytes;
	int64_t number; /* on its connection, from 1 */
	int64_t first_us;
	int64_t first_wall_us;
	int64_t complete_us;
	const char *authorization; /* what the ledger says of it */
	int key_index;
	const Account *account;
	const char *content_type; /* of the request; libmicrohttpd owns it */
	const char *host;
	JsonDoc doc;
	FaultSubject subject;
	FaultRule *rule;
	bool throttled;
	LedgerHandle ledger;
	Answer answer;
	Timer timer;
	Waiter waiter;
	DeliveryWaiter delivery_waiter;
	Buf kept_reference;
	Buf wait_path;
	Buf wait_reference;
} Request;

/* http.c */
extern int http_listen(int *port);
extern struct MHD_Daemon *http_start(int listener, const char *certificate, const char *key);

/* request.c */
typedef struct ConnectionCounts
{
	_Atomic int64_t opened;
	_Atomic int64_t closed;
	_Atomic int64_t silent; /* closed without one request */
} ConnectionCounts;

extern ConnectionCounts connection_counts;

extern void connections_describe(Buf *b);
extern void sleep_request(Request *r, int64_t ms, Stage next);

/* calls.c */
extern const Call *call_at(Str path, size_t *argument_at);
extern const Call *call_with_method(const Call *first, const char *method);
extern void calls_put_methods(Buf *b, const Call *first);

/* api.c */
extern void api_answer(Request *r, bool create);
extern Str api_reference(Request *r);

/* api_common.c */
extern Invoice *find_invoice(const Account *account, Str key, Str type);
extern bool parse_id(Str text, int64_t *id);
extern void answer_json(Answer *a, int status);
extern void answer_failure(Answer *a, int status, const char *message, Str errors);
extern void answer_success(Answer *a, int status, const char *message, Str data);
extern void refuse(Request *r, const char *member, const char *text);
extern void answer_no_match(Request *r);
extern bool take_key(Request *r, Str *key, Str *type);
extern bool take_amount(const JsonNode *body, const char *name, Decimal *amount);
extern bool take_flag(const JsonNode *body, const char *name, bool *flag);

/* idempotency.c */
extern void idempotency_begin(Request *r);
extern bool idempotency_replays(Request *r);
extern void idempotency_note(Request *r);
extern void idempotency_keep(Request *r, bool replaced);
extern void idempotency_answered(Request *r);
extern void idempotency_reset(void);
extern void idempotency_put(Buf *b);

/* api_invoice.c */
extern void send_payment(Request *r);
extern void get_payment_status(Request *r);
extern void update_payment_status(Request *r);
extern void put_invoice_answer(Request *r, Invoice *inv, bool with_token);

/* api_refund.c */
extern void make_refund(Request *r);
extern void make_supplier_refund(Request *r);
extern void get_refund_status(Request *r);

/* api_deposit.c */
extern void get_deposited_invoices(Request *r);

/* api_v3.c */
extern void v3_create_payment(Request *r);
extern void v3_get_payment(Request *r);
extern void v3_update_payment(Request *r);
extern void v3_get_invoice(Request *r);
extern void v3_get_invoice_by_reference(Request *r);

/* api_execute.c */
extern void initiate_payment(Request *r);
extern void execute_payment(Request *r);

/* api_recurring.c */
extern void get_recurring_payment(Request *r);
extern void cancel_recurring_payment(Request *r);
extern void resume_recurring_payment(Request *r);

/* api_lists.c */
extern void get_banks(Request *r);
extern void get_exchange_list(Request *r);
extern void register_apple_pay_domain(Request *r);
extern void cancel_token(Request *r);

/* api_supplier.c */
extern void get_suppliers(Request *r);
extern void get_supplier_details(Request *r);
extern void get_supplier_dashboard(Request *r);
extern void get_supplier_documents(Request *r);
extern void get_supplier_deposits(Request *r);
extern void transfer_balance(Request *r);

/* api_webhooks.c */
extern void get_webhooks(Request *r);

/* payment.c */
typedef struct PaymentOrder
{
	Gateway gateway;
	const char *error_code; /* of a failure; NULL: unspecified */
	bool has_amount;
	Decimal amount; /* of a capture */
	bool duplicate; /* pay what is paid */
	bool force; /* whatever the page would refuse */
	bool undone; /* it will be taken back: nobody is told */
	Str token; /* of the saved card that pays, or absent */
} PaymentOrder;

/* What an invoice was before something was done to it */
typedef struct InvoiceState
{
	Decimal value;
	Decimal display_value;
	char status[20];
	bool operated;
	TryStatus last_try;
} InvoiceState;

extern PaymentTry *payment_act(Invoice *inv, Str action, const PaymentOrder *order, const char **refusal);
extern void payment_save(const Invoice *inv, InvoiceState *state);
extern void payment_undo(Invoice *inv, const InvoiceState *state);

extern bool payment_set_lag(const cJSON *json);
extern void payment_put_lag(Buf *b);
extern bool payment_hide(Invoice *inv, InvoiceState *truth);
extern void payment_show(Invoice *inv, const InvoiceState *truth);

/* pages.c */
extern Invoice *page_invoice(const Request *r);
extern void page_answer(Request *r);
extern void checkout_answer(Request *r);
extern void home_answer(Request *r);

/* control.c */
extern bool control_answer(Request *r);

/* wire.c */
extern bool wire_take(Request *r, FaultEnd end, int64_t at, int64_t stall_ms, Buf *raw);
extern void wire_compose(Buf *raw, const Answer *a);
extern void wire_stop(void);

#endif
