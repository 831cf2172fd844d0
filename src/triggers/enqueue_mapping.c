/*
 * enqueue_mapping.c
 *	  The arguments of mf_enqueue(): which column feeds which field.
 *
 * They are read at the first firing of a trigger, and kept with the statements
 * that are made of them until the table changes.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/triggers/enqueue_mapping.c
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "triggers/enqueue_internal.h"

static const char *const row_fields[] = {MF_ROW_FIELDS};

/* A key that has its invoice gives that back; to set another column than a key waits for less */
#define AS_IT_IS " ON CONFLICT (account, idempotency_key) DO UPDATE SET priority = mf_invoice.priority"

/* Arguments that are no fields */
#define ON_UPDATE "on_update"
#define ON_DELETE "on_delete"

static MfMapping *mappings = NULL;
static bool callback_registered = false;

static MfMapping *read_mapping(TriggerData *trigger, Oid schema);
static void read_argument(MfMapping *mapping, TriggerData *trigger, Relation invoice, char *argument);
static bool read_option(MfMapping *mapping, const char *name, const char *value);
static void check_options(const MfMapping *mapping, const TriggerData *trigger);
static void check_type(Relation relation, Relation invoice, const MfSource *source);
static const char *find_field(Relation invoice, const char *name);
static char *field_list(void);
static char *column_list(TupleDesc desc);
static char *unquote_constant(const char *argument, const char *text);
static void prepare_statements(MfMapping *mapping, TriggerData *trigger);
static void retire_mapping(MfMapping *mapping);
static void forget_mapping(Datum arg, Oid relation);
static void forget_names(Datum arg, int cacheid, uint32 hashvalue);

MfMapping *
mf_mapping_get(TriggerData *trigger, Oid schema)
{
	MfMapping   **link = &mappings;

	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(forget_mapping, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
		callback_registered = true;
	}

	while (*link != NULL)
	{
		MfMapping    *mapping = *link;

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
retire_mapping(MfMapping *mapping)
{
	int			i;

	mf_sql_retire(mapping->insert);
	if (mapping->write_back != NULL)
		mf_sql_retire(mapping->write_back);
	for (i = 0; i < MF_MAX_UPDATES; i++)
	{
		if (mapping->updates[i].sources != 0)
			mf_sql_retire(mapping->updates[i].plan);
	}
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
	MfMapping    *mapping;

	for (mapping = mappings; mapping != NULL; mapping = mapping->next)
	{
		if (!OidIsValid(relation) || mapping->relation == relation)
			mapping->stale = true;
	}
}

/* Reads the arguments of a trigger; raises an error that names what is wrong. */
static MfMapping *
read_mapping(TriggerData *trigger, Oid schema)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mf_enqueue mapping", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MfMapping    *mapping = (MfMapping *) palloc0(sizeof(MfMapping));
	Oid			invoice_oid = get_relname_relid("mf_invoice", schema);
	Relation	invoice;
	bool		has_name = false;
	bool		has_value = false;
	int			i;

	mapping->context = context;
	mapping->trigger = trigger->tg_trigger->tgoid;
	mapping->relation = RelationGetRelid(trigger->tg_relation);
	mapping->schema = schema;

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

	check_options(mapping, trigger);
	prepare_statements(mapping, trigger);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, TopMemoryContext);
	mapping->next = mappings;
	mappings = mapping;
	return mapping;
}

/* One argument: 'field=column', 'field=''constant''', or 'id=column'. */
static void
read_argument(MfMapping *mapping, TriggerData *trigger, Relation invoice, char *argument)
{
	const char *name = trigger->tg_trigger->tgname;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	char	   *original = pstrdup(argument);
	char	   *equals;
	char	   *right;
	char	   *left_end;
	MfSource	   *source;
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

	if (read_option(mapping, argument, right))
		return;
	is_id = strcmp(argument, "id") == 0;
	if (!is_id && find_field(invoice, argument) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("argument \"%s\" of trigger \"%s\" names no field of an invoice", original, name),
				 errhint("Valid fields are: id, %s. Options are: on_update=sync, on_delete=cancel.", field_list())));
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

/* What becomes of a queued invoice when its row changes or goes; false if the argument is no option. */
static bool
read_option(MfMapping *mapping, const char *name, const char *value)
{
	bool	   *option = strcmp(name, ON_UPDATE) == 0 ? &mapping->sync : strcmp(name, ON_DELETE) == 0 ? &mapping->cancel : NULL;
	const char *valid = option == &mapping->sync ? "sync" : "cancel";

	if (option == NULL)
		return false;
	if (strcmp(value, valid) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%.40s\"", name, value),
				 errhint("The valid value is \"%s\"; leave the argument out to have the invoice stay as it is.", valid)));
	*option = true;
	return true;
}

/* An option that could do nothing is a mistake. */
static void
check_options(const MfMapping *mapping, const TriggerData *trigger)
{
	const Trigger *definition = trigger->tg_trigger;
	bool		follows_moves = mapping->sync && trigger->tg_relation->rd_rel->relispartition;
	const char *option = mapping->sync ? ON_UPDATE "=sync" : ON_DELETE "=cancel";

	if (!mapping->sync && !mapping->cancel)
		return;
	if (mapping->id_column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, and does not say which column has the invoice", definition->tgname, option),
				 errhint("Add an argument such as 'id=column' to mf_enqueue().")));
	if (definition->tgdeferrable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, and must not be deferrable", definition->tgname, option),
				 errhint("Create it as a plain trigger, not as a constraint trigger.")));
	if (mapping->sync && !TRIGGER_FOR_UPDATE(definition->tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, and does not fire for UPDATE", definition->tgname, ON_UPDATE "=sync"),
				 errhint("Create it as AFTER INSERT OR UPDATE ... FOR EACH ROW.")));
	if ((mapping->cancel || follows_moves) && !TRIGGER_FOR_DELETE(definition->tgtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has %s, and does not fire for DELETE", definition->tgname,
						mapping->cancel ? ON_DELETE "=cancel" : option),
				 mapping->cancel ? 0 : errdetail("A row that moves to another partition is deleted here and inserted there."),
				 errhint("Create it as AFTER INSERT OR UPDATE OR DELETE ... FOR EACH ROW.")));
}

/* The column's type can be assigned to the field's, or the error says both. */
static void
check_type(Relation relation, Relation invoice, const MfSource *source)
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
prepare_statements(MfMapping *mapping, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	StringInfoData names;
	StringInfoData sources;
	StringInfoData text;
	Oid			types[MF_MAX_SOURCES];
	bool		keyed = false;
	int			parameters = 0;
	int			i;

	initStringInfo(&names);
	initStringInfo(&sources);
	for (i = 0; i < mapping->source_count; i++)
	{
		MfSource	   *source = &mapping->sources[i];

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
					 quote_qualified_identifier(get_namespace_name(mapping->schema), "mf_invoice"), names.data, sources.data,
					 keyed ? AS_IT_IS : "");
	mapping->insert = mf_sql_prepare(mapping->schema, InvalidOid, false, text.data, parameters, types);

	if (mapping->id_column != 0)
	{
		Oid			write_types[2] = {INT8OID, TIDOID};

		resetStringInfo(&text);
		appendStringInfo(&text, "UPDATE ONLY %s SET %s = $1 WHERE ctid OPERATOR(pg_catalog.=) $2",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigger->tg_relation)),
													RelationGetRelationName(trigger->tg_relation)),
						 quote_identifier(NameStr(TupleDescAttr(desc, mapping->id_column - 1)->attname)));
		mapping->write_back = mf_sql_prepare(mapping->schema, RelationGetRelid(trigger->tg_relation), false, text.data, 2, write_types);
	}
}

const MfPlan *
mf_mapping_update(MfMapping *mapping, TupleDesc desc, uint32 sources)
{
	MfMappingUpdate *update;
	StringInfoData text;
	Oid			types[MF_MAX_SOURCES + 1];
	int			parameters = 1;
	int			i;

	for (i = 0; i < MF_MAX_UPDATES; i++)
	{
		if (mapping->updates[i].sources == sources)
			return mapping->updates[i].plan;
	}

	initStringInfo(&text);
	appendStringInfo(&text, "UPDATE %s SET ", quote_qualified_identifier(get_namespace_name(mapping->schema), "mf_invoice"));
	types[0] = INT8OID;
	for (i = 0; i < mapping->source_count; i++)
	{
		if ((sources & ((uint32) 1 << i)) == 0)
			continue;
		types[parameters] = TupleDescAttr(desc, mapping->sources[i].column - 1)->atttypid;
		appendStringInfo(&text, "%s%s = $%d", parameters > 1 ? ", " : "", quote_identifier(mapping->sources[i].field),
						 parameters + 1);
		parameters++;
	}
	appendStringInfoString(&text, " WHERE id OPERATOR(pg_catalog.=) $1");

	update = &mapping->updates[mapping->next_update];
	if (update->sources != 0)
		mf_sql_retire(update->plan);
	update->sources = 0;
	update->plan = mf_sql_prepare(mapping->schema, InvalidOid, false, text.data, parameters, types);
	update->sources = sources;
	mapping->next_update = (mapping->next_update + 1) % MF_MAX_UPDATES;
	return update->plan;
}

bool
mf_mapping_invoice(const MfMapping *mapping, HeapTuple row, TupleDesc desc, int64 *invoice)
{
	Oid			output;
	bool		is_varlena;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	if (mapping->id_column != 0)
		value = heap_getattr(row, mapping->id_column, desc, &isnull);
	if (isnull)
		return false;
	getTypeOutputInfo(TupleDescAttr(desc, mapping->id_column - 1)->atttypid, &output, &is_varlena);
	*invoice = DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(OidOutputFunctionCall(output, value))));
	return true;
}
