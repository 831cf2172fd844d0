/*
 * enqueue.c
 *	  mf_enqueue(): a user's own table starts invoices.
 *
 * The arguments of the trigger say which column feeds which field of
 * mf_invoice.  Everything runs with the rights of whoever inserts the row, who
 * therefore needs what an INSERT into mf_invoice needs.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/enqueue.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "core/api.h"
#include "myfatoorah.h"
#include "queue.h"
#include "sql.h"
#include "sql_array.h"

/* Fields that only rows of mf_invoice have */
static const char *const row_fields[] = {"account", "send_at", "priority", "idempotency_key"};

#define MAX_SOURCES (MF_SP_COUNT + (int) lengthof(row_fields))

/* A key that has its invoice gives that back; to set another column than a key waits for less */
#define AS_IT_IS " ON CONFLICT (account, idempotency_key) DO UPDATE SET priority = mf_invoice.priority"

/* Where the value of one column of mf_invoice comes from */
typedef struct Source
{
	const char *field;			/* column of mf_invoice */
	const char *constant;		/* NULL: from "column" */
	int			column;			/* attribute number */
} Source;

/* The arguments of one trigger, understood; one per trigger and backend */
typedef struct Mapping
{
	Oid			trigger;
	Oid			relation;
	bool		stale;
	MemoryContext context;
	Source		sources[MAX_SOURCES];
	int			source_count;
	int			id_column;		/* to write the id back to, 0 = none */
	MfPlan	   *insert;
	MfPlan	   *write_back;
	struct Mapping *next;
} Mapping;

static Mapping *mappings = NULL;
static bool callback_registered = false;

static Mapping *get_mapping(TriggerData *trigger, Oid schema);
static Mapping *read_mapping(TriggerData *trigger, Oid schema);
static void read_argument(Mapping *mapping, TriggerData *trigger, Relation invoice, char *argument);
static void check_type(Relation relation, Relation invoice, const Source *source);
static const char *find_field(Relation invoice, const char *name);
static char *field_list(void);
static char *column_list(TupleDesc desc);
static char *unquote_constant(const char *argument, const char *text);
static void prepare_statements(Mapping *mapping, TriggerData *trigger, Oid schema);
static void write_back_id(Mapping *mapping, TriggerData *trigger, Datum id);
static void retire_mapping(Mapping *mapping);
static void forget_mapping(Datum arg, Oid relation);
static void forget_names(Datum arg, int cacheid, uint32 hashvalue);

PG_FUNCTION_INFO_V1(mf_enqueue);

/* AFTER INSERT FOR EACH ROW trigger of a user's table. */
Datum
mf_enqueue(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Mapping    *mapping;
	Datum		values[MAX_SOURCES];
	char		nulls[MAX_SOURCES];
	Datum		id;
	bool		isnull;
	int			parameters = 0;
	int			i;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("mf_enqueue() can only be called as a trigger"),
				 errhint("CREATE TRIGGER ... AFTER INSERT ON your_table FOR EACH ROW EXECUTE FUNCTION mf_enqueue('customer_name=column', 'invoice_value=column')")));
	if (!TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must be an AFTER INSERT trigger FOR EACH ROW", trigger->tg_trigger->tgname),
				 errdetail("A BEFORE trigger would also make invoices for rows that are not inserted in the end."),
				 errhint("Create it as AFTER INSERT ... FOR EACH ROW.")));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	mapping = get_mapping(trigger, get_func_namespace(fcinfo->flinfo->fn_oid));

	desc = RelationGetDescr(trigger->tg_relation);
	if (mapping->id_column != 0 && !heap_attisnull(trigger->tg_trigtuple, mapping->id_column, desc))
	{
		/* it has its invoice: moved between partitions, copied, or restored */
		SPI_finish();
		return PointerGetDatum(NULL);
	}
	for (i = 0; i < mapping->source_count; i++)
	{
		if (mapping->sources[i].constant != NULL)
			continue;
		values[parameters] = heap_getattr(trigger->tg_trigtuple, mapping->sources[i].column, desc, &isnull);
		nulls[parameters++] = isnull ? 'n' : ' ';
	}

	if (mf_sql_run(mapping->insert, values, nulls, false) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		mf_change_suppressed();
	id = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (mapping->id_column != 0)
		write_back_id(mapping, trigger, id);

	SPI_finish();
	return PointerGetDatum(NULL);
}

/* The mapping of this trigger, understood at its first firing and after changes. */
static Mapping *
get_mapping(TriggerData *trigger, Oid schema)
{
	Mapping   **link = &mappings;

	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(forget_mapping, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
		callback_registered = true;
	}

	while (*link != NULL)
	{
		Mapping    *mapping = *link;

		if (mapping->trigger == trigger->tg_trigger->tgoid &&
			mapping->relation == RelationGetRelid(trigger->tg_relation))
		{
			if (!mapping->stale)
				return mapping;
			*link = mapping->next;
			retire_mapping(mapping);
		}
		else
			link = &mapping->next;
	}
	return read_mapping(trigger, schema);
}

/*
 * Frees a mapping at the end of the transaction: a trigger of mf_invoice that
 * has changed the table and inserts into it again runs within a call that goes
 * on with the mapping.
 */
static void
retire_mapping(Mapping *mapping)
{
	mf_sql_retire(mapping->insert);
	if (mapping->write_back != NULL)
		mf_sql_retire(mapping->write_back);
	MemoryContextSetParent(mapping->context, TopTransactionContext);
}

/* Syscache callback: a schema may have another name now, and the statements say names. */
static void
forget_names(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_mapping(arg, InvalidOid);
}

/* Relcache callback: the table has changed. */
static void
forget_mapping(Datum arg, Oid relation)
{
	Mapping    *mapping;

	for (mapping = mappings; mapping != NULL; mapping = mapping->next)
	{
		if (!OidIsValid(relation) || mapping->relation == relation)
			mapping->stale = true;
	}
}

/* Reads the arguments of a trigger; raises an error that names what is wrong. */
static Mapping *
read_mapping(TriggerData *trigger, Oid schema)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mf_enqueue mapping", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Mapping    *mapping = (Mapping *) palloc0(sizeof(Mapping));
	Oid			invoice_oid = get_relname_relid("mf_invoice", schema);
	Relation	invoice;
	bool		has_name = false;
	bool		has_value = false;
	int			i;

	mapping->context = context;
	mapping->trigger = trigger->tg_trigger->tgoid;
	mapping->relation = RelationGetRelid(trigger->tg_relation);

	invoice = relation_open(invoice_oid, AccessShareLock);
	for (i = 0; i < trigger->tg_trigger->tgnargs; i++)
		read_argument(mapping, trigger, invoice, pstrdup(trigger->tg_trigger->tgargs[i]));
	relation_close(invoice, AccessShareLock);

	for (i = 0; i < mapping->source_count; i++)
	{
		has_name |= strcmp(mapping->sources[i].field, "customer_name") == 0;
		has_value |= strcmp(mapping->sources[i].field, "invoice_value") == 0;
	}
	if (!has_name || !has_value)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" does not say what feeds \"%s\"", trigger->tg_trigger->tgname,
						has_name ? "invoice_value" : "customer_name"),
				 errhint("Add an argument such as '%s=column' to mf_enqueue().",
						 has_name ? "invoice_value" : "customer_name")));

	prepare_statements(mapping, trigger, schema);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	mapping->next = mappings;
	mappings = mapping;
	return mapping;
}

/* One argument: 'field=column', 'field=''constant''', or 'id=column'. */
static void
read_argument(Mapping *mapping, TriggerData *trigger, Relation invoice, char *argument)
{
	const char *name = trigger->tg_trigger->tgname;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	char	   *original = pstrdup(argument);
	char	   *equals;
	char	   *right;
	char	   *left_end;
	Source	   *source;
	bool		is_id;
	bool		duplicate;
	int			column = 0;
	int			i;

	while (*argument == ' ')
		argument++;
	equals = strchr(argument, '=');
	if (equals == NULL || equals == argument)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" of trigger \"%s\" is not of the form field=column", original, name),
				 errhint("Write for example 'customer_name=tenant', or 'notification_option=''EML''' for a constant.")));
	for (left_end = equals; left_end > argument && left_end[-1] == ' '; left_end--)
		;
	*left_end = '\0';
	right = equals + 1;
	while (*right == ' ')
		right++;
	for (i = (int) strlen(right); i > 0 && right[i - 1] == ' '; i--)
		right[i - 1] = '\0';

	is_id = strcmp(argument, "id") == 0;
	if (!is_id && find_field(invoice, argument) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names no field of an invoice", original, name),
				 errhint("Valid fields are: id, %s.", field_list())));
	duplicate = is_id && mapping->id_column != 0;
	for (i = 0; i < mapping->source_count; i++)
		duplicate |= strcmp(mapping->sources[i].field, argument) == 0;
	if (duplicate)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names a field again", original, name),
				 errhint("Give each field once.")));

	if (right[0] == '\'' && !is_id)
	{
		source = &mapping->sources[mapping->source_count++];
		source->field = find_field(invoice, argument);
		source->constant = unquote_constant(original, right);
		source->column = 0;
		return;
	}

	for (i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), right) == 0)
			column = i + 1;
	}
	if (column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names no column of table \"%s\"", original, name,
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Columns are: %s. A constant stands in quotes: '%s=''%s'''.",
						 column_list(desc), argument, right)));

	if (is_id)
	{
		Oid			type = getBaseType(TupleDescAttr(desc, column - 1)->atttypid);

		if (type != INT8OID && type != NUMERICOID && type != TEXTOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" cannot hold the id of an invoice", right,
							RelationGetRelationName(trigger->tg_relation)),
					 errdetail("It is of type %s.", format_type_be(TupleDescAttr(desc, column - 1)->atttypid)),
					 errhint("Make it a bigint.")));
		mapping->id_column = column;
		return;
	}

	source = &mapping->sources[mapping->source_count++];
	source->field = find_field(invoice, argument);
	source->constant = NULL;
	source->column = column;
	check_type(trigger->tg_relation, invoice, source);
}

/* The column's type can be assigned to the field's, or the error says both. */
static void
check_type(Relation relation, Relation invoice, const Source *source)
{
	Form_pg_attribute from = TupleDescAttr(RelationGetDescr(relation), source->column - 1);
	Oid			to = get_atttype(RelationGetRelid(invoice), get_attnum(RelationGetRelid(invoice), source->field));

	if (!can_coerce_type(1, &from->atttypid, &to, COERCION_ASSIGNMENT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot feed the field \"%s\"",
						NameStr(from->attname), RelationGetRelationName(relation), source->field),
				 errdetail("It is of type %s; the field is of type %s.",
						   format_type_be(from->atttypid), format_type_be(to)),
				 errhint("Change the type of the column, or add a generated column of the right type.")));
}

/* The field's name as the catalog has it, NULL if users cannot set it. */
static const char *
find_field(Relation invoice, const char *name)
{
	int			i;

	for (i = 0; i < MF_SP_COUNT; i++)
	{
		if (strcmp(mf_send_payment_fields[i].column, name) == 0)
			return mf_send_payment_fields[i].column;
	}
	for (i = 0; i < (int) lengthof(row_fields); i++)
	{
		if (strcmp(row_fields[i], name) == 0)
			return row_fields[i];
	}
	return NULL;
}

/* All fields that users can set, comma-separated; palloc'd. */
static char *
field_list(void)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < (int) lengthof(row_fields); i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", row_fields[i]);
	for (i = 0; i < MF_SP_COUNT; i++)
		appendStringInfo(&buf, ", %s", mf_send_payment_fields[i].column);
	return buf.data;
}

static char *
column_list(TupleDesc desc)
{
	StringInfoData buf;
	int			i;

	initStringInfo(&buf);
	for (i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", NameStr(TupleDescAttr(desc, i)->attname));
	}
	return buf.data;
}

/* 'it''s' -> it's; palloc'd */
static char *
unquote_constant(const char *argument, const char *text)
{
	StringInfoData buf;
	const char *p = text + 1;

	initStringInfo(&buf);
	for (; *p != '\0'; p++)
	{
		if (*p == '\'')
		{
			if (p[1] == '\'')
				p++;
			else
				break;
		}
		appendStringInfoChar(&buf, *p);
	}
	if (*p != '\'' || p[1] != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("constant in argument \"%s\" is not quoted properly", argument),
				 errhint("Write for example 'notification_option=''EML'''.")));
	return buf.data;
}

/*
 * INSERT INTO mf_invoice (...) VALUES (...) RETURNING id, and the UPDATE that
 * writes the id back.  All names and operators are qualified, because this
 * runs with the search path of the user.
 */
static void
prepare_statements(Mapping *mapping, TriggerData *trigger, Oid schema)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	StringInfoData names;
	StringInfoData sources;
	StringInfoData text;
	Oid			types[MAX_SOURCES];
	bool		keyed = false;
	int			parameters = 0;
	int			i;

	initStringInfo(&names);
	initStringInfo(&sources);
	for (i = 0; i < mapping->source_count; i++)
	{
		Source	   *source = &mapping->sources[i];

		keyed |= strcmp(source->field, "idempotency_key") == 0;
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", quote_identifier(source->field));
		if (i > 0)
			appendStringInfoString(&sources, ", ");
		if (source->constant != NULL)
			appendStringInfoString(&sources, quote_literal_cstr(source->constant));
		else
		{
			types[parameters] = TupleDescAttr(desc, source->column - 1)->atttypid;
			appendStringInfo(&sources, "$%d", ++parameters);
		}
	}

	initStringInfo(&text);
	appendStringInfo(&text, "INSERT INTO %s (%s) VALUES (%s)%s RETURNING id",
					 quote_qualified_identifier(get_namespace_name(schema), "mf_invoice"), names.data, sources.data,
					 keyed ? AS_IT_IS : "");
	mapping->insert = mf_sql_prepare(schema, InvalidOid, false, text.data, parameters, types);

	if (mapping->id_column != 0)
	{
		Oid			write_types[2] = {INT8OID, TIDOID};

		resetStringInfo(&text);
		appendStringInfo(&text, "UPDATE ONLY %s SET %s = $1 WHERE ctid OPERATOR(pg_catalog.=) $2",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigger->tg_relation)),
													RelationGetRelationName(trigger->tg_relation)),
						 quote_identifier(NameStr(TupleDescAttr(desc, mapping->id_column - 1)->attname)));
		mapping->write_back = mf_sql_prepare(schema, RelationGetRelid(trigger->tg_relation), false, text.data, 2, write_types);
	}
}

/* Writes the id into the row that was just inserted. */
static void
write_back_id(Mapping *mapping, TriggerData *trigger, Datum id)
{
	Datum		values[2];

	values[0] = id;
	values[1] = PointerGetDatum(&trigger->tg_trigtuple->t_self);
	if (mf_sql_run(mapping->write_back, values, NULL, false) != SPI_OK_UPDATE || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("could not write the invoice's id into column \"%s\" of table \"%s\"",
						NameStr(TupleDescAttr(RelationGetDescr(trigger->tg_relation), mapping->id_column - 1)->attname),
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Another trigger has changed or hidden the row meanwhile."),
				 errhint("Give this trigger a name that sorts before the other's.")));
}
