/*
 * enqueue.c
 *	  mf_enqueue(): trigger that makes invoices of the rows of a user's table.
 *
 * The arguments of the trigger say which column is the source of which field of
 * mf_invoice.  Everything runs with the rights of the role that changes the row, so
 * that role needs the rights for the same statement on mf_invoice.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "database/sql_array.h"
#include "triggers/enqueue_private.h"

static void check_trigger(const TriggerData *trigger);
static void refuse_event(const TriggerData *trigger, const char *hint);
static void insert_invoice(MfMapping *mapping, TriggerData *trigger);
static void check_not_cancelled(const MfMapping *mapping, const TriggerData *trigger, Datum id);
static void write_back_id(MfMapping *mapping, TriggerData *trigger, Datum id);

PG_FUNCTION_INFO_V1(mf_enqueue);

Datum
mf_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MfMapping  *mapping;
	int64		invoice;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_enqueue() can only be called as a trigger"),
				 errhint("Create one with: CREATE TRIGGER ... AFTER INSERT ON your_table FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=column', 'invoice_value=column')")));
	check_trigger(trigger);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	mapping = mf_mapping_get(trigger, get_func_namespace(fcinfo->flinfo->fn_oid));

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		if (!mapping->sync)
			refuse_event(trigger, "Create it as AFTER INSERT ... FOR EACH ROW, or add the argument 'on_update=sync'.");
		mf_follow_update(mapping, trigger);
	}
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		if (!mapping->sync && !mapping->cancel)
			refuse_event(trigger, "Create it as AFTER INSERT ... FOR EACH ROW, or add the argument 'on_delete=cancel'.");
		mf_follow_delete(mapping, trigger);
	}
	else if (mapping->id_column != 0 &&
			 !heap_attisnull(trigger->tg_trigtuple, mapping->id_column, RelationGetDescr(trigger->tg_relation)))
	{
		/* the row was moved between partitions, copied, or restored */
		if ((mapping->sync || mapping->cancel) &&
			mf_mapping_invoice(mapping, trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), &invoice))
			mf_follow_move(mapping, trigger, invoice);
	}
	else
		insert_invoice(mapping, trigger);

	SPI_finish();
	return PointerGetDatum(NULL);
}

static void
check_trigger(const TriggerData *trigger)
{
	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must be an AFTER INSERT trigger FOR EACH ROW", trigger->tg_trigger->tgname),
				 errdetail("A BEFORE trigger would also make invoices for rows that are not inserted in the end."),
				 errhint("Create it as AFTER INSERT ... FOR EACH ROW.")));
}

/* Refuses an event for which there is no option among the arguments. */
static void
refuse_event(const TriggerData *trigger, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\" must be an AFTER INSERT trigger FOR EACH ROW", trigger->tg_trigger->tgname),
			 errdetail("It fires for %s, and no argument says what happens to the invoice then.",
					   TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? "UPDATE" : "DELETE"),
			 errhint("%s", hint)));
}

void
mf_enqueue_refuse_replica(const TriggerData *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot make, change or cancel an invoice in a replica", trigger->tg_trigger->tgname),
				 errdetail("The triggers of mf_invoice do not fire while logical replication applies a row, or while session_replication_role is replica."),
				 errhint("Let the trigger fire where the row is changed first: ALTER TABLE %s ENABLE TRIGGER %s",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigger->tg_relation)),
													RelationGetRelationName(trigger->tg_relation)),
						 quote_identifier(trigger->tg_trigger->tgname))));
}

/* Inserts the invoice of a new row, and writes its id back. */
static void
insert_invoice(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum		values[MF_MAX_SOURCES];
	char		nulls[MF_MAX_SOURCES];
	Datum		id;
	bool		isnull;
	int			parameters = 0;
	int			i;

	mf_enqueue_refuse_replica(trigger);
	for (i = 0; i < mapping->source_count; i++)
	{
		if (mapping->sources[i].constant != NULL)
			continue;
		values[parameters] = heap_getattr(trigger->tg_trigtuple, mapping->sources[i].column, desc, &isnull);
		nulls[parameters++] = isnull ? 'n' : ' ';
	}

	if (mf_sql_run(mapping->insert, values, nulls, InvalidSnapshot, false) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("no invoice was inserted for a row of table \"%s\"", RelationGetRelationName(trigger->tg_relation)),
				 errdetail("A BEFORE INSERT trigger of mf_invoice has returned no row."),
				 errhint("Let that trigger return NEW, or raise an error; give trigger \"%s\" a WHEN condition for rows that need no invoice.",
						 trigger->tg_trigger->tgname)));
	id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (mapping->has_key)
	{
		check_not_cancelled(mapping, trigger, id);
		/* it may be that of a row that the same statement has deleted */
		mf_follow_move(mapping, trigger, DatumGetInt64(id));
	}
	if (mapping->id_column != 0)
		write_back_id(mapping, trigger, id);
}

/*
 * Refuses a key of an invoice that is not sent any more: the new row would have an
 * invoice that its customer never gets.
 */
static void
check_not_cancelled(const MfMapping *mapping, const TriggerData *trigger, Datum id)
{
	bool		isnull;

	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)))
		return;
	if (!mapping->target.is_invoice)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("row %lld of table \"%s\" has the %s of a row of table \"%s\", and its status is \"%s\"",
						(long long) DatumGetInt64(id), mapping->target.table, mapping->target.key,
						RelationGetRelationName(trigger->tg_relation), mapping->target.undo),
				 errhint("Give the row another key.")));
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("a cancelled invoice has the idempotency_key of a row of table \"%s\"",
					RelationGetRelationName(trigger->tg_relation)),
			 errdetail("It is invoice %lld, which is not sent.", (long long) DatumGetInt64(id)),
			 errhint("Give the row another key. Or let the owner of mf_invoice delete that invoice, which frees its key.")));
}

/* Writes the id into the row that was just inserted. */
static void
write_back_id(MfMapping *mapping, TriggerData *trigger, Datum id)
{
	Datum		values[] = {id, PointerGetDatum(&trigger->tg_trigtuple->t_self)};

	if (mf_sql_run(mapping->write_back, values, NULL, InvalidSnapshot, false) != SPI_OK_UPDATE_RETURNING || SPI_processed != 1 ||
		!mf_result_bool(0, 1))
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("could not write the invoice's id into column \"%s\" of table \"%s\"",
						NameStr(TupleDescAttr(RelationGetDescr(trigger->tg_relation), mapping->id_column - 1)->attname),
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Another trigger has changed or hidden the row meanwhile."),
				 errhint("Give this trigger a name that sorts before that of the other, and have triggers BEFORE UPDATE leave the column as it is.")));
}
