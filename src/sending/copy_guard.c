/*
 * copy_guard.c
 *	  Whether this database is the one that sends its invoices, or a copy.
 *
 * A copy is made by a dump, a clone, a template, an upgrade, or by logical replication;
 * a backup that is put back is one in the place of the original.  All accounts of a
 * copy are paused until an operator decides that it sends.  Invoices that may have been
 * sent elsewhere, or before, are looked up before they are sent.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/sending/copy_guard.c
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/genam.h"
#include "access/table.h"
#include "access/timeline.h"
#include "access/xlog.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/failpoint.h"
#include "base/log_event.h"
#include "base/settings.h"
#include "process/database_identity.h"
#include "sending/claim.h"
#include "sending/copy_guard.h"
#include "store/queue_origin.h"
#include "store/queue_pause.h"
#include "store/repair.h"

/* Why all accounts are paused */
#define BACK_REASON "the data directory was put back from a backup, which does not know what was sent since it was made"
#define NO_MARKER_REASON "the data directory was put back from a backup without the file \"%s\", or somebody has removed that"
#define COPY_REASON "this database is a copy, or was upgraded or restored; its original may send the same invoices"

#define SUBSCRIBER_REASON "a subscription fills the tables of myfatoorah here; the database it comes from sends these invoices"
#define FOREIGN_REASON "the agenda holds entries of another database, which may send the same invoices"

/* The server renames the label of a base backup to this when it has started from it. */
#define USED_LABEL "backup_label.old"

static bool subscriptions_known = false;
static bool subscribed = false;
static bool since_known = false;	/* what a person's decision has made of it */

static void check_identity(Oid schema);
static bool is_known_copy(Oid schema);
static const char *reason_to_pause(const MfIdentity *was, const MfIdentity *is);
static bool same_directory(const char *old, const char *now);
static void subscriptions_changed(Datum arg, int cache, uint32 hash);
static const char *subscriber_account(Oid schema);
static void pause_for_foreign(Oid schema);

void
mf_copy_guard_start(Oid schema)
{
	CacheRegisterSyscacheCallback(SUBSCRIPTIONRELMAP, subscriptions_changed, (Datum) 0);
	check_identity(schema);
	if (mf_copy_guard_may_claim(schema))
		pause_for_foreign(schema);
	MF_FAILPOINT("marker_made");
}

void
mf_copy_guard_started(void)
{
	MF_FAILPOINT("marker_committed");
	mf_directory_marker_install();
	MF_FAILPOINT("marker_put");
}

/*
 * Pauses all accounts if the server, the database or the data directory is another one
 * than the database remembers, or if the database went back in time.  On a new timeline,
 * this is a promoted standby or a restored backup that may lack the last sends: each
 * queued invoice is looked up before it is sent.
 */
static void
check_identity(Oid schema)
{
	MfIdentity	was;
	MfIdentity	is;
	const char *reason = NULL;
	bool		promoted = false;
	bool		is_ours = false;

	is.system_identifier = psprintf(UINT64_FORMAT, GetSystemIdentifier());
	is.data_directory = mf_data_directory();
	is.backup_label = mf_file_identity(USED_LABEL);
	if (is.backup_label == NULL)
		is.backup_label = "";
	is.timeline = (int) mf_current_timeline();
	switch (mf_queue_identity(schema, is.system_identifier, &was))
	{
		case MF_IDENTITY_NONE:
			break;
		case MF_IDENTITY_OTHERS:
			reason = COPY_REASON;
			break;
		case MF_IDENTITY_OURS:
			is_ours = true;
			promoted = is.timeline > was.timeline;
			if (!promoted)
				reason = reason_to_pause(&was, &is);
			break;
	}
	is.since = is_ours && !promoted && reason == NULL ? was.since : mf_queue_twins_before(schema);
	if (reason != NULL)
		mf_queue_pause_copy(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_GUARD, reason);
	if (promoted)
		ereport(LOG,
				(mf_log_event("promoted",
							  "this server was promoted: queued invoices are looked up before they are sent")));
	if (reason != NULL || promoted)
		mf_queue_verify_all(schema, promoted);
	if (is_ours && was.origin != mf_database_origin(schema))
		mf_queue_replace_origin(schema, was.origin);
	if (promoted && !is_known_copy(schema))
		mf_queue_inherit_entries(schema);
	is.marker = mf_directory_marker_create();
	mf_queue_set_identity(schema, &is);
	if (promoted)
		mf_queue_note_promotion(schema, is.system_identifier);
}

/*
 * Whether the agenda may hold entries of a database that still runs.  They come by
 * logical replication only, and a worker that sees it pauses all accounts.  Without such
 * a pause all that a promoted standby finds is of primaries before it, of which one may
 * have ended before its worker has started.  A person's pause says nothing of a copy.
 */
static bool
is_known_copy(Oid schema)
{
	return mf_copy_guard_subscription(schema) != NULL || mf_queue_is_copy(schema, subscriber_account(schema));
}

/* Why this is a copy, or has gone back in time; NULL if it is not. */
static const char *
reason_to_pause(const MfIdentity *was, const MfIdentity *is)
{
	const char *marker;

	if (is->timeline < was->timeline || !same_directory(was->data_directory, is->data_directory))
		return COPY_REASON;

	/* no worker has run in this database yet */
	if (was->marker[0] == '\0')
		return NULL;

	/* the server has started from a base backup, which may be younger than the marker */
	if (is->backup_label[0] != '\0' &&
		(was->backup_label[0] == '\0' || !mf_same_file(was->backup_label, is->backup_label)))
		return BACK_REASON;
	marker = mf_directory_marker_read(was->marker);
	if (marker == NULL)
		return psprintf(NO_MARKER_REASON, mf_directory_marker_path(MyDatabaseId));
	return mf_same_file(was->marker, marker) ? NULL : BACK_REASON;
}

/* Whether two data directories are the same.  One in a form that this version does not know counts as the same. */
static bool
same_directory(const char *old, const char *now)
{
	uint64		was;
	uint64		is;
	int			was_file = 0;
	int			is_file = 0;

	if (sscanf(old, "inode " UINT64_FORMAT " file %n", &was, &was_file) < 1 ||
		sscanf(now, "inode " UINT64_FORMAT " file %n", &is, &is_file) < 1)
		return true;
	if (was != is)
		return false;
	return was_file == 0 || is_file == 0 || mf_same_file(old + was_file, now + is_file);
}

/* Invalidation callback: subscribed tables may have changed. */
static void
subscriptions_changed(Datum arg, int cache, uint32 hash)
{
	subscriptions_known = false;
}

/*
 * A subscriber is paused by a row of mf_account with subscriber_account(), a name that no
 * other database has.  Replication could also write and remove one for all accounts, "*".
 */
bool
mf_copy_guard_may_claim(Oid schema)
{
	bool		was_subscribed = subscribed;

	if (!since_known)
		mf_claim_twins_before(mf_queue_since(schema));
	since_known = true;
	if (subscriptions_known)
		return !subscribed;
	subscriptions_known = true;
	subscribed = mf_copy_guard_subscription(schema) != NULL;
	if (subscribed)
		mf_queue_pause_copy(schema, subscriber_account(schema), MF_PAUSED_BY_GUARD, SUBSCRIBER_REASON);
	else if (was_subscribed)
		pause_for_foreign(schema);
	return !subscribed;
}

/* The name by which this database is paused while a subscription fills our tables */
static const char *
subscriber_account(Oid schema)
{
	return psprintf("* (subscriber " INT64_FORMAT ")", mf_database_number(schema));
}

/*
 * Pauses all accounts, until an operator decides, if there are agenda entries of another
 * database, which no claim takes, or if its dump was restored here.
 */
static void
pause_for_foreign(Oid schema)
{
	if (mf_queue_count_foreign(schema) > 0)
		mf_queue_pause_copy(schema, MF_ALL_ACCOUNTS, MF_PAUSED_BY_GUARD, FOREIGN_REASON);
	mf_queue_pause_restored(schema);
}

void
mf_copy_guard_decided(void)
{
	since_known = false;
}

char *
mf_copy_guard_subscription(Oid schema)
{
	static const char *const tables[] = {"mf_invoice", "mf_queue", "mf_attempt", "mf_inquiry", "mf_event",
	"mf_operation"};
	Relation	subscribed_tables = table_open(SubscriptionRelRelationId, AccessShareLock);
	char	   *name = NULL;
	int			i;

	for (i = 0; i < (int) lengthof(tables) && name == NULL; i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_subscription_rel_srrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(get_relname_relid(tables[i], schema)));
		scan = systable_beginscan(subscribed_tables, SubscriptionRelSrrelidSrsubidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
		{
			name = get_subscription_name(((Form_pg_subscription_rel) GETSTRUCT(tuple))->srsubid, true);
			if (name == NULL)
				name = pstrdup("");
		}
		systable_endscan(scan);
	}
	table_close(subscribed_tables, AccessShareLock);
	return name;
}

void
mf_copy_guard_adopt(Oid schema)
{
	char	   *subscription = mf_copy_guard_subscription(schema);

	if (subscription != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoices of another database are replicated into this one"),
				 errdetail("Subscription \"%s\" fills the tables of myfatoorah; the database it comes from sends what is in them.",
						   subscription),
				 errhint("Once the other database is stopped for good, drop the subscription, then call mf_resume('*').")));
	/* what has come here until now; the worker had no part in it, and may not have seen it */
	if (mf_queue_is_copy(schema, subscriber_account(schema)) || mf_queue_count_foreign(schema) > 0)
		mf_queue_raise_since(schema);
	mf_queue_take_over_entries(schema);
	mf_repair_roles(schema);
	(void) mf_queue_resume(schema, subscriber_account(schema));
}
