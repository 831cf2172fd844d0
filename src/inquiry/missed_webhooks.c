/*
 * missed_webhooks.c
 *	  Reads the webhooks that MyFatoorah could not deliver.
 *
 * That a webhook came in says nothing of those before it: what was refused or did not
 * arrive meanwhile stands in MyFatoorah's log only.  So the log is read from where the
 * reading before it ended, at the start of a worker and once a day.  Where that was is
 * kept in memory.  Nothing tells a new worker, so its first reading goes far back.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inquiry/missed_webhooks.c
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "core/text/json.h"
#include "database/digest.h"
#include "flow/request_slots.h"
#include "flow/round_items.h"
#include "inquiry/inquiry_internal.h"
#include "process/process.h"
#include "process/wait.h"

/* The reading of the log of one account */
typedef struct LogReading
{
	char		account[NAMEDATALEN];	/* hash key */
	int			page;			/* the next one; 0 = not begun */
	bool		under_way;
	bool		unreadable;		/* the log says so */
	int			failures;		/* in a row */
	int			lacking;		/* tries in a row without a secret or a key */
	int			pages;			/* and items, as the first page has told */
	int			items;
	TimestampTz since;			/* all before was read */
	TimestampTz until;
	TimestampTz next_at;		/* of the next page, or reading */
	MfKeyOwner	owner;			/* whose key reads the log */
} LogReading;

/* Logs read at the same time; a page may have some megabytes */
#define MAX_UNDER_WAY 4

/* How far back the first reading goes */
#define FIRST_DAYS 30

/* Between two readings */
#define PERIOD USECS_PER_DAY

/* A key that cannot be used is tried again after a minute, later after an hour. */
#define NO_KEY_DELAY_MS 60000
#define NO_KEY_DOUBLINGS 6

/*
 * How much is read twice.  A delivery has failed after its last try only, half an hour later
 * or so; the log may be behind; and the clocks may differ.
 */
#define OVERLAP USECS_PER_DAY

static HTAB *readings = NULL;
static int	under_way_count = 0;
static int64 pages_read = 0;	/* of all logs that are being read */
static int64 pages_known = 0;

static void count_page(const LogReading *reading, int pages);
static void end_reading(LogReading *reading, TimestampTz now);
static void wait_for_key(LogReading *reading, TimestampTz until);
static char *utc_text(TimestampTz at);
static bool convert_item(char *const *item, const char *account, MfEvent *event);
static const char *member_text(const cJSON *object, const char *name);

/* Returns the reading of an account, created on first use. */
static LogReading *
find_reading(const char *account)
{
	LogReading *reading;
	NameData	name;
	bool		found;

	if (readings == NULL)
		readings = hash_create("myfatoorah logs of webhooks", 64,
							   &(HASHCTL) {.keysize = NAMEDATALEN, .entrysize = sizeof(LogReading)},
							   HASH_ELEM | HASH_STRINGS);
	namestrcpy(&name, account);
	reading = (LogReading *) hash_search(readings, NameStr(name), HASH_ENTER, &found);
	if (!found)
	{
		memset(reading, 0, sizeof(LogReading));
		namestrcpy((Name) reading->account, account);
		reading->since = GetCurrentTimestamp() - FIRST_DAYS * USECS_PER_DAY;
	}
	return reading;
}

static void
set_under_way(LogReading *reading, bool under_way)
{
	if (reading->under_way != under_way)
		under_way_count += under_way ? 1 : -1;
	reading->under_way = under_way;
}

bool
mf_missed_webhooks_wanted(const MfInquiryAccount *entry, TimestampTz now, TimestampTz *due)
{
	LogReading *reading;
	TimestampTz next_at;

	if (entry->paused)
		return false;
	reading = find_reading(entry->name);
	if (reading->under_way)
		return false;
	next_at = Max(reading->next_at, mf_items_put_off_until(MF_ITEM_LOG, mf_items_account_id(entry->name)));
	if (next_at > now)
	{
		*due = mf_earlier(*due, next_at);
		return false;
	}

	/* the end of another reading has the next round scan again */
	return under_way_count < MAX_UNDER_WAY;
}

void
mf_missed_webhooks_try_now(void)
{
	HASH_SEQ_STATUS status;
	LogReading *reading;

	if (readings == NULL)
		return;
	hash_seq_init(&status, readings);
	while ((reading = (LogReading *) hash_seq_search(&status)) != NULL)
	{
		if (reading->lacking > 0)
			reading->next_at = 0;
		reading->lacking = 0;
	}
}

int
mf_missed_webhooks_ask(const MfSqlScope *scope, const MfClaim *claim, const MfAccount *account)
{
	LogReading *reading = find_reading(account->name);
	const MfClaimTarget *target;
	List	   *targets = NIL;
	MfFlight   *flight;
	size_t		body_len;
	char	   *body;

	if (reading->page == 0)
	{
		reading->until = GetCurrentTimestamp();
		if (!mf_account_has_webhook_secret(account))
		{
			wait_for_key(reading, reading->until + PERIOD);
			return 0;
		}
		reading->owner = mf_events_log_owner(scope, account->name);
		reading->page = 1;
	}
	target = mf_inquiry_any_target(claim, account, mf_public_key, reading->owner, &targets);
	if (target->target == NULL)
	{
		if (target->until != 0)
			reading->next_at = target->until;
		else
		{
			/* another key may read it next, that of another merchant even */
			reading->page = 0;
			wait_for_key(reading, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) NO_KEY_DELAY_MS <<
															  Min(reading->lacking, NO_KEY_DOUBLINGS)));
		}
		mf_inquiries.due = mf_earlier(mf_inquiries.due, reading->next_at);
		return 0;
	}
	reading->lacking = 0;
	/* times have no fractions of a second here, so a second is added */
	body = mf_webhook_log_body(utc_text(reading->since), utc_text(reading->until + USECS_PER_SEC), "Failed",
							   reading->page, &body_len);
	flight = mf_flight_create_inquiry(claim->memory, MF_JOB_WEBHOOK_LOG, NULL, account, target->target, body, body_len);
	dlist_push_tail(claim->claimed, &flight->node);
	mf_slots_count_inquiries(flight->throttle, 1);
	set_under_way(reading, true);
	return 1;
}

/* Plans the next reading.  It begins where the latest one did, unless that was completed. */
static void
end_reading(LogReading *reading, TimestampTz now)
{
	reading->page = 0;
	reading->next_at = now + PERIOD;
}

/* A change of the account has it tried at once; nothing tells of a change of its key file. */
static void
wait_for_key(LogReading *reading, TimestampTz until)
{
	reading->lacking++;
	reading->next_at = until;
}

/* Formats as "2025-02-12T12:42:16Z" */
static char *
utc_text(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min,
					tm.tm_sec);
}

void
mf_missed_webhooks_record(const MfSqlScope *scope, const MfFlight *flight)
{
	const MfListResult *log = &flight->list;
	MfEvent    *events;
	int			count = 0;
	int			i;

	if (log->base.lookup != MF_LOOKUP_FOUND)
		return;
	events = (MfEvent *) palloc0(Max(log->row_count, 1) * sizeof(MfEvent));
	/* the log begins with the newest, and of several announcements of a deposit the last one counts */
	for (i = log->row_count - 1; i >= 0; i--)
	{
		if (convert_item(mf_list_row(log, i), flight->throttle->account, &events[count]))
			count++;
	}
	/* what two readings have found is not asked about again */
	count = mf_events_drop_known(scope, flight->throttle->account, events, count);
	if (count > 0)
	{
		/* a session may have handed in one of these, or asked for a deposit, and not committed */
		mf_process_limit_lock_waits();
		/* renamed meanwhile: it is read under the new name */
		if (!mf_account_hold_name(flight->throttle->account))
			return;
		mf_events_store(scope, events, count);
		ereport(LOG,
				(mf_log_event("webhooks_found",
							  "webhooks of account \"%s\" that could not be delivered were found in the log of MyFatoorah: %d",
							  flight->throttle->account, count)));
	}
}

void
mf_missed_webhooks_recorded(const MfFlight *flight, TimestampTz now)
{
	const MfListResult *log = &flight->list;
	LogReading *reading = find_reading(flight->throttle->account);

	set_under_way(reading, false);
	if (log->base.lookup == MF_LOOKUP_FAILED || log->base.lookup == MF_LOOKUP_THROTTLED)
	{
		int64		delay = (int64) mf_retry_delay << Min(reading->failures, 20);

		if (++reading->failures == MF_ITEM_FAILURES)
		{
			char	   *error = mf_flight_details(flight);

			ereport(LOG,
					(mf_log_event("webhook_log_delayed",
								  "the log of webhooks of account \"%s\" cannot be read yet; it is tried again", reading->account),
					 error ? errdetail_internal("%s", error) : 0));
			if (error != NULL)
				pfree(error);
		}
		reading->next_at = mf_flight_retry_time(flight, now, Min(delay, MF_BACKOFF_CAP_MS));
		mf_inquiry_wake();
		return;
	}
	reading->failures = 0;
	if (log->base.lookup != MF_LOOKUP_FOUND)
	{
		/* the key may lack the permission, which nothing else needs */
		if (!reading->unreadable)
		{
			char	   *error = mf_flight_details(flight);

			ereport(LOG,
					(mf_log_event("webhook_log_unreadable",
								  "could not read the log of webhooks of account \"%s\"", reading->account),
					 errdetail_internal("%s", error ? error : "")));
			if (error != NULL)
				pfree(error);
		}
		reading->unreadable = true;
		end_reading(reading, now);
	}
	else
	{
		reading->unreadable = false;
		count_page(reading, log->pages);
		if (reading->page == 1)
		{
			reading->pages = log->pages;
			reading->items = log->items;
		}
		if (reading->page < log->pages && log->row_count > 0)
			reading->page++;
		else
		{
			/* what is delivered meanwhile leaves the log, and another item has slipped to a page that was read before */
			if (reading->page >= log->pages && log->pages == reading->pages && log->items == reading->items)
				reading->since = reading->until - OVERLAP;
			end_reading(reading, now);
		}
	}
	if (under_way_count == 0 && (reading->page == 0 || pages_read >= pages_known))
	{
		mf_progress_end(MF_PROGRESS_WEBHOOK_LOG);
		pages_read = pages_known = 0;
	}
	mf_inquiry_wake();
}

/* Shows how many pages were read, of those that the logs begun so far have. */
static void
count_page(const LogReading *reading, int pages)
{
	pages_read++;
	if (reading->page <= 1)
		pages_known += pages;
	pages_known = Max(pages_known, pages_read);
	mf_progress_report(MF_PROGRESS_WEBHOOK_LOG, pages_read, pages_known);
}

void
mf_missed_webhooks_dropped(const MfFlight *flight)
{
	set_under_way(find_reading(flight->throttle->account), false);
}

/* Converts an item of the log.  Returns false if it names no invoice and has no reference. */
static bool
convert_item(char *const *item, const char *account, MfEvent *event)
{
	cJSON	   *data = item[MF_WL_DATA] ? mf_json_parse(item[MF_WL_DATA], strlen(item[MF_WL_DATA]), NULL, NULL) : NULL;
	int			code = item[MF_WL_EVENT_CODE] != NULL ? atoi(item[MF_WL_EVENT_CODE]) : 0;
	const char *reference = item[MF_WL_WEBHOOK_REFERENCE];
	const char *invoice = NULL;
	char	   *identity;

	memset(event, 0, sizeof(*event));
	if (code == MF_EVENT_REFUND_STATUS)
	{
		invoice = member_text(data, "InvoiceId");
		if (invoice == NULL)
			invoice = member_text(mf_json_get(data, "ReferencedInvoice"), "Id");
	}
	else if (code == MF_EVENT_PAYMENT_STATUS || code == MF_EVENT_RECURRING || code == MF_EVENT_DISPUTE_STATUS)
		invoice = item[MF_WL_EVENT_ENTITY_ID];	/* of other events it is the number of something else */

	if (invoice != NULL && strspn(invoice, "0123456789") == strlen(invoice) && strlen(invoice) >= 1 &&
		strlen(invoice) <= 18)
		event->invoice_id = pstrdup(invoice);
	cJSON_Delete(data);
	if (event->invoice_id == NULL && reference == NULL)
		return false;

	event->account = account;
	event->source = "log";
	event->event_code = code;
	event->event_name = mf_from_utf8_lossy(item[MF_WL_EVENT_NAME]);
	event->event_reference = mf_from_utf8_lossy(reference);
	event->data = mf_from_utf8_lossy(item[MF_WL_DATA]);
	identity = psprintf("log,%s,%s,%d", reference ? reference : "", event->invoice_id ? event->invoice_id : "", code);
	mf_digest(identity, strlen(identity), event->digest);
	return true;
}

/* Returns the text of a string or number, else NULL. */
static const char *
member_text(const cJSON *object, const char *name)
{
	const cJSON *member = object ? mf_json_get(object, name) : NULL;

	return member != NULL && (cJSON_IsString(member) || cJSON_IsRaw(member)) ? member->valuestring : NULL;
}
