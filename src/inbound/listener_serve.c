/*
 * listener_serve.c
 *	  What the listener does with requests: store, commit, answer.
 *
 * All requests that are complete at one time share one transaction; an answer
 * is given after its commit, never before.  A customer who comes back waits a
 * moment until the payment has been looked up:
 *
 *	paid			the row's call_back_url, or a page of our own
 *	not paid		the row's error_url, or a page of our own
 *	not known yet	a page of our own that asks again a few times
 *
 * One customer waits for an invoice, the latest to come back, and not more than
 * a part of all connections do: who has waited longest makes room.
 *
 * So nobody is told of a success that is not confirmed, and nobody who may have
 * paid is told to pay again.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_serve.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/failpoint.h"
#include "base/settings.h"
#include "inbound/inbound.h"
#include "inbound/listener.h"
#include "process/notify.h"
#include "process/process.h"
#include "process/wait.h"

#define LOG_INTERVAL_MS 60000

/* Different errors told of in that time */
#define TOLD_ERRORS 8

/*
 * Somebody's lock does not keep all the others waiting for longer: first all
 * together, then each alone, and these for so long in all.
 */
#define LOCK_TIMEOUT_MS 200
#define ALONE_LOCK_TIMEOUT_MS 50
#define ALONE_MS 400

/* What has met locks more than once is answered at once with trouble for so long, doubled each time. */
#define AVOID_MS 250
#define AVOID_MAX_MS 60000
#define AVOIDED 256

/*
 * Nor does a synchronous standby that is away.  After one wait in vain the next
 * ones are short, until a standby confirms in that time.
 */
#define STANDBY_WAIT_MS 2000
#define STANDBY_WAIT_AGAIN_MS 200

/* A customer who waits for the look-up; lives in TopMemoryContext */
typedef struct Waiting
{
	struct Waiting *next;
	MfHttpdRequest *request;
	MfInbound	message;		/* with copies of its URLs */
	TimestampTz until;
} Waiting;

/* What is told once a minute: what the HTTP server refused, and what we did */
typedef enum Refusal
{
	REFUSAL_UNSIGNED = MF_ABUSE_KINDS,
	REFUSAL_MALFORMED,
	REFUSAL_NOT_FOUND,
	REFUSALS
} Refusal;

static const char *const refusals[REFUSALS] = {
	"connections that spoke no HTTP",
	"requests for nothing that is here",
	"requests that were too large",
	"requests that took too long",
	"connections beyond the limit",
	"requests because bodies took too much memory",
	"webhooks that were not signed with the account's secret",
	"messages that were none of MyFatoorah's",
	"messages for an unknown account or invoice"
};

/* Why nothing was stored */
typedef enum Trouble
{
	TROUBLE_OTHER,
	TROUBLE_ROW,				/* a row in hand may be to blame */
	TROUBLE_LOCK				/* somebody has locked something for longer than we wait */
} Trouble;

/* A webhook, or a callback of an invoice, that could not be stored because of a lock */
typedef struct Avoided
{
	uint64		key;			/* 0 = free */
	TimestampTz until;
	int			delay_ms;
} Avoided;

static Avoided avoided[AVOIDED];
static int	next_avoided = 0;

static Waiting *waiting = NULL;
static MfHttpdAbuseNote refused[REFUSALS];	/* not told yet */
static TimestampTz told_at[REFUSALS];

static void serve_batch(MfService *service, MfHttpdRequest **requests, int count);
static int	select_route(MfHttpdRequest *requests, MfHttpdRoute route, MfHttpdRequest **batch);
static void serve_alone(MfService *service, MfHttpdRequest **requests, int count);
static int	answer_avoided(MfHttpdRequest **requests, int count);
static uint64 key_of(const MfHttpdRequest *request);
static Avoided *find_avoided(uint64 key);
static void avoid(const MfHttpdRequest *request);
static bool store(MfService *service, MfHttpdRequest **requests, MfInbound *messages, int count, Trouble *trouble);
static bool store_in_transaction(MfService *service, MfHttpdRequest **requests, MfInbound *messages, int count,
								 Trouble *trouble);
static bool commit_stored(MfService *service);
static void fill_message(const MfHttpdRequest *request, MfInbound *message);
static char *utf8_copy(const char *text);
static void answer(MfService *service, MfHttpdRequest *request, const MfInbound *message);
static void answer_trouble(MfHttpdRequest *request);
static void refuse(MfService *service, MfHttpdRequest *request, Refusal kind, MfHttpdAnswer given);
static bool is_paid(const MfInbound *message);
static bool is_decided(const MfInbound *message);
static void answer_customer(MfHttpdRequest *request, const MfInbound *message);
static void wait_for_look_up(MfService *service, MfHttpdRequest *request, const MfInbound *message);
static void make_room(MfService *service, int64 invoice);
static void end_wait(Waiting **link);
static void reread(MfService *service);
static Trouble note_error(MfService *service);
static void tell_error(const ErrorData *error);

bool
mf_serve(MfService *service, MfHttpdRequest *requests)
{
	/* who only asks for our health does not share what may befall a commit, nor MyFatoorah what anybody's browser may */
	static const MfHttpdRoute order[] = {MF_ROUTE_HEALTH, MF_ROUTE_WEBHOOK, MF_ROUTE_CALLBACK};
	MfHttpdRequest **batch;
	MfHttpdRequest *request;
	MemoryContext old;
	int			count = 0;
	int			i;

	if (requests == NULL)
		return false;
	old = MemoryContextSwitchTo(service->context);
	for (request = requests; request != NULL; request = request->next)
		count++;
	batch = (MfHttpdRequest **) palloc(count * sizeof(MfHttpdRequest *));
	for (i = 0; i < (int) lengthof(order); i++)
	{
		count = answer_avoided(batch, select_route(requests, order[i], batch));
		if (count > 0)
			serve_batch(service, batch, count);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(service->context);
	return true;
}

static int
select_route(MfHttpdRequest *requests, MfHttpdRoute route, MfHttpdRequest **batch)
{
	MfHttpdRequest *request;
	int			count = 0;

	for (request = requests; request != NULL; request = request->next)
	{
		if (request->route == route)
			batch[count++] = request;
	}
	return count;
}

/* One transaction for all; if one of them makes it fail, one for each. */
static void
serve_batch(MfService *service, MfHttpdRequest **requests, int count)
{
	MfInbound  *messages = (MfInbound *) palloc0(count * sizeof(MfInbound));
	Trouble		trouble = TROUBLE_OTHER;
	int			i;

	mf_process_lock_timeout(LOCK_TIMEOUT_MS);
	if (store(service, requests, messages, count, &trouble))
	{
		for (i = 0; i < count; i++)
			answer(service, requests[i], &messages[i]);
	}
	else if (trouble != TROUBLE_OTHER && count > 1)
		serve_alone(service, requests, count);
	else
	{
		for (i = 0; i < count; i++)
		{
			if (trouble == TROUBLE_LOCK)
				avoid(requests[i]);
			answer_trouble(requests[i]);
		}
	}
}

/* A transaction for each.  Locks are waited for in little time, and for no more than some time in all. */
static void
serve_alone(MfService *service, MfHttpdRequest **requests, int count)
{
	int			left_ms = ALONE_MS;
	int			i;

	mf_process_lock_timeout(ALONE_LOCK_TIMEOUT_MS);
	for (i = 0; i < count; i++)
	{
		MfInbound	message;
		Trouble		trouble = TROUBLE_OTHER;

		memset(&message, 0, sizeof(message));
		if (left_ms > 0 && store(service, &requests[i], &message, 1, &trouble))
			answer(service, requests[i], &message);
		else
		{
			if (trouble == TROUBLE_LOCK)
			{
				avoid(requests[i]);
				left_ms -= ALONE_LOCK_TIMEOUT_MS;
			}
			answer_trouble(requests[i]);
		}
	}
}

/* Answers what has met a lock lately, and may try again later; returns how many others there are. */
static int
answer_avoided(MfHttpdRequest **requests, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	int			others = 0;
	int			i;

	for (i = 0; i < count; i++)
	{
		const Avoided *entry = find_avoided(key_of(requests[i]));

		if (entry != NULL && entry->until > now)
			answer_trouble(requests[i]);
		else
			requests[others++] = requests[i];
	}
	return others;
}

/* What may meet the same lock again: the same webhook, or a callback of the same invoice. */
static uint64
key_of(const MfHttpdRequest *request)
{
	if (request->route == MF_ROUTE_WEBHOOK && request->body != NULL)
		return hash_bytes_extended((const unsigned char *) request->body, request->body_len, 1);
	if (request->route == MF_ROUTE_CALLBACK && request->name != NULL)
		return hash_bytes_extended((const unsigned char *) request->name, strlen(request->name), 1);
	return 0;
}

static Avoided *
find_avoided(uint64 key)
{
	int			i;

	for (i = 0; key != 0 && i < AVOIDED; i++)
	{
		if (avoided[i].key == key)
			return &avoided[i];
	}
	return NULL;
}

static void
avoid(const MfHttpdRequest *request)
{
	uint64		key = key_of(request);
	Avoided    *entry = find_avoided(key);
	TimestampTz now = GetCurrentTimestamp();

	if (key == 0)
		return;
	if (entry == NULL)
	{
		entry = &avoided[next_avoided++ % AVOIDED];
		entry->key = key;
		entry->delay_ms = 0;
	}
	else if (TimestampDifferenceExceeds(entry->until, now, AVOID_MAX_MS))
		entry->delay_ms = 0;	/* a long time ago it was another lock */
	else
		entry->delay_ms = Min(Max(entry->delay_ms * 2, AVOID_MS), AVOID_MAX_MS);
	entry->until = TimestampTzPlusMilliseconds(now, entry->delay_ms);
}

/* Stores messages and commits; false if that failed. */
static bool
store(MfService *service, MfHttpdRequest **requests, MfInbound *messages, int count, Trouble *trouble)
{
	bool		stored;

	if (service->gone)
		return false;
	pgstat_report_activity(STATE_RUNNING, "myfatoorah: storing webhooks and callbacks");
	mf_process_begin_statements();
	stored = store_in_transaction(service, requests, messages, count, trouble);
	mf_process_end_statements();
	pgstat_report_activity(STATE_IDLE, NULL);
	return stored && !service->gone;
}

static bool
store_in_transaction(MfService *service, MfHttpdRequest **requests, MfInbound *messages, int count,
					 Trouble *trouble)
{
	MfInbound  *kept = (MfInbound *) palloc0(count * sizeof(MfInbound));
	volatile bool stored = false;

	PG_TRY();
	{
		int			used = 0;
		int			i;

		mf_process_start_transaction();
		service->state->transactions++;
		MemoryContextSwitchTo(service->context);
		for (i = 0; i < count; i++)
		{
			if (requests[i]->route != MF_ROUTE_HEALTH)
				fill_message(requests[i], &kept[used++]);
		}
		if (!mf_process_lock_extension(service->extension))
			service->gone = true;
		else if (used > 0)
			mf_inbound_store(service->schema, kept, used);
		MF_FAILPOINT("inbound_stored");
		used = 0;
		for (i = 0; i < count; i++)
		{
			if (requests[i]->route == MF_ROUTE_HEALTH)
				continue;
			messages[i] = kept[used++];
			messages[i].call_back_url = utf8_copy(messages[i].call_back_url);
			messages[i].error_url = utf8_copy(messages[i].error_url);
		}
		stored = commit_stored(service);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(service->context);
		*trouble = note_error(service);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(service->context);
	return stored;
}

/*
 * What no standby has could be lost with this server: it is not answered as
 * stored, although it is here, and is known when it comes again.
 */
static bool
commit_stored(MfService *service)
{
	static bool standby_away = false;

	if (mf_process_commit_within(standby_away || ShutdownRequestPending ? STANDBY_WAIT_AGAIN_MS : STANDBY_WAIT_MS))
	{
		standby_away = false;
		return true;
	}
	standby_away = true;
	/* whoever ends us has cut the wait short */
	if (!ShutdownRequestPending)
		mf_listener_show_error(service->state, "stored, but no synchronous standby has confirmed it in time");
	return false;
}

static void
fill_message(const MfHttpdRequest *request, MfInbound *message)
{
	switch (request->route)
	{
		case MF_ROUTE_WEBHOOK:
			message->kind = MF_INBOUND_WEBHOOK;
			message->account = request->name ? mf_from_utf8_lossy(request->name) : MF_DEFAULT_ACCOUNT;
			message->body = request->body ? request->body : "";
			message->body_len = request->body_len;
			message->signature = request->signature;
			message->version = request->version;
			break;
		case MF_ROUTE_CALLBACK:
			message->kind = MF_INBOUND_CALLBACK;
			message->token = request->name;
			message->payment_id = request->payment_id;
			break;
		case MF_ROUTE_HEALTH:
			break;
	}
}

/* A text of the database, for the outside */
static char *
utf8_copy(const char *text)
{
	char	   *converted;

	if (text == NULL)
		return NULL;
	converted = pg_server_to_any(text, strlen(text), PG_UTF8);
	return converted == text ? pstrdup(text) : converted;
}

/* Cleans up after an error, and tells what may explain it. */
static Trouble
note_error(MfService *service)
{
	ErrorData  *error = CopyErrorData();

	HOLD_INTERRUPTS();
	tell_error(error);
	(void) mf_notify_refused(error);
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(service->context);
	/* whoever ends us is told nothing of a cancel */
	if (!mf_process_is_cancel(error) || !ShutdownRequestPending)
		mf_listener_show_error(service->state, error->message);
	RESUME_INTERRUPTS();
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? TROUBLE_LOCK :
		mf_process_is_row_error(error) ? TROUBLE_ROW : TROUBLE_OTHER;
}

/*
 * The same error is told once a minute, and of many different ones only some:
 * how often requests fail is up to whoever sends them.
 */
static void
tell_error(const ErrorData *error)
{
	static struct
	{
		char		message[256];
		TimestampTz at;
	}			told[TOLD_ERRORS];
	TimestampTz now = GetCurrentTimestamp();
	char		message[sizeof(told[0].message)];
	int			oldest = 0;
	int			i;

	strlcpy(message, error->message, sizeof(message));
	for (i = 0; i < TOLD_ERRORS; i++)
	{
		if (told[i].at < told[oldest].at)
			oldest = i;
		if (strcmp(told[i].message, message) == 0)
		{
			oldest = i;
			break;
		}
	}
	if (ShutdownRequestPending ||
		(told[oldest].at != 0 && !TimestampDifferenceExceeds(told[oldest].at, now, LOG_INTERVAL_MS)))
		return;
	strlcpy(told[oldest].message, message, sizeof(message));
	told[oldest].at = now;
	EmitErrorReport();
}

/* Tells what became of a message that is committed. */
static void
answer(MfService *service, MfHttpdRequest *request, const MfInbound *message)
{
	MfListenerState *state = service->state;

	if (request->route == MF_ROUTE_HEALTH)
	{
		mf_httpd_answer(request, MF_ANSWER_OK);
		return;
	}
	switch (message->result)
	{
		case MF_INBOUND_STORED:
			if (request->route == MF_ROUTE_CALLBACK)
			{
				state->callbacks++;
				if (is_decided(message))
					answer_customer(request, message);
				else
					wait_for_look_up(service, request, message);
				return;
			}
			state->stored++;
			if (message->repeated)
				state->repeated++;
			mf_httpd_answer(request, MF_ANSWER_OK);
			break;
		case MF_INBOUND_MALFORMED:
			refuse(service, request, REFUSAL_MALFORMED, MF_ANSWER_MALFORMED);
			break;
		case MF_INBOUND_REFUSED:
			refuse(service, request, REFUSAL_UNSIGNED, MF_ANSWER_REFUSED);
			break;
		case MF_INBOUND_NOT_FOUND:
			refuse(service, request, REFUSAL_NOT_FOUND, MF_ANSWER_NOT_FOUND);
			break;
	}
}

static void
refuse(MfService *service, MfHttpdRequest *request, Refusal kind, MfHttpdAnswer given)
{
	service->state->refused++;
	refused[kind].count++;
	strlcpy(refused[kind].peer, request->peer, sizeof(refused[kind].peer));
	mf_httpd_answer(request, given);
}

/* It is not stored: the sender tries again, and so does the customer's browser. */
static void
answer_trouble(MfHttpdRequest *request)
{
	if (request->route == MF_ROUTE_CALLBACK)
		mf_httpd_page(request, MF_PAGE_NOT_CONFIRMED_YET, false, true);
	else
		mf_httpd_answer(request, MF_ANSWER_UNAVAILABLE);
}

static bool
is_paid(const MfInbound *message)
{
	return message->payment_status != NULL && mf_inbound_is_paid(message->payment_status);
}

/* A look-up has confirmed it: a payment, at any time; anything else, since the customer came. */
static bool
is_decided(const MfInbound *message)
{
	return message->settled || is_paid(message);
}

/* Sends the customer to the page that fits what is known now. */
static void
answer_customer(MfHttpdRequest *request, const MfInbound *message)
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
wait_for_look_up(MfService *service, MfHttpdRequest *request, const MfInbound *message)
{
	Waiting    *customer;

	make_room(service, message->invoice);
	customer = (Waiting *) MemoryContextAllocZero(TopMemoryContext, sizeof(Waiting));
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
	customer->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), MF_CALLBACK_WAIT_MS);
	customer->next = waiting;
	waiting = customer;
	mf_httpd_watch(request);
}

/* Answers who waits for the same invoice, and if that is nobody and there are too many, who has waited longest. */
static void
make_room(MfService *service, int64 invoice)
{
	Waiting   **link;
	Waiting   **longest = NULL;
	int			count = 0;

	for (link = &waiting; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->message.invoice == invoice)
		{
			end_wait(link);
			return;
		}
		/* the latest comes first */
		longest = link;
		count++;
	}
	if (count >= service->max_waiting)
		end_wait(longest);
}

/* Answers with what is known. */
static void
end_wait(Waiting **link)
{
	Waiting    *customer = *link;

	*link = customer->next;
	answer_customer(customer->request, &customer->message);
	if (customer->message.call_back_url != NULL)
		pfree(unconstify(char *, customer->message.call_back_url));
	if (customer->message.error_url != NULL)
		pfree(unconstify(char *, customer->message.error_url));
	pfree(customer);
}

TimestampTz
mf_serve_alarm(void)
{
	Waiting    *customer;
	TimestampTz again = 0;

	for (customer = waiting; customer != NULL; customer = customer->next)
		again = mf_earlier(again, customer->until);
	return again;
}

bool
mf_serve_waiting(MfService *service)
{
	TimestampTz now;
	Waiting    *customer;
	Waiting   **link;
	uint32		count = 0;
	bool		answered = false;

	for (link = &waiting; *link != NULL;)
	{
		if ((*link)->request->left)
		{
			end_wait(link);
			answered = true;
			continue;
		}
		link = &(*link)->next;
		count++;
	}
	pg_atomic_write_u32(&service->state->waiting, count);
	if (count == 0)
	{
		pg_atomic_write_u32(&service->state->reread, 0);
		return answered;
	}
	now = GetCurrentTimestamp();
	if (pg_atomic_exchange_u32(&service->state->reread, 0) == 0 && mf_serve_alarm() > now)
		return answered;

	reread(service);
	for (link = &waiting; *link != NULL;)
	{
		customer = *link;
		if (!is_decided(&customer->message) && customer->until > now)
		{
			customer->message.payment_status = NULL;
			link = &customer->next;
			continue;
		}
		end_wait(link);
		answered = true;
	}
	MemoryContextReset(service->context);
	return answered;
}

/* Reads what is known of the payments of those who wait; statuses live until the reset of the context. */
static void
reread(MfService *service)
{
	MemoryContext old = MemoryContextSwitchTo(service->context);
	MfInbound  *messages;
	Waiting    *customer;
	int			count = 0;
	volatile bool read = false;

	for (customer = waiting; customer != NULL; customer = customer->next)
		count++;
	messages = (MfInbound *) palloc0(count * sizeof(MfInbound));
	count = 0;
	for (customer = waiting; customer != NULL; customer = customer->next)
		messages[count++] = customer->message;

	mf_process_begin_statements();
	PG_TRY();
	{
		mf_process_start_transaction();
		service->state->transactions++;
		MemoryContextSwitchTo(service->context);
		if (!mf_process_lock_extension(service->extension))
			service->gone = true;
		else
		{
			mf_inbound_reread(service->schema, messages, count);
			read = true;
		}
		mf_process_commit_transaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(service->context);
		(void) note_error(service);
		read = false;
	}
	PG_END_TRY();
	mf_process_end_statements();

	count = 0;
	for (customer = waiting; customer != NULL && read; customer = customer->next)
	{
		customer->message.payment_status = messages[count].payment_status;
		customer->message.settled = messages[count].settled;
		count++;
	}
	MemoryContextSwitchTo(old);
}

void
mf_serve_end_waiting(MfService *service)
{
	while (waiting != NULL)
		end_wait(&waiting);
}

TimestampTz
mf_serve_log(MfService *service, MfHttpd *httpd)
{
	MfHttpdAbuseNote *notes = httpd ? mf_httpd_abuse(httpd) : NULL;
	TimestampTz now = 0;
	TimestampTz again = 0;
	int			i;

	for (i = 0; i < REFUSALS; i++)
	{
		TimestampTz due;

		if (notes != NULL && i < MF_ABUSE_KINDS && notes[i].count > 0)
		{
			service->state->refused += notes[i].count;
			refused[i].count += notes[i].count;
			memcpy(refused[i].peer, notes[i].peer, sizeof(refused[i].peer));
			notes[i].count = 0;
		}
		if (refused[i].count == 0)
			continue;
		if (now == 0)
			now = GetCurrentTimestamp();
		due = told_at[i] == 0 ? now : TimestampTzPlusMilliseconds(told_at[i], LOG_INTERVAL_MS);
		if (due > now)
		{
			again = mf_earlier(again, due);
			continue;
		}
		ereport(LOG,
				(errmsg("myfatoorah listener refused %s", refusals[i]),
				 errdetail_plural("It was %llu, from %s.", "They were %llu, the latest from %s.",
								  (unsigned long) refused[i].count, (unsigned long long) refused[i].count,
								  refused[i].peer),
				 errhint("More of them are counted in mf_listener_status and told of once a minute.")));
		refused[i].count = 0;
		told_at[i] = now;
	}
	return again;
}
