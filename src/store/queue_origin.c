/*
 * queue_origin.c
 *	  SQL of which database has made an agenda entry, and of known servers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_origin.c
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "store/operations.h"
#include "store/queue_internal.h"
#include "store/queue_origin.h"

static MfStatement identity_statement = {
	"SELECT system_identifier = $1 AND database = $2, data_directory::text, timeline::int4, since::timestamptz, "
	"  marker::text, backup_label::text, origin::int8 FROM @mf_identity ORDER BY 1 DESC LIMIT 1",
	2, {TEXTOID, OIDOID}, NULL
};

static MfStatement set_identity_statement = {
	"INSERT INTO @mf_identity AS i (system_identifier, database, data_directory, timeline, since, marker, "
	"  backup_label) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7) "
	"ON CONFLICT (system_identifier, database) DO UPDATE SET data_directory = EXCLUDED.data_directory, "
	"  timeline = EXCLUDED.timeline, since = EXCLUDED.since, marker = EXCLUDED.marker, "
	"  backup_label = EXCLUDED.backup_label, origin = EXCLUDED.origin",
	7, {TEXTOID, OIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID}, NULL
};

#define TWINS_BEFORE \
	"SELECT greatest(clock_timestamp(), max(i.created_at::timestamptz)) FROM @mf_queue q JOIN @mf_invoice i ON i.id = q.invoice"

static MfStatement twins_before_statement = {TWINS_BEFORE, 0, {0}, NULL};

static MfStatement raise_since_statement = {"UPDATE @mf_identity SET since = (" TWINS_BEFORE ")", 0, {0}, NULL};

static MfStatement since_statement = {
	"SELECT coalesce(max(since), '-infinity')::timestamptz FROM @mf_identity", 0, {0}, NULL
};

/* the clock of the primary before may have been ahead: its latest commit tells, until the server is started anew */
static MfStatement promoted_statement = {
	"UPDATE @mf_identity SET promoted_at = greatest(clock_timestamp(), pg_last_xact_replay_timestamp()) "
	"WHERE system_identifier = $1 AND database = $2",
	2, {TEXTOID, OIDOID}, NULL
};

static MfStatement foreign_statement = {
	"SELECT (SELECT count(*) FROM @mf_queue WHERE origin <> @mf_origin()) "
	"  + (SELECT count(*) FROM @mf_operation o WHERE o.origin <> @mf_origin() AND " MF_OPERATION_OPEN("o") ")",
	0, {0}, NULL
};

/* after verify_all_statement: what is to be sent all the same was not there yet, and stays another's */
static MfStatement take_over_statement = {
	"UPDATE @mf_queue SET origin = @mf_origin() WHERE origin <> @mf_origin() AND kind <> 'send'", 0, {0}, NULL
};

#define MAKE_OURS(condition) \
	"WITH o AS (UPDATE @mf_operation SET origin = @mf_origin() WHERE " condition ") " \
	"UPDATE @mf_queue SET origin = @mf_origin() WHERE " condition

static MfStatement replace_statement = {MAKE_OURS("origin = $1"), 1, {INT8OID}, NULL};

static MfStatement inherit_statement = {
	MAKE_OURS("origin <> @mf_origin() AND origin >> 32 = @mf_origin() >> 32"), 0, {0}, NULL
};

static MfStatement verify_all_statement = {
	"UPDATE @mf_queue SET " MF_SET_VERIFY(MF_VERIFY_DUE("due", "$1"), "priority") " "
	"WHERE kind IN ('send', 'verify') AND (NOT $2 OR origin <> @mf_origin())",
	2, {INT4OID, BOOLOID}, NULL
};

static TimestampTz read_time(Oid schema, MfStatement *statement);
static void verify_unsent(Oid schema, bool others);

MfIdentityKnown
mf_queue_identity(Oid schema, const char *system_identifier, MfIdentity *identity)
{
	MfIdentityKnown known = MF_IDENTITY_NONE;
	MfSqlScope	scope;
	Datum		values[] = {CStringGetTextDatum(system_identifier), ObjectIdGetDatum(MyDatabaseId)};

	mf_sql_begin(&scope, schema);
	if (mf_sql_execute(&scope, &identity_statement, values, NULL) > 0)
	{
		known = mf_result_bool(0, 1) ? MF_IDENTITY_OURS : MF_IDENTITY_OTHERS;
		identity->system_identifier = system_identifier;
		identity->data_directory = mf_result_text(0, 2);
		identity->timeline = mf_result_int4(0, 3);
		identity->since = mf_result_timestamp(0, 4);
		identity->marker = mf_result_text(0, 5);
		identity->backup_label = mf_result_text(0, 6);
		identity->origin = mf_result_int8(0, 7);
	}
	mf_sql_end(&scope);
	return known;
}

void
mf_queue_set_identity(Oid schema, const MfIdentity *identity)
{
	Datum		values[] = {
		CStringGetTextDatum(identity->system_identifier), ObjectIdGetDatum(MyDatabaseId),
		CStringGetTextDatum(identity->data_directory), Int32GetDatum(identity->timeline),
		TimestampTzGetDatum(identity->since), CStringGetTextDatum(identity->marker),
		CStringGetTextDatum(identity->backup_label)
	};

	if (mf_execute_alone(schema, &set_identity_statement, values, NULL) == 0)
		mf_change_suppressed();
}

TimestampTz
mf_queue_twins_before(Oid schema)
{
	return read_time(schema, &twins_before_statement);
}

TimestampTz
mf_queue_since(Oid schema)
{
	return read_time(schema, &since_statement);
}

static TimestampTz
read_time(Oid schema, MfStatement *statement)
{
	MfSqlScope	scope;
	TimestampTz time;

	mf_sql_begin(&scope, schema);
	(void) mf_sql_execute(&scope, statement, NULL, NULL);
	time = mf_result_timestamp(0, 1);
	mf_sql_end(&scope);
	return time;
}

void
mf_queue_raise_since(Oid schema)
{
	(void) mf_execute_alone(schema, &raise_since_statement, NULL, NULL);
}

void
mf_queue_note_promotion(Oid schema, const char *system_identifier)
{
	Datum		values[] = {CStringGetTextDatum(system_identifier), ObjectIdGetDatum(MyDatabaseId)};

	if (mf_execute_alone(schema, &promoted_statement, values, NULL) == 0)
		mf_change_suppressed();
}

void
mf_queue_replace_origin(Oid schema, int64 origin)
{
	Datum		value = Int64GetDatum(origin);

	(void) mf_execute_alone(schema, &replace_statement, &value, NULL);
}

void
mf_queue_inherit_entries(Oid schema)
{
	(void) mf_execute_alone(schema, &inherit_statement, NULL, NULL);
}

int64
mf_queue_count_foreign(Oid schema)
{
	return mf_count_alone(schema, &foreign_statement, NULL);
}

void
mf_queue_take_over_entries(Oid schema)
{
	verify_unsent(schema, true);
	(void) mf_execute_alone(schema, &take_over_statement, NULL, NULL);
	mf_operations_take_over(schema);
}

static void
verify_unsent(Oid schema, bool others)
{
	Datum		values[] = {Int32GetDatum(mf_verify_wait()), BoolGetDatum(others)};

	(void) mf_execute_alone(schema, &verify_all_statement, values, NULL);
}

void
mf_queue_verify_all(Oid schema, bool promoted)
{
	verify_unsent(schema, promoted);
	mf_operations_doubt_queued(schema, promoted);
}
