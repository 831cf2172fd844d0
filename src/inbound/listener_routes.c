/*
 * listener_routes.c
 *	  Pages that functions of mf_on_request() answer, as the listener sees them.
 *
 * The listener never waits for a function.  Requests stand in a line here, and the
 * first of them is with the process that calls functions (route_process.c).
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_routes.c
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/run_transaction.h"
#include "inbound/listener_log.h"
#include "inbound/route.h"
#include "process/metrics.h"
#include "process/process.h"
#include "process/wait.h"

/* A request waits so long for its answer, line and start of the process included. */
#define WAIT_MS 5000

/* A process that ends at once is not started again at once. */
#define RESTART_MS 1000

/* One request; in TopMemoryContext */
typedef struct Visitor
{
	MfHttpdRequest *request;
	TimestampTz wait_until;
} Visitor;

static List *line = NIL;		/* in TopMemoryContext; the first is being answered if "asked" */
static bool asked = false;
static TimestampTz start_after = 0; /* no process is started before */
static const char **prefixes = NULL;
static bool prefixes_read = false;
static MfSlot *slot = NULL;

static bool read_prefixes(const MfSqlScope *scope, void *argument);
static const char **copy_prefixes(const List *list);
static Visitor *first_visitor(void);
static void ask(const MfHttpdRequest *request);
static bool take_answer(MfRouteAnswer *answer);
static void withdraw(void);
static void start_process(void);
static void pass_on(MfHttpdRequest *request, const MfRouteAnswer *answer);
static void note(const char *prefix, const char *error, Oid owner);
static MfRouteHealth *health_of(const char *prefix);
static void forget_prefixes(void);
static void fail(MfHttpdRequest *request, const char *error, Oid owner);
static void refuse(MfHttpdRequest *request);
static bool drop_late(TimestampTz now);

void
mf_routes_attend(MfListener *listener, MfHttpd *httpd, MfHttpd *former)
{
	const char **before = prefixes;
	MemoryContext old = CurrentMemoryContext;
	List	   *list = NIL;

	if (slot == NULL)
		slot = listener->slot;
	if (pg_atomic_exchange_u32(&slot->routes.changed, 0) == 0 && prefixes_read)
		return;
	if (!mf_transaction_run(&listener->runner, read_prefixes, &list, NULL))
	{
		/* tried again with the next event */
		pg_atomic_write_u32(&slot->routes.changed, 1);
		MemoryContextSwitchTo(old);
		return;
	}
	MemoryContextSwitchTo(old);
	prefixes = copy_prefixes(list);
	prefixes_read = true;
	forget_prefixes();
	if (httpd != NULL)
		mf_routes_install(httpd);
	if (former != NULL)
		mf_routes_install(former);
	if (before != NULL)
		pfree(before);
	MemoryContextReset(listener->runner.context);
}

static bool
read_prefixes(const MfSqlScope *scope, void *argument)
{
	*(List **) argument = mf_route_prefixes(scope);
	return true;
}

/* As one chunk in TopMemoryContext, with a NULL at its end. */
static const char **
copy_prefixes(const List *list)
{
	int			count = list_length(list);
	Size		size = (count + 1) * sizeof(char *) + count * MF_ROUTE_PREFIX_SIZE;
	const char **copy = (const char **) MemoryContextAllocZero(TopMemoryContext, size);
	char	   *text = (char *) (copy + count + 1);
	ListCell   *lc;
	int			i = 0;

	foreach(lc, list)
	{
		strlcpy(text, (const char *) lfirst(lc), MF_ROUTE_PREFIX_SIZE);
		copy[i++] = text;
		text += MF_ROUTE_PREFIX_SIZE;
	}
	return copy;
}

void
mf_routes_install(MfHttpd *httpd)
{
	mf_httpd_set_prefixes(httpd, prefixes);
}

void
mf_routes_add(MfListener *listener, MfHttpdRequest *request)
{
	MemoryContext old;
	Visitor    *visitor;

	if (list_length(line) >= listener->max_waiting)
	{
		fail(request, "too many requests wait", InvalidOid);
		return;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	visitor = (Visitor *) palloc(sizeof(Visitor));
	visitor->request = request;
	visitor->wait_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WAIT_MS);
	line = lappend(line, visitor);
	MemoryContextSwitchTo(old);
	mf_httpd_watch(request);
}

bool
mf_routes_run(void)
{
	static MfRouteAnswer answer;
	bool		answered;

	if (line == NIL)
		return false;
	answered = drop_late(GetCurrentTimestamp());
	if (asked && take_answer(&answer))
	{
		pass_on(first_visitor()->request, &answer);
		asked = false;
		pfree(first_visitor());
		line = list_delete_first(line);
		answered = true;
	}
	if (line == NIL)
		return answered;
	if (!asked)
		ask(first_visitor()->request);
	start_process();
	return answered;
}

static Visitor *
first_visitor(void)
{
	return (Visitor *) linitial(line);
}

/* Answers those who have waited for too long or have left. */
static bool
drop_late(TimestampTz now)
{
	bool		dropped = false;
	ListCell   *lc;

	foreach(lc, line)
	{
		Visitor    *visitor = (Visitor *) lfirst(lc);

		if (!visitor->request->left && visitor->wait_until > now)
			continue;
		if (foreach_current_index(lc) == 0 && asked)
			withdraw();
		if (visitor->request->left)
			refuse(visitor->request);
		else
			fail(visitor->request, "no function has answered in time", InvalidOid);
		line = foreach_delete_current(line, lc);
		pfree(visitor);
		dropped = true;
	}
	return dropped;
}

/* Passes a request to the process. */
static void
ask(const MfHttpdRequest *request)
{
	MfRoutesState *state = &slot->routes;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	strlcpy(state->prefix, request->prefix, sizeof(state->prefix));
	strlcpy(state->path, request->name, sizeof(state->path));
	state->call++;
	state->phase = MF_ROUTE_ASKED;
	mf_set_latch_of(state->proc_number);
	LWLockRelease(mf_shared->lock);
	asked = true;
}

/* Takes an answer, if it is there. */
static bool
take_answer(MfRouteAnswer *answer)
{
	MfRoutesState *state = &slot->routes;
	bool		there;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	there = state->phase == MF_ROUTE_ANSWERED;
	if (there)
	{
		memcpy(answer, &state->answer, sizeof(MfRouteAnswer));
		state->phase = MF_ROUTE_FREE;
	}
	LWLockRelease(mf_shared->lock);
	return there;
}

/* Nobody waits for the answer any more. */
static void
withdraw(void)
{
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	slot->routes.phase = MF_ROUTE_FREE;
	slot->routes.call++;
	LWLockRelease(mf_shared->lock);
	asked = false;
}

/* Unless it is running, or was started a moment ago. */
static void
start_process(void)
{
	static bool no_slot_logged = false;
	TimestampTz now = GetCurrentTimestamp();
	bool		running;

	LWLockAcquire(mf_shared->lock, LW_SHARED);
	running = slot->routes.pid != 0;
	LWLockRelease(mf_shared->lock);
	if (running || start_after > now)
		return;
	no_slot_logged = !mf_background_worker_start("mf_routes_main", "routes", slot->database, NULL, !no_slot_logged);
	start_after = TimestampTzPlusMilliseconds(now, RESTART_MS);
}

static void
pass_on(MfHttpdRequest *request, const MfRouteAnswer *answer)
{
	if (answer->status == 0)
		fail(request, answer->error, answer->owner);
	else if (answer->location[0] != '\0' && !mf_httpd_can_redirect(answer->location))
		fail(request, "a function has answered an invalid location", answer->owner);
	else
	{
		note(request->prefix, NULL, InvalidOid);
		mf_httpd_respond(request, answer->status, answer->content_type,
						 answer->location[0] != '\0' ? answer->location : NULL, answer->body, answer->body_len);
	}
}

/* The visitor is told to try again, and not why. */
static void
fail(MfHttpdRequest *request, const char *error, Oid owner)
{
	note(request->prefix, error, owner);
	refuse(request);
}

/* Counts and notes how a request fared; "error" is NULL if it was answered. */
static void
note(const char *prefix, const char *error, Oid owner)
{
	MfRouteHealth *health;

	mf_count(error == NULL ? MF_COUNTER_PAGES : MF_COUNTER_FAILED_PAGES, 1);
	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	health = health_of(prefix);
	if (health != NULL && error == NULL)
		health->answered_at = GetCurrentTimestamp();
	else if (health != NULL)
	{
		health->failed_at = GetCurrentTimestamp();
		health->owner = owner;
		strlcpy(health->error, error, sizeof(health->error));
	}
	LWLockRelease(mf_shared->lock);
}

/* The element about a prefix, a new one if there is none; NULL if it is not registered any more, and there is no room. */
static MfRouteHealth *
health_of(const char *prefix)
{
	MfRouteHealth *health = mf_route_health(slot->routes.health, prefix);

	if (health == NULL)
	{
		health = mf_route_health(slot->routes.health, "");
		if (health != NULL)
			strlcpy(health->prefix, prefix, sizeof(health->prefix));
	}
	return health;
}

/* Makes room where prefixes are not registered any more. */
static void
forget_prefixes(void)
{
	int			i;

	LWLockAcquire(mf_shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < MF_ROUTES_MAX; i++)
	{
		MfRouteHealth *health = &slot->routes.health[i];
		const char **prefix = prefixes;

		while (*prefix != NULL && strcmp(*prefix, health->prefix) != 0)
			prefix++;
		if (*prefix == NULL)
			memset(health, 0, sizeof(MfRouteHealth));
	}
	LWLockRelease(mf_shared->lock);
}

static void
refuse(MfHttpdRequest *request)
{
	mf_httpd_page(request, MF_PAGE_UNAVAILABLE, false, true);
}

TimestampTz
mf_routes_alarm(void)
{
	/* the line is in the order of arrival */
	return line == NIL ? 0 : mf_earlier(first_visitor()->wait_until, start_after > GetCurrentTimestamp() ? start_after : 0);
}

void
mf_routes_answer_all(void)
{
	ListCell   *lc;

	if (asked)
		withdraw();
	foreach(lc, line)
		refuse(((Visitor *) lfirst(lc))->request);
	list_free_deep(line);
	line = NIL;
}
