/*
 * guard.c
 *	  Whether this database is the one that sends its invoices, or a copy.
 *
 * Copies come about by dump, clone, template, upgrade, and by logical
 * replication.  What is noticed pauses everything until an operator says that
 * this is the place to send from.  What may have been sent elsewhere is looked
 * up before it is sent.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/guard.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "access/genam.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "account.h"
#include "claim.h"
#include "compat.h"
#include "functions.h"
#include "guard.h"
#include "myfatoorah.h"
#include "queue.h"
#include "sql.h"

#define COPY_REASON "this database is a copy, or was upgraded or restored; its original may send the same invoices"
#define SUBSCRIBER_REASON "a subscription fills the tables of myfatoorah here; the database it comes from sends these invoices"
#define FOREIGN_REASON "the agenda holds entries of another database, which may send the same invoices"

/* What is known of a data directory, as far as the file system tells it */
typedef struct Directory
{
	uint64		inode;
	uint64		file;			/* inode of PG_VERSION, which initdb has made and nobody writes again */
	int64		born;			/* its time of birth: a copy has another, a reboot changes nothing */
	uint32		born_ns;
} Directory;

static bool subscriptions_known = false;
static bool subscribed = false;
static MfIdentity here;

static void check_identity(Oid schema);
static char *data_directory(void);
static int	read_directory(const char *text, Directory *directory);
static void remember(Oid schema, const MfIdentity *identity);
static void others_until_now(Oid schema);
static void subscriptions_changed(Datum arg, int cache, uint32 hash);
static const char *subscriber_row(void);
static void pause_for_foreign(Oid schema);
static void pause_account(Oid schema, const char *account, const char *reason);

PG_FUNCTION_INFO_V1(mf_here);

/* See guard.h. */
int64
mf_guard_here(void)
{
	return (int64) hash_combine64(GetSystemIdentifier(), (uint64) MyDatabaseId);
}

/* The same for SQL: the default of mf_queue.origin */
Datum
mf_here(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(mf_guard_here());
}

/* See guard.h. */
void
mf_guard_start(Oid schema)
{
	CacheRegisterSyscacheCallback(SUBSCRIPTIONRELMAP, subscriptions_changed, (Datum) 0);
	check_identity(schema);
	if (mf_guard_look(schema))
		pause_for_foreign(schema);
}

/*
 * Another server, database or data directory: everything is paused until a
 * person resumes.  A new timeline: this is a promoted standby, or a restored
 * backup, that may lack the last sends; each invoice is looked up before it is
 * sent.
 */
static void
check_identity(Oid schema)
{
	MfIdentity	was;
	MfIdentity	is;
	bool		other = false;
	bool		promoted = false;

	is.system_identifier = psprintf(UINT64_FORMAT, GetSystemIdentifier());
	is.data_directory = data_directory();
	is.timeline = (int) mf_current_timeline();
	is.since = GetCurrentTimestamp();
	switch (mf_queue_identity(schema, is.system_identifier, &was))
	{
		case MF_IDENTITY_NONE:
			break;
		case MF_IDENTITY_OTHERS:
			other = true;
			break;
		case MF_IDENTITY_OURS:
			promoted = is.timeline > was.timeline;
			other = is.timeline < was.timeline ||
				(!promoted && !mf_guard_same_directory(was.data_directory, is.data_directory));
			if (!promoted && !other)
				is.since = was.since;
			break;
	}
	if (other)
		pause_account(schema, MF_ALL_ACCOUNTS, COPY_REASON);
	if (promoted)
		ereport(LOG,
				(errmsg("this server was promoted: queued invoices are looked up before they are sent")));
	if (other || promoted)
		mf_queue_verify_all(schema);
	remember(schema, &is);
}

/* Writes down where we are, and since when nobody else can have been where the rows are. */
static void
remember(Oid schema, const MfIdentity *identity)
{
	mf_queue_set_identity(schema, identity);
	mf_claim_twins_before(identity->since);
	here = *identity;
	here.system_identifier = MemoryContextStrdup(TopMemoryContext, identity->system_identifier);
	here.data_directory = MemoryContextStrdup(TopMemoryContext, identity->data_directory);
}

/* What is here from another database may be sent there until now. */
static void
others_until_now(Oid schema)
{
	here.since = GetCurrentTimestamp();
	mf_queue_set_identity(schema, &here);
	mf_claim_twins_before(here.since);
}

/* Describes the data directory so that its copy differs, as far as the file system can tell. */
static char *
data_directory(void)
{
	char		path[MAXPGPATH];
	struct stat directory;
	struct stat file;

	snprintf(path, sizeof(path), "%s/PG_VERSION", DataDir);
	if (stat(DataDir, &directory) != 0 || stat(path, &file) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat directory \"%s\": %m", DataDir)));
#ifdef STATX_BTIME
	{
		struct statx birth;

		if (statx(AT_FDCWD, path, 0, STATX_BTIME, &birth) == 0 && (birth.stx_mask & STATX_BTIME) != 0)
			return psprintf("inode " UINT64_FORMAT " file " UINT64_FORMAT " born " INT64_FORMAT ".%09u",
							(uint64) directory.st_ino, (uint64) file.st_ino, (int64) birth.stx_btime.tv_sec,
							(unsigned int) birth.stx_btime.tv_nsec);
	}
#endif
	return psprintf("inode " UINT64_FORMAT " file " UINT64_FORMAT, (uint64) directory.st_ino, (uint64) file.st_ino);
}

/* How many of its parts a description has; 0 for one that we do not know. */
static int
read_directory(const char *text, Directory *directory)
{
	return Max(sscanf(text, "inode " UINT64_FORMAT " file " UINT64_FORMAT " born " INT64_FORMAT ".%u", &directory->inode,
					  &directory->file, &directory->born, &directory->born_ns), 0);
}

/*
 * See guard.h.  What only one of them tells counts for nothing: a kernel may
 * have learnt to tell the time of birth.  A description of an unknown form is
 * as good as none.
 */
bool
mf_guard_same_directory(const char *old, const char *now)
{
	Directory	was;
	Directory	is;
	int			parts = Min(read_directory(old, &was), read_directory(now, &is));

	if (parts >= 1 && was.inode != is.inode)
		return false;
	if (parts >= 2 && was.file != is.file)
		return false;
	return parts < 4 || (was.born == is.born && was.born_ns == is.born_ns);
}

/* Something about subscribed tables has changed, at least perhaps. */
static void
subscriptions_changed(Datum arg, int cache, uint32 hash)
{
	subscriptions_known = false;
}

/*
 * See guard.h.  The reason is shown by a row of mf_account that no other
 * database has: one for all accounts, "*", may come from the other end, too, and
 * go from there.
 */
bool
mf_guard_look(Oid schema)
{
	bool		was_subscribed = subscribed;

	if (subscriptions_known)
		return !subscribed;
	subscriptions_known = true;
	subscribed = mf_guard_subscription(schema) != NULL;
	if (subscribed)
		pause_account(schema, subscriber_row(), SUBSCRIBER_REASON);
	else if (was_subscribed)
		pause_for_foreign(schema);
	return !subscribed;
}

/* What stands for the account in that row */
static const char *
subscriber_row(void)
{
	return psprintf("* (subscriber " INT64_FORMAT ")", mf_guard_here());
}

/* Entries that others have made stay untouched; until somebody decides about them, so does the rest. */
static void
pause_for_foreign(Oid schema)
{
	if (mf_queue_foreign(schema) == 0)
		return;
	pause_account(schema, MF_ALL_ACCOUNTS, FOREIGN_REASON);
	others_until_now(schema);
}

/* See guard.h. */
char *
mf_guard_subscription(Oid schema)
{
	static const char *const tables[] = {"mf_invoice", "mf_queue", "mf_attempt", "mf_inquiry", "mf_event"};
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

/* Pauses an account, or all of them, unless that is so already, and says so in the log. */
static void
pause_account(Oid schema, const char *account, const char *reason)
{
	bool		all_accounts;

	if (mf_queue_pause_reason(schema, account, &all_accounts) != NULL)
		return;
	mf_queue_pause(schema, account, "worker", reason);
	ereport(LOG,
			(errmsg("sending is paused: %s", reason),
			 errhint("Make sure that no other server sends the same invoices, then call mf_resume('*').")));
}

/* See guard.h. */
void
mf_guard_adopt(Oid schema)
{
	char	   *subscription = mf_guard_subscription(schema);

	if (subscription != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invoices of another database are replicated into this one"),
				 errdetail("Subscription \"%s\" fills the tables of myfatoorah; the database it comes from sends what is in them.",
						   subscription),
				 errhint("Once the other database is stopped for good, drop the subscription, then call mf_resume('*').")));
	mf_queue_adopt(schema);
	(void) mf_queue_resume(schema, subscriber_row());
}
