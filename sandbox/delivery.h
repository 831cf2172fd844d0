/*
 * delivery.h
 *	  Deliveries of webhooks: their messages, sending them, the log.
 *
 * All functions want the store's lock held unless they say otherwise.
 */
#ifndef SANDBOX_DELIVERY_H
#define SANDBOX_DELIVERY_H

#include <cjson/cJSON.h>

#include "deposit.h"
#include "objects.h"
#include "recurring.h"
#include "refund.h"
#include "store.h"
#include "timers.h"

typedef enum DeliveryStatus
{
	DELIVERY_WAITING,
	DELIVERY_RUNNING,
	DELIVERY_SUCCEEDED,
	DELIVERY_FAILED
} DeliveryStatus;

typedef struct Attempt
{
	int64_t start_us; /* monotonic: handed to the network */
	int64_t end_us; /* the answer is there, or given up */
	int64_t wall_us; /* of the start */
	int status; /* HTTP; 0: there was no answer */
	char message[96]; /* reason phrase, or what went wrong */
	char response[128]; /* start of the body */
} Attempt;

/* A message on its way to one address. It belongs to the log. */
typedef struct Delivery
{
	int64_t number; /* from 1 */
	int64_t reference_number; /* digits of "WH-24349"; 0: none */
	int version; /* 1, 2; 0: sent raw */
	int code; /* of the event; 0: sent raw */
	const Account *account;
	int64_t invoice_id; /* 0: not about one */
	char *entity; /* EventEntityId */
	char *reference; /* CustomerReference, or NULL */
	const char *word; /* what the event says; static text */
	char *endpoint;
	char *signature; /* NULL: unsigned */
	char *headers; /* further ones: "Name: value", each ended by NUL, then NUL */
	Buf body;
	size_t data_at; /* of Data in body */
	size_t data_len;
	Ticks created;
	int64_t queued_us;
	DeliveryStatus status;
	char mischief[64];
	int64_t replay_of; /* number of the delivery repeated, or 0 */
	int attempts_left;
	int64_t delay_ms; /* asked for by mischief */
	int attempt_count;
	Attempt *attempts;
	Timer timer;
	struct Delivery *next_ready;
	struct Delivery *then; /* to be sent when this one was tried */
	bool armed; /* its timer is, or is about to fire */
	bool busy; /* with the sender */
	bool orphan; /* forgotten; who has it armed or busy frees it */
} Delivery;

typedef struct WebhookSettings
{
	bool enabled;
	int version;
	char *url; /* NULL: none */
	char *secret;
	int64_t retries; /* after the first attempt; -1: as the version has it */
	int64_t retry_delay_ms; /* likewise */
	int64_t timeout_ms;
	int64_t connections;
} WebhookSettings;

extern WebhookSettings webhook_settings;

/* webhook_body.c, webhook_other.c */
typedef struct Message
{
	int version;
	int code;
	const Account *account;
	Ticks at;
	int64_t reference_number;
	Buf body;
	size_t data_at;
	size_t data_len;
} Message;

extern const char *event_name(int version, int code);
extern int event_code_of_name(Str name);
extern void body_open(Message *m);
extern void body_close(Message *m);
extern void body_payment(Message *m, const Invoice *inv, const PaymentTry *t);
extern void body_refund(Message *m, const Refund *refund);

/* What a dispute says beyond its invoice. */
typedef struct Dispute
{
	int64_t id;
	Str type;
	Str status;
	Str charge_back_type;
	Str reason;
} Dispute;

extern void body_dispute(Message *m, const Invoice *inv, const PaymentTry *t, const Dispute *dispute);
extern void body_deposit(Message *m, const Deposit *d);
extern void body_recurring(Message *m, const Recurring *plan, const Invoice *inv);
extern void body_other(Message *m, Str status, const Invoice *inv, const char **entity);

/* webhook_send.c */
extern void sender_start(void); /* without the lock */
extern void sender_stop(void); /* without the lock */
extern void sender_queue(Delivery *d, int64_t delay_ms);
extern void webhook_take(Delivery *d, int64_t delay_ms);
extern bool url_is_loopback(const char *url);
extern void sender_forget_all(void);
extern void sender_forget(Delivery *d);

/* webhook_log.c */
typedef enum DeliveryPhase
{
	PHASE_QUEUED,
	PHASE_ATTEMPTED,
	PHASE_FINISHED
} DeliveryPhase;

typedef struct DeliveryFilter
{
	Str reference; /* CustomerReference, or absent */
	int64_t invoice_id; /* 0: any */
	int code; /* -1: any */
	int status; /* a DeliveryStatus; -1: any */
	Str webhook_reference; /* "WH-24349", or absent */
} DeliveryFilter;

typedef struct DeliveryWaiter
{
	struct DeliveryWaiter *next;
	DeliveryFilter filter;
	DeliveryPhase phase;
	int64_t target;
	int64_t count;
	bool queued;
	void (*wake)(struct DeliveryWaiter *waiter);
} DeliveryWaiter;

extern void webhook_log_limit(int64_t limit);
extern void webhook_log_add(Delivery *d);
extern void webhook_log_note(const Delivery *d, DeliveryPhase phase);
extern void webhook_log_reset(void (*forget)(Delivery *d));
extern Delivery *webhook_log_get(int64_t number);
extern Delivery *webhook_log_by_reference(Str reference);
extern int64_t webhook_log_first(void);
extern int64_t webhook_log_last(void);
extern int64_t webhook_log_count(const DeliveryFilter *filter, DeliveryPhase phase);
extern void webhook_log_wait(DeliveryWaiter *w);
extern void webhook_log_unwait(DeliveryWaiter *w);
extern void webhook_log_put(Buf *b, const Delivery *d, bool body);
extern void webhook_log_put_list(Buf *b, const DeliveryFilter *filter, int64_t since, int64_t limit,
								 bool bodies);
extern void webhook_log_put_stats(Buf *b);
extern const char *delivery_status_word(DeliveryStatus status);
extern void delivery_free(Delivery *d);

#endif
