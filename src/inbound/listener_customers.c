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
	struct Customer *next;
	MfHttpdRequest *request;
	MfInbound	message;		/* what is known of the payment */
	TimestampTz wait_until;
} Customer;

static Customer *customers = NULL;	/* the latest comes first */

static bool is_decided(const MfInbound *message);
static void send_to_page(MfHttpdRequest *request, const MfInbound *message);
static void add_customer(MfHttpdRequest *request, const MfInbound *message);
static void make_room(int max_waiting, int64 invoice);
static void answer_and_remove(Customer **link);
static int	remove_disconnected(bool *removed);
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
	Customer   *customer = (Customer *) MemoryContextAllocZero(TopMemoryContext, sizeof(Customer));

	customer->request = request;
	customer->message.kind = MF_INBOUND_CALLBACK;
	customer->message.result = MF_INBOUND_STORED;
	customer->message.event = message->event;
	customer->message.invoice = message->invoice;
	customer->message.arabic = message->arabic;
	if (message->call_back_url != NULL)
		customer->message.call_back_url = MemoryContextStrdup(TopMemoryContext, message->call_back_url);
	if (message->error_url != NULL)
		customer->message.error_url = MemoryContextStrdup(TopMemoryContext, message->error_url);
	customer->wait_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MF_CUSTOMER_WAIT_MS);
	customer->next = customers;
	customers = customer;
}

/*
 * Answers the customer who waits for the same invoice, so that reloading a page takes no
 * more room; else, if too many wait, the one who has waited longest.
 */
static void
make_room(int max_waiting, int64 invoice)
{
	Customer  **link;
	Customer  **oldest = NULL;
	int			count = 0;

	for (link = &customers; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->message.invoice == invoice)
		{
			answer_and_remove(link);
			return;
		}
		oldest = link;
		count++;
	}
	if (count >= max_waiting)
		answer_and_remove(oldest);
}

static void
answer_and_remove(Customer **link)
{
	Customer   *customer = *link;

	*link = customer->next;
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
	Customer   *customer;
	TimestampTz alarm = 0;

	for (customer = customers; customer != NULL; customer = customer->next)
		alarm = mf_earlier(alarm, customer->wait_until);
	return alarm;
}

bool
mf_customers_attend(MfListener *listener)
{
	TimestampTz now;
	Customer  **link;
	MemoryContext old = CurrentMemoryContext;
	bool		answered = false;
	int			count = remove_disconnected(&answered);

	pg_atomic_write_u32(&listener->state->waiting, count);
	if (count == 0)
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
	for (link = &customers; *link != NULL;)
	{
		Customer   *customer = *link;

		if (!is_decided(&customer->message) && customer->wait_until > now)
		{
			/* it is in the context that is reset below */
			customer->message.payment_status = NULL;
			link = &customer->next;
			continue;
		}
		answer_and_remove(link);
		answered = true;
	}
	MemoryContextReset(listener->runner.context);
	return answered;
}

/*
 * Removes customers who have closed their connections; returns how many are left.  Their
 * requests are answered, too, because that frees them.
 */
static int
remove_disconnected(bool *removed)
{
	Customer  **link;
	int			count = 0;

	for (link = &customers; *link != NULL;)
	{
		if ((*link)->request->left)
		{
			answer_and_remove(link);
			*removed = true;
			continue;
		}
		link = &(*link)->next;
		count++;
	}
	return count;
}

/* Updates what is known of all payments; payment_status is in the current context. */
static bool
read_payments(const MfSqlScope *scope, void *argument)
{
	MfInbound  *messages;
	Customer   *customer;
	int			count = 0;

	for (customer = customers; customer != NULL; customer = customer->next)
		count++;
	messages = (MfInbound *) palloc0(count * sizeof(MfInbound));
	count = 0;
	for (customer = customers; customer != NULL; customer = customer->next)
		messages[count++] = customer->message;
	mf_inbound_reread(scope, messages, count);
	count = 0;
	for (customer = customers; customer != NULL; customer = customer->next)
	{
		customer->message.payment_status = messages[count].payment_status;
		customer->message.settled = messages[count].settled;
		count++;
	}
	return true;
}

void
mf_customers_answer_all(void)
{
	while (customers != NULL)
		answer_and_remove(&customers);
}
