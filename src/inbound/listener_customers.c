/*
 * listener_customers.c
 *	  Customers who come back from paying: they wait until their payment has been
 *	  looked up, and are sent to the page that fits.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_customers.c
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "inbound/listener_log.h"
#include "process/wait.h"

/* One customer who waits; in TopMemoryContext, with the URLs of "message" */
typedef struct Customer
{
	MfHttpdRequest *request;
	MfInbound	message;		/* what is known of the payment */
	TimestampTz wait_until;
} Customer;

static List *customers = NIL;	/* in TopMemoryContext; who has waited longest comes first */

static bool is_decided(const MfInbound *message);
static void send_to_page(MfHttpdRequest *request, const MfInbound *message);
static void add_customer(MfHttpdRequest *request, const MfInbound *message);
static void make_room(int max_waiting, int64 invoice);
static void answer_and_free(Customer *customer);
static bool remove_disconnected(void);
static bool read_payments(const MfSqlScope *scope, void *argument);

void
mf_customer_answer(MfListener *listener, MfHttpdRequest *request, const MfInbound *message)
{
	if (is_decided(message) || message->archived)
	{
		send_to_page(request, message);
		return;
	}
	make_room(listener->max_waiting, message->invoice);
	add_customer(request, message);
	mf_httpd_watch(request);
}

static bool
is_paid(const MfInbound *message)
{
	return message->payment_status != NULL && mf_inbound_is_paid(message->payment_status);
}

/* A payment that was confirmed at any time, or any other status that was looked up since the callback */
static bool
is_decided(const MfInbound *message)
{
	return message->settled || is_paid(message);
}

static void
send_to_page(MfHttpdRequest *request, const MfInbound *message)
{
	bool		decided = is_decided(message);
	bool		paid = is_paid(message);
	const char *url = paid ? message->call_back_url : message->error_url;

	if (decided && url != NULL && mf_httpd_can_redirect(url))
		mf_httpd_redirect(request, url);
	else
		mf_httpd_page(request, paid ? MF_PAGE_CONFIRMED : decided ? MF_PAGE_NOT_COMPLETED : MF_PAGE_NOT_CONFIRMED_YET,
					  message->arabic, false);
}

static void
add_customer(MfHttpdRequest *request, const MfInbound *message)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Customer   *customer = (Customer *) palloc0(sizeof(Customer));

	customer->request = request;
	customer->message.kind = MF_INBOUND_CALLBACK;
	customer->message.result = MF_INBOUND_STORED;
	customer->message.event = message->event;
	customer->message.invoice = message->invoice;
	customer->message.arabic = message->arabic;
	if (message->call_back_url != NULL)
		customer->message.call_back_url = pstrdup(message->call_back_url);
	if (message->error_url != NULL)
		customer->message.error_url = pstrdup(message->error_url);
	customer->wait_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MF_CUSTOMER_WAIT_MS);
	customers = lappend(customers, customer);
	MemoryContextSwitchTo(old);
}

/*
 * Answers the customer who waits for the same invoice, so that reloading a page takes no
 * more room; else, if too many wait, the one who has waited longest.
 */
static void
make_room(int max_waiting, int64 invoice)
{
	Customer   *leaving = list_length(customers) >= max_waiting ? (Customer *) linitial(customers) : NULL;
	ListCell   *lc;

	foreach(lc, customers)
	{
		Customer   *customer = (Customer *) lfirst(lc);

		if (customer->message.invoice == invoice)
			leaving = customer;
	}
	if (leaving != NULL)
	{
		customers = list_delete_ptr(customers, leaving);
		answer_and_free(leaving);
	}
}

static void
answer_and_free(Customer *customer)
{
	send_to_page(customer->request, &customer->message);
	if (customer->message.call_back_url != NULL)
		pfree(unconstify(char *, customer->message.call_back_url));
	if (customer->message.error_url != NULL)
		pfree(unconstify(char *, customer->message.error_url));
	pfree(customer);
}

TimestampTz
mf_customers_alarm(void)
{
	ListCell   *lc;
	TimestampTz alarm = 0;

	foreach(lc, customers)
		alarm = mf_earlier(alarm, ((Customer *) lfirst(lc))->wait_until);
	return alarm;
}

bool
mf_customers_attend(MfListener *listener)
{
	TimestampTz now;
	ListCell   *lc;
	MemoryContext old = CurrentMemoryContext;
	bool		answered = remove_disconnected();

	pg_atomic_write_u32(&listener->state->waiting, list_length(customers));
	if (customers == NIL)
	{
		pg_atomic_write_u32(&listener->state->reread, 0);
		return answered;
	}
	now = GetCurrentTimestamp();
	if (pg_atomic_exchange_u32(&listener->state->reread, 0) == 0 && mf_customers_alarm() > now)
		return answered;

	/* tried again when the worker has recorded another answer, and when the time of a customer is over */
	(void) mf_transaction_run(&listener->runner, read_payments, NULL, NULL);
	MemoryContextSwitchTo(old);
	foreach(lc, customers)
	{
		Customer   *customer = (Customer *) lfirst(lc);

		if (!is_decided(&customer->message) && customer->wait_until > now)
		{
			/* it is in the context that is reset below */
			customer->message.payment_status = NULL;
			continue;
		}
		customers = foreach_delete_current(customers, lc);
		answer_and_free(customer);
		answered = true;
	}
	MemoryContextReset(listener->runner.context);
	return answered;
}

/* Removes customers who have closed their connections.  Their requests are answered, because that frees them. */
static bool
remove_disconnected(void)
{
	ListCell   *lc;
	bool		removed = false;

	foreach(lc, customers)
	{
		Customer   *customer = (Customer *) lfirst(lc);

		if (!customer->request->left)
			continue;
		customers = foreach_delete_current(customers, lc);
		answer_and_free(customer);
		removed = true;
	}
	return removed;
}

/* Updates what is known of all payments; payment_status is in the current context. */
static bool
read_payments(const MfSqlScope *scope, void *argument)
{
	int			count = list_length(customers);
	MfInbound  *messages = (MfInbound *) palloc(count * sizeof(MfInbound));
	ListCell   *lc;

	foreach(lc, customers)
		messages[foreach_current_index(lc)] = ((Customer *) lfirst(lc))->message;
	mf_inbound_reread(scope, messages, count);
	foreach(lc, customers)
	{
		MfInbound  *message = &((Customer *) lfirst(lc))->message;

		message->payment_status = messages[foreach_current_index(lc)].payment_status;
		message->settled = messages[foreach_current_index(lc)].settled;
	}
	return true;
}

void
mf_customers_answer_all(void)
{
	ListCell   *lc;

	foreach(lc, customers)
		answer_and_free((Customer *) lfirst(lc));
	list_free(customers);
	customers = NIL;
}
